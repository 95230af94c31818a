"""Is every file the one that shipped?

The standard library is enough, so that the set-up can ask before it installs anything.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fmcourse.data.artifacts import read_checkpoint, table, table_files
from fmcourse.data.catalog import DataError, folder, read_data_file, read_manifest
from fmcourse.files import lessons_folder


@dataclass(frozen=True)
class FileCheck:
    """What `verify` found out about one file; `problem` is empty where all is well."""

    name: str
    file: str
    n_bytes: int
    licence: str
    problem: str


def verify() -> list[FileCheck]:
    """Check every data file against the manifest, every table and checkpoint against its checksum.

    Raises: DataError if there is no manifest.
    """
    where = folder()
    return [*check_data_files(where), *check_tables(where), *check_checkpoints(where)]


def check_data_files(where: Path) -> list[FileCheck]:
    """A row for each data set."""
    return [
        FileCheck(
            name,
            entry["file"],
            entry["bytes"],
            entry["licence"],
            problem_of(read_data_file, where, name),
        )
        for name, entry in read_manifest(where).items()
    ]


def check_tables(where: Path) -> list[FileCheck]:
    """A row for each table, those of the lessons included."""
    rows = []
    for name, path in table_files().items():
        home = where if path.is_relative_to(where) else lessons_folder()
        file, size = path.relative_to(home).as_posix(), path.stat().st_size
        rows.append(FileCheck(name, file, size, "the course's own", problem_of(table, name)))
    return rows


def check_checkpoints(where: Path) -> list[FileCheck]:
    """A row for each checkpoint: facts and weights together."""
    rows = []
    for path in sorted(where.glob("checkpoints/*.json")):
        weights = path.with_suffix(".safetensors")
        size = weights.stat().st_size if weights.is_file() else 0
        problem = problem_of(read_checkpoint, path.stem)
        rows.append(FileCheck(path.stem, f"checkpoints/{weights.name}", size, "MIT", problem))
    return rows


def problem_of(check: Callable[..., object], *arguments: Any) -> str:
    """What a check raises, as text; empty if it passes."""
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
        if row.problem:
            lines.append(f"    {row.problem}")
    return "\n".join(lines)
