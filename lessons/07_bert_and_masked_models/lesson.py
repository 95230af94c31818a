# %% [raw]
# place = ["masked tokens", "Transformer encoder", "recipes, articles"]
# builds = "BERT: the masking rule, the masked loss, an encoder and its training loop; MiniLM's weights in your own class; what RoBERTa changed, tested"
# terms = ["masked language modelling", "corruption", "encoder-only Transformer", "bidirectional", "segment embedding", "post-norm", "special token", "pseudo-log-likelihood", "area under the ROC curve", "rescoring", "dynamic masking", "next-sentence prediction", "ablation"]
# [reads]
# "fmcourse.objectives" = ["masked_token", "mask_tokens"]
# "fmcourse.models.attention" = ["PostNormBlock"]
# "fmcourse.models.transformer" = ["TokenTypeEmbedding", "MaskedHead"]

# %% [markdown]
# # 07 · BERT: masked models
# **You hide letters of a text, write the encoder that predicts them from both sides, train it, load a real model's weights into your class, and test what RoBERTa changed.**
#
# {minutes} minutes to read and do · about a minute to compute · you need lessons 05 and 06.

# %% [markdown]
# **Afterwards you can**
# - write BERT's masking rule and its loss, and say what each of its numbers is for;
# - write the encoder block and the training loop, and load published weights into your own class;
# - say what a masked model does better than a causal one, and what it does worse, at equal reading;
# - score a text with a masked model;
# - read an ablation, and say what it cannot show.

# %%
import re

import matplotlib.pyplot as plt
import torch
from fmcourse import pretrained
from fmcourse.course import check, claim, hint, predict, progress, quiz, reported, resolve, solution
from fmcourse.data import load, table
from fmcourse.plots import LiveCurve, bars, bind_styles, curves, draw_heatmap
from fmcourse.plots.widgets import interactive
from fmcourse.training import RandomCrops, lesson_steps
from torch import nn
from torch.nn import functional as F

# %% [markdown]
# ## 1 · The task: hide tokens and predict them
# A causal model predicts the next token from what stands to its left. In **masked language modelling** some tokens of a text are hidden, and the model predicts them from everything that is still visible, on both sides [1]. W. L. Taylor introduced the same game in 1953 to measure how readable a text is, and called it the cloze procedure [2].
#
# Our text is the Wikibooks Cookbook. We keep the letters a to z and the space, so that a small model can learn something in a minute: each letter is a token, and id 27 is `[MASK]`, written `_` below.


# %%
def letters(text):  # a space is 0, a to z are 1 to 26
    return torch.tensor([0 if c == " " else ord(c) - 96 for c in re.sub("[^a-z]+", " ", text.lower())])


def spell(ids):
    return "".join(" abcdefghijklmnopqrstuvwxyz_"[i] for i in ids)


MASK, book, shipped = 27, load("recipes"), table("lesson_07")
training, tuning, unseen = (letters(text) for text in (book.train, book.test, book.validation))
print(f"{len(training):,} letters for training; held out: {len(tuning):,} to choose by, {len(unseen):,} to compare on")
print(spell(unseen[200:290]))

# %% [markdown]
# ### The masking rule
# BERT selects 15 % of the tokens at random. It then corrupts the text: of the selected tokens 80 % become `[MASK]`, 10 % become a random token and 10 % stay as they are. This **corruption** is the whole of the data preparation: the model reads the corrupted text, and the original tokens at the selected positions are its labels. Nobody has to annotate anything.


# %%
def mask_tokens(ids, rate, generator):
    """The corrupted text, and which positions are selected: both (B, T)."""
    draw, fate = torch.rand(2, *ids.shape, generator=generator)
    other = torch.randint(27, ids.shape, generator=generator)  # a random letter
    selected = draw < rate
    inputs = ids.masked_fill(selected & (fate < 0.8), MASK)
    return torch.where(selected & (fate >= 0.9), other, inputs), selected


line = letters("preheat the oven and grease a small tin with the butter")[None]
corrupted, selected = mask_tokens(line, 0.3, torch.Generator().manual_seed(8))
print(spell(line[0]), spell(corrupted[0]), "".join("^" if one else " " for one in selected[0]), sep="\n")

# %% [markdown]
# Each `^` marks a selected position. Some selected letters are visible, either unchanged or replaced, and the model is not told which ones. We check the shares on many letters. (Of the random replacements one in 27 happens to be the original letter.)

# %%
many = training[:200_000].view(-1, 100)
inputs, picked = mask_tokens(many, 0.15, torch.Generator().manual_seed(0))
shares = {"selected": picked, "masked": (inputs == MASK)[picked], "kept": (inputs == many)[picked]}
shares = {name: found.float().mean().item() for name, found in shares.items()}
wanted = {"selected": 0.15, "masked": 0.8, "kept": 0.1 + 0.1 / 27}
claim("15 % of the letters are selected; of these 80 % are masked and 10 % + 10 %/27 are unchanged, within one point",
      all(abs(shares[name] - wanted[name]) < 0.01 for name in shares), **shares)  # fmt: skip

