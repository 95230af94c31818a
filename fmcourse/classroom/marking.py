"""How many points, and why: what is right of an answer counts, and the reason names the mistake.

A practice exercise is completed or not. An assigned one is worth the shares of its parts: every property that holds on
all cases, the public cases that are right, the hidden cases that are right. A case on which the contract is broken (an
error, another shape, an input changed) is not right, and where it is broken on every case nothing counts.

Properties must be earned. An answer that says the same whatever it is asked (all True, all 0) has them by accident, and so
has a number that comes of no mistake that is known: for these only what is right counts.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from fmcourse.classroom.assigned import AssignedExercise, GradedExercise
from fmcourse.course import compare
from fmcourse.course.diagnosis import (
    MistakeOutcomes,
    Verdict,
    add_explanation,
    contract_rules,
    explain,
    first_failure,
)
from fmcourse.course.exercises import Exercise, Property
from fmcourse.course.sandbox import Outcome

PROPERTY_WEIGHT, PUBLIC_WEIGHT, HIDDEN_WEIGHT = (
    1,
    2,
    3,
)  # weights: each property, all public cases together, all hidden ones together


@dataclass(frozen=True)
class Part:
    """One thing that counts."""

    name: str
    weight: int
    share: float  # of it that is right, 0 to 1


@dataclass(frozen=True)
class Mark:
    """What an answer is worth, from 0 to 1, with the reason."""

    share: float
    verdict: Verdict
    parts: tuple[Part, ...] = ()


def mark(
    exercise: Exercise,
    expected_outcomes: list[Outcome],
    outcomes: list[Outcome],
    n_public: int,
    mistake_outcomes: MistakeOutcomes | None = None,
) -> Mark:
    """The mark for what came of every case: the first `n_public` are public, the others hidden.

    What is said of hidden cases gives away none of their values.
    """
    found = first_failure(exercise, expected_outcomes, outcomes)
    if found is None:
        return Mark(1.0, Verdict(True, "right", "right"))
    if outcomes and outcomes[-1].timed_out:
        name, why, step = "", "", ""
    else:
        name, why, step = explain(exercise, expected_outcomes, outcomes, mistake_outcomes)
    first = replace_cases(exercise, exercise.cases[:n_public])
    shown = first_failure(first, expected_outcomes[:n_public], outcomes[:n_public]) or hide_values(
        found, exercise
    )
    parts = (
        score_parts(exercise, expected_outcomes, outcomes, n_public)
        if isinstance(exercise, GradedExercise)
        else ()
    )
    if is_accidental(exercise, expected_outcomes, outcomes, known=step == "mistake"):
        parts = tuple(
            Part(part.name, part.weight, 0.0) if part.weight == PROPERTY_WEIGHT else part
            for part in parts
        )
    total = sum(part.weight for part in parts)
    share = sum(part.weight * part.share for part in parts) / total if total else 0.0
    return Mark(min(share, 0.99), add_explanation(shown, name, why, step), parts)


def replace_cases(exercise: Exercise, cases: Sequence) -> Exercise:
    """The same exercise on other cases."""
    found = replace(exercise)
    object.__setattr__(found, "cases", list(cases))
    return found


def hide_values(found: Verdict, exercise: Exercise) -> Verdict:
    """What may be said when only hidden cases show it: no value of theirs."""
    only = (
        "It is right on the cases that you were given, and not on others that it was graded with."
    )
    message = next(
        (wanted.message for wanted in exercise.properties if wanted.name == found.name), ""
    )
    name = found.name if found.step != "difference" else "right only on the cases given"
    return Verdict(False, name, found.step, tuple(filter(None, (only, message))))


def score_parts(
    exercise: Exercise, expected_outcomes: list[Outcome], outcomes: list[Outcome], n_public: int
) -> tuple[Part, ...]:
    """The parts of an assigned exercise, and what of each is right."""
    outcomes = outcomes + [Outcome(timed_out=True)] * (len(expected_outcomes) - len(outcomes))
    kept = [
        keeps_contract(exercise, right, got)
        for right, got in zip(expected_outcomes, outcomes, strict=True)
    ]
    same = [
        ok and same_value(exercise, right, got)
        for ok, right, got in zip(kept, expected_outcomes, outcomes, strict=True)
    ]
    parts = [
        Part(
            f"the check “{wanted.name}”",
            PROPERTY_WEIGHT,
            float(holds_on_all_cases(exercise, wanted, outcomes, kept)),
        )
        for wanted in exercise.properties
    ]
    if isinstance(exercise, GradedExercise) and exercise.literal:
        return (*parts, Part("the value", PUBLIC_WEIGHT + HIDDEN_WEIGHT, float(all(same))))
    parts.append(Part("the cases given", PUBLIC_WEIGHT, mean(same[:n_public])))
    return (
        (*parts, Part("the hidden cases", HIDDEN_WEIGHT, mean(same[n_public:])))
        if same[n_public:]
        else tuple(parts)
    )


def is_accidental(
    exercise: Exercise, expected_outcomes: list[Outcome], outcomes: list[Outcome], known: bool
) -> bool:
    """Does it have its properties without having looked at what was asked? `known`: it comes of a mistake that has a name."""
    if isinstance(exercise, GradedExercise) and exercise.literal:
        return not known
    said = lambda outcomes: {
        value for one in outcomes if not one.error for value in leaf_values(one.value)
    }
    return len(said(outcomes)) < 2 <= len(said(expected_outcomes))


def leaf_values(value: Any) -> Iterator[Hashable]:
    """The numbers, truths and texts of which a result is made."""
    if isinstance(value, Tensor):
        yield from value.detach().unique().tolist()
    elif isinstance(value, dict):
        yield from leaf_values(list(value.items()))
    elif isinstance(value, list | tuple | set | frozenset):
        for part in value:
            yield from leaf_values(part)
    else:
        yield value if isinstance(value, Hashable) else repr(type(value))


def mean(held: list[bool]) -> float:
    return sum(held) / len(held) if held else 0.0


def keeps_contract(exercise: Exercise, right: Outcome, got: Outcome) -> bool:
    """Is the contract kept on this case?"""
    return not any(rule(exercise, right, got) for rule in contract_rules())


def same_value(exercise: Exercise, right: Outcome, got: Outcome) -> bool:
    return bool(right.error) or compare.equal(right.value, got.value, exercise.tolerance)


def holds_on_all_cases(
    exercise: Exercise, wanted: Property, outcomes: list[Outcome], kept: list[bool]
) -> bool:
    """Does a property hold on every case? One whose test cannot be made does not."""
    try:
        return all(kept) and all(
            exercise.apply_property(wanted, got.value, case) is True
            for case, got in zip(exercise.cases, outcomes, strict=True)
            if not got.error
        )
    except Exception:
        return False


def with_all_cases(exercise: Exercise) -> tuple[Exercise, int]:
    """The exercise with every case that counts, and how many of them are public."""
    everything = exercise.with_hidden() if isinstance(exercise, AssignedExercise) else exercise
    return everything, len(exercise.cases)
