"""Lesson 17b: passages of whole sentences, BM25, fused rankings, and how good a ranking is."""

import random

from fmcourse.course.exercise import Exercise, Mistake, Property

# -- 17b.1 passages -------------------------------------------------------------------------------------------------------

CHUNK = '''def chunk(sentences, n_words, overlap):
    """A text as passages of whole sentences, in order.

    sentences: list of texts   n_words: at least 1   overlap: at least 0
    A passage takes up sentences as long as it has at most n_words words, as `.split()` counts them; a single sentence
    that is longer is a passage of its own. The next passage begins with the last `overlap` sentences of the one before
    it, or, if its first new sentence would not fit behind them, with as many of the last as fit; then come new ones.
    Returns: list of texts, the sentences of a passage joined by one space.
    """
'''
CHUNK_LINE = "def chunk(sentences, n_words, overlap):\n"


def some_sentences(seed: int, n: int, longest: int) -> list[str]:
    """Sentences of one to `longest` words, each word its own."""
    draw = random.Random(seed)
    return [" ".join(f"{'abcdefghijklmnopqrstuvwxyz'[i % 26]}{j}" for j in range(draw.randint(1, longest))) + "." for i in range(n)]  # fmt: skip


def chunked(
    room="size([*chunks[-1], sentence]) <= n_words",
    shared="chunks[-1][-overlap:] if chunks and overlap else []",
    fits="size([*shared, sentence]) > n_words",
    drop="shared = shared[1:]",
    new="[*shared, sentence]",
    size="sum(len(one.split()) for one in some)",
    back="return [' '.join(one) for one in chunks]",
    over="sentences",
):
    """A near miss: one part of the answer replaced."""
    return (
        f"{CHUNK_LINE}    size = lambda some: {size}\n    chunks = []\n    for sentence in {over}:\n"
        f"        if chunks and {room}:\n            chunks[-1].append(sentence)\n            continue\n"
        f"        shared = {shared}\n        while shared and {fits}:\n            {drop}\n        chunks.append({new})\n    {back}\n"
    )


def not_too_long(out: list, case: tuple) -> bool | str:
    sentences, n_words, _ = case
    long = [one for one in out if len(one.split()) > n_words and one not in sentences]
    return (
        not long or f"With n_words={n_words} this passage of several sentences has {len(long[0].split())}: {long[0]!r}."
    )


def every_sentence(out: list, case: tuple) -> bool | str:
    text = " ".join(out)
    missing = [one for one in case[0] if one not in text]
    return not missing or f"{missing[0]!r} stands in no passage."


