"""Turn lessons into executed notebooks.

python -m tools.build [NN ...]       build these lessons, or all python -m tools.build --check [NN]
prove, without running anything, that each notebook is its lesson's
"""

import argparse
import copy
import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from tqdm import tqdm

from fmcourse.files import write_text
from tools import docs, kernels, lint, reading
from tools.kernels import Cost, NotebookFailed
from tools.lessons import (
    LANGUAGE,
    ROOT,
    Find,
    Lesson,
    all_lessons,
    find_exercise,
    reading_cell,
    to_json,
    to_notebook,
)

# Without its kernel a stored widget view shows as an error; its static fallback is kept instead.
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def build(lesson: Lesson, find: Find = find_exercise) -> Cost:
    """Execute one lesson and write its notebook, whole or not at all.

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
    """A copy without what differs between two runs of the same source."""
    notebook = copy.deepcopy(notebook)
    notebook.metadata["language_info"] = LANGUAGE
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(WIDGET_VIEW, None)
    return notebook


def staleness(lesson: Lesson, find: Find = find_exercise) -> list[str]:
    """Why the stored notebook is not what its lesson would build, a sentence each."""
    again = f"python start.py build {lesson.number}"
    if not lesson.notebook.exists():
        return [f"there is no {lesson.notebook.name} yet; build it: {again}"]
    wanted, stored = to_notebook(lesson, find), nbformat.read(lesson.notebook, as_version=4)
    if stored.metadata.get("fmcourse") != wanted.metadata["fmcourse"]:
        return [f"built from another edition of its lesson or exercises; run: {again}"]
    if moved := compare_reading_paths(stored, wanted):
        return [moved]
    if strip_outputs(stored) != strip_outputs(wanted):
        return [
            "edited by hand, or the map of the course that it shows has changed; change the "
            f"lesson, never the notebook, then run: {again}"
        ]
    return []


def compare_reading_paths(stored: NotebookNode, wanted: NotebookNode) -> str:
    """A sentence if stored line numbers would mislead; smaller shifts are copied into `stored`.

    The package changes more often than lessons do, and a line number off by a few still finds its
    function.
    """
    old, new = reading_cell(stored), reading_cell(wanted)
    if old is None or new is None or not reading.names_the_same(old.source, new.source):
        return ""  # the comparison of all cells that follows says so
    if reading.has_moved(old.source, new.source):
        return "its reading path shows lines that have moved; run: python -m tools.docs"
    old.source = new.source
    return ""


def strip_outputs(notebook: NotebookNode) -> NotebookNode:
    """A copy without execution counts and outputs."""
    notebook = strip_volatile(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.execution_count, cell.outputs = None, []
    return notebook


# Its cells are longer than they should be; as two lessons it needs no place here.
TO_BE_SPLIT = ("16_alignment",)


def check_lesson(lesson: Lesson, find: Find = find_exercise) -> list[str]:
    """Everything that is wrong with a notebook, as far as it can be said without running it."""
    header = lesson.header()
    if stale := staleness(lesson, find):
        return stale
    notebook = nbformat.read(lesson.notebook, as_version=4)
    found = lint.faults(notebook, header.minutes, header.terms)
    if lesson.name in TO_BE_SPLIT:
        found = [fault for fault in found if not lint.TOO_LONG.match(fault)]
    return found


def stray_notebooks(root: Path) -> list[str]:
    """Notebooks without a lesson."""
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
        failed += report_pages(root)
    return 1 if failed else 0


def report_pages(root: Path) -> int:
    """Print what is wrong outside the lessons themselves; returns how many things are."""
    stray = stray_notebooks(root)
    for name in stray:
        print(f"{name}: no lesson builds this notebook; remove it.")
    try:
        stale = docs.stale_pages(root)
    except ValueError as error:
        print(error)
        return len(stray) + 1
    for name in stale:
        print(f"{name}: not up to date with the lessons; run: python -m tools.docs")
    return len(stray) + len(stale)


def count_files(parts: list[reading.Part]) -> int:
    return len({part.file for part in parts})


def report(lesson: Lesson, only_check: bool, find: Find) -> bool:
    """Build or check one lesson and print the result; True if something is wrong."""
    try:
        cost = Cost() if only_check else build(lesson, find)
        found = check_lesson(lesson, find) + lint.budget_faults(cost)
    except NotebookFailed as error:
        print(error)  # begins with the lesson's name
        return True
    except (ValueError, SyntaxError) as error:
        print(f"{lesson.name}: {error}")
        return True
    if found:
        print(f"{lesson.name}: not as it should be", *found, sep="\n    ")
        return True
    spent = "in step" if only_check else f"built, {cost.seconds:.0f} s, {cost.peak_mb:.0f} MB"
    header, notebook = lesson.header(), nbformat.read(lesson.notebook, as_version=4)
    print(f"{lesson.name}: {spent}, {len(notebook.cells)} cells")
    parts = reading.reading_path(header.reads)
    path = f"reading path of {reading.count_lines(parts)} lines in {count_files(parts)} files"
    print(f"    {lint.summary(notebook, header.minutes, header.terms)}, {path}")
    return False


if __name__ == "__main__":
    sys.exit(main())
