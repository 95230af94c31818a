"""How weights move: AdamW for vectors and tables, Muon for matrices, and the schedule of their steps.

Loshchilov & Hutter 2019 (AdamW); Jordan et al. 2024 (Muon: https://kellerjordan.github.io/posts/muon/).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from fmcourse.products import times, wide

# a x + b x³ + c x⁵, steep at zero, so that small singular values are lifted too. Five times the same: Jordan et al. 2024;
# three, each made for what the one before leaves: Amsel et al. 2025 (The Polar Express), the first three of their table.
ROUNDS = {
    5: [(3.4445, -4.7750, 2.0315)] * 5,
    3: [(8.28721, -23.59589, 17.30039), (4.10706, -2.94785, 0.54484), (3.94869, -2.90890, 0.55182)],
}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train. `FAST` is what the course uses; `PLAIN` is what most tutorials do.

    Args:
        matrices: "muon" or "adamw" for the matrices inside the stack; all else is AdamW's.
        lr, matrix_lr: largest step, for AdamW and for Muon.
        rounds: of products that turn Muon's steps into rotations: 5, or 3, which is cheaper and coarser.
        warmup: share of the run in which the step grows from zero.
        decay: "linear" or "cosine", from there down to `final` of the largest.
        betas, weight_decay, clip: AdamW's memories; pull towards zero; longest gradient (0: no limit).
    Raises: ValueError naming the field.
    """

    matrices: Literal["muon", "adamw"] = "muon"
    lr: float = 4e-3
    matrix_lr: float = 0.03
    rounds: int = 5
    warmup: float = 0.02
    decay: Literal["linear", "cosine"] = "linear"
    final: float = 0.0
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.0
    clip: float = 1.0

    def __post_init__(self) -> None:
        if self.matrices not in ("muon", "adamw") or self.decay not in ("linear", "cosine"):
            raise ValueError(f"matrices={self.matrices!r}, decay={self.decay!r}: choose 'muon' or 'adamw', 'linear' or 'cosine'.")  # fmt: skip
        if self.rounds not in ROUNDS:
            raise ValueError(f"rounds={self.rounds} is not known; choose {' or '.join(map(str, ROUNDS))}.")
        if min(self.lr, self.matrix_lr) <= 0 or not 0 <= self.warmup < 1 or min(self.clip, self.weight_decay) < 0:
            raise ValueError(f"lr={self.lr} and matrix_lr={self.matrix_lr} must be above 0, warmup={self.warmup} in [0, 1), "
                             f"clip={self.clip} and weight_decay={self.weight_decay} 0 or more.")  # fmt: skip

    def scale(self, done: float) -> float:
        """Share of the largest step when `done` of the run, in [0, 1], is behind us.

        >>> [round(Recipe(warmup=0.5).scale(done), 2) for done in (0.25, 0.5, 0.75, 1.0)]
        [0.5, 1.0, 0.5, 0.0]
        """
        if done < self.warmup:
            return done / self.warmup
        left = (1 - done) / (1 - self.warmup)
        left = left if self.decay == "linear" else (1 - math.cos(math.pi * left)) / 2
        return self.final + (1 - self.final) * left


@dataclass(frozen=True, kw_only=True)
class InverseRoot(Recipe):
    """The schedule of 2017: up in a straight line, then down with one over the root of the step; it never reaches zero.

    Source: Vaswani et al. 2017, equation 3, whose largest step is (width * warm-up steps) ** -0.5.
    """

    def scale(self, done: float) -> float:
        """
        >>> [round(InverseRoot(warmup=0.25).scale(done), 2) for done in (0.125, 0.25, 1.0)]
        [0.5, 1.0, 0.5]
        """
        return min(done / self.warmup, (self.warmup / done) ** 0.5) if done else 0.0


FAST = Recipe()
SPRINT = Recipe(lr=8e-3, matrix_lr=0.04, rounds=3)  # for half a minute: larger steps, cheaper ones
PLAIN = Recipe(matrices="adamw", lr=1e-3, decay="cosine", final=0.1, warmup=0.05, betas=(0.9, 0.99), weight_decay=0.1)