chunker = Exercise(
    "17b.1",
    goal="cut a text into passages",
    minutes=12,
    difficulty=2,
    cases=[
        (["a b.", "c d.", "e f."], 4, 0),
        (["a b.", "c d.", "e f."], 4, 1),
        (["a.", "b.", "c.", "d.", "e."], 3, 2),
        (["a.", "b.", "c.", "d.", "e."], 3, 7),
        (["a b.", "c d e.", "f.", "g h i j."], 5, 2),
        (["a b c d e f.", "g.", "h i j k l.", "m."], 3, 1),
        (["a b  c.", "d."], 4, 1),
        ([], 5, 1),
        (["a.", "b."], 1, 1),
        (["a a a.", "b b b.", "c c.", "d."], 5, 1),
        (["a.", "b.", "a.", "b.", "a.", "b."], 2, 1),
        (some_sentences(1, 14, 6), 12, 2),
        (some_sentences(2, 12, 9), 10, 3),
        (some_sentences(3, 10, 4), 7, 0),
    ],
    starter=CHUNK + "    ...\n",
    solution=CHUNK
    + """    def size(some):
        return sum(len(sentence.split()) for sentence in some)

    passages = []
    for sentence in sentences:
        if passages and size([*passages[-1], sentence]) <= n_words:
            passages[-1].append(sentence)
            continue
        shared = passages[-1][-overlap:] if passages and overlap else []  # [-0:] would be all of them
        while shared and size([*shared, sentence]) > n_words:
            shared = shared[1:]
        passages.append([*shared, sentence])
    return [" ".join(passage) for passage in passages]
""",
    other_solutions=[
        CHUNK_LINE + "    words = [len(sentence.split()) for sentence in sentences]\n    spans, start, end = [], 0, 0\n    while end < len(sentences):\n"
        "        new = end\n        start = max(start, new - overlap)\n        while start < new and sum(words[start : new + 1]) > n_words:\n            start += 1\n"
        "        end = new + 1\n        while end < len(sentences) and sum(words[start : end + 1]) <= n_words:\n            end += 1\n"
        "        spans.append(slice(start, end))\n    return [' '.join(sentences[span]) for span in spans]\n",
        CHUNK_LINE + "    from collections import deque\n    waiting, passage, out = deque(sentences), [], []\n    count = lambda text: len(text.split())\n"
        "    while waiting:\n        taken = [waiting.popleft()]\n        left = n_words - count(taken[0])\n        tail = []\n"
        "        for old in reversed(passage[max(0, len(passage) - overlap):]):\n            if count(old) > left:\n                break\n"
        "            tail.insert(0, old)\n            left -= count(old)\n"
        "        while waiting and count(waiting[0]) <= left:\n            left -= count(waiting[0])\n            taken.append(waiting.popleft())\n"
        "        passage = tail + taken\n        out.append(' '.join(passage))\n    return out\n",
    ],
    hints=[
        "Read sentence by sentence. Each either still fits into the passage that you are filling, or it begins the next one. What stands before it there?",
        "Keep a list of passages, each a list of sentences. If the sentence does not fit, take the last `overlap` sentences of the last passage, and drop the first of them until it fits.",
        "`passages[-1][-overlap:]` are the last ones, but `[-0:]` is the whole list: treat 0 apart. `while shared and size([*shared, sentence]) > n_words: shared = shared[1:]`.",
    ],
    explanation="A passage is what is found and read, so it should hold a thought and no more: too long and its embedding is a mixture, too short and its pronouns refer to nothing. The overlap keeps "
    "together two sentences that belong together and would otherwise stand on both sides of a cut.",
    properties=[
        Property("a passage that is too long", not_too_long, "What is dropped where the new sentence does not fit behind the old ones?"),
        Property("a sentence is lost", every_sentence, "What becomes of the sentence that did not fit?"),
    ],
    mistakes=[
        Mistake("no overlap", chunked(shared="[]"),
                "Each passage begins with a new sentence. How many old ones stand before it?"),
        Mistake("an overlap of 0 is everything", chunked(shared="chunks[-1][-overlap:] if chunks else []"),
                "With overlap=0 old sentences came back: `[-0:]` is the whole list. Which case has to be treated apart?"),
        Mistake("all that fits is repeated", chunked(shared="chunks[-1] if chunks and overlap else []"),
                "As many old sentences as fit were repeated. How many at most?"),
        Mistake("the first ones are repeated", chunked(shared="chunks[-1][:overlap] if chunks else []"),
                "The next passage began with the first sentences of the one before it. Which ones stand next to the cut?"),
        Mistake("an overlap of words", chunked(shared="[' '.join(' '.join(chunks[-1]).split()[-overlap:])] if chunks and overlap else []"),
                "Half a sentence was repeated. What does `overlap` count?"),
        Mistake("always one", chunked(shared="chunks[-1][-1:] if chunks and overlap else []"),
                "With overlap=2 one sentence was repeated. What does the argument say?"),
        Mistake("the overlap makes it too long", chunked(fits="False"),
                "The old sentences and the new one together have more than n_words words. Which of them give way?"),
        Mistake("all of the overlap or nothing", chunked(drop="shared = []"),
                "Since not all old sentences fit, none was repeated. What if only the last of them does?"),
        Mistake("the last of the overlap goes first", chunked(drop="shared = shared[:-1]"),
                "The sentence next to the cut was dropped, and one further away stayed. From which end are they dropped?"),
        Mistake("fewer than n_words", chunked(room="size([*chunks[-1], sentence]) < n_words", fits="size([*shared, sentence]) >= n_words"),
                "A passage with exactly n_words words was not allowed. How many may it have?"),
        Mistake("one sentence too many", chunked(room="size(chunks[-1]) < n_words"),
                "A sentence was added as long as there was any room, whether it fits or not. When may it be added?"),
        Mistake("letters for words", chunked(size="sum(len(one) for one in some)"),
                "The length was counted in characters. Of what are there n_words?"),
        Mistake("sentences for words", chunked(size="len(some)"),
                "Each passage got n_words sentences. Of what are there so many?"),
        Mistake("single spaces count", chunked(size="sum(len(one.split(' ')) for one in some)"),
                "Two spaces between words were counted as a word. How does `.split()` differ from `.split(' ')`?"),
        Mistake("the sentence that did not fit is lost", chunked(new="shared or [sentence]"),
                "The next passage began without the sentence for which it was begun. Where does it go?"),
        Mistake("long sentences are left out", chunked(over="[one for one in sentences if len(one.split()) <= n_words]"),
                "A sentence with more than n_words words has disappeared. What is a passage of its own?"),
        Mistake("long sentences are cut", chunked(over="[' '.join(one.split()[:n_words]) for one in sentences]"),
                "Behind n_words words a sentence was cut off. What is a passage of its own?"),
        Mistake("a fixed grid of words", CHUNK_LINE + "    words = ' '.join(sentences).split()\n    return [' '.join(words[i : i + n_words]) for i in range(0, len(words), n_words)]\n",
                "Passages end in the middle of sentences. Of what are they made?"),
        Mistake("a sentence that stands twice is taken once", chunked(over="dict.fromkeys(sentences)"),
                "A sentence that comes again later was left out there. Is it part of the text?"),
        Mistake("the last passage is lost", chunked(back="return [' '.join(one) for one in chunks[:-1]]"),
                "What was being filled at the end was never added. What follows the loop?"),
        Mistake("joined without a space", chunked(back="return [''.join(one) for one in chunks]"),
                "The sentences of a passage stick together. What stands between them?"),
        Mistake("lists for texts", chunked(back="return chunks"),
                "Each passage is a list of sentences. What is a passage?"),
    ],
)  # fmt: skip

