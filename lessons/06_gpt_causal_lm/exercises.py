"""Lesson 06: the four parts of a GPT that everyone gets wrong once: mask, loss, temperature, top-k and top-p."""

import math

import torch
from fmcourse.course.exercise import Exercise, Mistake, Property
from torch import Tensor
from torch.nn import functional as F

noise = lambda *shape, seed=0: torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
listed = lambda row: "[" + ", ".join(f"{value:.3g}" for value in row.tolist()) + "]"

# -- 06.1 who may attend to whom --------------------------------------------------------------------------------------------


def no_future(mask: Tensor, T: int) -> bool | str:
    ahead = mask.bool().triu(1).nonzero()
    return not len(ahead) or f"With T={T}, row {ahead[0, 0]} may attend to column {ahead[0, 1]}, which comes later."


def sees_itself(mask: Tensor, T: int) -> bool | str:
    blind = (~mask.bool().diagonal()).nonzero()
    return not len(blind) or f"With T={T}, row {blind[0, 0]} may not attend to column {blind[0, 0]}, which is itself."


def all_of_the_past(mask: Tensor, T: int) -> bool | str:
    missing = (~mask.bool()).tril(-1).nonzero()
    return (
        not len(missing)
        or f"With T={T}, row {missing[0, 0]} may not attend to column {missing[0, 1]}, which it has read."
    )


mask = Exercise(
    "06.1",
    goal="say which positions may attend to which",
    minutes=6,
    cases=[1, 2, 3, 7],
    starter='''def causal_mask(T):
    """(T, T) bool: row t is True in the columns where position t may attend: itself and all before it."""
    ...
''',
    solution='''def causal_mask(T):
    """(T, T) bool: row t is True in the columns where position t may attend: itself and all before it."""
    return torch.ones(T, T).tril().bool()
''',
    other_solutions=[
        lambda T: torch.arange(T)[:, None] >= torch.arange(T),
        lambda T: ~torch.triu(torch.ones(T, T, dtype=torch.bool), diagonal=1),
        lambda T: torch.tensor([[column <= row for column in range(T)] for row in range(T)]),
    ],
    hints=[
        "You are reading word 3 of a line. Which words have you seen? Write down True and False for T = 3, row by row.",
        "Row t, column s: the answer depends on which of t and s is larger. A column of positions can be compared with a row.",
        "`torch.ones(T, T)` is everyone attending to everyone; one method cuts it to a triangle, another makes it bool.",
    ],
    explanation="True on and below the diagonal: `tril` keeps the lower triangle, and the diagonal with it. Row t then holds t + 1 "
    "times True, so position 0 sees one token and the last one sees them all.",
    properties=[
        Property("sees the future", no_future, "The answer to row t's question stands in column t + 1. May it attend there?"),
        Property("blind to itself", sees_itself, "A position has read its own token. Should it not use it?"),
        Property("forgets the past", all_of_the_past, "It has read everything before it. Why hide that?"),
    ],
    mistakes=[
        Mistake("sees the future", lambda T: torch.ones(T, T).triu().bool(),
                "Row 0 may attend to the last column and the last row only at itself. Which triangle did you keep?"),
        Mistake("blind to itself", lambda T: torch.ones(T, T).tril(-1).bool(),
                "Row 0 may attend to nothing, and softmax over nothing is 0/0. May a position see itself?"),
        Mistake("True means hidden", lambda T: torch.ones(T, T).triu(1).bool(),
                "This marks what must *not* be seen, as some libraries do. What does True mean in the docstring?"),
        Mistake("nobody is stopped", lambda T: torch.ones(T, T).bool(),
                "Everyone sees everything, so the answers can be read off. What has position 0 not read yet?"),
        Mistake("a mask of numbers", lambda T: torch.ones(T, T).tril(),
                "The triangle is right, but it holds 0 and 1. What dtype says yes or no?"),
        Mistake("a mask to be added", lambda T: torch.full((T, T), float("-inf")).triu(1),
                "Adding 0 or minus infinity to the scores hides the future too, but yes or no is asked here. Where is it 0?"),
        Mistake("one step ahead", lambda T: torch.ones(T, T).tril(1).bool(),
                "Each row may attend one place into its future, and that is just where its answer stands. Where does row t end?"),
        Mistake("only a short memory", lambda T: torch.ones(T, T).tril().triu(-1).bool(),
                "Each row sees two positions at most. How far back may position 6 attend?"),
        Mistake("only itself", """def causal_mask(T):
    return torch.eye(T).bool()
""",
                "Each row sees itself and nothing else. It has read everything before it: may it not use that?"),
        Mistake("nobody sees anything", """def causal_mask(T):
    return torch.zeros(T, T).tril().bool()
""",
                "Of all zeros the triangle is zero, too. With what should the table be filled before it is cut?"),
        Mistake("one row", """def causal_mask(T):
    return torch.arange(T) <= torch.arange(T)
""",
                "A row was compared with itself, place by place. What makes a column of positions, so that all meet "
                "all?"),
    ],
)  # fmt: skip

