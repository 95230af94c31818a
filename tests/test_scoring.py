"""Points: what counts, what is said, and that grading comes to the notebook's own verdict."""

import ast
import dataclasses
import json
import math
import os

import pytest

from fmcourse.classroom.assignment_notebook import task_text
from fmcourse.classroom.exercise_kinds import AssignedExercise
from fmcourse.classroom.library import all_assigned
from fmcourse.classroom.packing import unpack_outcome
from fmcourse.classroom.scoring import MAX_WRONG, Mark, answer_key, mark
from fmcourse.classroom.slicing import Answer, Unit
from fmcourse.classroom.task import make_task, run_answer
from fmcourse.course import verdict
from fmcourse.course.exercise import Mistake, Property
from fmcourse.course.library import all_exercises
from fmcourse.course.running import run_cases
from fmcourse.course.verdict import Breach, diagnose

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


def mark_of(answer: str, exercise: AssignedExercise = DOUBLE) -> Mark:
    key, n_public = answer_key(exercise)
    return mark(key, run_cases(key.exercise, exercise.compile(answer)), n_public)


@pytest.mark.parametrize(
    ("answer", "share", "name"),
    [
        ("def double(x):\n    return x + x\n", 1.0, "right"),
        (
            "def double(x):\n    return {1: 2, 2: 4}.get(x, 0)\n",
            0.0,
            "right only on the cases given",
        ),  # memorized, and even because it says the same of all others
        ("def double(x):\n    return {1: 2, 2: 4}.get(x, 1)\n", 0.0, "not even"),
        (
            "def double(x):\n    return 2 * x if x < 10 else 4\n",
            0.444,
            "right only on the cases given",
        ),
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
    found = mark_of(answer)
    assert (found.share, found.verdict.name) == (pytest.approx(share, abs=0.01), name)


SHARE = AssignedExercise(
    "90.A2",
    goal="a share",
    minutes=1,
    text="",
    points=10,
    starter="mine = variant('90.A2')\nshare = ...\n",
    solution="def share(mine):\n    return mine['n'] / 1e5\n",
    vary=lambda draw: {"n": 83_333},
    properties=[
        Property("no share", "def test(out, case):\n    return 0 <= out <= 1\n", "More than all?")
    ],
    mistakes=[Mistake("the rest", "def share(mine):\n    return 1 - mine['n'] / 1e5\n", "Rest?")],
)
LARGE = dataclasses.replace(SHARE, vary=lambda draw: {"n": 2_037_053}, properties=())


@pytest.mark.parametrize(
    ("value", "share", "name"),
    [
        (0.83333, 1.0, "right"),
        (83.333, 2.5 / 6, "a percentage"),
        (83.3, 1.25 / 6, "a percentage"),
        (83, 1.25 / 6, "a percentage"),
        (0.833, 3.5 / 6, "too few digits"),
        (0.83, 3.5 / 6, "too few digits"),
        (0.8, 2.25 / 6, "too few digits"),
        (1, 0.5 / 6, "a whole number"),
        (0, 0.5 / 6, "a whole number"),
        (0.834, 0.0, "another result"),  # no digits of the right one
        (0.85, 0.0, "another result"),
        (0.16667, 1 / 6, "the rest"),
        (8.3333, 0.0, "no share"),
        (float("inf"), 0.0, "not finite"),
        (10**400, 0.0, None),
        (True, 0.0, None),
        ("83.333 %", 0.0, "another type"),
    ],
)
def test_a_number_that_is_only_written_badly_is_named_and_keeps_some_points(value, share, name):
    key, n_public = answer_key(SHARE)
    found = mark(key, run_cases(key.exercise, SHARE.candidate(value)), n_public)
    assert found.share == pytest.approx(share)
    assert name is None or found.verdict.name == name


@pytest.mark.parametrize(("value", "share"), [(20, 0.25), (20.4, 0.5), (20.371, 1.0), (21, 0.0)])
def test_a_larger_number_may_be_cut_too(value, share):
    key, n_public = answer_key(LARGE)
    found = mark(key, run_cases(key.exercise, LARGE.candidate(value)), n_public)
    assert found.share == pytest.approx(share)


def test_the_text_says_how_many_digits_are_needed():
    assert "give at least 5 significant digits" in task_text(SHARE)
    assert "at least 4 sig" in task_text(dataclasses.replace(SHARE, tolerance=2e-3))
    assert "digits" not in task_text(DOUBLE)


def test_a_check_that_holds_by_accident_is_not_said_to_fail():
    key, n_public = answer_key(SHARE)
    guess = mark(key, run_cases(key.exercise, SHARE.candidate(0.5)), n_public)
    unearned = "it holds, and earns nothing: any guess of about that size has it"
    wanted = [(f"the check “no share” ({unearned})", 0), ("the value", 0)]
    assert [(part.name, part.share) for part in guess.parts] == wanted
    constant = mark_of("def double(x):\n    return 0\n")
    assert constant.parts[0].name == (
        "the check “not even” (it holds, and earns nothing: the answer is the same whatever it is "
        "asked)"
    )
    odd = mark_of("def double(x):\n    return 1\n")
    assert odd.parts[0].name == "the check “not even”"


def test_an_object_is_called_by_its_own_type():
    source = "from fractions import Fraction\ndef double(x):\n    return Fraction(2 * x)\n"
    statements = ((0, 0, True), (0, 1, True))
    reply = as_json(
        run_answer(as_json(make_task(DOUBLE, Answer((Unit(1, 0, source),), statements))))
    )
    outcomes = [unpack_outcome(one) for one in reply["outcomes"]]
    found = diagnose(DOUBLE, DOUBLE.compile(source))
    key, _ = answer_key(DOUBLE)
    said = mark(key.first_cases(2), outcomes, 2).verdict
    assert said == found and "an object of type Fraction" in " ".join(said.sentences)


def test_one_wrong_case_among_many_is_not_rounded_to_full_points():
    many = dataclasses.replace(DOUBLE, hidden=range(3, 303), properties=())
    found = mark_of("def double(x):\n    return 2 * x if x != 200 else 0\n", many)
    assert sum(part.weight * part.share for part in found.parts) > 0.995 * 5  # of 2 + 3
    assert found.share == MAX_WRONG < 1 and not found.verdict.correct


def check_silence(exercise, expected, got):
    """A rule that the course has not: nothing is printed."""
    return Breach("it prints", "Who reads that?") if got.printed else None


def test_a_new_rule_of_the_contract_is_one_function_and_holds_wherever_answers_are_judged(
    monkeypatch,
):
    def answer(x):
        print("one" if x == 1 else "", end="")
        return 2 * x

    monkeypatch.setattr(verdict, "CONTRACT_RULES", (*verdict.CONTRACT_RULES, check_silence))
    assert diagnose(DOUBLE, answer).name == "it prints"
    key, n_public = answer_key(DOUBLE)
    found = mark(key, run_cases(key.exercise, answer), n_public)
    assert found.verdict.name == "it prints"
    assert found.verdict.sentences == ("Tried: double(x=1).", "Who reads that?")
    assert found.share == pytest.approx(4 / 6)  # no property, half of the given, all of the hidden


def test_nothing_of_a_hidden_case_is_said():
    for answer in (
        "def double(x):\n    return 2 * x if x < 10 else x\n",
        "def double(x):\n    return 2 * x if x < 10 else int(f'x{x}')\n",
    ):
        found = mark_of(answer)
        said = " ".join(found.verdict.sentences)
        assert 0 < found.share < 1 and "the cases that you were given" in said
        assert not {"5", "10", "100"} & set(said.replace("(", " ").replace(")", " ").split())


N_WRONG = 5  # mistakes of each exercise that are judged in both places


def verdicts(exercise, source: str) -> tuple[str, str]:
    """What a notebook says of an answer, and what the grader says that had it run elsewhere."""
    key, n_public = answer_key(exercise)
    here = diagnose(key.exercise, exercise.compile(source)).name
    statements = tuple((0, n, True) for n in range(len(ast.parse(source).body)))
    task = make_task(key.exercise, Answer((Unit(1, 0, source),), statements))
    reply = as_json(run_answer(as_json(task)))
    if "outcomes" not in reply:
        return here, reply["unfit"][0]
    outcomes = [unpack_outcome(one) for one in reply["outcomes"]]
    return here, mark(key, outcomes, n_public).verdict.name


def as_json(value):
    """What is left of a value on its way to another process."""
    return json.loads(json.dumps(value))


@pytest.mark.slow
@pytest.mark.parametrize(
    "exercise",
    [*all_exercises(), *(one for one in all_assigned() if not one.literal)],
    ids=lambda one: one.id,
)
def test_an_answer_run_elsewhere_is_judged_as_in_the_notebook(exercise, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rights = [exercise.solution, *exercise.other_solutions]
    wrongs = [mistake.wrong_answer for mistake in exercise.mistakes]
    # How values cross to another process does not depend on every mistake: some, from all of them.
    some = wrongs[:: math.ceil(len(wrongs) / N_WRONG)]
    for source in [one for one in (*rights, *some) if isinstance(one, str)]:
        here, there = verdicts(exercise, source)
        assert here == there
    assert os.getcwd() == str(tmp_path)
