# %% [raw]
# place = ["contrastive pairs, denoising", "two encoders, U-Net, prefix decoder", "emoji with their names"]
# builds = "CLIP: a phrase finds an image, and an image its words; then a phrase becomes an image, in colours never shown together"
# [reads]
# "fmcourse.multimodal" = ["ImageEncoder", "TextEncoder", "CLIP", "image_text_contrastive", "ranks", "Captioner", "captioning", "condition_vector", "DiffusionPrior"]

# %% [markdown]
# # 12 · Text and images
# **In this lesson a phrase that you type finds a picture nobody described to the machine, a picture finds its words, and at last words
# become pictures.**
#
# 90 minutes to read and do · two minutes to compute · you need lessons 05, 07, 10 and 11.

# %% [markdown]
# **Afterwards you can**
# - bring words and pictures into one space with one loss, and search it from both ends;
# - recognise things without a label;
# - show with numbers what a model brings that has read;
# - let a language model tell what it sees;
# - draw what a phrase says, and say what each of the four knobs does.

# %%
from functools import cache, partial
from statistics import mean

import matplotlib.pyplot as plt
import torch
from fmcourse import plots, pretrained
from fmcourse.course import check, claim, hint, predict, progress, quiz, show, solution
from fmcourse.data import checkpoint, load, table
from fmcourse.data.images import NAMED_COLOURS, dominant_colours, image_grid, normalize_pixels, recolour
from fmcourse.diffusion import ClassifierFreeGuidance, Denoiser, Schedule, ddpm, diffusion_loss
from fmcourse.generation import generate_captions
from fmcourse.models.transformer import modern
from fmcourse.multimodal import CLIP, Captioner, ImageEncoder, condition_vector, image_text_contrastive, ranks
from fmcourse.plots.widgets import interactive
from fmcourse.training import derive_seed, fit, lesson_steps
from torch import nn
from torch.nn import functional as F

# fmt: off

# %% [markdown]
# ## 1 · One space for words and pictures
# Every maker draws each emoji anew; Unicode gives it a name and keywords. One thing, three hands, and words. **From the third hand, Microsoft's, no
# model here has learnt.**

# %%
emoji, shipped, hands = load("emoji"), table("lesson_12"), ["Google", "Twitter", "Microsoft"]
row_of = {key: row for row, key in enumerate(zip(emoji.train.names, emoji.train.styles.tolist(), strict=True))}
some = ["cat face", "bicycle", "hot pepper", "castle", "pilot", "crying face", "umbrella", "t-shirt", "octopus"]
fig, ax = plt.subplots(figsize=(8.6, 3))
rows = [row_of[name, hand] for hand in range(3) for name in some]
ax.imshow(image_grid(normalize_pixels(emoji.train.pixels[rows]), len(some)))
ax.set_xticks([34 * n + 16 for n in range(9)], some, fontsize=8), ax.set_yticks([16, 50, 84], hands)
show(fig, alt="Nine things, each drawn three times. Google's are shaded, Twitter's flat, Microsoft's rounded and "
     "lit as if they stood in a room.")  # fmt: skip

# %% [markdown]
# **Two towers**: one turns a picture into a vector, one a phrase. What belongs together shall point the same way. As a question: *here are B pictures and B
# phrases; who belongs to whom?* That is CLIP (2021).

# %% exercise="12.1"

# %%
dice = torch.Generator().manual_seed(0)
a, b = torch.randn(128, 256, generator=dice), torch.randn(128, 256, generator=dice)
plain = CLIP(nn.Identity(), nn.Identity())
gap = (match_loss(a, b, plain.logit_scale.exp()) - image_text_contrastive(plain, (a, b)).value).abs()
claim("your loss is the package's", gap < 1e-4, gap=gap)
alike, perfect = match_loss(torch.ones(128, 4), torch.ones(128, 4), 14.0), match_loss(a, a, 14.0)
claim("who finds all alike pays log 128 = 4.85 nats; who is right pays almost nothing",
      (alike - 4.852).abs() < 1e-3 and perfect < 0.01, alike=alike, perfect=perfect)  # fmt: skip

# %% [markdown]
# The eyes, a small residual network, begin with nothing. The phrases are read by **MiniLM**, frozen: it learnt on a hundred million pairs of sentences. Its vectors *are*
# the shared space. (Zhai et al. 2022 froze the other tower.)

# %%
kept, minilm = checkpoint("towers"), pretrained.load("minilm-l6")
towers = CLIP(ImageEncoder(kept.facts["config"]["width"], kept.facts["config"]["channels"]), nn.Identity()).eval()
towers.load_state_dict({name: weight.float() for name, weight in kept.tensors.items()})

@torch.inference_mode()
def vectors(texts):
    return pretrained.embed_sentences(*minilm, texts)

@torch.inference_mode()
def seen(pixels):
    return F.normalize(torch.cat([towers.image_encoder(normalize_pixels(part)) for part in pixels.split(200)]), dim=-1)

run = shipped["trained"]["towers"]
print(f"learnt by a recipe: {run['steps']:,} batches of {shipped['batch']}, out of {shipped['phrases']:,} phrases "
      f"(names, keywords, painted things)")  # fmt: skip

# %% [markdown]
# ## 2 · Search
# Now the third hand. **Known** are names that were learnt, drawn as never seen. **Unseen** are things of which no picture was shown, nor their name as a name. One who
# searches looks at k answers and wants one that fits: recall@k.

# %%
def drawn(hand, *parts):  # pictures by one hand, their names, their kinds
    on = [(part.styles == hand).nonzero()[:, 0] for part in parts]
    names = [part.names[row] for part, rows in zip(parts, on, strict=True) for row in rows]
    return *(torch.cat([getattr(part, what)[rows] for part, rows in zip(parts, on, strict=True)])
             for what in ("pixels", "labels")), names  # fmt: skip

third = {"known": drawn(2, emoji.train), "unseen": drawn(2, emoji.validation, emoji.test)}
pictures, phrases = {group: seen(found[0]) for group, found in third.items()}, {group: vectors(found[2])
    for group, found in third.items()}  # fmt: skip
