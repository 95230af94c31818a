"""nbgrader's side of a course: its settings, what it makes of a notebook, and its gradebook.

The one module that imports nbgrader, and that where it is used: only instructors have it
(`python start.py setup --instructor`).
"""

import contextlib
import datetime
import html
import json
import logging
import os
import re
import stat
import sysconfig
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from fmcourse.classroom.course_files import (
    edition_folder,
    notebook_path,
    printable,
    safe_name,
    work_folder,
)
from fmcourse.classroom.results import ExerciseResult, StudentResult
from fmcourse.course.showing import render_mark
from fmcourse.files import write_text

CONFIG_FILE = "nbgrader_config.py"
CONFIG_TEMPLATE = '''"""nbgrader's settings for this course, yours to change.

Made once, by `python -m fmcourse assign`.
"""

from pathlib import Path

c = get_config()  # noqa: F821 (nbgrader brings it)

c.CourseDirectory.root = str(Path(__file__).resolve().parent)  # gradebook.db lies here too
c.CourseDirectory.course_id = {course_id!r}

# Above a solution stands what is handed out, down to its `...`: nothing has to take its place.
c.ClearSolutions.code_stub = {{"python": ""}}

c.Execute.timeout = 300  # seconds for one cell, of an answer or of its points
c.Execute.iopub_timeout = 60
c.Autograde.permissions = c.GenerateFeedback.permissions = 644
'''
TRACEBACK_END = re.compile(r"^(?:\w+\.)*\w+(?:Error|Exception|Entry): (.+)$", re.MULTILINE)
BLANK_VERDICTS = ("blank", "nothing to grade")  # verdicts on what is not there
MAX_TIMESTAMP = 200  # bytes
NBGRADER_MISSING = "nbgrader is not installed here; `python start.py setup --instructor` adds it."


def make_course_folder(course: Path) -> None:
    """Make the course's folder and settings, where there are none."""
    course.mkdir(parents=True, exist_ok=True)
    if not (course / CONFIG_FILE).exists():
        folder = course.resolve().name
        name = "".join(letter if letter.isalnum() else "-" for letter in folder) or "course"
        write_text(course / CONFIG_FILE, CONFIG_TEMPLATE.format(course_id=name))


def require_nbgrader() -> None:
    """Raises: ValueError if nbgrader is not installed."""
    try:
        import nbgrader.coursedir  # noqa: F401
    except ModuleNotFoundError:
        raise ValueError(NBGRADER_MISSING) from None


