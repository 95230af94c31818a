"""Make features.json and the checkpoint `clothes`: does a network that learnt to take noise away
know what is in an image?

Source    the Fashion-MNIST images that ship; no label is used in training
Run       python recipes/features.py data
Takes     about forty minutes on one thread, three on a GPU

A U-Net is trained on all training images, as in lesson 10 but larger and longer. Then a little
noise is mixed into an image, the network reads it, and the outputs of three of its blocks, averaged
over 4 by 4 fields, is the image's vector. Three questions, asked beside raw pixels and the same
network untrained: how often is a linear probe with few labels right, how many of the ten nearest
images show the same class, and at which noise level are the vectors best? Each part is kept
in OUT/tables/features.parts as soon as it is done.
"""

import datetime
import json
import os
import statistics
import sys
from functools import cache, partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from common import fit_once, measure_once, measurements, write_checkpoint, write_table
from torch import Tensor, nn
from torch.nn import functional as F

from fmcourse.data import load
from fmcourse.data.images import normalize_pixels
from fmcourse.diffusion import Schedule, diffusion_loss
from fmcourse.models.unet import UNet
from fmcourse.training.optimizers import OptimizerConfig

LESSON_03, LESSON_11 = measurements("03"), measurements("11")
SEEDS, BATCH, STEPS, DRAWS = 3, 64, 4000, 3
LABELS, TIMES, NEAREST = (10, 30, 100, 1000), (50, 150, 300, 500), 10
FLOW = Schedule.flow()
ADAM = OptimizerConfig(
    matrix_optimizer="adamw", lr=3e-3, lr_decay="cosine", warmup=0.05, betas=(0.9, 0.99)
)
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def network() -> UNet:
    return UNet(1, (32, 64), 1, condition_width=128)


@cache
def load_images(split: str) -> tuple[Tensor, Tensor]:
    part = getattr(load("fashion"), split)
    return normalize_pixels(part.pixels), part.labels


def train_model(seed: int, path: Path) -> nn.Module:
    """The network of one seed; no label is used."""
    torch.manual_seed(seed)
    objective, data = (
        partial(diffusion_loss, schedule=FLOW, predicts="image"),
        LESSON_11.RandomRows(load_images("train")[0], seed=seed, batch=BATCH),
    )
    return fit_once(
        path, network().to(DEVICE), objective, data, steps=STEPS, seed=seed, optimizer=ADAM
    )


@torch.no_grad()
def activations(model: UNet, x: Tensor, t: int, generator: torch.Generator) -> Tensor:
    """Outputs of the middle block and the last two for slightly noisy images, each the mean over 4
    by 4 fields: (B, 2048).

    Each image gets noise of its own: with the same noise in two images the nearest one is found
    by its noise.
    """
    outputs: list[Tensor] = []

    def keep_output(block, given, output):
        outputs.append(F.adaptive_avg_pool2d(output, 4).flatten(1))

    hooks = [block.register_forward_hook(keep_output) for block in (model.middle, *model.up[-2:])]
    noise = torch.randn(x.shape, generator=generator).to(x)
    model(
        FLOW.add_noise(x, torch.full((len(x),), t), noise), torch.full((len(x),), t / FLOW.T).to(x)
    )
    for hook in hooks:
        hook.remove()
    return torch.cat(outputs, 1)


def probe_accuracy(known: Tensor, asked: Tensor, seed: int) -> dict[str, Any]:
    """How often a probe is right, by number of labels, mean over draws; and how many of the nearest
    training images are of the same class.
    """
    labels, wanted = load_images("train")[1], load_images("test")[1]
    known, asked = LESSON_03.standardize(known.cpu(), asked.cpu())
    rows = {
        n: [LESSON_03.labelled_subset(labels, n, DRAWS * seed + draw) for draw in range(DRAWS)]
        for n in LABELS
    }
    right = {
        str(n): round(
            statistics.mean(
                (LESSON_03.linear_probe(known[r], labels[r], asked, 10) == wanted)
                .float()
                .mean()
                .item()
                for r in some
            ),
            4,
        )
        for n, some in rows.items()
    }
    near = (F.normalize(asked, dim=1) @ F.normalize(known, dim=1).T).topk(NEAREST).indices
    return right | {"nearest": round((labels[near] == wanted[:, None]).float().mean().item(), 4)}


def row(parts: Path, seed: int) -> dict[str, Any]:
    torch.manual_seed(1000 + seed)
    fresh, model = network().to(DEVICE), train_model(seed, parts / f"clothes-{seed}.pt")
    for weight in (
        fresh.parameters()
    ):  # what begins at zero says nothing at all: give it the spread of the others
        if not weight.any():
            nn.init.normal_(weight, std=0.05)
    g = torch.Generator().manual_seed(seed)

    def vectors(of, t):
        return [
            torch.cat(
                [
                    activations(of, part.to(DEVICE), t, g)
                    for part in load_images(split)[0].split(500)
                ]
            )
            for split in ("train", "test")
        ]

    found = {
        "seed": seed,
        "pixels": probe_accuracy(
            *(load_images(split)[0].flatten(1) for split in ("train", "test")), seed
        ),
    }
    return found | {
        "untrained": probe_accuracy(*vectors(fresh, 300), seed),
        "diffusion": {str(t): probe_accuracy(*vectors(model, t), seed) for t in TIMES},
    }


COMMAND = "python recipes/features.py data"


def main(out: Path) -> None:
    parts = out / "tables" / "features.parts"
    parts.mkdir(parents=True, exist_ok=True)
    rows = [
        measure_once(parts / f"row-{seed}.json", partial(row, parts, seed)) for seed in range(SEEDS)
    ]
    training, today = (
        json.loads((parts / "clothes-0.json").read_text()),
        datetime.date.today().isoformat(),
    )
    tensors = {
        key: value.half()
        for key, value in train_model(0, parts / "clothes-0.pt").state_dict().items()
    }
    write_checkpoint(
        out / "checkpoints",
        "clothes",
        tensors,
        title="takes noise from pictures of clothes; learnt without labels",
        command=COMMAND,
        date=today,
        minutes=training["minutes"],
        on=training["on"],
        data="fashion, train",
        score=rows[0],
    )
    measured = {
        "command": COMMAND,
        "date": today,
        "with": f"torch {torch.__version__.partition('+')[0]}, trained on {training['on']}",
        "steps": STEPS,
        "batch": BATCH,
        "labels": LABELS,
        "times": TIMES,
        "runs": rows,
    }
    write_table(out / "tables" / "features.json", measured, parts)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
