"""Exercises whose answers are nowhere in a student's edition: what they are, where they lie, and what of them is handed out.

They lie in the instructor's folder (`instructor/`, or wherever FMCOURSE_INSTRUCTOR says), in NN/exercises.py for
lesson NN. What is handed out is an `ExerciseRecord`: the starter, the public cases with the right results as numbers, the properties. It holds no
code that answers the question.
"""

import ast
import os
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, asdict, dataclass, fields, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from fmcourse.classroom.values import pack, unpack
from fmcourse.course.exercises import Exercise, Property, defined_names, exercises_in
from fmcourse.course.sandbox import Outcome
from fmcourse.files import ROOT, import_file

FOLDER_VARIABLE = "FMCOURSE_INSTRUCTOR"  # a folder that holds NN/exercises.py
PUBLIC_SEED = "public"  # the seed of the variant that everybody may see
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
    """What assigned exercises and their records share: no hints, a text, points, perhaps a literal answer.

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
        """What is judged: a function as it is, a literal answer as a function that gives it."""
        return (
            (lambda mine: value)
            if self.literal and value is not None and value is not Ellipsis
            else value
        )


@dataclass(frozen=True, eq=False)
class AssignedExercise(GradedExercise):
    """An exercise for points. Cases, hidden ones and numbers are plain values; `run` and properties are source.

    Two kinds. A function or class: `cases` are public, `hidden` ones decide with them. Or a literal answer: the starter
    sets a name, the solution is a function of that name from the student's numbers to the answer, and `vary` draws
    those numbers, other ones for each student.

    Args:
        hidden: cases that nobody sees before grading.
        vary: a random.Random -> the numbers of a variant, a dict; only for literal answers.
    Raises: ValueError if a part is missing or of the wrong make.
    """

    cases: Sequence[Any] = ()
    hidden: Sequence[Any] = ()
    vary: Callable[[random.Random], dict[str, Any]] | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\d\d[a-z]?\.A\d+", self.id):
            raise ValueError(
                f"exercise {self.id}: the id of an assigned one must look like '06.A1'."
            )
        if self.literal != (self.vary is not None):
            raise ValueError(
                f"exercise {self.id}: a literal answer needs `vary`, a function or class must not have it."
            )
        if not self.literal and not self.hidden:
            raise ValueError(f"exercise {self.id}: it has no hidden cases; give at least three.")
        if callable(self.run) or any(callable(wanted.test) for wanted in self.properties):
            raise ValueError(
                f"exercise {self.id}: give `run` and the tests of properties as source."
            )
        if self.vary is not None:
            object.__setattr__(self, "cases", [self.draw_numbers(PUBLIC_SEED)])
        super().__post_init__()

    def draw_numbers(self, seed: str | bytes) -> dict[str, Any]:
        """The numbers that this seed draws."""
        return self.vary(random.Random(seed))

    def with_hidden(self) -> "AssignedExercise":
        """The same with every case in one list: the public ones, then the hidden ones."""
        return replace(self, cases=[*self.cases, *self.hidden]) if self.hidden else self

    def for_numbers(self, numbers: dict[str, Any]) -> "AssignedExercise":
        """A literal exercise, asked of these numbers."""
        found = replace(self)
        object.__setattr__(found, "cases", [numbers])
        return found


@dataclass(frozen=True, eq=False)
class ExerciseRecord(GradedExercise):
    """What of an assigned exercise is handed out; `recorded_outcomes` are the right results of the public cases."""

    recorded_outcomes: Sequence[Outcome] = ()

    @cached_property
    def reference(self) -> Any:
        """The starter: it has the right parameters, and answers nothing."""
        return self.compile(self.starter) if not self.literal else (lambda mine: None)

    def expected_outcomes(self) -> list[Outcome]:
        return list(self.recorded_outcomes)


def assigned_names(source: str) -> list[str]:
    """Names that a source sets at its outer level, in order."""
    sets = [node.targets for node in ast.parse(source).body if isinstance(node, ast.Assign)]
    return [target.id for targets in sets for target in targets if isinstance(target, ast.Name)]


def make_record(exercise: AssignedExercise) -> dict[str, Any]:
    """The record as what JSON can hold."""
    made = {name: getattr(exercise, name) for name in RECORD_FIELDS}
    made |= {"run": exercise.run, "properties": [asdict(wanted) for wanted in exercise.properties]}
    rights = [
        {**asdict(replace(right, value=None)), "value": pack(right.value)}
        for right in exercise.expected_outcomes()
    ]
    return made | {"cases": [pack(case) for case in exercise.cases], "recorded_outcomes": rights}


def from_record(made: dict[str, Any]) -> ExerciseRecord:
    """The exercise that a record tells of. Raises: ValueError if it tells of none."""
    try:
        parts = {name: made[name] for name in (*RECORD_FIELDS, "run")}
        rights = [
            Outcome(**{**right, "value": unpack(right["value"])})
            for right in made["recorded_outcomes"]
        ]
        rights = [
            replace(
                right,
                changed_inputs=tuple(right.changed_inputs),
                changed_generators=tuple(right.changed_generators),
            )
            for right in rights
        ]
        wanted = [
            Property(**{field.name: one[field.name] for field in fields(Property)})
            for one in made["properties"]
        ]
        blank = made["starter"] + "".join(
            f"\ndef {name}(mine): ...\n" for name in assigned_names(made["starter"])
        )
        return ExerciseRecord(
            **parts,
            solution=blank,
            mistakes=(),
            properties=wanted,
            recorded_outcomes=rights,
            cases=[unpack(case) for case in made["cases"]],
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"this is no record of an exercise: {error}.") from None


def instructor_folder() -> Path:
    """The instructor's folder, whether it is there or not."""
    return Path(os.environ.get(FOLDER_VARIABLE) or ROOT / "instructor")


def all_assigned() -> list[AssignedExercise]:
    """Every assigned exercise in the instructor's folder, in order; none where there is no such folder."""
    return [
        found
        for path in sorted(instructor_folder().glob("[0-9][0-9]*/exercises.py"))
        for found in read_exercises(path)
    ]


@cache
def read_exercises(path: Path) -> tuple[AssignedExercise, ...]:
    """The exercises of one file."""
    module = import_file(path, f"assigned_of_{path.parent.name}")
    return tuple(found for found in exercises_in(module) if isinstance(found, AssignedExercise))
