"""Autoencoders: compress an image into a short latent vector and reconstruct it; and the VAE.

    B batch   C channels   S side of an image   K latent dimensions

    x (B, C, S, S) ──encoder──▶ z (B, K) or (B, K, S/4, S/4) ──decoder──▶ x̂ (B, C, S, S)

Encoder and decoder are trained as one network. In a variational autoencoder (VAE) the latent space
is made to follow a standard normal prior, so that new images can be sampled from it.

Hinton & Salakhutdinov 2006 (autoencoders); Kingma & Welling 2014, Rezende et al. 2014 (VAE).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fmcourse.objectives import Loss, own_rows

# -- convolutional networks ------------------------------------------------------------------------


def encoder(
    latent_dim: int, width: int = 32, *, channels: int = 1, side: int = 28, spatial: bool = False
) -> nn.Sequential:
    """A convolutional encoder, images (B, C, S, S) -> (B, K), K = `latent_dim`.

    The first layer folds 2 x 2 pixels into the channels of one place (Shi et al. 2016), which saves
    most of the computation.

    Args:
        width: channels of the first convolution; the next ones have twice as many.
        channels, side: of the images, C and S.
        spatial: keep a grid, (B, K, S/4, S/4), instead of one vector.
    Raises: ValueError for sizes below 1 or a side that is no multiple of 4.
    """
    grid = latent_side(latent_dim, width, channels, side)
    if spatial:
        last: nn.Module = nn.Conv2d(2 * width, latent_dim, 1)  # 1 x 1: each place by itself
    else:
        last = nn.Sequential(nn.Flatten(), nn.Linear(2 * width * grid**2, latent_dim))
    return nn.Sequential(
        nn.PixelUnshuffle(2),  # (B, 4 C, S/2, S/2)
        nn.Conv2d(4 * channels, width, 3, padding=1),  # (B, W, S/2, S/2): padding 1 keeps the side
        nn.LeakyReLU(0.2),  # unlike ReLU, a gradient below 0 too
        nn.Conv2d(width, 2 * width, 4, 2, padding=1),  # (B, 2 W, S/4, S/4)
        nn.LeakyReLU(0.2),
        nn.Conv2d(2 * width, 2 * width, 3, padding=1),
        nn.LeakyReLU(0.2),
        last,
    )


def decoder(
    latent_dim: int, width: int = 32, *, channels: int = 1, side: int = 28, spatial: bool = False
) -> nn.Sequential:
    """The mirror image of `encoder`, with the same arguments: latents -> images (B, C, S, S)."""
    grid = latent_side(latent_dim, width, channels, side)
    if spatial:
        first: nn.Module = nn.Conv2d(latent_dim, 2 * width, 1)
    else:
        first = nn.Sequential(
            nn.Linear(latent_dim, 2 * width * grid**2), nn.Unflatten(1, (2 * width, grid, grid))
        )
    return nn.Sequential(
        first,  # (B, 2 W, S/4, S/4)
        nn.LeakyReLU(0.2),
        nn.Conv2d(2 * width, 4 * width, 3, padding=1),  # four channels for each 2 x 2 pixels
        nn.PixelShuffle(2),  # (B, W, S/2, S/2)
        nn.LeakyReLU(0.2),
        nn.Conv2d(width, width, 3, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(width, 4 * channels, 3, padding=1),
        nn.PixelShuffle(2),  # (B, C, S, S)
    )


def latent_side(latent_dim: int, width: int, channels: int, side: int) -> int:
    """Side of the grid that the convolutions end with. Raises: ValueError as `encoder`."""
    if min(latent_dim, width, channels, side) < 1 or side % 4:
        raise ValueError(
            f"latent_dim={latent_dim}, width={width}, channels={channels}, side={side}: each must "
            "be at least 1, and the side a multiple of 4, since it is halved twice."
        )
    return side // 4


class Autoencoder(nn.Module):
    """An encoder and a decoder: any two networks of which the second inverts the shapes."""

    hidden_layers = ("encoder", "decoder")  # for Muon: see `training.optimizers.hidden_matrices`

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, x: Tensor) -> Tensor:
        """The reconstruction of x."""
        return self.decoder(self.encoder(x))


def reconstruction(
    model: nn.Module, batch: Tensor, generator: torch.Generator | None = None
) -> Loss:
    """Mean squared error between images (B, ...) and their reconstructions, per pixel.

    Raises: ValueError for an empty batch.
    """
    batch = own_rows(generator, check_not_empty(batch))
    value = F.mse_loss(model(batch), batch)
    return Loss(value, {"mean square": value.item()}, len(batch))


def check_not_empty(batch: Tensor) -> Tensor:
    """The same batch. Raises: ValueError if it is empty."""
    if not batch.numel():
        raise ValueError(f"the batch {tuple(batch.shape)} is empty; give at least one image.")
    return batch


# -- variational autoencoders ----------------------------------------------------------------------


@dataclass(frozen=True, eq=False)  # eq=False: == of two tensors is no bool
class Gaussian:
    """Independent normal distributions, one for each latent dimension.

    Args:
        mean, log_variance: μ and log σ², of one shape, (B, K, ...).
    """

    mean: Tensor
    log_variance: Tensor

    @property
    def std(self) -> Tensor:
        # A logarithm may be any real number, so the encoder needs no constraint to give σ > 0.
        return (self.log_variance / 2).exp()

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """μ + σ ε with ε from a standard normal: the reparameterization trick.

        The randomness is in ε alone, so gradients reach μ and σ. Source: Kingma & Welling 2014,
        section 2.4.
        """
        mean = self.mean
        epsilon = torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)
        return mean + self.std * epsilon

    def kl(self) -> Tensor:
        """KL divergence from the standard normal, in nats for each dimension, (B, K, ...).

        (μ² + σ² - 1 - log σ²) / 2. Source: Kingma & Welling 2014, appendix B.
        """
        return (self.mean.square() + self.log_variance.exp() - 1 - self.log_variance) / 2

    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density of each dimension of z, (B, K, ...)."""
        distance = (z - self.mean).square() * (-self.log_variance).exp()  # (z - μ)² / σ²
        return -(distance + self.log_variance + math.log(2 * math.pi)) / 2


