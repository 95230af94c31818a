"""Lesson 08: what training costs, what it buys, how to spend a budget, how sure a fit is, and what only looks sudden."""

from collections.abc import Callable

import torch
from fmcourse.course.exercise import Exercise, Mistake, Property
from torch import Tensor

# -- 08.1 what training costs ---------------------------------------------------------------------------------------------

COUNT = '''def count_flops(n_layers, width, context, vocab, tokens):
    """FLOP of training a plain GPT on `tokens` tokens, a multiple of `context`, in contexts of that length; a float.

    Only matrix products count, 2 FLOP for each multiply-add. In each layer these are queries, keys and values
    (3 · width² multiply-adds a token), the scores and the weighted sum of the values (each over the full square of
    context · context pairs, nothing saved by the causal mask), the output projection, and the MLP, which is 4 times
    as wide inside. After the last layer comes the head, width to vocab. The embedding is a lookup, no product.
    The backward pass costs twice the forward pass.
    """
'''
COUNT_LINE = "def count_flops(n_layers, width, context, vocab, tokens):\n"


def no_less_than_the_matrices(out: float, case: tuple) -> bool | str:
    n_layers, width, _, vocab, tokens = case
    least = 6 * tokens * (12 * n_layers * width**2 + width * vocab)
    return out >= 0.999 * least or (
        f"With n_layers={n_layers}, width={width}, vocab={vocab} and {tokens} tokens the weight matrices alone, at "
        f"6 FLOP for each weight and token, need {least:.4g} FLOP. Yours are {out:.4g}."
    )


flop_count = Exercise(
    "08.1",
    goal="count the FLOP of a training run",
    minutes=12,
    difficulty=2,
    cases=[
        (1, 2, 4, 3, 8),
        (2, 8, 16, 10, 64),
        (3, 16, 4, 100, 12),
        (5, 6, 40, 7, 40),
        (12, 768, 1024, 50_257, 2**20),
    ],
    starter=COUNT + "    ...\n",
    solution=COUNT
    + """    per_layer = 3 * width**2 + width**2 + 2 * 4 * width**2  # qkv, output projection, two matrices of the MLP
    over_context = 2 * context * width  # scores, and the weighted sum of the values: each token with all others
    forward = 2 * (n_layers * (per_layer + over_context) + width * vocab)  # FLOP for one token
    return float(3 * forward * tokens)  # forward, and twice as much backward
""",
    other_solutions=[
        COUNT_LINE + "    n_contexts = tokens // context\n    square = 2 * context**2 * width\n"
        "    layer = context * (4 * width * width + 2 * width * 4 * width) + square\n"
        "    multiply_adds = n_layers * layer + context * width * vocab\n    return 6.0 * n_contexts * multiply_adds\n",
        COUNT_LINE + "    matrices = [(width, 3 * width), (width, width), (width, 4 * width), (4 * width, width)]\n    forward = 0\n"
        "    for _ in range(n_layers):\n        for rows, columns in matrices:\n            forward += 2 * tokens * rows * columns\n"
        "        forward += 2 * tokens * context * width  # scores\n        forward += 2 * tokens * context * width  # values\n"
        "    forward += 2 * tokens * width * vocab\n    backward = 2 * forward\n    return float(forward + backward)\n",
    ],
    hints=[
        "A matrix with r rows and c columns costs r · c multiply-adds for each token. Which matrices does one token pass?",
        "A query is compared with every token of its context, and then as many values are summed: each of the two is context · width "
        "multiply-adds for one token in one layer.",
        "In one layer a token needs 12 · width² + 2 · context · width multiply-adds, at the end width · vocab. Then 2 FLOP for each, and "
        "forward plus twice as much backward.",
    ],
    explanation="Every weight is used once for each token: 2 FLOP forward and 4 backward, which is the 6 of 6ND. Only the scores and the weighted sum have no weights. "
    "They add context / (6 · width) of what the layers' matrices cost: little for a wide model, and as much again where the context is 6 times the width.",
    properties=[
        Property("less than the matrices need", no_less_than_the_matrices, "Which matrix, or which pass, is missing?"),
    ],
    mistakes=[
        Mistake("the forward pass alone", COUNT_LINE + "    return 2.0 * tokens * (n_layers * (12 * width**2 + 2 * context * width) + width * vocab)\n",
                "This is what reading costs. What does a training step compute after the forward pass?"),
        Mistake("backward as dear as forward", COUNT_LINE + "    return 4.0 * tokens * (n_layers * (12 * width**2 + 2 * context * width) + width * vocab)\n",
                "Backward was counted like forward. How many products does the backward pass of y = xW need: one, or one for x and one for W?"),
        Mistake("multiplications alone", COUNT_LINE + "    return 3.0 * tokens * (n_layers * (12 * width**2 + 2 * context * width) + width * vocab)\n",
                "One FLOP was counted for each multiply-add. Which two operations is it made of?"),
        Mistake("the two counted twice", COUNT_LINE + "    return 12.0 * tokens * (n_layers * (12 * width**2 + 2 * context * width) + width * vocab)\n",
                "It is twice too much: 6 FLOP for each multiply-add hold the factor 2 already. Where does it come in again?"),
        Mistake("6ND and no more", COUNT_LINE + "    return 6.0 * tokens * (n_layers * 12 * width**2 + width * vocab)\n",
                "A longer context costs nothing here. Which two products of attention have no weights?"),
        Mistake("half of attention", COUNT_LINE + "    return 6.0 * tokens * (n_layers * (12 * width**2 + context * width) + width * vocab)\n",
                "Of the products over the context only half is counted: the weighted sum of the values is missing, or the pairs that the mask hides. "
                "What does a plain implementation compute?"),
        Mistake("the head forgotten", COUNT_LINE + "    return 6.0 * tokens * n_layers * (12 * width**2 + 2 * context * width)\n",
                "The vocabulary changes nothing. How do V logits come about after the last layer?"),
        Mistake("a head in every layer", COUNT_LINE + "    return 6.0 * tokens * n_layers * (12 * width**2 + 2 * context * width + width * vocab)\n",
                "Each layer was given a head of its own. How often are logits computed?"),
        Mistake("the lookup as a product", COUNT_LINE + "    return 6.0 * tokens * (n_layers * (12 * width**2 + 2 * context * width) + 2 * width * vocab)\n",
                "width · vocab was counted at both ends. What does an embedding do with a token's number: multiply, or look up a row?"),
        Mistake("one matrix for queries, keys and values", COUNT_LINE + "    return 6.0 * tokens * (n_layers * (10 * width**2 + 2 * context * width) + width * vocab)\n",
                "A layer came out as 10 · width². How many matrices make queries, keys and values?"),
        Mistake("no output projection", COUNT_LINE + "    return 6.0 * tokens * (n_layers * (11 * width**2 + 2 * context * width) + width * vocab)\n",
                "A layer came out as 11 · width². Through which matrix do the heads' results go?"),
        Mistake("half of the MLP", COUNT_LINE + "    return 6.0 * tokens * (n_layers * (8 * width**2 + 2 * context * width) + width * vocab)\n",
                "A layer came out as 8 · width². The MLP widens to 4 · width; how does it come back?"),
        Mistake("a narrow MLP", COUNT_LINE + "    return 6.0 * tokens * (n_layers * (6 * width**2 + 2 * context * width) + width * vocab)\n",
                "The MLP was given two matrices of width · width. How wide is it inside?"),
        Mistake("one layer", COUNT_LINE + "    return 6.0 * tokens * (12 * width**2 + 2 * context * width + width * vocab)\n",
                "More layers cost nothing. What is done n_layers times?"),
        Mistake("attention in one layer", COUNT_LINE + "    return 6.0 * tokens * (n_layers * 12 * width**2 + 2 * context * width + width * vocab)\n",
                "The scores and the weighted sum were counted once for the whole model. In how many layers are they computed?"),
        Mistake("one token", COUNT_LINE + "    return 6.0 * (n_layers * (12 * width**2 + 2 * context * width) + width * vocab)\n",
                "This is the cost of one token. How many are read?"),
        Mistake("the square for each token", COUNT_LINE + "    return 6.0 * tokens * (n_layers * (12 * width**2 + 2 * context**2 * width) + width * vocab)\n",
                "context · context pairs were counted for each token, and they belong to a whole context. With how many tokens is one query compared?"),
        Mistake("the square once for all", COUNT_LINE + "    return 6.0 * (tokens * (n_layers * 12 * width**2 + width * vocab) + n_layers * 2 * context**2 * width)\n",
                "The square of one context was counted. How many contexts are `tokens` tokens?"),
        Mistake("contexts for tokens", COUNT_LINE + "    return 6.0 * (tokens / context) * (n_layers * (12 * width**2 + 2 * context * width) + width * vocab)\n",
                "Each context was charged like one token. How many tokens does it hold?"),
        Mistake("all tokens in one context", COUNT_LINE + "    return 6.0 * tokens * (n_layers * (12 * width**2 + 2 * tokens * width) + width * vocab)\n",
                "Every token was compared with all tokens of the run. How far does attention reach?"),
    ],
)  # fmt: skip

