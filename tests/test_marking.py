"""Points: what counts, what is said, and that an answer judged from outside is judged as in the notebook."""

import ast
import json
import os

import pytest

from fmcourse.classroom.answering import make_task, run_answer, unpack_outcome
from fmcourse.classroom.assigned import AssignedExercise, all_assigned
from fmcourse.classroom.marking import mark, with_all_cases
from fmcourse.course.diagnosis import diagnose
from fmcourse.course.exercises import Mistake, Property, all_exercises
from fmcourse.course.sandbox import run_cases

DOUBLE = AssignedExercise(
    "90.A1",
    goal="double",
    minutes=1,
    text="",
    points=10,
    cases=[1, 2],
    hidden=[5, 10, 100],
    starter="def double(x):\n    ...\n",
    solution="def double(x):\n    return 2 * x\n",
    properties=[
        Property(
            "not even",
            "def test(out, case):\n    return out % 2 == 0\n",
            "What has it for a remainder?",
        )
    ],
    mistakes=[Mistake("squared", "def double(x):\n    return x * x\n", "Is that twice?")],
)


def mark_of(answer) -> tuple:
    everything, n = with_all_cases(DOUBLE)
    found = mark(
        everything,
        everything.expected_outcomes(),
        run_cases(everything, everything.compile(answer)),
        n,
    )
    return round(found.share, 3), found.verdict.name, " ".join(found.verdict.sentences)


@pytest.mark.parametrize(
    ("answer", "share", "name"),
    [
        ("def double(x):\n    return x + x\n", 1.0, "right"),
        (
            "def double(x):\n    return {1: 2, 2: 4}.get(x, 0)\n",
            0.5,
            "right only on the cases given",
        ),  # even, and the cases given
        ("def double(x):\n    return {1: 2, 2: 4}.get(x, 1)\n", 0.333, "not even"),
        (
            "def double(x):\n    return 0\n",
            0.0,
            "another result",
        ),  # even because it always says the same
        ("def double(x):\n    return x * x\n", 0.167, "squared"),
        ("def double(x):\n    return 2 * x if x < 100 else 1 / 0\n", 0.667, "it raises"),
        ("def double(x):\n    return str(2 * x)\n", 0.0, "another type"),
        ("def double(x):\n    raise ValueError(x)\n", 0.0, "it raises"),
    ],
)
def test_each_part_counts_on_its_own(answer, share, name):
    assert mark_of(answer)[:2] == (pytest.approx(share, abs=0.01), name)


def test_nothing_of_a_hidden_case_is_said():
    for answer in (
        "def double(x):\n    return 2 * x if x < 5 else x\n",
        "def double(x):\n    return 2 * x if x < 5 else int(f'x{x}')\n",
    ):
        share, _, said = mark_of(answer)
        assert 0 < share < 1 and "the cases that you were given" in said
        assert not {"5", "10", "100"} & set(said.replace("(", " ").replace(")", " ").split())


def verdicts(exercise, source: str) -> tuple[str, str]:
    """What the notebook says of an answer, and what the judge says who had it run as a student's code."""
    everything, n = with_all_cases(exercise)
    steps = [(0, at, True) for at in range(len(ast.parse(source).body))]
    reply = json.loads(
        json.dumps(
            run_answer(json.loads(json.dumps(make_task(everything, [(1, 0, source)], steps))))
        )
    )
    if "outcomes" not in reply:
        return diagnose(everything, everything.compile(source)).name, reply["unfit"][0]
    gots = [unpack_outcome(one) for one in reply["outcomes"]]
    return diagnose(everything, everything.compile(source)).name, mark(
        everything, everything.expected_outcomes(), gots, n
    ).verdict.name


@pytest.mark.slow
@pytest.mark.parametrize(
    "exercise",
    [*all_exercises(), *(one for one in all_assigned() if not one.literal)],
    ids=lambda one: one.id,
)
def test_from_outside_it_is_judged_as_in_the_notebook(exercise, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sources = [
        exercise.solution,
        *exercise.other_solutions,
        *(mistake.wrong_answer for mistake in exercise.mistakes),
    ]
    for source in [one for one in sources if isinstance(one, str)]:
        here, there = verdicts(exercise, source)
        assert here == there
    assert os.getcwd() == str(tmp_path)
