"""Objectives: labels made from the data itself, and inputs that do not leak them."""

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


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


ids = torch.randint(1, V - 1, (200, 40), generator=seeded())
ids[:, 30:] = 0  # padding


def test_of_the_selected_tokens_most_are_masked_some_random_some_unchanged():
    inputs, selected = mask_tokens(ids, seeded(1), mask_id=MASK, vocab_size=V, special_ids=[0])
    shares = [(selected.sum() / (ids > 0).sum()).item()]
    shares += [
        (part & selected).sum().item() / selected.sum().item()
        for part in (inputs == MASK, (inputs != MASK) & (inputs != ids), inputs == ids)
    ]
    # a random other token is the same, or [MASK], once in fifty
    for share, wanted in zip(shares, (0.15, 0.802, 0.096, 0.102), strict=True):
        assert abs(share - wanted) < 0.025
    assert not selected[:, 30:].any() and torch.equal(inputs[~selected], ids[~selected])


def test_masking_is_a_function_of_the_generator_alone():
    before = torch.random.get_rng_state()
    first, second = (mask_tokens(ids, seeded(3), mask_id=MASK, vocab_size=V) for _ in range(2))
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])
    assert not torch.equal(first[1], mask_tokens(ids, seeded(4), mask_id=MASK, vocab_size=V)[1])
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("seed", range(20))
def test_even_a_single_token_is_selected(seed):
    assert mask_tokens(
        torch.tensor([[0, 7, 0]]), seeded(seed), mask_id=MASK, vocab_size=V, special_ids=[0]
    )[1].tolist() == [[False, True, False]]


@pytest.mark.parametrize(
    ("batch", "rate"), [(ids, 0.0), (ids, 1.0), (ids, -0.1), (ids[:0], 0.15), (ids[:, 30:], 0.15)]
)
def test_masking_nothing_or_everything_is_refused(batch, rate):
    message = (
        rf"mask_rate={rate} of \d+ tokens that may be hidden.*give a mask_rate between 0 and 1"
    )
    arguments = dict(mask_id=MASK, vocab_size=V, mask_rate=rate, special_ids=[0])
    with pytest.raises(ValueError, match=message):
        mask_tokens(batch, seeded(), **arguments)


def test_masked_token_is_the_cross_entropy_of_the_selected_tokens_alone():
    model = randomize(Transformer(bert(vocab_size=V, context=40, width=24, depth=2, heads=2)))
    loss = masked_token(model, ids, seeded(5), mask_id=MASK, special_ids=[0])
    inputs, selected = mask_tokens(ids, seeded(5), mask_id=MASK, vocab_size=V, special_ids=[0])
    assert_close(loss.value, F.cross_entropy(model(inputs)[selected], ids[selected]))
    assert loss.tokens == selected.sum()


@pytest.mark.slow
def test_on_noise_no_masked_model_beats_the_best_guess():
    """Fewer nats would mean that labels leak. Tokens left unchanged may be learnt, and no more."""
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
    # At best: a [MASK] is a guess among 49; a token that is seen is the label half of the time.
    seen = 0.5 * math.log(2) + 0.5 * math.log(2 * 48)
    best = 0.8 * math.log(49) + 0.2 * seen
    assert best - 0.08 < tail < math.log(V) + 0.1


# -- span corruption -------------------------------------------------------------------------------

texts = torch.randint(1, 40, (64, 30), generator=seeded(7))


def undo_corruption(source, target, sentinel):
    """The text of a row: what follows a sentinel in the target replaces it in the source."""
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
def test_source_and_target_together_are_the_text(rate, span):
    source, target = corrupt_spans(
        texts, seeded(8), sentinel_id=40, mask_rate=rate, mean_span_length=span
    )
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


def test_spans_have_the_mean_length_and_lie_anywhere():
    source, target = corrupt_spans(
        texts.repeat(20, 1), seeded(9), sentinel_id=40, mask_rate=0.3, mean_span_length=3.0
    )
    assert (target.shape[1], source.shape[1]) == (9 + 3 + 1, 21 + 3)
    first_span = (target == 41).nonzero()[:, 1] - 1  # its length: up to the second sentinel
    assert set(first_span.tolist()) == set(range(1, 8))
    assert 2.9 < first_span.float().mean() < 3.1


@pytest.mark.parametrize("total", [1, 2, 7])
def test_every_partition_is_equally_likely(total):
    found = random_partition(total, min(total, 3), 6000, seeded())
    assert (found >= 1).all() and (found.sum(1) == total).all()
    ways, times = found.unique(dim=0, return_counts=True)
    assert len(ways) == math.comb(total - 1, min(total, 3) - 1) and times.min() > 0.8 * 6000 / len(
        ways
    )


def test_span_corruption_is_the_cross_entropy_of_the_target():
    shape = vaswani2017(vocab_size=60, context=40, width=24, depth=1, heads=2, dropout=0.0)
    model = randomize(EncoderDecoder(shape))
    source, target = corrupt_spans(texts, seeded(3), sentinel_id=40)
    written = model(source, F.pad(target, (1, 0))[:, :-1])
    assert_close(
        span_corruption(model, texts, seeded(3), sentinel_id=40).value,
        F.cross_entropy(written.mT, target),
    )


