"""A generative adversarial network: one network forges pictures, another tells them from real ones; each learns from the other.

    B batch   K numbers of noise

    noise z (B, K) ──generator──▶ forged ──critic──▶ scores (B,), high for real

Two losses pull in opposite directions, so there is no one thing to make smaller, and a training loop of its own: `play`. Goodfellow et
al. 2014. What steadies it: hinge loss (Lim & Ye 2017), a critic that may not be steep (Miyato et al. 2018), averaged weights.
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

from fmcourse.training import (  # fmt: skip
    Average,
    Batches,
    Diverged,
    History,
    Run,
    batch_of,
    seed_of,
    stop_after_this_step,
    to_device,
)

# -- what the two are paid for: scores (B,) of real and of forged pictures in, scalars out ------------------------------------


def log_critic(real: Tensor, forged: Tensor) -> Tensor:
    """Real or forged? In nats for the two together; who only guesses pays 2 log 2. Source: Goodfellow et al. 2014, equation 1."""
    return F.softplus(-real).mean() + F.softplus(forged).mean()


def log_generator(forged: Tensor) -> Tensor:
    """Be taken for real. -log p, not log(1 - p), which is flat where it matters: in the beginning. Source: there, section 3."""
    return F.softplus(-forged).mean()


def hinge_critic(real: Tensor, forged: Tensor) -> Tensor:
    """Real above 1, forged below -1; beyond that nothing more is to be gained. Source: Lim & Ye 2017, equation 14."""
    return F.relu(1 - real).mean() + F.relu(1 + forged).mean()


def hinge_generator(forged: Tensor) -> Tensor:
    """Raise the score of what you forge."""
    return -forged.mean()


LOSSES: dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor]]] = {
    "log": (log_critic, log_generator),
    "hinge": (hinge_critic, hinge_generator),
}

# -- a critic that may not be steep -----------------------------------------------------------------------------------------


class Spectral(nn.Module):
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
            self.follow(rows)

    @torch.no_grad()
    def follow(self, rows: Tensor) -> None:
        self.u.copy_(F.normalize(rows @ self.v, dim=0))
        self.v.copy_(F.normalize(rows.T @ self.u, dim=0))

    def forward(self, weight: Tensor) -> Tensor:
        rows = weight.flatten(1)
        if self.training:
            self.follow(rows.detach())
        return weight / (
            self.u.clone() @ rows @ self.v.clone()
        )  # copies: the next step moves u and v, the graph needs these


def steadied(model: nn.Module) -> nn.Module:
    """The same model, each matrix and kernel of it held to a spectral norm of 1: scores change no faster than pictures do."""
    for part in list(model.modules()):
        if isinstance(part, nn.Linear | nn.Conv1d | nn.Conv2d) and not parametrize.is_parametrized(part):
            parametrize.register_parametrization(part, "weight", Spectral(part.weight))
    return model


# -- the game ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How the two play. As it stands, the game with what steadies it; `plain()` is that of 2014.

    Args:
        loss: "hinge" or "log".
        lr_generator, lr_critic, betas: of Adam, for each.
        average: share of itself that the generator's averaged copy keeps at each step.
    Raises: ValueError naming the field.
    """

    loss: Literal["hinge", "log"] = "hinge"
    lr_generator: float = 2e-4
    lr_critic: float = 4e-4
    betas: tuple[float, float] = (0.0, 0.99)
    average: float = 0.995

    @classmethod
    def plain(cls) -> "Rules":
        """Radford et al. 2016, section 3, with the loss of 2014."""
        return cls(loss="log", lr_generator=2e-4, lr_critic=2e-4, betas=(0.5, 0.999))

    def __post_init__(self) -> None:
        if self.loss not in LOSSES or min(self.lr_generator, self.lr_critic) <= 0:
            raise ValueError(f"loss={self.loss!r}, lr_generator={self.lr_generator}, lr_critic={self.lr_critic}: choose "
                             f"{' or '.join(map(repr, LOSSES))}, and steps above 0.")  # fmt: skip