print({group: (tuple(pictures[group].shape), tuple(phrases[group].shape)) for group in third})

# %% exercise="12.2"

# %%
right = {group: torch.eye(len(x), dtype=torch.bool) for group, x in pictures.items()}
for group in third:
    scores = phrases[group] @ pictures[group].T
    for way, one in (("a picture for a name", scores), ("a name for a picture", scores.T)):
        live = [round(recall_at(one, right[group], k), 3) for k in (1, 5, 10)]
        print(f"{group:7} {way} among the first 1, 5, 10 ≈ {live}")
    print(f"{'':7} by chance {[round(share, 3) for share in shipped['chance'][group]]}")

# a little wider than three seeds lie apart
band = lambda values: (2 * min(values) - max(values) - 0.01, 2 * max(values) - min(values) + 0.01)  # fmt: skip
three = {group: [row[group]["picture"][2] for row in shipped["towers"]] for group in third}
live = {group: recall_at(phrases[group] @ pictures[group].T, right[group], 10) for group in third}
claim("a learnt name finds its picture by a new hand among ten of 1,303 every second time: each of three seeds",
      min(three["known"]) > 0.5, band=band(three["known"]), live=live["known"], seeds=three["known"])  # fmt: skip
claim("of things never seen eight times as often as by chance",
      min(three["unseen"]) > 8 * shipped["chance"]["unseen"][2], band=band(three["unseen"]), live=live["unseen"],
      seeds=three["unseen"], chance=shipped["chance"]["unseen"][2])  # fmt: skip

# %% [markdown]
# Two gaps. Two hands are few to learn from what *drawing* is. And eyes that saw 1,332 things are no eyes for the world: CLIP saw 400 million pictures.
# **Type a phrase**, and change the hand.

# %%
google = drawn(0, emoji.train, emoji.validation, emoji.test)
shelf = {"Microsoft, never seen": (torch.cat([third[group][0] for group in third]),
                                   torch.cat(list(pictures.values())), third["known"][2] + third["unseen"][2]),
         "Google, learnt from": (google[0], seen(google[0]), google[2])}  # fmt: skip

def nearest(phrase, hand, k=10):
    pixels, found, names = shelf[hand]
    best = (vectors([phrase or " "]) @ found.T)[0].topk(k).indices
    return pixels[best], [names[i] for i in best]

def draw_search(phrase="a musical instrument", hand="Microsoft, never seen"):
    x, names = nearest(phrase, hand)
    fig, ax = plt.subplots(figsize=(8.6, 1.9))
    ax.imshow(image_grid(normalize_pixels(x), 10))
    ax.set_xticks([34 * n + 16 for n in range(10)], [name[:18] for name in names], fontsize=8, rotation=20,
                  ha="right"), ax.set_yticks([])  # fmt: skip
    return fig

interactive(draw_search, phrase="a musical instrument", hand=list(shelf),
            alt=lambda phrase, hand: f"The ten pictures by {hand} that are nearest to the phrase: {phrase}.")  # fmt: skip

# %%
for phrase in ("a musical instrument", "motorcar", "I am so sad", "breakfast", "it is raining", "purple fruit"):
    for hand in shelf:
        print(f"{phrase:21} {hand.split(',')[0]:10} ≈ {', '.join(nearest(phrase, hand, 4)[1])}")

# %% [markdown]
# **The other way**: give a picture, get words. Nothing is trained anew; the same cosines, read along the other axis.

# %%
def draw_words(picture=400, hand="Microsoft, never seen"):
    pixels, found, names = shelf[hand]
    every = third["known"][2] + third["unseen"][2]
    best = (found[picture] @ torch.cat(list(phrases.values())).T).topk(5)
    fig, axes = plt.subplots(1, 2, figsize=(6.4, 2.1), width_ratios=[1, 2])
    axes[0].imshow(pixels[picture])
    axes[0].set(xticks=[], yticks=[]), axes[0].set_title(names[picture][:24], fontsize=9)
    axes[1].barh([every[i] for i in best.indices][::-1], best.values.flip(0), color="#0072B2")
    axes[1].set(xlabel="cosine", xlim=(0, 0.6))
    return fig

interactive(draw_words, picture=(0, 1598), hand=list(shelf),
            alt="A picture and the five names nearest to it, with bars for their cosines.")  # fmt: skip

# %% [markdown]
# ## 3 · Recognition without labels
# A classifier needs labels. Here a *word* is a classifier: which of eight words is nearest to the picture? Nobody trained for it: **zero-shot**.

# %%
predict("12.zero", "Eight names at random, one of them the picture's. Nobody ever showed the thing or told the name. "
        "The nearest name is right:", ["one time in eight", "two in five", "four in five"])  # fmt: skip

# %%
# the chance that seven names drawn at random all rank behind the right one, which is at `place` of M
def of_eight(place, M):  # fmt: skip
    return ((M - place - torch.arange(7)).clamp(min=0) / (M - 1 - torch.arange(7))).prod().item()

seeds = {group: [row[group]["of eight"] for row in shipped["towers"]] for group in third}
live = {group: mean(of_eight(place, len(one)) for place in ranks(pictures[group] @ phrases[group].T, one).tolist())
        for group, one in right.items()}  # fmt: skip
claim("learnt names, a new hand: two of three right, where a guess has one in eight", min(seeds["known"]) > 2 / 3,
      band=band(seeds["known"]), live=live["known"], seeds=seeds["known"])  # fmt: skip
claim("things never seen: three times as often as a guess, in each of three seeds", min(seeds["unseen"]) > 3 / 8,
      band=band(seeds["unseen"]), live=live["unseen"], seeds=seeds["unseen"])  # fmt: skip

