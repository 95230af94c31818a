"""Autoencoders: a picture through a narrow place and back; and the variational one, in whose narrow place one can draw lots.

    B batch   C colours   S side   K numbers in a code   D numbers in a picture, C S S

    x (B, C, S, S) ──encoder──▶ code z (B, K) or (B, K, S/4, S/4) ──decoder──▶ x̂ (B, C, S, S)

Two networks, trained as one. Hinton & Salakhutdinov 2006; the variational autoencoder: Kingma & Welling 2014, Rezende et al. 2014.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fmcourse.objectives import Loss

# -- the two networks -------------------------------------------------------------------------------------------------------


def encoder(
    latent_dim: int, width: int = 32, *, channels: int = 1, side: int = 28, spatial: bool = False
) -> nn.Sequential:
    """Pictures (B, C, S, S) in, `latent_dim` numbers out: (B, K), or if `spatial` as many at each of S/4 by S/4 places, (B, K, S/4, S/4).

    The first step folds 2 by 2 pixels into one place (Shi et al. 2016), which saves most of the work.
    Raises: ValueError for numbers below 1 or a side that is no multiple of 4.
    """
    places = latent_side(latent_dim, width, channels, side)
    last = (
        nn.Conv2d(2 * width, latent_dim, 1)
        if spatial
        else nn.Sequential(nn.Flatten(), nn.Linear(2 * width * places**2, latent_dim))
    )
    return nn.Sequential(
        nn.PixelUnshuffle(2),
        *(nn.Conv2d(4 * channels, width, 3, padding=1), nn.LeakyReLU(0.2)),
        *(nn.Conv2d(width, 2 * width, 4, 2, padding=1), nn.LeakyReLU(0.2)),
        *(nn.Conv2d(2 * width, 2 * width, 3, padding=1), nn.LeakyReLU(0.2)),
        last,
    )


def decoder(
    latent_dim: int, width: int = 32, *, channels: int = 1, side: int = 28, spatial: bool = False
) -> nn.Sequential:
    """The way back, the same steps in reverse: codes as `encoder` makes them in, pictures (B, C, S, S) out. Raises: as `encoder`."""
    places = latent_side(latent_dim, width, channels, side)
    first = (
        nn.Conv2d(latent_dim, 2 * width, 1)
        if spatial
        else nn.Sequential(
            nn.Linear(latent_dim, 2 * width * places**2),
            nn.Unflatten(1, (2 * width, places, places)),
        )
    )
    return nn.Sequential(
        first,
        *(
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 4 * width, 3, padding=1),
            nn.PixelShuffle(2),
        ),  # (B, W, S/2, S/2)
        *(nn.LeakyReLU(0.2), nn.Conv2d(width, width, 3, padding=1)),
        *(nn.LeakyReLU(0.2), nn.Conv2d(width, 4 * channels, 3, padding=1), nn.PixelShuffle(2)),
    )


def latent_side(latent_dim: int, width: int, channels: int, side: int) -> int:
    if min(latent_dim, width, channels, side) < 1 or side % 4:
        raise ValueError(
            f"latent_dim={latent_dim}, width={width}, channels={channels}, side={side}: each must be at least 1, and the side a "
            "multiple of 4, for it is halved twice."
        )
    return side // 4


class Autoencoder(nn.Module):
    """An encoder and a decoder, any two networks of which the second undoes the shapes of the first."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))


def reconstruction(
    model: nn.Module, batch: Tensor, generator: torch.Generator | None = None
) -> Loss:
    """What comes out must be what went in. Mean square per number. Raises: ValueError for an empty batch."""
    value = F.mse_loss(model(check_not_empty(batch)), batch)
    return Loss(value, {"mean square": value.item()}, len(batch))


def check_not_empty(batch: Tensor) -> Tensor:
    if not batch.numel():
        raise ValueError(f"the batch {tuple(batch.shape)} is empty; give at least one picture.")
    return batch


