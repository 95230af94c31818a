"""Your own data: a table of texts, or folders of pictures. Checked, learnt by a real network, judged, kept in a folder, used.

    mine.csv                           a text and a label in each row; or a folder with train.csv and test.csv
    pets/cat/1.jpg  pets/dog/7.PNG     a folder for each label; or the same inside pets/train and pets/test

What can be mended is mended, and a note says so; what cannot is an error that says where and what to do. Reading and checking need no torch.

N items   C labels
"""

import json
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from fmcourse.data import checksum
from fmcourse.data.tables import fold_text, format_lines, join_first, quote, read_table, suggest
from fmcourse.files import write_atomically, write_text
from fmcourse.packages import PACKAGES

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from torch import Tensor, nn

    from fmcourse.evaluation import Estimate, PrecisionRecallF1

MAX_TOKENS, SIDE = (
    128,
    96,
)  # of a text the network reads its first pieces; a picture is stretched to that side
IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".jfif", ".gif", ".bmp", ".webp", ".tif", ".tiff"}
FEW_ITEMS = 10  # items; the scores of a label with fewer say little
BASE_MODELS, HEAD_NAMES = (
    {"text": "minilm-l6", "images": "efficientnet-lite0"},
    {"text": "classifier", "images": "classifier"},
)
WAYS = {  # what is trained besides the new head, and the largest step of AdamW, chosen with 64 labels by recipes/lesson_13.py; for
    # pictures one third of what was best there (one to three points less), because the larger ones lose with 1,024 labels
    "text": {
        "head": ((), 0.0),
        "last": (("encoder.stack.blocks.4", "encoder.stack.blocks.5"), 1e-3),
        "lora": (("q", "k", "v", "out", "up", "down"), 3e-3),
        "full": (("encoder.stack",), 3e-4),
    },
    "images": {
        "head": ((), 0.0),
        "last": (("blocks.14", "blocks.15", "top"), 1e-3),
        "full": (("",), 3e-4),
    },
}
BATCH = 16  # items a step
CARD = "classifier.json"


