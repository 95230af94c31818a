"""Grammars: say what a text may be, and no other can be written. In bytes, and so for every tokenizer that spells bytes.

A grammar adds states and arrows to an `Automaton`. The automaton is walked in sets of states, one byte at a time, and a tree of the vocabulary
tells where each token leads. A token is allowed only if the end can still be reached from there.

Automata of expressions: Thompson 1968; sets of states: Rabin & Scott 1959; as a mask on tokens: Willard & Louf 2023.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache, reduce
from itertools import count
from typing import Any

import torch
from torch import Tensor

from fmcourse.generation import Constraint
from fmcourse.tokenizers.base import MemoDict

UNREACHABLE = 2**15 - 1  # tokens to the end, where there is no way
MAX_STATES = 10_000  # sets of states, each with 256 ways on


class Automaton:
    """States, and arrows between them: taken by one of some bytes, or free. The state made last is the end."""

    def __init__(self) -> None:
        self.arrows: list[list[tuple[Sequence[int], int]]] = []
        self.free: list[list[int]] = []

    def new(self) -> int:
        self.arrows.append([])
        self.free.append([])
        return len(self.free) - 1

    def step(self, at: int, some: Sequence[int], to: int | None = None) -> int:
        """An arrow for any of these bytes; returns where it leads, a new state if nothing else is said."""
        to = self.new() if to is None else to
        self.arrows[at].append((some, to))
        return to

    def free_closure(self, at: int) -> frozenset[int]:
        """The states that are there without a byte, less those with nothing after them."""
        seen, todo = {at}, [at]
        for one in todo:
            todo += set(self.free[one]) - seen
            seen |= set(self.free[one])
        return frozenset(q for q in seen if self.arrows[q] or q == len(self.free) - 1)


Grammar = Callable[
    [Automaton, int], int
]  # (automaton, where it begins) -> where it ends; no arrow leads back into its beginning
Part = str | Grammar  # a text stands for itself


# -- what grammars are made of --------------------------------------------------------------------------------------------


def literal(said: str) -> Grammar:
    """Exactly this."""
    return lambda automaton, at: reduce(
        lambda at, byte: automaton.step(at, (byte,)), said.encode(), at
    )


def as_grammar(part: Part) -> Grammar:
    return literal(part) if isinstance(part, str) else part


def sequence(*parts: Part) -> Grammar:
    """One after another."""
    return lambda automaton, at: reduce(lambda at, part: as_grammar(part)(automaton, at), parts, at)


def one_of(parts: Sequence[Part]) -> Grammar:
    """Any of them. Raises: ValueError if there is none."""
    if isinstance(parts, str) or not parts:
        raise ValueError(
            f"one_of({parts!r}) leaves nothing to choose from; give a list with at least one part."
        )

    def build(automaton: Automaton, at: int) -> int:
        ends, end = [as_grammar(part)(automaton, at) for part in parts], automaton.new()
        for one in ends:
            automaton.free[one].append(end)
        return end

    return build


def optional(part: Part) -> Grammar:
    """Once or not at all."""
    return one_of([part, ""])


def repeat(part: Part, least: int = 0, most: int | None = None) -> Grammar:
    """From `least` to `most` times; None is without end. Raises: ValueError if no number is."""
    if least < 0 or (most is not None and most < least):
        raise ValueError(
            f"least={least} and most={most}: no number lies between them; take 0 <= least <= most."
        )

    def build(automaton: Automaton, at: int) -> int:
        at, end = sequence(*[part] * least)(automaton, at), automaton.new()
        if most is None:
            automaton.free[as_grammar(part)(automaton, end)].append(end)
        for _ in range((most or 0) - least):
            automaton.free[at].append(end)
            at = as_grammar(part)(automaton, at)
        automaton.free[at].append(end)
        return end

    return build


def characters(allowed: str) -> Grammar:
    """One of these characters; "a-z" is a range, a "-" of its own stands first or last. Raises: ValueError for an empty choice."""
    chosen, rest = set(), allowed
    while rest:
        width = 3 if rest[1:2] == "-" and len(rest) > 2 else 1
        first, last, rest = rest[0], rest[width - 1], rest[width:]
        if last < first:
            raise ValueError(f"the range {first}-{last} runs backwards; write {last}-{first}.")
        chosen |= {chr(point).encode() for point in range(ord(first), ord(last) + 1)}
    if not chosen:
        raise ValueError(
            "characters('') allows none at all; name at least one, or a range such as 'a-z'."
        )

    def build(automaton: Automaton, at: int) -> int:
        end = automaton.new()
        for stem in {one[:-1] for one in chosen}:
            before = reduce(lambda at, byte: automaton.step(at, (byte,)), stem, at)
            automaton.step(before, [one[-1] for one in chosen if one[:-1] == stem], end)
        return end

    return build


def integer(digits: int = 9) -> Grammar:
    """A whole number of at most so many digits, without zeros in front."""
    return sequence(
        optional("-"),
        one_of(["0", sequence(characters("1-9"), repeat(characters("0-9"), 0, digits - 1))]),
    )


def json_character(automaton: Automaton, at: int) -> int:
    r"""What stands in a JSON string: UTF-8 without quote, backslash and control characters, or an escape such as \n.

    Sources: RFC 8259, section 7; well-formed UTF-8: The Unicode Standard, table 3-7.
    """
    more, end, last, two = range(0x80, 0xC0), automaton.new(), automaton.new(), automaton.new()
    automaton.step(last, more, end)
    automaton.step(two, more, last)
    automaton.step(at, [byte for byte in range(0x20, 0x80) if byte not in b'"\\'], end)
    automaton.step(automaton.step(at, b"\\"), b'"\\/bfnrt', end)
    automaton.step(at, range(0xC2, 0xE0), last)
    automaton.step(at, [*range(0xE1, 0xED), 0xEE, 0xEF], two)
    automaton.step(automaton.step(at, range(0xF1, 0xF4)), more, two)
    for byte, low, high, then in (
        (0xE0, 0xA0, 0xC0, last),
        (0xED, 0x80, 0xA0, last),
        (0xF0, 0x90, 0xC0, two),
        (0xF4, 0x80, 0x90, two),
    ):
        automaton.step(automaton.step(at, (byte,)), range(low, high), then)
    return end


def string(most: int = 40) -> Grammar:
    """A JSON string of at most so many characters, in quotes."""
    return sequence('"', repeat(json_character, 0, most), '"')


def json_object(fields: Mapping[str, Part]) -> Grammar:
    """A JSON object with these fields in this order, spaced as `json.dumps` does."""
    inside: list[Part] = []
    for name, value in fields.items():
        inside += [", " if inside else "", json.dumps(name, ensure_ascii=False) + ": ", value]
    return sequence("{", *inside, "}")


# -- what a vocabulary makes of them --------------------------------------------------------------------------------------


class TokenTrie:
    """A vocabulary as a tree of bytes, level by level: each node's parent and byte. `node` (V,) is where each token ends."""

    def __init__(self, tokens: Sequence[bytes], special: Iterable[int]) -> None:
        hidden = {*special}
        self.tokens = [b"" if i in hidden else token for i, token in enumerate(tokens)]
        nodes, longer, self.levels = {b"": 0}, set(self.tokens), []
        for depth in count(1):
            longer = {token for token in longer if len(token) >= depth}
            if not longer:
                break
            fresh = sorted({token[:depth] for token in longer})
            self.levels.append(
                (torch.tensor([nodes[b[:-1]] for b in fresh]), torch.tensor([b[-1] for b in fresh]))
            )
            nodes.update(zip(fresh, count(len(nodes)), strict=False))
        self.size = len(nodes)
        self.node = torch.tensor(
            [nodes[b] if b else self.size for b in self.tokens]
        )  # one node more, for special ones


