"""Lesson 06: the four parts of a GPT that everyone gets wrong once: mask, attention, loss, temperature."""

import math

import torch
from fmcourse.course.exercise import Exercise, Mistake, Property
from torch import Tensor
from torch.nn import functional as F

noise = lambda *shape, seed=0: torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
listed = lambda row: "[" + ", ".join(f"{value:.3g}" for value in row.tolist()) + "]"

# -- 06.1 who may look at whom --------------------------------------------------------------------------------------------


def no_future(mask: Tensor, T: int) -> bool | str:
    ahead = mask.bool().triu(1).nonzero()
    return not len(ahead) or f"With T={T}, row {ahead[0, 0]} may look at column {ahead[0, 1]}, which comes later."


def sees_itself(mask: Tensor, T: int) -> bool | str:
    blind = (~mask.bool().diagonal()).nonzero()
    return not len(blind) or f"With T={T}, row {blind[0, 0]} may not look at column {blind[0, 0]}, which is itself."


def all_of_the_past(mask: Tensor, T: int) -> bool | str:
    missing = (~mask.bool()).tril(-1).nonzero()
    return (
        not len(missing) or f"With T={T}, row {missing[0, 0]} may not look at column {missing[0, 1]}, long since read."
    )


mask = Exercise(
    "06.1",
    goal="say who may look at whom",
    minutes=8,
    cases=[1, 2, 3, 7],
    starter='''def causal_mask(T):
    """(T, T) bool: row t is True in the columns where position t may look: itself and all before it."""
    ...
''',
    solution='''def causal_mask(T):
    """(T, T) bool: row t is True in the columns where position t may look: itself and all before it."""
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
        "`torch.ones(T, T)` is everyone looking at everyone; one method cuts it to a triangle, another makes it bool.",
    ],
    explanation="True on and below the diagonal: `tril` keeps the lower triangle, and the diagonal with it. Row t then holds t + 1 "
    "times True, so position 0 sees one token and the last one sees them all.",
    properties=[
        Property("sees the future", no_future, "The answer to row t's question stands in column t + 1. May it look there?"),
        Property("blind to itself", sees_itself, "A position has read its own token. Should it not use it?"),
        Property("forgets the past", all_of_the_past, "It has read everything before it. Why hide that?"),
    ],
    mistakes=[
        Mistake("sees the future", lambda T: torch.ones(T, T).triu().bool(),
                "Row 0 may look at the last column and the last row only at itself. Which triangle did you keep?"),
        Mistake("blind to itself", lambda T: torch.ones(T, T).tril(-1).bool(),
                "Row 0 may look at nothing, and softmax over nothing is 0/0. May a position see itself?"),
        Mistake("True means hidden", lambda T: torch.ones(T, T).triu(1).bool(),
                "This marks what must *not* be seen, as some libraries do. What does True mean in the docstring?"),
        Mistake("nobody is stopped", lambda T: torch.ones(T, T).bool(),
                "Everyone sees everything, so the answers can be read off. What has position 0 not read yet?"),
        Mistake("a mask of numbers", lambda T: torch.ones(T, T).tril(),
                "The triangle is right, but it holds 0 and 1. What dtype says yes or no?"),
        Mistake("a mask to be added", lambda T: torch.full((T, T), float("-inf")).triu(1),
                "Adding 0 or minus infinity to the scores hides the future too, but yes or no is asked here. Where is it 0?"),
        Mistake("one step ahead", lambda T: torch.ones(T, T).tril(1).bool(),
                "Each row may look one place into its future, and that is just where its answer stands. Where does row t end?"),
        Mistake("only a short memory", lambda T: torch.ones(T, T).tril().triu(-1).bool(),
                "Each row sees two positions at most. How far back may position 6 look?"),
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

# -- 06.2 one head of attention -------------------------------------------------------------------------------------------

LOWER = lambda T: torch.ones(T, T).tril().bool()


def alone(out: Tensor, case: tuple) -> bool | str:
    """A position that sees only itself hands on its own value."""
    v, mask = case[2], case[3]
    if mask[0].sum() != 1 or torch.allclose(out[..., 0, :], v[..., 0, :], atol=1e-5):
        return True
    got, own = out[..., 0, :].reshape(-1, v.shape[-1])[0], v[..., 0, :].reshape(-1, v.shape[-1])[0]
    return f"Position 0 may look only at itself, so its output must be v[0] = {listed(own)}; it is {listed(got)}."


def an_average(out: Tensor, case: tuple) -> bool | str:
    """Weights that are positive and add up to 1 never leave the range of the values."""
    v = case[2]
    high = out.amax(-2) - v.amax(-2)
    low = v.amin(-2) - out.amin(-2)
    worst = torch.maximum(high, low).max().item()
    return worst < 1e-4 or f"An average of values cannot lie outside them, but here one does, by {worst:.3g}."


head = Exercise(
    "06.2",
    goal="one head of attention",
    minutes=15,
    difficulty=2,
    cases=[
        (noise(1, 2), noise(1, 2, seed=1), noise(1, 2, seed=2), LOWER(1)),
        (2 * noise(3, 4), noise(3, 4, seed=1), noise(3, 2, seed=2), LOWER(3)),
        (noise(4, 9, seed=3), noise(4, 9, seed=4), noise(4, 9, seed=5), torch.ones(4, 4).bool()),
        (noise(2, 5, 8, seed=6), noise(2, 5, 8, seed=7), noise(2, 5, 8, seed=8).requires_grad_(), LOWER(5)),
    ],
    starter='''def attend(q, k, v, mask):
    """softmax(q kᵀ / √K) v, where a position gives no weight to what its row of the mask forbids.

    q, k: (..., T, K)   v: (..., T, any)   mask: (T, T) bool, True = may look
    """
    ...
''',
    solution='''def attend(q, k, v, mask):
    """softmax(q kᵀ / √K) v, where a position gives no weight to what its row of the mask forbids.

    q, k: (..., T, K)   v: (..., T, any)   mask: (T, T) bool, True = may look
    """
    scores = q @ k.mT / q.shape[-1] ** 0.5                          # (..., T, T): how well query t meets key s
    weights = scores.masked_fill(~mask, float("-inf")).softmax(-1)  # each row adds up to 1
    return weights @ v
''',
    other_solutions=[
        lambda q, k, v, mask: F.scaled_dot_product_attention(q, k, v, mask),
        lambda q, k, v, mask: torch.where(mask, torch.einsum("...td,...sd->...ts", q, k) / math.sqrt(k.size(-1)), -1e9).softmax(-1)
        @ v,
        "def attend(q, k, v, mask):\n    w = (q @ k.transpose(-2, -1) * k.shape[-1] ** -0.5).exp() * mask\n"
        "    return w / w.sum(dim=-1, keepdim=True) @ v\n",
    ],
    hints=[
        "Three steps: how well does each query meet each key; turn scores into weights that add up to 1; average the values.",
        "A score of minus infinity becomes a weight of exactly 0. So hide first, then softmax, along the keys.",
        "`q @ k.mT` is (..., T, T). Divide by the root of the last size of q; `masked_fill(~mask, ...)`; softmax over -1; `@ v`.",
    ],
    explanation="Scores first, divided by √K so that they do not grow with the width of the head. What is forbidden gets minus infinity "
    "*before* the softmax, so the rest still adds up to 1. The weights then average the values.",
    properties=[
        Property("the first position", alone, "What weight has v[0] in it, and what else got some?"),
        Property("not an average", an_average, "Do the weights of each row add up to 1?"),
    ],
    mistakes=[
        Mistake("the mask is not used", lambda q, k, v, mask: (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1) @ v,
                "Whatever the mask says, everyone looks at everyone. Where should it come in?"),
        Mistake("no division", lambda q, k, v, mask: (q @ k.mT).masked_fill(~mask, float("-inf")).softmax(-1) @ v,
                "The weights are too sure of themselves: a score adds up K products. By what should it be divided?"),
        Mistake("divided by K", lambda q, k, v, mask: (q @ k.mT / q.shape[-1]).masked_fill(~mask, float("-inf")).softmax(-1) @ v,
                "The weights are too even. K products of size 1 add up to about √K, not to K. Is a root missing?"),
        Mistake("hidden too late", lambda q, k, v, mask: (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1) * mask @ v,
                "Weights were set to 0 after the softmax, so row 0 no longer adds up to 1. When must the future be hidden?"),
        Mistake("zero is not hidden", lambda q, k, v, mask: (q @ k.mT / q.shape[-1] ** 0.5).masked_fill(~mask, 0).softmax(-1) @ v,
                "A forbidden score of 0 still gets weight, because e⁰ is 1. Which score gets a weight of exactly 0?"),
        Mistake("the mask upside down", lambda q, k, v, mask: (q @ k.mT / q.shape[-1] ** 0.5).masked_fill(mask, -1e9).softmax(-1) @ v,
                "What is allowed was hidden. In the mask True means *may look*; what does `masked_fill` fill?"),
        Mistake("softmax down the columns",
                lambda q, k, v, mask: (q @ k.mT / q.shape[-1] ** 0.5).masked_fill(~mask, float("-inf")).softmax(-2) @ v,
                "Each *column* adds up to 1: keys share out queries. Along which axis does one query share out its attention?"),
        Mistake("T turns everything",
                lambda q, k, v, mask: (q @ k.permute(*range(k.ndim - 1, -1, -1)) / q.shape[-1] ** 0.5).masked_fill(~mask, float("-inf")).softmax(-1) @ v,
                "With a batch in front, `.T` turns *all* axes. Which two should be swapped?"),
        Mistake("the weights are the answer",
                lambda q, k, v, mask: (q @ k.mT / q.shape[-1] ** 0.5).masked_fill(~mask, float("-inf")).softmax(-1),
                "These are the weights, (T, T). What is to be averaged with them?"),
        Mistake("divided by √T", lambda q, k, v, mask: (q @ k.mT / q.shape[-2] ** 0.5).masked_fill(~mask, float("-inf")).softmax(-1) @ v,
                "It divides by the root of how many positions there are. A score is a sum of how many products?"),
        Mistake("multiplied by √K", lambda q, k, v, mask: (q @ k.mT * q.shape[-1] ** 0.5).masked_fill(~mask, float("-inf")).softmax(-1) @ v,
                "The scores have become larger still. Was √K not to keep them small?"),
        Mistake("divided too late", lambda q, k, v, mask: (q @ k.mT).masked_fill(~mask, float("-inf")).softmax(-1) / q.shape[-1] ** 0.5 @ v,
                "The weights were divided after the softmax, so they no longer add up to 1. What should √K make smaller?"),
        Mistake("no softmax", lambda q, k, v, mask: (q @ k.mT / q.shape[-1] ** 0.5).masked_fill(~mask, float("-inf")) @ v,
                "Scores are not weights: they can be negative, or minus infinity. What turns a row of them into shares of 1?"),
        Mistake("the mask is added", lambda q, k, v, mask: (q @ k.mT / q.shape[-1] ** 0.5 + mask).softmax(-1) @ v,
                "Adding True adds 1: the allowed get a little more, the forbidden still get plenty. What would give them nothing?"),
        Mistake("a rule of its own", lambda q, k, v, mask: F.scaled_dot_product_attention(q, k, v, is_causal=True),
                "It hides the future even where the mask allows it. Who decides here, the function or its caller?"),
        Mistake("softmax over the first axis",
                lambda q, k, v, mask: (q @ k.mT / q.shape[-1] ** 0.5).masked_fill(~mask, float("-inf")).softmax(0) @ v,
                "It shares out along the first axis; with a batch in front that is across texts. Along which axis do the keys lie?"),
        Mistake("keys ask, queries answer",
                lambda q, k, v, mask: (k @ q.mT / q.shape[-1] ** 0.5).masked_fill(~mask, float("-inf")).softmax(-1) @ v,
                "Row t holds how key t meets every query. Whose rows should they be?"),
        Mistake("queries look at queries",
                lambda q, k, v, mask: (q @ q.mT / q.shape[-1] ** 0.5).masked_fill(~mask, float("-inf")).softmax(-1) @ v,
                "The keys are not used: it compares queries with queries. Whom does a query meet?"),
        Mistake("what may be seen is hidden", """def attend(q, k, v, mask):
    scores = q @ k.mT / q.shape[-1] ** 0.5
    return scores.masked_fill(mask, float('-inf')).softmax(-1) @ v
""",
                "What is allowed was hidden, and a row in which all is hidden is 0/0. In the mask True means *may "
                "look*: what does `masked_fill` fill?"),
        Mistake("zero times infinity", """def attend(q, k, v, mask):
    scores = q @ k.mT / q.shape[-1] ** 0.5
    return (scores + ~mask * float('-inf')).softmax(-1) @ v
""",
                "0 times minus infinity is no number, and it stands wherever one may look. What puts a number in "
                "some places and leaves the rest?"),
        Mistake("softmax along the second axis", """def attend(q, k, v, mask):
    scores = q @ k.mT / q.shape[-1] ** 0.5
    return scores.masked_fill(~mask, float('-inf')).softmax(1) @ v
""",
                "`softmax(1)` is along the keys only where there are two axes. Which axis, counted from the end, "
                "holds the keys?"),
        Mistake("divided by the first size", """def attend(q, k, v, mask):
    scores = q @ k.mT / q.shape[0] ** 0.5
    return scores.masked_fill(~mask, float('-inf')).softmax(-1) @ v
""",
                "It divides by the root of the first size, of positions or texts. A score is a sum of how many "
                "products?"),
        Mistake("hidden by -1", """def attend(q, k, v, mask):
    scores = q @ k.mT / q.shape[-1] ** 0.5
    return scores.masked_fill(~mask, -1).softmax(-1) @ v
""",
                "A score of -1 still gets weight, because e⁻¹ is 0.37. Which score gets a weight of exactly 0?"),
        Mistake("hidden by plus infinity", """def attend(q, k, v, mask):
    scores = q @ k.mT / q.shape[-1] ** 0.5
    return scores.masked_fill(~mask, float('inf')).softmax(-1) @ v
""",
                "Plus infinity gets all the weight there is, and two of them make no number. Which sign hides?"),
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
    goal="the loss of a text that is its own label",
    minutes=12,
    difficulty=2,
    cases=[
        (torch.zeros(1, 2, 5), torch.tensor([[3, 1]])),
        (sure_of(torch.tensor([[0, 2, 1, 3]]), 4, 1), torch.tensor([[0, 2, 1, 3]])),
        (noise(1, 3, 4), torch.tensor([[2, 0, 3]])),
        (noise(2, 4, 5, seed=1).requires_grad_(), IDS),
    ],
    starter='''def next_token_loss(logits, ids):
    """Mean surprise, in nats, when position t predicts token t + 1. The last position has nothing to predict.

    logits: (B, T, V), scores for every token   ids: (B, T), the text that the model has read
    """
    ...
''',
    solution='''def next_token_loss(logits, ids):
    """Mean surprise, in nats, when position t predicts token t + 1. The last position has nothing to predict.

    logits: (B, T, V), scores for every token   ids: (B, T), the text that the model has read
    """
    guesses, labels = logits[:, :-1], ids[:, 1:]  # position 0 is asked for token 1, and so on
    return F.cross_entropy(guesses.flatten(0, 1), labels.flatten())
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
    explanation="Shift by one: what position t says is held against token t + 1. `F.cross_entropy` takes raw scores (it does the "
    "log-softmax itself) and returns the mean of -log p(true token), in nats.",
    properties=[
        Property("foresight is punished", foresight, "Which token should position 0 be asked for?"),
        Property("a blind guess", blind, "What does a probability of 1/V cost, in nats, on average?"),
    ],
    mistakes=[
        Mistake("it predicts what it reads", lambda logits, ids: F.cross_entropy(logits.flatten(0, 1), ids.flatten()),
                "Position 0 is asked for token 0, which it has just read: no need to learn anything. Which token comes next?"),
        Mistake("it predicts the past", lambda logits, ids: F.cross_entropy(logits[:, 1:].flatten(0, 1), ids[:, :-1].flatten()),
                "Position 1 is asked for token 0: a model that remembers, not one that foresees. Which side must be moved?"),
        Mistake("the end meets the beginning",
                lambda logits, ids: F.cross_entropy(logits.flatten(0, 1), ids.roll(-1, 1).flatten()),
                "`roll` brings the first token round to the end, so the last position is asked for it. What does the last one know of that?"),
        Mistake("classes on the wrong axis", lambda logits, ids: F.cross_entropy(logits[:, :-1], ids[:, 1:]),
                "`F.cross_entropy` expects the V scores on axis 1: (N, V), or (B, V, T). On which axis are yours?"),
        Mistake("a number without a past",
                lambda logits, ids: F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).item(),
                "The value is right, but `.item()` cuts it off from the model. What would `backward` start from?"),
        Mistake("no softmax at all", lambda logits, ids: F.nll_loss(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()),
                "`F.nll_loss` wants log-probabilities; these are raw scores. Which step is missing before it?"),
        Mistake("softmax over positions",
                lambda logits, ids: -logits[:, :-1].softmax(1).log().gather(-1, ids[:, 1:, None]).mean(),
                "The probabilities of one *token* over all positions add up to 1. What should add up to 1 at each position?"),
        Mistake("counting errors", lambda logits, ids: (logits[:, :-1].argmax(-1) != ids[:, 1:]).float().mean(),
                "This is the share of wrong guesses. It does not care how sure a guess was, and has no gradient. What measures surprise?"),
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
                "With one text it is right, with two the scores of one meet the labels of the other. In which order does flatten walk?"),
        Mistake("only the last guess", lambda logits, ids: F.cross_entropy(logits[:, -2], ids[:, -1]),
                "Only one position of each text is asked. How many questions does a text of T tokens hold?"),
        Mistake("probabilities for surprise", lambda logits, ids: 1 - logits[:, :-1].softmax(-1).gather(-1, ids[:, 1:, None]).mean(),
                "One minus the probability is not surprise: a certain error must cost without limit. Where is the logarithm?"),
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
                "Only the last position is asked, and for the token that it has read. How many questions does a text "
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
                "The logarithm of a probability is below zero. Which sign has a surprise?"),
        Mistake("one for each question", """def next_token_loss(logits, ids):
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten(), reduction='none')
""",
                "These are the surprises, one for each question. What makes one number of them?"),
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
    return f"At temperature 0 the scores {listed(logits.reshape(-1, logits.shape[-1])[0])} must become certainty of the largest."