# -- 17b.2 rare words count more ------------------------------------------------------------------------------------------

BM25 = '''def bm25_scores(query, documents, k1, b):
    """How well each document fits a query, by the words that they share: BM25.

    score = sum over the words w of the query of   idf(w) * tf / (tf + k1 * (1 - b + b * length / mean length))
    tf: how often w stands in the document; length: how many words it has; idf(w) = ln(1 + (N - n + 0.5) / (n + 0.5)),
    where n of the N documents hold w. A word that stands twice in the query counts twice.

    query: list of words   documents: list of lists of words, none empty   k1: above 0   b: from 0 to 1
    Returns: a list of floats, one for each document.
    """
'''
BM25_LINE = "def bm25_scores(query, documents, k1, b):\n"
DOCS = [
    ["the", "cat", "sat", "on", "the", "mat"],
    ["the", "dog", "bit", "the", "cat", "and", "the", "cat", "ran"],
    ["dogs", "run"],
    ["mat", "mat", "mat", "mat"],
    ["the", "end"],
]


def some_documents(seed: int, n: int) -> list[list[str]]:
    """Documents of different lengths; "a" stands in most, "h" in few."""
    draw = random.Random(seed)
    return [draw.choices("abcdefgh", weights=[8, 6, 4, 3, 2, 2, 1, 1], k=draw.randint(2, 30)) for _ in range(n)]


def scored(
    words="query",
    tf="document.count(word)",
    n="sum(word in other for other in documents)",
    idf="math.log(1 + (N - n + 0.5) / (n + 0.5))",
    length="len(document) / mean",
    part="tf / (tf + k1 * (1 - b + b * length))",
    mean="sum(map(len, documents)) / N",
    back="return scores",
    term="idf * part",
):
    """A near miss: one part of the formula replaced."""
    return (
        f"{BM25_LINE}    N = len(documents)\n    mean = {mean}\n    scores = []\n    for document in documents:\n        score = 0.0\n"
        f"        for word in {words}:\n            n, tf, length = {n}, {tf}, {length}\n            idf = {idf}\n            part = {part}\n"
        f"            score += {term}\n        scores.append(score)\n    {back}\n"
    )


def nothing_shared(out: list, case: tuple) -> bool | str:
    query, documents, *_ = case
    wrong = [n for n, document in enumerate(documents) if not set(query) & set(document) and out[n] != 0]
    return not wrong or f"Document {wrong[0]} holds no word of the query {query}, and its score is {out[wrong[0]]:.4g}."


def never_negative(out: list, case: tuple) -> bool | str:
    return min(out) > -1e-9 or f"For the query {case[0]} a score is {min(out):.4g}; with this idf none is below 0."


