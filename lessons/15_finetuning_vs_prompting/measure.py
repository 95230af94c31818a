"""Make table.json: fine-tuning and prompting with the same labels, on the same test items.

Source   the opinions, definitions, tasks and novels that ship, and the installed SmolLM2-135M-Instruct and MiniLM-L6
Run      python recipes/measure.py 15       Takes     about 90 minutes on one thread

Two tasks, 200 test items each, the same for every method. Labelled examples are drawn once a seed: those of 16 are among those of 64, and
those among 256. All hyperparameters were chosen on validation items: wordings for each task, zero-shot and
behind 16 examples; learning rates with the labels of seed 0, 16 for SmolLM2, 64 for MiniLM, and for generated answers on two of the
six tasks. Each part is kept in OUT as soon as it is done, and a second run goes on from there.
"""

import copy
import datetime
import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from common import measure_once, write_table
from fmcourse import pretrained
from fmcourse.adaptation import count_trainable, fit_linear_probe, train_only
from fmcourse.adaptation.soft_prompts import SoftPrompt
from fmcourse.data import load
from fmcourse.evaluation import token_nats
from fmcourse.models.heads import SequenceClassifier, mean_pool, pad_batch
from fmcourse.models.lora import add_lora
from fmcourse.models.transformer import Transformer
from fmcourse.objectives import Loss, classification
from fmcourse.prompting import calibrate, few_shot_prompt, format_query, generate_answers, label_scores
from fmcourse.training import EpochBatches, fit
from fmcourse.training.optimizers import OptimizerConfig
from torch import Tensor, nn
from torch.nn import functional as F

SEEDS, TEST_ITEMS, VALIDATION_ITEMS, BATCH = 3, 200, 120, 8
SIZES = {"opinions": (4, 16, 64, 256), "topics": (16, 64, 256)}  # labelled examples
LONGEST = 10  # words of a definition: longer ones cost more and show nothing else
STEPS = {4: 12, 16: 16, 64: 28, 256: 48}
SMALL_STEPS = {16: 30, 64: 40, 256: 80}  # of MiniLM, in batches of 16, as in lesson 13
BLANKS = ("N/A", "", "[MASK]")  # inputs without content: Zhao et al. 2021, section 5
RATES = {"LoRA": (5e-4, 2e-3, 5e-3), "full fine-tuning": (1e-5, 3e-5, 1e-4, 3e-4), "soft prompt": (0.03, 0.1, 0.3, 1.0)}
SMALL_RATES = {"MiniLM blocks": (3e-5, 1e-4, 3e-4, 1e-3), "from scratch": (1e-4, 3e-4, 1e-3)}
VECTORS, MOST_SHOTS = 20, 64  # of a soft prompt; examples in a prompt: of 256 definitions not all fit the context

optimizer_config = lambda lr: OptimizerConfig(matrix_optimizer="adamw", lr=lr, weight_decay=0.01, warmup=0.1)
Example = tuple[str, int]  # a text, and which label


# -- tasks ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Task:
    """A question, the words that may answer it, and items: text and number of the word."""

    ask: str
    words: tuple[str, ...]
    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    test: tuple[Example, ...]

    def query(self, text: str) -> str:
        return self.ask.format(text)

    def shown(self, examples: Sequence[Example]) -> str:
        """Examples with their labels, one after another, as the text before a query."""
        return "".join(f"{self.query(text)} {self.words[label]}\n\n" for text, label in examples)


TOPICS = {
    "act": "action", "animal": "animal", "artifact": "object", "body": "body", "communication": "language", "food": "food",
    "location": "place", "person": "person", "plant": "plant", "substance": "substance",
}  # fmt: skip
WORDINGS = {
    "opinions": ("Word: {}\nSentiment:", "Word: {}\nOpinion:", "Review: {}\nSentiment:", "The word {} sounds"),
    "topics": ("Definition: {}\nTopic:", "Definition: {}\nCategory:", "{}\nThis is a kind of", "{}\nWhat is it? It is a kind of"),
}  # fmt: skip
CHOSEN_WORDINGS = {
    "opinions": (0, 3),
    "topics": (3, 3),
}  # without an example, and behind some: what `wordings` finds best


def sample_items(items: Sequence[Any], n: int | None, seed: int) -> list[Any]:
    order = torch.randperm(len(items), generator=torch.Generator().manual_seed(seed)).tolist()
    return [items[at] for at in order[:n]]


