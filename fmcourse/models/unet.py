"""A U-Net: down to a coarse resolution and up again, with skip connections at every resolution.

    B batch   C channels   S image side   D width of time and condition

    x (B, C, S, S) ── unshuffle ──▶ level 1 ──▶ level 2 ──▶ ... middle ... ──▶ level 2 ──▶ level 1
                                        └──────────── skips ─────────────────────────────────┘

Ronneberger et al. 2015; timestep embedding as in Ho et al. 2020; scale and shift as in Dhariwal &
Nichol 2021. The first step folds 2 by 2 pixels into one position with four times the channels (Shi
et al. 2016), which saves three quarters of the computation at the finest level.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def timestep_embedding(time: Tensor, width: int) -> Tensor:
    """Sinusoidal embedding of times (B,) from 0 to 1: (B, width), similar for times that are near.

    Source: Vaswani et al. 2017, section 3.5; time counted in thousandths, as in Ho et al. 2020.
    """
    half = width // 2
    # From 1 down to nearly 1 / 10,000: fast ones tell near times apart, slow ones far times.
    frequencies = torch.exp(-math.log(10_000) * torch.arange(half, device=time.device) / half)
    # In 32 bits: half precision cannot tell 999 thousandths from 1000.
    angles = 1000 * time[:, None].float() * frequencies  # (B, width / 2)
    return torch.cat([angles.cos(), angles.sin()], 1).to(time.dtype)  # (B, width)


class TimeConditioner(nn.Module):
    """Time, and the condition if there is one, as one conditioning vector: (B, D)."""

    def __init__(self, width: int, conditioner: nn.Module | None) -> None:
        super().__init__()
        self.width, self.conditioner = width, conditioner
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, time: Tensor, condition: Tensor | None) -> Tensor:
        """Times (B,) from 0 to 1 and a condition -> (B, D).

        Raises: ValueError for a condition without a conditioner, or the other way round.
        """
        if (condition is None) != (self.conditioner is None):
            given, made = "a condition", "without"
            if condition is None:
                given, made = "no condition", "with"
            raise ValueError(
                f"{given} was given to a network made {made} a conditioner; "
                "give what it was made for."
            )
        embedding = self.mlp(timestep_embedding(time, self.width))
        if condition is not None:
            embedding = embedding + self.conditioner(condition)
        return F.silu(embedding)  # once here, for the linear layers of all blocks


def check_images_and_time(x: Tensor, time: Tensor, channels: int) -> None:
    """Raises: ValueError unless x is (B, channels, S, S) and time is (B,)."""
    if x.ndim != 4 or x.shape[1] != channels or time.shape != x.shape[:1]:
        raise ValueError(
            f"images {tuple(x.shape)} and time {tuple(time.shape)} were given; this network takes "
            f"images (B, {channels}, S, S) and a time for each, (B,)."
        )


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut; the conditioning scales and shifts between them.

    Its last layers start at zero, so at first a block passes its input on.
    """

    def __init__(self, channels: int, out: int, condition_width: int) -> None:
        super().__init__()
        # Eight groups, or as many as divide the channels.
        self.norm_1 = nn.GroupNorm(math.gcd(8, channels), channels)
        self.norm_2 = nn.GroupNorm(math.gcd(8, out), out)
        self.conv_1 = nn.Conv2d(channels, out, 3, padding=1)
        self.conv_2 = nn.Conv2d(out, out, 3, padding=1)
        self.scale_shift = nn.Linear(condition_width, 2 * out)
        # 1 by 1: changes the number of channels alone.
        self.skip = nn.Identity() if channels == out else nn.Conv2d(channels, out, 1)
        for last in (self.conv_2, self.scale_shift):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, x: Tensor, conditioning: Tensor) -> Tensor:
        """x (B, channels, S, S) and conditioning (B, D) -> (B, out, S, S)."""
        # (B, out, 1, 1) each: one pair of numbers per channel, the same at all places.
        scale, shift = self.scale_shift(conditioning)[:, :, None, None].chunk(2, 1)
        y = self.conv_1(F.silu(self.norm_1(x)))
        # 1 + scale: at the start, with scale and shift 0, the conditioning changes nothing.
        y = self.conv_2(F.silu(self.norm_2(y) * (1 + scale) + shift))
        return self.skip(x) + y


