"""What people read of a grading: a table of points, a page for each student, the exercises."""

import csv
import io
import statistics
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fmcourse.classroom.course_files import safe_name
from fmcourse.classroom.pages import render_page
from fmcourse.classroom.results import ExerciseResult, StudentResult
from fmcourse.files import write_text

MAX_MISTAKES = 5  # mistakes that are named for an exercise
MIN_STUDENTS = 10  # students below whom a correlation says too little
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def write_all(
    out: Path,
    manifest: dict[str, Any],
    results: list[StudentResult],
    protection: str,
    borrowed: list[tuple[str, str, str]] = (),
) -> list[Path]:
    """Every report of a grading, each file in one step; their paths.

    Args:
        protection: what kept the answers from doing harm, a sentence.
        borrowed: (student, exercise, whose): wrong answers that are right for another's numbers.
            For the instructor alone.
    """
    name, rows = manifest["name"], item_statistics(manifest, results)
    made = {
        out / "grades.csv": grades_csv(manifest, results),
        out / "items.csv": items_csv(rows),
        out / "items.html": items_page(name, rows, results, protection, borrowed),
    }
    for result in results:
        path = out / "feedback" / f"{safe_name(result.student)}.html"
        made[path] = feedback_page(name, result)
    for path, text in made.items():
        write_text(path, text)
    return list(made)


# -- points -------------------------------------------------------------------------------------


def grades_csv(manifest: dict[str, Any], results: list[StudentResult]) -> str:
    """One line a student: points, completed practice, each exercise, remarks.

    An exercise without points has 1 if it is done, else 0.
    """
    ids = [entry["id"] for entry in manifest["exercises"]]
    lines = [["student", "points", "of", "completed", "of_completion", *ids, "remarks"]]
    for result in results:
        found = [result.exercises[exercise_id] for exercise_id in ids]
        each = [one.points if one.of else int(one.share) for one in found]
        totals = [result.points, result.max_points, *result.completed]
        line = [result.student, *totals, *each, " ".join(result.remarks)]
        lines.append([escape_formula(cell) for cell in line])
    return csv_text(lines)


def escape_formula(cell: Any) -> Any:
    """Text that no spreadsheet takes for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA_STARTS) else cell


def csv_text(lines: list[list[Any]]) -> str:
    """A table as CSV, floats as short as can be."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for line in lines:
        writer.writerow([f"{cell:g}" if isinstance(cell, float) else cell for cell in line])
    return out.getvalue().encode(errors="backslashreplace").decode()


def feedback_page(name: str, result: StudentResult) -> str:
    """What a student reads: points, and for every exercise the reason."""
    n_done, n_practice = result.completed
    return render_page(
        "feedback",
        title=f"{name}: {result.student}",
        result=result,
        n_done=n_done,
        n_practice=n_practice,
    )


# -- the exercises ------------------------------------------------------------------------------


@dataclass(frozen=True)
class ItemStatistics:
    """How an exercise went in a class.

    Args:
        right: share of those who answered whose answer is right.
        mean: share of the points, over those who answered.
        seconds: that an answer took to run, the median.
        discrimination: correlation with the other exercises, None where it says too little.
        mistakes: (name, how many), the commonest first.
    """

    id: str
    answered: int
    students: int
    right: float
    mean: float
    seconds: float
    discrimination: float | None
    mistakes: list[tuple[str, int]]

    @property
    def mistake_counts(self) -> str:
        return "; ".join(f"{name} ({n})" for name, n in self.mistakes)


def item_statistics(manifest: dict[str, Any], results: list[StudentResult]) -> list[ItemStatistics]:
    """Each exercise's figures over all students who handed something in."""
    there = [one for one in results if any(found.answered for found in one.exercises.values())]
    return [statistics_of_item(entry["id"], there) for entry in manifest["exercises"]]


def statistics_of_item(exercise_id: str, there: list[StudentResult]) -> ItemStatistics:
    """An exercise's figures over the students who handed something in."""
    every: list[ExerciseResult] = [one.exercises[exercise_id] for one in there]
    answered = [found for found in every if found.answered]
    others = [
        sum(found.share for other, found in one.exercises.items() if other != exercise_id)
        for one in there
    ]
    wrong = Counter(found.verdict for found in answered if found.verdict != "right")
    return ItemStatistics(
        exercise_id,
        len(answered),
        len(there),
        mean([found.verdict == "right" for found in answered]),
        mean([found.share for found in answered]),
        statistics.median([found.seconds for found in answered] or [0.0]),
        correlation([found.share for found in every], others),
        wrong.most_common(MAX_MISTAKES),
    )


def mean(values: list[float]) -> float:
    return statistics.fmean(values) if values else 0.0


def correlation(a: list[float], b: list[float]) -> float | None:
    """Pearson's, or None where too few students or no spread let it say anything."""
    if len(a) < MIN_STUDENTS or len(set(a)) < 2 or len(set(b)) < 2:
        return None
    return statistics.correlation(a, b)


def items_csv(rows: list[ItemStatistics]) -> str:
    """The figures of each exercise, one line for each."""
    head = (
        "exercise",
        "answered",
        "students",
        "right",
        "mean_share",
        "median_seconds",
        "discrimination",
        "commonest_mistakes",
    )
    lines = []
    for row in rows:
        numbers = (row.right, row.mean, row.seconds, row.discrimination)
        shown = ["" if number is None else f"{number:.2f}" for number in numbers]
        mistakes = escape_formula(row.mistake_counts)
        lines.append([row.id, row.answered, row.students, *shown, mistakes])
    return csv_text([list(head), *lines])


def items_page(
    name: str,
    rows: list[ItemStatistics],
    results: list[StudentResult],
    protection: str,
    borrowed: list[tuple[str, str, str]] = (),
) -> str:
    """The report for the instructor, with how to read it."""
    return render_page(
        "items",
        title=f"{name}: the exercises",
        rows=rows,
        min_students=MIN_STUDENTS,
        remarks=[(one.student, " ".join(one.remarks)) for one in results if one.remarks],
        borrowed=borrowed,
        protection=protection,
    )