bm25 = Exercise(
    "17b.2",
    goal="search by words: BM25",
    minutes=12,
    difficulty=2,
    cases=[
        (["cat"], DOCS, 1.5, 0.75),
        (["the", "cat"], DOCS, 1.5, 0.75),
        (["mat", "mat", "dogs"], DOCS, 1.2, 0.5),
        (["unicorn"], DOCS, 1.5, 0.75),
        (["the", "unicorn", "ran"], DOCS, 2.0, 0.0),
        (["cat", "mat"], DOCS, 0.5, 1.0),
        ([], DOCS[:2], 1.5, 0.75),
        (["at"], [["a", "cat"], ["at", "home"], ["hat"]], 1.5, 0.75),
        (["a", "h", "c", "h"], some_documents(1, 9), 1.5, 0.75),
        (["b", "g"], some_documents(2, 6), 0.9, 0.4),
        (["a", "a", "f"], some_documents(3, 7), 3.0, 0.9),
        (["one"], [["one", "two", "three"]], 1.5, 0.75),
    ],
    starter=BM25 + "    ...\n",
    solution=BM25
    + """    N, mean = len(documents), sum(map(len, documents)) / len(documents)
    scores = [0.0] * N
    for word in query:
        n = sum(word in document for document in documents)
        idf = math.log(1 + (N - n + 0.5) / (n + 0.5))
        for i, document in enumerate(documents):
            tf = document.count(word)
            scores[i] += idf * tf / (tf + k1 * (1 - b + b * len(document) / mean))
    return scores
""",
    other_solutions=[
        BM25_LINE + "    from collections import Counter\n    counts = [Counter(document) for document in documents]\n    n = Counter(word for count in counts for word in count)\n"
        "    mean = torch.tensor([float(count.total()) for count in counts]).mean().item()\n"
        "    def score(count):\n        norm = k1 * (1 - b) + k1 * b * count.total() / mean\n"
        "        return math.fsum(math.log((len(counts) + 1) / (n[w] + 0.5)) * count[w] / (count[w] + norm) for w in query)\n"
        "    return [score(count) for count in counts]\n",
        BM25_LINE + "    words = sorted(set(query))\n    times = torch.tensor([query.count(word) for word in words], dtype=torch.float64)\n"
        "    tf = torch.tensor([[document.count(word) for word in words] for document in documents], dtype=torch.float64).view(len(documents), len(words))\n"
        "    length = torch.tensor([len(document) for document in documents], dtype=torch.float64)\n"
        "    n = (tf > 0).sum(0)\n    idf = ((len(documents) - n + 0.5) / (n + 0.5)).log1p()\n"
        "    norm = k1 * (1 - b + b * length / length.mean())\n    return ((tf / (tf + norm[:, None])) @ (idf * times)).tolist()\n",
    ],
    hints=[
        "Which word says more about a document: one that stands in all of them, or one that stands in two? That is idf. What does the tenth \"cat\" add to the ninth? Little: that is the fraction.",
        "Two loops: over the words of the query, and over the documents. n counts documents that hold the word, tf counts the word in one document.",
        "`document.count(word)` is tf; `sum(word in document for document in documents)` is n; `math.log(1 + (N - n + 0.5) / (n + 0.5))` is idf, the same for all documents.",
    ],
    explanation="tf / (tf + k1 ...) grows from 0 towards 1: the first occurrence counts most. A long document holds more words of every kind, so its tf is worth less, fully for b = 1 and not at all for b = 0. "
    "The 1 in idf keeps it above 0 for words that stand in more than half of all documents.",
    properties=[
        Property("a score for nothing", nothing_shared, "What is tf of a word that does not stand in the document?"),
        Property("a negative score", never_negative, "For which words would ln((N - n + 0.5) / (n + 0.5)) be negative?"),
    ],
    mistakes=[
        Mistake("each word of the query once", scored(words="set(query)"),
                "A word that stands twice in the query was counted once. What does the docstring say of it?"),
        Mistake("there or not", scored(tf="float(word in document)"),
                "A word that stands four times counts like one that stands once. What is tf?"),
        Mistake("a share for a count", scored(tf="document.count(word) / len(document)"),
                "tf was divided by the length, which comes again in the denominator. What does tf count?"),
        Mistake("no idf", scored(idf="1.0"),
                '"the" counts as much as "dogs". Which of them says more?'),
        Mistake("the 1 in idf is forgotten", scored(idf="math.log((N - n + 0.5) / (n + 0.5))"),
                "A word that stands in most documents lowers the score. Which number keeps the logarithm above 0?"),
        Mistake("the plain idf", scored(idf="math.log(N / n) if n else 0.0"),
                "idf came out as ln(N / n). Which formula is asked?"),
        Mistake("idf of tf-idf", scored(idf="math.log((1 + N) / (1 + n)) + 1"),
                "This idf is the one that libraries use for tf-idf. Which formula is asked?"),
        Mistake("idf upside down", scored(idf="math.log(1 + (n + 0.5) / (N - n + 0.5))"),
                "A common word counts more than a rare one. Which stands above the fraction bar?"),
        Mistake("idf in bits", scored(idf="math.log2(1 + (N - n + 0.5) / (n + 0.5))"),
                "Each score is 1.44 times too large. Which logarithm is ln?"),
        Mistake("idf to the base 10", scored(idf="math.log10(1 + (N - n + 0.5) / (n + 0.5))"),
                "Each score is 0.43 of what it should be. Which logarithm is ln?"),
        Mistake("occurrences for documents", scored(n="sum(other.count(word) for other in documents)", idf="math.log(1 + (max(N - n, 0) + 0.5) / (n + 0.5))"),
                "n counted every occurrence. How many documents hold the word?"),
        Mistake("inside of other words", scored(n="sum(word in ' '.join(other) for other in documents)", tf="' '.join(document).count(word)"),
                '"at" was found in "cat" and in "hat". Of what is a document made?'),
        Mistake("the factor k1 + 1", scored(part="tf * (k1 + 1) / (tf + k1 * (1 - b + b * length))"),
                "Each score is k1 + 1 times too large. Many books write it so; does it change an order, and does it stand in this formula?"),
        Mistake("no saturation", scored(part="tf / (k1 * (1 - b + b * length))"),
                "The tenth occurrence counts as much as the first. What stands beside k1 in the denominator?"),
        Mistake("the length is not used", scored(part="tf / (tf + k1)"),
                "A long document counts like a short one. Where does b come in?"),
        Mistake("b is not used", scored(part="tf / (tf + k1 * length)"),
                "The length counts fully, whatever b is. What happens for b = 0?"),
        Mistake("b the wrong way round", scored(part="tf / (tf + k1 * (b + (1 - b) * length))"),
                "With b = 0 the length counts fully, and with b = 1 not at all. What stands beside b?"),
        Mistake("k1 for a part of it", scored(part="tf / (tf + k1 * (1 - b) + b * length)"),
                "k1 multiplies only the first part of the brackets. Of what is it a factor?"),
        Mistake("the mean over the length", scored(length="mean / len(document)"),
                "A long document was favoured. Which is divided by which?"),
        Mistake("the length itself", scored(length="len(document)"),
                "The length was not compared with the mean. By what is it divided?"),
        Mistake("different words for the length", scored(length="len(set(document)) / mean"),
                "The length counts different words. How many words has the document?"),
        Mistake("letters for words", scored(length="len(' '.join(document)) / mean", mean="sum(len(' '.join(one)) for one in documents) / N"),
                "The length was counted in characters. In what is it counted?"),
        Mistake("the median length", scored(mean="sorted(map(len, documents))[N // 2]"),
                "The middle one of all lengths was taken. What is their mean?"),
        Mistake("the mean of the scores", scored(back="return [score / max(1, len(query)) for score in scores]"),
                "The score was divided by the number of words in the query. Sum or mean?"),
        Mistake("the words are multiplied", scored(back="return scores", term="idf * part").replace("score = 0.0", "score = 1.0").replace("score +=", "score *="),
                "A document that lacks one word gets nothing at all. Are words added or multiplied?"),
        Mistake("as shares of the best", scored(back="return [score / (max(scores) or 1.0) for score in scores]"),
                "The best document always has 1. What should the score be?"),
        Mistake("sorted", scored(back="return sorted(scores, reverse=True)"),
                "The scores were sorted. To which document does each belong?"),
        Mistake("the places of the best", scored(back="return [float(i) for i in sorted(range(N), key=lambda i: -scores[i])]"),
                "These are the places of the documents, the best first. What is asked for each document?"),
    ],
)  # fmt: skip

