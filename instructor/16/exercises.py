"""Assigned in lesson 16: the curve of best-of-n, and the most reward at a distance from the reference."""

from fmcourse.classroom.exercise_kinds import AssignedExercise
from fmcourse.course.exercise import IMPORTS, Mistake, Property

# -- 16.A1 what the best of n is worth ------------------------------------------------------------------------------------

BEST = '''def best_of_n(proxy, gold, sizes):
    """What choosing the best of n by the proxy brings, for each n of `sizes`: a list of (kl, proxy, gold).

    n of the M answers are drawn without replacement, and the one that the proxy likes best is kept. Its rewards are
    averaged over all draws that there are, each as likely as the others; nothing is left to chance.

    proxy, gold: rewards of the same M answers by the reward model and by the gold judge, two lists of floats; no two
        proxy rewards are equal
    sizes: list of n, each from 1 to M
    Returns: for each n three floats: log n - (n - 1) / n in nats, the mean proxy reward and the mean gold reward.
    """
'''
LINE = "def best_of_n(proxy, gold, sizes):\n"


def chosen(weight="math.comb(i, n - 1) / math.comb(M, n)", kl="math.log(n) - (n - 1) / n", row="(kl, mean(p), mean(g))",
           order="sorted(zip(proxy, gold))", over="sizes"):  # fmt: skip
    """A near miss: one part of the answer replaced; answer i is better than i others, by the proxy."""
    return (
        f"{LINE}    M, out = len(proxy), []\n    for n in {over}:\n        ranked = {order}\n        p, g = zip(*ranked)\n"
        f"        mean = lambda rewards: float(sum(reward * ({weight}) for i, reward in enumerate(rewards)))\n"
        f"        kl = {kl}\n        out.append({row})\n    return out\n"
    )


def picked(draws: str) -> str:
    """A near miss that chooses among some draws only; a draw is a list of places."""
    return (
        f"{LINE}    M, out = len(proxy), []\n    for n in sizes:\n        draws = {draws}\n"
        "        best = [max(draw, key=lambda i: proxy[i]) for draw in draws]\n"
        "        means = [sum(rewards[i] for i in best) / len(best) for rewards in (proxy, gold)]\n"
        "        out.append((math.log(n) - (n - 1) / n, *means))\n    return out\n"
    )


def judged(seed: int, m: int, flatters: float) -> tuple[list[float], list[float]]:
    """Rewards of m answers: both judges like the same, and the proxy a flaw besides, which costs gold reward."""
    import random

    draw = random.Random(seed)
    proxy, gold = [], []
    for _ in range(m):
        good, flaw = draw.gauss(0, 1), draw.gauss(0, 1)
        proxy.append(round(good + flatters * flaw, 4))
        gold.append(round(good - flatters * max(0.0, flaw) ** 2, 4))
    return proxy, gold


