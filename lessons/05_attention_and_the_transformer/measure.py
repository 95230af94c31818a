"""Make table.json: what lesson 05 compares its own run with.

Source   the pronunciations and the Shakespeare plays that ship
Run      python recipes/measure.py 05       Takes     about 25 minutes on one thread

The lesson builds an encoder-decoder and trains it with one seed. The same classes and the same loop, read from the
lesson's own cells, are trained here: three recipes (the schedule of 2017, AdamW with linear decay, Muon), the peak
learning rate of each chosen on the validation split, then scored on the test split with several seeds. Also: how four
positional encodings do on texts four times as long as those that they were trained on. Each part is kept in OUT as
soon as it is done, and a second run goes on from there.
"""

import ast
import datetime
import math
import os
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from common import measure_once, write_table
from fmcourse.data import Pronunciation, load
from fmcourse.files import import_file, write_atomically
from fmcourse.generation.beam_search import beam_search
from fmcourse.models.seq2seq import SinusoidalEmbedding
from fmcourse.models.transformer import Transformer, modern
from fmcourse.objectives import next_token, translation
from fmcourse.tokenizers import CharTokenizer
from fmcourse.training import RandomCrops, fit
from fmcourse.training.optimizers import OptimizerConfig
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

STEPS, BATCH, PAD, START, END = 800, 48, 0, 1, 2
SHAPE = {"width": 96, "depth": 2, "heads": 4}
WARMUP = 120  # steps of the 2017 schedule: 15 %
PAPER_PEAK = (512 * 4000) ** -0.5
# Peak learning rates that are tried, one run each; the best on the validation split is kept. Muon's is that of its
# matrices; everything else is then AdamW's at the package's default.
GRID = {
    "2017": [0.0007, 0.0028, 0.0056],
    "adamw": [0.0015, 0.003, 0.006],
    "muon": [0.005, 0.01, 0.02, 0.04],
}
SEEDS = {"adamw": 3, "2017": 3, "muon": 3}
TRAINED, SCORED, LM_STEPS = 32, 128, 300  # a language model's positions in training, in scoring, and its steps
NAMES = [
    "MultiHeadAttention",
    "EncoderLayer",
    "DecoderLayer",
    "embed",
    "Encoder",
    "Decoder",
    "Transformer",
    "linear_decay",
]
NAMES += ["train", "transcribe"]


@cache
def lesson() -> SimpleNamespace:
    """The classes and functions that the lesson's cells define, on the course's answers to its exercises."""
    folder = Path(__file__).parent
    space: dict[str, Any] = {"math": math, "torch": torch, "nn": nn, "F": F, "PAD": PAD, "START": START, "END": END}
    answers = import_file(folder / "exercises.py", "exercises_05")
    for exercise in (answers.heads, answers.masked, answers.positions, answers.rate):
        exec(exercise.solution, space)
    tree = ast.parse((folder / "lesson.py").read_text(encoding="utf-8"))
    wanted = [node for node in tree.body if getattr(node, "name", None) in NAMES]
    exec(compile(ast.Module(wanted, []), "lesson.py", "exec"), space)
    return SimpleNamespace(**space)


@cache
def sounds_of_training() -> dict[str, int]:
    sounds = sorted({sound for pair in load("pronunciation").train for sound in pair.sounds})
    return {sound: n for n, sound in enumerate(sounds, END + 1)}


def encode_pairs(pairs: tuple[Pronunciation, ...]) -> tuple[Tensor, Tensor]:
    """Letters (N, S) and sounds (N, T), with a start and an end token; padded with 0."""
    ids = sounds_of_training()
    letters = [torch.tensor([ord(letter) - 96 for letter in pair.word]) for pair in pairs]
    sounds = [torch.tensor([START, *(ids[sound] for sound in pair.sounds), END]) for pair in pairs]
    return pad_sequence(letters, batch_first=True), pad_sequence(sounds, batch_first=True)


def batches(pairs: tuple[Pronunciation, ...], seed: int) -> list[tuple[Tensor, Tensor]]:
    """Words of one length in one batch, so that little is padding; batches in random order."""
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


def trained(recipe: str, peak: float, seed: int, keep: Path) -> nn.Module:
    """The lesson's model after one run of a recipe; its weights are kept, so that a run is not made twice."""
    of = lesson()
    torch.manual_seed(seed)
    model = of.Transformer(27, END + 1 + len(sounds_of_training()), **SHAPE)
    path = keep / f"{recipe}-{peak}-{seed}.pt"
    if path.exists():
        model.load_state_dict(torch.load(path, weights_only=True))
        return model.eval()
    data = batches(load("pronunciation").train, seed)
    if recipe == "muon":
        objective = partial(translation, smoothing=0.1)
        how = OptimizerConfig(matrix_lr=peak, ns_steps=3)
        fit(model, objective, data, steps=STEPS, seed=seed, optimizer=how, progress=False)
    elif recipe == "adamw":
        of.train(model, data, STEPS, partial(of.linear_decay, steps=STEPS, peak=peak))
    else:
        largest = (SHAPE["width"] * WARMUP) ** -0.5  # where the formula's own peak lies
        of.train(model, data, STEPS, lambda step: peak / largest * of.rate(step, SHAPE["width"], WARMUP))
    write_atomically(path, lambda temporary: torch.save(model.state_dict(), temporary))
    return model.eval()


