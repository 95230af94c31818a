"""Is anything of an assigned exercise's answer in a folder? Text, notebooks, bytecode, archives, tensors: whatever lies there.

Secret are solutions, other right answers, wrong answers and what is said of them, explanations and hidden cases. What is
handed out anyway (starter, text, public cases, properties, `run`) is not, nor is what the course itself says: OF_THE_COURSE.

How it looks. A text is a row of words and signs: spaces, line breaks, quotes and comment signs do not count, so neither does
formatting. Stretches that a file shares with a secret are put together across small gaps and weighed: how surprising are these
words, each after those before it, to somebody who has read the course? `for i in range(len(` weighs next to nothing,
`begins.cumsum(1) - 1` a lot; from ENOUGH bits on it is a leak. The same again with names replaced by the order in which they
appear, so that other names hide nothing; and with the instructions of bytecode. Numbers of hidden cases are looked for as rows
of values that agree within NEAR: written out, in JSON, in tensor files, in raw bytes. Files are opened as deep as they go:
archives in archives, base64, outputs, metadata and attachments of notebooks, escaped strings, HTML. Nothing found is ever run.

What it cannot see: what is encrypted; a picture of an answer; a retelling, or the same idea in other code; a line or two with
new names and no telling function; a text in which every few words were changed; a hidden tensor's columns without their
neighbours, one that was scaled or packed in few bits, the code that draws it, a pickled list of numbers; the right results of
hidden cases; compressed parts of PDF and PNG files; parts so short that anybody may have written them (`Report.too_short`
names them: a case like `("abc", "ab", 3)`, a remark like "Sum or mean?"). What cannot be read (bytecode of another Python,
archives with a password or beyond the limits) is reported too, as a part called "unread": a proof must not be silent about it.
"""

import ast
import base64
import binascii
import builtins
import bz2
import dis
import gzip
import hashlib
import html
import importlib.util
import inspect
import json
import keyword
import lzma
import marshal
import re
import tarfile
import warnings
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from io import BytesIO
from itertools import repeat
from math import log2
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from fmcourse.classroom.exercise_kinds import AssignedExercise
from fmcourse.classroom.packing import pack
from fmcourse.course.running import arguments
from tools.lessons import ROOT

ENOUGH = {
    "words": 75.0,
    "names": 60.0,
    "steps": 58.0,
    "values": 46.0,
}  # bits from which on a stretch is a leak
LEAST = {
    "words": 55.0,
    "names": 48.0,
    "steps": 45.0,
}  # bits that do where nearly all of a part is there
SEED = {
    "words": 4,
    "names": 8,
    "steps": 5,
}  # so many in a row are looked up; what is shorter is no stretch
SURPRISING = 14.0  # bits of a stretch that is worth looking at
MOST_BITS, MEMORY, FILES = (
    12.0,
    5,
    2,
)  # of one word; words that it is judged by; so many files make no turn of phrase
GAP, JUMP = 8, 6.0  # words that may lie between two stretches, and the bits that this costs
NEAR, RELATIVE = (
    1e-4,
    5e-4,
)  # how far a value may be off: rounded to four digits, or kept in 16 bits
MOST_BYTES, DEEPEST = 2**29, 8  # that one file may unfold to; archives within archives
EXCERPT = 160  # characters
READ = ("fmcourse", "lessons", "recipes", "data/tables")  # the measure of what is common

