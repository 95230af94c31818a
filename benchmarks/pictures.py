"""Generating images: our recipe beside diffusers' training loop after equal time; fewer steps.

Run   python -m benchmarks pictures     Takes   about twenty-five minutes on one core

Clothes, 10,000 grey images of 28 by 28, each side trained for 90 seconds of processor time from
fresh weights, one seed. Ours: the course's U-Net, velocity prediction with a flow schedule, AdamW
with a learning rate of 2e-3 that decays to zero, averaged weights. The peer is as diffusers'
training tutorial has it: UNet2DModel of as many parameters, noise prediction, DDPM with a thousand
steps, AdamW with 1e-4, a warm-up of 500 steps and a cosine. The score is the Frechet distance of
500 generated images to the test images in the features of the course's classifier, lower is better;
the ratio is theirs over ours. The peer samples in 100 of its thousand steps: all of them would take
an hour. For the last two rows our network was trained for the same time to predict noise, and
samples 200 images in 1,000 steps of DDPM ("peer") and in 20 of DDIM ("ours").
"""

import copy
import math
from functools import partial
from typing import NamedTuple

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
from fmcourse.training import EMA, RandomBatches, fit
from fmcourse.training.optimizers import OptimizerConfig

BATCH = 64
OPTIMIZER = OptimizerConfig(matrix_optimizer="adamw", lr=2e-3, lr_decay="cosine")


class Sizes(NamedTuple):
    """Seconds of training, images that are generated, and steps of the samplers."""

    seconds: float = 90.0
    images: int = 500
    images_of_slow_samplers: int = 200
    peer_steps: int = 100
    many_steps: int = 1000
    few_steps: int = 20


SMALL = Sizes(0.2, 70, 70, 4, 4, 2)


def train_ours(x: Tensor, schedule: Schedule, predicts: str, seconds: float) -> nn.Module:
    """Our network with averaged weights, trained on images x for about so many seconds."""
    torch.manual_seed(0)
    model, data = UNet(), RandomBatches(x, batch=BATCH)
    objective = partial(diffusion_loss, schedule=schedule, predicts=predicts)
    options = dict(optimizer=OPTIMIZER, progress=False)
    # A learning rate that decays to zero needs the number of steps beforehand, so measure a few.
    trial = copy.deepcopy(model)
    spent, _ = time_work(lambda: fit(trial, objective, data, steps=10, **options))
    steps, ema = max(2, round(10 * seconds / spent)), EMA(model, 0.995)
    fit(model, objective, data, steps=steps, on_step=lambda *_: ema.update(), **options)
    return ema.model


def train_peer(x: Tensor, seconds: float) -> tuple[nn.Module, DDPMScheduler]:
    """diffusers' network and loop: noise at a random timestep, mean squared error, AdamW."""
    torch.manual_seed(0)
    model = peer_of_size(count_parameters(UNet()), 28, 1)
    scheduler, data = DDPMScheduler(num_train_timesteps=1000), RandomBatches(x, batch=BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def step(n: int, total: int) -> None:
        cosine = (1 + math.cos(math.pi * min(1.0, n / total))) / 2
        optimizer.param_groups[0]["lr"] = 1e-4 * min(n / 500, cosine)
        batch, t = data[n], torch.randint(1000, (BATCH,))
        noise = torch.randn(batch.shape)
        predicted = model.model(scheduler.add_noise(batch, noise, t), t).sample
        optimizer.zero_grad()
        F.mse_loss(predicted, noise).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    start = clock()
    for n in range(3):  # to measure the pace, from which the length of the cosine follows
        step(n, 10**9)
    total, start, n = max(4, round(3 * seconds / (clock() - start))), clock(), 3
    while clock() - start < seconds:
        step(n, total)
        n += 1
    return model.eval(), scheduler


def sample_peer(model: nn.Module, scheduler: DDPMScheduler, x: Tensor, steps: int) -> Tensor:
    """diffusers' sampling loop: its pipeline without the progress bar."""
    generator = torch.Generator().manual_seed(0)
    scheduler.set_timesteps(steps)
    with torch.inference_mode():
        for t in scheduler.timesteps:
            predicted = model.model(x, t).sample
            x = scheduler.step(predicted, t, x, generator=generator).prev_sample
    return x.clamp(-1, 1)


def main(small: bool = False) -> list[Row]:
    """Scores after equal time, and what few steps cost and save."""
    sizes, limit = (SMALL, 200) if small else (Sizes(), None)
    clothes, classifier = load("fashion"), load_feature_extractor()
    train = normalize_pixels(clothes.train.pixels[:limit])
    real = extract_features(classifier, normalize_pixels(clothes.test.pixels[:limit]))
    x_T = torch.randn(sizes.images, 1, 28, 28, generator=torch.Generator().manual_seed(1))

    def score(images: Tensor) -> float:
        return frechet_distance(real, extract_features(classifier, images.clamp(-1, 1)))

    flow = Schedule.flow()
    network = train_ours(train, flow, "velocity", sizes.seconds)
    ours = score(euler(Denoiser(network, flow, "velocity"), x_T, flow, sizes.few_steps))
    peer = score(sample_peer(*train_peer(train, sizes.seconds), x_T, sizes.peer_steps))
    what = (
        f"Frechet distance of {sizes.images} pictures after {sizes.seconds:.0f} s: "
        f"flow, {sizes.few_steps} steps; peer is diffusers' loop, {sizes.peer_steps} steps"
    )
    first = row(what, ours, peer, peer / ours, "", ">= 1")
    return [
        first,
        *few_against_many_steps(train, x_T[: sizes.images_of_slow_samplers], sizes, score),
    ]


def few_against_many_steps(train: Tensor, x_T: Tensor, sizes: Sizes, score) -> list[Row]:
    """DDIM in few steps ("ours") and DDPM in many ("peer") with one network that predicts noise."""
    linear = Schedule.linear()
    network = train_ours(train, linear, "noise", sizes.seconds)
    denoiser, g = Denoiser(network, linear, "noise"), torch.Generator().manual_seed(0)
    quick, few = time_work(lambda: ddim(denoiser, x_T, linear, sizes.few_steps))
    slow, many = time_work(lambda: ddpm(denoiser, x_T, linear, sizes.many_steps, g))
    samplers = f"DDIM-{sizes.few_steps}; peer is DDPM-{sizes.many_steps}"
    seconds = f"seconds for {len(x_T)} pictures, noise prediction: {samplers}"
    distance = (
        f"Frechet distance of {len(x_T)} pictures after {sizes.seconds:.0f} s, "
        f"noise prediction: {samplers}"
    )
    ours, peer = score(few), score(many)
    return [
        row(seconds, quick, slow, slow / quick, "s"),
        row(distance, ours, peer, peer / ours, ""),
    ]
