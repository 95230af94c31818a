# %% [raw]
# place = ["reconstruction, ELBO, adversary", "autoencoder, VAE, GAN", "clothes"]
# builds = "the Fréchet distance, and how far to trust it; an autoencoder, a VAE and a GAN that draw clothes, compared fairly"
# [reads]
# "fmcourse.autoencoders" = ["Autoencoder", "Gaussian", "VAE", "negative_elbo"]
# "fmcourse.training.gan" = ["discriminator_bce_loss", "generator_non_saturating_loss", "SpectralNorm", "GANRun", "train_gan"]
# "fmcourse.evaluation.image_quality" = ["frechet_distance", "precision_recall"]

# %% [markdown]
# # 09 · Pictures out of nothing: autoencoders, VAEs, GANs
# **In this lesson networks draw clothes that nobody ever sewed. Three families compete, one judge scores them all, and you learn first how far to
# trust the judge.**
#
# 90 minutes to read and do · two minutes to compute · you need Python, a little PyTorch, and what a bell curve is.

# %% [markdown]
# **Afterwards you can**
# - read a Frechet distance, a precision and a recall, and know when they lie;
# - say why an autoencoder cannot invent, and what a VAE adds;
# - derive the evidence bound, and check it where the truth is known;
# - see a code die, and a generator repeat itself, and count both;
# - steady a GAN with three small changes.

# %%
import math

import matplotlib.pyplot as plt
import torch
from fmcourse.autoencoders import VAE, Autoencoder, decoder, encoder, log_evidence, negative_elbo
from fmcourse.course import check, claim, hint, predict, progress, quiz, show, solution
from fmcourse.data import checkpoint, load, table
from fmcourse.data.images import image_grid, normalize_pixels
from fmcourse.evaluation import image_quality as fidelity
from fmcourse.plots import LiveCurve, band
from fmcourse.plots.widgets import interactive
from fmcourse.training import EMA, derive_seed, fit, lesson_steps
from fmcourse.training import gan as adversarial
from torch import nn
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal, Normal, kl_divergence
from torch.nn import functional as F

# fmt: off

# %% [markdown]
# ## 1 · A judge, and how far to trust it
# How do we tell who draws well? Not by liking it. Our pictures first: ten kinds of clothes, numbers from -1 to 1.

# %%
clothes, shipped = load("fashion"), table("lesson_09")
train, test = normalize_pixels(clothes.train.pixels), normalize_pixels(clothes.test.pixels)  # (N, 1, 28, 28)
each = torch.cat([(clothes.train.labels == kind).nonzero()[:200, 0] for kind in range(10)])  # 200 of each kind


def gallery(rows, alt):
    fig, axes = plt.subplots(len(rows), 1, figsize=(7.6, 0.98 * len(rows)), squeeze=False)
    for ax, (name, x) in zip(axes[:, 0], rows.items(), strict=True):
        ax.imshow(image_grid(x, columns=len(x)), cmap="gray", vmin=0, vmax=255)
        ax.set_title(name, loc="left", fontsize=9)
        ax.axis("off")
    show(fig, alt=alt)


gallery({"real": train[each[::200]], "real too": train[each[1::200]]},
        "Two rows of real clothes, one of each kind: a T-shirt, trousers, a pullover, a dress, a coat, a sandal, a "
        "shirt, a sneaker, a bag, a boot.")  # fmt: skip

# %% [markdown]
# The judge is a small network that learnt, once, to tell the ten kinds apart. We do not ask it for the kind. We take the 64 numbers from which it tells, so that
# a picture becomes a point.

# %%
judge = fidelity.load_feature_extractor()
real, known = fidelity.extract_features(judge, test), fidelity.extract_features(judge, train)
right = (judge.classifier(real).argmax(1) == clothes.test.labels).double().mean().item()
claim("the judge knows its trade: on pictures it never saw it names more than four kinds in five rightly",
      right > 0.8, rightly=right)  # fmt: skip
print(f"{len(real):,} test pictures are {tuple(real.shape)} numbers now")
# a value a seed, from the table
at = lambda family, key="frechet", seconds=90, group="curves": [next(point[key] for point in run
    if point["seconds"] == seconds) for run in shipped[group][family]]  # fmt: skip

# %% [markdown]
# Real pictures are one cloud of points, made ones another. The **Frechet distance** compares their middles and spreads. But one number mixes two failings: drawing badly, and
# drawing always the same. So there are two more. **Precision**: which share of the made is good? **Recall**: which share of the real could have been made?

# %% exercise="09.1"

# %%
some, other = real[:300], known[each[::7]]
mine = precision(some, other, 3), precision(other, some, 3)  # the same function, the clouds changed over: recall
claim("your precision is the package's, and changed over its recall",
      all(abs(a - b) < 1e-6 for a, b in zip(mine, fidelity.precision_recall(some, other), strict=True)))  # fmt: skip


def score(x):  # 2,000 pictures beside the 2,000 test pictures
    seen = fidelity.extract_features(judge, x.clamp(-1, 1))
    return fidelity.Fidelity(fidelity.frechet_distance(real, seen), *fidelity.precision_recall(real, seen), len(seen))