# -- 06.3 the loss --------------------------------------------------------------------------------------------------------


def sure_of(ids: Tensor, V: int, by: int) -> Tensor:
    """Logits that put everything on the token `by` places further on."""
    return 30.0 * F.one_hot(ids.roll(-by, 1), V).float()


def blind(loss: Tensor, case: tuple) -> bool | str:
    logits = case[0]
    V = logits.shape[-1]
    if logits.any() or math.isclose(loss.item(), math.log(V), abs_tol=1e-4):
        return True
    return (
        f"All {V} tokens get the same score, so each costs log {V} = {math.log(V):.3f} nats; it says {loss.item():.3f}."
    )


def foresight(loss: Tensor, case: tuple) -> bool | str:
    logits, ids = case
    if not torch.equal(logits[:, :-1].argmax(-1), ids[:, 1:]) or logits.max() < 30 or loss.item() < 0.01:
        return True
    return f"Every position of {ids.tolist()} is sure of the token that comes next, and right. That costs 0; it says {loss.item():.3g}."


IDS = torch.tensor([[2, 0, 1, 3], [4, 1, 1, 0]])
loss = Exercise(
    "06.3",
    goal="the loss: cross-entropy on shifted targets",
    minutes=10,
    difficulty=2,
    cases=[
        (torch.zeros(1, 2, 5), torch.tensor([[3, 1]])),
        (sure_of(torch.tensor([[0, 2, 1, 3]]), 4, 1), torch.tensor([[0, 2, 1, 3]])),
        (noise(1, 3, 4), torch.tensor([[2, 0, 3]])),
        (noise(2, 4, 5, seed=1).requires_grad_(), IDS),
    ],
    starter='''def next_token_loss(logits, ids):
    """Cross-entropy in nats: position t predicts token t + 1, and the last position has nothing to predict.

    logits: (B, T, V)   ids: (B, T), the text that the model has read
    """
    ...
''',
    solution='''def next_token_loss(logits, ids):
    """Cross-entropy in nats: position t predicts token t + 1, and the last position has nothing to predict.

    logits: (B, T, V)   ids: (B, T), the text that the model has read
    """
    predictions, targets = logits[:, :-1], ids[:, 1:]  # position 0 is asked for token 1, and so on
    return F.cross_entropy(predictions.flatten(0, 1), targets.flatten())
''',
    other_solutions=[
        lambda logits, ids: F.cross_entropy(logits[:, :-1].mT, ids[:, 1:]),
        lambda logits, ids: -logits.log_softmax(-1)[:, :-1].gather(-1, ids[:, 1:, None]).mean(),
        "def next_token_loss(logits, ids):\n    total = 0.0\n    B, T, V = logits.shape\n    for b in range(B):\n"
        "        for t in range(T - 1):\n            total = total - torch.log_softmax(logits[b, t], -1)[ids[b, t + 1]]\n"
        "    return total / (B * (T - 1))\n",
    ],
    hints=[
        "The text is `To be`. Position 0 has read `T`. What is it asked for, and where in the text does the answer stand?",
        "Drop the position that is asked nothing, and the token that nobody is asked for. Those are two different ends.",
        "`logits[:, :-1]` meets `ids[:, 1:]`. `F.cross_entropy` wants (N, V) and (N,): flatten the first two axes of both.",
    ],
    explanation="Shift by one: what position t says is held against token t + 1. `F.cross_entropy` takes logits (it does the "
    "log-softmax itself) and returns the mean of -log p(true token), in nats.",
    properties=[
        Property("foresight is punished", foresight, "Which token should position 0 be asked for?"),
        Property("a blind guess", blind, "What does a probability of 1/V cost, in nats, on average?"),
    ],
    mistakes=[
        Mistake("it predicts what it reads", lambda logits, ids: F.cross_entropy(logits.flatten(0, 1), ids.flatten()),
                "Position 0 is asked for token 0, which it has just read: no need to learn anything. Which token comes next?"),
        Mistake("it predicts the past", lambda logits, ids: F.cross_entropy(logits[:, 1:].flatten(0, 1), ids[:, :-1].flatten()),
                "Position 1 is asked for token 0, which came before it. Which side must be shifted, the logits or the ids?"),
        Mistake("the end meets the beginning",
                lambda logits, ids: F.cross_entropy(logits.flatten(0, 1), ids.roll(-1, 1).flatten()),
                "`roll` brings the first token round to the end, so the last position is asked for it. What does the last one know of that?"),
        Mistake("classes on the wrong axis", lambda logits, ids: F.cross_entropy(logits[:, :-1], ids[:, 1:]),
                "`F.cross_entropy` expects the V logits on axis 1: (N, V), or (B, V, T). On which axis are yours?"),
        Mistake("a number without a past",
                lambda logits, ids: F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).item(),
                "The value is right, but `.item()` cuts it off from the model. What would `backward` start from?"),
        Mistake("no softmax at all", lambda logits, ids: F.nll_loss(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()),
                "`F.nll_loss` wants log-probabilities; these are logits. Which step is missing before it?"),
        Mistake("softmax over positions",
                lambda logits, ids: -logits[:, :-1].softmax(1).log().gather(-1, ids[:, 1:, None]).mean(),
                "The probabilities of one *token* over all positions add up to 1. What should add up to 1 at each position?"),
        Mistake("counting errors", lambda logits, ids: (logits[:, :-1].argmax(-1) != ids[:, 1:]).float().mean(),
                "This is the error rate. It does not care how sure a prediction was, and has no gradient. What does cross-entropy measure?"),
        Mistake("divided by every position",
                lambda logits, ids: F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten(), reduction="sum") / ids.numel(),
                "It divides by B x T, but T - 1 questions were asked of each text. How many labels are there?"),
        Mistake("a sum over each text",
                lambda logits, ids: F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten(), reduction="sum") / len(ids),
                "It is a mean over texts, but a sum along each. Does a longer text cost more per token?"),
        Mistake("softmax twice", lambda logits, ids: F.cross_entropy(logits[:, :-1].softmax(-1).flatten(0, 1), ids[:, 1:].flatten()),
                "`F.cross_entropy` does its own softmax; on probabilities the loss can never come near 0. What should it be given?"),
        Mistake("a sum", lambda logits, ids: F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten(), reduction="sum"),
                "It grows with the length of the text. Is it a mean?"),
        Mistake("bits", lambda logits, ids: F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()) / math.log(2),
                "That is in bits. Which logarithm gives nats?"),
        Mistake("scrambled positions",
                lambda logits, ids: F.cross_entropy(logits[:, :-1].transpose(0, 1).flatten(0, 1), ids[:, 1:].flatten()),
                "With one text it is right, with two the logits of one meet the labels of the other. Which axis comes first when `flatten` lines them up?"),
        Mistake("only the last guess", lambda logits, ids: F.cross_entropy(logits[:, -2], ids[:, -1]),
                "Only one position of each text is asked. How many targets does a text of T tokens hold?"),
        Mistake("probabilities, no logarithm", lambda logits, ids: 1 - logits[:, :-1].softmax(-1).gather(-1, ids[:, 1:, None]).mean(),
                "One minus the probability is no cross-entropy: a certain error must cost without limit. Where is the logarithm?"),
        Mistake("one long text", """def next_token_loss(logits, ids):
    return F.cross_entropy(logits.flatten(0, 1)[:-1], ids.flatten()[1:])
""",
                "The texts were strung together before the shift, so the end of one is asked for the beginning of "
                "the next. Along which axis does *one* text lie?"),
        Mistake("shifted along the batch", """def next_token_loss(logits, ids):
    return F.cross_entropy(logits[:-1].flatten(0, 1), ids[1:].flatten())
""",
                "The shift is along the texts: text 0 is asked for the tokens of text 1. Which axis counts "
                "positions?"),
        Mistake("both shifted", """def next_token_loss(logits, ids):
    return F.cross_entropy(logits[:, 1:].flatten(0, 1), ids[:, 1:].flatten())
""",
                "Both sides lost their first place, so position 1 is asked for token 1, which it has read. Which "
                "ends are to be dropped?"),
        Mistake("two places on", """def next_token_loss(logits, ids):
    return F.cross_entropy(logits[:, :-2].flatten(0, 1), ids[:, 2:].flatten())
""",
                "Position 0 is asked for token 2. Which token comes next?"),
        Mistake("the last asks for itself", """def next_token_loss(logits, ids):
    return F.cross_entropy(logits[:, -1], ids[:, -1])
""",
                "Only the last position is asked, and for the token that it has read. How many targets does a text "
                "of T tokens hold?"),
        Mistake("first the mean, then the logarithm", """def next_token_loss(logits, ids):
    p = logits[:, :-1].softmax(-1).gather(-1, ids[:, 1:, None])
    return -p.mean().log()
""",
                "It averages probabilities and takes the logarithm last, so one certain error hardly costs. Of what "
                "is the mean asked?"),
        Mistake("e to the loss", """def next_token_loss(logits, ids):
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).exp()
""",
                "That is the perplexity, e to the loss. What is asked for, in nats?"),
        Mistake("a logarithm's sign", """def next_token_loss(logits, ids):
    p = logits[:, :-1].softmax(-1)
    return p.gather(-1, ids[:, 1:, None]).log().mean()
""",
                "The logarithm of a probability is below zero. Which sign must a loss have?"),
        Mistake("one for each question", """def next_token_loss(logits, ids):
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten(), reduction='none')
""",
                "These are the losses, one for each target. What makes one number of them?"),
    ],
)  # fmt: skip

