"""Generation: text from a trained language model.

`generate`, `stream` and `generate_batch` differ in what they hand back; the loop is `decode` in
`fmcourse.generation.decoding`, how a token is chosen stands in `fmcourse.generation.sampling`.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from fmcourse.generation.beam_search import Hypothesis, beam_search
from fmcourse.generation.chat_template import STOP, Messages, apply_chat_template
from fmcourse.generation.conditional import generate_captions, translate
from fmcourse.generation.decoding import (
    PaddedBatch,
    SlidingWindow,
    decode,
    decode_all,
    evaluated,
    window_start,
    within_vocabulary,
)
from fmcourse.generation.sampling import (
    Constraint,
    check_sampling_arguments,
    make_sampler,
    next_distribution,
)
from fmcourse.generation.text import Prompt, decode_stream, encode_prompt, encode_prompts
from fmcourse.models.modes import evaluating
from fmcourse.models.transformer import Transformer

__all__ = [
    "Constraint",
    "Hypothesis",
    "Prompt",
    "apply_chat_template",
    "beam_search",
    "chat",
    "chat_stream",
    "decode",
    "generate",
    "generate_batch",
    "generate_captions",
    "make_sampler",
    "next_distribution",
    "stream",
    "translate",
    "window_start",
]


def generate(
    model: Transformer,
    tokenizer: Any,
    prompt: Prompt,
    *,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    stop: Sequence[str] = (),
    seed: int | None = None,
    constraint: Constraint | None = None,
    use_cache: bool = True,
) -> str:
    """Continue `prompt`; returns the continuation alone.

    Args:
        model: a causal Transformer.
        tokenizer: the one the model was trained with. Tokens that it does not know, where the
            model's vocabulary is padded, are never written.
        prompt: a text, or a list of token ids. Prompt and continuation may be longer than the
            context: see `window_start` for what the model then reads.
        max_new_tokens: most tokens to add.
        temperature, top_k, top_p: see `next_distribution`; temperature 0 is greedy decoding.
        stop: texts that end the continuation; the text before the first of them is returned.
        seed: repeats the random draws; None draws anew each time.
        constraint: (token ids added so far) -> (V,) bool, the tokens allowed next.
        use_cache: False computes everything anew for every token: the same text, slower.
    Raises: ValueError naming the argument.
    """
    check_sampling_arguments(max_new_tokens, temperature, top_k, top_p, stop)
    ids = encode_prompt(tokenizer, prompt)
    next_logits = within_vocabulary(SlidingWindow(model, ids, max_new_tokens, use_cache), tokenizer)
    samplers = [make_sampler(seed, temperature, top_k, top_p)]
    with evaluating(model):
        steps = decode(next_logits, samplers, max_new_tokens, constraint=constraint)
        # A step is {row: token}; one text has row 0 alone.
        return "".join(decode_stream((step[0] for step in steps), tokenizer, stop))


def stream(
    model: Transformer,
    tokenizer: Any,
    prompt: Prompt,
    *,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    stop: Sequence[str] = (),
    seed: int | None = None,
    constraint: Constraint | None = None,
    use_cache: bool = True,
) -> Iterator[str]:
    """As `generate`, but yields the text piece by piece, each as soon as it is certain.

    A piece never ends within a character, and holds nothing that could become a stop text.
    """
    # This function is no generator itself, so wrong arguments raise here, not at the first piece.
    check_sampling_arguments(max_new_tokens, temperature, top_k, top_p, stop)
    ids = encode_prompt(tokenizer, prompt)
    # Between two pieces the caller's code runs, so evaluation mode is left after each step.
    next_logits = evaluated(model, SlidingWindow(model, ids, max_new_tokens, use_cache))
    next_logits = within_vocabulary(next_logits, tokenizer)
    samplers = [make_sampler(seed, temperature, top_k, top_p)]
    steps = decode(next_logits, samplers, max_new_tokens, constraint=constraint)
    return decode_stream((step[0] for step in steps), tokenizer, stop)


def generate_batch(
    model: Transformer,
    tokenizer: Any,
    prompts: Sequence[Prompt],
    *,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    stop: Sequence[str] = (),
    seed: int | None = None,
) -> list[str]:
    """Continue many prompts in one batch.

    Row i draws as `generate(..., seed=seed + i)` does, whatever stands in the other rows.
    Raises: ValueError naming the argument, or if a prompt and its continuation exceed the context.
    """
    check_sampling_arguments(max_new_tokens, temperature, top_k, top_p, stop)
    texts = encode_prompts(tokenizer, prompts)
    if not texts:
        return []
    longest, context = max(map(len, texts)), model.config.context
    if longest + max_new_tokens > context:
        raise ValueError(
            f"the longest prompt has {longest} tokens; with max_new_tokens={max_new_tokens} that "
            f"is more than context={context}. Shorten one of them, or use generate, which slides "
            "along."
        )
    samplers = [
        # One seed for all rows would give equal prompts equal continuations.
        make_sampler(None if seed is None else seed + row, temperature, top_k, top_p)
        for row in range(len(texts))
    ]
    with evaluating(model):
        # An empty cache: these prompts share no prefix.
        next_logits = PaddedBatch(model, model.new_cache(), texts, max_new_tokens)
        added = decode_all(
            within_vocabulary(next_logits, tokenizer),
            samplers,
            max_new_tokens,
            is_finished=contains_stop(tokenizer, stop),
        )
    # A row ends with the token that completes a stop text; decode_stream cuts the stop text off.
    return ["".join(decode_stream(ids, tokenizer, stop)) for ids in added]


def contains_stop(tokenizer: Any, stop: Sequence[str]) -> Callable[[list[int]], bool]:
    """A function that says whether tokens spell one of the stop texts."""

    def is_finished(ids: list[int]) -> bool:
        # All tokens, not the last: a stop text may be spread over several of them.
        text = tokenizer.decode(ids)
        return any(end in text for end in stop)

    return is_finished


def chat(
    model: Transformer,
    tokenizer: Any,
    messages: Messages,
    *,
    max_new_tokens: int = 200,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int | None = None,
) -> str:
    """The assistant's answer to a dialogue.

    Args:
        messages: {"role": "system" | "user" | "assistant", "content": text}, at least one.
        max_new_tokens, temperature, top_k, top_p, seed: see `generate`.
    """
    return generate(
        model,
        tokenizer,
        apply_chat_template(tokenizer, messages),
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        seed=seed,
        stop=STOP,
    )


def chat_stream(
    model: Transformer,
    tokenizer: Any,
    messages: Messages,
    *,
    max_new_tokens: int = 200,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int | None = None,
) -> Iterator[str]:
    """As `chat`, piece by piece."""
    return stream(
        model,
        tokenizer,
        apply_chat_template(tokenizer, messages),
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        seed=seed,
        stop=STOP,
    )
