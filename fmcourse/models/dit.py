"""A diffusion Transformer (DiT): images as patches, through the same `Stack` that reads tokens.

    B batch   C channels   S image side   P patch side   N patches   D width

    x (B, C, S, S) ── patches, embed ──▶ (B, N, D) ── stack ──▶ (B, N, D) ── head ──▶ (B, C, S, S)

Peebles & Xie 2022, section 3.2. There the conditioning scales and shifts inside every block; here
it is added to every patch, as BERT adds its token types, so that the blocks need not know of it.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fmcourse.models.layers import Linear
from fmcourse.models.transformer import Config, Stack, init_weights
from fmcourse.models.unet import TimeConditioner, check_images_and_time, timestep_embedding


def sinusoidal_encoding_2d(high: int, wide: int, width: int) -> Tensor:
    """A positional encoding for a grid in reading order, (high * wide, D).

    The left half of the features encodes the column, the right half the row.
    Source: Dosovitskiy et al. 2020, appendix D.4, with fixed sinusoids as in Vaswani et al. 2017.
    """
    # `timestep_embedding` counts in thousandths, so that column n is time n / 1000.
    columns, rows = (timestep_embedding(torch.arange(n) / 1000, width // 2) for n in (wide, high))
    # In reading order the column changes with every patch, the row after `wide` of them. Expanded,
    # because ONNX keeps the number of repeats that it was exported with.
    columns, rows = columns.expand(high, -1, -1), rows[:, None].expand(-1, wide, -1)
    return torch.cat([columns, rows], -1).flatten(0, 1)


class DiT(nn.Module):
    """Images (B, C, S, S) and times (B,) from 0 to 1 -> (B, C, S, S); interchangeable with `UNet`.

    Args:
        config: of the stack; `context` is the most patches it takes, `width` a multiple of 4.
        channels: of the image, C.
        patch_size: side of a patch, P.
        conditioner: a network from the condition to (B, D); without one the model takes none.
    Any image side will do: it is padded to a multiple of P, and the output is cropped.
    Raises: ValueError for a causal stack or RoPE, for images of another shape than it was made for,
        or for more patches than `context`.
    """

    hidden_layers = ("time_conditioner",)  # for Muon: see `training.optimizers.hidden_matrices`

    def __init__(
        self,
        config: Config,
        channels: int = 1,
        patch_size: int = 4,
        *,
        conditioner: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self._check(config, channels, patch_size)
        self.channels, self.patch_size = channels, patch_size
        self.embed, self.stack = Linear(channels * patch_size**2, config.width), Stack(config)
        self.head = Linear(config.width, channels * patch_size**2)
        init_weights(self)
        nn.init.zeros_(self.head.weight)  # the first prediction is 0 everywhere
        # Made after `init_weights`, so that it and the conditioner keep their own initialization.
        self.time_conditioner = TimeConditioner(config.width, conditioner)

    @staticmethod
    def _check(config: Config, channels: int, patch_size: int) -> None:
        is_ordered = config.causal or config.positions == "rope"  # in one direction
        # 4: sine and cosine, for columns and rows.
        if is_ordered or config.width % 4 or min(channels, patch_size) < 1:
            raise ValueError(
                f"causal={config.causal}, positions={config.positions!r}, width={config.width}, "
                f"channels={channels}, patch_size={patch_size}: patches lie in two directions, so "
                'give causal=False and positions="none", a width that 4 divides, and at least one '
                "channel and one pixel."
            )

    def forward(self, x: Tensor, time: Tensor, condition: Tensor | None = None) -> Tensor:
        """The prediction for noisy images x (B, C, S, S) at times (B,): (B, C, S, S)."""
        check_images_and_time(x, time, self.channels)
        conditioning = self.time_conditioner(time, condition)  # (B, D)
        high, wide = x.shape[-2:]
        P = self.patch_size
        # -n % P pixels bring n to a multiple of P. The edge is repeated: zeros would add a border.
        x = F.pad(x, (0, -wide % P, 0, -high % P), mode="replicate")
        x = F.pixel_unshuffle(x, P)  # (B, C P², S/P, S/P): a patch's pixels are its channels now
        rows, columns = x.shape[-2:]
        positions = sinusoidal_encoding_2d(rows, columns, conditioning.shape[-1])  # (N, D)
        x = self.embed(x.flatten(2).mT) + positions.to(x)  # (B, N, D)
        x = self.head(self.stack(x + conditioning[:, None]))  # (B, N, C P²)
        x = F.pixel_shuffle(x.mT.unflatten(-1, (rows, columns)), P)  # channels to pixels again
        return x[..., :high, :wide]  # without the padding
