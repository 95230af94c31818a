"""Assigned in lesson 07b: how good a ranking is, and how often names are long."""

import torch
from fmcourse.classroom.exercise_kinds import AssignedExercise
from fmcourse.course.exercise import IMPORTS, Mistake, Property

noise = lambda *shape, seed: torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
places = lambda n, high, seed: torch.randint(high, (n,), generator=torch.Generator().manual_seed(seed))

# -- 07b.A1 mean reciprocal rank ------------------------------------------------------------------------------------------

RANK = '''def mean_reciprocal_rank(scores, wanted):
    """The mean over queries of 1 / rank of the wanted document: 1 for the best score, 1/2 for the second best.

    A document with the *same* score as the wanted one counts as standing before it.
    scores: (Q, N), of each document for each query   wanted: (Q,), the index of the wanted document   ->   float
    """
'''

reciprocal_rank = AssignedExercise(
    "07b.A1",
    goal="the mean reciprocal rank of a search",
    minutes=15,
    difficulty=2,
    text="Recall at ten does not tell a search that puts the wanted document first from one that puts it tenth. The **mean reciprocal rank** (MRR) "
    "does: for each query take 1 / rank of the wanted document, and average over the queries. A search that gives all documents the same score "
    "should earn nothing by it, so a tie counts against the wanted document.",
    cases=[
        (torch.tensor([[0.9, 0.1, 0.5], [0.2, 0.3, 0.4]]), torch.tensor([0, 1])),
        (torch.tensor([[0.5, 0.5, 0.1], [0.0, 0.0, 0.0]]), torch.tensor([1, 0])),
        (noise(4, 6, seed=1), places(4, 6, 2)),
    ],
    hidden=[
        (torch.tensor([[3.0]]), torch.tensor([0])),
        (noise(7, 5, seed=3), places(7, 5, 4)),
        (noise(3, 9, seed=5).round(), places(3, 9, 6)),
        (-noise(5, 8, seed=7).abs(), places(5, 8, 8)),
        (torch.tensor([[1.0, 2.0, 2.0, 2.0], [4.0, 3.0, 2.0, 1.0], [1.0, 1.0, 0.0, 0.0]]), torch.tensor([3, 3, 0])),
    ],
    starter=RANK + "    ...\n",
    solution=RANK + '''    own = scores.gather(1, wanted[:, None])      # (Q, 1)
    rank = (scores >= own).sum(1)                # itself, the better ones and the ties
    return (1 / rank).mean().item()
''',
    other_solutions=[
        "def mean_reciprocal_rank(scores, wanted):\n    total = 0.0\n    for row, at in zip(scores.tolist(), wanted.tolist()):\n"
        "        total += 1 / sum(score >= row[at] for score in row)\n    return total / len(wanted)\n",
        "def mean_reciprocal_rank(scores, wanted):\n    own = scores[torch.arange(len(scores)), wanted]\n    others = (scores >= own[:, None]).sum(1) - 1\n"
        "    return float((1.0 / (1 + others)).mean())\n",
    ],
    explanation="The rank is the number of documents that score at least as much as the wanted one, itself included. Its reciprocal gives most weight to "
    "the first places.",
    properties=[Property("outside 0 to 1", '''def test(out, case):
    n = case[0].shape[1]
    return 1 / n - 1e-6 <= out <= 1 + 1e-6 or f"With {n} documents a reciprocal rank lies between 1/{n} and 1; yours is {out:.4g}."
''', "What is the largest rank, and what the smallest?")],
    mistakes=[
        Mistake("ranks counted from zero", "def mean_reciprocal_rank(scores, wanted):\n    own = scores.gather(1, wanted[:, None])\n"
                "    return (1 / ((scores >= own).sum(1) + 1)).mean().item()\n",
                "The best document gets 1/2. Which rank has it?"),
        Mistake("ties in its favour", "def mean_reciprocal_rank(scores, wanted):\n    own = scores.gather(1, wanted[:, None])\n"
                "    return (1 / ((scores > own).sum(1) + 1)).mean().item()\n",
                "A tie is counted in favour of the wanted document. What would a search earn that scores everything alike?"),
        Mistake("the reciprocal of the mean rank", "def mean_reciprocal_rank(scores, wanted):\n    own = scores.gather(1, wanted[:, None])\n"
                "    return 1 / (scores >= own).sum(1).float().mean().item()\n",
                "It averages the ranks and then takes 1 / mean. In which order are the two steps asked?"),
        Mistake("the worst first", "def mean_reciprocal_rank(scores, wanted):\n    own = scores.gather(1, wanted[:, None])\n"
                "    return (1 / (scores <= own).sum(1)).mean().item()\n",
                "Rank 1 goes to the lowest score here. Is a high score good or bad?"),
        Mistake("the mean rank", "def mean_reciprocal_rank(scores, wanted):\n    own = scores.gather(1, wanted[:, None])\n"
                "    return (scores >= own).sum(1).float().mean().item()\n",
                "It is the mean rank, which grows as the search gets worse. What was asked of each rank?"),
        Mistake("recall at one", "def mean_reciprocal_rank(scores, wanted):\n    own = scores.gather(1, wanted[:, None])\n"
                "    return ((scores >= own).sum(1) == 1).float().mean().item()\n",
                "Only a first place counts. What is a second place worth?"),
    ],
)  # fmt: skip

# -- 07b.A2 long names ---------------------------------------------------------------------------------------------------


def ranked_names(draw):
    """Other verses for each student."""
    return {"first": draw.randrange(0, 9000), "many": draw.randrange(400, 800)}


