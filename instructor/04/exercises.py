"""Assigned in lesson 04: the cheapest way to spell a word, and what a stranger's tokenizer costs."""

from fmcourse.classroom.exercise_kinds import AssignedExercise
from fmcourse.course.exercise import IMPORTS, Mistake, Property

# -- 04.A1 the cheapest segmentation ------------------------------------------------------------------------------------

CHEAPEST = '''def cheapest(word, price):
    """The pieces that spell a word at the lowest price, from left to right.

    word: a text of 1 to 60 characters   price: {piece: what it costs, above 0}
    ->   a list of pieces, or None if no pieces spell the word

    The price of a segmentation is the sum of the prices of its pieces; a piece may come several times, and each time it
    costs. In all cases that are tried, only one segmentation is the cheapest.
    """
'''


def building(choice, last="best[len(word)][1] if len(word) in best else None"):
    """A near miss that goes on from the left as the answer does: `ways` are (price, pieces) up to `end`."""
    return (
        "def cheapest(word, price):\n    best = {0: (0.0, [])}\n    for end in range(1, len(word) + 1):\n"
        "        ways = [(best[a][0] + price[word[a:end]], best[a][1] + [word[a:end]]) for a in range(end) if a in best and word[a:end] in price]\n"
        f"        if ways:\n            best[end] = {choice}\n    return {last}\n"
    )


def greedy(choice):
    """A near miss that takes piece after piece: `fits` are those that fit at `at`."""
    return (
        "def cheapest(word, price):\n    found, at = [], 0\n    while at < len(word):\n        fits = [p for p in price if word.startswith(p, at)]\n"
        f"        if not fits:\n            return None\n        found.append({choice})\n        at += len(found[-1])\n    return found\n"
    )


TIED = {"un": 3.0, "unt": 4.0, "tie": 3.0, "ie": 6.0, "d": 2.0}
LOWER = {
    "l": 3.0, "o": 2.5, "w": 2.7, "e": 1.5, "r": 1.8, "lo": 3.8, "low": 4.6, "we": 2.2, "er": 2.0, "wer": 4.4, "st": 2.1, "s": 2.0, "t": 1.6, "owe": 4.2
}  # fmt: skip
SEA = {
    "s": 2.1, "e": 1.3, "a": 1.7, "h": 2.4, "l": 2.6, "sh": 2.2, "sea": 3.6, "shell": 7.9, "ells": 5.1, "he": 2.3, "el": 2.9, "ell": 4.3, "as": 3.0
}  # fmt: skip
RIVER = {
    "m": 3.1, "i": 1.9, "s": 1.5, "p": 2.8, "ss": 2.6, "is": 3.2, "iss": 3.9, "mis": 5.5, "miss": 5.6, "issi": 5.0, "sip": 5.2, "pi": 4.4, "ppi": 5.9, "ssi": 4.1
}  # fmt: skip
BITS = {"0": 1.03, "1": 1.17, "00": 1.71, "01": 1.92, "11": 2.09, "010": 2.74, "1101": 3.58, "00110": 4.61}

