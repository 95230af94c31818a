"""Assigned in lesson 01: Kneser-Ney smoothing, and what novels say of he and she."""

from fmcourse.classroom.exercise_kinds import AssignedExercise
from fmcourse.course.exercise import IMPORTS, Mistake, Property

# -- 01.A1 San Francisco --------------------------------------------------------------------------------------------------

COUNTING = '''def kneser_ney(text, before, discount):
    """How probable each word is right after `before`, by a bigram model with Kneser-Ney smoothing.

    text: a list of words, at least two   before: a word, which may be missing in the text   discount: above 0, below 1
    ->   {word: probability}, with every different word of the text as a key, each once, in any order

    The probabilities add up to 1. A word that never ended a pair, since it stands at the beginning alone, gets 0.
    """
'''


def smoothing(
    own="len({a for a, b in pairs if b == w}) / len(set(pairs))",
    taken="discount * len(after)",
    total="sum(after.values())",
    less="discount",
    alone="own",
):
    """The formula, or a near miss: `after` counts what followed, `own` is what is said where nothing is known."""
    return (
        "def kneser_ney(text, before, discount):\n    pairs, words = list(zip(text, text[1:])), list(dict.fromkeys(text))\n"
        "    after = {}\n    for a, b in pairs:\n        if a == before:\n            after[b] = after.get(b, 0) + 1\n"
        f"    own = {{w: {own} for w in words}}\n    if not after:\n        return {alone}\n"
        f"    total = {total}\n    return {{w: (max(after.get(w, 0) - {less}, 0) + {taken} * own[w]) / total for w in words}}\n"
    )  # fmt: skip


CITY = ["san", "francisco", "san", "francisco", "a", "cat", "the", "cat"]
PROVERB = [
    "to",
    "see",
    "the",
    "sea",
    "is",
    "to",
    "see",
    "what",
    "the",
    "sea",
    "can",
    "see",
    "and",
    "the",
    "sea",
    "is",
    "to",
    "be",
    "seen",
]
ROSE = [
    "a",
    "rose",
    "is",
    "a",
    "rose",
    "is",
    "a",
    "rose",
    "and",
    "a",
    "thorn",
    "is",
    "no",
    "rose",
    "but",
    "a",
    "thorn",
    "is",
    "on",
    "a",
    "rose",
]
RAIN = ["rain", "rain", "go", "away", "come", "again", "some", "other", "day", "rain", "rain"]

