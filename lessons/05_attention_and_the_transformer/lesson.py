# %% [raw]
# place = ["sequence to sequence", "Transformer, encoder and decoder", "words and their pronunciation"]
# builds = "attention in five steps, masks, heads, positional encoding; the encoder-decoder of 2017, which learns to pronounce English"
# terms = ["embedding", "attention weight", "softmax", "attention score", "query", "key", "value", "scaled dot-product attention", "self-attention", "causal mask", "padding mask", "multi-head attention", "positional encoding", "RoPE", "residual connection", "layer normalization", "KV cache", "feed-forward network", "encoder", "decoder", "encoder-decoder", "cross-attention", "logit", "weight tying", "teacher forcing", "autoregressive", "cross-entropy", "label smoothing", "learning-rate schedule", "warm-up", "greedy decoding", "hyperparameter", "validation set", "beam search", "attention sink"]
# [reads]
# "fmcourse.models.attention" = ["Attention", "PostNormBlock"]
# "fmcourse.models.seq2seq" = ["CrossAttention", "PostNormDecoderBlock", "sinusoidal_encoding", "SinusoidalEmbedding", "EncoderDecoder"]

# %% [markdown]
# # 05 · Attention and the Transformer
# **In this lesson you turn an average into attention, build the Transformer of 2017 around it, and train it to pronounce English words
# that it has never seen.**
#
# {minutes} minutes to read and do · about two minutes to compute · you need Python, a little PyTorch, and matrix products.
#
# **Afterwards you can**
# - derive attention from a plain average, and say why it divides by √K;
# - write masks, heads and positional encodings, and say what goes wrong without each;
# - build an encoder layer and a decoder layer, train the model made of them, and decode with greedy and beam search;
# - look at the attention weights of a real model without seeing more in them than is there.

# %%
import math
from functools import partial
from time import process_time
from timeit import repeat

import matplotlib.pyplot as plt
import torch
from fmcourse import pretrained
from fmcourse.course import check, claim, hint, predict, progress, quiz, reported, resolve, solution
from fmcourse.data import Pronunciation, load, table
from fmcourse.generation import translate
from fmcourse.models.attention import attention_maps
from fmcourse.models.seq2seq import EncoderDecoder, sinusoidal_encoding, vaswani2017
from fmcourse.plots import LiveCurve, bars, bind_styles, curves, draw_heatmap, grouped_bars, heatmaps
from fmcourse.plots.widgets import interactive
from torch import nn
from torch.nn import functional as F

words, shipped = load("pronunciation"), table("lesson_05")
print(
    f"{len(words.train):,} words to train on, {len(words.validation):,} for choices, {len(words.test):,} for the test"
)
print(*[f"{pair.word}: {' '.join(pair.sounds)}" for pair in words.test if pair.word in ("knight", "psalm")], sep="\n")

# %% [markdown]
# ## 1 · From an average to attention
# The data are English words and their sounds, from the CMU Pronouncing Dictionary. The *k* of *knight* is silent. A model can only know this if the *k* takes its right neighbour into account. So letters must exchange information.
#
# An **embedding** is the vector that stands for a letter, a word or another token inside a network, usually a learned one. Here we take 26 numbers with a single 1 (*one-hot*).
#
# **Step 1:** each position takes the average of all positions, left and right. **Step 2:** the same, as a product with a matrix A:
# $$y_t=\sum_s A_{ts}x_s,\qquad\sum_s A_{ts}=1.$$
# An **attention weight** is the share that one position's vector has in the new vector of another; the weights of each position add up to 1.

# %% [markdown]
# **Step 3:** a softmax makes the weights. The **softmax** turns any row of numbers into positive numbers that add up to 1, by dividing the
# exponential of each by the sum of all exponentials. An **attention score** is the number, one for each pair of positions, that goes into this softmax.
# Scores of 0 give the plain average.
#
# **Step 4:** let the score of two letters be the dot product of their vectors. Then the weights depend on *what stands there*.

# %%
word = "knight"
x = F.one_hot(torch.tensor([ord(letter) - 97 for letter in word]), 26).float()  # (T, D): 6 letters, 26 features
looped, even = torch.stack([x.mean(0) for _ in word]), torch.full((6, 6), 1 / 6)
claim("a mean, a matrix of equal weights and the softmax of zeros give the same average",
      torch.allclose(looped, even @ x, atol=1e-6) and torch.allclose(torch.zeros(6, 6).softmax(-1), even))  # fmt: skip
similar = (4 * x @ x.T).softmax(-1)  # times 4, so that the figure below shows clear differences
claim("with dot products as scores, every letter of 'knight' attends most to itself",
      similar.argmax(-1).tolist() == list(range(6)), weight_on_itself=similar[0, 0].item())  # fmt: skip

# %% [markdown]
# Among vectors of equal length, each has its largest dot product with itself. But a letter need not resemble the one it depends on. **Step 5:** each vector is multiplied by three matrices,
# $$q_t = x_t W_q,\qquad k_t = x_t W_k,\qquad v_t = x_t W_v.$$
#
# The **query** of a position is a vector that says what it is looking for in the others. The **key** of a position is a vector that says what it has to offer to their queries. The **value** of a position is the vector that it hands over to those that attend to it. The score is now the dot product of query and key. In a model the matrices are learned; here we write $W_q$ by hand: the query of *k* is the key of *n*.

# %%
W_q, W_k, W_v = torch.eye(26), torch.eye(26), torch.eye(26)
W_q[10], W_q[10, 13] = 0.0, 1.0  # letters 10 and 13 are k and n: a k looks for an n
q, k, v = x @ W_q, x @ W_k, x @ W_v
found = (4 * q @ k.T).softmax(-1)
heatmaps({"plain average": even, "scores x xᵀ": similar, "scores q kᵀ": found}, list(word), vmin=0, vmax=1,
         xlabel="position attended to", ylabel="position that attends", colorbar_label="attention weight",
         alt="Three grids of attention weights for the letters of knight. Left: all alike. Middle: a bright diagonal. "
         "Right: the same diagonal, but the row of k is bright at n.")  # fmt: skip
claim("with its own query the k attends most to the n on its right, and its new vector is mostly the n's value",
      word[int(found[0].argmax())] == "n" and (found @ v)[0, 13] > 0.5,
      weight_on_n=found[0, 1], weight_on_n_before=similar[0, 1])  # fmt: skip

# %% [markdown]
# Only the row of *k* has changed, because only its query has. **Scaled dot-product attention** is an average of the values whose weights are the softmax of
# the query-key dot products divided by √K [1, section 3.2]:
# $$\operatorname{attention}(q, k, v) = \operatorname{softmax}\!\left(\frac{q k^\top}{\sqrt K}\right) v,$$
# with K the width of a query and a key. In **self-attention** queries, keys and values are all made from the same sequence. Weights that are computed from the content
# are older: they helped a recurrent translator to find the source word it needed [2]. Section 2 explains the division. Now write the formula as a function.

