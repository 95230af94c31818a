# %% [markdown]
# # 12 · Text and images
# **Tonight a phrase that you type finds a picture nobody described to the machine, a picture finds its words, and at last words
# become pictures.**
#
# 80 minutes to read and do · two minutes to compute · you need lessons 05, 07 and 10.

# %% [markdown]
# **Afterwards you can**
# - bring words and pictures into one space with one loss, and search it from both ends;
# - recognise things without a single label of theirs;
# - show with numbers what a text model brings that has read more than you can offer;
# - let a language model tell what it sees, and say when finding beats writing.

# %%
import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn import functional as F

from fmcourse.course import check, claim, hint, predict, progress, quiz, show, solution
from fmcourse.data import checkpoint, load, table
from fmcourse.models.transformer import modern
from fmcourse.multimodal import Captioner, PictureTower, Towers, caption, matched, ranks
from fmcourse.pictures import painted, sheet, signed
from fmcourse.pretrained import embed_sentences
from fmcourse.pretrained import load as pretrained
from fmcourse.widgets import interactive, text_interactive

# fmt: off

# %% [markdown]
# ## 1 · One space for words and pictures
# An emoji is drawn anew by every maker, and Unicode gives it one name and some keywords. So: the same thing in three hands, with words. Two
# hands are for learning. The third, Microsoft's, **no model of this lesson has learnt from**.

# %%
emoji, shipped = load("emoji"), table("lesson_12")
row_of = {(name, style): row for row, (name, style) in enumerate(zip(emoji.train.names, emoji.train.styles.tolist(), strict=True))}
some = ["cat face", "bicycle", "hot pepper", "castle", "pilot", "crying face", "umbrella", "t-shirt", "octopus"]
fig, ax = plt.subplots(figsize=(8.6, 3))
ax.imshow(sheet(signed(emoji.train.pixels[[row_of[name, style] for style in range(3) for name in some]]), len(some)))
ax.set_xticks([34 * n + 16 for n in range(len(some))], some, fontsize=8)
ax.set_yticks([34 * n + 16 for n in range(3)], ["Google", "Twitter", "Microsoft"])
show(fig, alt="Nine things, each drawn three times. Google's and Twitter's are flat, Microsoft's are rounded and lit as if they stood in a room.")
print(f"{len(emoji.train):,} pictures to learn from or be asked about; the {emoji.train.names.index('pilot') + 1}th is called 'pilot', keywords {emoji.train.keywords[row_of['pilot', 0]]}")

# %% [markdown]
# **Two towers.** One turns a picture into a vector, one turns a phrase into a vector. The wish: what belongs together points the same way. As a question, in
# the manner of lesson 03: *here are B pictures and B phrases; who belongs to whom?* That is all of CLIP (2021).

# %% exercise="12.1"

# %%
dice = torch.Generator().manual_seed(0)
a, b = torch.randn(128, 256, generator=dice), torch.randn(128, 256, generator=dice)
towers = Towers(nn.Identity(), nn.Identity())
gap = (match_loss(a, b, towers.sharpness.exp()) - matched(towers, (a, b)).value).abs()
claim("your loss is the package's", gap < 1e-4, gap=gap)
guess = match_loss(torch.ones(128, 4), torch.ones(128, 4), 14.0)
claim("towers that find all alike pay log 128 = 4.85 nats; a perfect pair pays almost nothing", (guess - 4.852).abs() < 1e-3 and match_loss(a, a, 14.0) < 0.01, alike=guess, perfect=match_loss(a, a, 14.0))

# %% [markdown]
# The picture tower is a small residual network that begins with nothing. For the phrases we take **MiniLM** as it is, frozen: it has read a billion pairs of
# sentences, we have 1,332 names. Its vectors *are* the shared space; only the eyes learn. (Zhai et al. 2022 froze the other tower, for the same reason.)

# %%
kept, minilm = checkpoint("towers"), pretrained("minilm-l6")
towers = Towers(PictureTower(kept.facts["config"]["width"], kept.facts["config"]["channels"]), nn.Identity())
towers.load_state_dict({name: weight.float() for name, weight in kept.tensors.items()})
towers.eval()

@torch.inference_mode()
def vectors(texts):
    return embed_sentences(*minilm, list(texts))