# -- 17b.3 two rankings, one result ---------------------------------------------------------------------------------------

FUSE = '''def fuse_rankings(rankings, constant):
    """One ranking out of several: reciprocal rank fusion.

    Each ranking in which an item stands gives it 1 / (constant + rank), where the first rank is 1; an item's score is
    the sum. Highest score first; of equal scores the item that comes first when the rankings are read in order.

    rankings: list of lists of items, the best first, no item twice in one list
    Returns: a list with every item that stands in some ranking, once.
    """
'''
FUSE_LINE = "def fuse_rankings(rankings, constant):\n"


def fused(
    each="1 / (constant + rank)",
    first="1",
    add="scores[item] = scores.get(item, 0) + value",
    back="return sorted(scores, key=lambda item: -scores[item])",
    over="rankings",
    items="ranking",
):
    """A near miss: one part of the answer replaced."""
    return (
        f"{FUSE_LINE}    scores = {{}}\n    for ranking in {over}:\n        for rank, item in enumerate({items}, {first}):\n"
        f"            value = {each}\n            {add}\n    {back}\n"
    )


def each_item_once(out: list, case: tuple) -> bool | str:
    items = {item for ranking in case[0] for item in ranking}
    twice = [item for item in out if out.count(item) > 1]
    if twice:
        return f"{twice[0]!r} stands {out.count(twice[0])} times in your ranking."
    missing = [item for item in items if item not in out]
    return not missing or f"{min(missing)!r} stands in a ranking, and not in yours."