# %% [markdown]
# ### The noise floor
# What do *real* pictures score against other real ones?

# %%
predict("09.floor", "100 real pictures against 100 other real ones, instead of 2,000 against 2,000. The distance is",
        ["about the same", "about twice as large", "more than five times as large"])

# %%
def among_equals(n, seed):
    g = torch.Generator().manual_seed(seed)
    return fidelity.frechet_distance(real[torch.randperm(len(real), generator=g)[:n]],
                            known[torch.randperm(len(known), generator=g)[:n]])  # fmt: skip


sizes = [100, 200, 500, 1000, 2000]
floor = [[among_equals(n, seed) for seed in range(5)] for n in sizes]
fig, ax = plt.subplots()
band(ax, sizes, list(zip(*floor, strict=True)), "real against real, 5 draws")
ax.set(xscale="log", yscale="log", xlabel="pictures on either side", ylabel="Frechet distance of real to real pictures")
ax.set_xticks(sizes, sizes)
ax.minorticks_off()
show(fig, alt="Frechet distance of real pictures to real ones, against how many there are: it falls in a nearly "
     "straight line on logarithmic axes.")  # fmt: skip
best = score(train[each])
claim("even among equals, a hundred pictures look more than five times as far apart as two thousand",
      min(floor[0]) > 5 * max(floor[-1]), hundred=floor[0], two_thousand=floor[-1])  # fmt: skip
print("≈ the floor of this lesson, real pictures, 200 of each kind:", best)

# %% [markdown]
# So: always 2,000 against the same 2,000, and a difference within the band means nothing. Now feel the numbers. We damage real pictures in four ways. Which score notices which?

# %%
damaged = {"blurred": F.avg_pool2d(train[each], 3, 1, 1), "noisy": train[each] + 0.2 * torch.randn(2000, 1, 28, 28,
    generator=torch.Generator().manual_seed(0)),
           "half the kinds": train[clothes.train.labels < 5][:2000], "20 pictures": train[each[::100]].repeat(100, 1,
    1, 1)}  # fmt: skip
felt = {"real": best} | {name: score(x) for name, x in damaged.items()}
for name, found in felt.items():
    print(f"{name:15} ≈ {found}")
claim("by Frechet, twenty pictures over and over beat blurred ones; recall is not fooled",
      felt["20 pictures"].frechet < felt["blurred"].frechet and felt["20 pictures"].recall < 0.1,
      frechet=[felt["20 pictures"].frechet, felt["blurred"].frechet], recall=felt["20 pictures"].recall)  # fmt: skip
claim("half the kinds missing: Frechet cries out, recall loses less than a fifth",
      felt["half the kinds"].frechet > 50 and felt["half the kinds"].recall > 0.8 * best.recall,
      frechet=felt["half the kinds"].frechet, recall=felt["half the kinds"].recall)  # fmt: skip

# %% [markdown]
# Each is blind somewhere. Frechet sees middles and spreads, and twenty pictures have those. Recall: one odd pullover with far neighbours has a wide reach, and covers boots (Naeem et al. 2020). So
# read all three, count kinds, and *look*.

# %% [markdown]
# ## 2 · The autoencoder
# Two networks, trained as one. The **encoder** folds a picture into 16 numbers, its *code*; the **decoder** unfolds them. The label is the picture itself. 90 seconds of training, like
# everyone's in this lesson.

# %%
def restored(name, model):
    model.load_state_dict(checkpoint(name).tensors)
    return model.eval()


through = torch.inference_mode()(lambda network, rows: torch.cat([network(part) for part in rows.split(500)]))
auto = restored("autoencoder", Autoencoder(encoder(16, 16), decoder(16, 16)))
gallery({"goes in": test[:10], "comes out": auto(test[:10]).detach()},
        "Ten pieces of clothing, and below them the same from 16 numbers each: right in kind and outline, the "
        "patterns washed out.")  # fmt: skip

# %% [markdown]
# 784 numbers through a door of 16. That is understanding, of a kind. So let it *invent*: draw each number by chance, with the mean and spread it has over real pictures. Clothes, rags
# or noise? Guess, then run.

# %%
codes = through(auto.encoder, train)
torch.manual_seed(0)
ragged = through(auto.decoder, codes.mean(0) + codes.std(0) * torch.randn(2000, 16))
gallery({"drawn blind": ragged[:10], "more": ragged[10:20]},
        "Two rows of shapes painted from random codes: some nearly clothes, many rags, clouds and two things at "
        "once.")  # fmt: skip
print("≈", score(ragged))
blind_runs = at("autoencoder, drawn blind", group="more")
claim("drawn blind it lands far from real clothes, in each of three seeds", min(blind_runs) > 20,
      three_seeds=blind_runs)  # fmt: skip

# %% [markdown]
# Nobody told the encoder to leave its codes where chance looks for them. They lie on some curved island, and a draw falls into the sea. What if we *chart* the island: one
# Gaussian, or ten?

