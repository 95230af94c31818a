"""The loss of a language model on a text: in nats per token, as perplexity, in bits per byte.

T tokens   C context   V vocabulary
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from fmcourse.evaluation.statistics import Estimate, mean_interval
from fmcourse.models.modes import evaluating
from fmcourse.models.transformer import Transformer


def token_nats(
    model: Transformer, ids: list[int] | Tensor, *, context: int | None = None, batch: int = 16
) -> Tensor:
    """Negative log-likelihood of every token of a text, (T,), in nats.

    The text is read in windows that overlap by half, so each token is predicted from at least half
    a context of the tokens before it, where there are that many. The first token has nothing before
    it and costs a uniform guess, log V.

    Args:
        model: a causal language model with `config.context` and `config.vocab_size`.
        ids: the text's tokens, (T,).
        context: most tokens that the model may read before a token; its own context unless given.
        batch: windows evaluated together. It changes the speed alone.
    Raises: ValueError for an empty text, ids that are not those of one text or not in the
        vocabulary, a context that holds no token, or a model that is not causal.
    """
    ids, longest = check_scored_ids(model, torch.as_tensor(ids)), model.config.context
    if context is not None and (not isinstance(context, int) or context < 1):
        raise ValueError(f"context={context!r} must be a whole number of at least 1, or None.")
    context = longest if context is None else min(context, longest)
    hop, device = max(1, context // 2), next(model.parameters()).device
    nats = torch.full((len(ids),), math.log(model.config.vocab_size))
    with evaluating(model):
        for starts in window_batches(len(ids), context, hop, batch):
            # One token more than the context: inputs and shifted targets.
            windows = torch.stack([ids[start : start + context + 1] for start in starts]).to(device)
            if windows.shape[1] < 2:  # a text of one token: there is nothing to predict
                continue
            logits = model(windows[:, :-1])
            # (B, V, C): `cross_entropy` expects the classes in dimension 1.
            losses = F.cross_entropy(logits.mT, windows[:, 1:], reduction="none").cpu()
            for start, row in zip(starts, losses, strict=True):
                # The window before has already scored its first tokens, with more context.
                known = 0 if start == 0 else context - hop
                nats[start + 1 + known : start + 1 + len(row)] = row[known:]
    return nats


def check_scored_ids(model: Transformer, ids: Tensor) -> Tensor:
    """The ids of one text, (T,) int64. Raises: ValueError, see `token_nats`."""
    if ids.numel() == 0:
        raise ValueError("there are no tokens to score; pass the ids of a text that is not empty.")
    if ids.ndim != 1 or ids.is_floating_point() or ids.dtype == torch.bool:
        raise ValueError(
            f"ids have shape {tuple(ids.shape)} and dtype {ids.dtype}; give those of one text, "
            "(T,), whole numbers: score the rows of a batch one by one."
        )
    low, high, known = int(ids.min()), int(ids.max()), model.config.vocab_size
    if low < 0 or high >= known:  # the first and the last token never reach the embedding
        raise ValueError(
            f"ids run from {low} to {high}, but this model knows tokens 0 to {known - 1}; "
            "was the text encoded by another tokenizer?"
        )
    # Recurrent models have no such field: they read from left to right anyway.
    if not getattr(model.config, "causal", True):
        raise ValueError(
            "this model looks both ways: it reads the tokens that it is to predict, so their "
            "probabilities say nothing; give a causal model."
        )
    return ids.long()


def window_batches(length: int, context: int, hop: int, batch: int) -> Iterator[list[int]]:
    """Where the windows of a text begin, in groups of equal length; the last, shorter one alone."""
    # The last window is the first that reaches the end of the text.
    starts = range(0, max(1, length - context - 1 + hop), hop)
    full = [start for start in starts if start + context + 1 <= length]
    for first in range(0, len(full), batch):
        yield full[first : first + batch]
    for start in starts[len(full) :]:
        yield [start]


def bits_per_byte(nats: Tensor, text: str) -> float:
    """Bits that a model needs for one byte of `text`: 8 is a uniform guess, lower is better.

    Args:
        nats: negative log-likelihood of each token of `text`, (T,), in nats.
        text: what those tokens spell. Per byte, so that tokenizers can be compared.
    Raises: ValueError if `text` is empty.
    Source: Gao et al. 2020, The Pile, section 3.1.

    >>> nats = torch.tensor([math.log(256), math.log(256)])     # two bytes, both guessed uniformly
    >>> round(bits_per_byte(nats, "é"), 3)
    8.0
    """
    if not text:
        raise ValueError(
            "text is empty, so there are no bytes to divide by; pass the text that was scored."
        )
    total = nats.double().sum().item()  # double: the sum over a long text loses digits in float32
    return total / math.log(2) / len(text.encode())  # nats to bits, UTF-8 bytes


def perplexity(nats: Tensor) -> float:
    """e to the mean of `nats` (T,): among how many equally likely tokens the model is choosing.

    It depends on the tokenizer. Raises: ValueError if there are no tokens.

    >>> round(perplexity(torch.tensor([math.log(10), math.log(10)])), 3)
    10.0
    """
    if nats.numel() == 0:
        raise ValueError("there are no tokens to average over.")
    return math.exp(nats.double().mean().item())


def bits_per_byte_interval(nats: Tensor, text: str) -> Estimate:
    """`bits_per_byte` with its 95 % confidence interval."""
    per_token = mean_interval(nats)
    scale = bits_per_byte(nats, text) / per_token.value  # bits per byte for each nat per token
    return Estimate(per_token.value * scale, per_token.low * scale, per_token.high * scale)
