"""The product of every layer: outputs and gradients of F.linear, and which library computes it."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from fmcourse.fast import products
from fmcourse.fast.products import MIN_ROWS, ONEDNN, linear, matmul_transposed
from fmcourse.models.layers import Linear

HERE = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available() or ONEDNN is None,
    reason="this torch carries no oneDNN, so there is one library only and nothing to choose.",
)
EPYC = {"cpu_name": "AMD EPYC", "avx512_f": True}


@pytest.fixture
def onednn(monkeypatch):
    """oneDNN on every processor (it is right on all, fast on some), and a list of its products."""
    made, onednn = [], products.ONEDNN
    monkeypatch.setattr(products, "prefers_onednn", lambda: True)
    monkeypatch.setattr(products, "ONEDNN", lambda *given: made.append(1) or onednn(*given))
    return made


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


VIEWS = {
    "plain": lambda: (drawn(24, 7), drawn(5, 7, seed=1)),
    "three axes": lambda: (drawn(4, 9, 7), drawn(5, 7, seed=1)),
    "four axes, turned": lambda: (drawn(4, 3, 7, 9).permute(0, 3, 1, 2), drawn(5, 7, seed=1)),
    "a part of wider rows": lambda: (drawn(24, 30)[:, 3:10], drawn(5, 30, seed=1)[:, 3:10]),
    "every other": lambda: (drawn(48, 14)[::2, ::2], drawn(5, 7, seed=1)),
    "weights by column": lambda: (drawn(24, 7), drawn(7, 5, seed=1).T),
    "one out": lambda: (drawn(24, 7), drawn(1, 7, seed=1)),
    "one in": lambda: (drawn(24, 1), drawn(5, 1, seed=1)),
    "the same row again": lambda: (drawn(1, 7).expand(24, 7), drawn(5, 7, seed=1)),
}


@HERE
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("view", VIEWS)
def test_linear_equals_torchs_in_outputs_and_gradients(onednn, view, bias):
    x, weight = (part.detach() for part in VIEWS[view]())
    grads = {}
    for name, product in (("ours", linear), ("torch", F.linear)):
        leaves = [x.clone().requires_grad_(), weight.clone().requires_grad_()]
        leaves += [drawn(len(weight), seed=2).requires_grad_()] if bias else []
        y = product(*leaves)
        y.mul(drawn(*y.shape, seed=3)).sum().backward()
        grads[name] = [y.detach(), *(leaf.grad for leaf in leaves)]
    assert onednn
    assert_close(grads["ours"], grads["torch"])
    with torch.no_grad():
        assert_close(linear(x, weight), F.linear(x, weight))  # as it lies, not copied


@HERE
def test_a_gradient_may_be_one_number_expanded(onednn):
    """`sum().backward()` hands back a 1 that is stretched over all places."""
    x, weight = drawn(20, 6).requires_grad_(), drawn(17, 6, seed=1).requires_grad_()
    linear(x, weight).sum().backward()
    assert_close(x.grad, weight.detach().sum(0).expand(20, 6))
    assert_close(weight.grad, x.detach().sum(0).expand(17, 6))


@HERE
def test_the_output_may_be_changed_in_place(onednn):
    """As LoRA does, which adds its step to a slice."""
    x, weight = drawn(2, 10, 6).requires_grad_(), drawn(17, 6, seed=1)
    y = linear(x, weight)
    y.narrow(-1, 3, 5).add_(1)
    y.sum().backward()
    assert_close(x.grad, weight.sum(0).expand(2, 10, 6))
    assert_close(y.detach()[..., 3:8], F.linear(x.detach(), weight)[..., 3:8] + 1)


@HERE
def test_linear_has_a_second_derivative(onednn):
    x, weight = drawn(20, 6).requires_grad_(), drawn(17, 6, seed=1).requires_grad_()
    found = []
    for product in (linear, F.linear):
        slope = torch.autograd.grad(product(x, weight).pow(2).sum(), x, create_graph=True)[0]
        found.append(torch.autograd.grad(slope.pow(2).sum(), weight)[0])
    assert len(onednn) > 2
    assert_close(found[0], found[1], rtol=1e-4, atol=1e-2)


@HERE
def test_matmul_transposed_takes_matrices_and_stacks(onednn):
    x, y = drawn(3, 20, 8), drawn(3, 5, 8, seed=1)
    with torch.no_grad():
        one_by_one = torch.stack([matmul_transposed(a, b) for a, b in zip(x, y, strict=True)])
    assert len(onednn) == 3
    assert_close(one_by_one, matmul_transposed(x, y))


@HERE
def test_only_gradients_that_are_needed_are_computed(onednn):
    x, weight = drawn(20, 6), drawn(17, 6, seed=1).requires_grad_()
    linear(x, weight).sum().backward()
    assert len(onednn) == 2  # forwards, and W's: nobody asked for x's
    frozen = Linear(6, 17).requires_grad_(False)
    frozen(x.requires_grad_()).sum().backward()
    assert x.grad is not None and frozen.weight.grad is None and frozen.bias.grad is None


@HERE
@pytest.mark.parametrize(
    "given",
    [
        lambda: (drawn(MIN_ROWS - 1, 7), drawn(5, 7)),
        lambda: (drawn(7), drawn(5, 7)),
        lambda: (drawn(0, 7), drawn(5, 7)),
        lambda: (drawn(24, 7), drawn(0, 7)),
        lambda: (drawn(24, 0), drawn(5, 0)),
        lambda: (drawn(24, 7).double(), drawn(5, 7).double()),
        lambda: (drawn(24, 7).bfloat16(), drawn(5, 7).bfloat16()),
        lambda: (drawn(24, 7).to("meta"), drawn(5, 7).to("meta")),
    ],
    ids=[
        "few rows",
        "one row",
        "no rows",
        "nothing out",
        "nothing in",
        "64 bits",
        "16 bits",
        "no numbers",
    ],
)
def test_everything_else_is_left_to_torch(onednn, given):
    x, weight = given()
    y, expected = linear(x, weight), F.linear(x, weight)
    assert not onednn and y.dtype == expected.dtype and y.shape == expected.shape
    assert y.device.type == "meta" or torch.equal(y, expected)


@HERE
def test_half_precision_is_left_to_torch(onednn):
    layer, x = Linear(32, 32), drawn(64, 32)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
    assert not onednn


def test_wrong_sizes_are_refused_in_torchs_words(monkeypatch):
    monkeypatch.setattr(products, "prefers_onednn", lambda: True)
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        linear(drawn(24, 7), drawn(5, 8))


@HERE
def test_a_layer_is_torchs_layer(onednn):
    layer, theirs = Linear(6, 4), nn.Linear(6, 4)
    assert isinstance(layer, nn.Linear) and repr(layer) == repr(theirs)
    layer.load_state_dict(theirs.state_dict())
    x = drawn(3, 10, 6)
    assert_close(copy.deepcopy(layer)(x), theirs(x))


@pytest.mark.parametrize(
    ("cpu", "wins"),
    [
        (EPYC, True),
        (EPYC | {"cpu_name": "AMD Ryzen 9 9950X 16-Core Processor"}, True),
        (EPYC | {"avx512_f": False}, False),
        (EPYC | {"cpu_name": "Intel(R) Xeon(R) Platinum 8481C"}, False),
        ({"cpu_name": "Apple M4", "neon": True}, False),
        ({}, False),
    ],
)
def test_which_processors_prefer_onednn(monkeypatch, cpu, wins):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: cpu)
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: True)
    monkeypatch.setattr(products, "ONEDNN", "there")
    assert products.prefers_onednn.__wrapped__() is wins
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: False)
    assert not products.prefers_onednn.__wrapped__()