def default_steps(n: int) -> int:
    """Training steps for n items."""
    return min(160, 30 + n // 8)


# -- reading and checking -------------------------------------------------------------------------------------------------


class Item(NamedTuple):
    """A text, or a picture as bytes (SIDE, SIDE, 3); its label; and where it stood."""

    content: Any
    label: str
    where: str


@dataclass(frozen=True)
class OwnData:
    """Data that passed every check; printed, it says what was found and what was done."""

    kind: Literal["text", "images"]
    labels: tuple[str, ...]
    train: tuple[Item, ...] = field(repr=False)
    test: tuple[Item, ...] = field(repr=False)
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        counts, thing = (
            count_labels(self.train + self.test),
            "text" if self.kind == "text" else "picture",
        )
        each = join_first([f"{label} {counts[label]}" for label in self.labels], 8)
        first = f"{pluralize(counts.total(), thing)} under {len(self.labels)} labels ({each}): {len(self.train)} to learn from, {len(self.test)} held out."
        return "\n- ".join([first, *self.notes])


def read_dataset(
    path: str | Path, text: str = "text", label: str = "label", held_out: float = 0.2, seed: int = 0
) -> OwnData:
    """Read, check and split a CSV or TSV file, a folder of pictures, or a folder that holds train and test already.

    Items that are the same to the network (texts but for case and spaces, pictures at its size) count as one: kept once, never on both
    sides of the split, and left out where they carry two labels. The split is drawn by content, label by label: neither the order of the
    rows nor the names of files change it.

    Args:
        text, label: names of the table's columns.
        held_out: share of each label kept for the test, at least one item; not used where the data are split already.
        seed: another one, another split.
    Raises: ValueError saying what was found, what is needed and what to do.
    """
    path, notes = Path(path), []
    if not 0 < held_out < 1:
        raise ValueError(
            f"held_out={held_out}; give the share that is kept for the test, above 0 and below 1, such as 0.2."
        )
    if not path.exists():
        near = suggest(path.name, [one.name for one in list_visible(path.parent)])
        raise ValueError(f"there is no {path}{near}; give a CSV file or a folder of pictures.")
    parts = find_splits(path, notes)
    kind = "text" if parts[0].is_file() else "images"
    find = (
        (lambda part: read_text_table(part, text, label, notes))
        if kind == "text"
        else (lambda part: read_image_folders(part, notes))
    )
    pools = [deduplicate(find(part), part.name, notes) for part in parts]
    by_chance = lambda key: sha256(f"{seed} {key}".encode()).digest()
    pools = [{key: pool[key] for key in sorted(pool, key=by_chance)} for pool in pools]
    train, test = (
        split_by_label(pools[0], held_out) if len(pools) == 1 else remove_overlap(*pools, notes)
    )
    note_warnings(train + test, kind, notes)
    return OwnData(
        kind, tuple(sorted(count_labels(train))), tuple(train), tuple(test), tuple(notes)
    )


def pluralize(n: int, thing: str) -> str:
    return f"{n:,} {thing}{'' if n == 1 else 's'}"


def count_labels(items: Sequence[Item]) -> Counter:
    return Counter(item.label for item in items)


def list_visible(folder: Path) -> list[Path]:
    """What lies in a folder, without what is hidden there."""
    inside = folder.iterdir() if folder.is_dir() else ()
    return sorted(one for one in inside if one.name[0] != "." and one.name != "__MACOSX")


def find_splits(path: Path, notes: list[str]) -> list[Path]:
    """The file or folder itself; or train and test, where it holds both."""
    for end in (".csv", ".tsv", ""):
        pair = [path / f"train{end}", path / f"test{end}"]
        there = [
            one
            for one in pair
            if (one.is_file() if end else any(below.is_dir() for below in list_visible(one)))
        ]
        if len(there) == 1:
            raise ValueError(
                f"{path} holds {there[0].name} without its other half; put train{end} and test{end} there, or give {there[0]} alone."
            )
        if there:
            other = [one.name for one in list_visible(path) if one not in pair]
            notes += [f"not used, beside train and test: {join_first(other)}"] if other else []
            return pair
    return [path]


def deduplicate(items: Sequence[Item], name: str, notes: list[str]) -> dict[str, Item]:
    """Equal items once, by a key of their content; those that carry two labels not at all, since nobody can be right on both."""
    alike: dict[str, list[Item]] = {}
    for item in items:
        content = (
            fold_text(item.content).encode()
            if isinstance(item.content, str)
            else item.content.tobytes()
        )
        alike.setdefault(sha256(content).hexdigest(), []).append(item)
    kept = {key: same[0] for key, same in alike.items() if len(count_labels(same)) == 1}
    if twice := sum(len(alike[key]) > 1 for key in kept):
        notes.append(f"{name}: {pluralize(twice, 'item')} standing there more than once, kept once")
    if torn := [
        {item.label: item.where for item in same} for key, same in alike.items() if key not in kept
    ]:
        named = [
            " and ".join(f"{label!r} ({where})" for label, where in both.items()) for both in torn
        ]
        notes.append(
            f"{name}: {pluralize(len(torn), 'item')} carrying two labels, left out: {join_first(named)}"
        )
    if not kept:
        raise ValueError(
            f"{name} holds nothing to use: {'every item carries two labels' if items else 'no row has both a text and a label'}."
        )
    return kept


def split_by_label(pool: dict[str, Item], held_out: float) -> tuple[list[Item], list[Item]]:
    """The first of each label for the test, the rest to learn from. The pool's order is by chance, and by content alone."""
    counts = count_labels(tuple(pool.values()))
    require_two_labels(counts)
    if lonely := sorted(label for label, n in counts.items() if n == 1):
        why = (
            f" So have {len(lonely)} of {len(counts)} labels: is it the right column?"
            if len(lonely) > 2
            else ""
        )
        raise ValueError(
            f"label {quote(lonely[0])} has only 1 item; it needs at least 2, one to learn from and one to be held out: add some, or take the label "
            f"away.{why}"
        )
    left = {label: min(n - 1, max(1, round(held_out * n))) for label, n in counts.items()}
    train, test = [], []
    for item in pool.values():
        (test if left[item.label] > 0 else train).append(item)
        left[item.label] -= 1
    return train, test


def remove_overlap(
    train: dict[str, Item], test: dict[str, Item], notes: list[str]
) -> tuple[list[Item], list[Item]]:
    """Split already: what is in both is taken out of train, and every label of the test must be left there."""
    if both := [item.where for key, item in train.items() if key in test]:
        notes.append(
            f"{pluralize(len(both), 'item')} in train and in test, taken out of train: {join_first(both)}"
        )
    first, second = [item for key, item in train.items() if key not in test], list(test.values())
    known, asked = count_labels(first), count_labels(second)
    if unseen := sorted(set(asked) - set(known)):
        raise ValueError(
            f"test asks for {quote(unseen[0])}, a label that train never shows{suggest(unseen[0], list(known))}; add examples of it to train, or mend "
            "the label."
        )
    require_two_labels(known)
    if missing := sorted(set(known) - set(asked)):
        notes.append(f"labels that test never asks for: {join_first(missing)}")
    return first, second


def require_two_labels(counts: Counter) -> None:
    if len(counts) < 2:
        raise ValueError(
            f"all {pluralize(counts.total(), 'item')} carry the label {quote(next(iter(counts)))}, so there is nothing to tell apart; give at least two "
            "labels."
        )


def note_warnings(items: Sequence[Item], kind: str, notes: list[str]) -> None:
    """What is no mistake and still should be known."""
    counts = count_labels(items)
    written = Counter(map(fold_text, counts))
    if alike := sorted(label for label in counts if written[fold_text(label)] > 1):
        notes.append(
            f"labels that differ only in case or spaces, are they one? {join_first(alike, 4)}"
        )
    if few := sorted(f"{label} {n}" for label, n in counts.items() if n < FEW_ITEMS):
        notes.append(
            f"labels with fewer than {FEW_ITEMS} items, whose scores will say little: {join_first(few)}"
        )
    (most, n), (_, least) = counts.most_common()[0], counts.most_common()[-1]
    if n > 3 * least:
        notes.append(
            f"labels are uneven: {n / counts.total():.0%} are {most!r}; to say so always is right that often"
        )
    if kind == "text" and (long := sum(len(item.content.split()) > MAX_TOKENS for item in items)):
        notes.append(
            f"{pluralize(long, 'text')} of more than {MAX_TOKENS} words, of which only the beginning is read ({MAX_TOKENS} pieces)"
        )


def read_text_table(path: Path, text: str, label: str, notes: list[str]) -> list[Item]:
    """The rows of a table."""
    rows, empty = read_table(path, text, label)
    if empty:
        notes.append(
            f"{path.name}: {pluralize(len(empty), 'row')} without a text or without a label, left out: {format_lines(empty)}"
        )
    return [Item(one, kind, f"{path.name} line {line}") for one, kind, line in rows]


def read_image_folders(folder: Path, notes: list[str]) -> list[Item]:
    """The pictures of a folder; each folder in it is a label."""
    items, broken = [], []
    other = [one.name for one in list_visible(folder) if not one.is_dir()]
    for place in [one for one in list_visible(folder) if one.is_dir()]:
        files = [
            file
            for file in list_visible(place)
            if file.is_file() and file.suffix.lower() in IMAGE_SUFFIXES
        ]
        other += [
            f"{place.name}/{file.name}" for file in list_visible(place) if file not in files
        ] or ([] if files else [f"{place.name} (empty)"])
        for file in files:
            try:
                items.append(
                    Item(
                        read_image(file),
                        unicodedata.normalize("NFC", place.name),
                        f"{folder.name}/{place.name}/{file.name}",
                    )
                )
            except ValueError as error:
                broken.append(str(error))
    if broken:
        raise ValueError(
            f"{join_first(broken)}; replace or delete {'it' if len(broken) == 1 else 'them'}."
        )
    if not items:
        raise ValueError(
            f"{folder} holds no folders with pictures{f', only {join_first(other)}' if other else ''}; make one folder for each label and put its pictures "
            f"there ({', '.join(sorted(IMAGE_SUFFIXES))}), or give a CSV file."
        )
    if other:
        notes.append(f"{folder.name}: no pictures, not used: {join_first(other)}")
    return items


def read_image(given: Any) -> "np.ndarray":
    """A picture as bytes (SIDE, SIDE, 3): the first of several, turned as the camera noted, on white where it is transparent.

    Args:
        given: a file, or bytes (H, W) or (H, W, 3).
    Raises: ValueError naming the file and what is wrong with it.
    """
    import numpy as np
    from PIL import Image, ImageOps

    try:
        with (
            Image.open(given)
            if isinstance(given, str | Path)
            else Image.fromarray(np.asarray(given)) as image
        ):
            image.draft("RGB", (2 * SIDE, 2 * SIDE))  # large JPEGs need not be unpacked in full
            if image.mode.startswith("I"):  # 16 bits of grey
                image = Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype(np.uint8))
            coloured = ImageOps.exif_transpose(image).convert("RGBA")
    except (
        Exception
    ) as error:  # decoders raise what they like; whatever it was, this is not to be used
        named, why = (
            (given if isinstance(given, str | Path) else type(given).__name__),
            " ".join(str(error).split()),
        )
        raise ValueError(
            f"{named} cannot be opened as a picture ({why or type(error).__name__})"
        ) from None
    white = Image.new("RGBA", coloured.size, "white")
    white.alpha_composite(coloured)
    return np.array(white.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR))


