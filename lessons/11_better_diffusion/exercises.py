"""Lesson 11: what a velocity says, an average of weights, guidance, fresh noise in a step, and which blanks are filled now."""

import math

import torch
from fmcourse.course.exercise import Exercise, Mistake, Property
from torch import Tensor

noise = lambda *shape, seed=0: torch.randn(*shape, generator=torch.Generator().manual_seed(seed))

# -- 11.1 what a velocity says ----------------------------------------------------------------------------------------------


def mixes_back(out: tuple, case: tuple) -> bool | str:
    """Whatever was found must mix to what was seen."""
    x_t, _, a, b = case
    if not isinstance(out, tuple | list) or len(out) != 2 or any(part.shape != x_t.shape for part in out):
        return True
    worst = (a * out[0] + b * out[1] - x_t).abs().max().item()
    return worst < 1e-3 or f"Mixed again, a times the picture and b times the noise, they miss x_t by {worst:.2g}."


def turned(case: tuple) -> tuple[Tensor, Tensor]:
    """x_t and v of a picture and a noise, on the circle."""
    x_0, e, a, b = case
    return a * x_0 + b * e, a * e - b * x_0, a, b


circle = lambda degrees: (math.cos(math.radians(degrees)), math.sin(math.radians(degrees)))
velocity = Exercise(
    "11.1",
    goal="picture and noise out of a velocity",
    minutes=10,
    difficulty=2,
    cases=[
        turned((torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), 0.8, 0.6)),
        turned((torch.tensor([2.0]), torch.tensor([-1.0]), 0.6, 0.8)),
        turned((noise(2, 3), noise(2, 3, seed=1), *circle(30.0))),
        turned((noise(2, 1, 4, 4, seed=2), noise(2, 1, 4, 4, seed=3), *circle(75.0))),
        turned((noise(3, seed=4), noise(3, seed=5), *circle(90.0))),
        turned((noise(2, seed=6), noise(2, seed=7), 1.0, 0.0)),
        turned((noise(2, seed=8), noise(2, seed=9), 0.0, 1.0)),
    ],
    starter='''def from_velocity(x_t, v, a, b):
    """(x_0, noise), when x_t = a x_0 + b noise and v = a noise - b x_0 are known, and a² + b² = 1.

    x_t, v: tensors of one shape   a, b: numbers   ->   two tensors of that shape
    """
    ...
''',
    solution='''def from_velocity(x_t, v, a, b):
    """(x_0, noise), when x_t = a x_0 + b noise and v = a noise - b x_0 are known, and a² + b² = 1.

    x_t, v: tensors of one shape   a, b: numbers   ->   two tensors of that shape
    """
    return a * x_t - b * v, b * x_t + a * v  # the turn, turned back
''',
    other_solutions=[
        lambda x_t, v, a, b: ((a * x_t - b * v) / (a * a + b * b), (b * x_t + a * v) / (a * a + b * b)),
        "def from_velocity(x_t, v, a, b):\n    both = torch.tensor([[a, b], [-b, a]], dtype=x_t.dtype).T @ torch.stack([x_t.flatten(), v.flatten()])\n"
        "    return both[0].view_as(x_t), both[1].view_as(x_t)\n",
        "def from_velocity(x_t, v, a, b):\n    x_0 = a * x_t - b * v\n    return x_0, b * x_t + a * v\n",
    ],
    hints=[
        "Two equations, two unknowns. Which multiple of each must you add, so that the noise drops out?",
        "Take a times the first and b times the second: a x_t - b v = (a² + b²) x_0. And what makes the picture drop out?",
        "`x_0 = a * x_t - b * v`, and the noise is `b * x_t + a * v`.",
    ],
    explanation="(x_t, v) is (x_0, noise) turned by an angle whose cosine is a and whose sine is b. So turn back. Nothing is divided: that is "
    "why an error in v is never made larger.",
    properties=[Property("does not mix back", mixes_back, "Put your two answers into x_t = a x_0 + b noise: which sign is off?")],
    mistakes=[
        Mistake("turned the other way", lambda x_t, v, a, b: (a * x_t + b * v, a * v - b * x_t),
                "It turns on instead of back. With a² + b² = 1, what is a x_t - b v?"),
        Mistake("noise first", lambda x_t, v, a, b: (b * x_t + a * v, a * x_t - b * v),
                "Noise comes first here. In which order are they wanted?"),
        Mistake("a straight line", lambda x_t, v, a, b: (x_t - b * v, x_t + (1 - b) * v),
                "That holds on a straight line, where v = noise - x_0 and a = 1 - b. What is v here?"),
        Mistake("v is the noise", lambda x_t, v, a, b: ((x_t - b * v) / a if abs(a) > 1e-6 else x_t, v),
                "It takes v for the noise itself. How much of the picture is in v?"),
        Mistake("a and b swapped", lambda x_t, v, a, b: (b * x_t - a * v, a * x_t + b * v),
                "At b = 0 there is no noise, and x_t is the picture. What do you get there?"),
        Mistake("the picture alone", lambda x_t, v, a, b: a * x_t - b * v, "One tensor comes back. Where is the noise?"),
        Mistake("the noise's sign", lambda x_t, v, a, b: (a * x_t - b * v, a * v - b * x_t),
                "The picture is right, the noise is not. Put both equations into b x_t + a v: what drops out, and what into a v - b x_t?"),
        Mistake("the picture's sign", lambda x_t, v, a, b: (a * x_t + b * v, b * x_t + a * v),
                "The noise is right, the picture is not. In a x_t + b v the noise does not drop out. What makes it?"),
        Mistake("the shares left out", lambda x_t, v, a, b: (x_t - v, x_t + v),
                "Picture and noise are in x_t and in v with shares a and b. Where do these come in?"),
        Mistake("squared shares", lambda x_t, v, a, b: (a * a * x_t - b * b * v, b * b * x_t + a * a * v),
                "a² + b² = 1 is a fact about the shares; it does not say to square them here. What is a x_t - b v?"),
        Mistake("v is the picture", lambda x_t, v, a, b: (v, (x_t - a * v) / b),
                "It takes v for the picture. At b = 0, where there is no noise in x_t, what is v?"),
        Mistake("divided by the shares", """def from_velocity(x_t, v, a, b):
    x_0 = (x_t - b * v) / a if a else x_t
    return x_0, (x_t - a * x_0) / b if b else v
""",
                "It solves x_t = a x_0 + b v, as if v were the noise. What is v made of?"),
        Mistake("the noise by a division", """def from_velocity(x_t, v, a, b):
    x_0 = a * x_t - b * v
    return x_0, (x_t - a * x_0) / b
""",
                "The picture is right, and the noise follows from it by a division by b: at b = 0 that is 0/0. Which "
                "combination of x_t and v needs none?"),
        Mistake("the noise by the other division", """def from_velocity(x_t, v, a, b):
    x_0 = a * x_t - b * v
    return x_0, (v + b * x_0) / a
""",
                "The picture is right, and the noise follows from it by a division by a: at a = 0 that breaks. Which "
                "combination of x_t and v needs none?"),
        Mistake("v plus the picture", """def from_velocity(x_t, v, a, b):
    x_0 = a * x_t - b * v
    return x_0, v + x_0
""",
                "The picture is right. v = noise - x_0 holds on a straight line; what is v here?"),
        Mistake("x_t minus the picture", """def from_velocity(x_t, v, a, b):
    x_0 = a * x_t - b * v
    return x_0, x_t - x_0
""",
                "The picture is right. How much of it, and how much of the noise, is in x_t?"),
        Mistake("the other sign before v", """def from_velocity(x_t, v, a, b):
    x_0 = a * x_t - b * v
    return x_0, b * x_t - a * v
""",
                "The picture is right; in the noise v has the wrong sign. What drops out of b x_t + a v?"),
        Mistake("divided by a squared", """def from_velocity(x_t, v, a, b):
    return (a * x_t - b * v) / a**2, b * x_t + a * v
""",
                "a x_t - b v is (a² + b²) x_0. To what do the two squares add up?"),
        Mistake("the sign of the picture", """def from_velocity(x_t, v, a, b):
    return b * v - a * x_t, b * x_t + a * v
""",
                "The noise is right, the picture has the other sign. What is a x_t - b v?"),
        Mistake("a list of two", """def from_velocity(x_t, v, a, b):
    return [a * x_t - b * v, b * x_t + a * v]
""",
                "Both are right, in a list. What does the docstring return?"),
        Mistake("one tensor of two", """def from_velocity(x_t, v, a, b):
    return torch.stack([a * x_t - b * v, b * x_t + a * v])
""",
                "Both are right, stacked to one tensor. What does the docstring return?"),
    ],
)  # fmt: skip

