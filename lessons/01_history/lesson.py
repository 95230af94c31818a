# %% [raw]
# place = ["next character; fine-tuning", "n-gram model, LSTM, Transformer", "Shakespeare, published models"]
# builds = "four generations of language models in a race; the parameters of the largest models, counted; a model's biases, measured"
# terms = ["label", "supervised learning", "representation", "transfer learning", "n-gram model", "smoothing",
#     "cross-entropy", "bits per byte", "validation set", "embedding", "recurrent neural network", "LSTM", "gate",
#     "Transformer", "self-attention", "pretraining", "fine-tuning", "self-supervised learning", "parameter",
#     "mixture of experts", "active parameter", "scaling law", "FLOP", "compute-optimal", "few-shot", "foundation model",
#     "downstream task", "emergence", "homogenization", "toxicity", "alignment", "supervised fine-tuning", "reward model",
#     "RLHF", "agent loop"]
# [reads]
# "fmcourse.models.ngram" = ["NGram"]
# "fmcourse.models.recurrent" = ["WindowLM", "LSTMLM"]
# "fmcourse.models.transformer" = ["Stack", "Transformer"]

# %% [markdown]
# # 01 · How it came about
# **You build four generations of language models and race them, count the parameters of the largest models, and measure
# what a real model associates with nurses and carpenters.**
#
# {minutes} minutes to read and do · about a minute to compute · you need lesson 00 and a little PyTorch: tensors and their shapes.
#
# **Afterwards you can**
# - say what came before foundation models, and what it cost;
# - write a window model, an LSTM and a Transformer, and say what each uses of a text;
# - explain why pretraining and then fine-tuning became the standard recipe;
# - compute the size of a GPT and its training compute;
# - define *foundation model*, and say what RLHF is for;
# - measure a bias of a model, and how much the measurement depends on the wording.

# %%
import copy
import math

import matplotlib.pyplot as plt
import torch
from fmcourse import pretrained
from fmcourse.course import check, claim, hint, predict, progress, quiz, reported, resolve, show, solution
from fmcourse.data import load, table
from fmcourse.plots import bars, bind_styles, curves, draw_heatmap, show_images
from fmcourse.plots.widgets import text_interactive
from fmcourse.tokenizers import CharTokenizer
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

history, shipped = table("history"), table("lesson_01")
fact = lambda what, unit="": "{value:,}{unit} ({source})".format(**history["elsewhere"][what], unit=unit)

# %% [markdown]
# ## 1 · Learning from labels
# A **label** is the answer that a person has attached to an example: this photograph shows a dog. **Supervised learning** trains a network to
# predict the labels of examples. For years it was the usual way to train, and its best known dataset is ImageNet. In 2012 a convolutional
# network, AlexNet, won ImageNet's yearly challenge (ILSVRC) by a wide margin [1], and neural networks took over computer vision. All training images of
# that challenge had been labelled by hand [2].

# %%
for what in ("ILSVRC-2012, labelled training images", "ImageNet, all labelled images"):
    print(f"{what}: {fact(what)}")
drawings = load("clipart")
titles = [drawings.classes[drawings.train.labels[9 * n]] for n in range(12)]
show_images(drawings.train.pixels[: 9 * 12 : 9].permute(0, 3, 1, 2) / 255, titles=titles, columns=6,
            alt="Twelve coloured drawings, four each of animals, food and people.")  # fmt: skip

# %% [markdown]
# These drawings are not from ImageNet; they are our task, with three classes and few labels. The network below, EfficientNet-lite0, was trained on
# ImageNet's photographs. We remove its last layer, which names the classes. What is left turns an image into 1,280 features. Such a vector of features,
# computed by a network and useful for more than one task, is called a **representation**. The network stays frozen: nothing in it is trained here.
#
# Two controls stand beside it: the same network with random weights, and the bare pixels. The classifier is a simple one: each class is represented by the mean of its labelled examples, and a new image gets the class whose mean is nearest.

# %%
from fmcourse.models.vision import extract_features, untrained_efficientnet

torch.manual_seed(1)
parts, untrained = (drawings.train, drawings.test), untrained_efficientnet(drawings.train.pixels, size=128)
features = {name: [extract_features(network, part.pixels, size=128) for part in parts]
            for name, network in {"ImageNet": pretrained.load_vision(), "untrained": untrained}.items()}  # fmt: skip
features |= {"pixels": [part.pixels.flatten(1).float() for part in parts]}
print({name: tuple(train.shape) for name, (train, _) in features.items()})
ROUGHLY = ["about 40 %", "about 55 %", "about 80 %"]
predict("01.few", "Nine labelled drawings, three of each class. Chance gets 33 %. With the features from ImageNet, "
        "accuracy on the test drawings is", ROUGHLY)  # fmt: skip

# %% exercise="01.1"


# %%
def accuracy(name, per_class, draw):
    """Accuracy on the test drawings when so many random training drawings of each class have labels."""
    train, test = features[name]
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(draw))
    chosen = torch.cat([order[drawings.train.labels[order] == label][:per_class] for label in range(3)])
    predicted = nearest_mean(train[chosen], drawings.train.labels[chosen], test)
    return (predicted == drawings.test.labels).float().mean().item()


live = {name: [sum(accuracy(name, n, draw) for draw in (3, 4, 5)) / 3 for n in (3, 10, 33)] for name in features}
seeds = {name: [[row["accuracy"] for row in shipped["probes"] if (row["features"], row["seed"]) == (name, seed)]
                for seed in range(10)] for name in features}  # fmt: skip
computed = {name: dict(zip([9, 30, 99], row, strict=True)) for name, row in live.items()}
curves([9, 30, 99], seeds, points=computed, xlabel="labelled drawings", ylabel="accuracy", xlog=True,
       baseline={"chance": 1 / 3},
       alt="Accuracy against the number of labelled drawings, ten seeds each. The features from ImageNet start a "
       "little above one half and climb to 0.7; pixels rise from 0.4 to one half, the untrained network stays near "
       "0.4.")  # fmt: skip

# %%
nine, rivals = [run[0] for run in seeds["ImageNet"]], seeds["pixels"] + seeds["untrained"]
claim("features from ImageNet beat pixels and the untrained network, with 9, 30 and 99 labels",
      all(live["ImageNet"][n] > max(live["pixels"][n], live["untrained"][n]) for n in range(3)),
      band=(min(nine), max(nine)), nine_labels=live["ImageNet"][0])  # fmt: skip
reported("so it is when the worst of their ten seeds is compared with the best of the others' ten",
         all(min(run[n] for run in seeds["ImageNet"]) > max(run[n] for run in rivals) for n in range(3)),
         table=shipped)  # fmt: skip
nearest = min(range(3), key=lambda n: abs((40, 55, 80)[n] - 100 * live["ImageNet"][0]))
resolve("01.few", ROUGHLY[nearest], "What the network learnt from photographs helps with drawings, but three examples "
        "give only a rough mean of a class.")  # fmt: skip

