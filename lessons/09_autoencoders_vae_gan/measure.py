"""Make table.json, and the checkpoints `vae`, `autoencoder`, `vae_flat`, `gan_plain` and `gan` that lessons 09 to 11 show.

Source   the Fashion-MNIST pictures that ship (train), and the judge's checkpoint
Run      python recipes/measure.py 09       Takes     about forty minutes on one thread

An autoencoder, a variational one, a plain GAN and a well-made one, of the same two networks, three seeds each, with the same seconds of
training. Seconds are turned into steps once, by the quickest of many short stretches of each: what a step takes where nothing else runs.
2,000 made pictures are compared with the 2,000 test pictures after 10, 20, 45 and 90 seconds. Each part is kept in OUT as soon as it
is done, and a second run goes on from there.
"""

import datetime
import math
import os
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from common import measure_once, write_checkpoint, write_table
from fmcourse.autoencoders import VAE, Autoencoder, decoder, encoder, log_evidence, negative_elbo, reconstruction
from fmcourse.data import load
from fmcourse.data.images import normalize_pixels
from fmcourse.evaluation.image_quality import (
    Fidelity,
    extract_features,
    frechet_distance,
    load_feature_extractor,
    precision_recall,
)
from fmcourse.objectives import Loss
from fmcourse.training import EMA, Run, derive_seed, fit
from fmcourse.training.gan import GANConfig, GANRun, add_spectral_norm, train_gan
from fmcourse.training.optimizers import OptimizerConfig, build_optimizers
from torch import Tensor, nn
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

SEEDS, POINTS, MADE, BATCH = 3, (10, 20, 45, 90), 2000, 32
WIDTH, CODE, NOISE, LOTS = (
    16,
    16,
    0.5,
    64,
)  # channels; numbers in a code; the VAE's noise; numbers that a generator starts from
ADAM = OptimizerConfig(
    matrix_optimizer="adamw", lr=2e-3, warmup=0.0, min_lr_ratio=1.0, betas=(0.9, 0.99), clip=0.0
)  # a step that stays as it is
WELL = GANConfig(lr_generator=1e-3, lr_discriminator=1e-3, betas=(0.5, 0.99))
PLAIN = GANConfig(loss="non-saturating", lr_generator=1e-3, lr_discriminator=1e-3, betas=(0.5, 0.99))
SPATIAL = {"code": 4, "width": 32, "spatial": True}
COMMAND = "python recipes/measure.py 09"
FAMILIES = ("autoencoder", "VAE", "plain GAN", "well-made GAN")

# -- the four, each a game with a turn ------------------------------------------------------------------------------------


class Minibatches:
    """Random rows, endless: a pure function of (seed, step)."""

    def __init__(self, rows: Tensor, seed: int, batch: int = BATCH) -> None:
        self.rows, self.seed, self.batch = rows, seed, batch

    def __getitem__(self, step: int) -> Tensor:
        g = torch.Generator().manual_seed(derive_seed(self.seed, step))
        return self.rows[torch.randint(len(self.rows), (self.batch,), generator=g)]


class SingleModelRun(Run):
    """One network with one loss, and its averaged copy."""

    def __init__(self, model: nn.Module, objective: Callable[..., Loss], seed: int) -> None:
        self.ema, self.objective = EMA(model, WELL.ema_decay), objective
        players = nn.ModuleDict({"model": model, "averaged": self.ema.model})
        super().__init__(players, build_optimizers(model, ADAM), ADAM, seed, 10**9, None)

    def load(self, path: Path) -> None:
        super().load(path)
        self.ema.updates = self.history.steps

    def train_step(self, batch: Tensor) -> None:
        super().train_step(lambda players, x, g: self.objective(players["model"], x, g), batch)
        self.ema.update()


def generator() -> nn.Module:
    return nn.Sequential(decoder(LOTS, WIDTH), nn.Tanh())


