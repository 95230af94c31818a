"""Assigned in lesson 05: attention in which distance costs, and what padding costs a batch."""

import torch
from fmcourse.classroom.exercise_kinds import AssignedExercise
from fmcourse.course.exercise import IMPORTS, Mistake, Property

noise = lambda *shape, seed=0: torch.randn(*shape, generator=torch.Generator().manual_seed(seed))

# -- 05.A1 distance costs -------------------------------------------------------------------------------------------------


def asked(B, H, T, S, K, width, slopes, seed, size=1.5):
    """T queries that are the last of S positions."""
    q, k = size * noise(B, H, T, K, seed=seed), size * noise(B, H, S, K, seed=seed + 1)
    return q, k, noise(B, H, S, width, seed=seed + 2), torch.tensor(slopes)


def bare(slopes, S, T=None):
    """Queries that ask nothing, and values that show the weights themselves."""
    H, T = len(slopes), T or S
    return (
        torch.zeros(1, H, T, 2),
        noise(1, H, S, 2, seed=S),
        torch.eye(S).expand(1, H, S, S).clone(),
        torch.tensor(slopes),
    )


NEAR = '''def attend_near(q, k, v, slopes):
    """Causal attention in which distance costs. The score of position t with position s is  q_t · k_s / √K - slope (t
    - s),  with the slope of its head, for itself and what came before; the future is not seen. Then softmax and the
    average of the values, as always.

    There are S positions. The T queries belong to the last T of them, T at most S (with a cache only the newest ask).
    q: (B, H, T, K)   k: (B, H, S, K)   v: (B, H, S, any width)   slopes: (H,), each 0 or more
    ->   (B, H, T, any width)
    """
'''


def near(
    score="q @ k.mT / K**0.5 - slope * away",
    mask="away >= 0",
    after="weights = scores.softmax(-1)",
    at="torch.arange(S - T, S)",
    slope="slopes[:, None, None]",
):
    """The right answer, or a near miss."""
    return (
        "def attend_near(q, k, v, slopes):\n    T, S, K = q.shape[-2], k.shape[-2], q.shape[-1]\n"
        f"    away = {at}[:, None] - torch.arange(S)\n    slope = {slope}\n    scores = {score}\n"
        f"    scores = scores.masked_fill(~({mask}), -math.inf)\n    {after}\n    return weights @ v\n"
    )


