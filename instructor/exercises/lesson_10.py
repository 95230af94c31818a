"""Assigned in lesson 10: a schedule that ends in pure noise, and ink in water, worked out."""

import torch

from fmcourse.classroom.assigned import Assigned
from fmcourse.course.exercises import Mistake, Property


def falling(*values):
    return torch.tensor(values, dtype=torch.float64)


def linear(steps, low, high):
    """Signal shares of a linear schedule."""
    return torch.cumprod(1 - torch.linspace(low, high, steps, dtype=torch.float64), 0)


# -- 10.A1 nothing left ---------------------------------------------------------------------------------------------------

RESCALED = '''def rescaled(signal):
    """Shares of signal that end at exactly zero.

    signal: (T,) float, falling, above 0: the share alpha_bar of each step, a picture's variance that is left   ->   (T,) float

    The *square roots* of the shares are shifted and stretched, all by the same two numbers, such that the last becomes 0 and the first
    stays as it was. T is at least 2.
    """
'''

rescaled = Assigned(
    "10.A1",
    goal="nothing left of the picture",
    minutes=15,
    difficulty=2,
    text="Many published schedules never reach pure noise: at the last step a trace of the picture is left (for Stable Diffusion's, 0.0047 of its variance). The network learns to lean on it, "
    "and when sampling begins with pure noise, it is misled: pictures come out of middling brightness. Lin et al. 2023 mend the schedule: move the square roots of the "
    "shares so that the last is 0, and stretch them so that the first is as before.",
    cases=[falling(0.81, 0.25, 0.01), falling(0.9, 0.4), linear(6, 0.05, 0.5)],
    hidden=[linear(50, 1e-3, 0.1), falling(1.0, 0.64, 0.36, 0.04), falling(0.5, 0.49, 0.48), linear(10, 0.1, 0.2).float(), falling(0.99, 0.7, 0.5, 0.2, 0.19)],
    starter=RESCALED + "    ...\n",
    solution=RESCALED + '''    root = signal.sqrt()
    return ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2
''',
    other_solutions=[
        "def rescaled(signal):\n    root = torch.sqrt(signal)\n    stretch = root[0] / (root[0] - root[-1])\n    moved = stretch * root - stretch * root[-1]\n    return moved.square()\n",
        "def rescaled(signal):\n    first, last = float(signal[0]) ** 0.5, float(signal[-1]) ** 0.5\n    values = [((float(s) ** 0.5 - last) / (first - last) * first) ** 2 for s in signal]\n"
        "    return torch.tensor(values, dtype=signal.dtype)\n",
    ],
    explanation="The root of the share is what multiplies the picture, so that is what must reach zero; squared again it is a share of variance.",
    properties=[
        Property("signal at the end", "def test(out, case):\n    return bool(abs(out[-1]) < 1e-9) or f'At the last step {float(out[-1]):.3g} of the picture is left.'\n", "What must the last one be?"),
        Property("the first has moved", "def test(out, case):\n    return bool(abs(out[0] - case[0]) < 1e-5) or f'The first share was {float(case[0]):.4g} and is now {float(out[0]):.4g}.'\n", "Which one was to stay?"),
    ],
    mistakes=[
        Mistake("shares, not their roots", "def rescaled(signal):\n    return (signal - signal[-1]) * signal[0] / (signal[0] - signal[-1])\n",
                "The shares themselves are shifted and stretched. By what is the picture multiplied at each step?"),
        Mistake("shifted alone", "def rescaled(signal):\n    root = signal.sqrt()\n    return (root - root[-1]) ** 2\n",
                "It ends at zero, but the first step has lost some signal too. What was to stay?"),
        Mistake("not squared again", "def rescaled(signal):\n    root = signal.sqrt()\n    return (root - root[-1]) * root[0] / (root[0] - root[-1])\n",
                "Those are the roots. Which quantity was asked for?"),
        Mistake("from one to zero", "def rescaled(signal):\n    root = signal.sqrt()\n    return ((root - root[-1]) / (root[0] - root[-1])) ** 2\n",
                "The first share becomes 1: no noise at all there. What was it before?"),
        Mistake("only the last", "def rescaled(signal):\n    out = signal.clone()\n    out[-1] = 0\n    return out\n",
                "Only the last step has changed, so there is a jump before it. What happens to all the others?"),
    ],
)  # fmt: skip