def start_run(family: str, seed: int) -> Run:
    torch.manual_seed(seed)
    if family == "autoencoder":
        return SingleModelRun(Autoencoder(encoder(CODE, WIDTH), decoder(CODE, WIDTH)), reconstruction, seed)
    if family == "VAE":
        return SingleModelRun(VAE(encoder(2 * CODE, WIDTH), decoder(CODE, WIDTH), NOISE), negative_elbo, seed)
    discriminator = encoder(1, WIDTH)
    plain = family == "plain GAN"
    return GANRun(
        generator(),
        discriminator if plain else add_spectral_norm(discriminator),
        PLAIN if plain else WELL,
        LOTS,
        seed,
        10**9,
    )


@cache
def load_images() -> tuple[Tensor, Tensor]:
    shown = load("fashion")
    return normalize_pixels(shown.train.pixels), normalize_pixels(shown.test.pixels)


# -- how good are they? ---------------------------------------------------------------------------------------------------


@cache
def real_features() -> Tensor:
    return extract_features(load_feature_extractor(), load_images()[1])


def image_scores(x: Tensor) -> dict[str, Any]:
    """Beside the test pictures; and how many of each kind the judge sees."""
    network = load_feature_extractor()
    seen = extract_features(network, x.clamp(-1, 1))
    found = Fidelity(frechet_distance(real_features(), seen), *precision_recall(real_features(), seen), len(seen))
    with torch.inference_mode():
        kinds = torch.bincount(network.classifier(seen).argmax(1), minlength=10)
    return {"frechet": round(found.frechet, 2), "precision": round(found.precision, 4), "recall": round(found.recall, 4), "kinds": kinds.tolist()}  # fmt: skip


