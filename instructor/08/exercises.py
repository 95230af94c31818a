"""Assigned in lesson 08: which size led at which budget, and a scaling law of counted pairs."""

import random

from fmcourse.classroom.exercise_kinds import AssignedExercise
from fmcourse.course.exercise import IMPORTS, Mistake, Property

# -- 08.A1 the lowest curve at each budget --------------------------------------------------------------------------------

FRONTIER = '''def compute_frontier(runs, budgets):
    """For each budget the model with the lowest loss of all that had spent just that much, and this loss.

    A model of n parameters has spent 6 · n · d FLOP after d tokens. Between two measured points of a model its loss
    lies on a straight line over log(FLOP). Before its first point and behind its last one its loss is not known.

    runs: list of (n, tokens, losses): parameters; tokens read, a rising list; the loss after each of them, a list
    budgets: list of FLOP
    Returns: a list, for each budget (n, loss), or None if no model's loss is known there; of equal losses the smaller n.
    """
'''
LINE = "def compute_frontier(runs, budgets):\n"


def race(spent="budget / (6 * n)", known="tokens[0] <= d <= tokens[-1]", loss="float(numpy.interp(math.log(d), numpy.log(tokens), losses))",
         add="out.append(min(found)[::-1] if found else None)"):  # fmt: skip
    """A near miss: one part of the answer replaced."""
    return (
        f"{LINE}    import numpy\n    out = []\n    for budget in budgets:\n        found = []\n        for n, tokens, losses in runs:\n"
        f"            d = {spent}\n            if {known}:\n                found.append(({loss}, n))\n        {add}\n    return out\n"
    )


def some_runs(seed, sizes, n_points):
    """Runs that look like real ones: the larger a model, the later its curve crosses those of the smaller ones."""
    draw, runs = random.Random(seed), []
    for n in sizes:
        tokens = [round(2e7 * 2 ** (i + draw.uniform(0, 0.6)), -3) for i in range(n_points)]
        runs.append(
            (n, tokens, [round(1.6 + 100 / n**0.34 + 100 / d**0.28 + draw.uniform(-0.03, 0.03), 3) for d in tokens])
        )
    return runs  # fmt: skip


