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
from fmcourse.classroom.assigned import Assigned, Handed, Record
from fmcourse.classroom.marking import Mark
from fmcourse.classroom.values import NotReadable, unpack
from fmcourse.course import cards, compare, diagnosis
from fmcourse.course.diagnosis import Verdict
from fmcourse.course.exercises import Exercise, all_exercises
from fmcourse.course.sandbox import outcomes
from fmcourse.plots import publish

RECORDS, VARIANT = "exercises.json", "variant.json"
LATER = "The hidden cases are looked at when it is graded."
NOT_YOURS = (
    "These are the numbers that everybody may see. Put your own `variant.json` beside the notebook, and run it again."
)
OFFICE = (
    "(The instructor's folder is here, so hidden cases and mistakes speak too. Students see what the public cases say.)"
)
NOTED = "It is noted. Whether it is right for your numbers is looked at when it is graded."

# -- the files beside the notebook ----------------------------------------------------------------------------------------


def variant(exercise_id: str) -> dict[str, Any]:
    """The numbers that the answer is asked for: one's own, or where nobody has any, those that everybody may see.

    Raises: ValueError if they cannot be found, or the file with them is damaged or belongs to another assignment.
    """
    path = variant_file()
    if path is None:
        return dict(public_numbers(exercise_id))
    numbers = checked(path).get("numbers")
    if not isinstance(numbers, dict):
        raise ValueError(f"{path.name} is damaged, it holds no numbers: ask for it again.")
    if exercise_id not in numbers:
        raise ValueError(f"{path.name} has no numbers for {exercise_id!r}; {there_is(numbers, exercise_id)}")
    try:
        return dict(unpack(numbers[exercise_id]))
    except (NotReadable, TypeError, ValueError):
        raise ValueError(f"{path.name} is damaged, its numbers for {exercise_id} cannot be read.") from None


def variant_file() -> Path | None:
    """The file with the student's numbers, if there is one; in the instructor's course the one that was handed out."""
    here = Path.cwd()
    kept = (
        here.parents[2] / "variants" / here.name / here.parent.name if here.parent.parent.name == "autograded" else here
    )
    return next((folder / VARIANT for folder in (kept, here) if (folder / VARIANT).is_file()), None)


def checked(path: Path) -> dict[str, Any]:
    """What a file of numbers holds. Raises: ValueError if it was made for another assignment."""
    made, ours = loaded(path), assignment()
    theirs = made.get("assignment")
    if ours and theirs and theirs != ours:
        raise ValueError(f"{path.name} belongs to {theirs!r}, and this is {ours!r}: put the one for {ours} beside it.")
    return made


def assignment() -> str:
    """The name of the assignment in this folder; empty if nothing tells it."""
    return str(loaded(Path(RECORDS)).get("assignment", "")) if Path(RECORDS).is_file() else ""


def loaded(path: Path) -> dict[str, Any]:
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


def records() -> dict[str, dict[str, Any]]:
    """The records beside the notebook, by id."""
    if not Path(RECORDS).is_file():
        raise ValueError(f"{RECORDS} is not beside the notebook; both belong into one folder.")
    found = loaded(Path(RECORDS)).get("exercises")
    if not isinstance(found, list) or not all(
        isinstance(one, dict) and isinstance(one.get("id"), str) for one in found
    ):
        raise ValueError(f"{RECORDS} is damaged; take the one that came with the notebook.")
    return {one["id"]: one for one in found}


def public_numbers(exercise_id: str) -> dict[str, Any]:
    exercise = sought(exercise_id)
    if not isinstance(exercise, Handed) or not exercise.literal:
        raise ValueError(f"{exercise_id} has no numbers of one's own: its answer is a function or a class.")
    return exercise.cases[0]


def there_is(ids: Any, wanted: str) -> str:
    """What else could have been meant."""
    ids = list(ids)
    near = difflib.get_close_matches(wanted, ids, n=3, cutoff=0.5) or ids[:3]
    return f"there is {' or '.join(near)}." if near else "there are none."


def sought(exercise_id: str) -> Exercise:
    """The exercise: the instructor's own where it is at hand, else what was handed out. Raises: ValueError for no such id."""
    if not isinstance(exercise_id, str):
        raise ValueError(f'an exercise is named by text: "07.A1", not {exercise_id!r}.')
    if not re.fullmatch(r"\d\d\.A\d+", exercise_id):
        return practice(exercise_id)
    path = assigned.folder() / "exercises" / f"lesson_{exercise_id[:2]}.py"
    for exercise in assigned.read(path) if path.is_file() else ():
        if exercise.id == exercise_id:
            return exercise
    there = records()
    if exercise_id not in there:
        raise ValueError(f"{RECORDS} has no exercise {exercise_id!r}; {there_is(there, exercise_id)}")
    return assigned.from_record(there[exercise_id])


