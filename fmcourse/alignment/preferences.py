"""Prompts with responses as tensors: for supervised fine-tuning, reward models and DPO.

    N rows   T tokens

A row is prompt + response + padding on the right. There a causal model needs no padding mask: no
token of the text can see the padding. The mask says which tokens belong to the response.

    tokens   47+85= 2 3 1 \\n . .
    mask     ...... 1 1 1 1  0 0
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fmcourse.generation.text import Prompt, encode_prompts
from fmcourse.models.heads import pad_batch
from fmcourse.models.modes import evaluating


@dataclass(frozen=True)
class Preference:
    """Two responses to one prompt, of which a person, a model or a checker prefers the first.

    Args:
        prompt: a text, or token ids, such as those of `apply_chat_template`.
    Raises: ValueError if both responses are the same.
    """

    prompt: Prompt
    chosen: str
    rejected: str

    def __post_init__(self) -> None:
        if self.chosen == self.rejected:
            raise ValueError(
                f"chosen and rejected are both {self.chosen!r:.60}; give two different responses: "
                "equal ones say nothing about what is preferred."
            )


def encode_responses(
    tokenizer: Any, pairs: Sequence[tuple[Prompt, str]], end_id: int
) -> tuple[Tensor, Tensor]:
    """Prompts with responses as ids (N, T), and the mask of the responses, (N, T) bool.

    Args:
        pairs: (prompt, response) each.
        end_id: the token that ends a response. It belongs to it: a model must learn when to stop.
    Raises: ValueError for an empty prompt, or no pairs.
    """
    prompts = encode_prompts(tokenizer, [prompt for prompt, _ in pairs])
    return pad_responses(prompts, [[*tokenizer.encode(text), end_id] for _, text in pairs])


def encode_preferences(
    tokenizer: Any, preferences: Sequence[Preference], end_id: int
) -> tuple[Tensor, Tensor]:
    """Pairs as ids (N, 2, T) and mask (N, 2, T) bool: the chosen response first, then the rejected.

    Args: see `encode_responses`.
    """
    pairs = [(p.prompt, text) for p in preferences for text in (p.chosen, p.rejected)]
    ids, mask = encode_responses(tokenizer, pairs, end_id)
    return ids.unflatten(0, (-1, 2)), mask.unflatten(0, (-1, 2))


def pad_responses(
    prompts: Sequence[list[int]], responses: Sequence[list[int]]
) -> tuple[Tensor, Tensor]:
    """Ids (N, T) of prompt + response, padded on the right, and the mask of the responses.

    Raises: ValueError if there are none, or not as many prompts as responses.

    >>> pad_responses([[5, 6], [7]], [[1], [2, 3, 0]])
    (tensor([[5, 6, 1, 0],
            [7, 2, 3, 0]]), tensor([[False, False,  True, False],
            [False,  True,  True,  True]]))
    """
    if len(prompts) != len(responses):
        raise ValueError(
            f"{len(prompts)} prompts and {len(responses)} responses; give one response to each."
        )
    ids, is_text = pad_batch([a + b for a, b in zip(prompts, responses, strict=True)])
    lengths = torch.tensor([len(prompt) for prompt in prompts])
    return ids, is_text & (torch.arange(ids.shape[1]) >= lengths[:, None])


def trim_padding(ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Without the last columns in which no row has a token: ids and mask (..., T) -> (..., S).

    A data set is padded to its longest row, and most batches need less.
    Raises: ValueError if no token belongs to a response.
    """
    columns = mask.flatten(0, -2).any(0).nonzero()
    if not len(columns):
        raise ValueError(
            f"no token of ids {tuple(ids.shape)} belongs to a response: the mask is False "
            "everywhere; mark at least one."
        )
    end = int(columns[-1]) + 1
    return ids[..., :end], mask[..., :end]


def in_batches(
    model: nn.Module,
    measure: Callable[[nn.Module, Tensor, Tensor], Tensor],
    ids: Tensor,
    mask: Tensor,
    batch: int,
) -> Tensor:
    """What is measured of each row of a data set, without gradients and `batch` rows at a time.

    Args:
        measure: (model, ids, mask) -> a number for each row, on the model's device.
        ids, mask: (N, T), or (N, 2, T) for pairs.
    Returns: (N,) or (N, 2), on the device of `ids`.
    """
    device = next(model.parameters()).device
    with evaluating(model):
        parts = [
            measure(model, *(part.to(device) for part in trim_padding(*rows)))
            for rows in zip(ids.split(batch), mask.split(batch), strict=True)
        ]
    # A clone made outside: tensors from inside `evaluating` may not take part in training.
    return torch.cat(parts).to(ids.device).clone()


def shift(ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What a model reads, what it is to predict, and which of that counts: (B, T - 1) each."""
    return ids[:, :-1], ids[:, 1:], mask[:, 1:]
