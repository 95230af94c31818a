"""Lesson 03: labels out of the data: hidden tokens, cut-out spans, pairs that belong together, and who may look where."""

import torch
from fmcourse.course.exercise import Exercise, Mistake, Property
from torch import Tensor
from torch.nn import functional as F

noise = lambda *shape, seed=0: torch.randn(*shape, generator=torch.Generator().manual_seed(seed))

# -- 03.1 hidden tokens ---------------------------------------------------------------------------------------------------


def hiding(rows: int, length: int, seed: int, rate: float) -> tuple:
    """A case: ids from 0 to 19 and 99 for [MASK], with random numbers that fall on every side of each limit."""
    g = torch.Generator().manual_seed(seed)
    draw, fate = torch.rand(2, rows, length, generator=g)
    ids = torch.randint(20, (rows, length), generator=g)
    return ids, draw, fate, (ids + torch.randint(1, 20, ids.shape, generator=g)) % 20, 99, rate


def one_row(rate: float) -> tuple:
    """The smallest case: eight tokens, four asked for, one of them swapped, one left."""
    draw = torch.tensor([[0.9, 0.1, 0.8, 0.2, 0.1, 0.7, 0.3, 0.95]])
    fate = torch.tensor([[0.1, 0.5, 0.95, 0.85, 0.95, 0.85, 0.2, 0.5]])
    return torch.arange(1, 9)[None], draw, fate, torch.arange(11, 19)[None], 99, rate


def on_the_limits() -> tuple:
    """Numbers that are exactly rate, 0.8 and 0.9; in double, where they are what they are called."""
    draw = torch.tensor([[0.5, 0.1, 0.25, 0.4, 0.6]], dtype=torch.float64)
    fate = torch.tensor([[0.1, 0.8, 0.9, 0.5, 0.9]], dtype=torch.float64)
    return torch.arange(1, 6)[None], draw, fate, torch.arange(11, 16)[None], 99, 0.5


def kept_where_not_asked(out: tuple, case: tuple) -> bool | str:
    (inputs, asked), ids = out, case[0]
    spoilt = (inputs != ids) & ~asked
    return not spoilt.any() or f"{int(spoilt.sum())} tokens were changed that nobody is asked for."


def so_many(out: tuple, case: tuple) -> bool | str:
    asked, wanted = int(out[1].sum()), int((case[1] < case[5]).sum())
    return asked == wanted or f"`draw` is below the rate {case[5]} in {wanted} places; it asks for {asked}."


def wrong_hide(asked=lambda draw, rate: draw < rate, masked=lambda fate: fate < 0.8, swapped=lambda fate: fate >= 0.9):
    """A wrong answer out of three rules."""

    def wrong(ids, draw, fate, other, mask, rate):
        chosen = asked(draw, rate)
        return torch.where(chosen & swapped(fate), other, ids.masked_fill(chosen & masked(fate), mask)), chosen

    return wrong


def only_changed(ids, draw, fate, other, mask, rate):
    inputs, _ = wrong_hide()(ids, draw, fate, other, mask, rate)
    return inputs, inputs != ids


def everywhere(ids, draw, fate, other, mask, rate):
    return torch.where(fate >= 0.9, other, ids.masked_fill(fate < 0.8, mask)), draw < rate


