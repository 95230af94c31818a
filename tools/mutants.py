"""Every exercise, proven: a table of what each promises, and of mutants of its solution.

    python -m tools.mutants                the table, and what was changed in each mutant that is
                                           taken for right
    python -m tools.mutants 05 07.A1       of a lesson, or of one exercise

A mutant is the solution with one thing changed: an operator, a constant (so an axis too), a name, a
line or a step left out, two arguments swapped. One that fails on every case proves nothing of the
cases and is not counted. It *changes* something if on a case, or on further inputs made of the
cases, another result comes of it; it is *rejected* if `diagnose` calls it wrong; its cause is
*named* if more is said than that some result differs.
"""

import argparse
import ast
import contextlib
import difflib
import json
import random
import sys
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import psutil
from torch import Tensor

from fmcourse.classroom.exercise_kinds import AssignedExercise
from fmcourse.classroom.library import all_assigned
from fmcourse.course import comparing
from fmcourse.course.exercise import Exercise
from fmcourse.course.library import all_exercises
from fmcourse.course.running import Outcome, run_case, run_cases
from fmcourse.course.verdict import AnswerKey, Verdict, bytecode, diagnose, judge, precheck
from fmcourse.files import write_text
from tools.lessons import ROOT
from tools.mutations import Mutant, mutations
from tools.variations import further_inputs

MOST_MUTANTS = 120  # of a solution, and half of that of each other right answer
MOST_LITERAL = 60  # of one that is run on real data, for many students
SECONDS = 0.5  # for a mutant on one case: an endless loop costs no more
MEMORY = 3 * 2**30  # bytes that it may take, where the system can keep to that
BRIEF_SECONDS = 0.05  # for a right answer on an input that may not be allowed
N_FURTHER = 150  # inputs made from the cases
N_NUMBERS, N_GRADED = 10, 6  # variants of a literal answer; those on which it is judged
LEAST_OTHERS = 2  # right answers written another way, at least
LEAST_REJECTED = 0.95  # of the mutants that change something must be rejected

# -- judging ------------------------------------------------------------------------------------


@contextlib.contextmanager
def memory_limit() -> Iterator[None]:
    """A size that was mistaken for another must not fill the machine."""
    if sys.platform != "linux":
        yield
        return
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + MEMORY, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def differs(exercise: Exercise, right: Outcome, got: Outcome) -> bool:
    """Do these two outcomes differ in anything that a caller can see?"""
    return (
        bool(got.error) != bool(right.error)
        or got.timed_out
        or got.changed_inputs != right.changed_inputs
        or got.changed_generators != right.changed_generators
        or bool(comparing.mismatch(right.value, got.value))
        or not comparing.equal(right.value, got.value, exercise.tolerance)
    )


def has_nan(value: Any) -> bool:
    """Is something in it not a number?"""
    if isinstance(value, list | tuple):
        return any(map(has_nan, value))
    if isinstance(value, Tensor):
        return bool(value.isnan().any())
    return isinstance(value, float) and value != value


def is_literal(exercise: Exercise) -> bool:
    """Is a value asked for, from numbers that each student has of their own?"""
    return isinstance(exercise, AssignedExercise) and exercise.literal


