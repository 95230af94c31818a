"""Assigned in lesson 14: many answers and one vote, and how lopsided a prompt's examples are."""

from fmcourse.classroom.assigned import Assigned
from fmcourse.course.exercises import Mistake, Property

# -- 14.A1 a vote ---------------------------------------------------------------------------------------------------------

VOTE = '''def vote(answers, nats):
    """The answer that most samples gave, in small letters and without space around it.

    answers: texts, at least one   nats: -log probability of each, as many   ->   text

    Answers that differ only in case, or in space around them, are the same. Of answers with equally many votes, the one whose samples
    together are the more probable: probabilities are added up, not their logarithms.
    """
'''

vote = Assigned(
    "14.A1",
    goal="ask often, take the majority",
    minutes=15,
    difficulty=2,
    text="A model that samples gives another answer each time. *Self-consistency* (Wang et al. 2022): ask several times and take the answer that comes "
    "most often. `\"Paris\"`, `\" paris\"` and `\"Lyon\"` are two votes for `paris` and one for `lyon`. If votes are level, probability decides.",
    cases=[
        (["Paris", " paris", "Lyon"], [1.0, 2.0, 0.1]),
        (["yes", "no", "no "], [0.2, 3.0, 2.5]),
        (["mice", "mouses"], [2.0, 0.7]),
    ],
    hidden=[
        (["A"], [9.0]),
        (["p", "p", "p", "q", "q", "r"], [3.0, 3.0, 3.0, 1.2, 1.2, 0.7]),
        (["p", "p", "q"], [2.0, 2.0, 0.5]),
        (["b", "a", "B", "A"], [2.0, 0.1, 2.0, 9.0]),
        (["x", "y", "X", "Y", "z"], [1.0, 1.2, 5.0, 1.3, 0.0]),
        (["no", "NO", "yes", "Yes", "yes "], [0.1, 0.1, 5.0, 5.0, 5.0]),
        (["  New York\n", "new york", "York", "york"], [3.0, 3.0, 0.5, 8.0]),
        (["c", "b", "a"], [1.5, 1.5 - 1e-3, 1.5]),
    ],
    starter=VOTE + "    ...\n",
    solution=VOTE + '''    votes, weight = {}, {}
    for answer, cost in zip(answers, nats):
        answer = answer.strip().lower()
        votes[answer] = votes.get(answer, 0) + 1
        weight[answer] = weight.get(answer, 0.0) + math.exp(-cost)
    return max(votes, key=lambda answer: (votes[answer], weight[answer]))
''',
    other_solutions=[
        "def vote(answers, nats):\n    same = [a.strip().lower() for a in answers]\n"
        "    score = {a: (same.count(a), sum(math.exp(-n) for b, n in zip(same, nats) if b == a)) for a in same}\n    return sorted(score, key=score.get)[-1]\n",
        "def vote(answers, nats):\n    from collections import defaultdict\n    groups = defaultdict(list)\n    for a, n in zip(answers, nats):\n"
        "        groups[a.lower().strip()].append(math.exp(-n))\n    most = max(len(g) for g in groups.values())\n"
        "    level = {a: sum(g) for a, g in groups.items() if len(g) == most}\n    best = max(level.values())\n    return next(a for a in level if level[a] == best)\n",
    ],
    explanation="Wrong ways are many and scatter, the right answer is one and gathers votes. To add probabilities is to say: any of these samples counts.",
    properties=[Property("not the most votes", '''def test(out, case):
    same = [answer.strip().lower() for answer in case[0]]
    most = max(same.count(answer) for answer in same)
    if same.count(out) < most:
        return f"{out!r} has {same.count(out)} votes among {case[0]}; another has {most}."
    return True
''', "Which answers are one and the same?")],
    mistakes=[
        Mistake("as it is written", "def vote(answers, nats):\n    from collections import Counter\n    n = Counter(answers)\n    w = {a: sum(math.exp(-c) for b, c in zip(answers, nats) if a == b) for a in n}\n    return max(n, key=lambda a: (n[a], w[a])).strip().lower()\n",
                "Answers written differently count apart. Are `Paris` and ` paris` two answers?"),
        Mistake("the likeliest sample", "def vote(answers, nats):\n    return min(zip(nats, answers))[1].strip().lower()\n",
                "It takes the single likeliest sample. Why were the others drawn?"),
        Mistake("weights alone", "def vote(answers, nats):\n    w = {}\n    for a, n in zip(answers, nats):\n        a = a.strip().lower()\n        w[a] = w.get(a, 0) + math.exp(-n)\n    return max(w, key=w.get)\n",
                "Probability decides even where votes are not level. When may it speak?"),
        Mistake("logarithms added", "def vote(answers, nats):\n    v, w = {}, {}\n    for a, n in zip(answers, nats):\n        a = a.strip().lower()\n        v[a] = v.get(a, 0) + 1\n        w[a] = w.get(a, 0) - n\n    return max(v, key=lambda a: (v[a], w[a]))\n",
                "Where votes are level it adds logarithms: that is the chance that all samples come. Which chances should be added?"),
        Mistake("the first of the level", "def vote(answers, nats):\n    same = [a.strip().lower() for a in answers]\n    return max(same, key=same.count)\n",
                "Where votes are level the one that came first wins. What should decide?"),
        Mistake("the cost is the weight", "def vote(answers, nats):\n    v, w = {}, {}\n    for a, n in zip(answers, nats):\n        a = a.strip().lower()\n        v[a] = v.get(a, 0) + 1\n        w[a] = w.get(a, 0) + n\n    return max(v, key=lambda a: (v[a], w[a]))\n",
                "The larger sum of nats wins. Is a sample of many nats a probable one?"),
    ],
)  # fmt: skip

