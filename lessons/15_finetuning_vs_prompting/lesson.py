# %% [raw]
# place = ["labels against prompts", "encoder and decoder", "questions, topics"]
# builds = "the same task done in eight ways: labels, seconds, tokens, what is lost, and when there is no winner"
# [reads]
# "fmcourse.adaptation.soft_prompts" = ["SoftPrompt"]
# "fmcourse.evaluation" = ["summarize_runs", "paired_test"]
# "fmcourse.models.lora" = ["LoRALinear"]

# %% [markdown]
# # 15 · Fine-tuning or prompting?
# **Same task, same labels, same questions, eight ways. You say who wins before you see it; then you hold a chart of your own, with numbers, for the
# next time somebody asks "do we have to train?"**
#
# 80 minutes to read and do · two minutes to compute · you need lessons 13 and 14.

# %% [markdown]
# **Afterwards you can**
# - set up a comparison that is fair, and say how easily luck makes such a difference;
# - put a prompt of vectors, which can be trained, before a text;
# - say what each way costs: labels, seconds, tokens, bytes, other skills;
# - choose, and say what would change your mind.

# %%
import copy
import math
import random
import time
from statistics import mean

import matplotlib.pyplot as plt
import torch
from fmcourse import pretrained
from fmcourse.adaptation import count_trainable, fit_linear_probe
from fmcourse.course import check, claim, hint, predict, progress, quiz, show, solution
from fmcourse.data import load, table
from fmcourse.evaluation import paired_test
from fmcourse.models.lora import add_lora
from fmcourse.models.transformer import count_parameters
from fmcourse.plots import COLOURS, HATCHES, draw_bars
from fmcourse.prompting import calibrate, label_scores
from torch.nn import functional as F

# fmt: off

# %% [markdown]
# ## 1 · Two schools, one contest
# *Fine-tuning changes the model; prompting changes how it is asked.* Two jobs to decide on. A word: good or bad? A definition: which of ten
# topics?

# %%
ask = {"opinions": "Word: {}\nSentiment:", "topics": "{}\nWhat is it? It is a kind of"}
form = {"opinions": "The word {} sounds", "topics": ask["topics"]}  # ... where solved examples stand before it
words = {"opinions": ["negative", "positive"], "topics": ["action", "animal", "object", "body", "language", "food",
    "place", "person", "plant", "substance"]}  # fmt: skip
kinds, shipped = sorted({item.topic for item in load("topics").train}), table("lesson_15")

def items(name, split):  # short ones: text, and the number of its word
    label = lambda item: words[name].index(item.label) if name == "opinions" else kinds.index(item.topic)
    return [(item.text, label(item)) for item in getattr(load(name), split) if len(item.text.split()) <= 10]

drawn = lambda some, n, seed: [some[at] for at in torch.randperm(len(some),
    generator=torch.Generator().manual_seed(seed))[:n].tolist()]  # fmt: skip
test = {name: drawn(items(name, "test"), 200, 0) for name in words}
for name in words:
    print(*(f"{ask[name].format(text)} {words[name][label]}".replace("\n", " / ")
            for text, label in test[name][:4]), sep="\n")  # fmt: skip

# %% [markdown]
# **Fair** means: the same examples for everyone, the 16 among the 64, every label shown; the same 200 questions; chosen on *other* items are two wordings, with and
# without examples, and a step size for each way of training. Prompts are calibrated: nobody told them how often a word comes. The first rule is yours:

# %% exercise="15.1"

# %%
def examples(name, n, seed=0):
    # who begins is drawn too
    pool, turn = drawn(items(name, "train"), None, seed), drawn(range(len(words[name])), None, seed)  # fmt: skip
    return [pool[at] for at in fair([turn.index(label) for _, label in pool], n)]

sixteen, more = examples("topics", 16), examples("topics", 64)
claim("the 16 are the first of the 64, and every topic is among them",
      more[:16] == sixteen and len({label for _, label in sixteen}) == 10)  # fmt: skip
lot = [len({label for _, label in drawn(items("topics", "train"), 16, seed)}) for seed in range(200)]
print(f"drawn at random instead, 16 examples show all ten topics {lot.count(10)} times in 200")

# %% [markdown]
# ### Your chart, before any number
# Three contestants; for each row a winner, or none. *Prompt*: SmolLM2 untouched. *Head*: a matrix on frozen MiniLM. *LoRA*: SmolLM2 with small trained
# steps.

# %%
rows = {"none": "Good or bad, and no label at all", "opinions": "Good or bad, 16 labels",
        "topics": "Ten topics, 16 labels",
        "new": "Ten topics, but only five ever had labels; a text of the other five comes",
        "six": "Six writing jobs, asked by an arrow (mouse ->), 16 examples each",
        "many": "Ten topics, a million answers: fewest seconds"}  # fmt: skip
for row, question in rows.items():
    predict(f"15.{row}", question, ["prompt", "head", "LoRA", "no clear winner"])

# %% [markdown]
# ## 2 · Only ask
# SmolLM2 reads the question; whichever of the words it finds likelier is the answer (lesson 14). First without an example.

# %%
smollm, tokenizer = pretrained.load("smollm2-135m-instruct")