@torch.inference_mode()
def seen(pixels):
    return F.normalize(torch.cat([towers.see(signed(part)) for part in pixels.split(200)]), dim=-1)

run = shipped["trained"]["towers"]
print(f"learnt by a recipe: {run['steps']:,} batches of {shipped['batch']}, out of {shipped['phrases']:,} phrases (names, keywords, painted things); {shipped['date']}, `{shipped['command']}`")

# %% [markdown]
# ## 2 · Search
# Now the third hand. Its pictures go in once. **Known** are names that were learnt, drawn as never seen. **Unseen** are things of which no picture by anybody
# and no word was shown. One who searches looks at k answers and is content if one fits: **recall@k**, its measure.

# %%
third = {"known": [emoji.train], "unseen": [emoji.validation, emoji.test]}
of_third = lambda part: (part.styles == 2).nonzero()[:, 0]
pixels = {group: torch.cat([part.pixels[of_third(part)] for part in parts]) for group, parts in third.items()}
names = {group: [part.names[row] for part in parts for row in of_third(part)] for group, parts in third.items()}
kinds = {group: torch.cat([part.kinds[of_third(part)] for part in parts]) for group, parts in third.items()}
pictures, phrases = {group: seen(x) for group, x in pixels.items()}, {group: vectors(texts) for group, texts in names.items()}
print({group: (tuple(pictures[group].shape), tuple(phrases[group].shape)) for group in third})

# %% exercise="12.2"

# %%
band = lambda values: (2 * min(values) - max(values) - 0.01, 2 * max(values) - min(values) + 0.01)  # a little wider than three seeds lie apart
right = {group: torch.eye(len(texts), dtype=torch.bool) for group, texts in names.items()}
for group in third:
    scores = phrases[group] @ pictures[group].T
    for way, table_of in (("picture", scores), ("name", scores.T)):
        live = [recall_at(table_of, right[group], k) for k in (1, 5, 10)]
        print(f"{group:7} find the {way:8} ≈ among the first 1, 5, 10: {[round(share, 3) for share in live]}")
    print(f"{'':7} by chance         {[round(share, 3) for share in shipped['chance'][group]]}")

# %%
three = {group: {way: [[row[group][way][i] for row in shipped["towers"]] for i in range(3)] for way in ("picture", "name")} for group in third}
scores = phrases["known"] @ pictures["known"].T
claim("yours is one of the recipe's three runs", band(three["known"]["picture"][2])[0] < recall_at(scores, right["known"], 10) < band(three["known"]["picture"][2])[1],
      band=band(three["known"]["picture"][2]), among_ten=recall_at(scores, right["known"], 10))
claim("a name that was learnt finds its picture by a hand never seen among ten of 1,303 every second time: each of three seeds", min(three["known"]["picture"][2]) > 0.5, seeds=three["known"]["picture"][2], chance=float(shipped["chance"]["known"][2]))
claim("of things never seen the right one is among ten several times as often as by chance", min(three["unseen"]["picture"][2]) > 4 * shipped["chance"]["unseen"][2], seeds=three["unseen"]["picture"][2], chance=float(shipped["chance"]["unseen"][2]))

# %% [markdown]
# Two gaps, then. From hand to hand much is lost: two hands are few to learn from what *drawing* is. And from known to unseen: eyes that saw 1,332 things
# are no eyes for the world. CLIP saw 400 million pictures.
#
# **Type a phrase.** All 1,599 pictures by the third hand, the ten nearest first.

# %%
everything, everyone = torch.cat(list(pictures.values())), names["known"] + names["unseen"]
all_pixels = torch.cat(list(pixels.values()))

def draw_search(phrase="something that flies"):
    best = (vectors([phrase or " "]) @ everything.T)[0].topk(10).indices
    fig, ax = plt.subplots(figsize=(8.6, 1.4))
    ax.imshow(sheet(signed(all_pixels[best]), 10))
    ax.set_xticks([34 * n + 16 for n in range(10)], [everyone[i][:14] for i in best], fontsize=6.5)
    ax.set_yticks([])
    return fig

text_interactive(draw_search, value="something that flies", label="phrase", alt=lambda phrase: f"The ten pictures nearest to the phrase: {phrase}.")

