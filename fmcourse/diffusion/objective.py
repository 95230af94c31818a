"""What a diffusion model learns: from a noisy image, its noise, the image or the velocity."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fmcourse.diffusion.schedule import PredictionType, Schedule
from fmcourse.objectives import Loss, own_rows


def diffusion_loss(
    model: nn.Module,
    batch: Any,
    generator: torch.Generator | None = None,
    *,
    schedule: Schedule,
    predicts: PredictionType = "noise",
    condition_dropout: float = 0.1,
    null_condition: Any = None,
) -> Loss:
    """Mean squared error of the prediction, at a random timestep for each image.

    Args:
        model: called with x_t (B, ...), time t / T (B,) in (0, 1] and, if the batch holds one, the
            condition; returns (B, ...).
        batch: images (B, ...), or (images, conditions (B, ...)).
        condition_dropout: share of the conditions that are replaced by `null_condition`, so that
            the model learns to do without (for classifier-free guidance, Ho & Salimans 2022).
        null_condition: the condition that stands for "none". None: no condition is replaced.
    Raises: ValueError for an empty batch or an unknown prediction type.
    Source: Ho et al. 2020, algorithm 1.
    """
    x_0, *conditions = batch if isinstance(batch, tuple | list) else (batch,)  # one or none
    if not x_0.numel():
        raise ValueError(f"the batch {tuple(x_0.shape)} is empty; give at least one image.")
    random = {"generator": generator, "device": x_0.device}
    t = torch.randint(1, schedule.T + 1, (len(x_0),), **random)  # from 1: x_0 has no noise
    noise = torch.randn(x_0.shape, dtype=x_0.dtype, **random)
    if conditions and null_condition is not None:
        dropped = torch.rand(len(x_0), **random) < condition_dropout  # (B,)
        conditions = [drop_conditions(conditions[0], dropped, null_condition)]
    target = schedule.target(x_0, t, noise, predicts)
    # The network sees time as a share of T, so T may change without a new network.
    x_t, time = schedule.add_noise(x_0, t, noise), (t / schedule.T).to(x_0)
    x_t, time, target, *conditions = own_rows(generator, x_t, time, target, *conditions)
    # All timesteps weigh the same: the simplified loss, equation 14.
    value = F.mse_loss(model(x_t, time, *conditions), target)
    return Loss(value, {"mean square": value.item()}, len(x_t))


def drop_conditions(condition: Tensor, dropped: Tensor, null_condition: Any) -> Tensor:
    """The conditions (B, ...), with `null_condition` in the rows where `dropped` (B,) is True."""
    null = torch.as_tensor(null_condition, dtype=condition.dtype, device=condition.device)
    rows = dropped.view(-1, *[1] * (condition.ndim - 1))  # (B, 1, ...)
    # A scalar null_condition is broadcast over the whole row.
    return torch.where(rows, null, condition)