class VAE(nn.Module):
    """A latent-variable model of images: z from a standard normal, x = decoder(z) + noise.

    The encoder is its approximate posterior q(z | x).

    Args:
        encoder: images -> (B, 2 K, ...): means, then log-variances.
        decoder: latents (B, K, ...) -> images.
        noise: standard deviation of the noise at each pixel. Smaller: reconstruction counts more.
    Raises: ValueError unless noise is above 0.
    """

    hidden_layers = ("encoder", "decoder")  # for Muon: see `training.optimizers.hidden_matrices`

    def __init__(self, encoder: nn.Module, decoder: nn.Module, noise: float = 0.2) -> None:
        super().__init__()
        if not noise > 0:
            raise ValueError(
                f"noise={noise}; it must be above 0: without noise an image needs an exact latent."
            )
        self.encoder, self.decoder, self.noise = encoder, decoder, noise

    def encode(self, x: Tensor) -> Gaussian:
        """The approximate posterior q(z | x)."""
        mean, log_variance = self.encoder(x).chunk(2, 1)  # (B, K, ...) each
        return Gaussian(mean, log_variance.clamp(-20, 10))  # bounded, so exp() cannot overflow

    def forward(self, x: Tensor) -> Tensor:
        """Reconstructions, from the mean of q(z | x)."""
        return self.decoder(self.encode(x).mean)

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x | z) of each image, in nats, (B,)."""
        x_hat = self.decoder(z)
        log_variance = torch.full_like(x_hat, 2 * math.log(self.noise))  # log σ² of each pixel
        # Pixels are independent given z, so their log-densities add up.
        return Gaussian(x_hat, log_variance).log_prob(x).flatten(1).sum(1)


def negative_elbo(
    model: VAE, batch: Tensor, generator: torch.Generator | None = None, *, beta: float = 1.0
) -> Loss:
    """Minus the evidence lower bound (ELBO), in nats per image: reconstruction error plus KL.

        log p(x) ≥ ELBO = E[log p(x | z)] - KL(q(z | x) ‖ p(z))        one sample of z per image

    Args:
        batch: images (B, ...).
        beta: weight of the KL term. Other values than 1 give no bound (β-VAE, Higgins et al. 2017).
    Raises: ValueError for an empty batch or a negative beta.
    Source: Kingma & Welling 2014, equation 3.
    """
    if beta < 0:
        raise ValueError(
            f"beta={beta}; it must be 0 or more: with less, q is pushed away from the prior."
        )
    q = model.encode(check_not_empty(batch))
    # Both terms are summed over dimensions and averaged over images: averaging over pixels in one
    # alone would change their balance.
    reconstruction = -model.log_likelihood(batch, q.sample(generator)).mean()
    kl = q.kl().flatten(1).sum(1).mean()
    parts = {"reconstruction": reconstruction.item(), "KL": kl.item()}
    return Loss(reconstruction + beta * kl, parts, len(batch))


@torch.no_grad()
def log_evidence(
    model: VAE, x: Tensor, draws: int = 100, generator: torch.Generator | None = None
) -> Tensor:
    """Importance-weighted estimate of log p(x) of each image, in nats, (B,).

        log mean over z ~ q of p(x | z) p(z) / q(z | x)

    On average it is too low, less so with more draws; with one draw it is the ELBO.
    Raises: ValueError for fewer than one draw.
    Source: Burda et al. 2016, equation 8.
    """
    if draws < 1:
        raise ValueError(f"draws={draws}; at least one is needed.")
    q = model.encode(check_not_empty(x))
    prior = Gaussian(torch.zeros_like(q.mean), torch.zeros_like(q.mean))  # log σ² = 0
    log_weights = []
    for _ in range(draws):  # one after another, to save memory
        z = q.sample(generator)
        log_ratio = (prior.log_prob(z) - q.log_prob(z)).flatten(1).sum(1)
        log_weights.append(model.log_likelihood(x, z) + log_ratio)
    # The weights themselves would overflow or underflow, so their mean is taken in logarithms.
    return torch.stack(log_weights).logsumexp(0) - math.log(draws)