# %% [markdown]
# ### The masked loss
# With $S$ the set of selected positions and $\tilde x$ the corrupted text, the loss is the cross-entropy at the selected positions alone:
# $$\mathcal L = -\frac{1}{|S|}\sum_{t\in S}\log p_\theta(x_t\mid \tilde x).$$
# All other positions show their token in the input, so predicting them would only teach copying. A text of 64 letters at a rate of 15 % therefore gives about 10 training signals, where a causal model gets 63.

# %% exercise="07.1"

# %%
flat, picked = torch.zeros(2, 50, 28), torch.rand(2, 50, generator=torch.Generator().manual_seed(0)) < 0.15
some = training[:100].view(2, 50)
nats = masked_loss(flat, some, picked)
claim("a model that gives all 28 tokens the same logit pays log 28 = 3.332 nats by the loss of exercise 07.1",
      abs(nats - 3.3322) < 1e-3, nats=nats)  # fmt: skip

# %% [markdown]
# ## 2 · The model: an encoder in thirty-five lines
# BERT is an **encoder-only Transformer**: a stack of self-attention blocks without a causal mask, which turns each token into a vector that describes it in its context. It is called **bidirectional** because every position reads the positions on both sides of it. GPT is made of the same parts; what it has in addition is the causal mask.
#
# A second difference is the place of the layer normalization. BERT's block follows the 2017 Transformer and is **post-norm**: each layer normalization stands after the residual addition. GPT-2 and its successors normalize before attention and before the MLP. As a formula, BERT's block is
# $$h = \mathrm{LN}(x + \mathrm{Attention}(x)), \qquad y = \mathrm{LN}(h + \mathrm{MLP}(h)).$$


# %%
class EncoderBlock(nn.Module):
    """Self-attention, then an MLP; after each a residual connection and a layer normalization."""

    def __init__(self, width, heads, rotary):
        super().__init__()
        self.heads, self.rotary = heads, rotary
        self.qkv_proj, self.out_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.norm_1, self.norm_2 = nn.LayerNorm(width, eps=1e-12), nn.LayerNorm(width, eps=1e-12)

    def attend(self, x, mask):
        q, k, v = self.qkv_proj(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # (B, H, T, K) each
        if self.rotary:
            q, k = rotate(q), rotate(k)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)  # no mask: every position reads every other
        return self.out_proj(y.transpose(1, 2).flatten(2))

    def forward(self, x, mask=None):
        x = self.norm_1(x + self.attend(x, mask))
        return self.norm_2(x + self.mlp(x))


# %% [markdown]
# The input of BERT is a sum of three learned embeddings: of the token, of its position, and a **segment embedding**, which says to which of two texts a token belongs. The head that predicts tokens is a linear layer, a nonlinearity, a normalization and a second linear layer onto the vocabulary [1].
#
# We add one thing that BERT did not have: rotary position embeddings (lesson 06), as ModernBERT does [3]. Section 3 shows how much they help our small model in so few steps; the function `rotate` follows below. `rotary=False` gives the model of 2018.


# %%
class BERT(nn.Module):
    """A masked language model: token ids (B, T) -> logits (B, T, V)."""

    def __init__(self, vocab_size, context, width, depth, heads, rotary=False):
        super().__init__()
        self.tokens, self.positions, self.segments = (nn.Embedding(n, width) for n in (vocab_size, context, 2))
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.blocks = nn.ModuleList(EncoderBlock(width, heads, rotary) for _ in range(depth))
        self.head = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width), nn.Linear(width, vocab_size))
        for embedding in (self.tokens, self.positions, self.segments):
            nn.init.normal_(embedding.weight, std=0.02)

    def states(self, ids, segments=None, mask=None):  # (B, T, D)
        segments = torch.zeros_like(ids) if segments is None else segments
        x = self.norm(self.tokens(ids) + self.positions.weight[: ids.shape[1]] + self.segments(segments))
        for block in self.blocks:
            x = block(x, mask)
        return x

    def forward(self, ids, segments=None, mask=None):
        return self.head(self.states(ids, segments, mask))


# %%
predict("07.both", "An encoder reads 20 letters. You change the last one. Where does its output change?",
        ["at the last position only", "at the last and its neighbour", "at all 20 positions"])  # fmt: skip


# %%
def rotate(x):
    """Turn pairs of features of queries or keys (B, H, T, K) by an angle that grows with the position."""
    T, K = x.shape[-2:]
    angles = torch.arange(T)[:, None] * 1000 ** (-torch.arange(0, K, 2) / K)
    a, b = x.chunk(2, -1)
    return torch.cat([a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()], -1)


# %%
torch.manual_seed(0)
model = BERT(28, context=64, width=64, depth=3, heads=2, rotary=True)
causal_mask = torch.ones(20, 20).tril().bool()
with torch.inference_mode():
    before, after = training[None, :20].clone(), training[None, :20].clone()
    after[0, -1] = (after[0, -1] + 1) % 27
    changes = [(model(before, mask=mask) - model(after, mask=mask)).abs().amax(-1)[0] for mask in (None, causal_mask)]