# -- learning -------------------------------------------------------------------------------------------------------------


def train_classifier(
    own: OwnData,
    way: str = "head",
    steps: int | None = None,
    *,
    seed: int = 0,
    progress: bool = True,
    on_step: Callable[[int, float], None] | None = None,
) -> "Classifier":
    """Teach a real network these labels: MiniLM for texts, EfficientNet-lite0 for pictures.

    Args:
        way: "head", the best linear layer on what the frozen network makes of each item; "last", its last blocks too; "lora", steps of
            low rank in all blocks (texts only); "full", all blocks.
        steps: of training, `default_steps(items)` unless given. A head is fitted to the end, without steps.
        on_step: called with (step, loss) after each.
    Raises: ValueError for a way that is not there, or steps that it cannot take.
    """
    import torch

    from fmcourse.adaptation import fit_linear_probe
    from fmcourse.objectives import classification
    from fmcourse.training import EpochBatches, fit
    from fmcourse.training.optimizers import OptimizerConfig

    model = build_network(own.kind, way, len(own.labels), seed)
    if steps is not None and (way == "head" or steps < 1):
        raise ValueError(
            f"way={way!r}, steps={steps}: a head is fitted without steps, the other ways take at least 1; leave steps out, or choose."
        )
    changed = tuple(name for name, weight in model.named_parameters() if weight.requires_grad)
    made = Classifier(own.kind, way, own.labels, model, changed, own.notes)
    rows, labels = (
        encode_items(own.kind, own.train),
        [own.labels.index(item.label) for item in own.train],
    )
    if way == "head":
        layer = model.get_submodule(
            HEAD_NAMES[own.kind]
        )  # it stays: loaded, it multiplies alike to the last bit
        model.set_submodule(HEAD_NAMES[own.kind], torch.nn.Identity())
        best = fit_linear_probe(
            model_outputs(model.eval(), rows, progress=progress),
            torch.tensor(labels),
            len(own.labels),
        )
        layer.load_state_dict(best.state_dict())
        model.set_submodule(HEAD_NAMES[own.kind], layer)
    else:
        together = lambda some: (
            *collate([row for row, _ in some]),
            torch.tensor([label for _, label in some]),
        )
        data = EpochBatches(
            list(zip(rows, labels, strict=True)),
            together,
            BATCH,
            seed,
            length=lambda pair: len(pair[0]),
        )
        optimizer = OptimizerConfig(
            matrix_optimizer="adamw", lr=WAYS[own.kind][way][1], weight_decay=0.01, warmup=0.1
        )
        more = {
            "steps": steps or default_steps(len(rows)),
            "seed": seed,
            "on_step": on_step,
            "progress": progress,
        }
        made.history = fit(model, classification, data, optimizer=optimizer, **more)
    model.eval().requires_grad_(False)
    return made


