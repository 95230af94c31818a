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
        self.fixed_texts: list[bytes] = []  # see `count_min_tokens`

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
        choices = [text.encode() for text in texts]
        table.fixed_texts += choices
        states = {b"": begins}  # after each beginning of a choice: choices share their beginnings
        for choice in choices:
            for n, byte in enumerate(choice):
                if choice[: n + 1] not in states:
                    states[choice[: n + 1]] = {table.connect(states[choice[:n]], [byte])}
        # A choice may begin another, as `no` begins `none`: complete there, and open to more.
        return set().union(*(states[choice] for choice in choices))

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


def add_json_character(table: ByteTable, begin: int) -> int:
    r"""One character of a JSON string: an escape such as \n, or UTF-8 but quotes, backslashes and
    control characters. Returns the state after it."""
    end, last_byte, last_two = table.new_state(), table.new_state(), table.new_state()
    continuation = range(0x80, 0xC0)
    # One byte: ASCII from the space on. Below the space are control characters.
    table.connect({begin}, [byte for byte in range(0x20, 0x80) if byte not in b'"\\'], end)
    # Escapes of one character; RFC 8259's \uXXXX is left out.
    table.connect({table.connect({begin}, b"\\")}, b'"\\/bfnrt', end)
    table.connect({last_byte}, continuation, end)
    table.connect({last_two}, continuation, last_byte)
    # Two bytes; C0 and C1 are left out, because they begin nothing but overlong forms.
    table.connect({begin}, range(0xC2, 0xE0), last_byte)
    table.connect({begin}, [*range(0xE1, 0xED), 0xEE, 0xEF], last_two)  # three bytes
    table.connect({table.connect({begin}, range(0xF1, 0xF4))}, continuation, last_two)  # four
    # After these, UTF-8 restricts the second byte: no overlong forms, surrogates, or U+110000 on.
    table.connect({table.connect({begin}, b"\xe0")}, range(0xA0, 0xC0), last_byte)
    table.connect({table.connect({begin}, b"\xed")}, range(0x80, 0xA0), last_byte)
    table.connect({table.connect({begin}, b"\xf0")}, range(0x90, 0xC0), last_two)
    table.connect({table.connect({begin}, b"\xf4")}, range(0x80, 0x90), last_two)
    return end


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
            f"max_tokens={max_tokens} is too little: the shortest text of this form may need "
            f"{fewest}."
        )
    return constraint


class FormConstraint:
    """(ids added so far) -> (V,) bool, the tokens allowed next; `grammar_constraint` makes it."""

    def __init__(self, form: Form, tokens: list[bytes], end: int, max_tokens: int | None) -> None:
        table = ByteTable()
        self.complete, self.rows = form(table, {START}), table.rows
        self.tokens, self.end, self.max_tokens = tokens, end, max_tokens
        self.table = torch.tensor(self.rows)  # (S, 256)
        # Special tokens have no bytes, so a form cannot hold them; `end` is allowed separately.
        spelled = [n for n, token in enumerate(tokens) if token and n != end]
        longest_first = sorted(spelled, key=lambda n: -len(tokens[n]))
        # (N,) ids, the longest tokens first, as `byte_columns` and `follow` need them.
        self.order = torch.tensor(longest_first)
        self.columns = byte_columns([tokens[n] for n in longest_first])
        self.min_tokens = self.count_min_tokens(
            [tokens[n] for n in longest_first], table.fixed_texts
        )
        # Cached, since they depend on the state alone; at most 512 states, V integers each.
        self.distances = lru_cache(maxsize=512)(self.distances_after)

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
        # That is 1 + distance <= budget; a new tensor, so the cached distances stay as they are.
        mask = self.distances(state) < budget
        mask[self.end] = state in self.complete
        return mask

    def distances_after(self, state: int) -> Tensor:
        """How many more tokens suffice after each next token, (V,)."""
        states = torch.full((len(self.order),), state)  # (N,): all tokens start from one state
        distances = torch.full((len(self.tokens),), UNREACHABLE)  # stays so for special tokens
        distances[self.order] = self.min_tokens[self.follow(states, self.columns)]
        return distances

    def follow(self, states: Tensor, columns: list[Tensor]) -> Tensor:
        """The states (..., N) to which N tokens lead from `states` (..., N); see `byte_columns`."""
        states = states.clone()  # written in place below, which an expanded view forbids
        for column in columns:  # the tokens that have a byte at this place are the first of them
            n = len(column)
            states[..., :n] = self.table[states[..., :n], column]  # from DEAD only DEAD is reached
        return states

    def count_min_tokens(self, tokens: list[bytes], fixed_texts: list[bytes]) -> Tensor:
        """How many tokens suffice from each state to a complete text, (S,), or UNREACHABLE.

        Tried are tokens of one byte, tokens with a byte that is no such token, and pieces of fixed
        text: whatever can be spelled can be spelled by the first two, by the third it is shorter.
        """
        single = {token for token in tokens if len(token) == 1}
        # Not all V tokens: `reached` holds a state for each pair of a state and a token tried.
        tried = [
            token
            for token in tokens
            if token in single
            or any(token[i : i + 1] not in single for i in range(len(token)))
            or any(token in text for text in fixed_texts)
        ]
        S = len(self.rows)
        # A view: each state with each token tried.
        states = torch.arange(S)[:, None].expand(S, len(tried))
        reached = self.follow(states, byte_columns(tried))  # (S, tried)
        distances = torch.full((S,), UNREACHABLE)
        distances[[*self.complete]] = 0
        while True:  # Bellman-Ford: paths of one token, of two, and so on
            shorter = torch.minimum(distances, distances[reached].amin(1) + 1)  # (S,)
            if torch.equal(shorter, distances):
                return distances
            distances = shorter


def byte_columns(tokens: Sequence[bytes]) -> list[Tensor]:
    """The first bytes of all tokens, the second bytes, and so on; the longest tokens come first.

    >>> byte_columns([b"abc", b"de"])
    [tensor([ 97, 100]), tensor([ 98, 101]), tensor([99])]
    """
    columns: list[Tensor] = []
    while tokens := [token for token in tokens if len(token) > len(columns)]:
        columns.append(torch.tensor([token[len(columns)] for token in tokens]))
    return columns


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
