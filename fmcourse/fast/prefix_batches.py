"""Many texts behind one shared prefix, packed into a single row: nothing is padded or read twice.

    N new tokens of all texts together   S cached tokens, new ones included   D width   V vocabulary

A batch of rows pads every text to the longest and copies the prefix's keys and values to each row.
Here the texts stand one after another in one row. A cache layout gives every token its position in
its own text, and a mask hides the texts from each other. The clear version, with one row for each
text, is `read_batch` in fmcourse/generation/decoding.py.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

PREFIX = -1  # the number of the text that all others attend to
MAX_PACKED_TOKENS = 512  # more would cost attention between texts that are hidden from each other

Ids = list[int]


class PackedToken(NamedTuple):
    """A token and where it stands: its position, its text, and its branch (0 is the stem)."""

    token: int
    position: int
    text: int
    branch: int


class PackedTexts:
    """A cache layout: one shared prefix, then tokens of many texts, in any order.

    A text may branch: a token attends to the prefix, to its text's stem and to its own branch.

    Args:
        rows: (3, S) int: position, text and branch of each token, those to be read next included.
    """

    def __init__(self, rows: Tensor) -> None:
        self.rows = rows

    @classmethod
    def of_prefix(cls, length: int, device: torch.device) -> "PackedTexts":
        """The layout of a prefix of that length."""
        position = torch.arange(length, device=device)
        text, branch = torch.full_like(position, PREFIX), torch.zeros_like(position)  # (S,) each
        return cls(torch.stack([position, text, branch]))

    def followed_by(self, tokens: Sequence[PackedToken]) -> "PackedTexts":
        """The layout after these tokens too."""
        new = torch.tensor([token[1:] for token in tokens], device=self.rows.device)  # (N, 3)
        return PackedTexts(torch.cat([self.rows, new.T], 1))

    def positions(self, length: int, T: int) -> Tensor:
        """Positions of the next T tokens in their own texts, (T,)."""
        return self.rows[0, length : length + T]

    def mask(self, length: int, T: int) -> Tensor:
        """(T, S) bool, True within one text; the model's causal mask hides the later tokens."""
        # Rows of the S cached tokens; the last T of them are the queries.
        _, text, branch = self.rows[:, :length]
        same_text = text == text[-T:, None]  # (T, S)
        # All branches of a text see its stem, and none sees another.
        same_branch = (branch == 0) | (branch == branch[-T:, None])
        return (text == PREFIX) | (same_text & same_branch)


def pack(ids: Ids, position: int, text: int, branch: int = 0) -> list[PackedToken]:
    """The tokens of a text, or of a part of it, from this position on."""
    return [PackedToken(token, position + n, text, branch) for n, token in enumerate(ids)]


def read_packed(model: nn.Module, cache: Any, tokens: Sequence[PackedToken]) -> tuple[Tensor, Any]:
    """Read the tokens after those in the cache.

    Args:
        model: a causal Transformer, with `embed` and `stack`.
        cache: a KV cache of one row, whose layout is a `PackedTexts`.
    Returns: the new tokens' states before the head, (N, D), and the longer cache.
    """
    # Before reading, because `extend` asks the layout where the new tokens stand.
    cache = cache.with_layout(cache.layout.followed_by(tokens))
    ids = torch.tensor([[token.token for token in tokens]], device=cache.store.device)
    states, cache = model.stack.extend(model.embed(ids, cache.positions(len(tokens))), cache)
    return states[0], cache  # the batch has a single row: (N, D)


def with_packed_layout(prefix: Any) -> Any:
    """The cache of a shared prefix, ready for `read_packed`."""
    return prefix.with_layout(PackedTexts.of_prefix(prefix.length, prefix.store.device))


def pack_batches(lengths: Sequence[int], batch: int) -> Iterator[slice]:
    """Neighbours that are read together: at most `batch` texts and MAX_PACKED_TOKENS tokens.

    A text that alone has more tokens is read alone.
    """
    begin = 0
    while begin < len(lengths):
        # Totals only grow, so those within the limit are the first ones: their number is the size.
        totals = accumulate(lengths[begin : begin + batch])
        size = max(1, sum(total <= MAX_PACKED_TOKENS for total in totals))
        yield slice(begin, begin + size)
        begin += size


def score_packed(
    model: nn.Module, prefix: Any, texts: Sequence[Ids], labels: Sequence[Ids]
) -> Tensor:
    """log p of each label after each text, (texts, labels), from a single pass.

    Every label is a branch of its text. Its last token is predicted but never read, so a label of
    one token adds nothing to what is read.
    """
    tokens: list[PackedToken] = []
    asked = []  # (index of a state, token whose log p it gives, cell of the result)
    for row, text in enumerate(texts):
        tokens += pack(text, prefix.length, row)
        end_of_text = len(tokens) - 1  # the state there predicts the first token of every label
        for column, label in enumerate(labels):
            # Places of the label's own tokens but the last; each predicts the token after it.
            branch = range(len(tokens), len(tokens) + len(label) - 1)
            asked += [
                (index, token, row * len(labels) + column)
                for index, token in zip([end_of_text, *branch], label, strict=True)
            ]
            # Branch 0 is the stem: labels count from 1. All begin at the position after the text.
            tokens += pack(label[:-1], prefix.length + len(text), row, column + 1)
    states, _ = read_packed(model, with_packed_layout(prefix), tokens)
    index, token, cell = torch.tensor(asked, device=states.device).T
    needed, where = index.unique(return_inverse=True)  # the head is computed once for each state
    # In 32 bits: half precision is too coarse for sums over a whole vocabulary.
    log_p = model.head(states[needed]).float().log_softmax(-1)[where, token]
    # log p of a label is the sum over its tokens.
    scores = log_p.new_zeros(len(texts) * len(labels)).index_add(0, cell, log_p)
    return scores.view(len(texts), len(labels))


class PackedBatch:
    """Next-token logits of several texts in one packed row; a finished text costs nothing more.

    Args:
        model: a causal Transformer. The texts and what is added must fit its context.
        prefix: the cache of the shared prefix, of one row.
        texts: ids of each text.
    """

    def __init__(self, model: nn.Module, prefix: Any, texts: Sequence[Ids]) -> None:
        self.model, self.texts, self.start = model, texts, prefix.length
        self.cache = with_packed_layout(prefix)

    def __call__(self, added: list[Ids], rows: list[int]) -> Tensor:
        """Logits (len(rows), V) of the next token of these rows, given what was added to each."""
        parts = [self.unread(row, added[row]) for row in rows]
        states, self.cache = read_packed(self.model, self.cache, sum(parts, []))
        # Parts stand one after another; the state at the end of each predicts its next token.
        last = [total - 1 for total in accumulate(map(len, parts))]
        return self.model.head(states[last])

    def unread(self, row: int, added: Ids) -> list[PackedToken]:
        """The text itself at first, then the newest token."""
        text = self.texts[row]
        if not added:
            return pack(text, self.start, row)
        # All before the newest token is in the cache since the last call.
        return pack(added[-1:], self.start + len(text) + len(added) - 1, row)
