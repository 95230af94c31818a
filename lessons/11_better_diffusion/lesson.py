# %% [raw]
# place = ["denoising with guidance; masked diffusion", "diffusion Transformer", "clothes, recipes"]
# builds = "a diffusion Transformer with guidance that draws in ten steps, inpaints and reworks images; a language model that writes in any order"
# [reads]
# "fmcourse.diffusion" = ["ClassifierFreeGuidance", "ddim", "euler"]
# "fmcourse.models.dit" = ["DiT"]

# %% [markdown]
# # 11 · Better diffusion
# **In this lesson a Transformer learns to draw clothes in a minute. Then you make it better without training it again: fewer steps, stronger wishes, a
# sleeve redrawn. At last the same idea writes recipes, in any order.**
#
# 80 minutes to read and do · two minutes to compute · you need lessons 05, 07 and 10.

# %% [markdown]
# **Afterwards you can**
# - choose a noise schedule, and what a network should predict;
# - put a Transformer in a U-Net's place, and weigh cost against score;
# - guide by a wish, draw in ten steps, mend and rework pictures;
# - say what drawing in a code buys;
# - sample a language model that does not go from left to right.

# %%
import math
import re
from dataclasses import replace
from functools import partial, reduce
from itertools import pairwise

import matplotlib.pyplot as plt
import torch
from fmcourse.course import check, claim, hint, predict, progress, quiz, show, solution
from fmcourse.data import checkpoint, load, table
from fmcourse.data.images import image_grid, normalize_pixels
from fmcourse.diffusion import ClassifierFreeGuidance, Denoiser, Schedule, ddim, ddpm, diffusion_loss, euler
from fmcourse.models.transformer import Transformer, count_parameters, modern
from fmcourse.plots import COLOURS, HATCHES, LiveCurve, band
from fmcourse.training import EMA, fit, lesson_steps
from torch import nn

# fmt: off

# %% [markdown]
# ## 1 · How fast should a picture fade?
# Lesson 10 mixed noise in by a fixed rule. Three are in use: **linear** (2020), **cosine** (2021), the straight line of **flow** matching (2022). What
# counts is picture against noise.

# %%
clothes, shipped = load("fashion"), table("lesson_11")
x, kinds = normalize_pixels(clothes.train.pixels), clothes.train.labels
schedules = {"linear": Schedule.linear(), "cosine": Schedule.cosine(), "flow": Schedule.flow()}
noise, times = torch.randn(1, 1, 28, 28, generator=torch.Generator().manual_seed(0)), torch.arange(0, 1001, 125)
faded = torch.cat([rule.add_noise(x[11:12].expand(9, -1, -1, -1), times, noise.expand(9, -1, -1, -1))
                   for rule in schedules.values()])  # fmt: skip
fig, axes = plt.subplots(1, 2, figsize=(9, 2.9), width_ratios=[1, 1.5])
for style, (name, rule) in zip(("-", "--", ":"), schedules.items(), strict=True):
    axes[0].plot(torch.arange(1, 1000) / 1000, rule.snr[:-1].log10(), style, label=name)
axes[0].set(xlabel="time, t / T", ylabel="log₁₀ signal / noise", ylim=(-5, 5))
axes[0].legend()
axes[1].imshow(image_grid(faded, 9), cmap="gray")
axes[1].set(xlabel="time", xticks=[14 + 30 * n for n in (0, 4, 8)], xticklabels=["0", "½", "1"],
            yticks=[14, 44, 74], yticklabels=schedules)  # fmt: skip
show(fig, alt="Signal against noise falls for all three; linear lies lowest until the end, flow and cosine run "
     "near each other. Beside it a boot in nine stages: by linear it is gone at half time.")  # fmt: skip

# %%
lost = {name: (rule.snr < 0.01).double().mean().item() for name, rule in schedules.items()}
claim("a third of linear's steps are spent where hardly anything is left; of the others' fewer than a tenth",
      lost["linear"] > 0.3 > 0.1 > max(lost["cosine"], lost["flow"]), share_below_a_hundredth=lost)  # fmt: skip
left = {name: rule.signal[-1].item() for name, rule in schedules.items()}
claim("and only flow ends in noise alone", left["flow"] == 0 < left["linear"], signal_at_the_end=left)
print(f"this lesson's tables: {shipped['date']}, `{shipped['command']}`")

# %% [markdown]
# Steps in the dark teach little. In large pictures a remnant at the end misleads: a network reads the brightness from it, and when it draws there is none. (Lin et al. 2023
# saw that in Stable Diffusion.)
#
# ## 2 · What should it predict?
# The noise, the picture, or the **velocity**, a mixture. Who knows x_t and one knows all.

# %% exercise="11.1"

# %%
cosine, flow, t = schedules["cosine"], schedules["flow"], torch.tensor([100, 300, 500, 700, 900])
e = torch.randn(5, 1, 28, 28, generator=torch.Generator().manual_seed(1))
x_t, v = cosine.add_noise(x[:5], t, e), cosine.velocity(x[:5], t, e)
found = [from_velocity(a_x, a_v, cosine.signal[n].item(), cosine.noise[n].item()) for a_x, a_v, n in zip(x_t, v, t,
    strict=True)]  # fmt: skip
gaps = [max((picture - x[n]).abs().max().item(), (chance - e[n]).abs().max().item())
        for n, (picture, chance) in enumerate(found)]  # fmt: skip
claim("out of a velocity you get picture and noise back, at any time", max(gaps) < 1e-4, largest_gap=max(gaps))
predict("11.ends", "Where will the one that predicts noise guess the picture worst?",
        ["near the picture", "in the middle", "near pure noise"])  # fmt: skip

# %% [markdown]
# But networks err. An error of 1 becomes, in the picture, one of b/a (noise by picture) if noise was asked for, 1 if the picture was, b if velocity was: below, left. Right: what
# three Transformers get wrong on unseen pictures.

# %%
each = lambda runs, *keys: [reduce(lambda found, key: found[key], keys, run) for run in runs]  # a value for each seed
asks, b, at = {"noise": "-", "picture": "--", "velocity": ":"}, cosine.noise[1:-1], [n / 1000 for n in shipped["times"]]
measured = {name: each(shipped["short"][f"cosine, {name}"], "errors") for name in asks}
fig, axes = plt.subplots(1, 2, figsize=(9, 3.1), sharex=True)
for (name, style), factor in zip(asks.items(), (b / cosine.signal[1:-1], torch.ones(999), b), strict=True):
    axes[0].semilogy(torch.arange(1, 1000) / 1000, factor, style, label=name)
    band(axes[1], at, measured[name], name)