frontier = AssignedExercise(
    "08.A1",
    goal="which size leads at which budget?",
    minutes=20,
    difficulty=2,
    text="Hoffmann et al. found the best size for a budget in three ways. The first needs neither a formula nor a fit: draw the training curves of several models over the "
    "FLOP that they have spent, and see which curve is lowest at each budget. In the beginning that is a small model, since it has read much already; one after another the larger ones overtake it. "
    "The lower edge of all curves is called the **compute frontier**.\n\n"
    "Losses are measured now and then, and two models hardly ever at the same FLOP. So between two points of a curve you interpolate, as if the curve were straight on a logarithmic axis. "
    "And you do not guess: a model that was stopped before the budget, or that was first measured behind it, says nothing there.",
    cases=[
        ([(1e6, [1e8, 1e9], [4.0, 3.0]), (1e7, [2e7, 1e9], [4.5, 2.5])], [1e15, 3e15, 3e16, 1e12]),
        ([(2e6, [1e8, 2e8, 4e8], [3.6, 3.3, 3.1]), (8e6, [5e7, 1e8], [3.5, 3.0]), (1e6, [2e8, 8e8], [3.5, 3.45])], [1.5e15, 2.9e15, 4.5e15, 1e17]),
        (some_runs(1, [1e7, 3e6, 3e7], 4), [1.1e15, 4e15, 9e15]),
    ],
    hidden=[
        ([(4e6, [1e8, 4e8], [3.0, 3.0]), (2e6, [1e8, 9e8], [3.0, 3.0]), (6e6, [1e8, 4e8], [3.0, 3.0])], [4.5e15, 3e15, 1.4e15]),
        (some_runs(2, [1e6, 2e6, 4e6, 8e6, 1.6e7], 6), [7e14, 1.6e15, 3.3e15, 7e15, 1.5e16, 6e16]),
        (some_runs(3, [3e7, 1e6], 5), [2e14, 1e15, 2.3e15, 5e15, 2e16, 1e18]),
        ([(1e7, [1e8, 2e8, 4e8, 8e8], [3.4, 2.9, 3.3, 3.1])], [7e15, 1.3e16, 2e16, 4.1e16, 5e16]),
        (some_runs(4, [6.4e7, 1.6e7, 4e6], 3), [3e16, 1.2e15, 9.9e15, 6e15]),
        ([(5e6, [1e7, 1e9], [4.5, 2.9]), (1e6, [1e7, 5e9], [4.2, 3.0])], [1e15, 2e15, 6e15, 2.5e16, 2.9e16]),
        (some_runs(5, [2e6, 5e6, 1e7, 2e7, 5e7, 1e8], 5), [5e14, 1e15, 2e15, 5e15, 1e16, 2e16, 5e16]),
    ],
    starter=FRONTIER + "    ...\n",
    solution='''def loss_after(d, tokens, losses):
    """The loss of one model after d tokens, None where nothing was measured around it."""
    for i in range(1, len(tokens)):
        if tokens[i - 1] <= d <= tokens[i]:
            part = math.log(d / tokens[i - 1]) / math.log(tokens[i] / tokens[i - 1])
            return losses[i - 1] + part * (losses[i] - losses[i - 1])
    return None


''' + FRONTIER + '''    frontier = []
    for budget in budgets:  # of one model log(FLOP) is log(tokens) and a constant, so tokens do as well
        reached = [(loss_after(budget / (6 * n), tokens, losses), n) for n, tokens, losses in runs]
        reached = [(loss, n) for loss, n in reached if loss is not None]
        best = min(reached, default=None)  # by loss, then by size
        frontier.append(best and (best[1], best[0]))
    return frontier
''',
    other_solutions=[
        LINE + "    import numpy\n    out = [None] * len(budgets)\n    for n, tokens, losses in sorted(runs, key=lambda run: run[0]):\n"
        "        flops = [math.log(6 * n * d) for d in tokens]\n        for i, budget in enumerate(budgets):\n"
        "            loss = numpy.interp(math.log(budget), flops, losses, left=math.inf, right=math.inf)\n"
        "            if loss < (out[i][1] if out[i] else math.inf):\n                out[i] = (n, float(loss))\n    return out\n",
        LINE + "    import bisect\n    def at(run, budget):\n        n, tokens, losses = run\n        spent = [6 * n * d for d in tokens]\n        if budget < spent[0] or budget > spent[-1]:\n            return math.inf\n"
        "        i = max(1, bisect.bisect_left(spent, budget))\n        slope = (losses[i] - losses[i - 1]) / (math.log10(spent[i]) - math.log10(spent[i - 1]))\n"
        "        return losses[i] - slope * (math.log10(spent[i]) - math.log10(budget))\n    answers = []\n    for budget in budgets:\n"
        "        losses = [at(run, budget) for run in runs]\n        best = min(range(len(runs)), key=lambda i: (losses[i], runs[i][0]))\n"
        "        answers.append((runs[best][0], losses[best]) if losses[best] < math.inf else None)\n    return answers\n",
    ],
    explanation="At one budget models of different sizes have read different amounts, budget / (6 n) tokens each: that is the whole trick. A line through the leaders of many budgets, on "
    "logarithmic axes, is a scaling law for the best size. Chinchilla's authors trained every size with four lengths of the learning-rate schedule, since a loss in the "
    "middle of a longer schedule is higher than it had to be.",
    properties=[
        Property("not one answer for each budget", '''def test(out, case):
    return len(out) == len(case[1]) or f"There are {len(case[1])} budgets, and you return {len(out)} answers."
''', "What is returned for a budget at which nothing is known?"),
        Property("no such model", '''def test(out, case):
    sizes = [run[0] for run in case[0]]
    strange = [pair[0] for pair in out if pair is not None and pair[0] not in sizes]
    return not strange or f"No model has {strange[0]:.4g} parameters; there are {sizes}."
''', "What stands first in a pair?"),
        Property("a loss that was never seen", '''def test(out, case):
    seen = {n: losses for n, _, losses in case[0]}
    for n, loss in filter(None, out):
        if not min(seen[n]) - 1e-6 <= loss <= max(seen[n]) + 1e-6:
            return f"The model with {n:.4g} parameters had losses from {min(seen[n])} to {max(seen[n])}. You give it {loss:.4g}."
    return True
''', "Between which two points of its curve does the budget lie?"),
    ],
    mistakes=[
        Mistake("as many tokens for all", race(spent="budget / (6 * runs[0][0])"),
                "All models were compared after the same number of tokens. What have they spent by then?"),
        Mistake("the six is left out", race(spent="budget / n"),
                "Each model was asked six times too late. How many FLOP do a parameter and a token cost?"),
        Mistake("two for six", race(spent="budget / (2 * n)"),
                "2 FLOP for a parameter and a token are spent in reading. What else is spent in training?"),
        Mistake("straight over the tokens", race(loss="float(numpy.interp(d, tokens, losses))"),
                "Half-way between 1e8 and 1e9 you took 5.5e8. What lies half-way on a logarithmic axis?"),
        Mistake("the last point before it", race(loss="losses[sum(t <= d for t in tokens) - 1]"),
                "Each model was given the last loss measured before the budget, although it has read on since. How does its loss go on to the next point?"),
        Mistake("the first point behind it", race(loss="losses[min(sum(t < d for t in tokens), len(tokens) - 1)]"),
                "Each model was given a loss that it reached later, for more than the budget. Where is it between the two points?"),
        Mistake("the nearest point", race(loss="min((abs(math.log(t / d)), loss) for t, loss in zip(tokens, losses))[1]"),
                "The loss of the nearest point was taken as it is. What is known of the way from one point to the next?"),
        Mistake("stopped and still in the race", race(known="tokens[0] <= d"),
                "A model that had stopped earlier took part with its last loss. Is its loss known at this budget?"),
        Mistake("in the race too early", race(known="d <= tokens[-1]"),
                "A model took part before its first point, with a loss that it reached only later. Is its loss known there?"),
        Mistake("everybody everywhere", race(known="True"),
                "Every model takes part at every budget, with its first or last loss where it has no other. When is a loss known?"),
        Mistake("the last loss of all", race(loss="losses[-1]"),
                "The end of each run was compared, whatever it had cost. Which loss had it at this budget?"),
        Mistake("the lowest that it ever had", race(loss="min(losses)"),
                "Each model was given its lowest loss, whenever it had that. Which had it at this budget?"),
        Mistake("the worst one", race(add="out.append(max(found)[::-1] if found else None)"),
                "The highest curve was followed. Is a high loss good or bad?"),
        Mistake("the loss before the size", race(add="out.append(min(found) if found else None)"),
                "The loss stands first. Which comes first in a pair?"),
        Mistake("unknown budgets left out", race(add="out += [min(found)[::-1]] if found else []"),
                "Nothing stands where no model is known, so the later answers belong to other budgets. What stands there?"),
        Mistake("the larger of equals", race(add="out.append(min(found, key=lambda pair: (pair[0], -pair[1]))[::-1] if found else None)"),
                "Two models have the same loss, and the larger one was named. Which is asked?"),
        Mistake("the first of equals", race(add="out.append(min(found, key=lambda pair: pair[0])[::-1] if found else None)"),
                "Two models have the same loss, and the one that stands first was named. Which is asked?"),
        Mistake("the smallest model", race(add="out.append(min(found, key=lambda pair: pair[1])[::-1] if found else None)"),
                "It names the smallest model that is known at each budget. What decides?"),
        Mistake("its number in the list", race(add="out.append((float([run[0] for run in runs].index(min(found)[1])), min(found)[0]) if found else None)"),
                "It says at which place the model stands in the list. What is asked of it?"),
        Mistake("sizes alone", race(add="out.append(min(found)[1] if found else None)"),
                "The sizes are right, and their losses are missing. What is in a pair?"),
    ],
)  # fmt: skip

