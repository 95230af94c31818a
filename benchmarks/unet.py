"""One training step of a U-Net: ours beside diffusers' UNet2DModel of as many parameters.

Run   python -m benchmarks unet     Takes   about two minutes on one core

Both predict the noise in images of 28 by 28, batch 64, 32 bits, two levels, two blocks each, no
attention; the peer's widths are those with which its parameters come nearest to ours. A step is
drawing noise, forward, loss, backward, clipping, torch's fused AdamW, and reading the loss. Ours
folds 2 by 2 pixels into one place before it begins, and that is most of the difference: the peer
works on all 784 places. So the last row has the peer do the same, on folded images with four
colours: what is left is how the parts are written.
"""

from functools import partial

import torch
from diffusers import UNet2DModel
from torch import nn
from torch.nn import functional as F

from benchmarks.rows import Row, row, side_by_side
from benchmarks.train_step import stepper
from fmcourse.diffusion import Schedule, diffusion_loss
from fmcourse.models.transformer import count_parameters
from fmcourse.models.unet import UNet


def peer_model(width: int, side: int, channels: int) -> UNet2DModel:
    """diffusers' model with two levels, the second twice as wide."""
    down, up = ("DownBlock2D",) * 2, ("UpBlock2D",) * 2
    return UNet2DModel(
        sample_size=side,
        in_channels=channels,
        out_channels=channels,
        layers_per_block=2,
        block_out_channels=(width, 2 * width),
        norm_num_groups=8,
        down_block_types=down,
        up_block_types=up,
        add_attention=False,
    )


class PeerUNet(nn.Module):
    """The peer, called as ours is: time from 0 to 1, and the prediction alone comes back."""

    def __init__(self, model: UNet2DModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        return self.model(x, 1000 * time).sample


def peer_of_size(n: int, side: int, channels: int) -> PeerUNet:
    """The peer whose parameters come nearest to `n`."""
    with torch.device("meta"):
        sizes = {
            width: count_parameters(peer_model(width, side, channels)) for width in range(8, 129, 8)
        }
    return PeerUNet(peer_model(min(sizes, key=lambda width: abs(sizes[width] - n)), side, channels))


def main(small: bool = False) -> list[Row]:
    """Images a second, and their ratio."""
    widths, batch, rounds = ((8, 16), 2, 1) if small else ((32, 64), 64, 25)
    torch.manual_seed(0)
    ours, x = (
        UNet(1, widths),
        torch.rand(batch, 1, 28, 28, generator=torch.Generator().manual_seed(0)) * 2 - 1,
    )
    objective = partial(diffusion_loss, schedule=Schedule.linear())
    rows = []
    for what, side, pictures in (
        ("28 by 28", 28, x),
        ("folded by the peer too", 14, F.pixel_unshuffle(x, 2)),
    ):
        peer = peer_of_size(count_parameters(ours), side, pictures.shape[1])
        sizes = f"{count_parameters(ours):,} and {count_parameters(peer):,} parameters"
        mine, theirs = (
            (lambda b: objective(ours, b).value),
            (lambda b, peer=peer: objective(peer, b).value),
        )
        seconds = side_by_side(
            {
                "ours": stepper(ours, mine, [x] * 1000),
                "peer": stepper(peer, theirs, [pictures] * 1000),
            },
            rounds,
        )
        speed, other = (batch / seconds[who] for who in ("ours", "peer"))
        target = ">= 1.2" if side == 28 else None
        rows.append(
            row(
                f"train, {what}, {sizes}; peer is diffusers",
                speed,
                other,
                speed / other,
                "pictures/s",
                target,
            )
        )
    return rows