WORD = re.compile(r"[^\W\d]\w*|\d+(?:\.\d+)?(?:e[-+]?\d+)?|[^\s\w#\"'`\\]")
NUMBER = re.compile(r"(?<![\w.])-?\d+\.?\d*(?:[eE][-+]?\d+)?(?!\w)|\b(?:[Tt]rue|[Ff]alse)\b")
BASE64 = re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{20,}(?:\s*\n[A-Za-z0-9+/]+)*={0,2}")
LINE_MARK = re.compile(r"(?m)^[ \t]*(?:[+>|*]|//|\.\.\.|\d+[:.|]?(?=[ \t]))+|#.*$")
PRINTABLE = re.compile(rb"[\t\n\r\x20-\x7e]{8,}")
MARKS = [
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
]
PACKED = ((rb"\x1f\x8b\x08", gzip), (rb"BZh\d1AY&SY", bz2), (rb"\xfd7zXZ\0", lzma))
BROKEN = (
    OSError,
    EOFError,
    ValueError,
    RuntimeError,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    tarfile.TarError,
)
TENSORS = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "u1",
}
KEPT = {
    *dir(builtins),
    *keyword.kwlist,
    "torch",
    "nn",
    "F",
    "math",
    "Tensor",
    "np",
}  # names that nobody replaces
SILENT = {
    "RESUME",
    "CACHE",
    "PRECALL",
    "PUSH_NULL",
    "NOP",
    "EXTENDED_ARG",
    "COPY_FREE_VARS",
    "MAKE_CELL",
    "NOT_TAKEN",
}
PLAIN = int | float | bool | str | tuple | None
# Lines that an assigned exercise has in common with the course, by the file that shows them to everybody. A test holds that they
# stand there. Whoever adds one says by it: that this line is part of an answer may be known.
OF_THE_COURSE = {
    "data/shakespeare.jsonl.gz": [
        "The quality of mercy is not strain'd,\nIt droppeth as the gentle rain from heaven\nUpon the place beneath"
    ],
    "data/tables/lesson_09.json": ["[224, 195, 198, 211, 226, 201, 145, 198, 202, 200]"],
    "fmcourse/course/exercises/lesson_00.py": [
        "return [(text[i : i + n], text[i + n]) for i in range(len(text) - n)]",
        "counts = {}\nfor i in range(len(text) - 1):\n    if text[i] == letter:\n        counts[text[i + 1]] = counts.get(text[i + 1], 0) + 1\n",
        "made = []\nfor end in range(n, len(text)):\n    made.append((text[end - n : end], text[end]))\nreturn made",
        "for i in range(len(text) - n):\n    made = [(text[i : i + n], text[i + n])]\n    return made",
    ],
    "fmcourse/course/exercises/lesson_03.py": [
        "mask = torch.ones(T, T).tril().bool()\nmask[:, :prefix] = True"
    ],
    "fmcourse/course/exercises/lesson_12.py": [
        "lambda s, right: (F.cross_entropy(s.softmax(1), right) + F.cross_entropy(s.T.softmax(1), right)) / 2",
        "A larger batch costs more because it has more rows. Sum or mean?",
    ],
    "fmcourse/course/exercises/lesson_14.py": [
        "Only the latest place is marked. And if the letter has come three times?",
        "Only the first place is marked. And if the letter has come three times?",
    ],
    "fmcourse/evaluation/image_quality.py": ["a, b = real.double(), generated.double()"],
    "recipes/lesson_07.py": [
        "torch.arange(len(a))\nreturn Loss((F.cross_entropy(scores, own) + F.cross_entropy(scores.T, own)) / 2"
    ],
    "recipes/lesson_13.py": ["max(found, key=lambda lr: sum(found[lr]) / len(found[lr]))"],
    "tests/test_ngram.py": ["[text[i + n] for i in range(len(text) - n) if text[i : i + n]"],
}


@dataclass(frozen=True)
class Leak:
    """What was found: in which file, of which exercise, which part, and a piece of it."""

    file: str
    exercise: str
    part: str
    excerpt: str


@dataclass
class Report:
    """What a search found, how much it looked at, and which parts are too short to be found."""

    leaks: list[Leak] = field(default_factory=list)
    files: int = 0
    inside: int = 0  # files in archives
    secrets: int = 0
    too_short: list[tuple[str, str]] = field(default_factory=list)


class Found(NamedTuple):
    """A part of an exercise in a row: which, how much of it, and where."""

    part: int
    bits: float
    first: int
    last: int


# -- texts and code as rows of words --------------------------------------------------------------------------------------


def words(text: str) -> list[str]:
    """Words and signs of a text, without what formatters change."""
    text = re.sub(r"\b[rbfuRBFU]{1,2}(?=[\"'])|(?<=\d)_(?=\d)", "", text)
    return WORD.findall(re.sub(r",(?=\s*[)\]}])", "", text))


def plainly(code: str) -> str:
    """Code as Python itself would write it: without comments, and with brackets only where they are needed."""
    return ast.unparse(ast.parse(code))


def steps(code: CodeType) -> list[str]:
    """The instructions of a code object, without the names of its variables."""
    row = []
    for step in dis.get_instructions(code):
        name, value = step.opname, step.argval
        if name == "KW_NAMES":
            value = code.co_consts[step.arg]
        if name in ("LOAD_GLOBAL", "LOAD_NAME"):
            row.append(f"GLOBAL {value if value in KEPT else ''}")
        elif name == "LOAD_CONST":
            row.append(
                f"CONST {value!r}"
                if isinstance(value, PLAIN) and len(repr(value)) < 60
                else "CONST"
            )
        elif name in (
            "LOAD_ATTR",
            "LOAD_METHOD",
            "STORE_ATTR",
            "KW_NAMES",
            "IMPORT_NAME",
            "IMPORT_FROM",
        ):
            row.append(f"{name} {value}")
        elif name in ("BINARY_OP", "COMPARE_OP", "CONTAINS_OP", "IS_OP", "CALL"):
            row.append(f"{name} {step.argrepr or value}")
        elif name not in SILENT:
            row.append(name.split("__")[0])
    return row


def codes(code: CodeType) -> Iterator[CodeType]:
    """A code object and all that are in it."""
    yield code
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield from codes(part)


def all_steps(code: CodeType) -> list[str]:
    """The instructions of a code object and of all that are in it."""
    return [step for one in codes(code) for step in steps(one)]


