"""From a lesson's source to the notebook that it becomes, before anything is run.

A lesson is a percent script. The one thing that it does not spell out is an exercise: a code cell marked
`# %% exercise="06.1"` becomes a heading and the starter, both made from the exercise's object, so that its words
stand in one place. A body under the marker replaces the line that checks the answer.
"""

import ast
import copy
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[1]
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
LANGUAGE = {
    "file_extension": ".py",
    "mimetype": "text/x-python",
    "name": "python",
    "pygments_lexer": "ipython3",
}
EXERCISE_FIELDS = (
    "id",
    "goal",
    "minutes",
    "difficulty",
    "starter",
    "solution",
)  # what a built notebook can depend on
PROOF = """

_answer = {name}
...

assert {name} is _answer, "check({id!r}) does not call the solution right"
"""
TOOL_COMMENT = re.compile(
    r" *# (?:fmt|noqa|type)\b.*$", re.MULTILINE
)  # remarks that tell a reader nothing
Find = Callable[[str], Any]  # an exercise's id -> its object


@dataclass(frozen=True)
class Lesson:
    """One lesson: its source and where its notebook lies."""

    root: Path
    name: str

    @property
    def number(self) -> str:
        return self.name.split("_")[0]

    @property
    def source(self) -> Path:
        return self.root / "lessons" / self.name / "lesson.py"

    @property
    def notebook(self) -> Path:
        return self.root / "notebooks" / f"{self.name}.ipynb"


def all_lessons(root: Path = ROOT, wanted: list[str] | None = None) -> list[Lesson]:
    """The lessons under `root` in order, or those of them whose number or name is `wanted`.

    Raises: ValueError naming the lessons there are, if one that is wanted is not among them.
    """
    lessons = [
        Lesson(root, path.parent.name)
        for path in sorted((root / "lessons").glob("[0-9][0-9]*_*/lesson.py"))
    ]
    known = {key: lesson for lesson in lessons for key in (lesson.number, lesson.name)}
    if unknown := [word for word in wanted or [] if word not in known]:
        there = ", ".join(lesson.number for lesson in lessons) or "none"
        raise ValueError(f"no lesson is called {unknown[0]!r}; there are: {there}.")
    return [known[word] for word in wanted] if wanted else lessons


def find_exercise(exercise_id: str) -> Any:
    """The course's exercise of that id. (Imported late: a lesson without exercises needs no course.)"""
    from fmcourse.course.library import find_exercise

    return find_exercise(exercise_id)


def to_notebook(lesson: Lesson, find: Find = find_exercise) -> NotebookNode:
    """The notebook of a lesson: exercises spelt out, ids that stay, nothing run yet."""
    source = lesson.source.read_text(encoding="utf-8")
    cells, used = [], []
    for cell in jupytext.reads(source, fmt="py:percent").cells:
        if exercise_id := cell.metadata.pop("exercise", None):
            used.append(find(exercise_id))
            cells += exercise_cells(used[-1], cell)
        elif cell.cell_type != "raw" and cell.source.strip():
            cell.source = (
                TOOL_COMMENT.sub("", cell.source) if cell.cell_type == "code" else cell.source
            )
            cells.append(cell)
    name_cells(lesson.number, cells)
    metadata = {
        "kernelspec": KERNEL,
        "language_info": LANGUAGE,
        "fmcourse": {"source_sha256": digest(source, used)},
    }
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


def exercise_cells(exercise: Any, marker: NotebookNode) -> list[NotebookNode]:
    """The heading that says what to do and how to get help, and the starter with the line that checks it."""
    dots = "●" * exercise.difficulty + "○" * (3 - exercise.difficulty)
    heading = (
        f"### Exercise {exercise.id} · {exercise.goal}\n"
        f'{exercise.minutes} minutes · {dots} · stuck: `hint("{exercise.id}")`, the answer: `solution("{exercise.id}")`'
    )
    code = nbformat.v4.new_code_cell(
        exercise.starter.rstrip() + "\n\n" + (marker.source.strip() or check_line(exercise))
    )
    code.metadata.update(
        fmcourse={"exercise": exercise.id}, tags=["exercise", *marker.metadata.get("tags", [])]
    )
    return [nbformat.v4.new_markdown_cell(heading), code]


def check_line(exercise: Any) -> str:
    """The line that has an answer checked."""
    return f'{answer_name(exercise)} = check("{exercise.id}", {answer_name(exercise)})'


def answer_name(exercise: Any) -> str:
    """What an exercise asks for: the last function or class that its starter defines at the outer level."""
    kinds = ast.FunctionDef | ast.ClassDef
    names = [node.name for node in ast.parse(exercise.starter).body if isinstance(node, kinds)]
    if not names:
        raise ValueError(f"the starter of exercise {exercise.id} defines no function and no class.")
    return names[-1]


def name_cells(number: str, cells: list[NotebookNode]) -> None:
    """Ids made from what a cell says, so that adding a cell renames no other."""
    seen: dict[str, int] = {}
    for cell in cells:
        stem = f"{number}-{hashlib.sha256(cell.source.encode()).hexdigest()[:8]}"
        seen[stem] = seen.get(stem, 0) + 1
        cell["id"] = stem if seen[stem] == 1 else f"{stem}-{seen[stem]}"


def digest(source: str, used: list[Any]) -> str:
    """What a built notebook was made from: the lesson's text and the exercises it shows."""
    parts = [
        source,
        *(
            [getattr(exercise, field) for field in EXERCISE_FIELDS] + feedback_of(exercise)
            for exercise in used
        ),
    ]
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()


def feedback_of(exercise: Any) -> list[Any]:
    """What a page may quote where it has a wrong answer checked: the cases, and what is said of each mistake."""
    mistakes = [
        [mistake.name, mistake.explanation] for mistake in getattr(exercise, "mistakes", ())
    ]
    return [outline(list(getattr(exercise, "cases", ()))), mistakes]


def outline(value: Any) -> Any:
    """Texts and numbers as they are; of a tensor only its shape, for its last digits may be the machine's."""
    if isinstance(value, list | tuple):
        return [outline(part) for part in value]
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str | int | None):
        return value
    return [type(value).__name__, list(getattr(value, "shape", ()))]


def exercises_of(notebook: NotebookNode) -> list[str]:
    """Ids of the exercises in a notebook, in order."""
    cells = (cell.metadata.get("fmcourse", {}) for cell in notebook.cells)
    return [entry["exercise"] for entry in cells if "exercise" in entry]


def solved_edition(
    notebook: NotebookNode, find: Find = find_exercise, prove: bool = False
) -> NotebookNode:
    """The edition in which every starter has become its solution; the checks stay.

    With `prove`, a cell stops where its check hands back anything but the solution itself: it did not call it right.
    """
    edition = copy.deepcopy(notebook)
    for cell in edition.cells:
        if exercise_id := cell.metadata.get("fmcourse", {}).get("exercise"):
            exercise = find(exercise_id)
            starter, name = exercise.starter.rstrip(), answer_name(exercise)
            if not cell.source.startswith(starter):
                raise ValueError(
                    f"exercise {exercise_id} does not begin with its starter; build the lesson again."
                )
            before, after = (
                PROOF.format(id=exercise_id, name=name).split("...") if prove else ("", "")
            )
            cell.source = (
                exercise.solution.rstrip() + before + cell.source.removeprefix(starter) + after
            )
    return edition


def to_json(notebook: NotebookNode) -> str:
    """One spelling for each notebook: sorted keys, one text line a line, a line end at the end."""
    nbformat.validate(notebook)
    return nbformat.writes(notebook) + "\n"
