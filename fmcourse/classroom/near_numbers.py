"""Numbers that are right but for the way in which they are written.

A percentage for a share, too few digits, a whole number for a float: each is called by its name and
costs some of the points, where a number of which nothing is known costs all of them.
"""

import math
from decimal import Decimal
from typing import Any, NamedTuple

from fmcourse.course.comparing import is_close, is_number, to_python

ONE_FAULT, TWO_FAULTS = 0.5, 0.25  # share of the value's weight that is left
GUESSABLE = 0.1  # of a whole number of one digit, which is soon guessed
CLOSE, ROUGH = 0.01, 0.1  # relative distance of a number with three digits, with two


class NearNumber(NamedTuple):
    """What is wrong with the way a number is written, and how much of it counts, 0 to 1."""

    name: str
    sentence: str
    share: float


def near_number(expected: Any, got: Any, tolerance: float) -> NearNumber | None:
    """How a number that is not right misses the right one by its way of writing; None if not so.

    Args:
        tolerance: relative, of the exercise.

    >>> near_number(0.47631, 47.631, 1e-4).name, near_number(0.47631, 0.476, 1e-4).name
    ('a percentage', 'too few digits')
    """
    expected, got = to_python(expected), to_python(got)
    if not (isinstance(expected, float) and is_number(got) and is_finite(expected, got)):
        return None
    needed = digits_needed(tolerance)
    for scale in (1, 100):
        right, typed = expected * scale, float(got)
        if scale > 1 and is_close(right, typed, tolerance):
            return NearNumber("a percentage", PERCENTAGE, ONE_FAULT)
        if not is_written_short(typed, right, needed):
            continue
        distance = abs(typed - right) / abs(right) if right else math.inf
        kept = ONE_FAULT if distance <= CLOSE else TWO_FAULTS if distance <= ROUGH else GUESSABLE
        more = f"Leave it as it was computed, or give at least {needed} digits."
        if scale > 1:
            sentence = f"{PERCENTAGE} It also has too few digits. {more}"
            return NearNumber("a percentage", sentence, min(kept, TWO_FAULTS))
        if typed.is_integer():
            sentence = f"It is the right number, made a whole one; a float is wanted. {more}"
            kept = min(kept, TWO_FAULTS) if abs(typed) >= 10 else GUESSABLE
            return NearNumber("a whole number", sentence, kept)
        return NearNumber("too few digits", f"Its digits are right, and too few. {more}", kept)
    return None


PERCENTAGE = "It is the right number in per cent. Divide it by 100."


def is_finite(*numbers: float) -> bool:
    try:
        return all(math.isfinite(number) for number in numbers)
    except OverflowError:  # a whole number larger than any float
        return False


def digits_needed(tolerance: float) -> int:
    """The fewest significant digits with which every number is right within a tolerance.

    >>> digits_needed(1e-4), digits_needed(2e-3)
    (5, 4)
    """
    return math.ceil(1 - math.log10(2 * tolerance)) if tolerance else 17


def count_digits(number: float) -> int:
    """Significant digits with which a number is written.

    >>> count_digits(0.476), count_digits(20.0), count_digits(1e-5)
    (3, 1, 1)
    """
    return len(Decimal(repr(number)).normalize().as_tuple().digits)


def is_written_short(typed: float, right: float, needed: int) -> bool:
    """Is a number the right one, cut or rounded to fewer digits than are needed?"""
    if not typed.is_integer() and count_digits(typed) >= needed:
        return False
    unit = 1.0 if typed.is_integer() else 10.0 ** Decimal(repr(typed)).as_tuple().exponent
    missing = (abs(right) - abs(typed)) / unit
    slack = 1e-6  # a half is not always one in binary
    return typed * right >= 0 and -0.5 - slack <= missing < 1 - slack
