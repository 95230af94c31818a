"""Lesson 15: a fair comparison, a prompt of vectors, and what each way costs."""

import math

import torch
from fmcourse.course.exercise import Exercise, Mistake, Property
from torch import Tensor

noise = lambda *shape, seed=0: torch.randn(*shape, generator=torch.Generator().manual_seed(seed))

# -- 15.1 fair examples -----------------------------------------------------------------------------------------------------


def in_turn(labels, n, *, kinds=sorted, round_robin=True, shift=0):
    """The right answer, or one with a wrong belief."""
    order = list(kinds(set(labels)))
    pools = {kind: [at for at, label in enumerate(labels) if label == kind] for kind in order}
    if not round_robin:
        return [at for kind in order for at in pools[kind]][:n]
    found, turn = [], 0
    while len(found) < n:
        for kind in order:
            if turn < len(pools[kind]) and len(found) < n:
                found.append(pools[kind][turn] + shift)
        turn += 1
    return found


def all_different(out: list, case: tuple) -> bool | str:
    labels, n = case
    if len(out) != n:
        return f"{n} examples were asked for, {len(out)} came."
    if len(set(out)) < n:
        return f"Example {next(at for at in out if out.count(at) > 1)} comes twice."
    return True


def even(labels, n):
    return sorted(in_turn(labels, n))


