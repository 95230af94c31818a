"""Lesson 10: diffusion: noise at once instead of bit by bit, what the network is paid for, a step back, three questions with one answer."""

import torch
from fmcourse.course.exercise import Exercise, Mistake, Property
from torch import Tensor, nn

noise = lambda *shape, seed=0: torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
listed = lambda values: "[" + ", ".join(f"{value:.3g}" for value in values.flatten()[:6].tolist()) + "]"

# -- 10.1 straight to any t -----------------------------------------------------------------------------------------------


def as_the_picture(out: Tensor, case: tuple) -> bool | str:
    x_0 = case[0]
    return out.shape == x_0.shape or f"Pictures {tuple(x_0.shape)} went in, {tuple(out.shape)} came out."


def shaped(left: Tensor, x: Tensor) -> Tensor:
    return left.view(-1, *[1] * (x.ndim - 1))


def mixed(share, mix=lambda left, x, e: left.sqrt() * x + (1 - left).sqrt() * e):
    """A near miss: `share` makes (B,) of t and betas, `mix` the rest."""
    return lambda x_0, t, noise, betas: mix(shaped(share(t, betas), x_0), x_0, noise)


left_of = lambda t, betas: (1 - betas).cumprod(0)[t - 1]


def same_dice(x_0, t, noise, betas):
    x = x_0
    for step, beta in enumerate(betas, 1):
        x = torch.where(shaped(t >= step, x), (1 - beta).sqrt() * x + beta.sqrt() * noise, x)
    return x


