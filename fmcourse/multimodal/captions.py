"""Captions: an image as a prefix of a causal language model.

    B batch   S side of an image   P places of the prefix   C channels   T tokens   D width
    V vocabulary

    images (B, 3, S, S) ── image_encoder ──▶ (B, P, C) ── input_proj ──▶ (B, P, D) ┐
                                                                                   ├─ stack, head ─▶
    words so far (B, T) ────────────────────── embed ──────────────────▶ (B, T, D) ┘  (B, T + 1, V)

Mokady et al. 2021 (ClipCap). Token 0 ends a caption. `fmcourse.generation` writes captions.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fmcourse.models.transformer import Config, Transformer
from fmcourse.objectives import Loss, own_rows


class Captioner(nn.Module):
    """A language model whose first positions are an image.

    Args:
        image_encoder: images -> (B, P, C), or (B, C), which is one place.
        config: of the language model, causal; its context must hold the places and the words.
        channels: C.
    Raises: ValueError if the language model is not causal.
    """

    def __init__(self, image_encoder: nn.Module, config: Config, channels: int) -> None:
        super().__init__()
        if not config.causal:
            raise ValueError(
                "causal=False: a caption is written from left to right, so give causal=True."
            )
        self.image_encoder = image_encoder
        self.input_proj = nn.Linear(channels, config.width)
        self.language_model = Transformer(config)

    def forward(self, images: Tensor, ids: Tensor) -> Tensor:
        """Logits (B, T + 1, V) of each word and of the one after the last, given what is before."""
        return self.decode(self.prefix(images), ids)

    def prefix(self, images: Tensor) -> Tensor:
        """The image as the first positions of the language model, (B, P, D)."""
        features = self.input_proj(self.image_encoder(images))
        return features if features.ndim == 3 else features[:, None]  # (B, C) is one place

    def decode(self, prefix: Tensor, ids: Tensor) -> Tensor:
        """Prefix (B, P, D) and words (B, T), T may be 0, to logits (B, T + 1, V)."""
        P = prefix.shape[1]
        positions = P + torch.arange(ids.shape[1], device=ids.device)  # after the prefix
        words = self.language_model.embed(ids, positions)
        states = self.language_model.stack(torch.cat([prefix, words], 1))
        # The last place of the prefix predicts the first word.
        return self.language_model.head(states[:, P - 1 :])


def captioning(
    model: Captioner, batch: tuple[Tensor, Tensor], generator: torch.Generator | None = None
) -> Loss:
    """Cross-entropy of the words of each caption and of the 0 that ends it, in nats per word.

    `batch`: images (B, 3, S, S), and captions as ids (B, T), padded with 0.
    """
    images, ids = own_rows(generator, *batch)
    targets = F.pad(ids, (0, 1))  # (B, T + 1): a row without padding ends with 0 too
    is_target = (targets == 0).cumsum(1) < 2  # the words, and the first 0 of a row
    value = F.cross_entropy(model(images, ids)[is_target], targets[is_target])
    return Loss(value, {"nats per word": value.item()}, int(is_target.sum()))
