"""Assigned in lesson 13: LoRA extracted from a fully fine-tuned model, and how often a random split leaks."""

import torch
from fmcourse.classroom.exercise_kinds import AssignedExercise
from fmcourse.course.exercise import IMPORTS, Mistake, Property

noise = lambda *shape, seed: torch.randn(*shape, generator=torch.Generator().manual_seed(seed))

# -- 13.A1 LoRA afterwards ------------------------------------------------------------------------------------------------

EXTRACT = '''def as_lora(before, after, rank, alpha):
    """The low-rank update that brings a matrix nearest to what full fine-tuning made of it: nearest in the sum of
    squared differences.

    before, after: (O, I), the matrix and what became of it   rank: whole, at most O and at most I
    alpha: number above 0
    ->   (A, B), tensors (rank, I) and (O, rank), so that before + alpha / rank * B @ A is that nearest matrix. How a
    factor is divided between A and B does not matter.
    """
'''

RUN = '''def run(candidate, case):
    """What the step adds to the matrix: A and B themselves may be chosen in many ways."""
    before, after, rank, alpha = case
    A, B = candidate(before, after, rank, alpha)
    wanted = (rank, before.shape[1]), (before.shape[0], rank)
    if (tuple(A.shape), tuple(B.shape)) != wanted:
        raise ValueError(f"A is {tuple(A.shape)} and B is {tuple(B.shape)}; {wanted[0]} and {wanted[1]} are wanted.")
    return alpha / rank * B @ A
'''

SPLIT = (
    "def as_lora(before, after, rank, alpha):\n    U, S, V = torch.linalg.svd(after - before, full_matrices=False)\n"
)


def tuned(rows, columns, rank, alpha, seed, deep=None, size=0.3):
    """A matrix and what a change of that many directions, some stronger than others, made of it; and all directions a little."""
    before, deep = noise(rows, columns, seed=seed), deep or min(rows, columns)
    strong = noise(rows, deep, seed=seed + 50) * torch.logspace(0, -1, deep) @ noise(deep, columns, seed=seed + 90)
    return before, before + size * strong, rank, alpha


