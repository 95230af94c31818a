"""The decoding loop: ask for the logits of the next token, choose one, append it, ask again.

    R rows (texts written at the same time)   T tokens   V vocabulary

`decode` is the only loop that writes text. What differs between models stands in the function it
asks, `next_logits(added, rows)`: given the tokens added to every row so far, the logits (R, V) of
the next token of these rows. With a KV cache it reads only what is new; without one it reads all.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from fmcourse.generation.sampling import Constraint, Sampler, apply_constraint
from fmcourse.models.kv_cache import KVCache, LeftPadding
from fmcourse.models.modes import evaluating
from fmcourse.models.transformer import Transformer

NextLogits = Callable[[list[list[int]], list[int]], Tensor]


def decode(
    next_logits: NextLogits,
    samplers: Sequence[Sampler],
    max_new_tokens: int,
    *,
    constraint: Constraint | None = None,
    is_finished: Callable[[list[int]], bool] | None = None,
) -> Iterator[dict[int, int]]:
    """Write one token after another for every row; yields {row: token} after each step.

    Args:
        next_logits: (tokens added so far to each row, rows) -> logits (len(rows), V).
        samplers: logits (V,) -> token, one for each row: no row's draws depend on the others.
        max_new_tokens: most steps.
        constraint: tokens added so far -> (V,) bool, the tokens that are allowed next.
        is_finished: tokens added so far -> whether the row is done; it is not asked for again.
    Raises: ValueError if a logit is NaN.
    """
    added: list[list[int]] = [[] for _ in samplers]
    rows = list(range(len(samplers)))
    for _ in range(max_new_tokens):
        logits = next_logits(added, rows)  # (R, V)
        if logits.isnan().any():  # argmax would take them for the largest
            raise ValueError(
                "the model's logits are NaN: its weights are damaged, or its training diverged."
            )
        for row, scores in zip(rows, logits, strict=True):
            if constraint is not None:
                scores = apply_constraint(scores, constraint, added[row])
            added[row].append(samplers[row](scores))
        # Before the finished rows leave, because their last token is still to be handed out.
        yield {row: added[row][-1] for row in rows}
        if is_finished is not None:
            rows = [row for row in rows if not is_finished(added[row])]
        if not rows:
            return


def decode_all(
    next_logits: NextLogits,
    samplers: Sequence[Sampler],
    max_new_tokens: int,
    *,
    constraint: Constraint | None = None,
    is_finished: Callable[[list[int]], bool] | None = None,
) -> list[list[int]]:
    """The tokens that `decode` adds to each row."""
    added: list[list[int]] = [[] for _ in samplers]
    for tokens in decode(
        next_logits, samplers, max_new_tokens, constraint=constraint, is_finished=is_finished
    ):
        for row, token in tokens.items():
            added[row].append(token)
    return added


def within_vocabulary(next_logits: NextLogits, tokenizer: Any) -> NextLogits:
    """`next_logits` that gives probability 0 to tokens that the tokenizer does not know.

    A vocabulary is often padded to a round number, as GPT-2's 50,257 tokens to nanoGPT's 50,304.
    """
    # transformers' `vocab_size` leaves out added tokens, its `len` does not; ours have no `len`.
    counts_added = hasattr(tokenizer, "__len__")
    known = len(tokenizer) if counts_added else getattr(tokenizer, "vocab_size", None)

    def step(added: list[list[int]], rows: list[int]) -> Tensor:
        logits = next_logits(added, rows)  # (R, V)
        n_padding = 0 if known is None else max(0, logits.shape[-1] - known)
        # As many as before, so that constraints (V,) still fit; most often there is no padding.
        return (
            F.pad(logits[:, :known], (0, n_padding), value=float("-inf")) if n_padding else logits
        )

    return step


def check_generates(model: Transformer) -> None:
    """Raises: ValueError for a model that cannot continue a text: not causal, or without a head."""
    if not getattr(model.config, "causal", True):
        raise ValueError(
            "this model looks both ways, so it cannot continue a text; give a causal one."
        )
    if getattr(model.config, "head", None) == "none":
        raise ValueError("this model has no head that predicts tokens; give one with a head.")


# -- one text of any length -----------------------------------------------------------------------


def window_start(length: int, context: int) -> int:
    """The first token that a model of that context reads of a text of that length.

    It is 0 while the text fits and then moves by half contexts: if it moved with every token, every
    token would throw the KV cache away.

    >>> [window_start(length, 8) for length in (8, 9, 12, 13)]
    [0, 4, 4, 8]
    """
    hop = max(1, context // 2)  # a context of 1 has no half
    return max(0, -(-(length - context) // hop) * hop)  # -(-a // b) is a / b, rounded up


class SlidingWindow:
    """Next-token logits of one text, which may grow longer than the context.

    Args:
        model: a causal Transformer.
        prompt: the text's tokens so far, at least one.
        max_new_tokens: how many tokens the cache leaves room for.
        use_cache: False reads the whole window anew for every token.
    Raises: ValueError for a model that cannot continue a text.
    """

    def __init__(
        self, model: Transformer, prompt: list[int], max_new_tokens: int, use_cache: bool = True
    ) -> None:
        check_generates(model)
        self.model, self.prompt, self.use_cache = model, prompt, use_cache
        self.max_new_tokens = max_new_tokens
        self.start, self.cache = 0, None
        self.device = next(model.parameters()).device

    def __call__(self, added: list[list[int]], rows: list[int]) -> Tensor:
        # There is one text, and it is row 0.
        text, context = self.prompt + added[0], self.model.config.context
        start = window_start(len(text), context)
        if not self.use_cache:
            return self.model(torch.tensor([text[start:]], device=self.device))[:, -1]  # (1, V)
        if (
            self.cache is None or start != self.start
        ):  # the window has moved: every position changed
            # Room for all that may follow in this window, so that the store need not grow.
            capacity = min(context, len(text) - start + self.max_new_tokens)
            self.start, self.cache = start, self.model.new_cache(capacity=capacity)
        # What the cache does not hold yet: the whole window at first, then the newest token.
        new = torch.tensor([text[start + self.cache.length :]], device=self.device)
        logits, self.cache = self.model.extend(new, self.cache, last=True)
        return logits[:, -1]


def evaluated(model: Transformer, next_logits: NextLogits) -> NextLogits:
    """`next_logits` that puts the model into evaluation mode for each step.

    For a stream, between whose tokens the caller's own code runs.
    """

    def step(added: list[list[int]], rows: list[int]) -> Tensor:
        with evaluating(model):
            return next_logits(added, rows)

    return step


# -- several texts of unequal length --------------------------------------------------------------


def pad_left(texts: Sequence[list[int]]) -> tuple[Tensor, Tensor]:
    """Texts as one tensor of ids (R, T), padded on the left, and how much each is padded, (R,).

    >>> pad_left([[5, 6], [7]])
    (tensor([[5, 6],
            [0, 7]]), tensor([0, 1]))
    """
    longest = max(map(len, texts))
    # On the left, so that the last token of every text stands at index -1.
    padding = [longest - len(text) for text in texts]
    # Any id will do for padding, because `LeftPadding` masks it.
    ids = [[0] * n + text for n, text in zip(padding, texts, strict=True)]
    return torch.tensor(ids), torch.tensor(padding)


def read_batch(
    model: Transformer, prefix: KVCache, texts: Sequence[list[int]], max_new_tokens: int = 0
) -> tuple[Tensor, KVCache]:
    """Read several texts after one shared prefix, which is in a cache of one row.

    Args:
        prefix: keys and values of the tokens before every text; `model.new_cache()` for none.
        texts: ids of each text, at least one.
        max_new_tokens: how many tokens the returned cache leaves room for.
    Returns: logits (R, V) of the token after each text, and a cache of R rows to continue from.
    """
    ids, padding = (part.to(prefix.store.device) for part in pad_left(texts))
    R, T = ids.shape
    cache = model.new_cache(R, prefix.length + T + max_new_tokens)
    cache.store[..., : prefix.length, :] = prefix.store[..., : prefix.length, :]  # for every row
    # Rows of one length need no mask, and attention without a mask is faster.
    layout = LeftPadding(padding, start=prefix.length) if padding.any() else None
    cache = KVCache(cache.store, prefix.length, layout)  # the prefix counts as read already
    logits, cache = model.extend(ids, cache, last=True)  # (R, 1, V)
    return logits[:, -1], cache


def select_rows(cache: KVCache, rows: list[int]) -> KVCache:
    """A copy of some rows of a cache that `read_batch` made."""
    layout = cache.layout
    if layout is not None:
        # Only the padding differs between rows; the prefix is the same.
        layout = LeftPadding(layout.padding[rows], layout.start)
    return KVCache(cache.store[:, :, rows], cache.length, layout)  # (depth, 2, R, G, capacity, K)


class PaddedBatch:
    """Next-token logits of several texts of unequal length, padded on the left.

    Rows that are finished leave the batch, so they cost nothing from then on.

    Args:
        model: a causal Transformer. The texts and `max_new_tokens` must fit its context.
        prefix: see `read_batch`.
        texts: ids of each text, at least one.
        max_new_tokens: how many tokens the cache leaves room for.
    Raises: ValueError for a model that cannot continue a text.
    """

    def __init__(
        self, model: Transformer, prefix: KVCache, texts: list[list[int]], max_new_tokens: int
    ) -> None:
        check_generates(model)
        self.model, self.prefix, self.texts = model, prefix, texts
        self.max_new_tokens = max_new_tokens
        self.rows: list[int] = []  # rows that are in the cache
        self.cache = prefix  # until the first call reads the texts

    def __call__(self, added: list[list[int]], rows: list[int]) -> Tensor:
        if not self.rows:  # the first call
            self.rows = rows
            logits, self.cache = read_batch(
                self.model, self.prefix, [self.texts[row] for row in rows], self.max_new_tokens
            )
            return logits
        if rows != self.rows:
            # `rows` counts in the whole batch, the cache in the rows that it still holds.
            kept = [self.rows.index(row) for row in rows]
            self.rows, self.cache = rows, select_rows(self.cache, kept)
        # (R, 1): the newest token of each row; the cache holds all tokens before it.
        new = torch.tensor([[added[row][-1]] for row in rows], device=self.cache.store.device)
        logits, self.cache = self.model.extend(new, self.cache, last=True)
        return logits[:, -1]
