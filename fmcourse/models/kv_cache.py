"""A KV cache: keys and values of the tokens read so far, so that a new token costs one position.

    B batch   T new tokens   S cached tokens, new ones included   G key/value heads   K head width

A cache holds keys and values alone. Its `layout` says which position each token has and which other
tokens it may attend to; without a layout the cached tokens are one text from left to right.
"""

from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor


class Layout(Protocol):
    """Where cached tokens stand in their texts, and which of them belong to the same text."""

    def positions(self, length: int, T: int) -> Tensor:
        """Positions of the next T tokens after `length` cached ones: (T,) or (B, T)."""
        ...

    def mask(self, length: int, T: int) -> Tensor | None:
        """Which of `length` tokens the last T may attend to: bool, (T, length) or (B, T, length).

        It narrows the model's own causal mask, so it need not hide later tokens. None: all.
        """
        ...


class LeftPadding:
    """Texts of different lengths in one batch: the shorter ones are padded on the left.

    Args:
        padding: (B,) int, how many padding positions stand before each row's text.
        start: how many tokens, the same for all rows, stand before the padding: a shared prefix.
    """

    def __init__(self, padding: Tensor, start: int = 0) -> None:
        self.padding, self.start = padding, start

    def positions(self, length: int, T: int) -> Tensor:
        """(B, T): each text's first token has position `start`, and so have the pads before it."""
        index = torch.arange(length, length + T, device=self.padding.device)  # in the padded row
        return (index - self.padding[:, None]).clamp(min=self.start)

    def mask(self, length: int, T: int) -> Tensor:
        """(B, T, S) bool that hides the padding."""
        index = torch.arange(length, device=self.padding.device)
        is_text = (index < self.start) | (index >= self.start + self.padding[:, None])  # (B, S)
        # A pad attends to itself: a softmax over no position at all would be 0/0.
        return is_text[:, None, :] | (index == index[-T:, None])


class KVCache:
    """Keys and values of the tokens read so far, for every layer.

    A cache is a value: `Transformer.extend` takes one and returns a longer one, and the old one
    stays valid, so that many continuations can share a prefix. Their common `store` is written in
    place; it is copied only when it is full or another continuation has been written there.

    Args:
        store: (depth, 2, B, G, capacity, K).
        length: how many positions of the store this cache uses.
        layout: positions and mask of the cached tokens; None for one text from left to right.
        written: how far the store is filled: a list of one int that all caches on it share.
    """

    def __init__(
        self,
        store: Tensor,
        length: int = 0,
        layout: Layout | None = None,
        written: list[int] | None = None,
    ) -> None:
        self.store, self.length, self.layout = store, length, layout
        self._written = [length] if written is None else written  # a list, so that all see a change

    def with_layout(self, layout: Layout | None) -> "KVCache":
        """The same keys and values (the same store, no copy) under another layout."""
        return KVCache(self.store, self.length, layout, self._written)

    def reserve(self, T: int) -> "KVCache":
        """A cache whose last T positions are still to be written by `append`."""
        length, store, written = self.length + T, self.store, self._written
        # Written further than this cache reads: those places hold another continuation's tokens.
        if length > store.shape[4] or written[0] != self.length:
            # Doubling keeps the copying of a growing text linear in its length.
            capacity = max(length, 2 * self.length)
            # Empty is enough: a position is written by `append` before it is read.
            store = store.new_empty(*store.shape[:4], capacity, store.shape[5])
            store[..., : self.length, :] = self.store[..., : self.length, :]
            written = [self.length]
        written[0] = length
        return KVCache(store, length, self.layout, written)

    def append(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Write the newest keys and values of one layer, (B, G, T, K) each.

        Returns: all keys and all values of that layer, (B, G, S, K) each.
        """
        T, (keys, values) = k.shape[2], self.layers[layer]
        # `reserve` has counted the T new positions already: they are the last.
        keys.narrow(2, self.length - T, T).copy_(k)
        values.narrow(2, self.length - T, T).copy_(v)
        return keys, values

    @cached_property
    def layers(self) -> list[tuple[Tensor, Tensor]]:
        """Keys and values of each layer, (B, G, S, K): views of the store, made once per token."""
        store = self.store.view(-1, *self.store.shape[2:])  # (2 depth, B, G, capacity, K)
        used = store[..., : self.length, :]  # a view: what is reserved beyond it is not attended to
        if torch.is_grad_enabled():
            # Autograd forbids writing into the views that `unbind` returns.
            views = [used[n] for n in range(len(used))]
        else:
            views = list(used.unbind(0))
        return list(zip(views[::2], views[1::2], strict=True))  # even: keys, odd: values

    def positions(self, T: int) -> Tensor:
        """Positions of the next T tokens in their own text: (T,), or (B, T) if rows differ."""
        if self.layout is None:
            return torch.arange(self.length, self.length + T, device=self.store.device)
        return self.layout.positions(self.length, T)

    def mask(self, T: int) -> Tensor | None:
        """Which cached tokens the last T may attend to: bool (T, S) or (B, T, S); None: all."""
        return None if self.layout is None else self.layout.mask(self.length, T)
