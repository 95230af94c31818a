# %% [markdown]
# # 12 · Text and images
# **Tonight a phrase that you type finds a picture nobody described to the machine, a picture finds its words, and at last words
# become pictures.**
#
# 80 minutes to read and do · two minutes to compute · you need lessons 05, 07 and 10.

# %% [markdown]
# **Afterwards you can**
# - bring words and pictures into one space with one loss, and search it from both ends;
# - recognise things without a label;
# - show with numbers what a model brings that has read;
# - let a language model tell what it sees.

# %%
from statistics import mean

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn import functional as F

from fmcourse.course import check, claim, hint, predict, progress, quiz, show, solution
from fmcourse.data import checkpoint, load, table
from fmcourse.models.transformer import modern
from fmcourse.multimodal import Captioner, PictureTower, Towers, caption, matched, ranks
from fmcourse.pictures import sheet, signed
from fmcourse.pretrained import embed_sentences
from fmcourse.pretrained import load as pretrained
from fmcourse.widgets import interactive

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
ax.imshow(sheet(signed(emoji.train.pixels[[row_of[name, hand] for hand in range(3) for name in some]]), len(some)))
ax.set_xticks([34 * n + 16 for n in range(9)], some, fontsize=8), ax.set_yticks([16, 50, 84], hands)
show(fig, alt="Nine things, each drawn three times. Google's and Twitter's are flat, Microsoft's are rounded and lit as if they stood in a room.")

# %% [markdown]
# **Two towers**: one turns a picture into a vector, one a phrase. What belongs together shall point the same way. As a question: *here are B pictures and B
# phrases; who belongs to whom?* That is CLIP (2021).

# %% exercise="12.1"

# %%
dice = torch.Generator().manual_seed(0)
a, b = torch.randn(128, 256, generator=dice), torch.randn(128, 256, generator=dice)
plain = Towers(nn.Identity(), nn.Identity())
gap = (match_loss(a, b, plain.sharpness.exp()) - matched(plain, (a, b)).value).abs()
claim("your loss is the package's", gap < 1e-4, gap=gap)
alike, perfect = match_loss(torch.ones(128, 4), torch.ones(128, 4), 14.0), match_loss(a, a, 14.0)
claim("who finds all alike pays log 128 = 4.85 nats; who is right pays almost nothing", (alike - 4.852).abs() < 1e-3 and perfect < 0.01, alike=alike, perfect=perfect)

# %% [markdown]
# The eyes, a small residual network, begin with nothing. The phrases are read by **MiniLM**, frozen: it has seen a billion pairs of sentences. Its vectors *are*
# the shared space. (Zhai et al. 2022 froze the other tower.)

# %%
kept, minilm = checkpoint("towers"), pretrained("minilm-l6")
towers = Towers(PictureTower(kept.facts["config"]["width"], kept.facts["config"]["channels"]), nn.Identity()).eval()
towers.load_state_dict({name: weight.float() for name, weight in kept.tensors.items()})

@torch.inference_mode()
def vectors(texts):
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # of a length side by side: quicker
    return embed_sentences(*minilm, [texts[i] for i in order])[torch.tensor(order).argsort()]

@torch.inference_mode()
def seen(pixels):
    return F.normalize(torch.cat([towers.see(signed(part)) for part in pixels.split(200)]), dim=-1)

run = shipped["trained"]["towers"]
print(f"learnt by a recipe: {run['steps']:,} batches of {shipped['batch']}, out of {shipped['phrases']:,} phrases (names, keywords, painted things)")

# %% [markdown]
# ## 2 · Search
# Now the third hand. **Known** are names that were learnt, drawn as never seen. **Unseen** are things of which neither a picture nor a word was shown. One who
# searches looks at k answers and wants one that fits: recall@k.

# %%
def drawn(hand, *parts):  # pictures by one hand, their names, their kinds
    on = [(part.styles == hand).nonzero()[:, 0] for part in parts]
    names = [part.names[row] for part, rows in zip(parts, on, strict=True) for row in rows]
    return *(torch.cat([getattr(part, what)[rows] for part, rows in zip(parts, on, strict=True)]) for what in ("pixels", "kinds")), names

third = {"known": drawn(2, emoji.train), "unseen": drawn(2, emoji.validation, emoji.test)}
pictures, phrases = {group: seen(found[0]) for group, found in third.items()}, {group: vectors(found[2]) for group, found in third.items()}
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

