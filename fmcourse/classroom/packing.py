"""Values and outcomes as JSON and back: between a student's process and the grader, and in files.

Not pickle: reading a pickle runs code, and what comes from a student's process may be anything.
Here only numbers, text, bytes, lists, tuples, sets, dicts, tensors and arrays come back; any other
object comes back as `Opaque`, the name of its type.
"""

import base64
import math
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fmcourse.course.running import Outcome

MAX_DEPTH, MAX_PARTS = 40, 100_000  # of a value
MAX_MEMBERS = 2000  # of a set or dict
MAX_DIGITS = 4000  # of a whole number, in base 16
MAX_MESSAGE, MAX_NAME, MAX_NAMES = 1000, 80, 20  # of an outcome from outside
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


@dataclass(frozen=True, repr=False)
class Opaque:
    """An object that is known only by the name of its type, which its own type bears too.

    So a sentence on it names the type that it had. Make it with `opaque`.
    """

    type_name: str

    def __repr__(self) -> str:
        return f"<{self.type_name}>"


@lru_cache(1000)  # of names that a student's process may choose
def opaque_type(name: str) -> type[Opaque]:
    return type(name, (Opaque,), {})


def opaque(name: str) -> Opaque:
    """An object of which only the name of its type is known.

    >>> type(opaque("Fraction")).__name__
    'Fraction'
    """
    name = re.sub(r"[^\w.]", "_", name[:MAX_NAME])  # one word: what it says may be meant to deceive
    return opaque_type(name)(name)


def pack(value: Any, depth: int = 0) -> Any:
    """A value as what JSON can hold.

    Numbers keep every digit; a tensor keeps its bytes and whether it has gradients.

    >>> pack((1, [0.5, None])), pack(float("nan"))
    ({'tuple': [1, [0.5, None]]}, {'float': 'nan'})
    """
    if depth > MAX_DEPTH:
        return {"object": "something too deep"}

    def inside(parts: Iterable) -> list:
        return [pack(part, depth + 1) for part in parts]

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
        return {"bytes": encode_bytes(value)}
    return {"object": type(value).__name__}


def pack_array(value: Any) -> dict | None:
    """A dense tensor or an array of numbers, packed; None for anything else."""
    if isinstance(value, Tensor):
        return pack_tensor(value)
    if value.dtype.kind not in "bifu":
        return None
    if isinstance(value, np.generic):
        return {"number": [value.dtype.str, encode_bytes(value.tobytes())]}
    data = encode_bytes(np.ascontiguousarray(value).tobytes())
    return {"array": [value.dtype.str, list(value.shape), data]}


def pack_tensor(value: Tensor) -> dict | None:
    name = str(value.dtype).removeprefix("torch.")
    if value.layout != torch.strided or value.is_meta or value.is_nested or name not in DTYPES:
        return None
    # A copy, for one number that was expanded has the stride 0 and still counts as contiguous.
    plain = value.detach().cpu().resolve_conj().clone(memory_format=torch.contiguous_format)
    plain = plain.reshape(-1)
    data = plain.view(torch.uint8).numpy().tobytes() if plain.numel() else b""
    return {"tensor": [name, list(value.shape), encode_bytes(data), value.requires_grad]}


def encode_bytes(data: bytes) -> str:
    return base64.b64encode(data).decode()


def unpack(packed: Any) -> Any:
    """The value again. Raises: NotReadable, and nothing else, whatever is passed."""
    try:
        return unpack_part(packed, 0, [MAX_PARTS])
    except NotReadable:
        raise
    except Exception as error:  # what numpy and torch say of impossible shapes and types is theirs
        raise NotReadable(f"this is no packed value: {type(error).__name__}.") from None