axes[0].set(xlabel="time, t / T", ylabel="error of the picture", ylim=(0.01, 100), title="for an error of 1")
axes[1].set(xlabel="time, t / T", ylabel="error of the picture (RMS)", yscale="log", title="measured, three seeds")
axes[0].legend(title="predicts")
show(fig, alt="Left, the factor: for noise it rises without end towards pure noise, for the picture it is one, for "
     "velocity it falls to nothing near the picture. Right, measured: the noise predictor errs most near pure "
     "noise.")  # fmt: skip
late, early = ({name: [run[n] for run in runs] for name, runs in measured.items()} for n in (-1, 0))
claim("near pure noise who predicts the noise guesses the picture worst, in each of three seeds",
      min(late["noise"]) > max(late["picture"] + late["velocity"]), **late)  # fmt: skip
claim("near the picture who predicts the picture does",
      min(early["picture"]) > max(early["noise"] + early["velocity"]), **early)  # fmt: skip

# %%
ways = ["linear, noise", "cosine, noise", "cosine, velocity", "cosine, picture", "flow, velocity", "flow, picture"]
scores = {way: each(shipped["short"][way], "average", "frechet") for way in ways}
fig, ax = plt.subplots(figsize=(7, 2.7))
for n, way in enumerate(reversed(ways)):
    ax.plot(scores[way], [n] * 3, "os^DvP"[n], color=list(COLOURS.values())[n], alpha=0.8)
ax.set(xlabel="Frechet distance of 500 pictures, made in ten steps", xlim=(0, None), yticks=range(6),
       yticklabels=ways[::-1], title="six Transformers, ten seconds of training each, three seeds")  # fmt: skip
show(fig, alt="Six rows of three points. Predicting noise is far to the right; flow lies left of cosine for "
     "velocity and overlaps it for the picture; predicting the picture lies left of predicting the velocity.")  # fmt: skip
asked = {what: [runs for way, runs in scores.items() if what in way] for what in asks}
claim("noise, the choice of 2020, is by far the worst of these, in each of three seeds",
      min(sum(asked["noise"], [])) > max(sum(asked["velocity"] + asked["picture"], [])),
      **{way.replace(", ", "_"): runs for way, runs in scores.items()})  # fmt: skip
claim("asked for the picture it draws better than asked for the velocity, by either rule",
      max(sum(asked["picture"], [])) < min(sum(asked["velocity"], [])))  # fmt: skip
claim("at equal cost the straight line beats the cosine where velocity is asked for, in each",
      max(scores["flow, velocity"]) < min(scores["cosine, velocity"]))  # fmt: skip

# %% [markdown]
# Ten steps begin where the noise predictor is blind. The third rule, asked for velocity, is **flow matching**: on a straight line that is noise minus picture at
# all times, so long steps miss less. Another rule, at no cost. Asked for the picture, line and cosine differ hardly more than seeds. We take the line, and the
# picture.

# %% [markdown]
# ## 3 · A Transformer in place of the U-Net
# Cut a picture into 49 patches of 4 by 4 pixels: words of 16 numbers. They go through the *same* stack that read recipes, and come out cleaner.

# %%
from fmcourse.models.dit import DiT

config = replace(modern(width=64, depth=3, heads=2, causal=False), positions="none")  # lesson 06's, looking both ways
torch.manual_seed(0)
model = DiT(config, patch_size=4, conditioner=nn.Embedding(11, 64))  # ten kinds, and one more for "no wish"
claim("the waist is the language models' own class", type(model.stack) is type(Transformer(modern()).stack))
share = count_parameters(model.stack) / count_parameters(model)
print(f"{count_parameters(model):,} numbers, {share:.0%} of them in the stack")
print(f"a batch {tuple(x[:32].shape)} becomes 49 words of 16 numbers, "
      f"{tuple(nn.functional.pixel_unshuffle(x[:32], 4).flatten(2).mT.shape)}")  # fmt: skip

# %% [markdown]
# Time and kind are vectors, added to every patch. (The published DiT scales and shifts inside each block.) And since training jumps about to the last: an
# **average** of the weights over the past, EMA, does not.

# %% exercise="11.2"

# %%
theirs, mine = EMA(small := nn.Linear(3, 2), 0.99), [small.weight.detach().clone()]
for n in range(50):
    small.weight.data += 0.1
    theirs.update()
    mine = follow(mine, [small.weight.data], min(0.99, (1 + n) / (10 + n)))  # early on there is little past to keep
claim("your average is the package's", torch.allclose(mine[0], theirs.model.weight, atol=1e-5))
predict("11.minute", "After a minute, starting from nothing: what will the drawings be?",
        ["noise", "blurs of the right shape", "clothes one can name"])  # fmt: skip

# %%
from fmcourse.training.optimizers import OptimizerConfig


class Some:  # random pictures with their kinds, a batch for each step
    def __getitem__(self, step):
        rows = torch.randint(len(x), (32,), generator=torch.Generator().manual_seed(step))
        return x[rows], kinds[rows]


steps, average = lesson_steps(shipped["steps"]["dit"]["main"]), EMA(model, 0.99)
full = steps == shipped["steps"]["dit"]["main"]
# one wish in ten is hidden: that will be of use
objective = partial(diffusion_loss, schedule=flow, predicts="image", null_condition=10)  # fmt: skip
muon = OptimizerConfig(lr=4e-3, matrix_lr=0.03, lr_decay="cosine", warmup=0.05, betas=(0.9, 0.99))
with LiveCurve(alt="Loss against step: a steep fall from 0.7, then a long glide.",
               ylabel="mean square per pixel") as curve:  # fmt: skip
    history = fit(model, objective, Some(), steps=steps, seed=0, optimizer=muon, progress=False,
                  on_step=lambda *now: (curve(*now), average.update()))  # fmt: skip
print("≈", history)


