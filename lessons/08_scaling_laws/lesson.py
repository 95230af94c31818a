# %% [raw]
# place = ["next token, in many sizes", "Transformer decoder", "Shakespeare"]
# builds = "a scaling law: a grid of models, its fit with uncertainty, and a larger model predicted before it is trained"
# terms = ["scaling law", "FLOP", "compute", "hyperparameter transfer", "maximal update parametrization", "IsoFLOP profile", "power law", "irreducible loss", "extrapolation", "Huber loss", "L-BFGS", "bootstrap", "compute-optimal", "over-training", "data-constrained", "emergent ability", "exact match"]
# [reads]
# "fmcourse.training.optimizers" = ["OptimizerConfig", "Muon"]

# %% [markdown]
# # 08 · Scaling laws
# **You measure what size and data buy, fit a law to it, and predict a larger model before it is trained.**
#
# {minutes} minutes to read and do · two minutes to compute · you need lesson 06 (GPT), Python and a little PyTorch.
#
# **Afterwards you can**
# - count what a training run costs, and say where 6ND is wrong;
# - choose a learning rate on small models and use it for large ones;
# - fit a scaling law, and say how sure it is;
# - split a compute budget between parameters and tokens;
# - read the numbers that are published about GPT-3, Chinchilla and Llama 3;
# - tell a sudden ability from a sharp metric.

# %%
import copy
import itertools
import math
import time

import torch
from fmcourse.course import check, claim, hint, predict, progress, quiz, reported, resolve, solution
from fmcourse.data import load, table
from fmcourse.models.transformer import Transformer, count_parameters, modern
from fmcourse.objectives import next_token
from fmcourse.plots import bars, curves
from fmcourse.plots.widgets import interactive
from fmcourse.tokenizers import CharTokenizer
from fmcourse.training import RandomCrops, fit, lesson_steps
from fmcourse.training.optimizers import OptimizerConfig
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

# %% [markdown]
# ## 1 · Three quantities: parameters, tokens, compute
#
# GPT-2 had 1.5 billion parameters, GPT-3 had 175 billion. Nobody trains such a model twice to see whether half the size would have
# done. The decision is made on small models and carried over by a **scaling law**, a formula that is fitted to many training runs and predicts, from size and data, the loss
# of a run that has not been made.
#
# In this lesson N is the number of parameters, D the number of tokens read in training, and L the loss on a test text (nats per token). The corpus is
# Shakespeare, the tokens are characters, as in lesson 06. Learning rates are compared on a validation text.

# %%
plays = load("shakespeare")
tokenizer = CharTokenizer.train(plays.train)
V, CONTEXT, BATCH = tokenizer.vocab_size, 64, 8
ids, test_ids = (torch.tensor(tokenizer.encode(text)) for text in (plays.train, plays.validation[:50_000]))
full = lesson_steps(100) == 100  # False in a rehearsal of a twentieth of the steps
print(f"{len(ids):,} training tokens, {len(test_ids):,} test tokens, {V} different; {BATCH * CONTEXT:,} in a step")

# %% [markdown]
# **Compute**, C, is the number of arithmetic operations that a training run takes; it is counted in FLOP. A **FLOP** is one floating-point operation, an addition or a multiplication of two numbers.
# (FLOP/s, with a slash, is a speed.)
#
# Nearly all FLOP of a Transformer are in matrix products. A matrix with N entries multiplies one token's vector by N multiplications and N additions: 2N FLOP. The backward pass computes two
# such products, one for the gradient of the input and one for that of the matrix: 4N. So, for D tokens,
# $$C \approx 6\,N\,D .$$
# Attention scores have no parameters, so this formula does not count them. Count them exactly:

# %% exercise="08.1"

# %% [markdown]
# Our models are the package's small modern GPT with two blocks: lesson 06 wrote such a model by hand, and only the width changes here. N counts every parameter but the token embedding, whose rows are looked up and not multiplied.