# %%
# and the eight kinds in which Unicode keeps its emoji, told by their names alone?
scores, is_ = pictures["unseen"] @ vectors(emoji.classes).T, third["unseen"][1]
said_kind = (scores - scores.mean(0)).argmax(1)  # some words are near to every picture: each loses its mean
counts = torch.zeros(8, 8).index_put((is_, said_kind), torch.tensor(1.0), accumulate=True)
fig, ax = plt.subplots(figsize=(6.2, 4))
ax.imshow(counts / counts.sum(1, keepdim=True), cmap="Blues", vmin=0, vmax=1)
for i, j in torch.cartesian_prod(torch.arange(8), torch.arange(8)).tolist():
    ax.text(j, i, f"{counts[i, j]:.0f}", ha="center", va="center", fontsize=8,
            color="white" if counts[i, j] > 0.6 * counts[i].sum() else "black")  # fmt: skip
ax.set(xlabel="told", ylabel="is", yticks=range(8), yticklabels=emoji.classes, xticks=range(8))
ax.set_xticklabels(emoji.classes, rotation=40, ha="right")
show(fig, alt="Kinds as they are against kinds as told, 296 pictures. Smileys and symbols are mostly told; people, "
     "activities and objects scatter over the whole row.")  # fmt: skip
print(f"right: ≈ {(said_kind == is_).float().mean():.2f}; three seeds "
      f"{[row['unseen']['kinds']['evened out'] for row in shipped['towers']]}; always the largest kind "
      f"{shipped['chance']['largest kind']['unseen']}")  # fmt: skip

# %% [markdown]
# Hardly better than always "people". A kind is a drawer, not a thing: somebody sorted the world so, and a picture does not show it.

# %% [markdown]
# ## 4 · What reading is good for
# Why a tower that others trained? Take words that **no model here was told**: 222 synonyms from WordNet, by rule, none picked. *Chopper* for helicopter.
# Beside MiniLM a text tower of our own: same eyes, steps, phrases.

# %%
predict("12.synonyms", "Words never told, 1,636 pictures. Which tower puts a right picture among its first five?",
        ["both about as often", "MiniLM twice as often", "MiniLM four times as often or more"])  # fmt: skip

# %%
# among the first five, three seeds
recalls = lambda name, hand: [row["synonyms"][hand]["recall"][1] for row in shipped[name]]  # fmt: skip
fig, ax = plt.subplots(figsize=(6, 3))
for n, (name, label, colour, hatch) in enumerate((("towers", "MiniLM, frozen", "#0072B2", ""),
        ("own", "a tower of our own", "#E69F00", "//"))):  # fmt: skip
    for i, hand in enumerate(("a known hand", "the third hand")):
        ax.bar(i + 0.34 * n, mean(recalls(name, hand)), 0.3, color=colour, hatch=hatch, edgecolor="white",
               label=None if i else label)  # fmt: skip
        ax.plot([i + 0.34 * n] * 3, recalls(name, hand), "k_")
        ax.plot([i - 0.2, i + 0.54], [shipped["chance"]["synonyms"][hand][1]] * 2, "k:",
                label=None if n or i else "by chance")  # fmt: skip
ax.set(ylabel="found among the first five", xticks=[0.17, 1.17], xticklabels=["pictures by Google, learnt from",
    "by Microsoft, never seen"])  # fmt: skip
ax.legend()
show(fig, alt="Two pairs of bars. With pictures by a known hand MiniLM's is over four times as high as the own "
     "tower's; by the third hand both are low. Chance lies on the floor.")  # fmt: skip
theirs, ours = (recalls(name, "a known hand") for name in ("towers", "own"))
claim("words that nobody told, pictures by a known hand: the tower that has read finds them four times as often, "
      "its worst seed against the other's best", min(theirs) > 4 * max(ours), MiniLM=theirs, own=ours,
      words=shipped["asked"]["synonyms"])  # fmt: skip
told_names = {name: [row["known"]["picture"][1] for row in shipped[name]] for name in ("towers", "own")}
print(f"is the own tower merely bad? names that it was told, new hand, first five: MiniLM {told_names['towers']}, "
      f"own {told_names['own']}")  # fmt: skip

# %%
places = {name: {word: mean(row["synonyms"]["a known hand"]["ranks"][word] for row in shipped[name])
                 for word in shipped[name][0]["synonyms"]["a known hand"]["ranks"]} for name in ("towers", "own")}  # fmt: skip
meant = {item.word: item.name for split in ("test", "validation", "train") for item in getattr(load("synonyms"), split)}
order = sorted(places["towers"], key=places["towers"].get)
for title, words in (("best", order[:10]), ("worst", order[-10:])):
    print(f"ten {title}: place among 1,636 with MiniLM (with the own tower), mean of three seeds")
    print("   ", "; ".join(f"{word} for {meant[word]} {places['towers'][word]:.0f} ({places['own'][word]:.0f})"
                           for word in words))  # fmt: skip

# %% [markdown]
# What differs was read years before, without one picture. That is a **foundation**. Of the worst, some are rare (*chiropteran*), some mean something else to most
# (*recital*). By the third hand the eyes are the weaker half.

# %% [markdown]
# ## 5 · Telling what one sees
# A language model goes on with what stands before. So let a **picture** stand before: the tower's last 16 places, as wide as a word's vector. The
# Transformer between is lesson 05's.

# %% exercise="12.3"

# %%
facts, weights = checkpoint("captioner").facts, checkpoint("captioner").tensors
vocabulary, channels = facts["words"], facts["config"]["channels"]

class SpatialFeatures(nn.Module):  # the tower's last 16 places, before they are averaged
    def __init__(self):
        super().__init__()
        self.encoder = ImageEncoder(facts["config"]["width"], channels)

    def forward(self, x):
        return self.encoder.spatial_features(x)

writer = Captioner(SpatialFeatures(), modern(vocab_size=len(vocabulary), context=26, width=128, depth=2, heads=4),
                   channels[-1]).eval()  # fmt: skip
writer.load_state_dict({name: weight.float() for name, weight in weights.items()})
print(f"{len(vocabulary):,} words, {sum(weight.numel() for weight in writer.language_model.parameters()):,} numbers to "
      f"write with; eyes taken from the towers and taught on for {shipped['trained']['captioner']['steps']:,} "
      f"batches")  # fmt: skip

