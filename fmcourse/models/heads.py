"""New ends for a trained encoder: a few scores for each token, or for each text.

    ids (B, T) ── embed, stack ──▶ (B, T, D) ── one matrix ──▶ (B, T, num_classes)              names, spans of answers
                                           └── mean ── one matrix ──▶ (B, num_classes)          topics, opinions

Devlin et al. 2018, section 4: a task costs one new matrix; everything below it is the pretrained model.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from fmcourse.models.layers import Linear
from fmcourse.models.transformer import Transformer


class TokenClassifier(nn.Module):
    """Scores for each token. Kinds of names, say; or two, how well an answer may begin here and how well end.

    Args:
        encoder: its own head is not used.
        num_classes: how many scores.
    """

    def __init__(self, encoder: Transformer, num_classes: int) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"num_classes={num_classes} must be at least 1.")
        self.encoder, self.classifier = encoder, Linear(encoder.config.width, num_classes)

    def forward(
        self, ids: Tensor, padding_mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """
        Args:
            ids: tokens (B, T).
            padding_mask: (B, T) bool, False where a row is filled up.
            token_type_ids: which of two texts a token belongs to, (B, T).
        Returns: scores (B, T, num_classes); those of filling mean nothing.
        """
        return self.classifier(
            self.encoder.states(
                ids, None if padding_mask is None else padding_mask[:, None], token_type_ids
            )
        )


class SequenceClassifier(TokenClassifier):
    """Scores for a whole text, (B, num_classes): from the mean of its tokens' states, filling left out."""

    def forward(
        self, ids: Tensor, padding_mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> Tensor:
        return self.classifier(
            mean_pool(
                self.encoder.states(
                    ids, None if padding_mask is None else padding_mask[:, None], token_type_ids
                ),
                padding_mask,
            )
        )


def mean_pool(states: Tensor, padding_mask: Tensor | None = None) -> Tensor:
    """(B, T, D) -> (B, D), over the tokens that are there. Source: Reimers & Gurevych 2019, section 3."""
    if padding_mask is None:
        return states.mean(1)
    return (states * padding_mask[..., None]).sum(1) / padding_mask.sum(1, keepdim=True).clamp(
        min=1
    )


def pad_batch(texts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Texts of different lengths as one batch: ids (B, T), filled up with 0, and which of them are real (B, T).

    Raises: ValueError if there is no text.

    >>> pad_batch([[5, 6, 7], [8]])[1].tolist()
    [[True, True, True], [True, False, False]]
    """
    if not len(texts):
        raise ValueError("texts is empty; pass at least one.")
    ids = pad_sequence([torch.as_tensor(text) for text in texts], batch_first=True)
    return ids, torch.arange(ids.shape[1]) < torch.tensor([len(text) for text in texts])[:, None]