extracted = AssignedExercise(
    "13.A1",
    goal="extract LoRA from a fully fine-tuned model",
    minutes=20,
    difficulty=3,
    text="Somebody fine-tuned *all* weights of a model and gave you both, before and after. You would rather have an adapter: a small file, to be plugged in and out. The lesson saw that "
    "a few singular values hold much of the change. So keep those and drop the rest; this is called **LoRA extraction**.\n\n"
    "For one matrix: find A (rank, I) and B (O, rank) such that before + alpha / rank · B A comes as near to `after` as an update of that rank can, measured by the sum of all squared differences. "
    "`torch.linalg.svd` takes any matrix M apart into U, S, Vᵀ with M = U diag(S) Vᵀ, largest singular values first; its first R terms alone are the nearest matrix of rank R (Eckart and Young 1936).\n\n"
    "*Example.* before is all zeros, after is ((4, 0), (0, 1)), rank 1, alpha 2. The best update is ((4, 0), (0, 0)), and alpha / rank is 2, so B A must be ((2, 0), (0, 0)).",
    cases=[
        (torch.zeros(2, 2), torch.tensor([[4.0, 0.0], [0.0, 1.0]]), 1, 2.0),
        (torch.tensor([[9.0, 0.0], [0.0, 9.0]]), torch.tensor([[9.0, 0.0], [0.0, 6.0]]), 1, 1.0),
        tuned(4, 3, 2, 2.0, seed=1),
        tuned(3, 6, 2, 16.0, seed=2),
    ],
    hidden=[
        tuned(8, 5, 3, 1.0, seed=3),
        tuned(5, 9, 1, 0.5, seed=4),
        tuned(6, 6, 4, 8.0, seed=5, deep=2),
        tuned(4, 4, 4, 6.0, seed=6),
        tuned(12, 7, 2, 5.0, seed=7, size=0.01),
        tuned(2, 10, 2, 3.0, seed=8),
    ],
    run=RUN,
    starter=EXTRACT + "    ...\n",
    solution=EXTRACT + '''    U, S, Vt = torch.linalg.svd(after - before, full_matrices=False)
    A = Vt[:rank]                                        # (rank, I): what to look for
    B = U[:, :rank] * S[:rank] * rank / alpha            # (O, rank): where it leads, how far; alpha / rank comes on top
    return A, B
''',
    other_solutions=[
        '''def as_lora(before, after, rank, alpha):
    change = (after - before).double()
    values, directions = torch.linalg.eigh(change.T @ change)     # from small to large
    A = directions[:, -rank:].T
    B = change @ directions[:, -rank:] / (alpha / rank)
    return A.float(), B.float()
''',
        '''def as_lora(before, after, rank, alpha):
    U, S, Vh = torch.svd(after - before)
    root = torch.diag((S[:rank] * rank / alpha).sqrt())
    return root @ Vh.T[:rank], U[:, :rank] @ root
''',
    ],
    explanation="The change is a sum of directions, each an outer product u vᵀ of some strength; the strongest R of them are the nearest that rank R can come. Before training LoRA nobody knows which "
    "directions these will be; afterwards they can be read off. How much was lost is the squared strengths that were dropped.",
    properties=[
        Property("no nearer than before", '''def test(out, case):
    before, after, _, _ = case
    far, left = ((x - after).square().sum().item() for x in (before, before + out))
    return left < far - 1e-9 or f"Without the step the squared gaps to `after` add up to {far:.4g}, with it to {left:.4g}."
''', "From what to what should the step lead?"),
        Property("it could still be turned or stretched", '''def test(out, case):
    before, after, _, _ = case
    size, overlap = out.square().sum().item(), (out * (after - before - out)).sum().item()
    if size < 1e-12:
        return "The step is zero."
    return abs(overlap) < 1e-3 * size or f"Stretched by {1 + overlap / size:.3g} your step would come nearer to `after`."
''', "Which length must the step have, once alpha / rank is on it?"),
    ],
    mistakes=[
        Mistake("of the weights, not of their change", "def as_lora(before, after, rank, alpha):\n    U, S, V = torch.linalg.svd(after, full_matrices=False)\n    return V[:rank], U[:, :rank] * S[:rank] * rank / alpha\n",
                "It takes the new matrix apart. `before` is added anyway: what is the step to add to it?"),
        Mistake("no strengths", SPLIT + "    return V[:rank], U[:, :rank] * rank / alpha\n",
                "Every direction gets length 1. What says how strong each one is?"),
        Mistake("strengths twice", SPLIT + "    return V[:rank] * S[:rank, None], U[:, :rank] * S[:rank] * rank / alpha\n",
                "The strengths are in A and in B, so the step has their squares. How often may they come in?"),
        Mistake("the weakest directions", SPLIT + "    return V[-rank:], U[:, -rank:] * S[-rank:] * rank / alpha\n",
                "It keeps the directions in which least has changed. At which end do the strongest stand?"),
        Mistake("alpha and rank forgotten", SPLIT + "    return V[:rank], U[:, :rank] * S[:rank]\n",
                "B A is the change itself; but it is multiplied once more when it is used. By what?"),
        Mistake("multiplied once more", SPLIT + "    return V[:rank], U[:, :rank] * S[:rank] * alpha / rank\n",
                "The weight alpha / rank is put in, and it comes on top again when the step is used. What undoes it beforehand?"),
        Mistake("divided by alpha alone", SPLIT + "    return V[:rank], U[:, :rank] * S[:rank] / alpha\n",
                "Only alpha is undone. By what is the step multiplied when it is used?"),
        Mistake("taken off", SPLIT + "    return V[:rank], -U[:, :rank] * S[:rank] * rank / alpha\n",
                "The step leads away from `after`. Which of the two is taken from which?"),
        Mistake("the first rows", "def as_lora(before, after, rank, alpha):\n    change = after - before\n    return change[:rank], torch.eye(len(change), rank) * rank / alpha\n",
                "It keeps the first rows of the change as they stand, and drops the others. Which few *directions* hold most of it?"),
        Mistake("undone on both", SPLIT + "    return V[:rank] * rank / alpha, U[:, :rank] * S[:rank] * rank / alpha\n",
                "alpha / rank is undone in A and in B. How often is the step multiplied by it?"),
        Mistake("half of the strength", SPLIT + "    return V[:rank], U[:, :rank] * S[:rank].sqrt() * rank / alpha\n",
                "Only the root of each strength is in the step. In which factors may the two roots stand?"),
        Mistake("half of the scale", SPLIT + "    root = (S[:rank] * rank / alpha).sqrt()\n    return root[:, None] * V[:rank], U[:, :rank] * S[:rank].sqrt()\n",
                "One of two roots holds rank / alpha, so its root alone is undone. What is their product?"),
        Mistake("the first columns", "def as_lora(before, after, rank, alpha):\n    change = after - before\n    return torch.eye(rank, change.shape[1]), change[:, :rank] * rank / alpha\n",
                "It keeps the first columns of the change as they stand, and drops the others. Which few *directions* hold most of it?"),
        Mistake("alpha forgotten", SPLIT + "    return V[:rank], U[:, :rank] * S[:rank] * rank\n",
                "Only rank is undone. By what is the step multiplied when it is used?"),
    ],
)  # fmt: skip

