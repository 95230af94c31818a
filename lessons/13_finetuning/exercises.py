"""Lesson 13: the memory that training needs, LoRA's low-rank update and its merging, data leakage, the confusion matrix."""

import torch
from fmcourse.course.exercise import Exercise, Mistake, Property
from torch import Tensor
from torch.nn import functional as F

noise = lambda *shape, seed=0: torch.randn(*shape, generator=torch.Generator().manual_seed(seed))

# -- 13.1 bytes that training keeps -----------------------------------------------------------------------------------------

memory = Exercise(
    "13.1",
    goal="count the memory that training needs",
    minutes=6,
    cases=[[(1, True)], [(1, False)], [(1000, False), (10, True)], [(7, True), (5, True), (100, False)], [(22_713_216, False), (3_850, True)], [(3, False), (4, False)]],
    starter='''def training_bytes(parts):
    """Bytes of a model's parameters, their gradients and Adam's averages; every value takes 4 bytes.

    parts: a list of (number of parameters, are they trained?)
    All parameters are kept. A trained one has a gradient too, and Adam's two averages: of the gradient and of its
    square.
    """
    ...
''',
    solution='''def training_bytes(parts):
    """Bytes of a model's parameters, their gradients and Adam's averages; every value takes 4 bytes.

    parts: a list of (number of parameters, are they trained?)
    All parameters are kept. A trained one has a gradient too, and Adam's two averages: of the gradient and of its
    square.
    """
    return sum(4 * numbers * (1 + 3 * trained) for numbers, trained in parts)    # itself; gradient and two averages
''',
    other_solutions=[
        lambda parts: sum(16 * n if trained else 4 * n for n, trained in parts),
        "def training_bytes(parts):\n    kept = 0\n    for numbers, trained in parts:\n        kept += 4 * numbers\n        if trained:\n            kept += 3 * 4 * numbers\n    return kept\n",
    ],
    hints=[
        "A frozen parameter: what must be kept of it, apart from itself?",
        "Count values first, bytes last: one value for a frozen parameter; for a trained one itself, its gradient and two averages.",
        "`4 * numbers * (4 if trained else 1)`, added up over the parts.",
    ],
    explanation="A frozen parameter costs only itself. A trained one costs four times as much: that is why freezing saves memory although the "
    "model stays as large. (The activations, which the forward pass keeps for the backward pass, come on top; they depend on the batch.)",
    mistakes=[
        Mistake("everything is trained", lambda parts: sum(16 * n for n, _ in parts),
                "Frozen parameters get a gradient and averages too. Who would use them?"),
        Mistake("frozen weights are not kept", lambda parts: sum(16 * n for n, trained in parts if trained),
                "Frozen parameters count nothing. Can the model predict without them?"),
        Mistake("numbers, not bytes", lambda parts: sum(n * (4 if trained else 1) for n, trained in parts),
                "It counts values. How many bytes is one of them?"),
        Mistake("one of four is missing", lambda parts: sum(4 * n * (3 if trained else 1) for n, trained in parts),
                "A trained parameter costs three values. Itself, a gradient, two averages: which of them is left out?"),
        Mistake("no averages", lambda parts: sum(4 * n * (2 if trained else 1) for n, trained in parts),
                "Parameter and gradient are there: that is enough for plain gradient descent. What does Adam keep from step to step?"),
        Mistake("only the weights", lambda parts: 4 * sum(n for n, _ in parts),
                "These are the bytes of a model that only predicts. What does training keep besides?"),
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
                "A trained parameter costs five values. Itself, a gradient, two averages: what is the fifth?"),
        Mistake("frozen ones have a gradient", """def training_bytes(parts):
    return sum(16 * numbers if trained else 8 * numbers for numbers, trained in parts)
""",
                "A frozen parameter costs two values, as if it had a gradient. Who would use it?"),
        Mistake("three numbers in all", """def training_bytes(parts):
    return 4 * sum(numbers + 3 * trained for numbers, trained in parts)
""",
                "Only three values were added for each part that is trained. What multiplies the three?"),
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
    goal="a low-rank update beside a frozen matrix",
    minutes=12,
    difficulty=2,
    cases=low_cases,
    starter='''def low_rank(x, W, A, B, alpha):
    """A frozen linear layer W plus the low-rank update B A, scaled by alpha / R; A and B are trained.

    x: (..., I)   W: (O, I)   A: (R, I)   B: (O, R)   alpha: a number   ->   (..., O)
    """
    ...
''',
    solution='''def low_rank(x, W, A, B, alpha):
    """A frozen linear layer W plus the low-rank update B A, scaled by alpha / R; A and B are trained.

    x: (..., I)   W: (O, I)   A: (R, I)   B: (O, R)   alpha: a number   ->   (..., O)
    """
    return x @ W.T + alpha / len(A) * (x @ A.T) @ B.T    # by way of R features; B A, an (O, I) matrix, is never computed
''',
    other_solutions=[
        lambda x, W, A, B, alpha: F.linear(x, W) + F.linear(F.linear(x, A), B) * (alpha / A.shape[0]),
        lambda x, W, A, B, alpha: x @ (W + alpha / B.shape[1] * B @ A).T,
        "def low_rank(x, W, A, B, alpha):\n    few = torch.einsum('...i,ri->...r', x, A)\n    step = torch.einsum('...r,or->...o', few, B)\n"
        "    return torch.einsum('...i,oi->...o', x, W) + step * alpha / A.size(0)\n",
    ],
    hints=[
        "Two paths lead from x to the output, and their results are added. How many features does the second path have in the middle?",
        "x (..., I) times A.T (I, R) gives R features; those times B.T (R, O) give O. R is the number of rows of A.",
        "`x @ W.T + alpha / len(A) * (x @ A.T) @ B.T`.",
    ],
    explanation="The update has R (I + O) parameters where the matrix has I O. Computed as (x Aᵀ) Bᵀ it also costs that little. "
    "It is divided by R so that a larger rank does not mean larger updates (Hu et al. 2021, section 4.1).",
    properties=[Property("changes something before it was trained", begins_as_it_was, "What should the layer do as long as B is zero?"),
                Property("the gradient is cut", goes_back, "W is not trained, but what comes before it may be. Through which products must a gradient pass?")],
    mistakes=[
        Mistake("A cut off", lambda x, W, A, B, alpha: x @ W.T + alpha / len(A) * (x @ A.T.detach()) @ B.T,
                "A `detach` or `no_grad` stands where A is used, so A gets no gradient. Which two matrices are to be trained?"),
        Mistake("x cut off", lambda x, W, A, B, alpha: (x @ W.T).detach() + alpha / len(A) * (x @ A.T) @ B.T,
                "A `detach` or `no_grad` stands in one of the two paths. W is frozen by `requires_grad_(False)`, elsewhere; the gradients "
                "of A, B and the layers below pass through these paths. What would the layers below learn now?"),
        Mistake("the step alone", lambda x, W, A, B, alpha: alpha / len(A) * (x @ A.T) @ B.T,
                "W is not there: the pretrained layer is gone. What should come out while B is still zero?"),
        Mistake("W alone", lambda x, W, A, B, alpha: x @ W.T, "The update changes nothing, so nothing can be learned. What is added to W x?"),
        Mistake("no division by R", lambda x, W, A, B, alpha: x @ W.T + alpha * (x @ A.T) @ B.T,
                "The update is scaled by alpha. With R twice as large it would be about twice as large. By what is alpha divided?"),
        Mistake("alpha left out", lambda x, W, A, B, alpha: x @ W.T + (x @ A.T) @ B.T / len(A),
                "alpha changes nothing. What does it scale?"),
        Mistake("divided by the width", lambda x, W, A, B, alpha: x @ W.T + alpha / A.shape[1] * (x @ A.T) @ B.T,
                "alpha is divided by I, the layer's inputs. R is which side of A?"),
        Mistake("R over alpha", lambda x, W, A, B, alpha: x @ W.T + len(A) / alpha * (x @ A.T) @ B.T,
                "The update is scaled by R / alpha: the larger alpha, the smaller the update. Which of the two divides?"),
        Mistake("a bend in between", lambda x, W, A, B, alpha: x @ W.T + alpha / len(A) * torch.relu(x @ A.T) @ B.T,
                "Between A and B stands a nonlinearity. Could that ever be merged into one matrix?"),
        Mistake("neither alpha nor R", lambda x, W, A, B, alpha: x @ W.T + (x @ A.T) @ B.T,
                "The update is scaled by 1. Which scale was asked for?"),
        Mistake("a step after W", lambda x, W, A, B, alpha: (x @ W.T) * (1 + alpha / len(A) * ((x @ A.T) @ B.T)),
                "The update multiplies W x. Two paths side by side: how are their results combined?"),
        Mistake("subtracted", lambda x, W, A, B, alpha: x @ W.T - alpha / len(A) * (x @ A.T) @ B.T,
                "The update is subtracted. It would learn all the same, but which sign was asked for?"),
        Mistake("a root of R", """def low_rank(x, W, A, B, alpha):
    return x @ W.T + alpha / len(A) ** 0.5 * (x @ A.T) @ B.T
""",
                "The update is scaled by alpha / √R, as in rsLoRA. By what does the docstring divide?"),
        Mistake("divided by the outputs", """def low_rank(x, W, A, B, alpha):
    return x @ W.T + alpha / len(B) * (x @ A.T) @ B.T
""",
                "alpha is divided by O, the rows of B. R is which side of B?"),
        Mistake("weighed twice", """def low_rank(x, W, A, B, alpha):
    weight = alpha / len(A)
    return x @ W.T + (weight * x @ A.T) @ (weight * B.T)
""",
                "The scale comes in twice, before A and before B. How often should it?"),
        Mistake("divided by the batch", """def low_rank(x, W, A, B, alpha):
    return x @ W.T + alpha / len(x) * (x @ A.T) @ B.T
""",
                "alpha is divided by the number of rows of x. What is R?"),
        Mistake("all of it weighed", """def low_rank(x, W, A, B, alpha):
    return alpha / len(A) * (x @ W.T + (x @ A.T) @ B.T)
""",
                "alpha / R multiplies W x as well. What should come out while B is still zero?"),
        Mistake("the two ways multiplied", """def low_rank(x, W, A, B, alpha):
    return x @ W.T * (alpha / len(A) * (x @ A.T) @ B.T)
""",
                "The two paths are multiplied, so with B at zero the output is zero. How are their results "
                "combined?"),
        Mistake("written into W", """def low_rank(x, W, A, B, alpha):
    W += alpha / len(A) * B @ A
    return x @ W.T
""",
                "The update is written into W, at every call once more. Which tensor stays as it is?"),
        Mistake("matrices not turned", """def low_rank(x, W, A, B, alpha):
    return x @ W + alpha / len(A) * (x @ A) @ B
""",
                "x (..., I) times W (O, I) does not fit. Which of the two axes of each matrix meets x?"),
    ],
)  # fmt: skip