both, causal = (int((change > 1e-5).sum()) for change in changes)
claim("without a mask the outputs at all 20 positions change; with a causal mask only the last one does",
      both == 20 and causal == 1, without_mask=both, causal_mask=causal)  # fmt: skip
resolve("07.both", "at all 20 positions", "Without a causal mask every position attends to the changed letter. With "
        "the mask, the same class with the same weights is a causal model: the mask is the whole difference.")  # fmt: skip

# %% [markdown]
# This is also why a masked model has to hide tokens in its input: if it saw them, it could copy them. And it is why BERT does not write text from left to right as GPT does: it was trained to use the tokens on the right, and while a text is being written there are none yet.
#
# ### Two texts in one input
# Many tasks compare two texts: a question and a passage, a sentence and a claim. BERT reads them as one sequence with **special tokens**, ids that stand for no piece of text: `[CLS]` opens the input, and `[SEP]` ends each text. The segment embedding tells the two apart.

# %% exercise="07.2"

# %% [markdown]
# ### Real weights in your class
# all-MiniLM-L6-v2 is a BERT of 6 blocks and width 384. These are every second block of a MiniLM with 12, which was distilled [4], that is, trained to imitate the attention of a larger encoder: a UniLM v2 of BERT base's size. We build your class at that size, rename the published tensors to its names, and load them. If the encoder's arithmetic differed from BERT's, the states would not agree with the package's.

# %%
minilm, wordpiece = pretrained.load("minilm-l6")
names = [
    ("embed.token_types", "segments"),
    ("embed.", ""),
    ("stack.", ""),
    ("attention.", ""),
    ("up.", "0."),
    ("down.", "2."),
]


def rename(name):
    for theirs, ours in names:
        name = name.replace(theirs, ours)
    return name


# %%
mini = BERT(30522, context=512, width=384, depth=6, heads=12)
loaded = mini.load_state_dict({rename(name): weight for name, weight in minilm.state_dict().items()}, strict=False)
print(f"not in the file: {sorted({name.split('.')[0] for name in loaded.missing_keys})}; "
      f"not in the class: {loaded.unexpected_keys}; {sum(w.numel() for w in minilm.parameters()):,} parameters")  # fmt: skip

# %%
encode = lambda text: wordpiece.encode(text, add_special_tokens=False)
CLS, SEP = (wordpiece.special_tokens[name] for name in ("[CLS]", "[SEP]"))
ids, segments = pack_pair(encode("Who grinds the flour?"), encode("The miller grinds it between two stones."), CLS, SEP)
print(*(f"{wordpiece.tokens[i]}/{s}" for i, s in zip(ids, segments, strict=True)))
ids, segments = torch.tensor([ids]), torch.tensor([segments])
with torch.inference_mode():
    gap = (mini.states(ids, segments) - minilm.states(ids, None, segments)).abs().max()
claim("with MiniLM's weights the class above gives the package's states for a pair of texts", gap < 1e-4, gap=gap)

# %% [markdown]
# The head is missing from the file because this encoder was trained further for sentence embeddings, which need no prediction of tokens. Lesson 07b uses it for that. From here on your class is trained from random weights.
#
# ## 3 · Training: the loop
# One step corrupts a batch, predicts the selected letters, and updates the weights. The corruption is drawn anew each time. BERT selects 15 %; we take 30 %, and section 6 shows why. AdamW's learning rate rises for 5 % of the steps to its peak of 3e-3 and then falls linearly to zero; gradients are clipped at norm 1.

# %%
steps, batch_size = lesson_steps(shipped["steps"]), 8
crops = RandomCrops(training, length=64, batch=batch_size, seed=0)
held_out = RandomCrops(tuning, length=64, batch=200, seed=0)[0]
held_in, held_at = mask_tokens(held_out, 0.3, torch.Generator().manual_seed(0))
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.98), weight_decay=0.01)
schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min((step + 1) / (0.05 * steps), 1 - step / steps))


@torch.inference_mode()
def validate():
    return {"validation": masked_loss(model(held_in), held_out, held_at).item()}


print(f"{steps} steps; validation loss before the first: ≈ {validate()['validation']:.2f} nats")

# %%
generator, progress_curve = torch.Generator().manual_seed(0), LiveCurve(
    alt="Loss against step. It falls from 3.4 to about 1.5 nats, fast at first and then more slowly; the validation "
    "loss lies on the training loss.", ylabel="cross-entropy (nats per selected letter)")  # fmt: skip
with progress_curve as curve:
    for step in range(steps):
        ids = crops[step]
        inputs, selected = mask_tokens(ids, 0.3, generator)
        loss = masked_loss(model(inputs), ids, selected)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        curve(step, loss.item(), **(validate() if step % 200 == 199 else {}))

# %% [markdown]
# In the first steps the model learns how frequent each letter is; then it discovers what neighbouring letters tell, and the loss goes on falling. Training and validation loss agree, since the model reads each crop about once: there is no overfitting to see here.
#
# Two comparisons show how much it has learned: the loss of a model that knows nothing but the letters' frequencies, and the same run with `rotary=False`, with learned positions alone as in BERT.

