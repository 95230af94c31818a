"""Make synonyms.jsonl.gz: words for what emoji show that stand in no name and no keyword of any
emoji.

Source    Debian wordnet-base 1:3.0-37, index.noun, data.noun and noun.exc; names and keywords of
          emoji.gz, which ships
Licence   WordNet 3.0, Copyright 2006 by Princeton University
Run       python recipes/synonyms.py OUT
Takes     a few seconds; Debian or Ubuntu

By rule alone, none picked and none dropped by hand. A name of one or two words is looked up whole;
its most common meaning as a noun is taken, if its topic is one whose things can be drawn. Each
other word of that entry is a synonym, if it is one word in small letters and neither it nor its
singular or plural stands in a name or keyword, run together or not. Left out are words of which one
meaning is an insult or speaks of sex. A name that ends in another one is an answer too (an oncoming
bus is a bus), unless WordNet knows it whole.
"""

import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from common import unpack_debian, write_records
from topics import PACKAGE, UNFIT

from fmcourse.data import SPLITS, load

FOLDER = "usr/share/wordnet"
DRAWN = {
    *["05", "06", "08", "10", "13", "14", "17", "18", "19", "20", "25", "27"]
}  # topics.py names most; besides: group, object, phenomenon, shape


class Entry(NamedTuple):
    """One meaning: the number of its topic's file, the words for it, and what it says."""

    topic: str
    words: tuple[str, ...]
    gloss: str


def lines(path: Path) -> Iterator[str]:
    """Those after the licence, which is indented."""
    return (line for line in path.read_text("utf-8").splitlines() if not line.startswith("  "))


def entry(line: str) -> tuple[str, Entry]:
    """Where in the file it stands, which is its name there, and what it holds.

    >>> entry('02121620 05 n 02 cat 0 true_cat 0 001 @ 02120997 n 0000 | feline mammal with fur')
    ('02121620', Entry(topic='05', words=('cat', 'true_cat'), gloss='feline mammal with fur'))
    """
    facts, _, gloss = line.partition(" | ")
    place, topic, _, count, *rest = facts.split()
    return place, Entry(topic, tuple(rest[: 2 * int(count, 16) : 2]), gloss.strip())


class Nouns:
    """WordNet's nouns: what a word means, most common meaning first."""

    def __init__(self, folder: Path) -> None:
        self.entries = dict(entry(line) for line in lines(folder / "data.noun"))
        parts = [line.split() for line in lines(folder / "index.noun")]
        self.meanings = {word: rest[-int(count) :] for word, _, count, *rest in parts}
        self.singulars = dict(line.split()[:2] for line in lines(folder / "noun.exc"))

    def base(self, word: str) -> str | None:
        """The form that is looked up: as it is, or in the singular."""
        return next((form for form in (word, *self.singular(word)) if form in self.meanings), None)

    def singular(self, word: str) -> list[str]:
        found = [self.singulars[word]] if word in self.singulars else []
        return found + [
            word.removesuffix(end) + new
            for end, new in (("ies", "y"), ("es", ""), ("s", ""))
            if word.endswith(end)
        ]

    def forms(self, word: str) -> set[str]:
        """The word, its singular and its plural, as they may be spelt."""
        return {word, word + "s", word + "es", *self.singular(word)} | (
            {word[:-1] + "ies"} if word[-1] == "y" else set()
        )

    def unfit(self, word: str) -> bool:
        return any(
            re.search(UNFIT, self.entries[place].gloss) for place in self.meanings.get(word, ())
        )

    def synonyms(self, base: str) -> list[str]:
        """Other words for the most common meaning, if that is a thing that can be drawn."""
        first = self.entries[self.meanings[base][0]]

        def fits(word):
            return re.fullmatch("[a-z]{3,}", word) and not self.unfit(word)

        return [word for word in first.words if fits(word)] if first.topic in DRAWN else []


def emoji() -> tuple[dict[str, str], set[str]]:
    """The split of each name, and all that is written in names and keywords: whole, word by word,
    and run together.
    """
    shown, splits, written = load("emoji"), {}, set()
    for split in SPLITS:
        part = getattr(shown, split)
        for name, keywords in zip(part.names, part.keywords, strict=True):
            splits[name] = split
            for text in (name.lower(), *keywords):
                written |= {text, re.sub(r"\W", "", text), *re.split(r"[^\w’']+", text)}
    return splits, written


def ends_in(name: str, bases: dict[str, str]) -> Iterator[str]:
    """The names, known to WordNet, that this one ends in; itself alone if it is one."""
    words = name.lower().split()
    tails = [" ".join(words[start:]) for start in range(len(words))]
    return (tail for tail in (tails[:1] if tails[0] in bases else tails) if tail in bases)


def pairs(nouns: Nouns) -> Iterator[tuple[str, str, str]]:
    """Split, synonym and name."""
    splits, written = emoji()
    lower = {name.lower() for name in splits}
    short = [name for name in lower if len(name.split()) <= 2]
    bases = {name: base for name in short if (base := nouns.base(name.replace(" ", "_")))}
    for name in sorted(splits):
        found = (word for tail in ends_in(name, bases) for word in nouns.synonyms(bases[tail]))
        for word in dict.fromkeys(found):
            if not nouns.forms(word) & written:
                yield splits[name], word, name


def main(out: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        nouns = Nouns(unpack_debian(*PACKAGE, Path(folder)) / FOLDER)
    works = [{"split": split, "word": word, "name": name} for split, word, name in pairs(nouns)]
    write_records(out / "synonyms.jsonl.gz", works)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
