"""Lesson 12: text and images: which belong together, who is among the first k, a picture that stands before the words, a way between two pictures."""

import math

import torch
from fmcourse.course.exercise import Exercise, Mistake, Property
from torch import Tensor
from torch.nn import functional as F

noise = lambda *shape, seed=0: torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
unit = lambda x: F.normalize(x, dim=-1)

# -- 12.1 which belong together? ------------------------------------------------------------------------------------------


def one_number(out: Tensor, case: tuple) -> bool | str:
    return out.numel() == 1 or f"One number is to be made smaller; it returns {tuple(out.shape)}."


def of_scores(cost, scores=lambda a, b, s: s * unit(a) @ unit(b).T):
    """A near miss: `cost` of scores and the right answers, in scores made as they should be or not."""
    return lambda pictures, phrases, sharpness: cost(
        scores(pictures, phrases, sharpness), torch.arange(len(pictures), device=pictures.device)
    )


both_ways = lambda s, right: (F.cross_entropy(s, right) + F.cross_entropy(s.T, right)) / 2
match = Exercise(
    "12.1",
    goal="which belong together?",
    minutes=12,
    difficulty=2,
    cases=[
        (torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [0.6, 0.8]]), 2.0),
        (torch.tensor([[2.0, 0.0], [0.0, 5.0], [3.0, 3.0]]), torch.tensor([[1.0, 0.5], [0.0, 0.1], [1.0, 0.9]]), 1.0),
        (noise(4, 3), noise(4, 3, seed=1), 10.0),
        (noise(7, 5, seed=2).requires_grad_(), noise(7, 5, seed=3).requires_grad_(), 4.0),
        (noise(3, 8, seed=4), noise(3, 8, seed=5), 0.5),
    ],
    starter='''def match_loss(pictures, phrases, sharpness):
    """Row i of the pictures belongs to row i of the phrases. Which phrase is each picture's, by cosine, and which
    picture is each phrase's?

    pictures, phrases: (B, D), of any length   sharpness: cosines are multiplied by it
    ->   scalar, in nats, the mean of both questions
    """
    ...
''',
    solution='''def match_loss(pictures, phrases, sharpness):
    """Row i of the pictures belongs to row i of the phrases. Which phrase is each picture's, by cosine, and which
    picture is each phrase's?

    pictures, phrases: (B, D), of any length   sharpness: cosines are multiplied by it
    ->   scalar, in nats, the mean of both questions
    """
    scores = sharpness * F.normalize(pictures, dim=-1) @ F.normalize(phrases, dim=-1).T    # (B, B)
    right = torch.arange(len(scores))                                                      # in row i it is column i
    return (F.cross_entropy(scores, right) + F.cross_entropy(scores.T, right)) / 2
''',
    other_solutions=[
        "def match_loss(pictures, phrases, sharpness):\n    a = pictures / pictures.norm(dim=1, keepdim=True)\n    b = phrases / phrases.norm(dim=1, keepdim=True)\n"
        "    s = torch.einsum('id,jd->ij', a, b) * sharpness\n    rows, columns = s.log_softmax(1).diag(), s.log_softmax(0).diag()\n"
        "    return -(rows + columns).mean() / 2\n",
        lambda pictures, phrases, sharpness: (
            (
                (s := sharpness * F.cosine_similarity(pictures[:, None], phrases[None], dim=-1)).logsumexp(0)
                + s.logsumexp(1)
            ).mean()
            / 2
            - s.diagonal().mean()
        ),
    ],
    hints=[
        "Picture 3 is asked: which of these B phrases is yours? That is a choice among B, like the next word among V. What are the scores, what is the answer?",
        "All cosines at once are one product of matrices, (B, B), once both have length 1. Rows ask for phrases. What do columns ask for?",
        "`scores = sharpness * F.normalize(pictures, dim=-1) @ F.normalize(phrases, dim=-1).T`, then `F.cross_entropy` of scores and of `scores.T`, each with `torch.arange(B)`.",
    ],
    explanation="Nobody wrote B - 1 wrong answers for each picture: the other pairs of the batch are the wrong answers. Cosine, so that no tower wins by being loud; "
    "a sharpness, since cosines alone lie between -1 and 1, far too flat for a choice among many; both ways, so that search works from either side.",
    properties=[Property("no single number", one_number, "What does a loss look like?")],
    mistakes=[
        Mistake("pictures alone are asked", of_scores(lambda s, right: F.cross_entropy(s, right)),
                "Each picture looks for its phrase, but no phrase for its picture. Which axis is never asked?"),
        Mistake("phrases alone are asked", of_scores(lambda s, right: F.cross_entropy(s.T, right)),
                "Each phrase looks for its picture, but no picture for its phrase. Which axis is never asked?"),
        Mistake("a sum of both questions", of_scores(lambda s, right: 2 * both_ways(s, right)),
                "With nothing learnt it costs 2 log B. What does one guess among B cost, on average over both questions?"),
        Mistake("lengths count", of_scores(both_ways, lambda a, b, s: s * a @ b.T),
                "Make one picture's vector twice as long, and the loss changes. Is that a cosine?"),
        Mistake("divided by sharpness", of_scores(both_ways, lambda a, b, s: unit(a) @ unit(b).T / s),
                "The sharper, the flatter: it divides where it should multiply. Is this number a temperature?"),
        Mistake("no sharpness", of_scores(both_ways, lambda a, b, s: unit(a) @ unit(b).T),
                "It costs the same whatever `sharpness` is. Where does it come in?"),
        Mistake("softmax before the loss", of_scores(lambda s, right: (F.cross_entropy(s.softmax(1), right) + F.cross_entropy(s.T.softmax(1), right)) / 2),
                "Even a perfect match costs something. `cross_entropy` makes probabilities itself: what was handed to it?"),
        Mistake("only the right ones pull", of_scores(lambda s, right: -s.diagonal().mean()),
                "Pairs are drawn together and nothing pushes the others apart. What would keep all vectors from becoming one?"),
        Mistake("squared distance of the pairs", lambda a, b, s: (unit(a) - unit(b)).square().sum(1).mean(),
                "It compares each picture with its own phrase alone. Against what should the phrase win?"),
        Mistake("the whole table at once", of_scores(lambda s, right: (s.logsumexp((0, 1)) - s.diagonal()).mean()),
                "It is one choice among all B² pairs. Among how many does one picture choose?"),
        Mistake("the numbers of a batch have length 1", of_scores(both_ways, lambda a, b, s: s * F.normalize(a, dim=0) @ F.normalize(b, dim=0).T),
                "One picture's vector changes when another joins the batch. Along which axis does one vector lie?"),
        Mistake("yes or no for each pair", of_scores(lambda s, right: F.binary_cross_entropy_with_logits(s, torch.eye(len(s)))),
                "Each of the B² pairs is judged by itself (real systems do that too: SigLIP, 2023). Here one of B is chosen: what must the scores of a row compete for?"),
        Mistake("each is compared with its own kind", lambda a, b, s: (of_scores(lambda x, r: F.cross_entropy(x, r))(a, a, s) + of_scores(lambda x, r: F.cross_entropy(x, r))(b, b, s)) / 2,
                "Pictures are compared with pictures, phrases with phrases. Whom should a picture look for?"),
        Mistake("sharpness as a logarithm", lambda a, b, s: of_scores(both_ways)(a, b, math.exp(s)),
                "It multiplies by e to the sharpness. Is the number given a logarithm?"),
        Mistake("a sum over the batch", of_scores(lambda s, right: len(s) * both_ways(s, right)),
                "A larger batch costs more because it has more rows. Sum or mean?"),
        Mistake("the length of the whole table", """def match_loss(pictures, phrases, sharpness):
    scores = sharpness * (pictures / pictures.norm()) @ (phrases / phrases.norm()).T
    right = torch.arange(len(scores))
    return (F.cross_entropy(scores, right) + F.cross_entropy(scores.T, right)) / 2
""",
                "`norm()` without an axis is the length of all rows together. How long should each row be?"),
        Mistake("softmax along rows, then both ways", """def match_loss(pictures, phrases, sharpness):
    scores = sharpness * F.normalize(pictures, dim=-1) @ F.normalize(phrases, dim=-1).T
    scores = scores.softmax(-1)
    right = torch.arange(len(scores))
    return (F.cross_entropy(scores, right) + F.cross_entropy(scores.T, right)) / 2
""",
                "`cross_entropy` makes probabilities itself, along rows and along columns. What was handed to it?"),
        Mistake("sharpened twice", """def match_loss(pictures, phrases, sharpness):
    scores = (sharpness * F.normalize(pictures, dim=-1)) @ (sharpness * F.normalize(phrases, dim=-1)).T
    right = torch.arange(len(scores))
    return (F.cross_entropy(scores, right) + F.cross_entropy(scores.T, right)) / 2
""",
                "Both sides were multiplied by it, so cosines are multiplied by its square. How often should it come "
                "in?"),
        Mistake("one side of length 1", """def match_loss(pictures, phrases, sharpness):
    scores = sharpness * F.normalize(pictures, dim=-1) @ phrases.T
    right = torch.arange(len(scores))
    return (F.cross_entropy(scores, right) + F.cross_entropy(scores.T, right)) / 2
""",
                "The pictures have length 1, the phrases have not. By what does a cosine divide?"),
        Mistake("squares of the lengths", """def match_loss(pictures, phrases, sharpness):
    lengths = pictures.square().sum(1)[:, None] * phrases.square().sum(1)
    scores = sharpness * (pictures @ phrases.T) / lengths
    right = torch.arange(len(scores))
    return (F.cross_entropy(scores, right) + F.cross_entropy(scores.T, right)) / 2
""",
                "It divides by the squares of the lengths. Which root is missing?"),
        Mistake("how many were right", """def match_loss(pictures, phrases, sharpness):
    scores = F.normalize(pictures, dim=-1) @ F.normalize(phrases, dim=-1).T
    return (scores.argmax(1) == torch.arange(len(scores))).float().mean()
""",
                "That is the share of right answers. It has no gradient, and does not care how sure an answer was: "
                "what measures surprise?"),
    ],
)  # fmt: skip