# -- 11.2 an average of weights ---------------------------------------------------------------------------------------------


def between(out: list, case: tuple) -> bool | str:
    """A mean lies between what it is made of."""
    mean, new, _ = case
    if not isinstance(out, list | tuple) or len(out) != len(mean):
        return True
    for n, (a, b, c) in enumerate(zip(mean, new, out, strict=True)):
        if (c < torch.minimum(a, b) - 1e-4).any() or (c > torch.maximum(a, b) + 1e-4).any():
            return f"Tensor {n} lies outside what it is a mean of: {a.flatten()[0]:.3g} and {b.flatten()[0]:.3g} became {c.flatten()[0]:.3g}."
    return True


one = lambda *values: [torch.tensor(list(values))]
blend = lambda keep, take: (
    lambda mean, new, decay: [keep(decay) * a + take(decay) * b for a, b in zip(mean, new, strict=True)]
)
average = Exercise(
    "11.2",
    goal="an average that follows",
    minutes=8,
    cases=[
        (one(0.0), one(1.0), 0.9),
        (one(4.0, 2.0), one(0.0, 2.0), 0.75),
        ([noise(2, 3), noise(4, seed=1)], [noise(2, 3, seed=2), noise(4, seed=3)], 0.99),
        ([noise(3, seed=4)], [noise(3, seed=5)], 0.0),
    ],
    starter='''def follow(mean, new, decay):
    """The next mean of the weights: `decay` of the old mean, and the rest of what the weights are now.

    mean, new: lists of tensors, one for each weight   ->   such a list; neither is changed
    """
    ...
''',
    solution='''def follow(mean, new, decay):
    """The next mean of the weights: `decay` of the old mean, and the rest of what the weights are now.

    mean, new: lists of tensors, one for each weight   ->   such a list; neither is changed
    """
    return [decay * old + (1 - decay) * now for old, now in zip(mean, new)]
''',
    other_solutions=[
        lambda mean, new, decay: [a.lerp(b, 1 - decay) for a, b in zip(mean, new, strict=True)],
        "def follow(mean, new, decay):\n    out = []\n    for i in range(len(mean)):\n        out.append(mean[i] + (1 - decay) * (new[i] - mean[i]))\n    return out\n",
    ],
    hints=[
        "With a decay of 0.9 nine tenths of the mean stay. Where does the last tenth come from?",
        "A mean of two numbers, weighted by decay and 1 - decay, for each tensor of the lists.",
        "`decay * old + (1 - decay) * now`, for each pair of `zip(mean, new)`.",
    ],
    explanation="Done at each step it makes a mean over all the past in which a step n steps back counts decay^n: with 0.99 about the last "
    "hundred steps.",
    properties=[Property("no mean", between, "Do the two shares add up to 1?")],
    mistakes=[
        Mistake("the newest counts most", blend(lambda d: 1 - d, lambda d: d),
                "With a decay of 0.9 nine tenths of the *new* weights come in: it hardly averages. Which of the two should be kept?"),
        Mistake("added up", blend(lambda d: d, lambda d: 1.0), "The shares add up to more than 1, so the mean grows for ever. How much of the new may come in?"),
        Mistake("half and half", blend(lambda d: 0.5, lambda d: 0.5), "Old and new count alike, whatever the decay. Where does `decay` come in?"),
        Mistake("no past", lambda mean, new, decay: [b.clone() for b in new], "It is the new weights themselves: nothing is averaged. How much of the past should stay?"),
        Mistake("never moves", lambda mean, new, decay: [a.clone() for a in mean], "The mean stays where it was, whatever the weights do. What part of them should come in?"),
        Mistake("the first alone", lambda mean, new, decay: [decay * mean[0] + (1 - decay) * new[0]], "One tensor comes back, though a network has many. What about the rest of the lists?"),
        Mistake("taken away", blend(lambda d: d, lambda d: d - 1), "The new weights are subtracted. Between which two numbers must a mean lie?"),
        Mistake("the old leaks away", blend(lambda d: d, lambda d: 0.0), "The new weights never come in, and the mean shrinks to nothing. What fills up the rest?"),
        Mistake("the old is kept whole", blend(lambda d: 1.0, lambda d: 1 - d), "All of the old mean stays and some of the new is added. What should the two shares add up to?"),
        Mistake("changed in place", lambda mean, new, decay: [a.mul_(decay).add_(b, alpha=1 - decay) for a, b in zip(mean, new, strict=True)],
                "The numbers are right, but the tensors that were handed in are changed. Which operations make new ones?"),
        Mistake("one list behind the other", """def follow(mean, new, decay):
    return mean + new
""",
                "`+` of two lists strings them together. What walks through both, pair by pair?"),
        Mistake("a list times a number", """def follow(mean, new, decay):
    return decay * mean + (1 - decay) * new
""",
                "A list cannot be multiplied by a share. What walks through both, pair by pair?"),
        Mistake("a power for a share", """def follow(mean, new, decay):
    return [decay * old + now ** (1 - decay) for old, now in zip(mean, new)]
""",
                "The new weights are raised to a power. What makes a share of them?"),
        Mistake("stacked", """def follow(mean, new, decay):
    return torch.stack([decay * old + (1 - decay) * now for old, now in zip(mean, new)])
""",
                "Weights have many shapes and cannot be stacked. What is wanted, a tensor or a list of them?"),
        Mistake("one mean for each tensor", """def follow(mean, new, decay):
    return [decay * old.mean() + (1 - decay) * now.mean() for old, now in zip(mean, new)]
""",
                "Each tensor became one number. Over what is the mean taken: over a tensor, or over time?"),
        Mistake("decay of both", """def follow(mean, new, decay):
    return [decay * (old + now) for old, now in zip(mean, new)]
""",
                "Both have the share `decay`. How much may come in of the new, so that the shares add up to 1?"),
    ],
)  # fmt: skip

