"""x Wᵀ, where a Transformer spends most of its time, by the faster of two libraries inside torch.

    N rows   I features in   O features out

torch gives products in 32 bits to MKL, which does not use AVX-512 on AMD's processors. oneDNN,
which torch keeps for convolutions, does, and is twice as fast there (`python -m benchmarks
products`). Everywhere else this module is `F.linear`.
"""

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

ONEDNN = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
MIN_ROWS = 16  # with fewer rows, reading W is what costs, and MKL reads as fast


@lru_cache  # the processor stays the same
def prefers_onednn() -> bool:
    """Whether this processor is one on which oneDNN is faster."""
    cpu = torch.cpu.get_capabilities()
    is_amd_avx512 = "AMD" in str(cpu.get("cpu_name")) and bool(cpu.get("avx512_f"))
    # Without MKL there is nothing to avoid: torch then uses oneDNN or another library by itself.
    return is_amd_avx512 and torch.backends.mkl.is_available() and ONEDNN is not None


class LinearFunction(torch.autograd.Function):
    """x Wᵀ + b, (N, I) times (O, I); each of its gradients is a product of the same kind."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        # "none": no activation after the product, so no numbers for one and no choice of algorithm.
        return ONEDNN(x, weight, bias, "none", [], "")

    @staticmethod
    def backward(ctx, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        dx = linear(dy, weight.T) if needs_x else None  # (N, O) times (O, I)
        dw = linear(dy.T, x.T) if needs_weight else None  # (O, N) times (N, I)
        return dx, dw, dy.sum(0) if needs_bias else None


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x Wᵀ + b, (..., I) times (O, I): what `F.linear` gives, up to the order of the sums."""
    if not _onednn_takes(x, weight) or not prefers_onednn():
        return F.linear(x, weight, bias)
    if torch.is_grad_enabled():
        # The gradients above are written for matrices, (N, I).
        return LinearFunction.apply(x.flatten(0, -2), weight, bias).unflatten(0, x.shape[:-1])
    return ONEDNN(x, weight, bias, "none", [], "")


def _onednn_takes(x: Tensor, weight: Tensor) -> bool:
    """Whether this is a product of 32-bit matrices on the CPU, large enough to gain by oneDNN.

    Shapes that do not match are left to `F.linear`, which refuses them in torch's words.
    """
    if x.dtype != torch.float32 or weight.dtype != torch.float32 or x.ndim < 2:
        return False
    if x.device.type != "cpu" or weight.device.type != "cpu":
        return False
    # Empty matrices are left to `F.linear`, too: there is nothing to gain.
    if x.shape[-1] == 0 or len(weight) == 0 or x.shape[-1] != weight.shape[-1]:
        return False
    # Under autocast F.linear computes in bfloat16, and so must we.
    return x.numel() >= MIN_ROWS * x.shape[-1] and not torch.is_autocast_enabled("cpu")


def matmul_transposed(x: Tensor, y: Tensor) -> Tensor:
    """x yᵀ of two matrices, or of each pair in two stacks of them."""
    return linear(x, y) if x.ndim == 2 else x @ y.mT  # `linear` takes one matrix, not a stack
