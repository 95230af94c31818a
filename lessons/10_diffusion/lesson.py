# %% [raw]
# place = ["denoising", "U-Net", "clothes"]
# builds = "the forward and the reverse process: a network that draws clothes out of noise, beside lesson 09's models"
# [reads]
# "fmcourse.diffusion" = ["Schedule", "diffusion_loss", "ddpm"]

# %% [markdown]
# # 10 · Diffusion
# **In this lesson you dissolve clothes in noise, which takes no learning at all, teach a network to run the film backwards, and find out whether
# that beats lesson 09.**
#
# 80 minutes to read and do · two minutes to compute · you need PyTorch, and lesson 09's score.

# %% [markdown]
# **Afterwards you can**
# - take a picture to any strength of noise in one line, and say why one line is enough;
# - train a network to find the noise, and walk from nothing to a picture;
# - say why the question that you ask a network decides what you get;
# - judge "diffusion beats GANs" by numbers of your own.

# %%
from functools import partial
from itertools import pairwise

import matplotlib.pyplot as plt
import torch
from fmcourse.course import check, claim, hint, predict, progress, quiz, show, solution
from fmcourse.data import load, table
from fmcourse.data.images import image_grid, normalize_pixels
from fmcourse.diffusion import Denoiser, Schedule, ddim, ddpm, diffusion_loss
from fmcourse.evaluation import image_quality as fidelity
from fmcourse.models.unet import UNet, timestep_embedding
from fmcourse.plots import LiveCurve
from fmcourse.plots.widgets import interactive
from fmcourse.training import EMA, derive_seed, fit, lesson_steps
from torch import nn
from torch.nn import functional as F

# fmt: off

# %% [markdown]
# ## 1 · Ink in water
# A drop of ink spreads until the glass is evenly grey. Nobody steers it: each particle is nudged by chance. Here are 4,000 particles, strewn
# in the shape of a boot.

