"""Assigned in lesson 03: labels behind a prefix, and what is gained by looking to both sides."""

import torch

from fmcourse.classroom.assigned import Assigned
from fmcourse.course.exercises import Mistake, Property

draw = lambda *shape, seed: torch.randint(5, 90, shape, generator=torch.Generator().manual_seed(seed))

# -- 03.A1 labels behind a prefix -----------------------------------------------------------------------------------------

PREFIXED = '''def prefix_labels(ids, lengths):
    """Labels for a prefix language model: each position is asked for the next token, but only for tokens behind the prefix.

    ids: (B, T) int64   lengths: (B,) int64, how many tokens of each row are prefix, from 1 to T   ->   (B, T) int64

    Where nothing is asked stands -100: at positions whose next token still belongs to the prefix, and at the last position.
    """
'''

prefix_labels = Assigned(
    "03.A1",
    goal="labels behind a prefix",
    minutes=15,
    difficulty=2,
    text="Between the causal and the masked objective stands a third (Raffel et al. 2020, *prefix LM*): the first tokens, a question for instance, are given and may "
    "look at one another freely; only what comes after them is predicted, token by token. With the row `7 8 9 4` and a prefix of 2 the labels are `-100 9 4 -100`: "
    "the prefix's last token is the first that is asked.",
    cases=[
        (torch.tensor([[7, 8, 9, 4]]), torch.tensor([2])),
        (torch.tensor([[7, 8, 9, 4], [5, 6, 7, 8]]), torch.tensor([1, 3])),
        (draw(3, 6, seed=1), torch.tensor([4, 2, 6])),
    ],
    hidden=[
        (torch.tensor([[3]]), torch.tensor([1])), (draw(2, 9, seed=2), torch.tensor([9, 8])), (draw(4, 5, seed=3), torch.tensor([1, 2, 3, 4])),
        (draw(1, 12, seed=4), torch.tensor([6])), (draw(5, 7, seed=5), torch.tensor([7, 1, 4, 5, 2])),
    ],
    starter=PREFIXED + "    ...\n",
    solution=PREFIXED + '''    labels = torch.full_like(ids, -100)
    labels[:, :-1] = ids[:, 1:]
    position = torch.arange(ids.shape[1])
    return labels.masked_fill(position < lengths[:, None] - 1, -100)
''',
    other_solutions=[
        "def prefix_labels(ids, lengths):\n    rows = []\n    for row, n in zip(ids.tolist(), lengths.tolist()):\n        rows.append([-100] * (n - 1) + row[n:] + [-100])\n    return torch.tensor(rows, dtype=ids.dtype)\n",
        "def prefix_labels(ids, lengths):\n    after = F.pad(ids, (0, 1), value=-100)[:, 1:]\n    at = torch.arange(1, ids.size(1) + 1).expand_as(ids)\n    return torch.where(at >= lengths.unsqueeze(1), after, torch.full_like(after, -100))\n",
    ],
    explanation="A label stands where the guess is made, one place before its token. So the first label stands on the last token of the prefix.",
    properties=[Property("not asked as often as there are tokens behind the prefix", '''def test(out, case):
    ids, lengths = case
    for b in range(len(ids)):
        wanted, asked = ids.shape[1] - int(lengths[b]), int((out[b] != -100).sum())
        if asked != wanted:
            return f"Row {b} has {wanted} tokens behind its prefix; {asked} are asked for."
    return True
''', "Which tokens are to be predicted?")],
    mistakes=[
        Mistake("one too few", PREFIXED + "    labels = torch.full_like(ids, -100)\n    labels[:, :-1] = ids[:, 1:]\n    return labels.masked_fill(torch.arange(ids.shape[1]) < lengths[:, None], -100)\n",
                "The first token behind the prefix is never asked for. From where could it be guessed?"),
        Mistake("the token itself", PREFIXED + "    return ids.masked_fill(torch.arange(ids.shape[1]) < lengths[:, None], -100)\n",
                "Each position is asked for the token that it sees. Which one should it guess?"),
        Mistake("the prefix is asked too", PREFIXED + "    labels = torch.full_like(ids, -100)\n    labels[:, :-1] = ids[:, 1:]\n    return labels\n",
                "Tokens of the prefix are asked for, too. Who may see them already?"),
        Mistake("only the prefix", PREFIXED + "    labels = torch.full_like(ids, -100)\n    labels[:, :-1] = ids[:, 1:]\n    return labels.masked_fill(torch.arange(ids.shape[1]) >= lengths[:, None] - 1, -100)\n",
                "It asks for the prefix and not for what comes behind it. Which part is given?"),
        Mistake("one prefix for all", PREFIXED + "    labels = torch.full_like(ids, -100)\n    labels[:, :-1] = ids[:, 1:]\n    return labels.masked_fill(torch.arange(ids.shape[1]) < lengths[:1, None] - 1, -100)\n",
                "Every row gets the prefix of the first. Whose length counts?"),
        Mistake("round the end", PREFIXED + "    labels = ids.roll(-1, 1)\n    return labels.masked_fill(torch.arange(ids.shape[1]) < lengths[:, None] - 1, -100)\n",
                "The last position is asked for the first token of the row. What comes after the last?"),
    ],
)  # fmt: skip

# -- 03.A2 both sides -----------------------------------------------------------------------------------------------------

