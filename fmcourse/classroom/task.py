"""One answer as a task: what is sent to be run, how it is run, what comes back. All of it JSON.

A task holds the student's statements, the starter and the inputs of the cases; no right result.
`make_task` is called by the grader, all else in the process that runs the answer.
"""

import __future__

import ast
import contextlib
import json
import linecache
import random
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fmcourse.classroom.candidates import describe_candidate
from fmcourse.classroom.course_files import VARIANT_FILE
from fmcourse.classroom.exercise_kinds import ExerciseRecord, GradedExercise, placeholder_solution
from fmcourse.classroom.packing import pack, pack_outcome, unpack
from fmcourse.classroom.slicing import Answer
from fmcourse.course.exercise import Exercise
from fmcourse.course.library import find_exercise
from fmcourse.course.running import (
    TimeLimitExceeded,
    call_with_timeout,
    format_error,
    run_cases,
)
from fmcourse.course.verdict import precheck

SEED = 0  # of everything random that a student's statements draw, or no two gradings were alike
PREPARE_SECONDS = 12.0  # for the statements that an answer needs; each case has its own limit
DISPLAY_NAMES = ("display", "get_ipython")  # what a notebook has and a script has not


# -- what is sent -------------------------------------------------------------------------------


def make_task(
    exercise: Exercise, answer: Answer, numbers: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The task of running an answer on an exercise's cases.

    Args:
        numbers: the student's own, where the exercise has them.
    """
    task = {
        "id": exercise.id,
        "units": [[unit.cell, unit.offset, unit.source] for unit in answer.units],
        "statements": [list(statement) for statement in answer.statements],
    }
    if not isinstance(exercise, GradedExercise):  # practice: the other process has it too
        return task | {"public": True}
    variant = {"student": "", "assignment": "", "numbers": {exercise.id: pack(numbers)}}
    return task | {
        "starter": exercise.starter,
        "imports": exercise.imports,
        "run": exercise.run,
        "seconds": exercise.seconds,
        "cases": [pack(case) for case in exercise.cases],
        "variant": variant if numbers else None,
    }


def rebuild_exercise(task: dict[str, Any]) -> Exercise:
    """The exercise of a task, as far as it may be known where the answer runs."""
    if task.get("public"):
        return find_exercise(task["id"])
    return ExerciseRecord(
        id=task["id"],
        goal="",
        minutes=1,
        starter=task["starter"],
        solution=placeholder_solution(task["starter"]),
        mistakes=(),
        imports=task["imports"],
        run=task["run"],
        seconds=task["seconds"],
        cases=[unpack(case) for case in task["cases"]],
    )


# -- where the answer is run --------------------------------------------------------------------


def run_answer(task: dict[str, Any]) -> dict[str, Any]:
    """Run the statements, then the answer on every case.

    Returns: {"outcomes": ...}, {"unfit": what it is} if the answer cannot be called, or
        {"stopped": sentence} if the statements do not come to an end.
    """
    exercise = rebuild_exercise(task)
    if task.get("variant"):
        Path(VARIANT_FILE).write_text(json.dumps(task["variant"]))
    seed_everything()
    space: dict[str, Any] = {"__name__": "__main__"}
    space |= dict.fromkeys(DISPLAY_NAMES, do_nothing)
    exec(exercise.imports + "\nfrom fmcourse.classroom import points, variant\n", space)
    try:
        call_with_timeout(lambda: run_statements(task, space), PREPARE_SECONDS)
    except TimeLimitExceeded:
        limit = f"It was stopped after {PREPARE_SECONDS:.0f} seconds, before `{exercise.name}` was "
        return {"stopped": limit + "there. Is there a loop that never ends?"}
    except MemoryError:
        raise
    except BaseException as error:
        where, what = error_location(error), format_error(error)[:300]
        sentence = f"Before `{exercise.name}` is there, {where}the notebook stops with {what}."
        return {"stopped": sentence}
    return run_candidate(exercise, space.get(exercise.name))


def seed_everything() -> None:
    random.seed(SEED)
    np.random.seed(SEED)
    torch.manual_seed(SEED)


def do_nothing(*given: Any, **named: Any) -> None:
    """What `display` and `get_ipython` do where there is no notebook."""


def run_statements(task: dict[str, Any], space: dict[str, Any]) -> None:
    """Run the statements in order, each under the number of its cell."""
    trees, flags = {}, 0
    for unit, index, needed in task["statements"]:
        cell, offset, source = task["units"][unit]
        if unit not in trees:
            trees[unit] = parse_unit(source, offset)
        node, file, text = trees[unit][index], f"<cell {cell}>", "\n" * offset + source
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            flags |= sum(getattr(__future__, alias.name).compiler_flag for alias in node.names)
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
        # a statement that the answer could do without may fail
        with contextlib.nullcontext() if needed else contextlib.suppress(Exception):
            exec(compile(ast.Module([node], []), file, "exec", flags, dont_inherit=True), space)


def parse_unit(source: str, offset: int) -> list[ast.stmt]:
    """The statements of a unit, with the line numbers of its cell."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.increment_lineno(ast.parse(source), offset).body


def error_location(error: BaseException) -> str:
    """The cell and line in which an error was raised."""
    found, trace = "", error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file.startswith("<cell "):
            found = f"in line {trace.tb_lineno} of code {file.strip('<>')} "
        trace = trace.tb_next
    return found


def run_candidate(exercise: Exercise, value: Any) -> dict[str, Any]:
    """What came of every case; or why the answer cannot be called."""
    candidate = exercise.candidate(value) if isinstance(exercise, GradedExercise) else value
    if verdict := precheck(exercise, candidate):
        return {"unfit": describe_candidate(candidate, verdict.name)}
    return {"outcomes": [pack_outcome(outcome) for outcome in run_cases(exercise, candidate)]}
