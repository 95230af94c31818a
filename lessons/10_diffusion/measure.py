"""Make table.json: what lesson 10 compares its own run with.

Source   the Fashion-MNIST pictures that ship, and the judge (data/checkpoints/judge)
Run      python recipes/measure.py 10       Takes     about half an hour on one thread

The lesson trains one small U-Net for a minute with one seed. Here are three seeds, scored along the way; what the network is
asked for, crossed with how the noise is dosed, at equal cost; and three seeds of the network that learns to gather ink. Each part is kept in OUT as soon as it is done, and a second run goes on from there.

Seconds are those of one thread that has a core to itself. A step's are the quickest of many, because whoever shares the machine only
makes them longer; from then on only steps count.
"""

import datetime
import os
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from common import measure_once, write_table
from fmcourse.data import load
from fmcourse.data.images import normalize_pixels
from fmcourse.diffusion import Denoiser, Schedule, ddim, ddpm, diffusion_loss
from fmcourse.evaluation import image_quality as fidelity
from fmcourse.models.unet import UNet, timestep_embedding
from fmcourse.training import EMA, derive_seed, fit
from fmcourse.training.optimizers import OptimizerConfig
from torch import Tensor, nn
from torch.nn import functional as F

SEEDS, BATCH, WARMUP, MADE, FEW, STEPS_BACK = 3, 32, 40, 2000, 500, 20
SHAPE = {"widths": (16, 32), "depth": 1, "condition_width": 64}
LR = 8e-3
SCHEDULES = {"linear": Schedule.linear(), "cosine": Schedule.cosine(), "flow": Schedule.flow()}
MAIN = ("picture", "flow")
POINTS = (10, 20, 45, 90)  # seconds of training after which it is scored
LIVE, SHORT = 60, 10  # the lesson's own run; those of the cross table
CROSS = [
    ("noise", "linear"),
    ("noise", "cosine"),
    ("velocity", "flow"),
    ("picture", "cosine"),
    ("velocity", "cosine"),
    MAIN,
    ("picture", "linear"),
    ("velocity", "linear"),
]  # fmt: skip; noise on the straight dose cannot begin: at T it does not tell the picture
INK, INK_STEPS, INK_BATCH = 79, 1500, 384

# -- pictures -------------------------------------------------------------------------------------------------------------


@cache
def load_images() -> tuple[Tensor, Tensor, Any]:
    """To learn from, to be compared with, and who compares."""
    shown = load("fashion")
    return normalize_pixels(shown.train.pixels), normalize_pixels(shown.test.pixels), fidelity.load_feature_extractor()


class RandomRows:
    """Random pictures, endless."""

    def __init__(self, x: Tensor, seed: int) -> None:
        self.x, self.seed = x, seed

    def __getitem__(self, step: int) -> Tensor:
        return self.x[
            torch.randint(len(self.x), (BATCH,), generator=torch.Generator().manual_seed(derive_seed(self.seed, step)))
        ]


def adam_config(steps: int) -> OptimizerConfig:
    """The same steps whatever the length: up in WARMUP of them, then level. So one run can be scored along the way; the average settles it."""
    return OptimizerConfig(matrix_optimizer="adamw", lr=LR, min_lr_ratio=1.0, warmup=min(0.9, WARMUP / steps))


def seconds_per_step() -> dict[str, float]:
    """Seconds that a step of training takes where nobody disturbs it: the quickest of many."""
    torch.manual_seed(0)
    model, clock = UNet(**SHAPE), [time.process_time()]
    average = EMA(model)

    def watch(*_: object) -> None:
        average.update()
        clock.append(time.process_time())

    fit(
        model,
        denoise_objective(*MAIN),
        RandomRows(load_images()[0], 0),
        steps=120,
        optimizer=adam_config(120),
        on_step=watch,
        progress=False,
    )
    each = torch.tensor(clock).double().diff().sort().values
    return {"seconds_per_step": round(each[:12].mean().item(), 4), "median": round(each.median().item(), 4)}


