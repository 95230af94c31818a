"""Is anything of an assigned exercise's answer in a folder? Text, notebooks with outputs and metadata, bytecode, archives, numbers.

What is secret: solutions, other right answers, wrong answers, explanations, hidden cases. What is handed out anyway (starter, text,
public cases, properties, `run`) is not. Code and prose are compared as runs of words, once as they are and once with every
name replaced by the order of its appearance, so that other spacing, line breaks and variables hide nothing; bytecode also as runs of
instructions; numbers of hidden cases as runs of values, written or in bytes. It cannot see what is encrypted, a picture of
code, a retelling in other words, or a fragment of fewer words than `RUN`.
"""

import base64
import binascii
import dis
import io
import json
import keyword
import marshal
import re
import struct
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType
from typing import Any

import torch
from torch import Tensor

from fmcourse.classroom.assigned import Assigned
from fmcourse.course.sandbox import arguments

RUN, RENAMED_RUN, STEPS, VALUES, LOOK = (
    11,
    20,
    9,
    6,
    4,
)  # words, words with names replaced, instructions, numbers in a row
IN_A_ROW, RENAMED_IN_A_ROW, STEPS_IN_A_ROW = 9, 22, 10  # so many runs side by side make a stretch that is told
TURNS = (  # what everybody writes so, and the course too
    "return Counter(b for a, b in zip(text, text[1:]) if a == letter)", "counts = Counter(b for a, b in zip(text, text[1:]) if a == given)",
    "return (F.cross_entropy(scores, right) + F.cross_entropy(scores.T, right)) / 2",
)  # fmt: skip
WORD = re.compile(r"[A-Za-z_]\w*|\d+(?:\.\d+)?(?:e-?\d+)?|[^\s\w]")
NUMBER = re.compile(r"-?\d+\.\d{3,}(?:e-?\d+)?")
MOST, DEEPEST = 300 * 2**20, 4  # bytes that are looked into; archives within archives


@dataclass(frozen=True)
class Leak:
    """What was found: in which file, of which exercise, which part, and the run that gives it away."""

    file: str
    exercise: str
    part: str
    excerpt: str


@dataclass
class Secrets:
    """Every run that must not be found, and whose it is."""

    runs: dict[Any, tuple[str, str]] = field(default_factory=dict)
    raw: dict[bytes, tuple[str, str]] = field(default_factory=dict)
    begins: set[tuple] = field(default_factory=set)  # the first words of runs
    shapes: set[tuple] = field(default_factory=set)  # and of renamed runs, every name alike
    values: bool = False


# -- what is secret -------------------------------------------------------------------------------------------------------


def words(text: str) -> list[str]:
    """Words and signs, without comments' signs and kinds of quotes."""
    return [word for word in WORD.findall(text) if word not in "#\"'`\\"]


def runs(found: list, n: int, kind: str) -> Iterator[tuple]:
    return ((kind, *found[at : at + n]) for at in range(len(found) - n + 1))


def renamed(run: tuple) -> tuple | None:
    """A run with names replaced by the order in which they appear; None if hardly anything but names and commas is left."""
    order: dict[str, int] = {}
    name = lambda at, word: word.isidentifier() and not keyword.iskeyword(word) and run[at - 1] != "."
    made = tuple(order.setdefault(word, len(order)) if name(at, word) else word for at, word in enumerate(run))
    telling = [word for word in made if isinstance(word, str) and (word.isalpha() or word in "*/+-@<>")]
    return ("renamed", *made) if len(set(telling)) >= 2 else None


def of_text(text: str) -> Iterator[tuple]:
    found = words(text)
    yield from runs(found, RUN, "words")
    for run in runs(found, RENAMED_RUN, "renamed"):
        if made := renamed(run[1:]):
            yield made


def of_numbers(values: Iterable[float]) -> Iterator[tuple]:
    """Runs of values, to four digits; a run of few different ones tells nothing."""
    found = [round(float(value), 4) for value in values]
    return (run for run in runs(found, VALUES, "values") if len(set(run)) > 4)


