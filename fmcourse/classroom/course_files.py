"""The files of a course: what lies where, names that become folders, an assignment's manifest.

    DIR/nbgrader_config.py, gradebook.db    nbgrader's own
    DIR/source/week3/                       the notebook with the answers, and records
    DIR/release/week3/                      what nbgrader makes of it: this is handed out
    DIR/variants/week3/STUDENT/             each student's numbers, to lie beside the notebook
    DIR/submitted/STUDENT/week3/            what was handed in
    DIR/autograded/STUDENT/week3/           the graded notebook
    DIR/assignments/week3.json              the manifest: what the assignment consists of

Only `release` and a student's own file of `variants` leave the instructor's machine.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from fmcourse.files import write_text

RECORDS_FILE, VARIANT_FILE = "exercises.json", "variant.json"
PLAIN_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-@")
# names that Windows keeps for itself
RESERVED_NAMES = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)
MAX_LENGTH, KEPT_LENGTH = 120, 80  # bytes of a folder's name; what is kept of a longer one
ASSIGNMENT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,49}")
FIELDS = {"name": str, "exercises": list, "variants": str | None, "students": list, "fmcourse": str}
EXERCISE_FIELDS = {"id": str, "points": int | float, "cell": str, "points_cell": str, "name": str}


# -- names --------------------------------------------------------------------------------------


def safe_name(student: str) -> str:
    """A student's id, which may be any text, as the name of a folder.

    The same one everywhere; other ids have other names, none leads elsewhere. Whatever is no plain
    letter, digit, `_`, `-`, `@` or inner dot is written as its bytes, `=C3=AB`.

    Raises: ValueError for an empty id.

    >>> safe_name("ada.lovelace@uni.edu"), safe_name("../Zoë")
    ('ada.lovelace@uni.edu', '=2E.=2FZo=C3=AB')
    """
    if not student:
        raise ValueError("a student without an id cannot be told from the others; give an id.")
    last = len(student) - 1
    name = "".join(
        letter if letter in PLAIN_LETTERS or (letter == "." and 0 < n < last) else escape(letter)
        for n, letter in enumerate(student)
    )
    if name[0] == "-" or RESERVED_NAMES.fullmatch(name):
        name = escape(name[0]) + name[1:]
    if len(name) <= MAX_LENGTH:
        return name
    digest = hashlib.sha256(student.encode(errors="surrogatepass")).hexdigest()
    return f"{name[:KEPT_LENGTH]}=={digest[:16]}"


def escape(letter: str) -> str:
    return "".join(f"={byte:02X}" for byte in letter.encode(errors="surrogatepass"))


def student_id(name: str) -> str | None:
    """The id that a folder's name stands for; None if `safe_name` makes it of no id.

    So nobody is taken for another: `=41lice` is not how Alice's folder is called. None too for a
    name that was cut.

    >>> student_id(safe_name("../Zoë")), student_id("=41lice")
    ('../Zoë', None)
    """
    if "==" in name:
        return None
    try:
        student = unquote(name.replace("%", "%25").replace("=", "%"), errors="surrogatepass")
    except UnicodeDecodeError:  # bytes that no text has
        return None
    return student if student and safe_name(student) == name else None


def printable(text: str) -> str:
    """Text that a file in UTF-8, a database and a terminal can hold.

    A folder's name may be any bytes: those that are no text stand in it as lone surrogates.

    >>> printable("Jos\\udce9")
    'Jos?'
    """
    return text.encode(errors="replace").decode()


def check_assignment_name(name: str) -> str:
    """The name of an assignment. Raises: ValueError if it could not be a folder's everywhere."""
    if not ASSIGNMENT_NAME.fullmatch(name) or RESERVED_NAMES.fullmatch(name):
        raise ValueError(
            f"{name!r} cannot be an assignment's name; use letters, digits, - and _, such as week3."
        )
    return name


# -- places -------------------------------------------------------------------------------------


def manifest_path(course: str | Path, name: str) -> Path:
    return Path(course) / "assignments" / f"{check_assignment_name(name)}.json"


def assignment_names(course: Path) -> list[str]:
    """The course's assignments, in order."""
    return sorted(path.stem for path in (course / "assignments").glob("*.json"))


def edition_folder(course: Path, edition: str, name: str) -> Path:
    """The folder of an assignment's "source", with the answers, or its "release"."""
    return course / edition / name


def notebook_path(folder: Path, name: str) -> Path:
    return folder / f"{name}.ipynb"


def variant_path(course: Path, name: str, student: str) -> Path:
    return course / "variants" / name / safe_name(student) / VARIANT_FILE


def work_folder(course: Path, step: str, student: str, name: str) -> Path:
    """The folder of a student's work, "submitted" or "autograded"."""
    return course / step / safe_name(student) / name


def results_folder(out: Path, name: str) -> Path:
    """Where the results of an assignment are kept, one file for each student."""
    return out / "results" / name


# -- the manifest -------------------------------------------------------------------------------


def read_manifest(course: str | Path, name: str) -> dict[str, Any]:
    """The manifest of an assignment.

    Raises: ValueError naming those there are, or what is wrong with it.
    """
    path = manifest_path(course, name)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(missing_message(Path(course), name)) from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}.") from None
    if fault := find_fault(found, name):
        raise ValueError(f"{path} is damaged: {fault}.")
    return found


def missing_message(course: Path, name: str) -> str:
    """The sentence for an assignment that is not there."""
    command = f"`python -m fmcourse assign ... --out {course}`"
    if not course.is_dir():
        return f"there is no folder {course}; {command} makes a course."
    there = ", ".join(assignment_names(course))
    if not there:
        return f"{course} holds no assignment yet; {command} makes one."
    return f"{course} has no assignment {name!r}; there is: {there}."


def find_fault(found: Any, name: str) -> str:
    """What keeps this from being the manifest of that assignment; nothing, if it is one."""
    if not isinstance(found, dict):
        return "it is no list of what belongs to an assignment"
    for key, kind in FIELDS.items():
        if key not in found or not isinstance(found[key], kind):
            return f"{key!r} is missing or of another kind"
    if found["name"] != name:
        return f"it is that of {found['name']!r}"
    for entry in found["exercises"]:
        if not isinstance(entry, dict) or not all(
            isinstance(entry.get(key), kind) for key, kind in EXERCISE_FIELDS.items()
        ):
            return "an exercise lacks its id, points, cells or name"
    if not all(isinstance(student, str) for student in found["students"]):
        return "a student's id is no text"
    return ""


def write_manifest(course: str | Path, manifest: dict[str, Any]) -> None:
    text = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
    write_text(manifest_path(course, manifest["name"]), text)