for phrase in ("a musical instrument", "automobile", "sad", "breakfast", "it is raining", "a purple fruit"):
    best = (vectors([phrase]) @ everything.T)[0].topk(5).indices
    print(f"{phrase:22} ≈ {', '.join(everyone[i] for i in best)}")

# %% [markdown]
# **The other way**: give a picture, get words. Nothing is trained anew; it is the same table of cosines, read along the other axis.

# %%
def draw_words(picture=1340):
    best = (everything[picture] @ torch.cat(list(phrases.values())).T).topk(5)
    fig, axes = plt.subplots(1, 2, figsize=(6.4, 2.1), width_ratios=[1, 2])
    axes[0].imshow(all_pixels[picture])
    axes[0].set(xticks=[], yticks=[], title=everyone[picture])
    axes[1].barh([everyone[i] for i in best.indices][::-1], best.values.flip(0), color="#0072B2")
    axes[1].set(xlabel="cosine", xlim=(0, 1))
    return fig

interactive(draw_words, picture=(0, len(everyone) - 1), alt="A picture by the third hand and the five names nearest to it, with bars for their cosines.")

# %% [markdown]
# ## 3 · Recognition without labels
# A classifier needs labels. Here a *word* is a classifier: which of eight words is nearest to the picture? Nobody trained for it: **zero-shot**.

# %%
predict("12.zero", "Eight names by lot, one of them the picture's. Nobody ever showed the thing or told the name. The nearest name is right:", ["one time in eight", "two in five", "four in five"])

# %%
def of_eight(place, M):  # all of seven others, drawn by lot, lie behind the right one
    behind = torch.arange(7) + place
    return ((M - behind).clamp(min=0) / (M - 1 - torch.arange(7))).prod().item()

live, seeds = {}, {group: [row[group]["of eight"] for row in shipped["towers"]] for group in third}
for group in third:
    places = ranks(pictures[group] @ phrases[group].T, right[group]).tolist()
    live[group] = sum(of_eight(place, len(places)) for place in places) / len(places)
print({group: f"≈ {share:.3f}" for group, share in live.items()})
claim("names that were learnt, a hand that was not: two of three right, where a guess has one in eight", min(seeds["known"]) > 2 / 3, seeds=seeds["known"])
claim("of things never seen: three times as often as a guess, in each of three seeds", min(seeds["unseen"]) > 3 / 8, band=band(seeds["unseen"]), live=live["unseen"], seeds=seeds["unseen"])

# %%
scores = pictures["unseen"] @ vectors(emoji.kinds).T  # and the eight kinds in which Unicode keeps its emoji, by their names alone?
told = (scores - scores.mean(0)).argmax(1)            # some words are near to every picture: each loses its mean
counts = torch.zeros(8, 8).index_put((kinds["unseen"], told), torch.tensor(1.0), accumulate=True)
fig, ax = plt.subplots(figsize=(6.2, 4))
ax.imshow(counts / counts.sum(1, keepdim=True), cmap="Blues", vmin=0, vmax=1)
for i in range(8):
    for j in range(8):
        ax.text(j, i, f"{counts[i, j]:.0f}", ha="center", va="center", fontsize=8, color="white" if counts[i, j] > 0.6 * counts[i].sum() else "black")
ax.set(xlabel="told", ylabel="is", yticks=range(8), yticklabels=emoji.kinds, xticks=range(8))
ax.set_xticklabels(emoji.kinds, rotation=40, ha="right")
show(fig, alt="Kinds as they are against kinds as told, 296 pictures. The diagonal is darkest for some kinds; objects, symbols and activities scatter over the whole row.")
print(f"right: ≈ {(told == kinds['unseen']).float().mean():.2f}; three seeds {[row['unseen']['kinds']['evened out'] for row in shipped['towers']]}; always the largest kind {shipped['chance']['largest kind']['unseen']}")

# %% [markdown]
# Eight *things* apart goes well; the eight *kinds* go badly. "Activities", "objects", "symbols" are drawers, not things: somebody sorted the world, and a picture
# does not show into which drawer.

# %% [markdown]
# ## 4 · What reading is good for
# Why a tower that somebody else trained? Take words that no model here was ever told: 222 synonyms out of WordNet, chosen by a rule, none by hand. *Chopper* for
# a helicopter, *spectacles* for glasses. Beside MiniLM stands a text tower of our own: same eyes, same steps, same phrases, but it began with nothing.

