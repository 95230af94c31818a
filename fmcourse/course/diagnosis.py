"""From a candidate to a verdict: is it right, and if not, which mistake is it?

Evidence is found in this order: the contract, properties, the smallest input on which it differs. The explanation comes from
a known mistake that behaves alike, else from a relation to the right answer.
"""

import dis
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from types import CodeType
from typing import Any

from fmcourse.course import compare
from fmcourse.course.exercises import Exercise, Mistake, Property
from fmcourse.course.relations import find_relation
from fmcourse.course.sandbox import Outcome, parameter_names, run_cases

MistakeOutcomes = Callable[[Mistake], list[Outcome]]
PRINTS = "It also prints something; a function that only returns is easier to use."


@dataclass(frozen=True)
class Verdict:
    """What is said of a candidate. `name` is the mistake, "right" or "blank"; `step` says who found it."""

    correct: bool
    name: str
    step: str
    sentences: tuple[str, ...] = ()
    table: tuple[str, ...] = ()  # lines that are read as columns


def diagnose(exercise: Exercise, candidate: Any) -> Verdict:
    """The verdict on whatever was handed in. Raises: nothing but KeyboardInterrupt."""
    if verdict := precheck(exercise, candidate):
        return verdict
    return judge_outcomes(exercise, exercise.expected_outcomes(), run_cases(exercise, candidate))


def judge_outcomes(
    exercise: Exercise,
    expected_outcomes: list[Outcome],
    outcomes: list[Outcome],
    mistake_outcomes: MistakeOutcomes | None = None,
) -> Verdict:
    """The verdict on what came of every case. `mistake_outcomes` gives a mistake's outcomes, where they have been kept."""
    found = first_failure(exercise, expected_outcomes, outcomes)
    if found is None:
        printed = any(got.printed for got in outcomes)
        return Verdict(True, "right", "right", (PRINTS,) if printed else ())
    return (
        found
        if outcomes[-1].timed_out
        else add_explanation(
            found, *explain(exercise, expected_outcomes, outcomes, mistake_outcomes)
        )
    )


def first_failure(
    exercise: Exercise, expected_outcomes: list[Outcome], outcomes: list[Outcome]
) -> Verdict | None:
    """The gravest thing that shows it is wrong; None if nothing does."""
    found = broken_contract(exercise, expected_outcomes, outcomes) or broken_property(
        exercise, outcomes
    )
    return found or difference(exercise, expected_outcomes, outcomes)


def add_explanation(found: Verdict, name: str, why: str, step: str) -> Verdict:
    """The evidence, with what explains it, if something does."""
    if not name:
        return found
    if found.step == "difference":
        return Verdict(False, name, step, (why, *found.sentences), found.table)
    seen = (
        found.sentences[:1] if found.step == "property" else found.sentences
    )  # one question is enough
    return Verdict(False, name, step, (*seen, why))


def run_mistake(exercise: Exercise, mistake: Mistake) -> list[Outcome]:
    """What a known mistake makes of every case."""
    return run_cases(exercise, exercise.compile(mistake.wrong_answer))


def explain(
    exercise: Exercise,
    expected_outcomes: list[Outcome],
    outcomes: list[Outcome],
    mistake_outcomes: MistakeOutcomes | None = None,
) -> tuple[str, str, str]:
    """The name of what is wrong, why, and whether a known mistake or a relation says so."""
    mistake_outcomes = mistake_outcomes or (lambda mistake: run_mistake(exercise, mistake))
    for mistake in exercise.mistakes:
        if same_behaviour(exercise, mistake_outcomes(mistake), outcomes):
            return mistake.name, mistake.explanation, "mistake"
    return *find_relation(exercise, expected_outcomes, outcomes), "relation"


def same_behaviour(exercise: Exercise, these: list[Outcome], those: list[Outcome]) -> bool:
    """Do two candidates behave the same on every case?"""
    return len(these) == len(those) and all(
        a.error_type == b.error_type
        and a.changed_inputs == b.changed_inputs
        and not compare.mismatch(a.value, b.value)
        and compare.equal(a.value, b.value, exercise.tolerance)
        for a, b in zip(these, those, strict=True)
    )