# -- 12.2 among the first k -----------------------------------------------------------------------------------------------


def a_share(out, case: tuple) -> bool | str:
    return 0 <= float(out) <= 1 or f"It is {float(out):.3g}, and a share lies between 0 and 1."


def hits(scores: Tensor, right: Tensor, k: int) -> Tensor:
    """(N, k) bool: which of the first k are right?"""
    return right.gather(1, scores.topk(min(k, scores.shape[1]), dim=1).indices)


def case(seed: int, n: int, m: int, k: int, share: float = 0.2) -> tuple[Tensor, Tensor, int]:
    right = torch.rand(n, m, generator=torch.Generator().manual_seed(seed)) < share
    right[:, seed % m] |= ~right.any(1)
    return noise(n, m, seed=seed + 10), right, k


recall = Exercise(
    "12.2",
    goal="among the first k",
    minutes=8,
    difficulty=1,
    cases=[
        (torch.tensor([[0.9, 0.5, 0.1], [0.2, 0.1, 0.8]]), torch.tensor([[False, True, False], [False, False, True]]), 1),
        (torch.tensor([[0.9, 0.5, 0.1], [0.2, 0.1, 0.8]]), torch.tensor([[False, True, False], [False, True, False]]), 2),
        (torch.tensor([[0.4, 0.3, 0.2, 0.1]]), torch.tensor([[True, False, False, True]]), 2),
        (torch.tensor([[0.3, 0.9], [0.8, 0.1], [0.2, 0.7]]), torch.tensor([[False, False], [True, False], [True, False]]), 1),
        case(1, 8, 8, 3), case(2, 12, 9, 1), case(3, 30, 10, 4, 0.4), case(5, 6, 20, 5),
    ],
    starter='''def recall_at(scores, right, k):
    """Share of the rows in which at least one of the k highest scores belongs to a right answer.

    scores: (N, M), a row for each question   right: (N, M) bool   k: whole, at most M   ->   a number from 0 to 1
    """
    ...
''',
    solution='''def recall_at(scores, right, k):
    """Share of the rows in which at least one of the k highest scores belongs to a right answer.

    scores: (N, M), a row for each question   right: (N, M) bool   k: whole, at most M   ->   a number from 0 to 1
    """
    first = scores.topk(k, dim=1).indices                       # (N, k): where they stand
    return right.gather(1, first).any(1).float().mean().item()
''',
    other_solutions=[
        "def recall_at(scores, right, k):\n    found = 0\n    for row, on in zip(scores.tolist(), right.tolist()):\n"
        "        order = sorted(range(len(row)), key=lambda i: -row[i])[:k]\n        found += any(on[i] for i in order)\n    return found / len(scores)\n",
        lambda scores, right, k: ((scores.masked_fill(~right, -torch.inf).amax(1, keepdim=True) < scores).sum(1) < k).double().mean().item(),
        lambda scores, right, k: torch.take_along_dim(right, scores.argsort(1, descending=True), 1)[:, :k].any(1).float().mean().item(),
    ],
    hints=[
        "Somebody types a phrase and looks at k pictures. When is that person content?",
        "Where in each row are the k highest scores? Is `right` true at one of these places? In which share of the rows?",
        "`scores.topk(k, dim=1).indices`, `right.gather(1, ...)`, `.any(1)`, mean.",
    ],
    explanation="One looks at k answers and is content with one that fits. Several may fit (a bus, an oncoming bus), so it asks whether *any* of the first k does. "
    "By chance it is about k times the share of right answers, so a number without its chance level says nothing.",
    properties=[Property("no share", a_share, "Share of what is asked for?")],
    mistakes=[
        Mistake("the first alone", lambda scores, right, k: hits(scores, right, 1).any(1).float().mean().item(),
                "It looks at the best answer, whatever k is. What is k for?"),
        Mistake("precision", lambda scores, right, k: hits(scores, right, k).float().mean().item(),
                "It is the share of right ones among the k, so one hit among ten counts a tenth. When is one who searches content?"),
        Mistake("share of the right ones", lambda scores, right, k: (hits(scores, right, k).sum(1) / right.sum(1)).mean().item(),
                "Where two answers are right and one is found, it counts a half. Must all be found?"),
        Mistake("all of them must be right", lambda scores, right, k: hits(scores, right, k).all(1).float().mean().item(),
                "It wants every one of the k to be right. Is one enough?"),
        Mistake("the lowest", lambda scores, right, k: hits(-scores, right, k).any(1).float().mean().item(),
                "It takes the k *lowest* scores. Which way does the order go?"),
        Mistake("columns for rows", lambda scores, right, k: right.T.gather(1, scores.T.topk(min(k, len(scores)), dim=1).indices).any(1).float().mean().item(),
                "It ranks the questions for each answer. Along which axis do the answers lie?"),
        Mistake("one too many", lambda scores, right, k: hits(scores, right, k + 1).any(1).float().mean().item(),
                "It looks at k + 1 answers. How many places are there before place k + 1?"),
        Mistake("one too few", lambda scores, right, k: hits(scores, right, k - 1).any(1).float().mean().item() if k > 1 else 0.0,
                "A right answer at place k is missed. Does the slice reach it?"),
        Mistake("no order at all", lambda scores, right, k: right[:, :k].any(1).float().mean().item(),
                "It takes the first k as they stand, whatever their scores. What decides who is first?"),
        Mistake("all questions at once", lambda scores, right, k: hits(scores, right, k).any().float().item(),
                "It is 1 as soon as one question is answered. Along which axis is *any* asked?"),
        Mistake("how many, not which share", lambda scores, right, k: hits(scores, right, k).any(1).float().sum().item(),
                "It grows with the number of questions. Sum or mean?"),
        Mistake("questions without an answer left out", """def recall_at(scores, right, k):
    first = scores.topk(k, dim=1).indices
    found = right.gather(1, first).any(1)
    return (found.sum() / right.any(1).sum()).item()
""", "A question to which nothing is right is not counted, so the share is too high. Share of which rows was asked for?"),
        Mistake("nothing to find counts as found", """def recall_at(scores, right, k):
    first = scores.topk(k, dim=1).indices
    found = right.gather(1, first).any(1) | ~right.any(1)
    return found.float().mean().item()
""", "A question to which nothing is right counts as answered. Does one of its k highest scores belong to a right answer?"),
        Mistake("one right answer alone", """def recall_at(scores, right, k):
    label = right.float().argmax(1)
    first = scores.topk(k, dim=1).indices
    return (first == label[:, None]).any(1).float().mean().item()
""", "`argmax` finds the first right answer of a row and forgets the others. May there be several, or none?"),
        Mistake("share of all right answers", """def recall_at(scores, right, k):
    first = scores.topk(k, dim=1).indices
    return (right.gather(1, first).sum() / right.sum()).item()
""", "It is the share of the right answers that were found, all rows together. When is *one* question answered?"),
        Mistake("the diagonal is right", """def recall_at(scores, right, k):
    first = scores.topk(k, dim=1).indices
    return (first == torch.arange(len(scores))[:, None]).any(1).float().mean().item()
""", "It takes answer i for the right one to question i, and never looks at `right`. What does `right` say?"),
        Mistake("scores times right", """def recall_at(scores, right, k):
    best = (scores * right).amax(1)
    kth = scores.topk(k, dim=1).values[:, -1]
    return (best >= kth).float().mean().item()
""", "Times False a score becomes 0, and 0 may be among the highest. Which score is below all others?"),
        Mistake("every row's columns", """def recall_at(scores, right, k):
    first = scores.topk(k, dim=1).indices
    return right[:, first].any(-1).float().mean().item()
""", "`right[:, first]` looks up each row's places in *every* row. How does one take from each row its own places?"),
    ],
)  # fmt: skip

