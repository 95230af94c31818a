"""Assigned in lesson 17: when an agent goes in circles, and how reliable one is that corrects itself."""

from fmcourse.classroom.exercise_kinds import AssignedExercise
from fmcourse.course.exercise import IMPORTS, Mistake, Property

# -- 17.A1 when an agent goes in circles ----------------------------------------------------------------------------------

CIRCLE = '''def first_circle(steps, times):
    """When an agent is first seen to go in circles: (n, p), or None if it never is.

    After n steps it is seen if the last p · times of them are one block of p steps, `times` times over, with nothing in
    between. n is the smallest number of steps after which that is so for any p.

    steps: list of (call, observation), two texts; a call is JSON. Two steps are the same if their observations are the
        same text and their calls are the same JSON: spaces outside of texts and the order of keys do not count.
    times: a whole number, at least 2
    """
'''
LINE = "def first_circle(steps, times):\n"


def circled(
    same="[(json.loads(call), observation) for call, observation in steps]",
    n="range(1, len(seen) + 1)",
    p="range(1, n // times + 1)",
    test="seen[n - p * times : n] == seen[n - p : n] * times",
    found="return n, p",
    end="return None",
):
    """A near miss: one part of the answer replaced."""
    return (
        f"{LINE}    import json\n    seen = {same}\n    for n in {n}:\n        for p in {p}:\n"
        f"            if {test}:\n                {found}\n    {end}\n"
    )


def step(letter, seen="-", **arguments):
    """A step in short: a search for a letter, and what was found."""
    pairs = "".join(f', "{name}": {value}' for name, value in arguments.items())
    return f'{{"tool": "search", "arguments": {{"words": "{letter}"{pairs}}}}}', seen


def walk(letters, seen="-"):
    return [step(letter, seen) for letter in letters]


SPACED = ('{ "arguments": {"words":"a"},\n "tool": "search" }', "-")
AIRY = ('{"tool":  "search",\n "arguments": {"words": "a"} }', "-")
TURNED = ('{"tool": "search", "arguments": {"page": 1, "words": "a"}}', "-")
OTHER = ('{"tool": "read", "arguments": {"words": "a"}}', "-")