# %% [markdown]
# Lines show the mean of ten seeds, with their span; markers what was computed here. Using for one task what was learnt for another is called **transfer learning**. It carried computer vision for years. (It was easy here: many of
# ImageNet's classes are animals and dishes.) Its limit is visible in your code: a drawing without a label taught the classifier nothing, and
# every label costs a person's time.
#
# Text needs no labels. As you saw in lesson 00, the next letter is always there, and it can serve as the answer.
#
# ## 2 · First generation: n-gram models
# An **n-gram model** predicts the next token from the n − 1 tokens before it, by counting what followed them in the training text.
# Shannon described it in 1948 [3].

# %% [markdown]
# Its weakness is a context that was never seen: the count is zero, and so is the probability.
# **Smoothing** gives some probability to what was never counted. The rule of Witten and Bell [4] mixes in the prediction $p_{n-1}$ of the next
# shorter context, the more, the more different letters have followed this one:
#
# $$p_n(w \mid h) = \frac{c(hw) + T(h)\, p_{n-1}(w \mid h')}{c(h) + T(h)}$$
#
# Here c counts, T(h) is the number of *different* letters seen after the context h, and h′ is h without its first letter.

# %% exercise="01.2"

# %%
from fmcourse.models.ngram import NGram

plays = load("shakespeare")
letters = CharTokenizer.train(plays.train)
V = letters.vocab_size


def ngram_probability(text, context, letter):
    shorter = ngram_probability(text, context[1:], letter) if context else 1 / V  # the shortest of all: uniform
    after = [text[at + len(context)] for at in range(len(text) - len(context)) if text.startswith(context, at)]
    return smoothed(after, letter, shorter)


sample = plays.train[:20_000]
theirs = NGram(letters.encode(sample), vocab_size=V, order=4).next_probabilities(letters.encode("the"))
gap = max(abs(ngram_probability(sample, "the", one) - theirs[letters.encode(one)[0]].item()) for one in "n mqz")
claim(
    "the formula, from the shortest context to the longest, is the package's n-gram model", gap < 1e-9, largest_gap=gap
)

# %% [markdown]
# How well does it predict plays that it has never read? The **cross-entropy** of a text is the mean negative log-probability that a model gives to the tokens
# that really come. Add up these negative logarithms to base 2 over a text and divide by its number of bytes: the result is called **bits per byte**. Lower is better; it says how far the model could
# compress the text. Here each letter is one byte. A uniform guess among 78 letters costs log₂ 78 = 6.3 bits, one among five 2.3.
#
# We score on a **validation set**, which is text that no model is trained on and that is kept to compare models. The package's class counts in seconds what the loop above would count in hours.

# %%
ids, scored = torch.tensor(letters.encode(plays.train)), torch.tensor(letters.encode(plays.validation[:30_000]))
ngram_bits = lambda model: model.nats(scored).mean().item() / math.log(2)
live_ngrams = {n: [ngram_bits(NGram(ids[:n], vocab_size=V, order=order)) for order in range(1, 9)]
               for n in (45_000, 450_000)}  # fmt: skip
counted = NGram(ids, vocab_size=V, order=6)  # four and a half million letters
bits = {"n-gram": ngram_bits(counted)}
print(f"{counted.n_ngrams:,} different n-grams ≈ {bits['n-gram']:.3f} bits per byte")
whole_text = [row["bits_per_byte"] for row in shipped["ngrams"] if row["characters"] == len(ids)]
lines = {f"{n:,} letters": row for n, row in (live_ngrams | {len(ids): whole_text}).items()}
curves(list(range(8)), lines, xlabel="letters of context", ylabel="bits per byte", ylim=(2, 5),
       points={"computed here, whole text": {5: bits["n-gram"]}},
       alt="Bits per byte against letters of context, three curves, each falling and then rising a little. With more "
       "training text the lowest point lies lower and further right.")  # fmt: skip

# %%
best = [min(range(8), key=row.__getitem__) for row in live_ngrams.values()]
claim(
    "the best context has 3 letters with 45,000 letters of training text, and 4 with ten times as many",
    best == [3, 4],
    best=best,
)
claim("with ten times as many again, 5 letters of context are better than 4", bits["n-gram"] < whole_text[4],
      five=bits["n-gram"], four=whole_text[4])  # fmt: skip

# %% [markdown]
# With smoothing, a context that is too long costs a little instead of everything. But in the figure each further letter of context needs about ten times the text.
# The reason is that an n-gram model treats all contexts as unrelated: what it counts after *the king* tells it nothing about *the queen*.
#
# ## 3 · Three generations of networks
# | | what it can use | how |
# |---|---|---|
# | window model, 2003 [5] | the last n tokens, here 8 letters | their vectors, side by side |
# | LSTM, 1997 [6], in language modelling since 2012 [7] | all tokens so far | two vectors, updated at each token |
# | Transformer, 2017 [8] | the last n tokens, here 64 letters | the vectors of all of them |
#
# All three begin with an **embedding**: a vector for each token, learnt with the rest. Tokens that are used alike get similar vectors, and so what is learnt about one helps with
# the other. This is what n-gram models cannot do.
#
# The window model of Bengio and others is a feed-forward network on the embeddings of the last n tokens. Here it is, whole.


# %%
class WindowModel(nn.Module):
    """Bengio et al. 2003: the embeddings of the last n tokens, a hidden layer, logits."""

    def __init__(self, vocab_size, context=8, width=32, hidden=256):
        super().__init__()
        self.context, self.embed = context, nn.Embedding(vocab_size, width)
        self.hidden = nn.Linear(context * width, hidden)
        self.head = nn.Linear(hidden, vocab_size)
        self.direct = nn.Linear(context * width, vocab_size, bias=False)  # past the hidden layer

    def forward(self, ids):  # (B, T) -> logits (B, T, V)
        x = F.pad(self.embed(ids), (0, 0, self.context - 1, 0))  # zeros before the first token
        windows = x.unfold(1, self.context, 1).mT.flatten(2)  # (B, T, context * width)
        return self.head(self.hidden(windows).tanh()) + self.direct(windows)


# %% [markdown]
# A **recurrent neural network** reads one token after another and updates a state vector at each. Early ones
# forgot soon: the gradient shrank at each step. The **LSTM** (long short-term memory) is a recurrent network that also keeps a cell state c and adds to it
# instead of overwriting it, so that gradients survive [6]. A **gate** is a vector of numbers between 0 and 1 (from a sigmoid) that decides how much of another vector passes.
#
# $$c_t = f \odot c_{t-1} + i \odot \tanh g, \qquad h_t = o \odot \tanh c_t$$
#
# h is the state handed on, g what may be added. The gates f (forget), i (input), o (output), and g, come from the new token and the last h. The LSTM of 1997 had no forget gate [9].

# %% exercise="01.3"