# -- 06.4 temperature -----------------------------------------------------------------------------------------------------


def adds_up(p: Tensor, case: tuple) -> bool | str:
    sums = p.sum(-1).flatten()
    worst = sums[(sums - 1).abs().argmax()].item()
    return (
        abs(worst - 1) < 1e-3
        or f"At temperature {case[1]} the probabilities of one choice add up to {worst:.3g}, not 1."
    )


def greedy(p: Tensor, case: tuple) -> bool | str:
    logits, temperature = case
    if temperature != 0 or torch.equal(p.argmax(-1), logits.argmax(-1)) and bool((p.amax(-1) > 0.999).all()):
        return True
    return f"At temperature 0 the logits {listed(logits.reshape(-1, logits.shape[-1])[0])} must become certainty of the largest."


temperature = Exercise(
    "06.4",
    goal="turn logits into probabilities, at a temperature",
    minutes=8,
    cases=[
        (torch.tensor([2.0, 1.0, 0.0]), 1.0),
        (torch.tensor([2.0, 1.0, 0.0]), 0.5),
        (torch.tensor([2.0, 1.0, -1.0]), 3.0),
        (torch.tensor([1.0, 3.0, 2.0]), 0),
        (noise(2, 4, seed=3), 0.7),
        (noise(3, 5, seed=4), 0),
    ],
    starter='''def probabilities(logits, temperature):
    """softmax(logits / temperature) over the last axis; at temperature 0 all of it on the largest logit.

    logits: (..., V)
    """
    ...
''',
    solution='''def probabilities(logits, temperature):
    """softmax(logits / temperature) over the last axis; at temperature 0 all of it on the largest logit.

    logits: (..., V)
    """
    if temperature == 0:
        return F.one_hot(logits.argmax(-1), logits.shape[-1]).float()
    return (logits / temperature).softmax(-1)
''',
    other_solutions=[
        "def probabilities(logits, temperature):\n    if temperature == 0:\n"
        "        return torch.zeros_like(logits).scatter(-1, logits.argmax(-1, keepdim=True), 1.0)\n"
        "    e = torch.exp((logits - logits.amax(-1, keepdim=True)) / temperature)\n    return e / e.sum(-1, keepdim=True)\n",
        lambda logits, temperature: torch.softmax(logits / max(temperature, 1e-6), dim=-1),
        lambda logits, temperature: (
            (logits == logits.amax(-1, keepdim=True)).float()
            if not temperature
            else F.softmax(logits * (1 / temperature), dim=-1)
        ),
    ],
    hints=[
        "A high temperature makes unlikely tokens likelier, a low one the likeliest. Should a high temperature spread the logits or draw them together?",
        "Divide the logits first, softmax last: only softmax makes sure that the probabilities add up to 1. And what is a division by 0?",
        "An `if` for 0: `logits.argmax(-1)` and `F.one_hot(..., V).float()`. Otherwise divide, then `.softmax(-1)`.",
    ],
    explanation="Dividing the logits by a small number pulls them apart, and softmax turns a lead in logits into a multiple in probability. "
    "At 0 the division is impossible, but its limit is plain: the largest takes all.",
    properties=[
        Property("not a distribution", adds_up, "Which step makes them add up to 1, and is it the last?"),
        Property("not greedy at 0", greedy, "What becomes of softmax(logits / t) as t shrinks?"),
    ],
    mistakes=[
        Mistake("hot and cold swapped", lambda logits, temperature: (logits * temperature).softmax(-1),
                "At 0.5 it is flatter than at 1: it multiplies. Should a low temperature make the likeliest token stronger or weaker?"),
        Mistake("too late", lambda logits, temperature: logits.softmax(-1) / max(temperature, 1e-9),
                "The probabilities were divided, not the logits. Do they still add up to 1?"),
        Mistake("no effect", lambda logits, temperature: logits.softmax(-1),
                "The answer is the same at every temperature. Where should it come in?"),
        Mistake("division by zero", lambda logits, temperature: (logits / temperature).softmax(-1),
                "At temperature 0 it divides by zero. What should happen there instead?"),
        Mistake("the winner's number", lambda logits, temperature: (logits / temperature).softmax(-1) if temperature else logits.argmax(-1),
                "At temperature 0 it gives the place of the largest. What are the probabilities of all V tokens then?"),
        Mistake("certainty in whole numbers",
                lambda logits, temperature: (logits / temperature).softmax(-1) if temperature else F.one_hot(logits.argmax(-1), logits.shape[-1]),
                "`one_hot` gives whole numbers, the other branch floats. Which dtype should both have?"),
        Mistake("logits, not probabilities", lambda logits, temperature: logits / max(temperature, 1e-9),
                "These are still logits: some are negative. What turns logits into probabilities?"),
        Mistake("the wrong axis", lambda logits, temperature: (logits / max(temperature, 1e-9)).softmax(0),
                "With two rows of logits, columns add up to 1. Along which axis does one choice lie?"),
        Mistake("no exponential",
                lambda logits, temperature: logits / logits.sum(-1, keepdim=True) if temperature else F.one_hot(logits.argmax(-1), logits.shape[-1]).float(),
                "Logits divided by their sum: the temperature cancels out, and negative logits give negative probabilities. What does softmax do first?"),
        Mistake("the outsider wins",
                lambda logits, temperature: (logits / temperature).softmax(-1) if temperature else F.one_hot(logits.argmin(-1), logits.shape[-1]).float(),
                "At temperature 0 all of it is on the smallest logit. Which one does a low temperature favour?"),
        Mistake("log-probabilities", lambda logits, temperature: (logits / max(temperature, 1e-9)).log_softmax(-1),
                "All of them are negative: these are logarithms. What are the probabilities?"),
        Mistake("the exponentials divided", """def probabilities(logits, temperature):
    if temperature == 0:
        return F.one_hot(logits.argmax(-1), logits.shape[-1]).float()
    e = logits.exp() / temperature
    return e / e.sum(-1, keepdim=True)
""",
                "The temperature divides the exponentials, and cancels out with their sum. What should be divided, "
                "before the exponential?"),
        Mistake("too late, but not at 0", """def probabilities(logits, temperature):
    p = logits.softmax(-1)
    return p / temperature if temperature else p
""",
                "The probabilities were divided, not the logits. Do they still add up to 1?"),
        Mistake("a power without a sum", """def probabilities(logits, temperature):
    if temperature == 0:
        return F.one_hot(logits.argmax(-1), logits.shape[-1]).float()
    return logits.softmax(-1) ** (1 / temperature)
""",
                "p to the power 1/temperature is right up to a factor. To what must the probabilities of one choice "
                "add up?"),
        Mistake("one sum for all rows", """def probabilities(logits, temperature):
    if temperature == 0:
        return F.one_hot(logits.argmax(-1), logits.shape[-1]).float()
    e = (logits / temperature).exp()
    return e / e.sum()
""",
                "`sum()` without an axis adds up all rows. Whose probabilities must add up to 1?"),
        Mistake("the largest of all rows", """def probabilities(logits, temperature):
    if temperature == 0:
        out = torch.zeros_like(logits)
        out.view(-1)[logits.argmax()] = 1
        return out
    return (logits / temperature).softmax(-1)
""",
                "`argmax()` without an axis finds one place in all rows. Which place is the largest of *each* row?"),
        Mistake("zero is one", """def probabilities(logits, temperature):
    if temperature == 0:
        temperature = 1
    return (logits / temperature).softmax(-1)
""",
                "Temperature 0 is treated as 1. What becomes of softmax(logits / t) as t shrinks?"),
        Mistake("anything goes at zero", """def probabilities(logits, temperature):
    if temperature == 0:
        return torch.full_like(logits, 1 / logits.shape[-1])
    return (logits / temperature).softmax(-1)
""",
                "At temperature 0 all are equally likely: that is the limit of a high temperature. What does a low one do "
                "to the likeliest token?"),
        Mistake("a little added", """def probabilities(logits, temperature):
    return (logits / (temperature + 0.01)).softmax(-1)
""",
                "0.01 was added so that nothing is divided by 0: too much at 0, and everything is a little too warm. "
                "What should happen at 0 alone?"),
        Mistake("as many classes as the largest", """def probabilities(logits, temperature):
    if temperature == 0:
        return F.one_hot(logits.argmax(-1)).float()
    return (logits / temperature).softmax(-1)
""",
                "`one_hot` makes no more places than the largest number it meets. How does it learn how many tokens "
                "there are?"),
        Mistake("the wrong axis, not at 0", """def probabilities(logits, temperature):
    if temperature == 0:
        return F.one_hot(logits.argmax(-1), logits.shape[-1]).float()
    return (logits / temperature).softmax(0)
""",
                "With two rows of logits, columns add up to 1. Along which axis does one choice lie?"),
        Mistake("divided in place", """def probabilities(logits, temperature):
    if temperature == 0:
        return F.one_hot(logits.argmax(-1), logits.shape[-1]).float()
    logits /= temperature
    return logits.softmax(-1)
""",
                "`/=` writes into the logits that were handed in. Which operator makes new ones?"),
    ],
)  # fmt: skip

