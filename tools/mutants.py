"""Every exercise, proven: a table of what each promises, and of the wrong answers that a machine makes of its solution.

    python -m tools.mutants                the table, and each wrong answer that is taken for right: what was changed in it
    python -m tools.mutants 05 07.A1       of a lesson, or of one exercise

A mutant is the solution with one thing changed: an operator, a constant (so an axis too), a name, a line or a step left out,
two arguments swapped. One that fails on every case proves nothing of the cases and is not counted. It *changes* something if
on a case, or on further inputs made of the cases, another result comes of it; it is *rejected* if `diagnose` calls it wrong; its
cause is *named* if more is said than that some result differs.
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

from fmcourse.classroom.assigned import all_assigned
from fmcourse.course import compare
from fmcourse.course.diagnosis import Verdict, bytecode, judge_outcomes, precheck
from fmcourse.course.exercises import Exercise, all_exercises
from fmcourse.course.sandbox import Outcome, run_case, run_cases
from fmcourse.files import write_text
from tools.lessons import ROOT
from tools.mutations import Mutant, mutations
from tools.variations import further_inputs

MOST_MUTANTS = 120  # mutants of a solution, and half of that of each other right answer; drawn, where there are more
MOST_LITERAL = 60  # of one that is run on real data, for many students
SECONDS = 0.5  # for a mutant on one case: an endless loop costs no more
MEMORY = 3 * 2**30  # bytes that it may take, where the system can keep to that
BRIEF_SECONDS = 0.05  # for a right answer on an input that may not be allowed
N_FURTHER = 150  # inputs made from the cases
N_GRADED, N_NUMBERS = (
    6,
    10,
)  # numbers for a literal answer: judged on so many, looked for a difference on so many
LEAST_OTHERS = 2  # right answers written another way, at least
LEAST_REJECTED = 0.95  # of the mutants that change something must be rejected

# -- judging --------------------------------------------------------------------------------------------------------------


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
    """Is it seen from outside that these are two?"""
    if (
        bool(got.error) != bool(right.error)
        or got.timed_out
        or got.changed_inputs != right.changed_inputs
    ):
        return True
    if got.changed_generators != right.changed_generators or compare.mismatch(
        right.value, got.value
    ):
        return True
    return not compare.equal(right.value, got.value, exercise.tolerance)


def has_nan(value: Any) -> bool:
    """Is something in it not a number?"""
    if isinstance(value, list | tuple):
        return any(map(has_nan, value))
    return (
        bool(value.isnan().any())
        if isinstance(value, Tensor)
        else isinstance(value, float) and value != value
    )


class MutantChecker:
    """An exercise with everything that is needed again for each of its mutants. It says what `diagnose` says."""

    def __init__(self, exercise: Exercise) -> None:
        self.exercise = exercise.with_hidden() if hasattr(exercise, "with_hidden") else exercise
        self.literal = getattr(exercise, "literal", False)
        self.answers = [
            exercise.compile(one) for one in (exercise.solution, *exercise.other_solutions)
        ]
        hurried = replace(self.exercise, seconds=4 * SECONDS if self.literal else SECONDS)
        numbers = [exercise.draw_numbers(f"m{i}") for i in range(N_NUMBERS)] if self.literal else []
        self.asked = [hurried.for_numbers(mine) for mine in numbers] or [hurried]
        self.known_outcomes: dict[tuple[int, str], list[Outcome]] = {}

    def outcomes_of(self, asked: Exercise, name: str, candidate: Any) -> list[Outcome]:
        """What somebody known makes of the cases, worked out once."""
        key = id(asked), name
        if key not in self.known_outcomes:
            self.known_outcomes[key] = run_cases(asked, asked.compile(candidate))
        return self.known_outcomes[key]

    def grade(self, asked: Exercise, gots: list[Outcome]) -> Verdict:
        known = lambda mistake: self.outcomes_of(asked, mistake.name, mistake.wrong_answer)
        return judge_outcomes(asked, self.outcomes_of(asked, "", asked.solution), gots, known)

    def learner_verdict(self, candidate: Any) -> Verdict:
        """The verdict of somebody who has as long as a learner."""
        found = precheck(self.exercise, candidate)
        return found or self.grade(self.exercise, run_cases(self.exercise, candidate))

    @cached_property
    def further_cases(self) -> list[tuple[Exercise, Any, Outcome]]:
        """Further inputs on which all right answers agree: (exercise, input, right outcome)."""
        if self.literal:
            rest = self.asked[N_GRADED:]
            return [
                (asked, asked.cases[0], self.outcomes_of(asked, "", asked.solution)[0])
                for asked in rest
            ]
        brief = replace(self.exercise, seconds=BRIEF_SECONDS)
        rights = [
            (case, self.common_outcome(brief, case))
            for case in further_inputs(self.exercise, N_FURTHER)
        ]
        return [(self.asked[0], case, right) for case, right in rights if right]

    def common_outcome(self, brief: Exercise, case: Any) -> Outcome | None:
        """What all right answers make of an input; None if they part or fail."""
        right = run_case(brief, self.answers[0], case)
        if right.error or right.timed_out or has_nan(right.value):
            return None
        parted = any(
            differs(brief, right, run_case(brief, other, case)) for other in self.answers[1:]
        )
        return None if parted else right

    def verdict(self, candidate: Any) -> Verdict | None:
        """The first verdict that is not "right"; None if the candidate fails everywhere, or is the starter."""
        if found := precheck(self.exercise, candidate):
            return None if found.step == "blank" else found
        failing, found = [], None
        for asked in self.asked[:N_GRADED]:
            gots = run_cases(asked, candidate)
            if all(got.error for got in gots):
                failing.append((asked, gots))
            elif not (found := self.grade(asked, gots)).correct:
                return found
        return self.grade(*failing[0]) if found and failing else found

    def is_equivalent(self, candidate: Any) -> bool:
        return not any(
            differs(asked, right, run_case(asked, candidate, case))
            for asked, case, right in self.further_cases
        )


@dataclass
class Row:
    """What is known of an exercise."""

    id: str
    blank: bool
    solution: bool
    others: int  # right answers written another way that pass
    refused: int  # and that do not
    mistakes: int
    identified: int  # apart by name and message
    made: int = 0  # mutants
    failing: int = 0  # everywhere: not counted any further
    rejected: int = 0
    named: int = 0
    survivors: list[Mutant] = field(default_factory=list)

    @property
    def changing(self) -> int:
        return self.rejected + len(self.survivors)

    @property
    def share(self) -> float:
        return self.rejected / self.changing if self.changing else 1.0


def exercise_row(exercise: Exercise) -> Row:
    """Everything about one exercise."""
    with warnings.catch_warnings(action="ignore"), memory_limit():
        checker = MutantChecker(exercise)
        found = check_promises(checker)
        for mutant in sample_mutants(exercise):
            count_mutant(checker, mutant, found)
    return found


def sample_mutants(exercise: Exercise) -> Iterator[Mutant]:
    """Mutants of the solution and of the other right answers that are kept as source; of a long one not all."""
    most = MOST_LITERAL if getattr(exercise, "literal", False) else MOST_MUTANTS
    for answer in (exercise.solution, *exercise.other_solutions):
        made = mutations(answer) if isinstance(answer, str) else []
        yield from made if len(made) <= most else random.Random(answer).sample(made, most)
        most = min(most, MOST_MUTANTS // 2)


def check_promises(checker: MutantChecker) -> Row:
    """What needs no mutants."""
    exercise = checker.exercise
    passing = [answer for answer in checker.answers if checker.learner_verdict(answer).correct]
    different = {repr(bytecode(answer)) for answer in passing} - {
        repr(bytecode(checker.answers[0]))
    }
    verdicts = [
        checker.learner_verdict(exercise.compile(mistake.wrong_answer))
        for mistake in exercise.mistakes
    ]
    told = {
        mistake.explanation
        for mistake, verdict in zip(exercise.mistakes, verdicts, strict=True)
        if verdict.name == mistake.name and mistake.explanation in verdict.sentences
    }
    blank = (
        checker.learner_verdict(... if checker.literal else exercise.compile(exercise.starter)).name
        == "blank"
    )
    return Row(
        exercise.id,
        blank,
        checker.learner_verdict(checker.answers[0]).correct,
        len(different),
        len(checker.answers) - len(passing),
        len(verdicts),
        len(told),
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


# -- the table ------------------------------------------------------------------------------------------------------------

PROPERTY = "exercise, proven"  # under which a test hands its rows to whoever prints the table
REPORT = ROOT / "build" / "exercises.txt"
HEADINGS = "exercise  blank  solution  others    mistakes  mutants  failing  change  rejected          named"


def row_line(found: Row) -> str:
    yes = lambda good: "yes" if good else "NO"
    named = f"{found.named / found.rejected:.0%}" if found.rejected else "-"
    return (
        f"{found.id:<10}{yes(found.blank):<7}{yes(found.solution):<10}{found.others:>6}"
        f"{f'{found.identified} of {found.mistakes}':>12}{found.made:>9}{found.failing:>9}{found.changing:>8}{found.rejected:>10}"
        f"{found.share:>8.1%}{named:>7}"
    )


def total_line(rows: list[Row]) -> str:
    every = Row("all", all(one.blank for one in rows), all(one.solution for one in rows), *(0,) * 4)
    for name in (
        "others",
        "mistakes",
        "identified",
        "made",
        "failing",
        "rejected",
        "named",
        "survivors",
    ):
        for one in rows:
            setattr(every, name, getattr(every, name) + getattr(one, name))
    return row_line(every)


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
        (found.share < LEAST_REJECTED, f"only {found.share:.1%} of its mutants are rejected:"),
    ]
    said = [f"{found.id}: {sentence}" for fault, sentence in wrong if fault]
    return said + [difference(mutant) for mutant in found.survivors if found.share < LEAST_REJECTED]


def difference(mutant: Mutant) -> str:
    """What was changed, the line before and after."""
    before = ast.unparse(ast.parse(mutant.original)).splitlines()
    changed = difflib.unified_diff(before, mutant.source.splitlines(), lineterm="", n=0)
    return "\n".join(
        f"    {text}" for text in changed if text[:3] not in ("---", "+++") and text[:2] != "@@"
    )


def choose_exercises(wanted: Iterable[str]) -> list[Exercise]:
    """The exercises whose id, or whose lesson's number, is asked for; all of them if nothing is."""
    every = sorted([*all_exercises(), *all_assigned()], key=lambda one: one.id)
    wanted = set(wanted)
    return [one for one in every if not wanted or wanted & {one.id, one.id.split(".")[0]}]


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
