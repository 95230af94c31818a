"""Lesson 15: fair examples, a soft prompt, McNemar's test, an adapter's size, the break-even point."""

import math

import torch
from fmcourse.course.exercise import Exercise, Mistake, Property
from torch import Tensor

noise = lambda *shape, seed=0: torch.randn(*shape, generator=torch.Generator().manual_seed(seed))

# -- 15.1 fair examples -----------------------------------------------------------------------------------------------------


def in_turn(labels, n, *, order_classes=sorted, round_robin=True, shift=0):
    """The right answer, or one with a wrong belief."""
    order = list(order_classes(set(labels)))
    pools = {one: [at for at, label in enumerate(labels) if label == one] for one in order}
    if not round_robin:
        return [at for one in order for at in pools[one]][:n]
    found, turn = [], 0
    while len(found) < n:
        for one in order:
            if turn < len(pools[one]) and len(found) < n:
                found.append(pools[one][turn] + shift)
        turn += 1
    return found


def all_different(out: list, case: tuple) -> bool | str:
    labels, n = case
    if len(out) != n:
        return f"{n} examples were wanted; there are {len(out)}."
    if len(set(out)) < n:
        return f"Index {next(at for at in out if out.count(at) > 1)} occurs twice."
    return True


def even(labels, n):
    return sorted(in_turn(labels, n))


