"""Each fast form equals the clear one, outputs and gradients, and one switch turns all off."""

import subprocess
import sys

import pytest
import torch
from helpers import SHAPES, ids_for, randomize
from torch.testing import assert_close

from fmcourse import fast
from fmcourse.fast import elementwise, products, quantized
from fmcourse.fast.quantized import Int4Linear, Int8Linear
from fmcourse.models.transformer import Transformer, bert, llama, modern

HAS_ONEDNN = torch.backends.mkldnn.is_available() and products.ONEDNN is not None


@pytest.fixture(autouse=True)
def fast_everywhere(monkeypatch):
    """Fast forms are on, and take oneDNN on every processor, which is right on all of them."""
    monkeypatch.setattr(products, "prefers_onednn", lambda: HAS_ONEDNN)
    with fast.enabled():
        yield


@pytest.fixture
def calls(monkeypatch):
    """The names of the fast forms and of the clear forms that were called."""
    names = {"fast": [], "clear": []}

    def counted(name, form, function):
        def call(*arguments):
            names[form].append(name)
            return function(*arguments)

        return call

    for name, kernel in fast.KERNELS.items():
        forms = {form: counted(name, form, getattr(kernel, form)) for form in names}
        monkeypatch.setitem(fast.KERNELS, name, fast.Kernel(**forms))
    return names


