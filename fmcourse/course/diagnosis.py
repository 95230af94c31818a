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
from fmcourse.course.relations import relation
from fmcourse.course.sandbox import Outcome, outcomes, parameters

Known = Callable[[Mistake], list[Outcome]]
PRINTS = "It also prints something; a function that only returns is easier to use."


@dataclass(frozen=True)
class Verdict:
    """What is said of a candidate. `name` is the mistake, "right" or "blank"; `step` says who found it."""

    right: bool
    name: str
    step: str
    sentences: tuple[str, ...] = ()
    table: tuple[str, ...] = ()  # lines that are read as columns


def diagnose(exercise: Exercise, candidate: Any) -> Verdict:
    """The verdict on whatever was handed in. Raises: nothing but KeyboardInterrupt."""
    if verdict := unfit(exercise, candidate):
        return verdict
    return judged(exercise, exercise.rights(), outcomes(exercise, candidate))


def judged(exercise: Exercise, rights: list[Outcome], gots: list[Outcome], known: Known | None = None) -> Verdict:
    """The verdict on what came of every case. `known` gives a mistake's outcomes, where they have been kept."""
    found = evidence(exercise, rights, gots)
    if found is None:
        printed = any(got.printed for got in gots)
        return Verdict(True, "right", "right", (PRINTS,) if printed else ())
    return found if gots[-1].timed_out else joined(found, *explained(exercise, rights, gots, known))


def evidence(exercise: Exercise, rights: list[Outcome], gots: list[Outcome]) -> Verdict | None:
    """The gravest thing that shows it is wrong; None if nothing does."""
    found = broken_contract(exercise, rights, gots) or broken_property(exercise, gots)
    return found or difference(exercise, rights, gots)


def joined(found: Verdict, name: str, why: str, step: str) -> Verdict:
    """The evidence, with what explains it, if something does."""
    if not name:
        return found
    if found.step == "difference":
        return Verdict(False, name, step, (why, *found.sentences), found.table)
    seen = found.sentences[:1] if found.step == "property" else found.sentences  # one question is enough
    return Verdict(False, name, step, (*seen, why))


def wrongs(exercise: Exercise, mistake: Mistake) -> list[Outcome]:
    """What a known mistake makes of every case."""
    return outcomes(exercise, exercise.compile(mistake.wrong))


def explained(
    exercise: Exercise, rights: list[Outcome], gots: list[Outcome], known: Known | None = None
) -> tuple[str, str, str]:
    """The name of what is wrong, why, and whether a known mistake or a relation says so."""
    known = known or (lambda mistake: wrongs(exercise, mistake))
    for mistake in exercise.mistakes:
        if alike(exercise, known(mistake), gots):
            return mistake.name, mistake.explanation, "mistake"
    return *relation(exercise, rights, gots), "relation"


def alike(exercise: Exercise, these: list[Outcome], those: list[Outcome]) -> bool:
    """Do two candidates behave the same on every case?"""
    return len(these) == len(those) and all(
        a.kind_of_error == b.kind_of_error
        and a.changed == b.changed
        and not compare.misfit(a.value, b.value)
        and compare.equal(a.value, b.value, exercise.tolerance)
        for a, b in zip(these, those, strict=True)
    )


# -- before anything is called --------------------------------------------------------------------------------------------


def unfit(exercise: Exercise, candidate: Any) -> Verdict | None:
    """What can be said without calling it."""
    kind = "class" if inspect.isclass(exercise.answer) else "function"
    if candidate is None or candidate is Ellipsis or is_starter(exercise, candidate):
        return Verdict(False, "blank", "blank")
    if not callable(candidate):
        return failed("not a function", f"This is {compare.described(candidate)}, not a {kind}. Pass {exercise.name} itself, "
                      "without calling it.")  # fmt: skip
    if inspect.isclass(candidate) != inspect.isclass(exercise.answer):
        other = "class" if inspect.isclass(candidate) else "function"
        return failed(f"a {other}", f"This is a {other}; a {kind} is wanted.")
    return arity(exercise, candidate)


def arity(exercise: Exercise, candidate: Any) -> Verdict | None:
    """Can it be called with as many arguments as the cases have?"""
    if not (names := parameters(exercise)):
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
        return failed("its parameters", f"It is written as {exercise.name}{signature}, but will be called as {wanted}.")
    return None


def failed(name: str, *sentences: str, table: tuple[str, ...] = (), step: str = "contract") -> Verdict:
    return Verdict(False, name, step, sentences, table)


def is_starter(exercise: Exercise, candidate: Any) -> bool:
    """Is the code still that of the starter, whatever its comments and docstring say?"""
    try:
        return behaviour(candidate) == behaviour(exercise.compile(exercise.starter))
    except Exception:  # a starter that needs what the notebook has, or an object that forbids to look
        return False


def behaviour(thing: Any) -> Any:
    """The instructions of a function, or of every function in a class."""
    if inspect.isclass(thing):
        return [(name, behaviour(part)) for name, part in vars(thing).items() if inspect.isfunction(part)]
    code = getattr(thing, "__code__", None)
    return None if code is None else instructions(code)


