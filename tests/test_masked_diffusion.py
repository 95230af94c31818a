"""Masked diffusion: the bound against all orders, the sampler against diffusers and the truth."""

import math
from dataclasses import replace
from functools import partial
from itertools import combinations, permutations

import pytest
import torch
from diffusers import AmusedScheduler
from diffusers.schedulers.scheduling_block_refinement import BlockRefinementScheduler
from helpers import randomize
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from fmcourse.diffusion.masked import (
    fill_masks,
    masked_diffusion_loss,
    masked_log_probs,
    masked_nll,
    nll_bound,
    sample_num_masked,
)
from fmcourse.models.transformer import Transformer, modern
from fmcourse.training import fit

MASK, V = 5, 6


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


model = randomize(
    Transformer(modern(vocab_size=V, context=12, width=16, depth=2, heads=2, causal=False)), std=0.6
)
text = torch.randint(MASK, (1, 4), generator=seeded(1))


class Twins(nn.Module):
    """The exact model of a language of two texts, equally likely: 0 0 and 1 1."""

    def states(self, ids):
        logits = torch.full((*ids.shape, 3), -1e9)
        for row, pair in enumerate(ids.tolist()):
            for at in range(2):
                known = pair[1 - at]
                logits[row, at, :2] = 0.0 if known == 2 else -1e9
                if known != 2:
                    logits[row, at, known] = 0.0
        return logits

    def head(self, states):
        return states


def log_p_in_order(order):
    """The log-probability of the text if its tokens are uncovered in this order."""
    ids, total = torch.full_like(text, MASK), 0.0
    for at in order:
        total += masked_log_probs(model, ids, torch.arange(4)[None] == at, MASK)[
            0, text[0, at]
        ].item()
        ids[0, at] = text[0, at]
    return total


def test_the_expected_loss_is_the_mean_nll_over_all_orders():
    with torch.no_grad():
        every_order = -sum(map(log_p_in_order, permutations(range(4)))) / 24 / 4
        sizes = []
        for k in (1, 2, 3, 4):
            found = []
            for hidden in combinations(range(4), k):
                at = torch.isin(torch.arange(4), torch.tensor(hidden))[None]
                log_p = masked_log_probs(model, text.masked_fill(at, MASK), at, MASK)
                found.append(F.nll_loss(log_p, text[at]).item())
            sizes.append(sum(found) / len(found))
        drawn = nll_bound(model, text.repeat(4000, 1), seeded(), mask_id=MASK)
    assert math.isclose(sum(sizes) / 4, every_order, rel_tol=1e-5)
    assert abs(drawn.mean().item() - every_order) < 4 * drawn.std().item() / 4000**0.5 < 0.1
    by_row = [
        masked_diffusion_loss(model, text.repeat(400, 1), seeded(seed), mask_id=MASK).value.item()
        for seed in range(10)
    ]
    assert abs(sum(by_row) / 10 - every_order) < 4 * drawn.std().item() / 4000**0.5


def test_equals_the_loss_weighted_by_one_over_the_mask_rate():
    """LLaDA's form: each token masked with probability t, uniform, and its loss divided by t."""
    rows, g = text.repeat(20_000, 1), seeded(3)
    t = torch.rand(len(rows), 1, generator=g) * 0.99 + 0.01
    at = torch.rand(rows.shape, generator=g) < t
    with torch.no_grad():
        nats = F.nll_loss(
            masked_log_probs(model, rows.masked_fill(at, MASK), at, MASK),
            rows[at],
            reduction="none",
        )
        theirs = (torch.zeros(rows.shape).masked_scatter(at, nats) / t).sum(1) / 4
        ours = nll_bound(model, rows, seeded(), mask_id=MASK)
    assert (
        abs(theirs.mean() - ours.mean())
        < 4 * (theirs.std() + ours.std()) / len(rows) ** 0.5 + 0.01 * ours.mean()
    )


def test_masked_tokens_are_not_seen_and_k_are_masked():
    seen = []

    class Stub(nn.Module):
        def states(self, ids):
            seen.append(ids)
            return F.one_hot(ids, V).float()

        def head(self, states):
            return states

    ids = torch.randint(MASK, (5, 8), generator=seeded(2))
    masked_nll(Stub(), ids, torch.tensor([1, 2, 4, 7, 8]), seeded(), MASK)
    assert (seen[0] == MASK).sum(1).tolist() == [1, 2, 4, 7, 8]
    assert torch.equal(seen[0][seen[0] != MASK], ids[seen[0] != MASK])


def test_every_number_of_masks_is_as_likely_and_a_batch_covers_them_evenly():
    assert sample_num_masked(64, 64, seeded()).tolist() == list(range(1, 65))
    drawn = torch.cat([sample_num_masked(3, 4, seeded(seed)) for seed in range(2000)])
    assert drawn.bincount(minlength=5)[0] == 0 and drawn.bincount()[1:].min() > 1300


def test_the_exact_model_pays_the_entropy_of_its_language():
    pairs = torch.tensor([[0, 0], [1, 1]]).repeat(500, 1)
    assert_close(
        nll_bound(Twins(), pairs, seeded(), mask_id=2, draws=4).mean().item(),
        math.log(2) / 2,
        rtol=0.03,
        atol=0,
    )


