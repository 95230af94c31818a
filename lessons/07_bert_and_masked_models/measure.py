"""Make table.json: what lesson 07 compares its own run with.

Source   the recipes that ship
Run      python recipes/measure.py 07       Takes     about 25 minutes on one thread

The lesson trains one masked model with one seed. Here are three seeds of it; of a causal model of the same class, once with a loss at every
letter and once at 30 % of them, as the masked model has; and of the masked model without rotary positions. Then five seeds of what RoBERTa
changed in BERT, on a smaller model. Each part is kept in OUT as soon as it is done, and a second run goes on from there.
"""

import datetime
import os
import re
import time
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from common import measure_once, write_table
from fmcourse.data import load
from fmcourse.models.transformer import Transformer, modern
from fmcourse.objectives import Loss, mask_tokens, masked_token
from fmcourse.training import RandomCrops, fit
from fmcourse.training.optimizers import MUON, OptimizerConfig
from torch import Tensor, nn
from torch.nn import functional as F

# -- the lesson's own model -----------------------------------------------------------------------------------------------

T, BATCH, STEPS, SEEDS = 64, 8, 1000, 3  # letters in a text, texts in a batch
MASK_RATE = 0.3  # see the rates among the ablations below
MASK = 27  # a space is 0, a to z are 1 to 26
LEARNING_RATES = (1.5e-3, 3e-3, 6e-3)  # of which one is chosen on validation text, for each objective
N_WINDOWS = 3000  # unseen windows, one letter of each


def letters(text: str) -> Tensor:
    """What is not a letter from a to z becomes a space, and a run of spaces one."""
    return torch.tensor([0 if c == " " else ord(c) - 96 for c in re.sub("[^a-z]+", " ", text.lower())])


@lru_cache
def book_letters(split: str) -> Tensor:
    return letters(getattr(load("recipes"), split))


def rotate(x: Tensor) -> Tensor:
    """Rotary position embedding of queries or keys (B, H, T, K)."""
    length, K = x.shape[-2:]
    angles = torch.arange(length)[:, None] * 1000 ** (-torch.arange(0, K, 2) / K)
    a, b = x.chunk(2, -1)
    return torch.cat([a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()], -1)


