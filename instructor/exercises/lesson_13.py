"""Assigned in lesson 13: when to stop, and the mark that every fine-tuned model must beat."""

from fmcourse.classroom.assigned import Assigned
from fmcourse.course.exercises import Mistake, Property

# -- 13.A1 when to stop ---------------------------------------------------------------------------------------------------

STOP = '''def stop(losses, patience):
    """Training with early stopping, after the fact: which weights were kept, and when it ended.

    losses: on validation items, one after each round, at least one   patience: at least 1
    ->   (kept, ended), two rounds, counted from 0

    Kept are the weights of the lowest loss so far; an equal loss is not lower. Training ends after the round that is the `patience`-th in a
    row without a lower loss; if that never happens, after the last one. What comes later was never seen.
    """
'''

stop = Assigned(
    "13.A1",
    goal="when to stop",
    minutes=15,
    difficulty=2,
    text="Fine-tuning on few labels soon learns them by heart. *Early stopping*: look at other items after each round, keep the best weights, and give up "
    "after `patience` rounds without a better one. With losses `[0.9, 0.7, 0.8, 0.75, 0.6]` and patience 2 it ends after round 3 and keeps round 1: nobody "
    "ever sees the 0.6.",
    cases=[([0.9, 0.7, 0.8, 0.75, 0.6], 2), ([0.9, 0.7, 0.8, 0.75, 0.6], 3), ([3.0, 2.0, 1.0], 1)],
    hidden=[
        ([2.0, 1.0, 3.0, 3.0, 3.0, 0.5], 2), ([5.0], 1), ([1.0, 2.0, 3.0], 1), ([1.0, 1.0, 1.0, 0.5], 2), ([0.9, 0.8, 0.85, 0.7, 0.75, 0.72, 0.71, 0.6], 3),
        ([2.0, 2.5, 1.5, 2.0, 1.0, 1.2, 1.1], 2), ([4.0, 5.0, 3.0, 5.0, 2.0, 5.0, 1.0], 2), ([1.0, 2.0], 5),
    ],
    starter=STOP + "    ...\n",
    solution=STOP + '''    kept, waited = 0, 0
    for at in range(1, len(losses)):
        if losses[at] < losses[kept]:
            kept, waited = at, 0
        else:
            waited += 1
        if waited == patience:
            return kept, at
    return kept, len(losses) - 1
''',
    other_solutions=[
        "def stop(losses, patience):\n    for at in range(len(losses)):\n        kept = losses.index(min(losses[: at + 1]))\n        if at - kept >= patience:\n            return kept, at\n    return kept, at\n",
        "def stop(losses, patience):\n    best, kept, end = float('inf'), 0, len(losses) - 1\n    n = 0\n    while n < len(losses):\n        if losses[n] < best:\n            best, kept = losses[n], n\n"
        "        elif n == kept + patience:\n            end = n\n            break\n        n += 1\n    return (kept, end)\n",
    ],
    explanation="The count starts anew with each better round. Since training ends there, a later, deeper valley is not found: patience is what one pays to look for it.",
    properties=[Property("kept what it never saw", '''def test(out, case):
    kept, ended = out
    if not 0 <= kept <= ended < len(case[0]):
        return f"Round {kept} is kept and round {ended} the last: that cannot be with {len(case[0])} rounds."
    if case[0][kept] != min(case[0][: ended + 1]):
        return f"Up to round {ended} the lowest loss is {min(case[0][: ended + 1])}; round {kept} has {case[0][kept]}."
    return True
''', "Which rounds had been seen when training ended?")],
    mistakes=[
        Mistake("the best of all", "def stop(losses, patience):\n    return losses.index(min(losses)), len(losses) - 1\n",
                "It looks at every round to the end. Which of them would training have reached?"),
        Mistake("one round early", "def stop(losses, patience):\n    kept, waited = 0, 0\n    for at in range(1, len(losses)):\n        if losses[at] < losses[kept]:\n            kept, waited = at, 0\n        else:\n            waited += 1\n"
                "        if waited >= max(patience - 1, 1):\n            return kept, at\n    return kept, len(losses) - 1\n",
                "It ends one round too early. How many rounds without a better one does it wait for?"),
        Mistake("one round late", "def stop(losses, patience):\n    kept, waited = 0, 0\n    for at in range(1, len(losses)):\n        if losses[at] < losses[kept]:\n            kept, waited = at, 0\n        else:\n            waited += 1\n"
                "        if waited > patience:\n            return kept, at\n    return kept, len(losses) - 1\n",
                "It waits for one round more than patience allows. When is the patience-th round without a better one?"),
        Mistake("as good is better", "def stop(losses, patience):\n    kept, waited = 0, 0\n    for at in range(1, len(losses)):\n        if losses[at] <= losses[kept]:\n            kept, waited = at, 0\n        else:\n            waited += 1\n"
                "        if waited == patience:\n            return kept, at\n    return kept, len(losses) - 1\n",
                "An equal loss resets the count. Is as good better?"),
        Mistake("not in a row", "def stop(losses, patience):\n    kept, waited = 0, 0\n    for at in range(1, len(losses)):\n        if losses[at] < losses[kept]:\n            kept = at\n        else:\n            waited += 1\n"
                "        if waited == patience:\n            return kept, at\n    return kept, len(losses) - 1\n",
                "Rounds without a better one are counted over the whole training. What happens to the count when a better one comes?"),
        Mistake("worse than the one before", "def stop(losses, patience):\n    kept, waited = 0, 0\n    for at in range(1, len(losses)):\n        if losses[at] < losses[kept]:\n            kept = at\n        waited = 0 if losses[at] < losses[at - 1] else waited + 1\n"
                "        if waited == patience:\n            return kept, at\n    return kept, len(losses) - 1\n",
                "Each round is compared with the one before it. With which should it be compared?"),
    ],
)  # fmt: skip