def denoise_objective(what: str, how: str) -> Callable:
    return partial(diffusion_loss, schedule=SCHEDULES[how], predicts="image" if what == "picture" else what)


def image_scores(
    network: nn.Module, what: str, how: str, seed: int, sampler: Callable = ddim, cut: bool = False
) -> dict[str, Any]:
    """Two thousand made pictures against the test pictures, and how many of each kind the judge sees; `cut` keeps each guess in -1 to 1."""
    _, test, judge = load_images()
    g, whole, begun = (
        torch.Generator().manual_seed(1000 + seed),
        Denoiser(network, SCHEDULES[how], "image" if what == "picture" else what),
        time.process_time(),
    )
    guess = (lambda x_t, t: whole(x_t, t).clamp(-1, 1)) if cut else whole
    again = {"generator": g} if sampler is ddpm else {}
    noise = torch.randn(MADE, 1, 28, 28, generator=g)
    made = torch.cat([sampler(guess, part, SCHEDULES[how], STEPS_BACK, **again) for part in noise.split(100)]).clamp(
        -1, 1
    )
    spent, found = time.process_time() - begun, fidelity.compute_fidelity(judge, test, made)
    few = fidelity.compute_fidelity(judge, test, made[:FEW])
    kinds = torch.cat([judge(part).argmax(1) for part in made.split(500)]).bincount(minlength=10).tolist()
    return {"frechet": round(found.frechet, 3), "precision": round(found.precision, 4), "recall": round(found.recall, 4),
            "of_few": {"frechet": round(few.frechet, 3), "precision": round(few.precision, 4), "recall": round(few.recall, 4)}, "kinds": kinds, "seconds_to_make": round(spent, 1)}  # fmt: skip


def training_row(
    what: str, how: str, points: tuple[int, ...], per_step: float, seed: int, ancestral: int = 0
) -> dict[str, Any]:
    """One training, scored after so many seconds each; at one of them also by ancestral sampling."""
    torch.manual_seed(seed)
    model = UNet(**SHAPE)
    average, at, rows = EMA(model), {round(seconds / per_step): seconds for seconds in points}, []

    def watch(step: int, _: float) -> None:
        average.update()
        if step in at:
            rows.append({"seconds": at[step], "steps": step} | image_scores(average.model, what, how, seed))
            print(what, how, seed, rows[-1], flush=True)
            if what == "noise":  # as Ho et al. do it
                rows[-1]["cut"] = image_scores(average.model, what, how, seed, cut=True)
            if at[step] == ancestral:
                rows[-1]["ddpm"] = image_scores(average.model, what, how, seed, ddpm)

    fit(
        model,
        denoise_objective(what, how),
        RandomRows(load_images()[0], seed),
        steps=max(at),
        seed=seed,
        optimizer=adam_config(max(at)),
        on_step=watch,
        progress=False,
    )
    return {"seed": seed, "rows": rows}


# -- ink ------------------------------------------------------------------------------------------------------------------


class PointDenoiser(nn.Module):
    """Where a particle is, and when, in; which noise moved it, out. Also told sines of both: so it can draw fine edges."""

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        layer = lambda i: [nn.Linear(i, width), nn.SiLU()]
        self.layers = nn.Sequential(*layer(42), *layer(width), *layer(width), nn.Linear(width, 2))

    def forward(self, x_t: Tensor, time: Tensor) -> Tensor:
        fine = [f(k * x_t) for k in (2, 5) for f in (torch.sin, torch.cos)]
        return self.layers(torch.cat([x_t, *fine, timestep_embedding(time, 32)], 1))