def orthogonalise(matrices: Tensor, rounds: int = 5) -> Tensor:
    """Nearest thing to a rotation: every singular value is brought near 1, by products alone (Newton and Schulz).

    Args:
        matrices: (rows, columns) or (N, rows, columns), rows at most columns.
        rounds: one of ROUNDS.
    """
    x = matrices / (torch.linalg.matrix_norm(matrices, keepdim=True) + 1e-7)
    for a, b, c in ROUNDS[rounds]:
        square = times(x, x)
        x = times(times(square, square).mul_(c).add_(square, alpha=b), x.mT).add_(x, alpha=a)
    return x


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised: a matrix moves by the same length in every direction, also in those with faint gradients.

    Tall and wide matrices are cut into square-ish pieces that are turned on their own: queries, keys and values, which share one
    matrix here, are three matrices to Muon. Pieces of one shape go through the products together.
    """

    def __init__(
        self, weights: list[Tensor], lr: float, momentum: float = 0.95, weight_decay: float = 0.0, rounds: int = 5
    ) -> None:
        super().__init__(weights, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "rounds": rounds})

    @torch.no_grad()
    def step(self, closure=None) -> None:
        for group in self.param_groups:
            pieces: dict[tuple[int, ...], list[tuple[Tensor, Tensor]]] = {}
            for weight in (w for w in group["params"] if w.grad is not None):
                for at, wish in zip(cut(weight), cut(self._wish(weight, group["momentum"])), strict=True):
                    pieces.setdefault(tuple(at.shape), []).append((at, wish))
            for alike in pieces.values():
                places, wishes = zip(*alike, strict=True)
                apart = (
                    wide() and places[0].device.type == "cpu"
                )  # one by one they stay in the cache, and oneDNN takes no stacks
                turned = [orthogonalise(some, group["rounds"]) for some in (wishes if apart else [torch.stack(wishes)])]
                self._move(places, turned if apart else turned[0], group)

    def _wish(self, weight: Tensor, momentum: float) -> Tensor:
        """Nesterov: the gradient, and where the running mean of gradients is going."""
        state = self.state[weight]
        if not state:
            state["mean"] = torch.zeros_like(weight)
        mean = state["mean"].lerp_(weight.grad, 1 - momentum)
        return weight.grad.lerp(mean, momentum)

    def _move(self, weights: Sequence[Tensor], directions: Sequence[Tensor] | Tensor, group: dict) -> None:
        rows, columns = weights[0].shape
        length = group["lr"] * max(1.0, columns / rows) ** 0.5
        for weight, direction in zip(weights, directions, strict=True):
            weight.mul_(1 - group["lr"] * group["weight_decay"]).add_(direction, alpha=-length)


def cut(matrix: Tensor) -> list[Tensor]:
    """Views of pieces no longer than they are wide, all (short, long).

    >>> [tuple(piece.shape) for piece in cut(torch.zeros(6, 2))], [tuple(piece.shape) for piece in cut(torch.zeros(2, 3))]
    ([(2, 2), (2, 2), (2, 2)], [(2, 3)])
    """
    rows, columns = matrix.shape
    if rows > columns:
        return list(matrix.split(columns)) if rows % columns == 0 else [matrix.T]
    return list(matrix.split(rows, 1)) if columns % rows == 0 else [matrix]


def optimizers(model: nn.Module, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Muon for the matrices between embedding and head, if the recipe says so, and AdamW for everything else."""
    inner = set()
    if recipe.matrices == "muon":
        ends = ("embed", "head")
        layers = [m for name, m in model.named_modules() if isinstance(m, nn.Linear) and not name.startswith(ends)]
        inner = {layer.weight for layer in layers if layer.weight.requires_grad}
    trained = [w for w in model.parameters() if w.requires_grad]
    if not trained:
        raise ValueError("no weight of this model is to be trained: every requires_grad is False.")
    decayed, free = [w for w in trained if w not in inner and w.ndim > 1], [w for w in trained if w.ndim < 2]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": free, "weight_decay": 0.0}]
    made: list[torch.optim.Optimizer] = []
    if groups := [group for group in groups if group["params"]]:
        made.append(torch.optim.AdamW(groups, lr=recipe.lr, betas=recipe.betas, eps=1e-10, fused=True))
    if inner:
        matrices = [w for w in trained if w in inner]
        made.append(Muon(matrices, recipe.matrix_lr, weight_decay=recipe.weight_decay, rounds=recipe.rounds))
    return made