# -- 14.A2 a lopsided prompt ----------------------------------------------------------------------------------------------

lopsided = Assigned(
    "14.A2",
    goal="how lopsided is a prompt?",
    minutes=12,
    text="Examples tilt a model towards the labels that they show. How lopsided are yours? Draw `many` of the training definitions with "
    "`random.Random(mine[\"seed\"]).sample(load(\"topics\").train, mine[\"many\"])`. Take the share of each `topic` among them, and give the "
    "**Kullback-Leibler divergence** of these shares from equal shares for all the topics that the training split has: the sum of share × log(share / equal "
    "share), in *nats*. A topic that was not drawn adds nothing.",
    starter='''mine = variant("14.A2")  # your numbers
lopsidedness_in_nats = ...  # a float
''',
    solution='''import math
import random

from fmcourse.data import load


def lopsidedness_in_nats(mine):
    train = load("topics").train
    drawn = [one.topic for one in random.Random(mine["seed"]).sample(train, mine["many"])]
    equal = 1 / len({one.topic for one in train})
    shares = [drawn.count(topic) / len(drawn) for topic in set(drawn)]
    return sum(share * math.log(share / equal) for share in shares)
''',
    other_solutions=['''def lopsidedness_in_nats(mine):
    import math, random
    from collections import Counter
    from fmcourse.data import load
    train = load("topics").train
    counts = Counter(one.topic for one in random.Random(mine["seed"]).sample(train, mine["many"])).values()
    entropy = -sum(c / mine["many"] * math.log(c / mine["many"]) for c in counts)
    return math.log(len({one.topic for one in train})) - entropy
'''],
    vary=lambda draw: {"seed": draw.randrange(10**6), "many": draw.randrange(120, 400)},
    explanation="It is the logarithm of the number of topics, less the entropy of the draw: 0 where all come equally often, and the more the fewer come.",
    properties=[Property("below zero, or nothing at all", "def test(out, case):\n    return 0 < out < 3 or f'It is above 0 for a draw that is not quite even, and at most the logarithm of the number of topics; yours is {out:.4g}.'\n",
                         "When would it be exactly 0?")],
    mistakes=[
        Mistake("in bits", '''def lopsidedness_in_nats(mine):
    import math, random
    from fmcourse.data import load
    train = load("topics").train
    drawn = [one.topic for one in random.Random(mine["seed"]).sample(train, mine["many"])]
    k = len({one.topic for one in train})
    return sum(drawn.count(t) / len(drawn) * math.log2(drawn.count(t) / len(drawn) * k) for t in set(drawn))
''', "That is in bits. Which logarithm makes nats?"),
        Mistake("the entropy", '''def lopsidedness_in_nats(mine):
    import math, random
    from fmcourse.data import load
    drawn = [one.topic for one in random.Random(mine["seed"]).sample(load("topics").train, mine["many"])]
    return -sum(drawn.count(t) / len(drawn) * math.log(drawn.count(t) / len(drawn)) for t in set(drawn))
''', "That is the entropy, which is largest where all topics come equally often. What is it to be compared with?"),
        Mistake("the other way round", '''def lopsidedness_in_nats(mine):
    import math, random
    from fmcourse.data import load
    train = load("topics").train
    drawn = [one.topic for one in random.Random(mine["seed"]).sample(train, mine["many"])]
    k = len({one.topic for one in train})
    return sum(1 / k * math.log(1 / k / (drawn.count(t) / len(drawn))) for t in set(drawn))
''', "It weighs by the equal shares. Whose divergence from whose was asked?"),
        Mistake("the first ones", '''def lopsidedness_in_nats(mine):
    import math
    from fmcourse.data import load
    train = load("topics").train
    drawn = [one.topic for one in train[:mine["many"]]]
    k = len({one.topic for one in train})
    return sum(drawn.count(t) / len(drawn) * math.log(drawn.count(t) / len(drawn) * k) for t in set(drawn))
''', "It takes the first ones as they stand. Where is your seed?"),
    ],
)  # fmt: skip
