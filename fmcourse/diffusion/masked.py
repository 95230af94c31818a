"""Masked diffusion: a diffusion model of text, whose noise is the token [MASK].

    B texts   T positions   V vocabulary   k masked tokens in a text

The forward process replaces tokens by [MASK] one by one until nothing is left; the model, which
reads in both directions, predicts masked tokens, in any order. The objective is masked language
modelling with two changes: the number of masked tokens is drawn anew for each text, from one to
all, and masked tokens always become [MASK]. This makes it a bound on the likelihood of whole texts,
and a model from which texts can be sampled.

Austin et al. 2021 (D3PM); Hoogeboom et al. 2021 (any-order autoregression); Sahoo et al. 2024
(MDLM); Nie et al. 2025 (LLaDA).
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fmcourse.objectives import Loss, own_rows


def masked_diffusion_loss(
    model: nn.Module, batch: Tensor, generator: torch.Generator | None = None, *, mask_id: int
) -> Loss:
    """Cross-entropy of masked tokens, from one to all of each text, in nats per token.

    Its expectation is the mean negative log-likelihood of a text over all orders in which its
    tokens might be uncovered: an upper bound on the true one.

    Args:
        model: bidirectional; `states` (B, T) -> (B, T, D) and `head` (..., D) -> (..., V), as a
            `Transformer` has them.
        batch: token ids, (B, T).
        mask_id: the id of [MASK], which no text holds.
    Raises: ValueError for an empty batch, or one that holds [MASK].
    Source: Hoogeboom et al. 2021, who draw a number of tokens; Sahoo et al. 2024 and Nie et al.
        2025 draw a share, which is the same on average.
    """
    k = sample_num_masked(len(batch), batch.shape[-1], generator)
    nats = masked_nll(model, batch, k, generator, mask_id)  # (B,)
    value = nats.mean()
    return Loss(value, {"nats per token": value.item()}, len(nats) * batch.shape[1])


def sample_num_masked(rows: int, T: int, generator: torch.Generator | None = None) -> Tensor:
    """How many of T tokens to mask in each row, (B,): uniform from 1 to T, in ascending order.

    Stratified: the range is cut into as many equal parts as there are rows, and each row draws
    from its part. The loss varies less from batch to batch than with independent draws.
    """
    # A generator draws only for its own device.
    device = "cpu" if generator is None else generator.device
    uniform = torch.rand(rows, generator=generator, device=device)
    share = (torch.arange(rows, device=device) + uniform) / max(1, rows)  # from 0 to 1
    return (1 + (share * T).long()).clamp(max=T)  # rounding could give T + 1


def masked_nll(
    model: nn.Module, ids: Tensor, k: Tensor, generator: torch.Generator | None, mask_id: int
) -> Tensor:
    """Mask k (B,) random tokens of each row; their mean negative log-likelihood, (B,), in nats."""
    if ids.ndim != 2 or not ids.numel() or (ids == mask_id).any():
        raise ValueError(
            f"batch {tuple(ids.shape)} with {int((ids == mask_id).sum())} [MASK] in it; "
            f"give token ids (B, T), at least one, and none of them mask_id={mask_id}."
        )
    # A random permutation in each row: the k positions that it sends to 0 ... k - 1 are masked.
    order = torch.rand(ids.shape, generator=generator, device=ids.device).argsort(1)  # (B, T)
    masked = order < k.to(ids.device)[:, None]
    ids, masked = own_rows(generator, ids, masked)
    log_p = masked_log_probs(model, ids.masked_fill(masked, mask_id), masked, mask_id)
    nats = F.nll_loss(log_p, ids[masked], reduction="none")  # (masked tokens of all rows,)
    by_position = torch.zeros_like(ids, dtype=nats.dtype).masked_scatter(masked, nats)  # (B, T)
    # As k is uniform from 1 to T, the mean over the masked tokens needs no further weight.
    return by_position.sum(1) / masked.sum(1)


def masked_log_probs(model: nn.Module, ids: Tensor, masked: Tensor, mask_id: int) -> Tensor:
    """Log-probabilities (N, V) of the N tokens where `masked` (B, T) is True.

    [MASK] itself gets probability 0, since no text holds it. The head is computed at masked
    positions alone: with a large vocabulary it is the most expensive layer.
    """
    logits = model.head(model.states(ids)[masked])  # (N, V)
    mask_column = torch.tensor([mask_id], device=logits.device)
    # Before the softmax, so that the other probabilities add up to 1.
    return logits.index_fill(-1, mask_column, -torch.inf).log_softmax(-1)


@torch.no_grad()
def nll_bound(
    model: nn.Module,
    ids: Tensor,
    generator: torch.Generator | None = None,
    *,
    mask_id: int,
    draws: int = 1,
) -> Tensor:
    """Upper bound on the negative log-likelihood of each text (B, T), in nats per token, (B,).

    An estimate, from `draws` random masks for each text.
    """
    found = []
    for _ in range(draws):
        k = sample_num_masked(*ids.shape, generator)
        # The numbers ascend, so without shuffling the first texts would always have fewest masks.
        shuffled = torch.randperm(len(k), generator=generator, device=k.device)
        found.append(masked_nll(model, ids, k[shuffled], generator, mask_id))
    return torch.stack(found).mean(0)


@torch.no_grad()
def fill_masks(
    model: nn.Module,
    ids: Tensor,
    generator: torch.Generator | None = None,
    *,
    mask_id: int,
    steps: int | None = None,
    order: Literal["random", "confidence"] = "random",
    temperature: float = 1.0,
    on_step: Callable[[int, Tensor], object] | None = None,
) -> Tensor:
    """The reverse process: texts (B, T) with every [MASK] filled in, the rest unchanged.

    Texts of masks alone are sampled from nothing; with some masks it is infilling. Each step
    predicts all masked tokens and keeps some of them. Tokens kept in one step are drawn
    independently of each other, so fewer steps mean less coherent texts.

    Args:
        steps: forward passes; None: one for each mask of the row that has most.
        order: which predictions are kept: random ones (what `nll_bound` assumes), or those with
            the highest probability.
        temperature: 0 takes the likeliest token.
        on_step: called with (step, ids) after each step.
    Raises: ValueError for bad arguments, see `check_fill_arguments`.
    Source: Sahoo et al. 2024; by confidence: Chang et al. 2022 (MaskGIT), Nie et al. 2025.
    """
    most = check_fill_arguments(ids, mask_id, steps, order, temperature)
    ids, num_masks = ids.clone(), (ids == mask_id).sum(1)
    steps = most if steps is None else steps
    for step in range(steps if most else 0):  # no step if there is nothing to fill
        masked = ids == mask_id
        log_p = masked_log_probs(model, ids, masked, mask_id)
        tokens = draw_tokens(log_p, temperature, generator)
        if order == "confidence":
            priority = log_p.gather(1, tokens[:, None])[:, 0]  # (N,), of the tokens drawn
        else:
            priority = torch.rand(tokens.shape, generator=generator, device=ids.device).to(log_p)
        # Each step keeps an equal share of a row's masks; the first steps take the remainder.
        count = num_masks // steps + (step < num_masks % steps)
        kept = masked & (rank_in_row(priority, masked) < count[:, None])
        # (B, T): the drawn tokens go back to their positions, and those kept replace [MASK].
        ids = torch.where(kept, torch.zeros_like(ids).masked_scatter(masked, tokens), ids)
        if on_step is not None:
            on_step(step, ids)
    return ids


def check_fill_arguments(
    ids: Tensor, mask_id: int, steps: int | None, order: str, temperature: float
) -> int:
    """The number of masks in the row that has most.

    Raises: ValueError for fewer than one step or more than masks, an unknown order, a temperature
        below 0, or ids that are not (B, T).
    """
    if ids.ndim != 2:
        raise ValueError(f"ids have shape {tuple(ids.shape)}; give (B, T), for one text ids[None].")
    most = int((ids == mask_id).sum(1).max()) if len(ids) else 0
    bad_steps = steps is not None and (steps != int(steps) or not 1 <= steps <= max(1, most))
    if bad_steps or order not in ("random", "confidence") or temperature < 0:
        raise ValueError(
            f"steps={steps}, order={order!r}, temperature={temperature}, and {most} masks in a "
            "row; give a whole number of steps from 1 to the masks, 'random' or 'confidence', and "
            "a temperature of at least 0."
        )
    return most


def draw_tokens(log_p: Tensor, temperature: float, generator: torch.Generator | None) -> Tensor:
    """One token from each row of log-probabilities (N, V), (N,); temperature 0: the likeliest."""
    if temperature == 0:
        return log_p.argmax(-1)
    p = (log_p / temperature).softmax(-1)
    return torch.multinomial(p, 1, generator=generator)[:, 0]  # (N, 1) to (N,)


def rank_in_row(priority: Tensor, masked: Tensor) -> Tensor:
    """Ranks (B, T), 0 for the highest priority (N,) among the masked positions of each row."""
    table = torch.full(masked.shape, -torch.inf, dtype=priority.dtype, device=priority.device)
    table = table.masked_scatter(masked, priority)  # positions that are not masked come last
    # The first argsort gives positions in order of priority, the second each position's rank.
    return table.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
