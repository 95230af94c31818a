"""Assigned in lesson 03: a mask for texts that are read in any order, and a game that can be won by colour alone."""

import torch
from fmcourse.classroom.exercise_kinds import AssignedExercise
from fmcourse.course.exercise import IMPORTS, Mistake, Property

# -- 03.A1 any order ------------------------------------------------------------------------------------------------------


def orders(B, T, seed):
    """B texts, each read in an order of its own."""
    return torch.rand(B, T, generator=torch.Generator().manual_seed(seed)).argsort(1)


ANY = '''def order_mask(order, given):
    """Who may look at whom, if each text is read in an order of its own.

    order: (B, T) whole numbers, each row holds 0 ... T-1 once: order[b, 0] is the place in text b that is read first,
    order[b, 1] the place that is read second, and so on   given: from 0 to T, how many places are given
    ->   (B, T, T) bool: [b, t, s] is True where, in text b, place t may look at place s

    A place may look at itself, at every place that is read before it, and at every given place. Given are the first
    `given` places in the order of reading: everyone may look at them, also they at each other.
    """
'''


def looking(mask, rank="order.argsort(1)"):
    """A near miss: `rank` says when a place is read, t looks at s."""
    return (
        "def order_mask(order, given):\n    B, T = order.shape\n    at = torch.arange(T).expand(B, T)\n"
        f"    rank = {rank}\n    t, s = rank[:, :, None], rank[:, None, :]\n    return {mask}\n"
    )