def compiled(source: str) -> list[list[str]]:
    """The instructions of what a source defines, a row for each function; none if it is no Python. It is not run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            whole = compile(source, "", "exec", dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return []
    return [all_steps(part) for part in whole.co_consts if isinstance(part, CodeType)]


def read() -> list[str]:
    """The course's own sources and tables."""
    paths = [
        path
        for part in READ
        for end in ("py", "json")
        for path in sorted((ROOT / part).rglob(f"*.{end}"))
    ]
    return [path.read_text(encoding="utf-8") for path in paths]


class Vocabulary:
    """Numbers for words: each its own, or where names do not count one for all names; 0 for what no secret holds."""

    def __init__(self, nameless: bool = False) -> None:
        self.numbers, self.names, self.nameless = {"a name": 1, ".": 2}, Names(), nameless

    def grow(self, row: list[str]) -> np.ndarray:
        for word in row:
            self.numbers.setdefault(word, len(self.numbers) + 1)
        return self.encode(row)

    def encode(self, row: list[str]) -> np.ndarray:
        found = np.fromiter(map(self.numbers.get, row, repeat(0)), np.uint64, len(row))
        if self.nameless:
            names = np.fromiter(map(self.names.__getitem__, row), bool, len(row))
            names[1:] &= found[:-1] != 2  # an attribute keeps its name
            found[names] = 1
        return found


class Names(dict):
    """Which words are names that somebody may replace."""

    def __missing__(self, word: str) -> bool:
        self[word] = (word[0].isalpha() or word[0] == "_") and word not in KEPT
        return self[word]


# -- how surprising a word is ---------------------------------------------------------------------------------------------


def hashes(row: np.ndarray, n: int) -> np.ndarray:
    """A number for every n neighbours in a row."""
    made = np.zeros(max(0, len(row) - n + 1), np.uint64)
    for at in range(n if len(made) else 0):
        made = made * np.uint64(0x9E3779B97F4A7C15) + row[at : at + len(made)] + np.uint64(1)
    return made


class Table(NamedTuple):
    """Counts by number, in the order of the numbers."""

    keys: np.ndarray
    counts: np.ndarray

    def of(self, asked: np.ndarray) -> np.ndarray:
        """The counts of these; 0 for what is not there."""
        if not len(self.keys):
            return np.zeros(len(asked))
        at = np.minimum(np.searchsorted(self.keys, asked), len(self.keys) - 1)
        return np.where(self.keys[at] == asked, self.counts[at], 0.0)


class Background:
    """How surprising a word is after those before it. A turn of phrase counts by the files that have it, less FILES: an answer
    that stands in a file or two, as a leak would, is no turn of phrase."""

    def __init__(self, rows: list[np.ndarray]) -> None:
        alone, often = np.unique(np.concatenate(rows), return_counts=True)
        self.alone = Table(alone, np.maximum(often - FILES, 0).astype(float))
        self.words, self.kinds = often.sum(), len(alone)
        self.after = [
            self.turns([row for row in rows if len(row) > n], n) for n in range(1, MEMORY + 1)
        ]

    def turns(self, rows: list[np.ndarray], n: int) -> tuple[Table, Table]:
        """How many files have n words and the one after them, and how many have the n words and any one that counts."""
        both = [
            np.unique(np.stack([hashes(row, n + 1), hashes(row[:-1], n)]), axis=1) for row in rows
        ]
        grams, first, files = np.unique(
            np.concatenate([two[0] for two in both]), return_index=True, return_counts=True
        )
        kept = files > FILES
        before, where = np.unique(
            np.concatenate([two[1] for two in both])[first[kept]], return_inverse=True
        )
        counts = (files[kept] - FILES).astype(float)
        return Table(grams[kept], counts), Table(before, np.bincount(where, counts, len(before)))

    def bits(self, row: np.ndarray) -> np.ndarray:
        """Bits of each word of a row: the more words before it are known, the more they decide."""
        p = (self.alone.of(row) + 0.5) / (self.words + 0.5 * self.kinds + 1)
        for n in range(1, min(MEMORY, len(row) - 1) + 1):
            followed, there = self.after[n - 1]
            p[n:] = (followed.of(hashes(row, n + 1)) + 2 * p[n:]) / (
                there.of(hashes(row[:-1], n)) + 2
            )
        return np.minimum(MOST_BITS, -np.log2(p))


# -- secret rows, and where else they stand -------------------------------------------------------------------------------


