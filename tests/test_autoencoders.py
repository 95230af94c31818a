"""Autoencoders: against torch and diffusers, and where everything is linear, against the truth."""

import math

import pytest
import torch
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from torch import nn
from torch.distributions import MultivariateNormal, Normal, kl_divergence
from torch.nn import functional as F
from torch.testing import assert_close

from fmcourse.autoencoders import (
    VAE,
    Autoencoder,
    Gaussian,
    decoder,
    encoder,
    log_evidence,
    negative_elbo,
    reconstruction,
)
from fmcourse.training import fit


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


images = torch.rand(6, 1, 28, 28, generator=seeded()) * 2 - 1
mean, log_variance = (torch.randn(3, 4, 5, 5, generator=seeded(seed)) for seed in (1, 2))
q = Gaussian(mean, log_variance)


# -- Gaussians -------------------------------------------------------------------------------------


def test_equals_the_gaussian_of_diffusers():
    theirs = DiagonalGaussianDistribution(torch.cat([mean, log_variance], 1))
    z = torch.randn(3, 4, 5, 5, generator=seeded(3))
    assert_close(q.kl().sum((1, 2, 3)), theirs.kl())
    assert_close(-q.log_prob(z).sum((1, 2, 3)), theirs.nll(z))
    assert_close(q.sample(seeded(4)), theirs.sample(seeded(4)))


def test_equals_torch_distributions():
    theirs, standard = (
        Normal(mean, (log_variance / 2).exp()),
        Normal(torch.zeros(()), torch.ones(())),
    )
    assert_close(q.kl(), kl_divergence(theirs, standard))
    assert_close(q.log_prob(images[0, 0, :5, :5]), theirs.log_prob(images[0, 0, :5, :5]))
    assert_close(q.std, theirs.stddev)


def test_the_kl_divergence_is_zero_for_the_standard_normal_alone():
    assert Gaussian(torch.zeros(7), torch.zeros(7)).kl().eq(0).all()
    assert q.kl().gt(0).all()


def test_gradients_pass_through_a_sample():
    mean, log_variance = (
        torch.tensor([0.3], requires_grad=True),
        torch.tensor([-1.0], requires_grad=True),
    )
    z = Gaussian(mean, log_variance).sample(seeded(5))
    z.sum().backward()
    assert_close(mean.grad, torch.ones(1))
    assert_close(log_variance.grad, (z - mean).detach() / 2)  # d/ds of exp(s / 2) ε


def test_samples_have_the_given_mean_and_standard_deviation():
    draws = Gaussian(torch.full((20_000,), 2.0), torch.full((20_000,), math.log(0.25))).sample(
        seeded()
    )
    assert abs(draws.mean() - 2) < 0.02 and abs(draws.std() - 0.5) < 0.01


# -- a linear model, whose evidence is known -------------------------------------------------------


class Posterior(nn.Module):
    """The exact posterior of x = W z + b + noise, W with orthogonal columns, shifted by `off`."""

    def __init__(self, W, b, noise, off=0.0):
        super().__init__()
        self.W, self.b, self.noise, self.off = W, b, noise, off

    def forward(self, x):
        precision = self.W.square().sum(0) / self.noise**2 + 1
        mean = (x - self.b) @ self.W / self.noise**2 / precision + self.off
        return torch.cat([mean, (-precision.log()).expand_as(mean)], 1)


def linear(off=0.0, noise=0.6):
    W = (
        torch.linalg.qr(torch.randn(5, 2, generator=seeded(6), dtype=torch.float64))[0]
        * torch.tensor([2.0, 0.7]).double()
    )
    b = torch.randn(5, generator=seeded(7), dtype=torch.float64)
    decode = nn.Linear(2, 5).double()
    decode.load_state_dict({"weight": W, "bias": b})
    truth = MultivariateNormal(b, W @ W.T + noise**2 * torch.eye(5).double())
    return VAE(Posterior(W, b, noise, off), decode, noise), truth


def elbo(model, x, draws=4000):
    return -negative_elbo(model, x.repeat_interleave(draws, 0), seeded(8)).value.item()


x = torch.randn(3, 5, generator=seeded(9), dtype=torch.float64)


def test_with_the_exact_posterior_the_elbo_is_the_evidence():
    model, truth = linear()
    assert elbo(model, x) == pytest.approx(truth.log_prob(x).mean().item(), abs=0.03)
    assert_close(log_evidence(model, x, 1, seeded()), truth.log_prob(x))  # each draw is then exact


