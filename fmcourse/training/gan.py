"""Generative adversarial networks: a generator makes images, a discriminator judges them.

    B batch   K latent dimensions

    noise z (B, K) ──generator──▶ fake images ──discriminator──▶ logits (B,), high for real

The discriminator learns to tell real images from fake ones, the generator to be taken for real.
Each minimizes a loss of its own, so there is no single quantity that falls, and `fit` does not
apply: `train_gan` is a loop with two updates in each step.

Goodfellow et al. 2014; the loop as in Radford et al. 2016 (DCGAN). What stabilizes training: the
hinge loss (Lim & Ye 2017), spectral normalization (Miyato et al. 2018), averaged weights.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from fmcourse.training.batches import Batches, derive_seed, get_batch, to_device
from fmcourse.training.checkpoints import load_checkpoint, save_or_warn
from fmcourse.training.ema import EMA
from fmcourse.training.history import DivergenceError, History
from fmcourse.training.interrupts import defer_interrupt
from fmcourse.training.loop import Run

# -- losses: the discriminator's logits (B,) for real and for fake images -> a scalar, in nats -----


def discriminator_bce_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Binary cross-entropy for real and for fake images, added: -log D(x) - log(1 - D(G(z))).

    With D = sigmoid(logit), both are softplus. A blind guess costs 2 log 2 nats.
    Source: Goodfellow et al. 2014, equation 1.
    """
    # -log sigmoid(r) = softplus(-r), -log(1 - sigmoid(f)) = softplus(f): no logarithm of 0.
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def generator_non_saturating_loss(fake: Tensor) -> Tensor:
    """-log D(G(z)), in place of log(1 - D(G(z))).

    Both have the same optimum, but the latter saturates: its gradient vanishes where the
    discriminator is sure, which is at the start. Source: Goodfellow et al. 2014, section 3.
    """
    return F.softplus(-fake).mean()