jumps = Exercise(
    "10.1",
    goal="straight to any t",
    minutes=12,
    difficulty=2,
    cases=[
        (torch.tensor([[2.0, 0.0]]), torch.tensor([2]), torch.tensor([[0.0, 1.0]]), torch.tensor([0.36, 0.36])),
        (torch.ones(1, 1), torch.tensor([1]), torch.zeros(1, 1), torch.tensor([0.19, 0.5])),
        (noise(3, 2), torch.tensor([1, 2, 4]), noise(3, 2, seed=1), torch.tensor([0.1, 0.2, 0.3, 0.4])),
        (noise(2, 2, seed=2), torch.tensor([3, 1]), noise(2, 2, seed=3), torch.tensor([0.1, 0.3, 0.5])),
        (noise(4, 1, 3, 3, seed=4).requires_grad_(), torch.tensor([1, 10, 50, 25]), noise(4, 1, 3, 3, seed=5), torch.linspace(1e-3, 0.1, 50)),
    ],
    starter='''def jump(x_0, t, noise, betas):
    """x_t straight from x_0. A single step, to t from t - 1, is: x = √(1 - β_t) x + √β_t · fresh noise; here all t of
    them at once.

    x_0, noise: (B, ...)   t: (B,) whole, 1 to T, one for each picture   betas: (T,), the first is that of t = 1
    ->   (B, ...)
    """
    ...
''',
    solution='''def jump(x_0, t, noise, betas):
    """x_t straight from x_0. A single step, to t from t - 1, is: x = √(1 - β_t) x + √β_t · fresh noise; here all t of
    them at once.

    x_0, noise: (B, ...)   t: (B,) whole, 1 to T, one for each picture   betas: (T,), the first is that of t = 1
    ->   (B, ...)
    """
    left = (1 - betas).cumprod(0)[t - 1]             # (B,): the share of the variance that is still picture
    left = left.view(-1, *[1] * (x_0.ndim - 1))      # (B, 1, ...), so that it multiplies pictures too
    return left.sqrt() * x_0 + (1 - left).sqrt() * noise
''',
    other_solutions=[
        "def jump(x_0, t, noise, betas):\n    out = []\n    for x, e, n in zip(x_0, noise, t.tolist()):\n        left = 1.0\n"
        "        for beta in betas[:n].tolist():\n            left *= 1 - beta\n        out.append(math.sqrt(left) * x + math.sqrt(1 - left) * e)\n"
        "    return torch.stack(out)\n",
        lambda x_0, t, noise, betas: (
            shaped((1 - betas).log().cumsum(0).exp()[t - 1], x_0).sqrt() * x_0
            + (1 - shaped((1 - betas).log().cumsum(0).exp()[t - 1], x_0)).sqrt() * noise
        ),
        "def jump(x_0, t, noise, betas):\n    signal, spread = torch.ones(len(t)), torch.zeros(len(t))\n    for n, beta in enumerate(betas, 1):\n"
        "        on = t >= n\n        signal = torch.where(on, signal * (1 - beta) ** 0.5, signal)\n"
        "        spread = torch.where(on, ((1 - beta) * spread**2 + beta) ** 0.5, spread)\n    wide = (-1,) + (1,) * (x_0.dim() - 1)\n"
        "    return signal.reshape(wide) * x_0 + spread.reshape(wide) * noise\n",
    ],
    hints=[
        "Two steps on paper: what stands before x_0 at the end? And the two noises: independent ones add in their squares. How much is it in all?",
        "The factors before x_0 multiply; their squares are the running product of 1 - β. What is missing to a variance of 1 is noise.",
        "`left = (1 - betas).cumprod(0)[t - 1]`, given as many axes as x_0 has; then `left.sqrt() * x_0 + (1 - left).sqrt() * noise`.",
    ],
    explanation="Each step multiplies the picture by √(1 - β), so after t steps it is the root of a product. Independent Gaussian noises add up to one "
    "Gaussian, and because each step keeps a variance of 1, it has what the picture has lost. One draw does the work of a thousand.",
    properties=[Property("another shape", as_the_picture, "Does the share of each picture multiply the whole of that picture?")],
    mistakes=[
        Mistake("no roots", mixed(left_of, lambda left, x, e: left * x + (1 - left) * e),
                "The shares are those of the *variance*. By what is a number multiplied so that its square becomes that share?"),
        Mistake("one step short", mixed(lambda t, betas: torch.cat([torch.ones(1), (1 - betas).cumprod(0)])[t - 1]),
                "At t = 1 nothing has happened yet. Which of the products belongs to t = 1, if counting in the table begins with 0?"),
        Mistake("the last step alone", mixed(lambda t, betas: 1 - betas[t - 1]),
                "Only β_t counts here, as if the steps before had left the picture whole. What do they leave of it together?"),
        Mistake("betas added up", mixed(lambda t, betas: 1 - betas.cumsum(0)[t - 1]),
                "It takes β from the whole each time, and can take more than there is. From what does each step take its share?"),
        Mistake("the betas multiplied", mixed(lambda t, betas: betas.cumprod(0)[t - 1]),
                "β is what is *replaced*. Whose product says how much is left?"),
        Mistake("one beta for all steps", mixed(lambda t, betas: (1 - betas[t - 1]) ** t),
                "It repeats the last β t times. Are the steps before it as large?"),
        Mistake("picture and noise swapped", mixed(left_of, lambda left, x, e: (1 - left).sqrt() * x + left.sqrt() * e),
                "The longer it goes on, the clearer the picture. Which of the two should grow with t?"),
        Mistake("noise at full strength", mixed(left_of, lambda left, x, e: left.sqrt() * x + e),
                "Even after one tiny step the noise has size 1. How much noise is there when the picture is nearly whole?"),
        Mistake("the picture never fades", mixed(left_of, lambda left, x, e: x + (1 - left).sqrt() * e),
                "Noise comes, but the picture stays as bright as it was. By what does each step multiply it?"),
        Mistake("one t for all", mixed(lambda t, betas: left_of(t, betas)[:1]),
                "The t of the first picture is used for all. Where do the others come in?"),
        Mistake("the same dice at each step", same_dice,
                "It walks step by step and adds the same noise each time, so the noises pile up in one direction. Are the dice of two steps alike?"),
        Mistake("the roots added up", mixed(left_of, lambda left, x, e: left.sqrt() * x + (1 - left.sqrt()) * e),
                "The two factors add up to 1, but then the variance does not. What has to add up to 1?"),
        Mistake("one entry too late", """def jump(x_0, t, noise, betas):
    left = (1 - betas).cumprod(0)[t.clamp(max=len(betas) - 1)]
    left = left.view(-1, *[1] * (x_0.ndim - 1))
    return left.sqrt() * x_0 + (1 - left).sqrt() * noise
""",
                "The table is read at t, and its first entry, number 0, is that of t = 1. Which entry belongs to t?"),
        Mistake("off the end of the table", """def jump(x_0, t, noise, betas):
    left = (1 - betas).cumprod(0)[t]
    left = left.view(-1, *[1] * (x_0.ndim - 1))
    return left.sqrt() * x_0 + (1 - left).sqrt() * noise
""",
                "At t = T the table has ended. Its first entry, number 0, is that of t = 1: which belongs to t?"),
        Mistake("one root forgotten", """def jump(x_0, t, noise, betas):
    left = (1 - betas).cumprod(0)[t - 1].view(-1, *[1] * (x_0.ndim - 1))
    return left.sqrt() * x_0 + (1 - left) * noise
""",
                "The picture has its root, the noise has not. Which two squares add up to 1?"),
        Mistake("the picture's root forgotten", """def jump(x_0, t, noise, betas):
    left = (1 - betas).cumprod(0)[t - 1].view(-1, *[1] * (x_0.ndim - 1))
    return left * x_0 + (1 - left).sqrt() * noise
""",
                "The noise has its root, the picture has not. Which two squares add up to 1?"),
        Mistake("the last step's noise", """def jump(x_0, t, noise, betas):
    left = (1 - betas).cumprod(0)[t - 1].view(-1, *[1] * (x_0.ndim - 1))
    return left.sqrt() * x_0 + betas[t - 1].view(left.shape).sqrt() * noise
""",
                "Only the noise of the last step is there. What has become of that of the steps before?"),
        Mistake("noise of its own", """def jump(x_0, t, noise, betas):
    left = (1 - betas).cumprod(0)[t - 1].view(-1, *[1] * (x_0.ndim - 1))
    return left.sqrt() * x_0 + (1 - left).sqrt() * torch.randn_like(x_0)
""",
                "It draws noise itself, and what was handed in is not used. The network will be asked for it: which "
                "noise should be in there?"),
        Mistake("squares of the betas", """def jump(x_0, t, noise, betas):
    left = (1 - betas.square()).cumprod(0)[t - 1].view(-1, *[1] * (x_0.ndim - 1))
    return left.sqrt() * x_0 + (1 - left).sqrt() * noise
""",
                "It takes √(1 - β²) for what a step leaves. Which stands in the docstring?"),
        Mistake("the picture as it was", """def jump(x_0, t, noise, betas):
    return x_0
""",
                "The picture comes back untouched. What has happened to it at t?"),
        Mistake("the longest way for all", """def jump(x_0, t, noise, betas):
    x = x_0
    for beta in betas[: int(t.max())]:
        x = (1 - beta).sqrt() * x + beta.sqrt() * noise
    return x
""",
                "All pictures go as far as the largest t, and each step adds the *same* noise. Whose t counts, and "
                "how do independent noises add up?"),
        Mistake("all steps, whatever t", """def jump(x_0, t, noise, betas):
    left = (1 - betas).prod()
    return left.sqrt() * x_0 + (1 - left).sqrt() * noise
""",
                "All pictures are taken to the very end. Which part of the product belongs to t?"),
        Mistake("a sum for the product", """def jump(x_0, t, noise, betas):
    left = (1 - betas).cumsum(0)[t - 1].view(-1, *[1] * (x_0.ndim - 1))
    return left.sqrt() * x_0 + (1 - left).sqrt() * noise
""",
                "1 - β was added up, and more than 1 is left of the picture. What do factors do, step after step?"),
        Mistake("shares without axes", """def jump(x_0, t, noise, betas):
    left = (1 - betas).cumprod(0)[t - 1]
    return left.sqrt() * x_0 + (1 - left).sqrt() * noise
""",
                "The shares are (B,), and meet the *last* axis of the pictures. Which axis counts the pictures, and "
                "how many must follow?"),
        Mistake("one axis too few", """def jump(x_0, t, noise, betas):
    left = (1 - betas).cumprod(0)[t - 1][:, None]
    return left.sqrt() * x_0 + (1 - left).sqrt() * noise
""",
                "`[:, None]` fits points (B, 2), and real pictures have more axes. How many axes of size 1 must "
                "follow?"),
    ],
)  # fmt: skip