def build_network(kind: str, way: str, num_classes: int, seed: int = 0) -> "nn.Module":
    """The pretrained network with a new head that knows nothing yet; trainable is what this way trains."""
    import torch

    from fmcourse import pretrained
    from fmcourse.adaptation import add_lora, train_only
    from fmcourse.models.heads import SequenceClassifier
    from fmcourse.models.vision import FEATURES, freeze_batch_norm

    if way not in WAYS[kind]:
        why = " (steps of low rank stand beside the matrices of a Transformer; this network is made of convolutions)"
        raise ValueError(
            f"way={way!r} is not there for {kind}{why if way == 'lora' else ''}; choose {', '.join(map(repr, WAYS[kind]))}."
        )
    parts, head = WAYS[kind][way][0], HEAD_NAMES[kind]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if kind == "text":
            model = SequenceClassifier(pretrained.load(BASE_MODELS[kind])[0], num_classes)
        else:
            model = freeze_batch_norm(pretrained.load_vision())
            model.classifier = torch.nn.Linear(FEATURES, num_classes)
        add_lora(model, 8, 16.0, parts) if way == "lora" else train_only(model, head, *parts)
    for weight in model.get_submodule(head).requires_grad_(True).parameters():
        torch.nn.init.zeros_(weight)
    return model