distance_costs = AssignedExercise(
    "05.A1",
    goal="attention in which distance costs",
    minutes=20,
    difficulty=2,
    text="Sinusoids are added to the letters, RoPE rotates queries and keys. A third way tells positions without touching any vector: *what is far away "
    "costs*. From each score a price is taken that grows with distance. Each head has a price of its own, its **slope**, so that some heads "
    "attend near and others far. (ALiBi, Press et al. 2022. A model that learnt on short texts so can read longer ones.)\n\n"
    "An example: the queries are zero, and the slope is log 2. Then each step back halves the weight. With three positions, the last one attends to "
    "them with 1/7, 2/7 and 4/7.\n\n"
    "Mind the cache: there may be fewer queries than keys.",
    cases=[
        bare([0.6931472], 3),
        asked(1, 2, 4, 4, 8, 3, [0.5, 2.0], seed=1),
        asked(2, 2, 1, 5, 4, 4, [0.0, 1.0], seed=4),
        bare([0.25, 1.0], 4, 2),
    ],
    hidden=[
        asked(1, 1, 1, 1, 2, 3, [1.0], seed=7),
        asked(3, 4, 3, 7, 16, 5, [0.5, 0.25, 0.125, 0.0625], seed=10),
        asked(2, 3, 12, 12, 6, 2, [0.0, 0.3, 3.0], seed=13),
        bare([0.1, 0.9, 0.0], 6),
        tuple(part.requires_grad_() for part in asked(1, 2, 5, 9, 4, 4, [0.7, 0.2], seed=16)[:3]) + (torch.tensor([0.7, 0.2]),),
    ],
    starter=NEAR + "    ...\n",
    solution=NEAR + '''    T, S, K = q.shape[-2], k.shape[-2], q.shape[-1]
    away = torch.arange(S - T, S)[:, None] - torch.arange(S)               # (T, S): how far back s lies from t
    scores = q @ k.mT / K**0.5 - slopes[:, None, None] * away             # (B, H, T, S)
    return scores.masked_fill(away < 0, -math.inf).softmax(-1) @ v
''',
    other_solutions=[
        "def attend_near(q, k, v, slopes):\n    T, S = q.shape[-2], k.shape[-2]\n"
        "    price = torch.stack([torch.tensor([[-m * (S - T + t - s) if s <= S - T + t else -math.inf for s in range(S)] for t in range(T)]) for m in slopes.tolist()])\n"
        "    return F.scaled_dot_product_attention(q, k, v, price.to(q.dtype)[None])\n",
        "def attend_near(q, k, v, slopes):\n    B, H, T, K = q.shape\n    S = k.shape[2]\n    rows = []\n    for t in range(T):\n        n = S - T + t + 1\n"
        "        back = torch.arange(n - 1, -1, -1.0)\n"
        "        weight = (torch.einsum('bhk,bhsk->bhs', q[:, :, t], k[:, :, :n]) / math.sqrt(K)).exp() * torch.exp(-slopes[:, None] * back)\n"
        "        rows.append(torch.einsum('bhs,bhsd->bhd', weight / weight.sum(-1, keepdim=True), v[:, :, :n]))\n    return torch.stack(rows, 2)\n",
        # a price that depends on s alone does as well: softmax does not see what a whole row has in common
        near(score="q @ k.mT / K**0.5 + slope * torch.arange(S)"),
    ],
    explanation="The distances are a table, a column of places minus a row of places; the queries' places begin at S - T. Times the slopes, which get two more axes, "
    "it is taken from the scores before softmax. The mask is still needed: a price makes things dear, and only minus infinity forbids.",
    properties=[
        Property("the first is not alone", '''def test(out, case):
    q, k, v, slopes = case
    if q.shape[-2] != k.shape[-2] or torch.allclose(out[:, :, 0], v[:, :, 0], atol=1e-4):
        return True
    return "The first of all positions can attend to nothing but itself; what comes out there is not its own value."
''', "What lies before the first position?"),
        Property("weights do not add up", '''def test(out, case):
    v = case[2]
    S = v.shape[-2]
    if v.shape[-1] != S or not torch.equal(v, torch.eye(S).expand_as(v)):
        return True
    sums = out.sum(-1).flatten()
    worst = sums[(sums - 1).abs().argmax()].item()
    return abs(worst - 1) < 1e-3 or f"Here the values are such that the weights themselves come out; those of one position add up to {worst:.3g}."
''', "Which step comes last before the values are averaged?"),
        Property("the price of a step", '''def test(out, case):
    q, k, v, slopes = case
    S = v.shape[-2]
    if q.any() or v.shape[-1] != S or S < 2:
        return True
    for head, slope in enumerate(slopes.tolist()):
        own, before = out[0, head, -1, -1].item(), out[0, head, -1, -2].item()
        if own <= 0 or abs(before / own - math.exp(-slope)) > 1e-3:
            return f"The queries are zero, so only distance counts. In head {head} the slope is {slope:.3g}, and the last position gives {own:.3g} to itself and {before:.3g} to the one before."
    return True
''', "How much less must a score be for one step back, and in which head?"),
    ],
    mistakes=[
        Mistake("the far are favoured", near("q @ k.mT / K**0.5 + slope * away"),
                "With queries of zero the first position gets the largest weight. Should distance cost, or pay?"),
        Mistake("no mask", near(mask="away > -S"),
                "The first position takes something from later ones, and more the later they are. What sign has a distance into the future?"),
        Mistake("a price for a mask", near("q @ k.mT / K**0.5 - slope * away.abs()", mask="away > -S"),
                "The future is dear, but not forbidden: the first position takes something from the second. Which score leaves nothing at all after softmax?"),
        Mistake("counted from the first place", near(at="torch.arange(T)"),
                "With four keys and two queries, the first query sees one key only. Where in the text do the queries stand?"),
        Mistake("one slope for all", near(slope="slopes[:1, None, None]"),
                "All heads have the price of the first. Which axis of the scores counts the heads?"),
        Mistake("the price is divided too", near("(q @ k.mT - slope * away) / K**0.5"),
                "The price of a step is the slope, divided by √K. Why are dot products divided, and is that true of a distance?"),
        Mistake("paid after softmax", near("q @ k.mT / K**0.5", after="weights = scores.softmax(-1) * (-slope * away.clamp(min=0)).exp()"),
                "The weights shrink with distance and then no longer add up to 1. Is the price taken from scores or from weights?"),
        Mistake("no division", near("q @ k.mT - slope * away"),
                "The dot products are too large beside the price. What keeps them of size 1, however wide a head is?"),
        Mistake("divided by K", near("q @ k.mT / K - slope * away"),
                "The dot products are divided by K. How large is the standard deviation of a sum of K products of variance 1?"),
        Mistake("divided by the root of the length", near("q @ k.mT / S**0.5 - slope * away"),
                "The dot products are divided by the root of how many positions there are. Over which axis does a dot product sum?"),
        Mistake("masked with zero", near().replace("-math.inf", "0.0"),
                "Scores of the future are set to 0, and e to the 0 is 1. Which score leaves nothing at all after softmax?"),
        Mistake("masked after softmax", near(mask="away > -S", after="weights = scores.softmax(-1).masked_fill(away < 0, 0.0)"),
                "The future is taken out after softmax, and the weights that are left do not add up to 1. When must the mask come?"),
        Mistake("blind to itself", near(mask="away > 0"),
                "With distance 0 left out the first position attends to no key, and its weights are not defined. Is its own key hidden from it?"),
        Mistake("softmax along the queries", near(after="weights = scores.softmax(-2)"),
                "The weights of each *key* add up to 1. Over which axis must the weights of one query add up?"),
        Mistake("no price", near("q @ k.mT / K**0.5"),
                "With queries of zero all positions get the same. Where do the slopes come in?"),
    ],
)  # fmt: skip

