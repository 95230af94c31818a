"""Make table.json and three checkpoints: what lesson 11 compares its own run with, and the models that it does not train.

Source   the Fashion-MNIST pictures and the Cookbook that ship, and the checkpoint `judge`
Run      python recipes/measure.py 11       Takes     about 35 minutes on one thread

The lesson trains one diffusion Transformer with one seed. Here are three seeds of it, by how many steps, by which sampler and with how
much guidance they are sampled, and mending pictures; what other predictions, noise schedules, step sizes and optimisers do in a shorter time; a U-Net and a
latent diffusion of equal cost; and two language models, one that writes from left to right and one that writes in any order. Each part
is kept in OUT/parts as soon as it is done, and a second run goes on from there.
"""

import datetime
import math
import os
import re
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from common import measure_once, write_checkpoint, write_table
from fmcourse.autoencoders import VAE, decoder, encoder
from fmcourse.data import checkpoint, load
from fmcourse.data.images import normalize_pixels
from fmcourse.diffusion import ClassifierFreeGuidance, Denoiser, Schedule, ddim, ddpm, diffusion_loss
from fmcourse.diffusion.masked import fill_masks, masked_diffusion_loss, masked_nll, nll_bound
from fmcourse.evaluation.image_quality import compute_fidelity, load_feature_extractor
from fmcourse.models.dit import DiT
from fmcourse.models.transformer import Transformer, modern
from fmcourse.models.unet import UNet
from fmcourse.objectives import masked_token, next_token
from fmcourse.tokenizers import BPETokenizer
from fmcourse.training import EMA, RandomCrops, derive_seed, fit
from fmcourse.training.optimizers import MUON_SHORT_RUN, OptimizerConfig
from torch import Tensor, nn
from torch.nn import functional as F

SEEDS, BATCH, NOTHING, DECAY = 3, 32, 10, 0.99
SECONDS, SHORTER = 50, 10  # of training, on one quiet thread: the main runs, and the ablations
N_SAMPLES = 500  # pictures that each setting is scored with; FULL of them for the main results
N_SAMPLES_MAIN = 2000
MUON = OptimizerConfig(lr=4e-3, matrix_lr=0.03, lr_decay="cosine", warmup=0.05, betas=(0.9, 0.99))
ADAM = replace(MUON, matrix_optimizer="adamw", lr=3e-3)
LINEAR, COSINE, FLOW = Schedule.linear(), Schedule.cosine(), Schedule.flow()

# -- pictures -------------------------------------------------------------------------------------------------------------


class RandomRows:
    """Random rows, a batch for each step."""

    def __init__(self, *tensors: Tensor, seed: int, batch: int = BATCH) -> None:
        self.tensors, self.seed, self.batch = tensors, seed, batch

    def __getitem__(self, step: int) -> Any:
        g = torch.Generator().manual_seed(derive_seed(self.seed, step))
        rows = torch.randint(len(self.tensors[0]), (self.batch,), generator=g)
        found = tuple(tensor[rows] for tensor in self.tensors)
        return found if len(found) > 1 else found[0]


@cache
def load_images(split: str) -> tuple[Tensor, Tensor]:
    part = getattr(load("fashion"), split)
    return normalize_pixels(part.pixels), part.labels


classifier = cache(load_feature_extractor)


def transformer(channels: int = 1, patch: int = 4) -> DiT:
    """The network of the lesson: 49 patches, three blocks."""
    config = replace(modern(width=64, depth=3, heads=2, causal=False), positions="none")
    return DiT(config, channels, patch, conditioner=nn.Embedding(11, 64))


def unet(channels: int = 1, **shape: Any) -> UNet:
    return UNet(channels, **({"widths": (32, 64), "depth": 1} | shape), conditioner=nn.Embedding(11, 128))


