"""Make table.json: what lesson 03 compares its own runs with.

Source   the Fashion-MNIST pictures, the plays, novels and Bible that ship
Run      python recipes/measure.py 03       Takes     about three quarters of an hour on one thread

The lesson trains one network of each kind for half a minute with one seed. Here is the whole table, three seeds of everything: what
pretraining without labels is worth for 10, 30, 100 and 1,000 labelled pictures, on pictures as they ship and on pictures that were moved;
and how one network with three masks fills blanks, goes on with a text and tells authors apart. Each part is kept in OUT as soon as it is
done, and a second run goes on from there.
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
from fmcourse.objectives import Loss, contrastive, masked_patches, masked_token, next_token, transformation_prediction
from fmcourse.training import RandomCrops, fit
from fmcourse.training.optimizers import MUON_SHORT_RUN, OptimizerConfig
from torch import Tensor, nn
from torch.nn import functional as F

SEEDS, LABELS, DRAWS, BATCH = 3, (10, 30, 100, 1000), 4, 128
ADAM = OptimizerConfig(matrix_optimizer="adamw", lr=3e-3, lr_decay="cosine", weight_decay=1e-4)
STEPS = {"contrastive": 360, "upright": 360, "turned": 600, "patches": 600, "scratch": 400}
LIVE = 150  # steps that the lesson itself takes

ON_LABELS = {"scratch": {}, "scratch, no views": {"look": False}, "contrastive, then tuned": {"start": "contrastive"}}

# -- pictures -------------------------------------------------------------------------------------------------------------


def uniform_draws(n: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(n, generator=generator)


def warp_images(x: Tensor, turn: Tensor, wide: Tensor, high: Tensor, across: Tensor, down: Tensor) -> Tensor:
    """Pictures (B, 28, 28), seen through a window that is turned (radians), so wide and high, and moved (shares of half the picture)."""
    rows = [wide * turn.cos(), -high * turn.sin(), across, wide * turn.sin(), high * turn.cos(), down]
    grid = F.affine_grid(torch.stack(rows, 1).view(-1, 2, 3), [len(x), 1, 28, 28], align_corners=False)
    return F.grid_sample(x[:, None], grid, align_corners=False)[:, 0]


def transform_images(pixels: Tensor, seed: int) -> Tensor:
    """Each picture smaller, turned, somewhere in the frame, facing either way, in another light: (N, 28, 28) uint8, as they come."""
    g = torch.Generator().manual_seed(seed)
    draw = partial(uniform_draws, len(pixels), generator=g)
    turn, zoom, face = draw(-0.44, 0.44), 1 / draw(0.55, 0.95), torch.where(draw(0, 1) < 0.5, 1.0, -1.0)
    across, down = (zoom - 1) * draw(-1, 1), (zoom - 1) * draw(-1, 1)
    x = warp_images(pixels / 255, turn, zoom * face, zoom, across, down) * draw(0.5, 1.2)[:, None, None]
    return (255 * x.clamp(0, 1)).round().byte()


def views(x: Tensor, generator: torch.Generator, turn: float = 0.5) -> Tensor:
    """A window onto each picture, turned (radians) and mirrored by chance, in another light, with a hole and some noise: (B, 28, 28)."""
    draw = partial(uniform_draws, len(x), generator=generator)
    side, shape, face = draw(0.3, 1).sqrt(), draw(-0.15, 0.15).exp(), torch.where(draw(0, 1) < 0.5, 1.0, -1.0)
    wide, high = (side * shape).clamp(max=1), (side / shape).clamp(max=1)
    x = warp_images(x, draw(-turn, turn), wide * face, high, (1 - wide) * draw(-1, 1), (1 - high) * draw(-1, 1))
    x = (x * draw(0.4, 1.6)[:, None, None]).clamp(1e-4, 1) ** draw(-0.7, 0.7).exp()[:, None, None]
    across, down, size = (draw(*ends)[:, None, None] for ends in ((0, 28), (0, 28), (0, 6)))
    at = torch.arange(28)
    x = x.masked_fill(((at - across).abs() < size) & ((at[:, None] - down).abs() < size), 0)
    return x + 0.03 * torch.randn(x.shape, generator=generator)


def network() -> nn.Sequential:
    """The box: a picture (28, 28) in, 96 numbers out."""
    layer = lambda i, o, s: [nn.Conv2d(i, o, 3, s, 1, bias=False), nn.BatchNorm2d(o), nn.ReLU()]
    layers = [*layer(4, 24, 1), *layer(24, 48, 2), *layer(48, 96, 1), *layer(96, 96, 2)]
    return nn.Sequential(nn.Unflatten(1, (1, 28)), nn.PixelUnshuffle(2), *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


class Minibatches:
    """Random pictures, endless; with `labels`, pairs."""

    def __init__(self, *tensors: Tensor, seed: int, batch: int = BATCH) -> None:
        self.tensors, self.seed, self.batch = tensors, seed, batch

    def __getitem__(self, step: int) -> Any:
        g = torch.Generator().manual_seed(1_000_003 * self.seed + step)
        rows = torch.randint(len(self.tensors[0]), (self.batch,), generator=g)
        found = tuple(tensor[rows] for tensor in self.tensors)
        return found[0] if len(found) == 1 else found


@cache
def image_splits(kind: str) -> tuple[Tensor, ...]:
    """Pixels from 0 to 1 and kinds, to learn from and to be tested on."""
    shown = load("fashion")
    parts = [shown.train, shown.test]
    pixels = [
        transform_images(part.pixels, seed) if kind == "moved" else part.pixels for seed, part in enumerate(parts, 1)
    ]
    return pixels[0] / 255, parts[0].labels, pixels[1] / 255, parts[1].labels


def labelled_subset(kinds: Tensor, labels: int, seed: int) -> Tensor:
    """Rows of the pictures that get a label: as many of each of the ten kinds."""
    g = torch.Generator().manual_seed(seed)
    return torch.cat([of[torch.randperm(len(of), generator=g)[: labels // 10]] for of in ((kinds == k).nonzero()[:, 0] for k in range(10))])  # fmt: skip


def linear_probe(known: Tensor, labels: Tensor, asked: Tensor, kinds: int, pull: float = 1e-4) -> Tensor:
    """Logistic regression on features: which kind is each of `asked`? Spread evenly beforehand, weights pulled towards zero."""
    weights = torch.zeros(known.shape[1] + 1, kinds, requires_grad=True)
    loss = lambda: F.cross_entropy(known @ weights[1:] + weights[0], labels) + pull * weights[1:].square().sum()
    search = torch.optim.LBFGS([weights], max_iter=60, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        search.zero_grad()
        (found := loss()).backward()
        return found

    search.step(closure)
    return (asked @ weights[1:] + weights[0]).argmax(1).detach()


def standardize(known: Tensor, asked: Tensor) -> tuple[Tensor, Tensor]:
    """Each feature with mean 0 and the same spread over all pictures, labelled or not; pixels that never change are left out."""
    mean, std = known.mean(0), known.std(0)
    kept = std > 1e-4 * std.max()
    return tuple(((x - mean) / std)[:, kept] / kept.sum().sqrt() for x in (known, asked))


def probe_accuracy(known: Tensor, asked: Tensor, kind: str, seed: int) -> dict[str, float]:
    """Accuracy on the test pictures, for each number of labels, mean over draws of the labelled ones."""
    _, labels, _, wanted = image_splits(kind)
    known, asked = standardize(known, asked)
    found = {}
    for n in LABELS:
        rows = [labelled_subset(labels, n, DRAWS * seed + draw) for draw in range(DRAWS)]
        right = [(linear_probe(known[r], labels[r], asked, 10) == wanted).float().mean().item() for r in rows]
        found[str(n)] = round(statistics.mean(right), 4)
    return found


@torch.inference_mode()
def features_of(model: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    return torch.cat([model(part) for part in x.split(500)])


def pretrain_encoder(way: str, kind: str, seed: int, steps: int) -> tuple[Callable[[Tensor], Tensor], float]:
    """A box that saw all pictures of a kind and no label; and the processor seconds that it took."""
    torch.manual_seed(seed)
    data, body, begun = Minibatches(image_splits(kind)[0], seed=seed), network(), time.process_time()
    if way == "patches":
        body = PatchEncoder(Config(width=64, depth=2, heads=4, causal=False), 49, 16)
        whole = MaskedAutoencoder(body, Config(width=32, depth=1, heads=4, causal=False))
        fit(whole, lambda m, x, g: masked_patches(m, patchify(x, 4), g), data, steps=steps, seed=seed, progress=False)
        return lambda x: body(patchify(x, 4)).mean(1), time.process_time() - begun
    if way == "turned":
        whole = nn.Sequential(body, nn.Linear(96, 4))
        turns = [partial(torch.rot90, k=k) for k in range(4)]
        objective = lambda m, x, g: transformation_prediction(m, x, g, transforms=turns)
    else:
        whole = nn.Sequential(body, nn.Linear(96, 192), nn.BatchNorm1d(192), nn.ReLU(), nn.Linear(192, 64))
        augment = partial(views, turn=0.0) if way == "upright" else views
        objective = partial(contrastive, augment=augment, temperature=0.2)
    if steps:
        fit(whole, objective, data, steps=steps, seed=seed, optimizer=ADAM, progress=False)
    else:  # untrained: its norms take mean and spread from some pictures, as they do in training
        with torch.no_grad():
            body.train()(data[0])
    return body.eval(), time.process_time() - begun


def pretrained_row(way: str, kind: str, seed: int) -> dict[str, Any]:
    steps = LIVE if way == "live" else STEPS.get(way, 0)
    model, seconds = pretrain_encoder(way, kind, seed, steps)
    known, _, asked, _ = image_splits(kind)
    return (
        {"seed": seed}
        | probe_accuracy(features_of(model, known), features_of(model, asked), kind, seed)
        | {"seconds": round(seconds)}
    )


def pixels_row(kind: str, seed: int) -> dict[str, Any]:
    known, _, asked, _ = image_splits(kind)
    return {"seed": seed} | probe_accuracy(known.flatten(1), asked.flatten(1), kind, seed)


def labels_row(kind: str, seed: int, *, start: str = "", look: bool = True) -> dict[str, Any]:
    """The same box trained on the labelled pictures: from nothing, or from where contrastive play ended; with views of them, or as they are.

    Two draws of labelled pictures, one where they are many.
    """
    known, labels, asked, wanted = image_splits(kind)
    found, begun = {}, time.process_time()
    played = pretrain_encoder(start, kind, seed, STEPS[start])[0] if start else None
    optimizer = replace(ADAM, lr=1e-3) if start else ADAM

    def told(model: nn.Module, batch: tuple[Tensor, Tensor], generator: torch.Generator) -> Loss:
        return Loss(F.cross_entropy(model(views(batch[0], generator) if look else batch[0]), batch[1]))

    for n in LABELS:
        right = []
        for draw in range(1 if n == max(LABELS) else 2):
            torch.manual_seed(seed)
            rows = labelled_subset(labels, n, DRAWS * seed + draw)
            model = nn.Sequential(copy.deepcopy(played) if start else network(), nn.Linear(96, 10))
            data = Minibatches(known[rows], labels[rows], seed=seed, batch=64)
            fit(model, told, data, steps=STEPS["scratch"], seed=seed, optimizer=optimizer, progress=False)
            right.append((features_of(model.eval(), asked).argmax(1) == wanted).float().mean().item())
        found[str(n)] = round(statistics.mean(right), 4)
    return {"seed": seed} | found | {"seconds": round(time.process_time() - begun)}


# -- texts ----------------------------------------------------------------------------------------------------------------

LETTERS, AUTHORS, LENGTH = " abcdefghijklmnopqrstuvwxyz", ("shakespeare", "austen", "bible"), 64
BLANK, TEXT_BATCH = len(LETTERS), 12  # a hidden letter has a number of its own
LINES, PASSAGES = 400, 200  # of each author that are asked for; a passage is four lines
TEXT_STEPS, TEXT_LIVE, TEXT_LABELS = 750, 350, (6, 15, 60, 300)
PLACE = LENGTH // 2
MASKS = ("causal", "prefix", "masked")


def letter_ids(text: str) -> list[int]:
    """Small letters and single spaces, as numbers."""
    return [LETTERS.index(letter) for letter in " ".join(re.findall("[a-z]+", text.lower()))]


@cache
def texts() -> tuple[list[Tensor], list[Tensor]]:
    """What each author left to learn from, three million letters at most, and works that no network saw."""
    works = [load(name) for name in AUTHORS]
    return [torch.tensor(letter_ids(part.train)[:3_000_000]) for part in works], [
        torch.tensor(letter_ids(part.test)) for part in works
    ]


def prefix_mask(T: int, prefix: Tensor) -> Tensor:
    """(B, T, T) bool: each position may look back, and into the whole prefix of its row."""
    at = torch.arange(T)
    return (at <= at[:, None]) | (at < prefix[:, None, None])


def prefix_next_token(model: Transformer, batch: Tensor, generator: torch.Generator | None = None) -> Loss:
    """Next letters again, but the first few of each row, any number, are read both ways and not asked for."""
    prefix = torch.randint(1, batch.shape[1] - 1, (len(batch),), generator=generator)
    asked = torch.arange(batch.shape[1] - 1) >= prefix[:, None] - 1
    states = model.states(batch[:, :-1], prefix_mask(batch.shape[1] - 1, prefix))[asked]
    return Loss(F.cross_entropy(model.head(states), batch[:, 1:][asked]), tokens=int(asked.sum()))


def train_text_model(kind: str, seed: int, steps: int) -> Transformer:
    """One network of three layers, one of three masks, and the texts of all authors."""
    torch.manual_seed(seed)
    model = Transformer(modern(vocab_size=28, context=LENGTH, width=96, depth=3, heads=4, causal=kind == "causal"))
    objective = {"causal": next_token, "prefix": prefix_next_token, "masked": partial(masked_token, mask_id=BLANK)}[
        kind
    ]
    data = RandomCrops(torch.cat(texts()[0]), LENGTH + (kind != "masked"), TEXT_BATCH, seed=seed)
    fit(model, objective, data, steps=steps, seed=seed, optimizer=MUON_SHORT_RUN, progress=False)
    return model.eval()


def hidden_states(model: Transformer, kind: str, ids: Tensor) -> Tensor:
    T = ids.shape[1]
    return model.states(ids, torch.ones(T, T, dtype=torch.bool) if kind == "prefix" else None)


def next_letter_log_probs(model: Transformer, kind: str, ids: Tensor) -> Tensor:
    """Log-probabilities of the letter after each row, (B, 27). The masked one is shown a blank there."""
    if kind == "masked":
        ids = F.pad(ids, (0, 1), value=BLANK)
    return model.head(hidden_states(model, kind, ids)[:, -1])[:, :27].log_softmax(-1)


def middle_letter_log_probs(model: Transformer, kind: str, windows: Tensor) -> Tensor:
    """Log-probabilities of the letter in the middle, (B, 27): from both sides in one pass if the network can, else from the left."""
    if kind != "masked":
        return next_letter_log_probs(model, kind, windows[:, :PLACE])
    ids = windows.clone()
    ids[:, PLACE] = BLANK
    return model(ids)[:, PLACE, :27].log_softmax(-1)


def rescore_middle_letter(model: Transformer, windows: Tensor) -> Tensor:
    """The letter in the middle by a causal network that reads the whole line 27 times, once with each letter: the likeliest line."""
    totals = []
    for letter in range(27):
        ids = windows.clone()
        ids[:, PLACE] = letter
        totals.append(-F.cross_entropy(model(ids[:, :-1]).mT, ids[:, 1:], reduction="none").sum(1))
    return torch.stack(totals, 1).argmax(1)


def continue_text(model: Transformer, kind: str, windows: Tensor, letters: int, seed: int) -> Tensor:
    """Each row's first half, gone on with letter by letter."""
    g, ids = torch.Generator().manual_seed(seed), windows[:, :PLACE]
    for _ in range(letters):
        p = next_letter_log_probs(model, kind, ids[:, -(LENGTH - 1) :]).exp()
        ids = torch.cat([ids, torch.multinomial(p, 1, generator=g)], 1)
    return ids[:, PLACE:]