@lru_cache(maxsize=2)
def token_trie(tokenizer: Any) -> TokenTrie:
    """Raises: ValueError for a tokenizer whose tokens do not spell bytes one after another."""
    tokens = getattr(tokenizer, "tokens", ())
    tokens = [character.encode() for character in tokens] if isinstance(tokens, str) else tokens
    if not tokens or not all(isinstance(token, bytes) for token in tokens):
        raise ValueError(
            f"the tokens of {type(tokenizer).__name__} are no plain bytes; take a BPETokenizer or a CharTokenizer."
        )
    return TokenTrie(tokens, getattr(tokenizer, "special_tokens", {}).values())


def determinize(grammar: Part) -> tuple[list[list[int]], list[bool]]:
    """For each set of states that bytes can lead to, the set to which each byte leads; and is a text complete there?

    Set 0 is empty, and nothing leads on from it; set 1 is the beginning.
    """
    automaton = Automaton()
    last = as_grammar(grammar)(automaton, automaton.new())
    automaton.free[last].append(end := automaton.new())
    reach = [automaton.free_closure(q) for q in range(end + 1)]
    sets, numbers, table = {frozenset(): 0, reach[0]: 1}, {(): 0}, []
    order = list(sets)
    for members in order:
        if len(order) > MAX_STATES:
            raise ValueError(
                f"this grammar needs more than {MAX_STATES:,} sets of states; repeat its parts less often."
            )
        led: list[list[int]] = [[] for _ in range(256)]
        for some, to in (arrow for q in members for arrow in automaton.arrows[q]):
            for byte in some:
                led[byte].append(to)
        for targets in set(map(tuple, led)) - numbers.keys():
            fresh = frozenset().union(*(reach[to] for to in targets))
            if fresh not in sets:
                sets[fresh] = len(order)
                order.append(fresh)
            numbers[targets] = sets[fresh]
        table.append([numbers[tuple(targets)] for targets in led])
    return table, [end in members for members in order]