# -- 10.2 the loss --------------------------------------------------------------------------------------------------------


class Line(nn.Module):
    """A network of two numbers that anyone can follow: w x_t + v t / T."""

    def __init__(self, w: float, v: float) -> None:
        super().__init__()
        self.w, self.v = nn.Parameter(torch.tensor(w)), nn.Parameter(torch.tensor(v))

    def forward(self, x_t: Tensor, time: Tensor) -> Tensor:
        return self.w * x_t + self.v * time[:, None]


def a_mean_square(out: Tensor, case: tuple) -> bool | str:
    if out.numel() != 1:
        return f"One number is to be made smaller; it returns {tuple(out.shape)}."
    return out.item() >= 0 or f"It is {out.item():.3g}, and a square is never negative."


def loss_by(
    target, seen=lambda x, e, a, b: a * x + b * e, time=lambda t, T: t / T, cost=lambda gap: gap.square().mean()
):
    """The right answer, or a near miss."""

    def wrong(model, x_0, t, noise, signal, spread):
        a, b = signal[t][:, None], spread[t][:, None]
        x_t = seen(x_0, noise, a, b)
        return cost(model(x_t, time(t, len(signal) - 1)) - target(x_0, noise, x_t, b))

    return wrong


def early_tables(model, x_0, t, noise, signal, spread):
    x_t = signal[t - 1][:, None] * x_0 + spread[t - 1][:, None] * noise
    return (model(x_t, t / (len(signal) - 1)) - noise).square().mean()


