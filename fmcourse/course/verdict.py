"""From an answer to a verdict: is it right, and if not, which mistake is it?

`check` in a lesson, `points` in an assignment and `grade` over a class all come here. Evidence is
looked for in this order: the contract that every call must keep, the exercise's properties, the
smallest input with another result. What explains the evidence is a known mistake that behaves the
same on every case, else a relation between the result and the right one, else a known mistake that
behaves the same wherever the answer is wrong.

A new rule of the contract is one function here, in `CONTRACT_RULES`.
"""

import dis
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from types import CodeType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fmcourse.course import comparing, showing
from fmcourse.course.exercise import Exercise, Mistake, Property
from fmcourse.course.relations import find_relation, to_tensor
from fmcourse.course.running import (
    WAIT_FACTOR,
    Outcome,
    ReferenceNotFinished,
    expected_outcomes,
    parameter_names,
    run_cases,
)

PRINTS = "It also prints something; a function that only returns is easier to use."
ROUNDING = 1e-6  # relative: how far two ways to compute the same value may be apart
TELLING = 3  # numbers that two must share for each case on which they do not behave alike
IN_PART = "It shows on some inputs; on others the answer is right."
ONLY_THE_GIVEN = "right only on the cases given"
HIDDEN = "It is right on the cases that you were given, and not on others that it was graded with."


@dataclass(frozen=True)
class Verdict:
    """What is said of an answer.

    Args:
        name: the mistake, "right" or "blank".
        step: what found it: "contract", "property", "difference", "mistake" or "relation".
        table: lines that are read as columns.
    """

    correct: bool
    name: str
    step: str
    sentences: tuple[str, ...] = ()
    table: tuple[str, ...] = ()


