"""Names that become folders and files: a student's id may be any text, an assignment's name may not."""

import hashlib
import re
from urllib.parse import unquote

PLAIN_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-@")
RESERVED_NAMES = re.compile(
    r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE
)  # names that Windows keeps for itself
MAX_LENGTH, KEPT_LENGTH = 120, 80  # bytes of a folder's name; what is kept of a longer one
ASSIGNMENT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,49}")


def safe_name(student: str) -> str:
    """A student's id as the name of a folder, the same one everywhere: other ids have other names, none leads elsewhere.

    Whatever is no plain letter, digit, `_`, `-`, `@` or inner dot is written as its bytes, `=C3=AB`. Raises: ValueError for
    an empty id.

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
    return f"{name[:KEPT_LENGTH]}=={hashlib.sha256(student.encode(errors='surrogatepass')).hexdigest()[:16]}"


def escape(letter: str) -> str:
    return "".join(f"={byte:02X}" for byte in letter.encode(errors="surrogatepass"))


def student_id(name: str) -> str | None:
    """The id that a folder's name stands for; None for a name that was cut.

    >>> student_id(safe_name("../Zoë"))
    '../Zoë'
    """
    return (
        None
        if "==" in name
        else unquote(name.replace("%", "%25").replace("=", "%"), errors="surrogatepass")
    )


def check_assignment_name(name: str) -> str:
    """The name of an assignment. Raises: ValueError if it could not be a folder's on every system."""
    if not ASSIGNMENT_NAME.fullmatch(name) or RESERVED_NAMES.fullmatch(name):
        raise ValueError(
            f"{name!r} cannot be an assignment's name; use letters, digits, - and _, such as week3."
        )
    return name