@lru_cache
def task(name: str, behind_examples: bool = False, wording: int | None = None) -> Task:
    data, ask = load(name), WORDINGS[name][CHOSEN_WORDINGS[name][behind_examples] if wording is None else wording]
    words = ("negative", "positive") if name == "opinions" else tuple(TOPICS.values())
    label = (lambda item: words.index(item.label)) if name == "opinions" else (lambda item: words.index(TOPICS[item.topic]))  # fmt: skip
    split = lambda part: tuple(
        (item.text, label(item)) for item in getattr(data, part) if len(item.text.split()) <= LONGEST
    )
    test, validation = (
        sample_items(split("test"), TEST_ITEMS, 0),
        sample_items(split("validation"), VALIDATION_ITEMS, 0),
    )
    return Task(ask, words, split("train"), tuple(validation), tuple(test))


def examples(name: str, n: int, seed: int, labels: Sequence[int] | None = None) -> list[Example]:
    """The n labelled examples of a seed: label by label in turn, so that even a few show them all; fewer are the first of more."""
    kinds = sample_items(labels or range(len(task(name).words)), None, seed)
    pools = {
        kind: iter([item for item in sample_items(task(name).train, None, seed) if item[1] == kind]) for kind in kinds
    }
    return [next(pools[kinds[at % len(kinds)]]) for at in range(n)]


def mix_examples(items: list[Example], seed: int) -> list[Example]:
    """In another order, so that labels do not come in turn."""
    return random.Random(seed).sample(items, len(items))


accuracy = lambda said, items: round(sum(a == label for a, (_, label) in zip(said, items, strict=True)) / len(items), 4)


# -- prompting ------------------------------------------------------------------------------------------------------------


@lru_cache
def smollm2() -> tuple[Transformer, Any]:
    return pretrained.load("smollm2-135m-instruct")


def fresh_model() -> Transformer:
    return copy.deepcopy(smollm2()[0])


def answer_row(model: Transformer, of: Task, items: Sequence[Example], shared: Any = "") -> dict[str, Any]:
    """Predictions by label scores, raw and calibrated; tokens and CPU seconds an answer."""
    tokenizer, words = smollm2()[1], [f" {word}" for word in of.words]
    begun = time.process_time()
    scores = label_scores(model, tokenizer, [of.query(text) for text, _ in items], words, shared=shared)
    seconds = (time.process_time() - begun) / len(items)
    blank = label_scores(model, tokenizer, [of.query(text) for text in BLANKS], words, shared=shared)
    raw, fair = scores.argmax(1).tolist(), calibrate(scores, blank).argmax(1).tolist()
    own = sum(len(tokenizer.encode(of.query(text))) for text, _ in items) / len(items)
    before = len(tokenizer.encode(shared)) if isinstance(shared, str) else shared.length
    return {"accuracy": accuracy(raw, items), "accuracy calibrated": accuracy(fair, items),
            "predictions": "".join(map(str, raw)), "predictions calibrated": "".join(map(str, fair)),
            "tokens": round(own + before, 1), "shared": before, "seconds an answer": round(seconds, 4)}  # fmt: skip


def fitting_examples(of: Task, some: Sequence[Example]) -> str:
    """As many of the examples as leave room for a question."""
    tokenizer, room = smollm2()[1], smollm2()[0].config.context - 64
    n = len(some)
    while len(tokenizer.encode(of.shown(some[:n]))) > room:
        n -= 1
    return of.shown(some[:n])


def prompting_row(name: str, n: int, seed: int) -> dict[str, Any]:
    of = task(name, n > 0)
    shared = fitting_examples(of, mix_examples(examples(name, n, seed), seed)) if n else ""
    return answer_row(smollm2()[0], of, of.test, shared) | {"examples": shared.count("\n\n"), "bytes": len((shared + of.ask).encode())}  # fmt: skip


def wordings(name: str) -> list[dict[str, list[float]]]:
    """Each wording on validation items, calibrated: without an example, and behind 16 in three draws."""
    found = []
    for n in range(len(WORDINGS[name])):
        of = task(name, wording=n)
        behind = lambda shared, of=of: answer_row(smollm2()[0], of, of.validation, shared)["accuracy calibrated"]
        draws = [fitting_examples(of, mix_examples(examples(name, 16, seed), seed)) for seed in range(SEEDS)]
        found.append({"zero-shot": [behind("")], "16": [behind(shared) for shared in draws]})
    return found


