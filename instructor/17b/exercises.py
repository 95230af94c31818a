"""Assigned in lesson 17b: passages that do not repeat each other, and by how much a search finds the right one."""

from fmcourse.classroom.exercise_kinds import AssignedExercise
from fmcourse.course.exercise import IMPORTS, Mistake, Property

# -- 17b.A1 passages that do not repeat each other ------------------------------------------------------------------------

DIVERSE = '''def pick_diverse(relevance, similarity, k, weight):
    """The places of up to k passages, in the order in which they are picked: maximal marginal relevance.

    The next to be picked is the one of the others with the highest
        weight · relevance[i] - (1 - weight) · (largest similarity of i with a passage picked before);
    for the first there is nothing to subtract. Of equals the smaller place.

    relevance: for each of N passages how well it fits the query   similarity: list of N lists, how alike two passages
    are, from -1 to 1   k: at least 1; all passages are picked if there are fewer   weight: from 0 to 1
    Returns: a list of places, counted from 0.
    """
'''
LINE = "def pick_diverse(relevance, similarity, k, weight):\n"


def picked(
    near="max(similarity[i][j] for j in out)",
    none="0.0",
    score="weight * relevance[i] - (1 - weight) * near",
    left="[i for i in range(len(relevance)) if i not in out]",
    n="min(k, len(relevance))",
    best="max(left, key=score)",
    back="return out",
):
    """A near miss: one part of the answer replaced."""
    return (
        f"{LINE}    out = []\n    def score(i):\n        near = {near} if out else {none}\n        return {score}\n"
        f"    while len(out) < {n}:\n        left = {left}\n        out.append({best})\n    {back}\n"
    )


def alike(n, **pairs):
    """A matrix of similarities: 1 on the diagonal, and for each pair such as `p01` a number, else 0."""
    rows = [[1.0 if i == j else 0.0 for j in range(n)] for i in range(n)]
    for name, value in pairs.items():
        i, j = int(name[1]), int(name[2])
        rows[i][j] = rows[j][i] = value
    return rows


def drawn(seed, n):
    """Random passages: relevances, and cosines of random vectors."""
    import random

    draw = random.Random(seed)
    vectors = [[draw.gauss(0.4, 1) for _ in range(4)] for _ in range(n)]
    size = lambda v: sum(x * x for x in v) ** 0.5
    rows = [
        [round(sum(x * y for x, y in zip(a, b, strict=True)) / size(a) / size(b), 3) for b in vectors] for a in vectors
    ]
    return [round(draw.uniform(0, 1), 3) for _ in range(n)], rows


