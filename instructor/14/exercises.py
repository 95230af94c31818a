"""Assigned in lesson 14: a program that looks up what came next, and how many wrong answers a leaning prompt must give."""

import random

from fmcourse.classroom.exercise_kinds import AssignedExercise
from fmcourse.course.exercise import IMPORTS, Mistake, Property

LETTERS = "\n:abcdefghijklmnopqrstuvwxyz"
spelt = lambda text: [LETTERS.index(letter) for letter in text]


def some(n, kinds, seed):
    dice = random.Random(seed)
    return [dice.randrange(kinds) for _ in range(n)]


# -- 14.A1 what came next? ------------------------------------------------------------------------------------------------

LOOK = '''def look_up(ids, most, size):
    """How probable is each token as the next one, by what came next before, in this very text?

    An ending of the text is its last n tokens. Take the longest ending, of at most `most` tokens, that stands
    somewhere earlier as well with a token after it; the two may overlap.
    Each token gets its share of all the places where that ending stands earlier: the share of these places after
    which it came. If not even the last token stands earlier, every token gets 1 / size.

    ids: list of at least one whole number, each below `size`   most: at least 1
    ->   list of `size` floats, which add up to 1
    """
'''

FINDS = """    T = len(ids)
    def after(n, take=0):
        return [ids[e + take] for e in range(n, T) if ids[e - n : e] == ids[T - n :]]
    def shares(found):
        return [found.count(i) / len(found) for i in range(size)] if found else [1 / size] * size
    def longest(most):
        return next((after(n) for n in range(min(most, T), 0, -1) if after(n)), [])
"""
LOOKING = "def look_up(ids, most, size):\n" + FINDS

