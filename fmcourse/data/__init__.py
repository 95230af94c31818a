"""The data that ship with the course: every file checked before use, every collection with a card and fixed splits.

A collection is a file of works, one a line. Whole works are train, validation or test: a model is never asked about the
second half of a play whose first half it has learnt.
"""

import difflib
import gzip
import hashlib
import json
import os
import textwrap
import tomllib
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from fmcourse.files import ROOT, lessons_folder

SPLITS = ("train", "validation", "test")
COUNT_KEYS = (
    *(
        "works",
        "pairs",
        "sentences",
        "questions",
        "definitions",
        "countries",
        "prompts",
        "pictures",
        "synonyms",
        "opinions",
        "solved",
    ),
    *(
        "passages",
        "names",
        "topics",
        "tasks",
        "fields",
        "seconds",
        "characters",
        "letters",
        "sounds",
        "bytes",
        "words",
    ),
)  # what a card may say of a split
BETWEEN_WORKS = "\n\n\n"  # inside a work there is never more than one empty line


class DataError(OSError):
    """A file of the course is missing, truncated or altered; the message says how to restore it."""


@dataclass(frozen=True)
class Work:
    """One play, novel or book, whole."""

    title: str
    split: str
    text: str = field(repr=False)


@dataclass(frozen=True)
class CookbookRecipe(Work):
    """One recipe: `text` is its parts written out; `page` of the Wikibooks Cookbook names its authors."""

    page: str
    category: str | None
    servings: str | None
    time: str | None
    difficulty: str | None
    ingredients: tuple[str, ...]
    steps: tuple[str, ...]


@dataclass(frozen=True)
class Corpus:
    """A collection: the text of each split, the works by title, and the card."""

    name: str
    train: str = field(repr=False)
    validation: str = field(repr=False)
    test: str = field(repr=False)
    works: Mapping[str, Work] = field(repr=False)
    card: str = field(repr=False)

    def works_in(self, split: str) -> tuple[Work, ...]:
        """The works of one split. Raises: ValueError for a word that is not in SPLITS.

        >>> [work.title for work in load("austen").works_in("test")]
        ['Northanger Abbey']
        """
        if split not in SPLITS:
            raise ValueError(f"split={split!r} is not known; choose one of {', '.join(SPLITS)}.")
        return tuple(work for work in self.works.values() if work.split == split)


class Pronunciation(NamedTuple):
    """A word and how it sounds, in the 39 sounds of the CMU dictionary."""

    word: str
    sounds: tuple[str, ...]


class TaggedSentence(NamedTuple):
    """A sentence, word by word, and a tag for each: O, or B- and I- with PERSON, PLACE or GROUP."""

    words: tuple[str, ...]
    tags: tuple[str, ...]


class QuestionAnswer(NamedTuple):
    """A question whose answer stands in the passage: `passage[start : start + len(answer)] == answer`."""

    passage: str
    question: str
    answer: str
    start: int


class Definition(NamedTuple):
    """A noun, what a dictionary says it is, and the topic it belongs to."""

    word: str
    text: str
    topic: str


class Country(NamedTuple):
    """A report on a country in prose, and short facts, each of which stands in the report letter by letter."""

    name: str
    text: str
    fields: dict[str, str]


class Synonym(NamedTuple):
    """A word that stands in no name and no keyword of any emoji, and a name of one that shows what it means."""

    word: str
    name: str


class SentimentWord(NamedTuple):
    """A word, and whether people call it "positive" or "negative"."""

    text: str
    label: str


class TaskExample(NamedTuple):
    """A small task, what is given in it, and the answer: "capital", "France", "Paris"."""

    task: str
    given: str
    answer: str


RECORDS = {
    "pairs": Pronunciation,
    "sentences": TaggedSentence,
    "questions": QuestionAnswer,
    "definitions": Definition,
    "countries": Country,
    "synonyms": Synonym,
    "opinions": SentimentWord,
    "solved": TaskExample,
}


@dataclass(frozen=True)
class Items:
    """A collection of small records: those of each split, and the card.

    >>> dict(load("pronunciation").train)["through"]
    ('TH', 'R', 'UW')
    """

    name: str
    train: tuple[Any, ...] = field(repr=False)
    validation: tuple[Any, ...] = field(repr=False)
    test: tuple[Any, ...] = field(repr=False)
    card: str = field(repr=False)