# %%
def draw(network, asked, steps=10, weight=1.0, seed=0, sampler=ddim):
    x_T = torch.randn(len(asked), 1, 28, 28, generator=torch.Generator().manual_seed(seed))
    guess = Denoiser(network, flow, "image", asked)
    if weight != 1:
        guess = ClassifierFreeGuidance(guess, Denoiser(network, flow, "image", torch.full_like(asked, 10)), weight)
    return sampler(guess, x_T, flow, steps).clamp(-1, 1)


def wall(pictures, columns=10, width=8.0, rows=()):
    image = image_grid(pictures, columns)
    fig, ax = plt.subplots(figsize=(width, width * image.shape[0] / image.shape[1] + 0.3))
    ax.imshow(image, cmap="gray", vmin=0, vmax=255)
    ax.set(xticks=[], yticks=[14 + 30 * n for n in range(len(rows))], yticklabels=rows, frame_on=False)
    return fig


everything = torch.arange(500) % 10
drawn = draw(average.model, everything)
show(wall(drawn[:40]),
     alt="Forty drawn pieces of clothing, a column for each kind: shirts, trousers, shoes and bags can be told, "
     "sandals cannot; edges are ragged.")  # fmt: skip

# %%
from fmcourse.evaluation import image_quality as fidelity

looks, real = fidelity.load_feature_extractor(), normalize_pixels(clothes.test.pixels)
score, told = fidelity.compute_fidelity(looks, real, drawn), each(shipped["main"], "ddim", "10", "frechet")
print("≈ yours:", score, "\nreal pictures, as many:", each(shipped["real"], "500", "frechet"))
if full:
    claim("live it scores as three seeds did", abs(score.frechet - sum(told) / 3) < max(told) - min(told) + 3,
          three_seeds=told, live=score.frechet)  # fmt: skip

# %%
from fmcourse.models.unet import UNet  # lesson 10's kind, given the same time

pace, main = shipped["pace"], shipped["main"]
rivals = {"dit": [each(main, way, "10", "frechet") for way in ("ddim", "ddim, guided")],
          "unet": [each(shipped["unet"], way, "frechet") for way in ("10", "guided")]}  # fmt: skip
for (name, (plain, guided)), network in zip(rivals.items(),
                                            (model, UNet(widths=(32, 64), depth=1, conditioner=nn.Embedding(11,
        128))), strict=True):  # fmt: skip
    print(f"{name:5}{count_parameters(network):>8,} numbers, a step {pace[name]['step_ms']} ms, a picture once through "
          f"{pace[name]['picture_ms']} ms, Frechet {plain}, guided (section 4) {guided}")  # fmt: skip
claim("in equal time the Transformer draws nearer to real clothes than the U-Net, guided or not, in each of three "
      "seeds", all(max(a) < min(b) for a, b in zip(*rivals.values(), strict=True)), **rivals)  # fmt: skip
claim("and a picture costs it less than half", pace["dit"]["picture_ms"] < pace["unet"]["picture_ms"] / 2)

# %% [markdown]
# From nothing to clothes in a minute. Not the whole story: Muon (lesson 06) moved the Transformer's matrices; ours leaves convolutions alone. And what did the average do? The ten-second runs, one
# thing changed each:

# %%
pick = lambda way, which="average": each(shipped["short"][way], which, "frechet")
rows = {"Muon, steps that shrink": pick("flow, picture"), "  the last weights": pick("flow, picture", "raw"),
        "Muon, even steps": pick("even steps"), "  the last weights ": pick("even steps", "raw"),
        "AdamW (0.003), steps that shrink": pick("AdamW")}  # fmt: skip
for name, runs in rows.items():
    print(f"{name:33} Frechet {runs}")
gain = [raw / mean for raw, mean in zip(pick("even steps", "raw"), pick("even steps"), strict=True)]
claim("with even steps the average is better by a tenth or more than the last weights, in each of three seeds",
      min(gain) > 1.1, times=gain)  # fmt: skip
same = [raw / mean for raw, mean in zip(pick("flow, picture", "raw"), pick("flow, picture"), strict=True)]
claim("where steps shrink to nothing it changes little", max(abs(n - 1) for n in same) < 0.1, times=same)
claim("and by AdamW the Transformer is worse, in each", min(pick("AdamW")) > max(pick("flow, picture")))

# %% [markdown]
# Two cures for one illness: average, or shrink the steps. Long runs, where nobody knows the end, average.
#
# ## 4 · More of what I asked for
# We hid one wish in ten. So the network knows what a picture looks like, and what a *sandal* does. The difference is sandalness. Take more of it.

# %% exercise="11.3"

# %%
t, some = torch.full((8,), 600), torch.randn(8, 1, 28, 28, generator=torch.Generator().manual_seed(3))
sandal, any_kind = (Denoiser(average.model, flow, "image", torch.full((8,), n)) for n in (5, 10))
guided = ClassifierFreeGuidance(sandal, any_kind, 2.5)(some, t)
gap = (guide(sandal(some, t), any_kind(some, t), 2.5) - guided).abs().max()
claim("your guidance is the package's", gap < 1e-4, largest_gap=gap)
predict("11.guide", "Turn the weight from 1 up to 5. The Frechet distance, which wants fine pictures and all kinds "
        "of them, will", ["fall all the way", "rise all the way", "fall, then rise"])  # fmt: skip

# %%
at = lambda w, key: each(shipped["main"], "guidance", w, key)
fig, axes = plt.subplots(1, 2, figsize=(9.4, 3.4))
for n, style in enumerate(("o-", "s--", "^:")):
    axes[0].plot(*[[at(w, key)[n] for w in "1235"] for key in ("recall", "asked")], style, label=f"seed {n}")
axes[0].plot(*[sum(each(shipped["real"], "500", key)) / 3 for key in ("recall", "asked")], "k*", markersize=12,
             label="real clothes")  # fmt: skip
for w in "1235":
    axes[0].annotate(f"weight {w}", (at(w, "recall")[0], at(w, "asked")[0]), (7, 2), textcoords="offset points",
                     fontsize=9)  # fmt: skip
axes[0].set(xlabel="variety (recall)", ylabel="share seen as what was asked", xlim=(0.1, 1), ylim=(0.7, 1))
axes[0].legend(fontsize=9)
band(axes[1], [0, 1, 2, 3, 5], [[run["guidance"][w]["frechet"] for w in "01235"] for run in shipped["main"]],
     "three seeds")  # fmt: skip
