"""Values as JSON and back: for what crosses from a student's process to the judge's, and for cases that are handed out.

Not pickle: reading a pickle runs code, and what comes from a student's process may be anything. Here only numbers, text,
bytes, lists, tuples, sets, dicts, tensors and arrays come back; any other object comes back as `Opaque`, its type's name.
"""

import base64
import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

MAX_DEPTH, MAX_PARTS, MAX_MEMBERS, MAX_DIGITS = 40, 100_000, 2000, 4000
DTYPES = {
    str(kind).removeprefix("torch."): kind
    for kind in (
        torch.float64,
        torch.float32,
        torch.float16,
        torch.bfloat16,
        torch.int64,
        torch.int32,
        torch.int16,
        torch.int8,
        torch.uint8,
        torch.bool,
        torch.complex64,
        torch.complex128,
    )
}


class NotReadable(ValueError):
    """What came is no packed value."""


@dataclass(frozen=True)
class Opaque:
    """An object that is known only by the name of its type."""

    type_name: str


def pack(value: Any, depth: int = 0) -> Any:
    """A value as what JSON can hold. Numbers keep every digit; a tensor keeps its bytes and whether it has gradients.

    >>> pack((1, [0.5, None])), pack(float("nan"))
    ({'tuple': [1, [0.5, None]]}, {'float': 'nan'})
    """
    if depth > MAX_DEPTH:
        return {"object": "something too deep"}
    inside = lambda parts: [pack(part, depth + 1) for part in parts]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, np.generic | np.ndarray | Tensor):
        return pack_array(value) or {"object": type(value).__name__}
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        return int(value) if abs(value) < 2**53 else {"int": hex(value)}
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"float": repr(float(value))}
    if isinstance(value, list):
        return inside(value)
    if isinstance(value, tuple | set | frozenset):
        return {"tuple" if isinstance(value, tuple) else "set": inside(value)}
    if isinstance(value, dict):  # a Counter too: what it holds is compared
        return {"dict": [inside(pair) for pair in value.items()]}
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    return {"object": type(value).__name__}


def pack_array(value: Any) -> dict | None:
    """A dense tensor or an array of numbers, packed; None for anything else."""
    if isinstance(value, np.generic):
        return (
            {"number": [value.dtype.str, base64.b64encode(value.tobytes()).decode()]}
            if value.dtype.kind in "bifu"
            else None
        )
    if isinstance(value, np.ndarray):
        data = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode()
        return (
            {"array": [value.dtype.str, list(value.shape), data]}
            if value.dtype.kind in "bifu"
            else None
        )
    if (
        not isinstance(value, Tensor)
        or value.layout != torch.strided
        or value.is_meta
        or value.is_nested
    ):
        return None
    name = str(value.dtype).removeprefix("torch.")
    if name not in DTYPES:
        return None
    plain = value.detach().cpu().contiguous().resolve_conj().reshape(-1)
    data = base64.b64encode(
        plain.view(torch.uint8).numpy().tobytes() if plain.numel() else b""
    ).decode()
    return {"tensor": [name, list(value.shape), data, value.requires_grad]}


def unpack(packed: Any) -> Any:
    """The value again. Raises: NotReadable, and nothing else, whatever is passed."""
    try:
        return unpack_part(packed, 0, [MAX_PARTS])
    except NotReadable:
        raise
    except Exception as error:  # what numpy and torch say of impossible shapes and types is theirs
        raise NotReadable(f"this is no packed value: {type(error).__name__}.") from None


def unpack_part(packed: Any, depth: int, left: list[int]) -> Any:
    left[0] -= 1
    if depth > MAX_DEPTH + 2 or left[0] < 0:
        raise NotReadable("this value has too many parts, or lies too deep.")
    if packed is None or isinstance(packed, bool | str | int | float):
        return packed
    inside = lambda parts: [unpack_part(part, depth + 1, left) for part in parts]
    if isinstance(packed, list):
        return inside(packed)
    ((kind, body),) = packed.items()
    if kind == "tensor":
        return unpack_tensor(*body)
    if kind == "array":
        return (
            np.frombuffer(base64.b64decode(body[2]), parse_number_type(body[0]))
            .reshape(body[1])
            .copy()
        )
    if kind == "number":
        return np.frombuffer(base64.b64decode(body[1]), parse_number_type(body[0]))[0]
    if (
        kind in ("set", "dict") and len(body) > MAX_MEMBERS
    ):  # numbers can be chosen such that a set takes forever
        raise NotReadable(f"sets and dicts of more than {MAX_MEMBERS} members are not read.")
    if kind in ("tensor", "array") and len(body[1]) > MAX_DEPTH:
        raise NotReadable("this array has too many dimensions.")
    if kind == "int" and len(body) < MAX_DIGITS:
        return int(body, 16)
    makers = {
        "tuple": lambda: tuple(inside(body)),
        "set": lambda: set(inside(body)),
        "float": lambda: float(body),
        "dict": lambda: dict(inside(pair) for pair in body),
        "bytes": lambda: base64.b64decode(body),
        "object": lambda: Opaque(str(body)[:100]),
    }
    return makers[kind]()


def parse_number_type(name: str) -> np.dtype:
    if not isinstance(name, str) or not re.fullmatch(r"[<>|=]?[bifu]\d{1,2}", name):
        raise NotReadable("arrays of this type are not read.")
    return np.dtype(name)


def unpack_tensor(name: str, shape: list[int], data: str, has_gradients: bool) -> Tensor:
    raw = bytearray(base64.b64decode(data))
    flat = (
        torch.frombuffer(raw, dtype=torch.uint8).clone().view(DTYPES[name])
        if raw
        else torch.empty(0, dtype=DTYPES[name])
    )
    found = flat.reshape(shape)
    return found.requires_grad_() if has_gradients and found.is_floating_point() else found
