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

from fmcourse.course.compare import dense_tensor, equal, is_number
from fmcourse.course.exercises import Exercise
from fmcourse.course.sandbox import Outcome, arguments, copy_case, parameter_names

TOLERANCE = 1e-3
Pairs = list[tuple[Any, Any]]  # (expected, got), one for each case


def find_relation(
    exercise: Exercise, expected_outcomes: list[Outcome], outcomes: list[Outcome]
) -> tuple[str, str]:
    """The name of the relation and a sentence about it; two empty strings if there is none."""
    if len(expected_outcomes) != len(outcomes) or any(
        outcome.error for outcome in [*expected_outcomes, *outcomes]
    ):
        return "", ""
    pairs = [
        (to_tensor(expected.value), to_tensor(got.value))
        for expected, got in zip(expected_outcomes, outcomes, strict=True)
    ]
    if not all(isinstance(value, Tensor | list | tuple | str) for pair in pairs for value in pair):
        return "", ""
    for name, sentence, holds in SIMPLE_RELATIONS:
        if holds_everywhere(pairs, holds):
            return name, sentence
    if (
        found := constant_factor(exercise, pairs)
        or constant_offset(pairs)
        or wrong_axis(exercise, outcomes)
    ):
        return found
    return "", ""


def to_tensor(value: Any) -> Any:
    """Numbers and lists of numbers as tensors, everything else as it is."""
    if isinstance(value, Tensor | np.ndarray):
        tensor = dense_tensor(value)
        return None if tensor is None or tensor.is_complex() else tensor
    flat = value if isinstance(value, list | tuple) else [value]
    if flat and all(is_number(part) for part in flat):
        try:
            return torch.tensor(value, dtype=torch.float64)
        except (TypeError, ValueError, OverflowError):
            return value
    return value


def holds_everywhere(pairs: Pairs, holds: Callable[[Any, Any], bool | None]) -> bool:
    """Does it hold wherever something can be said (not None), and does that explain a difference somewhere?"""
    try:
        found = [
            None if (held := holds(expected, got)) is None else bool(held)
            for expected, got in pairs
        ]
    except (TypeError, ValueError, RuntimeError, AttributeError, IndexError):
        return False
    return False not in found and any(
        held and not roughly_equal(got, expected)
        for held, (expected, got) in zip(found, pairs, strict=True)
    )


def roughly_equal(a: Any, b: Any) -> bool:
    if (
        isinstance(a, Tensor)
        and isinstance(b, Tensor)
        and a.shape == b.shape
        and a.dtype != b.dtype
    ):
        a, b = a.double(), b.double()
    return equal(b, a, TOLERANCE)


# -- relations that need only the two results -----------------------------------------------------------------------------


def is_transposed(expected: Tensor, got: Tensor) -> bool:
    if expected.dim() < 2:
        return roughly_equal(got, expected)
    return any(
        roughly_equal(got, expected.transpose(i, j))
        for i, j in combinations(range(expected.dim()), 2)
    )


def is_squeezed(expected: Tensor, got: Tensor) -> bool:
    return expected.dim() != got.dim() and roughly_equal(got.squeeze(), expected.squeeze())


def shift_test(by: int) -> Callable[[Any, Any], bool | None]:
    """got[n] == expected[n + by], along some axis; the end that runs over is not looked at."""

    def holds(expected: Any, got: Any) -> bool | None:
        if not isinstance(expected, Tensor):
            return is_shifted_sequence(expected, got, by)
        if expected.shape != got.shape:
            return expected.dim() == 1 and is_shifted_sequence(expected.tolist(), got.tolist(), by)
        axes = [axis for axis in range(expected.dim()) if expected.shape[axis] > 2]
        return (
            any(roughly_equal(*overlap(got, expected, axis, by)) for axis in axes) if axes else None
        )

    return holds


def overlap(got: Tensor, expected: Tensor, axis: int, by: int) -> tuple[Tensor, Tensor]:
    n = expected.shape[axis] - 1
    first, last = (0, 1) if by > 0 else (1, 0)
    return got.narrow(axis, first, n), expected.narrow(axis, last, n)


def is_shifted_sequence(expected: Any, got: Any, by: int) -> bool | None:
    if len(expected) < 3:
        return None
    if abs(len(expected) - len(got)) > 1:
        return False
    a, b = (got, expected[1:]) if by > 0 else (got[1:], expected)
    n = min(len(a), len(b))
    return n >= 2 and equal(b[:n], a[:n], TOLERANCE)


