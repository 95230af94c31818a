"""Is a result the same as the right one? Is it at least of the same kind?"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

TYPE_NAMES: list[tuple[str, type | tuple[type, ...]]] = [
    ("a tensor", Tensor),
    ("a numpy array", np.ndarray),
    ("True or False", bool),
    ("a whole number", int),
    ("a float", float),
    ("text", str),
    ("bytes", bytes),
    ("a list", list),
    ("a tuple", tuple),
    ("a dict", Mapping),
    ("a set", (set, frozenset)),
    ("None", type(None)),
]
MAX_DEPTH = 10  # of a value's parts: a list can hold itself


# -- plain values -------------------------------------------------------------------------------


def to_python(value: Any) -> Any:
    """A numpy number as Python's; anything else as it is."""
    return value.item() if isinstance(value, np.generic) else value


def is_number(value: Any) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool)


def type_name(value: Any) -> str:
    """What a learner would call this type, with its article."""
    other = f"an object of type {type(value).__name__}"
    return next((name for name, types in TYPE_NAMES if isinstance(value, types)), other)


def dense_tensor(value: Any) -> Tensor | None:
    """A tensor or an array of numbers as a plain tensor; None for anything else.

    None too for a tensor that is sparse, nested or without data.
    """
    if isinstance(value, np.ndarray):
        return torch.from_numpy(np.ascontiguousarray(value)) if value.dtype.kind in "bif" else None
    plain = (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and not value.is_nested
        and not value.is_meta
    )
    return value.detach() if plain else None


# -- the same value -----------------------------------------------------------------------------


def equal(expected: Any, got: Any, tolerance: float = 0.0) -> bool:
    """The same value, and NaN equals NaN.

    Floats may differ by `tolerance` of their size (near zero by a tenth of it, whatever their
    size); whole numbers, truth values, text and all else must be exactly the same.
    """
    expected, got = to_python(expected), to_python(got)
    if isinstance(expected, Tensor | np.ndarray):
        return equal_arrays(expected, got, tolerance)
    if is_number(expected):
        if isinstance(expected, int):  # a count, an index, a size in bytes
            return is_number(got) and expected == got
        return is_number(got) and is_close(expected, got, tolerance)
    if isinstance(expected, list | tuple):
        same = isinstance(got, list | tuple) and len(expected) == len(got)
        return same and all(equal(a, b, tolerance) for a, b in zip(expected, got, strict=True))
    if isinstance(expected, Mapping):
        same = isinstance(got, Mapping) and expected.keys() == got.keys()
        return same and all(equal(value, got[key], tolerance) for key, value in expected.items())
    return equal_objects(expected, got, tolerance)


def equal_objects(expected: Any, got: Any, tolerance: float) -> bool:
    """The same object, or two that are equal by their own `==` or, without one, in their fields."""
    if type(expected) is not type(got):
        return False
    if type(expected).__eq__ is object.__eq__:  # two of these are never `==`
        fields = [getattr(thing, "__dict__", None) for thing in (expected, got)]
        return expected is got or equal(*fields, tolerance)
    try:
        return bool(expected == got)
    except Exception:  # a learner's own __eq__
        return False


def is_close(a: float, b: float, tolerance: float, *, absolute: float | None = None) -> bool:
    """Two numbers that differ by at most `tolerance` of their size; NaN is close to NaN.

    Args:
        absolute: how far numbers near zero may be apart, a tenth of `tolerance` if not given.
    """
    absolute = tolerance / 10 if absolute is None else absolute
    both_nan = a != a and b != b
    try:
        return a == b or both_nan or math.isclose(a, b, rel_tol=tolerance, abs_tol=absolute)
    except OverflowError:  # a whole number larger than any float
        return False


def equal_arrays(expected: Tensor | np.ndarray, got: Any, tolerance: float) -> bool:
    """Two tensors or two arrays of the same shape, dtype and values."""
    if isinstance(expected, Tensor) != isinstance(got, Tensor):
        return False
    if type_name(expected) != type_name(got):
        return False
    if expected.shape != got.shape or expected.dtype != got.dtype:
        return False
    absolute = tolerance / 10
    if isinstance(expected, np.ndarray):
        inexact = expected.dtype.kind in "fc"
        if not tolerance or not inexact:
            return np.array_equal(expected, got, equal_nan=inexact)
        return np.allclose(got, expected, tolerance, absolute, equal_nan=True)
    expected, got = expected.detach(), got.detach()
    if not tolerance or not (expected.is_floating_point() or expected.is_complex()):
        both_nan = (expected != expected) & (got != got)
        return bool(((expected == got) | both_nan).all())
    return torch.allclose(got, expected, rtol=tolerance, atol=absolute, equal_nan=True)


