"""A whole class: every student's work graded on all cores, kept as it is done, and told in files that people read.

A run that is killed goes on where it was; a second run over the same work gives the same results.
"""

import concurrent.futures
import contextlib
import json
import multiprocessing
import os
import sys
from collections.abc import Collection, Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from tqdm import tqdm

from fmcourse.classroom import variants
from fmcourse.classroom.assigned import AssignedExercise
from fmcourse.classroom.jail import Jail
from fmcourse.classroom.judge import Grader, find_any_exercise, result_key
from fmcourse.classroom.manifest import read_manifest
from fmcourse.classroom.names import safe_name, student_id
from fmcourse.classroom.submissions import IGNORED_FILES
from fmcourse.classroom.values import unpack
from fmcourse.course.compare import equal
from fmcourse.files import write_text

NOT_ON_THE_LIST = "This name is not on the list of students. Is it misspelt?"
grader: Grader | None = None  # of this process


def find_course(
    submissions: Path, course: Path | None, name: str | None
) -> tuple[Path, dict[str, Any]]:
    """The course's folder and the manifest of the assignment. Raises: ValueError if it is not clear which."""
    course = course or next(
        (
            up
            for up in [submissions, *submissions.resolve().parents][:4]
            if (up / "assignments").is_dir()
        ),
        None,
    )
    if course is None:
        raise ValueError(
            f"{submissions} lies in no course that `assign` made; name its folder with --course DIR."
        )
    there = sorted(path.stem for path in (course / "assignments").glob("*.json"))
    if name is None and len(there) != 1:
        raise ValueError(
            f"{course} has the assignments {', '.join(there) or '(none)'}; name one with --assignment."
        )
    return course, read_manifest(course, name or there[0])


def check_key(manifest: dict[str, Any], path: Path | None) -> bytes | None:
    """The key that the numbers were drawn with. Raises: ValueError if it is needed and not there, or another one."""
    if not manifest["variants"]:
        return None
    if path is None:
        raise ValueError(
            f"{manifest['name']} has numbers of each student's own; name the key with --variants KEY."
        )
    key = variants.read_key(path)
    if variants.fingerprint(key) != manifest["variants"]:
        raise ValueError(
            f"{path} holds another key than the one that {manifest['name']} was handed out with."
        )
    return key


def check_output_folder(out: Path, name: str) -> None:
    """Raises: ValueError if another assignment's grades lie there: they would be written over."""
    for other in sorted((out / "results").glob("*")):
        if other.is_dir() and other.name != name:
            raise ValueError(
                f"{out} holds the grades of {other.name}; name another folder for {name}, as {out / name}."
            )


def list_submissions(
    submissions: Path, manifest: dict[str, Any], others: Collection[str] = ()
) -> list[tuple[str, Path | None, list[str]]]:
    """Each student with their work and what is to be remarked: those in the folder, then those who handed in nothing.

    Args:
        others: the course's other assignments: who has only those in their folder handed in nothing for this one.
    Raises: ValueError if the folder is not there, or empty.
    """
    if not submissions.is_dir():
        raise ValueError(
            f"{submissions} is no folder; name the one that holds what the students handed in."
        )
    found: dict[str, tuple[Path, list[str]]] = {}
    for path in sorted(submissions.iterdir(), key=lambda path: (not path.is_dir(), path.name)):
        name = path.name if path.is_dir() and not path.is_symlink() else path.stem
        if IGNORED_FILES.match(path.name):
            continue
        student = student_id(name) or name
        if student in found:
            found[student][1].append(
                f"There is another work under that name, {path.name!r}; it was not read."
            )
        else:
            found[student] = (path, [])
    if not found:
        raise ValueError(
            f"{submissions} is empty: it should hold a folder or a notebook for each student."
        )
    for student, (_, remarks) in found.items() if manifest["students"] else ():
        if student not in manifest["students"]:
            remarks.append(NOT_ON_THE_LIST)
    absent = [(student, None, []) for student in manifest["students"] if student not in found]
    of_this = lambda path: (
        path.is_symlink()
        or not path.is_dir()
        or any(each.name not in others for each in path.iterdir())
    )
    return [
        (student, path if of_this(path) else None, remarks)
        for student, (path, remarks) in sorted(found.items())
    ] + absent


# -- on all cores ---------------------------------------------------------------------------------------------------------


def start_worker(manifest: dict[str, Any], key: bytes | None, options: dict[str, Any]) -> None:
    """Make this process a judge's."""
    global grader
    import torch

    torch.set_num_threads(1)
    jail = Jail(**options)
    jail.start()
    multiprocessing.util.Finalize(jail, jail.stop, exitpriority=10)
    grader = Grader(manifest, jail, key)


