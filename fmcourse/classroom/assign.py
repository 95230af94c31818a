"""Hand out exercises as an assignment of an nbgrader course (its files: `course_files`)."""

import contextlib
import difflib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nbformat
from tqdm import tqdm

from fmcourse.classroom import nbgrader_course, variants
from fmcourse.classroom.assignment_notebook import (
    assignment_notebook,
    cell_ids,
    max_points,
    pluralize,
)
from fmcourse.classroom.course_files import (
    RECORDS_FILE,
    VARIANT_FILE,
    check_assignment_name,
    edition_folder,
    manifest_path,
    notebook_path,
    read_manifest,
    safe_name,
    variant_path,
    write_manifest,
)
from fmcourse.classroom.exercise_kinds import AssignedExercise, make_record
from fmcourse.classroom.library import all_assigned
from fmcourse.classroom.packing import pack
from fmcourse.course.exercise import Exercise
from fmcourse.course.library import all_exercises
from fmcourse.files import write_text

ID_COLUMNS = ("id", "student", "username")  # of a table of students, as they are looked for


@dataclass(frozen=True)
class Plan:
    """What is to be handed out, once nothing speaks against it.

    Args:
        key: for the students' own numbers, None where there are none or it was not named.
        before: the manifest of an earlier edition, which this one replaces.
    """

    course: Path
    name: str
    exercises: list[Exercise]
    students: list[str]
    key: bytes | None
    before: dict[str, Any] | None

    @property
    def numbered(self) -> list[AssignedExercise]:
        """Those exercises of which each student can have their own."""
        return literal_exercises(self.exercises)

    @property
    def has_variants(self) -> bool:
        """Has each student numbers of their own, by what is said now or was said before?"""
        known = self.key or (self.before and self.before["variants"])
        return bool(self.numbered) and bool(known)

    def manifest(self) -> dict[str, Any]:
        """What `course_files.write_manifest` keeps."""
        fingerprint = None
        if self.has_variants:
            fingerprint = variants.fingerprint(self.key) if self.key else self.before["variants"]
        return {
            "name": self.name,
            "exercises": [manifest_entry(exercise) for exercise in self.exercises],
            "variants": fingerprint,
            "students": self.students,
            "fmcourse": version("fmcourse"),
        }


def manifest_entry(exercise: Exercise) -> dict[str, Any]:
    cell, points_cell = cell_ids(exercise)
    return {
        "id": exercise.id,
        "points": max_points(exercise),
        "cell": cell,
        "points_cell": points_cell,
        "name": exercise.name,
    }


def assign(
    wanted: Sequence[str],
    name: str,
    out: str | Path,
    *,
    key_file: str | Path | None = None,
    students: Sequence[str] | None = None,
    again: bool = False,
) -> Plan:
    """Make or renew an assignment, and print what is to be handed out.

    Args:
        wanted: ids of exercises, in the order in which they are to stand.
        out: the course's folder.
        key_file: the key of the students' own numbers, made if it is not there.
        students: their ids; those of the earlier edition if not given.
        again: replace an earlier edition with other exercises.
    Raises: ValueError if something speaks against it.
    """
    nbgrader_course.require_nbgrader()
    course, exercises = Path(out), find_exercises(wanted)
    before = earlier_manifest(course, check_assignment_name(name), exercises, again)
    if students is None:
        students = before["students"] if before else []
    key = variants_key(course, exercises, key_file, before, again)
    plan = Plan(course, name, exercises, list(students), key, before)
    check_numbers_drawn(plan)
    nbgrader_course.make_course_folder(course)
    write_source(plan)
    write_variants(plan)
    nbgrader_course.add_students(course, plan.students)
    write_manifest(course, plan.manifest())
    print(summary(plan))
    return plan


# -- what is asked for --------------------------------------------------------------------------


def find_exercises(wanted: Sequence[str]) -> list[Exercise]:
    """The exercises of these ids, in this order.

    Raises: ValueError naming near ids, or one that is there twice.
    """
    if not wanted:
        raise ValueError("name the exercises to hand out, such as 06.1 07.A1.")
    assigned = all_assigned()
    known = {exercise.id: exercise for exercise in [*all_exercises(), *assigned]}
    for exercise_id in wanted:
        if exercise_id not in known:
            near = difflib.get_close_matches(exercise_id, known, n=3, cutoff=0.5)
            offer = " or ".join(near or list(known)[:3])
            also = "" if assigned else " This edition has none for points alone (07.A1)."
            raise ValueError(f"there is no exercise {exercise_id!r}; did you mean {offer}?{also}")
        if list(wanted).count(exercise_id) > 1:
            raise ValueError(f"{exercise_id} is named twice.")
    return [known[exercise_id] for exercise_id in wanted]


def literal_exercises(exercises: Sequence[Exercise]) -> list[AssignedExercise]:
    """Those of which each student can have their own."""
    return [one for one in exercises if isinstance(one, AssignedExercise) and one.literal]


def earlier_manifest(
    course: Path, name: str, exercises: Sequence[Exercise], again: bool
) -> dict[str, Any] | None:
    """The manifest of an assignment that was made before, if it was.

    Raises: ValueError if it has other exercises, and is not to be replaced.
    """
    if not manifest_path(course, name).exists():
        return None
    before = read_manifest(course, name)
    if not again and not same_exercises(before, exercises):
        there = ", ".join(entry["id"] for entry in before["exercises"])
        raise ValueError(
            f"{course} has {name!r} already, with {there}; choose another --name, or replace it "
            "with --again."
        )
    return before


