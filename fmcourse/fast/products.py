"""x Wᵀ, where nearly all the time of a Transformer goes, by the faster of the two libraries that torch carries.

torch gives products in 32 bits to MKL, which on AMD's processors does not use AVX-512; oneDNN, which torch keeps for convolutions, does,
and is twice as fast there (`python -m benchmarks products`). Everywhere else this module is `F.linear`.
"""

from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ONEDNN = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
MIN_ROWS = 16  # rows: below, reading W is what costs, and MKL reads as fast


@lru_cache
def prefers_onednn() -> bool:
    """Whether this processor is one on which oneDNN wins."""
    cpu, mkl = torch.cpu.get_capabilities(), torch.backends.mkl.is_available()
    return (
        mkl
        and ONEDNN is not None
        and "AMD" in str(cpu.get("cpu_name"))
        and bool(cpu.get("avx512_f"))
    )


class LinearFunction(torch.autograd.Function):
    """x Wᵀ + b, (rows, K) times (N, K); each of its gradients is a product of the same kind."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return ONEDNN(x, weight, bias, "none", [], "")

    @staticmethod
    def backward(ctx, dy: Tensor) -> tuple[Tensor | None, ...]:
        (x, weight), wanted = ctx.saved_tensors, ctx.needs_input_grad
        dx, dw = (
            linear(dy, weight.T) if wanted[0] else None,
            linear(dy.T, x.T) if wanted[1] else None,
        )
        return dx, dw, dy.sum(0) if wanted[2] else None


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x Wᵀ + b, (..., K) times (N, K): what `F.linear` gives, up to the order of the sums."""
    many = (
        x.ndim > 1
        and x.shape[-1] == weight.shape[-1]
        and x.numel() >= MIN_ROWS * x.shape[-1] > 0 < len(weight)
    )
    full = x.dtype == weight.dtype == torch.float32 and x.device.type == weight.device.type == "cpu"
    if many and full and prefers_onednn() and not torch.is_autocast_enabled("cpu"):
        if not torch.is_grad_enabled():
            return ONEDNN(x, weight, bias, "none", [], "")
        return LinearFunction.apply(x.flatten(0, -2), weight, bias).unflatten(0, x.shape[:-1])
    return F.linear(x, weight, bias)


def matmul_transposed(x: Tensor, y: Tensor) -> Tensor:
    """x yᵀ of two matrices, or of each pair in two stacks of them."""
    return linear(x, y) if x.ndim == 2 else x @ y.mT


class Linear(nn.Linear):
    """`nn.Linear`, by `linear`."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)
