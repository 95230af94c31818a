"""What is written for speed alone, behind one table and one switch.

Models call the functions below. Each exists in two forms that compute the same up to rounding: a
clear one, an expression of plain torch, and a fast one from a module of this folder. `KERNELS`
lists both; `tests/test_fast.py` holds them equal, in outputs and gradients.

The switch turns all fast forms off: FMCOURSE_FAST=0 in the environment, or `with disabled():`.
It acts on the whole process, on quantized layers and packed prompts too (`is_enabled`).
`torch.export` sees the clear forms: a fast one asks for the number of rows, which would hold for
the exported program alone, and calls an operation that ONNX does not have.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from fmcourse.fast import elementwise, products

# Other modules of this folder (quantized layers) import this one, and nothing here imports them:
# who only wants a product does not load them.

_enabled = os.environ.get("FMCOURSE_FAST", "1") != "0"


# -- the switch ------------------------------------------------------------------------------------


def is_enabled() -> bool:
    """Whether fast forms are in use."""
    return _enabled


@contextmanager
def _switch(on: bool) -> Iterator[None]:
    global _enabled
    before, _enabled = _enabled, on
    try:
        yield
    finally:
        _enabled = before  # and not True: switches can be nested


def enabled() -> AbstractContextManager[None]:
    """A context in which fast forms are used, whatever the environment says."""
    return _switch(True)


def disabled() -> AbstractContextManager[None]:
    """A context in which every operation is the clear expression of torch."""
    return _switch(False)


# -- the table -------------------------------------------------------------------------------------


class Kernel(NamedTuple):
    """One operation in two forms that compute the same up to rounding."""

    clear: Callable[..., Tensor]
    fast: Callable[..., Tensor]


def _matmul_transposed(x: Tensor, y: Tensor) -> Tensor:
    return x @ y.mT


def _rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return F.rms_norm(x, weight.shape, weight, eps)


def _gelu_tanh(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")


def _relu_squared(x: Tensor) -> Tensor:
    return F.relu(x).square()


KERNELS = {
    "linear": Kernel(clear=F.linear, fast=products.linear),
    "matmul_transposed": Kernel(clear=_matmul_transposed, fast=products.matmul_transposed),
    "rms_norm": Kernel(clear=_rms_norm, fast=elementwise.rms_norm),
    "gelu_tanh": Kernel(clear=_gelu_tanh, fast=elementwise.TanhGELUFunction.apply),
    "relu_squared": Kernel(clear=_relu_squared, fast=elementwise.SquaredReLUFunction.apply),
}


def _kernel(name: str) -> Callable[..., Tensor]:
    # Looked up at every call and not once at import, so that the switch acts on models that exist.
    is_fast = _enabled and not torch.compiler.is_exporting()
    return KERNELS[name].fast if is_fast else KERNELS[name].clear


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x Wᵀ + b: (..., I) times (O, I) to (..., O), as `F.linear`."""
    return _kernel("linear")(x, weight, bias)


def matmul_transposed(x: Tensor, y: Tensor) -> Tensor:
    """x yᵀ of two matrices, (N, I) and (O, I), or of each pair in two stacks of them."""
    return _kernel("matmul_transposed")(x, y)


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """x / √(mean x² + ε) w over the last axis: (..., D) with weight (D,), as `F.rms_norm`."""
    return _kernel("rms_norm")(x, weight, eps)


def gelu_tanh(x: Tensor) -> Tensor:
    """GELU by its tanh approximation, as `F.gelu(x, approximate="tanh")`."""
    return _kernel("gelu_tanh")(x)


def relu_squared(x: Tensor) -> Tensor:
    """max(0, x)², as `F.relu(x).square()`."""
    return _kernel("relu_squared")(x)


def prefers_onednn() -> bool:
    """Whether products of matrices go to oneDNN here: switched on, and faster on this processor."""
    return _enabled and products.prefers_onednn()
