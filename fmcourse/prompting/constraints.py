"""Constrained decoding: a mask on the logits, so that only texts of the wanted form can be written.

    S states of a text being written   V vocabulary

A form is a table over bytes: from each state, the state that every next byte leads to. Bytes,
because a token may begin and end anywhere, even within a character. The allowed tokens are found by
following the bytes of all tokens through the table at once.

Masks from automata: Willard & Louf 2023. JSON: RFC 8259; UTF-8: The Unicode Standard, table 3-7.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from fmcourse.generation.sampling import Constraint

DEAD, START = 0, 1  # states: nothing leads on from the first; a text begins in the second
# Not infinity, because distances are integers; no text is so long.
UNREACHABLE = 10**6  # tokens to a complete text, where no tokens lead to one


class ByteTable:
    """For each state, the state that every next byte leads to; DEAD if that byte is not allowed."""

    def __init__(self) -> None:
        self.rows = [[DEAD] * 256, [DEAD] * 256]  # DEAD and START

    def new_state(self) -> int:
        self.rows.append([DEAD] * 256)
        return len(self.rows) - 1

    def connect(self, begins: set[int], allowed: Sequence[int], to: int | None = None) -> int:
        """Let each of these bytes lead from each state to `to`; a new state unless given."""
        to = self.new_state() if to is None else to
        for state in begins:
            for byte in allowed:
                # The automaton is deterministic: a byte leads from a state to one other.
                if self.rows[state][byte] not in (DEAD, to):
                    raise ValueError(
                        f"byte {bytes([byte])!r} could continue a choice, or follow it; "
                        "put the choices into quotes."
                    )
                self.rows[state][byte] = to
        return to


# Adds a form to a table: (table, states in which it begins) -> states in which it is complete.
Form = Callable[[ByteTable, set[int]], set[int]]


def one_of(texts: Sequence[str]) -> Form:
    """A choice among fixed texts. Raises: ValueError if there is none."""
    if isinstance(texts, str) or not texts:
        raise ValueError(
            f"one_of({texts!r}) leaves nothing to choose from; give a list of at least one text."
        )

    def build(table: ByteTable, begins: set[int]) -> set[int]:
        states = {b"": begins}  # after each beginning of a choice: choices share their beginnings
        for choice in (text.encode() for text in texts):
            for n, byte in enumerate(choice):
                if choice[: n + 1] not in states:
                    states[choice[: n + 1]] = {table.connect(states[choice[:n]], [byte])}
        # A choice may begin another, as `no` begins `none`: complete there, and open to more.
        return set().union(*(states[text.encode()] for text in texts))

    return build


def string(max_characters: int = 40) -> Form:
    """A JSON string of at most so many characters, in quotes."""

    def build(table: ByteTable, begins: set[int]) -> set[int]:
        inside, end = table.connect(begins, b'"'), table.new_state()
        # Each character gets states of its own, because a finite automaton cannot count.
        for _ in range(max_characters):
            table.connect({inside}, b'"', end)
            inside = add_json_character(table, inside)
        table.connect({inside}, b'"', end)  # at the limit, only the closing quote
        return {end}

    return build


# The characters beyond ASCII: their first byte, their second byte, and how many more follow.
UTF_8 = [
    (range(0xC2, 0xE0), range(0x80, 0xC0), 0),
    (range(0xE0, 0xE1), range(0xA0, 0xC0), 1),
    ([*range(0xE1, 0xED), 0xEE, 0xEF], range(0x80, 0xC0), 1),
    (range(0xED, 0xEE), range(0x80, 0xA0), 1),
    (range(0xF0, 0xF1), range(0x90, 0xC0), 2),
    (range(0xF1, 0xF4), range(0x80, 0xC0), 2),
    (range(0xF4, 0xF5), range(0x80, 0x90), 2),
]


def add_json_character(table: ByteTable, begin: int) -> int:
    r"""One character of a JSON string, UTF-8 or an escape like \n; returns the state after it."""
    ahead = [table.new_state() for _ in range(3)]  # 0, 1 and 2 bytes before the character's end
    # Not the quote and the backslash, nor the control characters below the space.
    table.connect({begin}, [byte for byte in range(0x20, 0x80) if byte not in b'"\\'], ahead[0])
    # Escapes of one character; RFC 8259's \uXXXX is left out.
    table.connect({table.connect({begin}, b"\\")}, b'"\\/bfnrt', ahead[0])
    for first, second, more in UTF_8:
        table.connect({table.connect({begin}, first)}, second, ahead[more])
    for n in (1, 2):
        table.connect({ahead[n]}, range(0x80, 0xC0), ahead[n - 1])
    return ahead[0]


def json_object(fields: Mapping[str, Form]) -> Form:
    """A JSON object with these fields in this order, spaced as `json.dumps` does.

    A field's value is a form: `string()`, `one_of(["true", "false"])`, another `json_object`.
    """

    def build(table: ByteTable, begins: set[int]) -> set[int]:
        before = "{"
        for name, value in fields.items():
            before += json.dumps(name, ensure_ascii=False) + ": "
            # The text between two values is a form as well, with a single choice.
            begins, before = value(table, one_of([before])(table, begins)), ", "
        # With fields, the opening brace stands before the first field's name.
        return one_of(["}" if fields else "{}"])(table, begins)

    return build


def grammar_constraint(
    tokenizer: Any, form: Form, end: int, max_tokens: int | None = None
) -> Constraint:
    """A constraint for `generate` and `generate_answers`: a text of this form, then token `end`.

    Args:
        form: `one_of([...])`, `json_object({...})` or `string()`.
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
    tokens = token_bytes(tokenizer)
    if not 0 <= end < len(tokens):
        raise ValueError(
            f"end={end} is not in this vocabulary, whose ids run from 0 to {len(tokens) - 1}."
        )
    constraint = FormConstraint(form, tokens, end, max_tokens)
    fewest = int(constraint.min_tokens[START])
    if fewest >= UNREACHABLE:
        raise ValueError("this vocabulary cannot spell any text of this form.")
    if max_tokens is not None and fewest > max_tokens:
        raise ValueError(
            f"max_tokens={max_tokens} is too little: the shortest text of this form needs {fewest}."
        )
    return constraint


