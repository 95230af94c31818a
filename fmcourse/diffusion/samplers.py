"""Samplers: the reverse process, from noise x_T to an image x_0.

    x_t = a_t x_0 + b_t ε        a_t signal, b_t noise (DDPM and DDIM: a_t = √ᾱ_t, b_t = √(1 - ᾱ_t))

All samplers have the same arguments:

    denoiser    (x_t, t) -> x_0, the predicted image
    x           noise (B, ...), as large as the images
    schedule    the one that the denoiser was trained with
    steps       how many steps, from 1 to T; None: all T
    generator   for samplers that add noise
    on_step     called after each step with (s, x_s, x_0): the timestep reached, the sample there
                and the prediction that led to it

They return images (B, ...) and raise ValueError for fewer than one step or more than T. Each loop
goes from timestep t down to the next one, s; the papers write s = t - 1.
"""

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from fmcourse.diffusion.denoisers import DenoiserFn
from fmcourse.diffusion.schedule import Schedule, check_positive_int

StepCallback = Callable[[int, Tensor, Tensor], object]  # (s, x_s, x_0)


def timesteps(schedule: Schedule, steps: int | None) -> list[int]:
    """The timesteps at which a sampler evaluates the network, evenly spaced, from T down to 0.

    Raises: ValueError for fewer than one step or more than T.
    >>> timesteps(Schedule.flow(1000), 4)
    [1000, 750, 500, 250, 0]
    """
    steps = schedule.T if steps is None else check_positive_int("steps", steps)
    if steps > schedule.T:
        raise ValueError(
            f"steps={steps} are more than the schedule's T={schedule.T}; take at most {schedule.T}."
        )
    # As steps ≤ T, rounding makes no two of them equal.
    return [round(schedule.T * (1 - i / steps)) for i in range(steps + 1)]


@torch.no_grad()
def ddpm(
    denoiser: DenoiserFn,
    x: Tensor,
    schedule: Schedule,
    steps: int | None = None,
    generator: torch.Generator | None = None,
    on_step: StepCallback | None = None,
) -> Tensor:
    """Ancestral sampling: x_s is drawn from q(x_s | x_t, x_0), with the predicted x_0.

        a = a_t / a_s,  β = b_t² - a² b_s²              the forward process from s to t
        μ = (a_s β / b_t²) x_0 + (a b_s² / b_t²) x_t    posterior mean, equation 7
        σ² = (b_s² / b_t²) β                            posterior variance, equation 7
        x_s = μ + σ z

    Source: Ho et al. 2020, equations 6 and 7; in this form, which does not need a² + b² = 1, Kingma
    et al. 2021 (Variational Diffusion Models), appendix A.
    """
    for t, s in pairwise(timesteps(schedule, steps)):
        # Python floats, so the coefficients below are in double precision and x keeps its dtype.
        (a_t, a_s), (b_t, b_s) = schedule.signal[[t, s]].tolist(), schedule.noise[[t, s]].tolist()
        x_0 = denoiser(x, torch.full((len(x),), t, device=x.device))  # (B,): all are at t
        a = a_t / a_s  # the share of the signal at s that is left at t
        beta = b_t**2 - a**2 * b_s**2  # so that a² b_s² + β = b_t²
        mean = (a_s * beta / b_t**2) * x_0 + (a * b_s**2 / b_t**2) * x
        sigma = b_s / b_t * math.sqrt(beta)
        z = torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
        x = mean + sigma * z  # sigma is 0 in the last step
        if on_step is not None:
            on_step(s, x, x_0)
    return x


@torch.no_grad()
def ddim(
    denoiser: DenoiserFn,
    x: Tensor,
    schedule: Schedule,
    steps: int | None = 50,
    eta: float = 0.0,
    generator: torch.Generator | None = None,
    on_step: StepCallback | None = None,
) -> Tensor:
    """Few long steps: keep the predicted noise ε instead of drawing a new one.

        ε = (x_t - a_t x_0) / b_t
        σ = η b_s √(1 - (a_t b_s / (a_s b_t))²)         equation 16
        x_s = a_s x_0 + √(b_s² - σ²) ε + σ z            equation 12

    With `eta` (η) 0 nothing is random but the first x, with 1 it is DDPM.
    Source: Song et al. 2020, equations 12 and 16; if a² + b² = 1, σ is as printed there.
    """
    for t, s in pairwise(timesteps(schedule, steps)):
        (a_t, a_s), (b_t, b_s) = schedule.signal[[t, s]].tolist(), schedule.noise[[t, s]].tolist()
        x_0 = denoiser(x, torch.full((len(x),), t, device=x.device))
        # As t is at least 1, b_t is above 0.
        epsilon = (x - a_t * x_0) / b_t
        # Rounding can bring the difference slightly below 0.
        sigma = eta * b_s * math.sqrt(max(0.0, 1 - (a_t * b_s / (a_s * b_t)) ** 2))
        # Of the noise variance b_s², σ² is drawn anew below and the rest is kept in ε.
        x = a_s * x_0 + math.sqrt(max(0.0, b_s**2 - sigma**2)) * epsilon
        if eta:
            z = torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
            x = x + sigma * z
        if on_step is not None:
            on_step(s, x, x_0)
    return x


@torch.no_grad()
def euler(
    denoiser: DenoiserFn,
    x: Tensor,
    schedule: Schedule,
    steps: int | None = 20,
    on_step: StepCallback | None = None,
) -> Tensor:
    """Euler's method for the probability-flow ODE: follow the velocity in straight steps.

        ε = (x_t - a_t x_0) / b_t
        x_s = x_t + (a_s - a_t) x_0 + (b_s - b_t) ε

    With the flow schedule this is x_t + (s - t) / T v, v = ε - x_0. With every schedule it equals
    `ddim` with η = 0: two papers, one step.
    Source: Lipman et al. 2022, section 6; Karras et al. 2022, algorithm 1, for x_t / a_t.
    """
    for t, s in pairwise(timesteps(schedule, steps)):
        (a_t, a_s), (b_t, b_s) = schedule.signal[[t, s]].tolist(), schedule.noise[[t, s]].tolist()
        x_0 = denoiser(x, torch.full((len(x),), t, device=x.device))
        # The predicted x_0 and ε are held fixed during the step.
        epsilon = (x - a_t * x_0) / b_t
        x = x + (a_s - a_t) * x_0 + (b_s - b_t) * epsilon
        if on_step is not None:
            on_step(s, x, x_0)
    return x
