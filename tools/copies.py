"""The learner's notebooks: copies of the shipped ones, never overwritten once they were changed."""

import contextlib
import hashlib
import itertools
import json
import re
import shutil
from pathlib import Path

from fmcourse.files import write_atomically, write_text
from tools.trouble import StartError

# In `work`: for each notebook the edition that was copied, and the one last offered beside a
# changed copy.
RECORD = Path(".fmcourse") / "notebooks.json"
NAME = re.compile(r"(\d\d[a-z]?)_.+\.ipynb")


def shipped_notebooks(source: Path) -> list[Path]:
    """The lessons' notebooks in a folder, in order."""
    return sorted(path for path in source.glob("*.ipynb") if NAME.fullmatch(path.name))


def lesson_number(path: Path) -> str:
    """The lesson of a notebook: 06 of 06_gpt.ipynb, 07b of 07b_more.ipynb."""
    return path.name.partition("_")[0]


def digest(path: Path) -> str:
    """A hash of the text of the cells: running a notebook does not change it.

    The cell with the reading path is left out, since its line numbers alone are no new edition.
    """
    contents = path.read_bytes()
    with contextlib.suppress(ValueError, KeyError, TypeError):
        cells = [
            [cell["cell_type"], "".join(cell["source"])]
            for cell in json.loads(contents)["cells"]
            if "reading" not in cell.get("metadata", {}).get("fmcourse", {})
        ]
        contents = json.dumps(cells).encode()
    return hashlib.sha256(contents).hexdigest()


def update(work: Path, source: Path) -> list[Path]:
    """Bring the copies in `work` up to date, except changed ones; returns the files written.

    A newer edition of a changed copy is put beside it under another name, once.
    """
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
                f"You changed {copy.name}, and there is a newer edition: "
                f"it lies beside yours as {written[-1].name}."
            )
        record[original.name] = [edition if here == edition else copied, offered]
    write_text(work / RECORD, json.dumps(record, indent=1) + "\n")
    return written


def read_record(record: Path) -> dict[str, list[str]]:
    """The record, empty if missing or damaged: then every copy that differs counts as changed."""
    try:
        found = json.loads(record.read_text(encoding="utf-8"))
        return {name: [str(copied), str(offered)] for name, (copied, offered) in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def duplicate(original: Path, copy: Path) -> Path:
    """Copy a notebook in one step; returns the copy."""
    write_atomically(copy, lambda temporary: shutil.copyfile(original, temporary))
    return copy


def free_path(path: Path, word: str) -> Path:
    """A path beside `path` that is free: 06_gpt.new.ipynb, then 06_gpt.new-2.ipynb."""
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
        for word in (
            lesson_number(path),
            lesson_number(path).removeprefix("0"),
            path.stem,
            path.name,
        )
    }
    unknown = [word for word in wanted if word not in known]
    if unknown or not wanted:
        numbers = ", ".join(map(lesson_number, shipped_notebooks(source))) or "none"
        problem = f"No lesson is called {unknown[0]}" if unknown else "Name a lesson"
        raise StartError(f"{problem}; there are: {numbers}.")
    for original in (known[word] for word in wanted):
        copy = work / original.name
        if copy.exists() and digest(copy) != digest(original):
            print(f"Your {copy.name} is kept as {copy.rename(free_path(copy, 'mine')).name}.")
        copy.unlink(missing_ok=True)
        print(f"{copy.name} starts over.")
    return update(work, source)
