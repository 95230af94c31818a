"""Assigned in lesson 15: whether there is a clear winner, and Cohen's kappa of two methods."""

from fmcourse.classroom.exercise_kinds import AssignedExercise
from fmcourse.course.exercise import IMPORTS, Mistake, Property

# -- 15.A1 a winner, or none ----------------------------------------------------------------------------------------------

WINNER = '''def winner(scores):
    """The clear winner: the method whose worst seed is better than the best seed of every other method.

    scores: {method: [accuracy of each seed]}, at least one method and one seed
    ->   its name, or None if there is no such method

    Equal is not better. A method without a rival has won.
    """
'''

winner = AssignedExercise(
    "15.A1",
    goal="a clear winner, or none",
    minutes=12,
    text="*LoRA 0.66, prompt 0.65* is no result if the accuracies of seeds differ by 0.1. A careful rule: a method has **won** only if its *worst* seed is better than the "
    "*best* seed of every other. With `{\"LoRA\": [0.60, 0.69], \"head\": [0.39, 0.41]}` LoRA has won; with `\"prompt\": [0.63, 0.73]` beside it nobody has.",
    cases=[
        {"LoRA": [0.60, 0.69], "head": [0.39, 0.41]},
        {"LoRA": [0.60, 0.69, 0.66], "prompt": [0.655, 0.73, 0.63], "head": [0.41, 0.415, 0.39]},
        {"head": [0.5, 0.6], "soft": [0.6, 0.8]},
        {"full": [0.81]},
        {"soft": [0.31, 0.44], "full": [0.52, 0.45]},
        {"head": [0.2], "soft": [0.3, 0.1], "LoRA": [0.35, 0.4, 0.31]},
        {"LoRA": [0.9, 0.5], "head": [0.4, 0.45], "soft": [0.1]},
    ],
    hidden=[
        {"full": [0.7]},
        {"a": [0.9, 0.2], "b": [0.8, 0.6]},
        {"a": [0.9, 0.5], "b": [0.6, 0.55]},
        {"a": [0.1, 0.2], "b": [0.31, 0.3], "c": [0.25, 0.2]},
        {"z": [0.4, 0.4], "b": [0.4, 0.4]},
        {"a": [0.5, 0.9], "b": [0.45, 0.3], "c": [0.49, 0.2]},
        {"only": [0.2, 0.9, 0.4]},
        {"b": [0.51], "a": [0.5]},
        {"a": [0.5], "b": [0.51]},
        {"z": [0.9, 0.61], "a": [0.6, 0.2, 0.1], "m": [0.59]},
        {"m": [0.6, 0.2], "z": [0.7, 0.61, 0.8], "a": [0.1, 0.1]},
        {"a": [0.1, 0.3], "b": [0.3, 0.2, 0.1], "c": [0.31, 0.32]},
        {"a": [1.0, 0.02], "b": [0.01, 0.0]},
        {"x": [0.33, 0.34], "y": [0.35, 0.36], "z": [0.37, 0.38], "w": [0.39, 0.4]},
        {"x": [0.39, 0.4], "y": [0.35, 0.36], "z": [0.37, 0.38], "w": [0.33, 0.34]},
        {"p": [0.2], "q": [0.6, 0.3], "r": [0.1, 0.15, 0.29]},
        {"q": [0.805, 0.9], "p": [0.8, 0.1]},
        {"p": [0.8, 0.1], "q": [0.805, 0.9]},
        {"b": [0.0, 0.0], "a": [0.001]},
        {"u": [0.71, 0.72, 0.73], "v": [0.7], "w": [0.69, 0.4, 0.3, 0.2]},
        {"u": [0.1], "v": [0.12, 0.11], "w": [0.13, 0.14, 0.2]},
        {"v": [0.4], "u": [0.41, 0.9], "w": [0.39, 0.38]},
        {"one": [0.99, 0.0]},
        {"y": [0.24, 0.5], "x": [0.23, 0.1]},
        {"a": [0.6, 0.9], "b": [0.5, 0.55], "c": [0.1, 0.7]},  # the rival is neither second in mean
        {"c": [0.4, 0.7], "b": [0.55, 0.5], "a": [0.9, 0.6]},  # nor second in its worst seed
    ],
    starter=WINNER + "    ...\n",
    solution=WINNER + '''    for name, values in scores.items():
        others = [max(other) for rival, other in scores.items() if rival != name]
        if all(min(values) > best for best in others):
            return name
    return None
''',
    other_solutions=[
        "def winner(scores):\n    first = max(scores, key=lambda name: min(scores[name]))\n    rest = [v for name, values in scores.items() if name != first for v in values]\n"
        "    return first if not rest or min(scores[first]) > max(rest) else None\n",
        "def winner(scores):\n    ranked = sorted(scores.items(), key=lambda pair: min(pair[1]), reverse=True)\n    name, values = ranked[0]\n"
        "    for _, other in ranked[1:]:\n        for value in other:\n            if value >= min(values):\n                return None\n    return name\n",
    ],
    explanation="If the worst seed of one method is above the best of all others, no choice of seeds reverses the result. The rule is strict: where it gives None, "
    "more seeds or a paired test may still show a difference.",
    properties=[Property("a winner that was caught", '''def test(out, case):
    if len(case) == 1 and out not in case:
        return f"{next(iter(case))} stands alone, and nobody is said to have won."
    for rival, values in case.items():
        if out in case and rival != out and max(values) >= min(case[out]):
            return f"{out} is called the winner; its worst seed is {min(case[out])}, and {rival} reaches {max(values)}."
    return out is None or out in case
''', "Which of its seeds must stand above the others?")],
    mistakes=[
        Mistake("the best mean", "def winner(scores):\n    return max(scores, key=lambda name: sum(scores[name]) / len(scores[name]))\n",
                "Somebody always has the best mean. Could another draw of seeds have turned it round?"),
        Mistake("the best seed", "def winner(scores):\n    return max(scores, key=lambda name: max(scores[name]))\n",
                "One lucky seed decides. What do its other seeds say?"),
        Mistake("the best worst seed", "def winner(scores):\n    return max(scores, key=lambda name: min(scores[name]))\n",
                "The highest of the worst seeds always exists. What must it be compared with?"),
        Mistake("as good is enough", WINNER + "    for name, values in scores.items():\n        if all(min(values) >= max(o) for r, o in scores.items() if r != name):\n            return name\n    return None\n",
                "Where the worst of one equals the best of the other, it names a winner. Is as good better?"),
        Mistake("seed by seed", WINNER + "    for name, values in scores.items():\n        if all(a > b for r, o in scores.items() if r != name for a, b in zip(values, o)):\n            return name\n    return None\n",
                "It compares the first seed with the first, the second with the second. Do the seeds of two methods have anything to do with each other here?"),
        Mistake("worst against worst", WINNER + "    for name, values in scores.items():\n        if all(min(values) > min(o) for r, o in scores.items() if r != name):\n            return name\n    return None\n",
                "The worst seed of one is compared with the worst of the others. With which of their seeds was it to be compared?"),
        Mistake("best against best", WINNER + "    for name, values in scores.items():\n        if all(max(values) > max(o) for r, o in scores.items() if r != name):\n            return name\n    return None\n",
                "The best seed of one is compared with the best of the others. Which of its own seeds decides?"),
        Mistake("mean against mean", WINNER + "    mean = lambda v: sum(v) / len(v)\n    for name, values in scores.items():\n        if all(mean(values) > mean(o) for r, o in scores.items() if r != name):\n            return name\n    return None\n",
                "Somebody nearly always has the best mean. Could another draw of seeds have turned it round?"),
        Mistake("worst against mean", WINNER + "    mean = lambda v: sum(v) / len(v)\n    for name, values in scores.items():\n        if all(min(values) > mean(o) for r, o in scores.items() if r != name):\n            return name\n    return None\n",
                "The worst seed is compared with the means of the others. With which of their seeds was it to be compared?"),
        Mistake("its own rival", WINNER + "    for name, values in scores.items():\n        if all(min(values) > max(o) for o in scores.values()):\n            return name\n    return None\n",
                "Each method is compared with itself as well, and its worst seed never beats its own best. Who are the others?"),
        Mistake("better than one of them", WINNER + "    for name, values in scores.items():\n        if len(scores) == 1 or any(min(values) > max(o) for r, o in scores.items() if r != name):\n            return name\n    return None\n",
                "It is enough to beat one other method. How many must be beaten?"),
        Mistake("any, also alone", WINNER + "    for name, values in scores.items():\n        if any(min(values) > max(o) for r, o in scores.items() if r != name):\n            return name\n    return None\n",
                "It is enough to beat one other method, and one that stands alone beats nobody. How many must be beaten?"),
        Mistake("nobody alone wins", WINNER + "    for name, values in scores.items():\n        if len(scores) > 1 and all(min(values) > max(o) for r, o in scores.items() if r != name):\n            return name\n    return None\n",
                "A method that stands alone has not won. What was said of it?"),
        Mistake("the second best mean alone", WINNER + "    ranked = sorted(scores.values(), key=lambda v: sum(v) / len(v), reverse=True)\n    if len(ranked) == 1 or min(ranked[0]) > max(ranked[1]):\n        return next(name for name, values in scores.items() if values is ranked[0])\n    return None\n",
                "Only the method with the second best mean is its rival. Whose lucky seed may be higher?"),
        Mistake("the second best worst seed alone", WINNER + "    ranked = sorted(scores.values(), key=min, reverse=True)\n    if len(ranked) == 1 or min(ranked[0]) > max(ranked[1]):\n        return next(name for name, values in scores.items() if values is ranked[0])\n    return None\n",
                "Only the method with the second best worst seed is its rival. Whose lucky seed may be higher?"),
        Mistake("gives up after the first", WINNER + "    for name, values in scores.items():\n        return name if all(min(values) > max(o) for r, o in scores.items() if r != name) else None\n",
                "If the first method has not won, nobody has. When is it certain that nobody has?"),
        Mistake("the loser", WINNER + "    for name, values in scores.items():\n        if all(max(values) < min(o) for r, o in scores.items() if r != name):\n            return name\n    return None\n",
                "It names the method that everyone beats. Which was asked?"),
    ],
)  # fmt: skip

