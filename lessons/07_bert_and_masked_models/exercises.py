"""Lesson 07: the masked loss, BERT's input for two texts, and a text with each of its tokens masked in turn."""

import torch
from fmcourse.course.exercise import Exercise, Mistake, Property
from torch import Tensor
from torch.nn import functional as F

noise = lambda *shape, seed=0: torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
tokens = lambda *shape, seed=0, V=4: torch.randint(V, shape, generator=torch.Generator().manual_seed(seed))
chosen = lambda *shape, seed=0: torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < 0.4

# -- 07.1 the masked loss -------------------------------------------------------------------------------------------------


def only_selected(out: Tensor, case: tuple) -> bool | str:
    """With one position selected, the loss is the surprise at that position."""
    logits, ids, selected = case
    if selected.sum() != 1:
        return True
    wanted = -logits.log_softmax(-1)[selected][0, ids[selected][0]].item()
    return abs(float(out) - wanted) < 1e-4 or (
        f"One position is selected, and its true token costs {wanted:.3f} nats; the loss is {float(out):.3f}."
    )


one = torch.tensor([[False, True, False]])
masked = Exercise(
    "07.1",
    goal="the loss of masked language modelling",
    minutes=8,
    cases=[
        (torch.tensor([[[0.0, 0.0], [1.0, 0.0], [0.0, 3.0]]]), torch.tensor([[0, 1, 1]]), one),
        (noise(2, 5, 4, seed=1), tokens(2, 5, seed=2), chosen(2, 5, seed=3)),
        (2 * noise(3, 6, 5, seed=4), tokens(3, 6, seed=5, V=5), chosen(3, 6, seed=6)),
        (noise(2, 4, 3, seed=7).requires_grad_(), tokens(2, 4, seed=8, V=3), torch.tensor([[True] * 4, [True, False, False, False]])),
    ],
    starter='''def masked_loss(logits, ids, selected):
    """The mean cross-entropy, in nats, of the true tokens at the selected positions; the others count for nothing.

    logits: (B, T, V)   ids: (B, T), the text before masking   selected: (B, T) bool   ->   scalar
    """
    ...
''',
    solution='''def masked_loss(logits, ids, selected):
    """The mean cross-entropy, in nats, of the true tokens at the selected positions; the others count for nothing.

    logits: (B, T, V)   ids: (B, T), the text before masking   selected: (B, T) bool   ->   scalar
    """
    return F.cross_entropy(logits[selected], ids[selected])  # (N, V) and (N,), N selected positions
''',
    other_solutions=[
        lambda logits, ids, selected: F.cross_entropy(logits.mT, ids.masked_fill(~selected, -100)),
        "def masked_loss(logits, ids, selected):\n    log_p = logits.log_softmax(-1).gather(-1, ids[..., None])[..., 0]\n"
        "    return -(log_p * selected).sum() / selected.sum()\n",
    ],
    hints=[
        "Which positions are questions? What does the model learn from predicting a token that it can see?",
        "Index logits and ids with the same bool tensor: N rows of V logits, and N true tokens.",
        "`F.cross_entropy` takes (N, V) logits and (N,) targets, and averages over N.",
    ],
    explanation="`logits[selected]` keeps the N selected rows. Cross-entropy is the mean of -log p(true token) over them, so a text with few "
    "masks is not cheaper than one with many.",
    properties=[Property("not the selected position", only_selected, "Which positions enter the mean, and how many are they?")],
    mistakes=[
        Mistake("every position", lambda logits, ids, selected: F.cross_entropy(logits.flatten(0, 1), ids.flatten()),
                "All positions are averaged, also those where the token stands in the input. Which ones were selected?"),
        Mistake("the others", lambda logits, ids, selected: F.cross_entropy(logits[~selected], ids[~selected]),
                "It scores the positions that were *not* selected. What does True mean?"),
        Mistake("sum for mean", lambda logits, ids, selected: F.cross_entropy(logits[selected], ids[selected], reduction="sum"),
                "It is the sum over the selected positions. By how many must it be divided?"),
        Mistake("divided by all positions", lambda logits, ids, selected: (F.cross_entropy(logits.mT, ids, reduction="none") * selected).mean(),
                "Positions that are not selected add zero, but they are still counted in the mean. How many were selected?"),
        Mistake("a mean of means", lambda logits, ids, selected: torch.stack(
                    [F.cross_entropy(a[s], b[s]) for a, b, s in zip(logits, ids, selected, strict=True)]).mean(),
                "Each text is averaged first, so a question in a text with few of them weighs more. Over what is the mean?"),
        Mistake("no minus", lambda logits, ids, selected: -F.cross_entropy(logits[selected], ids[selected]),
                "It is negative: the mean log-probability. A loss falls when the model improves: which sign?"),
        Mistake("probability for its logarithm", lambda logits, ids, selected: -logits.softmax(-1)[selected].gather(-1, ids[selected][:, None]).mean(),
                "It averages probabilities. Cross-entropy is the mean of which function of them?"),
        Mistake("shifted by one", lambda logits, ids, selected: F.cross_entropy(logits[:, :-1][selected[:, 1:]], ids[:, 1:][selected[:, 1:]]),
                "The logits of the position before are compared with the token. That is a causal model's loss: where does a masked model predict?"),
        Mistake("not shifted but cut", lambda logits, ids, selected: F.cross_entropy(logits[:, :-1][selected[:, :-1]], ids[:, 1:][selected[:, :-1]]),
                "The target is the token after the selected one. Which token was hidden?"),
        Mistake("bits", lambda logits, ids, selected: F.cross_entropy(logits[selected], ids[selected]) / 0.6931471805599453,
                "It is in bits. In which unit was it asked?"),
        Mistake("softmax twice", lambda logits, ids, selected: F.cross_entropy(logits[selected].softmax(-1), ids[selected]),
                "`F.cross_entropy` applies the softmax itself, and here it gets probabilities. What does it expect?"),
        Mistake("logits set to zero", lambda logits, ids, selected: F.cross_entropy((logits * selected[..., None]).flatten(0, 1), ids.flatten()),
                "Zero logits are a uniform guess, which costs log V at every other position. How does a position leave the mean?"),
        Mistake("token 0 is ignored", lambda logits, ids, selected: F.cross_entropy(logits.flatten(0, 1), (ids * selected).flatten(), ignore_index=0),
                "0 marks what was not selected, but 0 is a token, too. Which label does cross-entropy skip by itself?"),
        Mistake("token 0 elsewhere", lambda logits, ids, selected: F.cross_entropy(logits.flatten(0, 1), (ids * selected).flatten()),
                "At every other position the target is now token 0. How does a position leave the mean?"),
        Mistake("accuracy", lambda logits, ids, selected: (logits.argmax(-1) == ids)[selected].float().mean(),
                "It is the share of tokens predicted correctly, which has no gradient. What is the loss?"),
        Mistake("divided by the number of texts", lambda logits, ids, selected: (F.cross_entropy(logits.mT, ids, reduction="none") * selected).sum() / len(ids),
                "The sum over the selected positions was divided by B, the number of texts. Of how many positions is it the sum?"),
        Mistake("divided by the length of a text", lambda logits, ids, selected: (F.cross_entropy(logits.mT, ids, reduction="none") * selected).sum() / ids.shape[1],
                "The sum over the selected positions was divided by T, the length of a text. Over how many positions is the mean?"),
        Mistake("the logarithm of a mean", lambda logits, ids, selected: -logits.softmax(-1)[selected].gather(-1, ids[selected][:, None]).mean().log(),
                "Probabilities were averaged first, and then came the logarithm. Which of the two is done at each position?"),
        Mistake("logits for log-probabilities", lambda logits, ids, selected: F.nll_loss(logits[selected], ids[selected]),
                "It averages minus the logit of the true token, so adding 1 to all logits changes it. What makes log-probabilities of logits?"),
        Mistake("softmax over the positions", lambda logits, ids, selected: -logits.log_softmax(1).gather(-1, ids[..., None])[..., 0][selected].mean(),
                "The probabilities at one position do not sum to 1, but those of one token over a text do. Which axis holds the vocabulary?"),
        Mistake("reshaped, not transposed", lambda logits, ids, selected: F.cross_entropy(logits.reshape(len(ids), -1, ids.shape[1]), ids.masked_fill(~selected, -100)),
                "(B, T, V) was reshaped to (B, V, T), which cuts the numbers anew and mixes positions with tokens. What swaps two axes?"),
        Mistake("every token of the vocabulary", lambda logits, ids, selected: -logits.log_softmax(-1)[selected].mean(),
                "All V log-probabilities of a position enter the mean. Which one of them is the true token's?"),
    ],
)  # fmt: skip

