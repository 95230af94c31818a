"""Calls a learner's function so that nothing it does, or fails to do, can hurt the notebook."""

import contextlib
import copy
import ctypes
import inspect
import io
import linecache
import math
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
TICK_SECONDS = 0.1  # between two looks at a call, and two alarms if it catches the first
WAIT_FACTOR = 5  # times its CPU time that a call may last: others use the machine too, or it waits
IMPORT_FILE = "<frozen importlib._bootstrap>"  # of the frames in which a module is imported
NOT_FINISHED = ("MemoryError", "OSError", "ImportError", "ModuleNotFoundError", "FileNotFoundError")


class TimeLimitExceeded(BaseException):
    """Not an Exception, so that `except Exception` in a learner's function does not catch it."""


class ReferenceNotFinished(RuntimeError):
    """The course's own answer did not come to its end, so that nothing can be compared with it."""


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
    """An outcome for each case, up to the first that took longer than `exercise.seconds`."""
    outcomes = []
    for case in exercise.cases:
        outcomes.append(run_case(exercise, candidate, case))
        if outcomes[-1].timed_out:
            break
    return outcomes


def expected_outcomes(exercise: Exercise) -> list[Outcome]:
    """The right outcome of every case: recorded with the exercise, else its reference is run.

    Raises: ReferenceNotFinished where the machine kept the reference from its end, for example by
        too little memory; TimeLimitExceeded where somebody else's limit ended it.
    """
    if exercise.recorded_outcomes is not None:
        return list(exercise.recorded_outcomes)
    return [reference_outcome(exercise, case) for case in exercise.cases]


def reference_outcome(exercise: Exercise, case: Any) -> Outcome:
    """What the reference makes of a case, however long it takes.

    Raises: as `expected_outcomes`.
    """
    outcome = run_case(exercise, exercise.reference, case, limited=False)
    if outcome.timed_out:
        raise TimeLimitExceeded
    if outcome.error_type in NOT_FINISHED or "can't allocate memory" in outcome.error:
        raise ReferenceNotFinished(
            f"the course's own answer to {exercise.id} did not finish on this machine: it stopped "
            f"with {outcome.error}. Your answer was not judged; free some memory and try again."
        )
    return outcome


def run_case(exercise: Exercise, candidate: Any, case: Any, *, limited: bool = True) -> Outcome:
    """Call `candidate` on a copy of `case`; global random states are put back afterwards.

    Args:
        limited: has it `exercise.seconds` for it, or as long as it takes?
    """
    seconds = exercise.seconds if limited else math.inf
    passed, output, outcome = copy_case(case), TruncatedOutput(), Outcome()
    with (
        fixed_random_state() as states,
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(output),
    ):
        try:
            outcome.value = call_with_timeout(lambda: exercise.apply(candidate, passed), seconds)
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
        pass  # a tensor that was computed from others: a deep copy would need its graph
    if isinstance(case, torch.Tensor):
        leaf = case.detach().clone().requires_grad_(case.requires_grad)
        return leaf.clone() if case.requires_grad else leaf  # as it was: computed from a leaf
    if type(case) is list:
        return [copy_case(part) for part in case]
    if type(case) is dict:
        return {key: copy_case(part) for key, part in case.items()}
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
    """The result of `call`.

    Args:
        seconds: of CPU time that it may take; WAIT_FACTOR times as long may go by. What it imports
            is neither counted nor interrupted: a module that is half imported would be broken for
            the rest of the session. `math.inf` is no limit.
    Raises: TimeLimitExceeded after that, also in an endless loop.
    """
    if seconds == math.inf:
        return timed_call(call)  # where a limit from outside may still end it
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


def is_importing(frame: Any) -> bool:
    """Is a module being imported in this frame of a timed call?"""
    while frame is not None and frame.f_code is not timed_call.__code__:
        if frame.f_code.co_filename == IMPORT_FILE:
            return True
        frame = frame.f_back
    return False


class Stopwatch:
    """Counts the seconds of a thread that it spends on anything but imports.

    Args:
        cpu_clock: time.thread_time for one's own thread, time.process_time for another.
    """

    def __init__(self, cpu_clock: Callable[[], float]) -> None:
        self.clocks = (cpu_clock, time.monotonic)
        self.last = [clock() for clock in self.clocks]
        self.cpu_seconds, self.seconds = 0.0, 0.0

    def update(self, frame: Any) -> None:
        """Count the time since the last update as spent in this frame."""
        now = [clock() for clock in self.clocks]
        cpu_seconds, seconds = (new - old for new, old in zip(now, self.last, strict=True))
        self.last = now
        if not is_importing(frame):
            # a whole process can use several cores at once: that is no more than the time gone by
            self.cpu_seconds += min(cpu_seconds, seconds)
            self.seconds += seconds

    def limit(self, seconds: float) -> Callable[[], bool]:
        """A function that says whether more than so many seconds were counted from now on."""
        cpu_seconds = self.cpu_seconds + seconds
        until = self.seconds + WAIT_FACTOR * seconds
        return lambda: self.cpu_seconds >= cpu_seconds or self.seconds >= until


main_stopwatch = Stopwatch(time.thread_time)  # one, so that a call within a call counts for both


@contextlib.contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Raise TimeLimitExceeded in the main thread after `seconds`; an earlier timer is put back."""
    armed, n_alarms, tracing = True, 0, sys.gettrace()
    main_stopwatch.update(sys._getframe())
    is_over = main_stopwatch.limit(seconds)

    def ring(number: int, frame: Any) -> None:
        nonlocal n_alarms
        if not armed or not is_inside_call(frame):
            return
        main_stopwatch.update(frame)
        if is_importing(frame) or not is_over():
            return
        n_alarms += 1
        if n_alarms > 1:  # a bare `except:` in a loop caught the first: raise inside its handler
            frame.f_trace = raise_in_handler
            sys.settrace(raise_in_handler)
        raise TimeLimitExceeded

    started, handler = time.monotonic(), signal.signal(signal.SIGALRM, ring)
    tick = min(seconds, TICK_SECONDS)
    left, interval = signal.setitimer(signal.ITIMER_REAL, tick, tick)
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
    if isinstance(sys.exc_info()[1], TimeLimitExceeded) and not is_importing(frame):
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
    stopwatch = Stopwatch(time.process_time)
    is_over = stopwatch.limit(seconds)
    thread.start()
    while thread.is_alive():
        thread.join(min(seconds, TICK_SECONDS))
        frame = sys._current_frames().get(thread.ident)
        stopwatch.update(frame)
        if thread.is_alive() and is_over() and not is_importing(frame):
            stop_thread(thread)
            raise TimeLimitExceeded
    value, error = ended[0]
    if error is not None:
        raise error
    return value


def stop_thread(thread: threading.Thread) -> None:
    """Raise TimeLimitExceeded in another thread."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread.ident), ctypes.py_object(TimeLimitExceeded)
    )
    thread.join(1)


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
