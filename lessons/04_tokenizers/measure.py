"""Make table.json: how far the rows of tokens that never occur move in training, over seeds.

Source   the Shakespeare plays that ship
Run      python recipes/measure.py 04       Takes     about 2 minutes on one thread

The lesson trains one seed with tied embeddings. Here are five, its own among them.
"""

import datetime
import os
from collections import Counter
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from common import write_table
from fmcourse.data import load
from fmcourse.models.transformer import Transformer, gpt2
from fmcourse.objectives import next_token
from fmcourse.tokenizers import BPETokenizer
from fmcourse.training import RandomCrops, fit
from torch import Tensor
from torch.nn import functional as F

V, N_CHARACTERS, STEPS, SEEDS = 1024, 1_000_000, 200, 5


def summarize(rows: Tensor) -> tuple[float, float]:
    """Mean length of the rows, and their mean cosine with one another."""
    unit, n = F.normalize(rows, dim=1), len(rows)
    cosine = ((unit @ unit.T).sum().item() - n) / (n * (n - 1))
    return round(rows.norm(dim=1).mean().item(), 4), round(cosine, 4)


def train_rows(ids: list[int], tied: bool, seed: int) -> tuple[Tensor, Tensor]:
    """The rows of the input embedding before and after training, as the lesson trains them."""
    torch.manual_seed(seed)
    model = Transformer(gpt2(vocab_size=V, context=32, width=64, depth=1, heads=2, tied=tied))
    rows = model.embed.tokens.weight
    before = rows.detach().clone()
    data = RandomCrops(ids, length=33, batch=16, seed=seed)
    fit(model, next_token, data, steps=STEPS, seed=seed, progress=False)
    return before, rows.detach()


def measure_seed(ids: list[int], seed: int) -> dict[str, Any]:
    never = torch.tensor(sorted(set(range(V)) - set(ids)))
    often = torch.tensor([i for i, _ in Counter(ids).most_common(len(never))])
    before, tied = train_rows(ids, True, seed)
    start, untied = train_rows(ids, False, seed)
    (first_length, _), (length, cosine) = summarize(before[never]), summarize(tied[never])
    run = {
        "seed": seed,
        "never": len(never),
        "first_length": first_length,
        "tied_length": length,
        "tied_cosine": cosine,
    }
    run["frequent_cosine"] = summarize(tied[often])[1]
    return run | {"untied_moved": bool((untied[never] != start[never]).any())}


def main(out: Path) -> None:
    text = load("shakespeare").train[:N_CHARACTERS]
    ids = BPETokenizer.train(text, V).encode(text)
    write_table(
        out / "table.json",
        {
            "title": "Rows of tokens that never occur, before and after training, tied and untied",
            "command": "python recipes/measure.py 04",
            "date": datetime.date.today().isoformat(),
            "with": f"torch {torch.__version__}, one thread",
            "vocab_size": V,
            "steps": STEPS,
            "runs": [measure_seed(ids, seed) for seed in range(SEEDS)],
        },
    )