both_sides = Assigned(
    "03.A2",
    goal="what does the right side add?",
    minutes=15,
    difficulty=2,
    text="A causal model sees the left, a masked one both sides. How much is that worth, with the simplest model there is? Take `load(\"austen\").train` in small letters: "
    "the characters `first` to `first + 20000` to learn from, the 5000 after them to be asked about. For every three characters *a b c* in a row the hidden one is *b*.\n\n"
    "**Left**: guess what most often came after *a* in the text learnt from. **Both**: guess what most often stood between *a* and *c*; where that pair never came, make the "
    "left guess. Of equally common ones take the first in order (`min`). Give the share right with both sides **minus** the share right with the left.",
    starter='''mine = variant("03.A2")  # your numbers
gain_of_the_right_side = ...  # a float
''',
    solution='''from collections import Counter, defaultdict

from fmcourse.data import load


def gain_of_the_right_side(mine):
    text = load("austen").train[mine["first"] : mine["first"] + 25000].lower()
    learn, ask = text[:20000], text[20000:]
    left, both = defaultdict(Counter), defaultdict(Counter)
    for a, b, c in zip(learn, learn[1:], learn[2:]):
        left[a][b] += 1
        both[a, c][b] += 1
    best = lambda counts: min(counts, key=lambda letter: (-counts[letter], letter)) if counts else ""
    triples = list(zip(ask, ask[1:], ask[2:]))
    by_left = sum(b == best(left[a]) for a, b, c in triples)
    by_both = sum(b == (best(both[a, c]) or best(left[a])) for a, b, c in triples)
    return (by_both - by_left) / len(triples)
''',
    other_solutions=['''def gain_of_the_right_side(mine):
    from collections import Counter
    from fmcourse.data import load
    text = load("austen").train[mine["first"]:][:25000].lower()
    counts = Counter(zip(text[:20000], text[1:20000], text[2:20000]))
    one, two = {}, {}
    pairs = Counter()
    for (a, b, c), n in counts.items():
        pairs[a, b] += n
        two.setdefault((a, c), []).append((-n, b))
    for (a, b), n in pairs.items():
        one.setdefault(a, []).append((-n, b))
    one, two = ({k: min(v)[1] for k, v in d.items()} for d in (one, two))
    ask = text[20000:]
    gain = 0
    for i in range(len(ask) - 2):
        a, b, c = ask[i:i + 3]
        gain += (two.get((a, c), one.get(a)) == b) - (one.get(a) == b)
    return gain / (len(ask) - 2)
'''],
    vary=lambda draw: {"first": draw.randrange(0, 300_000)},
    explanation="What stands on both sides narrows the choice much more than one side does: that is why masked models fill blanks better, and why they cannot simply write on.",
    properties=[Property("not a gain", "def test(out, case):\n    return 0.05 < out < 0.6 or f'Two sides know more than one, and not everything; yours is {out:.4g}.'\n", "Which share is to be taken from which?")],
    mistakes=[
        Mistake("the share with both", '''def gain_of_the_right_side(mine):
    from collections import Counter, defaultdict
    from fmcourse.data import load
    text = load("austen").train[mine["first"]:][:25000].lower()
    learn, ask = text[:20000], text[20000:]
    left, both = defaultdict(Counter), defaultdict(Counter)
    for a, b, c in zip(learn, learn[1:], learn[2:]):
        left[a][b] += 1
        both[a, c][b] += 1
    best = lambda k: min(k, key=lambda x: (-k[x], x)) if k else ""
    return sum(b == (best(both[a, c]) or best(left[a])) for a, b, c in zip(ask, ask[1:], ask[2:])) / (len(ask) - 2)
''', "That is the share with both sides. What was to be taken from it?"),
        Mistake("no guess where the pair is new", '''def gain_of_the_right_side(mine):
    from collections import Counter, defaultdict
    from fmcourse.data import load
    text = load("austen").train[mine["first"]:][:25000].lower()
    learn, ask = text[:20000], text[20000:]
    left, both = defaultdict(Counter), defaultdict(Counter)
    for a, b, c in zip(learn, learn[1:], learn[2:]):
        left[a][b] += 1
        both[a, c][b] += 1
    best = lambda k: min(k, key=lambda x: (-k[x], x)) if k else ""
    t = list(zip(ask, ask[1:], ask[2:]))
    return sum((b == best(both[a, c])) - (b == best(left[a])) for a, b, c in t) / len(t)
''', "Where a pair never came it gives up. What was to be done there?"),
        Mistake("asked about what it learnt", '''def gain_of_the_right_side(mine):
    from collections import Counter, defaultdict
    from fmcourse.data import load
    learn = load("austen").train[mine["first"]:][:20000].lower()
    left, both = defaultdict(Counter), defaultdict(Counter)
    for a, b, c in zip(learn, learn[1:], learn[2:]):
        left[a][b] += 1
        both[a, c][b] += 1
    return (sum(max(k.values()) for k in both.values()) - sum(max(k.values()) for k in left.values())) / (len(learn) - 2)
''', "It is asked about the text that it has counted. On which text was it to be tried?"),
        Mistake("the left alone against chance", '''def gain_of_the_right_side(mine):
    from collections import Counter, defaultdict
    from fmcourse.data import load
    text = load("austen").train[mine["first"]:][:25000].lower()
    learn, ask = text[:20000], text[20000:]
    left, one = defaultdict(Counter), Counter(learn)
    for a, b in zip(learn, learn[1:]):
        left[a][b] += 1
    best = lambda k: min(k, key=lambda x: (-k[x], x)) if k else ""
    t = list(zip(ask, ask[1:]))
    return sum((b == best(left[a])) - (b == best(one)) for a, b in t) / len(t)
''', "It compares the left side with none. Which two ways were to be compared?"),
    ],
)  # fmt: skip