# -- 12.3 a picture before the words --------------------------------------------------------------------------------------


def trail(x: Tensor) -> Tensor:
    """A causal stack that anyone can follow: half of what was, and what is new. (B, L, W) -> (B, L, W)."""
    rows, state = [], torch.zeros_like(x[:, 0])
    for t in range(x.shape[1]):
        state = 0.5 * state + x[:, t]
        rows.append(state)
    return torch.stack(rows, 1)


def scores_of(x: Tensor) -> Tensor:
    """A head: three words, (B, L, 2) -> (B, L, 3). It bends, or it could stand before the stack as well."""
    return 3 * (x @ torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, -1.0]]) / 3).tanh()


def one_more_than_words(out: Tensor, case: tuple) -> bool | str:
    T = case[1].shape[1]
    return out.shape[1] == T + 1 or (
        f"{T} words are there, so {T + 1} can be asked for: each of them, and the one after; it gives {out.shape[1]}."
    )


def first_word_is_asked(out: Tensor, case: tuple) -> bool | str:
    prefix, words, stack, head = case
    if out.shape[1] != words.shape[1] + 1:
        return True
    alone = head(stack(prefix))[:, -1]
    return torch.allclose(out[:, 0], alone, atol=1e-4) or (
        "The first word must be told by the picture alone; its scores depend on something else."
    )