axes[1].set(xlabel="weight of the wish", ylabel="Frechet distance", yscale="log", yticks=[4, 10, 20, 50],
            yticklabels=[4, 10, 20, 50])  # fmt: skip
axes[1].minorticks_off()
show(fig, alt="Left, fidelity against variety: as the weight grows from 1 to 5 all three seeds move left, away "
     "from the variety of real clothes, and rise steeply up to weight 2, then little or not. Right, Frechet "
     "distance falls from weight 0 to 2 and rises after.")  # fmt: skip

# %%
turned = [draw(average.model, torch.arange(10), weight=weight, seed=2) for weight in (1, 2, 5)]
show(wall(torch.cat(turned), rows=["weight 1", "2", "5"]),
     alt="The same ten handfuls of noise, three times. At weight 1 most pieces have ragged edges; at 2 their "
     "outlines are plain; at 5 they are brighter still, hems and necks drawn with a ruler.")  # fmt: skip
claim("with twice the wish more drawings are what was asked for, in each of three seeds",
      min(at("2", "asked")) > max(at("1", "asked")), once=at("1", "asked"), twice=at("2", "asked"),
      real=each(shipped["real"], "500", "asked"))  # fmt: skip
claim("with three times the judge knows them at least as often as real clothes",
      min(at("3", "asked")) > max(each(shipped["real"], "500", "asked")), three_times=at("3", "asked"))  # fmt: skip
claim("variety falls with each turn of the knob, seed by seed",
      all(a > b > c > d for a, b, c, d in zip(*[at(w, "recall") for w in "1235"], strict=True)),
      once=at("1", "recall"), five=at("5", "recall"))  # fmt: skip
claim("Frechet, which wants both, is best in between", max(at("2", "frechet")) < min(at("1", "frechet") + at("5",
    "frechet")), once=at("1", "frechet"), twice=at("2", "frechet"), five=at("5", "frechet"))  # fmt: skip
print(f"by lesson 09's measure, 2,000 pictures at weight 2: {each(shipped['main'], 'full, guided', 'frechet')}; "
      f"real ones: {each(shipped['real'], '2000', 'frechet')}")  # fmt: skip

# %% [markdown]
# Being recognised is paid for in variety, from the first turn. Frechet weighs both, and says: 2 is worth it, 5 is not. (Stable Diffusion's script of 2022 stands at 7.5: who types
# a wish looks at one picture, not at all of them.) Play: weight 0, 1, 8. What happens to variety?

# %%
from fmcourse.plots.widgets import interactive


def draw_guided(kind="ankle boot", weight=2.0, steps=10, seed=0):
    asked = torch.full((24,), clothes.classes.index(kind))
    return wall(draw(average.model, asked, steps, weight, seed), 12, 7)


interactive(draw_guided, kind=list(clothes.classes), weight=(0.0, 8.0, 0.5), steps=(1, 20), seed=(0, 20),
            alt="Twenty-four drawings of one kind of clothes. A larger weight makes them plainer and more alike, "
            "fewer steps softer.")  # fmt: skip

# %% [markdown]
# ## 5 · Ten steps instead of a hundred
# Lesson 10 knew two ways down: DDIM mixes the guessed noise back in, DDPM partly fresh noise. One dial joins them. Two noises of strength p and q
# together have √(p² + q²).

# %% exercise="11.4"


# %%
@torch.no_grad()
def down(steps, dial):  # your step, from noise to pictures; 0 is DDIM, 1 DDPM
    now, g = torch.randn(20, 1, 28, 28, generator=torch.Generator().manual_seed(7)), torch.Generator().manual_seed(9)
    guess = ClassifierFreeGuidance(*[Denoiser(average.model, flow, "image", asked) for asked in (torch.arange(20) % 10,
        torch.full((20,), 10))], 2)  # fmt: skip
    for t, s in pairwise(round(1000 * (1 - n / steps)) for n in range(steps + 1)):
        a, b, c, d = (rule[n].item() for n in (t, s) for rule in (flow.signal, flow.noise))
        spread = dial * d * math.sqrt(max(0.0, 1 - (a * d / (b * c)) ** 2))  # all the chance that the rule leaves open
        now = step(now, guess(now, torch.full((20,), t)), a, b, c, d, spread, torch.randn(now.shape, generator=g))
    return now.clamp(-1, 1)


ways = {"ddim": (0, ddim), "euler": (0, euler), "ddpm": (1, partial(ddpm, generator=torch.Generator().manual_seed(9)))}
gaps = {name: (down(5, dial) - draw(average.model, torch.arange(20) % 10, 5, 2, seed=7,
                                    sampler=sampler)).abs().max().item() for name, (dial, sampler) in ways.items()}  # fmt: skip
claim("your step is the package's DDIM and its DDPM; and on a straight line DDIM is Euler's method, the plainest "
      "there is", max(gaps.values()) < 1e-3, **gaps)  # fmt: skip
few = torch.cat([down(n, 0)[:10] for n in (2, 3, 5, 10, 20)])
show(wall(few, rows=["2 steps", "3", "5", "10", "20"]),
     alt="Five rows of the same ten pieces. Outlines stand after two steps, softly; later steps add grain.")  # fmt: skip
predict("11.dice", "Lesson 10 found fresh noise at each step (DDPM) better than none (DDIM). With the wish doubled?",
        ["still better", "no difference", "worse"])  # fmt: skip

# %%
lines = {"DDIM, weight 1": "ddim", "DDPM, weight 1": "ddpm", "DDIM, weight 2": "ddim, guided",
         "DDPM, weight 2": "ddpm, guided"}  # fmt: skip
fig, axes = plt.subplots(1, 2, figsize=(9.4, 3.4))
for style, (name, way) in zip("^so*", lines.items(), strict=True):
    counts = sorted(int(n) for n in shipped["main"][0][way])
    for ax, key in zip(axes, ("frechet", "recall"), strict=True):
        band(ax, counts, [[run[way][str(n)][key] for n in counts] for run in shipped["main"]], name)
        ax.lines[-1].set_marker(style)
        ax.set(xscale="log", xlabel="steps", ylabel={"frechet": "Frechet distance",
            "recall": "recall (variety)"}[key], ylim=(0, None))  # fmt: skip
        ax.set_xticks([3, 5, 10, 20, 100], [3, 5, 10, 20, 100])
        ax.minorticks_off()