class Stopped(Exception):
    """An answer of which nothing can be compared; `verdict` says why."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.name)
        self.verdict = verdict


class AnswerKey:
    """An exercise with the outcomes of its right answer and its mistakes, each worked out once."""

    def __init__(self, exercise: Exercise) -> None:
        self.exercise = exercise
        self.outcomes_by_mistake: dict[Mistake, list[Outcome]] = {}

    @cached_property
    def expected(self) -> list[Outcome]:
        """What is right on every case."""
        return expected_outcomes(self.exercise)

    def work_out(self) -> None:
        """Run the reference now. Raises: ReferenceNotFinished; nothing is kept then."""
        _ = self.expected

    def mistake_outcomes(self, mistake: Mistake) -> list[Outcome]:
        """What a known mistake makes of every case."""
        if mistake not in self.outcomes_by_mistake:
            wrong_answer = self.exercise.compile(mistake.wrong_answer)
            self.outcomes_by_mistake[mistake] = run_cases(self.exercise, wrong_answer)
        return self.outcomes_by_mistake[mistake]

    def first_cases(self, n: int) -> "AnswerKey":
        """The key to the first `n` cases alone."""
        key = AnswerKey(self.exercise.with_cases(self.exercise.cases[:n]))
        key.expected = self.expected[:n]
        return key


def diagnose(exercise: Exercise, candidate: Any, key: AnswerKey | None = None) -> Verdict:
    """The verdict on whatever was handed in.

    Args:
        key: the exercise's, where many answers are judged and what is right is worked out once.
    Raises: nothing but KeyboardInterrupt.
    """
    if verdict := precheck(exercise, candidate):
        return verdict
    outcomes = run_cases(exercise, candidate)
    try:
        verdict = judge(key or AnswerKey(exercise), outcomes)
    except ReferenceNotFinished as error:
        return not_judged(error)
    if verdict.correct and any(got.printed for got in outcomes):
        return Verdict(True, verdict.name, verdict.step, (PRINTS,))
    return verdict


def not_judged(error: ReferenceNotFinished) -> Verdict:
    """The verdict where nobody knows what is right."""
    text = str(error)
    return wrong_verdict("not judged", text[:1].upper() + text[1:])


def judge(key: AnswerKey, outcomes: list[Outcome], n_public: int | None = None) -> Verdict:
    """The verdict on what came of every case.

    Args:
        n_public: how many of the first cases the learner knows, all if None; the verdict gives
            away no value of the others.
    """
    failure = first_failure(key, outcomes)
    if failure is None:
        return Verdict(True, "right", "right")
    if n_public is not None:
        known = first_failure(key.first_cases(n_public), outcomes[:n_public])
        failure = known or hide_values(failure, key.exercise)
    if outcomes and outcomes[-1].timed_out:
        return failure  # the known mistakes have more cases to be compared on
    return add_explanation(failure, explain(key, outcomes))


def first_failure(key: AnswerKey, outcomes: list[Outcome]) -> Verdict | None:
    """The gravest thing that shows an answer to be wrong; None if nothing does."""
    return (
        broken_contract(key, outcomes)
        or broken_property(key, outcomes)
        or difference(key, outcomes)
    )


def hide_values(failure: Verdict, exercise: Exercise) -> Verdict:
    """What may be said where only hidden cases show the failure: nothing of their values."""
    messages = [wanted.message for wanted in exercise.properties if wanted.name == failure.name]
    name = ONLY_THE_GIVEN if failure.step == "difference" else failure.name
    return Verdict(False, name, failure.step, tuple(filter(None, (HIDDEN, *messages[:1]))))


# -- what explains it ---------------------------------------------------------------------------


class Explanation(NamedTuple):
    """The name of what is wrong, a sentence on it, and what found it."""

    name: str
    sentence: str
    step: str


def explain(key: AnswerKey, outcomes: list[Outcome]) -> Explanation | None:
    """The known mistake that behaves the same, else a relation to the right results.

    Else the known mistake that behaves the same wherever the answer is wrong.
    """
    if mistake := known_mistake(key, outcomes):
        return Explanation(mistake.name, mistake.explanation, "mistake")
    if relation := find_relation(key.exercise, key.expected, outcomes):
        return Explanation(*relation, "relation")
    if mistake := mistake_in_part(key, outcomes):
        return Explanation(mistake.name, f"{mistake.explanation} {IN_PART}", "mistake")
    return None


def known_mistake(key: AnswerKey, outcomes: list[Outcome]) -> Mistake | None:
    """The mistake that behaves as the answer does on every case."""
    alike = []
    for mistake in key.exercise.mistakes:
        wrong = key.mistake_outcomes(mistake)
        if same_behaviour(key, wrong, outcomes) and same_evidence(key, wrong, outcomes):
            alike.append((likeness(wrong, outcomes), mistake))
    # the first of those that are as like
    return max(alike, key=lambda pair: pair[0])[1] if alike else None


def mistake_in_part(key: AnswerKey, outcomes: list[Outcome]) -> Mistake | None:
    """The mistake that an answer makes but for a case or two, which it handles by themselves.

    Wherever the answer is wrong, it must behave as the mistake does: on two cases or more, on more
    than those that it handles, and with enough numbers that nothing else gives. Of several mistakes
    the one that it handles on the fewest cases; None if there are two of those.
    """
    found = []
    for mistake in key.exercise.mistakes:
        wrong = key.mistake_outcomes(mistake)
        if len(wrong) != len(outcomes):
            continue
        rows = list(zip(key.expected, wrong, outcomes, strict=True))
        failed = [row for row in rows if not behaves_alike(key, row[0], row[0], row[2])]
        handled = sum(not behaves_alike(key, row[0], row[0], row[1]) for row in rows) - len(failed)
        if len(failed) <= max(1, handled) or not all(behaves_alike(key, *row) for row in failed):
            continue
        if sum(n_telling(got.value) for _, _, got in failed) >= TELLING * max(1, handled):
            found.append((handled, mistake))
    fewest = min((handled for handled, _ in found), default=0)
    nearest = [mistake for handled, mistake in found if handled == fewest]
    return nearest[0] if len(nearest) == 1 else None


def n_telling(value: Any) -> int:
    """How many parts of a result hardly come of two different mistakes.

    Nothing, 0, 1 and -1 come of many; of truth values a mask of four says as much as a number.
    """
    value = to_tensor(value)
    if not isinstance(value, Tensor):
        return len(set(map(repr, value))) if isinstance(value, str | list | dict) else 0
    if value.dtype == torch.bool:
        return value.numel() // 4
    numbers = value.double().unique()
    return int((numbers.isfinite() & (numbers.abs() != 1) & (numbers != 0)).sum())


def add_explanation(failure: Verdict, explanation: Explanation | None) -> Verdict:
    """The evidence together with what explains it."""
    if explanation is None:
        return failure
    name, sentence, step = explanation
    if failure.step == "difference":
        return Verdict(False, name, step, (sentence, *failure.sentences), failure.table)
    # a property's second sentence asks a question, and so does the explanation: one is enough
    evidence = failure.sentences[:1] if failure.step == "property" else failure.sentences
    return Verdict(False, name, step, (*evidence, sentence))


def same_behaviour(key: AnswerKey, wrong: list[Outcome], outcomes: list[Outcome]) -> bool:
    """Does an answer behave as a known mistake does, on every case?"""
    return len(wrong) == len(outcomes) and all(
        behaves_alike(key, *row) for row in zip(key.expected, wrong, outcomes, strict=True)
    )


def behaves_alike(key: AnswerKey, right: Outcome, a: Outcome, b: Outcome) -> bool:
    """Do two answers behave alike on a case?

    Whether `b` has gradients counts only where `a` has the right value. Where it has another one,
    it may have come about in any way: `x_0` and `x_0 + 0 * x_t` are one mistake.
    """
    tolerance = key.exercise.tolerance
    return (
        a.error_type == b.error_type
        and a.timed_out == b.timed_out
        and a.changed_inputs == b.changed_inputs
        and comparing.equal(a.value, b.value, tolerance)
        and not comparing.mismatch(
            a.value, b.value, gradients=comparing.equal(right.value, a.value, tolerance)
        )
    )


def same_evidence(key: AnswerKey, wrong: list[Outcome], outcomes: list[Outcome]) -> bool:
    """Where only a property tells an answer from a right one, does it say the same of a mistake?

    Two cuts of the gradients leave the same values; which gradient is missing tells them apart.
    """
    if not same_behaviour(key, key.expected, outcomes):
        return True
    return all(
        property_holds(key.exercise, prop, a.value, case)
        == property_holds(key.exercise, prop, b.value, case)
        for prop in key.exercise.properties
        for case, a, b in zip(key.exercise.cases, wrong, outcomes, strict=True)
        if not a.error
    )


def likeness(wrong: list[Outcome], outcomes: list[Outcome]) -> tuple[bool, bool]:
    """How close two that behave alike are: (gradients on the same cases, equal to rounding).

    Two mistakes can lie within the exercise's tolerance of each other by chance.
    """
    pairs = [(a.value, b.value) for a, b in zip(wrong, outcomes, strict=True)]
    same_gradients = all(has_gradients(a) == has_gradients(b) for a, b in pairs)
    return same_gradients, all(comparing.equal(a, b, ROUNDING) for a, b in pairs)


def has_gradients(value: Any) -> bool:
    return isinstance(value, Tensor) and value.requires_grad


# -- before anything is called ------------------------------------------------------------------


def precheck(exercise: Exercise, candidate: Any) -> Verdict | None:
    """What can be said of a candidate without calling it."""
    if candidate is None or candidate is Ellipsis or is_starter(exercise, candidate):
        return Verdict(False, "blank", "blank")
    wanted = callable_kind(exercise.reference)
    if not callable(candidate):
        found = comparing.describe(candidate)
        sentence = f"This is {found}, not a {wanted}. Pass {exercise.name} itself, "
        return wrong_verdict("not a function", sentence + "without calling it.")
    if (kind := callable_kind(candidate)) != wanted:
        return wrong_verdict(f"a {kind}", f"This is a {kind}; a {wanted} is wanted.")
    return signature_mismatch(exercise, candidate)


def callable_kind(thing: Any) -> str:
    return "class" if inspect.isclass(thing) else "function"


def signature_mismatch(exercise: Exercise, candidate: Any) -> Verdict | None:
    """Can it be called with as many arguments as the cases have?"""
    if not (names := parameter_names(exercise)):
        return None
    try:
        signature = inspect.signature(candidate)
    except (TypeError, ValueError):  # a function written in C
        return None
    case = exercise.cases[0]
    try:
        signature.bind(*(case if isinstance(case, tuple) else (case,)))
    except TypeError:
        written, wanted = f"{exercise.name}{signature}", f"{exercise.name}({', '.join(names)})"
        sentence = f"It is written as {written}, but will be called as {wanted}."
        return wrong_verdict("its parameters", sentence)
    return None


def wrong_verdict(
    name: str, *sentences: str, table: tuple[str, ...] = (), step: str = "contract"
) -> Verdict:
    return Verdict(False, name, step, sentences, table)


def is_starter(exercise: Exercise, candidate: Any) -> bool:
    """Is the code still that of the starter, whatever its comments and docstring say?"""
    try:
        return bytecode(candidate) == bytecode(exercise.compile(exercise.starter))
    except Exception:  # the starter needs the notebook's names, or the object cannot be inspected
        return False


def bytecode(thing: Any) -> Any:
    """The instructions of a function, or of every function in a class."""
    if inspect.isclass(thing):
        functions = [(name, part) for name, part in vars(thing).items() if inspect.isfunction(part)]
        return [(name, bytecode(part)) for name, part in functions]
    code = getattr(thing, "__code__", None)
    return None if code is None else instructions(code)


def instructions(code: CodeType) -> list[tuple[str, Any]]:
    """What a code object does, without where it stands in its file."""
    return [
        (step.opname, instructions(arg) if isinstance(arg := step.argval, CodeType) else repr(arg))
        for step in dis.get_instructions(code)
    ]


# -- step 1: the contract -----------------------------------------------------------------------


class Breach(NamedTuple):
    """A rule of the contract that is broken: what that is called, and a sentence on it."""

    name: str
    sentence: str


def check_time(exercise: Exercise, expected: Outcome, got: Outcome) -> Breach | None:
    if not got.timed_out:
        return None
    seconds, longest = exercise.seconds, WAIT_FACTOR * exercise.seconds
    limit = f"It was stopped after {seconds:g} seconds of computing, or {longest:g} of waiting."
    return Breach("too slow", f"{limit} Is there a loop that never ends?")


def check_error(exercise: Exercise, expected: Outcome, got: Outcome) -> Breach | None:
    if not got.error:
        wanted = f"It returns; {expected.error} is wanted."
        return Breach("no error", wanted) if expected.error else None
    if got.error_type == expected.error_type:
        return None
    where = f" ({got.line})" if got.line else ""
    if got.error_type == "RecursionError":
        sentence = f"It calls itself without end{where}. Which call stops it?"
        return Breach("endless recursion", sentence)
    if got.error_type == "SystemExit":
        return Breach("it exits", f"It ends the whole program{where}; `return` ends a function.")
    gap = " A gap (`...`) is still to be filled." if "ellipsis" in got.error.lower() else ""
    return Breach("it raises", f"It stops with {got.error}{where}.{gap}")


def check_type(
    exercise: Exercise, expected: Outcome, got: Outcome, kinds: Sequence[set[str]] = ()
) -> Breach | None:
    if expected.error or got.error:
        return None
    # another value can come without gradients, as an input does: then that value is the news
    gradients = comparing.equal(expected.value, got.value, exercise.tolerance)
    fault = comparing.mismatch(
        expected.value, got.value, "its result", gradients=gradients, kinds=kinds
    )
    if not fault:
        return None
    if got.value is None and got.printed:
        fault = "its result is None: it prints its answer, and must `return` it"
    stop = "" if fault.endswith("?") else "."
    return Breach(mismatch_name(fault), f"{fault[0].upper()}{fault[1:]}{stop}")


def mismatch_name(fault: str) -> str:
    """What a mismatch of `comparing` is called."""
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


def check_inputs(exercise: Exercise, expected: Outcome, got: Outcome) -> Breach | None:
    changed = [name for name in got.changed_inputs if name not in expected.changed_inputs]
    if not changed:
        return None
    return Breach(
        "inputs changed",
        f"It changes {' and '.join(changed)}, which belongs to the caller. Work on a copy, or "
        "avoid operations that write in place (names ending in _, +=, item assignment, .sort, "
        ".append).",
    )


def check_random_state(exercise: Exercise, expected: Outcome, got: Outcome) -> Breach | None:
    allowed = expected.changed_generators
    changed = [name for name in got.changed_generators if name not in allowed]
    if not changed:
        return None
    return Breach(
        "global randomness",
        f"It changes the global random state of {' and '.join(changed)}: it sets a seed or draws "
        "from it. Everything random that comes later would change; use a generator of its own.",
    )


# What every call must keep, the gravest first; each rule is (exercise, expected, got) -> Breach,
# or None where it is kept.
CONTRACT_RULES: tuple[Callable[[Exercise, Outcome, Outcome], Breach | None], ...] = (
    check_time,
    check_error,
    check_type,
    check_inputs,
    check_random_state,
)


def broken_contract(key: AnswerKey, outcomes: list[Outcome]) -> Verdict | None:
    """The gravest rule that is broken on some case, and the smallest such case."""
    pairs = sort_by_size(key.exercise, list(zip(key.expected, outcomes, strict=False)))
    for rule in CONTRACT_RULES:
        if rule is check_type:
            rule = partial(check_type, kinds=legitimate_kinds(key, outcomes))
        for case, (expected, got) in pairs:
            if breach := rule(key.exercise, expected, got):
                tried = f"Tried: {format_case(key.exercise, case)}."
                return wrong_verdict(breach.name, tried, breach.sentence)
    return None


def legitimate_kinds(key: AnswerKey, outcomes: list[Outcome]) -> list[set[str]]:
    """Types of which a result may be, each right on some case.

    None at all if every result is None: that is a `return` that is missing, also where None may
    be an answer.
    """
    if all(got.value is None for got in outcomes):
        return []
    return comparing.kinds_of(one.value for one in key.expected if not one.error)


def keeps_contract(exercise: Exercise, expected: Outcome, got: Outcome) -> bool:
    """Is every rule kept on this case?"""
    return not any(rule(exercise, expected, got) for rule in CONTRACT_RULES)


def format_case(exercise: Exercise, case: Any) -> str:
    return showing.format_call(exercise.name, parameter_names(exercise), case)


# -- steps 2 and 3: properties, the smallest difference -----------------------------------------


def broken_property(key: AnswerKey, outcomes: list[Outcome]) -> Verdict | None:
    """The first property that some result lacks, and the smallest case on which it does."""
    exercise = key.exercise
    pairs = sort_by_size(exercise, list(zip(key.expected, outcomes, strict=False)))
    for prop in exercise.properties:
        for case, (expected, got) in pairs:
            held = True if got.error else property_holds(exercise, prop, got.value, case)
            if held is True or lacks_only_gradients(exercise, prop, case, expected, got):
                continue
            tried = f"Tried: {format_case(exercise, case)}."
            evidence = held if isinstance(held, str) else tried
            return wrong_verdict(prop.name, evidence, prop.message, step="property")
    return None


def lacks_only_gradients(
    exercise: Exercise, prop: Property, case: Any, expected: Outcome, got: Outcome
) -> bool:
    """Is another value blamed for its gradients, which are other ones because it is?"""
    value = got.value
    return (
        has_gradients(value)
        and not comparing.equal(expected.value, value, exercise.tolerance)
        and property_holds(exercise, prop, value.detach(), case) is True
    )


def property_holds(exercise: Exercise, prop: Property, value: Any, case: Any) -> bool | str:
    """A test's answer; True where the test itself fails: then the comparison decides."""
    try:
        held = exercise.apply_property(prop, value, case)
    except Exception:
        return True
    return held if isinstance(held, str) and held else bool(held)


def sort_by_size(exercise: Exercise, found: list[Any]) -> list[tuple[Any, Any]]:
    """(case, what was found on it), the smallest case first."""
    pairs = zip(exercise.cases, found, strict=False)
    return sorted(pairs, key=lambda pair: showing.display_size(pair[0]))


def difference(key: AnswerKey, outcomes: list[Outcome]) -> Verdict | None:
    """The smallest input on which the result differs, with both results."""
    exercise = key.exercise
    pairs = list(zip(key.expected, outcomes, strict=True))
    for case, (expected, got) in sort_by_size(exercise, pairs):
        if expected.error:
            continue  # that it raises too was settled by the contract
        if not comparing.equal(expected.value, got.value, exercise.tolerance):
            sentence = f"The smallest input on which it differs: {format_case(exercise, case)}."
            table = tuple(showing.side_by_side(expected.value, got.value, exercise.tolerance))
            return wrong_verdict("another result", sentence, table=table, step="difference")
    return None