def encode_items(kind: str, items: Sequence[Any]) -> "list[Tensor]":
    """What the network reads of each: the tokens of a text (T,), the bytes of a picture (SIDE, SIDE, 3)."""
    import torch

    from fmcourse.pretrained import load_tokenizer, truncate

    things = [item.content if isinstance(item, Item) else item for item in items]
    if not things:
        raise ValueError("there is nothing to read; give at least one item.")
    if kind == "images":
        return [torch.from_numpy(read_image(thing)) for thing in things]
    if bad := [thing for thing in things if not isinstance(thing, str) or not thing.strip()]:
        raise ValueError(f"{bad[0]!r} is no text; give strings that are not empty.")
    encode = load_tokenizer(BASE_MODELS[kind]).encode
    return [
        torch.tensor(truncate(encode(thing[: 64 * MAX_TOKENS]), MAX_TOKENS)) for thing in things
    ]


def collate(rows: "Sequence[Tensor]") -> "tuple[Tensor, ...]":
    """As the network takes them: ids (B, T) and which are real, or pictures (B, 3, SIDE, SIDE)."""
    import torch

    from fmcourse.models.heads import pad_batch
    from fmcourse.models.vision import preprocess

    return pad_batch(rows) if rows[0].ndim == 1 else (preprocess(torch.stack(list(rows)), SIDE),)


def model_outputs(
    model: "nn.Module", rows: "Sequence[Tensor]", batch: int = 32, progress: bool = False
) -> "Tensor":
    """What a model says of each row, (N, ...); those of like length are read together."""
    import torch
    from tqdm.auto import tqdm

    order = sorted(range(len(rows)), key=lambda n: len(rows[n]))
    parts = [order[at : at + batch] for at in range(0, len(order), batch)]
    with torch.no_grad():
        found = [
            model(*collate([rows[n] for n in part]))
            for part in tqdm(parts, unit="batch", disable=not progress)
        ]
    return torch.cat(found)[torch.tensor(order).argsort()]


