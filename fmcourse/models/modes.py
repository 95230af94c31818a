"""Evaluation mode: a network without dropout and without gradients, for as long as it is needed."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluate `model` inside the `with`: no dropout, fixed batch norm statistics, no gradients.

    Afterwards, also after an error, every module is back in the mode it was in before: a batch norm
    that was frozen in evaluation mode stays frozen. Not for the body of a generator, which would
    leave gradients off in the code that reads from it; there, enter it for each step.

    >>> model = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(2).eval())
    >>> with evaluating(model):
    ...     [module.training for module in model.modules()]
    [False, False, False]
    >>> [module.training for module in model.modules()]
    [True, True, False]
    """
    # Only what must change is changed: this runs for every token of a stream.
    in_training = [module for module in model.modules() if module.training]
    set_training(in_training, False)
    try:
        # Cheaper than `no_grad`: tensors made inside carry no bookkeeping of autograd at all.
        with torch.inference_mode():
            yield
    finally:
        set_training(in_training, True)


def set_training(modules: list[nn.Module], mode: bool) -> None:
    """`nn.Module.train(mode)` of each of these modules, without their children."""
    for module in modules:
        module.training = mode  # `train(mode)` would set all children too
