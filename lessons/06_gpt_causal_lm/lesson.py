# %% [raw]
# builds = "attention, the block, a GPT that learns Shakespeare in about a minute; then SmolLM2 in the same class"
# [reads]
# "fmcourse.models.attention" = ["causal", "Attention", "Block"]
# "fmcourse.models.transformer" = ["Embedding", "Stack", "Transformer"]
# "fmcourse.objectives" = ["next_token"]

# %% [markdown]
# # 06 · GPT: causal language models
# **In this lesson you build a GPT, train it on Shakespeare in about a minute, and then load a real chat model into the very class
# you trained.**
#
# 75 minutes to read and do · two minutes to compute · you need Python, a little PyTorch, and a rough idea of what a gradient is.

# %% [markdown]
# **Afterwards you can**
# - turn any text into millions of questions with known answers;
# - build attention, a block and the loss, and tell when a model cheats;
# - compare language models fairly, in bits per byte;
# - explain why the second token of an answer comes so much faster than the first;
# - count a GPT before anyone builds it.

# %%
import math

import matplotlib.pyplot as plt
import torch
from fmcourse.course import check, claim, hint, predict, progress, quiz, show, solution
from fmcourse.data import load, table
from fmcourse.evaluation import bits_per_byte, bits_per_byte_interval, token_nats
from fmcourse.models.attention import Block, causal
from fmcourse.models.rope import apply_rope
from fmcourse.models.transformer import Transformer, count_parameters, gpt2, modern
from fmcourse.objectives import next_token
from fmcourse.plots import LiveCurve, bars, heatmap
from fmcourse.tokenizers import CharTokenizer
from fmcourse.training import RandomCrops, fit, lesson_steps
from torch import nn
from torch.nn import functional as F

# %% [markdown]
# ## 1 · A text is its own answer key
# Thirty-four plays to learn from, and two that the model will never see: *As You Like It* and *Macbeth*.

# %%
plays = load("shakespeare")
unseen = plays.validation[:30_000]
print(f"{len(plays.train):,} characters to learn from\n\n{plays.works['Hamlet'].text[113:231]}")

# %% [markdown]
# A language model has one job: read the beginning, say what comes next. Nobody has to write the answers down; the text goes on
# and gives them. Our tokens are single characters, one byte each. (Lesson 04 has better ones. Letters learn more in a minute.)

# %%
tokenizer = CharTokenizer.train(plays.train)
ids, unseen_ids = torch.tensor(tokenizer.encode(plays.train)), torch.tensor(tokenizer.encode(unseen))
V, line = tokenizer.vocab_size, "To be, or not"
for t in range(1, 9):
    print(f"read {line[:t]!r:11} asked for {line[t]!r}")
print(f"{V} characters; {line} -> {tokenizer.encode(line)}")

# %% [markdown]
# ## 2 · The model to beat is a table
# How far does one letter of memory get you? Count which letter follows which. No network, no training.

# %%
predict("06.pairs", "A blind guess among 78 letters costs 6.3 bits a letter. Knowing the one before, about",
        ["6 bits", "3.5 bits", "1 bit"])  # fmt: skip

# %%
counts = torch.bincount(ids[:-1] * V + ids[1:], minlength=V * V).view(V, V)
pairs = (counts + 1) / (counts + 1).sum(1, keepdim=True)  # one more of each: never seen is not impossible

some = tokenizer.encode("\n aehinoqrstuw,.")
names = [tokenizer.decode([i]).replace("\n", "⏎").replace(" ", "␣") for i in some]
fig, ax = plt.subplots(figsize=(6, 4.6))
heatmap(ax, pairs[some][:, some], names)
ax.set(xlabel="next letter", ylabel="letter before")
show(
    fig, alt="Letter before against next letter, as a heat map. After q comes u, almost surely; after a comma, a space."
)

