"""A whole class: every student's work graded on all cores, each result kept as soon as it is there.

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
from typing import Any, NamedTuple

from tqdm import tqdm

from fmcourse.classroom import variants
from fmcourse.classroom.course_files import (
    assignment_names,
    printable,
    read_manifest,
    results_folder,
    safe_name,
    student_id,
)
from fmcourse.classroom.exercise_kinds import AssignedExercise
from fmcourse.classroom.grade import Grader, result_key
from fmcourse.classroom.jail import Jail
from fmcourse.classroom.library import find_any_exercise
from fmcourse.classroom.packing import unpack
from fmcourse.classroom.results import MISSING, NOT_GRADED, ExerciseResult, StudentResult
from fmcourse.classroom.submissions import IGNORED_FILES
from fmcourse.course.comparing import equal
from fmcourse.course.verdict import AnswerKey
from fmcourse.files import write_text

NOT_ON_THE_LIST = "This name is not on the list of students. Is it misspelt?"
NOT_UTF_8 = "The name of what was handed in is no text in UTF-8; name it after the student's id."
BROKE_DOWN = "Grading broke down on this work"
PARENTS_SEARCHED = 4  # folders, from the submissions upwards, in which a course is looked for
grader: Grader | None = None  # of this worker process


class Work(NamedTuple):
    """What a student handed in: where it lies (None if nowhere), and remarks on that."""

    student: str
    path: Path | None
    remarks: list[str]


# -- what is to be graded -----------------------------------------------------------------------


def find_course(
    submissions: Path, course: Path | None, name: str | None
) -> tuple[Path, dict[str, Any]]:
    """The course's folder and the assignment's manifest. Raises: ValueError if unclear which."""
    if course is None:
        folders = [submissions, *submissions.resolve().parents][:PARENTS_SEARCHED]
        course = next((folder for folder in folders if (folder / "assignments").is_dir()), None)
    if course is None:
        raise ValueError(
            f"{submissions} lies in no course that `assign` made; name its folder with "
            "--course DIR."
        )
    names = assignment_names(course)
    if name is None and len(names) != 1:
        raise ValueError(
            f"{course} has the assignments {', '.join(names) or '(none)'}; "
            "name one with --assignment."
        )
    return course, read_manifest(course, name or names[0])


def check_key(manifest: dict[str, Any], path: Path | None) -> bytes | None:
    """The key that the numbers were drawn with; None if there are no numbers.

    Raises: ValueError if it is needed and not there, or another one.
    """
    if not manifest["variants"]:
        return None
    if path is None:
        raise ValueError(
            f"{manifest['name']} has numbers of each student's own; "
            "name the key with --variants KEY."
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
                f"{out} holds the grades of {other.name}; name another folder for {name}, "
                f"as {out / name}."
            )


def list_submissions(
    submissions: Path, manifest: dict[str, Any], others: Collection[str] = ()
) -> list[Work]:
    """Each student's work: those in the folder, then those on the list who handed in nothing.

    Args:
        others: the course's other assignments: who has only those in their folder handed in
            nothing for this one.
    Raises: ValueError if the folder is not there, or empty.
    """
    if not submissions.is_dir():
        raise ValueError(
            f"{submissions} is no folder; name the one that holds what the students handed in."
        )
    found: dict[str, Work] = {}
    for path in sorted(submissions.iterdir(), key=lambda path: (not path.is_dir(), path.name)):
        if IGNORED_FILES.match(path.name):
            continue
        name = path.name if path.is_dir() and not path.is_symlink() else path.stem
        student = student_id(name) or name
        if student not in found:
            there = None if has_only(path, others) else path
            found[student] = Work(student, there, [])
        else:
            remark = f"There is another work under that name, {path.name!r}; it was not read."
            found[student].remarks.append(remark)
    if not found:
        raise ValueError(
            f"{submissions} is empty: it should hold a folder or a notebook for each student."
        )
    expected = manifest["students"]
    for work in found.values():
        if printable(work.student) != work.student:
            work.remarks.append(NOT_UTF_8)
        if expected and work.student not in expected:
            work.remarks.append(NOT_ON_THE_LIST)
    absent = [Work(student, None, []) for student in expected if student not in found]
    return [work for _, work in sorted(found.items())] + absent


def has_only(path: Path, others: Collection[str]) -> bool:
    """Does a student's folder hold nothing but other assignments?"""
    if path.is_symlink() or not path.is_dir():
        return False
    try:
        return all(inside.name in others for inside in path.iterdir())
    except OSError:  # it may not be read: said where it is read, and of this student alone
        return False


# -- on all cores -------------------------------------------------------------------------------


def start_worker(manifest: dict[str, Any], key: bytes | None, options: dict[str, Any]) -> None:
    """Give this process a grader, and two jails: for public cases, and for hidden ones."""
    global grader
    import torch

    torch.set_num_threads(1)
    jails = [Jail(**options), Jail(**options)]
    for jail in jails:
        jail.start()
        multiprocessing.util.Finalize(jail, jail.stop, exitpriority=10)
    grader = Grader(manifest, *jails, key)


