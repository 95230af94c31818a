"""Prompts behind a shared prefix that is read once: checked, encoded, ready to be continued."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from fmcourse.generation.text import Prompt, encode_prompts
from fmcourse.models.kv_cache import KVCache
from fmcourse.models.modes import evaluating
from fmcourse.models.transformer import Transformer


def read_prefix(model: Transformer, tokenizer: Any, shared: Prompt) -> KVCache:
    """The cache of a shared text: pass it as `shared` to several calls, and it is read only once.

    It is valid as long as the weights stay as they are.
    Raises: ValueError if the text is longer than the context.
    """
    ids = tokenizer.encode(shared) if isinstance(shared, str) else list(shared)
    cache = model.new_cache(capacity=len(ids))
    if not ids:  # no shared text: the cache is empty, and each prompt begins its text
        return cache
    new = torch.tensor([ids], device=cache.store.device)
    with evaluating(model):
        # last=True: the logits are not used, so no more than one position's are computed.
        return model.extend(new, cache, last=True)[1]


def prepare_prompts(
    model: Transformer,
    tokenizer: Any,
    prompts: Sequence[Prompt],
    shared: Prompt | KVCache,
    n_more: int,
    purpose: str,
) -> tuple[list[list[int]], KVCache]:
    """The prompts as ids, and the cache of the text that stands before each of them.

    Args:
        n_more: how many tokens are to be read after each prompt; `purpose` says what for.
    Raises: ValueError for a model that does not predict the next token, an empty prompt, or one
        that exceeds the context together with the shared text and `n_more` tokens.
    """
    if not model.config.causal or model.config.head != "linear":
        raise ValueError(
            "this model does not predict the next token, so it cannot be prompted; "
            "take a causal one with a linear head."
        )
    texts = encode_prompts(tokenizer, prompts)
    prefix = shared if isinstance(shared, KVCache) else read_prefix(model, tokenizer, shared)
    for n, text in enumerate(texts):
        if prefix.length + len(text) + n_more > model.config.context:
            raise ValueError(
                f"prompt {n} has {len(text)} tokens; with {prefix.length} shared and {n_more} "
                f"{purpose} that is more than context={model.config.context}. Shorten it, "
                "or share fewer examples."
            )
    return texts, prefix


def check_batch_size(batch: int) -> None:
    if not isinstance(batch, int) or batch < 1:
        raise ValueError(f"batch={batch!r} must be a whole number of at least 1.")


def split_batches(n: int, batch: int) -> Iterator[slice]:
    """Consecutive slices of n items, `batch` at a time.

    >>> list(split_batches(5, 2))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 6, None)]
    """
    return (slice(start, start + batch) for start in range(0, n, batch))