def said(model, name, shared=""):  # the answers as they are, and calibrated on questions without content
    labels, question = [f" {word}" for word in words[name]], (form if shared else ask)[name]
    score = lambda texts: label_scores(model, tokenizer, [question.format(text) for text in texts], labels,
                                       shared=shared)  # fmt: skip
    scores, blank = score([text for text, _ in test[name]]), score(["N/A", "", "[MASK]"])
    return scores.argmax(1).tolist(), calibrate(scores, blank).argmax(1).tolist()

share = lambda answers, name: mean(answer == label for answer, (_, label) in zip(answers, test[name], strict=True))
zero = {name: said(smollm, name) for name in words}
for name in words:
    print(f"≈ {name}: {share(zero[name][0], name):.3f} right, calibrated {share(zero[name][1], name):.3f}, nothing "
          f"learnt")  # fmt: skip

# %%
runs, SEEDS = shipped["tasks"], range(3)
of = lambda name, way, n, what=None: [row[what or ("calibrated" if way == "few-shot" else "right")]
                                      for row in runs[name][way][str(n)]]  # fmt: skip
nothing = {name: runs[name]["zero-shot"][0]["calibrated"] for name in words}
for name in words:
    claim(f"{name}: as the recipe measured, but for a few answers",
          abs(share(zero[name][1], name) - nothing[name]) < 0.03, here=share(zero[name][1], name),
          recipe=nothing[name])  # fmt: skip
    worded = [one["none"][0] for one in shipped["wordings"][name]]
    claim(f"{name}: of four wordings, on other items, the best is more than ten points ahead of the worst",
          max(worded) - min(worded) > 0.1, right=worded)  # fmt: skip

# %% [markdown]
# Surely examples help?

# %%
predict("15.shots", "16 solved examples before the question, calibrated: the mean of three draws. What happens?",
        ["both jobs gain", "both lose", "one gains, one loses"])  # fmt: skip

# %%
def shown(name, some):  # in another order, so that labels do not come in turn
    return "".join(f"{form[name].format(text)} {words[name][label]}\n\n"
                   for text, label in random.Random(0).sample(some, len(some)))  # fmt: skip

few = {name: said(smollm, name, shown(name, examples(name, 16))) for name in words}
for name in words:
    raw, fair_ones = of(name, "few-shot", 16, "right"), of(name, "few-shot", 16)
    print(f"≈ {name}: here {share(few[name][0], name):.3f} raw, {share(few[name][1], name):.3f} calibrated; no "
          f"example: {nothing[name]:.3f}")  # fmt: skip
    print(f"    three draws of 16: raw {raw}, calibrated {fair_ones}")

# %%
claim("topics: any of three draws of 16, calibrated, beats no example",
      min(of("topics", "few-shot", 16)) > nothing["topics"], draws=of("topics", "few-shot", 16),
      none=nothing["topics"])  # fmt: skip
raw = of("topics", "few-shot", 16, "right")
claim("calibration adds more than ten points in each draw; raw, two of the three are below no example",
      all(b - a > 0.1 for a, b in zip(raw, of("topics", "few-shot", 16), strict=True))
      and sorted(raw)[1] < runs["topics"]["zero-shot"][0]["right"] < max(raw), raw=raw,
      none_raw=runs["topics"]["zero-shot"][0]["right"])  # fmt: skip
gain = [value - nothing["opinions"] for value in of("opinions", "few-shot", 16)]
claim("opinions: 16, calibrated, lose in the mean, though not in each draw", mean(gain) < 0 < max(gain), gain=gain)
many = of("opinions", "few-shot", 64, "right") + of("opinions", "few-shot", 64)
claim("opinions: with 64 examples, raw or calibrated, each draw is worse than with none",
      max(many) < nothing["opinions"], best=max(many), worst=min(many), none=nothing["opinions"])  # fmt: skip

# %%
positive = {what: [mean(digit == "1" for digit in row[what]) for row in runs["opinions"]["few-shot"]["64"]]
            for what in ("said", "said calibrated")}  # fmt: skip
truth = mean(label for _, label in test["opinions"])
claim("opinions, 64 examples: 'positive' is said too often in each draw, and after calibration still",
      truth < min(positive["said calibrated"]) and all(b < a for a, b in zip(*positive.values(), strict=True)),
      truth=truth, raw=positive["said"], calibrated=positive["said calibrated"])  # fmt: skip

# %% [markdown]
# In the mean topics gain and opinions lose, but for one draw. What a sentiment is, the model knew; examples pulled it towards one label.
# What *our* ten topics are it could not know. **Measure; do not assume.**
#
# ## 3 · A prompt that nobody can read
# Model frozen, prompt *trained*: a word is 576 numbers, so let a gradient choose them.

# %% exercise="15.2"

# %%
from fmcourse.adaptation.soft_prompts import SoftPrompt