# %%
def mixture(codes, parts=10, rounds=20):  # several Gaussians, fitted by turns: who belongs where, then where is each?
    n, K = codes.shape
    mean, spread, part = codes[torch.randperm(n)[:parts]], codes.T.cov().expand(parts, K, K), torch.full((parts,),
        1 / parts)  # fmt: skip
    for _ in range(rounds):
        belongs = (MultivariateNormal(mean, spread).log_prob(codes[:, None]) + part.log()).softmax(1)  # (n, parts)
        total = belongs.sum(0)
        part, mean = total / n, belongs.T @ codes / total[:, None]
        off = codes[:, None] - mean
        spread = torch.einsum("np,npi,npj->pij", belongs, off, off) / total[:, None, None] + 1e-4 * torch.eye(K)
    return MixtureSameFamily(Categorical(part), MultivariateNormal(mean, spread))


# %%
charts = {"one Gaussian": MultivariateNormal(codes.mean(0), codes.T.cov()), "ten Gaussians": mixture(codes)}
painted = {name: through(auto.decoder, chart.sample((2000,))) for name, chart in charts.items()}
for name, x in painted.items():
    print(f"{name:15} ≈ {score(x)}")
gallery({name: x[:10] for name, x in painted.items()},
        "Clothes from codes drawn from one fitted Gaussian, a few of them rags; and from ten, where nearly all are "
        "clothes.")  # fmt: skip
one, ten = at("autoencoder, one Gaussian", group="more"), at("autoencoder, fitted codes")
claim("a chart of the island helps, and a finer one helps more, in each of three seeds",
      max(ten) < min(one) and max(one) < min(blind_runs), blind=blind_runs, one=one, ten=ten)  # fmt: skip

# %% [markdown]
# No label was used. Remember this humble number.
#
# ## 3 · The VAE: decree where codes lie
# A **variational autoencoder** tells a story: draw a code z from the standard bell, decode it, add noise. Which decoder makes *our* pictures likely? Where all is linear we know p(x) exactly; so
# first five numbers a picture, two a code.

# %%
g = torch.Generator().manual_seed(1)
W = torch.linalg.qr(torch.randn(5, 2, generator=g))[0] * torch.tensor([2.0, 1.0])  # columns at right angles
x = W @ torch.tensor([1.5, -1.0]) + 0.2 * torch.randn(5, generator=g)
log_p = MultivariateNormal(torch.zeros(5), W @ W.T + 0.2**2 * torch.eye(5)).log_prob(x)  # the truth
likely = lambda z: Normal(z @ W.T, 0.2).log_prob(x).sum(-1)  # log p(x | z)
for draws in (10, 100, 1000, 100_000):
    print(f"step 1, p(x | z) averaged over {draws:>7,} codes: ≈ "
          f"{likely(torch.randn(draws, 2, generator=g)).logsumexp(0) - math.log(draws):.3f} nats; the truth is "
          f"{log_p:.3f}")  # fmt: skip

# %% [markdown]
# **Step 1** works, and wastes: most codes do not explain this x. **Step 2**: draw from a guess q(z | x) instead, and weigh:
# p(x) = mean of p(x | z) p(z) / q(z). A few draws do.

# %%
tight = W.square().sum(0) / 0.2**2 + 1
# which codes made x; which codes there are
exact, bell = Normal(x @ W / 0.2**2 / tight, tight**-0.5), Normal(torch.zeros(2), 1.0)  # fmt: skip


def weights(q, draws):  # log of p(x | z) p(z) / q(z)
    z = q.mean + q.stddev * torch.randn(draws, 2, generator=g)
    return likely(z) + (bell.log_prob(z) - q.log_prob(z)).sum(-1)


for draws in (10, 100):
    print(f"step 2, {draws:>3} draws from a guess: ≈ "
          f"{weights(Normal(exact.mean + 0.1, 1.5 * exact.stddev), draws).logsumexp(0) - math.log(draws):.3f}")  # fmt: skip

# %% [markdown]
# **Step 3**: a mean of logarithms is never above the logarithm of the mean (Jensen 1906). So take logarithms first, and have a *bound* that needs one draw: the **ELBO**. **Step 4**: what is missing?
# KL(q ‖ p(z | x)), how wrong the guess is.

# %%
shifts = torch.linspace(-0.4, 0.4, 9)
guesses = [Normal(exact.mean + shift, 1.5 * exact.stddev) for shift in shifts]
bound = torch.stack([weights(q, 20_000).mean() for q in guesses])
gap = torch.stack([kl_divergence(q, exact).sum() for q in guesses])
fig, ax = plt.subplots(figsize=(6.4, 3.2))
ax.axhline(log_p, color="black", linestyle="-", label="log p(x)")
ax.plot(shifts, log_p - gap, "--", label="log p(x) - KL(q ‖ exact)")
ax.plot(shifts, bound, "o", label="the bound, measured")
ax.set(xlabel="how far the guess is shifted", ylabel="nats")
ax.legend()
show(fig, alt="The measured bound lies on the curve log p minus the divergence: a hill below the level line of log "
     "p, highest where the guess is not shifted.")  # fmt: skip
