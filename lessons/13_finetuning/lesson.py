# %% [raw]
# place = ["labels: full fine-tuning and LoRA", "any of these", "authors, questions, your own"]
# builds = "LoRA, written by you, that merges exactly; what few labels buy, what is forgotten; a model for your own table or images"
# [reads]
# "fmcourse.adaptation" = ["train_only", "fit_linear_probe"]
# "fmcourse.models.lora" = ["LoRALinear", "add_lora", "merge_lora"]

# %% [markdown]
# # 13 · Fine-tuning
# **You take a network that others trained and give it a new job in a minute, in four ways. You see what each costs, how few labels it needs, what it
# forgets; and at last your own table goes in.**
#
# 90 minutes to read and do · two minutes to compute · you need lessons 05, 06 and 07.

# %% [markdown]
# **Afterwards you can**
# - choose among a head, the last blocks, LoRA and all weights, and say what each costs;
# - build LoRA, merge it exactly, carry it in a file;
# - say what pretraining saves, in labels;
# - recognise forgetting, too high a rate, a leak, an unlucky draw;
# - train on your own table or pictures, and use the result.

# %%
import copy
import time
from statistics import mean

import matplotlib.pyplot as plt
import torch
from fmcourse import pretrained
from fmcourse.adaptation import count_trainable, fit_linear_probe, train_only
from fmcourse.course import check, claim, hint, predict, progress, quiz, show, solution
from fmcourse.data import load, table
from fmcourse.models.heads import SequenceClassifier, mean_pool, pad_batch
from fmcourse.models.lora import add_lora
from fmcourse.objectives import classification
from fmcourse.plots import COLOURS, HATCHES, band, draw_bars
from torch import nn

# fmt: off

# %% [markdown]
# ## 1 · The job
# WordNet says what a word means; which of ten topics is it about? 64 labels to learn from are all we have. MiniLM (lesson 07) learnt on a hundred
# million pairs of sentences; no one told it about topics.

# %%
definitions, shipped = load("topics"), table("lesson_13")
topics = sorted({item.topic for item in definitions.train})
drawn = lambda items, n, seed: torch.randperm(len(items), generator=torch.Generator().manual_seed(seed))[:n].tolist()
mine = [definitions.train[row] for row in drawn(definitions.train, 64, 0)]
print(*(f"{item.topic:14}{item.text[:90]}" for item in mine[:5]),
      f"\n{len(definitions.test):,} others are the test: {', '.join(topics)}", sep="\n")  # fmt: skip

# %%
minilm, pieces = pretrained.load("minilm-l6")
number = lambda items: ([pieces.encode(item.text)[:64] for item in items],
                        torch.tensor([topics.index(item.topic) for item in items]))  # fmt: skip
(learnt, kinds), (asked, truth) = number(mine), number(definitions.test)

@torch.inference_mode()
def read(model, ids):  # what a model makes of each text, those of like length side by side
    order = sorted(range(len(ids)), key=lambda n: len(ids[n]))
    found = [model(*pad_batch([ids[n] for n in order[at : at + 64]])) for at in range(0, len(ids), 64)]
    return torch.cat(found)[torch.tensor(order).argsort()]

states = lambda encoder, ids: read(lambda some, real: mean_pool(encoder.states(some, real[:, None]), real), ids)
known, seen = states(minilm, learnt), states(minilm, asked)
print(f"a definition is {known.shape[1]} numbers; 64 of them have a label, {len(seen):,} are asked for")

# %% [markdown]
# **The cheapest way**: nothing in MiniLM changes. On its states goes one matrix, fitted to the end: logistic regression, on features that somebody else paid for.

# %%
right = lambda scores, wanted=truth: (scores.argmax(-1) == wanted).float().mean().item()
of = lambda part, way, n, what="right": [run[what] for run in shipped[part][way][str(n)]]
wide = lambda values: (min(values) - 0.03, max(values) + 0.03)  # three points beyond three seeds
begun = time.process_time()
head = fit_linear_probe(known, kinds, len(topics))
print(f"≈ {right(head(seen)):.3f} of the test right, fitted in {time.process_time() - begun:.2f} s; always the "
      f"same answer: {truth.bincount().max() / len(truth):.3f}")  # fmt: skip
claim("64 labels and a matrix: more than half of the definitions get the right one of ten topics, in each of three "
      "seeds", min(of("texts", "head", 64)) > 0.5, band=wide(of("texts", "head", 64)), live=right(head(seen)),
      seeds=of("texts", "head", 64))  # fmt: skip