# -- 08.A2 a scaling law without a network --------------------------------------------------------------------------------


def how_much_to_read(draw):
    """Another place to begin and other sizes for each student."""
    least = draw.randrange(800, 1600)
    return {"first": draw.randrange(0, 4_400_000), "sizes": [least * 2**i for i in range(5)]}


def counted(body="return -fitted(x.log(), y.log())", loss="-math.log((triples[a, b, c] + 1) / (pairs[a, b] + V))", read='plays.train[mine["first"] : mine["first"] + size]',
            new="plays.test[:5000]", kinds="78"):  # fmt: skip
    """A near miss: `x` holds the sizes, `y` the losses; the last line gives the exponent."""
    return (
        "def loss_exponent(mine):\n    from collections import Counter\n    from fmcourse.data import load\n"
        '    plays, y = load("shakespeare"), []\n'
        f'    for size in mine["sizes"]:\n        text = {read}\n        new, V = {new}, {kinds}\n'
        "        triples, pairs = Counter(zip(text, text[1:], text[2:])), Counter(zip(text[:-1], text[1:-1]))\n"
        f"        nats = [{loss} for a, b, c in zip(new, new[1:], new[2:])]\n        y.append(sum(nats) / len(nats))\n"
        '    x, y = torch.tensor(mine["sizes"]).double(), torch.tensor(y).double()\n'
        "    fitted = lambda x, y: (((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum()).item()\n"
        f"    {body}\n"
    )


