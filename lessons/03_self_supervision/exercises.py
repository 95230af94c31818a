"""Lesson 03, self-supervision: masked tokens, span corruption, InfoNCE, and the prefix mask."""

import torch
from fmcourse.course.exercise import Exercise, Mistake, Property
from torch import Tensor
from torch.nn import functional as F

noise = lambda *shape, seed=0: torch.randn(*shape, generator=torch.Generator().manual_seed(seed))

# -- 03.1 masked tokens ---------------------------------------------------------------------------------------------------


def hiding(rows: int, length: int, seed: int, rate: float) -> tuple:
    """A case: ids from 0 to 19 and 99 for [MASK], with random numbers on every side of each limit."""
    g = torch.Generator().manual_seed(seed)
    draw, fate = torch.rand(2, rows, length, generator=g)
    ids = torch.randint(20, (rows, length), generator=g)
    return ids, draw, fate, (ids + torch.randint(1, 20, ids.shape, generator=g)) % 20, 99, rate


def one_row(rate: float) -> tuple:
    """The smallest case: eight tokens, four selected, one of them replaced at random, one kept."""
    draw = torch.tensor([[0.9, 0.1, 0.8, 0.2, 0.1, 0.7, 0.3, 0.95]])
    fate = torch.tensor([[0.1, 0.5, 0.95, 0.85, 0.95, 0.85, 0.2, 0.5]])
    return torch.arange(1, 9)[None], draw, fate, torch.arange(11, 19)[None], 99, rate


def on_the_limits() -> tuple:
    """Numbers that are exactly rate, 0.8 and 0.9; in double, where they are what they are called."""
    draw = torch.tensor([[0.5, 0.1, 0.25, 0.4, 0.6]], dtype=torch.float64)
    fate = torch.tensor([[0.1, 0.8, 0.9, 0.5, 0.9]], dtype=torch.float64)
    return torch.arange(1, 6)[None], draw, fate, torch.arange(11, 16)[None], 99, 0.5


def kept_where_not_selected(out: tuple, case: tuple) -> bool | str:
    (inputs, selected), ids = out, case[0]
    spoilt = (inputs != ids) & ~selected
    return not spoilt.any() or f"{int(spoilt.sum())} tokens were changed that are not selected."


def so_many(out: tuple, case: tuple) -> bool | str:
    selected, wanted = int(out[1].sum()), int((case[1] < case[5]).sum())
    return selected == wanted or f"`draw` is below the rate {case[5]} in {wanted} places; {selected} are selected."


def wrong_hide(
    selected=lambda draw, rate: draw < rate, masked=lambda fate: fate < 0.8, swapped=lambda fate: fate >= 0.9
):
    """A wrong answer out of three rules."""

    def wrong(ids, draw, fate, other, mask, rate):
        chosen = selected(draw, rate)
        return torch.where(chosen & swapped(fate), other, ids.masked_fill(chosen & masked(fate), mask)), chosen

    return wrong


def only_changed(ids, draw, fate, other, mask, rate):
    inputs, _ = wrong_hide()(ids, draw, fate, other, mask, rate)
    return inputs, inputs != ids


def everywhere(ids, draw, fate, other, mask, rate):
    return torch.where(fate >= 0.9, other, ids.masked_fill(fate < 0.8, mask)), draw < rate


