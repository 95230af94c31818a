"""Pictures that ship: bytes of grey, or of red, green and blue, what each shows, and which split it is in.

N pictures   C colours, 1 or 3   S side in pixels
"""

import json
import math
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class ImageSplit:
    """The pictures of one split: pixels (N, S, S, 3) or, grey, (N, S, S) uint8, labels (N,), names if they have any.

    Where one thing is drawn in several ways, `styles` (N,) says in which; `keywords` are other words for it, none for some.
    """

    pixels: Tensor = field(repr=False)
    labels: Tensor = field(repr=False)
    names: tuple[str, ...] = field(repr=False)
    styles: Tensor | None = field(default=None, repr=False)
    keywords: tuple[tuple[str, ...], ...] = field(default=(), repr=False)

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class ImageDataset:
    """A collection of pictures: those of each split, the names of the classes, and the card.

    >>> from fmcourse.data import load
    >>> load("clipart").classes
    ('animals', 'food', 'people')
    """

    name: str
    classes: tuple[str, ...]
    train: ImageSplit
    validation: ImageSplit
    test: ImageSplit
    card: str = field(repr=False)
    styles: tuple[str, ...] = ()


def read_images(contents: bytes) -> tuple[dict[str, tuple[str, ...]], dict[str, ImageSplit]]:
    """The names of the classes and styles, and the pictures of each split: a line of JSON, then the bytes of all pictures."""
    head, _, body = contents.partition(b"\n")
    facts = json.loads(head)
    colours = [] if facts.get("channels") == 1 else [3]
    pixels = torch.frombuffer(bytearray(body), dtype=torch.uint8).view(
        -1, facts["side"], facts["side"], *colours
    )
    found = {}
    for split in ("train", "validation", "test"):
        rows = [row for row, (where, *_) in enumerate(facts["pictures"]) if where == split]
        said = [
            facts["pictures"][row][1:] for row in rows
        ]  # kind, name, style, keywords: as many as there are
        named = tuple(one[1] for one in said if len(one) > 1)
        styled = [one for one in said if len(one) > 2]
        words = tuple(tuple(word.replace("_", " ") for word in one[3].split()) for one in styled)
        styles = torch.tensor([one[2] for one in styled]) if styled else None
        found[split] = ImageSplit(
            pixels[rows], torch.tensor([one[0] for one in said]), named, styles, words
        )
    return {
        field: tuple(facts[key])
        for field, key in (("classes", "kinds"), ("styles", "styles"))
        if key in facts
    }, found


# -- pictures as networks see them ------------------------------------------------------------------------------------------


def normalize_pixels(pixels: Tensor) -> Tensor:
    """Bytes (N, S, S) or (N, S, S, 3) as numbers from -1 to 1, colours first: (N, C, S, S).

    >>> normalize_pixels(torch.tensor([[[0, 255], [51, 204]]], dtype=torch.uint8)).flatten().tolist()
    [-1.0, 1.0, -0.6000000238418579, 0.6000000238418579]
    """
    if (
        pixels.dtype != torch.uint8
        or pixels.ndim not in (3, 4)
        or pixels.ndim == 4
        and pixels.shape[-1] != 3
    ):
        raise ValueError(
            f"pixels are {tuple(pixels.shape)} {pixels.dtype}; bytes (N, S, S) or (N, S, S, 3) are needed, as in `load(name).train.pixels`."
        )
    x = pixels[:, None] if pixels.ndim == 3 else pixels.movedim(-1, 1)
    return x.float() / 127.5 - 1


def denormalize_pixels(x: Tensor) -> Tensor:
    """The other way round, (N, C, S, S) to (N, S, S) or (N, S, S, 3); what a network put outside -1 to 1 is cut off."""
    pixels = ((x.detach().clamp(-1, 1) + 1) * 127.5).round().byte()
    return pixels[:, 0] if x.shape[1] == 1 else pixels.movedim(1, -1)


