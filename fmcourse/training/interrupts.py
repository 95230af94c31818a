"""Ctrl-C during training: finish the step, then stop."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class StopRequest:
    """Whether Ctrl-C was pressed."""

    requested: bool = False


@contextmanager
def defer_interrupt() -> Iterator[StopRequest]:
    """While this is open, Ctrl-C only sets `requested`; a second Ctrl-C interrupts at once.

    A step that is cut short would leave some weights moved and others not, and a checkpoint of
    such a state could not be resumed exactly. Outside the main thread Python delivers no signals,
    so there nothing changes.
    """
    stop = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def handle(number, frame):  # the arguments that Python passes to a handler
        if stop.requested:
            raise KeyboardInterrupt
        stop.requested = True

    previous = signal.signal(signal.SIGINT, handle)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, previous)
