"""Every exercise, proven, in one table: its promises, and that its cases refuse mutants.

The table stands at the end of the run and in build/exercises.txt.
"""

import json
from dataclasses import asdict, replace

import pytest
import torch

from fmcourse.classroom.library import all_assigned
from fmcourse.course.library import all_exercises, find_exercise
from tools import mutants
from tools.mutations import mutations
from tools.variations import further_inputs

# Mutants of an answer in every run of the tests; `python -m tools.mutants` takes all.
SAMPLE, SAMPLE_LITERAL = 16, 6  # those of a literal answer run on real data, for many students
LESSONS = sorted(
    {
        (mutants.lesson_of(exercise), "assigned" if ".A" in exercise.id else "practice")
        for exercise in [*all_exercises(), *all_assigned()]
    }
)


def mutant_sources(source: str) -> set[str]:
    return {mutant.source for mutant in mutations(source)}


@pytest.mark.slow
@pytest.mark.parametrize(("lesson", "kind"), LESSONS)
def test_every_exercise_keeps_its_promises_and_refuses_mutants(lesson, kind, record_property):
    exercises = [
        one
        for one in mutants.choose_exercises([lesson])
        if (".A" in one.id) == (kind == "assigned")
    ]
    rows = [
        mutants.exercise_row(one, SAMPLE_LITERAL if mutants.is_literal(one) else SAMPLE)
        for one in exercises
    ]
    for row in rows:
        record_property(mutants.PROPERTY, json.dumps(asdict(row)))
    print(mutants.table(rows))
    faults = [fault for row in rows for fault in mutants.faults(row)]
    assert not faults, "\n".join(faults)


def test_a_source_is_changed_in_one_place_and_never_in_what_it_says_of_itself():
    source = 'def f(x: int, y=1) -> int:\n    """Doc 1."""\n    return x[1:].sum(dim=1) - y'
    head = 'def f(x: int, y=1) -> int:\n    """Doc 1."""\n    '
    wanted = [
        "x[1:].sum(dim=1) + y",
        "x[:].sum(dim=1) - y",
        "x[2:].sum(dim=1) - y",
        "x[1:].sum(dim=0) - y",
        "x[1:].sum() - y",
        "x[1:] - y",
        "y - x[1:].sum(dim=1)",
        "x[1:].mean(dim=1) - y",
        "x[1:].sum(dim=1) - x",
    ]
    assert {f"{head}return {text}" for text in wanted} <= mutant_sources(source)
    assert all(
        "x: int" in text and '"""Doc 1."""' in text and "-> int" in text
        for text in mutant_sources(source)
    )


def test_lines_conditions_and_rounds_are_left_out():
    source = (
        "def f(xs):\n    n = 0\n    for x in xs:\n"
        "        if x > 2:\n            n += x\n    return n"
    )
    texts = mutant_sources(source)
    for gone in (
        "if not x > 2",
        "if True",
        "if x >= 2",
        "list(xs)[1:]",
        "list(xs)[:-1]",
        "n = x\n",
        "n -= x",
        "pass\n    return n",
    ):
        assert any(gone in text for text in texts), gone


@pytest.mark.slow
def test_cases_that_say_little_let_mutants_pass():
    weak = replace(find_exercise("11.5"), cases=find_exercise("11.5").cases[:1])
    assert mutants.exercise_row(weak).survivors
    assert not mutants.exercise_row(find_exercise("11.3")).survivors


@pytest.mark.slow
def test_an_answer_that_is_no_other_and_a_mistake_without_a_name_are_seen():
    guide = find_exercise("11.3")
    copied = replace(
        guide, other_solutions=[guide.solution.replace("without + weight", "without  + weight")]
    )
    nameless = replace(
        guide,
        mistakes=[
            replace(guide.mistakes[0], wrong_answer=guide.mistakes[1].wrong_answer),
            *guide.mistakes[1:],
        ],
    )
    assert any(
        "written another way" in fault for fault in mutants.faults(mutants.exercise_row(copied))
    )
    assert any("told apart" in fault for fault in mutants.faults(mutants.exercise_row(nameless)))


def test_further_inputs_are_of_the_same_make_and_the_same_each_time():
    exercise = find_exercise("11.5")
    first, again = list(further_inputs(exercise, 40)), list(further_inputs(exercise, 40))
    assert all(
        len(case) == 5 and case[0].dtype == torch.long and case[2].dtype == torch.float32
        for case in first
    )
    assert all(
        torch.equal(a[2], b[2]) and a[3:] == b[3:] for a, b in zip(first, again, strict=True)
    )
    assert len({case[0].numel() for case in first}) > 2