data_exponent = AssignedExercise(
    "08.A2",
    goal="a scaling law without a network",
    minutes=15,
    difficulty=2,
    text="Not only Transformers have scaling laws. Take the simplest language model that reads more than one character: it counts. After the characters a and b it gives the character c the "
    "probability (n(abc) + 1) / (n(ab) + V), where n(abc) is how often the three stand one after another in what it has read, n(ab) how often the pair does with any character behind it, and V = 78 "
    "is the number of different characters in all the plays.\n\n"
    "Five such models read `load(\"shakespeare\").train[first : first + size]`, one for each of your five `sizes`. The loss of a model is its mean cross-entropy, in nats a character, on the "
    "first 5,000 characters of `load(\"shakespeare\").test`, from the third on, since the first two have no pair before them.\n\n"
    "If loss = constant · size^(-α), then log(loss) falls on a straight line over log(size). Fit that line to your five models by least squares, and give α, a positive number. "
    "(There is no irreducible loss in this formula.)"
    "\n\nGive it unrounded: the first five digits must be right.",
    imports=IMPORTS + "from fmcourse.data import load\n",
    starter='''mine = variant("08.A2")  # where your models begin to read, and how many characters each reads
loss_exponent = ...  # a float, greater than 0
''',
    solution='''from collections import Counter

from fmcourse.data import load


def loss_exponent(mine):
    plays = load("shakespeare")
    n_characters, new = 78, plays.test[:5000]
    log_sizes, log_losses = [], []
    for size in mine["sizes"]:
        text = plays.train[mine["first"] : mine["first"] + size]
        triples = Counter(text[i : i + 3] for i in range(size - 2))
        pairs = Counter(text[i : i + 2] for i in range(size - 2))  # those with a character behind them
        nats = 0.0
        for i in range(len(new) - 2):
            nats -= math.log((triples[new[i : i + 3]] + 1) / (pairs[new[i : i + 2]] + n_characters))
        log_sizes.append([math.log(size), 1.0])
        log_losses.append([math.log(nats / (len(new) - 2))])
    columns, target = torch.tensor(log_sizes).double(), torch.tensor(log_losses).double()
    return -torch.linalg.lstsq(columns, target).solution[0].item()
''',
    other_solutions=[
        '''def loss_exponent(mine):
    from collections import defaultdict
    from statistics import linear_regression
    from fmcourse.data import load
    plays, losses = load("shakespeare"), []
    V = 78
    for size in mine["sizes"]:
        table = defaultdict(lambda: defaultdict(int))
        text = plays.train[mine["first"]:][:size]
        for at, letter in enumerate(text[2:]):
            table[text[at : at + 2]][letter] += 1
        bits = 0.0
        for at in range(2, 5000):
            row = table[plays.test[at - 2 : at]]
            bits += math.log2((sum(row.values()) + V) / (row[plays.test[at]] + 1))
        losses.append(bits / 4998)
    return -linear_regression(list(map(math.log2, mine["sizes"])), list(map(math.log2, losses))).slope
''',
        '''def loss_exponent(mine):
    from fmcourse.data import load
    plays = load("shakespeare")
    kinds = {letter: n for n, letter in enumerate(sorted(set(plays.train)))}
    V = len(kinds)
    read = torch.tensor([kinds[c] for c in plays.train[mine["first"] : mine["first"] + max(mine["sizes"])]])
    asked = torch.tensor([kinds[c] for c in plays.test[:5000]])
    threes = lambda ids: (ids[:-2] * V + ids[1:-1]) * V + ids[2:]
    x, y = [], []
    for size in mine["sizes"]:
        counts = torch.bincount(threes(read[:size]), minlength=V**3).view(-1, V) + 1.0
        p = (counts / counts.sum(1, keepdim=True)).flatten()[threes(asked)].double()
        x.append(math.log10(size))
        y.append(p.log().mean().neg().log10().item())
    x, y = torch.tensor(x).double(), torch.tensor(y).double()
    both = torch.stack([x, y]).cov()
    return -(both[0, 1] / both[0, 0]).item()
''',
    ],
    vary=how_much_to_read,
    explanation="On logarithmic axes the exponent is the slope with its sign turned, whatever the base of the logarithms and the unit of the loss. The five points bend a little: the exponent "
    "holds for these sizes, and a line drawn on to a thousand times as much text would promise a loss below the entropy of English.",
    properties=[Property("no exponent of such a curve", '''def test(out, case):
    return 0 < out < 0.5 or f"A model that reads twice as much loses a few per cent of its loss, so the exponent lies between 0 and 0.5; yours is {out:.4g}."
''', "Which sign has a falling line, and which axis is which?")],
    mistakes=[
        Mistake("the slope of the line", counted("return fitted(x.log(), y.log())"),
                "A falling line has a negative slope, and the formula says -α. What is α?"),
        Mistake("linear axes", counted("return -fitted(x, y)"),
                "This is how many nats one character more gains. On which axes is a power a straight line?"),
        Mistake("a logarithm for the sizes alone", counted("return -fitted(x.log(), y)"),
                "This is how many nats a factor of e gains. Of what else is the logarithm taken?"),
        Mistake("a logarithm for the loss alone", counted("return -fitted(x, y.log())"),
                "That fits an exponential: so many per cent for each character more. Of what else is the logarithm taken?"),
        Mistake("the ends alone", counted("return -((y[-1] / y[0]).log() / (x[-1] / x[0]).log()).item()"),
                "The line was drawn from the smallest model to the largest. What do the three between them say?"),
        Mistake("the axes swapped", counted("return -fitted(y.log(), x.log())"),
                "It is how fast the size would have to grow. Which is given, and which is measured?"),
        Mistake("two bases", counted("return -fitted(x.log10(), y.log())"),
                "One logarithm is natural, the other to the base 10. When does the base cancel out?"),
        Mistake("other two bases", counted("return -fitted(x.log2(), y.log())"),
                "One logarithm is natural, the other to the base 2. When does the base cancel out?"),
        Mistake("what was read", counted(new="text[:5000]"),
                "Each model was asked about the text that it had counted. On which text is the loss wanted?"),
        Mistake("bigrams", counted(loss="-math.log((pairs[b, c] + 1) / (sum_of[b] + V))").replace("        nats = [", "        sum_of = Counter(text[1:-1])\n        nats = ["),
                "These models look at one character. How many stand before c in n(abc)?"),
        Mistake("the characters of what was read", counted(kinds="len(set(text))"),
                "Each model was given a V of its own, so the larger ones were smoothed more. Of which text are the different characters counted?"),
        Mistake("256 characters", counted(kinds="256"),
                "V is the number of bytes. How many different characters has the text?"),
        Mistake("from the very beginning", counted(read="plays.train[:size]"),
                "These are the first characters of all. Where do your models begin to read?"),
        Mistake("nothing was read", counted(read='plays.train[mine["first"] : size]'),
                "All five losses are log V, as before any reading: `[first : size]` ends before it begins. Where should the slice end?"),
        Mistake("divided by what was read", counted("return -fitted(x.log(), (y / x).log())"),
                "Each loss was divided by its size as well, which adds 1 to the exponent. By how many characters is a mean cross-entropy divided?"),
        Mistake("perplexity", counted("return -fitted(x.log(), y.exp())"),
                "The perplexity went over log(size). Which two logarithms are asked?"),
        Mistake("without the line's constant", counted("return -((x.log() * y.log()).sum() / x.log().square().sum()).item()"),
                "This line was made to pass through a loss of 1 at size 1. How many numbers does a line have?"),
        Mistake("the squared correlation", counted("return torch.stack([x.log(), y.log()]).corrcoef()[0, 1].square().item()"),
                "This says how straight the line is. How steep is it?"),
    ],
)  # fmt: skip
