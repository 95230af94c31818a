"""LoRA: trainable matrices of low rank beside linear layers that stay frozen (Hu et al. 2021).

    I inputs of a layer   O outputs   R rank, much smaller than both

    x (..., I) ──┬── W (O, I), frozen ────────────────┬──▶ (..., O)
                 └── A (R, I) ── B (O, R) ── scale ───┘

A starts random and B at zero, so the model starts as the one it was. Trained are R (I + O)
parameters instead of I O. After training, W + scale B A is a single matrix again (`merge_lora`);
`fmcourse.pretrained.save_adapter` stores A and B alone, in a folder that the library peft opens.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fmcourse.models.transformer import Transformer

# Target -> the linear layer inside a block that holds its matrix, and which of the matrices that
# are stored one above the other in that layer it is (-1: the last).
LORA_TARGETS = {
    "q": ("attention.qkv_proj", 0),
    "k": ("attention.qkv_proj", 1),
    "v": ("attention.qkv_proj", 2),
    "out": ("attention.out_proj", 0),
    "gate": ("mlp.up", 0),
    "up": ("mlp.up", -1),
    "down": ("mlp.down", 0),
}


class LoRALinear(nn.Module):
    """A frozen linear layer plus a low-rank update of some of its parts: (..., I) -> (..., O).

    Args:
        base: the layer; frozen here.
        sizes: outputs of each part, where one layer holds several matrices; they add up to O.
        parts: which of the parts get an update.
        rank: R.
        alpha: weight of the update: scale = alpha / R, so that another rank does not ask for
            another learning rate (section 4.1).
    """

    def __init__(
        self, base: nn.Linear, sizes: Sequence[int], parts: Sequence[int], rank: int, alpha: float
    ) -> None:
        super().__init__()
        self.base, self.scale = base.requires_grad_(False), alpha / rank
        self.sizes, self.parts = list(sizes), list(parts)
        # A model may be adapted after it was moved to a GPU or to half precision.
        like = {"device": base.weight.device, "dtype": base.weight.dtype}
        self.A = nn.ParameterList(torch.empty(rank, base.in_features, **like) for _ in self.parts)
        # Only one of the two is zero: with A = B = 0 neither would ever get a gradient.
        self.B = nn.ParameterList(torch.zeros(sizes[part], rank, **like) for part in self.parts)
        for A in self.A:
            nn.init.kaiming_uniform_(A, a=math.sqrt(5))  # as nn.Linear draws its weight

    def forward(self, x: Tensor) -> Tensor:
        y = self.base(x)
        for part, A, B in zip(self.parts, self.A, self.B, strict=True):
            # A view of this part's columns of y, so that adding in place copies nothing.
            y_part = y.narrow(-1, sum(self.sizes[:part]), self.sizes[part])
            # First to R features, then to the outputs: B A, as large as W, is never computed.
            # The base layer's backward pass needs x and W, not y, which may so change in place.
            y_part.add_(F.linear(F.linear(x, A), B), alpha=self.scale)
        return y

    @torch.no_grad()
    def merge(self) -> nn.Linear:
        """The base layer with W + scale B A as its weight, trainable."""
        # (O, I): the parts are stacked by rows.
        weights = list(self.base.weight.split(self.sizes))
        for part, A, B in zip(self.parts, self.A, self.B, strict=True):
            weights[part] = weights[part] + self.scale * B @ A  # (O of the part, R) times (R, I)
        self.base.weight = nn.Parameter(torch.cat(weights))
        return self.base.requires_grad_(True)


def add_lora(
    model: nn.Module, rank: int = 8, alpha: float = 16.0, targets: Sequence[str] = ("q", "v")
) -> nn.Module:
    """Freeze a model and put LoRA matrices beside the target matrices of every block, in place.

    Args:
        model: a `Transformer`, or a module around one. What lies outside the Transformer, such as
            a new head, is frozen too; unfreeze it afterwards.
        rank, alpha: see `LoRALinear`.
        targets: some of q, k, v, out, gate (only where the MLP is gated), up, down.
    Returns: the model. A is drawn from torch's global random stream: call `torch.manual_seed`
        first to repeat it.
    Raises: ValueError for a rank below 1, a target that the model does not have, a model that has
        LoRA matrices already, or one whose weights are in 4 bits.
    Source: Hu et al. 2021, section 4; q and v as in section 7.1.
    """
    if rank < 1 or not targets:
        raise ValueError(
            f"rank={rank}, targets={tuple(targets)}: give a rank of at least 1 and at least one "
            "target, such as ('q', 'v')."
        )
    if lora_layers(model):
        raise ValueError(
            "this model has LoRA matrices already; train those, or merge them first (merge_lora)."
        )
    transformers = [module for module in model.modules() if isinstance(module, Transformer)]
    if not transformers:
        raise ValueError(
            f"{type(model).__name__} holds no Transformer, so it has no {', '.join(targets)}."
        )
    for transformer in transformers:
        check_targets(targets, lora_targets(transformer))  # all, before anything is changed
        check_layers(transformer, targets)
    model.requires_grad_(False)  # before A and B exist: they stay trainable
    for transformer in transformers:
        wrap_layers(transformer, rank, alpha, targets)
    return model


def wrap_layers(model: Transformer, rank: int, alpha: float, targets: Sequence[str]) -> None:
    """Replace each linear layer that holds a target by a `LoRALinear` around it."""
    known = lora_targets(model)
    paths = dict.fromkeys(known[name][0] for name in targets)  # each once, in the order given
    for block in model.stack.blocks:
        for path in paths:
            # q, k and v lie in one layer: they share a LoRALinear, and the base is computed once.
            parts = sorted(known[name][1] for name in targets if known[name][0] == path)
            sizes = split_sizes(model, path)
            layer = LoRALinear(block.get_submodule(path), sizes, parts, rank, alpha)
            block.set_submodule(path, layer)


def check_targets(targets: Sequence[str], known: dict[str, tuple[str, int]]) -> None:
    """Raises: ValueError naming the first target that is not known, and the one probably meant."""
    for target in targets:
        if target in known:
            continue
        # Other libraries write q_proj or query for q: the first letter tells which one is meant.
        near = [name for name in known if name[0] == target[:1]]
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"there is no {target!r} in this model; it has {', '.join(known)}.{hint}")


def check_layers(model: Transformer, targets: Sequence[str]) -> None:
    """Raises: ValueError if the layer of a target is no `nn.Linear` that A and B can adapt."""
    for path in (lora_targets(model)[target][0] for target in targets):
        for block in model.stack.blocks:
            if not isinstance(layer := block.get_submodule(path), nn.Linear):
                raise ValueError(
                    f"{path} is an {type(layer).__name__}, for use and not for training; load the "
                    "model with weights='fp32' to add LoRA matrices."
                )


def lora_targets(model: Transformer) -> dict[str, tuple[str, int]]:
    """The targets that this model has: name -> (layer's path inside a block, part of the layer)."""
    # A gated MLP stacks gate and up in one layer.
    gated = len(split_sizes(model, "mlp.up")) == 2
    targets = {}
    for name, (path, part) in LORA_TARGETS.items():
        if name != "gate" or gated:
            targets[name] = (path, part % len(split_sizes(model, path)))  # -1 becomes the last
    return targets


def split_sizes(model: Transformer, path: str) -> list[int]:
    """Outputs of each matrix that the linear layer at `path` of a block holds."""
    config = model.config
    if path == "attention.qkv_proj":
        kv_size = config.kv_heads * config.head_width  # smaller than the width with grouped queries
        return [config.heads * config.head_width, kv_size, kv_size]
    if path == "mlp.up":
        return [config.hidden] * (2 if config.mlp == "swiglu" else 1)
    return [config.width]


def lora_layers(model: nn.Module) -> list[tuple[str, LoRALinear]]:
    """The layers with a low-rank update and their paths, such as stack.blocks.0.mlp.down."""
    return [
        (path, module) for path, module in model.named_modules() if isinstance(module, LoRALinear)
    ]


def merge_lora(model: nn.Module) -> nn.Module:
    """Add each update to its frozen matrix and drop the LoRA matrices, in place; returns the model.

    The function stays the same up to rounding. All weights are trainable afterwards.
    """
    # A finished list, because the loop replaces modules of the tree that it came from.
    for path, layer in lora_layers(model):
        model.set_submodule(path, layer.merge())
    return model.requires_grad_(True)
