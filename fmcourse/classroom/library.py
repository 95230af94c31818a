"""Where assigned exercises are found: in the instructor's folder, which no student's edition has.

That is `instructor/`, or wherever FMCOURSE_INSTRUCTOR says; NN/exercises.py for lesson NN.
"""

import os
import re
from functools import cache
from pathlib import Path

from fmcourse.classroom.exercise_kinds import AssignedExercise
from fmcourse.course.exercise import Exercise
from fmcourse.course.library import exercises_in, find_exercise
from fmcourse.files import ROOT, import_file

FOLDER_VARIABLE = "FMCOURSE_INSTRUCTOR"


def instructor_folder() -> Path:
    """The instructor's folder, whether it is there or not."""
    return Path(os.environ.get(FOLDER_VARIABLE) or ROOT / "instructor")


def assigned_files() -> list[Path]:
    """The files with assigned exercises, in order; none where there is no instructor's folder."""
    return sorted(instructor_folder().glob("[0-9][0-9]*/exercises.py"))


def all_assigned() -> list[AssignedExercise]:
    """Every assigned exercise, in order."""
    return [exercise for path in assigned_files() for exercise in read_exercises(path)]


@cache
def read_exercises(path: Path) -> tuple[AssignedExercise, ...]:
    """The assigned exercises of one file."""
    module = import_file(path, f"assigned_of_{path.parent.name}")
    return tuple(found for found in exercises_in(module) if isinstance(found, AssignedExercise))


def is_assigned_id(exercise_id: str) -> bool:
    """Is it the id of an assigned exercise, such as 07.A1 or 07b.A1?"""
    return bool(re.fullmatch(r"\d\d[a-z]?\.A\d+", exercise_id))


def find_any_exercise(exercise_id: str) -> Exercise:
    """A practice exercise, or an assigned one. Raises: ValueError if there is none of that id."""
    if not is_assigned_id(exercise_id):
        return find_exercise(exercise_id)
    known = {exercise.id: exercise for exercise in all_assigned()}
    if exercise_id in known:
        return known[exercise_id]
    there = ", ".join(known) or "none: this edition has no such folder"
    raise ValueError(
        f"there is no assigned exercise {exercise_id!r} in {instructor_folder()}; "
        f"there are {there}."
    )