@pytest.mark.parametrize(
    ("batch", "given"),
    [
        (texts, {"mask_rate": 0.0}),
        (texts, {"mask_rate": 1.0}),
        (texts, {"mean_span_length": 0.5}),
        (texts[:0], {}),
        (texts[:, :1], {}),
        (texts * 0, {}),
        (texts + 40, {}),
    ],
)
def test_spans_that_cannot_be_cut_are_refused(batch, given):
    with pytest.raises(
        ValueError, match="give .B, T. with T of at least 2, a mask_rate between 0 and 1"
    ):
        corrupt_spans(batch, seeded(), sentinel_id=40, **given)


# -- denoising, masked patches ---------------------------------------------------------------------

numbers = torch.randn(64, 8, 12, generator=seeded(2))


def test_denoising_costs_the_variance_of_the_noise_if_nothing_is_done():
    assert abs(denoising(nn.Identity(), numbers, seeded(), noise=0.5).value - 0.25) < 0.01
    assert_close(denoising(lambda x: numbers, numbers, noise=0.5).value, torch.tensor(0.0))


def test_masked_patches_counts_masked_patches_alone_equally_many_in_each_row():
    seen = {}

    def model(patches, masked):
        seen["masked"] = masked
        return torch.where(masked[..., None], patches + 2.0, patches + 100.0)

    loss = masked_patches(model, numbers, seeded(), mask_rate=0.75)
    assert_close(loss.value, torch.tensor(4.0))
    assert (seen["masked"].sum(1) == 6).all() and loss.tokens == 6 * 64
    assert (seen["masked"].float().mean(0) - 0.75).abs().max() < 0.2


@pytest.mark.parametrize(
    ("batch", "rate"), [(numbers, 0.0), (numbers, 1.0), (numbers, 0.02), (numbers[:0], 0.5)]
)
def test_masking_all_patches_or_none_is_refused(batch, rate):
    with pytest.raises(ValueError, match="give patches, and a mask_rate that hides some and leave"):
        masked_patches(lambda patches, masked: patches, batch, mask_rate=rate)


@pytest.mark.parametrize(("batch", "noise"), [(numbers, 0.0), (numbers[:0], 0.5)])
def test_no_noise_or_an_empty_batch_is_refused(batch, noise):
    with pytest.raises(ValueError, match="give a batch with rows and noise above 0"):
        denoising(nn.Identity(), batch, noise=noise)


# -- contrastive learning, transformations ---------------------------------------------------------


def test_info_nce_equals_the_loss_of_clip():
    a, b = torch.randn(2, 7, 5, generator=seeded(4))
    scores = F.normalize(a, dim=1) @ F.normalize(b, dim=1).T / 0.07
    assert_close(info_nce(a, b, 0.07), image_text_contrastive_loss(scores))


def test_equal_pairs_cost_nothing_and_indistinguishable_ones_cost_a_guess():
    assert info_nce(torch.eye(6), 3 * torch.eye(6), 0.01) < 1e-6
    assert_close(info_nce(torch.ones(6, 4), torch.ones(6, 4)), torch.tensor(math.log(6)))
    a, b, order = *torch.randn(2, 6, 4, generator=seeded()), torch.randperm(6, generator=seeded(1))
    assert_close(info_nce(a, b), info_nce(b[order], a[order]))  # neither order nor side matters


def test_contrastive_draws_two_views_of_each_example():
    def noisy(x, generator):
        return x + torch.randn(x.shape, generator=generator)

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
def test_a_batch_of_one_has_no_negatives_and_is_refused(a, b, temperature):
    with pytest.raises(ValueError, match="B of at least 2, and a temperature above 0"):
        info_nce(a, b, temperature)


def test_every_transformation_is_drawn_and_labelled():
    images = torch.rand(400, 6, 6, generator=seeded())
    objective = partial(
        transformation_prediction, transforms=[partial(torch.rot90, k=k) for k in range(4)]
    )

    def knows(rotated):  # finds the rotation that leads back to one of the images
        back = torch.stack([rotated.rot90(-k, (1, 2)) for k in range(4)], 1).flatten(2)
        return 100 * (back == images.flatten(1)[:, None]).all(-1).float()

    def always(label, rotated):
        return 50 * F.one_hot(torch.full((len(rotated),), label), 4).float()

    loss = objective(knows, images, seeded())
    assert loss.value < 1e-6 and loss.tokens == 400
    guess = objective(lambda rotated: torch.zeros(len(rotated), 4), images, seeded())
    assert_close(guess.value, torch.tensor(math.log(4)))
    # Whoever always says k pays 50 nats for each other label: three quarters, if all are as likely.
    wrong = [objective(partial(always, k), images, seeded()).value / 50 for k in range(4)]
    assert all(0.69 < share < 0.81 for share in wrong)


@pytest.mark.parametrize(("batch", "transforms"), [(numbers[:0], [abs, abs]), (numbers, [abs])])
def test_a_single_transformation_is_refused(batch, transforms):
    with pytest.raises(ValueError, match="give at least one example and two transforms"):
        transformation_prediction(nn.Identity(), batch, transforms=transforms)
