"""Make table.json and the checkpoints towers, towers_own and captioner: pictures and words in one space, measured over three seeds.

Source   emoji and synonyms, which ship; MiniLM-L6 for the vectors of phrases
Run      python recipes/measure.py 12                  Takes     three to four hours on one thread
         python recipes/measure.py 12 --train-only     the trainings alone; on a GPU, where there is one, seven minutes

Learnt from: the emoji of the split `train` in two styles of drawing, with phrases made of their names and keywords, some of them painted in
a colour that the phrase names. Asked: the third style, names and words never seen. Each part is kept in OUT/parts as soon
as it is done, and a second run goes on from there; `phrases.pt`, the vectors of all phrases, is the only one that a training needs MiniLM for.
"""

import datetime
import math
import os
import random
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable
from functools import cache, partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from common import measure_once, write_checkpoint, write_table
from fmcourse.data import SPLITS, load
from fmcourse.data.images import NAMED_COLOURS, normalize_pixels, recolour
from fmcourse.files import write_atomically
from fmcourse.generation import generate_captions
from fmcourse.models.transformer import modern
from fmcourse.multimodal import (
    CLIP,
    Captioner,
    ImageEncoder,
    TextEncoder,
    captioning,
    image_text_contrastive,
    ranks,
)
from fmcourse.tokenizers import BPETokenizer
from fmcourse.training import derive_seed, fit
from fmcourse.training.optimizers import OptimizerConfig
from torch import Tensor, nn
from torch.nn import functional as F

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
COMMAND = "python recipes/measure.py 12"
SEEDS, BATCH, WIDTH, CHANNELS, VOCABULARY, CONTEXT = 3, 128, 384, (48, 96, 192), 1200, 24
STEPS = {"towers": 2000, "own": 2000, "captioner": 1500}
ADAM = OptimizerConfig(matrix_optimizer="adamw", lr=3e-3, lr_decay="cosine", weight_decay=0.05)
GENTLE = OptimizerConfig(matrix_optimizer="adamw", lr=2e-3, lr_decay="cosine", weight_decay=0.05)
UNSEEN = 2  # the style that no model learns from

# -- phrases --------------------------------------------------------------------------------------------------------------

NOT_MIRRORED = re.compile(
    r"left|right|clock|thirty|button|keycap|facing"
)  # not to be mirrored: it would be something else
SIMPLE = {"a", "an", "and", "at", "for", "in", "of", "on", "or", "the", "to", "with", "without"}


def words(text: str) -> list[str]:
    return re.findall(r"[\w’'-]+", text.lower())


def with_article(text: str) -> str:
    return f"{'an' if text[0] in 'aeiou' else 'a'} {text}"


def content_words(texts: Iterable[str]) -> set[str]:
    """The words that say something."""
    return {word for text in texts for word in words(text)} - SIMPLE


@cache
def concepts(*splits: str) -> dict[str, tuple[str, ...]]:
    """Names of emoji with their keywords."""
    parts = [getattr(load("emoji"), split) for split in splits]
    return {name: keywords for part in parts for name, keywords in zip(part.names, part.keywords, strict=True)}


def is_paintable(name: str) -> bool:
    """A short name in which no colour stands."""
    return len(words(name)) <= 3 and not {*NAMED_COLOURS, "white", "black", "brown"} & {*words(name)}


@cache
def keyword_phrases() -> dict[str, tuple[list[str], list[str]]]:
    """What is said of a picture besides its name: "NAME, KEYWORD" for each keyword, and keywords that belong to three names at most."""
    found, often = {}, Counter(word for keywords in concepts("train").values() for word in keywords)
    for name, keywords in concepts("train").items():
        more = [word for word in keywords if word not in words(name)]
        found[name] = [f"{name}, {word}" for word in more], [word for word in more if often[word] <= 3]
    return found


@cache
def phrases() -> tuple[str, ...]:
    """All that can be said."""
    found: list[str] = []
    for name, (pairs, rare) in keyword_phrases().items():
        found += [name, with_article(name), *pairs, *rare]
        painted_ones = [f"{colour} {name}" for colour in NAMED_COLOURS if is_paintable(name)]
        found += [*painted_ones, *map(with_article, painted_ones)]
    return tuple(sorted(dict.fromkeys(found), key=len))  # of a length side by side: quicker to read