diverse = AssignedExercise(
    "17b.A1",
    goal="passages that do not repeat each other",
    minutes=15,
    difficulty=2,
    text="A model that answers from passages reads only a few. If the best three say the same in three ways, two of them are wasted, and what the fourth would have added is never read. Carbonell and Goldstein (1998) pick "
    "one passage after another: the next should fit the query and be unlike everything that was picked before. This is **maximal marginal relevance**. A weight of 1 is the plain ranking, a weight of 0 asks for variety alone.\n\n"
    "Your function is handed numbers, such as cosines: how well each passage fits, and how alike any two are.",
    cases=[
        ([0.9, 0.8, 0.5], alike(3, p01=1.0), 2, 0.5),
        ([0.5, 0.75, 0.5, 0.25], alike(4, p12=0.5, p03=-0.5), 3, 0.5),
        ([0.25, 0.5, 1.0], alike(3, p02=0.5, p12=0.25), 3, 0.75),
        ([1.0, 0.5], alike(2, p01=0.5), 5, 0.25),
        (*drawn(1, 5), 3, 0.6),
    ],
    hidden=[
        (*drawn(2, 7), 5, 0.5),
        (*drawn(3, 6), 6, 0.3),
        (*drawn(4, 9), 4, 0.7),
        ([0.5, 0.5, 0.5, 0.5], alike(4, p01=0.5, p02=0.25, p03=0.25), 4, 0.5),
        ([0.75, 0.25, 0.5], alike(3, p01=-0.75, p02=-0.25, p12=0.5), 3, 0.5),
        (*drawn(5, 8), 5, 0.0),
        (*drawn(6, 6), 4, 1.0),
        (*drawn(7, 12), 7, 0.4),
        ([0.2, 0.9, 0.8, 0.7], alike(4, p12=0.9, p13=0.1, p23=0.9), 3, 0.5),
        (*drawn(8, 10), 10, 0.55),
        ([0.5], [[1.0]], 1, 0.5),
    ],
    starter=DIVERSE + "    ...\n",
    solution=DIVERSE
    + """    picked = []
    left = list(range(len(relevance)))
    while left and len(picked) < k:

        def score(i):
            nearest = max((similarity[i][j] for j in picked), default=0.0)
            return weight * relevance[i] - (1 - weight) * nearest

        best = max(left, key=score)  # of equals the first
        picked.append(best)
        left.remove(best)
    return picked
""",
    other_solutions=[
        LINE + "    relevance = torch.tensor(relevance, dtype=torch.float64)\n    similarity = torch.tensor(similarity, dtype=torch.float64)\n    n = len(relevance)\n    taken = torch.zeros(n, dtype=torch.bool)\n"
        "    nearest = torch.full((n,), -math.inf, dtype=torch.float64)\n    order = []\n    while len(order) < min(k, n):\n"
        "        penalty = nearest if order else torch.zeros(n, dtype=torch.float64)\n        score = weight * relevance - (1 - weight) * penalty\n"
        "        best = score.masked_fill(taken, -math.inf).argmax().item()\n        order.append(best)\n        taken[best] = True\n"
        "        nearest = torch.maximum(nearest, similarity[best])\n    return order\n",
        LINE + "    def go(order):\n        others = [i for i in range(len(relevance)) if i not in order]\n        if len(order) == k or not others:\n            return order\n"
        "        scores = {}\n        for i in others:\n            scores[i] = weight * relevance[i]\n            if order:\n"
        "                scores[i] -= (1 - weight) * sorted(similarity[i][j] for j in order)[-1]\n"
        "        return go(order + [min(others, key=lambda i: (-scores[i], i))])\n    return go([])\n",
    ],
    explanation="The largest similarity is what counts: one passage that says the same is enough to make another superfluous, however many different ones were read besides. Picking greedily need not give the best set of k; finding "
    "that would mean trying them all.",
    properties=[
        Property("not as many places as asked", '''def test(out, case):
    n = min(case[2], len(case[0]))
    return len(out) == len(set(out)) == n and all(i in range(len(case[0])) for i in out) or f"There are {len(case[0])} passages and k={case[2]}, so {n} different places are asked; yours are {out}."
''', "How often may a passage be picked?"),
        Property("the most relevant one is not the first", '''def test(out, case):
    best = max(case[0])
    return case[3] == 0 or case[0][out[0]] == best or f"Nothing was picked before the first one, and you begin with relevance {case[0][out[0]]} although there is {best}."
''', "What is subtracted for the first one?"),
    ],
    mistakes=[
        Mistake("relevance alone", picked(score="relevance[i]"),
                "The most relevant ones were picked, however alike they are. What is subtracted?"),
        Mistake("the mean similarity", picked(near="sum(similarity[i][j] for j in out) / len(out)"),
                "A passage that repeats one of three counted as a third of a repetition. How many like it have to be there already?"),
        Mistake("the smallest similarity", picked(near="min(similarity[i][j] for j in out)"),
                "The passage that is least like it was asked. Which of those picked makes another superfluous?"),
        Mistake("the sum of similarities", picked(near="sum(similarity[i][j] for j in out)"),
                "The similarities with all that were picked were added, so the penalty grows with every pick. Which one of them counts?"),
        Mistake("the last one alone", picked(near="similarity[i][out[-1]]"),
                "It was compared with the last pick only. With which others?"),
        Mistake("the first one alone", picked(near="similarity[i][out[0]]"),
                "It was compared with the first pick only. With which others?"),
        Mistake("every passage is compared with", picked(near="max(similarity[i][j] for j in range(len(relevance)) if j != i)", none="max((similarity[i][j] for j in range(len(relevance)) if j != i), default=0.0)"),
                "It was compared with passages that nobody will read. Which ones make it superfluous?"),
        Mistake("every passage but the first is compared with", picked(near="max((similarity[i][j] for j in range(len(relevance)) if j != i), default=0.0)"),
                "It was compared with passages that were not picked. Which ones make it superfluous?"),
        Mistake("the others are compared with", picked(near="max((similarity[i][j] for j in range(len(relevance)) if j != i and j not in out), default=0.0)"),
                "It was compared with those that are still left. Which ones will be read before it?"),
        Mistake("added", picked(score="weight * relevance[i] + (1 - weight) * near"),
                "Passages like those that were picked were preferred. Is likeness good or bad here?"),
        Mistake("the weights swapped", picked(score="(1 - weight) * relevance[i] - weight * near"),
                "With a weight of 1 only variety counted. To which of the two does it belong?"),
        Mistake("one weight", picked(score="weight * relevance[i] - near"),
                "The similarity was subtracted in full. Which weight has it?"),
        Mistake("the weight on the similarity alone", picked(score="relevance[i] - (1 - weight) * near"),
                "The relevance counted in full. Which weight has it?"),
        Mistake("one weight for both", picked(score="weight * (relevance[i] - near)"),
                "Both got the same factor, so the weight changes nothing. Which ones have they?"),
        Mistake("likeness is never below 0", picked(near="max([0.0] + [similarity[i][j] for j in out])"),
                "An opposite counted like a stranger: the maximum began at 0. What is the largest of two negative numbers?"),
        Mistake("the size of the similarity", picked(near="max(abs(similarity[i][j]) for j in out)"),
                "An opposite counted like a repetition. What does the sign say?"),
        Mistake("the first is like itself", picked(none="similarity[i][0]"),
                "Before anything was picked passages were compared with the first in the list. What is subtracted then?"),
        Mistake("the first in the list", picked(best="max(left, key=score) if out else 0"),
                "The first passage of the list was picked first. Which one fits best?"),
        Mistake("the later of equals", picked(best="max(reversed(left), key=score)"),
                "Of two equal scores the larger place was picked. Which of equals is asked?"),
        Mistake("picked again", picked(left="list(range(len(relevance)))"),
                "A passage was picked twice. Which ones may be picked?"),
        Mistake("sorted by place", picked(back="return sorted(out)"),
                "The places were sorted. In which order are they asked?"),
        Mistake("sorted by relevance", picked(back="return sorted(out, key=lambda i: -relevance[i])"),
                "The places were sorted by relevance. In which order are they asked?"),
        Mistake("one too few", picked(n="min(k - 1, len(relevance))"),
                "One passage is missing. How many are asked?"),
        Mistake("never the last one", picked(n="min(k, max(1, len(relevance) - 1))"),
                "With k as large as the list one passage is missing. How many are asked?"),
    ],
)  # fmt: skip