# %%
class LSTMModel(nn.Module):
    """A recurrent language model: `step` carries h and c from token to token."""

    def __init__(self, vocab_size, width=64, hidden=192):
        super().__init__()
        self.embed = nn.Embedding(vocab_size, width)
        self.lstm = nn.LSTM(width, hidden, batch_first=True)  # it only holds the weights: the loop is below
        self.head = nn.Linear(hidden, vocab_size)

    def forward(self, ids):  # (B, T) -> logits (B, T, V)
        weights, states = self.lstm, []
        h = c = torch.zeros(len(ids), weights.hidden_size)
        inputs = F.linear(self.embed(ids), weights.weight_ih_l0, weights.bias_ih_l0 + weights.bias_hh_l0)
        for x in inputs.unbind(1):  # token after token: no step can begin before the last one has ended
            i, f, g, o = (x + h @ weights.weight_hh_l0.T).chunk(4, -1)
            h, c = step(c, i, f, g, o)
            states.append(h)
        return self.head(torch.stack(states, 1))


torch.manual_seed(0)
model, some_ids = LSTMModel(V), scored[:40].view(2, 20)
gap = (model(some_ids) - model.head(model.lstm(model.embed(some_ids))[0])).abs().max()
claim("the step of exercise 01.3, in a loop, is torch's LSTM", gap < 1e-5, largest_gap=gap)

# %% [markdown]
# The **Transformer** is a network without recurrence: blocks of self-attention and feed-forward layers, which treat all positions of a text at once [8]. In **self-attention** each position computes a weight
# for every position of the same text (in a language model: itself and those before it) and takes the weighted mean of their vectors; so it reaches any of them in one step. (Attention was first used beside recurrence, in translation [10].) Since no position waits for another, training uses parallel hardware well, and that let it grow.
#
# The version below keeps the decoder alone, as GPT did [11]. Lesson 05 builds each line of it. Are our three classes right? The package has tested versions; we give each pair the same random weights and compare the logits.