# %%
frequency = training.bincount(minlength=27) / len(training)
by_frequency = -frequency[held_out[held_at]].log().mean().item()
own = [run["validation"] for run in shipped["own"]]
learned = [run["validation"] for run in shipped["own, learned positions"]]
validation = validate()["validation"]
if steps == shipped["steps"]:
    claim("the model trained here ends at least one nat below what the letters' frequencies alone cost",
          validation < by_frequency - 1, band=(min(own), max(own)), validation=validation, by_frequency=by_frequency)  # fmt: skip
reported("with learned positions alone the same run ends more than one nat above the worst of three seeds with rotary "
         "ones", learned[0] > max(own) + 1, table=shipped, learned_positions=learned, rotary=own)  # fmt: skip

# %% [markdown]
# A likely reason: with learned positions alone the model must first find out which of its 64 position vectors are neighbours. BERT had a million steps for that; we have 1,400. This is one run, at the learning rate of the rotary model; another rate might do better. As it stands, it learned little more than the letters' frequencies.

# %% [markdown]
# ## 4 · Masked or causal?
# For this comparison the recipe trained two models that differ in the mask and the loss alone: the package's Transformer of this size, with the same 1,400 steps, the same crops and the same optimizer, three seeds of each. (It is pre-norm and trained with Muon, so its numbers are a little different from those of the model above.) Each has to predict the middle letter of 3,000 unseen windows of 64 letters, in one pass. The masked model sees the 63 other letters, the causal one the 32 on the left.

# %%
predict("07.fill", "The middle letter of an unseen text is hidden. Which model predicts it more often, in one pass?",
        ["the masked model", "the causal model", "both alike"])  # fmt: skip
predict("07.tries", "Now the causal model puts in each of the 27 letters and keeps the likeliest text. It is then",
        ["still behind the masked model", "about as good", "far ahead of it"])  # fmt: skip

# %%
masked, causal = ([run["accuracy"] for run in shipped[kind]] for kind in ("masked", "causal"))
tried = [run["accuracy in 27 passes"] for run in shipped["causal"]]
reported("in one pass the masked model fills more blanks than its causal counterpart, with each of three seeds",
         min(masked) > max(causal), table=shipped, masked=masked, causal=causal)  # fmt: skip
resolve("07.fill", "the masked model", "It reads the context on both sides. The lead is small; one likely reason is "
        "that the causal model had more to learn from.")  # fmt: skip

# %% [markdown]
# That the causal model had more to learn from is a likely reason; we have not tested it. In 1,400 steps the causal model was scored on every letter, 717,000 of them, the masked one on 30 %, about 215,000. The text that they read is equal; the number of labels is not. This comes with the two objectives, so every such comparison should say which of the two was held equal.
#
# Now the second prediction, with 27 passes. They are measured on 400 of the windows, since they cost more.

# %%
reported("with 27 passes, one for each letter put in, the causal model is far ahead of the masked model's one pass",
         min(tried) > max(masked) + 0.1, table=shipped, in_27_passes=tried)  # fmt: skip
resolve("07.tries", "far ahead of it", "Scoring the whole text takes in the letters on the right: a wrong letter "
        "makes them unlikely. It costs 27 passes where the masked model needs one.")  # fmt: skip

# %% [markdown]
# Choosing among candidates by the likelihood of the whole text is called **rescoring**. A rival without any neural network is the n-gram model of lesson 06, which counts. We give it the same amount of reading, 716,800 letters, choose its order on text that is not used for the comparison, and test it on 1,500 of the windows.

# %%
from fmcourse.models.ngram import NGram


def rescore(counts, texts):  # accuracy with every letter tried, and from the left alone; 8 letters before, 7 after
    tries = torch.stack([texts.index_fill(1, torch.tensor([8]), letter) for letter in range(27)], 1)
    nats = counts.nats(tries.flatten()).view(*tries.shape)[..., 8:]
    guesses = nats.sum(-1).argmin(1), nats[..., 0].argmin(1)
    return [(guess == texts[:, 8]).float().mean().item() for guess in guesses]


reading = training[: 64 * batch_size * shipped["steps"]]
choosing = RandomCrops(tuning, length=16, batch=500, seed=1)[0]
scores = {order: rescore(NGram(reading, vocab_size=27, order=order), choosing)[0] for order in (4, 5, 6, 7, 8)}
order = max(scores, key=scores.get)
print(f"{len(reading):,} letters; accuracy by order: "
      f"≈ {', '.join(f'{n}: {score:.3f}' for n, score in scores.items())}")  # fmt: skip

# %%
windows = RandomCrops(unseen, length=64, batch=3000, seed=1)[0]
blanked = windows.index_fill(1, torch.tensor([32]), MASK)
with torch.inference_mode():
    filled = (model(blanked)[:, 32, :27].argmax(-1) == windows[:, 32]).float().mean().item()