hidden = Exercise(
    "03.1",
    goal="hide tokens as BERT does",
    minutes=10,
    difficulty=2,
    cases=[one_row(0.5), hiding(3, 12, 1, 0.4), hiding(2, 40, 2, 0.15), hiding(4, 16, 3, 0.7), on_the_limits()],
    starter='''def hide_tokens(ids, draw, fate, other, mask, rate):
    """Ask for a token where `draw` is below `rate`. Of those asked for, `fate` below 0.8 becomes `mask`, from 0.9 on
    becomes the token in `other`, and the rest stay. All others stay too.

    ids, other (B, T) tokens; draw, fate (B, T) random numbers in [0, 1)  ->  inputs (B, T), asked (B, T) bool
    """
    ...
''',
    solution='''def hide_tokens(ids, draw, fate, other, mask, rate):
    """Ask for a token where `draw` is below `rate`. Of those asked for, `fate` below 0.8 becomes `mask`, from 0.9 on
    becomes the token in `other`, and the rest stay. All others stay too.

    ids, other (B, T) tokens; draw, fate (B, T) random numbers in [0, 1)  ->  inputs (B, T), asked (B, T) bool
    """
    asked = draw < rate
    inputs = ids.masked_fill(asked & (fate < 0.8), mask)
    return torch.where(asked & (fate >= 0.9), other, inputs), asked
''',
    other_solutions=[
        "def hide_tokens(ids, draw, fate, other, mask, rate):\n    inputs, asked = ids.clone(), draw < rate\n"
        "    inputs[asked & (fate < 0.8)] = mask\n    swap = asked & (fate >= 0.9)\n    inputs[swap] = other[swap]\n    return inputs, asked\n",
        "def hide_tokens(ids, draw, fate, other, mask, rate):\n    shown = torch.where(fate < 0.8, torch.full_like(ids, mask), torch.where(fate < 0.9, ids, other))\n"
        "    asked = draw.lt(rate)\n    return torch.where(asked, shown, ids), asked\n",
    ],
    hints=[
        "Two questions, one after the other: is this token asked for (`draw`)? And if it is, what does the model get to see there (`fate`)?",
        "`asked` is one comparison. A token turns into `mask` where `asked` is True *and* `fate` is small; `masked_fill` does it without touching `ids`.",
        "`asked = draw < rate`; `ids.masked_fill(asked & (fate < 0.8), mask)`; then `torch.where(asked & (fate >= 0.9), other, ...)`.",
    ],
    explanation="`draw` chooses who is asked for, `fate` what is shown there. What is asked for does not depend on what is shown: a token that "
    "stayed in its place is asked for too, so the model can never be sure that what it reads is true, and has to think about every word.",
    properties=[
        Property("changed without being asked for", kept_where_not_asked, "Which tokens may be changed at all?"),
        Property("another number asked for", so_many, "Which tokens are asked for, those that changed or those that were drawn?"),
    ],
    mistakes=[
        Mistake("always [MASK]", wrong_hide(lambda draw, rate: draw < rate, lambda fate: fate < 2, lambda fate: fate > 2),
                "Everything asked for became [MASK]. Later, in use, there are no [MASK]s: what keeps the model thinking about ordinary words?"),
        Mistake("none swapped", wrong_hide(swapped=lambda fate: fate > 2),
                "Nothing was taken from `other`. If what can be read were always true, would the model still check it?"),
        Mistake("none left", wrong_hide(swapped=lambda fate: fate >= 0.8),
                "All that were not hidden were swapped: a fifth, and none stayed. Where does the last tenth begin?"),
        Mistake("80 and 20 the wrong way round", wrong_hide(masked=lambda fate: fate >= 0.9, swapped=lambda fate: fate < 0.8),
                "Most became another token and few became [MASK]. Which fate is that of the 80 percent?"),
        Mistake("those that changed are asked for", only_changed,
                "A token that stayed as it was is not asked for. How could the model then learn that what it sees may be true as well?"),
        Mistake("fate strikes everywhere", everywhere,
                "Tokens were changed that are not asked for, four in five of the whole text. Which two conditions must hold together?"),
        Mistake("the rest is asked for", wrong_hide(asked=lambda draw, rate: draw >= rate),
                "It asks where `draw` is *not* below the rate. If rate is 0.15, how many of a hundred tokens should be asked for?"),
        Mistake("asked by fate", wrong_hide(asked=lambda draw, rate: draw < rate * 0.8),
                "Too few are asked for: 0.8 came into the choice of who is asked. Does it say who, or what is shown?"),
        Mistake("exactly 0.9 stays", """def hide_tokens(ids, draw, fate, other, mask, rate):
    asked = draw < rate
    inputs = ids.masked_fill(asked & (fate < 0.8), mask)
    return torch.where(asked & (fate > 0.9), other, inputs), asked
""", "A fate of exactly 0.9 stays here. \"From 0.9 on\": does that hold 0.9 itself?"),
        Mistake("exactly 0.8 is hidden", """def hide_tokens(ids, draw, fate, other, mask, rate):
    asked = draw < rate
    inputs = ids.masked_fill(asked & (fate <= 0.8), mask)
    return torch.where(asked & (fate >= 0.9), other, inputs), asked
""", "A fate of exactly 0.8 is hidden here. \"Below 0.8\": does that hold 0.8 itself?"),
        Mistake("exactly the rate is asked for", """def hide_tokens(ids, draw, fate, other, mask, rate):
    asked = draw <= rate
    inputs = ids.masked_fill(asked & (fate < 0.8), mask)
    return torch.where(asked & (fate >= 0.9), other, inputs), asked
""", "A draw of exactly the rate is asked for here. \"Below\": does that hold the rate itself?"),
        Mistake("swapped, asked for or not", """def hide_tokens(ids, draw, fate, other, mask, rate):
    asked = draw < rate
    inputs = ids.masked_fill(asked & (fate < 0.8), mask)
    return torch.where(fate >= 0.9, other, inputs), asked
""", "Hidden are only those asked for, but swapped is every token with a fate from 0.9 on. Which two conditions must hold?"),
        Mistake("the middle swapped, the end left", """def hide_tokens(ids, draw, fate, other, mask, rate):
    asked = draw < rate
    inputs = ids.masked_fill(asked & (fate < 0.8), mask)
    return torch.where(asked & (fate >= 0.8) & (fate < 0.9), other, inputs), asked
""", "The tenth from 0.8 to 0.9 is swapped, and the last tenth stays. Which of the two did the docstring swap?"),
        Mistake("above the rate", """def hide_tokens(ids, draw, fate, other, mask, rate):
    asked = draw > rate
    inputs = ids.masked_fill(asked & (fate < 0.8), mask)
    return torch.where(asked & (fate >= 0.9), other, inputs), asked
""", "It asks where `draw` is *above* the rate. If rate is 0.15, how many of a hundred tokens should be asked for?"),
        Mistake("dice of its own", """def hide_tokens(ids, draw, fate, other, mask, rate):
    asked = draw < rate
    inputs = ids.masked_fill(asked & (fate < 0.8), mask)
    drawn = torch.randint(0, mask, ids.shape)
    return torch.where(asked & (fate >= 0.9), drawn, inputs), asked
""", "It draws other tokens itself. They were drawn already: which input holds them?"),
        Mistake("asked first", """def hide_tokens(ids, draw, fate, other, mask, rate):
    asked = draw < rate
    inputs = ids.masked_fill(asked & (fate < 0.8), mask)
    return asked, torch.where(asked & (fate >= 0.9), other, inputs)
""", "Both are right, in the wrong order. Which one is asked for first?"),
        Mistake("written into ids", """def hide_tokens(ids, draw, fate, other, mask, rate):
    asked = draw < rate
    ids[asked & (fate < 0.8)] = mask
    swap = asked & (fate >= 0.9)
    ids[swap] = other[swap]
    return ids, asked
""", "The tokens of the caller are overwritten. Where could the answers be read off afterwards?"),
    ],
)  # fmt: skip