# -- 08.2 the loss of a model that was never trained ----------------------------------------------------------------------

CHINCHILLA = {"E": 1.69, "A": 406.4, "a": 0.34, "B": 410.7, "b": 0.28}  # Hoffmann et al. 2022, equation 10
EVEN = {"E": 1.0, "A": 8.0, "a": 0.5, "B": 8.0, "b": 0.5}
STEEP = {"E": 0.5, "A": 2.0, "a": 1.0, "B": 30.0, "b": 0.5}
LEARNED = {
    key: torch.tensor(value, dtype=torch.float64, requires_grad=True) for key, value in STEEP.items()
}  # by a fit
SMALL = {"E": 1.2, "A": 12.5, "a": 0.35, "B": 515.0, "b": 0.55}

PREDICT = '''def predict_loss(fit, n, d):
    """The loss of a model with n parameters after d tokens: E + A / n^a + B / d^b.

    fit: a dict with the keys "E", "A", "a", "B" and "b": floats, or tensors where they are being fitted
    n, d: floats, or tensors whose shapes fit together
    """
'''
PREDICT_LINE = "def predict_loss(fit, n, d):\n"


def predicted(formula: str) -> str:
    """A wrong formula in the letters of the right one, as source."""
    return f"{PREDICT_LINE}    E, A, a, B, b = (fit[key] for key in ('E', 'A', 'a', 'B', 'b'))\n    return {formula}\n"


def above_the_irreducible(out: float | Tensor, case: tuple) -> bool | str:
    lowest, least = torch.as_tensor(out).min().item(), float(case[0]["E"])
    return (
        lowest >= least or f"E = {least} is the loss that no size and no data removes. Yours goes down to {lowest:.4g}."
    )