def is_reordered(expected: Any, got: Any) -> bool:
    if isinstance(expected, Tensor):
        return expected.shape == got.shape and roughly_equal(
            got.flatten().sort().values, expected.flatten().sort().values
        )
    return len(expected) == len(got) and sorted(expected) == sorted(got)


def is_reversed(expected: Any, got: Any) -> bool:
    if isinstance(expected, Tensor):
        return (
            any(roughly_equal(got, expected.flip(axis)) for axis in range(expected.dim()))
            if expected.numel() > 1
            else None
        )
    return got == expected[::-1]


def is_rounded(expected: Tensor, got: Tensor) -> bool:
    return expected.shape == got.shape and bool(
        ((got == expected.round()) | (got == expected.trunc())).all()
    )


SIMPLE_RELATIONS: list[tuple[str, str, Callable[[Any, Any], bool | None]]] = [
    (
        "transposed",
        "It is the right answer with two axes swapped. Which axis is which?",
        is_transposed,
    ),
    (
        "an axis too many or too few",
        "The numbers are right; an axis of size 1 is missing, or too much.",
        is_squeezed,
    ),
    (
        "the opposite",
        "True and False are the wrong way round. Does True mean what you think here?",
        lambda expected, got: expected.dtype == torch.bool and roughly_equal(got, ~expected),
    ),
    (
        "the sign",
        "It is the right answer with the other sign.",
        lambda expected, got: roughly_equal(got, -expected),
    ),
    (
        "one minus the answer",
        "It is one minus the right answer.",
        lambda expected, got: roughly_equal(got, 1 - expected),
    ),
    (
        "the logarithm",
        "It is the logarithm of the right answer: log-probabilities for probabilities?",
        lambda expected, got: roughly_equal(got, expected.log()),
    ),
    (
        "the exponential",
        "It is the exponential of the right answer: probabilities for log-probabilities?",
        lambda expected, got: roughly_equal(got, expected.exp()),
    ),
    (
        "one over the answer",
        "It is one divided by the right answer.",
        lambda expected, got: roughly_equal(got, 1 / expected),
    ),
    (
        "the square",
        "It is the square of the right answer; is a root missing?",
        lambda expected, got: roughly_equal(got, expected**2),
    ),
    (
        "the square root",
        "It is the square root of the right answer.",
        lambda expected, got: roughly_equal(got, expected.sqrt()),
    ),
    (
        "shifted by one",
        "It is the right answer, one place too early: it begins with what should come second.",
        shift_test(1),
    ),
    (
        "shifted by one",
        "It is the right answer, one place too late: its second place holds what should be first.",
        shift_test(-1),
    ),
    ("backwards", "It is the right answer in reverse order.", is_reversed),
    ("another order", "The values are right, but they stand in another order.", is_reordered),
    ("rounded", "It is the right answer, cut to whole numbers.", is_rounded),
]


# -- a factor that has a name ---------------------------------------------------------------------------------------------


def constant_factor(exercise: Exercise, pairs: Pairs) -> tuple[str, str] | None:
    """Is the result some number of times the right one, the same in every place?"""
    ratios = [constant_ratio(expected, got) for expected, got in pairs]
    known = [
        (value, case)
        for value, case in zip(ratios, exercise.cases, strict=True)
        if value is not None
    ]
    if (
        not known
        or any(not math.isfinite(value) for value, _ in known)
        or all(is_near(value, 1) for value, _ in known)
    ):
        return None
    for name, measure in candidate_factors(exercise):
        values = [measure(case) for _, case in known]
        if all(is_near(value, size) for (value, _), size in zip(known, values, strict=True)):
            return (
                f"too large by {name}",
                f"It is {name} times too large. Is a division missing, or is it a sum for a mean?",
            )
        if all(
            size and is_near(value, 1 / size)
            for (value, _), size in zip(known, values, strict=True)
        ):
            return (
                f"too small by {name}",
                f"It is {name} times too small. Divided once too often, or a mean for a sum?",
            )
    if (
        known[0][0]
        and all(is_near(value, known[0][0]) for value, _ in known)
        and (len(known) > 1 or pairs[0][0].numel() > 1)
    ):
        return "a constant factor", f"It is {known[0][0]:.4g} times the right answer, everywhere."
    return None


