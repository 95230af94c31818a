"""Assigned in lesson 03: an attention mask for texts that are read in any order, and a pretext task that colour alone solves."""

import torch
from fmcourse.classroom.exercise_kinds import AssignedExercise
from fmcourse.course.exercise import IMPORTS, Mistake, Property

# -- 03.A1 any order ------------------------------------------------------------------------------------------------------


def orders(B, T, seed):
    """B texts, each read in an order of its own."""
    return torch.rand(B, T, generator=torch.Generator().manual_seed(seed)).argsort(1)


ANY = '''def order_mask(order, given):
    """The attention mask where each text is read in an order of its own.

    order: (B, T) integers, each row holds 0 ... T-1 once: order[b, 0] is the position in text b that is read first,
    order[b, 1] the position that is read second, and so on   given: from 0 to T, how many positions are given
    ->   (B, T, T) bool: [b, t, s] is True where, in text b, position t may attend to position s

    A position may attend to itself, to every position that is read before it, and to every given position. Given are the
    first `given` positions in the order of reading: all positions may attend to them, also they to each other.
    """
'''


def near_miss(mask, rank="order.argsort(1)"):
    """A near miss: `rank` says when a position is read, t attends to s."""
    return (
        "def order_mask(order, given):\n    B, T = order.shape\n    at = torch.arange(T).expand(B, T)\n"
        f"    rank = {rank}\n    t, s = rank[:, :, None], rank[:, None, :]\n    return {mask}\n"
    )


