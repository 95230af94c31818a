"""Images as bytes and as networks see them, in both directions, in a grid, and recoloured."""

import pytest
import torch

from fmcourse.data.images import (
    NAMED_COLOURS,
    check_images,
    denormalize_pixels,
    image_grid,
    normalize_pixels,
    recolour,
)

every_byte = torch.arange(256, dtype=torch.uint8).view(1, 16, 16)
coloured = torch.randint(
    256, (3, 5, 5, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
)


@pytest.mark.parametrize(
    ("pixels", "shape"), [(every_byte, (1, 1, 16, 16)), (coloured, (3, 3, 5, 5))]
)
def test_denormalizing_gives_back_the_same_bytes(pixels, shape):
    x = normalize_pixels(pixels)
    assert x.shape == shape and check_images(x, shape[1]) is x
    assert torch.equal(denormalize_pixels(x), pixels)


def test_denormalizing_clips_and_leaves_its_input_as_it_was():
    x = torch.tensor([[[[-3.0, 3.0]]]])
    assert denormalize_pixels(x).tolist() == [[[0, 255]]] and x.tolist() == [[[[-3.0, 3.0]]]]


@pytest.mark.parametrize(
    ("x", "channels", "message"),
    [
        (torch.full((1, 1, 2, 2), 1.01), 1, "reach from 1.01 to 1.01; -1 to 1 is needed.*clamp"),
        (torch.full((1, 1, 2, 2), float("nan")), 1, "-1 to 1 is needed"),
        (torch.zeros(1, 3, 2, 2), 1, r"floats \(N, 1, S, S\) are needed"),
        (torch.zeros(1, 2, 2), 1, r"\(1, 2, 2\) torch.float32"),
        (torch.zeros(1, 1, 2, 2, dtype=torch.uint8), 1, "`normalize_pixels"),
    ],
)
def test_tensors_that_cannot_be_images_are_refused(x, channels, message):
    with pytest.raises(ValueError, match=message):
        check_images(x, channels)


@pytest.mark.parametrize(
    "pixels",
    [
        torch.zeros(2, 3, 3),
        torch.zeros(3, 3, dtype=torch.uint8),
        torch.zeros(2, 3, 3, 4, dtype=torch.uint8),
    ],
)
def test_pixels_that_are_no_bytes_of_images_are_refused(pixels):
    with pytest.raises(ValueError, match="bytes"):
        normalize_pixels(pixels)


def test_a_batch_of_no_images_is_no_error():
    assert len(check_images(torch.zeros(0, 1, 4, 4))) == 0


@pytest.mark.parametrize("gap", [0, 1])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_grid_holds_every_image_in_its_place(channels, gap):
    x = torch.linspace(-1, 1, 5).view(5, 1, 1, 1).expand(5, channels, 4, 6)
    page = image_grid(x, columns=3, gap=gap)
    assert page.shape == (8 + gap, 18 + 2 * gap, 3)[: 2 if channels == 1 else 3]
    places = [((4 + gap) * (n // 3), (6 + gap) * (n % 3)) for n in range(6)]
    found = [page[y : y + 4, x : x + 6].unique().tolist() for y, x in places]
    shades = denormalize_pixels(x).flatten(1)[:, 0].tolist()
    assert found == [[shade] for shade in [*shades, 255]]  # the empty place is white
    assert (page[4 : 4 + gap] == 255).all() and (page[:, 6 : 6 + gap] == 255).all()


# Recoloured ---------------------------------------------------------------------------------------

drawing = torch.full((2, 8, 8, 3), 255, dtype=torch.uint8)
drawing[:, 2:6, 2:6] = torch.tensor([200, 120, 40], dtype=torch.uint8)  # something orange
drawing[:, 3, 3] = torch.tensor([30, 20, 10], dtype=torch.uint8)  # with a dark dot
drawing[1, 4, 4] = torch.tensor([250, 240, 220], dtype=torch.uint8)  # and a light one


@pytest.mark.parametrize("colour", list(NAMED_COLOURS))
def test_the_colour_replaces_the_middle_tone_and_white_dark_and_light_stay(colour):
    made, before = recolour(drawing, colour), drawing.clone()
    assert made.shape == drawing.shape and made.dtype == torch.uint8
    assert torch.equal(drawing, before)
    assert (made[:, 0] == 255).all()  # white stays white
    # The middle tone becomes the colour itself.
    assert (made[0, 2, 2].int() - torch.tensor(NAMED_COLOURS[colour])).abs().max() <= 2
    assert made[0, 3, 3].int().sum() < made[0, 2, 2].int().sum() < made[1, 4, 4].int().sum()


def test_each_image_is_recoloured_on_its_own():
    assert torch.equal(recolour(drawing, "blue")[1:], recolour(drawing[1:], "blue"))


@pytest.mark.parametrize(
    "pixels",
    [torch.full((1, 4, 4, 3), 255, dtype=torch.uint8), torch.zeros(1, 4, 4, 3, dtype=torch.uint8)],
)
def test_a_white_or_black_image_can_be_recoloured(pixels):
    made = recolour(pixels, "red")
    assert made.shape == pixels.shape and (made == 255).all() == (pixels == 255).all()


def test_an_unknown_colour_is_refused():
    with pytest.raises(ValueError, match="colour 'beige' is not known; choose one of red, orange"):
        recolour(drawing, "beige")
    with pytest.raises(ValueError, match="bytes"):
        recolour(drawing.float(), "red")


def test_green_counts_as_lighter_than_blue():
    pixels = torch.zeros(1, 4, 4, 3, dtype=torch.uint8)
    pixels[:, :, :2, 1], pixels[:, :, 2:, 2] = 255, 255  # green is lighter than blue
    made = recolour(pixels, "red").int().sum(-1)[0]
    assert (made[:, :2] > made[:, 2:] + 50).all()