class MutantChecker:
    """An exercise with everything that is needed for each of its mutants.

    It comes to the verdicts of `diagnose`; what is right is worked out once.
    """

    def __init__(self, exercise: Exercise) -> None:
        assigned = isinstance(exercise, AssignedExercise)
        self.exercise = exercise.with_hidden() if assigned else exercise
        self.literal = is_literal(exercise)
        sources = (exercise.solution, *exercise.other_solutions)
        self.answers = [exercise.compile(source) for source in sources]
        self.key = AnswerKey(self.exercise)
        hurried = replace(self.exercise, seconds=4 * SECONDS if self.literal else SECONDS)
        asked = [hurried]
        if self.literal:
            numbers = [exercise.draw_numbers(f"m{i}") for i in range(N_NUMBERS)]
            asked = [hurried.for_numbers(mine) for mine in numbers]
        self.hurried_keys = [AnswerKey(one) for one in asked]

    def learner_verdict(self, candidate: Any) -> Verdict:
        """The verdict of somebody who has as long as a learner."""
        return diagnose(self.exercise, candidate, self.key)

    @cached_property
    def further_cases(self) -> list[tuple[Exercise, Any, Outcome]]:
        """Further inputs on which all right answers agree: (exercise, input, right outcome)."""
        if self.literal:
            rest = self.hurried_keys[N_GRADED:]
            return [(key.exercise, key.exercise.cases[0], key.expected[0]) for key in rest]
        brief = replace(self.exercise, seconds=BRIEF_SECONDS)
        cases = further_inputs(self.exercise, N_FURTHER)
        rights = [(case, self.common_outcome(brief, case)) for case in cases]
        hurried = self.hurried_keys[0].exercise
        return [(hurried, case, right) for case, right in rights if right]

    def common_outcome(self, brief: Exercise, case: Any) -> Outcome | None:
        """What all right answers make of an input; None if they differ or fail."""
        first, *others = self.answers
        right = run_case(brief, first, case)
        if right.error or right.timed_out or has_nan(right.value):
            return None
        if any(differs(brief, right, run_case(brief, other, case)) for other in others):
            return None
        return right

    def verdict(self, candidate: Any) -> Verdict | None:
        """The first verdict that is not "right".

        None if the candidate fails everywhere, or is the starter.
        """
        if found := precheck(self.exercise, candidate):
            return None if found.step == "blank" else found
        failing, found = [], None
        for key in self.hurried_keys[:N_GRADED]:
            outcomes = run_cases(key.exercise, candidate)
            if all(got.error for got in outcomes):
                failing.append((key, outcomes))
            elif not (found := judge(key, outcomes)).correct:
                return found
        return judge(*failing[0]) if found and failing else found

    def is_equivalent(self, candidate: Any) -> bool:
        """Does it give the right result on every further input?"""
        return not any(
            differs(exercise, right, run_case(exercise, candidate, case))
            for exercise, case, right in self.further_cases
        )


@dataclass
class Row:
    """What is known of an exercise.

    Args:
        blank, solution: is the starter called blank, does the solution pass?
        others, refused: right answers written another way that pass, and that do not.
        mistakes, identified: how many there are, and are told apart by name and message.
        made: mutants in all; failing: those that fail everywhere, not counted any further.
        rejected, named: mutants that are called wrong, and of which the cause is named.
        survivors: mutants that change something and are taken for right.
    """

    id: str
    blank: bool
    solution: bool
    others: int
    refused: int
    mistakes: int
    identified: int
    made: int = 0
    failing: int = 0
    rejected: int = 0
    named: int = 0
    survivors: list[Mutant] = field(default_factory=list)

    @property
    def changing(self) -> int:
        return self.rejected + len(self.survivors)

    @property
    def share(self) -> float:
        return self.rejected / self.changing if self.changing else 1.0


def exercise_row(exercise: Exercise, most: int = MOST_MUTANTS) -> Row:
    """Everything about one exercise, from at most so many mutants of each answer."""
    with warnings.catch_warnings(action="ignore"), memory_limit():
        checker = MutantChecker(exercise)
        found = check_promises(checker)
        for mutant in sample_mutants(exercise, most):
            count_mutant(checker, mutant, found)
    return found


