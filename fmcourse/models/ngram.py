"""N-gram language models: counts of n-grams, smoothed so that no token gets probability zero.

    p_n(w | h) = (c(h w) + T(h) p_{n-1}(w | h without its first token)) / (c(h) + T(h))

c counts, and T(h) is the number of *different* tokens seen after the context h: the more of them,
the likelier is yet another, and the more weight has the shorter context. p_0 is uniform.
Witten & Bell 1991, method C, interpolated as in Chen & Goodman 1999.

    T tokens   V vocabulary   N order, the longest n-gram that is counted   R, C rows of a table
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class NGramCounts:
    """Counts of all n-grams of one length in a text, and of their contexts.

    An n-gram is packed into one whole number, and tables are sorted by it for binary search.
    """

    ngrams: Tensor  # (R,) sorted
    counts: Tensor  # (R,)
    contexts: Tensor  # (C,) sorted: n-grams without their last token
    context_counts: Tensor  # (C,) how often a token followed the context, c(h)
    n_continuations: Tensor  # (C,) how many different tokens followed it, T(h)


class NGram:
    """Predicts a token from the N - 1 before it, by what followed them in the training text.

    Args:
        ids: the training text, token ids below `vocab_size`.
        vocab_size: number of different tokens, V.
        order: N, at least 1; vocab_size ** order must fit into 63 bits.
    Raises: ValueError for an empty text, ids outside the vocabulary, or an order that does not fit.

    After 0 always came 1, twice, so its probability is (2 + 1 * p_1) / (2 + 1):

    >>> model = NGram([0, 1, 0, 1, 0], vocab_size=2, order=2)
    >>> [round(p, 3) for p in model.next_probabilities([0]).tolist()]
    [0.19, 0.81]
    """

    def __init__(self, ids: list[int] | Tensor, *, vocab_size: int, order: int) -> None:
        ids = torch.as_tensor(ids)
        if ids.numel() == 0 or order < 1 or vocab_size**order >= 2**63:  # n-grams are int64
            raise ValueError(
                f"{ids.numel()} tokens, order={order}, vocab_size={vocab_size}: give a text, and "
                "an order of at least 1 with vocab_size ** order below 2 ** 63."
            )
        if ids.min() < 0 or ids.max() >= vocab_size:
            raise ValueError(
                f"ids run from {int(ids.min())} to {int(ids.max())}, "
                f"outside vocab_size={vocab_size}."
            )
        self.vocab_size, self.order = vocab_size, order
        # A text of T tokens holds no n-gram longer than T.
        self.tables = [
            self._count(self._ngrams(ids, n)) for n in range(1, min(order, len(ids)) + 1)
        ]

    @property
    def n_ngrams(self) -> int:
        """The number of different n-grams of all lengths: the size of the model."""
        return sum(len(table.ngrams) for table in self.tables)

    def probabilities(self, ids: list[int] | Tensor) -> Tensor:
        """The probability of each token of a text given up to N - 1 tokens before it, (T,)."""
        ids = torch.as_tensor(ids)
        # p_0, improved by one length after another. 32 bits would round counts above 2 ** 24.
        p = torch.full((len(ids),), 1 / self.vocab_size, dtype=torch.float64)
        for n, table in enumerate(self.tables, 1):
            if len(ids) >= n:
                # The first n - 1 tokens have too few before them: they keep the shorter model's p.
                ngrams = self._ngrams(ids, n)
                p[n - 1 :] = self._interpolate(table, ngrams, ngrams // self.vocab_size, p[n - 1 :])
        return p

    def next_probabilities(self, context: list[int] | Tensor) -> Tensor:
        """Probabilities of the next token after a context, (V,), whose last N - 1 tokens count.

        They add up to one for every context, seen or not.
        """
        context, V = torch.as_tensor(context, dtype=torch.int64), self.vocab_size
        p, tokens = torch.full((V,), 1 / V, dtype=torch.float64), torch.arange(V)
        # An n-gram needs n - 1 tokens of context.
        for n, table in enumerate(self.tables[: len(context) + 1], 1):
            h = torch.zeros(1, dtype=torch.int64)  # the empty context, for n = 1
            if n > 1:
                h = self._ngrams(context[len(context) - n + 1 :], n - 1)  # (1,): n - 1 tokens
            # In base V, times V appends a digit: h followed by each of the V tokens.
            p = self._interpolate(table, h * V + tokens, h.expand(V), p)
        return p

    def nats(self, ids: list[int] | Tensor) -> Tensor:
        """Negative log-likelihood of each token of a text, (T,), in nats."""
        return -self.probabilities(ids).log()

    def _ngrams(self, ids: Tensor, n: int) -> Tensor:
        """Each n-gram as one whole number in base V, the last token in the ones: (T - n + 1,)."""
        count, V = len(ids) - n + 1, self.vocab_size
        return sum(ids[i : i + count].long() * V ** (n - 1 - i) for i in range(n))

    def _count(self, ngrams: Tensor) -> NGramCounts:
        ngrams, counts = ngrams.unique(return_counts=True)
        # Each n-gram is there once now, so a context is counted once for each different token.
        # Division by V drops the last token; from a single token it leaves 0, the empty context.
        contexts, index, n_continuations = (ngrams // self.vocab_size).unique(
            return_inverse=True, return_counts=True
        )
        context_counts = torch.zeros_like(contexts).index_add(0, index, counts)  # c(h) = Σ c(h w)
        return NGramCounts(ngrams, counts, contexts, context_counts, n_continuations)

    def _interpolate(
        self, table: NGramCounts, ngrams: Tensor, contexts: Tensor, shorter: Tensor
    ) -> Tensor:
        """One step of the formula: counts of this length, and probabilities of the shorter one."""
        counts = look_up(table.ngrams, table.counts, ngrams)
        context_counts = look_up(table.contexts, table.context_counts, contexts)
        n_continuations = look_up(table.contexts, table.n_continuations, contexts)
        total = (context_counts + n_continuations).clamp(min=1)  # no 0 / 0 for unseen contexts
        mixed = (counts + n_continuations * shorter) / total
        # A context never seen says nothing: the shorter one's probability stands.
        return torch.where(context_counts > 0, mixed, shorter)


def look_up(keys: Tensor, values: Tensor, queries: Tensor) -> Tensor:
    """The value of each key in `queries`, 0 for keys that are not there; `keys` are sorted."""
    # `searchsorted` copies an expanded tensor anyway, but warns. Beyond the last key it answers
    # len(keys), which would be no index; the comparison below then finds another key there.
    index = torch.searchsorted(keys, queries.contiguous()).clamp(max=len(keys) - 1)
    return torch.where(keys[index] == queries, values[index], 0)