# %%
def new_model(width):
    """Two blocks with RoPE, RMSNorm and QK-norm; the head is a matrix of its own."""
    return Transformer(modern(vocab_size=V, context=CONTEXT, width=width, depth=2, heads=max(1, width // 16)))


WIDTHS, TARGET = [8, 12, 16, 24, 32, 48, 64], 144
models = {width: new_model(width) for width in [*WIDTHS, TARGET]}
sizes = {width: count_parameters(model) - model.embed.tokens.weight.numel() for width, model in models.items()}
print({f"width {width}": f"N = {n:,}" for width, n in sizes.items()})

# %% [markdown]
# PyTorch can count, too: its `FlopCounterMode` adds up the products while a model runs. It does not know the fused attention kernel for CPUs, so we ask for the plain one. How good is 6ND for our
# model of width 16?

# %%
options = ["about 65 % of the FLOP counted", "about 95 %", "more than 100 %"]
predict("08.flops", "Width 16, context 64: 6ND gives", options)


def measured_flops(model):
    """FLOP of one training step, as PyTorch counts them."""
    batch = torch.zeros(BATCH, CONTEXT, dtype=torch.long)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model(batch).sum().backward()
    return counter.get_total_flops()


measured = {width: measured_flops(model) for width, model in models.items()}
counted = {width: count_flops(2, width, CONTEXT, V, BATCH * CONTEXT) for width in models}
claim("exercise 08.1 counts the same FLOP as PyTorch does, for all eight widths", counted == measured)

# %%
share = {width: 6 * n * BATCH * CONTEXT / measured[width] for width, n in sizes.items()}
bars({f"width {width}": value for width, value in share.items()}, baseline={"exact": 1.0},
     xlabel="6ND / FLOP counted",
     alt="6ND over the FLOP counted, by width: from about a half at width 8 up to more than 0.9 at width 144.")  # fmt: skip
claim("6ND misses more than 30 % of the FLOP at width 16 and less than 10 % at width 144",
      share[16] < 0.7 and share[TARGET] > 0.9, width_16=share[16], width_144=share[TARGET])  # fmt: skip
nearness = [abs(guess - share[16]) for guess in (0.65, 0.95, 1.1)]
resolve("08.flops", options[nearness.index(min(nearness))],
        "A context of 64 is long for a width of 16: attention alone costs two thirds as much as the four matrices.")  # fmt: skip

# %% [markdown]
# 6ND leaves out attention's products without weights. They cost context / (6 · width) of what the layers' matrices cost: much for our models, little for large ones (3 % for GPT-3 at its context of 2,048). That matters below: an error that *changes with size* bends a law.

# %% [markdown]
# ## 2 · A learning rate for every width
#
# A scaling law compares models of different sizes, so each must be trained well. Tuning every size is expensive; **hyperparameter transfer** means that a setting is tuned on small models and used for large ones.
#
# In a layer of width w each output is a sum over w inputs, and AdamW moves every weight by about the learning rate, so a wide layer's outputs move further. The **maximal update parametrization** (muP) is a set of scaling rules by which one learning rate serves all widths: hidden matrices get a
# learning rate in proportion to 1/width, and the head's output is divided by the width [6].

# %% [markdown]
# The figure comes from the shipped table: a plain GPT with AdamW, three widths, five learning rates, 128 steps, one seed. "Standard" means one rate for all matrices, "muP" the rules above. Where is each line lowest?

# %%
shipped = table("lesson_08")
sweep = shipped["validation_by_learning_rate"]  # way -> width -> learning rate -> validation loss
rates = [float(lr) for lr in sweep["muP"]["16"]]
lines = {f"{way}, {width}": list(losses.values()) for way, rows in sweep.items() for width, losses in rows.items()}
curves(rates, lines, xlabel="learning rate", ylabel="validation loss (nats per token)", xlog=True,
       alt="Loss by learning rate at three widths. Standard: the best rate falls with width; with muP it hardly moves.")  # fmt: skip

# %%
best = {name: rates[losses.index(min(losses))] for name, losses in lines.items()}
standard, transferred = ([best[f"{way}, {width}"] for width in sweep["muP"]] for way in ("standard", "muP"))
reported("the best standard rate is halved from width 16 to 48 and again to 136", standard == [0.032, 0.016, 0.008],
         table=shipped, standard=standard)  # fmt: skip
reported("with muP the best rates of the three widths lie within a factor of 2",
         max(transferred) <= 2 * min(transferred), table=shipped, muP=transferred)  # fmt: skip
same, tuned = ([choose(lines[f"standard, {width}"]) for width in sweep["muP"]] for choose in (lambda row: row[1], min))
reported("at one standard rate for all, 0.004, width 136 seems more than 0.4 nats better than width 16",
         same[0] - same[2] > 0.4, table=shipped, losses=same)  # fmt: skip
reported(
    "with a rate tuned for each it is less than 0.1 nats better", tuned[0] - tuned[2] < 0.1, table=shipped, losses=tuned
)

# %% [markdown]
# The last two lines are a warning. At one rate for all widths, size seems to be worth six times as much as with tuned rates, because the small models learn too slowly. A law fitted to such runs measures the learning rate, too, and mispredicts larger models.
#
# With muP the best rate of the small model is about right for the large one. It promises no more: at width 136 the standard way, tuned for that width, ends about 0.08 nats lower. (These are single seeds, which differ by some hundredths of a nat: the two best rates at width 48 are a tie.)

# %% [markdown]
# ## 3 · The same budget, spent in four ways
#
# Our own runs use Muon. It makes the update of every hidden matrix orthogonal, which changes all directions equally at any width [13]; embedding and head are AdamW's. The package's rates serve every width. That is a weakness: doubled, they lower the loss of width 32 by 0.07 to 0.1 nats, that of width 144 hardly.
#
# The experiment: one budget of 2.4 · 10¹⁰ FLOP (6ND) for each of four models. The smallest reads half a million tokens, the largest an eighth of that. The learning rate decays to zero at the end of *each* run: Hoffmann et al. suspected that earlier work had judged models in the middle of a longer schedule [2]; by a later study this matters little [4].


# %%
OPTIMIZER = OptimizerConfig(ns_steps=3)  # the package's Muon, with cheaper steps


def train(width, steps, *, seed=0, text=None, watch=None):
    """A model of this width after so many steps of the package's loop (warm-up, linear decay to zero, clipping)."""
    torch.manual_seed(seed)
    model = new_model(width)
    crops = RandomCrops(ids if text is None else text, length=CONTEXT + 1, batch=BATCH, seed=seed)
    look = None if watch is None else lambda step, loss: watch(step, model)
    fit(model, next_token, crops, steps=steps, seed=seed, optimizer=OPTIMIZER, progress=False, on_step=look)
    return model


# %%
@torch.inference_mode()
def token_probabilities(model, ids):
    """The probability of each right token and whether it was the likeliest, (windows, CONTEXT) each."""
    p, hit = [], []
    for windows in ids.unfold(0, CONTEXT + 1, CONTEXT).split(128):
        logits, targets = model(windows[:, :-1]), windows[:, 1:]
        p.append(logits.softmax(-1).gather(-1, targets[..., None])[..., 0])
        hit.append(logits.argmax(-1) == targets)
    return torch.cat(p), torch.cat(hit)


# %%
predict("08.best", "2.4 · 10¹⁰ FLOP for each of four models, N from 7,500 to 59,300. The lowest loss has",
        ["the smallest, which reads most", "one of the two in the middle", "the largest"])  # fmt: skip


def steps_of(budget, width):
    """Steps of 512 tokens that spend a budget of 6ND."""
    return round(budget / (6 * sizes[width] * BATCH * CONTEXT))


def loss_of(model):
    return -token_probabilities(model, test_ids)[0].log().mean().item()


begin, live = time.process_time(), []
for width in (16, 24, 32, 48):
    steps = lesson_steps(steps_of(2.4e10, width))
    live.append([sizes[width], steps * BATCH * CONTEXT, loss_of(train(width, steps))])
print(f"≈ {time.process_time() - begin:.0f} seconds")
for n, d, loss in live:
    print(f"N {n:7,}  D {d:9,} ≈ {loss:.3f} nats")

# %% [markdown]
# A plot of loss against N at equal compute is called an **IsoFLOP profile**: it shows how one budget is best split between parameters and tokens. Here are two, from the shipped table, with more sizes. Lines are means and bands the span of three seeds; the single dots beside the blue line are the four runs above.

# %%
rows = shipped["grid"]  # each a run: budget, width, parameters, tokens, seed, loss
profiles = {}  # budget -> N -> the losses of its seeds
for row in rows:
    profiles.setdefault(row["budget"], {}).setdefault(row["parameters"], []).append(row["loss"])
name_of = {budget: f"{budget:.2e} FLOP" for budget in profiles}
seeds_of = {name_of[budget]: list(zip(*profile.values(), strict=True)) for budget, profile in profiles.items()}
curves({name_of[budget]: list(profile) for budget, profile in profiles.items()}, seeds_of,
       points={name_of[2.4e10]: {n: loss for n, _, loss in live}},
       xlog=True, xlabel="parameters N", ylabel="test loss (nats per token)",
       alt="IsoFLOP profiles: loss against parameters for two budgets; the larger budget lies lower.")  # fmt: skip

# %%
again = max(abs(loss - profiles[2.4e10][n][0]) for n, _, loss in live)
claim("the four runs repeat the shipped runs of the same seed within 0.02 nats", again < 0.02 or not full,
      largest_gap=again)  # fmt: skip
answers = ["the smallest, which reads most", *["one of the two in the middle"] * 2, "the largest"]
best_run = min(range(4), key=lambda i: live[i][2])
resolve("08.best", answers[best_run],
        "So little compute is best spent on reading: at this budget a larger model stops before it has learned much.")  # fmt: skip

# %% [markdown]
# Both profiles have a lowest point inside: a smaller model is too simple for all that it reads, a larger one reads too little. With three times the compute the point moves to the right.
#
# ## 4 · The law
#
# A **power law** is a relation y = c · x^p; drawn on two logarithmic axes it is a straight line. Hoffmann et al. describe the loss as a constant and two power laws [2]:
# $$L(N,D)=E+\frac{A}{N^{a}}+\frac{B}{D^{b}} .$$
# Each term has a meaning. The **irreducible loss** E is what an endlessly large model with endless data would still lose, since text is not fully predictable. The second term is the price of a finite model, the third that of finite data. Write it down:

# %% exercise="08.2"

# %% [markdown]
# To fit the five numbers we minimize the distance between log L and the logarithm of the formula, as Hoffmann et al. did [2]. The **Huber loss** is a distance that grows with the square of small errors and only linearly with large ones, so a bad run does not dominate the fit.
# The minimizer is **L-BFGS**, an optimizer that estimates the curvature from past gradients; it suits few parameters and exact gradients. Since it can stop in a local minimum, we start it from eight places.


# %%
KEYS = ("E", "A", "a", "B", "b")


def fit_from(start, runs, delta=1e-3):
    """The distance that L-BFGS reaches from one start, and the law there; runs: (R, 3), rows of N, D, L."""
    n, d, loss = runs.T
    x = torch.tensor([math.log(start[key]) for key in KEYS], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([x], max_iter=200, tolerance_change=1e-11, line_search_fn="strong_wolfe")

    def distance():
        optimizer.zero_grad()
        law = dict(zip(KEYS, x.exp(), strict=True))  # logarithms are fitted, so all five stay above 0
        value = F.huber_loss(predict_loss(law, n, d).log(), loss.log(), reduction="sum", delta=delta) / delta**2
        value.backward()
        return value

    optimizer.step(distance)
    return distance().item(), dict(zip(KEYS, x.detach().exp().tolist(), strict=True))


GRID = itertools.product((0.5, 1.5), (0.3, 0.7), (0.3, 0.7))
STARTS = [{"E": E, "A": 3e4**a, "a": a, "B": 3e5**b, "b": b} for E, a, b in GRID]


def fit_law(runs):
    """The best of eight starts."""
    return min((fit_from(start, runs) for start in STARTS), key=lambda found: found[0])[1]


# %% [markdown]
# Our runs are the four from above and the other 32 of the shipped table, 36 in all. First a control: we make up losses from a known law, at the N and D of these runs, and fit them. If the fit does not return that law, nothing that follows can be trusted.

# %%
here = {n for n, _, _ in live}  # trained in this notebook: seed 0 of the smaller budget, four sizes
others = [row for row in rows if (row["budget"], row["seed"]) != (2.4e10, 0) or row["parameters"] not in here]
runs = torch.tensor(live + [[row[key] for key in ("parameters", "tokens", "loss")] for row in others]).double()
truth = {"E": 1.2, "A": 12.5, "a": 0.35, "B": 515.0, "b": 0.55}
made_up = torch.stack([runs[:, 0], runs[:, 1], predict_loss(truth, runs[:, 0], runs[:, 1])], 1)
recovered = fit_law(made_up)
claim("from made-up losses without noise the fit returns each of the five numbers within 2 %",
      all(abs(recovered[key] / truth[key] - 1) < 0.02 for key in KEYS) or not full, **recovered)  # fmt: skip

# %%
law = fit_law(runs)
error = (predict_loss(law, runs[:, 0], runs[:, 1]) - runs[:, 2]).abs()
print("≈ L = {E:.2f} + {A:.3g} / N^{a:.2f} + {B:.3g} / D^{b:.2f}".format(**law))
claim("the law misses half of the runs by less than 0.02 nats", error.median() < 0.02 or not full,
      median=error.median(), largest=error.max())  # fmt: skip

# %%
n = torch.logspace(3.3, 5.1, 50, dtype=torch.float64)
means = {budget: {n: sum(of) / len(of) for n, of in profile.items()} for budget, profile in profiles.items()}
curves(n.tolist(), {name_of[budget]: predict_loss(law, n, budget / 6 / n).tolist() for budget in profiles},
       points={name_of[budget]: mean for budget, mean in means.items()},
       xlog=True, xlabel="parameters N", ylabel="test loss (nats per token)",
       alt="The fitted law as a line for each budget, and the means of the runs as markers close to the lines.")  # fmt: skip

# %% [markdown]
# The law follows both budgets, but not exactly: at the smaller one it lies below all three seeds at N ≈ 16,000 and 27,000, and above the mean at 59,000. What all seeds share is not noise. Rates that were not tuned for each size are one suspect, the formula is another.
#
# ## 5 · How sure is it?
#
# The five numbers came from a few dozen runs, each with its own luck. The **bootstrap** asks what another set of runs might have given: it draws as many runs from ours, with replacement, fits again, repeats this many times, and takes the spread of the results.

# %% exercise="08.4"

# %% [markdown]
# From each resample we take the numbers of its law and its prediction for a model of half a million parameters (width 144), more than four times larger than the largest in the fit, after 128 steps.

# %%
options = ["the exponent a: it is one of the five numbers of the fit", "the prediction for the larger model"]
predict("08.sure", "Which has the narrower interval, as a share of its own value?", options)
N, D, laws = sizes[TARGET], 128 * BATCH * CONTEXT, []


def predicted_loss(chosen):
    laws.append(fit_from(law, runs[chosen])[1])  # one start, the law of all runs, to save time
    return predict_loss(laws[-1], N, D)


interval = bootstrap_interval(torch.arange(len(runs)), predicted_loss, 40, 0)
predicted = predict_loss(law, N, D)
shares = {"prediction": [bound / predicted for bound in interval]}
for key, name in {"E": "irreducible loss E", "a": "exponent a", "b": "exponent b"}.items():
    values = torch.tensor([one[key] for one in laws]) / law[key]
    shares[name] = values.quantile(torch.tensor([0.05, 0.95])).tolist()

# %%
bars({name: (1.0, low, high) for name, (low, high) in shares.items()},
     xlabel="value / value of the fit to all runs (nine tenths of 40 resamples)",
     alt="The prediction with a narrow whisker; E and the exponents a and b with much wider ones.")  # fmt: skip
wide = {name: high - low for name, (low, high) in shares.items()}
claim("as a share of its value, the prediction's interval is less than half as wide as that of a",
      2 * wide["prediction"] < wide["exponent a"] or not full, prediction=wide["prediction"], a=wide["exponent a"])  # fmt: skip
resolve("08.sure", options[wide["prediction"] < wide["exponent a"]],
        "Many sets of five numbers describe these runs, and they predict alike in the neighbourhood.")  # fmt: skip

# %% [markdown]
# So do not read the numbers of such a fit as facts of nature. E came out at about 1.1 nats, and some resamples put it near 0: our runs are too few and too small to tell a constant from a slow power law.
#
# The same happened to better-known numbers. Besiroglu et al. fitted Hoffmann's law again, to points read off the paper's figure, and found the published intervals far too narrow: such intervals would need more than 600,000 runs, and there were fewer than 500. They also found that the optimizer had stopped too early, because the losses were averaged and not summed [3].

# %% [markdown]
# ## 6 · Predict first, then train
#
# **Extrapolation** means using a law outside of the range it was fitted to. The interval above says how much the *runs* disagree. It cannot show an error that all runs share, such as a wrong formula; only a new run can. Choose before you train:

# %%
print(f"N = {N:,}, D = {D:,} ≈ {predicted:.3f} nats, interval {interval[0]:.3f} to {interval[1]:.3f}")
options = ["within 0.05 nats of the prediction", "more than 0.05 nats lower", "more than 0.05 nats higher"]
predict("08.bet", "The model will end", options)

# %%
begin = time.process_time()
bet = loss_of(train(TARGET, lesson_steps(128)))
print(f"≈ {time.process_time() - begin:.0f} seconds")
gap, seeds = bet - predicted, [row["loss"] for row in shipped["target"]]
resolve("08.bet", options[0] if abs(gap) <= 0.05 else options[1 if gap < 0 else 2],
        "The interval shows how far the runs disagree. It cannot show an error that all of them share.")  # fmt: skip
claim("the run repeats the shipped one of the same seed within 0.02 nats", abs(bet - seeds[0]) < 0.02 or not full,
      loss=bet)  # fmt: skip
near = predict_loss(fit_law(runs[runs[:, 0] > sizes[12]]), N, D)
smaller = profiles[2.4e10][sizes[48]]  # the losses of width 48, which read about as many tokens
base, (low, high) = sum(smaller) / len(smaller), interval
bars({"predicted": (base - predicted, base - high, base - low), "predicted without widths 8 and 12": base - near,
      "trained": [base - loss for loss in seeds]},
     xlabel="gain over width 48 (nats per token)",
     alt="Gain over width 48: two predictions, the first with its interval, and the trained model, which gains most.")  # fmt: skip
claim("the trained model is better than predicted, and better than width 48 after about as many tokens",
      bet < min(predicted, *smaller) or not full, predicted=predicted, interval=interval)  # fmt: skip

# %% [markdown]
# The law predicted about 2.33 nats; the trained model reached 2.27. The law foresaw that size would help (width 48 ends at 2.44) but missed about a third of the gain.
#
# The three trained models lie at or just below the lower end of the interval: the scatter of the runs hardly explains that. The two suspects of section 4 could: all runs share them, so no resample shows them. Without the two smallest widths the prediction is closer, which proves little, since it was chosen afterwards. **Change it:** leave out another width, say 24: `runs[runs[:, 0] != 15_912]`.
#
# ## 7 · Spending a budget well
#
# Training is **compute-optimal** if no other split of the same FLOP between parameters and tokens reaches a lower loss: minimize L(N, D) under 6ND = C.

# %% exercise="08.3"

# %% [markdown]
# Hoffmann et al. found the optimum in three ways [2]: approach 1 takes the lowest training curve at each budget (the envelope), approach 2 the minimum of a parabola through each IsoFLOP profile, approach 3 the fitted law. We compare the second with the third.


# %%
def parabola_minimum(profile):
    """The N at the lowest point of a parabola through loss against log N."""
    x = torch.tensor([math.log(n) for n in profile]).double()
    columns = torch.stack([x**2, x, torch.ones_like(x)], 1)
    a, b, _ = torch.linalg.lstsq(columns, torch.tensor([*profile.values()]).double()[:, None]).solution[:, 0]
    return math.exp(-b / (2 * a))


by_parabola, by_law = [parabola_minimum(mean) for mean in means.values()], []
for budget, n in zip(means, by_parabola, strict=True):
    by_law.append(compute_optimal(law, budget)[0])
    d = budget / 6 / by_law[-1]
    print(f"{name_of[budget]}: parabola N {n:,.0f} ≈ law N {by_law[-1]:,.0f}, D {d:,.0f}, D / N {d / by_law[-1]:.0f}")
apart = [max(a, b) / min(a, b) for a, b in zip(by_law, by_parabola, strict=True)]
claim("at both budgets the law and the parabola place the optimum within a factor of 1.5",
      max(apart) < 1.5 or not full, factors=apart)  # fmt: skip

# %% [markdown]
# Hoffmann et al. concluded that N and D should grow about equally, $N_{opt}\propto C^{0.5}$, with some 20 tokens for each parameter [2]. Two years before, Kaplan et al. had found $N_{opt}\propto C^{0.73}$ [1], and the models that followed it were large and read little.
#
# What differed? Later work names the cost of the last layer, which was left out, a warm-up too long for small models, hyperparameters not tuned for each size [4], and a count of parameters without embeddings at small scale [5]. The count can be tested here: what does our law recommend if we count in three ways?

# %%
options = ["faster", "as fast", "more slowly"]
predict("08.count", "If the head is left out of N and of C, the recommended N grows with compute", options)
w = torch.arange(2, 150, 0.1).double()
blocks, head = 24 * w**2, V * w  # two blocks of 12 w² each
exact = torch.tensor([count_flops(2, width, CONTEXT, V, CONTEXT) / CONTEXT for width in w.tolist()])
counts = {"exact FLOP": (exact, blocks + head), "6ND": (6 * (blocks + head), blocks + head),
          "6ND, no head in N and C": (6 * blocks, blocks)}  # fmt: skip
budgets = torch.logspace(10.5, 12.5, 9).double()


def best_sizes(cost, size):
    """For each budget the size of the lowest predicted loss, where a token costs cost[width] FLOP."""
    return [size[predict_loss(law, blocks + head, budget / cost).argmin()].item() for budget in budgets]


# %%
chosen = {name: best_sizes(*count) for name, count in counts.items()}
powers = {name: math.log(n[-1] / n[0]) / math.log(100) for name, n in chosen.items()}
curves(budgets.tolist(), chosen, xlog=True, ylog=True, xlabel="compute C (FLOP)", ylabel="recommended N",
       alt="Recommended N against compute on logarithmic axes, for three ways to count.")  # fmt: skip
steeper = powers["6ND, no head in N and C"] > powers["exact FLOP"]
claim("without the head in N and C the recommended N grows faster than by the exact count", steeper or not full,
      exact=powers["exact FLOP"], six_nd=powers["6ND"], no_head=powers["6ND, no head in N and C"])  # fmt: skip
resolve("08.count", options[0] if steeper else options[2],
        "The head is a large part of small models alone. Without it they look smaller than they are, and the line "
        "starts lower.")  # fmt: skip

# %% [markdown]
# A count that leaves out a part which matters only in small models makes the line steeper, so the same runs lead to other advice. Here the exponent grows from 0.59 to 0.62; with a real vocabulary of 50,000 tokens the head is far larger.
#
# A model is trained once and used often, and using it costs 2N FLOP a token. **Over-training** means to train a smaller model on more tokens than is compute-optimal, which costs more in training and less in every use [8]. We ask Besiroglu's refit of the law [3]: which N has the lowest total bill for the same loss?

# %%
CHINCHILLA = {"E": 1.8172, "A": 482.01, "a": 0.3478, "B": 2085.43, "b": 0.3658}  # Besiroglu et al. 2024
best_n, best_d = compute_optimal(CHINCHILLA, 1e22)
goal = predict_loss(CHINCHILLA, best_n, best_d)  # the loss that 10^22 FLOP can buy
n = best_n * torch.logspace(-0.75, 0.5, 200, dtype=torch.float64)
room = goal - CHINCHILLA["E"] - CHINCHILLA["A"] / n ** CHINCHILLA["a"]
n, room = n[room > 0], room[room > 0]
d = (CHINCHILLA["B"] / room) ** (1 / CHINCHILLA["b"])  # the tokens that reach the goal with n parameters
served = {"never used": 0.0, "1 trillion tokens written": 1e12, "10 trillion": 1e13}
bills = {name: 6 * n * d + 2 * n * tokens for name, tokens in served.items()}
curves((n / 1e9).tolist(), {name: (bill / 1e22).tolist() for name, bill in bills.items()}, ylim=(0, 40),
       xlabel="parameters (billions)", ylabel="training and use (10²² FLOP)",
       alt="Total FLOP against size for one loss. The more tokens are written, the further left is the lowest point.")  # fmt: skip
cheapest = {name: n[bill.argmin()].item() / 1e9 for name, bill in bills.items()}
print({name: f"{size:.2g} billion" for name, size in cheapest.items()})
never, one, ten = cheapest.values()
claim("the more a model is used, the smaller is the cheapest model of this loss", never > one > ten,
      never_used=never, one_trillion=one, ten_trillion=ten)  # fmt: skip

# %% [markdown]
# On the left all lines rise steeply: a model that is too small cannot reach this loss with any number of tokens.
#
# ## 8 · The data wall
#
# More compute wants more data, and text is finite. Training is called **data-constrained** if the same text has to be read several times. Muennighoff et al. trained models of up to 9 billion parameters on repeated text: up to four epochs were almost as good as fresh text, and with many more the value of further repetition fell to zero [7].
# On our corpus: width 32 reads 262,144 tokens in every run, from a text of that length, or a quarter, a sixteenth, a sixty-fourth of it.

# %%
options = ["by less than 0.02 nats", "by 0.02 to 0.1 nats", "by more than 0.1 nats"]
predict("08.wall", "Four epochs of a quarter of the text, instead of fresh text, raise the test loss", options)
wall = {int(epochs): losses for epochs, losses in shipped["wall"].items()}
curves(list(wall), {"width 32, 262,144 tokens read": list(zip(*wall.values(), strict=True))}, xlog=True,
       xlabel="epochs (the text is so many times shorter)", ylabel="test loss (nats per token)",
       alt="Test loss against epochs for the same number of tokens read; it is highest at 64 epochs.")  # fmt: skip

# %%
extra = {epochs: (sum(losses) - sum(wall[1])) / len(losses) for epochs, losses in wall.items()}
reported("64 epochs raise the loss by more than four do", extra[64] > extra[4], table=shipped,
         **{f"epochs_{epochs}": rise for epochs, rise in extra.items()})  # fmt: skip
resolve("08.wall", options[(extra[4] > 0.02) + (extra[4] > 0.1)],
        "A small model that reads a text four times has not memorized it yet; with 64 readings it begins to.")  # fmt: skip

# %% [markdown]
# Four epochs cost about 0.09 nats, sixteen 0.2 and sixty-four 1.2: that model overfits its 4,096 characters. (On them its loss is about 1.0, on the test text 3.3.) Repetition hurts us earlier than Muennighoff's models, whose texts were far longer.
#
# ## 9 · Sudden or smooth?
#
# An **emergent ability** is one that small models do not have and large ones do, and that could not be predicted by extrapolating from the small ones [9]. **Exact match**, the usual metric, counts an answer only if all of it is right. Schaeffer et al. asked whether the model jumps, or the metric [10]. If each token of an answer is right with probability p, and p grows steadily, what does exact match do?

# %% exercise="08.5"

# %%
p = torch.linspace(0.02, 1, 50)
curves(p.tolist(), {f"{k} tokens": emergent(p, k)[0].tolist() for k in (1, 4, 20)},
       xlabel="probability of each right token", ylabel="probability of exact match",
       alt="Exact match against token probability: a straight line for one token, a late steep rise for twenty.")  # fmt: skip

# %% [markdown]
# Now a trained model: width 32, looked at after 4, 8, ... 256 steps. Steps stand in for size here. The answer is the next k characters of the test text; it counts if greedy decoding would write all of them. (It does so if each character is the likeliest one, given the right ones before it.)

# %%
options = ["in the first half of the doublings of steps", "in the second half"]
predict("08.jump", "Exact match of 4 characters makes most of its gain", options)
looked_at, kept = [4, 8, 16, 32, 64, 128, 256], []


def metrics(model):
    """Mean log-probability, and the share of answers of k characters that greedy decoding would write."""
    p, hit = token_probabilities(model, test_ids[:20_000])
    exact = {k: hit.float().unfold(1, k, 1).prod(-1).mean().item() for k in (1, 4, 8)}
    return {"smooth": p.log().mean().item(), **exact}


_ = train(32, 256, watch=lambda step, model: step in looked_at and kept.append(copy.deepcopy(model)))
seen = {step: metrics(model) for step, model in zip(looked_at, kept, strict=True)}

# %%
curves(looked_at, {f"k = {k}": [seen[step][k] for step in looked_at] for k in (1, 4, 8)},
       xlog=True, xlabel="steps", ylabel="exact match of k characters",
       alt="Exact match by steps: one character rises early and steadily, four late, eight hardly at all.")  # fmt: skip


# %%
def share_of_gain(metric):
    """How much of its whole gain a metric has made after each number of steps."""
    values = [seen[step][metric] for step in looked_at]
    return [(value - values[0]) / (values[-1] - values[0]) for value in values]


gains = {"log-probability": share_of_gain("smooth"), "exact match, k = 1": share_of_gain(1),
         "exact match, k = 4": share_of_gain(4)}  # fmt: skip
curves(looked_at, gains, xlog=True, xlabel="steps", ylabel="share of the whole gain",
       alt="The same checkpoints: log-probability rises from the beginning, exact match of four only after step 32.")  # fmt: skip
late = {name: 1 - share[looked_at.index(32)] for name, share in gains.items()}
claim("after step 32 comes a larger share of the gain in exact match of 4 characters than of that in log-probability",
      late["exact match, k = 4"] > late["log-probability"], **late)  # fmt: skip
resolve("08.jump", options[late["exact match, k = 4"] > 0.5],
        "All four characters have to be right at once, and early on hardly any are.")  # fmt: skip

# %% [markdown]
# By log-probability the model has made two thirds of its gain at step 32; by exact match of four characters, hardly any. (That gain is small: at the end about 2 % of these answers are right.) When an ability seems to appear from nothing, ask first for a smooth metric on the same checkpoints. That does not make every jump an illusion: users care about whole answers, and those do come suddenly. A smooth metric warns only those who measured it on the small models.
#
# ## 10 · What the real ones spent
#
# The numbers of parameters and tokens are published [2, 11, 12]; FLOP are 6ND. The last two columns are what Besiroglu's refit recommends for the same FLOP.

# %%
real = {"GPT-3": (175e9, 300e9), "Gopher": (280e9, 300e9), "Chinchilla": (70e9, 1.4e12),
        "Llama 3 8B": (8e9, 15e12), "Llama 3 405B": (405e9, 15.6e12)}  # fmt: skip
print(f"{'':14}{'FLOP':>8} {'tokens / N':>11} {'best N':>8} {'best D':>8}")
for name, (n, d) in real.items():
    best_n, best_d = compute_optimal(CHINCHILLA, 6 * n * d)
    print(f"{name:14}{6 * n * d:8.1e} {d / n:11.1f} {best_n / 1e9:6.0f} B {best_d / 1e12:6.1f} T")

# %%
losses = {name: predict_loss(CHINCHILLA, n, d) for name, (n, d) in real.items()}
claim("by the refit Chinchilla's loss is lower than Gopher's", losses["Chinchilla"] < losses["Gopher"], **{
    name.replace(" ", "_"): loss for name, loss in losses.items()})  # fmt: skip

# %% [markdown]
# GPT-3 is large and read less than two tokens for each parameter, in the spirit of the law of 2020 [1]. Chinchilla, with a quarter of Gopher's parameters and more than four times its tokens, was better at about the same compute [2]. Llama 3 405B is near the optimum of its makers' own law, 402 billion parameters and 16.55 trillion tokens [12]. Llama 3 8B read
# almost 2,000 tokens for each parameter: over-trained on purpose, to be better at the same cost of use [12].
#
# Now choose a budget yourself, and how many tokens each parameter gets.


# %%
def draw_bill(log10_flop=23.0, tokens_per_parameter=20):
    import matplotlib.pyplot as plt

    flop = 10**log10_flop
    n = (flop / 6 / tokens_per_parameter) ** 0.5
    ratios = torch.logspace(-1, 4, 200, dtype=torch.float64)
    sizes_at = (flop / 6 / ratios) ** 0.5
    fig, ax = plt.subplots(figsize=(6.4, 3.4))
    ax.plot(ratios, predict_loss(CHINCHILLA, sizes_at, flop / 6 / sizes_at), color="#0072B2")
    loss, hours = predict_loss(CHINCHILLA, n, flop / 6 / n), flop / 4e14 / 3600
    ax.plot([tokens_per_parameter], [loss], "o", color="#D55E00")
    ax.set(xscale="log", xlabel="tokens for each parameter", ylabel="predicted loss (nats per token)")
    ax.set_title(f"N {n:.2g}, D {flop / 6 / n:.2g}, loss {loss:.3f}\n{hours:,.0f} GPU hours, {2 * hours:,.0f} dollars")
    return fig


interactive(draw_bill, log10_flop=(18.0, 26.0, 0.5), tokens_per_parameter=[1, 5, 20, 100, 500, 2000],
            alt="Predicted loss against tokens for each parameter at one budget, with the chosen split as a point.")  # fmt: skip

# %% [markdown]
# The bill assumes 400 teraFLOP/s for each GPU, about what Llama 3 405B reached on its H100s [12], and, as a round number of ours, two dollars an hour. **Move the sliders:** how much loss does it cost to give every parameter 2,000 tokens? And how much does ten times the budget buy?
#
# At 10²³ FLOP the answers are 0.08 and 0.07 nats. The lowest point is flat: from 5 to 100 tokens for each parameter the loss changes by less than 0.01.

# %%
quiz("08.q1", "A law predicts a model of twice the size 0.04 nats too high. What is the first thing to check?",
     {"E": "It is badly known, and many values of it predict alike nearby.",
      "Whether all sizes were tuned with the same care": "Right: a learning rate that suits one size bends the law.",
      "Nothing: 0.04 nats are noise": "Perhaps; compare with the spread of seeds before you say so."},
     answer="Whether all sizes were tuned with the same care")  # fmt: skip
quiz("08.q2", "Your budget grows by a factor of 100, and a = b. How do N and D grow?",
     {"N by 100, D stays": "Then the term of the data would soon be all that is left to gain.",
      "Both by 10": "Right: with equal exponents both grow with the square root of C.",
      "D by 100, N stays": "Then the term of the size would soon be all that is left to gain."},
     answer="Both by 10")  # fmt: skip
quiz("08.q3", "A model will answer a billion questions a day. Compared with compute-optimal, it should be",
     {"larger": "Every token it writes costs 2N FLOP, so a larger model costs more each time.",
      "of that size": "That is best only if use costs nothing.",
      "smaller, and read more": "Right: over-training costs once, and saves with every answer."},
     answer="smaller, and read more")  # fmt: skip
quiz("08.q4", "Long answers, exact match: 0 % for four models and 30 % for the fifth. What do you ask for?",
     {"A sixth, larger model": "It may do better; the question is what happened among the first four.",
      "The log-probability of the right answers": "Right: it shows whether the first four were getting better.",
      "Another seed of each": "Useful, but 0 % by exact match would probably stay 0 %."},
     answer="The log-probability of the right answers")  # fmt: skip

# %% [markdown]
# ## What the real systems do
#
# | | budget as published (FLOP) | how the split was chosen |
# |---|---|---|
# | GPT-3 (2020) [11] | 3.1 · 10²³ | 300 B tokens for every size from 125 M to 175 B |
# | Chinchilla (2022) [2] | 5.8 · 10²³ | three approaches, more than 400 runs up to 16 B |
# | Llama 3 405B (2024) [12] | 3.8 · 10²⁵ | IsoFLOP profiles from 6 · 10¹⁸ to 10²² FLOP |
#
# ## Summary
#
# - Training costs about 6ND FLOP; at small width and long context count exactly.
# - Tune the learning rate for every size, or transfer it, before you compare sizes.
# - L = E + A / N^a + B / D^b describes many runs with five numbers; its predictions nearby are better known than the numbers.
# - Predict first, then train: the bootstrap shows the scatter of the runs, not the flaws that all share.
# - Compute-optimal is one choice; a model that is used much should be smaller and read more.
# - A sharp metric can make a steady gain look sudden.
#
# **Where next:** lesson 09 turns from text to images; Hoffmann et al. [2] is the paper to read; the library page is
# [torch.optim.LBFGS](https://docs.pytorch.org/docs/stable/generated/torch.optim.LBFGS.html).

# %% [markdown]
# ## References
# - [1] J. Kaplan et al., *Scaling Laws for Neural Language Models*, arXiv 2020. <https://arxiv.org/abs/2001.08361>
# - [2] J. Hoffmann et al., *Training Compute-Optimal Large Language Models*, NeurIPS 2022. <https://arxiv.org/abs/2203.15556>
# - [3] T. Besiroglu, E. Erdil, M. Barnett, J. You, *Chinchilla Scaling: A Replication Attempt*, arXiv 2024. <https://arxiv.org/abs/2404.10102>
# - [4] T. Porian et al., *Resolving Discrepancies in Compute-Optimal Scaling of Language Models*, NeurIPS 2024. <https://arxiv.org/abs/2406.19146>
# - [5] T. Pearce, J. Song, *Reconciling Kaplan and Chinchilla Scaling Laws*, TMLR 2024. <https://arxiv.org/abs/2406.12907>
# - [6] G. Yang et al., *Tensor Programs V: Tuning Large Neural Networks via Zero-Shot Hyperparameter Transfer*, NeurIPS 2021. <https://arxiv.org/abs/2203.03466>
# - [7] N. Muennighoff et al., *Scaling Data-Constrained Language Models*, NeurIPS 2023. <https://arxiv.org/abs/2305.16264>
# - [8] N. Sardana, J. Portes, S. Doubov, J. Frankle, *Beyond Chinchilla-Optimal: Accounting for Inference in Language Model Scaling Laws*, ICML 2024. <https://arxiv.org/abs/2401.00448>
# - [9] J. Wei et al., *Emergent Abilities of Large Language Models*, TMLR 2022. <https://arxiv.org/abs/2206.07682>
# - [10] R. Schaeffer, B. Miranda, S. Koyejo, *Are Emergent Abilities of Large Language Models a Mirage?*, NeurIPS 2023. <https://arxiv.org/abs/2304.15004>
# - [11] T. B. Brown et al., *Language Models are Few-Shot Learners*, NeurIPS 2020. <https://arxiv.org/abs/2005.14165>
# - [12] A. Grattafiori et al., *The Llama 3 Herd of Models*, arXiv 2024. <https://arxiv.org/abs/2407.21783>
# - [13] K. Jordan et al., *Muon: An optimizer for hidden layers in neural networks*, 2024. <https://kellerjordan.github.io/posts/muon/>

# %% tags=["nbval-ignore-output"]
progress("08")
