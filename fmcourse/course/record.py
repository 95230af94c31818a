"""What a learner has done so far: one small file beside the notebooks, written whole or not at all.

FMCOURSE_PROGRESS names another place. Where nothing can be written it is kept in memory until the kernel stops.
"""

import html
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fmcourse.files import write_text

SECTIONS = ("exercises", "quizzes", "predictions")
UNSAVED: dict[str, Any] = {}  # the record, once no place could be written


def candidate_paths() -> list[Path]:
    """Where the file may be, best first: beside the notebooks, in `work`, in the user's cache folder."""
    if named := os.environ.get("FMCOURSE_PROGRESS"):
        return [Path(named)]
    cache = (
        os.environ.get("LOCALAPPDATA")
        or os.environ.get("XDG_CACHE_HOME")
        or os.path.expanduser("~/.cache")
    )
    here = Path.cwd()
    return [
        here / ".fmcourse" / "progress.json",
        here / "work" / ".fmcourse" / "progress.json",
        Path(os.environ.get("FMCOURSE_CACHE") or Path(cache) / "fmcourse") / "progress.json",
    ]


def load_record() -> dict[str, dict[str, Any]]:
    """The record, empty at first. A file that cannot be understood is set aside under another name, with a sentence."""
    if UNSAVED:
        return UNSAVED
    path = newest_path()
    try:
        record = json.loads(path.read_text(encoding="utf-8")) if path else {}
        if not is_record(record):
            raise ValueError("it is not a record of progress")
    except OSError as error:
        print(
            f"Your progress in {path} cannot be read ({error.strerror}), so what you do now is not saved."
        )
        UNSAVED.update(record := {section: {} for section in SECTIONS})
    except ValueError:
        set_aside(path)
        record = {}
    return UNSAVED or record | {section: record.get(section, {}) for section in SECTIONS}


def newest_path() -> Path | None:
    there = [place for place in candidate_paths() if os.path.isfile(place)]
    return max(there, key=lambda place: place.stat().st_mtime, default=None)


def is_record(record: Any) -> bool:
    groups = (
        [record.get(section, {}) for section in SECTIONS] if isinstance(record, dict) else [None]
    )
    return all(
        isinstance(group, dict) and all(isinstance(notes, dict) for notes in group.values())
        for group in groups
    )


def set_aside(path: Path) -> None:
    """Rename a damaged file, over no other."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    try:
        os.replace(path, aside)
        print(f"Your progress file was damaged. It is kept as {aside.name}, and a new one begins.")
    except OSError:
        print(
            f"Your progress file {path} is damaged and cannot be moved; what you do now is not saved."
        )
        UNSAVED.update({section: {} for section in SECTIONS})


def save_record(record: dict[str, dict[str, Any]]) -> None:
    """Where it was, else in the first place that can be written, else in memory."""
    if UNSAVED:
        return
    usual = [place for place in candidate_paths() if os.path.isdir(place.parent.parent)]
    for place in [path for path in [newest_path()] if path] + usual + candidate_paths()[-1:]:
        try:
            return write_text(place, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
        except OSError:
            continue
    print("Your progress cannot be saved here: it is forgotten when the kernel stops.")
    UNSAVED.update(record)


@contextmanager
def entry(section: str, name: str) -> Iterator[dict[str, Any]]:
    """The notes on one exercise, quiz or prediction, to be changed; saved if they were."""
    record = load_record()
    before = json.dumps(record)
    notes = record[section].setdefault(str(name), {})
    yield notes
    if json.dumps(record) != before:
        save_record(record)


# -- the map --------------------------------------------------------------------------------------------------------------


def progress(lesson: str = "") -> None:
    """Show, lesson by lesson, which exercises are right and which questions are answered; of one `lesson`, given its number.

    Raises: ValueError for a lesson without exercises or notes.
    """
    from fmcourse.plots import publish

    rows = progress_rows()
    if lesson and not any(row[0] == lesson for row in rows):
        raise ValueError(
            f"lesson {lesson!r} is not in the map; there is: {', '.join(row[0] for row in rows)}."
        )
    rows = [row for row in rows if not lesson or row[0] == lesson]
    heads = ["lesson", "exercises", "quizzes", "predictions"]
    widths = [max(len(row[i]) for row in [heads, *rows]) for i in range(4)]
    padded = [
        [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        for row in [heads, *rows]
    ]
    left = 'style="text-align: left"'
    head = "".join(f'<th scope="col" {left}>{cell}</th>' for cell in heads)
    body = "".join(
        f"<tr>{''.join(f'<td {left}>{html.escape(cell)}</td>' for cell in row)}</tr>"
        for row in rows
    )
    page = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    publish("\n".join("  ".join(row).rstrip() for row in padded), page)


def progress_rows() -> list[list[str]]:
    """A row for each lesson that has exercises or notes: its number, then what is done of each kind."""
    from fmcourse.course.exercises import all_exercises

    record = load_record()
    every = [exercise.id for exercise in all_exercises()]
    numbers = sorted(
        {
            name.split(".")[0]
            for name in [*every, *(name for section in SECTIONS for name in record[section])]
        }
    )
    rows = []
    for number in numbers:
        ids = [name for name in every if name.split(".")[0] == number]
        right = [record["exercises"].get(name, {}).get("right", False) for name in ids]
        marks = "".join("●" if done else "○" for done in right)
        rows.append(
            [
                number,
                f"{marks} {sum(right)} of {len(right)}" if ids else "",
                *count_answered(record, number),
            ]
        )
    return rows


def count_answered(record: dict[str, dict[str, Any]], number: str) -> list[str]:
    """How many quizzes and predictions of a lesson have been met, and how many answered."""
    cells = []
    for section in SECTIONS[1:]:
        met = [notes for name, notes in record[section].items() if name.split(".")[0] == number]
        done = sum("chosen" in notes for notes in met)
        cells.append(f"{done} of {len(met)}" if met else "")
    return cells