def same_exercises(manifest: dict[str, Any], exercises: Sequence[Exercise]) -> bool:
    return [entry["id"] for entry in manifest["exercises"]] == [one.id for one in exercises]


def variants_key(
    course: Path,
    exercises: Sequence[Exercise],
    path: str | Path | None,
    before: dict | None,
    again: bool,
) -> bytes | None:
    """The key for the students' numbers, where there are any.

    Raises: ValueError if it is not the one used before.
    """
    if path is None:
        return None
    if not literal_exercises(exercises):
        print("None of these exercises has numbers of each student's own, so the key is not used.")
        return None
    key = variants.read_or_make_key(path, course)
    if before and before["variants"] not in (None, variants.fingerprint(key)) and not again:
        raise ValueError(
            f"--variants {path}: the numbers of {before['name']} were drawn with another key; "
            "give that one, or draw anew with --again."
        )
    return key


def check_numbers_drawn(plan: Plan) -> None:
    """Raises: ValueError if numbers have to be drawn, and the key for it was not named."""
    if plan.key is not None or not plan.has_variants:
        return
    paths = [variant_path(plan.course, plan.name, student) for student in plan.students]
    if not all(path.is_file() for path in paths) or not same_exercises(plan.before, plan.exercises):
        raise ValueError(
            f"each student has numbers of their own in {plan.name!r}, and some are still to be "
            "drawn: name the key with --variants."
        )


def read_students(path: Path, read_column: Callable[[Path, Sequence[str]], list[str]]) -> list[str]:
    """Ids out of a file: one a line, or the column id, student or username of a table.

    Args:
        read_column: reads the first of the named columns that a table has, or a plain list.
    Raises: ValueError with what is wrong.
    """
    if not path.is_file():
        raise ValueError(f"--students {path}: there is no such file.")
    students = list(dict.fromkeys(read_column(path, ID_COLUMNS)))
    if not students:
        raise ValueError(f"{path} names no student.")
    folders: dict[str, str] = {}
    for student in students:
        other = folders.setdefault(safe_name(student).casefold(), student)
        if other != student:
            raise ValueError(
                f"{path}: {other!r} and {student!r} could share a folder on some machines; "
                "give them ids that differ in more than case."
            )
    return students


# -- what is written ----------------------------------------------------------------------------


def write_source(plan: Plan) -> None:
    """The notebook with answers, the records, what nbgrader makes of them; or all as it was."""
    source, release = (
        edition_folder(plan.course, edition, plan.name) for edition in ("source", "release")
    )
    files = [
        file
        for folder in (source, release)
        for file in (notebook_path(folder, plan.name), folder / RECORDS_FILE)
    ]
    handed = [one for one in plan.exercises if isinstance(one, AssignedExercise)]
    bar = tqdm(handed, desc="results of public cases", unit="exercise", disable=None, leave=False)
    records = {
        "assignment": plan.name,
        "variants": plan.has_variants,
        "exercises": [make_record(one) for one in bar],
    }
    book = assignment_notebook(plan.name, plan.exercises)
    with restore_on_error(files):
        write_text(source / RECORDS_FILE, json.dumps(records) + "\n")
        write_text(notebook_path(source, plan.name), nbformat.writes(book) + "\n")
        nbgrader_course.make_release(plan.course, plan.name)


@contextlib.contextmanager
def restore_on_error(paths: Sequence[Path]) -> Iterator[None]:
    """If something fails, these files are put back."""
    before = {path: path.read_bytes() for path in paths if path.exists()}
    try:
        yield
    except BaseException:
        for path in paths:
            if path in before:  # nbgrader removes what it does not finish, with its folder
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(before[path])
            else:
                path.unlink(missing_ok=True)
        raise


def write_variants(plan: Plan) -> None:
    """Each student's own numbers, in a file of their own."""
    if plan.key is None:
        return
    for student in tqdm(plan.students, desc="numbers", unit="student", disable=None, leave=False):
        numbers = {
            one.id: pack(variants.numbers_for(plan.key, student, one)) for one in plan.numbered
        }
        made = {"student": student, "assignment": plan.name, "numbers": numbers}
        path = variant_path(plan.course, plan.name, student)
        write_text(path, json.dumps(made, ensure_ascii=False) + "\n")


def summary(plan: Plan) -> str:
    """What was made, and what is to be done with it."""
    counts = [
        pluralize(len(plan.exercises), "exercise"),
        pluralize(sum(map(max_points, plan.exercises)), "point"),
    ]
    if plan.students:
        counts.append(pluralize(len(plan.students), "student"))
    release = edition_folder(plan.course, "release", plan.name)
    lines = [
        f"{plan.name}: {', '.join(counts)}.",
        f"Hand out the folder {release}; the answers are in source, which stays here.",
    ]
    if plan.key and plan.students:
        path = plan.course / "variants" / plan.name / "STUDENT" / VARIANT_FILE
        lines.append(f"Give each student, to lie beside the notebook, their own {path}.")
    elif plan.key:
        lines.append("No numbers are written yet: --students FILE says for whom.")
    elif plan.numbered and not plan.has_variants:
        ids = " and ".join(one.id for one in plan.numbered)
        lines.append(
            f"{ids}: everybody has the same numbers. --variants KEY gives each student their own."
        )
    return "\n".join(lines)