claim("the bound falls short of log p(x) by the divergence, and by nothing else",
      (bound + gap - log_p).abs().max() < 0.15, largest_error=(bound + gap - log_p).abs().max())  # fmt: skip
claim("with the exact answer for a guess nothing is missing, draw by draw",
      (weights(exact, 100) - log_p).abs().max() < 1e-3, spread=weights(exact, 100).std())  # fmt: skip

# %% [markdown]
# Push it up, and the decoder makes pictures likelier while the encoder guesses better: **two networks, one number**, ELBO = E[log p(x | z)] - KL(q(z | x) ‖ p(z)): how well painted, less what the
# code tells. Both pieces are yours to write.

# %% exercise="09.2"

# %% exercise="09.3"

# %%
torch.manual_seed(0)
vae = VAE(encoder(32, 16), decoder(16, 16), noise=0.5)  # 32: a mean and a log-variance for each of 16 numbers
q = vae.encode(train[:64])
z = draw(q.mean, q.log_variance, torch.randn(64, 16, generator=torch.Generator().manual_seed(7)))
mine = -vae.log_likelihood(train[:64], z).mean() + kl(q.mean, q.log_variance).mean()
theirs = negative_elbo(vae, train[:64], torch.Generator().manual_seed(7)).value
claim("your draw and your price make the package's objective, minus the ELBO",
      (mine - theirs).abs() < 1e-3 * theirs.abs(), yours=mine, package=theirs)  # fmt: skip

# %% [markdown]
# Now train it, live: half of everybody's 90 seconds. The figure is minus the bound, so lower is better. (Nats of *densities* may be negative; only differences mean something.)

# %%
class Some:  # random rows, a batch for each step
    def __init__(self, rows, batch=32):
        self.rows, self.batch = rows, batch

    def __getitem__(self, step):
        return self.rows[torch.randint(len(self.rows), (self.batch,),
                                       generator=torch.Generator().manual_seed(derive_seed(0, step)))]  # fmt: skip


from fmcourse.training.optimizers import OptimizerConfig

ADAM = OptimizerConfig(matrix_optimizer="adamw", lr=2e-3, warmup=0.0, min_lr_ratio=1.0, betas=(0.9, 0.99), clip=0.0)
steps = next(point["steps"] for point in shipped["curves"]["VAE"][0] if point["seconds"] == 45)
average, full = EMA(vae, 0.995), lesson_steps(20) == 20
with LiveCurve(alt="Minus the bound against steps: a steep fall in the first hundred, then a long gentle slope.",
               ylabel="minus ELBO (nats per picture)") as curve:  # fmt: skip
    history = fit(vae, negative_elbo, Some(train), steps=lesson_steps(steps), seed=0, optimizer=ADAM, progress=False,
                  on_step=lambda step, loss: (average.update(), curve(step, loss)))
live = average.model  # the mean of the weights along the way, steadier than the last ones
print("≈", history)

# %%
torch.manual_seed(1)
invented = through(live.decoder, torch.randn(2000, 16))
gallery({"from the bell": invented[:10], "more": invented[10:20], "there and back": through(live, test[:10])},
        "Two rows of invented clothes, soft as if out of focus, some between two kinds; and a row of real ones "
        "that went through the code.")  # fmt: skip
found, runs = score(invented), at("VAE", seconds=45)
print("≈", found)
if full:
    claim("codes from the plain bell paint clothes, better than the autoencoder's blind draws",
          found.frechet < min(at("autoencoder, drawn blind", seconds=45, group="more")),
          band=(2 * min(runs) - max(runs), 2 * max(runs) - min(runs)), frechet=found.frechet)  # fmt: skip

# %%
# how much does the bound give away on real pictures? Step 2 tells: weigh many draws
g = torch.Generator().manual_seed(2)  # fmt: skip
asked = test[::40]
low = torch.stack([-negative_elbo(live, asked, g).value for _ in range(50)])
near = log_evidence(live, asked, 50, g).mean()
claim("fifty weighed draws find more than the bound admits", near > low.mean(), bound=low.mean(), fifty_draws=near)
for run in shipped["told"]:
    print(f"after 90 seconds: bound {run['elbo_200']}, 200 draws {run['evidence_200']} nats a picture")

# %% [markdown]
# ### A code that dies
# A number of the code that earns less than it costs is given up: its bell becomes the standard one, and tells nothing. **Posterior collapse.** In a linear world: where the data spread less than the
# noise. Then on clothes: 32 numbers, four brushes, from fine to broad.

# %%
predict("09.collapse",
        "Data in four directions, 2.0, 1.0, 0.4 and 0.2 wide. A linear VAE with four numbers and noise 0.5. How "
        "many numbers stay alive?",
        ["all four", "two", "one"])  # fmt: skip

# %%
torch.manual_seed(0)
wide = torch.randn(4000, 4) * torch.tensor([2.0, 1.0, 0.4, 0.2])
small = VAE(nn.Linear(4, 8), nn.Linear(4, 4), noise=0.5)
fit(small, negative_elbo, Some(wide, 128), steps=1200, seed=0, progress=False)
nats = small.encode(wide).kl().mean(0).sort(descending=True).values
claim("two are wider than the noise, and two numbers live", (nats[:2] > 0.3).all() and (nats[2:] < 0.05).all(),
      nats=nats)  # fmt: skip

