"""Values cross to another process as JSON and come back the same; all else is refused, unrun."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fmcourse.classroom.packing import MAX_PARTS, NotReadable, opaque, pack, unpack
from fmcourse.course.comparing import equal

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers(), inner)
    ),
    max_leaves=20,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(
                ["tensor", "array", "int", "dict", "set", "bytes", "number", "float", "x"]
            ),
            inner,
        )
    ),
    max_leaves=20,
)


def there_and_back(value):
    return unpack(json.loads(json.dumps(pack(value))))


@settings(max_examples=50)
@given(PLAIN)
def test_plain_values_come_back_with_their_types(value):
    assert repr(there_and_back(value)) == repr(value)


@pytest.mark.parametrize(
    "kind",
    [
        torch.float64,
        torch.float32,
        torch.bfloat16,
        torch.int64,
        torch.uint8,
        torch.bool,
        torch.complex64,
    ],
)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 4), (2, 3, 4)])
def test_tensors_come_back_bit_for_bit(kind, shape):
    tensor = (torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 9).to(kind)
    back = there_and_back(tensor)
    assert back.dtype == kind and back.shape == tensor.shape and torch.equal(back, tensor)
    assert torch.equal(
        there_and_back(tensor.reshape(shape).mT if tensor.dim() > 1 else tensor),
        tensor.mT if tensor.dim() > 1 else tensor,
    )


def test_gradients_numpy_and_not_a_number_are_kept():
    assert (
        there_and_back(torch.ones(2, requires_grad=True)).requires_grad
        and not there_and_back(torch.ones(2)).requires_grad
    )
    assert equal(np.arange(6.0).reshape(2, 3), there_and_back(np.arange(6.0).reshape(2, 3)))
    assert (
        isinstance(there_and_back(np.float32(1.5)), np.float32)
        and there_and_back(np.float32(1.5)) == 1.5
    )
    assert (
        str(there_and_back([float("nan"), float("-inf"), {1, 2}, 2**80, -(2**80)]))
        == "[nan, -inf, {1, 2}, 1208925819614629174706176, -1208925819614629174706176]"
    )


def test_an_object_comes_back_as_the_name_of_its_type_alone():
    class Bomb:
        def __reduce__(self):
            raise AssertionError("it was pickled")

    class Tensor(torch.Tensor):
        pass

    assert there_and_back([Bomb(), lambda: 1, int]) == [
        opaque("Bomb"),
        opaque("function"),
        opaque("type"),
    ]
    assert there_and_back(torch.ones(2).to_sparse()) == opaque("Tensor")
    assert type(there_and_back(torch.ones(2).as_subclass(Tensor))) is torch.Tensor


@pytest.mark.slow
@settings(max_examples=300)
@given(JSON)
def test_whatever_comes_is_read_or_refused(packed):
    try:
        unpack(packed)
    except NotReadable as error:
        assert str(error)


@pytest.mark.parametrize(
    "packed",
    [
        {"tensor": ["float32", [10**12], "AAAA", False]},
        {"tensor": ["float32", [2], "AAAA", False]},
        {"tensor": ["object", [1], "AAAA", False]},
        {"array": ["O", [1], "AAAAAAAAAAA="]},
        {"int": "f" * 10**5},
        {"tensor": []},
        {"a": 1, "b": 2},
        {},
        {"set": [[1]]},
        {"dict": [[[1], 2]]},
        [0] * (MAX_PARTS + 1),
        {"unknown": 1},
    ],
)
def test_what_is_no_value_is_refused_in_a_sentence(packed):
    with pytest.raises(NotReadable):
        unpack(packed)


def test_depth_has_an_end_both_ways():
    deep = []
    for _ in range(5000):
        deep = [deep]
    assert "too_deep" in str(there_and_back(deep))
    nested = json.loads("[" * 900 + "]" * 900)
    with pytest.raises(NotReadable):
        unpack(nested)


def test_one_number_that_was_expanded_crosses_over():
    value = torch.tensor(-0.5).expand(1)
    assert value.stride() == (0,) and torch.equal(
        unpack(json.loads(json.dumps(pack(value)))), value
    )
