"""Exercises handed out as an assignment of an nbgrader course.

    DIR/nbgrader_config.py, gradebook.db    nbgrader's own
    DIR/source/week3/                       the notebook with the answers, and records of the assigned exercises
    DIR/release/week3/                      what nbgrader makes of it: this is handed out
    DIR/variants/week3/STUDENT/             each student's numbers, to lie beside the notebook
    DIR/assignments/week3.json              the manifest: what the assignment consists of

Only `release` and a student's own file of `variants` leave the instructor's machine.
"""

import contextlib
import csv
import difflib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nbformat
from tqdm import tqdm

from fmcourse.classroom import gradebook, variants
from fmcourse.classroom.assigned import AssignedExercise, all_assigned, make_record
from fmcourse.classroom.handout import RECORDS_FILE, VARIANT_FILE
from fmcourse.classroom.manifest import manifest_path, read_manifest, write_manifest
from fmcourse.classroom.names import check_assignment_name, safe_name
from fmcourse.classroom.sheet import assignment_notebook, cell_ids, max_points, pluralize
from fmcourse.classroom.values import pack
from fmcourse.course.exercises import Exercise, all_exercises
from fmcourse.data import tables
from fmcourse.files import write_text

__all__ = ["assign", "read_manifest"]

ID_COLUMNS = ("id", "student", "username")


@dataclass(frozen=True)
class Plan:
    """What is to be handed out, once nothing speaks against it."""

    course: Path
    name: str
    exercises: list[Exercise]
    students: list[str]
    key: bytes | None

    def manifest(self) -> dict[str, Any]:
        entries = []
        for exercise in self.exercises:
            cell, points_cell = cell_ids(exercise)
            entries.append(
                {
                    "id": exercise.id,
                    "points": max_points(exercise),
                    "cell": cell,
                    "points_cell": points_cell,
                    "name": exercise.name,
                }
            )
        key = variants.fingerprint(self.key) if self.key else None
        return {
            "name": self.name,
            "exercises": entries,
            "variants": key,
            "students": self.students,
            "fmcourse": version("fmcourse"),
        }


def assign(
    wanted: Sequence[str],
    name: str,
    out: str | Path,
    *,
    key_file: str | Path | None = None,
    students_file: str | Path | None = None,
    again: bool = False,
) -> Plan:
    """Make or renew an assignment, and say what is to be handed out. Raises: ValueError if something speaks against it."""
    gradebook.require_nbgrader()
    course, exercises = Path(out), find_exercises(wanted)
    students = read_students(Path(students_file)) if students_file else None
    before = (
        read_manifest(course, check_assignment_name(name))
        if manifest_path(course, name).exists()
        else None
    )
    if (
        before
        and not again
        and [entry["id"] for entry in before["exercises"]] != [one.id for one in exercises]
    ):
        there = ", ".join(entry["id"] for entry in before["exercises"])
        raise ValueError(
            f"{course} has {name!r} already, with {there}; choose another --name, or replace it with --again."
        )
    students = students if students is not None else (before or {}).get("students", [])
    key = variants_key(course, exercises, key_file, before, again)
    plan = Plan(course, name, exercises, students, key)
    if key is None:
        check_numbers_drawn(plan, before)
    gradebook.make_course_folder(course)
    write_source(plan, has_variants(plan, before))
    write_variants(plan)
    gradebook.add_students(course, students)
    manifest = plan.manifest()
    if has_variants(plan, before):
        manifest["variants"] = manifest["variants"] or before["variants"]
    write_manifest(course, manifest)
    print(summary(plan, manifest))
    return plan


# -- what is asked for ----------------------------------------------------------------------------------------------------


def find_exercises(wanted: Sequence[str]) -> list[Exercise]:
    """The exercises of these ids, in this order. Raises: ValueError naming near ones, or one that is there twice."""
    every = {exercise.id: exercise for exercise in [*all_exercises(), *all_assigned()]}
    for exercise_id in wanted:
        if exercise_id not in every:
            near = difflib.get_close_matches(exercise_id, every, n=3, cutoff=0.5)
            also = (
                ""
                if any(isinstance(one, AssignedExercise) for one in every.values())
                else " This edition has none for points alone (07.A1)."
            )
            raise ValueError(
                f"there is no exercise {exercise_id!r}; did you mean {' or '.join(near or list(every)[:3])}?{also}"
            )
        if list(wanted).count(exercise_id) > 1:
            raise ValueError(f"{exercise_id} is named twice.")
    if not wanted:
        raise ValueError("name the exercises to hand out, such as 06.2 07.A1.")
    return [every[exercise_id] for exercise_id in wanted]


def literal_exercises(exercises: Sequence[Exercise]) -> list[AssignedExercise]:
    """Those of which each student can have their own."""
    return [
        exercise
        for exercise in exercises
        if isinstance(exercise, AssignedExercise) and exercise.literal
    ]


def variants_key(
    course: Path,
    exercises: Sequence[Exercise],
    path: str | Path | None,
    before: dict | None,
    again: bool,
) -> bytes | None:
    """The key for the students' numbers, where there are any. Raises: ValueError if it is not the one used before."""
    if path is None:
        return None
    if not literal_exercises(exercises):
        print("None of these exercises has numbers of each student's own, so the key is not used.")
        return None
    key = variants.read_or_make_key(path, course)
    if before and before["variants"] not in (None, variants.fingerprint(key)) and not again:
        raise ValueError(
            f"--variants {path}: the numbers of {before['name']} were drawn with another key; give that one, or draw anew with --again."
        )
    return key