loss_formula = Exercise(
    "08.2",
    goal="predict the loss of a model that nobody has trained",
    minutes=6,
    cases=[
        (EVEN, 16.0, 64.0),
        (STEEP, 4.0, 100.0),
        (CHINCHILLA, 7e10, 1.4e12),
        (SMALL, torch.tensor([1e4, 1e5, 1e6]), 1e6),
        (CHINCHILLA, torch.tensor([[1e8], [1e9], [1e10]]), torch.tensor([1e9, 1e11])),
        (STEEP, torch.tensor([2.0, 8.0], requires_grad=True), torch.tensor([9.0, 25.0])),
        (LEARNED, torch.tensor([2.0, 8.0], dtype=torch.float64), torch.tensor([9.0, 25.0], dtype=torch.float64)),
    ],
    starter=PREDICT + "    ...\n",
    solution=PREDICT
    + """    return fit["E"] + fit["A"] / n ** fit["a"] + fit["B"] / d ** fit["b"]
""",
    other_solutions=[
        PREDICT_LINE + "    size = fit['A'] * n ** -fit['a']\n    data = fit['B'] * d ** -fit['b']\n    return size + data + fit['E']\n",
        PREDICT_LINE + "    E, A, a, B, b = [fit[key] for key in 'E A a B b'.split()]\n    total = E\n"
        "    for coefficient, x, power in ((A, n, a), (B, d, b)):\n        total = total + coefficient * (1 / x) ** power\n    return total\n",
        PREDICT_LINE + "    power = lambda x, p: torch.exp(p * torch.log(x)) if isinstance(x, Tensor) else math.exp(p * math.log(x))\n"
        "    return fit['E'] + fit['A'] / power(n, fit['a']) + fit['B'] / power(d, fit['b'])\n",
    ],
    hints=[
        "What is left of the loss if the model and its text grow without end? Each of the other two terms is what is lost for want of one of them.",
        "A power stands below each fraction bar: a larger n makes the fraction smaller. In Python a power is written `**`.",
        '`fit["A"] / n ** fit["a"]` is the term of the parameters, for a float and for a tensor; `**` binds more tightly than `/`.',
    ],
    explanation="E stands for the entropy of the text, which no model removes; the second term is what a model of n parameters cannot express, the third what d tokens cannot "
    "teach. Doubling n divides its own term by 2^a, however much there is of it, and leaves the others as they are.",
    properties=[Property("below the irreducible loss", above_the_irreducible, "Which sign have the two other terms?")],
    mistakes=[
        Mistake("the exponents swapped", predicted("E + A / n**b + B / d**a"),
                "n was raised to b, and d to a. Which exponent belongs to which?"),
        Mistake("the coefficients swapped", predicted("E + B / n**a + A / d**b"),
                "B stands above n, and A above d. Which coefficient belongs to which?"),
        Mistake("parameters and tokens swapped", predicted("E + A / d**a + B / n**b"),
                "The number of parameters stands where the tokens belong. Which letter is which?"),
        Mistake("E is forgotten", predicted("A / n**a + B / d**b"),
                "An endless model with endless text would reach a loss of 0. What remains?"),
        Mistake("multiplied for divided", predicted("E + A * n**a + B * d**b"),
                "A larger model was given a larger loss. On which side of the fraction bar does the power stand?"),
        Mistake("the power of the fraction", predicted("E + (A / n) ** a + (B / d) ** b"),
                "The coefficients were raised to the power as well. Over what does the exponent stand in A / n^a?"),
        Mistake("no powers", predicted("E + A / n + B / d"),
                "The exponents a and b change nothing. What does doubling n do to A / n, and what to A / n^a?"),
        Mistake("one over both", predicted("E + 1 / (A * n**a) + 1 / (B * d**b)"),
                "The coefficients went below the fraction bar. Does a larger A mean a larger or a smaller loss?"),
        Mistake("a product of the terms", predicted("E + A / n**a * B / d**b"),
                "With endless text a small model would come out perfect. Are the two terms added or multiplied?"),
        Mistake("E as a factor", predicted("E * (A / n**a + B / d**b)"),
                "E multiplies what is left. Is it added, or does it scale?"),
        Mistake("subtracted", predicted("E - A / n**a - B / d**b"),
                "Small models came out better than E. Which sign makes E the lowest loss?"),
        Mistake("the larger term alone", predicted("E + (torch.maximum(torch.as_tensor(A / n**a), torch.as_tensor(B / d**b)) "
                "if isinstance(n, Tensor) or isinstance(d, Tensor) else max(A / n**a, B / d**b))"),
                "Only the worse of the two shortages counts. Does the formula choose, or add?"),
        Mistake("exponentials for powers", predicted("E + (A * (n * -a).exp() + 0 * d if isinstance(n, Tensor) else A * math.exp(-a * n)) "
                "+ (B * (d * -b).exp() if isinstance(d, Tensor) else B * math.exp(-b * d))"),
                "Here the loss falls exponentially: after a few steps nothing is left to gain. What stands in the exponent of n^a, n or a?"),
        Mistake("the logarithm of n", predicted("E + A / (n.log() if isinstance(n, Tensor) else math.log(n)) ** a + B / (d.log() if isinstance(d, Tensor) else math.log(d)) ** b"),
                "A power law is a straight line on *logarithmic axes*; in the formula stands n itself. What is raised to the power?"),
        Mistake("^ for a power", predicted("E + A / n ^ a + B / d ^ b"),
                "`^` is no power in Python but a bitwise operation. Which operator is the power?"),
        Mistake("floats alone", predicted("E + A / math.pow(n, a) + B / math.pow(d, b)"),
                "`math.pow` takes single numbers, and a tensor holds several. Which operator takes both?"),
        Mistake("one exponent for both", predicted("E + A / n**a + B / d**a"),
                "b is used nowhere. With which power does the loss fall with the tokens?"),
        Mistake("tokens for each parameter", predicted("E + A / n**a + B / (d / n) ** b"),
                "The tokens were divided by the parameters. What stands below B?"),
        Mistake("gradients lost", predicted("E + A / (n.detach() if isinstance(n, Tensor) else n) ** a + B / d**b"),
                "It is right, and cut off from its inputs: nobody could fit anything through it. Which call detaches a tensor?"),
    ],
)  # fmt: skip

# -- 08.3 how to spend a budget -------------------------------------------------------------------------------------------

OPTIMAL = '''def compute_optimal(fit, flops):
    """The compute-optimal (N, D): of all with 6 · N · D = flops those of the lowest loss E + A / N^a + B / D^b.

    fit: a dict with the keys "E", "A", "a", "B" and "b"
    Returns: N and D, a tuple of two floats, not rounded.
    """
'''
OPTIMAL_LINE = "def compute_optimal(fit, flops):\n"