@pytest.mark.parametrize("off", [0.3, -1.0])
def test_with_another_posterior_the_gap_is_its_kl_divergence_from_the_exact_one(off):
    (model, truth), (exact, _) = linear(off), linear()
    gap = truth.log_prob(x).mean().item() - elbo(model, x)
    p, q = exact.encode(x), model.encode(x)
    divergence = kl_divergence(Normal(q.mean, q.std), Normal(p.mean, p.std)).sum(1).mean().item()
    assert gap == pytest.approx(divergence, abs=0.04) and divergence > 0.1


def test_more_draws_bring_the_estimate_nearer_to_the_evidence():
    model, truth = linear(off=0.5)
    far, near = (
        (
            truth.log_prob(x)
            - log_evidence(model, x.repeat(200, 1), n, seeded()).view(200, 3).mean(0)
        )
        .abs()
        .mean()
        for n in (1, 200)
    )
    assert near < far / 20


# -- networks and objectives -----------------------------------------------------------------------


@pytest.mark.parametrize(("side", "channels"), [(28, 1), (32, 3), (8, 2)])
@pytest.mark.parametrize("spatial", [False, True])
def test_reconstructions_have_the_shape_of_the_images(side, channels, spatial):
    shape = {"side": side, "channels": channels, "spatial": spatial}
    x, model = (
        torch.randn(2, channels, side, side),
        Autoencoder(encoder(3, 8, **shape), decoder(3, 8, **shape)),
    )
    assert model.encoder(x).shape == ((2, 3, side // 4, side // 4) if spatial else (2, 3))
    assert model(x).shape == x.shape


def test_negative_elbo_is_reconstruction_error_plus_kl_divergence():
    model = VAE(encoder(8, 4), decoder(4, 4), noise=0.3)
    loss, q = negative_elbo(model, images, seeded()), model.encode(images)
    x_hat = model.decoder(q.sample(seeded()))
    squares = F.mse_loss(x_hat, images, reduction="sum") / 6 / (2 * 0.09)
    wanted = (
        squares
        + 784 * math.log(0.3 * math.sqrt(2 * math.pi))
        + kl_divergence(Normal(q.mean, q.std), Normal(torch.zeros(()), 1.0)).sum() / 6
    )
    assert_close(loss.value, wanted)
    assert loss.value.item() == pytest.approx(
        loss.parts["reconstruction"] + loss.parts["KL"], rel=1e-5
    )
    weighted = negative_elbo(model, images, seeded(), beta=4).value
    assert_close(weighted - loss.value, torch.tensor(3 * loss.parts["KL"]), rtol=1e-3, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("objective", [reconstruction, negative_elbo])
def test_overfits_one_batch(objective):
    torch.manual_seed(0)
    parts = {reconstruction: (Autoencoder, 4), negative_elbo: (VAE, 8)}
    Model, width = parts[objective]
    model, bright = Model(encoder(width, 8), decoder(4, 8)), (images[:2] > 0).float()
    history = fit(model, objective, [bright], steps=60, seed=0, progress=False)
    assert history.losses[-1] < history.losses[0] / 2


@pytest.mark.slow
def test_latents_collapse_where_the_data_vary_less_than_the_noise():
    """A linear VAE uses one latent for each direction wider than the noise (Lucas et al. 2019)."""
    torch.manual_seed(0)
    wide = torch.randn(512, 4, generator=seeded()) * torch.tensor([2.0, 1.0, 0.2, 0.2])
    model = VAE(nn.Linear(4, 6), nn.Linear(3, 4), noise=0.5)
    fit(model, negative_elbo, [wide], steps=400, seed=0, progress=False)
    kl = model.encode(wide).kl().mean(0).sort().values
    assert kl[0] < 0.02 and kl[1] > 0.3


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: VAE(nn.Identity(), nn.Identity(), noise=0), "noise=0"),
        (lambda: encoder(4, side=30), "side=30"),
        (lambda: decoder(0), "latent_dim=0"),
        (lambda: negative_elbo(VAE(encoder(4), decoder(2)), images[:0]), "empty"),
        (lambda: negative_elbo(VAE(encoder(4), decoder(2)), images, beta=-1), "beta=-1"),
        (lambda: reconstruction(nn.Identity(), images[:0]), "empty"),
        (lambda: log_evidence(VAE(encoder(4), decoder(2)), images, 0), "draws=0"),
    ],
)
def test_bad_arguments_say_what_was_given(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()
