"""The learner's own notebooks: copies of those that ship, never overwritten once they were changed."""

import contextlib
import hashlib
import itertools
import json
import shutil
from pathlib import Path

from fmcourse.files import write_atomically, write_text
from tools.trouble import StartError

RECORD = (
    Path(".fmcourse") / "notebooks.json"
)  # in work: the edition copied, and the one laid beside a changed copy


def shipped_notebooks(source: Path) -> list[Path]:
    return sorted(source.glob("[0-9][0-9]*_*.ipynb"))


def digest(path: Path) -> str:
    """Of what a learner writes in a notebook, the text of its cells: to have run it is not to have changed it."""
    contents = path.read_bytes()
    with contextlib.suppress(ValueError, KeyError, TypeError):
        cells = [
            [cell["cell_type"], "".join(cell["source"])] for cell in json.loads(contents)["cells"]
        ]
        contents = json.dumps(cells).encode()
    return hashlib.sha256(contents).hexdigest()


def update(work: Path, source: Path) -> list[Path]:
    """Bring the copies in `work` up to date, except those that were changed; returns the files written."""
    record, written = read_record(work / RECORD), []
    for original in shipped_notebooks(source):
        copy, edition = work / original.name, digest(original)
        copied, offered = record.get(original.name, ["", ""])
        here = digest(copy) if copy.exists() else ""
        if not here or here == copied != edition:
            written.append(duplicate(original, copy))
            here = edition
        if here != edition and edition not in (copied, offered):
            written.append(duplicate(original, free_path(copy, "new")))
            offered = edition
            print(
                f"You changed {copy.name}, and there is a newer edition: it lies beside yours as {written[-1].name}."
            )
        record[original.name] = [edition if here == edition else copied, offered]
    write_text(work / RECORD, json.dumps(record, indent=1) + "\n")
    return written


def read_record(record: Path) -> dict[str, list[str]]:
    """The record; an empty one if it is missing or damaged, and then every copy that differs counts as changed."""
    try:
        found = json.loads(record.read_text(encoding="utf-8"))
        return {name: [str(copied), str(offered)] for name, (copied, offered) in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def duplicate(original: Path, copy: Path) -> Path:
    write_atomically(copy, lambda temporary: shutil.copyfile(original, temporary))
    return copy


def free_path(path: Path, word: str) -> Path:
    """A name beside `path` that no file has: 06_gpt.new.ipynb, then 06_gpt.new-2.ipynb."""
    words = itertools.chain([word], (f"{word}-{n}" for n in itertools.count(2)))
    names = (path.with_suffix(f".{word}{path.suffix}") for word in words)
    return next(name for name in names if not name.exists())


def reset(wanted: list[str], work: Path, source: Path) -> list[Path]:
    """Start lessons over, keeping changed copies under another name; returns the files written.

    Raises: StartError, before anything is touched, if a lesson is not there.
    """
    known = {
        word: path
        for path in shipped_notebooks(source)
        for word in (path.name[:2], path.stem, path.name)
    }
    unknown = [word for word in wanted if word.zfill(2) not in known]
    if unknown or not wanted:
        there = ", ".join(path.name[:2] for path in shipped_notebooks(source)) or "none"
        raise StartError(
            (f"No lesson is called {unknown[0]}" if unknown else "Name a lesson")
            + f"; there are: {there}."
        )
    for original in (known[word.zfill(2)] for word in wanted):
        copy = work / original.name
        if copy.exists() and digest(copy) != digest(original):
            print(f"Your {copy.name} is kept as {copy.rename(free_path(copy, 'mine')).name}.")
        copy.unlink(missing_ok=True)
        print(f"{copy.name} starts over.")
    return update(work, source)
