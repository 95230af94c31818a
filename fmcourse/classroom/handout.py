"""What a handed-out notebook calls: the student's own numbers, and what an answer is worth.

Beside the notebook lies `exercises.json`, the records of the assigned exercises in it, and where
each student has numbers of their own, `variant.json`. A student sees what the public cases say;
where the instructor's folder is, the hidden ones count too. The judgement itself is made in
`fmcourse.course.verdict` and `scoring`, as it is when the class is graded.
"""

import contextlib
import difflib
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from fmcourse.classroom import library
from fmcourse.classroom.course_files import RECORDS_FILE, VARIANT_FILE
from fmcourse.classroom.exercise_kinds import (
    AssignedExercise,
    ExerciseRecord,
    GradedExercise,
    from_record,
)
from fmcourse.classroom.near_numbers import count_digits, digits_needed
from fmcourse.classroom.packing import NotReadable, unpack
from fmcourse.classroom.scoring import Mark, answer_key, mark
from fmcourse.course.comparing import equal
from fmcourse.course.exercise import Exercise
from fmcourse.course.library import all_exercises
from fmcourse.course.running import ReferenceNotFinished, run_cases
from fmcourse.course.showing import NOTED, publish, render_mark
from fmcourse.course.verdict import (
    AnswerKey,
    Stopped,
    Verdict,
    broken_contract,
    broken_property,
    not_judged,
    precheck,
)

HIDDEN_CASES_LATER = "The hidden cases are looked at when it is graded."
NOT_YOUR_NUMBERS = (
    "These are the numbers that everybody may see. Put your own `variant.json` beside the "
    "notebook, and run it again."
)
INSTRUCTOR_FOLDER_IS_HERE = (
    "(The instructor's folder is here, so hidden cases and mistakes speak too. Students see what "
    "the public cases say.)"
)
JUDGED_LATER = (
    "Whether it is right for your numbers, and what it is worth, is looked at when it is graded."
)
FEW_DIGITS = (
    "It has {found} of the {needed} digits that count. Leave it as it was computed, or type more."
)

# -- the files beside the notebook --------------------------------------------------------------


def variant(exercise_id: str) -> dict[str, Any]:
    """The numbers that the answer is asked for.

    One's own, or where nobody has any, those that everybody may see.

    Raises: ValueError if they cannot be found, or the file with them is damaged or belongs to
        another assignment.
    """
    path = find_variant_file()
    if path is None:
        return dict(public_numbers(exercise_id))
    numbers = read_variant_file(path).get("numbers")
    if not isinstance(numbers, dict):
        raise ValueError(f"{path.name} is damaged, it holds no numbers: ask for it again.")
    if exercise_id not in numbers:
        offer = suggest(numbers, exercise_id)
        raise ValueError(f"{path.name} has no numbers for {exercise_id!r}; {offer}")
    try:
        return dict(unpack(numbers[exercise_id]))
    except (NotReadable, TypeError, ValueError):
        raise ValueError(
            f"{path.name} is damaged, its numbers for {exercise_id} cannot be read."
        ) from None


def find_variant_file() -> Path | None:
    """The file with the student's numbers, if there is one."""
    here = Path.cwd()
    folders = [here]
    if here.parent.parent.name == "autograded":  # in the instructor's course: what was handed out
        folders.insert(0, here.parents[2] / "variants" / here.name / here.parent.name)
    paths = [folder / VARIANT_FILE for folder in folders]
    return next((path for path in paths if path.is_file()), None)


def read_variant_file(path: Path) -> dict[str, Any]:
    """What a file of numbers holds. Raises: ValueError if it was made for another assignment."""
    made, ours = read_json(path), assignment_name()
    theirs = made.get("assignment")
    if ours and theirs and theirs != ours:
        raise ValueError(
            f"{path.name} belongs to {theirs!r}, and this is {ours!r}: "
            f"put the one for {ours} beside it."
        )
    return made


