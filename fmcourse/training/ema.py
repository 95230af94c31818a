"""Averaged weights: an exponential moving average (EMA) of a model while it is trained."""

import copy

import torch
from torch import nn


class EMA:
    """A copy of a model whose weights are the exponential moving average of the model's.

        average = decay * average + (1 - decay) * weights

    Single training steps are noisy; their average is not, so samples drawn from it are better. Use
    `fit(..., on_step=lambda *_: ema.update())`, and `ema.model` afterwards.

    Args:
        model: the model that is trained.
        decay: share of the average that is kept at each update. In the first updates less is kept,
            (1 + n) / (10 + n) at update n, since the average still holds the untrained weights.
    Raises: ValueError for a decay that is not from 0 to below 1.
    Source: Polyak & Juditsky 1992; the smaller decay at the start is common practice.
    """

    def __init__(self, model: nn.Module, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay={decay}; it must be at least 0 and below 1.")
        self.source, self.decay, self.updates = model, decay, 0
        # Never trained by gradients, and used without dropout.
        self.model = copy.deepcopy(model).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self) -> None:
        """Move the average towards the model's present weights; call this after each step."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        weights = self.source.state_dict()  # buffers too, such as a BatchNorm's mean
        for name, average in self.model.state_dict().items():
            if average.is_floating_point():
                average.lerp_(weights[name], 1 - decay)  # in place: state_dict does not copy
            else:  # counters, such as the batches that a BatchNorm has seen, have no mean
                average.copy_(weights[name])
