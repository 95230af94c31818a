"""Diffusion for words: letters vanish one by one instead of fading, and a model that looks both ways brings them back, in any order.

    B texts   T positions   V vocabulary   k how many of the T are hidden

The model is a masked one and so is its objective, with two changes: how much is hidden is drawn anew for each text, from one token to all,
and what is hidden is always [MASK]. With these it is no longer only an exercise: it is a model of whole texts, and writes them.

Austin et al. 2021 (D3PM); Hoogeboom et al. 2021 (any order); Sahoo et al. 2024 (MDLM); Nie et al. 2025 (LLaDA).
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fmcourse.objectives import Loss


def masked_diffusion_loss(
    model: nn.Module, batch: Tensor, generator: torch.Generator | None = None, *, mask_id: int
) -> Loss:
    """Of each text any number of tokens, from one to all, is hidden: which were they? In nats per token.

    Its mean is what a text costs over all orders in which its tokens might be uncovered: a bound, for all that the model knows of the
    text can only make it likelier.

    Args:
        model: looks both ways; `states` (B, T) -> (B, T, D) and `head` (..., D) -> (..., V), as a `Transformer` has them.
        batch: token ids, (B, T).
        mask_id: the id of [MASK], which no text holds.
    Raises: ValueError for an empty batch, or one that holds [MASK].
    Source: Hoogeboom et al. 2021 (a number of tokens is drawn); Sahoo et al. 2024, Nie et al. 2025 (a share is: the same in the mean).
    """
    nats = masked_nll(
        model, batch, sample_num_masked(len(batch), batch.shape[-1], generator), generator, mask_id
    )
    return Loss(nats.mean(), {"nats per token": nats.mean().item()}, batch.numel())


def sample_num_masked(rows: int, T: int, generator: torch.Generator | None = None) -> Tensor:
    """How many of T tokens are hidden in each row, (B,): each number from 1 to T as likely, and spread evenly over the batch."""
    where = "cpu" if generator is None else generator.device
    at = (
        torch.arange(rows, device=where) + torch.rand(rows, generator=generator, device=where)
    ) / max(1, rows)
    return (1 + (at * T).long()).clamp(max=T)


def masked_nll(
    model: nn.Module, ids: Tensor, k: Tensor, generator: torch.Generator | None, mask_id: int
) -> Tensor:
    """k (B,) tokens of each row are hidden by chance: mean surprise at them, (B,), in nats."""
    if ids.ndim != 2 or not ids.numel() or (ids == mask_id).any():
        raise ValueError(
            f"batch {tuple(ids.shape)} with {int((ids == mask_id).sum())} [MASK] in it; give token ids (B, T), at least one, and "
            f"none of them mask_id={mask_id}."
        )
    hidden = (
        torch.rand(ids.shape, generator=generator, device=ids.device).argsort(1)
        < k.to(ids.device)[:, None]
    )
    log_p = masked_log_probs(model, ids.masked_fill(hidden, mask_id), hidden, mask_id)
    nats = F.nll_loss(log_p, ids[hidden], reduction="none")
    return torch.zeros_like(ids, dtype=nats.dtype).masked_scatter(hidden, nats).sum(1) / hidden.sum(
        1
    )


def masked_log_probs(model: nn.Module, ids: Tensor, at: Tensor, mask_id: int) -> Tensor:
    """Log-probabilities (N, V) of the tokens where `at` (B, T) is True; [MASK] itself is never one."""
    logits = model.head(
        model.states(ids)[at]
    )  # the head, the dear part, is asked only where there is a question
    return logits.index_fill(
        -1, torch.tensor([mask_id], device=logits.device), -torch.inf
    ).log_softmax(-1)


@torch.no_grad()
def nll_bound(
    model: nn.Module,
    ids: Tensor,
    generator: torch.Generator | None = None,
    *,
    mask_id: int,
    draws: int = 1,
) -> Tensor:
    """At most so many nats does each text (B, T) cost per token, (B,): the mean over `draws` numbers of hidden tokens."""
    found = []
    for _ in range(draws):
        k = sample_num_masked(*ids.shape, generator)
        mixed = torch.randperm(
            len(k), generator=generator, device=k.device
        )  # else the first rows would always hide fewest
        found.append(masked_nll(model, ids, k[mixed], generator, mask_id))
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
    """Texts (B, T) with every [MASK] filled in, the rest as it was: all blanks write a text, some mend one.

    Each step guesses all blanks at once and keeps a few. Those kept together did not see each other: fewer steps, worse texts.

    Args:
        steps: passes of the model; None is one for each blank of the row that has most.
        order: which guesses are kept: any, or the surest (which is quicker to make sense, and not what the bound speaks of).
        temperature: 0 takes the likeliest token.
        on_step: called with (step, ids) after each.
    Raises: ValueError for fewer than one step or more than blanks, an unknown order, a temperature below 0, or ids that are not (B, T).
    Source: Sahoo et al. 2024; the surest first: Chang et al. 2022 (MaskGIT), Nie et al. 2025.
    """
    if ids.ndim != 2:
        raise ValueError(f"ids have shape {tuple(ids.shape)}; give (B, T), for one text ids[None].")
    ids, blanks = ids.clone(), (ids == mask_id).sum(1)
    most = int(blanks.max()) if len(blanks) else 0
    steps = max(1, most) if steps is None else steps
    if (
        steps != int(steps)
        or not 1 <= steps <= max(1, most)
        or order not in ("random", "confidence")
        or temperature < 0
    ):
        raise ValueError(
            f"steps={steps}, order={order!r}, temperature={temperature}, and {most} blanks in a row; give a whole number of steps "
            "from 1 to the blanks, 'random' or 'confidence', and a temperature of at least 0."
        )
    for step in range(steps if most else 0):
        at = ids == mask_id
        log_p = masked_log_probs(model, ids, at, mask_id)
        drawn = (
            log_p.argmax(-1)
            if temperature == 0
            else torch.multinomial((log_p / temperature).softmax(-1), 1, generator=generator)[:, 0]
        )
        sure = (
            log_p.gather(1, drawn[:, None])[:, 0]
            if order == "confidence"
            else torch.rand(drawn.shape, generator=generator, device=ids.device).to(log_p)
        )
        table = torch.full(
            ids.shape, -torch.inf, dtype=log_p.dtype, device=ids.device
        ).masked_scatter(at, sure)
        rank = table.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
        now = blanks // steps + (
            step < blanks % steps
        )  # as many in each step, the first ones a little more
        ids = torch.where(
            at & (rank < now[:, None]), torch.zeros_like(ids).masked_scatter(at, drawn), ids
        )
        if on_step is not None:
            on_step(step, ids)
    return ids
