# %% [raw]
# place = ["eight pretext tasks, contrastive learning", "Transformer, small CNN", "text, images"]
# builds = "eight self-supervised objectives, each with its control; an encoder pretrained by contrast; causal against masked models"
# terms = ["self-supervised learning", "pretext task", "encoder", "representation", "pretraining", "downstream task", "word2vec", "embedding", "positive pair", "negative pair", "control", "causal language modelling", "cross-entropy", "masked language modelling", "span corruption", "attention mask", "causal mask", "prefix mask", "denoising autoencoder", "masked autoencoder", "transfer learning", "linear probe", "contrastive learning", "augmentation", "InfoNCE", "temperature", "projection head", "rescoring"]
# [reads]
# "fmcourse.objectives" = ["next_token", "masked_token", "mask_tokens", "span_corruption", "corrupt_spans", "denoising", "masked_patches", "contrastive", "info_nce", "transformation_prediction"]
# "fmcourse.models.patches" = ["patchify", "PatchEncoder", "MaskedAutoencoder"]

# %% [markdown]
# # 03 · Labels for nothing: self-supervision
# **A network can learn from data that nobody labelled: you hide a part of each example, train it to predict that part,
# and measure with a control what it has learned.**
#
# {minutes} minutes to read and do · two minutes to compute · you need Python and a little PyTorch.
#
# **Afterwards you can**
# - turn text, images and sound into training targets in eight ways;
# - write BERT's masking, T5's span corruption and the InfoNCE loss;
# - find out with a control whether a low loss means that the input was read;
# - measure a representation with a linear probe, and say when pretraining saves labels;
# - choose between causal, prefix and masked models, with a number for each.

# %%
import math
import re
from collections import Counter
from functools import partial

import torch
from fmcourse import objectives
from fmcourse.course import check, claim, hint, predict, progress, quiz, reported, resolve, solution
from fmcourse.data import load, table
from fmcourse.models import patches
from fmcourse.models.patches import patchify
from fmcourse.models.transformer import Config, Stack, Transformer, modern
from fmcourse.plots import bars, bind_styles, curves, grouped_bars, heatmaps, show_images, smooth
from fmcourse.plots.widgets import interactive
from fmcourse.training import RandomBatches, RandomCrops, fit, lesson_steps
from fmcourse.training.optimizers import MUON_SHORT_RUN
from torch import nn
from torch.nn import functional as F

# fmt: off

# %% [markdown]
# ## 1 · A label without a labeller
# In supervised learning people write the right answer, the label, beside each example.
# **Self-supervised learning** takes the labels from the data: a part of each example is hidden, and a network is trained
# to predict it from the rest. A **pretext task** is a task made in this way: nobody needs its answers, but solving it
# takes knowledge of the data.
#
# What we want is the trained network. An **encoder** is a network that turns an input, such as an image, into
# a list of numbers, its features. The **representation** of an input is the features that an encoder makes of it.
# **Pretraining** is training on a pretext task with much data. A **downstream task** is what the network is then used
# for.

# %%
clothes, speech, shipped = load("fashion"), load("speech"), table("lesson_03")


def plain(text):  # lower-case letters and single spaces
    return " ".join(re.findall("[a-z]+", text.lower()))


texts = {name: plain(load(name).train)[:3_000_000] for name in ("shakespeare", "austen", "bible")}
for name, text in texts.items():
    print(f"{name:12}{len(text):>10,} letters   {text[40_000:40_044]}")
print(f"clothes     {len(clothes.train):>10,} images    28 x 28 pixels\n"
      f"speech      {len(speech.train):>10,} recordings")

# %% [markdown]
# ## 2 · Words from their neighbours: word2vec
# **Word2vec** learns a vector for each word by predicting which words stand near it in a text [1]. Such a learned
# vector of a word is called its **embedding**. The text itself says which words are neighbours.
#
# A **positive pair** is two things that belong together, here a word and one of its neighbours. A **negative pair** is
# two things put together at random, here a word and a random one. The score of a pair is the dot product
# of its vectors; training raises it for positive pairs and lowers it for negative ones:
# $$\mathcal L = -\log\sigma(u_w\cdot v_c) - \frac{k}{N}\sum_{n=1}^{N}\log\sigma(-u_w\cdot v_n),$$
# with a neighbour $c$ of the word $w$, $N$ random words $n$, the logistic function $\sigma$, and a weight $k = 5$.

# %%
words = " ".join(texts.values()).split()
vocabulary = [word for word, _ in Counter(words).most_common(3000)]
number = {word: n for n, word in enumerate(vocabulary)}
stream = torch.tensor([number[word] for word in words if word in number])


def nearest(vectors, word, n=10):
    return [vocabulary[i] for i in (vectors @ vectors[number[word]]).topk(n + 1).indices[1:].tolist()]


print(f"{len(words):,} words; the 3,000 commonest are {len(stream) / len(words):.0%} of the text")

# %%
def word2vec_loss(vectors, batch, g, window=3, k=5):
    at = torch.randint(window, len(stream) - window, (batch,), generator=g)
    neighbour = stream[at + torch.randint(1, window + 1, (batch,), generator=g)]  # a pair has no direction
    random = stream[torch.randint(len(stream), (64,), generator=g)]  # negatives, shared by the batch
    u, v = vectors[0](stream[at]), vectors[1]
    positive, negative = (u * v(neighbour)).sum(1), u @ v(random).T
    return -F.logsigmoid(positive).mean() - k * F.logsigmoid(-negative).mean()

