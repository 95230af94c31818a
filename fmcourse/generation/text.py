"""From a prompt to token ids, and from a stream of tokens to a stream of text."""

from collections.abc import Iterable, Iterator, Sequence
from operator import index
from typing import Any

from fmcourse.tokenizers.base import check_tokenizer

Prompt = str | list[int]


def encode_prompt(tokenizer: Any, prompt: Prompt) -> list[int]:
    """A text, or a list of ids, as ids.

    Raises: ValueError if it is neither, there is no token in it, or the tokenizer is none.
    """
    check_tokenizer(tokenizer)
    if isinstance(prompt, str):
        ids = tokenizer.encode(prompt)
    else:
        try:
            ids = [index(i) for i in prompt]  # those of a tensor too, but no floats and no batch
        except TypeError:
            ids = None
    if ids is None or isinstance(prompt, bytes):  # bytes iterate as numbers, which are no ids
        raise ValueError(f"prompt {prompt!r:.60} is neither a text nor a list of token ids.")
    if not ids:
        raise ValueError(
            "the prompt is empty; give at least one token to go on from, a line break for example."
        )
    return ids


def encode_prompts(tokenizer: Any, prompts: Sequence[Prompt]) -> list[list[int]]:
    """Each prompt as ids. Raises: ValueError for one text, or see `encode_prompt`."""
    if isinstance(prompts, str | bytes):  # a sequence of its characters
        raise ValueError(f"prompts={prompts!r} is one text; for one prompt write [{prompts!r}].")
    return [encode_prompt(tokenizer, prompt) for prompt in prompts]


def decode_stream(tokens: Iterable[int], tokenizer: Any, stop: Sequence[str]) -> Iterator[str]:
    """Turn tokens into text as soon as it is certain; ends before the first stop text."""
    ids, n_given = [], 0  # characters that were yielded
    for token in tokens:
        ids.append(token)
        # Decoded as a whole: a token may be a part of a character.
        text = tokenizer.decode(ids)
        if ends := [text.index(stop_text) for stop_text in stop if stop_text in text]:
            if min(ends) > n_given:  # else no text before it is left to yield
                yield text[n_given : min(ends)]
            return
        certain = len(text) - pending_characters(text, stop)
        if certain > n_given:
            yield text[n_given:certain]
            n_given = certain
    # No token follows, so what was pending is final.
    if rest := tokenizer.decode(ids)[n_given:]:
        yield rest


def pending_characters(text: str, stop: Sequence[str]) -> int:
    """How many last characters may still change with the next token.

    They are an incomplete character (shown as U+FFFD), or the beginning of a stop text.

    >>> pending_characters("so it is <|im", ["<|im_end|>"]), pending_characters("caf\\ufffd", [])
    (4, 1)
    """
    incomplete = len(text) - len(text.rstrip("\ufffd"))
    # Not the whole stop text, n = len(end): decode_stream has looked for that already.
    begun = [n for end in stop for n in range(1, len(end)) if text.endswith(end[:n])]
    return max([incomplete, *begun])