def optimum(body: str) -> str:
    """A wrong derivation in the letters of the right one, as source; C is flops / 6."""
    return (
        f"{OPTIMAL_LINE}    A, a, B, b = (fit[key] for key in ('A', 'a', 'B', 'b'))\n"
        f"    C, G = flops / 6, (a * fit['A'] / (b * fit['B'])) ** (1 / (a + b))\n    {body}\n"
    )


def spends_the_budget(out: tuple, case: tuple) -> bool | str:
    (n, d), flops = out, case[1]
    return abs(6 * n * d / flops - 1) < 1e-3 or (
        f"N = {n:.4g} and D = {d:.4g} cost 6 · N · D = {6 * n * d:.4g} FLOP. The budget is {flops:.4g}."
    )


def no_neighbour_is_better(out: tuple, case: tuple) -> bool | str:
    (n, d), fit = out, case[0]
    loss = lambda n, d: fit["E"] + fit["A"] / n ** fit["a"] + fit["B"] / d ** fit["b"]
    for factor, word in ((1.05, "more"), (1 / 1.05, "fewer")):
        if abs(6 * n * d / case[1] - 1) < 1e-3 and loss(n * factor, d / factor) < loss(n, d):
            return (
                f"N = {n:.4g} and D = {d:.4g} reach a loss of {loss(n, d):.6g}. For the same FLOP 5 % {word} parameters "
                f"reach {loss(n * factor, d / factor):.6g}."
            )
    return True


budget = Exercise(
    "08.3",
    goal="spend a compute budget best",
    minutes=15,
    difficulty=3,
    cases=[
        (EVEN, 600.0),
        (STEEP, 2.4e4),
        (SMALL, 3e13),
        (CHINCHILLA, 5.76e23),
        ({**STEEP, "E": 3.0, "A": 50.0, "a": 0.25}, 1e9),
    ],
    starter=OPTIMAL + "    ...\n",
    solution=OPTIMAL
    + """    A, a, B, b = fit["A"], fit["a"], fit["B"], fit["b"]
    product = flops / 6  # N · D
    n = (a * A / (b * B) * product**b) ** (1 / (a + b))  # where a · A / N^a = b · B / D^b, with D = product / N
    return n, product / n
""",
    other_solutions=[
        OPTIMAL_LINE + "    a, b = fit['a'], fit['b']\n    G = (a * fit['A'] / (b * fit['B'])) ** (1 / (a + b))\n"
        "    return G * (flops / 6) ** (b / (a + b)), (flops / 6) ** (a / (a + b)) / G\n",
        OPTIMAL_LINE + "    a, b = fit['a'], fit['b']\n    gain = math.log(a * fit['A']) - math.log(b * fit['B'])\n"
        "    log_d = (a * math.log(flops / 6) - gain) / (a + b)\n    return flops / 6 / math.exp(log_d), math.exp(log_d)\n",
        OPTIMAL_LINE + "    low, high = 1e-6, flops / 6 * 1e6\n    for _ in range(300):\n        n = math.sqrt(low * high)\n        d = flops / 6 / n\n"
        "        if fit['a'] * fit['A'] / n ** fit['a'] > fit['b'] * fit['B'] / d ** fit['b']:\n            low = n  # parameters still gain more\n"
        "        else:\n            high = n\n    return n, d\n",
    ],
    hints=[
        "At the best split, 1 % more parameters gain exactly as much as 1 % fewer tokens lose. By how much does A / N^a change for 1 % more N?",
        "Replace D by flops / (6 N), so that one unknown is left, and set the derivative by N to zero: a · A / N^a = b · B / D^b.",
        "With P = flops / 6 and D = P / N this becomes N^(a + b) = a · A / (b · B) · P^b. Take the root, and then D = P / N.",
    ],
    explanation="The slopes decide, not the terms: a · A / N^a = b · B / D^b. So N grows with the power b / (a + b) of the budget and D with the power a / (a + b); with "
    "equal exponents both grow like its square root. E plays no part, since no budget changes it.",
    properties=[
        Property("another budget", spends_the_budget, "How do N, D and the budget belong together?"),
        Property("a neighbour is better", no_neighbour_is_better, "What must hold of the two slopes where no neighbour is better?"),
    ],
    mistakes=[
        Mistake("equal shares", optimum("return C ** 0.5, C ** 0.5"),
                "As many parameters as tokens, whatever was fitted. Where do A, a, B and b come in?"),
        Mistake("20 tokens for each parameter", optimum("return (C / 20) ** 0.5, (C * 20) ** 0.5"),
                "The rule of thumb was taken for the answer. It holds for one fit; what does this one say?"),
        Mistake("the six is missing", optimum("return G * flops ** (b / (a + b)), flops ** (a / (a + b)) / G"),
                "N · D was set to the whole budget. How many FLOP do one parameter and one token cost?"),
        Mistake("the six is missing in D", optimum("N = G * C ** (b / (a + b)); return N, flops / N"),
                "N is right, and D is 6 times too large. What is 6 · N · D?"),
        Mistake("the powers of the budget swapped", optimum("N = G * C ** (a / (a + b)); return N, C / N"),
                "N grows with a / (a + b). If more parameters help quickly (a large), are many of them needed or few?"),
        Mistake("the factor upside down", optimum("N = C ** (b / (a + b)) / G; return N, C / N"),
                "Where parameters are dear it buys fewer: b · B / (a · A) stands for its inverse. Which term's slope must N bring down?"),
        Mistake("equal terms", optimum("N = (A / B * C**b) ** (1 / (a + b)); return N, C / N"),
                "The two terms were made equal, A / N^a = B / D^b. At the minimum, what is equal: the terms, or their slopes?"),
        Mistake("the factor without its root", optimum("N = a * A / (b * B) * C ** (b / (a + b)); return N, C / N"),
                "a · A / (b · B) has to be raised to a power, too. N^(a + b) is known; what is N?"),
        Mistake("without the root", optimum("N = a * A / (b * B) * C**b; return N, C / N"),
                "This is N^(a + b). What is N?"),
        Mistake("the exponents alone", optimum("N = C ** (b / (a + b)); return N, C / N"),
                "The powers of the budget are right, and the factor before them is missing. What do A and B decide?"),
        Mistake("D first", optimum("N = G * C ** (b / (a + b)); return C / N, N"),
                "The tokens stand first. In which order are they asked?"),
        Mistake("the factor in both", optimum("return G * C ** (b / (a + b)), G * C ** (a / (a + b))"),
                "N and D were both multiplied by the factor, so the budget is no longer kept. If N is larger by it, what is D?"),
        Mistake("the derivative's exponent", optimum("N = (a * A / (b * B) * C**b) ** (1 / (a + b + 2)); return N, C / N"),
                "Both derivatives lower the exponent by one, but D = P / N has a derivative of its own. What is left of the ones?"),
        Mistake("D held fixed", optimum("N = (a * A / (b * B)) ** (1 / (a + b)) * C ** 0.5; return N, C / N"),
                "N grows with the square root of the budget whatever the exponents are. When is that so?"),
        Mistake("the ratio of the exponents alone", optimum("N = (a / b * C**b) ** (1 / (a + b)); return N, C / N"),
                "A and B are used nowhere. Two fits with other coefficients would have the same optimum: can that be?"),
        Mistake("the exponents swapped in the factor", optimum("N = (b * A / (a * B) * C**b) ** (1 / (a + b)); return N, C / N"),
                "b stands beside A. What is the derivative of A / N^a by N?"),
        Mistake("a whole number of parameters", optimum("N = round(G * C ** (b / (a + b))); return float(N), C / N"),
                "N was rounded. How is it asked?"),
    ],
)  # fmt: skip

