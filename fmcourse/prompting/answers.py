"""Answers to many prompts behind one shared prefix, by greedy decoding."""

from collections.abc import Sequence
from typing import Any

from fmcourse import fast
from fmcourse.fast.prefix_batches import PackedBatch, pack_batches
from fmcourse.generation import contains_stop
from fmcourse.generation.decoding import (
    NextLogits,
    PaddedBatch,
    decode_all,
    within_vocabulary,
)
from fmcourse.generation.sampling import Constraint, check_sampling_arguments, greedy
from fmcourse.generation.text import Prompt, decode_stream
from fmcourse.models.kv_cache import KVCache
from fmcourse.models.modes import evaluating
from fmcourse.models.transformer import Transformer
from fmcourse.prompting.prefix import check_batch_size, prepare_prompts, split_batches


def generate_answers(
    model: Transformer,
    tokenizer: Any,
    prompts: Sequence[Prompt],
    *,
    shared: Prompt | KVCache = "",
    max_new_tokens: int = 12,
    # After the line break a model tends to go on with another few-shot example.
    stop: Sequence[str] = ("\n",),
    batch: int = 32,
    constraint: Constraint | None = None,
) -> list[str]:
    """What the model writes after shared + prompt, for each prompt: `generate` at temperature 0.

    Args:
        prompts: texts, or lists of token ids.
        shared: what stands before every prompt, read once: text, ids, or a cache by `read_prefix`.
        max_new_tokens, stop, constraint: see `generate`.
        batch: most prompts read together. It changes the speed alone.
    Raises: ValueError naming the argument.
    """
    check_sampling_arguments(max_new_tokens, stop=stop)
    check_batch_size(batch)
    texts, prefix = prepare_prompts(
        model, tokenizer, prompts, shared, max_new_tokens, "to be written"
    )
    if fast.is_enabled():
        # The lengths leave out the prefix, whose keys and values are cached.
        batches = pack_batches([len(text) for text in texts], batch)
    else:
        batches = split_batches(len(texts), batch)
    added: list[list[int]] = []
    with evaluating(model):
        for rows in batches:
            added += decode_all(
                within_vocabulary(
                    batch_logits(model, prefix, texts[rows], max_new_tokens), tokenizer
                ),
                [greedy] * len(texts[rows]),  # it holds no state, so all rows can share it
                max_new_tokens,
                constraint=constraint,
                is_finished=contains_stop(tokenizer, stop),
            )
    return ["".join(decode_stream(ids, tokenizer, stop)) for ids in added]


def batch_logits(
    model: Transformer, prefix: KVCache, texts: list[list[int]], max_new_tokens: int
) -> NextLogits:
    """What `decode` asks for logits: the packed batch, or the padded one if fast paths are off."""
    if fast.is_enabled():
        return PackedBatch(model, prefix, texts)
    return PaddedBatch(model, prefix, texts, max_new_tokens)
