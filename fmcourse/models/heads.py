"""Classification heads on a trained encoder: logits for each token, or for each text.

    B batch   T tokens   D width

    ids (B, T) ── encoder ──▶ (B, T, D) ── linear ──▶ (B, T, num_classes)         token tasks
                                  └── mean ── linear ──▶ (B, num_classes)         sequence tasks

Devlin et al. 2018, section 4: a downstream task adds one matrix to the pretrained model.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from fmcourse.models.layers import Linear
from fmcourse.models.transformer import Transformer


class TokenClassifier(nn.Module):
    """Logits for each token: tags of named entities, or start and end of an extracted answer.

    Args:
        encoder: its own head is not used.
        num_classes: logits for each token.
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
            ids: token ids (B, T).
            padding_mask: (B, T) bool, False at padding.
            token_type_ids: which of two texts a token belongs to, (B, T).
        Returns: logits (B, T, num_classes); those at padding mean nothing.
        """
        return self.classifier(self.states(ids, padding_mask, token_type_ids))

    def states(
        self, ids: Tensor, padding_mask: Tensor | None, token_type_ids: Tensor | None
    ) -> Tensor:
        """The encoder's last hidden states, (B, T, D); padding is not attended to."""
        mask = None if padding_mask is None else padding_mask[:, None]  # (B, 1, T): for every query
        return self.encoder.states(ids, mask, token_type_ids)


class SequenceClassifier(TokenClassifier):
    """Logits for a whole text, (B, num_classes), from the mean of its tokens' hidden states."""

    def forward(
        self, ids: Tensor, padding_mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """Arguments as in `TokenClassifier.forward`; logits (B, num_classes)."""
        states = self.states(ids, padding_mask, token_type_ids)
        return self.classifier(mean_pool(states, padding_mask))


def mean_pool(states: Tensor, padding_mask: Tensor | None = None) -> Tensor:
    """Mean over the tokens that are not padding: (B, T, D) -> (B, D).

    Source: Reimers & Gurevych 2019, section 3.
    """
    if padding_mask is None:
        return states.mean(1)
    n_tokens = padding_mask.sum(1, keepdim=True).clamp(min=1)  # a row of padding alone gives 0
    # False counts as 0, so states at padding add nothing: (B, T, D) times (B, T, 1).
    return (states * padding_mask[..., None]).sum(1) / n_tokens


def pad_batch(texts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Token ids of different lengths as one batch, padded with 0 on the right.

    Returns: ids (B, T) and a padding mask (B, T) bool, False at padding.
    Raises: ValueError if there is no text.

    >>> pad_batch([[5, 6, 7], [8]])[1].tolist()
    [[True, True, True], [True, False, False]]
    """
    if not len(texts):
        raise ValueError("texts is empty; pass at least one.")
    # Any id would do, because the mask hides it; 0 is [PAD] in BERT's vocabulary.
    ids = pad_sequence([torch.as_tensor(text) for text in texts], batch_first=True)
    lengths = torch.tensor([len(text) for text in texts])
    return ids, torch.arange(ids.shape[1]) < lengths[:, None]  # (T,) against (B, 1): (B, T)