def normal(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def outputs_and_gradients(function, *arguments):
    """What a function returns, and the gradient of each of its tensors for a random dy."""
    leaves = [
        argument.detach().clone().requires_grad_() if torch.is_tensor(argument) else argument
        for argument in arguments
    ]
    y = function(*leaves)
    y.backward(normal(*y.shape, seed=9, dtype=y.dtype))
    return [y.detach(), *(leaf.grad for leaf in leaves if torch.is_tensor(leaf))]


ARGUMENTS = {
    "linear": [
        (normal(24, 7), normal(5, 7, seed=1), normal(5, seed=2)),
        (normal(4, 9, 16), normal(33, 16, seed=1), None),
        (normal(2, 3, 5, 8), normal(1, 8, seed=1), normal(1, seed=2)),
    ],
    "matmul_transposed": [
        (normal(20, 8), normal(17, 8, seed=1)),
        (normal(3, 20, 8), normal(3, 5, 8, seed=1)),
    ],
    "rms_norm": [
        (normal(*shape), normal(shape[-1], seed=1), 1e-3)
        for shape in [(3, 5, 16), (2, 4, 5, 8), (1, 7), (6, 1)]
    ],
    "gelu_tanh": [(3 * normal(4, 9),), (normal(2, 3, 5),), (torch.linspace(-30, 30, 401),)],
    "relu_squared": [(3 * normal(4, 9),), (normal(2, 3, 5),), (torch.zeros(4),)],
}
CASES = [(name, case) for name, cases in ARGUMENTS.items() for case in range(len(cases))]


def test_every_kernel_of_the_table_is_tested():
    assert set(ARGUMENTS) == set(fast.KERNELS)


@pytest.mark.parametrize(("name", "case"), CASES)
def test_the_fast_form_equals_the_clear_one(name, case):
    arguments, kernel = ARGUMENTS[name][case], fast.KERNELS[name]
    assert_close(
        outputs_and_gradients(kernel.fast, *arguments),
        outputs_and_gradients(kernel.clear, *arguments),
        atol=2e-5,
        rtol=1e-4,
    )
    with torch.no_grad():  # some choose another way where no gradient is needed
        assert_close(kernel.fast(*arguments), kernel.clear(*arguments), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("name", "case"), CASES)
def test_the_function_calls_what_the_switch_says(name, case, calls):
    getattr(fast, name)(*ARGUMENTS[name][case])
    assert calls == {"fast": [name], "clear": []}
    with fast.disabled():
        getattr(fast, name)(*ARGUMENTS[name][case])
    assert calls == {"fast": [name], "clear": [name]}


SMALL = {
    "gpt2": SHAPES["gpt2"],
    "llama": SHAPES["llama"],
    "modern": modern(vocab_size=45, context=32, width=32, depth=2, heads=2),
    "bert": bert(vocab_size=71, context=30, width=36, depth=2, heads=3),
}


@pytest.mark.parametrize("name", SMALL)
def test_a_model_gives_the_same_logits_and_gradients_without_fast_forms(name, calls):
    model = randomize(Transformer(SMALL[name])).train()
    ids = torch.randint(45, (3, 20), generator=torch.Generator().manual_seed(1))
    found = {}
    for form, switch in {"fast": fast.enabled, "clear": fast.disabled}.items():
        with switch():
            model.zero_grad()
            logits = model(ids)
            logits.square().mean().backward()
        found[form] = [logits.detach(), *(weight.grad.clone() for weight in model.parameters())]
    assert_close(found["fast"], found["clear"], atol=1e-4, rtol=1e-3)
    # Both runs took the same operations, each in its own form.
    assert calls["fast"] == calls["clear"] and "linear" in calls["fast"]


def test_the_switch_is_put_back_also_after_an_error():
    with pytest.raises(ZeroDivisionError), fast.disabled():
        assert not fast.is_enabled()
        with fast.enabled():
            assert fast.is_enabled()
        assert not fast.is_enabled()
        raise ZeroDivisionError
    assert fast.is_enabled()


@pytest.mark.slow
@pytest.mark.parametrize(("value", "says"), [("0", "False"), ("1", "True"), ("", "True")])
def test_the_environment_decides_at_first(value, says, monkeypatch):
    monkeypatch.setenv("FMCOURSE_FAST", value)
    program = "from fmcourse import fast; print(fast.is_enabled())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == says


@pytest.mark.slow
def test_importing_it_loads_no_quantized_layers_and_asks_nothing_of_the_processor():
    program = (
        "import sys, torch; torch.cpu.get_capabilities = None; import fmcourse.fast; "
        "print('fmcourse.fast.quantized' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "False"


def test_whether_products_go_to_onednn_depends_on_the_switch():
    assert fast.prefers_onednn() == HAS_ONEDNN
    with fast.disabled():
        assert not fast.prefers_onednn()


# -- hand-written backward passes ------------------------------------------------------------------

DOUBLE = torch.linspace(-3, 3, 41, dtype=torch.float64)


@pytest.mark.parametrize(
    "function", [elementwise.SquaredReLUFunction.apply, elementwise.TanhGELUFunction.apply]
)
def test_hand_written_gradients_are_right_and_refuse_a_second_derivative(function):
    x = DOUBLE.clone().requires_grad_()
    assert torch.autograd.gradcheck(function, (x,))
    slope = torch.autograd.grad(function(x).sum(), x, create_graph=True)[0]
    with pytest.raises(RuntimeError, match="does not require grad"):
        slope.sum().backward()


def test_the_gradient_of_rms_norm_is_right_in_64_bits():
    x, weight = normal(3, 5, dtype=torch.float64), normal(5, seed=1, dtype=torch.float64)
    arguments = (x.requires_grad_(), weight.requires_grad_(), 1e-3)
    assert torch.autograd.gradcheck(elementwise.RMSNormFunction.apply, arguments)


@pytest.mark.parametrize("name", ["gelu_tanh", "relu_squared", "rms_norm"])
def test_elementwise_forms_agree_to_the_last_digits_in_64_bits(name):
    arguments = [
        argument.double() if torch.is_tensor(argument) else argument
        for argument in ARGUMENTS[name][0]
    ]
    kernel = fast.KERNELS[name]
    assert_close(
        outputs_and_gradients(kernel.fast, *arguments),
        outputs_and_gradients(kernel.clear, *arguments),
        atol=1e-12,
        rtol=1e-12,
    )


def test_rms_norm_is_torchs_own_without_gradients_and_in_mixed_precision():
    x, weight, eps = ARGUMENTS["rms_norm"][0]
    kernel = fast.KERNELS["rms_norm"]
    with torch.no_grad():
        assert torch.equal(kernel.fast(x, weight, eps), kernel.clear(x, weight, eps))
    half = x.bfloat16()
    assert torch.equal(kernel.fast(half, weight, eps), kernel.clear(half, weight, eps))


# -- quantized layers ------------------------------------------------------------------------------


def int4_arguments(out=48, width=96):
    codes = torch.randint(16, (out, width), generator=torch.Generator().manual_seed(3))
    scale = normal(out, width // 32, seed=4).abs() / 10
    return codes.to(torch.uint8), scale, -7 * scale + normal(out, width // 32, seed=5) / 100


def int4_weight(codes, scale, minimum):
    """W by its definition: scale * code + minimum in each group of 32."""
    scale, minimum = (part.repeat_interleave(32, 1) for part in (scale, minimum))
    return scale * codes + minimum


@pytest.mark.parametrize(
    "out", [48, 20]
)  # 20 rows are not packed: the kernel takes multiples of 16
@pytest.mark.parametrize("shape", [(96,), (5, 96), (2, 3, 96)])
def test_an_int4_layer_without_its_kernel_is_the_dequantized_product(out, shape):
    arguments, x = int4_arguments(out), normal(*shape)
    layer, weight = Int4Linear(*arguments), int4_weight(*arguments)
    # Packed layers keep scales in bfloat16, which has 8 significant bits.
    assert_close(layer.dequantize(), weight, atol=0.02, rtol=0.01)
    with fast.disabled():
        assert_close(layer(x), x @ layer.dequantize().T, atol=1e-5, rtol=1e-5)
        exact = Int4Linear(*arguments)
        assert_close(exact(x), x @ weight.T, atol=1e-5, rtol=1e-5)
    with fast.enabled():  # x and y are rounded to bfloat16, too
        assert_close(layer(x), x @ weight.T, atol=0.1, rtol=0.02)
        assert_close(exact(x), x @ weight.T, atol=1e-5, rtol=1e-5)


def test_packed_codes_come_back_exactly():
    codes, scale, minimum = int4_arguments()
    assert torch.equal(Int4Linear(codes, scale, minimum).unpack(), codes.float() - 8)


def count_kernel_calls(monkeypatch, owner, name):
    calls, kernel = [], getattr(owner, name)

    def counted(*arguments):
        calls.append(name)
        return kernel(*arguments)

    monkeypatch.setattr(owner, name, counted)
    return calls


@pytest.mark.skipif(
    not hasattr(torch, "_weight_int4pack_mm_for_cpu"), reason="this torch has no 4-bit kernel"
)
def test_the_switch_decides_about_the_int4_kernel(monkeypatch):
    layer, x = Int4Linear(*int4_arguments()), normal(5, 96)
    # `dequantize` asks the kernel for the codes; the product itself must not.
    weight = layer.dequantize()
    calls = count_kernel_calls(monkeypatch, torch, "_weight_int4pack_mm_for_cpu")
    monkeypatch.setattr(layer, "dequantize", lambda: weight)
    layer(x)
    assert len(calls) == 1
    with fast.disabled():
        layer(x)
    assert len(calls) == 1


@pytest.mark.parametrize("kernel", ["_int_mm", "_weight_int8pack_mm"])
@pytest.mark.parametrize("shape", [(1, 96), (2, 3, 96)])
def test_the_switch_decides_about_the_int8_kernels(kernel, shape, monkeypatch):
    if not hasattr(torch, kernel):
        pytest.skip(f"this torch has no {kernel}")
    monkeypatch.setattr(quantized, "has_vnni", lambda: kernel == "_int_mm")
    calls = count_kernel_calls(monkeypatch, torch, kernel)
    weight, x = normal(64, 96), normal(*shape, seed=1)
    layer = Int8Linear(weight)
    y = layer(x)
    assert len(calls) == 1
    with fast.disabled():
        clear = layer(x)
    assert len(calls) == 1
    dequantized = (layer.codes.float() * layer.scale[:, None]) @ layer.rotation.T
    assert_close(clear, x @ dequantized.T, atol=1e-4, rtol=1e-4)
    # 8 bits for x against 32: the error is below a hundredth of a typical output, √96.
    assert (y - clear).square().mean().sqrt() < 0.01 * 96**0.5


def test_a_quantized_head_gives_nearly_the_same_logits_with_and_without_kernels():
    model = randomize(Transformer(llama(vocab_size=53, width=32, depth=1, heads=2, kv_heads=1)))
    model.head = Int8Linear(model.head.weight.detach())
    ids = ids_for("llama", 2, 5)
    with torch.no_grad():
        quick = model(ids)
        with fast.disabled():
            clear = model(ids)
    assert_close(quick, clear, atol=0.05 * clear.std().item(), rtol=0.02)