# %%
noises = list(shipped["collapse"][0])
alive = {noise: [sum(n > 0.1 for n in run[noise]) for run in shipped["collapse"]] for noise in noises}
fig, axes = plt.subplots(1, 2, figsize=(8.6, 3.2))
for noise, style in zip(noises, ("-", "--", "-.", ":"), strict=True):
    axes[0].plot(range(1, 33), shipped["collapse"][0][noise], style, label=f"noise {noise}")
axes[0].set(xlabel="number of the code, most telling first", ylabel="nats told")
axes[0].legend()
axes[1].boxplot([alive[noise] for noise in noises], tick_labels=noises)
axes[1].set(xlabel="noise", ylabel="numbers that tell over 0.1 nats", ylim=(0, 33))
show(fig, alt="Left, nats told by each of 32 numbers, for four kinds of noise: the more noise, the lower and the "
     "sooner at zero. Right, how many live: fewer with each step.")  # fmt: skip
claim("at noise 2 most of the 32 numbers are dead, in each of three seeds; at 0.25 most live",
      max(alive["2.0"]) < 16 < min(alive["0.25"]), **{f"noise {n}": runs for n, runs in alive.items()})  # fmt: skip

# %% [markdown]
# A sound economy: what tells nothing costs nothing. (A disease where the decoder needs no code at all: a language model, say. Bowman et al. 2016.)
#
# ### Half of it is the bell
# Does the encoder really fill the bell? Chart the VAE's codes as we charted the autoencoder's, and draw from the chart.

# %%
codes = through(lambda x: live.encode(x).sample(torch.Generator().manual_seed(0)), train)
torch.manual_seed(1)
charted = {"the bell": invented} | {name: through(live.decoder, chart.sample((2000,)))
                                    for name, chart in {"one Gaussian": MultivariateNormal(codes.mean(0),
    codes.T.cov()), "ten Gaussians": mixture(codes)}.items()}  # fmt: skip
for name, x in charted.items():
    print(f"{name:15} ≈ {score(x)}")
gallery({"the bell": invented[:10], "ten Gaussians": charted["ten Gaussians"][:10]},
        "Clothes from codes drawn from the bell, soft, some of them between two kinds; and from ten fitted "
        "Gaussians, where each is one kind.")  # fmt: skip
claim("same decoder, better lots: the distance falls by more than half, in each of three seeds",
      all(b < a / 2 for a, b in zip(at("VAE"), at("VAE, fitted codes"), strict=True)), bell=at("VAE"),
      ten_gaussians=at("VAE, fitted codes"))  # fmt: skip

# %% [markdown]
# So more than half of "VAEs are bad" is not the decoder but the decree. What is left is blur: where a code leaves two pictures open, the decoder paints their mean.
#
# ### Walk from one to another
# Fade the pixels, walk the autoencoder's codes, or the VAE's. Where do you expect a *single* thing half way?

# %%
@torch.no_grad()
def walk(start=0, end=1, steps=9):
    a, b = test[start : start + 1], test[end : end + 1]
    share = torch.linspace(0, 1, steps).view(-1, 1)
    between = lambda p, q: p + share.view(-1, *[1] * (p.ndim - 1)) * (q - p)
    rows = {"pixels": between(a, b), "autoencoder": auto.decoder(between(auto.encoder(a), auto.encoder(b))),
            "VAE": live.decoder(between(live.encode(a).mean, live.encode(b).mean))}
    fig, axes = plt.subplots(3, 1, figsize=(7.6, 3.2))
    for ax, (name, x) in zip(axes, rows.items(), strict=True):
        ax.imshow(image_grid(x, columns=steps), cmap="gray", vmin=0, vmax=255)
        ax.set_title(name, loc="left", fontsize=9)
        ax.axis("off")
    return fig


interactive(walk, start=(0, 99), end=(0, 99), steps=(5, 12),
            alt="Three rows from one piece of clothing to another. Faded pixels show two at once; the two decoders "
            "turn one into the other by way of single things.")  # fmt: skip

# %% [markdown]
# ## 4 · The GAN: be judged
# The mean of two shirts is no shirt. So let a *network* say what is wrong: a **discriminator** tells real from fake, a **generator** learns to pass. The generator is our decoder, fed with noise; the discriminator our
# encoder, with one number.

# %% exercise="09.4"

# %%
scores_real, scores_forged = torch.randn(2, 50, generator=g) * 3
mine = losses(scores_real, scores_forged)
theirs = (adversarial.discriminator_bce_loss(scores_real, scores_forged),
          adversarial.generator_non_saturating_loss(scores_forged))  # fmt: skip
claim("your two losses are the package's game of 2014", all(torch.allclose(a, b, atol=1e-5) for a, b in zip(mine,
    theirs, strict=True)))  # fmt: skip

