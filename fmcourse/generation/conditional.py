"""Text conditioned on something else: translations of another text, captions of images.

B rows   S source tokens   T tokens written so far   V vocabulary
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from fmcourse.generation.beam_search import beam_search
from fmcourse.generation.decoding import decode_all
from fmcourse.generation.sampling import greedy
from fmcourse.models.modes import evaluating
from fmcourse.models.seq2seq import EncoderDecoder
from fmcourse.multimodal import Captioner


def translate(
    model: EncoderDecoder,
    source: Tensor,
    *,
    start: int,
    end: int,
    max_new_tokens: int,
    width: int = 1,
) -> list[list[int]]:
    """What the model writes for each row of `source` (B, S): token ids without start and end.

    Args:
        start, end: the target's token that begins every text, and the one that ends it.
        max_new_tokens: most tokens to write, fewer than the context.
        width: hypotheses of beam search for each row; 1 is greedy, all rows in one batch.
    Raises: ValueError if `max_new_tokens` does not fit the context.
    """
    if not 1 <= max_new_tokens < model.config.context:  # the start token takes a position too
        raise ValueError(
            f"max_new_tokens={max_new_tokens} must be at least 1 and less than "
            f"context={model.config.context}."
        )
    with evaluating(model):
        mask = model.padding_mask(source)  # (B, S)
        memory = model.encode(source, mask)  # (B, S, D), read at every step and computed once
        if width == 1:
            texts = translate_greedily(model, memory, mask, start, end, max_new_tokens)
        else:
            texts = [
                translate_by_beam_search(
                    model, memory[row], mask[row], start, end, max_new_tokens, width
                )
                for row in range(len(source))
            ]
    # Both kinds of decoding keep the end token where a text has reached it.
    return [text[: text.index(end)] if end in text else text for text in texts]


def translate_greedily(
    model: EncoderDecoder, memory: Tensor, mask: Tensor, start: int, end: int, max_new_tokens: int
) -> list[list[int]]:
    """Greedy decoding of all rows of a memory (B, S, D) with its mask (B, S)."""

    def next_logits(added: list[list[int]], rows: list[int]) -> Tensor:
        # Rows that are still open have equally many tokens, so the target needs no padding.
        target = torch.tensor([[start, *added[row]] for row in rows], device=memory.device)
        # Without a KV cache: all target tokens are read anew for each new one.
        return model.decode(target, memory[rows], mask[rows])[:, -1]

    return decode_all(
        next_logits,
        [greedy] * len(memory),
        max_new_tokens,
        is_finished=lambda added: added[-1] == end,
    )


def translate_by_beam_search(
    model: EncoderDecoder,
    memory: Tensor,
    mask: Tensor,
    start: int,
    end: int,
    max_new_tokens: int,
    width: int,
) -> list[int]:
    """The best hypothesis for one row: its memory (S, D) and mask (S,)."""

    def log_probabilities(target: Tensor) -> Tensor:
        N = len(target)
        # `expand` makes views (N, S, D) and (N, S): nothing is copied for each hypothesis.
        logits = model.decode(target, memory.expand(N, -1, -1), mask.expand(N, -1))
        return logits[:, -1].log_softmax(-1)

    best, *_ = beam_search(
        log_probabilities, start=start, end=end, width=width, max_new_tokens=max_new_tokens
    )
    return list(best.ids[1:])  # without the start token


def generate_captions(
    model: Captioner, images: Tensor, words: Sequence[str], max_words: int = 8
) -> list[str]:
    """A caption for each image, by greedy decoding until token 0 or `max_words` words.

    Args:
        images: (B, 3, S, S).
        words: words[i] is what token i spells; token 0 ends a caption.
    """
    with evaluating(model):
        prefix = model.prefix(images)  # (B, P, D): the image encoder runs once, not for every word

        def next_logits(added: list[list[int]], rows: list[int]) -> Tensor:
            # `long`, because the lists are empty before the first word: torch makes that float32.
            ids = torch.tensor([added[row] for row in rows], device=prefix.device).long()
            return model.decode(prefix[rows], ids)[:, -1]  # (R, T + 1, V) -> (R, V)

        captions = decode_all(
            next_logits,
            [greedy] * len(images),
            max_words,
            is_finished=lambda added: added[-1] == 0,
        )
    # `if token` drops the 0 that ends a caption.
    return [" ".join(words[token] for token in caption if token) for caption in captions]
