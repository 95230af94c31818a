"""Tries over bytes: of texts or tokens, and of the characters of UTF-8.

A node is a dict: for each byte that may come next, the node that it leads to.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

Node = dict[int, Any]

# In UTF-8 every byte of a character but the first lies in REST, and after these first bytes the
# second has a narrower range: no character is spelled longer than needed, none is a surrogate, and
# none lies behind U+10FFFF (The Unicode Standard, table 3-7).
REST = range(0x80, 0xC0)
NARROWER = {
    0xE0: range(0xA0, 0xC0),
    0xED: range(0x80, 0xA0),
    0xF0: range(0x90, 0xC0),
    0xF4: range(0x80, 0x90),
}
LENGTHS = {2: range(0xC2, 0xE0), 3: range(0xE0, 0xF0), 4: range(0xF0, 0xF5)}  # by the first byte


def make_trie(texts: Iterable[Sequence[int]]) -> tuple[Node, list[Node]]:
    """Nodes that texts share as far as they begin alike: the first, and that after each text.

    >>> make_trie([b"a", b"ab"])
    ({97: {98: {}}}, [{98: {}}, {}])
    """
    start, ends = {}, []
    for text in texts:
        node = start
        for byte in text:
            node = node.setdefault(byte, {})
        ends.append(node)
    return start, ends


def before_character(after: Node, lowest: str = "\0") -> Node:
    """The node before any one character from `lowest` (ASCII) on; its last byte leads to `after`.

    >>> after = {}
    >>> start = before_character(after)
    >>> first, second = "é".encode()
    >>> start[first][second] is after and second not in start
    True
    """
    start = dict.fromkeys(range(ord(lowest), 0x80), after)
    rest = after  # what a first byte leads to, if the second may be any of REST
    for firsts in LENGTHS.values():
        last, rest = rest, dict.fromkeys(REST, rest)
        start |= dict.fromkeys(firsts, rest)
        for first in NARROWER.keys() & set(firsts):
            start[first] = dict.fromkeys(NARROWER[first], last)
    return start


def successors_first(start: Node) -> Iterator[Node]:
    """All nodes that can be reached, each once and after all that it leads to; loops are cut.

    Without recursion: a form is deeper than Python's stack.
    """
    seen, path = {id(start)}, [(start, iter(start.values()))]
    while path:
        node, rest = path[-1]
        for further in rest:
            if id(further) not in seen:
                seen.add(id(further))
                path.append((further, iter(further.values())))
                break
        else:
            path.pop()
            yield node
