"""Pictures as bytes and as networks see them, there and back, and side by side on a sheet."""

import pytest
import torch

from fmcourse.pictures import as_bytes, checked, sheet, signed

every_byte = torch.arange(256, dtype=torch.uint8).view(1, 16, 16)
coloured = torch.randint(256, (3, 5, 5, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("pixels", "shape"), [(every_byte, (1, 1, 16, 16)), (coloured, (3, 3, 5, 5))])
def test_there_and_back_is_the_same_byte(pixels, shape):
    x = signed(pixels)
    assert x.shape == shape and torch.equal(as_bytes(x), pixels) and checked(x, shape[1]) is x


def test_what_lies_beyond_is_cut_off_in_a_copy():
    x = torch.tensor([[[[-3.0, 3.0]]]])
    assert as_bytes(x).tolist() == [[[0, 255]]] and x.tolist() == [[[[-3.0, 3.0]]]]


@pytest.mark.parametrize(("x", "channels", "message"), [
    (torch.full((1, 1, 2, 2), 1.01), 1, "reach from 1.01 to 1.01; -1 to 1 is needed.*clamp"), (torch.full((1, 1, 2, 2), float("nan")), 1, "-1 to 1 is needed"),
    (torch.zeros(1, 3, 2, 2), 1, r"floats \(N, 1, S, S\) are needed"), (torch.zeros(1, 2, 2), 1, r"\(1, 2, 2\) torch.float32"),
    (torch.zeros(1, 1, 2, 2, dtype=torch.uint8), 1, "`signed"),
])  # fmt: skip
def test_what_can_be_no_picture_is_refused(x, channels, message):
    with pytest.raises(ValueError, match=message):
        checked(x, channels)


@pytest.mark.parametrize("pixels", [torch.zeros(2, 3, 3), torch.zeros(3, 3, dtype=torch.uint8), torch.zeros(2, 3, 3, 4, dtype=torch.uint8)])  # fmt: skip
def test_what_are_no_bytes_of_pictures_is_refused(pixels):
    with pytest.raises(ValueError, match="bytes"):
        signed(pixels)


def test_no_picture_at_all_is_no_error():
    assert len(checked(torch.zeros(0, 1, 4, 4))) == 0


@pytest.mark.parametrize("depth", [1, 3])
def test_a_sheet_holds_every_picture_where_it_belongs(depth):
    x = torch.linspace(-1, 1, 5).view(5, 1, 1, 1).expand(5, depth, 4, 6)
    page = sheet(x, columns=3, gap=1)
    assert page.shape == ((9, 20) if depth == 1 else (9, 20, 3))
    at = lambda row, column: page[5 * row : 5 * row + 4, 7 * column : 7 * column + 6].unique().tolist()
    found = [at(n // 3, n % 3) for n in range(6)]
    assert found == [[value] for value in as_bytes(x).flatten(1)[:, 0].tolist()] + [[255]]  # what is missing is white
    assert (page[4] == 255).all() and (page[:, 6] == 255).all()
