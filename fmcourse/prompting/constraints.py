"""Constrained decoding: a mask on the logits, so that only texts of the wanted form can be written.

A form is an automaton over bytes, because a token may begin and end anywhere, even in a character.
A trie of all tokens is followed through it: Willard & Louf 2023. JSON: RFC 8259.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf
from typing import Any

import torch
from torch import Tensor

from fmcourse.generation.sampling import Constraint

State = dict[int, Any]  # for each byte that is allowed next, the state that it leads to
Form = Callable[[State], State]  # the state after the form -> the state before it

END, SPECIAL, TOKEN = 256, 257, 258  # no bytes: the end token, other special ones, a token's id
DIGITS = b"0123456789"
PLAIN, REST = [byte for byte in range(0x20, 0x80) if byte not in b'"\\'], range(0x80, 0xC0)
CHARACTERS = [  # first byte, second byte, how many of REST: escapes; UTF-8 (Unicode, table 3-7)
    (b"\\", b'"\\/bfnrt', 0),
    (range(0xC2, 0xE0), REST, 0),
    ([0xE0], range(0xA0, 0xC0), 1),
    ([*range(0xE1, 0xED), 0xEE, 0xEF], REST, 1),
    ([0xED], range(0x80, 0xA0), 1),
    ([0xF0], range(0x90, 0xC0), 2),
    (range(0xF1, 0xF4), REST, 2),
    ([0xF4], range(0x80, 0x90), 2),
]


def make_trie(texts: Iterable[Sequence[int]]) -> tuple[State, list[State]]:
    """States that texts share as far as they begin alike: the first, and that after each text."""
    start, ends = {}, []
    for text in texts:
        state = start
        for byte in text:
            state = state.setdefault(byte, {})
        ends.append(state)
    return start, ends


def one_of(texts: Sequence[str]) -> Form:
    """A choice among fixed texts. Raises: ValueError if there is none."""
    if isinstance(texts, str) or not texts:
        raise ValueError(f"one_of({texts!r}) leaves nothing to choose from; give a list of texts.")
    return switch(dict.fromkeys(texts, nothing))


def nothing(after: State) -> State:
    """The form of the empty text."""
    return after


def switch(cases: Mapping[str, Form]) -> Form:
    """One of these texts, then the form that belongs to it: a tool's name, then its arguments.

    Raises: ValueError if there is none.
    """
    if not cases:
        raise ValueError("switch({}) leaves nothing to choose from; give at least one case.")

    def build(after: State) -> State:
        start, ends = make_trie(text.encode() for text in cases)
        for state, form in zip(ends, cases.values(), strict=True):
            follows = form(after)  # not always a leaf's: after `no`, `none` goes on
            if both := state.keys() & follows.keys():
                raise ValueError(
                    f"byte {bytes(both)!r} could continue a choice, or follow it; "
                    "put the choices into quotes."
                )
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


def string(max_characters: int = 40) -> Form:
    """A JSON string of at most so many characters, in quotes."""

    def build(after: State) -> State:
        # At the limit, only the closing quote.
        return {ord('"'): characters({ord('"'): after}, CHARACTERS, PLAIN, max_characters)}

    return build


def line(max_characters: int = 80) -> Form:
    """Free text of at most so many characters without a line break, to stand last in a form."""

    def build(after: State) -> State:
        if clash := after.keys() & range(256):
            raise ValueError(
                f"byte {bytes(clash)!r} could continue the line, or follow it; "
                "let a line be the last part of the form."
            )
        return characters(after, CHARACTERS[1:], range(0x20, 0x7F), max_characters)

    return build


def characters(
    after: State, longer: Iterable[tuple], single: Iterable[int], max_characters: int
) -> State:
    """At most so many characters, each one byte of `single` or a row of `longer`, then `after`."""
    inside = after
    for _ in range(max_characters):  # each has states of its own: an automaton cannot count
        ahead = [inside]  # the states 0, 1 and 2 bytes before the character's end
        for _ in range(2):
            ahead.append(dict.fromkeys(REST, ahead[-1]))
        inside = after | dict.fromkeys(single, inside)
        for first, second, more in longer:
            inside |= dict.fromkeys(first, dict.fromkeys(second, ahead[more]))
    return inside


def number(max_digits: int = 12, decimals: int = 6) -> Form:
    """A JSON number with at most so many digits before the point, and behind it; 0 decimals: whole.

    Raises: ValueError where what follows could continue the number.
    """

    def build(after: State) -> State:
        if clash := after.keys() & {*DIGITS, *b".-"}:
            raise ValueError(
                f"byte {bytes(clash)!r} could continue the number, or follow it; "
                "put something else between them."
            )
        fraction = after
        for _ in range(decimals - 1):
            fraction = after | dict.fromkeys(DIGITS, fraction)
        stop = after | ({ord("."): dict.fromkeys(DIGITS, fraction)} if decimals else {})
        whole = stop
        for _ in range(max_digits - 1):
            whole = stop | dict.fromkeys(DIGITS, whole)
        positive = {ord("0"): stop} | dict.fromkeys(DIGITS[1:], whole)  # JSON: no leading zero
        return {ord("-"): positive} | positive

    return build


def json_object(fields: Mapping[str, Form]) -> Form:
    """A JSON object with these fields in this order, spaced as `json.dumps` does.

    A field's value is a form: `string()`, `one_of(["true", "false"])`, another `json_object`.
    """

    def build(after: State) -> State:
        state = one_of(["}"])(after)
        for n, (name, value) in reversed([*enumerate(fields.items())]):
            before = (", " if n else "") + json.dumps(name, ensure_ascii=False) + ": "
            state = one_of([before])(value(state))
        return one_of(["{"])(state)

    return build


class FormConstraint:
    """(ids added so far) -> (V,) bool, the tokens allowed next; `grammar_constraint` makes it."""

    def __init__(self, form: Form, spelled: list[Sequence[int]], max_tokens: float) -> None:
        self.spelled, self.max_tokens = spelled, max_tokens
        trie, ends = make_trie(spelled)
        for token, node in enumerate(ends):
            node[TOKEN] = token
        ended: State = {}
        ended[END] = ended  # after the end, only the end
        self.start = form({END: ended})
        self.needed = {id(ended): 0}  # tokens that a state needs at least, the end token among them
        self.allowed = {}  # tokens that a state allows (n,), and what is needed after each (n,)
        path = [self.start, ended]
        while path:  # a state's turn comes after those that it leads to
            state = path[-1]
            if unknown := [to for to in state.values() if id(to) not in self.needed]:
                path.append(unknown[0])
                continue
            found = self.follow(path.pop(), trie, {})
            self.needed.setdefault(id(state), 1 + min(found.values(), default=inf))
            tokens = torch.tensor([*found], dtype=torch.long)
            self.allowed[id(state)] = tokens, torch.tensor([*found.values()])

    def follow(self, state: State, node: State, found: dict[int, float]) -> dict[int, float]:
        """Adds to `found` each token below a node of the trie, and what is needed after it."""
        for byte, longer in node.items():
            if byte == TOKEN:
                found[longer] = self.needed[id(state)]
            elif byte in state:
                self.follow(state[byte], longer, found)
        return found

    def __call__(self, ids: Sequence[int]) -> Tensor:
        state = self.start  # found anew in each call, so that one constraint can serve many texts
        for n, token in enumerate(ids):
            try:
                for byte in self.spelled[token]:
                    state = state[byte]
            except KeyError:
                raise ValueError(
                    f"token {token} at position {n} is not what the form allows there; pass what "
                    "was added under this constraint, without the prompt."
                ) from None
        tokens, needed = self.allowed[id(state)]
        mask = torch.zeros(len(self.spelled), dtype=torch.bool)
        # A token is allowed if the text can be completed after it: the mask is never empty.
        mask[tokens[needed < max(1, self.max_tokens + 1 - len(ids))]] = True
        return mask


def grammar_constraint(
    tokenizer: Any, form: Form, end: int, max_tokens: int | None = None
) -> Constraint:
    """A constraint for `generate` and `generate_answers`: a text of this form, then token `end`.

    Args:
        form: `one_of([...])`, `json_object({...})`, `string()`, `number()`; several of them by
            `sequence` and `switch`; `line()` at the end.
        end: the token that ends the text, SmolLM2's <|im_end|> for example; what it spells belongs
            in `stop`.
        max_tokens: the text is complete within so many tokens, mostly max_new_tokens.
    Raises: ValueError if the vocabulary spells no text of the form, or not within `max_tokens`.

    >>> from fmcourse.tokenizers import CharTokenizer
    >>> tokenizer = CharTokenizer.train("yes or no.")
    >>> allowed = grammar_constraint(tokenizer, one_of(["no", "yes"]), end=0)([])
    >>> [tokenizer.tokens[token] for token in allowed.nonzero()]
    ['n', 'y']
    """
    spelled = [tokenizer.token_bytes(token) or [SPECIAL] for token in range(tokenizer.vocab_size)]
    for token in getattr(tokenizer, "special_tokens", {}).values():
        spelled[token] = [SPECIAL]
    spelled[tokenizer.check_ids([end])[0]] = [END]
    constraint = FormConstraint(form, spelled, inf if max_tokens is None else max_tokens)
    fewest = constraint.needed[id(constraint.start)] - 1
    if fewest == inf:
        raise ValueError("this vocabulary cannot spell any text of this form.")
    if fewest > constraint.max_tokens:
        raise ValueError(
            f"max_tokens={max_tokens} is too little: the shortest text of this form needs {fewest}."
        )
    return constraint