ids = torch.tensor([tokenizer.encode("Word: delicious\nSentiment:")])
plain = tokenizer.encode("Is it good? Be honest.")
soft = SoftPrompt(smollm, len(plain), plain)
with torch.no_grad():
    mine = behind(smollm.stack, soft.embeddings, smollm.embed(ids, torch.arange(ids.shape[1])))
    claim("yours is the package's", (gap := (mine - soft.states(ids)).abs().max()) < 1e-2, largest_gap=gap)
    claim("vectors that are words are read as those words",
          (gap := (smollm.states(torch.tensor([plain + ids[0].tolist()]))[:, len(plain):]
                   - soft.states(ids)).abs().max()) < 1e-2, largest_gap=gap)  # fmt: skip
print(f"trained would be {count_trainable(soft):,} numbers of {count_parameters(smollm):,}")

# %%
learnt = runs["opinions"]["soft"]["64"][0]
asked = {name: {int(n): mean(of(name, "few-shot", n)) for n in runs[name]["few-shot"]} | {0: nothing[name]}
         for name in words}  # fmt: skip
for name in words:
    best = max(asked[name], key=asked[name].get)
    print(f"20 vectors, 64 labels, {name}: {of(name, 'soft', 64)}; the best written prompt, with {best} examples: "
          f"{asked[name][best]:.3f}")  # fmt: skip
print(f"{learnt['trained']:,} numbers, {learnt['bytes'] / 1e3:.0f} kB; three seeds; step size chosen on other items")

# %%
written = [nothing["opinions"]] + of("opinions", "few-shot", 64)
claim("opinions: the trained prompt beats asking without examples and the same 64 as examples, each seed against "
      "each", min(of("opinions", "soft", 64)) > max(written), trained=of("opinions", "soft", 64), written=written)  # fmt: skip
lead = [a - b for a, b in zip(of("topics", "soft", 64), of("topics", "few-shot", 64), strict=True)]
claim("topics: on average it is ahead of the same 64 as examples, but not in every seed",
      mean(lead) > 0 > min(lead), ahead_by=lead)  # fmt: skip
claim("topics with 16 labels: on average it is worse than no example",
      mean(of("topics", "soft", 16)) < nothing["topics"], trained=of("topics", "soft", 16), none=nothing["topics"])  # fmt: skip

# %% [markdown]
# With 64 labels the unreadable prompt can do more than one made of words; with 16 of ten topics it is worse than none. And to train it takes about as long as
# to train the whole model (section 6).
#
# ## 4 · Change something
# **A head**, the cheapest training there is: MiniLM frozen, one matrix fitted on its vectors.

# %%
minilm, pieces = pretrained.load("minilm-l6")
vectors = lambda some: pretrained.embed_sentences(minilm, pieces, [text for text, _ in some])
head = {}
for name in words:
    some, begun = examples(name, 16), time.process_time()
    matrix = fit_linear_probe(vectors(some), torch.tensor([label for _, label in some]), len(words[name]))
    head[name] = matrix(vectors(test[name])).argmax(1).tolist()
    print(f"≈ {name}: {share(head[name], name):.3f} right, {time.process_time() - begun:.1f} s for learning and "
          f"200 answers; recipe, three seeds: {of(name, 'MiniLM head', 16)}")  # fmt: skip

# %% [markdown]
# **LoRA**: the same question, the same word as the answer, and the loss only there. Training begins where the prompt ended: at first B is zero and
# the model answers as before.

# %%
from fmcourse.models.heads import pad_batch
from fmcourse.objectives import Loss
from fmcourse.training import EpochBatches, fit, lesson_steps
from fmcourse.training.optimizers import OptimizerConfig


def together(rows):  # ids, and which of them are an answer's
    ids, real = pad_batch([question + answer for question, answer in rows])
    return ids, real & (torch.arange(ids.shape[1]) >= torch.tensor([len(question) for question, _ in rows])[:, None])

def answer_only(model, batch, generator=None):
    ids, wanted = batch
    return Loss(F.cross_entropy(model.head(model.states(ids[:, :-1])[wanted[:, 1:]]), ids[wanted]), {},
                int(wanted.sum()))  # fmt: skip

# %%
steps, gentle = lesson_steps(shipped["steps"]["16"]), OptimizerConfig(
    matrix_optimizer="adamw", lr=shipped["chosen"]["LoRA"], weight_decay=0.01, warmup=0.1)  # fmt: skip
full, lora = steps == shipped["steps"]["16"], {}
for name in words:
    torch.manual_seed(0)
    model, begun = add_lora(copy.deepcopy(smollm), 8, 16.0, ("q", "v")), time.process_time()
    rows = [(tokenizer.encode(ask[name].format(text)), tokenizer.encode(f" {words[name][label]}"))
            for text, label in examples(name, 16)]  # fmt: skip
    fit(model, answer_only, EpochBatches(rows, together, 8, 0, length=lambda row: len(row[0])), steps=steps, seed=0,
        optimizer=gentle, progress=False)  # fmt: skip
    spent, lora[name] = time.process_time() - begun, said(model, name)[0]
    print(f"≈ {name}: {share(lora[name], name):.3f} right after {steps} steps, {spent:.0f} s; recipe, three seeds: "
          f"{of(name, 'LoRA', 16)}")  # fmt: skip