Way = tuple[
    Callable[[], nn.Module], Schedule, str, OptimizerConfig
]  # network, schedule, what is predicted, how weights move
MAIN: Way = (transformer, FLOW, "image", MUON)
SHORT: dict[str, Way] = {
    "flow, picture": MAIN,
    "flow, velocity": (transformer, FLOW, "velocity", MUON),
    "cosine, picture": (transformer, COSINE, "image", MUON),
    "cosine, velocity": (transformer, COSINE, "velocity", MUON),
    "cosine, noise": (transformer, COSINE, "noise", MUON),
    "linear, noise": (transformer, LINEAR, "noise", MUON),
    "even steps": (transformer, FLOW, "image", replace(MUON, min_lr_ratio=1.0)),
    "AdamW": (transformer, FLOW, "image", ADAM),
}
UNET: Way = (unet, FLOW, "image", ADAM)


def step_seconds(make: Callable[[], nn.Module], x: Tensor, optimizer: OptimizerConfig) -> dict[str, float]:
    """Milliseconds of one training step and of one picture passing once through the network: the best of several tries."""
    torch.manual_seed(0)
    model, kinds = make(), torch.arange(len(x)) % 10
    objective = partial(diffusion_loss, schedule=FLOW, predicts="velocity", null_condition=NOTHING)
    steps, passes = [], []
    for _ in range(6):
        begun = time.process_time()
        fit(model, objective, RandomRows(x, kinds, seed=0), steps=6, optimizer=optimizer, progress=False)
        steps.append((time.process_time() - begun) / 6)
        with torch.inference_mode():
            begun = time.process_time()
            model(x[:200], torch.rand(200), kinds[:200])
            passes.append((time.process_time() - begun) / 200)
    return {"step_ms": round(1000 * min(steps), 1), "picture_ms": round(1000 * min(passes), 3),
            "parameters": sum(weight.numel() for weight in model.parameters())}  # fmt: skip


def train_model(way: Way, steps: int, seed: int, x: Tensor, kinds: Tensor) -> tuple[nn.Module, nn.Module]:
    """One network and its average."""
    make, schedule, predicts, optimizer = way
    torch.manual_seed(seed)
    model = make()
    average = EMA(model, DECAY)
    objective = partial(diffusion_loss, schedule=schedule, predicts=predicts, null_condition=NOTHING)
    fit(model, objective, RandomRows(x, kinds, seed=seed), steps=steps, seed=seed, optimizer=optimizer, progress=False, on_step=lambda *_: average.update())  # fmt: skip
    return average.model, model.eval()


