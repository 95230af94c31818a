"""Make table.json: what lesson 13 compares its own run with.

Source   the definitions, emoji, recipes and novels that ship, and the three installed models
Run      python recipes/measure.py 13       Takes     about 90 minutes on one thread
Needs    scikit-learn, for the tf-idf classifier

Five ways to train MiniLM (ten topics of definitions) and four to train EfficientNet-lite0 (eight groups of emoji), and the same networks
from scratch, with 16, 64, 256 and 1,024 labels, three seeds each. The learning rate of each way was chosen on validation items with 64
labels; the number of updates is the same for all. From scratch with 1,024 labels the text model is also trained for five epochs instead
of two. SmolLM2 learns to name topics at several learning rates, by LoRA and with all weights. All accuracies
are of the same test items. Each part is kept in OUT as soon as it is done, and a second run goes on from there.
"""

import copy
import datetime
import os
import time
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from common import bag_of_words_accuracy, measure_once, write_table
from fmcourse import pretrained
from fmcourse.adaptation import count_trainable, fit_linear_probe, train_only
from fmcourse.data import load
from fmcourse.evaluation import token_nats
from fmcourse.models.heads import SequenceClassifier, mean_pool, pad_batch
from fmcourse.models.lora import add_lora
from fmcourse.models.transformer import Transformer
from fmcourse.models.vision import FEATURES, EfficientNet, extract_features, freeze_batch_norm, preprocess
from fmcourse.objectives import Loss, classification
from fmcourse.training import EpochBatches, fit
from fmcourse.training.optimizers import OptimizerConfig
from torch import Tensor, nn
from torch.nn import functional as F

SEEDS, SIZES, BATCH = 3, (16, 64, 256, 1024), 16
STEPS = {16: 30, 64: 40, 256: 60, 1024: 120}
RATES = {"last": (3e-5, 1e-4, 3e-4, 1e-3, 3e-3), "LoRA": (1e-4, 3e-4, 1e-3, 3e-3, 1e-2), "blocks": (3e-5, 1e-4, 3e-4, 1e-3, 3e-3), "full": (3e-5, 1e-4, 3e-4, 1e-3, 3e-3), "scratch": (3e-4, 1e-3)}  # fmt: skip
IMAGE_RATES = {"last": (3e-4, 1e-3, 3e-3), "full": (1e-4, 3e-4, 1e-3), "scratch": (1e-3, 3e-3)}
TARGETS = ("q", "k", "v", "out", "up", "down")
LONG_STEPS, LONG_RATES = 320, (3e-4,)  # from scratch with 1,024 labels: five epochs
N_VALIDATION = 300  # texts on which a learning rate is chosen
SIDE = 64  # to which emoji are enlarged

optimizer_config = lambda lr: OptimizerConfig(matrix_optimizer="adamw", lr=lr, weight_decay=0.01, warmup=0.1)
accuracy_of = lambda right: round(right.float().mean().item(), 4)


def sample_rows(items: Any, n: int, seed: int) -> list[int]:
    """Rows that get a label; those of 16 are among those of 64, and so on."""
    return torch.randperm(len(items), generator=torch.Generator().manual_seed(seed))[:n].tolist()


# -- texts ----------------------------------------------------------------------------------------------------------------


@lru_cache
def minilm() -> tuple[Transformer, Any]:
    return pretrained.load("minilm-l6")


@lru_cache
def topics() -> tuple[str, ...]:
    return tuple(sorted({item.topic for item in load("topics").train}))


@lru_cache
def rows(split: str) -> list[tuple[list[int], int]]:
    return [(minilm()[1].encode(item.text)[:64], topics().index(item.topic)) for item in getattr(load("topics"), split)]


def pad_texts(items: list[tuple[list[int], int]]) -> tuple[Tensor, ...]:
    return *pad_batch([ids for ids, _ in items]), torch.tensor([label for _, label in items])


@torch.inference_mode()
def batched_scores(model: nn.Module, ids: list[list[int]]) -> Tensor:
    """What a model says of each text, those of like length together."""
    order, found = sorted(range(len(ids)), key=lambda n: len(ids[n])), []
    for at in range(0, len(ids), 64):
        found.append(model(*pad_batch([ids[n] for n in order[at : at + 64]])))
    return torch.cat(found)[torch.tensor(order).argsort()]


def text_accuracy(model: nn.Module, split: str, n: int | None = None) -> float:
    some = rows(split) if n is None else [rows(split)[row] for row in sample_rows(rows(split), n, 0)]
    ids, labels = zip(*some, strict=True)
    return accuracy_of(batched_scores(model, ids).argmax(-1) == torch.tensor(labels))