def best_wordings(found: list[dict[str, list[float]]]) -> tuple[int, ...]:
    return tuple(max(range(len(found)), key=lambda n: sum(found[n][shots])) for shots in ("zero-shot", "16"))


# -- fine-tuning the language model -----------------------------------------------------------------------------------------


def answer_lines(of: Task, some: Sequence[Example]) -> list[tuple[list[int], int]]:
    """Question with answer, as ids, and how many of them are the question's."""
    encode = smollm2()[1].encode
    return [
        (encode(of.query(text)) + encode(f" {of.words[label]}"), len(encode(of.query(text)))) for text, label in some
    ]


def pad_answers(rows: list[tuple[list[int], int]]) -> tuple[Tensor, Tensor]:
    """Ids (B, T), and which of them are an answer's."""
    ids, real = pad_batch([ids for ids, _ in rows])
    return ids, real & (torch.arange(ids.shape[1]) >= torch.tensor([first for _, first in rows])[:, None])


def answer_loss(model: nn.Module, batch: tuple[Tensor, Tensor], generator: torch.Generator | None = None) -> Loss:
    """Next-token loss, where the next token is the answer's. The head, the expensive part, is computed only there."""
    ids, wanted = batch
    states = model.states(ids[:, :-1])[wanted[:, 1:]]
    head = model.model.head if isinstance(model, SoftPrompt) else model.head
    return Loss(F.cross_entropy(head(states), ids[wanted]), {}, int(wanted.sum()))


def adapted_model(way: str, seed: int) -> nn.Module:
    """SmolLM2, prepared for one way of training; only what will be trained requires gradients."""
    torch.manual_seed(seed)
    if way == "soft prompt":
        return SoftPrompt(fresh_model(), VECTORS)
    return add_lora(fresh_model(), 8, 16.0, ("q", "v")) if way == "LoRA" else fresh_model().requires_grad_(True)


def fine_tune(model: nn.Module, rows: list[tuple[list[int], int]], steps: int, lr: float, seed: int) -> float:
    """CPU seconds that it took."""
    begun = time.process_time()
    data = EpochBatches(rows, pad_answers, BATCH, seed, length=lambda row: len(row[0]))
    fit(model, answer_loss, data, steps=steps, seed=seed, optimizer=optimizer_config(lr), progress=False)
    model.eval()
    return round(time.process_time() - begun, 1)


def training_row(way: str, lr: float, name: str, n: int, seed: int, split: str = "test") -> dict[str, Any]:
    """One training of SmolLM2 and its predictions; with 64 labels also what it forgot."""
    of, model = task(name), adapted_model(way, seed)
    row = {
        "seconds": fine_tune(model, answer_lines(of, examples(name, n, seed)), STEPS[n], lr, seed),
        "trained": count_trainable(model),
    }
    inner, shared = (model.model, model.new_cache()) if way == "soft prompt" else (model, "")
    row |= answer_row(inner, of, getattr(of, split), shared)
    return (
        row | {"bytes": 4 * row["trained"]} | (other_jobs(name, inner, shared) if n == 64 and split == "test" else {})
    )


def other_jobs(name: str, model: Transformer, shared: Any = "") -> dict[str, float]:
    """The trained model on the other task, which it was not trained on, and on a novel."""
    other = task("topics" if name == "opinions" else "opinions")
    return {
        "other task": answer_row(model, other, other.test, shared)["accuracy calibrated"],
        "nats per token of Austen": austen_nats(model),
    }


def austen_nats(model: Transformer) -> float:
    """Nats a token of unseen Austen."""
    ids = smollm2()[1].encode(load("austen").validation[:8000])[:1025]
    return round(token_nats(model, ids, context=512, batch=2)[1:].mean().item(), 4)


def rates(way: str) -> dict[str, list[float]]:
    """Accuracy on validation items with the 16 labels of seed 0, for each learning rate, task by task."""
    return {
        str(lr): [training_row(way, lr, name, 16, 0, "validation")["accuracy"] for name in WORDINGS]
        for lr in RATES[way]
    }


# -- heads and the small encoder --------------------------------------------------------------------------------------------


@lru_cache
def minilm() -> tuple[Transformer, Any]:
    return pretrained.load("minilm-l6")