def of_code(code: CodeType) -> Iterator[tuple]:
    """Runs of instructions of a code object and of those in it, without what names and lines add."""
    steps = [(step.opname, str(step.argval) if step.opname in ("LOAD_ATTR", "LOAD_METHOD", "LOAD_CONST", "KW_NAMES") else "")
             for step in dis.get_instructions(code) if step.opname not in ("RESUME", "CACHE", "PRECALL", "PUSH_NULL")]  # fmt: skip
    for run in runs(steps, STEPS, "steps"):
        if sum(bool(argument) for _, argument in run[1:]) >= 3:
            yield run
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield from of_code(part)


def flat(value: Any) -> Iterator[float]:
    """Numbers that are no whole ones, in whatever a case holds."""
    if isinstance(value, Tensor):
        yield from value.detach().double().flatten().tolist() if value.is_floating_point() else ()
    elif isinstance(value, list | tuple):
        for part in value:
            yield from flat(part)
    elif isinstance(value, dict):
        yield from flat(list(value.values()))
    elif isinstance(value, float):
        yield value


def parts(exercise: Assigned) -> Iterator[tuple[str, str]]:
    """Each secret text with its name."""
    yield "solution", exercise.solution
    yield "explanation", exercise.explanation
    for answer in exercise.other_solutions:
        yield "other solution", answer
    for mistake in exercise.mistakes:
        yield "wrong answer", mistake.wrong
        yield "wrong answer's explanation", mistake.explanation
    for case in exercise.hidden:
        yield "hidden case", " ".join(repr(part) for part in arguments(case) if not isinstance(part, Tensor))


def secrets(exercises: list[Assigned]) -> Secrets:
    """All that must not be found, less what is public of these exercises."""
    made, public = Secrets(), {run for text in TURNS for run in of_text(text)}
    for exercise in exercises:
        shown = [
            exercise.starter,
            exercise.text,
            exercise.imports,
            exercise.run or "",
            exercise.goal,
            *map(repr, exercise.cases),
        ]
        shown += [text for wanted in exercise.properties for text in (wanted.name, wanted.test, wanted.message)]
        public.update(run for text in shown for run in of_text(text))
        public.update(of_code(compile(exercise.starter, "", "exec")))
        public.update(run for case in exercise.cases for run in of_numbers(flat(case)))
    for exercise in exercises:
        for part, text in parts(exercise):
            for run in of_text(text):
                made.runs.setdefault(run, (exercise.id, part))
            if part in ("solution", "other solution", "wrong answer"):
                for run in of_code(compile(text, "", "exec")):
                    made.runs.setdefault(run, (exercise.id, part))
        for case in exercise.hidden:
            add_numbers(made, exercise.id, case)
    made.runs = {run: whose for run, whose in made.runs.items() if run not in public}
    for run in made.runs:
        if run[0] == "words":
            made.begins.add(run[1 : LOOK + 1])
        elif run[0] == "renamed":
            made.shapes.add(tuple("a" if isinstance(word, int) else sign(word) for word in run[1 : 2 * LOOK + 1]))
        made.values |= run[0] == "values"
    return made


def add_numbers(made: Secrets, exercise_id: str, case: Any) -> None:
    for run in of_numbers(flat(case)):
        made.runs.setdefault(run, (exercise_id, "hidden case"))
    for part in arguments(case):
        if isinstance(part, Tensor) and part.is_floating_point() and part.unique().numel() >= VALUES:
            first = part.detach().flatten()[:VALUES]
            for kind in (torch.float32, torch.float64):
                made.raw[first.to(kind).numpy().tobytes()] = (exercise_id, "hidden case")


# -- where it is looked for -----------------------------------------------------------------------------------------------


