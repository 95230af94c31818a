"""Each student's own numbers, drawn from a key that only the instructor has.

The numbers depend on the key, the student's id and the exercise alone: they need not be kept, and
nobody can work them out without the key. The key lies outside the course's folder, which is
handed out and collected.
"""

import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import Any

from fmcourse.classroom.exercise_kinds import AssignedExercise

MIN_CHARACTERS = 16  # characters of a key


def numbers_for(key: bytes | str, student: str, exercise: AssignedExercise) -> dict[str, Any]:
    """The numbers that a student is asked about, the same each time."""
    return exercise.draw_numbers(sign(key, f"{student}\0{exercise.id}"))


def fingerprint(key: bytes | str) -> str:
    """Tells one key from another, and gives neither away."""
    return sign(key, "fmcourse: which key is this?")[:16]


def sign(key: bytes | str, text: str) -> str:
    """HMAC-SHA-256 of a text, in hexadecimal digits."""
    key = key.encode() if isinstance(key, str) else key
    return hmac.new(key, text.encode(errors="surrogatepass"), hashlib.sha256).hexdigest()


def read_key(path: str | Path) -> bytes:
    """The key in a file. Raises: ValueError if there is none, or it is too short to be secret."""
    path = Path(path)
    if not path.is_file():
        raise ValueError(
            f"{path}: there is no such key file; the one that the numbers were drawn with "
            "is needed."
        )
    key = path.read_bytes().strip()
    if len(key) < MIN_CHARACTERS:
        raise ValueError(
            f"{path} is no key: it holds {len(key)} characters, and {MIN_CHARACTERS} are the least."
        )
    return key


def make_key(path: str | Path) -> bytes:
    """A new key in a new file that only its owner may read.

    Raises: FileExistsError rather than write over one.
    """
    path, key = Path(path), secrets.token_hex(32).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(file, "wb") as out:
        out.write(key + b"\n")
        out.flush()
        os.fsync(out.fileno())
    return key


def read_or_make_key(path: str | Path, course: str | Path) -> bytes:
    """The key in that file, which is made if there is none.

    Raises: ValueError for one in the course's own folder.
    """
    path, course = Path(path).resolve(), Path(course).resolve()
    if path.is_relative_to(course):
        raise ValueError(
            f"{path} lies in {course}, which is handed out and collected: keep the key elsewhere."
        )
    if path.exists():
        return read_key(path)
    key = make_key(path)
    print(
        f"A new key is in {path}. Keep it, and show it to nobody: grading needs it, "
        "and who has it knows all numbers."
    )
    return key