looked_up = AssignedExercise(
    "14.A1",
    goal="the simplest thing that learns in context",
    minutes=20,
    difficulty=2,
    text="\"A tool would be simple: find where this letter stood before, see what followed.\" Build the tool, a better one: not one letter must fit, but as long a run as possible. No weight, no training, "
    "and it learns a new job from the lines above it. (Prompt lookup speeds up decoding so; infini-gram, Liu et al. 2024, does it with trillions of tokens. "
    "An induction head is what gradient descent made of the idea.)\n\n"
    "*Example.* `a b c a b d a b`. The ending `a b` stands earlier twice, once with `c` after it and once with `d`; no longer ending does. So `c` and `d` get ½ each. "
    "With one more token, `... a b c`: now `a b c` is an ending that stands earlier, and `a` came next, always.",
    cases=[
        ([0, 1, 2, 0, 1, 3, 0, 1], 8, 4),
        ([0, 1, 2, 0, 1, 3, 0, 1, 2], 8, 4),
        ([2, 0, 1], 3, 4),
        ([0, 1, 3, 2, 1, 0, 0, 1], 1, 4),
        ([0, 1, 3, 2, 1, 0, 0, 1], 2, 4),
        (spelt("pan:pankz\ncat:catkz\ndog:dog"), 3, 28),
    ],
    hidden=[
        ([3], 2, 5),
        ([1, 1, 1, 1], 4, 2),
        ([1, 1, 1, 1], 2, 3),
        (some(40, 3, seed=1), 3, 3),
        (some(60, 4, seed=2), 2, 5),
        (some(30, 2, seed=3), 12, 2),
        (some(25, 6, seed=4), 1, 7),
        ([0, 1, 0, 1, 0], 5, 2),
        ([4, 2, 4, 3, 4, 2, 0, 4], 3, 6),
        ([1, 2, 3, 0, 3, 2, 1, 0, 2, 1], 3, 4),
        ([1, 2, 1, 1, 1], 3, 3),
        ([0, 1, 1], 2, 3),
        (spelt("it:tiun\nad:daun\nof:"), 6, 28),
        ([1, 1], 2, 3),
        ([1, 0, 1, 2, 1, 2, 1, 3, 1], 1, 4),
    ],
    starter=LOOK + "    ...\n",
    solution=LOOK + '''    T = len(ids)
    for n in range(min(most, T - 1), 0, -1):                         # the longest first
        found = [ids[e] for e in range(n, T) if ids[e - n : e] == ids[T - n :]]
        if found:
            return [found.count(token) / len(found) for token in range(size)]
    return [1 / size] * size
''',
    other_solutions=[
        '''def look_up(ids, most, size):
    fits = []                                          # for each earlier place: how long a run before it is like the ending
    for e in range(1, len(ids)):
        n = 0
        while n < min(most, e) and ids[e - 1 - n] == ids[-1 - n]:
            n += 1
        fits.append((n, ids[e]))
    best = max([n for n, _ in fits], default=0)
    if best == 0:
        return [1 / size for _ in range(size)]
    counts = [0] * size
    for n, token in fits:
        if n == best:
            counts[token] += 1
    return [c / sum(counts) for c in counts]
''',
        '''def look_up(ids, most, size):
    x, T = torch.tensor(ids), len(ids)
    alive = torch.ones(T - 1, dtype=torch.bool) if T > 1 else torch.zeros(0, dtype=torch.bool)   # place j: is x[j + 1] what came next?
    kept = torch.zeros_like(alive)
    for n in range(min(most, T - 1)):
        back = torch.cat([torch.full((n,), -1), x[: T - 1 - n]])
        alive = alive & (back == x[T - 1 - n])
        if not alive.any():
            break
        kept = alive
    if not kept.any():
        return [1 / size] * size
    return (torch.bincount(x[1:][kept], minlength=size).double() / kept.sum()).tolist()
''',
    ],
    explanation="The longer the run that fits, the surer one is to be in the same place of the same job; shorter ones are asked only when nothing longer is found. It copies and does no more: after `cat:cat` it may "
    "find `cat` before the colon and write another colon. A trained head also learns when *not* to look.",
    properties=[
        Property("no distribution", '''def test(out, case):
    total = sum(out)
    if min(out) < 0:
        return f"The least of them is {min(out):.4g}, and no probability is below 0."
    return abs(total - 1) < 1e-3 or f"They add up to {total:.4g}."
''', "To what do the probabilities of all tokens add up?"),
        Property("never came next", '''def test(out, case):
    ids = case[0]
    came = {b for a, b in zip(ids, ids[1:]) if a == ids[-1]}
    if len(ids) == 1 or not came:
        return True
    for token, p in enumerate(out):
        if p > 1e-6 and token not in came:
            return f"The text ends with {ids[-1]}, and {token} never came after {ids[-1]}; still it gets {p:.4g}."
    return any(p > 0 for p in out)
''', "Which tokens stand right behind an earlier place that is like the ending?"),
    ],
    mistakes=[
        Mistake("one token must fit", LOOKING + "    return shares(after(1))\n",
                "It compares the last token alone, whatever stood before it. Which of two places is more like this one?"),
        Mistake("the last time only", LOOKING + "    return shares(longest(most)[-1:])\n",
                "Only the latest place counts. And if the ending has come three times?"),
        Mistake("the first time only", LOOKING + "    return shares(longest(most)[:1])\n",
                "Only the first place counts. And if the ending has come three times?"),
        Mistake("all lengths together", LOOKING + "    return shares([token for n in range(1, min(most, T) + 1) for token in after(n)])\n",
                "Short and long runs are counted together, so a poor match speaks though there is a better one. Which length counts?"),
        Mistake("all or nothing", LOOKING + "    return shares(after(most)) if most < T else shares([])\n",
                "If the ending of `most` tokens is new it gives up. Which ending is asked next?"),
        Mistake("no bound on the length", LOOKING + "    return shares(longest(T))\n",
                "`most` changes nothing. How many tokens may be compared?"),
        Mistake("its like", LOOKING + "    n = next((n for n in range(min(most, T), 0, -1) if after(n)), 0)\n    return shares(after(n, -1)) if n else shares([])\n",
                "It tells the last token of the run itself, which is known already. Where does what came next stand?"),
        Mistake("nothing known, nothing said", LOOKING + "    return shares(longest(most)) if longest(most) else [0.0] * size\n",
                "Where the last token is new it gives nothing at all. To what must the probabilities add up?"),
        Mistake("counts", LOOKING + "    found = longest(most)\n    return [float(found.count(i)) for i in range(size)] if found else shares(found)\n",
                "These are counts. What share of all places is that?"),
        Mistake("each token once", LOOKING + "    return shares(sorted(set(longest(most))))\n",
                "What came next nine times gets as much as what came once. What does each place count?"),
        Mistake("no overlap", LOOKING + "    apart = lambda n: [ids[e] for e in range(n, T - n + 1) if e < T and ids[e - n : e] == ids[T - n :]]\n"
                "    return shares(next((apart(n) for n in range(min(most, T), 0, -1) if apart(n)), []))\n",
                "The earlier run may not reach into the ending here. In 1 1 1 1, where else does 1 1 1 stand?"),
        Mistake("one token too few", LOOKING + "    return shares(longest(most - 1))\n",
                "It never compares `most` tokens, but one fewer. What does `range` leave out?"),
        Mistake("one token is not enough", LOOKING + "    return shares(next((after(n) for n in range(min(most, T), 1, -1) if after(n)), []))\n",
                "An ending of a single token is never asked. Which is the shortest ending?"),
        Mistake("the last place forgotten", LOOKING + "    less = lambda n: [ids[e] for e in range(n, T - 1) if ids[e - n : e] == ids[T - n :]]\n    return shares(next((less(n) for n in range(min(most, T), 0, -1) if less(n)), []))\n",
                "The place just before the end is never looked at. In 1 1, what came after the first 1?"),
        Mistake("nothing known, the frequent ones", LOOKING + "    return shares(longest(most) or ids)\n",
                "Where the last token is new, it says how often each token stands in the text. What was to come back then?"),
        Mistake("the likeliest alone", LOOKING + "    found = longest(most)\n    return shares([max(sorted(set(found)), key=found.count)] if found else [])\n",
                "The commonest of those that came next gets everything. What is the share of the others?"),
        Mistake("one more of each", LOOKING + "    found = longest(most)\n    return [(found.count(i) + 1) / (len(found) + size) for i in range(size)]\n",
                "Every token was given one more, so what never came next gets something. What is its share of the places?"),
        Mistake("divided by the text", LOOKING + "    found = longest(most)\n    return [found.count(i) / T for i in range(size)] if found else shares(found)\n",
                "It is divided by the length of the text. Of how many places is it a share?"),
        Mistake("the beginning for the ending", LOOKING + "    first = lambda n: [ids[e] for e in range(n, T) if ids[e - n : e] == ids[:n]]\n    return shares(next((first(n) for n in range(min(most, T - 1), 0, -1) if first(n)), []))\n",
                "It looks for the first tokens of the text, and finds them at the beginning at least. Which tokens are an ending?"),
    ],
)  # fmt: skip

