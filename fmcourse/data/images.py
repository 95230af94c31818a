"""Images that ship: pixels, labels, splits; and images as networks see them.

N images   C channels, 1 (grey) or 3 (red, green, blue)   S side in pixels
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from fmcourse.data.records import SPLITS


@dataclass(frozen=True)
class ImageSplit:
    """The images of one split: pixels (N, S, S, 3) or, grey, (N, S, S) uint8, and labels (N,).

    `names` says what each shows, in data sets that have names. Where one thing is drawn in several
    styles, `styles` (N,) says in which; `keywords` are other words for it, of some images none.
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
    """A data set of images: those of each split, the names of the classes and styles, and the card.

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
    """The names of classes and styles, and the images of each split, in an unpacked file.

    The file is one line of JSON, then the bytes of all images. The line says "side", "channels" (3
    if it is not there), "kinds" (the classes), "styles", and "pictures": for each image its split,
    its class and, where there are any, its name, style and keywords.
    """
    head, _, body = contents.partition(b"\n")
    facts = json.loads(head)
    channels = [] if facts.get("channels") == 1 else [3]  # grey images have no dimension for it
    shape = (-1, facts["side"], facts["side"], *channels)
    # bytearray: torch wants memory that it may write to.
    pixels = torch.frombuffer(bytearray(body), dtype=torch.uint8).view(shape)
    names_of = {
        field: tuple(facts[key])
        for field, key in (("classes", "kinds"), ("styles", "styles"))
        if key in facts
    }
    splits = {split: image_split(split, facts["pictures"], pixels) for split in SPLITS}
    return names_of, splits


def image_split(split: str, rows: Sequence[Sequence[Any]], pixels: Tensor) -> ImageSplit:
    """The images of one split; each row is (split, class[, name[, style, keywords]])."""
    places = [place for place, (where, *_) in enumerate(rows) if where == split]
    known = [rows[place][1:] for place in places]
    styled = [row for row in known if len(row) > 2]
    # Within one keyword a space is written _, because keywords are separated by spaces.
    words = [[word.replace("_", " ") for word in row[3].split()] for row in styled]
    return ImageSplit(
        pixels[places],
        labels=torch.tensor([row[0] for row in known]),
        names=tuple(row[1] for row in known if len(row) > 1),
        styles=torch.tensor([row[2] for row in styled]) if styled else None,
        keywords=tuple(map(tuple, words)),
    )


# Images as networks see them ----------------------------------------------------------------------


def normalize_pixels(pixels: Tensor) -> Tensor:
    """Bytes (N, S, S) or (N, S, S, 3) as floats from -1 to 1, channels first: (N, C, S, S).

    Raises: ValueError for anything else.

    >>> pixels = torch.tensor([[[0, 255], [51, 204]]], dtype=torch.uint8)
    >>> normalize_pixels(pixels).flatten().tolist()
    [-1.0, 1.0, -0.6000000238418579, 0.6000000238418579]
    """
    grey, coloured = pixels.ndim == 3, pixels.ndim == 4 and pixels.shape[-1] == 3
    if pixels.dtype != torch.uint8 or not (grey or coloured):
        raise ValueError(
            f"pixels are {tuple(pixels.shape)} {pixels.dtype}; bytes (N, S, S) or (N, S, S, 3) are "
            "needed, as in `load(name).train.pixels`."
        )
    x = pixels[:, None] if grey else pixels.movedim(-1, 1)  # (N, C, S, S)
    return x.float() / 127.5 - 1


def denormalize_pixels(x: Tensor) -> Tensor:
    """The inverse of `normalize_pixels`: (N, C, S, S) to bytes (N, S, S) or (N, S, S, 3).

    Values outside of -1 to 1, as networks make them, are clipped.
    """
    # `round`, because `byte` alone cuts fractions off.
    pixels = ((x.detach().clamp(-1, 1) + 1) * 127.5).round().byte()
    return pixels[:, 0] if x.shape[1] == 1 else pixels.movedim(1, -1)


def check_images(x: Tensor, channels: int = 1) -> Tensor:
    """`x` itself, if it can be images as networks see them.

    Raises: ValueError unless it is (N, channels, S, S) floats, all finite and from -1 to 1.
    """
    if x.ndim != 4 or x.shape[1] != channels or not x.is_floating_point():
        raise ValueError(
            f"images are {tuple(x.shape)} {x.dtype}; floats (N, {channels}, S, S) are needed: "
            "`normalize_pixels(pixels)` makes them of bytes."
        )
    # Not `> 1`: a comparison with NaN is false, and so NaN is refused too.
    if len(x) and not x.detach().abs().max() <= 1:
        raise ValueError(
            f"images reach from {x.min():.3g} to {x.max():.3g}; -1 to 1 is needed: "
            "`normalize_pixels(pixels)` makes it of bytes, `.clamp(-1, 1)` of a sampler's output."
        )
    return x


def image_grid(x: Tensor, columns: int = 10, gap: int = 2) -> Tensor:
    """Images (N, C, S, S) side by side on white: bytes (H, W) or (H, W, 3), for `imshow`."""
    pixels = denormalize_pixels(x)
    rows = math.ceil(len(pixels) / columns)
    # White images fill the last row.
    missing = pixels.new_full((rows * columns - len(pixels), *pixels.shape[1:]), 255)
    cells = torch.cat([pixels, missing]).unflatten(0, (rows, columns))
    # `pad` counts from the last dimension: the channels, if there are any, get nothing.
    of_channels = (0, 0) if cells.ndim == 5 else ()
    cells = functional.pad(cells, (*of_channels, 0, gap, 0, gap), value=255)
    cells = cells.transpose(1, 2)  # (rows, S + gap, columns, S + gap[, 3])
    grid = cells.flatten(2, 3).flatten(0, 1)
    return grid[: len(grid) - gap, : grid.shape[1] - gap]  # no gap at the lower and the right edge


# Colours ------------------------------------------------------------------------------------------

NAMED_COLOURS: Mapping[str, tuple[int, int, int]] = {  # red, green, blue
    "red": (225, 30, 40),
    "orange": (245, 130, 25),
    "yellow": (250, 205, 30),
    "green": (40, 160, 60),
    "blue": (40, 95, 225),
    "purple": (135, 55, 190),
    "pink": (245, 120, 180),
    "grey": (128, 128, 128),
}
LUMA = (0.299, 0.587, 0.114)  # how light red, green and blue look: ITU-R BT.601


def recolour(pixels: Tensor, colour: str) -> Tensor:
    """Images (N, S, S, 3) bytes in another colour: the middle tone takes it, white stays white.

    Light and shade stay: each image's median luma becomes the colour itself, darker pixels go
        towards black, lighter ones towards white.

    Raises: ValueError for a colour that is not one of `NAMED_COLOURS`, or pixels that are no bytes.
    """
    if colour not in NAMED_COLOURS:
        known = ", ".join(NAMED_COLOURS)
        raise ValueError(f"colour {colour!r} is not known; choose one of {known}.")
    x = (normalize_pixels(pixels) + 1) / 2  # (N, 3, S, S), 0 to 1
    luma = (x * torch.tensor(LUMA).view(3, 1, 1)).sum(1)  # (N, S, S)
    drawn = x.amin(1) < 0.9  # what is not white paper
    middle = torch.stack([median_luma(*image) for image in zip(luma, drawn, strict=True)])
    # luma ** gamma puts the middle tone at one half; of nearly black or white images only so far.
    gamma = (math.log(0.5) / middle.clamp(0.05, 0.97).log()).clamp(0.4, 8)
    luma = luma.clamp(1e-4, 1)[:, None] ** gamma.view(-1, 1, 1, 1)  # (N, 1, S, S)
    tone = torch.tensor(NAMED_COLOURS[colour]).view(3, 1, 1) / 255
    # From black to the colour, and from the colour to white: at luma 1/2 they meet.
    darker, lighter = 2 * luma * tone, tone + (1 - tone) * (2 * luma - 1)
    return denormalize_pixels(2 * torch.where(luma < 0.5, darker, lighter) - 1)


def median_luma(luma: Tensor, drawn: Tensor) -> Tensor:
    """The median luma of what is drawn in one image (S, S); one half where nothing is."""
    return luma[drawn].median() if drawn.any() else luma.new_tensor(0.5)


def dominant_colours(x: Tensor) -> list[str]:
    """For each image (N, 3, S, S) from -1 to 1 the one of `NAMED_COLOURS` whose hue is nearest.

    Nearest to the mean of all that is not white; how light or dark that is does not count.
    """
    check_images(x, 3)
    drawn = (x.amin(1, keepdim=True) < 0.8).float()  # 0.8 here is 0.9 on the scale of `recolour`
    mean = 127.5 * ((x + 1) * drawn).sum((2, 3)) / drawn.sum((2, 3)).clamp(min=1)  # (N, 3)
    named = torch.tensor(list(NAMED_COLOURS.values())).to(x)
    nearest = torch.cdist(hue(mean), hue(named)).argmin(1)  # (N, colours) -> (N,)
    return [list(NAMED_COLOURS)[i] for i in nearest.tolist()]


def hue(colours: Tensor) -> Tensor:
    """Colours (N, 3) from 0 to 255 without their lightness and saturation."""
    spread = colours.std(1, keepdim=True).clamp(min=12)  # greys have no hue to be stretched
    return (colours - colours.mean(1, keepdim=True)) / spread