spelling = AssignedExercise(
    "04.A1",
    goal="the cheapest way to spell it",
    minutes=20,
    difficulty=3,
    text="BPE joins in a fixed order and never looks back. Another tokenizer in wide use, **Unigram** (Kudo 2018; T5 and XLNet have it), looks at the whole word. Each piece has a price, "
    "−log of how probable it is, and of all ways to write the word in pieces, its *segmentations*, it takes the one with the lowest *total* price: the most probable one.\n\n"
    "*Example.* With `un` 3, `unt` 4, `tie` 3, `ie` 6 and `d` 2 there are two ways to spell `untied`: `un tie d` costs 8, `unt ie d` costs 12.\n\n"
    "A word of 60 letters can be cut in 2⁵⁹ ways, too many to try them all. But the cheapest segmentation ends in *some* piece, and what stands before that piece is spelt as cheaply as it can be. "
    "So find the cheapest segmentation of the first letter, of the first two, of the first three, ..., each with the help of those before it. (Viterbi's algorithm, 1967.)",
    cases=[
        ("untied", TIED),
        ("unties", TIED),
        ("ab", {"a": 1.0, "b": 3.0, "ab": 2.5}),
        ("abc", {"a": 1.0, "ab": 1.2, "bc": 2.5, "b": 0.9, "c": 0.8}),
        ("lower", LOWER),
        ("banana", {"b": 2.0, "a": 1.0, "n": 1.5, "an": 1.8, "ana": 2.2, "na": 2.1, "ban": 4.9}),
    ],
    hidden=[
        ("q", {"q": 9.0}),
        ("q", {"u": 1.0}),
        ("tune", TIED),
        ("lowest", LOWER),
        ("slower", LOWER),
        ("seashells", SEA),
        ("mississippi", RIVER),
        ("abc", {"ab": 1.0, "bc": 1.0, "a": 5.0}),
        ("abcd", {"ab": 0.1, "abc": 4.0, "d": 1.0, "cde": 1.0}),
        ("0010101000110110101001100", BITS),
        ("011011011010100011111110010100001110111000011010010110000001", BITS),
        ("abcdef", {"abcdef": 5.5, "abc": 2.6, "def": 2.7, "a": 1.0, "b": 1.0, "c": 1.0, "d": 1.0, "e": 1.0, "f": 1.0}),
    ],
    starter=CHEAPEST + "    ...\n",
    solution=CHEAPEST + '''    best = {0: (0.0, [])}  # how many letters -> the cheapest way to spell them: price, pieces
    for end in range(1, len(word) + 1):
        for begin in range(end):
            piece = word[begin:end]
            if begin in best and piece in price:
                cost = best[begin][0] + price[piece]
                if end not in best or cost < best[end][0]:
                    best[end] = cost, [*best[begin][1], piece]
    return best[len(word)][1] if len(word) in best else None
''',
    other_solutions=[
        building("min(ways)"),
        "from functools import cache\ndef cheapest(word, price):\n    @cache\n    def rest(at):\n        if at == len(word):\n            return 0.0, ()\n"
        "        ways = [(price[p] + rest(at + len(p))[0], (p, *rest(at + len(p))[1])) for p in price if word.startswith(p, at)]\n"
        "        return min(ways, default=(math.inf, ()))\n    total, pieces = rest(0)\n    return None if math.isinf(total) else list(pieces)\n",
        "import heapq\ndef cheapest(word, price):\n    queue, done = [(0.0, 0, [])], set()\n    while queue:\n        cost, at, pieces = heapq.heappop(queue)\n"
        "        if at == len(word):\n            return pieces\n        if at not in done:\n            done.add(at)\n            for p in price:\n"
        "                if word[at:at + len(p)] == p:\n                    heapq.heappush(queue, (cost + price[p], at + len(p), pieces + [p]))\n    return None\n",
    ],
    explanation="For each beginning of the word only its cheapest segmentation is kept: whatever follows, a dearer one could never win. With T letters about T² / 2 pieces are looked up instead of 2^(T-1) segmentations tried. "
    "Where no piece reaches an end, that end has no entry, and nothing can be built upon it.",
    properties=[
        Property("it does not spell the word", '''def test(out, case):
    word, price = case
    if out is None:
        return not all(letter in price for letter in word) or f"It says that no pieces spell {word!r}. Each of its letters is a piece."
    strange = [piece for piece in out if piece not in price]
    if strange:
        return f"For {word!r} it uses {strange[0]!r}, which is no piece."
    return "".join(out) == word or f"The pieces spell {''.join(out)!r}; the word is {word!r}."
''', "What do the pieces say, one after the other?"),
        Property("dearer than need be", '''def test(out, case):
    word, price = case
    if out is None:
        return word not in price
    total = sum(price.get(piece, 0) for piece in out)
    letters = sum(price[letter] for letter in word) if all(letter in price for letter in word) else total
    if total > letters + 1e-9:
        return f"Its pieces for {word!r} cost {total:.4g}; letter by letter it would be {letters:.4g}."
    return total <= price.get(word, total) + 1e-9 or f"Its pieces for {word!r} cost {total:.4g}; the whole word is a piece, and costs {price[word]:.4g}."
''', "Which price is to be low?"),
    ],
    mistakes=[
        Mistake("the longest piece first", greedy("max(fits, key=len)"),
                "It takes the longest piece that fits, as WordPiece does, and `untied` costs 12. What may a long piece leave for the rest?"),
        Mistake("the cheapest piece first", greedy("min(fits, key=price.get)"),
                "It takes the piece that is cheapest by itself. Is the sum of the prices low, too?"),
        Mistake("the cheapest letter first", greedy("min(fits, key=lambda p: price[p] / len(p))"),
                "It takes the piece that costs least per letter, and never looks further. What may that leave for the rest?"),
        Mistake("the fewest pieces", building("min(ways, key=lambda way: (len(way[1]), way[0]))"),
                "It takes as few pieces as it can. Are fewer pieces always cheaper?"),
        Mistake("the dearest", building("max(ways)"),
                "It takes the dearest segmentation. Has a probable piece a high price, or a low one?"),
        Mistake("the mean price", building("min(ways, key=lambda way: way[0] / len(way[1]))"),
                "It looks for a low price *per piece*, so many small pieces seem cheap. What is the price of a segmentation?"),
        Mistake("the last piece alone", building("min(ways, key=lambda way: price[way[1][-1]])"),
                "It asks only what the last piece costs. What of the pieces before it?"),
        Mistake("at most two pieces", "def cheapest(word, price):\n    ways = [(price[word], [word])] if word in price else []\n    for i in range(1, len(word)):\n        a, b = word[:i], word[i:]\n"
                "        if a in price and b in price:\n            ways.append((price[a] + price[b], [a, b]))\n    return min(ways)[1] if ways else None\n",
                "It cuts once at most. In how many pieces is `untied` spelt?"),
        Mistake("joined as BPE does", "def cheapest(word, price):\n    pieces = list(word)\n    while True:\n        joins = [(price[a + b] - price.get(a, 99) - price.get(b, 99), i) for i, (a, b) in enumerate(zip(pieces, pieces[1:])) if a + b in price]\n"
                "        if not joins or min(joins)[0] >= 0:\n            break\n        i = min(joins)[1]\n        pieces[i:i + 2] = [pieces[i] + pieces[i + 1]]\n    return pieces if all(p in price for p in pieces) else None\n",
                "It begins with letters and joins neighbours as long as that saves something. Which long pieces can it never reach on that way?"),
        Mistake("something, even so", building("min(ways)", last="best[max(best)][1]"),
                "Where the word cannot be spelt it gives the pieces of a part of it. What was to come back then?"),
        Mistake("an empty list for nothing", building("min(ways)", last="best[len(word)][1] if len(word) in best else []"),
                "Where the word cannot be spelt it gives an empty list, which spells the empty word. What was to come back then?"),
        Mistake("the longest piece that works", "def cheapest(word, price):\n    if not word:\n        return []\n    for n in range(len(word), 0, -1):\n        rest = cheapest(word[n:], price) if word[:n] in price else None\n        if rest is not None:\n            return [word[:n], *rest]\n    return None\n",
                "It takes the longest piece after which the rest can be spelt at all, so `untied` costs 12. Where are prices compared?"),
        Mistake("the first way stays", building("ways[0]"),
                "For each beginning of the word the first segmentation that was found is kept. And if a cheaper one comes later?"),
        Mistake("the last way stays", building("ways[-1]"),
                "For each beginning of the word the last segmentation that was found is kept. And if an earlier one was cheaper?"),
        Mistake("as few pieces as can be", building("min(ways, key=lambda way: len(way[1]))"),
                "It takes as few pieces as it can, whatever they cost. What is to be low?"),
        Mistake("never in one piece", building("min(ways)").replace("for a in range(end)", "for a in range(end == len(word) > 1, end)"),
                "A word that is a piece itself is cut all the same. May a segmentation have a single piece?"),
    ],
)  # fmt: skip