# -- 13.A2 the mark to beat -----------------------------------------------------------------------------------------------

mark_to_beat = Assigned(
    "13.A2",
    goal="the mark to beat",
    minutes=12,
    text="A fine-tuned model that is right 40 times in 100: is that much? One mark that it must beat reads no text at all: it **guesses by lot**, each topic "
    "as often as it comes among the labels. Draw `many` of the training definitions, `random.Random(mine[\"seed\"]).sample(load(\"topics\").train, "
    "mine[\"many\"])`, and take the share of each `topic` among them. How often, on average over the lots, is such a guess right on "
    "`load(\"topics\").test[first : first + 400]`, with your own `first`? Work it out; nothing is drawn but the labels.",
    starter='''mine = variant("13.A2")  # your numbers
right_by_lot = ...  # a float from 0 to 1
''',
    solution='''import random

from fmcourse.data import load


def right_by_lot(mine):
    data = load("topics")
    drawn = [one.topic for one in random.Random(mine["seed"]).sample(data.train, mine["many"])]
    asked = [one.topic for one in data.test[mine["first"] : mine["first"] + 400]]
    return sum(drawn.count(topic) * asked.count(topic) for topic in set(drawn)) / len(drawn) / len(asked)
''',
    other_solutions=['''def right_by_lot(mine):
    import random
    from collections import Counter
    from fmcourse.data import load
    counts = Counter(one.topic for one in random.Random(mine["seed"]).sample(load("topics").train, mine["many"]))
    test = load("topics").test[mine["first"]:][:400]
    return sum(counts[one.topic] / mine["many"] for one in test) / len(test)
'''],
    vary=lambda draw: {"seed": draw.randrange(10**6), "many": draw.randrange(60, 160), "first": draw.randrange(0, 600)},
    explanation="For an item of topic t the guess is right as often as t is drawn. What can be had without reading a single text is no skill.",
    properties=[Property("not a chance", "def test(out, case):\n    return 0 < out < 1 or f'Some guesses are right and some are not; yours is {out:.4g}.'\n", "How often is the guess right for one item?")],
    mistakes=[
        Mistake("the majority", '''def right_by_lot(mine):
    import random
    from fmcourse.data import load
    drawn = sorted(one.topic for one in random.Random(mine["seed"]).sample(load("topics").train, mine["many"]))
    asked = [one.topic for one in load("topics").test[mine["first"]:][:400]]
    return asked.count(max(drawn, key=drawn.count)) / len(asked)
''', "It always says the commonest topic. Does a guess by lot do so?"),
        Mistake("on its own labels", '''def right_by_lot(mine):
    import random
    from fmcourse.data import load
    drawn = [one.topic for one in random.Random(mine["seed"]).sample(load("topics").train, mine["many"])]
    return sum(drawn.count(t) ** 2 for t in set(drawn)) / len(drawn) ** 2
''', "It is measured on the labels that were drawn. On which items is a model judged?"),
        Mistake("it knows the test", '''def right_by_lot(mine):
    from fmcourse.data import load
    asked = [one.topic for one in load("topics").test[mine["first"]:][:400]]
    return sum(asked.count(t) ** 2 for t in set(asked)) / len(asked) ** 2
''', "It guesses as often as topics come in the test. Who could have told?"),
        Mistake("one in ten", '''def right_by_lot(mine):
    from fmcourse.data import load
    return 1 / len({one.topic for one in load("topics").train})
''', "All topics are guessed equally often. How often do they come among your labels?"),
    ],
)  # fmt: skip
