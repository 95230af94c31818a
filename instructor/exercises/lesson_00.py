"""Assigned in lesson 00: among the first k guesses, and how far one letter takes you."""

from fmcourse.classroom.assigned import Assigned
from fmcourse.course.exercises import Mistake, Property

# -- 00.A1 among the first k ----------------------------------------------------------------------------------------------

AMONG = '''def among_first(table, text, k):
    """How often the next letter is among the k likeliest after the one before it.

    table: {letter: {next letter: count}}   text: text   k: at least 1   ->   a float from 0 to 1

    Of equally common next letters the first in the alphabet is the likelier one. Where the table does not have the letter before, no
    guess is made, and the answer counts as wrong. A text with no pair of letters gives 0.0.
    """
'''

among_first = Assigned(
    "00.A1",
    goal="among the first k guesses",
    minutes=12,
    text="One guess is a hard test: after `t` comes mostly `h`, but `o` is no bad guess either. So models are also judged by whether the right answer is "
    "**among their first k** guesses. A table of counts says what followed what; a new text asks the questions, one for each two letters that stand side by side.",
    cases=[
        ({"t": {"h": 5, "o": 3, "e": 1}, "h": {"e": 4}}, "the", 1),
        ({"t": {"h": 5, "o": 3, "e": 1}, "o": {"t": 1}}, "toto te", 2),
        ({"a": {"c": 2, "b": 2}}, "abac", 1),
    ],
    hidden=[
        ({"a": {"b": 1}}, "a", 1), ({}, "abc", 3), ({"x": {"z": 3, "y": 3, "w": 1}}, "xyxzxw", 2), ({"a": {"a": 9, "b": 8, "c": 7}}, "aabaacaad", 3),
        ({"n": {"o": 1, "e": 1, "a": 1}, "o": {"n": 2}}, "nonenano", 1), ({"q": {"u": 7}}, "", 2),
    ],
    starter=AMONG + "    ...\n",
    solution=AMONG + '''    right = 0
    for before, after in zip(text, text[1:]):
        counts = table.get(before, {})
        right += after in sorted(counts, key=lambda letter: (-counts[letter], letter))[:k]
    return right / (len(text) - 1) if len(text) > 1 else 0.0
''',
    other_solutions=[
        "def among_first(table, text, k):\n    guesses = {b: [x for x, _ in sorted(sorted(c.items()), key=lambda p: p[1], reverse=True)][:k] for b, c in table.items()}\n"
        "    pairs = [text[i:i + 2] for i in range(len(text) - 1)]\n    return sum(p[1] in guesses.get(p[0], []) for p in pairs) / max(1, len(pairs))\n",
        "def among_first(table, text, k):\n    hits = total = 0\n    for i in range(1, len(text)):\n        total += 1\n        row = table.get(text[i - 1])\n        if row and text[i] in row:\n"
        "            mine = (-row[text[i]], text[i])\n            better = sum((-n, x) < mine for x, n in row.items())\n            hits += better < k\n    return hits / total if total else 0.0\n",
    ],
    explanation="Sorted by count, the commonest first, and by the alphabet where counts are equal, the first k are the guesses. More guesses never make it worse.",
    properties=[Property("not a share of the pairs", '''def test(out, case):
    pairs = len(case[1]) - 1
    if pairs < 1:
        return out == 0
    return abs(out * pairs - round(out * pairs)) < 1e-6 and 0 <= out <= 1 or f"{case[1]!r} has {pairs} pairs; {out:.4g} of them is no whole number."
''', "How many questions does the text ask?")],
    mistakes=[
        Mistake("one guess", AMONG + "    pairs = list(zip(text, text[1:]))\n    best = lambda c: min(c, key=lambda x: (-c[x], x)) if c else None\n    return sum(a == best(table.get(b, {})) for b, a in pairs) / len(pairs) if pairs else 0.0\n",
                "It makes one guess, whatever k is. How many may it make?"),
        Mistake("any that was ever seen", AMONG + "    pairs = list(zip(text, text[1:]))\n    return sum(a in table.get(b, {}) for b, a in pairs) / len(pairs) if pairs else 0.0\n",
                "Whatever once followed counts as a guess. How many may it make?"),
        Mistake("the rarest first", AMONG + "    pairs = list(zip(text, text[1:]))\n    return sum(a in sorted(table.get(b, {}), key=lambda x: (table[b][x], x))[:k] for b, a in pairs) / len(pairs) if pairs else 0.0\n",
                "It guesses the rarest. Which end of the sorted list holds the likeliest?"),
        Mistake("by the alphabet", AMONG + "    pairs = list(zip(text, text[1:]))\n    return sum(a in sorted(table.get(b, {}))[:k] for b, a in pairs) / len(pairs) if pairs else 0.0\n",
                "Guesses come in the order of the alphabet. What makes one likelier than another?"),
        Mistake("only what it knows", AMONG + "    pairs = [(b, a) for b, a in zip(text, text[1:]) if b in table]\n    return sum(a in sorted(table[b], key=lambda x: (-table[b][x], x))[:k] for b, a in pairs) / len(pairs) if pairs else 0.0\n",
                "Pairs whose first letter is not in the table are left out. Does a question go away because one has no answer?"),
        Mistake("divided by the letters", AMONG + "    pairs = list(zip(text, text[1:]))\n    return sum(a in sorted(table.get(b, {}), key=lambda x: (-table[b][x], x))[:k] for b, a in pairs) / len(text) if pairs else 0.0\n",
                "It divides by the letters. How many questions do n letters ask?"),
    ],
)  # fmt: skip