# -- 04.A2 a stranger's tokenizer -----------------------------------------------------------------------------------------

COLLECTIONS = ["shakespeare", "austen", "recipes", "bible"]


def two_collections(draw):
    """Another reader, another text and another size for each student."""
    read = draw.choice(COLLECTIONS[:3])  # a Bible tokenizer is not always the best for the Bible
    learnt = draw.choice([name for name in COLLECTIONS if name != read])
    return {"learnt": learnt, "read": read, "first": draw.randrange(0, 2_000_000), "size": draw.randrange(600, 1000),
            "start": draw.randrange(0, 190_000)}  # fmt: skip


def readers(body, size="size"):
    """A near miss: `stranger` and `native` are the tokenizers, `text` is what both read, `n` counts tokens."""
    return (
        "def premium_of_a_stranger(mine):\n    from fmcourse.data import load\n    from fmcourse.tokenizers import BPETokenizer\n"
        '    first, size, start = mine["first"], mine["size"], mine["start"]\n    piece = lambda name: load(name).train[first:][:80_000]\n'
        f"    stranger, native = (BPETokenizer.train(piece(mine[who]), {size}) for who in ('learnt', 'read'))\n"
        '    text = load(mine["read"]).validation[start:][:30_000]\n    n = lambda tokenizer, text: len(tokenizer.encode(text))\n'
        f"    {body}\n"
    )