def accuracy_on(model: nn.Module, split: str) -> dict[str, float]:
    """The share of words transcribed exactly, and of sounds wrong, by greedy decoding."""
    source, target = encode_pairs(getattr(load("pronunciation"), split))
    wanted = [[sound for sound in row if sound > END] for row in target.tolist()]
    given = lesson().transcribe(model, source)
    exact = sum(a == b for a, b in zip(given, wanted, strict=True)) / len(wanted)
    wrong = sum(map(edit_distance, given, wanted)) / sum(map(len, wanted))
    return {"exact": round(exact, 4), "sounds_wrong": round(wrong, 4)}


def grid_row(recipe: str, peak: float, keep: Path) -> dict[str, Any]:
    """One peak learning rate of one recipe, on the validation split."""
    return {"peak": peak} | accuracy_on(trained(recipe, peak, 0, keep), "validation")


def test_row(recipe: str, peak: float, seed: int, keep: Path) -> dict[str, Any]:
    """One run at the chosen peak, on the test split; the lesson's own recipe also by beam search."""
    model = trained(recipe, peak, seed, keep)
    return {"seed": seed} | accuracy_on(model, "test") | (beam_row(model) if recipe == "adamw" else {})


@torch.inference_mode()
def beam_row(model: nn.Module) -> dict[str, float]:
    """Every fourth word of the test split: exact by greedy decoding, and by a beam of four hypotheses."""
    source, target = encode_pairs(load("pronunciation").test[::4])
    wanted = [[sound for sound in row if sound > END] for row in target.tolist()]
    found = []
    for word in source:
        word = word[None, word != PAD]
        mask = (word != PAD)[:, None, None]
        memory = model.encoder(word, mask)

        def log_probabilities(ids: Tensor, memory: Tensor = memory, mask: Tensor = mask) -> Tensor:
            return model.decoder(ids, memory.expand(len(ids), -1, -1), mask)[:, -1].log_softmax(-1)

        best = beam_search(log_probabilities, start=START, end=END, width=4, max_new_tokens=13)[0].ids[1:]
        found.append([i for i in best if i > END])
    greedy = lesson().transcribe(model, source)
    share = lambda given: round(sum(a == b for a, b in zip(given, wanted, strict=True)) / len(wanted), 4)
    return {"greedy": share(greedy), "beam_of_four": share(found)}


def length_row(kind: str, seed: int) -> dict[str, Any]:
    """A small language model trained on TRAINED positions and scored on SCORED: nats per letter within and beyond."""
    plays = load("shakespeare")
    tokenizer = CharTokenizer.train(plays.train)
    torch.manual_seed(seed)
    shape = modern(vocab_size=tokenizer.vocab_size, context=SCORED, width=64, depth=2, heads=2)
    model = Transformer(replace(shape, positions="none" if kind == "sinusoidal" else kind))
    if kind == "sinusoidal":
        model.embed = SinusoidalEmbedding(model.config)
    data = RandomCrops(tokenizer.encode(plays.train), length=TRAINED + 1, batch=32, seed=seed)
    fit(model, next_token, data, steps=LM_STEPS, seed=seed, progress=False)
    unseen = RandomCrops(tokenizer.encode(plays.validation), length=SCORED + 1, batch=256, seed=0)[0]
    with torch.inference_mode():
        nats = F.cross_entropy(model(unseen[:, :-1]).mT, unseen[:, 1:], reduction="none").mean(0)
    inside, beyond = nats[TRAINED // 2 : TRAINED].mean().item(), nats[SCORED - TRAINED :].mean().item()
    row = {"seed": seed, "inside": round(inside, 4), "beyond": round(beyond, 4)}
    return row | order_row(model, tokenizer.encode(plays.validation)) if kind == "none" else row


@torch.inference_mode()
def order_row(model: nn.Module, ids: Tensor) -> dict[str, float]:
    """The loss for the letter after TRAINED letters as they are, and with all but the last of them shuffled."""
    texts = RandomCrops(ids, length=TRAINED + 1, batch=2048, seed=1)[0]
    context, label = texts[:, :-1], texts[:, -1]
    generator = torch.Generator().manual_seed(0)
    order = torch.stack([torch.randperm(TRAINED - 1, generator=generator) for _ in texts])
    shuffled = torch.cat([context[:, :-1].gather(1, order), context[:, -1:]], 1)
    nats = lambda x: round(F.cross_entropy(model(x)[:, -1], label).item(), 4)
    return {"in_order": nats(context), "shuffled": nats(shuffled)}


def main(out: Path) -> None:
    parts = out / "parts"
    grid = {
        recipe: [
            measure_once(parts / f"grid-{recipe}-{peak}.json", partial(grid_row, recipe, peak, parts)) for peak in peaks
        ]
        for recipe, peaks in GRID.items()
    }
    chosen = {recipe: max(rows, key=lambda row: row["exact"])["peak"] for recipe, rows in grid.items()}
    runs = {
        recipe: [
            measure_once(parts / f"{recipe}-{seed}.json", partial(test_row, recipe, chosen[recipe], seed, parts))
            for seed in range(SEEDS[recipe])
        ]
        for recipe in ("adamw", "2017", "muon")
    }
    kinds = ("none", "learned", "sinusoidal", "rope")
    encodings = {
        kind: [measure_once(parts / f"{kind}-{seed}.json", partial(length_row, kind, seed)) for seed in range(3)]
        for kind in kinds
    }
    made = {
        "command": "python recipes/measure.py 05",
        "date": datetime.date.today().isoformat(),
        "with": f"torch {torch.__version__.partition('+')[0]}, one thread",
        "shape": SHAPE,
        "steps": STEPS,
        "paper_peak": round(PAPER_PEAK, 6),
        "grid": grid,
        "chosen": chosen,
        "runs": runs,
        "positional_encodings": encodings,
        "positions_trained": TRAINED,
        "positions_scored": SCORED,
    }
    write_table(out / "table.json", made, parts)