def assignment_name() -> str:
    """The name of the assignment in this folder; empty if there is none."""
    if not Path(RECORDS_FILE).is_file():
        return ""
    return str(read_json(Path(RECORDS_FILE)).get("assignment", ""))


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file that holds named things. Raises: ValueError if it is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        found = None
    except OSError as error:
        raise ValueError(f"{path.name} cannot be read: {error.strerror}.") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path.name} is damaged; take the one that came with the notebook.")
    return found


def read_records() -> dict[str, dict[str, Any]]:
    """The records beside the notebook, by id. Raises: ValueError if they are not there."""
    if not Path(RECORDS_FILE).is_file():
        raise ValueError(f"{RECORDS_FILE} is not beside the notebook; both belong into one folder.")
    found = read_json(Path(RECORDS_FILE)).get("exercises")
    if not isinstance(found, list) or not all(
        isinstance(one, dict) and isinstance(one.get("id"), str) for one in found
    ):
        raise ValueError(f"{RECORDS_FILE} is damaged; take the one that came with the notebook.")
    return {one["id"]: one for one in found}


def public_numbers(exercise_id: str) -> dict[str, Any]:
    """The numbers that everybody may see. Raises: ValueError if the exercise has none."""
    exercise = find_handed_out(exercise_id)
    if not is_literal(exercise):
        raise ValueError(
            f"{exercise_id} has no numbers of one's own: its answer is a function or a class."
        )
    return exercise.cases[0]


def is_literal(exercise: Exercise) -> bool:
    return isinstance(exercise, GradedExercise) and exercise.literal


# -- exercises ----------------------------------------------------------------------------------


def find_handed_out(exercise_id: str) -> Exercise:
    """The exercise: the instructor's own where it is at hand, else its record.

    Raises: ValueError if there is none of that id.
    """
    if not isinstance(exercise_id, str):
        raise ValueError(f'an exercise is named by text: "07.A1", not {exercise_id!r}.')
    if not library.is_assigned_id(exercise_id):
        return find_practice(exercise_id)
    path = library.instructor_folder() / exercise_id.split(".")[0] / "exercises.py"
    for exercise in library.read_exercises(path) if path.is_file() else ():
        if exercise.id == exercise_id:
            return exercise
    records = read_records()
    if exercise_id not in records:
        offer = suggest(records, exercise_id)
        raise ValueError(f"{RECORDS_FILE} has no exercise {exercise_id!r}; {offer}")
    return from_record(records[exercise_id])


def find_practice(exercise_id: str) -> Exercise:
    """A lesson's exercise. Raises: ValueError with near ids, also of those handed out."""
    known = {exercise.id: exercise for exercise in all_exercises()}
    if exercise_id in known:
        return known[exercise_id]
    handed_out = read_records() if Path(RECORDS_FILE).is_file() else {}
    offer = suggest([*known, *handed_out], exercise_id)
    raise ValueError(f"there is no exercise {exercise_id!r}; {offer}")


def suggest(ids: Iterable[str], wanted: str) -> str:
    """What else could have been meant."""
    ids = list(ids)
    near = difflib.get_close_matches(wanted, ids, n=3, cutoff=0.5) or ids[:3]
    return f"there is {' or '.join(near)}." if near else "there are none."


# -- points -------------------------------------------------------------------------------------


class Noted(float):
    """No points so far: of an answer of which nothing is known here but that it is there.

    A notebook shows it as a word. nbgrader, which takes any number for the points, finds none.
    """

    def __repr__(self) -> str:
        return NOTED


