"""Lesson 01: how it came about: few labels, a smoothed count, a memory with gates, the size of a GPT."""

import torch
from fmcourse.course.exercise import Exercise, Mistake, Property
from torch import Tensor

noise = lambda *shape, seed=0: torch.randn(*shape, generator=torch.Generator().manual_seed(seed))

# -- 01.1 few labels ------------------------------------------------------------------------------------------------------


def with_means(decide):
    """A wrong answer out of a rule: (means (K, D), asked (M, D)) -> guesses (M,)."""

    def wrong(known, kinds, asked):
        means = torch.stack([known[kinds == kind].mean(0) for kind in range(int(kinds.max()) + 1)])
        return decide(means, asked)

    return wrong


def by_sums(known, kinds, asked):
    sums = torch.stack([known[kinds == kind].sum(0) for kind in range(int(kinds.max()) + 1)])
    return torch.cdist(asked, sums).argmin(1)


def one_each(guesses: Tensor, case: tuple) -> bool | str:
    """A guess for each picture, and each a kind that there is."""
    _, kinds, asked = case
    if tuple(guesses.shape) != (len(asked),):
        return f"{len(asked)} pictures are asked about; the answer has shape {tuple(guesses.shape)}."
    most = int(kinds.max())
    return (
        int(guesses.max()) <= most
        or f"Kinds run from 0 to {most}; it answers {int(guesses.max())}. What does it count?"
    )


