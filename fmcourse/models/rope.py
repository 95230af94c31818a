"""Rotary position embedding (RoPE): queries and keys rotated by angles that grow with position.

    B batch   T tokens   K head width

The product of a rotated query and a rotated key depends on the distance between their positions
alone. Su et al. 2021, section 3.4; features i and i + K/2 form a pair, as in Llama's weights.
"""

import torch
from torch import Tensor, nn

from fmcourse.models.config import Config

CosSin = tuple[Tensor, Tensor] | None


class RotaryEmbedding(nn.Module):
    """Cosines and sines of all positions of the context, one angular frequency for each pair."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        # 0, 2/K, 4/K, ...: one for each pair of features.
        exponents = torch.arange(0, config.head_width, 2, dtype=torch.float32) / config.head_width
        frequencies = config.rope_base**-exponents  # (K/2,), from 1 down to almost 1 / rope_base
        angles = torch.arange(config.context)[:, None] * frequencies  # (context, K/2)
        # Twice, because features i and i + K/2 share an angle: (context, K). Not persistent: the
        # config determines them, so a checkpoint need not hold them.
        self.register_buffer("cos", angles.cos().repeat(1, 2), persistent=False)
        # The left half's sines are negative, so that `apply_rope` needs one addition for both.
        self.register_buffer("sin", torch.cat([-angles.sin(), angles.sin()], 1), persistent=False)

    def forward(self, positions: Tensor) -> CosSin:
        """Positions (T,) or (B, T) to (cos, sin), each (T, K) or (B, 1, T, K)."""
        cos, sin = self.cos[positions], self.sin[positions]  # (T, K) or (B, T, K)
        return (cos, sin) if positions.ndim == 1 else (cos[:, None], sin[:, None])  # for all heads


class NoRotaryEmbedding(nn.Module):
    """For models that have positions in their embedding, or none."""

    def forward(self, positions: Tensor) -> CosSin:
        return None


def apply_rope(x: Tensor, rope: CosSin) -> Tensor:
    """Rotate x (..., T, K) by its positions' angles; rope=None leaves it as it is."""
    if rope is None:
        return x
    cos, sin = rope
    # (a, b) becomes (a cos - b sin, b cos + a sin): the roll puts b below a and a below b.
    return x * cos + x.roll(x.shape[-1] // 2, -1) * sin