def scatter_points(picture: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Particles (n, 2) strewn over what is bright in a picture, its middle at (0, 0)."""
    at = torch.multinomial((picture.flatten() > 60).float(), n, replacement=True, generator=generator)
    return (torch.stack([at % 28, 27 - at // 28], 1) + torch.rand(n, 2, generator=generator) - 14) / 7


def on_the_ink(points: Tensor, picture: Tensor) -> float:
    """Share of particles that lie where the picture is bright."""
    across, up = (points * 7 + 14).floor().long().clamp(0, 27).T
    return (picture[27 - up, across] > 60).float().mean().item()


def points_row(seed: int) -> dict[str, Any]:
    """A small network that learns in seconds where ink came from."""
    g, schedule = torch.Generator().manual_seed(seed), SCHEDULES["linear"]
    picture = load("fashion").train.pixels[INK]
    ink = scatter_points(picture, 4000, torch.Generator().manual_seed(0))
    torch.manual_seed(seed)
    net = PointDenoiser()
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3, betas=(0.9, 0.98))
    for step in range(INK_STEPS):
        x_0, t = (
            ink[torch.randint(len(ink), (INK_BATCH,), generator=g)],
            torch.randint(1, 1001, (INK_BATCH,), generator=g),
        )
        noise = torch.randn(INK_BATCH, 2, generator=g)
        loss = F.mse_loss(net(schedule.add_noise(x_0, t, noise), t / 1000), noise)
        optimizer.param_groups[0]["lr"] = 3e-3 * (1 - step / INK_STEPS)
        optimizer.zero_grad(), loss.backward(), optimizer.step()
    z, guess = torch.randn(3000, 2, generator=g), Denoiser(net, schedule, "noise")
    found = {"ddim": ddim(guess, z, schedule, 50), "ddpm": ddpm(guess, z, schedule, 200, generator=g), "noise": z}
    return {"seed": seed} | {name: round(on_the_ink(points, picture), 4) for name, points in found.items()}


# -- all of it ------------------------------------------------------------------------------------------------------------


def score_floor() -> dict[str, float]:
    """Real pictures against real ones: 200 of each kind to learn from, against those of the test."""
    train, test, judge = load_images()
    kinds = load("fashion").train.labels
    even = torch.cat([(kinds == kind).nonzero()[:200, 0] for kind in range(10)])
    found = fidelity.compute_fidelity(judge, test, train[even])
    return {
        "frechet": round(found.frechet, 3),
        "precision": round(found.precision, 4),
        "recall": round(found.recall, 4),
    }


def main(out: Path) -> None:
    parts = out / "parts"
    per_step = measure_once(parts / "pace.json", seconds_per_step)["seconds_per_step"]
    jobs = [("ink", points_row), ("-".join(MAIN), partial(training_row, *MAIN, POINTS, per_step, ancestral=POINTS[-1]))]
    jobs += [("live", partial(training_row, *MAIN, (LIVE,), per_step, ancestral=LIVE))]  # the same runs, one stop more
    jobs += [("-".join(pair), partial(training_row, *pair, (SHORT,), per_step)) for pair in CROSS if pair != MAIN]
    found = {
        name: [measure_once(parts / f"{name}-{seed}.json", partial(make, seed)) for seed in range(SEEDS)]
        for name, make in jobs
    }
    rows = lambda pair: [run["rows"] for run in found["-".join(pair)]]
    at_short = lambda pair: [row for run in rows(pair) for row in run if row["seconds"] == SHORT]
    made = {
        "command": "python recipes/measure.py 10",
        "date": datetime.date.today().isoformat(),
        "with": f"torch {torch.__version__.partition('+')[0]}, one thread",
        "pace": measure_once(parts / "pace.json", seconds_per_step),
        "floor": measure_once(parts / "floor.json", score_floor),
        "live": {"seconds": LIVE, "steps": round(LIVE / per_step), "runs": [run["rows"][0] for run in found["live"]]},
        "curves": {", ".join(MAIN): rows(MAIN)},
        "cross": {what: {how: at_short((what, how)) for how in SCHEDULES if (what, how) in CROSS} for what in ("noise", "picture", "velocity")},
        "cross_seconds": SHORT,
        "ink": found["ink"],
    }  # fmt: skip
    write_table(out / "table.json", made, parts)
