"""How a wrong result is related to the right one: often enough the relation is the mistake.

A relation must hold on every case, and on at least one case say something. Each finder takes the right and the given
results of all cases and returns a sentence, or nothing.
"""

import inspect
import math
from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fmcourse.course.compare import dense, equal, is_number
from fmcourse.course.exercises import Exercise
from fmcourse.course.sandbox import Outcome, arguments, fresh, parameters

TOLERANCE = 1e-3
Pairs = list[tuple[Any, Any]]  # (right, got), one for each case


def relation(exercise: Exercise, rights: list[Outcome], gots: list[Outcome]) -> tuple[str, str]:
    """The name of the relation and a sentence about it; two empty strings if there is none."""
    if len(rights) != len(gots) or any(outcome.error for outcome in [*rights, *gots]):
        return "", ""
    pairs = [(numeric(right.value), numeric(got.value)) for right, got in zip(rights, gots, strict=True)]
    if not all(isinstance(value, Tensor | list | tuple | str) for pair in pairs for value in pair):
        return "", ""
    for name, sentence, holds in SIMPLE:
        if everywhere(pairs, holds):
            return name, sentence
    if found := factor(exercise, pairs) or offset(pairs) or wrong_axis(exercise, gots):
        return found
    return "", ""


def numeric(value: Any) -> Any:
    """Numbers and lists of numbers as tensors, everything else as it is."""
    if isinstance(value, Tensor | np.ndarray):
        tensor = dense(value)
        return None if tensor is None or tensor.is_complex() else tensor
    flat = value if isinstance(value, list | tuple) else [value]
    if flat and all(is_number(part) for part in flat):
        try:
            return torch.tensor(value, dtype=torch.float64)
        except (TypeError, ValueError, OverflowError):
            return value
    return value


def everywhere(pairs: Pairs, holds: Callable[[Any, Any], bool | None]) -> bool:
    """Does it hold wherever something can be said (not None), and does that explain a difference somewhere?"""
    try:
        found = [None if (held := holds(right, got)) is None else bool(held) for right, got in pairs]
    except (TypeError, ValueError, RuntimeError, AttributeError, IndexError):
        return False
    return False not in found and any(
        held and not same(got, right) for held, (right, got) in zip(found, pairs, strict=True)
    )


def same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor) and a.shape == b.shape and a.dtype != b.dtype:
        a, b = a.double(), b.double()
    return equal(b, a, TOLERANCE)


# -- relations that need only the two results -----------------------------------------------------------------------------


def transposed(right: Tensor, got: Tensor) -> bool:
    if right.dim() < 2:
        return same(got, right)
    return any(same(got, right.transpose(i, j)) for i, j in combinations(range(right.dim()), 2))


def squeezed(right: Tensor, got: Tensor) -> bool:
    return right.dim() != got.dim() and same(got.squeeze(), right.squeeze())


def shifted(by: int) -> Callable[[Any, Any], bool | None]:
    """got[n] == right[n + by], along some axis; the end that runs over is not looked at."""

    def holds(right: Any, got: Any) -> bool | None:
        if not isinstance(right, Tensor):
            return overlaps(right, got, by)
        if right.shape != got.shape:
            return right.dim() == 1 and overlaps(right.tolist(), got.tolist(), by)
        axes = [axis for axis in range(right.dim()) if right.shape[axis] > 2]
        return any(same(*overlap(got, right, axis, by)) for axis in axes) if axes else None

    return holds


def overlap(got: Tensor, right: Tensor, axis: int, by: int) -> tuple[Tensor, Tensor]:
    n = right.shape[axis] - 1
    first, last = (0, 1) if by > 0 else (1, 0)
    return got.narrow(axis, first, n), right.narrow(axis, last, n)


def overlaps(right: Any, got: Any, by: int) -> bool | None:
    if len(right) < 3:
        return None
    if abs(len(right) - len(got)) > 1:
        return False
    a, b = (got, right[1:]) if by > 0 else (got[1:], right)
    n = min(len(a), len(b))
    return n >= 2 and equal(b[:n], a[:n], TOLERANCE)


