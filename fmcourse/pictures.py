"""Pictures that ship: bytes of grey, or of red, green and blue, what each shows, and which split it is in.

N pictures   S side in pixels
"""

import json
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class Shown:
    """The pictures of one split: pixels (N, S, S, 3) or, grey, (N, S, S) uint8, kinds (N,), names if they have any."""

    pixels: Tensor = field(repr=False)
    kinds: Tensor = field(repr=False)
    names: tuple[str, ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.kinds)


@dataclass(frozen=True)
class Pictures:
    """A collection of pictures: those of each split, what the kinds are called, and the card.

    >>> from fmcourse.data import load
    >>> load("clipart").kinds
    ('animals', 'food', 'people')
    """

    name: str
    kinds: tuple[str, ...]
    train: Shown
    validation: Shown
    test: Shown
    card: str = field(repr=False)


def read_pictures(contents: bytes) -> tuple[tuple[str, ...], dict[str, Shown]]:
    """The kinds and the pictures of each split in an unpacked file: a line of JSON, then the bytes of all pictures."""
    head, _, body = contents.partition(b"\n")
    facts = json.loads(head)
    colours = [] if facts.get("channels") == 1 else [3]
    pixels = torch.frombuffer(bytearray(body), dtype=torch.uint8).view(-1, facts["side"], facts["side"], *colours)
    found = {}
    for split in ("train", "validation", "test"):
        rows = [row for row, (where, *_) in enumerate(facts["pictures"]) if where == split]
        kinds = torch.tensor([facts["pictures"][row][1] for row in rows])
        found[split] = Shown(pixels[rows], kinds, tuple(name for row in rows for name in facts["pictures"][row][2:]))
    return tuple(facts["kinds"]), found
