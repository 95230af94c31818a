"""Lesson 13: what training keeps in memory, a step of low rank beside a matrix, and into it; what stands in train and test; which kind is taken for which."""

import torch
from fmcourse.course.exercise import Exercise, Mistake, Property
from torch import Tensor
from torch.nn import functional as F

noise = lambda *shape, seed=0: torch.randn(*shape, generator=torch.Generator().manual_seed(seed))

# -- 13.1 bytes that training keeps -----------------------------------------------------------------------------------------

memory = Exercise(
    "13.1",
    goal="what does training keep?",
    minutes=6,
    cases=[[(1, True)], [(1, False)], [(1000, False), (10, True)], [(7, True), (5, True), (100, False)], [(22_713_216, False), (3_850, True)], [(3, False), (4, False)]],
    starter='''def training_bytes(parts):
    """Bytes that weights, gradients and Adam need, a number being 4 bytes.

    parts: a list of (how many numbers, are they trained?)
    All weights are kept. A number that is trained has a gradient too, and Adam's two averages: of the gradient and of
    its square.
    """
    ...
''',
    solution='''def training_bytes(parts):
    """Bytes that weights, gradients and Adam need, a number being 4 bytes.

    parts: a list of (how many numbers, are they trained?)
    All weights are kept. A number that is trained has a gradient too, and Adam's two averages: of the gradient and of
    its square.
    """
    return sum(4 * numbers * (1 + 3 * trained) for numbers, trained in parts)    # itself; gradient and two averages
''',
    other_solutions=[
        lambda parts: sum(16 * n if trained else 4 * n for n, trained in parts),
        "def training_bytes(parts):\n    kept = 0\n    for numbers, trained in parts:\n        kept += 4 * numbers\n        if trained:\n            kept += 3 * 4 * numbers\n    return kept\n",
    ],
    hints=[
        "A weight that never moves: what must be remembered of it, apart from itself?",
        "Count numbers first, bytes last. One number for a frozen weight, and for a trained one itself, its gradient and two averages.",
        "`4 * numbers * (4 if trained else 1)`, added up over the parts.",
    ],
    explanation="Frozen weights cost only themselves. A trained one costs four times as much: that is why freezing saves memory although the "
    "model stays as large. (What the forward pass keeps for the backward one comes on top; it depends on the batch.)",
    mistakes=[
        Mistake("everything is trained", lambda parts: sum(16 * n for n, _ in parts),
                "Frozen numbers get a gradient and averages too. Who would use them?"),
        Mistake("frozen weights are not kept", lambda parts: sum(16 * n for n, trained in parts if trained),
                "Frozen weights count nothing. Can the model answer without them?"),
        Mistake("numbers, not bytes", lambda parts: sum(n * (4 if trained else 1) for n, trained in parts),
                "It counts numbers. How many bytes is one of them?"),
        Mistake("one of four is missing", lambda parts: sum(4 * n * (3 if trained else 1) for n, trained in parts),
                "A trained number costs three. Itself, a gradient, two averages: which of them is left out?"),
        Mistake("no averages", lambda parts: sum(4 * n * (2 if trained else 1) for n, trained in parts),
                "Weight and gradient are there: that would be plain descent. What does Adam remember between two steps?"),
        Mistake("only the weights", lambda parts: 4 * sum(n for n, _ in parts),
                "These are the bytes of a model that only answers. What does training keep besides?"),
        Mistake("the frozen ones cost more", lambda parts: sum(4 * n * (1 if trained else 4) for n, trained in parts),
                "Trained and frozen are swapped. Which of them has a gradient?"),
    ],
)  # fmt: skip

# -- 13.2 a step beside a matrix --------------------------------------------------------------------------------------------

low_cases = [
    (torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), torch.tensor([[1.0, -1.0]]), torch.tensor([[1.0], [0.0], [2.0]]), 2.0),
    (noise(2, 3, 6), noise(6, 6, seed=1), noise(2, 6, seed=2), noise(6, 2, seed=3), 4.0),
    (noise(4, 5, seed=4).requires_grad_(), noise(7, 5, seed=5), noise(3, 5, seed=6).requires_grad_(), noise(7, 3, seed=7).requires_grad_(), 6.0),
    (noise(2, 8, seed=8), noise(4, 8, seed=9), noise(4, 8, seed=10), torch.zeros(4, 4), 16.0),
]  # fmt: skip


def begins_as_it_was(out: Tensor, case: tuple) -> bool | str:
    x, W, _, B, _ = case
    if B.any() or out.shape != (x @ W.T).shape:
        return True
    return (
        torch.allclose(out, x @ W.T, atol=1e-4)
        or f"B is all zeros, so the layer should do what W alone does; it is off by up to {(out - x @ W.T).abs().max():.3g}."
    )


