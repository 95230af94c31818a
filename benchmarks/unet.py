"""One training step of a U-Net: ours beside diffusers' UNet2DModel with as many parameters.

Run   python -m benchmarks unet     Takes   about two minutes on one core

Both predict the noise in grey images of 28 by 28, batch 64, 32 bits, two levels, two blocks each,
no attention; the peer's widths are those with which its parameters come nearest to ours. A step is
drawing noise, forward, loss, backward, clipping, torch's fused AdamW, and reading the loss. Ours
folds 2 by 2 pixels into one position first, and that is most of the difference: the peer works on
all 784 positions. So the last row has the peer do the same, on folded images with four channels:
what is left is how the layers are written.
"""

from collections.abc import Callable

import torch
from diffusers import UNet2DModel
from torch import Tensor, nn
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

    def loss_of(network: nn.Module) -> Callable[[Tensor], Tensor]:
        return lambda batch: diffusion_loss(network, batch, schedule=Schedule.linear()).value

    rows = []
    for what, side, images in (
        ("28 by 28", 28, x),
        ("folded by the peer too", 14, F.pixel_unshuffle(x, 2)),
    ):
        peer = peer_of_size(count_parameters(ours), side, images.shape[1])
        sizes = f"{count_parameters(ours):,} and {count_parameters(peer):,} parameters"
        steps = {
            "ours": stepper(ours, loss_of(ours), [x] * 1000),
            "peer": stepper(peer, loss_of(peer), [images] * 1000),
        }
        seconds = side_by_side(steps, rounds)
        speed, other = (batch / seconds[who] for who in ("ours", "peer"))
        target = ">= 1.2" if side == 28 else None
        label = f"train, {what}, {sizes}; peer is diffusers"
        rows.append(row(label, speed, other, speed / other, "images/s", target))
    return rows
