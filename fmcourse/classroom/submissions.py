"""Reads what a student handed in, whatever it is: bytes become the sources of code cells.

Nothing here runs a student's code. A notebook is read as JSON, so that another nbformat, stripped
metadata, a byte-order mark or 50 MB of outputs make no difference.
"""

import codecs
import hashlib
import io
import itertools
import json
import lzma
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fmcourse.classroom.slicing import (
    CONFLICT,
    KEEP_ONE,
    Answer,
    find_answers,
    parse,
    quote,
    strip_magics,
)
from fmcourse.course.exercise import Exercise

MB = 10**6
MAX_BYTES, MAX_CODE = 200 * MB, 2 * MB  # of a file, of its code
MAX_FILES = 60  # in an archive or a student's folder
NOTEBOOK_SUFFIXES = (".ipynb", ".py", ".zip")
CELL_MARKER = re.compile(r"^# (?:%%|In\[).*$", re.MULTILINE)
CODE_LINE = re.compile(r"^(def|class|import|from) \w", re.MULTILINE)
IGNORED_FILES = re.compile(
    r"^(\..*|__MACOSX|.*\.checkpoint.*|variant\.json|exercises\.json|timestamp\.txt)$"
)
IS_A_LINK = "It is a link to another file; links are not followed. Hand in the file itself."
ARCHIVE_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    OSError,
    ValueError,
    NotImplementedError,
    RuntimeError,
    EOFError,
)


