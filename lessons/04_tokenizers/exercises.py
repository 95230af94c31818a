"""Exercises of lesson 04: byte-pair encoding in three functions, decoding, and compression."""

from itertools import pairwise
from typing import Any

from fmcourse.course.exercise import IMPORTS, Exercise, Mistake, Property

a, b, n = b"a", b"b", b"n"

# -- 04.1 -----------------------------------------------------------------------------------------------------------------


def are_pairs(counts: dict, case: Any) -> bool | str:
    odd = [key for key in counts if not (isinstance(key, tuple) and len(key) == 2)]
    return f"One key is {odd[0]!r}; a key is a pair, such as (b't', b'h')." if odd else True


def stand_in_a_word(counts: dict, case: Any) -> bool | str:
    there = {pair for word in case[0] for pair in pairwise(word)}
    odd = [pair for pair in counts if pair not in there]
    return f"It counts {odd[0]!r}, but in no word of {case[0]} do these two stand side by side." if odd else True


def none_lost(counts: dict, case: Any) -> bool | str:
    words, times = case
    wanted = sum(max(0, len(word) - 1) * time for word, time in zip(words, times, strict=True))
    found = sum(counts.values())
    return True if found == wanted else (
        f"With words={words} and times={times} there are {wanted} pairs in all; it counts {found}."
    )  # fmt: skip


