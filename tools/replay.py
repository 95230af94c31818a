"""Run notebooks as they are shipped, exercises blank, and compare every output with the one that is stored (nbval).

    python -m tools.replay [NN ...]

Each notebook runs in a copy of its own, two side by side on one thread each, with the network cut where the system
allows it. What it cost goes to build/replay.json.
"""

import ast
import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import nbformat

from fmcourse.files import write_text
from tools import kernels, lint, offline
from tools.kernels import Cost
from tools.lessons import ROOT, Lesson, all_lessons

SANITIZE = ROOT / "tests" / "nbval_sanitize.cfg"
REPORT = ROOT / "build" / "replay.json"
N_WORKERS = 2


def replay(lessons: list[Lesson], folder: Path) -> tuple[int, list[dict]]:
    """nbval's exit code for the notebooks of `lessons`, run in `folder`, and a row about each."""
    for lesson in lessons:
        (folder / lesson.name).mkdir()
        shutil.copy(lesson.notebook, folder / lesson.name)
    (folder / "pytest.ini").write_text("[pytest]\n")  # none of the project's own settings
    code = subprocess.run(
        offline.offline_command(command(folder, len(lessons))), env=environment(folder), cwd=ROOT
    ).returncode
    return code, [
        cost_row(lesson, Cost.read(folder / lesson.name / "meter.json")) for lesson in lessons
    ]


def command(folder: Path, n: int) -> list[str]:
    """xdist by file: its default would spread one notebook's cells over several kernels."""
    return [
        sys.executable,
        "-m",
        "pytest",
        str(folder),
        "--rootdir",
        str(folder),
        "-q",
        "--color=no",
        "-p",
        "no:cacheprovider",
        "-n",
        str(min(n, N_WORKERS)),
        "--dist",
        "loadfile",
        "--nbval",
        "--nbval-current-env",
        f"--nbval-sanitize-with={SANITIZE}",
        f"--nbval-cell-timeout={kernels.CELL_SECONDS}",
    ]


def environment(folder: Path) -> dict[str, str]:
    """As for a build, but one process starts many kernels: each writes beside its own notebook."""
    return kernels.environment(
        folder, FMCOURSE_METER="meter.json", FMCOURSE_PROGRESS="progress.json"
    )


def cost_row(lesson: Lesson, cost: Cost) -> dict:
    notebook = nbformat.read(lesson.notebook, as_version=4)
    return {
        "notebook": lesson.name,
        **asdict(cost),
        "cells": len(notebook.cells),
        "claims": count_claims(notebook),
    }


def count_claims(notebook: nbformat.NotebookNode) -> int:
    """Sentences that a notebook claims. One that were false would stop its cell, since every run here is strict."""
    calls = [
        node
        for _, cell in lint.cells_of(notebook, "code")
        for node in ast.walk(ast.parse(cell.source))
    ]
    return sum(
        isinstance(node, ast.Call) and getattr(node.func, "id", "") == "claim" for node in calls
    )


def main(arguments: list[str]) -> int:
    lessons = all_lessons(wanted=arguments)
    if missing := [lesson for lesson in lessons if not lesson.notebook.exists()]:
        print(
            f"{missing[0].notebook.name} is not built yet: python start.py build {missing[0].number}",
            file=sys.stderr,
        )
        return 1
    if not lessons:
        print("There are no lessons, so nothing was run.")
        return 0
    with kernels.scratch_folder() as folder:
        code, rows = replay(lessons, folder)
    write_text(REPORT, json.dumps(rows, indent=1) + "\n")
    costs = {
        row["notebook"]: Cost(row["seconds"], row["cpu_seconds"], row["peak_mb"]) for row in rows
    }
    over = [
        f"{name}: {sentence}"
        for name, cost in costs.items()
        for sentence in lint.budget_faults(cost)
    ]
    print("\n".join(over), end="\n" if over else "")
    return code or bool(over)


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    sys.exit(main(sys.argv[1:]))