few_labels = Exercise(
    "01.1",
    goal="classify with a handful of labels",
    minutes=10,
    cases=[
        (torch.tensor([[0.0], [1.0], [10.0]]), torch.tensor([0, 0, 1]), torch.tensor([[2.0], [9.0], [4.0]])),
        (torch.tensor([[0.0, 0.0], [8.0, 0.0], [3.0, 3.0]]), torch.tensor([0, 0, 1]), torch.tensor([[8.0, 0.0], [4.0, 1.0], [2.0, 4.0], [3.0, 2.0]])),
        (torch.tensor([[1.0, 0.0], [0.0, 9.0]]), torch.tensor([0, 1]), torch.tensor([[1.0, 1.0], [0.0, 5.0], [2.0, 0.0]])),
        (torch.tensor([[0.0, 0.0], [3.0, 3.0]]), torch.tensor([0, 1]), torch.tensor([[0.0, 3.5], [2.6, 0.1], [1.0, 1.0]])),
        (torch.tensor([[0.0, 4.0], [4.0, 4.0]]), torch.tensor([1, 0]), torch.tensor([[3.0, -2.5], [0.5, 9.0]])),
        (torch.tensor([[0.0, 0.0], [5.0, 0.0]]), torch.tensor([0, 1]), torch.tensor([[2.4, 0.0], [3.0, 4.0], [2.4, 4.0]])),
        (torch.tensor([[3.0, 3.0], [0.0, 5.0]]), torch.tensor([0, 1]), torch.tensor([[0.0, 0.1], [0.2, 0.0]])),
        (noise(12, 5), torch.tensor([0, 1, 2] * 4), noise(30, 5, seed=1)),
    ],
    starter='''def nearest_mean(known, kinds, asked):
    """Guess the kind of each row that is asked about: the kind whose mean, that of its labelled rows, is nearest.

    known: (N, D)   kinds: (N,) whole numbers from 0, each at least once   asked: (M, D)   ->   (M,) kinds
    """
    ...
''',
    solution='''def nearest_mean(known, kinds, asked):
    """Guess the kind of each row that is asked about: the kind whose mean, that of its labelled rows, is nearest.

    known: (N, D)   kinds: (N,) whole numbers from 0, each at least once   asked: (M, D)   ->   (M,) kinds
    """
    means = torch.stack([known[kinds == kind].mean(0) for kind in range(int(kinds.max()) + 1)])  # (K, D)
    return torch.cdist(asked, means).argmin(1)  # distances (M, K); the place of the smallest is the kind
''',
    other_solutions=[
        lambda known, kinds, asked: torch.stack([
            torch.stack([((row - known[kinds == kind].mean(0)) ** 2).sum() for kind in kinds.unique()]).argmin() for row in asked
        ]),
        "def nearest_mean(known, kinds, asked):\n    member = F.one_hot(kinds).float()\n    means = (member.T @ known) / member.sum(0)[:, None]\n"
        "    return (asked @ means.T - means.square().sum(1) / 2).argmax(1)\n",
    ],
    hints=[
        "Two steps: boil the rows of each kind down to one row, their average. Then ask of each new row which average is nearest.",
        "`known[kinds == 2]` are the labelled rows of kind 2. Which axis do you average over, if one row of D numbers shall be left?",
        "`torch.stack([known[kinds == k].mean(0) for k in range(...)])`, then `torch.cdist(asked, means)` and its `.argmin(1)`.",
    ],
    explanation="The mean of a kind stands for it, so three labels or thirty give one row each. `cdist` holds the distance of every row that "
    "is asked about to every mean; the smallest in a row is the guess.",
    properties=[Property("not a kind each", one_each, "For each picture one kind: over which axis do you look for the smallest?")],
    mistakes=[
        Mistake("the farthest", with_means(lambda means, asked: torch.cdist(asked, means).argmax(1)),
                "It takes the mean that is *farthest*. Is a small distance a good or a bad sign?"),
        Mistake("the nearest picture", lambda known, kinds, asked: kinds[torch.cdist(asked, known).argmin(1)],
                "It asks the one nearest picture, so a single odd one decides. Who should speak for a kind?"),
        Mistake("the largest product", with_means(lambda means, asked: (asked @ means.T).argmax(1)),
                "It takes the largest dot product, and there a mean that is merely long wins. What is near about it?"),
        Mistake("the best angle", with_means(lambda means, asked: torch.cosine_similarity(asked[:, None], means[None], dim=-1).argmax(1)),
                "It compares directions, whatever the distance. Do two rows on one line from zero lie near each other?"),
        Mistake("sums for means", by_sums,
                "It adds up the rows of a kind, so a kind with many labels lies far out. By what should a sum be divided?"),
        Mistake("the median", lambda known, kinds, asked: torch.cdist(asked, torch.stack([known[kinds == kind].median(0).values for kind in range(int(kinds.max()) + 1)])).argmin(1),
                "It takes the middle row, number by number. What is an average of two rows?"),
        Mistake("round the corner", with_means(lambda means, asked: torch.cdist(asked, means, p=1).argmin(1)),
                "It walks along the axes, as in a city of blocks. How long is the straight line?"),
        Mistake("the first number alone", with_means(lambda means, asked: (asked[:, :1] - means[None, :, 0]).abs().argmin(1)),
                "Only the first of the D numbers counts. What do the others say?"),
        Mistake("the commonest kind", lambda known, kinds, asked: kinds.mode().values.expand(len(asked)).clone(),
                "Everything gets the kind with the most labels. Where does `asked` come in?"),
        Mistake("the mean of the distances", """def nearest_mean(known, kinds, asked):
    far = torch.cdist(asked, known)
    return torch.stack([far[:, kinds == kind].mean(1) for kind in range(int(kinds.max()) + 1)], 1).argmin(1)
""", "It averages distances, so a kind that lies spread out seems far even from its own middle. Distance to what was asked?"),
        Mistake("the nearest of a kind", """def nearest_mean(known, kinds, asked):
    far = torch.cdist(asked, known)
    return torch.stack([far[:, kinds == kind].max(1).values for kind in range(int(kinds.max()) + 1)], 1).argmin(1)
""", "It goes by the farthest picture of each kind, so a single odd one decides. Who should speak for a kind?"),
        Mistake("one number for a kind", """def nearest_mean(known, kinds, asked):
    means = torch.stack([known[kinds == kind].mean() for kind in range(int(kinds.max()) + 1)])
    return (asked.mean(1)[:, None] - means).abs().argmin(1)
""", "Each row becomes one number, its mean or its sum, so too much here and too little there cancel out. How many numbers has a mean?"),
        Mistake("one number for a kind, compared with each", """def nearest_mean(known, kinds, asked):
    means = torch.stack([known[kinds == kind].mean() for kind in range(int(kinds.max()) + 1)])
    return (asked[:, :, None] - means).abs().sum(1).argmin(1)
""", "Each number of a row is compared with one mean of everything. How many numbers has the mean of a kind?"),
        Mistake("kinds as they come", """def nearest_mean(known, kinds, asked):
    means = torch.stack([known[kinds == kind].mean(0) for kind in dict.fromkeys(kinds.tolist())])
    return torch.cdist(asked, means).argmin(1)
""", "The means stand in the order in which the kinds first appear, so place 0 need not be kind 0. In which order should they stand?"),
        Mistake("all pictures at once", """def nearest_mean(known, kinds, asked):
    means = torch.stack([known[kinds == kind].mean(0) for kind in range(int(kinds.max()) + 1)])
    far = torch.stack([(asked - mean).norm() for mean in means])
    return far.argmin().repeat(len(asked))
""", "`norm()` without an axis measures all rows together, so all get one kind. Along which axis does one row lie?"),
        Mistake("the distance, not the kind", """def nearest_mean(known, kinds, asked):
    means = torch.stack([known[kinds == kind].mean(0) for kind in range(int(kinds.max()) + 1)])
    return torch.cdist(asked, means).min(1).values
""", "It says how far the nearest mean is. Which mean is it?"),
        Mistake("along the wrong axis", """def nearest_mean(known, kinds, asked):
    means = torch.stack([known[kinds == kind].mean(0) for kind in range(int(kinds.max()) + 1)])
    return torch.cdist(asked, means).argmin(0)
""", "It finds for each kind the nearest of the pictures asked about. Along which axis do the kinds stand?"),
    ],
)  # fmt: skip

