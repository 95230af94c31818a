"""The verb `grade` of the command line."""

import argparse
import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmcourse.classroom.course_files import printable

if TYPE_CHECKING:
    from fmcourse.classroom.results import StudentResult

DEFAULT_MEMORY_MB = 1024


def grade_arguments(words: argparse.ArgumentParser) -> None:
    """Add what `grade` understands."""
    words.epilog = (
        "SUBMISSIONS holds a folder for each student (STUDENT/ASSIGNMENT/..., as nbgrader collects "
        "them, or STUDENT/...) or a file (STUDENT.ipynb, STUDENT.py, STUDENT.zip). A run that was "
        "stopped goes on where it was."
    )
    words.add_argument(
        "submissions", metavar="SUBMISSIONS", help="the folder with what was handed in"
    )
    words.add_argument(
        "--out",
        metavar="FOLDER",
        required=True,
        help="where grades.csv, feedback and the item report go",
    )
    words.add_argument(
        "--course",
        metavar="DIR",
        help="the folder that assign made (found from SUBMISSIONS if it lies in it)",
    )
    words.add_argument("--assignment", metavar="NAME", help="which one, if the course has several")
    words.add_argument(
        "--variants", metavar="KEY", help="the key file, where numbers are each student's own"
    )
    words.add_argument("--jobs", type=int, metavar="N", help="so many students at once (all cores)")
    words.add_argument(
        "--memory",
        type=int,
        default=DEFAULT_MEMORY_MB,
        metavar="MB",
        help=f"what an answer may use ({DEFAULT_MEMORY_MB})",
    )
    words.add_argument(
        "--without-bubblewrap",
        action="store_true",
        help="limits only: for work of people you trust",
    )
    words.add_argument(
        "--no-gradebook", action="store_true", help="leave nbgrader's gradebook alone"
    )


def grade_verb(options: argparse.Namespace) -> int:
    """Grade a class, write the reports, print what came out."""
    if not hasattr(os, "fork"):
        raise ValueError(
            "grading forks a process for each answer, and this system cannot; "
            "use Linux, macOS or WSL."
        )
    from fmcourse.classroom import grade_class, reports
    from fmcourse.classroom.course_files import assignment_names
    from fmcourse.classroom.jail import Jail, JailError
    from fmcourse.classroom.library import find_any_exercise

    submissions, out = Path(options.submissions), Path(options.out)
    course, manifest = grade_class.find_course(
        submissions, options.course and Path(options.course), options.assignment
    )
    key = grade_class.check_key(manifest, options.variants and Path(options.variants))
    for entry in manifest["exercises"]:
        find_any_exercise(entry["id"])  # or every student's work would fail on it
    if out.resolve().is_relative_to(submissions.resolve()):
        raise ValueError(f"--out {out} lies among the submissions; name another folder.")
    grade_class.check_output_folder(out, manifest["name"])
    others = set(assignment_names(course)) - {manifest["name"]}
    limits = {"use_bubblewrap": not options.without_bubblewrap, "memory_mb": options.memory}
    try:
        protection = Jail(**limits).protection
    except JailError as error:
        raise ValueError(str(error)) from None
    print(protection, flush=True)
    results = grade_class.grade_class(
        submissions, out, manifest, key, jobs=options.jobs, others=others, **limits
    )
    borrowed = grade_class.find_borrowed_answers(manifest, key, results)
    reports.write_all(out, manifest, results, protection, borrowed)
    print(summary(results, out))
    print(write_gradebook(course, manifest, results, wanted=not options.no_gradebook))
    return report_failures(results)


def summary(results: list["StudentResult"], out: Path) -> str:
    """How many were graded, with how many points."""
    again = sum(one.again for one in results)
    before = f", {again} of them before" if again else ""
    of = results[0].max_points
    mean = sum(one.points for one in results) / len(results)
    average = f", {mean:.1f} of {of:g} points on average" if of else ""
    return f"{len(results)} students graded{before}{average}: {out / 'grades.csv'}"


def write_gradebook(
    course: Path, manifest: dict[str, Any], results: list["StudentResult"], *, wanted: bool
) -> str:
    """Put the points into nbgrader's gradebook, if there is one; what was done, in a sentence."""
    if not wanted or not (course / "gradebook.db").exists():
        return "nbgrader's gradebook was left alone."
    if importlib.util.find_spec("nbgrader") is None:
        return (
            "nbgrader is not installed, so its gradebook was left alone: "
            "python start.py setup --instructor"
        )
    from fmcourse.classroom.nbgrader_course import write_grades

    write_grades(course, manifest, results)
    book = course / "gradebook.db"
    return f"The points are in {book}: formgrader, generate_feedback and export show them."


def report_failures(results: list["StudentResult"]) -> int:
    """Print whose work could not be graded; the exit code, 1 if there is any."""
    failed = [printable(one.student) for one in results if one.failed]
    if failed:
        names = ", ".join(failed)
        print(f"A person should look at the work of {names}: grading broke down on it.")
    return int(bool(failed))