hidden = Exercise(
    "03.1",
    goal="mask tokens as BERT does",
    minutes=10,
    difficulty=2,
    cases=[one_row(0.5), hiding(3, 12, 1, 0.4), hiding(2, 40, 2, 0.15), hiding(4, 16, 3, 0.7), on_the_limits()],
    starter='''def hide_tokens(ids, draw, fate, other, mask, rate):
    """Masked language modelling: select a token as a label where `draw` is below `rate`. Of the selected tokens, those
    with `fate` below 0.8 become `mask`, those with `fate` from 0.9 on become the token in `other`, the rest stay. Other
    tokens stay, too.
    ids, other (B, T) tokens; draw, fate (B, T) random numbers in [0, 1)  ->  inputs (B, T), selected (B, T) bool
    """
    ...
''',
    solution='''def hide_tokens(ids, draw, fate, other, mask, rate):
    """Masked language modelling: select a token as a label where `draw` is below `rate`. Of the selected tokens, those
    with `fate` below 0.8 become `mask`, those with `fate` from 0.9 on become the token in `other`, the rest stay. Other
    tokens stay, too.
    ids, other (B, T) tokens; draw, fate (B, T) random numbers in [0, 1)  ->  inputs (B, T), selected (B, T) bool
    """
    selected = draw < rate
    inputs = ids.masked_fill(selected & (fate < 0.8), mask)
    return torch.where(selected & (fate >= 0.9), other, inputs), selected
''',
    other_solutions=[
        "def hide_tokens(ids, draw, fate, other, mask, rate):\n    inputs, selected = ids.clone(), draw < rate\n"
        "    inputs[selected & (fate < 0.8)] = mask\n    swap = selected & (fate >= 0.9)\n    inputs[swap] = other[swap]\n    return inputs, selected\n",
        "def hide_tokens(ids, draw, fate, other, mask, rate):\n    shown = torch.where(fate < 0.8, torch.full_like(ids, mask), torch.where(fate < 0.9, ids, other))\n"
        "    selected = draw.lt(rate)\n    return torch.where(selected, shown, ids), selected\n",
    ],
    hints=[
        "Two questions, one after the other: is this token selected as a label (`draw`)? If it is, what does the model read there (`fate`)?",
        "`selected` is one comparison. A token turns into `mask` where `selected` is True *and* `fate` is small; `masked_fill` does it without touching `ids`.",
        "`selected = draw < rate`; `ids.masked_fill(selected & (fate < 0.8), mask)`; then `torch.where(selected & (fate >= 0.9), other, ...)`.",
    ],
    explanation="`draw` selects the labels, `fate` decides what the model reads in their places. A token that stays as it is can be a label, too: so the "
    "model can never be sure that a token it reads is the true one, and must represent every token by its context.",
    properties=[
        Property("changed without being selected", kept_where_not_selected, "Which tokens may be changed at all?"),
        Property("another number selected", so_many, "Which tokens are selected, those that changed or those that were drawn?"),
    ],
    mistakes=[
        Mistake("always [MASK]", wrong_hide(lambda draw, rate: draw < rate, lambda fate: fate < 2, lambda fate: fate > 2),
                "Every selected token became [MASK]. In later use there is no [MASK]: when is the model trained on ordinary tokens?"),
        Mistake("none replaced at random", wrong_hide(swapped=lambda fate: fate > 2),
                "No token was taken from `other`. If every readable token were the true one, would the model still check it against its context?"),
        Mistake("none kept", wrong_hide(swapped=lambda fate: fate >= 0.8),
                "All selected tokens that were not masked were replaced from `other`: a fifth, and none stayed. Where does the last tenth begin?"),
        Mistake("none kept, nine of ten masked", wrong_hide(masked=lambda fate: fate < 0.9),
                "Selected tokens with a fate from 0.8 to 0.9 became [MASK], and none stayed. What should become of them?"),
        Mistake("80 and 20 the wrong way round", wrong_hide(masked=lambda fate: fate >= 0.9, swapped=lambda fate: fate < 0.8),
                "Most became another token and few became [MASK]. Which fate is that of the 80 percent?"),
        Mistake("only changed tokens are labels", only_changed,
                "A selected token that stayed as it was is no label. How could the model then learn that a readable token may be the true one?"),
        Mistake("fate applied to all tokens", everywhere,
                "Tokens were changed that are not selected, nine in ten of the whole text. Which two conditions must hold together?"),
        Mistake("selection inverted", wrong_hide(selected=lambda draw, rate: draw >= rate),
                "Selected are the tokens whose `draw` is *not* below the rate. If the rate is 0.15, how many of a hundred tokens should be labels?"),
        Mistake("selected by fate", wrong_hide(selected=lambda draw, rate: draw < rate * 0.8),
                "Too few are selected: 0.8 entered the selection. Does 0.8 say which tokens are labels, or what the model reads there?"),
        Mistake("exactly 0.9 stays", """def hide_tokens(ids, draw, fate, other, mask, rate):
    selected = draw < rate
    inputs = ids.masked_fill(selected & (fate < 0.8), mask)
    return torch.where(selected & (fate > 0.9), other, inputs), selected
""", "A fate of exactly 0.9 stays here. \"From 0.9 on\": does that hold 0.9 itself?"),
        Mistake("exactly 0.8 is masked", """def hide_tokens(ids, draw, fate, other, mask, rate):
    selected = draw < rate
    inputs = ids.masked_fill(selected & (fate <= 0.8), mask)
    return torch.where(selected & (fate >= 0.9), other, inputs), selected
""", "A fate of exactly 0.8 is masked here. \"Below 0.8\": does that hold 0.8 itself?"),
        Mistake("exactly the rate is selected", """def hide_tokens(ids, draw, fate, other, mask, rate):
    selected = draw <= rate
    inputs = ids.masked_fill(selected & (fate < 0.8), mask)
    return torch.where(selected & (fate >= 0.9), other, inputs), selected
""", "A draw of exactly the rate is selected here. \"Below\": does that hold the rate itself?"),
        Mistake("replaced without being selected", """def hide_tokens(ids, draw, fate, other, mask, rate):
    selected = draw < rate
    inputs = ids.masked_fill(selected & (fate < 0.8), mask)
    return torch.where(fate >= 0.9, other, inputs), selected
""", "Only selected tokens are masked, but every token with a fate from 0.9 on is replaced. Which two conditions must hold?"),
        Mistake("the middle replaced, the end kept", """def hide_tokens(ids, draw, fate, other, mask, rate):
    selected = draw < rate
    inputs = ids.masked_fill(selected & (fate < 0.8), mask)
    return torch.where(selected & (fate >= 0.8) & (fate < 0.9), other, inputs), selected
""", "The tenth from 0.8 to 0.9 is replaced, and the last tenth stays. Which of the two does the docstring replace?"),
        Mistake("above the rate", """def hide_tokens(ids, draw, fate, other, mask, rate):
    selected = draw > rate
    inputs = ids.masked_fill(selected & (fate < 0.8), mask)
    return torch.where(selected & (fate >= 0.9), other, inputs), selected
""", "Selected are the tokens whose `draw` is *above* the rate. If the rate is 0.15, how many of a hundred tokens should be labels?"),
        Mistake("draws its own random tokens", """def hide_tokens(ids, draw, fate, other, mask, rate):
    selected = draw < rate
    inputs = ids.masked_fill(selected & (fate < 0.8), mask)
    drawn = torch.randint(0, mask, ids.shape)
    return torch.where(selected & (fate >= 0.9), drawn, inputs), selected
""", "It draws random tokens itself. They were drawn already: which input holds them?"),
        Mistake("the two in the wrong order", """def hide_tokens(ids, draw, fate, other, mask, rate):
    selected = draw < rate
    inputs = ids.masked_fill(selected & (fate < 0.8), mask)
    return selected, torch.where(selected & (fate >= 0.9), other, inputs)
""", "Both are right, but in the wrong order. Which one does the docstring return first?"),
        Mistake("written into ids", """def hide_tokens(ids, draw, fate, other, mask, rate):
    selected = draw < rate
    ids[selected & (fate < 0.8)] = mask
    swap = selected & (fate >= 0.9)
    ids[swap] = other[swap]
    return ids, selected
""", "The tokens of the caller are overwritten. From where would the labels be taken afterwards?"),
    ],
)  # fmt: skip