any_order = AssignedExercise(
    "03.A1",
    goal="a mask for any order",
    minutes=15,
    difficulty=2,
    text="Causal or masked? There is a third way: read in *any* order. One text is learnt from left to right, the next one from the middle to both ends, a third one in an order drawn at random; and "
    "each place is guessed from what was read before it, wherever that stands. Such a model can go on with a text *and* fill its gaps. (XLNet, Yang et al. 2019. "
    "The words stay where they are; only who may look at whom changes. A place looks at itself, as in every causal mask: what is guessed from there is the place that is read next.)\n\n"
    "So the mask is made of an order, one for each text of a batch. With the order 0, 1, 2, ... it is your `prefix_mask` from the lesson, with `given` as prefix. "
    "All other orders are new.\n\n"
    "*Example.* `order` is `[[2, 0, 1]]` and nothing is given: place 2 is read first, then place 0, then place 1. So place 2 looks at itself alone, place 0 at 2 and 0, place 1 at all three.",
    cases=[
        (torch.tensor([[2, 0, 1]]), 0),
        (torch.tensor([[0, 1, 2, 3]]), 2),
        (torch.tensor([[1, 3, 0, 2], [3, 2, 1, 0]]), 0),
        (torch.tensor([[1, 2, 3, 0], [0, 2, 3, 1]]), 3),
        (orders(2, 6, seed=1), 2),
    ],
    hidden=[
        (torch.tensor([[0], [0]]), 1),
        (orders(3, 4, seed=7), 1),
        (orders(3, 7, seed=2), 3),
        (orders(2, 5, seed=3), 5),
        (orders(1, 8, seed=4), 1),
        (orders(4, 12, seed=5), 0),
        (orders(5, 9, seed=6), 8),
    ],
    starter=ANY + "    ...\n",
    solution=ANY + '''    rank = order.argsort(1)                                       # (B, T): when each place is read
    earlier = rank[:, None, :] <= rank[:, :, None]                # s, along a row, is not read later than t
    return earlier | (rank < given)[:, None, :]                   # (B, T, T)
''',
    other_solutions=[
        "def order_mask(order, given):\n    B, T = order.shape\n    out = torch.zeros(B, T, T, dtype=torch.bool)\n    for b in range(B):\n        seen = order[b, :given].tolist()\n"
        "        for place in order[b, :given].tolist():\n            out[b, place, seen] = True\n        for place in order[b, given:].tolist():\n            seen = seen + [place]\n            out[b, place, seen] = True\n    return out\n",
        "def order_mask(order, given):\n    B, T = order.shape\n    read = torch.ones(T, T).tril().bool()  # as if the order were 0, 1, 2, ...\n    read[:, :given] = True\n"
        "    moves = F.one_hot(order, T).float()  # (B, n-th, place)\n    return (moves.mT @ read.float() @ moves) > 0.5\n",
        "def order_mask(order, given):\n    B, T = order.shape\n    rank = torch.empty_like(order).scatter_(1, order, torch.arange(T).expand(B, T))\n"
        "    rank = (rank - given + 1).clamp(min=0)  # what is given counts as read at once\n    return rank.unsqueeze(2) >= rank.unsqueeze(1)\n",
    ],
    explanation="`order` says which place comes n-th; the mask needs the inverse, when each place comes, and `argsort` of a permutation is its inverse. Then one comparison is all: t sees s where s comes no later. "
    "The given ones are added as columns. Causal is one order of T!, and training on all of them comes to the same as hiding any number of the words.",
    properties=[
        Property("the first and the last", '''def test(out, case):
    order, given = case
    for b, places in enumerate(order.tolist()):
        first, last = places[0], places[-1]
        if out[b, first].sum() != max(1, given) or not out[b, first, first]:
            return f"In text {b} place {first} is read first, and {given} places are given; it looks at {out[b, first].nonzero()[:, 0].tolist()}."
        if not out[b, last].all():
            return f"In text {b} place {last} is read last; it looks at {out[b, last].nonzero()[:, 0].tolist()} only."
    return True
''', "What may the first one in the order see, and what the last?"),
        Property("too many looks, or too few", '''def test(out, case):
    order, given = case
    T = order.shape[1]
    wanted = T * (T + 1) // 2 + given * (given - 1) // 2
    for b, looks in enumerate(out.sum((1, 2)).tolist()):
        if looks != wanted:
            return f"Text {b} has {T} places, {given} of them given. Whatever the order, that makes {wanted} times True; here it is {looks}."
    return True
''', "How many may the place see that is read n-th?"),
    ],
    mistakes=[
        Mistake("the order for its inverse", looking("(s <= t) | (s < given)", rank="order"),
                "In the example it takes the first number, 2, for the time at which place 0 is read. What does order[b, 0] say: when a place is read, or which place?"),
        Mistake("seen by, not sees", looking("(t <= s) | (t < given)"),
                "Rows and columns are swapped: in the example place 2 looks at everyone. Which of the two axes is the one that looks?"),
        Mistake("blind to itself", looking("(s < t) | (s < given)"),
                "The place that is read first looks at nothing, not even at itself. Is a place one of those that it may look at?"),
        Mistake("from left to right", looking("(s <= t) | (s < given)", rank="at"),
                "Whatever the order, each place looks to its left. In the example, which place is read first?"),
        Mistake("last is first", looking("(s >= t) | (s >= T - given)"),
                "The place that is read last looks at itself alone. At which end of `order` does reading begin?"),
        Mistake("the first places of the text", looking("(s <= t) | (at[:, None, :] < given)"),
                "It takes the given ones from the left end of the text. Which places are given?"),
        Mistake("nothing given", looking("s <= t"),
                "The given places cannot see each other unless they were read before. Who may look at a given place?"),
        Mistake("the given see all", looking("(s <= t) | (t < given)"),
                "The given places look at everything. Whom may everyone look at, and who may look at everyone?"),
        Mistake("one too many given", looking("(s <= t) | (s <= given)"),
                "One place more than `given` is open to all. What is the number of the last of `given` places, counted from 0?"),
        Mistake("the first text's order for all", looking("(s <= t) | (s < given)", rank="order[:1].argsort(1).expand(B, T)"),
                "All texts are read as the first one is. Whose order counts?"),
        Mistake("the first places of the text see all", looking("(s <= t) | (at[:, :, None] < given)"),
                "The first places of the text look at everything. Which places are given, and who may look at whom?"),
        Mistake("reordered along one axis", looking("((at[:, None, :] <= at[:, :, None]) | (at[:, None, :] < given)).gather(1, order[:, :, None].expand(B, T, T))"),
                "The rows were put into another order, the columns not. Both count places of the text: which of them were to be reordered?"),
    ],
)  # fmt: skip

# -- 03.A2 by colour alone ------------------------------------------------------------------------------------------------


def some_emoji(draw):
    """Other pictures and another temperature for each student."""
    return {"first": draw.randrange(0, 400), "step": draw.choice([7, 8, 9, 10, 11, 12]), "many": draw.randrange(200, 290),
            "temperature": draw.choice([0.02, 0.022, 0.024, 0.026, 0.028, 0.03])}  # fmt: skip