def leaves(node) -> list[Tensor]:
    """The tensors at which a backward pass ends."""
    here = [node.variable] if hasattr(node, "variable") else []
    return here + [leaf for before, _ in node.next_functions if before is not None for leaf in leaves(before)]


def goes_back(out: Tensor, case: tuple) -> bool | str:
    x, W, A, B, alpha = case
    if not x.requires_grad or out.grad_fn is None:
        return True
    reached = next((leaf for leaf in leaves(out.grad_fn) if leaf.shape == x.shape and torch.equal(leaf, x)), None)
    back = None if reached is None else torch.autograd.grad(out.sum(), reached, retain_graph=True)[0]
    if back is not None and torch.allclose(back, (W + alpha / len(A) * B @ A).sum(0).expand_as(x), atol=1e-4):
        return True
    return "A part of the gradient of x is missing, and the layers below learn from that."


low_rank = Exercise(
    "13.2",
    goal="a small step beside a large matrix",
    minutes=12,
    difficulty=2,
    cases=low_cases,
    starter='''def low_rank(x, W, A, B, alpha):
    """A linear layer, and beside it a step of low rank: W stays as it is, A and B are trained.

    x: (..., I)   W: (O, I)   A: (R, I)   B: (O, R)   alpha: the step's weight is alpha / R   ->   (..., O)
    """
    ...
''',
    solution='''def low_rank(x, W, A, B, alpha):
    """A linear layer, and beside it a step of low rank: W stays as it is, A and B are trained.

    x: (..., I)   W: (O, I)   A: (R, I)   B: (O, R)   alpha: the step's weight is alpha / R   ->   (..., O)
    """
    return x @ W.T + alpha / len(A) * (x @ A.T) @ B.T    # through R numbers, never through an (O, I) matrix
''',
    other_solutions=[
        lambda x, W, A, B, alpha: F.linear(x, W) + F.linear(F.linear(x, A), B) * (alpha / A.shape[0]),
        lambda x, W, A, B, alpha: x @ (W + alpha / B.shape[1] * B @ A).T,
        "def low_rank(x, W, A, B, alpha):\n    few = torch.einsum('...i,ri->...r', x, A)\n    step = torch.einsum('...r,or->...o', few, B)\n"
        "    return torch.einsum('...i,oi->...o', x, W) + step * alpha / A.size(0)\n",
    ],
    hints=[
        "Two ways lead from x to the output, and the results are added. How many numbers does the second way pass through in the middle?",
        "x (..., I) times A.T (I, R) gives R numbers; those times B.T (R, O) give O. R is the number of rows of A.",
        "`x @ W.T + alpha / len(A) * (x @ A.T) @ B.T`.",
    ],
    explanation="The detour has R (I + O) numbers where the matrix has I O. Multiplied from the left, x A first, it also costs that little. "
    "The step is divided by R so that a larger R does not mean larger steps (Hu et al. 2021, section 4.1).",
    properties=[Property("changes something before it was trained", begins_as_it_was, "What should the layer do as long as B is zero?"),
                Property("the gradient is cut", goes_back, "W is not trained. Does what comes before it need its slope all the same?")],
    mistakes=[
        Mistake("W x cut off", lambda x, W, A, B, alpha: (x @ W.T).detach() + alpha / len(A) * (x @ A.T) @ B.T,
                "W x is detached. That W is not trained is said where its weights are frozen; through W x the layers below are told how they should change. What would they learn now?"),
        Mistake("the step alone", lambda x, W, A, B, alpha: alpha / len(A) * (x @ A.T) @ B.T,
                "W is not there: the pretrained layer is gone. What should come out while B is still zero?"),
        Mistake("W alone", lambda x, W, A, B, alpha: x @ W.T, "The step changes nothing, so nothing could be learnt. What is added to W x?"),
        Mistake("no division by R", lambda x, W, A, B, alpha: x @ W.T + alpha * (x @ A.T) @ B.T,
                "The step weighs alpha. With R twice as large it would be twice as long. By what is alpha divided?"),
        Mistake("alpha left out", lambda x, W, A, B, alpha: x @ W.T + (x @ A.T) @ B.T / len(A),
                "alpha changes nothing. Where does it weigh?"),
        Mistake("divided by the width", lambda x, W, A, B, alpha: x @ W.T + alpha / A.shape[1] * (x @ A.T) @ B.T,
                "alpha is divided by I, the numbers that come in. R is which side of A?"),
        Mistake("R over alpha", lambda x, W, A, B, alpha: x @ W.T + len(A) / alpha * (x @ A.T) @ B.T,
                "The step weighs R / alpha: the larger alpha, the smaller the step. Which of the two divides?"),
        Mistake("a bend in between", lambda x, W, A, B, alpha: x @ W.T + alpha / len(A) * torch.relu(x @ A.T) @ B.T,
                "Between A and B something bends. Could that ever be merged into one matrix?"),
        Mistake("neither alpha nor R", lambda x, W, A, B, alpha: x @ W.T + (x @ A.T) @ B.T,
                "The step has weight 1. Which weight was asked for?"),
        Mistake("a step after W", lambda x, W, A, B, alpha: (x @ W.T) * (1 + alpha / len(A) * ((x @ A.T) @ B.T)),
                "The step multiplies W x. Two ways side by side: how do their results come together?"),
        Mistake("subtracted", lambda x, W, A, B, alpha: x @ W.T - alpha / len(A) * (x @ A.T) @ B.T,
                "The step is taken away. It would learn all the same, but which sign was asked for?"),
    ],
)  # fmt: skip