premium = AssignedExercise(
    "04.A2",
    goal="what does a stranger's tokenizer cost?",
    minutes=12,
    text="A tokenizer fits the texts that it was trained on; texts of another kind need more tokens. How many more? Let two tokenizers encode *one* text: a stranger's, which was trained on something else, and a native one, which was trained on texts "
    "of that kind. The stranger's number of tokens divided by the native's is called the **premium** (Petrov et al. 2023). With a premium of 1.5 every text is half as long again, in tokens, in time and in price.\n\n"
    "Your numbers name two collections, `learnt` and `read`. Train two tokenizers, each with `size` tokens in all, by `BPETokenizer.train(piece, size)`. The stranger's piece is `load(learnt).train[first : first + 80_000]`, "
    "the native's is `load(read).train[first : first + 80_000]`. Then each encodes `load(read).validation[start : start + 30_000]`, in one call and as it stands. What is the premium?"
    "\n\nGive it unrounded: the first five digits must be right.",
    imports=IMPORTS + "from fmcourse.data import load\nfrom fmcourse.tokenizers import BPETokenizer\n",
    starter='''mine = variant("04.A2")  # your numbers
premium_of_a_stranger = ...  # a float
''',
    solution='''from fmcourse.data import load
from fmcourse.tokenizers import BPETokenizer


def premium_of_a_stranger(mine):
    text = load(mine["read"]).validation[mine["start"] : mine["start"] + 30_000]
    tokens = {}
    for name in (mine["learnt"], mine["read"]):
        piece = load(name).train[mine["first"] : mine["first"] + 80_000]
        tokens[name] = len(BPETokenizer.train(piece, mine["size"]).encode(text))
    return tokens[mine["learnt"]] / tokens[mine["read"]]
''',
    other_solutions=['''def premium_of_a_stranger(mine):
    from fmcourse import data, tokenizers
    one, two = data.load(mine["learnt"]), data.load(mine["read"])
    cut = slice(mine["first"], mine["first"] + 80_000)
    unseen = two.validation[mine["start"]:][:30_000]
    carried = [len(unseen.encode()) / len(tokenizers.BPETokenizer.train(c.train[cut], vocab_size=mine["size"]).encode(unseen)) for c in (two, one)]
    return carried[0] / carried[1]
''', '''def premium_of_a_stranger(mine):
    from collections import Counter
    from fmcourse.data import load
    from fmcourse.tokenizers.bpe import learn_merges, pretokenizer_pattern
    words, gap = pretokenizer_pattern("gpt2").findall, chr(9999)
    def tokens(name):
        sign = {bytes([byte]): chr(byte) for byte in range(256)}      # each token is written as one character
        text = gap.join(word.encode().decode("latin-1") for word in words(load(mine["read"]).validation[mine["start"]:][:30_000]))
        for left, right in learn_merges(Counter(words(load(name).train[mine["first"]:][:80_000])), mine["size"]):
            sign[left + right] = chr(len(sign))
            text = text.replace(sign[left] + sign[right], sign[left + right])
        return len(text) - text.count(gap)
    return tokens(mine["learnt"]) / tokens(mine["read"])
'''],
    vary=two_collections,
    explanation="All of it is English, and yet the stranger needs up to half as many tokens again: a vocabulary is a bet on which pieces will come, and merges go to what one's own texts repeat. Between languages the same "
    "measure goes far beyond that, as the lesson's Tamil showed. The sizes must be equal, or one would compare vocabularies and not tastes.",
    properties=[Property("no premium", "def test(out, case):\n    return 1 < out < 3 or f'Who learnt from texts of that kind needs fewer tokens for them, so a premium is above 1; yours is {out:.4g}.'\n",
                         "Whose count stands above the line?")],
    mistakes=[
        Mistake("upside down", readers("return n(native, text) / n(stranger, text)"),
                "It is the native's count divided by the stranger's. Who pays more?"),
        Mistake("two texts, one tokenizer", readers('home = load(mine["learnt"]).validation[start:][:30_000]; return n(stranger, text) / n(stranger, home)'),
                "One tokenizer read two texts. But might one text be longer in words than the other? What must be equal for a fair comparison?"),
        Mistake("the text it learnt from", readers("text = piece(mine['read']); return n(stranger, text) / n(native, text)"),
                "Both read the piece that the native one had learnt from. Is that fair to the stranger?"),
        Mistake("roles swapped", readers('text = load(mine["learnt"]).validation[start:][:30_000]; return n(native, text) / n(stranger, text)'),
                "Native and stranger have changed places. Whose text is to be read?"),
        Mistake("only what comes on top", readers("return n(stranger, text) / n(native, text) - 1"),
                "That is how much more it is, 0.2 where the premium is 1.2. What is divided by what?"),
        Mistake("a difference", readers("return float(n(stranger, text) - n(native, text))"),
                "That is how many tokens more. By what is it to be compared?"),
        Mistake("each kind of token once", readers("return len(set(stranger.encode(text))) / len(set(native.encode(text)))"),
                "Each token counts once, however often it comes. What does a reader pay for?"),
        Mistake("as many merges as tokens", readers("return n(stranger, text) / n(native, text)", size="size + 256"),
                "Each has 256 tokens more than `size`: the single bytes. Do they count as tokens?"),
        Mistake("the first of all", readers("return n(stranger, text) / n(native, text)").replace("[first:]", ""),
                "Both learnt from the beginning of the collections. Where do your pieces begin?"),
        Mistake("the first of the unseen", readers("return n(stranger, text) / n(native, text)").replace("[start:]", ""),
                "Both read the beginning of the unseen text. Where does your text begin?"),
        Mistake("all of the unseen", readers("return n(stranger, text) / n(native, text)").replace("[:30_000]", ""),
                "Both read to the end of the unseen text. How many characters are yours?"),
        Mistake("text for training", readers("return n(stranger, text) / n(native, text)").replace(".validation[start:]", ".train[start:]"),
                "Both read a text from the training split. Which split was to be read?"),
        Mistake("the stranger at home", readers("text = load(mine[\"learnt\"]).validation[start:][:30_000]; return n(stranger, text) / n(native, text)"),
                "Both read a text of the kind from which the stranger learnt. Whose text is to be read?"),
        Mistake("each its own text", readers("home = load(mine[\"learnt\"]).validation[start:][:30_000]; return n(stranger, home) / n(native, text)"),
                "Each read a text of its own kind. How many texts are to be read?"),
    ],
)  # fmt: skip
