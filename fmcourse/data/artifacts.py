"""Tables of measurements, and checkpoints: JSON files that carry a checksum of what they hold.

A number that somebody changed by hand, and weights other than those that were trained, are noticed.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fmcourse.data.catalog import DataError, folder
from fmcourse.files import lessons_folder


def checksum(measured: Mapping[str, Any]) -> str:
    """SHA-256 of what a table holds, however its file is laid out."""
    return hashlib.sha256(json.dumps(measured, sort_keys=True).encode()).hexdigest()


def read_checksummed(path: Path) -> dict[str, Any]:
    """What a JSON file holds, without its checksum. Raises: DataError if the two do not agree."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        stated = found.pop("sha256", "")
    except (ValueError, AttributeError, TypeError):  # no JSON, or JSON that is no object
        found, stated = {}, "unreadable"  # equals no checksum, so the error below is raised
    if stated != checksum(found):
        home = "lessons" if path.name == "table.json" else "data"
        file = f"{home}/{path.parent.name}/{path.name}"
        raise DataError(f"{path} is altered. Restore it with `git restore {file}`.")
    return found


def table(name: str) -> dict[str, Any]:
    """Measurements that a recipe made: "command", "date", and what was measured.

    Those of a lesson, "lesson_06", lie in its folder, `lessons/06_.../table.json`; all others in
    `data/tables/NAME.json`.

    Raises: ValueError for an unknown name; DataError if the file is truncated or altered.

    >>> table("lesson_06")["command"]
    'python recipes/measure.py 06'
    """
    files = table_files()
    if name not in files:
        raise ValueError(f"no table named {name!r}; there is: {', '.join(files) or 'none'}.")
    return read_checksummed(files[name])


def table_files() -> dict[str, Path]:
    """The file of each table, by the table's name."""
    of_lessons = sorted(lessons_folder().glob("[0-9][0-9]*_*/table.json"))
    named = {f"lesson_{path.parent.name.split('_')[0]}": path for path in of_lessons}
    return named | {path.stem: path for path in sorted((folder() / "tables").glob("*.json"))}


@dataclass(frozen=True)
class Checkpoint:
    """Weights that ship: tensors by name, and what is known of them (title, config, score, ...)."""

    name: str
    tensors: dict[str, Any] = field(repr=False)
    facts: dict[str, Any]


def checkpoint(name: str) -> Checkpoint:
    """Weights that a recipe trained, `data/checkpoints/NAME.safetensors`; the facts, NAME.json.

    Raises: ValueError for an unknown name; DataError if one of the two files is missing, truncated
        or altered.
    """
    facts, packed = read_checkpoint(name)
    # Late: whoever verifies files or reads a card needs neither safetensors nor torch.
    from safetensors.torch import load as unpack_tensors

    return Checkpoint(name, unpack_tensors(packed), facts)


def read_checkpoint(name: str) -> tuple[dict[str, Any], bytes]:
    """The facts and the weights' file of a checkpoint, if they are those that shipped."""
    path = folder() / "checkpoints" / f"{name}.json"
    if not path.is_file():
        there = ", ".join(sorted(file.stem for file in path.parent.glob("*.json"))) or "none"
        raise ValueError(f"no checkpoint named {name!r}; there is: {there}.")
    facts, weights = read_checksummed(path), path.with_suffix(".safetensors")
    packed = weights.read_bytes() if weights.is_file() else b""
    if hashlib.sha256(packed).hexdigest() != facts["weights_sha256"]:
        short = "truncated" if len(packed) < facts["bytes"] else "altered"
        raise DataError(
            f"{weights} is {short if packed else 'missing'}. "
            f"Restore it with `git restore data/checkpoints/{weights.name}`, "
            f"or train it anew with `{facts['command']}`."
        )
    return facts, packed