fair = Exercise(
    "15.1",
    goal="few examples, every class among them",
    minutes=10,
    cases=[
        (["no", "no", "no", "yes", "yes"], 2), (["no", "no", "no", "yes", "yes"], 3), (["yes", "no", "yes", "no", "no"], 4),
        (["b", "a", "c", "a", "b", "c"], 3), (["b", "a", "c", "a", "b", "c"], 5), (["x", "y", "x", "x", "x"], 4), ([2, 0, 1, 0, 0, 1, 2], 7), (["a", "b"], 0),
        (["x", "x"], 2),
    ],
    starter='''def fair(labels, n):
    """Indices of n examples, class by class in turn: the first of each class, then the second of each, and so on.

    Classes take their turns in sorted order; one that has no example left is skipped. So the first k indices are the
    choice for k examples.
    labels: the class of each example; n is at most len(labels)   ->   list of n indices, counted from 0
    ["no", "no", "no", "yes", "yes"], 3   ->   [0, 3, 1]
    """
    ...
''',
    solution='''def fair(labels, n):
    """Indices of n examples, class by class in turn: the first of each class, then the second of each, and so on.

    Classes take their turns in sorted order; one that has no example left is skipped. So the first k indices are the
    choice for k examples.
    labels: the class of each example; n is at most len(labels)   ->   list of n indices, counted from 0
    ["no", "no", "no", "yes", "yes"], 3   ->   [0, 3, 1]
    """
    ranked, seen = [], {}
    for at, label in enumerate(labels):
        seen[label] = seen.get(label, 0) + 1
        ranked.append((seen[label], label, at))      # its number within its class
    return [at for _, _, at in sorted(ranked)][:n]
''',
    other_solutions=[
        lambda labels, n: in_turn(labels, n),
        "def fair(labels, n):\n    pools = [[at for at, one in enumerate(labels) if one == kind] for kind in sorted(set(labels))]\n"
        "    found = []\n    for turn in range(len(labels)):\n        found += [pool[turn] for pool in pools if turn < len(pool)]\n    return found[:n]\n",
    ],
    hints=[
        "It is like dealing cards: each class gets one, then each a second. Which class is skipped?",
        "Number the examples within each class: first, second, third. All first examples come before all second ones.",
        "Sort by (number within the class, class), and keep n.",
    ],
    explanation="Drawn at random, 16 examples of ten classes nearly always miss one, and a class without an example cannot be learned. Dealt in turn, the 16 "
    "are the beginning of the 64: more labels only add examples, and a curve over the number of labels compares like with like.",
    properties=[Property("not n different examples", all_different, "Which examples are still unused when the turn of a class comes again?")],
    mistakes=[
        Mistake("the first n", lambda labels, n: list(range(n)), "It takes the first n as they stand, so some class may be missing. Which class has its turn after the first example?"),
        Mistake("label after label", lambda labels, n: in_turn(labels, n, round_robin=False),
                "It uses up one class before it goes on to the next. With small n, which classes are missing?"),
        Mistake("turns backwards", lambda labels, n: in_turn(labels, n, order_classes=lambda classes: sorted(classes, reverse=True)),
                "The class that is last in the alphabet begins. Which one should?"),
        Mistake("turns as they come", lambda labels, n: in_turn(labels, n, order_classes=lambda classes: sorted(classes, key=labels.index)),
                "Classes take turns in the order in which they first appear. In which order should they?"),
        Mistake("sorted again", even, "The right examples, but sorted by index: then the first ones are no fair choice for a smaller n. Which order has to be kept?"),
        Mistake("labels, not places", lambda labels, n: [labels[at] for at in in_turn(labels, n)],
                "It returns the labels themselves. What is needed to find the examples again?"),
        Mistake("places from 1", lambda labels, n: in_turn(labels, n, shift=1), "Its indices count from 1. Where does a list begin?"),
        Mistake("the last of each", """def fair(labels, n):
    pools = {kind: [at for at, one in enumerate(labels) if one == kind] for kind in sorted(set(labels))}
    found = []
    while len(found) < n:
        for pool in pools.values():
            if pool and len(found) < n:
                found.append(pool.pop())
    return found
""",
                "`pop()` takes the last example of each class. At which end is the first?"),
        Mistake("n of each label", """def fair(labels, n):
    pools = {kind: [at for at, one in enumerate(labels) if one == kind] for kind in sorted(set(labels))}
    found = []
    for pool in pools.values():
        found += pool[:n]
    return found
""",
                "Each class gives n examples. How many are wanted in all, and which class has its turn after the first example?"),
        Mistake("an equal share of each", """def fair(labels, n):
    pools = {kind: [at for at, one in enumerate(labels) if one == kind] for kind in sorted(set(labels))}
    found = []
    for pool in pools.values():
        found += pool[: n // len(pools)]
    return found
""",
                "Each class gives n // classes examples, class after class, and the rest is missing. Which class has its turn "
                "after the first example?"),
        Mistake("a whole round too many", """def fair(labels, n):
    pools = {kind: [at for at, one in enumerate(labels) if one == kind] for kind in sorted(set(labels))}
    found = []
    while len(found) < n:
        for pool in pools.values():
            if pool:
                found.append(pool.pop(0))
    return found
""",
                "The last round is completed, although n are reached before. When are there enough?"),
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
                "A class that has no example left takes its turn all the same. What should happen to that turn?"),
        Mistake("as long as all have one", """def fair(labels, n):
    pools = {kind: [at for at, one in enumerate(labels) if one == kind] for kind in sorted(set(labels))}
    found = []
    return [at for turn in zip(*pools.values()) for at in turn][:n]
""",
                "`zip` stops when one class has no example left. Which classes go on then?"),
        Mistake("the first of each, again and again", """def fair(labels, n):
    kinds = sorted(set(labels))
    return [labels.index(kinds[turn % len(kinds)]) for turn in range(n)]
""",
                "`index` finds the first example of a class each time. Which of its examples are still unused?"),
        Mistake("one round", """def fair(labels, n):
    return [labels.index(kind) for kind in sorted(set(labels))][:n]
""",
                "It stops after one round. What comes after the first example of each class?"),
        Mistake("n rounds", """def fair(labels, n):
    pools = {kind: [at for at, one in enumerate(labels) if one == kind] for kind in sorted(set(labels))}
    found = []
    for turn in range(n):
        for pool in pools.values():
            if turn < len(pool):
                found.append(pool[turn])
    return found
""",
                "It makes n rounds and keeps all of them. When are there enough?"),
    ],
)  # fmt: skip