def guessing(
    body, one="pixels[:, :, :16]", other="pixels[:, :, 16:]", gap="(a[:, None] - b[None]).abs().sum(-1)", scale="255"
):
    """A near miss: `a` and `b` are the colours of the halves, `likeness` how well each of a fits each of b."""
    return (
        "def cost_by_colour(mine):\n    from fmcourse.data import load\n"
        f'    pixels = load("emoji").train.pixels[mine["first"]::mine["step"]][:mine["many"]].double() / {scale}\n    temperature = mine["temperature"]\n'
        f"    a, b = (half.mean((1, 2)) for half in ({one}, {other}))\n    gaps = {gap}\n    likeness, right = -gaps / temperature, torch.arange(len(a))\n    {body}\n"
    )


shortcut = AssignedExercise(
    "03.A2",
    goal="can the game be won without looking?",
    minutes=15,
    difficulty=2,
    text="*What the views leave is what the box must look at.* And if they leave something cheap? Then the box learns that, wins the game, and knows nothing. So one asks of every game: how far does one get without looking? "
    "The views of SimCLR change colours on purpose: without that, patches of one picture give themselves away by colour (Chen et al. 2020, section 3.1).\n\n"
    "Find out for emoji. Your pictures are `load(\"emoji\").train.pixels[first::step][:many]`, with your own numbers: (many, 32, 32, 3), that is pictures, rows, columns, and red, green and blue from 0 to 255. "
    "The two views of a picture are its **left** half and its **right** half, columns 0-15 and 16-31. Of each half the player sees three numbers only: its mean red, mean green and mean blue, each divided by 255. "
    "Likeness of two halves is −(the sum of the three absolute differences) / `temperature`.\n\n"
    "Each left half looks for its right half among all `many` right halves. How surprising is the right one, in nats, on average over the left halves? (The softmax and the loss of the lesson. "
    "Only this way round: right halves do not search.) A player who guesses pays log(`many`)."
    "\n\nGive it unrounded: the first five digits must be right.",
    imports=IMPORTS + "from fmcourse.data import load\n",
    starter='''mine = variant("03.A2")  # your numbers
cost_by_colour = ...  # a float, in nats for each left half
''',
    solution='''import torch
from torch.nn import functional as F

from fmcourse.data import load


def cost_by_colour(mine):
    pixels = load("emoji").train.pixels[mine["first"] :: mine["step"]][: mine["many"]].double() / 255
    left, right = pixels[:, :, :16].mean((1, 2)), pixels[:, :, 16:].mean((1, 2))  # (many, 3) each
    apart = (left[:, None] - right).abs().sum(-1)                                 # (many, many)
    return F.cross_entropy(-apart / mine["temperature"], torch.arange(mine["many"])).item()
''',
    other_solutions=['''def cost_by_colour(mine):
    from fmcourse.data import load
    halves = load("emoji").train.pixels[mine["first"]::mine["step"]][:mine["many"]].float().view(-1, 32, 2, 16, 3).mean((1, 3)) / 255
    surprise = 0.0
    for i in range(len(halves)):
        fits = torch.exp(-torch.cdist(halves[i:i + 1, 0], halves[:, 1], p=1)[0] / mine["temperature"])
        surprise -= math.log(fits[i] / fits.sum())
    return surprise / len(halves)
''', '''def cost_by_colour(mine):
    from fmcourse.data import load
    columns = load("emoji").train.pixels[mine["first"]::mine["step"]][:mine["many"]].double().mean(1) / 255
    left, right = columns[:, :16].mean(1).T, columns[:, 16:].mean(1).T  # (3, many) each
    likeness = -sum((a[:, None] - b).abs() for a, b in zip(left, right)) / mine["temperature"]
    return (likeness.logsumexp(1) - likeness.diagonal()).mean().item()
'''],
    vary=some_emoji,
    explanation="A guess among 250 costs 5.5 nats; three mean colours bring that down to three or four, sometimes five, and nearly every second half is found at the first try. Not one shape was looked at. A network would find this out in the first "
    "minute. So views must change what is cheap, as the lesson's do with the light, and a low loss of a game proves nothing by itself.",
    properties=[Property("not between knowing and guessing", '''def test(out, case):
    guess = math.log(case["many"])
    return 0 < out < guess or f"Who knows pays 0, who guesses among {case['many']} pays {guess:.3f}; this player lies between, and yours is {out:.4g}."
''', "What does softmax get: likeness or distance, and how large?")],
    mistakes=[
        Mistake("both ways", guessing("return (F.cross_entropy(likeness, right) + F.cross_entropy(likeness.T, right)).item() / 2"),
                "The right halves search, too, as in the lesson's loss. Who searches here?"),
        Mistake("the other way", guessing("return F.cross_entropy(likeness.T, right).item()"),
                "Each right half looks for its left half. Along which axis of the table do the candidates stand?"),
        Mistake("upper and lower halves", guessing("return F.cross_entropy(likeness, right).item()", "pixels[:, :16]", "pixels[:, 16:]"),
                "The pictures were cut across: upper half, lower half. Which axis counts the columns?"),
        Mistake("distance for likeness", guessing("return F.cross_entropy(-likeness, right).item()"),
                "The half whose colour is farthest off wins, and it costs more than guessing. What sign has a likeness?"),
        Mistake("times the temperature", guessing("return F.cross_entropy(-gaps * temperature, right).item()"),
                "All candidates look nearly alike, and it costs as much as guessing. Does a low temperature blow differences up, or shrink them?"),
        Mistake("no temperature", guessing("return F.cross_entropy(-gaps, right).item()"),
                "The temperature makes no difference. Where does it come in?"),
        Mistake("light, not colour", guessing("return F.cross_entropy(likeness, right).item()", gap="(a.mean(-1)[:, None] - b.mean(-1)[None]).abs()"),
                "Red, green and blue were averaged, so only the light is compared. How many numbers of a half are seen?"),
        Mistake("as the crow flies", guessing("return F.cross_entropy(likeness, right).item()", gap="(a[:, None] - b[None]).square().sum(-1).sqrt()"),
                "It takes the straight distance between two colours, a root of squares. How was the distance defined?"),
        Mistake("squares", guessing("return F.cross_entropy(likeness, right).item()", gap="(a[:, None] - b[None]).square().sum(-1)"),
                "The differences were squared. How was the distance defined?"),
        Mistake("the mean of three", guessing("return F.cross_entropy(likeness, right).item()", gap="(a[:, None] - b[None]).abs().mean(-1)"),
                "The three differences were averaged. What was to be done with them?"),
        Mistake("not divided by 255", guessing("return F.cross_entropy(likeness, right).item()", scale="1"),
                "Colours run from 0 to 255, so all but one candidate count as impossible, and it costs more than guessing. How large can a mean be?"),
        Mistake("bits", guessing("return F.cross_entropy(likeness, right).item() / math.log(2)"),
                "It is in bits. To which base is the logarithm?"),
        Mistake("how many were found", guessing("return (likeness.argmax(1) == right).double().mean().item()"),
                "That is the share of the left halves whose first choice was right. What does the second or third choice cost?"),
        Mistake("the mean chance", guessing("return -math.log(likeness.softmax(1).diagonal().mean().item())"),
                "First the mean, then the logarithm. Of what was the mean asked?"),
        Mistake("no steps", guessing("return F.cross_entropy(likeness, right).item()").replace('[mine["first"]::mine["step"]]', '[mine["first"]:]'),
                "The pictures stand one behind the other in the file. How far is it from each of yours to the next?"),
        Mistake("all of them", guessing("return F.cross_entropy(likeness, right).item()").replace('[:mine["many"]]', ""),
                "More than `many` right halves compete. How many pictures are yours?"),
        Mistake("probabilities as scores", guessing("return F.cross_entropy(likeness.softmax(1), right).item()"),
                "`cross_entropy` makes probabilities itself. What was handed to it?"),
        Mistake("a half looks for itself", guessing("return F.cross_entropy(likeness, right).item()", other="pixels[:, :, :16]"),
                "Left halves are compared with left halves, and each finds itself. What does a left half look for?"),
        Mistake("a column is lost", guessing("return F.cross_entropy(likeness, right).item()", one="pixels[:, :, :15]"),
                "The left half has 15 columns. Which is the last column of `[:, :, :16]`?"),
    ],
)  # fmt: skip
