"""Supervised fine-tuning and direct preference optimization: objectives for `fit`.

B rows   T tokens

fit(model, supervised_fine_tuning, RandomBatches(*encode_responses(...), batch=32), steps=500)

ids, mask = encode_preferences(tokenizer, preferences, end_id)
before = response_log_probs(model, ids, mask)  # the reference is the model as it is now
fit(model, direct_preference, RandomBatches(ids, mask, before, batch=32), steps=200)
"""

import torch
from torch import Tensor, nn

from fmcourse.alignment.losses import (
    dpo_loss,
    implicit_rewards,
    masked_mean,
    masked_sum,
    token_log_probs,
)
from fmcourse.alignment.preferences import in_batches, shift, trim_padding
from fmcourse.objectives import Loss, own_rows


def supervised_fine_tuning(
    model: nn.Module, batch: tuple[Tensor, Tensor], generator: torch.Generator | None = None
) -> Loss:
    """Cross-entropy of the response alone, in nats per token; the prompt is read, not learned.

    Args:
        model: token ids (B, T) -> logits (B, T, V), causal.
        batch: ids (B, T) and mask of the responses (B, T), see `encode_responses`.
    Raises: ValueError if no token belongs to a response.
    Source: Ouyang et al. 2022 (InstructGPT), section 3.5; Radford et al. 2018, equation 1.
    """
    ids, mask = own_rows(generator, *trim_padding(*batch))
    inputs, labels, mask = shift(ids, mask)
    value = -masked_mean(token_log_probs(model(inputs), labels), mask)
    return Loss(value, {"nats per token": value.item()}, int(mask.sum()))


def direct_preference(
    model: nn.Module,
    batch: tuple[Tensor, Tensor, Tensor],
    generator: torch.Generator | None = None,
    *,
    beta: float = 0.1,
) -> Loss:
    """DPO: the chosen response becomes likelier than the rejected one, compared with a reference.

    Args:
        model: the policy, token ids (B, T) -> logits (B, T, V), causal.
        batch: ids (B, 2, T) and mask (B, 2, T), see `encode_preferences`; and the reference's
            `response_log_probs` of them, (B, 2), computed once, before training.
        beta: see `dpo_loss`.
    Raises: ValueError if no token belongs to a response.
    Source: Rafailov et al. 2023, equation 7.
    """
    ids, mask, reference = own_rows(generator, *trim_padding(*batch[:2]), batch[2])
    log_probs = sum_log_probs(model, ids, mask)  # (B, 2)
    value = dpo_loss(*log_probs.unbind(1), *reference.unbind(1), beta)
    rewards = implicit_rewards(log_probs.detach(), reference, beta)
    margins = rewards[:, 0] - rewards[:, 1]
    parts = {"nats per pair": value.item(), "margin": margins.mean().item()}
    return Loss(value, parts | {"accuracy": (margins > 0).float().mean().item()}, len(ids))


def sum_log_probs(model: nn.Module, ids: Tensor, mask: Tensor) -> Tensor:
    """log p of each whole response given its prompt, in nats: ids and mask (..., T) -> (...)."""
    inputs, labels, label_mask = shift(ids.flatten(0, -2), mask.flatten(0, -2))
    log_probs = token_log_probs(model(inputs), labels)
    return masked_sum(log_probs, label_mask).view(ids.shape[:-1])


def response_log_probs(model: nn.Module, ids: Tensor, mask: Tensor, batch: int = 64) -> Tensor:
    """`sum_log_probs` of a whole data set without gradients, `batch` rows at a time.

    Args:
        ids, mask: (N, T), or (N, 2, T) for pairs.
    Returns: (N,) or (N, 2), on the device of `ids`.
    """
    return in_batches(model, sum_log_probs, ids, mask, batch)