def discriminator_hinge_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Logits above 1 for real and below -1 for fake images cost nothing.

    Source: Lim & Ye 2017, equation 14.
    """
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def generator_hinge_loss(fake: Tensor) -> Tensor:
    """Minus the mean logit of fake images. Source: Lim & Ye 2017, equation 15."""
    return -fake.mean()  # no hinge: the generator gains from every rise of a logit


# Each pair: of the discriminator, of the generator.
LOSSES: dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor]]] = {
    "non-saturating": (discriminator_bce_loss, generator_non_saturating_loss),
    "hinge": (discriminator_hinge_loss, generator_hinge_loss),
}

# -- spectral normalization ------------------------------------------------------------------------


class SpectralNorm(nn.Module):
    """A weight divided by its spectral norm, its largest singular value: W / σ(W).

    One step of power iteration for each forward pass in training keeps u and v near the first
    singular vectors; σ = uᵀ W v. A convolution's weight counts as a matrix (out, all the rest).
    For `torch.nn.utils.parametrize`. Source: Miyato et al. 2018, algorithm 1.
    """

    def __init__(self, weight: Tensor, steps: int = 15) -> None:
        super().__init__()
        W = weight.detach().flatten(1)  # (out, all the rest)
        g = torch.Generator().manual_seed(0)  # leaves the global random state alone
        # Buffers, so that a checkpoint holds u and v, and a resumed run continues with them.
        self.register_buffer("u", F.normalize(torch.randn(len(W), generator=g).to(W), dim=0))
        self.register_buffer("v", F.normalize(W.T @ self.u, dim=0))
        for _ in range(steps):  # u begins at random, so more steps than later
            self.power_iteration(W)

    @torch.no_grad()
    def power_iteration(self, W: Tensor) -> None:
        # Products with W and Wᵀ in turn lead to the singular vectors of the largest singular value.
        self.u.copy_(F.normalize(W @ self.v, dim=0))
        self.v.copy_(F.normalize(W.T @ self.u, dim=0))

    def forward(self, weight: Tensor) -> Tensor:
        W = weight.flatten(1)
        if self.training:  # in evaluation the output does not depend on earlier calls
            self.power_iteration(W.detach())
        # The backward pass needs these u and v, but the next forward pass changes them in place.
        u, v = self.u.clone(), self.v.clone()
        return weight / (u @ W @ v)  # W is not detached: σ has a gradient too


def add_spectral_norm(model: nn.Module) -> nn.Module:
    """Give every linear and convolutional layer of a model spectral normalization, in place.

    Then each layer is 1-Lipschitz: its output changes no faster than its input.
    Returns: the same model. Layers that are parametrized already stay as they are.
    """
    for layer in list(model.modules()):  # a list, since the loop adds modules
        # Transposed convolutions are left out: their weight is (in, out, ...), not (out, in, ...).
        normalizable = isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d)
        if normalizable and not parametrize.is_parametrized(layer):
            parametrize.register_parametrization(layer, "weight", SpectralNorm(layer.weight))
    return model


# -- training --------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class GANConfig:
    """Hyperparameters of GAN training: the stabilized form; `GANConfig.dcgan()` is DCGAN's.

    Args:
        loss: "hinge" or "non-saturating".
        lr_generator, lr_discriminator, betas: of the two Adam optimizers.
        ema_decay: decay of the generator's averaged weights.
    Raises: ValueError naming the field.
    """

    loss: Literal["hinge", "non-saturating"] = "hinge"
    lr_generator: float = 2e-4
    lr_discriminator: float = 4e-4  # two time scales (Heusel et al. 2017)
    betas: tuple[float, float] = (0.0, 0.99)  # no momentum: old gradients met another opponent
    ema_decay: float = 0.995

    @classmethod
    def dcgan(cls) -> "GANConfig":
        """Radford et al. 2016, section 3, with the losses of 2014."""
        lr = 2e-4
        # A β₁ of 0.5, since with Adam's usual 0.9 they saw training oscillate.
        return cls(loss="non-saturating", lr_generator=lr, lr_discriminator=lr, betas=(0.5, 0.999))

    def __post_init__(self) -> None:
        if self.loss not in LOSSES or min(self.lr_generator, self.lr_discriminator) <= 0:
            raise ValueError(
                f"loss={self.loss!r}, lr_generator={self.lr_generator}, "
                f"lr_discriminator={self.lr_discriminator}: choose "
                f"{' or '.join(map(repr, LOSSES))}, and learning rates above 0."
            )


class GANRun(Run):
    """The state of a GAN's training: both networks, the averaged generator, two optimizers.

    Checkpoints work as in any `Run`.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        config: GANConfig,
        latent_dim: int,
        seed: int,
        steps: int,
    ) -> None:
        self.generator, self.discriminator = generator, discriminator
        self.ema, self.latent_dim = EMA(generator, config.ema_decay), latent_dim
        self.optimizer_g = torch.optim.Adam(
            generator.parameters(), config.lr_generator, config.betas
        )
        self.optimizer_d = torch.optim.Adam(
            discriminator.parameters(), config.lr_discriminator, config.betas
        )
        # One module, so that a checkpoint holds all three networks.
        networks = nn.ModuleDict(
            {"generator": generator, "discriminator": discriminator, "averaged": self.ema.model}
        )
        optimizers = [self.optimizer_g, self.optimizer_d]
        # The last argument: no limit in seconds.
        super().__init__(networks, optimizers, config, seed, steps, None)

    def load(self, path: Path) -> None:
        """Resume from a checkpoint. Raises: CheckpointMismatch if it is another run's."""
        load_checkpoint(self, path)
        self.ema.updates = self.history.steps  # one in each step; it limits the decay

    def train_step(self, real: Tensor) -> tuple[float, float]:
        """One update of the discriminator, then one of the generator, on a batch of real images.

        Returns: the loss of the discriminator and of the generator, in nats.
        Raises: DivergenceError if one of them is NaN or infinite.
        """
        discriminator_loss, generator_loss = LOSSES[self.config.loss]
        seed = derive_seed(self.seed, self.history.steps)
        torch.manual_seed(seed)  # for dropout, if a network has it
        g = torch.Generator(real.device).manual_seed(seed)
        z = torch.randn(len(real), self.latent_dim, generator=g, device=real.device)
        fake = self.generator(z)  # its graph is needed again for the generator's update

        # The discriminator: real images up, fake ones down. The generator is not changed by this.
        logits_real = self.discriminator(real).flatten()  # (B,), also from (B, 1)
        logits_fake = self.discriminator(fake.detach()).flatten()
        loss_d = discriminator_loss(logits_real, logits_fake)
        self.check_finite("discriminator", loss_d)  # before any weight moves
        self.optimizer_d.zero_grad(set_to_none=True)
        loss_d.backward()
        self.optimizer_d.step()

        # The generator: the same fake images up, as the updated discriminator sees them. Gradients
        # pass through the discriminator, but not to its weights, which saves time.
        self.discriminator.requires_grad_(False)
        loss_g = generator_loss(self.discriminator(fake).flatten())
        self.check_finite("generator", loss_g)
        self.optimizer_g.zero_grad(set_to_none=True)
        loss_g.backward()
        self.optimizer_g.step()
        self.discriminator.requires_grad_(True)

        self.ema.update()
        # There are no labels to count, so a step counts as one token.
        self.history.append(loss_d.item(), self.elapsed(), tokens=1)
        return loss_d.item(), loss_g.item()

    def check_finite(self, network: str, loss: Tensor) -> None:
        """Raises: DivergenceError naming the network if its loss is NaN or infinite."""
        if not math.isfinite(loss.item()):
            raise DivergenceError(
                f"the loss of the {network} became {loss.item()} at step {self.history.steps}; try "
                "a third of its learning rate, or look for NaN in the data."
            )


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
    """Train both networks in place. As in `fit`, each step is a function of (seed, step).

    Args:
        generator: noise (B, latent_dim) -> images.
        discriminator: images -> one logit for each.
        data: data[step] is a batch of real images; a list of batches is cycled.
        checkpoint: a safetensors file, saved every `save_every` steps and at the end. If it
            exists, training resumes from it, to the same weights bit for bit.
        on_step: called after each step with (step, loss of the generator, discriminator=loss).
    Returns: the generator with averaged weights, and the history with the discriminator's losses.
    Raises: ValueError for bad arguments, DivergenceError if a loss is NaN or infinite,
        CheckpointMismatch if the file belongs to another run.
    """
    if min(latent_dim, steps) < 1:
        raise ValueError(f"latent_dim={latent_dim}, steps={steps}: both must be at least 1.")
    run = GANRun(generator.train(), discriminator.train(), config, latent_dim, seed, steps)
    path = None if checkpoint is None else Path(checkpoint)
    if path is not None and path.exists():
        run.load(path)
    # `train_step` seeds the global generator; afterwards the caller's state is restored.
    with torch.random.fork_rng(), run.progress_bar(progress) as bar:
        gan_loop(run, data, path, save_every, on_step, bar)
    return run.ema.model.eval(), run.history


def gan_loop(
    run: GANRun,
    data: Batches,
    path: Path | None,
    save_every: int,
    on_step: Callable[..., Any] | None,
    bar: Any,
) -> None:
    """Step after step, until the run is finished or Ctrl-C is pressed."""
    device = next(run.generator.parameters()).device
    with defer_interrupt() as stop:
        while not run.is_finished() and not stop.requested:
            real = to_device(get_batch(data, run.history.steps), device)
            loss_d, loss_g = run.train_step(real)
            run.update_bar(bar)
            step = run.history.steps
            if on_step is not None:
                on_step(step, loss_g, discriminator=loss_d)
            last = run.is_finished() or stop.requested  # after Ctrl-C the state is saved too
            if path is not None and (step % save_every == 0 or last):
                save_or_warn(run.save, path, last)
    run.history.interrupted = stop.requested