axes[1].legend(fontsize=9)
show(fig, alt="Against steps, three seeds. Left: the two lines of weight 2 lie far below those of weight 1; of "
     "weight 2, DDIM's falls until ten steps; of weight 1, both rise with steps. Right: variety climbs with steps "
     "for all, and is highest for DDIM at weight 1.")  # fmt: skip

# %%
at_steps = lambda way, n, key="frechet": each(shipped["main"], way, n, key)
less = lambda *runs: all(a < b for numbers in zip(*runs, strict=True) for a, b in pairwise(numbers))  # seed by seed
claim("without guidance fresh noise is the better way, as lesson 10 found: twenty steps, in each of three seeds",
      less(at_steps("ddpm", "20"), at_steps("ddim", "20")), DDPM=at_steps("ddpm", "20"), DDIM=at_steps("ddim", "20"))  # fmt: skip
claim("with it the order turns: five or twenty steps of DDIM beat as many of DDPM, and ten beat a hundred",
      all(less(at_steps("ddim, guided", n), at_steps("ddpm, guided", m)) for n, m in (("5", "5"), ("20", "20"),
    ("10", "100"))), DDIM_10=at_steps("ddim, guided", "10"), DDPM_100=at_steps("ddpm, guided", "100"))  # fmt: skip
claim("DDIM's ten steps are within a tenth of its twenty",
      all(abs(a / b - 1) < 0.1 for a, b in zip(at_steps("ddim, guided", "10"), at_steps("ddim, guided", "20"),
    strict=True)), twenty=at_steps("ddim, guided", "20"))  # fmt: skip
claim("variety grows from three guided steps to twenty, and at twenty fresh noise costs some of it, guided or not",
      less(*(at_steps("ddim, guided", n, "recall") for n in ("3", "5", "10", "20")))
      and all(less(at_steps("ddpm" + more, "20", "recall"), at_steps("ddim" + more, "20", "recall"))
              for more in ("", ", guided")),
      **{f"steps_{n}": at_steps("ddim, guided", n, "recall") for n in ("3", "10", "20")},
      fresh_20=at_steps("ddpm, guided", "20", "recall"))  # fmt: skip

# %% [markdown]
# A guess from far away is an *average* of all that might be there; who jumps on it lands on the typical. So long steps trade variety for likeness, as guidance does; fresh
# noise, by these numbers, does too. One such trade helps here. Two are too many.

# %% [markdown]
# ## 6 · Drawing in a code
# Lesson 09's VAE squeezes a picture into 4 numbers at 7 by 7 places. **Latent diffusion** draws the code and lets the decoder paint. The Transformer stays; its
# words are now the 49 places.

# %%
from fmcourse.autoencoders import VAE, decoder, encoder

vae = VAE(encoder(8, 32, spatial=True), decoder(4, 32, spatial=True), 0.1).eval()
vae.load_state_dict(checkpoint("vae").tensors)
with torch.no_grad():
    codes = torch.cat([vae.encode(part).mean for part in x[:2000].split(500)])
    spread = codes.std((0, 2, 3), keepdim=True)  # diffusion wants numbers of size one
    back = vae.decoder(codes[:10]).clamp(-1, 1)
latent = DiT(config, 4, patch_size=1, conditioner=nn.Embedding(11, 64)).eval()
latent.load_state_dict(checkpoint("clothes_latent").tensors)
with torch.no_grad():
    guess = ClassifierFreeGuidance(*[Denoiser(latent, flow, "image", asked) for asked in (torch.arange(20) % 10,
        torch.full((20,), 10))], 2)  # fmt: skip
    painted = vae.decoder(ddim(guess, torch.randn(20, 4, 7, 7, generator=torch.Generator().manual_seed(0)), flow,
                               10) * spread).clamp(-1, 1)  # fmt: skip
show(wall(torch.cat([x[:10], back, painted]), rows=["real", "and back", "drawn", "drawn"]),
     alt="First row real clothes, second the same through the code and back, nearly alike; then two rows drawn in "
     "the code: soft, without seams.")  # fmt: skip

# %%
table_rows = {"pixels": each(shipped["main"], "ddim", "10"), "codes": each(shipped["latent"], "10"),
              "pixels, guided": each(shipped["main"], "ddim, guided", "10"),
              "codes, guided": each(shipped["latent"], "guided")}  # fmt: skip
for name, runs in table_rows.items():
    print(f"{name:15} Frechet {[run['frechet'] for run in runs]}, precision {[run['precision'] for run in runs]}, "
          f"recall {[run['recall'] for run in runs]}")  # fmt: skip
print(f"real pictures through the code and back: Frechet {shipped['there and back']['frechet']}\na step of "
      f"training: pixels {pace['dit']['step_ms']} ms, codes {pace['latent']['step_ms']} ms; "
      f"{shipped['seconds']['main']} s of it for either; the VAE took {checkpoint('vae').facts['minutes']} minutes "
      f"before")  # fmt: skip
by = lambda name: [run["frechet"] for run in table_rows[name]]
claim("in equal time, the VAE's not counted, the one that draws codes comes nearer to real clothes, in each of "
      "three seeds", max(by("codes")) < min(by("pixels")), codes=by("codes"), pixels=by("pixels"))  # fmt: skip
claim("guided, the bands of the two overlap", min(by("codes, guided")) < max(by("pixels, guided"))
      and min(by("pixels, guided")) < max(by("codes, guided")), codes=by("codes, guided"),
      pixels=by("pixels, guided"))  # fmt: skip

# %% [markdown]
# No cheaper a step: 49 words either way, and the VAE came on top. Unguided its Frechet distance is better, its precision lower: the decoder may paint what the Transformer need not.
# Guided, the lead is gone. Real ones save: 512 × 512 × 3 pixels become 64 × 64 × 4 numbers, a 48th.

# %% [markdown]
# ## 7 · Mending and reworking
# Nobody trained for this. **In-painting**: a denoiser is any guess at the picture. Wherever you *know* the picture, paste the truth over the guess. The samplers
# know no difference.

