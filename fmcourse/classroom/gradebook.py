"""nbgrader's side of a course: its settings, what it makes of a notebook, and its gradebook.

nbgrader is imported where it is used: only instructors have it (`python start.py setup --instructor`).
"""

import contextlib
import datetime
import html
import json
import logging
import os
import re
import sysconfig
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from fmcourse.classroom import handout
from fmcourse.classroom.names import safe_name
from fmcourse.files import write_text

CONFIG_FILE = "nbgrader_config.py"
CONFIG_TEMPLATE = '''"""nbgrader's settings for this course, made once by `python -m fmcourse assign`; yours to change."""

from pathlib import Path

c = get_config()  # noqa: F821 (nbgrader brings it)

c.CourseDirectory.root = str(Path(__file__).resolve().parent)  # gradebook.db lies here too
c.CourseDirectory.course_id = {course_id!r}

# Above a solution stands what is handed out, down to its `...`: nothing has to take the solution's place.
c.ClearSolutions.code_stub = {{"python": ""}}

c.Execute.timeout = 300  # seconds for one cell, of an answer or of its points
c.Execute.iopub_timeout = 60
c.Autograde.permissions = c.GenerateFeedback.permissions = 644
'''
BLANK_VERDICTS = ("blank", "nothing to grade")  # verdicts on what is not there
NBGRADER_MISSING = "nbgrader is not installed here; `python start.py setup --instructor` adds it."


def make_course_folder(course: Path) -> None:
    """Make the course's folder and settings, where there are none."""
    course.mkdir(parents=True, exist_ok=True)
    if not (course / CONFIG_FILE).exists():
        name = (
            "".join(letter if letter.isalnum() else "-" for letter in course.resolve().name)
            or "course"
        )
        write_text(course / CONFIG_FILE, CONFIG_TEMPLATE.format(course_id=name))


def require_nbgrader() -> None:
    """Raises: ValueError if nbgrader is not installed."""
    try:
        import nbgrader.coursedir  # noqa: F401
    except ModuleNotFoundError:
        raise ValueError(NBGRADER_MISSING) from None


def course_directory(course: Path) -> Any:
    """nbgrader's picture of the course, by the course's own settings. Raises: ValueError if nbgrader or they are missing."""
    require_nbgrader()
    from nbgrader.coursedir import CourseDirectory
    from traitlets.config.loader import PyFileConfigLoader

    if not (course / CONFIG_FILE).is_file():
        raise ValueError(
            f"{course} is no course: it has no {CONFIG_FILE}; `python -m fmcourse assign` makes one."
        )
    try:
        config = PyFileConfigLoader(CONFIG_FILE, path=str(course.resolve())).load_config()
        return CourseDirectory(config=config)
    except Exception as error:  # what an instructor wrote there
        raise ValueError(
            f"{course / CONFIG_FILE} cannot be used: {type(error).__name__}: {error}."
        ) from None


@contextlib.contextmanager
def open_gradebook(course: Path) -> Iterator[Any]:
    """The gradebook. Raises: ValueError if it is not one, or another program has it."""
    place = course_directory(course)
    from nbgrader.api import Gradebook
    from sqlalchemy.exc import SAWarning, SQLAlchemyError

    try:
        with (
            warnings.catch_warnings(),
            scripts_on_path(),
            Gradebook(place.db_url, place.course_id) as book,
        ):
            warnings.simplefilter("ignore", SAWarning)  # of nbgrader's own doing
            yield book
    except SQLAlchemyError as error:
        raise ValueError(
            f"the gradebook of {course} cannot be used: {str(error).splitlines()[0]}."
        ) from None


def make_release(course: Path, name: str) -> None:
    """Let nbgrader make what is handed out. Raises: ValueError with its reason, if it refuses."""
    place = course_directory(course)
    from nbgrader.converters import GenerateAssignment

    said: list[str] = []
    place.assignment_id = name
    maker = GenerateAssignment(coursedir=place, config=place.config)
    maker.force, maker.create_assignment = True, True
    with capture_log(said), scripts_on_path():
        try:
            maker.start()
        except (Exception, SystemExit) as error:
            raise ValueError(
                f"nbgrader does not make {name}: {failure_reason(said, error)}"
            ) from None


def failure_reason(said: list[str], error: BaseException) -> str:
    """The end of the last traceback that nbgrader logged, else what it raised."""
    ends = re.findall(
        r"^(?:\w+\.)*\w+(?:Error|Exception|Entry): (.+)$", "\n".join(said), re.MULTILINE
    )
    return (ends or [str(error)])[-1]