class EncoderBlock(nn.Module):
    """As in the lesson."""

    def __init__(self, width: int, heads: int, rotary: bool) -> None:
        super().__init__()
        self.heads, self.rotary = heads, rotary
        self.qkv_proj, self.out_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.norm_1, self.norm_2 = nn.LayerNorm(width, eps=1e-12), nn.LayerNorm(width, eps=1e-12)

    def attend(self, x: Tensor, mask: Tensor | None) -> Tensor:
        qkv = self.qkv_proj(x).unflatten(-1, (3, self.heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        if self.rotary:
            q, k = rotate(q), rotate(k)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.out_proj(y.transpose(1, 2).flatten(2))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        x = self.norm_1(x + self.attend(x, mask))
        return self.norm_2(x + self.mlp(x))


class BERT(nn.Module):
    """As in the lesson."""

    def __init__(self, vocab_size: int, context: int, width: int, depth: int, heads: int, rotary: bool = False) -> None:
        super().__init__()
        self.tokens, self.positions, self.segments = (nn.Embedding(n, width) for n in (vocab_size, context, 2))
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.blocks = nn.ModuleList(EncoderBlock(width, heads, rotary) for _ in range(depth))
        self.head = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width), nn.Linear(width, vocab_size))
        for embedding in (self.tokens, self.positions, self.segments):
            nn.init.normal_(embedding.weight, std=0.02)

    def states(self, ids: Tensor, segments: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        segments = torch.zeros_like(ids) if segments is None else segments
        x = self.norm(self.tokens(ids) + self.positions.weight[: ids.shape[1]] + self.segments(segments))
        for block in self.blocks:
            x = block(x, mask)
        return x

    def forward(self, ids: Tensor, segments: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        return self.head(self.states(ids, segments, mask))


def corrupt(ids: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """As in the lesson: the corrupted text, and which positions are selected."""
    draw, fate = torch.rand(2, *ids.shape, generator=generator)
    other = torch.randint(27, ids.shape, generator=generator)
    selected = draw < MASK_RATE
    inputs = ids.masked_fill(selected & (fate < 0.8), MASK)
    return torch.where(selected & (fate >= 0.9), other, inputs), selected


CAUSAL = torch.ones(T, T).tril().bool()


def masked_loss(model: BERT, ids: Tensor, generator: torch.Generator) -> Tensor:
    inputs, selected = corrupt(ids, generator)
    return F.cross_entropy(model.head(model.states(inputs)[selected]), ids[selected])


def causal_loss(model: BERT, ids: Tensor, generator: torch.Generator, share: float = 1.0) -> Tensor:
    """Next-letter prediction, at a random share of the positions; `ids` are one letter longer."""
    selected = torch.rand(ids[:, 1:].shape, generator=generator) < share
    states = model.states(ids[:, :-1], mask=CAUSAL)
    return F.cross_entropy(model.head(states[selected]), ids[:, 1:][selected])


OBJECTIVES = {
    "masked": masked_loss,
    "masked, no rotary": masked_loss,
    "causal": causal_loss,
    "causal, loss at 30 %": partial(causal_loss, share=MASK_RATE),
}


def train_model(kind: str, seed: int, lr: float, steps: int = STEPS) -> BERT:
    """The lesson's loop."""
    torch.manual_seed(seed)
    model = BERT(28, context=T, width=64, depth=3, heads=2, rotary="no rotary" not in kind)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, betas=(0.9, 0.98), weight_decay=0.01)
    warm_up = lambda step: min((step + 1) / (0.05 * steps), 1 - step / steps)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, warm_up)
    crops = RandomCrops(book_letters("train"), length=T + kind.startswith("causal"), batch=BATCH, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    for step in range(steps):
        loss = OBJECTIVES[kind](model, crops[step], generator)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return model.eval()


def windows(split: str) -> Tensor:
    """Unseen texts with a letter to predict in the middle."""
    return RandomCrops(book_letters(split), length=T, batch=N_WINDOWS, seed=1)[0]


@torch.inference_mode()
def fill_scores(model: BERT, kind: str, split: str = "test") -> dict[str, float]:
    """Accuracy on the letters in the middle, in one pass."""
    texts, at = windows(split), T // 2
    if kind.startswith("causal"):
        logits = model(texts[:, :at], mask=CAUSAL[:at, :at])[:, -1, :27]
    else:
        logits = model(texts.index_fill(1, torch.tensor([at]), MASK))[:, at, :27]
    truth = texts[:, at]
    nats = round(F.cross_entropy(logits, truth).item(), 4)
    return {"accuracy": accuracy(logits.argmax(-1) == truth), "nats": nats}


def accuracy(right: Tensor) -> float:
    return round(right.float().mean().item(), 4)


@torch.inference_mode()
def rescoring_accuracy(model: BERT, n: int = 400) -> float:
    """Each of the 27 letters is put in, and the whole text scored by the causal model: 27 passes."""
    texts, at = windows("test")[:n], T // 2
    scores = []
    for letter in range(27):
        candidate = texts.index_fill(1, torch.tensor([at]), letter)
        logits = model(candidate[:, :-1], mask=CAUSAL[:-1, :-1])
        scores.append(F.cross_entropy(logits.mT, candidate[:, 1:], reduction="none").sum(1))
    return accuracy(torch.stack(scores, 1).argmin(1) == texts[:, at])


def validation_nats(kind: str, lr: float) -> float:
    """After a quarter of the steps, to choose a learning rate."""
    return fill_scores(train_model(kind, 10, lr, STEPS // 4), kind, "validation")["nats"]


def model_row(kind: str, seed: int, lr: float) -> dict[str, Any]:
    """One run as in the lesson, with its seconds of the processor."""
    begun = time.process_time()
    model = train_model(kind, seed, lr)
    found = {"seed": seed} | fill_scores(model, kind) | {"seconds": round(time.process_time() - begun)}
    return found | ({"accuracy in 27 passes": rescoring_accuracy(model)} if kind == "causal" else {})


# -- what RoBERTa changed ----------------------------------------------------------------------------------------------------

SMALL = {"vocab_size": 29, "context": T, "width": 64, "depth": 2, "heads": 2}
END = 28  # between two texts
SMALL_STEPS, SMALL_BATCH, SMALL_SEEDS, LARGER, LONGER = 256, 16, 5, 8, 3
FACTORS = (0.5, 1, 2, 4)  # of the learning rate, of which one is chosen on validation text, for each batch size
READ = 51_200  # letters of the training text: 800 texts, five epochs


class WithPairs(nn.Module):
    """A masked model with a second head, for next-sentence prediction."""

    def __init__(self) -> None:
        super().__init__()
        inner = Transformer(modern(**SMALL, causal=False))
        self.head, self.head_pair = inner.head, nn.Linear(SMALL["width"], 2)  # first: ends, by their names, are AdamW's
        self.inner, self.config = inner, inner.config

    def states(self, ids: Tensor) -> Tensor:
        return self.inner.states(ids)

    def forward(self, ids: Tensor) -> Tensor:
        return self.inner(ids)


class Texts:
    """The text cut into pieces that are read in a new order each time round: batch number `step`."""

    def __init__(self, batch: int, seed: int) -> None:
        self.texts, self.batch, self.seed = book_letters("train")[:READ].view(-1, T), batch, seed

    def rows(self, step: int) -> Tensor:
        each = len(self.texts) // self.batch  # steps that one reading takes
        order = torch.randperm(
            len(self.texts), generator=torch.Generator().manual_seed(self.seed * 1000 + step // each)
        )
        return order[step % each * self.batch :][: self.batch]

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        rows = self.rows(step)
        return self.texts[rows], rows


def dynamic_masking(
    model: nn.Module, batch: tuple[Tensor, Tensor], generator: torch.Generator | None = None, *, rate: float = 0.15
) -> Loss:
    """RoBERTa: other letters are selected each time a text is read."""
    return masked_token(model, batch[0], generator, mask_id=MASK, mask_rate=rate)


def masking_without_noise(
    model: nn.Module, batch: tuple[Tensor, Tensor], generator: torch.Generator | None = None
) -> Loss:
    """All selected letters become [MASK]: none is kept, none is replaced by another letter."""
    _, selected = mask_tokens(batch[0], generator, mask_id=MASK, vocab_size=27, mask_rate=MASK_RATE)
    states = model.states(batch[0].masked_fill(selected, MASK))[selected]
    return Loss(F.cross_entropy(model.head(states), batch[0][selected]), {}, int(selected.sum()))


def static_masking(
    model: nn.Module, batch: tuple[Tensor, Tensor], generator: torch.Generator | None = None, *, seed: int
) -> Loss:
    """BERT: the masks of a text were drawn once, before training."""
    hidden, selected = static_masks(seed)
    hidden, selected = hidden[batch[1]], selected[batch[1]]
    return Loss(
        F.cross_entropy(model.head(model.states(hidden)[selected]), batch[0][selected]), {}, int(selected.sum())
    )


@lru_cache(1)
def static_masks(seed: int) -> tuple[Tensor, Tensor]:
    return mask_tokens(
        book_letters("train")[:READ].view(-1, T),
        torch.Generator().manual_seed(seed),
        mask_id=MASK,
        vocab_size=SMALL["vocab_size"],
    )


def make_pairs(texts: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """Two halves with END between them, of every other text the second half of another: (B, T), and 1 where it goes on."""
    left, right = texts[:, : T // 2 - 1], texts[:, T // 2 - 1 : -1]
    goes_on = torch.rand(len(texts), generator=generator) < 0.5
    right = torch.where(goes_on[:, None], right, right.roll(1, 0))
    return torch.cat([left, torch.full((len(texts), 1), END), right], 1), goes_on.long()


def next_sentence_objective(
    model: WithPairs, batch: tuple[Tensor, Tensor], generator: torch.Generator | None = None
) -> Loss:
    """BERT: masked letters, and next-sentence prediction: does the second half follow the first?"""
    ids, labels = make_pairs(batch[0], generator)
    hidden, selected = mask_tokens(ids, generator, mask_id=MASK, vocab_size=SMALL["vocab_size"], special_ids=(END,))
    states = model.states(hidden)
    letter = F.cross_entropy(model.head(states[selected]), ids[selected])
    pair = F.cross_entropy(model.head_pair(states.mean(1)), labels)
    return Loss(letter + pair, {"letters": letter.item(), "pairs": pair.item()}, int(selected.sum()))


def scaled(factor: float) -> OptimizerConfig:
    """The course's optimizer with learning rates that many times as large."""
    return replace(MUON, lr=factor * MUON.lr, matrix_lr=factor * MUON.matrix_lr)


@torch.inference_mode()
def masked_scores(model: WithPairs, split: str = "validation") -> dict[str, float]:
    """Unseen texts, 15 % of the letters as [MASK], whatever the training did; and the accuracy on pairs."""
    texts = RandomCrops(book_letters(split), length=T, batch=1000, seed=2)[0]
    _, selected = mask_tokens(texts, torch.Generator().manual_seed(0), mask_id=MASK, vocab_size=SMALL["vocab_size"])
    logits, truth = model.head(model.states(texts.masked_fill(selected, MASK))[selected]), texts[selected]
    ids, labels = make_pairs(texts, torch.Generator().manual_seed(0))
    pairs = accuracy(model.head_pair(model.states(ids).mean(1)).argmax(-1) == labels)
    return {
        "nats": round(F.cross_entropy(logits, truth).item(), 4),
        "accuracy": accuracy(logits.argmax(-1) == truth),
        "pair accuracy": pairs,
    }


@torch.inference_mode()
def error_detection_auc(model: nn.Module) -> float:
    """No [MASK] anywhere, one letter of twenty replaced: how often is a replaced one less likely than an original one?"""
    texts = RandomCrops(book_letters("validation"), length=T, batch=500, seed=3)[0]
    generator = torch.Generator().manual_seed(0)
    wrong = torch.rand(texts.shape, generator=generator) < 0.05
    shift = torch.randint(1, 27, texts.shape, generator=generator)
    seen = torch.where(wrong, (texts + shift) % 27, texts)
    nats = F.cross_entropy(model.head(model.states(seen)).mT, seen, reduction="none")
    order = nats.flatten().argsort().argsort().double() + 1
    n, m = wrong.sum().item(), (~wrong).sum().item()
    return round(
        (order[wrong.flatten()].sum().item() - n * (n + 1) / 2) / (n * m), 4
    )  # the area under the curve, by ranks


def corruption_row(alone: bool, seed: int) -> dict[str, Any]:
    """The rule of 80/10/10, or [MASK] alone; as in "longer", with 30 % selected."""
    torch.manual_seed(seed)
    model, objective = WithPairs(), masking_without_noise if alone else partial(dynamic_masking, rate=MASK_RATE)
    fit(model, objective, Texts(SMALL_BATCH, seed), steps=SMALL_STEPS * LONGER, seed=seed, progress=False)
    found = masked_scores(model.eval())
    return {
        "seed": seed,
        "nats": found["nats"],
        "accuracy": found["accuracy"],
        "error detection AUC": error_detection_auc(model),
    }


def ablation_row(way: str, seed: int) -> dict[str, Any]:
    """One run of an ablation: everything as in "dynamic" but for what its name says."""
    special = {
        "pairs": next_sentence_objective,
        "30 percent": partial(dynamic_masking, rate=0.3),
    }
    objective = partial(static_masking, seed=seed) if way == "static" else special.get(way, dynamic_masking)
    torch.manual_seed(seed)
    model, begun = WithPairs(), time.process_time()
    fit(model, objective, Texts(SMALL_BATCH, seed), steps=SMALL_STEPS, seed=seed, progress=False)
    found = {"seed": seed, "steps": SMALL_STEPS} | masked_scores(model.eval())
    if way != "pairs":
        del found["pair accuracy"]
    return found | {"seconds": round(time.process_time() - begun, 1)}


def long_row(way: str, seed: int) -> dict[str, Any]:
    """Three times as long, "dynamic" or "static", with the loss on unseen text every 64 steps."""
    objective, curve = dynamic_masking if way == "dynamic" else partial(static_masking, seed=seed), {}
    torch.manual_seed(seed)
    model = WithPairs()

    def measure(step: int, *_: Any) -> None:
        if step % 64 == 0:
            curve[str(step)] = masked_scores(model)["nats"]

    steps = SMALL_STEPS * LONGER
    fit(model, objective, Texts(SMALL_BATCH, seed), steps=steps, seed=seed, progress=False, on_step=measure)
    scores = masked_scores(model.eval())
    return {"seed": seed, "steps": steps, "nats": scores["nats"], "accuracy": scores["accuracy"], "curve": curve}


def batch_row(larger: bool, factor: float, seed: int, split: str = "validation") -> dict[str, Any]:
    """Batches of 16 or of 128 texts, the same letters read; learning rates `factor` times the course's."""
    batch, steps = (SMALL_BATCH * LARGER, SMALL_STEPS // LARGER) if larger else (SMALL_BATCH, SMALL_STEPS)
    torch.manual_seed(seed)
    model = WithPairs()
    fit(model, dynamic_masking, Texts(batch, seed), steps=steps, seed=seed, optimizer=scaled(factor), progress=False)
    return {"seed": seed, "steps": steps, "factor": factor, "nats": masked_scores(model.eval(), split)["nats"]}


WAYS = ("dynamic", "static", "pairs", "30 percent")

# -- all of it ------------------------------------------------------------------------------------------------------------


def main(out: Path) -> None:
    parts = out / "parts"
    keep = lambda name, make: measure_once(parts / f"{name}.json", make)
    many = lambda name, make, seeds=SEEDS: [keep(f"{name}-{n}", partial(make, n)) for n in range(seeds)]
    rule = {name: many(name, partial(corruption_row, name == "masks alone")) for name in ("80-10-10", "masks alone")}
    ways = {way: many(way, partial(ablation_row, way), SMALL_SEEDS) for way in WAYS}
    longer = {way: many(f"long {way}", partial(long_row, way)) for way in ("dynamic", "static")}
    batches = {}
    for batch in (SMALL_BATCH, SMALL_BATCH * LARGER):
        run = partial(batch_row, batch > SMALL_BATCH)
        tuning = [keep(f"tune {batch} {factor}", partial(run, factor, 10, "test")) for factor in FACTORS]
        best = min(tuning, key=lambda row: row["nats"])["factor"]
        batches[str(batch)] = {"tuning": tuning, "runs": many(f"batch {batch}", partial(run, best))}
    models: dict[str, Any] = {}
    tuned: dict[str, Any] = {}
    for objective in ("masked", "causal"):
        tuning = {lr: keep(f"lr {objective} {lr}", partial(validation_nats, objective, lr)) for lr in LEARNING_RATES}
        tuned[objective] = {"validation nats": {str(lr): nats for lr, nats in tuning.items()}}
        tuned[objective]["best"] = min(tuning, key=tuning.get)
    for kind in OBJECTIVES:
        lr = tuned[kind.partition(",")[0]]["best"]
        models[kind] = many(kind, lambda seed, kind=kind, lr=lr: model_row(kind, seed, lr))
    made = {
        "command": "python recipes/measure.py 07",
        "date": datetime.date.today().isoformat(),
        "with": f"torch {torch.__version__.partition('+')[0]}, one thread",
        "steps": STEPS,
        "learning rates": tuned,
        "models": models,
        "ways": ways,
        "longer": longer,
        "batches": batches,
        "rule": rule,
    }
    write_table(out / "table.json", made, parts)