best = AssignedExercise(
    "16.A1",
    goal="the price of choosing the best of n",
    minutes=20,
    difficulty=3,
    text="The simplest way to use a reward model trains nothing: let the policy write n answers and keep the one with the highest reward. **Best-of-n** goes a known way from the reference, at most "
    "log n - (n - 1) / n nats, so it can be drawn over the same KL axis as a trained policy. Gao et al. measured reward hacking with it: with n the proxy reward always rises, and the gold reward rises, "
    "stands still and may fall.\n\n"
    "Drawing n answers and looking is noisy. You have M answers, judged by both. Every one of the C(M, n) ways to draw n of them is as likely as the others: of how many is a given answer the best? "
    "With that number for each answer the means are exact, and all n use all the M answers. (M is too large for going through the draws.)",
    cases=[
        ([1.0, 3.0, 2.0], [1.0, -2.0, 4.0], [1, 2, 3]),
        ([0.5, -1.5, 4.0, 2.5, 1.0], [2.0, 0.0, -3.0, 5.0, 1.0], [4, 1, 2]),
    ],
    hidden=[
        (*judged(1, 40, 0.7), [1, 2, 4, 8, 16, 32]),
        (*judged(2, 12, 1.5), [12, 5]),
        ([7.0], [-2.5], [1]),
        (*judged(3, 64, 0.3), [3, 30, 10, 50]),
        ([-3.0, -1.0, -2.0, -8.0, -5.0, -4.0], [0.0, 9.0, 3.0, 1.0, 2.0, 0.5], [2, 3, 6, 5]),
        (*judged(4, 9, 1.0), [9]),
        (*judged(5, 200, 2.0), [100, 7]),
    ],
    starter=BEST + "    ...\n",
    solution=BEST + '''    ranked = sorted(zip(proxy, gold))  # from the worst to the best, by the proxy
    curve = []
    for n in sizes:
        draws = math.comb(len(ranked), n)
        mean_proxy = mean_gold = 0.0
        for beaten, (p, g) in enumerate(ranked):
            share = math.comb(beaten, n - 1) / draws  # its n - 1 companions are among those that it beats
            mean_proxy += share * p
            mean_gold += share * g
        curve.append((math.log(n) - (n - 1) / n, mean_proxy, mean_gold))
    return curve
''',
    other_solutions=[
        LINE + "    M, order = len(proxy), sorted(range(len(proxy)), key=lambda i: -proxy[i])\n    out = []\n    for n in sizes:\n"
        "        left, wins = 1.0, []  # the probability that no better one was drawn\n        for better in range(M):\n            drawn = n / (M - better) if M - better >= n else 0.0\n"
        "            wins.append(left * min(1.0, drawn))\n            left *= 1 - min(1.0, drawn)\n"
        "        kl = math.log(n) + 1 / n - 1\n        out.append((kl, sum(w * proxy[i] for w, i in zip(wins, order)), sum(w * gold[i] for w, i in zip(wins, order))))\n    return out\n",
        LINE + "    x, at = torch.tensor(proxy).double().sort()\n    y, M = torch.tensor(gold).double()[at], len(proxy)\n    def below(n):\n"
        "        return torch.tensor([math.comb(i, n) / math.comb(M, n) for i in range(M + 1)], dtype=torch.float64)\n"
        "    rows = []\n    for n in sizes:\n        w = below(n).diff()\n        rows.append((math.log(n) - 1 + 1 / n, (w @ x).item(), (w @ y).item()))\n    return rows\n",
    ],
    explanation="The answer that beats b others is the best of C(b, n - 1) draws: its n - 1 companions come from among those b. Drawn over the KL, the proxy's curve is that of an order statistic and only "
    "rises; the gold judge's turns where the best by the proxy are no longer the best. The KL is an upper bound, which is reached where no two answers are alike.",
    properties=[
        Property("one row for each n", '''def test(out, case):
    return len(out) == len(case[2]) or f"There are {len(case[2])} sizes, and you return {len(out)} rows."
''', "How many n are there, and what is returned for each?"),
        Property("a distance where nothing was chosen", '''def test(out, case):
    for n, row in zip(case[2], out):
        if n == 1 and abs(row[0]) > 1e-6:
            return f"Of a single answer nothing is chosen, so the KL is 0. Yours is {row[0]:.4g}."
        if row[0] < -1e-6 or row[0] > math.log(n) + 1e-6:
            return f"For n = {n} your KL is {row[0]:.4g}. It lies from 0 to log n = {math.log(n):.4g}."
    return True
''', "Which formula does the docstring give, and where do its brackets stand?"),
        Property("beyond the rewards", '''def test(out, case):
    for n, row in zip(case[2], out):
        for name, mean, rewards in (("proxy", row[1], case[0]), ("gold", row[2], case[1])):
            if not min(rewards) - 1e-4 <= mean <= max(rewards) + 1e-4:
                return f"For n = {n} the mean {name} reward is {mean:.4g}; the rewards go from {min(rewards)} to {max(rewards)}."
    return True
''', "To what do the weights of the answers add up?"),
        Property("more choice, less of the proxy", '''def test(out, case):
    found = sorted((n, row[1]) for n, row in zip(case[2], out))
    for (n, less), (more_n, more) in zip(found, found[1:]):
        if more < less - 1e-6:
            return f"The best of {n} has the mean proxy reward {less:.4g}, the best of {more_n} only {more:.4g}."
    return True
''', "Which of n answers is kept?"),
    ],
    mistakes=[
        Mistake("drawn again and again", chosen("((i + 1) / M) ** n - (i / M) ** n"),
                "The weights are those of draws *with* replacement, in which an answer may meet itself. Can it, here?"),
        Mistake("chosen by the gold judge", chosen(order="[(proxy[i], gold[i]) for i in sorted(range(M), key=lambda i: gold[i])]"),
                "The answers were ranked by their gold reward, which the policy never sees. Who chooses?"),
        Mistake("each judge with a choice of its own", chosen(order="list(zip(sorted(proxy), sorted(gold)))"),
                "Each judge's best was averaged, as if both had chosen. Of which answer is the gold reward asked?"),
        Mistake("the worst of n", chosen(order="sorted(zip(proxy, gold), reverse=True)"),
                "The worst by the proxy is kept. From which end does your ranking count?"),
        Mistake("not ranked", chosen(order="list(zip(proxy, gold))"),
                "The weights went to the answers in the order in which they stand. Which answer beats i others?"),
        Mistake("the best of all", picked("[range(M)]"),
                "The best of all M was kept, whatever n is. How often is it among the n that are drawn?"),
        Mistake("the first n", picked("[range(n)]"),
                "Only the first n answers were looked at, one draw of many. Over which draws is the mean taken?"),
        Mistake("one block after another", picked("[range(i, i + n) for i in range(0, M - n + 1, n)]"),
                "The answers were cut into blocks of n, and an end that fills no block was dropped. Which other draws are there?"),
        Mistake("neighbours", picked("[range(i, i + n) for i in range(M - n + 1)]"),
                "Only answers that stand beside each other were drawn together. Which other draws are there?"),
        Mistake("the mean of the top n", chosen("(i >= M - n) / n"),
                "The n best of all were averaged. How many answers are kept, and out of how many?"),
        Mistake("any one of n", chosen("1 / M"),
                "All answers weigh the same, so nothing was chosen. Of how many draws is the best answer the best, and of how many the worst?"),
        Mistake("companions from all others", chosen("math.comb(M - 1, n - 1) / math.comb(M, n)"),
                "C(M - 1, n - 1) draws hold an answer; in most of them it is not the best. From which answers must its companions come?"),
        Mistake("as many companions as n", chosen("math.comb(i, n) / math.comb(M, n)"),
                "n companions were drawn beside the answer itself, and the weights add up to less than 1. How many others are in a draw of n?"),
        Mistake("one companion too few", chosen("math.comb(i, max(0, n - 2)) / math.comb(M, max(1, n - 1))"),
                "n - 2 companions were drawn beside the answer. How many others are in a draw of n?"),
        Mistake("it beats itself", chosen("math.comb(i + 1, n - 1) / math.comb(M, n)"),
                "The companions were drawn from the answer and those that it beats. Can it be its own companion?"),
        Mistake("log n alone", chosen(kl="math.log(n)"),
                "The second part of the KL is missing. What is subtracted from log n?"),
        Mistake("without brackets", chosen(kl="math.log(n) - n - 1 / n"),
                "n - 1 / n is not (n - 1) / n. What is divided before what is subtracted?"),
        Mistake("the KL upside down", chosen(kl="(n - 1) / n - math.log(n)"),
                "The KL is never above 0. Which part is subtracted from which?"),
        Mistake("bits", chosen(kl="math.log2(n) - (n - 1) / n"),
                "log n was taken to the base 2. Which logarithm makes nats?"),
        Mistake("added", chosen(kl="math.log(n) + (n - 1) / n"),
                "(n - 1) / n was added. Which sign has it?"),
        Mistake("gold first", chosen(row="(kl, mean(g), mean(p))"),
                "The gold reward stands second. In which order are the three asked?"),
        Mistake("n for the KL", chosen(row="(n, mean(p), mean(g))"),
                "n itself stands first. How far from the reference does it lead, in nats?"),
        Mistake("in rising order", chosen(over="sorted(sizes)"),
                "The rows were sorted by n. In which order do the sizes stand?"),
        Mistake("without the KL", chosen(row="(mean(p), mean(g))"),
                "Two of three are there. What stands first in a row?"),
        Mistake("sums", chosen("math.comb(i, n - 1)"),
                "The rewards were added over all draws. By how many draws is the sum divided?"),
    ],
)  # fmt: skip