# -- 03.2 spans -----------------------------------------------------------------------------------------------------------


def all_there(out: tuple, case: tuple) -> bool | str:
    """Marks apart, every token stands in one of the two, and in one only."""
    tokens = [t for part in out for t in part if not (t.startswith("<") and t.endswith(">"))]
    missing = [t for t in case[0] if tokens.count(t) < case[0].count(t)]
    double = [t for t in dict.fromkeys(tokens) if tokens.count(t) > case[0].count(t)]
    if missing:
        return f"{missing[0]!r} stands neither in the source nor in the target."
    return not double or f"{double[0]!r} stands twice: whoever reads the source need not guess it."


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
    goal="cut spans out of a text, as T5 does",
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
    """Source: the tokens with a mark, "<0>", "<1>", ..., in place of each span. Target: each mark with what it stands
    for, and at the end the next mark, which says that it is over.

    tokens: list of words   spans: list of (start, end), end not included, in order   ->   (source, target), lists
    """
    ...
''',
    solution='''def cut_spans(tokens, spans):
    """Source: the tokens with a mark, "<0>", "<1>", ..., in place of each span. Target: each mark with what it stands
    for, and at the end the next mark, which says that it is over.

    tokens: list of words   spans: list of (start, end), end not included, in order   ->   (source, target), lists
    """
    source, target, last = [], [], 0
    for n, (start, end) in enumerate(spans):
        source += tokens[last:start] + [f"<{n}>"]   # what is kept, then one mark, however long the span
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
        "Take scissors to a sentence: what falls out, in order, is the target. What tells the reader where each scrap belongs?",
        "Walk along the spans and remember where the last one ended. Before each span, copy what is kept; then a mark goes to both sides.",
        "`source += tokens[last:start] + [f\"<{n}>\"]`, `target += [f\"<{n}>\"] + tokens[start:end]`, `last = end`; after the loop the rest and the closing mark.",
    ],
    explanation="Each token goes to exactly one side, and each mark to both: it ties a scrap to its gap. One mark stands for a whole span, so the "
    "reader is not told how long it was, and the source gets shorter, which makes T5 cheap to train.",
    properties=[Property("a token lost or doubled", all_there, "On which side does each token belong?")],
    mistakes=[
        Mistake("no closing mark", spans_by(close=False), "The target ends with a word. How would the writer know that nothing more is wanted?"),
        Mistake("a mark for each token", spans_by(each=True),
                "There are as many marks as hidden words, so the source tells how long a gap is. How many marks does T5 spend on a span?"),
        Mistake("one mark for all", spans_by(mark=lambda n: "<0>"), "All marks are alike. Which scrap belongs in which gap?"),
        Mistake("counted from one", spans_by(mark=lambda n: f"<{n + 1}>"), "The first mark is <1>. Where does counting begin here?"),
        Mistake("one token too many", spans_by(shift=1), "The span takes in the token at `end`. Does `end` still belong to it?"),
        Mistake("left in the source", spans_by(keep=True), "The span is marked, but still stands in the source. What is there left to guess?"),
        Mistake("no mark in the source", spans_by(marks_in_source=False), "The source closes over the gap without a mark. How does the reader know that something is missing, and where?"),
        Mistake("no marks in the target", spans_by(marks_in_target=False), "The scraps run into one another. Where does one end and the next begin?"),
        Mistake("target before source", lambda tokens, spans: right_spans(tokens, spans)[::-1], "The two are right, but the wrong way round. Which does the model read, and which does it write?"),
        Mistake("the rest is lost", """def cut_spans(tokens, spans):
    source, target, last = [], [], 0
    for n, (start, end) in enumerate(spans):
        source += tokens[last:start] + [f"<{n}>"]
        target += [f"<{n}>"] + tokens[start:end]
        last = end
    return source, target + [f"<{len(spans)}>"]
""", "What stands behind the last span is in neither of the two. Where does it go after the loop?"),
        Mistake("from the beginning each time", """def cut_spans(tokens, spans):
    source, target, last = [], [], 0
    for n, (start, end) in enumerate(spans):
        source += tokens[last:start] + [f"<{n}>"]
        target += [f"<{n}>"] + tokens[start:end]
    return source + tokens[last:], target + [f"<{len(spans)}>"]
""", "`last` stays 0, so each piece of the source begins with the first token. What must it become after a span?"),
        Mistake("places that have moved", """def cut_spans(tokens, spans):
    source, target = list(tokens), []
    for n, (start, end) in enumerate(spans):
        target += [f"<{n}>"] + tokens[start:end]
        source[start:end] = [f"<{n}>"]
    return source, target + [f"<{len(spans)}>"]
""", "Once a span is replaced by one mark, all that follows stands further left. At which end could one begin instead?"),
        Mistake("a closing mark in the source, too", """def cut_spans(tokens, spans):
    source, target, last = [], [], 0
    for n, (start, end) in enumerate(spans):
        source += tokens[last:start] + [f"<{n}>"]
        target += [f"<{n}>"] + tokens[start:end]
        last = end
    return source + tokens[last:] + [f"<{len(spans)}>"], target + [f"<{len(spans)}>"]
""", "The closing mark stands at the end of the source as well. Is there a gap?"),
        Mistake("a closing mark too far", """def cut_spans(tokens, spans):
    source, target, last = [], [], 0
    for n, (start, end) in enumerate(spans):
        source += tokens[last:start] + [f"<{n}>"]
        target += [f"<{n}>"] + tokens[start:end]
        last = end
    return source + tokens[last:], target + [f"<{len(spans) + 1}>"]
""", "A mark is left out before the last. After <0> and <1>, which is the next?"),
        Mistake("a list in the list", """def cut_spans(tokens, spans):
    source, target, last = [], [], 0
    for n, (start, end) in enumerate(spans):
        source += tokens[last:start]
        source.append(f"<{n}>")
        target.append(f"<{n}>")
        target.append(tokens[start:end])
        last = end
    return source + tokens[last:], target + [f"<{len(spans)}>"]
""", "A span stands in the target as a list of its own. `append` puts in one thing: what puts in all of them?"),
        Mistake("the mark behind its words", """def cut_spans(tokens, spans):
    source, target, last = [], [], 0
    for n, (start, end) in enumerate(spans):
        source += tokens[last:start] + [f"<{n}>"]
        target += tokens[start:end] + [f"<{n}>"]
        last = end
    return source + tokens[last:], target + [f"<{len(spans)}>"]
""", "In the target a mark comes after its words. Which comes first, the gap's name or what fills it?"),
        Mistake("no spans, no mark", """def cut_spans(tokens, spans):
    source, target, last = [], [], 0
    for n, (start, end) in enumerate(spans):
        source += tokens[last:start] + [f"<{n}>"]
        target += [f"<{n}>"] + tokens[start:end]
        last = end
    return source + tokens[last:], target + [f"<{n + 1}>"]
""", "Without a span the loop never runs, and `n` is not there. Which number is the closing mark's, by the number of spans?"),
        Mistake("other names for the marks", """def cut_spans(tokens, spans):
    source, target, last = [], [], 0
    for n, (start, end) in enumerate(spans):
        source += tokens[last:start] + [f"<extra_id_{n}>"]
        target += [f"<extra_id_{n}>"] + tokens[start:end]
        last = end
    return source + tokens[last:], target + [f"<extra_id_{len(spans)}>"]
""", "The marks are called as T5's tokenizer calls them. What are they called in the docstring?"),
    ],
)  # fmt: skip

