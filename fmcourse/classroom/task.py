"""One answer as a task: what is sent to be run, how it is run, what comes back. All of it JSON.

A task holds the student's statements, the starter and the inputs of the cases; no right result.
`make_task` is called by the grader, all else in the process that runs the answer.
"""

import __future__

import ast
import asyncio
import concurrent.futures
import contextlib
import importlib
import inspect
import io
import itertools
import json
import linecache
import multiprocessing.pool
import os
import random
import shlex
import sys
import time
import types
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
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
# where the notebook is run in its own order: for all of it, and for one cell, which may train
WHOLE_SECONDS, CELL_SECONDS = 40.0, 15.0
PROCESSORS = 2  # workers of a pool of processes


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
        "whole": answer.whole,
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
    with stand_in_for_notebook() as space:
        exec(exercise.imports + "\nfrom fmcourse.classroom import points, variant\n", space)
        try:
            run_whole(task, space) if task["whole"] else run_needed(task, space)
        except TimeLimitExceeded:
            limit = f"It was stopped after {PREPARE_SECONDS:.0f} seconds, before `{exercise.name}` "
            return {"stopped": limit + "was there. Is there a loop that never ends?"}
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


# -- what stands in for a notebook --------------------------------------------------------------


@contextlib.contextmanager
def stand_in_for_notebook() -> Iterator[dict[str, Any]]:
    """The names of a module that is `__main__`, as a notebook is.

    So what it pickles, or sends to a pool of processes, is found there again. What it writes into
    its folder can be imported.
    """
    module = types.ModuleType("__main__")
    shell = Shell(module.__dict__)
    module.__dict__.update(display=do_nothing, get_ipython=lambda: shell)
    before = sys.modules["__main__"], sys.path[:], sys.argv
    sys.modules["__main__"], sys.argv = module, [""]
    sys.path.insert(0, os.getcwd())
    try:
        with small_pools():
            yield module.__dict__
    finally:
        sys.modules["__main__"], sys.path[:], sys.argv = before


@contextlib.contextmanager
def small_pools() -> Iterator[None]:
    """Pools have few workers, however many are asked for: an answer may have few processes."""

    def limit(make: Callable) -> Callable:
        def make_small(self: Any, workers: int | None = None, *given: Any, **named: Any) -> None:
            asked = [workers, named.pop("processes", None), named.pop("max_workers", None)]
            make(self, min([PROCESSORS, *filter(None, asked)]), *given, **named)

        return make_small

    with contextlib.ExitStack() as stack:
        for kind in (multiprocessing.pool.Pool, concurrent.futures.ProcessPoolExecutor):
            stack.callback(setattr, kind, "__init__", kind.__init__)
            kind.__init__ = limit(kind.__init__)
        yield


class Shell:
    """What `get_ipython()` gives: it runs code, writes and runs files; all else does nothing."""

    def __init__(self, space: dict[str, Any]) -> None:
        self.user_ns = space

    def __getattr__(self, name: str) -> Callable:
        return do_nothing

    def run_cell(self, source: str, *given: Any, **named: Any) -> None:
        exec(source, self.user_ns)

    def run_line_magic(self, name: str, line: str, *given: Any, **named: Any) -> None:
        if name == "run":
            self.run_file(line)

    def run_cell_magic(self, name: str, line: str, body: str) -> None:
        if name in ("writefile", "file"):
            *options, path = shlex.split(line)
            with open(path, "a" if options else "w", encoding="utf-8") as file:
                file.write(body)

    def capture(self) -> "Captured":
        return Captured()

    def run_file(self, line: str) -> None:
        """Run a script; its names are the notebook's afterwards, and with -i also before."""
        words = shlex.split(line)
        at = next(n for n, word in enumerate(words) if word[0] != "-")
        name, own = words[at], "-i" not in words[:at]
        sys.argv = words[at:]
        path = Path(name) if Path(name).is_file() else Path(f"{name}.py")
        space = {"__name__": "__main__", "__file__": str(path)} if own else self.user_ns
        exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), space)
        made = {key: value for key, value in space.items() if not key.startswith("__")}
        self.user_ns.update(made)