# -- 16.A2 the most reward at a distance ----------------------------------------------------------------------------------


def how_far(draw):
    """Another page and another distance for each student."""
    return {"first": draw.randrange(0, 4_300_000), "kl": round(draw.uniform(0.15, 0.6), 3)}


def tilted(answer="mean(at)", read='load("shakespeare").train[mine["first"] : mine["first"] + 60_000]', words="re.findall(r'[a-z]+', text.lower())",
           weigh="counts", distance="(q * (q / p).log()).sum().item()", far='mine["kl"]', tilt="p * (r * beta).exp()", more=""):  # fmt: skip
    """A near miss: p is the reference, r the rewards, `at` the strength at which the KL is reached."""
    return (
        "def best_reward(mine):\n    import re\n    from collections import Counter\n    from fmcourse.data import load\n"
        f"    text = {read}\n    counts = Counter({words})\n"
        f"    p = torch.tensor(list({weigh}.values())).double()\n    r = torch.tensor([len(word) for word in counts]).double()\n    p = p / p.sum()\n"
        f"    def policy(beta):\n        q = {tilt}\n        return q / q.sum()\n"
        f"    def kl(q):\n        return {distance}\n"
        "    mean = lambda beta: (policy(beta) * r).sum().item()\n    low, high = 0.0, 20.0\n"
        f"    for _ in range(60):\n        at = (low + high) / 2\n        low, high = (at, high) if kl(policy(at)) < {far} else (low, at)\n"
        f"    {more or 'pass'}\n    return {answer}\n"
    )