# %% [markdown]
# One loss pulls up what the other pulls down, and nothing says that it ends well. First where one can see it: eight clouds in a ring. Two games differ only in how long Adam *remembers*: 0.9, as it
# comes, or 0.5. Who finds all eight?

# %%
centres = 4 * torch.tensor([[math.cos(math.tau * n / 8), math.sin(math.tau * n / 8)] for n in range(8)])


class Ring:  # 128 points of eight small clouds
    def __getitem__(self, step):
        g = torch.Generator().manual_seed(step)
        return centres[torch.randint(8, (128,), generator=g)] + 0.2 * torch.randn(128, 2, generator=g)


def net(numbers, out):
    parts = [(numbers, 64), (64, 64), (64, out)]
    return nn.Sequential(*[layer for i, o in parts for layer in (nn.Linear(i, o), nn.LeakyReLU(0.2))][:-1])


def clouds(points):  # a cloud counts if 12 of 1,000 points lie within three spreads of it
    far = torch.cdist(points, centres)
    return int((torch.bincount(far.argmin(1)[far.amin(1) < 0.6], minlength=8) >= 12).sum())


# %%
def play_ring(betas, steps=600):  # the game of 2014; betas: how long the optimizer remembers
    torch.manual_seed(0)
    generator, discriminator = net(8, 2), net(2, 1)
    config = adversarial.GANConfig(loss="non-saturating", lr_generator=2e-3, lr_discriminator=2e-3, betas=betas,
                                   ema_decay=0.99)  # fmt: skip
    adversarial.train_gan(generator, discriminator, Ring(), latent_dim=8, steps=steps, seed=0, config=config,
                          progress=False)  # fmt: skip
    return generator(torch.randn(1000, 8, generator=torch.Generator().manual_seed(5))).detach()


fake = {"remembers 0.9": play_ring((0.9, 0.999)), "remembers 0.5": play_ring((0.5, 0.99))}

fig, axes = plt.subplots(1, 2, figsize=(7, 3.4), sharex=True, sharey=True)
for ax, (name, points) in zip(axes, fake.items(), strict=True):
    ax.plot(*Ring()[0].T, "o", *points[:300].T, "x", markersize=4)  # real, fake
    ax.set(title=name, aspect="equal", xlim=(-6, 6), ylim=(-6, 6))
show(fig, alt="Eight clouds of real points in a ring, and crosses for fake ones. With the long memory the "
     "crosses fly all over the place; with the short one they run round the ring through every cloud.")  # fmt: skip
reached = {name: [run[name]["clouds"] for run in shipped["ring"]] for name in shipped["ring"][0]}
claim("with the long memory two clouds at most are found, with the short one seven or eight, in each of five seeds",
      max(reached["plain, long memory"]) <= 2 and min(reached["plain"]) > 6, **reached)  # fmt: skip
print(f"≈ live: {[clouds(points) for points in fake.values()]} of 8 clouds")

# %% [markdown]
# Momentum strikes at where the other *was*: nobody settles. (Radford et al. 2016 cut it to 0.5.) The second ill is **mode collapse**: why draw ten things, if one passes? A **well-made** game has
# three cures:
# - **hinge**: a discriminator right by a margin stops pushing;
# - **spectral norm**: no layer of it stretches anything;
# - **averaged weights**.

# %%
torch.manual_seed(0)
bare, held = encoder(1, 16), adversarial.add_spectral_norm(encoder(1, 16))


def blown_up(discriminator):  # what ten times larger weights do to its scores
    before, weights = discriminator(test[:50]).std(), [value for value in discriminator.parameters() if value.ndim > 1]
    with torch.no_grad():
        for weight in weights:
            weight *= 10
    return (discriminator(test[:50]).std() / before).item()


with torch.no_grad():
    grows = {"bare": blown_up(bare.eval()), "held": blown_up(held.eval())}
claim("all weights times ten: the bare discriminator shouts more than 100 times as loud, the held one does not notice",
      grows["bare"] > 100 and abs(grows["held"] - 1) < 0.01, **grows)  # fmt: skip
for _ in range(30):  # how it is done: follow the largest stretch, a step each time, and divide by it
    held.train()(test[:2])
largest = [torch.linalg.matrix_norm(part.weight.detach().flatten(1), 2).item() for part in held if hasattr(part,
    "weight")]  # fmt: skip
claim("each of its kernels, read as a matrix, stretches by 1 and no more",
      all(abs(stretch - 1) < 0.03 for stretch in largest), stretches=largest)  # fmt: skip

# %%
# 90 seconds each, the same networks and step size
lots = torch.randn(2000, 64, generator=torch.Generator().manual_seed(1))  # fmt: skip
generators = {name: restored(file, nn.Sequential(decoder(64, 16), nn.Tanh()))
           for name, file in {"plain GAN": "gan_plain", "well-made GAN": "gan"}.items()}  # fmt: skip
drawn = {name: through(generator, lots) for name, generator in generators.items()}
gallery({f"{name}{more}": x[i : i + 10] for name, x in drawn.items() for i, more in ((0, ""), (10, " "))},
        "Two rows from the plain GAN, speckled and torn; two from the well-made one, cleaner, still with ragged "
        "edges.")  # fmt: skip