# -- 06.5 top-k and top-p -------------------------------------------------------------------------------------------------


def sums_to_one(p: Tensor, case: tuple) -> bool | str:
    sums = p.sum(-1).flatten()
    worst = sums[(sums - 1).abs().argmax()].item()
    return (
        abs(worst - 1) < 1e-3 or f"With {settings(case)} the probabilities that are kept add up to {worst:.3g}, not 1."
    )


def keeps_the_likeliest(p: Tensor, case: tuple) -> bool | str:
    given = case[0]
    best = given.argmax(-1, keepdim=True)
    lost = (p.gather(-1, best) == 0).flatten()
    if not lost.any():
        return True
    row = given.reshape(-1, given.shape[-1])[int(lost.nonzero()[0])]
    return f"With {settings(case)} the likeliest of {listed(row)} got probability 0."


def settings(case: tuple) -> str:
    return f"top_k={case[1]} and top_p={case[2]}"


RANKED = '''def truncate(p, top_k=None, top_p=None):
    """Keep the likeliest tokens; what is kept adds up to 1 again, the rest has probability 0.

    p: (..., V) probabilities of the next token
    top_k: keep the k likeliest; None, or k above V, keeps all
    top_p: then keep the likeliest until their probabilities, made to add up to 1 after top-k, reach p; at least one
    """
    order = p.argsort(-1, descending=True)
    ranked = p.gather(-1, order)
    if top_k is not None:
        ranked = ranked * (torch.arange(p.shape[-1]) < top_k)
        ranked = ranked / ranked.sum(-1, keepdim=True)
    if top_p is not None:
        likelier = ranked.cumsum(-1) - ranked  # what the tokens before it add up to
        ranked = ranked * (likelier < top_p)
        ranked = ranked / ranked.sum(-1, keepdim=True)
    return torch.zeros_like(p).scatter(-1, order, ranked)  # each back at its token's place
'''
NORMALIZED = "        ranked = ranked / ranked.sum(-1, keepdim=True)\n"


