"""Assigned in lesson 12: a batch in which two rows show the same thing, and how much a thing's kind tells of its colour."""

import torch
from fmcourse.classroom.exercise_kinds import AssignedExercise
from fmcourse.course.exercise import IMPORTS, Mistake, Property

noise = lambda *shape, seed: torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
ids = torch.tensor


def sure(things, seed):
    """Scores of towers that know what belongs together."""
    return 12.0 * (things[:, None] == things) + 0.3 * noise(len(things), len(things), seed=seed)


# -- 12.A1 the same thing twice -------------------------------------------------------------------------------------------

SHARED = '''def match_things(scores, things):
    """The loss of two towers on a batch in which several pairs may show the same thing.

    scores: (B, B), row i is picture i, column j is phrase j; already sharpened
    things: (B,) whole numbers, the thing of each pair: pair i is picture i
    with phrase i, and equal numbers are the same thing
    ->   scalar tensor, in nats: the mean of the pictures' question and the phrases' question, each a mean over the
    batch
    """
'''

SAME = "    same = (things[:, None] == things[None]).float()\n    share = same / same.sum(1, keepdim=True)\n"

same_thing = AssignedExercise(
    "12.A1",
    goal="the same thing twice in a batch",
    minutes=15,
    difficulty=2,
    text="CLIP's batch is its own multiple choice: whatever belongs to another row is a wrong answer. But the emoji are drawn by three hands, so a batch may hold Google's fox *and* "
    "Twitter's. Then the loss pushes a fox away from \"fox\". Such rows are called **false negatives**, and the larger the batch, the more there are.\n\n"
    "The cure (UniCL, Yang et al. 2022): for picture i, *all* phrases of its thing are right. Its aim is a distribution over the B phrases that gives each of the right ones the same share "
    "and the others nothing; the price is the cross-entropy between this aim and the softmax of its row, in which all B phrases compete. The same for each phrase and "
    "its pictures. The loss is the mean over the pictures and the mean over the phrases, averaged.\n\n"
    "*Example.* Three pairs: fox, fox, owl. Picture 0 aims at (½, ½, 0), picture 2 at (0, 0, 1). If no two things are the same it is CLIP's loss.",
    cases=[
        (torch.zeros(3, 3), ids([5, 5, 2])),
        (torch.tensor([[2.0, 1.0, 0.0], [0.5, 1.5, 0.0], [0.0, -1.0, 3.0]]), ids([4, 4, 9])),
        (noise(4, 4, seed=1), ids([0, 1, 2, 3])),
        (noise(5, 5, seed=2).requires_grad_(), ids([7, 3, 7, 7, 3])),
    ],
    hidden=[
        (sure(ids([1, 1, 0, 2, 1, 0]), seed=3), ids([1, 1, 0, 2, 1, 0])),
        (3 * noise(6, 6, seed=4), ids([2, 8, 2, 5, 8, 2])),
        (torch.full((4, 4), -3.0), ids([1, 1, 1, 0])),
        (5 * noise(8, 8, seed=5).requires_grad_(), ids([3, 3, 3, 3, 3, 1, 1, 0])),
        (2 * noise(3, 3, seed=6), ids([6, 6, 6])),
        (noise(7, 7, seed=7) - 20, ids([0, 4, 0, 1, 2, 4, 3])),
    ],
    starter=SHARED + "    ...\n",
    solution=SHARED + '''    same = (things[:, None] == things[None]).float()
    aim = same / same.sum(1, keepdim=True)           # (B, B): each row adds up to 1; it is its own transpose
    return (F.cross_entropy(scores, aim) + F.cross_entropy(scores.T, aim)) / 2
''',
    other_solutions=[
        '''def match_things(scores, things):
    B = len(things)
    total = 0
    for i in range(B):
        right = [j for j in range(B) if things[j] == things[i]]
        row, column = scores[i] - scores[i].logsumexp(0), scores[:, i] - scores[:, i].logsumexp(0)
        for j in right:
            total = total - (row[j] + column[j]) / len(right)
    return total / (2 * B)
''',
        '''def match_things(scores, things):
    same = things.unsqueeze(1).eq(things)
    pulled = scores.masked_fill(~same, 0.0)
    phrases = scores.logsumexp(1) - pulled.sum(1) / same.sum(1)
    pictures = scores.logsumexp(0) - pulled.sum(0) / same.sum(0)
    return torch.cat([phrases, pictures]).mean()
''',
    ],
    explanation="A one-hot aim says that Twitter's fox is as wrong for Google's \"fox\" as a lorry is. Shared out, both are right, and towers that give equal scores to both pay "
    "log 2 and not a nat less: no loss asks them to tell apart what is the same.",
    properties=[
        Property("knowing nothing does not cost log B", '''def test(out, case):
    scores, things = case
    if scores.detach().max() != scores.detach().min():
        return True
    wanted = math.log(len(things))
    return abs(float(out.detach()) - wanted) < 1e-3 or f"All {len(things)} scores of a row are alike, so each gets the same p and log {len(things)} = {wanted:.4g} is due; it costs {float(out.detach()):.4g}."
''', "What does one choice among B cost who cannot tell them apart?"),
        Property("less than the least possible", '''def test(out, case):
    scores, things = case
    least = (things[:, None] == things).sum(1).double().log().mean().item()
    return float(out.detach()) > least - 1e-3 or f"Who has m right answers and gives all of them the same p pays log m at least, here {least:.4g} in the mean; it costs {float(out.detach()):.4g}."
''', "Can a cross-entropy be smaller than the entropy of its aim?"),
    ],
    mistakes=[
        Mistake("each pair for itself", "def match_things(scores, things):\n    right = torch.arange(len(things))\n    return (F.cross_entropy(scores, right) + F.cross_entropy(scores.T, right)) / 2\n",
                "That is CLIP's loss: of two foxes each is the other's wrong answer. Where do the things come in?"),
        Mistake("not shared out", "def match_things(scores, things):\n" + SAME + "    return (F.cross_entropy(scores, same) + F.cross_entropy(scores.T, same)) / 2\n",
                "Each of m right answers has the full weight, so a thing that comes three times counts three times in its row. To what does an aim add up?"),
        Mistake("any of them will do", "def match_things(scores, things):\n" + SAME + "    inside = lambda s: (s.logsumexp(1) - s.masked_fill(same == 0, -math.inf).logsumexp(1)).mean()\n    return (inside(scores) + inside(scores.T)) / 2\n",
                "It asks only that the right answers *together* are likely; one of them may get everything. That is a known variant, but what does the aim give to each of them?"),
        Mistake("the twins sit out", "def match_things(scores, things):\n" + SAME + "    twins = (same > 0) & ~torch.eye(len(things), dtype=torch.bool)\n    right = torch.arange(len(things))\n"
                "    left = scores.masked_fill(twins, -math.inf)\n    return (F.cross_entropy(left, right) + F.cross_entropy(left.T, right)) / 2\n",
                "Others of the same thing are taken out of the choice: no longer wrong, but not right either. How many phrases compete, and who is drawn towards whom?"),
        Mistake("the right ones alone compete", "def match_things(scores, things):\n" + SAME + "    p = lambda s: s.masked_fill(same == 0, -1e9).log_softmax(1)\n    return -((share * p(scores)).sum(1).mean() + (share * p(scores.T)).sum(1).mean()) / 2\n",
                "In the softmax only the right answers are left, so nothing is ever pushed away. Which phrases compete for a picture?"),
        Mistake("pictures alone", "def match_things(scores, things):\n" + SAME + "    return F.cross_entropy(scores, share)\n",
                "Pictures look for their phrases, but no phrase looks for its pictures. Which axis is never asked?"),
        Mistake("both added up", "def match_things(scores, things):\n" + SAME + "    return F.cross_entropy(scores, share) + F.cross_entropy(scores.T, share)\n",
                "Both directions are summed. What does a model that knows nothing pay, averaged over the two?"),
        Mistake("a sum over the batch", "def match_things(scores, things):\n" + SAME + "    return (F.cross_entropy(scores, share, reduction='sum') + F.cross_entropy(scores.T, share, reduction='sum')) / 2\n",
                "A larger batch costs more because it has more rows. Sum or mean?"),
        Mistake("probabilities as scores", "def match_things(scores, things):\n" + SAME + "    return (F.cross_entropy(scores.softmax(1), share) + F.cross_entropy(scores.T.softmax(1), share)) / 2\n",
                "`cross_entropy` makes probabilities itself. What was handed to it?"),
        Mistake("softmax along the wrong axis", "def match_things(scores, things):\n" + SAME + "    return -((share * scores.log_softmax(0)).sum(0).mean() + (share * scores.log_softmax(0)).sum(1).mean()) / 2\n",
                "Both questions use the same softmax, of the columns. Along which axis do the phrases of one picture compete?"),
        Mistake("the first of its thing", "def match_things(scores, things):\n" + SAME + "    first = same.argmax(1)\n    return (F.cross_entropy(scores, first) + F.cross_entropy(scores.T, first)) / 2\n",
                "Of m right answers only the first counts as right. What does the aim give to each of them?"),
        Mistake("the thing's number for a place", "def match_things(scores, things):\n    right = things % len(things)\n    return (F.cross_entropy(scores, right) + F.cross_entropy(scores.T, right)) / 2\n",
                "The number of a thing is taken for the number of a column. In which columns does the thing of row i stand?"),
        Mistake("softmax of the right", "def match_things(scores, things):\n" + SAME + "    aim = same.softmax(1)\n    return (F.cross_entropy(scores, aim) + F.cross_entropy(scores.T, aim)) / 2\n",
                "The aim is a softmax of 0s and 1s, which gives something to the wrong ones, too. What are they to get?"),
        Mistake("yes or no for each pair", "def match_things(scores, things):\n" + SAME + "    return F.binary_cross_entropy_with_logits(scores, same)\n",
                "Each pair is a question of its own, and knowing nothing costs log 2. Among how many does a picture choose?"),
        Mistake("the same share for every row", "def match_things(scores, things):\n" + SAME + "    aim = same / len(things)\n    return (F.cross_entropy(scores, aim) + F.cross_entropy(scores.T, aim)) / 2\n",
                "Each right answer gets 1/B, so an aim does not add up to 1. To what does an aim add up?"),
        Mistake("every right pair counts once", "def match_things(scores, things):\n" + SAME + "    pairs = same > 0\n    return -(scores.log_softmax(1)[pairs].mean() + scores.log_softmax(0)[pairs].mean()) / 2\n",
                "It is a mean over the right pairs, so a thing that comes three times counts nine times. Over what was the mean to be taken?"),
        Mistake("less the aim's own entropy", "def match_things(scores, things):\n" + SAME + "    away = lambda s: F.kl_div(s.log_softmax(1), share, reduction='batchmean')\n    return (away(scores) + away(scores.T)) / 2\n",
                "Twins with equal scores cost nothing: it is the divergence, the cross-entropy less the entropy of the aim. Which of the two was asked?"),
        Mistake("a twin, not itself", "def match_things(scores, things):\n" + SAME + "    same = same - torch.eye(len(things))\n    aim = same / same.sum(1, keepdim=True).clamp(min=1)\n    return (F.cross_entropy(scores, aim) + F.cross_entropy(scores.T, aim)) / 2\n",
                "A pair's own phrase is no right answer any more. Of which thing is it?"),
    ],
)  # fmt: skip

