"""Further forms for constrained decoding, which `constraints` makes masks of: parts of a call.

Each takes the state after it and gives the state before it, as `one_of` and `string` do.
"""

from collections.abc import Mapping

from fmcourse.prompting.constraints import Form, State, refuse_both
from fmcourse.tokenizers.byte_trie import before_character, make_trie

DIGITS, POINT, MINUS, DELETE = b"0123456789", ord("."), ord("-"), 0x7F


def nothing(after: State) -> State:
    """The form of the empty text."""
    return after


def switch(cases: Mapping[str, Form]) -> Form:
    """One of these texts, then the form that belongs to it: a tool's name, then its arguments.

    Raises: ValueError if there is none, or where a case's form could continue another case.
    """
    if not cases:
        raise ValueError("switch({}) leaves nothing to choose from; give at least one case.")

    def build(after: State) -> State:
        start, ends = make_trie(text.encode() for text in cases)
        for state, form in zip(ends, cases.values(), strict=True):
            follows = form(after)  # not always a leaf's: after `no`, `none` goes on
            refuse_both(state.keys() & follows.keys(), "a choice", "put the choices into quotes")
            state.update(follows)
        return start

    return build


def sequence(*forms: Form) -> Form:
    """One form after the other."""

    def build(after: State) -> State:
        for form in reversed(forms):
            after = form(after)
        return after

    return build


def line(max_characters: int | None = 80) -> Form:
    """Free text without a line break, of at most so many characters (None: of any length).

    It stands last in a form. Raises: ValueError where what follows could continue the line.
    """

    def build(after: State) -> State:
        refuse_both(after, "the line", "let a line be the last part of the form")

        def one_more(rest: State) -> State:
            character = before_character(rest, lowest=" ")
            del character[DELETE]
            return after | character

        inside = {**after}
        for _ in range(
            max_characters or 0
        ):  # each has states of its own: an automaton cannot count
            inside = one_more(inside)
        if max_characters is None:  # one state that leads back to itself
            inside.update(one_more(inside))
        return inside

    return build


def number(max_digits: int = 12, decimals: int = 6) -> Form:
    """A JSON number with at most so many digits before the point, and behind it; 0 decimals: whole.

    Raises: ValueError where what follows could continue the number.
    """

    def build(after: State) -> State:
        clash = after.keys() & {*DIGITS, POINT, MINUS}
        refuse_both(clash, "the number", "put something else between them")
        fraction = after
        for _ in range(decimals - 1):
            fraction = after | dict.fromkeys(DIGITS, fraction)
        stop = after | ({POINT: dict.fromkeys(DIGITS, fraction)} if decimals else {})
        whole = stop
        for _ in range(max_digits - 1):
            whole = stop | dict.fromkeys(DIGITS, whole)
        positive = {ord("0"): stop} | dict.fromkeys(DIGITS[1:], whole)  # JSON: no leading zero
        return {MINUS: positive} | positive

    return build