# -- 13.A2 a split that leaks -----------------------------------------------------------------------------------------------

MATES = """    from collections import Counter
    from fmcourse.data import load
    some = load("questions").train[mine["first"]:][:mine["many"]]
    on = Counter(one.passage for one in some)
    sizes = [on[one.passage] for one in some]
    p = mine["test_share"]
"""
LEAKING = "def share_with_a_mate_in_train(mine):\n" + MATES


def lot(draw):
    """Other questions, and another share for the test, for each student.

    Drawn until the slice cuts a passage in two: else all mates are one's own, and whoever counts the others too is right by chance.
    """
    from fmcourse.data import load

    passages = [question.passage for question in load("questions").train]
    while True:
        first, many = draw.randrange(0, 1000), draw.randrange(350, 650)
        mine, others = set(passages[first : first + many]), set(passages[:first] + passages[first + many :])
        if len(mine & others) > 0:
            return {"first": first, "many": many, "test_share": draw.randrange(150, 500) / 1000}


leak = AssignedExercise(
    "13.A2",
    goal="how often does a random split leak?",
    minutes=15,
    difficulty=2,
    text="Several X-rays of one patient, several questions on one passage: **what comes in groups leaks** if it is split one by one. The questions of this course are therefore split by passage. "
    "How bad would it have been without?\n\n"
    "Take `load(\"questions\").train[first : first + many]`, with your own numbers, and forget all others. Suppose each question by itself went to the test with chance `test_share`, and to the "
    "training otherwise. Think of a question that has landed in the test: how probable is it that at least one *other* question on the very same passage (equal `passage`) is in the training, so that "
    "the passage is known? Work it out for each of your questions, exactly and not by drawing lots, and give the mean over all of them. (A question that is alone with its passage counts too, with 0.)\n\n"
    "*Example.* test_share 0.25, four questions: three on one passage and one on another. For each of the three the other two must not both go to the test: 0.9375; for the last one 0. The mean is 0.7031."
    "\n\nGive it unrounded: the first five digits must be right.",
    imports=IMPORTS + "from fmcourse.data import load\n",
    starter='''mine = variant("13.A2")  # your numbers
share_with_a_mate_in_train = ...  # a float from 0 to 1
''',
    solution='''from collections import Counter

from fmcourse.data import load


def share_with_a_mate_in_train(mine):
    some = load("questions").train[mine["first"] : mine["first"] + mine["many"]]
    on = Counter(question.passage for question in some)
    safe = [mine["test_share"] ** (on[question.passage] - 1) for question in some]   # all its mates are in the test too
    return 1 - sum(safe) / len(safe)
''',
    other_solutions=[
        '''def share_with_a_mate_in_train(mine):
    from fmcourse.data import load
    passages = sorted(one.passage for one in load("questions").train[mine["first"]:][:mine["many"]])
    total, begin = 0.0, 0
    for end in range(1, len(passages) + 1):
        if end == len(passages) or passages[end] != passages[begin]:
            mates = end - begin - 1
            known = sum(math.comb(mates, k) * (1 - mine["test_share"]) ** k * mine["test_share"] ** (mates - k) for k in range(1, mates + 1))
            total += (end - begin) * known
            begin = end
    return total / len(passages)
''',
        '''def share_with_a_mate_in_train(mine):
    from fmcourse.data import load
    passages = [one.passage for one in load("questions").train[mine["first"]:][:mine["many"]]]
    number = {passage: i for i, passage in enumerate(set(passages))}
    on = torch.tensor([number[passage] for passage in passages])
    mates = (on[:, None] == on).sum(1) - 1
    return (1 - mine["test_share"] ** mates.double()).mean().item()
''',
    ],
    vary=lot,
    explanation="A question of a group of s is safe only if all s - 1 others went to the test as well, and that has probability p to the power s - 1: next to nothing. With small tests "
    "a group of two already leaks most of the time. So the share of items that have mates is the share of your test that is no test.",
    properties=[Property("more than have mates", '''def test(out, case):
    from collections import Counter
    from fmcourse.data import load
    some = load("questions").train[case["first"] : case["first"] + case["many"]]
    on = Counter(one.passage for one in some)
    most = sum(on[one.passage] > 1 for one in some) / len(some)
    return 0 < out < most or f"A share of {most:.4g} of your questions has another on the same passage, and not all of these leak; your mean is {out:.4g}."
''', "Which questions can leak at all, and when do they not?")],
    mistakes=[
        Mistake("it is its own mate", LEAKING + "    return sum(1 - p ** s for s in sizes) / len(sizes)\n",
                "A question alone with its passage leaks here too. How many *others* has it?"),
        Mistake("the two sides exchanged", LEAKING + "    return sum(1 - (1 - p) ** (s - 1) for s in sizes) / len(sizes)\n",
                "That is how often a mate is in the *test*. Which side was asked for?"),
        Mistake("all mates in training", LEAKING + "    return sum((1 - p) ** (s - 1) * (s > 1) for s in sizes) / len(sizes)\n",
                "It asks that every mate be in the training. How many does it take to know the passage?"),
        Mistake("one mate at most", LEAKING + "    return sum((1 - p) * (s > 1) for s in sizes) / len(sizes)\n",
                "Whoever has mates leaks with the same chance, be they one or five. What do more of them change?"),
        Mistake("the mean over passages", LEAKING + "    return sum(1 - p ** (s - 1) for s in on.values()) / len(on)\n",
                "A passage with five questions counts as much as one with a single question. Over what was the mean to be taken?"),
        Mistake("how many have mates", LEAKING + "    return sum(s > 1 for s in sizes) / len(sizes)\n",
                "That is the share of questions that have mates at all. Where are the mates after the split?"),
        Mistake("counts that are in the test too", LEAKING + "    return p * sum(1 - p ** (s - 1) for s in sizes) / len(sizes)\n",
                "It multiplies by the chance to land in the test. What is taken for granted of the question?"),
        Mistake("the end of the slice", LEAKING.replace('[mine["first"]:][:mine["many"]]', '[:mine["many"]]') + "    return sum(1 - p ** (s - 1) for s in sizes) / len(sizes)\n",
                "The slice begins with the first of all questions. Where do yours begin?"),
        Mistake("how often it is safe", LEAKING + "    return sum(p ** (s - 1) for s in sizes) / len(sizes)\n",
                "That is how probable it is that all mates are in the test. Which was asked?"),
        Mistake("those alone left out", LEAKING + "    leaks = [1 - p ** (s - 1) for s in sizes if s > 1]\n    return sum(leaks) / len(leaks)\n",
                "Questions alone with their passage are not in the mean. With what do they count?"),
        Mistake("mates among all questions", LEAKING.replace("for one in some)", "for one in load(\"questions\").train)") + "    return sum(1 - p ** (s - 1) for s in sizes) / len(sizes)\n",
                "Questions that are not yours count as mates. Which ones were to be forgotten?"),
        Mistake("times for powers", LEAKING + "    return sum(1 - p * (s - 1) for s in sizes) / len(sizes)\n",
                "The chance is multiplied by the number of mates. How probable is it that two of two went to the test?"),
        Mistake("how many mates", LEAKING + "    return sum((1 - p) * (s - 1) for s in sizes) / len(sizes)\n",
                "That is how many mates are in the training on average. How probable is it that there is one at least?"),
        Mistake("exactly one mate", LEAKING + "    return sum((s - 1) * (1 - p) * p ** max(0, s - 2) for s in sizes) / len(sizes)\n",
                "That is how probable exactly one mate in the training is. And if there are two?"),
        Mistake("a passage of mean size", LEAKING + "    return 1 - p ** (len(some) / len(on) - 1)\n",
                "It takes every passage for as large as the mean one. Is the mean of powers the power of the mean?"),
    ],
)  # fmt: skip