# %%
def mend(network, picture, known, asked, steps=20, weight=2.0, seed=0):  # known: (28, 28) bool
    n = len(asked)
    guess = ClassifierFreeGuidance(Denoiser(network, flow, "image", asked), Denoiser(network, flow, "image",
        torch.full_like(asked, 10)), weight)  # fmt: skip
    pasted = lambda x_t, t: torch.where(known, picture, guess(x_t, t))
    return ddim(pasted, torch.randn(n, 1, 28, 28, generator=torch.Generator().manual_seed(seed)), flow,
                steps).clamp(-1, 1)  # fmt: skip


unseen = normalize_pixels(clothes.validation.pixels)
first = {kind: int((clothes.validation.labels == n).nonzero()[2]) for n, kind in enumerate(clothes.classes)}
known = torch.ones(28, 28, dtype=torch.bool)
known[14:] = False
pieces = unseen[list(first.values())]
mended = mend(average.model, pieces, known, torch.arange(10))
show(wall(torch.cat([pieces, torch.where(known, pieces, 0), mended]), rows=["whole", "cut", "mended"]),
     alt="Three rows: ten pieces nobody trained on, the same with the lower half grey, and the halves drawn anew; "
     "they fit on to what is above.")  # fmt: skip
claim("what was known stays as it was", torch.equal(mended[..., :14, :], pieces[..., :14, :]))

# %%
off, seen = ({key: each(shipped["main"], "edited", which, key) for key in shipped["main"][0]["edited"][which]}
             for which in ("off", "known"))  # fmt: skip
for name in ("no wish", "wish", "another's"):
    print(f"lower half: {name:10} off by {off[name]} (RMS), seen as what it is {seen[name]}")
claim("told what it mends, it comes nearer to the lost half than another piece of the same kind does, in each of "
      "three seeds", max(off["wish"]) < min(off["another's"]), drawn=off["wish"], anothers=off["another's"])  # fmt: skip
claim("not told, it is further off than that", min(off["no wish"]) > max(off["another's"]), no_wish=off["no wish"])

# %%
def draw_mended(piece="coat", becomes="T-shirt", gone="sleeves", weight=2.0):
    known = torch.ones(28, 28, dtype=torch.bool)
    rows, columns = {"lower half": ([*range(14, 28)], [*range(28)]), "upper half": ([*range(14)], [*range(28)]),
                     "middle": ([*range(8, 20)], [*range(8, 20)]),
                     "sleeves": ([*range(28)], [*range(8), *range(20, 28)])}[gone]  # fmt: skip
    known[torch.tensor(rows)[:, None], torch.tensor(columns)] = False
    picture, asked = unseen[first[piece]], torch.full((8,), clothes.classes.index(becomes))
    return wall(torch.cat([picture[None], torch.where(known, picture, 0)[None], mend(average.model, picture, known,
        asked, weight=weight)]), 10, 8)  # fmt: skip


interactive(draw_mended, piece=list(clothes.classes), becomes=list(clothes.classes), gone=["sleeves", "lower half",
    "upper half", "middle"], weight=(0.0, 5.0, 0.5),
            alt="A piece of clothing, the same with a part greyed out, and eight drawings in which that part was "
            "filled in anew.")  # fmt: skip

# %% [markdown]
# Without a wish it mends as it draws: badly.
#
# **Picture to picture** (Meng et al. 2022): drown *your* picture in noise up to some time, and come back with another wish. How deep says how much may change.

# %%
def rework(network, picture, asked, strength, weight=2.0, steps=20, seed=0):
    t = round(1000 * strength)
    shorter = Schedule(flow.signal[: t + 1], flow.noise[: t + 1], is_flow=True)  # the same rule, cut off at t
    noise = torch.randn(picture.shape, generator=torch.Generator().manual_seed(seed))
    guess = ClassifierFreeGuidance(Denoiser(network, flow, "image", asked), Denoiser(network, flow, "image",
        torch.full_like(asked, 10)), weight)  # fmt: skip
    return ddim(guess, flow.add_noise(picture, torch.full((len(picture),), t), noise), shorter, steps).clamp(-1, 1)


coats = unseen[clothes.validation.labels == clothes.classes.index("coat")][:60]
shirts = torch.zeros(60, dtype=torch.long)
reworked = {strength: rework(average.model, coats, shirts, strength) for strength in (0.1, 0.3, 0.5, 0.7, 0.9)}
show(wall(torch.cat([coats[:10], *(part[:10] for part in reworked.values())]), rows=["coats", *reworked]),
     alt="Top row ten coats; below them five rows, drowned ever deeper and drawn back as T-shirts: first still "
     "coats, then sleeves shorten, at last T-shirts, some not even of the coat's shade.")  # fmt: skip

# %%
away, turned = zip(*[((part - coats).square().mean().sqrt().item(),
                      (looks(part).argmax(1) == 0).float().mean().item()) for part in reworked.values()], strict=True)  # fmt: skip
three = {key: [list(run["edited"][key].values()) for run in shipped["main"]] for key in ("away", "turned")}
for n, (strength, far, share) in enumerate(zip(reworked, away, turned, strict=True)):
    print(f"drowned to {strength}: ≈ {far:.2f} away from the coat (RMS), {share:.2f} seen as T-shirts; three seeds "
          f"{[run[n] for run in three['turned']]}")  # fmt: skip
claim("the deeper it is drowned, the less is left of the coat; half way no other shape is in reach yet, near the "
      "end it is, in each of three seeds", all(run == sorted(run) for run in three["away"])
      and all(run[2] < 0.1 < 0.8 < run[4] for run in three["turned"]), **three)  # fmt: skip
if full:
    claim("and so it is here", list(away) == sorted(away) and turned[2] < 0.2 and turned[4] > 0.7)

# %% [markdown]
# ## 8 · The same for words
# Words cannot fade. But they can *vanish*, one by one: the noise of language is the blank. The reverse process fills blanks in, and you know that network: lesson 07's.

# %%
from fmcourse.tokenizers import BPETokenizer