# -- 11.3 guidance ----------------------------------------------------------------------------------------------------------


def as_asked(out: Tensor, case: tuple) -> bool | str:
    """Weight 1 is the conditional guess itself."""
    with_, _, weight = case
    return (
        weight != 1
        or torch.allclose(out, with_, atol=1e-4)
        or "At weight 1 it should be the guess that knows the wish, unchanged."
    )


guided = lambda rule: lambda with_, without, weight: rule(with_, without, weight)
guidance = Exercise(
    "11.3",
    goal="more of what was asked for",
    minutes=6,
    cases=[
        (torch.tensor([1.0]), torch.tensor([0.0]), 3.0),
        (torch.tensor([2.0, 0.0]), torch.tensor([1.0, 1.0]), 1.0),
        (noise(2, 3), noise(2, 3, seed=1), 0.0),
        (noise(2, 1, 4, 4, seed=2), noise(2, 1, 4, 4, seed=3), 2.5),
    ],
    starter='''def guide(with_, without, weight):
    """From the guess that knows no wish through the one that does, and on: weight 0 is `without`, 1 is `with_`, 2
    twice as far.

    with_, without: tensors of one shape   weight: a number   ->   a tensor of that shape
    """
    ...
''',
    solution='''def guide(with_, without, weight):
    """From the guess that knows no wish through the one that does, and on: weight 0 is `without`, 1 is `with_`, 2
    twice as far.

    with_, without: tensors of one shape   weight: a number   ->   a tensor of that shape
    """
    return without + weight * (with_ - without)
''',
    other_solutions=[
        lambda with_, without, weight: weight * with_ + (1 - weight) * without,
        lambda with_, without, weight: torch.lerp(without, with_, weight),
        "def guide(with_, without, weight):\n    wish = with_ - without\n    return with_ + (weight - 1) * wish\n",
    ],
    hints=[
        "The difference of the two guesses is what the wish changes. What does it take to double it?",
        "A point on the line through both: begin at one, add a multiple of the way to the other.",
        "`without + weight * (with_ - without)`.",
    ],
    explanation="The difference of the guesses is the wish, in pixels. The weight says how much of it to take: none, all, or more than there "
    "is, a caricature.",
    properties=[Property("weight 1 is something else", as_asked, "What should weight 1 give?")],
    mistakes=[
        Mistake("from the wrong end", guided(lambda w, o, k: w + k * (w - o)),
                "Weight 0 gives `with_` here, and 1 goes beyond it. (Some papers count so.) Where should 0 be?"),
        Mistake("away from the wish", guided(lambda w, o, k: o + k * (o - w)),
                "It goes away from what was asked. Which guess minus which is the wish?"),
        Mistake("the two swapped", guided(lambda w, o, k: w + k * (o - w)),
                "Weight 1 gives the guess without the wish. Which of the two is the starting point?"),
        Mistake("the wish alone", guided(lambda w, o, k: k * (w - o)),
                "That is the wish without a picture. To what should it be added?"),
        Mistake("only louder", guided(lambda w, o, k: k * w),
                "It makes the whole guess larger, background and all. What is different between the two guesses?"),
        Mistake("added up", guided(lambda w, o, k: o + k * w),
                "The shares add up to 1 + weight, so it gets brighter and brighter. What should they add up to?"),
        Mistake("the weight forgotten", guided(lambda w, o, k: w), "That is weight 1, whatever was asked for. Where does `weight` come in?"),
        Mistake("the mean of both", guided(lambda w, o, k: (w + o) / 2), "The weight makes no difference. Where does it come in?"),
        Mistake("counted from one", guided(lambda w, o, k: o + (k - 1) * (w - o)), "Weight 1 gives the guess without the wish here. Which weight should do that?"),
        Mistake("the wish unheard", guided(lambda w, o, k: o), "It is the guess that knows no wish, whatever the weight. Which way leads to the other one?"),
        Mistake("one whole taken off", guided(lambda w, o, k: k * w - o), "`without` is taken off once, whatever the weight. By how much does `weight` exceed 1, and how much of `without` should go?"),
        Mistake("never beyond", guided(lambda w, o, k: (k * w + o) / (k + 1)), "However large the weight, it stays between the two guesses. What takes it past `with_`?"),
        Mistake("squared", guided(lambda w, o, k: o + k * k * (w - o)), "The weight counts twice over: with 3 it goes nine times as far. How far should it?"),
        Mistake("less of the other", """def guide(with_, without, weight):
    return with_ - weight * without
""",
                "`with_` counts once and `without` is taken off `weight` times. At weight 1, what is left of a "
                "picture?"),
        Mistake("more of the other", """def guide(with_, without, weight):
    return with_ + (weight - 1) * without
""",
                "`without` is added, not the wish. Which difference leads past `with_`?"),
        Mistake("kept in the range", """def guide(with_, without, weight):
    return (without + weight * (with_ - without)).clamp(-1, 1)
""",
                "The result is cut to -1 and 1. That is done later, if at all; what does the docstring ask for?"),
        Mistake("written into without", """def guide(with_, without, weight):
    without += weight * (with_ - without)
    return without
""",
                "`+=` writes into the guess that was handed in. Which operator makes a new tensor?"),
    ],
)  # fmt: skip