# -- before anything is called --------------------------------------------------------------------------------------------


def precheck(exercise: Exercise, candidate: Any) -> Verdict | None:
    """What can be said without calling it."""
    kind = "class" if inspect.isclass(exercise.reference) else "function"
    if candidate is None or candidate is Ellipsis or is_starter(exercise, candidate):
        return Verdict(False, "blank", "blank")
    if not callable(candidate):
        return failure(
            "not a function",
            f"This is {compare.describe(candidate)}, not a {kind}. Pass {exercise.name} itself, "
            "without calling it.",
        )
    if inspect.isclass(candidate) != inspect.isclass(exercise.reference):
        other = "class" if inspect.isclass(candidate) else "function"
        return failure(f"a {other}", f"This is a {other}; a {kind} is wanted.")
    return signature_mismatch(exercise, candidate)


def signature_mismatch(exercise: Exercise, candidate: Any) -> Verdict | None:
    """Can it be called with as many arguments as the cases have?"""
    if not (names := parameter_names(exercise)):
        return None
    try:
        signature = inspect.signature(candidate)
    except (TypeError, ValueError):  # something built in
        return None
    case = exercise.cases[0]
    try:
        signature.bind(*(case if isinstance(case, tuple) else (case,)))
    except TypeError:
        wanted = f"{exercise.name}({', '.join(names)})"
        return failure(
            "its parameters",
            f"It is written as {exercise.name}{signature}, but will be called as {wanted}.",
        )
    return None


def failure(
    name: str, *sentences: str, table: tuple[str, ...] = (), step: str = "contract"
) -> Verdict:
    return Verdict(False, name, step, sentences, table)


def is_starter(exercise: Exercise, candidate: Any) -> bool:
    """Is the code still that of the starter, whatever its comments and docstring say?"""
    try:
        return bytecode(candidate) == bytecode(exercise.compile(exercise.starter))
    except (
        Exception
    ):  # a starter that needs what the notebook has, or an object that forbids to look
        return False


def bytecode(thing: Any) -> Any:
    """The instructions of a function, or of every function in a class."""
    if inspect.isclass(thing):
        return [
            (name, bytecode(part)) for name, part in vars(thing).items() if inspect.isfunction(part)
        ]
    code = getattr(thing, "__code__", None)
    return None if code is None else instructions(code)


def instructions(code: CodeType) -> list[tuple[str, Any]]:
    nested = lambda value: instructions(value) if isinstance(value, CodeType) else repr(value)
    return [(step.opname, nested(step.argval)) for step in dis.get_instructions(code)]


# -- step 1: the contract -------------------------------------------------------------------------------------------------


def broken_contract(
    exercise: Exercise, expected_outcomes: list[Outcome], outcomes: list[Outcome]
) -> Verdict | None:
    """The first promise, in order of gravity, that is not kept on some case."""
    for rule in contract_rules():
        for case, expected, got in zip(exercise.cases, expected_outcomes, outcomes, strict=False):
            if found := rule(exercise, expected, got):
                name, *sentences = found
                return failure(name, f"Tried: {format_case(exercise, case)}.", *sentences)
    return None


def contract_rules() -> tuple[Callable[[Exercise, Outcome, Outcome], list[str]], ...]:
    """What every call must keep, the gravest first; each gives a name and sentences where it is broken."""
    return check_time, check_error, check_type, check_inputs, check_random_state


def format_case(exercise: Exercise, case: Any) -> str:
    return compare.format_call(exercise.name, parameter_names(exercise), case)


def check_time(exercise: Exercise, expected: Outcome, got: Outcome) -> list[str]:
    if not got.timed_out:
        return []
    return [
        "too slow",
        f"It was stopped after {exercise.seconds:g} seconds. Is there a loop that never ends?",
    ]