pairs = Exercise(
    "04.1",
    goal="count the neighbours",
    minutes=8,
    cases=[
        ([[b"l", b"o", b"w"]], [1]),
        ([[b"l", b"o"], [b"l", b"o", b"w"]], [5, 2]),
        ([[b"t", b"h", b"e"], [b"e", b"h"]], [3, 1]),
        ([[a, b, a, b]], [1]),
        ([[a, a, a, a]], [2]),
        ([[b"th", b"e"], [b"t", b"he"]], [2, 1]),
        ([[a], [b, a]], [4, 1]),
    ],
    starter='''def count_pairs(words, times):
    """How often each two neighbours stand in a text: {(left, right): number}.

    words: distinct words, each a list of tokens, such as [b"l", b"o", b"w"].
    times: how often each of these words stands in the text, in the same order.
    """
    ...
''',
    solution='''def count_pairs(words, times):
    """How often each two neighbours stand in a text: {(left, right): number}."""
    counts = {}
    for word, number in zip(words, times):
        for pair in zip(word, word[1:]):
            counts[pair] = counts.get(pair, 0) + number
    return counts
''',
    other_solutions=[
        """from collections import Counter
from itertools import pairwise
def count_pairs(words, times):
    counts = Counter()
    for word, number in zip(words, times):
        for pair in pairwise(word):
            counts[pair] += number
    return counts
""",
        """def count_pairs(words, times):
    counts = {}
    for n in range(len(words)):
        for i in range(len(words[n]) - 1):
            key = (words[n][i], words[n][i + 1])
            if key not in counts:
                counts[key] = 0
            counts[key] += times[n]
    return counts
""",
    ],
    hints=[
        "Take the word low, which stands five times. Which neighbours does it hold, and how often are they in the text?",
        "`zip(word, word[1:])` walks through a word with each token beside the one after it.",
        "Loop over words and their times together; for each pair of the word add the word's number to "
        "`counts.get(pair, 0)`.",
    ],
    explanation="A word that stands five times brings each of its pairs five times. Words are kept apart, so that no pair "
    "reaches from one into the next, and each distinct word is looked at once: that is what makes it quick.",
    properties=[
        Property("keys that are no pairs", are_pairs, "What do you need in order to join two tokens later on?"),
        Property("pairs that nowhere stand", stand_in_a_word, "Which two tokens are neighbours, and in which order?"),
        Property("another number of pairs", none_lost, "A word of 4 tokens holds 3 pairs. How often is it in the text?"),
    ],
    mistakes=[
        Mistake(
            "each word counted once",
            """def count_pairs(words, times):
    counts = {}
    for word in words:
        for pair in zip(word, word[1:]):
            counts[pair] = counts.get(pair, 0) + 1
    return counts
""",
            "The list holds each distinct word once, but the text holds it as often as `times` says. If `lo` stands five "
            "times, how often do l and o meet there?",
        ),
        Mistake(
            "pairs across words",
            """def count_pairs(words, times):
    row = [token for word, number in zip(words, times) for _ in range(number) for token in word]
    counts = {}
    for pair in zip(row, row[1:]):
        counts[pair] = counts.get(pair, 0) + 1
    return counts
""",
            "The last token of one word meets the first of the next. The list of words has lost the order of the text, so "
            "what would such a neighbourhood mean?",
        ),
        Mistake(
            "the order forgotten",
            """def count_pairs(words, times):
    counts = {}
    for word, number in zip(words, times):
        for pair in zip(word, word[1:]):
            pair = tuple(sorted(pair))
            counts[pair] = counts.get(pair, 0) + number
    return counts
""",
            "(b'h', b'e') and (b'e', b'h') are counted as one. Would you join both into the same token?",
        ),
        Mistake(
            "a pair once a word",
            """def count_pairs(words, times):
    counts = {}
    for word, number in zip(words, times):
        for pair in set(zip(word, word[1:])):
            counts[pair] = counts.get(pair, 0) + number
    return counts
""",
            "In `abab` the pair a, b stands twice, and is counted once. Did a set, or a dict, swallow the second?",
        ),
        Mistake(
            "every other pair",
            """def count_pairs(words, times):
    counts = {}
    for word, number in zip(words, times):
        for pair in zip(word[::2], word[1::2]):
            counts[pair] = counts.get(pair, 0) + number
    return counts
""",
            "`low` is cut into lo and a leftover w. But o also has a neighbour on its right: which pair is missing?",
        ),
        Mistake(
            "no overlap",
            """def count_pairs(words, times):
    counts = {}
    for word, number in zip(words, times):
        i = 0
        while i + 1 < len(word):
            pair = (word[i], word[i + 1])
            counts[pair] = counts.get(pair, 0) + number
            i += 2 if word[i + 2: i + 3] == [word[i]] and word[i] == word[i + 1] else 1
    return counts
""",
            "In `aaaa` two pairs can be joined without overlap, but three stand there: places 0-1, 1-2 and 2-3. Here we "
            "only count; who looks after overlaps, and when?",
        ),
        Mistake(
            "the last word wins",
            """def count_pairs(words, times):
    counts = {}
    for word, number in zip(words, times):
        for pair in zip(word, word[1:]):
            counts[pair] = number
    return counts
""",
            "l, o stands 5 times in one word and 2 times in another, and the answer is 2: the second was written over the "
            "first. How do you add to what is already there?",
        ),
        Mistake(
            "joined keys",
            """def count_pairs(words, times):
    counts = {}
    for word, number in zip(words, times):
        for left, right in zip(word, word[1:]):
            counts[left + right] = counts.get(left + right, 0) + number
    return counts
""",
            "b'th' + b'e' and b't' + b'he' spell the same, so they fall into one count. Which two tokens would you join?",
        ),
        Mistake(
            "tokens, not pairs",
            """def count_pairs(words, times):
    counts = {}
    for word, number in zip(words, times):
        for token in word:
            counts[token] = counts.get(token, 0) + number
    return counts
""",
            "These are the counts of single tokens. Which two stand side by side?",
        ),
        Mistake(
            "the last pair missed",
            """def count_pairs(words, times):
    counts = {}
    for word, number in zip(words, times):
        for i in range(len(word) - 2):
            pair = (word[i], word[i + 1])
            counts[pair] = counts.get(pair, 0) + number
    return counts
""",
            "`low` has 3 tokens and 2 pairs, at i = 0 and i = 1. Where does `range(len(word) - 2)` end?",
        ),
        Mistake(
            "past the end of the word",
            """def count_pairs(words, times):
    counts = {}
    for word, number in zip(words, times):
        for i in range(len(word)):
            pair = (word[i], word[i + 1])
            counts[pair] = counts.get(pair, 0) + number
    return counts
""",
            "The last token has nobody on its right, so `word[i + 1]` is not there. How many pairs does a word of 3 tokens hold?",
        ),
        Mistake(
            "a list for a key",
            """def count_pairs(words, times):
    counts = {}
    for word, number in zip(words, times):
        for i in range(len(word) - 1):
            pair = word[i:i + 2]
            counts[pair] = counts.get(pair, 0) + number
    return counts
""",
            "A list may change, so it cannot be the key of a dict. Which kind of thing holds two values for good?",
        ),
        Mistake(
            "only the first word",
            """def count_pairs(words, times):
    counts = {}
    for word, number in zip(words, times):
        for pair in zip(word, word[1:]):
            counts[pair] = counts.get(pair, 0) + number
        return counts
""",
            "After the first word it is done. How far is the `return` indented?",
        ),
        Mistake(
            "a count that begins at one",
            """def count_pairs(words, times):
    counts = {}
    for word, number in zip(words, times):
        for pair in zip(word, word[1:]):
            counts[pair] = counts.get(pair, 1) + number
    return counts
""",
            "Each kind of pair is counted once too often. What is the count of a pair before it is first seen?",
        ),
        Mistake(
            "one pair too many",
            """def count_pairs(words, times):
    counts = {}
    for word, number in zip(words, times):
        for i in range(len(word)):
            pair = (word[i - 1], word[i])
            counts[pair] = counts.get(pair, 0) + number
    return counts
""",
            "At `i = 0`, `word[i - 1]` is `word[-1]`, the last token: the word has become a ring. Where must `i` begin?",
        ),
        Mistake(
            "multiplied, not added",
            """def count_pairs(words, times):
    counts = {}
    for word, number in zip(words, times):
        for pair in zip(word, word[1:]):
            counts[pair] = counts.get(pair, 1) * number
    return counts
""",
            "A pair of a word that stands 5 times, and of one that stands twice, gets 10. Is it met 5 times 2, or 5 and 2 times?",
        ),
        Mistake(
            "the first time not prepared",
            """def count_pairs(words, times):
    counts = {}
    for word, number in zip(words, times):
        for pair in zip(word, word[1:]):
            counts[pair] += number
    return counts
""",
            "A pair that is met for the first time has no entry to add to. What does `counts.get(pair, 0)` say there?",
        ),
        Mistake(
            "one more each further time",
            """def count_pairs(words, times):
    counts = {}
    for word, number in zip(words, times):
        for pair in zip(word, word[1:]):
            if pair in counts:
                counts[pair] += 1
            else:
                counts[pair] = number
    return counts
""",
            "A known pair gets 1 more, whatever its word's number is. How often does this word stand in the text?",
        ),
        Mistake(
            "the first time counts one",
            """def count_pairs(words, times):
    counts = {}
    for word, number in zip(words, times):
        for pair in zip(word, word[1:]):
            if pair in counts:
                counts[pair] += number
            else:
                counts[pair] = 1
    return counts
""",
            "A new pair gets 1, whatever its word's number is. How often does that word stand in the text?",
        ),
        Mistake(
            "all words in one row",
            """def count_pairs(words, times):
    tokens = [token for word in words for token in word]
    counts = {}
    for pair in zip(tokens, tokens[1:]):
        counts[pair] = counts.get(pair, 0) + 1
    return counts
""",
            "The words were strung together, so the last token of one meets the first of the next, and `times` is forgotten. "
            "Which tokens are neighbours in the text?",
        ),
        Mistake(
            "a count that begins below zero",
            """def count_pairs(words, times):
    counts = {}
    for word, number in zip(words, times):
        for pair in zip(word, word[1:]):
            counts[pair] = counts.get(pair, -1) + number
    return counts
""",
            "Each kind of pair is counted once too little. What is the count of a pair before it is first seen?",
        ),
    ],
)  # fmt: skip