# %%
x, begun = normalize_pixels(third["known"][0][:1]), torch.tensor([[vocabulary.index(word) for word in ("cat", "face")]])
with torch.no_grad():
    lm = writer.language_model
    yours = after_picture(writer.prefix(x), lm.embed(begun, torch.arange(16, 18)), lm.stack, lm.head)
    gap = (yours - writer(x, begun)).abs().max()
claim("your prefix is the package's", gap < 1e-3, gap=gap)

# %%
shown = list(range(40, 1303, 130))
said = generate_captions(writer, normalize_pixels(third["known"][0][shown]), vocabulary)
found = (pictures["known"][shown] @ phrases["known"].T).argmax(1).tolist()
for ax, i, text, j in zip(plt.subplots(2, 5, figsize=(9.4, 5))[1].flat, shown, said, found, strict=True):
    ax.imshow(third["known"][0][i]), ax.set(xticks=[], yticks=[])
    ax.set_xlabel("\n".join((third["known"][2][i][:24], f"says: {text[:20]}",
                             f"finds: {third['known'][2][j][:18]}")), fontsize=8.5)  # fmt: skip
show(ax.figure, alt="Ten pictures by the third hand at even distances in the list, and below each its name, what "
     "the captioner writes, and the nearest of the learnt names. Some are told exactly, others taken for something "
     "else.")  # fmt: skip

# %%
share = lambda way, what, group: [round(row[group][way][what]["share"], 2) for row in shipped["captions"]]
for group in third:
    for what, label in (("word", "a word of its name or keywords"), ("telling", "one that few emoji share"),
                        ("exact", "the very name")):  # fmt: skip
        kind, shuffled = shipped["kind alone"][group][what]["share"], mean(row[group]["written"][what]["chance"]
            for row in shipped["captions"])  # fmt: skip
        print(f"{group:7} {label:31} written {share('written', what, group)}  found {share('found', what, group)}  "
              f"kind alone {kind:.2f}  shuffled {shuffled:.2f}")  # fmt: skip
written, retrieved, alone = share("written", "telling", "known"), share("found", "telling",
    "known"), shipped["kind alone"]["known"]["telling"]["share"]  # fmt: skip
claim("of learnt names it says far more than the coarse kind: words that few share, four times as often as who "
      "knows the kind alone", min(written) > 4 * alone, written=written, kind_alone=alone)  # fmt: skip
claim("and of learnt names writing beats finding, in each of three seeds", min(written) > max(retrieved),
      written=written, found=retrieved)  # fmt: skip

# %% [markdown]
# *Kind alone*: for each kind one name, the one that fits most. Fair? The writer's eyes learnt on, the finder's did not. And of **unseen** things the writer
# gets fewer words right than who knows the kind alone. Fluently. It has no other words than those it was taught.

# %% [markdown]
# ## 6 · Pictures out of words
# Lesson 10's network was told how much noise there is. Now it is told a phrase's vector too; loss and sampler stay. Eight things by one maker, in nine colours,
# **one colour of each left out**. One phrase in ten is replaced by nothing, for guidance as in lesson 11.

# %%
from fmcourse.models.unet import UNet
from fmcourse.training.optimizers import OptimizerConfig

emoji_of, colours, left_out = ["cat", "fish", "duck", "butterfly", "T-Rex", "rose", "mushroom", "cupcake"], ["",
    *NAMED_COLOURS], lambda c, n: c > 0 and (c + 3 * n) % 8 == 0  # fmt: skip
plain = emoji.train.pixels[[row_of[name, 1] for name in emoji_of]]
# (colour, thing, 3, 32, 32)
palette = torch.cat([plain, *(recolour(plain, colour) for colour in NAMED_COLOURS)])
palette = normalize_pixels(palette).unflatten(0, (9, 8))
words = vectors([f"{colour} {name}".strip() for colour in colours for name in emoji_of]).unflatten(0, (9, 8)) * 384**0.5
pairs = torch.tensor([(c, n) for c in range(9) for n in range(8) if not left_out(c, n)])
never = torch.tensor([(c, n) for c in range(9) for n in range(8) if left_out(c, n)])
known = palette.clone()
known[tuple(never.T)] = 1.0
fig, ax = plt.subplots(figsize=(5.4, 5))
ax.imshow(image_grid(known.transpose(0, 1).flatten(0, 1), 9))
ax.set_xticks([34 * n + 16 for n in range(9)], ["as it is", *NAMED_COLOURS],
              fontsize=8), ax.set_yticks([34 * n + 16 for n in range(8)], emoji_of, fontsize=8)  # fmt: skip
show(fig, alt="Eight rows of one thing each in nine colours. In each row one place is empty: a colour in which "
     "this thing is never shown.")  # fmt: skip

# %%
class Pairs:
    def __getitem__(self, step):
        pick = pairs[torch.randint(len(pairs), (32,), generator=torch.Generator().manual_seed(derive_seed(0, step)))]
        return palette[tuple(pick.T)], words[tuple(pick.T)]

torch.manual_seed(0)
flow, live = Schedule.flow(), table("painter")["live"]
full = lesson_steps(live["steps"]) == live["steps"]
small = UNet(3, (64, 128), 1, condition_width=128, fold=4, conditioner=nn.Linear(384, 128))
quick = OptimizerConfig(matrix_optimizer="adamw", lr=3e-3, lr_decay="cosine", warmup=0.05, betas=(0.9, 0.99))
with plots.LiveCurve(alt="Loss against step: it falls steeply for a hundred steps and more slowly afterwards.",
                     ylabel="mean square, pictures from -1 to 1") as curve:  # fmt: skip
    history = fit(small, partial(diffusion_loss, schedule=flow, predicts="image", null_condition=0.0), Pairs(),
                  steps=lesson_steps(live["steps"]), seed=0, optimizer=quick, on_step=curve, progress=False)  # fmt: skip