tables = lambda T: ((1 - torch.arange(T + 1) / T).sqrt(), (torch.arange(T + 1) / T).sqrt())
the_noise = lambda x, e, x_t, b: e
loss = Exercise(
    "10.2",
    goal="what the network is paid for",
    minutes=10,
    difficulty=2,
    cases=[
        (Line(0.0, 0.0), torch.tensor([[1.0, 2.0]]), torch.tensor([2]), torch.tensor([[0.5, -0.5]]), *tables(4)),
        (Line(1.0, 0.0), torch.tensor([[3.0, 0.0]]), torch.tensor([1]), torch.tensor([[1.0, 1.0]]), *tables(4)),
        (Line(0.0, 1.0), torch.tensor([[0.0, 0.0]]), torch.tensor([3]), torch.tensor([[0.0, 0.0]]), *tables(4)),
        (Line(0.7, -0.2), noise(5, 2), torch.tensor([1, 2, 5, 9, 10]), noise(5, 2, seed=1), *tables(10)),
        (Line(-0.4, 0.3), noise(2, 2, seed=2), torch.tensor([8, 3]), noise(2, 2, seed=3), *tables(8)),
    ],
    starter='''def noise_loss(model, x_0, t, noise, signal, spread):
    """Mix the noise into the points as t says, show the model the mixture and the time, and ask: which noise was it?
    Mean square error.

    model: called with x_t (B, 2) and t / T (B,)   x_0, noise: (B, 2)   t: (B,) whole
    signal, spread: (T + 1,), at t = 0 first   ->   scalar
    """
    ...
''',
    solution='''def noise_loss(model, x_0, t, noise, signal, spread):
    """Mix the noise into the points as t says, show the model the mixture and the time, and ask: which noise was it?
    Mean square error.

    model: called with x_t (B, 2) and t / T (B,)   x_0, noise: (B, 2)   t: (B,) whole
    signal, spread: (T + 1,), at t = 0 first   ->   scalar
    """
    x_t = signal[t][:, None] * x_0 + spread[t][:, None] * noise    # the question, made of data and dice
    guess = model(x_t, t / (len(signal) - 1))
    return (guess - noise).square().mean()                         # the answer was ours all along
''',
    other_solutions=[
        lambda model, x_0, t, noise, signal, spread: nn.functional.mse_loss(model(torch.einsum("b,bd->bd", signal[t], x_0) + torch.einsum("b,bd->bd", spread[t], noise), t / (signal.shape[0] - 1)), noise),
        "def noise_loss(model, x_0, t, noise, signal, spread):\n    T = signal.numel() - 1\n    mix = (signal[t] * x_0.T + spread[t] * noise.T).T\n"
        "    wrong = noise - model(mix, t.float() / T)\n    return (wrong**2).sum() / wrong.numel()\n",
    ],
    hints=[
        "The network is shown something and asked something. It may not be shown what it is asked for. Which is which?",
        "Three lines: the mixture at t, as in the table; the model's guess from mixture and time; how far the guess is from the noise, squared, on average.",
        "`x_t = signal[t][:, None] * x_0 + spread[t][:, None] * noise`, `model(x_t, t / (len(signal) - 1))`, `(guess - noise).square().mean()`.",
    ],
    explanation="Data and dice make the question, and the dice are also the answer. No label is needed, because we drew it ourselves. The tables have T + 1 entries, "
    "so T is their length minus one; time goes in as a share, so that the same network can serve a longer or a shorter schedule.",
    properties=[Property("no single number", a_mean_square, "What does a loss look like?")],
    mistakes=[
        Mistake("asks for the picture", loss_by(lambda x, e, x_t, b: x), "The guess is compared with x_0. What was the question here?"),
        Mistake("asks for what it shows", loss_by(lambda x, e, x_t, b: x_t), "The guess is compared with x_t, which the model was shown. Which part of it is to be found?"),
        Mistake("asks for the weakened noise", loss_by(lambda x, e, x_t, b: b * e), "The noise is asked for as it was mixed in, faint at small t. Is it ε, or what is left of ε?"),
        Mistake("shown the clean points", loss_by(the_noise, seen=lambda x, e, a, b: x), "The model sees x_0, in which there is no noise. How could it find any?"),
        Mistake("shown the noise itself", loss_by(the_noise, seen=lambda x, e, a, b: e), "The model sees the noise bare: it need only copy. What should the noise be hidden in?"),
        Mistake("noise at full strength", loss_by(the_noise, seen=lambda x, e, a, b: a * x + e), "The noise is as loud at t = 1 as at T. Which table says how loud it is?"),
        Mistake("the picture never fades", loss_by(the_noise, seen=lambda x, e, a, b: x + b * e), "The points stay where they were, and noise is added. Which table says how much is left of them?"),
        Mistake("time in steps", loss_by(the_noise, time=lambda t, T: t.float()), "The model is told t, not t / T. What range should time have, whatever T is?"),
        Mistake("one entry too early", early_tables, "It mixes as if it were t - 1. The tables begin with t = 0: which entry belongs to t?"),
        Mistake("time divided by the entries", loss_by(the_noise, time=lambda t, T: t / (T + 1)), "At t = T the model is told less than 1. The tables begin with t = 0: how large is T?"),
        Mistake("a sum, no mean", loss_by(the_noise, cost=lambda gap: gap.square().sum()), "A larger batch costs more. What makes it independent of how many there are?"),
        Mistake("not squared", loss_by(the_noise, cost=lambda gap: gap.abs().mean()), "Mean of what is wrong, without the square. Which loss has the average answer as its best guess?"),
        Mistake("the root of it", loss_by(the_noise, cost=lambda gap: gap.square().mean().sqrt()), "A root was taken. Is it asked for?"),
        Mistake("signs cancel", loss_by(the_noise, cost=lambda gap: gap.mean()), "Too high here and too low there come out as no mistake at all. What keeps them from cancelling?"),
        Mistake("time in whole numbers", """def noise_loss(model, x_0, t, noise, signal, spread):
    x_t = signal[t][:, None] * x_0 + spread[t][:, None] * noise
    return (model(x_t, t // (len(signal) - 1)) - noise).square().mean()
""",
                "`//` makes 0 of every time but the last. Which division keeps the share?"),
        Mistake("time by the largest t", """def noise_loss(model, x_0, t, noise, signal, spread):
    x_t = signal[t][:, None] * x_0 + spread[t][:, None] * noise
    return (model(x_t, t / t.max()) - noise).square().mean()
""",
                "The largest t of the batch is taken for T, so the same picture is told another time in another "
                "batch. How large is T, by the tables?"),
        Mistake("the square of the mean", """def noise_loss(model, x_0, t, noise, signal, spread):
    x_t = signal[t][:, None] * x_0 + spread[t][:, None] * noise
    return (model(x_t, t / (len(signal) - 1)) - noise).mean().square()
""",
                "First the mean, then the square: too high here and too low there cancel. Of what is the mean asked?"),
        Mistake("roots of the tables", """def noise_loss(model, x_0, t, noise, signal, spread):
    x_t = signal[t][:, None].sqrt() * x_0 + spread[t][:, None].sqrt() * noise
    return (model(x_t, t / (len(signal) - 1)) - noise).square().mean()
""",
                "The roots were taken of what is in the tables. By what are picture and noise multiplied?"),
        Mistake("the tables swapped", """def noise_loss(model, x_0, t, noise, signal, spread):
    x_t = spread[t][:, None] * x_0 + signal[t][:, None] * noise
    return (model(x_t, t / (len(signal) - 1)) - noise).square().mean()
""",
                "At t = 1 it is nearly all noise. Which table belongs to the points?"),
        Mistake("one t for all", """def noise_loss(model, x_0, t, noise, signal, spread):
    x_t = signal[t[0]] * x_0 + spread[t[0]] * noise
    return (model(x_t, t / (len(signal) - 1)) - noise).square().mean()
""",
                "All points are mixed by the t of the first. Whose t counts?"),
        Mistake("shares without an axis", """def noise_loss(model, x_0, t, noise, signal, spread):
    x_t = signal[t] * x_0 + spread[t] * noise
    return (model(x_t, t / (len(signal) - 1)) - noise).square().mean()
""",
                "The shares are (B,) and meet the two numbers of a point. What gives them an axis of size 1?"),
        Mistake("noise of its own", """def noise_loss(model, x_0, t, noise, signal, spread):
    drawn = torch.randn_like(x_0)
    x_t = signal[t][:, None] * x_0 + spread[t][:, None] * drawn
    return (model(x_t, t / (len(signal) - 1)) - drawn).square().mean()
""",
                "It draws noise itself, and what was handed in is not used. Who decides about chance here, so that a "
                "loss can be repeated?"),
        Mistake("a sum over the two numbers", """def noise_loss(model, x_0, t, noise, signal, spread):
    x_t = signal[t][:, None] * x_0 + spread[t][:, None] * noise
    return (model(x_t, t / (len(signal) - 1)) - noise).square().sum(1).mean()
""",
                "The two numbers of a point are added up before the mean. Mean over what?"),
        Mistake("nothing to learn from", """def noise_loss(model, x_0, t, noise, signal, spread):
    x_t = signal[t][:, None] * x_0 + spread[t][:, None] * noise
    with torch.no_grad():
        return (model(x_t, t / (len(signal) - 1)) - noise).square().mean()
""",
                "The value is right, and no gradient comes back to the model. What would `backward` start from?"),
        Mistake("a number without a past", """def noise_loss(model, x_0, t, noise, signal, spread):
    x_t = signal[t][:, None] * x_0 + spread[t][:, None] * noise
    return (model(x_t, t / (len(signal) - 1)) - noise).square().mean().item()
""",
                "The value is right, but `.item()` cuts it off from the model. What would `backward` start from?"),
        Mistake("one for each point", """def noise_loss(model, x_0, t, noise, signal, spread):
    x_t = signal[t][:, None] * x_0 + spread[t][:, None] * noise
    return (model(x_t, t / (len(signal) - 1)) - noise).square().mean(1)
""",
                "There is a loss for each point. What makes one number of them?"),
    ],
)  # fmt: skip