# -- 01.2 a smoothed count ------------------------------------------------------------------------------------------------


def a_chance(p: float, case: tuple) -> bool | str:
    after, token, shorter = case
    if not 0 <= p <= 1 + 1e-6:
        return f"After this context came {''.join(after) or 'nothing'!r}; it gives {token!r} a probability of {p:.3g}."
    return (
        p > 0
        or shorter == 0
        or f"{token!r} is possible, says the shorter context ({shorter:g}); here it gets 0, and log 0 is minus infinity."
    )


def wb(after, token, shorter, kinds=None, total=None):
    """The formula, or a near miss: other numbers for the kinds and the total."""
    kinds = len(set(after)) if kinds is None else kinds
    total = len(after) if total is None else total
    return (after.count(token) + kinds * shorter) / (total + kinds)


letters = list
smooth = Exercise(
    "01.2",
    goal="make nothing impossible",
    minutes=12,
    difficulty=2,
    cases=[
        (letters("aab"), "a", 0.5),
        (letters("aab"), "c", 0.25),
        (letters("u" * 9), "u", 0.02),
        (letters("abcd"), "a", 0.1),
        ([], "e", 0.12),
        (letters("e"), "e", 1.0),
        (letters("tthhhee"), "x", 0.0),
        (letters("aaaabbc"), "b", 0.3),
    ],
    starter='''def smoothed(after, letter, shorter):
    """Probability of a letter: what followed this context, mixed with what the shorter context says.

    (count + kinds * shorter) / (total + kinds): `total` letters followed, of `kinds` different ones; nothing
    followed: `shorter`.
    after: the letters that followed the context, a list   shorter: the letter's probability after the shorter context
    """
    ...
''',
    solution='''def smoothed(after, letter, shorter):
    """Probability of a letter: what followed this context, mixed with what the shorter context says.

    (count + kinds * shorter) / (total + kinds): `total` letters followed, of `kinds` different ones; nothing
    followed: `shorter`.
    after: the letters that followed the context, a list   shorter: the letter's probability after the shorter context
    """
    if not after:
        return shorter
    kinds = len(set(after))  # who was often surprised expects to be surprised again
    return (after.count(letter) + kinds * shorter) / (len(after) + kinds)
''',
    other_solutions=[
        "def smoothed(after, letter, shorter):\n    total, kinds = len(after), len({*after})\n    trust = total / max(1, total + kinds)\n"
        "    own = sum(a == letter for a in after) / max(1, total)\n    return trust * own + (1 - trust) * shorter\n",
        "def smoothed(after, letter, shorter):\n    counts = {a: 0 for a in after}\n    for a in after:\n        counts[a] += 1\n"
        "    below = sum(counts.values()) + len(counts)\n    return (counts.get(letter, 0) + len(counts) * shorter) / below if below else shorter\n",
    ],
    hints=[
        "Think of the kinds as extra letters that were seen, and that the shorter context may hand out as it sees fit.",
        "Three numbers: how often this letter followed, how many letters followed, and how many *different* ones. And if none did?",
        "`after.count(letter)`, `len(after)`, `len(set(after))`; and first of all `if not after: return shorter`.",
    ],
    explanation="A context that was always followed by the same letter has one kind and hardly listens to the shorter one; a context that was "
    "followed by something new each time listens a lot. Summed over all letters it is (total + kinds) / (total + kinds) = 1.",
    properties=[Property("no probability", a_chance, "What must hold of every probability, and of all letters' together?")],
    mistakes=[
        Mistake("no smoothing", lambda after, token, shorter: after.count(token) / len(after) if after else shorter,
                "It only counts, so a letter that never followed is impossible. Who has a say for such a letter?"),
        Mistake("only when there is nothing else", lambda after, token, shorter: after.count(token) / len(after) if token in after else shorter,
                "The shorter context is asked only for letters that never followed, so all letters together get more than 1. Who pays for it?"),
        Mistake("one kind, always", lambda after, token, shorter: wb(after, token, shorter, kinds=1),
                "The shorter context weighs 1, however often something new came. Which number says that?"),
        Mistake("as many kinds as letters", lambda after, token, shorter: wb(after, token, shorter, kinds=len(after)) if after else shorter,
                "It is half and half: repeats count as kinds. How many *different* letters followed?"),
        Mistake("not divided by the kinds", lambda after, token, shorter: (after.count(token) + len(set(after)) * shorter) / len(after) if after else shorter,
                "Above the line were added `kinds` letters, below not. Do all letters together still get 1?"),
        Mistake("the kinds only below", lambda after, token, shorter: (after.count(token) + shorter) / (len(after) + len(set(after))) if after else shorter,
                "Below the line were added `kinds` letters, above only one. Do all letters together still get 1?"),
        Mistake("the shorter one left out", lambda after, token, shorter: wb(after, token, 1.0) if after else shorter,
                "Every letter gets all of the extra, likely or not. Where does `shorter` come in?"),
        Mistake("nothing means zero", lambda after, token, shorter: wb(after, token, shorter) if after else 0.0,
                "Where nothing followed it says 0. Is that impossible, or only unknown?"),
        Mistake("both must agree", lambda after, token, shorter: after.count(token) / len(after) * shorter if after else shorter,
                "It multiplies, so a letter must be likely twice. Are these two judges, or two witnesses to be averaged?"),
        Mistake("the shorter one is believed most", lambda after, token, shorter: wb(after, token, shorter, kinds=len(after), total=len(set(after))) if after else shorter,
                "Kinds and total have changed places. The more letters were seen, the more, or the less, should they count?"),
        Mistake("nothing followed, and divided", """def smoothed(after, letter, shorter):
    kinds = len(set(after))
    return (after.count(letter) + kinds * shorter) / (len(after) + kinds)
""", "Where nothing followed, total and kinds are 0, and it divides 0 by 0. What does the docstring say of that?"),
        Mistake("a division too early", """def smoothed(after, letter, shorter):
    if not after:
        return shorter
    kinds = len(set(after))
    return after.count(letter) + kinds * shorter / (len(after) + kinds)
""", "The count is not divided: `/` comes before `+`. Where do brackets belong?"),
        Mistake("one more of each kind", """def smoothed(after, letter, shorter):
    return (after.count(letter) + 1) / (len(after) + len(set(after)))
""", "Each letter gets one more, likely or not (add-one smoothing), and `shorter` is not asked. Where does it come in?"),
        Mistake("one more of each kind, but for nothing", """def smoothed(after, letter, shorter):
    if not after:
        return shorter
    return (after.count(letter) + 1) / (len(after) + len(set(after)))
""", "Each letter gets one more, likely or not (add-one smoothing). What do the kinds hand out, and by whose word?"),
        Mistake("one more of 26", """def smoothed(after, letter, shorter):
    return (after.count(letter) + 1) / (len(after) + 26)
""", "That is add-one smoothing: each letter of the alphabet gets one more. What does the shorter context say of a letter?"),
        Mistake("nothing means certain", """def smoothed(after, letter, shorter):
    if not after:
        return 1.0
    kinds = len(set(after))
    return (after.count(letter) + kinds * shorter) / (len(after) + kinds)
""", "Where nothing followed it says 1, of every letter. Who still knows something there?"),
        Mistake("the mean of both", """def smoothed(after, letter, shorter):
    return (after.count(letter) / max(1, len(after)) + shorter) / 2
""", "Both contexts count a half, however much was seen. Which numbers say how much each is to be trusted?"),
    ],
)  # fmt: skip