# -- 11.4 fresh noise, no louder --------------------------------------------------------------------------------------------


def stays(out: Tensor, case: tuple) -> bool | str:
    """Going nowhere, with no fresh noise, changes nothing."""
    x_t, _, a, b, c, d, spread, _ = case
    if (a, b) != (c, d) or spread:
        return True
    worst = (out - x_t).abs().max().item()
    return (
        worst < 1e-4
        or f"From a time to the same time, with no fresh noise, nothing should move; but x moves by {worst:.2g}."
    )


def as_loud(out: Tensor, case: tuple) -> bool | str:
    """Without a picture, and where old and fresh noise lie at right angles, what comes out has length d."""
    x_t, x_0, _, _, _, d, _, fresh = case
    if x_0.abs().max() > 0 or len(x_t) != 2 or (x_t * fresh).sum() != 0:
        return True
    loud = out.norm().item()
    return abs(loud - d) < 1e-4 or f"The noise should have strength {d:.3g} now; it has {loud:.3g}."


def step_like(rule):
    return lambda x_t, x_0, a, b, c, d, spread, fresh: rule(x_t, x_0, (x_t - a * x_0) / b, a, b, c, d, spread, fresh)


rest = lambda d, spread: math.sqrt(max(0.0, d * d - spread * spread))
fresh_step = Exercise(
    "11.4",
    goal="fresh noise, and no louder for it",
    minutes=12,
    difficulty=3,
    cases=[
        (torch.tensor([0.9, 0.0]), torch.tensor([0.0, 0.0]), 0.1, 0.9, 0.5, 0.5, 0.3, torch.tensor([0.0, 1.0])),
        (torch.tensor([2.0]), torch.tensor([1.0]), 0.6, 0.8, 0.8, 0.6, 0.0, torch.tensor([5.0])),
        (torch.tensor([1.0, -1.0]), torch.tensor([0.5, 0.5]), 0.0, 1.0, 0.5, 0.5, 0.5, torch.tensor([1.0, 2.0])),
        (noise(2, 3, seed=2), noise(2, 3, seed=3), 0.6, 0.8, 0.6, 0.8, 0.0, noise(2, 3, seed=6)),
        (noise(2, 3), noise(2, 3, seed=1), 0.3, 0.7, 1.0, 0.0, 0.0, noise(2, 3, seed=7)),
        (noise(2, 1, 4, 4, seed=4), noise(2, 1, 4, 4, seed=5), 0.1, 0.9, 0.25, 0.75, 0.45, noise(2, 1, 4, 4, seed=8)),
    ],
    starter='''def step(x_t, x_0, a, b, c, d, spread, fresh):
    """From x_t = a picture + b noise to c picture + d noise, when the picture is guessed to be x_0. Of the noise,
    `spread` is fresh.

    x_t, x_0, fresh: tensors of one shape   a, b, c, d, spread: numbers, b above 0, spread at most d
    ->   a tensor of that shape
    """
    ...
''',
    solution='''def step(x_t, x_0, a, b, c, d, spread, fresh):
    """From x_t = a picture + b noise to c picture + d noise, when the picture is guessed to be x_0. Of the noise,
    `spread` is fresh.

    x_t, x_0, fresh: tensors of one shape   a, b, c, d, spread: numbers, b above 0, spread at most d
    ->   a tensor of that shape
    """
    noise = (x_t - a * x_0) / b  # if this is the picture, that must be the noise
    return c * x_0 + math.sqrt(d**2 - spread**2) * noise + spread * fresh
''',
    other_solutions=[
        step_like(lambda x_t, x_0, e, a, b, c, d, s, f: c * x_0 + rest(d, s) * e + s * f),
        "def step(x_t, x_0, a, b, c, d, spread, fresh):\n    old = math.sqrt((d - spread) * (d + spread)) / b\n    return old * x_t + (c - old * a) * x_0 + spread * fresh\n",
    ],
    hints=[
        "You know x_t, and somebody tells you the picture in it. Which noise was mixed in? Lesson 10's step put it back at strength d.",
        "Two noises of strength p and q, independent of each other, make one of √(p² + q²). It should be d, and q is `spread`.",
        "`noise = (x_t - a * x_0) / b`, and it comes back with strength `math.sqrt(d**2 - spread**2)`.",
    ],
    explanation="Variances add up, strengths do not. With spread 0 this is DDIM: the way is fixed by where it begins. With as much as the rule "
    "leaves open it is DDPM. One dial, two papers.",
    properties=[
        Property("moves while time stands", stays, "If (c, d) is (a, b) and nothing is fresh, what should come out?"),
        Property("not as loud as it should be", as_loud, "How strong are two independent noises together?"),
    ],
    mistakes=[
        Mistake("fresh noise on top", step_like(lambda x_t, x_0, e, a, b, c, d, s, f: c * x_0 + d * e + s * f),
                "The guessed noise comes back whole, and fresh noise on top: it gets louder than the rule says. What must make room?"),
        Mistake("strengths subtracted", step_like(lambda x_t, x_0, e, a, b, c, d, s, f: c * x_0 + (d - s) * e + s * f),
                "d - spread and spread add up to d. But the two noises are independent: what of them adds up?"),
        Mistake("the two noises swapped", step_like(lambda x_t, x_0, e, a, b, c, d, s, f: c * x_0 + s * e + rest(d, s) * f),
                "The guessed noise has the strength that the fresh one should have. Which of the two is `spread` about?"),
        Mistake("spread as a share", step_like(lambda x_t, x_0, e, a, b, c, d, s, f: c * x_0 + d * math.sqrt(1 - s * s) * e + d * s * f),
                "It takes spread for a share of d. It is the strength of the fresh noise itself: what is left for the other?"),
        Mistake("as if all noise were one", step_like(lambda x_t, x_0, e, a, b, c, d, s, f: c * x_0 + math.sqrt(1 - s * s) * e + s * f),
                "It leaves √(1 - spread²) to the guessed noise, as if all the noise had strength 1. How strong should all of it be now?"),
        Mistake("added, not taken off", step_like(lambda x_t, x_0, e, a, b, c, d, s, f: c * x_0 + math.sqrt(d * d + s * s) * e + s * f),
                "The guessed noise gets stronger where the fresh one comes in. What should it do to make room?"),
        Mistake("the picture left out", step_like(lambda x_t, x_0, e, a, b, c, d, s, f: rest(d, s) * e + s * f),
                "The noise is right, but there is no picture in it. How much of x_0 is wanted?"),
        Mistake("a and c swapped", lambda x_t, x_0, a, b, c, d, s, f: a * x_0 + rest(d, s) * (x_t - c * x_0) / b + s * f,
                "It takes c of the picture out of x_t and puts a back. Which share of it is in x_t now?"),
        Mistake("fresh noise taken away", step_like(lambda x_t, x_0, e, a, b, c, d, s, f: c * x_0 + rest(d, s) * e - s * f),
                "The fresh noise comes in with a minus. Chance would not mind, but it cannot be compared then: which sign is plain?"),
        Mistake("no dice", step_like(lambda x_t, x_0, e, a, b, c, d, s, f: c * x_0 + d * e),
                "That is DDIM, whatever `spread` says. Where does `fresh` come in?"),
        Mistake("nothing but dice", step_like(lambda x_t, x_0, e, a, b, c, d, s, f: c * x_0 + d * f),
                "All of the noise is fresh, and what x_t knew besides the guess is lost. How much of it should be?"),
        Mistake("old noise dropped", step_like(lambda x_t, x_0, e, a, b, c, d, s, f: c * x_0 + s * f),
                "The fresh noise is there, the guessed noise is not. With spread 0, where would all the noise have gone?"),
        Mistake("no root", step_like(lambda x_t, x_0, e, a, b, c, d, s, f: c * x_0 + (d * d - s * s) * e + s * f),
                "d² - spread² is a variance. What is its strength?"),
        Mistake("fresh noise squared", step_like(lambda x_t, x_0, e, a, b, c, d, s, f: c * x_0 + rest(d, s) * e + s * s * f),
                "The fresh noise comes in with spread². Its strength was to be spread: what is squared, and what not?"),
        Mistake("fresh noise at full strength", step_like(lambda x_t, x_0, e, a, b, c, d, s, f: c * x_0 + rest(d, s) * e + f),
                "The fresh noise comes in whole. How strong should it be?"),
        Mistake("a circle", step_like(lambda x_t, x_0, e, a, b, c, d, s, f: c * x_0 + math.sqrt(max(0.0, 1 - c * c - s * s)) * e + s * f),
                "It takes √(1 - c²) for the noise's share. That holds on the circle. Which number says how much noise is wanted?"),
        Mistake("x_t for noise", step_like(lambda x_t, x_0, e, a, b, c, d, s, f: c * x_0 + rest(d, s) * x_t + s * f),
                "It mixes x_t in as if it were pure noise, but there is a picture in it. What is left when a x_0 is taken out?"),
        Mistake("not divided", step_like(lambda x_t, x_0, e, a, b, c, d, s, f: c * x_0 + rest(d, s) * (x_t - a * x_0) + s * f),
                "x_t - a x_0 is b times the noise. What brings it to full strength?"),
        Mistake("the picture not weighed", step_like(lambda x_t, x_0, e, a, b, c, d, s, f: c * x_0 + rest(d, s) * (x_t - x_0) / b + s * f),
                "The whole picture is taken out of x_t, but only a of it is in there. What is x_t made of?"),
        Mistake("the picture at full strength", step_like(lambda x_t, x_0, e, a, b, c, d, s, f: x_0 + rest(d, s) * e + s * f),
                "The noise has its share, the picture has not. How much of the picture is there at the next time?"),
        Mistake("noise taken away", step_like(lambda x_t, x_0, e, a, b, c, d, s, f: c * x_0 - rest(d, s) * e + s * f),
                "The guessed noise comes in with the wrong sign: from a time to the same time it should give x_t. Does it?"),
        Mistake("the old shares", step_like(lambda x_t, x_0, e, a, b, c, d, s, f: a * x_0 + rest(b, s) * e + s * f),
                "It mixes them as they were. Which shares does the next time have?"),
        Mistake("the old noise by the new share", """def step(x_t, x_0, a, b, c, d, spread, fresh):
    noise = (x_t - a * x_0) / b
    return a * x_0 + math.sqrt(d**2 - spread**2) * noise + spread * fresh
""",
                "The noise is that of the next time, the picture as faint as before. How much of the picture is "
                "there?"),
        Mistake("roots of strengths", """def step(x_t, x_0, a, b, c, d, spread, fresh):
    noise = (x_t - a * x_0) / b
    return c * x_0 + math.sqrt(d - spread) * noise + math.sqrt(spread) * fresh
""",
                "Roots were taken of strengths. Of what must a root be taken, after what is squared?"),
        Mistake("spread as a share of d", """def step(x_t, x_0, a, b, c, d, spread, fresh):
    noise = (x_t - a * x_0) / b
    return c * x_0 + math.sqrt(d**2 - spread**2) * noise + spread * d * fresh
""",
                "The fresh noise has strength spread · d. How strong should it be?"),
        Mistake("a unit's share", """def step(x_t, x_0, a, b, c, d, spread, fresh):
    noise = (x_t - a * x_0) / b
    return c * x_0 + d * math.sqrt(1 - spread**2) * noise + spread * fresh
""",
                "The old noise is weakened as if spread were a share of d, the fresh one is not. Which two squares "
                "add up to d²?"),
        Mistake("the old strength", """def step(x_t, x_0, a, b, c, d, spread, fresh):
    noise = (x_t - a * x_0) / b
    return c * x_0 + math.sqrt(b**2 - spread**2) * noise + spread * fresh
""",
                "It is as loud as before: b² - spread². How loud is the next time?"),
        Mistake("fresh noise forgotten", """def step(x_t, x_0, a, b, c, d, spread, fresh):
    noise = (x_t - a * x_0) / b
    return c * x_0 + math.sqrt(d**2 - spread**2) * noise
""",
                "Room was made for fresh noise, and none came. Where does `fresh` come in?"),
        Mistake("brackets left out", """def step(x_t, x_0, a, b, c, d, spread, fresh):
    noise = x_t - a * x_0 / b
    return c * x_0 + math.sqrt(d**2 - spread**2) * noise + spread * fresh
""",
                "Only the picture was divided by b. Where do brackets belong?"),
        Mistake("dice of its own", """def step(x_t, x_0, a, b, c, d, spread, fresh):
    noise = (x_t - a * x_0) / b
    return c * x_0 + math.sqrt(d**2 - spread**2) * noise + spread * torch.randn_like(x_0)
""",
                "It draws noise itself, and `fresh` is not used. Who decides about chance here?"),
        Mistake("one square forgotten", """def step(x_t, x_0, a, b, c, d, spread, fresh):
    noise = (x_t - a * x_0) / b
    return c * x_0 + math.sqrt(d**2 - spread) * noise + spread * fresh
""",
                "spread is taken from d² without its square, and may be more than there is. Which two squares add "
                "up?"),
        Mistake("torch's root of a number", """def step(x_t, x_0, a, b, c, d, spread, fresh):
    noise = (x_t - a * x_0) / b
    return c * x_0 + torch.sqrt(d**2 - spread**2) * noise + spread * fresh
""",
                "`torch.sqrt` wants a tensor, and d and spread are numbers. Which root takes those?"),
    ],
)  # fmt: skip