@contextlib.contextmanager
def scripts_on_path() -> Iterator[None]:
    """Have nbgrader find what was installed with it: it calls `alembic` by name."""
    before = os.environ.get("PATH", "")
    os.environ["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), before])
    try:
        yield
    finally:
        os.environ["PATH"] = before


@contextlib.contextmanager
def capture_log(said: list[str]) -> Iterator[None]:
    """What nbgrader logs is kept, not shown."""
    from traitlets import log

    logger, keeper = log.get_logger(), logging.Handler()
    keeper.emit = lambda record: said.append(record.getMessage())
    before, propagate = list(logger.handlers), logger.propagate
    logger.handlers, logger.propagate = [keeper], False
    try:
        yield
    finally:
        logger.handlers, logger.propagate = before, propagate


def add_students(course: Path, students: Sequence[str]) -> None:
    """Put students into the gradebook; those who are in it stay as they are."""
    with open_gradebook(course) as book:
        for student in students:
            book.update_or_create_student(safe_name(student), **lms_fields(student))


def lms_fields(student: str) -> dict[str, str]:
    """Where a folder's name is not the student's id, the gradebook keeps the id too."""
    return {"lms_user_id": student[:128]} if safe_name(student) != student else {}


# -- grades ---------------------------------------------------------------------------------------------------------------


def write_grades(course: Path, manifest: dict[str, Any], results: list[dict[str, Any]]) -> None:
    """Put results into the gradebook, and beside it the graded notebooks: what formgrader and feedback show.

    A result tells of one student: {"student", "exercises": {id: {"points", "of", "verdict", "sentences", "table", "code"}},
    "remarks"}. Written twice, it is there once. Raises: ValueError if the gradebook does not know the assignment.
    """
    from nbgrader.api import MissingEntry

    course, name = Path(course), manifest["name"]
    path = course / "release" / name / f"{name}.ipynb"
    if not path.is_file():
        raise ValueError(
            f"{path} is not there; `python -m fmcourse assign ... --name {name}` makes it again."
        )
    blank = nbformat.read(path, as_version=4)
    try:
        with open_gradebook(course) as book:
            for result in results:
                put_scores(
                    book,
                    manifest,
                    result,
                    submission_time(course, name, safe_name(result["student"])),
                )
    except MissingEntry:
        raise ValueError(
            f"the gradebook of {course} does not know {name}; `python -m fmcourse assign` adds it."
        ) from None
    for result in results:
        graded = course / "autograded" / safe_name(result["student"]) / name / f"{name}.ipynb"
        overwrite(graded, nbformat.writes(graded_notebook(blank, manifest, result)) + "\n")


def submission_time(course: Path, name: str, folder: str) -> datetime.datetime | None:
    """When, by the file that nbgrader and its exchange write beside what was collected; None if nothing says so."""
    from nbgrader.utils import parse_utc

    try:
        return parse_utc(
            (course / "submitted" / folder / name / "timestamp.txt")
            .read_text(encoding="utf-8")
            .strip()
        )
    except (OSError, ValueError):
        return None


def put_scores(
    book: Any, manifest: dict[str, Any], result: dict[str, Any], when: datetime.datetime | None
) -> None:
    """The scores of one student."""
    name, student = manifest["name"], safe_name(result["student"])
    book.update_or_create_student(student, **lms_fields(result["student"]))
    submission = book.update_or_create_submission(name, student)
    submission.timestamp = (
        when  # as formgrader finds it in the folder, or it asks to have it graded again
    )
    for entry in manifest["exercises"]:
        got = result["exercises"].get(entry["id"], {})
        grade = book.find_grade(entry["points_cell"], name, name, student)
        grade.auto_score, grade.needs_manual_grade = float(got.get("points", 0.0)), False
        comment = book.find_comment(entry["cell"], name, name, student)
        comment.auto_comment = (
            "No response." if got.get("verdict", "blank") in BLANK_VERDICTS else None
        )
    book.db.commit()


def overwrite(path: Path, text: str) -> None:
    """Write over a file, also where nbgrader has made it read-only."""
    if path.exists():
        os.chmod(path, 0o644)
    write_text(path, text)


def graded_notebook(
    blank: NotebookNode, manifest: dict[str, Any], result: dict[str, Any]
) -> NotebookNode:
    """The notebook with a student's code, and what is said of it where the points stand."""
    book = nbformat.from_dict(json.loads(json.dumps(blank)))
    cells = {cell.metadata.get("nbgrader", {}).get("grade_id"): cell for cell in book.cells}
    for entry in manifest["exercises"]:
        got = result["exercises"].get(
            entry["id"], {"points": 0.0, "of": entry["points"], "verdict": "blank"}
        )
        if str(got.get("code", "")).strip():
            cells[entry["cell"]].source = printable(got["code"])
        cells[entry["points_cell"]].outputs = points_outputs(entry["id"], got)
    if result.get("remarks"):
        remarks = "".join(
            f"<pre>{html.escape(printable(remark)).replace(chr(10), ' ')}</pre>"
            for remark in result["remarks"]
        )
        book.cells.insert(
            1,
            nbformat.v4.new_markdown_cell(f"**Of what was handed in:**\n\n{remarks}", id="remarks"),
        )
    return book


def printable(text: str) -> str:
    """Text that a file in UTF-8 can hold."""
    return text.encode(errors="replace").decode()


def points_outputs(exercise_id: str, got: dict[str, Any]) -> list[NotebookNode]:
    """A points cell's outputs: the card, and the number that nbgrader reads."""
    lines = [[printable(line) for line in got.get(part, ())] for part in ("sentences", "table")]
    text, page = handout.render_mark(exercise_id, got["verdict"], got["points"], got["of"], *lines)
    card = nbformat.v4.new_output("display_data", {"text/plain": text, "text/html": page})
    number = nbformat.v4.new_output(
        "execute_result", {"text/plain": repr(float(got["points"]))}, execution_count=None
    )
    return [card, number]
