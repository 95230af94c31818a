# %% [raw]
# place = ["labels: full fine-tuning and LoRA", "any of these", "authors, questions, your own"]
# builds = "LoRA, written by you, that merges exactly; what few labels buy, what is forgotten; a model for your own table or images"
# terms = ["transfer learning", "frozen", "linear probe", "full fine-tuning", "activation", "singular value", "rank", "LoRA", "adapter", "QLoRA", "training from scratch", "catastrophic forgetting", "instruction tuning", "data leakage", "distribution shift", "confusion matrix"]
# [reads]
# "fmcourse.adaptation" = ["train_only", "fit_linear_probe"]
# "fmcourse.models.lora" = ["LoRALinear", "add_lora", "merge_lora"]

# %% [markdown]
# # 13 · Fine-tuning
# **You build LoRA, train a pretrained model for a new task in five ways, and measure what each way costs, how many labels it needs, and what the model forgets.**
#
# {minutes} minutes to read and do · two minutes to compute · you need lessons 05, 06 and 07.
#
# **Afterwards you can**
# - choose among a linear probe, the last blocks, LoRA and full fine-tuning, and say what each costs in memory;
# - write LoRA, put it into a model, merge it, and store it in a file;
# - say how many labels pretraining replaces;
# - recognise catastrophic forgetting, a learning rate that is too high, data leakage, and an unlucky draw;
# - train on your own table or images, and use the result.

# %%
import copy
import time
from statistics import mean

import torch
from fmcourse import pretrained
from fmcourse.adaptation import count_trainable, fit_linear_probe, train_only
from fmcourse.course import check, claim, hint, predict, progress, quiz, reported, resolve, show, solution
from fmcourse.data import load, table
from fmcourse.models.heads import SequenceClassifier, mean_pool, pad_batch
from fmcourse.objectives import classification
from fmcourse.plots import bars, bind_styles, curves, grouped_bars, scatter
from torch import nn
from torch.nn import functional as F

# %% [markdown]
# ## 1 · A task, and 64 labels for it
#
# The dictionary WordNet says what a word means. Which of ten topics is the definition about? We have 64 labelled definitions to learn from, and several hundred others as the test set. Learning a task with the help of what a
# model learned in another one is called **transfer learning**: here MiniLM (lesson 07b), whose sentence embeddings were trained on a billion pairs of texts [1]. Nobody showed it a topic.
#
# Below, `in_batches` applies a model to many texts; those of like length go into one batch, so that little of it is padding. The embedding of a text is the mean of its tokens' states.

# %%
definitions, shipped = load("topics"), table("lesson_13")
topics = sorted({item.topic for item in definitions.train})


def sample(items, n, seed):  # the rows that get a label
    return torch.randperm(len(items), generator=torch.Generator().manual_seed(seed))[:n].tolist()


labelled = [definitions.train[row] for row in sample(definitions.train, 64, 0)]
for item in labelled[:5]:
    print(f"{item.topic:14}{item.text[:90]}")
print(f"\n{len(definitions.test):,} others are the test set; the topics are {', '.join(topics)}")

# %%
minilm, tokenizer = pretrained.load("minilm-l6")


def encode(items):
    ids = [tokenizer.encode(item.text)[:64] for item in items]
    return ids, torch.tensor([topics.index(item.topic) for item in items])


(train_ids, train_labels), (test_ids, test_labels) = encode(labelled), encode(definitions.test)
print(f"the first as tokens: {tokenizer.pieces(labelled[0].text)}")  # as MiniLM reads it


# %%
@torch.inference_mode()
def in_batches(model, ids):
    order = sorted(range(len(ids)), key=lambda n: len(ids[n]))
    outputs = [model(*pad_batch([ids[n] for n in order[at : at + 64]])) for at in range(0, len(ids), 64)]
    return torch.cat(outputs)[torch.tensor(order).argsort()]


def embed(encoder, ids):
    return in_batches(lambda part, real: mean_pool(encoder.states(part, real[:, None]), real), ids)


train_embeddings, test_embeddings = embed(minilm, train_ids), embed(minilm, test_ids)
print(f"embeddings: {tuple(train_embeddings.shape)} with labels, {tuple(test_embeddings.shape)} in the test set")

# %% [markdown]
# **The cheapest way.** Nothing in MiniLM changes: it is **frozen**, that is, its parameters get no gradient and no update. On its embeddings we fit one linear layer, a **linear probe**: logistic regression on features that somebody else paid for.


# %%
def accuracy(logits, labels=test_labels):
    return (logits.argmax(-1) == labels).float().mean().item()


def seeds_of(part, way, n, what="right"):  # one value for each of three seeds, from the table
    return [run[what] for run in shipped[part][way][str(n)]]


# %%
probe = fit_linear_probe(train_embeddings, train_labels, len(topics))
with_probe, three = accuracy(probe(test_embeddings)), seeds_of("texts", "head", 64)
majority = (test_labels.bincount().max() / len(test_labels)).item()
claim("64 labels and a linear layer give more than half of the definitions the right one of ten topics, in each of "
      "three seeds; the commonest topic for all would be right for less than a fifth",
      min(with_probe, *three) > 0.5 and majority < 0.2, band=(min(three), max(three)),
      accuracy=with_probe, majority=majority)  # fmt: skip