# -- 05.A2 padding --------------------------------------------------------------------------------------------------------


def a_run_of_words(draw):
    """Other words and batches for each student."""
    batch = draw.choice([5, 6, 8, 10, 12])  # so small that not every batch holds a longest word
    many = batch * draw.randrange(40, 90)
    return {"first": draw.randrange(0, 15190 - many), "many": many, "batch": batch}


def wasted(body):
    """A near miss: `n` holds the lengths, batch by batch."""
    return (
        "def wasted_scores(mine):\n    from fmcourse.data import load\n"
        '    words = load("pronunciation").train[mine["first"]:][:mine["many"]]\n    size = mine["batch"]\n'
        "    n = torch.tensor([len(pair.word) for pair in words]).double().view(-1, size)\n"
        f"    longest = n.amax(1, keepdim=True).expand_as(n)\n{body}"
    )


padding = AssignedExercise(
    "05.A2",
    goal="what does padding cost?",
    minutes=12,
    difficulty=2,
    text="The lesson put words of one length into one batch. What if it had not? Take the words of `load(\"pronunciation\").train[first : first + many]` with your own "
    "numbers, in the order in which they stand, and cut them into batches of `batch` words each. (`many` is a multiple of `batch`.) In each batch every word is "
    "padded to the length of the longest word *of that batch*.\n\n"
    "The encoder's attention then computes a score for each place of a word with each place of the same word, padding and all. A score is *wasted* if the position "
    "that attends is padding, or the one attended to, or both. Of all scores in all your batches together, which share is wasted?\n\n"
    "An example: *cat* and *bird* in one batch are 2 · 4 · 4 = 32 scores, of which 7 are wasted. (Letters only: the encoder has no start mark and no end mark.)"
    "\n\nGive it unrounded: the first five digits must be right.",
    imports=IMPORTS + "from fmcourse.data import load\n",
    starter='''mine = variant("05.A2")  # your numbers
wasted_scores = ...  # a float from 0 to 1
''',
    solution='''from fmcourse.data import load


def wasted_scores(mine):
    words = load("pronunciation").train[mine["first"] : mine["first"] + mine["many"]]
    useful = computed = 0
    for i in range(0, len(words), mine["batch"]):
        lengths = [len(pair.word) for pair in words[i : i + mine["batch"]]]
        useful += sum(n * n for n in lengths)
        computed += len(lengths) * max(lengths) ** 2
    return 1 - useful / computed
''',
    other_solutions=[
        '''def wasted_scores(mine):
    from fmcourse.data import load
    from torch.nn.utils.rnn import pad_sequence
    words = [torch.ones(len(pair.word)) for pair in load("pronunciation").train[mine["first"]:][:mine["many"]]]
    bad = every = 0
    for i in range(0, len(words), mine["batch"]):
        real = pad_sequence(words[i : i + mine["batch"]], batch_first=True) > 0
        both = real[:, :, None] & real[:, None, :]
        bad, every = bad + int((~both).sum()), every + both.numel()
    return bad / every
''',
        '''def wasted_scores(mine):
    from fmcourse.data import load
    words = [pair.word for pair in load("pronunciation").train[mine["first"]:][:mine["many"]]]
    lengths = torch.tensor(list(map(len, words))).double().view(-1, mine["batch"])  # a row for each batch
    filled = lengths.amax(1, keepdim=True).expand_as(lengths)
    return 1 - (lengths.norm() / filled.norm()).square().item()
''',
    ],
    vary=a_run_of_words,
    explanation="A word of n letters is worth n² scores, and costs as many as the longest word of its batch. So a share of padding among letters becomes "
    "nearly twice that share among scores, and one long word makes a whole batch dear. Sorted by length hardly anything is wasted.",
    properties=[Property("no share", "def test(out, case):\n    return 0 < out < 1 or f'Some scores are wasted and some are not, so the share lies between 0 and 1; yours is {out:.4g}.'\n",
                         "Which two counts does the share divide?")],
    mistakes=[
        Mistake("letters, not scores", wasted("    return 1 - (n.sum() / longest.sum()).item()\n"),
                "For *cat* and *bird* it is 1/8: that is the share of places that are padding. How many scores does a word of n places need?"),
        Mistake("only what is attended to", wasted("    return 1 - ((n * longest).sum() / longest.square().sum()).item()\n"),
                "For *cat* and *bird* it finds 4 of 32. Padding that attends to a letter is computed, too: is that of any use?"),
        Mistake("both must be padding", wasted("    return ((longest - n).square().sum() / longest.square().sum()).item()\n"),
                "For *cat* and *bird* it finds 1 of 32. What of a letter that attends to padding?"),
        Mistake("the mean of the batches", wasted("    return (1 - n.square().sum(1) / longest.square().sum(1)).mean().item()\n"),
                "Each batch counts alike, whether it holds many scores or few. Of which scores, all together, was the share asked?"),
        Mistake("one length for all", wasted("    return 1 - (n.square().sum() / n.numel() / n.max() ** 2).item()\n"),
                "Every word is padded to the length of the longest of all your words. How far does padding reach in a batch of short ones?"),
        Mistake("sorted first", wasted("    n = n.flatten().sort().values.view(-1, size)\n    return 1 - (n.square().sum() / n.amax(1, keepdim=True).expand_as(n).square().sum()).item()\n"),
                "The words were sorted by length, as the lesson does it, and hardly anything is wasted. In which order do yours stand?"),
        Mistake("what is of use", wasted("    return (n.square().sum() / longest.square().sum()).item()\n"),
                "For *cat* and *bird* it is 25/32. Is that the share of the wasted ones?"),
        Mistake("sounds, not letters", wasted("    return 1 - (n.square().sum() / longest.square().sum()).item()\n").replace("len(pair.word)", "len(pair.sounds)"),
                "It counts the sounds of each word. What does the encoder read?"),
        Mistake("start and end marks", wasted("    return 1 - (n.square().sum() / longest.square().sum()).item()\n").replace("len(pair.word)", "len(pair.word) + 2"),
                "Each word has two places more than letters. Which marks has the encoder?"),
        Mistake("wasted to useful", wasted("    return (longest.square().sum() / n.square().sum()).item() - 1\n"),
                "For *cat* and *bird* it is 7/25. Of which scores was the share asked: of all, or of the useful ones?"),
        Mistake("padding with padding left out", wasted("    return (2 * (longest - n) * n).sum().item() / longest.square().sum().item()\n"),
                "For *cat* and *bird* it finds 6 of 32. What of padding that looks at padding?"),
        Mistake("padding with padding twice", wasted("    return (2 * (longest - n) * longest).sum().item() / longest.square().sum().item()\n"),
                "For *cat* and *bird* it finds 8 of 32. How often was padding that looks at padding counted?"),
        Mistake("a batch as one text", wasted("    return 1 - (n.sum(1).square().sum() / longest.sum(1).square().sum()).item()\n"),
                "All places of a batch look at each other. At which places does a place look?"),
    ],
)  # fmt: skip