def load_or_train(
    path: Path, make: Callable[[], tuple[nn.Module, nn.Module]], fresh: Callable[[], nn.Module]
) -> list[nn.Module]:
    """The two networks that were trained before, or are trained now and kept."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save([model.state_dict() for model in make()], path)
    models = []
    for weights in torch.load(path, weights_only=True):
        models.append(fresh().eval())
        models[-1].load_state_dict(weights)
    return models


def generate_images(model: nn.Module, way: Way, seed: int, *, steps: int, n: int = N_SAMPLES, weight: float = 1.0, sampler: str = "ddim",
         shape: tuple[int, ...] = (1, 28, 28)) -> Tensor:  # fmt: skip
    """`n` pictures, as many of each kind, in their order."""
    _, schedule, predicts, _ = way
    x_T = torch.randn(n, *shape, generator=torch.Generator().manual_seed(1000 + seed))
    kinds, done, g = torch.arange(n) % 10, [], torch.Generator().manual_seed(seed)
    for some, asked in zip(x_T.split(250), kinds.split(250), strict=True):
        guess = Denoiser(model, schedule, predicts, asked)
        if weight != 1:
            guess = ClassifierFreeGuidance(
                guess, Denoiser(model, schedule, predicts, torch.full_like(asked, NOTHING)), weight
            )
        walk = partial(ddpm, generator=g) if sampler == "ddpm" else ddim
        done.append(walk(guess, some, schedule, steps))
    return torch.cat(done)


def image_scores(x: Tensor) -> dict[str, float]:
    """Frechet distance, precision, recall against the test pictures, and how many are seen as the kind that was asked for."""
    x = x.clamp(-1, 1)
    found = compute_fidelity(classifier(), load_images("test")[0], x)
    with torch.inference_mode():
        asked = (classifier()(x).argmax(1) == torch.arange(len(x)) % 10).float().mean().item()
    return {"frechet": round(found.frechet, 2), "precision": round(found.precision, 4), "recall": round(found.recall, 4), "asked": round(asked, 4)}  # fmt: skip


@torch.inference_mode()
def denoising_errors(model: nn.Module, way: Way) -> list[float]:
    """Root of the mean squared error of the guessed picture at ten times, on unseen pictures."""
    _, schedule, predicts, _ = way
    x, kinds = (part[::5] for part in load_images("test"))
    guess, found = Denoiser(model, schedule, predicts, kinds), []
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    for at in TIMES:
        t = torch.full((len(x),), at)
        x_0 = guess(schedule.add_noise(x, t, noise), t)
        found.append(round((x_0 - x).square().mean().sqrt().item(), 4))
    return found


TIMES = [10, 30, 100, 200, 300, 400, 500, 600, 700, 800, 900, 970, 990]


def real_scores(seed: int) -> dict[str, Any]:
    """What real pictures get: as many of the training pictures as are made, each kind alike."""
    x, kinds = load_images("train")
    g, found = torch.Generator().manual_seed(seed), {"seed": seed}
    for n in (N_SAMPLES, N_SAMPLES_MAIN):
        rows = [(kinds == k).nonzero()[:, 0] for k in range(10)]
        rows = torch.stack([of[torch.randperm(len(of), generator=g)[: n // 10]] for of in rows], 1).flatten()
        found[str(n)] = image_scores(x[rows])
    return found


def sampling_row(way: Way, path: Path, steps: int, seed: int) -> dict[str, Any]:
    """The main run, sampled in every way."""
    model, raw = models_of(way, path, steps, seed)
    draw = lambda steps, weight=1.0, sampler="ddim": image_scores(generate_images(model, way, seed, steps=steps, weight=weight, sampler=sampler))  # fmt: skip
    many = generate_images(model, way, seed, steps=10, weight=2, n=N_SAMPLES_MAIN)
    found: dict[str, Any] = {
        "seed": seed,
        "full, guided": image_scores(many),
        "raw": image_scores(generate_images(raw, way, seed, steps=10)),
    }
    found["ddim"] = {str(n): draw(n) for n in (3, 10, 20)}
    found["ddim, guided"] = {str(n): image_scores(many[:N_SAMPLES]) if n == 10 else draw(n, 2) for n in (3, 5, 10, 20)}
    found["ddpm, guided"] = {str(n): draw(n, 2, "ddpm") for n in (5, 20)}
    found["guidance"] = {str(w): draw(10, w) for w in (0, 3, 5)} | {
        "1": found["ddim"]["10"],
        "2": found["ddim, guided"]["10"],
    }
    return found


def models_of(way: Way, path: Path, steps: int, seed: int, x: Tensor | None = None) -> list[nn.Module]:
    """The averaged network and the raw one, trained now or read from the part that was kept."""
    x = load_images("train")[0] if x is None else x
    return load_or_train(path, lambda: train_model(way, steps, seed, x, load_images("train")[1]), way[0])


def short_row(way: Way, path: Path, steps: int, seed: int) -> dict[str, Any]:
    """An ablation: ten steps of the averaged network, and how far its guesses are off at each time; where steps are at issue, the last weights too."""
    model, raw = models_of(way, path, steps, seed)
    found: dict[str, Any] = {"seed": seed, "average": image_scores(generate_images(model, way, seed, steps=10))}
    if way[1] is COSINE:
        found["errors"] = denoising_errors(model, way)
    if way in (MAIN, SHORT["even steps"]):
        found["raw"] = image_scores(generate_images(raw, way, seed, steps=10))
    return found


def family_row(way: Way, path: Path, steps: int, seed: int) -> dict[str, Any]:
    """Another network of equal cost."""
    draw = lambda weight: image_scores(
        generate_images(models_of(way, path, steps, seed)[0], way, seed, steps=10, weight=weight)
    )
    return {"seed": seed, "10": draw(1), "guided": draw(2)}


def ancestral(path: Path, seed: int) -> dict[str, Any]:
    """The main run with fresh noise at each step, and where a hundred of them lead."""
    model, _ = models_of(MAIN, path, 0, seed)
    draw = lambda steps, weight=1.0: image_scores(
        generate_images(model, MAIN, seed, steps=steps, weight=weight, sampler="ddpm")
    )
    return {"ddpm": {str(n): draw(n) for n in (5, 20, 100)}, "ddpm, guided": {"100": draw(100, 2)}}


@torch.inference_mode()
def editing_row(path: Path, seed: int) -> dict[str, Any]:
    """The lower half of unseen pictures drawn anew, told the kind or not; and coats turned into T-shirts."""
    model, _ = models_of(MAIN, path, 0, seed)
    x, kinds = (part[:EDITED] for part in load_images("validation"))
    g = torch.Generator().manual_seed(seed)
    others = torch.stack([(kinds == kind).nonzero()[:, 0][torch.randint(int((kinds == kind).sum()), (), generator=g)] for kind in kinds])  # fmt: skip
    guesses = [Denoiser(model, FLOW, "image", told) for told in (kinds, torch.full_like(kinds, NOTHING))]
    draw = lambda guess: ddim(lambda x_t, t: torch.where(UPPER, x, guess(x_t, t)), torch.randn(x.shape, generator=g), FLOW, 20)  # fmt: skip
    halves = {"whole": x, "black": -torch.ones_like(x), "no wish": draw(guesses[1]), "wish": draw(ClassifierFreeGuidance(*guesses, 2)), "another's": x[others]}  # fmt: skip
    halves = {name: torch.where(UPPER, x, half.clamp(-1, 1)) for name, half in halves.items()}
    found = {"known": {name: class_accuracy(half, kinds) for name, half in halves.items()}}
    found["off"] = {
        name: pixel_distance(halves[name][..., 14:, :], x[..., 14:, :]) for name in ("no wish", "wish", "another's")
    }
    coats, shirts = load_images("validation")[0][load_images("validation")[1] == 4][:60], torch.zeros(60)
    reworked = {str(strength): image_to_image(model, coats, 0, strength, seed) for strength in STRENGTHS}
    found["away"] = {strength: pixel_distance(some, coats) for strength, some in reworked.items()}
    return found | {"turned": {strength: class_accuracy(some, shirts) for strength, some in reworked.items()}}


def class_accuracy(x: Tensor, kinds: Tensor) -> float:
    """Share of pictures that are seen as these kinds."""
    return round((classifier()(x).argmax(1) == kinds).float().mean().item(), 4)


def pixel_distance(x: Tensor, y: Tensor) -> float:
    """Root of the mean squared difference of their pixels."""
    return round((x - y).square().mean().sqrt().item(), 4)


def image_to_image(model: nn.Module, x: Tensor, kind: int, strength: float, seed: int, weight: float = 2.0) -> Tensor:
    """Drowned in noise up to a time, and drawn back as another kind: as the lesson does it."""
    t = round(1000 * strength)
    shorter = Schedule(FLOW.signal[: t + 1], FLOW.noise[: t + 1], is_flow=True)
    guesses = [Denoiser(model, FLOW, "image", torch.full((len(x),), k)) for k in (kind, NOTHING)]
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))
    return ddim(
        ClassifierFreeGuidance(*guesses, weight), FLOW.add_noise(x, torch.full((len(x),), t), noise), shorter, 20
    ).clamp(-1, 1)


UPPER, EDITED, STRENGTHS = torch.arange(28)[:, None].expand(28, 28) < 14, 300, (0.1, 0.3, 0.5, 0.7, 0.9)


# -- latent ---------------------------------------------------------------------------------------------------------------

LATENT_CHANNELS = 4


def vae() -> VAE:
    """Lesson 09's, with a code of four numbers at each of 7 by 7 places."""
    model = VAE(encoder(2 * LATENT_CHANNELS, 32, spatial=True), decoder(LATENT_CHANNELS, 32, spatial=True), 0.1)
    model.load_state_dict(checkpoint("vae").tensors)
    return model.eval()