fair = Exercise(
    "15.1",
    goal="few examples that show every label",
    minutes=10,
    cases=[
        (["no", "no", "no", "yes", "yes"], 2), (["no", "no", "no", "yes", "yes"], 3), (["yes", "no", "yes", "no", "no"], 4),
        (["b", "a", "c", "a", "b", "c"], 3), (["b", "a", "c", "a", "b", "c"], 5), (["x", "y", "x", "x", "x"], 4), ([2, 0, 1, 0, 0, 1, 2], 7), (["a", "b"], 0),
        (["x", "x"], 2),
    ],
    starter='''def fair(labels, n):
    """Places of n examples, label by label in turn: the first of each label, then the second of each, and so on.

    Labels take their turns in sorted order; one that has no example left is passed over. So the first places are the
    fair choice for a smaller n.
    Places count from 0; n is at most len(labels).
    ["no", "no", "no", "yes", "yes"], 3   ->   [0, 3, 1]
    """
    ...
''',
    solution='''def fair(labels, n):
    """Places of n examples, label by label in turn: the first of each label, then the second of each, and so on.

    Labels take their turns in sorted order; one that has no example left is passed over. So the first places are the
    fair choice for a smaller n.
    Places count from 0; n is at most len(labels).
    ["no", "no", "no", "yes", "yes"], 3   ->   [0, 3, 1]
    """
    ranked, seen = [], {}
    for at, label in enumerate(labels):
        seen[label] = seen.get(label, 0) + 1
        ranked.append((seen[label], label, at))      # the how-manieth of its label it is
    return [at for _, _, at in sorted(ranked)][:n]
''',
    other_solutions=[
        lambda labels, n: in_turn(labels, n),
        "def fair(labels, n):\n    pools = [[at for at, one in enumerate(labels) if one == kind] for kind in sorted(set(labels))]\n"
        "    found = []\n    for turn in range(len(labels)):\n        found += [pool[turn] for pool in pools if turn < len(pool)]\n    return found[:n]\n",
    ],
    hints=[
        "Deal cards: each label gets one, then each a second. Who is passed over?",
        "Number the examples of each label: first, second, third. All the firsts come before all the seconds.",
        "Sort by (number within the label, label), and cut after n.",
    ],
    explanation="Drawn at random, 16 of ten topics mostly miss one, and nobody can learn a label that was never shown. Dealt in turn, 16 are the "
    "beginning of 64: more labels then only add, and a curve over labels compares like with like.",
    properties=[Property("not n different examples", all_different, "Which examples are still unused when a label's turn comes again?")],
    mistakes=[
        Mistake("the first n", lambda labels, n: list(range(n)), "It takes the first n as they stand, and may never meet a label. Whose turn is it after the first?"),
        Mistake("label after label", lambda labels, n: in_turn(labels, n, round_robin=False),
                "It uses up one label before it looks at the next. With n small, which labels are missing?"),
        Mistake("turns backwards", lambda labels, n: in_turn(labels, n, kinds=lambda some: sorted(some, reverse=True)),
                "The last label in the alphabet begins. Which was asked to begin?"),
        Mistake("turns as they come", lambda labels, n: in_turn(labels, n, kinds=lambda some: sorted(some, key=labels.index)),
                "Labels take turns as they first appear. In which order should they?"),
        Mistake("sorted again", even, "The right examples, but sorted by place: then the first ones are no fair choice for a smaller n. What must the order keep?"),
        Mistake("labels, not places", lambda labels, n: [labels[at] for at in in_turn(labels, n)],
                "It gives the labels themselves. What is needed to find the examples again?"),
        Mistake("places from 1", lambda labels, n: in_turn(labels, n, shift=1), "Its places count from 1. Where does a list begin?"),
        Mistake("the last of each", """def fair(labels, n):
    pools = {kind: [at for at, one in enumerate(labels) if one == kind] for kind in sorted(set(labels))}
    found = []
    while len(found) < n:
        for pool in pools.values():
            if pool and len(found) < n:
                found.append(pool.pop())
    return found
""",
                "`pop()` takes the last of each label. Which end does the first stand at?"),
        Mistake("n of each label", """def fair(labels, n):
    pools = {kind: [at for at, one in enumerate(labels) if one == kind] for kind in sorted(set(labels))}
    found = []
    for pool in pools.values():
        found += pool[:n]
    return found
""",
                "Each label gives n examples. How many are wanted in all, and whose turn is it after the first?"),
        Mistake("an equal share of each", """def fair(labels, n):
    pools = {kind: [at for at, one in enumerate(labels) if one == kind] for kind in sorted(set(labels))}
    found = []
    for pool in pools.values():
        found += pool[: n // len(pools)]
    return found
""",
                "Each label gives n // labels, one behind the other, and the rest is missing. Whose turn is it after "
                "the first?"),
        Mistake("a whole round too many", """def fair(labels, n):
    pools = {kind: [at for at, one in enumerate(labels) if one == kind] for kind in sorted(set(labels))}
    found = []
    while len(found) < n:
        for pool in pools.values():
            if pool:
                found.append(pool.pop(0))
    return found
""",
                "The last round is dealt to its end. When are there enough?"),
        Mistake("an empty label is asked", """def fair(labels, n):
    pools = {kind: [at for at, one in enumerate(labels) if one == kind] for kind in sorted(set(labels))}
    found = []
    turn = 0
    while len(found) < n:
        for pool in pools.values():
            if len(found) < n:
                found.append(pool[turn])
        turn += 1
    return found
""",
                "A label that has no example left is asked all the same. What happens to its turn?"),
        Mistake("as long as all have one", """def fair(labels, n):
    pools = {kind: [at for at, one in enumerate(labels) if one == kind] for kind in sorted(set(labels))}
    found = []
    return [at for turn in zip(*pools.values()) for at in turn][:n]
""",
                "`zip` stops when the first label has no example left. Who goes on then?"),
        Mistake("the first of each, again and again", """def fair(labels, n):
    kinds = sorted(set(labels))
    return [labels.index(kinds[turn % len(kinds)]) for turn in range(n)]
""",
                "`index` finds the first of a label each time. Which of its examples are still unused?"),
        Mistake("one round", """def fair(labels, n):
    return [labels.index(kind) for kind in sorted(set(labels))][:n]
""",
                "It deals one round and stops. What comes after the first of each?"),
        Mistake("n rounds", """def fair(labels, n):
    pools = {kind: [at for at, one in enumerate(labels) if one == kind] for kind in sorted(set(labels))}
    found = []
    for turn in range(n):
        for pool in pools.values():
            if turn < len(pool):
                found.append(pool[turn])
    return found
""",
                "It deals n rounds and keeps them all. When are there enough?"),
    ],
)  # fmt: skip

# -- 15.2 a prompt of vectors -----------------------------------------------------------------------------------------------


def summed(x: Tensor) -> Tensor:
    """The simplest stack that looks back and never ahead."""
    return x.cumsum(1)


def averaged(x: Tensor) -> Tensor:
    return x.cumsum(1) / torch.arange(1, x.shape[1] + 1)[:, None]


def as_many_as_words(out: Tensor, case: tuple) -> bool | str:
    words = case[2]
    if out.shape != words.shape:
        return f"The text is {tuple(words.shape)}, so its states are too; yours are {tuple(out.shape)}."
    return True


