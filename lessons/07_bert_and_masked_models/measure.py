"""Make table.json: what lesson 07 compares its own run with.

Source   the recipes that ship
Run      python recipes/measure.py 07       Takes     about 28 minutes on one thread

The lesson trains a masked model of its own. Here are three seeds of it, and one run with learned positions alone; three seeds of the
package's masked model and of its causal counterpart; and five seeds of what RoBERTa changed in BERT, on a smaller model. Each part is kept
in OUT as soon as it is done, and a second run goes on from there.
"""

import ast
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
from fmcourse.course.library import find_exercise
from fmcourse.data import load
from fmcourse.models.transformer import Transformer, modern
from fmcourse.objectives import Loss, mask_tokens, masked_token, next_token
from fmcourse.training import RandomCrops, fit
from fmcourse.training.optimizers import MUON
from torch import Tensor, nn
from torch.nn import functional as F

# -- masked or causal -------------------------------------------------------------------------------------------------------

T, BATCH, STEPS, SEEDS = 64, 8, 1400, 3  # letters in a text, texts in a batch
MASK_RATE = 0.3  # see the rates among the ablations below
SHAPE = {"vocab_size": 28, "context": 160, "width": 64, "depth": 3, "heads": 2}
MASK = 27  # a space is 0, a to z are 1 to 26
N_WINDOWS = 3000  # unseen windows, one letter of each


def letters(text: str) -> Tensor:
    """What is not a letter from a to z becomes a space, and a run of spaces one."""
    return torch.tensor([0 if c == " " else ord(c) - 96 for c in re.sub("[^a-z]+", " ", text.lower())])


@lru_cache
def book_letters(split: str) -> Tensor:
    return letters(getattr(load("recipes"), split))


def train_model(causal: bool, seed: int) -> Transformer:
    """The package's Transformer, masked or causal: same shape, steps, crops and optimizer."""
    torch.manual_seed(seed)
    model = Transformer(modern(**SHAPE, causal=causal))
    objective = next_token if causal else partial(masked_token, mask_id=MASK, mask_rate=MASK_RATE)
    data = RandomCrops(book_letters("train"), length=T + causal, batch=BATCH, seed=seed)
    fit(model, objective, data, steps=STEPS, seed=seed, optimizer=MUON, progress=False)
    return model.eval()


def windows() -> Tensor:
    """Unseen texts with a letter to predict in the middle, (N_WINDOWS, T)."""
    return RandomCrops(book_letters("validation"), length=T, batch=N_WINDOWS, seed=1)[0]


@torch.inference_mode()
def fill_accuracy(model: Transformer, causal: bool) -> dict[str, float]:
    """Accuracy on the letters in the middle, in one pass."""
    texts, at = windows(), T // 2
    logits = model(texts[:, :at])[:, -1] if causal else model(mask_at(texts, at))[:, at]
    logits, truth = logits[:, :27], texts[:, at]
    return {"accuracy": accuracy(logits.argmax(-1) == truth), "nats": round(F.cross_entropy(logits, truth).item(), 4)}


def mask_at(texts: Tensor, at: int) -> Tensor:
    return texts.index_fill(1, torch.tensor([at]), MASK)


def accuracy(right: Tensor) -> float:
    return round(right.float().mean().item(), 4)


@torch.inference_mode()
def rescore_accuracy(model: Transformer, n: int = 400) -> float:
    """Each of the 27 letters is put in, and the whole text scored by the causal model: 27 passes."""
    texts, at = windows()[:n], T // 2
    scores = []
    for letter in range(27):
        put = texts.index_fill(1, torch.tensor([at]), letter)
        scores.append(F.cross_entropy(model(put[:, :-1]).mT, put[:, 1:], reduction="none").sum(1))
    return accuracy(torch.stack(scores, 1).argmin(1) == texts[:, at])


def masked_row(seed: int) -> dict[str, Any]:
    """A masked model, with its seconds of the processor."""
    begun = time.process_time()
    model = train_model(False, seed)
    return {"seed": seed} | fill_accuracy(model, False) | {"seconds": round(time.process_time() - begun)}


@lru_cache
def lesson_code() -> dict[str, Any]:
    """The masking rule, the model and the loss of the lesson's own cells."""
    code: dict[str, Any] = {"torch": torch, "nn": nn, "F": F, "MASK": MASK}
    tree = ast.parse(Path(__file__).with_name("lesson.py").read_text(encoding="utf-8"))
    names = ("mask_tokens", "EncoderBlock", "rotate", "BERT")
    tree.body = [node for node in tree.body if getattr(node, "name", None) in names]
    exec(compile(tree, "lesson.py", "exec"), code)
    exec(find_exercise("07.1").solution, code)  # masked_loss
    return code