# %%
# six points beyond three seeds: another CPU draws other sums
wide = lambda values: (min(values) - 0.06, max(values) + 0.06)  # fmt: skip
both = {name: {"LoRA": of(name, "LoRA", 16), "prompt": of(name, "few-shot", 16)} for name in words}
claim("opinions: 16 labels in LoRA beat the same 16 in the prompt, calibrated, each seed against each",
      min(both["opinions"]["LoRA"]) > max(both["opinions"]["prompt"]), **both["opinions"])  # fmt: skip
claim("topics: no clear winner with 16, the two ranges overlap",
      max(min(v) for v in both["topics"].values()) < min(max(v) for v in both["topics"].values()), **both["topics"])  # fmt: skip
for name in words:
    if full:
        low, high = wide(of(name, "LoRA", 16))
        claim(f"{name}: and so it went here", low < share(lora[name], name) < high, band=(low, high),
              here=share(lora[name], name))  # fmt: skip

# %% [markdown]
# ### Better, or luckier?
# 200 questions, two methods. Both right, both wrong: those tell nothing. Count the rest as coins. **p** says how often fair coins fall at least so
# lopsided. Under .05 is a habit of the field, not a proof; and three seeds that share their questions are less than three proofs.

# %% exercise="15.3"

# %%
right = lambda answers, name: [int(answer) == label for answer, (_, label) in zip(answers, test[name], strict=True)]
kept = lambda name, way, n, seed: right(runs[name][way][str(n)][seed]["said"], name)
for name in words:
    untouched = right(runs[name]["zero-shot"][0]["said calibrated"], name)
    print(f"≈ here, {name}: LoRA against no example {paired_test(right(lora[name], name), right(zero[name][1], name))}")
    rare = [by_luck(kept(name, "LoRA", 16, seed), untouched) for seed in SEEDS]
    ahead = [paired_test(kept(name, "LoRA", 16, seed), untouched).difference for seed in SEEDS]
    claim(f"{name}: with 16 labels LoRA is ahead of the prompt without any in each of three seeds", min(ahead) > 0,
          ahead=ahead, by_luck=rare)  # fmt: skip
    print(f"    luck does so less often than 5 times in 100: {sum(p < 0.05 for p in rare)} of 3 seeds")
claim("your p is the package's", all(math.isclose(by_luck(a, b), paired_test(a, b).p, abs_tol=1e-9)
                                     for a, b in [(kept("topics", "LoRA", 16, s), kept("topics", "MiniLM head", 16,
    s)) for s in SEEDS]))  # fmt: skip

# %% [markdown]
# ## 5 · Head to head
# A third job, where the answer is *written*: "hurry ->", hurried. The arrow names no job; only the examples do. Three seeds, the same questions for all;
# lines are means, bands go from the lowest seed to the highest.

# %%
sizes = lambda name, way: {int(n): of(name, way, n) for n in sorted(runs[name][way], key=int)}
curve = {name: {"prompt": {1: [nothing[name]]} | sizes(name, "few-shot"), "head": sizes(name, "MiniLM head"),
                "LoRA": sizes(name, "LoRA")} for name in words}  # fmt: skip
past = shipped["past tense"]  # "none" stands where 1 would
curve["past tense"] = {way: {int(n) or 1: [row["right"] for row in past[way][n]] for n in sorted(past[way],
    key=int)} for way in ("prompt", "LoRA")}  # fmt: skip
titles = {"opinions": "Good or bad?\nAsk; a little training is better",
          "topics": "Which of ten topics?\nTrain, if labels are many",
          "past tense": "Its past tense?\nShow it, or name it and train"}  # fmt: skip
looks = {"prompt": ("blue", "o-"), "head": ("green", "^-"), "LoRA": ("vermilion", "s-")}
# which point, and how far from it
places = {("prompt", "opinions"): (-1, 0, -18), ("prompt", "topics"): (0, 4, 9), ("head", "opinions"): (-1, 0, -18),
          ("head", "topics"): (-1, 0, -18)}  # fmt: skip
said_so = mean(row["right"] for row in shipped["six"]["LoRA, named"]["past tense"])

# %%
fig, axes = plt.subplots(1, 3, figsize=(10, 3.6), sharey=True)
for ax, (name, ways) in zip(axes, curve.items(), strict=True):
    for way, points in ways.items():
        colour, sign = looks[way]
        x, y = list(points), [*map(mean, points.values())]
        ax.plot(x, y, sign, color=COLOURS[colour], markersize=7)
        ax.fill_between(x, [*map(min, points.values())], [*map(max, points.values())], color=COLOURS[colour],
                        alpha=0.2, linewidth=0)  # fmt: skip
        at, *aside = places.get((way, name), (-1, 0, 8))
        ax.annotate(way, (x[at], y[at]), aside, textcoords="offset points", ha="center", color=COLOURS[colour],
                    weight="bold")  # fmt: skip
    ax.set(xscale="log", xticks=[1, 4, 16, 64, 256], xticklabels=["none", 4, 16, 64, 256], xlim=(0.7, 400),
           ylim=(-0.02, 1.08), xlabel="labelled examples", title=titles[name])  # fmt: skip
    ax.minorticks_off()