def told(stack, vectors, words, *, after=False, first=False, all_rows=True, keep=False, add=False):
    prompt = vectors.expand(len(words), -1, -1)
    if add:
        return stack(words + vectors.mean(0))
    both = torch.cat([words, prompt] if after else [prompt, words], 1)
    out = stack(both)
    if keep:
        return out
    return out[:, : words.shape[1]] if first else out[:, len(vectors) :]


soft = Exercise(
    "15.2",
    goal="a prompt that no one can read",
    minutes=10,
    difficulty=2,
    cases=[
        (summed, torch.tensor([[10.0, 20.0]]), torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])),
        (averaged, noise(3, 4, seed=1).requires_grad_(), noise(2, 2, 4, seed=2)),
        (summed, noise(2, 6, seed=3), noise(3, 5, 6, seed=4)),
        (averaged, noise(4, 3, seed=5), noise(1, 1, 3, seed=6)),
    ],
    starter='''def behind(stack, vectors, words):
    """States of a text that stands behind a soft prompt: trained vectors in the places of words, the same before
    every text.

    stack: (B, T, D) -> (B, T, D)   vectors: (N, D)   words: (B, T, D), a batch of texts, embedded
    ->   (B, T, D), of the texts alone
    """
    ...
''',
    solution='''def behind(stack, vectors, words):
    """States of a text that stands behind a soft prompt: trained vectors in the places of words, the same before
    every text.

    stack: (B, T, D) -> (B, T, D)   vectors: (N, D)   words: (B, T, D), a batch of texts, embedded
    ->   (B, T, D), of the texts alone
    """
    prompt = vectors.expand(len(words), -1, -1)             # (B, N, D): one prompt for all, no copy
    return stack(torch.cat([prompt, words], 1))[:, len(vectors):]
''',
    other_solutions=[
        lambda stack, vectors, words: stack(torch.cat([vectors[None].repeat(len(words), 1, 1), words], dim=1))[:, -words.shape[1] :],
        "def behind(stack, vectors, words):\n    rows = [stack(torch.cat([vectors, row])[None])[0, vectors.size(0):] for row in words]\n    return torch.stack(rows)\n",
    ],
    hints=[
        "To the stack a word is D numbers. Who says that they must come from a dictionary?",
        "Put the N vectors before the T words of every text, let the stack run over N + T positions, and keep the last T.",
        "`torch.cat([vectors.expand(B, -1, -1), words], 1)`, then `[:, len(vectors):]`.",
    ],
    explanation="The stack never sees words, only vectors. Vectors in the places of words are looked at like words, and since they are numbers, a gradient "
    "can move them. Trained are N D numbers; the model stays as it is (Lester et al. 2021).",
    properties=[Property("not a state for each word", as_many_as_words, "How many positions go in, and which of them are the text's?")],
    mistakes=[
        Mistake("all positions", lambda *case: told(*case, keep=True), "The states of the prompt come back too. Whose states does the loss ask for?"),
        Mistake("behind the text", lambda stack, vectors, words: told(stack, vectors, words, after=True, first=True),
                "The vectors stand behind the text, and a causal model does not look ahead: they change nothing. Where does a prompt stand?"),
        Mistake("the first T", lambda *case: told(*case, first=True), "It keeps the first T positions, which begin with the prompt. Where do the words stand?"),
        Mistake("added on", lambda *case: told(*case, add=True), "The vectors are added to the words. A prompt takes places of its own: how many?"),
        Mistake("no prompt", lambda stack, vectors, words: stack(words), "The vectors are not used, so there is nothing to train. Where do they go?"),
        Mistake("one vector", lambda stack, vectors, words: told(stack, vectors[:1], words),
                "Only the first of the vectors stands before the text. How many places does the prompt take?"),
        Mistake("backwards", lambda stack, vectors, words: stack(torch.cat([vectors.flip(0).expand(len(words), -1, -1), words.flip(1)], 1))[:, len(vectors):],
                "Everything stands backwards. In which order are words read?"),
        Mistake("one place early", """def behind(stack, vectors, words):
    prompt = vectors.expand(len(words), -1, -1)
    return stack(torch.cat([prompt, words], 1))[:, len(vectors) - 1 : -1]
""",
                "The states begin with the prompt's last place and miss the text's last. Where do the words stand?"),
        Mistake("one place too many", """def behind(stack, vectors, words):
    prompt = vectors.expand(len(words), -1, -1)
    return stack(torch.cat([prompt, words], 1))[:, len(vectors) - 1 :]
""",
                "The prompt's last place comes along. Which is the text's first?"),
        Mistake("the mean of the vectors", """def behind(stack, vectors, words):
    prompt = vectors.mean(0).expand(len(words), 1, -1)
    return stack(torch.cat([prompt, words], 1))[:, 1:]
""",
                "The vectors were averaged to one. How many places does the prompt take?"),
        Mistake("the stack left out", """def behind(stack, vectors, words):
    prompt = vectors.expand(len(words), -1, -1)
    return torch.cat([prompt, words], 1)[:, len(vectors):]
""",
                "These are the words as they came. What lets a word look at the prompt?"),
        Mistake("each through the stack alone", """def behind(stack, vectors, words):
    return stack(words) + stack(vectors[None])[:, -1:]
""",
                "Text and prompt go through the stack apart and are added. In which sequence do both stand?"),
        Mistake("no gradient for the prompt", """def behind(stack, vectors, words):
    prompt = vectors.detach().expand(len(words), -1, -1)
    return stack(torch.cat([prompt, words], 1))[:, len(vectors):]
""",
                "The states are right, but no gradient comes back to the vectors. What is to be trained?"),
        Mistake("no copy for each text", """def behind(stack, vectors, words):
    return stack(torch.cat([vectors, words], 1))[:, len(vectors):]
""",
                "vectors is (N, D) and words (B, T, D), and `cat` wants as many axes of both. How does every text "
                "get its prompt?"),
        Mistake("cut by the width", """def behind(stack, vectors, words):
    prompt = vectors.expand(len(words), -1, -1)
    return stack(torch.cat([prompt, words], 1))[:, vectors.shape[1]:]
""",
                "It cuts off D places. How many places does the prompt take?"),
    ],
)  # fmt: skip