def leaks(folder: Path, exercises: list[Assigned]) -> list[Leak]:
    """Everything secret that is found below a folder, each part of an exercise once a file."""
    known, found = secrets(exercises), {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        for exercise, part, excerpt in in_file(path.name, path.read_bytes()[:MOST], known, 0):
            found.setdefault((str(path.relative_to(folder)), exercise, part), excerpt)
    return [Leak(*where, excerpt) for where, excerpt in found.items()]


def in_file(name: str, data: bytes, known: Secrets, depth: int) -> Iterator[tuple[str, str, str]]:
    """What of the secrets a file holds, whatever kind of file it is."""
    for raw, whose in known.raw.items():
        if raw in data:
            yield *whose, "the bytes of its numbers"
    if name.endswith(".pyc"):
        yield from in_bytecode(data, known)
    for inner, content in opened(data) if depth < DEEPEST else ():
        yield from in_file(inner, content, known, depth + 1)
    for text in texts(name, data):
        yield from in_text(text, known)


def opened(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The files of an archive, if it is one."""
    if data[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive.infolist():
                yield member.filename, archive.read(member)[:MOST]
    elif data[:2] in (b"\x1f\x8b", b"BZ") or data[257:262] == b"ustar":
        try:
            with tarfile.open(fileobj=io.BytesIO(data)) as archive:
                for member in filter(tarfile.TarInfo.isfile, archive):
                    yield member.name, archive.extractfile(member).read(MOST)
        except tarfile.TarError:
            import gzip

            yield "inside", gzip.decompress(data)[:MOST] if data[:2] == b"\x1f\x8b" else b""


def texts(name: str, data: bytes) -> Iterator[str]:
    """What a file says, in each way in which it may be read."""
    if b"\x00" in data[:1000] and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return
    text = data.decode("utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8", errors="replace")
    yield text
    if name.endswith((".ipynb", ".json")):
        try:
            strings = list(within(json.loads(text)))
        except (ValueError, RecursionError):
            return
        yield from strings
        for one in strings:
            if len(one) > 40 and re.fullmatch(r"[A-Za-z0-9+/=\s]+", one):
                try:
                    yield base64.b64decode(one).decode(errors="replace")
                except (ValueError, binascii.Error):
                    continue


def within(value: Any) -> Iterator[str]:
    """Texts in JSON; a list of texts or numbers also as one."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from within(part)
    elif isinstance(value, list):
        if value and all(isinstance(part, str) for part in value):
            yield "".join(value)
        for part in value:
            yield from within(part)


def in_text(text: str, known: Secrets) -> Iterator[tuple[str, str, str]]:
    """Stretches of a text that are secret. Most places are passed over: how a run begins is looked up first."""
    found = words(text)
    shape = [sign(word) for word in found]
    plain, other = Stretch(known, IN_A_ROW), Stretch(known, RENAMED_IN_A_ROW)
    for at in range(len(found)):
        begins = tuple(found[at : at + LOOK]) in known.begins
        yield from plain.next(("words", *found[at : at + RUN]) if begins else None, found, at)
        alike = tuple(shape[at : at + 2 * LOOK]) in known.shapes
        yield from other.next(renamed(tuple(found[at : at + RENAMED_RUN])) if alike else None, found, at)
    for run in of_numbers(NUMBER.findall(text)) if known.values else ():
        if run in known.runs:
            yield *known.runs[run], " ".join(map(str, run[1:]))[:120]


class Stretch:
    """Counts runs that lie side by side: one alone is a turn of phrase, many are a text."""

    def __init__(self, known: Secrets, wanted: int) -> None:
        self.known, self.wanted, self.length = known, wanted, 0

    def next(self, run: tuple | None, found: list, at: int) -> Iterator[tuple[str, str, str]]:
        self.length = self.length + 1 if run in self.known.runs else 0
        if self.length == self.wanted:
            yield *self.known.runs[run], " ".join(map(str, found[at - self.wanted + 1 : at + 8]))[:120]


def sign(word: str) -> str:
    """A name as any name, anything else as itself."""
    return "a" if word.isidentifier() and not keyword.iskeyword(word) else word


def in_bytecode(data: bytes, known: Secrets) -> Iterator[tuple[str, str, str]]:
    """A .pyc file: its instructions and its texts. Nothing is run."""
    try:
        code = marshal.loads(data[16:])
    except (ValueError, EOFError, TypeError, struct.error):
        return
    stretch = Stretch(known, STEPS_IN_A_ROW)
    for run in of_code(code) if isinstance(code, CodeType) else ():
        yield from stretch.next(run, ["its instructions"], 0)
    for text in constants(code):
        yield from in_text(text, known)


def constants(code: Any) -> Iterator[str]:
    if isinstance(code, str):
        yield code
    for part in code.co_consts if isinstance(code, CodeType) else code if isinstance(code, tuple) else ():
        yield from constants(part)