# -- 04.2 -----------------------------------------------------------------------------------------------------------------


def spelt_alike(result: list[bytes], case: Any) -> bool | str:
    before, after = b"".join(case[0]), b"".join(result)
    return True if before == after else (
        f"{case[0]} with {case[1]} joined becomes {result}: the word spelt {before!r}, and now spells {after!r}."
    )  # fmt: skip


def none_left(result: list[bytes], case: Any) -> bool | str:
    left = [pair for pair in pairwise(result) if pair == case[1]]
    return f"{case[0]} with {case[1]} joined becomes {result}: there the pair still stands." if left else True


def of_the_word(result: list[bytes], case: Any) -> bool | str:
    word, pair = case
    odd = [token for token in result if token not in [*word, pair[0] + pair[1]]]
    return f"{word} with {pair} joined becomes {result}: where does {odd[0]!r} come from?" if odd else True


MERGE = '''def merge(word, pair):
    """The word with each `pair` of neighbours joined into one token, from left to right."""
    result, i = [], 0
    while i < len(word):
        if tuple(word[i : i + 2]) == pair:
            result.append(pair[0] + pair[1])
            i += 2
        else:
            result.append(word[i])
            i += 1
    return result
'''

join = Exercise(
    "04.2",
    goal="join one pair",
    minutes=10,
    difficulty=2,
    cases=[
        ([b"l", b"o", b"w"], (b"l", b"o")),
        ([b"l", b"o", b"w"], (b"o", b"w")),
        ([a, b], (b, a)),
        ([a], (a, a)),
        ([a, a, a], (a, a)),
        ([a, a, a, a], (a, a)),
        ([b, a, n, a, n, a], (a, n)),
        ([b"ba", b"n"], (a, n)),
        ([b"t", b"he"], (b"th", b"e")),
        ([b" ", b"t", b"o"], (b" ", b"t")),
        ([bytes([byte]) for byte in b"a noon at an ant"], (a, n)),
    ],
    starter='''def merge(word, pair):
    """The word with each `pair` of neighbours joined into one token, from left to right.

    word: a list of tokens, such as [b"l", b"o", b"w"]; it is not changed.
    pair: two tokens, such as (b"l", b"o"). Here the result is [b"lo", b"w"].
    """
    ...
''',
    solution=MERGE,
    other_solutions=[
        """def merge(word, pair):
    left, right = pair
    result = []
    whole = False
    for token in word:
        if result and not whole and result[-1] == left and token == right:
            result[-1] = left + right
            whole = True
        else:
            result.append(token)
            whole = False
    return result
""",
        """def merge(word, pair):
    word = list(word)
    i = 0
    while i < len(word) - 1:
        if word[i] == pair[0] and word[i + 1] == pair[1]:
            word[i:i + 2] = [pair[0] + pair[1]]
        i += 1
    return word
""",
        """def merge(word, pair):
    if len(word) < 2:
        return list(word)
    if (word[0], word[1]) == pair:
        return [pair[0] + pair[1]] + merge(word[2:], pair)
    return [word[0]] + merge(word[1:], pair)
""",
    ],
    hints=[
        "Put a finger on the first token of b a n a n a and join a, n. When you have joined, where does the finger go next?",
        "A `while` loop with a place `i` is easier than a `for`: after a join it moves on by two, else by one.",
        "At place i: if `word[i]` and `word[i + 1]` (is there one?) are the pair, append their sum; else append `word[i]`.",
    ],
    explanation="The finger moves on by two after a join, because both tokens are used up. So `aaa` becomes `aa`, `a`: "
    "the middle one cannot be joined to both sides. `word[i : i + 2]` is short at the end instead of raising an error.",
    properties=[
        Property("another spelling", spelt_alike, "Each letter must come out once. Which was lost, or came twice?"),
        Property("a pair left over", none_left, "Did the search go on to the end of the word?"),
        Property("a token from nowhere", of_the_word, "Tokens that are not joined stay as they are. What took one apart?"),
    ],
    mistakes=[
        Mistake(
            "past the end of the word",
            """def merge(word, pair):
    result, i = [], 0
    while i < len(word):
        if (word[i], word[i + 1]) == pair:
            result.append(pair[0] + pair[1])
            i += 2
        else:
            result.append(word[i])
            i += 1
    return result
""",
            "The last token has nobody on its right, and `word[i + 1]` is not there. How can you ask whether there is one?",
        ),
        Mistake(
            "the pair put in whole",
            """def merge(word, pair):
    result, i = [], 0
    while i < len(word):
        if tuple(word[i:i + 2]) == pair:
            result.append(pair)
            i += 2
        else:
            result.append(word[i])
            i += 1
    return result
""",
            "A pair is two tokens; joined they are one. How do you make b'lo' of b'l' and b'o'?",
        ),
        Mistake(
            "a look at the left half only",
            """def merge(word, pair):
    result, i = [], 0
    while i < len(word):
        if word[i] == pair[0]:
            result.append(pair[0] + pair[1])
            i += 2
        else:
            result.append(word[i])
            i += 1
    return result
""",
            "It joins wherever the left half stands, whatever comes next. Is the right half there too?",
        ),
        Mistake(
            "only the first",
            """def merge(word, pair):
    for i in range(len(word) - 1):
        if (word[i], word[i + 1]) == pair:
            return word[:i] + [pair[0] + pair[1]] + word[i + 2:]
    return list(word)
""",
            "`banana` holds a, n twice. What happens after the first?",
        ),
        Mistake(
            "from right to left",
            """def merge(word, pair):
    result, i = [], len(word) - 1
    while i >= 0:
        if i and (word[i - 1], word[i]) == pair:
            result.insert(0, pair[0] + pair[1])
            i -= 2
        else:
            result.insert(0, word[i])
            i -= 1
    return result
""",
            "`aaa` becomes a, aa; from the left it would be aa, a. Either would do, but encoding must go in the same "
            "direction as training did. At which end do you begin?",
        ),
        Mistake(
            "one token in two joins",
            """def merge(word, pair):
    result, used = [], set()
    for i in range(len(word)):
        if i + 1 < len(word) and (word[i], word[i + 1]) == pair:
            result.append(pair[0] + pair[1])
            used |= {i, i + 1}
        elif i not in used:
            result.append(word[i])
    return result
""",
            "In `aaa` the middle a is joined to its left and to its right: three letters have become four. By how many "
            "places do you move on after a join?",
        ),
        Mistake(
            "the second half stays",
            """def merge(word, pair):
    result = []
    for i in range(len(word)):
        if i + 1 < len(word) and (word[i], word[i + 1]) == pair:
            result.append(pair[0] + pair[1])
        else:
            result.append(word[i])
    return result
""",
            "l, o, w becomes lo, o, w: after the join, the o comes up once more. By how many places must you move on?",
        ),
        Mistake(
            "the first half stays",
            """def merge(word, pair):
    result = []
    for i in range(len(word)):
        if i and (word[i - 1], word[i]) == pair:
            result.append(pair[0] + pair[1])
        else:
            result.append(word[i])
    return result
""",
            "l, o, w becomes l, lo, w: when o came up, l had been written already. What must be taken back?",
        ),
        Mistake(
            "the last token lost",
            """def merge(word, pair):
    result, i = [], 0
    while i < len(word) - 1:
        if (word[i], word[i + 1]) == pair:
            result.append(pair[0] + pair[1])
            i += 2
        else:
            result.append(word[i])
            i += 1
    return result
""",
            "The search ends before the last place, since nothing stands to its right. But who writes down the last token?",
        ),
        Mistake(
            "glued as text",
            """def merge(word, pair):
    left, right = pair
    return (b" ".join(word)).replace(left + b" " + right, left + right).split(b" ") if word else []
""",
            "Written as one text and replaced there, `ba n` holds `a n` as well, and a token may itself be a space. Which "
            "tokens, whole, are at this place?",
        ),
        Mistake(
            "spelling for pair",
            """def merge(word, pair):
    result, i = [], 0
    while i < len(word):
        if i + 1 < len(word) and word[i] + word[i + 1] == pair[0] + pair[1]:
            result.append(pair[0] + pair[1])
            i += 2
        else:
            result.append(word[i])
            i += 1
    return result
""",
            "t, he was joined though the pair is th, e: they spell the same, but are they the same two tokens?",
        ),
        Mistake(
            "steps of two",
            """def merge(word, pair):
    result = []
    for i in range(0, len(word), 2):
        two = word[i:i + 2]
        result += [pair[0] + pair[1]] if tuple(two) == pair else two
    return result
""",
            "It looks at places 0-1, 2-3, 4-5, and so misses o, w in `low`, at places 1-2. When do you move on by only one?",
        ),
        Mistake(
            "in either order",
            """def merge(word, pair):
    result, i = [], 0
    while i < len(word):
        if i + 1 < len(word) and {word[i], word[i + 1]} == set(pair):
            result.append(word[i] + word[i + 1])
            i += 2
        else:
            result.append(word[i])
            i += 1
    return result
""",
            "a, b was joined where the pair is b, a. Is `ab` the same token as `ba`?",
        ),
        Mistake(
            "nothing joined",
            """def merge(word, pair):
    return [token for token in word]
""",
            "The word comes back as it was. Is a tuple ever equal to a list? `tuple(word[i : i + 2])` makes one of the other.",
        ),
        Mistake(
            "a loop of pairs, the last token lost",
            """def merge(word, pair):
    result = []
    for i in range(len(word) - 1):
        if (word[i], word[i + 1]) == pair:
            result.append(word[i] + word[i + 1])
        else:
            result.append(word[i])
    return result
""",
            "After a join the loop comes to the second half once more, and it ends before the last token. What takes a place "
            "`i` that may move on by two?",
        ),
        Mistake(
            "written into the caller's word",
            """def merge(word, pair):
    i = 0
    while i < len(word) - 1:
        if (word[i], word[i + 1]) == pair:
            word[i:i + 2] = [pair[0] + pair[1]]
        i += 1
    return word
""",
            "The joins are right, but they were made in the list that was handed in. `list(word)` is a copy: where do you need it?",
        ),
        Mistake(
            "bytes added to a list",
            """def merge(word, pair):
    result, i = [], 0
    while i < len(word):
        if tuple(word[i:i + 2]) == pair:
            result += pair[0] + pair[1]
            i += 2
        else:
            result += word[i]
            i += 1
    return result
""",
            "`result += b'lo'` puts in each byte by itself, as a number. What puts in one token?",
        ),
        Mistake(
            "joined with a space",
            """def merge(word, pair):
    result, i = [], 0
    while i < len(word):
        if tuple(word[i:i + 2]) == pair:
            result.append(b" ".join(pair))
            i += 2
        else:
            result.append(word[i])
            i += 1
    return result
""",
            "A space has come between the two halves. What does `+` make of two bytes?",
        ),
        Mistake(
            "a list that shrinks under the loop",
            """def merge(word, pair):
    word = list(word)
    for i, token in enumerate(word[:-1]):
        if (token, word[i + 1]) == pair:
            word[i] = token + word[i + 1]
            del word[i + 1]
    return word
""",
            "The loop runs over the old places while the list grows shorter. What counts places that change?",
        ),
    ],
)  # fmt: skip