def reordered(right: Any, got: Any) -> bool:
    if isinstance(right, Tensor):
        return right.shape == got.shape and same(got.flatten().sort().values, right.flatten().sort().values)
    return len(right) == len(got) and sorted(right) == sorted(got)


def backwards(right: Any, got: Any) -> bool:
    if isinstance(right, Tensor):
        return any(same(got, right.flip(axis)) for axis in range(right.dim())) if right.numel() > 1 else None
    return got == right[::-1]


def rounded(right: Tensor, got: Tensor) -> bool:
    return right.shape == got.shape and bool(((got == right.round()) | (got == right.trunc())).all())


SIMPLE: list[tuple[str, str, Callable[[Any, Any], bool | None]]] = [
    ("transposed", "It is the right answer with two axes swapped. Which axis is which?", transposed),
    ("an axis too many or too few", "The numbers are right; an axis of size 1 is missing, or too much.", squeezed),
    ("the opposite", "True and False are the wrong way round. Does True mean what you think here?",
     lambda right, got: right.dtype == torch.bool and same(got, ~right)),
    ("the sign", "It is the right answer with the other sign.", lambda right, got: same(got, -right)),
    ("one minus the answer", "It is one minus the right answer.", lambda right, got: same(got, 1 - right)),
    ("the logarithm", "It is the logarithm of the right answer: log-probabilities for probabilities?",
     lambda right, got: same(got, right.log())),
    ("the exponential", "It is the exponential of the right answer: probabilities for log-probabilities?",
     lambda right, got: same(got, right.exp())),
    ("one over the answer", "It is one divided by the right answer.", lambda right, got: same(got, 1 / right)),
    ("the square", "It is the square of the right answer; is a root missing?", lambda right, got: same(got, right**2)),
    ("the square root", "It is the square root of the right answer.", lambda right, got: same(got, right.sqrt())),
    ("shifted by one", "It is the right answer, one place too early: it begins with what should come second.", shifted(1)),
    ("shifted by one", "It is the right answer, one place too late: its second place holds what should be first.", shifted(-1)),
    ("backwards", "It is the right answer in reverse order.", backwards),
    ("another order", "The values are right, but they stand in another order.", reordered),
    ("rounded", "It is the right answer, cut to whole numbers.", rounded),
]  # fmt: skip


# -- a factor that has a name ---------------------------------------------------------------------------------------------


def factor(exercise: Exercise, pairs: Pairs) -> tuple[str, str] | None:
    """Is the result some number of times the right one, the same in every place?"""
    ratios = [ratio(right, got) for right, got in pairs]
    known = [(value, case) for value, case in zip(ratios, exercise.cases, strict=True) if value is not None]
    if not known or any(not math.isfinite(value) for value, _ in known) or all(near(value, 1) for value, _ in known):
        return None
    for name, measure in measures(exercise):
        values = [measure(case) for _, case in known]
        if all(near(value, size) for (value, _), size in zip(known, values, strict=True)):
            return (
                f"too large by {name}",
                f"It is {name} times too large. Is a division missing, or is it a sum for a mean?",
            )
        if all(size and near(value, 1 / size) for (value, _), size in zip(known, values, strict=True)):
            return f"too small by {name}", f"It is {name} times too small. Divided once too often, or a mean for a sum?"
    if (
        known[0][0]
        and all(near(value, known[0][0]) for value, _ in known)
        and (len(known) > 1 or pairs[0][0].numel() > 1)
    ):
        return "a constant factor", f"It is {known[0][0]:.4g} times the right answer, everywhere."
    return None


def ratio(right: Any, got: Any) -> float | None:
    """got / right where it is one number; NaN where it is not; None where nothing can be said (0 / 0)."""
    if not comparable(right, got):
        return math.nan
    right, got = right.double().flatten(), got.double().flatten()
    seen = right.isfinite() & (right.abs() > 1e-6)
    if not same(got[~seen], right[~seen]):
        return math.nan
    if not seen.any():
        return None
    ratios = got[seen] / right[seen]
    first = ratios[right[seen].abs().argmax()]
    return first.item() if same(ratios, first.expand_as(ratios)) else math.nan