# -- 13.3 into the matrix ---------------------------------------------------------------------------------------------------

merge = Exercise(
    "13.3",
    goal="one matrix again",
    minutes=8,
    cases=[(W, A, B, alpha) for _, W, A, B, alpha in low_cases] + [(noise(3, 3, seed=11), noise(3, 3, seed=12), noise(3, 3, seed=13), 1.5)],
    starter='''def merge(W, A, B, alpha):
    """The one matrix that does what W and the step, of weight alpha / R, do together; W itself is not changed.

    W: (O, I)   A: (R, I)   B: (O, R)   ->   (O, I)
    """
    ...
''',
    solution='''def merge(W, A, B, alpha):
    """The one matrix that does what W and the step, of weight alpha / R, do together; W itself is not changed.

    W: (O, I)   A: (R, I)   B: (O, R)   ->   (O, I)
    """
    return W + alpha / len(A) * B @ A
''',
    other_solutions=[
        lambda W, A, B, alpha: torch.addmm(W, B, A, alpha=alpha / A.shape[0]),
        "def merge(W, A, B, alpha):\n    step = sum(torch.outer(B[:, r], A[r]) for r in range(len(A)))\n    return W.clone() + step * (alpha / len(A))\n",
    ],
    hints=[
        "Two ways side by side are one way: (W + something) x. What is the something?",
        "First A, then B: for a vector x that is B (A x), so the matrix of both is B A, (O, R) times (R, I).",
        "`W + alpha / len(A) * B @ A`.",
    ],
    explanation="Both ways are linear, so their sum is one matrix. After merging the model has as many weights as before and costs as much: the "
    "step is free at use. And it can be taken off again.",
    mistakes=[
        Mistake("no division by R", lambda W, A, B, alpha: W + alpha * B @ A, "The step weighed alpha / R while it was trained. And now?"),
        Mistake("alpha left out", lambda W, A, B, alpha: W + B @ A / len(A), "alpha has no part in it. What did the step weigh in training?"),
        Mistake("neither alpha nor R", lambda W, A, B, alpha: W + B @ A, "The step has weight 1 here. What did it weigh in training?"),
        Mistake("divided by the width", lambda W, A, B, alpha: W + alpha / A.shape[1] * B @ A,
                "alpha is divided by I, the numbers that come in. R is which side of A?"),
        Mistake("W is weighed too", lambda W, A, B, alpha: alpha / len(A) * (W + B @ A),
                "alpha / R multiplies W as well. What would become of the model while B is still zero?"),
        Mistake("the step alone", lambda W, A, B, alpha: alpha / len(A) * B @ A, "That is the step. Where is what the model knew before?"),
        Mistake("taken off", lambda W, A, B, alpha: W - alpha / len(A) * B @ A, "That takes a step off that was put on. Which way is asked for?"),
        Mistake("nothing merged", lambda W, A, B, alpha: W.clone(), "It is W as it was. What did A and B learn?"),
        Mistake("the wrong way round", lambda W, A, B, alpha: W + alpha / len(A) * (A.T @ B.T).reshape(W.shape),
                "The step lies the wrong way: x meets A first, then B. In which order do their matrices stand?"),
    ],
)  # fmt: skip

# -- 13.4 in train and in test ----------------------------------------------------------------------------------------------