# -- judging, keeping, using ----------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Classifier:
    """A network that tells your labels apart."""

    kind: str
    way: str
    labels: tuple[str, ...]
    model: "nn.Module" = field(repr=False)
    trained: tuple[str, ...] = field(
        repr=False
    )  # weights that training moved: these alone are saved
    notes: tuple[str, ...] = field(default=(), repr=False)
    scores: dict[str, float] = field(default_factory=dict)
    history: Any = field(default=None, repr=False)

    def predict(self, items: Sequence[Any], batch: int = 32) -> "Tensor":
        """Probabilities (N, C), columns as in `labels`. Items of an `OwnData`, or texts; of pictures files, or bytes (H, W, 3)."""
        return model_outputs(self.model, encode_items(self.kind, items), batch).softmax(-1)

    def evaluate(self, own: OwnData) -> "Report":
        """How well it does on what was held out; the scores stay with it.

        Raises: ValueError for data of another kind, or with a label that it never learnt.
        """
        if own.kind != self.kind or not set(own.labels) <= set(self.labels):
            raise ValueError(
                f"these are {own.kind} under {join_first(own.labels, 8)}; the classifier learnt {self.kind} under {join_first(self.labels, 8)}."
            )
        report = make_report(self.labels, own, self.predict(own.test))
        numbers = {
            "accuracy": report.accuracy.value,
            "macro F1": report.macro_f1,
            "always": report.majority_accuracy,
        }
        self.scores = {"items": len(own.test)} | {
            name: round(value, 4) for name, value in numbers.items()
        }
        return report

    def save(self, folder: str | Path) -> None:
        """Write classifier.json and, as safetensors, what training moved. A crash leaves what was there before.

        Raises: ValueError for a folder that holds something else.
        """
        from safetensors.torch import save

        folder, own = check_output_folder(folder), dict(self.model.named_parameters())
        packed = save({name: own[name].detach().contiguous() for name in self.trained})
        digest = sha256(packed).hexdigest()
        facts = {
            "kind": self.kind,
            "way": self.way,
            "labels": self.labels,
            "base": PACKAGES[BASE_MODELS[self.kind]],
            "scores": self.scores,
            "notes": self.notes,
            "fmcourse": version("fmcourse"),
            "weights": f"{self.way}-{digest[:8]}.safetensors",
            "sha256": digest,
        }
        write_atomically(folder / facts["weights"], lambda temporary: temporary.write_bytes(packed))
        write_text(
            folder / CARD,
            json.dumps(facts | {"seal": checksum(facts)}, indent=1, ensure_ascii=False) + "\n",
        )
        for older in [
            file for way in WAYS["text"] for file in folder.glob(f"{way}-????????.safetensors")
        ]:
            if older.name != facts["weights"]:
                older.unlink()


def check_output_folder(folder: str | Path) -> Path:
    """A folder that is new, empty, or holds a classifier, which may be replaced. Raises: ValueError for any other."""
    folder = Path(folder)
    if folder.exists() and (
        not folder.is_dir() or (any(folder.iterdir()) and not (folder / CARD).is_file())
    ):
        raise ValueError(
            f"{folder} holds something else; name a folder that is new, or one that holds a classifier."
        )
    return folder


def load_classifier(folder: str | Path) -> Classifier:
    """A saved classifier, which gives the same probabilities.

    Raises: ValueError for a folder without one, for files that were altered, or where it was made on another network.
    """
    import torch
    from safetensors.torch import load as unpacked

    folder = Path(folder)
    if not (folder / CARD).is_file():
        raise ValueError(
            f"{folder} holds no classifier (no {CARD}); `python -m fmcourse finetune DATA --out {folder}` makes one."
        )
    facts, packed = read_saved(folder)
    if facts["base"] != (here := PACKAGES.get(BASE_MODELS.get(facts["kind"]))):
        raise ValueError(
            f"{folder} was made on {facts['base']}, and this course has {here}; train it anew."
        )
    model = build_network(facts["kind"], facts["way"], len(facts["labels"]))
    own, moved = dict(model.named_parameters()), unpacked(packed)
    changed = tuple(name for name, weight in own.items() if weight.requires_grad)
    if sorted(moved) != sorted(changed) or any(
        moved[name].shape != own[name].shape for name in changed
    ):
        raise ValueError(
            f"{folder} holds other weights than {facts['way']!r} trains in this edition of the course; train it anew."
        )
    with torch.no_grad():
        for name in changed:
            own[name].copy_(moved[name])
    model.eval().requires_grad_(False)
    return Classifier(
        facts["kind"],
        facts["way"],
        tuple(facts["labels"]),
        model,
        changed,
        tuple(facts["notes"]),
        facts["scores"],
    )