@torch.inference_mode()
def run_batches(model: Callable[..., Tensor], rows: Sequence[list[int]]) -> Tensor:
    """Those of like length together."""
    order = sorted(range(len(rows)), key=lambda n: len(rows[n]))
    found = [model(*pad_batch([rows[n] for n in order[at : at + 32]])) for at in range(0, len(rows), 32)]
    return torch.cat(found)[torch.tensor(order).argsort()]


def text_states(who: str, of: Task, items: Sequence[Example]) -> Tensor:
    """Features of each text from a frozen model: the mean state of MiniLM, the state of SmolLM2 from which the answer would come."""
    if who == "MiniLM":
        encoder, pieces = minilm()
        read = lambda ids, real: mean_pool(encoder.states(ids, real[:, None]), real)
        return run_batches(read, [pieces.encode(text)[:64] for text, _ in items])
    model, tokenizer = smollm2()
    last = lambda ids, real: model.states(ids)[torch.arange(len(ids)), real.sum(1) - 1]
    return run_batches(last, [tokenizer.encode(of.query(text)) for text, _ in items])


@lru_cache
def test_states(who: str, name: str) -> tuple[Tensor, float]:
    begun = time.process_time()
    found = text_states(who, task(name), task(name).test)
    return found, (time.process_time() - begun) / TEST_ITEMS


def head_row(who: str, name: str, n: int, seed: int) -> dict[str, Any]:
    of, some = task(name), examples(name, n, seed)
    known, seconds = test_states(who, name)
    begun = time.process_time()
    head = fit_linear_probe(text_states(who, of, some), torch.tensor([label for _, label in some]), len(of.words))
    spent = time.process_time() - begun
    said = head(known).argmax(1).tolist()
    size = sum(weight.numel() for weight in head.parameters())
    encode = smollm2()[1].encode if who == "SmolLM2" else minilm()[1].encode
    tokens = sum(len(encode(of.query(text) if who == "SmolLM2" else text)) for text, _ in of.test) / TEST_ITEMS
    return {"accuracy": accuracy(said, of.test), "predictions": "".join(map(str, said)), "seconds": round(spent, 2), "trained": size, "bytes": 4 * size,
            "tokens": round(tokens, 1), "seconds an answer": round(seconds, 4)}  # fmt: skip


def encoder_row(way: str, lr: float, name: str, n: int, seed: int, split: str = "test") -> dict[str, Any]:
    """All of MiniLM trained (but for its word vectors), or the same network from random weights."""
    of, pieces = task(name), minilm()[1]
    torch.manual_seed(seed)
    encoder = Transformer(minilm()[0].config) if way == "from scratch" else copy.deepcopy(minilm()[0])
    model = SequenceClassifier(encoder, len(of.words))
    nn.init.zeros_(model.classifier.weight)
    train_only(model, "classifier", "encoder" if way == "from scratch" else "encoder.stack")
    rows = [(pieces.encode(text)[:64], label) for text, label in examples(name, n, seed)]
    texts = lambda some: (*pad_batch([ids for ids, _ in some]), torch.tensor([label for _, label in some]))
    begun = time.process_time()
    data = EpochBatches(rows, texts, 16, seed, length=lambda row: len(row[0]))
    fit(model, classification, data, steps=SMALL_STEPS[n], seed=seed, optimizer=optimizer_config(lr), progress=False)
    model.eval()
    spent, items = time.process_time() - begun, getattr(of, split)
    begun = time.process_time()
    said = run_batches(model, [pieces.encode(text)[:64] for text, _ in items]).argmax(1).tolist()
    each = (time.process_time() - begun) / len(items)
    return {"accuracy": accuracy(said, items), "predictions": "".join(map(str, said)), "seconds": round(spent, 2), "trained": count_trainable(model), "bytes": 4 * count_trainable(model),
            "seconds an answer": round(each, 4)}  # fmt: skip


def small_rates(way: str) -> dict[str, list[float]]:
    return {
        str(lr): [encoder_row(way, lr, name, 64, 0, "validation")["accuracy"] for name in WORDINGS]
        for lr in SMALL_RATES[way]
    }


# -- classes without labels ----------------------------------------------------------------------------------------------------------