temperature = Exercise(
    "06.4",
    goal="turn scores into probabilities, at a temperature",
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
    """softmax(logits / temperature) over the last axis; at temperature 0 all of it on the largest score.

    logits: (..., V), scores
    """
    ...
''',
    solution='''def probabilities(logits, temperature):
    """softmax(logits / temperature) over the last axis; at temperature 0 all of it on the largest score.

    logits: (..., V), scores
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
        "Hot means anything may happen, cold means the favourite wins. Should a high temperature spread the scores or draw them together?",
        "Scores first, softmax last: only softmax makes sure that the probabilities add up to 1. And what is a division by 0?",
        "An `if` for 0: `logits.argmax(-1)` and `F.one_hot(..., V).float()`. Otherwise divide, then `.softmax(-1)`.",
    ],
    explanation="Dividing the scores by a small number pulls them apart, and softmax turns a lead in scores into a multiple in probability. "
    "At 0 the division is impossible, but its limit is plain: the largest takes all.",
    properties=[
        Property("not a distribution", adds_up, "Which step makes them add up to 1, and is it the last?"),
        Property("not greedy at 0", greedy, "What becomes of softmax(logits / t) as t shrinks?"),
    ],
    mistakes=[
        Mistake("hot and cold swapped", lambda logits, temperature: (logits * temperature).softmax(-1),
                "At 0.5 it is flatter than at 1: it multiplies. Should cold make the favourite stronger or weaker?"),
        Mistake("too late", lambda logits, temperature: logits.softmax(-1) / max(temperature, 1e-9),
                "The probabilities were divided, not the scores. Do they still add up to 1?"),
        Mistake("no effect", lambda logits, temperature: logits.softmax(-1),
                "The answer is the same at every temperature. Where should it come in?"),
        Mistake("division by zero", lambda logits, temperature: (logits / temperature).softmax(-1),
                "At temperature 0 it divides by zero. What should happen there instead?"),
        Mistake("the winner's number", lambda logits, temperature: (logits / temperature).softmax(-1) if temperature else logits.argmax(-1),
                "At temperature 0 it gives the place of the largest. What are the probabilities of all V tokens then?"),
        Mistake("certainty in whole numbers",
                lambda logits, temperature: (logits / temperature).softmax(-1) if temperature else F.one_hot(logits.argmax(-1), logits.shape[-1]),
                "`one_hot` gives whole numbers, the other branch floats. Which dtype should both have?"),
        Mistake("scores, not probabilities", lambda logits, temperature: logits / max(temperature, 1e-9),
                "These are still scores: some are negative. What turns scores into probabilities?"),
        Mistake("the wrong axis", lambda logits, temperature: (logits / max(temperature, 1e-9)).softmax(0),
                "With two rows of scores, columns add up to 1. Along which axis does one choice lie?"),
        Mistake("no exponential",
                lambda logits, temperature: logits / logits.sum(-1, keepdim=True) if temperature else F.one_hot(logits.argmax(-1), logits.shape[-1]).float(),
                "Scores divided by their sum: the temperature cancels out, and negative scores give negative shares. What does softmax do first?"),
        Mistake("the outsider wins",
                lambda logits, temperature: (logits / temperature).softmax(-1) if temperature else F.one_hot(logits.argmin(-1), logits.shape[-1]).float(),
                "At temperature 0 all of it is on the smallest score. Which one does cold favour?"),
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
                "The probabilities were divided, not the scores. Do they still add up to 1?"),
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
                "At temperature 0 all are equally likely: that is the limit of great heat. What does cold do to the "
                "favourite?"),
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
                "With two rows of scores, columns add up to 1. Along which axis does one choice lie?"),
        Mistake("divided in place", """def probabilities(logits, temperature):
    if temperature == 0:
        return F.one_hot(logits.argmax(-1), logits.shape[-1]).float()
    logits /= temperature
    return logits.softmax(-1)
""",
                "`/=` writes into the scores that were handed in. Which operator makes new ones?"),
    ],
)  # fmt: skip