# -- 15.A2 how far two agree ----------------------------------------------------------------------------------------------

WAYS = ["LoRA", "full fine-tuning", "linear probe", "SmolLM2 probe", "MiniLM blocks", "soft prompt"]

agreement = AssignedExercise(
    "15.A2",
    goal="Cohen's kappa of two methods",
    minutes=15,
    difficulty=2,
    text="Two methods, the same test items, ten classes. How similar are their predictions? Plain agreement is too high a measure, because two methods that guess agree now and then too. "
    "**Cohen's kappa** takes that away: (agree − chance) / (1 − chance). *agree* is the share of items with the same prediction; *chance* is what it would be "
    "if each predicted at random, every class as often as it does: the sum over the ten classes of (its share in the one) × (its share in the other).\n\n"
    "The predictions of lesson 15 are in its table: `table(\"lesson_15\")[\"tasks\"][\"topics\"][way][labels][seed][\"predictions\"]` is a text of 200 digits, one for each item. Take "
    "items `first` to `first + many - 1`, counted from 0, of the methods `mine[\"one\"]` and `mine[\"other\"]`, with your labels and your seed."
    "\n\nGive it unrounded: the first five digits must be right.",
    imports=IMPORTS + "from fmcourse.data import table\n",
    starter='''mine = variant("15.A2")  # your numbers
kappa_of_two_ways = ...  # a float
''',
    solution='''from fmcourse.data import table


def kappa_of_two_ways(mine):
    tasks = table("lesson_15")["tasks"]["topics"]
    cut = slice(mine["first"], mine["first"] + mine["many"])
    one, other = (tasks[mine[way]][mine["labels"]][mine["seed"]]["predictions"][cut] for way in ("one", "other"))
    agree = sum(a == b for a, b in zip(one, other)) / len(one)
    chance = sum(one.count(digit) * other.count(digit) for digit in "0123456789") / len(one) ** 2
    return (agree - chance) / (1 - chance)
''',
    other_solutions=['''def kappa_of_two_ways(mine):
    from collections import Counter
    from fmcourse.data import table
    said = [table("lesson_15")["tasks"]["topics"][mine[w]][mine["labels"]][mine["seed"]]["predictions"][mine["first"]:][:mine["many"]] for w in ("one", "other")]
    n = len(said[0])
    a, b = map(Counter, said)
    observed = sum(x == y for x, y in zip(*said))
    expected = sum(a[k] * b[k] for k in a) / n
    return (observed - expected) / (n - expected)
''', '''def kappa_of_two_ways(mine):
    from fmcourse.data import table
    ways = [table("lesson_15")["tasks"]["topics"][mine[way]] for way in ("one", "other")]
    said = [way[mine["labels"]][mine["seed"]]["predictions"][mine["first"]:][:mine["many"]] for way in ways]
    pairs = torch.zeros(10, 10, dtype=torch.float64)
    for a, b in zip(*said):
        pairs[int(a), int(b)] += 1 / mine["many"]
    chance = (pairs.sum(0) * pairs.sum(1)).sum()
    return ((pairs.trace() - chance) / (1 - chance)).item()
'''],
    vary=lambda draw: {"one": (two := draw.sample(WAYS, 2))[0], "other": two[1], "labels": draw.choice(["16", "64", "256"]),
                       "seed": draw.randrange(3), "first": draw.randrange(0, 60), "many": draw.randrange(90, 140)},
    explanation="Two methods with an accuracy of 0.7 must agree often; kappa says how much more than random predictions would.",
    properties=[Property("no kappa", "def test(out, case):\n    return -1 <= out < 1 and out != 0 or f'Kappa lies between -1 and 1, and is not 0 for two methods that learned the same task; yours is {out:.4g}.'\n",
                         "What is it when both always say the same?")],
    mistakes=[
        Mistake("plain agreement", '''def kappa_of_two_ways(mine):
    from fmcourse.data import table
    one, other = (table("lesson_15")["tasks"]["topics"][mine[w]][mine["labels"]][mine["seed"]]["predictions"][mine["first"]:][:mine["many"]] for w in ("one", "other"))
    return sum(a == b for a, b in zip(one, other)) / len(one)
''', "That is how often they agree. How often would two agree who answer at random?"),
        Mistake("one in ten", '''def kappa_of_two_ways(mine):
    from fmcourse.data import table
    one, other = (table("lesson_15")["tasks"]["topics"][mine[w]][mine["labels"]][mine["seed"]]["predictions"][mine["first"]:][:mine["many"]] for w in ("one", "other"))
    return (sum(a == b for a, b in zip(one, other)) / len(one) - 0.1) / 0.9
''', "It takes one in ten for chance. Does each of the ten answers come equally often?"),
        Mistake("not divided", '''def kappa_of_two_ways(mine):
    from fmcourse.data import table
    one, other = (table("lesson_15")["tasks"]["topics"][mine[w]][mine["labels"]][mine["seed"]]["predictions"][mine["first"]:][:mine["many"]] for w in ("one", "other"))
    n = len(one)
    return sum(a == b for a, b in zip(one, other)) / n - sum(one.count(d) * other.count(d) for d in "0123456789") / n ** 2
''', "What is left after chance is not yet a share. Of what would it have to be one?"),
        Mistake("all questions", '''def kappa_of_two_ways(mine):
    from fmcourse.data import table
    one, other = (table("lesson_15")["tasks"]["topics"][mine[w]][mine["labels"]][mine["seed"]]["predictions"] for w in ("one", "other"))
    n = len(one)
    agree, chance = sum(a == b for a, b in zip(one, other)) / n, sum(one.count(d) * other.count(d) for d in "0123456789") / n ** 2
    return (agree - chance) / (1 - chance)
''', "It counts all 200 items. Which were yours?"),
        Mistake("one share for both", '''def kappa_of_two_ways(mine):
    from fmcourse.data import table
    one, other = (table("lesson_15")["tasks"]["topics"][mine[w]][mine["labels"]][mine["seed"]]["predictions"][mine["first"]:][:mine["many"]] for w in ("one", "other"))
    n = len(one)
    agree, chance = sum(a == b for a, b in zip(one, other)) / n, sum(one.count(d) * other.count(d) for d in "0123456789") / n ** 2
    chance = sum(((one + other).count(d) / (2 * n)) ** 2 for d in "0123456789"); return (agree - chance) / (1 - chance)
''',
                "Both are taken to answer in the same proportions, those of the two together: that is Scott's pi, a relative. Whose shares are multiplied?"),
        Mistake("the one's shares twice", '''def kappa_of_two_ways(mine):
    from fmcourse.data import table
    one, other = (table("lesson_15")["tasks"]["topics"][mine[w]][mine["labels"]][mine["seed"]]["predictions"][mine["first"]:][:mine["many"]] for w in ("one", "other"))
    n = len(one)
    agree, chance = sum(a == b for a, b in zip(one, other)) / n, sum(one.count(d) * other.count(d) for d in "0123456789") / n ** 2
    chance = sum((one.count(d) / n) ** 2 for d in "0123456789"); return (agree - chance) / (1 - chance)
''',
                "The shares of the one were squared. Whose shares are multiplied?"),
        Mistake("divided by the agreement", '''def kappa_of_two_ways(mine):
    from fmcourse.data import table
    one, other = (table("lesson_15")["tasks"]["topics"][mine[w]][mine["labels"]][mine["seed"]]["predictions"][mine["first"]:][:mine["many"]] for w in ("one", "other"))
    n = len(one)
    agree, chance = sum(a == b for a, b in zip(one, other)) / n, sum(one.count(d) * other.count(d) for d in "0123456789") / n ** 2
    return (agree - chance) / agree
''',
                "It is divided by how often they agree. How much is left for agreement to reach, above chance?"),
        Mistake("divided by chance", '''def kappa_of_two_ways(mine):
    from fmcourse.data import table
    one, other = (table("lesson_15")["tasks"]["topics"][mine[w]][mine["labels"]][mine["seed"]]["predictions"][mine["first"]:][:mine["many"]] for w in ("one", "other"))
    n = len(one)
    agree, chance = sum(a == b for a, b in zip(one, other)) / n, sum(one.count(d) * other.count(d) for d in "0123456789") / n ** 2
    return (agree - chance) / chance
''',
                "It is divided by chance. How much is left for agreement to reach, above chance?"),
        Mistake("chance", '''def kappa_of_two_ways(mine):
    from fmcourse.data import table
    one, other = (table("lesson_15")["tasks"]["topics"][mine[w]][mine["labels"]][mine["seed"]]["predictions"][mine["first"]:][:mine["many"]] for w in ("one", "other"))
    n = len(one)
    agree, chance = sum(a == b for a, b in zip(one, other)) / n, sum(one.count(d) * other.count(d) for d in "0123456789") / n ** 2
    return chance
''',
                "That is how often they would agree by chance. What of how often they do?"),
        Mistake("brackets forgotten", '''def kappa_of_two_ways(mine):
    from fmcourse.data import table
    one, other = (table("lesson_15")["tasks"]["topics"][mine[w]][mine["labels"]][mine["seed"]]["predictions"][mine["first"]:][:mine["many"]] for w in ("one", "other"))
    n = len(one)
    agree, chance = sum(a == b for a, b in zip(one, other)) / n, sum(one.count(d) * other.count(d) for d in "0123456789") / n ** 2
    return agree - chance / 1 - chance
''',
                "Without brackets the division comes first. What is divided by what?"),
        Mistake("the likeliest answer alone", '''def kappa_of_two_ways(mine):
    from fmcourse.data import table
    one, other = (table("lesson_15")["tasks"]["topics"][mine[w]][mine["labels"]][mine["seed"]]["predictions"][mine["first"]:][:mine["many"]] for w in ("one", "other"))
    n = len(one)
    agree, chance = sum(a == b for a, b in zip(one, other)) / n, sum(one.count(d) * other.count(d) for d in "0123456789") / n ** 2
    chance = max(one.count(d) * other.count(d) for d in "0123456789") / n ** 2; return (agree - chance) / (1 - chance)
''',
                "Chance agreement on one answer alone was counted. On how many can they agree?"),
        Mistake("the first of all", '''def kappa_of_two_ways(mine):
    from fmcourse.data import table
    one, other = (table("lesson_15")["tasks"]["topics"][mine[w]][mine["labels"]][mine["seed"]]["predictions"][:mine["many"]] for w in ("one", "other"))
    n = len(one)
    agree, chance = sum(a == b for a, b in zip(one, other)) / n, sum(one.count(d) * other.count(d) for d in "0123456789") / n ** 2
    return (agree - chance) / (1 - chance)
''',
                "It counts from the first item of all. Where do yours begin?"),
        Mistake("one question too many", '''def kappa_of_two_ways(mine):
    from fmcourse.data import table
    one, other = (table("lesson_15")["tasks"]["topics"][mine[w]][mine["labels"]][mine["seed"]]["predictions"][mine["first"]:mine["first"] + mine["many"] + 1] for w in ("one", "other"))
    n = len(one)
    agree, chance = sum(a == b for a, b in zip(one, other)) / n, sum(one.count(d) * other.count(d) for d in "0123456789") / n ** 2
    return (agree - chance) / (1 - chance)
''',
                "It counts one item too many. Which is the last of `many` that begin at `first`?"),
        Mistake("counted from one", '''def kappa_of_two_ways(mine):
    from fmcourse.data import table
    one, other = (table("lesson_15")["tasks"]["topics"][mine[w]][mine["labels"]][mine["seed"]]["predictions"][max(0, mine["first"] - 1):][:mine["many"]] for w in ("one", "other"))
    n = len(one)
    agree, chance = sum(a == b for a, b in zip(one, other)) / n, sum(one.count(d) * other.count(d) for d in "0123456789") / n ** 2
    return (agree - chance) / (1 - chance)
''',
                "It begins one item too early. Which index has the first item of all?"),
    ],
)  # fmt: skip
