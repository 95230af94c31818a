"""Is it the same? Is it at least the same kind of thing? And how to show that it is not."""

import math
from collections.abc import Mapping
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
MAX_VALUES, MAX_ROWS, MAX_CHARACTERS = 64, 8, 160


def to_python_scalar(value: Any) -> Any:
    """Numpy's single numbers as Python's."""
    return value.item() if isinstance(value, np.generic) else value


def type_name(value: Any) -> str:
    other = f"an object of type {type(value).__name__}"
    return next((name for name, types in TYPE_NAMES if isinstance(value, types)), other)


def dense_tensor(value: Any) -> Tensor | None:
    """A tensor or an array of numbers as a plain tensor; None for anything else, such as a sparse or nested one."""
    if isinstance(value, np.ndarray):
        return torch.from_numpy(np.ascontiguousarray(value)) if value.dtype.kind in "bif" else None
    plain = (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and not value.is_nested
        and not value.is_meta
    )
    return value.detach() if plain else None


def equal(expected: Any, got: Any, tolerance: float = 0.0) -> bool:
    """The same value: floats within `tolerance` of their size, everything else exactly; NaN equals NaN."""
    expected, got = to_python_scalar(expected), to_python_scalar(got)
    if isinstance(expected, Tensor | np.ndarray):
        return equal_arrays(expected, got, tolerance)
    if isinstance(expected, float | int) and not isinstance(expected, bool):
        return is_number(got) and is_close(expected, got, tolerance)
    if isinstance(expected, list | tuple):
        same = isinstance(got, list | tuple) and len(expected) == len(got)
        return same and all(equal(a, b, tolerance) for a, b in zip(expected, got, strict=True))
    if isinstance(expected, Mapping):
        same = isinstance(got, Mapping) and expected.keys() == got.keys()
        return same and all(equal(value, got[key], tolerance) for key, value in expected.items())
    if type(expected) is not type(got):
        return False
    if type(expected).__eq__ is object.__eq__:  # two of these are never equal: look inside
        return expected is got or equal(
            getattr(expected, "__dict__", None), getattr(got, "__dict__", None), tolerance
        )
    try:
        return bool(expected == got)
    except Exception:  # somebody's own __eq__
        return False


def is_number(value: Any) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool)


def is_close(a: float, b: float, tolerance: float) -> bool:
    try:
        return (
            a == b
            or (a != a and b != b)
            or math.isclose(a, b, rel_tol=tolerance, abs_tol=tolerance / 10)
        )
    except OverflowError:  # a whole number larger than any float
        return False


def equal_arrays(expected: Any, got: Any, tolerance: float) -> bool:
    if isinstance(expected, Tensor) != isinstance(got, Tensor) or type_name(expected) != type_name(
        got
    ):
        return False
    if expected.shape != got.shape or expected.dtype != got.dtype:
        return False
    if isinstance(expected, np.ndarray):
        exact = not tolerance or expected.dtype.kind != "f"
        return (
            np.array_equal(expected, got)
            if exact
            else np.allclose(got, expected, tolerance, tolerance / 10, equal_nan=True)
        )
    expected, got = expected.detach(), got.detach()
    if not tolerance or not expected.dtype.is_floating_point:
        return bool(((expected == got) | ((expected != expected) & (got != got))).all())
    return torch.allclose(got, expected, rtol=tolerance, atol=tolerance / 10, equal_nan=True)


# -- the contract ---------------------------------------------------------------------------------------------------------


def mismatch(expected: Any, got: Any, where: str = "it") -> str:
    """How `got` is another kind of thing than `expected`, in a clause about `where`; empty if it is not."""
    expected, got = to_python_scalar(expected), to_python_scalar(got)
    if got is None and expected is not None:
        return f"{where} is None; is a `return` missing?"
    if got is Ellipsis or got is NotImplemented:
        return f"{where} is {got!r}; a gap is still to be filled"
    if hasattr(got, "gi_frame"):
        return f"{where} is a generator, which `yield` makes; {type_name(expected)} is wanted, so collect and `return` it"
    if hasattr(got, "cr_frame"):
        return f"{where} is a coroutine; write `def`, not `async def`"
    if isinstance(expected, Tensor) and isinstance(got, Tensor):
        return tensor_mismatch(expected, got, where)
    if isinstance(expected, float) and is_number(got):
        endless = got != got or abs(got) == math.inf
        return (
            f"{where} is {got}, not a finite number" if endless and math.isfinite(expected) else ""
        )
    if type_name(expected) != type_name(got):
        return f"{where} is {describe(got)}; {type_name(expected)} is wanted{remedy(expected, got)}"
    if isinstance(expected, list | tuple) and len(expected) == len(got):
        pairs = enumerate(zip(expected, got, strict=True))
        return next(filter(None, (mismatch(a, b, f"{where}[{i}]") for i, (a, b) in pairs)), "")
    if isinstance(expected, Mapping):
        shared = [key for key in expected if key in got]
        return next(
            filter(
                None, (mismatch(expected[key], got[key], f"{where}[{key!r}]") for key in shared)
            ),
            "",
        )
    return ""


def describe(value: Any) -> str:
    tensor = dense_tensor(value)
    return (
        type_name(value) if tensor is None else f"{type_name(value)} of shape {tuple(tensor.shape)}"
    )