axes[0].set_ylabel("share right")
axes[2].plot([16], [said_so], "s", color=COLOURS["vermilion"], fillstyle="none", markersize=8)
axes[2].annotate("LoRA, if the question\nsays 'past tense'", (16, said_so), (8, -36), textcoords="offset points",
                 color=COLOURS["vermilion"])  # fmt: skip
show(fig, alt="Three panels, accuracy against examples. Good or bad: the prompt is right nine times in ten with no "
     "example; four change little, 16 and 64 lower it; from 16 labels on LoRA lies above all. Ten topics: prompt "
     "and LoRA are level with 16 and the head far below; with 256 LoRA is first. Past tense: the prompt climbs "
     "from nothing to nine in ten, LoRA stays far below, unless the question names the job.")  # fmt: skip

# %%
claim("opinions: asked without any label the model beats a head with 64, in each of three seeds",
      nothing["opinions"] > max(of("opinions", "MiniLM head", 64)), prompt=nothing["opinions"],
      head_64=of("opinions", "MiniLM head", 64))  # fmt: skip
claim("topics: the prompt with 64 beats a head with the same 64, each seed against each: a frozen model that reads "
      "beats a matrix", min(of("topics", "few-shot", 64)) > max(of("topics", "MiniLM head", 64)),
      prompt=of("topics", "few-shot", 64), head=of("topics", "MiniLM head", 64))  # fmt: skip
some, taught = ([row["right"] for row in past[way]["16"]] for way in ("prompt", "LoRA"))
claim("past tense, after an arrow: 16 examples in the prompt give five times as many right answers as the same 16 "
      "in LoRA, in each", min(some) > 5 * max(taught), prompt=some, LoRA=taught)  # fmt: skip
ahead = {name: [round(a - max(b, c), 3) for a, b, c in zip(of(name, "LoRA", 64), of(name, "few-shot", 64),
    of(name, "MiniLM head", 64), strict=True)] for name in words}  # fmt: skip
claim("to choose among words, LoRA with 64 is ahead of prompt and head with the same 64, on both jobs, in each of "
      "three seeds, once by a single question", all(min(gaps) > 0 for gaps in ahead.values())
      and round(200 * min(ahead["topics"])) == 1, ahead_by=ahead)  # fmt: skip

# %% [markdown]
# The jobs disagree. LoRA *begins* at the prompt: where the question says what is wanted it goes on from there; after a bare arrow examples win. (A head cannot
# write at all.)
#
# All ways to choose; *from scratch*: MiniLM's shape, nothing pretrained; *full*: all weights trained; *head*: a matrix on frozen states; *soft*: 20 vectors.

# %%
every = ["from scratch", "few-shot", "MiniLM head", "MiniLM full", "SmolLM2 head", "soft", "LoRA", "full"]
for name in words:
    print(f"\n{f'{name}, no example {nothing[name]:.3f}':28}" + "".join(f"{f'{n} labels':>26}" for n in (16, 64, 256)))
    for way in every:
        spread = {n: of(name, way, n) if str(n) in runs[name][way] else None for n in (16, 64, 256)}
        print(f"{way:28}" + "".join(f"{f'{mean(v):.3f} ({min(v):.3f} to {max(v):.3f})' if v else '-':>26}"
                                    for v in spread.values()))  # fmt: skip
print(f"made {shipped['date']} by `{shipped['command']}`, {shipped['with']}")

# %% [markdown]
# ### Requirements change
# Labels came for five topics only, 16 in all. Now texts of the *other five* arrive, and all ten words may be the answer.

# %%
news = shipped["new topics"]
at = {"head on MiniLM": ("head 16", "new"), "prompt, no example": ("prompt 0", "new calibrated"),
      "prompt, 16 of the others": ("prompt 16", "new calibrated"), "LoRA, as it is": ("LoRA 16", "new"),
      "LoRA, calibrated": ("LoRA 16", "new calibrated")}  # fmt: skip
at = {label: [row[what] for row in news[way]] for label, (way, what) in at.items()}
fig, ax = plt.subplots(figsize=(7.6, 2.6))
for n, (label, values) in enumerate(at.items()):
    ax.barh(label, mean(values), color=list(COLOURS.values())[n], hatch=HATCHES[n], edgecolor="white", height=0.7)
    ax.plot(values, [n] * 3, "kD", markersize=5)
ax.set(xlabel="right, of texts on a topic without labels (share; diamonds are seeds)", xlim=(0, 1))
ax.invert_yaxis()
show(fig, alt="Bars. The head never names a topic without labels, LoRA as it is seldom; LoRA calibrated does about "
     "every second time, like the model that nobody touched.")  # fmt: skip

# %%
claim("a head cannot say what it has no row for", max(at["head on MiniLM"]) == 0, head=at["head on MiniLM"])
raw = [row["new"] for row in news["prompt 0"]]
claim("LoRA learnt that only five topics exist: it names the others less than the untouched model does, in each of "
      "three seeds", all(a < b for a, b in zip(at["LoRA, as it is"], raw, strict=True)), LoRA=at["LoRA, as it is"],
      untouched=raw)  # fmt: skip
