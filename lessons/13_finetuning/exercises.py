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
        Mistake("back after the first", """def training_bytes(parts):
    for numbers, trained in parts:
        return 16 * numbers if trained else 4 * numbers
""",
                "It comes back with the first part. How do the others come in?"),
        Mistake("the last part wins", """def training_bytes(parts):
    kept = 0
    for numbers, trained in parts:
        kept = 16 * numbers if trained else 4 * numbers
    return kept
""",
                "Each part is written over the one before. How do you add to what is already there?"),
        Mistake("without the weights", """def training_bytes(parts):
    return sum(12 * numbers for numbers, trained in parts if trained)
""",
                "That is what training adds: gradient and two averages. Are the weights not kept?"),
        Mistake("five of each", """def training_bytes(parts):
    return sum(20 * numbers if trained else 4 * numbers for numbers, trained in parts)
""",
                "A trained number costs five. Itself, a gradient, two averages: what is the fifth?"),
        Mistake("frozen ones have a gradient", """def training_bytes(parts):
    return sum(16 * numbers if trained else 8 * numbers for numbers, trained in parts)
""",
                "A frozen number costs two, as if it had a gradient. Who would use it?"),
        Mistake("three numbers in all", """def training_bytes(parts):
    return 4 * sum(numbers + 3 * trained for numbers, trained in parts)
""",
                "Only three numbers were added for each part that is trained. What multiplies the three?"),
        Mistake("bits", """def training_bytes(parts):
    return sum(128 * numbers if trained else 32 * numbers for numbers, trained in parts)
""",
                "That is in bits. How many of them are a byte?"),
        Mistake("kilobytes", """def training_bytes(parts):
    return sum(16 * numbers if trained else 4 * numbers for numbers, trained in parts) / 1024
""",
                "It is divided by 1,024. In which unit was it asked for?"),
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
    """Where the numbers are right, what is asked to learn must be told how to."""
    x, W, A, B, alpha = case
    given = {"x": x, "A": A, "B": B}
    right = x @ W.T + alpha / len(A) * (x @ A.T) @ B.T
    if out.grad_fn is None or out.shape != right.shape or not torch.allclose(out, right, atol=1e-4):
        return True
    ends = leaves(out.grad_fn)
    wanted = torch.autograd.grad(right.sum(), [one for one in given.values() if one.requires_grad])
    for name, slope in zip([name for name, one in given.items() if one.requires_grad], wanted, strict=True):
        end = next((leaf for leaf in ends if leaf.shape == given[name].shape and torch.equal(leaf, given[name])), None)
        back = None if end is None else torch.autograd.grad(out.sum(), end, retain_graph=True)[0]
        if back is None or not torch.allclose(back, slope, atol=1e-3):
            return f"A part of the gradient of {name} is missing, and {NEEDED[name]}."
    return True


