"""GANs: losses, spectral normalization and both updates against torch; repeating, resuming."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations
from torch.testing import assert_close

from fmcourse.autoencoders import decoder, encoder
from fmcourse.training import CheckpointMismatch, DivergenceError, derive_seed
from fmcourse.training.gan import (
    LOSSES,
    GANConfig,
    add_spectral_norm,
    discriminator_bce_loss,
    discriminator_hinge_loss,
    generator_hinge_loss,
    generator_non_saturating_loss,
    train_gan,
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


real, fake = (2 * torch.randn(50, generator=seeded(seed)) for seed in (0, 1))


# -- losses ----------------------------------------------------------------------------------------


def test_the_losses_of_2014_are_binary_cross_entropies():
    ones, zeros = torch.ones(50), torch.zeros(50)
    theirs = F.binary_cross_entropy_with_logits(real, ones) + F.binary_cross_entropy_with_logits(
        fake, zeros
    )
    assert_close(discriminator_bce_loss(real, fake), theirs)
    assert_close(
        generator_non_saturating_loss(fake), F.binary_cross_entropy_with_logits(fake, ones)
    )


def test_the_hinge_losses_are_torchs_margin_losses():
    theirs = F.margin_ranking_loss(
        real, 0 * real, torch.ones(50), margin=1
    ) + F.margin_ranking_loss(fake, 0 * fake, -torch.ones(50), margin=1)
    assert_close(discriminator_hinge_loss(real, fake), theirs)
    assert_close(generator_hinge_loss(fake), -fake.mean())


@pytest.mark.parametrize("name", LOSSES)
def test_the_two_networks_want_opposite_logits_for_fake_images(name):
    logits = fake.clone().requires_grad_()
    discriminator_loss, generator_loss = LOSSES[name]
    (up,) = torch.autograd.grad(generator_loss(logits), logits)
    (down,) = torch.autograd.grad(discriminator_loss(real, logits), logits)
    assert (up <= 0).all() and (down >= 0).all() and up.abs().sum() > 0 < down.abs().sum()


# -- spectral normalization ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "layer", [lambda: nn.Linear(7, 5), lambda: nn.Conv2d(3, 6, 3), lambda: nn.Linear(2, 1)]
)
def test_spectral_norm_equals_torchs(layer):
    torch.manual_seed(0)
    ours, theirs = layer(), layer()
    theirs.load_state_dict(ours.state_dict())
    add_spectral_norm(ours)
    parametrizations.spectral_norm(theirs)
    for _ in range(200):  # both follow their own random start to the same place
        assert ours.weight.shape == theirs.weight.shape
    assert_close(ours.weight, theirs.weight, rtol=1e-3, atol=1e-3)
    ours.weight.square().sum().backward(), theirs.weight.square().sum().backward()
    assert_close(
        ours.parametrizations.weight.original.grad,
        theirs.parametrizations.weight.original.grad,
        rtol=1e-2,
        atol=1e-2,
    )


def test_a_network_with_spectral_norm_is_1_lipschitz():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(6, 20), nn.LeakyReLU(0.2), nn.Linear(20, 20), nn.LeakyReLU(0.2), nn.Linear(20, 1)
    )
    for weight in model.parameters():
        nn.init.normal_(weight, std=3)
    add_spectral_norm(model)
    for _ in range(100):
        a, b = torch.randn(2, 64, 6, generator=seeded())
        gap = (model(a) - model(b)).abs().flatten()
    assert (gap <= (a - b).norm(dim=1) * 1.01).all()
    for part in (0, 2, 4):
        assert torch.linalg.matrix_norm(model[part].weight.detach(), 2).item() == pytest.approx(
            1, abs=0.02
        )


def test_power_iteration_runs_in_training_mode_alone():
    discriminator = add_spectral_norm(nn.Linear(4, 3)).eval()
    before = discriminator.parametrizations.weight[0].u.clone()
    with torch.no_grad():
        discriminator.parametrizations.weight.original.copy_(torch.randn(3, 4))
    assert discriminator(torch.ones(1, 4)).shape == (1, 3) and torch.equal(
        discriminator.parametrizations.weight[0].u, before
    )
    discriminator.train()(torch.ones(1, 4))
    assert not torch.equal(discriminator.parametrizations.weight[0].u, before)


def test_no_layer_is_normalized_twice():
    model = nn.Sequential(encoder(1, 4), nn.Linear(1, 1))
    names = [[name for name, _ in add_spectral_norm(model).named_parameters()] for _ in range(2)]
    assert names[0] == names[1]


# -- training --------------------------------------------------------------------------------------

RING = torch.tensor([[1.0, 0.0], [-1.0, 0.0]]).repeat(32, 1)


def perceptron(inputs, outputs):
    return nn.Sequential(nn.Linear(inputs, 32), nn.LeakyReLU(0.2), nn.Linear(32, outputs))


def networks(seed=0):
    torch.manual_seed(seed)
    return perceptron(4, 2), add_spectral_norm(perceptron(2, 1))


class Points:
    def __getitem__(self, step):
        g = seeded(step)
        return RING + 0.1 * torch.randn(64, 2, generator=g)


def weights(*models):
    return [
        weight.detach().clone()
        for model in models
        for weight in [*model.parameters(), *model.buffers()]
    ]


def test_the_same_seed_repeats_and_the_global_random_state_is_left_alone():
    state, found = torch.get_rng_state(), []
    for seed in (0, 0, 1):
        generator, discriminator = networks()
        torch.set_rng_state(state)
        averaged, history = train_gan(
            generator, discriminator, Points(), latent_dim=4, steps=5, seed=seed, progress=False
        )
        assert torch.equal(torch.get_rng_state(), state) and history.steps == 5
        found.append(weights(generator, discriminator, averaged))
    assert all(map(torch.equal, found[0], found[1])) and not all(
        map(torch.equal, found[0], found[2])
    )


@pytest.mark.parametrize("config", [GANConfig(), GANConfig.dcgan()], ids=["default", "dcgan"])
def test_a_killed_run_resumes_bit_for_bit(tmp_path, config):
    generator, discriminator = networks()
    averaged, history = train_gan(
        generator, discriminator, Points(), latent_dim=4, steps=9, config=config, progress=False
    )
    whole = weights(generator, discriminator, averaged)

    class Killed(Exception):
        pass

    def kill(step, loss, discriminator):
        if step == 5:
            raise Killed

    options = {
        "latent_dim": 4,
        "steps": 9,
        "config": config,
        "checkpoint": tmp_path / "game",
        "save_every": 3,
        "progress": False,
    }
    with pytest.raises(Killed):
        train_gan(*networks(), Points(), **options, on_step=kill)
    generator, discriminator = networks(seed=1)  # other weights: all must come from the file
    averaged, resumed = train_gan(generator, discriminator, Points(), **options)
    assert all(map(torch.equal, whole, weights(generator, discriminator, averaged)))
    assert resumed.losses == history.losses


@pytest.mark.parametrize("loss", LOSSES)
def test_training_equals_two_updates_by_torchs_adam_and_an_averaged_generator(loss):
    config = GANConfig(
        loss=loss, lr_generator=2e-2, lr_discriminator=5e-2, betas=(0.3, 0.6), ema_decay=0.15
    )
    ours, theirs = networks(), networks()
    options = dict(latent_dim=4, steps=6, seed=7, config=config, progress=False)
    averaged, history = train_gan(*ours, Points(), **options)

    generator, discriminator = theirs
    adam_g = torch.optim.Adam(generator.parameters(), 2e-2, betas=(0.3, 0.6))
    adam_d = torch.optim.Adam(discriminator.parameters(), 5e-2, betas=(0.3, 0.6))
    discriminator_loss, generator_loss = LOSSES[loss]
    average, losses = weights(generator), []
    for step in range(6):
        z = torch.randn(64, 4, generator=seeded(derive_seed(7, step)))
        fake = generator(z)
        logits_real, logits_fake = discriminator(Points()[step]), discriminator(fake.detach())
        loss_d = discriminator_loss(logits_real.flatten(), logits_fake.flatten())
        adam_d.zero_grad()
        loss_d.backward()
        adam_d.step()
        adam_g.zero_grad()
        generator_loss(discriminator(fake).flatten()).backward()
        adam_g.step()
        decay = min(0.15, (1 + step) / (10 + step))
        average = [
            decay * a + (1 - decay) * w for a, w in zip(average, weights(generator), strict=True)
        ]
        losses.append(loss_d.item())
    assert_close(history.losses, losses)
    assert_close(weights(*ours), weights(*theirs))
    assert_close(weights(averaged), average)
    assert not torch.allclose(average[0], weights(generator)[0])  # so the average matters


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    options = {"latent_dim": 4, "checkpoint": tmp_path / "game", "progress": False}
    train_gan(*networks(), Points(), steps=2, **options)
    with pytest.raises(CheckpointMismatch, match="config"):
        train_gan(*networks(), Points(), steps=2, config=GANConfig.dcgan(), **options)
    with pytest.raises(CheckpointMismatch, match="steps"):
        train_gan(*networks(), Points(), steps=3, **options)


@pytest.mark.slow
def test_generated_points_move_to_where_real_ones_are():
    generator, discriminator = networks()
    config = GANConfig(lr_generator=3e-3, lr_discriminator=3e-3, ema_decay=0.9)

    @torch.no_grad()
    def off(network):
        return (
            torch.cdist(network(torch.randn(500, 4, generator=seeded(3))), RING[:2])
            .amin(1)
            .median()
        )

    before = off(generator)
    averaged, _ = train_gan(
        generator, discriminator, Points(), latent_dim=4, steps=300, config=config, progress=False
    )
    assert off(averaged) < 0.5 < before and not averaged.training


def test_the_update_of_the_discriminator_does_not_change_the_generator():
    from fmcourse.training.gan import GANRun

    generator, discriminator = networks()
    run = GANRun(generator, discriminator, GANConfig(lr_generator=1e-9), 4, 0, 10)
    before = weights(generator)
    run.train_step(Points()[0])
    assert_close(
        weights(generator), before, rtol=0, atol=1e-7
    )  # but for the generator's own learning rate
    assert all(weight.requires_grad for weight in discriminator.parameters())


def test_the_networks_of_an_autoencoder_make_a_gan():
    averaged, history = train_gan(
        decoder(3, 4),
        encoder(1, 4),
        [torch.zeros(4, 1, 28, 28)],
        latent_dim=3,
        steps=2,
        progress=False,
    )
    assert averaged(torch.zeros(1, 3)).shape == (1, 1, 28, 28) and history.steps == 2


def test_nan_stops_training_and_names_the_network():
    with pytest.raises(DivergenceError, match="discriminator became nan at step 0"):
        train_gan(
            *networks(), [torch.full((4, 2), float("nan"))], latent_dim=4, steps=1, progress=False
        )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: GANConfig(loss="square"), "choose 'non-saturating' or 'hinge'"),
        (lambda: GANConfig(lr_discriminator=0), "lr_discriminator=0"),
        (lambda: train_gan(*networks(), Points(), latent_dim=0, steps=1), "latent_dim=0"),
        (lambda: train_gan(*networks(), Points(), latent_dim=4, steps=0), "steps=0"),
    ],
)
def test_bad_arguments_say_what_was_given(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()