# -- 11.5 which blanks are filled now ---------------------------------------------------------------------------------------


def uncover_like(*, most=True, blanks_only=True, keep_rest=True, all_=False, extra=0, first=False):
    """The right answer, or one with a wrong belief."""

    def answer(ids, guess, sure, mask, n):
        at = ids == mask
        order = torch.arange(len(ids), 0, -1).float() if first else sure if most else -sure
        score = order.masked_fill(~at, -torch.inf) if blanks_only else order
        chosen = score.topk(min(n + extra, len(ids)) if not blanks_only else min(n + extra, int(at.sum()))).indices
        out = ids.clone() if keep_rest else torch.full_like(ids, mask)
        out[chosen] = guess[chosen]
        return torch.where(at, guess, ids) if all_ else out

    return answer


def givens_stay(out: Tensor, case: tuple) -> bool | str:
    ids, *_, mask, n = case
    known = ids != mask
    if out.shape != ids.shape:
        return True
    if not torch.equal(out[known], ids[known]):
        where = int((known & (out != ids)).nonzero()[0])
        return f"Place {where} held {int(ids[where])} already; now it holds {int(out[where])}."
    filled = int((ids == mask).sum() - (out == mask).sum())
    wanted = min(n, int((ids == mask).sum()))
    return filled == wanted or f"{wanted} of the blanks should be filled in this step; {filled} were."


