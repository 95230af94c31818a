"""Training: one loop for every model that has one loss.

loop.py         `fit`: the loop, and what one training step does
batches.py      where batches come from: random crops, random rows, epochs
optimizers.py   AdamW and Muon, and the learning-rate schedule
checkpoints.py  saving a run, and resuming it bit for bit
history.py, ema.py, interrupts.py, parallel.py
gan.py          the GAN's own loop, with two players
"""

from fmcourse.training.batches import EpochBatches, RandomBatches, RandomCrops, derive_seed
from fmcourse.training.checkpoints import CheckpointMismatch
from fmcourse.training.ema import EMA
from fmcourse.training.history import DivergenceError, History
from fmcourse.training.loop import Objective, Run, fit, lesson_steps

__all__ = [
    "EMA",
    "CheckpointMismatch",
    "DivergenceError",
    "EpochBatches",
    "History",
    "Objective",
    "RandomBatches",
    "RandomCrops",
    "Run",
    "derive_seed",
    "fit",
    "lesson_steps",
]