@dataclass(frozen=True)
class FileCheck:
    """What `verify` found out about one file; `problem` is empty where all is well."""

    name: str
    file: str
    n_bytes: int
    licence: str
    problem: str


def folder() -> Path:
    """Where the data lie: FMCOURSE_DATA if it is set, else `data` beside the package."""
    return Path(os.environ.get("FMCOURSE_DATA") or ROOT / "data")


def names() -> tuple[str, ...]:
    """The collections. Raises: DataError where there is no manifest.

    >>> names()[:2]
    ('shakespeare', 'austen')
    """
    return tuple(_manifest(folder()))


def load(name: str) -> Any:
    """One collection: a `Corpus` of texts, `Items`, or `pictures.ImageDataset`, checked against its SHA-256, from memory the second time.

    Raises: ValueError for an unknown name; DataError if its file is missing, truncated or altered.

    >>> load("shakespeare").works["Hamlet"].text[:6]
    'HAMLET'
    """
    return _load(folder(), _check_name(name))


def card(name: str) -> str:
    """Where a collection comes from, its licence, its size and splits, and what it is not good for.

    Raises: ValueError for an unknown name.

    >>> print(card("austen").splitlines()[0])
    austen: the six novels of Jane Austen
    """
    return _card(folder(), _check_name(name))


def _card(where: Path, name: str) -> str:
    entry = _manifest(where)[name]
    facts = [
        ("Origin", "origin"),
        ("Source", "source"),
        ("Made by", "recipe"),
        ("Licence", "licence"),
    ]
    facts += [("Credit", "attribution"), ("Use", "description"), ("Not good for", "not_good_for")]
    lines = [f"{name}: {entry['title']}", ""]
    for label, key in facts:
        lines += textwrap.wrap(
            entry[key], 100, initial_indent=f"{label:14}", subsequent_indent=" " * 14
        )
    counts = [count for count in COUNT_KEYS if count in entry["train"]]
    lines += ["", f"{'split':12}" + "".join(f"{count:>12}" for count in counts)]
    for split in SPLITS:
        lines += [f"{split:12}" + "".join(f"{entry[split][count]:12,}" for count in counts)]
    for split in SPLITS[1:]:
        if titles := entry[split].get("titles"):
            lines += textwrap.wrap(f"{split}: {', '.join(titles)}", 100, subsequent_indent="    ")
    return "\n".join(lines)


def verify() -> list[FileCheck]:
    """Check every file against the manifest, every table and checkpoint against its seal. Raises: DataError if there is no manifest."""
    where, rows = folder(), []
    for name, entry in _manifest(where).items():
        rows.append(
            FileCheck(
                name,
                entry["file"],
                entry["bytes"],
                entry["licence"],
                _problem(_read_verified_bytes, where, name),
            )
        )
    for name, path in table_files().items():
        file = path.relative_to(
            where if path.is_relative_to(where) else lessons_folder()
        ).as_posix()
        rows.append(
            FileCheck(name, file, path.stat().st_size, "the course's own", _problem(table, name))
        )
    for path in sorted(where.glob("checkpoints/*.json")):
        weights = path.with_suffix(".safetensors")
        size = weights.stat().st_size if weights.is_file() else 0
        rows.append(
            FileCheck(
                path.stem,
                f"checkpoints/{weights.name}",
                size,
                "MIT",
                _problem(_read_checkpoint, path.stem),
            )
        )
    return rows


def _problem(check: Callable[..., object], *arguments: Any) -> str:
    try:
        check(*arguments)
    except DataError as error:
        return str(error)
    return ""


def verify_table(rows: list[FileCheck] | None = None) -> str:
    """The rows of `verify` as a table, one line a file, what is wrong below it."""
    lines = [f"{'name':15}{'file':32}{'bytes':>11}  {'':7}licence"]
    for row in verify() if rows is None else rows:
        verdict = "FAILED" if row.problem else "ok"
        lines.append(f"{row.name:15}{row.file:32}{row.n_bytes:11,}  {verdict:7}{row.licence}")
        lines += [f"    {row.problem}"] if row.problem else []
    return "\n".join(lines)