both, left = rescore(NGram(reading, vocab_size=27, order=order), windows[:1500, 24:40])
if steps == shipped["steps"]:
    seeds = [run["accuracy"] for run in shipped["own"]]
    claim("the model trained here fills more than half of the blanks in one pass; always saying the space, a fifth",
          filled > 0.5 and (windows[:, 32] == 0).float().mean() < 0.22, band=(min(seeds), max(seeds)), filled=filled)  # fmt: skip
claim("after equal reading the n-gram model predicts more, from the left alone and still more by rescoring",
      both > left > filled, rescoring=both, from_the_left=left, masked=filled)  # fmt: skip

# %%
names = {"masked, trained here": filled, "masked, package": masked, "causal, package": causal,
         "n-gram, from the left": left, "causal, 27 passes": tried, "n-gram, 27 passes": both}  # fmt: skip
bars(names, xlabel="accuracy on the hidden letter",
     alt="Bars. In one pass the masked model of the package is ahead of the causal one, and the n-gram model is ahead "
     "of both. With 27 passes the causal and the n-gram model predict more than nine letters in ten.")  # fmt: skip

# %% [markdown]
# So on this task counting wins after equal reading. A likely reason is that in a cookbook the same words return on every page, and small networks trained for a minute have not yet learned them all. (A masked model can rescore as well, by the score of section 5, at 27 × 64 passes for each blank; we have not measured that.) The gain from masking is a different one: in *one* pass every position gets a state that has read both sides, and the tasks of lesson 07b are built on such states. Type your own blanks:


# %%
def fill(text="mix the fl_ur with the su_ar and two e_gs"):  # at most 64 letters
    kept = [c for c in text.lower() if c in "_ " or "a" <= c <= "z"][:64] or ["_"]
    ids = torch.tensor([[MASK if c == "_" else 0 if c == " " else ord(c) - 96 for c in kept]])
    at = (ids[0] == MASK).nonzero().flatten().tolist() or [0]
    with torch.inference_mode():
        p = model(ids)[0, at, :27].softmax(-1)
    fig, ax = plt.subplots(figsize=(7, 0.8 + 0.5 * len(at)))
    draw_heatmap(ax, p, [f"blank {n + 1}" for n in range(len(at))], list("␣abcdefghijklmnopqrstuvwxyz"))
    return fig


interactive(fill, text="mix the fl_ur with the su_ar and two e_gs",
            alt="For each blank a row of 27 letters, the likely ones bright.")  # fmt: skip

# %% [markdown]
# ## 5 · Scoring a text
# A masked model defines no probability of a whole text. But each token can be masked in turn and predicted from all the others. The sum of these log-probabilities is the **pseudo-log-likelihood** of the text [5]:
# $$\mathrm{PLL}(x) = \sum_t \log p_\theta(x_t \mid x_{\setminus t}).$$
# It needs one pass for each token. The exercise prepares these inputs.

# %% exercise="07.3"


# %%
@torch.inference_mode()
def surprise(ids, masking=True):
    """Nats of each letter of a text (T,): each masked in turn, or all read as they stand in one pass."""
    copies = mask_each(ids, MASK) if masking else ids.repeat(len(ids), 1)[:1]
    log_p = model(copies)[..., :27].log_softmax(-1)
    rows = torch.arange(len(ids)) if masking else torch.zeros_like(ids)
    return -log_p[rows, torch.arange(len(ids)), ids]


for text in ("stir in the sugar and the butter", "stir in the sugar and the bxtter"):
    nats = surprise(letters(text))
    print(f"≈ {text}: {nats.sum():.1f} nats, most surprising: {text[int(nats.argmax())]!r} at {int(nats.argmax())}")

# %% [markdown]
# In the second text the wrong letter is the most surprising one. How reliable is that? In 100 unseen texts we replace one letter of 64 by another, and look whether the letter with the largest surprise is the replaced one. Chance finds 1 in 64. We also try the cheap way, a single pass without any mask.

# %%
draws = torch.Generator().manual_seed(0)
texts = windows[:100].clone()
at = torch.randint(64, (100,), generator=draws)
texts[torch.arange(100), at] = (texts[torch.arange(100), at] + torch.randint(1, 27, (100,), generator=draws)) % 27
found = {way: sum(int(surprise(text, way == "masked").argmax() == n) for text, n in zip(texts, at, strict=True)) / 100
         for way in ("masked", "one pass")}  # fmt: skip
claim("masking each letter in turn finds the replaced letter in more than a quarter of the texts; chance finds 0.016",
      found["masked"] > 0.25 or steps < shipped["steps"], masked_in_turn=found["masked"], one_pass=found["one pass"])  # fmt: skip

# %% [markdown]
# ### What the 10 % + 10 % are for
# The single pass without masks finds the letter about half the time. It can do so because the 10 % + 10 % trained the model to judge letters that it sees; with `[MASK]` alone it would never be asked about them. The tasks for which BERT is used later contain no `[MASK]`. To test this, the recipe trained a small model both ways (the one of section 7, for 15 epochs with 30 % selected) and measured two things: the loss on masked letters, and how well one pass without masks tells replaced letters from original ones. The latter is given as **area under the ROC curve** (AUC): the probability that a replaced letter gets a larger loss than an original one, so chance is 0.5.