def remedy(expected: Any, got: Any) -> str:
    """What to write, where one word does it."""
    if isinstance(expected, Tensor) and isinstance(got, np.ndarray):
        return "; keep to torch, or end with torch.from_numpy"
    if isinstance(got, Tensor) and is_number(expected):
        return "; a tensor's only number is its .item()"
    if isinstance(got, Tensor) and isinstance(expected, list):
        return "; .tolist() makes one"
    return ""


def tensor_mismatch(expected: Tensor, got: Tensor, where: str) -> str:
    if dense_tensor(got) is None and dense_tensor(expected) is not None:
        return f"{where} is a tensor without plain numbers (sparse, nested or without data); a plain one is wanted"
    if got.shape != expected.shape:
        return f"{where} has shape {tuple(got.shape)}; {tuple(expected.shape)} is wanted"
    if got.dtype != expected.dtype:
        return f"{where} has dtype {got.dtype}; {expected.dtype} is wanted"
    if got.dtype.is_floating_point and bool(((~got.isfinite()) & expected.isfinite()).any()):
        what = (
            "NaN (not a number)"
            if bool((got.isnan() & ~expected.isnan()).any())
            else "an infinite number"
        )
        return f"{where} contains {what}"
    if expected.requires_grad and not got.requires_grad:
        return f"{where} has lost its gradients: no loss computed from it could train anything; was it detached?"
    return ""


# -- showing --------------------------------------------------------------------------------------------------------------


def display_size(case: Any) -> float:
    """How much a reader has to look at."""
    if isinstance(case, Tensor | np.ndarray):
        return float(math.prod(case.shape)) or 0.5
    if isinstance(case, str | bytes):
        return float(len(case))
    if isinstance(case, list | tuple | set):
        return 1 + sum(map(display_size, case))
    if isinstance(case, Mapping):
        return 1 + sum(display_size(key) + display_size(value) for key, value in case.items())
    return 1 + math.log1p(abs(case)) if is_number(case) and math.isfinite(case) else 1.0


def format_number(value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def format_rows(value: Any) -> list[str]:
    """A value as a few short lines: a small matrix as its rows, anything long cut."""
    if (tensor := dense_tensor(value)) is not None:
        return format_tensor(tensor)
    if isinstance(value, float):
        return [f"{value:.6g}"]
    if isinstance(value, list | tuple) and any(isinstance(part, Tensor) for part in value):
        return [f"[{i}] {line}" for i, part in enumerate(value[:4]) for line in format_rows(part)]
    text = repr(value)
    return [text if len(text) <= MAX_CHARACTERS else text[: MAX_CHARACTERS - 4] + " ..."]


def format_tensor(value: Tensor) -> list[str]:
    if value.dim() == 0:
        return [format_number(value.item())]
    if value.dim() == 1 and value.numel() <= MAX_VALUES:
        return ["[" + ", ".join(format_number(part) for part in value.tolist()) + "]"]
    if value.dim() == 2 and value.numel() <= MAX_VALUES and len(value) <= MAX_ROWS:
        cells = [[format_number(part) for part in row] for row in value.tolist()]
        width = max((len(cell) for row in cells for cell in row), default=0)
        return ["[" + " ".join(cell.rjust(width) for cell in row) + "]" for row in cells] or ["[]"]
    if value.numel() <= MAX_VALUES:
        return [f"shape {tuple(value.shape)}", *format_tensor(value.flatten())]
    first = ", ".join(format_number(part) for part in value.flatten()[:6].tolist())
    return [f"shape {tuple(value.shape)}, beginning {first}, ..."]


def side_by_side(expected: Any, got: Any) -> list[str]:
    """Two values with headings, next to each other while lines are short, else one below the other."""
    left, right = ["expected", *format_rows(expected)], ["got", *format_rows(got)]
    width = max(map(len, left))
    if width + max(map(len, right)) > 90:
        return [f"expected {left[1]}", *left[2:], f"got      {right[1]}", *right[2:]]
    height = max(len(left), len(right))
    left, right = left + [""] * (height - len(left)), right + [""] * (height - len(right))
    return [f"{a.ljust(width)}   {b}".rstrip() for a, b in zip(left, right, strict=True)]


def format_call(name: str, parameter_names: list[str], case: Any) -> str:
    """A case as the line that would run it: causal_mask(T=2)."""
    parts = case if isinstance(case, tuple) else (case,)
    shown = [format_argument(part) for part in parts]
    if len(parameter_names) >= len(parts):
        shown = [
            f"{parameter}={text}" for parameter, text in zip(parameter_names, shown, strict=False)
        ]
    return f"{name}({', '.join(shown)})"


def format_argument(part: Any) -> str:
    if dense_tensor(part) is not None:
        lines = format_rows(part)
        small = part.ndim <= 1 and len(lines) == 1 and len(lines[0]) <= 60
        return (
            lines[0]
            if small
            else f"{'tensor' if isinstance(part, Tensor) else 'array'} {tuple(part.shape)}"
        )
    text = repr(part)
    if " at 0x" in text or (len(text) > 60 and not isinstance(part, str | bytes | list | tuple)):
        return type(part).__name__
    return text if len(text) <= 60 else f"{text[:50]} ..."