def points(exercise_id: str, candidate: Any, of: float = 0) -> float:
    """How many of the points an answer is worth, after a card that says why.

    Practice exercises have none: `of` is 0, and the card says whether it is done. A value that
    cannot be judged here is `Noted`. Whatever is passed as the answer, nothing is raised.

    Raises: ValueError if there is no such exercise, or the files beside the notebook are not those
        it came with.
    """
    after = ""
    with silence_stderr():
        exercise = find_handed_out(exercise_id)
        numbers = variant(exercise_id) if is_literal(exercise) else None
        try:
            found, after = mark_answer(exercise, candidate, numbers)
        except Stopped as stop:
            found = Mark(0.0, stop.verdict)
        except ReferenceNotFinished as error:
            found = Mark(0.0, not_judged(error))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # an object that forbids to be looked at; SystemExit too
            kind = type(error).__name__
            sentence = f"It cannot be looked at: {kind}. Is it a plain function, class or value?"
            found = Mark(0.0, Verdict(False, "not to be looked at", "contract", (sentence,)))
    worth, verdict = round(of * found.share, 2), found.verdict
    reasons = (verdict.sentences, verdict.table, after)
    publish(*render_mark(exercise.id, verdict.name, worth, of, *reasons))
    return Noted() if verdict.name == NOTED else float(worth)


@contextlib.contextmanager
def silence_stderr() -> Iterator[None]:
    """What is written to stderr goes nowhere: nbgrader takes any of it for a failure."""
    with contextlib.redirect_stderr(io.StringIO()):
        yield


def mark_answer(
    exercise: Exercise, candidate: Any, numbers: dict[str, Any] | None
) -> tuple[Mark, str]:
    """What an answer is worth as far as is known here, and what is still to be said.

    Args:
        numbers: what a literal answer is asked for, None for functions and classes.
    Raises: Stopped if it is nothing that could be run.
    """
    if numbers is not None:
        candidate = exercise.candidate(candidate)
        handed_out, exercise = exercise, exercise.with_cases([numbers])
        check_candidate(exercise, candidate)
        if isinstance(exercise, ExerciseRecord):
            if not equal(handed_out.cases[0], numbers):
                return mark_unverified(exercise, candidate)
            check_numbers_are_own()
    else:
        check_candidate(exercise, candidate)
    key, n_public = answer_key(exercise)
    found = mark(key, run_cases(key.exercise, candidate), n_public)
    if isinstance(exercise, AssignedExercise):
        return found, INSTRUCTOR_FOLDER_IS_HERE
    more_cases = isinstance(exercise, ExerciseRecord) and numbers is None
    return found, HIDDEN_CASES_LATER if more_cases else ""


def check_candidate(exercise: Exercise, candidate: Any) -> None:
    """Raises: Stopped if it is blank, or cannot be called."""
    if verdict := precheck(exercise, candidate):
        raise Stopped(verdict)


def check_numbers_are_own() -> None:
    """Raises: Stopped if each student has numbers of their own, and these are the public ones."""
    if find_variant_file() is None and read_json(Path(RECORDS_FILE)).get("variants"):
        raise Stopped(Verdict(False, "not your numbers", "contract", (NOT_YOUR_NUMBERS,)))


def mark_unverified(exercise: ExerciseRecord, candidate: Any) -> tuple[Mark, str]:
    """A value for numbers whose right answer is not in this edition: it is noted, for no points.

    Raises: Stopped if it is of the wrong kind or lacks a property.
    """
    key, outcomes = AnswerKey(exercise), run_cases(exercise, candidate)
    broken = broken_contract(key, outcomes)
    if broken and broken.name == "the shape":  # that may depend on the numbers
        broken = None
    broken = broken or broken_property(key, outcomes)
    if broken:
        raise Stopped(broken)
    return Mark(
        0.0, Verdict(True, NOTED, "right", few_digits(exercise, outcomes[0].value))
    ), JUDGED_LATER


def few_digits(exercise: ExerciseRecord, value: Any) -> tuple[str, ...]:
    """A sentence on a float that was typed in with fewer digits than are compared."""
    needed = digits_needed(exercise.tolerance)
    wanted = exercise.recorded_outcomes[0].value
    found = count_digits(float(value)) if isinstance(value, float) else needed
    if not isinstance(wanted, float) or found >= needed:
        return ()
    return (FEW_DIGITS.format(found=found, needed=needed),)
