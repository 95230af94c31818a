"""Make table.json: the runs that lesson 08 fits its scaling law to, and what it compares its own runs with.

Source   the Shakespeare plays that ship
Run      python recipes/measure.py 08       Takes     about 20 minutes on one idle core

All runs use the lesson's own class and loop. Learning rates are compared at 128 steps for three widths, one for all matrices
(standard) and with muP. The lesson's rule for the standard rate is used from then on: each budget of FLOP is spent on several
sizes, and a model more than four times larger than any of them is trained too; the lesson predicts its loss. Last, one size reads
as many tokens from ever shorter texts. All but the learning rates: three seeds.
"""

import ast
import datetime
import os
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from common import measure_once, write_table
from fmcourse.data import load
from fmcourse.tokenizers import CharTokenizer
from fmcourse.training import RandomCrops
from torch import nn
from torch.nn import functional as F

CONTEXT, BATCH, BASE_WIDTH = 64, 16, 32
TEST, VALIDATION = 50_000, 30_000  # characters
SEEDS, TARGET, TARGET_STEPS = 3, 136, 128
# A budget of FLOP, 6 N D, and the widths that spend it: at least 128 steps, at most half of the text.
BUDGETS = {4.8e10: [16, 24, 32, 48], 1.44e11: [24, 32, 48, 64], 4.32e11: [48, 64]}
SWEEP_WIDTHS, SWEEP_STEPS, LEARNING_RATES = [16, 48, 136], 128, [0.002, 0.004, 0.008, 0.016, 0.032]
WALL_WIDTH, WALL_STEPS, EPOCHS = 48, 512, [1, 4, 16, 64]
NAMES = {"Block", "GPT", "count_parameters", "build", "lr_of", "train", "token_probabilities"}  # of the lesson


@cache
def lesson_code() -> dict[str, Any]:
    """The functions and classes of lesson.py itself, with the plays that they are tried on."""
    plays = load("shakespeare")
    tokenizer = CharTokenizer.train(plays.train)
    train, validation, test = (
        torch.tensor(tokenizer.encode(text))
        for text in (plays.train, plays.validation[-VALIDATION:], plays.validation[:TEST])
    )
    code = {"torch": torch, "nn": nn, "F": F, "RandomCrops": RandomCrops, "V": tokenizer.vocab_size}
    code |= {"CONTEXT": CONTEXT, "BATCH": BATCH, "BASE_WIDTH": BASE_WIDTH}
    code |= {"ids": train, "validation_ids": validation, "test_ids": test}
    tree = ast.parse(Path(__file__).with_name("lesson.py").read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if getattr(node, "name", "") in NAMES]
    exec(compile(tree, "lesson.py", "exec"), code)
    return code


def run(width: int, steps: int, *, unique: int | None = None, **how: Any) -> dict[str, Any]:
    """One training run: its size, its tokens and its losses; of `unique` characters, or of the whole text."""
    code = lesson_code()
    text = code["ids"][:unique] if unique else None
    model = code["train"](width, steps, text=text, **how)
    found = {"width": width, "parameters": code["count_parameters"](model), "tokens": steps * BATCH * CONTEXT}
    for name, ids in (("validation", code["validation_ids"]), ("loss", code["test_ids"])):
        p, _ = code["token_probabilities"](model, ids)
        found[name] = round(-p.log().mean().item(), 4)
    return found | how


def steps_of(budget: float, width: int) -> int:
    """Steps of 1,024 tokens that spend a budget of 6 N D."""
    code = lesson_code()
    return round(budget / (6 * code["count_parameters"](code["GPT"](width)) * BATCH * CONTEXT))


Runs = dict[str, Callable[[], dict[str, Any]]]


def sweep() -> Runs:
    """Learning rates at three widths, by name."""
    return {
        f"sweep-{way}-{width}-{lr}": partial(run, width, SWEEP_STEPS, seed=0, lr=lr, mup=way == "mup")
        for way in ("standard", "mup")
        for width in SWEEP_WIDTHS
        for lr in LEARNING_RATES
    }


def grid(seed: int) -> Runs:
    """One seed of the runs of each budget."""
    return {
        f"grid-{width}-{budget:.1e}-{seed}": partial(run, width, steps_of(budget, width), seed=seed)
        for budget, widths in BUDGETS.items()
        for width in widths
    }


def target(seed: int) -> Runs:
    """One seed of the large model."""
    return {f"target-{seed}": partial(run, TARGET, TARGET_STEPS, seed=seed)}


def wall(seed: int) -> Runs:
    """One size and number of steps on ever shorter texts, so that each is read more often."""
    read = WALL_STEPS * BATCH * CONTEXT
    return {
        f"wall-{epochs}-{seed}": partial(run, WALL_WIDTH, WALL_STEPS, unique=read // epochs, seed=seed)
        for epochs in EPOCHS
    }


def all_runs() -> Runs:
    """Every run by its name, not made yet."""
    found = sweep()
    for seed in range(SEEDS):
        found |= grid(seed) | target(seed) | wall(seed)
    return found


def main(out: Path) -> None:
    parts = out / "parts"
    made = {name: measure_once(parts / f"{name}.json", make) for name, make in all_runs().items()}
    ways = {"standard": "standard", "muP": "mup"}
    found: dict[str, Any] = {
        "command": "python recipes/measure.py 08",
        "date": datetime.date.today().isoformat(),
        "with": f"torch {torch.__version__.partition('+')[0]}, one thread",
        "validation_by_learning_rate": {
            label: {
                str(width): {str(lr): made[f"sweep-{way}-{width}-{lr}"]["validation"] for lr in LEARNING_RATES}
                for width in SWEEP_WIDTHS
            }
            for label, way in ways.items()
        },
    }
    found["grid"] = [
        {"budget": budget} | made[f"grid-{width}-{budget:.1e}-{seed}"]
        for budget, widths in BUDGETS.items()
        for width in widths
        for seed in range(SEEDS)
    ]
    found["target"] = [made[f"target-{seed}"] for seed in range(SEEDS)]
    found["wall"] = {str(epochs): [made[f"wall-{epochs}-{seed}"]["loss"] for seed in range(SEEDS)] for epochs in EPOCHS}
    write_table(out / "table.json", found, parts)
