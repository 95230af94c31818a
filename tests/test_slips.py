"""Wrong answers as tired students write them (slips.txt): all refused, and called by their name.

In slips.txt `== 00.1` begins an exercise and `# name` a body of its function: the mistake that it
is, or no name where what the contract or a property says is enough.
"""

import textwrap
from pathlib import Path

import pytest

from fmcourse.course.library import find_exercise
from fmcourse.course.verdict import AnswerKey, diagnose

LEAST_NAMED = 0.9  # of all slips


def read_slips() -> dict[str, list[tuple[str, str]]]:
    """(name of the mistake or nothing, body) of each slip, by exercise."""
    slips: dict[str, list[tuple[str, str]]] = {}
    text = Path(__file__).with_name("slips.txt").read_text(encoding="utf-8")
    for part in text.removeprefix("== ").split("\n== "):
        exercise_id, *bodies = part.rstrip("\n").split("\n#")
        pairs = [body.partition("\n") for body in bodies]
        slips[exercise_id] = [(name.strip(), body) for name, _, body in pairs]
    return slips


SLIPS = read_slips()


@pytest.mark.slow
@pytest.mark.parametrize("exercise_id", SLIPS)
def test_every_slip_is_refused_and_called_by_its_name(exercise_id):
    exercise = find_exercise(exercise_id)
    key = AnswerKey(exercise)
    head = [line for line in exercise.starter.splitlines() if line.startswith("def ")][-1]
    for name, body in SLIPS[exercise_id]:
        source = f"{head}\n{textwrap.indent(body, '    ')}\n"
        verdict = diagnose(exercise, exercise.compile(source), key)
        assert not verdict.correct, source
        assert not name or verdict.name == name, source


def test_nine_of_ten_slips_are_a_known_mistake():
    names = [name for slips in SLIPS.values() for name, _ in slips]
    assert len(names) > 900 and sum(map(bool, names)) / len(names) >= LEAST_NAMED