band = lambda values: (2 * min(values) - max(values) - 0.01, 2 * max(values) - min(values) + 0.01)  # a little wider than three seeds lie apart
three = {group: [row[group]["picture"][2] for row in shipped["towers"]] for group in third}
live = {group: recall_at(phrases[group] @ pictures[group].T, right[group], 10) for group in third}
claim("a learnt name finds its picture by a new hand among ten of 1,303 every second time: each of three seeds", min(three["known"]) > 0.5, band=band(three["known"]), live=live["known"], seeds=three["known"])
claim("of things never seen eight times as often as by chance", min(three["unseen"]) > 8 * shipped["chance"]["unseen"][2], band=band(three["unseen"]), live=live["unseen"], seeds=three["unseen"], chance=shipped["chance"]["unseen"][2])

# %% [markdown]
# Two gaps. Two hands are few to learn from what *drawing* is. And eyes that saw 1,332 things are no eyes for the world: CLIP saw 400 million pictures.
# **Type a phrase**, and change the hand.

# %%
google = drawn(0, emoji.train, emoji.validation, emoji.test)
shelf = {"Microsoft, never seen": (torch.cat([third[group][0] for group in third]), torch.cat(list(pictures.values())), third["known"][2] + third["unseen"][2]),
         "Google, learnt from": (google[0], seen(google[0]), google[2])}

def nearest(phrase, hand, k=10):
    pixels, found, names = shelf[hand]
    best = (vectors([phrase or " "]) @ found.T)[0].topk(k).indices
    return pixels[best], [names[i] for i in best]

def draw_search(phrase="a musical instrument", hand="Microsoft, never seen"):
    x, names = nearest(phrase, hand)
    fig, ax = plt.subplots(figsize=(8.6, 1.4))
    ax.imshow(sheet(signed(x), 10))
    ax.set_xticks([34 * n + 16 for n in range(10)], [name[:14] for name in names], fontsize=6.5)
    ax.set_yticks([])
    return fig

interactive(draw_search, phrase="a musical instrument", hand=list(shelf), alt=lambda phrase, hand: f"The ten pictures by {hand} that are nearest to the phrase: {phrase}.")

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

interactive(draw_words, picture=(0, 1598), hand=list(shelf), alt="A picture and the five names nearest to it, with bars for their cosines.")

# %% [markdown]
# ## 3 · Recognition without labels
# A classifier needs labels. Here a *word* is a classifier: which of eight words is nearest to the picture? Nobody trained for it: **zero-shot**.

# %%
predict("12.zero", "Eight names by lot, one of them the picture's. Nobody ever showed the thing or told the name. The nearest name is right:", ["one time in eight", "two in five", "four in five"])

# %%
def of_eight(place, M):  # all of seven others, drawn by lot, lie behind the right one
    return ((M - place - torch.arange(7)).clamp(min=0) / (M - 1 - torch.arange(7))).prod().item()

seeds = {group: [row[group]["of eight"] for row in shipped["towers"]] for group in third}
live = {group: mean(of_eight(place, len(one)) for place in ranks(pictures[group] @ phrases[group].T, one).tolist()) for group, one in right.items()}
claim("learnt names, a new hand: two of three right, where a guess has one in eight", min(seeds["known"]) > 2 / 3, band=band(seeds["known"]), live=live["known"], seeds=seeds["known"])
claim("things never seen: three times as often as a guess, in each of three seeds", min(seeds["unseen"]) > 3 / 8, band=band(seeds["unseen"]), live=live["unseen"], seeds=seeds["unseen"])

# %%
# and the eight kinds in which Unicode keeps its emoji, told by their names alone?
scores, is_ = pictures["unseen"] @ vectors(emoji.kinds).T, third["unseen"][1]
told = (scores - scores.mean(0)).argmax(1)  # some words are near to every picture: each loses its mean
counts = torch.zeros(8, 8).index_put((is_, told), torch.tensor(1.0), accumulate=True)
fig, ax = plt.subplots(figsize=(6.2, 4))
ax.imshow(counts / counts.sum(1, keepdim=True), cmap="Blues", vmin=0, vmax=1)
for i, j in torch.cartesian_prod(torch.arange(8), torch.arange(8)).tolist():
    ax.text(j, i, f"{counts[i, j]:.0f}", ha="center", va="center", fontsize=8, color="white" if counts[i, j] > 0.6 * counts[i].sum() else "black")
ax.set(xlabel="told", ylabel="is", yticks=range(8), yticklabels=emoji.kinds, xticks=range(8))
ax.set_xticklabels(emoji.kinds, rotation=40, ha="right")
show(fig, alt="Kinds as they are against kinds as told, 296 pictures. Smileys and symbols are mostly told; people, activities and objects scatter over the whole row.")
print(f"right: ≈ {(told == is_).float().mean():.2f}; three seeds {[row['unseen']['kinds']['evened out'] for row in shipped['towers']]}; always the largest kind {shipped['chance']['largest kind']['unseen']}")

# %% [markdown]
# Hardly better than always "people". *Activities*, *objects* are drawers, not things: somebody sorted the world so, and a picture does not show it.