# %%
predict("12.synonyms", "222 words never told, 1,636 pictures. Which tower puts a right picture among its first five?", ["both about as often", "MiniLM twice as often", "MiniLM four times as often or more"])

# %%
from statistics import mean

def recalls(name, hand, place=1):  # place 1: among the first five
    return [row["synonyms"][hand]["recall"][place] for row in shipped[name]]

fig, ax = plt.subplots(figsize=(6, 3))
for n, (name, label, hatch) in enumerate((("towers", "MiniLM, frozen", ""), ("own", "a tower of our own", "//"))):
    for i, hand in enumerate(("a known hand", "the third hand")):
        ax.bar(i + 0.34 * n, mean(recalls(name, hand)), 0.3, color=("#0072B2", "#E69F00")[n], hatch=hatch, edgecolor="white", label=None if i else label)
        ax.plot([i + 0.34 * n] * 3, recalls(name, hand), "k_")
        ax.plot([i - 0.2, i + 0.54], [shipped["chance"]["synonyms"][hand][1]] * 2, "k:", label=None if n or i else "by chance")
ax.set(ylabel="found among the first five")
ax.set_xticks([0.17, 1.17], ["pictures by a hand it learnt from", "by the third hand"])
ax.legend()
show(fig, alt="Two pairs of bars. With pictures by a known hand MiniLM's is several times as high as the own tower's; by the third hand both are low. Chance lies on the floor.")
theirs, ours = (recalls(name, "a known hand") for name in ("towers", "own"))
claim("words that nobody told: the frozen tower that has read finds the picture more than twice as often, its worst seed against the best of the other", min(theirs) > 2 * max(ours), MiniLM=theirs, own=ours, words=shipped["asked"]["synonyms"])

# %%
of = {name: {word: mean(row["synonyms"]["a known hand"]["ranks"][word] for row in shipped[name]) for word in shipped[name][0]["synonyms"]["a known hand"]["ranks"]} for name in ("towers", "own")}
meant = {item.word: item.name for split in ("test", "validation", "train") for item in getattr(load("synonyms"), split)}
order = sorted(of["towers"], key=of["towers"].get)
for title, some in (("ten best", order[:10]), ("ten worst", order[-10:])):
    print(f"{title}, place among 1,636 with MiniLM (and with the own tower), mean of three seeds")
    print("   ", "; ".join(f"{word} for {meant[word]} {of['towers'][word]:.0f} ({of['own'][word]:.0f})" for word in some))

# %% [markdown]
# Same eyes, same steps. What differs was read years before, by a model for *sentences*; not one picture was in it. That is what a **foundation** is.
#
# Where it fails, look twice. Some words are rare. Some mean something else: WordNet's first *alien* is a foreigner. And by the third hand the eyes are the weaker half.

# %% [markdown]
# ## 5 · Telling what one sees
# Lesson 06's model goes on with what stands before. So let a **picture** stand before: its last 16 places become vectors as wide as a word's, and the language
# model reads on from there. The prefix replaces an end; the waist is the same `Stack`.

# %% exercise="12.3"

# %%
facts = checkpoint("captioner").facts
vocabulary = facts["words"]

class Places(nn.Module):  # the tower's last 16 places, before they are averaged
    def __init__(self):
        super().__init__()
        self.tower = PictureTower(facts["config"]["width"], facts["config"]["channels"])

    def forward(self, x):
        return self.tower.places(x)

writer = Captioner(Places(), modern(vocab_size=len(vocabulary), context=26, width=128, depth=2, heads=4), facts["config"]["channels"][-1])
writer.load_state_dict({name: weight.float() for name, weight in checkpoint("captioner").tensors.items()})
writer.eval()
words = torch.tensor([[vocabulary.index("cat"), vocabulary.index("face")]])
with torch.no_grad():
    x = signed(pixels["known"][:1])
    mine = after_picture(writer.prefix(x), writer.write.embed(words, torch.arange(16, 18)), writer.write.stack, writer.write.head)
gap = (mine - writer(x, words)).abs().max()
claim("your prefix is the package's", gap < 1e-3, gap=gap)