class FormConstraint:
    """(ids added so far) -> (V,) bool, the tokens allowed next; `grammar_constraint` makes it."""

    def __init__(self, form: Form, tokens: list[bytes], end: int, max_tokens: int | None) -> None:
        table = ByteTable()
        self.complete, self.rows = form(table, {START}), table.rows
        self.table = torch.tensor(self.rows)  # (S, 256)
        self.tokens, self.end, self.max_tokens = tokens, end, max_tokens
        # Special tokens have no bytes, so a form cannot hold them; `end` is allowed separately.
        spelled = [n for n, token in enumerate(tokens) if token and n != end]
        spelled.sort(key=lambda n: -len(tokens[n]))
        self.longest_first = torch.tensor(spelled)
        # The first bytes of all tokens, the second bytes of those that have two, and so on.
        self.columns, rest = [], [tokens[n] for n in spelled]
        while rest := [token for token in rest if len(token) > len(self.columns)]:
            self.columns.append(torch.tensor([token[len(self.columns)] for token in rest]))
        self.min_tokens = self.count_min_tokens()
        # Cached, since it depends on the state alone; at most 512 states, V integers each.
        self.cached_next_states = lru_cache(maxsize=512)(self.next_states)

    def __call__(self, ids: Sequence[int]) -> Tensor:
        state = START  # found anew in each call, so that one constraint can serve many texts
        for n, token in enumerate(ids):
            if token == self.end and state in self.complete:
                return torch.arange(len(self.tokens)) == self.end  # after the end, only the end
            for byte in self.tokens[token]:
                state = self.rows[state][byte]
            if state == DEAD or not self.tokens[token]:
                raise ValueError(
                    f"token {token} at position {n} is not what the form allows there; pass what "
                    "was added under this constraint, without the prompt."
                )
        # Even with no limit, the strict comparison below rules out a distance of UNREACHABLE.
        budget = UNREACHABLE if self.max_tokens is None else self.max_tokens - len(ids)
        # A token is allowed if the text can be completed after it: the mask is never empty.
        mask = self.min_tokens[self.cached_next_states(state)] < budget
        mask[self.end] = state in self.complete
        return mask

    def next_states(self, state: int) -> Tensor:
        """The state to which each token leads from this one, (V,)."""
        states = torch.full_like(self.longest_first, state)
        for column in self.columns:  # the tokens that have a byte at this place are the first ones
            n = len(column)
            states[:n] = self.table[states[:n], column]  # from DEAD only DEAD is reached
        reached = torch.full((len(self.tokens),), DEAD)  # stays so for special tokens
        reached[self.longest_first] = states
        return reached

    def count_min_tokens(self) -> Tensor:
        """How many tokens the shortest completion needs from each state, (S,), or UNREACHABLE."""
        S = len(self.rows)
        leads_to = torch.zeros(S, S, dtype=torch.bool)  # by one token
        for state in range(S):
            leads_to[state, self.next_states(state)] = True
        distances = torch.full((S,), UNREACHABLE)
        distances[[*self.complete]] = n = 0
        while (distances == n).any():  # breadth first: the states n + 1 tokens away
            nearer = leads_to[:, distances == n].any(1)
            n += 1
            distances[nearer & (distances == UNREACHABLE)] = n
        return distances


def token_bytes(tokenizer: Any) -> list[bytes]:
    """What each token spells, b"" for special ones. Raises: ValueError if tokens are not bytes."""
    tokens = getattr(tokenizer, "tokens", ())
    if isinstance(tokens, str):  # a token for each character
        tokens = [character.encode() for character in tokens]
    if not tokens or not all(isinstance(token, bytes) for token in tokens):
        raise ValueError(
            f"the tokens of {type(tokenizer).__name__} are no plain bytes; take a BPETokenizer or "
            "a CharTokenizer."
        )
    special = {*getattr(tokenizer, "special_tokens", {}).values()}
    return [b"" if n in special else token for n, token in enumerate(tokens)]