# -- 10.3 one step back ---------------------------------------------------------------------------------------------------


def arrives(out: Tensor, case: tuple) -> bool | str:
    _, x_0, _, _, c, d = case
    if (c, d) != (1.0, 0.0) or out.shape != x_0.shape:
        return True
    return torch.allclose(out, x_0, atol=1e-4) or (
        f"It goes down to t = 0, all signal and no noise; there the guess {listed(x_0)} should be reached, not {listed(out)}."
    )


def stays(out: Tensor, case: tuple) -> bool | str:
    x_t, _, a, b, c, d = case
    if (a, b) != (c, d) or out.shape != x_t.shape:
        return True
    return torch.allclose(out, x_t, atol=1e-4) or (
        f"It goes from t to the same t; nothing should move, but {listed(x_t)} becomes {listed(out)}."
    )


eps = lambda x_t, x_0, a, b: (x_t - a * x_0) / b
back = Exercise(
    "10.3",
    goal="one step back",
    minutes=12,
    difficulty=2,
    cases=[
        (torch.tensor([[1.4, 0.8]]), torch.tensor([[1.0, 0.0]]), 0.6, 0.8, 0.8, 0.6),
        (torch.tensor([[1.0, -1.0]]), torch.tensor([[0.5, 0.5]]), 0.6, 0.8, 1.0, 0.0),
        (noise(2, 2), noise(2, 2, seed=1), 0.6, 0.8, 0.6, 0.8),
        (noise(3, 1, 2, 2, seed=2).requires_grad_(), noise(3, 1, 2, 2, seed=3).requires_grad_(), 0.1, 0.9, 0.5, 0.5),
        (noise(4, 2, seed=4), noise(4, 2, seed=5), 0.28, 0.96, 0.96, 0.28),
    ],
    starter='''def step_back(x_t, x_0, a, b, c, d):
    """From t down to an earlier s. x_t is a · picture + b · noise; x_0 is a guess at the picture. Which noise does
    that mean? Mix the two anew, as they would stand at s: c · picture + d · noise.

    x_t, x_0: (B, ...)   a, b: signal and noise at t   c, d: at s   ->   x_s (B, ...)
    """
    ...
''',
    solution='''def step_back(x_t, x_0, a, b, c, d):
    """From t down to an earlier s. x_t is a · picture + b · noise; x_0 is a guess at the picture. Which noise does
    that mean? Mix the two anew, as they would stand at s: c · picture + d · noise.

    x_t, x_0: (B, ...)   a, b: signal and noise at t   c, d: at s   ->   x_s (B, ...)
    """
    noise = (x_t - a * x_0) / b     # what must have been mixed in, if the guess is right
    return c * x_0 + d * noise
''',
    other_solutions=[
        lambda x_t, x_0, a, b, c, d: d / b * x_t + (c - a * d / b) * x_0,
        "def step_back(x_t, x_0, a, b, c, d):\n    noise = (x_t - a * x_0) / b\n    return x_t + (c - a) * x_0 + (d - b) * noise\n",
        "def step_back(x_t, x_0, a, b, c, d):\n    # in units of the signal: straight from one level of noise to the next\n    y, now, then = x_t / a, b / a, d / c\n"
        "    return c * (y + (then - now) * (y - x_0) / now)\n",
    ],
    hints=[
        "You know the mixture and believe to know one of its parts. What is the other part?",
        "Solve x_t = a · picture + b · noise for the noise. Then mix again, with the shares of the earlier time.",
        "`noise = (x_t - a * x_0) / b`, and `c * x_0 + d * noise`.",
    ],
    explanation="A guess at the picture is also a guess at the noise: the mixture leaves no freedom. Mixed anew with more picture and less noise, it is a "
    "little nearer to the guess. At s = 0 it is the guess. The next step guesses again, from a clearer view. (Song et al. 2020, equation 12.)",
    properties=[
        Property("misses the picture", arrives, "What is left of the noise at t = 0?"),
        Property("does not stand still", stays, "Which noise must be in x_t, so that the same mixture comes out?"),
    ],
    mistakes=[
        Mistake("straight to the guess", lambda x_t, x_0, a, b, c, d: x_0, "It jumps all the way, and at s there should still be noise. Why not trust the first guess whole?"),
        Mistake("the noise is forgotten", lambda x_t, x_0, a, b, c, d: c * x_0, "The picture fades as it should, but no noise is left. How much noise is there at s?"),
        Mistake("the noise is not divided", lambda x_t, x_0, a, b, c, d: c * x_0 + d * (x_t - a * x_0), "What is left over is b times the noise. How large is the noise itself?"),
        Mistake("the guess is not weakened", lambda x_t, x_0, a, b, c, d: c * x_0 + d * (x_t - x_0) / b, "The whole guess is taken from x_t. How much of the picture is in x_t?"),
        Mistake("as much noise as before", lambda x_t, x_0, a, b, c, d: c * x_0 + b * eps(x_t, x_0, a, b), "The noise stays as loud as at t. How loud is it at s?"),
        Mistake("only taken away", lambda x_t, x_0, a, b, c, d: x_t - (b - d) * eps(x_t, x_0, a, b), "Noise is taken away, and the picture is as faint as it was at t. What else changes between t and s?"),
        Mistake("the times swapped", lambda x_t, x_0, a, b, c, d: a * x_0 + b * (x_t - c * x_0) / (d or 1), "It undoes the mixture of s and makes that of t: forwards. Which shares belong to x_t?"),
        Mistake("x_t for noise", lambda x_t, x_0, a, b, c, d: c * x_0 + d * x_t, "It mixes the guess with all of x_t, as if that were noise. What part of x_t is noise?"),
        Mistake("signal and noise swapped", lambda x_t, x_0, a, b, c, d: c * x_0 + d * (x_t - b * x_0) / a, "The guess is taken away b times, and the rest is divided by a. Which of the two belongs to the picture?"),
        Mistake("divided by the signal", lambda x_t, x_0, a, b, c, d: c * x_0 + d * (x_t - a * x_0) / a, "The rest is divided by the share of the picture. By what was the noise multiplied?"),
        Mistake("x_t as it was", """def step_back(x_t, x_0, a, b, c, d):
    return x_t
""",
                "Nothing has moved. What changes between t and s?"),
        Mistake("the guess at full strength", """def step_back(x_t, x_0, a, b, c, d):
    noise = (x_t - a * x_0) / b
    return x_0 + d * noise
""",
                "The noise is that of s, the picture is as strong as at the end. How much of it is there at s?"),
        Mistake("the noise taken away", """def step_back(x_t, x_0, a, b, c, d):
    noise = (x_t - a * x_0) / b
    return x_t - noise
""",
                "The noise is taken away at full strength, though x_t held b of it. What is left, and how much "
                "should be there at s?"),
        Mistake("d of the noise taken away", """def step_back(x_t, x_0, a, b, c, d):
    noise = (x_t - a * x_0) / b
    return x_t - d * noise
""",
                "It takes away as much noise as should be left at s. How much is there at t, and what becomes of the "
                "picture?"),
        Mistake("more of x_t", """def step_back(x_t, x_0, a, b, c, d):
    noise = (x_t - a * x_0) / b
    return c * x_t + d * noise
""",
                "c multiplies x_t, which holds the noise already. What is mixed anew?"),
        Mistake("x_t made larger", """def step_back(x_t, x_0, a, b, c, d):
    return c / a * x_t
""",
                "Picture and noise grow alike. Which of the two should become less?"),
        Mistake("the wrong sign before the noise", """def step_back(x_t, x_0, a, b, c, d):
    noise = (x_t - a * x_0) / b
    return c * x_0 - d * noise
""",
                "The noise comes back with the other sign. Going from t to the same t, what should come out?"),
        Mistake("the shares of s swapped", """def step_back(x_t, x_0, a, b, c, d):
    noise = (x_t - a * x_0) / b
    return d * x_0 + c * noise
""",
                "At s = 0 it gives the noise. Which share belongs to the picture?"),
        Mistake("brackets left out", """def step_back(x_t, x_0, a, b, c, d):
    noise = x_t - a * x_0 / b
    return c * x_0 + d * noise
""",
                "Only the picture was divided by b. Where do brackets belong?"),
        Mistake("fresh noise", """def step_back(x_t, x_0, a, b, c, d):
    return c * x_0 + d * torch.randn_like(x_0)
""",
                "It mixes in noise of its own, and what x_t held is lost. Which noise does the guess leave for x_t?"),
        Mistake("on the circle", """def step_back(x_t, x_0, a, b, c, d):
    noise = (x_t - a * x_0) / b
    return c * x_0 + (1 - c * c) ** 0.5 * noise
""",
                "It takes √(1 - c²) for the noise's share. That holds where c² + d² = 1. Which number says how much "
                "noise is wanted?"),
        Mistake("the noise alone", """def step_back(x_t, x_0, a, b, c, d):
    noise = (x_t - a * x_0) / b
    return noise
""",
                "That is the noise in x_t, rightly found. What is to be mixed of it and of the guess?"),
    ],
)  # fmt: skip

