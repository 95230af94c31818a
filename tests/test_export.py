"""torch.export and ONNX: exported once, a model computes the same at other lengths elsewhere."""

import onnxruntime
import pytest
import torch
from diffusers import DiTTransformer2DModel, UNet2DModel
from helpers import ids_for, model_of, randomize
from torch import Tensor, nn
from torch.export import Dim
from torch.testing import assert_close

from fmcourse import fast
from fmcourse.fast import products
from fmcourse.models.dit import DiT
from fmcourse.models.transformer import Config
from fmcourse.models.unet import UNet


def assert_onnx_equals(model: nn.Module, given: tuple[Tensor, ...], path) -> None:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [node.name for node in session.get_inputs()]
    (output,) = session.run(None, dict(zip(names, (x.numpy() for x in given), strict=True)))
    with torch.no_grad():
        assert_close(torch.from_numpy(output), model(*given), atol=1e-5, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gpt2", "llama", "modern", "bert"])
def test_onnxruntime_computes_the_same_at_any_length(name, tmp_path, monkeypatch):
    model, path = model_of(name), tmp_path / "model.onnx"
    sizes = ({0: Dim.DYNAMIC, 1: Dim("length", max=model.config.context)},)
    # On every processor: oneDNN's product has no counterpart in ONNX.
    monkeypatch.setattr(products, "prefers_onednn", lambda: True)
    with fast.enabled():
        program = torch.export.export(model, (ids_for(name, 4, 7),), dynamic_shapes=sizes)
    torch.onnx.export(program, dynamo=True, verbose=False).save(path)
    for batch, length in ((3, 9), (1, 4), (2, model.config.context)):
        ids = ids_for(name, batch, length)
        assert_close(program.module()(ids), model(ids))
        assert_onnx_equals(model, (ids,), path)


@pytest.mark.slow
def test_a_padding_mask_is_exported_too(tmp_path):
    model, path = model_of("bert"), tmp_path / "bert.onnx"

    def inputs(batch: int, length: int) -> tuple[Tensor, Tensor]:
        kept = length - torch.arange(batch)  # row i ends with i pads
        return ids_for("bert", batch, length), (torch.arange(length) < kept[:, None])[:, None]

    sizes = ({0: Dim.AUTO, 1: Dim.AUTO}, {0: Dim.AUTO, 2: Dim.AUTO})
    exported = torch.onnx.export(
        model, inputs(2, 5), dynamic_shapes=sizes, dynamo=True, verbose=False
    )
    exported.save(path)
    for batch, length in ((3, 9), (1, 4)):
        assert_onnx_equals(model, inputs(batch, length), path)


DIT = Config(context=49, width=24, depth=2, heads=3, causal=False, positions="none")


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        lambda: UNet(1, (16, 32), 1, condition_width=32),
        lambda: DiT(DIT, patch_size=4),
    ],
    ids=["unet", "dit"],
)
def test_what_draws_is_exported_for_images_of_any_side(make, tmp_path):
    model, path = randomize(make()), tmp_path / "draws.onnx"

    def inputs(batch: int, side: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(side)
        x = torch.randn(batch, 1, side, side, generator=generator)
        return x, torch.rand(batch, generator=generator)

    sizes = ({0: Dim.AUTO, 2: Dim.AUTO, 3: Dim.AUTO}, {0: Dim.AUTO})
    exported = torch.onnx.export(
        model, inputs(2, 20), dynamic_shapes=sizes, dynamo=True, verbose=False
    )
    exported.save(path)
    for batch, side in ((3, 28), (1, 20)):
        assert_onnx_equals(model, inputs(batch, side), path)


def test_the_classes_of_diffusers_have_no_place_for_ours_as_the_readme_says():
    ours = UNet(1, (16, 32), condition_width=32)
    theirs = UNet2DModel(
        in_channels=1,
        out_channels=1,
        block_out_channels=(16, 32),
        down_block_types=("DownBlock2D",) * 2,
        up_block_types=("UpBlock2D",) * 2,
        norm_num_groups=8,
    )
    # Ours folds 2 by 2 pixels into four channels; theirs reads each pixel by itself.
    assert (ours.input_proj.in_channels, theirs.conv_in.in_channels) == (4, 1)
    assert theirs.conv_in.stride == (1, 1)
    # Theirs embeds time in as many features as the first level has channels.
    assert ours.time_conditioner.width == 32 > theirs.time_embedding.linear_1.in_features == 16
    theirs = DiTTransformer2DModel(num_attention_heads=2, attention_head_dim=8, num_layers=1)
    timed = [name for name, _ in theirs.named_parameters() if "timestep" in name]
    assert timed and all(name.startswith("transformer_blocks.0.norm1.") for name in timed)