def missing_labels_row(way: str, n: int, seed: int, lr: float) -> dict[str, float]:
    """Labels for five classes only, all ten may be the answer: accuracy on these five, and on the other five."""
    of, known = task("topics"), sorted(sample_items(range(10), 5, seed))
    some = examples("topics", n, seed, known) if n else []
    if way == "linear probe":
        head = fit_linear_probe(text_states("MiniLM", of, some), torch.tensor([label for _, label in some]), 10)
        said = {"": head(test_states("MiniLM", "topics")[0]).argmax(1).tolist()}
    else:
        model = adapted_model(way, seed) if way == "LoRA" else smollm2()[0]
        if way == "LoRA":
            fine_tune(model, answer_lines(of, some), STEPS[n], lr, seed)
        behind = task("topics", way == "few-shot")
        shared = behind.shown(mix_examples(some, seed)) if way == "few-shot" else ""
        row = answer_row(model, behind, behind.test, shared)
        said = {"": row["predictions"], " calibrated": row["predictions calibrated"]}
    correct = lambda text, part: [int(a) == label for a, (_, label) in zip(text, of.test, strict=True) if (label in known) == part]  # fmt: skip
    return {part + how: round(sum(correct(text, at)) / len(correct(text, at)), 4)
            for how, text in said.items() for part, at in (("labelled", True), ("unlabelled", False))}  # fmt: skip


# -- six tasks: one model, or an adapter each --------------------------------------------------------------------------------------

SIX, SHOTS, WRITTEN = ("capital", "antonym", "past tense", "plural", "French", "first letter"), 16, 54
ARROW = {
    "input_prefix": "",
    "output_prefix": "->",
    "separator": " ",
}  # the best of three ways to write them on validation items: lesson_14.py
NAMED_FORMS = {
    "capital": "The capital of ", "antonym": "The opposite of ", "past tense": "The past tense of ", "plural": "The plural of ",
    "French": "In French, ", "first letter": "The first letter of ",
}  # fmt: skip


def pairs(name: str, split: str) -> list[tuple[str, str]]:
    return [(item.given, item.answer) for item in getattr(load("tasks"), split) if item.task == name]


def generation_row(
    way: str, lr: float, name: str, seed: int, n: int = SHOTS, steps: int = 0, split: str = "test"
) -> dict[str, Any]:
    """Exact match, with the same examples in the prompt of the frozen model, or in the training of an adapter.

    "named": the prompt names the task, "The plural of mouse is"; else only the examples show it, "mouse ->".
    """
    tokenizer, some, test = smollm2()[1], sample_items(pairs(name, "train"), n, seed), sample_items(pairs(name, split), WRITTEN, 0)  # fmt: skip
    style = {"input_prefix": NAMED_FORMS[name], "output_prefix": "is", "separator": " "} if "named" in way else ARROW
    ids = lambda given: tokenizer.encode(format_query(given, **style))
    model, shared, row = smollm2()[0], few_shot_prompt(some, **style) if "few-shot" in way else "", {"seconds": 0.0}
    if "LoRA" in way:
        model = adapted_model("LoRA", seed)
        taught = [(ids(given) + tokenizer.encode(f" {said}\n"), len(ids(given))) for given, said in some]
        row = {"seconds": fine_tune(model, taught, steps or STEPS[n], lr, seed)}
    begun = time.process_time()
    said = generate_answers(model, tokenizer, [ids(given) for given, _ in test], shared=shared, max_new_tokens=8)
    spent = time.process_time() - begun
    hits = [text.strip() == wanted for text, (_, wanted) in zip(said, test, strict=True)]
    tokens = len(tokenizer.encode(shared)) + sum(len(ids(given)) for given, _ in test) / len(test)
    size = 4 * count_trainable(model) if "LoRA" in way else len(shared.encode())
    return row | {"bytes": size, "accuracy": round(sum(hits) / len(hits), 4), "correct": "".join("01"[hit] for hit in hits),
                  "tokens": round(tokens, 1), "seconds an answer": round(spent / len(test), 4)}  # fmt: skip


# -- all of it --------------------------------------------------------------------------------------------------------------


def written_rates() -> dict[str, list[float]]:
    """As `rates`, where the answer is generated: two of the six tasks, named or not."""
    jobs = [(way, name) for way in ("LoRA", "LoRA, named") for name in ("past tense", "capital")]
    return {
        str(lr): [generation_row(way, lr, name, 0, split="validation")["accuracy"] for way, name in jobs]
        for lr in RATES["LoRA"]
    }


