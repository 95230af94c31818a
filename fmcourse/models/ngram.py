"""Language models made by counting: n-grams, smoothed so that nothing is impossible.

    p_n(w | h) = (c(h w) + T(h) p_{n-1}(w | h without its first token)) / (c(h) + T(h))

c counts, T(h) is how many *different* tokens were seen after h: whoever has been surprised often expects to be surprised again, and
leans more on the shorter context. p_0 is a blind guess. Witten & Bell 1991, method C, interpolated as in Chen & Goodman 1999.

    T positions   V vocabulary   N order, the longest n-gram that is counted
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class NGramCounts:
    """All n-grams of one length in a text, sorted, each packed into one whole number; and what is known of their contexts."""

    ngrams: Tensor  # (R,) sorted
    counts: Tensor  # (R,)
    contexts: Tensor  # (C,) sorted: n-grams without their last token
    context_counts: Tensor  # (C,) how often a context was gone on from
    n_continuations: Tensor  # (C,) by how many different tokens


class NGram:
    """Guesses a token from the N - 1 before it, by what followed them in the text that it counted.

    Args:
        ids: the text, token ids below `vocab_size`.
        vocab_size: how many different tokens there are.
        order: N, at least 1; vocab_size ** order must fit into 63 bits.
    Raises: ValueError for an empty text, ids outside the vocabulary, or an order that does not fit.

    >>> model = NGram([0, 1, 0, 1, 0], vocab_size=2, order=2)
    >>> [round(p, 3) for p in model.next_probabilities([0]).tolist()]           # after 0 always came 1, twice: (2 + 1 * p_1) / (2 + 1)
    [0.19, 0.81]
    """

    def __init__(self, ids: list[int] | Tensor, *, vocab_size: int, order: int) -> None:
        ids = torch.as_tensor(ids)
        if ids.numel() == 0 or order < 1 or vocab_size**order >= 2**63:
            raise ValueError(
                f"{ids.numel()} tokens, order={order}, vocab_size={vocab_size}: give a text, and an order of at least "
                "1 with vocab_size ** order below 2 ** 63."
            )
        if ids.min() < 0 or ids.max() >= vocab_size:
            raise ValueError(
                f"ids run from {int(ids.min())} to {int(ids.max())}, outside vocab_size={vocab_size}."
            )
        self.vocab_size, self.order = vocab_size, order
        self.tables = [
            self._count(self._ngrams(ids, n)) for n in range(1, min(order, len(ids)) + 1)
        ]

    @property
    def n_ngrams(self) -> int:
        """How many different n-grams it remembers, of all lengths: its size."""
        return sum(len(table.ngrams) for table in self.tables)

    def probabilities(self, ids: list[int] | Tensor) -> Tensor:
        """What it gave to each token of a text, (T,), seeing up to N - 1 before it; the first gets what it has with no context."""
        ids = torch.as_tensor(ids)
        p = torch.full((len(ids),), 1 / self.vocab_size, dtype=torch.float64)
        for n, table in enumerate(self.tables, 1):
            if len(ids) >= n:
                ngrams = self._ngrams(ids, n)
                p[n - 1 :] = self._interpolate(table, ngrams, ngrams // self.vocab_size, p[n - 1 :])
        return p

    def next_probabilities(self, context: list[int] | Tensor) -> Tensor:
        """Probabilities (V,) of every token to come after a context; of a long one only the last N - 1 tokens count.

        They add up to one, whatever was seen.
        """
        context, V = torch.as_tensor(context, dtype=torch.int64), self.vocab_size
        p, tokens = torch.full((V,), 1 / V, dtype=torch.float64), torch.arange(V)
        for n, table in enumerate(self.tables[: len(context) + 1], 1):
            head = (
                self._ngrams(context[len(context) - n + 1 :], n - 1)
                if n > 1
                else torch.zeros(1, dtype=torch.int64)
            )
            p = self._interpolate(table, head * V + tokens, head.expand(V), p)
        return p

    def nats(self, ids: list[int] | Tensor) -> Tensor:
        """Surprise at each token of a text, (T,), in nats."""
        return -self.probabilities(ids).log()

    def _ngrams(self, ids: Tensor, n: int) -> Tensor:
        """Each n-gram as one whole number, (T - n + 1,): digits in base V, the last token in the ones."""
        at = len(ids) - n + 1
        return sum(ids[i : i + at].long() * self.vocab_size ** (n - 1 - i) for i in range(n))

    def _count(self, ngrams: Tensor) -> NGramCounts:
        ngrams, counts = ngrams.unique(return_counts=True)
        contexts, place, n_continuations = (ngrams // self.vocab_size).unique(
            return_inverse=True, return_counts=True
        )
        context_counts = torch.zeros_like(contexts).index_add(0, place, counts)
        return NGramCounts(ngrams, counts, contexts, context_counts, n_continuations)

    def _interpolate(
        self, table: NGramCounts, ngrams: Tensor, heads: Tensor, shorter: Tensor
    ) -> Tensor:
        """One step of the formula: this length's counts, and the shorter context's probabilities where they are thin."""
        counts = look_up(table.ngrams, table.counts, ngrams)
        context_counts, n_continuations = (
            look_up(table.contexts, table.context_counts, heads),
            look_up(table.contexts, table.n_continuations, heads),
        )
        return torch.where(
            context_counts > 0,
            (counts + n_continuations * shorter) / (context_counts + n_continuations).clamp(min=1),
            shorter,
        )


def look_up(keys: Tensor, values: Tensor, asked: Tensor) -> Tensor:
    """The value of each key that is asked for, 0 where there is none; keys are sorted."""
    place = torch.searchsorted(keys, asked.contiguous()).clamp(max=len(keys) - 1)
    return torch.where(keys[place] == asked, values[place], 0)