def constant_ratio(expected: Any, got: Any) -> float | None:
    """got / expected where it is one number; NaN where it is not; None where nothing can be said (0 / 0)."""
    if not are_comparable(expected, got):
        return math.nan
    expected, got = expected.double().flatten(), got.double().flatten()
    seen = expected.isfinite() & (expected.abs() > 1e-6)
    if not roughly_equal(got[~seen], expected[~seen]):
        return math.nan
    if not seen.any():
        return None
    ratios = got[seen] / expected[seen]
    first = ratios[expected[seen].abs().argmax()]
    return first.item() if roughly_equal(ratios, first.expand_as(ratios)) else math.nan


def are_comparable(expected: Any, got: Any) -> bool:
    """Are both numbers, place by place?"""
    both = isinstance(expected, Tensor) and isinstance(got, Tensor)
    return both and expected.shape == got.shape and torch.bool not in (expected.dtype, got.dtype)


def is_near(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=TOLERANCE)


def candidate_factors(exercise: Exercise) -> Iterator[tuple[str, Callable[[Any], float]]]:
    """Numbers that a result is often wrong by: (name, its value on a case)."""
    yield "log 2", lambda case: math.log(2)
    yield "2", lambda case: 2.0
    names, first = parameter_names(exercise), arguments(exercise.cases[0])
    for i, part in enumerate(first):
        name = names[i] if i < len(names) else f"input {i + 1}"
        for what, value in input_sizes(name, part):
            yield what, size_reader(i, value)
            yield f"√({what})", size_reader(i, lambda part, value=value: math.sqrt(value(part)))


def input_sizes(name: str, part: Any) -> Iterator[tuple[str, Callable[[Any], float]]]:
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


def size_reader(i: int, value: Callable[[Any], float]) -> Callable[[Any], float]:
    """The size of part `i` of a case, NaN where that case is of another make."""

    def read(case: Any) -> float:
        try:
            size = float(value(arguments(case)[i]))
        except (TypeError, ValueError, IndexError, AttributeError, OverflowError):
            return math.nan
        return size if size > 0 else math.nan

    return read


def constant_offset(pairs: Pairs) -> tuple[str, str] | None:
    """Is one number added everywhere?"""
    if not all(are_comparable(expected, got) for expected, got in pairs):
        return None
    gaps = torch.cat([(got.double() - expected.double()).flatten() for expected, got in pairs])
    if (
        len(gaps) < 2
        or not gaps.isfinite().all()
        or gaps[0].abs() < 1e-6
        or not roughly_equal(gaps, gaps[0].expand_as(gaps))
    ):
        return None
    word = "much" if gaps[0] > 0 else "little"
    return "a constant is added", f"It is {abs(gaps[0].item()):.4g} too {word}, everywhere."


# -- the right thing along the wrong axis ---------------------------------------------------------------------------------


def wrong_axis(exercise: Exercise, outcomes: list[Outcome]) -> tuple[str, str] | None:
    """Does the course's answer give this when one of its inputs is turned on its side?"""
    first = arguments(exercise.cases[0])
    for i in range(len(first)):
        transposed_answers = [answer_on_transposed(exercise, case, i) for case in exercise.cases]
        pairs = [
            (expected, to_tensor(got.value))
            for expected, got in zip(transposed_answers, outcomes, strict=True)
        ]
        if all(expected is not None and roughly_equal(got, expected) for expected, got in pairs):
            return (
                "the wrong axis",
                "It mistakes the axes of an input for one another. Which `dim` did you use?",
            )
        if all(
            isinstance(expected, Tensor) and expected.dim() > 1 and roughly_equal(got, expected.mT)
            for expected, got in pairs
        ):
            return (
                "the wrong axis",
                "It is right, but along the other axis. Which `dim` did you use?",
            )
    return None


def answer_on_transposed(exercise: Exercise, case: Any, i: int) -> Any:
    """The answer with the last two axes of input `i` swapped; None if that cannot be."""
    parts = list(arguments(copy_case(case)))
    if (
        i >= len(parts)
        or not isinstance(parts[i], Tensor)
        or parts[i].dim() < 2
        or inspect.isclass(exercise.reference)
    ):
        return None
    parts[i] = parts[i].mT
    try:
        return to_tensor(
            exercise.apply(
                exercise.reference, tuple(parts) if isinstance(case, tuple) else parts[0]
            )
        )
    except Exception:  # whatever a shape that does not fit leads to
        return None