def read_saved(folder: Path) -> tuple[dict[str, Any], bytes]:
    """What card and weights hold, if they are as they were written."""
    try:
        facts = json.loads((folder / CARD).read_text("utf-8"))
        seal, packed = facts.pop("seal"), (folder / Path(facts["weights"]).name).read_bytes()
        if seal == checksum(facts) and sha256(packed).hexdigest() == facts["sha256"]:
            return facts, packed
        why = "it is not as it was saved"
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        why = repr(error)
    raise ValueError(
        f"the classifier in {folder} is damaged or altered ({why}); train it again, or fetch a whole copy."
    )


@dataclass(frozen=True)
class Report:
    """How well a classifier does on items that it never learnt from."""

    labels: tuple[str, ...]
    accuracy: "Estimate"
    majority_accuracy: float  # accuracy of always saying the label that is most frequent in train
    macro_f1: float
    confusion: "Tensor" = field(repr=False)  # (C, C): a row what it is, a column what was said
    per_label: "tuple[PrecisionRecallF1, ...]" = field(
        repr=False
    )  # precision, recall and F1 of each label
    mistakes: tuple[tuple[Item, str, float], ...] = field(
        repr=False
    )  # item, said, probability; the surest first

    def __str__(self) -> str:
        wide = max(5, *map(len, self.labels))
        shown = [
            f"{int(self.confusion.sum())} held out: accuracy {self.accuracy}, macro F1 {self.macro_f1:.3f}; always the same label {self.majority_accuracy:.3f}"
        ]
        shown.append(f"{'label':{wide}}  precision  recall  items  said of them")
        for label, scores, row in zip(
            self.labels, self.per_label, self.confusion.tolist(), strict=True
        ):
            told = join_first(
                [
                    f"{self.labels[n]} {row[n]}"
                    for n in sorted(range(len(row)), key=lambda n: -row[n])
                    if row[n]
                ],
                5,
            )
            shown.append(
                f"{label:{wide}}  {scores.precision:9.3f}  {scores.recall:6.3f}  {sum(row):5}  {told}"
            )
        for item, wrong, sure in self.mistakes[:5]:
            what = f": {quote(item.content, 60)}" if isinstance(item.content, str) else ""
            shown.append(
                f"wrong and {sure:.0%} sure: {wrong!r} instead of {item.label!r}, {item.where}{what}"
            )
        return "\n".join(shown)

    def figure(self) -> "Figure":
        """The confusion matrix, for `show(report.figure(), alt=...)`."""
        from matplotlib.figure import Figure

        from fmcourse import plots

        plots.use_style()
        side = max(3.2, 1.6 + 0.45 * len(self.labels))
        fig = Figure((side + 1, side))
        plots.heatmap(
            ax := fig.subplots(),
            self.confusion.tolist(),
            self.labels,
            digits=0 if len(self.labels) <= 20 else None,
        )
        ax.set(xlabel="said", ylabel="is")
        return fig


def make_report(labels: Sequence[str], own: OwnData, probabilities: "Tensor") -> Report:
    """What is right, and what is taken for what."""
    import torch

    from fmcourse.evaluation import PrecisionRecallF1, accuracy, macro_f1

    C, (sure, best) = len(labels), probabilities.max(1)
    given, wanted = best.tolist(), [labels.index(item.label) for item in own.test]
    confusion = torch.bincount(torch.tensor(wanted) * C + best, minlength=C * C).view(C, C)
    right, chosen, asked = (
        confusion.diag().tolist(),
        confusion.sum(0).tolist(),
        confusion.sum(1).tolist(),
    )
    most = labels.index(count_labels(own.train).most_common(1)[0][0])
    wrong = [
        (item, labels[n], p)
        for item, n, p in zip(own.test, given, sure.tolist(), strict=True)
        if labels[n] != item.label
    ]
    return Report(
        tuple(labels),
        accuracy(sum(right), len(wanted)),
        asked[most] / len(wanted),
        macro_f1(given, wanted),
        confusion,
        tuple(map(PrecisionRecallF1.from_counts, right, chosen, asked)),
        tuple(sorted(wrong, key=lambda one: -one[2])),
    )