def vectors(texts: Iterable[str]) -> Tensor:
    """MiniLM's, (N, 384)."""
    from fmcourse.pretrained import embed_sentences
    from fmcourse.pretrained import load as pretrained

    model, tokenizer = pretrained("minilm-l6")
    with torch.inference_mode():
        return embed_sentences(model, tokenizer, list(texts), 64)


@cache
def phrase_tokenizer() -> BPETokenizer:
    """A vocabulary learnt from the same phrases; id 0, a byte that no phrase holds, stands where there is nothing."""
    return BPETokenizer.train("".join(f" {phrase}" for phrase in phrases()), VOCABULARY)


def ids(texts: Iterable[str]) -> Tensor:
    rows = [torch.tensor(phrase_tokenizer().encode(f" {text}")[:CONTEXT]) for text in texts]
    return nn.utils.rnn.pad_sequence(rows, batch_first=True)


@cache
def vocabulary() -> tuple[str, ...]:
    """The words of captions; the first one ends them."""
    return ("", *sorted({word for name in concepts("train") for word in words(name)} | {*NAMED_COLOURS}))


def word_ids(text: str) -> Tensor:
    return torch.tensor([vocabulary().index(word) for word in words(text)])


# -- batches --------------------------------------------------------------------------------------------------------------


class CaptionedImages:
    """Pictures, each of another name, moved by up to two pixels, some mirrored, some painted; and what is said of them."""

    def __init__(self, say: Callable[[list[str]], Tensor], seed: int, names_alone: bool = False) -> None:
        self.say, self.seed, self.names_alone = say, seed, names_alone
        self.shown, self.rows = load("emoji").train, {}
        for row, (name, style) in enumerate(zip(self.shown.names, self.shown.styles.tolist(), strict=True)):
            if style != UNSEEN:
                self.rows.setdefault(name, []).append(row)

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        dice = random.Random(derive_seed(self.seed, step))
        names = dice.sample(sorted(self.rows), BATCH)
        colours = [
            dice.choice([*NAMED_COLOURS]) if dice.random() < 0.3 and is_paintable(name) else "" for name in names
        ]
        x = self.shown.pixels[[dice.choice(self.rows[name]) for name in names]]
        for colour in {*colours} - {""}:
            on = torch.tensor([one == colour for one in colours])
            x[on] = recolour(x[on], colour)
        said = [self.phrase(name, colour, dice) for name, colour in zip(names, colours, strict=True)]
        return normalize_pixels(augment_images(x, names, dice)), self.say(said)

    def phrase(self, name: str, colour: str, dice: random.Random) -> str:
        (pairs, rare), kind = keyword_phrases()[name], dice.random()
        plain = self.names_alone or bool(colour)
        if not plain and pairs and kind < 0.25:
            return dice.choice(pairs)
        if not plain and rare and kind > 0.8:
            return dice.choice(rare)
        said = f"{colour} {name}".strip()
        return said if self.names_alone or dice.random() < 0.5 else with_article(said)


def augment_images(x: Tensor, names: list[str], dice: random.Random) -> Tensor:
    """Pictures (B, S, S, 3) bytes, up to two pixels aside, mirrored by chance where that changes nothing that the name says."""
    S, wide = x.shape[1], F.pad(x, (0, 0, 2, 2, 2, 2), value=255)
    found = []
    for one, name in zip(wide, names, strict=True):
        down, across = dice.randrange(5), dice.randrange(5)
        one = one[down : down + S, across : across + S]
        found.append(one.flip(1) if dice.random() < 0.5 and not NOT_MIRRORED.search(name) else one)
    return torch.stack(found)


# -- models and their training --------------------------------------------------------------------------------------------


def new_clip() -> CLIP:
    """Beside MiniLM, which stays as it is: its vectors come in ready."""
    return CLIP(ImageEncoder(WIDTH, CHANNELS), nn.Identity())


def new_clip_own_text() -> CLIP:
    """The same, with a tower for phrases that begins with nothing."""
    config = modern(vocab_size=VOCABULARY, context=CONTEXT, width=128, depth=2, heads=4, causal=False)
    return CLIP(ImageEncoder(WIDTH, CHANNELS), TextEncoder(config, WIDTH))


class SpatialFeatures(nn.Module):
    """A picture tower that tells what it sees place by place."""

    def __init__(self, tower: ImageEncoder) -> None:
        super().__init__()
        self.encoder = tower

    def forward(self, x: Tensor) -> Tensor:
        return self.encoder.spatial_features(x)


