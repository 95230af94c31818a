"""CLIP: an image encoder and a text encoder into one space, trained by contrast.

    B batch   S side of an image   P places of the last feature map   C channels   T tokens
    D width of the shared space

    images (B, 3, S, S) ── ImageEncoder ──▶ (B, D) ┐
                                                   ├─ image_text_contrastive: which belong together?
    texts (B, T) ───────── TextEncoder ───▶ (B, D) ┘

Radford et al. 2021. The text encoder may also be a frozen pretrained one, which has read far more
than these texts: Zhai et al. 2022 (LiT) freeze the image encoder for the same reason.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fmcourse.models.heads import mean_pool
from fmcourse.models.transformer import Config, Transformer
from fmcourse.objectives import Loss, info_nce

MAX_LOG_SCALE = 4.605  # log 100: at most a hundredfold scale (Radford et al. 2021, section 2.5)


class BasicBlock(nn.Module):
    """A residual block of two 3 x 3 convolutions; it halves the side when the channels change.

    Source: He et al. 2015, figure 2.
    """

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        stride = 1 if channels == out else 2
        self.path = nn.Sequential(
            # No bias: the BatchNorm would subtract it, and adds its own.
            nn.Conv2d(channels, out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(out),
            nn.ReLU(),
            nn.Conv2d(out, out, 3, 1, 1, bias=False),
            nn.BatchNorm2d(out),
        )
        self.skip = nn.Identity()
        if stride == 2:  # the shortcut must have the shape of the path to be added
            self.skip = nn.Sequential(
                nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out)
            )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.path(x) + self.skip(x))  # ReLU after the sum, as in 2015


class ImageEncoder(nn.Module):
    """Colour images (B, 3, S, S) from -1 to 1 to vectors (B, D): a small residual network.

    Args:
        width: of the shared space, D.
        channels: of each level; each level has half the side of the one before.
    Raises: ValueError for other images.
    """

    def __init__(self, width: int = 384, channels: tuple[int, ...] = (64, 128, 256)) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.PixelUnshuffle(2),  # 2 x 2 pixels become 12 channels of one place
            nn.Conv2d(12, channels[0], 3, 1, 1, bias=False),
            nn.BatchNorm2d(channels[0]),
            nn.ReLU(),
        ]
        before = channels[0]
        for out in channels:
            layers += [BasicBlock(before, out), BasicBlock(out, out)]
            before = out
        self.layers = nn.Sequential(*layers)
        self.projection = nn.Linear(channels[-1], width)

    def forward(self, x: Tensor) -> Tensor:
        return self.projection(self.spatial_features(x).mean(1))  # average pooling

    def spatial_features(self, x: Tensor) -> Tensor:
        """The last feature map, its places in reading order: (B, P, C); P = 16 for S = 32."""
        if (
            x.ndim != 4
            or x.shape[1] != 3
            or x.shape[2] % 2
            or x.shape[3] % 2
            or not x.is_floating_point()
        ):
            raise ValueError(
                f"images are {tuple(x.shape)} {x.dtype}; coloured ones (B, 3, S, S) from -1 to 1, "
                "S even, are needed: `normalize_pixels(pixels)` makes them of bytes."
            )
        return self.layers(x).flatten(2).mT  # (B, C, P) to (B, P, C)


class TextEncoder(nn.Module):
    """Token ids (B, T), padded with 0, to vectors (B, D): the mean of a bidirectional Transformer.

    Args:
        config: of the Transformer, not causal; its head is left out.
        width: of the shared space, D.
    Raises: ValueError for a text without a token, or one longer than the context (none is cut).
    """

    def __init__(self, config: Config, width: int = 384) -> None:
        super().__init__()
        if config.causal:
            raise ValueError("causal=True: a phrase is read as a whole, so give causal=False.")
        self.transformer = Transformer(replace(config, head="none"))
        self.projection = nn.Linear(config.width, width)

    def forward(self, ids: Tensor) -> Tensor:
        is_token = ids != 0
        if ids.ndim == 2 and not is_token.any(1).all():
            row = int((~is_token.any(1)).nonzero()[0])
            raise ValueError(f"row {row} of the phrases has no token; each needs one.")
        states = self.transformer.states(ids, is_token[:, None])  # (B, 1, T): padding is not read
        return self.projection(mean_pool(states, is_token))  # the mean leaves padding out


class CLIP(nn.Module):
    """(images, texts) to two sets of unit vectors (B, D), and a learned scale for their products.

    Args:
        image_encoder: images -> (B, D).
        text_encoder: texts, in whatever form it takes them -> (B, D); `nn.Identity()` where they
            are vectors already.
    """

    def __init__(self, image_encoder: nn.Module, text_encoder: nn.Module) -> None:
        super().__init__()
        self.image_encoder, self.text_encoder = image_encoder, text_encoder
        # Its logarithm is learned, so the scale stays above 0.
        self.logit_scale = nn.Parameter(torch.tensor(2.66))  # log(1 / 0.07), as CLIP begins

    def forward(self, images: Tensor, texts: Tensor) -> tuple[Tensor, Tensor]:
        image_vectors, text_vectors = self.image_encoder(images), self.text_encoder(texts)
        return F.normalize(image_vectors, dim=-1), F.normalize(text_vectors, dim=-1)


def image_text_contrastive(
    model: CLIP, batch: tuple[Tensor, Tensor], generator: torch.Generator | None = None
) -> Loss:
    """InfoNCE both ways, in nats: which text belongs to image i, and which image to text i?

    Row i of the images belongs to row i of the texts. A uniform guess costs log B.
    Source: Radford et al. 2021, figure 3.
    """
    images, texts = batch
    temperature = (-model.logit_scale.clamp(max=MAX_LOG_SCALE)).exp()  # 1 / scale
    value = info_nce(*model(images, texts), temperature=temperature)
    return Loss(value, {"nats per pair": value.item()}, len(images))


def ranks(scores: Tensor, right: Tensor) -> Tensor:
    """The rank, from 1, of the best right answer in each row of scores; ties count against it.

    Args:
        scores: (N, M), higher is better.
        right: (N, M) bool, at least one True in every row.
    Returns: (N,) int. Recall@k is the share of ranks of at most k.
    Raises: ValueError if shapes differ or a row has no right answer.

    >>> ranks(torch.tensor([[0.1, 0.7, 0.2]]), torch.tensor([[True, False, True]]))
    tensor([2])
    """
    if (
        scores.ndim != 2
        or scores.shape != right.shape
        or right.dtype != torch.bool
        or not right.any(1).all()
    ):
        raise ValueError(
            f"scores {tuple(scores.shape)} and right {tuple(right.shape)} {right.dtype}: give two "
            "of (N, M), the second bool with a right answer in every row."
        )
    best = scores.masked_fill(~right, -torch.inf).amax(1, keepdim=True)  # (N, 1)
    return 1 + ((scores >= best) & ~right).sum(1)