print("≈", history)

# %%
predict("12.never", "It saw cats in eight colours and grey things of seven kinds, never a grey cat. Asked for a "
        "grey cat it draws:", ["a cat in a colour it knows", "something grey, no cat", "a grey cat"])  # fmt: skip

# %%
def draw(network, asked, weight=2.0, seed=0, avoid=None, on_step=None):  # one seed and weight for all, or one for each
    dice, rows = torch.Generator().manual_seed(0), seed if isinstance(seed, list) else [(seed, n)
        for n in range(len(asked))]  # fmt: skip
    own = [torch.Generator().manual_seed(derive_seed(*row)) for row in rows]
    x = torch.stack([torch.randn(3, 32, 32, generator=one) for one in own])
    with_, without = (Denoiser(network, flow, "image", given) for given in (asked,
        torch.zeros_like(asked) if avoid is None else avoid))  # fmt: skip
    return ddpm(ClassifierFreeGuidance(with_, without, torch.as_tensor(weight).view(-1, 1, 1, 1)), x, flow, 20, dice,
                on_step).clamp(-1, 1)  # fmt: skip

made, asked = draw(small.eval(), words[tuple(never.T)]), [colours[c] for c, _ in never.tolist()]
fig, ax = plt.subplots(figsize=(8.6, 1.5))
ax.imshow(image_grid(made, 8)), ax.set_yticks([])
ax.set_xticks([34 * n + 16 for n in range(8)], [f"{colours[c]} {emoji_of[n]}" for c, n in never.tolist()], fontsize=8)
show(fig, alt="Eight things, each in the colour that was left out: most of them as asked.")
share = sum(a == b for a, b in zip(asked, dominant_colours(made), strict=True)) / 8
if full:
    claim("it puts together what it never saw together: the colour is right in more than half of the pairs, where "
          "chance is one in eight", share > 0.5, live=share, three_seeds=[row["colour"] for row in live["runs"]])  # fmt: skip

# %% [markdown]
# ## 7 · The painter
# Eight things are soon drawn. A recipe gave a larger net 160 animals, plants and dishes by three makers in nine colours, with several phrases each (*shaded*,
# *flat*, *3D* say whose hand), and left out one pair of thing and colour in ten, such as a green fox. **Type a phrase, press Enter, move the step.**

# %%
painter = UNet(3, (64, 112, 144), 1, condition_width=256, conditioner=nn.Linear(768, 256)).eval()
painter.load_state_dict({name: weight.float() for name, weight in checkpoint("painter").tensors.items()})

@cache
def forming(phrase):  # four pictures and the guesses at them, at each of twenty steps
    path = []
    draw(painter, condition_vector(text=vectors([phrase or " "]).expand(4, -1)), seed=1,
         on_step=lambda t, x_t, x_0: path.append(torch.cat([x_t, x_0])))  # fmt: skip
    return path

def draw_phrase(phrase="a green fox", step=20):
    fig, ax = plt.subplots(figsize=(5.4, 2.9))
    ax.imshow(image_grid(forming(phrase)[step - 1], 4)), ax.set(xticks=[], yticks=[16, 50],
        yticklabels=["picture", "its guess"], title=f"{phrase}, step {step} of 20")  # fmt: skip
    return fig

interactive(draw_phrase, phrase="a green fox", step=(1, 20),
            alt=lambda phrase, step: f"Four pictures of the phrase, {phrase}, after step {step} of 20, and below "
            f"them what the network takes them for.")  # fmt: skip

# %%
fig, ax = plt.subplots(figsize=(9, 3.4))
ax.imshow(image_grid(torch.stack([forming(phrase)[n][row] for phrase in ("an orange T-Rex", "a pink sunflower")
                             for row in (0, 4) for n in (0, 1, 2, 4, 6, 8, 11, 14, 17, 19)]), 10))  # fmt: skip
ax.set_yticks([34 * n + 16 for n in range(4)], ["T-Rex", "its guess", "sunflower",
    "its guess"]), ax.set_xticks([34 * n + 16 for n in range(10)], [1, 2, 3, 5, 7, 9, 12, 15, 18, 20])  # fmt: skip
ax.set_xlabel("step")
show(fig, alt="Two pictures form in twenty steps. The guess below each has the right colour from the start, and "
     "its outline sharpens step by step while the noise clears.")  # fmt: skip

# %% [markdown]
# **Four knobs**, as in Stable Diffusion or Midjourney: *prompt*; *seed*, the noise it begins with; *weight* of guidance; *negative prompt*, from whose drawing the walk leads away. Then, over three
# seeds: does our CLIP find the right one of 160 things, and how far apart lie the vectors of four pictures of a phrase?

# %%
knobs = {"prompt": ["butterfly", "shaded butterfly", "blue butterfly", "3D blue butterfly", "bird", "many birds"],
         "seed": ["octopus"] * 6, "weight": ["owl"] * 6, "negative prompt": ["cat"] * 6}  # fmt: skip
avoid, weights = ["", "yellow cat", "orange cat", "blue cat", "flat cat", "dog"], [0, 0.5, 1, 2, 4, 8]
asked = condition_vector(text=vectors([phrase for row in knobs.values() for phrase in row]))
away = torch.cat([torch.zeros(19, 768), condition_vector(text=vectors(avoid[1:]))])
x = draw(painter, asked, [2.0] * 12 + weights + [2.0] * 6, [*[(1, 0)] * 6, *[(n, 0) for n in range(6)],
    *[(1, 0)] * 12], away)  # fmt: skip
labels = [*knobs["prompt"], *[f"octopus, seed {n}" for n in range(6)],
          *[f"owl, weight {weight}" for weight in weights], "cat", *[f"cat, not {text}" for text in avoid[1:]]]  # fmt: skip