# %% [markdown]
# ## 2 · Five ways, and what they cost
#
# How deep may training reach? We compare five ways. All have a new linear layer, the classification head:
# - **head:** only that layer is trained;
# - **last:** the last two of MiniLM's six blocks too;
# - **LoRA:** two small matrices beside each matrix of the blocks (section 3);
# - **blocks:** all six blocks, the embeddings stay frozen;
# - **full:** everything. This is **full fine-tuning**: every parameter of the pretrained model is updated, embeddings included.
#
# What does it cost to *train* a parameter?

# %% exercise="13.1"

# %%
WAYS = ["head", "last", "LoRA", "blocks", "full"]
UNFROZEN = {"head": (), "last": ("encoder.stack.blocks.4", "encoder.stack.blocks.5"),
            "blocks": ("encoder.stack",), "full": ("encoder",)}  # fmt: skip


def make_model(way, seed=0):
    """MiniLM with a new head of zeros; the parameters that `way` trains require gradients."""
    torch.manual_seed(seed)
    model = SequenceClassifier(copy.deepcopy(minilm), len(topics))
    nn.init.zeros_(model.classifier.weight)
    return train_only(model, "classifier", *UNFROZEN[way])


for way in UNFROZEN:
    model = make_model(way)
    total = sum(weight.numel() for weight in model.parameters())
    print(f"{way:7} trains {count_trainable(model):>10,} of {total:,} parameters")

# %% [markdown]
# There is a second cost. The backward pass needs the **activations**, the intermediate results of the forward pass: to compute the gradient of a matrix one must know what was multiplied by it. PyTorch keeps them until the backward pass is done. A hook shows which tensors it keeps. (LoRA is built in the next section; here the package's version stands in for it.)

# %%
batch = (*pad_batch(train_ids[:16]), train_labels[:16])


def activation_bytes(model):
    """Bytes that the forward pass keeps for the backward pass, parameters aside."""
    own, kept = {weight.untyped_storage().data_ptr() for weight in model.parameters()}, {}

    def note(x):
        kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
        loss = classification(model, batch).value  # a name for it, so that nothing is freed meanwhile
    assert loss.isfinite()
    return sum(size for place, size in kept.items() if place not in own)


# %%
from fmcourse.models.lora import add_lora

TARGETS = ("q", "k", "v", "out", "up", "down")
models = {way: make_model(way) for way in UNFROZEN}
models["LoRA"] = add_lora(make_model("head"), rank=8, alpha=16, targets=TARGETS)
models["LoRA"].classifier.requires_grad_(True)
sizes = {way: [(p.numel(), p.requires_grad) for p in models[way].parameters()] for way in WAYS}
print(f"LoRA    trains {sum(n for n, trained in sizes['LoRA'] if trained):>10,} parameters")

# %%
memory = {way: {"parameters": sum(4 * n for n, _ in sizes[way]) / 1e6,
                "gradients, Adam's averages": sum(12 * n for n, trained in sizes[way] if trained) / 1e6,
                "activations": activation_bytes(models[way]) / 1e6} for way in WAYS}  # fmt: skip
grouped_bars(memory, ylabel="memory, 16 definitions (MB)", digits=0,
             alt="Three bars for each of five ways. The parameters are alike in all. Gradients and averages are "
             "hardly visible for head and LoRA and by far the largest for full. Activations are about alike for "
             "LoRA, blocks and full, a third of that for last, none for head.")  # fmt: skip

# %%
model, bytes_of = models["blocks"], lambda tensors: sum(x.nbytes for x in tensors)
optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], lr=0.0)
classification(model, batch).value.backward()
optimizer.step()
averages = [x for state in optimizer.state.values() for x in state.values() if x.ndim]  # after one real step
gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
claim("the bytes of exercise 13.1 are what training all blocks really holds, activations aside",
      training_bytes(sizes["blocks"]) == bytes_of([*model.parameters(), *gradients, *averages]))  # fmt: skip
kept = {way: memory[way]["activations"] / memory["blocks"]["activations"] for way in ("LoRA", "last")}
claim("LoRA trains few parameters, yet its forward pass keeps more than nine tenths of the activations that training "
      "all blocks needs; training the last two, less than half", kept["LoRA"] > 0.9 > 0.5 > kept["last"], **kept)  # fmt: skip

# %% [markdown]
# Freezing saves twice: a frozen parameter needs no gradient and no averages, and where all layers below are frozen too, no activations are kept. LoRA saves only the first.
#
# ## 3 · LoRA
#
# Must a new task move ten million parameters in all directions? Train all blocks, then look at how each matrix changed, $\Delta W = W_{\text{after}} - W_{\text{before}}$. The singular value decomposition writes $\Delta W$ as a sum of terms
# $\sigma_i\, u_i v_i^\top$, strongest first; the **singular value** $\sigma_i$ says how strong a term is, and the **rank** of a matrix is the number of terms with $\sigma_i > 0$. If few terms held most of the squared change, training those might do.
# The control is noise: the same share for a random change, which prefers no direction.

# %%
predict("13.rank", "All six blocks were trained on 256 labels. The change of a matrix has at most 384 singular values. "
        "Which share of the squared change do the eight largest hold?", ["nearly all", "about half", "a tenth"])  # fmt: skip