claim("examples in a prompt say so even more strongly: raw, hardly one in fifty",
      max(row["new"] for row in news["prompt 16"]) < 0.02, raw=[row["new"] for row in news["prompt 16"]])  # fmt: skip
back = [(b - a) / (c - a) for a, b, c in zip(at["LoRA, as it is"], at["LoRA, calibrated"], at["prompt, no example"],
    strict=True)]  # fmt: skip
claim("calibrated, LoRA comes back more than half of the way to the untouched model, in each", min(back) > 0.5,
      share_of_the_way=back)  # fmt: skip

# %%
price = [row["shown"] - row["shown calibrated"] for row in news["LoRA 16"]]
claim("that has a price: on the five topics with labels LoRA loses by it, in each", min(price) > 0, lost=price)

# %% [markdown]
# ## 6 · What it costs
# A head and an adapter are paid once, a long prompt with every answer.

# %% exercise="15.4"

# %%
shapes = [matrix for block in smollm.stack.blocks for matrix in ((block.attention.qkv_sizes[0], 576),
    (block.attention.qkv_sizes[2], 576))]  # fmt: skip
claim("your bytes are those of the trained steps", adapter_bytes(shapes, 8) == 4 * count_trainable(model),
      kilobytes=adapter_bytes(shapes, 8) / 1e3)  # fmt: skip
print(f"{'topics, 64 labels':18}{'train (s)':>11}{'tokens an answer':>18}{'ms an answer':>14}{'stored (kB)':>13}"
      f"{'right':>8}")  # fmt: skip
for way in ["few-shot", "MiniLM head", "soft", "LoRA", "full"]:
    seconds, read, each, size = (mean(run.get(what, 0) for run in runs["topics"][way]["64"]) for what in ("seconds",
        "tokens", "seconds an answer", "bytes"))  # fmt: skip
    print(f"{way:18}{seconds:>11.1f}{read:>18.0f}{1000 * each:>14.0f}{size / 1e3:>13,.0f}"
          f"{mean(of('topics', way, 64)):>8.3f}")  # fmt: skip

# %% [markdown]
# Behind a shared cache the long prompt is *read* once, so its seconds are fewer than its tokens suggest; who pays by the token pays for all of them. When
# does training pay for itself?

# %% exercise="15.5"

# %%
cost = {way: (mean(run.get("seconds", 0) for run in runs["topics"][way]["64"]),
              mean(of("topics", way, 64, "seconds an answer"))) for way in ("few-shot", "LoRA", "MiniLM head")}  # fmt: skip
for way in ("LoRA", "MiniLM head"):
    print(f"≈ {way} ({mean(of('topics', way, 64)):.2f} right) is cheaper than 64 examples in the prompt "
          f"({asked['topics'][64]:.2f}) from answer {break_even(cost[way][0], cost[way][1], cost['few-shot'][1])} "
          f"on")  # fmt: skip
tokens = {way: mean(of("topics", way, 64, "tokens")) for way in ("few-shot", "LoRA")}
claim("paid by the token, 64 examples in the prompt make an answer more than 50 times as dear as LoRA's",
      tokens["few-shot"] > 50 * tokens["LoRA"], **{way.replace("-", "_"): value for way, value in tokens.items()})  # fmt: skip

# %%
from fmcourse.plots.widgets import interactive


def budget(task="topics", labels="64", answers=3):
    ways = {"no example": runs[task]["zero-shot"]} | {way: runs[task][way][labels] for way in ("few-shot",
        "MiniLM head", "LoRA") if labels in runs[task][way]}  # fmt: skip
    key = lambda way: "calibrated" if way in ("no example", "few-shot") else "right"
    total = {f"{way}, {mean(r[key(way)] for r in rows):.2f} right": mean(r.get("seconds",
        0) + 10**answers * r["seconds an answer"] for r in rows) for way, rows in ways.items()}  # fmt: skip
    fig, ax = plt.subplots(figsize=(7, 2.4))
    draw_bars(ax, total, unit=f"CPU seconds for training and {10**answers:,} answers", digits=1)
    return fig

interactive(budget, task=list(words), labels=["16", "64", "256"], answers=(0, 6),
            alt=lambda task, labels, answers: f"Bars of seconds: what each way costs for {task} with {labels} "
            f"labels and {10**answers:,} answers.")  # fmt: skip

# %% [markdown]
# ## 7 · What it forgets
# 64 labels of one job. Then ask for the *other* job, by prompt, and let the model read Austen. (For Austen the trained
# vectors are left out.)

# %%
after = {way: {name: runs[name][way]["64"] for name in words} for way in ("soft", "LoRA", "full")}
print(f"{'trained on':26}{'other job right':>18}{'nats a token of Austen':>26}")
for name, other in (("opinions", "topics"), ("topics", "opinions")):
    print(f"{'(nothing)':26}{nothing[other]:>18.3f}{shipped['untouched']['novel']:>26.3f}")
    for way in after:
        found = after[way][name]
        other_task, novel = (mean(run[what] for run in found) for what in ("other task", "novel"))
        print(f"{f'{name}, {way}':26}{other_task:>18.3f}{novel:>26.3f}")

# %%
dearer = {way: [r["novel"] - shipped["untouched"]["novel"] for name in words for r in after[way][name]]
          for way in ("LoRA", "full")}  # fmt: skip