# -- the variational one ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Gaussian:
    """One bell curve for each number of a code: `mean` and `log_variance`, both of one shape, (B, K, ...)."""

    mean: Tensor
    log_variance: Tensor

    @property
    def std(self) -> Tensor:
        return (self.log_variance / 2).exp()

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """A draw as a sum, so that gradients reach mean and spread: mean + std ε. Source: Kingma & Welling 2014, section 2.4."""
        noise = torch.randn(
            self.mean.shape, generator=generator, dtype=self.mean.dtype, device=self.mean.device
        )
        return self.mean + self.std * noise

    def kl(self) -> Tensor:
        """Nats from here to the standard bell, of each number: (μ² + σ² - 1 - log σ²) / 2. Source: there, appendix B."""
        return (self.mean.square() + self.log_variance.exp() - 1 - self.log_variance) / 2

    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density of each number of `z`."""
        distance = (z - self.mean).square() * (-self.log_variance).exp()
        return -(distance + self.log_variance + math.log(2 * math.pi)) / 2


class VAE(nn.Module):
    """A model of pictures: draw z from the standard bell, decode, add a little noise. The encoder guesses which z a picture came from.

    Args:
        encoder: pictures to twice as many numbers as a code has, along axis 1: means, then log-variances.
        decoder: codes to pictures.
        noise: standard deviation of what the decoder leaves open at each pixel: how exactly it must paint.
    Raises: ValueError unless noise is above 0.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, noise: float = 0.2) -> None:
        super().__init__()
        if not noise > 0:
            raise ValueError(
                f"noise={noise}; it must be above 0: a picture without any would need an exact code."
            )
        self.encoder, self.decoder, self.noise = encoder, decoder, noise

    def encode(self, x: Tensor) -> Gaussian:
        """Which codes a picture may have come from."""
        mean, log_variance = self.encoder(x).chunk(2, 1)
        return Gaussian(mean, log_variance.clamp(-20, 10))

    def forward(self, x: Tensor) -> Tensor:
        """Pictures there and back, by the middle of their codes."""
        return self.decoder(self.encode(x).mean)

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x | z) of each picture, in nats, (B,)."""
        x_hat = self.decoder(z)
        spread = torch.full_like(x_hat, 2 * math.log(self.noise))
        return Gaussian(x_hat, spread).log_prob(x).flatten(1).sum(1)


def elbo(
    model: VAE, batch: Tensor, generator: torch.Generator | None = None, *, beta: float = 1.0
) -> Loss:
    """Minus the evidence lower bound, in nats per picture: pay for what the decoder gets wrong, and for what the code tells.

    log p(x) ≥ E[log p(x | z)] - KL(q(z | x) ‖ p(z)), one draw of z for each picture.

    Args:
        batch: pictures (B, ...).
        beta: weight of the KL; another than 1 is no bound any more (β-VAE, Higgins et al. 2017).
    Raises: ValueError for an empty batch or a negative weight.
    Source: Kingma & Welling 2014, equation 3.
    """
    if beta < 0:
        raise ValueError(
            f"beta={beta}; it must be 0 or more: below that, codes are paid to run away."
        )
    q = model.encode(check_not_empty(batch))
    reconstruction = -model.log_likelihood(batch, q.sample(generator)).mean()
    kl = q.kl().flatten(1).sum(1).mean()
    parts = {"reconstruction": reconstruction.item(), "KL": kl.item()}
    return Loss(reconstruction + beta * kl, parts, len(batch))


@torch.no_grad()
def log_evidence(
    model: VAE, x: Tensor, draws: int = 100, generator: torch.Generator | None = None
) -> Tensor:
    """log p(x) of each picture in nats, (B,), from `draws` codes that the encoder proposes: log mean p(x | z) p(z) / q(z | x).

    It is too low on average, less so with more draws; with one it is the bound itself.
    Raises: ValueError for fewer than one draw.
    Source: Burda et al. 2016, equation 8.
    """
    if draws < 1:
        raise ValueError(f"draws={draws}; at least one is needed.")
    q = model.encode(check_not_empty(x))
    prior = Gaussian(torch.zeros_like(q.mean), torch.zeros_like(q.mean))
    found = []
    for _ in range(draws):
        z = q.sample(generator)
        found.append(
            model.log_likelihood(x, z) + (prior.log_prob(z) - q.log_prob(z)).flatten(1).sum(1)
        )
    return torch.stack(found).logsumexp(0) - math.log(draws)