# -- 13.3 into the matrix ---------------------------------------------------------------------------------------------------

merge = Exercise(
    "13.3",
    goal="merge the update into the matrix",
    minutes=8,
    cases=[(W, A, B, alpha) for _, W, A, B, alpha in low_cases] + [(noise(3, 3, seed=11), noise(3, 3, seed=12), noise(3, 3, seed=13), 1.5)],
    starter='''def merge(W, A, B, alpha):
    """The one matrix that computes what W and the scaled update B A compute together; W itself is not changed.

    W: (O, I)   A: (R, I)   B: (O, R)   ->   (O, I)
    """
    ...
''',
    solution='''def merge(W, A, B, alpha):
    """The one matrix that computes what W and the scaled update B A compute together; W itself is not changed.

    W: (O, I)   A: (R, I)   B: (O, R)   ->   (O, I)
    """
    return W + alpha / len(A) * B @ A
''',
    other_solutions=[
        lambda W, A, B, alpha: torch.addmm(W, B, A, alpha=alpha / A.shape[0]),
        "def merge(W, A, B, alpha):\n    step = sum(torch.outer(B[:, r], A[r]) for r in range(len(A)))\n    return W.clone() + step * (alpha / len(A))\n",
    ],
    hints=[
        "Two linear paths side by side are one: (W + something) x. What is the something?",
        "First A, then B: for a vector x that is B (A x), so the matrix of both is B A, (O, R) times (R, I).",
        "`W + alpha / len(A) * B @ A`.",
    ],
    explanation="Both paths are linear, so their sum is one matrix. After merging the model has as many parameters as before and costs as much: the "
    "update is free at inference. And it can be subtracted again.",
    mistakes=[
        Mistake("no division by R", lambda W, A, B, alpha: W + alpha * B @ A, "The update was scaled by alpha / R while it was trained. And now?"),
        Mistake("alpha left out", lambda W, A, B, alpha: W + B @ A / len(A), "alpha has no part in it. What was the update's scale in training?"),
        Mistake("neither alpha nor R", lambda W, A, B, alpha: W + B @ A, "The update is scaled by 1 here. What was its scale in training?"),
        Mistake("divided by the width", lambda W, A, B, alpha: W + alpha / A.shape[1] * B @ A,
                "alpha is divided by I, the layer's inputs. R is which side of A?"),
        Mistake("W is weighed too", lambda W, A, B, alpha: alpha / len(A) * (W + B @ A),
                "alpha / R multiplies W as well. What would become of the model while B is still zero?"),
        Mistake("the step alone", lambda W, A, B, alpha: alpha / len(A) * B @ A, "That is the update alone. Where is what the model knew before?"),
        Mistake("taken off", lambda W, A, B, alpha: W - alpha / len(A) * B @ A, "That subtracts the update. Which sign is asked for?"),
        Mistake("nothing merged", lambda W, A, B, alpha: W.clone(), "It is W as it was. What did A and B learn?"),
        Mistake("the wrong way round", lambda W, A, B, alpha: W + alpha / len(A) * (A.T @ B.T).reshape(W.shape),
                "The update is transposed: x is multiplied by A first, then by B. In which order do the matrices stand in the product?"),
        Mistake("a root of R", """def merge(W, A, B, alpha):
    return W + alpha / len(A) ** 0.5 * B @ A
""",
                "The update is scaled by alpha / √R, as in rsLoRA. What was its scale in training?"),
        Mistake("divided by the outputs", """def merge(W, A, B, alpha):
    return W + alpha / len(B) * B @ A
""",
                "alpha is divided by O, the rows of B. R is which side of B?"),
        Mistake("R over alpha", """def merge(W, A, B, alpha):
    return W + len(A) / alpha * B @ A
""",
                "The update is scaled by R / alpha. Which of the two divides?"),
        Mistake("multiplied, number by number", """def merge(W, A, B, alpha):
    return W * (alpha / len(A) * B @ A)
""",
                "W is multiplied by the update. Two paths side by side: how are they combined?"),
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
    goal="find test texts that leaked into training",
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
    """Indices in `test` of the texts that stand in `train` too. Two texts are the same
    if they differ only in capitals or in white space: how much, of which kind, or at the ends.

    train, test: lists of texts   ->   a list of whole numbers, from small to large
    """
    ...
''',
    solution='''def leaked(train, test):
    """Indices in `test` of the texts that stand in `train` too. Two texts are the same
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
    explanation="A text that was trained on is no test. The check costs a line, and it finds only what is the same word for word: a paraphrase, a second "
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

# -- 13.5 confusion matrix ---------------------------------------------------------------------------------------


def all_counted(out: Tensor, case: tuple) -> bool | str:
    _, labels, num_classes = case
    if tuple(out.shape) != (num_classes, num_classes):
        return f"{num_classes} classes make a matrix of {num_classes} rows and {num_classes} columns; it is {tuple(out.shape)}."
    return int(out.sum()) == len(labels) or f"there are {len(labels)} predictions, but the matrix counts {out.sum():g}."


counted = lambda rows, columns, num_classes: torch.bincount(
    rows * num_classes + columns, minlength=num_classes * num_classes
).view(num_classes, num_classes)
confused = Exercise(
    "13.5",
    goal="the confusion matrix",
    minutes=8,
    cases=[
        (torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]), 2), (torch.tensor([2]), torch.tensor([0]), 3), (torch.tensor([0, 0]), torch.tensor([1, 1]), 2),
        (torch.tensor([0, 1, 2, 2, 1, 0]), torch.tensor([0, 1, 2, 1, 1, 2]), 3), (torch.tensor([0, 0, 3]), torch.tensor([0, 0, 0]), 5),
    ],
    starter='''def confusion(predicted, labels, num_classes):
    """How many examples of each class were predicted to be which? Row: the true class. Column: the predicted class.

    predicted, labels: (N,) integers below num_classes   ->   (num_classes, num_classes) integers
    """
    ...
''',
    solution='''def confusion(predicted, labels, num_classes):
    """How many examples of each class were predicted to be which? Row: the true class. Column: the predicted class.

    predicted, labels: (N,) integers below num_classes   ->   (num_classes, num_classes) integers
    """
    table = torch.zeros(num_classes, num_classes, dtype=torch.long)
    for label, prediction in zip(labels.tolist(), predicted.tolist()):
        table[label, prediction] += 1
    return table
''',
    other_solutions=[
        lambda predicted, labels, num_classes: counted(labels, predicted, num_classes),
        lambda predicted, labels, num_classes: F.one_hot(labels, num_classes).T @ F.one_hot(predicted, num_classes),
        "def confusion(predicted, labels, num_classes):\n    table = torch.zeros((num_classes, num_classes), dtype=torch.long)\n"
        "    return table.index_put((labels, predicted), torch.ones(len(predicted), dtype=torch.long), accumulate=True)\n",
    ],
    hints=[
        "One example adds one to one entry. In which row is that entry, and in which column?",
        "Begin with zeros, go through the pairs (label, prediction), add one at that entry. Two equal pairs add two.",
        "`table[label, prediction] += 1` for `truth, said in zip(labels.tolist(), predicted.tolist())`.",
    ],
    explanation="The diagonal holds the right predictions; a row shows what a class is predicted to be, a column what is predicted to be that class. One number, the accuracy, hides "
    "whether two classes are confused with each other or one class is predicted for all.",
    properties=[Property("not everything is counted", all_counted, "What should the entries add up to?")],
    mistakes=[
        Mistake("rows and columns swapped", lambda predicted, labels, num_classes: counted(predicted, labels, num_classes),
                "Here a row is a predicted class. Which of the two should a row be?"),
        Mistake("only the right ones", lambda predicted, labels, num_classes: counted(labels[predicted == labels], predicted[predicted == labels], num_classes),
                "Only the diagonal is filled. Where do the wrong predictions go?"),
        Mistake("only the wrong ones", lambda predicted, labels, num_classes: counted(labels[predicted != labels], predicted[predicted != labels], num_classes),
                "The diagonal is empty. Are right predictions not counted?"),
        Mistake("shares, not counts", lambda predicted, labels, num_classes: counted(labels, predicted, num_classes) / len(predicted),
                "It holds shares. Was a share asked for, or a count?"),
        Mistake("each pair once", "def confusion(predicted, labels, num_classes):\n    table = torch.zeros(num_classes, num_classes, dtype=torch.long)\n    table[labels, predicted] += 1\n    return table\n",
                "Equal pairs are counted once, however many there are: `= 1` overwrites, and `table[rows, columns] += 1` writes each entry once. How can all be counted?"),
        Mistake("every pair leaves its mark twice", lambda predicted, labels, num_classes: counted(labels, predicted, num_classes) + counted(predicted, labels, num_classes),
                "The matrix is symmetric. Is a cat predicted to be a dog the same as a dog predicted to be a cat?"),
        Mistake("one row for all", """def confusion(predicted, labels, num_classes):
    table = [[0] * num_classes] * num_classes
    for label, prediction in zip(labels.tolist(), predicted.tolist()):
        table[label][prediction] += 1
    return torch.tensor(table)
""",
                "`[...] * num_classes` is the same row so many times, so a count in one is a count in all. How does each row "
                "become its own?"),
        Mistake("back after the first", """def confusion(predicted, labels, num_classes):
    table = torch.zeros(num_classes, num_classes, dtype=torch.long)
    for label, prediction in zip(labels.tolist(), predicted.tolist()):
        table[label, prediction] += 1
        return table
""",
                "It returns after the first example. How far is `return` indented?"),
        Mistake("num_classes from one", """def confusion(predicted, labels, num_classes):
    table = torch.zeros(num_classes, num_classes, dtype=torch.long)
    for label, prediction in zip(labels.tolist(), predicted.tolist()):
        table[label - 1, prediction - 1] += 1
    return table
""",
                "Class 0 lands in the last row: 1 was subtracted. With which number do classes begin?"),
        Mistake("no larger than what was met", """def confusion(predicted, labels, num_classes):
    n = int(max(predicted.max(), labels.max())) + 1
    table = torch.zeros(n, n, dtype=torch.long)
    for label, prediction in zip(labels.tolist(), predicted.tolist()):
        table[label, prediction] += 1
    return table
""",
                "The matrix ends with the largest class that occurred. How does it know how many classes there are?"),
        Mistake("shares of each row", """def confusion(predicted, labels, num_classes):
    table = torch.zeros(num_classes, num_classes)
    for label, prediction in zip(labels.tolist(), predicted.tolist()):
        table[label, prediction] += 1
    return table / table.sum(1, keepdim=True)
""",
                "Each row was divided by its sum, and a class without examples is 0/0. Counts or shares?"),
        Mistake("counts as floats", """def confusion(predicted, labels, num_classes):
    table = torch.zeros(num_classes, num_classes)
    for label, prediction in zip(labels.tolist(), predicted.tolist()):
        table[label, prediction] += 1
    return table
""",
                "The counts are right, as floats. Which dtype makes whole numbers of zeros?"),
        Mistake("how many were right", """def confusion(predicted, labels, num_classes):
    return (predicted == labels).sum()
""",
                "That is the number of right predictions alone. Which class was predicted to be which?"),
    ],
)  # fmt: skip