def decode_letters(ids: Tensor) -> str:
    return "".join(LETTERS[i] for i in ids.tolist())


def known_word_share(rows: Tensor) -> float:
    """Share of whole words in what was written that stand in the texts that were read."""
    known = {word for part in texts()[0] for word in decode_letters(part).split()}
    words = [word for row in rows for word in decode_letters(row).split()[1:-1]]
    return sum(word in known for word in words) / len(words)


def author_accuracy(model: Transformer | None, kind: str, seed: int) -> dict[str, float]:
    """Who wrote a passage of a work never seen? A linear probe on the mean of its states, or on how often each letter stands in it."""
    vectors = lambda ids: (
        F.one_hot(ids, 27).float().mean(1) if model is None else hidden_states(model, kind, ids).mean(1)
    )

    def summary(parts: list[Tensor], each: int) -> Tensor:
        lines = torch.cat([RandomCrops(part, 4 * LENGTH, each, seed=100)[0] for part in parts]).view(-1, LENGTH)
        return torch.cat([vectors(some) for some in lines.split(96)]).unflatten(0, (-1, 4)).mean(1)

    most = max(TEXT_LABELS) // 3
    with torch.no_grad():
        known, asked = standardize(summary(texts()[0], most), summary(texts()[1], PASSAGES))
    kinds, wanted = (torch.arange(3).repeat_interleave(each) for each in (most, PASSAGES))
    found = {}
    for n in TEXT_LABELS:
        right = []
        for draw in range(DRAWS):
            g = torch.Generator().manual_seed(DRAWS * seed + draw)
            rows = torch.cat([most * k + torch.randperm(most, generator=g)[: n // 3] for k in range(3)])
            right.append((linear_probe(known[rows], kinds[rows], asked, 3) == wanted).float().mean().item())
        found[str(n)] = round(statistics.mean(right), 4)
    return found


def test_lines() -> Tensor:
    return torch.cat([RandomCrops(part, LENGTH, LINES, seed=7)[0] for part in texts()[1]])


def fill_and_continue_scores(model: Transformer, kind: str, lines: Tensor) -> dict[str, float]:
    """Blanks in the middle filled rightly, and bits for the letter after all others. A hundred lines at a time: they fit the cache."""
    guess = torch.cat([middle_letter_log_probs(model, kind, some) for some in lines.split(100)])
    after = torch.cat([next_letter_log_probs(model, kind, some[:, :-1]) for some in lines.split(100)])
    return {
        "blank": round((guess.argmax(1) == lines[:, PLACE]).float().mean().item(), 4),
        "next_bits": round(F.nll_loss(after, lines[:, -1]).item() / math.log(2), 4),
    }


def text_row(kind: str, seed: int) -> dict[str, Any]:
    """One network, asked everything."""
    begun = time.process_time()
    model = train_text_model(kind, seed, TEXT_STEPS)
    row, lines = {"seed": seed, "seconds": round(time.process_time() - begun)}, test_lines()
    with torch.inference_mode():
        row |= fill_and_continue_scores(model, kind, lines)
        if kind == "causal":
            some = lines[::4]
            again = torch.cat([rescore_middle_letter(model, part) for part in some.split(100)])
            row["rescored"] = round((again == some[:, PLACE]).float().mean().item(), 4)
        row["words"] = round(known_word_share(continue_text(model, kind, lines[::40], 80, seed)), 4)
    return row | {"author": author_accuracy(model, kind, seed)}


def text_live(kind: str, seed: int) -> dict[str, Any]:
    """As much of it as the lesson runs."""
    begun = time.process_time()
    model = train_text_model(kind, seed, TEXT_LIVE)
    seconds = round(time.process_time() - begun)
    with torch.inference_mode():
        return {"seed": seed, "seconds": seconds} | fill_and_continue_scores(model, kind, test_lines())


# -- all of it ------------------------------------------------------------------------------------------------------------


def main(out: Path) -> None:
    parts, found = out / "parts", {"texts": {}, "moved": {}, "as they ship": {}, "live": {}}
    jobs: list[tuple[str, str, Callable[..., dict[str, Any]]]] = []
    jobs += [("texts", kind, partial(text_row, kind)) for kind in MASKS]
    jobs += [("texts", "letters counted", lambda seed: {"seed": seed, "author": author_accuracy(None, "", seed)})]
    for kind in ("moved", "as they ship"):
        ways = (
            ("contrastive", "turned", "patches", "untrained")
            if kind == "moved"
            else ("contrastive", "upright", "untrained")
        )
        jobs += [(kind, way, partial(pretrained_row, way, kind)) for way in ways]
        jobs += [(kind, "pixels", partial(pixels_row, kind))]
    jobs += [("live", "contrastive", partial(pretrained_row, "live", "moved"))]
    jobs += [("live", kind, partial(text_live, kind)) for kind in ("causal", "masked")]
    for group, name, make, seed in [
        *((*job, seed) for seed in range(SEEDS) for job in jobs),
        *(
            ("moved", name, partial(labels_row, "moved", **how), seed)
            for name, how in ON_LABELS.items()
            for seed in range(SEEDS)
        ),
    ]:
        path = parts / f"{group}-{name}-{seed}.json".replace(" ", "-")
        found[group].setdefault(name, []).append(measure_once(path, partial(make, seed)))
    made = {
        "command": "python recipes/measure.py 03",
        "date": datetime.date.today().isoformat(),
        "with": f"torch {torch.__version__.partition('+')[0]}, one thread",
        "steps": STEPS | {"live": LIVE, "texts": TEXT_STEPS, "texts live": TEXT_LIVE},
        "labels": LABELS,
        "text_labels": TEXT_LABELS,
    } | found
    write_table(out / "table.json", made, parts)