@torch.no_grad()
def latents_of(x: Tensor) -> tuple[Tensor, Tensor]:
    """The middles of the codes, each of the four numbers with spread 1 over all pictures, and that spread (1, 4, 1, 1)."""
    z = torch.cat([vae().encode(part).mean for part in x.split(500)])
    spread = z.std((0, 2, 3), keepdim=True)
    return z / spread, spread


@torch.no_grad()
def decode_latents(z: Tensor) -> Tensor:
    model, spread = vae(), latents_of(load_images("train")[0])[1]
    return torch.cat([model.decoder(part * spread) for part in z.split(500)])


LATENT: Way = (partial(transformer, LATENT_CHANNELS, 1), FLOW, "image", MUON)


def latent_row(path: Path, steps: int, seed: int) -> dict[str, Any]:
    model, _ = models_of(LATENT, path, steps, seed, latents_of(load_images("train")[0])[0])
    draw = partial(generate_images, model, LATENT, seed, shape=(LATENT_CHANNELS, 7, 7))
    many = decode_latents(draw(steps=10, n=N_SAMPLES_MAIN))
    return {
        "seed": seed,
        "full": image_scores(many),
        "10": image_scores(many[:N_SAMPLES]),
        "guided": image_scores(decode_latents(draw(steps=10, weight=2))),
    }


