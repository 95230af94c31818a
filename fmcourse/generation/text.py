"""From a prompt to token ids, and from a stream of tokens to a stream of text."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from fmcourse.tokenizers.base import check_tokenizer

Prompt = str | list[int]


def encode_prompt(tokenizer: Any, prompt: Prompt) -> list[int]:
    """A text, or a list of ids, as ids. Raises: ValueError for no tokenizer, or no token."""
    check_tokenizer(tokenizer)
    ids = tokenizer.encode(prompt) if isinstance(prompt, str) else list(prompt)
    if not ids:
        raise ValueError(
            "the prompt is empty; give at least one token to go on from, a line break for example."
        )
    return ids


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