def altered(*changes: tuple[str, str]) -> str:
    """The solution with lines replaced, as a student might have written them."""
    source = RANKED
    for old, new in changes:
        assert old in source, old
        source = source.replace(old, new)
    return source


truncation = Exercise(
    "06.5",
    goal="keep the likeliest tokens: top-k and top-p",
    minutes=12,
    difficulty=2,
    cases=[
        (torch.tensor([0.25, 0.5, 0.15, 0.1]), 2, None),
        (torch.tensor([0.1, 0.5, 0.15, 0.25]), None, 0.7),
        (torch.tensor([0.2, 0.7, 0.1]), None, 0.4),
        (torch.tensor([0.05, 0.4, 0.2, 0.35]), 2, 0.5),
        (torch.tensor([0.28, 0.2, 0.3, 0.22]), None, 0.75),
        (torch.tensor([0.3, 0.6, 0.1]), 9, None),
        (torch.tensor([0.3, 0.6, 0.1]), None, None),
        ((2 * noise(2, 5, seed=3)).softmax(-1), 3, None),
        ((2 * noise(3, 6, seed=5)).softmax(-1), None, 0.8),
    ],
    starter=RANKED[: RANKED.index("    order")] + "    ...\n",
    solution=RANKED,
    other_solutions=[
        "def truncate(p, top_k=None, top_p=None):\n    if top_k is not None:\n"
        "        least = p.topk(min(top_k, p.shape[-1])).values[..., -1:]\n"
        "        p = torch.where(p >= least, p, 0.0)\n        p = p / p.sum(-1, keepdim=True)\n"
        "    if top_p is not None:\n        ranked, order = p.sort(descending=True)\n"
        "        keep = torch.ones_like(ranked).bool()\n        keep[..., 1:] = ranked.cumsum(-1)[..., :-1] < top_p\n"
        "        p = p * torch.zeros_like(keep).scatter(-1, order, keep)\n        p = p / p.sum(-1, keepdim=True)\n    return p\n",
        "def truncate(p, top_k=None, top_p=None):\n    from fmcourse.generation import next_distribution\n"
        "    return next_distribution(p.log(), 1.0, top_k, top_p)\n",
        "def truncate(p, top_k=None, top_p=None):\n    out = torch.zeros_like(p).view(-1, p.shape[-1])\n"
        "    for row, new in zip(p.reshape(-1, p.shape[-1]), out):\n"
        "        best = sorted(range(len(row)), key=lambda i: -row[i])[:top_k]\n        total = sum(row[i] for i in best)\n"
        "        reached = 0.0\n        for i in best:\n            if top_p is not None and reached >= top_p:\n                break\n"
        "            new[i] = row[i]\n            reached += row[i] / total\n        new /= new.sum()\n    return out.view(p.shape)\n",
    ],
    hints=[
        "Sort the probabilities 0.1, 0.5, 0.15, 0.25 from large to small. For top_p = 0.7, how many of them do you need to reach 0.7?",
        "A token is kept if those *before* it in the sorted order add up to less than p. `cumsum` includes the token itself: subtract it.",
        "`order = p.argsort(-1, descending=True)`, `ranked = p.gather(-1, order)`, cut `ranked`, divide by its sum, and put each back with "
        "`torch.zeros_like(p).scatter(-1, order, ranked)`.",
    ],
    explanation="Sort, cut, divide by the sum, and put every probability back at its token's place. Top-k keeps a fixed number of tokens; top-p "
    "keeps few where the model is sure and many where it is not. The token with which the sum reaches p is kept, so at least one always is.",
    properties=[
        Property("the likeliest is lost", keeps_the_likeliest, "Which tokens should go first, and can it happen that none is left?"),
        Property("not a distribution", sums_to_one, "Which step makes the kept ones add up to 1?"),
    ],
    mistakes=[
        Mistake("not normalized again", altered((NORMALIZED, "")),
                "What is kept no longer adds up to 1. By what should it be divided?"),
        Mistake("the token that reaches p is dropped", altered(("(likelier < top_p)", "((ranked.cumsum(-1) <= top_p) | (likelier == 0))")),
                "0.5 + 0.25 reaches 0.7, but 0.25 was dropped. Do the kept ones reach p without it?"),
        Mistake("only what is above p", altered(("(likelier < top_p)", "((ranked > top_p) | (likelier == 0))")),
                "Each probability was compared with p alone. What should reach p: one of them, or their sum?"),
        Mistake("not back in place", altered(("torch.zeros_like(p).scatter(-1, order, ranked)", "ranked")),
                "The probabilities stand in sorted order, so token 0 got the largest. How does each return to its token?"),
        Mistake("back by the wrong way", altered(("torch.zeros_like(p).scatter(-1, order, ranked)", "ranked.gather(-1, order)")),
                "`gather` with the same order sorts a second time instead of undoing it. Which function writes *to* the places in `order`?"),
        Mistake("the least likely first", altered(("p.argsort(-1, descending=True)", "p.argsort(-1)")),
                "It sorts from small to large, so the unlikely ones are kept. At which end do the likeliest stand?"),
        Mistake("top-k is not used", altered(("if top_k is not None:", "if False:")),
                "`top_k` makes no difference. Where does it come in?"),
        Mistake("top-p is not used", altered(("if top_p is not None:", "if False:")),
                "`top_p` makes no difference. Where does it come in?"),
        Mistake("one too many", altered(("< top_k)", "<= top_k)")),
                "It keeps k + 1 tokens. Ranks begin at 0: which is the last of k?"),
        Mistake("one more after p is reached", altered(("likelier = ranked.cumsum(-1) - ranked", "likelier = (ranked.cumsum(-1) - ranked - ranked.roll(1, -1)).clamp(min=0)")),
                "The sum had reached p, and one more token was kept. Which token is the last that is needed?"),
        Mistake("p before the sum is 1", altered((NORMALIZED + "    if top_p", "    if top_p"), ("return torch", "ranked = ranked / ranked.sum(-1, keepdim=True)\n    return torch")),
                "Here p refers to all tokens, not to those that top-k left. When must what is left be divided by its sum?"),
        Mistake("softmax of probabilities", altered((NORMALIZED, "        ranked = torch.where(ranked > 0, ranked, float('-inf')).softmax(-1)\n")),
                "Probabilities went into softmax, so the kept ones became nearly equal. How do 0.5 and 0.25 keep their ratio of 2?"),
        Mistake("equal probabilities", altered((NORMALIZED, "        ranked = (ranked > 0) / (ranked > 0).sum(-1, keepdim=True)\n")),
                "All kept tokens are equally likely now. Should 0.5 and 0.25 not keep their ratio of 2?"),
        Mistake("one threshold for all rows", altered(("    order =", "    if top_k is not None and p.ndim > 1:\n        return torch.where(p >= p.flatten().topk(min(top_k, p.numel())).values[-1], p, 0) + 0\n    order =")),
                "One limit was taken for all rows together. Whose k likeliest are meant?"),
        Mistake("sorted along the batch", altered(("    order = p.argsort(-1, descending=True)\n    ranked = p.gather(-1, order)", "    order = p.argsort(0, descending=True)\n    ranked = p.gather(0, order)"), ("scatter(-1", "scatter(0")),
                "With two rows it sorts each column. Along which axis do the V tokens lie?"),
        Mistake("more than there are", """def truncate(p, top_k=None, top_p=None):
    if top_k is not None:
        best = p.topk(top_k)
        p = torch.zeros_like(p).scatter(-1, best.indices, best.values)
        p = p / p.sum(-1, keepdim=True)
    if top_p is not None:
        ranked, order = p.sort(descending=True)
        ranked = ranked * (ranked.cumsum(-1) - ranked < top_p)
        p = torch.zeros_like(p).scatter(-1, order, ranked)
        p = p / p.sum(-1, keepdim=True)
    return p
""",
                "`topk` cannot find more than there are. What if k is larger than V?"),
        Mistake("None is no number", altered(("    if top_k is not None:\n", "    if True:\n")),
                "With `top_k=None` it compares with None. What should happen where no k is given?"),
        Mistake("the tokens, not their probabilities", altered(("torch.zeros_like(p).scatter(-1, order, ranked)", "torch.zeros_like(p).scatter(-1, order, (ranked > 0).float())")),
                "These are ones for what is kept. Which probabilities do the kept tokens have?"),
        Mistake("written into what was given", altered(("    ranked = p.gather(-1, order)\n", "    ranked = p.gather(-1, order)\n    if top_k is not None:\n        p.scatter_(-1, order[..., top_k:], 0.0)\n")),
                "`scatter_` and its like write into the tensor that was handed in. Which form makes a new one?"),
    ],
)  # fmt: skip
