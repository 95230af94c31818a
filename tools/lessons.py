"""From a lesson's source to its notebook, before anything is run.

A lesson is a percent script, `lessons/NN_name/lesson.py`. Two kinds of cells are expanded:

- a code cell marked `# %% exercise="06.1"` becomes a heading and the starter, both made from the
  exercise's object, so that its text stands in one place. A body under the marker replaces the
  line that checks the answer;
- the raw cell at the top is the lesson's header, in TOML: `builds`, one line for README.md;
  `terms`, the words that the lesson defines; and the table `reads`, which names the functions and
  classes of the package that the lesson builds. The reading path is made from it.

`{minutes}` in the first text cell becomes the minutes that the lesson takes, see `count_minutes`.

A lesson that is two keeps its number: 07 and 07b.

    python -m tools.lessons [NN ...]     print titles, minutes and reading paths
"""

import ast
import copy
import hashlib
import json
import math
import re
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbformat import NotebookNode

from tools import reading
from tools.definitions import REFERENCES, is_reading_cell

ROOT = Path(__file__).resolve().parents[1]
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
LANGUAGE = {
    "file_extension": ".py",
    "mimetype": "text/x-python",
    "name": "python",
    "pygments_lexer": "ipython3",
}
# The fields of an exercise that a built notebook depends on.
EXERCISE_FIELDS = ("id", "goal", "minutes", "difficulty", "starter", "solution")
PROOF = """

_answer = {name}
...

assert {name} is _answer, "check({id!r}) does not call the solution right"
"""
# Comments for ruff and for type checkers stay in the source; a reader has no use for them.
TOOL_COMMENT = re.compile(r" *# (?:fmt|noqa|type)\b.*$", re.MULTILINE)
NUMBER = re.compile(r"\d\d[a-z]?")
HEADING = re.compile(r"# (\d\d[a-z]?) · (.+)")
MINUTES = re.compile(r"(\d+|\{minutes\}) minutes\s+to\s+read\s+and\s+do")
PLACEHOLDER, MAP = "{minutes}", "{map of the course}"
PLACES = 3  # of a lesson in the map: objective, architecture, data
WORDS_A_MINUTE, COMPUTING_MINUTES, ROUND_TO = 150, 2, 5
Find = Callable[[str], Any]  # an exercise's id -> its object


@dataclass(frozen=True)
class Header:
    """What other pages say about a lesson.

    Args:
        title: the heading of its first text cell, without the number.
        minutes: to read and do it, from the same cell; counted, if that says `{minutes}`.
        builds: what the learner builds, one line for README.md.
        reads: module -> names in it that the lesson builds; see `tools.reading`.
        terms: the words that the lesson defines, or None if it is not written to that standard.
        place: its place in the course's map: objective, architecture, data.
    """

    title: str
    minutes: int
    builds: str
    reads: dict[str, list[str]]
    terms: list[str] | None = None
    place: tuple[str, ...] = ()


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
    def exercises(self) -> Path:
        return self.source.with_name("exercises.py")

    @property
    def notebook(self) -> Path:
        return self.root / "notebooks" / f"{self.name}.ipynb"

    @property
    def guide(self) -> Path:
        return self.root / "instructor" / self.number / "guide.md"

    def cells(self) -> list[NotebookNode]:
        """The cells of the source, as they are written."""
        return parse_cells(self.source.read_text(encoding="utf-8"))

    def header(self) -> Header:
        """Title and minutes from the first text cell, the rest from the raw cell above it.

        Raises: ValueError naming what is missing.
        """
        cells = self.cells()
        fields = header_fields(self.name, cells)
        first = next((cell.source for cell in cells if cell.cell_type == "markdown"), "")
        heading, minutes = HEADING.match(first), MINUTES.search(first)
        if not heading or heading[1] != self.number or not minutes:
            raise ValueError(
                f"the first text cell of {self.name} must begin with `# {self.number} · Title` "
                "and say `N minutes to read and do`."
            )
        counted = minutes[1] == PLACEHOLDER
        n = count_minutes(cells, self.exercises) if counted else int(minutes[1])
        title, terms = heading[2].strip(), fields.get("terms")
        place = tuple(fields.get("place", ()))
        return Header(title, n, fields["builds"], fields["reads"], terms, place)


def all_lessons(root: Path = ROOT, wanted: list[str] | None = None) -> list[Lesson]:
    """The lessons under `root` in order, or the `wanted` ones, by number ("07b", "7b") or name.

    Raises: ValueError naming the lessons there are, if one that is wanted is not among them.
    """
    folders = [path.parent.name for path in sorted((root / "lessons").glob("*_*/lesson.py"))]
    lessons = [Lesson(root, name) for name in folders if NUMBER.fullmatch(name.split("_")[0])]
    known = {
        word: lesson
        for lesson in lessons
        for word in (lesson.number, lesson.number.removeprefix("0"), lesson.name)
    }
    if unknown := [word for word in wanted or [] if word not in known]:
        there = ", ".join(lesson.number for lesson in lessons) or "none"
        raise ValueError(f"no lesson is called {unknown[0]!r}; there are: {there}.")
    return [known[word] for word in wanted] if wanted else lessons


