"""Optimizers: Muon for hidden matrices, AdamW for everything else, and learning-rate schedules.

Loshchilov & Hutter 2019 (AdamW); Jordan et al. 2024 (Muon: https://kellerjordan.github.io/posts/muon/).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from fmcourse.fast import matmul_transposed, prefers_onednn
from fmcourse.models.attention import Attention

# Coefficients (a, b, c) of the polynomial a x + b x³ + c x⁵, one for each Newton-Schulz step. It is
# steep at zero, so that small singular values grow too. Five equal steps: Jordan et al. 2024. Three
# steps, each made for what the one before leaves: Amsel et al. 2025 (The Polar Express), the first
# three of their table.
NEWTON_SCHULZ = {
    5: [(3.4445, -4.7750, 2.0315)] * 5,
    3: [(8.28721, -23.59589, 17.30039), (4.10706, -2.94785, 0.54484), (3.94869, -2.90890, 0.55182)],
}


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """Hyperparameters of training. `MUON` is the course's default, `ADAMW` what most tutorials use.

    Args:
        matrix_optimizer: "muon" or "adamw" for the hidden matrices (see `hidden_matrices`); the
            other parameters are always AdamW's.
        lr, matrix_lr: peak learning rate of AdamW and of Muon.
        ns_steps: Newton-Schulz steps of Muon: 5, or 3, which are cheaper and less exact.
        warmup: share of the run in which the learning rate grows linearly from zero to its peak.
        lr_decay: "linear" or "cosine", from the peak down to `min_lr_ratio` times the peak.
        betas: AdamW's decay rates of the running means of gradients and of their squares.
        weight_decay: decoupled, for matrices and embeddings alone; biases and norms are left out.
        clip: largest norm of the whole gradient; longer ones are scaled down to it. 0: no clipping.
    Raises: ValueError naming the field.
    """

    matrix_optimizer: Literal["muon", "adamw"] = "muon"
    lr: float = 4e-3
    matrix_lr: float = 0.03
    ns_steps: int = 5
    warmup: float = 0.02
    lr_decay: Literal["linear", "cosine"] = "linear"
    min_lr_ratio: float = 0.0
    betas: tuple[float, float] = (0.9, 0.98)  # 0.98: a mean over about 50 steps
    weight_decay: float = 0.0
    clip: float = 1.0

    def __post_init__(self) -> None:
        optimizer, decay = self.matrix_optimizer, self.lr_decay
        if optimizer not in ("muon", "adamw") or decay not in ("linear", "cosine"):
            raise ValueError(
                f"matrix_optimizer={optimizer!r}, lr_decay={decay!r}: choose 'muon' or 'adamw', "
                "'linear' or 'cosine'."
            )
        if self.ns_steps not in NEWTON_SCHULZ:
            known = " or ".join(map(str, NEWTON_SCHULZ))
            raise ValueError(f"ns_steps={self.ns_steps} is not known; choose {known}.")
        positive = min(self.lr, self.matrix_lr) > 0
        # `lr_scale` divides by 1 - warmup.
        if not positive or not 0 <= self.warmup < 1 or min(self.clip, self.weight_decay) < 0:
            raise ValueError(
                f"lr={self.lr} and matrix_lr={self.matrix_lr} must be above 0, "
                f"warmup={self.warmup} in [0, 1), clip={self.clip} and "
                f"weight_decay={self.weight_decay} 0 or more."
            )

    def lr_scale(self, progress: float) -> float:
        """The learning rate as a share of its peak, when `progress` of the run, 0 to 1, is done.

        >>> config = OptimizerConfig(warmup=0.5)
        >>> [round(config.lr_scale(progress), 2) for progress in (0.25, 0.5, 0.75, 1.0)]
        [0.5, 1.0, 0.5, 0.0]
        """
        if progress < self.warmup:
            return progress / self.warmup
        remaining = (1 - progress) / (1 - self.warmup)  # from 1 at the peak to 0 at the end
        if self.lr_decay == "cosine":
            remaining = (1 - math.cos(math.pi * remaining)) / 2  # 1 to 0 too, slow at both ends
        return self.min_lr_ratio + (1 - self.min_lr_ratio) * remaining


@dataclass(frozen=True, kw_only=True)
class InverseSqrtConfig(OptimizerConfig):
    """The schedule of 2017: linear warm-up, then decay with the inverse square root of the step.

    It never reaches zero. `lr_decay` and `min_lr_ratio` are not used.
    Raises: ValueError if there is no warm-up, whose end fixes where the decay begins.
    Source: Vaswani et al. 2017, equation 3, whose peak is (width * warm-up steps) ** -0.5.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.warmup:
            raise ValueError("warmup=0 leaves this schedule no peak to decay from; give above 0.")

    def lr_scale(self, progress: float) -> float:
        """The learning rate as a share of its peak, when `progress` of the run is done.

        >>> config = InverseSqrtConfig(warmup=0.25)
        >>> [round(config.lr_scale(progress), 2) for progress in (0.125, 0.25, 1.0)]
        [0.5, 1.0, 0.5]
        """
        if not progress:  # the second term below would divide by 0
            return 0.0
        # Both terms are 1 at the end of the warm-up, where they cross.
        return min(progress / self.warmup, (self.warmup / progress) ** 0.5)


