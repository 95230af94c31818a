"""Patches of images as tokens, and a masked autoencoder that never sees what it predicts."""

import pytest
import torch
from helpers import randomize
from torch.nn import functional as F
from torch.testing import assert_close
from transformers import ViTMAEConfig, ViTMAEForPreTraining

from fmcourse.models.patches import MaskedAutoencoder, PatchEncoder, patchify
from fmcourse.models.transformer import Config
from fmcourse.objectives import masked_patches
from fmcourse.training import fit

SHAPE = {"width": 24, "depth": 2, "heads": 3, "causal": False}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


pictures = torch.rand(5, 12, 16, generator=seeded())
patches = patchify(pictures, 4)  # (5, 12, 16)


def autoencoder(num_patches=12, patch_width=16):
    decoder = Config(width=16, depth=1, heads=2, causal=False)
    return randomize(
        MaskedAutoencoder(PatchEncoder(Config(**SHAPE), num_patches, patch_width), decoder)
    )


def test_equals_torch_unfold():
    assert_close(patches, F.unfold(pictures[:, None], 4, stride=4).mT)


def test_a_series_becomes_stretches_in_order():
    assert_close(patchify(torch.arange(12.0).view(2, 6), 3), torch.arange(12.0).view(2, 2, 3))


@pytest.mark.parametrize(
    ("shape", "size"),
    [((5, 12, 16), 5), ((5, 12), 7), ((5, 3, 12, 16), 4), ((5,), 1), ((2, 0), 3), ((2, 6), 0)],
)
def test_what_does_not_fit_is_refused(shape, size):
    with pytest.raises(
        ValueError,
        match=rf"cannot be cut into patches of size={size}; give .* a size that divides each side",
    ):
        patchify(torch.zeros(shape), size)


def test_the_patch_embedding_equals_a_strided_convolution():
    encoder = randomize(PatchEncoder(Config(**SHAPE), 12, 16))
    kernel = encoder.embed.weight.view(24, 1, 4, 4)
    looked = F.conv2d(pictures[:, None], kernel, encoder.embed.bias, stride=4).flatten(2).mT
    assert_close(encoder(patches), encoder.stack(looked + encoder.position_embedding))


def test_masked_patches_change_nothing_and_visible_ones_do():
    model, hidden = autoencoder(), torch.rand(5, 12, generator=seeded(1)).argsort(1) < 8
    guesses = model(patches, hidden)
    assert_close(model(torch.where(hidden[..., None], -9.0, patches), hidden), guesses)
    moved = (model(torch.where(hidden[..., None], patches, -patches), hidden) - guesses).abs()
    assert guesses.shape == patches.shape and moved.amax((1, 2)).min() > 1e-3


def test_rows_do_not_mix_and_patches_keep_their_positions():
    model, hidden = autoencoder(), torch.rand(5, 12, generator=seeded(2)).argsort(1) < 9
    for row in range(5):
        at = (~hidden[row]).nonzero()[:, 0]
        x = model.encoder.embed(patches[row, at]) + model.encoder.position_embedding[at]
        known = model.decoder_embed(model.encoder.stack(x[None]))[0]
        y = model.mask_token.repeat(12, 1)
        y[at] = known
        assert_close(model(patches, hidden)[row], model.to_patches(model.decoder(y[None]))[0])


def test_patches_and_loss_are_those_of_vit_mae():
    config = ViTMAEConfig(
        image_size=16,
        patch_size=4,
        num_channels=1,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        decoder_hidden_size=8,
        decoder_num_hidden_layers=1,
        decoder_num_attention_heads=1,
        decoder_intermediate_size=8,
    )
    theirs, square = ViTMAEForPreTraining(config), torch.rand(5, 1, 16, 16, generator=seeded())
    ours = patchify(square[:, 0], 4)
    assert_close(ours, theirs.patchify(square))
    hidden = (
        torch.rand(5, 16, generator=seeded(3)).argsort(1) < 12
    )  # what the objective draws from this seed
    found = theirs(
        square, noise=hidden + torch.rand(5, 16, generator=seeded()) / 2
    )  # they keep those with the least noise
    assert torch.equal(found.mask.bool(), hidden)
    loss = masked_patches(lambda patches, asked: found.logits, ours, seeded(3), mask_rate=0.75)
    assert_close(loss.value, found.loss)


@pytest.mark.parametrize("wrong", [{"causal": True}, {"positions": "rope"}])
def test_a_causal_stack_or_rope_is_refused(wrong):
    with pytest.raises(
        ValueError, match="patches are seen in any order, so give causal=False and 'learned'"
    ):
        PatchEncoder(Config(**SHAPE | wrong), 12, 16)


@pytest.mark.slow
def test_overfits_a_few_images_but_cannot_predict_masked_noise():
    two = (patchify(torch.rand(2, 8, 8, generator=seeded(4)).round(), 4) - 0.5).repeat(16, 1, 1)
    torch.manual_seed(0)

    def make():
        encoder = PatchEncoder(Config(**SHAPE), 4, 16)
        return MaskedAutoencoder(encoder, Config(width=24, depth=1, heads=2, causal=False))

    known = fit(make(), masked_patches_half, [two], steps=200, seed=0, progress=False)
    assert sum(known.losses[-20:]) / 20 < 0.01  # of 0.25
    fresh = [
        patchify(torch.rand(32, 8, 8, generator=seeded(n)).round(), 4) - 0.5 for n in range(200)
    ]
    noise = fit(make(), masked_patches_half, fresh, steps=200, seed=0, progress=False)
    assert sum(noise.losses[-20:]) / 20 > 0.245


def masked_patches_half(model, batch, generator=None):
    return masked_patches(model, batch, generator, mask_rate=0.5)