leaks = Exercise(
    "13.4",
    goal="which test texts were in the training?",
    minutes=10,
    cases=[
        (["a cat"], ["a dog", "a cat"]), (["A cat"], ["a  cat ", "cat"]), ([], ["a"]), (["a", "b"], []),
        (["the act of running", "a small bird", "A SMALL BIRD"], ["a small bird", "a small\tbird", "a bird", "The act  of running"]),
        (["one", "two", "three"], ["two", "four", "two", "three "]), (["ab c"], ["a bc", "abc"]),
        (["man bites dog"], ["dog bites man", "Man  bites dog"]), (["no no"], ["no"]),
    ],
    starter='''def leaked(train, test):
    """Places in `test` of the texts that stand in `train` too. Two texts are the same
    if they differ only in capitals or in white space: how much, of which kind, or at the ends.

    train, test: lists of texts   ->   a list of whole numbers, from small to large
    """
    ...
''',
    solution='''def leaked(train, test):
    """Places in `test` of the texts that stand in `train` too. Two texts are the same
    if they differ only in capitals or in white space: how much, of which kind, or at the ends.

    train, test: lists of texts   ->   a list of whole numbers, from small to large
    """
    plain = lambda text: " ".join(text.lower().split())
    seen = {plain(text) for text in train}                 # a set: looked up at once, however many there are
    return [at for at, text in enumerate(test) if plain(text) in seen]
''',
    other_solutions=[
        lambda train, test: [at for at, text in enumerate(test) if text.casefold().split() in [other.casefold().split() for other in train]],
        "def leaked(train, test):\n    seen = set(tuple(t.lower().split()) for t in train)\n    found = []\n    for at in range(len(test)):\n"
        "        if tuple(test[at].lower().split()) in seen:\n            found.append(at)\n    return found\n",
    ],
    hints=[
        "Two texts are the same if nothing is left that tells them apart. What of \"A  cat\" and \"a cat\" is still different once both are made plain?",
        "Make every text plain: small letters, words with one space between them. Then ask for each test text whether a training text is the same.",
        "`\" \".join(text.lower().split())` is plain. Collect those of train in a set, and `enumerate(test)`.",
    ],
    explanation="A text that was learnt is no test. The check costs a line, and it finds only what is the same word for word: a paraphrase, a second "
    "photograph of the same thing, another line by the same writer leak too, and only you know how the data came about.",
    mistakes=[
        Mistake("capitals tell apart", lambda train, test: [at for at, text in enumerate(test) if text.split() in [other.split() for other in train]],
                "\"A cat\" passes for another text than \"a cat\". Would the model find it any harder?"),
        Mistake("spaces tell apart", lambda train, test: [at for at, text in enumerate(test) if text.lower() in {other.lower() for other in train}],
                "A second space makes a new text. Does it to a tokenizer that cuts at spaces?"),
        Mistake("only the ends are trimmed", lambda train, test: [at for at, text in enumerate(test) if text.lower().strip() in {other.lower().strip() for other in train}],
                "Spaces at the ends are gone, those in the middle still count. How does one make every gap the same?"),
        Mistake("spaces are nothing", lambda train, test: [at for at, text in enumerate(test) if "".join(text.lower().split()) in {"".join(other.lower().split()) for other in train}],
                "\"a bc\" and \"ab c\" become one. Where words end matters: what should stand between them?"),
        Mistake("places in train", lambda train, test: [at for at, text in enumerate(train) if " ".join(text.lower().split()) in {" ".join(other.lower().split()) for other in test}],
                "Those are places in train. Which of the two lists will be cleaned?"),
        Mistake("those that are new", lambda train, test: [at for at, text in enumerate(test) if " ".join(text.lower().split()) not in {" ".join(other.lower().split()) for other in train}],
                "It lists the texts that are fine. Which ones were asked for?"),
        Mistake("the order of words does not count", lambda train, test: [at for at, text in enumerate(test) if sorted(text.lower().split()) in [sorted(other.lower().split()) for other in train]],
                "\"dog bites man\" passes for \"man bites dog\". The same words, but the same text?"),
        Mistake("each word counts once", lambda train, test: [at for at, text in enumerate(test) if set(text.lower().split()) in [set(other.lower().split()) for other in train]],
                "Only which words occur is compared: their order and number are gone. What makes two texts the same?"),
        Mistake("counted from one", lambda train, test: [at for at, text in enumerate(test, 1) if text.lower().split() in [other.lower().split() for other in train]],
                "The first place is called 1. Which number has it in Python?"),
        Mistake("yes or no for each", lambda train, test: [text.lower().split() in [other.lower().split() for other in train] for text in test],
                "It answers for every text. At which places is the answer yes?"),
        Mistake("part of a text", lambda train, test: [at for at, text in enumerate(test) if any(" ".join(text.lower().split()) in " ".join(other.lower().split()) for other in train)],
                "\"a bird\" is found inside another text. The same, or a part of it?"),
        Mistake("each only once", lambda train, test: [[" ".join(text.lower().split()) for text in test].index(one) for one in dict.fromkeys(" ".join(text.lower().split()) for text in test) if one in {" ".join(other.lower().split()) for other in train}],
                "A text that stands in test twice is named once. How many places does it spoil?"),
    ],
)  # fmt: skip