# %% exercise="05.1"

# %%
generator = torch.Generator().manual_seed(0)
q, k, v = torch.randn(3, 2, 4, 9, 16, generator=generator)  # 2 texts, 4 heads, 9 positions, K = 16
gap = (attend(q, k, v) - F.scaled_dot_product_attention(q, k, v)).abs().max()
claim("the attention of exercise 05.1 equals torch's fused kernel", gap < 1e-5, largest_gap=gap)
claim("three queries may attend to nine keys: they need not come from the same sequence",
      attend(q[:, :, :3], k, v).shape == (2, 4, 3, 16))  # fmt: skip

# %% [markdown]
# ## 2 · Why divide by √K?
# Take 64 random keys and random queries: no key deserves more attention than another. We watch two things while K grows: the entropy of the attention weights (6 bits if all 64 are
# equal, 0 if one weight is 1), and the size of the gradient that reaches the scores.

# %%
predict("05.scale", "K = 1,024, the scores are not divided. The weights are about as spread out as if shared by",
        ["all 64 keys", "about 8 keys", "one or two keys"])  # fmt: skip


# %%
def noise(K, divisor, seed):
    g = torch.Generator().manual_seed(seed)
    scores = (torch.randn(200, K, generator=g) @ torch.randn(K, 64, generator=g) / divisor).requires_grad_()
    (scores.softmax(-1) * torch.randn(200, 64, generator=g)).sum().backward()
    entropy = torch.distributions.Categorical(logits=scores).entropy().mean() / math.log(2)
    return entropy.item(), scores.grad.norm(dim=-1).median().item()  # in bits; the gradient of a typical query


widths, divisors = [4, 16, 64, 256, 1024], {"not divided": lambda K: 1, "divided by √K": lambda K: K**0.5}
measured = {name: [[noise(K, d(K), seed) for K in widths] for seed in range(5)] for name, d in divisors.items()}

# %%
curves(widths, {name: [[entropy for entropy, _ in run] for run in runs] for name, runs in measured.items()},
       xlabel="width of a query, K", ylabel="entropy of the weights (bits)", xlog=True, ylim=(0, 6.3),
       alt="Entropy against K. Divided by the root of K it stays above 5 bits; not divided it sinks to almost 0.")  # fmt: skip
bits, sizes = ({name: [run[-1][n] for run in runs] for name, runs in measured.items()} for n in (0, 1))
claim("at K = 1,024, without the division, less than one bit is left (with it more than five), and the gradient of "
      "a typical query is less than a hundredth as large, in five seeds",
      max(bits["not divided"]) < 1 and min(bits["divided by √K"]) > 5 and
      max(sizes["not divided"]) < min(sizes["divided by √K"]) / 100, bits=bits, gradients=sizes)  # fmt: skip
resolve("05.scale", "one or two keys" if max(bits["not divided"]) < 1 else "about 8 keys",
        "Less than one bit of entropy means fewer than two keys in effect: the softmax has saturated.")  # fmt: skip

# %% [markdown]
# A score sums K products of variance 1, so its standard deviation is √K, 32 at K = 1,024. The largest of 64 such scores is far ahead: one weight is almost 1, the gradient almost 0, and learning stops. Divided by √K, scores keep a standard deviation of 1. **Change it:** divide by K.
#
# ## 3 · Masks: which positions may be attended to
# A model that writes must not read what it has yet to write. In training the whole text is there, so a mask hides the rest. The **causal mask** lets position t attend to positions 0 to t and to no later one. The **padding mask** hides the padding that fills up the shorter sequences of a batch. Where a mask forbids, the score becomes −∞:
# $$A=\operatorname{softmax}\!\left(qk^\top/\sqrt{K}+M\right),\quad M_{ts}\in\{0,-\infty\}.$$

# %% exercise="05.6"

# %%
causal = torch.ones(9, 9, dtype=torch.bool).tril()
new_k, new_v = (torch.cat([part[:, :, :5], -part[:, :, 5:]], 2) for part in (k, v))  # another future
change = (attend_masked(q, k, v, causal) - attend_masked(q, new_k, new_v, causal)).abs()
claim("behind a causal mask a changed future leaves positions 0 to 4 as they were; later ones change",
      change[:, :, :5].max() < 1e-6 and change[:, :, 5:].max() > 0.1,
      earlier=change[:, :, :5].max(), later=change[:, :, 5:].max())  # fmt: skip
unmasked = (attend(q, k, v) - attend(q, new_k, new_v))[:, :, :5].abs().max()
claim("without a mask positions 0 to 4 change too", unmasked > 0.1, earlier=unmasked)

# %% [markdown]
# The second claim is the control: the test notices a mask that does nothing. The *k* of *knight* needed a letter to its *right*, which it could not have found behind a causal mask. So a part that *reads* a given word uses no causal mask, and a part that *writes* uses one. The Transformer of 2017 has one of each.
#
# ## 4 · Heads
# One softmax makes one set of weights. But a *c* may need two things at once: the vowel that follows, and whether there is an *h*. **Multi-head attention** cuts queries, keys and values into H parts of width K = D / H, the heads, computes attention in each of them separately, puts the results side by side and mixes them with one more matrix:
# $$\operatorname{concat}(\text{head}_1,\dots,\text{head}_H)\,W_o.$$

# %% exercise="05.2"