class Rows:
    """Secret rows of one kind (words, names, steps), and how to find stretches of them in other rows.

    Args:
        secret: rows, each with the number of its part.
        public: rows that weigh nothing wherever they stand in secret ones.
        common: rows, one a file, by which surprise is measured.
        plain: parts whose signs tell nothing, because they are no code: of these only words and numbers count.
    """

    def __init__(
        self, kind: str, secret: list, public: list, common: list, plain: Iterable[int] = ()
    ) -> None:
        self.kind, self.n, self.nameless = kind, SEED[kind], kind == "names"
        self.vocabulary = Vocabulary(self.nameless)
        ids = [self.vocabulary.grow(row) for row, _ in secret]
        background = Background([self.vocabulary.grow(row) for row in common])
        end = np.zeros(1, np.uint64)  # between two rows stands what is equal to nothing
        self.ids = np.concatenate([part for row in ids for part in (row, end)])
        self.bits = np.concatenate([part for row in ids for part in (background.bits(row), [0.0])])
        self.words = [word for row, _ in secret for word in [*row, ""]]
        self.rows = np.repeat(np.arange(len(secret)), [len(row) + 1 for row in ids]).tolist()
        self.parts = [part for _, part in secret]
        for at, word in enumerate(self.words):
            if self.parts[self.rows[at]] in plain and not word[:1].isalnum():
                self.bits[at] = min(self.bits[at], 1.0)
        self.ready()
        for row in public:
            for _, q, n, _ in list(self.stretches(row)):
                self.bits[q : q + n] = 0
        self.ready()
        self.wanted = {
            part: min(ENOUGH[kind], max(LEAST[kind], 0.85 * bits))
            for part, bits in self.weigh().items()
        }

    def ready(self) -> None:
        """Note where seeds stand that are worth looking at."""
        keys, ones = hashes(self.ids, self.n), np.ones(self.n)
        weights, ends = (
            np.convolve(self.bits, ones, "valid"),
            np.convolve(self.ids == 0, ones, "valid"),
        )
        self.at = defaultdict(list)
        for q in np.flatnonzero((weights >= SURPRISING) & (ends < 0.5)).tolist():
            self.at[int(keys[q])].append(q)
        self.seeds = np.array(sorted(self.at), np.uint64)
        self.id_list, self.bit_list = self.ids.tolist(), self.bits.tolist()

    def weigh(self) -> dict[int, float]:
        """The bits that each part has, in its longest form."""
        total = defaultdict(float)
        for part, bits in zip(self.parts, np.bincount(self.rows, self.bits), strict=True):
            total[part] = max(total[part], bits)
        return total

    def stretches(self, row: list[str]) -> Iterator[tuple[int, int, int, float]]:
        """Every stretch of a row that stands in a secret: where in the row, where in the secrets, how long, bits."""
        ids = self.vocabulary.encode(row)
        keys, reached = hashes(ids, self.n), {}
        if not len(keys) or not len(self.seeds):
            return
        near = np.minimum(np.searchsorted(self.seeds, keys), len(self.seeds) - 1)
        hits = np.flatnonzero(self.seeds[near] == keys).tolist()
        ids = ids.tolist() if hits else []
        for p in hits:
            for q in self.at[int(keys[p])]:
                if reached.get(p - q, -1) <= p:
                    n, bits = self.follow(row, ids, p, q)
                    reached[p - q] = p + n
                    if n >= self.n:
                        yield p, q, n, bits

    def follow(self, row: list[str], ids: list[int], p: int, q: int) -> tuple[int, float]:
        """How far a row and a secret agree from here on. Names agree if each stands for one other throughout."""
        here, there, bits, n = {}, {}, 0.0, 0
        while p + n < len(ids) and ids[p + n] == self.id_list[q + n] != 0:
            more = self.bit_list[q + n]
            if self.nameless and ids[p + n] == 1:
                mine, other = row[p + n], self.words[q + n]
                if here.setdefault(mine, other) != other or there.setdefault(other, mine) != mine:
                    break
                more += log2(len(here)) if more else 0
            bits, n = bits + more, n + 1
        return n, bits

    def find(self, row: list[str]) -> list[Found]:
        """Parts of exercises in a row, each put together from stretches that follow one another in the part as they do here."""
        done, growing = [], defaultdict(list)
        for p, q, n, bits in self.stretches(row):
            if bits < SURPRISING:
                continue
            one = self.rows[q]
            done += [(one, chain) for chain in growing[one] if p - chain[1] > GAP]
            growing[one] = [chain for chain in growing[one] if p - chain[1] <= GAP]
            fits = [chain for chain in growing[one] if p >= chain[1] - 2 and q >= chain[2] - 2]
            if fits:
                best = max(fits, key=lambda chain: chain[3])
                best[1:] = p + n, q + n, best[3] + bits - JUMP
            else:
                growing[one].append([p, p + n, q + n, bits])
        done += [(one, chain) for one, chains in growing.items() for chain in chains]
        found = [Found(self.parts[one], bits, first, last) for one, (first, last, _, bits) in done]
        return self.told_apart([one for one in found if one.bits >= self.wanted[one.part]])

    def told_apart(self, found: list[Found]) -> list[Found]:
        """Of parts that are much alike only the one that a place shows best."""
        taken, kept = set(), []
        for one in sorted(found, key=lambda one: (-one.bits, one.part)):
            places = set(range(one.first, one.last))
            if one.bits * len(places - taken) / len(places) >= self.wanted[one.part]:
                kept.append(one)
                taken |= places
        return kept


# -- numbers of hidden cases ----------------------------------------------------------------------------------------------