# -- 15.2 a prompt of vectors -----------------------------------------------------------------------------------------------


def summed(x: Tensor) -> Tensor:
    """The simplest causal stack."""
    return x.cumsum(1)


def averaged(x: Tensor) -> Tensor:
    return x.cumsum(1) / torch.arange(1, x.shape[1] + 1)[:, None]


def as_many_as_words(out: Tensor, case: tuple) -> bool | str:
    words = case[2]
    if out.shape != words.shape:
        return f"The embedded text is {tuple(words.shape)}, so its states must be; yours are {tuple(out.shape)}."
    return True


def states_with(stack, vectors, words, *, after=False, first=False, all_rows=True, keep=False, add=False):
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
    goal="a soft prompt before a text",
    minutes=10,
    difficulty=2,
    cases=[
        (summed, torch.tensor([[10.0, 20.0]]), torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])),
        (averaged, noise(3, 4, seed=1).requires_grad_(), noise(2, 2, 4, seed=2)),
        (summed, noise(2, 6, seed=3), noise(3, 5, 6, seed=4)),
        (averaged, noise(4, 3, seed=5), noise(1, 1, 3, seed=6)),
    ],
    starter='''def behind(stack, vectors, words):
    """States of texts behind a soft prompt: N trained vectors stand before every text, the same for all.

    stack: the model's blocks, (B, T, D) -> (B, T, D)   vectors: (N, D)   words: (B, T, D), a batch of embedded texts
    ->   (B, T, D), the states at the texts' own positions
    """
    ...
''',
    solution='''def behind(stack, vectors, words):
    """States of texts behind a soft prompt: N trained vectors stand before every text, the same for all.

    stack: the model's blocks, (B, T, D) -> (B, T, D)   vectors: (N, D)   words: (B, T, D), a batch of embedded texts
    ->   (B, T, D), the states at the texts' own positions
    """
    prompt = vectors.expand(len(words), -1, -1)             # (B, N, D): one prompt for all, no copy
    return stack(torch.cat([prompt, words], 1))[:, len(vectors):]
''',
    other_solutions=[
        lambda stack, vectors, words: stack(torch.cat([vectors[None].repeat(len(words), 1, 1), words], dim=1))[:, -words.shape[1] :],
        "def behind(stack, vectors, words):\n    rows = [stack(torch.cat([vectors, row])[None])[0, vectors.size(0):] for row in words]\n    return torch.stack(rows)\n",
    ],
    hints=[
        "To the stack a token is a vector of D numbers. Must that vector come from the embedding matrix?",
        "Put the N vectors before the T words of every text, let the stack run over N + T positions, and keep the last T.",
        "`torch.cat([vectors.expand(B, -1, -1), words], 1)`, then `[:, len(vectors):]`.",
    ],
    explanation="The stack reads only vectors. Every token of the text attends to the N vectors as to tokens, and since they are parameters, gradient descent "
    "can train them: N times D parameters, while the model stays frozen. That is prompt tuning (Lester et al. 2021).",
    properties=[Property("not a state for each word", as_many_as_words, "How many positions go in, and which of them belong to the text?")],
    mistakes=[
        Mistake("all positions", lambda *case: states_with(*case, keep=True), "The states at the prompt's positions are returned too. Which states does the loss need?"),
        Mistake("behind the text", lambda stack, vectors, words: states_with(stack, vectors, words, after=True, first=True),
                "The vectors stand after the text, and in a causal model no token attends to later ones: they change nothing. Where does a prompt stand?"),
        Mistake("the first T", lambda *case: states_with(*case, first=True), "It keeps the first T positions, which begin with the prompt. Where is the text?"),
        Mistake("added on", lambda *case: states_with(*case, add=True), "The vectors are added to the embeddings. A prompt takes positions of its own: how many?"),
        Mistake("no prompt", lambda stack, vectors, words: stack(words), "The vectors are not used, so there is nothing to train. Where do they go?"),
        Mistake("one vector", lambda stack, vectors, words: states_with(stack, vectors[:1], words),
                "Only the first vector stands before the text. How many positions does the prompt take?"),
        Mistake("backwards", lambda stack, vectors, words: stack(torch.cat([vectors.flip(0).expand(len(words), -1, -1), words.flip(1)], 1))[:, len(vectors):],
                "Everything is in reverse order. In which order is a text read?"),
        Mistake("one place early", """def behind(stack, vectors, words):
    prompt = vectors.expand(len(words), -1, -1)
    return stack(torch.cat([prompt, words], 1))[:, len(vectors) - 1 : -1]
""",
                "The states begin with the prompt's last position and miss the text's last. Where is the text?"),
        Mistake("one place too many", """def behind(stack, vectors, words):
    prompt = vectors.expand(len(words), -1, -1)
    return stack(torch.cat([prompt, words], 1))[:, len(vectors) - 1 :]
""",
                "The prompt's last position is returned too. Which is the text's first?"),
        Mistake("the mean of the vectors", """def behind(stack, vectors, words):
    prompt = vectors.mean(0).expand(len(words), 1, -1)
    return stack(torch.cat([prompt, words], 1))[:, 1:]
""",
                "The vectors were averaged to one. How many positions does the prompt take?"),
        Mistake("the stack left out", """def behind(stack, vectors, words):
    prompt = vectors.expand(len(words), -1, -1)
    return torch.cat([prompt, words], 1)[:, len(vectors):]
""",
                "These are the embeddings as they came. What lets a token attend to the prompt?"),
        Mistake("each through the stack alone", """def behind(stack, vectors, words):
    return stack(words) + stack(vectors[None])[:, -1:]
""",
                "Text and prompt go through the stack separately and are added. Which sequence contains both?"),
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
                "It cuts off D positions. How many positions does the prompt take?"),
    ],
)  # fmt: skip