def comparable(right: Any, got: Any) -> bool:
    """Are both numbers, place by place?"""
    both = isinstance(right, Tensor) and isinstance(got, Tensor)
    return both and right.shape == got.shape and torch.bool not in (right.dtype, got.dtype)


def near(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=TOLERANCE)


def measures(exercise: Exercise) -> Iterator[tuple[str, Callable[[Any], float]]]:
    """Numbers that a result is often wrong by: (name, its value on a case)."""
    yield "log 2", lambda case: math.log(2)
    yield "2", lambda case: 2.0
    names, first = parameters(exercise), arguments(exercise.cases[0])
    for i, part in enumerate(first):
        name = names[i] if i < len(names) else f"input {i + 1}"
        for what, value in sizes(name, part):
            yield what, reader(i, value)
            yield f"√({what})", reader(i, lambda part, value=value: math.sqrt(value(part)))


def sizes(name: str, part: Any) -> Iterator[tuple[str, Callable[[Any], float]]]:
    """The sizes that an input has."""
    if isinstance(part, Tensor):
        for axis in range(part.dim()):
            yield f"{name}.shape[{axis}]", lambda value, axis=axis: value.shape[axis]
        if part.dim() > 1:
            yield f"{name}.numel()", lambda value: value.numel()
    elif isinstance(part, str | bytes | list | tuple | dict):
        yield f"len({name})", len
        if isinstance(part, str):
            yield f"the bytes of {name}", lambda value: len(value.encode())
    elif is_number(part):
        yield name, lambda value: value


def reader(i: int, value: Callable[[Any], float]) -> Callable[[Any], float]:
    """The size of part `i` of a case, NaN where that case is of another make."""

    def read(case: Any) -> float:
        try:
            size = float(value(arguments(case)[i]))
        except (TypeError, ValueError, IndexError, AttributeError, OverflowError):
            return math.nan
        return size if size > 0 else math.nan

    return read


def offset(pairs: Pairs) -> tuple[str, str] | None:
    """Is one number added everywhere?"""
    if not all(comparable(right, got) for right, got in pairs):
        return None
    gaps = torch.cat([(got.double() - right.double()).flatten() for right, got in pairs])
    if len(gaps) < 2 or not gaps.isfinite().all() or gaps[0].abs() < 1e-6 or not same(gaps, gaps[0].expand_as(gaps)):
        return None
    word = "much" if gaps[0] > 0 else "little"
    return "a constant is added", f"It is {abs(gaps[0].item()):.4g} too {word}, everywhere."


# -- the right thing along the wrong axis ---------------------------------------------------------------------------------


def wrong_axis(exercise: Exercise, gots: list[Outcome]) -> tuple[str, str] | None:
    """Does the course's answer give this when one of its inputs is turned on its side?"""
    first = arguments(exercise.cases[0])
    for i in range(len(first)):
        turned = [sideways(exercise, case, i) for case in exercise.cases]
        pairs = [(right, numeric(got.value)) for right, got in zip(turned, gots, strict=True)]
        if all(right is not None and same(got, right) for right, got in pairs):
            return "the wrong axis", "It mistakes the axes of an input for one another. Which `dim` did you use?"
        if all(isinstance(right, Tensor) and right.dim() > 1 and same(got, right.mT) for right, got in pairs):
            return "the wrong axis", "It is right, but along the other axis. Which `dim` did you use?"
    return None


def sideways(exercise: Exercise, case: Any, i: int) -> Any:
    """The answer with the last two axes of input `i` swapped; None if that cannot be."""
    parts = list(arguments(fresh(case)))
    if i >= len(parts) or not isinstance(parts[i], Tensor) or parts[i].dim() < 2 or inspect.isclass(exercise.answer):
        return None
    parts[i] = parts[i].mT
    try:
        return numeric(exercise.apply(exercise.answer, tuple(parts) if isinstance(case, tuple) else parts[0]))
    except Exception:  # whatever a shape that does not fit leads to
        return None