# -- 04.3 -----------------------------------------------------------------------------------------------------------------

LOWER = [(b"l", b"o"), (b"lo", b"w"), (b"e", b"r"), (b"low", b"er")]
CLASH = [(b"b", b"c"), (b"a", b"b"), (b"bc", b"d"), (b"ab", b"c")]
CAFE = [(b"\xc3", b"\xa9"), (b"c", b"a"), (b"f", b"\xc3\xa9")]


def spells_the_word(result: list[bytes], case: Any) -> bool | str:
    word, spelt = case[0], b"".join(result)
    shown = repr(spelt) if len(spelt) < 30 else f"{spelt[:10]!r} and so on, {len(spelt)} bytes"
    return True if spelt == word.encode() else (
        f"{word!r} is the bytes {word.encode()!r}; the tokens together are {shown}."
    )  # fmt: skip


def learnt(result: list[bytes], case: Any) -> bool | str:
    known = {left + right for left, right in case[1]}
    odd = [token for token in result if len(token) != 1 and token not in known]
    return f"{odd[0]!r} is neither a single byte nor the result of one of the merges {case[1]}." if odd else True


code = Exercise(
    "04.3",
    goal="encode a word it never saw",
    minutes=10,
    difficulty=2,
    cases=[
        ("lower", LOWER),
        ("slow", LOWER),
        ("newer", LOWER),
        ("", LOWER),
        ("é", LOWER),
        ("café", CAFE),
        ("abc", CLASH),
        ("abcd", CLASH),
        ("cab", CLASH),
        ("abc", [(b, b"c"), (a, b"bc"), (a, b)]),
        ("banana", [(a, n), (b"an", b"an"), (n, a)]),
        ("aaaaa", [(a, a), (b"aa", b"aa")]),
    ],
    starter='''def encode(word, merges):
    """The tokens of one word: its bytes, joined as `merges` say, in the order in which they were learned.

    word: a text, such as "lower".
    merges: a list of pairs, first learned first, such as [(b"l", b"o"), (b"lo", b"w")].
    Your `merge` does one of them.
    """
    ...
''',
    solution='''def encode(word, merges):
    """The tokens of one word: its bytes, joined as `merges` say, in the order in which they were learned."""
    tokens = [bytes([byte]) for byte in word.encode()]
    for pair in merges:
        tokens = merge(tokens, pair)
    return tokens
''',
    other_solutions=[
        """def encode(word, merges):
    rank = {pair: i for i, pair in enumerate(merges)}
    raw = word.encode("utf-8")
    tokens = [raw[i:i + 1] for i in range(len(raw))]
    while True:
        known = [pair for pair in zip(tokens, tokens[1:]) if pair in rank]
        if not known:
            return tokens
        tokens = merge(tokens, min(known, key=rank.get))
""",
        """from functools import reduce
def encode(word, merges):
    return reduce(merge, merges, [b.to_bytes(1, "big") for b in word.encode()])
""",
    ],
    hints=[
        "In training, every word began as single bytes, and the first merge was done everywhere before the second. How "
        "would a new word have been treated, if it had been in the text?",
        "Start with the bytes: `bytes([104])` is b'h', and going through `word.encode()` gives the numbers.",
        "Then one loop over `merges`, in which `tokens = merge(tokens, pair)`.",
    ],
    explanation="Encoding plays the training again on one word: same start, same merges, same order. It never looks for "
    "long tokens, and it never counts. (Going through a thousand merges for each word is slow; the package looks only at "
    "the pairs that are there, and remembers words.)",
    properties=[
        Property("another spelling", spells_the_word, "Which bytes does the word begin as?"),
        Property("a token never learnt", learnt, "Where does that token come from?"),
    ],
    mistakes=[
        Mistake(
            "letters for bytes",
            """def encode(word, merges):
    tokens = [letter.encode() for letter in word]
    for pair in merges:
        tokens = merge(tokens, pair)
    return tokens
""",
            "é came out as one token, though no merge had made it: it is two bytes, c3 and a9. What does a vocabulary of "
            "bytes begin with?",
        ),
        Mistake(
            "numbers, not bytes",
            """def encode(word, merges):
    tokens = list(word.encode())
    for pair in merges:
        tokens = merge(tokens, pair)
    return tokens
""",
            "Going through bytes gives numbers: `list(b'lo')` is [108, 111]. How do you make b'l' of 108?",
        ),
        Mistake(
            "text, not bytes",
            """def encode(word, merges):
    tokens = list(word)
    for left, right in merges:
        tokens = merge(tokens, (left.decode(errors="replace"), right.decode(errors="replace")))
    return tokens
""",
            "These are pieces of text; b'lo' and 'lo' are never equal in Python. Where do you leave the letters behind?",
        ),
        Mistake(
            "bytes that are zeros",
            """def encode(word, merges):
    tokens = [bytes(byte) for byte in word.encode()]
    for pair in merges:
        tokens = merge(tokens, pair)
    return tokens
""",
            "`bytes(97)` is 97 zeros, while `bytes([97])` is b'a'. (Python's doing, not yours.) Which do you want?",
        ),
        Mistake(
            "pairs in the order of the word",
            """def encode(word, merges):
    tokens = [bytes([byte]) for byte in word.encode()]
    for pair in zip(tokens, tokens[1:]):
        if pair in merges:
            tokens = merge(tokens, pair)
    return tokens
""",
            "It goes through the pairs that the word began with, from the left. Which list says what is joined, and when? "
            "And what of pairs that only a merge brings about?",
        ),
        Mistake(
            "long merges first",
            """def encode(word, merges):
    tokens = [bytes([byte]) for byte in word.encode()]
    for left, right in sorted(merges, key=lambda pair: -len(pair[0] + pair[1])):
        tokens = merge(tokens, (left, right))
    return tokens
""",
            "The merges were put in another order, longest result first. In which order were they learned?",
        ),
        Mistake(
            "a known word as a whole",
            """def encode(word, merges):
    if word.encode() in {left + right for left, right in merges}:
        return [word.encode()]
    tokens = [bytes([byte]) for byte in word.encode()]
    for pair in merges:
        tokens = merge(tokens, pair)
    return tokens
""",
            "`abc` is in the vocabulary, and yet these merges never get there: b, c is joined first, and then no ab is left. "
            "(Llama 3 does take this short cut.) What would training have made of the word?",
        ),
        Mistake(
            "the longest token first",
            """def encode(word, merges):
    raw = word.encode()
    known = {left + right for left, right in merges}
    tokens, i = [], 0
    while i < len(raw):
        for j in range(len(raw), i, -1):
            if j == i + 1 or raw[i:j] in known:
                tokens.append(raw[i:j])
                i = j
                break
    return tokens
""",
            "It takes the longest known token from the left. (BERT's WordPiece does just that.) With b, c learned before "
            "a, b, what would training have made of `abc`?",
        ),
        Mistake(
            "whichever pair comes first in the word",
            """def encode(word, merges):
    tokens = [bytes([byte]) for byte in word.encode()]
    i = 0
    while i < len(tokens) - 1:
        if (tokens[i], tokens[i + 1]) in merges:
            tokens = tokens[:i] + [tokens[i] + tokens[i + 1]] + tokens[i + 2:]
            i = 0
        else:
            i += 1
    return tokens
""",
            "In `abc` it joins a, b because they stand further left, but b, c was learned earlier. Whose order counts: the "
            "word's or the merges'?",
        ),
        Mistake(
            "last learnt, first joined",
            """def encode(word, merges):
    tokens = [bytes([byte]) for byte in word.encode()]
    for pair in reversed(merges):
        tokens = merge(tokens, pair)
    return tokens
""",
            "`low` needs `lo` first, which was learned before it. From which end do you go through the merges?",
        ),
        Mistake(
            "gives up at the first gap",
            """def encode(word, merges):
    tokens = [bytes([byte]) for byte in word.encode()]
    for pair in merges:
        after = merge(tokens, pair)
        if after == tokens:
            break
        tokens = after
    return tokens
""",
            "`newer` has no l, o, and there it stops; but e, r is still to come. What if a merge finds nothing?",
        ),
        Mistake(
            "one merge and done",
            """def encode(word, merges):
    tokens = [bytes([byte]) for byte in word.encode()]
    for pair in merges:
        after = merge(tokens, pair)
        if after != tokens:
            return after
    return tokens
""",
            "It returns after the first merge that changed something. Is `return` inside the loop?",
        ),
        Mistake(
            "only the last merge",
            """def encode(word, merges):
    raw = [bytes([byte]) for byte in word.encode()]
    tokens = raw
    for pair in merges:
        tokens = merge(raw, pair)
    return tokens
""",
            "Each merge begins again with the single bytes, and only the last one is seen. What must the next merge work on?",
        ),
        Mistake(
            "no merge at all",
            """def encode(word, merges):
    return [bytes([byte]) for byte in word.encode()]
""",
            "These are the single bytes: no merge took effect. `merge` returns a new list and leaves the old one alone. Is "
            "the new one kept, and is `merge` given a whole pair?",
        ),
        Mistake(
            "one byte a letter",
            """def encode(word, merges):
    tokens = [bytes([ord(letter)]) for letter in word]
    for pair in merges:
        tokens = merge(tokens, pair)
    return tokens
""",
            "`ord` gives the number of a character, 233 for é, and that is no byte of its UTF-8. Which method of a text "
            "gives its bytes?",
        ),
        Mistake(
            "text, and pairs of bytes",
            """def encode(word, merges):
    tokens = list(word)
    for pair in merges:
        tokens = merge(tokens, pair)
    return tokens
""",
            "These are letters, pieces of text, and the merges are pairs of bytes: nothing ever fits. What makes bytes of a text?",
        ),
        Mistake(
            "back after the first merge",
            """def encode(word, merges):
    tokens = [bytes([byte]) for byte in word.encode()]
    for pair in merges:
        tokens = merge(tokens, pair)
        return tokens
    return tokens
""",
            "It comes back after the first merge of the list, found or not. How far is `return` indented?",
        ),
        Mistake(
            "ASCII alone",
            """def encode(word, merges):
    tokens = [bytes([byte]) for byte in word.encode("ascii", "ignore")]
    for pair in merges:
        tokens = merge(tokens, pair)
    return tokens
""",
            "é is dropped. In which encoding has every character bytes?",
        ),
        Mistake(
            "one text at the end",
            """def encode(word, merges):
    tokens = [bytes([byte]) for byte in word.encode()]
    for pair in merges:
        tokens = merge(tokens, pair)
    return b"".join(tokens)
""",
            "The tokens were strung together again, and spell the word. What was wanted, the word or its tokens?",
        ),
    ],
    imports=IMPORTS + "\n" + MERGE,
)  # fmt: skip

