"""How many points an answer is worth, and why.

A practice exercise is completed or not. An assigned one is worth the shares of its parts: every
property that holds on all cases, the public cases that are right, the hidden cases that are right.
A case on which the contract is broken (an error, another shape, an input changed) is not right, and
where it is broken on every case nothing counts.

An answer that is right on the given cases alone has memorized them: where all of them are right and
fewer than half of the hidden ones, the given cases count like the hidden ones.

Properties must be earned. An answer that returns the same whatever it is asked (all True, all 0)
has them by accident, and so has a number that comes of no known mistake: for these only what is
right counts. A number that is right but for the way in which it is written (`near_numbers`) is a
known mistake, and a part of its value counts.

The rules are here and nowhere else: the weights, `score_parts`, `is_accidental`, `MAX_WRONG`,
`MEMORIZED`.
"""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from fmcourse.classroom.exercise_kinds import AssignedExercise, GradedExercise
from fmcourse.classroom.near_numbers import GUESSABLE, NearNumber, near_number
from fmcourse.course import comparing
from fmcourse.course.exercise import Exercise, Property
from fmcourse.course.running import Outcome
from fmcourse.course.verdict import AnswerKey, Verdict, judge, keeps_contract

PROPERTY_WEIGHT = 1  # of each property
PUBLIC_WEIGHT = 2  # of all public cases together
HIDDEN_WEIGHT = 3  # of all hidden cases together
EARNS_NOTHING = "it holds, and earns nothing"
MEMORIZED = 0.5  # share of the hidden cases below which the given ones were memorized
MAX_WRONG = 0.99  # share: one wrong case among very many must not be rounded to full points


@dataclass(frozen=True)
class Part:
    """One thing that counts: `share` of its weight is earned, 0 to 1."""

    name: str
    weight: int
    share: float


@dataclass(frozen=True)
class Mark:
    """What an answer is worth, from 0 to 1, with the reason."""

    share: float
    verdict: Verdict
    parts: tuple[Part, ...] = ()


def answer_key(exercise: Exercise) -> tuple[AnswerKey, int]:
    """The key to an exercise with every case that counts, and how many of them are public."""
    everything = exercise.with_hidden() if isinstance(exercise, AssignedExercise) else exercise
    return AnswerKey(everything), len(exercise.cases)


def mark(key: AnswerKey, outcomes: list[Outcome], n_public: int) -> Mark:
    """The mark for what came of every case: the first `n_public` are public, the others hidden.

    What is said of hidden cases gives away none of their values.
    """
    verdict = judge(key, outcomes, n_public)
    if verdict.correct:
        return Mark(1.0, verdict)
    near = near_value(key, outcomes) if verdict.step != "mistake" else None
    if near:
        verdict = Verdict(False, near.name, "mistake", (near.sentence,))
    known = near.share > GUESSABLE if near else verdict.step == "mistake"
    # On the hidden cases alone, too: a table of the given cases returns a constant on all others.
    accidental = any(is_accidental(key, outcomes[n:], known, n) for n in (0, n_public))
    parts = score_parts(key, outcomes, n_public, accidental, near)
    total = sum(part.weight for part in parts)
    share = sum(part.weight * part.share for part in parts) / total if total else 0.0
    return Mark(min(share, MAX_WRONG), verdict, parts)


def near_value(key: AnswerKey, outcomes: list[Outcome]) -> NearNumber | None:
    """What is wrong with the way in which a literal answer is written, if nothing else is."""
    exercise = key.exercise
    if not isinstance(exercise, GradedExercise) or not exercise.literal or not outcomes:
        return None
    return near_number(key.expected[0].value, outcomes[0].value, exercise.tolerance)


def score_parts(
    key: AnswerKey,
    outcomes: list[Outcome],
    n_public: int,
    accidental: bool,
    near: NearNumber | None = None,
) -> tuple[Part, ...]:
    """The parts of a graded exercise, and what of each is right; a practice exercise has none.

    Args:
        accidental: does the answer have its properties by accident? Then they earn nothing.
        near: how a literal answer misses the right value by its way of writing.
    """
    exercise = key.exercise
    if not isinstance(exercise, GradedExercise):
        return ()
    missing = len(key.expected) - len(outcomes)  # the cases after one that took too long
    outcomes = outcomes + [Outcome(timed_out=True)] * missing
    pairs = list(zip(key.expected, outcomes, strict=True))
    kept = [keeps_contract(exercise, expected, got) for expected, got in pairs]
    right = [ok and same_value(exercise, *pair) for ok, pair in zip(kept, pairs, strict=True)]
    parts = []
    for prop in exercise.properties:
        holds = all(kept) and holds_everywhere(exercise, prop, outcomes)
        name = f"the check “{prop.name}”"
        if holds and accidental:
            name += f" ({EARNS_NOTHING}: {reason_for_accident(exercise)})"
        parts.append(Part(name, PROPERTY_WEIGHT, float(holds and not accidental)))
    if exercise.literal:
        value = near.share if near else float(all(right))
        parts.append(Part("the value", PUBLIC_WEIGHT + HIDDEN_WEIGHT, value))
        return tuple(parts)
    given, hidden, name = mean(right[:n_public]), right[n_public:], "the cases given"
    if hidden and given == 1 and mean(hidden) < MEMORIZED:
        given, name = mean(hidden), f"{name} (right there alone: they count like the hidden ones)"
    parts.append(Part(name, PUBLIC_WEIGHT, given))
    if hidden:
        parts.append(Part("the hidden cases", HIDDEN_WEIGHT, mean(hidden)))
    return tuple(parts)


def same_value(exercise: Exercise, expected: Outcome, got: Outcome) -> bool:
    """The same result; where an error is wanted, the contract has compared the errors."""
    return bool(expected.error) or comparing.equal(expected.value, got.value, exercise.tolerance)


def holds_everywhere(exercise: Exercise, prop: Property, outcomes: list[Outcome]) -> bool:
    """Does a property hold on every case? One whose test fails does not."""
    try:
        return all(
            exercise.apply_property(prop, got.value, case) is True
            for case, got in zip(exercise.cases, outcomes, strict=True)
            if not got.error
        )
    except Exception:
        return False


def mean(held: list[bool]) -> float:
    return sum(held) / len(held) if held else 0.0


def is_accidental(key: AnswerKey, outcomes: list[Outcome], known: bool, first: int = 0) -> bool:
    """Does an answer have its properties without having looked at what was asked?

    Args:
        outcomes: those of the cases from number `first` on.
        known: is it explained by a known mistake? A number of which nothing is known is a guess.
    """
    if isinstance(key.exercise, GradedExercise) and key.exercise.literal:
        return not known
    return len(distinct_values(outcomes)) < 2 <= len(distinct_values(key.expected[first:]))


def reason_for_accident(exercise: GradedExercise) -> str:
    """Why a property that holds is none of an answer's doing."""
    if exercise.literal:
        return "any guess of about that size has it"
    return "the answer is the same whatever it is asked"


def distinct_values(outcomes: list[Outcome]) -> set[Hashable]:
    """The numbers, truth values and texts of which all results are made."""
    return {value for one in outcomes if not one.error for value in leaf_values(one.value)}


def leaf_values(value: Any) -> Iterator[Hashable]:
    if isinstance(value, Tensor):
        yield from value.detach().unique().tolist()
    elif isinstance(value, dict):
        yield from leaf_values(list(value.items()))
    elif isinstance(value, list | tuple | set | frozenset):
        for part in value:
            yield from leaf_values(part)
    else:
        yield value if isinstance(value, Hashable) else repr(type(value))
