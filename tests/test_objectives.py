"""Objectives: labels made from the data itself, and nothing that gives them away."""

import math
from functools import partial

import pytest
import torch
from helpers import randomize
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close
from transformers.models.clip.modeling_clip import image_text_contrastive_loss

from fmcourse.models.seq2seq import EncoderDecoder, vaswani2017
from fmcourse.models.transformer import Transformer, bert, modern
from fmcourse.objectives import (
    contrastive,
    corrupt_spans,
    denoising,
    info_nce,
    mask_tokens,
    masked_patches,
    masked_token,
    random_partition,
    span_corruption,
    transformation_prediction,
)
from fmcourse.training import fit

V, MASK = 50, 49
seeded = lambda seed=0: torch.Generator().manual_seed(seed)
ids = torch.randint(1, V - 1, (200, 40), generator=seeded())
ids[:, 30:] = 0  # padding


def test_of_the_tokens_asked_for_most_are_hidden_some_swapped_some_left():
    inputs, asked = mask_tokens(ids, seeded(1), mask_id=MASK, vocab_size=V, special_ids=[0])
    shares = [(asked.sum() / (ids > 0).sum()).item()]
    shares += [
        (part & asked).sum().item() / asked.sum().item()
        for part in (inputs == MASK, (inputs != MASK) & (inputs != ids), inputs == ids)
    ]
    # a random other token is the same, or [MASK], once in fifty
    for share, wanted in zip(shares, (0.15, 0.802, 0.096, 0.102), strict=True):
        assert abs(share - wanted) < 0.025
    assert not asked[:, 30:].any() and torch.equal(inputs[~asked], ids[~asked])


def test_hiding_is_a_function_of_the_generator_alone():
    before = torch.random.get_rng_state()
    first, second = (mask_tokens(ids, seeded(3), mask_id=MASK, vocab_size=V) for _ in range(2))
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])
    assert not torch.equal(first[1], mask_tokens(ids, seeded(4), mask_id=MASK, vocab_size=V)[1])
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("seed", range(20))
def test_even_a_single_token_is_asked_for(seed):
    assert mask_tokens(
        torch.tensor([[0, 7, 0]]), seeded(seed), mask_id=MASK, vocab_size=V, special_ids=[0]
    )[1].tolist() == [[False, True, False]]


@pytest.mark.parametrize(
    ("batch", "rate"), [(ids, 0.0), (ids, 1.0), (ids, -0.1), (ids[:0], 0.15), (ids[:, 30:], 0.15)]
)
def test_nothing_or_everything_hidden_is_refused(batch, rate):
    with pytest.raises(
        ValueError,
        match=rf"rate={rate} of \d+ tokens that may be hidden.*give a rate between 0 and 1",
    ):
        mask_tokens(batch, seeded(), mask_id=MASK, vocab_size=V, rate=rate, special_ids=[0])


def test_the_loss_is_the_surprise_at_the_hidden_tokens_and_at_no_others():
    model = randomize(Transformer(bert(vocab_size=V, context=40, width=24, depth=2, heads=2)))
    loss = masked_token(model, ids, seeded(5), mask_id=MASK, special_ids=[0])
    inputs, asked = mask_tokens(ids, seeded(5), mask_id=MASK, vocab_size=V, special_ids=[0])
    assert_close(loss.value, F.cross_entropy(model(inputs)[asked], ids[asked]))
    assert loss.tokens == asked.sum()


def test_on_noise_no_masked_model_beats_a_guess():
    """Beating log V on tokens that no one can know would mean that the answer leaks. Every tenth is left in its place, and that much may be learnt."""
    torch.manual_seed(0)
    model = Transformer(modern(vocab_size=V, context=16, width=32, depth=2, heads=2, causal=False))
    batches = [torch.randint(V - 1, (16, 16), generator=seeded(n)) for n in range(400)]
    history = fit(
        model,
        lambda m, b, g: masked_token(m, b, g, mask_id=MASK),
        batches,
        steps=400,
        seed=0,
        progress=False,
    )
    tail = sum(history.losses[-100:]) / 100
    # at best: a [MASK] is a blind guess among 49; a token that is seen was left in place half the time
    seen = 0.5 * math.log(2) + 0.5 * math.log(2 * 48)
    best = 0.8 * math.log(49) + 0.2 * seen
    assert best - 0.08 < tail < math.log(V) + 0.1