def reconstruction_row() -> dict[str, Any]:
    """What the VAE alone makes of unseen pictures: no diffusion in its codes can look much better."""
    x = load_images("validation")[0]
    found = image_scores(decode_latents(latents_of(x)[0] * latents_of(x)[1] / latents_of(load_images("train")[0])[1]))
    return {key: found[key] for key in ("frechet", "precision", "recall")}


# -- words ----------------------------------------------------------------------------------------------------------------

MASK, LENGTH, TEXT_BATCH = 1024, 32, 24
SHAPE = {"vocab_size": MASK + 1, "context": LENGTH, "width": 64, "depth": 3, "heads": 2}
TEXT_STEPS = {"causal": (700,), "any": (1400, 900)}  # in any order: first three pieces in ten hidden, then any number
TEXTS, DRAWS, WRITTEN = 400, 4, 100
PASSES, GAPS, HIDDEN = (1, 4, 8, 32), (1, 2, 4, 8), (1, 2, 4, 8, 12, 16, 20, 24, 28, 32)


def letters_only(split: str) -> str:
    """The Cookbook in small letters and single spaces."""
    return re.sub("[^a-z]+", " ", getattr(load("recipes"), split).lower())


@cache
def tokenizer_of() -> BPETokenizer:
    """Lesson 04's tokenizer, with 1,024 pieces; the number after the last is the blank."""
    return BPETokenizer.train(letters_only("train"), MASK)


@cache
def book_ids(split: str) -> Tensor:
    return torch.tensor(tokenizer_of().encode(letters_only(split)))


def fresh_model(kind: str) -> Transformer:
    return Transformer(modern(**SHAPE, causal=kind == "causal"))


def train_text_model(kind: str, seed: int) -> Transformer:
    """Left to right; or in any order: first lesson 07's objective, a few blanks, then any number of them."""
    torch.manual_seed(seed)
    model, steps = fresh_model(kind), TEXT_STEPS[kind]
    data = RandomCrops(book_ids("train"), LENGTH + (kind == "causal"), TEXT_BATCH, seed=seed)
    learn = partial(fit, model, optimizer=MUON_SHORT_RUN, progress=False)
    if kind == "causal":
        learn(next_token, data, steps=steps[0], seed=seed)
    else:
        learn(partial(masked_token, mask_id=MASK, mask_rate=0.3), data, steps=steps[0], seed=seed)
        learn(partial(masked_diffusion_loss, mask_id=MASK), data, steps=steps[1], seed=100 + seed)
    return model.eval()


def text_model(kind: str, path: Path, seed: int) -> Transformer:
    with torch.enable_grad():
        return load_or_train(path, lambda: (train_text_model(kind, seed),), partial(fresh_model, kind))[0]


def unseen_texts() -> Tensor:
    return RandomCrops(book_ids("validation"), LENGTH, TEXTS, seed=1)[0]


def whole_words(row: Tensor) -> list[str]:
    """The whole words of a row of pieces: what the ends may have cut is left out."""
    return tokenizer_of().decode([i for i in row.tolist() if i != MASK]).split()[1:-1]