def practice(exercise_id: str) -> Exercise:
    every = {exercise.id: exercise for exercise in all_exercises()}
    if exercise_id not in every:
        handed = records() if Path(RECORDS).is_file() else {}
        raise ValueError(f"there is no exercise {exercise_id!r}; {there_is([*every, *handed], exercise_id)}")
    return every[exercise_id]


# -- points ---------------------------------------------------------------------------------------------------------------


def points(exercise_id: str, candidate: Any, of: float = 0) -> float:
    """How many of the points an answer has, after a card that says why. Whatever is passed, nothing is raised.

    Practice exercises have none: `of` is 0, and the card says whether it is done.

    Raises: ValueError if there is no such exercise, or the files beside the notebook are not those it came with.
    """
    with quiet():
        exercise, numbers = sought(exercise_id), None
        if isinstance(exercise, Handed) and exercise.literal:
            numbers = variant(exercise_id)
        try:
            found, after = judged(exercise, candidate, numbers)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # an object that forbids to be looked at; SystemExit too
            said = f"It cannot be looked at: {type(error).__name__}. Is it a plain function, class or value?"
            found, after = Mark(0.0, Verdict(False, "not to be looked at", "contract", (said,))), ""
    worth = round(of * found.share, 2)
    say(exercise, found, worth, of, after)
    return float(worth)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """What is written to stderr goes nowhere: nbgrader takes any of it for a failure."""
    with contextlib.redirect_stderr(io.StringIO()):
        yield


def judged(exercise: Exercise, candidate: Any, numbers: dict[str, Any] | None) -> tuple[Mark, str]:
    """What an answer is worth as far as can be told here, and what is still to be said."""
    if numbers is not None:
        candidate = exercise.candidate(candidate)
        known = isinstance(exercise, Assigned) or compare.equal(exercise.cases[0], numbers)
        exercise = exercise.for_numbers(numbers) if isinstance(exercise, Assigned) else marking.replace_cases(exercise, [numbers])  # fmt: skip
        if not known:
            return noted(exercise, candidate)
        if isinstance(exercise, Record) and variant_file() is None and loaded(Path(RECORDS)).get("variants"):
            verdict = diagnosis.unfit(exercise, candidate)
            return Mark(0.0, verdict or Verdict(False, "not your numbers", "contract", (NOT_YOURS,))), ""
    if verdict := diagnosis.unfit(exercise, candidate):
        return Mark(0.0, verdict), ""
    everything, n_public = marking.asked(exercise)
    found = marking.mark(everything, everything.rights(), outcomes(everything, candidate), n_public)
    return found, OFFICE if isinstance(exercise, Assigned) else LATER if isinstance(exercise, Record) and numbers is None else ""  # fmt: skip


def noted(exercise: Record, candidate: Any) -> tuple[Mark, str]:
    """A value for numbers whose right answer is not in this edition: full marks unless its kind or a property is wrong."""
    if verdict := diagnosis.unfit(exercise, candidate):
        return Mark(0.0, verdict), ""
    rights, gots = exercise.rights(), outcomes(exercise, candidate)
    found = diagnosis.broken_contract(exercise, rights, gots)
    if found and found.name != "the shape":  # that may depend on the numbers
        return Mark(0.0, found), ""
    broken = diagnosis.broken_property(exercise, gots)
    if broken is None:
        return Mark(1.0, Verdict(True, "noted", "right")), NOTED
    return Mark(0.0, broken), ""


def say(exercise: Exercise, found: Mark, worth: float, of: float, after: str) -> None:
    """Show what an answer is worth and why."""
    verdict = found.verdict
    publish(*spelt(exercise.id, verdict.name, worth, of, verdict.sentences, verdict.table, after))


def spelt(
    exercise_id: str, verdict: str, worth: float, of: float, sentences: Iterable[str] = (), table: Iterable[str] = (),
    after: str = "",
) -> tuple[str, str]:  # fmt: skip
    """What is said of an answer, as text and as HTML; `verdict` is "right", "noted", "blank" or the mistake."""
    score = f"{worth:g} of {of:g} points" if of else ""
    after_it = f": {score}." if score else "."
    if verdict == "blank":
        return cards.spelt("open", f"{exercise_id} is blank so far{after_it}", sentences, table, after=after)
    if verdict in ("right", "noted"):
        return cards.spelt("good", f"{exercise_id} {verdict}{after_it}", sentences, table, after=after)
    return cards.spelt("bad", f"{exercise_id} not yet: {verdict}. {score}.".replace(". .", "."), sentences, table, after=after)  # fmt: skip
