"""New ends for a trained encoder: a few scores for each token, or for each text.

    ids (B, T) ── embed, stack ──▶ (B, T, D) ── one matrix ──▶ (B, T, kinds)              names, spans of answers
                                           └── mean ── one matrix ──▶ (B, kinds)          topics, opinions

Devlin et al. 2018, section 4: a task costs one new matrix; everything below it is the pretrained model.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from fmcourse.models.transformer import Transformer
from fmcourse.products import Linear


class PerToken(nn.Module):
    """Scores for each token. Kinds of names, say; or two, how well an answer may begin here and how well end.

    Args:
        encoder: its own head is not used.
        kinds: how many scores.
    """

    def __init__(self, encoder: Transformer, kinds: int) -> None:
        super().__init__()
        if kinds < 1:
            raise ValueError(f"kinds={kinds} must be at least 1.")
        self.encoder, self.score = encoder, Linear(encoder.config.width, kinds)

    def forward(self, ids: Tensor, real: Tensor | None = None, types: Tensor | None = None) -> Tensor:
        """
        Args:
            ids: tokens (B, T).
            real: (B, T) bool, False where a row is filled up.
            types: which of two texts a token belongs to, (B, T).
        Returns: scores (B, T, kinds); those of filling mean nothing.
        """
        return self.score(self.encoder.states(ids, None if real is None else real[:, None], types))


class PerText(PerToken):
    """Scores for a whole text, (B, kinds): from the mean of its tokens' states, filling left out."""

    def forward(self, ids: Tensor, real: Tensor | None = None, types: Tensor | None = None) -> Tensor:
        return self.score(mean_state(self.encoder.states(ids, None if real is None else real[:, None], types), real))


def mean_state(states: Tensor, real: Tensor | None = None) -> Tensor:
    """(B, T, D) -> (B, D), over the tokens that are there. Source: Reimers & Gurevych 2019, section 3."""
    if real is None:
        return states.mean(1)
    return (states * real[..., None]).sum(1) / real.sum(1, keepdim=True).clamp(min=1)


def padded(texts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Texts of different lengths as one batch: ids (B, T), filled up with 0, and which of them are real (B, T).

    Raises: ValueError if there is no text.

    >>> padded([[5, 6, 7], [8]])[1].tolist()
    [[True, True, True], [True, False, False]]
    """
    if not len(texts):
        raise ValueError("texts is empty; pass at least one.")
    ids = pad_sequence([torch.as_tensor(text) for text in texts], batch_first=True)
    return ids, torch.arange(ids.shape[1]) < torch.tensor([len(text) for text in texts])[:, None]