# -- 15.3 better, or luckier? -----------------------------------------------------------------------------------------------


def signed_test(ours, theirs, *, sides=2, upto=0, all_items=False, density=False):
    gaps = [bool(a) - bool(b) for a, b in zip(ours, theirs, strict=True)]
    wins, losses = gaps.count(1), gaps.count(-1)
    n = len(gaps) if all_items else wins + losses
    low = min(wins, losses)
    terms = [low] if density else range(low + 1 + upto)
    return min(1.0, sides * sum(math.comb(n, k) for k in terms) / 2**n)


def a_probability(out: float, case: tuple) -> bool | str:
    return 0 <= float(out) <= 1 or f"A probability lies between 0 and 1; yours is {float(out):.4g}."


def bits(text: str) -> list[bool]:
    return [c == "1" for c in text]


chance = Exercise(
    "15.3",
    goal="better, or luckier?",
    minutes=12,
    difficulty=2,
    cases=[
        (bits("111110"), bits("000000")), (bits("1100"), bits("1100")), (bits("110100"), bits("001000")), (bits("1111111111"), bits("1111111110")),
        (bits("0000000011"), bits("1111111100")), (bits("101010101010"), bits("010101010101")), (bits("1111000010"), bits("0111000000")),
        (bits("1110"), bits("0001")),
    ],
    starter='''def by_luck(ours, theirs):
    """Two methods on the same items, right (True) or wrong. Return p, from 0 to 1.

    Items on which they agree say nothing. Each of the others is a fair coin, if neither method is better. How
    probable is a split of wins at least as uneven as this one, in either direction, by luck alone? With no
    disagreement p is 1.
    """
    ...
''',
    solution='''def by_luck(ours, theirs):
    """Two methods on the same items, right (True) or wrong. Return p, from 0 to 1.

    Items on which they agree say nothing. Each of the others is a fair coin, if neither method is better. How
    probable is a split of wins at least as uneven as this one, in either direction, by luck alone? With no
    disagreement p is 1.
    """
    won = sum(a and not b for a, b in zip(ours, theirs))
    lost = sum(b and not a for a, b in zip(ours, theirs))
    n = won + lost                                          # the coins that were thrown
    rare = sum(math.comb(n, k) for k in range(min(won, lost) + 1))
    return min(1.0, 2 * rare / 2**n)                        # as lopsided one way, or the other
''',
    other_solutions=[
        lambda ours, theirs: signed_test(ours, theirs),
        "def by_luck(ours, theirs):\n    gaps = [int(a) - int(b) for a, b in zip(ours, theirs) if a != b]\n    n, far = len(gaps), abs(sum(gaps))\n"
        "    return sum(math.comb(n, k) for k in range(n + 1) if abs(n - 2 * k) >= far) / 2 ** n\n",
    ],
    hints=[
        "Both right or both wrong: who is better there? Leave those out. What is left, if the methods are equally good?",
        "n coins, of which the rarer side came up min(won, lost) times. Add up the chances of that many and of fewer; then the same on the other side.",
        "`2 * sum(math.comb(n, k) for k in range(min(won, lost) + 1)) / 2**n`, and at most 1.",
    ],
    explanation="Items that both get right, the easy ones, tell nothing about the difference, and two separate error bars count them all. Paired, only "
    "the disagreements count: the exact sign test, for right and wrong also called McNemar's (1947).",
    properties=[Property("no probability", a_probability, "What is the most that a probability can be, and both sides together?")],
    mistakes=[
        Mistake("one side only", lambda ours, theirs: signed_test(ours, theirs, sides=1),
                "It counts one side. Before you looked, could it not have come out just as far the other way?"),
        Mistake("all items are coins", lambda ours, theirs: signed_test(ours, theirs, all_items=True),
                "It throws a coin for every item, also where both agree. What do those tell about who is better?"),
        Mistake("exactly so far", lambda ours, theirs: signed_test(ours, theirs, density=True),
                "It asks how often luck gives exactly this. What of results that are even more lopsided?"),
        Mistake("farther only", lambda ours, theirs: signed_test(ours, theirs, upto=-1),
                "What was seen itself is not counted. So far, *or* farther: where does the sum end?"),
        Mistake("one too many", lambda ours, theirs: signed_test(ours, theirs, upto=1),
                "It counts one step that is less far than what was seen. Where does the sum end?"),
        Mistake("the difference", lambda ours, theirs: abs(sum(ours) - sum(theirs)) / len(ours),
                "That is how far apart they are. How often would luck do that?"),
        Mistake("how sure", lambda ours, theirs: 1 - signed_test(ours, theirs), "It is large where luck is rare. What is asked for: luck, or its absence?"),
        Mistake("up to how often it won", """def by_luck(ours, theirs):
    won = sum(a and not b for a, b in zip(ours, theirs))
    lost = sum(b and not a for a, b in zip(ours, theirs))
    n = won + lost
    return min(1.0, 2 * sum(math.comb(n, k) for k in range(won + 1)) / 2**n)
""",
                "It sums up to the wins, which may be the larger side. Which side is the rarer one?"),
        Mistake("from how often it won", """def by_luck(ours, theirs):
    won = sum(a and not b for a, b in zip(ours, theirs))
    lost = sum(b and not a for a, b in zip(ours, theirs))
    n = won + lost
    return min(1.0, 2 * sum(math.comb(n, k) for k in range(won, n + 1)) / 2**n)
""",
                "It sums from the wins upwards, so where ours lost more it is 1. Which side is the more frequent "
                "one?"),
        Mistake("in our favour alone", """def by_luck(ours, theirs):
    won = sum(a and not b for a, b in zip(ours, theirs))
    lost = sum(b and not a for a, b in zip(ours, theirs))
    n = won + lost
    return sum(math.comb(n, k) for k in range(won, n + 1)) / 2**n
""",
                "How probable are so many wins or more: that is one direction. Which was asked for?"),
        Mistake("up to the larger side", """def by_luck(ours, theirs):
    won = sum(a and not b for a, b in zip(ours, theirs))
    lost = sum(b and not a for a, b in zip(ours, theirs))
    n = won + lost
    return min(1.0, 2 * sum(math.comb(n, k) for k in range(max(won, lost) + 1)) / 2**n)
""",
                "It sums up to the larger side, which is nearly everything. Which side is the rarer one?"),
        Mistake("totals, not pairs", """def by_luck(ours, theirs):
    won, lost = sum(ours), sum(theirs)
    n = won + lost
    return min(1.0, 2 * sum(math.comb(n, k) for k in range(min(won, lost) + 1)) / 2**n)
""",
                "It compares how many each got right, and items on which they agree count twice. Which items say "
                "something?"),
        Mistake("exactly this split", """def by_luck(ours, theirs):
    won = sum(a and not b for a, b in zip(ours, theirs))
    lost = sum(b and not a for a, b in zip(ours, theirs))
    n = won + lost
    return math.comb(n, won) / 2**n
""",
                "It asks how often luck gives exactly this split. What of splits that are more uneven?"),
        Mistake("a bell curve", """def by_luck(ours, theirs):
    won = sum(a and not b for a, b in zip(ours, theirs))
    lost = sum(b and not a for a, b in zip(ours, theirs))
    return math.erfc(abs(won - lost) / math.sqrt(2 * max(1, won + lost)))
""",
                "That takes a bell curve for the coins, which is rough for so few. How many of the 2^n ways are at "
                "least as uneven?"),
        Mistake("halved, not doubled", """def by_luck(ours, theirs):
    won = sum(a and not b for a, b in zip(ours, theirs))
    lost = sum(b and not a for a, b in zip(ours, theirs))
    n = won + lost
    return min(1.0, sum(math.comb(n, k) for k in range(min(won, lost) + 1)) / (2**n * 2))
""",
                "The 2 stands below the line. Both directions: is that more, or less?"),
        Mistake("no disagreement, no chance", """def by_luck(ours, theirs):
    won = sum(a and not b for a, b in zip(ours, theirs))
    lost = sum(b and not a for a, b in zip(ours, theirs))
    n = won + lost
    if n == 0:
        return 0.0
    return min(1.0, 2 * sum(math.comb(n, k) for k in range(min(won, lost) + 1)) / 2**n)
""",
                "Where they agree on everything it says 0. Could luck not have done that?"),
        Mistake("the share of wins", """def by_luck(ours, theirs):
    won = sum(a and not b for a, b in zip(ours, theirs))
    lost = sum(b and not a for a, b in zip(ours, theirs))
    n = won + lost
    return won / n
""",
                "That is the share of the disagreements that ours won. How often would coins do that?"),
        Mistake("more than certain", """def by_luck(ours, theirs):
    won = sum(a and not b for a, b in zip(ours, theirs))
    lost = sum(b and not a for a, b in zip(ours, theirs))
    n = won + lost
    return 2 * sum(math.comb(n, k) for k in range(min(won, lost) + 1)) / 2**n
""",
                "Where both sides are equal the middle is counted twice. What is the most that a probability can be?"),
        Mistake("every coin the same way", """def by_luck(ours, theirs):
    won = sum(a and not b for a, b in zip(ours, theirs))
    lost = sum(b and not a for a, b in zip(ours, theirs))
    n = won + lost
    return 2 * 0.5**n
""",
                "That is how probable it is that all coins fall on one side. How many fell on the other?"),
    ],
)  # fmt: skip

