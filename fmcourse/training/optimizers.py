"""How weights move: AdamW for vectors and tables, Muon for matrices, and the schedule of their steps.

Loshchilov & Hutter 2019 (AdamW); Jordan et al. 2024 (Muon: https://kellerjordan.github.io/posts/muon/).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from fmcourse.fast import matmul_transposed, prefers_onednn

# a x + b x³ + c x⁵, steep at zero, so that small singular values are lifted too. Five times the same: Jordan et al. 2024;
# three, each made for what the one before leaves: Amsel et al. 2025 (The Polar Express), the first three of their table.
NEWTON_SCHULZ = {
    5: [(3.4445, -4.7750, 2.0315)] * 5,
    3: [(8.28721, -23.59589, 17.30039), (4.10706, -2.94785, 0.54484), (3.94869, -2.90890, 0.55182)],
}


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """How to train. `MUON` is what the course uses; `ADAMW` is what most tutorials do.

    Args:
        matrix_optimizer: "muon" or "adamw" for the matrices inside the stack; all else is AdamW's.
        lr, matrix_lr: largest step, for AdamW and for Muon.
        ns_steps: of products that turn Muon's steps into rotations: 5, or 3, which is cheaper and coarser.
        warmup: share of the run in which the step grows from zero.
        lr_decay: "linear" or "cosine", from there down to `min_lr_ratio` of the largest.
        betas, weight_decay, clip: AdamW's memories; pull towards zero; longest gradient (0: no limit).
    Raises: ValueError naming the field.
    """

    matrix_optimizer: Literal["muon", "adamw"] = "muon"
    lr: float = 4e-3
    matrix_lr: float = 0.03
    ns_steps: int = 5
    warmup: float = 0.02
    lr_decay: Literal["linear", "cosine"] = "linear"
    min_lr_ratio: float = 0.0
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.0
    clip: float = 1.0

    def __post_init__(self) -> None:
        if self.matrix_optimizer not in ("muon", "adamw") or self.lr_decay not in (
            "linear",
            "cosine",
        ):
            raise ValueError(
                f"matrix_optimizer={self.matrix_optimizer!r}, lr_decay={self.lr_decay!r}: choose 'muon' or 'adamw', 'linear' or 'cosine'."
            )
        if self.ns_steps not in NEWTON_SCHULZ:
            raise ValueError(
                f"ns_steps={self.ns_steps} is not known; choose {' or '.join(map(str, NEWTON_SCHULZ))}."
            )
        if (
            min(self.lr, self.matrix_lr) <= 0
            or not 0 <= self.warmup < 1
            or min(self.clip, self.weight_decay) < 0
        ):
            raise ValueError(
                f"lr={self.lr} and matrix_lr={self.matrix_lr} must be above 0, warmup={self.warmup} in [0, 1), "
                f"clip={self.clip} and weight_decay={self.weight_decay} 0 or more."
            )

    def lr_scale(self, progress: float) -> float:
        """Share of the largest step when `progress` of the run, in [0, 1], is behind us.

        >>> [round(OptimizerConfig(warmup=0.5).lr_scale(progress), 2) for progress in (0.25, 0.5, 0.75, 1.0)]
        [0.5, 1.0, 0.5, 0.0]
        """
        if progress < self.warmup:
            return progress / self.warmup
        left = (1 - progress) / (1 - self.warmup)
        left = left if self.lr_decay == "linear" else (1 - math.cos(math.pi * left)) / 2
        return self.min_lr_ratio + (1 - self.min_lr_ratio) * left


@dataclass(frozen=True, kw_only=True)
class InverseSqrtConfig(OptimizerConfig):
    """The schedule of 2017: up in a straight line, then down with one over the root of the step; it never reaches zero.

    Source: Vaswani et al. 2017, equation 3, whose largest step is (width * warm-up steps) ** -0.5.
    """

    def lr_scale(self, progress: float) -> float:
        """
        >>> [round(InverseSqrtConfig(warmup=0.25).lr_scale(progress), 2) for progress in (0.125, 0.25, 1.0)]
        [0.5, 1.0, 0.5]
        """
        return min(progress / self.warmup, (self.warmup / progress) ** 0.5) if progress else 0.0


MUON = OptimizerConfig()
MUON_SHORT_RUN = OptimizerConfig(
    lr=8e-3, matrix_lr=0.04, ns_steps=3
)  # for half a minute: larger steps, cheaper ones
ADAMW = OptimizerConfig(
    matrix_optimizer="adamw",
    lr=1e-3,
    lr_decay="cosine",
    min_lr_ratio=0.1,
    warmup=0.05,
    betas=(0.9, 0.99),
    weight_decay=0.1,
)


def orthogonalize(matrices: Tensor, ns_steps: int = 5) -> Tensor:
    """Nearest thing to a rotation: every singular value is brought near 1, by products alone (Newton and Schulz).

    Args:
        matrices: (rows, columns) or (N, rows, columns), rows at most columns.
        ns_steps: one of NEWTON_SCHULZ.
    """
    x = matrices / (torch.linalg.matrix_norm(matrices, keepdim=True) + 1e-7)
    for a, b, c in NEWTON_SCHULZ[ns_steps]:
        square = matmul_transposed(x, x)
        x = matmul_transposed(
            matmul_transposed(square, square).mul_(c).add_(square, alpha=b), x.mT
        ).add_(x, alpha=a)
    return x


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised: a matrix moves by the same length in every direction, also in those with faint gradients.

    Tall and wide matrices are cut into square-ish pieces that are turned on their own: queries, keys and values, which share one
    matrix here, are three matrices to Muon. Pieces of one shape go through the products together.
    """

    def __init__(
        self,
        weights: list[Tensor],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        ns_steps: int = 5,
    ) -> None:
        super().__init__(
            weights,
            {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "ns_steps": ns_steps},
        )

    @torch.no_grad()
    def step(self, closure=None) -> None:
        for group in self.param_groups:
            pieces: dict[tuple[int, ...], list[tuple[Tensor, Tensor]]] = {}
            for weight in (w for w in group["params"] if w.grad is not None):
                for block, update in zip(
                    square_blocks(weight),
                    square_blocks(self._nesterov(weight, group["momentum"])),
                    strict=True,
                ):
                    pieces.setdefault(tuple(block.shape), []).append((block, update))
            for alike in pieces.values():
                blocks, updates = zip(*alike, strict=True)
                one_by_one = (
                    prefers_onednn() and blocks[0].device.type == "cpu"
                )  # one by one they stay in the cache, and oneDNN takes no stacks
                orthogonal = [
                    orthogonalize(some, group["ns_steps"])
                    for some in (updates if one_by_one else [torch.stack(updates)])
                ]
                self._apply(blocks, orthogonal if one_by_one else orthogonal[0], group)

    def _nesterov(self, weight: Tensor, momentum: float) -> Tensor:
        """Nesterov: the gradient, and where the running mean of gradients is going."""
        state = self.state[weight]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        mean = state["momentum_buffer"].lerp_(weight.grad, 1 - momentum)
        return weight.grad.lerp(mean, momentum)

    def _apply(
        self, weights: Sequence[Tensor], directions: Sequence[Tensor] | Tensor, group: dict
    ) -> None:
        rows, columns = weights[0].shape
        length = group["lr"] * max(1.0, columns / rows) ** 0.5
        for weight, direction in zip(weights, directions, strict=True):
            weight.mul_(1 - group["lr"] * group["weight_decay"]).add_(direction, alpha=-length)