def flat(value: Any) -> Iterator[float]:
    """All numbers in a value, in order."""
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        yield from (value.real if value.is_complex() else value).double().flatten().tolist()
    elif isinstance(value, np.ndarray):
        yield from value.astype(float).ravel().tolist() if value.dtype.kind in "biuf" else ()
    elif isinstance(value, dict):
        yield from flat(list(value.items()))
    elif isinstance(value, list | tuple | set | frozenset):
        for part in value:
            yield from flat(part)
    elif isinstance(value, int | float | np.number) and abs(value) < 2**53:
        yield float(value)


def digits(value: float) -> int:
    """Digits that tell a value from others, at most four behind the point; none of a 0."""
    return len(f"{abs(value):.4f}".rstrip("0").rstrip(".").replace(".", "").lstrip("0"))


def enough(values: list[float]) -> int:
    """How many values it takes, from the first on, to be no accident; 0 if all of them are too few. A new value is worth its
    digits, one that was there before the choice among those, one that goes on as the last two did nothing."""
    seen, bits = set(), 0.0
    for at, value in enumerate(values):
        if at > 1 and abs(values[at - 2] - 2 * values[at - 1] + value) < NEAR:
            more = 0.0
        elif value in seen:
            more = log2(len(seen))
        else:
            more = min(13.0, 3.3 * max(1, digits(value)))
        seen.add(value)
        bits += more
        if bits >= ENOUGH["values"] and at >= 3:
            return at + 1
    return 0


def blocks(values: list[float]) -> Iterator[list[float]]:
    """Rows of values that are just long enough, one behind the other, and one at the end."""
    at = 0
    while n := enough(values[at:]):
        yield values[at : at + n]
        at += n
    if at < len(values) and (n := enough(values[::-1])):
        yield values[-n:]


