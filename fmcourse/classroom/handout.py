"""What a handed-out notebook calls: the student's own numbers, and what an answer is worth.

Beside the notebook lies `exercises.json`, the records of the assigned exercises in it, and where each student has numbers
of their own, `variant.json`. A student sees what the public cases say; where the instructor's folder is, the hidden ones
count too.
"""

import contextlib
import difflib
import io
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from fmcourse.classroom import assigned, marking
from fmcourse.classroom.assigned import AssignedExercise, ExerciseRecord, GradedExercise
from fmcourse.classroom.marking import Mark
from fmcourse.classroom.values import NotReadable, unpack
from fmcourse.course import cards, compare, diagnosis
from fmcourse.course.diagnosis import Verdict
from fmcourse.course.exercises import Exercise, all_exercises
from fmcourse.course.sandbox import run_cases
from fmcourse.plots import publish

RECORDS_FILE, VARIANT_FILE = "exercises.json", "variant.json"
HIDDEN_CASES_LATER = "The hidden cases are looked at when it is graded."
NOT_YOUR_NUMBERS = "These are the numbers that everybody may see. Put your own `variant.json` beside the notebook, and run it again."
INSTRUCTOR_FOLDER_IS_HERE = "(The instructor's folder is here, so hidden cases and mistakes speak too. Students see what the public cases say.)"
JUDGED_LATER = "It is noted. Whether it is right for your numbers is looked at when it is graded."

# -- the files beside the notebook ----------------------------------------------------------------------------------------


def variant(exercise_id: str) -> dict[str, Any]:
    """The numbers that the answer is asked for: one's own, or where nobody has any, those that everybody may see.

    Raises: ValueError if they cannot be found, or the file with them is damaged or belongs to another assignment.
    """
    path = find_variant_file()
    if path is None:
        return dict(public_numbers(exercise_id))
    numbers = read_variant_file(path).get("numbers")
    if not isinstance(numbers, dict):
        raise ValueError(f"{path.name} is damaged, it holds no numbers: ask for it again.")
    if exercise_id not in numbers:
        raise ValueError(
            f"{path.name} has no numbers for {exercise_id!r}; {suggest(numbers, exercise_id)}"
        )
    try:
        return dict(unpack(numbers[exercise_id]))
    except (NotReadable, TypeError, ValueError):
        raise ValueError(
            f"{path.name} is damaged, its numbers for {exercise_id} cannot be read."
        ) from None


def find_variant_file() -> Path | None:
    """The file with the student's numbers, if there is one; in the instructor's course the one that was handed out."""
    here = Path.cwd()
    kept = (
        here.parents[2] / "variants" / here.name / here.parent.name
        if here.parent.parent.name == "autograded"
        else here
    )
    return next(
        (folder / VARIANT_FILE for folder in (kept, here) if (folder / VARIANT_FILE).is_file()),
        None,
    )


def read_variant_file(path: Path) -> dict[str, Any]:
    """What a file of numbers holds. Raises: ValueError if it was made for another assignment."""
    made, ours = read_json(path), assignment_name()
    theirs = made.get("assignment")
    if ours and theirs and theirs != ours:
        raise ValueError(
            f"{path.name} belongs to {theirs!r}, and this is {ours!r}: put the one for {ours} beside it."
        )
    return made


def assignment_name() -> str:
    """The name of the assignment in this folder; empty if nothing tells it."""
    return (
        str(read_json(Path(RECORDS_FILE)).get("assignment", ""))
        if Path(RECORDS_FILE).is_file()
        else ""
    )


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
    """The records beside the notebook, by id."""
    if not Path(RECORDS_FILE).is_file():
        raise ValueError(f"{RECORDS_FILE} is not beside the notebook; both belong into one folder.")
    found = read_json(Path(RECORDS_FILE)).get("exercises")
    if not isinstance(found, list) or not all(
        isinstance(one, dict) and isinstance(one.get("id"), str) for one in found
    ):
        raise ValueError(f"{RECORDS_FILE} is damaged; take the one that came with the notebook.")
    return {one["id"]: one for one in found}


def public_numbers(exercise_id: str) -> dict[str, Any]:
    exercise = find_any_exercise(exercise_id)
    if not isinstance(exercise, GradedExercise) or not exercise.literal:
        raise ValueError(
            f"{exercise_id} has no numbers of one's own: its answer is a function or a class."
        )
    return exercise.cases[0]


def suggest(ids: Any, wanted: str) -> str:
    """What else could have been meant."""
    ids = list(ids)
    near = difflib.get_close_matches(wanted, ids, n=3, cutoff=0.5) or ids[:3]
    return f"there is {' or '.join(near)}." if near else "there are none."


def find_any_exercise(exercise_id: str) -> Exercise:
    """The exercise: the instructor's own where it is at hand, else what was handed out. Raises: ValueError for no such id."""
    if not isinstance(exercise_id, str):
        raise ValueError(f'an exercise is named by text: "07.A1", not {exercise_id!r}.')
    if not re.fullmatch(r"\d\d[a-z]?\.A\d+", exercise_id):
        return find_practice(exercise_id)
    path = assigned.instructor_folder() / exercise_id.split(".")[0] / "exercises.py"
    for exercise in assigned.read_exercises(path) if path.is_file() else ():
        if exercise.id == exercise_id:
            return exercise
    there = read_records()
    if exercise_id not in there:
        raise ValueError(
            f"{RECORDS_FILE} has no exercise {exercise_id!r}; {suggest(there, exercise_id)}"
        )
    return assigned.from_record(there[exercise_id])


