"""Patches: pictures and series cut into patches, which a Transformer reads as it reads words; and an autoencoder that sees only a few.

    pictures (B, H, W) or series (B, T) ── cut ──▶ (B, N, P) ── embed, stack ──▶ (B, N, D)

Dosovitskiy et al. 2020 (ViT), section 3.1; He et al. 2021 (MAE), section 3.
"""

import torch
from torch import Tensor, nn

from fmcourse.fast.products import Linear
from fmcourse.models.transformer import Config, Stack


def patchify(x: Tensor, size: int) -> Tensor:
    """Pictures (B, H, W) into squares, or series (B, T) into stretches, in reading order: (B, N, P). Raises: ValueError if they do not fit.

    >>> patchify(torch.arange(8).view(1, 2, 4), 2).tolist()
    [[[0, 1, 4, 5], [2, 3, 6, 7]]]
    """
    if x.ndim not in (2, 3) or size < 1 or any(side % size or not side for side in x.shape[1:]):
        raise ValueError(
            f"shape {tuple(x.shape)} cannot be cut into patches of size={size}; give (B, H, W) or (B, T), and a size "
            "that divides each side."
        )
    rows = x.unflatten(-1, (-1, size))
    return (
        rows
        if x.ndim == 2
        else rows.unflatten(1, (-1, size)).transpose(2, 3).flatten(3).flatten(1, 2)
    )


class PatchEncoder(nn.Module):
    """A vector for each piece and one for its place, then the waist: (B, N, P) -> (B, N, D), or of the patches that are `visible` alone."""

    def __init__(self, config: Config, num_patches: int, patch_width: int) -> None:
        super().__init__()
        if config.causal or config.positions == "rope":
            raise ValueError(
                f"causal={config.causal}, positions={config.positions!r}: patches are seen in any order, so give "
                "causal=False and 'learned'."
            )
        self.embed, self.stack = Linear(patch_width, config.width), Stack(config)
        self.position_embedding = nn.Parameter(0.02 * torch.randn(num_patches, config.width))

    def forward(self, patches: Tensor, visible: Tensor | None = None) -> Tensor:
        x = self.embed(patches) + self.position_embedding
        return self.stack(
            x if visible is None else x[visible].view(len(x), -1, x.shape[-1])
        )  # every row sees as many


class MaskedAutoencoder(nn.Module):
    """Guesses all patches from those that are not masked: (B, N, P) and (B, N) bool -> (B, N, P). The encoder is kept, the rest is scaffolding."""

    # For Muon: see `training.optimizers.hidden_matrices`. The projections of patches count as hidden
    # here because the encoders of lesson 03 were measured so.
    hidden_layers = ("encoder.embed", "decoder_embed", "decoder.embed", "to_patches")

    def __init__(self, encoder: PatchEncoder, decoder: Config) -> None:
        super().__init__()
        num_patches, width = encoder.position_embedding.shape
        self.encoder, self.mask_token = encoder, nn.Parameter(torch.zeros(decoder.width))
        self.decoder_embed, self.decoder = (
            Linear(width, decoder.width),
            PatchEncoder(decoder, num_patches, decoder.width),
        )
        self.to_patches = Linear(decoder.width, encoder.embed.in_features)

    def forward(self, patches: Tensor, masked: Tensor) -> Tensor:
        known = self.decoder_embed(self.encoder(patches, ~masked))  # what is masked never enters
        x = self.mask_token.expand(*masked.shape, -1).masked_scatter(~masked[..., None], known)
        return self.to_patches(self.decoder(x))
