"""The notebook of an assignment: a text, a gap and a locked cell with points for each exercise.

nbgrader's convention: what stands between the marks of a solution is taken out of what is handed
out. Here nothing takes its place (see `nbgrader_course.CONFIG_TEMPLATE`): above the marks stands
the starter, as it is, and runs.
"""

import ast
from collections.abc import Sequence
from typing import Any

import nbformat
from nbformat import NotebookNode

from fmcourse.classroom.exercise_kinds import GradedExercise
from fmcourse.classroom.near_numbers import digits_needed
from fmcourse.course.exercise import Exercise, defined_names
from fmcourse.files import ROOT

KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
BEGIN_SOLUTION, END_SOLUTION = "### BEGIN SOLUTION\n", "### END SOLUTION"
HOW_IT_WORKS = (
    "**How it works.** Fill the gaps, which look like `...`. Then run everything: *Run*, "
    "*Restart Kernel and Run All Cells*. Below\n"
    "each answer a locked cell says what it is worth so far, and if something is wrong, what."
)
HAND_IN = (
    "**Hand in** this file, `{name}.ipynb`, under this name. Add cells where you like; "
    "do not delete, copy or cut in two\n"
    "the cells that are here."
)


def max_points(exercise: Exercise) -> int:
    """The most points that an answer can have: none for practice, whose answer can be looked up."""
    return exercise.points if isinstance(exercise, GradedExercise) else 0


def points_text(points: int) -> str:
    return pluralize(points, "point") if points else "for practice"


def cell_ids(exercise: Exercise) -> tuple[str, str]:
    """What the cells of its answer and of its points are called."""
    stem = exercise.id.replace(".", "-")
    return stem, f"{stem}-points"


def assignment_notebook(name: str, exercises: Sequence[Exercise]) -> NotebookNode:
    """The instructor's edition, every answer in its place.

    The same exercises make the same notebook.
    """
    total = points_text(sum(map(max_points, exercises)))
    title = f"# {name}\n\n{pluralize(len(exercises), 'exercise')}, {total}."
    cells = [
        markdown_cell("title", title),
        markdown_cell("how", HOW_IT_WORKS),
        markdown_cell("hand-in", HAND_IN.format(name=name)),
        code_cell("imports", imports_source(exercises), locked=True),
    ]
    for exercise in exercises:
        cells += exercise_cells(exercise)
    metadata = {
        "kernelspec": KERNEL,
        "language_info": {"name": "python"},
        "fmcourse": {"assignment": name},
    }
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


def exercise_cells(exercise: Exercise) -> list[NotebookNode]:
    """The text, the answer, the points."""
    answer, points_cell = cell_ids(exercise)
    points = max_points(exercise)
    of = f", of={points}" if points else ""
    call = f'points("{exercise.id}", {exercise.name}{of})'
    source = f"from fmcourse.classroom import points\n\n{call}"
    return [
        markdown_cell(f"{answer}-text", task_text(exercise)),
        code_cell(answer, starter_and_solution(exercise), solution=True),
        code_cell(points_cell, source, locked=True, points=points),
    ]


def pluralize(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def markdown_cell(cell_id: str, source: str) -> NotebookNode:
    return nbformat.v4.new_markdown_cell(source, id=cell_id)


def code_cell(cell_id: str, source: str, **marks: Any) -> NotebookNode:
    """A cell with nbgrader's marks: a `solution`, or `locked`, perhaps with `points`."""
    nbgrader = {
        "grade": "points" in marks,
        "grade_id": cell_id,
        "locked": False,
        "solution": False,
        "task": False,
        "schema_version": 3,
    }
    return nbformat.v4.new_code_cell(source, id=cell_id, metadata={"nbgrader": nbgrader | marks})


# -- what stands in the cells -------------------------------------------------------------------


def task_text(exercise: Exercise) -> str:
    """The heading, and what is wanted as far as the starter does not say it."""
    dots = "●" * exercise.difficulty + "○" * (3 - exercise.difficulty)
    facts = f"{exercise.minutes} minutes · {dots} · {points_text(max_points(exercise))}"
    if isinstance(exercise, GradedExercise):
        text = exercise.text + (digits_text(exercise) if exercise.literal else "")
    else:
        lesson = lesson_reference(exercise)
        text = f"It belongs to {lesson}. What is wanted stands in the first lines."
    return f"## {exercise.id} · {exercise.goal}\n{facts}\n\n{text}"


def digits_text(exercise: GradedExercise) -> str:
    """How many digits a number needs that is typed in."""
    return (
        "\n\nA number that is not whole is best left as it was computed; if you type it, give at "
        f"least {digits_needed(exercise.tolerance)} significant digits."
    )


def lesson_reference(exercise: Exercise) -> str:
    """The lesson that an exercise comes from, with its notebook if there is one."""
    number = exercise.id.split(".")[0]
    there = sorted((ROOT / "notebooks").glob(f"{number}_*.ipynb"))
    return f"lesson {number}" + (f", `{there[0].name}`" if there else "")


def starter_and_solution(exercise: Exercise) -> str:
    """The starter, and between marks what makes an answer of it."""
    starter, solution = exercise.starter.rstrip("\n") + "\n", exercise.solution.rstrip("\n") + "\n"
    head = starter.removesuffix(starter.splitlines(keepends=True)[-1])
    if isinstance(exercise, GradedExercise) and exercise.literal:
        rest = f'{solution}\n\n{exercise.name} = {exercise.name}(variant("{exercise.id}"))\n'
    elif starter.rstrip().endswith("...") and solution.startswith(head):
        rest = solution.removeprefix(head)  # goes on below the gap, in the same block
    else:
        rest = f"\n\n{solution}"
    return starter + BEGIN_SOLUTION + rest + END_SOLUTION


def imports_source(exercises: Sequence[Exercise]) -> str:
    """What the chosen exercises may use, each line once.

    A function that another of them asks for is left to that one's answer.

    Raises: ValueError if two exercises bring different functions of one name.
    """
    imports, helpers, asked_for = {}, {}, {exercise.name for exercise in exercises}
    for exercise in exercises:
        for node in ast.parse(exercise.imports).body:
            source = ast.get_source_segment(exercise.imports, node)
            if isinstance(node, ast.Import | ast.ImportFrom):
                imports[source] = None
            elif not set(defined_names(ast.unparse(node))) & asked_for:
                helpers[source] = None
    names = [name for source in helpers for name in defined_names(source)]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(
            f"two of these exercises need a `{twice[0]}` each, and not the same: "
            "hand them out apart."
        )
    imports["from fmcourse.classroom import points, variant"] = None
    return "\n\n\n".join(["\n".join(imports), *helpers])