def find_exercise(exercise_id: str) -> Any:
    """The course's exercise of that id."""
    # Imported late: it imports torch, which a lesson without exercises does not need.
    from fmcourse.course.library import find_exercise

    return find_exercise(exercise_id)


def count_minutes(cells: list[NotebookNode], exercises: Path) -> int:
    """What a lesson takes: reading, a minute for each code cell, its exercises, the computing.

    Args:
        exercises: the file whose exercises say their minutes; it is read and not imported, so that
            README.md's table needs no torch.
    """
    texts = [cell.source for cell in cells if cell.cell_type == "markdown"]
    words = sum(count_words(text) for text in texts if not text.startswith(REFERENCES))
    markers = [cell.metadata.get("exercise") for cell in cells if cell.cell_type == "code"]
    known = exercise_minutes(exercises)
    minutes = words / WORDS_A_MINUTE + COMPUTING_MINUTES
    minutes += sum(known.get(marker, 0) if marker else 1 for marker in markers)
    return math.ceil(minutes / ROUND_TO) * ROUND_TO


def exercise_minutes(path: Path) -> dict[str, int]:
    """The minutes of the exercises in a file, by id."""
    if not path.is_file():
        return {}
    calls = (
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    )
    found = {}
    for call in calls:
        given = {keyword.arg: keyword.value for keyword in call.keywords}
        name = call.args[0] if call.args else given.get("id")
        if call.func.id == "Exercise" and "minutes" in given and isinstance(name, ast.Constant):
            found[name.value] = ast.literal_eval(given["minutes"])
    return found


def count_words(text: str) -> int:
    """Words of running text: no addresses, no rows of tables, no punctuation standing alone."""
    text = re.sub(r"https?://\S+", "", re.sub(r"\]\([^)]*\)", "]", text))
    text = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("|"))
    return sum(any(letter.isalnum() for letter in word) for word in text.split())


def parse_cells(source: str) -> list[NotebookNode]:
    """The cells of a percent script, as they are written."""
    return copy.deepcopy(parse_once(source))  # callers expand and renumber them


@lru_cache(maxsize=64)
def parse_once(source: str) -> list[NotebookNode]:
    """Parsed once for each text: header, minutes, terms and references all ask for the cells."""
    return jupytext.reads(source, fmt="py:percent").cells


def header_fields(name: str, cells: list[NotebookNode]) -> dict[str, Any]:
    """What the raw cell at the top of a lesson says.

    Raises: ValueError if it is missing or incomplete.
    """
    raw = next((cell.source for cell in cells if cell.cell_type == "raw"), "")
    try:
        fields = tomllib.loads(raw)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"the header of {name} is not TOML: {error}.") from None
    if missing := [key for key in ("builds", "reads") if key not in fields]:
        raise ValueError(
            f"the header of {name}, the raw cell at its top, has no {missing[0]!r}; "
            "CONTRIBUTING.md shows one."
        )
    return fields


def to_notebook(lesson: Lesson, find: Find = find_exercise) -> NotebookNode:
    """The notebook of a lesson, not run yet: exercises expanded, ids that stay."""
    source = lesson.source.read_text(encoding="utf-8")
    parsed = parse_cells(source)
    cells, used = [], []
    for cell in parsed:
        if exercise_id := cell.metadata.pop("exercise", None):
            used.append(find(exercise_id))
            cells += exercise_cells(used[-1], cell)
        elif cell.cell_type != "raw" and cell.source.strip():
            cell.source = (
                TOOL_COMMENT.sub("", cell.source) if cell.cell_type == "code" else cell.source
            )
            cells.append(cell)
    first = next((cell for cell in cells if cell.cell_type == "markdown"), None)
    if first is not None and PLACEHOLDER in first.source:
        first.source = first.source.replace(PLACEHOLDER, str(lesson.header().minutes))
    for cell in cells:
        if cell.cell_type == "markdown" and MAP in cell.source:
            cell.source = cell.source.replace(MAP, course_map(lesson.root))
    name_cells(lesson.number, cells)
    if any(cell.cell_type == "raw" for cell in parsed):
        insert_reading_path(lesson.number, cells, header_fields(lesson.name, parsed)["reads"])
    metadata = {
        "kernelspec": KERNEL,
        "language_info": LANGUAGE,
        "fmcourse": {"source_sha256": digest(source, used)},
    }
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


def course_map(root: Path) -> str:
    """A table of all lessons under `root`: what is trained there, for what and on what."""
    rows = ["| lesson | objective | architecture | data |", "|---|---|---|---|"]
    for lesson in all_lessons(root):
        header = lesson.header()
        if len(header.place) != PLACES:
            raise ValueError(
                f"the header of {lesson.name} gives {len(header.place)} parts of `place`; "
                "the course's map wants three: objective, architecture, data."
            )
        rows.append(f"| {lesson.number} {header.title} | {' | '.join(header.place)} |")
    return "\n".join(rows)


