"""What of an assigned exercise is secret, and what everybody may read, as texts to be searched for.

Secret are solutions, other right answers, wrong answers and what is said of them, explanations and
hidden cases. What is handed out anyway (starter, text, public cases, properties, `run`) is not.
"""

import ast
import re
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from fmcourse.classroom.exercise_kinds import AssignedExercise

FLOAT = re.compile(r"-?\d+\.\d+(e-?\d+)?")


def secret_texts(exercise: AssignedExercise) -> Iterator[tuple[str, list[str]]]:
    """Every part of an exercise that is not handed out: its name, and how it may be written."""
    yield "solution", [bare_code(exercise.solution)]
    for n, answer in enumerate(exercise.other_solutions, 1):
        yield f"other solution {n}", [bare_code(answer)]
    for mistake in exercise.mistakes:
        yield f"wrong answer {mistake.name!r}", [bare_code(mistake.wrong_answer)]
        yield f"what is said of {mistake.name!r}", [mistake.explanation]
    yield "explanation", [exercise.explanation]
    for n, case in enumerate(exercise.hidden, 1):
        yield f"hidden case {n}", literals(case)
    if exercise.hidden:  # together, because one alone may be as short as ("aab", "a")
        yield "hidden cases", literals(list(exercise.hidden))


def public_texts(exercise: AssignedExercise) -> list[str]:
    """What of an exercise everybody may read."""
    properties = [text for one in exercise.properties for text in (one.name, one.test, one.message)]
    cases = [text for case in exercise.cases for text in literals(case)]
    own = [exercise.starter, exercise.text, exercise.goal, exercise.imports, exercise.run or ""]
    return [*own, *properties, *cases]


def bare_code(source: str) -> str:
    """The source of an answer without comments and docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def literals(case: Any) -> list[str]:
    """A case as Python and JSON write it, with all digits and with four behind the point."""
    text = repr(as_lists(case))
    rounded = FLOAT.sub(lambda number: f"{float(number[0]):.4f}", text)
    return [text] if rounded == text else [text, rounded]


def as_lists(value: Any) -> Any:
    """A value whose tensors are lists."""
    if isinstance(value, Tensor):
        return value.tolist()
    return [as_lists(part) for part in value] if isinstance(value, list | tuple) else value
