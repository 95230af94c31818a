"""Exercises for points: what they are, and the record of one that is handed out.

Their answers are nowhere in a student's edition. What is handed out is an `ExerciseRecord`: the
starter, the public cases with the right results as values, the properties. It holds no code that
answers the question. Where assigned exercises are found: `fmcourse.classroom.library`.
"""

import ast
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, asdict, dataclass, fields
from functools import cached_property
from typing import Any

from fmcourse.classroom.packing import outcome_fields, outcome_from_fields, pack, unpack
from fmcourse.course.exercise import Exercise, Property, defined_names
from fmcourse.course.running import expected_outcomes

PUBLIC_SEED = "public"  # the seed of the numbers that everybody may see
RECORD_FIELDS = (
    "id",
    "goal",
    "minutes",
    "difficulty",
    "starter",
    "imports",
    "tolerance",
    "seconds",
    "text",
    "points",
)


@dataclass(frozen=True, eq=False)
class GradedExercise(Exercise):
    """What assigned exercises and their records share: no hints, a text, points.

    Args:
        text: Markdown that says what is asked, and why; it stands above the cell.
        points: what a full answer is worth.
    """

    N_HINTS = 0
    NO_DEFINITION = "no function and no class, and sets no name"

    _: KW_ONLY
    hints: Sequence[str] = ()
    text: str = ""
    points: int = 10

    @property
    def literal(self) -> bool:
        """Is a value asked for, and not a function?"""
        return not defined_names(self.starter)

    @property
    def name(self) -> str:
        """The last function or class that the starter defines, else the last name that it sets."""
        return (defined_names(self.starter) or assigned_names(self.starter) or [""])[-1]

    def candidate(self, value: Any) -> Any:
        """What is judged: a function as it is, a literal answer as a function that returns it."""
        if self.literal and value is not None and value is not Ellipsis:
            return lambda mine: value
        return value


@dataclass(frozen=True, eq=False)
class AssignedExercise(GradedExercise):
    """An exercise for points, with its answer.

    Two kinds. A function or class: `cases` are public, `hidden` ones decide with them. Or a literal
    answer: the starter sets a name, the solution is a function of that name from the student's
    numbers to the answer, and `vary` draws those numbers, other ones for each student.

    Args:
        cases, hidden: plain values; nobody sees the hidden ones before grading.
        vary: a random.Random -> the numbers of a variant, a dict; only for literal answers.
        run, properties: given as source.
    Raises: ValueError if a part is missing or of the wrong make.
    """

    cases: Sequence[Any] = ()
    hidden: Sequence[Any] = ()
    vary: Callable[[random.Random], dict[str, Any]] | None = None

    def __post_init__(self) -> None:
        functions = callable(self.run) or any(callable(prop.test) for prop in self.properties)
        faults = {
            "the id of an assigned one must look like '06.A1'": not re.fullmatch(
                r"\d\d[a-z]?\.A\d+", self.id
            ),
            "a literal answer needs `vary`, a function or class must not have it": self.literal
            != (self.vary is not None),
            "it has no hidden cases; give at least three": not self.literal and not self.hidden,
            "give `run` and the tests of properties as source": functions,
        }
        for sentence, is_fault in faults.items():
            if is_fault:
                raise ValueError(f"exercise {self.id}: {sentence}.")
        if self.vary is not None:
            object.__setattr__(self, "cases", [self.draw_numbers(PUBLIC_SEED)])
        super().__post_init__()

    def draw_numbers(self, seed: str | bytes) -> dict[str, Any]:
        """The numbers that this seed draws."""
        return self.vary(random.Random(seed))

    def with_hidden(self) -> "AssignedExercise":
        """The same with every case in one list: the public ones, then the hidden ones."""
        return self.with_cases([*self.cases, *self.hidden])

    def for_numbers(self, numbers: dict[str, Any]) -> "AssignedExercise":
        """A literal exercise, asked of these numbers."""
        return self.with_cases([numbers])


@dataclass(frozen=True, eq=False)
class ExerciseRecord(GradedExercise):
    """What of an assigned exercise is handed out: right outcomes instead of a solution."""

    @cached_property
    def reference(self) -> Any:
        """The starter: it has the right parameters, and answers nothing."""
        return self.compile(self.starter) if not self.literal else (lambda mine: None)


def assigned_names(source: str) -> list[str]:
    """Names that a source sets at its outer level, in order."""
    sets = [node.targets for node in ast.parse(source).body if isinstance(node, ast.Assign)]
    return [target.id for targets in sets for target in targets if isinstance(target, ast.Name)]


def placeholder_solution(starter: str) -> str:
    """A source that defines what a solution would, and answers nothing."""
    literals = [f"\ndef {name}(mine): ...\n" for name in assigned_names(starter)]
    return starter + "".join(literals)


def make_record(exercise: AssignedExercise) -> dict[str, Any]:
    """The record as what JSON can hold."""
    record = {name: getattr(exercise, name) for name in RECORD_FIELDS}
    return record | {
        "run": exercise.run,
        "properties": [asdict(prop) for prop in exercise.properties],
        "cases": [pack(case) for case in exercise.cases],
        "recorded_outcomes": [outcome_fields(right) for right in expected_outcomes(exercise)],
    }


def from_record(record: dict[str, Any]) -> ExerciseRecord:
    """The exercise that a record describes. Raises: ValueError if it describes none."""
    try:
        properties = [
            Property(**{field.name: prop[field.name] for field in fields(Property)})
            for prop in record["properties"]
        ]
        return ExerciseRecord(
            **{name: record[name] for name in (*RECORD_FIELDS, "run")},
            solution=placeholder_solution(record["starter"]),
            mistakes=(),
            properties=properties,
            recorded_outcomes=[outcome_from_fields(one) for one in record["recorded_outcomes"]],
            cases=[unpack(case) for case in record["cases"]],
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"this is no record of an exercise: {error}.") from None