# -- 10.4 three questions, one answer -------------------------------------------------------------------------------------

SHARES = ((0.75, 0.25), (0.5, 0.5), (0.9, 0.1))


def asked_for_itself(out: Tensor, case: tuple) -> bool | str:
    predicted, _, _, _, predicts = case
    if predicts != "picture" or out.shape != predicted.shape:
        return True
    return (
        torch.allclose(out, predicted, atol=1e-4) or "The network was asked for the picture, and its answer is changed."
    )


def answers(
    of_noise=lambda p, x, a, b: (x - b * p) / a,
    of_velocity=lambda p, x, a, b: x - b * p,
    of_picture=lambda p, x, a, b: p,
):
    def wrong(predicted, x_t, a, b, predicts):
        return {"noise": of_noise, "velocity": of_velocity, "picture": of_picture}[predicts](predicted, x_t, a, b)

    return wrong


one_answer = Exercise(
    "10.4",
    goal="three questions, one answer",
    minutes=10,
    difficulty=2,
    cases=[
        (torch.tensor([[2.0, 1.0]]), torch.tensor([[1.0, 1.0]]), 0.5, 0.5, "picture"),
        (torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 1.0]]), 0.75, 0.25, "noise"),
        (torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 1.0]]), 0.75, 0.25, "velocity"),
        *((noise(2, 3, seed=n).requires_grad_(), noise(2, 3, seed=n + 9).requires_grad_(), a, b, what) for n, ((a, b), what) in enumerate((pair, what) for pair in SHARES for what in ("noise", "velocity", "picture"))),
    ],
    starter='''def picture_of(predicted, x_t, a, b, predicts):
    """The picture that an answer means. x_t = a · picture + b · noise with a + b = 1, and the network was asked, in a
    word, for "noise", for the "picture", or for the "velocity" = noise - picture.

    predicted, x_t: (B, ...)   a, b: numbers, a above 0   ->   picture (B, ...)
    """
    ...
''',
    solution='''def picture_of(predicted, x_t, a, b, predicts):
    """The picture that an answer means. x_t = a · picture + b · noise with a + b = 1, and the network was asked, in a
    word, for "noise", for the "picture", or for the "velocity" = noise - picture.

    predicted, x_t: (B, ...)   a, b: numbers, a above 0   ->   picture (B, ...)
    """
    if predicts == "noise":
        return (x_t - b * predicted) / a     # a small a makes a small mistake large
    if predicts == "velocity":
        return x_t - b * predicted           # x_t = picture + b (noise - picture)
    return predicted
''',
    other_solutions=[
        lambda predicted, x_t, a, b, predicts: {"noise": (x_t - b * predicted) / a, "velocity": (x_t - b * predicted) / (a + b), "picture": predicted}[predicts],
        "def picture_of(predicted, x_t, a, b, predicts):\n    if predicts == 'velocity':\n        noise = x_t + a * predicted\n        return noise - predicted\n"
        "    return predicted if predicts == 'picture' else x_t / a - predicted * (b / a)\n",
    ],
    hints=[
        "Two unknowns, picture and noise, and two facts: the mixture, and what the network says. Solve for the picture.",
        "Noise: take b times it away, then bring the picture back to full strength. Velocity: write x_t = a P + b N with N = P + V, and remember a + b = 1.",
        "`(x_t - b * predicted) / a` for noise, `x_t - b * predicted` for velocity, and `predicted` as it is for the picture.",
    ],
    explanation="Any of the three gives the other two, so a perfect network could be asked for any. An imperfect one not: what it gets wrong about the noise is "
    "multiplied by b / a on the way to the picture, without limit where a is small; a wrong velocity by b, never more than 1; a wrong picture by nothing.",
    properties=[Property("the picture is changed", asked_for_itself, "What is to be done with an answer that is the picture?")],
    mistakes=[
        Mistake("noise, and not divided", answers(of_noise=lambda p, x, a, b: x - b * p), "Without the noise, a times the picture is left. How does it come back to full strength?"),
        Mistake("noise at full strength", answers(of_noise=lambda p, x, a, b: (x - p) / a), "All of the noise is taken away, but only a share of it is in x_t. Which?"),
        Mistake("divided by what is noise", answers(of_noise=lambda p, x, a, b: (x - a * p) / b), "Signal and noise have changed places. Which share does the noise have in x_t?"),
        Mistake("velocity taken for noise", answers(of_velocity=lambda p, x, a, b: (x - b * p) / a), "A velocity is treated as if it were noise. What is left of x_t = P + b (N - P), once b times the velocity is gone?"),
        Mistake("along the velocity", answers(of_velocity=lambda p, x, a, b: x + b * p), "It goes *with* the velocity, which leads to the noise. Which way is the picture?"),
        Mistake("the whole way", answers(of_velocity=lambda p, x, a, b: x - p), "It goes back a whole velocity, as if x_t were pure noise. How far is x_t from the picture?"),
        Mistake("the wrong share of the way", answers(of_velocity=lambda p, x, a, b: x - a * p), "At b = 0 nothing should be taken away. Which share of the way is behind us?"),
        Mistake("the picture mixed again", answers(of_picture=lambda p, x, a, b: (x - b * p) / a), "The network said what the picture is, and its answer is treated as noise. What is left to do?"),
        Mistake("the noise handed back", answers(of_noise=lambda p, x, a, b: p, of_velocity=lambda p, x, a, b: x + a * p), "Noise comes out where the picture was wanted. Is it N, or P?"),
        Mistake("brackets left out", """def picture_of(predicted, x_t, a, b, predicts):
    if predicts == "noise":
        return x_t - b * predicted / a
    if predicts == "velocity":
        return x_t - b * predicted
    return predicted
""",
                "Only the noise is divided by a. What is left of x_t once b times the noise is gone, and what brings "
                "it to full strength?"),
        Mistake("to the noise", """def picture_of(predicted, x_t, a, b, predicts):
    if predicts == "noise":
        return (x_t - b * predicted) / a
    if predicts == "velocity":
        return x_t + a * predicted
    return predicted
""",
                "x_t plus a times the velocity is the noise. Which way is the picture, and how far?"),
        Mistake("whatever was said", """def picture_of(predicted, x_t, a, b, predicts):
    return predicted
""",
                "The answer is handed on as if the picture had always been asked for. What does the network say of "
                "the noise?"),
        Mistake("all of it taken away", """def picture_of(predicted, x_t, a, b, predicts):
    if predicts == "noise":
        return x_t - predicted
    if predicts == "velocity":
        return x_t - predicted
    return predicted
""",
                "Noise and velocity are taken away whole. Which share of them is in x_t?"),
        Mistake("roots of the shares", """def picture_of(predicted, x_t, a, b, predicts):
    if predicts == "noise":
        return (x_t - b**0.5 * predicted) / a**0.5
    if predicts == "velocity":
        return x_t - b * predicted
    return predicted
""",
                "The roots of a and b were taken. By what were picture and noise multiplied here?"),
        Mistake("on the circle", """def picture_of(predicted, x_t, a, b, predicts):
    if predicts == "noise":
        return (x_t - b * predicted) / a
    if predicts == "velocity":
        return a * x_t - b * predicted
    return predicted
""",
                "That holds where a² + b² = 1. Here a + b = 1, and velocity is noise - picture: what is x_t - b V?"),
        Mistake("the velocity added", """def picture_of(predicted, x_t, a, b, predicts):
    if predicts == "noise":
        return (x_t - b * predicted) / a
    if predicts == "velocity":
        return x_t + predicted
    return predicted
""",
                "A whole velocity was added, and it leads to the noise. Which way is the picture, and how far?"),
        Mistake("the picture divided", """def picture_of(predicted, x_t, a, b, predicts):
    if predicts == "noise":
        return (x_t - b * predicted) / a
    if predicts == "velocity":
        return x_t - b * predicted
    return predicted / a
""",
                "The answer that is the picture was divided by a. What is left to do with it?"),
        Mistake("the picture weakened", """def picture_of(predicted, x_t, a, b, predicts):
    if predicts == "noise":
        return (x_t - b * predicted) / a
    if predicts == "velocity":
        return x_t - b * predicted
    return a * predicted
""",
                "The answer that is the picture was multiplied by a. What is left to do with it?"),
        Mistake("x_t for the picture", """def picture_of(predicted, x_t, a, b, predicts):
    if predicts == "noise":
        return (x_t - b * predicted) / a
    if predicts == "velocity":
        return x_t - b * predicted
    return x_t
""",
                "Asked for the picture, the network said what it is, and x_t comes back. What did it say?"),
        Mistake("no answer for the picture", """def picture_of(predicted, x_t, a, b, predicts):
    if predicts == "noise":
        return (x_t - b * predicted) / a
    if predicts == "velocity":
        return x_t - b * predicted
""",
                "For \"picture\" nothing is returned. What should be?"),
    ],
)  # fmt: skip