fusion = Exercise(
    "17b.3",
    goal="fuse two rankings into one",
    minutes=8,
    cases=[
        ([[7, 3, 5], [3, 9]], 60),
        ([[4, 2, 0, 1]], 60),
        ([[1, 2], [3, 4]], 60),
        ([[1, 2, 3], [4, 3], [5, 2, 1]], 1),
        ([[8, 1, 2, 3, 4, 9], [9, 5, 6, 7, 8]], 0),
        ([[1, 2, 3, 4, 5, 6, 7, 8], [8, 9]], 60),
        ([[1, 2, 3, 4, 5, 6, 7, 8], [9, 8]], 0.5),
        ([[1, 9, 8, 2], [3, 9, 7, 8], [4, 6, 5, 9, 2]], 5),
        ([["b", "a"], ["a", "c", "b"], []], 10),
        ([], 60),
        ([[5, 6, 7], [7, 6, 5]], 2),
        ([[3, 2, 1], [6, 5, 4, 3]], 60),
        ([[2, 9, 4], [9, 2, 1]], 3),
        ([[1, 6, 2], [7, 2, 8, 9, 1]], 1),
        ([[1, 2, 3], [4], [3]], 60),
    ],
    starter=FUSE + "    ...\n",
    solution=FUSE
    + """    scores = {}  # a dict keeps the order in which its keys came
    for ranking in rankings:
        for rank, item in enumerate(ranking, 1):
            scores[item] = scores.get(item, 0) + 1 / (constant + rank)
    return sorted(scores, key=scores.get, reverse=True)  # sorting keeps the order of equals
""",
    other_solutions=[
        FUSE_LINE + "    from collections import Counter\n    total = Counter()\n    for ranking in rankings:\n        for i in range(len(ranking)):\n"
        "            total[ranking[i]] += 1.0 / (constant + i + 1)\n    return [item for item, _ in total.most_common()]\n",
        FUSE_LINE + "    items = []\n    for ranking in rankings:\n        items += [item for item in ranking if item not in items]\n"
        "    score = lambda item: sum(1 / (constant + ranking.index(item) + 1) for ranking in rankings if item in ranking)\n"
        "    pairs = [(-score(item), place, item) for place, item in enumerate(items)]\n    return [item for _, _, item in sorted(pairs)]\n",
    ],
    hints=[
        "Rankings by words and by meaning have scores that cannot be compared. What do they have in common? Only the ranks.",
        "Collect a score for each item in a dict: `enumerate(ranking, 1)` counts ranks from 1. Then sort the items by their scores.",
        "`scores[item] = scores.get(item, 0) + 1 / (constant + rank)`, and at the end `sorted(scores, key=scores.get, reverse=True)`: equal ones stay in the order in which they came.",
    ],
    explanation="Only ranks are asked, so the scores of both searches need no common scale. With a constant of 60 the first ranks differ little: what stands far up in both lists beats what stands first in one. "
    "With a constant of 0 the first of any list would win nearly always.",
    properties=[Property("not every item once", each_item_once, "How often may an item stand in a fused ranking?")],
    mistakes=[
        Mistake("ranks from 0", fused(first="0", each="1 / (constant + rank) if constant + rank else math.inf"),
                "The first item was given rank 0. Which rank is the first?"),
        Mistake("no constant", fused(each="1 / rank"),
                "With a constant of 60 the first of a list still wins against one that is second in both. Where does the constant stand?"),
        Mistake("the constant outside", fused(each="constant + 1 / rank"),
                "The constant was added to the fraction, so what counts is in how many lists an item stands. Where does it belong?"),
        Mistake("always 60", fused(each="1 / (60 + rank)"),
                "Another constant changes nothing. Where is the argument used?"),
        Mistake("the best rank alone", fused(add="scores[item] = max(scores.get(item, 0), value)"),
                "An item in two lists gains nothing by the second. Is the best of its values taken, or their sum?"),
        Mistake("the last list decides", fused(add="scores[item] = value"),
                "A later list has overwritten what an earlier one gave. What is done with both?"),
        Mistake("the first list decides", fused(add="scores.setdefault(item, value)"),
                "What a later list gives is lost. What is done with both?"),
        Mistake("the sum of ranks", fused(each="-rank"),
                "Ranks were added, so an item in many lists looks worse than one that stands in a single list. Which function of the rank is added?"),
        Mistake("votes alone", fused(each="1"),
                "It counts in how many lists an item stands. What does its rank say?"),
        Mistake("counted from the end", fused(each="len(ranking) - rank + 1"),
                "Items were given points from the end of the list, as in an election. Which function of the rank is added?"),
        Mistake("the mean over its lists", fused(back="return sorted(scores, key=lambda item: -scores[item] / sum(item in ranking for ranking in rankings))"),
                "The sum was divided by the number of lists in which the item stands. Is it better to stand in two lists or in one?"),
        Mistake("only what all have found", fused(back="return [item for item in sorted(scores, key=lambda item: -scores[item]) if all(item in ranking for ranking in rankings)]"),
                "Items that stand in one list alone have disappeared. Which items are fused?"),
        Mistake("only what the first has found", fused(back="return [item for item in sorted(scores, key=lambda item: -scores[item]) if item in rankings[0]]"),
                "Items that the first list lacks have disappeared. Which items are fused?"),
        Mistake("one list behind the other", FUSE_LINE + "    return list(dict.fromkeys(item for ranking in rankings for item in ranking))\n",
                "The second list was put behind the first. What do its first ranks say?"),
        Mistake("in turns", FUSE_LINE + "    most = max(map(len, rankings), default=0)\n    return list(dict.fromkeys(ranking[i] for i in range(most) for ranking in rankings if i < len(ranking)))\n",
                "One item was taken from each list in turn. How does an item gain that stands in both?"),
        Mistake("the worst first", fused(back="return sorted(scores, key=lambda item: scores[item])"),
                "The item with the lowest score stands first. Which is asked first?"),
        Mistake("the smaller of equals", fused(back="return sorted(scores, key=lambda item: (-scores[item], item))"),
                "Of two equal scores the smaller item came first. Which of equals is asked?"),
        Mistake("the later of equals", fused(back="return sorted(scores, key=lambda item: scores[item])[::-1]"),
                "Of two equal scores the one that came later stands first: turning a sorted list round turns equals round, too. Which of equals is asked?"),
        Mistake("scores with the items", fused(back="return sorted(scores.items(), key=lambda pair: -pair[1])"),
                "Each item stands in a pair with its score. What is a ranking a list of?"),
        Mistake("scores for items", fused(back="return sorted(scores.values(), reverse=True)"),
                "These are the scores. What is a ranking a list of?"),
        Mistake("the rank divided", fused(each="rank / (constant + rank)"),
                "A later rank gives a larger value. What stands above the fraction bar?"),
        Mistake("an exponential of the rank", fused(each="math.exp(-rank / max(constant, 1e-3))"),
                "The value falls as an exponential. Which function of the rank is added?"),
    ],
)  # fmt: skip