# -- 03.2 spans -----------------------------------------------------------------------------------------------------------


def all_there(out: tuple, case: tuple) -> bool | str:
    """Sentinels apart, every token is either in the source or in the target, and only there."""
    tokens = [t for part in out for t in part if not (t.startswith("<") and t.endswith(">"))]
    missing = [t for t in case[0] if tokens.count(t) < case[0].count(t)]
    double = [t for t in dict.fromkeys(tokens) if tokens.count(t) > case[0].count(t)]
    if missing:
        return f"{missing[0]!r} is neither in the source nor in the target."
    return not double or f"{double[0]!r} occurs twice: a model that reads the source need not predict it."


def spans_by(
    mark=lambda n: f"<{n}>", close=True, shift=0, keep=False, marks_in_source=True, marks_in_target=True, each=False
):
    """A wrong answer out of small habits."""

    def wrong(tokens, spans):
        source, target, last = [], [], 0
        for n, (start, end) in enumerate(spans):
            end += shift
            source += (
                tokens[last:start]
                + [mark(n)] * marks_in_source * (end - start if each else 1)
                + tokens[start:end] * keep
            )
            target += [mark(n)] * marks_in_target + tokens[start:end]
            last = end
        return source + tokens[last:], target + [mark(len(spans))] * close

    return wrong