# -- 07.2 two texts in one input ------------------------------------------------------------------------------------------


def as_many_segments(out: tuple, case: tuple) -> bool | str:
    ids, segments = out
    wanted = len(case[0]) + len(case[1]) + 3
    return len(ids) == len(segments) == wanted or (
        f"{len(case[0])} and {len(case[1])} tokens with one [CLS] and two [SEP] are {wanted}; it gives {len(ids)} ids and {len(segments)} segments."
    )


def packed(first, second, cls, sep):
    return [cls, *first, sep, *second, sep], [0] * (len(first) + 2) + [1] * (len(second) + 1)


pair = Exercise(
    "07.2",
    goal="two texts in one input, as BERT reads them",
    minutes=8,
    cases=[([7], [8], 1, 2), ([7, 8, 9], [5, 6], 1, 2), ([4], [3, 9, 9, 3], 101, 102), ([5, 6], [], 1, 2), ([3, 4, 5], [3, 4, 5], 0, 9)],
    starter='''def pack_pair(first, second, cls, sep):
    """One input for two texts: [CLS] first [SEP] second [SEP]; and the segment of each token: 0 up to the first [SEP],
    which belongs to it, and 1 after it.

    first, second: lists of token ids   cls, sep: one id each   ->   (ids, segments), two lists of the same length
    """
    ...
''',
    solution='''def pack_pair(first, second, cls, sep):
    """One input for two texts: [CLS] first [SEP] second [SEP]; and the segment of each token: 0 up to the first [SEP],
    which belongs to it, and 1 after it.

    first, second: lists of token ids   cls, sep: one id each   ->   (ids, segments), two lists of the same length
    """
    left, right = [cls, *first, sep], [*second, sep]
    return left + right, [0] * len(left) + [1] * len(right)
''',
    other_solutions=[
        packed,
        "def pack_pair(first, second, cls, sep):\n    ids = [cls]\n    ids.extend(first)\n    ids.append(sep)\n    at = len(ids)\n"
        "    ids.extend(second)\n    ids.append(sep)\n    return ids, [int(n >= at) for n in range(len(ids))]\n",
    ],
    hints=[
        "Write the input of \"how are you\" and \"fine\" as words first. How many special tokens does it hold?",
        "The left part is [CLS], the first text, [SEP]; the right part is the second text and [SEP]. The segments say which part.",
        "`left = [cls, *first, sep]`, `right = [*second, sep]`; then `[0] * len(left) + [1] * len(right)`.",
    ],
    explanation="[SEP] ends each text; [CLS] stands once, in front, and its state is what a pair classifier reads. The segment embedding tells "
    "the two texts apart, because attention alone sees only one sequence.",
    properties=[Property("not as long as its parts", as_many_segments, "Which special tokens stand where, and which segment has each?")],
    mistakes=[
        Mistake("no [SEP] at the end", lambda first, second, cls, sep: (packed(first, second, cls, sep)[0][:-1], packed(first, second, cls, sep)[1][:-1]),
                "The second text has no end. What follows its last token?"),
        Mistake("the first [SEP] in segment 1", lambda first, second, cls, sep: (packed(first, second, cls, sep)[0], [0] * (len(first) + 1) + [1] * (len(second) + 2)),
                "The first [SEP] has segment 1. Which text does it end?"),
        Mistake("no [SEP] between", lambda first, second, cls, sep: ([cls, *first, *second, sep], [0] * (len(first) + 1) + [1] * (len(second) + 1)),
                "Nothing stands between the texts. What ends the first one?"),
        Mistake("no [CLS]", lambda first, second, cls, sep: (packed(first, second, cls, sep)[0][1:], packed(first, second, cls, sep)[1][1:]),
                "The first token is missing: the one whose state a pair classifier reads. Which is it?"),
        Mistake("[CLS] twice", lambda first, second, cls, sep: ([cls, *first, sep, cls, *second, sep], [0] * (len(first) + 2) + [1] * (len(second) + 2)),
                "Each text begins with [CLS] here. How often does it stand in one input?"),
        Mistake("counted from one", lambda first, second, cls, sep: (packed(first, second, cls, sep)[0], [1 + n for n in packed(first, second, cls, sep)[1]]),
                "The segments are 1 and 2. From which number are they counted?"),
        Mistake("segments the other way round", lambda first, second, cls, sep: (packed(first, second, cls, sep)[0], [1 - n for n in packed(first, second, cls, sep)[1]]),
                "The first text has segment 1 and the second 0. Which is which?"),
        Mistake("the last [SEP] in segment 0", lambda first, second, cls, sep: (packed(first, second, cls, sep)[0], [*packed(first, second, cls, sep)[1][:-1], 0]),
                "The last [SEP] has segment 0. Which text does it end?"),
        Mistake("one segment", lambda first, second, cls, sep: (packed(first, second, cls, sep)[0], [0] * len(packed(first, second, cls, sep)[0])),
                "Every token has segment 0. How does the model know where the second text is?"),
        Mistake("segments of the words alone", lambda first, second, cls, sep: (packed(first, second, cls, sep)[0], [0] * len(first) + [1] * len(second)),
                "The special tokens have no segment. How many numbers must the second list have?"),
        Mistake("positions for segments", lambda first, second, cls, sep: (packed(first, second, cls, sep)[0], list(range(len(first) + len(second) + 3))),
                "The second list counts the positions. What does a segment say?"),
        Mistake("the other order", lambda first, second, cls, sep: packed(first, second, cls, sep)[::-1],
                "It gives (segments, ids). Which comes first?"),
        Mistake("the second text first", lambda first, second, cls, sep: packed(second, first, cls, sep),
                "The second text stands first. In which order are they wanted?"),
        Mistake("[CLS] and [SEP] swapped", lambda first, second, cls, sep: packed(first, second, sep, cls),
                "It begins with [SEP] and ends with [CLS]. Which of them stands in front?"),
        Mistake("a list in the list", lambda first, second, cls, sep: ([cls, first, sep, second, sep], [0, 0, 0, 1, 1]),
                "The texts are lists inside the list. How are their tokens put in one by one?"),
        Mistake("segment 1 begins too late", lambda first, second, cls, sep: (packed(first, second, cls, sep)[0], [0] * (len(first) + 3) + [1] * len(second)),
                "The first token after [SEP] has segment 0. Which text is it of?"),
    ],
)  # fmt: skip

