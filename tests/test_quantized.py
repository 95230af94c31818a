"""8-bit layers: near the product in 32 bits with every kernel, also for inputs with outliers."""

import pytest
import torch
from torch.nn import functional as F

from fmcourse.fast import quantized
from fmcourse.fast.quantized import Int8Linear

DRAW = torch.Generator().manual_seed(0)
WEIGHT = torch.randn(512, 96, generator=DRAW)
STATES = torch.randn(3, 7, 96, generator=DRAW)
STATES[..., [3, 50]] *= 20  # as in real models: two coordinates that tower above all others
KERNELS = ["bytes", "bfloat16", "none"]


@pytest.fixture(params=KERNELS)
def kernel(request, monkeypatch):
    """Each of the three ways in turn, whatever this processor would choose."""
    if request.param == "bytes" and not hasattr(torch, "_int_mm"):
        pytest.skip("this torch multiplies no bytes.")
    monkeypatch.setattr(quantized, "has_vnni", lambda: request.param == "bytes")
    if request.param == "none":
        monkeypatch.delattr(torch, "_weight_int8pack_mm", raising=False)
    return request.param


def error(made: torch.Tensor, x: torch.Tensor = STATES) -> float:
    """Root mean square of what is missed, as a share of what was wanted."""
    wanted = F.linear(x, WEIGHT)
    return float((made - wanted).square().mean().sqrt() / wanted.square().mean().sqrt())


def test_an_int8_layer_is_near_the_product_in_32_bits(kernel):
    made = Int8Linear(WEIGHT)(STATES)
    assert made.shape == (3, 7, 512) and made.dtype == torch.float32
    assert error(made) < {"bytes": 0.02, "bfloat16": 0.01, "none": 0.01}[kernel]
    assert error(Int8Linear(WEIGHT)(STATES[:1, :1]), STATES[:1, :1]) < 0.02  # one token


def test_the_rotation_halves_the_rounding_error(monkeypatch):
    monkeypatch.setattr(quantized, "has_vnni", lambda: hasattr(torch, "_int_mm"))
    turned = error(Int8Linear(WEIGHT)(STATES))
    monkeypatch.setattr(torch.linalg, "qr", lambda x: (torch.eye(len(x)), None))
    assert hasattr(torch, "_int_mm") and 2 * turned < error(Int8Linear(WEIGHT)(STATES))


def test_a_position_does_not_depend_on_its_neighbours(kernel):
    layer = Int8Linear(WEIGHT)
    alone = torch.cat([layer(STATES[:, t : t + 1]) for t in range(7)], 1)
    assert error(alone) < 0.02
    torch.testing.assert_close(
        alone, layer(STATES), rtol=0, atol=1e-4 if kernel != "bfloat16" else 2.0
    )


@pytest.mark.parametrize("value", [0.0, float("nan")])
def test_zeros_give_zeros_and_nans_give_nans(kernel, value):
    made = Int8Linear(WEIGHT)(torch.full((1, 2, 96), value))
    torch.testing.assert_close(made, torch.full((1, 2, 512), value), equal_nan=True)


@pytest.mark.parametrize(
    ("cpu", "adds"),
    [
        ({"avx512_vnni": True}, True),
        ({"avx_vnni": True}, True),
        ({"avx2": True}, False),
        ({}, False),
    ],
)
def test_vnni_is_recognized(monkeypatch, cpu, adds):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: cpu)
    monkeypatch.setattr(torch, "_int_mm", None, raising=False)
    assert quantized.has_vnni.__wrapped__() is adds