MUON = OptimizerConfig()
# For runs of about half a minute: higher learning rates, cheaper steps.
MUON_SHORT_RUN = OptimizerConfig(lr=8e-3, matrix_lr=0.04, ns_steps=3)
ADAMW = OptimizerConfig(
    matrix_optimizer="adamw",
    lr=1e-3,
    lr_decay="cosine",
    min_lr_ratio=0.1,
    warmup=0.05,
    betas=(0.9, 0.99),
    weight_decay=0.1,  # this and min_lr_ratio as in GPT-3 (Brown et al. 2020, appendix B)
)


def build_optimizers(model: nn.Module, config: OptimizerConfig) -> list[torch.optim.Optimizer]:
    """AdamW and, if the config says so, Muon; together they train each parameter once.

    Raises: ValueError if every parameter is frozen.
    """
    trained = [w for w in model.parameters() if w.requires_grad]
    if not trained:
        raise ValueError("no parameter of this model can be trained: every requires_grad is False.")
    matrices = hidden_matrices(model) if config.matrix_optimizer == "muon" else []
    by_muon = set(matrices)  # in a set tensors are found by identity, in a list by their values
    rest = [w for w in trained if w not in by_muon]
    groups = [
        {"params": [w for w in rest if w.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [w for w in rest if w.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    optimizers: list[torch.optim.Optimizer] = []
    if groups:  # torch refuses an optimizer without parameters
        # Embeddings of rare tokens have tiny gradients: torch's eps of 1e-8 would swallow them.
        # Fused: one kernel in place of many small operations.
        adamw = torch.optim.AdamW(groups, config.lr, config.betas, eps=1e-10, fused=True)
        optimizers.append(adamw)
    if matrices:
        muon = Muon(
            matrices,
            config.matrix_lr,
            weight_decay=config.weight_decay,
            ns_steps=config.ns_steps,
            row_sizes=fused_row_sizes(model),
        )
        optimizers.append(muon)
    return optimizers


def hidden_matrices(model: nn.Module) -> list[Tensor]:
    """The weights that Muon trains: trainable matrices of linear layers that are hidden layers.

    Muon is made for matrices that map hidden states to hidden states. Embeddings and heads, whose
    rows stand for tokens, pixels or classes, do better with AdamW (Jordan et al. 2024). Which layer
    is which follows from where it is, not from its name:

    - In a model with repeated blocks, the members of an `nn.ModuleList`, the linear layers inside
      the blocks are hidden. Every Transformer keeps its blocks so, also as a part of another model.
    - In a model without blocks, all linear layers but the first and the last.
    - If that does not fit, a class says it: `hidden_layers` names its parts whose linear layers are
      hidden, besides those in blocks.

    All others are AdamW's: embeddings, projections of patches, heads and classifiers; convolutions
    and recurrent layers too.
    """
    # In the order in which the layers were registered, which `linear[1:-1]` below relies on.
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    hidden: set[nn.Module] = set()
    has_rule = False
    for module in model.modules():
        names = getattr(module, "hidden_layers", ())
        parts = [module.get_submodule(name) for name in names]
        if isinstance(module, nn.ModuleList):  # repeated blocks
            parts += module
        has_rule = has_rule or bool(parts)
        hidden.update(layer for part in parts for layer in part.modules())  # nested layers too
    layers = [layer for layer in linear if layer in hidden] if has_rule else linear[1:-1]
    return [layer.weight for layer in layers if layer.weight.requires_grad]


def fused_row_sizes(model: nn.Module) -> dict[Tensor, list[int]]:
    """For weights that hold several matrices one above the other, the rows of each of them.

    An attention layer computes queries, keys and values in one product; grouped queries have fewer
    rows of keys and values than of queries.
    """
    attentions = [module for module in model.modules() if isinstance(module, Attention)]
    return {
        attention.qkv_proj.weight: attention.qkv_sizes
        for attention in attentions
        if isinstance(attention.qkv_proj, nn.Linear)  # with LoRA the weight is frozen
    }


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalized: each step changes a matrix by the same amount in every direction.

        m ← μ m + (1 - μ) g                     running mean of the gradients
        u = μ m + (1 - μ) g                     Nesterov: a step ahead of the mean
        W ← (1 - η λ) W - η √(columns / rows) orthogonalize(u)

    Plain gradients are dominated by a few directions; orthogonalizing lets the others learn too.

    A weight is first cut into the matrices that it really holds (`row_sizes`), then each of those
    into square blocks where its sides divide: a (4 D, D) matrix is four blocks, queries, keys and
    values are blocks of their own. A matrix whose sides do not divide is one block, transposed if
    it is tall, so that rows ≤ columns in the formula. `torch.optim.Muon` never cuts, and its factor
    is √max(1, rows / columns): for square matrices both are the same (there is a test).

    Args:
        weights: matrices.
        lr, momentum, weight_decay: η, μ, λ.
        ns_steps: see `orthogonalize`.
        row_sizes: for some weights, the rows of each matrix in them.
    Source: Jordan et al. 2024.
    """

    def __init__(
        self,
        weights: Sequence[Tensor],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        ns_steps: int = 5,
        row_sizes: Mapping[Tensor, Sequence[int]] | None = None,
    ) -> None:
        defaults = dict(lr=lr, momentum=momentum, weight_decay=weight_decay, ns_steps=ns_steps)
        super().__init__(weights, defaults)
        self.row_sizes = dict(row_sizes or {})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            weights, updates = [], []  # views of the blocks, in the same order
            for weight in group["params"]:
                if weight.grad is not None:
                    update = self.nesterov_update(weight, group["momentum"])
                    sizes = self.row_sizes.get(weight, [len(weight)])  # by default one matrix
                    weights += square_blocks(weight, sizes)
                    updates += square_blocks(update, sizes)
            directions = orthogonalize_all(updates, group["ns_steps"])
            for weight, direction in zip(weights, directions, strict=True):
                rows, columns = weight.shape
                # The Frobenius norm of an orthogonal matrix is √rows, with this factor √columns.
                lr = group["lr"] * (columns / rows) ** 0.5
                # In place on a view, so the parameter itself changes. The decay is decoupled: it is
                # not part of the gradient that was orthogonalized.
                weight.mul_(1 - group["lr"] * group["weight_decay"]).add_(direction, alpha=-lr)

    def nesterov_update(self, weight: Tensor, momentum: float) -> Tensor:
        """Update the running mean of this weight's gradients; return the mean, one step ahead."""
        state = self.state[weight]
        if not state:
            # From 0, so at first the mean is too small; orthogonalizing removes the scale.
            state["momentum_buffer"] = torch.zeros_like(weight)
        mean = state["momentum_buffer"].lerp_(weight.grad, 1 - momentum)  # μ m + (1 - μ) g
        return weight.grad.lerp(mean, momentum)  # μ m + (1 - μ) g, with the new m


def square_blocks(matrix: Tensor, row_sizes: Sequence[int] | None = None) -> list[Tensor]:
    """Views of the blocks that Muon orthogonalizes one by one, each with rows ≤ columns.

    Args:
        matrix: (rows, columns).
        row_sizes: rows of each matrix in it, where it holds several; they add up to rows.

    >>> def shapes(*matrix):
    ...     return [tuple(block.shape) for block in square_blocks(*matrix)]
    >>> shapes(torch.zeros(6, 2)), shapes(torch.zeros(2, 3)), shapes(torch.zeros(3, 2))
    ([(2, 2), (2, 2), (2, 2)], [(2, 3)], [(2, 3)])
    >>> shapes(torch.zeros(8, 4), [4, 2, 2])    # queries, keys, values: two key heads share
    [(4, 4), (2, 2), (2, 2), (2, 2), (2, 2)]
    """
    blocks: list[Tensor] = []
    for part in matrix.split(list(row_sizes or [len(matrix)])):
        rows, columns = part.shape
        if rows > columns:  # tall: squares one above the other, or transposed
            blocks += part.split(columns) if rows % columns == 0 else [part.T]
        else:  # wide: squares side by side, or as it is
            blocks += part.split(rows, 1) if columns % rows == 0 else [part]
    return blocks


def orthogonalize(matrices: Tensor, ns_steps: int = 5) -> Tensor:
    """An orthogonal matrix near each: all singular values are brought near 1 (Newton-Schulz).

    Needs matrix products alone, where a singular value decomposition would cost far more.

    Args:
        matrices: (rows, columns) or (N, rows, columns), rows ≤ columns.
        ns_steps: one of NEWTON_SCHULZ. With 5 steps singular values end between about 0.7 and 1.2.
    """
    norm = torch.linalg.matrix_norm(matrices, keepdim=True)  # at least the largest singular value
    # Now singular values are at most 1, as the polynomials need; 1e-7 is for a gradient of 0.
    x = matrices / (norm + 1e-7)
    for a, b, c in NEWTON_SCHULZ[ns_steps]:
        # As rows ≤ columns, this is the smaller of x xᵀ and xᵀ x.
        gram = matmul_transposed(x, x)  # x xᵀ, symmetric
        # This is b x xᵀ + c (x xᵀ)²: gram is symmetric, so gram gramᵀ is its square.
        polynomial = matmul_transposed(gram, gram).mul_(c).add_(gram, alpha=b)
        x = matmul_transposed(polynomial, x.mT).add_(x, alpha=a)  # (a I + b x xᵀ + c (x xᵀ)²) x
    return x


def orthogonalize_all(matrices: list[Tensor], ns_steps: int) -> list[Tensor]:
    """`orthogonalize` for each of a list, (rows, columns) of any shapes, in the same order."""
    # oneDNN takes no batched products, and one by one the matrices stay in the processor's cache.
    if matrices and prefers_onednn() and matrices[0].device.type == "cpu":
        return [orthogonalize(matrix, ns_steps) for matrix in matrices]
    # Matrices of one shape are stacked, for one batched product in place of many small ones.
    by_shape: dict[torch.Size, list[int]] = {}
    for index, matrix in enumerate(matrices):
        by_shape.setdefault(matrix.shape, []).append(index)
    directions = list(matrices)  # every entry is replaced below
    for indices in by_shape.values():
        batch = orthogonalize(torch.stack([matrices[i] for i in indices]), ns_steps)
        for index, direction in zip(indices, batch, strict=True):
            directions[index] = direction
    return directions
