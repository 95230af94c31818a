"""Where exercises are found: the one module that knows the lessons' folders.

Each lesson's exercises are the `Exercise` objects of `lessons/NN_name/exercises.py`.
"""

import difflib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

from fmcourse.course.exercise import Exercise
from fmcourse.files import import_file, lessons_folder


def find_exercise(exercise_id: str | Exercise) -> Exercise:
    """The exercise of that id. Raises: ValueError with the nearest ids, if there is none."""
    if isinstance(exercise_id, Exercise):
        return exercise_id
    if not isinstance(exercise_id, str):
        raise ValueError(f'an exercise is named by text: "06.1", not {exercise_id!r}.')
    ids = []
    for exercise in all_exercises():  # lesson by lesson: those after the wanted one stay unread
        if exercise.id == exercise_id:
            return exercise
        ids.append(exercise.id)
    near = difflib.get_close_matches(exercise_id, ids, n=3, cutoff=0.5) or ids[:3]
    offer = f"did you mean {' or '.join(near)}?" if near else "there are none."
    raise ValueError(f"there is no exercise {exercise_id!r}; {offer}")


def all_exercises() -> Iterator[Exercise]:
    """Every exercise of every lesson, in order."""
    for path in exercise_files():
        yield from exercises_in(lesson_module(path))


def exercise_files() -> list[Path]:
    """The lessons' files with exercises, in order."""
    return sorted(lessons_folder().glob("[0-9][0-9]*_*/exercises.py"))


@cache
def lesson_module(path: Path) -> ModuleType:
    """A lesson's exercises.py, imported once and by its path: its folder begins with a digit."""
    return import_file(path, f"exercises_of_{path.parent.name}")


def exercises_in(module: ModuleType) -> list[Exercise]:
    """The exercises that a module defines, in the order of their ids."""
    found = [value for value in vars(module).values() if isinstance(value, Exercise)]
    return sorted(found, key=lambda exercise: exercise.id)