# -- 08.4 how sure a fit is -----------------------------------------------------------------------------------------------

BOOTSTRAP = '''def bootstrap_interval(rows, statistic, n, seed):
    """The 5th and the 95th percentile of `statistic` over n resamples of the rows, each drawn with replacement.

    rows: (R,)   statistic: a function of a tensor like `rows`, returns a number
    n: how many resamples, each of R rows   seed: of the torch.Generator that draws them
    Returns: a tuple of two floats, as `torch.quantile` interpolates.
    """
'''
BOOTSTRAP_LINE = "def bootstrap_interval(rows, statistic, n, seed):\n"
STATISTICS = {
    "the call's number": lambda resample, number: float(number * 37 % 101) ** 1.5,
    "the number of rows": lambda resample, number: float(len(resample)),
    "the mean": lambda resample, number: resample.mean().item(),
}


class NeverCalled(Exception):
    """An answer that asked nothing of the statistic that it was handed."""


def watch_bootstrap(candidate: Callable, case: tuple) -> tuple:
    """The interval, and what was seen of the resamples: nothing that depends on the order in which rows are drawn.

    A statistic that knows how often it was called has percentiles that do not depend on the draws.
    """
    rows, name, n, seed = case
    (found, seen), again, (_, elsewhere) = (interval_and_draws(candidate, case, s) for s in (seed, seed, seed + 1))
    facts: dict[str, object] = {"resamples": len(seen), "rows in each": sorted({len(one) for one in seen})}
    if n >= 20:  # enough draws to be sure of the rest
        facts |= facts_about(rows, seen)
        facts["the same seed draws the same"] = repr(again[0]) == repr(found) and same_draws(seen, again[1])
        facts["another seed draws others"] = not same_draws(seen, elsewhere)
    if name == "the mean" and isinstance(found, tuple):
        middle = rows.mean().item()
        found = tuple("below the mean" if bound < middle else "above the mean" for bound in found)
    return found, facts


def interval_and_draws(candidate: Callable, case: tuple, seed: int) -> tuple[object, list[Tensor]]:
    """What a candidate returns, and every resample that it showed to the statistic."""
    rows, name, n, _ = case
    seen: list[Tensor] = []
    called = False

    def statistic(resample: Tensor) -> float:
        nonlocal called
        called = True
        if not isinstance(resample, Tensor) or resample.dim() != 1:
            kind = f"shape {tuple(resample.shape)}" if isinstance(resample, Tensor) else type(resample).__name__
            raise TypeError(f"the statistic takes a tensor of shape (R,), and was given {kind}")
        all_rows = resample.dtype == rows.dtype and torch.equal(resample, rows)
        if not all_rows:  # their statistic may be asked, too
            seen.append(resample.clone())
        return STATISTICS[name](resample, len(seen) - 1)

    found = candidate(rows, statistic, n, seed)
    if not called and found is not None and found is not ...:
        raise NeverCalled("`statistic` was never called")
    return found, seen


def facts_about(rows: Tensor, seen: list[Tensor]) -> dict[str, object]:
    """What must be so of many resamples, whichever rows were drawn."""
    counts = torch.stack([(one[:, None] == rows).sum(0) for one in seen]) if seen else torch.zeros(1, len(rows))
    shares = counts.sum(0) / counts.sum().clamp(min=1) * len(rows)  # 1 for a row drawn as often as the others
    differ = len({tuple(one.tolist()) for one in seen}) > len(seen) / 2
    return {
        "drawn from the rows": int(counts.sum()) == sum(map(len, seen)),
        "some row twice in a resample": bool((counts > 1).any()),
        "rows never drawn": (shares == 0).nonzero().flatten().tolist() if differ else "all are alike",
        "all rows as often": bool(((shares > 0.5) & (shares < 1.5)).all()),
        "resamples differ": differ,
    }


def same_draws(one: list[Tensor], other: list[Tensor]) -> bool:
    return len(one) == len(other) and all(map(torch.equal, one, other))


def fact(name: str, sentence: str) -> Callable:
    """A property that one of the facts must hold; the sentence may use n and R."""

    def test(value: tuple, case: tuple) -> bool | str:
        held = value[1].get(name, True) or not value[1]["resamples"]
        return held or sentence.format(n=case[2], R=len(case[0]))

    return test


def every_row(value: tuple, case: tuple) -> bool | str:
    never = value[1].get("rows never drawn")
    return not isinstance(never, list) or not never or f"In {case[2]} resamples row {never[0]} was never drawn."


