"""Lesson 11: what a velocity says, an average of weights, guidance, one long step, and which blanks are filled now."""

import math

import torch
from torch import Tensor

from fmcourse.course.exercises import Exercise, Mistake, Property

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
        Mistake("the old leaks away", blend(lambda d: d, lambda d: 0.0), "The new weights never come in, and the mean shrinks to nothing. What fills up the rest?"),
        Mistake("the old is kept whole", blend(lambda d: 1.0, lambda d: 1 - d), "All of the old mean stays and some of the new is added. What should the two shares add up to?"),
        Mistake("changed in place", lambda mean, new, decay: [a.mul_(decay).add_(b, alpha=1 - decay) for a, b in zip(mean, new, strict=True)],
                "The numbers are right, but the tensors that were handed in are changed. Which operations make new ones?"),
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
    """From the guess that knows no wish through the one that does, and on: weight 0 is `without`, 1 is `with_`, 2 twice as far.

    with_, without: tensors of one shape   weight: a number   ->   a tensor of that shape
    """
    ...
''',
    solution='''def guide(with_, without, weight):
    """From the guess that knows no wish through the one that does, and on: weight 0 is `without`, 1 is `with_`, 2 twice as far.

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
        Mistake("the weight forgotten", guided(lambda w, o, k: w + 0 * k), "That is weight 1, whatever was asked for. Where does `weight` come in?"),
        Mistake("the mean of both", guided(lambda w, o, k: (w + o) / 2 + 0 * k), "The weight makes no difference. Where does it come in?"),
    ],
)  # fmt: skip

# -- 11.4 one long step -----------------------------------------------------------------------------------------------------


def stays(out: Tensor, case: tuple) -> bool | str:
    """Going nowhere changes nothing."""
    x_t, _, a, b, c, d = case
    if (a, b) != (c, d):
        return True
    worst = (out - x_t).abs().max().item()
    return worst < 1e-4 or f"From a time to the same time nothing should move, but x moves by {worst:.2g}."


def step_like(rule):
    return lambda x_t, x_0, a, b, c, d: rule(x_t, x_0, (x_t - a * x_0) / b, a, b, c, d)


long_step = Exercise(
    "11.4",
    goal="one long step",
    minutes=12,
    difficulty=2,
    cases=[
        (torch.tensor([2.0]), torch.tensor([1.0]), 0.6, 0.8, 0.8, 0.6),
        (torch.tensor([1.0, -1.0]), torch.tensor([0.5, 0.5]), 0.0, 1.0, 0.5, 0.5),
        (noise(2, 3), noise(2, 3, seed=1), 0.3, 0.7, 1.0, 0.0),
        (noise(2, 3, seed=2), noise(2, 3, seed=3), 0.6, 0.8, 0.6, 0.8),
        (noise(2, 1, 4, 4, seed=4), noise(2, 1, 4, 4, seed=5), 0.1, 0.9, 0.25, 0.75),
    ],
    starter='''def ddim_step(x_t, x_0, a, b, c, d):
    """From x_t = a picture + b noise to less noise, c picture + d noise, believing the guess x_0 and drawing no new noise.

    x_t, x_0: tensors of one shape   a, b, c, d: numbers, b above 0   ->   a tensor of that shape
    """
    ...
''',
    solution='''def ddim_step(x_t, x_0, a, b, c, d):
    """From x_t = a picture + b noise to less noise, c picture + d noise, believing the guess x_0 and drawing no new noise.

    x_t, x_0: tensors of one shape   a, b, c, d: numbers, b above 0   ->   a tensor of that shape
    """
    noise = (x_t - a * x_0) / b  # if this is the picture, that must be the noise
    return c * x_0 + d * noise   # the same two, mixed anew
''',
    other_solutions=[
        lambda x_t, x_0, a, b, c, d: d / b * x_t + (c - a * d / b) * x_0,
        "def ddim_step(x_t, x_0, a, b, c, d):\n    left = d / b\n    return left * x_t + (c - left * a) * x_0\n",
    ],
    hints=[
        "You know x_t, and somebody tells you the picture in it. What else was mixed in?",
        "Solve x_t = a x_0 + b noise for the noise. Then mix the same picture and the same noise in other shares.",
        "`noise = (x_t - a * x_0) / b`, then `c * x_0 + d * noise`.",
    ],
    explanation="A guess at the picture is a guess at the noise too, for the two make up x_t. DDIM mixes them again as the earlier time wants it. "
    "No fresh noise: the way is fixed by where it begins, and steps may be long.",
    properties=[Property("moves while time stands", stays, "If (c, d) is (a, b), what should come out?")],
    mistakes=[
        Mistake("the picture taken for certain", lambda x_t, x_0, a, b, c, d: c * x_0 + 0 * x_t,
                "The noise is thrown away at once. How much of it should still be there at the next time?"),
        Mistake("x_t for noise", lambda x_t, x_0, a, b, c, d: c * x_0 + d * x_t,
                "It mixes x_t in as if it were pure noise, but there is a picture in it. What is left when a x_0 is taken out?"),
        Mistake("not divided", step_like(lambda x_t, x_0, e, a, b, c, d: c * x_0 + d * (x_t - a * x_0)),
                "x_t - a x_0 is b times the noise. What brings it to full strength?"),
        Mistake("the picture not weighed", step_like(lambda x_t, x_0, e, a, b, c, d: c * x_0 + d * (x_t - x_0) / b),
                "The whole picture is taken out of x_t, but only a of it is in there. What is x_t made of?"),
        Mistake("c and d swapped", step_like(lambda x_t, x_0, e, a, b, c, d: d * x_0 + c * e),
                "At the end c is 1 and d is 0, and the picture should come out. What comes out here?"),
        Mistake("the old shares", step_like(lambda x_t, x_0, e, a, b, c, d: a * x_0 + b * e),
                "It mixes them as they were, and nothing moves. Which shares does the next time have?"),
        Mistake("a straight line", step_like(lambda x_t, x_0, e, a, b, c, d: x_t + (d - b) * (x_t - x_0) / b),
                "That is right where a = 1 - b, on the straight line of flow. Here the shares may be any: what is the noise in x_t?"),
        Mistake("back to noise", step_like(lambda x_t, x_0, e, a, b, c, d: c * x_t + d * e),
                "It adds noise to x_t: that is the way forward. What should the noise be mixed with?"),
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
    return filled == wanted or f"{wanted} blanks should be filled in this step; {filled} were."


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
    ],
    starter='''def uncover(ids, guess, sure, mask, n):
    """Fill the n blanks of which the model is surest; all else stays, and with fewer than n blanks all are filled.

    ids: (T,) tokens, `mask` where blank   guess: (T,) what the model would write   sure: (T,) how sure it is   ->   (T,)
    """
    ...
''',
    solution='''def uncover(ids, guess, sure, mask, n):
    """Fill the n blanks of which the model is surest; all else stays, and with fewer than n blanks all are filled.

    ids: (T,) tokens, `mask` where blank   guess: (T,) what the model would write   sure: (T,) how sure it is   ->   (T,)
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
        Mistake("changed in place", "def uncover(ids, guess, sure, mask, n):\n    blank = ids == mask\n    chosen = sure.masked_fill(~blank, -math.inf).topk(min(n, int(blank.sum()))).indices\n    ids[chosen] = guess[chosen]\n    return ids\n",
                "The text that was handed in is changed. What should be changed instead?"),
    ],
)  # fmt: skip
