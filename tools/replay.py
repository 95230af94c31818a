"""Run notebooks as they ship, exercises blank, and compare outputs with the stored ones (nbval).

    python -m tools.replay [NN ...]

Each notebook runs in a folder of its own, two at a time with one thread each, without network
where the system allows that. Seconds and memory are written to build/replay.json.
"""

import ast
import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import nbformat

from fmcourse.files import write_text
from tools import kernels, lint, offline
from tools.kernels import Cost
from tools.lessons import ROOT, Lesson, all_lessons

SANITIZE = ROOT / "tests" / "nbval_sanitize.cfg"
REPORT = ROOT / "build" / "replay.json"
N_WORKERS = 2


def replay(lessons: list[Lesson], folder: Path) -> tuple[int, list[dict]]:
    """Run the notebooks of `lessons` in `folder`; nbval's exit code, and a row for each."""
    for lesson in lessons:
        (folder / lesson.name).mkdir()
        shutil.copy(lesson.notebook, folder / lesson.name)
    (folder / "pytest.ini").write_text("[pytest]\n")  # keeps pytest from the project's own settings
    command = offline.offline_command(nbval_command(folder, len(lessons)))
    code = subprocess.run(command, env=environment(folder), cwd=ROOT).returncode
    costs = [Cost.read(folder / lesson.name / "meter.json") for lesson in lessons]
    return code, [cost_row(lesson, cost) for lesson, cost in zip(lessons, costs, strict=True)]


def nbval_command(folder: Path, n: int) -> list[str]:
    """The call of pytest with nbval for `n` notebooks in `folder`."""
    place = [str(folder), "--rootdir", str(folder), "-p", "no:cacheprovider"]
    # loadfile: xdist's default would spread the cells of one notebook over several kernels
    workers = ["-n", str(min(n, N_WORKERS)), "--dist", "loadfile"]
    rules = [
        f"--nbval-sanitize-with={SANITIZE}",
        f"--nbval-cell-timeout={kernels.CELL_SECONDS}",
    ]
    nbval = ["--nbval", "--nbval-current-env", *rules]
    return [sys.executable, "-m", "pytest", "-q", "--color=no", *place, *workers, *nbval]


def environment(folder: Path) -> dict[str, str]:
    """As for a build, but kernels of one process write beside their own notebooks."""
    return kernels.environment(
        folder, FMCOURSE_METER="meter.json", FMCOURSE_PROGRESS="progress.json"
    )


def cost_row(lesson: Lesson, cost: Cost) -> dict[str, Any]:
    """A row of the report: what the notebook cost, its cells and its claims."""
    notebook = nbformat.read(lesson.notebook, as_version=4)
    return {
        "notebook": lesson.name,
        **asdict(cost),
        "cells": len(notebook.cells),
        "claims": count_claims(notebook),
    }


def count_claims(notebook: nbformat.NotebookNode) -> int:
    """Calls of `claim` in a notebook; a false one would have stopped its cell."""
    nodes = [
        node
        for _, cell in lint.cells_of(notebook, "code")
        for node in ast.walk(ast.parse(cell.source))
    ]
    return sum(
        isinstance(node, ast.Call) and getattr(node.func, "id", "") == "claim" for node in nodes
    )


def main(arguments: list[str]) -> int:
    lessons = all_lessons(wanted=arguments)
    if missing := [lesson for lesson in lessons if not lesson.notebook.exists()]:
        name, number = missing[0].notebook.name, missing[0].number
        print(f"{name} is not built yet: python start.py build {number}", file=sys.stderr)
        return 1
    if not lessons:
        print("There are no lessons, so nothing was run.")
        return 0
    with kernels.scratch_folder() as folder:
        code, rows = replay(lessons, folder)
    write_text(REPORT, json.dumps(rows, indent=1) + "\n")
    over_budget = [
        f"{row['notebook']}: {sentence}"
        for row in rows
        for sentence in lint.budget_faults(Cost(row["seconds"], row["cpu_seconds"], row["peak_mb"]))
    ]
    for sentence in over_budget:
        print(sentence)
    return code or bool(over_budget)


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    sys.exit(main(sys.argv[1:]))
