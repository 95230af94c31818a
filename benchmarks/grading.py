"""A hundred submissions of one assignment: `fmcourse grade` beside `nbgrader autograde`.

Run   python -m benchmarks grading     Takes   about ten minutes on two cores

Both in one run, on the same cores. Three students in four hand in right answers, one in eight a
known mistake, one in eight blanks; none is hostile or broken, so that both must give the same
points, and the run stops if they do not. Submissions a minute, by the clock, from the command to
the points in nbgrader's gradebook. nbgrader starts a kernel for each submission and runs the
notebook; ours forks each answer from a warm process, each in a jail of its own, and writes reports
besides.
"""

import contextlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat

from benchmarks.rows import Row, row
from fmcourse.classroom.assign import assign
from fmcourse.classroom.library import all_assigned
from fmcourse.course.exercise import Exercise
from fmcourse.course.library import find_exercise

STUDENTS = 100
NAME = "week3"


def exercises() -> list[Exercise]:
    """Two practice exercises, and two for points where this edition has them."""
    points = [one for one in all_assigned() if not one.literal and one.id in ("06.A1", "07.A1")]
    return [find_exercise("06.1"), find_exercise("07b.1"), *points]


def answers(student: int, exercise: Exercise) -> str:
    """What a student hands in."""
    if student % 8 == 6:
        return exercise.starter
    known = [
        mistake.wrong_answer
        for mistake in exercise.mistakes
        if isinstance(mistake.wrong_answer, str)
    ]
    return known[student % len(known)] if known and student % 8 == 3 else exercise.solution


def hand_in(course: Path, students: int, chosen: list[Exercise]) -> None:
    """A notebook for each student, in the folders in which nbgrader collects them."""
    blank = course / "release" / NAME
    for student in range(students):
        folder = course / "submitted" / f"s{student:03}" / NAME
        shutil.copytree(blank, folder)
        book = nbformat.read(folder / f"{NAME}.ipynb", as_version=4)
        for cell in book.cells:
            for exercise in chosen:
                if cell.metadata.get("nbgrader", {}).get("grade_id") == exercise.id.replace(
                    ".", "-"
                ):
                    cell.source = answers(student, exercise)
        nbformat.write(book, folder / f"{NAME}.ipynb")


def time_command(command: list[str], course: Path) -> float:
    """Seconds by the clock. Raises: RuntimeError with the last line, if the command fails."""
    scripts = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    start = time.perf_counter()
    done = subprocess.run(
        command,
        cwd=course,
        capture_output=True,
        text=True,
        env=os.environ | {"PATH": scripts, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    if done.returncode:
        raise RuntimeError(
            f"{command[2:5]} failed: {(done.stderr or done.stdout).strip().splitlines()[-1:]}"
        )
    return time.perf_counter() - start


def scores(course: Path, chosen: list[Exercise]) -> dict[str, list[float]]:
    """Points of every student, out of the gradebook."""
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as book:
        cells = [f"{exercise.id.replace('.', '-')}-points" for exercise in chosen]
        students = [one.id for one in book.students]
        return {
            student: [round(book.find_grade(cell, NAME, NAME, student).score, 2) for cell in cells]
            for student in students
        }


def main(small: bool = False) -> list[Row]:
    """Submissions a minute, ours and nbgrader's."""
    students, chosen = 3 if small else STUDENTS, exercises()
    with tempfile.TemporaryDirectory() as folder:
        course = Path(folder) / "course"
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            assign([exercise.id for exercise in chosen], NAME, course)
        hand_in(course, students, chosen)
        theirs = time_command([sys.executable, "-m", "nbgrader", "autograde", NAME], course)
        expected = scores(course, chosen)
        shutil.rmtree(course / "autograded")
        out = Path(folder) / "grades"
        ours = time_command(
            [
                sys.executable,
                "-m",
                "fmcourse",
                "grade",
                str(course / "submitted"),
                "--out",
                str(out),
            ],
            course,
        )
        if (found := scores(course, chosen)) != expected:
            other = next(student for student in expected if found[student] != expected[student])
            raise AssertionError(
                f"{other} has {found[other]} points here and {expected[other]} from nbgrader: "
                "their times cannot be compared."
            )
    what = (
        f"grade {students} submissions of {len(chosen)} exercises, {os.cpu_count()} cores; "
        "peer is nbgrader autograde"
    )
    return [
        row(
            what,
            60 * students / ours,
            60 * students / theirs,
            theirs / ours,
            "submissions/min",
            None if small else ">= 5",
        )
    ]