# -- 04.5 -----------------------------------------------------------------------------------------------------------------


def spelt(body: str) -> str:
    """A near miss: `tokens` are the bytes of each id."""
    return f"def decode(ids, vocabulary):\n    tokens = [vocabulary[i] for i in ids]\n    {body}\n"


back = Exercise(
    "04.5",
    goal="turn ids back into text",
    minutes=5,
    cases=[
        ([0, 1], [b"lo", b"w"]),
        ([1, 0, 2], [b"he", b" t", b"n"]),
        ([0, 1], [b"\xc3", b"\xa9"]),
        ([1], [b"caf", b"\xc3", b"\xa9"]),
        ([0, 1, 2], [b"caf", b"\xc3", b"\xa9"]),
        ([2, 0, 1, 2], [b"\xe8\x8c", b"\xb6", b" "]),
        ([1, 0, 0], [b"na", b"ba"]),
        ([], [b"a", b"b"]),
    ],
    starter='''def decode(ids, vocabulary):
    """The text that the tokens with these ids spell.

    vocabulary: a list of tokens, each as bytes; a token's place is its id. decode([0, 1], [b"lo", b"w"]) is "low".
    Bytes that are no whole character become "\ufffd", which `.decode(errors="replace")` does.
    """
    ...
''',
    solution='''def decode(ids, vocabulary):
    """The text that the tokens with these ids spell."""
    return b"".join(vocabulary[i] for i in ids).decode(errors="replace")
''',
    other_solutions=[
        """def decode(ids, vocabulary):
    raw = bytearray()
    for i in ids:
        raw.extend(vocabulary[i])
    return str(raw, "utf-8", "replace")
""",
        """def decode(ids, vocabulary):
    raw = b""
    for i in ids:
        raw = raw + vocabulary[i]
    return raw.decode("utf-8", "replace")
""",
    ],
    hints=[
        "é is two bytes, c3 and a9. If each is a token of its own, at which moment may they become text?",
        "`b\"\".join(...)` puts bytes together. Look up the token of each id, join all of them, and only then make text of them.",
        "It is one line: `b\"\".join(vocabulary[i] for i in ids)`, and `.decode(errors=\"replace\")` behind it.",
    ],
    explanation="A token may end in the middle of a character, so the bytes are joined first and become text once, at the end. What is no valid UTF-8 even then, a model's half "
    "character for example, is shown as � instead of raising an error.",
    mistakes=[
        Mistake("each token by itself", spelt('return "".join(token.decode(errors="replace") for token in tokens)'),
                "é became two �, because each of its bytes was made text by itself. What must come first, joining or decoding?"),
        Mistake("an error at half a character", spelt('return b"".join(tokens).decode()'),
                "Half a character raises an error, and a chat would stop there. What does `errors=\"replace\"` do?"),
        Mistake("half a character dropped", spelt('return b"".join(tokens).decode(errors="ignore")'),
                "Bytes that are no whole character disappear. What was wanted in their place?"),
        Mistake("each token by itself, with an error", spelt('return "".join(token.decode() for token in tokens)'),
                "A single byte of é is no text, so decoding it by itself raises an error. What must come first, joining or decoding?"),
        Mistake("each token by itself, halves dropped", spelt('return "".join(token.decode(errors="ignore") for token in tokens)'),
                "é is lost, because each of its bytes was made text by itself, and ignored. What must come first, joining or decoding?"),
        Mistake("bytes, not text", spelt('return b"".join(tokens)'),
                "These are the right bytes, but they are not text yet. Which method makes text of bytes?"),
        Mistake("spaces between the tokens", spelt('return b" ".join(tokens).decode(errors="replace")'),
                "A space was put between the tokens. A token brings its own space, so what should stand between two of them?"),
        Mistake("a byte is a character", spelt('return b"".join(tokens).decode("latin-1")'),
                "é came out as two characters, one for each byte. In which encoding did the text become bytes?"),
        Mistake("how Python shows bytes", spelt('return str(b"".join(tokens))'),
                "`str` of bytes is what Python would print: with b and quotation marks. Which method makes text of bytes?"),
        Mistake("without spaces at the ends", spelt('return b"".join(tokens).decode(errors="replace").strip()'),
                "The spaces at the ends are gone. Do they not belong to the text?"),
        Mistake("a list of texts", spelt('return [token.decode(errors="replace") for token in tokens]'),
                "That is a list with the text of each token. What was wanted is one text: how do you put bytes together?"),
        Mistake("a list of tokens", spelt("return tokens"),
                "These are the tokens, in the right order. What puts them together, and what makes text of them?"),
        Mistake("ids for bytes", 'def decode(ids, vocabulary):\n    return bytes(ids).decode(errors="replace")\n',
                "The ids were taken for bytes, and the vocabulary is not used. Where do you look up what an id spells?"),
        Mistake("the first id is one", 'def decode(ids, vocabulary):\n    return b"".join(vocabulary[i - 1] for i in ids).decode(errors="replace")\n',
                "It takes the token before the right one. With which number does a list begin?"),
        Mistake("in the order of the vocabulary", 'def decode(ids, vocabulary):\n    return b"".join(vocabulary[i] for i in sorted(ids)).decode(errors="replace")\n',
                "The ids were sorted. Is their order not that of the text?"),
        Mistake("each token once", 'def decode(ids, vocabulary):\n    return b"".join(vocabulary[i] for i in dict.fromkeys(ids)).decode(errors="replace")\n',
                "A token that comes twice is written once. How often does an id stand in the list?"),
        Mistake("whatever is in the list", 'def decode(ids, vocabulary):\n    return b"".join(token for i, token in enumerate(vocabulary) if i in ids).decode(errors="replace")\n',
                "It goes through the vocabulary and keeps the tokens whose id occurs, once each, in the order of the vocabulary. Which list has the order of the text?"),
        Mistake("from the end", spelt('return b"".join(tokens[::-1]).decode(errors="replace")'),
                "The tokens come in the opposite order. At which end does the text begin?"),
        Mistake("ASCII alone", spelt('return b"".join(tokens).decode("ascii", errors="replace")'),
                "é became two �: in ASCII there is no é. In which encoding did the text become bytes?"),
        Mistake("backslashes for bytes", spelt('return b"".join(tokens).decode(errors="backslashreplace")'),
                "Half a character is written as \\xc3. What was wanted in its place?"),
        Mistake("only the first token", 'def decode(ids, vocabulary):\n    for i in ids:\n        return vocabulary[i].decode(errors="replace")\n    return ""\n',
                "It comes back after the first token. How far is `return` indented?"),
        Mistake("only the last token", 'def decode(ids, vocabulary):\n    raw = b""\n    for i in ids:\n        raw = vocabulary[i]\n    return raw.decode(errors="replace")\n',
                "Each token replaces the one before it. How do you add to what is there?"),
    ],
    imports=IMPORTS,
)  # fmt: skip