francisco = AssignedExercise(
    "01.A1",
    goal="smooth by the number of contexts",
    minutes=20,
    difficulty=2,
    text="When an n-gram model has never seen a context, it falls back to a shorter one; the shortest of all knows only how often each word occurs in the text. But *how often* is the wrong "
    "question. In a guidebook `francisco` is frequent, and comes after `san` alone. After a context that was never seen, it is a poor guess; `cat`, which came after many different words, is a better one. "
    "This is **Kneser-Ney smoothing** (1995), for many years the best smoothing of n-gram models (Chen and Goodman 1999).\n\n"
    "1. A *bigram* is two neighbouring words. Of all **different** bigrams in the text, what fraction ends in a word? That is the word's **continuation probability**. (A bigram that occurs a hundred times is still one.)\n"
    "2. Count how many times each word followed `before`, and subtract `discount` from each of these counts. What is left, divided by how many times anything followed `before`, is the word's.\n"
    "3. The probability that was subtracted is distributed among *all* words in proportion to their continuation probabilities. So everything adds up to 1 again. How much it was, you find out.\n"
    "4. If nothing ever followed `before`, the continuation probabilities are the answer.\n\n"
    "*Example.* `san francisco san francisco a cat the cat` has six different bigrams. Two of them end in `cat`, one in `francisco`, though both words occur twice. After `francisco` came "
    "`san` and `a`, once each. With discount ½ each keeps ¼, and ½ is distributed: `san` ¼ + 1/12 = ⅓, `a` ⅓, `cat` ⅙, `the` and `francisco` 1/12 each.",
    cases=[
        (CITY, "francisco", 0.5),
        (CITY, "dog", 0.5),
        (["a", "b", "a", "b", "a", "c"], "a", 0.75),
        (["go", "away", "go", "away"], "away", 0.25),
        (ROSE, "a", 0.6),
    ],
    hidden=[
        (["hello", "world"], "hello", 0.9),
        (["hello", "world"], "world", 0.3),
        (["no", "no", "no", "no"], "no", 0.4),
        (RAIN, "rain", 0.75),
        (RAIN, "day", 0.1),
        (PROVERB, "see", 0.7),
        (PROVERB, "seen", 0.5),
        (PROVERB, "the", 0.2),
        (ROSE, "is", 0.95),
    ],
    starter=COUNTING + "    ...\n",
    solution=COUNTING + '''    pairs = list(zip(text, text[1:]))
    ends = [second for _, second in set(pairs)]
    continuation = {word: ends.count(word) / len(ends) for word in text}
    after = [second for first, second in pairs if first == before]
    if not after:
        return continuation
    subtracted = discount * len(set(after)) / len(after)  # once from each different word
    kept = {word: (after.count(word) - discount) / len(after) for word in set(after)}
    return {word: kept.get(word, 0.0) + subtracted * continuation[word] for word in text}
''',
    other_solutions=[
        smoothing(),
        "from collections import Counter, defaultdict\ndef kneser_ney(text, before, discount):\n    counts, came_after = defaultdict(Counter), defaultdict(set)\n"
        "    for i in range(1, len(text)):\n        counts[text[i - 1]][text[i]] += 1\n        came_after[text[i]].add(text[i - 1])\n"
        "    n_bigrams = sum(map(len, came_after.values()))\n    row, out = counts[before], {}\n    left = {w: max(row[w] - discount, 0) / row.total() for w in row}\n"
        "    rest = 1 - sum(left.values())  # nothing kept: all of it\n    for w in set(text):\n        out[w] = left.get(w, 0.0) + rest * len(came_after[w]) / n_bigrams\n    return out\n",
        "def kneser_ney(text, before, discount):\n    words = sorted(set(text))\n    counts = torch.zeros(len(words), len(words), dtype=torch.float64)\n"
        "    for a, b in zip(text, text[1:]):\n        counts[words.index(a), words.index(b)] += 1\n    continuation = (counts > 0).sum(0) / (counts > 0).sum()\n"
        "    row = counts[words.index(before)] if before in words else torch.zeros(len(words), dtype=torch.float64)\n    if row.any():\n"
        "        continuation = ((row - discount).clamp(min=0) + discount * (row > 0).sum() * continuation) / row.sum()\n    return dict(zip(words, continuation.tolist()))\n",
    ],
    explanation="The continuation probability counts different predecessors, so `francisco` with its one gets as little as a word that occurs once. `discount` is subtracted once for each *different* word that followed, "
    "so discount × distinct / total is free to be distributed: a context that was followed by many different words relies more on the continuation probabilities, as in Witten and Bell's formula of the lesson.",
    properties=[
        Property("it does not add up", '''def test(out, case):
    wrong = set(case[0]) ^ set(out)
    if wrong:
        return f"{len(set(case[0]))} different words stand in the text; after {case[1]!r}, {min(map(str, wrong))!r} is missing, or too much."
    total = sum(out.values())
    return abs(total - 1) < 1e-6 or f"Of {' '.join(case[0][:8])!r} ..., after {case[1]!r}: the probabilities add up to {total:.4g}."
''', "What was subtracted, and which words got it?"),
        Property("possible and impossible", '''def test(out, case):
    text, before, _ = case
    for word in text:
        if word in text[1:] and not out.get(word, 0) > 0:
            return f"After {before!r} it thinks {word!r} impossible, or less than that; but {word!r} has ended a pair."
        if word not in text[1:] and out.get(word, 0) != 0:
            return f"It thinks {word!r} possible, which never ended a pair."
    return True
''', "Which words get something of what is distributed?"),
    ],
    mistakes=[
        Mistake("how often", smoothing(own="text[1:].count(w) / len(pairs)"),
                "What is distributed goes by how often a word occurs. In the example, does `francisco` get as much as `cat`, and should it?"),
        Mistake("how often, the first word too", smoothing(own="text.count(w) / len(text)"),
                "What is distributed goes by how often a word occurs in the text. In the example, does `francisco` get as much as `cat`, and should it?"),
        Mistake("all words alike", smoothing(own="1 / len(words)"),
                "Each word gets the same of what is distributed. Is `cat` no better a guess than `francisco`?"),
        Mistake("what comes after", smoothing(own="len({b for a, b in pairs if a == w}) / len(set(pairs))"),
                "It counts the different words that come *after* a word. Which end of a bigram is to be predicted?"),
        Mistake("divided by the words", smoothing(own="len({a for a, b in pairs if b == w}) / len(words)"),
                "The continuation probabilities were divided by the number of different words. They are fractions of what?"),
        Mistake("different pairs, divided by all", smoothing(own="len({a for a, b in pairs if b == w}) / len(pairs)"),
                "The numerator counts different bigrams, the denominator all of them. Do the continuation probabilities add up to 1?"),
        Mistake("taken once", smoothing(taken="discount"),
                "`discount` is distributed a single time. From how many counts was it subtracted?"),
        Mistake("taken each time", smoothing(taken="discount * sum(after.values())"),
                "`discount` is distributed for each time that something followed. If the same word followed twice, how often was it subtracted from that word's count?"),
        Mistake("taken and lost", smoothing(taken="0.0"),
                "What was subtracted is lost: the probabilities add up to less than 1. Which words should get it?"),
        Mistake("nothing taken", smoothing(less="0.0", taken="0.0"),
                "These are the plain counts: what never followed is impossible. Which part of them may be distributed?"),
        Mistake("distributed, but not subtracted", smoothing(less="0.0"),
                "Probability is distributed that was never subtracted. From which counts is it to come?"),
        Mistake("how often `before` stands there", smoothing(total="text.count(before)"),
                "It divides by how often `before` occurs in the text. What follows it at the very end?"),
        Mistake("nothing known, all zero", smoothing(alone="dict.fromkeys(words, 0.0)"),
                "After a word that nothing ever followed, every word gets 0. Does something come next all the same?"),
        Mistake("nothing known, all alike", smoothing(alone="dict.fromkeys(words, 1 / len(words))"),
                "After a word that nothing ever followed, all words are equally likely. Which probabilities are known even then?"),
        Mistake("taken from those that never came", smoothing().replace("max(after.get(w, 0) - discount, 0)", "(after.get(w, 0) - discount)"),
                "`discount` is taken away from words too that never came after `before`. From which numbers was it to be taken?"),
        Mistake("distributed, but not divided", smoothing(taken="discount * len(after) * total"),
                "What is distributed is not divided by how often anything followed. What share of all is `discount` times the number of different words?"),
        Mistake("distributed to unseen words alone", smoothing().replace("discount * len(after) * own[w])", "(discount * len(after) * own[w] if w not in after else 0))"),
                "Only words that never came after `before` get something of what is distributed. Among which words was it to be distributed?"),
        Mistake("a mixture", smoothing(less="discount * after.get(w, 0)", taken="discount * total"),
                "From each number the share `discount` is taken: more from a large one. How much was to be taken from each?"),
        Mistake("nothing known, an empty dictionary", smoothing(alone="{}"),
                "After a word that nothing ever followed, it gives an empty dictionary. Which probabilities are known even then?"),
    ],
)  # fmt: skip

