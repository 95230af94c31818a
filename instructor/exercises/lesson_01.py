"""Assigned in lesson 01: which words tell texts apart, and one author's letters priced by another's."""

from fmcourse.classroom.assigned import Assigned
from fmcourse.course.exercises import Mistake, Property

# -- 01.A1 telling words --------------------------------------------------------------------------------------------------

TELLING = '''def telling(texts):
    """TF-IDF: how much each word of each text tells about it.

    texts: lists of words, at least one text, none empty   ->   for each text {word: weight}, of the words in it

    weight = (how often the word comes in this text / words in this text) * log(number of texts / number of texts that have the word)
    """
'''

telling = Assigned(
    "01.A1",
    goal="which words tell?",
    minutes=12,
    text="Before there were embeddings, search engines weighed words by **TF-IDF** (Spärck Jones 1972): a word tells much about a text if it comes often *there* and in few *other* "
    "texts. `the` is everywhere and tells nothing: its weight is 0. The logarithm is the natural one.",
    cases=[
        [["the", "cat", "sat"], ["the", "dog"]],
        [["a", "a", "b"], ["a", "c", "c", "c"], ["d"]],
        [["x", "y", "x"]],
    ],
    hidden=[
        [["one"], ["one"], ["one", "two"]], [["a"] * 5 + ["b"], ["b"] * 3, ["c", "a"], ["c"]], [["p", "q"], ["r", "s", "s"], ["t"], ["p"], ["q", "q", "q", "p"]],
        [["w"], ["v", "w", "v", "w"], ["u", "v"]], [["k", "K", "k"], ["K"], ["m", "m"]],
    ],
    starter=TELLING + "    ...\n",
    solution=TELLING + '''    having = {word: sum(word in text for text in texts) for text in texts for word in text}
    weight = lambda word, text: text.count(word) / len(text) * math.log(len(texts) / having[word])
    return [{word: weight(word, text) for word in set(text)} for text in texts]
''',
    other_solutions=[
        "def telling(texts):\n    from collections import Counter\n    df = Counter(word for text in texts for word in set(text))\n    out = []\n    for text in texts:\n        tf = Counter(text)\n"
        "        out.append({w: n / len(text) * (math.log(len(texts)) - math.log(df[w])) for w, n in tf.items()})\n    return out\n",
        "def telling(texts):\n    vocab = sorted({w for t in texts for w in t})\n    counts = torch.tensor([[t.count(w) for w in vocab] for t in texts], dtype=torch.float64)\n"
        "    weights = counts / counts.sum(1, keepdim=True) * torch.log(len(texts) / (counts > 0).sum(0))\n    return [{w: weights[i, j].item() for j, w in enumerate(vocab) if counts[i, j]} for i in range(len(texts))]\n",
    ],
    explanation="The first factor asks how much of this text the word is, the second how few texts have it, whatever its number in them. A word of every text has log 1 = 0.",
    properties=[
        Property("not a weight for each word", '''def test(out, case):
    for n, (weights, text) in enumerate(zip(out, case)):
        if set(weights) != set(text):
            return f"Text {n} has the words {sorted(set(text))}; weights are there for {sorted(weights)}."
    return len(out) == len(case)
''', "Which words get a weight in which text?"),
        Property("a word of every text tells something", '''def test(out, case):
    everywhere = set(case[0]).intersection(*case)
    bad = [word for word in everywhere if abs(out[0][word]) > 1e-9]
    return not bad or f"{bad[0]!r} is in every text, and has the weight {out[0][bad[0]]:.4g}."
''', "What does a word tell that is everywhere?"),
    ],
    mistakes=[
        Mistake("not divided by the length", TELLING + "    df = {w: sum(w in t for t in texts) for t in texts for w in t}\n    return [{w: t.count(w) * math.log(len(texts) / df[w]) for w in t} for t in texts]\n",
                "Long texts get larger weights. By what is a count to be divided?"),
        Mistake("occurrences, not texts", TELLING + "    df = {w: sum(u.count(w) for u in texts) for t in texts for w in t}\n    return [{w: t.count(w) / len(t) * math.log(len(texts) / df[w]) for w in t} for t in texts]\n",
                "A word that comes three times in one text counts as three texts. What is to be counted?"),
        Mistake("one added", TELLING + "    df = {w: sum(w in t for t in texts) for t in texts for w in t}\n    return [{w: t.count(w) / len(t) * math.log(len(texts) / (1 + df[w])) for w in t} for t in texts]\n",
                "One is added to the number of texts, so a word of every text has a weight below 0. Which formula was asked for?"),
        Mistake("base 2", TELLING + "    df = {w: sum(w in t for t in texts) for t in texts for w in t}\n    return [{w: t.count(w) / len(t) * math.log2(len(texts) / df[w]) for w in t} for t in texts]\n",
                "The logarithm has base 2. Which one was asked for?"),
        Mistake("no logarithm", TELLING + "    df = {w: sum(w in t for t in texts) for t in texts for w in t}\n    return [{w: t.count(w) / len(t) * len(texts) / df[w] for w in t} for t in texts]\n",
                "A word of every text still has a weight. What is missing around the ratio?"),
        Mistake("the frequency alone", TELLING + "    return [{w: t.count(w) / len(t) for w in t} for t in texts]\n",
                "Only this text is looked at. What do the others say about the word?"),
    ],
)  # fmt: skip

