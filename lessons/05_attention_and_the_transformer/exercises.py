"""Lesson 05: what a Transformer is made of: attention, heads, positions, the schedule of 2017, a step of beam search."""

import math

import torch
from fmcourse.course.exercise import Exercise, Mistake, Property
from torch import Tensor
from torch.nn import functional as F

noise = lambda *shape, seed=0: torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
listed = lambda row: "[" + ", ".join(f"{value:.3g}" for value in row.tolist()) + "]"

# -- 05.1 attention -------------------------------------------------------------------------------------------------------


def one_shape(out: Tensor, case: tuple) -> bool | str:
    """One answer for each query, as wide as a value."""
    q, _, v = case
    wanted = (*q.shape[:-1], v.shape[-1])
    return (
        tuple(out.shape) == wanted
        or f"{q.shape[-2]} queries and values {v.shape[-1]} wide: {wanted} wanted, got {tuple(out.shape)}."
    )


def an_average(out: Tensor, case: tuple) -> bool | str:
    """Weights that add up to 1 never leave the range of the values."""
    v = case[2]
    if tuple(out.shape) != (*case[0].shape[:-1], v.shape[-1]):
        return True
    high, low = out.amax(-2) - v.amax(-2), v.amin(-2) - out.amin(-2)
    worst = torch.maximum(high, low).max().item()
    return (
        worst < 1e-4 or f"An average lies between the values that it is made of; here one lies outside, by {worst:.3g}."
    )