# -- 01.A2 he and she in novels -------------------------------------------------------------------------------------------

NEAR = [
    "sister",
    "brother",
    "father",
    "mother",
    "friend",
    "young",
    "dear",
    "happy",
    "poor",
    "heart",
    "cried",
    "house",
    "room",
    "letter",
    "hand",
]


def a_word_of_austen(draw):
    """Another word, window and part of the novels for each student."""
    many = draw.randrange(1_200_000, 1_800_000)
    return {
        "first": draw.randrange(0, 3_119_000 - many),
        "many": many,
        "word": draw.choice(NEAR),
        "window": draw.randrange(8, 21),
    }


def log_ratio(body, nearby="words[i + 1 : i + 1 + window]"):
    """A near miss: `he` and `she` are what was counted near the word, `all_he` and `all_she` in the whole piece."""
    return (
        "def log_ratio_of_a_word(mine):\n    import re\n    from fmcourse.data import load\n"
        '    text = load("austen").train[mine["first"]:][:mine["many"]].lower()\n    words, window, log = re.findall("[a-z]+", text), mine["window"], math.log\n'
        f'    near = [{nearby} for i, word in enumerate(words) if word == mine["word"]]\n'
        '    he, she = (sum(some.count(one) for some in near) for one in ("he", "she"))\n    all_he, all_she = words.count("he"), words.count("she")\n'
        f"    {body}\n"
    )


