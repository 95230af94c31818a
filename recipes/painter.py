"""Make painter.json and two checkpoints: a network that draws what a phrase says, and the prior
that DALL-E 2 puts before such a network.

Source    the emoji that ship, the checkpoint `towers`, and the published MiniLM for the phrases'
          vectors
Run       python recipes/painter.py data
Takes     two hours and a half on one thread for each of three seeds; four minutes on a GPU

It draws animals, plants and food whose name is one word, as three makers drew them, in the colours
they have or repainted in one of eight (`pictures.recolour`). One in ten pairs of a thing and a
colour is never shown, nor is any thing of the other splits: what is drawn for those was put
together, not remembered. The same network takes a phrase's vector or an image's vector, or
neither. Each part is kept in OUT/tables/painter.parts as soon as it is done, training saves its
state every minute, and a second run goes on from there.
"""

import datetime
import hashlib
import json
import os
import random
import sys
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from common import fit_once, measure_once, measurements, write_checkpoint, write_table
from torch import Tensor, nn
from torch.nn import functional as F

from fmcourse.data import checkpoint, load
from fmcourse.data.images import NAMED_COLOURS, dominant_colours, normalize_pixels, recolour
from fmcourse.diffusion import ClassifierFreeGuidance, Denoiser, Schedule, ddpm, diffusion_loss
from fmcourse.models.unet import UNet
from fmcourse.multimodal import CLIP, DiffusionPrior, condition_vector, ranks
from fmcourse.training import RandomBatches, derive_seed, fit
from fmcourse.training.optimizers import OptimizerConfig

SEEDS, BATCH, STEPS = 3, 64, 7000
PRIOR_BATCH, PRIOR_STEPS = 256, 4000
FLOW, PREDICTS, SAMPLING = Schedule.flow(), "image", 20
ADAM = OptimizerConfig(
    matrix_optimizer="adamw", lr=1.5e-3, lr_decay="cosine", warmup=0.05, betas=(0.9, 0.99)
)
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
COLOURS = ("", *NAMED_COLOURS)  # as it is, or recoloured
STYLES = ("shaded", "flat", "3D")  # Noto, Twemoji, Fluent: how the three makers draw
KINDS = ("animals & nature", "food & drink")
WEIGHTS = (0, 1, 2, 3, 5, 8)  # of guidance

# -- what is drawn ---------------------------------------------------------------------------------


def emoji_things(*splits: str) -> dict[str, tuple[str, ...]]:
    """Animals, plants and food with a name of one word, drawn by all three makers, with their
    keywords.
    """
    emoji, found = load("emoji"), {}
    for split in splits:
        part = getattr(emoji, split)
        for name, kind, words in zip(part.names, part.labels.tolist(), part.keywords, strict=True):
            if (
                emoji.classes[kind] in KINDS
                and " " not in name
                and part.names.count(name) == len(STYLES)
            ):
                found[name] = words
    return found


def is_held_out(name: str, colour: str) -> bool:
    """One in ten pairs of a thing and a colour."""
    return (
        bool(colour) and int(hashlib.sha256(f"{name}/{colour}".encode()).hexdigest(), 16) % 10 == 0
    )


def phrases(
    name: str, colour: str, known: dict[str, tuple[str, ...]]
) -> tuple[list[str], list[str]]:
    """What is said of a thing in a colour in any style, and what in each of the three; up to two
    keywords that few things share.
    """
    few = [
        word
        for word in known[name]
        if sum(word in words for words in known.values()) <= 2 and word not in known
    ]
    plain = [f"{colour} {word}".strip() for word in (name, *few[:2])]
    return [*plain, f"a {plain[0]}"], [f"{style} {plain[0]}" for style in STYLES]


def all_phrases() -> list[str]:
    """Every phrase that this recipe needs a vector for."""
    known, new = emoji_things("train"), emoji_things("validation", "test")
    every = [
        part
        for name in known
        for colour in COLOURS
        for part in sum(phrases(name, colour, known), [])
    ]
    asked = [f"{colour} {name}".strip() for name in new for colour in COLOURS] + [
        word for word, _ in synonyms()
    ]
    return list(dict.fromkeys(every + asked))


def synonyms() -> list[tuple[str, str]]:
    """Words that stand in no name and no keyword, and the thing each means: the list that ships, as
    far as it speaks of these things.
    """
    known, items = emoji_things("train"), load("synonyms")
    return [
        (one.word, one.name)
        for part in (items.train, items.validation, items.test)
        for one in part
        if one.name in known
    ]