@torch.no_grad()
def in_batches(network: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    return torch.cat([network(part) for part in rows.split(500)])


def fit_mixture(codes: Tensor, parts: int = 10, rounds: int = 20, seed: int = 0) -> MixtureSameFamily:
    """Several Gaussians fitted to codes (N, K) by expectation and maximisation, without any label."""
    N, K = codes.shape
    g = torch.Generator().manual_seed(seed)
    mean, spread, share = codes[torch.randperm(N, generator=g)[:parts]], codes.T.cov().expand(parts, K, K), torch.full((parts,), 1 / parts)  # fmt: skip
    for _ in range(rounds):
        belongs = (MultivariateNormal(mean, spread).log_prob(codes[:, None]) + share.log()).softmax(1)  # (N, parts)
        n = belongs.sum(0)
        share, mean = n / N, belongs.T @ codes / n[:, None]
        off = codes[:, None] - mean
        spread = torch.einsum("np,npi,npj->pij", belongs, off, off) / n[:, None, None] + 1e-4 * torch.eye(K)
    return MixtureSameFamily(Categorical(share), MultivariateNormal(mean, spread))


def codes_of(model: nn.Module, seed: int = 0) -> Tensor:
    """One code for each training picture: where the encoder puts it, or a draw from what it says."""
    if isinstance(model, Autoencoder):
        return in_batches(model.encoder, load_images()[0])
    return in_batches(lambda x: model.encode(x).sample(torch.Generator().manual_seed(seed)), load_images()[0])


def sample_codes(codes: Tensor, how: str) -> Tensor:
    """2,000 codes: from the standard bell, one bell for each number, one Gaussian for all, or ten."""
    torch.manual_seed(1)
    n, K = (MADE,), codes.shape[1]
    if how == "standard":
        return torch.randn(MADE, K)
    if how == "blind":
        return codes.mean(0) + codes.std(0) * torch.randn(MADE, K)
    return (MultivariateNormal(codes.mean(0), codes.T.cov()) if how == "one" else fit_mixture(codes)).sample(n)


def family_scores(family: str, run: Run, closely: bool) -> dict[str, dict[str, Any]]:
    """The scores of a family as it stands, by curve; `closely`, also those that only lesson 09 shows."""
    model = run.ema.model.eval()
    if "GAN" in family:
        z = torch.randn(MADE, LOTS, generator=torch.Generator().manual_seed(1))
        networks = {"last": run.model["generator"], "averaged": model}
        ours, other = networks if family == "plain GAN" else reversed(networks)
        found = {family: image_scores(in_batches(networks[ours], z))}
        return found | ({f"{family}, {other} weights": image_scores(in_batches(networks[other], z))} if closely else {})
    codes = codes_of(model)
    made = lambda how: image_scores(in_batches(model.decoder, sample_codes(codes, how)))
    found = {f"{family}, fitted codes": made("ten")} | ({"VAE": made("standard")} if family == "VAE" else {})
    if closely:
        found |= {f"{family}, one Gaussian": made("one"), f"{family}, drawn blind": made("blind"), f"{family}, there and back": image_scores(in_batches(model, load_images()[1]))}  # fmt: skip
    return found


# -- parts ----------------------------------------------------------------------------------------------------------------


def step_milliseconds() -> dict[str, Any]:
    """Milliseconds of a step of each family: the quickest of sixty stretches of three steps, taken in turns."""
    runs, best = {family: start_run(family, 0) for family in FAMILIES}, dict.fromkeys(FAMILIES, math.inf)
    data = Minibatches(load_images()[0], 0)
    for stretch in range(60):
        for family, run in runs.items():
            start = time.process_time()
            for step in range(3):
                run.train_step(data[3 * stretch + step])
            if stretch:
                best[family] = min(best[family], (time.process_time() - start) / 3)
    return {family: round(1000 * seconds, 2) for family, seconds in best.items()}


def train_family(family: str, seed: int, steps: dict[int, int], state: Path) -> dict[str, Any]:
    """Train a family, and look at it along the way; what it was at the end is kept in `state`."""
    run, data, found = start_run(family, seed), Minibatches(load_images()[0], seed), {}
    for seconds in POINTS:
        run.model.train()
        while run.history.steps < steps[seconds]:
            run.train_step(data[run.history.steps])
        for name, score in family_scores(family, run, seconds in POINTS[-2:]).items():
            found.setdefault(name, []).append({"seconds": seconds, "steps": steps[seconds]} | score)
        print(family, seed, seconds, {name: rows[-1]["frechet"] for name, rows in found.items()}, flush=True)
    run.save(state)
    return found | ({"told": latent_report(run.ema.model.eval())} if family == "VAE" else {})


def latent_report(model: VAE) -> dict[str, Any]:
    """What the codes of the test pictures tell, number by number, and the bounds, in nats a picture."""
    g, test = torch.Generator().manual_seed(0), load_images()[1]
    with torch.no_grad():
        nats = model.encode(test).kl().mean(0).sort(descending=True).values
        low = -negative_elbo(model, test, g).value.item()
        near = log_evidence(model, test[:200], 200, g).mean().item()
        low_of_those = sum(-negative_elbo(model, test[:200], g).value.item() for _ in range(20)) / 20
    return {"nats": [round(n, 3) for n in nats.tolist()], "elbo": round(low, 1), "elbo_200": round(low_of_those, 1), "evidence_200": round(near, 1)}  # fmt: skip


def collapse(seed: int) -> dict[str, Any]:
    """The same VAE with 32 numbers in its code, told to paint more and more loosely: how many numbers still tell anything?"""
    found = {}
    for noise in (0.25, 0.5, 1.0, 2.0):
        torch.manual_seed(seed)
        model = VAE(encoder(64, WIDTH), decoder(32, WIDTH), noise)
        fit(
            model,
            negative_elbo,
            Minibatches(load_images()[0], seed),
            steps=400,
            seed=seed,
            optimizer=ADAM,
            progress=False,
        )
        with torch.no_grad():
            nats = model.eval().encode(load_images()[1]).kl().mean(0).sort(descending=True).values
        found[str(noise)] = [round(n, 3) for n in nats.tolist()]
    return found


RING = 4 * torch.tensor([[math.cos(a), math.sin(a)] for a in (math.tau * n / 8 for n in range(8))])
RINGS = {  # loss, steadied, memory of Adam
    "plain, long memory": ("non-saturating", False, (0.9, 0.999)),
    "plain": ("non-saturating", False, (0.5, 0.99)),
    "well made, long memory": ("hinge", True, (0.9, 0.999)),
    "well made": ("hinge", True, (0.5, 0.99)),
}


class Ring:
    """128 points of eight small clouds in a ring."""

    def __getitem__(self, step: int) -> Tensor:
        g = torch.Generator().manual_seed(step)
        return RING[torch.randint(8, (128,), generator=g)] + 0.2 * torch.randn(128, 2, generator=g)


def ring(seed: int, steps: int = 600) -> dict[str, Any]:
    """How many of the eight clouds do the points of each game reach? A cloud counts if 12 of 1,000 lie within three spreads of it."""
    net = lambda i, o: nn.Sequential(
        nn.Linear(i, 64), nn.LeakyReLU(0.2), nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, o)
    )
    found = {}
    for name, (loss, steady, betas) in RINGS.items():
        torch.manual_seed(seed)
        generator, discriminator = net(8, 2), net(2, 1)
        config = GANConfig(loss=loss, lr_generator=2e-3, lr_discriminator=2e-3, betas=betas, ema_decay=0.99)
        averaged, _ = train_gan(
            generator,
            add_spectral_norm(discriminator) if steady else discriminator,
            Ring(),
            latent_dim=8,
            steps=steps,
            seed=seed,
            config=config,
            progress=False,
        )
        z = torch.randn(1000, 8, generator=torch.Generator().manual_seed(5))
        with torch.no_grad():
            far = torch.cdist((averaged if steady else generator)(z), RING)
        near = torch.bincount(far.argmin(1)[far.amin(1) < 0.6], minlength=8)
        found[name] = {"clouds": int((near >= 12).sum()), "near": round(near.sum().item() / 1000, 3)}
    return found