# -- 15.4 bytes of a skill --------------------------------------------------------------------------------------------------

adapter = Exercise(
    "15.4",
    goal="a skill in bytes",
    minutes=6,
    cases=[
        ([(3, 5)], 1), ([(3, 5)], 2), ([(4, 4), (8, 4)], 2), ([(576, 576), (192, 576)] * 30, 8), ([], 4), ([(10, 1)], 3),
    ],
    starter='''def adapter_bytes(shapes, rank):
    """Bytes of the steps of low rank beside matrices of these shapes (O, I): a matrix (rank, I) and one (O, rank)
    each, 4 bytes a number."""
    ...
''',
    solution='''def adapter_bytes(shapes, rank):
    """Bytes of the steps of low rank beside matrices of these shapes (O, I): a matrix (rank, I) and one (O, rank)
    each, 4 bytes a number."""
    return 4 * sum(rank * (rows + columns) for rows, columns in shapes)
''',
    other_solutions=[
        lambda shapes, rank: sum(4 * rank * i + 4 * o * rank for o, i in shapes),
        "def adapter_bytes(shapes, rank):\n    total = 0\n    for o, i in shapes:\n        total += torch.zeros(rank, i).nbytes + torch.zeros(o, rank).nbytes\n    return total\n",
    ],
    hints=[
        "Beside each matrix lie two thin ones. How many numbers has each?",
        "(rank, I) holds rank times I, (O, rank) holds O times rank. Add them up over all matrices.",
        "`4 * sum(rank * (rows + columns) ...)`.",
    ],
    explanation="Rows and columns are added, not multiplied. That is why a skill is a small file beside a large model, and six skills are six small files.",
    mistakes=[
        Mistake("the whole matrix", lambda shapes, rank: 4 * sum(o * i for o, i in shapes), "Those are the matrices themselves, which stay as they are. What is new?"),
        Mistake("rank by both", lambda shapes, rank: 4 * sum(rank * o * i for o, i in shapes), "rank times O times I is more than the matrix. How large are the two thin ones?"),
        Mistake("A alone", lambda shapes, rank: 4 * sum(rank * i for _, i in shapes), "That is the matrix (rank, I). And the other one?"),
        Mistake("B alone", lambda shapes, rank: 4 * sum(rank * o for o, _ in shapes), "That is the matrix (O, rank). And the other one?"),
        Mistake("numbers, not bytes", lambda shapes, rank: sum(rank * (o + i) for o, i in shapes), "That many numbers. How many bytes has each?"),
        Mistake("bits", lambda shapes, rank: 32 * sum(rank * (o + i) for o, i in shapes), "That is in bits. How many of them are a byte?"),
        Mistake("rank forgotten", lambda shapes, rank: 4 * sum(o + i for o, i in shapes), "It is the same for every rank. How thin are the two?"),
        Mistake("rank twice", lambda shapes, rank: 4 * sum(rank * rank * (o + i) for o, i in shapes), "rank counts twice. How many numbers has a matrix (rank, I)?"),
        Mistake("rank on one side", """def adapter_bytes(shapes, rank):
    return 4 * sum(o * rank + i for o, i in shapes)
""",
                "Only O is multiplied by rank. Where do brackets belong?"),
        Mistake("the matrices as well", """def adapter_bytes(shapes, rank):
    return 4 * sum(o * i + rank * (o + i) for o, i in shapes)
""",
                "The matrices themselves are counted, too. What is new?"),
        Mistake("rank added", """def adapter_bytes(shapes, rank):
    return 4 * sum(2 * rank + o + i for o, i in shapes)
""",
                "Sizes are added where they should be multiplied. How many numbers has a matrix (rank, I)?"),
        Mistake("the last one wins", """def adapter_bytes(shapes, rank):
    total = 0
    for o, i in shapes:
        total = 4 * rank * (o + i)
    return total
""",
                "Each matrix is written over the one before. How do you add to what is already there?"),
        Mistake("back after the first", """def adapter_bytes(shapes, rank):
    for o, i in shapes:
        return 4 * rank * (o + i)
""",
                "It comes back with the first matrix, or with nothing. How do the others come in?"),
        Mistake("two bytes", """def adapter_bytes(shapes, rank):
    return 2 * sum(rank * (o + i) for o, i in shapes)
""",
                "Two bytes a number: that is half precision. How many does the docstring say?"),
        Mistake("what training keeps", """def adapter_bytes(shapes, rank):
    return 16 * sum(rank * (o + i) for o, i in shapes)
""",
                "Gradients and Adam's averages were counted, too. What stands in the file of a skill?"),
        Mistake("megabytes", """def adapter_bytes(shapes, rank):
    return 4 * sum(rank * (o + i) for o, i in shapes) / 1e6
""",
                "It is divided by a million. In which unit was it asked for?"),
        Mistake("the first one alone", """def adapter_bytes(shapes, rank):
    return 4 * rank * sum(shapes[0])
""",
                "Only the first matrix is counted. How do the others come in?"),
    ],
)  # fmt: skip