def instructions(code: CodeType) -> list[tuple[str, Any]]:
    nested = lambda value: instructions(value) if isinstance(value, CodeType) else repr(value)
    return [(step.opname, nested(step.argval)) for step in dis.get_instructions(code)]


# -- step 1: the contract -------------------------------------------------------------------------------------------------


def broken_contract(exercise: Exercise, rights: list[Outcome], gots: list[Outcome]) -> Verdict | None:
    """The first promise, in order of gravity, that is not kept on some case."""
    for rule in contract():
        for case, right, got in zip(exercise.cases, rights, gots, strict=False):
            if found := rule(exercise, right, got):
                name, *sentences = found
                return failed(name, f"Tried: {called(exercise, case)}.", *sentences)
    return None


def contract() -> tuple[Callable[[Exercise, Outcome, Outcome], list[str]], ...]:
    """What every call must keep, the gravest first; each gives a name and sentences where it is broken."""
    return in_time, no_error, same_kind, inputs_kept, randomness_kept


def called(exercise: Exercise, case: Any) -> str:
    return compare.call(exercise.name, parameters(exercise), case)


def in_time(exercise: Exercise, right: Outcome, got: Outcome) -> list[str]:
    if not got.timed_out:
        return []
    return ["too slow", f"It was stopped after {exercise.seconds:g} seconds. Is there a loop that never ends?"]


def no_error(exercise: Exercise, right: Outcome, got: Outcome) -> list[str]:
    if not got.error or got.kind_of_error == right.kind_of_error:
        return ["no error", f"It returns; {right.error} is wanted."] if right.error and not got.error else []
    where = f" ({got.line})" if got.line else ""
    if got.kind_of_error == "RecursionError":
        return ["endless recursion", f"It calls itself without end{where}. Which call stops it?"]
    if got.kind_of_error == "SystemExit":
        return ["it exits", f"It ends the whole program{where}; `return` ends a function."]
    hint = " A gap (`...`) is still to be filled." if "ellipsis" in got.error.lower() else ""
    return ["it raises", f"It stops with {got.error}{where}.{hint}"]


def same_kind(exercise: Exercise, right: Outcome, got: Outcome) -> list[str]:
    if right.error or got.error:
        return []
    fault = compare.misfit(right.value, got.value, "its result")
    if fault and got.value is None and got.printed:
        fault = "its result is None: it prints its answer, and must `return` it"
    return (
        [kind_of_misfit(fault), f"{fault[0].upper()}{fault[1:]}{'' if fault.endswith('?') else '.'}"] if fault else []
    )


def kind_of_misfit(fault: str) -> str:
    names = {"has shape": "the shape", "has dtype": "the dtype", "contains NaN": "not a number",
             "contains an infinite": "not finite", "not a finite": "not finite", "gradients": "no gradients",
             "is None": "nothing returned"}  # fmt: skip
    return next((name for word, name in names.items() if word in fault), "another type")


def inputs_kept(exercise: Exercise, right: Outcome, got: Outcome) -> list[str]:
    if spoilt := [name for name in got.changed if name not in right.changed]:
        return ["inputs changed", f"It changes {' and '.join(spoilt)}, which belongs to the caller. Work on a copy, or avoid "
                "operations that write in place (names ending in _, +=, item assignment, .sort, .append)."]  # fmt: skip
    return []


def randomness_kept(exercise: Exercise, right: Outcome, got: Outcome) -> list[str]:
    if touched := [name for name in got.reseeded if name not in right.reseeded]:
        return ["global randomness", f"It changes the global random state of {' and '.join(touched)}: it sets a seed or draws "
                "from it. Everything random that comes later would change; use a generator of its own."]  # fmt: skip
    return []


# -- steps 2 and 5 --------------------------------------------------------------------------------------------------------


def broken_property(exercise: Exercise, gots: list[Outcome]) -> Verdict | None:
    """The first property that some result has not."""
    for wanted in exercise.properties:
        for case, got in by_size(exercise, gots):
            held = True if got.error else tested(exercise, wanted, got.value, case)
            if held is not True:
                evidence = (held,) if isinstance(held, str) else (f"Tried: {called(exercise, case)}.",)
                return failed(wanted.name, *evidence, wanted.message, step="property")
    return None


def tested(exercise: Exercise, wanted: Property, value: Any, case: Any) -> bool | str:
    """A test's answer; one that cannot be given leaves the judgement to the comparison."""
    try:
        held = exercise.holds(wanted, value, case)
    except Exception:
        return True
    return held if isinstance(held, str) and held else bool(held)


def by_size(exercise: Exercise, found: list[Any]) -> list[tuple[Any, Any]]:
    return sorted(zip(exercise.cases, found, strict=False), key=lambda pair: compare.size(pair[0]))


def difference(exercise: Exercise, rights: list[Outcome], gots: list[Outcome]) -> Verdict | None:
    """The smallest input on which it differs, with both results."""
    for case, (right, got) in by_size(exercise, list(zip(rights, gots, strict=True))):
        if not right.error and not compare.equal(right.value, got.value, exercise.tolerance):
            table = tuple(compare.side_by_side(right.value, got.value))
            return failed("another result", f"The smallest input on which it differs: {called(exercise, case)}.",
                          table=table, step="difference")  # fmt: skip
    return None
