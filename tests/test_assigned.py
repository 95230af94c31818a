"""What every assigned exercise promises: answers pass, mistakes are named, records judge alike."""

import json
import random
import re
from functools import cache

import pytest
from helpers import wrong_verdicts

from fmcourse.classroom.exercise_kinds import (
    AssignedExercise,
    ExerciseRecord,
    from_record,
    make_record,
)
from fmcourse.classroom.library import all_assigned
from fmcourse.classroom.packing import pack, unpack
from fmcourse.classroom.scoring import mark
from fmcourse.course import comparing
from fmcourse.course.library import all_exercises
from fmcourse.course.running import Outcome, expected_outcomes, run_cases
from fmcourse.course.verdict import AnswerKey, diagnose

EVERY = all_assigned()
STUDENTS = [random.Random(n) for n in range(4)]
pytestmark = pytest.mark.skipif(not EVERY, reason="this edition has no instructor's folder")


def exercise_id(exercise: AssignedExercise) -> str:
    return exercise.id


@cache
def key_to(exercise: AssignedExercise) -> AnswerKey:
    """What is right and what every mistake gives: some of these train a tokenizer on a corpus."""
    return AnswerKey(exercise.with_hidden())


def verdict_of(exercise, answer):
    key = key_to(exercise)
    return diagnose(key.exercise, exercise.compile(answer), key)


def faults(exercise: AssignedExercise) -> list[str]:
    """Every promise that an exercise breaks, a sentence each."""
    found = []
    if verdict_of(exercise, ... if exercise.literal else exercise.starter).name != "blank":
        found.append("its starter is not called blank")
    found += wrong_verdicts(exercise, verdict_of)
    for mistake in exercise.mistakes:
        if not isinstance(mistake.wrong_answer, str):
            found.append(
                f"{mistake.name!r} is no source: the proof that nothing leaks reads source"
            )
    if (
        len(exercise.mistakes) < 3
        or len(exercise.other_solutions) < 2
        or not exercise.explanation
        or len(exercise.text) < 80
    ):
        found.append(
            "three mistakes, two other right answers, the explanation or the text is missing"
        )
    if not exercise.literal and (len(exercise.cases) < 2 or len(exercise.hidden) < 3):
        found.append("two public cases and three hidden ones are the least")
    return found


@pytest.mark.slow
@pytest.mark.parametrize("exercise", EVERY, ids=exercise_id)
def test_the_answer_passes_and_every_mistake_is_named(exercise):
    assert faults(exercise) == []


@pytest.mark.slow
@pytest.mark.parametrize("exercise", EVERY, ids=exercise_id)
def test_its_record_judges_the_public_cases_as_it_does_itself(exercise):
    handed: ExerciseRecord = from_record(json.loads(json.dumps(make_record(exercise))))
    assert diagnose(handed, exercise.reference).correct
    assert (
        diagnose(handed, ... if exercise.literal else exercise.compile(exercise.starter)).name
        == "blank"
    )
    for mistake in exercise.mistakes:
        wrong = exercise.compile(mistake.wrong_answer)
        public = (
            AssignedExercise.for_numbers(exercise, exercise.cases[0])
            if exercise.literal
            else exercise
        )
        assert diagnose(handed, wrong).correct == diagnose(public, wrong).correct


@pytest.mark.parametrize("exercise", EVERY, ids=exercise_id)
def test_cases_and_results_cross_to_another_process_and_back(exercise):
    for case in exercise.with_hidden().cases:
        assert comparing.equal(case, unpack(json.loads(json.dumps(pack(case)))))
    for right in expected_outcomes(exercise.with_hidden()):
        assert right.error or comparing.equal(
            right.value, unpack(json.loads(json.dumps(pack(right.value))))
        )


@pytest.mark.slow
@pytest.mark.parametrize("exercise", [one for one in EVERY if one.literal], ids=exercise_id)
def test_other_numbers_have_other_answers_and_the_same_mistakes(exercise):
    numbers = [exercise.draw_numbers(f"student {n}") for n in range(6)]
    asked = [exercise.for_numbers(mine) for mine in numbers]
    rights = [run_cases(one, one.reference)[0] for one in asked]
    assert not any(right.error for right in rights), [right.error for right in rights]
    values = [json.dumps(pack(right.value)) for right in rights]
    assert len(set(values)) == len(values), "two students have the same answer"
    assert exercise.draw_numbers("student 0") == numbers[0], "the same seed draws other numbers"
    for one in asked[:2]:
        key = AnswerKey(one)  # what is right and what each mistake gives is computed once
        for mistake in exercise.mistakes:
            assert diagnose(one, one.compile(mistake.wrong_answer), key).name == mistake.name


QUOTED = [
    "load",
    "table",
    "normalize_pixels",
    "dominant_colours",
    "Schedule",
    "BPETokenizer",
    "sum_texts",
]


@pytest.mark.parametrize("exercise", [one for one in EVERY if one.literal], ids=exercise_id)
def test_what_the_text_calls_is_imported_and_it_says_how_many_digits(exercise):
    space = {}
    exec(exercise.imports, space)
    called = set(re.findall(r"\b(\w+)[.(]", exercise.text)) & set(QUOTED)
    assert called, (
        f"the text calls none of {', '.join(QUOTED)}; say how the numbers are got, or add it"
    )
    assert called <= set(space)
    assert re.search(r"unrounded: the first \w+ digits must be right", exercise.text)


@pytest.mark.parametrize("memorized", [False, True], ids=["nothing known", "given cases known"])
@pytest.mark.parametrize("exercise", [one for one in EVERY if not one.literal], ids=exercise_id)
def test_without_computing_anything_there_are_two_points_of_ten_at_most(exercise, memorized):
    """Nothing returned or the first argument; a constant of the given results may be luckier."""
    key, n_public = key_to(exercise), len(exercise.cases)
    given = [outcome.value for outcome in key.expected[:n_public] if not outcome.error]
    firsts = [Outcome(case[0] if isinstance(case, tuple) else case) for case in key.exercise.cases]
    tries = [firsts, *([Outcome(value)] * len(firsts) for value in (None, *given))]
    shares = []
    for outcomes in tries:
        known = key.expected[:n_public] if memorized else outcomes[:n_public]
        shares.append(round(mark(key, [*known, *outcomes[n_public:]], n_public).share, 3))
    assert max(shares[:2]) <= 0.2 and max(shares) <= 0.25, (
        f"earned by the first argument, None and constants: {shares}; add hidden cases that differ"
    )


def test_every_lesson_with_exercises_has_two_and_ids_are_its_own():
    ids = [exercise.id for exercise in EVERY]
    assert len(set(ids)) == len(ids)
    lessons = {exercise.id.split(".")[0] for exercise in all_exercises()}
    assert {
        lesson: sum(found.startswith(f"{lesson}.") for found in ids)
        for lesson in lessons
        if sum(found.startswith(f"{lesson}.") for found in ids) < 2
    } == {}, "each of these lessons needs two assigned exercises, in instructor/NN/exercises.py"