@cache
def known_words() -> tuple[set[str], set[tuple[str, str]]]:
    """Words of the book, and which stand beside which."""
    words = letters_only("train").split()
    return set(words), set(pairwise(words))


def word_scores(rows: Tensor) -> dict[str, float]:
    """Of what was written: share of the words, and of pairs of neighbours, that the book has; and how many in 500 are different."""
    texts = [whole_words(row) for row in rows]
    words, pairs = [word for text in texts for word in text], [pair for text in texts for pair in pairwise(text)]
    first = words[:500]
    return {"known": round(sum(word in known_words()[0] for word in words) / max(1, len(words)), 4),
            "pairs": round(sum(pair in known_words()[1] for pair in pairs) / max(1, len(pairs)), 4),
            "different": round(len(set(first)) / max(1, len(first)), 4)}  # fmt: skip


def token_frequencies() -> Tensor:
    """How often each piece is in the book, (MASK,)."""
    share = torch.bincount(book_ids("train"), minlength=MASK).double()
    return share / share.sum()


@torch.inference_mode()
def sample_text(model: Transformer, n: int, g: torch.Generator) -> Tensor:
    """From left to right, the first piece as often as it is in the book."""
    ids = torch.multinomial(token_frequencies(), n, replacement=True, generator=g)[:, None]
    for _ in range(LENGTH - 1):
        p = model(ids)[:, -1, :MASK].softmax(-1)
        ids = torch.cat([ids, torch.multinomial(p, 1, generator=g)], 1)
    return ids


def letters_per_token() -> float:
    """Letters and spaces in a piece of the unseen texts."""
    return len(tokenizer_of().decode(unseen_texts().flatten().tolist())) / unseen_texts().numel()


@torch.no_grad()
def words_row(kind: str, path: Path, seed: int) -> dict[str, Any]:
    """What unseen texts cost, what is written in how many passes, and what is mended."""
    begun = time.process_time()
    model = text_model(kind, path, seed)
    seconds, texts, g = round(time.process_time() - begun), unseen_texts(), torch.Generator().manual_seed(seed)
    bits = lambda nats: round(nats.mean().item() / math.log(2) / letters_per_token(), 4)
    found: dict[str, Any] = {"seed": seed, "seconds": seconds, "mended": infilling_accuracy(kind, model)}
    if kind == "causal":
        nats = F.cross_entropy(model(texts[:, :-1])[..., :MASK].mT, texts[:, 1:], reduction="none").sum(1)
        nats = (nats - token_frequencies().clamp(min=1e-6).log()[texts[:, 0]]) / LENGTH
        return found | {"bits": bits(nats), "wrote": {str(LENGTH): word_scores(sample_text(model, WRITTEN, g))}}
    blank = torch.full((WRITTEN, LENGTH), MASK)
    wrote = {str(n): word_scores(fill_masks(model, blank, g, mask_id=MASK, steps=n)) for n in PASSES}
    wrote["surest"] = word_scores(fill_masks(model, blank, g, mask_id=MASK, order="confidence"))
    cost = lambda k: bits(masked_nll(model, texts, torch.full((TEXTS,), k), g, MASK))
    return found | {"bits": bits(nll_bound(model, texts, g, mask_id=MASK, draws=DRAWS)), "wrote": wrote, "by hidden": {str(k): cost(k) for k in HIDDEN}}  # fmt: skip


