"""Language models made by counting: runs of n tokens, smoothed so that nothing is impossible.

    p_n(w | h) = (c(h w) + T(h) p_{n-1}(w | h without its first token)) / (c(h) + T(h))

c counts, T(h) is how many *different* tokens were seen after h: whoever has been surprised often expects to be surprised again, and
leans more on the shorter context. p_0 is a blind guess. Witten & Bell 1991, method C, interpolated as in Chen & Goodman 1999.

    T positions   V vocabulary   N order, the longest run that is counted
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Counts:
    """All runs of one length in a text, sorted, each packed into one whole number; and what is known of their contexts."""

    runs: Tensor  # (R,) sorted
    times: Tensor  # (R,)
    contexts: Tensor  # (C,) sorted: runs without their last token
    total: Tensor  # (C,) how often a context was gone on from
    kinds: Tensor  # (C,) by how many different tokens


class NGram:
    """Guesses a token from the N - 1 before it, by what followed them in the text that it counted.

    Args:
        ids: the text, token ids below `vocab_size`.
        vocab_size: how many different tokens there are.
        order: N, at least 1; vocab_size ** order must fit into 63 bits.
    Raises: ValueError for an empty text, ids outside the vocabulary, or an order that does not fit.

    >>> model = NGram([0, 1, 0, 1, 0], vocab_size=2, order=2)
    >>> [round(p, 3) for p in model.next([0]).tolist()]           # after 0 always came 1, twice: (2 + 1 * p_1) / (2 + 1)
    [0.19, 0.81]
    """

    def __init__(self, ids: list[int] | Tensor, *, vocab_size: int, order: int) -> None:
        ids = torch.as_tensor(ids)
        if ids.numel() == 0 or order < 1 or vocab_size**order >= 2**63:
            raise ValueError(f"{ids.numel()} tokens, order={order}, vocab_size={vocab_size}: give a text, and an order of at least "
                             "1 with vocab_size ** order below 2 ** 63.")  # fmt: skip
        if ids.min() < 0 or ids.max() >= vocab_size:
            raise ValueError(f"ids run from {int(ids.min())} to {int(ids.max())}, outside vocab_size={vocab_size}.")
        self.vocab_size, self.order = vocab_size, order
        self.counts = [self._count(self._runs(ids, n)) for n in range(1, min(order, len(ids)) + 1)]

    @property
    def rows(self) -> int:
        """How many different runs it remembers, of all lengths: its size."""
        return sum(len(counts.runs) for counts in self.counts)

    def probabilities(self, ids: list[int] | Tensor) -> Tensor:
        """What it gave to each token of a text, (T,), seeing up to N - 1 before it; the first gets what it has with no context."""
        ids = torch.as_tensor(ids)
        p = torch.full((len(ids),), 1 / self.vocab_size, dtype=torch.float64)
        for n, counts in enumerate(self.counts, 1):
            if len(ids) >= n:
                runs = self._runs(ids, n)
                p[n - 1 :] = self._mixed(counts, runs, runs // self.vocab_size, p[n - 1 :])
        return p

    def next(self, context: list[int] | Tensor) -> Tensor:
        """Probabilities (V,) of every token to come after a context; of a long one only the last N - 1 tokens count.

        They add up to one, whatever was seen.
        """
        context, V = torch.as_tensor(context, dtype=torch.int64), self.vocab_size
        p, tokens = torch.full((V,), 1 / V, dtype=torch.float64), torch.arange(V)
        for n, counts in enumerate(self.counts[: len(context) + 1], 1):
            head = self._runs(context[len(context) - n + 1 :], n - 1) if n > 1 else torch.zeros(1, dtype=torch.int64)
            p = self._mixed(counts, head * V + tokens, head.expand(V), p)
        return p

    def nats(self, ids: list[int] | Tensor) -> Tensor:
        """Surprise at each token of a text, (T,), in nats."""
        return -self.probabilities(ids).log()

    def _runs(self, ids: Tensor, n: int) -> Tensor:
        """Each run of n tokens as one whole number, (T - n + 1,): digits in base V, the last token in the ones."""
        at = len(ids) - n + 1
        return sum(ids[i : i + at].long() * self.vocab_size ** (n - 1 - i) for i in range(n))

    def _count(self, runs: Tensor) -> Counts:
        runs, times = runs.unique(return_counts=True)
        contexts, place, kinds = (runs // self.vocab_size).unique(return_inverse=True, return_counts=True)
        total = torch.zeros_like(contexts).index_add(0, place, times)
        return Counts(runs, times, contexts, total, kinds)

    def _mixed(self, counts: Counts, runs: Tensor, heads: Tensor, shorter: Tensor) -> Tensor:
        """One step of the formula: this length's counts, and the shorter context's probabilities where they are thin."""
        times = found(counts.runs, counts.times, runs)
        total, kinds = found(counts.contexts, counts.total, heads), found(counts.contexts, counts.kinds, heads)
        return torch.where(total > 0, (times + kinds * shorter) / (total + kinds).clamp(min=1), shorter)


def found(keys: Tensor, values: Tensor, asked: Tensor) -> Tensor:
    """The value of each key that is asked for, 0 where there is none; keys are sorted."""
    place = torch.searchsorted(keys, asked.contiguous()).clamp(max=len(keys) - 1)
    return torch.where(keys[place] == asked, values[place], 0)
