"""A diffusion Transformer: pictures cut into patches, and between the two ends the same `Stack` that reads words.

    B batch   C colours   S side   P side of a patch   N patches   D width

    x (B, C, S, S) ── cut, embed ──▶ (B, N, D) ── stack ──▶ (B, N, D) ── head, put together ──▶ (B, C, S, S)

Peebles & Xie 2022 (DiT), section 3.2. There what is told scales and shifts inside every block; here it is added to every patch, as BERT
adds the kind of a text to every word, so that no block has to know of it.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fmcourse.fast.products import Linear
from fmcourse.models.transformer import Config, Stack, init_weights
from fmcourse.models.unet import TimeConditioner, timestep_embedding


def sinusoidal_encoding_2d(high: int, wide: int, width: int) -> Tensor:
    """A vector for each place of a grid in reading order, (high * wide, D): waves across in the left half, waves down in the right.

    Source: Dosovitskiy et al. 2020, appendix D.4, with fixed waves as in Vaswani et al. 2017.
    """
    across, down = (
        timestep_embedding(torch.arange(n) / 1000, width // 2) for n in (wide, high)
    )  # waves count in thousandths
    return torch.cat([across.repeat(high, 1), down.repeat_interleave(wide, 0)], 1)


class DiT(nn.Module):
    """Changes pictures (B, C, S, S) into pictures of the same shape, told a time (B,) from 0 to 1: a `UNet`'s twin.

    Args:
        config: of the stack; `context` is the most patches it takes, `width` must be a multiple of 4.
        channels: colours, C.
        patch_size: side of a patch, P.
        conditioner: a network that makes (B, D) of the condition; without one the network takes none.
    Any side will do: what does not divide is padded at the right and below, and cut off again.
    Raises: ValueError for a stack that reads in one direction, other pictures than it was made for, or more patches than `context`.
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
        if (
            config.causal
            or config.positions == "rope"
            or config.width % 4
            or min(channels, patch_size) < 1
        ):
            raise ValueError(
                f"causal={config.causal}, positions={config.positions!r}, width={config.width}, channels={channels}, patch_size={patch_size}: "
                'patches lie in two directions, so give causal=False and positions="none", a width that 4 divides, and at '
                "least one colour and one pixel."
            )
        self.channels, self.patch_size = channels, patch_size
        self.embed, self.stack = Linear(channels * patch_size**2, config.width), Stack(config)
        self.head = Linear(config.width, channels * patch_size**2)
        init_weights(self)
        nn.init.zeros_(self.head.weight)
        self.time_conditioner = TimeConditioner(config.width, conditioner)

    def forward(self, x: Tensor, time: Tensor, condition: Tensor | None = None) -> Tensor:
        if x.ndim != 4 or x.shape[1] != self.channels or time.shape != x.shape[:1]:
            raise ValueError(
                f"pictures {tuple(x.shape)} and time {tuple(time.shape)} were given; this network takes pictures "
                f"(B, {self.channels}, S, S) and a time for each, (B,)."
            )
        conditioning, (high, wide) = self.time_conditioner(time, condition), x.shape[-2:]
        x = F.pad(x, (0, -wide % self.patch_size, 0, -high % self.patch_size), mode="replicate")
        x = F.pixel_unshuffle(
            x, self.patch_size
        )  # (B, C P², S/P, S/P): a patch's pixels are its colours now
        rows, columns = x.shape[-2:]
        x = self.embed(x.flatten(2).mT) + sinusoidal_encoding_2d(
            rows, columns, conditioning.shape[-1]
        ).to(x)  # (B, N, D)
        x = self.head(self.stack(x + conditioning[:, None]))
        return F.pixel_shuffle(x.mT.unflatten(-1, (rows, columns)), self.patch_size)[
            ..., :high, :wide
        ]
