"""Is it the same? Is it at least the same kind of thing? And how to show that it is not."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

KINDS: list[tuple[str, type | tuple[type, ...]]] = [
    ("a tensor", Tensor), ("a numpy array", np.ndarray), ("True or False", bool), ("a whole number", int),
    ("a float", float), ("text", str), ("bytes", bytes), ("a list", list), ("a tuple", tuple), ("a dict", Mapping),
    ("a set", (set, frozenset)), ("None", type(None)),
]  # fmt: skip
MOST_VALUES, MOST_ROWS, MOST_LETTERS = 64, 8, 160


def plain(value: Any) -> Any:
    """Numpy's single numbers as Python's."""
    return value.item() if isinstance(value, np.generic) else value


def kind(value: Any) -> str:
    other = f"an object of type {type(value).__name__}"
    return next((name for name, types in KINDS if isinstance(value, types)), other)


def dense(value: Any) -> Tensor | None:
    """A tensor or an array of numbers as a plain tensor; None for anything else, such as a sparse or nested one."""
    if isinstance(value, np.ndarray):
        return torch.from_numpy(np.ascontiguousarray(value)) if value.dtype.kind in "bif" else None
    plain = isinstance(value, Tensor) and value.layout == torch.strided and not value.is_nested and not value.is_meta
    return value.detach() if plain else None


def equal(right: Any, got: Any, tolerance: float = 0.0) -> bool:
    """The same value: floats within `tolerance` of their size, everything else exactly; NaN equals NaN."""
    right, got = plain(right), plain(got)
    if isinstance(right, Tensor | np.ndarray):
        return equal_arrays(right, got, tolerance)
    if isinstance(right, float | int) and not isinstance(right, bool):
        return is_number(got) and close(right, got, tolerance)
    if isinstance(right, list | tuple):
        same = isinstance(got, list | tuple) and len(right) == len(got)
        return same and all(equal(a, b, tolerance) for a, b in zip(right, got, strict=True))
    if isinstance(right, Mapping):
        same = isinstance(got, Mapping) and right.keys() == got.keys()
        return same and all(equal(value, got[key], tolerance) for key, value in right.items())
    if type(right) is not type(got):
        return False
    if type(right).__eq__ is object.__eq__:  # two of these are never equal: look inside
        return right is got or equal(getattr(right, "__dict__", None), getattr(got, "__dict__", None), tolerance)
    try:
        return bool(right == got)
    except Exception:  # somebody's own __eq__
        return False


def is_number(value: Any) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool)


def close(a: float, b: float, tolerance: float) -> bool:
    try:
        return a == b or (a != a and b != b) or math.isclose(a, b, rel_tol=tolerance, abs_tol=tolerance / 10)
    except OverflowError:  # a whole number larger than any float
        return False


def equal_arrays(right: Any, got: Any, tolerance: float) -> bool:
    if isinstance(right, Tensor) != isinstance(got, Tensor) or kind(right) != kind(got):
        return False
    if right.shape != got.shape or right.dtype != got.dtype:
        return False
    if isinstance(right, np.ndarray):
        exact = not tolerance or right.dtype.kind != "f"
        return (
            np.array_equal(right, got) if exact else np.allclose(got, right, tolerance, tolerance / 10, equal_nan=True)
        )
    right, got = right.detach(), got.detach()
    if not tolerance or not right.dtype.is_floating_point:
        return bool(((right == got) | ((right != right) & (got != got))).all())
    return torch.allclose(got, right, rtol=tolerance, atol=tolerance / 10, equal_nan=True)


# -- the contract ---------------------------------------------------------------------------------------------------------


def misfit(right: Any, got: Any, where: str = "it") -> str:
    """How `got` is another kind of thing than `right`, in a clause about `where`; empty if it is not."""
    right, got = plain(right), plain(got)
    if got is None and right is not None:
        return f"{where} is None; is a `return` missing?"
    if got is Ellipsis or got is NotImplemented:
        return f"{where} is {got!r}; a gap is still to be filled"
    if hasattr(got, "gi_frame"):
        return f"{where} is a generator, which `yield` makes; {kind(right)} is wanted, so collect and `return` it"
    if hasattr(got, "cr_frame"):
        return f"{where} is a coroutine; write `def`, not `async def`"
    if isinstance(right, Tensor) and isinstance(got, Tensor):
        return misfit_of_tensors(right, got, where)
    if isinstance(right, float) and is_number(got):
        endless = got != got or abs(got) == math.inf
        return f"{where} is {got}, not a finite number" if endless and math.isfinite(right) else ""
    if kind(right) != kind(got):
        return f"{where} is {described(got)}; {kind(right)} is wanted{remedy(right, got)}"
    if isinstance(right, list | tuple) and len(right) == len(got):
        pairs = enumerate(zip(right, got, strict=True))
        return next(filter(None, (misfit(a, b, f"{where}[{i}]") for i, (a, b) in pairs)), "")
    if isinstance(right, Mapping):
        shared = [key for key in right if key in got]
        return next(filter(None, (misfit(right[key], got[key], f"{where}[{key!r}]") for key in shared)), "")
    return ""


def described(value: Any) -> str:
    tensor = dense(value)
    return kind(value) if tensor is None else f"{kind(value)} of shape {tuple(tensor.shape)}"


def remedy(right: Any, got: Any) -> str:
    """What to write, where one word does it."""
    if isinstance(right, Tensor) and isinstance(got, np.ndarray):
        return "; keep to torch, or end with torch.from_numpy"
    if isinstance(got, Tensor) and is_number(right):
        return "; a tensor's only number is its .item()"
    if isinstance(got, Tensor) and isinstance(right, list):
        return "; .tolist() makes one"
    return ""


def misfit_of_tensors(right: Tensor, got: Tensor, where: str) -> str:
    if dense(got) is None and dense(right) is not None:
        return f"{where} is a tensor without plain numbers (sparse, nested or without data); a plain one is wanted"
    if got.shape != right.shape:
        return f"{where} has shape {tuple(got.shape)}; {tuple(right.shape)} is wanted"
    if got.dtype != right.dtype:
        return f"{where} has dtype {got.dtype}; {right.dtype} is wanted"
    if got.dtype.is_floating_point and bool(((~got.isfinite()) & right.isfinite()).any()):
        what = "NaN (not a number)" if bool((got.isnan() & ~right.isnan()).any()) else "an infinite number"
        return f"{where} contains {what}"
    if right.requires_grad and not got.requires_grad:
        return f"{where} has lost its gradients: no loss computed from it could train anything; was it detached?"
    return ""


# -- showing --------------------------------------------------------------------------------------------------------------


def size(case: Any) -> float:
    """How much a reader has to look at."""
    if isinstance(case, Tensor | np.ndarray):
        return float(math.prod(case.shape)) or 0.5
    if isinstance(case, str | bytes):
        return float(len(case))
    if isinstance(case, list | tuple | set):
        return 1 + sum(map(size, case))
    if isinstance(case, Mapping):
        return 1 + sum(size(key) + size(value) for key, value in case.items())
    return 1 + math.log1p(abs(case)) if is_number(case) and math.isfinite(case) else 1.0


def number(value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def rows(value: Any) -> list[str]:
    """A value as a few short lines: a small matrix as its rows, anything long cut."""
    if (tensor := dense(value)) is not None:
        return rows_of_tensor(tensor)
    if isinstance(value, float):
        return [f"{value:.6g}"]
    if isinstance(value, list | tuple) and any(isinstance(part, Tensor) for part in value):
        return [f"[{i}] {line}" for i, part in enumerate(value[:4]) for line in rows(part)]
    text = repr(value)
    return [text if len(text) <= MOST_LETTERS else text[: MOST_LETTERS - 4] + " ..."]


def rows_of_tensor(value: Tensor) -> list[str]:
    if value.dim() == 0:
        return [number(value.item())]
    if value.dim() == 1 and value.numel() <= MOST_VALUES:
        return ["[" + ", ".join(number(part) for part in value.tolist()) + "]"]
    if value.dim() == 2 and value.numel() <= MOST_VALUES and len(value) <= MOST_ROWS:
        cells = [[number(part) for part in row] for row in value.tolist()]
        width = max((len(cell) for row in cells for cell in row), default=0)
        return ["[" + " ".join(cell.rjust(width) for cell in row) + "]" for row in cells] or ["[]"]
    if value.numel() <= MOST_VALUES:
        return [f"shape {tuple(value.shape)}", *rows_of_tensor(value.flatten())]
    first = ", ".join(number(part) for part in value.flatten()[:6].tolist())
    return [f"shape {tuple(value.shape)}, beginning {first}, ..."]


def side_by_side(expected: Any, got: Any) -> list[str]:
    """Two values with headings, next to each other while lines are short, else one below the other."""
    left, right = ["expected", *rows(expected)], ["got", *rows(got)]
    width = max(map(len, left))
    if width + max(map(len, right)) > 90:
        return [f"expected {left[1]}", *left[2:], f"got      {right[1]}", *right[2:]]
    height = max(len(left), len(right))
    left, right = left + [""] * (height - len(left)), right + [""] * (height - len(right))
    return [f"{a.ljust(width)}   {b}".rstrip() for a, b in zip(left, right, strict=True)]


def call(name: str, parameters: list[str], case: Any) -> str:
    """A case as the line that would run it: causal_mask(T=2)."""
    parts = case if isinstance(case, tuple) else (case,)
    shown = [short(part) for part in parts]
    if len(parameters) >= len(parts):
        shown = [f"{parameter}={text}" for parameter, text in zip(parameters, shown, strict=False)]
    return f"{name}({', '.join(shown)})"


def short(part: Any) -> str:
    if dense(part) is not None:
        lines = rows(part)
        small = part.ndim <= 1 and len(lines) == 1 and len(lines[0]) <= 60
        return lines[0] if small else f"{'tensor' if isinstance(part, Tensor) else 'array'} {tuple(part.shape)}"
    text = repr(part)
    if " at 0x" in text or (len(text) > 60 and not isinstance(part, str | bytes | list | tuple)):
        return type(part).__name__
    return text if len(text) <= 60 else f"{text[:50]} ..."
