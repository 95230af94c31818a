# %% [raw]
# builds = "seven self-supervised tasks on unlabelled data; how many labels they save; causal against masked models"
# [reads]
# "fmcourse.objectives" = ["next_token", "masked_token", "mask_tokens", "span_corruption", "corrupt_spans", "denoising", "masked_patches", "contrastive", "info_nce", "transformation_prediction"]
# "fmcourse.models.patches" = ["patchify", "PatchEncoder", "MaskedAutoencoder"]

# %% [markdown]
# # 03 · Labels for nothing: self-supervision
# **In this lesson nobody labels anything. You hide parts of texts, pictures and sounds from a network, ask it for them, and measure what that was
# good for.**
#
# 75 minutes to read and do · two minutes to compute · you need Python and a little PyTorch. A network is a box here: numbers in, numbers out.

# %% [markdown]
# **Afterwards you can**
# - make labels out of bare text, pictures and sound in seven ways;
# - write BERT's masks, T5's spans and CLIP's loss yourself;
# - say how many labels pretraining saves, and when it saves none;
# - choose between causal, prefix and masked, with a number for each.

# %%
import math
import re
from functools import partial

import matplotlib.pyplot as plt
import torch
from fmcourse import objectives
from fmcourse.course import check, claim, hint, predict, progress, quiz, show, solution
from fmcourse.data import load, table
from fmcourse.models import patches, seq2seq, transformer
from fmcourse.plots import LiveCurve
from fmcourse.plots.widgets import interactive
from fmcourse.training import RandomCrops, fit, lesson_steps
from torch import nn
from torch.nn import functional as F

# fmt: off

# %% [markdown]
# ## 1 · Seven ways to make a label
# A label is an answer that somebody wrote down; ten thousand take weeks. But data are full of answers: cover a part, and the part is
# the answer. This lesson's raw material:

# %%
clothes, speech, shipped = load("fashion"), load("speech"), table("lesson_03")
plain = lambda text: " ".join(re.findall("[a-z]+", text.lower()))
texts = {name: plain(load(name).train)[:3_000_000] for name in ("shakespeare", "austen", "bible")}
for name, text in texts.items():
    print(f"{name:12}{len(text):>10,} letters   {text[40_000:40_044]}")
print(f"{'clothes':12}{len(clothes.train):>10,} pictures  {tuple(clothes.train.pixels.shape[1:])}")
print(f"{'speech':12}{len(speech.train):>10,} prompts   "
      f"{sum(len(said.samples) for said in speech.train) / 8000:.0f} seconds")  # fmt: skip

# %% [markdown]
# **Way one: what comes next?** Lay a text against itself, shifted by one letter. Every letter is the answer to all that stands before it.

# %%
LETTERS = " abcdefghijklmnopqrstuvwxyz"
BLANK = len(LETTERS)  # one number more, for a letter that is hidden
coded = lambda text: torch.tensor([LETTERS.index(letter) for letter in text])
spelt = lambda ids: "".join((LETTERS + "▢")[i] for i in ids.tolist())
line = "to be or not to be that is the question"
print("given", spelt(coded(line)[:-1]), "\nasked", spelt(coded(line)[1:]))

# %% [markdown]
# **Way two: what is hidden?** BERT asks for 15 tokens in 100. But of those it covers only most: some it *swaps* for another, some it leaves.
# Why? Later there will be no blanks, and a network that trusts all it reads has nothing to think about.

# %% exercise="03.1"

# %%
ids = coded(texts["austen"][: 64 * 100]).view(100, 64)
draws = torch.Generator().manual_seed(0)
draw, fate = (torch.rand(ids.shape, generator=draws) for _ in range(2))
other = torch.randint(28, ids.shape, generator=draws)
inputs, asked = hide_tokens(ids, draw, fate, other, mask=BLANK, rate=0.15)
theirs = objectives.mask_tokens(ids, torch.Generator().manual_seed(0), mask_id=BLANK, vocab_size=28)
claim("your masks are the package's", torch.equal(inputs, theirs[0]) and torch.equal(asked, theirs[1]))
n = int((asked & (inputs == ids)).any(1).nonzero()[0])
print(spelt(ids[n]), spelt(inputs[n]), "".join(" ^"[int(a)] for a in asked[n]), sep="\n")

# %% [markdown]
# A `^` without a blank above it asks for a letter that can be read, and must not be believed.
#
# **Way three: what fell out?** T5 cuts whole spans. One half of the network reads what is left, the other writes the scraps down.

# %% exercise="03.2"

# %%
words = ["it", "is", "a", "truth", "universally", "acknowledged", "that", "a", "single", "man", "in", "possession",
         "of", "a", "good", "fortune", "must", "be", "in", "want", "of", "a", "wife"]  # fmt: skip
