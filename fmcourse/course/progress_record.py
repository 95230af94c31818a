"""What a learner has done so far: a small file beside the notebooks, written whole or not at all.

FMCOURSE_PROGRESS names another place. Where nothing can be written, the record is kept in memory
until the kernel stops.
"""

import html
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fmcourse.course import library
from fmcourse.course.showing import publish
from fmcourse.files import write_text

SECTIONS = ("exercises", "quizzes", "predictions")
UNSAVED: dict[str, Any] = {}  # the record, once no place could be written


def candidate_paths() -> list[Path]:
    """Where the file may be, best first: beside the notebooks, in `work`, in the user's cache."""
    if named := os.environ.get("FMCOURSE_PROGRESS"):
        return [Path(named)]
    caches = os.environ.get("LOCALAPPDATA") or os.environ.get("XDG_CACHE_HOME")
    cache = Path(caches or os.path.expanduser("~/.cache")) / "fmcourse"
    here = Path.cwd()
    return [
        here / ".fmcourse" / "progress.json",
        here / "work" / ".fmcourse" / "progress.json",
        Path(os.environ.get("FMCOURSE_CACHE") or cache) / "progress.json",
    ]


def load_record() -> dict[str, dict[str, Any]]:
    """The record, empty at first.

    A file that cannot be understood is set aside under another name, with a sentence.
    """
    if UNSAVED:
        return UNSAVED
    path = newest_path()
    try:
        record = json.loads(path.read_text(encoding="utf-8")) if path else {}
        if not is_record(record):
            raise ValueError("it is not a record of progress")
    except OSError as error:
        print(
            f"Your progress in {path} cannot be read ({error.strerror}), "
            "so what you do now is not saved."
        )
        UNSAVED.update({section: {} for section in SECTIONS})
    except ValueError:
        set_aside(path)
        record = {}
    return UNSAVED or record | {section: record.get(section, {}) for section in SECTIONS}


def newest_path() -> Path | None:
    """The file that was written last, of those that are there."""
    there = [path for path in candidate_paths() if os.path.isfile(path)]
    return max(there, key=lambda path: path.stat().st_mtime, default=None)


def is_record(record: Any) -> bool:
    """Does it hold sections of notes, whatever else it holds?"""
    if not isinstance(record, dict):
        return False
    sections = [record.get(section, {}) for section in SECTIONS]
    return all(
        isinstance(section, dict) and all(isinstance(notes, dict) for notes in section.values())
        for section in sections
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
            f"Your progress file {path} is damaged and cannot be moved; "
            "what you do now is not saved."
        )
        UNSAVED.update({section: {} for section in SECTIONS})


def save_record(record: dict[str, dict[str, Any]]) -> None:
    """Where it was, else in the first place that can be written, else in memory."""
    if UNSAVED:
        return
    newest = newest_path()
    usual = [path for path in candidate_paths() if os.path.isdir(path.parent.parent)]
    for path in [*([newest] if newest else []), *usual, candidate_paths()[-1]]:
        try:
            write_text(path, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
            return
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


# -- the table ----------------------------------------------------------------------------------


def progress(lesson: str = "") -> None:
    """Show, lesson by lesson, which exercises are right and which questions are answered.

    Args:
        lesson: the number of one lesson, "06"; all of them if it is empty.
    Raises: ValueError for a lesson without exercises or notes.
    """
    rows = progress_rows()
    numbers = [row[0] for row in rows]
    if lesson and lesson not in numbers:
        raise ValueError(f"lesson {lesson!r} is not in the map; there is: {', '.join(numbers)}.")
    heads = ["lesson", "exercises", "quizzes", "predictions"]
    rows = [row for row in rows if not lesson or row[0] == lesson]
    publish(text_table([heads, *rows]), html_table(heads, rows))


def text_table(rows: list[list[str]]) -> str:
    """Columns that stand below each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def html_table(heads: list[str], rows: list[list[str]]) -> str:
    left = 'style="text-align: left"'
    head = "".join(f'<th scope="col" {left}>{cell}</th>' for cell in heads)
    lines = ["".join(f"<td {left}>{html.escape(cell)}</td>" for cell in row) for row in rows]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def progress_rows() -> list[list[str]]:
    """A row for each lesson that has exercises or notes: its number, then what is done."""
    record = load_record()
    exercise_ids = [exercise.id for exercise in library.all_exercises()]
    noted = [name for section in SECTIONS for name in record[section]]
    rows = []
    for number in sorted({lesson_number(name) for name in [*exercise_ids, *noted]}):
        ids = [name for name in exercise_ids if lesson_number(name) == number]
        right = [record["exercises"].get(name, {}).get("right", False) for name in ids]
        marks = "".join("●" if done else "○" for done in right)
        exercises = f"{marks} {sum(right)} of {len(right)}" if ids else ""
        rows.append([number, exercises, *count_answered(record, number)])
    return rows


def lesson_number(name: str) -> str:
    """The lesson of an exercise, quiz or prediction: "07b" of "07b.1"."""
    return name.split(".")[0]


def count_answered(record: dict[str, dict[str, Any]], number: str) -> list[str]:
    """How many quizzes and predictions of a lesson have been met, and how many answered."""
    cells = []
    for section in SECTIONS[1:]:
        met = [notes for name, notes in record[section].items() if lesson_number(name) == number]
        done = sum("chosen" in notes for notes in met)
        cells.append(f"{done} of {len(met)}" if met else "")
    return cells
