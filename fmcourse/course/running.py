"""Calls a learner's function so that nothing it does, or fails to do, can hurt the notebook."""

import contextlib
import copy
import ctypes
import inspect
import io
import linecache
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import torch

from fmcourse.course.comparing import equal
from fmcourse.course.exercise import Exercise

MAX_PRINTED = 2000  # characters that are kept of what a call prints
SEED = 271_828_183  # one that nobody sets by hand, or setting it would go unseen
REPEAT_SECONDS = 0.2  # between two alarms, should the function catch the first


class TimeLimitExceeded(BaseException):
    """Not an Exception, so that `except Exception` in a learner's function does not catch it."""


@dataclass
class Outcome:
    """What came of one call.

    Args:
        error: as a traceback ends, "IndexError: list index out of range"; empty if none was raised.
        line: where in the learner's code it was raised.
        changed_inputs: names of the inputs that are not what they were.
        changed_generators: libraries whose global random state is not what it was.
    """

    value: Any = None
    error: str = ""
    line: str = ""
    printed: str = ""
    changed_inputs: tuple[str, ...] = ()
    changed_generators: tuple[str, ...] = ()
    timed_out: bool = False

    @property
    def error_type(self) -> str:
        return self.error.split(":")[0]


# -- cases --------------------------------------------------------------------------------------


def run_cases(exercise: Exercise, candidate: Any) -> list[Outcome]:
    """An outcome for each case, up to the first that took too long."""
    outcomes = []
    for case in exercise.cases:
        outcomes.append(run_case(exercise, candidate, case))
        if outcomes[-1].timed_out:
            break
    return outcomes


def expected_outcomes(exercise: Exercise) -> list[Outcome]:
    """The right outcome of every case: recorded with the exercise, else its reference is run."""
    if exercise.recorded_outcomes is not None:
        return list(exercise.recorded_outcomes)
    return run_cases(exercise, exercise.reference)


def run_case(exercise: Exercise, candidate: Any, case: Any) -> Outcome:
    """Call `candidate` on a copy of `case`; global random states are put back afterwards."""
    passed, output, outcome = copy_case(case), TruncatedOutput(), Outcome()
    with (
        fixed_random_state() as states,
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(output),
    ):
        try:
            outcome.value = call_with_timeout(
                lambda: exercise.apply(candidate, passed), exercise.seconds
            )
            if inspect.iscoroutine(outcome.value):
                outcome.value.close()  # or Python warns that nobody awaited it
        except TimeLimitExceeded:
            outcome.timed_out = True
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit too
            outcome.error = format_error(error)
            outcome.line = error_line(error.__traceback__, candidate)
        outcome.changed_generators = tuple(
            name for name, before, now in states() if not same_state(before, now)
        )
    outcome.changed_inputs = changed_inputs(exercise, case, passed)
    outcome.printed = output.getvalue()
    return outcome


class TruncatedOutput(io.StringIO):
    """Keeps the beginning: an endless loop that prints must not fill the memory."""

    def write(self, text: str) -> int:
        return super().write(text[: max(0, MAX_PRINTED - self.tell())])


def copy_case(case: Any) -> Any:
    """A copy that a learner's function may change; what cannot be copied is shared."""
    if isinstance(case, tuple):
        return tuple(copy_case(part) for part in case)
    try:
        return copy.deepcopy(case)
    except (TypeError, RuntimeError):
        return case


def changed_inputs(exercise: Exercise, before: Any, now: Any) -> tuple[str, ...]:
    """Names of the inputs that differ from what was passed."""
    names, pairs = parameter_names(exercise), zip(arguments(before), arguments(now), strict=True)
    return tuple(
        names[i] if i < len(names) else f"input {i + 1}"
        for i, (part, new) in enumerate(pairs)
        if not equal(part, new)
    )


def arguments(case: Any) -> tuple:
    """A case as the list of arguments that it stands for."""
    return case if isinstance(case, tuple) else (case,)


def parameter_names(exercise: Exercise) -> list[str]:
    """The names of a case's parts, where they are the arguments of the function."""
    if exercise.run is not None or inspect.isclass(exercise.reference):
        return []
    return list(inspect.signature(exercise.reference).parameters)


# -- random state -------------------------------------------------------------------------------