@torch.no_grad()
def infilling_accuracy(kind: str, model: Transformer) -> dict[str, float]:
    """Share of pieces cut out of the middle that are guessed rightly, by how many are gone."""
    texts, found = unseen_texts(), {}
    for gap in GAPS:
        cut = slice(LENGTH // 2, LENGTH // 2 + gap)
        if kind == "causal":
            ids = texts[:, : cut.start]
            for _ in range(gap):
                ids = torch.cat([ids, model(ids)[:, -1:, :MASK].argmax(-1)], 1)
        else:
            ids = texts.clone()
            ids[:, cut] = MASK
            ids = fill_masks(model, ids, mask_id=MASK, order="confidence", temperature=0)
        found[str(gap)] = round((ids[:, cut] == texts[:, cut]).float().mean().item(), 4)
    return found


# -- all of it ------------------------------------------------------------------------------------------------------------


def all_step_seconds() -> dict[str, Any]:
    x = load_images("train")[0][:400]
    return {
        "dit": step_seconds(transformer, x, MUON),
        "unet": step_seconds(unet, x, ADAM),
        "latent": step_seconds(LATENT[0], torch.randn(400, LATENT_CHANNELS, 7, 7), MUON),
    }


def ship(out: Path, name: str, model: nn.Module, **facts: Any) -> None:
    """Weights in half precision, which changes nothing that one could see."""
    tensors = {key: value.half() for key, value in model.state_dict().items()}
    write_checkpoint(
        out / "checkpoints", name, tensors, command=COMMAND, date=datetime.date.today().isoformat(), **facts
    )


COMMAND = "python recipes/measure.py 11"
TIMES_OF = {"main": SECONDS, "short": SHORTER}


def main(out: Path) -> None:
    parts = out / "parts"
    slug = lambda name: parts / name.replace(", ", "-").replace(" ", "-")
    rows = lambda name, make: [measure_once(slug(f"{name}-{seed}.json"), partial(make, slug(f"{name}-{seed}.pt"), seed=seed)) for seed in range(SEEDS)]  # fmt: skip
    ms = measure_once(parts / "pace.json", all_step_seconds)
    steps = {
        name: {way: round(1000 * seconds / ms[name]["step_ms"]) for way, seconds in TIMES_OF.items()} for name in ms
    }
    found: dict[str, Any] = {
        "real": [measure_once(parts / f"real-{seed}.json", partial(real_scores, seed)) for seed in range(SEEDS)]
    }
    found["main"] = rows("main", lambda path, seed: sampling_row(MAIN, path, steps["dit"]["main"], seed))
    for seed, row in enumerate(found["main"]):
        for way, more in measure_once(
            parts / f"ancestral-{seed}.json", partial(ancestral, parts / f"main-{seed}.pt", seed)
        ).items():
            row[way] = row.get(way, {}) | more
        row["edited"] = measure_once(
            parts / f"edited-{seed}.json", partial(editing_row, parts / f"main-{seed}.pt", seed)
        )
    found["words"] = {kind: rows(kind, partial(words_row, kind)) for kind in TEXT_STEPS}
    found["words"]["real"] = word_scores(unseen_texts()[:WRITTEN])
    found["latent"] = rows("latent", lambda path, seed: latent_row(path, steps["latent"]["main"], seed))
    found["there and back"] = measure_once(parts / "back.json", reconstruction_row)
    found["short"] = {
        name: rows(name, lambda path, seed, way=way: short_row(way, path, steps["dit"]["short"], seed))
        for name, way in SHORT.items()
    }
    found["unet"] = rows("unet", lambda path, seed: family_row(UNET, path, steps["unet"]["main"], seed))
    model = models_of(LATENT, parts / "latent-0.pt", 0, 0)[0]
    ship(out, "clothes_latent", model, title="a diffusion Transformer that draws clothes in the codes of the checkpoint `vae`", data="fashion, train", minutes=round(SECONDS / 60, 1), score=found["latent"])  # fmt: skip
    for kind, title in (("causal", "writes recipes from left to right"), ("any", "writes recipes in any order")):
        model, runs = text_model(kind, parts / f"{kind}-0.pt", 0), found["words"][kind]
        ship(out, f"words_{kind}", model, title=f"a Transformer that {title}, in 1,024 pieces of words", data="recipes, train", minutes=round(runs[0]["seconds"] / 60, 1), score=runs)  # fmt: skip
    made = {
        "command": COMMAND,
        "date": datetime.date.today().isoformat(),
        "with": f"torch {torch.__version__.partition('+')[0]}, one thread",
        "pace": ms | {"measured": "quickest of six stretches of six steps"},
        "seconds": TIMES_OF,
        "steps": steps | {"words": TEXT_STEPS},
        "made": N_SAMPLES,
        "times": TIMES,
    } | found
    write_table(out / "table.json", made, parts)