# -- 15.3 McNemar's test ------------------------------------------------------------------------------------------------------


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
    goal="the p-value of McNemar's test",
    minutes=12,
    difficulty=2,
    cases=[
        (bits("111110"), bits("000000")), (bits("1100"), bits("1100")), (bits("110100"), bits("001000")), (bits("1111111111"), bits("1111111110")),
        (bits("0000000011"), bits("1111111100")), (bits("101010101010"), bits("010101010101")), (bits("1111000010"), bits("0111000000")),
        (bits("1110"), bits("0001")),
    ],
    starter='''def by_luck(ours, theirs):
    """The p-value of McNemar's test, from 0 to 1, for two methods on the same items.

    ours, theirs: for each item whether the method was correct (True) or wrong.
    Items on which they agree are left out. If neither method is better, each of the others is the toss of a fair coin.
    p is the probability of a split at least as uneven as the observed one, in either direction; 1 without disagreement.
    """
    ...
''',
    solution='''def by_luck(ours, theirs):
    """The p-value of McNemar's test, from 0 to 1, for two methods on the same items.

    ours, theirs: for each item whether the method was correct (True) or wrong.
    Items on which they agree are left out. If neither method is better, each of the others is the toss of a fair coin.
    p is the probability of a split at least as uneven as the observed one, in either direction; 1 without disagreement.
    """
    won = sum(a and not b for a, b in zip(ours, theirs))
    lost = sum(b and not a for a, b in zip(ours, theirs))
    n = won + lost                                          # the items on which they disagree
    tail = sum(math.comb(n, k) for k in range(min(won, lost) + 1))
    return min(1.0, 2 * tail / 2**n)                        # as uneven in one direction, or in the other
''',
    other_solutions=[
        lambda ours, theirs: signed_test(ours, theirs),
        "def by_luck(ours, theirs):\n    gaps = [int(a) - int(b) for a, b in zip(ours, theirs) if a != b]\n    n, far = len(gaps), abs(sum(gaps))\n"
        "    return sum(math.comb(n, k) for k in range(n + 1) if abs(n - 2 * k) >= far) / 2 ** n\n",
    ],
    hints=[
        "Where both are correct or both are wrong, neither is better. Leave those items out. How would the others be split if the methods were equally good?",
        "n tosses of a fair coin, of which the rarer side came up min(won, lost) times. Add the probabilities of that many and of fewer; then the same for the other side.",
        "`2 * sum(math.comb(n, k) for k in range(min(won, lost) + 1)) / 2**n`, and at most 1.",
    ],
    explanation="Items on which both are correct say nothing about the difference, yet two separate error bars count them all. In a paired test only "
    "the disagreements count. This is the exact form of McNemar's test (1947), a sign test on correct and wrong.",
    properties=[Property("no probability", a_probability, "What is the largest value of a probability, also of both sides together?")],
    mistakes=[
        Mistake("one side only", lambda ours, theirs: signed_test(ours, theirs, sides=1),
                "It is a one-sided test. Could the difference not have been as large in the other direction?"),
        Mistake("all items are coins", lambda ours, theirs: signed_test(ours, theirs, all_items=True),
                "It tosses a coin for every item, also where both agree. What do those items say about which is better?"),
        Mistake("exactly so far", lambda ours, theirs: signed_test(ours, theirs, density=True),
                "It is the probability of exactly this split. What about splits that are more uneven?"),
        Mistake("farther only", lambda ours, theirs: signed_test(ours, theirs, upto=-1),
                "The observed split itself is not counted. At least as uneven: where does the sum end?"),
        Mistake("one too many", lambda ours, theirs: signed_test(ours, theirs, upto=1),
                "It counts one split that is less uneven than the observed one. Where does the sum end?"),
        Mistake("the difference", lambda ours, theirs: abs(sum(ours) - sum(theirs)) / len(ours),
                "That is the difference of the accuracies. How probable is it if the methods are equally good?"),
        Mistake("how sure", lambda ours, theirs: 1 - signed_test(ours, theirs), "It is large where chance is an unlikely explanation. Is the p-value large or small there?"),
        Mistake("up to how often it won", """def by_luck(ours, theirs):
    won = sum(a and not b for a, b in zip(ours, theirs))
    lost = sum(b and not a for a, b in zip(ours, theirs))
    n = won + lost
    return min(1.0, 2 * sum(math.comb(n, k) for k in range(won + 1)) / 2**n)
""",
                "It sums up to the wins, which may be the more frequent side. Which side is the rarer one?"),
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
                "It is the probability of exactly this split, in one direction. What about splits that are more uneven?"),
        Mistake("a bell curve", """def by_luck(ours, theirs):
    won = sum(a and not b for a, b in zip(ours, theirs))
    lost = sum(b and not a for a, b in zip(ours, theirs))
    return math.erfc(abs(won - lost) / math.sqrt(2 * max(1, won + lost)))
""",
                "It uses the normal approximation of the binomial, which is rough for so few items. How many of the 2^n outcomes "
                "are at least as uneven?"),
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
                "Where they agree on everything it returns 0. Is that evidence against equality?"),
        Mistake("the share of wins", """def by_luck(ours, theirs):
    won = sum(a and not b for a, b in zip(ours, theirs))
    lost = sum(b and not a for a, b in zip(ours, theirs))
    n = won + lost
    return won / n
""",
                "That is the share of the disagreements that ours won. How probable is such a split by chance?"),
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
                "That is the probability that all tosses fall on one side. How many fell on the other?"),
    ],
)  # fmt: skip