# -- 10.A2 ink in water ---------------------------------------------------------------------------------------------------

ink = Assigned(
    "10.A2",
    goal="ink in water, worked out",
    minutes=12,
    text="The forward process learns nothing, so its end can be worked out without running it. Take the pictures `load(\"fashion\").train.pixels[first : first + 50]`, "
    "brought from 0..255 to -1..1. At each of `steps` steps a pixel is multiplied by the root of 1 − beta, and noise of mean 0 and variance beta is added, your own "
    "beta. What is the **expected mean square** of a pixel after the last step, over all pixels of your 50 pictures? Exactly, not by drawing noise.",
    starter='''mine = variant("10.A2")  # your numbers
mean_square_after = ...  # a float
''',
    solution='''from fmcourse.data import load


def mean_square_after(mine):
    x = load("fashion").train.pixels[mine["first"] : mine["first"] + 50].double() / 127.5 - 1
    left = (1 - mine["beta"]) ** mine["steps"]
    return float(left * x.pow(2).mean() + (1 - left))
''',
    other_solutions=['''def mean_square_after(mine):
    from fmcourse.data import load
    x = load("fashion").train.pixels[mine["first"]:][:50].double() / 255 * 2 - 1
    now = (x * x).mean().item()
    for _ in range(mine["steps"]):
        now = (1 - mine["beta"]) * now + mine["beta"]
    return now
'''],
    vary=lambda draw: {"first": draw.randrange(0, 9000), "beta": draw.randrange(10, 60) / 1000, "steps": draw.randrange(8, 30)},
    explanation="Each step keeps 1 - beta of the square and adds beta: so it moves towards 1, whatever the picture was.",
    properties=[Property("not a mean square", "def test(out, case):\n    return 0.3 < out < 1.05 or f'It begins below 1 and moves towards 1; yours is {out:.4g}.'\n", "Where does it end after very many steps?")],
    mistakes=[
        Mistake("without the noise", '''def mean_square_after(mine):
    from fmcourse.data import load
    x = load("fashion").train.pixels[mine["first"]:][:50].double() / 127.5 - 1
    return float((1 - mine["beta"]) ** mine["steps"] * x.pow(2).mean())
''', "It is what is left of the picture. What has been added meanwhile?"),
        Mistake("the root too often", '''def mean_square_after(mine):
    from fmcourse.data import load
    x = load("fashion").train.pixels[mine["first"]:][:50].double() / 127.5 - 1
    left = (1 - mine["beta"]) ** (mine["steps"] / 2)
    return float(left * x.pow(2).mean() + 1 - left)
''', "The picture is multiplied by a root at each step. By what is its square multiplied?"),
        Mistake("the variance", '''def mean_square_after(mine):
    from fmcourse.data import load
    x = load("fashion").train.pixels[mine["first"]:][:50].double() / 127.5 - 1
    left = (1 - mine["beta"]) ** mine["steps"]
    return float(left * x.var(correction=0) + 1 - left)
''', "It begins with the pictures' variance. Is their mean zero?"),
        Mistake("all the noise at once", '''def mean_square_after(mine):
    from fmcourse.data import load
    x = load("fashion").train.pixels[mine["first"]:][:50].double() / 127.5 - 1
    return float((1 - mine["beta"]) ** mine["steps"] * x.pow(2).mean() + mine["beta"] * mine["steps"])
''', "It adds beta as often as there are steps. Is earlier noise not multiplied, too?"),
        Mistake("pixels from 0 to 1", '''def mean_square_after(mine):
    from fmcourse.data import load
    x = load("fashion").train.pixels[mine["first"]:][:50].double() / 255
    left = (1 - mine["beta"]) ** mine["steps"]
    return float(left * x.pow(2).mean() + 1 - left)
''', "Black is 0 there. Which number was it to be?"),
    ],
)  # fmt: skip