def course_directory(course: Path) -> Any:
    """nbgrader's view of the course, by the course's own settings.

    Raises: ValueError if nbgrader or the settings are missing.
    """
    require_nbgrader()
    from nbgrader.coursedir import CourseDirectory
    from traitlets.config.loader import PyFileConfigLoader

    if not (course / CONFIG_FILE).is_file():
        raise ValueError(
            f"{course} is no course: it has no {CONFIG_FILE}; "
            "`python -m fmcourse assign` makes one."
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

    logged: list[str] = []
    place.assignment_id = name
    maker = GenerateAssignment(coursedir=place, config=place.config)
    maker.force, maker.create_assignment = True, True
    with capture_log(logged), scripts_on_path():
        try:
            maker.start()
        except (Exception, SystemExit) as error:
            reason = failure_reason(logged, error)
            raise ValueError(f"nbgrader does not make {name}: {reason}") from None


def failure_reason(logged: list[str], error: BaseException) -> str:
    """The end of the last traceback that nbgrader logged, else what it raised."""
    return (TRACEBACK_END.findall("\n".join(logged)) or [str(error)])[-1]


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
def capture_log(logged: list[str]) -> Iterator[None]:
    """What nbgrader logs is appended to a list, not shown."""
    from traitlets import log

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            logged.append(record.getMessage())

    logger, keeper = log.get_logger(), Keeper()
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
    return {"lms_user_id": printable(student)[:128]} if safe_name(student) != student else {}


# -- grades -------------------------------------------------------------------------------------


def write_grades(course: Path, manifest: dict[str, Any], results: Sequence[StudentResult]) -> None:
    """Put results into the gradebook, and write the graded notebooks that formgrader shows.

    Written twice, a result is there once. An exercise without a result counts as blank.

    Raises: ValueError if the gradebook does not know the assignment; or, once everybody else's are
        there, naming those whose results could not be written.
    """
    from nbgrader.api import MissingEntry

    course, name = Path(course), manifest["name"]
    path = notebook_path(edition_folder(course, "release", name), name)
    if not path.is_file():
        raise ValueError(
            f"{path} is not there; `python -m fmcourse assign ... --name {name}` makes it again."
        )
    blank = nbformat.read(path, as_version=4)
    failures: list[str] = []
    try:
        with open_gradebook(course) as book:
            for result in results:
                with note_failure(result.student, failures):
                    when = submission_time(course, name, result.student)
                    put_scores(book, manifest, result, when)
    except MissingEntry:
        raise ValueError(
            f"the gradebook of {course} does not know {name}; `python -m fmcourse assign` adds it."
        ) from None
    for result in results:
        with note_failure(result.student, failures):
            graded = notebook_path(work_folder(course, "autograded", result.student, name), name)
            overwrite(graded, nbformat.writes(graded_notebook(blank, manifest, result)) + "\n")
    if failures:
        raise ValueError(
            f"the gradebook of {course} lacks these results, all others are there: "
            f"{'; '.join(failures)}."
        )


@contextlib.contextmanager
def note_failure(student: str, failures: list[str]) -> Iterator[None]:
    """Note what goes wrong with one student's result: it must not end that of the others.

    Raises: what would go wrong with every student's.
    """
    from nbgrader.api import MissingEntry
    from sqlalchemy.exc import OperationalError

    try:
        yield
    except (MissingEntry, OperationalError):
        raise
    except Exception as error:
        failures.append(f"{printable(student)} ({type(error).__name__})")


def submission_time(course: Path, name: str, student: str) -> datetime.datetime | None:
    """When a work was handed in, by the file that nbgrader writes beside it; None without one."""
    from nbgrader.utils import parse_utc

    path = work_folder(course, "submitted", student, name) / "timestamp.txt"
    try:
        if not is_small_file(path):
            return None
        return parse_utc(path.read_text(encoding="utf-8").strip())
    except Exception:  # a student can write there; what the parser raises on it is its own
        return None


def is_small_file(path: Path) -> bool:
    """Is it a plain file of a few bytes? A pipe, or a link to a device, would never end."""
    found = path.lstat()
    return stat.S_ISREG(found.st_mode) and found.st_size <= MAX_TIMESTAMP


def put_scores(
    book: Any, manifest: dict[str, Any], result: StudentResult, when: datetime.datetime | None
) -> None:
    """The scores of one student."""
    name, student = manifest["name"], safe_name(result.student)
    book.update_or_create_student(student, **lms_fields(result.student))
    submission = book.update_or_create_submission(name, student)
    # as formgrader finds it in the folder, or it asks to have the work graded again
    submission.timestamp = when
    for entry in manifest["exercises"]:
        found = result.exercises.get(entry["id"])
        grade = book.find_grade(entry["points_cell"], name, name, student)
        grade.auto_score, grade.needs_manual_grade = float(found.points if found else 0.0), False
        comment = book.find_comment(entry["cell"], name, name, student)
        blank = found is None or found.verdict in BLANK_VERDICTS
        comment.auto_comment = "No response." if blank else None
    book.db.commit()


def overwrite(path: Path, text: str) -> None:
    """Write over a file, also where nbgrader has made it read-only."""
    if path.exists():
        os.chmod(path, 0o644)
    write_text(path, text)


def graded_notebook(
    blank: NotebookNode, manifest: dict[str, Any], result: StudentResult
) -> NotebookNode:
    """The notebook with a student's code, and what is said of it where the points stand."""
    book = nbformat.from_dict(json.loads(json.dumps(blank)))
    cells = {cell.metadata.get("nbgrader", {}).get("grade_id"): cell for cell in book.cells}
    for entry in manifest["exercises"]:
        found = result.exercises.get(entry["id"])
        if found is not None and found.code.strip():
            cells[entry["cell"]].source = printable(found.code)
        cells[entry["points_cell"]].outputs = points_outputs(entry, found)
    if result.remarks:
        source = f"**Of what was handed in:**\n\n{remarks_html(result.remarks)}"
        book.cells.insert(1, nbformat.v4.new_markdown_cell(source, id="remarks"))
    return book


def remarks_html(remarks: Sequence[str]) -> str:
    """Remarks as they are, each on one line: Markdown must find nothing in them."""
    lines = [html.escape(printable(remark)).replace("\n", " ") for remark in remarks]
    return "".join(f"<pre>{line}</pre>" for line in lines)


def points_outputs(entry: dict[str, Any], found: ExerciseResult | None) -> list[NotebookNode]:
    """A points cell's outputs: the card, and the number that nbgrader reads."""
    if found is None:
        points, parts = 0.0, ("blank", 0.0, entry["points"])
        lines = [[], []]
    else:
        points, parts = found.points, (found.verdict, found.points, found.of)
        lines = [[printable(line) for line in part] for part in (found.sentences, found.table)]
    text, page = render_mark(entry["id"], *parts, *lines)
    card = nbformat.v4.new_output("display_data", {"text/plain": text, "text/html": page})
    number = nbformat.v4.new_output(
        "execute_result", {"text/plain": repr(float(points))}, execution_count=None
    )
    return [card, number]
