"""Does a folder hold anything of an assigned exercise's answer?

Secret are solutions, other right answers, wrong answers and what is said of them, explanations and
hidden cases. What is handed out anyway (starter, text, public cases, properties, `run`) is not.

A text is a sequence of words: letters and digits, in lower case. So neither white space, line
breaks, quotation marks, comment signs, formatting nor case can hide anything. Of each secret all
runs of N words that stand in nothing public are looked for; where a file holds SHARE of them, or
MANY, it is a leak. That is promised for

    text in any file, notebooks (source, outputs, metadata), JSON and HTML, in UTF-8 or UTF-16;
    commented out, or with other comments between the lines
    archives (zip and so wheels, tar, gzip, bz2, xz), archives in archives, and base64
    texts in binary files, such as docstrings in bytecode
    hidden cases written as literals or JSON, with all digits or four behind the point

Not promised: code whose names were replaced, a retelling or the same idea in other code, an answer
compiled to bytecode, numbers in binary files, pictures, anything encrypted, and secrets of fewer
than SHORTEST runs, which anybody may have written (`Report.too_short` names them). What cannot be
opened is reported as a leak called "unread": a proof must not be silent about it.
"""

import ast
import base64
import bz2
import contextlib
import gzip
import html
import inspect
import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

from torch import Tensor

from fmcourse.classroom.exercise_kinds import AssignedExercise

N = 6  # words in a run
SHORTEST = 10  # runs, of a secret that is looked for: 15 words that are not public
SHARE, MANY = 0.5, 30  # of a secret's runs, and how many, that make a leak
DEEPEST = 8  # archives within archives

WORD = re.compile(r"[^\W_]+")
FLOAT = re.compile(r"-?\d+\.\d+(e-?\d+)?")
COMMENT = re.compile(r"#[^\n]*")
TAG = re.compile(r"<[^<>]{0,500}>")
ESCAPED_LETTER = re.compile(r"\\+u([0-9a-fA-F]{4})")
ESCAPED_BREAK = re.compile(r"\\+[nrt]")
BASE64 = re.compile(r"[A-Za-z0-9+/]{40,}(?:\s*\n[A-Za-z0-9+/]+)*={0,2}")
PRINTABLE = re.compile(rb"[\t\n\r -~]{8,}")
BYTE_ORDER_MARKS = (b"\xff\xfe", b"\xfe\xff")
BROKEN = (OSError, EOFError, ValueError, RuntimeError, zlib.error, lzma.LZMAError)
BROKEN += (zipfile.BadZipFile, tarfile.TarError)
Run = tuple[str, ...]


@dataclass(frozen=True)
class Leak:
    """What was found: in which file, of which exercise, which part, and some words of it."""

    file: str
    exercise: str
    part: str
    excerpt: str


@dataclass
class Report:
    """What a search found, and how much it looked at."""

    leaks: list[Leak] = field(default_factory=list)
    files: int = 0
    inside: int = 0  # files in archives
    secrets: int = 0
    too_short: list[tuple[str, str]] = field(default_factory=list)  # exercise, part


# Secrets ------------------------------------------------------------------------------------------


def secret_texts(exercise: AssignedExercise) -> Iterator[tuple[str, list[str]]]:
    """Every part of an exercise that is not handed out: its name, and how it may be written."""
    yield "solution", [bare_code(exercise.solution)]
    for n, answer in enumerate(exercise.other_solutions, 1):
        yield f"other solution {n}", [bare_code(answer)]
    for mistake in exercise.mistakes:
        yield f"wrong answer {mistake.name!r}", [bare_code(mistake.wrong_answer)]
        yield f"what is said of {mistake.name!r}", [mistake.explanation]
    yield "explanation", [exercise.explanation]
    for n, case in enumerate(exercise.hidden, 1):
        yield f"hidden case {n}", literals(case)
    if exercise.hidden:  # together, because one alone may be as short as ("aab", "a")
        yield "hidden cases", literals(list(exercise.hidden))


def public_texts(exercise: AssignedExercise) -> list[str]:
    """What of an exercise everybody may read."""
    properties = [text for one in exercise.properties for text in (one.name, one.test, one.message)]
    cases = [text for case in exercise.cases for text in literals(case)]
    own = [exercise.starter, exercise.text, exercise.goal, exercise.imports, exercise.run or ""]
    return [*own, *properties, *cases]