@dataclass
class Submission:
    """What one student handed in.

    Args:
        cells: sources of the code cells.
        texts: (kind, source) of the other cells.
        remarks: sentences on what was odd about the work.
        digest: changes with the work.
        name: of the file.
        assignment: whose notebook it says that it is; empty if it says nothing.
        answers: by exercise.
    """

    student: str
    cells: list[str] = field(default_factory=list)
    texts: list[tuple[str, str]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    digest: str = ""
    name: str = ""
    assignment: str = ""
    answers: dict[str, Answer] = field(default_factory=dict)


class SubmissionError(ValueError):
    """Something that is not read at all, and the sentence that says why."""


def read_submission(
    student: str, path: Path, assignment: str, exercises: list[Exercise]
) -> Submission:
    """What lies under `path`, whatever that is; of several files the one that answers most.

    Raises: nothing.
    """
    best, most = Submission(student, remarks=["Nothing was handed in: the folder is empty."]), -1
    try:
        for name, data in candidate_files(path, assignment):
            made = read_file(student, name, data)
            made.answers = find_answers(made.cells, exercises, made.texts)
            n_answers = sum(bool(answer.statements) for answer in made.answers.values())
            if n_answers > most:
                best, most = made, n_answers
    except SubmissionError as error:
        best = Submission(student, remarks=[str(error)])
    except OSError as error:
        reason = error.strerror or type(error).__name__
        best = Submission(student, remarks=[f"It cannot be read: {reason}."])
    except Exception as error:  # something that nobody has thought of; it costs this work alone
        best = Submission(student, remarks=[f"It cannot be read ({type(error).__name__})."])
    best.digest = best.digest or hashlib.sha256(" ".join(best.remarks).encode()).hexdigest()
    if best.assignment not in ("", assignment):
        best.remarks.append(
            f"This is the notebook of {quote(best.assignment)}, as it says itself; that of "
            f"{assignment} was to be handed in."
        )
    elif best.name and Path(best.name).stem not in (assignment, student):
        name = quote(Path(best.name).name)
        best.remarks.append(f"The file is called {name}; {assignment}.ipynb was handed out.")
    return best


# -- files --------------------------------------------------------------------------------------


def candidate_files(path: Path, assignment: str) -> Iterator[tuple[str, bytes]]:
    """Names and contents of what may be the work, the likeliest first.

    Raises: SubmissionError for links, and where there is too much to read.
    """
    if path.is_symlink():
        raise SubmissionError(IS_A_LINK)
    if path.is_file():
        yield from expand_archive(path.name, read_plain_file(path))
        return
    inside = path / assignment
    if not inside.is_dir() or inside.is_symlink():
        inside = path
    left = MAX_BYTES
    for file in sorted(files_inside(inside, path), key=lambda p: likelihood(p, assignment)):
        for name, data in expand_archive(file.name, read_plain_file(file)):
            left -= len(data)
            if left < 0:
                raise SubmissionError(
                    f"There are more than {in_mb(MAX_BYTES)} in all; that is not read."
                )
            yield name, data


def files_inside(folder: Path, root: Path) -> list[Path]:
    """Plain files in a folder and below; links, and what lies outside of `root`, are left out."""
    # `rglob` is cut: a folder of a million files must not be listed to its end
    everything = itertools.islice(folder.rglob("*"), 40 * MAX_FILES)
    ours = sorted(path for path in everything if not is_ignored(path.relative_to(folder).parts))
    ours = ours[: 4 * MAX_FILES]
    links = [p for p in ours if p.is_symlink() or not p.resolve().is_relative_to(root.resolve())]
    files = [path for path in ours if path not in links and path.is_file()]
    if links and not files:
        raise SubmissionError(IS_A_LINK)
    return files[:MAX_FILES]


def is_ignored(parts: tuple[str, ...]) -> bool:
    """Is a file, or a folder that it lies in, none of the student's own making?"""
    return any(IGNORED_FILES.match(part) for part in parts)


def likelihood(path: Path, assignment: str) -> tuple[bool, bool, bool, str]:
    """The likeliest file sorts first."""
    other_suffix = path.suffix not in NOTEBOOK_SUFFIXES
    return other_suffix, path.stem != assignment, path.suffix != ".ipynb", path.name


def in_mb(n_bytes: int) -> str:
    return f"{n_bytes / MB:,.0f} MB"


def read_plain_file(path: Path) -> bytes:
    """A file's bytes. Raises: SubmissionError if it is no plain file, or too large."""
    if not path.is_file():
        raise SubmissionError("It is not a plain file.")
    if (size := path.stat().st_size) > MAX_BYTES:
        raise SubmissionError(
            f"The file has {in_mb(size)}; {in_mb(MAX_BYTES)} is the most that is read."
        )
    return path.read_bytes()


def expand_archive(name: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    """A file, or the files of an archive: nothing is unpacked to disk."""
    if not data.startswith(b"PK\x03\x04"):
        yield name, data
        return
    left = MAX_BYTES
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive_members(archive):
                with archive.open(member) as file:
                    inside = file.read(left + 1)
                left -= len(inside)
                if left < 0:
                    raise SubmissionError(
                        f"The archive unpacks to more than {in_mb(MAX_BYTES)}; it is not read."
                    )
                yield Path(member.filename).name, inside
    except SubmissionError:
        raise
    except ARCHIVE_ERRORS:
        raise SubmissionError(
            "The archive cannot be opened: it is damaged, locked, or of an unknown kind."
        ) from None


def archive_members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The files of an archive that are read, notebooks first."""
    members = [
        member
        for member in archive.infolist()
        if not member.is_dir()
        and not is_ignored(tuple(p for p in Path(member.filename).parts if p not in ("..", "/")))
    ]
    members.sort(key=lambda member: (not member.filename.endswith(".ipynb"), member.filename))
    return members[:MAX_FILES]


# -- what a file says ---------------------------------------------------------------------------


def read_file(student: str, name: str, data: bytes) -> Submission:
    """The code in a file: a notebook of any version, a script, or a remark on what is wrong."""
    made = Submission(student, name=name, digest=hashlib.sha256(data).hexdigest())
    if not data.strip(b"\x00 \t\r\n"):
        made.remarks.append("The file is empty.")
        return made
    text = decode_text(data)
    every = notebook_cells(text)
    cells = None if every is None else [source for kind, source in every if kind == "code"]
    if cells is None and (name.endswith(".py") or looks_like_code(text)):
        cells = [part for part in CELL_MARKER.split(text) if part.strip()]
        made.remarks.append("It is a script, not a notebook; its code was read.")
    if cells is None:
        found = describe_text(text)
        made.remarks.append(f"It is not a notebook: {found}. Hand in the .ipynb file itself.")
    elif sum(map(len, cells)) > MAX_CODE:
        made.remarks.append(f"It holds more than {MAX_CODE / MB:.0f} MB of code; that is not read.")
    else:
        names = {"markdown": "Markdown", "raw": "raw"}
        texts = [(names[kind], source) for kind, source in every or () if kind in names]
        made.texts = texts if sum(len(source) for _, source in texts) <= MAX_CODE else []
        made.cells, made.assignment = cells, named_assignment(text)
        if not any(strip_magics(cell).strip() for cell in cells):
            made.remarks.append("It holds no code.")
    return made


def decode_text(data: bytes) -> str:
    """Text in whatever encoding, with plain line ends."""
    utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = data.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def notebook_cells(text: str) -> list[tuple[str, str]] | None:
    """Kind ("code", "markdown", "raw") and source of each cell; None if this is no notebook."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        book = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(book.get("cells"), list):
        parts = [book]
    elif isinstance(book.get("worksheets"), list):  # nbformat 3
        parts = [part for part in book["worksheets"] if isinstance(part, dict)]
    else:
        return None
    cells = [cell for part in parts for cell in as_list(part.get("cells"))]
    cells = [cell for cell in cells if isinstance(cell, dict)]
    return [(str(cell.get("cell_type")), cell_source(cell)) for cell in cells]


def named_assignment(text: str) -> str:
    """The assignment that a notebook was made for, by its metadata; empty if it names none."""
    found: Any = json.loads(text) if '"assignment"' in text and text.lstrip()[:1] == "{" else None
    for key in ("metadata", "fmcourse", "assignment"):
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, str) else ""


def as_list(value: Any) -> list:
    return value if isinstance(value, list) else []


def cell_source(cell: dict) -> str:
    """A cell's text, which may be a list of lines."""
    text = cell.get("source", cell.get("input", ""))
    if isinstance(text, list):
        text = "".join(part for part in text if isinstance(part, str))
    return text.replace("\r\n", "\n").replace("\x00", "") if isinstance(text, str) else ""


def looks_like_code(text: str) -> bool:
    return bool(CODE_LINE.search(text)) and parse(text) is not None


def describe_text(text: str) -> str:
    """A few words on what a text is."""
    if CONFLICT.search(text):
        return f"git's conflict markers stand in it; {KEEP_ONE}"
    if text.lstrip().startswith(("{", "[")):
        return "it begins like one and cannot be read as JSON, or has no cells"
    return f"it begins with {quote(text.strip()[:30])}"