# -- 12.A2 what a kind tells of a colour ------------------------------------------------------------------------------------

COUNTED = """    from fmcourse.data import load
    from fmcourse.data.images import dominant_colours, normalize_pixels
    emoji = load("emoji").train
    lot = torch.randperm(len(emoji), generator=torch.Generator().manual_seed(mine["seed"]))[: mine["many"]]
    colours, kinds = dominant_colours(normalize_pixels(emoji.pixels[lot])), emoji.labels[lot].tolist()
    n = len(kinds)
    pairs = [(c, k) for c, k in zip(colours, kinds)]
    count = lambda things: [things.count(one) for one in set(things)]
    entropy = lambda things: -sum(m / n * math.log2(m / n) for m in count(things))
"""
HELD = "def bits_about_the_colour(mine):\n" + COUNTED


def some_emoji(draw):
    """Other emoji for each student."""
    return {"seed": draw.randrange(10**6), "many": draw.randrange(500, 1200)}


entangled = AssignedExercise(
    "12.A2",
    goal="how much does its kind tell of a picture's colour?",
    minutes=15,
    difficulty=2,
    text="The painter draws a green fox that nobody showed it, since things and colours varied *apart*: of eight colours each thing had nearly all. Nature does not deal so. "
    "Faces are yellow, plants are green. What always comes together nobody can learn apart. "
    "How far is that so in the emoji as their makers drew them?\n\n"
    "Measure it as **mutual information**: how many bits do you save, on average, in guessing a picture's colour when you are told its kind? With p the shares in your sample, it is the sum over "
    "all pairs of a colour c and a kind k that occur of p(c, k) log₂ ( p(c, k) / ( p(c) p(k) ) ).\n\n"
    "Your sample: the first `many` of `torch.randperm(len(emoji), generator=torch.Generator().manual_seed(seed))`, with your own numbers, are places in `emoji = load(\"emoji\").train`. "
    "A picture's kind is in `emoji.labels`, its colour is what `dominant_colours(normalize_pixels(pixels))` of `fmcourse.data.images` says.\n\n"
    "*Example.* Half of the pictures yellow faces, half green plants: 1 bit. Two colours and two kinds, all four pairs equally often: 0 bits."
    "\n\nGive it unrounded: the first five digits must be right.",
    imports=IMPORTS
    + "from fmcourse.data import load\n"
    + "from fmcourse.data.images import dominant_colours, normalize_pixels\n",
    starter='''mine = variant("12.A2")  # your numbers
bits_about_the_colour = ...  # a float, in bits
''',
    solution='''from fmcourse.data import load
from fmcourse.data.images import NAMED_COLOURS, dominant_colours, normalize_pixels


def bits_about_the_colour(mine):
    emoji = load("emoji").train
    lot = torch.randperm(len(emoji), generator=torch.Generator().manual_seed(mine["seed"]))[: mine["many"]]
    table = torch.zeros(len(NAMED_COLOURS), 8, dtype=torch.float64)
    for colour, kind in zip(dominant_colours(normalize_pixels(emoji.pixels[lot])), emoji.labels[lot].tolist()):
        table[list(NAMED_COLOURS).index(colour), kind] += 1
    p = table / table.sum()
    apart = p.sum(1, keepdim=True) * p.sum(0)          # what the shares would be if one said nothing of the other
    met = p > 0
    return (p[met] * (p[met] / apart[met]).log2()).sum().item()
''',
    other_solutions=[
        HELD + "    return entropy(colours) + entropy(kinds) - entropy(pairs)\n",
        '''def bits_about_the_colour(mine):
    from collections import Counter
    from fmcourse.data import load
    from fmcourse.data.images import dominant_colours, normalize_pixels
    emoji = load("emoji").train
    lot = torch.randperm(len(emoji), generator=torch.Generator().manual_seed(mine["seed"]))[: mine["many"]]
    pairs = list(zip(dominant_colours(normalize_pixels(emoji.pixels[lot])), emoji.labels[lot].tolist()))
    both, colours, kinds = Counter(pairs), Counter(c for c, _ in pairs), Counter(k for _, k in pairs)
    told = [math.log2(both[c, k] / kinds[k]) - math.log2(colours[c] / len(pairs)) for c, k in pairs]
    return sum(told) / len(told)
''',
    ],
    vary=some_emoji,
    explanation="Two questions in one are worth less than the two asked apart, if one answer tells of the other: what is saved is H(colour) + H(kind) - H(both). About a quarter of a bit "
    "of some two and a half: yellow is the colour of faces and people. (Samples overestimate it a little: with few pictures even independent things seem to go together.)",
    properties=[Property("no saving", '''def test(out, case):
    return 0 < out < 3 or f"Told a kind you can save nothing at worst, and what there is to be known of eight colours at best, 3 bits; yours is {out:.4g}."
''', "How many bits does the choice among eight colours have at most?")],
    mistakes=[
        Mistake("nats", HELD + "    return math.log(2) * (entropy(colours) + entropy(kinds) - entropy(pairs))\n",
                "The number is in nats. To which base is the logarithm?"),
        Mistake("the colour's own bits", HELD + "    return entropy(colours)\n",
                "That is what a colour costs when nothing is known, its entropy. How much of it is saved by the kind?"),
        Mistake("what is left", HELD + "    return entropy(pairs) - entropy(kinds)\n",
                "That is what a colour *still* costs once the kind is known. What was saved?"),
        Mistake("both together", HELD + "    return entropy(pairs)\n",
                "That is what colour and kind cost together. What would they cost apart?"),
        Mistake("every pair counts alike", HELD + "    p = lambda one, some: some.count(one) / n\n"
                "    return sum(math.log2(p(pair, pairs) / (p(pair[0], colours) * p(pair[1], kinds))) for pair in set(pairs)) / len(set(pairs))\n",
                "A pair that occurs once counts as much as one that occurs two hundred times. By what is each weighted?"),
        Mistake("a share of the whole", HELD + "    return (entropy(colours) + entropy(kinds) - entropy(pairs)) / entropy(colours)\n",
                "It is divided by what a colour costs: a share, and no longer bits. Which was asked?"),
        Mistake("the first ones, not the drawn ones", HELD.replace('torch.randperm(len(emoji), generator=torch.Generator().manual_seed(mine["seed"]))[: mine["many"]]', 'torch.arange(mine["many"])')
                + "    return entropy(colours) + entropy(kinds) - entropy(pairs)\n",
                "These are the first pictures as they stand in the file, where one kind follows the other. Which places does your seed draw?"),
        Mistake("the kind's own bits", HELD + "    return entropy(kinds)\n",
                "That is what a kind costs when nothing is known, its entropy. What was to be guessed, and how much of it is saved?"),
        Mistake("what is left of the kind", HELD + "    return entropy(pairs) - entropy(colours)\n",
                "That is what a kind still costs once the colour is known. What was saved?"),
        Mistake("a share of the kind", HELD + "    return (entropy(colours) + entropy(kinds) - entropy(pairs)) / entropy(kinds)\n",
                "It is divided by what a kind costs: a share, and no longer bits. Which was asked?"),
        Mistake("all emoji", HELD.replace("lot = torch.randperm(len(emoji), generator=torch.Generator().manual_seed(mine[\"seed\"]))[: mine[\"many\"]]", "lot = torch.arange(len(emoji))") + "    return entropy(colours) + entropy(kinds) - entropy(pairs)\n",
                "All pictures are in it. How many does your seed draw?"),
        Mistake("not weighted", HELD + "    p = lambda one, some: some.count(one) / n\n    return sum(math.log2(p(pair, pairs) / (p(pair[0], colours) * p(pair[1], kinds))) for pair in set(pairs))\n",
                "The logarithms were added up as they are. By what is each weighted?"),
        Mistake("weighted as if apart", HELD + "    p = lambda one, some: some.count(one) / n\n    apart = lambda pair: p(pair[0], colours) * p(pair[1], kinds)\n    return sum(apart(pair) * math.log2(p(pair, pairs) / apart(pair)) for pair in set(pairs))\n",
                "Each logarithm has the weight p(c) p(k). How often does the pair really occur?"),
        Mistake("counts for shares", HELD + "    return sum(pairs.count(a) / n * math.log2(pairs.count(a) / (colours.count(a[0]) * kinds.count(a[1]))) for a in set(pairs))\n",
                "In the logarithm stand counts, and one n too few cancels. What are p(c, k), p(c) and p(k)?"),
    ],
)  # fmt: skip
