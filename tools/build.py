"""Turn lessons into executed notebooks.

python -m tools.build [NN ...]       build these lessons, or all
python -m tools.build --check [NN]   prove, without running anything, that each notebook is its lesson's
"""

import argparse
import copy
import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from tqdm import tqdm

from fmcourse.files import write_text
from tools import kernels, lint
from tools.kernels import Cost, NotebookFailed
from tools.lessons import (
    LANGUAGE,
    ROOT,
    Find,
    Lesson,
    all_lessons,
    find_exercise,
    to_json,
    to_notebook,
)

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"  # a view without its kernel shows as an error: keep its fallback only


def build(lesson: Lesson, find: Find = find_exercise) -> Cost:
    """Execute one lesson and put its notebook in place, whole or not at all.

    Raises: NotebookFailed, if a cell raises; the old notebook then stays as it was.
    """
    notebook = to_notebook(lesson, find)
    code = sum(cell.cell_type == "code" for cell in notebook.cells)
    with tqdm(
        total=code, desc=lesson.name, unit="cell", leave=False, disable=not sys.stderr.isatty()
    ) as bar:
        cost = kernels.run_notebook(notebook, lesson.name, on_cell=bar.update)
    write_text(lesson.notebook, to_json(strip_volatile(notebook)))
    return cost


def strip_volatile(notebook: NotebookNode) -> NotebookNode:
    """Without what differs from one run to the next though nothing has changed."""
    notebook = copy.deepcopy(notebook)
    notebook.metadata["language_info"] = LANGUAGE
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(WIDGET_VIEW, None)
    return notebook


def staleness(lesson: Lesson, find: Find = find_exercise) -> list[str]:
    """Why the notebook on disk is not what its lesson would build, a sentence each; nothing if it is."""
    if not lesson.notebook.exists():
        return [
            f"there is no {lesson.notebook.name} yet; build it: python start.py build {lesson.number}"
        ]
    wanted, there = to_notebook(lesson, find), nbformat.read(lesson.notebook, as_version=4)
    if there.metadata.get("fmcourse") != wanted.metadata["fmcourse"]:
        return [
            f"built from another edition of its lesson or exercises; run: python start.py build {lesson.number}"
        ]
    if strip_outputs(there) != strip_outputs(wanted):
        return [
            f"edited by hand; change the lesson instead, then run: python start.py build {lesson.number}"
        ]
    return []


def strip_outputs(notebook: NotebookNode) -> NotebookNode:
    """A notebook without what running it adds."""
    notebook = strip_volatile(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.execution_count, cell.outputs = None, []
    return notebook


def check_lesson(lesson: Lesson, find: Find = find_exercise) -> list[str]:
    """Everything that can be said against a notebook without running it."""
    if late := staleness(lesson, find):
        return late
    return lint.faults(nbformat.read(lesson.notebook, as_version=4), lesson.number)


def stray_notebooks(root: Path) -> list[str]:
    """Notebooks that no lesson builds any more."""
    known = {lesson.notebook.name for lesson in all_lessons(root)}
    return [
        path.name for path in sorted((root / "notebooks").glob("*.ipynb")) if path.name not in known
    ]


def main(arguments: list[str] | None = None, root: Path = ROOT, find: Find = find_exercise) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.build", description="Turn lessons into executed notebooks."
    )
    parser.add_argument(
        "lessons", nargs="*", metavar="NN", help="numbers or names of lessons; all if none is given"
    )
    parser.add_argument(
        "--check", action="store_true", help="run nothing; prove that each notebook is its lesson's"
    )
    options = parser.parse_args(arguments)
    try:
        wanted = all_lessons(root, options.lessons)
    except ValueError as error:
        print(error)
        return 2
    failed = sum([report(lesson, options.check, find) for lesson in wanted])
    if options.check and not options.lessons:
        for name in stray_notebooks(root):
            print(f"{name}: no lesson builds this notebook; remove it.")
            failed += 1
    return 1 if failed else 0


def report(lesson: Lesson, only_check: bool, find: Find) -> bool:
    """Build or check one lesson and say how it went; True if it is not as it should be."""
    said = f"{lesson.name}: "
    try:
        cost = Cost() if only_check else build(lesson, find)
        against = check_lesson(lesson, find) + lint.budget_faults(cost)
    except (NotebookFailed, ValueError, SyntaxError) as error:
        print(error if isinstance(error, NotebookFailed) else said + str(error))
        return True
    cells = (
        len(nbformat.read(lesson.notebook, as_version=4).cells) if lesson.notebook.exists() else 0
    )
    spent = "in step" if only_check else f"built, {cost.seconds:.0f} s, {cost.peak_mb:.0f} MB"
    print(said + (f"{spent}, {cells} cells" if not against else "not as it should be"))
    for sentence in against:
        print(f"    {sentence}")
    return bool(against)


if __name__ == "__main__":
    sys.exit(main())