# -- 01.A2 one author's letters priced by another's -----------------------------------------------------------------------

priced = Assigned(
    "01.A2",
    goal="one author's letters, priced by another's",
    minutes=15,
    text="Shannon measured texts in bits in 1948, seventy years before GPT-2, and the measure has stayed. Learn how often letters come from "
    "`load(\"shakespeare\").train[one : one + 8000]`, then price `load(\"austen\").train[other : other + 8000]` with it, your own numbers.\n\nTake both texts in small letters and keep "
    "the 26 letters a to z alone (drop all else). A letter's probability is (its count + 1) / (number of letters + 26). Give the mean of −log2 of the probability over the letters of "
    "Austen's slice: the **bits per letter**.",
    starter='''mine = variant("01.A2")  # your numbers
bits_per_letter = ...  # a float
''',
    solution='''import math
from collections import Counter
from string import ascii_lowercase

from fmcourse.data import load


def bits_per_letter(mine):
    letters = lambda text: [c for c in text.lower() if c in ascii_lowercase]
    learnt = letters(load("shakespeare").train[mine["one"] : mine["one"] + 8000])
    asked = letters(load("austen").train[mine["other"] : mine["other"] + 8000])
    counts = Counter(learnt)
    return sum(-math.log2((counts[c] + 1) / (len(learnt) + 26)) for c in asked) / len(asked)
''',
    other_solutions=['''def bits_per_letter(mine):
    import torch
    from fmcourse.data import load
    def counted(text):
        codes = torch.tensor([ord(c) - 97 for c in text.lower() if "a" <= c <= "z"])
        return torch.bincount(codes, minlength=26).double()
    p = counted(load("shakespeare").train[mine["one"]:][:8000]) + 1
    q = counted(load("austen").train[mine["other"]:][:8000])
    return float(-(q / q.sum() * (p / p.sum()).log2()).sum())
'''],
    vary=lambda draw: {"one": draw.randrange(0, 400_000), "other": draw.randrange(0, 300_000)},
    explanation="It is the cross-entropy of Austen's letters under Shakespeare's: a little more than their own entropy, and less than log2 26 = 4.70, because English is English.",
    properties=[Property("not bits of a letter", "def test(out, case):\n    return 3.9 < out < 4.7 or f'Letters of English cost between 3.9 and 4.7 bits each; yours cost {out:.4g}.'\n", "What would it be if all 26 came equally often?")],
    mistakes=[
        Mistake("in nats", '''def bits_per_letter(mine):
    import math
    from collections import Counter
    from fmcourse.data import load
    letters = lambda text: [c for c in text.lower() if "a" <= c <= "z"]
    learnt, asked = letters(load("shakespeare").train[mine["one"]:][:8000]), letters(load("austen").train[mine["other"]:][:8000])
    n = Counter(learnt)
    return sum(-math.log((n[c] + 1) / (len(learnt) + 26)) for c in asked) / len(asked)
''', "That is in nats. Which logarithm makes bits?"),
        Mistake("priced by itself", '''def bits_per_letter(mine):
    import math
    from collections import Counter
    from fmcourse.data import load
    asked = [c for c in load("austen").train[mine["other"]:][:8000].lower() if "a" <= c <= "z"]
    n = Counter(asked)
    return sum(-math.log2((n[c] + 1) / (len(asked) + 26)) for c in asked) / len(asked)
''', "Austen is priced by her own letters. From whom was to be learnt?"),
        Mistake("the other way round", '''def bits_per_letter(mine):
    import math
    from collections import Counter
    from fmcourse.data import load
    letters = lambda text: [c for c in text.lower() if "a" <= c <= "z"]
    asked, learnt = letters(load("shakespeare").train[mine["one"]:][:8000]), letters(load("austen").train[mine["other"]:][:8000])
    n = Counter(learnt)
    return sum(-math.log2((n[c] + 1) / (len(learnt) + 26)) for c in asked) / len(asked)
''', "Shakespeare is priced by Austen. Who was to be priced?"),
        Mistake("the mean over 26", '''def bits_per_letter(mine):
    import math
    from collections import Counter
    from fmcourse.data import load
    learnt = [c for c in load("shakespeare").train[mine["one"]:][:8000].lower() if "a" <= c <= "z"]
    n = Counter(learnt)
    return sum(-math.log2((n[c] + 1) / (len(learnt) + 26)) for c in "abcdefghijklmnopqrstuvwxyz") / 26
''', "Each of the 26 counts the same. How often does each come in Austen?"),
        Mistake("all 8000 characters", '''def bits_per_letter(mine):
    import math
    from collections import Counter
    from fmcourse.data import load
    letters = lambda text: [c for c in text.lower() if "a" <= c <= "z"]
    learnt, asked = letters(load("shakespeare").train[mine["one"]:][:8000]), letters(load("austen").train[mine["other"]:][:8000])
    n = Counter(learnt)
    return sum(-math.log2((n[c] + 1) / (len(learnt) + 26)) for c in asked) / 8000
''', "The sum is divided by all characters, also those that were dropped. Over what is the mean?"),
    ],
)  # fmt: skip