book, MASK = load("recipes"), 1024
small = lambda text: re.sub("[^a-z]+", " ", text.lower())
pieces = BPETokenizer.train(small(book.train), MASK)  # lesson 04's: 1,024 pieces of words; the next number is the blank
spelt = lambda ids: "".join(" ▢" if i == MASK else pieces.decode([i]) for i in ids.tolist())
line = torch.tensor(pieces.encode(" add the flour to the butter and cook over low heat until the sauce is thick"))
order = torch.rand(len(line), generator=torch.Generator().manual_seed(0)).argsort()
for gone in range(0, len(line) + 1, 4):
    print(f"{gone / len(line):4.0%} gone  {spelt(line.index_fill(0, order[:gone], MASK))}")
predict("11.order", "The same Transformer, one trained from left to right, one in any order, with three times the "
        "steps. Whose texts cost fewer bits a letter?", ["left to right", "any order", "the same"])  # fmt: skip

# %% [markdown]
# After 1,400 steps of BERT's game, two changes make it diffusion. *How much* is hidden is drawn anew for each text, from one piece to all; what is hidden is always blank. In
# return the mean loss is a **bound**, as lesson 09's ELBO: at most so much does a text cost.

# %%
from fmcourse.diffusion.masked import fill_masks, nll_bound
from fmcourse.training import RandomCrops

readers = {}
for kind in ("causal", "any"):
    readers[kind] = Transformer(modern(vocab_size=1025, context=32, width=64, depth=3, heads=2,
                                       causal=kind == "causal")).eval().requires_grad_(False)  # fmt: skip
    readers[kind].load_state_dict(checkpoint(f"words_{kind}").tensors)
texts = RandomCrops(torch.tensor(pieces.encode(small(book.validation))), 32, 400, seed=1)[0]
nats = nll_bound(readers["any"], texts, torch.Generator().manual_seed(0), mask_id=MASK, draws=4).mean().item()
cost = nats / math.log(2) * texts.numel() / len(pieces.decode(texts.flatten().tolist()))
bits, spent = ({kind: each(shipped["words"][kind], key) for kind in readers} for key in ("bits", "seconds"))
print(f"≈ in any order: at most {cost:.2f} bits a letter; three seeds {bits['any']}, after {spent['any']} seconds each")
print(f"from left to right: {bits['causal']} bits, after {spent['causal']} seconds each")
claim("from left to right costs fewer bits than any order's bound, for less than half the training, in each of "
      "three seeds", max(bits["causal"]) < min(bits["any"]) and 2 * max(spent["causal"]) < min(spent["any"]), **bits)  # fmt: skip
claim("the live bound is where three seeds lie", min(bits["any"]) - 0.1 < cost < max(bits["any"]) + 0.1)

# %% [markdown]
# A blow, and a known one: Nie et al. 2024 gave theirs 16 times the training to draw level. One order is learnt sooner than all. In return it writes in *any*.
#
# Each step guesses all blanks and keeps a few: any, as the bound has it, or the surest.

# %% exercise="11.5"

# %%
ids, g = torch.full((32,), MASK), torch.Generator().manual_seed(4)
for step in range(1, 17):
    p = readers["any"](ids[None])[0, :, :MASK].softmax(-1)
    guess = torch.multinomial(p, 1, generator=g)[:, 0]
    ids = uncover(ids, guess, p.gather(1, guess[:, None])[:, 0], MASK, 2)
    if step in (1, 2, 4, 8, 12, 16):
        print(f"after {step:2} steps ≈ {spelt(ids)}")

# %%
mine = torch.tensor(pieces.encode(" add the onion and garlic and cook until soft then stir in the tomatoes"))
mine[[0, 6, 11]] = MASK
theirs = fill_masks(readers["any"], mine[None], mask_id=MASK, order="confidence", temperature=0)[0]
print(f"{spelt(mine)}\n≈{spelt(theirs)}")
while (mine == MASK).any():
    sure, guess = readers["any"](mine[None])[0, :, :MASK].softmax(-1).max(-1)
    mine = uncover(mine, guess, sure, MASK, 1)
claim("your step, repeated, is the package's sampler", torch.equal(mine, theirs))

# %%
g, ids = torch.Generator().manual_seed(1), torch.tensor([pieces.encode(" add")[:1]] * 3)
while ids.shape[1] < 32:
    p = readers["causal"](ids)[:, -1, :MASK].softmax(-1)
    ids = torch.cat([ids, torch.multinomial(p, 1, generator=g)], 1)
blank = torch.full((3, 32), MASK)
for name, rows in {"left to right": ids, "any order": fill_masks(readers["any"], blank, g, mask_id=MASK),
                   "surest first": fill_masks(readers["any"], blank, g, mask_id=MASK, order="confidence")}.items():  # fmt: skip
    print(name + "".join(f"\n    ≈ {spelt(row)}" for row in rows))

# %%
wrote = lambda kind, way, key="pairs": each(shipped["words"][kind], "wrote", way, key)
shares = {"left to right, 32 passes": wrote("causal", "32"),
          **{f"any order, {n} pass{'es' * (n > '1')}": wrote("any", n) for n in ("32", "8", "4", "1")},
          "surest first, 32 passes": wrote("any", "surest")}  # fmt: skip
many = shares["any order, 32 passes"]
fig, ax = plt.subplots(figsize=(7, 2.8))
for n, (name, runs) in enumerate(shares.items()):
    ax.barh(name, sum(runs) / 3, color=list(COLOURS.values())[n], hatch=HATCHES[n], edgecolor="white")
    ax.plot(runs, [n] * 3, "k|")
ax.axvline(shipped["words"]["real"]["pairs"], color="black", linestyle=":")
ax.set(xlabel="share of word pairs that the book has too (dotted: unseen recipes)", xlim=(0, 1.05))
ax.invert_yaxis()
show(fig, alt="Bars: left to right three pairs of words in five are in the book; in any order fewer, and the fewer "
     "the passes, the fewer; surest first nearly all, more than in unseen recipes.")  # fmt: skip
variety = {"chance": wrote("any", "32", "different"), "surest": wrote("any", "surest", "different")}
claim("left to right writes more pairs that the book has, in each of three seeds",
      min(shares["left to right, 32 passes"]) > max(many), causal=shares["left to right, 32 passes"], any_order=many)  # fmt: skip
claim("in any order, fewer passes write fewer of them, seed by seed",
      all(a < b < c < d for a, b, c, d in zip(*[wrote("any", n) for n in ("1", "4", "8", "32")], strict=True)),
      one=wrote("any", "1"), eight=wrote("any", "8"), all_32=many)  # fmt: skip