# %% [markdown]
# ## 4 · What reading is good for
# Why a tower that others trained? Take words that **no model here was told**: 222 synonyms from WordNet, by rule, none picked. *Chopper* for helicopter.
# Beside MiniLM a text tower of our own: same eyes, steps, phrases.

# %%
predict("12.synonyms", "Words never told, 1,636 pictures. Which tower puts a right picture among its first five?", ["both about as often", "MiniLM twice as often", "MiniLM four times as often or more"])

# %%
recalls = lambda name, hand: [row["synonyms"][hand]["recall"][1] for row in shipped[name]]  # among the first five, three seeds
fig, ax = plt.subplots(figsize=(6, 3))
for n, (name, label, colour, hatch) in enumerate((("towers", "MiniLM, frozen", "#0072B2", ""), ("own", "a tower of our own", "#E69F00", "//"))):
    for i, hand in enumerate(("a known hand", "the third hand")):
        ax.bar(i + 0.34 * n, mean(recalls(name, hand)), 0.3, color=colour, hatch=hatch, edgecolor="white", label=None if i else label)
        ax.plot([i + 0.34 * n] * 3, recalls(name, hand), "k_")
        ax.plot([i - 0.2, i + 0.54], [shipped["chance"]["synonyms"][hand][1]] * 2, "k:", label=None if n or i else "by chance")
ax.set(ylabel="found among the first five", xticks=[0.17, 1.17], xticklabels=["pictures by Google, learnt from", "by Microsoft, never seen"])
ax.legend()
show(fig, alt="Two pairs of bars. With pictures by a known hand MiniLM's is over four times as high as the own tower's; by the third hand both are low. Chance lies on the floor.")
theirs, ours = (recalls(name, "a known hand") for name in ("towers", "own"))
claim("words that nobody told: the tower that has read finds the picture four times as often, its worst seed against the other's best", min(theirs) > 4 * max(ours), MiniLM=theirs, own=ours, words=shipped["asked"]["synonyms"])
told_names = {name: [row["known"]["picture"][1] for row in shipped[name]] for name in ("towers", "own")}
print(f"is the own tower merely bad? names that it was told, new hand, first five: MiniLM {told_names['towers']}, own {told_names['own']}")

# %%
places = {name: {word: mean(row["synonyms"]["a known hand"]["ranks"][word] for row in shipped[name]) for word in shipped[name][0]["synonyms"]["a known hand"]["ranks"]} for name in ("towers", "own")}
meant = {item.word: item.name for split in ("test", "validation", "train") for item in getattr(load("synonyms"), split)}
order = sorted(places["towers"], key=places["towers"].get)
for title, words in (("best", order[:10]), ("worst", order[-10:])):
    print(f"ten {title}: place among 1,636 with MiniLM (with the own tower), mean of three seeds")
    print("   ", "; ".join(f"{word} for {meant[word]} {places['towers'][word]:.0f} ({places['own'][word]:.0f})" for word in words))

# %% [markdown]
# What differs was read years before, without one picture. That is a **foundation**. Of the worst, some are rare (*chiropteran*), some mean something else to most
# (*recital*). By the third hand the eyes are the weaker half.

# %% [markdown]
# ## 5 · Telling what one sees
# A language model goes on with what stands before. So let a **picture** stand before: the tower's last 16 places, as wide as a word's vector. The waist is
# lesson 05's.

# %% exercise="12.3"

# %%
facts, weights = checkpoint("captioner").facts, checkpoint("captioner").tensors
vocabulary, channels = facts["words"], facts["config"]["channels"]

class Places(nn.Module):  # the tower's last 16 places, before they are averaged
    def __init__(self):
        super().__init__()
        self.tower = PictureTower(facts["config"]["width"], channels)

    def forward(self, x):
        return self.tower.places(x)

writer = Captioner(Places(), modern(vocab_size=len(vocabulary), context=26, width=128, depth=2, heads=4), channels[-1]).eval()
writer.load_state_dict({name: weight.float() for name, weight in weights.items()})
print(f"{len(vocabulary):,} words, {sum(weight.numel() for weight in writer.write.parameters()):,} numbers to write with; eyes taken from the towers and taught on for {shipped['trained']['captioner']['steps']:,} batches")

# %%
x, begun = signed(third["known"][0][:1]), torch.tensor([[vocabulary.index(word) for word in ("cat", "face")]])
with torch.no_grad():
    yours = after_picture(writer.prefix(x), writer.write.embed(begun, torch.arange(16, 18)), writer.write.stack, writer.write.head)
    gap = (yours - writer(x, begun)).abs().max()
claim("your prefix is the package's", gap < 1e-3, gap=gap)