# %%
KEPT = [1, 2, 4, 8, 16, 32, 64, 128, 256, 384]
spectra = [run["spectrum"] for run in shipped["texts"]["blocks"]["256"]]
generator, shapes = torch.Generator().manual_seed(0), [(384, 384), (1152, 384), (1536, 384), (384, 1536)]
squared = [torch.linalg.svdvals(torch.randn(*shape, generator=generator)).square() for shape in shapes]
noise = [mean((values[:k].sum() / values.sum()).item() for values in squared) for k in KEPT]
curves(KEPT, {"change by fine-tuning": spectra, "random change of the same shapes": noise}, xlog=True, ylim=(0, 1.02),
       xlabel="largest singular values kept", ylabel="share of the squared change",
       alt="Share of the squared change against singular values kept, log axis. The curve of fine-tuning lies far "
       "above that of a random change and bends early.")  # fmt: skip
few = [run[3] for run in spectra]
claim("eight singular values hold at least three times the share that they hold of a random change, in each of three "
      "seeds", min(few) > 3 * noise[3], random_change=noise[3], fine_tuning=few)  # fmt: skip
options = {"nearly all": 0.95, "about half": 0.5, "a tenth": 0.1}
resolve("13.rank", min(options, key=lambda option: abs(options[option] - mean(few))), "The change prefers some "
        "directions strongly, but it is not of rank eight: the rest is spread over many small ones.")  # fmt: skip

# %% [markdown]
# So the change is not of low rank, but much of it is concentrated. **LoRA**, low-rank adaptation [2], freezes $W$ (O × I) and trains a low-rank update beside it, the product of two thin matrices, $A$ (R × I) and $B$ (O × R), whose rank R is much smaller than O and I:
# $$y = W x + \tfrac{\alpha}{R}\, B A\, x .$$
# $A$ starts random and $B$ at zero, so that the model starts as the one it was. The factor α/R keeps the update's size about the same when R is changed.

# %% exercise="13.2"

# %% [markdown]
# A layer of a model becomes a LoRA layer by wrapping it. `inject` freezes a model and puts the wrapper around every linear layer of its blocks:


# %%
class LoRALinear(nn.Module):
    """A frozen linear layer plus a trainable low-rank update: (..., I) -> (..., O)."""

    def __init__(self, base, rank=8, alpha=16):
        super().__init__()
        self.base, self.alpha = base, alpha
        n_out, n_in = base.weight.shape
        self.A = nn.Parameter(torch.empty(rank, n_in))
        self.B = nn.Parameter(torch.zeros(n_out, rank))
        nn.init.kaiming_uniform_(self.A, a=5**0.5)  # as nn.Linear draws its weight

    def forward(self, x):
        return low_rank(x, self.base.weight, self.A, self.B, self.alpha) + self.base.bias


# %%
def inject(model, rank=8, alpha=16):
    """Freeze the model's encoder, and wrap every linear layer of its blocks; in place."""
    model.encoder.requires_grad_(False)
    for block in model.encoder.stack.blocks:
        layers = [(path, layer) for path, layer in block.named_modules() if isinstance(layer, nn.Linear)]
        for path, layer in layers:  # a finished list: the loop changes the tree that it walks
            block.set_submodule(path, LoRALinear(layer, rank, alpha))
    return model


torch.manual_seed(0)
lora_model = inject(make_model("head"))
print(lora_model.encoder.stack.blocks[0].attention)
print(f"\n{count_trainable(lora_model):,} trained parameters, one in {22_713_216 // count_trainable(lora_model)}")

# %% [markdown]
# Two things have to hold. Before training, the model computes what MiniLM computes. And with the same matrices it computes what the package's LoRA computes. (The package gives query, key and value a pair of matrices each; here the three lie in one layer
# and share one pair. So we compare on the other three layers.)
#
# Then train. Every way sees the same 64 labels and the same number of updates; the learning rate of each was chosen on validation definitions (section 5). Three of the five run here, and are tested on every second definition of the test set.

# %%
gap = (embed(lora_model.encoder, test_ids[:64]) - embed(minilm, test_ids[:64])).abs().max().item()
claim("before training it computes what MiniLM computes, to rounding", gap < 1e-4, largest_difference=gap)

torch.manual_seed(1)
theirs = add_lora(make_model("head"), rank=8, alpha=16, targets=("out", "up", "down"))
worst = 0.0
with torch.no_grad():
    for path, layer in theirs.encoder.named_modules():
        if hasattr(layer, "A") and not path.endswith(("A", "B")):
            x = torch.randn(2, 5, layer.base.in_features)
            layer.B[0].normal_(std=0.1)  # as if it had been trained
            same = LoRALinear(layer.base, 8, 16)
            same.A.copy_(layer.A[0]), same.B.copy_(layer.B[0])
            worst = max(worst, (same(x) - layer(x)).abs().max().item())
claim("with equal matrices each layer computes what the package's computes", worst < 1e-4, largest_difference=worst)

# %%
from fmcourse.training import EpochBatches, fit, lesson_steps
from fmcourse.training.optimizers import OptimizerConfig


def collate(rows):
    return *pad_batch([ids for ids, _ in rows]), torch.tensor([label for _, label in rows])