class Game(Run):
    """The state of a game: both players, the averaged generator, their optimizers. Saved and gone on with like any `Run`."""

    def __init__(self, generator: nn.Module, critic: nn.Module, rules: Rules, code: int, seed: int, steps: int) -> None:
        self.average, self.code = Average(generator, rules.average), code
        players = {"generator": generator, "critic": critic, "averaged": self.average.model}
        adam = lambda model, lr: torch.optim.Adam(model.parameters(), lr, rules.betas)
        optimizers = [adam(generator, rules.lr_generator), adam(critic, rules.lr_critic)]
        super().__init__(nn.ModuleDict(players), optimizers, rules, seed, steps, None)

    def load(self, path: Path) -> None:
        super().load(path)
        self.average.updates = self.history.steps

    def note(self, loss: float) -> None:
        """One more step is behind us."""
        self.history.losses.append(loss)
        self.history.seconds.append(time.monotonic() - self.started)
        self.history.tokens.append((self.history.tokens or [0])[-1] + 1)

    def turn(self, real: Tensor) -> tuple[float, float]:
        """The critic learns from a batch of real and one of forged pictures; the generator from what the critic now says of its own."""
        generator, critic = self.model["generator"], self.model["critic"]
        of_critic, of_generator = LOSSES[self.recipe.loss]
        seed = seed_of(self.seed, self.history.steps)
        torch.manual_seed(seed)
        g = torch.Generator(real.device).manual_seed(seed)
        forged = generator(torch.randn(len(real), self.code, generator=g, device=real.device))
        loss_critic = of_critic(critic(real).flatten(), critic(forged.detach()).flatten())
        self.move(1, loss_critic)
        critic.requires_grad_(False)  # it is asked, and does not learn
        loss_generator = of_generator(critic(forged).flatten())
        self.move(0, loss_generator)
        critic.requires_grad_(True)
        self.average.update()
        return loss_critic.item(), loss_generator.item()

    def move(self, player: int, loss: Tensor) -> None:
        if not math.isfinite(loss.item()):
            who = ("generator", "critic")[player]
            raise Diverged(f"the loss of the {who} became {loss.item()} at step {self.history.steps}; try a third of its step size, or look for NaN in the data.")  # fmt: skip
        self.optimizers[player].zero_grad(set_to_none=True)
        loss.backward()
        self.optimizers[player].step()


def play(
    generator: nn.Module, critic: nn.Module, data: Batches, *, code: int, steps: int, seed: int = 0, rules: Rules = Rules(),
    checkpoint: str | Path | None = None, save_every: int = 200, on_step: Callable[..., Any] | None = None, progress: bool = True,
) -> tuple[nn.Module, History]:  # fmt: skip
    """Train both in place, in turns, for `steps` turns each. As in `fit`, all of a step is a pure function of (seed, step).

    Args:
        generator: noise (B, code) to pictures.
        critic: pictures to one number each.
        data: data[step] is a batch of real pictures; a list of batches is read round.
        checkpoint: a safetensors file, saved every `save_every` steps and at the end; where it exists the game goes on from it, to the
            same weights bit for bit.
        on_step: called with (step, the generator's loss, critic=the critic's) after each step.
    Returns: the generator with averaged weights, and the history, whose losses are the critic's.
    Raises: ValueError for bad arguments, Diverged if a loss is no number, CheckpointMismatch if the file is another game's.
    """
    if min(code, steps) < 1:
        raise ValueError(f"code={code}, steps={steps}: both must be at least 1.")
    game = Game(generator, critic, rules, code, seed, steps)
    if checkpoint is not None and Path(checkpoint).exists():
        game.load(Path(checkpoint))
    device = next(generator.parameters()).device
    generator.train(), critic.train()
    with torch.random.fork_rng(), stop_after_this_step() as stop, game.bar(progress) as bar:
        while not game.finished() and not stop.asked:
            losses = game.turn(to_device(batch_of(data, game.history.steps), device))
            game.note(losses[0])
            game.show(bar)
            if on_step is not None:
                on_step(game.history.steps, losses[1], critic=losses[0])
            if checkpoint is not None and (game.history.steps % save_every == 0 or game.finished() or stop.asked):
                game.save(Path(checkpoint))
    game.history.interrupted = stop.asked
    return game.average.model.eval(), game.history