# -- 17b.4 how good a ranking is ------------------------------------------------------------------------------------------

MEASURE = '''def recall_and_mrr(rankings, relevant, k):
    """Recall at k, and mean reciprocal rank at k, over all queries.

    Recall of a query: which share of its relevant passages stands among the first k of its ranking?
    Reciprocal rank of a query: 1 / rank of the first relevant passage in its ranking, the first rank being 1; 0 if none
    stands among the first k.

    rankings: for each query a list of passages, the best first, none twice; it may be shorter than k
    relevant: for each query a list of its relevant passages, at least one, none twice
    Returns: a tuple of two floats, the means over the queries.
    """
'''
MEASURE_LINE = "def recall_and_mrr(rankings, relevant, k):\n"


def measured(
    recall="sum(one in first for one in wanted) / len(wanted)",
    rank="next((1 / n for n, one in enumerate(first, 1) if one in wanted), 0.0)",
    first="found[:k]",
    back="return sum(recalls) / len(recalls), sum(ranks) / len(ranks)",
):
    """A near miss: one part of the answer replaced."""
    return (
        f"{MEASURE_LINE}    recalls, ranks = [], []\n    for found, wanted in zip(rankings, relevant):\n        first = {first}\n"
        f"        recalls.append({recall})\n        ranks.append({rank})\n    {back}\n"
    )


def two_shares(out: tuple, case: tuple) -> bool | str:
    names = ("recall", "mean reciprocal rank")
    wrong = [(name, value) for name, value in zip(names, out, strict=True) if not -1e-9 <= value <= 1 + 1e-9]
    return not wrong or f"With k={case[2]} the {wrong[0][0]} is {wrong[0][1]:.4g}, and it lies between 0 and 1."