circles = AssignedExercise(
    "17.A1",
    goal="when does an agent go in circles?",
    minutes=20,
    difficulty=2,
    text="Small models often get stuck: they search for the same words again, read the same page, and search once more, until the budget is gone. A budget ends that late. You end it early, by looking at "
    "the trace: whoever has done the same few things in the same order several times over, *with the same results*, will hardly do something else now.\n\n"
    "A single step may be repeated, or a round of several. And care is needed: to ask a clock twice is no circle, since the observation differs; a call that was made twice with other steps in between may have "
    "had its reason; and a model may write the same call with its keys in another order.",
    cases=[
        (walk("abb"), 2),
        (walk("xabcabc"), 2),
        ([step("a"), SPACED, step("b")], 2),
        ([step("a", "12:00"), step("a", "12:01"), step("a", "12:02")], 2),
        (walk("abababc"), 3),
    ],
    hidden=[
        (walk("abcadaeaf") + walk("gg"), 2),
        (walk("aabbbcccc"), 4),
        (walk("abcbcbca"), 3),
        ([step("a", page=1), TURNED, TURNED], 3),
        (walk("abcdabceabcdabce") + walk("ff"), 2),
        ([step("a"), OTHER, step("a"), OTHER, step("b")], 2),
        (walk("ab") + walk("ab", "nothing new") + walk("cdecdecde"), 3),
        (walk("aabaabaab"), 3),
        (walk("abcabdabcabdabcabd"), 3),
        ([step("a", page=1), step("a", page=2), step("a", page=1), step("a", page=2)], 2),
        (walk("abacabacab"), 2),
        (walk("xyzxyxyzxyxyzxy"), 3),
        (walk("abcde"), 2),
        (walk("abcacbdd"), 2),
        ([step("a"), AIRY, step("b")], 2),
        ([step("a b"), step("ab"), step("c"), step("c")], 2),
    ],
    imports=IMPORTS + "import json\n",
    starter=CIRCLE + "    ...\n",
    solution=CIRCLE
    + """    seen = [(json.loads(call), observation) for call, observation in steps]
    for n in range(1, len(seen) + 1):
        for p in range(1, n // times + 1):
            if seen[n - p * times : n] == seen[n - p : n] * times:
                return n, p
    return None
""",
    other_solutions=[
        LINE + "    plain = [json.dumps([json.loads(call), observation], sort_keys=True) for call, observation in steps]\n"
        "    run = [0] * (len(plain) + 1)  # for each period, how many steps in a row equal the one a period earlier\n"
        "    for at in range(len(plain)):\n        for period in range(1, at + 1):\n"
        "            run[period] = run[period] + 1 if plain[at] == plain[at - period] else 0\n"
        "            if run[period] >= period * (times - 1):\n                return at + 1, period\n    return None\n",
        LINE + "    found = []\n    trace = []\n    for call, observation in steps:\n        trace.append([observation, json.loads(call)])\n"
        "    for length in range(1, len(trace) // times + 1):\n        for start in range(len(trace) - length * times + 1):\n"
        "            blocks = [trace[start + i * length : start + (i + 1) * length] for i in range(times)]\n"
        "            if all(block == blocks[0] for block in blocks):\n                found.append((start + length * times, length))\n"
        "    return min(found, default=None)\n",
    ],
    explanation="A trace ends in a circle of period p if each of its last p · (times - 1) steps equals the one p steps before it. The agent of the course is simpler: it counts replies that it has seen before, wherever "
    "they stand. That also catches an agent that wanders, and it stops one that has a reason to ask again.",
    properties=[
        Property("no such moment", '''def test(out, case):
    steps, times = case
    if out is None:
        return True
    n, p = out
    return 1 <= p * times <= n <= len(steps) or f"There are {len(steps)} steps and times={times}; you return n={n} and p={p}, and {p} · {times} steps do not end there."
''', "How many steps do `times` blocks of p steps take?"),
        Property("not the same steps", '''def test(out, case):
    import json
    steps, times = case
    if out is None:
        return True
    n, p = out
    seen = [(json.loads(call), observation) for call, observation in steps[:n]]
    wrong = [i for i in range(n - p * (times - 1), n) if seen[i] != seen[i - p]]
    return not wrong or f"You return n={n} and p={p}, and step {wrong[0] + 1} is not the same as step {wrong[0] + 1 - p}."
''', "What must be equal to what in a circle of p steps?"),
    ],
    mistakes=[
        Mistake("texts are compared", circled(same="list(map(tuple, steps))"),
                "The same call with its keys in another order, or with other spaces, counted as another one. How are two pieces of JSON compared?"),
        Mistake("all spaces are removed", circled(same="[(''.join(call.split()), observation) for call, observation in steps]"),
                "Spaces do not count any more, and the order of the keys still does. What does a parser make of both?"),
        Mistake("observations are ignored", circled(same="[json.loads(call) for call, _ in steps]"),
                "An agent that asks a clock again and again was stopped, although it learns something each time. What else belongs to a step?"),
        Mistake("calls are ignored", circled(same="[observation for _, observation in steps]"),
                "Different calls that found the same counted as one. What else belongs to a step?"),
        Mistake("only the tool counts", circled(same="[(json.loads(call)['tool'], observation) for call, observation in steps]"),
                "Two searches for different words counted as the same. What else belongs to a call?"),
        Mistake("only the arguments count", circled(same="[(json.loads(call)['arguments'], observation) for call, observation in steps]"),
                "A search and a reading with the same words counted as the same. What else belongs to a call?"),
        Mistake("one step alone", circled(p="range(1, min(1, n // times) + 1)"),
                "Only a step that follows itself was found. How long may a block be?"),
        Mistake("no step alone", circled(p="range(2, n // times + 1)"),
                "A step that follows itself was not found. How short may a block be?"),
        Mistake("seen before, wherever", circled(p="[1] if n >= times else []", test="seen[:n].count(seen[n - 1]) >= times"),
                "A step that was made earlier, with others in between, counted as a circle. What may lie between two rounds?"),
        Mistake("twice is enough", circled(p="range(1, n // 2 + 1)", test="seen[n - p * 2 : n] == seen[n - p : n] * 2"),
                "The second round counted already. What does `times` say?"),
        Mistake("one round more", circled(p="range(1, n // (times + 1) + 1)", test="seen[n - p * (times + 1) : n] == seen[n - p : n] * (times + 1)"),
                "The first round was not counted. How many rounds are asked in all?"),
        Mistake("one round less", circled(p="range(1, n // max(times - 1, 1) + 1)", test="n > p * (times - 1) and seen[n - p * (times - 1) : n] == seen[n - p : n] * (times - 1) and seen[n - 1 - p * (times - 1)] == seen[n - 1]"),
                "The last round was not complete when you stopped. How many steps do `times` rounds take?"),
        Mistake("only at the end", circled(n="range(len(seen), len(seen) + 1)"),
                "An agent that has gone in circles and then got out of it was not seen. After which steps is it looked at?"),
        Mistake("only from the beginning", circled(test="n == p * times and seen[:n] == seen[n - p : n] * times"),
                "A circle that begins later was not found. Where may the first round stand?"),
        Mistake("the shortest block of all", LINE + "    import json\n    seen = [(json.loads(call), observation) for call, observation in steps]\n    for p in range(1, len(seen) // times + 1):\n"
                "        for n in range(p * times, len(seen) + 1):\n            if seen[n - p * times : n] == seen[n - p : n] * times:\n                return n, p\n    return None\n",
                "A shorter block that is complete only later was preferred. Which of n and p comes first?"),
        Mistake("the last circle", circled(n="range(len(seen), 0, -1)"),
                "A later moment was returned. Which one ends a useless run soonest?"),
        Mistake("counted from 0", circled(found="return n - 1, p"),
                "n is the place of the last step, counted from 0. How many steps have been made by then?"),
        Mistake("where it begins", circled(found="return n - p * times, p"),
                "It says how many steps came before the circle. When can it be seen?"),
        Mistake("when the rounds begin again", circled(found="return n - p * (times - 1), p"),
                "It says when the first round was over. When are all rounds seen?"),
        Mistake("p before n", circled(found="return p, n"),
                "The length of the block stands first. Which is asked first?"),
        Mistake("the length of all rounds", circled(found="return n, p * times"),
                "All rounds together were measured. How long is one block?"),
        Mistake("the first steps of the rounds", circled(test="[seen[n - p * i] for i in range(1, times + 1)] == [seen[n - p]] * times"),
                "Only the first step of each round was compared. What about the others?"),
        Mistake("the last steps of the rounds", circled(test="[seen[n - 1 - p * i] for i in range(times)] == [seen[n - 1]] * times"),
                "Only the last step of each round was compared. What about the others?"),
        Mistake("rounds in any order", circled(test="all(sorted(map(repr, seen[n - p * (i + 1) : n - p * i])) == sorted(map(repr, seen[n - p : n])) for i in range(times))"),
                "Rounds with the same steps in another order counted as the same. Does the order matter in a circle?"),
        Mistake("nothing found is (0, 0)", circled(end="return 0, 0"),
                "There is no circle, and you return two numbers. What is returned then?"),
    ],
)  # fmt: skip