# %%
class MultiHeadAttention(nn.Module):
    """Queries from x, keys and values from memory: the same sequence (self-attention) or another (cross-attention)."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj = nn.Linear(width, width), nn.Linear(width, width)
        self.v_proj, self.out_proj = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x, memory, mask):  # x (B, T, D), memory (B, S, D), mask broadcasts to (B, H, T, S)
        q, k, v = self.q_proj(x), self.k_proj(memory), self.v_proj(memory)
        q, k, v = (split_heads(part, self.heads) for part in (q, k, v))  # (B, H, T or S, K)
        y = attend_masked(q, k, v, mask)
        return self.out_proj(y.transpose(1, 2).flatten(2))  # the heads side by side again: (B, T, D)


# %% [markdown]
# That module is complete: three projections make queries, keys and values for all heads at once, and `out_proj` mixes what the heads found. `memory` is where keys and values come from; for self-attention one passes `x` twice.
#
# ## 5 · Where am I? Positional encoding
# Nothing in this module says where a position is. What happens if the input vectors are shuffled?

# %%
state = torch.randn(2, 9, 48, generator=generator)
order = torch.randperm(9, generator=generator)
layer_1, layer_2 = MultiHeadAttention(48, heads=4), MultiHeadAttention(48, heads=4)


@torch.inference_mode()
def two_layers(x, mask):
    x = layer_1(x, x, mask)
    return layer_2(x, x, mask)


gaps = {name: (two_layers(state[:, order], mask) - two_layers(state, mask)[:, order]).abs().max().item()
        for name, mask in (("no mask", torch.ones_like(causal)), ("causal mask", causal))}  # fmt: skip
claim("without a mask a shuffled input gives the same vectors, shuffled; with a causal mask it does not",
      gaps["no mask"] < 1e-5 < 1e-3 < gaps["causal mask"], **gaps)  # fmt: skip

# %% [markdown]
# Every output is an average over all positions, and an average does not depend on their order. So to self-attention *without a mask* a text is a bag of tokens: the letters of *on* get the same vectors as those of *no*. With a causal mask this is not so: position t averages over t + 1 positions, so a causal model can learn something about order from the mask alone [3].
#
# A **positional encoding** is what a model is given to tell positions apart. In 2017 it is a vector for each position that is added to the embedding, so that the same letter differs from place to place. It is fixed: D/2 pairs of a sine and a cosine, from fast to slow [1, section 3.5].
# $$\mathrm{PE}_{t,2i}=\sin\frac{t}{10000^{2i/D}},\qquad \mathrm{PE}_{t,2i+1}=\cos\frac{t}{10000^{2i/D}}.$$

# %% exercise="05.3"

# %%
sinusoids = positions(128, 64)
claim("the sinusoids of exercise 05.3 equal the package's",
      torch.allclose(sinusoids, sinusoidal_encoding(128, 64), atol=1e-4))  # fmt: skip
curves(range(-20, 21), {f"from {at}": sinusoids[at - 20 : at + 21] @ sinusoids[at] for at in (20, 60, 100)},
       xlabel="distance between two positions", ylabel="dot product of encodings",
       alt="Dot product against distance for three positions. The curves lie on one another, highest at distance 0.")  # fmt: skip

# %% [markdown]
# The three curves coincide: the dot product of two encodings depends on their distance alone, so "three to the left" looks the same everywhere in a text. GPT-2 and BERT *learn* a vector for each position
# instead. **RoPE**, the rotary positional embedding, adds nothing but rotates queries and keys by an angle that grows with the position [4]; most language models use it today.
#
# What happens beyond the length that a model was trained on? Small causal language models were trained on texts of 32 letters of Shakespeare and scored on 128, with three seeds. The model called *none* has no encoding at all.

# %%
grouped_bars({kind: {"within 32 letters": [r["inside"] for r in runs], "letters 97 to 128": [r["beyond"] for r in runs]}
              for kind, runs in shipped["positional_encodings"].items()}, ylim=(0, 4.4),
             ylabel="cross-entropy (nats per letter)",
             alt="Two bars each for no encoding, learned, sinusoidal and RoPE. Beyond the trained length learned "
             "vectors lose most, RoPE least of the three encodings.")  # fmt: skip
loss = {kind: [run["beyond"] for run in runs] for kind, runs in shipped["positional_encodings"].items()}
reported("beyond the trained length RoPE does best of the four, learned vectors worst, with each of three seeds",
         all(r < min(n, s) and max(n, s) < x for n, x, s, r in zip(*loss.values(), strict=True)), table=shipped, **loss)  # fmt: skip
none = {key: [run[key] for run in shipped["positional_encodings"]["none"]] for key in ("in_order", "shuffled")}
reported("'none' uses the order: with all but the last of 32 letters shuffled it predicts the next one worse",
         max(none["in_order"]) < min(none["shuffled"]), table=shipped, **none)  # fmt: skip

# %% [markdown]
# The learned vectors of positions beyond 32 were never trained, so they are noise. RoPE loses least. *None* does use the order, thanks to its causal mask.
#
# ## 6 · Residual connections and normalization
#
# The **feed-forward network** (MLP) of a layer is two linear maps with a nonlinearity between them, applied to each position alone. A **residual connection** adds the input of a part of a network to its output, so that the part only computes a change [5]. **Layer normalization** brings the features of each position to mean 0
# and variance 1, then scales and shifts them [6]:
# $$\text{post-norm (2017): } \operatorname{norm}(x + f(x)),\qquad\text{pre-norm (GPT-2): } x + f(\operatorname{norm}(x)).$$
# What happens without the addition? We stack 16 untrained layers and watch the mean cosine between two positions. At 1, all point the same way.


# %%
def untrained_part(kind, D=64):
    mlp = nn.Sequential(nn.Linear(D, 4 * D), nn.ReLU(), nn.Linear(4 * D, D))
    part = MultiHeadAttention(D, heads=4) if kind == "attention" else mlp
    for weight in part.parameters():
        if weight.ndim > 1:
            nn.init.xavier_uniform_(weight)
    everything = torch.ones(1, 1, dtype=torch.bool)
    return (lambda x: part(x, x, everything)) if kind == "attention" else part


@torch.inference_mode()
def cosine_by_layer(kinds, residual, post_norm=False, seed=0):
    torch.manual_seed(seed)
    x, norm, found = torch.randn(4, 32, 64), nn.LayerNorm(64), []
    for _ in range(17):
        unit = F.normalize(x, dim=-1)
        found.append((((unit @ unit.mT).sum() / 4 - 32) / (32 * 31)).item())  # without each position with itself
        for part in map(untrained_part, kinds):
            x = residual * x + part(x if post_norm else norm(x))
            x = norm(x) if post_norm else x
    return found


# %%
both = ("attention", "MLP")
stacks = {"both, no residual": (both, 0), "MLP only, no residual": (("MLP",), 0),
          "both, post-norm (2017)": (both, 1, True), "both, pre-norm (GPT-2)": (both, 1)}  # fmt: skip
cosines = {name: [cosine_by_layer(*stack, seed=seed) for seed in range(3)] for name, stack in stacks.items()}
curves(range(17), cosines, xlabel="layers", ylabel="mean cosine between two positions", ylim=(-0.05, 1.05),
       alt="Mean cosine against layers. Attention and MLP without residual connections reach 1 after two layers; the "
       "MLP alone climbs more slowly; with residual connections the climb is slower than without.")  # fmt: skip
second = {name: [run[2] for run in runs] for name, runs in cosines.items()}
claim("without residual connections two layers make all positions nearly equal; with them the cosine is below 0.4",
      min(second["both, no residual"]) > 0.95 and
      max(second["both, post-norm (2017)"] + second["both, pre-norm (GPT-2)"]) < 0.4, **second)  # fmt: skip
eighth = {name: [run[8] for run in runs] for name, runs in cosines.items()}
claim("an MLP alone without residual connections drifts together too, more slowly: above 0.6 after eight layers",
      min(eighth["MLP only, no residual"]) > 0.6 and
      max(second["MLP only, no residual"]) < min(second["both, no residual"]), **eighth)  # fmt: skip

# %% [markdown]
# Averaging pulls positions together fast; pure attention without residual connections makes all positions converge to one vector [7]. But attention is not the only cause: the control, MLPs that never mix positions, makes them
# alike as well. Residual connections slow down both, as the theory of random networks predicts [8] (MLPs with them, not shown, stay near 0.1 after two layers). Post-norm comes close to 1 after eight untrained layers, pre-norm less close; deep post-norm models also need more care
# at the start of training [9].
#
# ## 7 · What a text twice as long costs
# Every position attends to every other, so there are T² scores, while an MLP treats each position on its own. We measure both, and one new query for a text whose keys and values were kept.


# %%
def milliseconds(run):  # of the processor, the best of seven
    return 1000 * min(repeat(run, timer=process_time, number=1, repeat=7))


lengths, mlp = [256, 512, 1024, 2048], nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 64))
runs = {"self-attention": lambda x: F.scaled_dot_product_attention(x, x, x), "MLP": mlp,
        "one new query": lambda x: F.scaled_dot_product_attention(x[:, :, -1:], x, x)}  # fmt: skip
with torch.inference_mode():
    costs = {name: [milliseconds(partial(run, torch.randn(1, 1, T, 64))) for T in lengths]
             for name, run in runs.items()}  # fmt: skip
curves(lengths, costs, xlabel="positions, T", ylabel="processor time (ms)", xlog=True, ylog=True,
       alt="Milliseconds against length, both axes logarithmic. Self-attention is steepest; one new query far below.")  # fmt: skip
logs = torch.tensor(lengths).log2()
power = {name: ((logs - logs.mean()) @ torch.tensor(ms).log2() / logs.var() / 3).item() for name, ms in costs.items()}
claim("the time grows with a power of T above 1.6 for self-attention and below 1.5 for the MLP",
      power["self-attention"] > 1.6 > 1.5 > power["MLP"], **power)  # fmt: skip
claim("at T = 2,048 one new query costs less than a hundredth of the whole",
      costs["one new query"][-1] < costs["self-attention"][-1] / 100,
      times=costs["self-attention"][-1] / costs["one new query"][-1])  # fmt: skip

# %% [markdown]
# Twice the text costs self-attention about four times as much. The **KV cache** keeps the keys and values of all earlier tokens, which never change behind a causal mask, so that a new token costs one query only.
#
# ## 8 · The Transformer of 2017, built
#
# An **encoder-decoder** turns one sequence into another, in two halves. The **encoder** reads the whole source, here the letters, and turns each token into a vector that takes all others into account. The **decoder** writes the target,
# here the sounds, token by token, attending to the target so far and to the encoder's output, the memory. In **cross-attention** the queries come from the decoder and the keys and values from the encoder's output, so that each sound can attend to
# the letters it is made of.


# %%
class EncoderLayer(nn.Module):
    """Self-attention in both directions, then the feed-forward network (MLP); after each: add, then normalize."""

    def __init__(self, width, heads):
        super().__init__()
        self.attention = MultiHeadAttention(width, heads)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, width))
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x, mask):
        x = self.norm_1(x + self.attention(x, x, mask))
        return self.norm_2(x + self.mlp(x))


print("encoder layer:", tuple(EncoderLayer(48, heads=4)(state, causal[-1:]).shape))


# %%
class DecoderLayer(nn.Module):
    """Causal self-attention, cross-attention to the encoder's output (the memory), then the MLP."""

    def __init__(self, width, heads):
        super().__init__()
        self.attention, self.cross_attention = MultiHeadAttention(width, heads), MultiHeadAttention(width, heads)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, width))
        self.norm_1, self.norm_2, self.norm_3 = nn.LayerNorm(width), nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x, memory, memory_mask):
        causal = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).tril()  # position t attends to 0 to t
        x = self.norm_1(x + self.attention(x, x, causal))
        x = self.norm_2(x + self.cross_attention(x, memory, memory_mask))
        return self.norm_3(x + self.mlp(x))