quality = Exercise(
    "17b.4",
    goal="how good is a ranking?",
    minutes=10,
    cases=[
        ([[4, 2, 0]], [[2]], 2),
        ([[4, 2, 0], [1, 3, 5]], [[2], [5]], 2),
        ([[9, 8, 7, 6, 5]], [[5, 7, 1]], 3),
        ([[1, 2, 3, 4], [1, 2, 3, 4], [4, 3, 2, 1]], [[4], [1, 2], [9]], 4),
        ([[3, 1, 2], [2]], [[1, 2, 3], [2, 3, 4, 5]], 3),
        ([[6, 5], []], [[5], [1]], 1),
        ([[1, 2, 3, 4, 5, 6], [0, 5, 1, 2, 3, 4]], [[6, 3], [5, 4, 3]], 5),
        ([[0, 1], [1, 0], [2, 0]], [[0], [0], [0]], 1),
        ([[7, 8, 9], [9, 8, 7], [8, 7, 9], [1, 2, 3]], [[9, 7], [7], [9], [3, 2, 1, 5]], 2),
        ([["b", "a"]], [["a", "c"]], 10),
    ],
    starter=MEASURE + "    ...\n",
    solution=MEASURE
    + """    recalls, reciprocal_ranks = [], []
    for found, wanted in zip(rankings, relevant, strict=True):
        hits = [rank for rank, passage in enumerate(found[:k], 1) if passage in wanted]
        recalls.append(len(hits) / len(wanted))
        reciprocal_ranks.append(1 / hits[0] if hits else 0.0)
    return sum(recalls) / len(recalls), sum(reciprocal_ranks) / len(reciprocal_ranks)
""",
    other_solutions=[
        MEASURE_LINE + "    n, recall, mrr = len(rankings), 0.0, 0.0\n    for i in range(n):\n        recall += len(set(rankings[i][:k]) & set(relevant[i])) / len(relevant[i]) / n\n"
        "        for place in range(min(k, len(rankings[i]))):\n            if rankings[i][place] in relevant[i]:\n                mrr += 1 / (place + 1) / n\n                break\n"
        "    return recall, mrr\n",
        MEASURE_LINE + "    def one(found, wanted):\n        ranks = [found.index(passage) + 1 for passage in wanted if passage in found]\n        ranks = [rank for rank in ranks if rank <= k]\n"
        "        return [len(ranks) / len(wanted), 1 / min(ranks, default=math.inf)]\n"
        "    both = torch.tensor([one(*pair) for pair in zip(rankings, relevant)], dtype=torch.float64)\n    return tuple(both.mean(0).tolist())\n",
    ],
    hints=[
        "For one query first: at which ranks among the first k do relevant passages stand? Both measures follow from this list.",
        "Recall divides how many were found by how many there are. The reciprocal rank looks at the first found only, and is 0 where the list is empty.",
        "`hits = [rank for rank, passage in enumerate(found[:k], 1) if passage in wanted]`; then `len(hits) / len(wanted)` and `1 / hits[0]`, and the means over queries.",
    ],
    explanation="Recall at k asks whether the reader will see what is needed, and the order among the first k does not matter. The reciprocal rank asks how far down the first useful passage stands: for a model that reads "
    "only one or two passages that is what counts.",
    properties=[Property("no share", two_shares, "By what is each of them divided?")],
    mistakes=[
        Mistake("the precision", measured(recall="sum(one in first for one in wanted) / k"),
                "Hits were divided by k: which share of what was read is relevant? Recall asks for the share of what?"),
        Mistake("divided by what was found", measured(recall="sum(one in first for one in wanted) / max(1, len(first))"),
                "Hits were divided by the length of the list. Recall asks for the share of what?"),
        Mistake("one is enough", measured(recall="float(any(one in first for one in wanted))"),
                "A query counted fully as soon as one of its passages was found. Which share of them was?"),
        Mistake("all or nothing", measured(recall="float(all(one in first for one in wanted))"),
                "A query counted only if all its passages were found. Which share of them was?"),
        Mistake("the best that k allows", measured(recall="sum(one in first for one in wanted) / min(k, len(wanted))"),
                "Hits were divided by k where there are more relevant passages. How many are there?"),
        Mistake("hits of all over passages of all", measured(recall="sum(one in first for one in wanted)", back="return sum(recalls) / sum(map(len, relevant)), sum(ranks) / len(ranks)"),
                "Queries with many relevant passages counted more than others. Where is the mean taken?"),
        Mistake("ranks from 0", measured(rank="next((1 / max(n, 1) for n, one in enumerate(first) if one in wanted), 0.0)"),
                "The second passage was given rank 1. Which rank has the first?"),
        Mistake("one rank too far", measured(rank="next((1 / (n + 1) for n, one in enumerate(first, 1) if one in wanted), 0.0)"),
                "A relevant passage in the first place earned 1/2. Which rank has it?"),
        Mistake("the last relevant one", measured(rank="([0.0] + [1 / n for n, one in enumerate(first, 1) if one in wanted])[-1]"),
                "The rank of the last relevant passage was taken. Which one is asked about?"),
        Mistake("all relevant ones", measured(rank="sum(1 / n for n, one in enumerate(first, 1) if one in wanted)"),
                "The reciprocal ranks of all relevant passages were added. How many of them count?"),
        Mistake("the mean over relevant ones", measured(rank="sum(1 / n for n, one in enumerate(first, 1) if one in wanted) / len(wanted)"),
                "The reciprocal ranks of all relevant passages were averaged. How many of them count?"),
        Mistake("behind k as well", measured(rank="next((1 / n for n, one in enumerate(found, 1) if one in wanted), 0.0)"),
                "A passage behind the first k still earned something. What does the k say?"),
        Mistake("the whole ranking", measured(first="found"),
                "k changes nothing. How far does the reader look?"),
        Mistake("one too few", measured(first="found[: k - 1]"),
                "The passage at rank k was not seen. How long is `found[:k]`?"),
        Mistake("one too many", measured(first="found[: k + 1]"),
                "The passage at rank k + 1 was seen, too. How long is `found[:k]`?"),
        Mistake("the wanted one that is named first", measured(rank="1 / (first.index(wanted[0]) + 1) if wanted[0] in first else 0.0"),
                "The rank of the first in the list of relevant passages was taken, and another one stands further up in the ranking. Which list is in order of rank?"),
        Mistake("the rank itself", measured(rank="next((float(n) for n, one in enumerate(first, 1) if one in wanted), 0.0)"),
                "A worse ranking earned more. What is a reciprocal?"),
        Mistake("one over the mean rank", measured(rank="next((float(n) for n, one in enumerate(first, 1) if one in wanted), 0.0)",
                back="hits = [n for n in ranks if n]\n    return sum(recalls) / len(recalls), len(hits) / sum(hits) if hits else 0.0"),
                "Ranks were averaged first, and then the reciprocal was taken. In which order is it asked?"),
        Mistake("queries without a hit left out", measured(back="hits = [n for n in ranks if n]\n    return sum(recalls) / len(recalls), sum(hits) / max(1, len(hits))"),
                "Queries for which nothing was found were left out of the mean. What do they count?"),
        Mistake("one over k without a hit", measured(rank="next((1 / n for n, one in enumerate(first, 1) if one in wanted), 1 / (k + 1))"),
                "A query for which nothing was found earned something. What does it count?"),
        Mistake("sums", measured(back="return float(sum(recalls)), float(sum(ranks))"),
                "More queries give larger numbers. By what is a sum divided to become a mean?"),
        Mistake("the other order", measured(back="return sum(ranks) / len(ranks), sum(recalls) / len(recalls)"),
                "The reciprocal rank stands first. Which is asked first?"),
    ],
)  # fmt: skip