# %% [markdown]
# ## 2 · Four ways
# How deep may training reach? **Head** (not one of attention): the new matrix only. **Last**: the last two of six blocks too. **LoRA**: a small step beside each matrix. **Full**: all six
# blocks. First, what does it cost to *train* a number?

# %% exercise="13.1"

# %%
def changed(way, seed=0):  # MiniLM with a new head; what this way trains is trainable
    torch.manual_seed(seed)
    model = SequenceClassifier(copy.deepcopy(minilm), len(topics))
    nn.init.zeros_(model.classifier.weight)
    if way == "LoRA":
        add_lora(model, rank=8, alpha=16, targets=("q", "k", "v", "out", "up", "down")).classifier.requires_grad_(True)
        return model
    parts = {"head": (), "last": ("encoder.stack.blocks.4", "encoder.stack.blocks.5"), "full": ("encoder.stack",)}
    return train_only(model, "classifier", *parts[way])

ways = ["head", "last", "LoRA", "full"]
print(*(f"{way:5} trains {count_trainable(changed(way)):>10,} of {sum(p.numel() for p in changed(way).parameters()):,} "
        f"numbers" for way in ways), sep="\n")  # fmt: skip

# %%
batch = (*pad_batch(learnt[:16]), kinds[:16])

def kept(model):  # bytes that the forward pass leaves behind for the backward pass, weights aside
    own, found = {weight.untyped_storage().data_ptr() for weight in model.parameters()}, {}
    def note(x):
        found[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x
    with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
        loss = classification(model, batch).value  # held, so that nothing is freed and counted twice
    return loss.isfinite() * sum(size for at, size in found.items() if at not in own)

# %%
models = {way: changed(way) for way in ways}
sizes = {way: [(weight.numel(), weight.requires_grad) for weight in model.parameters()]
         for way, model in models.items()}  # fmt: skip
rows = {"weights": [sum(4 * n for n, _ in sizes[way]) for way in ways],
        "gradients and averages": [sum(12 * n for n, t in sizes[way] if t) for way in ways],
        "kept by the forward pass": [int(kept(models[way])) for way in ways]}  # fmt: skip
fig, ax = plt.subplots(figsize=(7, 2.8))
left = torch.zeros(4)
for (name, values), colour, hatch in zip(rows.items(), COLOURS.values(), HATCHES, strict=False):
    ax.barh(ways, values := torch.tensor(values) / 1e6, left=left, label=name, color=colour, hatch=hatch,
            edgecolor="white")  # fmt: skip
    left += values
ax.set(xlabel="memory while training on 16 definitions (MB)")
ax.invert_yaxis(), ax.legend()
show(fig, alt="Bars of memory. The weights are alike in all; gradients and averages are largest for full, a third "
     "of that for last, hardly visible for LoRA; what the forward pass keeps is about as large for LoRA as for "
     "full, a third of it for last, none for head.")  # fmt: skip

# %%
def stored():  # what Adam really holds after one step of full fine-tuning
    model, optimizer = models["full"], torch.optim.AdamW([w for w in models["full"].parameters()
        if w.requires_grad], lr=0.0)  # fmt: skip
    classification(model, batch).value.backward()
    optimizer.step()
    averages = sum(x.numel() * 4 for state in optimizer.state.values() for x in state.values() if x.ndim)
    return rows["weights"][3] + averages + sum(w.grad.numel() * 4 for w in model.parameters() if w.grad is not None)

claim("your bytes are what training really holds", training_bytes(sizes["full"]) == stored(), megabytes=stored() / 1e6)
share = {way: rows["kept by the forward pass"][n] / rows["kept by the forward pass"][3] for n, way in enumerate(ways)}
claim("LoRA trains few numbers, yet its forward pass keeps as much as that of full: gradients still pass through "
      "all blocks", share["LoRA"] > 0.9 > 0.5 > share["last"], **share)  # fmt: skip

# %% [markdown]
# Freezing saves twice: no gradients and averages, and, where all below is frozen too, no backward pass. LoRA saves only the first.
#
# ## 3 · LoRA
# Must a new job move ten million numbers? Move them all, then look at each matrix. Its change is a sum of *directions*, strongest first (singular values);
# how many, is its **rank**.

# %%
predict("13.rank", "All six blocks were trained. What changed in a matrix of 384 directions: how much of it lies "
        "in the eight strongest?", ["nearly all", "about half", "a tenth"])  # fmt: skip

# %%
directions = [1, 2, 4, 8, 16, 32, 64, 128, 256, 384]
spectra = [run["spectrum"] for run in shipped["texts"]["full"]["256"]]
lot, shapes = torch.Generator().manual_seed(0), [(384, 384), (1152, 384), (1536, 384), (384, 1536)]
drift = [torch.linalg.svdvals(torch.randn(*shape, generator=lot)).square() for shape in shapes]
noise = [mean((one[:k].sum() / one.sum()).item() for one in drift) for k in directions]
fig, ax = plt.subplots(figsize=(6, 3))
band(ax, directions, spectra, "fine-tuning, 256 labels")
ax.plot(directions, noise, "s--", label="noise of the same shapes")
ax.set(xscale="log", xticks=directions, xticklabels=directions, xlabel="strongest directions kept",
       ylabel="share of the squared change", ylim=(0, 1.02))  # fmt: skip
ax.legend()
show(fig, alt="Share of the change against directions kept, on a log axis. The curve of fine-tuning lies far above "
     "that of noise and bends early.")  # fmt: skip
few = [run[3] for run in spectra]
claim("eight directions of 384 hold far more of the change than of noise, in each seed", min(few) > 3 * noise[3],
      seeds=few, noise=noise[3])  # fmt: skip

# %% [markdown]
# "About half" was nearest. So allow *only* a step of low rank beside a matrix (O, I): B A, where A is (8, I) and B is (O, 8). A begins at random, B at
# zero; alpha / 8 is the step's weight.

# %% exercise="13.2"

# %% exercise="13.3"

# %%
from torch.nn import functional as F

model = changed("LoRA")
step = model.encoder.stack.blocks[0].mlp.down
with torch.no_grad():
    step.B[0].normal_(std=0.1)  # as if it had learnt something
    x = torch.randn(2, 5, 1536)
    mine_too = low_rank(x, step.base.weight, step.A[0], step.B[0], 16) + step.base.bias
    claim("your step is the package's", (gap := (mine_too - step(x)).abs().max()) < 1e-4, largest_gap=gap)
    one = F.linear(x, merge(step.base.weight, step.A[0], step.B[0], 16), step.base.bias)
    claim("merged it is one matrix, and gives the same to rounding", (gap := (one - step(x)).abs().max()) < 1e-4,
          largest_gap=gap)  # fmt: skip
claim("before training it is MiniLM, bit for bit", torch.equal(states(changed("LoRA").encoder, asked[:64]),
    states(minilm, asked[:64])))  # fmt: skip

# %% [markdown]
# Now train. Same labels, as many updates for all; the learning rate of each way was chosen on other items. Three of the four take their turn here, tested on every second
# item:

# %%
from fmcourse.training import EpochBatches, fit, lesson_steps
from fmcourse.training.optimizers import OptimizerConfig

move = lambda lr: OptimizerConfig(matrix_optimizer="adamw", lr=lr, weight_decay=0.01, warmup=0.1)
steps, results, tuned = lesson_steps(shipped["steps"]["64"]), {"head": right(head(seen))}, {}
full_length = steps == shipped["steps"]["64"]
for way in ("last", "LoRA", "full"):
    model, begun = changed(way), time.process_time()
    data = EpochBatches(list(zip(learnt, kinds.tolist(), strict=True)),
        lambda some: (*pad_batch([ids for ids, _ in some]), torch.tensor([kind for _, kind in some])),
        length=lambda row: len(row[0]))  # fmt: skip
    fit(model, classification, data, steps=steps, seed=0, optimizer=move(shipped["chosen"][way]))
    tuned[way] = model.eval()
    results[way] = right(read(model, asked[::2]), truth[::2])
    print(f"≈ {way:5}{results[way]:.3f} right, {time.process_time() - begun:.0f} s")

# %%
rows = {way: {"numbers trained": count_trainable(changed(way)), "seconds": mean(of("texts", way, 256, "seconds")),
              "right": mean(of("texts", way, 256))} for way in ways}  # fmt: skip
print(f"{'256 labels, three seeds':26}{'trained':>12}{'seconds':>10}{'right':>8}   lowest to highest")
for way, row in rows.items():
    print(f"{way:26}{row['numbers trained']:>12,}{row['seconds']:>10.1f}{row['right']:>8.3f}   "
          f"{min(of('texts', way, 256)):.3f} to {max(of('texts', way, 256)):.3f}")  # fmt: skip
print(f"made {shipped['date']} by `{shipped['command']}`, {shipped['with']}")

# %% [markdown]
# ### A job in a file
# The added matrices alone are small: one MiniLM on the disk, and a folder per job beside it. (It is laid out as the library peft does; this package's
# tests have each open the other's. The head is not in it: section 6 stores both.)

# %%
import tempfile
from pathlib import Path

from fmcourse.models.lora import LoRALinear, merge_lora
from fmcourse.pretrained import load_adapter, save_adapter

folder, model = Path(tempfile.mkdtemp()), tuned["LoRA"]
save_adapter(model.encoder, folder / "topics", "sentence-transformers/all-MiniLM-L6-v2")
small = (folder / "topics" / "adapter_model.safetensors").stat().st_size
answers = read(model, asked[:64])
again = load_adapter(copy.deepcopy(minilm), folder / "topics")
claim("the steps in a file, put beside a fresh MiniLM, give the same states", torch.equal(states(again, asked[:64]),
    states(model.encoder, asked[:64])), kilobytes=small / 1e3,
      whole_model_kilobytes=sum(w.nbytes for w in minilm.parameters()) / 1e3)  # fmt: skip
merge_lora(model)
claim("merged: no step is left, and no score has changed by a thousandth",
      not any(isinstance(m, LoRALinear) for m in model.modules())
      and (gap := (read(model, asked[:64]) - answers).abs().max()) < 1e-3, largest_gap=gap)  # fmt: skip

# %% [markdown]
# ## 4 · Few labels
# A label costs a person's minute. How many does pretraining save? The same network with weights drawn at random, trained on the same labels for as many updates, is
# what one would have without it. Second panel: eight groups of emoji, and EfficientNet, a convolutional network that learnt from photographs.

# %%
predict("13.few", "Pretrained with 64 labels, against the same network from scratch with 1,024:",
        ["scratch wins: 16 times the labels", "about equal", "pretrained wins"])  # fmt: skip

# %%
counts = [16, 64, 256, 1024]
curves = {"texts": ["full", "head", "scratch", "LoRA"], "pictures": ["full", "head", "scratch"]}
fig, axes = plt.subplots(1, 2, figsize=(9, 3.8), sharey=True)
for ax, (part, names) in zip(axes, curves.items(), strict=True):
    for way, sign in zip(names, "o^vs", strict=False):
        band(ax, counts, [[shipped[part][way][str(n)][seed]["right"] for n in counts] for seed in range(3)], way)
        ax.lines[-1].set(marker=sign, linestyle=":" if way == "scratch" else "-")
    ax.set(xscale="log", xticks=counts, xticklabels=counts, xlabel="labels",
           title={"texts": "topics of definitions, MiniLM", "pictures": "groups of emoji, EfficientNet"}[part],
           ylim=(0, 1))  # fmt: skip
axes[0].plot(counts, [mean(shipped["words"][str(n)]) for n in counts], "k--", label="counting words")
axes[0].set_ylabel("share of the test right")
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
show(fig, alt="Two panels, accuracy against labels. Pretrained curves lie far above the dotted one from scratch; "
     "on the left the dashed one, counting words, runs between them.")  # fmt: skip

# %%
for part in curves:
    claim(f"{part}: pretrained with 64 labels beats from scratch with 1,024, in each of three seeds: a sixteenth "
          f"of the labels", min(of(part, "full", 64)) > max(of(part, "scratch", 1024)),
          pretrained_64=of(part, "full", 64), scratch_1024=of(part, "scratch", 1024))  # fmt: skip
counted, lora = shipped["words"]["1024"], of("texts", "LoRA", 64)
claim("texts: LoRA with 64 labels beats counting words with 1,024, in each of three draws",
      all(a > b for a, b in zip(lora, counted, strict=True)), LoRA_64=lora, words_1024=counted)  # fmt: skip
if full_length:
    for way in ("LoRA", "full"):
        claim(f"and so it went here with {way}", wide(of("texts", way, 64))[0] < results[way] < wide(of("texts",
            way, 64))[1], here=results[way], seeds=of("texts", way, 64))  # fmt: skip

# %% [markdown]
# From scratch is a weak opponent: 22 million numbers, at most 120 updates, two rates tried. Fairer is counting words: tf-idf and a fitted matrix, no network. And to
# count honestly: 300 more labels chose the rates. Of the four ways only LoRA, with 64, passes counting words with 1,024. Is it the best way, then?

# %%
for n in (16, 64, 256, 1024):
    print(f"{n:5} labels", *(f"{way} {mean(of('texts', way, n)):.3f}" for way in ways), sep="   ")
claim("texts: with 64 labels or more LoRA is ahead of full, in each of three seeds",
      all(min(of("texts", "LoRA", n)) > max(of("texts", "full", n)) for n in (64, 256, 1024)))  # fmt: skip
claim("texts: on average over three seeds LoRA is first of the four at every size",
      all(max(ways, key=lambda way, n=n: mean(of("texts", way, n))) == "LoRA" for n in counts))  # fmt: skip
at_16 = [[shipped["texts"][way]["16"][seed]["right"] for way in ("last", "LoRA", "full")] for seed in range(3)]
claim("with 16, which of last, LoRA and full matters less than the draw",
      max(max(row) - min(row) for row in at_16) < min(max(column) - min(column) for column in zip(*at_16,
    strict=True)), seeds=at_16)  # fmt: skip

# %% [markdown]
# ## 5 · What goes wrong
# **Forgetting.** MiniLM was made to find texts that belong together. Ask the tuned ones for their old job: from the name of a dish to its ingredients.

# %%
old = {"before": [shipped["old job"]]} | {way: of("texts", way, 256, "old job") for way in ("last", "LoRA", "full")}
fig, ax = plt.subplots(figsize=(6.4, 2.4))
draw_bars(ax, {name: mean(values) for name, values in old.items()},
     unit="own ingredients among the ten nearest of 300 (share)")  # fmt: skip
show(fig, alt="Bars: the old job before tuning, and after each of three ways, all far lower; of the three LoRA's "
     "is the longest.")  # fmt: skip
claim("every way that reaches below the head costs more than a third of the old job, in each seed",
      all(max(values) < 2 / 3 * old["before"][0] for way, values in old.items() if way != "before"), **old)  # fmt: skip
claim("LoRA forgets least of the three, in each", min(old["LoRA"]) > max(old["last"] + old["full"]))

# %% [markdown]
# A head changes nothing below it, so it forgets nothing. And a language model? SmolLM2 sees 64 definitions with their topics twice; only the topic's tokens
# count. LoRA stands at q and v here, and no rates were searched. Then it reads 2,500 tokens of Austen.

# %%
talk = shipped["talk"]
print(f"{'':8}{'topics named':>14}{'nats per token of Austen':>26}")
for way, runs in {"before": [talk["before"]], "LoRA": talk["LoRA"], "full": talk["full"]}.items():
    print(f"{way:8}{mean(run['right'] for run in runs):>14.3f}{mean(run['nats'] for run in runs):>26.3f}   "
          f"{[run['nats'] for run in runs]}")  # fmt: skip
lost = {way: [run["nats"] - talk["before"]["nats"] for run in talk[way]] for way in ("LoRA", "full")}
claim("Austen costs a little more afterwards, in each of three seeds of both ways",
      min(lost["LoRA"] + lost["full"]) > 0.01, **lost)  # fmt: skip
claim("full has learnt more in these 16 steps, and forgotten hardly more than LoRA",
      min(run["right"] for run in talk["full"]) > max(run["right"] for run in talk["LoRA"])
      and max(lost["full"]) < max(lost["LoRA"]) + 0.01)  # fmt: skip

# %% [markdown]
# Here LoRA learns less and forgets as much. But model, places, rates and steps all differ from above: no rule replaces measuring.
#
# **Too high a rate.** A common way to ruin a good model. Every way has rates that suit it, and full has a cliff:

# %%
fig, ax = plt.subplots(figsize=(6.4, 3))
for way, sign in zip(("last", "LoRA", "full"), "os^", strict=True):
    rates = {float(lr): values for lr, values in shipped["rates"][way].items()}
    band(ax, list(rates), [[values[seed] for values in rates.values()] for seed in range(3)], way)
    ax.lines[-1].set(marker=sign)
ax.axhline(mean(of("texts", "head", 64)), color="black", linestyle=":", label="head alone (on the test)")
ax.set(xscale="log", xlabel="largest step (AdamW's learning rate)", ylabel="right, of 300 other items", ylim=(0, 1))
ax.legend(loc="upper left", ncols=4)
show(fig, alt="Accuracy against learning rate. All three rise with it; full is up first and at 0.003 drops to "
     "chance, LoRA is best just there, last stays level.")  # fmt: skip
top = {way: max(shipped["rates"][way], key=lambda lr: mean(shipped["rates"][way][lr])) for way in ("last", "LoRA",
    "full")}  # fmt: skip
claim("LoRA wants a higher learning rate than full fine-tuning", float(top["LoRA"]) > float(top["full"]),
      **{way: float(lr) for way, lr in top.items()})  # fmt: skip
worst = shipped["rates"]["full"]["0.003"]
claim("at ten times its best rate full (on 300 others) falls below a head on frozen states (on the test), in each "
      "seed", max(worst) < min(of("texts", "head", 64)) and abs(float(top["full"]) - 0.0003) < 1e-9, full=worst)  # fmt: skip

# %% [markdown]
# **A leak.** 300 things, each drawn by two or three hands. About a third is held out: *pictures* at random, or *things* at random with all their pictures.

# %%
from fmcourse.models.vision import extract_features

emoji, eyes = load("emoji"), pretrained.load_vision()
names = sorted(set(emoji.train.names))
things = [names[n] for n in torch.randperm(len(names), generator=torch.Generator().manual_seed(0))[:300].tolist()]
rows = torch.tensor([row for row, name in enumerate(emoji.train.names) if name in set(things)])
looks, groups = extract_features(eyes, emoji.train.pixels[rows], 64), emoji.train.labels[rows]
thing = torch.tensor([things.index(emoji.train.names[row]) for row in rows.tolist()])

def held_out(test):  # accuracy of a head on frozen features
    return right(fit_linear_probe(looks[~test], groups[~test], len(emoji.classes))(looks[test]), groups[test])

by_picture, by_thing = [], []
for seed in range(3):
    lot = torch.Generator().manual_seed(seed)
    by_picture.append(held_out(torch.rand(len(rows), generator=lot) < 1 / 3))
    by_thing.append(held_out((torch.rand(300, generator=lot) < 1 / 3)[thing]))
claim("split by picture, the test looks easier than it is: each of three lots",
      min(by_picture) > max(by_thing) + 0.05, pictures=len(rows), by_picture=by_picture, by_thing=by_thing)  # fmt: skip

# %% [markdown]
# Same network, same pictures: only the second number says what happens with a thing it never saw. Ask of your own data: *what comes in groups?* Patients, writers,
# days. Even the plainest leak, the same text twice, is worth a line of code:

# %% exercise="13.4"

# %%
texts = {part: [item.text for item in getattr(definitions, part)] for part in ("train", "validation", "test")}
twice = leaked(texts["train"] + texts["validation"], texts["test"])
claim("no definition of the test stands in train or validation", not twice, test=len(texts["test"]), leaked=len(twice))

# %% [markdown]
# **An unlucky 16.** You label 16 definitions. Which 16? Forty draws, the same head, the same test:

# %%
pool = [definitions.train[row] for row in drawn(definitions.train, 640, 7)]
pooled, labels = states(minilm, number(pool)[0]), number(pool)[1]

def lucky(n, each, seed):  # n labels at random; `each`: of every topic one first
    order = torch.randperm(len(pool), generator=torch.Generator().manual_seed(seed))
    if each:
        first = torch.stack([order[(labels[order] == kind).nonzero()[0, 0]] for kind in range(10)])
        order = torch.cat([first, order[~torch.isin(order, first)]])
    return right(fit_linear_probe(pooled[order[:n]], labels[order[:n]], 10)(seen))

draws = {"16 at random": [lucky(16, False, seed) for seed in range(40)],
         "16, of every topic one": [lucky(16, True, seed) for seed in range(40)],
         "64 at random": [lucky(64, False, seed) for seed in range(40)]}  # fmt: skip
fig, ax = plt.subplots(figsize=(6.8, 2.2))
for n, values in enumerate(draws.values()):
    ax.plot(values, [n + 0.012 * (i % 21 - 10) for i in range(40)], "os^"[n], color=list(COLOURS.values())[n],
            alpha=0.6)  # fmt: skip
ax.set(xlabel="share of the test right", yticks=range(3), yticklabels=draws, xlim=(0, 1))
ax.invert_yaxis()
show(fig, alt="Three clouds of forty points. Both clouds of 16 labels lie at the same place and are wide; 64 "
     "labels lie far to the right, closer together.")  # fmt: skip

# %%
spread = {name: max(values) - min(values) for name, values in draws.items()}
claim("between the luckiest and the unluckiest of forty draws lie more than ten points with 16 labels, and fewer "
      "with 64 than with 16", spread["16 at random"] > 0.1 and spread["64 at random"] < spread["16 at random"],
      **{name.replace(" ", "_").replace(",", ""): gap for name, gap in spread.items()})  # fmt: skip
claim("one of every topic first: on average neither better nor worse",
      abs(mean(draws["16, of every topic one"]) - mean(draws["16 at random"])) < 0.03,
      at_random=mean(draws["16 at random"]),
      every_topic=mean(draws["16, of every topic one"]))  # fmt: skip

# %% [markdown]
# We had expected that a label for every topic would help. It does not; more labels do. Never judge a method by one small draw.
#
# ## 6 · Your own data
# All this as a tool: for a CSV file, or pictures in one folder a label. Who wrote this line? Four hundred lines, in a file as people send them.

# %%
import csv

from fmcourse.apps.classifier import load_classifier, train_classifier
from fmcourse.apps.own_data import read_dataset

writers = {"Austen": "austen", "Shakespeare": "shakespeare", "Bible": "bible", "cookbook": "recipes"}
lines = []
for writer, name in writers.items():
    some = [" ".join(line.split()) for line in load(name).train[:400_000].replace("\n\n", ".").split(".")]
    some = [line for line in some if 40 < len(line) < 160]
    lines += [(some[row], writer) for row in drawn(some, 100, 0)]
lines += [("", "Austen"), lines[0], (lines[150][0].upper(), "Shakespeare"), (lines[250][0], "cookbook"),
          ("a line that nobody signed", "")]  # fmt: skip
sent = folder / "lines.csv"
with open(sent, "w", newline="", encoding="utf-8-sig") as file:  # as a spreadsheet writes it
    csv.writer(file).writerows([("text", "label"), *lines])
data = read_dataset(sent)
print(data)

# %% [markdown]
# What can be mended is mended, and said. What cannot be mended stops you with a sentence that says where:

# %%
broken = {"latin.csv": "text,label\ncafé au lait,drink\nfish soup,food\n".encode("latin-1"),
          "one.csv": b"text,label\na cat,animal\na dog,animal\n",
          "columns.csv": b"Text,labels\na cat,animal\na bus,thing\n", "empty.csv": b""}  # fmt: skip
for name, content in broken.items():
    (folder / name).write_bytes(content)
    try:
        read_dataset(folder / name)
    except ValueError as error:
        print(f"- {str(error).replace(str(folder), '.')}")

# %%
judge = train_classifier(data, way="head", progress=False)
report = judge.evaluate(data)
print("≈", str(report).replace("\n", "\n≈ "))
claim("more than eight of ten lines held out are given to the right writer: a head, some 300 labels",
      report.accuracy.value > 0.8, live=report.accuracy.value, always_the_same=report.majority_accuracy)  # fmt: skip

# %% [markdown]
# The lines held out are from the same books: names and habits return, so expect less of a new book. And one number hides who is taken for whom. The table
# of all pairs does not:

# %% exercise="13.5"

# %%
given = judge.predict(data.test).argmax(1)
wanted = torch.tensor([judge.labels.index(item.label) for item in data.test])
claim("your table is the package's", torch.equal(confusion(given, wanted, len(judge.labels)), report.confusion))
show(report.figure(),
     alt="Four by four table, what it is against what was said. The diagonal is bright; the cookbook is never "
     "mistaken, the three old books sometimes.")  # fmt: skip

# %% [markdown]
# Save it, load it, use it from the command line (with the name of your own folder). A head is a file of a few kilobytes; the network that it sits on is installed once.

# %%
import subprocess
import sys

judge.save(folder / "writers")
same = load_classifier(folder / "writers")
claim("saved and loaded: the same probabilities", torch.equal(same.predict(data.test), judge.predict(data.test)))
print(*(f"≈ {file.name:42}{file.stat().st_size:>8,} bytes" for file in sorted((folder / "writers").iterdir())),
      sep="\n")  # fmt: skip
command = [sys.executable, "-m", "fmcourse", "classify", str(folder / "writers"),
           "Whisk the eggs and pour them into a hot pan", "O cruel night, that hides my love from me"]  # fmt: skip
print("python -m fmcourse classify writers", *(f"'{text}'" for text in command[-2:]))
print("≈", subprocess.run(command, capture_output=True, text=True, check=True).stdout.replace("\n",
    "\n≈ ").removesuffix("≈ "))  # fmt: skip

# %%
from fmcourse.plots.widgets import interactive


def who(line="It is a truth that nobody acknowledges."):
    fig, ax = plt.subplots(figsize=(6, 2))
    probabilities = judge.predict([line.strip() or "."])[0].tolist()
    draw_bars(ax, dict(zip(judge.labels, probabilities, strict=True)), unit="probability")
    ax.set_xlim(0, 1.15)
    return fig

interactive(who, line="It is a truth that nobody acknowledges.",
            alt="Four bars, how probable each writer is for the line that was typed.")  # fmt: skip

# %% [markdown]
# And pictures: one folder a label. Three hands drew each emoji; to keep the hands of one thing on one side, give the split yourself, as `train` and `test`.

# %%
from PIL import Image

for part, split in (("train", emoji.train), ("test", emoji.test)):
    for label in ("food & drink", "travel & places", "animals & nature"):
        at = (split.labels == emoji.classes.index(label)).nonzero()[:, 0]
        place = folder / "things" / part / label
        place.mkdir(parents=True, exist_ok=True)
        for row in at[drawn(at, 40, 0)].tolist():
            Image.fromarray(split.pixels[row].numpy()).save(place / f"{row}.png")
pictured = read_dataset(folder / "things")
print(pictured)
seen_by = train_classifier(pictured, way="head", progress=False).evaluate(pictured)
print("≈", str(seen_by).splitlines()[0])
one_label = (seen_by.confusion.sum(1) / seen_by.confusion.sum()).max()
claim("120 labelled pictures and a frozen network: things never seen, above whatever one label could reach",
      seen_by.accuracy.low > one_label, low=seen_by.accuracy.low, one_label=one_label)  # fmt: skip

# %% [markdown]
# **Change it.** Put your own file beside this notebook and give its name to `read_dataset`; or, in a terminal, `python -m fmcourse finetune mine.csv --out mine`. Ways are `head`,
# `last`, `full` and, for texts, `lora`. Begin with `head`: it takes seconds, and the others must beat it.

# %%
quiz("13.q1", "Your 16 labels give 38 % with a frozen head, your colleague's other 16 give 29 %. Who labels better?",
     {"You do": "Forty draws at random from one and the same pool spread wider than that.",
      "Nobody can say yet": "Luck is worth more than nine points at 16 labels. Put them together and label more.",
      "Your colleague: harder examples teach more": "They may; two single draws do not show it."},
     answer="Nobody can say yet")
quiz("13.q2", "LoRA trains one number in seventy. What does training no longer need for the others?",
     {"The forward pass": "Every matrix still takes part in every answer.",
      "Gradients and Adam's averages": "12 of the 16 bytes that each trained number costs. What the forward pass "
      "keeps stays.",
      "The weights themselves": "They are frozen, not gone."},
     answer="Gradients and Adam's averages")  # fmt: skip
quiz("13.q3", "X-rays, several a patient, split by picture: 99 % right on the test, 71 % on new patients of the "
     "same hospital. What was most likely overlooked?",
     {"The learning rate": "Too high a rate would have shown in the first test.",
      "That patients are in train and in test": "Pictures of one patient are alike. Split by what comes in groups, "
      "and keep a whole hospital for the end.",
      "A larger model": "It would learn the patients by heart even better."},
     answer="That patients are in train and in test")  # fmt: skip

# %% [markdown]
# ## What the real systems do
# | | what is trained | what came of it |
# |---|---|---|
# | ULMFiT 2018 | all, from the top down | 100 labels do what 100 times as many do from scratch |
# | BERT 2018 | all; 2 to 4 rounds, Adam at 2e-5 to 5e-5 | one model, a matrix a task |
# | LoRA 2021, on GPT-3 175B | a ten-thousandth | a third of the memory |
# | Biderman et al. 2024 | LoRA against all | it "learns less and forgets less"; full changes have 10 to 100 times its rank |
#
# Sources: Howard & Ruder 2018, abstract and section 3.3; Devlin et al. 2018, appendix A.3; Hu et al. 2021 and Biderman et al. 2024, abstracts.

# %% [markdown]
# ## In one breath
# - A frozen network and a matrix: seconds, and the thing to beat.
# - Deeper ways cost memory.
# - LoRA: a small step beside each matrix; merged it is free, saved it is a file per job.
# - Pretraining saves labels. Of sixteen, which you drew counts about as much as how you train.
# - What was tuned has forgotten something.

# %%
progress("13")