# -- 17b.A2 by how much the right one wins --------------------------------------------------------------------------------


def some_articles(draw):
    """Other articles and constants for each student."""
    return {
        "first": draw.randrange(0, 7500),
        "n": draw.randrange(100, 150),
        "k1": draw.choice([8, 9, 10, 11, 12, 13, 18, 19, 20]) / 10,
        "b": draw.randrange(20, 61) / 100,
    }


def found(
    texts="[words(one.text) for one in articles]",
    queries="[words(one.title) for one in articles]",
    words="re.findall(r'\\w+', text.lower())",
    chosen='mine["first"] : mine["first"] + mine["n"]',
    idf="math.log(1 + (N - n + 0.5) / (n + 0.5))",
    norm="k1 * (1 - b + b * lengths[i] / mean)",
    tf="counts[i][word]",
    part="tf / (tf + norm)",
    mean="sum(lengths) / N",
    other="max(score for j, score in enumerate(scores) if j != q)",
    margin="scores[q] - other",
    total="sum(margins) / N",
    lengths="[count.total() for count in counts]",
):
    """A near miss: one part of the answer replaced."""
    return (
        "def mean_margin(mine):\n    import re\n    from collections import Counter\n    from statistics import median\n    from fmcourse.data import load\n"
        f'    articles, k1, b = load("wikipedia").train[{chosen}], mine["k1"], mine["b"]\n    words = lambda text: {words}\n'
        f"    counts = [Counter(one) for one in {texts}]\n    N, lengths, margins = len(counts), {lengths}, []\n    mean = {mean}\n"
        "    holds = Counter(word for count in counts for word in count)\n"
        f"    for q, query in enumerate({queries}):\n        scores = [0.0] * N\n        for word in query:\n            n = holds[word]\n            idf = {idf}\n"
        f"            for i in range(N):\n                tf, norm = {tf}, {norm}\n                scores[i] += idf * {part}\n"
        f"        other = {other}\n        margins.append({margin})\n    return {total}\n"
    )