source, target = cut_spans(words, [(3, 5), (9, 10), (17, 20)])
print("reads  ", " ".join(source), "\nwrites ", " ".join(target))
# the package's, on numbers; it keeps 0 free, so letters count from 1
read, written = objectives.corrupt_spans(ids + 1, draws, sentinel_id=40)  # fmt: skip
both = torch.cat([read, written], 1)
letters = both[both < 40].view(100, -1)
claim("in a hundred lines every letter stands on one side, and on one only", torch.equal(letters.sort().values,
    (ids + 1).sort().values))  # fmt: skip

# %% [markdown]
# Pictures and sounds are not made of words, but the games are the same. **Four**: add noise, ask for what was there. **Five**: cut a picture
# into squares, hide three in four. **Six**: show two views, and ask which two belong together. **Seven**: turn it, or play it backwards; what
# did you do?


# %%
def heard(part):  # a quarter of a second each, pauses left out, equally loud
    pieces = [said.samples.float().unfold(0, 2000, 500) for said in part if len(said.samples) >= 2000]
    sounds = torch.cat(pieces)
    sounds = sounds[sounds.std(1) > 300]
    return sounds / sounds.std(1, keepdim=True)


grey, sounds, chance = clothes.train.pixels / 255, heard(speech.train), torch.Generator().manual_seed(3)
squares = patches.patchify(grey[11:12], 4)  # (1, 49, 16): 49 squares of 16 pixels
gone = torch.rand(49, generator=chance).argsort() < 37
print(f"{len(sounds):,} pieces of sound; a picture in {squares.shape[1]} squares, of which {49 - int(gone.sum())} stay")


# %%
def warped(x, turn, wide, high, across, down):  # pictures through a window so turned, so wide, so high, moved so far
    rows = [wide * turn.cos(), -high * turn.sin(), across, wide * turn.sin(), high * turn.cos(), down]
    grid = F.affine_grid(torch.stack(rows, 1).view(-1, 2, 3), [len(x), 1, 28, 28], align_corners=False)
    return F.grid_sample(x[:, None], grid, align_corners=False)[:, 0]


# a window by chance: part of the picture, tilted, mirrored, in another light, with a hole and noise
def view(x, generator):  # fmt: skip
    draw = lambda low, high: low + (high - low) * torch.rand(len(x), generator=generator)
    side, shape, face = draw(0.3, 1).sqrt(), draw(-0.15, 0.15).exp(), torch.where(draw(0, 1) < 0.5, 1.0, -1.0)
    wide, high = (side * shape).clamp(max=1), (side / shape).clamp(max=1)
    x = warped(x, draw(-0.5, 0.5), wide * face, high, (1 - wide) * draw(-1, 1), (1 - high) * draw(-1, 1))
    x = (x * draw(0.4, 1.6)[:, None, None]).clamp(1e-4, 1) ** draw(-0.7, 0.7).exp()[:, None, None]
    across, down, size = (draw(*ends)[:, None, None] for ends in ((0, 28), (0, 28), (0, 6)))
    hole = ((torch.arange(28) - across).abs() < size) & ((torch.arange(28)[:, None] - down).abs() < size)
    return x.masked_fill(hole, 0) + 0.03 * torch.randn(x.shape, generator=generator)


# %%
def panel(ax, thing, title=""):
    if isinstance(thing, str):
        ax.text(0.5, 0.5, thing, ha="center", va="center", family="monospace", fontsize=10)
    elif thing.ndim == 1:
        ax.plot(thing, linewidth=0.6)
    else:
        ax.imshow(thing, cmap="gray", vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[], title=title)
    ax.spines[:].set_visible(False)


# %%
two, spoken, whole = view(grey[11:12].repeat(2, 1, 1), chance), sounds[6], lambda x: x.view(7, 7, 4, 4).transpose(1,
    2).reshape(28, 28)  # fmt: skip
games = [("1 next token", "to be or n▁", "o", "the text, one on"), ("2 masked token", "to b▢ or not", "e",
    "under the blank"),
         ("3 span corruption", "to <0> not to be", "<0> be or <1>", "what was cut out"),
         ("4 denoising", spoken + 0.5 * torch.randn(2000, generator=chance), spoken, "the sound before"),
         ("5 masked patches", whole(torch.where(gone[:, None], 0.5, squares[0])),
          whole(torch.where(gone[:, None], squares[0], 0.5)), "under the squares"),
         ("6 contrastive", torch.cat(list(two), 1), "one thing\nor two?", "we made both views"),
         ("7 which change?", grey[11].rot90(), "90°", "we turned it")]  # fmt: skip
print(*(name for name, *_ in games), sep=" · ")