print("decoder layer, 3 sounds so far:", tuple(DecoderLayer(48, heads=4)(state[:, :3], state, causal[-1:]).shape))

# %% [markdown]
# Around the layers there are embeddings and an output layer. A **logit** is the unnormalized score that a model gives to one token of its vocabulary; the softmax of all logits is the predicted distribution. **Weight tying** means that the embedding and the output layer share one matrix [1, section 3.4] [10].
#
# Two checks follow. With the paper's width, depth and vocabulary, does our model have as many parameters as the paper says [1, table 3]? And with the same weights, does it give the same logits as the package's `EncoderDecoder`, which is the same model with the three projections in one matrix?


# %%
def embed(embedding, ids):
    """Token embeddings, times √D so that the sinusoids do not drown them, plus the positional encoding: (B, T, D)."""
    width = embedding.embedding_dim
    return width**0.5 * embedding(ids) + positions(ids.shape[1], width)


class Encoder(nn.Module):
    """Source ids (B, S) -> one vector for each of them, the memory (B, S, D)."""

    def __init__(self, vocab_size, width, depth, heads):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, width)
        self.layers = nn.ModuleList(EncoderLayer(width, heads) for _ in range(depth))

    def forward(self, ids, mask):
        x = embed(self.embedding, ids)
        for layer in self.layers:
            x = layer(x, mask)
        return x


# %%
class Decoder(nn.Module):
    """Target ids so far (B, T) and the memory -> logits (B, T, V): those at position t predict target t + 1."""

    def __init__(self, vocab_size, width, depth, heads):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, width)
        self.layers = nn.ModuleList(DecoderLayer(width, heads) for _ in range(depth))
        self.head = nn.Linear(width, vocab_size, bias=False)
        self.head.weight = self.embedding.weight  # weight tying

    def forward(self, ids, memory, mask):
        x = embed(self.embedding, ids)
        for layer in self.layers:
            x = layer(x, memory, mask)
        return self.head(x)


# %%
class Transformer(nn.Module):
    """The encoder-decoder of 2017: source ids (B, S) and target ids so far (B, T) -> logits (B, T, V)."""

    def __init__(self, source_size, target_size, width, depth, heads):
        super().__init__()
        self.encoder = Encoder(source_size, width, depth, heads)
        self.decoder = Decoder(target_size, width, depth, heads)
        for weight in self.parameters():
            if weight.ndim > 1:
                nn.init.xavier_uniform_(weight)

    def forward(self, source, target):
        mask = (source != PAD)[:, None, None]  # the padding mask, (B, 1, 1, S)
        return self.decoder(target, self.encoder(source, mask), mask)


PAD, START, END = 0, 1, 2
with torch.device("meta"):  # shapes without memory are enough to count
    base = Transformer(37_000, 37_000, width=512, depth=6, heads=8)