fig, axes = plt.subplots(4, 1, figsize=(8, 6.4))
for ax, name, row, some in zip(axes, knobs, x.split(6), (labels[n : n + 6] for n in (0, 6, 12, 18)), strict=True):
    ax.imshow(image_grid(row, 6))
    ax.set_xticks([34 * n + 16 for n in range(6)], some, fontsize=7)
    ax.set_yticks([]), ax.set_ylabel(name)
show(fig, alt="Four rows of six pictures: one seed and six prompts, one prompt and six seeds, an owl from weight "
     "nothing to caricature, and a cat led away from five other things.")  # fmt: skip

# %%
drawn = table("painter")
by_weight = {weight: ([row["guidance"][weight]["first"] for row in drawn["runs"]],
                      [row["guidance"][weight]["apart"] for row in drawn["runs"]])
             for weight in drawn["runs"][0]["guidance"]}  # fmt: skip
fig, ax = plt.subplots(figsize=(5.6, 3.2))
ax.plot([mean(apart) for _, apart in by_weight.values()], [mean(right_one) for right_one, _ in by_weight.values()],
        "-", color="#0072B2", linewidth=1)  # fmt: skip
for weight, (right_one, apart) in by_weight.items():
    ax.plot(apart, right_one, "o", markersize=4, color="#0072B2")
    ax.annotate(f"weight {weight}", (max(apart) if int(weight) < 3 else min(apart), mean(right_one)),
                xytext=(7 if int(weight) < 3 else -7, -3), textcoords="offset points", fontsize=8,
                ha="left" if int(weight) < 3 else "right")  # fmt: skip
ax.set(xlabel="variety: mean distance of four pictures of a phrase", ylabel="recognised as what was asked",
       xlim=(0.1, 1.4))  # fmt: skip
show(fig, alt="Recognition against variety, a curve through six weights: from weight 0, varied and hardly ever "
     "right, up to weight 2, and down again to weight 8 with little variety.")  # fmt: skip
of = lambda weight, what: by_weight[weight][("right", "apart").index(what)]
claim("weight costs variety: from 0 to 1 to 2 to 3 the pictures of a phrase come closer to each other, in every "
      "seed", all(max(of(b, "apart")) < min(of(a, "apart")) for a, b in (("0", "1"), ("1", "2")))
      and all(b < a for a, b in zip(of("2", "apart"), of("3", "apart"), strict=True)),
      apart={weight: of(weight, "apart") for weight in "0123"})  # fmt: skip
claim("and too much of it spoils what was asked for: weight 8 is recognised less than half as often as weight 2",
      max(of("8", "right")) < min(of("2", "right")) / 2, two=of("2", "right"), eight=of("8", "right"))  # fmt: skip

# %%
groups = {"as they are": "things as\nthey are", "shown": "thing and colour,\nshown",
          "never shown": "thing and colour,\nnever shown", "words never read": "synonyms\nnever read",
          "things never seen": "things\nnever seen"}  # fmt: skip
share, places = lambda group, way, what="first five": [row[group][way][what] for row in drawn["runs"]], torch.arange(5)
fig, ax = plt.subplots(figsize=(8.6, 3.4))
for n, (way, label, hatch) in enumerate((("direct", "the phrase itself", ""),
                                         ("prior", "the prior's picture (section 8)", "//"))):  # fmt: skip
    ax.bar(places + 0.36 * n, [mean(share(group, way)) for group in groups], 0.32, color=("#0072B2", "#E69F00")[n],
           hatch=hatch, edgecolor="white", label=label)  # fmt: skip
    ax.plot(places + 0.36 * n, [share(group, way) for group in groups], "k_")
ax.plot(places + 0.18, [mean(share(group, "direct", "shuffled, first five")) for group in groups], "kx",
        label="prompts shuffled")  # fmt: skip
ax.plot([2.55], [mean(drawings := [row["the drawings"]["first five"] for row in drawn["runs"]])], "k*",
        markersize=10, label="the makers' own, repainted")  # fmt: skip
ax.set(ylabel="right among the first five"), ax.legend(fontsize=8)
ax.set_xticks(places + 0.18, groups.values(), fontsize=8)
show(fig, alt="Five pairs of bars. Things as they are come out highest, pairs never shown hardly lower than pairs "
     "shown, synonyms and things never seen far lower; shuffled prompts lie near nothing.")  # fmt: skip
claim("it composes: pairs never shown to the painter have the right colour nearly always, and our towers (which "
      "were shown them) find the thing ten times as often as with prompts shuffled",
      min(share("never shown", "direct", "colour")) > 0.95
      and min(share("never shown", "direct")) > 10 * mean(share("never shown", "direct", "shuffled, first five")),
      colour=share("never shown", "direct", "colour"), thing=share("never shown", "direct"),
      shuffled=share("never shown", "direct", "shuffled, first five"), makers_own=drawings)  # fmt: skip
claim("it hardly invents: of things never seen, the right one of 185 comes first in one of ten at most, if among "
      "the first five more often than by chance", max(share("things never seen", "direct", "first")) < 0.1
      and min(share("things never seen", "direct")) > 5 / 185, first=share("things never seen", "direct", "first"))  # fmt: skip

# %%
two = ["a red mushroom and a blue cat", "a blue mushroom and a red cat", "a red cat", "a blue cat"]
fig, ax = plt.subplots(figsize=(6.6, 1.8))
ax.imshow(image_grid(draw(painter, condition_vector(text=vectors(two)), seed=1), 4))
ax.set_xticks([34 * n + 16 for n in range(4)],
    [text.replace(" and", "\nand") for text in two], fontsize=8), ax.set_yticks([])  # fmt: skip
show(fig, alt="Four phrases. Each of the first two asks for two things and gets one heap; the last two are cats in "
     "their colours.")  # fmt: skip
swap = lambda one, other: vectors([f"a {one} {emoji_of[a]} and a {other} {emoji_of[b]}"
                                   for a, b in torch.combinations(torch.arange(8)).tolist()])  # fmt: skip
swapped, repainted = ((a * b).sum(1) for a, b in ((swap("red", "blue"), swap("blue", "red")),
    [vectors([f"a {c} {thing}" for thing in emoji_of]) for c in ("red", "blue")]))  # fmt: skip
