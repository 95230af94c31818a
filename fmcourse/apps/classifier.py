"""A classifier for a dataset of your own: a pretrained network trained on it, saved, loaded, used.

    texts    MiniLM, an encoder         images   EfficientNet-lite0, a convolutional network

N items   C labels   T tokens
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load as unpack_tensors
from safetensors.torch import save as pack_tensors
from torch import Tensor, nn
from tqdm.auto import tqdm

from fmcourse.adaptation import fit_linear_probe, train_only
from fmcourse.apps.own_data import (
    IMAGE_SIZE,
    MAX_TOKENS,
    TEXT_MODEL,
    Item,
    Kind,
    OwnData,
    read_image,
)
from fmcourse.apps.report import Report, make_report
from fmcourse.data import checksum
from fmcourse.data.tables import join_first
from fmcourse.files import write_atomically, write_text
from fmcourse.models.heads import SequenceClassifier, pad_batch
from fmcourse.models.lora import add_lora
from fmcourse.models.vision import FEATURES, freeze_batch_norm, preprocess
from fmcourse.objectives import classification
from fmcourse.packages import PACKAGES
from fmcourse.pretrained import load, load_tokenizer, load_vision, truncate
from fmcourse.training import EpochBatches, History, fit
from fmcourse.training.optimizers import OptimizerConfig

BASE_MODELS = {"text": TEXT_MODEL, "images": "efficientnet-lite0"}
HEAD_NAME = "classifier"  # the new last layer, in both networks
BATCH = 16  # items in a training step
LORA_RANK, LORA_ALPHA = 8, 16.0
CARD = "classifier.json"  # the file that describes a saved classifier


class Way(NamedTuple):
    """One way to train: what is trained besides the head, and AdamW's largest learning rate."""

    parts: tuple[str, ...]
    lr: float


# Learning rates were chosen with 64 labels by lessons/13_finetuning/measure.py. Those for images
# are one third of what was best there (one to three points less): larger ones lose with 1,024.
WAYS: Mapping[str, dict[str, Way]] = {
    "text": {
        "head": Way((), 0.0),
        "last": Way(("encoder.stack.blocks.4", "encoder.stack.blocks.5"), 1e-3),
        "lora": Way(("q", "k", "v", "out", "up", "down"), 3e-3),  # targets, see models/lora.py
        "full": Way(("encoder.stack",), 3e-4),
    },
    "images": {
        "head": Way((), 0.0),
        "last": Way(("blocks.14", "blocks.15", "top"), 1e-3),
        "full": Way(("",), 3e-4),
    },
}


# -- the network ----------------------------------------------------------------------------------


def build_network(kind: Kind, way: str, num_classes: int, seed: int = 0) -> nn.Module:
    """The pretrained network with a new head of zeros; trainable is what this way trains.

    Raises: ValueError for a way that is not there for this kind of data.
    """
    if way not in WAYS[kind]:
        why = " (LoRA changes the linear layers of a Transformer; this network is convolutional)"
        raise ValueError(
            f"way={way!r} is not there for {kind}{why if way == 'lora' else ''}; "
            f"choose {', '.join(map(repr, WAYS[kind]))}."
        )
    parts = WAYS[kind][way].parts
    with torch.random.fork_rng(devices=[]):  # the caller's random stream stays where it is
        torch.manual_seed(seed)
        if kind == "text":
            model = SequenceClassifier(load(BASE_MODELS[kind])[0], num_classes)
        else:
            model = freeze_batch_norm(load_vision())
            model.classifier = nn.Linear(FEATURES, num_classes)
        if way == "lora":
            add_lora(model, LORA_RANK, LORA_ALPHA, parts)
        else:
            train_only(model, *parts)
    for weight in model.get_submodule(HEAD_NAME).requires_grad_(True).parameters():
        nn.init.zeros_(weight)
    return model


def encode_items(kind: Kind, items: Sequence[Any]) -> list[Tensor]:
    """What the network reads of each item: tokens (T,), or bytes (IMAGE_SIZE, IMAGE_SIZE, 3).

    Args:
        items: `Item`s; or texts; or images, as files or as bytes.
    Raises: ValueError if there is no item, or one is no text or cannot be opened as an image.
    """
    if isinstance(items, str):  # a sequence of its letters
        raise ValueError(f"{items!r:.60} is one item; for one item write [{items!r:.60}].")
    contents = [item.content if isinstance(item, Item) else item for item in items]
    if not contents:
        raise ValueError("there is nothing to read; give at least one item.")
    if kind == "images":
        return [torch.from_numpy(read_image(content)) for content in contents]
    for content in contents:
        if not isinstance(content, str) or not content.strip():
            raise ValueError(f"{content!r} is no text; give strings that are not empty.")
    encode = load_tokenizer(BASE_MODELS[kind]).encode
    # A token has a few letters: what lies behind 64 letters for each token would be cut anyway.
    beginnings = [content[: 64 * MAX_TOKENS] for content in contents]
    return [torch.tensor(truncate(encode(text), MAX_TOKENS)) for text in beginnings]