claim("surest first writes more of them than cooks do, but the same few words again and again",
      min(shares["surest first, 32 passes"]) > shipped["words"]["real"]["pairs"]
      and max(variety["surest"]) < min(variety["chance"]) / 3, different_words=variety)  # fmt: skip

# %% [markdown]
# "Surest first" is guidance for words: commoner than common, and poor. Where do the bits go, and what is any order good for? **Mending**: pieces gone from the
# middle, with text on both sides.

# %%
fig, axes = plt.subplots(1, 2, figsize=(9, 2.9))
hidden = [int(k) for k in shipped["words"]["any"][0]["by hidden"]]
band(axes[0], hidden, [list(run["by hidden"].values()) for run in shipped["words"]["any"]], "any order")
axes[0].axhline(sum(bits["causal"]) / 3, color="#D55E00", linestyle="--", label="left to right")
for kind, name in (("any", "any order"), ("causal", "left to right")):
    band(axes[1], [1, 2, 4, 8], [list(run["mended"].values()) for run in shipped["words"][kind]], name)
axes[0].set(xlabel="pieces hidden, of 32", ylabel="bits a letter", ylim=(0, None))
axes[1].set(xlabel="pieces missing in the middle", ylabel="share mended rightly", ylim=(0, None), xscale="log")
axes[1].set_xticks([1, 2, 4, 8], [1, 2, 4, 8])
axes[1].minorticks_off()
axes[0].legend()
show(fig, alt="Left, bits a letter against pieces hidden: with few hidden it lies below the left-to-right line, "
     "with many above. Right, pieces mended against the length of the gap: any order is ahead for one piece, level "
     "for two to four, behind for eight.")  # fmt: skip

# %%
mends = lambda kind, gap: each(shipped["words"][kind], "mended", gap)
few = each(shipped["words"]["any"], "by hidden", "4")
claim("four hidden pieces cost it fewer bits than left to right pays on average", max(few) < min(bits["causal"]),
      four_hidden=few, causal=bits["causal"])  # fmt: skip
claim("a gap of one piece it mends more often than who reads only from the left, in each of three seeds; of eight, "
      "fewer pieces", min(mends("any", "1")) > max(mends("causal", "1"))
      and max(mends("any", "8")) < min(mends("causal", "8")),
      **{f"{kind}_{gap}": mends(kind, gap) for kind in readers for gap in ("1", "2", "8")})  # fmt: skip


def draw_filled(text="preheat the _ and _ the chicken with _ and pepper", seed=0, order="confidence"):
    first, *rest = [pieces.encode(small(" " + part).rstrip()) for part in text.split("_")]
    ids = torch.tensor([(first + [i for part in rest for i in (MASK, *part)])[:32] or [MASK]])
    dice = [torch.Generator().manual_seed(seed + n) for n in range(4)]
    texts = [spelt(fill_masks(readers["any"], ids, each, mask_id=MASK, order=order)[0]) for each in dice]
    return "".join(f"<pre>≈ {text}</pre>\n" for text in texts)  # fmt: skip


interactive(draw_filled, text="preheat the _ and _ the chicken with _ and pepper", seed=(0, 20),
            order=["confidence", "random"], alt="Four ways to fill in the blanks of a line.")  # fmt: skip

# %%
quiz("11.q1", "Why does a network that predicts noise draw badly in ten steps?",
     {"Its loss is wrong.": "In the long run, with many small steps, it draws very well: that was 2020.",
      "Near pure noise a small error in the noise is a huge one in the picture.": "b/a grows without end there, "
      "and long steps believe the first guesses most.",
      "It has never seen pure noise.": "It has seen a thousandth less than that."},
     answer="Near pure noise a small error in the noise is a huge one in the picture.")  # fmt: skip
quiz("11.q2", "Guidance at weight 5 makes drawings that the judge recognises more often. What did it cost?",
     {"Nothing but time.": "Time too: two guesses a step. But look at the recall.",
      "Variety: the drawings move to what is typical of the kind.": "Twice and five times the wish point away from "
      "everything that other kinds share.",
      "Training: it needs another network.": "The same one, asked without a wish."},
     answer="Variety: the drawings move to what is typical of the kind.")  # fmt: skip
quiz("11.q3", "A masked diffusion model fills 32 blanks in one pass. Why is that gibberish?",
     {"It is too small.": "A perfect one would write gibberish too: each piece is likely by itself.",
      "Pieces filled together did not see each other.": "Each is drawn from what is likely at its place, given "
      "nothing. Only steps make them agree.",
      "It should look left to right.": "No need. But some must be first, so that others can follow."},
     answer="Pieces filled together did not see each other.")  # fmt: skip

# %% [markdown]
# ## What the real systems do
# | | yours | Stable Diffusion 1 (2022) | Stable Diffusion 3 medium (2024) | LLaDA (2025) |
# |---|---|---|---|---|
# | network | Transformer, 0.16 M | U-Net, 860 M | Transformer, 2 B | Transformer, 8 B |
# | works on | 49 patches of pixels, or a code | a code, an 8th of the side, 4 channels | a code, 16 channels, patches of 2 × 2 | tokens |
# | rule, asked for | straight line, picture | noise | straight line, velocity | blanks, tokens |
# | wishes hidden | one in ten | one in ten, at the end | yes | no |
# | weight as it comes | 2 | 7.5 | 7 | none |
# | learnt from | 10,000 pictures | LAION, up to 2 B pictures | about 1 B pictures | 2.3 T tokens |
#
# Sources: model cards and repositories of CompVis and Stability AI, the diffusers documentation, Esser et al. 2024, Nie et al. 2025. Asking a plain Transformer
# for the picture is the advice of Li and He 2025 (JiT): on large patches the others can fail badly. DiT-XL/2 (Peebles and Xie 2022) reached FID 2.27 on ImageNet.

# %% [markdown]
# ## In one breath
# - What you ask for says where errors hurt.
# - Patches are words: the same stack draws.
# - Double the wish, and it listens; variety pays.
# - Trust the guess, and ten steps do.
# - Paste what you know, and it mends.
# - Blanks are the noise of words.
#
# **Change it.** Hide half the wishes: what will guidance do then?

# %%
progress("11")