NEEDED = {"x": "the layers below learn from that", "A": "A is to be trained", "B": "B is to be trained"}

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
                Property("the gradient is cut", goes_back, "W is not trained, but what comes before it may be. Through which products must a gradient pass?")],
    mistakes=[
        Mistake("A cut off", lambda x, W, A, B, alpha: x @ W.T + alpha / len(A) * (x @ A.T.detach()) @ B.T,
                "A `detach` or `no_grad` stands where A is used, so A is told nothing of how to change. Which two matrices are to be trained?"),
        Mistake("x cut off", lambda x, W, A, B, alpha: (x @ W.T).detach() + alpha / len(A) * (x @ A.T) @ B.T,
                "A `detach` or `no_grad` stands in one of the two ways. That W is not trained is said where its weights are "
                "frozen; A, B and the layers below are told through these ways how to change. What would they learn now?"),
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
        Mistake("a root of R", """def low_rank(x, W, A, B, alpha):
    return x @ W.T + alpha / len(A) ** 0.5 * (x @ A.T) @ B.T
""",
                "The step weighs alpha / √R, as in rsLoRA. By what does the docstring divide?"),
        Mistake("divided by the outputs", """def low_rank(x, W, A, B, alpha):
    return x @ W.T + alpha / len(B) * (x @ A.T) @ B.T
""",
                "alpha is divided by O, the rows of B. R is which side of B?"),
        Mistake("weighed twice", """def low_rank(x, W, A, B, alpha):
    weight = alpha / len(A)
    return x @ W.T + (weight * x @ A.T) @ (weight * B.T)
""",
                "The weight comes in twice, before A and before B. How often should it?"),
        Mistake("divided by the batch", """def low_rank(x, W, A, B, alpha):
    return x @ W.T + alpha / len(x) * (x @ A.T) @ B.T
""",
                "alpha is divided by how many rows came in. What is R?"),
        Mistake("all of it weighed", """def low_rank(x, W, A, B, alpha):
    return alpha / len(A) * (x @ W.T + (x @ A.T) @ B.T)
""",
                "alpha / R multiplies W x as well. What should come out while B is still zero?"),
        Mistake("the two ways multiplied", """def low_rank(x, W, A, B, alpha):
    return x @ W.T * (alpha / len(A) * (x @ A.T) @ B.T)
""",
                "The two ways are multiplied, so with B at zero nothing comes out. How do their results come "
                "together?"),
        Mistake("written into W", """def low_rank(x, W, A, B, alpha):
    W += alpha / len(A) * B @ A
    return x @ W.T
""",
                "The step is written into W, at every call once more. Which tensor stays as it is?"),
        Mistake("matrices not turned", """def low_rank(x, W, A, B, alpha):
    return x @ W + alpha / len(A) * (x @ A) @ B
""",
                "x (..., I) times W (O, I) does not fit. Which of the two axes of each matrix meets x?"),
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
        Mistake("a root of R", """def merge(W, A, B, alpha):
    return W + alpha / len(A) ** 0.5 * B @ A
""",
                "The step weighs alpha / √R, as in rsLoRA. What did it weigh in training?"),
        Mistake("divided by the outputs", """def merge(W, A, B, alpha):
    return W + alpha / len(B) * B @ A
""",
                "alpha is divided by O, the rows of B. R is which side of B?"),
        Mistake("R over alpha", """def merge(W, A, B, alpha):
    return W + len(A) / alpha * B @ A
""",
                "The step weighs R / alpha. Which of the two divides?"),
        Mistake("multiplied, number by number", """def merge(W, A, B, alpha):
    return W * (alpha / len(A) * B @ A)
""",
                "W is multiplied by the step. Two ways side by side: how do they come together?"),
        Mistake("the first direction alone", """def merge(W, A, B, alpha):
    return W + alpha / len(A) * torch.outer(B[:, 0], A[0])
""",
                "Only the first column of B meets the first row of A. How many such pairs are there?"),
        Mistake("A before B", """def merge(W, A, B, alpha):
    return W + alpha / len(A) * A @ B
""",
                "A (R, I) times B (O, R) does not fit. For a vector x, which of the two comes first, and so stands "
                "on the right?"),
        Mistake("turned once too often", """def merge(W, A, B, alpha):
    return W + alpha / len(A) * (B @ A).T
""",
                "B A is (O, I) already, as W is. What is turned here?"),
        Mistake("written into W", """def merge(W, A, B, alpha):
    W += alpha / len(A) * B @ A
    return W
""",
                "W itself is changed. Which operator makes a new matrix?"),
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
        (["A cat."], ["a cat", "a cat.", "a, cat."]), (["it's on"], ["its on", "IT'S  on"]), (["one two"], ["one\n two\n", "one\u00a0two"]),
        (["a cAFé"], ["A caf", "a Café"]), (["", "x"], [" \t", "y"]), (["a   b", "aB"], ["ab", "a b", "A  B"]),
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
        Mistake("punctuation does not count", """def leaked(train, test):
    import string
    plain = lambda text: text.lower().translate(str.maketrans("", "", string.punctuation)).split()
    seen = [plain(text) for text in train]
    return [at for at, text in enumerate(test) if plain(text) in seen]
""", "\"a cat\" passes for \"A cat.\". In what may two texts differ and still be the same: is a full stop among it?"),
        Mistake("words alone, by a pattern", """def leaked(train, test):
    import re
    plain = lambda text: re.findall(r"\\w+", text.lower())
    seen = [plain(text) for text in train]
    return [at for at, text in enumerate(test) if plain(text) in seen]
""", "The pattern finds letters and digits, so \"a, cat.\" passes for \"A cat.\". What else than white space was dropped?"),
        Mistake("the letters a to z alone", """def leaked(train, test):
    import re
    plain = lambda text: re.sub("[^a-z]+", " ", text.lower()).split()
    seen = [plain(text) for text in train]
    return [at for at, text in enumerate(test) if plain(text) in seen]
""", "Whatever is not a to z became a space: full stops, apostrophes, é. Which differences do not count?"),
        Mistake("two spaces made one", """def leaked(train, test):
    plain = lambda text: text.lower().replace("  ", " ").strip()
    seen = {plain(text) for text in train}
    return [at for at, text in enumerate(test) if plain(text) in seen]
""", "Two spaces become one, but three become two, and a tab stays. Which method takes *any* white space for one gap?"),
        Mistake("spaces alone", """def leaked(train, test):
    plain = lambda text: [word for word in text.lower().split(" ") if word]
    seen = [plain(text) for text in train]
    return [at for at, text in enumerate(test) if plain(text) in seen]
""", "`split(\" \")` cuts at spaces alone, so a tab or a line end tells two texts apart. What does `split()` cut at?"),
        Mistake("spaces and tabs alone", """def leaked(train, test):
    import re
    plain = lambda text: re.sub("[ \\t]+", " ", text.lower()).strip()
    seen = {plain(text) for text in train}
    return [at for at, text in enumerate(test) if plain(text) in seen]
""", "Spaces and tabs are one, a line end is not. Which kinds of white space are there?"),
        Mistake("all spaces removed", """def leaked(train, test):
    plain = lambda text: text.lower().replace(" ", "")
    seen = {plain(text) for text in train}
    return [at for at, text in enumerate(test) if plain(text) in seen]
""", "\"a bc\" and \"ab c\" become one, and a tab stays. Where words end matters: what should stand between them?"),
        Mistake("the first letter alone", """def leaked(train, test):
    plain = lambda text: (text[:1].lower() + text[1:]).split()
    seen = [plain(text) for text in train]
    return [at for at, text in enumerate(test) if plain(text) in seen]
""", "Only the first letter of a text is made small. Where else may capitals stand?"),
        Mistake("train is left as it is", """def leaked(train, test):
    seen = set(train)
    return [at for at, text in enumerate(test) if " ".join(text.lower().split()) in seen]
""", "The test texts are made plain, those of train are not. Can \"A cat\" in train be found like this?"),
        Mistake("test is left as it is", """def leaked(train, test):
    seen = {" ".join(text.lower().split()) for text in train}
    return [at for at, text in enumerate(test) if text in seen]
""", "The training texts are made plain, those of test are not. Can \"A  cat\" in test be found like this?"),
        Mistake("the first place again", """def leaked(train, test):
    plain = lambda text: " ".join(text.lower().split())
    seen = {plain(text) for text in train}
    return [test.index(text) for text in test if plain(text) in seen]
""", "`test.index` finds the first place of a text that stands there twice. Which function counts the places as you go?"),
        Mistake("once for each training text", """def leaked(train, test):
    found = []
    for at, text in enumerate(test):
        for other in train:
            if text.lower().split() == other.lower().split():
                found.append(at)
    return found
""", "Where train holds a text twice, its place in test comes twice. When should the inner loop stop?"),
        Mistake("place by place", """def leaked(train, test):
    plain = lambda text: " ".join(text.lower().split())
    return [at for at, (one, other) in enumerate(zip(train, test)) if plain(one) == plain(other)]
""", "It compares the first with the first, the second with the second. May a copy stand elsewhere in train?"),
        Mistake("ASCII alone", """def leaked(train, test):
    plain = lambda text: " ".join(text.encode("ascii", "ignore").decode().lower().split())
    seen = {plain(text) for text in train}
    return [at for at, text in enumerate(test) if plain(text) in seen]
""", "é is dropped, so \"A caf\" passes for \"a cAFé\". Is an accent a capital, or white space?"),
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
                "Equal pairs leave one mark, however many there are: `= 1` writes over what is there, and `table[rows, columns] += 1` writes each place once. How can all be counted?"),
        Mistake("every pair leaves its mark twice", lambda given, wanted, kinds: counted(wanted, given, kinds) + counted(given, wanted, kinds),
                "The table is its own mirror image. Is a cat taken for a dog the same as a dog taken for a cat?"),
        Mistake("one row for all", """def confusion(given, wanted, kinds):
    table = [[0] * kinds] * kinds
    for truth, said in zip(wanted.tolist(), given.tolist()):
        table[truth][said] += 1
    return torch.tensor(table)
""",
                "`[...] * kinds` is the same row so many times, so a mark in one is a mark in all. How does each row "
                "become its own?"),
        Mistake("back after the first", """def confusion(given, wanted, kinds):
    table = torch.zeros(kinds, kinds, dtype=torch.long)
    for truth, said in zip(wanted.tolist(), given.tolist()):
        table[truth, said] += 1
        return table
""",
                "It comes back after the first item. How far is `return` indented?"),
        Mistake("kinds from one", """def confusion(given, wanted, kinds):
    table = torch.zeros(kinds, kinds, dtype=torch.long)
    for truth, said in zip(wanted.tolist(), given.tolist()):
        table[truth - 1, said - 1] += 1
    return table
""",
                "Kind 0 lands in the last row: 1 was taken off. At which number do kinds begin?"),
        Mistake("no larger than what was met", """def confusion(given, wanted, kinds):
    n = int(max(given.max(), wanted.max())) + 1
    table = torch.zeros(n, n, dtype=torch.long)
    for truth, said in zip(wanted.tolist(), given.tolist()):
        table[truth, said] += 1
    return table
""",
                "The table ends with the largest kind that was met. How does it learn how many kinds there are?"),
        Mistake("shares of each row", """def confusion(given, wanted, kinds):
    table = torch.zeros(kinds, kinds)
    for truth, said in zip(wanted.tolist(), given.tolist()):
        table[truth, said] += 1
    return table / table.sum(1, keepdim=True)
""",
                "Each row was divided by its sum, and a kind that never came is 0/0. How often was asked for?"),
        Mistake("counts as floats", """def confusion(given, wanted, kinds):
    table = torch.zeros(kinds, kinds)
    for truth, said in zip(wanted.tolist(), given.tolist()):
        table[truth, said] += 1
    return table
""",
                "The counts are right, as floats. Which dtype makes whole numbers of zeros?"),
        Mistake("how many were right", """def confusion(given, wanted, kinds):
    return (given == wanted).sum()
""",
                "That is one number, of the right ones. Which kind was taken for which?"),
    ],
)  # fmt: skip
