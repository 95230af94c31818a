"""Words and images in one space: two encoders, one question.

    B batch   S side   D width of the shared space

    image (B, 3, S, S) ── ImageEncoder ────▶ (B, D) ┐
                                                    ├─ which belong together?   `image_text_contrastive`
    phrase, read ───────── a text encoder ─▶ (B, D) ┘

Radford et al. 2021 (CLIP). The text encoder may be a frozen model that has read far more than these phrases: Zhai et al. 2022 (LiT)
froze the image's side instead, for the same reason.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fmcourse.models.heads import mean_pool
from fmcourse.models.transformer import Config, Transformer
from fmcourse.models.unet import TimeConditioner
from fmcourse.objectives import Loss, info_nce


class BasicBlock(nn.Module):
    """Two convolutions beside a shortcut, half as many places when the width changes. Source: He et al. 2015, figure 2."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        stride = 1 if channels == out else 2
        conv = lambda i, o, s: [nn.Conv2d(i, o, 3, s, 1, bias=False), nn.BatchNorm2d(o)]
        self.path = nn.Sequential(*conv(channels, out, stride), nn.ReLU(), *conv(out, out, 1))
        self.skip = (
            nn.Identity()
            if stride == 1
            else nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.path(x) + self.skip(x))


class ImageEncoder(nn.Module):
    """Coloured images (B, 3, S, S) from -1 to 1 as vectors (B, D): a small residual network and the mean over its last places.

    Args:
        width: of the shared space, D.
        channels: of each level; each level sees half the side of the one before.
    Raises: ValueError for other images.
    """

    def __init__(self, width: int = 384, channels: tuple[int, ...] = (64, 128, 256)) -> None:
        super().__init__()
        first = nn.Conv2d(12, channels[0], 3, 1, 1, bias=False)
        stem = [nn.PixelUnshuffle(2), first, nn.BatchNorm2d(channels[0]), nn.ReLU()]
        before = (channels[0], *channels)
        steps = [
            part
            for i, o in zip(before, channels, strict=False)
            for part in (BasicBlock(i, o), BasicBlock(o, o))
        ]
        self.layers = nn.Sequential(*stem, *steps)
        self.projection = nn.Linear(channels[-1], width)

    def forward(self, x: Tensor) -> Tensor:
        return self.projection(self.spatial_features(x).mean(1))

    def spatial_features(self, x: Tensor) -> Tensor:
        """What the last level sees, place by place in reading order: (B, P, C), 16 places of an image with a side of 32."""
        if (
            x.ndim != 4
            or x.shape[1] != 3
            or x.shape[2] % 2
            or x.shape[3] % 2
            or not x.is_floating_point()
        ):
            raise ValueError(
                f"images are {tuple(x.shape)} {x.dtype}; coloured ones (B, 3, S, S) from -1 to 1, S even, are needed: "
                "`normalize_pixels(pixels)` makes them of bytes."
            )
        return self.layers(x).flatten(2).mT


class TextEncoder(nn.Module):
    """Token ids (B, T), 0 where nothing stands, as vectors (B, D): a Transformer that looks both ways, and the mean of its states.

    Args:
        config: of the Transformer; its head is left out.
        width: of the shared space, D.
    Raises: ValueError for a phrase without a token, or one longer than the context (nothing is cut off).
    """

    def __init__(self, config: Config, width: int = 384) -> None:
        super().__init__()
        if config.causal:
            raise ValueError("causal=True: a phrase is read as a whole, so give causal=False.")
        self.transformer = Transformer(replace(config, head="none"))
        self.projection = nn.Linear(config.width, width)

    def forward(self, ids: Tensor) -> Tensor:
        real = ids != 0
        if ids.ndim == 2 and not real.any(1).all():
            raise ValueError(
                f"row {int((~real.any(1)).nonzero()[0])} of the phrases has no token; each needs one."
            )
        return self.projection(mean_pool(self.transformer.states(ids, real[:, None]), real))


class CLIP(nn.Module):
    """An encoder for images and one for phrases, and how sharply they are compared: (images, phrases) -> two sets of unit vectors.

    Args:
        image_encoder: images -> (B, D).
        text_encoder: phrases, in whatever form it takes them -> (B, D); `nn.Identity()` where they are vectors already.
    """

    def __init__(self, image_encoder: nn.Module, text_encoder: nn.Module) -> None:
        super().__init__()
        self.image_encoder, self.text_encoder = image_encoder, text_encoder
        self.logit_scale = nn.Parameter(torch.tensor(2.66))  # log(1 / 0.07), as CLIP begins

    def forward(self, images: Tensor, texts: Tensor) -> tuple[Tensor, Tensor]:
        return F.normalize(self.image_encoder(images), dim=-1), F.normalize(
            self.text_encoder(texts), dim=-1
        )


def image_text_contrastive(
    model: CLIP, batch: tuple[Tensor, Tensor], generator: torch.Generator | None = None
) -> Loss:
    """Row i of the images belongs to row i of the phrases: which phrase is whose, and which image? In nats; a guess costs log B.

    Source: Radford et al. 2021, figure 3; at most a hundredfold scale, as in section 2.5.
    """
    images, texts = batch
    value = info_nce(*model(images, texts), temperature=(-model.logit_scale.clamp(max=4.605)).exp())
    return Loss(value, {"nats per pair": value.item()}, len(images))