def adapted_model(way: str, seed: int) -> SequenceClassifier:
    """MiniLM with a head of zeros; what this way trains requires gradients."""
    torch.manual_seed(seed)
    encoder = Transformer(minilm()[0].config) if way == "scratch" else copy.deepcopy(minilm()[0])
    model = SequenceClassifier(encoder, len(topics()))
    nn.init.zeros_(model.classifier.weight)
    if way == "LoRA":
        add_lora(model, 8, 16.0, TARGETS).classifier.requires_grad_(True)
        return model
    last = ("encoder.stack.blocks.4", "encoder.stack.blocks.5")
    return train_only(
        model,
        "classifier",
        *{"last": last, "blocks": ("encoder.stack",), "full": ("encoder",), "scratch": ("encoder",), "head": ()}[way],
    )


def tune(model: nn.Module, n: int, lr: float, seed: int, steps: int | None = None) -> float:
    """CPU seconds that it took."""
    learnt, begun = [rows("train")[row] for row in sample_rows(rows("train"), n, seed)], time.process_time()
    data = EpochBatches(learnt, pad_texts, BATCH, seed, length=lambda row: len(row[0]))
    fit(model, classification, data, steps=steps or STEPS[n], seed=seed, optimizer=optimizer_config(lr), progress=False)
    model.eval()
    return time.process_time() - begun


def text_states(encoder: Transformer, ids: list[list[int]]) -> Tensor:
    return batched_scores(lambda ids, real: mean_pool(encoder.states(ids, real[:, None]), real), ids)


@lru_cache
def frozen_states(split: str) -> Tensor:
    """States of all texts of a split, by the frozen network."""
    return text_states(minilm()[0], [ids for ids, _ in rows(split)])


def rate_rows(way: str) -> dict[str, list[float]]:
    """Accuracy on validation items, with 64 labels, at each learning rate; one number for each seed."""
    n_seeds = 1 if way == "scratch" else SEEDS
    return {str(lr): [validation_accuracy(way, lr, seed) for seed in range(n_seeds)] for lr in RATES[way]}


def validation_accuracy(way: str, lr: float, seed: int) -> float:
    model = adapted_model(way, seed)
    tune(model, 64, lr, seed)
    return text_accuracy(model, "validation", N_VALIDATION)


def best(found: dict[str, list[float]]) -> float:
    return float(max(found, key=lambda lr: sum(found[lr]) / len(found[lr])))


def text_row(way: str, lr: float, n: int, seed: int) -> dict[str, Any]:
    """One run: accuracy on all test items, CPU seconds, and what became of MiniLM's old job."""
    if way == "head":
        begun = time.process_time()
        learnt = sample_rows(rows("train"), n, seed)
        known = text_states(minilm()[0], [rows("train")[row][0] for row in learnt])
        head = fit_linear_probe(known, torch.tensor([rows("train")[row][1] for row in learnt]), len(topics()))
        seconds = time.process_time() - begun
        return {"right": accuracy_of(head(frozen_states("test")).argmax(-1) == torch.tensor([label for _, label in rows("test")])), "seconds": round(seconds, 2)}  # fmt: skip
    model = adapted_model(way, seed)
    row = {
        "trained": count_trainable(model),
        "seconds": round(tune(model, n, lr, seed), 2),
        "right": text_accuracy(model, "test"),
    }
    if n == 256 and way != "scratch":
        row["old job"] = dish_recall(model.encoder)
        row["spectrum"] = spectrum(model.encoder) if way == "blocks" else None
    return row


def long_row(lr: float, seed: int) -> dict[str, Any]:
    """From scratch with 1,024 labels for five epochs: accuracy on validation, test and training items."""
    model = adapted_model("scratch", seed)
    seconds = tune(model, 1024, lr, seed, LONG_STEPS)
    learnt = [rows("train")[row] for row in sample_rows(rows("train"), 1024, seed)]
    ids, labels = zip(*learnt, strict=True)
    fitted = accuracy_of(batched_scores(model, ids).argmax(-1) == torch.tensor(labels))
    accuracies = {split: text_accuracy(model, split, N_VALIDATION if split == "validation" else None) for split in ("validation", "test")}  # fmt: skip
    return {"seed": seed, "train": fitted, "seconds": round(seconds, 2)} | accuracies