def insert_reading_path(
    number: str, cells: list[NotebookNode], reads: dict[str, list[str]]
) -> None:
    """Put the reading path before the first code cell, under an id that does not change."""
    if not reads:
        return
    cell = nbformat.v4.new_markdown_cell(reading.as_markdown(reading.reading_path(reads)))
    cell["id"], cell.metadata["fmcourse"] = f"{number}-reading", {"reading": True}
    kinds = [other.cell_type for other in cells]
    cells.insert(kinds.index("code") if "code" in kinds else len(cells), cell)


def reading_cell(notebook: NotebookNode) -> NotebookNode | None:
    """The cell with the reading path, if the notebook has one."""
    return next((cell for cell in notebook.cells if is_reading_cell(cell)), None)


def exercise_cells(exercise: Any, marker: NotebookNode) -> list[NotebookNode]:
    """The heading with goal and help, and the starter with the line that checks it."""
    dots = "●" * exercise.difficulty + "○" * (3 - exercise.difficulty)
    heading = (
        f"### Exercise {exercise.id} · {exercise.goal}\n"
        f'{exercise.minutes} minutes · {dots} · stuck: `hint("{exercise.id}")`, '
        f'the answer: `solution("{exercise.id}")`'
    )
    code = nbformat.v4.new_code_cell(
        exercise.starter.rstrip() + "\n\n" + (marker.source.strip() or check_line(exercise))
    )
    code.metadata.update(
        fmcourse={"exercise": exercise.id}, tags=["exercise", *marker.metadata.get("tags", [])]
    )
    return [nbformat.v4.new_markdown_cell(heading), code]


def check_line(exercise: Any) -> str:
    """The line of code that checks an answer."""
    return f'{answer_name(exercise)} = check("{exercise.id}", {answer_name(exercise)})'


def answer_name(exercise: Any) -> str:
    """What the learner writes: the last function or class that the starter defines at top level."""
    definition = ast.FunctionDef | ast.ClassDef
    body = ast.parse(exercise.starter).body
    names = [node.name for node in body if isinstance(node, definition)]
    if not names:
        raise ValueError(f"the starter of exercise {exercise.id} defines no function and no class.")
    return names[-1]


def name_cells(number: str, cells: list[NotebookNode]) -> None:
    """Give each cell an id made from its source, so that a new cell changes no other's id."""
    seen: dict[str, int] = {}
    for cell in cells:
        stem = f"{number}-{hashlib.sha256(cell.source.encode()).hexdigest()[:8]}"
        seen[stem] = seen.get(stem, 0) + 1
        cell["id"] = stem if seen[stem] == 1 else f"{stem}-{seen[stem]}"


def digest(source: str, used: list[Any]) -> str:
    """A hash of what a notebook is made from: the lesson's text and the exercises it shows."""
    parts: list[Any] = [source]
    for exercise in used:
        parts.append(
            [getattr(exercise, field) for field in EXERCISE_FIELDS] + feedback_of(exercise)
        )
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()


def feedback_of(exercise: Any) -> list[Any]:
    """What outputs may quote about a wrong answer: the cases and the mistakes' explanations."""
    mistakes = [
        [mistake.name, mistake.explanation] for mistake in getattr(exercise, "mistakes", ())
    ]
    return [outline(list(getattr(exercise, "cases", ()))), mistakes]


def outline(value: Any) -> Any:
    """Strings and numbers; of a tensor, whose last digits differ by machine, the shape."""
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
    """A copy in which every starter is replaced by its solution; the checks stay.

    With `prove`, a cell raises where its check returns anything but the solution itself, since
    `check` returns an answer only if it is right. Raises: ValueError if a cell does not begin with
    the starter of its exercise.
    """
    edition = copy.deepcopy(notebook)
    for cell in edition.cells:
        if exercise_id := cell.metadata.get("fmcourse", {}).get("exercise"):
            cell.source = solved_source(cell.source, find(exercise_id), prove)
    return edition


def solved_source(source: str, exercise: Any, prove: bool) -> str:
    """The source of an exercise's cell with the solution in place of the starter."""
    starter = exercise.starter.rstrip()
    if not source.startswith(starter):
        raise ValueError(
            f"exercise {exercise.id} does not begin with its starter; build the lesson again."
        )
    before, after = "", ""
    if prove:
        before, after = PROOF.format(id=exercise.id, name=answer_name(exercise)).split("...")
    return exercise.solution.rstrip() + before + source.removeprefix(starter) + after


def to_json(notebook: NotebookNode) -> str:
    """The text of a notebook's file, one way only: sorted keys, a line of source on each line."""
    nbformat.validate(notebook)
    return nbformat.writes(notebook) + "\n"


def main(arguments: list[str]) -> int:
    for lesson in all_lessons(wanted=arguments):
        header = lesson.header()
        print(f"{lesson.number} · {header.title} · {header.minutes} minutes")
        print(reading.as_markdown(reading.reading_path(header.reads)), end="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