row = torch.tensor
uncover = Exercise(
    "11.5",
    goal="which blanks are filled now",
    minutes=12,
    difficulty=2,
    cases=[
        (row([9, 9]), row([1, 2]), row([0.2, 0.7]), 9, 1),
        (row([3, 9, 9, 9]), row([5, 1, 2, 4]), row([0.9, 0.3, 0.8, 0.5]), 9, 2),
        (row([9, 9, 9]), row([1, 2, 3]), row([0.5, 0.1, 0.3]), 9, 5),
        (row([9, 4, 9, 9, 7, 9]), row([1, 8, 3, 2, 6, 5]), row([0.1, 0.95, 0.4, 0.35, 0.99, 0.6]), 9, 1),
        (row([9, 9, 9, 9, 9, 2]), row([0, 1, 2, 3, 4, 5]), row([0.31, 0.64, 0.22, 0.53, 0.45, 1.0]), 9, 3),
        (row([9, 4, 9]), row([1, 2, 3]), row([0.5, 0.9, 0.3]), 9, 5),
        (row([2, 4, 2]), row([1, 3, 5]), row([0.5, 0.9, 0.3]), 2, 5),
        (row([4, 9, 9]), row([1, 3, 5]), row([0.5, 0.2, 0.3]), 9, 5),
        (row([2, 5, 7, 2]), row([1, 3, 4, 8]), row([0.3, 0.6, 0.9, 0.8]), 2, 1),
    ],
    starter='''def uncover(ids, guess, sure, mask, n):
    """Fill the n blanks of which the model is surest; all else stays, and with fewer than n blanks all are filled.

    ids: (T,) tokens, `mask` where blank   guess: (T,) what the model would write   sure: (T,) how sure it is
    ->   (T,)
    """
    ...
''',
    solution='''def uncover(ids, guess, sure, mask, n):
    """Fill the n blanks of which the model is surest; all else stays, and with fewer than n blanks all are filled.

    ids: (T,) tokens, `mask` where blank   guess: (T,) what the model would write   sure: (T,) how sure it is
    ->   (T,)
    """
    blank = ids == mask
    chosen = sure.masked_fill(~blank, -math.inf).topk(min(n, int(blank.sum()))).indices
    out = ids.clone()
    out[chosen] = guess[chosen]
    return out
''',
    other_solutions=[
        uncover_like(),
        "def uncover(ids, guess, sure, mask, n):\n    out = ids.tolist()\n    places = sorted((i for i, t in enumerate(out) if t == mask), key=lambda i: -sure[i].item())\n"
        "    for i in places[:n]:\n        out[i] = int(guess[i])\n    return torch.tensor(out)\n",
        "def uncover(ids, guess, sure, mask, n):\n    rank = sure.masked_fill(ids != mask, -1.0).argsort(descending=True).argsort()\n"
        "    return torch.where((ids == mask) & (rank < n), guess, ids)\n",
    ],
    hints=[
        "The model has an opinion on every place, also on those that are written already. Which opinions count?",
        "Give the places that are no blanks a sureness below all others, then look for the n largest.",
        "`sure.masked_fill(ids != mask, -math.inf).topk(min(n, blanks)).indices`; put `guess` in there, in a copy of `ids`.",
    ],
    explanation="Only blanks compete, the surest first. What stands is never changed again: a slip made early stays. And those filled "
    "together did not see each other.",
    properties=[Property("more or less than asked", givens_stay, "Which places may change in this step, and how many?")],
    mistakes=[
        Mistake("what stands is written over", uncover_like(blanks_only=False),
                "It takes the surest places of all, and those are often written already. Which places may compete?"),
        Mistake("all at once", uncover_like(all_=True), "All blanks are filled in one step, though none of them has seen the others. How many should be?"),
        Mistake("the least sure first", uncover_like(most=False), "It begins where the model knows least. Which guesses are safe to keep?"),
        Mistake("from left to right", uncover_like(first=True), "It fills the first blanks, however sure the model is: that is a causal model's order. What does `sure` say?"),
        Mistake("one too many", uncover_like(extra=1), "One blank more than asked is filled. How many is n?"),
        Mistake("forgets what was there", uncover_like(keep_rest=False), "What stood there before is blank again. From what should the answer start?"),
        Mistake("one a step", lambda ids, guess, sure, mask, n: uncover_like()(ids, guess, sure, mask, 1), "One blank is filled, whatever n is. How many should be?"),
        Mistake("the guess everywhere", lambda ids, guess, sure, mask, n: guess.clone(), "Everything is the model's guess now, also what was given. What may it change?"),
        Mistake("the place for the letter", "def uncover(ids, guess, sure, mask, n):\n    chosen = sure.masked_fill(ids != mask, -math.inf).topk(min(n, int((ids == mask).sum()))).indices\n    out = ids.clone()\n    out[chosen] = chosen\n    return out\n",
                "The right blanks are filled, with the number of their place. What should stand there?"),
        Mistake("from right to left", lambda ids, guess, sure, mask, n: uncover_like()(ids, guess, torch.arange(len(ids)).float(), mask, n), "It fills the last blanks, however sure the model is. What does `sure` say?"),
        Mistake("a bar to clear", lambda ids, guess, sure, mask, n: torch.where((ids == mask) & (sure > 0.5), guess, ids), "It fills every blank of which the model is surer than a half, many or none. How many does n ask for?"),
        Mistake("changed in place", "def uncover(ids, guess, sure, mask, n):\n    blank = ids == mask\n    chosen = sure.masked_fill(~blank, -math.inf).topk(min(n, int(blank.sum()))).indices\n    ids[chosen] = guess[chosen]\n    return ids\n",
                "The text that was handed in is changed. What should be changed instead?"),
        Mistake("places among the blanks", """def uncover(ids, guess, sure, mask, n):
    blank = ids == mask
    chosen = sure[blank].topk(min(n, int(blank.sum()))).indices
    out = ids.clone()
    out[chosen] = guess[chosen]
    return out
""",
                "`sure[blank]` has only the blanks, so its places are no places of the text. How does one keep the "
                "places?"),
        Mistake("the first guesses", """def uncover(ids, guess, sure, mask, n):
    chosen = sure.masked_fill(ids != mask, -math.inf).topk(min(n, int((ids == mask).sum()))).indices
    out = ids.clone()
    out[chosen] = guess[: len(chosen)]
    return out
""",
                "The right blanks are filled with the guesses at the beginning of the text. Which guess belongs to a "
                "place?"),
        Mistake("what is written competes", """def uncover(ids, guess, sure, mask, n):
    chosen = sure.masked_fill(ids == mask, -math.inf).topk(min(n, int((ids == mask).sum()))).indices
    out = ids.clone()
    out[chosen] = guess[chosen]
    return out
""",
                "The blanks were shut out, and what stands there is written over. Which places may compete?"),
        Mistake("more than there are", """def uncover(ids, guess, sure, mask, n):
    chosen = sure.masked_fill(ids != mask, -math.inf).topk(n).indices
    out = ids.clone()
    out[chosen] = guess[chosen]
    return out
""",
                "`topk` cannot find more than there are. What if fewer than n are blank?"),
        Mistake("as many as there are places", """def uncover(ids, guess, sure, mask, n):
    chosen = sure.masked_fill(ids != mask, -math.inf).topk(min(n, len(ids))).indices
    out = ids.clone()
    out[chosen] = guess[chosen]
    return out
""",
                "With fewer than n blanks, places that are written already come last and are chosen, too. How many "
                "are blank?"),
        Mistake("n times the surest", """def uncover(ids, guess, sure, mask, n):
    out = ids.clone()
    for _ in range(n):
        at = int(sure.masked_fill(out != mask, -math.inf).argmax())
        out[at] = guess[at]
    return out
""",
                "Once no blank is left, `argmax` of nothing but minus infinity is place 0, which is written over. "
                "When should the loop stop?"),
        Mistake("the bar of the n-th", """def uncover(ids, guess, sure, mask, n):
    bar = sure.sort(descending=True).values[min(n, len(sure)) - 1]
    return torch.where((ids == mask) & (sure >= bar), guess, ids)
""",
                "The n surest of *all* places set the bar, written ones among them, so too few blanks are filled. "
                "Which places compete?"),
    ],
)  # fmt: skip