# -- 00.A2 how far one letter takes you -----------------------------------------------------------------------------------

one_letter = Assigned(
    "00.A2",
    goal="how far does one letter take you?",
    minutes=10,
    text="Who sees only the letter before, and has counted this very text, how often can he be right at the most? Take `load(\"shakespeare\").train[first : first + many]` "
    "with your own numbers. For each character find the one that follows it most often in the slice; guess that every time. Give the share of right guesses over all "
    "pairs of neighbours in the slice. Characters are taken as they are: case, spaces and line ends count.",
    starter='''mine = variant("00.A2")  # your numbers
best_with_one_letter = ...  # a float from 0 to 1
''',
    solution='''from collections import Counter, defaultdict

from fmcourse.data import load


def best_with_one_letter(mine):
    text = load("shakespeare").train[mine["first"] : mine["first"] + mine["many"]]
    after = defaultdict(Counter)
    for a, b in zip(text, text[1:]):
        after[a][b] += 1
    return sum(max(counts.values()) for counts in after.values()) / (len(text) - 1)
''',
    other_solutions=['''def best_with_one_letter(mine):
    from fmcourse.data import load
    text = load("shakespeare").train[mine["first"]:][:mine["many"]]
    pairs = [text[i:i + 2] for i in range(len(text) - 1)]
    best = {}
    for pair in set(pairs):
        best[pair[0]] = max(best.get(pair[0], 0), pairs.count(pair))
    return sum(best.values()) / len(pairs)
'''],
    vary=lambda draw: {"first": draw.randrange(0, 400_000), "many": draw.randrange(3000, 6000)},
    explanation="For each letter the commonest follower wins max(count) of its pairs. It was measured on the text that was counted, so on another text it is lower.",
    properties=[Property("not a share", "def test(out, case):\n    return 0.1 < out < 0.6 or f'A letter tells something about the next, and not everything; yours is {out:.4g}.'\n", "Of how many pairs is it a share?")],
    mistakes=[
        Mistake("one guess for all", '''def best_with_one_letter(mine):
    from collections import Counter
    from fmcourse.data import load
    text = load("shakespeare").train[mine["first"]:][:mine["many"]]
    return max(Counter(text[1:]).values()) / (len(text) - 1)
''', "It always guesses the same character. What does the letter before tell?"),
        Mistake("the mean over letters", '''def best_with_one_letter(mine):
    from collections import Counter, defaultdict
    from fmcourse.data import load
    text = load("shakespeare").train[mine["first"]:][:mine["many"]]
    after = defaultdict(Counter)
    for a, b in zip(text, text[1:]):
        after[a][b] += 1
    return sum(max(c.values()) / sum(c.values()) for c in after.values()) / len(after)
''', "Each letter counts the same, however often it comes. Over what was the share asked?"),
        Mistake("the letter after", '''def best_with_one_letter(mine):
    from collections import Counter, defaultdict
    from fmcourse.data import load
    text = load("shakespeare").train[mine["first"]:][:mine["many"]]
    after = defaultdict(Counter)
    for a, b in zip(text, text[1:]):
        after[b][a] += 1
    return sum(max(c.values()) for c in after.values()) / (len(text) - 1)
''', "It guesses the letter before from the one after. Which of the two is seen?"),
        Mistake("small letters alone", '''def best_with_one_letter(mine):
    from collections import Counter, defaultdict
    from fmcourse.data import load
    text = load("shakespeare").train[mine["first"]:][:mine["many"]].lower()
    after = defaultdict(Counter)
    for a, b in zip(text, text[1:]):
        after[a][b] += 1
    return sum(max(c.values()) for c in after.values()) / (len(text) - 1)
''', "Capitals were made small. How were characters to be taken?"),
    ],
)  # fmt: skip