def collate(rows: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The network's arguments: ids (B, T) and padding mask (B, T), or images (B, 3, H, W)."""
    if rows[0].ndim == 1:
        return pad_batch(rows)
    return (preprocess(torch.stack(list(rows)), IMAGE_SIZE),)


def collate_labelled(pairs: Sequence[tuple[Tensor, int]]) -> tuple[Tensor, ...]:
    """The network's arguments and the labels (B,), as the objective takes them."""
    rows, labels = zip(*pairs, strict=True)
    return (*collate(rows), torch.tensor(labels))


@torch.no_grad()
def model_outputs(
    model: nn.Module, rows: Sequence[Tensor], batch: int = 32, progress: bool = False
) -> Tensor:
    """The model's output for each row, (N, ...).

    Rows of similar length are in one batch, so that little of it is padding.
    """
    order = sorted(range(len(rows)), key=lambda n: len(rows[n]))
    batches = [order[start : start + batch] for start in range(0, len(order), batch)]
    outputs = [
        model(*collate([rows[n] for n in some]))
        for some in tqdm(batches, unit="batch", disable=not progress)
    ]
    return torch.cat(outputs)[torch.tensor(order).argsort()]


# -- training -------------------------------------------------------------------------------------


def default_steps(n: int) -> int:
    """Training steps for n items."""
    return min(160, 30 + n // 8)


def train_classifier(
    data: OwnData,
    way: str = "head",
    steps: int | None = None,
    *,
    seed: int = 0,
    progress: bool = True,
    on_step: Callable[[int, float], None] | None = None,
) -> "Classifier":
    """Train a pretrained network on your labels: MiniLM for texts, EfficientNet-lite0 for images.

    Args:
        way: "head", a linear probe on the frozen network's features; "last", its last blocks too;
            "lora", LoRA matrices in all blocks (texts only); "full", all blocks.
        steps: training steps; `default_steps(items)` unless given. A head takes none: it is fitted
            until it converges.
        on_step: called with (step, loss) after each.
    Raises: ValueError for a way that is not there, or steps that it does not take.
    """
    model = build_network(data.kind, way, len(data.labels), seed)
    check_steps(way, steps)
    trained = tuple(name for name, weight in model.named_parameters() if weight.requires_grad)
    rows = encode_items(data.kind, data.train)
    labels = [data.labels.index(item.label) for item in data.train]
    history = None
    if way == "head":
        fit_head(model, rows, labels, len(data.labels), progress)
    else:
        lr = WAYS[data.kind][way].lr
        history = fit(
            model,
            classification,
            make_batches(rows, labels, seed),
            steps=default_steps(len(rows)) if steps is None else steps,
            seed=seed,
            optimizer=OptimizerConfig(
                matrix_optimizer="adamw", lr=lr, weight_decay=0.01, warmup=0.1
            ),
            on_step=on_step,
            progress=progress,
        )
    model.eval().requires_grad_(False)
    return Classifier(
        data.kind, way, data.labels, model, trained, notes=data.notes, history=history
    )


def check_steps(way: str, steps: int | None) -> None:
    """Raises: ValueError for steps below 1, or for steps of a head."""
    if steps is not None and (way == "head" or steps < 1):
        raise ValueError(
            f"way={way!r}, steps={steps}: a head is fitted without steps, the other ways take at "
            "least 1; leave steps out, or choose another way."
        )


def make_batches(rows: Sequence[Tensor], labels: list[int], seed: int) -> EpochBatches:
    """Rows and labels in batches; those of similar length together, to save padding."""
    pairs = list(zip(rows, labels, strict=True))
    return EpochBatches(pairs, collate_labelled, BATCH, seed, length=lambda pair: len(pair[0]))


def fit_head(
    model: nn.Module, rows: Sequence[Tensor], labels: list[int], num_classes: int, progress: bool
) -> None:
    """Replace the head's weights by a linear probe on the features below it."""
    head = model.get_submodule(HEAD_NAME)
    model.set_submodule(HEAD_NAME, nn.Identity())  # so that the model gives its features
    features = model_outputs(model.eval(), rows, progress=progress)
    probe = fit_linear_probe(features, torch.tensor(labels), num_classes)
    # The weights go into the old layer: one of another class could differ in the last bit.
    head.load_state_dict(probe.state_dict())
    model.set_submodule(HEAD_NAME, head)


# -- predicting and saving ------------------------------------------------------------------------


@dataclass(eq=False)
class Classifier:
    """A network trained on your labels.

    `trained_names` are the parameters that training changed; they alone are saved. `scores` are
    those of the last evaluation, `history` the training's loss, None for a head.
    """

    kind: Kind
    way: str
    labels: tuple[str, ...]
    model: nn.Module = field(repr=False)
    trained_names: tuple[str, ...] = field(repr=False)
    notes: tuple[str, ...] = field(default=(), repr=False)
    scores: dict[str, float] = field(default_factory=dict)
    history: History | None = field(default=None, repr=False)

    def predict(self, items: Sequence[Any], batch: int = 32) -> Tensor:
        """Probabilities (N, C), columns as in `labels`.

        Args:
            items: items of an `OwnData`; or texts; or images, as files or as bytes (H, W, 3).
        Raises: ValueError, see `encode_items`.
        """
        return model_outputs(self.model, encode_items(self.kind, items), batch).softmax(-1)

    def evaluate(self, data: OwnData) -> Report:
        """Predict the test set and compare; the scores are kept in `scores`.

        Raises: ValueError for data of another kind, or with a label that was not trained.
        """
        if data.kind != self.kind or not set(data.labels) <= set(self.labels):
            raise ValueError(
                f"these are {data.kind} with labels {join_first(data.labels, 8)}; the classifier "
                f"was trained on {self.kind} with labels {join_first(self.labels, 8)}."
            )
        report = make_report(self.labels, data, self.predict(data.test))
        self.scores = {
            "items": len(data.test),
            "accuracy": round(report.accuracy.value, 4),
            "macro F1": round(report.macro_f1, 4),
            "always": round(report.majority_accuracy, 4),
        }
        return report

    def save(self, folder: str | Path) -> None:
        """Write classifier.json and, as safetensors, the parameters that training changed.

        A crash leaves the classifier that was there before.
        Raises: ValueError for a folder that holds something else.
        """
        folder, parameters = check_output_folder(folder), dict(self.model.named_parameters())
        tensors = {name: parameters[name].detach().contiguous() for name in self.trained_names}
        packed = pack_tensors(tensors)
        digest = sha256(packed).hexdigest()
        facts = {
            "kind": self.kind,
            "way": self.way,
            "labels": self.labels,
            "base": PACKAGES[BASE_MODELS[self.kind]],
            "scores": self.scores,
            "notes": self.notes,
            "fmcourse": version("fmcourse"),
            # A name of their own: the old weights stay whole until the card points to the new.
            "weights": f"{self.way}-{digest[:8]}.safetensors",
            "sha256": digest,
        }
        write_atomically(folder / facts["weights"], lambda temporary: temporary.write_bytes(packed))
        card = json.dumps(facts | {"seal": checksum(facts)}, indent=1, ensure_ascii=False)
        write_text(folder / CARD, card + "\n")
        remove_other_weights(folder, facts["weights"])


def remove_other_weights(folder: Path, keep: str) -> None:
    """Delete the weights of classifiers that were saved in this folder before."""
    for way in WAYS["text"]:  # every way there is
        for file in folder.glob(f"{way}-????????.safetensors"):
            if file.name != keep:
                file.unlink()


def check_output_folder(folder: str | Path) -> Path:
    """The folder, if it is new, empty, or holds a classifier, which may be replaced.

    Raises: ValueError for any other.
    """
    folder = Path(folder)
    is_other = folder.exists() and not folder.is_dir()
    if folder.is_dir() and any(folder.iterdir()) and not (folder / CARD).is_file():
        is_other = True
    if is_other:
        raise ValueError(
            f"{folder} holds something else; name a folder that is new, or one that holds a "
            "classifier."
        )
    return folder


def load_classifier(folder: str | Path) -> Classifier:
    """A saved classifier, which gives the same probabilities.

    Raises: ValueError for a folder without one, for files that were altered, or where it was
        trained on another network.
    """
    folder = Path(folder)
    if not (folder / CARD).is_file():
        raise ValueError(
            f"{folder} holds no classifier (no {CARD}); "
            f"`python -m fmcourse finetune DATA --out {folder}` makes one."
        )
    facts, packed = read_saved(folder)
    kind, way, labels = facts["kind"], facts["way"], tuple(facts["labels"])
    if facts["base"] != (installed := PACKAGES.get(BASE_MODELS.get(kind))):
        raise ValueError(
            f"{folder} was trained on {facts['base']}, and this course has {installed}; "
            "train it again."
        )
    model, saved = build_network(kind, way, len(labels)), unpack_tensors(packed)
    trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    if {name: weight.shape for name, weight in saved.items()} != {
        name: weight.shape for name, weight in trained.items()
    }:
        raise ValueError(
            f"{folder} holds other weights than {way!r} trains in this edition of the course; "
            "train it again."
        )
    with torch.no_grad():
        for name, weight in trained.items():
            weight.copy_(saved[name])
    model.eval().requires_grad_(False)
    notes, scores = tuple(facts["notes"]), facts["scores"]
    return Classifier(kind, way, labels, model, tuple(trained), notes, scores)


def read_saved(folder: Path) -> tuple[dict[str, Any], bytes]:
    """The card's content and the bytes of the weights. Raises: ValueError if they were altered."""
    try:
        facts = json.loads((folder / CARD).read_text("utf-8"))
        seal = facts.pop("seal")
        packed = (folder / Path(facts["weights"]).name).read_bytes()  # never outside the folder
        if seal == checksum(facts) and sha256(packed).hexdigest() == facts["sha256"]:
            return facts, packed
        why = "it is not as it was saved"
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        why = repr(error)
    raise ValueError(
        f"the classifier in {folder} is damaged or altered ({why}); train it again, or fetch a "
        "whole copy."
    )