def own_row(seed: int, rotary: bool = True) -> dict[str, Any]:
    """The lesson's own model, trained as in its section 3, where the seed is 0; its validation loss, and blanks filled."""
    code, generator = lesson_code(), torch.Generator().manual_seed(seed)
    crops = RandomCrops(book_letters("train"), length=T, batch=BATCH, seed=seed)
    torch.manual_seed(seed)
    model = code["BERT"](28, context=T, width=64, depth=3, heads=2, rotary=rotary)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.98), weight_decay=0.01)
    rate = lambda step: min((step + 1) / (0.05 * STEPS), 1 - step / STEPS)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    for step in range(STEPS):
        ids = crops[step]
        inputs, selected = code["mask_tokens"](ids, MASK_RATE, generator)
        optimizer.zero_grad()
        code["masked_loss"](model(inputs), ids, selected).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    held_out = RandomCrops(book_letters("test"), length=T, batch=200, seed=0)[0]
    inputs, selected = code["mask_tokens"](held_out, MASK_RATE, torch.Generator().manual_seed(0))
    with torch.inference_mode():
        validation = code["masked_loss"](model(inputs), held_out, selected).item()
    return {"seed": seed, "validation": round(validation, 4)} | fill_accuracy(model, False)


def causal_row(seed: int) -> dict[str, Any]:
    model = train_model(True, seed)
    return {"seed": seed} | fill_accuracy(model, True) | {"accuracy in 27 passes": rescore_accuracy(model)}


# -- what RoBERTa changed ----------------------------------------------------------------------------------------------------

SMALL = {"vocab_size": 29, "context": T, "width": 64, "depth": 2, "heads": 2}
END = 28  # between two texts
SMALL_STEPS, SMALL_BATCH, SMALL_SEEDS, LARGER, LONGER = 256, 16, 5, 8, 3
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


@torch.inference_mode()
def masked_scores(model: WithPairs) -> dict[str, float]:
    """Unseen texts, 15 % of the letters as [MASK], whatever the training did; and the accuracy on pairs."""
    texts = RandomCrops(book_letters("validation"), length=T, batch=1000, seed=2)[0]
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


def large_batch_row(seed: int) -> dict[str, Any]:
    """Batches of 128 texts, the same letters read, and the learning rates doubled."""
    steps, data = SMALL_STEPS // LARGER, Texts(SMALL_BATCH * LARGER, seed)
    doubled = replace(MUON, lr=2 * MUON.lr, matrix_lr=2 * MUON.matrix_lr)
    torch.manual_seed(seed)
    model = WithPairs()
    fit(model, dynamic_masking, data, steps=steps, seed=seed, optimizer=doubled, progress=False)
    return {"seed": seed, "steps": steps, "nats": masked_scores(model.eval())["nats"]}


WAYS = ("dynamic", "static", "pairs", "30 percent")

# -- all of it ------------------------------------------------------------------------------------------------------------


def main(out: Path) -> None:
    parts = out / "parts"
    keep = lambda name, make: measure_once(parts / f"{name}.json", make)
    many = lambda name, make, seeds=SEEDS: [keep(f"{name}-{n}", partial(make, n)) for n in range(seeds)]
    rule = {name: many(name, partial(corruption_row, name == "masks alone")) for name in ("80-10-10", "masks alone")}
    ways = {way: many(way, partial(ablation_row, way), SMALL_SEEDS) for way in WAYS}
    longer = {way: many(f"long {way}", partial(long_row, way)) for way in ("dynamic", "static")}
    made = {
        "command": "python recipes/measure.py 07",
        "date": datetime.date.today().isoformat(),
        "with": f"torch {torch.__version__.partition('+')[0]}, one thread",
        "steps": STEPS,
        "own": many("own", own_row),
        "own, learned positions": many("learned positions", partial(own_row, rotary=False), 1),
        "masked": many("masked", masked_row),
        "causal": many("causal", causal_row),
        "ways": ways,
        "longer": longer,
        "larger": many("larger", large_batch_row, SMALL_SEEDS),
        "rule": rule,
    }
    write_table(out / "table.json", made, parts)