right_spans = spans_by()
cut_spans = Exercise(
    "03.2",
    goal="span corruption, as in T5",
    minutes=12,
    difficulty=2,
    cases=[
        (["to", "be", "or", "not"], [(1, 3)]),
        (["thank", "you", "for", "inviting", "me", "to", "your", "party", "last", "week"], [(2, 4), (8, 9)]),
        (list("abcdefgh"), [(0, 2), (3, 4), (6, 8)]),
        (list("abcde"), [(0, 1), (1, 3)]),
        (list("abc"), []),
    ],
    starter='''def cut_spans(tokens, spans):
    """Source: the tokens, with a sentinel "<0>", "<1>", ... in place of each span. Target: each sentinel followed by
    the tokens of its span, and at the end the next sentinel, which marks the end.
    tokens: list of words   spans: list of (start, end), end not included, in order   ->   (source, target), lists
    """
    ...
''',
    solution='''def cut_spans(tokens, spans):
    """Source: the tokens, with a sentinel "<0>", "<1>", ... in place of each span. Target: each sentinel followed by
    the tokens of its span, and at the end the next sentinel, which marks the end.
    tokens: list of words   spans: list of (start, end), end not included, in order   ->   (source, target), lists
    """
    source, target, last = [], [], 0
    for n, (start, end) in enumerate(spans):
        source += tokens[last:start] + [f"<{n}>"]   # what is kept, then one sentinel, however long the span
        target += [f"<{n}>"] + tokens[start:end]
        last = end
    return source + tokens[last:], target + [f"<{len(spans)}>"]
''',
    other_solutions=[
        "def cut_spans(tokens, spans):\n    source = list(tokens)\n    for n, (start, end) in reversed(list(enumerate(spans))):\n"
        "        source[start:end] = [f'<{n}>']\n    target = [t for n, (a, b) in enumerate(spans) for t in ['<' + str(n) + '>', *tokens[a:b]]]\n"
        "    return source, [*target, f'<{len(spans)}>']\n",
        "def cut_spans(tokens, spans):\n    starts, inside = {a: n for n, (a, b) in enumerate(spans)}, {i for a, b in spans for i in range(a, b)}\n"
        "    source, target = [], []\n    for i, token in enumerate(tokens):\n        if i in starts:\n            source.append(f'<{starts[i]}>')\n"
        "            target.append(f'<{starts[i]}>')\n        (target if i in inside else source).append(token)\n"
        "    target.append(f'<{len(spans)}>')\n    return source, target\n",
    ],
    hints=[
        "What is cut out of the text, in order, is the target. How can the model tell which span belongs in which gap?",
        "Go through the spans and remember where the last one ended. Before each span, copy what is kept; then a sentinel goes into both lists.",
        "`source += tokens[last:start] + [f\"<{n}>\"]`, `target += [f\"<{n}>\"] + tokens[start:end]`, `last = end`; after the loop the rest and the last sentinel.",
    ],
    explanation="Each token goes into exactly one of the two lists, each sentinel into both: it ties a span to its gap. One sentinel stands for a whole "
    "span, so the model is not told how long it was, and the source gets shorter, which makes training cheaper.",
    properties=[Property("a token lost or doubled", all_there, "Which tokens belong in the source, and which in the target?")],
    mistakes=[
        Mistake("no last sentinel", spans_by(close=False), "The target ends with a word. How would the model know that nothing more follows?"),
        Mistake("a sentinel for each token", spans_by(each=True),
                "There are as many sentinels as hidden words, so the source tells how long a gap is. How many sentinels does T5 use for a span?"),
        Mistake("one sentinel for all", spans_by(mark=lambda n: "<0>"), "All sentinels are alike. Which span belongs in which gap?"),
        Mistake("counted from one", spans_by(mark=lambda n: f"<{n + 1}>"), "The first sentinel is <1>. Where does counting begin here?"),
        Mistake("one token too many", spans_by(shift=1), "The span takes in the token at `end`. Does `end` still belong to it?"),
        Mistake("left in the source", spans_by(keep=True), "The span has a sentinel, but its tokens are still in the source. What is left to predict?"),
        Mistake("no sentinel in the source", spans_by(marks_in_source=False), "The source has no sentinel at the gap. How does the model know that something is missing, and where?"),
        Mistake("no sentinels in the target", spans_by(marks_in_target=False), "The spans run into one another. Where does one end and the next begin?"),
        Mistake("target before source", lambda tokens, spans: right_spans(tokens, spans)[::-1], "Both are right, but in the wrong order. Which does the model read, and which does it write?"),
        Mistake("the rest is lost", """def cut_spans(tokens, spans):
    source, target, last = [], [], 0
    for n, (start, end) in enumerate(spans):
        source += tokens[last:start] + [f"<{n}>"]
        target += [f"<{n}>"] + tokens[start:end]
        last = end
    return source, target + [f"<{len(spans)}>"]
""", "The tokens after the last span are in neither list. Where do they go after the loop?"),
        Mistake("from the beginning each time", """def cut_spans(tokens, spans):
    source, target, last = [], [], 0
    for n, (start, end) in enumerate(spans):
        source += tokens[last:start] + [f"<{n}>"]
        target += [f"<{n}>"] + tokens[start:end]
    return source + tokens[last:], target + [f"<{len(spans)}>"]
""", "`last` stays 0, so each piece of the source begins with the first token. What must it become after a span?"),
        Mistake("positions that have shifted", """def cut_spans(tokens, spans):
    source, target = list(tokens), []
    for n, (start, end) in enumerate(spans):
        target += [f"<{n}>"] + tokens[start:end]
        source[start:end] = [f"<{n}>"]
    return source, target + [f"<{len(spans)}>"]
""", "Once a span is replaced by one sentinel, all that follows has shifted to the left. At which end could one begin instead?"),
        Mistake("a last sentinel in the source, too", """def cut_spans(tokens, spans):
    source, target, last = [], [], 0
    for n, (start, end) in enumerate(spans):
        source += tokens[last:start] + [f"<{n}>"]
        target += [f"<{n}>"] + tokens[start:end]
        last = end
    return source + tokens[last:] + [f"<{len(spans)}>"], target + [f"<{len(spans)}>"]
""", "The last sentinel is at the end of the source, too. Is there a gap?"),
        Mistake("a last sentinel too far", """def cut_spans(tokens, spans):
    source, target, last = [], [], 0
    for n, (start, end) in enumerate(spans):
        source += tokens[last:start] + [f"<{n}>"]
        target += [f"<{n}>"] + tokens[start:end]
        last = end
    return source + tokens[last:], target + [f"<{len(spans) + 1}>"]
""", "A sentinel is skipped before the last one. After <0> and <1>, which is the next?"),
        Mistake("a list in the list", """def cut_spans(tokens, spans):
    source, target, last = [], [], 0
    for n, (start, end) in enumerate(spans):
        source += tokens[last:start]
        source.append(f"<{n}>")
        target.append(f"<{n}>")
        target.append(tokens[start:end])
        last = end
    return source + tokens[last:], target + [f"<{len(spans)}>"]
""", "A span is in the target as a list of its own. `append` adds one item: what adds all items of a list?"),
        Mistake("the sentinel behind its words", """def cut_spans(tokens, spans):
    source, target, last = [], [], 0
    for n, (start, end) in enumerate(spans):
        source += tokens[last:start] + [f"<{n}>"]
        target += tokens[start:end] + [f"<{n}>"]
        last = end
    return source + tokens[last:], target + [f"<{len(spans)}>"]
""", "In the target a sentinel comes after its words. Which comes first, the name of the gap or what fills it?"),
        Mistake("no spans, no sentinel", """def cut_spans(tokens, spans):
    source, target, last = [], [], 0
    for n, (start, end) in enumerate(spans):
        source += tokens[last:start] + [f"<{n}>"]
        target += [f"<{n}>"] + tokens[start:end]
        last = end
    return source + tokens[last:], target + [f"<{n + 1}>"]
""", "Without a span the loop never runs, and `n` does not exist. Which number has the last sentinel, given the number of spans?"),
        Mistake("other names for the sentinels", """def cut_spans(tokens, spans):
    source, target, last = [], [], 0
    for n, (start, end) in enumerate(spans):
        source += tokens[last:start] + [f"<extra_id_{n}>"]
        target += [f"<extra_id_{n}>"] + tokens[start:end]
        last = end
    return source + tokens[last:], target + [f"<extra_id_{len(spans)}>"]
""", "The sentinels are named as T5's tokenizer names them. What are they called in the docstring?"),
    ],
)  # fmt: skip