def built(order, cut):
    """A near miss: `order` of picture and words, `cut` of what comes out."""
    return lambda prefix, words, stack, head: cut(head(stack(order(prefix, words))), prefix.shape[1])


before = lambda prefix, words: torch.cat([prefix, words], 1)
prefixed = Exercise(
    "12.3",
    goal="a picture before the words",
    minutes=10,
    difficulty=2,
    cases=[
        (torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[0.0, 1.0], [0.0, 2.0]]]), trail, scores_of),
        (torch.tensor([[[1.0, 0.0], [0.0, 4.0]]]), torch.tensor([[[2.0, 1.0]]]), trail, scores_of),
        (noise(2, 3, 2), noise(2, 4, 2, seed=1), trail, scores_of),
        (noise(1, 4, 2, seed=2).requires_grad_(), noise(1, 2, 2, seed=3), trail, scores_of),
        (noise(3, 2, 2, seed=4), torch.zeros(3, 0, 2), trail, scores_of),
    ],
    starter='''def after_picture(prefix, words, stack, head):
    """Scores of each word of a caption, and of the one that would come after it, told by the picture and by the words
    before.

    prefix: (B, P, W), the picture as P places   words: (B, T, W), embedded   stack: causal, (B, L, W) -> (B, L, W)
    head: (B, L, W) -> scores (B, L, V)   ->   (B, T + 1, V)
    """
    ...
''',
    solution='''def after_picture(prefix, words, stack, head):
    """Scores of each word of a caption, and of the one that would come after it, told by the picture and by the words
    before.

    prefix: (B, P, W), the picture as P places   words: (B, T, W), embedded   stack: causal, (B, L, W) -> (B, L, W)
    head: (B, L, W) -> scores (B, L, V)   ->   (B, T + 1, V)
    """
    states = stack(torch.cat([prefix, words], dim=1))     # (B, P + T, W)
    return head(states[:, prefix.shape[1] - 1:])          # the picture's last place asks for the first word
''',
    other_solutions=[
        lambda prefix, words, stack, head: head(stack(torch.cat([prefix, words], 1)))[:, -(words.shape[1] + 1) :],
        "def after_picture(prefix, words, stack, head):\n    P, T = prefix.shape[1], words.shape[1]\n    out = head(stack(torch.hstack([prefix, words])))\n"
        "    return torch.stack([out[:, i] for i in range(P - 1, P + T)], 1)\n",
    ],
    hints=[
        "A causal model says at each position what comes next. At which position is the first word next?",
        "Put the picture's places before the words, run stack and head. P + T positions come out. Which of them ask for a word?",
        "`torch.cat([prefix, words], dim=1)`, and of what comes out `[:, prefix.shape[1] - 1:]`.",
    ],
    explanation="A language model goes on with what stands before. So the picture is made to stand before, in vectors of the words' width; nothing else in the model "
    "changes. Position P - 1, the picture's last, asks for the first word, so no start token is needed; the last word asks for the end.",
    properties=[Property("not one score more than words", one_more_than_words, "Which position asks for the first word, and which for the end?"),
                Property("the first word knows too much", first_word_is_asked, "At which position has the model seen the whole picture, and no word yet?")],
    mistakes=[
        Mistake("the picture after the words", built(lambda p, w: torch.cat([w, p], 1), lambda out, P: out[:, P - 1 :]),
                "The words stand first, so none of them can be told by the picture. What does a causal model look at?"),
        Mistake("one position late", built(before, lambda out, P: out[:, P:]),
                "Nobody asks for the first word: it begins where that word is already read. At which position is it next?"),
        Mistake("the picture is asked too", built(before, lambda out, P: out),
                "Scores come for every place of the picture. Which of its places is followed by a word?"),
        Mistake("without an end", built(before, lambda out, P: out[:, P - 1 : -1]),
                "After the last word nothing is asked. How would a caption know that it is over?"),
        Mistake("the last alone", built(before, lambda out, P: out[:, -1:]),
                "Only the word after all others is asked for. From what would the others be learnt?"),
        Mistake("the picture in one place", built(lambda p, w: torch.cat([p.mean(1, keepdim=True), w], 1), lambda out, P: out),
                "The picture's places are averaged into one. Who decided that where something is does not matter?"),
        Mistake("the picture added to every word", lambda prefix, words, stack, head: head(stack(torch.cat([prefix[:, -1:], words + prefix.mean(1, keepdim=True)], 1))),
                "The picture is mixed into the words. Where do its places stand, if it is a prefix?"),
        Mistake("the words do not follow", lambda prefix, words, stack, head: head(torch.cat([stack(prefix)[:, -1:], stack(words)], 1)),
                "Picture and words go through the stack apart, so a later word never sees the picture. In which sequence do both stand?"),
        Mistake("the picture back to front", built(lambda p, w: torch.cat([p.flip(1), w], 1), lambda out, P: out[:, P - 1 :]),
                "The picture's places are turned round. In which order were they given?"),
        Mistake("cut before the stack", """def after_picture(prefix, words, stack, head):
    joined = torch.cat([prefix, words], 1)[:, prefix.shape[1] - 1 :]
    return head(stack(joined))
""",
                "All places of the picture but the last are cut off *before* the stack, which never sees them. When "
                "should be cut?"),
        Mistake("the stack left out", """def after_picture(prefix, words, stack, head):
    return head(torch.cat([prefix, words], 1))[:, prefix.shape[1] - 1 :]
""",
                "No place has looked at any other. What makes a word's scores depend on the words before?"),
        Mistake("the head before the stack", """def after_picture(prefix, words, stack, head):
    return stack(head(torch.cat([prefix, words], 1)))[:, prefix.shape[1] - 1 :]
""",
                "Scores were made of each place by itself, and the stack mixes scores. Which comes first?"),
        Mistake("the head left out", """def after_picture(prefix, words, stack, head):
    return stack(torch.cat([prefix, words], 1))[:, prefix.shape[1] - 1 :]
""",
                "These are states, W wide. What makes scores of them?"),
        Mistake("probabilities for scores", """def after_picture(prefix, words, stack, head):
    return head(stack(torch.cat([prefix, words], 1)))[:, prefix.shape[1] - 1 :].softmax(-1)
""",
                "They add up to 1: these are probabilities. What was asked for?"),
        Mistake("cut by the batch", """def after_picture(prefix, words, stack, head):
    return head(stack(torch.cat([prefix, words], 1)))[:, len(prefix) - 1 :]
""",
                "`len(prefix)` is how many pictures there are. Which size says how many places one has?"),
        Mistake("as many as words", """def after_picture(prefix, words, stack, head):
    return head(stack(torch.cat([prefix, words], 1)))[:, -words.shape[1] :]
""",
                "The last T places are kept, and nobody asks for the first word. How many questions are T words, and "
                "the end?"),
        Mistake("side by side", """def after_picture(prefix, words, stack, head):
    return head(stack(torch.cat([prefix, words], -1)))[:, prefix.shape[1] - 1 :]
""",
                "Picture and words were joined along their width, or along the batch. Along which axis do places follow one another?"),
    ],
)  # fmt: skip