def right_size(value: tuple, case: tuple) -> bool | str:
    sizes, rows = value[1]["rows in each"], len(case[0])
    return not sizes or sizes == [rows] or f"Of {rows} rows a resample of {(set(sizes) - {rows}).pop()} rows was drawn."


def low_before_high(value: tuple, case: tuple) -> bool | str:
    low, high = value[0]
    return isinstance(low, str) or low <= high or f"The first bound, {low:.4g}, lies above the second, {high:.4g}."


ROWS = torch.tensor([0.2, 9.0, 4.1, 0.5, 2.2, 7.3, 1.1, 3.4])
MANY_ROWS = torch.tensor([0.3 * (i * 11 % 24 + 0.5) ** 1.3 for i in range(24)])

RESAMPLE = "    g = torch.Generator().manual_seed(seed)\n    R = len(rows)\n    draw = lambda: rows[torch.randint(R, (R,), generator=g)]\n"
VALUES = "    values = torch.tensor([statistic(draw()) for _ in range(n)])\n"
BOUNDS = "    return values.quantile(0.05).item(), values.quantile(0.95).item()\n"


def bootstrapped(draw: str = RESAMPLE, values: str = VALUES, bounds: str = BOUNDS) -> str:
    """The solution with one of its three parts replaced, as source."""
    return BOOTSTRAP_LINE + draw + values + bounds