def spectrum(encoder: Transformer) -> list[float]:
    """How much of what training changed lies in the first 1, 2, 4, ... directions, the mean over the matrices of all blocks."""
    found = []
    for after, before in zip(encoder.stack.parameters(), minilm()[0].stack.parameters(), strict=True):
        if after.ndim == 2:
            squares = torch.linalg.svdvals(after - before).square()
            found.append(
                torch.stack([squares[:k].sum() / squares.sum() for k in (1, 2, 4, 8, 16, 32, 64, 128, 256, 384)])
            )
    return [round(value, 4) for value in torch.stack(found).mean(0).tolist()]


def dish_recall(encoder: Transformer) -> float:
    """MiniLM's old job: from the title of a dish to its ingredients, own list among the ten nearest."""
    dishes = [work for work in load("recipes").works_in("test") if work.ingredients][:300]
    vector = lambda said: F.normalize(text_states(encoder, [minilm()[1].encode(text)[:64] for text in said]), dim=-1)
    alike = vector([work.title for work in dishes]) @ vector([", ".join(work.ingredients) for work in dishes]).T
    return accuracy_of((alike > alike.diag()[:, None]).sum(1) < 10)


def bag_of_words_row(n: int, seed: int) -> float:
    """What counting words makes of the same labels."""
    data = load("topics")
    return bag_of_words_accuracy([data.train[row] for row in sample_rows(data.train, n, seed)], data.test)


# -- pictures -------------------------------------------------------------------------------------------------------------


@lru_cache
def images_of(split: str) -> tuple[Tensor, Tensor]:
    part = getattr(load("emoji"), split)
    return preprocess(part.pixels, SIDE), part.labels


def network(way: str, seed: int) -> EfficientNet:
    torch.manual_seed(seed)
    net = EfficientNet() if way == "scratch" else freeze_batch_norm(pretrained.load_vision())
    net.classifier = nn.Linear(FEATURES, len(load("emoji").classes))
    nn.init.zeros_(net.classifier.weight)
    parts = {"last": ("classifier", "top", "blocks.14", "blocks.15"), "full": ("",), "scratch": ("",)}[way]
    return train_only(net, *parts)


@torch.inference_mode()
def image_accuracy(net: EfficientNet, split: str) -> float:
    pictures, kinds = images_of(split)
    return accuracy_of(torch.cat([net(part) for part in pictures.split(64)]).argmax(-1) == kinds)


def image_row(way: str, lr: float, n: int, seed: int, split: str = "test") -> dict[str, Any]:
    pictures, kinds = images_of("train")
    learnt = sample_rows(kinds, n, seed)
    begun = time.process_time()
    if way == "head":
        head = fit_linear_probe(extract_features(pretrained.load_vision(), load("emoji").train.pixels[learnt], SIDE), kinds[learnt], len(load("emoji").classes))  # fmt: skip
        seconds = time.process_time() - begun
        known = extract_features(pretrained.load_vision(), getattr(load("emoji"), split).pixels, SIDE)
        return {"right": accuracy_of(head(known).argmax(-1) == images_of(split)[1]), "seconds": round(seconds, 2)}
    net = network(way, seed)
    data = EpochBatches(learnt, lambda some: (pictures[some], kinds[some]), BATCH, seed)
    fit(net, classification, data, steps=STEPS[n], seed=seed, optimizer=optimizer_config(lr), progress=False)
    seconds = time.process_time() - begun
    return {"trained": count_trainable(net), "seconds": round(seconds, 2), "right": image_accuracy(net.eval(), split)}


def image_rates() -> dict[str, dict[str, list[float]]]:
    return {
        way: {str(lr): [image_row(way, lr, 64, seed, "validation")["right"] for seed in range(SEEDS)] for lr in rates}
        for way, rates in IMAGE_RATES.items()
    }


# -- what a language model forgets ------------------------------------------------------------------------------------------

TALK = {"full": (3e-5, 1e-4, 3e-4), "LoRA": (3e-4, 1e-3, 3e-3)}
TALK_STEPS, TALK_BATCH, TALK_LABELS, TALK_ASKED = 16, 8, 64, 150


def answer_loss(
    model: Transformer, batch: tuple[Tensor, Tensor, Tensor], generator: torch.Generator | None = None
) -> Loss:
    """Nats of the answer's tokens alone."""
    ids, real, asked = batch
    nats = F.cross_entropy(model(ids[:, :-1]).mT, ids[:, 1:], reduction="none")
    counted = (asked & real)[:, 1:]
    return Loss((nats * counted).sum() / counted.sum(), {}, int(counted.sum()))


