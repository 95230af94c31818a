"""Objectives: labels made from the data itself, and nothing that gives them away."""

import math

import pytest
import torch
from helpers import randomised
from torch.nn import functional as F
from torch.testing import assert_close

from fmcourse.models.transformer import Transformer, bert, modern
from fmcourse.objectives import hide, masked_token
from fmcourse.training import fit

V, MASK = 50, 49
seeded = lambda seed=0: torch.Generator().manual_seed(seed)
ids = torch.randint(1, V - 1, (200, 40), generator=seeded())
ids[:, 30:] = 0  # padding


def test_of_the_tokens_asked_for_most_are_hidden_some_swapped_some_left():
    inputs, asked = hide(ids, seeded(1), mask=MASK, vocab_size=V, special=[0])
    shares = [(asked.sum() / (ids > 0).sum()).item()]
    shares += [(part & asked).sum().item() / asked.sum().item()
               for part in (inputs == MASK, (inputs != MASK) & (inputs != ids), inputs == ids)]  # fmt: skip
    # a random other token is the same, or [MASK], once in fifty
    for share, wanted in zip(shares, (0.15, 0.802, 0.096, 0.102), strict=True):
        assert abs(share - wanted) < 0.025
    assert not asked[:, 30:].any() and torch.equal(inputs[~asked], ids[~asked])


def test_hiding_is_a_function_of_the_generator_alone():
    before = torch.random.get_rng_state()
    first, second = (hide(ids, seeded(3), mask=MASK, vocab_size=V) for _ in range(2))
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])
    assert not torch.equal(first[1], hide(ids, seeded(4), mask=MASK, vocab_size=V)[1])
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("seed", range(20))
def test_even_a_single_token_is_asked_for(seed):
    assert hide(torch.tensor([[0, 7, 0]]), seeded(seed), mask=MASK, vocab_size=V, special=[0])[1].tolist() == [[False, True, False]]  # fmt: skip


@pytest.mark.parametrize(("batch", "rate"), [(ids, 0.0), (ids, 1.0), (ids, -0.1), (ids[:0], 0.15), (ids[:, 30:], 0.15)])
def test_nothing_or_everything_hidden_is_refused(batch, rate):
    with pytest.raises(ValueError, match=rf"rate={rate} of \d+ tokens that may be hidden.*give a rate between 0 and 1"):
        hide(batch, seeded(), mask=MASK, vocab_size=V, rate=rate, special=[0])


def test_the_loss_is_the_surprise_at_the_hidden_tokens_and_at_no_others():
    model = randomised(Transformer(bert(vocab_size=V, context=40, width=24, depth=2, heads=2)))
    loss = masked_token(model, ids, seeded(5), mask=MASK, special=[0])
    inputs, asked = hide(ids, seeded(5), mask=MASK, vocab_size=V, special=[0])
    assert_close(loss.value, F.cross_entropy(model(inputs)[asked], ids[asked]))
    assert loss.tokens == asked.sum()


def test_on_noise_no_masked_model_beats_a_guess():
    """Beating log V on tokens that no one can know would mean that the answer leaks. Every tenth is left in its place, and that much may be learnt."""
    torch.manual_seed(0)
    model = Transformer(modern(vocab_size=V, context=16, width=32, depth=2, heads=2, causal=False))
    batches = [torch.randint(V - 1, (16, 16), generator=seeded(n)) for n in range(400)]
    history = fit(model, lambda m, b, g: masked_token(m, b, g, mask=MASK), batches, steps=400, seed=0, progress=False)
    tail = sum(history.losses[-100:]) / 100
    # at best: a [MASK] is a blind guess among 49; a token that is seen was left in place half the time
    seen = 0.5 * math.log(2) + 0.5 * math.log(2 * 48)
    best = 0.8 * math.log(49) + 0.2 * seen
    assert best - 0.08 < tail < math.log(V) + 0.1