def sample_mutants(exercise: Exercise, most: int = MOST_MUTANTS) -> Iterator[Mutant]:
    """Mutants of the solution and of other right answers that are source; of a long one not all."""
    most = min(most, MOST_LITERAL if is_literal(exercise) else MOST_MUTANTS)
    for answer in (exercise.solution, *exercise.other_solutions):
        made = mutations(answer) if isinstance(answer, str) else []
        yield from made if len(made) <= most else random.Random(answer).sample(made, most)
        most = min(most, MOST_MUTANTS // 2)


def check_promises(checker: MutantChecker) -> Row:
    """What needs no mutants."""
    exercise = checker.exercise
    first = repr(bytecode(checker.answers[0]))
    passing = [answer for answer in checker.answers if checker.learner_verdict(answer).correct]
    identified = set()
    for mistake in exercise.mistakes:
        verdict = checker.learner_verdict(exercise.compile(mistake.wrong_answer))
        if verdict.name == mistake.name and mistake.explanation in verdict.sentences:
            identified.add(mistake.name)
    starter = ... if checker.literal else exercise.compile(exercise.starter)
    return Row(
        exercise.id,
        blank=checker.learner_verdict(starter).name == "blank",
        solution=checker.learner_verdict(checker.answers[0]).correct,
        others=len({repr(bytecode(answer)) for answer in passing} - {first}),
        refused=len(checker.answers) - len(passing),
        mistakes=len(exercise.mistakes),
        identified=len(identified),
    )


def count_mutant(checker: MutantChecker, mutant: Mutant, found: Row) -> None:
    """Count one mutant where it belongs."""
    found.made += 1
    try:
        candidate = checker.exercise.compile(mutant.source)
    except Exception:  # what stands outside of functions is run at once
        found.failing += 1
        return
    verdict = checker.verdict(candidate)
    if verdict is None:
        found.failing += 1
    elif not verdict.correct:
        found.rejected += 1
        found.named += verdict.step != "difference"
    elif not checker.is_equivalent(candidate):
        found.survivors.append(mutant)


# -- the table ----------------------------------------------------------------------------------

PROPERTY = "exercise, proven"  # under which a test hands its rows to whoever prints the table
REPORT = ROOT / "build" / "exercises.txt"
HEADINGS = (
    "exercise  blank  solution  others    mistakes  mutants  failing  change  rejected"
    "          named"
)
COUNTS = ("others", "mistakes", "identified", "made", "failing", "rejected", "named", "survivors")


def row_line(found: Row) -> str:
    """A row of the table."""
    named = f"{found.named / found.rejected:.0%}" if found.rejected else "-"
    identified = f"{found.identified} of {found.mistakes}"
    return (
        f"{found.id:<10}{yes_or_no(found.blank):<7}{yes_or_no(found.solution):<10}"
        f"{found.others:>6}{identified:>12}{found.made:>9}{found.failing:>9}"
        f"{found.changing:>8}{found.rejected:>10}{found.share:>8.1%}{named:>7}"
    )


def yes_or_no(good: bool) -> str:
    return "yes" if good else "NO"


def total_line(rows: list[Row]) -> str:
    """The last row: everything added up."""
    total = Row("all", all(one.blank for one in rows), all(one.solution for one in rows), *(0,) * 4)
    for name in COUNTS:
        for one in rows:
            setattr(total, name, getattr(total, name) + getattr(one, name))
    return row_line(total)


def table(rows: list[Row]) -> str:
    return "\n".join([HEADINGS, *map(row_line, rows), total_line(rows)])


def publish(found: list[str]) -> str:
    """The table of rows that tests handed in as JSON; it is also written to a file."""
    rows = [json.loads(text) for text in found]
    rows = [
        Row(**{**row, "survivors": [Mutant(**one) for one in row["survivors"]]}) for row in rows
    ]
    text = table(sorted(rows, key=lambda one: one.id))
    write_text(REPORT, text + "\n")
    return text


def faults(found: Row) -> list[str]:
    """Every promise that an exercise breaks, a sentence each."""
    # Of a small sample a single survivor would be too many.
    too_few = found.share < LEAST_REJECTED and len(found.survivors) > 1
    wrong = [
        (not found.blank, "its starter is not called blank"),
        (not found.solution, "its solution is refused"),
        (found.refused, f"{found.refused} of its right answers are refused"),
        (
            found.others < LEAST_OTHERS,
            f"{found.others} right answers are written another way; {LEAST_OTHERS} are the least",
        ),
        (
            found.identified < found.mistakes,
            f"{found.identified} of its {found.mistakes} mistakes are told apart",
        ),
        (too_few, f"only {found.share:.1%} of its mutants are rejected:"),
    ]
    said = [f"{found.id}: {sentence}" for fault, sentence in wrong if fault]
    return said + [difference(mutant) for mutant in found.survivors if too_few]


def difference(mutant: Mutant) -> str:
    """What was changed, the line before and after."""
    before = ast.unparse(ast.parse(mutant.original)).splitlines()
    changed = difflib.unified_diff(before, mutant.source.splitlines(), lineterm="", n=0)
    return "\n".join(
        f"    {text}" for text in changed if text[:3] not in ("---", "+++") and text[:2] != "@@"
    )


def choose_exercises(wanted: Iterable[str]) -> list[Exercise]:
    """The exercises whose id, or whose lesson, is asked for; all of them if nothing is."""
    every = sorted([*all_exercises(), *all_assigned()], key=lambda one: one.id)
    wanted = set(wanted)
    return [one for one in every if not wanted or wanted & {one.id, lesson_of(one)}]


def lesson_of(exercise: Exercise) -> str:
    """The lesson's number: "07b" of "07b.A1"."""
    return exercise.id.split(".")[0]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.mutants", description="Every exercise, proven."
    )
    parser.add_argument(
        "ids", nargs="*", metavar="ID", help="05 or 05.1; all of them if none is given"
    )
    exercises = choose_exercises(parser.parse_args(arguments).ids)
    print(HEADINGS)
    rows = []
    for exercise in exercises:
        rows.append(exercise_row(exercise))
        print(row_line(rows[-1]), flush=True)
    print(total_line(rows))
    for found in rows:
        for mutant in found.survivors:
            print(f"\n{found.id}, taken for right ({mutant.kind}):\n{difference(mutant)}")
    return int(any(map(faults, rows)))


if __name__ == "__main__":
    sys.exit(main())