# -- 15.4 size of an adapter ------------------------------------------------------------------------------------------------

adapter = Exercise(
    "15.4",
    goal="the size of an adapter",
    minutes=6,
    cases=[
        ([(3, 5)], 1), ([(3, 5)], 2), ([(4, 4), (8, 4)], 2), ([(576, 576), (192, 576)] * 30, 8), ([], 4), ([(10, 1)], 3),
    ],
    starter='''def adapter_bytes(shapes, rank):
    """Bytes of a LoRA adapter for matrices of these shapes (O, I): beside each, A (rank, I) and B (O, rank), with
    4 bytes for each parameter."""
    ...
''',
    solution='''def adapter_bytes(shapes, rank):
    """Bytes of a LoRA adapter for matrices of these shapes (O, I): beside each, A (rank, I) and B (O, rank), with
    4 bytes for each parameter."""
    return 4 * sum(rank * (rows + columns) for rows, columns in shapes)
''',
    other_solutions=[
        lambda shapes, rank: sum(4 * rank * i + 4 * o * rank for o, i in shapes),
        "def adapter_bytes(shapes, rank):\n    total = 0\n    for o, i in shapes:\n        total += torch.zeros(rank, i).nbytes + torch.zeros(o, rank).nbytes\n    return total\n",
    ],
    hints=[
        "Beside each matrix are A and B. How many parameters has each?",
        "A, (rank, I), has rank times I parameters; B, (O, rank), has O times rank. Add them up over all matrices.",
        "`4 * sum(rank * (rows + columns) ...)`.",
    ],
    explanation="O and I are added, not multiplied. That is why an adapter is a small file beside a large model, and six tasks are six small files.",
    mistakes=[
        Mistake("the whole matrix", lambda shapes, rank: 4 * sum(o * i for o, i in shapes), "Those are the pretrained matrices, which stay frozen. What is new?"),
        Mistake("rank by both", lambda shapes, rank: 4 * sum(rank * o * i for o, i in shapes), "rank times O times I is more than the matrix. How large are A and B?"),
        Mistake("A alone", lambda shapes, rank: 4 * sum(rank * i for _, i in shapes), "That is A, (rank, I), alone. How large is B?"),
        Mistake("B alone", lambda shapes, rank: 4 * sum(rank * o for o, _ in shapes), "That is B, (O, rank), alone. How large is A?"),
        Mistake("numbers, not bytes", lambda shapes, rank: sum(rank * (o + i) for o, i in shapes), "That is the number of parameters. How many bytes has each?"),
        Mistake("bits", lambda shapes, rank: 32 * sum(rank * (o + i) for o, i in shapes), "That is in bits. How many of them are a byte?"),
        Mistake("rank forgotten", lambda shapes, rank: 4 * sum(o + i for o, i in shapes), "It is the same for every rank. What are the shapes of A and B?"),
        Mistake("rank twice", lambda shapes, rank: 4 * sum(rank * rank * (o + i) for o, i in shapes), "rank counts twice. How many parameters has a matrix (rank, I)?"),
        Mistake("rank on one side", """def adapter_bytes(shapes, rank):
    return 4 * sum(o * rank + i for o, i in shapes)
""",
                "Only O is multiplied by rank. Where do brackets belong?"),
        Mistake("the matrices as well", """def adapter_bytes(shapes, rank):
    return 4 * sum(o * i + rank * (o + i) for o, i in shapes)
""",
                "The pretrained matrices are counted too. What is new?"),
        Mistake("rank added", """def adapter_bytes(shapes, rank):
    return 4 * sum(2 * rank + o + i for o, i in shapes)
""",
                "Sizes are added where they should be multiplied. How many parameters has a matrix (rank, I)?"),
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
                "It returns after the first matrix. How do the others come in?"),
        Mistake("two bytes", """def adapter_bytes(shapes, rank):
    return 2 * sum(rank * (o + i) for o, i in shapes)
""",
                "Two bytes for each parameter: that is half precision. How many does the docstring say?"),
        Mistake("what training keeps", """def adapter_bytes(shapes, rank):
    return 16 * sum(rank * (o + i) for o, i in shapes)
""",
                "Gradients and Adam's averages are counted too. What is stored in an adapter's file?"),
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

# -- 15.5 the break-even point ----------------------------------------------------------------------------------------------


def pays(training, trained, prompted, *, more=1, rounding=math.floor):
    return rounding(training / (prompted - trained)) + more if prompted > trained else None


def cheaper_there(out: object, case: tuple) -> bool | str:
    training, trained, prompted = case
    if out is None or not isinstance(out, int):
        return True
    if training + out * trained >= out * prompted:
        return f"After {out} answers training has cost {training + out * trained:.3g} and prompting {out * prompted:.3g}: it does not pay yet."
    return True


payback = Exercise(
    "15.5",
    goal="the break-even point",
    minutes=8,
    cases=[(10.0, 1.0, 2.0), (10.0, 1.0, 3.0), (9.0, 0.5, 2.5), (5.0, 2.0, 2.0), (5.0, 3.0, 2.0), (0.0, 1.0, 2.0), (12.0, 0.25, 1.0), (1.0, 0.5, 100.0),
           (0.25, 0.0, 0.375), (300_000.0, 0.5, 0.625)],
    starter='''def break_even(training, trained, prompted):
    """The smallest whole number of answers at which training has cost less in all than prompting; None if never.

    training: cost of training, paid once   trained, prompted: cost of one answer with either method (seconds or tokens)
    """
    ...
''',
    solution='''def break_even(training, trained, prompted):
    """The smallest whole number of answers at which training has cost less in all than prompting; None if never.

    training: cost of training, paid once   trained, prompted: cost of one answer with either method (seconds or tokens)
    """
    if prompted <= trained:
        return None                                    # no answer saves anything
    return math.floor(training / (prompted - trained)) + 1
''',
    other_solutions=[
        lambda training, trained, prompted: pays(training, trained, prompted),
        "def break_even(training, trained, prompted):\n    if prompted - trained <= 0:\n        return None\n    n = 0\n"
        "    while training + n * trained >= n * prompted:\n        n += 1\n    return n\n",
    ],
    hints=[
        "Training costs once, the longer prompt costs with every answer. What does each answer save?",
        "Each answer saves prompted - trained. Training has paid when the savings exceed its cost; and if nothing is saved?",
        "`math.floor(training / (prompted - trained)) + 1`, or None where prompted <= trained.",
    ],
    explanation="Total costs are straight lines: prompting starts at zero and is steep, training starts high and is flat. They cross at training / (prompted - trained); "
    "the next whole number of answers is the first that is cheaper. If an answer saves nothing, the lines never cross.",
    properties=[Property("it does not pay there", cheaper_there, "Which of the two has cost less after that many answers?")],
    mistakes=[
        Mistake("rounded up", lambda training, trained, prompted: pays(training, trained, prompted, more=0, rounding=math.ceil),
                "Where the division has no remainder, both have cost the same. When has training cost less?"),
        Mistake("rounded down", lambda training, trained, prompted: pays(training, trained, prompted, more=0),
                "It stops just before the lines cross. Which is the first whole number after?"),
        Mistake("a broken number", lambda training, trained, prompted: training / (prompted - trained) if prompted > trained else None,
                "That is where the lines cross, but it is not a whole number of answers. Which is the first one after it?"),
        Mistake("the trained way is free", lambda training, trained, prompted: math.floor(training / prompted) + 1 if prompted > trained else None,
                "It forgets that an answer of the trained model costs something too. What does each answer save?"),
        Mistake("never is not said", lambda training, trained, prompted: math.floor(training / abs(prompted - trained)) + 1 if prompted != trained else None,
                "Where prompting is cheaper for each answer it returns a number all the same. Do those lines cross?"),
        Mistake("infinity for never", lambda training, trained, prompted: pays(training, trained, prompted) if prompted > trained else math.inf,
                "For never it returns infinity. What does the docstring ask for?"),
        Mistake("both per answer", lambda training, trained, prompted: math.floor(training / (prompted + trained)) + 1 if prompted > trained else None,
                "It divides by the sum of both. What does each answer save: their sum or their difference?"),
        Mistake("a loop that gives up", """def break_even(training, trained, prompted):
    for n in range(100_000):
        if training + n * trained < n * prompted:
            return n
    return None
""", "It tries so many answers and then returns never. With training at 300,000 and 1/8 saved by each answer, when does it pay?"),
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
