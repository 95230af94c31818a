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

from fmcourse.classroom.assigned import Assigned, Handed
from fmcourse.course import compare
from fmcourse.course.diagnosis import Known, Verdict, contract, evidence, explained, joined
from fmcourse.course.exercises import Exercise, Property
from fmcourse.course.sandbox import Outcome

PROPERTY, PUBLIC, HIDDEN = 1, 2, 3  # weights: each property, all public cases together, all hidden ones together


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
    exercise: Exercise, rights: list[Outcome], gots: list[Outcome], n_public: int, known: Known | None = None
) -> Mark:
    """The mark for what came of every case: the first `n_public` are public, the others hidden.

    What is said of hidden cases gives away none of their values.
    """
    found = evidence(exercise, rights, gots)
    if found is None:
        return Mark(1.0, Verdict(True, "right", "right"))
    if gots and gots[-1].timed_out:
        name, why, step = "", "", ""
    else:
        name, why, step = explained(exercise, rights, gots, known)
    first = replace_cases(exercise, exercise.cases[:n_public])
    shown = evidence(first, rights[:n_public], gots[:n_public]) or discreet(found, exercise)
    parts = counted(exercise, rights, gots, n_public) if isinstance(exercise, Handed) else ()
    if by_accident(exercise, rights, gots, known=step == "mistake"):
        parts = tuple(Part(part.name, part.weight, 0.0) if part.weight == PROPERTY else part for part in parts)
    total = sum(part.weight for part in parts)
    share = sum(part.weight * part.share for part in parts) / total if total else 0.0
    return Mark(min(share, 0.99), joined(shown, name, why, step), parts)


def replace_cases(exercise: Exercise, cases: Sequence) -> Exercise:
    """The same exercise on other cases."""
    found = replace(exercise)
    object.__setattr__(found, "cases", list(cases))
    return found


def discreet(found: Verdict, exercise: Exercise) -> Verdict:
    """What may be said when only hidden cases show it: no value of theirs."""
    only = "It is right on the cases that you were given, and not on others that it was graded with."
    message = next((wanted.message for wanted in exercise.properties if wanted.name == found.name), "")
    name = found.name if found.step != "difference" else "right only on the cases given"
    return Verdict(False, name, found.step, tuple(filter(None, (only, message))))


def counted(exercise: Exercise, rights: list[Outcome], gots: list[Outcome], n_public: int) -> tuple[Part, ...]:
    """The parts of an assigned exercise, and what of each is right."""
    gots = gots + [Outcome(timed_out=True)] * (len(rights) - len(gots))
    kept = [keeps(exercise, right, got) for right, got in zip(rights, gots, strict=True)]
    same = [ok and same_value(exercise, right, got) for ok, right, got in zip(kept, rights, gots, strict=True)]
    parts = [
        Part(f"the check “{wanted.name}”", PROPERTY, float(holds(exercise, wanted, gots, kept)))
        for wanted in exercise.properties
    ]
    if isinstance(exercise, Handed) and exercise.literal:
        return (*parts, Part("the value", PUBLIC + HIDDEN, float(all(same))))
    parts.append(Part("the cases given", PUBLIC, mean(same[:n_public])))
    return (*parts, Part("the hidden cases", HIDDEN, mean(same[n_public:]))) if same[n_public:] else tuple(parts)


def by_accident(exercise: Exercise, rights: list[Outcome], gots: list[Outcome], known: bool) -> bool:
    """Does it have its properties without having looked at what was asked? `known`: it comes of a mistake that has a name."""
    if isinstance(exercise, Handed) and exercise.literal:
        return not known
    said = lambda outcomes: {value for one in outcomes if not one.error for value in single_values(one.value)}
    return len(said(gots)) < 2 <= len(said(rights))


def single_values(value: Any) -> Iterator[Hashable]:
    """The numbers, truths and texts of which a result is made."""
    if isinstance(value, Tensor):
        yield from value.detach().unique().tolist()
    elif isinstance(value, dict):
        yield from single_values(list(value.items()))
    elif isinstance(value, list | tuple | set | frozenset):
        for part in value:
            yield from single_values(part)
    else:
        yield value if isinstance(value, Hashable) else repr(type(value))


def mean(held: list[bool]) -> float:
    return sum(held) / len(held) if held else 0.0


def keeps(exercise: Exercise, right: Outcome, got: Outcome) -> bool:
    """Is the contract kept on this case?"""
    return not any(rule(exercise, right, got) for rule in contract())


def same_value(exercise: Exercise, right: Outcome, got: Outcome) -> bool:
    return bool(right.error) or compare.equal(right.value, got.value, exercise.tolerance)


def holds(exercise: Exercise, wanted: Property, gots: list[Outcome], kept: list[bool]) -> bool:
    """Does a property hold on every case? One whose test cannot be made does not."""
    try:
        return all(kept) and all(
            exercise.holds(wanted, got.value, case) is True
            for case, got in zip(exercise.cases, gots, strict=True)
            if not got.error
        )
    except Exception:
        return False


def asked(exercise: Exercise) -> tuple[Exercise, int]:
    """The exercise with every case that counts, and how many of them are public."""
    everything = exercise.with_hidden() if isinstance(exercise, Assigned) else exercise
    return everything, len(exercise.cases)
