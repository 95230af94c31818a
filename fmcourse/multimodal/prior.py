"""Images from text: the condition of a diffusion model, and a prior from text to image vectors.

B batch   D width of the shared space of texts and images
"""

import torch
from torch import Tensor, nn

from fmcourse.models.unet import TimeConditioner


def condition_vector(text: Tensor | None = None, image: Tensor | None = None) -> Tensor:
    """The condition of a diffusion model, (B, 2 D): a text's vector, an image's vector, or both.

    Args:
        text, image: unit vectors (B, D) of a text encoder and of an image encoder. They are scaled
            to a mean square of 1; the half that is not given is 0.
    Raises: ValueError if neither is given, or shapes differ.

    >>> condition_vector(text=torch.ones(1, 4) / 2)
    tensor([[1., 1., 1., 1., 0., 0., 0., 0.]])
    """
    given = [half for half in (text, image) if half is not None]
    if not given or any(half.ndim != 2 or half.shape != given[0].shape for half in given):
        raise ValueError(
            f"text and image are {[tuple(half.shape) for half in given]}; give one, or two alike, "
            "(B, D)."
        )
    halves = [torch.zeros_like(given[0]) if half is None else half for half in (text, image)]
    return torch.cat(halves, 1) * given[0].shape[1] ** 0.5  # a unit vector has mean square 1 / D


class DiffusionPrior(nn.Module):
    """A diffusion model of image vectors (B, D), conditioned on a text's vector.

    Many images belong to one text, so the prior draws one of them, where a regression could give
    only their mean. Source: Ramesh et al. 2022 (DALL-E 2), section 2.2; here a residual perceptron
    in place of their Transformer.

    Args:
        width: of the vectors, D.
        hidden: width of the residual blocks.
        depth: how many of them.
    """

    hidden_layers = ("time_conditioner",)  # for Muon: see `training.optimizers.hidden_matrices`

    def __init__(self, width: int = 384, hidden: int = 512, depth: int = 3) -> None:
        super().__init__()
        self.time_conditioner = TimeConditioner(hidden, nn.Linear(width, hidden))
        self.input_proj, self.output_proj = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(hidden),
                nn.Linear(hidden, 2 * hidden),
                nn.SiLU(),
                nn.Linear(2 * hidden, hidden),
            )
            for _ in range(depth)
        )
        # From zero, so that the first predictions are 0 and not random.
        nn.init.zeros_(self.output_proj.weight)
        nn.init.zeros_(self.output_proj.bias)

    def forward(self, x: Tensor, time: Tensor, condition: Tensor) -> Tensor:
        """Noisy vectors (B, D), time (B,) and texts' vectors (B, D) to a prediction (B, D)."""
        conditioning, x = self.time_conditioner(time, condition), self.input_proj(x)
        for block in self.blocks:
            # The conditioning enters every block, but not the residual stream.
            x = x + block(x + conditioning)
        return self.output_proj(x)
