"""An exercise is one object: what is asked, what is right, and which mistakes people make.

The notebook's cell, `check`, `hint`, `solution`, the solved edition and every proof are made from
it. This module holds the data alone: `library` finds exercises, `running` runs answers on their
cases, `verdict` judges what comes of them.
"""

import ast
import copy
import linecache
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import Any, Self

IMPORTS = """import math
import torch
from torch import Tensor, nn
from torch.nn import functional as F
"""


@dataclass(frozen=True)
class Mistake:
    """One wrong belief.

    Args:
        name: what the mistake is called in a verdict.
        wrong_answer: a function (or its source) that holds the belief.
        explanation: the smallest evidence against it, and a question.
    """

    name: str
    wrong_answer: Callable | str
    explanation: str


@dataclass(frozen=True)
class Property:
    """What every right result has.

    Args:
        test: (result, case) -> True, False, or a sentence with the evidence that the result lacks
            it; a function or its source.
        message: what is said where it is missing.
    """

    name: str
    test: Callable[[Any, Any], bool | str] | str
    message: str


@dataclass(frozen=True, eq=False)
class Exercise:
    """One thing to build, a function or a class, and everything needed to judge and to help.

    Args:
        id: lesson and number, "06.1" or "07b.1".
        goal: what to do, in a few words, as it goes on after the number in a heading.
        cases: inputs. A tuple is a list of arguments, anything else is the only argument. Small
            cases show mistakes best.
        starter: source of what stands in the notebook: a docstring that says what is wanted, and
            `...` in the gap.
        solution: source of the answer.
        hints: three; from meaning to, almost, code.
        explanation: why the solution is what it is, for `solution`.
        other_solutions: right answers written another way, as proofs.
        difficulty: 1 to 3.
        run: (candidate, case) -> result, or its source, where calling the candidate on the case is
            not enough (a class; a function to be called twice).
        imports: source of what starter and solution may use.
        tolerance: how far a float may be off, relative to its size.
        seconds: how long one case may take.
        recorded_outcomes: the right outcome of every case, where an exercise is handed out without
            its solution.
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
    recorded_outcomes: Sequence[Any] | None = None

    def __post_init__(self) -> None:
        n_hints = "three" if self.N_HINTS else "none"
        defined = defined_names(self.solution)
        faults = {
            "its id must look like '06.1'": not re.fullmatch(r"\d\d[a-z]?\.\w+", self.id),
            f"it has {len(self.hints)} hints; give {n_hints}": len(self.hints) != self.N_HINTS,
            "it has no cases; give at least one input": not self.cases,
            f"difficulty={self.difficulty} must be 1, 2 or 3": self.difficulty not in (1, 2, 3),
            f"its starter defines {self.NO_DEFINITION}": not self.name,
            f"its solution does not define {self.name!r}": self.name not in defined,
        }
        for sentence, is_fault in faults.items():
            if is_fault:
                raise ValueError(f"exercise {self.id}: {sentence}.")

    @property
    def name(self) -> str:
        """What the learner writes: the last function or class that the starter defines."""
        return (defined_names(self.starter) or [""])[-1]

    @cached_property
    def reference(self) -> Any:
        """The course's function or class."""
        return self.compile(self.solution)

    @cached_property
    def runner(self) -> Callable[[Any, Any], Any] | None:
        """`run` as a function."""
        if isinstance(self.run, str):
            return self.execute(self.run, defined_names(self.run)[-1])
        return self.run

    def compile(self, answer: Callable | str) -> Any:
        """A function out of its source; a function as it is."""
        return self.execute(answer, self.name) if isinstance(answer, str) else answer

    def execute(self, source: str, name: str) -> Any:
        """What `source` calls `name`, run after the exercise's imports."""
        file = f"<answer {self.id} {zlib.crc32(source.encode()):08x}>"
        # so that a traceback can quote the line
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
        space: dict[str, Any] = {"__name__": f"answer_{self.id.replace('.', '_')}"}
        exec(self.imports, space)
        exec(compile(source, file, "exec"), space)
        return space[name]

    def apply(self, candidate: Any, case: Any) -> Any:
        """What a candidate makes of a case."""
        if self.runner is not None:
            return self.runner(candidate, case)
        return candidate(*case) if isinstance(case, tuple) else candidate(case)

    def apply_property(self, prop: Property, value: Any, case: Any) -> bool | str:
        """What a property's test says of a result."""
        test = prop.test
        if isinstance(test, str):
            test = self.execute(test, defined_names(test)[-1])
        return test(value, case)

    def with_cases(self, cases: Sequence[Any]) -> Self:
        """The same exercise on other cases."""
        found = copy.copy(self)  # not `replace`: an exercise with numbers would draw its own again
        object.__setattr__(found, "cases", list(cases))
        return found


def defined_names(source: str) -> list[str]:
    """Functions and classes that a source defines at its outer level, in order."""
    definitions = ast.FunctionDef | ast.ClassDef
    return [node.name for node in ast.parse(source).body if isinstance(node, definitions)]