def unpack_part(packed: Any, depth: int, left: list[int]) -> Any:
    """A part of a packed value; `left` holds how many more parts are read."""
    left[0] -= 1
    if depth > MAX_DEPTH + 2 or left[0] < 0:
        raise NotReadable("this value has too many parts, or lies too deep.")
    if packed is None or isinstance(packed, bool | str | int | float):
        return packed

    def inside(parts: list) -> list:
        return [unpack_part(part, depth + 1, left) for part in parts]

    if isinstance(packed, list):
        return inside(packed)
    ((kind, body),) = packed.items()
    # numbers can be chosen such that building a set of them takes forever
    if kind in ("set", "dict") and len(body) > MAX_MEMBERS:
        raise NotReadable(f"sets and dicts of more than {MAX_MEMBERS} members are not read.")
    makers = {
        "tensor": lambda: unpack_tensor(*body),
        "array": lambda: unpack_array(*body),
        "number": lambda: unpack_array(body[0], [1], body[1])[0],
        "int": lambda: unpack_int(body),
        "tuple": lambda: tuple(inside(body)),
        "set": lambda: set(inside(body)),
        "float": lambda: float(body),
        "dict": lambda: dict(inside(pair) for pair in body),
        "bytes": lambda: base64.b64decode(body),
        "object": lambda: opaque(str(body)),
    }
    return makers[kind]()


def unpack_int(digits: str) -> int:
    if len(digits) >= MAX_DIGITS:
        raise NotReadable(f"whole numbers of {MAX_DIGITS} digits or more are not read.")
    return int(digits, 16)


def unpack_array(dtype: str, shape: list[int], data: str) -> np.ndarray:
    flat = np.frombuffer(base64.b64decode(data), parse_number_type(dtype))
    return flat.reshape(shape).copy()


def parse_number_type(name: str) -> np.dtype:
    if not isinstance(name, str) or not re.fullmatch(r"[<>|=]?[bifu]\d{1,2}", name):
        raise NotReadable("arrays of this type are not read.")
    return np.dtype(name)


def unpack_tensor(name: str, shape: list[int], data: str, has_gradients: bool) -> Tensor:
    raw = bytearray(base64.b64decode(data))
    if raw:
        flat = torch.frombuffer(raw, dtype=torch.uint8).clone().view(DTYPES[name])
    else:
        flat = torch.empty(0, dtype=DTYPES[name])
    found = flat.reshape(shape)
    return found.requires_grad_() if has_gradients and found.is_floating_point() else found


# -- outcomes -----------------------------------------------------------------------------------


def outcome_fields(outcome: Outcome) -> dict[str, Any]:
    """An outcome of ours as what JSON can hold."""
    return asdict(replace(outcome, value=None)) | {"value": pack(outcome.value)}


def outcome_from_fields(fields: dict[str, Any]) -> Outcome:
    """The outcome again. Raises: NotReadable, TypeError or KeyError if it is none."""
    return replace(
        Outcome(**fields),
        value=unpack(fields["value"]),
        changed_inputs=tuple(fields["changed_inputs"]),
        changed_generators=tuple(fields["changed_generators"]),
    )


def pack_outcome(outcome: Outcome) -> dict[str, Any]:
    """An outcome as it is sent to the grader: nothing of what was printed, the error cut."""
    fields = outcome_fields(outcome)
    return fields | {"error": outcome.error[:MAX_MESSAGE], "printed": bool(outcome.printed)}


def unpack_outcome(fields: dict[str, Any]) -> Outcome:
    """An outcome that came from a student's process, whatever that process has written.

    Raises: NotReadable, TypeError or KeyError if it is none.
    """

    def names(field: str) -> tuple[str, ...]:
        return tuple(str(name)[:MAX_NAME] for name in list(fields[field])[:MAX_NAMES])

    return Outcome(
        value=unpack(fields["value"]),
        error=str(fields["error"])[:MAX_MESSAGE],
        line=str(fields["line"])[:MAX_MESSAGE],
        printed="it prints" if fields["printed"] else "",
        changed_inputs=names("changed_inputs"),
        changed_generators=names("changed_generators"),
        timed_out=bool(fields["timed_out"]),
    )