# -- 12.4 half way between two pictures -----------------------------------------------------------------------------------


def of_length_one(out: Tensor, case: tuple) -> bool | str:
    lengths = out.norm(dim=-1)
    worst = lengths[(lengths - 1).abs().argmax()].item()
    return abs(worst - 1) < 1e-3 or f"One of the vectors it returns has length {worst:.3g}."


def a_row_for_each(out: Tensor, case: tuple) -> bool | str:
    wanted = (len(case[2]), len(case[0]))
    return (
        tuple(out.shape) == wanted
        or f"For {wanted[0]} shares and vectors of {wanted[1]} numbers it returns {tuple(out.shape)}."
    )


def arc(share=lambda s: s, angle=lambda a, b: torch.acos((a @ b).clamp(-1, 1)), last=lambda rows: rows):
    """The right answer, or a near miss: `share` of the way, the `angle` of the whole way, and what is done at the end."""

    def way(a, b, shares):
        whole, s = angle(a, b), share(shares)[:, None]
        return last((torch.sin((1 - s) * whole) * a + torch.sin(s * whole) * b) / torch.sin(whole))

    return way


straight = lambda a, b, shares: (1 - shares[:, None]) * a + shares[:, None] * b
ends = lambda *rows: tuple(F.normalize(torch.tensor(row, dtype=torch.float), dim=-1) for row in rows)