class Numbers:
    """Blocks of secret values, and how to find them in other rows of values, and in bytes.

    Args:
        secret: values, the exercise that they belong to, and the number of their part.
        public: values of which no block is secret.
    """

    TYPES = ("<f4", "<f8", "<f2", "<i8", "<i4", "<u1")

    def __init__(
        self, secret: list[tuple[list[float], str, int]], public: list[list[float]]
    ) -> None:
        line = lambda values: "".join(f" {value:.4f} " for value in values)
        given = "\n".join(map(line, public))
        all_blocks = [
            (one, whose, part) for values, whose, part in reversed(secret) for one in blocks(values)
        ]
        made = {(line(one), whose): (one, part) for one, whose, part in all_blocks}
        telling = lambda block: max(
            range(len(block)), key=lambda at: (digits(block[at]), block[at])
        )
        kept = [
            (one, telling(one), part) for (key, _), (one, part) in made.items() if key not in given
        ]
        kept.sort(key=lambda found: found[0][found[1]])
        self.anchors = np.array(
            [one[at] for one, at, _ in kept]
        )  # of each block the value that tells most
        self.place = np.array([at for _, at, _ in kept], int)
        self.parts = [part for *_, part in kept]
        self.blocks = np.full((len(kept), max((len(one) for one, *_ in kept), default=0)), np.nan)
        for row, (one, *_) in zip(self.blocks, kept, strict=True):
            row[: len(one)] = one
        self.index([(data, part) for one, _, part in kept for data in self.as_bytes(np.array(one))])

    def as_bytes(self, values: np.ndarray) -> Iterator[bytes]:
        """A block in every way in which computers keep it."""
        whole = np.array_equal(values, np.rint(values))
        with np.errstate(over="ignore"):
            for kind in map(np.dtype, self.TYPES):
                if kind.kind == "f" or whole and np.array_equal(values.astype(kind), values):
                    yield values.astype(kind).tobytes()

    def index(self, patterns: list[tuple[bytes, int]]) -> None:
        """Of each pattern, for each way in which it may lie across words of eight bytes, the word that tells most."""
        self.eight = defaultdict(list)
        for data, part in patterns:
            for shift in range(min(8, len(data) - 7)):
                at = max(range(shift, len(data) - 7, 8), key=lambda at: len(set(data[at : at + 8])))
                if len(set(data[at : at + 8])) > 1:
                    self.eight[int.from_bytes(data[at : at + 8], "little")].append((data, part, at))
        self.keys = np.array(sorted(self.eight), np.uint64)

    def in_values(self, values: np.ndarray) -> set[int]:
        """The parts of which a block stands in a row of values."""
        found, size, longest = set(), 200_000, self.blocks.shape[1]
        for at in range(0, len(values) if len(self.anchors) else 0, size):
            piece = values[max(0, at - longest) : at + size + longest].astype(float)
            found |= self.in_piece(np.clip(np.nan_to_num(piece), -1e12, 1e12))
        return found

    def in_piece(self, values: np.ndarray) -> set[int]:
        off = NEAR + RELATIVE * abs(values)
        low, high = (
            np.searchsorted(self.anchors, values - off),
            np.searchsorted(self.anchors, values + off),
        )
        many = high - low
        where = np.repeat(
            np.arange(len(values)), many
        )  # every pair of a place and a block whose anchor is near
        block = np.arange(len(where)) - np.repeat(np.cumsum(many) - many - low, many)
        where = where - self.place[block]
        for at in range(self.blocks.shape[1]):
            wanted, place = self.blocks[block, at], where + at
            there = values[np.clip(place, 0, len(values) - 1)]
            close = abs(there - wanted) <= NEAR + RELATIVE * abs(wanted)
            fits = np.isnan(wanted) | (close & (place >= 0) & (place < len(values)))
            where, block = where[fits], block[fits]
        return {self.parts[one] for one in np.unique(block)}

    def in_bytes(self, data: bytes) -> set[int]:
        """The parts of which a block stands in raw bytes."""
        found = set()
        if len(data) < 8 or not len(self.keys):
            return found
        eights = np.frombuffer(data, "<u8", len(data) // 8)
        near = np.minimum(np.searchsorted(self.keys, eights), len(self.keys) - 1)
        for hit in np.flatnonzero(self.keys[near] == eights).tolist():
            for pattern, part, at in self.eight[int(eights[hit])]:
                if part not in found and 8 * hit >= at and data.startswith(pattern, 8 * hit - at):
                    found.add(part)
        return found


# -- all that is secret ---------------------------------------------------------------------------------------------------


class Part(NamedTuple):
    """A secret: whose it is, what it is called, and its code, its texts or its values."""

    exercise: str
    name: str
    code: str = ""
    prose: tuple[str, ...] = ()
    values: tuple = ()


def parts(exercise: AssignedExercise) -> Iterator[Part]:
    """Everything of an exercise that is not handed out."""
    part = lambda name, **what: Part(exercise.id, name, **what)
    yield part("solution", code=exercise.solution)
    for n, answer in enumerate(exercise.other_solutions, 1):
        yield part(f"other solution {n}", code=source(answer))
    for mistake in exercise.mistakes:
        yield part(f"wrong answer {mistake.name!r}", code=source(mistake.wrong_answer))
        yield part(f"what is said of {mistake.name!r}", prose=(mistake.explanation,))
    yield part("explanation", prose=(exercise.explanation,))
    for n, case in enumerate(exercise.hidden, 1):
        yield part(f"hidden case {n}", prose=shown(case), values=(*arguments(case), case))
    if exercise.hidden:
        yield part(
            "hidden cases", prose=shown(tuple(exercise.hidden)), values=(tuple(exercise.hidden),)
        )


def source(answer: Callable | str) -> str:
    """An answer's source."""
    return answer if isinstance(answer, str) else inspect.getsource(answer)


def shown(case: Any) -> tuple[str, ...]:
    """A case as one writes it, and as it is handed on."""
    return without_tensors(case), json.dumps(pack(case))


def without_tensors(case: Any) -> str:
    found = [part for part in arguments(case) if not isinstance(part, Tensor)]
    return ", ".join(
        without_tensors(part) if isinstance(part, tuple) else repr(part) for part in found
    )


def public(exercise: AssignedExercise) -> list[str]:
    """What of an exercise everybody may read."""
    cases = [text for case in exercise.cases for text in shown(case)]
    wanted = [text for one in exercise.properties for text in (one.name, one.test, one.message)]
    return [
        exercise.starter,
        exercise.text,
        exercise.goal,
        exercise.imports,
        exercise.run or "",
        *cases,
        *wanted,
    ]


class Secrets:
    """All parts of some exercises, ready to be looked for. Raises: ValueError if there are none: that would prove nothing."""

    def __init__(self, exercises: Iterable[AssignedExercise]) -> None:
        self.exercises = list(exercises)
        if not self.exercises:
            raise ValueError(
                "there are no assigned exercises, so there is nothing to look for and nothing is proven."
            )
        self.parts = [part for exercise in self.exercises for part in parts(exercise)]
        self.course = [text for some in OF_THE_COURSE.values() for text in some]
        self.public = [
            text for exercise in self.exercises for text in public(exercise)
        ] + self.course
        secret = [
            (list(flat(value)), part.exercise, n)
            for n, part in enumerate(self.parts)
            for value in part.values
        ]
        given = [list(flat(case)) for exercise in self.exercises for case in exercise.cases]
        self.numbers = Numbers(secret, given + [numbers(text).tolist() for text in self.course])

    @cached_property
    def words(self) -> Rows:
        return self.rows(
            "words", [n for n, part in enumerate(self.parts) if part.code or any(part.prose)]
        )

    @cached_property
    def names(self) -> Rows:
        return self.rows("names", [n for n, part in enumerate(self.parts) if part.code])

    @cached_property
    def steps(self) -> Rows:
        rows = [
            (row, n)
            for n, part in enumerate(self.parts)
            if part.code
            for row in compiled(part.code)
        ]
        common = [[step for row in compiled(text) for step in row] for text in read()]
        return Rows("steps", rows, [row for text in self.public for row in compiled(text)], common)

    def rows(self, kind: str, these: list[int]) -> Rows:
        """The words of these parts; code also as Python would write it."""
        texts = [(text, n) for n in these for text in self.parts[n].prose]
        texts += [
            (text, n)
            for n in these
            if (code := self.parts[n].code)
            for text in (code, plainly(code))
        ]
        plain = {n for n in these if self.parts[n].values}
        secret = [(row, n) for text, n in texts if (row := words(text))]
        return Rows(kind, secret, list(map(words, self.public)), list(map(words, read())), plain)

    def too_short(self) -> list[tuple[str, str]]:
        """The parts that no search can tell from what anybody writes."""
        weights, blocks = self.words.weigh(), set(self.numbers.parts)
        return [
            part[:2]
            for n, part in enumerate(self.parts)
            if weights[n] < LEAST["words"] and n not in blocks
        ]


# -- what is in a file ----------------------------------------------------------------------------------------------------


class Unread(Exception):
    """Something that cannot be looked into."""


def opened(name: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    """The files in an archive, if it is one. Raises: Unread."""
    try:
        if data.startswith(b"PK\x03\x04"):
            with zipfile.ZipFile(BytesIO(data)) as archive:
                for member in archive.infolist():
                    with archive.open(member) as file:
                        yield member.filename, file.read(MOST_BYTES + 1)
        elif data[257:262] == b"ustar":
            with tarfile.open(fileobj=BytesIO(data)) as archive:
                for member in filter(tarfile.TarInfo.isfile, archive):
                    yield member.name, archive.extractfile(member).read(MOST_BYTES + 1)
        else:
            for mark, reader in PACKED:
                if re.match(mark, data):
                    with reader.open(BytesIO(data)) as file:
                        yield name.rpartition(".")[0], file.read(MOST_BYTES + 1)
    except BROKEN as error:
        raise Unread(f"an archive that cannot be opened: {error}") from None


def texts(data: bytes) -> list[str]:
    """What bytes say if they are text: in the encoding that they name, or that they must have."""
    for mark, encoding in MARKS:
        if data.startswith(mark):
            return [data.decode(encoding, errors="replace")]
    if b"\0" not in data:
        try:
            return [data.decode()]
        except UnicodeDecodeError:
            if sum(data.count(sign) for sign in range(1, 9)) * 500 < len(data):
                return [data.decode("latin-1")]
    ways = (data, data[::2], data[1::2])  # one byte a sign, or two
    return [b"\n".join(PRINTABLE.findall(way)).decode("ascii") for way in ways]


def unescaped(text: str) -> str:
    """A text without the signs by which JSON and Python write line breaks and letters."""
    if not re.search(r"\\[nrtu\"']", text):
        return text
    text = re.sub(r"\\+u([0-9a-fA-F]{4})", lambda sign: chr(int(sign[1], 16)), text)
    return re.sub(r"\\+[nrt]", "\n", text)


def variants(text: str) -> list[str]:
    """A text as it stands, and as it reads without HTML, and without comments and signs before its lines."""
    found = [text]
    if re.search(r"</|&#?\w+;|<br", text):
        found.append(html.unescape(re.sub(r"<[^<>]{0,3000}>", "", text)))
    bare = LINE_MARK.sub("", found[-1])
    return found + [bare] * (bare != found[-1])


def lists(text: str) -> Iterator[str]:
    """Lists of texts in JSON, each as one text: so notebooks keep their lines. Nothing if it is no JSON."""

    def within(value: Any) -> Iterator[str]:
        if isinstance(value, list) and value and all(isinstance(part, str) for part in value):
            yield "".join(value)
        elif isinstance(value, list | dict):
            for part in value.values() if isinstance(value, dict) else value:
                yield from within(part)

    try:
        yield from within(json.loads(text)) if text.lstrip()[:1] in ("[", "{") else ()
    except (ValueError, RecursionError):
        return


def numbers(text: str) -> np.ndarray:
    """The numbers that a text names, in order; True is 1."""
    return np.array(
        [float({"t": 1, "f": 0}.get(one[0].lower(), one)) for one in NUMBER.findall(text)]
    )


def arrays(data: bytes) -> Iterator[np.ndarray]:
    """The tensors of a .safetensors or .npy file, if it is one."""
    try:
        if data.startswith(b"\x93NUMPY"):
            yield np.lib.format.read_array(BytesIO(data), allow_pickle=False).ravel()
        elif data[8:9] == b"{" and (size := 8 + int.from_bytes(data[:8], "little")) <= len(data):
            for name, about in json.loads(data[8:size]).items():
                if name != "__metadata__":
                    first, last = about["data_offsets"]
                    yield tensor(data[size + first : size + last], about["dtype"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return


def tensor(data: bytes, kind: str) -> np.ndarray:
    """A tensor of a .safetensors file as numbers; an empty one if it is of a type that numpy does not know."""
    if kind == "BF16":
        return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")
    return np.frombuffer(data, TENSORS[kind]) if kind in TENSORS else np.zeros(0)


def strings(value: Any) -> Iterator[str]:
    """The texts among a code object's constants."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple | list | frozenset):
        for part in value:
            yield from strings(part)


class Search:
    """Looks into files for secrets. What was seen before, as in a wheel beside its sources, is not looked at twice."""

    def __init__(self, known: Secrets) -> None:
        self.known, self.inside, self.left = known, 0, MOST_BYTES
        self.before: dict[tuple[bytes, bool], dict[int | None, str]] = {}

    def file(self, name: str, data: bytes) -> dict[int | None, str]:
        """The parts that a file holds, each with an excerpt; under None why something could not be read."""
        self.left = MOST_BYTES
        return self.look(name, data, 0)

    def look(self, name: str, data: bytes, depth: int) -> dict[int | None, str]:
        key = hashlib.sha256(data).digest(), name.endswith(".pyc")
        if key not in self.before:
            try:
                self.left -= len(data) if depth else 0
                if depth > DEEPEST or self.left < 0:
                    raise Unread("more in it than the limits allow")
                self.before[key] = self.every(name, data, depth)
            except Unread as reason:
                return {None: str(reason)}
        return self.before[key]

    def every(self, name: str, data: bytes, depth: int) -> dict[int | None, str]:
        """Look at bytes as all that they may be: an archive, bytecode, tensors, text. Raises: Unread."""
        found, before = (
            dict.fromkeys(self.known.numbers.in_bytes(data), "its numbers, as bytes"),
            self.inside,
        )
        for values in arrays(data):
            found |= dict.fromkeys(self.known.numbers.in_values(values), "its numbers, in a tensor")
        for member, content in opened(name, data):
            self.inside += 1
            found |= self.look(member, content, depth + 1)
        if name.endswith(".pyc") or data.startswith(importlib.util.MAGIC_NUMBER):
            found |= self.bytecode(data, depth)
        for text in texts(data) if self.inside == before else ():
            found |= self.text(text, depth)
        return found

    def bytecode(self, data: bytes, depth: int) -> dict[int | None, str]:
        """Instructions, texts and numbers of a .pyc file, without running it. Raises: Unread."""
        if not data.startswith(importlib.util.MAGIC_NUMBER):
            raise Unread("bytecode of another Python")
        try:
            code = marshal.loads(data[16:])
        except (ValueError, EOFError, TypeError) as error:
            raise Unread(f"bytecode that is none: {error}") from None
        row = all_steps(code)
        found = {
            one.part: "instructions: " + " ".join(row[one.first : one.last])[:EXCERPT]
            for one in self.known.steps.find(row)
        }
        constants = [
            value
            for one in codes(code)
            for value in one.co_consts
            if not isinstance(value, CodeType)
        ]
        values = np.array(list(flat(constants)))
        found |= dict.fromkeys(self.known.numbers.in_values(values), "its numbers, in bytecode")
        return found | self.text("\n".join(strings(constants)), depth)

    def text(self, text: str, depth: int) -> dict[int | None, str]:
        """The parts that a text holds: its words, its numbers, and what is packed in it."""
        found = {}
        for joined in lists(text):
            found |= self.text(joined, depth)
        text = unescaped(text)
        for packed in BASE64.findall(text):
            found |= self.packed(packed, depth)
        text = re.sub(r"[A-Za-z0-9+/]{200,}", " ", text)
        found |= dict.fromkeys(
            self.known.numbers.in_values(numbers(text)), "its numbers, written out"
        )
        for variant in variants(text):
            row = words(variant)
            for one in self.known.words.find(row) + self.known.names.find(row):
                found.setdefault(one.part, " ".join(row[one.first : one.last])[:EXCERPT])
        return found

    def packed(self, text: str, depth: int) -> dict[int | None, str]:
        """What base64 holds, if it is any."""
        text = re.sub(r"[\s=]", "", text)
        try:
            data = base64.b64decode(text + "=" * (-len(text) % 4))
        except binascii.Error:
            return {}
        return self.look("", data, depth + 1)


@cache
def secrets(exercises: tuple[AssignedExercise, ...]) -> Secrets:
    """What is secret of these exercises, worked out once."""
    return Secrets(exercises)


def search(folder: Path, exercises: Iterable[AssignedExercise]) -> Report:
    """Look into every file below a folder. Raises: ValueError if there are no exercises."""
    known = secrets(tuple(exercises))
    report, looking = Report(secrets=len(known.parts), too_short=known.too_short()), Search(known)
    for path in sorted(path for path in Path(folder).rglob("*") if path.is_file()):
        report.files += 1
        for part, excerpt in looking.file(path.name, path.read_bytes()).items():
            whose = ("", "unread") if part is None else known.parts[part][:2]
            report.leaks.append(Leak(path.relative_to(folder).as_posix(), *whose, excerpt))
    report.inside = looking.inside
    return report


def leaks(folder: Path, exercises: Iterable[AssignedExercise]) -> list[Leak]:
    """Everything secret that is found below a folder, each part of an exercise once a file."""
    return search(folder, exercises).leaks