# %% [markdown]
# Row **q** knows what it wants. The others spread. For a number, ask the table about the unseen plays and average its surprise:
# −log₂ of the probability it gave to the letter that really came. Then let it write.

# %%
one = (torch.bincount(ids, minlength=V) + 1.0) / (len(ids) + V)
letter_bits = -one[unseen_ids].log2().mean().item()
pair_bits = -pairs[unseen_ids[:-1], unseen_ids[1:]].log2().mean().item()
claim("knowing one letter saves more than a bit on each letter of a play never seen", pair_bits < letter_bits - 1,
      blind=math.log2(V), letters=letter_bits, pairs=pair_bits)  # fmt: skip

text, generator = tokenizer.encode("R"), torch.Generator().manual_seed(0)
for _ in range(110):
    text.append(torch.multinomial(pairs[text[-1]], 1, generator=generator).item())
print("≈", tokenizer.decode(text).replace("\n", " / "))

# %% [markdown]
# The rhythm of English, and not one thought. After each letter it forgets everything before.
#
# ## 3 · Looking back: attention
# Every position writes three vectors. A **query**: what am I looking for? A **key**: what have I got? A **value**: what I hand on.
#
# One rule first. The answer to position 3 is token 4.

# %% exercise="06.1"

# %%
claim("your mask is the package's", all(torch.equal(causal_mask(T), causal(T)) for T in (1, 2, 7, 64)))
print(causal_mask(5).int())

# %% [markdown]
# Row 0 sees itself alone, row 4 sees all five. Now the formula at the heart of everything that follows (Vaswani et al. 2017):
# each query meets each key, and takes from the values accordingly.
#
# $$\text{softmax}\left(\frac{q\,k^\top}{\sqrt K}\right) v$$

# %% exercise="06.2"

# %%
q, k, v = torch.randn(3, 2, 4, 9, 16, generator=torch.Generator().manual_seed(0))  # 2 texts, 4 heads, 9 positions
fused = F.scaled_dot_product_attention(q, k, v, is_causal=True)
gap = (attend(q, k, v, causal_mask(9)) - fused).abs().max()
claim("your attention is the fused kernel that the package calls", gap < 1e-5, largest_gap=gap)

# %% [markdown]
# ### What if it may peek?
# Two tiny models, one with the mask, one without. Each learns verse, and then pure noise: 32 symbols drawn at random, new in every
# batch. Of noise nobody can know anything: each symbol costs log 32 = 3.47 nats, for ever.

# %%
predict("06.peek", "Without the mask, after two seconds of training on noise, the loss is",
        ["3.47: noise is noise", "a little lower", "far lower: it reads the answer"])  # fmt: skip


# %%
def losses(batches, V, causal):
    torch.manual_seed(0)
    small = Transformer(modern(vocab_size=V, context=16, width=64, depth=1, heads=2, causal=causal))
    return torch.tensor(fit(small, next_token, batches, steps=120, progress=False).losses)


noise = torch.randint(32, (120, 16, 17), generator=torch.Generator().manual_seed(0))
kinds = {"verse": (RandomCrops(ids, length=17, batch=16), V), "noise": (noise, 32)}
honest, peeking = ({name: losses(*kind, causal) for name, kind in kinds.items()} for causal in (True, False))

# %%
fig, axes = plt.subplots(1, 2, figsize=(8, 3.2), sharey=True)
for ax, name in zip(axes, kinds, strict=True):
    ax.plot(honest[name], label="with the mask")
    ax.plot(peeking[name], label="without")
    ax.set(title=name, xlabel="step", ylabel="loss (nats per token)", ylim=(0, None))
ax.axhline(math.log(32), color="black", linewidth=1, linestyle=":", label="log 32")
ax.legend(loc="center right")
show(fig, alt="Loss against step, verse and noise. Without the mask both sink to zero; with it, noise stays at log 32.")
fair, peek = (run["noise"][-20:].mean().item() for run in (honest, peeking))
claim("on fresh noise the honest model does not beat log V", fair > math.log(32) - 0.02, honest=fair)
claim("the one that peeks 'knows' noise", peek < math.log(32) / 3, peeking=peek)