def check_error(exercise: Exercise, expected: Outcome, got: Outcome) -> list[str]:
    if not got.error or got.error_type == expected.error_type:
        return (
            ["no error", f"It returns; {expected.error} is wanted."]
            if expected.error and not got.error
            else []
        )
    where = f" ({got.line})" if got.line else ""
    if got.error_type == "RecursionError":
        return ["endless recursion", f"It calls itself without end{where}. Which call stops it?"]
    if got.error_type == "SystemExit":
        return ["it exits", f"It ends the whole program{where}; `return` ends a function."]
    hint = " A gap (`...`) is still to be filled." if "ellipsis" in got.error.lower() else ""
    return ["it raises", f"It stops with {got.error}{where}.{hint}"]


def check_type(exercise: Exercise, expected: Outcome, got: Outcome) -> list[str]:
    if expected.error or got.error:
        return []
    fault = compare.mismatch(expected.value, got.value, "its result")
    if fault and got.value is None and got.printed:
        fault = "its result is None: it prints its answer, and must `return` it"
    return (
        [mismatch_name(fault), f"{fault[0].upper()}{fault[1:]}{'' if fault.endswith('?') else '.'}"]
        if fault
        else []
    )


def mismatch_name(fault: str) -> str:
    names = {
        "has shape": "the shape",
        "has dtype": "the dtype",
        "contains NaN": "not a number",
        "contains an infinite": "not finite",
        "not a finite": "not finite",
        "gradients": "no gradients",
        "is None": "nothing returned",
    }
    return next((name for word, name in names.items() if word in fault), "another type")


def check_inputs(exercise: Exercise, expected: Outcome, got: Outcome) -> list[str]:
    if spoilt := [name for name in got.changed_inputs if name not in expected.changed_inputs]:
        return [
            "inputs changed",
            f"It changes {' and '.join(spoilt)}, which belongs to the caller. Work on a copy, or avoid "
            "operations that write in place (names ending in _, +=, item assignment, .sort, .append).",
        ]
    return []


def check_random_state(exercise: Exercise, expected: Outcome, got: Outcome) -> list[str]:
    if touched := [
        name for name in got.changed_generators if name not in expected.changed_generators
    ]:
        return [
            "global randomness",
            f"It changes the global random state of {' and '.join(touched)}: it sets a seed or draws "
            "from it. Everything random that comes later would change; use a generator of its own.",
        ]
    return []


# -- steps 2 and 5 --------------------------------------------------------------------------------------------------------


def broken_property(exercise: Exercise, outcomes: list[Outcome]) -> Verdict | None:
    """The first property that some result has not."""
    for prop in exercise.properties:
        for case, got in sort_by_size(exercise, outcomes):
            held = True if got.error else property_holds(exercise, prop, got.value, case)
            if held is not True:
                evidence = (
                    (held,)
                    if isinstance(held, str)
                    else (f"Tried: {format_case(exercise, case)}.",)
                )
                return failure(prop.name, *evidence, prop.message, step="property")
    return None


def property_holds(exercise: Exercise, prop: Property, value: Any, case: Any) -> bool | str:
    """A test's answer; one that cannot be given leaves the judgement to the comparison."""
    try:
        held = exercise.apply_property(prop, value, case)
    except Exception:
        return True
    return held if isinstance(held, str) and held else bool(held)


def sort_by_size(exercise: Exercise, found: list[Any]) -> list[tuple[Any, Any]]:
    return sorted(
        zip(exercise.cases, found, strict=False), key=lambda pair: compare.display_size(pair[0])
    )


def difference(
    exercise: Exercise, expected_outcomes: list[Outcome], outcomes: list[Outcome]
) -> Verdict | None:
    """The smallest input on which it differs, with both results."""
    for case, (expected, got) in sort_by_size(
        exercise, list(zip(expected_outcomes, outcomes, strict=True))
    ):
        if not expected.error and not compare.equal(expected.value, got.value, exercise.tolerance):
            table = tuple(compare.side_by_side(expected.value, got.value))
            return failure(
                "another result",
                f"The smallest input on which it differs: {format_case(exercise, case)}.",
                table=table,
                step="difference",
            )
    return None