# %%
shown = torch.tensor([40, 200, 330, 470, 610, 742, 860, 1000, 1120, 1250])
texts = caption(writer, signed(pixels["known"][shown]), vocabulary)
bank = (pictures["known"] @ phrases["known"].T)[shown].argmax(1)
fig, ax = plt.subplots(figsize=(9.4, 1.8))
ax.imshow(sheet(signed(pixels["known"][shown]), 10))
ax.set_xticks([34 * n + 16 for n in range(10)], [f"is: {names['known'][i][:18]}\nsays: {text[:18]}\nfound: {names['known'][j][:17]}" for i, text, j in zip(shown, texts, bank, strict=True)], fontsize=6)
ax.set_yticks([])
show(fig, alt="Ten pictures by the third hand, and below each its name, what the captioner writes, and the nearest of the names that were learnt.")

# %%
rows = {"written": lambda what, group: [row[group]["written"][what]["share"] for row in shipped["captions"]], "found": lambda what, group: [row[group]["found"][what]["share"] for row in shipped["captions"]]}
for group in third:
    for what, label in (("word", "a word of its name or keywords"), ("telling", "a telling word, of one emoji in fifty at most"), ("exact", "the very name")):
        kind, chance = shipped["kind alone"][group][what]["share"], mean(row[group]["written"][what]["chance"] for row in shipped["captions"])
        print(f"{group:7} {label:45} written {rows['written'](what, group)}  found {rows['found'](what, group)}  kind alone {kind:.3f}  shuffled {chance:.3f}")
written, found = (rows[way]("telling", "known") for way in ("written", "found"))
alone = shipped["kind alone"]["known"]["telling"]["share"]
claim("of names that were learnt it says more than the coarse kind: telling words four times as often as one who knows the kind and nothing else", min(written) > 4 * alone, written=written, kind_alone=float(alone))
claim("and at this size writing beats finding, in each of three seeds", min(written) > max(found), written=written, found=found)

# %% [markdown]
# "Only the coarse kind" would be a captioner that knows of each picture its drawer. Ours knows more of what it was told, and can build a name from parts. Of
# **unseen** things it says what it knows, fluently. It has never heard of anything else.

# %% [markdown]
# ## 6 · Whose pictures, whose words?
# Each of these pictures was drawn by somebody: Google's under Apache 2.0, Twitter's under CC BY 4.0, which asks for credit, Microsoft's under MIT. Few large
# models can say so of theirs. And what a machine takes for usual, somebody decided.

# %%
people = [i for i, name in enumerate(everyone) if name.startswith(("man ", "woman "))]
women = torch.tensor([everyone[i].startswith("woman ") for i in people])
print(f"{len(people)} pictures named man or woman, {women.float().mean():.0%} of them women; among the ten nearest to")
for job in ("nurse", "secretary", "cleaner", "dancer", "engineer", "boss", "doctor", "thief"):
    nearest = (vectors([job]) @ everything[people].T)[0].topk(10).indices
    print(f"    {job:10} ≈ women {women[nearest].float().mean():.0%}, the first: {everyone[people[nearest[0]]]}")

# %% [markdown]
# Emoji are drawn in pairs, as many women as men. The words are not: MiniLM read the web. So the nearest picture to a job is a habit of sentences, shown as
# if it were a fact of sight. The eight kinds, the names, the hands: all somebody's view. **Change it**: other jobs, other wishes.

# %%
quiz("12.q1", "A batch holds 128 pictures and their phrases. Who wrote the wrong answers?",
     {"Nobody: each pair's wrong answers are the other 127.": "The batch is its own multiple choice. That is why CLIP used batches of 32,768.",
      "A person, for each picture.": "Then it would not scale. There is no such list.",
      "MiniLM makes them up.": "It only turns phrases into vectors, and is frozen."}, answer="Nobody: each pair's wrong answers are the other 127.")
quiz("12.q2", "Recall@10 is 0.30 among 296 pictures, 0.54 among 1,303. Where does the machine do better, measured by chance?",
     {"Among 296: 0.30 is more than nothing.": "By chance ten of 296 hold the right one with 0.034, ten of 1,303 with 0.008.",
      "Among 1,303, by far.": "0.54 is seventy times chance, 0.30 nine times. A recall without its chance level says little.",
      "One cannot say.": "One can: chance is k divided by the number of pictures."}, answer="Among 1,303, by far.")