def grade_student(
    student: str, path: Path | None, remarks: list[str], place: str
) -> dict[str, Any]:
    """One student's result, from the file of an earlier run if nothing has changed since."""
    file = Path(place)
    made = grader.read(student, path)
    made.remarks += remarks
    key = result_key(
        grader.manifest, made, grader.jail.limits | {"bubblewrap": grader.jail.program}
    )
    with contextlib.suppress(OSError, ValueError, KeyError):
        before = json.loads(file.read_text(encoding="utf-8"))
        if before["key"] == key:
            return before["result"] | {"again": True}
    result = grader.grade(made)
    write_text(file, json.dumps({"key": key, "result": result}, ensure_ascii=True))
    return result


def grade_class(
    submissions: Path,
    out: Path,
    manifest: dict[str, Any],
    key: bytes | None = None,
    *,
    jobs: int | None = None,
    others: Collection[str] = (),
    **options: Any,
) -> list[dict[str, Any]]:
    """Results of all students, in their order. `others` goes to `list_submissions`, `options` go to the `Jail`."""
    todo = list_submissions(submissions, manifest, others)
    jobs = max(1, min(jobs or os.cpu_count() or 1, len(todo)))
    results: dict[str, dict[str, Any]] = {}
    with tqdm(total=len(todo), desc=manifest["name"], unit="student", disable=None) as bar:
        for student, result in grade_in_pool(todo, out, manifest, key, jobs, options):
            results[student] = result
            bar.update()
        for work in [
            work for work in todo if work[0] not in results
        ]:  # a judge broke down: at which one is found out singly
            found = dict(grade_in_pool([work], out, manifest, key, 1, options))
            results[work[0]] = found.get(work[0]) or failed_result(work[0], manifest, work[2])
            bar.update()
    return [results[student] for student, _, _ in todo]


def grade_in_pool(
    todo: list,
    out: Path,
    manifest: dict[str, Any],
    key: bytes | None,
    jobs: int,
    options: dict[str, Any],
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Students and results as they are done, by so many judges at once."""
    context = multiprocessing.get_context("spawn")
    arguments = (manifest, key, options)
    pool = concurrent.futures.ProcessPoolExecutor(jobs, context, start_worker, arguments)
    place = lambda student: str(out / "results" / manifest["name"] / f"{safe_name(student)}.json")
    try:
        waiting = {pool.submit(grade_student, *work, place(work[0])): work[0] for work in todo}
        for done in concurrent.futures.as_completed(waiting):
            try:
                yield waiting[done], done.result()
            except BrokenProcessPool:
                continue
            except Exception as error:
                print_note(f"{waiting[done]}: {type(error).__name__}: {error}")
    finally:
        pool.shutdown(cancel_futures=True)


def print_note(text: str) -> None:
    tqdm.write(text, file=sys.stderr)


def failed_result(student: str, manifest: dict[str, Any], remarks: list[str]) -> dict[str, Any]:
    """The result where grading itself broke down, three times: to be looked at by a person."""
    nothing = {
        "points": 0.0,
        "share": 0.0,
        "verdict": "not graded",
        "step": "missing",
        "value": None,
        "table": [],
        "code": "",
        "parts": [],
        "seconds": 0.0,
        "sentences": ["Grading broke down on this work; a person should look at it."],
    }
    exercises = {entry["id"]: nothing | {"of": entry["points"]} for entry in manifest["exercises"]}
    return {
        "student": student,
        "exercises": exercises,
        "remarks": [*remarks, "Grading broke down on this work."],
    }


def find_borrowed_answers(
    manifest: dict[str, Any], key: bytes | None, results: list[dict[str, Any]]
) -> list[tuple[str, str, str]]:
    """Wrong literal answers that are right for another student's numbers: (student, exercise, whose)."""
    found = []
    for entry in manifest["exercises"] if key else []:
        exercise = find_any_exercise(entry["id"])
        wrong = [
            (one["student"], one["exercises"][exercise.id])
            for one in results
            if exercise.id in one["exercises"]
        ]
        wrong = [
            (student, unpack(given["value"]))
            for student, given in wrong
            if given["points"] < given["of"] and given["value"] is not None
        ]
        if not wrong or not isinstance(exercise, AssignedExercise) or not exercise.literal:
            continue
        others = {
            one["student"]: exercise.for_numbers(
                variants.numbers_for(key, one["student"], exercise)
            )
            for one in results
        }
        rights = {student: asked.expected_outcomes()[0].value for student, asked in others.items()}
        found += [
            (student, exercise.id, other)
            for student, value in wrong
            for other, right in rights.items()
            if other != student and equal(right, value, exercise.tolerance)
        ]
    return found
