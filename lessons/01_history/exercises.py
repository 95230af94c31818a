"""Lesson 01: how it came about: few labels, a smoothed n-gram model, a step of an LSTM, the size of a GPT."""

import torch
from fmcourse.course.exercise import Exercise, Mistake, Property
from torch import Tensor

noise = lambda *shape, seed=0: torch.randn(*shape, generator=torch.Generator().manual_seed(seed))

# -- 01.1 few labels ------------------------------------------------------------------------------------------------------


def with_means(decide):
    """A wrong answer out of a rule: (means (K, D), queries (M, D)) -> predictions (M,)."""

    def wrong(features, labels, queries):
        means = torch.stack([features[labels == label].mean(0) for label in range(int(labels.max()) + 1)])
        return decide(means, queries)

    return wrong


def by_sums(features, labels, queries):
    sums = torch.stack([features[labels == label].sum(0) for label in range(int(labels.max()) + 1)])
    return torch.cdist(queries, sums).argmin(1)


def one_each(predictions: Tensor, case: tuple) -> bool | str:
    """A prediction for each query, and each a class that there is."""
    _, labels, queries = case
    if tuple(predictions.shape) != (len(queries),):
        return f"There are {len(queries)} queries; the answer has shape {tuple(predictions.shape)}."
    most = int(labels.max())
    return (
        int(predictions.max()) <= most
        or f"Classes run from 0 to {most}; it answers {int(predictions.max())}. What does it count?"
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
    starter='''def nearest_mean(features, labels, queries):
    """Predict the class of each query: the class whose mean, that of its labelled rows, is nearest.

    features: (N, D)   labels: (N,) whole numbers from 0, each at least once   queries: (M, D)   ->   (M,) classes
    """
    ...
''',
    solution='''def nearest_mean(features, labels, queries):
    """Predict the class of each query: the class whose mean, that of its labelled rows, is nearest.

    features: (N, D)   labels: (N,) whole numbers from 0, each at least once   queries: (M, D)   ->   (M,) classes
    """
    means = torch.stack([features[labels == label].mean(0) for label in range(int(labels.max()) + 1)])  # (K, D)
    return torch.cdist(queries, means).argmin(1)  # distances (M, K); the index of the smallest is the class
''',
    other_solutions=[
        lambda features, labels, queries: torch.stack([
            torch.stack([((row - features[labels == label].mean(0)) ** 2).sum() for label in labels.unique()]).argmin() for row in queries
        ]),
        "def nearest_mean(features, labels, queries):\n    member = F.one_hot(labels).float()\n    means = (member.T @ features) / member.sum(0)[:, None]\n"
        "    return (queries @ means.T - means.square().sum(1) / 2).argmax(1)\n",
    ],
    hints=[
        "Two steps: reduce the rows of each class to one row, their mean. Then ask of each query which mean is nearest.",
        "`features[labels == 2]` are the labelled rows of class 2. Over which axis do you average, if one row of D features is to be left?",
        "`torch.stack([features[labels == k].mean(0) for k in range(...)])`, then `torch.cdist(queries, means)` and its `.argmin(1)`.",
    ],
    explanation="The mean of a class stands for it, so three labels or thirty give one row each. `cdist` holds the distance of every query "
    "to every mean; the smallest in a row is the prediction.",
    properties=[Property("not a class each", one_each, "For each query one class: over which axis do you look for the smallest?")],
    mistakes=[
        Mistake("the farthest", with_means(lambda means, queries: torch.cdist(queries, means).argmax(1)),
                "It takes the mean that is *farthest*. Is a small distance a good or a bad sign?"),
        Mistake("the nearest neighbour", lambda features, labels, queries: labels[torch.cdist(queries, features).argmin(1)],
                "It asks the one nearest labelled image, so a single odd one decides. What should stand for a class?"),
        Mistake("the largest product", with_means(lambda means, queries: (queries @ means.T).argmax(1)),
                "It takes the largest dot product, which favours a mean that is merely long. Is that the nearest one?"),
        Mistake("the best angle", with_means(lambda means, queries: torch.cosine_similarity(queries[:, None], means[None], dim=-1).argmax(1)),
                "It compares directions, whatever the distance. Do two rows on one line from zero lie near each other?"),
        Mistake("sums for means", by_sums,
                "It adds up the rows of a class, so a class with many labels lies far out. By what should a sum be divided?"),
        Mistake("the median", lambda features, labels, queries: torch.cdist(queries, torch.stack([features[labels == label].median(0).values for label in range(int(labels.max()) + 1)])).argmin(1),
                "It takes the median of each feature. What is the mean of two rows?"),
        Mistake("city-block distance", with_means(lambda means, queries: torch.cdist(queries, means, p=1).argmin(1)),
                "It adds up the differences along the axes (city-block distance). How long is the straight line?"),
        Mistake("the first feature alone", with_means(lambda means, queries: (queries[:, :1] - means[None, :, 0]).abs().argmin(1)),
                "Only the first of the D features counts. What do the others say?"),
        Mistake("the commonest class", lambda features, labels, queries: labels.mode().values.expand(len(queries)).clone(),
                "Everything gets the class with the most labels. Where do `queries` come in?"),
        Mistake("the mean of the distances", """def nearest_mean(features, labels, queries):
    far = torch.cdist(queries, features)
    return torch.stack([far[:, labels == label].mean(1) for label in range(int(labels.max()) + 1)], 1).argmin(1)
""", "It averages distances, so a class that is spread out seems far even from its own mean. Distance to what?"),
        Mistake("the farthest of a class", """def nearest_mean(features, labels, queries):
    far = torch.cdist(queries, features)
    return torch.stack([far[:, labels == label].max(1).values for label in range(int(labels.max()) + 1)], 1).argmin(1)
""", "It goes by the farthest labelled image of each class, so a single odd one decides. What should stand for a class?"),
        Mistake("one number for a class", """def nearest_mean(features, labels, queries):
    means = torch.stack([features[labels == label].mean() for label in range(int(labels.max()) + 1)])
    return (queries.mean(1)[:, None] - means).abs().argmin(1)
""", "Each row becomes one number, its mean or its sum, so differences of opposite sign cancel. How many numbers has the mean of a class?"),
        Mistake("one number for a class, compared with each", """def nearest_mean(features, labels, queries):
    means = torch.stack([features[labels == label].mean() for label in range(int(labels.max()) + 1)])
    return (queries[:, :, None] - means).abs().sum(1).argmin(1)
""", "Each feature of a row is compared with one mean of everything. How many numbers has the mean of a class?"),
        Mistake("classes in order of appearance", """def nearest_mean(features, labels, queries):
    means = torch.stack([features[labels == label].mean(0) for label in dict.fromkeys(labels.tolist())])
    return torch.cdist(queries, means).argmin(1)
""", "The means stand in the order in which the classes first appear, so index 0 need not be class 0. In which order should they stand?"),
        Mistake("all queries at once", """def nearest_mean(features, labels, queries):
    means = torch.stack([features[labels == label].mean(0) for label in range(int(labels.max()) + 1)])
    far = torch.stack([(queries - mean).norm() for mean in means])
    return far.argmin().repeat(len(queries))
""", "`norm()` without an axis measures all rows together, so all get one class. Along which axis does one row lie?"),
        Mistake("the distance, not the class", """def nearest_mean(features, labels, queries):
    means = torch.stack([features[labels == label].mean(0) for label in range(int(labels.max()) + 1)])
    return torch.cdist(queries, means).min(1).values
""", "It says how far the nearest mean is. Which mean is it?"),
        Mistake("along the wrong axis", """def nearest_mean(features, labels, queries):
    means = torch.stack([features[labels == label].mean(0) for label in range(int(labels.max()) + 1)])
    return torch.cdist(queries, means).argmin(0)
""", "It finds for each class the nearest of the queries. Along which axis do the classes stand?"),
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


def wb(after, token, shorter, distinct=None, total=None):
    """The formula, or a near miss: other numbers for the distinct and the total."""
    distinct = len(set(after)) if distinct is None else distinct
    total = len(after) if total is None else total
    return (after.count(token) + distinct * shorter) / (total + distinct)


letters = list
smooth = Exercise(
    "01.2",
    goal="smooth an n-gram model",
    minutes=10,
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
    """Probability of a letter: what followed this context, mixed with the shorter context's probability.

    (count + distinct * shorter) / (total + distinct): `total` letters followed, `distinct` different ones among
    them. If nothing followed: `shorter`.
    after: the letters that followed the context, a list   shorter: the letter's probability after the shorter context
    """
    ...
''',
    solution='''def smoothed(after, letter, shorter):
    """Probability of a letter: what followed this context, mixed with the shorter context's probability.

    (count + distinct * shorter) / (total + distinct): `total` letters followed, `distinct` different ones among
    them. If nothing followed: `shorter`.
    after: the letters that followed the context, a list   shorter: the letter's probability after the shorter context
    """
    if not after:
        return shorter
    distinct = len(set(after))  # the more different letters followed, the likelier is another
    return (after.count(letter) + distinct * shorter) / (len(after) + distinct)
''',
    other_solutions=[
        "def smoothed(after, letter, shorter):\n    total, distinct = len(after), len({*after})\n    trust = total / max(1, total + distinct)\n"
        "    own = sum(a == letter for a in after) / max(1, total)\n    return trust * own + (1 - trust) * shorter\n",
        "def smoothed(after, letter, shorter):\n    counts = {a: 0 for a in after}\n    for a in after:\n        counts[a] += 1\n"
        "    below = sum(counts.values()) + len(counts)\n    return (counts.get(letter, 0) + len(counts) * shorter) / below if below else shorter\n",
    ],
    hints=[
        "Think of `distinct` extra observations, distributed as the shorter context predicts.",
        "Three numbers: how often this letter followed, how many letters followed, and how many *different* ones. And if none did?",
        "`after.count(letter)`, `len(after)`, `len(set(after))`; and first of all `if not after: return shorter`.",
    ],
    explanation="A context that was always followed by the same letter has distinct = 1 and gives the shorter one little weight; one that was "
    "followed by something new each time gives it much. Summed over all letters it is (total + distinct) / (total + distinct) = 1.",
    properties=[Property("no probability", a_chance, "What must hold of every probability, and of all letters' together?")],
    mistakes=[
        Mistake("no smoothing", lambda after, token, shorter: after.count(token) / len(after) if after else shorter,
                "It only counts, so a letter that never followed gets probability 0. What does the shorter context say of it?"),
        Mistake("only when there is nothing else", lambda after, token, shorter: after.count(token) / len(after) if token in after else shorter,
                "The shorter context is used only for letters that never followed, so all letters together get more than 1. From what must be taken?"),
        Mistake("the shorter one whole for new letters", lambda after, token, shorter: wb(after, token, shorter) if token in after else shorter,
                "A letter that never followed gets all of `shorter`, so all letters together get more than 1. What is left of the formula where the count is 0?"),
        Mistake("always one", lambda after, token, shorter: wb(after, token, shorter, distinct=1),
                "The shorter context weighs 1, however often something new came. Which number says that?"),
        Mistake("distinct is the total", lambda after, token, shorter: wb(after, token, shorter, distinct=len(after)) if after else shorter,
                "It is half and half: repeats count as distinct. How many *different* letters followed?"),
        Mistake("distinct only in the numerator", lambda after, token, shorter: (after.count(token) + len(set(after)) * shorter) / len(after) if after else shorter,
                "`distinct` was added to the numerator, not to the denominator. Do all letters together still get 1?"),
        Mistake("distinct only in the denominator", lambda after, token, shorter: (after.count(token) + shorter) / (len(after) + len(set(after))) if after else shorter,
                "`distinct` was added to the denominator, only one to the numerator. Do all letters together still get 1?"),
        Mistake("the shorter one left out", lambda after, token, shorter: wb(after, token, 1.0) if after else shorter,
                "Every letter gets all of the extra, likely or not. Where does `shorter` come in?"),
        Mistake("nothing means zero", lambda after, token, shorter: wb(after, token, shorter) if after else 0.0,
                "Where nothing followed it says 0. Is that impossible, or only unknown?"),
        Mistake("multiplied", lambda after, token, shorter: after.count(token) / len(after) * shorter if after else shorter,
                "It multiplies the two probabilities, so a letter must be likely in both. Is a mixture a product or a weighted mean?"),
        Mistake("total and distinct swapped", lambda after, token, shorter: wb(after, token, shorter, distinct=len(after), total=len(set(after))) if after else shorter,
                "`distinct` and `total` are swapped. The more letters were seen, the more, or the less, should the counts weigh?"),
        Mistake("nothing followed, and divided", """def smoothed(after, letter, shorter):
    distinct = len(set(after))
    return (after.count(letter) + distinct * shorter) / (len(after) + distinct)
""", "Where nothing followed, total and distinct are 0, and it divides 0 by 0. What does the docstring say of that?"),
        Mistake("a division too early", """def smoothed(after, letter, shorter):
    if not after:
        return shorter
    distinct = len(set(after))
    return after.count(letter) + distinct * shorter / (len(after) + distinct)
""", "The count is not divided: `/` comes before `+`. Where do brackets belong?"),
        Mistake("add-one smoothing", """def smoothed(after, letter, shorter):
    return (after.count(letter) + 1) / (len(after) + len(set(after)))
""", "Each letter gets one more, likely or not (add-one smoothing), and `shorter` is not asked. Where does it come in?"),
        Mistake("add-one smoothing, except for nothing", """def smoothed(after, letter, shorter):
    if not after:
        return shorter
    return (after.count(letter) + 1) / (len(after) + len(set(after)))
""", "Each letter gets one more, likely or not (add-one smoothing). How much should each get of the `distinct` extra ones?"),
        Mistake("add-one smoothing of 26", """def smoothed(after, letter, shorter):
    return (after.count(letter) + 1) / (len(after) + 26)
""", "That is add-one smoothing: each letter of the alphabet gets one more. What does the shorter context say of a letter?"),
        Mistake("nothing means certain", """def smoothed(after, letter, shorter):
    if not after:
        return 1.0
    distinct = len(set(after))
    return (after.count(letter) + distinct * shorter) / (len(after) + distinct)
""", "Where nothing followed it gives every letter probability 1. What is still known there?"),
        Mistake("the mean of both", """def smoothed(after, letter, shorter):
    return (after.count(letter) / max(1, len(after)) + shorter) / 2
""", "Both contexts count a half, however much was seen. Which numbers say how much each is to be trusted?"),
    ],
)  # fmt: skip

# -- 01.3 a step of an LSTM ---------------------------------------------------------------------------------------------


def kept_small(result: tuple, case: tuple) -> bool | str:
    h = result[0]
    return bool(h.abs().max() <= 1 + 1e-6) or f"h lies between -1 and 1; here it reaches {h.abs().max().item():.3g}."


def cell(c, i, f, g, o, *, swap=False, write=None, keep=None, out=None, gate=None):
    """A step of the cell, or a near miss."""
    i, f = (f, i) if swap else (i, f)
    write = i.sigmoid() * g.tanh() if write is None else write
    new = (f.sigmoid() * c if keep is None else keep) + write
    shown = new.tanh() if out is None else out(new)
    return (o.sigmoid() if gate is None else gate) * shown, new


memory = Exercise(
    "01.3",
    goal="write one step of an LSTM",
    minutes=10,
    difficulty=2,
    cases=[
        tuple(torch.tensor([[value]]) for value in (2.0, -9.0, 9.0, 0.5, 9.0)),
        tuple(torch.tensor([[value]]) for value in (2.0, 9.0, -9.0, 0.5, 9.0)),
        tuple(noise(1, 3, seed=seed) for seed in range(5)),
        tuple((2 * noise(4, 6, seed=seed)).requires_grad_() for seed in range(5, 10)),
    ],
    starter='''def step(c, i, f, g, o):
    """One step of an LSTM: the cell state c, (B, H), becomes sigmoid(f) c + sigmoid(i) tanh(g).

    i, f, g, o: (B, H) each, before any nonlinearity: input gate, forget gate, candidate, output gate.
    Returns the hidden state h = sigmoid(o) tanh(new c), and the new c.
    """
    ...
''',
    solution='''def step(c, i, f, g, o):
    """One step of an LSTM: the cell state c, (B, H), becomes sigmoid(f) c + sigmoid(i) tanh(g).

    i, f, g, o: (B, H) each, before any nonlinearity: input gate, forget gate, candidate, output gate.
    Returns the hidden state h = sigmoid(o) tanh(new c), and the new c.
    """
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()  # gates lie between 0 and 1, what is written between -1 and 1
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
        "A gate is a sigmoid, between closed (0) and open (1). Which gate multiplies the old cell state, which the candidate?",
        "First the new cell state: forget gate times the old one, plus input gate times tanh(g). Then h, from the *new* cell state.",
        "`c = f.sigmoid() * c + i.sigmoid() * g.tanh()`, and return `o.sigmoid() * c.tanh(), c`.",
    ],
    explanation="The old cell state is only scaled and added to, never multiplied by a matrix, so with an open forget gate it passes unchanged, and so does "
    "its gradient. That is what let LSTMs remember for hundreds of steps.",
    properties=[Property("h out of range", kept_small, "Which function bounds the cell state before the output gate multiplies it?")],
    mistakes=[
        Mistake("input and forget gate swapped", lambda c, i, f, g, o: cell(c, i, f, g, o, swap=True),
                "With the forget gate open it forgot, with the input gate closed it wrote. Which gate multiplies the old cell state?"),
        Mistake("keeps what it should forget", lambda c, i, f, g, o: cell(c, i, -f, g, o),
                "With the forget gate open (1) nothing was left. Does f say how much is thrown away, or how much is kept?"),
        Mistake("one gate for both", lambda c, i, f, g, o: cell(c, i, f, g, o, write=(1 - f.sigmoid()) * g.tanh()),
                "It writes just as much as it forgets (other cells do that). Where does i come in?"),
        Mistake("nothing is kept", lambda c, i, f, g, o: cell(c, i, f, g, o, keep=0 * c),
                "The new cell state holds only what was just written. What becomes of the old one?"),
        Mistake("nothing is forgotten", lambda c, i, f, g, o: cell(c, i, f, g, o, keep=c),
                "The whole old cell state stays, whatever f says (as in 1997). Which gate is missing?"),
        Mistake("all is written", lambda c, i, f, g, o: cell(c, i, f, g, o, write=g.tanh()),
                "With the input gate closed it wrote all the same. Where does i come in?"),
        Mistake("h from the old cell state", lambda c, i, f, g, o: (o.sigmoid() * c.tanh(), cell(c, i, f, g, o)[1]),
                "h is made from the cell state of the step before. Which of the two is computed first?"),
        Mistake("no output gate", lambda c, i, f, g, o: cell(c, i, f, g, o, gate=torch.ones_like(o)),
                "h is tanh(c) at all times. What does o decide?"),
        Mistake("written through a sigmoid", lambda c, i, f, g, o: cell(c, i, f, g, o, write=i.sigmoid() * g.sigmoid()),
                "What is written is never negative, so the cell state can only grow. Which function has both signs?"),
        Mistake("tanh for the gates", lambda c, i, f, g, o: (o.tanh() * (f.tanh() * c + i.tanh() * g.tanh()).tanh(), f.tanh() * c + i.tanh() * g.tanh()),
                "A gate of tanh can be negative, and then flips the sign of the cell state. Which function lies between 0 and 1?"),
        Mistake("candidate without tanh", lambda c, i, f, g, o: cell(c, i, f, g, o, write=i.sigmoid() * g),
                "What is written may be as large as it likes, step after step. What keeps it between -1 and 1?"),
        Mistake("cell state first", lambda c, i, f, g, o: cell(c, i, f, g, o)[::-1],
                "Both are right, in the wrong order. Which one is asked for first?"),
        Mistake("h without tanh", """def step(c, i, f, g, o):
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c, c
""", "h is the cell state as it is, however large it has grown. Which function bounds it before the output gate?"),
        Mistake("h through a sigmoid", """def step(c, i, f, g, o):
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.sigmoid(), c
""", "h is never negative. Which function bounds the cell state and keeps its sign?"),
        Mistake("no nonlinearity on gates and candidate", """def step(c, i, f, g, o):
    c = f * c + i * g
    return o * c.tanh(), c
""", "The gates are used as they came, so a gate of -9 flips the cell state and makes it nine times as large. What brings them between 0 and 1?"),
        Mistake("gates without sigmoid", """def step(c, i, f, g, o):
    c = f * c + i * g.tanh()
    return o * c.tanh(), c
""", "g has its tanh, the gates have no sigmoid: they may be -9 or 9. What brings them between 0 and 1?"),
        Mistake("what was written is forgotten, too", """def step(c, i, f, g, o):
    c = f.sigmoid() * (c + i.sigmoid() * g.tanh())
    return o.sigmoid() * c.tanh(), c
""", "The forget gate also multiplies what was just written. What does it multiply in the docstring?"),
        Mistake("tanh for the output gate", """def step(c, i, f, g, o):
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.tanh() * c.tanh(), c
""", "An output gate of tanh can be negative, and then h has the wrong sign. Which function lies between 0 and 1?"),
        Mistake("written into the caller's cell state", """def step(c, i, f, g, o):
    c *= f.sigmoid()
    c += i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c
""", "`*=` and `+=` write into the tensor that was handed in. How do you make a new one?"),
        Mistake("h alone", """def step(c, i, f, g, o):
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh()
""", "It returns h, and the new cell state is lost. What does the next step start from?"),
    ],
)  # fmt: skip

# -- 01.4 the size of a GPT -----------------------------------------------------------------------------------------------


def counted(vocab, context, width, depth, *, ends=1, positions=1, square=12, line=13, last=2, extra=0):
    """The formula, or a near miss."""
    return (
        ends * vocab * width
        + positions * context * width
        + depth * (square * width**2 + line * width + extra)
        + last * width
    )


def never_negative(n: int, case: tuple) -> bool | str:
    return n == int(n) or f"Parameters are counted one by one; {n} is no count."


size = Exercise(
    "01.4",
    goal="count the parameters of a GPT",
    minutes=10,
    difficulty=2,
    cases=[(1, 1, 1, 1), (5, 3, 2, 1), (7, 4, 3, 2), (50_257, 1024, 768, 12), (50_257, 1024, 1600, 48)],
    starter='''def gpt_size(vocab, context, width, depth):
    """How many parameters a GPT-2 of this shape has.

    Embeddings: a vector of `width` for each token, and one for each position. (The head shares the token embeddings.)
    Each of `depth` blocks: four matrices width x width (queries, keys, values, output); two of the MLP, between width
    and 4 width; each of the six has a bias for each of its outputs; and two layer normalizations, each with a scale
    and a bias for each of the width. After the last block one more layer normalization.
    """
    ...
''',
    solution='''def gpt_size(vocab, context, width, depth):
    """How many parameters a GPT-2 of this shape has.

    Embeddings: a vector of `width` for each token, and one for each position. (The head shares the token embeddings.)
    Each of `depth` blocks: four matrices width x width (queries, keys, values, output); two of the MLP, between width
    and 4 width; each of the six has a bias for each of its outputs; and two layer normalizations, each with a scale
    and a bias for each of the width. After the last block one more layer normalization.
    """
    matrices = 4 * width**2 + 2 * width * 4 * width     # 12 width²: nearly all of it
    biases = 4 * width + 4 * width + width           # one bias for each output of the six
    norms = 2 * 2 * width
    return (vocab + context) * width + depth * (matrices + biases + norms) + 2 * width
''',
    other_solutions=[
        lambda vocab, context, width, depth: vocab * width + context * width + depth * (12 * width * width + 13 * width) + 2 * width,
        "def gpt_size(vocab, context, width, depth):\n    count = lambda model: sum(p.numel() for p in model.parameters())\n"
        "    block = nn.ModuleList([*(nn.Linear(width, width, device='meta') for _ in range(4)), nn.Linear(width, 4 * width, device='meta'),\n"
        "                           nn.Linear(4 * width, width, device='meta'), *(nn.LayerNorm(width, device='meta') for _ in range(2))])\n"
        "    return (vocab + context + 2) * width + depth * count(block)\n",
    ],
    hints=[
        "Three sums: the embeddings, one block, the last normalization. Only the block is multiplied by `depth`.",
        "A linear layer from a to b has a times b weights and b biases. A layer normalization has two parameters for each of the width.",
        "One block is 12 width² + 13 width; before it (vocab + context) width, after it 2 width.",
    ],
    explanation="A block is 12 width² + 13 width, so for a wide model almost everything is 12 · depth · width²: GPT-3 has 96 blocks 12,288 wide, and "
    "12 · 96 · 12,288² is 173.9 billion already. Heads do not appear: they only divide the width.",
    properties=[Property("not a count", never_negative, "How many parameters is a fraction of one?")],
    mistakes=[
        Mistake("the tokens twice", lambda *shape: counted(*shape, ends=2),
                "The token embeddings count twice, at the beginning and in the head. What does the head share?"),
        Mistake("no positions", lambda *shape: counted(*shape, positions=0),
                "It has embeddings for the tokens, but none for the positions. How would it know what came first?"),
        Mistake("vectors of one number", lambda vocab, context, width, depth: counted(vocab, context, width, depth) - (vocab + context) * (width - 1),
                "A token counts as one number. How long is its vector?"),
        Mistake("the matrices alone", lambda vocab, context, width, depth: 12 * depth * width**2,
                "These are the matrices of the blocks, nearly all of a large model. What comes before them, beside them and after them?"),
        Mistake("no biases", lambda *shape: counted(*shape, line=4),
                "The matrices have no biases. How many outputs have the six of a block together?"),
        Mistake("no norms", lambda *shape: counted(*shape, line=9, last=0),
                "All matrices are there, but no normalization. How many are there in a block, and where is one more?"),
        Mistake("the last norm is missing", lambda *shape: counted(*shape, last=0),
                "It is short of 2 width. What stands after the last block?"),
        Mistake("half a norm", lambda *shape: counted(*shape, line=11, last=1),
                "Each normalization counts `width` parameters. It has a scale *and* a bias: how many is that?"),
        Mistake("three square matrices", lambda *shape: counted(*shape, square=11, line=12),
                "A block is short of one square matrix: queries, keys, values, and?"),
        Mistake("a narrow middle", lambda *shape: counted(*shape, square=6, line=10),
                "The two matrices of the MLP are square here. How wide is its hidden layer?"),
        Mistake("one block", lambda vocab, context, width, depth: counted(vocab, context, width, 1),
                "However deep it is, it has one block. What should be multiplied by `depth`?"),
        Mistake("the embeddings in each block", lambda vocab, context, width, depth: depth * counted(vocab, context, width, 1),
                "Everything is multiplied by `depth`, even the embeddings. How often does a model have those?"),
        Mistake("a square of the context", lambda vocab, context, width, depth: counted(vocab, context, width, depth, extra=context**2),
                "A square of the context is counted in each block. Are attention weights parameters, or computed for each text?"),
        Mistake("six biases of the width", lambda *shape: counted(*shape, line=10),
                "Each of the six matrices has `width` biases here. One of them has 4 width outputs: which?"),
        Mistake("six biases of four widths", lambda *shape: counted(*shape, line=6 * 4 + 4),
                "Each of the six matrices has 4 width biases here. How many outputs have the other five?"),
        Mistake("two biases of four widths", lambda *shape: counted(*shape, line=4 + 8 + 4),
                "Both matrices of the MLP have 4 width biases here. How many outputs has the second?"),
        Mistake("one matrix of the MLP", lambda *shape: counted(*shape, square=8),
                "4 width² are missing: one of the two matrices of the MLP. Which leads back to the width?"),
        Mistake("norms once for all blocks", lambda vocab, context, width, depth: counted(vocab, context, width, depth, line=9, last=6),
                "The two normalizations of a block are counted once, not once for each block. What is multiplied by `depth`?"),
        Mistake("norms of two numbers", lambda vocab, context, width, depth: counted(vocab, context, width, depth, line=9, last=0, extra=4) + 2,
                "Each normalization counts two parameters. A scale and a bias for each of what?"),
        Mistake("half the last norm", lambda *shape: counted(*shape, last=1),
                "It is `width` too few. The last normalization has a scale *and* a bias: how many is that?"),
        Mistake("one norm in a block", lambda *shape: counted(*shape, line=11),
                "It is short of 2 width in each block. How many normalizations has a block?"),
        Mistake("twice for the square", lambda vocab, context, width, depth: counted(vocab, context, width, depth, square=0, line=24 + 13),
                "`width * 2` is not the square of the width. How is a square written?"),
        Mistake("the matrices forgotten", lambda *shape: counted(*shape, square=4, line=13),
                "Only the four square matrices are there. Which two lie between width and 4 width?"),
        Mistake("biases of the square matrices alone", lambda *shape: counted(*shape, line=8),
                "The two matrices of the MLP have no biases. How many outputs have they?"),
    ],
)  # fmt: skip