def find_practice(exercise_id: str) -> Exercise:
    every = {exercise.id: exercise for exercise in all_exercises()}
    if exercise_id not in every:
        handed = read_records() if Path(RECORDS_FILE).is_file() else {}
        raise ValueError(
            f"there is no exercise {exercise_id!r}; {suggest([*every, *handed], exercise_id)}"
        )
    return every[exercise_id]


# -- points ---------------------------------------------------------------------------------------------------------------


def points(exercise_id: str, candidate: Any, of: float = 0) -> float:
    """How many of the points an answer has, after a card that says why. Whatever is passed, nothing is raised.

    Practice exercises have none: `of` is 0, and the card says whether it is done.

    Raises: ValueError if there is no such exercise, or the files beside the notebook are not those it came with.
    """
    with silence_stderr():
        exercise, numbers = find_any_exercise(exercise_id), None
        if isinstance(exercise, GradedExercise) and exercise.literal:
            numbers = variant(exercise_id)
        try:
            found, after = mark_answer(exercise, candidate, numbers)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # an object that forbids to be looked at; SystemExit too
            said = f"It cannot be looked at: {type(error).__name__}. Is it a plain function, class or value?"
            found, after = Mark(0.0, Verdict(False, "not to be looked at", "contract", (said,))), ""
    worth = round(of * found.share, 2)
    show_mark(exercise, found, worth, of, after)
    return float(worth)


@contextlib.contextmanager
def silence_stderr() -> Iterator[None]:
    """What is written to stderr goes nowhere: nbgrader takes any of it for a failure."""
    with contextlib.redirect_stderr(io.StringIO()):
        yield


def mark_answer(
    exercise: Exercise, candidate: Any, numbers: dict[str, Any] | None
) -> tuple[Mark, str]:
    """What an answer is worth as far as can be told here, and what is still to be said."""
    if numbers is not None:
        candidate = exercise.candidate(candidate)
        known = isinstance(exercise, AssignedExercise) or compare.equal(exercise.cases[0], numbers)
        exercise = (
            exercise.for_numbers(numbers)
            if isinstance(exercise, AssignedExercise)
            else marking.replace_cases(exercise, [numbers])
        )
        if not known:
            return mark_unverified(exercise, candidate)
        if (
            isinstance(exercise, ExerciseRecord)
            and find_variant_file() is None
            and read_json(Path(RECORDS_FILE)).get("variants")
        ):
            verdict = diagnosis.precheck(exercise, candidate)
            return Mark(
                0.0, verdict or Verdict(False, "not your numbers", "contract", (NOT_YOUR_NUMBERS,))
            ), ""
    if verdict := diagnosis.precheck(exercise, candidate):
        return Mark(0.0, verdict), ""
    everything, n_public = marking.with_all_cases(exercise)
    found = marking.mark(
        everything, everything.expected_outcomes(), run_cases(everything, candidate), n_public
    )
    return found, INSTRUCTOR_FOLDER_IS_HERE if isinstance(
        exercise, AssignedExercise
    ) else HIDDEN_CASES_LATER if isinstance(exercise, ExerciseRecord) and numbers is None else ""


def mark_unverified(exercise: ExerciseRecord, candidate: Any) -> tuple[Mark, str]:
    """A value for numbers whose right answer is not in this edition: full marks unless its kind or a property is wrong."""
    if verdict := diagnosis.precheck(exercise, candidate):
        return Mark(0.0, verdict), ""
    rights, gots = exercise.expected_outcomes(), run_cases(exercise, candidate)
    found = diagnosis.broken_contract(exercise, rights, gots)
    if found and found.name != "the shape":  # that may depend on the numbers
        return Mark(0.0, found), ""
    broken = diagnosis.broken_property(exercise, gots)
    if broken is None:
        return Mark(1.0, Verdict(True, "noted", "right")), JUDGED_LATER
    return Mark(0.0, broken), ""


def show_mark(exercise: Exercise, found: Mark, worth: float, of: float, after: str) -> None:
    """Show what an answer is worth and why."""
    verdict = found.verdict
    publish(
        *render_mark(exercise.id, verdict.name, worth, of, verdict.sentences, verdict.table, after)
    )


def render_mark(
    exercise_id: str,
    verdict: str,
    worth: float,
    of: float,
    sentences: Iterable[str] = (),
    table: Iterable[str] = (),
    after: str = "",
) -> tuple[str, str]:
    """What is said of an answer, as text and as HTML; `verdict` is "right", "noted", "blank" or the mistake."""
    score = f"{worth:g} of {of:g} points" if of else ""
    after_it = f": {score}." if score else "."
    if verdict == "blank":
        return cards.render_card(
            "open", f"{exercise_id} is blank so far{after_it}", sentences, table, after=after
        )
    if verdict in ("right", "noted"):
        return cards.render_card(
            "good", f"{exercise_id} {verdict}{after_it}", sentences, table, after=after
        )
    return cards.render_card(
        "bad",
        f"{exercise_id} not yet: {verdict}. {score}.".replace(". .", "."),
        sentences,
        table,
        after=after,
    )
