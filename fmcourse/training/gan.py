"""A generative adversarial network: one network forges pictures, another tells them from real ones; each learns from the other.

    B batch   K numbers of noise

    noise z (B, K) ──generator──▶ fake ──discriminator──▶ scores (B,), high for real

Two losses pull in opposite directions, so there is no one thing to make smaller, and a training loop of its own: `train_gan`. Goodfellow et
al. 2014. What steadies it: hinge loss (Lim & Ye 2017), a discriminator that may not be steep (Miyato et al. 2018), averaged weights.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from fmcourse.training import (
    EMA,
    Batches,
    DivergenceError,
    History,
    Run,
    defer_interrupt,
    derive_seed,
    get_batch,
    to_device,
)

# -- what the two are paid for: scores (B,) of real and of fake pictures in, scalars out ------------------------------------


def log_discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Real or fake? In nats for the two together; who only guesses pays 2 log 2. Source: Goodfellow et al. 2014, equation 1."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def log_generator_loss(fake: Tensor) -> Tensor:
    """Be taken for real. -log p, not log(1 - p), which is flat where it matters: in the beginning. Source: there, section 3."""
    return F.softplus(-fake).mean()


def hinge_discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Real above 1, fake below -1; beyond that nothing more is to be gained. Source: Lim & Ye 2017, equation 14."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def hinge_generator_loss(fake: Tensor) -> Tensor:
    """Raise the score of what you forge."""
    return -fake.mean()


LOSSES: dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor]]] = {
    "log": (log_discriminator_loss, log_generator_loss),
    "hinge": (hinge_discriminator_loss, hinge_generator_loss),
}

# -- a discriminator that may not be steep -----------------------------------------------------------------------------------------


class SpectralNorm(nn.Module):
    """A weight divided by its spectral norm, the most that it stretches any input, which a step of power iteration keeps track of.

    Source: Miyato et al. 2018, algorithm 1. Convolutions are read as matrices (out, all the rest).
    """

    def __init__(self, weight: Tensor, steps: int = 15) -> None:
        super().__init__()
        rows = weight.detach().flatten(1)
        g = torch.Generator().manual_seed(0)
        self.register_buffer("u", F.normalize(torch.randn(len(rows), generator=g).to(rows), dim=0))
        self.register_buffer("v", F.normalize(rows.T @ self.u, dim=0))
        for _ in range(steps):
            self.power_iteration(rows)

    @torch.no_grad()
    def power_iteration(self, rows: Tensor) -> None:
        self.u.copy_(F.normalize(rows @ self.v, dim=0))
        self.v.copy_(F.normalize(rows.T @ self.u, dim=0))

    def forward(self, weight: Tensor) -> Tensor:
        rows = weight.flatten(1)
        if self.training:
            self.power_iteration(rows.detach())
        return weight / (
            self.u.clone() @ rows @ self.v.clone()
        )  # copies: the next step moves u and v, the graph needs these


def add_spectral_norm(model: nn.Module) -> nn.Module:
    """The same model, each matrix and kernel of it held to a spectral norm of 1: scores change no faster than pictures do."""
    for part in list(model.modules()):
        if isinstance(part, nn.Linear | nn.Conv1d | nn.Conv2d) and not parametrize.is_parametrized(
            part
        ):
            parametrize.register_parametrization(part, "weight", SpectralNorm(part.weight))
    return model


# -- the game ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class GANConfig:
    """How the two play. As it stands, the game with what steadies it; `dcgan()` is that of 2014.

    Args:
        loss: "hinge" or "log".
        lr_generator, lr_discriminator, betas: of Adam, for each.
        ema_decay: share of itself that the generator's averaged copy keeps at each step.
    Raises: ValueError naming the field.
    """

    loss: Literal["hinge", "log"] = "hinge"
    lr_generator: float = 2e-4
    lr_discriminator: float = 4e-4
    betas: tuple[float, float] = (0.0, 0.99)
    ema_decay: float = 0.995

    @classmethod
    def dcgan(cls) -> "GANConfig":
        """Radford et al. 2016, section 3, with the loss of 2014."""
        return cls(loss="log", lr_generator=2e-4, lr_discriminator=2e-4, betas=(0.5, 0.999))

    def __post_init__(self) -> None:
        if self.loss not in LOSSES or min(self.lr_generator, self.lr_discriminator) <= 0:
            raise ValueError(
                f"loss={self.loss!r}, lr_generator={self.lr_generator}, lr_discriminator={self.lr_discriminator}: choose "
                f"{' or '.join(map(repr, LOSSES))}, and steps above 0."
            )


class GANRun(Run):
    """The state of a game: both players, the averaged generator, their optimizers. Saved and gone on with like any `Run`."""

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        config: GANConfig,
        latent_dim: int,
        seed: int,
        steps: int,
    ) -> None:
        self.ema, self.latent_dim = EMA(generator, config.ema_decay), latent_dim
        players = {
            "generator": generator,
            "discriminator": discriminator,
            "averaged": self.ema.model,
        }
        adam = lambda model, lr: torch.optim.Adam(model.parameters(), lr, config.betas)
        optimizers = [
            adam(generator, config.lr_generator),
            adam(discriminator, config.lr_discriminator),
        ]
        super().__init__(nn.ModuleDict(players), optimizers, config, seed, steps, None)

    def load(self, path: Path) -> None:
        super().load(path)
        self.ema.updates = self.history.steps

    def record_loss(self, loss: float) -> None:
        """One more step is behind us."""
        self.history.losses.append(loss)
        self.history.seconds.append(time.monotonic() - self.started)
        self.history.tokens.append((self.history.tokens or [0])[-1] + 1)

    def train_step(self, real: Tensor) -> tuple[float, float]:
        """The discriminator learns from a batch of real and one of fake pictures; the generator from what the discriminator now says of its own."""
        generator, discriminator = self.model["generator"], self.model["discriminator"]
        of_discriminator, of_generator = LOSSES[self.config.loss]
        seed = derive_seed(self.seed, self.history.steps)
        torch.manual_seed(seed)
        g = torch.Generator(real.device).manual_seed(seed)
        fake = generator(torch.randn(len(real), self.latent_dim, generator=g, device=real.device))
        loss_discriminator = of_discriminator(
            discriminator(real).flatten(), discriminator(fake.detach()).flatten()
        )
        self.update_network(1, loss_discriminator)
        discriminator.requires_grad_(False)  # it is asked, and does not learn
        loss_generator = of_generator(discriminator(fake).flatten())
        self.update_network(0, loss_generator)
        discriminator.requires_grad_(True)
        self.ema.update()
        return loss_discriminator.item(), loss_generator.item()

    def update_network(self, player: int, loss: Tensor) -> None:
        if not math.isfinite(loss.item()):
            who = ("generator", "discriminator")[player]
            raise DivergenceError(
                f"the loss of the {who} became {loss.item()} at step {self.history.steps}; try a third of its step size, or look for NaN in the data."
            )
        self.optimizers[player].zero_grad(set_to_none=True)
        loss.backward()
        self.optimizers[player].step()


def train_gan(
    generator: nn.Module,
    discriminator: nn.Module,
    data: Batches,
    *,
    latent_dim: int,
    steps: int,
    seed: int = 0,
    config: GANConfig = GANConfig(),
    checkpoint: str | Path | None = None,
    save_every: int = 200,
    on_step: Callable[..., Any] | None = None,
    progress: bool = True,
) -> tuple[nn.Module, History]:
    """Train both in place, in turns, for `steps` turns each. As in `fit`, all of a step is a pure function of (seed, step).

    Args:
        generator: noise (B, latent_dim) to pictures.
        discriminator: pictures to one number each.
        data: data[step] is a batch of real pictures; a list of batches is read round.
        checkpoint: a safetensors file, saved every `save_every` steps and at the end; where it exists the game goes on from it, to the
            same weights bit for bit.
        on_step: called with (step, the generator's loss, discriminator=the discriminator's) after each step.
    Returns: the generator with averaged weights, and the history, whose losses are the discriminator's.
    Raises: ValueError for bad arguments, DivergenceError if a loss is no number, CheckpointMismatch if the file is another game's.
    """
    if min(latent_dim, steps) < 1:
        raise ValueError(f"latent_dim={latent_dim}, steps={steps}: both must be at least 1.")
    run = GANRun(generator, discriminator, config, latent_dim, seed, steps)
    if checkpoint is not None and Path(checkpoint).exists():
        run.load(Path(checkpoint))
    device = next(generator.parameters()).device
    generator.train(), discriminator.train()
    with torch.random.fork_rng(), defer_interrupt() as stop, run.progress_bar(progress) as bar:
        while not run.is_finished() and not stop.requested:
            losses = run.train_step(to_device(get_batch(data, run.history.steps), device))
            run.record_loss(losses[0])
            run.update_bar(bar)
            if on_step is not None:
                on_step(run.history.steps, losses[1], discriminator=losses[0])
            if checkpoint is not None and (
                run.history.steps % save_every == 0 or run.is_finished() or stop.requested
            ):
                run.save(Path(checkpoint))
    run.history.interrupted = stop.requested
    return run.ema.model.eval(), run.history
