"""Patches: pictures and series cut into pieces, which a Transformer reads as it reads words; and an autoencoder that sees only a few.

    pictures (B, H, W) or series (B, T) ── cut ──▶ (B, N, P) ── embed, stack ──▶ (B, N, D)

Dosovitskiy et al. 2020 (ViT), section 3.1; He et al. 2021 (MAE), section 3.
"""

import torch
from torch import Tensor, nn

from fmcourse.models.transformer import Config, Stack
from fmcourse.products import Linear


def cut(x: Tensor, size: int) -> Tensor:
    """Pictures (B, H, W) into squares, or series (B, T) into stretches, in reading order: (B, N, P). Raises: ValueError if they do not fit.

    >>> cut(torch.arange(8).view(1, 2, 4), 2).tolist()
    [[[0, 1, 4, 5], [2, 3, 6, 7]]]
    """
    if x.ndim not in (2, 3) or size < 1 or any(side % size or not side for side in x.shape[1:]):
        raise ValueError(f"shape {tuple(x.shape)} cannot be cut into pieces of size={size}; give (B, H, W) or (B, T), and a size "
                         "that divides each side.")  # fmt: skip
    rows = x.unflatten(-1, (-1, size))
    return rows if x.ndim == 2 else rows.unflatten(1, (-1, size)).transpose(2, 3).flatten(3).flatten(1, 2)


class PatchEncoder(nn.Module):
    """A vector for each piece and one for its place, then the waist: (B, N, P) -> (B, N, D), or of the pieces that are `seen` alone."""

    def __init__(self, config: Config, pieces: int, numbers: int) -> None:
        super().__init__()
        if config.causal or config.positions == "rope":
            raise ValueError(f"causal={config.causal}, positions={config.positions!r}: pieces are seen in any order, so give "
                             "causal=False and 'learned'.")  # fmt: skip
        self.embed, self.stack = Linear(numbers, config.width), Stack(config)
        self.places = nn.Parameter(0.02 * torch.randn(pieces, config.width))

    def forward(self, pieces: Tensor, seen: Tensor | None = None) -> Tensor:
        x = self.embed(pieces) + self.places
        return self.stack(x if seen is None else x[seen].view(len(x), -1, x.shape[-1]))  # every row sees as many


class MaskedAutoencoder(nn.Module):
    """Guesses all pieces from those that are not hidden: (B, N, P) and (B, N) bool -> (B, N, P). The encoder is kept, the rest is scaffolding."""

    def __init__(self, encoder: PatchEncoder, decoder: Config) -> None:
        super().__init__()
        pieces, width = encoder.places.shape
        self.encoder, self.blank = encoder, nn.Parameter(torch.zeros(decoder.width))
        self.narrow, self.decoder = Linear(width, decoder.width), PatchEncoder(decoder, pieces, decoder.width)
        self.to_pieces = Linear(decoder.width, encoder.embed.in_features)

    def forward(self, pieces: Tensor, hidden: Tensor) -> Tensor:
        known = self.narrow(self.encoder(pieces, ~hidden))  # what is hidden never enters
        x = self.blank.expand(*hidden.shape, -1).masked_scatter(~hidden[..., None], known)
        return self.to_pieces(self.decoder(x))
