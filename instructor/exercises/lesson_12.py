"""Assigned in lesson 12: many phrasings of a class, and words that pictures share."""

import torch

from fmcourse.classroom.assigned import Assigned
from fmcourse.course.exercises import Mistake, Property

noise = lambda *shape, seed: torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def uneven(*shape, seed):
    """Vectors of very different lengths."""
    return (
        noise(*shape, seed=seed)
        * torch.rand(*shape[:-1], 1, generator=torch.Generator().manual_seed(seed + 99)).mul(6).exp()
    )


# -- 12.A1 many phrasings -------------------------------------------------------------------------------------------------

RECOGNISE = '''def recognise(pictures, phrasings):
    """The class of each picture, when each class is described in several phrasings.

    pictures: (N, D)   phrasings: (K, C, D), K phrasings of each of C classes   ->   (N,) int64, from 0 to C - 1

    Every vector is first brought to length 1. A class is the mean of its K phrasings, brought to length 1 again; a picture belongs to
    the class with the largest inner product.
    """
'''

recognise = Assigned(
    "12.A1",
    goal="many phrasings, one class",
    minutes=15,
    difficulty=2,
    text="\"A photo of a cat\", \"a drawing of a cat\", \"a small cat\": one phrasing may be unlucky, so CLIP's authors averaged the vectors of 80 of them for "
    "each class (Radford et al. 2021, *prompt ensembling*). Only directions count: a long vector must not shout down the others, neither before the mean "
    "nor after it.",
    cases=[
        (torch.tensor([[1.0, 0.0], [0.0, 5.0]]), torch.tensor([[[0.1, 0.0], [0.0, 30.0]], [[0.2, 0.01], [-1.0, 1.0]]])),
        (uneven(5, 4, seed=1), uneven(3, 3, 4, seed=2)),
    ],
    hidden=[
        (uneven(12, 6, seed=3), uneven(4, 5, 6, seed=4)),
        (uneven(30, 3, seed=5), uneven(2, 7, 3, seed=6)),
        (uneven(30, 8, seed=7), uneven(5, 6, 8, seed=8)),
        (uneven(9, 2, seed=9), uneven(1, 4, 2, seed=10)),
        (uneven(40, 4, seed=11), uneven(6, 6, 4, seed=12)),
    ],
    starter=RECOGNISE + "    ...\n",
    solution=RECOGNISE + '''    classes = F.normalize(F.normalize(phrasings, dim=-1).mean(0), dim=-1)      # (C, D)
    return (F.normalize(pictures, dim=-1) @ classes.T).argmax(-1)
''',
    other_solutions=[
        "def recognise(pictures, phrasings):\n    unit = phrasings / phrasings.norm(dim=2, keepdim=True)\n    mean = unit.sum(0)\n    mean = mean / mean.norm(dim=1, keepdim=True)\n"
        "    return torch.einsum('nd,cd->nc', pictures, mean).max(1).indices\n",
        "def recognise(pictures, phrasings):\n    found = []\n    for x in pictures:\n        best, at = -2.0, 0\n        for c in range(phrasings.shape[1]):\n"
        "            v = torch.stack([p / p.norm() for p in phrasings[:, c]]).mean(0)\n            score = float(F.cosine_similarity(x, v, dim=0))\n"
        "            if score > best:\n                best, at = score, c\n        found.append(at)\n    return torch.tensor(found)\n",
    ],
    explanation="Unit vectors first, so that each phrasing has one vote; unit length afterwards, so that a class whose phrasings agree (a longer mean) has no head start.",
    properties=[Property("longer pictures are judged otherwise", '''def test(out, case):
    pictures, phrasings = case
    if out.shape != (len(pictures),) or out.min() < 0 or out.max() >= phrasings.shape[1]:
        return f"{len(pictures)} pictures and {phrasings.shape[1]} classes; yours are {out.tolist()}."
    return len(pictures) < 9 or out.unique().numel() > 1 or "All pictures get one class."
''', "Which length has a direction?")],
    mistakes=[
        Mistake("lengths left before the mean", "def recognise(pictures, phrasings):\n    return (F.normalize(pictures, dim=-1) @ F.normalize(phrasings.mean(0), dim=-1).T).argmax(-1)\n",
                "One long phrasing decides for its class. What should each phrasing count?"),
        Mistake("lengths left after the mean", "def recognise(pictures, phrasings):\n    return (F.normalize(pictures, dim=-1) @ F.normalize(phrasings, dim=-1).mean(0).T).argmax(-1)\n",
                "A class whose phrasings agree has a longer mean, and a head start. What should only count?"),
        Mistake("the first phrasing", "def recognise(pictures, phrasings):\n    return (F.normalize(pictures, dim=-1) @ F.normalize(phrasings[0], dim=-1).T).argmax(-1)\n",
                "One phrasing of each class is asked, the others are not. What if that one is unlucky?"),
        Mistake("the likeliest phrasing", "def recognise(pictures, phrasings):\n    return torch.einsum('nd,kcd->nkc', F.normalize(pictures, dim=-1), F.normalize(phrasings, dim=-1)).amax(1).argmax(-1)\n",
                "The best phrasing of a class speaks for it. What was to be made of all K?"),
        Mistake("no lengths at all", "def recognise(pictures, phrasings):\n    return (pictures @ phrasings.mean(0).T).argmax(-1)\n",
                "Nothing is brought to length 1. Which vectors shout?"),
        Mistake("the least alike", "def recognise(pictures, phrasings):\n    return (F.normalize(pictures, dim=-1) @ F.normalize(F.normalize(phrasings, dim=-1).mean(0), dim=-1).T).argmin(-1)\n",
                "It takes the class that is least alike. Is a small product near or far?"),
    ],
)  # fmt: skip

