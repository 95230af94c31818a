"""What happens to one answer where it is run: a task comes in as JSON, what came of every case goes out as JSON.

The task holds the student's statements, the starter, the inputs of the cases. It holds no right result.
"""

import __future__

import ast
import contextlib
import json
import linecache
import random
import warnings
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fmcourse.classroom.assigned import ExerciseRecord
from fmcourse.classroom.values import pack, unpack
from fmcourse.course.diagnosis import precheck
from fmcourse.course.exercises import Exercise, find_exercise
from fmcourse.course.sandbox import (
    Outcome,
    TimeLimitExceeded,
    call_with_timeout,
    format_error,
    run_cases,
)

SEED = 0
PREPARE_SECONDS = 12.0  # seconds for the statements that an answer needs; then each case has the exercise's own limit


def make_task(
    exercise: Exercise, units: list, statements: list, numbers: dict[str, Any] | None = None
) -> dict[str, Any]:
    """What is sent to be run: `units` are (cell, offset, source), `statements` (unit, index, whether it is needed) in order."""
    made = {
        "id": exercise.id,
        "units": [list(unit) for unit in units],
        "statements": [list(statement) for statement in statements],
    }
    if not hasattr(exercise, "points"):  # a practice exercise: the package over there has it too
        return made | {"public": True}
    made |= {
        "starter": exercise.starter,
        "imports": exercise.imports,
        "run": exercise.run,
        "seconds": exercise.seconds,
    }
    numbers_file = (
        {"student": "", "assignment": "", "numbers": {exercise.id: pack(numbers)}}
        if numbers
        else None
    )
    return made | {"cases": [pack(case) for case in exercise.cases], "variant": numbers_file}


def rebuild_exercise(task: dict[str, Any]) -> Exercise:
    """The exercise of a task, as far as it may be known where the answer runs."""
    if task.get("public"):
        return find_exercise(task["id"])
    names = [
        target.id
        for node in ast.parse(task["starter"]).body
        if isinstance(node, ast.Assign)
        for target in node.targets
    ]
    solution = task["starter"] + "".join(f"\ndef {name}(mine): ...\n" for name in names)
    return ExerciseRecord(
        id=task["id"],
        goal="",
        minutes=1,
        starter=task["starter"],
        solution=solution,
        mistakes=(),
        imports=task["imports"],
        run=task["run"],
        seconds=task["seconds"],
        cases=[unpack(case) for case in task["cases"]],
    )


def run_answer(task: dict[str, Any]) -> dict[str, Any]:
    """Run the statements, then the answer on every case."""
    exercise = rebuild_exercise(task)
    if task.get("variant"):
        Path("variant.json").write_text(json.dumps(task["variant"]))
    (
        random.seed(SEED),
        np.random.seed(SEED),
        torch.manual_seed(SEED),
    )  # or no two gradings would be alike
    nothing = lambda *given, **named: None
    space: dict[str, Any] = {"__name__": "__main__", "display": nothing, "get_ipython": nothing}
    exec(exercise.imports + "\nfrom fmcourse.classroom import points, variant\n", space)
    try:
        call_with_timeout(lambda: run_statements(task, space), PREPARE_SECONDS)
    except TimeLimitExceeded:
        return {
            "stopped": f"It was stopped after {PREPARE_SECONDS:.0f} seconds, before `{exercise.name}` was there. Is there a loop that never ends?"
        }
    except MemoryError:
        raise
    except BaseException as error:
        return {
            "stopped": f"Before `{exercise.name}` is there, {error_location(error)}the notebook stops with {format_error(error)[:300]}."
        }
    return run_candidate(exercise, space.get(exercise.name))


def run_statements(task: dict[str, Any], space: dict[str, Any]) -> None:
    """Run the statements in order, each under the number of its cell. What could be left out may fail."""
    trees, flags = {}, 0
    for unit, index, needed in task["statements"]:
        cell, offset, source = task["units"][unit]
        if unit not in trees:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                trees[unit] = ast.increment_lineno(ast.parse(source), offset).body
        node, file, text = trees[unit][index], f"<cell {cell}>", "\n" * offset + source
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            flags |= sum(getattr(__future__, alias.name).compiler_flag for alias in node.names)
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
        with contextlib.nullcontext() if needed else contextlib.suppress(Exception):
            exec(compile(ast.Module([node], []), file, "exec", flags, dont_inherit=True), space)


def error_location(error: BaseException) -> str:
    """The cell and line in which an error was raised."""
    found, trace = "", error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.startswith("<cell "):
            found = f"in line {trace.tb_lineno} of code {trace.tb_frame.f_code.co_filename.strip('<>')} "
        trace = trace.tb_next
    return found


def run_candidate(exercise: Exercise, value: Any) -> dict[str, Any]:
    """What came of every case; or why the answer cannot be called."""
    candidate = exercise.candidate(value) if hasattr(exercise, "candidate") else value
    if verdict := precheck(exercise, candidate):
        return {"unfit": [verdict.name, list(verdict.sentences)]}
    return {"outcomes": [pack_outcome(one) for one in run_cases(exercise, candidate)]}


def pack_outcome(outcome: Outcome) -> dict[str, Any]:
    fields = asdict(replace(outcome, value=None))
    return fields | {
        "value": pack(outcome.value),
        "error": outcome.error[:1000],
        "printed": bool(outcome.printed),
    }


def unpack_outcome(fields: dict[str, Any]) -> Outcome:
    """An outcome that came from outside. Raises: ValueError (NotReadable), TypeError or KeyError if it is none."""
    words = lambda name: str(fields[name])[:1000]
    lists = lambda name: tuple(str(part)[:80] for part in list(fields[name])[:20])
    return Outcome(
        unpack(fields["value"]),
        words("error"),
        words("line"),
        "it prints" * bool(fields["printed"]),
        lists("changed_inputs"),
        lists("changed_generators"),
        bool(fields["timed_out"]),
    )
