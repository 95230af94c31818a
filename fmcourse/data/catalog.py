"""The data sets of data/manifest.toml: their names and cards, and reading one, checked first."""

import difflib
import gzip
import hashlib
import os
import textwrap
import tomllib
import zlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from fmcourse.data.kinds import KINDS
from fmcourse.data.records import SPLITS
from fmcourse.files import ROOT

CARD_FACTS = {  # label on the card: key of the manifest
    "Origin": "origin",
    "Source": "source",
    "Made by": "recipe",
    "Licence": "licence",
    "Credit": "attribution",
    "Use": "description",
    "Not good for": "not_good_for",
}
CARD_WIDTH = 100


class DataError(OSError):
    """A file of the course is missing, truncated or altered; the message says how to restore it."""


def folder() -> Path:
    """Where the data lie: FMCOURSE_DATA if it is set, else `data` beside the package."""
    return Path(os.environ.get("FMCOURSE_DATA") or ROOT / "data")


def names() -> tuple[str, ...]:
    """The data sets. Raises: DataError where there is no manifest.

    >>> names()[:2]
    ('shakespeare', 'austen')
    """
    return tuple(read_manifest(folder()))


def load(name: str) -> Any:
    """One data set, checked against its SHA-256; from memory the second time.

    Returns: what its kind in the manifest says: a `Corpus` of texts, an `ImageDataset`, or a
        `RecordDataset`. Each has `.train`, `.validation`, `.test` and `.card`.
    Raises: ValueError for an unknown name; DataError if its file is missing, truncated or altered.

    >>> load("shakespeare").works["Hamlet"].text[:6]
    'HAMLET'
    """
    return load_from(folder(), check_name(name))


def card(name: str) -> str:
    """Origin, licence, size and splits of a data set, and what it is not good for.

    Raises: ValueError for an unknown name.

    >>> print(card("austen").splitlines()[0])
    austen: the six novels of Jane Austen
    """
    return card_from(folder(), check_name(name))


def check_name(name: str) -> str:
    """`name` itself. Raises: ValueError with the nearest names if no data set is called that."""
    known = names()
    if name not in known:
        near = difflib.get_close_matches(str(name).lower(), known, n=3, cutoff=0.7) or known
        raise ValueError(
            f"no data named {name!r}; did you mean {' or '.join(near)}? "
            f"There is: {', '.join(known)}."
        )
    return name


# The folder is an argument of what is cached, so that a changed FMCOURSE_DATA takes effect at once.


@lru_cache
def load_from(where: Path, name: str) -> Any:
    """The data set `name` of the folder `where`, read as its kind says."""
    kind = KINDS[read_manifest(where)[name]["kind"]]
    return kind.read(name, read_data_file(where, name), card_from(where, name))


def card_from(where: Path, name: str) -> str:
    """The card of the data set `name` in the folder `where`."""
    entry = read_manifest(where)[name]
    lines = [f"{name}: {entry['title']}", ""]
    for label, key in CARD_FACTS.items():
        lines += wrap(entry[key], first=f"{label:14}", rest=" " * 14)
    # Titles are a list and stand below the table.
    counts = [count for count, value in entry["train"].items() if isinstance(value, int)]
    lines += ["", f"{'split':12}" + "".join(f"{count:>12}" for count in counts)]
    for split in SPLITS:
        lines += [f"{split:12}" + "".join(f"{entry[split][count]:12,}" for count in counts)]
    for split in SPLITS[1:]:
        if titles := entry[split].get("titles"):
            lines += wrap(f"{split}: {', '.join(titles)}", first="", rest="    ")
    return "\n".join(lines)


def wrap(text: str, first: str, rest: str) -> list[str]:
    """A text in lines of a card. Addresses are never cut, so that they can be opened."""
    return textwrap.wrap(
        text,
        CARD_WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


@lru_cache
def read_manifest(where: Path) -> Mapping[str, dict[str, Any]]:
    """The entries of a folder's manifest.toml by name.

    Raises: DataError if there is none, it is no TOML, or a kind in it is not known.
    """
    path = where / "manifest.toml"
    if not path.is_file():
        raise DataError(
            f"{path} is missing, so no data can be found. Work in a clone of the course, "
            "installed with `pip install -e .`, or set FMCOURSE_DATA to its data folder."
        )
    try:
        manifest = tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(
            f"{path} is altered: {error}. Restore it with `git restore data/manifest.toml`."
        ) from error
    for name, entry in manifest.items():
        if entry.get("kind") not in KINDS:
            raise DataError(
                f"{path}: [{name}] has kind={entry.get('kind')!r}, which is not known; "
                f"choose one of {', '.join(KINDS)}, or add a row to fmcourse/data/kinds.py."
            )
    # Read-only, because all callers share the one that is cached.
    return MappingProxyType({name: on_one_line(entry) for name, entry in manifest.items()})


def on_one_line(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry whose prose has lost the line breaks that it has in the manifest."""
    return {
        key: " ".join(value.split()) if isinstance(value, str) else value
        for key, value in entry.items()
    }


def read_data_file(where: Path, name: str) -> bytes:
    """The unpacked file of a data set.

    Raises: DataError unless it is the file that shipped, or holds the same packed by another zlib.
    """
    entry = read_manifest(where)[name]
    path = where / entry["file"]
    restore = (
        f"Restore it with `git restore data/{entry['file']}`, "
        f"or remake it with `python {entry['recipe']} data`."
    )
    if not path.is_file():
        raise DataError(f"{path} is missing. {restore}")
    packed = path.read_bytes()
    digest = hashlib.sha256(packed).hexdigest()
    try:
        contents = gzip.decompress(packed)
    except (OSError, EOFError, zlib.error):
        contents = b""  # its digest is not the one expected, so the error below is raised
    contents_digest = hashlib.sha256(contents).hexdigest()
    if digest != entry["sha256"] and contents_digest != entry["contents_sha256"]:
        what = "truncated" if len(packed) < entry["bytes"] else "altered"
        raise DataError(
            f"{path} is {what}: "
            f"expected {entry['bytes']:,} bytes with SHA-256 {entry['sha256'][:16]}, "
            f"found {len(packed):,} bytes with {digest[:16]}. {restore}"
        )
    return contents