# -- 04.4 -----------------------------------------------------------------------------------------------------------------

ruler = Exercise(
    "04.4",
    goal="measure compression",
    minutes=3,
    cases=[
        ("to be", [84, 300]),
        ("thé", [259, 8]),
        ("tea for two", [70, 71, 72, 71]),
        ("茶", [232, 140, 182]),
        ("to be or not", [5, 6, 7, 8, 5, 9, 5]),
        ("chai चाय", [9, 1, 1, 4, 4]),
    ],
    starter='''def bytes_per_token(text, ids):
    """How many bytes of `text` one token carries on average, where `ids` are the tokens of the whole text."""
    ...
''',
    solution='''def bytes_per_token(text, ids):
    """How many bytes of `text` one token carries on average, where `ids` are the tokens of the whole text."""
    return len(text.encode()) / len(ids)
''',
    other_solutions=[
        "def bytes_per_token(text, ids):\n    n_bytes = sum(len(c.encode('utf-8')) for c in text)\n    return n_bytes / len(ids)\n",
        "def bytes_per_token(text, ids):\n    n_bytes = 0\n    for number in map(ord, text):\n"
        "        n_bytes += 1 + (number > 0x7F) + (number > 0x7FF) + (number > 0xFFFF)\n    return n_bytes / len(ids)\n",
    ],
    hints=[
        "A text of 1,000 bytes that became 400 tokens: what does one token carry?",
        "A text has characters, and its UTF-8 has bytes: `len(text)` is not always the number wanted.",
        "`len(text.encode())` is the number of bytes; divide it by the number of tokens.",
    ],
    explanation="Bytes are the one length that does not depend on the tokenizer, nor on how a script is cut into "
    "characters. That is why losses of different models are compared per byte as well.",
    mistakes=[
        Mistake(
            "characters for bytes",
            "def bytes_per_token(text, ids):\n    return len(text) / len(ids)\n",
            "thé has 3 characters but 4 bytes. Which of the two does `len(text)` count?",
        ),
        Mistake(
            "upside down",
            "def bytes_per_token(text, ids):\n    return len(ids) / len(text.encode())\n",
            "5 bytes in 2 tokens gave 0.4: those are tokens per byte. Which is shared out among which?",
        ),
        Mistake(
            "upside down, and of characters",
            "def bytes_per_token(text, ids):\n    return len(ids) / len(text)\n",
            "5 bytes in 2 tokens gave 0.4, and thé counted as 3 bytes. Which is shared out, and in which unit?",
        ),
        Mistake(
            "each kind of token once",
            "def bytes_per_token(text, ids):\n    return len(text.encode()) / len(set(ids))\n",
            "The ids 70, 71, 72, 71 are four tokens, of three kinds. Which number says how long the sequence is?",
        ),
        Mistake(
            "whole numbers only",
            "def bytes_per_token(text, ids):\n    return len(text.encode()) // len(ids)\n",
            "5 bytes in 2 tokens gave 2. What does `//` do with the rest?",
        ),
        Mistake(
            "spaces left out",
            "def bytes_per_token(text, ids):\n    return len(text.replace(' ', '').encode()) / len(ids)\n",
            "`to be` counted as 4 bytes. The tokens carry the space as well, so why should it be free?",
        ),
        Mistake(
            "words, not bytes",
            "def bytes_per_token(text, ids):\n    return len(text.split()) / len(ids)\n",
            "`to be` in 2 tokens gave 1: those are words per token. Which lengths can be compared between Tamil and English?",
        ),
        Mistake(
            "divided by an id",
            "def bytes_per_token(text, ids):\n    return len(text.encode()) / max(ids)\n",
            "An id is a name, not a quantity: 300 is not more than 84. How many ids are there?",
        ),
        Mistake(
            "the sum of the ids",
            "def bytes_per_token(text, ids):\n    return len(text.encode()) / sum(ids)\n",
            "An id is a name, not a quantity, and a sum of names means nothing. How many ids are there?",
        ),
        Mistake(
            "the size in memory",
            "import sys\ndef bytes_per_token(text, ids):\n    return sys.getsizeof(text) / len(ids)\n",
            "That is what Python needs to keep the text, with all its bookkeeping. How many bytes is the text itself?",
        ),
        Mistake(
            "the share that is saved",
            "def bytes_per_token(text, ids):\n    return 1 - len(ids) / len(text.encode())\n",
            "That says which part of the bytes has gone. How many bytes stand behind each token that is left?",
        ),
        Mistake(
            "the mean of the ids",
            "def bytes_per_token(text, ids):\n    return sum(ids) / len(ids)\n",
            "The text is not used at all. How many bytes has it?",
        ),
        Mistake(
            "bits",
            "def bytes_per_token(text, ids):\n    return 8 * len(text.encode()) / len(ids)\n",
            "It is 8 times too large: those are bits per token. What is asked for?",
        ),
        Mistake(
            "rounded",
            "def bytes_per_token(text, ids):\n    return round(len(text.encode()) / len(ids), 1)\n",
            "It is rounded to one digit. Who asked for that?",
        ),
        Mistake(
            "rounded to two digits",
            "def bytes_per_token(text, ids):\n    return round(len(text.encode()) / len(ids), 2)\n",
            "It is rounded to two digits, 4.67 for 14/3. Who asked for that?",
        ),
        Mistake(
            "another encoding",
            "def bytes_per_token(text, ids):\n    return len(text.encode('utf-16')) / len(ids)\n",
            "Those are bytes of UTF-16, two for most letters and two to begin with. Which encoding does the tokenizer use?",
        ),
        Mistake(
            "four bytes a character",
            "def bytes_per_token(text, ids):\n    return 4 * len(text) / len(ids)\n",
            "An e takes one byte in UTF-8, é two, 茶 three. How many take four?",
        ),
        Mistake(
            "ids over bytes",
            "def bytes_per_token(text, ids):\n    return sum(ids) / len(text.encode())\n",
            "An id is a name, not a quantity, and a sum of names means nothing. What is shared out among what?",
        ),
        Mistake(
            "one token more",
            "def bytes_per_token(text, ids):\n    return len(text.encode()) / (len(ids) + 1)\n",
            "5 bytes in 2 tokens gave 1.67. How many tokens are there?",
        ),
    ],
)  # fmt: skip