class Captured:
    """What `%%capture name` keeps: all that is printed from now on until `stop`."""

    def __init__(self) -> None:
        self.files, self.outputs, self.until_stop = (io.StringIO(), io.StringIO()), [], None
        self.show = do_nothing
        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.redirect_stdout(self.files[0]))
            stack.enter_context(contextlib.redirect_stderr(self.files[1]))
            self.until_stop = stack.pop_all()

    stdout = property(lambda self: self.files[0].getvalue())
    stderr = property(lambda self: self.files[1].getvalue())

    def __str__(self) -> str:
        return self.stdout

    def stop(self) -> None:
        self.until_stop.close()


def do_nothing(*given: Any, **named: Any) -> None:
    """What `display` does where there is no notebook."""


# -- running statements -------------------------------------------------------------------------


@dataclass(frozen=True)
class CompiledStatement:
    """A statement, compiled under the number of its cell; or why it cannot be.

    Args:
        needed: can the answer not do without it?
        shown: does its cell end with it, so that a notebook shows its value?
    """

    cell: int
    needed: bool
    code: CodeType | None
    error: Exception | None = None
    shown: bool = False


def run_needed(task: dict[str, Any], space: dict[str, Any]) -> None:
    """Run the statements in order; one that the answer could do without may fail."""
    statements = compile_statements(task)
    run = runner(statements, space)

    def run_all() -> None:
        for one in statements:
            with contextlib.nullcontext() if one.needed else contextlib.suppress(Exception):
                run(one)

    call_with_timeout(run_all, PREPARE_SECONDS)


def run_whole(task: dict[str, Any], space: dict[str, Any]) -> None:
    """Run a notebook as far as it goes: an error, or a loop without end, ends its cell alone."""
    statements, until = compile_statements(task), time.monotonic() + WHOLE_SECONDS
    run = runner(statements, space)
    space["In"] = cell_sources(task["units"])
    for _, group in itertools.groupby(statements, lambda one: one.cell):
        cell, seconds = list(group), min(CELL_SECONDS, until - time.monotonic())
        if seconds <= 0:
            return
        try:
            with contextlib.redirect_stdout(sys.stdout), contextlib.redirect_stderr(sys.stderr):
                call_with_timeout(lambda cell=cell: [run(one) for one in cell], seconds)
        except MemoryError:
            raise
        except BaseException:  # also `exit()`, which does not end a notebook
            continue


def cell_sources(units: list[list]) -> list[str]:
    """What `In` holds where every cell was run once, in order: `In[n]` is cell n."""
    sources = {cell: source for cell, _, source in units}
    return [sources.get(cell, "") for cell in range(max(sources, default=0) + 1)]


def compile_statements(task: dict[str, Any]) -> list[CompiledStatement]:
    """The statements of a task, in order."""
    trees, found, flags = {}, [], ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    for unit, index, needed in task["statements"]:
        cell, offset, source = task["units"][unit]
        if unit not in trees:
            trees[unit] = parse_unit(source, offset)
        node, file, text = trees[unit][index], f"<cell {cell}>", "\n" * offset + source
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            flags |= sum(getattr(__future__, alias.name).compiler_flag for alias in node.names)
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
        ends = isinstance(node, ast.Expr) and node is trees[unit][-1]
        tree, mode = (
            (ast.Expression(node.value), "eval") if ends else (ast.Module([node], []), "exec")
        )
        shown = ends and not source.rstrip().endswith(";")
        try:
            code = compile(tree, file, "eval" if ends else "exec", flags, dont_inherit=True)
            found.append(CompiledStatement(cell, needed, code, shown=shown))
        except (SyntaxError, ValueError, RecursionError) as error:  # `return` outside a function
            found.append(CompiledStatement(cell, needed, None, error))
    return found


def runner(
    statements: list[CompiledStatement], space: dict[str, Any]
) -> Callable[[CompiledStatement], None]:
    """A function that runs a statement: where one of them awaits, all in one event loop."""
    awaits = any(one.code and one.code.co_flags & inspect.CO_COROUTINE for one in statements)
    loop = asyncio.new_event_loop() if awaits else None
    outputs = space["Out"] = {}

    async def run_in_loop(code: CodeType) -> Any:
        made = eval(code, space)
        return await made if inspect.iscoroutine(made) else made

    def run(one: CompiledStatement) -> None:
        if one.error:
            raise one.error
        importlib.invalidate_caches()  # the notebook may just have written what it imports
        value = loop.run_until_complete(run_in_loop(one.code)) if loop else eval(one.code, space)
        if one.shown and value is not None:
            if space.get("_") is next(reversed(outputs.values()), None):  # it is not the student's
                space["_"] = value
            outputs[one.cell] = space[f"_{one.cell}"] = value

    return run


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