# -- 14.A2 the price of leaning -------------------------------------------------------------------------------------------

RUNS = """    from fmcourse.data import table
    rows = table("lesson_14")["labels"]["examples"]["usual"]
    runs = [rows[str(k)][draw] for k, draw in mine["runs"]]
    wrong = [1 - run["raw"] for run in runs]
    forced = [run["one label"] - 0.5 for run in runs]
"""
FORCED = "def share_forced_by_the_lean(mine):\n" + RUNS


def other_runs(draw):
    """Other prompts for each student."""
    every = [[k, n] for k in (2, 4, 8, 16) for n in range(4)]
    return {"runs": sorted(draw.sample(every, draw.choice([6, 7, 8, 9])))}


leaning = AssignedExercise(
    "14.A2",
    goal="how much of what is wrong must be the lean?",
    minutes=15,
    difficulty=2,
    text="Examples in a prompt can tilt it towards one label. How much of what goes wrong is that, and not that the model cannot tell good words from bad?\n\n"
    "There is a bound that needs no model. `table(\"lesson_14\")[\"labels\"][\"examples\"][\"usual\"][str(k)][draw]` tells of one prompt in the usual wording with k examples, asked about 60 words, *half of them good and half bad*: `raw` is the share of right answers, "
    "`one label` the share of answers that were the commoner of the two labels. Who says one label more often than it is true **must** be wrong on some words, however good an ear he has: work out on how many at least, as a "
    "share of all words. (That bound is reached by one who errs in one direction alone.)\n\n"
    "Your `runs`, pairs [k, draw], name some prompts. Add up over all of them the share of wrong answers that their lean makes unavoidable, and the share of wrong answers that there were. Give the first sum divided by the second. "
    "(The table's four digits will do. Give yours unrounded: the first three digits must be right.)\n\n"
    "*Example.* Who says \"negative\" always, with `one label` 1.0, must be wrong on 0.5 of the words, and is: everything wrong is the lean. Who is wrong on 0.2 of the words and says either label equally often: nothing of it must be.",
    imports=IMPORTS + "from fmcourse.data import table\n",
    starter='''mine = variant("14.A2")  # your numbers
share_forced_by_the_lean = ...  # a float from 0 to 1
''',
    solution='''from fmcourse.data import table


def share_forced_by_the_lean(mine):
    rows = table("lesson_14")["labels"]["examples"]["usual"]
    forced = wrong = 0.0
    for k, draw in mine["runs"]:
        run = rows[str(k)][draw]
        forced += run["one label"] - 0.5        # so many more were given a label than have it
        wrong += 1 - run["raw"]
    return forced / wrong
''',
    other_solutions=[
        '''def share_forced_by_the_lean(mine):
    from fmcourse.data import table
    rows, n = table("lesson_14")["labels"]["examples"]["usual"], 60
    picked = [rows[str(k)][draw] for k, draw in mine["runs"]]
    said = [round(n * run["one label"]) for run in picked]
    best = [n - abs(m - n // 2) for m in said]             # right at most
    return sum(n - b for b in best) / sum(n - round(n * run["raw"]) for run in picked)
''',
        '''def share_forced_by_the_lean(mine):
    from fmcourse.data import table
    rows = table("lesson_14")["labels"]["examples"]["usual"]
    picked = [rows[str(k)][draw] for k, draw in mine["runs"]]
    common, right = torch.tensor([[run["one label"], run["raw"]] for run in picked]).mean(0).tolist()
    lead = common - (1 - common)                       # of the one label over the other: half of it is too many
    return lead / 2 / (1 - right)
''',
    ],
    vary=other_runs,
    tolerance=2e-3,
    explanation="Of 60 words 30 are bad. Who calls m of them negative, m > 30, calls at least m - 30 good ones negative. So the lean alone costs q - ½ of all words, and accuracy is at most 1½ - q. "
    "In the usual wording that is most of what is wrong: the model mostly knew the words, and the prompt did not let it say so. That is why calibration helps at all.",
    properties=[Property("more than all", '''def test(out, case):
    return 0 < out <= 1.005 or f"Of what is wrong some part is forced by the lean, and at most all of it; yours is {out:.4g}."
''', "Which words must be wrong, and which are?")],
    mistakes=[
        Mistake("how often it is said", FORCED + "    return sum(run['one label'] for run in runs) / sum(wrong)\n",
                "Half of the words do have that label. How many answers are too many?"),
        Mistake("counted on both sides", FORCED + "    return sum(2 * f for f in forced) / sum(wrong)\n",
                "It takes the gap between the two labels. If one label is said on 40 of 60 words, 20 times more than the other: how many words must be wrong?"),
        Mistake("the mean of the shares", FORCED + "    return sum(f / w for f, w in zip(forced, wrong)) / len(runs)\n",
                "It averages one quotient for each prompt, so one that is hardly ever wrong counts as much as a bad one. What was to be added up first?"),
        Mistake("of all words", FORCED + "    return sum(forced) / len(runs)\n",
                "That is a share of all words. Of what was it asked?"),
        Mistake("of the right answers", FORCED + "    return sum(forced) / sum(run['raw'] for run in runs)\n",
                "It is divided by what was right. Of what was it asked?"),
        Mistake("the calibrated answers", FORCED + "    return sum(forced) / sum(1 - run['calibrated'] for run in runs)\n",
                "The lean is that of the raw answers, the wrong ones are those after calibration. Which belong together?"),
        Mistake("the rest", FORCED + "    return 1 - sum(forced) / sum(wrong)\n",
                "That is the part that need not be the lean. Which was asked?"),
        Mistake("the rarer label", FORCED + "    return sum(1 - run['one label'] for run in runs) / sum(wrong)\n",
                "That is how often the *other* label is said. How many answers are too many?"),
        Mistake("not divided", FORCED + "    return sum(forced)\n",
                "That is the first sum. By what is it to be divided?"),
        Mistake("upside down", FORCED + "    return sum(wrong) / sum(forced)\n",
                "Who is divided by whom? A part of what is wrong cannot be more than all of it."),
        Mistake("less what is right", FORCED + "    return sum(abs(run['one label'] - run['raw']) for run in runs) / sum(wrong)\n",
                "It compares how often one label is said with how often the answer is right. How often is the label *true*?"),
        Mistake("all draws", FORCED.replace("for k, draw in mine[\"runs\"]", "for k in sorted({k for k, _ in mine[\"runs\"]}) for draw in range(len(rows[str(k)]))") + "    return sum(forced) / sum(wrong)\n",
                "All prompts with so many examples were added up. Which draws are yours?"),
        Mistake("half of it", FORCED + "    return sum(forced) / 2 / sum(wrong)\n",
                "It takes half of what is said too often. If all of 60 words get one label, how many must be wrong?"),
    ],
)  # fmt: skip
