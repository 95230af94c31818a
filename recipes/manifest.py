"""Write what can be measured into data/manifest.toml: sizes, SHA-256, and which work is in which split.

Run      python recipes/manifest.py data     Takes     about a second

What cannot be measured (origin, licence, description, what it is not good for) is written in the manifest by hand, and kept.
"""

import gzip
import hashlib
import json
import sys
import textwrap
import tomllib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from fmcourse.data import BETWEEN_WORKS, RECORDS, SPLITS, read_items, read_works
from fmcourse.data.images import read_images
from fmcourse.data.speech import SAMPLE_RATE, read_utterances
from fmcourse.files import write_text

HEADER = """\
# What ships in this folder. Prose is written by hand; `python recipes/manifest.py data` measures the rest.
# sha256 and bytes are of the file; contents_sha256 is of what it unpacks to, the same wherever the recipe is run.
"""
MOST_LISTED = 100  # more works than this are counted, not named
EXTRA_COUNTS = {  # what is counted besides the records themselves
    "pairs": {
        "letters": lambda pairs: sum(len(pair.word) for pair in pairs),
        "sounds": lambda pairs: sum(len(pair.sounds) for pair in pairs),
    },
    "sentences": {
        "names": lambda named: sum(
            tag.startswith("B-") for sentence in named for tag in sentence.tags
        ),
        "words": lambda named: sum(len(sentence.words) for sentence in named),
    },
    "questions": {"passages": lambda asked: len({item.passage for item in asked})},
    "definitions": {
        "topics": lambda defined: len({item.topic for item in defined}),
        "words": lambda defined: sum(len(item.text.split()) for item in defined),
    },
    "synonyms": {"words": lambda synonyms: len({item.word for item in synonyms})},
    "opinions": {"letters": lambda opinions: sum(len(opinion.text) for opinion in opinions)},
    "solved": {"tasks": lambda solved: len({item.task for item in solved})},
    "countries": {
        "fields": lambda countries: sum(len(country.fields) for country in countries),
        "words": lambda countries: sum(len(country.text.split()) for country in countries),
    },
}


def measure_file(path: Path) -> dict[str, Any]:
    """Facts of one file, and of each split in it."""
    packed = path.read_bytes()
    contents = gzip.decompress(packed)
    facts = {
        "bytes": len(packed),
        "sha256": hashlib.sha256(packed).hexdigest(),
        "contents_sha256": hashlib.sha256(contents).hexdigest(),
    }
    return facts | size_of(contents)(contents)


def size_of(contents: bytes) -> Callable[[bytes], dict[str, Any]]:
    """How to measure what is in a file, by how it begins."""
    first = json.loads(contents.partition(b"\n")[0])
    if "pictures" in first:
        return sizes_of_images
    if "prompts" in first:
        return sizes_of_sounds
    counted = (
        count for count, record in RECORDS.items() if {*record._fields, "split"} == set(first)
    )
    return partial(sizes_of_items, count) if (count := next(counted, "")) else sizes_of_works


def sizes_of_images(contents: bytes) -> dict[str, Any]:
    """How many pictures each split holds."""
    return {split: {"pictures": len(shown)} for split, shown in read_images(contents)[1].items()}


def sizes_of_sounds(contents: bytes) -> dict[str, Any]:
    """How many prompts each split holds, and how long they last together."""
    return {
        split: {
            "prompts": len(said),
            "seconds": sum(len(prompt.samples) for prompt in said) // SAMPLE_RATE,
        }
        for split, said in read_utterances(contents).items()
    }


def sizes_of_items(count: str, contents: bytes) -> dict[str, Any]:
    """How many records each split holds, and what they are made of."""
    return {
        split: {count: len(items)}
        | {more: measure(items) for more, measure in EXTRA_COUNTS[count].items()}
        for split, items in read_items(contents, RECORDS[count]).items()
    }


def sizes_of_works(contents: bytes) -> dict[str, Any]:
    """How much text each split holds, and in which works."""
    works, facts = read_works(contents), {}
    for split in SPLITS:
        titles = [work.title for work in works if work.split == split]
        text = BETWEEN_WORKS.join(work.text for work in works if work.split == split)
        size = {
            "works": len(titles),
            "characters": len(text),
            "bytes": len(text.encode()),
            "words": len(text.split()),
        }
        facts[split] = size | ({"titles": titles} if len(works) <= MOST_LISTED else {})
    return facts


def toml(value: Any) -> str:
    """A string, number or list of strings; long ones on several lines."""
    if isinstance(value, list):
        return "[\n" + "".join(f"    {toml(item)},\n" for item in value) + "]"
    if isinstance(value, int):
        return str(value)
    quoted = '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if len(quoted) < 100:
        return quoted
    lines = textwrap.wrap(
        " ".join(value.split()), 110, break_long_words=False, break_on_hyphens=False
    )
    return '"""\n' + "\n".join(lines) + '"""'


def table(name: str, entry: dict[str, Any]) -> str:
    """One collection and its splits."""
    plain = {key: value for key, value in entry.items() if not isinstance(value, dict)}
    text = f"\n[{name}]\n" + "".join(f"{key} = {toml(value)}\n" for key, value in plain.items())
    return text + "".join(
        table(f"{name}.{key}", value) for key, value in entry.items() if isinstance(value, dict)
    )


def main(data: Path) -> None:
    manifest = tomllib.loads((data / "manifest.toml").read_text(encoding="utf-8"))
    entries = {name: entry | measure_file(data / entry["file"]) for name, entry in manifest.items()}
    write_text(
        data / "manifest.toml",
        HEADER + "".join(table(name, entry) for name, entry in entries.items()),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
