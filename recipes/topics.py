"""Make topics.jsonl.gz: nouns, what a dictionary says they are, and which of ten topics they belong
to.

Source    Debian wordnet-base 1:3.0-37, data.noun
Licence   WordNet 3.0, Copyright 2006 by Princeton University
Run       python recipes/topics.py OUT
Takes     a few seconds; Debian or Ubuntu

WordNet's makers wrote nouns into files by topic, and each entry still names its file; ten of these
topics are taken, EACH definitions of each at most, chosen by a hash of the definition. Taken is the
first word of an entry, if it is written small, and the definition without its example sentences.
Definitions of fewer than FEWEST words are left out, and so are those that serve two topics, that
call their word an insult, or that speak of sex. Entries of one word, and entries with the same
definition, are in one split.
"""

import hashlib
import re
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from common import unpack_debian, write_records

PACKAGE = (
    "wordnet-base=1:3.0-37",
    "61060d960f9ada8fa120872312eccd3ecebfbab8c4579e4f5a74e1cf67620752",
)
FILE = "usr/share/wordnet/data.noun"
TOPICS = {  # the number of a file of WordNet's makers, and its name
    "04": "act",
    "05": "animal",
    "06": "artifact",
    "08": "body",
    "10": "communication",
    "13": "food",
    "15": "location",
    "18": "person",
    "20": "plant",
    "27": "substance",
}
EACH = 1000
FEWEST = 4
UNFIT = (
    r"\bsex\b|slang term|offensive|disparag|derogat|vulgar|obscen|\bslur|insult|contempt"
    r"|sexual|coitus|prostitut"
)

Entry = tuple[str, str, str]  # word, definition, topic


def stable_hash(text: str) -> int:
    return int(hashlib.sha256(text.encode()).hexdigest(), 16)


def entry(line: str) -> Entry | None:
    """Word, definition and topic, if it is taken.

    >>> line = "02121620 05 n 02 cat 0 true_cat 0 001 @ 02120997 n 0000 | feline mammal with fur; "
    >>> entry(line + '"a cat purrs"  ')
    ('cat', 'feline mammal with fur', 'animal')
    """
    facts, _, gloss = line.partition(" | ")
    _, file, _, _, word, *_ = facts.split()
    text = " ".join(gloss.split('"')[0].split()).rstrip("; :")
    fits = (
        file in TOPICS
        and word.islower()
        and len(text.split()) >= FEWEST
        and not re.search(UNFIT, gloss)
    )
    return (word.replace("_", " "), text, TOPICS[file]) if fits else None


def entries(root: Path) -> list[Entry]:
    """All that are taken, EACH of a topic, in the order of WordNet."""
    lines = (root / FILE).read_text("utf-8").splitlines()
    found = list(
        dict.fromkeys(filter(None, (entry(line) for line in lines if not line.startswith("  "))))
    )
    topics = defaultdict(set)
    for _, text, topic in found:
        topics[text].add(topic)
    chosen, taken = set(), Counter()
    for item in sorted(found, key=lambda item: stable_hash(item[1] + item[0])):
        if len(topics[item[1]]) == 1 and taken[item[2]] < EACH:
            chosen.add(item)
            taken[item[2]] += 1
    return [item for item in found if item in chosen]


def families(items: Iterable[Entry]) -> Iterator[tuple[Entry, str]]:
    """Each entry with the first word of its family: entries that share a word or a definition,
    directly or through others.
    """
    first: dict[str, str] = {}

    def root(name: str) -> str:
        while (above := first.setdefault(name, name)) != name:
            name = above
        return name

    for word, text, _ in items:
        ends = sorted((root(word), root(f"= {text}")), reverse=True)
        first[ends[1]] = ends[0]
    for item in items:
        yield item, root(item[0])


def split_of(family: str) -> str:
    """Eight of ten families train, one validation, one test."""
    return {8: "validation", 9: "test"}.get(stable_hash(family) % 10, "train")


def main(out: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = entries(unpack_debian(*PACKAGE, Path(folder)))
    works = [
        {"split": split_of(family), "word": word, "text": text, "topic": topic}
        for (word, text, topic), family in families(found)
    ]
    write_records(out / "topics.jsonl.gz", works)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