NAMED_COLOURS = {  # what one may ask for, in red, green and blue
    "red": (225, 30, 40),
    "orange": (245, 130, 25),
    "yellow": (250, 205, 30),
    "green": (40, 160, 60),
    "blue": (40, 95, 225),
    "purple": (135, 55, 190),
    "pink": (245, 120, 180),
    "grey": (128, 128, 128),
}


def recolour(pixels: Tensor, colour: str) -> Tensor:
    """Coloured pictures (N, S, S, 3) bytes, repainted: light and shade stay, white stays white, the middle tone takes the colour.

    Raises: ValueError for a colour that is not one of `NAMED_COLOURS`, or other pictures.
    """
    if colour not in NAMED_COLOURS:
        raise ValueError(
            f"colour {colour!r} is not known; choose one of {', '.join(NAMED_COLOURS)}."
        )
    x = (normalize_pixels(pixels) + 1) / 2
    light, drawn = (x * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1), x.amin(1) < 0.9
    middle_of = lambda one, on: one[on].median() if on.any() else one.new_tensor(0.5)
    middle = torch.stack([middle_of(one, on) for one, on in zip(light, drawn, strict=True)])
    gamma = (math.log(0.5) / middle.clamp(0.05, 0.97).log()).clamp(
        0.4, 8
    )  # so that the middle tone becomes one half
    light = light.clamp(1e-4, 1)[:, None] ** gamma.view(-1, 1, 1, 1)
    tone = torch.tensor(NAMED_COLOURS[colour]).view(3, 1, 1) / 255
    return denormalize_pixels(
        2 * torch.where(light < 0.5, 2 * light * tone, tone + (1 - tone) * (2 * light - 1)) - 1
    )


def dominant_colours(x: Tensor) -> list[str]:
    """Of `NAMED_COLOURS` the one whose hue is nearest to the mean of all that is not white, for each picture (N, 3, S, S) from -1 to 1."""
    check_images(x, 3)
    on = (x.amin(1, keepdim=True) < 0.8).float()
    mean = 127.5 * ((x + 1) * on).sum((2, 3)) / on.sum((2, 3)).clamp(min=1)
    hue = lambda c: (
        (c - c.mean(1, keepdim=True)) / c.std(1, keepdim=True).clamp(min=12)
    )  # light and shade do not count
    nearest = torch.cdist(hue(mean), hue(torch.tensor(list(NAMED_COLOURS.values())).to(x))).argmin(
        1
    )
    return [list(NAMED_COLOURS)[i] for i in nearest.tolist()]


def check_images(x: Tensor, channels: int = 1) -> Tensor:
    """Pictures (N, C, S, S) as they came, if they can be pictures.

    Raises: ValueError for other shapes, another number of colours, or numbers that are not finite and from -1 to 1.
    """
    if x.ndim != 4 or x.shape[1] != channels or not x.is_floating_point():
        raise ValueError(
            f"pictures are {tuple(x.shape)} {x.dtype}; floats (N, {channels}, S, S) are needed: `normalize_pixels(pixels)` makes them of bytes."
        )
    if len(x) and not x.detach().abs().max() <= 1:  # so written that NaN is caught too
        raise ValueError(
            f"pictures reach from {x.min():.3g} to {x.max():.3g}; -1 to 1 is needed: `normalize_pixels(pixels)` makes it of bytes, "
            "and a sampler's are cut off with `.clamp(-1, 1)`."
        )
    return x


def image_grid(x: Tensor, columns: int = 10, gap: int = 2) -> Tensor:
    """Pictures (N, C, S, S) side by side on one sheet, white between them: bytes (H, W) or (H, W, 3), for `imshow`."""
    pixels = denormalize_pixels(x)
    rows = math.ceil(len(pixels) / columns)
    missing = pixels.new_full((rows * columns - len(pixels), *pixels.shape[1:]), 255)
    cells = torch.cat([pixels, missing]).unflatten(0, (rows, columns))
    depth = (0, 0) if cells.ndim == 5 else ()
    cells = functional.pad(cells, (*depth, 0, gap, 0, gap), value=255).transpose(
        1, 2
    )  # (rows, S, columns, S, ...)
    return cells.flatten(2, 3).flatten(0, 1)[:-gap, :-gap]
