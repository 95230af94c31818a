"""Our EfficientNet with the published weights; and shipped images that are as their card says."""

import gzip

import numpy as np
import pytest
import torch
from matplotlib.cbook import get_sample_data
from PIL import Image
from torch.testing import assert_close

from fmcourse import data, packages, pretrained
from fmcourse.data.images import read_images
from fmcourse.models.vision import (
    EfficientNet,
    InvertedResidual,
    SameConv,
    extract_features,
    freeze_batch_norm,
    preprocess,
    untrained_efficientnet,
)

UNIFORM = 652  # military uniform, among ImageNet's 1,000 classes
NOISE = torch.randint(
    256, (3, 40, 40, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
)


@pytest.fixture(scope="module")
def model():
    return pretrained.load_vision()


def test_a_portrait_of_an_admiral_is_a_military_uniform(model):
    with get_sample_data("grace_hopper.jpg") as file:
        pixels = torch.tensor(np.asarray(Image.open(file).convert("RGB").crop((0, 0, 512, 512))))
    with torch.inference_mode():
        assert model(preprocess(pixels[None])).argmax().item() == UNIFORM


def test_it_has_as_many_parameters_as_the_file(model):
    assert sum(weight.numel() for weight in model.parameters()) == 4_652_008
    assert not model.training and not any(weight.is_meta for weight in model.state_dict().values())


@pytest.mark.parametrize("side", [7, 8, 9, 16])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 2), (1, 1)])
def test_a_convolution_makes_a_side_n_into_n_over_s_rounded_up(side, kernel, stride):
    assert SameConv(1, 1, kernel, stride)(torch.zeros(1, 1, side, side + 1)).shape[-2:] == (
        -(-side // stride),
        -(-(side + 1) // stride),
    )


def test_an_odd_zero_more_goes_right_and_below():
    conv = SameConv(1, 1, 3, 2, bias=False)
    torch.nn.init.ones_(conv.weight)
    assert conv(torch.ones(1, 1, 4, 4))[0, 0].tolist() == [[9, 6], [6, 4]]


def test_a_block_adds_only_where_shapes_allow_it():
    assert (
        InvertedResidual(8, 8, 3, 1, 6).has_residual
        and not InvertedResidual(8, 8, 3, 2, 6).has_residual
        and not InvertedResidual(8, 16, 3, 1, 6).has_residual
    )


def test_features_do_not_depend_on_neighbours_or_batches(model):
    together = extract_features(model, NOISE, size=64, batch=2)
    assert together.shape == (3, 1280)
    assert_close(
        together,
        torch.cat([extract_features(model, one[None], size=64) for one in NOISE]),
        atol=1e-4,
        rtol=1e-3,
    )


def test_an_untrained_network_still_has_different_features_for_different_images():
    torch.manual_seed(0)
    seen = extract_features(untrained_efficientnet(NOISE, size=64), NOISE, size=64)
    assert seen.std(0).mean() > 0.01


def test_preprocess_takes_grey_or_colour_bytes_to_minus_one_to_one():
    assert_close(preprocess(NOISE, size=40), (NOISE.permute(0, 3, 1, 2).float() - 127) / 128)
    grey = preprocess(NOISE[..., 0], size=32)
    assert grey.shape == (3, 3, 32, 32) and torch.equal(grey[:, 0], grey[:, 2])
    for wrong in (NOISE.float(), NOISE[0, 0], NOISE[..., :2]):
        with pytest.raises(ValueError, match="give uint8"):
            preprocess(wrong)


def test_images_of_another_shape_are_one_clear_error():
    for shape in [(3, 64, 64), (1, 1, 64, 64), (1, 3, 16, 64)]:
        with pytest.raises(ValueError, match=r"give \(N, 3, H, W\) with sides of at least 32"):
            EfficientNet(num_classes=2).features(torch.zeros(shape))


def test_it_has_no_tokenizer_and_says_what_loads_it(monkeypatch):
    for ask in (pretrained.load, pretrained.load_tokenizer):
        with pytest.raises(
            ValueError, match=r"has no tokenizer; `pretrained.load_vision\(\)` loads it"
        ):
            ask("efficientnet-lite0")
    with pytest.raises(ValueError, match="no vision model is called 'minilm-l6'"):
        pretrained.load_vision("minilm-l6")
    monkeypatch.setitem(packages.PACKAGES, "efficientnet-lite0", "no-such-package==1.0")
    with pytest.raises(
        ModuleNotFoundError, match="`python -m fmcourse models install` installs it"
    ):
        pretrained.load_vision()


def test_drawings_are_in_one_split_each_and_as_many_of_each_kind():
    drawings = data.load("clipart")
    parts = [drawings.train, drawings.validation, drawings.test]
    for part, each in zip(parts, (35, 5, 35), strict=True):
        assert part.pixels.shape == (3 * each, 64, 64, 3) and part.pixels.dtype == torch.uint8
        assert part.labels.bincount().tolist() == [each] * len(drawings.classes)
    looks = [picture.numpy().tobytes() for part in parts for picture in part.pixels]
    assert len(set(looks)) == len(looks)


def test_the_file_is_read_in_the_order_of_its_list():
    called, splits = read_images(
        b'{"kinds": ["a", "b"], "side": 1, '
        b'"pictures": [["test", 1, "x"], ["train", 0, "y"]]}\n123\n56'
    )
    assert called == {"classes": ("a", "b")} and splits["train"].pixels.flatten().tolist() == [
        10,
        53,
        54,
    ]
    assert splits["test"].names == ("x",) and splits["test"].labels.tolist() == [1]


def test_the_shipped_file_unpacks_to_its_manifest():
    assert gzip.decompress((data.folder() / "clipart.gz").read_bytes()).startswith(b'{"kinds"')


def test_frozen_batch_norm_keeps_its_statistics_and_outputs_in_training():
    torch.manual_seed(0)
    network = untrained_efficientnet(torch.randint(256, (4, 40, 40, 3), dtype=torch.uint8), size=32)
    pictures = torch.randn(4, 3, 32, 32)
    before, kept = (
        network(pictures),
        {name: value.clone() for name, value in network.named_buffers()},
    )
    still = freeze_batch_norm(network).train()
    assert_close(still(pictures), before)  # training or not: the same
    assert all(torch.equal(value, kept[name]) for name, value in still.named_buffers())
    still(pictures).sum().backward()
    assert all(weight.grad is not None for weight in still.parameters())