def table(name: str) -> dict[str, Any]:
    """Measurements that a recipe made and that ship: "command", "date", and what was measured.

    Those of a lesson, "lesson_06", lie in its folder, `lessons/06_.../table.json`; all others in `data/tables/NAME.json`.

    Raises: ValueError for an unknown name; DataError if the file is truncated or altered.

    >>> table("lesson_06")["command"]
    'python recipes/measure.py 06'
    """
    there = table_files()
    if name not in there:
        raise ValueError(f"no table named {name!r}; there is: {', '.join(there) or 'none'}.")
    return _read_verified(there[name])


def table_files() -> dict[str, Path]:
    """The tables there are, by name, and the file of each."""
    of_lessons = sorted(lessons_folder().glob("[0-9][0-9]*_*/table.json"))
    named = {f"lesson_{path.parent.name.split('_')[0]}": path for path in of_lessons}
    return named | {path.stem: path for path in sorted((folder() / "tables").glob("*.json"))}


def _read_verified(path: Path) -> dict[str, Any]:
    """What a sealed file holds, without its seal."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        seal = found.pop("sha256", "")
    except (ValueError, AttributeError, TypeError):
        found, seal = {}, "unreadable"
    if seal != checksum(found):
        home = "lessons" if path.name == "table.json" else "data"
        raise DataError(
            f"{path} is altered. Restore it with `git restore {home}/{path.parent.name}/{path.name}`."
        )
    return found


@dataclass(frozen=True)
class Checkpoint:
    """Weights that ship: tensors by name, and what is known of them (title, config, score, ...)."""

    name: str
    tensors: dict[str, Any] = field(repr=False)
    facts: dict[str, Any]


def checkpoint(name: str) -> Checkpoint:
    """Weights that a recipe trained and that ship, `data/checkpoints/NAME.safetensors`, with the facts beside them in NAME.json.

    Raises: ValueError for an unknown name; DataError if one of the two files is missing, truncated or altered.
    """
    facts, packed = _read_checkpoint(name)
    from safetensors.torch import (
        load as tensors,
    )  # late: what reads no weights needs neither it nor torch

    return Checkpoint(name, tensors(packed), facts)


def _read_checkpoint(name: str) -> tuple[dict[str, Any], bytes]:
    """The facts and the file of a checkpoint, if they are those that shipped."""
    path = folder() / "checkpoints" / f"{name}.json"
    if not path.is_file():
        there = ", ".join(sorted(file.stem for file in path.parent.glob("*.json"))) or "none"
        raise ValueError(f"no checkpoint named {name!r}; there is: {there}.")
    facts, weights = _read_verified(path), path.with_suffix(".safetensors")
    packed = weights.read_bytes() if weights.is_file() else b""
    if hashlib.sha256(packed).hexdigest() != facts["weights_sha256"]:
        what = (
            "missing" if not packed else "truncated" if len(packed) < facts["bytes"] else "altered"
        )
        raise DataError(
            f"{weights} is {what}. Restore it with `git restore data/checkpoints/{weights.name}`, "
            f"or train it anew with `{facts['command']}`."
        )
    return facts, packed


def checksum(measured: Mapping[str, Any]) -> str:
    """SHA-256 of what a table holds, however it is laid out."""
    return hashlib.sha256(json.dumps(measured, sort_keys=True).encode()).hexdigest()


def read_works(contents: bytes) -> list[Work]:
    """The works in an unpacked file."""
    return [
        _work(json.loads(line)) for line in contents.splitlines()
    ]  # of bytes: a text may hold U+2028, a line end


def read_items(contents: bytes, record: type) -> dict[str, tuple[Any, ...]]:
    """The records of each split in an unpacked file; what is a tuple of words there is a line of words in the file."""
    found: dict[str, list[Any]] = {split: [] for split in SPLITS}
    for parts in map(json.loads, contents.splitlines()):
        split, kinds = parts.pop("split"), record.__annotations__
        words = {
            key: tuple(value.split())
            for key, value in parts.items()
            if kinds[key] == tuple[str, ...]
        }
        found[split].append(record(**parts | words))
    return {split: tuple(items) for split, items in found.items()}


def _work(parts: dict[str, Any]) -> Work:
    if "steps" not in parts:
        return Work(**parts)
    parts = {
        key: tuple(value) if isinstance(value, list) else value for key, value in parts.items()
    }
    return CookbookRecipe(**parts, text=_format_recipe(parts))


def _format_recipe(parts: Mapping[str, Any]) -> str:
    """A recipe as a reader would find it in a book."""
    told = [key for key in ("category", "servings", "time", "difficulty") if parts[key]]
    facts = [f"{key.capitalize()}: {parts[key]}" for key in told]
    ingredients = ["Ingredients:", *(f"- {line}" for line in parts["ingredients"])]
    steps = ["Steps:", *(f"{number}. {line}" for number, line in enumerate(parts["steps"], 1))]
    return "\n\n".join(
        "\n".join(block) for block in ([parts["title"]], facts, ingredients, steps) if block
    )


@lru_cache
def _manifest(where: Path) -> Mapping[str, dict[str, Any]]:
    path = where / "manifest.toml"
    if not path.is_file():
        raise DataError(
            f"{path} is missing, so no data can be found. Work in a clone of the course, installed with "
            "`pip install -e .`, or set FMCOURSE_DATA to its data folder."
        )
    try:
        manifest = tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(
            f"{path} is altered: {error}. Restore it with `git restore data/manifest.toml`."
        ) from error
    joined = lambda entry: {key: _unwrap(value) for key, value in entry.items()}
    return MappingProxyType({name: joined(entry) for name, entry in manifest.items()})


def _unwrap(value: Any) -> Any:
    """Prose without the line breaks it has in the manifest."""
    return " ".join(value.split()) if isinstance(value, str) else value


def _check_name(name: str) -> str:
    if name not in names():
        near = difflib.get_close_matches(str(name).lower(), names(), n=3, cutoff=0.7) or names()
        raise ValueError(
            f"no data named {name!r}; did you mean {' or '.join(near)}? There is: {', '.join(names())}."
        )
    return name


def _read_verified_bytes(where: Path, name: str) -> bytes:
    """The unpacked file, if it is the one that shipped or holds the same works packed by another zlib."""
    entry = _manifest(where)[name]
    path = where / entry["file"]
    if not path.is_file():
        raise DataError(f"{path} is missing. {_restore(entry)}")
    packed = path.read_bytes()
    digest = hashlib.sha256(packed).hexdigest()
    try:
        contents = gzip.decompress(packed)
    except (OSError, EOFError, zlib.error):
        contents = b""
    if (
        digest != entry["sha256"]
        and hashlib.sha256(contents).hexdigest() != entry["contents_sha256"]
    ):
        what = "truncated" if len(packed) < entry["bytes"] else "altered"
        raise DataError(
            f"{path} is {what}: expected {entry['bytes']:,} bytes with SHA-256 {entry['sha256'][:16]}, "
            f"found {len(packed):,} bytes with {digest[:16]}. {_restore(entry)}"
        )
    return contents


def _restore(entry: Mapping[str, Any]) -> str:
    return f"Restore it with `git restore data/{entry['file']}`, or remake it with `python {entry['recipe']} data`."


@lru_cache
def _load(where: Path, name: str) -> Any:
    contents, sizes = _read_verified_bytes(where, name), _manifest(where)[name]["train"]
    if "pictures" in sizes:
        from fmcourse.data.images import (
            ImageDataset,
            read_images,
        )  # late: pictures need torch, cards and texts do not

        called, splits = read_images(contents)
        return ImageDataset(name=name, **called, **splits, card=_card(where, name))
    if "prompts" in sizes:
        from fmcourse.data.speech import read_utterances

        return Items(name=name, **read_utterances(contents), card=_card(where, name))
    if record := next((RECORDS[count] for count in sizes if count in RECORDS), None):
        return Items(name=name, **read_items(contents, record), card=_card(where, name))
    works = read_works(contents)
    texts = {
        split: BETWEEN_WORKS.join(work.text for work in works if work.split == split)
        for split in SPLITS
    }
    titles = MappingProxyType({work.title: work for work in works})
    return Corpus(name=name, **texts, works=titles, card=_card(where, name))