# %%
rule = shipped["rule"]
auc, nats = ({way: [run[key] for run in runs] for way, runs in rule.items()} for key in ("error detection AUC", "nats"))
bars(auc, xlabel="replaced letters detected (AUC)", baseline={"chance": 0.5},
     alt="Two bars with three seeds. With the 80/10/10 rule the AUC is 0.86, with masks alone 0.72; chance is 0.5.")  # fmt: skip
reported("with 80/10/10 it detects replaced letters better with three seeds, and fills masks no better on average",
         min(auc["80-10-10"]) > max(auc["masks alone"])
         and sum(nats["masks alone"]) <= sum(nats["80-10-10"]), table=shipped,
         nats_80_10_10=nats["80-10-10"], nats_masks_alone=nats["masks alone"])  # fmt: skip

# %%
wrong = torch.rand(300, 64, generator=torch.Generator().manual_seed(1)) < 0.05
seen = torch.where(wrong, (windows[:300] + 1 + torch.randint(26, (300, 64), generator=draws)) % 27, windows[:300])


def detection_auc(network):
    with torch.inference_mode():
        cost = F.cross_entropy(network(seen)[..., :27].mT, seen, reduction="none")
    return (cost[wrong][:, None] > cost[~wrong][None]).float().mean().item()


# %%
torch.manual_seed(1)
untrained = BERT(28, context=64, width=64, depth=3, heads=2, rotary=True)
trained_auc, untrained_auc = detection_auc(model), detection_auc(untrained)
claim("the model trained here, with the rule, detects replaced letters; the same network untrained does not",
      trained_auc > 0.75 and abs(untrained_auc - 0.5) < 0.1 or steps < shipped["steps"],
      trained=trained_auc, untrained=untrained_auc)  # fmt: skip

# %% [markdown]
# In BERT's own test on named entities, masks alone lower the F1 from 95.4 to 94.9, and from 94.9 to 94.0 where the encoder is not trained further [1, table 8].
#
# ELECTRA later made this detection the objective itself: a small masked model proposes replacements, and the encoder says for *every* token whether it was replaced, so that every token gives a training signal [6].
#
# ## 6 · How many to hide
# If few tokens are selected, each text gives few labels; if many are, little is left to read. BERT's 15 % was taken over for years. Then Wettig and others found that a large BERT learns more from 40 % [7], and ModernBERT selects 30 % [3]. In our small setting 30 % beats 15 %.

# %%
ways = shipped["ways"]
nats = {way: [run["nats"] for run in runs] for way, runs in ways.items()}
reported("after equal steps, 30 % selected gives a lower loss than 15 % in each of five seeds; both are tested at 15 %",
         all(b < a for a, b in zip(nats["dynamic"], nats["30 percent"], strict=True)), table=shipped,
         nats_15=nats["dynamic"], nats_30=nats["30 percent"])  # fmt: skip

# %% [markdown]
# ## 7 · What RoBERTa changed
# In 2019 Liu and others trained BERT again and changed one thing at a time [8]. Such a comparison, in which single parts of a method are taken away or exchanged one by one, is an **ablation**. They changed four things:
# - BERT had drawn the masks of each text once, before training. **Dynamic masking** draws new masks each time a text is read.
# - They removed **next-sentence prediction**, BERT's second loss: a classifier on `[CLS]` that says whether the second text really follows the first one in the book or was drawn from somewhere else.
# - They used larger batches, with the learning rate tuned for them.
# - They trained longer, on more text.

# %% [markdown]
# ### Masks: new ones, or drawn once
# Our ablation is tiny: 2 blocks, 800 texts of 64 letters, read for five epochs (256 steps of 16 texts), 15 % selected, five seeds. All are tested on the same unseen text with the same masks.

# %%
predict("07.roberta", "Five epochs over 800 texts. Which masks give the lower loss on unseen text?",
        ["new masks in every epoch", "masks drawn once", "neither: the seeds' ranges hide any difference"])  # fmt: skip

# %%
labels = {"dynamic": "new masks (baseline)", "static": "masks drawn once", "pairs": "with next-sentence prediction"}
bars({label: nats[way] for way, label in labels.items()}, xlabel="loss on unseen text (nats per masked letter)",
     alt="Bars with five seeds each. Masks drawn once lie a little below new masks; next-sentence prediction overlaps "
     "with the baseline.")  # fmt: skip
worse = {way: [b - a for a, b in zip(nats["dynamic"], nats[way], strict=True)] for way in labels}

# %%
reported("masks drawn once give a lower loss than new masks with each of five seeds", max(worse["static"]) < 0,
         table=shipped, difference=worse["static"])  # fmt: skip
resolve("07.roberta", "masks drawn once", "Seed by seed they are 0.05 to 0.17 nats ahead after five epochs. The "
        "text below gives a likely reason, and the next run shows when it ends.")  # fmt: skip