# %%
fig, axes = plt.subplots(7, 3, figsize=(8, 8), height_ratios=[0.35, 0.35, 0.35, 0.8, 1, 1, 1], width_ratios=[1.2, 1, 1])
for (name, shown, wanted, origin), row in zip(games, axes, strict=True):
    for ax, thing in zip(row, (shown, wanted, origin), strict=True):
        panel(ax, thing)
    row[0].set_ylabel(name, rotation=0, ha="right", va="center")
for ax, title in zip(axes[0], ("it gets", "is asked for", "the label came from"), strict=True):
    ax.set_title(title)
show(fig, alt="Seven rows: what is given, what is asked, where the label came from. The next letter, a blanked "
     "letter, a cut-out span, a sound without its noise, the hidden squares of a boot, whether two views show one "
     "thing, the angle of a turn.")  # fmt: skip

# %% [markdown]
# The last column is the trick: each answer was there already, or we drew it ourselves. Nobody was paid.
#
# ### Can it be learnt?
# Four small boxes to try it, a few seconds each. A guess costs what the best blind answer costs.


# %%
from fmcourse.training.optimizers import MUON_SHORT_RUN, OptimizerConfig


class Some:  # random rows, a batch for each step
    def __init__(self, rows, batch=64):
        self.rows, self.batch = rows, batch

    def __getitem__(self, step):
        return self.rows[torch.randint(len(self.rows), (self.batch,), generator=torch.Generator().manual_seed(step))]



ADAM, worked = OptimizerConfig(matrix_optimizer="adamw", lr=3e-3, lr_decay="cosine", weight_decay=1e-4), []


def tried(name, model, objective, rows, fresh, steps, guess, optimizer=ADAM, batch=64):
    fit(model, objective, Some(rows, batch), steps=lesson_steps(steps), seed=0, optimizer=optimizer, progress=False)
    with torch.no_grad():
        after = objective(model.eval(), fresh, torch.Generator().manual_seed(1)).value.item()
    worked.append(after < guess)
    print(f"{name:30} guessing costs {guess:.2f}, on unseen data it now pays ≈ {after:.2f}")


# %%
def listener(answers):  # a quarter of a second in, a score for each answer out
    layer = lambda i, o, size, stride: [nn.Conv1d(i, o, size, stride), nn.BatchNorm1d(o), nn.ReLU()]
    layers = [*layer(1, 32, 32, 8), *layer(32, 32, 9, 4), *layer(32, 64, 9, 4)]
    return nn.Sequential(nn.Unflatten(1, (1, -1)), *layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(),
                         nn.Linear(64, answers))  # fmt: skip



def cleaner():  # sound in, sound out
    layer = lambda i, o: nn.Conv1d(i, o, 17, padding=8)
    return nn.Sequential(nn.Unflatten(1, (1, -1)), layer(1, 16), nn.ReLU(), layer(16, 16), nn.ReLU(), layer(16, 1),
                         nn.Flatten())  # fmt: skip


torch.manual_seed(0)
fresh, ways = heard(speech.validation), [lambda x: x, lambda x: x.flip(-1)]
tried("sound: forwards or backwards?", listener(2), partial(objectives.transformation_prediction, transforms=ways),
      sounds, fresh, 100, math.log(2))  # fmt: skip
tried("sound: without the noise", cleaner(), partial(objectives.denoising, noise=0.5), sounds[:, :500],
      fresh[:100, :500], 100, 0.5**2, batch=16)  # fmt: skip

# %%
pieces, shape = patches.patchify(grey, 4), {"heads": 4, "causal": False}
Config = transformer.Config
encoder = patches.PatchEncoder(Config(width=64, depth=2, **shape), 49, 16)
painter = patches.MaskedAutoencoder(encoder, Config(width=32, depth=1, **shape))
mean_square = (pieces - pieces.mean(0)).square().mean().item()
tried("picture: hidden squares", painter, objectives.masked_patches, pieces[:9000], pieces[9000:], 200, mean_square)

writer = seq2seq.EncoderDecoder(seq2seq.vaswani2017(vocab_size=60, context=64, width=64, depth=2, heads=4, dropout=0.0))
lines = coded(texts["austen"][: 64 * 5000]).view(5000, 64) + 1
share = torch.bincount(lines.flatten())[1:] / lines.numel()
blind = -(share * share.clamp_min(1e-9).log()).sum().item()
tried("text: spans that were cut out", writer, partial(objectives.span_corruption, sentinel_id=40), lines[:4800],
      lines[4800:], 120, blind, MUON_SHORT_RUN, 32)  # fmt: skip
if lesson_steps(20) == 20:
    claim("each pays less than the best who does not look", all(worked), games=len(worked))

# %%
with torch.no_grad():
    painted = torch.where(gone[:, None], painter.eval()(squares, gone[None])[0], squares[0])
