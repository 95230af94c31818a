"""Responses sampled from a policy, many at once, and what their successes say: pass@k.

N prompts   R rows, responses written at the same time
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from fmcourse.generation.decoding import PaddedBatch, decode_all, within_vocabulary
from fmcourse.generation.sampling import check_sampling_arguments, make_sampler
from fmcourse.generation.text import Prompt, encode_prompts
from fmcourse.models.modes import evaluating
from fmcourse.models.transformer import Transformer


def sample_responses(
    model: Transformer,
    tokenizer: Any,
    prompts: Sequence[Prompt],
    *,
    max_new_tokens: int,
    end_id: int,
    temperature: float = 1.0,
    seed: int | None = None,
) -> list[list[int]]:
    """One response to each prompt as token ids, all in one batch with a KV cache.

    As `generate_batch`, but in tokens and with the end: a policy is trained on just the tokens that
    it sampled, and a text may have several spellings.

    Args:
        end_id: the token that ends a response. It is the last one returned, unless there was no
            room for it.
        temperature: 1 samples from the policy itself, 0 is greedy decoding.
        seed: row i draws from a stream of its own, seed + i; None draws anew each time.
    Raises: ValueError naming the argument, or if a prompt and its response exceed the context.
    """
    check_sampling_arguments(max_new_tokens, temperature)
    texts = encode_prompts(tokenizer, prompts)
    if not texts:
        return []
    longest, context = max(map(len, texts)), model.config.context
    if longest + max_new_tokens > context:
        raise ValueError(
            f"the longest prompt has {longest} tokens; with max_new_tokens={max_new_tokens} that "
            f"is more than context={context}. Shorten one of them."
        )
    samplers = [
        make_sampler(None if seed is None else seed + row, temperature) for row in range(len(texts))
    ]
    with evaluating(model):
        next_logits = PaddedBatch(model, model.new_cache(), texts, max_new_tokens)
        return decode_all(
            within_vocabulary(next_logits, tokenizer),
            samplers,
            max_new_tokens,
            is_finished=lambda added: added[-1] == end_id,
        )


def decode_responses(tokenizer: Any, responses: Sequence[list[int]], end_id: int) -> list[str]:
    """The text of each response, without the token that ends it."""
    bodies = [ids[:-1] if ids[-1:] == [end_id] else ids for ids in responses]
    return [tokenizer.decode(ids) for ids in bodies]


def sample_texts(
    model: Transformer,
    tokenizer: Any,
    prompts: Sequence[Prompt],
    *,
    max_new_tokens: int,
    end_id: int,
    temperature: float = 1.0,
    seed: int | None = None,
) -> list[str]:
    """`sample_responses` as texts, without the end."""
    responses = sample_responses(
        model,
        tokenizer,
        prompts,
        max_new_tokens=max_new_tokens,
        end_id=end_id,
        temperature=temperature,
        seed=seed,
    )
    return decode_responses(tokenizer, responses, end_id)


def pass_at_k(is_right: Tensor, k: int) -> Tensor:
    """Probability that at least one of k samples is right, for each problem: (N, n) -> (N,).

    Estimated without bias from n ≥ k samples of each problem: 1 - C(n - c, k) / C(n, k) with c
    right ones. (1 - (1 - c/n)^k would be too small.)

    Args:
        is_right: (N, n) bool, or 0 and 1.
    Raises: ValueError for k outside 1 to n.
    Source: Chen et al. 2021 (Codex), equation 1.

    >>> pass_at_k(torch.tensor([[1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 0]]), k=2)
    tensor([0.5000, 0.0000, 1.0000], dtype=torch.float64)
    """
    n = is_right.shape[1]
    if not 1 <= k <= n:
        raise ValueError(f"k={k} with {n} samples of each problem; give k from 1 to {n}.")
    n_wrong = n - is_right.sum(1).double()  # n - c
    # C(n - c, k) / C(n, k) as a product of k fractions: the samples are drawn one after another.
    i = torch.arange(k)
    all_wrong = ((n_wrong[:, None] - i).clamp(min=0) / (n - i)).prod(1)
    return 1 - all_wrong
