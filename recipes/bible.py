"""Make bible.jsonl.gz: 80 books based on the World English Bible, one a line.

Source    Debian sword-text-web 426.0-1, module engWEB2015eb
Licence   public domain; the name is a trademark (below)
Run       python recipes/bible.py OUT
Takes     about a minute; Debian or Ubuntu

A chapter is a heading and a verse a line; psalm titles stand on a line of their own, and a
speaker's name ends in a colon. Notes, cross references, mark-up and the glossary are left out.
"World English Bible" names the unchanged text, so this one is only *based on* it. The module is
read with pysword 0.2.8, installed into a temporary folder.
"""

import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from common import Record, pip_install, unpack_debian, write_records

PACKAGE = (
    "sword-text-web=426.0-1",
    "930b23670b352f0829a306501de4bebb5e654a2df02cde2cbe86b802177868e1",
)
READER = "pysword==0.2.8"
MODULE = "engWEB2015eb"
# Books that share no run of 20 words with any other: Kings, Chronicles, Isaiah or the first three
# Gospels would leak.
VALIDATION = {"Tobit", "Proverbs", "John", "Galatians"}
TEST = {"Jonah", "Job", "Judith", "James", "Revelation of John"}
BLOCK = r"</?(?:div|l|lb|lg|item|list|chapter|milestone)\b[^>]*>"


def plain_text(osis: str) -> str:
    """One verse without mark-up.

    >>> marked_up = '<w lemma="strong:H0430">God</w><note>Elohim</note><w>created</w> '
    >>> plain_text(marked_up + '<l level="1"/>all <w>this</w> .')
    'God created all this.'
    """
    osis = re.sub(r'<div\b[^>]*type="glossary".*', " ", osis, flags=re.S)
    osis = re.sub(r"<note\b.*?</note>|" + BLOCK, " ", osis, flags=re.S)
    osis = re.sub(r"<title\b[^>]*>(.*?)</title>", r" \1\n", osis)
    osis = re.sub(r"<speaker>(.*?)</speaker>", r" \1: ", osis)
    lines = [
        " ".join(line.split())
        for line in re.sub(r"<[^>]*>", "", osis).replace("\u00a0", " ").split("\n")
    ]
    return re.sub(r" +([,.;:?!)”])", r"\1", "\n".join(filter(None, lines)))


def books(root: Path, reader: Path) -> Iterator[tuple[str, str]]:
    """Name and text of each book that the module holds."""
    sys.path.insert(0, str(reader))
    from pysword.modules import SwordModules

    modules = SwordModules(str(root / "usr/share/sword"))
    modules.parse_modules()
    bible = modules.get_bible_from_module(MODULE)
    for book in [book for part in bible.get_structure().get_books().values() for book in part]:
        chapters = []
        for number, length in enumerate(book.chapter_lengths, 1):
            verses = [
                bible.get([book.name], [number], [verse], clean=False)
                for verse in range(1, length + 1)
            ]
            if verses := [verse for verse in map(plain_text, verses) if verse]:
                chapters.append("\n".join([f"{book.name} {number}", *verses]))
        if chapters:
            yield book.name, "\n\n".join(chapters)


def work(title: str, text: str) -> Record:
    split = "validation" if title in VALIDATION else "test" if title in TEST else "train"
    return {"title": title, "split": split, "text": text}


def main(out: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root, reader = unpack_debian(*PACKAGE, Path(folder)), Path(folder) / "reader"
        pip_install(READER, reader)
        write_records(
            out / "bible.jsonl.gz", [work(title, text) for title, text in books(root, reader)]
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
