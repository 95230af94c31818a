"""What data sets are made of: typed records, and how the lines of a file become records.

A file holds one record a line, as JSON, with the split that the record belongs to. No torch is
needed.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

SPLITS = ("train", "validation", "test")
BETWEEN_WORKS = "\n\n\n"  # inside a work there is never more than one empty line


# Long texts, kept whole ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Work:
    """One play, novel or book, whole."""

    title: str
    split: str
    text: str = field(repr=False)  # a whole play would fill the screen

    @classmethod
    def from_line(cls, parts: Mapping[str, Any]) -> "Work":
        """The work in one line of a file."""
        return cls(**parts)


@dataclass(frozen=True)
class CookbookRecipe(Work):
    """One recipe: `text` spells its parts; `page` of the Wikibooks Cookbook names its authors."""

    page: str
    category: str | None
    servings: str | None
    time: str | None
    difficulty: str | None
    ingredients: tuple[str, ...]
    steps: tuple[str, ...]

    @classmethod
    def from_line(cls, parts: Mapping[str, Any]) -> "CookbookRecipe":
        """The recipe in one line of a file; its text is not in the file but written out here."""
        lists = {name: tuple(parts[name]) for name in ("ingredients", "steps")}
        return cls(**{**parts, **lists}, text=format_recipe(parts))


def format_recipe(parts: Mapping[str, Any]) -> str:
    """A recipe as a reader would find it in a book: title, facts, ingredients, numbered steps."""
    known = [key for key in ("category", "servings", "time", "difficulty") if parts[key]]
    facts = [f"{key.capitalize()}: {parts[key]}" for key in known]
    ingredients = ["Ingredients:", *(f"- {line}" for line in parts["ingredients"])]
    steps = ["Steps:", *(f"{number}. {line}" for number, line in enumerate(parts["steps"], 1))]
    blocks = [[parts["title"]], facts, ingredients, steps]
    return "\n\n".join("\n".join(block) for block in blocks if block)  # a recipe may state no facts


@dataclass(frozen=True)
class Corpus:
    """A data set of texts: the text of each split, the works by title, and the card."""

    name: str
    train: str = field(repr=False)
    validation: str = field(repr=False)
    test: str = field(repr=False)
    works: Mapping[str, Work] = field(repr=False)
    card: str = field(repr=False)

    def works_in(self, split: str) -> tuple[Work, ...]:
        """The works of one split. Raises: ValueError for a word that is not in SPLITS.

        >>> from fmcourse.data import load
        >>> [work.title for work in load("austen").works_in("test")]
        ['Northanger Abbey']
        """
        if split not in SPLITS:
            raise ValueError(f"split={split!r} is not known; choose one of {', '.join(SPLITS)}.")
        return tuple(work for work in self.works.values() if work.split == split)


def read_works(contents: bytes, work: type[Work] = Work) -> list[Work]:
    """The works in an unpacked file, in its order."""
    # Lines of bytes, not of text: a text may hold U+2028, where str.splitlines would cut it.
    return [work.from_line(json.loads(line)) for line in contents.splitlines()]


# Small records ------------------------------------------------------------------------------------


class Pronunciation(NamedTuple):
    """A word and how it sounds, in the 39 phonemes of the CMU dictionary."""

    word: str
    sounds: tuple[str, ...]


class TaggedSentence(NamedTuple):
    """A sentence for named-entity recognition: its words, and a tag for each.

    A tag is O (outside of any name), or B- (begins a name) or I- (inside one) with PERSON, PLACE or
    GROUP.
    """

    words: tuple[str, ...]
    tags: tuple[str, ...]


class QuestionAnswer(NamedTuple):
    """A question for extractive question answering: the answer is a span of the passage.

    `passage[start : start + len(answer)] == answer`.
    """

    passage: str
    question: str
    answer: str
    start: int


class Definition(NamedTuple):
    """A noun, what a dictionary says it is, and the topic it belongs to."""

    word: str
    text: str
    topic: str


class Article(NamedTuple):
    """The introduction of an article, what it is about in a few words, and its topic ("" if none).

    The description is "" where the encyclopedia has none.
    """

    title: str
    text: str
    description: str
    topic: str


class Country(NamedTuple):
    """A report on a country in prose, and short facts, each of which is a span of the report."""

    name: str
    text: str
    fields: dict[str, str]


class Synonym(NamedTuple):
    """A word that is in no name and no keyword of any emoji, and the name of one that it means."""

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


@dataclass(frozen=True)
class RecordDataset:
    """A data set of small records: those of each split, and the card.

    >>> from fmcourse.data import load
    >>> dict(load("pronunciation").train)["through"]
    ('TH', 'R', 'UW')
    """

    name: str
    train: tuple[Any, ...] = field(repr=False)
    validation: tuple[Any, ...] = field(repr=False)
    test: tuple[Any, ...] = field(repr=False)
    card: str = field(repr=False)


def read_records(contents: bytes, record: type) -> dict[str, tuple[Any, ...]]:
    """The records of each split in an unpacked file.

    Args:
        record: a NamedTuple; where a field of it is a tuple of words, the file has them as one
            line.
    """
    lists = [key for key, kind in record.__annotations__.items() if kind == tuple[str, ...]]
    found: dict[str, list[Any]] = {split: [] for split in SPLITS}
    for parts in map(json.loads, contents.splitlines()):
        split = parts.pop("split")
        words = {key: tuple(parts[key].split()) for key in lists}
        found[split].append(record(**{**parts, **words}))
    return {split: tuple(items) for split, items in found.items()}