@pytest.mark.slow
def test_no_model_beats_log_v_on_noise():
    torch.manual_seed(0)
    fresh = [torch.randint(MASK, (32, 12), generator=seeded(n)) for n in range(150)]
    samples = Transformer(
        modern(vocab_size=V, context=12, width=32, depth=2, heads=2, causal=False)
    )
    history = fit(
        samples,
        partial(masked_diffusion_loss, mask_id=MASK),
        fresh,
        steps=150,
        seed=0,
        progress=False,
    )
    assert 0.99 * math.log(MASK) < sum(history.losses[-30:]) / 30 < 1.05 * math.log(MASK)


@pytest.mark.slow
def test_overfits_one_text_and_then_writes_it_in_any_order():
    torch.manual_seed(0)
    known = torch.randint(MASK, (1, 12), generator=seeded(9))
    shape = modern(vocab_size=V, context=12, width=32, depth=2, heads=2, causal=False)
    samples = Transformer(
        replace(shape, positions="learned")
    )  # rope tells distances alone: among blanks all places are one
    fit(
        samples,
        partial(masked_diffusion_loss, mask_id=MASK),
        [known.repeat(16, 1)],
        steps=150,
        seed=0,
        progress=False,
    )
    blank = torch.full((4, 12), MASK)
    for order in ("random", "confidence"):
        assert torch.equal(
            fill_masks(samples, blank, seeded(), mask_id=MASK, order=order, steps=6),
            known.repeat(4, 1),
        )


def test_tokens_filled_in_one_step_are_independent_of_each_other():
    blank = torch.full((2000, 2), 2)
    slow, fast = (fill_masks(Twins(), blank, seeded(), mask_id=2, steps=steps) for steps in (2, 1))
    assert (slow[:, 0] == slow[:, 1]).all() and 900 < slow[:, 0].sum() < 1100
    assert 900 < (fast[:, 0] == fast[:, 1]).sum() < 1100


@pytest.mark.parametrize("order", ["random", "confidence"])
@pytest.mark.parametrize("steps", [1, 3, 5, None])
def test_given_tokens_stay_and_every_mask_is_filled(order, steps):
    ids = torch.randint(MASK, (3, 9), generator=seeded(4))
    ids[0, 2:7], ids[1, ::2], ids[2, :1] = MASK, MASK, MASK
    before, passes = ids.clone(), []
    samples = fill_masks(
        model,
        ids,
        seeded(),
        mask_id=MASK,
        order=order,
        steps=steps,
        on_step=lambda step, now: passes.append((now == MASK).sum(1)),
    )
    assert torch.equal(ids, before) and torch.equal(samples[before != MASK], before[before != MASK])
    assert (samples != MASK).all() and len(passes) == (steps or 5) and not passes[-1].any()
    assert torch.equal(
        samples, fill_masks(model, ids, seeded(), mask_id=MASK, order=order, steps=steps)
    )


def test_texts_without_masks_are_unchanged():
    whole = torch.zeros(2, 3, dtype=torch.long)
    assert torch.equal(fill_masks(model, whole, mask_id=MASK), whole)


@pytest.mark.parametrize("steps", [1, 3, 4, 8, 12])
def test_filling_by_confidence_equals_diffusers_block_refinement(steps):
    theirs = BlockRefinementScheduler(block_length=12, threshold=1.0)
    theirs.set_timesteps(steps, block_length=12)
    sample = torch.full((3, 12), MASK)
    ours = fill_masks(model, sample, mask_id=MASK, order="confidence", temperature=0, steps=steps)
    with torch.no_grad():
        for step in range(steps):
            logits = model(sample).index_fill(-1, torch.tensor([MASK]), -1e9)
            sample = theirs.step(
                logits, step, sample, mask_token_id=MASK, temperature=0.0
            ).prev_sample
    assert torch.equal(ours, sample)


def test_the_masks_left_after_each_step_are_those_of_diffusers_linear_schedule():
    theirs, sample, left = (
        AmusedScheduler(MASK, masking_schedule="linear"),
        torch.full((1, 12), MASK),
        [],
    )
    theirs.set_timesteps(4, temperature=0)
    fill_masks(
        model,
        sample,
        seeded(),
        mask_id=MASK,
        steps=4,
        on_step=lambda step, ids: left.append(int((ids == MASK).sum())),
    )
    found, now = [], sample
    for t in theirs.timesteps:
        now = theirs.step(
            torch.randn(1, 12, MASK, generator=seeded(int(t))), t, now, generator=seeded()
        ).prev_sample
        found.append(int((now == MASK).sum()))
    assert left == found == [9, 6, 3, 0]


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"steps": 4}, {"steps": 1.5}, {"order": "left"}, {"temperature": -1}]
)
def test_bad_arguments_of_fill_masks_are_refused_by_name(wrong):
    with pytest.raises(
        ValueError, match="and 3 masks in a row; give a whole number of steps from 1 to the masks"
    ):
        fill_masks(model, torch.full((1, 3), MASK), mask_id=MASK, **wrong)


def test_one_text_without_its_batch_is_refused():
    with pytest.raises(ValueError, match=r"for one text ids\[None\]"):
        fill_masks(model, torch.full((3,), MASK), mask_id=MASK)


@pytest.mark.parametrize(
    "batch",
    [
        torch.zeros(0, 4, dtype=torch.long),
        torch.zeros(4, dtype=torch.long),
        torch.full((2, 3), MASK),
    ],
)
def test_a_batch_that_cannot_be_trained_on_is_refused(batch):
    with pytest.raises(ValueError, match=f"give token ids .*none of them mask_id={MASK}"):
        masked_diffusion_loss(model, batch, mask_id=MASK)
