"""Make table.json: what lesson 03 compares its own runs with.

Source   the Fashion-MNIST images, the plays, novels and Bible that ship
Run      python recipes/measure.py 03       Takes     about an hour on one thread

The lesson trains one network of each kind for half a minute with one seed. Here is the whole table: what self-supervised pretraining
is worth for 10, 30, 100 and 1,000 labelled images, on images as they ship and on transformed ones; how one Transformer with three masks
fills blanks, continues a text and represents a passage, with as many labels as its objective has or with equally many; and whether span
corruption reads its source after 1,200 steps, beside a network that was trained on blanked sources. Three seeds of each; four of the lesson's own
run, one of the causal model with few labels. Each part is kept in OUT as soon as it is done, and a second run goes on from there.
"""

import copy
import datetime
import math
import os
import re
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from common import measure_once, write_table
from fmcourse.data import load
from fmcourse.models.patches import MaskedAutoencoder, PatchEncoder, patchify
from fmcourse.models.transformer import Config, Transformer, modern
from fmcourse.objectives import (
    Loss,
    contrastive,
    corrupt_spans,
    info_nce,
    masked_patches,
    masked_token,
    next_token,
    transformation_prediction,
)
from fmcourse.training import RandomBatches, RandomCrops, fit
from fmcourse.training.optimizers import MUON_SHORT_RUN, OptimizerConfig
from torch import Tensor, nn
from torch.nn import functional as F

SEEDS, LABELS, DRAWS, BATCH = 3, (10, 30, 100, 1000), 4, 128
ADAM = OptimizerConfig(matrix_optimizer="adamw", lr=3e-3, lr_decay="cosine", weight_decay=1e-4)
STEPS = {"contrastive": 360, "no rotation": 360, "rotation": 600, "masked patches": 600, "supervised": 400}
LIVE, LIVE_SEEDS = 150, 4  # steps that the lesson itself takes; seeds of its band

SUPERVISED = {
    "supervised, augmented": {},
    "supervised": {"augmented": False},
    "contrastive, then fine-tuned": {"start": "contrastive"},
}

# -- images ---------------------------------------------------------------------------------------------------------------