margin = AssignedExercise(
    "17b.A2",
    goal="by how much does the right article win?",
    minutes=15,
    difficulty=2,
    text="That the right passage comes first says little of how sure the search was. Measure by how much it wins.\n\n"
    "Your collection is the texts of the `n` articles `load(\"wikipedia\").train[first : first + n]`. They are in alphabetical order, so neighbours often share a word of their titles. Each article's title is asked as a query, and its own "
    "text is the right answer. Words are `re.findall(r\"\\w+\", text.lower())`, in titles and in texts. Score with BM25 as in exercise 17b.2, with your `k1` and `b`; N, n and the mean length are those of your collection.\n\n"
    "The margin of a query is the score of its own article minus the highest score of any other one; it is negative where another article wins. Give the mean margin over your n queries."
    "\n\nGive it unrounded: the first five digits must be right.",
    imports=IMPORTS + "import re\nfrom fmcourse.data import load\n",
    starter='''mine = variant("17b.A2")  # where your articles begin, how many there are, k1 and b
mean_margin = ...  # a float
''',
    solution='''import re
from collections import Counter

from fmcourse.data import load


def mean_margin(mine):
    articles = load("wikipedia").train[mine["first"] : mine["first"] + mine["n"]]
    texts = [Counter(re.findall(r"\\w+", one.text.lower())) for one in articles]
    lengths = [text.total() for text in texts]
    mean, N = sum(lengths) / len(lengths), len(texts)
    norms = [mine["k1"] * (1 - mine["b"] + mine["b"] * length / mean) for length in lengths]
    total = 0.0
    for own, article in enumerate(articles):
        scores = [0.0] * N
        for word in re.findall(r"\\w+", article.title.lower()):
            n = sum(word in text for text in texts)
            idf = math.log(1 + (N - n + 0.5) / (n + 0.5))
            for i, text in enumerate(texts):
                scores[i] += idf * text[word] / (text[word] + norms[i])
        total += scores[own] - max(scores[:own] + scores[own + 1 :])
    return total / N
''',
    other_solutions=[
        '''def mean_margin(mine):
    from fmcourse.apps.retrieval import BM25
    from fmcourse.data import load
    articles = load("wikipedia").train[mine["first"]:][:mine["n"]]
    index = BM25([one.text for one in articles], k1=mine["k1"], b=mine["b"])
    margins = []
    for at, one in enumerate(articles):
        scores = index.scores(one.title).double()
        own = scores[at].item()
        scores[at] = -math.inf
        margins.append(own - scores.max().item())
    return sum(margins) / len(margins)
''',
        '''def mean_margin(mine):
    import re
    from fmcourse.data import load
    articles = load("wikipedia").train[mine["first"] : mine["first"] + mine["n"]]
    split = lambda text: re.findall(r"\\w+", text.lower())
    places = {}
    for article in articles:
        for word in split(article.title):
            places.setdefault(word, len(places))
    tf, asked = torch.zeros(2, len(articles), len(places), dtype=torch.float64)
    length = torch.zeros(len(articles), 1, dtype=torch.float64)
    for row, article in enumerate(articles):
        found = split(article.text)
        length[row] = len(found)
        for word in found:
            if word in places:
                tf[row, places[word]] += 1
        for word in split(article.title):
            asked[row, places[word]] += 1
    holds = (tf > 0).sum(0)
    idf = torch.log((len(articles) + 1) / (holds + 0.5))
    value = idf * tf / (tf + mine["k1"] * (1 - mine["b"] + mine["b"] * length / length.mean()))
    scores = asked @ value.T
    others = scores.clone().fill_diagonal_(-math.inf).max(1).values
    return (scores.diagonal() - others).mean().item()
''',
    ],
    vary=some_articles,
    explanation="A word that stands in the title and in no other text gives nearly its whole idf; a word that neighbours share gives nothing but the difference of two fractions. So the margin says how much of a title is its own. "
    "A model that reads the first three passages is helped by any margin above 0; a threshold below which it should say that it does not know needs the scores.",
    properties=[Property("no such margin", '''def test(out, case):
    N = case["n"]
    most = 4 * math.log((N + 1) / 1.5)
    return -most < out < most or f"A word gives at most its idf, {math.log((N + 1) / 1.5):.3g} for one that stands in a single text; yours is {out:.4g}."
''', "How many words has a title, and is it a mean over queries?")],
    mistakes=[
        Mistake("the score of the right one", found(margin="scores[q]"),
                "This is how well the right article fits. By how much does it beat the best other one?"),
        Mistake("the best of the others", found(margin="other"),
                "This is how well the best other article fits. From what is it subtracted?"),
        Mistake("the right one among the others", found(other="max(scores)"),
                "No margin is above 0, since the right article was compared with itself. Which articles are the others?"),
        Mistake("the mean of the others", found(other="(sum(scores) - scores[q]) / (N - 1)"),
                "It was compared with the mean of all others. Which one of them could win?"),
        Mistake("the neighbour in the list", found(other="scores[(q + 1) % N]"),
                "It was compared with the next article of the list. Which one of the others has the highest score?"),
        Mistake("never below 0", found(margin="max(0.0, scores[q] - other)"),
                "Where another article wins the margin counted as 0. What is it there?"),
        Mistake("the share of wins", found(margin="float(scores[q] > other)"),
                "This is how often the right article wins. By how much does it?"),
        Mistake("the sum", found(total="sum(margins)"),
                "With more queries it grows. A mean divides a sum by which count?"),
        Mistake("the median", found(total="median(margins)"),
                "This is the middle one of all margins. What is their mean?"),
        Mistake("a quotient", found(margin="scores[q] / other if other else 1.0"),
                "The scores were divided. What is a margin?"),
        Mistake("capitals in the titles", found(queries="[re.findall(r'\\w+', one.title) for one in articles]"),
                "The words of the titles kept their capitals, and the texts have none. How are words made of a title?"),
        Mistake("capitals everywhere", found(words="re.findall(r'\\w+', text)"),
                "A word at the beginning of a sentence counted as another one. What comes before the split?"),
        Mistake("split at spaces", found(words="text.lower().split()"),
                'A word before a comma counted as another one. What does `\\w+` find?'),
        Mistake("the titles belong to the texts", found(texts="[words(one.title + ' ' + one.text) for one in articles]"),
                "Each text holds its own title once more, so it must win. Which texts are searched?"),
        Mistake("from the very beginning", found(chosen=': mine["n"]'),
                "These are the first articles of all. Where do yours begin?"),
        Mistake("an article too many", found(chosen='mine["first"] : mine["first"] + mine["n"] + 1'),
                "There is one article too many. Does the end of a slice belong to it?"),
        Mistake("the usual k1", found(norm="1.5 * (1 - b + b * lengths[i] / mean)"),
                "The constant k1 is 1.5 here. Which one is yours?"),
        Mistake("the usual b", found(norm="k1 * (0.25 + 0.75 * lengths[i] / mean)"),
                "The constant b is 0.75 here. Which one is yours?"),
        Mistake("no length", found(norm="k1"),
                "A long text counts like a short one. What does b do?"),
        Mistake("the factor k1 + 1", found(part="(k1 + 1) * tf / (tf + norm)"),
                "All scores are k1 + 1 times too large. Which formula has exercise 17b.2?"),
        Mistake("the plain idf", found(idf="math.log(N / n) if n else 0.0"),
                "This idf is ln(N / n). Which formula has exercise 17b.2?"),
        Mistake("the 1 in idf is forgotten", found(idf="math.log((N - n + 0.5) / (n + 0.5))"),
                "A word that stands in most texts lowers a score. What stands inside the logarithm besides the fraction?"),
        Mistake("no idf", found(idf="1.0"),
                '"the" counts as much as a name. Which of the two is rarer?'),
        Mistake("there or not", found(tf="float(word in counts[i])"),
                "A word that stands there five times counted once. What is tf?"),
        Mistake("different words for the length", found(lengths="[len(count) for count in counts]"),
                "The lengths count different words. How many words has a text?"),
    ],
)  # fmt: skip