def train(model, lr):
    rows = list(zip(train_ids, train_labels.tolist(), strict=True))
    data = EpochBatches(rows, collate, length=lambda row: len(row[0]))
    adamw = OptimizerConfig(matrix_optimizer="adamw", lr=lr, weight_decay=0.01, warmup=0.1)
    fit(model, classification, data, steps=steps, seed=0, optimizer=adamw)
    return model.eval()


steps = lesson_steps(shipped["steps"]["64"])
full = steps == shipped["steps"]["64"]  # False in a rehearsal of a few steps

# %%
results, tuned = {"head": accuracy(probe(test_embeddings))}, {}
for way, model in {"last": make_model("last"), "LoRA": lora_model, "blocks": make_model("blocks")}.items():
    start = time.process_time()
    tuned[way] = train(model, shipped["chosen"][way])
    results[way] = accuracy(in_batches(tuned[way], test_ids[::2]), test_labels[::2])
    print(f"≈ {way:7} accuracy {results[way]:.3f}, {time.process_time() - start:.0f} s")
claim("LoRA as built above is ahead of the linear probe on the same 64 labels",
      results["LoRA"] > results["head"] or not full, LoRA=results["LoRA"], probe=results["head"])  # fmt: skip

# %% [markdown]
# ### One matrix again, and a task in a file
#
# After training the update can be added to the frozen matrix. Then the model has its old size and speed.

# %% exercise="13.3"


# %%
@torch.no_grad()
def merged(model):
    """A copy in which each LoRALinear is an ordinary linear layer again."""
    model = copy.deepcopy(model)
    for path, layer in list(model.named_modules()):
        if isinstance(layer, LoRALinear):
            layer.base.weight.copy_(merge(layer.base.weight, layer.A, layer.B, layer.alpha))
            model.set_submodule(path, layer.base)
    return model


plain = merged(tuned["LoRA"])
gap = (in_batches(plain, test_ids[:64]) - in_batches(tuned["LoRA"], test_ids[:64])).abs().max().item()
claim("merged, no LoRA layer is left and no logit has changed by a thousandth",
      gap < 1e-3 and not any(isinstance(x, LoRALinear) for x in plain.modules()), largest_change=gap)  # fmt: skip

# %% [markdown]
# Or it stays apart. The trained matrices alone are a small file, called an **adapter**: a few added parameters that turn one pretrained model into a model for one task. One MiniLM on the disk serves many tasks, with an adapter for each. The package stores
# adapters in the format of the library peft; its tests have each open the other's files.

# %%
import tempfile
from pathlib import Path

from fmcourse.pretrained import load_adapter, save_adapter