# -- spans ----------------------------------------------------------------------------------------------------------------

texts = torch.randint(1, 40, (64, 30), generator=seeded(7))


def undo_corruption(source, target, sentinel):
    """A row put together again: each mark in the source gives way to what follows it in the target."""
    parts, key = {}, None
    for token in target.tolist():
        if token >= sentinel:
            key = parts.setdefault(token, [])
        else:
            key.append(token)
    return [token for mark in source.tolist() for token in parts.get(mark, [mark])]


@pytest.mark.parametrize(
    ("rate", "span"), [(0.15, 3.0), (0.5, 1.0), (0.9, 3.0), (0.01, 3.0), (0.3, 8.0)]
)
def test_source_and_target_together_are_the_text_each_token_once(rate, span):
    source, target = corrupt_spans(texts, seeded(8), sentinel=40, rate=rate, span=span)
    hidden = (target < 40).sum(1)
    assert (hidden == min(max(round(30 * rate), 1), 29)).all() and (
        (source < 40).sum(1) + hidden == 30
    ).all()
    assert [undo_corruption(*row, 40) for row in zip(source, target, strict=True)] == texts.tolist()
    marks = target[target >= 40].view(64, -1)
    assert_close(marks, (40 + torch.arange(marks.shape[1])).expand_as(marks))
    assert_close(
        source[source >= 40].view(64, -1), marks[:, :-1]
    )  # the last mark says that it is over


def test_spans_are_as_long_as_asked_on_average_and_lie_anywhere():
    source, target = corrupt_spans(texts.repeat(20, 1), seeded(9), sentinel=40, rate=0.3, span=3.0)
    assert (target.shape[1], source.shape[1]) == (9 + 3 + 1, 21 + 3)
    second = (target == 41).nonzero()[
        :, 1
    ] - 1  # how long the first span is: 1 to 7, and not always the same
    assert set(second.tolist()) == set(range(1, 8))
    assert 2.9 < second.float().mean() < 3.1


@pytest.mark.parametrize("total", [1, 2, 7])
def test_every_way_to_divide_is_as_likely(total):
    found = random_partition(total, min(total, 3), 6000, seeded())
    assert (found >= 1).all() and (found.sum(1) == total).all()
    ways, times = found.unique(dim=0, return_counts=True)
    assert len(ways) == math.comb(total - 1, min(total, 3) - 1) and times.min() > 0.8 * 6000 / len(
        ways
    )


def test_the_loss_is_that_of_the_writing_half():
    shape = vaswani2017(vocab_size=60, context=40, width=24, depth=1, heads=2, dropout=0.0)
    model = randomize(EncoderDecoder(shape))
    source, target = corrupt_spans(texts, seeded(3), sentinel=40)
    written = model(source, F.pad(target, (1, 0))[:, :-1])
    assert_close(
        span_corruption(model, texts, seeded(3), sentinel=40).value,
        F.cross_entropy(written.mT, target),
    )


@pytest.mark.parametrize(
    ("batch", "given"),
    [
        (texts, {"rate": 0.0}),
        (texts, {"rate": 1.0}),
        (texts, {"span": 0.5}),
        (texts[:0], {}),
        (texts[:, :1], {}),
        (texts * 0, {}),
        (texts + 40, {}),
    ],
)
def test_spans_that_cannot_be_cut_are_refused(batch, given):
    with pytest.raises(
        ValueError, match="give .B, T. with T of at least 2, a rate between 0 and 1"
    ):
        corrupt_spans(batch, seeded(), sentinel=40, **given)


# -- noise, pieces --------------------------------------------------------------------------------------------------------

numbers = torch.randn(64, 8, 12, generator=seeded(2))


def test_leaving_noise_in_place_costs_its_square():
    assert abs(denoising(nn.Identity(), numbers, seeded(), noise=0.5).value - 0.25) < 0.01
    assert_close(denoising(lambda x: numbers, numbers, noise=0.5).value, torch.tensor(0.0))


def test_the_loss_looks_at_hidden_pieces_alone_and_as_many_in_each_row():
    seen = {}

    def model(pieces, hidden):
        seen["hidden"] = hidden
        return torch.where(hidden[..., None], pieces + 2.0, pieces + 100.0)

    loss = masked_patches(model, numbers, seeded(), rate=0.75)
    assert_close(loss.value, torch.tensor(4.0))
    assert (seen["hidden"].sum(1) == 6).all() and loss.tokens == 6 * 64
    assert (seen["hidden"].float().mean(0) - 0.75).abs().max() < 0.2