class GrammarConstraint:
    """A constraint: (ids added so far) -> (V,) bool. To take a step is to look up its bytes; masks that were made are kept.

    `min_tokens` (sets,) is how many tokens surely suffice from each set to the end.
    """

    def __init__(self, grammar: Part, trie: TokenTrie, end: int, max_tokens: int | None) -> None:
        self.rows, self.complete = determinize(grammar)
        self.table, self.trie, self.end, self.max_tokens = (
            torch.tensor(self.rows),
            trie,
            end,
            max_tokens,
        )
        self.min_tokens = self.count_min_tokens()
        self.costs = MemoDict(lambda one: self.min_tokens[self.next_states(one)], max_size=1 << 9)

    def __call__(self, ids: Sequence[int]) -> Tensor:
        at = 1
        for place, token in enumerate(ids):
            if token == self.end and self.complete[at]:
                return torch.arange(len(self.trie.tokens)) == self.end  # and so for ever
            spelt = self.trie.tokens[token]
            at = reduce(lambda at, byte: self.rows[at][byte], spelt, at if spelt else 0)
            if not at:
                raise ValueError(
                    f"token {token} at position {place} is not what the grammar allows there; pass what was added "
                    "under this constraint, without the prompt."
                )
        mask = self.costs[at] < (
            UNREACHABLE if self.max_tokens is None else min(UNREACHABLE, self.max_tokens - len(ids))
        )
        mask[self.end] = self.complete[at]
        return mask

    def next_states(self, one: int) -> Tensor:
        """The set to which each token leads from this one, (V,)."""
        at, done = torch.zeros(self.trie.size + 1, dtype=torch.long), 1
        at[0] = one
        for parents, byte in self.trie.levels:
            before = at[parents]
            if not before.any():
                break
            at[done : done + len(parents)] = self.table[before, byte]
            done += len(parents)
        leads = at[self.trie.node]
        leads[self.end] = 0
        return leads

    def count_min_tokens(self) -> Tensor:
        """Tokens of one byte are asked first. Then the whole vocabulary, where these are stuck, and where one byte alone may come:
        a single token may do for a long piece of fixed text."""
        single = sorted(
            {
                token[0]
                for i, token in enumerate(self.trie.tokens)
                if len(token) == 1 and i != self.end
            }
        )
        alike = self.table[:, single].unique(
            dim=1
        )  # bytes that lead to the same sets everywhere are asked once
        ways = self.shortest_distances(alike, {})
        again = (ways == UNREACHABLE) | ((self.table > 0).sum(1) == 1)
        return self.shortest_distances(
            alike,
            {one: self.next_states(one).unique() for one in again.nonzero().flatten().tolist()[1:]},
        )

    def shortest_distances(self, alike: Tensor, more: Mapping[int, Tensor]) -> Tensor:
        """Steps to the end by any of these, (sets,) int16."""
        ways = torch.tensor(
            [0 if complete else UNREACHABLE for complete in self.complete], dtype=torch.int16
        )
        while True:
            nearest = torch.cat([ways[alike], ways[:, None]], 1).amin(1)
            for one, to in more.items():
                nearest[one] = torch.minimum(nearest[one], ways[to].amin())
            before, ways = ways, torch.minimum(ways, nearest.clamp(max=UNREACHABLE - 1) + 1)
            if torch.equal(before, ways):
                return ways


