"""The diffusion Transformer: diffusers' input and output layers, the language models' backbone."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from diffusers.models.embeddings import PatchEmbed, get_2d_sincos_pos_embed
from diffusers.models.transformers.dit_transformer_2d import DiTTransformer2DModel
from helpers import randomize
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from fmcourse.diffusion import Denoiser, Schedule, diffusion_loss, euler
from fmcourse.models.dit import DiT, sinusoidal_encoding_2d
from fmcourse.models.transformer import Stack, modern
from fmcourse.training import fit


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


CONFIG = replace(modern(width=24, depth=2, heads=3, context=200, causal=False), positions="none")
x, time = torch.randn(3, 1, 12, 12, generator=seeded()), torch.tensor([0.1, 0.5, 1.0])


def sines_first(encoding):
    """Ours begin with cosines, theirs with sines; across and down each have both."""
    return torch.cat([half for pair in encoding.chunk(2, 1) for half in pair.chunk(2, 1)[::-1]], 1)


@pytest.mark.parametrize("side", [1, 3, 7])
def test_the_positional_encoding_equals_diffusers(side):
    theirs = get_2d_sincos_pos_embed(24, side, base_size=side)
    assert_close(
        sines_first(sinusoidal_encoding_2d(side, side, 24)), theirs.float(), rtol=0, atol=1e-5
    )


def test_the_positional_encoding_of_a_grid_that_is_not_square():
    grid = sinusoidal_encoding_2d(2, 5, 16).view(2, 5, 16)
    assert_close(grid[0, :, :8], grid[1, :, :8])  # across: the same in each row
    assert_close(grid[:, 0, 8:], grid[:, 4, 8:])  # down: the same in each column
    assert len(grid.flatten(0, 1).unique(dim=0)) == 10


@pytest.mark.parametrize("channels", [1, 3])
def test_both_ends_equal_diffusers_dit(channels):
    ours = randomize(DiT(CONFIG, channels=channels))
    theirs = PatchEmbed(12, 12, patch_size=4, in_channels=channels, embed_dim=24)
    with torch.no_grad():
        (
            theirs.proj.weight.copy_(ours.embed.weight.view(24, channels, 4, 4)),
            theirs.proj.bias.copy_(ours.embed.bias),
        )
        theirs.pos_embed.copy_(sinusoidal_encoding_2d(3, 3, 24))  # theirs are proven above
    pictures, seen = torch.randn(2, channels, 12, 12, generator=seeded()), []
    ours.stack.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    made, told = ours(pictures, time[:2]), ours.time_conditioner(time[:2], None)
    assert_close(seen[0], theirs(pictures) + told[:, None], rtol=1e-4, atol=1e-5)
    patches = (
        ours.head(ours.stack(seen[0]))
        .unflatten(2, (channels, 4, 4))
        .permute(0, 1, 3, 4, 2)
        .flatten(2)
    )
    ending = DiTTransformer2DModel(
        num_attention_heads=1,
        attention_head_dim=16 * channels,
        in_channels=channels,
        out_channels=channels,
        num_layers=1,
        sample_size=12,
        patch_size=4,
        num_embeds_ada_norm=2,
    )
    ending.transformer_blocks[0].forward = lambda hidden, **rest: hidden
    ending.norm_out, ending.proj_out_2 = nn.Identity(), nn.Identity()
    nn.init.zeros_(ending.proj_out_1.weight), nn.init.zeros_(ending.proj_out_1.bias)
    ending.pos_embed.register_forward_hook(lambda *_: patches)  # their end alone, given our patches
    found = ending(
        pictures,
        timestep=torch.zeros(2, dtype=torch.long),
        class_labels=torch.zeros(2, dtype=torch.long),
    )
    assert_close(made, found.sample, rtol=1e-4, atol=1e-5)


def test_its_backbone_is_the_language_models_own():
    model = DiT(CONFIG)
    assert type(model.stack) is Stack
    alone = Stack(CONFIG)
    alone.load_state_dict(model.stack.state_dict())


@pytest.mark.parametrize("shape", [(3, 1, 28, 28), (3, 1, 27, 29), (3, 1, 1, 1), (3, 1, 5, 64)])
def test_the_output_has_the_shape_of_any_input(shape):
    made = randomize(DiT(CONFIG))(torch.randn(shape, generator=seeded()), time)
    assert made.shape == shape and made.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_output_has_the_dtype_of_the_weights(dtype):
    assert randomize(DiT(CONFIG)).to(dtype)(x.to(dtype), time.to(dtype)).dtype == dtype


def test_a_fresh_network_predicts_zero():
    assert not DiT(CONFIG)(x, time).any()


def test_images_of_a_batch_do_not_mix():
    model = randomize(DiT(CONFIG))
    assert_close(model(x, time)[1:2], model(x[1:2], time[1:2]), rtol=1e-4, atol=1e-5)


def test_a_patchs_output_depends_on_its_position_and_on_other_patches():
    model = randomize(DiT(CONFIG))
    alike = torch.zeros(1, 1, 8, 8)
    made = F.pixel_unshuffle(model(alike, time[:1]), 4)
    assert (made[0, :, 0, 0] - made[0, :, 1, 1]).abs().max() > 1e-3
    changed = alike.clone()
    changed[..., 7, 7] = 1
    assert (model(changed, time[:1]) - model(alike, time[:1]))[..., :4, :4].abs().max() > 1e-4


def test_time_and_condition_matter_and_every_parameter_gets_a_gradient():
    model = randomize(DiT(CONFIG, conditioner=nn.Embedding(4, 24)))
    kinds = torch.tensor([0, 1, 2])
    made = model(x, time, kinds)
    assert (model(x, time / 2, kinds) - made).abs().amax((1, 2, 3)).min() > 1e-4
    assert (model(x, time, kinds + 1) - made).abs().amax((1, 2, 3)).min() > 1e-4
    made.square().sum().backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in model.parameters())


@pytest.mark.slow
def test_overfits_one_image_and_samples_it():
    torch.manual_seed(0)
    picture = torch.rand(1, 1, 8, 8, generator=seeded(4)).round() * 2 - 1
    schedule = Schedule.flow(100)
    model = DiT(replace(CONFIG, width=48))
    fit(
        model,
        partial(diffusion_loss, schedule=schedule, predicts="velocity"),
        [picture.repeat(32, 1, 1, 1)],
        steps=200,
        seed=0,
        progress=False,
    )
    made = euler(
        Denoiser(model.eval(), schedule, "velocity"),
        torch.randn(4, 1, 8, 8, generator=seeded()),
        schedule,
        20,
    )
    assert (made - picture).abs().mean() < 0.1


@pytest.mark.parametrize(
    "wrong", [{"causal": True}, {"positions": "rope"}, {"width": 26, "heads": 13}]
)
def test_a_stack_that_cannot_hold_a_grid_is_refused(wrong):
    with pytest.raises(
        ValueError, match=r'give causal=False and positions="none", a width that 4 divides'
    ):
        DiT(replace(CONFIG, **wrong, kv_heads=None, hidden=None))


def test_bad_input_is_named():
    model = DiT(CONFIG)
    with pytest.raises(
        ValueError, match=r"this network takes images \(B, 1, S, S\) and a time for each"
    ):
        model(torch.zeros(2, 3, 8, 8), time[:2])
    with pytest.raises(ValueError, match="and a time for each"):
        model(x, time[:2])
    with pytest.raises(
        ValueError, match="a condition was given to a network made without a conditioner"
    ):
        model(x, time, torch.tensor([0, 1, 2]))
    with pytest.raises(ValueError, match="256 positions are more than context=200"):
        model(torch.zeros(1, 1, 64, 64), time[:1])