size = sum(weight.numel() for weight in base.parameters()) - 37_000 * 512  # the paper's languages share a vocabulary
claim("with the paper's numbers it has the paper's 65 million parameters, within 5 %", abs(size / 65e6 - 1) < 0.05,
      parameters=size)  # fmt: skip

# %%
NAMES = {"encoder.embedding": "embed_source.tokens", "decoder.embedding": "embed_target.tokens",
         "encoder.layers": "encoder.blocks", "decoder.layers": "decoder", "decoder.head": "head",
         "mlp.0": "mlp.up", "mlp.2": "mlp.down",
         ".q_proj": ".qkv_proj", ".k_proj": ".qkv_proj", ".v_proj": ".qkv_proj"}  # fmt: skip


def to_package(model):
    """The same weights in the package's EncoderDecoder."""
    V, width = model.decoder.embedding.weight.shape
    shape = vaswani2017(vocab_size=V, context=16, width=width, depth=2, heads=4, dropout=0.0)
    packaged, state = EncoderDecoder(shape, source_vocab_size=27), {}
    for name, weight in model.state_dict().items():
        for old, new in NAMES.items():
            name = name.replace(old, new)
        state[name] = torch.cat([state[name], weight]) if name in state else weight  # q, k and v: one matrix
    packaged.load_state_dict(state)
    return packaged.eval()


untrained = Transformer(27, 42, width=96, depth=2, heads=4)
packaged_untrained = to_package(untrained)
letters, heard = torch.tensor([[11, 14, 9, 7, 8, 20], [4, 5, 2, 20, PAD, PAD]]), torch.tensor([[START, 5, 9]] * 2)
gap = (untrained(letters, heard) - packaged_untrained(letters, heard)).abs().max()
claim("with the same weights it gives the package's logits, padding included", gap < 1e-4, largest_gap=gap)

# %% [markdown]
# ## 9 · Training it
# Ours is more than a hundred times smaller than the paper's: two layers in each half, width 96. Letters are the ids 1 to 26, sounds 3 to 41; a target begins with a start token and closes with an end token. Words of equal
# length share a batch, so there is little padding.

# %%
sounds = sorted({sound for pair in words.train for sound in pair.sounds})
sound_id = {sound: n for n, sound in enumerate(sounds, 3)}
pad = nn.utils.rnn.pad_sequence


def encode_pairs(pairs):  # letters (N, S), sounds (N, T), padded with 0
    letters = [torch.tensor([ord(letter) - 96 for letter in pair.word]) for pair in pairs]
    targets = [torch.tensor([START, *(sound_id[sound] for sound in pair.sounds), END]) for pair in pairs]
    return pad(letters, batch_first=True), pad(targets, batch_first=True)


order = torch.Generator().manual_seed(0)
mixed = [words.train[i] for i in torch.randperm(len(words.train), generator=order)]
mixed.sort(key=lambda pair: len(pair.word))
batches = [encode_pairs(mixed[i : i + 48]) for i in range(0, len(mixed), 48)]
data = [batches[i] for i in torch.randperm(len(batches), generator=order)]
print(words.test[0], *encode_pairs(words.test[:1]), sep="\n")

# %% [markdown]
# An **autoregressive** model predicts each token from the tokens before it. **Teacher forcing** means that in training the decoder reads the *true* earlier tokens, whatever it would have written itself. The loss is the **cross-entropy**, the mean negative logarithm of the probability that the model gives to the true next token:
# $$\mathcal L = -\frac1T\sum_{t=1}^{T}\log p_\theta(y_t \mid y_{<t},\, x).$$
#
# **Label smoothing** spreads a share of each label evenly over all classes, here a tenth, so that nothing is gained by extreme confidence; it comes from image classification [11].
#
# A **learning-rate schedule** is a rule that changes the learning rate from step to step. A **warm-up** is the first part of a schedule, in which the rate grows from almost zero. The paper's [1, section 5.3]:
# $$\text{rate}(\text{step}) = D^{-0.5}\cdot\min(\text{step}^{-0.5},\ \text{step}\cdot\text{warmup}^{-1.5}).$$

# %% exercise="05.4"

# %%
shown = range(10, 30_000, 50)
curves(shown, {f"width {D}, warm-up {warmup:,}": [rate(step, D, warmup) for step in shown]
               for D, warmup in [(512, 4000), (512, 8000), (1024, 4000)]}, xlabel="step", ylabel="learning rate",
       alt="Learning rate against step: each curve climbs in a straight line, peaks where the warm-up ends, and falls.")  # fmt: skip
claim("the largest learning rate of the paper's base model, at step 4,000, is 0.0007",
      abs(rate(4000, 512, 4000) - 0.0007) < 1e-5, peak=rate(4000, 512, 4000))  # fmt: skip

# %% [markdown]
# Our run has 800 steps instead of 100,000. It uses a schedule that is common today: a short warm-up, then a straight line down to zero. (Below, both schedules are compared, each at its best learning rate.) The optimizer is AdamW [12]. Here is the whole loop. The targets are shifted by one: the decoder reads sounds 0 to T − 1
# and predicts sounds 1 to T.


# %%
def linear_decay(step, steps, peak):
    """Warm-up over the first 5 % of the steps, then a straight line down to zero."""
    warmup = 0.05 * steps
    return peak * min(step / warmup, (steps - step + 1) / (steps - warmup))


def train(model, data, steps, learning_rate, on_step=lambda step, loss: None):
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.98), eps=1e-9, weight_decay=0.01)
    for step in range(1, steps + 1):
        source, target = data[(step - 1) % len(data)]
        logits = model(source, target[:, :-1])  # teacher forcing: the decoder reads the true sounds
        labels = target[:, 1:].flatten()
        loss = F.cross_entropy(logits.flatten(0, 1), labels, ignore_index=PAD, label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)  # a gradient longer than 1 is scaled down to 1
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step)
        optimizer.step()
        on_step(step, loss.item())


# %%
predict("05.exact", "After 800 steps, what share of the words that it never saw will it transcribe without an error?",
        ["about one in ten", "about one in three", "more than half"])  # fmt: skip

# %%
from fmcourse.training import lesson_steps

torch.manual_seed(0)
model = Transformer(27, 42, width=96, depth=2, heads=4)
steps, peak = lesson_steps(shipped["steps"]), shipped["chosen"]["adamw"]
with LiveCurve(ylabel="loss (nats per sound, smoothed labels)",
               alt="Loss against step: it falls steeply from about 4 nats, bends, and falls slowly.") as curve:  # fmt: skip
    train(model, data, steps, partial(linear_decay, steps=steps, peak=peak), on_step=curve)