def grade_student(work: Work, file: Path) -> StudentResult:
    """One student's result, from the file of an earlier run if nothing has changed since."""
    made = grader.read(work.student, work.path)
    made.remarks += work.remarks
    limits = grader.jail.limits | {"bubblewrap": grader.jail.program}
    key = result_key(grader.manifest, made, limits)
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(file.read_text(encoding="utf-8"))
        if kept["key"] == key:
            return StudentResult.from_json(kept["result"], again=True)
    result = grader.grade(made)
    write_text(file, json.dumps({"key": key, "result": result.to_json()}, ensure_ascii=True))
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
) -> list[StudentResult]:
    """Results of all students, in their order.

    Args:
        out: where each result is kept, in results/NAME.
        jobs: students at once, as many as there are cores if not given.
        others: as in `list_submissions`.
        options: of the `Jail`.
    """
    every = list_submissions(submissions, manifest, others)
    jobs = max(1, min(jobs or os.cpu_count() or 1, len(every)))
    folder, arguments = results_folder(out, manifest["name"]), (manifest, key, options)
    results: dict[str, StudentResult] = {}
    with tqdm(total=len(every), desc=manifest["name"], unit="student", disable=None) as bar:
        for student, result in grade_in_pool(every, folder, jobs, arguments):
            results[student] = result
            bar.update()
        # a worker broke down, and took others' work with it: each is tried again, on its own
        for work in [work for work in every if work.student not in results]:
            found = dict(grade_in_pool([work], folder, 1, arguments))
            results[work.student] = found.get(work.student) or failed_result(work, manifest)
            bar.update()
    return [results[work.student] for work in every]


def grade_in_pool(
    every: list[Work], folder: Path, jobs: int, arguments: tuple
) -> Iterator[tuple[str, StudentResult]]:
    """Students and results as they are done, by so many workers at once.

    Args:
        arguments: of `start_worker`.
    """
    context = multiprocessing.get_context("spawn")
    pool = concurrent.futures.ProcessPoolExecutor(jobs, context, start_worker, arguments)
    try:
        waiting = {}
        for work in every:
            file = folder / f"{safe_name(work.student)}.json"
            waiting[pool.submit(grade_student, work, file)] = work.student
        for done in concurrent.futures.as_completed(waiting):
            try:
                yield waiting[done], done.result()
            except BrokenProcessPool:
                continue
            except Exception as error:
                note = f"{waiting[done]}: {type(error).__name__}: {error}"
                tqdm.write(printable(note), file=sys.stderr)
    finally:
        pool.shutdown(cancel_futures=True)


def failed_result(work: Work, manifest: dict[str, Any]) -> StudentResult:
    """The result where grading itself broke down twice: to be looked at by a person."""
    exercises = {
        entry["id"]: ExerciseResult(
            points=0.0,
            of=entry["points"],
            share=0.0,
            verdict=NOT_GRADED,
            step=MISSING,
            value=None,
            sentences=[f"{BROKE_DOWN}; a person should look at it."],
            table=[],
            code="",
            parts=[],
            seconds=0.0,
        )
        for entry in manifest["exercises"]
    }
    return StudentResult(work.student, exercises, [*work.remarks, f"{BROKE_DOWN}."])


# -- what is only seen over the whole class -----------------------------------------------------


def find_borrowed_answers(
    manifest: dict[str, Any], key: bytes | None, results: list[StudentResult]
) -> list[tuple[str, str, str]]:
    """Wrong literal answers that are right for another student's numbers.

    Returns: (student, exercise, whose numbers) for each.
    """
    found = []
    for entry in manifest["exercises"] if key else []:
        exercise = find_any_exercise(entry["id"])
        wrong = wrong_values(exercise.id, results)
        if not wrong or not isinstance(exercise, AssignedExercise) or not exercise.literal:
            continue
        rights = {
            one.student: right_value(exercise, variants.numbers_for(key, one.student, exercise))
            for one in results
        }
        found += [
            (student, exercise.id, other)
            for student, value in wrong
            for other, right in rights.items()
            if other != student and equal(right, value, exercise.tolerance)
        ]
    return found


def wrong_values(exercise_id: str, results: list[StudentResult]) -> list[tuple[str, Any]]:
    """Students and their values for a literal exercise, where these are not right."""
    pairs = [(one.student, one.exercises.get(exercise_id)) for one in results]
    return [
        (student, unpack(found.value))
        for student, found in pairs
        if found is not None and found.points < found.of and found.value is not None
    ]


def right_value(exercise: AssignedExercise, numbers: dict[str, Any]) -> Any:
    return AnswerKey(exercise.for_numbers(numbers)).expected[0].value
