"""Constrained decoding: a mask on the logits, so that only texts of the wanted form can be written.

A form is an automaton over bytes, because a token may begin and end anywhere, even in a character.
All tokens are followed through it: Willard & Louf 2023. JSON: RFC 8259.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from math import inf
from typing import Any

import torch
from torch import Tensor

from fmcourse.prompting.token_paths import TokenPaths
from fmcourse.tokenizers.byte_trie import Node, before_character, make_trie

State = Node  # for each byte that is allowed next, the state that it leads to
Form = Callable[[State], State]  # the state after the form -> the state before it

END, SPECIAL = 256, 257  # no bytes: the end token, other special ones
QUOTE, BACKSLASH = b'"\\'


def one_of(texts: Sequence[str]) -> Form:
    """A choice among fixed texts. Raises: ValueError if there is none."""
    if isinstance(texts, str) or not texts:
        raise ValueError(f"one_of({texts!r}) leaves nothing to choose from; give a list of texts.")

    def build(after: State) -> State:
        start, ends = make_trie({text.encode() for text in texts})
        for state in ends:  # not always a leaf: after `no`, `none` goes on
            refuse_both(state.keys() & after.keys(), "a choice", "put the choices into quotes")
            state.update(after)
        return start

    return build


def refuse_both(clash: Collection[int], what: str, remedy: str) -> None:
    """Raises: ValueError if there is a byte that could both continue a form and follow it."""
    if found := bytes(sorted(byte for byte in clash if byte < END)):
        raise ValueError(f"byte {found!r} could continue {what}, or follow it; {remedy}.")


def string(max_characters: int | None = 40) -> Form:
    """A JSON string of at most so many characters, in quotes; None: of any length."""

    def build(after: State) -> State:
        def one_more(rest: State) -> State:
            escape = dict.fromkeys(b'"\\/bfnrt', rest)
            # Control characters, such as line breaks, must be escaped: all below a space.
            return before_character(rest, lowest=" ") | {QUOTE: after, BACKSLASH: escape}

        inside = {QUOTE: after}  # at the limit, only the closing quote
        # Each character has states of its own: an automaton cannot count.
        for _ in range(max_characters or 0):
            inside = one_more(inside)
        if max_characters is None:  # one state that leads back to itself
            inside.update(one_more(inside))
        return {QUOTE: inside}

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
        ended: State = {}
        ended[END] = ended  # after the end, only the end
        self.start = form({END: ended})
        self.paths = TokenPaths(self.start, spelled, SPECIAL + 1)
        # Tokens that a state needs at least, the end token among them.
        self.needed = self.paths.fewest_tokens(ended)
        self.after_each: dict[int, Tensor] = {}  # of the states that were asked for, (V,) each

    def needed_after(self, state: State) -> Tensor:
        """How many tokens are needed after each one that may come now, (V,); else inf."""
        n = self.paths.numbers[id(state)]
        if n not in self.after_each:
            tokens, after = self.paths.follow(n)
            self.after_each[n] = torch.full((len(self.spelled),), inf)
            self.after_each[n][tokens] = self.needed[after]
        return self.after_each[n]

    def __call__(self, ids: Sequence[int]) -> Tensor:
        state = self.start  # found anew in each call, so that one constraint can serve many texts
        for n, token in enumerate(ids):
            for byte in self.spelled[token]:
                if byte not in state:
                    where = f"token {token} at position {n} is not what the form allows there"
                    raise ValueError(f"{where}; pass what was added alone, without the prompt.")
                state = state[byte]
        # A token is allowed if the text can be completed after it: the mask is never empty.
        return self.needed_after(state) < max(1, self.max_tokens + 1 - len(ids))


def grammar_constraint(
    tokenizer: Any, form: Form, end: int, max_tokens: float = inf
) -> FormConstraint:
    """A constraint for `generate` and `generate_answers`: a text of this form, then token `end`.

    `end` is SmolLM2's <|im_end|>, for example; what it spells belongs in `stop`. The text is
    complete within `max_tokens`, mostly max_new_tokens.

    Raises: ValueError if the vocabulary spells no text of the form, or not within `max_tokens`.
    """
    spelled = [tokenizer.token_bytes(token) or [SPECIAL] for token in range(tokenizer.vocab_size)]
    for token in getattr(tokenizer, "special_tokens", {}).values():
        spelled[token] = [SPECIAL]
    spelled[tokenizer.check_ids([end])[0]] = [END]
    constraint = FormConstraint(form, spelled, max_tokens)
    fewest = constraint.needed[constraint.paths.numbers[id(constraint.start)]].item() - 1
    if fewest == inf:
        raise ValueError("this vocabulary cannot spell any text of this form.")
    if fewest > max_tokens:
        problem = f"max_tokens={max_tokens} is too little"
        raise ValueError(f"{problem}: the shortest text of this form needs {fewest:g}.")
    return constraint