def bare_code(answer: Callable[..., Any] | str) -> str:
    """The source of an answer without comments and docstrings."""
    source = answer if isinstance(answer, str) else inspect.getsource(answer)
    try:
        tree = ast.parse(source)
    except SyntaxError:  # a lambda that is cut out of the call it stands in
        return COMMENT.sub("", source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def literals(case: Any) -> list[str]:
    """A case as Python and JSON write it, with all digits and with four behind the point."""
    text = repr(as_lists(case))
    return [text, FLOAT.sub(lambda number: f"{float(number[0]):.4f}", text)]


def as_lists(value: Any) -> Any:
    """A value whose tensors are lists."""
    if isinstance(value, Tensor):
        return value.tolist()
    return [as_lists(part) for part in value] if isinstance(value, list | tuple) else value


class Secrets:
    """The runs of words by which the secrets of some exercises are recognised.

    Raises: ValueError if there are no exercises: a search for nothing would prove nothing.
    """

    def __init__(self, exercises: Sequence[AssignedExercise]) -> None:
        if not exercises:
            raise ValueError("there are no assigned exercises, so there is nothing to look for.")
        public = {run for one in exercises for text in public_texts(one) for run in runs(text)}
        self.parts: dict[tuple[str, str], list[set[Run]]] = {}  # (exercise, part) -> runs
        for exercise in exercises:
            for name, texts in secret_texts(exercise):
                found = [set(runs(text)) - public for text in texts]
                self.parts[exercise.id, name] = [one for one in found if len(one) >= SHORTEST]
        self.runs = {run for texts in self.parts.values() for one in texts for run in one}

    def too_short(self) -> list[tuple[str, str]]:
        """The parts that no search can tell from what anybody writes."""
        return [part for part, texts in self.parts.items() if not texts]

    def found_in(self, there: set[Run]) -> Iterator[tuple[str, str, str]]:
        """Exercise, part and excerpt of every secret of which enough runs are there."""
        for (exercise, name), texts in self.parts.items() if there else ():
            shared = [(one & there, min(MANY, SHARE * len(one))) for one in texts]
            if found := [few for few, wanted in shared if len(few) >= wanted]:
                yield exercise, name, " ".join(min(found[0]))


@cache
def secrets_of(exercises: tuple[AssignedExercise, ...]) -> Secrets:
    """The secrets of some exercises, worked out once."""
    return Secrets(exercises)


def runs(text: str) -> Iterator[Run]:
    """All runs of N neighbouring words of a text."""
    words = WORD.findall(unescape(text).lower())
    return zip(*(words[i:] for i in range(N)), strict=False)


def unescape(text: str) -> str:
    """A text without the signs by which JSON and Python write line breaks and letters."""
    if "\\" not in text:
        return text
    text = ESCAPED_LETTER.sub(lambda sign: chr(int(sign[1], 16)), text)
    return ESCAPED_BREAK.sub("\n", text)


# Files --------------------------------------------------------------------------------------------


class UnreadError(Exception):
    """Something cannot be opened, so that nobody knows what is in it."""


def texts_in(data: bytes) -> Iterator[str]:
    """What a file says, in each way in which it may be read."""
    if data.startswith(BYTE_ORDER_MARKS):
        text = data.decode("utf-16", errors="replace")
    else:
        try:
            text = data.decode()
        except UnicodeDecodeError:
            text = b"\n".join(PRINTABLE.findall(data)).decode()
    text = unescape(text)  # before comments are removed: they end where lines end
    yield text
    if "#" in text:
        yield COMMENT.sub("", text)
    if "</" in text or "&" in text:
        yield html.unescape(TAG.sub("", text))


def files_in(data: bytes) -> Iterator[bytes]:
    """The files in an archive, if it is one. Raises: UnreadError."""
    packed = {b"\x1f\x8b": gzip, b"BZh": bz2, b"\xfd7zXZ\0": lzma}
    try:
        if data.startswith(b"PK\x03\x04"):
            with zipfile.ZipFile(BytesIO(data)) as archive:
                yield from map(archive.read, archive.namelist())
        elif data[257:262] == b"ustar":
            with tarfile.open(fileobj=BytesIO(data)) as archive:
                for member in filter(tarfile.TarInfo.isfile, archive):
                    yield archive.extractfile(member).read()
        else:
            for magic, module in packed.items():
                if data.startswith(magic):
                    yield module.decompress(data)
    except BROKEN as error:
        raise UnreadError(f"an archive that cannot be opened: {error}") from None


def base64_in(text: str) -> Iterator[bytes]:
    """What base64 in a text decodes to; images are left out, most of a notebook's base64."""
    for blob in BASE64.findall(text):
        body = "".join(blob.split()).rstrip("=")
        decoded = base64.b64decode(body[: len(body) // 4 * 4])
        if not decoded.startswith(b"\x89PNG"):
            yield decoded


class Search:
    """Looks into files, and counts those in archives."""

    def __init__(self, secrets: Secrets) -> None:
        self.secrets, self.inside = secrets, 0

    def runs_in(self, data: bytes, depth: int = 0) -> set[Run]:
        """The secret runs in a file and in all that is packed in it. Raises: UnreadError."""
        if depth > DEEPEST:
            raise UnreadError(f"archives more than {DEEPEST} deep")
        found, members = set(), list(files_in(data))
        for member in members:
            self.inside += 1
            found |= self.runs_in(member, depth + 1)
        for text in () if members else texts_in(data):
            found |= self.secrets.runs.intersection(runs(text))
            for decoded in base64_in(text):
                # Any long word decodes to something, now and then to what begins as archives do.
                with contextlib.suppress(UnreadError):
                    found |= self.runs_in(decoded, depth + 1)
        return found


def search(folder: Path, exercises: Iterable[AssignedExercise]) -> Report:
    """Look into every file below a folder. Raises: ValueError if there are no exercises."""
    secrets = secrets_of(tuple(exercises))
    report = Report(secrets=len(secrets.parts), too_short=secrets.too_short())
    looking = Search(secrets)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        report.files += 1
        try:
            found = looking.runs_in(path.read_bytes())
        except UnreadError as reason:
            report.leaks.append(Leak(name, "", "unread", str(reason)))
            continue
        report.leaks += [Leak(name, *what) for what in secrets.found_in(found)]
    report.inside = looking.inside
    return report