# -- 17.A2 an agent that notices mistakes ---------------------------------------------------------------------------------


def an_agent(draw):
    """Another agent and other tasks for each student; the longest task nearly needs the whole budget."""
    lengths = sorted(draw.sample(range(3, 12), 5))
    return {
        "right": draw.randrange(800, 930) / 1000,
        "notices": draw.randrange(500, 900) / 1000,
        "budget": lengths[-1] + draw.choice([1, 2]),
        "lengths": lengths,
        "k": draw.choice([2, 3, 4]),
    }


def worked_out(
    again="(1 - p) * q",
    most="mine['budget'] - n",
    ways="comb(n - 1 + f, f)",
    one="sum(ways(n, f) * p**n * again**f for f in range(most + 1))",
    each="solved(n) ** k",
    total="sum(each) / len(each)",
):
    """A near miss: `solved(n)` is the probability of a task of n steps."""
    return (
        "def reliability(mine):\n    from math import comb, prod\n    p, q, k, lengths = mine['right'], mine['notices'], mine['k'], mine['lengths']\n"
        f"    again = {again}\n    ways = lambda n, f: {ways}\n    def solved(n):\n        most = {most}\n        return {one}\n"
        f"    each = [{each} for n in lengths]\n    return {total}\n"
    )


self_correction = AssignedExercise(
    "17.A2",
    goal="what is noticing a mistake worth?",
    minutes=15,
    difficulty=2,
    text="If every step succeeds with probability p, a task of n steps succeeds with p^n: that is why long tasks fail. Agents that check themselves do better. Work out how much better yours is.\n\n"
    "Your agent tries a step and gets it `right` with this probability. If not, it sees so with the probability `notices`, and tries the same step again, as independently as before; a wrong step that it takes "
    "for right spoils the whole task. It has a `budget` of tries for each task, right and wrong ones together: a task is solved if all its steps are right after at most so many tries.\n\n"
    "You test it on one task of each of the `lengths`, which are numbers of steps. Give pass^k: the probability that a task is solved in all of `k` independent trials, a mean over your tasks.\n\n"
    "(If a task of n steps takes f noticed failures, its last try is a success; among the n - 1 + f tries before it the failures may lie anywhere, and `comb(n - 1 + f, f)` counts where. Or go through the tries one by one, "
    "and keep the probability of each number of steps done.)"
    "\n\nGive it unrounded: the first five digits must be right.",
    imports=IMPORTS + "from math import comb\n",
    starter='''mine = variant("17.A2")  # your agent: right, notices, budget, lengths, k
reliability = ...  # a float between 0 and 1
''',
    solution='''from math import comb


def reliability(mine):
    again = (1 - mine["right"]) * mine["notices"]  # a failure that is noticed
    total = 0.0
    for n in mine["lengths"]:
        failures = range(mine["budget"] - n + 1)
        solved = sum(comb(n - 1 + f, f) * mine["right"] ** n * again**f for f in failures)
        total += solved ** mine["k"]
    return total / len(mine["lengths"])
''',
    other_solutions=[
        '''def reliability(mine):
    def solved(n):
        done = [1.0] + [0.0] * n  # the probability of each number of steps done
        for _ in range(mine["budget"]):
            new = [0.0] * (n + 1)
            new[n] = done[n]
            for i in range(n):
                new[i] += done[i] * (1 - mine["right"]) * mine["notices"]
                new[i + 1] += done[i] * mine["right"]
            done = new
        return done[n]
    return sum(solved(n) ** mine["k"] for n in mine["lengths"]) / len(mine["lengths"])
''',
        '''def reliability(mine):
    from functools import cache
    p, q = mine["right"], mine["notices"]
    @cache
    def chance(steps, tries):
        if steps == 0:
            return 1.0
        if tries < steps:
            return 0.0
        return p * chance(steps - 1, tries - 1) + (1 - p) * q * chance(steps, tries - 1)
    return torch.tensor([chance(n, mine["budget"]) for n in mine["lengths"]], dtype=torch.float64).pow(mine["k"]).mean().item()
''',
    ],
    vary=an_agent,
    explanation="Noticed failures cost tries, unnoticed ones the task. With no limit each step would succeed with right / (1 - again), so noticing half of all failures halves the rate of failure, more or less; the budget takes "
    "some of that back from long tasks. The power k comes before the mean: the short tasks are what still works four times out of four.",
    properties=[
        Property("more reliable than a single trial", '''def test(out, case):
    p, again = case["right"], (1 - case["right"]) * case["notices"]
    most = sum((p / (1 - again)) ** n for n in case["lengths"]) / len(case["lengths"])
    return out <= most or f"Even without a budget one trial succeeds with {most:.4g} on average; yours is {out:.4g}."
''', "What do k and the budget take away?"),
        Property("no better than without noticing", '''def test(out, case):
    least = sum(case["right"] ** (n * case["k"]) for n in case["lengths"]) / len(case["lengths"])
    return out > least or f"An agent that never notices anything has {least:.4g} already; yours is {out:.4g}."
''', "What do noticed failures add?"),
    ],
    mistakes=[
        Mistake("p to the n", worked_out(one="p**n"),
                "This agent never tries again. What happens after a failure that it notices?"),
        Mistake("every failure is noticed", worked_out(again="1 - p"),
                "It tries again after each failure. Which ones does it notice?"),
        Mistake("what is not noticed is tried again", worked_out(again="(1 - p) * (1 - q)"),
                "It tries again where it has noticed nothing. Which failures does it know of?"),
        Mistake("noticing without failing", worked_out(again="q"),
                "A try that is right was noticed, too. How probable is it that a try fails and that this is seen?"),
        Mistake("no budget", worked_out(one="(p / (1 - again)) ** n"),
                "The budget has ended hardly any run, as if there were none, or as if only failures counted. Which tries does it count?"),
        Mistake("a second try for each step", worked_out(one="(p + again * p) ** n"),
                "Each step got one more try, whatever was spent before. Who shares the budget?"),
        Mistake("one try too few", worked_out(most="mine['budget'] - n - 1"),
                "With all tries used up the task was given up, although the last one was right. How many tries are allowed?"),
        Mistake("one try too many", worked_out(most="mine['budget'] - n + 1"),
                "One try more than the budget was allowed. How many failures leave room for n successes?"),
        Mistake("in one order alone", worked_out(ways="1"),
                "The failures were put at one place. At how many places may they lie?"),
        Mistake("the last try may fail", worked_out(ways="comb(n + f, f)"),
                "Failures were also put behind the last success. With which try is a task over?"),
        Mistake("failures before one step alone", worked_out(ways="n"),
                "All failures were put before one and the same step. How may they be spread?"),
        Mistake("exactly the budget", worked_out(one="ways(n, most) * p**n * again**most"),
                "Only runs that use every try were counted. May it be done earlier?"),
        Mistake("the mean before the power", worked_out(each="solved(n)", total="(sum(each) / len(each)) ** k"),
                "The tasks were thrown together first. Of which task are the k trials?"),
        Mistake("one trial", worked_out(each="solved(n)"),
                "This is pass^1. In how many trials must the task be solved?"),
        Mistake("at least one trial", worked_out(each="1 - (1 - solved(n)) ** k"),
                "This is the chance that some trial succeeds. How many of the k must?"),
        Mistake("the sum over tasks", worked_out(total="sum(each)"),
                "The tasks were added. What is taken over them?"),
        Mistake("all tasks", worked_out(total="prod(each)"),
                "The tasks were multiplied: that is the chance to solve every one. What is taken over them?"),
        Mistake("the mean length", worked_out(total="solved(round(sum(lengths) / len(lengths))) ** k"),
                "One task of the mean length stands for all. Is the mean of the chances the chance at the mean?"),
        Mistake("the longest task", worked_out(total="each[-1]"),
                "The longest task alone was counted. What is taken over tasks?"),
        Mistake("the failure", worked_out(total="1 - sum(each) / len(each)"),
                "This is how often it fails. What is asked?"),
    ],
)  # fmt: skip