score = lambda q, k: q @ k.mT / q.shape[-1] ** 0.5
attention = Exercise(
    "05.1",
    goal="the formula of 2017",
    minutes=8,
    difficulty=2,
    cases=[
        (noise(1, 2), noise(2, 2, seed=1), torch.tensor([[1.0], [3.0]])),
        (2 * noise(3, 4), noise(5, 4, seed=1), noise(5, 2, seed=2)),
        (noise(4, 9, seed=3), noise(4, 9, seed=4), noise(4, 9, seed=5)),
        (noise(2, 3, 5, 8, seed=6), noise(2, 3, 7, 8, seed=7), noise(2, 3, 7, 8, seed=8).requires_grad_()),
    ],
    starter='''def attend(q, k, v):
    """softmax(q kᵀ / √K) v: each query gets an average of the values, weighted by how well it meets their keys.

    q: (..., T, K)   k: (..., S, K)   v: (..., S, any width)   ->   (..., T, any width)
    """
    ...
''',
    solution='''def attend(q, k, v):
    """softmax(q kᵀ / √K) v: each query gets an average of the values, weighted by how well it meets their keys.

    q: (..., T, K)   k: (..., S, K)   v: (..., S, any width)   ->   (..., T, any width)
    """
    scores = q @ k.mT / q.shape[-1] ** 0.5  # (..., T, S): how well query t meets key s
    return scores.softmax(-1) @ v           # each row of weights adds up to 1
''',
    other_solutions=[
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v),
        lambda q, k, v: torch.einsum("...ts,...sd->...td", (torch.einsum("...tk,...sk->...ts", q, k) * k.size(-1) ** -0.5).softmax(-1), v),
        "def attend(q, k, v):\n    w = (q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))).exp()\n"
        "    return w / w.sum(-1, keepdim=True) @ v\n",
    ],
    hints=[
        "Three steps: a score for each query with each key; scores into weights that add up to 1; the values, averaged by their weights.",
        "A score is a dot product, so all of them together are one matrix product, (T, K) times (K, S). Which axis belongs to the keys?",
        "`q @ k.mT` is (..., T, S). Divide by the root of `q.shape[-1]`, `.softmax(-1)`, `@ v`.",
    ],
    explanation="`q @ k.mT` holds all scores, a row for each query. Divided by √K they stay of size 1, however wide the head is. Softmax "
    "along a row makes weights of them, and the product with `v` takes that share of each value.",
    properties=[
        Property("another shape", one_shape, "Which axis is summed away in each of the two products?"),
        Property("not an average", an_average, "Do the weights of one query add up to 1?"),
    ],
    mistakes=[
        Mistake("no division", lambda q, k, v: (q @ k.mT).softmax(-1) @ v,
                "The weights are too sure of themselves: a score adds up K products. By what should it be divided?"),
        Mistake("divided by K", lambda q, k, v: (q @ k.mT / q.shape[-1]).softmax(-1) @ v,
                "The weights are too even: K products of size 1 add up to about √K, not K. Is a root missing?"),
        Mistake("divided by the number of keys", lambda q, k, v: (q @ k.mT / k.shape[-2] ** 0.5).softmax(-1) @ v,
                "It divides by √S. But a longer text does not make a score larger: what does a score add up?"),
        Mistake("divided after softmax", lambda q, k, v: (q @ k.mT).softmax(-1) / q.shape[-1] ** 0.5 @ v,
                "The weights of a query add up to 1/√K. Does the division belong to the scores or to the weights?"),
        Mistake("softmax down the columns", lambda q, k, v: score(q, k).softmax(-2) @ v,
                "Here each *key* weights itself out among the queries. Whose weights must add up to 1?"),
        Mistake("no softmax", lambda q, k, v: score(q, k) @ v,
                "Scores can be negative and add up to anything. What makes weights of them?"),
        Mistake("keys for values", lambda q, k, v: score(q, k).softmax(-1) @ k,
                "It averages the keys. What does a position hand on once it is found?"),
        Mistake("the weights are the answer", lambda q, k, v: score(q, k).softmax(-1),
                "These are the weights, (T, S). What is to be averaged with them?"),
        Mistake("the keys ask", lambda q, k, v: score(k, q).softmax(-1) @ v if q.shape[-2] == k.shape[-2] else score(k, q).mT.softmax(-1) @ v,
                "Each key attends to the queries. Which of the two attends to the other?"),
        Mistake("the best alone", lambda q, k, v: F.one_hot(score(q, k).argmax(-1), k.shape[-2]).to(v.dtype) @ v,
                "Each query takes its best key and nothing else: no gradient says which other key would have been better. What is a soft maximum?"),
        Mistake("causal all the same", """def attend(q, k, v):
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)
""",
                "Later keys are hidden. Does the formula of the docstring hide any key?"),
        Mistake("divided by the first size", """def attend(q, k, v):
    return (q @ k.mT / len(q) ** 0.5).softmax(-1) @ v
""",
                "`len(q)` is the size of the first axis, queries or batches. A score is a sum of how many products?"),
        Mistake("divided by the second size", """def attend(q, k, v):
    return (q @ k.mT / q.shape[1] ** 0.5).softmax(-1) @ v
""",
                "`q.shape[1]` is K only where q has two axes. On which axis, counted from the end, does K lie?"),
        Mistake("divided by the width of the values", """def attend(q, k, v):
    return (q @ k.mT / v.shape[-1] ** 0.5).softmax(-1) @ v
""",
                "It divides by the root of the values' width. A score is made of queries and keys: what do these add "
                "up?"),
        Mistake("multiplied by √K", """def attend(q, k, v):
    return (q @ k.mT * q.shape[-1] ** 0.5).softmax(-1) @ v
""",
                "The scores have become larger still. Was √K not to keep them small?"),
        Mistake("cosines for products", """def attend(q, k, v):
    return (F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).mT).softmax(-1) @ v
""",
                "Queries and keys were made of length 1. Some models do that; what does the formula divide by "
                "instead?"),
        Mistake("T turns everything", """def attend(q, k, v):
    return (q @ k.T / q.shape[-1] ** 0.5).softmax(-1) @ v
""",
                "With heads and batches in front, `.T` turns *all* axes. Which two should be swapped?"),
        Mistake("softmax along the second axis", """def attend(q, k, v):
    return (q @ k.mT / q.shape[-1] ** 0.5).softmax(1) @ v
""",
                "`softmax(1)` is along the keys only where there are two axes. Which axis, counted from the end, "
                "holds the keys?"),
        Mistake("softmax along the first axis", """def attend(q, k, v):
    return (q @ k.mT / q.shape[-1] ** 0.5).softmax(0) @ v
""",
                "It weights out along the first axis, among queries or texts. Along which axis do the keys lie?"),
        Mistake("no exponential", """def attend(q, k, v):
    scores = q @ k.mT / q.shape[-1] ** 0.5
    return scores / scores.sum(-1, keepdim=True) @ v
""",
                "Scores divided by their sum may be negative, or without bounds. What does softmax do to a score "
                "first?"),
        Mistake("exponentials that do not add up", """def attend(q, k, v):
    return (q @ k.mT / q.shape[-1] ** 0.5).exp() @ v
""",
                "The exponentials are there, but those of a query do not add up to 1. By what is each divided?"),
        Mistake("logarithms of weights", """def attend(q, k, v):
    return (q @ k.mT / q.shape[-1] ** 0.5).log_softmax(-1) @ v
""",
                "These are logarithms of weights, all below zero. What is the average weighted by?"),
        Mistake("one sum for all queries", """def attend(q, k, v):
    weights = (q @ k.mT / q.shape[-1] ** 0.5).exp()
    return weights / weights.sum() @ v
""",
                "`sum()` without an axis adds up the weights of all queries. Whose weights must add up to 1?"),
        Mistake("a sum that has lost its axis", """def attend(q, k, v):
    weights = (q @ k.mT / q.shape[-1] ** 0.5).exp()
    return weights / weights.sum(-1) @ v
""",
                "`sum(-1)` is (..., T) and stands beside the keys, not the queries. What keeps the axis, so that "
                "each row is divided by its own?"),
    ],
)  # fmt: skip

# -- 05.2 heads -----------------------------------------------------------------------------------------------------------