any_order = AssignedExercise(
    "03.A1",
    goal="a mask for any order",
    minutes=15,
    difficulty=2,
    text="Causal or masked? There is a third way: read in *any* order. One text is read from left to right, the next from the middle to both ends, a third in a random order; "
    "each token is predicted from those read before it, wherever they stand. Such a model can continue a text *and* fill its gaps. (XLNet, Yang et al. 2019. "
    "The tokens keep their positions; only the attention mask changes. A position attends to itself, as under every causal mask: what is predicted there is the token that is read next.)\n\n"
    "So the mask is made from an order, one for each text of a batch. With the order 0, 1, 2, ... it is the `prefix_mask` of the lesson, with `given` as prefix. "
    "All other orders are new.\n\n"
    "*Example.* `order` is `[[2, 0, 1]]` and nothing is given: position 2 is read first, then 0, then 1. So position 2 attends to itself only, position 0 to 2 and 0, position 1 to all three.",
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
    explanation="`order` says which position is read n-th; the mask needs the inverse, when each position is read, and `argsort` of a permutation is its inverse. Then one comparison is enough: t attends to s where s is read no later. "
    "The given positions are added as columns. The causal mask is one order of T!, and training on all of them amounts to hiding any number of the tokens.",
    properties=[
        Property("the first and the last", '''def test(out, case):
    order, given = case
    for b, places in enumerate(order.tolist()):
        first, last = places[0], places[-1]
        if out[b, first].sum() != max(1, given) or not out[b, first, first]:
            return f"In text {b} position {first} is read first, and {given} positions are given; it attends to {out[b, first].nonzero()[:, 0].tolist()}."
        if not out[b, last].all():
            return f"In text {b} position {last} is read last; it attends to {out[b, last].nonzero()[:, 0].tolist()} only."
    return True
''', "To what may the first position in the order attend, and to what the last?"),
        Property("too many pairs, or too few", '''def test(out, case):
    order, given = case
    T = order.shape[1]
    wanted = T * (T + 1) // 2 + given * (given - 1) // 2
    for b, looks in enumerate(out.sum((1, 2)).tolist()):
        if looks != wanted:
            return f"Text {b} has {T} positions, {given} of them given. Whatever the order, that makes {wanted} times True; here it is {looks}."
    return True
''', "To how many may the position attend that is read n-th?"),
    ],
    mistakes=[
        Mistake("the order for its inverse", near_miss("(s <= t) | (s < given)", rank="order"),
                "In the example it takes the first number, 2, for the time at which position 0 is read. What does order[b, 0] say: when a position is read, or which position?"),
        Mistake("transposed", near_miss("(t <= s) | (t < given)"),
                "Rows and columns are exchanged: in the example position 2 attends to all. Which of the two axes is the attending position?"),
        Mistake("blind to itself", near_miss("(s < t) | (s < given)"),
                "The position that is read first attends to nothing, not even to itself. May a position attend to itself?"),
        Mistake("from left to right", near_miss("(s <= t) | (s < given)", rank="at"),
                "Whatever the order, each position attends to its left. In the example, which position is read first?"),
        Mistake("last is first", near_miss("(s >= t) | (s >= T - given)"),
                "The position that is read last attends to itself only. At which end of `order` does reading begin?"),
        Mistake("the first positions of the text", near_miss("(s <= t) | (at[:, None, :] < given)"),
                "It takes the given ones from the left end of the text. Which positions are given?"),
        Mistake("nothing given", near_miss("s <= t"),
                "The given positions cannot attend to each other unless they were read before. Which positions may attend to a given one?"),
        Mistake("the given attend to all", near_miss("(s <= t) | (t < given)"),
                "The given positions attend to everything. Are the given positions open as columns or as rows?"),
        Mistake("one too many given", near_miss("(s <= t) | (s <= given)"),
                "One position more than `given` is open to all. What is the number of the last of `given` positions, counted from 0?"),
        Mistake("the first text's order for all", near_miss("(s <= t) | (s < given)", rank="order[:1].argsort(1).expand(B, T)"),
                "All texts are read in the order of the first one. Which order belongs to each text?"),
        Mistake("the first positions of the text attend to all", near_miss("(s <= t) | (at[:, :, None] < given)"),
                "The first positions of the text attend to everything. Which positions are given, and which may attend to which?"),
        Mistake("reordered along one axis", near_miss("((at[:, None, :] <= at[:, :, None]) | (at[:, None, :] < given)).gather(1, order[:, :, None].expand(B, T, T))"),
                "The rows were put into another order, the columns not. Both count positions of the text: which of them were to be reordered?"),
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
    """A near miss: `a` and `b` are the colours of the halves, `similarity` how well each of a fits each of b."""
    return (
        "def cost_by_colour(mine):\n    from fmcourse.data import load\n"
        f'    pixels = load("emoji").train.pixels[mine["first"]::mine["step"]][:mine["many"]].double() / {scale}\n    temperature = mine["temperature"]\n'
        f"    a, b = (half.mean((1, 2)) for half in ({one}, {other}))\n    gaps = {gap}\n    similarity, right = -gaps / temperature, torch.arange(len(a))\n    {body}\n"
    )


shortcut = AssignedExercise(
    "03.A2",
    goal="is colour alone enough?",
    minutes=15,
    difficulty=2,
    text="*What the augmentation leaves is what the encoder must use.* And if it leaves something cheap? Then the encoder learns that, has a low loss, and represents nothing else: a shortcut. So one asks of every pretext task how far a trivial feature gets. "
    "SimCLR's augmentation changes colours on purpose: without that, crops of one image can be matched by their colours (Chen et al. 2020, section 3.1).\n\n"
    "Find out for emoji. Your images are `load(\"emoji\").train.pixels[first::step][:many]`, with your own numbers: (many, 32, 32, 3), that is images, rows, columns, and red, green and blue from 0 to 255. "
    "The two views of an image are its **left** half and its **right** half, columns 0-15 and 16-31. Each half is represented by three numbers only: its mean red, mean green and mean blue, each divided by 255. "
    "The similarity of two halves is −(the sum of the three absolute differences) / `temperature`.\n\n"
    "Each left half must find its right half among all `many` right halves. What is the mean cross-entropy over the left halves, in nats? (The softmax and the loss of the lesson. "
    "Only this direction, not the one from right to left.) Guessing costs log(`many`)."
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
    similarity = -sum((a[:, None] - b).abs() for a, b in zip(left, right)) / mine["temperature"]
    return (similarity.logsumexp(1) - similarity.diagonal()).mean().item()
'''],
    vary=some_emoji,
    explanation="Guessing among 250 costs 5.5 nats; three mean colours bring that down to three or four, sometimes five, and nearly every second half is found at the first try, without any shape. A network would find this out in the first "
    "minute. So the augmentation must change what is cheap, as the lesson's does with brightness, and a low loss on a pretext task proves nothing by itself.",
    properties=[Property("not between 0 and guessing", '''def test(out, case):
    guess = math.log(case["many"])
    return 0 < out < guess or f"A perfect match costs 0, guessing among {case['many']} costs {guess:.3f}; the value must lie between, and yours is {out:.4g}."
''', "What does the softmax get: similarity or distance, and how large?")],
    mistakes=[
        Mistake("both directions", guessing("return (F.cross_entropy(similarity, right) + F.cross_entropy(similarity.T, right)).item() / 2"),
                "Both directions are averaged, as in the lesson's loss. Which direction is meant here?"),
        Mistake("the other direction", guessing("return F.cross_entropy(similarity.T, right).item()"),
                "Each right half finds its left half. Along which axis of the matrix are the candidates?"),
        Mistake("upper and lower halves", guessing("return F.cross_entropy(similarity, right).item()", "pixels[:, :16]", "pixels[:, 16:]"),
                "The images were cut into an upper and a lower half. Which axis counts the columns?"),
        Mistake("distance for similarity", guessing("return F.cross_entropy(-similarity, right).item()"),
                "The half with the most distant colour gets the highest probability, and it costs more than guessing. Which sign has a similarity?"),
        Mistake("times the temperature", guessing("return F.cross_entropy(-gaps * temperature, right).item()"),
                "All candidates get nearly equal probabilities, and it costs as much as guessing. Does a low temperature enlarge differences or shrink them?"),
        Mistake("no temperature", guessing("return F.cross_entropy(-gaps, right).item()"),
                "The temperature makes no difference. Where does it come in?"),
        Mistake("brightness, not colour", guessing("return F.cross_entropy(similarity, right).item()", gap="(a.mean(-1)[:, None] - b.mean(-1)[None]).abs()"),
                "Red, green and blue were averaged, so only the brightness is compared. By how many numbers is a half represented?"),
        Mistake("Euclidean distance", guessing("return F.cross_entropy(similarity, right).item()", gap="(a[:, None] - b[None]).square().sum(-1).sqrt()"),
                "It takes the Euclidean distance between two colours, a root of squares. How was the distance defined?"),
        Mistake("squares", guessing("return F.cross_entropy(similarity, right).item()", gap="(a[:, None] - b[None]).square().sum(-1)"),
                "The differences were squared. How was the distance defined?"),
        Mistake("the mean of three", guessing("return F.cross_entropy(similarity, right).item()", gap="(a[:, None] - b[None]).abs().mean(-1)"),
                "The three differences were averaged. What was to be done with them?"),
        Mistake("not divided by 255", guessing("return F.cross_entropy(similarity, right).item()", scale="1"),
                "Colours run from 0 to 255, so all but one candidate count as impossible, and it costs more than guessing. How large can a mean be?"),
        Mistake("bits", guessing("return F.cross_entropy(similarity, right).item() / math.log(2)"),
                "It is in bits. To which base is the logarithm?"),
        Mistake("accuracy instead of cross-entropy", guessing("return (similarity.argmax(1) == right).double().mean().item()"),
                "That is the share of the left halves whose first choice was right. Which loss is asked for?"),
        Mistake("the logarithm of the mean", guessing("return -math.log(similarity.softmax(1).diagonal().mean().item())"),
                "First the mean, then the logarithm. Of what was the mean asked?"),
        Mistake("no steps", guessing("return F.cross_entropy(similarity, right).item()").replace('[mine["first"]::mine["step"]]', '[mine["first"]:]'),
                "The images stand one behind the other in the file. How far is it from each of yours to the next?"),
        Mistake("all of them", guessing("return F.cross_entropy(similarity, right).item()").replace('[:mine["many"]]', ""),
                "More than `many` right halves compete. How many images are yours?"),
        Mistake("probabilities as scores", guessing("return F.cross_entropy(similarity.softmax(1), right).item()"),
                "`cross_entropy` makes probabilities itself. What was handed to it?"),
        Mistake("a half looks for itself", guessing("return F.cross_entropy(similarity, right).item()", other="pixels[:, :, :16]"),
                "Left halves are compared with left halves, and each finds itself. What does a left half look for?"),
        Mistake("a column is lost", guessing("return F.cross_entropy(similarity, right).item()", one="pixels[:, :, :15]"),
                "The left half has 15 columns. Which is the last column of `[:, :, :16]`?"),
    ],
)  # fmt: skip