# -- 07.3 each token masked in turn ---------------------------------------------------------------------------------------


def one_mask_a_row(out: Tensor, case: tuple) -> bool | str:
    ids, mask = case
    if out.shape != (len(ids), len(ids)):
        return True
    for row, text in enumerate(out):
        if (changed := int((text != ids).sum())) != 1:
            return f"Copy {row} differs from the text at {changed} positions; one of them should be masked."
    return True


def grown(ids, mask):
    copies, text = [], ids.clone()
    for t in range(len(ids)):
        text[t] = mask
        copies.append(text.clone())
    return torch.stack(copies)


eye = lambda ids: torch.eye(len(ids), dtype=torch.bool)
each = Exercise(
    "07.3",
    goal="a text with each of its tokens masked in turn",
    minutes=8,
    cases=[(torch.tensor([5, 6, 7]), 9), (torch.tensor([4]), 0), (torch.tensor([3, 3, 2, 1]), 27), (torch.tensor([8, 6, 4, 2, 5, 7]), 3)],
    starter='''def mask_each(ids, mask):
    """T copies of a text of T tokens. Copy t has `mask` in place of token t; its other tokens are as in the text.

    ids: (T,)   mask: one id   ->   (T, T), copy t in row t
    """
    ...
''',
    solution='''def mask_each(ids, mask):
    """T copies of a text of T tokens. Copy t has `mask` in place of token t; its other tokens are as in the text.

    ids: (T,)   mask: one id   ->   (T, T), copy t in row t
    """
    copies = ids.repeat(len(ids), 1)      # (T, T): memory of its own, so that `ids` stays as it is
    return copies.fill_diagonal_(mask)
''',
    other_solutions=[
        lambda ids, mask: torch.where(eye(ids), mask, ids),
        lambda ids, mask: ids.expand(len(ids), -1).masked_fill(eye(ids), mask),
        "def mask_each(ids, mask):\n    copies = []\n    for t in range(len(ids)):\n        copy = ids.clone()\n        copy[t] = mask\n"
        "        copies.append(copy)\n    return torch.stack(copies)\n",
    ],
    hints=[
        "To ask how likely token 3 is, given all the others, which input does the model need? And for token 4?",
        "Row t of a square differs from the text in column t: the diagonal.",
        "`ids.repeat(T, 1)` makes T copies with memory of their own; `fill_diagonal_` writes on the diagonal.",
    ],
    explanation="Each row asks one question with everything else in sight, so T tokens need T rows: a masked model scores a text in T passes, a "
    "causal one in a single pass.",
    properties=[Property("not one mask in a copy", one_mask_a_row, "Which token of copy t is hidden, and which are not?")],
    mistakes=[
        Mistake("all but one", lambda ids, mask: torch.where(eye(ids), ids, mask),
                "Copy t keeps token t and hides all others. Which one is asked about?"),
        Mistake("the future too", lambda ids, mask: ids.repeat(len(ids), 1).masked_fill(torch.ones(len(ids), len(ids)).triu().bool(), mask),
                "Copy t hides token t and everything after it, so that the model reads from the left alone. What may a masked model see?"),
        Mistake("the future, and not itself", lambda ids, mask: ids.repeat(len(ids), 1).masked_fill(torch.ones(len(ids), len(ids)).triu(1).bool(), mask),
                "Copy t hides what comes after token t, and shows token t itself. Which one is asked about?"),
        Mistake("the past, and not itself", lambda ids, mask: ids.repeat(len(ids), 1).masked_fill(torch.ones(len(ids), len(ids)).tril(-1).bool(), mask),
                "Copy t hides what comes before token t, and shows token t itself. Which one is asked about, and what may stay?"),
        Mistake("the past too", grown,
                "Masks pile up: copy t hides all tokens up to t. Where does each copy begin anew?"),
        Mistake("everything", lambda ids, mask: torch.full((len(ids), len(ids)), mask),
                "Everything is masked in every copy. What should the model read?"),
        Mistake("nothing but zeros", lambda ids, mask: torch.diag(torch.full((len(ids),), mask)),
                "Off the diagonal stands 0. Which tokens should stand there?"),
        Mistake("from the right", lambda ids, mask: ids.repeat(len(ids), 1).masked_fill(eye(ids).flip(1), mask),
                "Copy 0 hides the last token. Which diagonal is it?"),
        Mistake("one too late", lambda ids, mask: ids.repeat(len(ids), 1).masked_fill(eye(ids).roll(1, 1), mask),
                "Copy t hides token t + 1, and the last copy the first token. Which row asks about which token?"),
        Mistake("the token is taken out", """def mask_each(ids, mask):
    return torch.stack([torch.cat([ids[:t], ids[t + 1 :]]) for t in range(len(ids))])
""",
                "Token t is removed, so the model cannot tell that one is missing. What stands in its place?"),
        Mistake("a mask is put in", """def mask_each(ids, mask):
    return torch.stack([torch.cat([ids[:t], torch.tensor([mask]), ids[t:]]) for t in range(len(ids))])
""",
                "The mask stands *before* token t, which is still there. What does it replace?"),
        Mistake("always the first", lambda ids, mask: ids.repeat(len(ids), 1).index_fill(1, torch.tensor([0]), mask),
                "Every copy hides token 0. Which one hides token 1?"),
        Mistake("the copies are columns", lambda ids, mask: torch.where(eye(ids), mask, ids[:, None]),
                "Each row holds the same token T times: the copies stand in columns. Along which axis does a text run?"),
        Mistake("a list of copies", """def mask_each(ids, mask):
    copies = []
    for t in range(len(ids)):
        copy = ids.clone()
        copy[t] = mask
        copies.append(copy)
    return copies
""",
                "The copies are right, but they are a list. What makes one tensor of them?"),
        Mistake("nothing is masked", lambda ids, mask: ids.repeat(len(ids), 1),
                "The copies are all the text itself. What does copy t hide?"),
        Mistake("equal tokens too", lambda ids, mask: torch.where(ids == ids[:, None], mask, ids),
                "Where a token stands twice in the text, both are hidden. Is it the value or the position that is asked about?"),
        Mistake("zero for the mask", lambda ids, mask: ids.repeat(len(ids), 1).masked_fill(eye(ids), 0),
                "Token t is replaced by 0, which is a token too. Which id stands for a hidden one?"),
        Mistake("only in the first copy", """def mask_each(ids, mask):
    copies = ids.repeat(len(ids), 1)
    copies[0, 0] = mask
    return copies
""",
                "Only copy 0 hides a token, as when a loop returns in its first round. What do the other copies ask?"),
    ],
)  # fmt: skip