# -- checkpoints ----------------------------------------------------------------------------------------------------------


def train_spatial(folder: Path, steps: int = 2600) -> dict[str, Any]:
    """The VAE with a code of 4 x 7 x 7: exact enough for another model to work in its codes."""
    torch.manual_seed(0)
    wide = {"width": SPATIAL["width"], "spatial": True}
    model, begin = VAE(encoder(2 * SPATIAL["code"], **wide), decoder(SPATIAL["code"], **wide), 0.1), time.process_time()
    average, optimizer = (
        EMA(model, 0.99),
        OptimizerConfig(matrix_optimizer="adamw", lr=2e-3, lr_decay="cosine", clip=0.0),
    )
    fit(model, negative_elbo, Minibatches(load_images()[0], 0), steps=steps, seed=0, optimizer=optimizer, progress=False, on_step=lambda *_: average.update())  # fmt: skip
    minutes, model = (time.process_time() - begin) / 60, average.model.eval()
    codes = in_batches(lambda x: model.encode(x).mean, load_images()[0])
    back = in_batches(model, load_images()[1])
    with torch.no_grad():
        q = model.encode(load_images()[1])
    score = {
        "there_and_back": image_scores(back), "mean_square": round((back - load_images()[1]).square().mean().item(), 5),
        "nats": round(q.kl().flatten(1).sum(1).mean().item(), 1), "drawn_from_the_bell": image_scores(in_batches(model.decoder, torch.randn(MADE, 4, 7, 7, generator=torch.Generator().manual_seed(1)))),
        "code_std": [round(s, 3) for s in codes.std((0, 2, 3)).tolist()], "code_mean": [round(s, 3) for s in codes.mean((0, 2, 3)).tolist()],
        "own_std": [round(s, 3) for s in q.std.mean((0, 2, 3)).tolist()],
    }  # fmt: skip
    ship(folder, "vae", model, "a variational autoencoder with a code of 4 x 7 x 7, for models that work in its codes", minutes, score,
         config=SPATIAL | {"noise": 0.1}, steps=steps)  # fmt: skip
    return score | {"minutes": round(minutes, 1), "steps": steps}