# %% [markdown]
# **Greedy decoding** takes the most probable token at every step, appends it, and asks again. No true sounds are read here: the model continues its own output. Two controls: the letters of *another* word, which shows that it reads them; and the
# commonest sound of each letter, which is all that a rule without context can give. First we look at some words; four of them are invented.


# %%
@torch.inference_mode()
def transcribe(model, source, longest=13):
    """Greedy decoding: the likeliest sound at every step, for all words at once."""
    mask = (source != PAD)[:, None, None]
    memory, target = model.encoder(source, mask), torch.full((len(source), 1), START)
    for _ in range(longest):
        likeliest = model.decoder(target, memory, mask)[:, -1].argmax(-1, keepdim=True)
        target = torch.cat([target, likeliest], 1)
    rows = target[:, 1:].tolist()
    return [row[: row.index(END)] if END in row else row for row in rows]


def pronounce(word):
    return [sounds[i - 3] for i in transcribe(model, encode_pairs([Pronunciation(word, ())])[0])[0]]


for word in ("knight", "night", "kight", "gnight", "psalm", "whale", "wrong", "debt", "zorkle", "phobbing"):
    print(f"{word:10} ≈ {' '.join(pronounce(word))}")

# %%
source, target = encode_pairs(words.test)
wanted = [[sound_id[sound] for sound in pair.sounds] for pair in words.test]


def exact_share(given):
    return sum(a == b for a, b in zip(given, wanted, strict=True)) / len(wanted)


aligned = [sound_id[s] * 27 + ord(c) - 96 for pair in words.train if len(pair.word) == len(pair.sounds)
           for c, s in zip(pair.word, pair.sounds, strict=True)]  # fmt: skip
commonest = torch.bincount(torch.tensor(aligned), minlength=42 * 27).view(42, 27).argmax(0)  # for each letter
exact, other_word = exact_share(transcribe(model, source)), exact_share(transcribe(model, source.roll(1, 0)))
by_letter = exact_share([commonest[row[row > 0]].tolist() for row in source])
seeds = [run["exact"] for run in shipped["runs"]["adamw"]]
if steps == shipped["steps"]:  # in a shortened run, for a quick test of the course, these need not hold
    claim("more than half of the test words are transcribed exactly", exact > 0.5, band=(min(seeds), max(seeds)),
          exact=round(exact, 4))  # fmt: skip
    claim("from the letters of another word fewer than 1 in 100, with one sound for each letter fewer than 10 in 100",
          other_word < 0.01 and by_letter < 0.1, other_word=other_word, letter_by_letter=by_letter)  # fmt: skip
resolve("05.exact", "more than half" if exact > 0.5 else "about one in three" if exact > 0.2 else "about one in ten",
        "English spelling is regular enough for this; its exceptions keep the rest from being exact.")  # fmt: skip

# %% [markdown]
# ### Is this the best recipe? Tune the rivals
#
# A **hyperparameter** is a setting that training does not learn, such as the learning rate. A comparison of two recipes is fair only if the hyperparameters of both were chosen with the same care. The **validation set** is data on which hyperparameters are chosen,
# used neither for training nor for the final score.
#
# Three recipes with the same model, data and 800 steps were tried at several peak learning rates, with one seed: the 2017 schedule (0.0007, 0.0028, 0.0056); AdamW with linear decay, as above (0.0015, 0.003, 0.006); and Muon [13], which orthogonalizes the updates of
# matrices (0.005, 0.01, 0.02, 0.04). The rate that was best on the validation words was then run with three seeds and scored on the test words.

# %%
recipes = {"2017": "2017 schedule", "adamw": "AdamW, linear decay", "muon": "Muon (its matrices' rate)"}
styles, grid = bind_styles(*recipes.values()), {name: shipped["grid"][key] for key, name in recipes.items()}
curves({name: [row["peak"] for row in rows] for name, rows in grid.items()},
       {name: [row["exact"] for row in rows] for name, rows in grid.items()}, xlog=True, styles=styles,
       ylim=(0.42, 0.66), xlabel="peak learning rate", ylabel="validation words exact (share)",
       alt="Share of validation words transcribed exactly against the peak learning rate, a line for each recipe.")  # fmt: skip
tested = {name: [run["exact"] for run in shipped["runs"][key]] for key, name in recipes.items()}
bars(tested, styles=styles, digits=3, xlabel="test words exact (share), each at its best rate",
     alt="Three bars with whiskers for the seeds: the share of test words transcribed exactly by each recipe.")  # fmt: skip
peaks = {str(row["peak"]): row["exact"] for row in shipped["grid"]["2017"]}
reported("at the paper's own peak, 0.0007, the 2017 schedule gets less far in 800 steps than at a higher peak",
         peaks["0.0007"] < max(peaks.values()), table=shipped, by_peak=peaks, chosen=shipped["chosen"])  # fmt: skip
adamw, schedule, muon = (tested[recipes[key]] for key in ("adamw", "2017", "muon"))
reported("each at its best rate tried, Muon is ahead of AdamW and AdamW of the 2017 schedule, in every seed",
         min(muon) > max(adamw) and min(adamw) > max(schedule), table=shipped,
         muon=muon, adamw=adamw, schedule_2017=schedule)  # fmt: skip

# %% [markdown]
# Muon wins here, by three to five words of 100 over AdamW; the 2017 schedule is last. For each recipe the best rate lies inside the range that was tried. This holds for this model and 800 steps.
#
# ## 10 · Which letter does a sound attend to?
# `attention_maps` runs the package's model and records the attention weights of every layer. We hand it our trained weights. Move the sliders; type a word. In the head shown the bright cells go from left to right. Is that so in the
# other heads? For each of the 8 we count how often the mean position attended to moves right from one sound to the next; the control is the model before training.

# %%
packaged = to_package(model)


def draw_cross(word="knight", layer=2, head=3):
    heard = pronounce(word)
    ids = torch.tensor([[START, *(sound_id[sound] for sound in heard)]])
    maps = attention_maps(packaged, encode_pairs([Pronunciation(word, ())])[0], ids)
    fig, ax = plt.subplots(figsize=(6, 3.6))
    draw_heatmap(ax, maps[f"decoder.{layer - 1}.cross_attention"][0, head - 1], [*heard, "end"], list(word))
    ax.set(xlabel="letter attended to", ylabel="sound to be predicted", title=f"layer {layer}, head {head}")
    return fig


interactive(draw_cross, word="knight", layer=(1, 2), head=(1, 4),
            alt="Sounds against letters as a heat map: the cross-attention weights of one head for one word.")  # fmt: skip


def moves_right(packaged):  # (layer, head): share of the sounds of all test words
    maps = attention_maps(packaged, source, target[:, :-1])
    place = torch.stack([maps[f"decoder.{n}.cross_attention"] for n in range(2)], 1) @ torch.arange(10.0)
    is_sound = (target[:, 2:] > END)[:, None, None]
    return ((place.diff(dim=-1)[..., : is_sound.shape[-1]] > 0) & is_sound).sum((0, 3)) / is_sound.sum()