@pytest.mark.parametrize(
    ("batch", "rate"), [(numbers, 0.0), (numbers, 1.0), (numbers, 0.02), (numbers[:0], 0.5)]
)
def test_pieces_all_hidden_or_none_are_refused(batch, rate):
    with pytest.raises(ValueError, match="give pieces, and a rate that hides some and leaves some"):
        masked_patches(lambda pieces, hidden: pieces, batch, rate=rate)


@pytest.mark.parametrize(("batch", "noise"), [(numbers, 0.0), (numbers[:0], 0.5)])
def test_no_noise_or_nothing_to_spoil_is_refused(batch, noise):
    with pytest.raises(ValueError, match="give a batch with rows and noise above 0"):
        denoising(nn.Identity(), batch, noise=noise)


# -- pairs, changes -------------------------------------------------------------------------------------------------------


def test_equals_the_loss_of_clip():
    a, b = torch.randn(2, 7, 5, generator=seeded(4))
    scores = F.normalize(a, dim=1) @ F.normalize(b, dim=1).T / 0.07
    assert_close(info_nce(a, b, 0.07), image_text_contrastive_loss(scores))


def test_pairs_that_are_alike_cost_nothing_and_pairs_that_are_not_cost_a_guess():
    assert info_nce(torch.eye(6), 3 * torch.eye(6), 0.01) < 1e-6
    assert_close(info_nce(torch.ones(6, 4), torch.ones(6, 4)), torch.tensor(math.log(6)))
    a, b, order = *torch.randn(2, 6, 4, generator=seeded()), torch.randperm(6, generator=seeded(1))
    assert_close(info_nce(a, b), info_nce(b[order], a[order]))  # neither order nor side matters


def test_two_views_are_drawn_for_each_thing():
    noisy = lambda x, generator: x + torch.randn(x.shape, generator=generator)
    x, generator = numbers[:, 0], seeded(6)
    one, other = noisy(x, generator), noisy(x, generator)
    assert_close(
        contrastive(nn.Identity(), x, seeded(6), augment=noisy).value, info_nce(one, other)
    )
    assert not torch.equal(one, other)


@pytest.mark.parametrize(
    ("a", "b", "temperature"),
    [
        (numbers[:1, 0], numbers[:1, 0], 0.1),
        (numbers[:0, 0], numbers[:0, 0], 0.1),
        (numbers[:, 0], numbers[1:, 0], 0.1),
        (numbers[:, 0], numbers[:, 0], 0.0),
    ],
)
def test_a_batch_of_one_leaves_nothing_to_choose_from(a, b, temperature):
    with pytest.raises(ValueError, match="B of at least 2, and a temperature above 0"):
        info_nce(a, b, temperature)


def test_every_change_is_asked_for_and_told_rightly():
    pictures, turns = (
        torch.rand(400, 6, 6, generator=seeded()),
        [partial(torch.rot90, k=k) for k in range(4)],
    )

    def knows(changed):  # looks for the turn that leads back to one of the pictures
        back = torch.stack([changed.rot90(-k, (1, 2)) for k in range(4)], 1).flatten(2)
        return 100 * (back == pictures.flatten(1)[:, None]).all(-1).float()

    loss = transformation_prediction(knows, pictures, seeded(), transforms=turns)
    assert loss.value < 1e-6 and loss.tokens == 400
    guess = transformation_prediction(
        lambda changed: torch.zeros(len(changed), 4), pictures, seeded(), transforms=turns
    )
    assert_close(guess.value, torch.tensor(math.log(4)))
    shares = [
        transformation_prediction(
            lambda changed, k=k: 50 * F.one_hot(torch.full((400,), k), 4).float(),
            pictures,
            seeded(),
            transforms=turns,
        ).value
        / 50
        for k in range(4)
    ]
    assert all(0.69 < share < 0.81 for share in shares)


@pytest.mark.parametrize(("batch", "changes"), [(numbers[:0], [abs, abs]), (numbers, [abs])])
def test_one_change_is_no_question(batch, changes):
    with pytest.raises(ValueError, match="give at least one thing and two changes"):
        transformation_prediction(nn.Identity(), batch, transforms=changes)