bootstrap = Exercise(
    "08.4",
    goal="how sure is it? Bootstrap an interval",
    minutes=12,
    difficulty=2,
    run=watch_bootstrap,
    cases=[
        (ROWS[:5], "the call's number", 1, 4),
        (ROWS[:6], "the number of rows", 3, 1),
        (ROWS, "the call's number", 21, 0),
        (MANY_ROWS, "the mean", 61, 2),
        (torch.arange(5, 15), "the call's number", 41, 3),  # the numbers of runs can be drawn, too
        (MANY_ROWS, "the call's number", 201, 5),
    ],
    starter=BOOTSTRAP + "    ...\n",
    solution=BOOTSTRAP
    + """    generator = torch.Generator().manual_seed(seed)
    values = []
    for _ in range(n):
        chosen = torch.randint(len(rows), (len(rows),), generator=generator)  # a row may be chosen twice
        values.append(float(statistic(rows[chosen])))
    low, high = torch.tensor(values).quantile(torch.tensor([0.05, 0.95])).tolist()
    return low, high
""",
    other_solutions=[
        BOOTSTRAP_LINE + "    g = torch.Generator()\n    g.manual_seed(seed)\n    chosen = torch.randint(0, len(rows), (n, len(rows)), generator=g)\n"
        "    values = torch.tensor([float(statistic(one)) for one in rows[chosen]], dtype=torch.float64)\n"
        "    return torch.quantile(values, 0.05).item(), torch.quantile(values, 0.95).item()\n",
        BOOTSTRAP_LINE + "    g, R = torch.Generator().manual_seed(seed), len(rows)\n    estimate = statistic(rows)\n    gaps = torch.zeros(n)\n    for i in range(n):\n"
        "        chosen = torch.multinomial(torch.ones(R), R, replacement=True, generator=g)\n        gaps[i] = statistic(rows.index_select(0, chosen)) - estimate\n"
        "    low, high = (estimate + gaps.quantile(share) for share in (0.05, 0.95))\n    return float(low), float(high)\n",
        BOOTSTRAP_LINE + "    g = torch.Generator().manual_seed(seed)\n    made = [(torch.rand(len(rows), generator=g) * len(rows)).long() for _ in range(n)]\n"
        "    values = sorted(statistic(rows[one]) for one in made)\n    return values[round(0.05 * (n - 1))], values[round(0.95 * (n - 1))]\n",
    ],
    hints=[
        "You have R measurements and no more. Draw R of them at random, and put each back before you draw the next: what could a second experiment have looked like?",
        "Make the generator once, before the loop. In the loop draw R places, take the rows that stand there, and keep what `statistic` says of them.",
        "`torch.randint(R, (R,), generator=generator)` draws places with replacement, `rows[places]` is a resample, `torch.tensor(values).quantile(0.05).item()` a bound.",
    ],
    explanation="A resample is as large as the original, and some rows stand in it twice while others are missing: that is how far another experiment might have differed. Nine "
    "tenths of the statistics lie between the two percentiles. What all rows share, such as a flaw of the measurement, no resample shows.",
    properties=[
        Property("another size", right_size, "How many rows would a second experiment have had?"),
        Property("invented rows", fact("drawn from the rows", "What went into the statistic are not all values of `rows`."),
                 "What may stand in a resample?"),
        Property("never a row twice", fact("some row twice in a resample", "In {n} resamples of {R} rows no row ever stands twice, as in a shuffle."),
                 "Is a row put back before the next is drawn?"),
        Property("all resamples alike", fact("resamples differ", "Of {n} resamples more than half are alike."),
                 "When is the generator made, and how often?"),
        Property("some rows never", every_row, "Between which numbers are places drawn?"),
        Property("some rows more often", fact("all rows as often", "In {n} resamples of {R} rows some rows were drawn much more often than others."),
                 "Has every row the same chance?"),
        Property("another seed, the same resamples", fact("another seed draws others", "Two seeds drew the same resamples."), "Where is `seed` used?"),
        Property("the same seed, other resamples", fact("the same seed draws the same", "The same seed, asked twice, drew other resamples."), "Where does the randomness come from?"),
        Property("high before low", low_before_high, "Which of the two percentiles is lower?"),
    ],
    mistakes=[
        Mistake("without replacement", bootstrapped(RESAMPLE.replace("torch.randint(R, (R,), generator=g)", "torch.randperm(R, generator=g)")),
                "Each resample holds every row once, in another order: the statistic hardly moves, and the interval is empty. Which rows may be drawn again?"),
        Mistake("the seed in the loop", bootstrapped(RESAMPLE.replace("draw = lambda: rows[torch.randint(R, (R,), generator=g)]", "draw = lambda: rows[torch.randint(R, (R,), generator=g.manual_seed(seed))]")),
                "The generator begins anew before each draw, so it draws the same each time. How often should it be seeded?"),
        Mistake("95 % for 90 %", bootstrapped(bounds=BOUNDS.replace("0.05", "0.025").replace("0.95", "0.975")),
                "These are the percentiles 2.5 and 97.5. How much lies outside of the 5th and the 95th, on each side?"),
        Mistake("a tenth on each side", bootstrapped(bounds=BOUNDS.replace("0.05", "0.1").replace("0.95", "0.9")),
                "These are the percentiles 10 and 90. Which two are asked?"),
        Mistake("the middle half", bootstrapped(bounds=BOUNDS.replace("0.05", "0.25").replace("0.95", "0.75")),
                "These are the quartiles. Which percentiles are asked?"),
        Mistake("the smallest and the largest", bootstrapped(bounds="    return values.min().item(), values.max().item()\n"),
                "The range grows with n, since more resamples hold stranger ones. Which share of them is left out on each side?"),
        Mistake("high before low", bootstrapped(bounds="    return values.quantile(0.95).item(), values.quantile(0.05).item()\n"),
                "The upper bound stands first. Which is asked first?"),
        Mistake("a normal distribution", bootstrapped(bounds="    return (values.mean() - 1.645 * values.std()).item(), (values.mean() + 1.645 * values.std()).item()\n"),
                "Mean and standard deviation make a symmetric interval, and the statistics need not be symmetric. What do percentiles ask of a distribution?"),
        Mistake("one standard deviation", bootstrapped(bounds="    return (values.mean() - values.std()).item(), (values.mean() + values.std()).item()\n"),
                "This is the mean and a standard deviation on each side. Which share lies between the two percentiles?"),
        Mistake("reflected", bootstrapped(bounds="    estimate = statistic(rows)\n    return 2 * estimate - values.quantile(0.95).item(), 2 * estimate - values.quantile(0.05).item()\n"),
                "The percentiles were reflected at the estimate; that is another kind of bootstrap interval. Which does the docstring ask for?"),
        Mistake("resamples of n rows", bootstrapped(RESAMPLE.replace("(R,)", "(n,)")),
                "Each resample has n rows, so more resamples would make the interval narrower. How many rows did the experiment have?"),
        Mistake("as many resamples as rows", bootstrapped(values=VALUES.replace("range(n)", "range(R)")),
                "R resamples were drawn of R rows. What does n count?"),
        Mistake("one resample too few", bootstrapped(values=VALUES.replace("range(n)", "range(1, n)") + "    values = values if n > 1 else torch.tensor([statistic(draw())])\n"),
                "A loop from 1 to n - 1 draws one resample too few. How many are asked?"),
        Mistake("the last row never", bootstrapped(RESAMPLE.replace("randint(R, ", "randint(R - 1, ")),
                "The last row is never drawn. `randint(R)` draws from 0 to R - 1 already: is the last place included?"),
        Mistake("the first row never", bootstrapped(RESAMPLE.replace("randint(R, ", "randint(1, R, ")),
                "The first row is never drawn. From which number are places counted?"),
        Mistake("one row too few", bootstrapped(RESAMPLE.replace("(R,)", "(R - 1,)")),
                "Each resample has a row less than the original. How many rows would a second experiment have had?"),
        Mistake("always the same seed", bootstrapped(RESAMPLE.replace("manual_seed(seed)", "manual_seed(0)")),
                "Another seed draws the same resamples. Where does `seed` go?"),
        Mistake("a generator without a seed", bootstrapped(RESAMPLE.replace(".manual_seed(seed)", ""), VALUES, "    g.seed()\n" + BOUNDS),
                "A fresh generator begins the same each time, whatever `seed` is. Which call hands it the seed?"),
        Mistake("the global generator", bootstrapped(RESAMPLE.replace("g = torch.Generator().manual_seed(seed)", "torch.manual_seed(seed)").replace(", generator=g", "")),
                "Everything random that comes later in the notebook would now repeat. Which object draws without touching it?"),
        Mistake("the values as weights", bootstrapped(RESAMPLE.replace("torch.randint(R, (R,), generator=g)", "torch.multinomial(rows, R, replacement=True, generator=g)")),
                "`multinomial` takes its first argument as weights, so large values are drawn more often. Which weights make every row equally likely?"),
        Mistake("the statistic is not used", bootstrapped(values=VALUES.replace("statistic(draw())", "draw().mean()")),
                "Something else took its place, such as the mean or the rows themselves. Of what are the percentiles asked?"),
        Mistake("the same rows each time", bootstrapped(values=VALUES.replace("draw()", "rows")),
                "The statistic was asked about the original rows each time. What is to change from one time to the next?"),
        Mistake("places for rows", bootstrapped(RESAMPLE.replace("rows[torch.randint(R, (R,), generator=g)]", "torch.randint(R, (R,), generator=g).float()")),
                "The places went into the statistic. What stands at these places?"),
        Mistake("noise for resamples", bootstrapped(RESAMPLE.replace("rows[torch.randint(R, (R,), generator=g)]", "rows + rows.std() * torch.randn(R, generator=g)")),
                "Noise was added to every row, which takes for granted how measurements scatter. What may stand in a resample?"),
    ],
)  # fmt: skip

# -- 08.5 what only looks sudden ------------------------------------------------------------------------------------------

EMERGENT = '''def emergent(p, k):
    """Two measures of a model that gives each of the k tokens of an answer the same probability.

    p: tensor of any shape, the probability of the right token   k: how many tokens the answer has
    Returns: the probability that all k are right (exact match), and the mean log-probability of a token; shaped as p.
    """
'''
EMERGENT_LINE = "def emergent(p, k):\n"


