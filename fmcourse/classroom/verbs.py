"""The verb `grade` of the command line."""

import argparse
import importlib.util
import os
from pathlib import Path
from typing import Any


def grade_arguments(words: argparse.ArgumentParser) -> None:
    words.epilog = (
        "SUBMISSIONS holds a folder for each student (STUDENT/ASSIGNMENT/..., as nbgrader collects them, or STUDENT/...) or a file "
        "(STUDENT.ipynb, STUDENT.py, STUDENT.zip). A run that was stopped goes on where it was."
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
        "--memory", type=int, default=1024, metavar="MB", help="what an answer may use (1024)"
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
    """Grade a class, write what people read, say what came out."""
    if not hasattr(os, "fork"):
        raise ValueError(
            "grading forks a process for each answer, and this system cannot; use Linux, macOS or WSL."
        )
    from fmcourse.classroom import grading, reports
    from fmcourse.classroom.jail import Jail
    from fmcourse.classroom.judge import find_any_exercise

    submissions, out = Path(options.submissions), Path(options.out)
    course, manifest = grading.find_course(
        submissions, options.course and Path(options.course), options.assignment
    )
    key = grading.check_key(manifest, options.variants and Path(options.variants))
    for entry in manifest["exercises"]:
        find_any_exercise(entry["id"])
    if out.resolve().is_relative_to(submissions.resolve()):
        raise ValueError(f"--out {out} lies among the submissions; name another folder.")
    grading.check_output_folder(out, manifest["name"])
    others = {path.stem for path in (course / "assignments").glob("*.json")} - {manifest["name"]}
    limits = {"use_bubblewrap": not options.without_bubblewrap, "memory_mb": options.memory}
    protection = Jail(**limits).protection
    print(protection, flush=True)
    results = grading.grade_class(
        submissions, out, manifest, key, jobs=options.jobs, others=others, **limits
    )
    borrowed = grading.find_borrowed_answers(manifest, key, results)
    reports.write_all(out, manifest, results, protection, borrowed)
    return report(results, out, course, manifest, options.no_gradebook)


def report(
    results: list[dict[str, Any]],
    out: Path,
    course: Path,
    manifest: dict[str, Any],
    no_gradebook: bool,
) -> int:
    """Write the gradebook, say what was done; 1 if somebody's work could not be graded at all."""
    from fmcourse.classroom.judge import total_points

    again = sum(one.get("again", False) for one in results)
    points = [total_points(one)[0] for one in results]
    of = total_points(results[0])[1]
    middle = f", {sum(points) / len(points):.1f} of {of:g} points on average" if of else ""
    print(
        f"{len(results)} students graded{f', {again} of them before' if again else ''}{middle}: {out / 'grades.csv'}"
    )
    if no_gradebook or not (course / "gradebook.db").exists():
        print("nbgrader's gradebook was left alone.")
    elif importlib.util.find_spec("nbgrader") is None:
        print(
            "nbgrader is not installed, so its gradebook was left alone: python start.py setup --instructor"
        )
    else:
        from fmcourse.classroom.gradebook import write_grades

        write_grades(course, manifest, results)
        print(
            f"The points are in {course / 'gradebook.db'}: formgrader, generate_feedback and export show them."
        )
    failed = [
        one["student"]
        for one in results
        if any(found["verdict"] == "not graded" for found in one["exercises"].values())
    ]
    if failed:
        print(f"A person should look at the work of {', '.join(failed)}: grading broke down on it.")
    return int(bool(failed))