folder = Path(tempfile.mkdtemp())
save_adapter(theirs.encoder, folder / "topics", "sentence-transformers/all-MiniLM-L6-v2")
again = load_adapter(copy.deepcopy(minilm), folder / "topics")
size = (folder / "topics" / "adapter_model.safetensors").stat().st_size
claim("an adapter from a file, put into a fresh MiniLM, gives the same embeddings",
      torch.equal(embed(again, test_ids[:64]), embed(theirs.encoder, test_ids[:64])),
      kilobytes=size // 1000, whole_model_kilobytes=sum(w.nbytes for w in minilm.parameters()) // 1000)  # fmt: skip

# %% [markdown]
# For models that hardly fit into memory, **QLoRA** [3] stores the frozen weights in 4 bits and trains LoRA matrices of higher precision.
#
# ## 4 · Few labels
#
# A label costs a person's time. How many labels does pretraining replace? The comparison is **training from scratch**: the same network from random weights, with the same labels. A second figure does the same for images: eight groups of emoji and EfficientNet-lite0. And a rival without a network: tf-idf, weighted counts of words, with logistic regression.
#
# With as many updates as the others, the network from scratch has not finished learning: a weak rival. So on 1,024 labels it was also trained for five epochs instead of two. (Its training accuracy is then 0.6 to 0.8: still longer training might reach more.)

# %%
predict("13.few", "Pretrained with 64 labels, against the same network from scratch with 1,024, for five epochs:",
        ["from scratch wins: 16 times the labels", "about equal", "pretrained wins"])  # fmt: skip

# %%
COUNTS = [16, 64, 256, 1024]
styles = bind_styles(*WAYS, "from scratch", "tf-idf")


def by_labels(part, ways):  # method -> for each seed the accuracies over the number of labels
    runs = {way: [seeds_of(part, way, n) for n in COUNTS] for way in ways}
    return {way.replace("scratch", "from scratch"): list(zip(*found, strict=True)) for way, found in runs.items()}


lines = by_labels("texts", ["head", "LoRA", "full", "scratch"])
lines["tf-idf"] = list(zip(*(shipped["words"][str(n)] for n in COUNTS), strict=True))
curves(COUNTS, lines, xlog=True, ylim=(0, 1), styles=styles, xlabel="labels", ylabel="test accuracy",
       title="topics of definitions (MiniLM)",
       alt="Accuracy against labels. Head, LoRA and full rise together from a third to more than eight tenths; "
       "tf-idf runs below them, from scratch stays at the bottom.")  # fmt: skip

# %%
curves(COUNTS, by_labels("pictures", ["head", "full", "scratch"]), xlog=True, ylim=(0, 1), styles=styles,
       xlabel="labels", ylabel="test accuracy", title="groups of emoji (EfficientNet-lite0)",
       alt="Accuracy against labels for images. Head and full rise from a third to two thirds, from scratch from a "
       "fifth to a third.")  # fmt: skip
longer = {what: [run[what] for run in shipped["long"]["runs"]] for what in ("train", "test")}
print(f"texts from scratch, 1,024 labels, {shipped['long']['steps']} updates, three seeds:\n"
      f"training accuracy {longer['train']}, test accuracy {longer['test']}")  # fmt: skip
# %%
few, short = seeds_of("texts", "full", 64), seeds_of("texts", "scratch", 1024)
reported("texts: full fine-tuning with 64 labels beats training from scratch with 1,024, for two epochs and for five, "
         "in each of three seeds", min(few) > max(short + longer["test"]), table=shipped, pretrained_64=few,
         scratch=short, scratch_longer=longer["test"])  # fmt: skip
few_images, images_1024 = seeds_of("pictures", "full", 64), seeds_of("pictures", "scratch", 1024)
reported("images: the same, with as many updates for both", min(few_images) > max(images_1024), table=shipped,
         pretrained_64=few_images, scratch=images_1024)  # fmt: skip
claim("LoRA as built above, with 64 labels, is ahead of the network from scratch with 1,024 and five epochs",
      results["LoRA"] > max(longer["test"]) or not full, LoRA=results["LoRA"], scratch=max(longer["test"]))  # fmt: skip
resolve("13.few", "pretrained wins" if min(few) > max(longer["test"]) else "about equal", "A thousand definitions are "
        "too few to learn English from. Pretraining did that already; labels only say which topics there are.")  # fmt: skip

# %%
print(f"{'labels':>7}", *(f"{way:>8}" for way in [*WAYS, "tf-idf"]))
for n in COUNTS:
    row = [mean(seeds_of("texts", way, n)) for way in WAYS] + [mean(shipped["words"][str(n)])]
    print(f"{n:7}", *(f"{value:8.3f}" for value in row))
print("accuracy, mean of three seeds (draws of labels)")

# %%
lora, tfidf = mean(seeds_of("texts", "LoRA", 64)), mean(shipped["words"]["1024"])
reported("LoRA with 64 labels is on average at least as good as tf-idf with 1,024", lora >= tfidf, table=shipped)
ahead = {rival: [mean(seeds_of("texts", "LoRA", n)) - mean(seeds_of("texts", rival, n)) for n in COUNTS[1:]]
         for rival in ("blocks", "full")}  # fmt: skip
reported("with 64, 256 and 1,024 labels LoRA is ahead of blocks and of full on average over three seeds",
         min(ahead["blocks"] + ahead["full"]) > 0, table=shipped, ahead=ahead)  # fmt: skip
at_16 = [seeds_of("texts", way, 16) for way in ("last", "LoRA", "blocks", "full")]
ways_differ, draws_differ = (mean(max(x) - min(x) for x in group) for group in (zip(*at_16, strict=True), at_16))
reported("with 16 labels, which of last, LoRA, blocks and full is taken matters less than which 16 were drawn",
         ways_differ < draws_differ, table=shipped, between_ways=ways_differ, between_draws=draws_differ)  # fmt: skip

# %% [markdown]
# The fairest rival is tf-idf, which needs no pretraining. And labels have to be counted honestly: 300 more, of the validation set, chose the learning rates.
#
# ## 5 · What goes wrong
#
# ### Catastrophic forgetting
# Training for a new task changes weights that the old task needed. When the old ability is lost by it, one speaks of **catastrophic forgetting**. MiniLM was made to find texts that belong together; ask the tuned models for that old task: from the title of a dish to its list of ingredients, among 300.

# %%
old = {"before": [shipped["old job"]]}
old |= {way: seeds_of("texts", way, 256, "old job") for way in WAYS[1:]}
bars(old, xlabel="own ingredients among the ten nearest of 300 (share)",
     alt="Bars: the old task before fine-tuning, and after each of four ways, all far lower; LoRA's is the longest "
     "of the four.")  # fmt: skip
reported("every way that changes the blocks loses more than a third of the old task, in each of three seeds",
         max(max(old[way]) for way in WAYS[1:]) < 2 / 3 * shipped["old job"], table=shipped, **old)  # fmt: skip
reported("at these learning rates LoRA forgets least of the four, in each seed",
         min(old["LoRA"]) > max(old["last"] + old["blocks"] + old["full"]), table=shipped)  # fmt: skip

# %% [markdown]
# The linear probe changes nothing in the model, so it forgets nothing. But does LoRA forget less because of its low rank, or because of its learning rate? A comparison at one learning rate each cannot say.
#
# For a language model, we vary it. SmolLM2 reads 64 definitions and learns to answer with the topic; only the answer's tokens count in the loss. Fine-tuning a language model on instructions and responses is called **instruction tuning**; here there is one instruction, in lesson 16 there are many. What it learned is the share of topics it names; what it forgot is the increase of its
# cross-entropy on a novel by Austen.

# %%
talk, before = shipped["talk"], shipped["talk"]["before"]
learned = {way: [mean(run["right"] for run in runs) for runs in talk[way].values()] for way in ("LoRA", "full")}
nats = {way: [mean(run["nats"] for run in runs) for runs in talk[way].values()] for way in learned}
forgotten = {way: [value - before["nats"] for value in values] for way, values in nats.items()}
scatter({way: (forgotten[way], learned[way]) for way in learned}, styles=styles,
        texts={way: [f"{float(lr):g}" for lr in talk[way]] for way in learned},
        xlabel="forgotten: more nats per token of Austen", ylabel="learned: accuracy on topics",
        alt="Learned against forgotten, a point for each learning rate of LoRA and of full fine-tuning. "
        "In both, a higher rate forgets more.")  # fmt: skip
reported("in both ways a higher learning rate forgets more (means of three seeds)",
         all(values == sorted(values) for values in forgotten.values()), table=shipped,
         accuracy_before=before["right"], learned=learned, forgotten=forgotten)  # fmt: skip
reported("at the two lower rates, where less than 0.03 nats are forgotten, full fine-tuning learned more than LoRA",
         max(forgotten["LoRA"][:2] + forgotten["full"][:2]) < 0.03 and
         min(learned["full"][:2]) > max(learned["LoRA"][:2]), table=shipped)  # fmt: skip

# %% [markdown]
# Both ways forget more at a higher learning rate. At little forgetting, full fine-tuning learned more here: 0.61 to 0.67 of the topics, LoRA on q and v 0.52 to 0.53. So "LoRA forgets less" depends on what is compared. Biderman et al. [6] found, in long training on code and mathematics, that LoRA learns less *and* forgets less. Sixteen updates are another regime; what carries over is the method: compare two ways over learning rates.
#
# ### A learning rate that is too high
# Each way needs a learning rate of its own. On the validation set, with 64 labels:

# %%
rates = {way: shipped["rates"][way] for way in ("last", "LoRA", "blocks", "full")}
curves({way: list(map(float, found)) for way, found in rates.items()},
       {way: list(zip(*found.values(), strict=True)) for way, found in rates.items()},
       xlog=True, ylim=(0, 1), styles=styles, xlabel="peak learning rate (AdamW)", ylabel="validation accuracy",
       alt="Validation accuracy against learning rate for four ways. Blocks and full are at their best at a lower "
       "rate and drop to chance at 0.003, where LoRA is best; last stays level.")  # fmt: skip
best = {way: max(found, key=lambda lr: mean(found[lr])) for way, found in rates.items()}
reported("LoRA needs a higher learning rate than full fine-tuning", float(best["LoRA"]) > float(best["full"]),
         table=shipped, **best)  # fmt: skip
reported("at 0.003 training all blocks ends below the linear probe, in each of three seeds",
         max(rates["blocks"]["0.003"]) < min(three), table=shipped, blocks=rates["blocks"]["0.003"],
         probe_on_test=three)  # fmt: skip

# %% [markdown]
# ### Data leakage
# When information about the test set gets into training, one speaks of **data leakage**: the test then looks easier than the real task. It happens most often where examples come in groups. Take 300 emoji, each drawn in two or three styles, and hold out about a third: *images* at random, or *concepts* at random with all their images.

# %%
from fmcourse.models.vision import extract_features

emoji, vision = load("emoji"), pretrained.load_vision()
names = sorted(set(emoji.train.names))
concepts = [names[n] for n in sample(names, 300, 0)]
rows = torch.tensor([row for row, name in enumerate(emoji.train.names) if name in set(concepts)])
features, groups = extract_features(vision, emoji.train.pixels[rows], 64), emoji.train.labels[rows]
concept_of = torch.tensor([concepts.index(emoji.train.names[row]) for row in rows.tolist()])


def probe_accuracy(held_out):
    fitted = fit_linear_probe(features[~held_out], groups[~held_out], len(emoji.classes))
    return accuracy(fitted(features[held_out]), groups[held_out])


# %%
by_image, by_concept = [], []
for seed in range(3):
    generator = torch.Generator().manual_seed(seed)
    by_image.append(probe_accuracy(torch.rand(len(rows), generator=generator) < 1 / 3))
    by_concept.append(probe_accuracy((torch.rand(300, generator=generator) < 1 / 3)[concept_of]))
claim("split by image, the test set is easier by more than five points than split by concept, in each of three splits",
      all(a > b + 0.05 for a, b in zip(by_image, by_concept, strict=True)), images=len(rows),
      by_image=by_image, by_concept=by_concept)  # fmt: skip

# %% [markdown]
# Same network, same images: only the second number says what happens with a concept the model never saw. Ask of your own data what comes in groups: patients, authors, days. The plainest leak is a text that stands in both sets, and it costs a line of code to find:

# %% exercise="13.4"

# %%
texts = {part: [item.text for item in getattr(definitions, part)] for part in ("train", "validation", "test")}
twice = leaked(texts["train"] + texts["validation"], texts["test"])
claim("no definition of the test set stands in the training or validation set", not twice, test=len(texts["test"]))

# %% [markdown]
# ### An unlucky draw
# You label 16 definitions. Which 16? Forty draws, the same probe, the same test set. Does it help to have one of each topic first?

# %%
pool = [definitions.train[row] for row in sample(definitions.train, 640, 7)]
pool_ids, pool_labels = encode(pool)
pool_embeddings = embed(minilm, pool_ids)


def draw(n, seed, one_of_each=False):
    """Test accuracy of a probe on n labels drawn at random."""
    order = torch.randperm(len(pool), generator=torch.Generator().manual_seed(seed))
    if one_of_each:
        first = torch.stack([order[(pool_labels[order] == label).nonzero()[0, 0]] for label in range(10)])
        order = torch.cat([first, order[~torch.isin(order, first)]])
    chosen = order[:n]
    return accuracy(fit_linear_probe(pool_embeddings[chosen], pool_labels[chosen], 10)(test_embeddings))


# %%
draws = {"16 at random": [draw(16, seed) for seed in range(40)],
         "16, one of each topic first": [draw(16, seed, True) for seed in range(40)],
         "64 at random": [draw(64, seed) for seed in range(40)]}  # fmt: skip
scatter({name: (values, range(40)) for name, values in draws.items()}, xlabel="test accuracy", ylabel="draw",
        alt="Three clouds of forty points. Both clouds of 16 labels lie at the same place and are wide; that of 64 "
        "labels lies far to the right and is narrower.")  # fmt: skip
ranges = {name: max(values) - min(values) for name, values in draws.items()}
claim("with 16 labels more than ten points lie between the luckiest and the unluckiest of forty draws, and more than "
      "with 64", ranges["16 at random"] > max(0.1, ranges["64 at random"]), ranges=list(ranges.values()))  # fmt: skip
gain = mean(draws["16, one of each topic first"]) - mean(draws["16 at random"])
claim("one label of each topic first changes the mean by less than three points", abs(gain) < 0.03, gain=gain)

# %% [markdown]
# More labels help; a label of each topic does not. Never judge a method by one small draw.
#
# ## 6 · Your own data
#
# All of this is also a tool, for a CSV file or for images in one folder for each class. Our example: who wrote this line? Four hundred lines by four hands, in a file with the faults that such files have. `read_dataset` mends what can be mended and reports it; for anything else it stops with a sentence that says where and what to do.

# %%
import csv

from fmcourse.apps.classifier import load_classifier, train_classifier
from fmcourse.apps.own_data import read_dataset

AUTHORS = {"Austen": "austen", "Shakespeare": "shakespeare", "Bible": "bible", "cookbook": "recipes"}
lines = []
for author, name in AUTHORS.items():
    sentences = load(name).train[:400_000].replace("\n\n", ".").split(".")
    sentences = [line for line in map(" ".join, map(str.split, sentences)) if 40 < len(line) < 160]
    lines += [(sentences[row], author) for row in sample(sentences, 100, 0)]
lines += [("", "Austen"), lines[0], (lines[150][0].upper(), "Shakespeare"), (lines[250][0], "cookbook"), ("who?", "")]
with open(folder / "lines.csv", "w", newline="", encoding="utf-8-sig") as file:  # as a spreadsheet writes it
    csv.writer(file).writerows([("text", "label"), *lines])
data = read_dataset(folder / "lines.csv")
print(data)

# %%
classifier = train_classifier(data, way="head", progress=False)
report = classifier.evaluate(data)
print("≈", str(report).replace("\n", "\n≈ "))
claim("a linear probe with some 300 labels gives more than eight of ten held-out lines to the right author",
      report.accuracy.value > 0.8, accuracy=report.accuracy.value, always_the_same=report.majority_accuracy)  # fmt: skip

# %% [markdown]
# The held-out lines are from the same books: names and habits return. On a new book by Austen expect less. When the data of use differ from those of training, one speaks of a **distribution shift**.
#
# And one number hides which classes are confused. The **confusion matrix** counts every pair: the entry in row i and column j says how many examples of class i were predicted to be class j.

# %% exercise="13.5"

# %%
predicted = classifier.predict(data.test).argmax(1)
labels = torch.tensor([classifier.labels.index(item.label) for item in data.test])
claim("the confusion matrix of exercise 13.5 equals the report's",
      torch.equal(confusion(predicted, labels, len(classifier.labels)), report.confusion))  # fmt: skip
show(report.figure(), alt="Confusion matrix, four by four. The diagonal is bright; the cookbook is hardly confused "
     "with the others, the three old books sometimes with each other.")  # fmt: skip

# %% [markdown]
# Save it, load it, use it from the command line (with the name of your own folder). A probe is a file of a few kilobytes; the encoder below it is installed once.
#
# **Change it:** put your own file beside this notebook and give its name to `read_dataset`; or, in a terminal, `python -m fmcourse finetune mine.csv --out mine`. Images work as well: one folder for each class, and, where they come in groups, folders `train` and `test` above them. The ways are `head`, `last`, `full` and, for texts, `lora`. Begin with `head`: it takes seconds, and the others must beat it.

# %%
import subprocess
import sys

classifier.save(folder / "authors")
same = load_classifier(folder / "authors")
claim("saved and loaded, it predicts the same probabilities",
      torch.equal(same.predict(data.test), classifier.predict(data.test)))  # fmt: skip
sentences = ["Whisk the eggs and pour them into a hot pan", "O cruel night, that hides my love from me"]
print("python -m fmcourse classify authors", *(f"'{sentence}'" for sentence in sentences))
command = [sys.executable, "-m", "fmcourse", "classify", str(folder / "authors"), *sentences]
output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
print("≈", output.replace("\n", "\n≈ ").removesuffix("≈ "))

# %%
import matplotlib.pyplot as plt
from fmcourse.plots import draw_bars
from fmcourse.plots.widgets import interactive


def who_wrote(line="It is a truth that nobody acknowledges."):
    fig, ax = plt.subplots(figsize=(6, 2))
    probabilities = classifier.predict([line.strip() or "."])[0].tolist()
    draw_bars(ax, dict(zip(classifier.labels, probabilities, strict=True)), unit="predicted probability")
    ax.set_xlim(0, 1.15)
    return fig


interactive(who_wrote, line="It is a truth that nobody acknowledges.",
            alt="Four bars: the predicted probability of each author for the line that was typed.")  # fmt: skip

# %%
quiz("13.q1", "Your 16 labels give 38 % with a linear probe, your colleague's other 16 give 29 %. Whose were "
     "better examples?",
     {"Mine.": "Forty random draws from one pool differ by more than that.",
      "Nobody can say yet.": "The draw alone is worth more than nine points at 16 labels. Put them together.",
      "My colleague's: hard examples teach more.": "They may; two single draws do not show it."},
     answer="Nobody can say yet.")  # fmt: skip
quiz("13.q2", "LoRA trains one parameter in seventy. What does training no longer need for the others?",
     {"The forward pass.": "Every matrix still takes part in every prediction.",
      "Gradients and Adam's averages.": "They are 12 of the 16 bytes of each trained parameter. The activations stay.",
      "The weights themselves.": "They are frozen, not gone."},
     answer="Gradients and Adam's averages.")  # fmt: skip
quiz("13.q3", "X-rays, several for each patient, split by image: 99 % accuracy on the test set, 71 % on new "
     "patients of the same hospital. What was overlooked?",
     {"The learning rate.": "Too high a learning rate would have shown on the first test set.",
      "Patients are in training and test set.": "Images of one patient are alike: data leakage. Split by patient.",
      "A larger model.": "It would memorize the patients even better."},
     answer="Patients are in training and test set.")  # fmt: skip
quiz("13.q4", "LoRA forgot less than full fine-tuning, at one learning rate for each. What follows?",
     {"A low rank protects the old task.": "Perhaps. But the learning rate alone changes how much is forgotten.",
      "Nothing yet.": "Compare over learning rates: which way learns more for the same forgetting?"},
     answer="Nothing yet.")  # fmt: skip

# %% [markdown]
# ## What the real systems do
# | | what is trained | what was reported |
# |---|---|---|
# | ULMFiT 2018 [4] | all layers, unfrozen from the top down | 100 labels match training from scratch on 100 times as many |
# | BERT 2018 [5] | all parameters; 2 to 4 epochs, Adam at 2e-5 to 5e-5 | one model, one linear layer for each task |
# | LoRA 2021, on GPT-3 175B [2] | a ten-thousandth of the parameters | a third of the memory, no extra latency once merged |
# | QLoRA 2023 [3] | LoRA on a 65-billion-parameter model in 4 bits | fits on one 48 GB GPU |
# | Biderman et al. 2024 [6] | LoRA against full fine-tuning on code and mathematics | LoRA "learns less and forgets less"; the full change has 10 to 100 times LoRA's rank |

# %% [markdown]
# ## Summary
# - A linear probe on a frozen encoder takes seconds. Everything else must beat it.
# - A trained parameter costs four times the memory of a frozen one; activations cost as deep as training reaches.
# - LoRA trains $A$ and $B$ beside a frozen $W$; merged it is free, stored it is an adapter.
# - Pretraining replaces labels: 64 did more than 1,024 from scratch in five epochs. With 16, the draw matters more than the way.
# - Fine-tuning forgets. How much depends on the learning rate too: compare over learning rates.
# - Split data by what comes in groups.
#
# **Where next:** lesson 14 uses a model without changing it. Read the LoRA paper [2]; the library is [peft](https://huggingface.co/docs/peft).

# %% [markdown]
# ## References
# - [1] N. Reimers et al., *all-MiniLM-L6-v2*, model card, 2021. <https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2>
# - [2] E. J. Hu et al., *LoRA: Low-Rank Adaptation of Large Language Models*, ICLR 2022. <https://arxiv.org/abs/2106.09685>
# - [3] T. Dettmers, A. Pagnoni, A. Holtzman, L. Zettlemoyer, *QLoRA: Efficient Finetuning of Quantized LLMs*, NeurIPS 2023. <https://arxiv.org/abs/2305.14314>
# - [4] J. Howard, S. Ruder, *Universal Language Model Fine-tuning for Text Classification*, ACL 2018. <https://arxiv.org/abs/1801.06146>
# - [5] J. Devlin, M.-W. Chang, K. Lee, K. Toutanova, *BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding*, NAACL 2019. <https://arxiv.org/abs/1810.04805>
# - [6] D. Biderman et al., *LoRA Learns Less and Forgets Less*, TMLR 2024. <https://arxiv.org/abs/2405.09673>

# %%
progress("13")