between = Exercise(
    "12.4",
    goal="from one picture to another, along the sphere",
    minutes=12,
    difficulty=2,
    cases=[
        (*ends((1, 0), (0, 1)), torch.tensor([0.0, 0.5, 1.0])),
        (*ends((1, 0), (0, 1)), torch.tensor([1 / 3])),
        (*ends((1, 0), (-1, 1)), torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0])),
        (*ends((1, 2, 2), (2, 1, -2)), torch.tensor([0.1, 0.9])),
        (*ends((1, 0, 0, 0), (1, 1, 1, 1)), torch.tensor([0.2, 0.4])),
    ],
    starter='''def between(a, b, shares):
    """Unit vectors on the way from a to b along the sphere: share 0 is a, 1 is b, and equal shares are equal turns.

    With θ the angle between a and b:  sin((1 - s) θ) / sin θ · a  +  sin(s θ) / sin θ · b.
    a, b: (D,), length 1   shares: (N,), from 0 to 1   ->   (N, D)
    """
    ...
''',
    solution='''def between(a, b, shares):
    """Unit vectors on the way from a to b along the sphere: share 0 is a, 1 is b, and equal shares are equal turns.

    With θ the angle between a and b:  sin((1 - s) θ) / sin θ · a  +  sin(s θ) / sin θ · b.
    a, b: (D,), length 1   shares: (N,), from 0 to 1   ->   (N, D)
    """
    angle, s = torch.acos(a @ b), shares[:, None]           # s (N, 1), so that it multiplies rows
    return (torch.sin((1 - s) * angle) * a + torch.sin(s * angle) * b) / torch.sin(angle)
''',
    other_solutions=[
        "def between(a, b, shares):\n    c = b - (a @ b) * a\n    c = c / c.norm()\n    angle = torch.atan2(b @ c, a @ b)\n"
        "    return torch.stack([torch.cos(s * angle) * a + torch.sin(s * angle) * c for s in shares])\n",
        lambda a, b, shares: torch.stack(
            [arc()(a, b, share[None])[0] for share in shares]
        ),
        "def between(a, b, shares):\n    angle = math.acos(float((a * b).sum()))\n    rows = []\n    for s in shares.tolist():\n"
        "        rows.append((math.sin((1 - s) * angle) * a + math.sin(s * angle) * b) / math.sin(angle))\n    return torch.stack(rows)\n",
    ],
    hints=[
        "Draw two arrows of length 1 from one point. Which curve do the tips of all arrows of length 1 between them lie on? What is a quarter of the way there?",
        "The cosine of the angle is the product a @ b. Then only the two factors are missing, one for each of the shares.",
        "`angle = torch.acos(a @ b)`, `s = shares[:, None]`, and `(torch.sin((1 - s) * angle) * a + torch.sin(s * angle) * b) / torch.sin(angle)`.",
    ],
    explanation="The vectors of pictures lie on a sphere. The straight line between two of them cuts through its inside, where no picture's vector ever lay, "
    "and the network that draws was never told anything there. Along the sphere each step turns by the same angle. Shoemake 1985 gave the formula; DALL-E 2 "
    "walks between pictures like this.",
    properties=[
        Property("another shape", a_row_for_each, "Is there a row for each share, as long as a?"),
        Property("not of length 1", of_length_one, "The network that draws knows unit vectors only. Which angle do your sines take, and by what are both divided?"),
    ],
    mistakes=[
        Mistake("straight through the inside", straight,
                "It walks in a straight line. How long is the vector in the middle, and was the painter ever told one like that?"),
        Mistake("straight, then stretched", lambda a, b, shares: F.normalize(straight(a, b, shares), dim=-1),
                "Each vector has length 1, but the steps are not equal: it turns slowly near the ends and fast in the middle. By how much should each share turn?"),
        Mistake("from b to a", arc(share=lambda s: 1 - s),
                "At share 0 it stands at b. Where should it begin?"),
        Mistake("the cosine as the angle", arc(angle=lambda a, b: a @ b + 1e-7),
                "The product of two unit vectors is the *cosine* of their angle. How do you get from a cosine to its angle?"),
        Mistake("an angle in degrees", arc(angle=lambda a, b: torch.rad2deg(torch.acos(a @ b))),
                "Sine and cosine in torch count in radians. In which unit is your angle?"),
        Mistake("not divided by the sine", lambda a, b, shares: arc()(a, b, shares) * torch.sin(torch.acos(a @ b)),
                "At share 0 it should be a itself. By what is a multiplied there?"),
        Mistake("both factors with s", lambda a, b, shares: torch.sin(shares[:, None] * torch.acos(a @ b)) * (a + b) / torch.sin(torch.acos(a @ b)),
                "Both ends grow with s. What should become of a's share while b's grows?"),
        Mistake("half the angle", arc(angle=lambda a, b: torch.acos(a @ b) / 2),
                "It takes half the angle. What is the angle between a and b themselves?"),
        Mistake("the inverse of the wrong function", arc(angle=lambda a, b: torch.asin(a @ b) + 1e-7),
                "a @ b is the cosine of the angle. Of which function must the inverse be taken?"),
        Mistake("always a right angle", lambda a, b, shares: torch.cos(shares[:, None] * math.pi / 2) * a + torch.sin(shares[:, None] * math.pi / 2) * b,
                "It turns by a right angle whatever a and b are. Where does their own angle come in?"),
        Mistake("sines of the shares alone", lambda a, b, shares: torch.sin(1 - shares)[:, None] * a + torch.sin(shares)[:, None] * b,
                "A share is no angle. By what must it be multiplied before the sine?"),
        Mistake("divided by the angle", lambda a, b, shares: arc()(a, b, shares) * torch.sin(torch.acos(a @ b)) / torch.acos(a @ b),
                "For small angles that is nearly right. By what must it be divided so that share 0 is exactly a?"),
        Mistake("it never leaves a", lambda a, b, shares: a.expand(len(shares), -1),
                "Every share gives a. Where do the shares come in?"),
        Mistake("cosines in place of sines", lambda a, b, shares: torch.cos(shares[:, None] * torch.acos(a @ b)) * a + torch.sin(shares[:, None] * torch.acos(a @ b)) * b,
                "That would be right if a and b were at a right angle. What if they are not?"),
        Mistake("only one factor divided", """def between(a, b, shares):
    angle, s = torch.acos(a @ b), shares[:, None]
    return torch.sin((1 - s) * angle) * a + torch.sin(s * angle) * b / torch.sin(angle)
""",
                "`/` takes b's factor alone. Where do brackets belong?"),
        Mistake("one minus a sine", """def between(a, b, shares):
    angle, s = torch.acos(a @ b), shares[:, None]
    return ((1 - torch.sin(s * angle)) * a + torch.sin(s * angle) * b) / torch.sin(angle)
""",
                "The 1 stands outside the sine. One minus the share, or one minus its sine?"),
        Mistake("the angle outside the sine", """def between(a, b, shares):
    angle, s = torch.acos(a @ b), shares[:, None]
    return (torch.sin(1 - s) * angle * a + torch.sin(s) * angle * b) / torch.sin(angle)
""",
                "The sine is taken of the share, and the angle multiplies afterwards. What is the sine to be taken "
                "of?"),
        Mistake("the length of the whole table", """def between(a, b, shares):
    s = shares[:, None]
    way = (1 - s) * a + s * b
    return way / way.norm()
""",
                "`norm()` without an axis is the length of all rows together, and the way is straight. How long "
                "should each row be?"),
        Mistake("the cosine as it is", """def between(a, b, shares):
    angle, s = a @ b, shares[:, None]
    return (torch.sin((1 - s) * angle) * a + torch.sin(s * angle) * b) / torch.sin(angle)
""",
                "The product of two unit vectors is the *cosine* of their angle, and 0 at a right one: 0/0. How do "
                "you get from a cosine to its angle?"),
        Mistake("the arc of a sine", """def between(a, b, shares):
    angle, s = torch.asin(a @ b), shares[:, None]
    return (torch.sin((1 - s) * angle) * a + torch.sin(s * angle) * b) / torch.sin(angle)
""",
                "a @ b is the cosine of the angle, not its sine. Of which function must the inverse be taken?"),
        Mistake("shares without an axis", """def between(a, b, shares):
    angle = torch.acos(a @ b)
    return (torch.sin((1 - shares) * angle) * a + torch.sin(shares * angle) * b) / torch.sin(angle)
""",
                "The N shares meet the D numbers of a. What gives each share a row of its own?"),
        Mistake("a column for each share", """def between(a, b, shares):
    angle, s = torch.acos(a @ b), shares[None]
    return (torch.sin((1 - s) * angle) * a[:, None] + torch.sin(s * angle) * b[:, None]) / torch.sin(angle)
""",
                "It is (D, N): each share has a column. Which axis should count the shares?"),
    ],
)  # fmt: skip
