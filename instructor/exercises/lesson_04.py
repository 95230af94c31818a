"""Assigned in lesson 04: the cheapest way to spell a word, and words that come once."""

from fmcourse.classroom.assigned import Assigned
from fmcourse.course.exercises import Mistake, Property

# -- 04.A1 the cheapest spelling ------------------------------------------------------------------------------------------

CHEAPEST = '''def cheapest(word, nats):
    """The pieces that spell a word at the lowest total price, in order.

    word: text of at least one character   nats: {piece: price, above 0}   ->   list of pieces, or None if no pieces spell it

    Of spellings with the same price any will do; no test asks for one of several.
    """
'''

cheapest = Assigned(
    "04.A1",
    goal="the cheapest way to spell it",
    minutes=20,
    difficulty=3,
    text="BPE merges in a fixed order and never looks back. The *unigram* tokenizer (Kudo 2018, used by T5 and many others) gives each piece a price, its −log probability, and takes the "
    "**cheapest** spelling of the whole word. Taking the longest piece first can be dear: with `un` 3, `unt` 4, `tie` 3, `ie` 6, `d` 2 the word `untied` costs 12 as "
    "`unt ie d` and 8 as `un tie d`. Try all ways, but not one after the other: the cheapest way to spell the first n letters ends in some piece, and before it stands the cheapest way to spell the rest.",
    cases=[
        ("untied", {"un": 3.0, "unt": 4.0, "tie": 3.0, "ie": 6.0, "d": 2.0}),
        ("aab", {"a": 1.0, "aa": 1.5, "b": 1.0}),
        ("xyz", {"x": 1.0, "y": 1.0}),
    ],
    hidden=[
        ("q", {"q": 9.0}), ("abcd", {"a": 1.0, "b": 1.0, "c": 1.0, "d": 1.0, "abcd": 3.5, "ab": 1.9, "cd": 1.8}), ("lower", {"low": 2.0, "er": 1.0, "lo": 1.0, "wer": 1.5, "w": 0.4}),
        ("abab", {"abab": 5.0, "ab": 2.0, "a": 0.5, "b": 0.6}), ("n" * 25, {"n": 1.0, "nn": 1.9, "nnnnn": 4.2}), ("abc", {"ab": 1.0, "bc": 1.0, "a": 5.0}), ("abcx", {"abc": 0.1, "a": 1.0, "bcx": 2.0}),
    ],
    starter=CHEAPEST + "    ...\n",
    solution=CHEAPEST + '''    best = {0: (0.0, [])}                       # letters spelt -> price, pieces
    for end in range(1, len(word) + 1):
        ways = [(best[start][0] + nats[word[start:end]], best[start][1] + [word[start:end]])
                for start in range(end) if start in best and word[start:end] in nats]
        if ways:
            best[end] = min(ways)
    return best[len(word)][1] if len(word) in best else None
''',
    other_solutions=[
        "def cheapest(word, nats):\n    from functools import lru_cache\n    @lru_cache(None)\n    def go(at):\n        if at == len(word):\n            return 0.0, ()\n        found = []\n        for p in nats:\n"
        "            if word.startswith(p, at):\n                rest = go(at + len(p))\n                if rest is not None:\n                    found.append((nats[p] + rest[0], (p, *rest[1])))\n        return min(found) if found else None\n"
        "    out = go(0)\n    return None if out is None else list(out[1])\n",
        "def cheapest(word, nats):\n    import heapq\n    queue, done = [(0.0, 0, [])], set()\n    while queue:\n        cost, at, path = heapq.heappop(queue)\n        if at == len(word):\n            return path\n        if at in done:\n            continue\n"
        "        done.add(at)\n        for end in range(at + 1, len(word) + 1):\n            if word[at:end] in nats:\n                heapq.heappush(queue, (cost + nats[word[at:end]], end, path + [word[at:end]]))\n    return None\n",
    ],
    explanation="Viterbi's way: keep for every beginning of the word only its cheapest spelling. A word of T letters asks about T² pieces, not about 2^T spellings.",
    properties=[Property("it does not spell the word", '''def test(out, case):
    if out is None:
        return True
    return "".join(out) == case[0] and all(piece in case[1] for piece in out) or f"{' + '.join(map(str, out))} is not {case[0]}, or holds what is no piece."
''', "What do the pieces say one after the other?")],
    mistakes=[
        Mistake("the longest first", CHEAPEST + "    found, at = [], 0\n    while at < len(word):\n        fits = [word[at:e] for e in range(len(word), at, -1) if word[at:e] in nats]\n        if not fits:\n            return None\n        found.append(fits[0])\n        at += len(fits[0])\n    return found\n",
                "It always takes the longest piece that fits. What may that leave for the rest?"),
        Mistake("the cheapest piece first", CHEAPEST + "    found, at = [], 0\n    while at < len(word):\n        fits = [word[at:e] for e in range(at + 1, len(word) + 1) if word[at:e] in nats]\n        if not fits:\n            return None\n        found.append(min(fits, key=nats.get))\n        at += len(found[-1])\n    return found\n",
                "It takes the piece that is cheapest by itself. Whose price is to be low?"),
        Mistake("the fewest pieces", CHEAPEST + "    best = {0: []}\n    for e in range(1, len(word) + 1):\n        ways = [best[s] + [word[s:e]] for s in range(e) if s in best and word[s:e] in nats]\n        if ways:\n            best[e] = min(ways, key=lambda w: (len(w), sum(map(nats.get, w))))\n    return best.get(len(word))\n",
                "It takes the fewest pieces. Is fewer always cheaper?"),
        Mistake("the dearest", CHEAPEST + "    best = {0: (0.0, [])}\n    for e in range(1, len(word) + 1):\n        ways = [(best[s][0] + nats[word[s:e]], best[s][1] + [word[s:e]]) for s in range(e) if s in best and word[s:e] in nats]\n        if ways:\n            best[e] = max(ways)\n    return best[len(word)][1] if len(word) in best else None\n",
                "It takes the dearest way. Is a price high where a piece is probable?"),
        Mistake("letters where it is stuck", CHEAPEST + "    best = {0: (0.0, [])}\n    for e in range(1, len(word) + 1):\n        ways = [(best[s][0] + nats.get(word[s:e], 100.0 * (e - s)), best[s][1] + [word[s:e]]) for s in range(e)]\n        best[e] = min(ways)\n    return best[len(word)][1]\n",
                "Where pieces are missing it makes some up. What was to come back then?"),
    ],
)  # fmt: skip