frontier = AssignedExercise(
    "16.A2",
    goal="the most reward at a given distance",
    minutes=20,
    difficulty=3,
    text="How much reward can a policy earn at most, if it may move only so far from its reference? Here is a world small enough for an exact answer. A policy writes a single word. The reference draws "
    "it from a page: `load(\"shakespeare\").train[first : first + 60_000]`, in small letters, cut into its words (the longest runs of the letters a to z), each as probable as it is frequent on the page. "
    "The reward model has a flaw: the reward of a word is its number of letters.\n\n"
    "Of all policies over these words whose KL(π, π_ref) is at most your `kl` nats there is one with the highest mean reward. It has the form that lesson 16 derives for reward minus β · KL, with a β of its own that "
    "spends the whole distance. Find it, and give its mean reward, in letters."
    "\n\nGive it unrounded: the first five digits must be right.",
    imports=IMPORTS + "from fmcourse.data import load\n",
    starter='''mine = variant("16.A2")  # where your page begins, and how far the policy may move, in nats
best_reward = ...  # a float, in letters
''',
    solution='''import re
from collections import Counter

from fmcourse.data import load


def best_reward(mine):
    page = load("shakespeare").train[mine["first"] : mine["first"] + 60_000].lower()
    lengths = Counter(len(word) for word in re.findall("[a-z]+", page))  # words of one length are treated alike
    letters = torch.tensor(sorted(lengths)).double()
    reference = torch.tensor([lengths[int(n)] for n in letters]).double()
    reference = reference / reference.sum()
    low, high = 1e-3, 1e3  # of beta: the smaller, the further away
    for _ in range(100):
        beta = math.sqrt(low * high)
        log_policy = (reference.log() + letters / beta).log_softmax(0)
        kl = (log_policy.exp() * (log_policy - reference.log())).sum()
        low, high = (beta, high) if kl > mine["kl"] else (low, beta)
    return (log_policy.exp() @ letters).item()
''',
    other_solutions=[
        '''def best_reward(mine):
    import re
    from collections import Counter
    from fmcourse.data import load
    text = load("shakespeare").train[mine["first"]:][:60000]
    words = Counter(re.findall("[A-Za-z]+", text))
    total = sum(words.values())
    def rewarded(s):
        weights = {w: c / total * math.exp(s * len(w)) for w, c in words.items()}
        z = sum(weights.values())
        mean = sum(v * len(w) for w, v in weights.items()) / z
        return mean, s * mean - math.log(z)
    s, step = 0.0, 1.0
    while step > 1e-12:
        if rewarded(s + step)[1] <= mine["kl"]:
            s += step
        else:
            step /= 2
    return rewarded(s)[0]
''',
        '''def best_reward(mine):
    import re
    import numpy
    from scipy.optimize import brentq
    from fmcourse.data import load
    sizes = [len(w) for w in re.split("[^a-z]+", load("shakespeare").train[mine["first"] : mine["first"] + 60_000].lower()) if w]
    p = numpy.bincount(sizes) / len(sizes)
    x = numpy.flatnonzero(p)
    p = p[x]
    def tilt(beta):
        q = p * numpy.exp((x - x.max()) / beta)
        return q / q.sum()
    beta = brentq(lambda beta: (tilt(beta) * numpy.log(tilt(beta) / p)).sum() - mine["kl"], 0.05, 500, xtol=1e-13, rtol=1e-13)
    return float((tilt(beta) * x).sum())
''',
    ],
    vary=how_far,
    explanation="The policy is the reference, weighted with exp(reward / β): every letter more makes a word so many times likelier, and two words of one length keep their ratio, so only lengths matter. The mean reward "
    "rises with about the square root of twice the KL times the reference's variance: the first tenth of a nat buys most, which is why a flaw of the reward model is found at once.",
    properties=[Property("no reward of such a policy", '''def test(out, case):
    return 3.5 < out < 15 or f"The reference's words have 4 letters on average, and hardly one has 15; yours have {out:.4g}."
''', "Over which words is the mean taken, and with which probabilities?")],
    mistakes=[
        Mistake("the distance the other way round", tilted(distance="(p * (p / q).log()).sum().item()"),
                "KL(π_ref, π) was brought to your distance. Which of the two policies draws the words over which a KL is averaged?"),
        Mistake("bits", tilted(distance="(q * (q / p).log2()).sum().item()"),
                "The distance was measured in bits. Which logarithm makes nats?"),
        Mistake("each word once", tilted(weigh="dict.fromkeys(counts, 1)"),
                "A rare word was as probable as a frequent one. How often does the reference draw each?"),
        Mistake("the reference", tilted("(p * r).sum().item()"),
                "This is the mean length of the page's words, at a distance of 0. What may the policy change?"),
        Mistake("the gain", tilted("mean(at) - (p * r).sum().item()"),
                "This is by how much the reward rises. How large is it afterwards?"),
        Mistake("the distance for β", tilted("mean(1 / mine['kl'])"),
                "β was set to your distance. What is the KL of that policy?"),
        Mistake("the distance for the strength", tilted("mean(mine['kl'])"),
                "The rewards were multiplied by your distance before the exponential. What is the KL of that policy?"),
        Mistake("β for the reward", tilted("1 / at"),
                "This is β itself. What is the mean reward of the policy that it gives?"),
        Mistake("1 over β for the reward", tilted("at"),
                "This is 1 / β. What is the mean reward of the policy that it gives?"),
        Mistake("less the penalty", tilted("mean(at) - mine['kl'] / at"),
                "β · KL was taken off the reward. Of what is the mean asked?"),
        Mistake("less the distance", tilted("mean(at) - mine['kl']"),
                "The KL was taken off the reward. Of what is the mean asked?"),
        Mistake("a parabola", tilted("((p * r).sum() + (2 * mine['kl'] * ((p * r * r).sum() - (p * r).sum() ** 2)).sqrt()).item()"),
                "This is the rule of thumb for short distances, the root of twice the KL times the variance. By how much is it off, here?"),
        Mistake("without the reference", tilted(tilt="(r * beta).exp()"),
                "The policy is a softmax of the rewards, which forgets how probable a word was. By what is it weighted?"),
        Mistake("what stands between spaces", tilted(words="text.split()"),
                "Commas and full stops were counted as letters. Of which signs does a word consist?"),
        Mistake("apostrophes and hyphens", tilted(words="""re.findall(r"[a-z'-]+", text.lower())"""),
                "Apostrophes or hyphens were taken for letters. Of which signs does a word consist?"),
        Mistake("capitals cut off", tilted(words="re.findall(r'[a-z]+', text)"),
                "Capital letters end a word here, so Romeo became omeo. What comes before the text is cut?"),
        Mistake("the beginning of all", tilted(read='load("shakespeare").train[:60_000]'),
                "These are the first characters of all. Where does your page begin?"),
        Mistake("another page", tilted(read='load("shakespeare").test[:60_000]'),
                "This page is from the test set. Which part of the plays is yours?"),
        Mistake("a mixture with the longest", tilted(tilt="p + beta * (r == r.max())"),
                "Probability was moved to the longest words alone. What else could be had for the same distance?"),
        Mistake("the longest words alone", tilted(tilt="p * (r > beta)"),
                "Short words were forbidden and the rest left as it was. Is that the form that the lesson derives?"),
        Mistake("the squared reward", tilted(tilt="p * (r.square() * beta).clamp(max=600).exp()"),
                "The rewards were squared before the exponential. What stands in the exponent?"),
        Mistake("a power of the reward", tilted(tilt="p * r**beta"),
                "The reference was weighted with a power of the reward. Which function of the reward does the lesson derive?"),
        Mistake("half the distance", tilted(far='mine["kl"] / 2'),
                "Only half of the distance was spent. What does your policy's KL come to?"),
        Mistake("the entropy's fall", tilted(distance="((q * q.clamp(min=1e-300).log()).sum() - (p * p.log()).sum()).item()"),
                "The difference of two entropies was brought to your distance. With whose logarithm is the reference averaged in a KL?"),
    ],
)  # fmt: skip