claim("Austen costs more after either, and in each of three seeds of both jobs more after LoRA",
      all(a > b > 0 for a, b in zip(dearer["LoRA"], dearer["full"], strict=True)), **dearer)  # fmt: skip
other = {way: [r["other task"] - nothing[o] for n, o in (("opinions", "topics"), ("topics", "opinions"))
               for r in after[way][n]] for way in after}  # fmt: skip
claim("the other job is asked as well as before, or better, after LoRA and full",
      min(other["LoRA"] + other["full"]) > -0.001, **{way: other[way] for way in ("LoRA", "full")})  # fmt: skip
claim("behind vectors trained for opinions, topics are told worse, in each seed", max(other["soft"][:3]) < 0,
      soft=other["soft"])  # fmt: skip
base = dict(smollm.named_parameters())
same = all(torch.equal(weight, base[name.replace(".base.", ".")]) for name, weight in model.named_parameters()
           if ".A." not in name and ".B." not in name)  # fmt: skip
claim("but under LoRA's steps every weight is what it was: unplug them, and nothing is lost", same, weights=len(base))

# %% [markdown]
# ## 8 · All in one?
# *One model, any task*, says the story. Six writing jobs, 16 examples each: a frozen SmolLM2 with the examples in its prompt, or six adapters taught by the
# same 16. Asked by an arrow, "mouse ->", or with the job named: "The plural of mouse is".

# %%
six = {world: {name: [row["right"] for row in rows] for name, rows in jobs.items()}
       for world, jobs in shipped["six"].items()}  # fmt: skip
fig, ax = plt.subplots(figsize=(8.6, 3.2))
for n, (world, jobs) in enumerate(six.items()):
    for i, values in enumerate(jobs.values()):
        ax.bar(i + 0.2 * n, mean(values), 0.19, color=list(COLOURS.values())[n], hatch=HATCHES[n],
               edgecolor="white", label=None if i else world)  # fmt: skip
        ax.plot([i + 0.2 * n] * 3, values, "k_", markersize=5)
ax.set(ylabel="whole answers right", ylim=(0, 1.05))
ax.set_xticks([i + 0.3 for i in range(6)], list(jobs)), ax.legend(ncols=4, loc="upper center",
    bbox_to_anchor=(0.5, 1.16))  # fmt: skip
show(fig, alt="Six jobs, four bars each. After an arrow the prompt is far ahead of LoRA nearly everywhere; with "
     "the job named LoRA is level with it or ahead on most, far ahead on antonyms and first letters, and behind on "
     "capitals. French fails in all.")  # fmt: skip

# %%
total = {world: [mean(values[seed] for values in jobs.values()) for seed in SEEDS] for world, jobs in six.items()}
print("all six jobs, three seeds:", {world: [round(v, 3) for v in values] for world, values in total.items()})
claim("after an arrow the one frozen model beats its six adapters", min(total["prompt"]) > 3 * max(total["LoRA"]),
      **{"prompt": total["prompt"], "LoRA": total["LoRA"]})  # fmt: skip
claim("name the job, and the adapters are right more than five times as often",
      min(total["LoRA, named"]) > 5 * max(total["LoRA"]), named=total["LoRA, named"])  # fmt: skip
claim("and then they are ahead of the named prompt, in each seed",
      all(a > b for a, b in zip(total["LoRA, named"], total["prompt, named"], strict=True)),
      LoRA=total["LoRA, named"], prompt=total["prompt, named"])  # fmt: skip
claim("antonyms: a named LoRA beats either prompt, in each seed",
      min(six["LoRA, named"]["antonym"]) > max(six["prompt"]["antonym"] + six["prompt, named"]["antonym"]),
      LoRA=six["LoRA, named"]["antonym"])  # fmt: skip
claim("capitals: the named prompt beats either LoRA, in each seed",
      min(six["prompt, named"]["capital"]) > max(six["LoRA, named"]["capital"] + six["LoRA"]["capital"]),
      prompt=six["prompt, named"]["capital"])  # fmt: skip

# %%
for world in ("prompt", "LoRA, named"):
    every = [row for rows in shipped["six"][world].values() for row in rows]
    print(f"{world:12} six jobs: {sum(r['seconds'] for r in every) / 3:.0f} s of training, "
          f"{sum(r['bytes'] for r in every) / 3e3:,.0f} kB beside the model, "
          f"{mean(r['tokens'] for r in every):.0f} tokens an answer, right {mean(total[world]):.2f}")  # fmt: skip
longer = shipped["longer"]
print(f"past tense after an arrow, on other items: LoRA for {' or '.join(longer)} steps, right "
      f"{' or '.join(map(str, longer.values()))}")  # fmt: skip

# %% [markdown]
# For past tense, in one seed, four times the steps did not help. A likely reason: sixteen words are soon learnt by heart; a prompt calls up a *rule*. But the
# arrow was chosen for prompts. Each at its best, LoRA is slightly in front, for far more bytes. *All in one*: cheap, not always best.