claim("swap the colours of two things, and a phrase's vector hardly moves: in 28 pairs less than that of one thing "
      "from red to blue", swapped.min() > repainted.max(), swapped=swapped.min(), repainted=repainted.max())  # fmt: skip

# %% [markdown]
# The painter never saw two things in one picture. But it could not have told them apart either: one vector for a whole phrase knows *that* there is red and blue, and hardly where. DALL-E 2's
# authors name the same weakness (2022, section 7). Others let the network look at every word, by lesson 05's cross-attention.

# %% [markdown]
# ## 8 · Two halves: DALL-E 2
# DALL-E 2 goes a longer way. A **prior** makes of the phrase's vector that of a *picture* that could be meant, by diffusion; a **decoder** draws from that.
# Our painter was told a picture's vector every other time, so it is both. And in a space of pictures one can walk.

# %%
from fmcourse.multimodal import DiffusionPrior

prior = DiffusionPrior(384, 384, 2)
prior.load_state_dict({name: weight.float() for name, weight in checkpoint("prior").tensors.items()})

def imagine(phrases):
    x, said = torch.randn(len(phrases), 384, generator=torch.Generator().manual_seed(0)), vectors(phrases) * 384**0.5
    return F.normalize(ddpm(Denoiser(prior.eval(), flow, "image", said), x, flow, 20,
                            torch.Generator().manual_seed(1)), dim=-1)  # fmt: skip

phrases8 = ["frog", "pink frog", "lion", "3D doughnut", "rose", "yellow rose", "shark", "green shark"]
real = emoji.train.pixels[[row_of[name, 0] for name in ("frog", "fox", "lion", "doughnut", "rose", "penguin",
    "shark", "cactus")]]  # fmt: skip
look = seen(real).clone()
rows = [draw(painter, condition_vector(text=vectors(phrases8)), seed=2),
        draw(painter, condition_vector(image=imagine(phrases8)), seed=2),
        normalize_pixels(real), draw(painter, condition_vector(image=look), seed=2)]  # fmt: skip
fig, axes = plt.subplots(2, 1, figsize=(8.8, 4.8))
for ax, two, names, labels in zip(axes, (rows[:2], rows[2:]), (["the phrase", "prior, decoder"],
        ["a real picture", "decoded anew"]), (phrases8, ["frog", "fox", "lion", "doughnut", "rose", "penguin",
        "shark", "cactus"]), strict=True):  # fmt: skip
    ax.imshow(image_grid(torch.cat(two), 8)), ax.set_yticks([16, 50],
        names), ax.set_xticks([34 * n + 16 for n in range(8)], labels, fontsize=8)  # fmt: skip
show(fig, alt="Four rows of eight. Drawn from phrases and through the prior: mostly the same things, differently "
     "drawn. Below, real emoji, and what the decoder makes of their vectors: the same things, a little rougher.")  # fmt: skip

# %%
direct, through = share("never shown", "direct"), share("never shown", "prior")
claim("in miniature the detour does not pay: through the prior pairs never shown are recognised less often, in "
      "each of three seeds", all(b < a for a, b in zip(direct, through, strict=True)), direct=direct,
      through_the_prior=through)  # fmt: skip
again = [row["of a drawing's vector"]["first five"] for row in drawn["runs"]]
claim("the decoder is not to blame: from a real picture's vector it draws what our CLIP recognises as often as the "
      "picture itself, within a tenth", all(abs(a - b) < 0.1 for a, b in zip(again, drawings, strict=True)),
      decoded=again, real=drawings)  # fmt: skip

# %% exercise="12.4"

# %%
a, b = (look[i] for i in (1, 5))
way = between(a, b, torch.linspace(0, 1, 9))
fig, ax = plt.subplots(figsize=(8.8, 1.5))
ax.imshow(image_grid(draw(painter, condition_vector(image=way), seed=[(4, 0)] * 9), 9))
ax.set_xticks([34 * n + 16 for n in range(9)], ["fox", *(f"{n}/8" for n in range(1, 8)), "penguin"],
              fontsize=8), ax.set_yticks([])  # fmt: skip
show(fig, alt="Nine pictures on the way from a fox to a penguin. The three in the middle are neither.")
claim("equal shares turn by equal angles", (way[:-1] * way[1:]).sum(1).std() < 1e-3,
      cosines=[round(float(value), 4) for value in (way[:-1] * way[1:]).sum(1)])  # fmt: skip

# %% [markdown]
# ## 9 · What does it know of pictures?
# Who takes noise away must know what is likely to be there. More than that? We look inside a network that learnt on clothes **without a label**. What its
# last blocks say of a slightly noisy picture is the picture's vector.

# %%
inner, labels = table("features"), ["10", "30", "100", "1000"]
best = max((str(t) for t in inner["times"]), key=lambda t: mean(row["diffusion"][t]["30"] for row in inner["runs"]))
ways = {"raw pixels": lambda row: row["pixels"], "the network, untrained": lambda row: row["untrained"],
        f"the network, t = {best}": lambda row: row["diffusion"][best]}  # fmt: skip
fig, ax = plt.subplots(figsize=(6, 3.2))
for name, pick in ways.items():
    plots.band(ax, [10, 30, 100, 1000], [[pick(row)[n] for n in labels] for row in inner["runs"]], name)
ax.set(xscale="log", xlabel="labels", ylabel="a linear probe is right")
ax.set_xticks([10, 30, 100, 1000], labels)
ax.legend(fontsize=8)
show(fig, alt="Share of right answers against labels. The trained network is ahead with few labels, pixels catch "
     "up at a hundred; the untrained network lies far below both.")  # fmt: skip
for name, pick in ways.items():
    print(f"{name:26} of the ten nearest pictures show the same kind: "
          f"{[pick(row)['nearest'] for row in inner['runs']]}")  # fmt: skip