@contextlib.contextmanager
def fixed_random_state() -> Iterator[Callable[[], list[tuple[str, Any, Any]]]]:
    """Global random generators at a known state inside, put back to their own afterwards.

    Yields a function that returns (library, state at the start, state now) for each generator.
    """
    generators: dict[str, tuple[Callable, Callable, Callable]] = {  # seed, read, write
        "torch": (torch.default_generator.manual_seed, torch.get_rng_state, torch.set_rng_state),
        "random": (random.seed, random.getstate, random.setstate),
    }
    if numpy := sys.modules.get("numpy"):
        generators["numpy"] = (numpy.random.seed, numpy.random.get_state, numpy.random.set_state)
    outside = {name: read() for name, (_, read, _) in generators.items()}
    for seed, _, _ in generators.values():
        seed(SEED)
    start = {name: read() for name, (_, read, _) in generators.items()}
    try:
        yield lambda: [(name, start[name], read()) for name, (_, read, _) in generators.items()]
    finally:
        for name, (_, _, write) in generators.items():
            write(outside[name])


def same_state(before: Any, now: Any) -> bool:
    """Is a generator's state still the same?"""
    # Python's own is a tuple of 625 numbers, which `==` compares much faster than `equal`
    plain = isinstance(before, tuple) and isinstance(before[1], tuple)
    return before == now if plain else equal(before, now)


# -- time ---------------------------------------------------------------------------------------


def call_with_timeout(call: Callable[[], Any], seconds: float) -> Any:
    """The result of `call`. Raises: TimeLimitExceeded after `seconds`, also in an endless loop."""
    if hasattr(signal, "SIGALRM") and threading.current_thread() is threading.main_thread():
        with alarm(seconds):
            return timed_call(call)
    return call_in_thread(call, seconds)


def timed_call(call: Callable[[], Any]) -> Any:
    """The call itself, in a frame by which `is_inside_call` knows it."""
    return call()


def is_inside_call(frame: Any) -> bool:
    """Is the call still running in this frame?

    Not while Python tidies up after it, which can take longer than the time between two alarms.
    """
    while frame is not None and frame.f_code is not call_with_timeout.__code__:
        if frame.f_code is timed_call.__code__:
            return True
        frame = frame.f_back
    return False


@contextlib.contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Raise TimeLimitExceeded in the main thread after `seconds`; an earlier timer is put back."""
    armed, n_alarms, tracing = True, 0, sys.gettrace()

    def ring(number: int, frame: Any) -> None:
        nonlocal n_alarms
        if not armed or not is_inside_call(frame):
            return
        n_alarms += 1
        if n_alarms > 1:  # a bare `except:` in a loop caught the first: raise inside its handler
            frame.f_trace = raise_in_handler
            sys.settrace(raise_in_handler)
        raise TimeLimitExceeded

    started, handler = time.monotonic(), signal.signal(signal.SIGALRM, ring)
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds, REPEAT_SECONDS)
    try:
        yield
    finally:
        armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        if n_alarms > 1:
            sys.settrace(tracing)
        signal.signal(signal.SIGALRM, handler or signal.SIG_DFL)
        if left:
            remaining = max(0.01, left - (time.monotonic() - started))  # 0 would turn it off
            signal.setitimer(signal.ITIMER_REAL, remaining, interval)


def raise_in_handler(frame: Any, event: str, argument: Any) -> Any:
    """A trace function that raises in a handler that has just caught TimeLimitExceeded."""
    if isinstance(sys.exc_info()[1], TimeLimitExceeded):
        raise TimeLimitExceeded
    return raise_in_handler


def call_in_thread(call: Callable[[], Any], seconds: float) -> Any:
    """For systems without SIGALRM: a thread in which an exception is raised when its time is up."""
    ended: list[tuple[Any, BaseException | None]] = []

    def work() -> None:
        try:
            ended.append((call(), None))
        except BaseException as error:
            ended.append((None, error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident), ctypes.py_object(TimeLimitExceeded)
        )
        thread.join(1)
        raise TimeLimitExceeded
    value, error = ended[0]
    if error is not None:
        raise error
    return value


# -- errors -------------------------------------------------------------------------------------


def format_error(error: BaseException) -> str:
    """What a traceback ends with, on one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def error_line(traceback: TracebackType | None, candidate: Any) -> str:
    """The last line of the learner's own code that was running."""
    code = getattr(candidate, "__code__", None)
    if inspect.isclass(candidate):
        methods = [part for part in vars(candidate).values() if inspect.isfunction(part)]
        code = methods[0].__code__ if methods else None
    found = ""
    while traceback is not None:
        if code is not None and traceback.tb_frame.f_code.co_filename == code.co_filename:
            line = linecache.getline(code.co_filename, traceback.tb_lineno).strip()[:80]
            found = f"line {traceback.tb_lineno}" + (f", `{line}`" if line else "")
        traceback = traceback.tb_next
    return found