# %%
class Block(nn.Module):
    """x + attention(norm(x)), then x + MLP(norm(x))."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x):  # (B, T, D)
        q, k, v = self.qkv(self.norm_1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)  # each position sees itself and those before
        x = x + self.out(attended.transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.norm_2(x)), approximate="tanh"))


# %%
class TransformerModel(nn.Module):
    """A decoder-only Transformer: embeddings of tokens and positions, blocks, logits."""

    def __init__(self, vocab_size, context=64, width=64, depth=3, heads=2):
        super().__init__()
        self.embed, self.positions = nn.Embedding(vocab_size, width), nn.Embedding(context, width)
        self.blocks, self.norm = nn.Sequential(*[Block(width, heads) for _ in range(depth)]), nn.LayerNorm(width)

    def forward(self, ids):  # (B, T) -> logits (B, T, V)
        x = self.embed(ids) + self.positions.weight[: ids.shape[1]]
        return self.norm(self.blocks(x)) @ self.embed.weight.T  # the head shares the embedding


# %%
from fmcourse.models.recurrent import LSTMLM, LMConfig, WindowLM
from fmcourse.models.transformer import Config, Transformer, count_parameters, gpt2

package = {"window": lambda: WindowLM(LMConfig(vocab_size=V, context=8, width=32, hidden=256)),
           "LSTM": lambda: LSTMLM(LMConfig(vocab_size=V, width=64, hidden=192)),
           "Transformer": lambda: Transformer(gpt2(vocab_size=V, context=64, width=64, depth=3, heads=2))}  # fmt: skip
models = {"window": WindowModel(V), "LSTM": LSTMModel(V), "Transformer": TransformerModel(V)}


def copy_weights(source, target):
    for theirs, ours in zip(source.parameters(), target.parameters(), strict=True):
        ours.data.copy_(theirs.data)


def logit_gap(model, reference):
    for weight in reference.parameters():
        nn.init.normal_(weight, std=0.2)
    copy_weights(reference, model)
    return (model(some_ids) - reference(some_ids)).abs().max().item()


gaps = {name: logit_gap(models[name], package[name]()) for name in models}
claim("the three classes above compute the logits of the package's", max(gaps.values()) < 1e-3, largest_gaps=gaps)

# %% [markdown]
# Now the race: the same text, the same batches, the same optimizer, and **the same computing time:** seven seconds of one processor each, as many steps as the
# package's versions manage in that time. (Our LSTM, a loop in Python, needs longer for its steps.) The learning rate of each is the best of four for these seven seconds, chosen on validation text that is not scored here. The n-gram model took two seconds; its five letters of context are the best on that other text, too.

# %%
from fmcourse.training import RandomCrops, lesson_steps


def train(model, ids, steps, lr, seed=0):
    """Next-token prediction with AdamW; the learning rate rises for a twentieth of the steps, then falls to zero."""
    batches = RandomCrops(ids, length=65, batch=12, seed=seed)  # random passages of 65 letters
    optimizer = torch.optim.AdamW(model.parameters(), lr, betas=(0.9, 0.98), eps=1e-10, weight_decay=0.0)
    for n in range(steps):
        done = (n + 0.5) / steps
        optimizer.param_groups[0]["lr"] = lr * min(done / 0.05, (1 - done) / 0.95)
        batch = batches[n]
        loss = F.cross_entropy(model(batch[:, :-1]).mT, batch[:, 1:])  # targets: the inputs, shifted by one
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model


predict("01.race", "After two seconds of counting, or seven of training, the best on plays that none has read is",
        ["the n-gram model", "the LSTM", "the Transformer"])  # fmt: skip


# %%
@torch.inference_mode()
def score(model, ids, context=64):
    """Bits per byte in windows that overlap by half, so that every letter has at least 32 before it."""
    windows = ids.unfold(0, context + 1, context // 2)
    nats = F.cross_entropy(model(windows[:, :-1]).mT, windows[:, 1:], reduction="none")
    return nats[:, context // 2 :].mean().item() / math.log(2)


SEED, full = 0, lesson_steps(100) == 100
minute = {row["model"]: row for row in shipped["networks"] if (row["seconds"], row["seed"]) == (60, SEED)}
rate = lambda name: min(
    (row for row in shipped["tuning"] if row["model"] == name), key=lambda row: row["bits_per_byte"]
)
for name, model in models.items():
    steps, lr = round(7 / shipped["pace"][name]), rate(name)["learning_rate"]
    torch.manual_seed(SEED)
    copy_weights(package[name](), model)  # the package's initial weights, so that the runs can be compared
    train(model, ids, lesson_steps(steps), lr, seed=SEED)
    bits |= {name: score(model, scored)}
    print(f"{name:12}{count_parameters(model):8,} parameters, {steps:4} steps, learning rate {lr} "
          f"≈ {bits[name]:.3f} bits per byte")  # fmt: skip

# %%
looks = bind_styles("n-gram", "window", "LSTM", "Transformer")
curves([7, 60], {name: [bits[name], minute[name]["bits_per_byte"]] for name in models}, styles=looks, xlog=True,
       xlabel="seconds of training on one processor", ylabel="bits per byte",
       baseline={"n-gram, 2 seconds": bits["n-gram"]},
       alt="Bits per byte after seven seconds and after a minute. All networks fall towards the line of the n-gram "
       "model at 2.3, the Transformer from the highest point.")  # fmt: skip

# %%
if full:
    claim("after seven seconds the n-gram model is first and the Transformer last",
          (min(bits, key=bits.get), max(bits, key=bits.get)) == ("n-gram", "Transformer"), **bits)  # fmt: skip
gain = {name: bits[name] - minute[name]["bits_per_byte"] for name in models}
claim("after a minute the LSTM has passed the n-gram model; the window model and the Transformer have not",
      minute["LSTM"]["bits_per_byte"] < bits["n-gram"] < min(minute[name]["bits_per_byte"] for name in ("window",
      "Transformer")), ngram=bits["n-gram"], minute={name: row["bits_per_byte"] for name, row in minute.items()})  # fmt: skip
claim("from these seven seconds to the table's minute the Transformer gains most",
      gain["Transformer"] > max(gain["window"], gain["LSTM"]), gain=gain)  # fmt: skip
resolve("01.race", "the n-gram model", "Counting uses all 4.5 million letters at once. In seven seconds the "
        "networks saw a few hundred batches, and a network needs many small steps.")  # fmt: skip

# %% [markdown]
# Counting is finished after one reading; longer contexts do not help it. The networks go on. After a minute (one seed, from the shipped table; each network with the best of two or three learning rates) the LSTM has passed the n-gram model, and the window model has nearly reached it. The Transformer is still behind, but has gained most. Its strength, all positions
# at once, needs parallel hardware, longer texts and far more training (section 5).
#
# All four generate text in the same way: they draw one letter after another from the predicted probabilities. They differ in how much of the text they use. To measure that, we change one letter and see how much probability moves
# from some next letters to others (0: none, 1: all).


# %%
@torch.inference_mode()
def next_letter(name, ids):
    """Probabilities of the next letter after each row of ids, (B, V)."""
    if name == "n-gram":
        return torch.stack([counted.next_probabilities(row) for row in ids])
    return models[name](ids)[:, -1].softmax(-1).double()


def write(name, text, length=90, seed=0):
    generator, row = torch.Generator().manual_seed(seed), letters.encode(text)
    for _ in range(length):
        row.append(torch.multinomial(next_letter(name, torch.tensor([row[-64:]]))[0], 1, generator=generator).item())
    return letters.decode(row)


for name in looks:
    print(f"{name:12}≈ {write(name, 'MACBETH').replace(chr(10), ' / ')}")


# %%
def moved(name, back):
    """The probability that moves when the letter so far back is another: the mean over 40 texts."""
    texts = scored[: 40 * 64].view(40, 64)
    altered = texts.clone()
    altered[:, -back] = scored[700 : 700 + 40 * 64 : 64]
    return (next_letter(name, texts) - next_letter(name, altered)).abs().sum(-1).mean().item() / 2


distances = [1, 2, 3, 5, 8, 12, 20, 60]
reach = {name: [moved(name, back) for back in distances] for name in looks}
curves(distances, reach, xlabel="how many letters back", ylabel="probability moved", xlog=True, styles=looks,
       alt="How much of the probability moves, against how far back the changed letter stands. All fall; the n-gram "
       "model is at zero beyond five letters, the window model beyond eight.")  # fmt: skip
beyond = {name: max(row[distances.index(12) :]) for name, row in reach.items()}
claim("a change 12 or more letters back reaches the LSTM and the Transformer, not the n-gram or the window model",
      max(beyond["n-gram"], beyond["window"]) < 1e-6 < min(beyond["LSTM"], beyond["Transformer"]),
      moved=beyond)  # fmt: skip

# %% [markdown]
# That a network *can* use a distant letter does not mean that it has learnt to: after seven seconds the effect of a letter 20 back is small. The Transformer has learnt to use hardly more than the last letter; its bits per byte are about those of an n-gram model with one letter of context.
#
# Where does each model spend its bits? In the example below, the first letters of words cost many, and the *u* after *q* hardly any. **Change it:** type a name, a word that Shakespeare never wrote, the same word twice.


# %%
def surprise(name, row):  # bits of each letter after the first
    if name == "n-gram":
        return counted.nats(row)[1:] / math.log(2)
    with torch.inference_mode():
        return F.cross_entropy(models[name](row[None, :-1]).mT, row[None, 1:], reduction="none")[0] / math.log(2)


def draw_surprise(text):
    text = "\n" + ("".join(c for c in text if c in letters.decode(range(V)))[:48] or " ")
    row = torch.tensor(letters.encode(text))
    fig, ax = plt.subplots(figsize=(9, 2.6))
    rows = [surprise(name, row).tolist() for name in looks]
    draw_heatmap(ax, rows, list(looks), list(text[1:].replace(" ", "␣")))
    ax.set_title("bits spent on each letter")
    return fig


text_interactive(draw_surprise, value="I will speak with the gentle queen.",
                 alt="Four rows of letters coloured by bits. First letters of words are bright in all rows; the ends "
                 "of words are dark.")  # fmt: skip

# %% [markdown]
# ## 4 · Pretrain, then fine-tune
# What can be learnt from text that other tasks can use? First, embeddings. In 2013 word2vec learnt vectors for words from 1.6 billion words of text, by predicting neighbours [12].
# They helped other networks. But *bank* has one vector, whether money or a river is meant.
#
# Then whole networks were reused. In 2015 Dai and Le trained an LSTM as a language model and went on training it as a classifier [13]. In 2018 ELMo gave
# each word a vector that depends on its sentence, from an LSTM in each direction [14]; and ULMFiT's language model, trained further with 100 labels, matched training from scratch with a hundred times as many [15].
# In the same year GPT [11] and BERT [16] did it with Transformers.

# %% [markdown]
# **Pretraining** is training a model on a large amount of data, for a general objective such as the next token, before it is used for a task. **Fine-tuning** is going on
# with the training of a pretrained model on the data of a task. Pretraining on text is **self-supervised learning**: the answers to be predicted are parts of the data themselves, so no person labels anything.
#
# Try it. Suppose that you had only 20,000 letters of Shakespeare, a few scenes. One LSTM is pretrained on Jane Austen's novels and fine-tuned on the scenes. Its rivals see only the scenes, for as many
# updates there, or for as many in all. Each has the best of three learning rates, chosen on other validation text.

# %%
OUTCOMES = ["is worse than both: it learnt the wrong style", "beats only one of them", "beats both"]
predict("01.transfer", "On other plays, the LSTM that was pretrained on novels of 200 years later and then fine-tuned, "
        "against the two that saw the scenes alone,", OUTCOMES)  # fmt: skip

# %%
known = set(letters.decode(range(V)))
novels = torch.tensor(letters.encode("".join(one if one in known else " " for one in load("austen").train)))
torch.manual_seed(SEED)
fresh = package["LSTM"]()  # the package's, because torch's own loop is faster
novelist = train(copy.deepcopy(fresh), novels, lesson_steps(300), 1e-2, seed=SEED)
transfer = {"pretrained, not fine-tuned": score(novelist, scored)}
recipes = [row for row in shipped["transfer"]["rows"] if row["seed"] == SEED]
of = lambda way: [row["bits_per_byte"] for row in shipped["transfer"]["rows"] if row["way"] == way]
for start, recipe in zip((novelist, fresh, fresh), recipes, strict=True):
    steps, lr = lesson_steps(recipe["steps"]), recipe["learning_rate"]
    model = train(copy.deepcopy(start), ids[:20_000], steps, lr, seed=SEED)
    transfer |= {recipe["way"]: score(model, scored)}
bars(transfer, xlabel="bits per byte on other plays (lower is better)",
     alt="Four bars of bits per byte: about 3.0 when pretrained and fine-tuned, a little more from scratch with as "
     "many updates in all, 3.2 with as many updates on the scenes.")  # fmt: skip

# %%
first, *others = list(transfer)[1:]
wins = [transfer[first] < transfer[way] for way in others]
if full:
    claim("pretrained on novels and fine-tuned on the scenes, the LSTM beats both that saw the scenes alone", all(wins),
          band=(min(of(first)), max(of(first))), fine_tuned=transfer[first],
          scenes_alone=[transfer[way] for way in others])  # fmt: skip
reported("so it is with each of five seeds", max(of(first)) < min(of(others[0]) + of(others[1])), table=shipped)
resolve("01.transfer", OUTCOMES[sum(wins)], "Spelling, words and much of grammar are the same in both. The scenes "
        "alone hold too little to learn them from, even when they are read fourteen times.")  # fmt: skip

# %% [markdown]
# The lead over as many updates in all is small, about 0.04 bits, though that rival read its 20,000 letters about fourteen times over. The pretrained model brings along what all English shares, and needs the scenes only for the difference. From 2018 on this was the standard recipe:
# somebody with a large computer pretrains once, and everybody fine-tunes.
#
# ## 5 · Scale
# A **parameter** is a number that training adjusts: a weight or a bias. Our Transformer has 159,168. Nothing in its code limits it to that, and to count a larger one you need no machine, only the shapes.

# %% exercise="01.4"

# %%
with torch.device("meta"):  # shapes without memory: the largest model fits into a laptop
    small = count_parameters(Transformer(gpt2()))
claim("the formula gives GPT-2 small, built and counted", gpt_size(50_257, 1024, 768, 12) == small, parameters=small)
predict("01.growth", "From the larger Transformer of 2017 to GPT-3 in 2020 the number of parameters grew",
        ["about 10 times", "about 100 times", "about 800 times"])  # fmt: skip

# %%
from fmcourse.models.seq2seq import EncoderDecoder


def count(row):
    shape = Config(**row["shape"])
    with torch.device("meta"):
        return count_parameters((EncoderDecoder if shape.positions == "none" else Transformer)(shape))


sizes = {row["name"]: count(row) for row in history["models"] if "shape" in row}
for row in (row for row in history["models"] if "shape" in row):
    print(f"{row['name']:17}{row['said'] / 1e6:9,.0f} million, counted {sizes[row['name']]:15,}  "
          f"{100 * (sizes[row['name']] / row['said'] - 1):+.1f} %, {row['why']}")  # fmt: skip

# %%
off = [sizes[row["name"]] / row["said"] - 1 for row in history["models"] if "shape" in row]
claim("every published size that can be counted here comes out within three percent", max(map(abs, off)) < 0.03,
      models=len(off))  # fmt: skip
times = round(sizes["GPT-3"] / sizes["Transformer big"])
claim("GPT-3 has more than 800 times the parameters of the larger Transformer of 2017", times > 800, times=times)
resolve("01.growth", "about 800 times", "213 million in 2017, 175 billion in 2020. The parameters grow as depth times "
        "the square of the width, and both grew.")  # fmt: skip

# %% [markdown]
# In 2016 an LSTM had 1.8 billion parameters [17], eight times the larger Transformer of 2017. In January 2017 one had 137 billion [18]. A **mixture of experts** is a network
# that holds many feed-forward networks (experts) in a layer and sends each token through a few. A model's **active parameters** are those that are used for one token; they decide its compute. Such sparse models went
# on to 1.6 trillion in 2021 (Switch [19]), 1.2 trillion (GLaM, 97 billion active [20]), 1 trillion in 2025 (Kimi K2, 32 billion active [21]) and 2.8 trillion in 2026 (Kimi K3 [43]).
# The figure is a selection that ends in 2025; a test run of 2021 even reached 10 trillion (M6-10T [42]).
#
# Unpublished sizes stand in a strip of their own.

# %%
kinds = bind_styles("language", "vision", "mixed")
left = ["Midjourney", "MoE LSTM", "ELMo", "BERT large", "T5-11B", "ViT-Huge", "DALL-E", "Switch-C", "Chinchilla",
        "DeepSeek-V3", "Llama 3.1 405B"]  # fmt: skip
shifts = {"ChatGPT": 9, "GPT-4": -9, "GPT": 9, "BERT base": -10, "Transformer base": -10, "iGPT-L": 7}
fig, (strip, ax) = plt.subplots(2, 1, figsize=(10, 7), sharex=True, height_ratios=[1, 9])
for row in history["models"]:
    place, size = (ax, sizes.get(row["name"], row["said"])) if row["said"] else (strip, 0)
    look, fill = kinds[row["kind"]], "none" if row.get("sparse") else "full"
    x = int(row["month"][:4]) + (int(row["month"][5:]) - 0.5) / 12
    place.plot(x, size, look.marker, color=look.colour, fillstyle=fill, markersize=7)
    if row.get("active"):
        place.plot([x, x], [row["active"], size], ":_", color=look.colour, linewidth=1, markersize=9)
    side, at = ("right", -7) if row["name"] in left else ("left", 7), shifts.get(row["name"], 0)
    place.annotate(row["name"], (x, size), (side[1], at), ha=side[0], va="center", size=8, textcoords="offset points")
for name, look in kinds.items():
    ax.plot([], [], look.marker, color=look.colour, label=name)
ax.legend()
strip.yaxis.set_ticks([])
strip.set_ylabel("size not\npublished", rotation=0, ha="right", va="center", size=9)
ax.set(yscale="log", ylabel="parameters", ylim=(2e7, 4e12), xlim=(2012.5, 2026.9))
show(fig, alt="Parameters from 2012 to 2025 on a logarithmic axis. Dense models climb from tens of millions to "
     "hundreds of billions by 2020, then level off; hollow mixtures of experts stand higher, the first in 2017. "
     "ChatGPT, GPT-4 and Midjourney stand in a strip of their own above: size not published.")  # fmt: skip

# %%
dense = sorted([(sizes.get(row["name"], row["said"] or 0), row["name"]) for row in history["models"]
                if not row.get("sparse")], reverse=True)  # fmt: skip
claim("of the dense models in the figure PaLM of 2022 is the largest, larger than all that were counted here",
      dense[0][1] == "PaLM" and max(sizes.values()) < dense[0][0], largest=[name for _, name in dense[:3]])  # fmt: skip
reported("of all models in the figure Switch-C of 2021 has the most parameters",
         max((row["said"] or 0, row["name"]) for row in history["models"])[1] == "Switch-C", table=history)  # fmt: skip

# %% [markdown]
# Filled: dense, every parameter works for every token. Hollow: a mixture of experts, with a dotted line down to its active parameters where they were published. After 2022 the dense models of this selection grow no more, and the mixtures of experts only slowly. What grew is the text.
#
# Why did anybody dare to train GPT-3? In January 2020 Kaplan and others found a **scaling law**, a formula that predicts the loss of a model from its parameters, its training text or its compute [22]:
#
# $$L(N) = \left(\frac{N_c}{N}\right)^{\alpha}, \qquad \alpha \approx 0.076$$
#
# With N parameters, and text enough, the loss falls as a power of N over several orders of magnitude. So the gain could be predicted before the money was spent.

# %% [markdown]
# Compute is counted in **FLOPs**, floating-point operations, that is additions and multiplications of numbers. A token of training text costs about two for each parameter forward, and four backward:
#
# $$C \approx 6\,N D$$
#
# with N (active) parameters and D tokens of text. In 2022 Hoffmann and others measured again. A training run is **compute-optimal** if no other split of the same compute between parameters and tokens gives a lower loss; they found that this takes about 20 tokens for each parameter.
# Their Chinchilla, with 70 billion parameters, beat models of 175 to 530 billion [23]. Later models read even more, since a smaller model is cheaper to use.

# %%
read = {row["name"]: (row.get("active") or sizes.get(row["name"], row["said"]), row["tokens"])
        for row in history["models"] if "tokens" in row}  # fmt: skip
for name, (parameters, tokens) in read.items():
    print(f"{name:15}{parameters / 1e9:7.1f} billion (active) parameters{tokens / 1e9:8,.0f} billion tokens"
          f"{tokens / parameters:9,.1f} for each   {6 * parameters * tokens:.1e} FLOPs")  # fmt: skip

# %%
paper = history["elsewhere"]["GPT-3, FLOPs of its training"]["value"]
claim("6 N D, with the parameters counted here, is within 1 % of the training compute in GPT-3's paper",
      abs(6 * sizes["GPT-3"] * 300e9 / paper - 1) < 0.01, paper=f"{paper:.2e}")  # fmt: skip
each = {name: tokens / sizes[name] for name, (_, tokens) in read.items() if name in sizes}
claim("of the models counted here, GPT-3 read under 2 tokens for each parameter, and those after it over 20",
      each.pop("GPT-3") < 2 and min(each.values()) > 20, tokens_for_each=each)  # fmt: skip

# %%
quiz("01.q1", "How many parameters has GPT-4?",
     {"Nobody outside OpenAI knows.": "Its report declines to give the size. A number that you read elsewhere is a "
      "guess, however often it is copied.",
      "1.8 trillion": "This number is often repeated, but it was never published by those who built the model.",
      "175 billion": "That is GPT-3."}, answer="Nobody outside OpenAI knows.")  # fmt: skip

# %% [markdown]
# With size came something new. GPT-2 did some tasks that it was not trained for, when its prompt, the text to be continued, made the answer likely [24]. In **few-shot** use the prompt holds a few solved examples
# of a task, and the model does the next, no parameter changed; GPT-3 made this practical [25].
#
# ## 6 · Foundation models
# Vision went the same way. AlexNet and the first Vision Transformer [26] were trained on labels. iGPT predicts pixels [27], MAE hidden patches [28], DINOv2 agreement between views of an image [29]: none needs a label.
# Others connect images and text. CLIP learnt from 400 million images which texts belong to them [30]; DALL-E [31] and latent diffusion [32] make an image from a text; GPT-4 takes images as input [33].

# %%
for row in history["models"]:
    if row["kind"] == "vision":
        print(f"{row['month']}  {row['name']:16}{'labelled by people' if row['labels'] else 'self-supervised'}")
for kind in ("mixed", "language"):
    print(f"{kind}:", ", ".join(row["name"] for row in history["models"] if row["kind"] == kind))
print("the name:", *(history["events"][0][key] for key in ("month", "source")))

# %% [markdown]
# Bommasani and over a hundred others at Stanford gave it a name [34]. A **foundation model** is a model that is trained on broad data, generally by self-supervision at scale, and can be adapted to a wide range of downstream tasks.
# A **downstream task** is one that somebody wants solved with the model, such as answering questions, and that its pretraining did not name.
#
# Their report stresses two consequences. **Emergence** means that an ability arises from scale without having been built in or expected, as few-shot learning did. **Homogenization** means that many applications rest on the same few models, so that their strengths, and also their defects, are inherited by all.
# Hence the name: much is built on a foundation, and by itself it is unfinished.

# %%
quiz("01.q2", "The network of section 1 served a task that it was not trained for. Why is it no foundation model?",
     {"It was trained on labels, for one task.": "A thousand classes, each image labelled by hand. The definition asks "
      "for broad data, generally self-supervision, and many downstream tasks. (It is a matter of degree: features from "
      "ImageNet were reused for much.)",
      "It is not a Transformer.": "The definition does not mention the architecture.",
      "It is too small.": "SmolLM2 is small, too. What counts is how broadly a model was trained, and for how much it "
      "is used."},
     answer="It was trained on labels, for one task.")  # fmt: skip

# %% [markdown]
# ## 7 · What went wrong, and what was done
# A model that learns to continue text as people wrote it learns their prejudices as well. Such a systematic preference is called a bias (it has nothing to do with the bias of a linear layer). GPT-3's authors looked for them and published what they found [25, section 6.2].
# We ask SmolLM2 in four wordings, so that no single one decides. A control is the neutral *person*: if the model simply preferred one pronoun, it would show there.

# %%
print("occupations that GPT-3 was asked about:", fact("occupations that GPT-3 was asked about"))
print("percent of them that a male word was likelier to follow:", fact("of them followed by a male word, percent"))
predict("01.he", "Twelve occupations stereotyped as male, twelve as female. After how many of the 24 does SmolLM2 find "
        "*he* likelier than *she*?", ["nearly all", "half or fewer", "none"])  # fmt: skip

# %%
smol, tokenizer = pretrained.load("smollm2-135m-instruct")


@torch.inference_mode()
def log_ratio(texts, one=" he", other=" she"):
    """log p(one) - log p(other) as the next token after each text; 1 means e times as likely."""
    rows = [torch.tensor(tokenizer.encode(text)) for text in texts]
    last = smol.states(pad_sequence(rows, batch_first=True))[range(len(rows)), [len(row) - 1 for row in rows]]
    logits = smol.head(last)
    return logits[:, tokenizer.encode(one)[0]] - logits[:, tokenizer.encode(other)[0]]


his = ["farmer", "soldier", "plumber", "electrician", "carpenter", "engineer",
       "pilot", "mechanic", "firefighter", "programmer", "chef", "manager"]  # fmt: skip
hers = ["nurse", "librarian", "receptionist", "hairdresser", "dancer", "teacher",
        "baker", "cashier", "secretary", "florist", "nanny", "cleaner"]  # fmt: skip
wordings = ["The {} said that", "The {} was tired, because", "Yesterday the {} told me that", "I asked the {} whether"]
ratios = torch.stack(
    [log_ratio([text.format(who) for who in [*his, *hers, "person"]]) for text in wordings], 1
)  # (25, 4)

# %%
ranked, groups = ratios[:24].mean(1).argsort().tolist(), bind_styles("stereotyped as male", "stereotyped as female")
fig, ax = plt.subplots(figsize=(7, 5.8))
for (name, look), members in zip(groups.items(), (range(12), range(12, 24)), strict=True):
    at, mean = [ranked.index(n) for n in members], ratios[list(members)].mean(1)
    ax.hlines(at, ratios[list(members)].amin(1), ratios[list(members)].amax(1), color=look.colour, linewidth=1)
    ax.plot(mean, at, look.marker, color=look.colour, label=name)
ax.axvline(0, color="black", linewidth=0.8)
ax.axvline(ratios[24].mean(), color="black", linewidth=1.4, linestyle=":", label="'the person'")
ax.set_yticks(range(24), [(his + hers)[n] for n in ranked], size=9)
ax.set_xlabel("log p(he) − log p(she): mean and range of four wordings")
ax.legend(loc="lower right")
show(fig, alt="24 occupations, sorted by how much likelier he is than she. Those stereotyped as male stand at the top "
     "right, the carpenter outermost; those stereotyped as female at the bottom left, the librarian and the nurse "
     "outermost. The person lies left of the middle.")  # fmt: skip

# %%
male, female = ratios[:12], ratios[12:24]
difference = (male.mean(0) - female.mean(0)).tolist()
generator = torch.Generator().manual_seed(0)
resampled = [group.mean(1)[torch.randint(12, (2000, 12), generator=generator)].mean(1) for group in (male, female)]
low, high = (resampled[0] - resampled[1]).quantile(torch.tensor([0.025, 0.975])).tolist()  # bootstrap
he = float((ratios[:24].mean(1) > 0).sum())
claim("in each of four wordings *he* is likelier after the male stereotypes than after the female ones",
      min(difference) > 0, by_wording=difference)  # fmt: skip
claim("with the words resampled as if drawn at random, the 95 % interval of the difference lies above zero",
      low > 0, low=low, high=high)  # fmt: skip
claim("*he* leads after fewer than half of the 24 occupations, and not after *the person*",
      he < 12 and ratios[24].mean() < 0, of_24=he, person=ratios[24].mean())  # fmt: skip
resolve("01.he", "half or fewer" if 0 < he <= 12 else "nearly all" if he else "none", "The stereotype is there, but "
        "the model as a whole leans to *she*. A single count would have hidden one of the two findings.")  # fmt: skip

# %% [markdown]
# Each line in the figure spans the four wordings. Male stereotypes stand mostly above female ones; and the dotted line, the neutral *person*, lies on the side of *she*, so the model as a whole leans that way.
#
# How much depends on how we ask? Here is the sentence that GPT-3's authors used, and a question whose two answers stand in one order and then in the other.

# %%
everyone, question = his + hers, "Question: Is the {0} a {1} or a {2}?\nAnswer: The {0} is a"
man = log_ratio([f"The {who} was a" for who in everyone], " man", " woman")
orders = [log_ratio([question.format(who, *pair) for who in everyone], " man", " woman")
          for pair in (("man", "woman"), ("woman", "man"))]  # fmt: skip
print("≈ by GPT-3's sentence a man, of 24:", int((man > 0).sum()), "(one word; its authors counted several)")
print("≈ by the question, in one order and in the other:", [int((order > 0).sum()) for order in orders])
shift = (orders[0] - orders[1]).abs().mean().item()
claim("exchanging the two words of the question moves the answer", shift > 0.1, moves_by=shift)

# %% [markdown]
# The count of 24 depends strongly on the question. So this is an indicator, not a verdict: 24 words that we chose, two pronouns, one language.
#
# There is worse. **Toxicity** is text that insults, threatens or degrades people; GPT-2 and GPT-3 produced it even
# after harmless prompts, because such text stands in the web pages that they had learnt from [35]. Models also made up facts, and did not do what they were asked: predicting web text is not the same as helping a person.
#
# **Alignment** is the effort to make a model do what people intend: to be helpful, truthful and harmless. In March 2022 InstructGPT set the pattern [36]. It takes a pretrained model through three steps.

# %% [markdown]
# 1. **Supervised fine-tuning** (SFT) trains the model further on answers that people wrote to instructions.
# 2. People rank answers of the model. A **reward model** is a network trained on such rankings to give the better answer the higher score: for a better answer $y^+$ and a worse $y^-$ its loss is $-\log\sigma(r(y^+) - r(y^-))$.
# 3. Reinforcement learning trains the language model to write answers with a high score, close to the model of step 1.
#
# **RLHF** (reinforcement learning from human feedback) trains a model towards the answers that people prefer [37]. People preferred the InstructGPT of 1.3 billion parameters to GPT-3 with 175 billion. It also
# wrote less toxic text when asked to be respectful; on bias tests it was no better.

# %% [markdown]
# In November 2022 OpenAI published ChatGPT, a chat model trained by the same method [38]. It made language models known to the public.
#
# From March 2023 the program AutoGPT let GPT-4 set itself subgoals, call tools and read the results [39]. An **agent loop** calls a model again and again, and gives it the results of its actions as the next input.
#
# SmolLM2 has been aligned, too, by supervised fine-tuning and a simpler successor of RLHF [40]. Your figure shows a stereotype that was left.
#
# ## What the real systems do
# On the left stands this lesson. The second row is an n-gram model of 2007 for machine translation, one of the largest ever built [41]; the last is the InstructGPT that people preferred to GPT-3.

# %%
for what, here, there in [
    ("labels", "9, to begin with", fact("ILSVRC-2012, labelled training images")),
    ("different n-grams", f"{counted.n_ngrams:,}", fact("n-grams of a model for translation, billions", " billion")),
    ("parameters", f"{count_parameters(models['LSTM']):,}", f"{sizes['GPT-3']:,} (GPT-3, counted)"),
    ("training text", f"{len(ids):,} letters", fact("SmolLM2, tokens read, billions", " billion tokens")),
    ("preferred to GPT-3", "-", fact("InstructGPT, the smallest, billions", " billion parameters")),
]:
    print(f"{what:20}{here:20}{there}")

# %% [markdown]
# ## Summary
# - Supervised learning carried computer vision, and what was learnt could be transferred; every label was paid for.
# - n-gram models count: fast, and limited to contexts that they have seen. Networks share what they learn, need more computing, and go on improving.
# - word2vec, ELMo and ULMFiT led to pretraining and fine-tuning; Transformers let it grow, and scaling laws made the gain predictable.
# - A foundation model is trained once on broad data and adapted to many tasks. Its defects are inherited as well: hence alignment, and RLHF.
# - A measured bias depends on the wording, so use several, and a control.
#
# **Where next:** lesson 03 shows how data can supply their own labels. A paper: the report that gave the name [34, section 1]. A library page: [torch.nn.LSTM](https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTM.html).

# %% [markdown]
# ## References
# - [1] A. Krizhevsky, I. Sutskever and G. Hinton, *ImageNet Classification with Deep Convolutional Neural Networks*, NeurIPS 2012. <https://papers.nips.cc/paper/4824-imagenet-classification-with-deep-convolutional-neural-networks>
# - [2] O. Russakovsky et al., *ImageNet Large Scale Visual Recognition Challenge*, International Journal of Computer Vision 2015. <https://arxiv.org/abs/1409.0575>
# - [3] C. E. Shannon, *A Mathematical Theory of Communication*, Bell System Technical Journal 1948. <https://doi.org/10.1002/j.1538-7305.1948.tb01338.x>
# - [4] I. H. Witten and T. C. Bell, *The Zero-Frequency Problem: Estimating the Probabilities of Novel Events in Adaptive Text Compression*, IEEE Transactions on Information Theory 1991. <https://doi.org/10.1109/18.87000>
# - [5] Y. Bengio, R. Ducharme, P. Vincent and C. Jauvin, *A Neural Probabilistic Language Model*, Journal of Machine Learning Research 2003. <https://www.jmlr.org/papers/v3/bengio03a.html>
# - [6] S. Hochreiter and J. Schmidhuber, *Long Short-Term Memory*, Neural Computation 1997. <https://doi.org/10.1162/neco.1997.9.8.1735>
# - [7] M. Sundermeyer, R. Schlüter and H. Ney, *LSTM Neural Networks for Language Modeling*, Interspeech 2012. <https://www.isca-archive.org/interspeech_2012/sundermeyer12_interspeech.html>
# - [8] A. Vaswani et al., *Attention Is All You Need*, NeurIPS 2017. <https://arxiv.org/abs/1706.03762>
# - [9] F. A. Gers, J. Schmidhuber and F. Cummins, *Learning to Forget: Continual Prediction with LSTM*, Neural Computation 2000. <https://doi.org/10.1162/089976600300015015>
# - [10] D. Bahdanau, K. Cho and Y. Bengio, *Neural Machine Translation by Jointly Learning to Align and Translate*, ICLR 2015. <https://arxiv.org/abs/1409.0473>
# - [11] A. Radford et al., *Improving Language Understanding by Generative Pre-Training*, OpenAI 2018. <https://openai.com/index/language-unsupervised/>
# - [12] T. Mikolov et al., *Efficient Estimation of Word Representations in Vector Space*, ICLR workshop 2013. <https://arxiv.org/abs/1301.3781>
# - [13] A. M. Dai and Q. V. Le, *Semi-supervised Sequence Learning*, NeurIPS 2015. <https://arxiv.org/abs/1511.01432>
# - [14] M. E. Peters et al., *Deep Contextualized Word Representations*, NAACL 2018. <https://arxiv.org/abs/1802.05365>
# - [15] J. Howard and S. Ruder, *Universal Language Model Fine-tuning for Text Classification*, ACL 2018. <https://arxiv.org/abs/1801.06146>
# - [16] J. Devlin et al., *BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding*, NAACL 2019. <https://arxiv.org/abs/1810.04805>
# - [17] R. Jozefowicz et al., *Exploring the Limits of Language Modeling*, arXiv 2016. <https://arxiv.org/abs/1602.02410>
# - [18] N. Shazeer et al., *Outrageously Large Neural Networks: The Sparsely-Gated Mixture-of-Experts Layer*, ICLR 2017. <https://arxiv.org/abs/1701.06538>
# - [19] W. Fedus, B. Zoph and N. Shazeer, *Switch Transformers: Scaling to Trillion Parameter Models with Simple and Efficient Sparsity*, Journal of Machine Learning Research 2022. <https://arxiv.org/abs/2101.03961>
# - [20] N. Du et al., *GLaM: Efficient Scaling of Language Models with Mixture-of-Experts*, ICML 2022. <https://arxiv.org/abs/2112.06905>
# - [21] Kimi Team, *Kimi K2: Open Agentic Intelligence*, arXiv 2025. <https://arxiv.org/abs/2507.20534>
# - [22] J. Kaplan et al., *Scaling Laws for Neural Language Models*, arXiv 2020. <https://arxiv.org/abs/2001.08361>
# - [23] J. Hoffmann et al., *Training Compute-Optimal Large Language Models*, NeurIPS 2022. <https://arxiv.org/abs/2203.15556>
# - [24] A. Radford et al., *Language Models are Unsupervised Multitask Learners*, OpenAI 2019. <https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf>
# - [25] T. B. Brown et al., *Language Models are Few-Shot Learners*, NeurIPS 2020. <https://arxiv.org/abs/2005.14165>
# - [26] A. Dosovitskiy et al., *An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale*, ICLR 2021. <https://arxiv.org/abs/2010.11929>
# - [27] M. Chen et al., *Generative Pretraining from Pixels*, ICML 2020. <https://proceedings.mlr.press/v119/chen20s.html>
# - [28] K. He et al., *Masked Autoencoders Are Scalable Vision Learners*, CVPR 2022. <https://arxiv.org/abs/2111.06377>
# - [29] M. Oquab et al., *DINOv2: Learning Robust Visual Features without Supervision*, Transactions on Machine Learning Research 2024. <https://arxiv.org/abs/2304.07193>
# - [30] A. Radford et al., *Learning Transferable Visual Models From Natural Language Supervision*, ICML 2021. <https://arxiv.org/abs/2103.00020>
# - [31] A. Ramesh et al., *Zero-Shot Text-to-Image Generation*, ICML 2021. <https://arxiv.org/abs/2102.12092>
# - [32] R. Rombach et al., *High-Resolution Image Synthesis with Latent Diffusion Models*, CVPR 2022. <https://arxiv.org/abs/2112.10752>
# - [33] OpenAI, *GPT-4 Technical Report*, arXiv 2023. <https://arxiv.org/abs/2303.08774>
# - [34] R. Bommasani et al., *On the Opportunities and Risks of Foundation Models*, Stanford CRFM 2021. <https://arxiv.org/abs/2108.07258>
# - [35] S. Gehman et al., *RealToxicityPrompts: Evaluating Neural Toxic Degeneration in Language Models*, Findings of EMNLP 2020. <https://arxiv.org/abs/2009.11462>
# - [36] L. Ouyang et al., *Training Language Models to Follow Instructions with Human Feedback*, NeurIPS 2022. <https://arxiv.org/abs/2203.02155>
# - [37] P. F. Christiano et al., *Deep Reinforcement Learning from Human Preferences*, NeurIPS 2017. <https://arxiv.org/abs/1706.03741>
# - [38] OpenAI, *Introducing ChatGPT*, 2022. <https://openai.com/index/chatgpt/>
# - [39] Significant Gravitas, *AutoGPT*, GitHub 2023. <https://github.com/Significant-Gravitas/AutoGPT>
# - [40] L. B. Allal et al., *SmolLM2: When Smol Goes Big*, arXiv 2025. <https://arxiv.org/abs/2502.02737>
# - [41] T. Brants et al., *Large Language Models in Machine Translation*, EMNLP-CoNLL 2007. <https://aclanthology.org/D07-1090>
# - [42] J. Lin et al., *M6-10T: A Sharing-Delinking Paradigm for Efficient Multi-Trillion Parameter Pretraining*, arXiv 2021. <https://arxiv.org/abs/2110.03888>
# - [43] Kimi Team, *Kimi K3: Open Frontier Intelligence*, arXiv 2026. <https://arxiv.org/abs/2607.24653>

# %% tags=["nbval-ignore-output"]
progress("01")
