"""Diffusion models: noise is added to images step by step, and a network learns to remove it.

    x_t = a_t x_0 + b_t ε        t = 0 is the image, t = T is (nearly) pure noise

Three things meet in one call, so every sampler works with every model and every schedule:

    schedule.py    `Schedule`: how much signal and how much noise there is at each t
    objective.py   `diffusion_loss`: what a network learns
    denoisers.py   a denoiser is any callable (x_t, t) -> x_0; `Denoiser` makes one of a network
    samplers.py    `ddpm`, `ddim`, `euler`: from noise to an image, with a schedule and a denoiser
    masked.py      diffusion for text: tokens are masked instead of blurred

Sohl-Dickstein et al. 2015; Ho et al. 2020 (DDPM); Song et al. 2020 (DDIM); Lipman et al. 2022 (flow
matching).
"""

from fmcourse.diffusion.denoisers import ClassifierFreeGuidance, Denoiser, DenoiserFn
from fmcourse.diffusion.objective import diffusion_loss
from fmcourse.diffusion.samplers import ddim, ddpm, euler, timesteps
from fmcourse.diffusion.schedule import PredictionType, Schedule

__all__ = [
    "ClassifierFreeGuidance",
    "Denoiser",
    "DenoiserFn",
    "PredictionType",
    "Schedule",
    "ddim",
    "ddpm",
    "diffusion_loss",
    "euler",
    "timesteps",
]
