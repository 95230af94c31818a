"""Patches of images and time series, which a Transformer reads as tokens; the masked autoencoder.

    B batch   N patches   P numbers in a patch   D width

    images (B, H, W) or series (B, T) ── patchify ──▶ (B, N, P) ── embed, stack ──▶ (B, N, D)

Dosovitskiy et al. 2020 (ViT), section 3.1; He et al. 2021 (MAE), section 3.
"""

import torch
from torch import Tensor, nn

from fmcourse.models.layers import Linear
from fmcourse.models.transformer import Config, Stack


def patchify(x: Tensor, size: int) -> Tensor:
    """Images (B, H, W) to squares, or series (B, T) to stretches, in reading order: (B, N, P).

    Raises: ValueError if `size` does not divide each side.

    >>> patchify(torch.arange(8).view(1, 2, 4), 2).tolist()
    [[[0, 1, 4, 5], [2, 3, 6, 7]]]
    """
    if x.ndim not in (2, 3) or size < 1 or any(side % size or not side for side in x.shape[1:]):
        raise ValueError(
            f"shape {tuple(x.shape)} cannot be cut into patches of size={size}; "
            "give (B, H, W) or (B, T), and a size that divides each side."
        )
    if x.ndim == 2:
        return x.unflatten(-1, (-1, size))  # (B, N, P)
    x = x.unflatten(2, (-1, size)).unflatten(1, (-1, size))  # (B, H/P, P, W/P, P), P = size
    return x.transpose(2, 3).flatten(3).flatten(1, 2)  # (B, N, P²), the grid row by row


class PatchEncoder(nn.Module):
    """Patch embedding plus learned positional embedding, then the backbone: a ViT without a head.

    Args:
        config: of the stack, not causal and without RoPE.
        num_patches: N, all patches of an image.
        patch_width: P, numbers in a patch.
    Raises: ValueError for a causal config or RoPE.
    """

    def __init__(self, config: Config, num_patches: int, patch_width: int) -> None:
        super().__init__()
        if config.causal or config.positions == "rope":
            raise ValueError(
                f"causal={config.causal}, positions={config.positions!r}: "
                "patches are seen in any order, so give causal=False and 'learned'."
            )
        self.embed, self.stack = Linear(patch_width, config.width), Stack(config)
        # The scale at which token embeddings start, too (`init_weights`).
        self.position_embedding = nn.Parameter(0.02 * torch.randn(num_patches, config.width))

    def forward(self, patches: Tensor, visible: Tensor | None = None) -> Tensor:
        """(B, N, P) -> (B, N, D); with a mask `visible` (B, N) bool, those patches alone are read.

        Every row must have as many visible patches as the others, n: the result is (B, n, D).
        """
        x = self.embed(patches) + self.position_embedding  # added first: a patch keeps its place
        if visible is not None:
            x = x[visible].view(len(x), -1, x.shape[-1])  # (B n, D), then (B, n, D)
        return self.stack(x)


class MaskedAutoencoder(nn.Module):
    """Reconstructs all patches from those not masked; afterwards the encoder alone is kept.

    Args:
        encoder: reads the visible patches.
        decoder: config of the small Transformer that reconstructs.
    """

    # For Muon: see `training.optimizers.hidden_matrices`. The projections of patches count as
    # hidden here because the encoders of lesson 03 were measured so.
    hidden_layers = ("encoder.embed", "decoder_embed", "decoder.embed", "to_patches")

    def __init__(self, encoder: PatchEncoder, decoder: Config) -> None:
        super().__init__()
        num_patches, width = encoder.position_embedding.shape
        self.encoder, self.mask_token = encoder, nn.Parameter(torch.zeros(decoder.width))
        self.decoder_embed = Linear(width, decoder.width)
        # Positions once more: all mask tokens are the same vector, and only these tell them apart.
        self.decoder = PatchEncoder(decoder, num_patches, decoder.width)
        self.to_patches = Linear(decoder.width, encoder.embed.in_features)

    def forward(self, patches: Tensor, masked: Tensor) -> Tensor:
        """Patches (B, N, P) and a mask (B, N) bool -> reconstructed patches (B, N, P)."""
        # Masked patches never enter the encoder, which saves most of the computation.
        visible = self.decoder_embed(self.encoder(patches, ~masked))  # (B, n, decoder's D)
        # Both indexing and scattering go in reading order, so each patch returns to its own place.
        x = self.mask_token.expand(*masked.shape, -1).masked_scatter(~masked[..., None], visible)
        return self.to_patches(self.decoder(x))
