"""An exercise is one object: what is asked, what is right, and which mistakes people make.

Each lesson's exercises are the `Exercise` objects of `lessons/NN_name/exercises.py`. The notebook's cell, `check`, `hint`,
`solution`, the solved edition and all proofs are made from them.
"""

import ast
import difflib
import linecache
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cache, cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from fmcourse.files import import_file, lessons_folder

IMPORTS = """import math
import torch
from torch import Tensor, nn
from torch.nn import functional as F
"""


@dataclass(frozen=True)
class Mistake:
    """One wrong belief: a function (or its source) that holds it, and the smallest evidence against it with a question."""

    name: str
    wrong_answer: Callable | str
    explanation: str


@dataclass(frozen=True)
class Property:
    """What every right result has. `test(result, case)`, or its source, is True, or False, or a sentence with the evidence
    that it has not."""

    name: str
    test: Callable[[Any, Any], bool | str] | str
    message: str


@dataclass(frozen=True, eq=False)
class Exercise:
    """One thing to build, a function or a class, and everything needed to judge and help.

    Args:
        id: lesson and number, "06.1".
        goal: what to do, in a few words, as it goes on after the number in a heading.
        cases: inputs. A tuple is a list of arguments, anything else is the only one. Small ones show mistakes best.
        starter: source of what stands in the notebook, with a docstring that says what is wanted and `...` in the gap.
        solution: source of the answer.
        hints: three; from meaning to, almost, code.
        explanation: why the solution is what it is, for `solution`.
        other_solutions: right answers written another way, as proofs.
        difficulty: 1 to 3.
        run: (candidate, case) -> result, or its source, where calling it on the case is not enough (a class; a function to
            be called twice).
        imports: source of what starter and solution may use.
        tolerance: how far a float may be off, relative to its size.
        seconds: how long one case may take.
    Raises: ValueError if a part is missing.
    """

    N_HINTS = 3
    NO_DEFINITION = "no function and no class"

    id: str
    _: KW_ONLY
    goal: str
    minutes: int
    cases: Sequence[Any]
    starter: str
    solution: str
    hints: Sequence[str]
    mistakes: Sequence[Mistake]
    explanation: str = ""
    properties: Sequence[Property] = ()
    other_solutions: Sequence[Callable | str] = ()
    difficulty: int = 1
    run: Callable[[Any, Any], Any] | str | None = None
    imports: str = IMPORTS
    tolerance: float = 1e-4
    seconds: float = 5.0

    def __post_init__(self) -> None:
        wrong = [
            (not re.fullmatch(r"\d\d[a-z]?\.\w+", self.id), "its id must look like '06.1'"),
            (
                len(self.hints) != self.N_HINTS,
                f"it has {len(self.hints)} hints; give {'three' if self.N_HINTS else 'none'}",
            ),
            (not self.cases, "it has no cases; give at least one input"),
            (self.difficulty not in (1, 2, 3), f"difficulty={self.difficulty} must be 1, 2 or 3"),
            (not self.name, f"its starter defines {self.NO_DEFINITION}"),
            (
                self.name not in defined_names(self.solution),
                f"its solution does not define {self.name!r}",
            ),
        ]
        for fault, sentence in wrong:
            if fault:
                raise ValueError(f"exercise {self.id}: {sentence}.")

    @property
    def name(self) -> str:
        """What the learner writes: the last function or class that the starter defines."""
        return (defined_names(self.starter) or [""])[-1]

    @cached_property
    def reference(self) -> Any:
        """The course's function or class."""
        return self.compile(self.solution)

    def compile(self, answer: Callable | str) -> Any:
        """A function out of its source; a function as it is."""
        return self.execute(answer, self.name) if isinstance(answer, str) else answer

    def execute(self, source: str, name: str) -> Any:
        """What `source` calls `name`, with the exercise's imports at hand."""
        file = f"<answer {self.id} {zlib.crc32(source.encode()):08x}>"
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
        space: dict[str, Any] = {"__name__": f"answer_{self.id.replace('.', '_')}"}
        exec(self.imports, space)
        exec(compile(source, file, "exec"), space)
        return space[name]

    def expected_outcomes(self) -> list[Any]:
        """What the answer makes of every case, an `Outcome` each."""
        from fmcourse.course.sandbox import run_cases  # that module imports this one

        return run_cases(self, self.reference)

    @cached_property
    def runner(self) -> Callable[[Any, Any], Any] | None:
        return (
            self.execute(self.run, defined_names(self.run)[-1])
            if isinstance(self.run, str)
            else self.run
        )

    def apply(self, candidate: Any, case: Any) -> Any:
        """What a candidate makes of a case."""
        if self.runner is not None:
            return self.runner(candidate, case)
        return candidate(*case) if isinstance(case, tuple) else candidate(case)

    def apply_property(self, prop: Property, value: Any, case: Any) -> bool | str:
        """What a property's test says of a result."""
        test = prop.test
        return (self.execute(test, defined_names(test)[-1]) if isinstance(test, str) else test)(
            value, case
        )


def defined_names(source: str) -> list[str]:
    """Functions and classes that a source defines at its outer level, in order."""
    return [
        node.name
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    ]


def find_exercise(exercise_id: str | Exercise) -> Exercise:
    """The exercise of that id. Raises: ValueError with the nearest ids, if there is none."""
    if isinstance(exercise_id, Exercise):
        return exercise_id
    if not isinstance(exercise_id, str):
        raise ValueError(f'an exercise is named by text: "06.1", not {exercise_id!r}.')
    for exercise in all_exercises():
        if exercise.id == exercise_id:
            return exercise
    ids = [exercise.id for exercise in all_exercises()]
    near = " or ".join(difflib.get_close_matches(exercise_id, ids, n=3, cutoff=0.5) or ids[:3])
    raise ValueError(
        f"there is no exercise {exercise_id!r}; "
        + (f"did you mean {near}?" if near else "there are none.")
    )


def all_exercises() -> Iterator[Exercise]:
    """Every exercise of every lesson, in order."""
    for path in sorted(lessons_folder().glob("[0-9][0-9]*_*/exercises.py")):
        yield from exercises_in(lesson_module(path))


@cache
def lesson_module(path: Path) -> ModuleType:
    """A lesson's exercises.py; its folder begins with a digit, so it is imported by its path, once."""
    return import_file(path, f"exercises_of_{path.parent.name}")


def exercises_in(module: ModuleType) -> list[Exercise]:
    return sorted(
        (value for value in vars(module).values() if isinstance(value, Exercise)),
        key=lambda found: found.id,
    )