fig, axes = plt.subplots(1, 3, figsize=(6.4, 2.4))
for ax, part, title in zip(axes, (torch.where(gone[:, None], 0.5, squares[0]), painted, squares[0]),
                           ("it saw", "it painted", "there was"), strict=True):  # fmt: skip
    panel(ax, whole(part).clamp(0, 1), title)
show(fig, alt="A boot of which a quarter of the squares is left; what the network paints into the gaps, a blurred "
     "boot; and the real one.")  # fmt: skip

# %% [markdown]
# ## 2 · And is it any use?
# Painting squares is no trade. We want to tell ten kinds of clothes apart with *few labels*. Is a box that has played with 10,000 unlabelled
# pictures further on than one that has not?
#
# Fashion-MNIST hides the difficulty: somebody centred and straightened every picture. That is human work too. We undo it.


# %%
# smaller, tilted, somewhere in the frame, facing either way, in another light: as pictures come
def moved(pixels, seed):  # fmt: skip
    g = torch.Generator().manual_seed(seed)
    draw = lambda low, high: low + (high - low) * torch.rand(len(pixels), generator=g)
    turn, zoom, face = draw(-0.44, 0.44), 1 / draw(0.55, 0.95), torch.where(draw(0, 1) < 0.5, 1.0, -1.0)
    across, down = (zoom - 1) * draw(-1, 1), (zoom - 1) * draw(-1, 1)
    x = warped(pixels / 255, turn, zoom * face, zoom, across, down) * draw(0.5, 1.2)[:, None, None]
    return (255 * x.clamp(0, 1)).round() / 255


known, asked = moved(clothes.train.pixels, 1), moved(clothes.test.pixels, 2)
kinds, wanted = clothes.train.labels, clothes.test.labels
fig, axes = plt.subplots(2, 10, figsize=(8, 1.9))
for kind, at in enumerate([int((kinds == kind).nonzero()[3]) for kind in range(10)]):
    panel(axes[0, kind], grey[at], clothes.classes[kind])
    panel(axes[1, kind], known[at])
    axes[0, kind].title.set_fontsize(8)
show(fig, alt="Ten pieces of clothing as they ship, upright and filling the frame; below the same ones smaller, "
     "tilted, off the centre.")  # fmt: skip

# %% [markdown]
# The judge is a **linear probe**: the box is frozen, and one matrix, fitted to a few labelled pictures, reads its numbers. What the probe can
# tell, the box must have prepared.


# %%
def probe(known, labels, asked, kinds, pull=1e-4):  # logistic regression, its weights pulled towards zero
    weights = torch.zeros(known.shape[1] + 1, kinds, requires_grad=True)
    search = torch.optim.LBFGS([weights], max_iter=60, line_search_fn="strong_wolfe")

    def closure():
        search.zero_grad()
        loss = F.cross_entropy(known @ weights[1:] + weights[0], labels) + pull * weights[1:].square().sum()
        loss.backward()
        return loss

    search.step(closure)
    return (asked @ weights[1:] + weights[0]).argmax(1).detach()


# %%
def even(known, asked):  # each number with the same spread over all pictures, labelled or not
    mean, std = known.mean(0), known.std(0)
    kept = std > 1e-4 * std.max()
    return [((x - mean) / std)[:, kept] / kept.sum().sqrt() for x in (known, asked)]