# %% [markdown]
# Runs of one seed share their start and their texts, so we compare in pairs: all five differences have one sign. This is the opposite of RoBERTa's small gain. The number of selected letters is the same; what differs is repetition. With masks drawn once, the same question with the same answer returns in every epoch. A likely reason for the lead is that a small model in a short training learns faster from few examples that are repeated than from ever new ones: Charton and Kempe describe this for Transformers on three problems of mathematics [9].
#
# But repeated questions can also be learned by heart. So the recipe trained three times as long, 15 epochs, and measured the loss on unseen text on the way.

# %%
predict("07.longer", "After fifteen epochs over the same 800 texts, which masks are ahead on unseen text?",
        ["masks drawn once, still", "new masks in every epoch", "neither: they are alike"])  # fmt: skip

# %%
longer = shipped["longer"]
at = [int(step) for step in longer["dynamic"][0]["curve"]]
lines = {label: [list(run["curve"].values()) for run in longer[way]]
         for label, way in (("new masks", "dynamic"), ("masks drawn once", "static"))}  # fmt: skip
curves(at, lines, xlabel="step", ylabel="loss on unseen text (nats)", styles=bind_styles(*lines),
       alt="Loss on unseen text against step, three seeds each. Both fall alike at first. With masks drawn once the "
       "curve turns near step 450 and rises to 2.3; with new masks it goes on falling to 1.7.")  # fmt: skip

# %%
final = {way: [run["nats"] for run in runs] for way, runs in longer.items()}
reported("after 15 epochs new masks give a loss more than 0.4 nats lower, with each of three seeds",
         all(a < b - 0.4 for a, b in zip(final["dynamic"], final["static"], strict=True)), table=shipped, **final)  # fmt: skip
reported("with masks drawn once the loss on unseen text has been lower on the way by more than 0.1, with each seed",
         all(min(curve) < curve[-1] - 0.1 for curve in lines["masks drawn once"]), table=shipped)  # fmt: skip
resolve("07.longer", "new masks in every epoch", "With masks drawn once the model overfits: it learns the few "
        "questions by heart. New masks are an augmentation, a new set of questions from the same text.")  # fmt: skip

# %% [markdown]
# So "masks drawn once win" holds for our runs of five epochs, and after fifteen the opposite does. The lead is not visible in the first five epochs of the long runs, up to step 256: there masks drawn once are ahead with one seed and behind with two. There the learning rate is still high, while in the short runs it had fallen to zero by then. An ablation thus says something about one length of training with its schedule.
#
# BERT itself had ten copies of its text with different masks, read for 40 epochs, so each mask was seen only four times [8, section 4.1]; which may be why RoBERTa's gain from dynamic masking was small.

# %% [markdown]
# ### The other three changes
# Batches of 128 instead of 16 make 32 steps of 256, with the same reading. Their learning rate is doubled, which is a guess; RoBERTa tuned it. Our next-sentence task is simpler than BERT's: two pieces of 31 letters, cut anywhere, one separator, no segment embedding, and a classifier on the mean of the states instead of `[CLS]`. The pair classifier has to be looked at by itself before its effect on the letters means anything.

# %%
large, pair_accuracy = ([run[key] for run in runs] for runs, key in
                        ((shipped["larger"], "nats"), (ways["pairs"], "pair accuracy")))  # fmt: skip
reported("with equal reading, batches of 128 with a doubled learning rate give a higher loss than batches of 16",
         min(large) > max(nats["dynamic"]), table=shipped, batch_16=nats["dynamic"], batch_128=large)  # fmt: skip
reported("the next-sentence classifier stays at chance: its accuracy on unseen pairs is between 0.48 and 0.52",
         min(pair_accuracy) > 0.48 and max(pair_accuracy) < 0.52, table=shipped, accuracy=pair_accuracy)  # fmt: skip

# %%
reported("and the loss on letters is higher with it for some seeds and lower for others",
         min(worse["pairs"]) < 0 < max(worse["pairs"]), table=shipped, difference=worse["pairs"])  # fmt: skip
reported("training three times as long, with new masks, lowers the loss by more than 0.5 nats",
         max(final["dynamic"]) < min(nats["dynamic"]) - 0.5, table=shipped,
         short=nats["dynamic"], long=final["dynamic"])  # fmt: skip

# %% [markdown]
# What may we conclude? At this size and with so little reading, steps are worth more than large batches, and training longer is worth most. About next-sentence prediction we learn nothing: its classifier did not get beyond chance, so this run cannot tell whether learning it helps.
#
# RoBERTa's own numbers at BERT's base size [8, tables 1 to 3; each F1 is the median of five runs]: static or dynamic masks 78.3 and 78.7 (F1 on SQuAD 2.0), practically alike; with the next-sentence loss 78.7, without it 79.1 or 79.7, where the inputs are also packed differently; perplexity 3.99 with batches of 256, 3.68 with 2,000, 3.77 with 8,000. Their larger batches also meant fewer steps, but with 8,000 texts in a batch 31,000 steps were left. We had 32.

