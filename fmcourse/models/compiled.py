"""Models that `torch.compile` wrapped: the same weights, under names with a prefix."""

from torch import nn

PREFIX = "_orig_mod."  # torch's; inside a model too, where a single block was compiled


def uncompiled(model: nn.Module) -> nn.Module:
    """The model that `torch.compile` was given; any other model itself."""
    return getattr(model, "_orig_mod", model)


def uncompiled_name(name: str) -> str:
    """A parameter's name as it is without `torch.compile`.

    >>> uncompiled_name("_orig_mod.stack.blocks.0._orig_mod.mlp.up.weight")
    'stack.blocks.0.mlp.up.weight'
    """
    return name.replace(PREFIX, "")