def has_variants(plan: Plan, before: dict | None) -> bool:
    """Has each student numbers of their own in this assignment, by what is said now or was said before?"""
    return bool(literal_exercises(plan.exercises)) and bool(
        plan.key or (before and before["variants"])
    )


def check_numbers_drawn(plan: Plan, before: dict | None) -> None:
    """Raises: ValueError if numbers have to be drawn, and the key for it was not named."""
    if not has_variants(plan, before):
        return
    same = [entry["id"] for entry in before["exercises"]] == [
        exercise.id for exercise in plan.exercises
    ]
    lack = [student for student in plan.students if not variant_path(plan, student).is_file()]
    if lack or not same:
        raise ValueError(
            f"each student has numbers of their own in {plan.name!r}, and some are still to be drawn: name the key with --variants."
        )


def variant_path(plan: Plan, student: str) -> Path:
    return plan.course / "variants" / plan.name / safe_name(student) / VARIANT_FILE


def read_students(path: Path) -> list[str]:
    """Ids out of a file: one a line, or the column id, student or username of a table. Raises: ValueError with what is wrong."""
    if not path.is_file():
        raise ValueError(f"--students {path}: there is no such file.")
    content = tables.read_utf8(path)
    before = csv.field_size_limit(max(len(content), 1))
    try:
        found = [one.strip() for one in parse_students(content, path)]
    finally:
        csv.field_size_limit(before)
    students = list(dict.fromkeys(filter(None, found)))
    if not students:
        raise ValueError(f"{path} names no student.")
    folders: dict[str, str] = {}
    for student in students:
        other = folders.setdefault(safe_name(student).casefold(), student)
        if other != student:
            raise ValueError(
                f"{path}: {other!r} and {student!r} could share a folder on some machines; give them ids that differ in more than case."
            )
    return students


def parse_students(content: str, path: Path) -> list[str]:
    """The ids in a text, before anything is made of them."""
    first = next((line for line in content.splitlines() if line.strip()), "")
    separator = max(tables.SEPARATORS, key=first.count)
    columns = [name.strip().strip('"').casefold() for name in first.split(separator)]
    column = next((name for name in ID_COLUMNS if name in columns), None)
    if column is None:
        if separator in first:
            raise ValueError(f"{path}: its first line names no column id, student or username.")
        return content.splitlines()
    rows = [
        row for row in csv.reader(io.StringIO(content, newline=""), delimiter=separator) if any(row)
    ]
    at = columns.index(column)
    return [row[at] for row in rows[1:] if len(row) > at]


# -- what is written ------------------------------------------------------------------------------------------------------


def write_source(plan: Plan, own: bool) -> None:
    """The instructor's notebook and the records, and what nbgrader makes of them to be handed out; or all as it was."""
    folder = plan.course / "source" / plan.name
    files = [
        plan.course / step / plan.name / file
        for step in ("source", "release")
        for file in (f"{plan.name}.ipynb", RECORDS_FILE)
    ]
    handed = [one for one in plan.exercises if isinstance(one, AssignedExercise)]
    bar = tqdm(handed, desc="results of public cases", unit="exercise", disable=None, leave=False)
    kept = {
        "assignment": plan.name,
        "variants": own,
        "exercises": [make_record(one) for one in bar],
    }
    with restore_on_error(files):
        write_text(folder / RECORDS_FILE, json.dumps(kept) + "\n")
        write_text(
            folder / f"{plan.name}.ipynb",
            nbformat.writes(assignment_notebook(plan.name, plan.exercises)) + "\n",
        )
        gradebook.make_release(plan.course, plan.name)


@contextlib.contextmanager
def restore_on_error(paths: Sequence[Path]) -> Iterator[None]:
    """If something fails, these files are put back."""
    before = {path: path.read_bytes() for path in paths if path.exists()}
    try:
        yield
    except BaseException:
        for path in paths:
            if path in before:
                path.parent.mkdir(
                    parents=True, exist_ok=True
                )  # nbgrader removes what it does not finish
                path.write_bytes(before[path])
            else:
                path.unlink(missing_ok=True)
        raise


def write_variants(plan: Plan) -> None:
    """Each student's own numbers, in a file of their own."""
    if plan.key is None:
        return
    asked = literal_exercises(plan.exercises)
    for student in tqdm(plan.students, desc="numbers", unit="student", disable=None, leave=False):
        numbers = {one.id: pack(variants.numbers_for(plan.key, student, one)) for one in asked}
        made = {"student": student, "assignment": plan.name, "numbers": numbers}
        write_text(variant_path(plan, student), json.dumps(made, ensure_ascii=False) + "\n")


def summary(plan: Plan, manifest: dict[str, Any]) -> str:
    """What was made, and what is to be done with it."""
    total = sum(entry["points"] for entry in manifest["exercises"])
    lines = [
        f"{plan.name}: {pluralize(len(plan.exercises), 'exercise')}, {pluralize(total, 'point')}"
        + (f", {pluralize(len(plan.students), 'student')}." if plan.students else "."),
        f"Hand out the folder {plan.course / 'release' / plan.name}; the answers are in source, which stays here.",
    ]
    numbered = literal_exercises(plan.exercises)
    if plan.key and plan.students:
        lines.append(
            f"Give each student, to lie beside the notebook, their own {plan.course / 'variants' / plan.name / 'STUDENT' / VARIANT_FILE}."
        )
    elif plan.key:
        lines.append("No numbers are written yet: --students FILE says for whom.")
    elif numbered and not manifest["variants"]:
        lines.append(
            f"{' and '.join(one.id for one in numbered)}: everybody has the same numbers. --variants KEY gives each student their own."
        )
    return "\n".join(lines)