# -- 01.3 a memory with gates ---------------------------------------------------------------------------------------------


def kept_small(result: tuple, case: tuple) -> bool | str:
    h = result[0]
    return (
        bool(h.abs().max() <= 1 + 1e-6)
        or f"What is shown lies between -1 and 1; here it reaches {h.abs().max().item():.3g}."
    )


def cell(c, i, f, g, o, *, swap=False, write=None, keep=None, out=None, gate=None):
    """A step of the memory, or a near miss."""
    i, f = (f, i) if swap else (i, f)
    write = i.sigmoid() * g.tanh() if write is None else write
    new = (f.sigmoid() * c if keep is None else keep) + write
    shown = new.tanh() if out is None else out(new)
    return (o.sigmoid() if gate is None else gate) * shown, new


memory = Exercise(
    "01.3",
    goal="one step of a memory with gates",
    minutes=12,
    difficulty=2,
    cases=[
        tuple(torch.tensor([[value]]) for value in (2.0, -9.0, 9.0, 0.5, 9.0)),
        tuple(torch.tensor([[value]]) for value in (2.0, 9.0, -9.0, 0.5, 9.0)),
        tuple(noise(1, 3, seed=seed) for seed in range(5)),
        tuple((2 * noise(4, 6, seed=seed)).requires_grad_() for seed in range(5, 10)),
    ],
    starter='''def step(c, i, f, g, o):
    """Forget some, write some, show some: the memory c, (B, H), becomes sigmoid(f) c + sigmoid(i) tanh(g).

    i, f, g, o: (B, H) each, before any squashing: write? keep? what? show?
    Returns what is shown, h = sigmoid(o) tanh(new c), and the new c.
    """
    ...
''',
    solution='''def step(c, i, f, g, o):
    """Forget some, write some, show some: the memory c, (B, H), becomes sigmoid(f) c + sigmoid(i) tanh(g).

    i, f, g, o: (B, H) each, before any squashing: write? keep? what? show?
    Returns what is shown, h = sigmoid(o) tanh(new c), and the new c.
    """
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()  # gates are shares between 0 and 1; what is written lies between -1 and 1
    return o.sigmoid() * c.tanh(), c
''',
    other_solutions=[
        "def step(c, i, f, g, o):\n    write, keep, show = (1 / (1 + torch.exp(-gate)) for gate in (i, f, o))\n"
        "    new = torch.addcmul(keep * c, write, torch.tanh(g))\n    return show * torch.tanh(new), new\n",
        lambda c, i, f, g, o: (
            torch.sigmoid(o) * torch.tanh(torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)),
            torch.lerp(torch.zeros_like(c), c, torch.sigmoid(f)) + torch.sigmoid(i) * torch.tanh(g),
        ),
    ],
    hints=[
        "Gates are taps: sigmoid makes a share between shut (0) and open (1). Which tap sits on the old memory, which on the new?",
        "First the new memory: kept share of the old, plus written share of g. Then what is shown, out of the *new* memory.",
        "`c = f.sigmoid() * c + i.sigmoid() * g.tanh()`, and return `o.sigmoid() * c.tanh(), c`.",
    ],
    explanation="The old memory is only scaled and added to, never multiplied by a matrix, so with an open forget gate it passes unchanged, and so does "
    "its gradient. That is what let LSTMs remember for hundreds of steps.",
    properties=[Property("shown too loud", kept_small, "Which function squeezes the memory before it is shown, and which gate sits behind it?")],
    mistakes=[
        Mistake("forget and write swapped", lambda c, i, f, g, o: cell(c, i, f, g, o, swap=True),
                "With the forget gate open it forgot, with the write gate shut it wrote. Which tap sits on the old memory?"),
        Mistake("keeps what it should forget", lambda c, i, f, g, o: cell(c, i, -f, g, o),
                "With the forget gate open (1) nothing was left. Does f say how much is thrown away, or how much is kept?"),
        Mistake("one tap for both", lambda c, i, f, g, o: cell(c, i, f, g, o, write=(1 - f.sigmoid()) * g.tanh()),
                "It writes just as much as it forgets (other cells do that). Where does i come in?"),
        Mistake("nothing is kept", lambda c, i, f, g, o: cell(c, i, f, g, o, keep=0 * c),
                "The new memory holds only what was just written. What becomes of the old one?"),
        Mistake("nothing is forgotten", lambda c, i, f, g, o: cell(c, i, f, g, o, keep=c),
                "The whole old memory stays, whatever f says. Which gate is missing?"),
        Mistake("all is written", lambda c, i, f, g, o: cell(c, i, f, g, o, write=g.tanh()),
                "With the write gate shut it wrote all the same. Where does i come in?"),
        Mistake("the old memory is shown", lambda c, i, f, g, o: (o.sigmoid() * c.tanh(), cell(c, i, f, g, o)[1]),
                "It shows the memory of the step before. Which comes first, writing or showing?"),
        Mistake("shown without a gate", lambda c, i, f, g, o: cell(c, i, f, g, o, gate=torch.ones_like(o)),
                "Everything is shown at all times. What does o decide?"),
        Mistake("written through a sigmoid", lambda c, i, f, g, o: cell(c, i, f, g, o, write=i.sigmoid() * g.sigmoid()),
                "What is written is never negative, so the memory can only fill up. Which function goes both ways?"),
        Mistake("gates not squashed", lambda c, i, f, g, o: (o.tanh() * (f.tanh() * c + i.tanh() * g.tanh()).tanh(), f.tanh() * c + i.tanh() * g.tanh()),
                "A gate of tanh can be negative, and then turns the memory upside down. Which function gives shares from 0 to 1?"),
        Mistake("written unsqueezed", lambda c, i, f, g, o: cell(c, i, f, g, o, write=i.sigmoid() * g),
                "What is written may be as large as it likes, step after step. What keeps it between -1 and 1?"),
        Mistake("memory first", lambda c, i, f, g, o: cell(c, i, f, g, o)[::-1],
                "Both are right, in the wrong order. Which one is asked for first?"),
        Mistake("shown unsqueezed", """def step(c, i, f, g, o):
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c, c
""", "The memory is shown as it is, however large it has grown. Which function squeezes it before the gate?"),
        Mistake("shown through a sigmoid", """def step(c, i, f, g, o):
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.sigmoid(), c
""", "What is shown is never negative. Which function squeezes the memory and keeps its sign?"),
        Mistake("no gate is squashed", """def step(c, i, f, g, o):
    c = f * c + i * g
    return o * c.tanh(), c
""", "The gates are used as they came, so a gate of -9 turns the memory round and makes it nine times as large. What makes a share of them?"),
        Mistake("gates as they came", """def step(c, i, f, g, o):
    c = f * c + i * g.tanh()
    return o * c.tanh(), c
""", "g is squashed, the gates are not: they may be -9 or 9. What makes a share between 0 and 1 of them?"),
        Mistake("what was written is forgotten, too", """def step(c, i, f, g, o):
    c = f.sigmoid() * (c + i.sigmoid() * g.tanh())
    return o.sigmoid() * c.tanh(), c
""", "The forget gate also multiplies what was just written. What does it stand before in the docstring?"),
        Mistake("the output gate alone is squashed", """def step(c, i, f, g, o):
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.tanh() * c.tanh(), c
""", "A gate of tanh can be negative, and then shows the memory upside down. Which function gives shares from 0 to 1?"),
        Mistake("written into the caller's memory", """def step(c, i, f, g, o):
    c *= f.sigmoid()
    c += i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c
""", "`*=` and `+=` write into the tensor that was handed in. How do you make a new one?"),
        Mistake("shown alone", """def step(c, i, f, g, o):
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh()
""", "It returns what is shown, and the new memory is lost. What does the next step start from?"),
    ],
)  # fmt: skip

