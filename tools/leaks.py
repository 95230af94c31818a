"""Does a folder hold anything of an assigned exercise's answer?

What is secret, and what public, `tools.answer_texts` says. A text is a sequence of words: letters
and digits, in lower case. So neither white space, quotation marks, comment signs nor case can hide
anything. Of each secret all runs of N words that stand in nothing public are looked for; a file
that holds SHARE of them, or MANY, leaks it. Promised for

    text in any file, notebooks, JSON and HTML, in UTF-8 or UTF-16; commented out, or commented
    archives (zip and so wheels, tar, gzip, bz2, xz), archives in archives, and base64
    texts in binary files, such as docstrings in bytecode
    hidden cases written as literals or JSON, with all digits or four behind the point

Not promised: code whose names were replaced, a retelling or the same idea in other code, an answer
compiled to bytecode, numbers in binary files, pictures, anything encrypted, and secrets of fewer
than SHORTEST runs, which anybody may have written (`Report.too_short` names them). What cannot be
opened is reported as a leak called "unread": a proof must not be silent about it.
"""

import base64
import bz2
import contextlib
import gzip
import html
import lzma
import re
import tarfile
import zipfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO
from pathlib import Path

from fmcourse.classroom.exercise_kinds import AssignedExercise
from tools.answer_texts import public_texts, secret_texts

N = 6  # words in a run
SHORTEST = 10  # runs, of a secret that is looked for: 15 words that are not public
SHARE, MANY = 0.5, 30  # of a secret's runs, and how many, that make a leak
DEEPEST = 8  # archives within archives

BASE64 = re.compile(r"[A-Za-z0-9+/]{40,}(?:\s*\n[A-Za-z0-9+/]+)*={0,2}")
PACKED = {b"\x1f\x8b": gzip, b"BZh": bz2, b"\xfd7zXZ\0": lzma}  # by their first bytes
# What opening a broken archive raises.
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

    secrets: int
    too_short: list[tuple[str, str]]  # exercise, part
    leaks: list[Leak] = field(default_factory=list)
    files: int = 0
    inside: int = 0  # files in archives


def runs(text: str) -> Iterator[Run]:
    """All runs of N neighbouring words of a text."""
    words = re.findall(r"[^\W_]+", unescape(text).lower())
    return zip(*(words[i:] for i in range(N)), strict=False)


@cache
def secret_runs(exercises: tuple[AssignedExercise, ...]) -> dict[tuple[str, str], list[set[Run]]]:
    """The runs by which each (exercise, part) is recognised; none if it is too short.

    Raises: ValueError if there are no exercises: a search for nothing would prove nothing.
    """
    if not exercises:
        raise ValueError("there are no assigned exercises, so there is nothing to look for.")
    public = {run for one in exercises for text in public_texts(one) for run in runs(text)}
    secrets = {}
    for exercise in exercises:
        for part, texts in secret_texts(exercise):
            found = [set(runs(text)) - public for text in texts]
            secrets[exercise.id, part] = [one for one in found if len(one) >= SHORTEST]
    return secrets


def unescape(text: str) -> str:
    """A text without the signs by which JSON and Python write line breaks and letters."""
    text = re.sub(r"\\+u([0-9a-fA-F]{4})", lambda sign: chr(int(sign[1], 16)), text)
    return re.sub(r"\\+[nrt]", "\n", text)


def readings(data: bytes) -> Iterator[str]:
    """What a file that is no archive says, in each way in which it may be read."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = data.decode("utf-16", errors="replace")
    else:
        try:
            text = data.decode()
        except UnicodeDecodeError:  # a binary file: what is printable in it
            text = b"\n".join(re.findall(rb"[\t\n\r -~]{8,}", data)).decode()
    text = unescape(text)  # before comments are removed: they end where lines end
    yield text
    if "#" in text:
        yield re.sub(r"#[^\n]*", "", text)
    if "</" in text or "&" in text:
        yield html.unescape(re.sub(r"<[^<>]{0,500}>", "", text))


def members(data: bytes) -> Iterator[bytes]:
    """The files in an archive, if it is one. Raises: one of BROKEN."""
    if data.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(BytesIO(data)) as archive:
            yield from map(archive.read, archive.namelist())
    elif data[257:262] == b"ustar":
        with tarfile.open(fileobj=BytesIO(data)) as archive:
            for member in filter(tarfile.TarInfo.isfile, archive):
                yield archive.extractfile(member).read()
    for magic, module in PACKED.items():
        if data.startswith(magic):
            yield module.decompress(data)


def texts_in(data: bytes, report: Report, depth: int = 0) -> Iterator[str]:
    """All texts in a file and in what is packed in it. Raises: one of BROKEN."""
    if depth > DEEPEST:
        raise ValueError(f"archives more than {DEEPEST} deep")
    packed = list(members(data))
    report.inside += len(packed)
    for member in packed:
        yield from texts_in(member, report, depth + 1)
    for text in () if packed else readings(data):
        yield text
        for blob in BASE64.findall(text):
            body = "".join(blob.split()).rstrip("=")
            decoded = base64.b64decode(body[: len(body) // 4 * 4])
            # Any long word decodes to something, now and then to what begins as archives do.
            with contextlib.suppress(*BROKEN):
                yield from texts_in(decoded, report, depth + 1)


def search(folder: Path, exercises: Iterable[AssignedExercise]) -> Report:
    """Look into every file below a folder. Raises: ValueError if there are no exercises."""
    secrets = secret_runs(tuple(exercises))
    spellings = [(part, one) for part, texts in secrets.items() for one in texts]
    owners = defaultdict(list)  # run -> the places in `spellings` of the secrets that it is of
    for n, (_, one) in enumerate(spellings):
        for run in one:
            owners[run].append(n)
    report = Report(len(secrets), [part for part, texts in secrets.items() if not texts])
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name, found = path.relative_to(folder).as_posix(), set()
        report.files += 1
        try:
            for text in texts_in(path.read_bytes(), report):
                found.update(run for run in runs(text) if run in owners)
        except BROKEN as error:
            report.leaks.append(Leak(name, "", "unread", f"it cannot be opened: {error}"))
            continue
        for n, count in sorted(Counter(n for run in found for n in owners[run]).items()):
            part, one = spellings[n]
            if count >= min(MANY, SHARE * len(one)):
                report.leaks.append(Leak(name, *part, " ".join(min(one & found))))
    return report