def few(labels, seed):  # which pictures get a label, as many of each kind
    g, rows = torch.Generator().manual_seed(seed), [(kinds == kind).nonzero()[:, 0] for kind in range(10)]
    return torch.cat([of[torch.randperm(len(of), generator=g)[: labels // 10]] for of in rows])


def told(known, asked, labels, draws=4):  # accuracy, mean over draws of the labelled pictures
    known, asked = even(known, asked)
    rows = [few(labels, seed) for seed in range(draws)]
    return sum((probe(known[r], kinds[r], asked, 10) == wanted).float().mean().item() for r in rows) / draws


# %%
upright = [grey.flatten(1), clothes.test.pixels.flatten(1) / 255]
raw = {"as they ship": told(*upright, 1000, draws=1), "moved": told(known.flatten(1), asked.flatten(1), 1000, draws=1)}
for name, share in raw.items():
    print(f"1,000 labels on raw pixels, {name}: ≈ {share:.2f} accuracy")
claim("tidiness was worth more than 30 pictures in a hundred", raw["as they ship"] - raw["moved"] > 0.3,
      **{name.replace(" ", "_"): share for name, share in raw.items()})  # fmt: skip

# %%
predict("03.labels", "A box plays with the moved pictures for half a minute, without labels. How many labels does "
        "a probe on it need to do as well as 1,000 do on raw pixels?",
        ["about 500", "about 100", "about 30"])  # fmt: skip

# %% [markdown]
# ### Which two belong together?
# Game six, **contrastive**: two views of each picture, and the box must find partners in the crowd. Likeness is the cosine of what it says of
# each.

# %% exercise="03.3"

# %%
a, b = torch.randn(2, 64, 16, generator=draws)
gap = (info_nce(a, b, 0.1) - objectives.info_nce(a, b, 0.1)).abs()
claim("your loss is the package's", gap < 1e-5, gap=gap)
nats = [info_nce(a[:n], a[:n] + b[:n], 0.2).item() for n in (2, 8, 64)]
claim("the larger the crowd, the harder the question", nats[0] < nats[1] < nats[2], nats=nats)

# %%
fig, axes = plt.subplots(2, 8, figsize=(8, 2.2))
for row in axes:
    for ax, x in zip(row, view(known[:8], chance), strict=True):
        panel(ax, x)
show(fig, alt="Eight pieces of clothing, each seen through two windows: enlarged, tilted, mirrored, darker or "
     "lighter, with small holes.")  # fmt: skip

# %% [markdown]
# What the views change, the box learns to ignore: place, tilt, light. **What they leave is what it must look at.** The views are where *you*
# say what does not matter.


# %%
def network():  # a picture in, 96 numbers out
    layer = lambda i, o, s: [nn.Conv2d(i, o, 3, s, 1, bias=False), nn.BatchNorm2d(o), nn.ReLU()]
    layers = [*layer(4, 24, 1), *layer(24, 48, 2), *layer(48, 96, 1), *layer(96, 96, 2)]
    return nn.Sequential(nn.Unflatten(1, (1, 28)), nn.PixelUnshuffle(2), *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


torch.manual_seed(0)
box = network()
game = nn.Sequential(box, nn.Linear(96, 192), nn.BatchNorm1d(192), nn.ReLU(), nn.Linear(192, 64))
steps = lesson_steps(shipped["steps"]["live"])
full = steps == shipped["steps"]["live"]
with LiveCurve(alt="Loss against step: it starts near the logarithm of 128, falls fast, then ever more slowly.",
               ylabel="loss (nats per pair)") as curve:  # fmt: skip
    history = fit(game, partial(objectives.contrastive, augment=view, temperature=0.2), Some(known, 128),
                  steps=steps, seed=0, optimizer=ADAM, on_step=curve, progress=False)  # fmt: skip
print("≈", history)

# %%
with torch.no_grad():  # the layers behind the box have done their work and are thrown away
    said = [torch.cat([box.eval()(part) for part in x.split(500)]) for x in (known, asked)]
live, runs = told(*said, 30), [run["30"] for run in shipped["live"]["contrastive"]]
band = (2 * min(runs) - max(runs) - 0.02, 2 * max(runs) - min(runs) + 0.02)  # wider than the three lie apart
print(f"30 labels now: ≈ {live:.3f} accuracy; three seeds: {runs}")
if full:
    claim("30 labels now tell more than they did on raw pixels, by ten in a hundred", live - told(known.flatten(1),
        asked.flatten(1), 30) > 0.1, band=band, told=live)  # fmt: skip

# %% [markdown]
# Who has learnt to ignore tilt and light needs to hear only what a trouser is *called*.
#
# ### The whole table
# One seed and half a minute prove little. A recipe gave twice that to three games, three seeds each. Beside them: raw pixels, the box
# untrained, and the box trained **from scratch**, on the labels alone.

# %%
styles = {"contrastive": "o-", "upright": "P-", "turned": "s--", "patches": "^:", "scratch, no views": "D-.",
          "pixels": "x:", "untrained": "v--"}  # fmt: skip
names = {"upright": "contrastive, untilted views", "turned": "which turn?", "patches": "hidden squares",
         "scratch, no views": "from scratch", "pixels": "raw pixels"}  # fmt: skip
tints = dict(zip(styles, ["#0072B2", "#56B4E9", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00"], strict=True))
fig, axes = plt.subplots(1, 2, figsize=(9, 4.2), sharey=True)
for ax, group in zip(axes, ("moved", "as they ship"), strict=True):
    for way in [way for way in styles if way in shipped[group]]:
        table_ = torch.tensor([[run[str(n)] for n in shipped["labels"]] for run in shipped[group][way]])
        mean, low, high = table_.mean(0), table_.amin(0), table_.amax(0)
        ax.errorbar(shipped["labels"], mean, torch.stack([mean - low, high - mean]).clamp(min=0), fmt=styles[way],
                    color=tints[way], label=names.get(way, way), capsize=3)  # fmt: skip
    ax.set(xscale="log", xlabel="labels", title=f"pictures {group}")
    ax.set_xticks(shipped["labels"], shipped["labels"])
    ax.legend(fontsize=8)
axes[0].set_ylabel("accuracy")
show(fig, alt="Accuracy against labels. On moved pictures the contrastive line lies above all others "
     "from 30 labels on. On those that ship, raw pixels are as good as it is, or better.")  # fmt: skip

# %%
of = lambda way, labels, group="moved": [run[str(labels)] for run in shipped[group][way]]
claim("moved: 30 labels after a minute of play beat 1,000 on raw pixels, in each of three seeds",
      min(of("contrastive", 30)) > max(of("pixels", 1000)), played=of("contrastive", 30), pixels=of("pixels", 1000))  # fmt: skip
claim("and 100 for the same box from scratch", min(of("contrastive", 30)) > max(of("scratch, no views", 100)),
      played=of("contrastive", 30), from_scratch=of("scratch, no views", 100))  # fmt: skip
claim("hiding squares and guessing turns help less than that, at this size",
      all(max(of(way, 30)) < min(of("contrastive", 30)) for way in ("turned", "patches")), turned=of("turned", 30),
      patches=of("patches", 30))  # fmt: skip
tidy = {way: of(way, 1000, "as they ship") for way in ("contrastive", "pixels")}
claim("on tidy pictures play gains nothing: with 1,000 labels raw pixels win, in each seed",
      max(tidy["contrastive"]) < min(tidy["pixels"]), **tidy)  # fmt: skip
print(f"{shipped['date']}, `{shipped['command']}`")

# %% [markdown]
# A thirtieth of the labels, or a third: it depends on the rival. And on pictures that somebody straightened there is little left to learn to
# ignore. So is it the playing that knows, or the **views**, which we chose? Give them to the rival: few labels, but another view each time.

# %%
mean = lambda way, n: sum(of(way, n)) / 3
for way in ("contrastive", "scratch, no views", "scratch", "contrastive, then tuned"):
    print(f"{way:24}" + "".join(f"{n:>7,}: {mean(way, n):.3f}" for n in shipped["labels"]))
claim("with the same views the rival from scratch is as good or better, in each of three seeds",
      min(of("scratch", 30)) > max(of("contrastive", 30)), with_views=of("scratch", 30), played=of("contrastive", 30))  # fmt: skip
claim("and to begin from the box that played gains it nothing, at this size", mean("contrastive, then tuned",
    30) < mean("scratch", 30) + 0.02, played_then_tuned=of("contrastive, then tuned", 30))  # fmt: skip

# %% [markdown]
# An honest blow: the views are knowledge, ours, and the rival uses it too. What play still buys: the box is trained *once*, before anyone knows the
# task, and each task then costs one matrix. With millions of pictures it buys more: SimCLR's table is below.

# %% [markdown]
# ## 3 · Causal or masked?
# Back to texts, and to the great fork of the field. One box of three layers, the same letters, the same steps. It says something about every
# letter of a line. The only difference is **who may look at whom**: a table of yes and no, the *mask*.

# %% [markdown]
# **Causal** (GPT): each position sees itself and what came before. **Masked** (BERT): everybody sees everybody, and blanks are filled. In
# between, the **prefix**: what is given is read both ways, what is written looks only back.

# %% exercise="03.4"

# %%
fig, axes = plt.subplots(1, 3, figsize=(7.6, 2.7))
for ax, (name, prefix) in zip(axes, {"causal": 0, "prefix of 4": 4, "masked": 9}.items(), strict=True):
    ax.imshow(prefix_mask(9, prefix), cmap="cividis", vmin=0, vmax=1.2)
    ax.set(title=name, xlabel="looked at", xticks=[], yticks=[])
axes[0].set_ylabel("looks")
show(fig, alt="Three squares. Causal: the lower triangle is bright. Prefix of four: also the first four columns. "
     "Masked: all of it is bright.")  # fmt: skip

# %%
predict("03.fork", "One letter in a line is blanked. The causal box sees what is left of it, the masked one both "
        "sides. After the same training, who fills it better, and who goes on with a text better?",
        ["the causal one in both", "the masked one in both", "each in its own game"])  # fmt: skip

# %%
mix = torch.cat([coded(text) for text in texts.values()])
unseen = [coded(plain(load(name).test)) for name in texts]
lines = torch.cat([RandomCrops(part, 64, 400, seed=7)[0] for part in unseen])  # 1,200 lines of unseen works


def reader(causal, objective, length):
    torch.manual_seed(0)
    model = transformer.Transformer(transformer.modern(vocab_size=28, context=64, width=96, depth=3, heads=4,
        causal=causal))  # fmt: skip
    history = fit(model, objective, RandomCrops(mix, length, 12, seed=0),
                  steps=lesson_steps(shipped["steps"]["texts live"]), seed=0, optimizer=MUON_SHORT_RUN, progress=False)  # fmt: skip
    print("≈", history)
    return model.eval()


causal = reader(True, objectives.next_token, 65)
masked = reader(False, partial(objectives.masked_token, mask_id=BLANK), 64)

# %% [markdown]
# **Filling a blank.** Letter 32 of each line is hidden. The masked box reads both sides in one pass; the causal one comes from the left and
# stops before it.


# %%
@torch.inference_mode()
def after(ids):  # causal: log-probabilities of the letter that follows each row
    return torch.cat([causal(some)[:, -1, :27].log_softmax(-1) for some in ids.split(100)])


@torch.inference_mode()
def under(ids, place):  # masked: log-probabilities of the letter at a place, blanked, from all others
    ids = ids.index_fill(1, torch.tensor([place]), BLANK)
    return torch.cat([masked(some)[:, place, :27].log_softmax(-1) for some in ids.split(100)])


right = lambda guess: (guess.argmax(1) == lines[:, 32]).float().mean().item()
bits = lambda guess: F.nll_loss(guess, lines[:, -1]).item() / math.log(2)
blank = {"causal": right(after(lines[:, :32])), "masked": right(under(lines, 32))}
for way, share in blank.items():
    print(f"{way:8} ≈ {share:.3f} of the blanks filled rightly; three seeds: "
          f"{[run['blank'] for run in shipped['live'][way]]}")  # fmt: skip

# %% [markdown]
# **Going on.** The last letter of each line, from the 63 before it. The masked box is shown a blank there. Below, each writes on, letter by
# letter.

# %%
onward = {"causal": bits(after(lines[:, :-1])), "masked": bits(under(lines, 63))}
for way, cost in onward.items():
    print(f"{way:8} ≈ {cost:.2f} bits for the letter that comes next; three seeds: "
          f"{[run['next_bits'] for run in shipped['live'][way]]}")  # fmt: skip
if full:
    claim("even after half a minute each wins its own game", blank["masked"] > blank["causal"]
          and onward["causal"] < onward["masked"], blanks=blank, bits=onward)  # fmt: skip


# %%
def go_on(text, way, letters=70, seed=0):
    ids, g = coded(text)[None], torch.Generator().manual_seed(seed)
    for _ in range(letters):
        recent = ids[:, -63:]
        log_p = after(recent) if way == "causal" else under(F.pad(recent, (0, 1)), recent.shape[1])
        ids = torch.cat([ids, torch.multinomial(log_p.exp(), 1, generator=g)], 1)
    return spelt(ids[0])


for way in ("causal", "masked"):
    print(f"{way:8} ≈ {go_on('it is a truth universally ', way)}")

# %% [markdown]
# ### Move the blank
# A line, a place: what would either put there? Try the first letter of a word, then its last. And say beforehand where the two will differ
# most.


# %%
def draw_blank(text="he took her hand and said nothing", place=8):
    ids = coded(plain(text) or " ")[None, :64]
    place = max(1, min(place, ids.shape[1] - 1))
    fig, axes = plt.subplots(1, 2, figsize=(7.6, 2.8))
    for ax, (way, guess) in zip(axes, {"causal": after(ids[:, :place]), "masked": under(ids, place)}.items(),
                                strict=True):  # fmt: skip
        top = guess[0].exp().topk(5)
        ax.barh([LETTERS[i].replace(" ", "␣") for i in top.indices], top.values,
                color=["#0072B2", "#D55E00"][way == "masked"], hatch=["", "//"][way == "masked"], edgecolor="white")  # fmt: skip
        ax.set(title=way, xlabel="probability", xlim=(0, 1))
        ax.invert_yaxis()
    fig.suptitle(spelt(ids[0, :place]) + "▢" + spelt(ids[0, place + 1 :]), family="monospace", fontsize=10)
    return fig


interactive(draw_blank, text="he took her hand and said nothing", place=(1, 60),
            alt="A line with one letter blanked, and the five letters that the causal and the masked box would "
            "rather put there, as bars.")  # fmt: skip

# %% [markdown]
# ### The whole table
# Twice as long, three seeds, the prefix mask as third. And what are the boxes' numbers good for as a *summary*? A probe on their mean must say
# who wrote 256 letters.

# %%
asks = {"blank": "blanks filled (share)", "next_bits": "next letter (bits)", "words": "written words that exist"}
three = {"causal": ("#0072B2", "", "o-"), "prefix": ("#E69F00", "..", "^:"), "masked": ("#D55E00", "//", "s--"),
         "letters counted": ("#000000", "", "x-.")}  # fmt: skip
fig, axes = plt.subplots(1, 4, figsize=(10.5, 3.2))
for way, (tint, hatch, style) in three.items():
    runs = shipped["texts"][way]
    for ax, key in zip(axes, asks, strict=False) if way != "letters counted" else ():
        ax.bar(way, sum(run[key] for run in runs) / len(runs), color=tint, hatch=hatch, edgecolor="white")
        ax.plot([way] * len(runs), [run[key] for run in runs], "k_")
        ax.set(title=asks[key])
    rows = torch.tensor([[run["author"][str(n)] for n in shipped["text_labels"]] for run in runs])
    axes[3].plot(range(4), rows.mean(0), style, color=tint, label=way)
axes[3].set(title="who wrote it? (share)", xlabel="labels")
axes[3].set_xticks(range(4), shipped["text_labels"])
axes[3].legend(fontsize=8)
show(fig, alt="Four panels. Masked fills most blanks; causal pays least for the next letter, masked by far most; "
     "causal writes most real words. Authors are told best with the causal box's numbers.")  # fmt: skip

# %%
of_texts = lambda key, way: [run[key] for run in shipped["texts"][way]]
blanks, nexts = ({way: of_texts(key, way) for way in ("causal", "prefix", "masked")} for key in ("blank", "next_bits"))
claim("with both sides to read, masked fills more blanks, in each of three seeds",
      min(blanks["masked"]) > max(blanks["causal"] + blanks["prefix"]), **blanks)  # fmt: skip
claim("causal knows better how a text goes on, and the prefix lies between",
      max(nexts["causal"]) < min(nexts["prefix"]) <= max(nexts["prefix"]) < min(nexts["masked"]), **nexts)  # fmt: skip
claim("with 27 readings, one for each letter, causal fills blanks best of all",
      min(of_texts("rescored", "causal")) > max(blanks["masked"]), rescored=of_texts("rescored", "causal"))  # fmt: skip
reads = lambda way: [run["author"]["300"] for run in shipped["texts"][way]]
claim("with 300 labels all three tell authors better than counted letters do, in each seed",
      min(min(reads(way)) for way in ("causal", "prefix", "masked")) > max(reads("letters counted")),
      causal=reads("causal"), prefix=reads("prefix"), masked=reads("masked"), counted=reads("letters counted"))  # fmt: skip

# %% [markdown]
# Each wins its own game. But a masked box sees both sides only *once*, for all blanks at a price of one reading; the causal one, asked 27 times, does
# better still. And as a summary of a passage all three serve, about alike.

# %%
quiz("03.q1", "Why does BERT leave some of the tokens that it asks for uncovered?",
     {"To save blanks.": "Blanks cost nothing.",
      "So that the network must think about words it can read, too.": "In use there are no blanks. If only blanks "
      "were asked for, a readable word would never need a thought.",
      "So that the loss falls faster.": "On those it does, but they are there for what the network must do on all "
      "the others."},
     answer="So that the network must think about words it can read, too.")  # fmt: skip
quiz("03.q2", "Your views mirror pictures left and right. For which task is that poison?",
     {"Telling shirts from trousers.": "Both stay what they are in a mirror.",
      "Telling left shoes from right ones.": "What views change is what the box learns to ignore. Here it is the "
      "answer.",
      "None: more variety always helps.": "Each change is a promise that it does not matter. You saw above what a "
      "needless one costs."},
     answer="Telling left shoes from right ones.")  # fmt: skip
quiz("03.q3", "You want a network that answers letters. Which mask?",
     {"masked": "It fills gaps, but an answer is no gap: it must be written, one word after another.",
      "causal, or a prefix": "Both write from left to right. The prefix may also read the letter both ways.",
      "none, in training": "Then each word sees its answer, and nothing is learnt."}, answer="causal, or a prefix")

# %% [markdown]
# ## What the real systems do
# | | hides | and asks | unlabelled | then |
# |---|---|---|---|---|
# | BERT 2018 | 15 % of tokens | which? | 3.3 billion words | best of its day on 11 tasks |
# | T5 2019 | 15 %, spans of 3 | write them | 750 GB of web text | all tasks as text |
# | SimCLR 2020 | the partner | which one? | ImageNet | 1 % of the labels: 85.8 % (top 5) |
# | wav2vec 2.0, 2020 | stretches of speech | which? | 53,000 hours | ten minutes of labels: 4.8 % of words wrong |
# | CLIP 2021 | the caption | which one? | 400 million pairs | new kinds without a label |
# | MAE 2021 | 75 % of squares | paint them | ImageNet | 87.8 % (ViT-Huge, all labels) |
#
# Sources: Devlin et al. 2018; Raffel et al. 2019; Chen et al. 2020; Baevski et al. 2020; Radford et al. 2021; He et al. 2021.

# %% [markdown]
# ## In one breath
# - Data hold their own labels: hide a part, and ask.
# - BERT covers and swaps, T5 cuts out, MAE paints, SimCLR finds partners.
# - What the views change, the box ignores. Choose them well.
# - Play pays where labels are few and pictures untidy; elsewhere it may not.
# - Masked fills, causal goes on, the prefix does a little of both.

# %%
progress("03")