# -- 15.5 when training pays ------------------------------------------------------------------------------------------------


def pays(training, trained, prompted, *, more=1, rounding=math.floor):
    return rounding(training / (prompted - trained)) + more if prompted > trained else None


def cheaper_there(out: object, case: tuple) -> bool | str:
    training, trained, prompted = case
    if out is None or not isinstance(out, int):
        return True
    if training + out * trained >= out * prompted:
        return f"After {out} answers training has cost {training + out * trained:.3g} s and prompting {out * prompted:.3g} s: it does not pay there."
    return True


payback = Exercise(
    "15.5",
    goal="how many answers until training pays?",
    minutes=8,
    cases=[(10.0, 1.0, 2.0), (10.0, 1.0, 3.0), (9.0, 0.5, 2.5), (5.0, 2.0, 2.0), (5.0, 3.0, 2.0), (0.0, 1.0, 2.0), (12.0, 0.25, 1.0), (1.0, 0.5, 100.0),
           (0.25, 0.0, 0.375), (300_000.0, 0.5, 0.625)],
    starter='''def break_even(training, trained, prompted):
    """The smallest whole number of answers after which training has cost less than prompting; None if that never comes.

    training: seconds, once   trained, prompted: seconds an answer, each way
    """
    ...
''',
    solution='''def break_even(training, trained, prompted):
    """The smallest whole number of answers after which training has cost less than prompting; None if that never comes.

    training: seconds, once   trained, prompted: seconds an answer, each way
    """
    if prompted <= trained:
        return None                                    # it never gets its price back
    return math.floor(training / (prompted - trained)) + 1
''',
    other_solutions=[
        lambda training, trained, prompted: pays(training, trained, prompted),
        "def break_even(training, trained, prompted):\n    if prompted - trained <= 0:\n        return None\n    n = 0\n"
        "    while training + n * trained >= n * prompted:\n        n += 1\n    return n\n",
    ],
    hints=[
        "One way has a price at the door, the other a longer prompt with every answer. What does each answer save?",
        "Each answer saves prompted - trained seconds. The training is paid back when the savings are more than its price; and if nothing is saved?",
        "`math.floor(training / (prompted - trained)) + 1`, or None where prompted <= trained.",
    ],
    explanation="Costs are straight lines: one starts at zero and is steep, one starts high and is flat. They cross at training / (prompted - trained); "
    "the next whole answer is the first that is cheaper. If the steps are alike they never cross.",
    properties=[Property("it does not pay there", cheaper_there, "Which of the two has cost less after that many answers?")],
    mistakes=[
        Mistake("rounded up", lambda training, trained, prompted: pays(training, trained, prompted, more=0, rounding=math.ceil),
                "Where the division comes out even both have cost the same. When has training cost less?"),
        Mistake("rounded down", lambda training, trained, prompted: pays(training, trained, prompted, more=0),
                "It stops just before the lines cross. Which is the first whole number after?"),
        Mistake("a broken number", lambda training, trained, prompted: training / (prompted - trained) if prompted > trained else None,
                "It is where the lines cross. Can anyone ask a third of a question?"),
        Mistake("the trained way is free", lambda training, trained, prompted: math.floor(training / prompted) + 1 if prompted > trained else None,
                "It forgets that the trained model takes its seconds too. What does each answer save?"),
        Mistake("never is not said", lambda training, trained, prompted: math.floor(training / abs(prompted - trained)) + 1 if prompted != trained else None,
                "Where prompting is the cheaper one per answer it gives a number all the same. Do those lines cross?"),
        Mistake("infinity for never", lambda training, trained, prompted: pays(training, trained, prompted) if prompted > trained else math.inf,
                "For never it says infinity. What did the docstring ask for?"),
        Mistake("both per answer", lambda training, trained, prompted: math.floor(training / (prompted + trained)) + 1 if prompted > trained else None,
                "It divides by the sum of both. What is saved by each answer: their sum, or their difference?"),
        Mistake("a loop that gives up", """def break_even(training, trained, prompted):
    for n in range(100_000):
        if training + n * trained < n * prompted:
            return n
    return None
""", "It tries so many answers and then says never. With 300,000 seconds of training and 1/8 second saved, when does it pay?"),
        Mistake("rounded to the nearest", """def break_even(training, trained, prompted):
    if prompted <= trained:
        return None
    return round(training / (prompted - trained)) + 1
""", "`round` goes up as well as down, and then one is added. At 0.67 answers the lines cross: which whole number is next?"),
        Mistake("rounded, half an answer added", """def break_even(training, trained, prompted):
    if prompted <= trained:
        return None
    return round(training / (prompted - trained) + 0.5)
""", "`round` takes 0.5 down to 0 and 1.5 up to 2. Which function always goes down?"),
        Mistake("nothing saved is divided by", """def break_even(training, trained, prompted):
    if prompted < trained:
        return None
    return math.floor(training / (prompted - trained)) + 1
""", "Where both take equally long per answer it divides by zero. What is saved there, and does it ever pay?"),
        Mistake("never is not asked", """def break_even(training, trained, prompted):
    return math.floor(training / (prompted - trained)) + 1
""", "It divides whatever is saved, also zero or less. What if an answer saves nothing?"),
        Mistake("no answer is too few", """def break_even(training, trained, prompted):
    if prompted <= trained:
        return None
    n = 1
    while training + n * trained > n * prompted:
        n += 1
    return n
""", "It stops where both have cost the same. When has training cost *less*?"),
    ],
)  # fmt: skip