class UNet(nn.Module):
    """Images (B, C, S, S) and times (B,) from 0 to 1 -> (B, C, S, S).

    Args:
        channels: of the image, C.
        widths: channels of each level; each level has half the resolution of the one before.
        depth: residual blocks of each level, on the way down; up has one more.
        condition_width: width of time and condition, D.
        fold: the first step makes one position of fold by fold pixels.
        conditioner: a network from the condition to (B, D); without one the U-Net takes none.
    Any image side will do: it is padded to a multiple, and the output is cropped.
    Raises: ValueError for widths below 1, no level, or images with another number of channels.
    """

    # For Muon: see `training.optimizers.hidden_matrices`.
    hidden_layers = ("time_conditioner", "middle")

    def __init__(
        self,
        channels: int = 1,
        widths: tuple[int, ...] = (32, 64),
        depth: int = 2,
        *,
        condition_width: int = 128,
        fold: int = 2,
        conditioner: nn.Module | None = None,
    ) -> None:
        super().__init__()
        # // 2: the timestep embedding needs at least one sine and one cosine.
        smallest = min(*widths, depth, channels, fold, condition_width // 2) if widths else 0
        if smallest < 1 or condition_width % 2:
            raise ValueError(
                f"channels={channels}, widths={widths}, depth={depth}, "
                f"condition_width={condition_width}, fold={fold}: each must be at least 1, "
                "condition_width even, and there must be at least one width."
            )
        self.channels, self.fold = channels, fold
        self.multiple = fold * 2 ** (len(widths) - 1)  # what an image side is padded to
        self.time_conditioner = TimeConditioner(condition_width, conditioner)
        self.input_proj = nn.Conv2d(channels * fold**2, widths[0], 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        skips = self._build_down(widths, depth, condition_width)
        self.middle = ResidualBlock(widths[-1], widths[-1], condition_width)
        self._build_up(widths, depth, condition_width, skips)
        self.output_proj = nn.Sequential(
            nn.GroupNorm(math.gcd(8, widths[0]), widths[0]),
            nn.SiLU(),
            nn.Conv2d(widths[0], channels * fold**2, 3, padding=1),
        )
        nn.init.zeros_(self.output_proj[-1].weight)  # the first prediction is 0 everywhere
        nn.init.zeros_(self.output_proj[-1].bias)

    def _build_down(self, widths: tuple[int, ...], depth: int, condition_width: int) -> list[int]:
        """Residual blocks level by level, a strided convolution between two levels.

        Returns: the channels of what each module leaves as a skip, the input's first.
        """
        # The projected input is the first skip.
        skips = [widths[0]]
        for level, out in enumerate(widths):
            for _ in range(depth):
                self.down.append(ResidualBlock(skips[-1], out, condition_width))
                skips.append(out)
            if level < len(widths) - 1:
                self.down.append(nn.Conv2d(out, out, 3, stride=2, padding=1))
                skips.append(out)
        return skips

    def _build_up(
        self, widths: tuple[int, ...], depth: int, condition_width: int, skips: list[int]
    ) -> None:
        """Each block takes the last skip that is left; the resolution doubles between levels."""
        remaining, width = list(skips), widths[-1]
        # From the coarsest level to the finest; skips come back in reverse order.
        for level, out in reversed(list(enumerate(widths))):
            # One block more than down: the strided convolution, or the input, left a skip as well.
            for _ in range(depth + 1):
                self.up.append(ResidualBlock(width + remaining.pop(), out, condition_width))
                width = out
            if level:  # after the finest level there is nothing to double
                # Copies, and the next convolution smooths: a transposed convolution tends to leave
                # checkerboards (Odena et al. 2016).
                self.up.append(nn.Upsample(scale_factor=2, mode="nearest"))

    def forward(self, x: Tensor, time: Tensor, condition: Tensor | None = None) -> Tensor:
        """The prediction for noisy images x (B, C, S, S) at times (B,): (B, C, S, S)."""
        check_images_and_time(x, time, self.channels)
        conditioning = self.time_conditioner(time, condition)  # (B, D)
        high, wide = x.shape[-2:]
        # Right and below; -n % m brings n to a multiple of m. Zeros would look like a border.
        x = F.pad(x, (0, -wide % self.multiple, 0, -high % self.multiple), mode="replicate")
        x = self.input_proj(F.pixel_unshuffle(x, self.fold))  # (B, widths[0], S / fold, S / fold)
        skips = [x]
        for module in self.down:
            x = module(x, conditioning) if isinstance(module, ResidualBlock) else module(x)
            skips.append(x)
        x = self.middle(x, conditioning)
        for module in self.up:
            if isinstance(module, ResidualBlock):
                # The last skip is of the same resolution: each block up takes the next one back.
                x = module(torch.cat([x, skips.pop()], 1), conditioning)
            else:
                x = module(x)
        return F.pixel_shuffle(self.output_proj(x), self.fold)[..., :high, :wide]  # (B, C, S, S)