# -- 04.A2 words that come once -------------------------------------------------------------------------------------------

once = Assigned(
    "04.A2",
    goal="how many words come only once?",
    minutes=10,
    text="A vocabulary of whole words wastes its places: many words come a single time, and a model learns next to nothing about them. How many? Take "
    "`load(\"austen\").train[first : first + many]`, your own numbers, in small letters, cut at white space (`.lower().split()`; signs stay where they are). Give the "
    "share of its **different** words that come exactly once in the slice, **plus** the share of all its words, counted as they run, that these make up.",
    starter='''mine = variant("04.A2")  # your numbers
two_shares_of_single_words = ...  # a float, the sum of two shares
''',
    solution='''from collections import Counter

from fmcourse.data import load


def two_shares_of_single_words(mine):
    words = load("austen").train[mine["first"] : mine["first"] + mine["many"]].lower().split()
    counts = Counter(words)
    once = sum(n == 1 for n in counts.values())
    return once / len(counts) + once / len(words)
''',
    other_solutions=['''def two_shares_of_single_words(mine):
    from fmcourse.data import load
    words = sorted(load("austen").train[mine["first"]:][:mine["many"]].lower().split())
    fences = [None, *words, None]
    once = sum(a != b != c for a, b, c in zip(fences, fences[1:], fences[2:]))
    return once / len(set(words)) + once / len(words)
'''],
    vary=lambda draw: {"first": draw.randrange(0, 300_000), "many": draw.randrange(20_000, 60_000)},
    explanation="More than half of the different words come once, and yet they are a small part of the text: Zipf's law. Pieces of words are shared, so each is seen often.",
    properties=[Property("not a sum of two shares", "def test(out, case):\n    return 0.3 < out < 1.4 or f'The one is large and the other small; yours is {out:.4g}.'\n", "By what is each of the two divided?")],
    mistakes=[
        Mistake("the first alone", '''def two_shares_of_single_words(mine):
    from collections import Counter
    from fmcourse.data import load
    counts = Counter(load("austen").train[mine["first"]:][:mine["many"]].lower().split())
    return sum(n == 1 for n in counts.values()) / len(counts)
''', "That is the share of the different words. Which other share was to be added?"),
        Mistake("capitals kept", '''def two_shares_of_single_words(mine):
    from collections import Counter
    from fmcourse.data import load
    words = load("austen").train[mine["first"]:][:mine["many"]].split()
    counts = Counter(words)
    once = sum(n == 1 for n in counts.values())
    return once / len(counts) + once / len(words)
''', "`The` and `the` are two words there. How was the text to be taken?"),
        Mistake("at most twice", '''def two_shares_of_single_words(mine):
    from collections import Counter
    from fmcourse.data import load
    words = load("austen").train[mine["first"]:][:mine["many"]].lower().split()
    counts = Counter(words)
    once = sum(n <= 2 for n in counts.values())
    return once / len(counts) + once / len(words)
''', "Words that come twice are counted, too. How often is once?"),
        Mistake("different words among all", '''def two_shares_of_single_words(mine):
    from fmcourse.data import load
    words = load("austen").train[mine["first"]:][:mine["many"]].lower().split()
    return len(set(words)) / len(words)
''', "It is how many words are different. Which of them come once?"),
    ],
)  # fmt: skip