# -- 01.4 the size of a GPT -----------------------------------------------------------------------------------------------


def counted(vocab, context, width, depth, *, ends=1, places=1, square=12, line=13, last=2, extra=0):
    """The formula, or a near miss."""
    return (
        ends * vocab * width
        + places * context * width
        + depth * (square * width**2 + line * width + extra)
        + last * width
    )


def never_negative(n: int, case: tuple) -> bool | str:
    return n == int(n) or f"Numbers are counted one by one; {n} is no count."


size = Exercise(
    "01.4",
    goal="count a giant",
    minutes=12,
    difficulty=2,
    cases=[(1, 1, 1, 1), (5, 3, 2, 1), (7, 4, 3, 2), (50_257, 1024, 768, 12), (50_257, 1024, 1600, 48)],
    starter='''def gpt_size(vocab, context, width, depth):
    """How many numbers a GPT-2 of this shape has learnt.

    Beginning: a vector for each token, and one for each place in the context. (The end uses the tokens' vectors again.)
    Each of `depth` blocks: four square matrices width x width; two between width and 4 width; each of the six adds a
    constant to each of its outputs; and two norms, each a factor and a constant for each of the width. After the last
    block one more norm.
    """
    ...
''',
    solution='''def gpt_size(vocab, context, width, depth):
    """How many numbers a GPT-2 of this shape has learnt.

    Beginning: a vector for each token, and one for each place in the context. (The end uses the tokens' vectors again.)
    Each of `depth` blocks: four square matrices width x width; two between width and 4 width; each of the six adds a
    constant to each of its outputs; and two norms, each a factor and a constant for each of the width. After the last
    block one more norm.
    """
    matrices = 4 * width**2 + 2 * width * 4 * width     # 12 width²: nearly all of it
    constants = 4 * width + 4 * width + width           # one for each output of the six
    norms = 2 * 2 * width
    return (vocab + context) * width + depth * (matrices + constants + norms) + 2 * width
''',
    other_solutions=[
        lambda vocab, context, width, depth: vocab * width + context * width + depth * (12 * width * width + 13 * width) + 2 * width,
        "def gpt_size(vocab, context, width, depth):\n    count = lambda model: sum(p.numel() for p in model.parameters())\n"
        "    block = nn.ModuleList([*(nn.Linear(width, width, device='meta') for _ in range(4)), nn.Linear(width, 4 * width, device='meta'),\n"
        "                           nn.Linear(4 * width, width, device='meta'), *(nn.LayerNorm(width, device='meta') for _ in range(2))])\n"
        "    return (vocab + context + 2) * width + depth * count(block)\n",
    ],
    hints=[
        "Do it as an accountant would: the beginning, one block, the end. Only the block is multiplied by `depth`.",
        "A matrix from a to b holds a times b numbers and b constants. A norm of the width holds two numbers for each.",
        "One block is 12 width² + 13 width; before it (vocab + context) width, after it 2 width.",
    ],
    explanation="A block is 12 width² + 13 width, so for a wide model almost everything is 12 · depth · width²: GPT-3 has 96 blocks 12,288 wide, and "
    "12 · 96 · 12,288² is 173.9 billion already. Heads do not appear: they only cut the width into pieces.",
    properties=[Property("not a count", never_negative, "What is counted here, whole numbers or something else?")],
    mistakes=[
        Mistake("the tokens twice", lambda *shape: counted(*shape, ends=2),
                "The vectors of the tokens count twice, at the beginning and at the end. What does the end use?"),
        Mistake("no places", lambda *shape: counted(*shape, places=0),
                "It has vectors for the tokens, but none for the places. How would it know what came first?"),
        Mistake("vectors of one number", lambda vocab, context, width, depth: counted(vocab, context, width, depth) - (vocab + context) * (width - 1),
                "A token counts as one number. How long is its vector?"),
        Mistake("the matrices alone", lambda vocab, context, width, depth: 12 * depth * width**2,
                "These are the matrices of the blocks, nearly all of a giant. What stands before them, beside them and after them?"),
        Mistake("no constants", lambda *shape: counted(*shape, line=4),
                "The matrices add no constants. How many outputs have the six of a block together?"),
        Mistake("no norms", lambda *shape: counted(*shape, line=9, last=0),
                "All matrices are there, but no norm. How many are there in a block, and where is one more?"),
        Mistake("the last norm is missing", lambda *shape: counted(*shape, last=0),
                "It is short of 2 width. What stands after the last block?"),
        Mistake("half a norm", lambda *shape: counted(*shape, line=11, last=1),
                "Each norm counts width numbers. It multiplies *and* adds: how many is that?"),
        Mistake("three square matrices", lambda *shape: counted(*shape, square=11, line=12),
                "A block is short of one square matrix: queries, keys, values, and?"),
        Mistake("a narrow middle", lambda *shape: counted(*shape, square=6, line=10),
                "The two last matrices of a block are square here. How wide is the middle?"),
        Mistake("one block", lambda vocab, context, width, depth: counted(vocab, context, width, 1),
                "However deep it is, it has one block. What should be multiplied by `depth`?"),
        Mistake("the ends in each block", lambda vocab, context, width, depth: depth * counted(vocab, context, width, 1),
                "Everything is multiplied by `depth`, even the vectors of the tokens. How many blocks have those?"),
        Mistake("a square of the context", lambda vocab, context, width, depth: counted(vocab, context, width, depth, extra=context**2),
                "A square of the context is counted in each block. Are those scores learnt, or computed afresh for each text?"),
        Mistake("six constants of the width", lambda *shape: counted(*shape, line=10),
                "Each of the six matrices adds width constants here. One of them has 4 width outputs: which?"),
        Mistake("six constants of four widths", lambda *shape: counted(*shape, line=6 * 4 + 4),
                "Each of the six matrices adds 4 width constants here. How many outputs have the other five?"),
        Mistake("two constants of four widths", lambda *shape: counted(*shape, line=4 + 8 + 4),
                "Both matrices of the middle add 4 width constants here. How many outputs has the one that leads back?"),
        Mistake("one matrix of the middle", lambda *shape: counted(*shape, square=8),
                "4 width² are missing: one of the two matrices between width and 4 width. Which leads back?"),
        Mistake("norms once for all blocks", lambda vocab, context, width, depth: counted(vocab, context, width, depth, line=9, last=6),
                "The two norms of a block are counted once, not once for each block. What is multiplied by `depth`?"),
        Mistake("norms of two numbers", lambda vocab, context, width, depth: counted(vocab, context, width, depth, line=9, last=0, extra=4) + 2,
                "Each norm counts two numbers. A factor and a constant for each of what?"),
        Mistake("half the last norm", lambda *shape: counted(*shape, last=1),
                "It is short of width numbers. The last norm multiplies *and* adds: how many is that?"),
        Mistake("one norm in a block", lambda *shape: counted(*shape, line=11),
                "It is short of 2 width in each block. How many norms has a block?"),
        Mistake("twice for the square", lambda vocab, context, width, depth: counted(vocab, context, width, depth, square=0, line=24 + 13),
                "`width * 2` is not the square of the width. How is a square written?"),
        Mistake("the matrices forgotten", lambda *shape: counted(*shape, square=4, line=13),
                "Only the four square matrices are there. Which two lie between width and 4 width?"),
        Mistake("constants of the square matrices alone", lambda *shape: counted(*shape, line=8),
                "The two matrices of the middle add no constants. How many outputs have they?"),
    ],
)  # fmt: skip