def rows_stay(out: Tensor, case: tuple) -> bool | str:
    """What position 0 holds must all come from position 0."""
    x, heads = case
    B, T, D = x.shape
    if tuple(out.shape) != (B, heads, T, D // heads) or T == 1 or heads == 1:
        return True
    foreign = ~torch.isin(out[0, :, 0], x[0, 0])
    where = foreign.nonzero()
    return not len(where) or f"Position 0 of head {where[0, 0]} holds a number that stood at another position before."


numbered = lambda B, T, D: torch.arange(B * T * D, dtype=torch.float32).view(B, T, D)
heads = Exercise(
    "05.2",
    goal="cut a state into heads",
    minutes=6,
    difficulty=2,
    cases=[(numbered(1, 2, 4), 2), (numbered(1, 1, 6), 3), (numbered(2, 3, 8), 2), (noise(2, 5, 12).requires_grad_(), 4), (numbered(1, 3, 3), 1)],
    starter='''def split_heads(x, heads):
    """Cut the width of each position into `heads` equal parts, one after another:
    (B, T, D) -> (B, heads, T, D / heads)."""
    ...
''',
    solution='''def split_heads(x, heads):
    """Cut the width of each position into `heads` equal parts, one after another:
    (B, T, D) -> (B, heads, T, D / heads)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)  # cut, (B, T, heads, K), then bring the heads forward
''',
    other_solutions=[
        lambda x, heads: torch.stack(x.chunk(heads, -1), 1),
        lambda x, heads: x.view(*x.shape[:2], heads, x.shape[-1] // heads).permute(0, 2, 1, 3),
        "def split_heads(x, heads):\n    B, T, D = x.shape\n    K = D // heads\n"
        "    return torch.cat([x[:, None, :, h * K : (h + 1) * K] for h in range(heads)], 1)\n",
    ],
    hints=[
        "Take one position with the numbers 0 to 5 and three heads. Which two numbers does each head get?",
        "Two steps: cut the last axis in two axes, then swap axes so that heads stand before positions. Cutting alone moves nothing.",
        "`x.unflatten(-1, (heads, -1))` is (B, T, heads, K). Then `.transpose(1, 2)`.",
    ],
    explanation="`unflatten` (or `view`) cuts the last axis where it stands, so each position keeps its own numbers; only then are heads and "
    "positions swapped. A `view` straight to the wanted shape has the right shape and the wrong numbers.",
    properties=[Property("positions are mixed", rows_stay, "`view` reads numbers in the order they lie in. May it move an axis?")],
    mistakes=[
        Mistake("positions are mixed", lambda x, heads: x.reshape(x.shape[0], heads, x.shape[1], -1),
                "The shape is right, but `view` only counts off numbers: a head got parts of several positions. Which step moves an axis?"),
        Mistake("heads behind positions", lambda x, heads: x.unflatten(-1, (heads, -1)),
                "It is (B, T, heads, K): the cut is right. Which two axes must change places, so that each head has all positions?"),
        Mistake("every other number", lambda x, heads: x.unflatten(-1, (-1, heads)).permute(0, 3, 1, 2),
                "Head 0 got every `heads`-th number, not a piece. Which comes first in the cut, the head or its width?"),
        Mistake("heads and width swapped", lambda x, heads: x.unflatten(-1, (heads, -1)).permute(0, 3, 1, 2),
                "The second axis counts the numbers of a head. Which axis should count heads?"),
        Mistake("a list of pieces", lambda x, heads: list(x.chunk(heads, -1)),
                "The pieces are right, but they lie in a list. How do they become one tensor with an axis of heads?"),
        Mistake("side by side in the batch", lambda x, heads: torch.cat(x.chunk(heads, -1), 0),
                "The heads were hung on to the batch. Where should their own axis be?"),
        Mistake("positions and width swapped first", """def split_heads(x, heads):
    B, T, D = x.shape
    return x.transpose(1, 2).reshape(B, heads, T, D // heads)
""",
                "The whole width was brought before the positions, and then `reshape` counted off the numbers anew. "
                "Which axis is to be cut before anything moves?"),
        Mistake("cut by the size", """def split_heads(x, heads):
    return torch.stack(x.split(heads, dim=-1), 1)
""",
                "`split` takes the *size* of a piece, `chunk` their number. How wide is a head?"),
        Mistake("heads in front of all", """def split_heads(x, heads):
    return torch.stack(x.chunk(heads, -1))
""",
                "The pieces are right, but the axis of heads stands before the batch. At which place should it "
                "stand?"),
        Mistake("the width in front", """def split_heads(x, heads):
    B, T, D = x.shape
    return x.view(B, T, heads, D // heads).transpose(1, 3)
""",
                "Positions and the width of a head have changed places. Which two axes should?"),
        Mistake("one behind the other", """def split_heads(x, heads):
    return torch.cat(x.chunk(heads, -1), 1)
""",
                "The heads were hung on to the positions. `cat` makes no new axis: what does?"),
        Mistake("heads in the batch", """def split_heads(x, heads):
    B, T, D = x.shape
    return x.view(B, T, heads, D // heads).transpose(1, 2).reshape(B * heads, T, D // heads)
""",
                "Batch and heads were made one axis at the end. Which shape is asked for?"),
        Mistake("half a number", """def split_heads(x, heads):
    B, T, D = x.shape
    return x.view(B, T, heads, D / heads).transpose(1, 2)
""",
                "`/` makes a float, and a size is a whole number. Which division keeps it whole?"),
    ],
)  # fmt: skip

# -- 05.3 positions -------------------------------------------------------------------------------------------------------


def table(T: int, D: int, *, base: float = 10_000, first: int = 0, power: float = 2.0, swap: bool = False) -> Tensor:
    """The sinusoids, or a near miss."""
    frequencies = base ** (-power * torch.arange(D // 2) / D)
    angles = torch.arange(first, T + first)[:, None] * frequencies
    pair = [angles.cos(), angles.sin()] if swap else [angles.sin(), angles.cos()]
    return torch.stack(pair, -1).flatten(1)


def still(out: Tensor, case: tuple) -> bool | str:
    first = out[0].flatten()
    return torch.allclose(first, torch.tensor([0.0, 1.0]).repeat(len(first) // 2), atol=1e-5) or (
        f"At position 0 every angle is 0, so its row must be 0 1 0 1 ...; it begins {listed(first[:4])}."
    )


positions = Exercise(
    "05.3",
    goal="a fixed vector for each position",
    minutes=8,
    difficulty=2,
    cases=[(2, 4), (1, 2), (5, 6), (40, 16)],
    starter='''def positions(T, D):
    """(T, D): column 2i holds sin(t / 10000^(2i/D)) and column 2i + 1 the cosine of the same angle, for positions t
    from 0."""
    ...
''',
    solution='''def positions(T, D):
    """(T, D): column 2i holds sin(t / 10000^(2i/D)) and column 2i + 1 the cosine of the same angle, for positions t
    from 0."""
    frequencies = 10_000 ** (-torch.arange(0, D, 2) / D)  # (D/2): from 1 radian a step down to almost none
    angles = torch.arange(T)[:, None] * frequencies       # (T, D/2)
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)
''',
    other_solutions=[
        "def positions(T, D):\n    out = torch.empty(T, D)\n    for t in range(T):\n        for i in range(D // 2):\n"
        "            angle = t / 10_000 ** (2 * i / D)\n            out[t, 2 * i], out[t, 2 * i + 1] = math.sin(angle), math.cos(angle)\n"
        "    return out\n",
        "def positions(T, D):\n    out = torch.zeros(T, D)\n    div = torch.exp(torch.arange(0, D, 2) * (-math.log(10_000.0) / D))\n"
        "    out[:, 0::2] = torch.sin(torch.arange(T)[:, None] * div)\n    out[:, 1::2] = torch.cos(torch.arange(T)[:, None] * div)\n"
        "    return out\n",
    ],
    hints=[
        "There are D/2 frequencies, from fast to slow, like the hands of a clock. Each position is a time; sine and cosine say where a hand points.",
        "First the D/2 frequencies, then a table of angles, positions times frequencies. Last, each angle becomes two neighbouring columns.",
        "`10_000 ** (-torch.arange(0, D, 2) / D)`; `torch.arange(T)[:, None] * frequencies`; `torch.stack([sin, cos], -1).flatten(1)`.",
    ],
    explanation="A column of positions times a row of frequencies is the table of angles. Stacking sine and cosine on a new last axis and flattening "
    "puts them side by side. Each pair is like a clock hand, so a step of k positions is the same rotation everywhere.",
    properties=[Property("position 0", still, "What are sin 0 and cos 0, and which stands first?")],
    mistakes=[
        Mistake("sines first, cosines after", lambda T, D: torch.cat([table(T, D)[:, 0::2], table(T, D)[:, 1::2]], 1),
                "All sines stand on the left and all cosines on the right (some libraries do that). Which columns does one angle get here?"),
        Mistake("cosine first", lambda T, D: table(T, D, swap=True),
                "Position 0 reads 1 0 1 0. Does the sine stand in the even or in the odd columns?"),
        Mistake("counted from one", lambda T, D: table(T, D, first=1),
                "The first row is that of t = 1. At which number do positions begin here?"),
        Mistake("half the exponent", lambda T, D: table(T, D, power=1.0),
                "The frequencies fall too slowly: that of the last pair is 1/100. Is it i/D, or 2i/D?"),
        Mistake("all pairs at one frequency", lambda T, D: table(T, D, power=0.0),
                "Every pair has the same frequency, so all say the same. What should 10000 be raised to?"),
        Mistake("ever faster", lambda T, D: table(T, D, power=-2.0),
                "The later pairs have higher frequencies, thousands of radians a step. Is the power in the numerator or in the denominator?"),
        Mistake("a speed for each column",
                lambda T, D: torch.where(torch.arange(D) % 2 == 0, *(f(torch.arange(T)[:, None] * 10_000.0 ** (-torch.arange(D) / D)) for f in (torch.sin, torch.cos))),
                "A cosine has another frequency than the sine beside it. Which i do columns 2i and 2i + 1 share?"),
        Mistake("sines alone", lambda T, D: (torch.arange(T)[:, None] * 10_000.0 ** (-torch.arange(D) / D)).sin(),
                "There is no cosine. A sine alone does not tell going up from coming down: which columns should hold the cosine?"),
        Mistake("turned on its side", lambda T, D: table(T, D).T,
                "It is (D, T). Do positions run down or across?"),
        Mistake("twice the exponent", """def positions(T, D):
    angles = torch.arange(T)[:, None] / 10_000 ** (2 * torch.arange(0, D, 2) / D)
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)
""",
                "`arange(0, D, 2)` is 2i already, and it was doubled once more. What is the exponent of the second "
                "pair?"),
        Mistake("twice the exponent, column by column", """def positions(T, D):
    out = torch.zeros(T, D)
    for t in range(T):
        for i in range(D):
            angle = t / 10_000 ** (2 * i / D)
            out[t, i] = math.sin(angle) if i % 2 == 0 else math.cos(angle)
    return out
""",
                "i counts columns here, and pairs in the formula. Which pair does column 5 belong to?"),
        Mistake("a thousand", """def positions(T, D):
    angles = torch.arange(T)[:, None] / 1_000 ** (torch.arange(0, D, 2) / D)
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)
""",
                "The base is 1,000. Which number stands in the formula?"),
        Mistake("brackets left out", """def positions(T, D):
    angles = torch.arange(T)[:, None] / 10_000 ** torch.arange(0, D, 2) / D
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)
""",
                "`**` comes before `/`, so D divides the angle and not the exponent. Where do brackets belong?"),
        Mistake("degrees", """def positions(T, D):
    angles = torch.deg2rad(torch.arange(T)[:, None] / 10_000 ** (torch.arange(0, D, 2) / D))
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)
""",
                "The angles were taken for degrees. In which unit do sine and cosine count?"),
        Mistake("whole turns", """def positions(T, D):
    angles = 2 * math.pi * torch.arange(T)[:, None] / 10_000 ** (torch.arange(0, D, 2) / D)
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)
""",
                "The angles were multiplied by 2π. Does that stand in the formula?"),
        Mistake("sine plus cosine", """def positions(T, D):
    angles = torch.arange(T)[:, None] / 10_000 ** (torch.arange(D) / D)
    return angles.sin() + angles.cos()
""",
                "Sine and cosine were added up. Where should each of them stand?"),
        Mistake("an axis of pairs", """def positions(T, D):
    angles = torch.arange(T)[:, None] / 10_000 ** (torch.arange(0, D, 2) / D)
    return torch.stack([angles.sin(), angles.cos()], -1)
""",
                "The pairs stand on an axis of their own, (T, D/2, 2). What makes columns of them?"),
    ],
)  # fmt: skip

# -- 05.4 the schedule ----------------------------------------------------------------------------------------------------


def from_zero(rate: float, case: tuple) -> bool | str:
    step, width, warmup = case
    largest = (width * warmup) ** -0.5
    if rate <= largest * 1.001:
        return True
    return f"At step {step} it is {rate:.3g}, more than the largest there should be, (width * warmup)^-0.5 = {largest:.3g}."


rate = Exercise(
    "05.4",
    goal="the learning rate of 2017",
    minutes=6,
    cases=[(1, 512, 4000), (2000, 512, 4000), (4000, 512, 4000), (16000, 512, 4000), (3, 64, 10), (90, 64, 10)],
    starter='''def rate(step, width, warmup):
    """Learning rate at a step, counted from 1: it climbs in a straight line for `warmup` steps, then falls as 1/√step.

    width^-0.5 · min(step^-0.5, step · warmup^-1.5)
    """
    ...
''',
    solution='''def rate(step, width, warmup):
    """Learning rate at a step, counted from 1: it climbs in a straight line for `warmup` steps, then falls as 1/√step.

    width^-0.5 · min(step^-0.5, step · warmup^-1.5)
    """
    return width**-0.5 * min(step**-0.5, step * warmup**-1.5)
''',
    other_solutions=[
        lambda step, width, warmup: min(1 / math.sqrt(step), step / warmup**1.5) / math.sqrt(width),
        "def rate(step, width, warmup):\n    largest = (width * warmup) ** -0.5\n    if step < warmup:\n        return largest * step / warmup\n"
        "    return largest * (warmup / step) ** 0.5\n",
    ],
    hints=[
        "Two curves: one climbs with the step, one falls. Where do they cross, and which of the two counts before and after?",
        "Before the crossing the climbing one is the smaller, after it the falling one. So one word chooses between them.",
        "`min(step**-0.5, step * warmup**-1.5)`, and all of it times `width**-0.5`.",
    ],
    explanation="At step = warmup both curves are warmup^-0.5. Before, the straight line is lower; after, 1/√step is. So `min` is climb and "
    "fall in one, and the largest rate is (width · warmup)^-0.5: smaller for wider models.",
    properties=[Property("too large", from_zero, "Two curves cross: which of them counts on either side?")],
    mistakes=[
        Mistake("the larger of the two", lambda step, width, warmup: width**-0.5 * max(step**-0.5, step * warmup**-1.5),
                "It starts at its largest, falls, and then grows for ever. Which of the two curves should count?"),
        Mistake("no warm-up", lambda step, width, warmup: width**-0.5 * step**-0.5,
                "Step 1 is the largest of all, while the weights are still noise. What should hold it down at first?"),
        Mistake("never falls", lambda step, width, warmup: width**-0.5 * min(warmup**-0.5, step * warmup**-1.5),
                "After the climb it stays where it is. What should it do as steps go by?"),
        Mistake("only climbs", lambda step, width, warmup: width**-0.5 * step * warmup**-1.5,
                "It climbs on after the warm-up. Which curve takes over?"),
        Mistake("warmup to the half", lambda step, width, warmup: width**-0.5 * min(step**-0.5, step * warmup**-0.5),
                "The climb is over after a few steps: both curves should meet at step = warmup. What power makes them?"),
        Mistake("wider is faster", lambda step, width, warmup: width**0.5 * min(step**-0.5, step * warmup**-1.5),
                "A wider model gets larger steps here, and flies apart. What sign has the power of the width?"),
        Mistake("the width left out", lambda step, width, warmup: min(step**-0.5, step * warmup**-1.5),
                "The width makes no difference. Where does it come in?"),
        Mistake("counted from zero", lambda step, width, warmup: width**-0.5 * min((step + 1) ** -0.5, (step + 1) * warmup**-1.5),
                "The steps already count from 1, and it adds another. What is the rate at step = warmup?"),
        Mistake("brackets too wide", """def rate(step, width, warmup):
    return width**-0.5 * min(step**-0.5, (step * warmup) ** -1.5)
""",
                "The power takes in the step as well. What of step · warmup^-1.5 is raised to -1.5?"),
        Mistake("roots forgotten", """def rate(step, width, warmup):
    return 1 / width * min(1 / step, step / warmup**2)
""",
                "The powers are whole: 1/width, 1/step, 1/warmup². What is a number to the power -0.5?"),
        Mistake("the width on one side", """def rate(step, width, warmup):
    return min(width**-0.5 * step**-0.5, step * warmup**-1.5)
""",
                "The width holds down the falling curve alone. By which of the two is it multiplied?"),
        Mistake("a largest rate of 1", """def rate(step, width, warmup):
    if step < warmup:
        return step / warmup
    return (warmup / step) ** 0.5
""",
                "It climbs to 1 and falls from there: the shape is right. How large is the largest rate?"),
    ],
)  # fmt: skip

# -- 05.5 a step of beam search -------------------------------------------------------------------------------------------


def so_many(found: list, case: tuple) -> bool | str:
    width, there = case[2], case[1].numel()
    return len(found) == min(width, there) or f"{min(width, there)} continuations are to stay; it keeps {len(found)}."


def of_pairs(keep):
    """A wrong answer out of a rule: (scores, log_p) -> a table whose largest entries stay."""

    def wrong(scores, log_p, width):
        best = keep(scores, log_p).flatten().topk(min(width, log_p.numel())).indices
        return [divmod(at, log_p.shape[1]) for at in best.tolist()]

    return wrong


def each_alone(scores, log_p, width):
    return [(n, int(row.argmax())) for n, row in enumerate(log_p)][:width]


def shared_out(scores, log_p, width):
    each = max(1, width // len(scores))
    return [(n, token) for n, row in enumerate(log_p) for token in row.topk(each).indices.tolist()][:width]


def with_wrong_columns(scores, log_p, width):
    best = (scores[:, None] + log_p).flatten().topk(min(width, log_p.numel())).indices
    return [divmod(at, log_p.shape[0]) for at in best.tolist()]


def turned(scores, log_p, width):
    return [(token, hypothesis) for hypothesis, token in of_pairs(lambda s, p: s[:, None] + p)(scores, log_p, width)]


def worst_first(scores, log_p, width):
    return of_pairs(lambda s, p: s[:, None] + p)(scores, log_p, width)[::-1]


logs = lambda *rows: torch.tensor(rows).log()
beam = Exercise(
    "05.5",
    goal="one step of beam search",
    minutes=10,
    difficulty=2,
    cases=[
        (logs(0.6, 0.4), logs([0.4, 0.35, 0.25], [0.05, 0.9, 0.05]), 2),
        (torch.tensor([0.0]), noise(1, 4).log_softmax(-1), 2),
        (logs(0.5, 0.1), logs([0.3, 0.3, 0.4], [0.9, 0.05, 0.05]), 1),
        (logs(0.5, 0.3, 0.1), noise(3, 5, seed=1).log_softmax(-1), 3),
        (logs(0.9, 0.01), (2 * noise(2, 6, seed=2)).log_softmax(-1), 4),
        (torch.tensor([-1.0]), noise(1, 2, seed=3).log_softmax(-1), 3),
    ],
    starter='''def best_continuations(scores, log_p, width):
    """Of all hypotheses with all tokens behind them, the `width` likeliest, best first: a list of (hypothesis, token).

    scores: (N,) log p of each hypothesis
    log_p: (N, V) log p of each token after each hypothesis; fewer than `width` pairs: all of them
    """
    ...
''',
    solution='''def best_continuations(scores, log_p, width):
    """Of all hypotheses with all tokens behind them, the `width` likeliest, best first: a list of (hypothesis, token).

    scores: (N,) log p of each hypothesis
    log_p: (N, V) log p of each token after each hypothesis; fewer than `width` pairs: all of them
    """
    totals = (scores[:, None] + log_p).flatten()       # probabilities multiply, so their logarithms add up
    best = totals.topk(min(width, len(totals))).indices
    return [divmod(i, log_p.shape[1]) for i in best.tolist()]  # place in the flat list -> row, column
''',
    other_solutions=[
        "def best_continuations(scores, log_p, width):\n    every = [((scores[n] + log_p[n, v]).item(), n, v)\n"
        "             for n in range(len(scores)) for v in range(log_p.shape[1])]\n"
        "    return [(n, v) for _, n, v in sorted(every, reverse=True)[:width]]\n",
        lambda scores, log_p, width: [
            (i // log_p.shape[1], i % log_p.shape[1])
            for i in (scores.exp()[:, None] * log_p.exp()).flatten().argsort(descending=True).tolist()[:width]
        ],
    ],
    hints=[
        "Two hypotheses, 0.6 and 0.4. The first goes on with 0.4, the second with 0.9. Which of the two longer hypotheses is likelier?",
        "Make a table (N, V) of what each longer hypothesis is worth, and look for the largest numbers in all of it, not row by row.",
        "`(scores[:, None] + log_p).flatten().topk(...)` gives places in a flat list; `divmod(place, V)` is row and column.",
    ],
    explanation="A hypothesis of probability p that goes on with q is worth p·q; logarithms add. All N·V longer hypotheses compete in one list, so "
    "several may come from one hypothesis and none from another.",
    properties=[Property("another number of hypotheses", so_many, "How many of all the continuations may stay?")],
    mistakes=[
        Mistake("the past is forgotten", of_pairs(lambda s, p: p), "It compares the last tokens alone. What about the hypotheses before them?"),
        Mistake("logarithms multiplied", of_pairs(lambda s, p: s[:, None] * p),
                "Two negative numbers make a positive one, so the unlikely wins. What do logarithms do when probabilities multiply?"),
        Mistake("probabilities added", of_pairs(lambda s, p: s[:, None].exp() + p.exp()),
                "It adds probabilities. If A has 0.5 and then B has 0.1, how likely is A followed by B?"),
        Mistake("the likeliest past wins", of_pairs(lambda s, p: s[:, None].expand_as(p) + 0 * p - 1e-3 * torch.arange(p.shape[1])),
                "The tokens make no difference. Where does `log_p` come in?"),
        Mistake("one for each hypothesis", each_alone, "Each hypothesis keeps its own best token: that is several greedy searches. Who competes with whom?"),
        Mistake("equal weights", shared_out, "Each hypothesis gets as many places as any other. May one hypothesis have several heirs, and another none?"),
        Mistake("divided by the hypotheses", with_wrong_columns,
                "The places were found, but not read rightly: a row of the flat list is V long. By what must it be divided?"),
        Mistake("token before hypothesis", turned, "The pairs are (token, hypothesis). In which order are they wanted?"),
        Mistake("worst first", worst_first, "The right ones, but in the wrong order. Which should come first?"),
        Mistake("the unlikeliest", of_pairs(lambda s, p: -(s[:, None] + p)),
                "It keeps the smallest totals. Logarithms of probabilities are negative: is -1 or -5 the likelier?"),
        Mistake("the best hypothesis alone", """def best_continuations(scores, log_p, width):
    n = int(scores.argmax())
    best = log_p[n].topk(min(width, log_p.shape[1])).indices
    return [(n, token) for token in best.tolist()]
""",
                "Only the likeliest hypothesis goes on, which is not what a beam is for. Which longer hypotheses compete?"),
        Mistake("the unlikeliest first", """def best_continuations(scores, log_p, width):
    totals = (scores[:, None] + log_p).flatten()
    best = totals.argsort()[:width]
    return [divmod(i, log_p.shape[1]) for i in best.tolist()]
""",
                "`argsort` begins with the smallest. At which end do the likeliest stand?"),
        Mistake("more than there are", """def best_continuations(scores, log_p, width):
    totals = (scores[:, None] + log_p).flatten()
    best = totals.topk(width).indices
    return [divmod(i, log_p.shape[1]) for i in best.tolist()]
""",
                "`topk` cannot find more than there are. What if all pairs together are fewer than `width`?"),
        Mistake("the width for each hypothesis", """def best_continuations(scores, log_p, width):
    totals = scores[:, None] + log_p
    k = min(width, log_p.shape[1])
    return [(n, token) for n, row in enumerate(totals) for token in row.topk(k).indices.tolist()]
""",
                "Each hypothesis keeps `width` continuations, so the beam grows at every step. How many stay in all?"),
        Mistake("one from each hypothesis", """def best_continuations(scores, log_p, width):
    totals = scores[:, None] + log_p
    return [(n, int(row.argmax())) for n, row in enumerate(totals)]
""",
                "Each hypothesis keeps its best token, however many are wanted. Who competes with whom?"),
        Mistake("places in the flat list", """def best_continuations(scores, log_p, width):
    totals = (scores[:, None] + log_p).flatten()
    return totals.topk(min(width, len(totals))).indices.tolist()
""",
                "These are places in the flat list. Which row and which column is each?"),
        Mistake("numbers that are tensors", """def best_continuations(scores, log_p, width):
    totals = (scores[:, None] + log_p).flatten()
    best = totals.topk(min(width, len(totals))).indices
    return [(i // log_p.shape[1], i % log_p.shape[1]) for i in best]
""",
                "The pairs are right, but made of tensors. What makes a list of whole numbers of `best`?"),
        Mistake("the total comes along", """def best_continuations(scores, log_p, width):
    every = [((scores[n] + log_p[n, v]).item(), n, v) for n in range(len(scores)) for v in range(log_p.shape[1])]
    return sorted(every, reverse=True)[:width]
""",
                "Each entry holds the total as well. Which two numbers are wanted?"),
        Mistake("in the order of the table", """def best_continuations(scores, log_p, width):
    totals = (scores[:, None] + log_p).flatten()
    best = totals.topk(min(width, len(totals))).indices.sort().values
    return [divmod(i, log_p.shape[1]) for i in best.tolist()]
""",
                "The right pairs, in the order in which they stand in the table. Which comes first?"),
    ],
)  # fmt: skip


# -- 05.6 a mask ----------------------------------------------------------------------------------------------------------


def hidden_stays_hidden(out: Tensor, case: tuple) -> bool | str:
    """What a mask forbids must have no weight: the answer is an average of the allowed values alone."""
    q, k, v, mask = case
    if tuple(out.shape) != (*q.shape[:-1], v.shape[-1]):
        return True
    allowed = mask.expand(*q.shape[:-1], k.shape[-2])[..., None]  # (..., T, S, 1)
    values = v.unsqueeze(-3)
    high = torch.where(allowed, values, -torch.inf).amax(-2)
    low = torch.where(allowed, values, torch.inf).amin(-2)
    worst = torch.maximum(out - high, low - out)
    if not bool((worst > 1e-4).any()):
        return True
    row = int((worst > 1e-4).nonzero()[0, -2])
    return f"Row {row} of the answer lies outside the range of the values that its query may attend to."


def one_hot_values(T: int, S: int, K: int, seed: int, mask: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Values that are unit vectors: the answer is the attention weights themselves."""
    return 2 * noise(T, K, seed=seed), noise(S, K, seed=seed + 1), torch.eye(S), mask


lower = lambda T: torch.ones(T, T).tril().bool()
masked = Exercise(
    "05.6",
    goal="attention with a mask",
    minutes=6,
    difficulty=2,
    cases=[
        one_hot_values(3, 3, 4, 20, lower(3)),
        one_hot_values(2, 4, 4, 30, torch.tensor([[True, True, False, False]])),
        one_hot_values(4, 4, 9, 40, lower(4) | (torch.arange(4) == 3)[:, None]),
        (noise(2, 3, 5, 8, seed=6), noise(2, 3, 5, 8, seed=7), noise(2, 3, 5, 8, seed=8).requires_grad_(), lower(5)),
        (noise(2, 2, 3, 4, seed=9), noise(2, 2, 4, 4, seed=10), noise(2, 2, 4, 4, seed=11), (torch.arange(4) < torch.tensor([[2], [4]]))[:, None, None]),
    ],
    starter='''def attend_masked(q, k, v, mask):
    """Scaled dot-product attention in which query t attends to key s only where mask[..., t, s] is True.

    q: (..., T, K)   k: (..., S, K)   v: (..., S, any width)   mask: bool, broadcasts to (..., T, S)
    Every row of the mask allows at least one key.   ->   (..., T, any width)
    """
    ...
''',
    solution='''def attend_masked(q, k, v, mask):
    """Scaled dot-product attention in which query t attends to key s only where mask[..., t, s] is True.

    q: (..., T, K)   k: (..., S, K)   v: (..., S, any width)   mask: bool, broadcasts to (..., T, S)
    Every row of the mask allows at least one key.   ->   (..., T, any width)
    """
    scores = q @ k.mT / q.shape[-1] ** 0.5
    return scores.masked_fill(~mask, -math.inf).softmax(-1) @ v  # exp(-inf) is exactly 0
''',
    other_solutions=[
        lambda q, k, v, mask: F.scaled_dot_product_attention(q, k, v, mask),
        "def attend_masked(q, k, v, mask):\n    scores = torch.where(mask, q @ k.mT / math.sqrt(q.size(-1)), torch.tensor(-math.inf))\n"
        "    return torch.softmax(scores, dim=-1) @ v\n",
        "def attend_masked(q, k, v, mask):\n    w = (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).exp() * mask\n"
        "    return w / w.sum(-1, keepdim=True) @ v\n",
        "def attend_masked(q, k, v, mask):\n    scores = q @ k.mT / q.shape[-1] ** 0.5\n"
        "    return scores.masked_fill(mask == 0, -1e9).softmax(-1) @ v\n",
    ],
    hints=[
        "A key that may not be attended to must have the weight 0, and the weights that remain must still add up to 1.",
        "Change the scores before the softmax. Which score does the softmax turn into exactly 0?",
        "`scores.masked_fill(~mask, -math.inf)` between the division and the softmax; the rest is exercise 05.1.",
    ],
    explanation="exp(-∞) is 0, so a forbidden key has weight 0, and the softmax divides by the sum of the allowed keys alone. "
    "`~mask` is needed because True means *may attend* here, and `masked_fill` fills where its argument is True.",
    properties=[Property("a forbidden key has weight", hidden_stays_hidden, "Which weight must a forbidden key have after the softmax?")],
    mistakes=[
        Mistake("the mask is not used", lambda q, k, v, mask: score(q, k).softmax(-1) @ v,
                "Forbidden keys have the weight that they would have without a mask. Where does the mask come in?"),
        Mistake("the mask is inverted", lambda q, k, v, mask: score(q, k).masked_fill(mask, -1e9).softmax(-1) @ v,
                "It hides what is allowed and shows what is forbidden. What does True mean in this mask, and where does `masked_fill` write?"),
        Mistake("the mask is inverted, with infinity", """def attend_masked(q, k, v, mask):
    scores = q @ k.mT / q.shape[-1] ** 0.5
    return scores.masked_fill(mask, -math.inf).softmax(-1) @ v
""",
                "The allowed keys were set to -∞, and a row whose keys are all allowed is 0/0. What does True mean in this mask?"),
        Mistake("a score of zero", lambda q, k, v, mask: (score(q, k) * mask).softmax(-1) @ v,
                "A forbidden key has a score of 0 or almost 0, and exp(0) is 1, not 0. Which score becomes the weight 0?"),
        Mistake("one added", lambda q, k, v, mask: (score(q, k) + mask.float()).softmax(-1) @ v,
                "The score of an allowed key is only 1 higher than it would be if forbidden, so a forbidden key keeps some weight. Which score becomes the weight 0?"),
        Mistake("masked after the softmax", lambda q, k, v, mask: (score(q, k).softmax(-1) * mask) @ v,
                "The forbidden weights are 0, but what remains no longer adds up to 1. Before which step does the mask belong?"),
        Mistake("masked, not divided", """def attend_masked(q, k, v, mask):
    scores = (q @ k.mT).masked_fill(~mask, -1e9)
    return scores.softmax(-1) @ v
""",
                "The scores are masked but no longer divided by √K. Which step of 05.1 is missing?"),
        Mistake("times minus infinity", """def attend_masked(q, k, v, mask):
    scores = q @ k.mT / q.shape[-1] ** 0.5
    return (scores + ~mask * -math.inf).softmax(-1) @ v
""",
                "0 times infinity is not a number, so the whole row is lost. How can -∞ be written only where the mask is False?"),
        Mistake("the values are hidden", """def attend_masked(q, k, v, mask):
    weights = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1)
    return weights.masked_fill(~mask, -math.inf) @ v
""",
                "-∞ was written into the weights, after the softmax. Into which tensor does it belong?"),
        Mistake("always the causal mask", """def attend_masked(q, k, v, mask):
    scores = q @ k.mT / q.shape[-1] ** 0.5
    causal = torch.ones_like(scores).tril().bool()
    return scores.masked_fill(~causal, -math.inf).softmax(-1) @ v
""",
                "It builds a causal mask of its own and ignores the one that it is given. What if a mask hides padding instead?"),
    ],
)  # fmt: skip