# %% [markdown]
# ## 9 · How the schools met
# | year | who | school | what was shown |
# |---|---|---|---|
# | 2018 | GPT-1, BERT | fine-tune | GPT-1: best in 9 of 12 tasks, fine-tuned anew for each; BERT: best in eleven |
# | 2020 | GPT-3, 175 billion | prompt | tasks given as text, "without any gradient updates", sometimes near fine-tuned models |
# | 2021 | FLAN, 137 billion; T0 | train *to be prompted* | FLAN: over 60 data sets as instructions; zero-shot ahead of GPT-3 on 20 of 25; T0: often ahead of models up to 16 times its size |
# | 2022 | InstructGPT | the same, with people's judgements | people preferred the answers of its 1.3 billion to those of GPT-3's 175 billion |
# | 2022 | T-Few | few labels, few weights | better and cheaper than examples in the prompt |
#
# Sources: the abstracts of Radford 2018, Devlin 2018, Brown 2020, Wei 2021, Sanh 2021, Ouyang 2022, Liu 2022.

# %% [markdown]
# Today's chat models are both: fine-tuned so that they can be prompted. SmolLM2-*Instruct* is one, and our LoRA began at its prompt. So the question is rarely
# which school, but **what is left to change after asking well**.
#
# ## 10 · The chart, with numbers

# %%
chart = {"Good or bad, no label": f"prompt: {nothing['opinions']:.2f}, the others cannot begin",
         "Good or bad, 16 labels": f"LoRA {mean(of('opinions', 'LoRA', 16)):.2f}, prompt {nothing['opinions']:.2f} "
         f"(without them), head {mean(of('opinions', 'MiniLM head', 16)):.2f}",
         "Ten topics, 16 labels": f"LoRA {mean(of('topics', 'LoRA', 16)):.2f}, prompt "
         f"{mean(of('topics', 'few-shot', 16, 'calibrated')):.2f}, head {mean(of('topics', 'MiniLM head', 16)):.2f}",
         "Five topics never labelled": f"LoRA, calibrated {mean(at['LoRA, calibrated']):.2f} (as it is "
         f"{mean(at['LoRA, as it is']):.2f}), prompt {mean(at['prompt, no example']):.2f}, head 0",
         "Six writing jobs, 16 examples": f"after an arrow prompt {mean(total['prompt']):.2f}, LoRA "
         f"{mean(total['LoRA']):.2f}; job named {mean(total['prompt, named']):.2f}, LoRA "
         f"{mean(total['LoRA, named']):.2f}",
         "A million answers": f"head: {1000 * cost['MiniLM head'][1]:.0f} ms each; LoRA "
         f"{1000 * cost['LoRA'][1]:.0f}, 64 examples in the prompt {1000 * cost['few-shot'][1]:.0f}"}  # fmt: skip
for row, found in chart.items():
    print(f"≈ {row:32}{found}")

# %% [markdown]
# Who won? No label, and writing after an arrow: the prompt. Good or bad with 16: LoRA. Fewest seconds: the head. No clear winner: topics with 16, topics without
# labels. Yours?
#
# **Change it.** Another wording in `ask`; meaningless labels ("foo", "bar"); your own words in `test`. Which contestant will mind?

# %%
quiz("15.q1", "Good or bad: a prompt without examples is right 93 times in 100, with 64 examples, raw, 81 (one "
     "draw). What do you conclude?",
     {"The model cannot learn in context.": "On the other job the same model gained from 16 examples.",
      "Examples may tilt towards a label more than they teach.": "What it knew already they could not teach; what "
      "they added was a bias. Calibrate, compare with none, keep what measures best.",
      "64 is too few.": "With 16 the mean was below none, too, and four changed little."},
     answer="Examples may tilt towards a label more than they teach.")  # fmt: skip
quiz("15.q2", "Every week a new category arrives, with no labels yet. What can you not build on?",
     {"A head on a frozen encoder.": "It has no row for the new word until somebody labels and it is fitted anew.",
      "LoRA that answers in words.": "It can say the new word, though it learnt not to: calibrate, and it often "
      "does, at some cost for the old ones.",
      "A prompt.": "It takes any word you offer, and needs no example of it: it works on Monday morning."},
     answer="A head on a frozen encoder.")  # fmt: skip
quiz("15.q3", "LoRA 0.97, prompt 0.93, on the same 200 questions. Is that luck?",
     {"Look at the items on which they differ.": "If LoRA wins 10 and loses 2 a coin does so 4 times in 100; the "
      "other 188 say nothing.",
      "Yes: 0.97 and 0.93 each have an error bar, and the bars overlap.": "Two separate bars count the items on "
      "which both agree; paired, the test is sharper.",
      "No: 0.97 is more than 0.93.": "With 30 questions it could easily be chance. How many coins were thrown?"},
     answer="Look at the items on which they differ.")  # fmt: skip

# %% [markdown]
# ## In one breath
# - Ask first: that is the mark to beat.
# - Examples in a prompt help or hurt.
# - LoRA begins where the prompt ended: let it say what is wanted.
# - A rule the model knows: show examples.
# - No head can say a new category; words can.
# - A prompt is paid with every answer, training once.
# - Same examples, questions, seeds.

# %%
progress("15")