# -- 03.3 pairs -----------------------------------------------------------------------------------------------------------


def at_chance(out: Tensor, case: tuple) -> bool | str:
    a, b, temperature = case
    if not (torch.equal(a[:1].expand_as(a), a) and torch.equal(b[:1].expand_as(b), b)):
        return True
    chance = torch.tensor(float(len(a))).log()
    return torch.allclose(out.detach().cpu().float(), chance, atol=1e-3) or (
        f"Where all vectors are equal, all {len(a)} candidates are equally likely, and the loss is log {len(a)} = {chance:.3f}; here it is {float(out):.3g}."
    )


cosines = lambda a, b, temperature: F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T / temperature
rows = lambda scores: F.cross_entropy(scores, torch.arange(len(scores)))
both = lambda scores: (rows(scores) + rows(scores.T)) / 2


def no_self(a, b, temperature):
    scores = cosines(a, b, temperature)
    others = scores.masked_fill(torch.eye(len(a), dtype=torch.bool), -torch.inf)
    return ((others.logsumexp(1) + others.logsumexp(0)) / 2 - scores.diag()).mean()


pairs = Exercise(
    "03.3",
    goal="the InfoNCE loss",
    minutes=12,
    difficulty=3,
    cases=[
        (torch.eye(2) + 0.1, torch.tensor([[2.0, 1.0], [0.5, 1.0]]), 0.5),
        (torch.ones(4, 3), torch.ones(4, 3), 0.1),
        (noise(5, 8), noise(5, 8, seed=1), 0.2),
        ((3 * noise(7, 4, seed=2)).requires_grad_(), noise(7, 4, seed=3), 1.5),
        (noise(6, 6, seed=4), noise(6, 6, seed=4) + 0.5 * noise(6, 6, seed=5), 0.1),
    ],
    starter='''def info_nce(a, b, temperature):
    """Row i of `a` and row i of `b` are a positive pair, all others are negative pairs. The logits are the cosine
    similarities divided by the temperature. Returns the mean of two cross-entropies, in nats: finding the partner of
    each row of `a` among the rows of `b`, and of each row of `b` among the rows of `a`.
    a, b (B, D)  ->  scalar
    """
    ...
''',
    solution='''def info_nce(a, b, temperature):
    """Row i of `a` and row i of `b` are a positive pair, all others are negative pairs. The logits are the cosine
    similarities divided by the temperature. Returns the mean of two cross-entropies, in nats: finding the partner of
    each row of `a` among the rows of `b`, and of each row of `b` among the rows of `a`.
    a, b (B, D)  ->  scalar
    """
    logits = F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T / temperature  # (B, B): each of a with each of b
    labels = torch.arange(len(a))                                             # the positive pairs are the diagonal
    return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2
''',
    other_solutions=[
        "def info_nce(a, b, temperature):\n    a, b = a / a.norm(dim=1, keepdim=True), b / b.norm(dim=1, keepdim=True)\n    s = a @ b.T / temperature\n"
        "    return -(s.log_softmax(0).diagonal().mean() + s.log_softmax(1).diagonal().mean()) / 2\n",
        lambda a, b, temperature: ((cosines(a, b, temperature).logsumexp(0) + cosines(a, b, temperature).logsumexp(1)) / 2 - F.cosine_similarity(a, b) / temperature).mean(),
        "def info_nce(a, b, temperature):\n    s = F.cosine_similarity(a[:, None], b[None], dim=-1) / temperature\n    right = torch.arange(a.shape[0])\n"
        "    return torch.stack([F.nll_loss(m.log_softmax(1), right) for m in (s, s.mT)]).mean()\n",
    ],
    hints=[
        "It is a classification of B views into B classes, and you know which class is right for each. Which loss belongs to that?",
        "First a matrix of logits, (B, B). The label of row i is i. Then transpose it for the other direction.",
        "`F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T / temperature`; `F.cross_entropy(logits, torch.arange(len(a)))`, the same with `logits.T`, and half of their sum.",
    ],
    explanation="The cosine similarities of all with all are the logits; the diagonal holds the positive pairs. Cross-entropy along a row finds the partner "
    "of a row of `a`, along a column that of a row of `b`. The other rows of the batch serve as negatives at no extra cost: that is why large batches help.",
    properties=[Property("the loss of guessing", at_chance, "What is the cross-entropy of a uniform guess among B candidates?")],
    mistakes=[
        Mistake("dot products", lambda a, b, temperature: both(a @ b.T / temperature),
                "A longer vector gets a higher logit, so length counts as similarity. What does a cosine divide by?"),
        Mistake("one direction only", lambda a, b, temperature: rows(cosines(a, b, temperature)), "Only the direction from `a` to `b` is there. What about the direction from `b` to `a`?"),
        Mistake("the other direction only", lambda a, b, temperature: rows(cosines(a, b, temperature).T), "Only the direction from `b` to `a` is there. What about the direction from `a` to `b`?"),
        Mistake("times the temperature", lambda a, b, temperature: both(cosines(a, b, 1 / temperature)),
                "A low temperature makes the distribution flatter here. Should a low temperature enlarge differences or shrink them?"),
        Mistake("no temperature", lambda a, b, temperature: both(cosines(a, b, 1.0)), "The temperature makes no difference. Where does it come in?"),
        Mistake("positive pairs only", lambda a, b, temperature: -(F.cosine_similarity(a, b) / temperature).mean(),
                "Positive pairs are drawn together and nothing keeps the others apart: equal vectors for everything would be perfect. Where are the negative pairs?"),
        Mistake("the positive is not among the candidates", no_self,
                "The partner itself is missing from the sum in the denominator, so the loss can fall below zero. Which candidates does the softmax run over?"),
        Mistake("normalized along the batch", lambda a, b, temperature: both(F.normalize(a, dim=0) @ F.normalize(b, dim=0).T / temperature),
                "Each column was scaled to length 1. Whose length does a cosine divide out, that of a vector or that of a feature?"),
        Mistake("the norm of the whole matrix", """def info_nce(a, b, temperature):
    scores = (a / a.norm()) @ (b / b.norm()).T / temperature
    labels = torch.arange(len(a))
    return (F.cross_entropy(scores, labels) + F.cross_entropy(scores.T, labels)) / 2
""", "`norm()` without an axis is the norm of all rows together. How long should each row be?"),
        Mistake("softmax along rows, then both ways", """def info_nce(a, b, temperature):
    scores = (F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T / temperature).softmax(-1)
    labels = torch.arange(len(a))
    return (F.cross_entropy(scores, labels) + F.cross_entropy(scores.T, labels)) / 2
""", "`cross_entropy` takes logits and applies the softmax itself. What does it get here?"),
        Mistake("probabilities for logits, one direction", """def info_nce(a, b, temperature):
    scores = (F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T / temperature).softmax(-1)
    return F.cross_entropy(scores, torch.arange(len(a)))
""", "Only one direction is there, and `cross_entropy` is given probabilities. Which step does it take itself?"),
        Mistake("the first is always right", """def info_nce(a, b, temperature):
    scores = F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T / temperature
    labels = torch.zeros(len(a), dtype=torch.long)
    return (F.cross_entropy(scores, labels) + F.cross_entropy(scores.T, labels)) / 2
""", "All labels are 0, so every row's partner is the first. Which is the partner of row i?"),
        Mistake("both directions added", """def info_nce(a, b, temperature):
    scores = F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T / temperature
    labels = torch.arange(len(a))
    return F.cross_entropy(scores, labels) + F.cross_entropy(scores.T, labels)
""", "It adds the two directions. What is the loss of guessing by the mean of both?"),
        Mistake("a sum over the batch", """def info_nce(a, b, temperature):
    scores = F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T / temperature
    labels = torch.arange(len(a))
    return (F.cross_entropy(scores, labels, reduction="sum") + F.cross_entropy(scores.T, labels, reduction="sum")) / 2
""", "A larger batch has a larger loss because it has more rows. Sum or mean?"),
        Mistake("candidates from the same side, too", """def info_nce(a, b, temperature):
    z = F.normalize(torch.cat([a, b]), dim=-1)
    scores = (z @ z.T / temperature).masked_fill(torch.eye(len(z), dtype=torch.bool), -torch.inf)
    return F.cross_entropy(scores, torch.arange(len(z)).roll(len(a)))
""", "That is SimCLR's loss, in which the other rows of `a` are negatives as well. Which rows are the candidates for a row of `a` here?"),
        Mistake("a binary loss for each pair", """def info_nce(a, b, temperature):
    scores = F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T / temperature
    return F.binary_cross_entropy_with_logits(scores, torch.eye(len(a)))
""", "Each pair is classified by itself (SigLIP does so). Here one of B candidates is chosen: over what does the softmax run?"),
        Mistake("the sign of the logarithm", """def info_nce(a, b, temperature):
    scores = F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T / temperature
    return (scores.log_softmax(0).diagonal().mean() + scores.log_softmax(1).diagonal().mean()) / 2
""", "The logarithm of a probability is negative. Which sign should a loss have that is to be minimized?"),
        Mistake("detached from the graph", """def info_nce(a, b, temperature):
    scores = F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T / temperature
    labels = torch.arange(len(a))
    return ((F.cross_entropy(scores, labels) + F.cross_entropy(scores.T, labels)) / 2).item()
""", "The value is right, but `.item()` returns a plain number. What would `backward` start from?"),
    ],
)  # fmt: skip

