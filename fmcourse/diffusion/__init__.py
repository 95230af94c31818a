"""Diffusion: noise is mixed into pictures by a fixed rule, and a network learns the way back.

    B batch   T steps of the rule   C colours   S side
    x_t = signal_t x_0 + noise_t ε        t = 0 is the picture, t = T as good as noise

Three plain things meet in one call. A `Schedule` says how much noise; a denoiser, any callable (x_t, t) -> x_0, guesses the picture; a
sampler walks from noise to a picture with the two. So every sampler goes with every model and every schedule.

Sohl-Dickstein et al. 2015; Ho et al. 2020 (DDPM); Song et al. 2020 (DDIM); Lipman et al. 2022 (flow matching).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fmcourse.objectives import Loss

PredictionType = Literal["noise", "image", "velocity"]
DenoiserFn = Callable[[Tensor, Tensor], Tensor]  # (x_t, t) -> x_0
StepCallback = Callable[[int, Tensor, Tensor], object]  # (t, x_t, x_0)


# -- the fixed rule ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Schedule:
    """How much of the picture is left, and how much noise there is, at each t from 0 to T: two tables of T + 1 numbers.

    Args:
        signal, noise: (T + 1,) float64, beginning with 1 and 0.
        is_flow: noise takes over in a straight line (flow); else signal² + noise² = 1, and the mixture keeps its variance.
    """

    signal: Tensor
    noise: Tensor
    is_flow: bool = False

    @classmethod
    def from_betas(cls, betas: Tensor) -> "Schedule":
        """From the share of variance that each step replaces, (T,). Raises: ValueError for one that is not between 0 and 1."""
        if betas.ndim != 1 or not len(betas) or not ((betas > 0) & (betas < 1)).all():
            raise ValueError(
                f"betas {tuple(betas.shape)}: give at least one number, each between 0 and 1."
            )
        left = F.pad((1 - betas.double()).cumprod(0), (1, 0), value=1.0)
        return cls(left.sqrt(), (1 - left).sqrt())

    @classmethod
    def linear(cls, T: int = 1000, beta_start: float = 1e-4, beta_end: float = 0.02) -> "Schedule":
        """The share replaced grows in a straight line; made for T = 1,000. Source: Ho et al. 2020, section 4."""
        return cls.from_betas(
            torch.linspace(beta_start, beta_end, check_positive_int("T", T), dtype=torch.float64)
        )

    @classmethod
    def cosine(cls, T: int = 1000, offset: float = 0.008, max_beta: float = 0.999) -> "Schedule":
        """The signal's square follows a squared cosine: gentler at both ends. Source: Nichol & Dhariwal 2021, equation 17."""
        angle = (
            (torch.arange(check_positive_int("T", T) + 1, dtype=torch.float64) / T + offset)
            / (1 + offset)
            * math.pi
            / 2
        )
        left = angle.cos().square()
        return cls.from_betas((1 - left[1:] / left[:-1]).clamp(max=max_beta))

    @classmethod
    def flow(cls, T: int = 1000) -> "Schedule":
        """A straight line from the picture to noise, and at T nothing is left. Source: Lipman et al. 2022; Liu et al. 2022."""
        noise = torch.arange(check_positive_int("T", T) + 1, dtype=torch.float64) / T
        return cls(1 - noise, noise, is_flow=True)

    @property
    def T(self) -> int:
        return len(self.signal) - 1

    @property
    def snr(self) -> Tensor:
        """Signal's variance against noise's at t = 1 to T, (T,)."""
        return (self.signal[1:] / self.noise[1:]).square()

    def coefficients(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """Signal and noise at whole t (B,), shaped so that they multiply (B, ...). Raises: ValueError for t outside 0 to T."""
        if (
            t.is_floating_point()
            or t.ndim != 1
            or len(t)
            and not 0 <= int(t.min()) <= int(t.max()) <= self.T
        ):
            raise ValueError(
                f"t must be whole numbers (B,) from 0 to T={self.T}; given are {t.dtype} {tuple(t.shape)}"
                + (f" from {t.min()} to {t.max()}." if t.numel() else ".")
            )
        return tuple(
            table[t.cpu()].to(like).view(-1, *[1] * (like.ndim - 1))
            for table in (self.signal, self.noise)
        )

    def add_noise(self, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """x_t, straight from x_0 (B, ...), without the steps between."""
        a, b = self.coefficients(t, x_0)
        return a * x_0 + b * noise

    def velocity(self, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """Where the mixture is heading: ε - x_0 on the straight line, a ε - b x_0 on the circle (Salimans & Ho 2022, appendix D)."""
        a, b = self.velocity_coefficients(t, x_0)
        return a * noise + b * x_0

    def velocity_coefficients(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """How noise and signal change along the way at t: what velocity holds of ε and of x_0."""
        a, b = self.coefficients(t, like)
        return (torch.ones_like(a), -torch.ones_like(b)) if self.is_flow else (a, -b)

    def predict_x_0(
        self, predicted: Tensor, x_t: Tensor, t: Tensor, predicts: PredictionType
    ) -> Tensor:
        """The picture that a prediction of noise, picture or velocity means, (B, ...)."""
        a, b = self.coefficients(t, x_t)
        if predicts == "noise":
            if not a.all():
                raise ValueError(
                    f'at t={self.T} this schedule leaves no signal, so noise does not tell the picture; predict "velocity" or "image", '
                    "or use another schedule."
                )
            return (x_t - b * predicted) / a
        if predicts == "velocity":
            return (
                self.velocity_coefficients(t, x_t)[0] * x_t - b * predicted
            )  # on the circle and on the line alike
        return check_prediction_type(predicts) and predicted


def check_prediction_type(predicts: str) -> bool:
    if predicts not in ("noise", "image", "velocity"):
        raise ValueError(
            f"predicts={predicts!r} is not known; choose 'noise', 'image' or 'velocity'."
        )
    return True


def check_positive_int(name: str, n: int) -> int:
    if n != int(n) or n < 1:
        raise ValueError(f"{name}={n}; at least one step is needed, and a whole number of them.")
    return int(n)


# -- learning the way back --------------------------------------------------------------------------------------------------


def diffusion_loss(
    model: nn.Module,
    batch: Any,
    generator: torch.Generator | None = None,
    *,
    schedule: Schedule,
    predicts: PredictionType = "noise",
    condition_dropout: float = 0.1,
    null_condition: Any = None,
) -> Loss:
    """Noise of a random strength is mixed into each picture: what was the noise, the picture, or the way between? Mean square.

    Args:
        model: called with x_t (B, ...), time t / T (B,) and, if the batch holds one, the condition.
        batch: pictures (B, ...), or (pictures, conditions (B, ...)).
        condition_dropout, null_condition: share of conditions that are replaced by `null_condition`, so that the model also learns to do without (Ho & Salimans
            2022); without a `null_condition` none is.
    Raises: ValueError for an empty batch or an unknown kind of prediction.
    Source: Ho et al. 2020, algorithm 1.
    """
    check_prediction_type(predicts)
    x_0, *conditions = batch if isinstance(batch, tuple | list) else (batch,)
    if not x_0.numel():
        raise ValueError(f"the batch {tuple(x_0.shape)} is empty; give at least one picture.")
    draw = {"generator": generator, "device": x_0.device}
    t = torch.randint(1, schedule.T + 1, (len(x_0),), **draw)
    noise = torch.randn(x_0.shape, dtype=x_0.dtype, **draw)
    if conditions and null_condition is not None:
        out = torch.rand(len(x_0), **draw) < condition_dropout
        blank = torch.as_tensor(null_condition, dtype=conditions[0].dtype, device=x_0.device)
        conditions = [
            torch.where(out.view(-1, *[1] * (conditions[0].ndim - 1)), blank, conditions[0])
        ]
    target = {
        "noise": lambda: noise,
        "image": lambda: x_0,
        "velocity": lambda: schedule.velocity(x_0, t, noise),
    }
    predicted = model(schedule.add_noise(x_0, t, noise), (t / schedule.T).to(x_0), *conditions)
    value = F.mse_loss(predicted, target[predicts]())
    return Loss(value, {"mean square": value.item()}, len(x_0))


class Denoiser:
    """A trained network as a guess at the picture: (x_t, t) -> x_0. `condition`, one row or (B, ...), is handed to the network."""

    def __init__(
        self,
        network: nn.Module,
        schedule: Schedule,
        predicts: PredictionType,
        condition: Tensor | None = None,
    ) -> None:
        self.network, self.schedule, self.predicts, self.condition = (
            network,
            schedule,
            predicts,
            condition,
        )
        check_prediction_type(predicts)

    def __call__(self, x_t: Tensor, t: Tensor) -> Tensor:
        conditions = (
            []
            if self.condition is None
            else [self.condition.expand(len(x_t), *self.condition.shape[1:])]
        )
        predicted = self.network(x_t, (t / self.schedule.T).to(x_t), *conditions)
        return self.schedule.predict_x_0(predicted, x_t, t, self.predicts)


class ClassifierFreeGuidance:
    """Two guesses, one that knows what is asked for and one that does not: go on from the second through the first, and beyond.

    Scale 0 is `unconditional`, 1 is `conditional`, more is a caricature. Source: Ho & Salimans 2022, equation 6 (there 1 + w).
    """

    def __init__(self, conditional: DenoiserFn, unconditional: DenoiserFn, scale: float) -> None:
        self.conditional, self.unconditional, self.scale = conditional, unconditional, scale

    def __call__(self, x_t: Tensor, t: Tensor) -> Tensor:
        unconditional = self.unconditional(x_t, t)
        return unconditional + self.scale * (self.conditional(x_t, t) - unconditional)


# -- samplers: from noise to a picture --------------------------------------------------------------------------------------


def timesteps(schedule: Schedule, steps: int | None) -> list[int]:
    """The t at which a sampler stops, T first and 0 last, evenly spaced.

    >>> timesteps(Schedule.flow(1000), 4)
    [1000, 750, 500, 250, 0]
    """
    steps = schedule.T if steps is None else check_positive_int("steps", steps)
    if steps > schedule.T:
        raise ValueError(
            f"steps={steps} are more than the schedule's T={schedule.T}; take at most {schedule.T}."
        )
    return [round(schedule.T * (1 - i / steps)) for i in range(steps + 1)]


def sampling_loop(
    step: Callable[..., Tensor],
    denoiser: DenoiserFn,
    x: Tensor,
    schedule: Schedule,
    steps: int | None,
    on_step: StepCallback | None,
) -> Tensor:
    """What all samplers share: at each t guess the picture, then let `step(x_t, x_0, t, s)` go down to s."""
    way = timesteps(schedule, steps)
    with torch.inference_mode():
        for t, s in zip(way, way[1:], strict=False):
            x_0 = denoiser(x, torch.full((len(x),), t, device=x.device))
            x = step(x, x_0, t, s)
            if on_step is not None:
                on_step(s, x, x_0)
    return x.clone()  # no longer an inference tensor


def ddpm(
    denoiser: DenoiserFn,
    x: Tensor,
    schedule: Schedule,
    steps: int | None = None,
    generator: torch.Generator | None = None,
    on_step: StepCallback | None = None,
) -> Tensor:
    """Down one step at a time, with fresh noise at each: ancestral sampling. All T steps unless `steps` says fewer.

    Args:
        denoiser: (x_t, t) -> x_0.
        x: noise (B, ...), as large as the pictures.
        on_step: called with (t, x_t, guessed x_0) after each step.
    Raises: ValueError for fewer than one step or more than T.
    Source: Ho et al. 2020, equations 6 and 7; for a mixture that does not keep its variance, the same posterior.
    """
    return ddim(denoiser, x, schedule, steps, 1.0, generator, on_step)


def ddim(
    denoiser: DenoiserFn,
    x: Tensor,
    schedule: Schedule,
    steps: int | None = 50,
    eta: float = 0.0,
    generator: torch.Generator | None = None,
    on_step: StepCallback | None = None,
) -> Tensor:
    """Down in a few long steps. With `eta` 0 the guessed noise is used again and chance decides nothing but x; with 1 it is `ddpm`.

    Args, Raises: see `ddpm`. Source: Song et al. 2020, equations 12 and 16.
    """
    fresh = lambda like: torch.randn(
        like.shape, generator=generator, dtype=like.dtype, device=like.device
    )
    step = lambda x_t, x_0, t, s: ddim_step(
        schedule, x_t, x_0, t, s, eta, fresh(x_t) if eta else None
    )
    return sampling_loop(step, denoiser, x, schedule, steps, on_step)


def ddim_step(
    schedule: Schedule,
    x_t: Tensor,
    x_0: Tensor,
    t: int,
    s: int,
    eta: float = 0.0,
    noise: Tensor | None = None,
) -> Tensor:
    """From t down to s, given a guess at the picture; `eta` of the chance that the rule leaves is taken from `noise`."""
    (a, b), (c, d) = [(schedule.signal[i].item(), schedule.noise[i].item()) for i in (t, s)]
    spread = (
        eta * d * math.sqrt(max(0.0, 1 - (a * d / (b * c)) ** 2))
    )  # of x_s, if x_0 and x_t are known
    epsilon = (x_t - a * x_0) / b
    x_s = c * x_0 + math.sqrt(max(0.0, d * d - spread * spread)) * epsilon
    return x_s if noise is None or not spread else x_s + spread * noise


def euler(
    denoiser: DenoiserFn,
    x: Tensor,
    schedule: Schedule,
    steps: int | None = 20,
    on_step: StepCallback | None = None,
) -> Tensor:
    """The way back as a curve that is followed in straight pieces: signal and noise change at once, the guesses stay as they are.

    On a straight schedule a piece is x_t + (s - t) / T velocity. On every schedule it ends where `ddim` does: two papers, one step.
    Args, Raises: see `ddpm`. Source: Lipman et al. 2022, section 6; in units of the signal, Karras et al. 2022, algorithm 1.
    """

    def piece(x_t: Tensor, x_0: Tensor, t: int, s: int) -> Tensor:
        (a, b), (c, d) = [(schedule.signal[i].item(), schedule.noise[i].item()) for i in (t, s)]
        return x_t + (c - a) * x_0 + (d - b) * (x_t - a * x_0) / b

    return sampling_loop(piece, denoiser, x, schedule, steps, on_step)