# %%
def train(model, loss_of, batches, steps, lr=3e-3, seed=0):  # the training loop of the whole lesson
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    generator, losses = torch.Generator().manual_seed(seed), []
    model.train()
    for step in range(steps):
        loss = loss_of(model, batches[step], generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    model.eval()
    return losses

# %% [markdown]
# Words that are used in the same places should get similar vectors. Examples of that can be chosen to please, so here is
# a measure, too: of the 10 nearest neighbours of the words *three* to *ten*, which share are number words? It needs a
# **control**, which is the same measurement with the supposed cause taken away; here, the same vectors before training.

# %%
torch.manual_seed(0)
vectors = nn.ModuleList([nn.Embedding.from_pretrained(0.1 * torch.randn(3000, 48), freeze=False) for _ in "uv"])
before = F.normalize(vectors[0].weight.detach().clone(), dim=1)
train(vectors, word2vec_loss, [8192] * 300, lesson_steps(300), lr=1e-2)
trained = F.normalize(vectors[0].weight.detach(), dim=1)
for word in ("brother", "seven", "sword", "happy"):
    print(f"{word:9} ≈ {' '.join(nearest(trained, word))}")

numerals = {"two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "twelve", "twenty", "hundred"}
asked, full = ("three", "four", "five", "six", "seven", "eight", "nine", "ten"), lesson_steps(20) == 20
share = [sum(near in numerals for word in asked for near in nearest(v, word)) / 80 for v in (trained, before)]
if full:
    claim("more than one in ten of the words nearest to number words are number words; before training fewer than one "
          "in twenty", share[0] > 0.1 and share[1] < 0.05, trained=share[0], control=share[1])

# %% [markdown]
# A fifth to a third of these neighbours are number words, depending on the seed; at random it would be 12 in 3,000. The other lists are mixed; the paper has far more text [1].
#
# ## 3 · Text: three objectives and their masks
# **Next token.** A token is a unit of text that a network reads, such as a word; in this lesson the networks read single
# letters. In **causal language modelling** every token is predicted from the tokens before it: the targets are the
# inputs shifted by one [2]. The loss of all text objectives is the **cross-entropy**, the mean negative logarithm of the
# probability that the model gives to the true token. With the natural logarithm its unit is called the nat:
# $$\mathcal L = -\frac1T\sum_{t=1}^{T}\log p(x_{t+1}\mid x_1,\dots,x_t).$$

# %%
LETTERS, MASK_ID = " abcdefghijklmnopqrstuvwxyz", 27  # one id more, for a letter that is hidden


def encode(text):
    return torch.tensor([LETTERS.index(letter) for letter in text])


def decode(ids):
    return "".join((LETTERS + "▢")[i] for i in ids)


line = encode("to be or not to be that is the question")
print("inputs ", decode(line[:-1]), "\ntargets", decode(line[1:]))

# %% [markdown]
# **Hidden tokens.** In **masked language modelling** some tokens are hidden, and each is predicted from the tokens on
# both sides of it. BERT selects 15 % of the tokens as labels [3]. Of these 80 % are replaced by a special token [MASK],
# 10 % by a random token, and 10 % stay as they are. The last two kinds have a reason: in later use there is no [MASK],
# so the network must also be trained on ordinary tokens that may be right or wrong. With the selected positions $M$:
# $$\mathcal L = -\frac1{|M|}\sum_{i\in M}\log p(x_i\mid \text{the tokens that remain}).$$

# %% exercise="03.1"

# %%
def masked_loss(model, ids, generator):
    draw, fate = (torch.rand(ids.shape, generator=generator) for _ in range(2))
    other = torch.randint(28, ids.shape, generator=generator)
    inputs, selected = hide_tokens(ids, draw, fate, other, mask=MASK_ID, rate=0.15)
    return F.cross_entropy(model.head(model.states(inputs)[selected]), ids[selected])


ids, g = encode(texts["austen"][: 64 * 100]).view(100, 64), torch.Generator().manual_seed(0)
draw, fate = (torch.rand(ids.shape, generator=g) for _ in range(2))
other = torch.randint(28, ids.shape, generator=g)
inputs, selected = hide_tokens(ids, draw, fate, other, mask=MASK_ID, rate=0.15)
print(decode(ids[0]), decode(inputs[0]), "".join(" ^"[int(one)] for one in selected[0]), sep="\n")
theirs = objectives.mask_tokens(ids, torch.Generator().manual_seed(0), mask_id=MASK_ID, vocab_size=28)
claim("hide_tokens of exercise 03.1 hides the same tokens as the package's mask_tokens",
      torch.equal(inputs, theirs[0]) and torch.equal(selected, theirs[1]), labels=int(selected.sum()))

# %% [markdown]
# Each `^` marks a label. Where no ▢ stands above it, the letter was swapped or left.
#
# **Hidden spans.** In **span corruption** runs of tokens are cut out of a text; the network reads the rest, the source,
# and writes the missing runs, the target [4]. A marker, called a sentinel, stands for each run in both. This is the
# objective of T5.

# %% exercise="03.2"

# %%
sentence = "it is a truth universally acknowledged that a single man must be in want of a wife"
source, target = cut_spans(sentence.split(), [(3, 5), (9, 10), (13, 16)])
print("source  ", *source)
print("target  ", *target)
claim("source and target of exercise 03.2 together hold every word of the sentence exactly once",
      sorted(word for word in source + target if "<" not in word) == sorted(sentence.split()))

# %% [markdown]
# ### Who may attend to whom
# One network can do all three, a Transformer; lesson 05 builds it. In it every position reads from others (it *attends*
# to them), and an **attention mask** is a table of yes and no that says to which ones. Under a **causal mask** each
# position attends to itself and to earlier positions, so that it cannot look up the next token. In masked language
# modelling every position attends to all. Under a **prefix mask** every position may attend to the tokens of a given
# beginning, the prefix, and otherwise the causal rule holds. With it one network can read a source in both directions
# and write a target [4, section 3.2].

# %% exercise="03.4"

# %%
masks = {"causal": prefix_mask(9, 0), "prefix of 4": prefix_mask(9, 4), "all": prefix_mask(9, 9)}
heatmaps({name: mask.float() for name, mask in masks.items()}, list("123456789"), xlabel="attended position",
         ylabel="attending position", colorbar_label="may attend",
         alt="Three squares of nine by nine. Causal: the lower triangle is bright. Prefix of four: the first four "
         "columns are bright, too. All: everything is bright.")

# %% [markdown]
# Now a network is trained on Jane Austen with span corruption; the package's `corrupt_spans` cuts random spans out of a
# whole batch. Does the network use the source? There are two controls. The trained network gets *swapped* sources, each of
# another line. And a second network is trained and tested on *blanked* sources, in which all letters are the same; its
# loss shows how well a target is predicted without a source. (The first network cannot be tested fairly on blanks, which it never
# saw.) `fit` is the package's training loop: the one above with checkpoints and another optimizer, Muon.

# %%
SENTINEL, BLANKED = 40, 39  # the letters are 1 to 27 here


def span_loss(model, ids, generator, source="real"):
    given, target = objectives.corrupt_spans(ids + 1, generator, sentinel_id=SENTINEL)
    if source == "blanked":
        given = given.where(given >= SENTINEL, BLANKED)
    if source == "swapped":
        given = given.roll(1, 0)
    S, row = given.shape[1], torch.cat([given, target], 1)
    states = model.states(row[:, :-1], prefix_mask(row.shape[1] - 1, S))[:, S - 1 :]
    return F.cross_entropy(model.head(states).mT, row[:, S:])


predict("03.span", "After 60 steps the loss has fallen from 4.1 to about 2.5 nats per token of the target. Now each "
        "target gets the source of another line. What happens to the loss?",
        ["it rises to about 4", "it rises by about 0.5", "it stays almost the same"])

# %%
austen = encode(texts["austen"])
held_out = RandomCrops(encode(plain(load("austen").test)), 64, 512, seed=7)[0]
spans = {}
for source in ("real", "blanked"):
    torch.manual_seed(0)
    model = Transformer(modern(vocab_size=48, context=128, width=64, depth=2, heads=4, causal=False))
    objective = lambda model, ids, g, source=source: objectives.Loss(span_loss(model, ids, g, source))
    data = RandomCrops(austen, 64, 32, seed=0)
    fit(model, objective, data, steps=lesson_steps(60), optimizer=MUON_SHORT_RUN, progress=False)
    with torch.inference_mode():
        for tested in ("real", "swapped") if source == "real" else ("blanked",):
            spans[tested] = span_loss(model.eval(), held_out, torch.Generator().manual_seed(1), tested).item()
            print(f"trained on {source:8} sources, tested on {tested:8} sources ≈ {spans[tested]:.3f} nats")

# %%
if full:
    claim("after 60 steps the network does not use the source: with swapped sources its loss changes by less than 0.02 "
          "nats, and a network that was trained without a source has a lower loss",
          abs(spans["swapped"] - spans["real"]) < 0.02 and spans["blanked"] < spans["real"], **spans)
resolve("03.span", "it stays almost the same",
        "The network has learned from the targets alone how common each letter is and which letter follows which. That "
        "lowers the loss without a look at the source. The network without a source learns the same faster, probably "
        "because nothing disturbs it.")
real, blank = shipped["spans"]["real"], [run["blanked"] for run in shipped["spans"]["blanked"]]
later = {name: [run[name] for run in real] for name in ("real", "swapped")} | {"blanked": blank}
reported("after 1,200 steps, twenty times as long, the source is used: with swapped sources the loss is higher by more "
         "than 0.1 nats in each seed, and without swapping its mean is below that of networks trained without a source",
         all(r["swapped"] - r["real"] > 0.1 for r in real) and sum(later["real"]) < sum(blank), table=shipped, **later)

# %% [markdown]
# After 1,200 steps the source is read, but helps little.
#
# ## 4 · Images and sound: four more objectives
# - A **denoising autoencoder** receives its input with noise added and is trained to return it without the noise [5].
# - A **masked autoencoder** receives a quarter of the patches of an image and is trained to paint the others [6].
# - Transformation prediction asks which change was applied, such as a rotation of an image [7].
# - Contrastive learning, section 5, asks which two views show the same image.
#
# Each is tested on held-out data: its loss, the loss when the input is *blanked* (set to zero), and that of the best answer
# without the input. The first must be the lowest. (The second alone proves little: no network here was trained on blanks.)

# %%
def compare(name, model, loss_of, held_out, without_input):
    with torch.no_grad():
        loss, blanked = (loss_of(model, held_out, torch.Generator().manual_seed(1), keep).item() for keep in (1, 0))
    print(f"{name:18} ≈ loss {loss:.3f}; input blanked {blanked:.3f}; best without the input {without_input:.3f}")
    return {"loss": loss, "blanked": blanked, "without_input": without_input}


def reversal_loss(model, x, generator, keep=1):  # keep=0 blanks the input
    is_reversed = torch.randint(2, (len(x),), generator=generator)
    return F.cross_entropy(model(keep * torch.where(is_reversed[:, None] == 1, x.flip(1), x)), is_reversed)


def denoising_loss(model, x, generator, keep=1):
    return F.mse_loss(model(keep * (x + 0.5 * torch.randn(x.shape, generator=generator))), x)


def sound_pieces(part):  # a quarter of a second each, pauses left out, equally loud
    pieces = torch.cat([one.samples.float().unfold(0, 2000, 500) for one in part if len(one.samples) >= 2000])
    pieces = pieces[pieces.std(1) > 300]
    return pieces / pieces.std(1, keepdim=True)


sounds, new_sounds = sound_pieces(speech.train), sound_pieces(speech.validation)
print(f"{len(sounds):,} pieces of sound to train on, {len(new_sounds)} to test on")

# %%
def conv_1d(i, o, size, stride):
    return [nn.Conv1d(i, o, size, stride), nn.BatchNorm1d(o), nn.ReLU()]


torch.manual_seed(0)
layers = [*conv_1d(1, 32, 32, 8), *conv_1d(32, 32, 9, 4), *conv_1d(32, 64, 9, 4), nn.AdaptiveAvgPool1d(1), nn.Flatten()]
classifier = nn.Sequential(nn.Unflatten(1, (1, -1)), *layers, nn.Linear(64, 2))
train(classifier, reversal_loss, RandomBatches(sounds, batch=64), lesson_steps(100))
controls = {"reversed": compare("sound reversed?", classifier, reversal_loss, new_sounds, math.log(2))}

layers = [nn.Conv1d(1, 16, 17, padding=8), nn.ReLU(), nn.Conv1d(16, 16, 17, padding=8), nn.ReLU()]
denoiser = nn.Sequential(nn.Unflatten(1, (1, -1)), *layers, nn.Conv1d(16, 1, 17, padding=8), nn.Flatten())
train(denoiser, denoising_loss, RandomBatches(sounds[:, :500], batch=16), lesson_steps(100))
short = new_sounds[:, :500]
controls["denoised"] = compare("sound denoised", denoiser, denoising_loss, short, short.square().mean().item())
print(f"{'':18} ≈ (returning the noisy input costs {0.5**2}, the variance of the noise)")

# %% [markdown]
# The masked autoencoder is built in full. Its encoder reads the visible patches only, which saves most of the
# computation. A small decoder then receives the encoded patches and, at each hidden place, one learned vector, the mask
# token; position vectors say which place is which. The loss counts the hidden patches only. Beside what the network
# paints (gaps are grey in its input) we show a control that looks at nothing: the mean image of all clothes.
# $$\mathcal L = \frac1{|M|}\sum_{i\in M}\lVert \hat x_i - x_i\rVert^2,\qquad M = \text{the hidden patches}.$$

# %%
class MaskedAutoencoder(nn.Module):
    """Patches (B, N, P) and which of them are hidden, (B, N) bool -> predicted patches (B, N, P)."""

    def __init__(self, N=49, P=16, width=64, decoder_width=32):
        super().__init__()
        self.embed, self.to_decoder = nn.Linear(P, width), nn.Linear(width, decoder_width)
        self.positions = nn.Parameter(0.02 * torch.randn(N, width))
        self.decoder_positions = nn.Parameter(0.02 * torch.randn(N, decoder_width))
        self.mask_token = nn.Parameter(torch.zeros(decoder_width))
        self.encoder = Stack(Config(width=width, depth=2, heads=4, causal=False))  # Transformer blocks
        self.decoder = Stack(Config(width=decoder_width, depth=1, heads=4, causal=False))
        self.to_patches = nn.Linear(decoder_width, P)

    def forward(self, x, hidden):
        x = self.embed(x) + self.positions
        x = self.encoder(x[~hidden].view(len(x), -1, x.shape[-1]))  # the visible patches alone
        tokens = self.mask_token.expand(*hidden.shape, -1).masked_scatter(~hidden[..., None], self.to_decoder(x))
        return self.to_patches(self.decoder(tokens + self.decoder_positions))


# %%
def masked_patch_loss(model, x, generator, keep=1):
    hidden = torch.rand(x.shape[:2], generator=generator).argsort(1) < 37  # 37 of 49 patches
    return F.mse_loss(model(keep * x, hidden)[hidden], x[hidden])


grey, test_grey = clothes.train.pixels / 255, clothes.test.pixels / 255
P, P_test = patchify(grey, 4), patchify(test_grey, 4)
mean_image = P.mean(0)
class_means = torch.stack([P[clothes.train.labels == c].mean(0) for c in range(10)])
torch.manual_seed(0)
autoencoder = MaskedAutoencoder()
objective = lambda model, x, g: objectives.Loss(masked_patch_loss(model, x, g))
fit(autoencoder, objective, RandomBatches(P, batch=64), steps=lesson_steps(120), progress=False)
best_blind = (P_test - mean_image).square().mean().item()
controls["patches"] = compare("masked patches", autoencoder.eval(), masked_patch_loss, P_test, best_blind)
if full:
    claim("reversal, denoising and masked patches each have a lower loss than with a blanked input and than the best "
          "answer without it", all(c["loss"] < min(c["blanked"], c["without_input"]) for c in controls.values()))

# %%
hidden = torch.rand(len(P_test), 49, generator=torch.Generator().manual_seed(2)).argsort(1) < 37
painted = autoencoder(P_test, hidden).detach()
fills = [torch.full_like(P_test, 0.5), painted, mean_image.expand_as(P_test), P_test]
stages = [torch.where(hidden[..., None], fill, P_test).view(-1, 7, 7, 4, 4).transpose(2, 3) for fill in fills]
rows = [int((clothes.test.labels == c).nonzero()[4]) for c in (9, 1, 8, 0)]
show_images([stage[row].reshape(28, 28) for row in rows for stage in stages], columns=4, size=1.2,
            row_labels=[clothes.classes[c] for c in (9, 1, 8, 0)],
            titles=["input", "painted", "mean", "original", *[""] * 12],
            alt="Four pieces of clothing of which a quarter of the patches is given. The network paints a blurred "
            "piece of roughly the right outline; the mean image is the same grey, shirt-like shape in every row.")

# %%
def own_class(x):  # how often is the mean image of its own class nearest, by the hidden patches alone?
    distance = ((x[:, None] - class_means).square() * hidden[:, None, :, None]).sum((2, 3))
    return (distance.argmin(1) == clothes.test.labels).float().mean().item()


own = {"painted": own_class(painted), "mean_image": own_class(fills[2]), "original": own_class(P_test)}
if full:
    claim("painted patches are nearest to the mean image of their own class more often than the mean image is, and "
          "less often than the original patches", own["mean_image"] < own["painted"] < own["original"], **own)

mine, sizes = autoencoder, [Config(width=width, depth=1, heads=4, causal=False) for width in (64, 32)]
theirs = patches.MaskedAutoencoder(patches.PatchEncoder(sizes[0], 49, 16), sizes[1])
theirs.encoder.embed, theirs.encoder.stack, theirs.decoder_embed = mine.embed, mine.encoder, mine.to_decoder
theirs.encoder.position_embedding, theirs.decoder.position_embedding = mine.positions, mine.decoder_positions
theirs.decoder.embed, theirs.decoder.stack = nn.Identity(), mine.decoder  # theirs has one linear layer more
theirs.mask_token, theirs.to_patches = mine.mask_token, mine.to_patches
gap = (theirs(P_test[:100], hidden[:100]) - painted[:100]).abs().max().item()
claim("with these weights the package's MaskedAutoencoder, without its additional linear layer, paints the same",
      gap < 1e-5, gap=gap)

# %% [markdown]
# ## 5 · Is the representation of any use?
# Over a third of the painted images are nearest to the mean of their own class, over three times as many as with the
# mean image. But nobody needs painted patches. **Transfer learning** means to use for one task what a network learned on another. So what
# counts is a downstream task, here to sort clothes into ten classes with few labels.
#
# Fashion-MNIST hides the difficulty, because somebody centred, scaled and straightened every image, and that is human
# work, too. We undo it: each image is scaled down, rotated, shifted, mirrored at random, and made brighter or darker.

# %%
def uniform(n, generator):
    return lambda low, high: low + (high - low) * torch.rand(n, generator=generator)


def warp(x, angle, width, height, across, down):  # images through a window of this angle, size and offset
    rows = [width * angle.cos(), -height * angle.sin(), across, width * angle.sin(), height * angle.cos(), down]
    grid = F.affine_grid(torch.stack(rows, 1).view(-1, 2, 3), [len(x), 1, 28, 28], align_corners=False)
    return F.grid_sample(x[:, None], grid, align_corners=False)[:, 0]


def transform(x, seed):
    draw = uniform(len(x), torch.Generator().manual_seed(seed))
    angle, zoom, mirror = draw(-0.44, 0.44), 1 / draw(0.55, 0.95), torch.where(draw(0, 1) < 0.5, 1.0, -1.0)
    across, down = (zoom - 1) * draw(-1, 1), (zoom - 1) * draw(-1, 1)
    x = warp(x, angle, zoom * mirror, zoom, across, down) * draw(0.5, 1.2)[:, None, None]
    return (255 * x.clamp(0, 1)).round() / 255


images, labels = transform(grey, 1), clothes.train.labels
test_images, truth = transform(test_grey, 2), clothes.test.labels
some = [int((labels == c).nonzero()[3]) for c in range(10)]
show_images([*grey[some], *images[some]], columns=10, titles=[*clothes.classes, *[""] * 10],
            row_labels=["centred", "transformed"],
            alt="Ten pieces of clothing as they ship; below, the same ones smaller, rotated and off centre.")

# %% [markdown]
# A **linear probe** measures a representation: the encoder is frozen, and a linear classifier (logistic regression) is
# trained on its features with a few labels. A linear classifier can do little by itself, so its accuracy says how well
# the features already separate the classes. The labelled images are drawn four times (1,000 of them once) and the
# accuracies averaged.

# %%
def linear_probe(train, labels, test, classes, penalty=1e-4):
    weights = torch.zeros(train.shape[1] + 1, classes, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=60, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(train @ weights[1:] + weights[0], labels) + penalty * weights[1:].square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return (test @ weights[1:] + weights[0]).argmax(1).detach()


def labelled_subset(n, seed):  # equally many images of each class
    g, rows = torch.Generator().manual_seed(seed), [(labels == c).nonzero()[:, 0] for c in range(10)]
    return torch.cat([of[torch.randperm(len(of), generator=g)[: n // 10]] for of in rows])

# %%
def standardized(train, test):  # all features alike in mean and variance, constant ones left out
    mean, std = train.mean(0), train.std(0)
    kept = std > 1e-4 * std.max()
    return [((x - mean) / std)[:, kept] / kept.sum().sqrt() for x in (train, test)]


def probe_accuracy(train, test, n, draws=4, seed=0):
    train, test = standardized(train, test)
    rows = [labelled_subset(n, draws * seed + draw) for draw in range(draws)]
    return sum((linear_probe(train[r], labels[r], test, 10) == truth).float().mean().item() for r in rows) / draws


raw = images.flatten(1), test_images.flatten(1)
pixels = {n: probe_accuracy(*raw, n, draws) for n, draws in ((30, 4), (1000, 1))}
centred = probe_accuracy(grey.flatten(1), test_grey.flatten(1), 1000, 1)
claim("with 1,000 labels on raw pixels a linear classifier is better by more than 0.3 on the centred images than on "
      "the transformed ones", centred - pixels[1000] > 0.3, centred=centred, transformed=pixels[1000])
predict("03.labels", "An encoder is pretrained on the transformed images for half a minute, without labels. How many "
        "labels does a linear probe on it need to reach what 1,000 reach on raw pixels?",
        ["60 or fewer", "61 to 300", "more than 300"])

# %% [markdown]
# ### Contrastive learning
# **Contrastive learning** trains an encoder to give similar features to positive pairs and different ones to negative
# pairs, as word2vec does with words. For images the positive pairs are made by **augmentation**: random changes of an
# example, such as cropping, rotation and brightness, that leave alone what it shows. Two such views of one image are a
# positive pair; the views of the other images in the batch make the negative pairs [8].

# %%
def random_view(x, generator):
    draw = uniform(len(x), generator)
    side, shape, mirror = draw(0.3, 1).sqrt(), draw(-0.15, 0.15).exp(), torch.where(draw(0, 1) < 0.5, 1.0, -1.0)
    width, height = (side * shape).clamp(max=1), (side / shape).clamp(max=1)
    angle, across, down = draw(-0.5, 0.5), (1 - width) * draw(-1, 1), (1 - height) * draw(-1, 1)
    x = warp(x, angle, width * mirror, height, across, down)  # a part of the image, enlarged, rotated, mirrored
    x = (x * draw(0.4, 1.6)[:, None, None]).clamp(1e-4, 1) ** draw(-0.7, 0.7).exp()[:, None, None]  # brighter, darker
    across, down, size = (draw(*ends)[:, None, None] for ends in ((0, 28), (0, 28), (0, 6)))
    at = torch.arange(28)
    hole = ((at - across).abs() < size) & ((at[:, None] - down).abs() < size)
    return x.masked_fill(hole, 0) + 0.03 * torch.randn(x.shape, generator=generator)


g = torch.Generator().manual_seed(3)
show_images([*random_view(images[:8], g), *random_view(images[:8], g)], columns=8, row_labels=["view 1", "view 2"],
            alt="Eight pieces of clothing, each in two views: enlarged, rotated, mirrored, darker or lighter.")

# %% [markdown]
# The encoder learns to ignore what the augmentation changes. It can tell images apart only by what is left.
#
# The loss is **InfoNCE**, the cross-entropy of finding the partner of a view among all B candidates in the batch [9]:
# $$\mathcal L = -\frac1B\sum_{i=1}^{B}\log\frac{\exp(s(a_i,b_i)/\tau)}{\sum_{j=1}^{B}\exp(s(a_i,b_j)/\tau)},$$
# with the cosine similarity $s$. The **temperature** τ divides the similarities before the softmax: a low one makes the
# distribution over the candidates sharper. As in CLIP [10] we take the mean of both directions, $a$ to $b$ and $b$ to
# $a$.

# %% exercise="03.3"

# %%
a, b = torch.randn(2, 64, 16, generator=g)
gap = (info_nce(a, b, 0.1) - objectives.info_nce(a, b, 0.1)).abs().item()
claim("the loss of exercise 03.3 equals the package's", gap < 1e-5, gap=gap)
nats = [info_nce(a[:n], a[:n] + b[:n], 0.2).item() for n in (2, 8, 64)]
claim("with more negative pairs in the batch the mean loss of the positive pairs rises", nats[0] < nats[1] < nats[2],
      nats=nats)

# %% [markdown]
# The encoder is a small convolutional network with 96 features. The loss is computed behind a **projection head**, a
# small network after the encoder that is used in pretraining only and then thrown away. The loss makes its output forget
# all that differs between two views; the features before it keep more [8]. Whether that helps is measured below.

# %%
def new_encoder(seed=0):
    torch.manual_seed(seed)
    layers = [nn.Unflatten(1, (1, 28)), nn.PixelUnshuffle(2)]  # (B, 28, 28) -> (B, 4, 14, 14)
    for i, o, stride in ((4, 24, 1), (24, 48, 2), (48, 96, 1), (96, 96, 2)):
        layers += [nn.Conv2d(i, o, 3, stride, 1, bias=False), nn.BatchNorm2d(o), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def contrastive_loss(model, x, generator, keep=1):
    return info_nce(*model(keep * torch.cat([random_view(x, generator) for _ in range(2)])).chunk(2), 0.2)

# %%
SEED, steps = 0, lesson_steps(shipped["steps"]["live"])
encoder = new_encoder(SEED)
with_head = nn.Sequential(encoder, nn.Linear(96, 192), nn.BatchNorm1d(192), nn.ReLU(), nn.Linear(192, 64))
losses = train(with_head, contrastive_loss, RandomBatches(images, batch=128, seed=SEED), steps, seed=SEED)
found = compare("contrastive", with_head, contrastive_loss, test_images[:128], math.log(128))
curves(range(steps), {"training loss": smooth(losses)}, xlabel="step", ylabel="InfoNCE (nats per pair)",
       baseline={"log 128: guessing": math.log(128)},
       alt="The loss starts a little above the logarithm of 128, falls fast, then ever more slowly.")

# %% [markdown]
# The loss on new images is far below that of guessing, and with blanked views it is not. But a lower loss is not yet a better representation, so we compare linear probes: on the trained encoder, on its
# projection head, and on two controls, the same encoder untrained and raw pixels.

# %%
def represent(model):
    with torch.no_grad():
        return [torch.cat([model(part) for part in x.split(500)]) for x in (images, test_images)]


fresh = new_encoder(SEED)
with torch.no_grad():
    fresh(images[:500])  # batch normalization takes its statistics from some images
found_by = {"untrained": represent(fresh.eval()), "encoder": represent(encoder)}
found_by["projection head"] = [with_head[1:](features).detach() for features in found_by["encoder"]]
accuracy = {n: {"raw pixels": pixels[n]} | {name: probe_accuracy(*pair, n, draws, SEED)
                                            for name, pair in found_by.items()} for n, draws in ((30, 4), (1000, 1))}
grouped_bars({"30 labels": accuracy[30], "1,000 labels": accuracy[1000]}, ylabel="accuracy of a linear probe",
             baseline={"chance": 0.1}, alt="Accuracy with 30 and 1,000 labels. Raw pixels and the untrained encoder "
             "lie far below the pretrained encoder and its projection head.")

# %%
best, others = accuracy[30]["encoder"], [accuracy[30]["raw pixels"], accuracy[30]["untrained"]]
band = [run["30"] for run in shipped["live"]["contrastive"]]
if full:
    claim("with 30 labels the encoder is better by more than 0.08 than raw pixels and than itself untrained",
          best - max(others) > 0.08, band=(min(band), max(band)), encoder=best, others=others)
    with_60 = probe_accuracy(*found_by["encoder"], 60, seed=SEED)
    claim("60 labels on the encoder reach what 1,000 reach on raw pixels",
          with_60 >= accuracy[1000]["raw pixels"], encoder_60=with_60, raw_pixels_1000=accuracy[1000]["raw pixels"])
    gain = {n: accuracy[n]["encoder"] - accuracy[n]["projection head"] for n in (30, 1000)}
    claim("with 1,000 labels the encoder is a better representation than its projection head, with 30 labels a worse "
          "one",
          gain[30] < 0 < gain[1000], gain_30=gain[30], gain_1000=gain[1000])
resolve("03.labels", "60 or fewer",
        "The augmentation holds the very changes that were made to the images. So the encoder has learned without "
        "labels to ignore them, and the labels are needed for the names of the classes only.")

# %% [markdown]
# With 1,000 labels the probe can use what the projection head has thrown away; with 30 it cannot. That is likely, but not
# tested here. SimCLR, with all labels of ImageNet, finds the features before the head better by more than 0.1 [8].
#
# ### The whole table
# One seed and half a minute show little. The recipe trained three objectives for about a minute each, with three seeds.
# Beside them: the same network trained from scratch on the labels alone (*supervised*). The contrastive encoder has an
# advantage over it, the augmentation, in which people wrote down which changes do not matter. So supervised training is
# also given the same augmentation (*supervised, augmented*). `reported` prints the date of the table's latest rows; the
# line above the first says which rows are older.

# %%
styles = bind_styles("contrastive", "rotation", "masked patches", "supervised", "supervised, augmented", "raw pixels",
                     "untrained")
figures = {
    "transformed images: pretrained or supervised": ["contrastive",
        "supervised, augmented", "supervised", "raw pixels"],
    "transformed images: which pretraining": ["contrastive", "rotation", "masked patches", "untrained"],
    "centred images": ["contrastive", "raw pixels", "untrained"]}
alts = ["Supervised training with augmentation lies highest, then the contrastive encoder; without augmentation it "
        "comes near to them at 1,000 labels only. Raw pixels are lowest.",
        "The contrastive encoder lies far above rotation and masked patches, and these above the untrained network.",
        "Raw pixels are as good as the contrastive encoder, and better with 1,000 labels; the untrained one is lowest."]
for (title, names), alt in zip(figures.items(), alts, strict=True):
    runs = {name: [[run[str(n)] for n in shipped["labels"]] for run in shipped[title.split()[0]][name]]
            for name in names}
    curves(shipped["labels"], runs, styles=styles, xlog=True, xlabel="labelled images", ylabel="accuracy",
           ylim=(0.1, 1), title=title, alt=alt)

# %%
def of(method, n, group="transformed"):
    return [run[str(n)] for run in shipped[group][method]]


print(*[f"{key}: {'; '.join(rows)}" for key, rows in shipped.items() if key.startswith("kept from")], sep="\n")
contrastive, augmented, rivals = of("contrastive", 30), of("supervised, augmented", 30), of("rotation", 30)
reported("transformed images: 30 labels on the contrastive encoder beat 1,000 on raw pixels, and 100 for supervised "
         "training without augmentation, in every seed",
         min(contrastive) > max(of("raw pixels", 1000) + of("supervised", 100)), table=shipped, contrastive=contrastive,
         raw_pixels_1000=of("raw pixels", 1000), supervised_100=of("supervised", 100))
reported("with 30 labels, supervised training with the same augmentation beats the contrastive encoder, in every seed",
         min(augmented) > max(contrastive), table=shipped, augmented=augmented, contrastive=contrastive)
reported("with 30 labels, rotation prediction and masked patches, trained without augmentation, help less, in every "
         "seed",
         max(rivals + of("masked patches", 30)) < min(contrastive), table=shipped, rotation=rivals,
         masked_patches=of("masked patches", 30))
reported("centred images: with 1,000 labels raw pixels beat the contrastive encoder, in every seed",
         min(of("raw pixels", 1000, "centred")) > max(of("contrastive", 1000, "centred")), table=shipped,
         raw_pixels=of("raw pixels", 1000, "centred"), contrastive=of("contrastive", 1000, "centred"))

# %% [markdown]
# So at this size the augmentation matters most: where supervised training has it, too, pretraining saves no labels.
# Fine-tuning the whole contrastive encoder gave 0.44 to 0.46 with 30 labels, supervised training with augmentation 0.47;
# but none of these learning rates was tuned, so such small differences settle nothing. Pretraining has another
# advantage: the encoder is trained once, before anyone knows the task, and each new task costs one linear classifier.
# With over a million images the gain is large, as SimCLR's row in the table at the end shows.
#
# **Change it:** leave the rotation out of `random_view` (an angle of 0) and predict the accuracy with 30 labels first.

# %% [markdown]
# ## 6 · Causal or masked?
# Back to text and to the main division of the field: GPT is causal, BERT is masked. One Transformer of three layers is
# trained in both ways, on the same text for the same number of steps.
#
# One difference must be mentioned. In a step of 12 lines of 64 letters, causal language modelling has 768 labels, masked
# language modelling about 15 % of that, 115. This is a real advantage of the causal objective [11], but it mixes two
# questions: the direction of reading and the number of labels. So in this notebook the causal model, too, gets a label
# at a random 15 % of the positions only; the table shows it both ways.

# %%
predict("03.fork", "Same text, same steps, same number of labels, one forward pass each. Who fills a hidden letter in "
        "the middle of a line better, and who predicts the letter after its end better?",
        ["causal is better at both", "masked is better at both", "masked fills better, causal continues better"])


def causal_loss(model, ids, generator):
    selected = torch.rand(ids[:, 1:].shape, generator=generator) < 0.15
    return F.cross_entropy(model.head(model.states(ids[:, :-1])[selected]), ids[:, 1:][selected])


corpus, TEXT_SEED = torch.cat([encode(text) for text in texts.values()]), 0

# %%
def text_model(loss_of, causal):
    torch.manual_seed(TEXT_SEED)
    model = Transformer(modern(vocab_size=28, context=64, width=96, depth=3, heads=4, causal=causal))
    objective = lambda model, ids, g: objectives.Loss(loss_of(model, ids, g), tokens=115)
    print("≈", fit(model, objective, RandomCrops(corpus, 64 + causal, 12, seed=TEXT_SEED), seed=TEXT_SEED,
                   steps=lesson_steps(shipped["steps"]["texts live"]), optimizer=MUON_SHORT_RUN, progress=False))
    return model.eval()


causal, masked = text_model(causal_loss, causal=True), text_model(masked_loss, causal=False)

# %% [markdown]
# Two tests on 600 lines of works that neither model has read. *Fill*: letter 33 of a line is hidden; the masked model
# reads both sides of it, the causal model the 32 letters before it. *Continue*: letter 64 is predicted from the 63
# before it; the masked model is given a [MASK] in its place. The control uses no input: it knows only how frequent each
# letter is.

# %%
lines = torch.cat([RandomCrops(encode(plain(load(name).test)), 64, 200, seed=7)[0] for name in texts])


@torch.inference_mode()
def log_probs(name, ids, place):  # of the letter at a place: causal from the letters before it, masked from all others
    hidden = ids.index_fill(1, torch.tensor([min(place, ids.shape[1] - 1)]), MASK_ID)
    outputs = [causal(part[:, :place])[:, -1] if name == "causal" else masked(part)[:, place]
               for part in (ids if name == "causal" else hidden).split(100)]
    return torch.cat(outputs)[:, :27].log_softmax(-1)


letter = (torch.bincount(corpus, minlength=27) / len(corpus)).log().expand(len(lines), -1)
filled = {name: log_probs(name, lines, 32) for name in ("causal", "masked")} | {"no input": letter}
ended = {name: log_probs(name, lines, 63) for name in ("causal", "masked")} | {"no input": letter}
fill = {name: (p.argmax(1) == lines[:, 32]).float().mean().item() for name, p in filled.items()}
bits = {name: F.nll_loss(p, lines[:, 63]).item() / math.log(2) for name, p in ended.items()}
for name in fill:
    print(f"{name:9} ≈ {fill[name]:.3f} of the letters filled in correctly; {bits[name]:.2f} bits for the next letter")

# %%
if full:
    claim("one forward pass each, equally many labels: masked fills better, causal continues better, and both do "
          "better than letter frequencies",
          fill["masked"] > fill["causal"] > fill["no input"] and bits["causal"] < bits["masked"] < bits["no input"],
          masked_filled=fill["masked"], causal_filled=fill["causal"], bits=bits)
first, second = max(fill, key=fill.get), min(bits, key=bits.get)
resolve("03.fork", f"{first} is better at both" if first == second else "masked fills better, causal continues better",
        "The masked model reads the letters on both sides of the gap. After the end of a line there is no right side, "
        "and half of what it has learned is of no use.")

# %% [markdown]
# "One forward pass" decides the first test. A causal model gives a probability to a whole line, so it can use the right
# side, too: write each of the 27 letters into the gap and take the line with the highest probability. **Rescoring** means
# to rank complete candidates by the probability that a language model gives to each whole text. It costs 27 forward
# passes instead of one. To save time we take every second line, and only 15 letters of the right side.

# %%
@torch.inference_mode()
def rescore(ids, place):
    scores = []
    for letter in range(27):
        row = ids.index_fill(1, torch.tensor([place]), letter)
        scores.append(-F.cross_entropy(causal(row[:, :-1]).mT, row[:, 1:], reduction="none").sum(1))
    return torch.stack(scores, 1).argmax(1)


few = "causal, 15 % of the labels"
guesses = {"causal, 27 passes": torch.cat([rescore(part[:, :48], 32) for part in lines[::2].split(100)]),
           "masked, one pass": filled["masked"].argmax(1)[::2]}
rescored = {name: (guess == lines[::2, 32]).float().mean().item() for name, guess in guesses.items()}
if full:
    claim("with 27 forward passes the causal model fills in more letters of the same lines than the masked model with "
          "one",
          rescored["causal, 27 passes"] > rescored["masked, one pass"], rescored=rescored)

# %% [markdown]
# So which model fills better depends on how much computing each may use. A masked model can be used for rescoring, too,
# by hiding each letter in turn [12]. That takes 27 · 64 passes and is not measured here, so the question stays open. With
# 300 lines the difference above is hardly larger than chance (two other seeds gave the same order); with all of its
# labels the causal model leads by far (see the table).
#
# Now move the gap yourself: compare the first letter of a word with its last one.

# %%
def fill_gap(text="he took her hand and said nothing", place=8):
    ids = encode(plain(text) or " ")[None, :64]
    place = max(1, min(place, ids.shape[1] - 1))
    page = [decode(ids[0, :place]) + "▢" + decode(ids[0, place + 1 :])]
    for name in ("causal", "masked"):
        top = log_probs(name, ids, place)[0].exp().topk(5)
        best = [f"{LETTERS[i].replace(' ', '␣')} {p:.2f}" for p, i in zip(*map(torch.Tensor.tolist, top), strict=True)]
        page.append(f"{name:9} ≈ {'   '.join(best)}")
    return "<pre>" + "\n".join(page) + "</pre>"


interactive(fill_gap, text="he took her hand and said nothing", place=(1, 60),
            alt="A line with one gap, and the five letters with the highest probability there, by each model.")

# %% [markdown]
# ### The whole table
# The recipe trained more than twice as long, with three seeds (one for the causal model with few labels), and added the
# causal model with all of its labels and the prefix mask (about half as many). Rescoring was tested on a quarter of
# 1,200 lines. The recipe also tests the representation: a linear probe on the mean hidden state of a passage of 256
# letters must say which of the three sources it is from. The controls are the same probe on counts of letters and, live,
# on counts of letter pairs.

# %%
text_styles = bind_styles("causal", few, "prefix", "masked", "letter counts")
column = {key: {name: [run[key] for run in runs if key in run] for name, runs in shipped["texts"].items()}
          for key in ("blank_accuracy", "rescored_accuracy", "bits_per_letter")}
once, passes_27, next_bits = ({name: runs for name, runs in one.items() if runs} for one in column.values())
grouped_bars({"one forward pass": once, "27 forward passes": passes_27}, styles=text_styles, ylim=(0, 1),
             ylabel="letters filled in correctly (share)", alt="With one forward pass the masked model fills in most "
             "letters; with 27 both causal models fill in more than it.")
bars(next_bits, styles=text_styles, xlabel="bits for the next letter (lower is better)",
     alt="The causal model with all labels needs fewest bits, the masked model most.")

# %%
reported("one forward pass: masked fills in more letters than all others, in every seed",
         min(once["masked"]) > max(once["causal"] + once[few] + once["prefix"]), table=shipped, masked=once["masked"],
         causal=once["causal"], causal_few_labels=once[few], prefix=once["prefix"])
reported("27 forward passes: causal fills in more than masked with one, also with equally many labels, in every seed",
         min(passes_27["causal"] + passes_27[few]) > max(once["masked"]), table=shipped, **passes_27)
reported("causal continues better than masked, also with equally many labels, and better the more labels it has",
         max(next_bits["causal"]) < min(next_bits[few]) and max(next_bits[few]) < min(next_bits["masked"]),
         table=shipped, all_labels=next_bits["causal"], few_labels=next_bits[few], masked=next_bits["masked"])

# %%
source_found = {name: [run["author_accuracy"]["300"] for run in runs] for name, runs in shipped["texts"].items()}
letter_counts = source_found.pop("letter counts")
reported("which source? With 300 labelled passages a linear probe on each model beats one on letter counts, in every "
         "seed", min(map(min, source_found.values())) > max(letter_counts), table=shipped, **source_found,
         letter_counts=letter_counts)
tests = [encode(plain(load(name).test)) for name in texts]
passages = [torch.cat([RandomCrops(part, 256, n, seed=100)[0] for part in parts])
            for parts, n in ((corpus.split(3_000_000), 100), (tests, 200))]
pairs = [F.one_hot(x[:, :-1] * 27 + x[:, 1:], 27 * 27).float().mean(1) for x in passages]
source, true_source = (torch.arange(3).repeat_interleave(n) for n in (100, 200))
x, y = standardized(*pairs)
by_pairs = (linear_probe(x, source, y, 3) == true_source).float().mean().item()
claim("the same probe on counts of letter pairs beats every model of the table",
      by_pairs > max(map(max, source_found.values())), letter_pairs=by_pairs)

# %%
quiz("03.q1", "Why does BERT leave some of the selected tokens as they are?", {
      "To save [MASK] tokens.": "They cost nothing.",
      "So that the network must also represent tokens that it can read.": "In later use there is no [MASK]. If only "
      "[MASK] were asked for, the network would never be trained on an ordinary token.",
      "So that the loss falls faster.": "On those tokens it does, but that is not the reason."},
     answer="So that the network must also represent tokens that it can read.")
quiz("03.q2", "The loss of a pretext task has fallen far below that of guessing. What shows that the input is used?", {
      "That the loss falls on held-out data, too.": "In section 3 it did, and the source was not used.",
      "That swapped inputs raise the loss, and so does training without the input.":
      "These are the two controls. If the loss is not higher, the answer came from elsewhere, such as the statistics "
      "of the targets.",
      "That the network is large enough.": "Size says nothing about what is used."},
     answer="That swapped inputs raise the loss, and so does training without the input.")
quiz("03.q3", "The augmentation mirrors images left and right. For which downstream task is that harmful?", {
      "Telling shirts from trousers.": "Both stay what they are in a mirror.",
      "Telling left shoes from right ones.": "The encoder learns to ignore what the augmentation changes, and here "
      "that is the answer.",
      "For none: more augmentation always helps.":
      "Each change declares that something does not matter; for some tasks it does."},
     answer="Telling left shoes from right ones.")
quiz("03.q4", "A network is to write replies to letters. Which mask suits?", {
      "all positions attend to all":
      "Then each position can read the token that it is trained to predict, unless it is hidden.",
      "a causal or a prefix mask": "Both write from left to right. Under the prefix mask the letter is read in both "
      "directions.",
      "none is possible": "GPT writes replies under a causal mask, T5 under one like the prefix mask."},
     answer="a causal or a prefix mask")

# %% [markdown]
# ## What the real systems do
# | | hides | and predicts | unlabelled data | result |
# |---|---|---|---|---|
# | BERT [3] | 15 % of the tokens | which they were | 3.3 billion words | best of its day on 11 tasks |
# | T5 [4] | 15 %, in runs of 3 on average | the runs | 750 GB of web text | every task as text to text |
# | SimCLR [8] | the partner view | which it is | ImageNet | with 1 % of the labels a ResNet-50 has 75.5 % (top 5), trained on these labels alone 48.4 % |
# | wav2vec 2.0 [13] | stretches of speech | which they were | 53,200 hours | ten minutes of labels: 4.8 % of words wrong (clean speech) |
# | CLIP [10] | the caption | which it is | 400 million pairs | new classes without labels |
# | MAE [6] | 75 % of the patches | their pixels | ImageNet | 87.8 % (ViT-Huge, all labels) |
#
# ## Summary
# - Data contain their own labels: hide a part and predict it. What remains is an encoder and its representation.
# - A low loss does not show that the input is used. Swapped inputs, or training without the input, must make it higher.
# - A contrastive encoder ignores what the augmentation changes. It saved labels where supervised training had no
#   augmentation, but not on centred images.
# - In one pass masked models fill better and causal models continue better; with rescoring a causal model fills well,
#   too. It gets more labels from the same text: one reason why most large language models are causal.
#
# **Where next:** lesson 04 makes tokens larger than letters. A paper: the *Cookbook of Self-Supervised Learning* [14]. A
# library page: <https://docs.pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html>.

# %% [markdown]
# ## References
# - [1] T. Mikolov et al., *Distributed Representations of Words and Phrases and their Compositionality*, NeurIPS 2013. <https://arxiv.org/abs/1310.4546>
# - [2] A. Radford et al., *Improving Language Understanding by Generative Pre-Training*, OpenAI 2018. <https://cdn.openai.com/research-covers/language-unsupervised/language_understanding_paper.pdf>
# - [3] J. Devlin et al., *BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding*, NAACL 2019. <https://arxiv.org/abs/1810.04805>
# - [4] C. Raffel et al., *Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer*, JMLR 2020. <https://arxiv.org/abs/1910.10683>
# - [5] P. Vincent et al., *Extracting and Composing Robust Features with Denoising Autoencoders*, ICML 2008. <https://doi.org/10.1145/1390156.1390294>
# - [6] K. He et al., *Masked Autoencoders Are Scalable Vision Learners*, CVPR 2022. <https://arxiv.org/abs/2111.06377>
# - [7] S. Gidaris et al., *Unsupervised Representation Learning by Predicting Image Rotations*, ICLR 2018. <https://arxiv.org/abs/1803.07728>
# - [8] T. Chen et al., *A Simple Framework for Contrastive Learning of Visual Representations*, ICML 2020. <https://arxiv.org/abs/2002.05709>
# - [9] A. van den Oord et al., *Representation Learning with Contrastive Predictive Coding*, arXiv 2018. <https://arxiv.org/abs/1807.03748>
# - [10] A. Radford et al., *Learning Transferable Visual Models From Natural Language Supervision*, ICML 2021. <https://arxiv.org/abs/2103.00020>
# - [11] K. Clark et al., *ELECTRA: Pre-training Text Encoders as Discriminators Rather Than Generators*, ICLR 2020. <https://arxiv.org/abs/2003.10555>
# - [12] J. Salazar et al., *Masked Language Model Scoring*, ACL 2020. <https://arxiv.org/abs/1910.14659>
# - [13] A. Baevski et al., *wav2vec 2.0: A Framework for Self-Supervised Learning of Speech Representations*, NeurIPS 2020. <https://arxiv.org/abs/2006.11477>
# - [14] R. Balestriero et al., *A Cookbook of Self-Supervised Learning*, arXiv 2023. <https://arxiv.org/abs/2304.12210>

# %%
progress("03")
