"""What an assignment consists of, in one small file of the course: `assignments/NAME.json`."""

import json
from pathlib import Path
from typing import Any

from fmcourse.classroom.names import check_assignment_name
from fmcourse.files import write_text

FIELDS = {"name": str, "exercises": list, "variants": str | None, "students": list, "fmcourse": str}
EXERCISE_FIELDS = {"id": str, "points": int | float, "cell": str, "points_cell": str, "name": str}


def manifest_path(course: str | Path, name: str) -> Path:
    return Path(course) / "assignments" / f"{check_assignment_name(name)}.json"


def read_manifest(course: str | Path, name: str) -> dict[str, Any]:
    """The manifest of an assignment. Raises: ValueError naming those there are, or what is wrong with it."""
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
    if not course.is_dir():
        return f"there is no folder {course}; `python -m fmcourse assign ... --out {course}` makes a course."
    there = ", ".join(sorted(path.stem for path in (course / "assignments").glob("*.json")))
    if not there:
        return f"{course} holds no assignment yet; `python -m fmcourse assign ... --out {course}` makes one."
    return f"{course} has no assignment {name!r}; there is: {there}."


def find_fault(found: Any, name: str) -> str:
    """What keeps this from being the manifest of that assignment; nothing, if it is one."""
    if not isinstance(found, dict):
        return "it is no list of what belongs to an assignment"
    for key, kind in FIELDS.items():
        if not isinstance(found.get(key), kind) or (key not in found):
            return f"{key!r} is missing or of another kind"
    if found["name"] != name:
        return f"it is that of {found['name']!r}"
    for entry in found["exercises"]:
        if not isinstance(entry, dict) or not all(
            isinstance(entry.get(k), v) for k, v in EXERCISE_FIELDS.items()
        ):
            return "an exercise lacks its id, points, cells or name"
    return (
        ""
        if all(isinstance(student, str) for student in found["students"])
        else "a student's id is no text"
    )


def write_manifest(course: str | Path, manifest: dict[str, Any]) -> None:
    write_text(
        manifest_path(course, manifest["name"]),
        json.dumps(manifest, indent=1, ensure_ascii=False) + "\n",
    )