def is_a_probability(value: tuple, case: tuple) -> bool | str:
    exact, p = value[0], case[0]
    worst = exact.max().item() if (exact - p).max() > 1e-6 else exact.min().item()
    return bool(((exact <= p + 1e-6) & (exact >= 0)).all()) or (
        f"With k={case[1]} a probability of exact match is {worst:.4g}, which is not between 0 and that of one token."
    )


sudden = Exercise(
    "08.5",
    goal="a smooth gain that looks sudden",
    minutes=6,
    cases=[
        (torch.tensor([0.5]), 2),
        (torch.tensor([0.1, 0.5, 0.9, 1.0]), 5),
        (torch.tensor(0.8), 1),
        (torch.tensor([[0.2, 0.6], [0.95, 0.99]]), 10),
        (torch.tensor([0.001, 0.01, 0.3]), 40),
    ],
    starter=EMERGENT + "    ...\n",
    solution=EMERGENT
    + """    return p**k, p.log()
""",
    other_solutions=[
        EMERGENT_LINE + "    smooth = torch.log(p)\n    return torch.exp(k * smooth), smooth\n",
        EMERGENT_LINE + "    exact = torch.ones_like(p)\n    total = torch.zeros_like(p)\n    for _ in range(k):\n        exact = exact * p\n        total = total + p.log()\n"
        "    return exact, total / k\n",
        EMERGENT_LINE + "    answers = p.unsqueeze(-1).expand(*p.shape, k)\n    return answers.prod(-1), answers.log2().mean(-1) * math.log(2)\n",
    ],
    hints=[
        "Four tokens, each right with probability 0.5: how probable is it that all four are? And what is the mean of four equal numbers?",
        "Exact match multiplies k equal probabilities. The second measure takes the logarithm of each and averages, so k drops out.",
        "A power of a tensor is written `**`; `.log()` is the natural logarithm. Return both, separated by a comma.",
    ],
    explanation="log p grows as steadily as the model gets better; p^k stays near 0 until p is close to 1, and the longer the answer the more sudden the rise. The model is the "
    "same: the jump comes from the metric.",
    properties=[Property("no probability of all", is_a_probability, "Can all k tokens be right more often than one of them?")],
    mistakes=[
        Mistake("the sum of the logarithms", EMERGENT_LINE + "    return p**k, k * p.log()\n",
                "This is the log-probability of the whole answer, k times that of a token. By what is a sum divided to become a mean?"),
        Mistake("divided by k once too often", EMERGENT_LINE + "    return p**k, p.log() / k\n",
                "The logarithm of one token was divided by k. How many logarithms are added before that?"),
        Mistake("times for power", EMERGENT_LINE + "    return p * k, p.log()\n",
                "With p = 0.5 and k = 2 it is 1. How probable is it that two coins both show heads?"),
        Mistake("k to the p", EMERGENT_LINE + "    return k**p, p.log()\n",
                "A probability came out above 1. Which is raised to which?"),
        Mistake("at least one is right", EMERGENT_LINE + "    return 1 - (1 - p) ** k, p.log()\n",
                "This grows with k: it is the probability that some token is right. How many must be, for an exact match?"),
        Mistake("all are wrong", EMERGENT_LINE + "    return (1 - p) ** k, p.log()\n",
                "This is the probability that no token is right. What is p?"),
        Mistake("the root", EMERGENT_LINE + "    return p ** (1 / k), p.log()\n",
                "A longer answer became easier. Does a power of 1/k make 0.5 larger or smaller?"),
        Mistake("bits", EMERGENT_LINE + "    return p**k, p.log2()\n",
                "p = 0.5 gives -1. Which logarithm is meant where none is named?"),
        Mistake("the logarithm to the base 10", EMERGENT_LINE + "    return p**k, p.log10()\n",
                "p = 0.1 gives -1. Which logarithm is meant where none is named?"),
        Mistake("the loss", EMERGENT_LINE + "    return p**k, -p.log()\n",
                "This is the cross-entropy, the log-probability with its sign turned. Which grows as the model gets better?"),
        Mistake("log of 1 + p", EMERGENT_LINE + "    return p**k, p.log1p()\n",
                "p = 1 gives 0.69: `log1p` adds 1 first. What is the logarithm of a sure thing?"),
        Mistake("the other order", EMERGENT_LINE + "    return p.log(), p**k\n",
                "The log-probability stands first. Which is asked first?"),
        Mistake("a mean over the models", EMERGENT_LINE + "    return p**k, p.log().mean().expand(p.shape)\n",
                "All models were given the same number: it is the mean over p. Over what was it asked?"),
        Mistake("one number for all models", EMERGENT_LINE + "    return p**k, p.log().mean()\n",
                "The mean ran over the models instead of the tokens. Which shape should it have?"),
        Mistake("the logarithm of what vanished", EMERGENT_LINE + "    return p**k, (p**k).log() / k\n",
                "0.001 to the power 40 is too small for float32 and becomes 0, whose logarithm is minus infinity. What is the logarithm of p^k, without computing p^k?"),
        Mistake("the logarithm of exact match", EMERGENT_LINE + "    return p**k, (p**k).log()\n",
                "The logarithm of the whole answer's probability grows with k, and is minus infinity where p^k vanishes. What is the mean of one token?"),
        Mistake("the mean probability", EMERGENT_LINE + "    return p**k, p\n",
                "This is the probability of a token itself. Which function makes a log-probability of it?"),
        Mistake("right above a half", EMERGENT_LINE + "    return (p > 0.5).float() ** k, p.log()\n",
                "A token counted as right where its probability exceeds a half. With p = 0.5, how often are two tokens both right?"),
        Mistake("one more of them", EMERGENT_LINE + "    return p ** (k + 1), p.log()\n",
                "k + 1 tokens were multiplied. How many has the answer?"),
        Mistake("one fewer of them", EMERGENT_LINE + "    return p ** (k - 1), p.log()\n",
                "k - 1 tokens were multiplied, so that for k = 1 it is 1. How many has the answer?"),
    ],
)  # fmt: skip