# -- 03.3 pairs -----------------------------------------------------------------------------------------------------------


def at_chance(out: Tensor, case: tuple) -> bool | str:
    a, b, temperature = case
    if not (torch.equal(a[:1].expand_as(a), a) and torch.equal(b[:1].expand_as(b), b)):
        return True
    chance = torch.tensor(float(len(a))).log()
    return torch.allclose(out.detach().cpu().float(), chance, atol=1e-3) or (
        f"Where all vectors are alike nothing can be told, and a guess among {len(a)} costs log {len(a)} = {chance:.3f}; it says {float(out):.3g}."
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
    goal="which two belong together?",
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
    """Row i of `a` belongs to row i of `b`. How surprising is that, in nats, among all rows: of b for each row of a,
    and of a for each row of b? The mean of both. Likeness is the cosine, divided by the temperature.

    a, b (B, D)  ->  scalar
    """
    ...
''',
    solution='''def info_nce(a, b, temperature):
    """Row i of `a` belongs to row i of `b`. How surprising is that, in nats, among all rows: of b for each row of a,
    and of a for each row of b? The mean of both. Likeness is the cosine, divided by the temperature.

    a, b (B, D)  ->  scalar
    """
    scores = F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T / temperature  # (B, B): each of a with each of b
    labels = torch.arange(len(a))                                             # the right one stands on the diagonal
    return (F.cross_entropy(scores, labels) + F.cross_entropy(scores.T, labels)) / 2
''',
    other_solutions=[
        "def info_nce(a, b, temperature):\n    a, b = a / a.norm(dim=1, keepdim=True), b / b.norm(dim=1, keepdim=True)\n    s = a @ b.T / temperature\n"
        "    return -(s.log_softmax(0).diagonal().mean() + s.log_softmax(1).diagonal().mean()) / 2\n",
        lambda a, b, temperature: ((cosines(a, b, temperature).logsumexp(0) + cosines(a, b, temperature).logsumexp(1)) / 2 - F.cosine_similarity(a, b) / temperature).mean(),
        "def info_nce(a, b, temperature):\n    s = F.cosine_similarity(a[:, None], b[None], dim=-1) / temperature\n    right = torch.arange(a.shape[0])\n"
        "    return torch.stack([F.nll_loss(m.log_softmax(1), right) for m in (s, s.mT)]).mean()\n",
    ],
    hints=[
        "It is a quiz with B questions and B answers to choose from, and you know where the right one stands. Which loss marks a quiz like that?",
        "First a table of scores, (B, B). The right answer to question i is answer i. Then turn the table on its side and ask the other way round.",
        "`F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T / temperature`; `F.cross_entropy(scores, torch.arange(len(a)))`, the same with `scores.T`, and half of their sum.",
    ],
    explanation="Cosines of all with all make a table; the diagonal holds the pairs. Cross-entropy along a row asks each of `a` for its partner, "
    "along a column each of `b`. The other rows of the batch are the wrong answers, for nothing: that is why large batches help.",
    properties=[Property("a guess", at_chance, "What should a model pay that cannot tell B answers apart?")],
    mistakes=[
        Mistake("dot products", lambda a, b, temperature: both(a @ b.T / temperature),
                "A longer vector scores higher, so length counts as likeness. What does a cosine divide by?"),
        Mistake("one way only", lambda a, b, temperature: rows(cosines(a, b, temperature)), "Each of `a` looks for its partner. Who asks on behalf of `b`?"),
        Mistake("the other way only", lambda a, b, temperature: rows(cosines(a, b, temperature).T), "Each of `b` looks for its partner. Who asks on behalf of `a`?"),
        Mistake("times the temperature", lambda a, b, temperature: both(cosines(a, b, 1 / temperature)),
                "A low temperature makes it less decided here. Should a small one blow differences up or shrink them?"),
        Mistake("no temperature", lambda a, b, temperature: both(cosines(a, b, 1.0)), "The temperature makes no difference. Where does it come in?"),
        Mistake("pull without push", lambda a, b, temperature: -(F.cosine_similarity(a, b) / temperature).mean(),
                "Partners are drawn together and nothing holds the others apart: all vectors alike would be perfect. Where are the wrong answers?"),
        Mistake("the right answer is not on the list", no_self,
                "The partner itself is missing from the sum it is compared with: the loss falls below zero. May one choose the right answer in this quiz?"),
        Mistake("normalised down the batch", lambda a, b, temperature: both(F.normalize(a, dim=0) @ F.normalize(b, dim=0).T / temperature),
                "Each column was made of length 1. Whose length does a cosine take away, that of a vector or that of a feature?"),
        Mistake("the length of the whole table", """def info_nce(a, b, temperature):
    scores = (a / a.norm()) @ (b / b.norm()).T / temperature
    labels = torch.arange(len(a))
    return (F.cross_entropy(scores, labels) + F.cross_entropy(scores.T, labels)) / 2
""", "`norm()` without an axis is the length of all rows together. How long should each row be?"),
        Mistake("softmax along rows, then both ways", """def info_nce(a, b, temperature):
    scores = (F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T / temperature).softmax(-1)
    labels = torch.arange(len(a))
    return (F.cross_entropy(scores, labels) + F.cross_entropy(scores.T, labels)) / 2
""", "`cross_entropy` takes scores and makes the softmax itself. What does it get here, and twice over?"),
        Mistake("softmax as scores", """def info_nce(a, b, temperature):
    scores = (F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T / temperature).softmax(-1)
    return F.cross_entropy(scores, torch.arange(len(a)))
""", "Only `a` asks, and `cross_entropy` is handed probabilities. Which step does it take itself?"),
        Mistake("the first is always right", """def info_nce(a, b, temperature):
    scores = F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T / temperature
    labels = torch.zeros(len(a), dtype=torch.long)
    return (F.cross_entropy(scores, labels) + F.cross_entropy(scores.T, labels)) / 2
""", "All labels are 0, so everybody belongs to the first row. Where does the partner of row i stand?"),
        Mistake("both questions added up", """def info_nce(a, b, temperature):
    scores = F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T / temperature
    labels = torch.arange(len(a))
    return F.cross_entropy(scores, labels) + F.cross_entropy(scores.T, labels)
""", "It adds the two questions up. What does knowing nothing cost, by the mean of both?"),
        Mistake("a sum over the batch", """def info_nce(a, b, temperature):
    scores = F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T / temperature
    labels = torch.arange(len(a))
    return (F.cross_entropy(scores, labels, reduction="sum") + F.cross_entropy(scores.T, labels, reduction="sum")) / 2
""", "A larger batch costs more because it has more rows. Sum or mean?"),
        Mistake("one's own kind competes, too", """def info_nce(a, b, temperature):
    z = F.normalize(torch.cat([a, b]), dim=-1)
    scores = (z @ z.T / temperature).masked_fill(torch.eye(len(z), dtype=torch.bool), -torch.inf)
    return F.cross_entropy(scores, torch.arange(len(z)).roll(len(a)))
""", "That is SimCLR's loss: the other rows of `a` compete as well. Among which rows does a row of `a` look for its partner?"),
        Mistake("yes or no for each pair", """def info_nce(a, b, temperature):
    scores = F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T / temperature
    return F.binary_cross_entropy_with_logits(scores, torch.eye(len(a)))
""", "Each pair is judged by itself (SigLIP does so). Here one of B is chosen: what do the scores of a row compete for?"),
        Mistake("a logarithm's sign", """def info_nce(a, b, temperature):
    scores = F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T / temperature
    return (scores.log_softmax(0).diagonal().mean() + scores.log_softmax(1).diagonal().mean()) / 2
""", "The logarithm of a probability is below zero. Which sign has a surprise?"),
        Mistake("a number without a past", """def info_nce(a, b, temperature):
    scores = F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T / temperature
    labels = torch.arange(len(a))
    return ((F.cross_entropy(scores, labels) + F.cross_entropy(scores.T, labels)) / 2).item()
""", "The value is right, but `.item()` cuts it off from the model. What would `backward` start from?"),
    ],
)  # fmt: skip

# -- 03.4 the prefix ------------------------------------------------------------------------------------------------------


def has_shape(out: Tensor, case: tuple) -> bool | str:
    T = case[0]
    return tuple(out.shape) == (T, T) or f"{T} positions look at {T}: ({T}, {T}) wanted, got {tuple(out.shape)}."


def tells_no_future(out: Tensor, case: tuple) -> bool | str:
    T, prefix = case
    leaks = [(t, s) for t, s in out.nonzero().tolist() if s > t and s >= prefix]
    return (
        not leaks
        or f"T={T}, prefix={prefix}: row {leaks[0][0]} looks at position {leaks[0][1]}, which it is going to be asked for."
    )


at = torch.arange
prefixes = Exercise(
    "03.4",
    goal="a mask between the two",
    minutes=8,
    cases=[(3, 2), (1, 1), (4, 0), (5, 3), (5, 5), (6, 1)],
    starter='''def prefix_mask(T, prefix):
    """(T, T) bool, True where row t may look at column s: at itself and what came before, and at the first `prefix`
    positions, whoever asks."""
    ...
''',
    solution='''def prefix_mask(T, prefix):
    """(T, T) bool, True where row t may look at column s: at itself and what came before, and at the first `prefix`
    positions, whoever asks."""
    at = torch.arange(T)
    return (at <= at[:, None]) | (at < prefix)  # columns run across: a row of them against a column of rows
''',
    other_solutions=[
        "def prefix_mask(T, prefix):\n    mask = torch.ones(T, T).tril().bool()\n    mask[:, :prefix] = True\n    return mask\n",
        "def prefix_mask(T, prefix):\n    mask = torch.ones(T, T, dtype=torch.bool).tril()\n    mask[:prefix, :prefix] = True\n    return mask\n",
        lambda T, prefix: torch.tensor([[s <= t or s < prefix for s in range(T)] for t in range(T)]),
    ],
    hints=[
        "You are handed a letter to go on with. Which of its words may you read before you write, and in which order? And which words are not yet there?",
        "Two rules, and one of them is enough: not later than the row, or inside the prefix. Compare a row of positions with a column of them.",
        "`at = torch.arange(T)`; `at <= at[:, None]` is the causal mask; put `| (at < prefix)` behind it.",
    ],
    explanation="The causal rule is a triangle; the prefix adds its columns, full. Rows behind the prefix had those columns anyway, so what changes "
    "is a square in the corner, (prefix, prefix). With prefix 0 or 1 nothing changes, and with prefix T everybody sees everything.",
    properties=[
        Property("another shape", has_shape, "How many positions look, and at how many?"),
        Property("sees the future", tells_no_future, "What must be hidden from a position that is asked for what comes next?"),
    ],
    mistakes=[
        Mistake("no prefix", lambda T, prefix: torch.ones(T, T).tril().bool(), "The first words of the prefix do not see the later ones. Who says that a given text must be read in order?"),
        Mistake("everything", lambda T, prefix: torch.ones(T, T).bool(), "Each row sees all columns, also those to be predicted. What is then left to predict?"),
        Mistake("both at once", lambda T, prefix: (at(T) <= at(T)[:, None]) & (at(T) < prefix), "A position must be early *and* in the prefix here, so nobody sees what was just written. Is one of the two enough?"),
        Mistake("the prefix alone", lambda T, prefix: (at(T) < prefix).expand(T, T), "What comes after the prefix sees the prefix and nothing else, not even itself. What may it look at besides?"),
        Mistake("one too many", lambda T, prefix: (at(T) <= at(T)[:, None]) | (at(T) <= prefix), "Everybody sees position `prefix`, the first that must be predicted. Which is the last position of a prefix of 2?"),
        Mistake("turned on its side", lambda T, prefix: ((at(T) <= at(T)[:, None]) | (at(T) < prefix)).T, "Rows and columns have changed places: the early ones see the late ones. Which axis looks?"),
        Mistake("the wrong part reads freely", lambda T, prefix: (at(T) <= at(T)[:, None]) | (at(T) >= prefix), "The columns *behind* the prefix are open to all. Which part is given, and which is to be written?"),
        Mistake("two rooms", lambda T, prefix: torch.block_diag(torch.ones(prefix, prefix), torch.ones(T - prefix, T - prefix).tril()).bool(),
                "What is written does not see what was given. What would it go on from?"),
        Mistake("blind to itself", """def prefix_mask(T, prefix):
    at = torch.arange(T)
    return (at < at[:, None]) | (at < prefix)
""", "Behind the prefix a position does not see itself. Is it one of those that it may look at?"),
        Mistake("rows opened, not columns", """def prefix_mask(T, prefix):
    mask = torch.ones(T, T).tril().bool()
    mask[:prefix] = True
    return mask
""", "The first *rows* see everything, also what is yet to be written. Who looks: the row, or the column?"),
        Mistake("a later diagonal", """def prefix_mask(T, prefix):
    return torch.ones(T, T).tril(prefix).bool()
""", "Each row sees `prefix` places into its own future. Is the prefix something that moves along with the row?"),
        Mistake("a later diagonal by one less", """def prefix_mask(T, prefix):
    return torch.ones(T, T).tril(prefix - 1).bool()
""", "Row 0 is right, but each row below sees `prefix` - 1 places into its own future. Does the prefix move along?"),
        Mistake("the upper triangle", """def prefix_mask(T, prefix):
    mask = torch.ones(T, T).triu().bool()
    mask[:, :prefix] = True
    return mask
""", "Each position sees itself and what comes *after* it. Which triangle is the past?"),
        Mistake("one too few", """def prefix_mask(T, prefix):
    at = torch.arange(T)
    return (at <= at[:, None]) | (at < prefix - 1)
""", "The last place of the prefix is not seen by those before it. Which is the last position of a prefix of 2?"),
        Mistake("counted from the end", """def prefix_mask(T, prefix):
    mask = torch.ones(T, T).tril().bool()
    mask[:, :prefix - 1] = True
    return mask
""", "With a prefix of 0 the slice ends at -1, so nearly all columns are open. Which columns are `[:, :prefix]`?"),
        Mistake("a mask to be added", """def prefix_mask(T, prefix):
    mask = torch.full((T, T), float("-inf")).triu(1)
    mask[:, :prefix] = 0
    return mask
""", "Adding 0 or minus infinity to the scores hides the future too, but yes or no is asked here. Where is it 0?"),
        Mistake("True means hidden", """def prefix_mask(T, prefix):
    at = torch.arange(T)
    return (at > at[:, None]) & (at >= prefix)
""", "This marks what must *not* be seen, as some libraries do. What does True mean in the docstring?"),
        Mistake("a mask of numbers", """def prefix_mask(T, prefix):
    mask = torch.ones(T, T).tril()
    mask[:, :prefix] = 1
    return mask
""", "The places are right, but they hold 0 and 1. What dtype says yes or no?"),
    ],
)  # fmt: skip