def ship(folder: Path, name: str, model: nn.Module, title: str, minutes: float, score: Any, **facts: Any) -> None:
    """Weights in half precision, which is plenty to draw pictures with."""
    tensors = {key: value.half() for key, value in model.state_dict().items()}
    write_checkpoint(folder, name, tensors, title=title, command=COMMAND, data="fashion, train", date=str(datetime.date.today()),
                     minutes=round(minutes, 1), score=score, **facts)  # fmt: skip


SHIPPED = {
    "autoencoder": ("autoencoder", "autoencoder, fitted codes", "an autoencoder, 16 numbers a picture"),
    "vae_flat": ("VAE", "VAE", "a variational autoencoder, 16 numbers a picture"),
    "gan_plain": ("plain GAN", "plain GAN", "the forger of a plain GAN, last weights"),
    "gan": (
        "well-made GAN",
        "well-made GAN",
        "the forger of a GAN with hinge loss and spectral norm, averaged weights",
    ),
}


def ship_all(out: Path, parts: Path, curves: dict[str, list[list[dict[str, Any]]]]) -> None:
    """What the first seed was after 90 seconds."""
    for name, (family, curve, title) in SHIPPED.items():
        run = start_run(family, 0)
        run.load(parts / f"{slug(family)}-0.safetensors")
        model = run.model["generator"] if name == "gan_plain" else run.ema.model
        point = next(point for point in curves[curve][0] if point["seconds"] == 90)
        ship(out / "checkpoints", name, model, f"{title}, after 90 seconds", 1.5, point,
             config={"code": LOTS if "GAN" in family else CODE, "width": WIDTH} | ({"noise": NOISE} if family == "VAE" else {}))  # fmt: skip


slug = lambda family: family.replace(" ", "-")


def main(out: Path) -> None:
    parts, curves = out / "parts", {}
    vae = measure_once(parts / "spatial.json", partial(train_spatial, out / "checkpoints"))
    ms = measure_once(parts / "pace.json", step_milliseconds)
    steps = {family: {s: round(1000 * s / ms[family]) for s in POINTS} for family in FAMILIES}
    rings = [measure_once(parts / f"ring-{seed}.json", partial(ring, seed)) for seed in range(5)]
    collapsed = []
    for seed in range(SEEDS):
        for family in FAMILIES:
            part = parts / f"{slug(family)}-{seed}"
            job = partial(train_family, family, seed, steps[family], part.with_suffix(".safetensors"))
            for name, points in measure_once(part.with_suffix(".json"), job).items():
                curves.setdefault(name, []).append(points)
        collapsed.append(measure_once(parts / f"collapse-{seed}.json", partial(collapse, seed)))
    told_ = curves.pop("told")
    ship_all(out, parts, curves)
    first = ("autoencoder, fitted codes", "VAE", "VAE, fitted codes", "plain GAN", "well-made GAN")
    made = {
        "command": COMMAND,
        "date": datetime.date.today().isoformat(),
        "with": f"torch {torch.__version__.partition('+')[0]}, one thread",
        "pace": {"milliseconds a step": ms, "measured": "quickest of sixty stretches of three steps, taken in turns"},
        "floor": score_floor(),
        "curves": {name: curves.pop(name) for name in first},
        "more": curves,
        "told": told_,
        "collapse": collapsed,
        "ring": rings,
        "spatial": vae,
    }
    write_table(out / "table.json", made, parts, indent=None)


def score_floor() -> dict[str, Any]:
    """Real pictures beside real ones: 200 of each kind from train, against the test pictures."""
    kinds = load("fashion").train.labels
    return image_scores(load_images()[0][torch.cat([(kinds == kind).nonzero()[:200, 0] for kind in range(10)])])