novels = AssignedExercise(
    "01.A2",
    goal="a log ratio of he and she in novels",
    minutes=15,
    difficulty=2,
    text="A model learns what people wrote. So what did they write? Jane Austen writes *she* more often than *he*. So a word of hers is associated with *he* only if *he* is commoner "
    "near that word **than *he* is in her text altogether**.\n\n"
    "Take `load(\"austen\").train[first : first + many]` with your own numbers. Its words are `re.findall(\"[a-z]+\", text.lower())`. Wherever your `word` stands, look at the `window` words that follow it (at the very end "
    "there may be fewer), and count *he* and *she* among them; where two such stretches overlap, both count. Only these two forms count, not *him* or *hers*. "
    "As in the lesson, a log ratio is the logarithm of how many times likelier *he* is than *she*, to the base e, so that 1 means e times as likely. "
    "From the log ratio **near the word** subtract the log ratio of **all words** of your piece. What is left?\n\n"
    "*Example.* Near the word 30 *he* and 20 *she*, in the whole piece 400 and 800: log 1.5 − log 0.5 = log 3 = 1.10."
    "\n\nGive it unrounded: the first five digits must be right.",
    imports=IMPORTS + "import re\nfrom fmcourse.data import load\n",
    starter='''mine = variant("01.A2")  # your numbers
log_ratio_of_a_word = ...  # a float, above 0 towards he, below 0 towards she
''',
    solution='''import math
import re
from collections import Counter

from fmcourse.data import load


def log_ratio_of_a_word(mine):
    text = load("austen").train[mine["first"] : mine["first"] + mine["many"]]
    words = re.findall("[a-z]+", text.lower())
    near, everywhere = Counter(), Counter(words)
    for i, word in enumerate(words):
        if word == mine["word"]:
            near.update(words[i + 1 : i + 1 + mine["window"]])
    return math.log(near["he"] / near["she"]) - math.log(everywhere["he"] / everywhere["she"])
''',
    other_solutions=['''def log_ratio_of_a_word(mine):
    import re
    from fmcourse.data import load
    text = load("austen").train[mine["first"]:][:mine["many"]].lower()
    at = {one: [] for one in (mine["word"], "he", "she")}
    for place, found in enumerate(re.finditer("[a-z]+", text)):
        if found[0] in at:
            at[found[0]].append(place)
    from bisect import bisect_right
    inside = lambda one: sum(bisect_right(at[one], p + mine["window"]) - bisect_right(at[one], p) for p in at[mine["word"]])
    return math.log(inside("he") * len(at["she"]) / (inside("she") * len(at["he"])))
''', '''def log_ratio_of_a_word(mine):
    import re
    from itertools import accumulate
    from fmcourse.data import load
    words = re.findall("[a-z]+", load("austen").train[mine["first"]:][:mine["many"]].lower())
    behind = [i + 1 for i, word in enumerate(words) if word == mine["word"]]
    near, all_words = {}, {}
    for one in ("he", "she"):
        so_far = [0, *accumulate(word == one for word in words)]      # place i: how many among the first i words
        near[one] = sum(so_far[min(i + mine["window"], len(words))] - so_far[i] for i in behind)
        all_words[one] = so_far[-1]
    return math.log(near["he"] / near["she"] / (all_words["he"] / all_words["she"]))
'''],
    vary=a_word_of_austen,
    explanation="It is log (he near / she near) − log (he in all / she in all), the difference of two pointwise mutual informations. `father`, `brother`, `young` are associated with *he*, `sister` and `letter` with *she*; "
    "without the second term `dear`, `happy` and `friend` would seem to be associated with *she*, although *he* and *she* stand near them about as they do everywhere. A model that is trained on the text learns such associations.",
    properties=[Property("no log ratio", "def test(out, case):\n    return 0 < abs(out) < 3 or f'A log ratio is somewhat above or below 0, hardly as large as 3; yours is {out:.4g}.'\n",
                         "The logarithm of which two numbers' ratio is it?")],
    mistakes=[
        Mistake("the piece's own log ratio left in", log_ratio("return log(he / she)"),
                "In the example it would be 0.41. How much of that does the whole piece explain?"),
        Mistake("added, not taken away", log_ratio("return log(he / she) + log(all_he / all_she)"),
                "In the example it would be −0.29. What is to be done with the log ratio of the whole piece?"),
        Mistake("a ratio, not its logarithm", log_ratio("return he / she / (all_he / all_she)"),
                "In the example it would be 3, and 1 where *he* is as frequent near the word as everywhere. What should it be then?"),
        Mistake("fractions, not ratios", log_ratio("return he / (he + she) - all_he / (all_he + all_she)"),
                "In the example it would be 0.27, a difference of two fractions. What is a log ratio?"),
        Mistake("towards she", log_ratio("return log(she / he) - log(all_she / all_he)"),
                "In the example it would be −1.10. Which of the two stands above the line?"),
        Mistake("bits", log_ratio("return (log(he / she) - log(all_he / all_she)) / log(2)"),
                "In the example it would be 1.58. To which base is the logarithm?"),
        Mistake("what stands before", log_ratio("return log(he / she) - log(all_he / all_she)", "words[max(0, i - window) : i]"),
                "It looks at the words that stand before yours. Which ones does a model that goes on with the text have to guess?"),
        Mistake("on both sides", log_ratio("return log(he / she) - log(all_he / all_she)", "words[max(0, i - window) : i] + words[i + 1 : i + 1 + window]"),
                "It looks both ways. Where were *he* and *she* to be counted?"),
        Mistake("letters, not words", log_ratio("return log(he / she) - log(text.count('he') / text.count('she'))"),
                "In the whole piece it found h and e inside other words: *the*, *then*, *she* itself. How are words counted?"),
        Mistake("each stretch once", log_ratio("return log(sum('he' in some for some in near) / sum('she' in some for some in near)) - log(all_he / all_she)"),
                "A stretch in which *he* stands three times counts once. What was to be counted?"),
        Mistake("other forms as well", log_ratio("return log(sum(w in ('he', 'him', 'his') for some in near for w in some) / sum(w in ('she', 'her', 'hers') for some in near for w in some)) - log(all_he / all_she)"),
                "*him* and *her* were counted near the word, but not in the whole piece. Which forms count?"),
        Mistake("one word too few", log_ratio("return log(he / she) - log(all_he / all_she)", "words[i : i + window]"),
                "The first of the words looked at is your word itself. Which words *follow* it?"),
        Mistake("one word too many", log_ratio("return log(he / she) - log(all_he / all_she)", "words[i + 1 : i + 2 + window]"),
                "It looks at one word more than `window`. How many words are `words[a : b]`?"),
        Mistake("capitals left in", log_ratio("return log(he / she) - log(all_he / all_she)").replace(".lower()", ""),
                "*He* at the beginning of a sentence was not counted, and words were cut at their capitals. What is done with the text first?"),
        Mistake("cut at spaces", log_ratio("return log(he / she) - log(all_he / all_she)").replace('re.findall("[a-z]+", text)', "text.split()"),
                "Words were cut at spaces, so `he,` and `she;` did not count. How are the words of the piece defined?"),
        Mistake("letters, not words, near it", log_ratio("text_near = ' '.join(one for some in near for one in some); return log(text_near.count('he') / text_near.count('she')) - log(all_he / all_she)"),
                "Near the word it found h and e inside other words: *the*, *then*, *she* itself. How are words counted?"),
        Mistake("divided by the piece's own log ratio", log_ratio("return log(he / she) / log(all_he / all_she)"),
                "One logarithm is divided by the other. What becomes of a division when logarithms are taken?"),
        Mistake("a difference of times", log_ratio("return he / she - all_he / all_she"),
                "No logarithm was taken. What is a log ratio?"),
    ],
)  # fmt: skip