# %%
shown = list(range(40, 1303, 130))
said = caption(writer, signed(third["known"][0][shown]), vocabulary)
found = (pictures["known"][shown] @ phrases["known"].T).argmax(1).tolist()
fig, ax = plt.subplots(figsize=(9.6, 1.8))
ax.imshow(sheet(signed(third["known"][0][shown]), 10))
ax.set_xticks([34 * n + 16 for n in range(10)], [f"{third['known'][2][i][:19]}\nsays: {text[:16]}\nfinds: {third['known'][2][j][:16]}" for i, text, j in zip(shown, said, found, strict=True)], fontsize=6)
ax.set_yticks([])
show(fig, alt="Ten pictures by the third hand at even distances in the list, and below each its name, what the captioner writes, and the nearest of the learnt names.")

# %%
share = lambda way, what, group: [round(row[group][way][what]["share"], 2) for row in shipped["captions"]]
for group in third:
    for what, label in (("word", "a word of its name or keywords"), ("telling", "one that few emoji share"), ("exact", "the very name")):
        kind, shuffled = shipped["kind alone"][group][what]["share"], mean(row[group]["written"][what]["chance"] for row in shipped["captions"])
        print(f"{group:7} {label:31} written {share('written', what, group)}  found {share('found', what, group)}  kind alone {kind:.2f}  shuffled {shuffled:.2f}")
written, retrieved, alone = share("written", "telling", "known"), share("found", "telling", "known"), shipped["kind alone"]["known"]["telling"]["share"]
claim("of learnt names it says far more than the coarse kind: words that few share, four times as often as who knows the kind alone", min(written) > 4 * alone, written=written, kind_alone=alone)
claim("and writing beats finding, in each of three seeds", min(written) > max(retrieved), written=written, found=retrieved)

# %% [markdown]
# *Kind alone*: for each kind one name, the one that fits most. Fair? The writer's eyes learnt on, the finder's did not. And of **unseen** things the writer says
# less that is right than who knows the kind. Fluently. It has no other words than those it was taught.

# %% [markdown]
# ## 6 · Whose pictures, whose words?
# Google's are under Apache 2.0, Twitter's under CC BY 4.0, Microsoft's under MIT: known, credited, allowed. Few large models can say so. And habits come with
# the words. Sixty roles are drawn twice, as woman and as man. To which is *doctor* nearer?

# %%
pixels, found, names = shelf["Google, learnt from"]
roles = [name.removeprefix("woman ") for name in emoji.train.names if name.startswith("woman ")]
roles = [role for role in dict.fromkeys(roles) if f"man {role}" in names]
apart = torch.stack([found[names.index(f"woman {role}")] - found[names.index(f"man {role}")] for role in roles])
jobs = [job for job in shipped["habits"][0] if job != "roles"]
for job, live in zip(jobs, (vectors(jobs) @ apart.T > 0).float().mean(1), strict=True):
    print(f"{job:12} nearer to the woman in ≈ {live:.0%} of {len(roles)} pairs; three seeds {[round(row[job], 2) for row in shipped['habits']]}")
nurse, doctor = ([row[job] for row in shipped["habits"]] for job in ("nurse", "doctor"))
claim("whatever the role in the picture: nurse is nearer to the woman, doctor to the man, in each of three seeds", min(nurse) > 0.6 > 0.4 > max(doctor), nurse=nurse, doctor=doctor)

# %% [markdown]
# The pictures come in pairs, as many women as men; the leaning came in with words, and not always as one would guess: *boss*. Whatever is built on such vectors
# inherits it. **Change it**: other jobs.

# %%
quiz("12.q1", "A batch holds 128 pictures and their phrases. Who wrote the wrong answers?",
     {"Nobody: each pair's wrong answers are the other 127.": "The batch is its own multiple choice. That is why CLIP took batches of 32,768.",
      "A person, for each picture.": "There is no such list, and it would not scale.",
      "MiniLM makes them up.": "It only turns phrases into vectors, and is frozen."}, answer="Nobody: each pair's wrong answers are the other 127.")
few, many = (shipped["towers"][0][group]["picture"][2] for group in ("unseen", "known"))
times = [share / shipped["chance"][group][2] for share, group in ((few, "unseen"), (many, "known"))]
quiz("12.q2", f"Recall@10 is {few:.2f} among 296 pictures and {many:.2f} among 1,303. Measured by chance, where is it better?",
     {"Among 296: things never seen are harder.": "Harder they are; but that is no measure.",
      "Among 1,303, by far.": f"It is {times[1]:.0f} times chance, against {times[0]:.0f} times. A recall without its chance level says little.",
      "One cannot say.": "One can: chance is k divided by the number of pictures."}, answer="Among 1,303, by far.")
