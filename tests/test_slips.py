"""Wrong answers as tired students write them (slips.txt): all refused, and called by their name.

In slips.txt `== 00.1` begins an exercise and `# name` a body of its function: the mistake that it
is, or no name where what the contract or a property says is enough. The slips of exercises for
points lie in the instructor's folder, which a student's edition does not have.
"""

import textwrap
from pathlib import Path

import pytest

from fmcourse.classroom.library import all_assigned
from fmcourse.course.exercise import Exercise
from fmcourse.course.library import find_exercise
from fmcourse.course.verdict import AnswerKey, diagnose

LEAST_NAMED = 0.9  # of all slips of practice
LEAST_NAMED_ASSIGNED = 0.85  # a number that nobody foresaw is shown beside the right one
PRACTICE = Path(__file__).with_name("slips.txt")
ASSIGNED = Path(__file__).parents[1] / "instructor" / "slips.txt"


def read_slips(path: Path) -> dict[str, list[tuple[str, str]]]:
    """(name of the mistake or nothing, body) of each slip, by exercise; {} without a file."""
    if not path.exists():
        return {}
    slips: dict[str, list[tuple[str, str]]] = {}
    text = path.read_text(encoding="utf-8")
    for part in text.removeprefix("== ").split("\n== "):
        exercise_id, *bodies = part.rstrip("\n").split("\n#")
        pairs = [body.partition("\n") for body in bodies]
        slips[exercise_id] = [(name.strip(), body) for name, _, body in pairs]
    return slips


SLIPS, ASSIGNED_SLIPS = read_slips(PRACTICE), read_slips(ASSIGNED)
only_with_instructor = pytest.mark.skipif(
    not ASSIGNED_SLIPS, reason="this edition has no instructor's folder"
)


def head_of(exercise: Exercise) -> str:
    """The line that begins an answer; a literal one is a function of the student's numbers."""
    if getattr(exercise, "literal", False):
        return f"def {exercise.name}(mine):"
    return [line for line in exercise.starter.splitlines() if line.startswith("def ")][-1]


def misjudged(exercise: Exercise, slips: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """(what it is called, its source) of every slip that passes, or that has another name."""
    key, found = AnswerKey(exercise), []
    for name, body in slips:
        source = f"{head_of(exercise)}\n{textwrap.indent(body, '    ')}\n"
        verdict = diagnose(exercise, exercise.compile(source), key)
        if verdict.correct or (name and verdict.name != name):
            found.append((verdict.name, source))
    return found


def share_named(slips: dict[str, list[tuple[str, str]]]) -> float:
    names = [name for some in slips.values() for name, _ in some]
    return sum(map(bool, names)) / len(names)


@pytest.mark.slow
@pytest.mark.parametrize("exercise_id", SLIPS)
def test_every_slip_is_refused_and_called_by_its_name(exercise_id):
    assert misjudged(find_exercise(exercise_id), SLIPS[exercise_id]) == []


@pytest.mark.slow
@only_with_instructor
@pytest.mark.parametrize("exercise", all_assigned(), ids=lambda exercise: exercise.id)
def test_every_slip_of_an_assigned_one_is_refused_and_called_by_its_name(exercise):
    assert misjudged(exercise.with_hidden(), ASSIGNED_SLIPS[exercise.id]) == []


def test_nine_of_ten_slips_are_a_known_mistake():
    assert sum(map(len, SLIPS.values())) > 900 and share_named(SLIPS) >= LEAST_NAMED


@only_with_instructor
def test_each_assigned_exercise_has_ten_slips_and_most_are_a_known_mistake():
    assert set(ASSIGNED_SLIPS) == {exercise.id for exercise in all_assigned()}
    assert min(map(len, ASSIGNED_SLIPS.values())) >= 10
    assert share_named(ASSIGNED_SLIPS) >= LEAST_NAMED_ASSIGNED