def grammar_constraint(
    tokenizer: Any, grammar: Part, end: int, max_tokens: int | None = None
) -> Constraint:
    """For `generate(..., constraint=)` and `generate_answers`: a text of the grammar and nothing else, then `end`.

    Args:
        end: the token that says that the text is whole, SmolLM2's <|im_end|> for example. Name what it spells in `stop`.
        max_tokens: be complete after so many tokens, mostly max_new_tokens: near the limit, only what leads to the end is allowed.
    Raises: ValueError if the tokens spell no text of the grammar, saying where they fail, or surely none within `max_tokens`.

    >>> from fmcourse.tokenizers import CharTokenizer
    >>> tokenizer = CharTokenizer.train("yes or no.")
    >>> [tokenizer.tokens[i] for i in grammar_constraint(tokenizer, one_of(["no", "yes"]), end=0)([]).nonzero()]
    ['n', 'y']
    """
    trie = token_trie(tokenizer)
    if not 0 <= end < len(trie.tokens):
        raise ValueError(
            f"end={end} is not in this vocabulary, whose ids run from 0 to {len(trie.tokens) - 1}."
        )
    rule = GrammarConstraint(grammar, trie, end, max_tokens)
    fewest = int(rule.min_tokens[1])
    if fewest == UNREACHABLE:
        raise ValueError(explain_dead_end(rule))
    if max_tokens is not None and fewest > max_tokens:
        raise ValueError(
            f"max_tokens={max_tokens} is too little: the shortest text of this grammar may need {fewest}."
        )
    return rule


def explain_dead_end(rule: GrammarConstraint) -> str:
    """The text that leads furthest in, and what would have to come next."""
    texts, todo, dead = {1: b""}, [1], []
    for one in todo:
        leads = rule.next_states(one)
        fresh = sorted(set(leads.tolist()) - {0, *texts})
        texts |= {
            new: texts[one] + rule.trie.tokens[int((leads == new).nonzero()[0])] for new in fresh
        }
        todo += fresh
        dead += [] if leads.any() else [one]
    missing = lambda one: bytes(
        byte for byte, to in enumerate(rule.rows[one]) if to not in (0, *texts)
    )
    last = (dead or [one for one in todo if missing(one)])[-1]
    return (
        f"this vocabulary cannot spell the grammar: after {texts[last].decode(errors='replace')!r} comes one of the bytes "
        f"{missing(last)!r}, and no token leads on from there."
    )