fig, axes = plt.subplots(1, 3, figsize=(9, 3), sharey=True)
for ax, (name, x) in zip(axes, {"real": test, **drawn}.items(), strict=True):
    share = torch.bincount(judge(x.clamp(-1, 1)).argmax(1), minlength=10) / len(x)
    ax.barh(clothes.classes, share, color="#0072B2" if name == "real" else "#D55E00",
            hatch="" if name == "real" else "//", edgecolor="white")  # fmt: skip
    ax.axvline(0.1, color="black", linewidth=0.8)
    ax.set(title=name, xlabel="share")
axes[0].invert_yaxis()
show(fig, alt="How often each kind is drawn. Real: a tenth each. The plain GAN: some kinds often, some hardly "
     "ever. The well-made one: nearer to a tenth each.")  # fmt: skip

# %%
# ten, if all ten come equally often
even = lambda counts: math.exp(-sum(n / sum(counts) * math.log(n / sum(counts)) for n in counts if n))  # fmt: skip
kinds = {name: [[even(point["kinds"]) for point in run] for run in shipped["curves"][name]] for name in drawn}
seconds = [point["seconds"] for point in shipped["curves"]["plain GAN"][0]]
fig, ax = plt.subplots(figsize=(6.4, 3))
for name, runs in kinds.items():
    band(ax, seconds, runs, name)
ax.set(xscale="log", xlabel="training (seconds)", ylabel="kinds, as if equally often", ylim=(0, 10.2))
ax.set_xticks(seconds, seconds)
ax.minorticks_off()
ax.legend()
show(fig, alt="Kinds of clothes drawn, against seconds, with bands over three seeds. The plain game begins with "
     "few kinds and never reaches ten; the well-made one ends near ten.")  # fmt: skip
claim("the plain game leaves out more, after 10 seconds and still after 90, in each of three seeds",
      all(a[-1] < b[-1] and a[0] < b[0] for a, b in zip(*kinds.values(), strict=True)),
      **{name: [run[::3] for run in runs] for name, runs in kinds.items()})  # fmt: skip

# %% [markdown]
# ## 5 · The contest
# Same pictures, no labels for anybody, the same 90 seconds, three seeds. Before you look at a single number: who wins?

# %%
predict("09.contest", "After 90 seconds each, the smallest Frechet distance has",
        ["the VAE, from the bell", "the autoencoder with ten Gaussians", "the VAE with ten Gaussians",
         "the well-made GAN"])  # fmt: skip

# %%
vae_90 = restored("vae_flat", VAE(encoder(32, 16), decoder(16, 16), noise=0.5))
codes_90 = through(lambda x: vae_90.encode(x).sample(torch.Generator().manual_seed(0)), train)
torch.manual_seed(2)
field = {"real": test, "autoencoder": painted["ten Gaussians"], "VAE, bell": through(vae_90.decoder,
    torch.randn(2000, 16)),
         "VAE, ten": through(vae_90.decoder, mixture(codes_90).sample((100,))), "plain GAN": drawn["plain GAN"],
         "well-made GAN": drawn["well-made GAN"]}  # fmt: skip
gallery({name: x[20:32] for name, x in field.items()},
        "Six rows of twelve: real clothes; soft ones by the autoencoder and the VAE; speckled ones by the plain "
        "GAN; sharp but ragged ones by the well-made GAN.")  # fmt: skip

# %%
looks = {"autoencoder, fitted codes": "D", "VAE": "v", "VAE, fitted codes": "s", "plain GAN": "x", "well-made GAN": "o"}
fig, axes = plt.subplots(1, 2, figsize=(9.4, 4))
for name, marker in looks.items():
    band(axes[0], [point["seconds"] for point in shipped["curves"][name][0]],
         [[point["frechet"] for point in run] for run in shipped["curves"][name]], name)  # fmt: skip
    axes[1].plot(at(name, "recall"), at(name, "precision"), marker, label=name)
axes[0].axhline(shipped["floor"]["frechet"], color="black", linestyle="-", linewidth=0.8)
axes[0].set(xscale="log", yscale="log", xlabel="training (seconds)",
            ylabel="Frechet distance (the line below: real pictures)")  # fmt: skip
axes[0].set_xticks([10, 20, 45, 90], [10, 20, 45, 90])
axes[0].minorticks_off()
axes[0].legend(fontsize=8)
axes[1].plot(shipped["floor"]["recall"], shipped["floor"]["precision"], "k*", label="real against real")
axes[1].set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
axes[1].legend(fontsize=8)
show(fig, alt="Left, Frechet distance against seconds, with bands over seeds; all fall, the well-made GAN most "
     "steeply, the autoencoder with ten Gaussians lowest. Right, precision against recall after 90 seconds, real "
     "pictures near the upper right.")  # fmt: skip

# %%
for name in looks:
    print(f"{name:27} Frechet {at(name)}, precision {at(name, 'precision')}, recall {at(name, 'recall')}")
