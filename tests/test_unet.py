"""The U-Net: any image side, conditioned on time, zero at first, with the reference's blocks."""

from functools import partial

import pytest
import torch
from diffusers.models.embeddings import get_timestep_embedding
from diffusers.models.resnet import ResnetBlock2D
from helpers import randomize
from torch import nn
from torch.testing import assert_close

from fmcourse.diffusion import Denoiser, Schedule, diffusion_loss, euler
from fmcourse.models.unet import ResidualBlock, UNet, timestep_embedding
from fmcourse.training import fit


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


SMALL = {"widths": (8, 16), "depth": 1, "condition_width": 16}
x, time = torch.randn(3, 1, 12, 12, generator=seeded()), torch.tensor([0.1, 0.5, 1.0])


def test_the_timestep_embedding_equals_diffusers():
    theirs = get_timestep_embedding(1000 * time, 32, flip_sin_to_cos=True, downscale_freq_shift=0)
    assert_close(
        timestep_embedding(time, 32), theirs, rtol=0, atol=1e-4
    )  # angles of up to 1000, in 32 bits


@pytest.mark.parametrize(("channels", "out"), [(16, 16), (16, 24)])
def test_a_residual_block_equals_diffusers(channels, out):
    ours = randomize(ResidualBlock(channels, out, 10))
    theirs = ResnetBlock2D(
        in_channels=channels,
        out_channels=out,
        temb_channels=10,
        groups=8,
        eps=1e-5,
        time_embedding_norm="scale_shift",
        non_linearity="silu",
    )
    names = {
        "norm_1": "norm1",
        "norm_2": "norm2",
        "conv_1": "conv1",
        "conv_2": "conv2",
        "scale_shift": "time_emb_proj",
        "skip": "conv_shortcut",
    }
    theirs.load_state_dict(
        {
            f"{names[key.split('.')[0]]}.{key.split('.')[1]}": value
            for key, value in ours.state_dict().items()
        }
    )
    pictures, told = (
        torch.randn(2, channels, 6, 6, generator=seeded()),
        torch.randn(2, 10, generator=seeded(1)),
    )
    theirs.time_emb_proj.register_forward_pre_hook(
        lambda module, given: (told,)
    )  # theirs bends what is told once more
    assert_close(ours(pictures, told), theirs(pictures, told), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(3, 1, 28, 28), (3, 1, 27, 29), (3, 1, 1, 1), (3, 1, 5, 64)])
def test_the_output_has_the_shape_of_any_input(shape):
    made = randomize(UNet(**SMALL))(torch.randn(shape), time)
    assert made.shape == shape and made.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_output_has_the_dtype_of_the_weights(dtype):
    assert randomize(UNet(**SMALL)).to(dtype)(x.to(dtype), time.to(dtype)).dtype == dtype


def test_a_fresh_network_predicts_zero():
    assert not UNet(**SMALL)(x, time).any()


def test_images_of_a_batch_do_not_mix():
    model = randomize(UNet(**SMALL))
    assert_close(model(x, time)[1:2], model(x[1:2], time[1:2]), rtol=1e-4, atol=1e-5)


def test_time_and_condition_matter_and_every_parameter_gets_a_gradient():
    model = randomize(UNet(**SMALL, conditioner=nn.Embedding(4, 16)))
    kinds = torch.tensor([0, 1, 2])
    made = model(x, time, kinds)
    assert (
        (made - model(x, time.flip(0), kinds))[0].abs().max()
        > 1e-3
        < (made - model(x, time, kinds + 1)).abs().max()
    )
    made.square().sum().backward()
    assert all(
        weight.grad is not None and weight.grad.abs().sum() > 0 for weight in model.parameters()
    )


def test_the_receptive_field_reaches_the_far_corners():
    model = randomize(UNet(**SMALL)).double()
    corner = torch.zeros(3, 1, 12, 12).double()
    corner[..., 0, 0] = 1
    assert (model(corner, time.double()) - model(0 * corner, time.double()))[
        ..., -1, -1
    ].abs().min() > 0


@pytest.mark.slow
def test_overfits_one_image():
    schedule, picture = Schedule.flow(), torch.randn(1, 1, 8, 8, generator=seeded()).clamp(-1, 1)
    torch.manual_seed(0)
    model = UNet(**SMALL)
    data = [picture.expand(32, -1, -1, -1)]
    fit(
        model,
        partial(diffusion_loss, schedule=schedule, predicts="velocity"),
        data,
        steps=400,
        seed=0,
        progress=False,
    )
    made = euler(
        Denoiser(model, schedule, "velocity"),
        torch.randn(4, 1, 8, 8, generator=seeded(1)),
        schedule,
        20,
    )
    assert (
        made - picture
    ).abs().mean() < picture.abs().mean() / 2  # half as far off as grey would be


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: UNet(widths=()), "at least one width"),
        (lambda: UNet(widths=(8, 0)), "each must be at least 1"),
        (lambda: UNet(condition_width=15), "condition_width even"),
        (lambda: UNet(**SMALL)(x.expand(-1, 3, -1, -1), time), r"takes images \(B, 1, S, S\)"),
        (lambda: UNet(**SMALL)(x, time[:2]), "a time for each"),
        (lambda: UNet(**SMALL)(x, time, time), "a condition was given to a network made without"),
        (
            lambda: UNet(**SMALL, conditioner=nn.Embedding(4, 16))(x, time),
            "no condition was given to a network made with",
        ),
    ],
)
def test_bad_input_is_named(act, message):
    with pytest.raises(ValueError, match=message):
        act()