def best(found: dict[str, list[float]]) -> float:
    return float(max(found, key=lambda lr: sum(found[lr])))


def main(out: Path) -> None:
    parts = out / "parts"
    get = lambda name, make, *given: measure_once(parts / f"{name}.json", partial(make, *given))
    measured: dict[str, Any] = {
        "command": "python recipes/measure.py 15",
        "date": datetime.date.today().isoformat(),
        "with": f"torch {torch.__version__.partition('+')[0]}, one thread",
        "test items": TEST_ITEMS, "sizes": SIZES, "steps": {str(n): steps for n, steps in STEPS.items()}, "batch": BATCH,
        "wordings": {name: get(f"wordings-{name}", wordings, name) for name in WORDINGS},
        "pretrained": get("pretrained", lambda: {"nats per token of Austen": austen_nats(smollm2()[0])}),
    }  # fmt: skip
    for name, found in measured["wordings"].items():
        if best_wordings(found) != CHOSEN_WORDINGS[name]:
            raise ValueError(
                f"the best wordings of {name} on validation items are {best_wordings(found)}: put that into CHOSEN."
            )
    tasks: dict[str, Any] = {
        name: {"zero-shot": [get(f"{name}-zero-shot", prompting_row, name, 0, 0)]} for name in SIZES
    }

    def add(way: str, make: Callable[..., Any], least: int = 0, most: int = 256) -> None:
        """One method on every task, with every number of labels between two, for three seeds."""
        for name, sizes in SIZES.items():
            for n in [n for n in sizes if least <= n <= most]:
                found = [get(f"{name}-{way}-{n}-{seed}", make, name, n, seed) for seed in range(SEEDS)]
                tasks[name].setdefault(way, {})[str(n)] = found

    for way, who in (("linear probe", "MiniLM"), ("SmolLM2 probe", "SmolLM2")):
        add(way, partial(head_row, who))
    add("few-shot", prompting_row, most=MOST_SHOTS)
    tried = {"LoRA": get("rates-LoRA", rates, "LoRA"), "LoRA, generation": get("rates-written", written_rates)}
    rate, writing = best(tried["LoRA"]), best(tried["LoRA, generation"])
    add("LoRA", partial(training_row, "LoRA", rate))
    measured["classes without labels"] = {
        way: [get(f"unlabelled-{way}-{seed}", missing_labels_row, way, n, seed, rate) for seed in range(SEEDS)]
        for way, n in (("zero-shot", 0), ("few-shot", 16), ("linear probe", 16), ("LoRA", 16))
    }
    measured["six tasks"] = {
        of: {
            name: [get(f"six-{of}-{name}-{seed}", generation_row, of, writing, name, seed) for seed in range(SEEDS)]
            for name in SIX
        }
        for of in ("few-shot", "LoRA", "few-shot, named", "LoRA, named")
    }
    grown = {"few-shot": (0, 4, 16, 64), "LoRA": (16, 64)}  # one of the six, more examples
    measured["past tense"] = {
        of: {
            str(n): [
                get(f"past-{of}-{n}-{seed}", generation_row, of, writing, "past tense", seed, n)
                for seed in range(SEEDS if n else 1)
            ]
            for n in sizes
        }
        for of, sizes in grown.items()
    }
    measured["more steps"] = {  # does LoRA only lack steps? On validation items, seed 0
        str(steps): get(
            f"longer-{steps}", generation_row, "LoRA", writing, "past tense", 0, SHOTS, steps, "validation"
        )["accuracy"]
        for steps in (STEPS[SHOTS], 4 * STEPS[SHOTS])
    }
    for way in SMALL_RATES:
        tried[way] = get(f"rates-{way}", small_rates, way)
        add(way, partial(encoder_row, way, best(tried[way])), least=16)
    for way in ("soft prompt", "full fine-tuning"):
        tried[way] = get(f"rates-{way}", rates, way)
    for n in (64, 16, 256):  # the dearest last
        for way in ("soft prompt", "full fine-tuning"):
            add(way, partial(training_row, way, best(tried[way])), least=n, most=n)
    chosen = {way: best(found) for way, found in tried.items()}
    measured |= {"learning rates": tried, "chosen learning rates": chosen, "tasks": tasks}
    write_table(out / "table.json", measured, parts)