def new_captioner() -> Captioner:
    config = modern(vocab_size=len(vocabulary()), context=16 + 10, width=128, depth=2, heads=4)
    return Captioner(SpatialFeatures(ImageEncoder(WIDTH, CHANNELS)), config, CHANNELS[-1])


def phrase_vectors(table: Tensor, texts: list[str]) -> Tensor:
    return table[[phrase_rows()[text] for text in texts]]


@cache
def phrase_rows() -> dict[str, int]:
    return {phrase: row for row, phrase in enumerate(phrases())}


def train_clip(parts: Path, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    kept = torch.load(parts / "phrases.pt", weights_only=True)
    if tuple(kept["phrases"]) != phrases():
        raise ValueError(f"{parts / 'phrases.pt'} holds other phrases; delete it to make it anew.")
    return train_model(
        new_clip(),
        image_text_contrastive,
        CaptionedImages(partial(phrase_vectors, kept["vectors"].float()), seed),
        "towers",
        seed,
    )


def train_clip_own_text(parts: Path, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    table = ids(phrases())
    return train_model(
        new_clip_own_text(), image_text_contrastive, CaptionedImages(partial(phrase_vectors, table), seed), "own", seed
    )


def train_captioner(parts: Path, seed: int) -> nn.Module:
    """Its eyes are those of the towers beside MiniLM, and go on learning."""
    torch.manual_seed(seed)
    model = new_captioner()
    model.image_encoder.encoder.load_state_dict(load_or_train(parts, "towers", seed).image_encoder.state_dict())
    say = lambda texts: nn.utils.rnn.pad_sequence([word_ids(text) for text in texts], batch_first=True)
    return train_model(model, captioning, CaptionedImages(say, 100 + seed, names_alone=True), "captioner", seed, GENTLE)


def train_model(
    model: nn.Module,
    objective: Callable,
    data: CaptionedImages,
    name: str,
    seed: int,
    optimizer: OptimizerConfig = ADAM,
) -> nn.Module:
    model = model.to(DEVICE, memory_format=torch.channels_last)
    fit(model, objective, data, steps=STEPS[name], seed=seed, optimizer=optimizer, progress=False)
    return model


MAKE: dict[str, tuple[Callable[[], nn.Module], Callable[[Path, int], nn.Module]]] = {
    "towers": (new_clip, train_clip),
    "own": (new_clip_own_text, train_clip_own_text),
    "captioner": (new_captioner, train_captioner),
}


def load_or_train(parts: Path, name: str, seed: int) -> Any:
    """A model that was trained before, or is trained now and kept; on the CPU."""
    path, (fresh, train) = parts / f"{name}-{seed}.pt", MAKE[name]
    if not path.exists():
        begun = time.monotonic()
        weights = {key: value.cpu() for key, value in train(parts, seed).state_dict().items()}
        kept = {"weights": weights, "seconds": time.monotonic() - begun, "device": DEVICE}
        write_atomically(path, lambda temporary: torch.save(kept, temporary))
        print(f"{path.stem}: {kept['seconds']:.0f} s on {DEVICE}", flush=True)
    model = fresh()
    model.load_state_dict(torch.load(path, weights_only=True)["weights"])
    return model.eval()


# -- scores ---------------------------------------------------------------------------------------------------------------

GROUPS = {"known": ("train",), "unseen": ("validation", "test")}
PLACES = (1, 5, 10)
RARE = 50  # a telling word belongs to at most one emoji in so many


@cache
def images_in_style(style: int, *splits: str) -> tuple[Tensor, list[str], list[int]]:
    """The pictures in one style, bytes, their names and kinds."""
    parts = [getattr(load("emoji"), split) for split in splits]
    on = [(part.styles == style).nonzero()[:, 0].tolist() for part in parts]
    names = [part.names[row] for part, rows in zip(parts, on, strict=True) for row in rows]
    kinds = [int(part.labels[row]) for part, rows in zip(parts, on, strict=True) for row in rows]
    return torch.cat([part.pixels[rows] for part, rows in zip(parts, on, strict=True)]), names, kinds


unseen_style_images = partial(images_in_style, UNSEEN)
STYLES_SHOWN = {"a known hand": 0, "the third hand": UNSEEN}


@cache
def synonyms() -> dict[str, set[str]]:
    """Words that stand in no phrase, and the names of the emoji that show what they mean."""
    found: dict[str, set[str]] = {}
    for word, name in (item for split in SPLITS for item in getattr(load("synonyms"), split)):
        found.setdefault(word, set()).add(name)
    return dict(sorted(found.items()))


@torch.inference_mode()
def image_vectors(tower: nn.Module, pixels: Tensor) -> Tensor:
    return F.normalize(torch.cat([tower(normalize_pixels(part)) for part in pixels.split(200)]), dim=-1)


VECTORS: dict[str, Tensor] = {}  # MiniLM's, of all that was asked so far


def text_vectors(texts: list[str]) -> Tensor:
    if new := sorted({*texts} - {*VECTORS}, key=len):
        VECTORS.update(zip(new, vectors(new), strict=True))
    return torch.stack([VECTORS[text] for text in texts])


@torch.inference_mode()
def read_texts(model: CLIP, name: str, texts: list[str]) -> Tensor:
    """Unit vectors of texts, by the model's own way to read."""
    form = ids(texts) if name == "own" else text_vectors(texts)
    return F.normalize(torch.cat([model.text_encoder(part) for part in form.split(256)]), dim=-1)


def recall_at(scores: Tensor, right: Tensor) -> list[float]:
    found = ranks(scores, right)
    return [round((found <= k).float().mean().item(), 4) for k in PLACES]


def chance_recall(right: Tensor) -> list[float]:
    """Recall of one who puts the M answers in any order: in each row 1 - C(M - m, k) / C(M, k), m of them right."""
    M, each = right.shape[1], right.sum(1).tolist()
    missed = lambda k: statistics.mean(math.comb(M - m, k) / math.comb(M, k) for m in each)
    return [round(1 - missed(k), 5) for k in PLACES]


def eight_way_accuracy(places: Tensor, M: int) -> float:
    """How often is the right name the nearest among itself and seven others, drawn at random? From its place among all M, exactly."""
    return round(statistics.mean(math.comb(M - place, 7) / math.comb(M - 1, 7) for place in places.tolist()), 4)


def own_image(names: list[str]) -> Tensor:
    return torch.eye(len(names), dtype=torch.bool)


def synonym_matches(names: list[str]) -> Tensor:
    """Which pictures are an answer to each synonym, (synonyms, pictures)."""
    return torch.tensor([[name in found for name in names] for found in synonyms().values()])


def chance_levels() -> dict[str, Any]:
    found = {group: chance_recall(own_image(unseen_style_images(*splits)[1])) for group, splits in GROUPS.items()}
    kinds = {group: Counter(unseen_style_images(*splits)[2]).values() for group, splits in GROUPS.items()}
    words_too = {
        hand: chance_recall(synonym_matches(images_in_style(style, *SPLITS)[1])) for hand, style in STYLES_SHOWN.items()
    }
    found |= {"synonyms": words_too, "colour": round(1 / len(NAMED_COLOURS), 4)}
    largest = {group: round(max(sizes) / sum(sizes), 4) for group, sizes in kinds.items()}
    return found | {"kinds": 1 / len(load("emoji").classes), "largest kind": largest}


def clip_row(name: str, parts: Path, seed: int) -> dict[str, Any]:
    """One pair of towers, asked everything."""
    model, found = load_or_train(parts, name, seed), {"seed": seed}
    for group, splits in GROUPS.items():
        pixels, names, kinds = unseen_style_images(*splits)
        x, right = image_vectors(model.image_encoder, pixels), own_image(names)
        scores = read_texts(model, name, names) @ x.T
        by_kind = x @ read_texts(model, name, list(load("emoji").classes)).T
        told = {"as they are": by_kind, "evened out": by_kind - by_kind.mean(0)}  # some words are near to every picture
        told_apart = {
            way: round((one.argmax(1) == torch.tensor(kinds)).float().mean().item(), 4) for way, one in told.items()
        }
        found[group] = {"picture": recall_at(scores, right), "name": recall_at(scores.T, right), "of eight": eight_way_accuracy(ranks(scores.T, right), len(names)), "kinds": told_apart}  # fmt: skip
    found["synonyms"] = {}
    for hand, style in STYLES_SHOWN.items():
        pixels, names, _ = images_in_style(style, *SPLITS)
        scores, right = (
            read_texts(model, name, list(synonyms())) @ image_vectors(model.image_encoder, pixels).T,
            synonym_matches(names),
        )
        found["synonyms"][hand] = {"recall": recall_at(scores, right), "ranks": dict(zip(synonyms(), ranks(scores, right).tolist(), strict=True))}  # fmt: skip
    return found | {"colour": colour_accuracy(model, name)}


def colour_accuracy(model: CLIP, name: str) -> float:
    """Unseen pictures in an unseen style, each painted in every colour: is the phrase with the right colour the nearest of eight?"""
    pixels, names, _ = unseen_style_images(*GROUPS["unseen"])
    rows = [row for row, one in enumerate(names) if is_paintable(one)]
    said = read_texts(model, name, [f"{colour} {names[row]}" for row in rows for colour in NAMED_COLOURS]).unflatten(
        0, (len(rows), -1)
    )
    right = [(said @ image_vectors(model.image_encoder, recolour(pixels[rows], colour))[:, :, None])[..., 0].argmax(1) == k for k, colour in enumerate(NAMED_COLOURS)]  # fmt: skip
    return round(torch.stack(right).float().mean().item(), 4)


JOBS = ("nurse", "secretary", "dancer", "hairdresser", "boss", "thief", "engineer", "soldier", "cleaner", "doctor")


def gender_bias(parts: Path, seed: int) -> dict[str, float]:
    """Of the roles that a known hand drew both as woman and as man: for which share is a job's word nearer to the woman?"""
    model, (pixels, names, _) = load_or_train(parts, "towers", seed), images_in_style(0, "train")
    roles = [name.removeprefix("woman ") for name in names if name.startswith("woman ")]
    both = [(names.index(f"woman {role}"), names.index(f"man {role}")) for role in roles if f"man {role}" in names]
    women, men = (image_vectors(model.image_encoder, pixels[list(rows)]) for rows in zip(*both, strict=True))
    nearer = (text_vectors(list(JOBS)) @ (women - men).T > 0).float().mean(1)
    return {"roles": len(both)} | dict(zip(JOBS, [round(share, 4) for share in nearer.tolist()], strict=True))


# -- captions -------------------------------------------------------------------------------------------------------------


@cache
def informative_words() -> set[str]:
    """Words that few emoji share: who says one knows more than the coarse kind."""
    often = Counter(word for name, keywords in concepts("train").items() for word in content_words([name, *keywords]))
    return {word for word in content_words(concepts(*SPLITS)) if often[word] <= len(concepts("train")) / RARE}


def caption_scores(captions: list[str], names: list[str]) -> dict[str, float]:
    """Shares of captions that say a word of the name or a keyword, a telling one, the name itself; and the same, shuffled among pictures."""
    right = [content_words([name, *concepts(*SPLITS)[name]]) for name in names]
    said = [content_words([text]) for text in captions]

    def shares(order: list[int]) -> list[float]:
        pairs = [(said[i], right[row], captions[i], names[row]) for row, i in enumerate(order)]
        hits = [
            (bool(a & b), bool(a & b & informative_words()), words(text) == words(name)) for a, b, text, name in pairs
        ]
        return [statistics.mean(column) for column in zip(*hits, strict=True)]

    dice, order = random.Random(0), list(range(len(names)))
    shuffled = [shares(dice.sample(order, len(order))) for _ in range(20)]
    both = zip(shares(order), map(statistics.mean, zip(*shuffled, strict=True)), strict=True)
    return {what: {"share": round(share, 4), "chance": round(chance, 4)} for what, (share, chance) in zip(("word", "telling", "exact"), both, strict=True)}  # fmt: skip


def retrieve_captions(model: CLIP, pixels: Tensor) -> list[str]:
    """For each picture the nearest of all names that were learnt."""
    bank = list(concepts("train"))
    return [
        bank[i]
        for i in (image_vectors(model.image_encoder, pixels) @ read_texts(model, "towers", bank).T).argmax(1).tolist()
    ]


def write_captions(model: Captioner, pixels: Tensor) -> list[str]:
    return [
        text for part in pixels.split(200) for text in generate_captions(model, normalize_pixels(part), vocabulary())
    ]


def captions_row(parts: Path, seed: int) -> dict[str, Any]:
    """Captions written word by word beside those that are found."""
    writer, finder, found = (
        load_or_train(parts, "captioner", seed),
        load_or_train(parts, "towers", seed),
        {"seed": seed},
    )
    for group, splits in GROUPS.items():
        pixels, names, _ = unseen_style_images(*splits)
        found[group] = {"written": caption_scores(write_captions(writer, pixels), names), "found": caption_scores(retrieve_captions(finder, pixels), names)}  # fmt: skip
    pixels, names, _ = unseen_style_images(*GROUPS["unseen"])
    rows = [row for row, one in enumerate(names) if is_paintable(one)]
    right = [
        colour in words(text)
        for colour in NAMED_COLOURS
        for text in write_captions(writer, recolour(pixels[rows], colour))
    ]
    return found | {"colour": round(statistics.mean(right), 4)}


def class_baseline() -> dict[str, Any]:
    """What one gets who knows of each picture its kind and nothing else: for each kind the learnt name that fits most pictures of it."""
    kinds, best = dict(zip(load("emoji").train.names, load("emoji").train.labels.tolist(), strict=True)), {}
    right = {name: content_words([name, *keywords]) for name, keywords in concepts("train").items()}
    for kind in range(len(load("emoji").classes)):
        of = [name for name in right if kinds[name] == kind]
        best[kind] = max(of, key=lambda one: sum(bool(content_words([one]) & right[name]) for name in of))
    rows = {group: unseen_style_images(*splits) for group, splits in GROUPS.items()}
    return {group: caption_scores([best[kind] for kind in kinds], names) for group, (_, names, kinds) in rows.items()}


# -- all of it ------------------------------------------------------------------------------------------------------------


def train_all(parts: Path) -> None:
    parts.mkdir(parents=True, exist_ok=True)
    if not (parts / "phrases.pt").exists():
        made = {"phrases": list(phrases()), "vectors": vectors(phrases()).half()}
        write_atomically(parts / "phrases.pt", lambda temporary: torch.save(made, temporary))
    for seed in range(SEEDS):
        for name in MAKE:
            load_or_train(parts, name, seed)


def ship(out: Path, name: str, part: str, **facts: Any) -> None:
    """Weights of the first seed in half precision, which changes nothing that one could see."""
    parts = out / "parts"
    run = torch.load(parts / f"{part}-0.pt", weights_only=True)
    state = load_or_train(parts, part, 0).state_dict()
    tensors = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    facts |= {"minutes": round(run["seconds"] / 60, 2), "on": run["device"], "data": "emoji, train, noto and twemoji", "config": {"width": WIDTH, "channels": CHANNELS}}  # fmt: skip
    write_checkpoint(
        out / "checkpoints", name, tensors, command=COMMAND, date=datetime.date.today().isoformat(), **facts
    )


def main(out: Path, train_only: bool = False) -> None:
    parts = out / "parts"
    train_all(parts)
    if train_only:
        return
    rows = lambda name, make: [
        measure_once(parts / f"{name}-{seed}.json", partial(make, parts, seed)) for seed in range(SEEDS)
    ]
    found = {name: rows(f"{name}-scores", partial(clip_row, name)) for name in ("towers", "own")}
    found["captions"], found["habits"] = rows("captions-scores", captions_row), rows("habits", gender_bias)
    trainings = {name: [torch.load(parts / f"{name}-{seed}.pt", weights_only=True) for seed in range(SEEDS)] for name in MAKE}  # fmt: skip
    made = {
        "command": COMMAND,
        "date": datetime.date.today().isoformat(),
        "with": f"torch {torch.__version__.partition('+')[0]}",
        "trained": {name: {"steps": STEPS[name], "seconds": [round(run["seconds"]) for run in runs], "on": runs[0]["device"]} for name, runs in trainings.items()},
        "batch": BATCH,
        "phrases": len(phrases()),
        "asked": {group: len(unseen_style_images(*splits)[1]) for group, splits in GROUPS.items()} | {"synonyms": len(synonyms())},
        "chance": chance_levels(),
        "kind alone": class_baseline(),
    } | found  # fmt: skip
    ship(
        out,
        "towers",
        "towers",
        title="a tower for pictures beside MiniLM's vectors of phrases",
        score=found["towers"][0],
    )
    ship(
        out,
        "towers_own",
        "own",
        title="a tower for pictures and one for phrases",
        score=found["own"][0],
        merges=phrase_tokenizer().merges,
    )
    ship(out, "captioner", "captioner", title="a picture becomes the first places of a small language model", score=found["captions"][0], words=vocabulary())  # fmt: skip
    write_table(out / "table.json", made, parts)
