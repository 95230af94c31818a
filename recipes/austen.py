"""Make austen.jsonl.gz: Jane Austen's six novels, one a line.

Source    Debian r-cran-janeaustenr 1.0.0-1, data/Rdata
Licence   text public domain; package MIT, (c) 2016 Julia Silge
Run       python recipes/austen.py OUT
Takes     about two seconds; Debian or Ubuntu

The package holds each novel as lines of about 70 characters; here a paragraph is one line. Notes by
those who typed the texts in are left out.
"""

import re
import struct
import sys
import tempfile
import zlib
from pathlib import Path

from common import unpack_debian, write_records

PACKAGE = (
    "r-cran-janeaustenr=1.0.0-1",
    "df6bddf211906d1ff404f8ff662c21b34e6660e7f54a311084e749050c019c95",
)
TITLES = {  # as each text begins, in the order of first publication
    "SENSE AND SENSIBILITY": "Sense and Sensibility",
    "PRIDE AND PREJUDICE": "Pride and Prejudice",
    "MANSFIELD PARK": "Mansfield Park",
    "EMMA": "Emma",
    "NORTHANGER ABBEY": "Northanger Abbey",
    "Persuasion": "Persuasion",
}
SPLITS = {"Persuasion": "validation", "Northanger Abbey": "test"}
NOTES = (
    "[At this point in the first",
    "[End volume one of this edition",
)  # and "A NOTE ON THE TEXT" to the end


def strings(block: bytes) -> list[str]:
    """The character vector in one block of an R database: its size, then zlib over R's own binary
    format.

    In that format a string vector is the word 16 and how many, then for each string a word that
    ends in 9 (bits above it give the encoding), its length, and its bytes.
    """
    data = zlib.decompress(block[4:])
    start = data.index(struct.pack(">i", 16))
    (count,), place, found = struct.unpack_from(">i", data, start + 4), start + 8, []
    for _ in range(count):
        kind, length = struct.unpack_from(">ii", data, place)
        if kind & 255 != 9:
            raise ValueError(
                f"byte {place} of the novel does not start a string; the package has "
                f"changed its format."
            )
        found.append(data[place + 8 : place + 8 + length].decode())
        place += 8 + length
    return found


def blocks(database: bytes) -> list[bytes]:
    """The database cut where its blocks end."""
    found = []
    while database:
        reader = zlib.decompressobj()
        reader.decompress(database[4:])
        size = len(database) - len(reader.unused_data)
        found.append(database[:size])
        database = database[size:]
    return found


def novel(lines: list[str]) -> str:
    """Paragraphs on one line each, an empty line between them."""
    paragraphs = [
        " ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", "\n".join(lines))
    ]
    if "A NOTE ON THE TEXT" in paragraphs:
        paragraphs = paragraphs[: paragraphs.index("A NOTE ON THE TEXT")]
    return "\n\n".join(
        paragraph for paragraph in paragraphs if paragraph and not paragraph.startswith(NOTES)
    )


def main(out: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = unpack_debian(*PACKAGE, Path(folder))
        database = (root / "usr/lib/R/site-library/janeaustenr/data/Rdata.rdb").read_bytes()
    texts = {lines[0]: novel(lines) for lines in map(strings, blocks(database))}
    works = [
        {"title": title, "split": SPLITS.get(title, "train"), "text": texts[first]}
        for first, title in TITLES.items()
    ]
    write_records(out / "austen.jsonl.gz", works)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