# -- 12.A2 words that pictures share --------------------------------------------------------------------------------------

shared_words = Assigned(
    "12.A2",
    goal="which picture does a word find?",
    minutes=12,
    text="Search by keywords is the rival of search by vectors: it finds what carries the word, and cannot rank what it finds. How good can it be? Take the "
    "`many` emoji `load(\"emoji\").train.keywords[first : first + many]`, your own numbers; each entry holds the words of one picture. For each picture and each of "
    "its words, search for the word: it finds every picture of your slice that has it, this one among them. Give the mean, over all (picture, word) pairs, of "
    "**1 / number found**: the chance that a random one of the hits is the picture meant. A word that a picture has twice counts once.",
    starter='''mine = variant("12.A2")  # your numbers
chance_of_a_keyword = ...  # a float from 0 to 1
''',
    solution='''from fmcourse.data import load


def chance_of_a_keyword(mine):
    words = [set(some) for some in load("emoji").train.keywords[mine["first"] : mine["first"] + mine["many"]]]
    found = [sum(word in other for other in words) for some in words for word in some]
    return sum(1 / n for n in found) / len(found)
''',
    other_solutions=['''def chance_of_a_keyword(mine):
    from collections import Counter
    from fmcourse.data import load
    some = [set(w) for w in load("emoji").train.keywords[mine["first"]:][:mine["many"]]]
    counts = Counter(word for words in some for word in words)
    return len(counts) / sum(counts.values())
'''],
    vary=lambda draw: {"first": draw.randrange(0, 3000), "many": draw.randrange(150, 400)},
    explanation="Every word adds 1 in all, shared out over the pictures that have it: so the mean is the number of different words over the number of pairs.",
    properties=[Property("not a chance", "def test(out, case):\n    return 0 < out < 1 or f'Some words find one picture, some find many; yours is {out:.4g}.'\n", "How many pictures does a word find?")],
    mistakes=[
        Mistake("pictures, then words", '''def chance_of_a_keyword(mine):
    from fmcourse.data import load
    some = [set(w) for w in load("emoji").train.keywords[mine["first"]:][:mine["many"]] if w]
    each = [sum(1 / sum(word in o for o in some) for word in words) / len(words) for words in some]
    return sum(each) / len(each)
''', "Each picture counts the same, however many words it has. Over which pairs was the mean asked?"),
        Mistake("each word once", '''def chance_of_a_keyword(mine):
    from fmcourse.data import load
    some = [set(w) for w in load("emoji").train.keywords[mine["first"]:][:mine["many"]]]
    every = set().union(*some)
    return sum(1 / sum(word in o for o in some) for word in every) / len(every)
''', "Each word counts once, however many pictures it has. Over which pairs was the mean asked?"),
        Mistake("one over the mean", '''def chance_of_a_keyword(mine):
    from fmcourse.data import load
    some = [set(w) for w in load("emoji").train.keywords[mine["first"]:][:mine["many"]]]
    found = [sum(word in o for o in some) for words in some for word in words]
    return len(found) / sum(found)
''', "It takes the mean number found, then one over it. Is that the mean of the chances?"),
        Mistake("the whole collection", '''def chance_of_a_keyword(mine):
    from fmcourse.data import load
    some = [set(w) for w in load("emoji").train.keywords]
    return len(set().union(*some)) / sum(map(len, some))
''', "It searches all pictures. Which slice was yours?"),
    ],
)  # fmt: skip
