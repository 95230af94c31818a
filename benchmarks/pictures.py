"""Generating images: our recipe beside diffusers' training loop; 20 steps beside 1,000.

Run   python -m benchmarks pictures     Takes   about twenty-five minutes on one core

Clothes, 10,000 grey images of 28 by 28, each side trained for 90 seconds of the processor from
fresh weights, one seed. Ours: the course's U-Net, velocity on a straight schedule, AdamW at 2e-3
that decays to zero, averaged weights. The peer is as diffusers' tutorial on training has it:
UNet2DModel of as many parameters, predicting noise, DDPM with a thousand steps, AdamW at 1e-4 with
a warm-up of 500 steps and a cosine. The score is the Frechet distance of 500 generated images to
the test images in a classifier's features (the judge), lower is better; the ratio is theirs over
ours. The peer draws in 100 of its thousand steps: all of them would take it an hour. For the last
two rows our network was trained for the same time to predict noise, and draws 200 images in 1,000
steps of DDPM ("peer") and in 20 of DDIM ("ours").
"""

import copy
import math
from functools import partial

import torch
from diffusers import DDPMScheduler
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.rows import Row, clock, row, time_work
from benchmarks.unet import peer_of_size
from fmcourse.data import load
from fmcourse.data.images import normalize_pixels
from fmcourse.diffusion import Denoiser, Schedule, ddim, ddpm, diffusion_loss, euler
from fmcourse.evaluation.image_quality import (
    extract_features,
    frechet_distance,
    load_feature_extractor,
)
from fmcourse.models.transformer import count_parameters
from fmcourse.models.unet import UNet
from fmcourse.training import EMA, derive_seed, fit
from fmcourse.training.optimizers import OptimizerConfig

BATCH = 64
OPTIMIZER = OptimizerConfig(matrix_optimizer="adamw", lr=2e-3, lr_decay="cosine")


class RandomImages:
    """Random images, endless: a batch is a pure function of the step."""

    def __init__(self, x: Tensor) -> None:
        self.x = x

    def __getitem__(self, step: int) -> Tensor:
        return self.x[
            torch.randint(
                len(self.x), (BATCH,), generator=torch.Generator().manual_seed(derive_seed(0, step))
            )
        ]


def ours(x: Tensor, schedule: Schedule, predicts: str, seconds: float) -> nn.Module:
    """Trained with averaged weights.

    The pace is measured first, since a run that decays must be planned for its length.
    """
    torch.manual_seed(0)
    model, objective, data = (
        UNet(),
        partial(diffusion_loss, schedule=schedule, predicts=predicts),
        RandomImages(x),
    )
    tried = copy.deepcopy(model)
    spent, _ = time_work(
        lambda: fit(tried, objective, data, steps=10, optimizer=OPTIMIZER, progress=False)
    )
    average = EMA(model, 0.995)
    steps = max(2, round(10 * seconds / spent))
    fit(
        model,
        objective,
        data,
        steps=steps,
        seed=0,
        optimizer=OPTIMIZER,
        on_step=lambda *_: average.update(),
        progress=False,
    )
    return average.model


def theirs(x: Tensor, seconds: float) -> tuple[nn.Module, DDPMScheduler]:
    """The plain loop: noise at a random t, mean square, AdamW."""
    torch.manual_seed(0)
    model, rule, data = (
        peer_of_size(count_parameters(UNet()), 28, 1),
        DDPMScheduler(num_train_timesteps=1000),
        RandomImages(x),
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def step(n: int, of: int) -> None:
        scale = min(n / 500, (1 + math.cos(math.pi * min(1.0, n / of))) / 2)
        optimizer.param_groups[0]["lr"] = 1e-4 * scale
        batch, t = data[n], torch.randint(1000, (BATCH,))
        noise = torch.randn(batch.shape)
        loss = F.mse_loss(model.model(rule.add_noise(batch, noise, t), t).sample, noise)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    start = clock()
    for n in range(3):
        step(n, 10**9)
    of, start = max(4, round(3 * seconds / (clock() - start))), clock()
    n = 3
    while clock() - start < seconds:
        step(n, of)
        n += 1
    return model.eval(), rule


def peer_images(model: nn.Module, rule: DDPMScheduler, x: Tensor, steps: int) -> Tensor:
    """diffusers' own sampling loop: its pipeline without the progress bar."""
    generator = torch.Generator().manual_seed(0)
    rule.set_timesteps(steps)
    with torch.inference_mode():
        for t in rule.timesteps:
            x = rule.step(model.model(x, t).sample, t, x, generator=generator).prev_sample
    return x.clamp(-1, 1)


def main(small: bool = False) -> list[Row]:
    """Scores after equal time, and what few steps cost and save."""
    seconds, n, fewer, hundred, many, few = (
        (0.2, 70, 70, 4, 4, 2) if small else (90.0, 500, 200, 100, 1000, 20)
    )
    shown = load("fashion")
    train, model = (
        normalize_pixels(shown.train.pixels[: 200 if small else None]),
        load_feature_extractor(),
    )
    real = extract_features(model, normalize_pixels(shown.test.pixels[: 200 if small else None]))
    noise = torch.randn(n, 1, 28, 28, generator=torch.Generator().manual_seed(1))

    def score(made):
        return frechet_distance(real, extract_features(model, made.clamp(-1, 1)))

    flow, linear = Schedule.flow(), Schedule.linear()
    mine = score(
        euler(Denoiser(ours(train, flow, "velocity", seconds), flow, "velocity"), noise, flow, few)
    )
    other = score(peer_images(*theirs(train, seconds), noise, hundred))
    denoiser = Denoiser(ours(train, linear, "noise", seconds), linear, "noise")
    quick, slow = (
        time_work(work)
        for work in (
            lambda: ddim(denoiser, noise[:fewer], linear, few),
            lambda: ddpm(denoiser, noise[:fewer], linear, many, torch.Generator().manual_seed(0)),
        )
    )
    after = f"Frechet distance of {n} pictures after {seconds:.0f} s"
    return [
        row(
            f"{after}: flow, {few} steps; peer is diffusers' loop, {hundred} steps",
            mine,
            other,
            other / mine,
            "",
            ">= 1",
        ),
        row(
            f"seconds for {fewer} pictures, noise prediction: DDIM-{few}; peer is DDPM-{many}",
            quick[0],
            slow[0],
            slow[0] / quick[0],
            "s",
        ),
        row(
            (
                f"Frechet distance of {fewer} pictures after {seconds:.0f} s, noise prediction: "
                f"DDIM-{few}; peer is DDPM-{many}"
            ),
            score(quick[1]),
            score(slow[1]),
            score(slow[1]) / score(quick[1]),
            "",
        ),
    ]