# -- 13.5 which kind is taken for which ---------------------------------------------------------------------------------------


def all_counted(out: Tensor, case: tuple) -> bool | str:
    _, wanted, kinds = case
    if tuple(out.shape) != (kinds, kinds):
        return f"{kinds} kinds make a table of {kinds} rows and {kinds} columns; it is {tuple(out.shape)}."
    return int(out.sum()) == len(wanted) or f"{len(wanted)} items were judged, but the table counts {out.sum():g}."


counted = lambda rows, columns, kinds: torch.bincount(rows * kinds + columns, minlength=kinds * kinds).view(
    kinds, kinds
)
confused = Exercise(
    "13.5",
    goal="which kind is taken for which?",
    minutes=8,
    cases=[
        (torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]), 2), (torch.tensor([2]), torch.tensor([0]), 3), (torch.tensor([0, 0]), torch.tensor([1, 1]), 2),
        (torch.tensor([0, 1, 2, 2, 1, 0]), torch.tensor([0, 1, 2, 1, 1, 2]), 3), (torch.tensor([0, 0, 3]), torch.tensor([0, 0, 0]), 5),
    ],
    starter='''def confusion(given, wanted, kinds):
    """How often was each kind taken for each? Row: the kind it is. Column: the kind it was said to be.

    given, wanted: (N,) whole numbers below kinds   ->   (kinds, kinds) whole numbers
    """
    ...
''',
    solution='''def confusion(given, wanted, kinds):
    """How often was each kind taken for each? Row: the kind it is. Column: the kind it was said to be.

    given, wanted: (N,) whole numbers below kinds   ->   (kinds, kinds) whole numbers
    """
    table = torch.zeros(kinds, kinds, dtype=torch.long)
    for truth, said in zip(wanted.tolist(), given.tolist()):
        table[truth, said] += 1
    return table
''',
    other_solutions=[
        lambda given, wanted, kinds: counted(wanted, given, kinds),
        lambda given, wanted, kinds: F.one_hot(wanted, kinds).T @ F.one_hot(given, kinds),
        "def confusion(given, wanted, kinds):\n    table = torch.zeros((kinds, kinds), dtype=torch.long)\n"
        "    return table.index_put((wanted, given), torch.ones(len(given), dtype=torch.long), accumulate=True)\n",
    ],
    hints=[
        "One item is one mark in the table. In which row does it stand, and in which column?",
        "Begin with zeros, go through the pairs (what it is, what was said), add one at that place. Two equal pairs are two marks.",
        "`table[truth, said] += 1` for `truth, said in zip(wanted.tolist(), given.tolist())`.",
    ],
    explanation="The diagonal is what was right; a row shows where a kind goes, a column what is called by its name. One number, the accuracy, hides "
    "whether two kinds are mistaken for one another or one swallows all.",
    properties=[Property("not everything is counted", all_counted, "How many marks should the table hold?")],
    mistakes=[
        Mistake("rows and columns swapped", lambda given, wanted, kinds: counted(given, wanted, kinds),
                "Rows are what was said. Which of the two should a row be?"),
        Mistake("only the right ones", lambda given, wanted, kinds: counted(wanted[given == wanted], given[given == wanted], kinds),
                "Only the diagonal is filled. Where do the mistakes go?"),
        Mistake("only the wrong ones", lambda given, wanted, kinds: counted(wanted[given != wanted], given[given != wanted], kinds),
                "The diagonal is empty. Is what was right not counted?"),
        Mistake("shares, not counts", lambda given, wanted, kinds: counted(wanted, given, kinds) / len(given),
                "It holds shares. How many were there?"),
        Mistake("each pair once", "def confusion(given, wanted, kinds):\n    table = torch.zeros(kinds, kinds, dtype=torch.long)\n    table[wanted, given] += 1\n    return table\n",
                "Equal pairs leave one mark, however many there are: `table[rows, columns] += 1` writes each place once. How can all be counted?"),
        Mistake("every pair leaves its mark twice", lambda given, wanted, kinds: counted(wanted, given, kinds) + counted(given, wanted, kinds),
                "The table is its own mirror image. Is a cat taken for a dog the same as a dog taken for a cat?"),
    ],
)  # fmt: skip