# %%
quiz("07.q1", "A text of 64 letters, 30 % selected. At how many positions is a masked model scored, and at how many a "
     "causal one?",
     {"64 and 64": "Only selected positions count in the masked loss: the others show their letter in the input.",
      "about 19 and 63": "So the causal model gets three times as many labels out of the same text. ELECTRA closes the "
      "gap by asking about every token.",
      "about 19 and 1": "A causal model predicts the next letter at every position at once."}, answer="about 19 and 63")  # fmt: skip
quiz("07.q2", "Why are 10 % of the selected tokens left unchanged and 10 % replaced?",
     {"To hide more tokens.": "They are visible. The number of selected tokens does not change.",
      "So that visible tokens are judged as well.": "The model cannot know whether a visible token is the original, "
      "so it must build a representation that compares it with its context.",
      "To save computation.": "The computation is the same."}, answer="So that visible tokens are judged as well.")  # fmt: skip
quiz("07.q3", "You have a trained BERT and want it to write a continuation. What is the difficulty?",
     {"Its vocabulary is too small.": "WordPiece can spell any word.",
      "It was trained to read both sides, and on the right there is nothing yet.": "Every input it saw had context on "
      "both sides. A causal model is trained for exactly the situation of writing.",
      "It has no decoder, so it has no output layer.": "Its head gives logits over the vocabulary at every position."},
     answer="It was trained to read both sides, and on the right there is nothing yet.")  # fmt: skip

# %% [markdown]
# ## What the real systems do
# | | this lesson | MiniLM-L6 [4] | BERT base [1] | RoBERTa large [8] |
# |---|---|---|---|---|
# | blocks × width | 3 × 64 | 6 × 384 | 12 × 768 | 24 × 1,024 |
# | parameters | 0.16 M | 22.6 M | 110 M | 355 M |
# | selected | 30 %, anew | (distilled) | 15 %, drawn before | 15 %, anew |
# | texts in a batch | 8 of 64 letters | | 256 of 128, later 512 tokens | 8,000 of 512 tokens |
# | steps | 1,400 | | 1 million | 500,000 |
#
# BERT read 3.3 billion words for 40 epochs; RoBERTa read 160 GB of text. Encoders of this kind rank search results, moderate comments and embed documents to this day; ModernBERT renewed them in 2024 with rotary embeddings, longer inputs and no next-sentence loss [3].

# %% [markdown]
# ## Summary
# - Masked language modelling corrupts a text and predicts the selected tokens from both sides; the text is its own label.
# - The encoder is made of GPT's parts, without the causal mask. Your class gave the same states as the package with MiniLM's weights.
# - It learns from the selected tokens alone. It fills a blank in one pass; rescoring with a causal model, or with counts, fills more.
# - In our ablation longer training mattered most. Masks drawn once were ahead after five epochs and overfitted in fifteen. Next-sentence prediction was not learned, so nothing follows about it.
#
# **Where next:** lesson 07b puts one encoder to work on its downstream tasks. Read the RoBERTa paper [8]; in the `transformers` library the class is [BertForMaskedLM](https://huggingface.co/docs/transformers/model_doc/bert).

# %% [markdown]
# ## References
# - [1] J. Devlin, M.-W. Chang, K. Lee, K. Toutanova, *BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding*, NAACL 2019. <https://arxiv.org/abs/1810.04805>
# - [2] W. L. Taylor, *"Cloze Procedure": A New Tool for Measuring Readability*, Journalism Quarterly 1953. <https://doi.org/10.1177/107769905303000401>
# - [3] B. Warner et al., *Smarter, Better, Faster, Longer: A Modern Bidirectional Encoder for Fast, Memory Efficient, and Long Context Finetuning and Inference*, 2024. <https://arxiv.org/abs/2412.13663>
# - [4] W. Wang et al., *MiniLM: Deep Self-Attention Distillation for Task-Agnostic Compression of Pre-Trained Transformers*, NeurIPS 2020. <https://arxiv.org/abs/2002.10957>
# - [5] J. Salazar, D. Liang, T. Q. Nguyen, K. Kirchhoff, *Masked Language Model Scoring*, ACL 2020. <https://arxiv.org/abs/1910.14659>
# - [6] K. Clark, M.-T. Luong, Q. V. Le, C. D. Manning, *ELECTRA: Pre-training Text Encoders as Discriminators Rather Than Generators*, ICLR 2020. <https://arxiv.org/abs/2003.10555>
# - [7] A. Wettig, T. Gao, Z. Zhong, D. Chen, *Should You Mask 15% in Masked Language Modeling?*, EACL 2023. <https://arxiv.org/abs/2202.08005>
# - [8] Y. Liu et al., *RoBERTa: A Robustly Optimized BERT Pretraining Approach*, 2019. <https://arxiv.org/abs/1907.11692>
# - [9] F. Charton, J. Kempe, *Emergent properties with repeated examples*, 2024. <https://arxiv.org/abs/2410.07041>

# %%
progress("07")