long_names = AssignedExercise(
    "07b.A2",
    goal="how long are names?",
    minutes=12,
    text="A tagger that labels each word alone can never know where a *long* name ends. How often does that matter? Take the training sentences "
    "`load(\"names\").train[first : first + many]`, with your own two numbers. Of all names in them, which share has two words or more? "
    "(A name begins at a tag `B-...` and goes on through `I-...`.)"
    "\n\nGive it unrounded: the first five digits must be right.",
    imports=IMPORTS + "from fmcourse.data import load\n",
    starter='''mine = variant("07b.A2")  # your numbers
share_of_long_names = ...  # a float from 0 to 1
''',
    solution='''from fmcourse.data import load


def share_of_long_names(mine):
    long = names = 0
    for sentence in load("names").train[mine["first"] : mine["first"] + mine["many"]]:
        for tag, after in zip(sentence.tags, (*sentence.tags[1:], "O")):
            names += tag.startswith("B-")
            long += tag.startswith("B-") and after.startswith("I-")
    return long / names
''',
    other_solutions=[
        '''def share_of_long_names(mine):
    from fmcourse.data import load
    sizes = []
    for sentence in load("names").train[mine["first"]:][:mine["many"]]:
        for tag in sentence.tags:
            if tag[0] == "B":
                sizes.append(1)
            elif tag[0] == "I":
                sizes[-1] += 1
    return sum(size > 1 for size in sizes) / len(sizes)
''',
        '''def share_of_long_names(mine):
    from fmcourse.data import load
    sentences = load("names").train[mine["first"]:][:mine["many"]]
    text = " ".join("".join(tag[0] for tag in sentence.tags) for sentence in sentences)  # such as OBIOO BO
    return text.count("BI") / text.count("B")
''',
    ],
    vary=ranked_names,
    explanation="A name is long where its B is followed by an I. It is a small share, and still the one that word-by-word taggers get wrong.",
    properties=[Property("no share", "def test(out, case):\n    return 0 <= out <= 1 or f'A share lies between 0 and 1; yours is {out:.4g}.'\n",
                         "Of what is it a share?")],
    mistakes=[
        Mistake("of words, not of names", '''def share_of_long_names(mine):
    from fmcourse.data import load
    tags = [tag[0] for s in load("names").train[mine["first"]:][:mine["many"]] for tag in s.tags]
    return tags.count("I") / (tags.count("B") + tags.count("I"))
''', "It counts words inside names. Of what was the share asked?"),
        Mistake("long to short", '''def share_of_long_names(mine):
    from fmcourse.data import load
    pairs = [(t[0], a[0]) for s in load("names").train[mine["first"]:][:mine["many"]] for t, a in zip(s.tags, (*s.tags[1:], "O"))]
    long, names = pairs.count(("B", "I")), sum(t == "B" for t, _ in pairs)
    return long / (names - long)
''', "It divides the long ones by the short ones. By which number is a share divided?"),
        Mistake("the mean of the sentences", "def share_of_long_names(mine):\n    from fmcourse.data import load\n    some = load('names').train[mine['first']:][:mine['many']]\n    b = [sum(t[0] == 'B' for t in s.tags) for s in some]\n    i = [sum((x[0], y[0]) == ('B', 'I') for x, y in zip(s.tags, s.tags[1:])) for s in some]\n    shares = [x / y for x, y in zip(i, b) if y]; return sum(shares) / len(shares)\n",
                "A sentence with one name counts as much as one with ten. Of what, all together, was the share asked?"),
        Mistake("of sentences", "def share_of_long_names(mine):\n    from fmcourse.data import load\n    some = load('names').train[mine['first']:][:mine['many']]\n    b = [sum(t[0] == 'B' for t in s.tags) for s in some]\n    i = [sum((x[0], y[0]) == ('B', 'I') for x, y in zip(s.tags, s.tags[1:])) for s in some]\n    return sum(x > 0 for x in i) / len(some)\n",
                "That is the share of sentences in which a long name stands. Of what was the share asked?"),
        Mistake("of all words", "def share_of_long_names(mine):\n    from fmcourse.data import load\n    some = load('names').train[mine['first']:][:mine['many']]\n    b = [sum(t[0] == 'B' for t in s.tags) for s in some]\n    i = [sum((x[0], y[0]) == ('B', 'I') for x, y in zip(s.tags, s.tags[1:])) for s in some]\n    return sum(i) / sum(len(s.tags) for s in some)\n",
                "It divides by the number of words. Of what was the share asked?"),
        Mistake("words for each name", "def share_of_long_names(mine):\n    from fmcourse.data import load\n    some = load('names').train[mine['first']:][:mine['many']]\n    b = [sum(t[0] == 'B' for t in s.tags) for s in some]\n    i = [sum((x[0], y[0]) == ('B', 'I') for x, y in zip(s.tags, s.tags[1:])) for s in some]\n    return sum(t != 'O' for s in some for t in s.tags) / sum(b)\n",
                "That is how many words a name has on average. Of what was the share asked?"),
        Mistake("the first of all", "def share_of_long_names(mine):\n    from fmcourse.data import load\n    some = load('names').train[:mine['many']]\n    b = [sum(t[0] == 'B' for t in s.tags) for s in some]\n    i = [sum((x[0], y[0]) == ('B', 'I') for x, y in zip(s.tags, s.tags[1:])) for s in some]\n    return sum(i) / sum(b)\n",
                "These are the first sentences of all. Where do yours begin?"),
    ],
)  # fmt: skip