moved, before = moves_right(packaged), moves_right(packaged_untrained)
if steps == shipped["steps"]:
    claim("in each of the 8 heads attention moves right more often than in any head before training, "
          "and in at least half of them at more than 8 sounds of 10",
          moved.min() > before.max() and moved.median() > 0.8, trained=moved.flatten(), untrained=before.flatten())  # fmt: skip

# %% [markdown]
# A bright cell is a hint, not a proof. After two encoder layers the vector of the *k* also holds what it has read from its neighbours. In a study of text classifiers, quite different weights gave the same predictions [14]; a reply showed that much depends on what one asks of an explanation [19]. For stronger evidence, change the letter and see whether the
# sound changes, as with *kight* and *gnight* above.
#
# ## 11 · Beam search
# A token that looks best now may lead to a poor whole. **Beam search** keeps several unfinished outputs, the hypotheses: it extends each by every token and keeps the most probable few of all extensions [15]. Probabilities multiply along a
# sequence, so their logarithms add up:
# $$\log p(y\mid x)=\sum_t\log p(y_t\mid y_{<t},x).$$

# %% exercise="05.5"


# %%
@torch.inference_mode()
def beam_search(letters, width):  # letters (1, S): one word
    mask = (letters != PAD)[:, None, None]
    memory, hypotheses, scores = model.encoder(letters, mask), torch.tensor([[START]]), torch.zeros(1)
    for _ in range(13):
        log_p = model.decoder(hypotheses, memory.expand(len(hypotheses), -1, -1), mask)[:, -1].log_softmax(-1)
        ended = (hypotheses == END).any(1)  # goes on with padding, at no cost
        log_p[ended] = torch.where(torch.arange(42) == PAD, 0.0, -math.inf)
        best = best_continuations(scores, log_p, width)
        scores = torch.stack([scores[n] + log_p[n, token] for n, token in best])
        hypotheses = torch.stack([torch.cat([hypotheses[n], torch.tensor([token])]) for n, token in best])
    return [i for i in hypotheses[0].tolist() if i > END], scores[0].item()


# %%
some = [encode_pairs([pair])[0] for pair in words.test[::40]]
greedy, beam = ([beam_search(letters, width) for letters in some] for width in (1, 4))
theirs = [translate(packaged, letters, start=START, end=END, max_new_tokens=13, width=4)[0] for letters in some]
claim("with the step of exercise 05.5 beam search writes what the package's does", [i for i, _ in beam] == theirs)
log_p = [sum(score for _, score in found) / len(some) for found in (greedy, beam)]
claim("on average a beam of four finds more probable outputs than greedy decoding", log_p[1] > log_p[0], log_p=log_p)
reported("on every fourth test word a beam of four transcribes at most 3 words more in 100 exactly, with three seeds",
         all(0 < run["beam_of_four"] - run["greedy"] < 0.03 for run in shipped["runs"]["adamw"]), table=shipped)  # fmt: skip

# %% [markdown]
# A beam repairs errors of the search, not of the model, so it gains little here for about four times the work.
#
# ## 12 · Looking into a real model
# The same function opens SmolLM2, a language model of 30 layers with 9 heads each [16]. A blog post about the Transformer showed a head of a translation model in which *it* attends to *animal* in "The animal didn't cross the street because it was too tired" [17]. Is there such a head
# here? And how many attend to words that *it* does not mean? The controls are *street*, *because*, and three more sentences.

# %%
predict("05.heads", "In how many of the 270 heads does 'it' give more than half of its attention to 'animal'?",
        ["none", "one or two", "more than twenty"])  # fmt: skip
smol, tokenizer = pretrained.load("smollm2-135m-instruct")
sentence = "The animal did not cross the street because it was too tired."


def look(text):  # attention weights (layer, head, T, T), and the tokens
    ids = tokenizer.encode(text)
    return torch.cat([*attention_maps(smol, torch.tensor([ids])).values()]), [tokenizer.decode([i]) for i in ids]


# %%
def count_heads(text):  # for each token up to 'it': the heads in which 'it' gives it more than half
    weights, tokens = look(text)
    it = tokens.index(" it")
    return {token.strip(): int((weights[..., it, n] > 0.5).sum()) for n, token in enumerate(tokens[: it + 1])}


heads = count_heads(sentence)
bars(heads, digits=0, xlabel="heads, of 270, in which 'it' gives this token more than half",
     alt="A bar for each token up to 'it'. The first token leads by far; 'animal' and 'street' have few.")  # fmt: skip
resolve("05.heads", "none" if not heads["animal"] else "one or two" if heads["animal"] < 3 else "more than twenty",
        "The best of 270 heads finds 'animal', and the best of 270 heads finds 'street' as well.")  # fmt: skip
stories = {("animal", "street"): sentence, ("dog", "house"): "The dog did not leave the house because it was too old.",
           ("ball", "window"): "The ball did not hit the window because it was too slow.",
           ("horse", "barn"): "The horse did not enter the barn because it was too afraid."}  # fmt: skip
found = {nouns: count_heads(text) for nouns, text in stories.items()}
subject = [count[nouns[0]] for nouns, count in found.items()]
other = [count[nouns[1]] for nouns, count in found.items()]
because = [count["because"] for count in found.values()]
claim("in four such sentences together more heads choose the subject than the other noun, but in each of them at "
      "least five times as many choose 'because' as the subject", sum(other) < sum(subject) and
      all(b >= 5 * s for b, s in zip(because, subject, strict=True)),
      subject=subject, other_noun=other, because=because)  # fmt: skip

# %%
weights, tokens = look(sentence)
it, cache = tokens.index(" it"), {}


def draw_smol(text=sentence, layer=14, head=9):
    weights, tokens = cache.setdefault(text, look(text or " "))
    fig, ax = plt.subplots(figsize=(6.4, 5))
    draw_heatmap(ax, weights[layer - 1, head - 1], [token.replace(" ", "␣") for token in tokens])
    ax.set(xlabel="token attended to", ylabel="token that attends", title=f"layer {layer}, head {head}")
    return fig


interactive(draw_smol, text=sentence, layer=(1, 30), head=(1, 9),
            alt="Attention weights of one head for a sentence. The row of 'it' is brightest at 'animal'.")  # fmt: skip
to_first = weights[:, :, 1:, 0].mean().item()
claim("averaged over all heads and tokens, more than half of the attention goes to the first token",
      to_first > 0.5, share=to_first)  # fmt: skip
wide, _ = look(sentence.replace("tired", "wide"))
gap = (wide[:, :, : it + 1, : it + 1] - weights[:, :, : it + 1, : it + 1]).abs().max().item()
claim("with 'too wide' for 'too tired' all weights up to 'it' stay the same", gap < 1e-4, largest_gap=gap)