def question_rows(tokenizer: Any, items: Any) -> list[tuple[list[int], int]]:
    """A question with its answer, and where the answer begins."""
    asked = [tokenizer.encode(f"Definition: {item.text}\nTopic:") for item in items]
    return [(ids + tokenizer.encode(f" {item.topic}\n"), len(ids)) for ids, item in zip(asked, items, strict=True)]


def pad_questions(items: list[tuple[list[int], int]]) -> tuple[Tensor, Tensor, Tensor]:
    ids, real = pad_batch([row[0] for row in items])
    return ids, real, torch.arange(ids.shape[1]) >= torch.tensor([row[1] for row in items])[:, None]


def question_row(way: str, lr: float, seed: int) -> dict[str, float]:
    """SmolLM2 before and after it learnt to name topics: how many it names, and what Austen's next word costs it."""
    from fmcourse.prompting import label_scores

    torch.manual_seed(seed)
    model, tokenizer = pretrained.load("smollm2-135m-instruct")
    data = load("topics")
    learnt = question_rows(tokenizer, [data.train[row] for row in sample_rows(data.train, TALK_LABELS, seed)])
    if way == "LoRA":
        add_lora(model, 8, 16.0, ("q", "v"))
    if way != "before":
        fit(model, answer_loss, EpochBatches(learnt, pad_questions, TALK_BATCH, seed, length=lambda row: len(row[0])), steps=TALK_STEPS, seed=seed, optimizer=optimizer_config(lr), progress=False)  # fmt: skip
    model.eval()
    some = [data.test[row] for row in sample_rows(data.test, TALK_ASKED, 0)]
    said = label_scores(model, tokenizer, [f"Definition: {item.text}\nTopic:" for item in some], [f" {name}" for name in topics()])  # fmt: skip
    novel = tokenizer.encode(load("austen").validation[:12_000])[:2_500]
    named = said.argmax(1) == torch.tensor([topics().index(item.topic) for item in some])
    return {"right": accuracy_of(named), "nats": round(token_nats(model, novel, context=512, batch=4)[1:].mean().item(), 4), "trained": count_trainable(model)}  # fmt: skip


# -- all of it --------------------------------------------------------------------------------------------------------------


def main(out: Path) -> None:
    parts = out / "parts"
    get = lambda name, make, *given: measure_once(parts / f"{name}.json", partial(make, *given))
    rates = {way: get(f"rates-{way}", rate_rows, way) for way in RATES}
    picture = get("picture_rates", image_rates)
    chosen = {way: best(found) for way, found in rates.items()} | {"head": 0.0}
    chosen_pictures = {way: best(found) for way, found in picture.items()} | {"head": 0.0}
    long_rates = {str(lr): get(f"long-{lr}-0", long_row, lr, 0) for lr in LONG_RATES}
    long = max(LONG_RATES, key=lambda lr: long_rates[str(lr)]["validation"])
    runs = lambda name, make, ways, rate: {
        way: {str(n): [get(f"{name}-{way}-{n}-{seed}", make, way, rate[way], n, seed) for seed in range(SEEDS)] for n in SIZES}
        for way in ways
    }  # fmt: skip
    measured = {
        "command": "python recipes/measure.py 13",
        "date": datetime.date.today().isoformat(),
        "with": f"torch {torch.__version__.partition('+')[0]}, one thread",
        "steps": {str(n): steps for n, steps in STEPS.items()}, "batch": BATCH, "chosen": chosen, "chosen_pictures": chosen_pictures,
        "rates": rates, "picture_rates": picture,
        "pictures": runs("pictures", image_row, ("head", "last", "full", "scratch"), chosen_pictures),
        "texts": runs("texts", text_row, ("head", "last", "LoRA", "blocks", "full", "scratch"), chosen),
        "words": {str(n): [bag_of_words_row(n, seed) for seed in range(SEEDS)] for n in SIZES},
        "old job": dish_recall(minilm()[0]),
        "long": {"steps": LONG_STEPS, "chosen": long, "rates": long_rates, "runs": [long_rates[str(long)], *(get(f"long-{long}-{seed}", long_row, long, seed) for seed in range(1, SEEDS))]},
        "talk": {"before": get("talk-before", question_row, "before", 0.0, 0)}
        | {way: {str(lr): [get(f"talk-{way}-{lr}-{seed}", question_row, way, lr, seed) for seed in range(SEEDS)] for lr in rates} for way, rates in TALK.items()},
    }  # fmt: skip
    write_table(out / "table.json", measured, parts)