def phrase_vectors(parts: Path) -> dict[str, Tensor]:
    """The vector of each phrase, (384,), from the published model; kept, since training then needs
    no other model.
    """
    if not (parts / "phrases.pt").exists():
        torch.save(vectors(), parts / "phrases.pt")
    return dict(zip(*torch.load(parts / "phrases.pt", weights_only=True), strict=True))


def vectors() -> tuple[list[str], Tensor]:
    """Every phrase, and the vectors of all of them."""
    from fmcourse.pretrained import embed_sentences
    from fmcourse.pretrained import load as pretrained

    every = all_phrases()
    return every, embed_sentences(*pretrained("minilm-l6"), every).half()


@cache
def all_drawings() -> tuple[list[str], Tensor, Tensor]:
    """The things, their images as (thing, style, colour, S, S, 3) bytes, on the device; and their
    vectors (thing, style, colour, D).
    """
    part = load("emoji").train
    names = sorted(emoji_things("train"))
    rows = torch.tensor([[row_of(part, name, style) for style in range(3)] for name in names])
    plain = part.pixels[rows.flatten()]
    pixels = torch.stack(
        [plain, *(recolour(plain, colour) for colour in NAMED_COLOURS)], 1
    ).unflatten(0, rows.shape)
    looks = [image_vectors(some) for some in normalize_pixels(pixels.flatten(0, 2)).split(500)]
    return names, pixels.to(DEVICE), torch.cat(looks).unflatten(0, pixels.shape[:3])


def row_of(part: Any, name: str, style: int) -> int:
    return next(
        i
        for i, (one, how) in enumerate(zip(part.names, part.styles.tolist(), strict=True))
        if (one, how) == (name, style)
    )


@cache
def clip_model() -> CLIP:
    """Lesson 12's: an image's vector lies where MiniLM puts its name."""
    model = measurements("12").new_clip()
    model.load_state_dict(
        {key: value.float() for key, value in checkpoint("towers").tensors.items()}
    )
    return model.eval().to(DEVICE)


@torch.no_grad()
def image_vectors(x: Tensor) -> Tensor:
    return F.normalize(clip_model().image_encoder(x.to(DEVICE)), dim=-1)


# -- training --------------------------------------------------------------------------------------


def new_painter() -> UNet:
    return UNet(3, (64, 112, 144), 1, condition_width=256, conditioner=nn.Linear(768, 256))