def uniform_draws(n: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(n, generator=generator)


def warp_images(x: Tensor, angle: Tensor, width: Tensor, height: Tensor, across: Tensor, down: Tensor) -> Tensor:
    """Images (B, 28, 28) through a window: its angle (radians), width, height and offset (as shares of half an image)."""
    rows = [width * angle.cos(), -height * angle.sin(), across, width * angle.sin(), height * angle.cos(), down]
    grid = F.affine_grid(torch.stack(rows, 1).view(-1, 2, 3), [len(x), 1, 28, 28], align_corners=False)
    return F.grid_sample(x[:, None], grid, align_corners=False)[:, 0]


def transform_images(pixels: Tensor, seed: int) -> Tensor:
    """Each image scaled down, rotated, shifted, mirrored at random, brighter or darker: (N, 28, 28) uint8."""
    g = torch.Generator().manual_seed(seed)
    draw = partial(uniform_draws, len(pixels), generator=g)
    angle, zoom, mirror = draw(-0.44, 0.44), 1 / draw(0.55, 0.95), torch.where(draw(0, 1) < 0.5, 1.0, -1.0)
    across, down = (zoom - 1) * draw(-1, 1), (zoom - 1) * draw(-1, 1)
    x = warp_images(pixels / 255, angle, zoom * mirror, zoom, across, down) * draw(0.5, 1.2)[:, None, None]
    return (255 * x.clamp(0, 1)).round().byte()


def random_view(x: Tensor, generator: torch.Generator, max_angle: float = 0.5) -> Tensor:
    """Augmentation: a random crop of each image, rotated, mirrored, brighter or darker, with a hole and noise: (B, 28, 28)."""
    draw = partial(uniform_draws, len(x), generator=generator)
    side, shape, mirror = draw(0.3, 1).sqrt(), draw(-0.15, 0.15).exp(), torch.where(draw(0, 1) < 0.5, 1.0, -1.0)
    width, height = (side * shape).clamp(max=1), (side / shape).clamp(max=1)
    angle, across, down = draw(-max_angle, max_angle), (1 - width) * draw(-1, 1), (1 - height) * draw(-1, 1)
    x = warp_images(x, angle, width * mirror, height, across, down)
    x = (x * draw(0.4, 1.6)[:, None, None]).clamp(1e-4, 1) ** draw(-0.7, 0.7).exp()[:, None, None]
    across, down, size = (draw(*ends)[:, None, None] for ends in ((0, 28), (0, 28), (0, 6)))
    at = torch.arange(28)
    x = x.masked_fill(((at - across).abs() < size) & ((at[:, None] - down).abs() < size), 0)
    return x + 0.03 * torch.randn(x.shape, generator=generator)


def new_encoder() -> nn.Sequential:
    """An image (28, 28) in, a representation of 96 features out."""
    layer = lambda i, o, s: [nn.Conv2d(i, o, 3, s, 1, bias=False), nn.BatchNorm2d(o), nn.ReLU()]
    layers = [*layer(4, 24, 1), *layer(24, 48, 2), *layer(48, 96, 1), *layer(96, 96, 2)]
    return nn.Sequential(nn.Unflatten(1, (1, 28)), nn.PixelUnshuffle(2), *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


class Minibatches:
    """Random images, endless; with `labels`, pairs."""

    def __init__(self, *tensors: Tensor, seed: int, batch: int = BATCH) -> None:
        self.tensors, self.seed, self.batch = tensors, seed, batch

    def __getitem__(self, step: int) -> Any:
        g = torch.Generator().manual_seed(1_000_003 * self.seed + step)
        rows = torch.randint(len(self.tensors[0]), (self.batch,), generator=g)
        found = tuple(tensor[rows] for tensor in self.tensors)
        return found[0] if len(found) == 1 else found


@cache
def image_splits(kind: str) -> tuple[Tensor, ...]:
    """Pixels from 0 to 1 and classes, of the training set and of the test set."""
    shown = load("fashion")
    parts = [shown.train, shown.test]
    pixels = [
        transform_images(part.pixels, seed) if kind == "transformed" else part.pixels
        for seed, part in enumerate(parts, 1)
    ]
    return pixels[0] / 255, parts[0].labels, pixels[1] / 255, parts[1].labels


def labelled_subset(classes: Tensor, labels: int, seed: int) -> Tensor:
    """Rows of the images that get a label: as many of each of the ten classes."""
    g = torch.Generator().manual_seed(seed)
    return torch.cat([of[torch.randperm(len(of), generator=g)[: labels // 10]] for of in ((classes == k).nonzero()[:, 0] for k in range(10))])  # fmt: skip


def linear_probe(train: Tensor, labels: Tensor, test: Tensor, classes: int, penalty: float = 1e-4) -> Tensor:
    """Logistic regression on features with a small squared penalty on the weights: the predicted class of each of `test`."""
    weights = torch.zeros(train.shape[1] + 1, classes, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=60, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(train @ weights[1:] + weights[0], labels) + penalty * weights[1:].square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return (test @ weights[1:] + weights[0]).argmax(1).detach()


def standardize(train: Tensor, test: Tensor) -> tuple[Tensor, Tensor]:
    """Each feature with mean 0 and the same variance over all images, labelled or not; constant features are left out."""
    mean, std = train.mean(0), train.std(0)
    kept = std > 1e-4 * std.max()
    return tuple(((x - mean) / std)[:, kept] / kept.sum().sqrt() for x in (train, test))


def probe_accuracy(train: Tensor, test: Tensor, kind: str, seed: int) -> dict[str, float]:
    """Accuracy on the test images, for each number of labels, mean over draws of the labelled ones."""
    _, labels, _, truth = image_splits(kind)
    train, test = standardize(train, test)
    found = {}
    for n in LABELS:
        rows = [labelled_subset(labels, n, DRAWS * seed + draw) for draw in range(DRAWS)]
        right = [(linear_probe(train[r], labels[r], test, 10) == truth).float().mean().item() for r in rows]
        found[str(n)] = round(statistics.mean(right), 4)
    return found


@torch.inference_mode()
def features_of(model: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    return torch.cat([model(part) for part in x.split(500)])


def projection_head() -> nn.Sequential:
    return nn.Sequential(nn.Linear(96, 192), nn.BatchNorm1d(192), nn.ReLU(), nn.Linear(192, 64))


def pretrain_encoder(method: str, kind: str, seed: int) -> tuple[Callable[[Tensor], Tensor], float]:
    """An encoder pretrained on all images without a label; and the processor seconds that it took."""
    torch.manual_seed(seed)
    steps = STEPS.get(method, 0)
    data, encoder, begun = Minibatches(image_splits(kind)[0], seed=seed), new_encoder(), time.process_time()
    if method == "masked patches":
        encoder = PatchEncoder(Config(width=64, depth=2, heads=4, causal=False), 49, 16)
        model = MaskedAutoencoder(encoder, Config(width=32, depth=1, heads=4, causal=False))
        fit(model, lambda m, x, g: masked_patches(m, patchify(x, 4), g), data, steps=steps, seed=seed, progress=False)
        return lambda x: encoder(patchify(x, 4)).mean(1), time.process_time() - begun
    if method == "rotation":
        model = nn.Sequential(encoder, nn.Linear(96, 4))
        rotations = [partial(torch.rot90, k=k) for k in range(4)]
        objective = lambda m, x, g: transformation_prediction(m, x, g, transforms=rotations)
    else:
        model = nn.Sequential(encoder, *projection_head())
        augment = partial(random_view, max_angle=0.0) if method == "no rotation" else random_view
        objective = partial(contrastive, augment=augment, temperature=0.2)
    if steps:
        fit(model, objective, data, steps=steps, seed=seed, optimizer=ADAM, progress=False)
    else:  # untrained: batch normalization takes its statistics from some images, as it does in training
        with torch.no_grad():
            encoder.train()(data[0])
    return encoder.eval(), time.process_time() - begun


def pretrained_row(method: str, kind: str, seed: int) -> dict[str, Any]:
    model, seconds = pretrain_encoder(method, kind, seed)
    train, _, test, _ = image_splits(kind)
    accuracy = probe_accuracy(features_of(model, train), features_of(model, test), kind, seed)
    return {"seed": seed} | accuracy | {"seconds": round(seconds)}


def pixels_row(kind: str, seed: int) -> dict[str, Any]:
    train, _, test, _ = image_splits(kind)
    return {"seed": seed} | probe_accuracy(train.flatten(1), test.flatten(1), kind, seed)


def supervised_row(kind: str, seed: int, *, start: str = "", augmented: bool = True) -> dict[str, Any]:
    """The same encoder trained on the labelled images: from scratch or from a pretrained one, with augmentation or without.

    Two draws of labelled images, one where they are many. One learning rate each, not tuned.
    """
    train, labels, test, truth = image_splits(kind)
    found, begun = {}, time.process_time()
    pretrained = pretrain_encoder(start, kind, seed)[0] if start else None
    optimizer = replace(ADAM, lr=1e-3) if start else ADAM

    def objective(model: nn.Module, batch: tuple[Tensor, Tensor], generator: torch.Generator) -> Loss:
        x = random_view(batch[0], generator) if augmented else batch[0]
        return Loss(F.cross_entropy(model(x), batch[1]))

    for n in LABELS:
        right = []
        for draw in range(1 if n == max(LABELS) else 2):
            torch.manual_seed(seed)
            rows = labelled_subset(labels, n, DRAWS * seed + draw)
            model = nn.Sequential(copy.deepcopy(pretrained) if start else new_encoder(), nn.Linear(96, 10))
            data = Minibatches(train[rows], labels[rows], seed=seed, batch=64)
            fit(model, objective, data, steps=STEPS["supervised"], seed=seed, optimizer=optimizer, progress=False)
            right.append((features_of(model.eval(), test).argmax(1) == truth).float().mean().item())
        found[str(n)] = round(statistics.mean(right), 4)
    return {"seed": seed} | found | {"seconds": round(time.process_time() - begun)}


# -- the lesson's own loop ------------------------------------------------------------------------------------------------


def train(model: nn.Module, loss_of: Callable[..., Tensor], data: Any, steps: int, lr: float, seed: int) -> None:
    """The loop that the lesson writes: AdamW with a cosine schedule, one generator for all draws."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    generator = torch.Generator().manual_seed(seed)
    model.train()
    for step in range(steps):
        loss = loss_of(model, data[step], generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    model.eval()


def contrastive_loss(model: nn.Module, x: Tensor, generator: torch.Generator) -> Tensor:
    """InfoNCE of two views of each image."""
    a, b = model(torch.cat([random_view(x, generator), random_view(x, generator)])).chunk(2)
    return info_nce(a, b, 0.2)


def contrastive_live(seed: int) -> dict[str, Any]:
    """As much of it as the lesson runs; the linear probe on the encoder and on the projection head."""
    torch.manual_seed(seed)
    images, _, test, _ = image_splits("transformed")
    model, begun = nn.Sequential(new_encoder(), projection_head()), time.process_time()
    data = RandomBatches(images, batch=BATCH, seed=seed)
    train(model, contrastive_loss, data, LIVE, 3e-3, seed)
    seconds = round(time.process_time() - begun)
    found = [[features_of(part, x) for x in (images, test)] for part in (model[0], model)]
    encoder, head = (probe_accuracy(*pair, "transformed", seed) for pair in found)
    return {"seed": seed} | encoder | {"head": head, "seconds": seconds}


# -- texts ----------------------------------------------------------------------------------------------------------------

LETTERS, AUTHORS, LENGTH = " abcdefghijklmnopqrstuvwxyz", ("shakespeare", "austen", "bible"), 64
MASK_ID, TEXT_BATCH, LABEL_RATE = len(LETTERS), 12, 0.15
LINES, PASSAGES = 400, 200  # test lines and test passages of each author; a passage is four lines
FEW_LABELS = "causal, 15 % of the labels"
TEXT_STEPS, TEXT_LIVE, TEXT_LABELS = 750, 280, (6, 15, 60, 300)
PLACE = LENGTH // 2
MODELS = ("causal", FEW_LABELS, "prefix", "masked")


def letter_ids(text: str) -> list[int]:
    """Lower-case letters and single spaces, as token ids."""
    return [LETTERS.index(letter) for letter in " ".join(re.findall("[a-z]+", text.lower()))]


@cache
def texts() -> tuple[list[Tensor], list[Tensor]]:
    """Each author's training text, three million letters at most, and works that are held out."""
    works = [load(name) for name in AUTHORS]
    return [torch.tensor(letter_ids(part.train)[:3_000_000]) for part in works], [
        torch.tensor(letter_ids(part.test)) for part in works
    ]


def prefix_mask(T: int, prefix: Tensor) -> Tensor:
    """(B, T, T) bool: each position may look back, and into the whole prefix of its row."""
    at = torch.arange(T)
    return (at <= at[:, None]) | (at < prefix[:, None, None])


def prefix_next_token(model: Transformer, batch: Tensor, generator: torch.Generator | None = None) -> Loss:
    """Next letters again, but the first few of each row, a random number, attend both ways and are not predicted."""
    prefix = torch.randint(1, batch.shape[1] - 1, (len(batch),), generator=generator)
    asked = torch.arange(batch.shape[1] - 1) >= prefix[:, None] - 1
    states = model.states(batch[:, :-1], prefix_mask(batch.shape[1] - 1, prefix))[asked]
    return Loss(F.cross_entropy(model.head(states), batch[:, 1:][asked]), tokens=int(asked.sum()))


def sparse_next_token(model: Transformer, batch: Tensor, generator: torch.Generator | None = None) -> Loss:
    """Next letters, but a label at 15 % of the positions only: as many labels as masked language modelling has."""
    inputs, labels = batch[:, :-1], batch[:, 1:]
    selected = torch.rand(labels.shape, generator=generator) < LABEL_RATE
    value = F.cross_entropy(model.head(model.states(inputs)[selected]), labels[selected])
    return Loss(value, tokens=int(selected.sum()))


def train_text_model(kind: str, seed: int, steps: int) -> Transformer:
    """One Transformer of three layers with one of the objectives, on the texts of all authors."""
    torch.manual_seed(seed)
    causal = kind in ("causal", FEW_LABELS)
    model = Transformer(modern(vocab_size=28, context=LENGTH, width=96, depth=3, heads=4, causal=causal))
    objectives = {"causal": next_token, FEW_LABELS: sparse_next_token, "prefix": prefix_next_token}
    objective = objectives.get(kind, partial(masked_token, mask_id=MASK_ID))
    data = RandomCrops(torch.cat(texts()[0]), LENGTH + (kind != "masked"), TEXT_BATCH, seed=seed)
    fit(model, objective, data, steps=steps, seed=seed, optimizer=MUON_SHORT_RUN, progress=False)
    return model.eval()


def hidden_states(model: Transformer, kind: str, ids: Tensor) -> Tensor:
    T = ids.shape[1]
    return model.states(ids, torch.ones(T, T, dtype=torch.bool) if kind == "prefix" else None)


def next_letter_log_probs(model: Transformer, kind: str, ids: Tensor) -> Tensor:
    """Log-probabilities of the letter after each row, (B, 27). The masked model is given a [MASK] there."""
    if kind == "masked":
        ids = F.pad(ids, (0, 1), value=MASK_ID)
    return model.head(hidden_states(model, kind, ids)[:, -1])[:, :27].log_softmax(-1)


def middle_letter_log_probs(model: Transformer, kind: str, windows: Tensor) -> Tensor:
    """Log-probabilities of the letter in the middle, (B, 27), in one forward pass: masked from both sides, else from the left."""
    if kind != "masked":
        return next_letter_log_probs(model, kind, windows[:, :PLACE])
    ids = windows.clone()
    ids[:, PLACE] = MASK_ID
    return model(ids)[:, PLACE, :27].log_softmax(-1)


def rescore_middle_letter(model: Transformer, windows: Tensor) -> Tensor:
    """The letter in the middle by a causal model in 27 forward passes, one with each letter: that of the likeliest line."""
    totals = []
    for letter in range(27):
        ids = windows.clone()
        ids[:, PLACE] = letter
        totals.append(-F.cross_entropy(model(ids[:, :-1]).mT, ids[:, 1:], reduction="none").sum(1))
    return torch.stack(totals, 1).argmax(1)


def continue_text(model: Transformer, kind: str, windows: Tensor, letters: int, seed: int) -> Tensor:
    """Each row's first half, continued letter by letter."""
    g, ids = torch.Generator().manual_seed(seed), windows[:, :PLACE]
    for _ in range(letters):
        p = next_letter_log_probs(model, kind, ids[:, -(LENGTH - 1) :]).exp()
        ids = torch.cat([ids, torch.multinomial(p, 1, generator=g)], 1)
    return ids[:, PLACE:]


def decode_letters(ids: Tensor) -> str:
    return "".join(LETTERS[i] for i in ids.tolist())


def known_word_share(rows: Tensor) -> float:
    """Share of the whole words in generated rows that occur in the training texts."""
    known = {word for part in texts()[0] for word in decode_letters(part).split()}
    words = [word for row in rows for word in decode_letters(row).split()[1:-1]]
    return sum(word in known for word in words) / len(words)


def author_accuracy(model: Transformer | None, kind: str, seed: int) -> dict[str, float]:
    """The author of a passage of a held-out work, by a linear probe on its mean hidden state, or on its letter counts."""
    vectors = lambda ids: (
        F.one_hot(ids, 27).float().mean(1) if model is None else hidden_states(model, kind, ids).mean(1)
    )

    def summary(parts: list[Tensor], each: int) -> Tensor:
        lines = torch.cat([RandomCrops(part, 4 * LENGTH, each, seed=100)[0] for part in parts]).view(-1, LENGTH)
        return torch.cat([vectors(some) for some in lines.split(96)]).unflatten(0, (-1, 4)).mean(1)

    most = max(TEXT_LABELS) // 3
    with torch.no_grad():
        train_x, test_x = standardize(summary(texts()[0], most), summary(texts()[1], PASSAGES))
    labels, truth = (torch.arange(3).repeat_interleave(each) for each in (most, PASSAGES))
    found = {}
    for n in TEXT_LABELS:
        right = []
        for draw in range(DRAWS):
            g = torch.Generator().manual_seed(DRAWS * seed + draw)
            rows = torch.cat([most * k + torch.randperm(most, generator=g)[: n // 3] for k in range(3)])
            right.append((linear_probe(train_x[rows], labels[rows], test_x, 3) == truth).float().mean().item())
        found[str(n)] = round(statistics.mean(right), 4)
    return found


def test_lines() -> Tensor:
    return torch.cat([RandomCrops(part, LENGTH, LINES, seed=7)[0] for part in texts()[1]])


def fill_and_continue_scores(model: Transformer, kind: str, lines: Tensor) -> dict[str, float]:
    """Accuracy on the blank in the middle, and bits for the letter after all others. A hundred lines at a time: they fit the cache."""
    guess = torch.cat([middle_letter_log_probs(model, kind, some) for some in lines.split(100)])
    after = torch.cat([next_letter_log_probs(model, kind, some[:, :-1]) for some in lines.split(100)])
    return {
        "blank_accuracy": round((guess.argmax(1) == lines[:, PLACE]).float().mean().item(), 4),
        "bits_per_letter": round(F.nll_loss(after, lines[:, -1]).item() / math.log(2), 4),
    }


def rescored_accuracy(model: Transformer, lines: Tensor) -> float:
    found = torch.cat([rescore_middle_letter(model, part) for part in lines.split(100)])
    return round((found == lines[:, PLACE]).float().mean().item(), 4)


def text_row(kind: str, seed: int) -> dict[str, Any]:
    """One model and all of its tests."""
    begun = time.process_time()
    model = train_text_model(kind, seed, TEXT_STEPS)
    row, lines = {"seed": seed, "seconds": round(time.process_time() - begun)}, test_lines()
    with torch.inference_mode():
        row |= fill_and_continue_scores(model, kind, lines)
        if model.config.causal:
            row["rescored_accuracy"] = rescored_accuracy(model, lines[::4])
        row["known_word_share"] = round(known_word_share(continue_text(model, kind, lines[::40], 80, seed)), 4)
    return row | {"author_accuracy": author_accuracy(model, kind, seed)}


# -- span corruption ------------------------------------------------------------------------------------------------------

SENTINEL, BLANKED = 40, 39  # token ids; the letters are 1 to 27 here
SPAN_STEPS, SPAN_BATCH, SPAN_LINES = 1200, 32, 512


def span_loss(
    model: Transformer, ids: Tensor, generator: torch.Generator | None = None, *, source: str = "real"
) -> Loss:
    """Span corruption by one Transformer under a prefix mask: it reads the source both ways and writes the target.

    Args:
        source: "real"; "blanked", all letters alike; or "swapped", the source of another line.
    """
    given, target = corrupt_spans(ids + 1, generator, sentinel_id=SENTINEL)
    if source == "blanked":
        given = given.where(given >= SENTINEL, BLANKED)
    if source == "swapped":
        given = given.roll(1, 0)
    S, row = given.shape[1], torch.cat([given, target], 1)
    mask = prefix_mask(row.shape[1] - 1, torch.tensor([S]))[0]
    states = model.states(row[:, :-1], mask)[:, S - 1 :]
    return Loss(F.cross_entropy(model.head(states).mT, row[:, S:]), tokens=target.numel())


def span_row(source: str, seed: int) -> dict[str, Any]:
    """Trained on real or on blanked sources; the loss on held-out lines, and if real, also with the sources of other lines."""
    torch.manual_seed(seed)
    model, begun = (
        Transformer(modern(vocab_size=48, context=128, width=64, depth=2, heads=4, causal=False)),
        time.process_time(),
    )
    train_ids, test_ids = (part[AUTHORS.index("austen")] for part in texts())
    data = RandomCrops(train_ids, LENGTH, SPAN_BATCH, seed=seed)
    fit(
        model,
        partial(span_loss, source=source),
        data,
        steps=SPAN_STEPS,
        seed=seed,
        optimizer=MUON_SHORT_RUN,
        progress=False,
    )
    row, lines = (
        {"seed": seed, "seconds": round(time.process_time() - begun)},
        RandomCrops(test_ids, LENGTH, SPAN_LINES, seed=7)[0],
    )
    with torch.inference_mode():
        for tested in ("real", "swapped") if source == "real" else (source,):
            generator = torch.Generator().manual_seed(1)
            row[tested] = round(span_loss(model.eval(), lines, generator, source=tested).value.item(), 4)
    return row


# -- all of it ------------------------------------------------------------------------------------------------------------


def main(out: Path) -> None:
    parts, found = out / "parts", {"texts": {}, "transformed": {}, "centred": {}, "live": {}, "spans": {}}
    jobs: list[tuple[str, str, Callable[..., dict[str, Any]], int]] = []
    jobs += [("texts", kind, partial(text_row, kind), 1 if kind == FEW_LABELS else SEEDS) for kind in MODELS]
    jobs += [
        (
            "texts",
            "letter counts",
            lambda seed: {"seed": seed, "author_accuracy": author_accuracy(None, "", seed)},
            SEEDS,
        )
    ]
    methods = {
        "transformed": ("contrastive", "rotation", "masked patches", "untrained"),
        "centred": ("contrastive", "no rotation", "untrained"),
    }
    for kind, names in methods.items():
        jobs += [(kind, method, partial(pretrained_row, method, kind), SEEDS) for method in names]
        jobs += [(kind, "raw pixels", partial(pixels_row, kind), SEEDS)]
    jobs += [("live", "contrastive", contrastive_live, LIVE_SEEDS)]
    jobs += [("spans", source, partial(span_row, source), SEEDS) for source in ("real", "blanked")]
    jobs += [
        ("transformed", name, partial(supervised_row, "transformed", **how), SEEDS) for name, how in SUPERVISED.items()
    ]
    for group, name, make, seeds in jobs:
        for seed in range(seeds):
            path = parts / f"{group}-{name}-{seed}.json".replace(" ", "-")
            found[group].setdefault(name, []).append(measure_once(path, partial(make, seed)))
    made = {
        "command": "python recipes/measure.py 03",
        "date": datetime.date.today().isoformat(),
        "with": f"torch {torch.__version__.partition('+')[0]}, one thread",
        "steps": STEPS | {"live": LIVE, "texts": TEXT_STEPS, "texts live": TEXT_LIVE, "spans": SPAN_STEPS},
        "labels": LABELS,
        "text_labels": TEXT_LABELS,
    } | found
    write_table(out / "table.json", made, parts)