def ranks(scores: Tensor, right: Tensor) -> Tensor:
    """At which place, from 1, the best of the right answers stands in each row of scores (N, M); `right` (N, M) bool. Ties count against.

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
            f"scores {tuple(scores.shape)} and right {tuple(right.shape)} {right.dtype}: give two of (N, M), the second bool "
            "with a right answer in every row."
        )
    best = scores.masked_fill(~right, -torch.inf).max(1, keepdim=True).values
    return 1 + ((scores >= best) & ~right).sum(1)


# -- captions ---------------------------------------------------------------------------------------------------------------


class Captioner(nn.Module):
    """An image stands before the words: what `image_encoder` makes of it becomes the first positions of a causal language model.

        images (B, 3, S, S) ── encode ─▶ (B, P, C) ── enter ──▶ (B, P, W) ┐
                                                                          ├─ stack, head ──▶ logits (B, T + 1, V)
        words so far (B, T) ──────────────────── embed ──────▶ (B, T, W) ┘

    Mokady et al. 2021 (ClipCap). Token 0 ends a caption.

    Args:
        image_encoder: images -> (B, P, C), or (B, C), which is one place.
        config: of the language model, causal; its context must hold the places and the words.
        channels: C.
    """

    def __init__(self, image_encoder: nn.Module, config: Config, channels: int) -> None:
        super().__init__()
        if not config.causal:
            raise ValueError(
                "causal=False: a caption is written from left to right, so give causal=True."
            )
        self.image_encoder, self.input_proj, self.language_model = (
            image_encoder,
            nn.Linear(channels, config.width),
            Transformer(config),
        )

    def forward(self, images: Tensor, ids: Tensor) -> Tensor:
        """Logits (B, T + 1, V) of each word and of the one after them, told by the image and the words before."""
        return self.decode(self.prefix(images), ids)

    def prefix(self, images: Tensor) -> Tensor:
        seen = self.input_proj(self.image_encoder(images))
        return seen if seen.ndim == 3 else seen[:, None]

    def decode(self, prefix: Tensor, ids: Tensor) -> Tensor:
        P = prefix.shape[1]
        words = self.language_model.embed(ids, P + torch.arange(ids.shape[1], device=ids.device))
        return self.language_model.head(
            self.language_model.stack(torch.cat([prefix, words], 1))[:, P - 1 :]
        )


def captioning(
    model: Captioner, batch: tuple[Tensor, Tensor], generator: torch.Generator | None = None
) -> Loss:
    """Images and what was said of them, ids (B, T) filled up with 0: which word comes next? In nats per word; the first 0 is asked for too."""
    images, ids = batch
    labels = F.pad(ids, (0, 1))
    asked = (labels == 0).cumsum(1) < 2  # words, and the first 0 of a row
    value = F.cross_entropy(model(images, ids)[asked], labels[asked])
    return Loss(value, {"nats per word": value.item()}, int(asked.sum()))


@torch.inference_mode()
def generate_captions(
    model: Captioner, images: Tensor, words: Sequence[str], max_words: int = 8
) -> list[str]:
    """The likeliest word, and the next, and the next, until token 0 or `max_words` words; `words[i]` is token i."""
    prefix = model.prefix(images)
    ids = torch.zeros(len(prefix), 0, dtype=torch.long, device=prefix.device)
    for _ in range(max_words):
        ids = torch.cat([ids, model.decode(prefix, ids)[:, -1].argmax(-1, keepdim=True)], 1)
    rows = ids.masked_fill((ids == 0).cumsum(1) > 0, 0).tolist()
    return [" ".join(words[i] for i in row if i) for row in rows]


# -- images out of words ------------------------------------------------------------------------------------------------


def condition_vector(text: Tensor | None = None, image: Tensor | None = None) -> Tensor:
    """What a network that draws is told: what to draw as words, or how it is to look as an image's vector, or both, (B, 2 D).

    Args:
        text, image: unit vectors (B, D) of a text encoder and of an image encoder; the half that is not given is 0. Numbers have spread 1.
    Raises: ValueError if neither is given, or shapes differ.

    >>> condition_vector(text=torch.ones(1, 4) / 2)
    tensor([[1., 1., 1., 1., 0., 0., 0., 0.]])
    """
    given = [half for half in (text, image) if half is not None]
    if not given or any(half.ndim != 2 or half.shape != given[0].shape for half in given):
        raise ValueError(
            f"text and image are {[tuple(half.shape) for half in given]}; give one, or two alike, (B, D)."
        )
    halves = [torch.zeros_like(given[0]) if half is None else half for half in (text, image)]
    return torch.cat(halves, 1) * given[0].shape[1] ** 0.5


class DiffusionPrior(nn.Module):
    """From the vector of a phrase to that of an image it could belong to, by diffusion: changes noisy vectors (B, D), told a time and a phrase.

    Many images belong to one phrase, so this draws one of them, where a plain map could only give their mean. Source: Ramesh et al.
    2022 (DALL-E 2), section 2.2; here a perceptron in place of their Transformer.
    """

    hidden_layers = ("time_conditioner",)  # for Muon: see `training.optimizers.hidden_matrices`

    def __init__(self, width: int = 384, hidden: int = 512, depth: int = 3) -> None:
        super().__init__()
        self.time_conditioner = TimeConditioner(hidden, nn.Linear(width, hidden))
        self.input_proj, self.output_proj = nn.Linear(width, hidden), nn.Linear(hidden, width)
        wide = 2 * hidden
        block = lambda: nn.Sequential(
            nn.LayerNorm(hidden), nn.Linear(hidden, wide), nn.SiLU(), nn.Linear(wide, hidden)
        )
        self.blocks = nn.ModuleList(block() for _ in range(depth))
        nn.init.zeros_(self.output_proj.weight), nn.init.zeros_(self.output_proj.bias)

    def forward(self, x: Tensor, time: Tensor, condition: Tensor) -> Tensor:
        known, x = self.time_conditioner(time, condition), self.input_proj(x)
        for block in self.blocks:
            x = x + block(x + known)
        return self.output_proj(x)