print(f"real pictures: {shipped['floor']['frechet']}, {shipped['floor']['precision']}, "
      f"{shipped['floor']['recall']}; {shipped['date']}, `{shipped['command']}`")  # fmt: skip
claim("after 10 seconds the autoencoder with ten Gaussians is far ahead of both GANs and of the VAE's bell",
      max(at("autoencoder, fitted codes", seconds=10)) < min(min(at(name, seconds=10)) for name in ("VAE",
    "plain GAN", "well-made GAN")) / 2, **{name: at(name, seconds=10) for name in looks})  # fmt: skip
claim("after 90, by this judge, no GAN and no VAE has overtaken it, seed by seed",
      all(run[0] <= min(run) for run in zip(*[at(name) for name in looks], strict=True)),
      **{name: at(name) for name in looks})  # fmt: skip
claim("the well-made game beats the plain one and the VAE's bell, in each of three seeds",
      max(at("well-made GAN")) < min(at("plain GAN") + at("VAE")))  # fmt: skip
claim("averaging alone makes the plain game better, seed by seed; the held one gains in two of three",
      all(a < b for a, b in zip(at("plain GAN, averaged weights", group="more"), at("plain GAN"), strict=True)),
      plain_averaged=at("plain GAN, averaged weights", group="more"), held_last=at("well-made GAN, last weights",
    group="more"))  # fmt: skip

# %% [markdown]
# ### A code for tomorrow
# The judge forgives blur; does your eye? So a sharper code: one more VAE ships, its code a small picture, 4 × 7 × 7, its brush fine. But a good code and a good chart are two things. The plain bell
# gives rags; lesson 11 charts it with diffusion, as Stable Diffusion does.

# %%
fine = restored("vae", VAE(encoder(8, 32, spatial=True), decoder(4, 32, spatial=True), noise=0.1))
rows = {"real": test[:10], "there and back": through(fine, test[:10])}
torch.manual_seed(3)
rows["from the bell"] = through(fine.decoder, torch.randn(2000, 4, 7, 7))
gallery({name: x[:10] for name, x in rows.items()},
        "Real clothes, the same after the fine code, hardly to be told apart; and what the plain bell gives: torn "
        "rags.")  # fmt: skip
back, torn = score(through(fine, test)), score(rows["from the bell"])
claim("there and back it is nearly perfect, and drawn from the bell it is rags",
      back.frechet < 2 < 20 < torn.frechet, there_and_back=back.frechet, drawn=torn.frechet)  # fmt: skip

# %%
quiz("09.q1", "Two papers report Frechet distances for clothes: 5 with 50,000 pictures, 9 with 1,000. Which draws "
     "better?",
     {"The one with 5.": "Even real pictures seem further apart when there are fewer of them.",
      "One cannot say.": "Other numbers of pictures, perhaps another judge: compare with what real pictures score "
      "there.",
      "The one with 9, for it had fewer pictures.": "Fewer pictures raise it, but by how much nobody told you."},
     answer="One cannot say.")  # fmt: skip
quiz("09.q2", "You make the KL in a VAE ten times dearer. What happens?",
     {"Codes tell less, pictures come back blurred, draws from the bell get better.": "More numbers die, and what "
      "is left fits the bell more closely.",
      "Codes tell more.": "They pay more for what they tell, so they tell less.",
      "Only the encoder changes.": "It is one number for two networks: the decoder gets less to go by, too."},
     answer="Codes tell less, pictures come back blurred, draws from the bell get better.")  # fmt: skip
quiz("09.q3", "A GAN scores precision 0.9 and recall 0.1. You see",
     {"ugly pictures of everything": "Ugly ones lie outside the real cloud: that would be low precision.",
      "fine pictures of few things": "Nearly all are good, and nine in ten of the real are out of its reach.",
      "a VAE": "Blur costs precision or not, depending on the judge; but a VAE's recall does not collapse like "
      "that."}, answer="fine pictures of few things")  # fmt: skip

# %% [markdown]
# ## What the real systems do
# | | yours | StyleGAN2, 2020 | Stable Diffusion's VAE, 2022 |
# |---|---|---|---|
# | pictures | 28 × 28, grey | 1,024 × 1,024, faces | 512 × 512, colour |
# | from | 64 numbers | 512 numbers | a code of 4 × 64 × 64 |
# | trained for | 90 seconds | 9 days, 18 hours on 8 V100 | with a discriminator besides |
# | Frechet | see above | 2.84 ± 0.03 | |
# | precision, recall | see above | 0.689, 0.492 | |
#
# Their judge is another network (Inception), so only read downwards. The KL in that VAE weighs a millionth: its chart is diffusion. Sources: Karras et al. 2020 and its repository; Rombach et al. 2022,
# its repository and model card.

# %% [markdown]
# ## In one breath
# - Know the floor before you read a score.
# - An autoencoder invents badly until somebody charts its codes.
# - A VAE decrees the chart, and pays for each nat told.
# - What earns less than it costs, dies.
# - A GAN needs no pixel loss: count what it leaves out.
# - Half of each win is small print.

# %%
progress("09")