# -- 03.4 the prefix ------------------------------------------------------------------------------------------------------


def has_shape(out: Tensor, case: tuple) -> bool | str:
    T = case[0]
    return (
        tuple(out.shape) == (T, T)
        or f"{T} positions attend to {T}: the shape should be ({T}, {T}), and is {tuple(out.shape)}."
    )


def tells_no_future(out: Tensor, case: tuple) -> bool | str:
    T, prefix = case
    leaks = [(t, s) for t, s in out.nonzero().tolist() if s > t and s >= prefix]
    return (
        not leaks
        or f"T={T}, prefix={prefix}: row {leaks[0][0]} attends to position {leaks[0][1]}, which comes later and is not in the prefix."
    )


at = torch.arange
prefixes = Exercise(
    "03.4",
    goal="the prefix mask",
    minutes=8,
    cases=[(3, 2), (1, 1), (4, 0), (5, 3), (5, 5), (6, 1)],
    starter='''def prefix_mask(T, prefix):
    """(T, T) bool, True where position t (row) may attend to position s (column): to itself, to earlier positions, and
    to the first `prefix` positions, whatever t is."""
    ...
''',
    solution='''def prefix_mask(T, prefix):
    """(T, T) bool, True where position t (row) may attend to position s (column): to itself, to earlier positions, and
    to the first `prefix` positions, whatever t is."""
    at = torch.arange(T)
    return (at <= at[:, None]) | (at < prefix)  # columns run across: a row of them against a column of rows
''',
    other_solutions=[
        "def prefix_mask(T, prefix):\n    mask = torch.ones(T, T).tril().bool()\n    mask[:, :prefix] = True\n    return mask\n",
        "def prefix_mask(T, prefix):\n    mask = torch.ones(T, T, dtype=torch.bool).tril()\n    mask[:prefix, :prefix] = True\n    return mask\n",
        lambda T, prefix: torch.tensor([[s <= t or s < prefix for s in range(T)] for t in range(T)]),
    ],
    hints=[
        "A source is given and a target is written. Which tokens of the source may be read before the first token is written? Which tokens of the target do not exist yet?",
        "Two rules, of which one is enough: not later than the row, or inside the prefix. Compare a row of positions with a column of them.",
        "`at = torch.arange(T)`; `at <= at[:, None]` is the causal mask; append `| (at < prefix)`.",
    ],
    explanation="The causal mask is a triangle; the prefix adds its columns in full. Rows after the prefix had those columns anyway, so what changes "
    "is a square in the corner, (prefix, prefix). With a prefix of 0 or 1 nothing changes; with a prefix of T every position attends to all.",
    properties=[
        Property("another shape", has_shape, "How many positions attend, and to how many?"),
        Property("sees the future", tells_no_future, "What must be hidden from a position that predicts what comes next?"),
    ],
    mistakes=[
        Mistake("no prefix", lambda T, prefix: torch.ones(T, T).tril().bool(), "This is the causal mask: the first tokens of the prefix do not attend to its later ones. Must a given text be read in order?"),
        Mistake("everything", lambda T, prefix: torch.ones(T, T).bool(), "Each row attends to all columns, also to those to be predicted. What is then left to predict?"),
        Mistake("both at once", lambda T, prefix: (at(T) <= at(T)[:, None]) & (at(T) < prefix), "A column must be earlier *and* in the prefix here, so what was just written is never read. Is one of the two enough?"),
        Mistake("the prefix alone", lambda T, prefix: (at(T) < prefix).expand(T, T), "What comes after the prefix attends to the prefix and to nothing else, not even to itself. What else may it attend to?"),
        Mistake("one too many", lambda T, prefix: (at(T) <= at(T)[:, None]) | (at(T) <= prefix), "Every row attends to position `prefix`, the first one after the prefix. Which is the last position of a prefix of 2?"),
        Mistake("transposed", lambda T, prefix: ((at(T) <= at(T)[:, None]) | (at(T) < prefix)).T, "Rows and columns are exchanged: early positions attend to late ones. Which axis is the attending position?"),
        Mistake("the wrong part is open", lambda T, prefix: (at(T) <= at(T)[:, None]) | (at(T) >= prefix), "The columns *after* the prefix are open to all rows. Which part is given, and which is to be written?"),
        Mistake("two separate blocks", lambda T, prefix: torch.block_diag(torch.ones(prefix, prefix), torch.ones(T - prefix, T - prefix).tril()).bool(),
                "What is written does not attend to what was given. What would it continue from?"),
        Mistake("blind to itself", """def prefix_mask(T, prefix):
    at = torch.arange(T)
    return (at < at[:, None]) | (at < prefix)
""", "After the prefix a position does not attend to itself. Does the docstring allow it?"),
        Mistake("rows opened, not columns", """def prefix_mask(T, prefix):
    mask = torch.ones(T, T).tril().bool()
    mask[:prefix] = True
    return mask
""", "The first *rows* attend to everything, also to what is yet to be written. Which axis is the attending position, row or column?"),
        Mistake("a later diagonal", """def prefix_mask(T, prefix):
    return torch.ones(T, T).tril(prefix).bool()
""", "Each row attends to `prefix` later positions. Does the prefix move along with the row?"),
        Mistake("a later diagonal by one less", """def prefix_mask(T, prefix):
    return torch.ones(T, T).tril(prefix - 1).bool()
""", "Row 0 is right, but each row below attends to `prefix` - 1 later positions. Does the prefix move along with the row?"),
        Mistake("the upper triangle", """def prefix_mask(T, prefix):
    mask = torch.ones(T, T).triu().bool()
    mask[:, :prefix] = True
    return mask
""", "Each position attends to itself and to what comes *after* it. Which triangle is the past?"),
        Mistake("one too few", """def prefix_mask(T, prefix):
    at = torch.arange(T)
    return (at <= at[:, None]) | (at < prefix - 1)
""", "The earlier positions do not attend to the last one of the prefix. Which is the last position of a prefix of 2?"),
        Mistake("counted from the end", """def prefix_mask(T, prefix):
    mask = torch.ones(T, T).tril().bool()
    mask[:, :prefix - 1] = True
    return mask
""", "With a prefix of 0 the slice ends at -1, so nearly all columns are open. Which columns are `[:, :prefix]`?"),
        Mistake("a mask to be added", """def prefix_mask(T, prefix):
    mask = torch.full((T, T), float("-inf")).triu(1)
    mask[:, :prefix] = 0
    return mask
""", "A mask of 0 and minus infinity, to be added to the attention scores, hides the future too, but here it should be bool. Where is it 0?"),
        Mistake("True means hidden", """def prefix_mask(T, prefix):
    at = torch.arange(T)
    return (at > at[:, None]) & (at >= prefix)
""", "This marks what must *not* be attended to, as some libraries do. What does True mean in the docstring?"),
        Mistake("a mask of numbers", """def prefix_mask(T, prefix):
    mask = torch.ones(T, T).tril()
    mask[:, :prefix] = 1
    return mask
""", "The entries are right, but they are numbers, 0 and 1. Which dtype means yes or no?"),
    ],
)  # fmt: skip