# %%
shown, shipped, dice = load("fashion"), table("lesson_10"), torch.Generator().manual_seed(0)
boot = shown.train.pixels[79]
at = torch.multinomial((boot.flatten() > 60).float(), 4000, replacement=True, generator=dice)  # a bright pixel for each
ink = (torch.stack([at % 28, 27 - at // 28], 1) + torch.rand(4000, 2, generator=dice) - 14) / 7
print(f"{len(ink):,} particles, {ink.shape[1]} numbers each; spread {ink.std(0).mean():.2f}, about 1")

# %% [markdown]
# **One step**: a particle keeps most of its place, and a small share β of the variance is handed to chance. A thousand steps, β growing from
# 0.0001 to 0.02: the numbers of Ho et al. 2020.

# %%
betas, film = torch.linspace(1e-4, 0.02, 1000), [ink]
for beta in betas:
    film.append((1 - beta).sqrt() * film[-1] + beta.sqrt() * torch.randn(4000, 2, generator=dice))


def clouds(ax, points, title):
    ax.plot(*points[:2500].T, ".", markersize=1.2, color="#0072B2")
    ax.set(xlim=(-3, 3), ylim=(-3, 3), xticks=[], yticks=[], aspect="equal", title=title)


fig, axes = plt.subplots(1, 5, figsize=(9, 2.2))
for ax, t in zip(axes, (0, 50, 150, 350, 1000), strict=True):
    clouds(ax, film[t], f"t = {t}")
show(fig, alt="A boot with a high heel, made of dots. Over a thousand steps its edges blur, the heel drowns, and a "
     "round cloud is left.")  # fmt: skip

# %% [markdown]
# No network, no knowledge of boots. Must one walk all the way? Each step multiplies what was there and adds a Gaussian. Two Gaussians, added,
# are one Gaussian. So a thousand small dice are one large one.

# %% exercise="10.1"

# %%
schedule = Schedule.linear()
t = torch.tensor([1, 40, 500, 1000])
noise = torch.randn(4, 2, generator=dice)
gap = (jump(ink[:4], t, noise, betas) - schedule.add_noise(ink[:4], t, noise)).abs().max()
claim("your jump is the package's rule", gap < 1e-4, gap=gap)
learnt = sum(isinstance(part, nn.Parameter) for part in vars(schedule).values())
claim("the way into noise knows nothing: a table of signal, a table of noise, no parameter", learnt == 0,
      parameters=learnt, numbers_in_a_table=len(schedule.signal))  # fmt: skip

# %% [markdown]
# Is the jump really the walk? Not point by point, since the dice differ, but *as a cloud*. The **Kolmogorov-Smirnov** gap compares two clouds
# along an axis: the largest distance between their cumulative curves.


# %%
def ks(a, b):
    both = torch.cat([a, b])
    share = lambda x: torch.searchsorted(x.sort().values, both, right=True) / len(x)
    return (share(a) - share(b)).abs().max().item()


fresh = lambda: torch.randn(4000, 2, generator=dice)
limit, gaps, spoilt = 1.95 * (2 / 4000) ** 0.5, [], []  # what chance allows once in a thousand
for t in (20, 100, 300, 1000):
    once = jump(ink, torch.full((4000,), t), fresh(), betas)
    left = (1 - betas[:t]).prod()
    wrong = left * ink + (1 - left) * fresh()  # the roots forgotten
    gaps += [ks(once[:, i], film[t][:, i]) for i in (0, 1)]
    spoilt += [ks(wrong[:, i], film[t][:, i]) for i in (0, 1)]
    print(f"t = {t:5}  mean ≈ {once.mean():.3f}, walked {film[t].mean():.3f}; spread {once.std():.3f}, walked "
          f"{film[t].std():.3f}")  # fmt: skip
claim("at once or step by step: as clouds they cannot be told apart", max(gaps) < limit, largest_gap=max(gaps),
      limit=limit)  # fmt: skip
claim("and the test is no pushover: with the roots forgotten it says so", max(spoilt) > 2 * limit,
      largest_gap=max(spoilt))  # fmt: skip

# %% [markdown]
# ## 2 · Pictures dissolve
# A picture of 28 × 28 is one particle in 784 dimensions. The rule stays the same. **Drag t**, and watch three ways to dose the noise: linear
# (2020), cosine (2021), and flow, a straight line.

# %%
x, test = normalize_pixels(shown.train.pixels), normalize_pixels(shown.test.pixels)
schedules = {"linear": schedule, "cosine": Schedule.cosine(), "flow": Schedule.flow()}
veil = torch.randn(1, 1, 28, 28, generator=dice)


def draw_forward(t=300, picture=79):
    fig, axes = plt.subplots(1, 3, figsize=(6.6, 2.5))
    for ax, (name, one) in zip(axes, schedules.items(), strict=True):
        ax.imshow(one.add_noise(x[picture][None], torch.tensor([t]), veil)[0, 0], cmap="gray", vmin=-1.5, vmax=1.5)
        ax.set(title=f"{name}: {one.signal[t]:.2f} picture\n+ {one.noise[t]:.2f} noise", xticks=[], yticks=[])
    return fig


interactive(draw_forward, t=(0, 1000, 10), picture=(0, 199),
            alt="A boot under three doses of noise. At t = 300 it is all but gone by the linear dose, grainy by "
            "cosine and flow.")  # fmt: skip

# %%
predict("10.track", "500 pictures, each drowned until t = 500 of the linear dose, where you see only snow. For how "
        "many can a machine still say which picture it was?",
        ["one or two", "one in ten", "more than half"])  # fmt: skip


# %%
def recovered(one, t, n=500):  # is the nearest of n faded pictures the one that it was?
    noisy = one.add_noise(x[:n], torch.full((n,), t), torch.randn(n, 1, 28, 28, generator=dice))
    return (torch.cdist(noisy.flatten(1),
                        one.signal[t].float() * x[:n].flatten(1)).argmin(1) == torch.arange(n)).float().mean().item()  # fmt: skip


timesteps = range(0, 1001, 50)
found = {name: [recovered(one, t) for t in timesteps] for name, one in schedules.items()}
fig, axes = plt.subplots(1, 2, figsize=(8.6, 3.2))
for style, (name, one) in zip(("o-", "s--", "^:"), schedules.items(), strict=True):
    axes[0].plot(timesteps, found[name], style, label=name, markersize=4)
    axes[1].semilogy(range(1, 1000), one.snr[:-1], style[1:], label=name)
axes[0].set(xlabel="t", ylabel="share of 500 recovered")
axes[1].set(xlabel="t", ylabel="signal-to-noise ratio", ylim=(1e-6, 1e4))
axes[1].legend()
show(fig, alt="Left: all pictures are recovered far into the snow, then the share falls to nothing at the end. "
     "Right: signal-to-noise falls over nine orders of magnitude, linear fastest at first.")  # fmt: skip

# %%
claim("at t = 500 you see snow; of most pictures the machine still knows which they were",
      found["linear"][10] > 0.5, recovered=found["linear"][10])  # fmt: skip
lost = {name: float(500 * shares[-1]) for name, shares in found.items()}
claim("at T no dose leaves a trace: of 500 no more are found than by guessing, which finds one",
      max(lost.values()) <= 6, found=lost)  # fmt: skip
thin = {name: f"{(one.snr < 0.01).double().mean():.0%}" for name, one in schedules.items()}
print("share of all t with less than a hundredth of signal:", thin)

# %% [markdown]
# 784 faint hints add up: so a trace is left for long, and the reverse process is no miracle. But look at the last line. The linear dose spends a third of
# its steps where nothing is left to see. Remember it for section 5.

# %% [markdown]
# ## 3 · The reverse process
# Which noise is in this cloud? That can be asked of a network, and **the label costs nothing**: we rolled the dice, so we know. It is lesson 03's
# fourth game. Self-supervision, once more.

# %% exercise="10.2"


# %%
class Gatherer(nn.Module):
    """Where a particle is, and when; out: which noise moved it. Sines of its place let it draw fine edges."""

    def __init__(self, width=128):
        super().__init__()
        layer = lambda i: [nn.Linear(i, width), nn.SiLU()]
        self.layers = nn.Sequential(*layer(42), *layer(width), *layer(width), nn.Linear(width, 2))

    def forward(self, x_t, time):
        fine = [f(k * x_t) for k in (2, 5) for f in (torch.sin, torch.cos)]
        return self.layers(torch.cat([x_t, *fine, timestep_embedding(time, 32)], 1))


# %%
torch.manual_seed(0)
net, rolls, losses, steps = Gatherer(), torch.Generator().manual_seed(0), [], lesson_steps(1500)
signal, spread = schedule.signal.float(), schedule.noise.float()
optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3, betas=(0.9, 0.98))
for step in range(steps):
    x_0, t = ink[torch.randint(4000, (384,), generator=rolls)], torch.randint(1, 1001, (384,), generator=rolls)
    loss = noise_loss(net, x_0, t, torch.randn(384, 2, generator=rolls), signal, spread)
    optimizer.param_groups[0]["lr"] = 3e-3 * (1 - step / steps)
    optimizer.zero_grad(), loss.backward(), optimizer.step()
    losses.append(loss.item())
print(f"guessing nothing costs 1; after {steps:,} steps ≈ {sum(losses[-50:]) / len(losses[-50:]):.2f}")

# %% [markdown]
# That is all of the training: data, dice, mean square. Now **back**. The net says the noise; so we know the picture it means; so we can mix the two
# again, with a little less noise. And ask again.

# %% exercise="10.3"


# %%
@torch.inference_mode()
def walk_back(x_t, stops):
    for t, s in pairwise(stops):
        a, b, c, d = signal[t], spread[t], signal[s], spread[s]
        noise = net(x_t, torch.full((len(x_t),), t / 1000))
        x_t = step_back(x_t, (x_t - b * noise) / a, a, b, c, d)
    return x_t


z, guess = torch.randn(3000, 2, generator=rolls), Denoiser(net, schedule, "noise")
gap = (walk_back(z, list(range(1000, -1, -20))) - ddim(guess, z, schedule, 50)).abs().max()
claim("your step, repeated, is the package's DDIM", gap < 1e-3, largest_gap=gap)

# %% [markdown]
# DDIM (2020) mixes the *guessed* noise back in: chance decides the start and nothing else. The older way, **ancestral sampling** (DDPM, 2020), adds
# *fresh* noise at each step, and takes a bit more of the guessed noise away to make room.

# %%
walks = {"DDIM, 50 steps": [], "DDPM, 200 steps": []}
ddim(guess, z, schedule, 50, on_step=lambda t, x_t, x_0: walks["DDIM, 50 steps"].append(x_t))
ddpm(guess, z, schedule, 200, generator=rolls, on_step=lambda t, x_t, x_0: walks["DDPM, 200 steps"].append(x_t))
fig, axes = plt.subplots(2, 6, figsize=(9.4, 3.4))
for row, (name, path) in zip(axes, walks.items(), strict=True):
    for ax, part in zip(row, (0, 0.5, 0.7, 0.85, 0.94, 1), strict=True):
        clouds(ax, ([z, *path])[round(part * len(path))], f"t = {1000 - 1000 * part:.0f}")
    row[0].set_ylabel(name, fontsize=9)
show(fig, alt="Two rows. A round cloud of dots gathers into the boot with its heel, first roughly, at the end "
     "sharply; both samplers arrive.")  # fmt: skip


# %%
def on_the_ink(points):  # share of particles that lie where the boot is
    across, up = (points * 7 + 14).floor().long().clamp(0, 27).T
    return (boot[27 - up, across] > 60).float().mean().item()


back, full = on_the_ink(walks["DDIM, 50 steps"][-1]), lesson_steps(20) == 20
runs = shipped["ink"]
# wider than the three lie apart
band = lambda values: (2 * min(values) - max(values) - 0.02, 2 * max(values) - min(values) + 0.02)  # fmt: skip
claim("three seeds: most of a round cloud finds home, far more than lay there by chance",
      min(run["ddim"] for run in runs) > 0.8 > 0.65 > max(run["noise"] for run in runs),
      gathered=[run["ddim"] for run in runs], before=[run["noise"] for run in runs])  # fmt: skip
if full:
    claim("and so it is here", back > 0.8, band=band([run["ddim"] for run in runs]), on_the_ink=back)

# %% [markdown]
# ### What has it learnt?
# A wind for each moment: against the noise that it sees, hence towards the ink. (In each picture the longest arrow has length 1.)

# %%
grid = torch.cartesian_prod(*[torch.linspace(-2.6, 2.6, 15)] * 2)
fig, axes = plt.subplots(1, 4, figsize=(9.4, 2.5))
for ax, t in zip(axes, (900, 400, 150, 40), strict=True):
    ax.plot(*film[0][::8].T, ".", markersize=1, color="#E69F00")
    with torch.no_grad():
        wind = -spread[t] * net(grid, torch.full((len(grid),), t / 1000))
    ax.quiver(*grid.T, *(wind / wind.norm(dim=1).max()).T, color="#0072B2", angles="xy", scale_units="xy", scale=1)
    ax.set(title=f"t = {t}", xticks=[], yticks=[], aspect="equal", xlim=(-2.8, 2.8), ylim=(-2.8, 2.8))
show(fig, alt="Arrows over the boot at four times. Early all blow to the middle; later they bend round the shape "
     "and stop at its edge, and point into the heel.")  # fmt: skip

# %% [markdown]
# Early, when a particle could come from anywhere, the best answer is the middle of it all. Late, it is the nearest edge. **Change it**: other ink,
# another picture than number 79 in the first cell; which shapes are hard?

# %% [markdown]
# ## 4 · Pictures, by the same lines
# Two numbers become 784, and the small net a **U-Net**: it folds the picture into a coarse view, thinks there, and unfolds it, with bridges so
# that no detail is lost. Picture in, picture out, told the time.

# %%
torch.manual_seed(0)
unet = UNet(widths=(16, 32), depth=1, condition_width=64)
print(f"{sum(weight.numel() for weight in unet.parameters()):,} parameters; {tuple(x.shape)} pictures to learn "
      f"from, kinds not told")  # fmt: skip

# %% [markdown]
# What shall it be asked for? The noise, as before? Or the picture? Or the **velocity**, noise minus picture: which way the mixture is heading? Whoever
# has one has all.

# %% exercise="10.4"

# %%
one = schedules["linear"]
flow, picture, grain = schedules["flow"], x[:1], torch.randn(1, 1, 28, 28, generator=dice)
a, b = flow.signal[600].item(), flow.noise[600].item()
x_t, truths = a * picture + b * grain, {"noise": grain, "picture": picture, "velocity": grain - picture}
claim("from each of the three answers the same picture", all(torch.allclose(picture_of(truth, x_t, a, b, what),
    picture, atol=1e-4) for what, truth in truths.items()))  # fmt: skip
slip = 0.05 * torch.randn(1, 1, 28, 28, generator=dice)
for t in (100, 500, 900, 990):
    a, b = flow.signal[t].item(), flow.noise[t].item()
    off = [(picture_of(truth + slip, a * picture + b * grain, a, b, what) - picture).std().item()
           for what, truth in truths.items()]  # fmt: skip
    print(f"t = {t}: a slip of 0.05 becomes, in the picture: " + ", ".join(f"{what} {one_off:.3f}"
        for what, one_off in zip(truths, off, strict=True)))  # fmt: skip

# %% [markdown]
# Algebra says: all the same. A network that errs says otherwise. Near T a slip about the noise becomes a *hundredfold* slip about the picture; about the
# velocity, or the picture itself, it stays what it was.

# %%
predict("10.ask", "One network, one training time. Asked for which of the three will it make the best clothes?",
        ["noise, as in the papers", "the picture", "the velocity", "no difference"])  # fmt: skip

# %% [markdown]
# We ask for the **picture**, on the straight dose, and say why in section 5. Beside the net runs an **average** of its past weights: steps jump about, their
# mean does not, and it is the mean that will draw.


# %%
class Some:  # random pictures, a batch for each step
    def __getitem__(self, step):
        return x[torch.randint(len(x), (32,), generator=torch.Generator().manual_seed(derive_seed(0, step)))]


from fmcourse.training.optimizers import OptimizerConfig

steps = lesson_steps(shipped["live"]["steps"])
average, stills, seeds = EMA(unet), {}, torch.randn(12, 1, 28, 28, generator=torch.Generator().manual_seed(10))
make = lambda net, z, n=20, **more: ddim(Denoiser(net, flow, "image"), z, flow, n, **more)


def watch(step, loss):
    average.update(), curve(step, loss)
    if step in {max(1, steps // n) for n in (64, 16, 4, 1)}:
        stills[step] = make(average.model, seeds)


# %%
# up in 40 steps, then level: the average does the rest
level = OptimizerConfig(matrix_optimizer="adamw", lr=8e-3, min_lr_ratio=1.0, warmup=min(0.9, 40 / steps))  # fmt: skip
with LiveCurve(alt="Loss against step: a steep fall in the first hundred steps, then slow progress for the rest.",
               ylabel="mean square, pictures from -1 to 1") as curve:  # fmt: skip
    history = fit(unet, partial(diffusion_loss, schedule=flow, predicts="image"), Some(), steps=steps, seed=0,
                  optimizer=level, on_step=watch, progress=False)  # fmt: skip
print("≈", history)

# %%
fig, axes = plt.subplots(len(stills), 1, figsize=(8.4, 3.1))
for ax, (step, made) in zip(axes, stills.items(), strict=True):
    ax.imshow(image_grid(made, 12), cmap="gray")
    ax.set(xticks=[], yticks=[])
    ax.set_ylabel(f"step {step}", rotation=0, ha="right", va="center")
show(fig, alt="The same twelve handfuls of noise, four times: grey smears after a few steps, blurred outlines "
     "later, shirts, trousers, shoes and bags at the end.")  # fmt: skip

# %%
z, again = torch.randn(500, 1, 28, 28, generator=torch.Generator().manual_seed(1000)), torch.Generator().manual_seed(1)
made = torch.cat([ddpm(Denoiser(average.model, flow, "image"), part, flow, 20, generator=again)
                  for part in z.split(100)]).clamp(-1, 1)  # fmt: skip
fig, axes = plt.subplots(2, 1, figsize=(8.4, 3.6), height_ratios=[4, 2])
for ax, pictures, title in zip(axes,
                               (made[24:72], torch.cat([made[:12],
        x[torch.cdist(made[:12].flatten(1), x.flatten(1)).argmin(1)]])),
                               ("made from noise in twenty ancestral steps",
                                "twelve more, and below each the training picture nearest to it"), strict=True):  # fmt: skip
    ax.imshow(image_grid(pictures, 12), cmap="gray")
    ax.set(xticks=[], yticks=[]), ax.set_title(title, fontsize=9)
show(fig, alt="Four rows of made clothes, most of them plainly shirts, trousers, dresses, shoes or bags, some "
     "blurred; and twelve beside their nearest training pictures, which are alike but not the same.")  # fmt: skip

# %%
main = [run[-1] for run in shipped["curves"]["picture, flow"]]  # the same runs, after 90 seconds
live = fidelity.compute_fidelity(fidelity.load_feature_extractor(), test, made)
three = [row["ddpm"]["of_few"]["frechet"] for row in shipped["live"]["runs"]]
print(f"≈ yours: {live}\nthree seeds, after {shipped['live']['seconds']} seconds like yours, {len(made)} pictures "
      f"of each: {three}")  # fmt: skip
if full:
    claim("yours lie where three seeds lie", band(three)[0] - 2 < live.frechet < band(three)[1] + 2,
          band=band(three), distance=live.frechet)  # fmt: skip
claim("fresh dice at each step make better clothes than none, at the same cost, in each of three seeds",
      all(row["ddpm"]["frechet"] < row["frechet"] for row in main),
      DDPM=[row["ddpm"]["frechet"] for row in main], DDIM=[row["frechet"] for row in main])  # fmt: skip

# %%
apart = lambda some: torch.cdist(some.flatten(1), x.flatten(1)).amin(1).median().item()
far = {"made": apart(made[:200]), "real": apart(test[:200])}
claim("copies? no: a made one is at least half as far from the nearest training picture as an unseen real one is",
      far["made"] > far["real"] / 2, **far)  # fmt: skip

# %% [markdown]
# The distance has lesson 09's meaning: clouds of the judge's numbers, 0 is best; 500 made pictures here, 2,000 in the tables. Fresh dice
# overwrite old slips, where DDIM carries each on to the end (Karras et al. 2022, section 4).

# %% [markdown]
# ### When is it hard?
# Its loss over all t is one number. Taken apart: how wrong is the guess at each t, and what would the same guess cost if the question had been the
# velocity, or the noise?

# %%
timesteps, some = [10, 50, 100, 200, 300, 400, 500, 600, 700, 800, 900, 950, 990, 1000], test[::10]
missed = []
for t in timesteps:
    at_t, sprinkled = torch.full((len(some),), t), torch.randn(some.shape, generator=dice)
    with torch.inference_mode():
        missed.append(F.mse_loss(Denoiser(average.model, flow, "image")(flow.add_noise(some, at_t, sprinkled), at_t),
                                 some).item())  # fmt: skip
blind = (some - x.mean(0)).square().mean().item()  # what the mean of all pictures would cost
a, b = flow.signal[timesteps].float(), flow.noise[timesteps].float()
fig, ax = plt.subplots(figsize=(6.4, 3.2))
for style, (name, cost) in zip(("o-", "s--", "^:"), {"picture": missed, "velocity": torch.tensor(missed) / b**2,
        "noise": torch.tensor(missed) * (a / b) ** 2}.items(), strict=True):  # fmt: skip
    ax.semilogy(timesteps, cost, style, label=f"as {name}")
ax.axhline(blind, color="#000000", linewidth=1, label="the mean of all pictures")
ax.set(xlabel="t", ylabel="mean square", ylim=(1e-4, None))
ax.legend(fontsize=9)
show(fig, alt="Loss against t. As picture it climbs from almost nothing to the cost of the mean picture. As noise "
     "it falls from high to nothing. As velocity it is high at small t and level after that.")  # fmt: skip

# %%
ratio = missed[-1] / blind
print(f"at T: ≈ {missed[-1]:.3f}; the mean of all pictures: {blind:.3f}")
if full:
    claim("out of pure noise it can say no more than the mean of all pictures, within a tenth",
          abs(ratio - 1) < 0.1, its_loss_against_the_mean=ratio)  # fmt: skip

# %% [markdown]
# Asked for noise, a network is paid for the *small* t, where all is visible and there is little to decide; asked for the picture, for the large ones, where
# shirt or shoe is decided.
#
# ### One picture forms

# %%
path, start = [], torch.randn(6, 1, 28, 28, generator=torch.Generator().manual_seed(3))
make(average.model, start, 50, on_step=lambda t, x_t, x_0: path.append((t, x_t, x_0)))
fig, axes = plt.subplots(2, 1, figsize=(9, 2.1))
for ax, part, name in zip(axes, (1, 2), ("where it is", "its guess"), strict=True):
    ax.imshow(image_grid(torch.cat([path[n][part][:1] for n in (0, 2, 4, 7, 11, 17, 25, 33, 41, 49)]), 10), cmap="gray")
    ax.set(xticks=[], yticks=[]), ax.set_ylabel(name, rotation=0, ha="right", va="center")
show(fig, alt="Above, noise clears into one piece of clothing. Below, the network's guess at each of these "
     "moments: first a grey ghost, the mean of everything, then ever more one thing.")  # fmt: skip


# %%
def draw_forming(step=25, picture=1):
    fig, axes = plt.subplots(1, 2, figsize=(4.6, 2.5))
    for ax, part, name in zip(axes, path[step - 1][1:], (f"t = {path[step - 1][0]}", "its guess"), strict=True):
        ax.imshow(part[picture - 1, 0], cmap="gray", vmin=-1, vmax=1)
        ax.set(title=name, xticks=[], yticks=[])
    return fig


interactive(draw_forming, step=(1, 50), picture=(1, 6),
            alt="Left, a picture half way out of the noise; right, what the network takes it for at this moment, a "
            "blurred outline.")  # fmt: skip

# %% [markdown]
# ## 5 · Why the question decides
# Three questions, three doses, and we tried one pair. A recipe tried the others: the same U-Net, steps and sampler, three seeds each. (Noise on the straight
# dose cannot begin: at T nothing of the picture is left, and one would divide by zero.)

# %%
cross, doses = shipped["cross"], ["linear", "cosine", "flow"]
of = lambda what, how: [(row["cut"] if "cut" in what else row)["frechet"]
                        for row in cross[what.split(",")[0]].get(how, [])]  # fmt: skip
asks = {"noise": ("#D55E00", "//"), "noise, guesses cut to ±1": ("#CC79A7", "xx"), "velocity": ("#E69F00", ".."),
        "picture": ("#0072B2", "")}  # fmt: skip
fig, ax = plt.subplots(figsize=(7.6, 3.4))
for n, (what, (tint, hatch)) in enumerate(asks.items()):
    for i, how in enumerate(doses):
        if runs := of(what, how):
            ax.bar(i + 0.22 * n, sum(runs) / 3, 0.2, color=tint, hatch=hatch, edgecolor="white",
                   label=None if i else what)  # fmt: skip
            ax.plot([i + 0.22 * n] * 3, runs, "k_")
ax.text(2.1, 4, "noise cannot begin", rotation=90, ha="center", va="bottom", fontsize=9)
ax.set(ylabel="Frechet distance")
ax.set_xticks([0.33, 1.33, 2.33], doses)
ax.legend(title="asked for the", fontsize=9)
show(fig, alt="Bars for three doses. Asked for the noise the distance is by far largest, asked for the picture "
     "smallest, with each dose.")  # fmt: skip
print(f"after {shipped['cross_seconds']} seconds of training; {shipped['date']}, `{shipped['command']}`")

# %%
every = lambda what: [distance for how in doses for distance in of(what, how)]
cut, rest = every("noise, guesses cut to ±1"), every("velocity") + every("picture")
claim("asked for the noise it makes the worst clothes, whatever the dose, even with its guesses cut",
      min(cut) > max(rest), best_of_noise=min(cut), worst_of_the_others=max(rest))  # fmt: skip
pairs = [(of("picture", how), of("velocity", how)) for how in doses if of("velocity", how)]
claim("asked for the picture it makes better ones than asked for the velocity, at each dose, in every seed",
      all(max(a) < min(b) for a, b in pairs), picture=[max(a) for a, b in pairs], velocity=[min(b) for a, b in pairs])  # fmt: skip
claim("the linear dose, a third of whose t show nothing, is the worst one for the velocity, in every seed",
      min(of("velocity", "linear")) > max(of("velocity", "cosine") + of("velocity", "flow")),
      **{how: of("velocity", how) for how in doses})  # fmt: skip
spectra = {"pictures": x[:2000].flatten(1), "noise": torch.randn(2000, 784, generator=dice)}
shares = {name: torch.linalg.svdvals(rows - rows.mean(0)).square() for name, rows in spectra.items()}
needed = {name: float((share.cumsum(0) / share.sum() < 0.9).sum() + 1) for name, share in shares.items()}
claim("pictures lie on a thin sheet: nine tenths of what varies in them fit into fewer than 100 directions; noise "
      "needs over 500", needed["pictures"] < 100 and needed["noise"] > 500, of_784=needed)  # fmt: skip

# %% [markdown]
# Noise fills all 784 directions; to name it, all of it must pass through the net. A picture needs far fewer, and a small net can say it (Li and He 2025
# make the same point with large ones). The papers of 2020 had width and hours, and noise served them well. Where the difference fades we have
# not measured.

# %% [markdown]
# ## 6 · Against lesson 09
# The story goes: diffusion beats autoencoders, VAEs and GANs. Same clothes, same seconds of training on one thread, same judge, 2,000 made against 2,000
# unseen. Lesson 09's table is there; ours now stands beside it.

# %%
predict("10.story", "After 90 seconds of training each, which makes the best clothes?",
        ["diffusion", "the well-made GAN", "the VAE with fitted codes"])  # fmt: skip

# %%
from fmcourse.plots import band as between

rivals = table("lesson_09")["curves"] | {f"diffusion ({name})": runs for name, runs in shipped["curves"].items()}
fig, ax = plt.subplots(figsize=(9, 4))
for name, runs in rivals.items():
    between(ax, [row["seconds"] for row in runs[0]], [[row["frechet"] for row in run] for run in runs], name)
ax.plot([90] * 3, [row["ddpm"]["frechet"] for row in main], "k*", label="the same diffusion, fresh dice")
ax.axhline(shipped["floor"]["frechet"], color="#000000", linewidth=0.8, label="real pictures")
ax.set(xscale="log", yscale="log", xlabel="training (seconds on one thread)", ylabel="Frechet distance")
ax.set_xticks([10, 20, 45, 90], [10, 20, 45, 90])
ax.minorticks_off()
ax.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
show(fig, alt="Frechet distance against training time, a line and a band over three seeds for each family, the "
     "floor of real pictures far below all.")  # fmt: skip

# %%
at = lambda name, key: [row[key] for run in rivals[name] for row in run if row["seconds"] == 90]
ours = {key: [row["ddpm"][key] for row in main] for key in ("frechet", "precision", "recall", "kinds")}
for name, found in [(name, {key: at(name, key) for key in ours}) for name in rivals if at(name,
        "kinds")] + [("diffusion, fresh dice", ours)]:  # fmt: skip
    print(f"{name:27} distance {found['frechet']}, precision {found['precision']}, recall {found['recall']}, "
          f"rarest kind {[min(kinds) for kinds in found['kinds']]}")  # fmt: skip
better = [distance for name in ("VAE, fitted codes", "autoencoder, fitted codes", "well-made GAN")
          for distance in at(name, "frechet")]  # fmt: skip
others = {key: [value for name in rivals if "diffusion" not in name for value in at(name, key)]
          for key in ("precision", "recall")}  # fmt: skip
claim("true: diffusion beats a VAE that draws from its standard bell, in every seed",
      max(ours["frechet"]) < min(at("VAE", "frechet")), diffusion=ours["frechet"], VAE=at("VAE", "frechet"))  # fmt: skip
claim("not true: the well-made GAN, and autoencoders whose codes are drawn where pictures' codes lie, come nearer "
      "in this time, in every seed", min(ours["frechet"]) > max(better), diffusion=ours["frechet"], better=better)  # fmt: skip
claim("but what diffusion makes is most often among the real ones: the best precision of all, in every seed",
      min(ours["precision"]) > max(others["precision"]), diffusion=ours["precision"],
      best_of_the_others=max(others["precision"]))  # fmt: skip
claim("and it leaves out most: the worst recall of all", max(ours["recall"]) < min(others["recall"]),
      diffusion=ours["recall"], worst_of_the_others=min(others["recall"]))  # fmt: skip

# %% [markdown]
# **The best case for each.** Autoencoder with fitted codes: near after ten seconds already, one pass to draw. GAN: nearly as near, the kinds most even, one pass; but
# two players to balance. Diffusion: single pictures most often good, one steady loss, no opponent; it pays with twenty
# passes a picture, and leaves more out.

# %% [markdown]
# **Where the published wins come from.** In 2021 diffusion passed the best GAN on ImageNet: with 1,914 V100-days (the largest model), a classifier that steers by
# labels, and what its authors name first beside quality, *better coverage*. One steady loss, no opponent: so it can grow. None of that fits into 90 seconds on one thread.

# %%
quiz("10.q1", "Where did the label come from, when the network was asked which noise is in a picture?",
     {"From people who looked at noisy pictures.": "Nobody looked.",
      "From the dice: we rolled the noise ourselves, so we know it.": "Data and dice make the question, and the "
      "answer lies in it. No label was bought.",
      "From the network that adds the noise.": "That is a table of a thousand numbers, and learns nothing."},
     answer="From the dice: we rolled the noise ourselves, so we know it.")  # fmt: skip
quiz("10.q2", "Why does a sampler not go from pure noise straight to the guess?",
     {"The first guess is the mean of all pictures.": "Out of nothing the best answer is an average. A short step "
      "makes one outcome likelier, and the next guess is sharper.",
      "It would take too long.": "One step is the shortest of all.",
      "The schedule forbids it.": "DDIM with one step does just that, and paints the average."},
     answer="The first guess is the mean of all pictures.")  # fmt: skip
quiz("10.q3", "Noise, picture and velocity can be computed from one another. So it does not matter which is asked "
     "for.",
     {"Right: algebra is algebra.": "For a perfect network. Yours errs, and each question weighs its errors "
      "differently.",
      "It matters: errors are weighed differently, and noise fills more directions.": "What the net gets wrong is "
      "multiplied on the way to the picture, and a small net can say a picture sooner than noise."},
     answer="It matters: errors are weighed differently, and noise fills more directions.")  # fmt: skip

# %% [markdown]
# ## What the real systems do
# | | yours | DDPM 2020 | ADM 2021 | latent diffusion 2021 | DALL-E 2, 2022 |
# |---|---|---|---|---|---|
# | parameters | 0.15 M | 35.7 M | 559 M | 1.45 G | 3.5 G, the decoder |
# | learns from | 10,000 clothes | CIFAR-10, 50,000 | ImageNet, 1.3 M | LAION | about 650 M pictures |
# | trained for | 90 s, a thread | 800,000 steps, 10.6 h on a TPU v3-8 | 1,914 V100-days | 390,000 steps of 680 | not told |
# | draws | in 20 passes | in 1,000 | in 25 or more | in a space of codes | prior, decoder, two that enlarge |
#
# Ho et al. 2020, appendix B; Dhariwal and Nichol 2021, table 10 (512 × 512); Rombach et al. 2021, table 15; Ramesh et al. 2022, section 2 and table 3.
#
# **Midjourney** has published neither architecture, data nor size. Whoever tells you how it works is guessing.

# %% [markdown]
# ## In one breath
# - Into noise: a fixed rule, no parameter, one jump.
# - The dice are the label.
# - Back: guess the picture, mix anew with less noise, guess again.
# - Out of nothing the best guess is the mean; each step decides a little.
# - A small net should be asked for the picture.
# - Who wins depends on time and what you count.

# %%
progress("10")