# %% [markdown]
# One well-chosen head would have suggested that the model knows what *it* means; the slider starts at that head. The counts say less. A few heads choose the subject, and
# hardly any the other noun, so some may attend to subjects. But many more choose *because*, which *it* cannot mean: quite a few heads attend to the token before.
#
# The first token is an **attention sink**, a token that receives much attention whatever it says, because a head that finds nothing must still give away weights that add up to 1 [18]. And *it* cannot know here what it means: *tired* or *wide* decides that, and comes later, behind the
# causal mask. The blog's head sat in an *encoder*, which reads both ways [17].

# %%
quiz("05.q1", "A head becomes four times as wide, the division stays. The spread of its scores becomes",
     {"twice as large": "Four times as many products: four times the variance, twice the standard deviation.",
      "four times as large": "That would hold if all products had the same sign. They add up like a random walk.",
      "no different": "Each score is a sum of four times as many products, so it varies more."},
     answer="twice as large")  # fmt: skip
quiz("05.q2", "Why has the encoder no causal mask, and the decoder one?",
     {"The source is given, the target is predicted.": "What is to be predicted must not be read.",
      "The encoder is larger.": "Both halves have the same number of layers.",
      "Letters have no order.": "They have: that is what the positional encoding is for."},
     answer="The source is given, the target is predicted.")  # fmt: skip
quiz("05.q3", "In a model of 270 heads you find one in which 'it' attends to 'animal'. What follows?",
     {"The model understands the sentence.": "Other heads attend to 'street' and to 'because' in the same way.",
      "Little, before one counts heads and tries control words.": "The best of many heads fits most stories.",
      "This weight explains the prediction.": "It shows what one head read, not what the prediction depends on."},
     answer="Little, before one counts heads and tries control words.")  # fmt: skip

# %% [markdown]
# ## What the real systems do
# | | this lesson | 2017 base | 2017 big | SmolLM2-135M |
# |---|---|---|---|---|
# | layers × width | 2 + 2 × 96 | 6 + 6 × 512 | 6 + 6 × 1,024 | 30 × 576 |
# | heads | 4 | 8 | 16 | 9 (3 for keys and values) |
# | training | 800 steps, one to two minutes | 12 hours on 8 GPUs | 3.5 days on 8 GPUs | 2 T tokens |
# | normalization | post-norm | post-norm | post-norm | pre-norm |
# | positions | sinusoids | sinusoids | sinusoids | RoPE |
#
# Sources: [1, sections 5 and 6, table 3], [16]. The paper also uses dropout; we do not.
#
# ## Summary
# - Attention is an average whose weights depend on the content: softmax(q kᵀ / √K) v.
# - Dividing by √K keeps the softmax from saturating; a mask sets forbidden scores to −∞.
# - Without a mask attention does not know the order; a positional encoding tells it.
# - With residual connections positions stay distinct for longer. Attention costs T²; a KV cache makes a new token cheap.
# - The encoder reads both ways, the decoder writes behind a causal mask, cross-attention joins them.
# - Before you believe a picture of attention, count heads and try control words.
#
# **Where next:** lesson 06 makes a GPT of the decoder alone. To read: [1]. To use: torch's
# [scaled_dot_product_attention](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.scaled_dot_product_attention.html).

# %% [markdown]
# ## References
# - [1] A. Vaswani et al., *Attention Is All You Need*, NeurIPS 2017. <https://arxiv.org/abs/1706.03762>
# - [2] D. Bahdanau, K. Cho, Y. Bengio, *Neural Machine Translation by Jointly Learning to Align and Translate*, ICLR 2015. <https://arxiv.org/abs/1409.0473>
# - [3] A. Haviv et al., *Transformer Language Models without Positional Encodings Still Learn Positional Information*, Findings of EMNLP 2022. <https://arxiv.org/abs/2203.16634>
# - [4] J. Su et al., *RoFormer: Enhanced Transformer with Rotary Position Embedding*, arXiv 2021. <https://arxiv.org/abs/2104.09864>
# - [5] K. He et al., *Deep Residual Learning for Image Recognition*, CVPR 2016. <https://arxiv.org/abs/1512.03385>
# - [6] J. L. Ba, J. R. Kiros, G. E. Hinton, *Layer Normalization*, arXiv 2016. <https://arxiv.org/abs/1607.06450>
# - [7] Y. Dong, J.-B. Cordonnier, A. Loukas, *Attention Is Not All You Need: Pure Attention Loses Rank Doubly Exponentially with Depth*, ICML 2021. <https://arxiv.org/abs/2103.03404>
# - [8] G. Yang, S. S. Schoenholz, *Mean Field Residual Networks: On the Edge of Chaos*, NeurIPS 2017. <https://arxiv.org/abs/1712.08969>
# - [9] R. Xiong et al., *On Layer Normalization in the Transformer Architecture*, ICML 2020. <https://arxiv.org/abs/2002.04745>
# - [10] O. Press, L. Wolf, *Using the Output Embedding to Improve Language Models*, EACL 2017. <https://arxiv.org/abs/1608.05859>
# - [11] C. Szegedy et al., *Rethinking the Inception Architecture for Computer Vision*, CVPR 2016. <https://arxiv.org/abs/1512.00567>
# - [12] I. Loshchilov, F. Hutter, *Decoupled Weight Decay Regularization*, ICLR 2019. <https://arxiv.org/abs/1711.05101>
# - [13] K. Jordan et al., *Muon: An Optimizer for Hidden Layers in Neural Networks*, 2024. <https://kellerjordan.github.io/posts/muon/>
# - [14] S. Jain, B. C. Wallace, *Attention is not Explanation*, NAACL 2019. <https://arxiv.org/abs/1902.10186>
# - [15] I. Sutskever, O. Vinyals, Q. V. Le, *Sequence to Sequence Learning with Neural Networks*, NeurIPS 2014. <https://arxiv.org/abs/1409.3215>
# - [16] L. Ben Allal et al., *SmolLM2: When Smol Goes Big*, arXiv 2025. <https://arxiv.org/abs/2502.02737>
# - [17] J. Uszkoreit, *Transformer: A Novel Neural Network Architecture for Language Understanding*, Google Research Blog 2017. <https://research.google/blog/transformer-a-novel-neural-network-architecture-for-language-understanding/>
# - [18] G. Xiao et al., *Efficient Streaming Language Models with Attention Sinks*, ICLR 2024. <https://arxiv.org/abs/2309.17453>
# - [19] S. Wiegreffe, Y. Pinter, *Attention is not not Explanation*, EMNLP 2019. <https://arxiv.org/abs/1908.04626>

# %%
progress("05")