# -- the same kind of value ---------------------------------------------------------------------


def kinds_of(values: Iterable[Any]) -> list[set[str]]:
    """The names of all types at each depth of some values: of the values, of their parts, ..."""
    found, level = [], list(values)
    while level and len(found) < MAX_DEPTH:
        found.append({type_name(to_python(value)) for value in level})
        level = [part for value in level for part in parts_of(value)]
    return found


def parts_of(value: Any) -> list[Any]:
    """What a list, tuple or dict holds."""
    if isinstance(value, Mapping):
        return list(value.values())
    return list(value) if isinstance(value, list | tuple) else []


def mismatch(
    expected: Any,
    got: Any,
    where: str = "it",
    *,
    gradients: bool = True,
    kinds: Sequence[set[str]] = (),
) -> str:
    """How `got` is of another kind than `expected`, in a clause about `where`; empty if it is not.

    The value itself is not compared: type, shape, dtype, finite numbers, gradients.

    Args:
        gradients: must `got` have them where `expected` has them?
        kinds: what is right in some case, from `kinds_of`. Where an answer may be None, None is
            another value, and not another kind.
    """
    expected, got = to_python(expected), to_python(got)
    names = {type_name(expected), type_name(got)}
    if len(names) > 1 and kinds and names <= kinds[0]:
        return ""
    if unfinished := describe_unfinished(expected, got):
        return f"{where} is {unfinished}"
    if isinstance(expected, Tensor) and isinstance(got, Tensor):
        return tensor_mismatch(expected, got, where, gradients)
    if isinstance(expected, float) and is_number(got):
        endless = math.isfinite(expected) and (got != got or abs(got) == math.inf)
        return f"{where} is {got}, not a finite number" if endless else ""
    if type_name(expected) != type_name(got):
        return f"{where} is {describe(got)}; {type_name(expected)} is wanted{remedy(expected, got)}"
    if isinstance(expected, list | tuple) and len(expected) == len(got):
        parts = [(f"[{i}]", a, b) for i, (a, b) in enumerate(zip(expected, got, strict=True))]
    elif isinstance(expected, Mapping):
        parts = [(f"[{key!r}]", expected[key], got[key]) for key in expected if key in got]
    else:
        parts = []
    found = (
        mismatch(a, b, f"{where}{name}", gradients=gradients, kinds=kinds[1:])
        for name, a, b in parts
    )
    return next(filter(None, found), "")


def describe_unfinished(expected: Any, got: Any) -> str:
    """What is said of a result that was never made; empty if one was."""
    if got is None and expected is not None:
        return "None; is a `return` missing?"
    if got is Ellipsis or got is NotImplemented:
        return f"{got!r}; a gap is still to be filled"
    if hasattr(got, "gi_frame"):
        wanted = type_name(expected)
        return f"a generator, which `yield` makes; {wanted} is wanted, so collect and `return` it"
    if hasattr(got, "cr_frame"):
        return "a coroutine; write `def`, not `async def`"
    return ""


def describe(value: Any) -> str:
    """The type of a value, and its shape if it has one."""
    tensor = dense_tensor(value)
    if tensor is None:
        return type_name(value)
    return f"{type_name(value)} of shape {tuple(tensor.shape)}"


def remedy(expected: Any, got: Any) -> str:
    """What to write, where one word turns one type into the other."""
    if isinstance(expected, Tensor) and isinstance(got, np.ndarray):
        return "; keep to torch, or end with torch.from_numpy"
    if isinstance(got, Tensor) and is_number(expected):
        return "; a tensor's only number is its .item()"
    if isinstance(got, Tensor) and isinstance(expected, list):
        return "; .tolist() makes one"
    return ""


def tensor_mismatch(expected: Tensor, got: Tensor, where: str, gradients: bool) -> str:
    """The same as `mismatch`, of two tensors."""
    if dense_tensor(got) is None and dense_tensor(expected) is not None:
        return (
            f"{where} is a tensor without plain numbers (sparse, nested or without data); "
            "a plain one is wanted"
        )
    if got.shape != expected.shape:
        return f"{where} has shape {tuple(got.shape)}; {tuple(expected.shape)} is wanted"
    if got.dtype != expected.dtype:
        return f"{where} has dtype {got.dtype}; {expected.dtype} is wanted"
    if got.dtype.is_floating_point and bool((~got.isfinite() & expected.isfinite()).any()):
        has_nan = bool((got.isnan() & ~expected.isnan()).any())
        return f"{where} contains {'NaN (not a number)' if has_nan else 'an infinite number'}"
    if gradients and expected.requires_grad and not got.requires_grad:
        return (
            f"{where} has lost its gradients: no loss computed from it could train anything; "
            "was it detached?"
        )
    return ""