class ConditionedImages:
    """Batches: images, and for each its phrase's vector or its own, alternately."""

    def __init__(
        self, said: dict[str, Tensor], seed: int, batch: int = BATCH, looks: bool = True
    ) -> None:
        self.known, self.seed, self.batch, self.looks = emoji_things("train"), seed, batch, looks
        self.names, self.pixels, self.vectors = all_drawings()
        self.row = {phrase: row for row, phrase in enumerate(said)}
        self.said = F.normalize(torch.stack(list(said.values())).float(), dim=-1).to(DEVICE)
        self.phrases = {
            (name, c): phrases(name, c, self.known) for name in self.names for c in COLOURS
        }

    def draw(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Bytes (B, S, S, 3), phrases' vectors and images' vectors (B, D)."""
        lot, picks, said = random.Random(derive_seed(self.seed, step)), [], []
        while len(picks) < self.batch:
            name, style, c = (
                lot.randrange(len(self.names)),
                lot.randrange(3),
                max(0, lot.randrange(11) - 2),
            )
            if is_held_out(self.names[name], COLOURS[c]):
                continue
            plain, styled = self.phrases[self.names[name], COLOURS[c]]
            picks.append((name, style, c))
            said.append(self.row[lot.choice(plain) if lot.random() < 0.6 else styled[style]])
        at = tuple(torch.tensor(picks).T)
        return self.pixels[at], self.said[said], self.vectors[at]

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        pixels, words, look = self.draw(step)
        half = (torch.arange(len(words), device=DEVICE) % 2 == 0)[:, None]
        condition = torch.where(half, condition_vector(text=words), condition_vector(image=look))
        return pixels.movedim(-1, 1).float() / 127.5 - 1, condition


class PriorBatches(ConditionedImages):
    """Batches for the prior: the vectors of images, to be predicted from those of their phrases;
    numbers of spread 1.
    """

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        _, words, look = self.draw(step)
        return look * look.shape[1] ** 0.5, words * words.shape[1] ** 0.5


def train_model(
    make: Callable[[], nn.Module], data: Any, seed: int, steps: int, path: Path, **options: Any
) -> nn.Module:
    """The network of one seed."""
    torch.manual_seed(seed)
    objective = partial(diffusion_loss, schedule=FLOW, predicts=PREDICTS, **options)
    return fit_once(
        path, make().to(DEVICE), objective, data, steps=steps, seed=seed, optimizer=ADAM
    )


def models(parts: Path, seed: int) -> tuple[nn.Module, nn.Module]:
    """The painter and the prior of one seed."""
    said = phrase_vectors(parts)
    prior = train_model(
        lambda: DiffusionPrior(384, 384, 2),
        PriorBatches(said, 500 + seed, PRIOR_BATCH),
        seed,
        PRIOR_STEPS,
        parts / f"prior-{seed}.pt",
    )
    return train_model(
        new_painter,
        ConditionedImages(said, seed),
        seed,
        STEPS,
        parts / f"painter-{seed}.pt",
        null_condition=0.0,
    ), prior


# -- drawing ---------------------------------------------------------------------------------------


def noise(n: int, *shape: int, seed: int) -> tuple[Tensor, torch.Generator]:
    """The same numbers on every device."""
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed)).to(
        DEVICE
    ), torch.Generator(DEVICE).manual_seed(seed)


def generate_images(
    model: nn.Module, condition: Tensor, weight: float = 2.0, seed: int = 0
) -> Tensor:
    """Images (B, 3, 32, 32) generated for conditions (B, 768)."""
    x, g = noise(len(condition), 3, 32, 32, seed=seed)
    done = []
    for some, asked in zip(x.split(100), condition.split(100), strict=True):

        def denoiser(condition):
            return Denoiser(model, FLOW, PREDICTS, condition)

        done.append(
            ddpm(
                ClassifierFreeGuidance(denoiser(asked), denoiser(torch.zeros_like(asked)), weight),
                some,
                FLOW,
                SAMPLING,
                g,
            )
        )
    return torch.cat(done).clamp(-1, 1)


def sample_prior(prior: nn.Module, words: Tensor, seed: int = 0) -> Tensor:
    """For each phrase's vector (B, 384) the vector of an image that could be meant."""
    x, g = noise(*words.shape, seed=seed)
    return F.normalize(
        ddpm(Denoiser(prior, FLOW, PREDICTS, words * words.shape[1] ** 0.5), x, FLOW, SAMPLING, g),
        dim=-1,
    )


def prompt_scores(
    x: Tensor, asked: list[tuple[str, str]], said: dict[str, Tensor], candidates: Sequence[str]
) -> dict[str, float]:
    """How well each image fits its phrase: where the right thing stands among all candidates by the
    encoders' cosine similarity, where that of another prompt of the same list stands, and how often
    the main colour is the one asked for.
    """
    every = [
        [said[f"{colour} {name}".strip()] for name in candidates] for colour in COLOURS
    ]  # each in each colour
    every = F.normalize(torch.stack([torch.stack(row) for row in every]).float(), dim=-1).to(DEVICE)
    scores = torch.einsum(
        "bd,bnd->bn", image_vectors(x), every[[COLOURS.index(colour) for _, colour in asked]]
    )
    at = torch.tensor([candidates.index(name) for name, _ in asked])

    def place(right):
        return ranks(scores.cpu(), F.one_hot(right, len(candidates)).bool())

    rank, other = place(at), place(at.roll(len(at) // 2 + 1))

    def share(ok):
        return round(ok.float().mean().item(), 4)

    found = {
        "n": len(asked),
        "candidates": len(candidates),
        "first": share(rank == 1),
        "first five": share(rank <= 5),
        "median place": rank.median().item(),
        "shuffled, first five": share(other <= 5),
        "shuffled, median place": other.median().item(),
    }
    if coloured := [i for i, (_, colour) in enumerate(asked) if colour]:
        right = [
            asked[i][1] == one
            for i, one in zip(coloured, dominant_colours(x[coloured]), strict=True)
        ]
        found["colour"] = round(sum(right) / len(right), 4)
    return found


def prompts(seed: int) -> dict[str, list[tuple[str, str]]]:
    """Things and colours that were shown together, that never were, things never seen, and words
    never read.
    """
    lot, known = random.Random(seed), sorted(emoji_things("train"))
    pairs = [(name, colour) for name in known for colour in NAMED_COLOURS]
    shown, held = (
        [pair for pair in pairs if is_held_out(*pair) is not_shown] for not_shown in (False, True)
    )
    return {
        "as they are": [(name, "") for name in known],
        "shown": lot.sample(shown, 100),
        "never shown": lot.sample(held, 100),
        "things never seen": [(name, "") for name in sorted(emoji_things("validation", "test"))],
        "words never read": synonyms(),
    }


def row(parts: Path, seed: int) -> dict[str, Any]:
    """All that is measured with one seed."""
    said = phrase_vectors(parts)
    model, prior = models(parts, seed)
    known, new = sorted(emoji_things("train")), sorted(emoji_things("validation", "test"))

    def vector(texts):
        return F.normalize(torch.stack([said[text] for text in texts]).float(), dim=-1).to(DEVICE)

    found: dict[str, Any] = {"seed": seed}
    for name, asked in prompts(seed).items():
        texts = [
            thing if name == "words never read" else f"{colour} {thing}".strip()
            for thing, colour in asked
        ]
        right = [
            (colour, "") if name == "words never read" else (thing, colour)
            for thing, colour in asked
        ]  # (word, thing)
        among = known + new if name == "things never seen" else known
        words = vector(texts)
        found[name] = {
            "direct": prompt_scores(
                generate_images(model, condition_vector(text=words), seed=seed), right, said, among
            ),
            "prior": prompt_scores(
                generate_images(
                    model, condition_vector(image=sample_prior(prior, words, seed)), seed=seed
                ),
                right,
                said,
                among,
            ),
        }
    found |= real_scores(seed, said, model) | {"guidance": guidance_rows(model, seed, said)}
    return found


def real_scores(seed: int, said: dict[str, Tensor], model: nn.Module) -> dict[str, Any]:
    """What the drawings themselves get, and images drawn of their own vectors."""
    names, pixels, looks = all_drawings()
    asked = prompts(seed)["never shown"]
    at = tuple(
        torch.tensor([(names.index(name), 1, COLOURS.index(colour)) for name, colour in asked]).T
    )
    x = pixels[at].movedim(-1, 1).float() / 127.5 - 1
    return {
        "the drawings": prompt_scores(x, asked, said, names),
        "of a drawing's vector": prompt_scores(
            generate_images(model, condition_vector(image=looks[at]), seed=seed), asked, said, names
        ),
    }


def guidance_rows(
    model: nn.Module, seed: int, said: dict[str, Tensor], n: int = 25, each: int = 4
) -> dict[str, Any]:
    """By weight: is it what was asked for, and how far apart are four images of one phrase (mean
    distance between their vectors)?
    """
    names = sorted(emoji_things("train"))
    asked = random.Random(seed).sample(names, n)
    words = F.normalize(
        torch.stack([said[name] for name in asked for _ in range(each)]).float(), dim=-1
    ).to(DEVICE)
    found = {}
    for weight in WEIGHTS:
        x = generate_images(model, condition_vector(text=words), weight, seed)
        apart = torch.stack([torch.pdist(four).mean() for four in image_vectors(x).split(each)])
        found[str(weight)] = prompt_scores(
            x, [(name, "") for name in asked for _ in range(each)], said, names
        ) | {"apart": round(apart.mean().item(), 4)}
    return found


# -- the lesson's own run --------------------------------------------------------------------------

LIVE, LIVE_STEPS = ("cat", "fish", "duck", "butterfly", "T-Rex", "rose", "mushroom", "cupcake"), 280
FAST_OPTIMIZER = OptimizerConfig(
    matrix_optimizer="adamw", lr=3e-3, lr_decay="cosine", warmup=0.05, betas=(0.9, 0.99)
)


def palette(pictures: Tensor, words: Tensor, seed: int) -> RandomBatches:
    """Batches of eight things by one maker in nine colours, but for one colour of each thing.

    Args: pictures and words, (colour, thing, ...).
    """
    pairs = [(c, n) for c in range(9) for n in range(8) if not is_left_out(c, n)]
    known = tuple(torch.tensor(pairs).T)
    return RandomBatches(pictures[known], words[known], batch=32, seed=seed)


def is_left_out(colour: int, thing: int) -> bool:
    """Each thing lacks one colour, and each colour one thing."""
    return colour > 0 and (colour + 3 * thing) % 8 == 0


def lesson_row(parts: Path, seed: int) -> dict[str, Any]:
    """What the lesson trains, with another seed: the eight pairs that were left out, drawn; is the
    colour right, is the thing?
    """
    said, part = phrase_vectors(parts), load("emoji").train
    plain = part.pixels[[row_of(part, name, 1) for name in LIVE]]
    pictures = normalize_pixels(
        torch.cat([plain, *(recolour(plain, colour) for colour in NAMED_COLOURS)])
    ).unflatten(0, (9, 8))
    texts = [[f"{colour} {name}".strip() for name in LIVE] for colour in COLOURS]
    words = (
        torch.stack(
            [
                F.normalize(torch.stack([said[text] for text in row]).float(), dim=-1)
                for row in texts
            ]
        )
        * 384**0.5
    )
    torch.manual_seed(seed)
    model = UNet(3, (64, 128), 1, condition_width=128, fold=4, conditioner=nn.Linear(384, 128))
    history = fit(
        model,
        partial(diffusion_loss, schedule=FLOW, predicts=PREDICTS, null_condition=0.0),
        palette(pictures, words, seed),
        steps=LIVE_STEPS,
        seed=seed,
        optimizer=FAST_OPTIMIZER,
        progress=False,
    )
    pairs = [(c, n) for c in range(9) for n in range(8) if is_left_out(c, n)]
    at = tuple(torch.tensor(pairs).T)
    x = generate_images(model.eval().to(DEVICE), words[at].to(DEVICE), seed=seed)
    nearest = torch.cdist(x.cpu().flatten(1), pictures.flatten(2).flatten(0, 1)).argmin(
        1
    )  # of all 72 drawings
    colour = [
        list(NAMED_COLOURS)[c - 1] == one
        for (c, _), one in zip(pairs, dominant_colours(x), strict=True)
    ]
    thing = [int(row) % 8 == n for (_, n), row in zip(pairs, nearest.tolist(), strict=True)]
    return {
        "seed": seed,
        "loss": round(sum(history.losses[-20:]) / 20, 4),
        "colour": sum(colour) / 8,
        "thing": sum(thing) / 8,
    }


# -- all of it -------------------------------------------------------------------------------------


COMMAND = "python recipes/painter.py data"


def main(out: Path) -> None:
    parts = out / "tables" / "painter.parts"
    parts.mkdir(parents=True, exist_ok=True)
    rows = [
        measure_once(parts / f"row-{seed}.json", partial(row, parts, seed)) for seed in range(SEEDS)
    ]
    lives = [
        measure_once(parts / f"live-{seed}.json", partial(lesson_row, parts, seed))
        for seed in range(SEEDS)
    ]
    training = {
        name: [json.loads((parts / f"{name}-{seed}.json").read_text()) for seed in range(SEEDS)]
        for name in ("painter", "prior")
    }
    today, on = datetime.date.today().isoformat(), training["painter"][0]["on"]
    measured = {
        "command": COMMAND,
        "date": today,
        "with": f"torch {torch.__version__.partition('+')[0]}, trained on {on}",
        "steps": {"painter": STEPS, "prior": PRIOR_STEPS},
        "batch": {"painter": BATCH, "prior": PRIOR_BATCH},
        "sampling": {"steps": SAMPLING, "weight": 2},
        "training": training,
        "runs": rows,
        "live": {"steps": LIVE_STEPS, "runs": lives},
    }
    for name, make, title in (
        (
            "painter",
            new_painter,
            "draws animals, plants and food of a phrase's vector or of a picture's",
        ),
        (
            "prior",
            lambda: DiffusionPrior(384, 384, 2),
            "from a phrase's vector to that of a picture",
        ),
    ):
        model = train_model(make, None, 0, 0, parts / f"{name}-0.pt")
        write_checkpoint(
            out / "checkpoints",
            name,
            {key: value.half() for key, value in model.state_dict().items()},
            title=title,
            command=COMMAND,
            date=today,
            minutes=training[name][0]["minutes"],
            data="emoji, train",
            score=rows[0],
            on=on,
        )
    write_table(out / "tables" / "painter.json", measured, parts)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