def square_blocks(matrix: Tensor) -> list[Tensor]:
    """Views of pieces no longer than they are wide, all (short, long).

    >>> [tuple(piece.shape) for piece in square_blocks(torch.zeros(6, 2))], [tuple(piece.shape) for piece in square_blocks(torch.zeros(2, 3))]
    ([(2, 2), (2, 2), (2, 2)], [(2, 3)])
    """
    rows, columns = matrix.shape
    if rows > columns:
        return list(matrix.split(columns)) if rows % columns == 0 else [matrix.T]
    return list(matrix.split(rows, 1)) if columns % rows == 0 else [matrix]


def build_optimizers(model: nn.Module, config: OptimizerConfig) -> list[torch.optim.Optimizer]:
    """Muon for the matrices between embedding and head, if the config says so, and AdamW for everything else."""
    inner = set()
    if config.matrix_optimizer == "muon":
        ends = ("embed", "head")
        layers = [
            m
            for name, m in model.named_modules()
            if isinstance(m, nn.Linear) and not name.startswith(ends)
        ]
        inner = {layer.weight for layer in layers if layer.weight.requires_grad}
    trained = [w for w in model.parameters() if w.requires_grad]
    if not trained:
        raise ValueError("no weight of this model is to be trained: every requires_grad is False.")
    decayed, free = (
        [w for w in trained if w not in inner and w.ndim > 1],
        [w for w in trained if w.ndim < 2],
    )
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]
    made: list[torch.optim.Optimizer] = []
    if groups := [group for group in groups if group["params"]]:
        made.append(
            torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, eps=1e-10, fused=True)
        )
    if inner:
        matrices = [w for w in trained if w in inner]
        made.append(
            Muon(
                matrices,
                config.matrix_lr,
                weight_decay=config.weight_decay,
                ns_steps=config.ns_steps,
            )
        )
    return made
