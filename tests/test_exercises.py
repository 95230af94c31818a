"""What every exercise of the course promises, proven for each of them."""

from functools import cache

import pytest
from helpers import quick_first, wrong_verdicts
from torch import Tensor

from fmcourse.course.exercise import Exercise
from fmcourse.course.library import all_exercises
from fmcourse.course.running import arguments, copy_case
from fmcourse.course.verdict import AnswerKey, Verdict, diagnose

EVERY = list(all_exercises())


@cache
def key_to(exercise: Exercise) -> AnswerKey:
    """What is right and what every mistake gives, worked out once."""
    return AnswerKey(exercise)


def verdict_of(exercise: Exercise, answer: object) -> Verdict:
    return diagnose(exercise, exercise.compile(answer), key_to(exercise))


def faults(exercise: Exercise) -> list[str]:
    """Every promise that an exercise breaks, a sentence each."""
    found = []
    if verdict_of(exercise, exercise.starter).name != "blank":
        found.append("its starter is not called blank")
    found += wrong_verdicts(exercise, verdict_of)
    if len(set(exercise.hints)) != 3 or min(map(len, exercise.hints)) < 15:
        found.append("its three hints are not three sentences")
    if not exercise.mistakes or not exercise.other_solutions or not exercise.explanation:
        found.append("a mistake, a second right answer or the explanation is missing")
    return found


@pytest.mark.parametrize("exercise", quick_first(EVERY), ids=lambda exercise: exercise.id)
def test_blank_goes_on_right_answers_pass_and_every_mistake_is_named(exercise):
    assert faults(exercise) == []


def test_no_two_exercises_share_an_id():
    ids = [exercise.id for exercise in EVERY]
    assert len(set(ids)) == len(ids)


def test_an_answer_works_on_copies_of_the_cases_and_cannot_write_into_them():
    # a tensor that was computed from one with gradients cannot be copied, and would be shared
    shared = [
        exercise.id
        for exercise in EVERY
        for case in exercise.cases
        for part, copied in zip(arguments(case), arguments(copy_case(case)), strict=True)
        if isinstance(part, Tensor) and part is copied
    ]
    assert not shared