gain = lambda other, n: [ways[f"the network, t = {best}"](row)[n] - row[other][n] for row in inner["runs"]]
claim("it knows more of what is in a picture than the same network before training, with any number of labels, in "
      "every seed", min(min(gain("untrained", n)) for n in labels) > 0,
      gain={n: gain("untrained", n) for n in labels})  # fmt: skip
claim("with ten or thirty labels it helps more than the pixels themselves; with a thousand it does not, in every "
      "seed", min(gain("pixels", "10") + gain("pixels", "30")) > 0 > max(gain("pixels", "1000")),
      gain={n: gain("pixels", n) for n in labels})  # fmt: skip

# %% [markdown]
# So it knows, and where labels are few that is worth a little (t was chosen by these same answers, which flatters it); in search pixels stay ahead. Xiang et al. (2023) read
# 95.9 % of CIFAR-10 out of such a model. Our trap: with the *same* noise in all pictures, search finds the right one. By its noise.

# %% [markdown]
# ## 10 · Whose pictures, whose words?
# Google's are under Apache 2.0, Twitter's under CC BY 4.0, Microsoft's under MIT: known, credited, allowed. Few large models can say so. And habits come with
# the words. Sixty roles are drawn twice, as woman and as man. To which is *doctor* nearer?

# %%
pixels, found, names = shelf["Google, learnt from"]
roles = [name.removeprefix("woman ") for name in emoji.train.names if name.startswith("woman ")]
roles = [role for role in dict.fromkeys(roles) if f"man {role}" in names]
apart = torch.stack([found[names.index(f"woman {role}")] - found[names.index(f"man {role}")] for role in roles])
jobs = [job for job in shipped["habits"][0] if job != "roles"]
for job, live in zip(jobs, (vectors(jobs) @ apart.T > 0).float().mean(1), strict=True):
    print(f"{job:12} nearer to the woman in ≈ {live:.0%} of {len(roles)} pairs; three seeds "
          f"{[round(row[job], 2) for row in shipped['habits']]}")  # fmt: skip
nurse, doctor = ([row[job] for row in shipped["habits"]] for job in ("nurse", "doctor"))
claim("across sixty roles: nurse is mostly nearer to the woman, doctor to the man, in each of three seeds",
      min(nurse) > 0.6 > 0.4 > max(doctor), nurse=nurse, doctor=doctor)  # fmt: skip

# %% [markdown]
# As many women as men are drawn, so *their* number does not lean; what they are laid beside does, not always as one would guess: *boss*. Whatever is built
# on such vectors inherits it. **Change it**: other jobs.

# %%
quiz("12.q1", "A batch holds 128 pictures and their phrases. Who wrote the wrong answers?",
     {"Nobody: each pair's wrong answers are the other 127.": "The batch is its own multiple choice. That is why "
      "CLIP took batches of 32,768.",
      "A person, for each picture.": "There is no such list, and it would not scale.",
      "MiniLM makes them up.": "It only turns phrases into vectors, and is frozen."},
     answer="Nobody: each pair's wrong answers are the other 127.")  # fmt: skip
few, many = (shipped["towers"][0][group]["picture"][2] for group in ("unseen", "known"))
times = [share / shipped["chance"][group][2] for share, group in ((few, "unseen"), (many, "known"))]
quiz("12.q2", f"Recall@10 is {few:.2f} among 296 pictures and {many:.2f} among 1,303. Measured by chance, where is "
     f"it better?",
     {"Among 296: things never seen are harder.": "Harder they are; but that is no measure.",
      "Among 1,303, by far.": f"It is {times[1]:.0f} times chance, against {times[0]:.0f} times. Part of that is "
      f"room: in a larger crowd there is more to gain. A recall without its chance level says little.",
      "One cannot say.": "One can: chance is k divided by the number of pictures."}, answer="Among 1,303, by far.")  # fmt: skip

# %%
quiz("12.q3", "The painter was never shown a green fox, and draws one. Why?",
     {"It remembers some green animal.": "No fox in green, by any of the three makers, was there: it was left out.",
      "Because foxes and green things were there, and the phrase's vector holds both.": "Colour and thing were "
      "learnt apart, since they varied apart. What was always together stays together.",
      "MiniLM has seen pictures of foxes.": "It has seen no picture at all."},
     answer="Because foxes and green things were there, and the phrase's vector holds both.")  # fmt: skip
quiz("12.q4", "What does a negative prompt change?",
     {"The network's weights.": "Nothing of the network changes: it is prompting.",
      "The point from which guidance leads away.": "In place of what it would draw unasked stands what it would "
      "draw for the words you do not want.",
      "The phrase's vector: the unwanted words are subtracted.": "Two guesses at the picture are compared at every "
      "step; vectors of words are never subtracted."}, answer="The point from which guidance leads away.")  # fmt: skip

# %% [markdown]
# ## What the real systems do
# | | yours | CLIP 2021 | DALL-E 2, 2022 | Stable Diffusion 1, 2022 | Imagen 2022 |
# |---|---|---|---|---|---|
# | reads with | MiniLM, frozen, one vector | a tower of its own | CLIP's vector, a prior | CLIP's text tower, every word | T5-XXL, frozen, every word |
# | draws with | 4.2 M, pixels | | 3.5 G, then two that enlarge | 0.86 G, in a VAE's codes | a cascade, 64 to 1,024 pixels |
# | learnt from | 480 drawings | 400 million pairs | about 250 million pictures, its CLIP 650 million | LAION-2B, filtered | web pairs, LAION-400M among them |
#
# Radford et al. 2021, section 2.2; Ramesh et al. 2022, appendix C; the repository and model card of Stable Diffusion v1; Saharia et al. 2022. **Midjourney**: nothing published that we found.

# %% [markdown]
# ## In one breath
# - One loss, one space; the batch is the multiple choice.
# - A tower that has read brings words nobody told.
# - Told a phrase, a denoiser draws. What varied apart can be put together anew.
# - Up to a point, weight trades variety for obedience.
# - One vector hardly knows whose colour is whose.
# - It draws what it was shown.

# %%
progress("12")
