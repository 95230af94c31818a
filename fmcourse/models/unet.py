"""A U-Net: pictures in, pictures out; down to a coarse view and up again, with a bridge at every size so that no detail is lost.

    B batch   C colours   S side   W width of a level   D width of what it is told

    x (B, C, S, S) ── unshuffle ──▶ level 1 ──▶ level 2 ──▶ ... middle ... ──▶ level 2 ──▶ level 1 ── shuffle ──▶ (B, C, S, S)
                                        └──────────── skips ────────────────────────────────┘

Ronneberger et al. 2015; told the time as in Ho et al. 2020; scale and shift as in Dhariwal & Nichol 2021. The first step folds 2 by 2
pixels into one place (Shi et al. 2016), which costs nothing and saves three quarters of the work at the finest level.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def timestep_embedding(time: Tensor, width: int) -> Tensor:
    """Time (B,) from 0 to 1 as cosines and sines of many lengths, (B, width), so that near moments look alike and far ones do not.

    Source: Vaswani et al. 2017, section 3.5; time counted in thousandths, as in Ho et al. 2020.
    """
    rates = torch.exp(
        -math.log(10_000) * torch.arange(width // 2, device=time.device) / (width // 2)
    )
    angles = 1000 * time[:, None].float() * rates
    return torch.cat([angles.cos(), angles.sin()], 1).to(time.dtype)


class TimeConditioner(nn.Module):
    """What the network is told beside the picture, in D numbers: the time, and the condition if there is one."""

    def __init__(self, width: int, conditioner: nn.Module | None) -> None:
        super().__init__()
        self.width, self.conditioner = width, conditioner
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, time: Tensor, condition: Tensor | None) -> Tensor:
        if (condition is None) != (self.conditioner is None):
            given, made = (
                ("no condition", "with") if condition is None else ("a condition", "without")
            )
            raise ValueError(
                f"{given} was given to a network made {made} a conditioner; give what it was made for."
            )
        conditioning = self.mlp(timestep_embedding(time, self.width))
        return F.silu(
            conditioning if condition is None else conditioning + self.conditioner(condition)
        )


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut; what is told scales and shifts between them. Begins by changing nothing."""

    def __init__(self, channels: int, out: int, condition_width: int) -> None:
        super().__init__()
        self.norm_1, self.norm_2 = (nn.GroupNorm(math.gcd(8, n), n) for n in (channels, out))
        self.conv_1, self.conv_2 = (
            nn.Conv2d(channels, out, 3, padding=1),
            nn.Conv2d(out, out, 3, padding=1),
        )
        self.scale_shift = nn.Linear(condition_width, 2 * out)
        self.skip = nn.Identity() if channels == out else nn.Conv2d(channels, out, 1)
        for last in (self.conv_2, self.scale_shift):
            nn.init.zeros_(last.weight), nn.init.zeros_(last.bias)

    def forward(self, x: Tensor, conditioning: Tensor) -> Tensor:
        scale, shift = self.scale_shift(conditioning)[:, :, None, None].chunk(2, 1)
        y = self.conv_1(F.silu(self.norm_1(x)))
        y = self.conv_2(F.silu(self.norm_2(y) * (1 + scale) + shift))
        return self.skip(x) + y


class UNet(nn.Module):
    """Changes pictures (B, C, S, S) into pictures of the same shape, told a time (B,) from 0 to 1.

    Args:
        channels: colours, C.
        widths: channels of each level; each level sees half the side of the one before.
        depth: residual blocks a level, down and up each.
        condition_width: width of time and condition, D.
        fold: the first step makes one place of fold by fold pixels.
        conditioner: a network that makes (B, D) of the condition; without one the network takes none.
    Any side will do: what does not divide is padded at the right and below, and cut off again.
    Raises: ValueError for widths below 1, no level, or pictures with another number of colours.
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
        if (
            not widths
            or min(*widths, depth, channels, fold, condition_width // 2) < 1
            or condition_width % 2
        ):
            raise ValueError(
                f"channels={channels}, widths={widths}, depth={depth}, condition_width={condition_width}, fold={fold}: each must be at least 1, "
                "condition_width even, and there must be at least one width."
            )
        self.channels, self.fold, self.multiple = channels, fold, fold * 2 ** (len(widths) - 1)
        self.time_conditioner = TimeConditioner(condition_width, conditioner)
        self.input_proj = nn.Conv2d(channels * fold**2, widths[0], 3, padding=1)
        self.down, self.up, skips, width = nn.ModuleList(), nn.ModuleList(), [widths[0]], widths[0]
        for level, wide in enumerate(widths):
            for _ in range(depth):
                self.down.append(ResidualBlock(width, wide, condition_width))
                skips.append(width := wide)
            if level < len(widths) - 1:
                self.down.append(nn.Conv2d(wide, wide, 3, stride=2, padding=1))
                skips.append(wide)
        self.middle = ResidualBlock(width, width, condition_width)
        for level, wide in reversed(list(enumerate(widths))):
            for _ in range(depth + 1):
                self.up.append(ResidualBlock(width + skips.pop(), wide, condition_width))
                width = wide
            if level:
                self.up.append(nn.Upsample(scale_factor=2, mode="nearest"))
        self.output_proj = nn.Sequential(
            nn.GroupNorm(math.gcd(8, width), width),
            nn.SiLU(),
            nn.Conv2d(width, channels * fold**2, 3, padding=1),
        )
        nn.init.zeros_(self.output_proj[-1].weight), nn.init.zeros_(self.output_proj[-1].bias)

    def forward(self, x: Tensor, time: Tensor, condition: Tensor | None = None) -> Tensor:
        if x.ndim != 4 or x.shape[1] != self.channels or time.shape != x.shape[:1]:
            raise ValueError(
                f"pictures {tuple(x.shape)} and time {tuple(time.shape)} were given; this network takes pictures "
                f"(B, {self.channels}, S, S) and a time for each, (B,)."
            )
        conditioning, (high, wide) = self.time_conditioner(time, condition), x.shape[-2:]
        x = F.pad(x, (0, -wide % self.multiple, 0, -high % self.multiple), mode="replicate")
        x = self.input_proj(F.pixel_unshuffle(x, self.fold))
        skips = [x]
        for part in self.down:
            x = part(x, conditioning) if isinstance(part, ResidualBlock) else part(x)
            skips.append(x)
        x = self.middle(x, conditioning)
        for part in self.up:
            x = (
                part(torch.cat([x, skips.pop()], 1), conditioning)
                if isinstance(part, ResidualBlock)
                else part(x)
            )
        return F.pixel_shuffle(self.output_proj(x), self.fold)[..., :high, :wide]
