"""Make table.json: what lesson 05 compares its own run with.

Source   the pronunciations and the Shakespeare plays that ship
Run      python recipes/measure.py 05       Takes     about 10 minutes on one thread

The lesson trains one encoder-decoder with one seed. Here are three seeds of it, and three by the optimiser and the schedule of 2017; and
how four ways to tell positions do on texts four times as long as those they learnt from. Each part is kept in OUT as soon as it is done,
and a second run goes on from there.
"""

import datetime
import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from common import measure_once, write_table
from fmcourse.data import Pronunciation, load
from fmcourse.generation import translate
from fmcourse.models.seq2seq import EncoderDecoder, SinusoidalEmbedding, vaswani2017
from fmcourse.models.transformer import Transformer, modern
from fmcourse.objectives import next_token, translation
from fmcourse.tokenizers import CharTokenizer
from fmcourse.training import RandomCrops, fit
from fmcourse.training.optimizers import MUON, InverseSqrtConfig, OptimizerConfig
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

STEPS, SEEDS, BATCH, START, END = 800, 3, 48, 1, 2
SHAPE = {"context": 16, "width": 96, "depth": 2, "heads": 4}
WARMUP = 0.15
LEARNT, ASKED, LM_STEPS = (
    32,
    128,
    300,
)  # positions that a language model learns from, that it is asked for, and its steps


LARGEST = (SHAPE["width"] * WARMUP * STEPS) ** -0.5
ADAM = InverseSqrtConfig(matrix_optimizer="adamw", lr=LARGEST, warmup=WARMUP, clip=0.0)
WAYS: dict[str, OptimizerConfig] = {"live": MUON, "2017": ADAM}


def encode_pairs(pairs: tuple[Pronunciation, ...]) -> tuple[Tensor, Tensor]:
    """Letters (N, S) and sounds (N, T), with a start and an end; 0 fills up."""
    number = {sound: n for n, sound in enumerate(sounds_of(load("pronunciation").train), 3)}
    letters = [torch.tensor([ord(letter) - 96 for letter in pair.word]) for pair in pairs]
    sounds = [torch.tensor([START, *(number[sound] for sound in pair.sounds), END]) for pair in pairs]
    return pad_sequence(letters, batch_first=True), pad_sequence(sounds, batch_first=True)


def sounds_of(pairs: tuple[Pronunciation, ...]) -> list[str]:
    return sorted({sound for pair in pairs for sound in pair.sounds})


def batches(pairs: tuple[Pronunciation, ...], seed: int) -> list[tuple[Tensor, Tensor]]:
    """Words of one length side by side, so that little is padding; batches in random order."""
    generator = torch.Generator().manual_seed(seed)
    mixed = [pairs[i] for i in torch.randperm(len(pairs), generator=generator)]
    mixed.sort(key=lambda pair: len(pair.word))
    made = [encode_pairs(tuple(mixed[i : i + BATCH])) for i in range(0, len(mixed), BATCH)]
    return [made[i] for i in torch.randperm(len(made), generator=generator)]


def edit_distance(given: list[int], wanted: list[int]) -> int:
    """Sounds to change, add or leave out to get from one to the other (Levenshtein 1966)."""
    row = list(range(len(wanted) + 1))
    for i, a in enumerate(given, 1):
        before, row[0] = row[0], i
        for j, b in enumerate(wanted, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
    return row[-1]


def pronunciation_row(way: str, seed: int) -> dict[str, Any]:
    """One run as in the lesson, or with another seed or another recipe."""
    words = load("pronunciation")
    torch.manual_seed(seed)
    shape = vaswani2017(vocab_size=3 + len(sounds_of(words.train)), **SHAPE, dropout=0.0)
    model, data = EncoderDecoder(shape, source_vocab_size=27), batches(words.train, seed)
    objective = partial(translation, smoothing=0.1)
    history = fit(model, objective, data, steps=STEPS, seed=seed, optimizer=WAYS[way], progress=False)
    return {"seed": seed} | pronunciation_scores(model, drafts=way == "live") | {"seconds": round(history.seconds[-1])}


def pronunciation_scores(model: EncoderDecoder, drafts: bool) -> dict[str, float]:
    """Words of the test split said wholly right, and sounds wrong; with `drafts`, every fourth word also by a beam of four."""
    source, target = encode_pairs(load("pronunciation").test)
    wanted = [[sound for sound in row if sound > END] for row in target.tolist()]
    given = translate(model, source, start=START, end=END, max_new_tokens=13)
    exact = [a == b for a, b in zip(given, wanted, strict=True)]
    wrong = sum(map(edit_distance, given, wanted)) / sum(map(len, wanted))
    found = {"exact": round(sum(exact) / len(exact), 4), "sounds_wrong": round(wrong, 4)}
    if drafts:
        of_four = translate(model, source[::4], start=START, end=END, max_new_tokens=13, width=4)
        right = sum(a == b for a, b in zip(of_four, wanted[::4], strict=True))
        found |= {
            "one_draft": round(sum(exact[::4]) / len(exact[::4]), 4),
            "four_drafts": round(right / len(of_four), 4),
        }
    return found


def length_row(kind: str, seed: int) -> dict[str, Any]:
    """A small language model of LEARNT positions, scored on ASKED: nats per letter inside and beyond what it learnt."""
    plays = load("shakespeare")
    tokenizer = CharTokenizer.train(plays.train)
    torch.manual_seed(seed)
    shape = modern(vocab_size=tokenizer.vocab_size, context=ASKED, width=64, depth=2, heads=2)
    model = Transformer(replace(shape, positions="none" if kind == "sinusoidal" else kind))
    if kind == "sinusoidal":
        model.embed = SinusoidalEmbedding(model.config)
    data = RandomCrops(tokenizer.encode(plays.train), length=LEARNT + 1, batch=32, seed=seed)
    fit(model, next_token, data, steps=LM_STEPS, seed=seed, progress=False)
    unseen = RandomCrops(tokenizer.encode(plays.validation), length=ASKED + 1, batch=256, seed=0)[0]
    with torch.inference_mode():
        nats = F.cross_entropy(model(unseen[:, :-1]).mT, unseen[:, 1:], reduction="none").mean(0)
    inside, beyond = nats[LEARNT // 2 : LEARNT].mean().item(), nats[ASKED - LEARNT :].mean().item()
    return {"seed": seed, "inside": round(inside, 4), "beyond": round(beyond, 4)}


def main(out: Path) -> None:
    parts = out / "parts"
    runs = {way: [] for way in WAYS}
    for way in WAYS:
        runs[way] = [
            measure_once(parts / f"{way}-{seed}.json", partial(pronunciation_row, way, seed)) for seed in range(SEEDS)
        ]
    kinds = ("none", "learned", "sinusoidal", "rope")
    positions = {
        kind: [measure_once(parts / f"{kind}-{seed}.json", partial(length_row, kind, seed)) for seed in range(SEEDS)]
        for kind in kinds
    }
    made = {
        "command": "python recipes/measure.py 05",
        "date": datetime.date.today().isoformat(),
        "with": f"torch {torch.__version__.partition('+')[0]}, one thread",
        "shape": SHAPE,
        "steps": STEPS,
        "runs": runs,
        "positions": positions,
        "positions_learnt": LEARNT,
        "positions_asked": ASKED,
    }
    write_table(out / "table.json", made, parts)