# %% [markdown]
# A wonderful loss and a useless model: when it writes, there is no future to copy from. **Noise is the cheapest test of a language
# model.** One that beats log V on it cheats. Run it before you celebrate.

# %% [markdown]
# ## 4 · The block
# Attention *moves* information between positions; then a small network (MLP) *thinks* at each position alone. Both **add** to what was there,
# so gradients have a free path in the backward pass. Normalising first keeps the numbers tame. Twelve lines, and it is GPT-2's block.


# %%
class MyBlock(nn.Module):
    def __init__(self, D, heads):
        super().__init__()
        self.heads, self.norm_1, self.norm_2 = heads, nn.LayerNorm(D), nn.LayerNorm(D)
        self.qkv_proj, self.out_proj = nn.Linear(D, 3 * D), nn.Linear(D, D)
        self.up, self.down = nn.Linear(D, 4 * D), nn.Linear(4 * D, D)

    def forward(self, x):  # (B, T, D)
        qkv = self.qkv_proj(self.norm_1(x)).unflatten(-1, (3, self.heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # (B, heads, T, K) each
        found = attend(q, k, v, causal_mask(x.shape[1]))
        x = x + self.out_proj(found.transpose(1, 2).flatten(2))  # gather
        return x + self.down(F.gelu(self.up(self.norm_2(x)), approximate="tanh"))  # think


# %%
mine, course = MyBlock(48, 3), Block(gpt2(width=48, heads=3))
g = torch.Generator().manual_seed(0)
weights = {name: 0.3 * torch.randn(w.shape, generator=g) for name, w in course.named_parameters()}
course.load_state_dict(weights)  # the same random numbers in both
mine.load_state_dict({name.replace("attention.", "").replace("mlp.", ""): w for name, w in weights.items()})
x = torch.randn(2, 11, 48, generator=g)
gap = (mine(x) - course(x)).abs().max()
claim("your block is the package's block", gap < 1e-4, largest_gap=gap)

# %% [markdown]
# The rest of a GPT is quickly said: a vector for each letter, a few blocks, a score for each letter. The package's `modern()` adds five
# small inventions made since GPT-2: rotations for positions, RMSNorm, normalised queries and keys, squared ReLU, no biases.


# %%
def new_gpt(seed=0):
    torch.manual_seed(seed)
    return Transformer(modern(vocab_size=V, context=64, width=96, depth=3, heads=3))


for name, part in new_gpt().named_children():
    print(f"{name:6}{count_parameters(part):9,} numbers to learn")

# %% [markdown]
# ## 5 · The loss
# The model reads T tokens and answers at *every* position at once. So the labels are the text itself, shifted by one. In which
# direction? Many a long night was lost here.

# %% exercise="06.3"

# %%
torch.manual_seed(0)
pair_network = nn.Embedding(V, V)  # the table of section 2 as a network: a letter in, scores out
batch = RandomCrops(ids, length=33, batch=4)[0]
gap = (next_token_loss(pair_network(batch), batch) - next_token(pair_network, batch).value).abs()
claim("your loss is the package's objective", gap < 1e-5, gap=gap)
first = next_token_loss(new_gpt()(batch), batch)
claim("a new GPT is exactly undecided: its loss is log 78", (first - math.log(V)).abs() < 1e-4, loss=first)

# %% [markdown]
# The second check takes a second and finds many a bug: an *untrained* model that is not at log V is sure of something it cannot
# know.
#
# ## 6 · Train it
# 700 steps, 12 windows each. The optimiser is Muon (Jordan et al. 2024) for the matrices, AdamW for the rest.

# %%
predict("06.train", "The pair table stands at 2.5 nats a letter. The GPT reads an eighth of the text. It ends at about",
        ["2.4: hardly better", "1.7", "1.0: it knows the plays by heart"])  # fmt: skip

# %%
steps, data = lesson_steps(700), RandomCrops(ids, length=65, batch=12, seed=0)
model = new_gpt(seed=0)
with LiveCurve(
    alt="Training loss against step. It drops steeply from 4.4 to about 2.5 nats, then glides below 2."
) as curve:
    history = fit(model, next_token, data, steps=steps, seed=0, on_step=curve, progress=False)
print("≈", history)

# %% [markdown]
# **Is my number right?** Yours is one seed of many. The recipe `recipes/lesson_06.py` ran five; its table ships with the course. (After a
# rehearsal of 35 steps, `FMCOURSE_SHORT=1`, the comparison is left out.)

# %%
nats = token_nats(model, unseen_ids)
gpt = bits_per_byte_interval(nats, unseen)
print("≈ bits per byte of a play it never saw, with a 95 % interval:", gpt)
shipped, full = table("lesson_06"), steps == 700
seeds = [run["bits_per_byte"] for run in shipped["seeds"]]
low, high = 2 * min(seeds) - max(seeds), 2 * max(seeds) - min(seeds)  # three times as wide as they lie
if full:
    within = low <= gpt.value <= high
    claim("your run ends where other seeds end", within, band=(low, high), bits_per_byte=gpt.value)
    claim("far below the pair table", gpt.high < pair_bits - 0.5, gpt=gpt.value, pairs=pair_bits)
print(f"five seeds, 700 steps, {shipped['date']}: {seeds}")

# %% [markdown]
# ## 7 · Let it write
# The model gives scores. Someone must choose. **Temperature** divides the scores first: below 1 the favourites win more, above 1
# outsiders get their chance, at 0 nothing is left to chance.

# %% exercise="06.4"


# %%
@torch.inference_mode()
def write(prompt, length, temperature, seed=1):
    generator, text = torch.Generator().manual_seed(seed), tokenizer.encode(prompt)
    for _ in range(length):
        scores = model(torch.tensor([text[-64:]]))[0, -1]
        text.append(torch.multinomial(probabilities(scores, temperature), 1, generator=generator).item())
    return tokenizer.decode(text)


for temperature in (0.2, 0.8, 1.5):
    print(f"{temperature} ≈", write("\nKING RICHARD:\n", 170, temperature)[1:].replace("\n", " / "))

# %% [markdown]
# Cold, it circles round a few safe words. Hot, it babbles in a language of its own. In between stand names in capitals, line ends where
# verse has them, words that exist. Nobody told it about any of these.

# %%
from fmcourse.plots.widgets import interactive

with torch.inference_mode():
    scores = model(torch.tensor([tokenizer.encode("\nKING RICHARD:\nMy lord, I w")]))[0, -1]
best = scores.topk(12).indices
letters = [tokenizer.decode([i]).replace(" ", "␣").replace("\n", "⏎") for i in best]


def draw(temperature=0.8):
    fig, ax = plt.subplots(figsize=(6.4, 3))
    ax.bar(letters, probabilities(scores, temperature)[best], hatch="//", edgecolor="white")
    ax.set(ylim=(0, 1), ylabel="probability", xlabel="next letter after 'My lord, I w'")
    return fig


interactive(draw, temperature=(0.2, 3.0, 0.2),
            alt="A bar for each of the twelve likeliest next letters. Cold, one or two hold everything; hot, all "
            "of them rise.")  # fmt: skip

# %% [markdown]
# **Move it**, and say before each step which bars will grow. Their order never changes: temperature decides how much a lead counts,
# not who leads.
#
# And where did the model look? If the values are unit vectors, attention returns its own weights.


# %%
@torch.inference_mode()
def look(text, layer, head):
    x = model.embed(torch.tensor([tokenizer.encode(text)]), None)
    rope = model.stack.rope(torch.arange(len(text)))
    for block in model.stack.blocks[:layer]:
        x = block(x, rope=rope)
    block = model.stack.blocks[layer]
    part = block.attention
    q, k, _ = (share.unflatten(-1, (-1, part.head_width))[0, :, head] for share in part.split_qkv(block.norm_1(x)))
    q, k = apply_rope(part.norm_q(q), rope), apply_rope(part.norm_k(k), rope)
    return attend(q, k, torch.eye(len(text)), causal_mask(len(text)))


# %%
def draw_looks(layer=1, head=1, text="But soft, what light throu"):
    fig, ax = plt.subplots(figsize=(6.2, 5))
    heatmap(ax, look(text, layer - 1, head - 1), list(text.replace(" ", "␣")))
    ax.set(xlabel="letter looked at", ylabel="letter that looks")
    return fig


interactive(draw_looks, layer=(1, 3), head=(1, 3),
            alt="Who looks at whom in a line, as a heat map. Nothing above the diagonal; heads differ in how far "
            "back they look.")  # fmt: skip

# %% [markdown]
# Above the diagonal it is empty: your mask, in a trained model. Try all nine heads. Which looks one letter back, which further?
#
# ## 8 · Is it any good?
# Our rivals: **xz**, a compressor. And **tables of up to five letters**, made of the very windows that the GPT read, or of all the text.


# %%
def runs_of(n, ids):  # each run of n letters as one number
    return sum(ids[..., i : ids.shape[-1] - n + 1 + i] * V ** (n - 1 - i) for i in range(n)).flatten()


def times_seen(n, seen, asked):
    known, times = runs_of(n, seen).unique(return_counts=True)
    place = torch.searchsorted(known, runs_of(n, asked)).clamp(max=len(known) - 1)
    return torch.where(known[place] == runs_of(n, asked), times[place], 0)


def table_bits(seen, longest=5):  # each table leans on the shorter one where it saw little
    p, bits, before = torch.full((len(unseen_ids),), 1 / V), [], seen.numel()
    for n in range(1, longest + 1):
        now = times_seen(n, seen, unseen_ids)
        p[n - 1 :] = (now + 5 * p[n - 1 :]) / (before + 5)
        bits, before = [*bits, -p.log2().mean().item()], now[:-1]
    return bits


# %%
import lzma

read = torch.cat([data[step] for step in range(steps)])  # all that the GPT was shown
same, whole, longer = table_bits(read), table_bits(ids), shipped["longer"]["bits_per_byte"]
xz = 8 * len(lzma.compress(plays.validation.encode(), preset=9)) / len(plays.validation.encode())
rivals = {"blind guess": math.log2(V), "table, 2 letters": pair_bits, "xz": xz,
          "table, 5 letters, same reading": same[-1], "table, 5 letters, all the text": whole[-1],
          f"your GPT ({gpt.low:.2f} to {gpt.high:.2f})": gpt.value, "a GPT trained 4 times longer": longer}  # fmt: skip
fig, ax = plt.subplots(figsize=(7, 3.6))
bars(ax, rivals, unit="bits per byte of an unseen play (less is better)")
show(fig, alt="Bits per byte, a bar each. The GPT beats tables that read the same; trained longer, it beats them all.")
if full:
    claim("having read the same, the GPT beats every table", gpt.value < min(same), gpt=gpt.value, tables=same)
    claim("trained longer, it beats the table of all the text", longer < whole[-1], longer=longer, table=whole[-1])

# %% [markdown]
# An honest result: counting *eight times* as much text is a strong rival to one minute of training. But a table wants a row for each run of
# letters and learns nothing from its neighbours. The GPT shares, and goes on improving.

# %% [markdown]
# ## 9 · Why the second word comes faster
# To write one letter, `write` reads all others again. But under your mask the past never changes: its keys and values can be kept.
# That is the **KV cache**. A cache goes in, a longer one comes out.

# %%
from fmcourse.generation import chat_stream, generate

prompt, settings = "\nKING RICHARD:\n", dict(max_new_tokens=45, temperature=0.8, seed=1)
kept, anew = (generate(model, tokenizer, prompt, use_cache=use, **settings) for use in (True, False))
claim("with the cache and without: the same text, letter for letter", kept == anew)
claim("and it is what your write writes", prompt + kept == write(prompt, 45, 0.8))

# %%
import time


@torch.inference_mode()
def milliseconds(model, length, cached):  # for one more letter after so many
    text, cache, spent = ids[None, :length], model.new_cache(capacity=length), []
    cache = model.extend(text[:, :-1], cache)[1] if cached else None
    for _ in range(12):  # the quickest of a dozen: other programs disturb
        begin = time.perf_counter()
        model.extend(text[:, -1:], cache) if cached else model(text)
        spent.append(1000 * (time.perf_counter() - begin))
    return min(spent)


lengths = [64, 128, 256, 512, 1024]
roomy = Transformer(modern(vocab_size=V, context=1024, width=96, depth=3, heads=3))
anew, kept = ([milliseconds(roomy, n, cached) for n in lengths] for cached in (False, True))

# %%
fig, ax = plt.subplots(figsize=(6.4, 3.2))
ax.plot(lengths, anew, "o-", label="everything anew")
ax.plot(lengths, kept, "s--", label="with the cache")
ax.set(xlabel="letters so far", ylabel="ms for one more letter", ylim=(0, None), xticks=lengths[2:])
ax.legend()
show(fig, alt="Milliseconds for one more letter against length. Without the cache they climb; with it they hardly do.")
times = anew[-1] / kept[-1]
claim("after 1,024 letters the cache is at least 3 times faster", times > 3, times_faster=times)

# %% [markdown]
# A chat model reads your question in one go (*prefill*), then writes token by token (*decode*). The price is memory: in SmolLM2, 46 kB a token.
#
# ## 10 · Counting giants
# On PyTorch's *meta* device a tensor has a shape and no memory. GPT-3 can be built on this laptop, and counted.


# %%
def count(**shape):
    with torch.device("meta"):
        return count_parameters(Transformer(gpt2(**shape)))


two = count(width=1600, depth=48, heads=25)
three = count(width=12_288, depth=96, heads=96, context=2048)
claim("GPT-2 XL has 1,557,611,200 parameters", two == 1_557_611_200)
print(f"GPT-2 XL {two:15,}\nGPT-3   {three:16,}   {three / two:.1f} times GPT-2 XL")
print(f"of the rounded names: 175 B / 1.5 B = {175 / 1.5:.1f}")

# %% [markdown]
# "116 times larger", you will often read. That divides the rounded names; the models differ by 112. (Shapes: Radford et al. 2019, table 2;
# Brown et al. 2020, table 2.1; the sparse layers of GPT-3 have as many parameters.)
#
# ## 11 · A real one
# SmolLM2-135M-Instruct learnt from two trillion tokens (Allal et al. 2025). Load its weights. Into what?

# %%
from fmcourse import pretrained

smol, smol_tokenizer = pretrained.load("smollm2-135m-instruct")
same_class = type(smol) is type(model) is Transformer
claim("what others trained is an object of the class you trained", same_class, parameters=count_parameters(smol))
theirs = shipped["smollm2_by_transformers"]  # the ten best scores by the transformers library, from the same weights
with torch.inference_mode():
    ours = smol(torch.tensor([smol_tokenizer.encode(theirs["prompt"])]))[0, -1]
print(theirs["prompt"])
for i, score in list(zip(theirs["ids"], theirs["logits"], strict=True))[:5]:
    print(f"    {smol_tokenizer.decode([i])!r:10} library {score:.3f} ≈ here {ours[i]:.3f}")
gap = (ours[theirs["ids"]] - torch.tensor(theirs["logits"])).abs().max()
leaders = ours.topk(10).indices.tolist()
claim("the same ten tokens lead, with the same scores", leaders == theirs["ids"] and gap < 1e-3, gap=gap)

# %% [markdown]
# Same class, another config, the published model's own answers. Now a match on one page of an unseen play. Its tokens are longer than
# letters, but bits *per byte* can be compared.

# %%
page = unseen[:3000]
smol_bits = bits_per_byte(token_nats(smol, smol_tokenizer.encode(page)), page)
our_bits = bits_per_byte(nats[:3000], page)
claim("the real model needs far fewer bits", smol_bits < 0.75 * our_bits, smollm2=smol_bits, yours=our_bits)

# %% [markdown]
# Unfair in one way. *You* know that your GPT never saw this play; of two trillion tokens from the web nobody can promise that. Such
# *contamination* haunts every benchmark. Now let it talk.

# %%
for question in ["What is the capital of France?", "Which is heavier: a kilogram of feathers or a kilogram of iron?"]:
    print(question, "≈ ", end="")
    for piece in chat_stream(smol, smol_tokenizer, [{"role": "user", "content": question}], max_new_tokens=48):
        print(piece.replace("\n", " "), end="", flush=True)
    print()

# %% [markdown]
# It does what yours does, continue a text; only this text looks like a conversation. So it is always fluent, and right only where fluent
# and right coincide. Weigh its feathers yourself. **Change it**: ask something of your own.

# %%
quiz("06.q1", "A colleague's new GPT reaches 0.3 nats a letter after one minute. You say:",
     {"Congratulations!": "Under half a bit a letter? SmolLM2, after two trillion tokens, needs three times as much.",
      "What is its loss on random noise?": "If that is below log V, it sees the future: look at the mask and the "
      "shift.",
      "Train longer, then compare.": "A leak only looks better with time."},
     answer="What is its loss on random noise?")  # fmt: skip
quiz("06.q2", "Why can a causal model keep keys and values, while BERT, which looks both ways, cannot?",
     {"Its vectors are smaller.": "Size is not it.", "It has no softmax.": "It has; each row looks only back.",
      "A new token changes nothing about the past.": "Under the mask, position t depends on 0 to t alone."},
     answer="A new token changes nothing about the past.")  # fmt: skip
quiz("06.q3", "Model A has a loss of 1.2 nats per token, B one of 3.4. Which knows English better?",
     {"A, of course.": "Not if A's tokens are letters and B's are words: five letters at 1.2 nats cost 6.",
      "B.": "Nor can that be known before you divide by the bytes.",
      "Unknown: ask for bits per byte.": "Each tokenizer cuts the same bytes into another number of tokens."},
     answer="Unknown: ask for bits per byte.")  # fmt: skip

# %% [markdown]
# ## What the real systems do
# | | yours | GPT-2 XL | GPT-3 | SmolLM2-135M |
# |---|---|---|---|---|
# | blocks × width | 3 × 96 | 48 × 1,600 | 96 × 12,288 | 30 × 576 |
# | context (tokens) | 64 | 1,024 | 2,048 | 8,192 |
# | trained on | 0.5 M letters | 40 GB of text | 300 B tokens | 2 T tokens |
#
# Sources: Radford et al. 2019; Brown et al. 2020, tables 2.1 and 2.2; Allal et al. 2025. Mask, loss, block: as above.

# %% [markdown]
# ## In one breath
# - A text is its own label, shifted by one.
# - The mask makes it a prediction; noise tells whether the mask holds.
# - Attention gathers, the MLP thinks, both add.
# - Bits per byte compare any two models.
# - The past never changes, so keep it.
# - From yours to GPT-3: one class, other numbers.

# %% tags=["nbval-ignore-output"]
progress("06")
