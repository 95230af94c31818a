"""Make the judge: the classifier in whose features generated images are compared with real ones.

Source   the Fashion-MNIST images that ship, with their labels (train)
Run      python recipes/judge.py data/checkpoints       Takes     about three minutes on one thread

It learns to classify ten classes, from images shifted a little and mirrored. What ships is
the first seed; two more say how much its score depends on chance, and how much the Frechet distance
of real images to real ones does.
"""

import datetime
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from common import write_checkpoint
from torch import Tensor, nn

from fmcourse.data import load
from fmcourse.data.images import normalize_pixels
from fmcourse.evaluation.image_quality import compute_fidelity
from fmcourse.models.vision import FashionClassifier
from fmcourse.objectives import Loss
from fmcourse.training import derive_seed, fit
from fmcourse.training.optimizers import OptimizerConfig

STEPS, BATCH, SEEDS = 800, 128, 3
ADAM = OptimizerConfig(matrix_optimizer="adamw", lr=3e-3, lr_decay="cosine", weight_decay=1e-3)


class AugmentedBatches:
    """Batches of images with their classes, each shifted by up to 2 pixels, mirrored at random."""

    def __init__(self, x: Tensor, labels: Tensor, seed: int) -> None:
        self.x, self.labels = nn.functional.pad(x, (2, 2, 2, 2), value=-1), labels
        self.seed = seed

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        g = torch.Generator().manual_seed(derive_seed(self.seed, step))
        rows = torch.randint(len(self.x), (BATCH,), generator=g)
        down, across = torch.randint(5, (2, BATCH, 1, 1), generator=g)
        at = torch.arange(28)
        x = self.x[rows, 0].gather(1, (at[None, :, None] + down).expand(-1, -1, 32))
        x = x.gather(2, (at + across).expand(-1, 28, -1))[:, None]
        face = torch.rand(BATCH, 1, 1, 1, generator=g) < 0.5
        return torch.where(face, x.flip(-1), x), self.labels[rows]


def classification(
    model: nn.Module, batch: tuple[Tensor, Tensor], generator: torch.Generator
) -> Loss:
    """Cross-entropy of the class, in nats."""
    images, labels = batch
    value = nn.functional.cross_entropy(model(images), labels)
    return Loss(value, {"nats": value.item()}, len(labels))


def main(folder: Path) -> None:
    shown = load("fashion")
    train, test = normalize_pixels(shown.train.pixels), normalize_pixels(shown.test.pixels)
    even = torch.cat(
        [(shown.train.labels == kind).nonzero()[:200, 0] for kind in range(10)]
    )  # as many of each as in the test
    scores = []
    for seed in range(SEEDS):
        torch.manual_seed(seed)
        model, start = FashionClassifier(), time.process_time()
        fit(
            model,
            classification,
            AugmentedBatches(train, shown.train.labels, seed),
            steps=STEPS,
            seed=seed,
            optimizer=ADAM,
            progress=False,
        )
        minutes = (time.process_time() - start) / 60
        model.eval()
        with torch.inference_mode():
            right = (model(test).argmax(1) == shown.test.labels).double().mean().item()
        floor = compute_fidelity(model, test, train[even])
        scores.append(
            {"accuracy": round(right, 4), "real_to_real_frechet": round(floor.frechet, 3)}
        )
        print(seed, scores[-1], f"{minutes:.1f} minutes", flush=True)
        if seed == 0:
            kept = model, minutes
    write_checkpoint(
        folder,
        "judge",
        kept[0].state_dict(),
        title="tells ten kinds of clothes apart; its 64 features judge made pictures",
        data="fashion, train",
        command="python recipes/judge.py data/checkpoints",
        date=str(datetime.date.today()),
        minutes=round(kept[1], 1),
        score=scores,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
