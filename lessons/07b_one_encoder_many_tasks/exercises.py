"""Lesson 07b: mean pooling, labels for subwords, entities out of tags, and the best answer span."""

import torch
from fmcourse.course.exercise import Exercise, Mistake, Property
from torch import Tensor

noise = lambda *shape, seed=0: torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
real = lambda *lengths: torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]

# -- 07b.1 mean pooling ----------------------------------------------------------------------------------------------------


def padding_is_nothing(out: Tensor, case: tuple) -> bool | str:
    """A text with one real token is that token."""
    states, there = case
    for n, row in enumerate(there):
        if row.sum() == 1 and out.shape == (len(states), states.shape[-1]):
            token = states[n][row][0]
            if not torch.allclose(out[n], token, atol=1e-4):
                return f"Text {n} has one real token, so its mean must be that token's state; the first number is {out[n, 0]:.3g}, not {token[0]:.3g}."
    return True


pooled = Exercise(
    "07b.1",
    goal="mean pooling: one vector for a text",
    minutes=8,
    cases=[
        (torch.tensor([[[2.0, 0.0], [4.0, 2.0], [9.0, 9.0]]]), real(3)),
        (torch.tensor([[[2.0, 0.0], [4.0, 2.0], [9.0, 9.0]], [[1.0, 1.0], [7.0, 3.0], [8.0, 8.0]]]), real(3, 1)),
        (noise(2, 5, 4, seed=1).requires_grad_(), real(5, 2)),
        (noise(3, 7, 6, seed=2), real(4, 7, 1)),
    ],
    starter='''def mean_of_real(states, real):
    """The mean state of each text, over its tokens and not over the padding.

    states: (B, T, D)   real: (B, T) bool, False at padding   ->   (B, D)
    """
    ...
''',
    solution='''def mean_of_real(states, real):
    """The mean state of each text, over its tokens and not over the padding.

    states: (B, T, D)   real: (B, T) bool, False at padding   ->   (B, D)
    """
    there = real[..., None]                           # (B, T, 1): one flag for all D features of a token
    return (states * there).sum(1) / there.sum(1)     # each text by its own number of tokens
''',
    other_solutions=[
        lambda states, real: torch.stack([row[there].mean(0) for row, there in zip(states, real, strict=True)]),
        lambda states, real: torch.einsum("btd,bt->bd", states, real / real.sum(1, keepdim=True)),
        "def mean_of_real(states, real):\n    zeroed = states.masked_fill(~real.unsqueeze(-1), 0.0)\n"
        "    return zeroed.sum(dim=1) / real.float().sum(dim=1).unsqueeze(-1)\n",
    ],
    hints=[
        "Two texts, one of five tokens and one of two. By what is each sum to be divided?",
        "First make the padding count for nothing, then add up along the axis of positions, then divide each text by its own number.",
        "`real[..., None]` is (B, T, 1), so it multiplies (B, T, D). Its sum over axis 1 is how many there are.",
    ],
    explanation="The padding has states too: the model computes something for it, and that something depends on nothing that was "
    "said. Multiplied by False it is zero, and the divisor counts only what was left in.",
    properties=[Property("padding counts", padding_is_nothing, "What should a token that is not there add to the sum, and to the count?")],
    mistakes=[
        Mistake("padding counts", lambda states, real: states.mean(1),
                "The padding is averaged in, so a text's vector depends on how long its neighbours are. Which tokens are there?"),
        Mistake("divided by all positions", lambda states, real: (states * real[..., None]).mean(1),
                "The padding is zeroed, but still counted in the division: short texts get short vectors. How many tokens has each?"),
        Mistake("no division", lambda states, real: (states * real[..., None]).sum(1),
                "It is the sum: a long text gets a long vector. What makes a mean of it?"),
        Mistake("one number for all", lambda states, real: (states * real[..., None]).sum(1) / real.sum(),
                "Every text is divided by the tokens of the whole batch. Whose number belongs to which text?"),
        Mistake("only the padding", lambda states, real: (states * ~real[..., None]).sum(1) / (~real).sum(1, keepdim=True).clamp(min=1),
                "It keeps what should be left out. Does True mean real, or padding?"),
        Mistake("the first token", lambda states, real: states[:, 0],
                "That is [CLS] alone, another way to pool (BERT's). This model was trained with which?"),
        Mistake("the largest", lambda states, real: states.masked_fill(~real[..., None], -torch.inf).amax(1),
                "Of each number it keeps the largest. That is pooling too, but is it a mean?"),
        Mistake("averaged over the width", lambda states, real: (states * real[..., None]).mean(-1),
                "Each token becomes one number. Along which axis do tokens follow one another?"),
        Mistake("what is not zero is real", """def mean_of_real(states, real):
    kept = states * real[..., None]
    return kept.sum(1) / (kept != 0).sum(1)
""",
                "It counts the numbers that are not 0, and a state may well hold a 0. Which input says which tokens "
                "are there?"),
        Mistake("the last real token", """def mean_of_real(states, real):
    return states[torch.arange(len(states)), real.sum(1) - 1]
""",
                "That is the last real token, another way to pool. Of which tokens is the mean asked?"),
        Mistake("all texts in one", """def mean_of_real(states, real):
    return states[real].mean(0)
""",
                "`states[real]` puts the real tokens of all texts in one row. How does each text keep its own?"),
        Mistake("divided by the padding", """def mean_of_real(states, real):
    return (states * real[..., None]).sum(1) / (~real).sum(1, keepdim=True)
""",
                "The sum is divided by how many are *not* there. How many were added up?"),
        Mistake("a sum that has lost its axis", """def mean_of_real(states, real):
    return (states * real[..., None]).sum(1) / real.sum(1)
""",
                "`real.sum(1)` is (B,) and meets the D numbers of a state. What gives it an axis of size 1?"),
        Mistake("minus infinity in a mean", """def mean_of_real(states, real):
    return states.masked_fill(~real[..., None], float('-inf')).mean(1)
""",
                "Minus infinity hides the padding from a maximum, but not from a mean. What adds nothing to a sum?"),
        Mistake("first and last", """def mean_of_real(states, real):
    return (states[:, 0] + states[:, -1]) / 2
""",
                "Only the first and the last place count, and the last may be padding. Which tokens are to be "
                "averaged?"),
        Mistake("over the texts", """def mean_of_real(states, real):
    there = real[..., None]
    return (states * there).sum(0) / there.sum(0).clamp(min=1)
""",
                "It averages over texts, place by place. Along which axis do the tokens of one text lie?"),
    ],
)  # fmt: skip

# -- 07b.2 a label for each subword ------------------------------------------------------------------------------------------


def as_long(out: list, case: tuple) -> bool | str:
    counts, _ = case
    wanted = sum(counts) + 2
    return (
        len(out) == wanted
        or f"{sum(counts)} subwords between [CLS] and [SEP] make {wanted} places; it gives {len(out)} labels."
    )


def piecewise(make, first=-100, last=-100):
    """A wrong answer out of a rule: (label, count) -> the labels of a word's subwords."""

    def wrong(counts, labels):
        inside = [label for count, kind in zip(counts, labels, strict=True) for label in make(kind, count)]
        return [first] * (first is not None) + inside + [last] * (last is not None)

    return wrong


once = lambda kind, count: [kind] + [-100] * (count - 1)
aligned = Exercise(
    "07b.2",
    goal="labels for subwords",
    minutes=8,
    cases=[([1], [2]), ([2], [3]), ([1, 3, 1], [0, 1, 0]), ([3, 1], [5, 0]), ([2, 2, 1, 4], [1, 2, 0, 3]), ([1, 1], [4, 4])],
    starter='''def label_pieces(counts, labels):
    """A label for every token of [CLS] subwords [SEP]: that of the word on its first subword, -100 (ignored) everywhere
    else.

    counts: how many subwords each word has, [1, 3]   labels: one a word, [0, 2]   ->   [-100, 0, 2, -100, -100, -100]
    """
    ...
''',
    solution='''def label_pieces(counts, labels):
    """A label for every token of [CLS] subwords [SEP]: that of the word on its first subword, -100 (ignored) everywhere
    else.

    counts: how many subwords each word has, [1, 3]   labels: one a word, [0, 2]   ->   [-100, 0, 2, -100, -100, -100]
    """
    found = [-100]                                        # [CLS]
    for count, label in zip(counts, labels):
        found += [label] + [-100] * (count - 1)           # counted once a word
    return found + [-100]                                 # [SEP]
''',
    other_solutions=[
        lambda counts, labels: [-100, *(label if n == 0 else -100 for count, label in zip(counts, labels, strict=True) for n in range(count)), -100],
        "def label_pieces(counts, labels):\n    found = [-100] * (sum(counts) + 2)\n    at = 1\n    for count, label in zip(counts, labels):\n"
        "        found[at] = label\n        at += count\n    return found\n",
    ],
    hints=[
        "\"Zerubbabel\" is four subwords but one name. How often should the loss ask about it?",
        "A word of n subwords needs n labels: the first says what it is, n - 1 say nothing. And two tokens belong to no word at all.",
        "Start from `[-100]`, add `[label] + [-100] * (count - 1)` for each word, end with `[-100]`.",
    ],
    explanation="Cross-entropy skips -100, so each word counts once in the loss, however many subwords spell it. [CLS] and [SEP] are no words. The "
    "later subwords still help: attention lets the first one see them.",
    properties=[Property("not a label for each token", as_long, "Which tokens have no word, and still need a place?")],
    mistakes=[
        Mistake("every subword is labelled", piecewise(lambda kind, count: [kind] * count),
                "Every subword carries the label, so a word of five subwords counts five times, and five B- tags make five names. Which subword should speak for the word?"),
        Mistake("the last subword is labelled", piecewise(lambda kind, count: [-100] * (count - 1) + [kind]),
                "The label stands on the last subword. That can be made to work, but which subword is to carry it here?"),
        Mistake("the rest is O", piecewise(lambda kind, count: [kind] + [0] * (count - 1)),
                "Later subwords are labelled 0, \"no name\": the model is taught that the rest of a name is none. Which number means \"ignored\"?"),
        Mistake("no ends", piecewise(once, None, None),
                "[CLS] and [SEP] have no place here, so all labels stand one token too early. What does the model see first?"),
        Mistake("no [SEP]", piecewise(once, -100, None), "The last token, [SEP], has no label. What should stand there?"),
        Mistake("no [CLS]", piecewise(once, None, -100), "The first token, [CLS], has no label, so all others stand one too early. What should stand there?"),
        Mistake("the ends are O", piecewise(once, 0, 0), "[CLS] and [SEP] are labelled 0. Are they words that are no names, or no words?"),
        Mistake("one a word", lambda counts, labels: [-100, *labels, -100],
                "It gives one label a word, but the model sees subwords. How many labels does a word of three subwords need?"),
        Mistake("everything else is O", """def label_pieces(counts, labels):
    found = [0]
    for count, label in zip(counts, labels):
        found += [label] + [0] * (count - 1)
    return found + [0]
""",
                "Ends and later subwords are labelled 0, \"no name\", and all of that counts in the loss. Which number means "
                "\"ignored\"?"),
        Mistake("-1 for ignored", """def label_pieces(counts, labels):
    found = [-1]
    for count, label in zip(counts, labels):
        found += [label] + [-1] * (count - 1)
    return found + [-1]
""",
                "-1 stands where -100 should. Which number does cross-entropy skip?"),
        Mistake("B- goes on as I-", """def label_pieces(counts, labels):
    found = [-100]
    for count, label in zip(counts, labels):
        found += [label] + [label + 1 if label % 2 else label] * (count - 1)
    return found + [-100]
""",
                "Later subwords of a B- word are labelled I-, and those of others like the word: a convention that "
                "papers know, too. What does the docstring put on later subwords?"),
        Mistake("the label and one more", """def label_pieces(counts, labels):
    found = [-100]
    for count, label in zip(counts, labels):
        found += [label] + [label + 1] * (count - 1)
    return found + [-100]
""",
                "Later subwords get the word's label plus one, as if B- turned into I-. What does the docstring put on "
                "later subwords?"),
        Mistake("B- goes on as I-, the rest as it should be", """def label_pieces(counts, labels):
    found = [-100]
    for count, label in zip(counts, labels):
        found += [label] + [label + 1 if label % 2 else -100] * (count - 1)
    return found + [-100]
""",
                "Later subwords of a B- word are labelled I-. That is a known convention, but one word then speaks "
                "several times: what does the docstring put there?"),
        Mistake("one too many for each word", """def label_pieces(counts, labels):
    found = [-100]
    for count, label in zip(counts, labels):
        found += [label] + [-100] * count
    return found + [-100]
""",
                "A word of one subword gets two labels. How many of its subwords are left after the first?"),
        Mistake("short words left out", """def label_pieces(counts, labels):
    found = [-100]
    for count, label in zip(counts, labels):
        if count > 1:
            found += [label] + [-100] * (count - 1)
    return found + [-100]
""",
                "Words of one subword have no label. How many labels do they need?"),
        Mistake("None for ignored", """def label_pieces(counts, labels):
    found = [None]
    for count, label in zip(counts, labels):
        found += [label] + [None] * (count - 1)
    return found + [None]
""",
                "None stands where -100 should. Which number does cross-entropy skip?"),
        Mistake("a list in the list", """def label_pieces(counts, labels):
    found = [-100]
    for count, label in zip(counts, labels):
        found.append(label)
        found.append([-100] * (count - 1))
    found.append(-100)
    return found
""",
                "`append` puts in the list as one thing. What puts in each of its numbers?"),
    ],
)  # fmt: skip

# -- 07b.3 entities out of tags --------------------------------------------------------------------------------------------


def names(tags, *, flush=True, more=0, join=False, orphans=True, any_kind=False, whole=True, cut=2):
    """The right answer, or one with a wrong belief."""
    found, begin, kind = [], None, ""
    for at, tag in enumerate([*tags, "O"] if flush else tags):
        goes_on = tag != "O" and begin is not None and (
            (tag[0] == "I" and (any_kind or tag[2:] == kind)) or (join and tag[2:] == kind)
        )  # fmt: skip
        if begin is not None and not goes_on:
            found.append((kind if cut else f"B-{kind}", begin, at + more if whole else begin + 1))
            begin = None
        if tag != "O" and not goes_on and (orphans or tag[0] == "B"):
            begin, kind = at, tag[2:]
    return found


def in_the_sentence(out: list, case: list) -> bool | str:
    """An entity is at least one word, and none stands outside."""
    for _, begin, end in out:
        if not 0 <= begin < end <= len(case):
            return f"In a sentence of {len(case)} words a name goes from word {begin} to word {end}, the one after its last: that is no piece of it."
    return True


with_length = lambda tags: [(kind, begin, end - begin) for kind, begin, end in names(tags)]
spans = Exercise(
    "07b.3",
    goal="from BIO tags to named entities",
    minutes=12,
    difficulty=2,
    cases=[
        ["B-PERSON"],
        ["O", "B-PLACE"],
        ["B-PERSON", "I-PERSON", "O"],
        ["B-PERSON", "B-PERSON", "O"],
        ["I-PLACE", "O"],
        ["I-PLACE", "O", "B-PLACE"],
        ["B-PERSON", "I-PLACE", "O"],
        ["B-PERSON", "O", "I-PERSON"],
        ["B-PLACE", "O", "I-PERSON", "I-PERSON", "O"],
        ["O", "I-GROUP", "I-PLACE"],
        ["O", "O"],
        [],
        ["O", "B-PLACE", "I-PLACE", "I-PLACE", "B-GROUP", "O", "B-PERSON", "I-PERSON", "I-GROUP"],
    ],
    starter='''def names_in(tags):
    """The named entities in a tagged sentence, in order: (type, first word, the word after the last).

    B-TYPE begins an entity, I-TYPE goes on with one of its type, O is none. An I- that follows nothing of its type
    begins one.
    ["B-PERSON", "I-PERSON", "O", "B-PLACE"]   ->   [("PERSON", 0, 2), ("PLACE", 3, 4)]
    """
    ...
''',
    solution='''def names_in(tags):
    """The named entities in a tagged sentence, in order: (type, first word, the word after the last).

    B-TYPE begins an entity, I-TYPE goes on with one of its type, O is none. An I- that follows nothing of its type
    begins one.
    ["B-PERSON", "I-PERSON", "O", "B-PLACE"]   ->   [("PERSON", 0, 2), ("PLACE", 3, 4)]
    """
    found, kind, begin = [], "", 0                   # the name that is open, if kind is not empty
    for at, tag in enumerate([*tags, "O"]):          # a last O closes whatever is open
        if kind and tag == f"I-{kind}":
            continue
        if kind:
            found.append((kind, begin, at))
        kind, begin = tag[2:], at                    # "O"[2:] is empty: nothing is open
    return found
''',
    other_solutions=[
        lambda tags: names(tags),
        "def names_in(tags):\n    begins = [i for i, t in enumerate(tags) if t != 'O' and (t[0] == 'B' or i == 0 or tags[i - 1][2:] != t[2:])]\n"
        "    found = []\n    for i in begins:\n        end = i + 1\n        while end < len(tags) and tags[end] == 'I-' + tags[i][2:]:\n"
        "            end += 1\n        found.append((tags[i][2:], i, end))\n    return found\n",
    ],
    hints=[
        "Read the tags aloud with a finger on the first word of the entity you are in. When do you lift it?",
        "Three things end a name: O, a B-, and an I- of another type. And so does the end of the sentence, which has no tag.",
        "Append an \"O\" to the tags, and keep `kind` and `begin` of the entity that is open. `\"B-PERSON\"[2:]` is its type.",
    ],
    explanation="Keep what is open. Only an I- of the same type leaves it open; everything else closes it, and everything but O opens a new "
    "one. The O added at the end closes the last.",
    properties=[Property("outside the sentence", in_the_sentence, "Is the last number the last word, or the one after it?")],
    mistakes=[
        Mistake("the last entity is lost", lambda tags: names(tags, flush=False),
                "An entity that ends with the sentence is missing: no tag comes that would close it. What closes it?"),
        Mistake("the last word, not the one after", lambda tags: names(tags, more=-1),
                "An entity of one word goes from 0 to 0 here. As in a slice, which word should the last number point at?"),
        Mistake("neighbours become one", lambda tags: names(tags, join=True),
                "Two people side by side come out as one entity. What does the second B- say?"),
        Mistake("a lone I- is nothing", lambda tags: names(tags, orphans=False),
                "An I- without a B- before it is dropped, though a model often writes it. What does the docstring make of it?"),
        Mistake("any I- goes on", lambda tags: names(tags, any_kind=True),
                "An I-PLACE goes on with a PERSON here. May an entity change its type in the middle?"),
        Mistake("one word each", lambda tags: names(tags, whole=False),
                "Every entity ends after its first word. What do the I- tags add?"),
        Mistake("a word is an entity", lambda tags: [(tag[2:], at, at + 1) for at, tag in enumerate(tags) if tag != "O"],
                "Each tagged word is an entity of its own here, so \"Pontius Pilate\" is two people. What tells B- from I-?"),
        Mistake("the type with its B-", lambda tags: names(tags, cut=0),
                "The type reads B-PERSON. Which part of a tag is the type?"),
        Mistake("length for end", with_length, "The last number is how many words there are. Where does the entity end in the sentence?"),
        Mistake("a set", lambda tags: {*names(tags)}, "It is a set, which has no order. In what should they stand in order?"),
        Mistake("an O does not end it", """def names_in(tags):
    found = []
    for at, tag in enumerate(tags):
        if tag == "O":
            continue
        if tag[0] == "I" and found and found[-1][0] == tag[2:]:
            found[-1] = (tag[2:], found[-1][1], at + 1)
        else:
            found.append((tag[2:], at, at + 1))
    return found
""", "An I- goes on with the last entity although an O stands between the two. What has ended that entity?"),
        Mistake("words added up over an O", """def names_in(tags):
    found = []
    for at, tag in enumerate(tags):
        if tag == "O":
            continue
        if tag[0] == "I" and found and found[-1][0] == tag[2:]:
            found[-1] = (tag[2:], found[-1][1], found[-1][2] + 1)
        else:
            found.append((tag[2:], at, at + 1))
    return found
""", "An I- behind an O makes the entity before the O a word longer, and that word is the O. What has ended that entity?"),
        Mistake("a type that is remembered too long", """def names_in(tags):
    found, kind, begin = [], None, None
    for at, tag in enumerate([*tags, "O"]):
        if tag == "O":
            if begin is not None:
                found.append((kind, begin, at))
            begin = None
        elif tag[0] == "B" or tag[2:] != kind:
            if begin is not None:
                found.append((kind, begin, at))
            kind, begin = tag[2:], at
    return found
""", "After B-PERSON O an I-PERSON is dropped: the type is still PERSON, though no entity is open. What must O forget?"),
        Mistake("an I- of another type is dropped", """def names_in(tags):
    found, at = [], 0
    while at < len(tags):
        end = at + 1
        if tags[at][0] == "B" or (tags[at][0] == "I" and (at == 0 or tags[at - 1] == "O")):
            while end < len(tags) and tags[end] == "I-" + tags[at][2:]:
                end += 1
            found.append((tags[at][2:], at, end))
        at = end
    return found
""", "An I-PLACE right behind a PERSON belongs to no entity here. It goes on with nothing of its type: what does it then do?"),
        Mistake("an I- begins nothing but the sentence", """def names_in(tags):
    found, at = [], 0
    while at < len(tags):
        end = at + 1
        if tags[at][0] == "B" or (tags[at][0] == "I" and at == 0):
            while end < len(tags) and tags[end] == "I-" + tags[at][2:]:
                end += 1
            found.append((tags[at][2:], at, end))
        at = end
    return found
""", "A lone I- makes an entity only as the first word of the sentence. Where else may it follow nothing of its type?"),
        Mistake("the type of its last word", """def names_in(tags):
    found, begin = [], None
    for at, tag in enumerate([*tags, "O"]):
        if begin is not None and tag[0] != "I":
            found.append((tags[at - 1][2:], begin, at))
            begin = None
        if tag != "O" and begin is None:
            begin = at
    return found
""", "An entity goes on through an I- of another type, and takes the type of its last word. May an entity change its type?"),
        Mistake("the word before the first", """def names_in(tags):
    found = []
    for at, tag in enumerate(tags):
        if tag == "O":
            continue
        if tag[0] == "I" and tags[at - 1][2:] == tag[2:]:
            found[-1] = (tag[2:], found[-1][1], at + 1)
        else:
            found.append((tag[2:], at, at + 1))
    return found
""", "For the first word, `tags[at - 1]` is `tags[-1]`, the last one. What stands before the first word?"),
        Mistake("lists for tuples", """def names_in(tags):
    found, kind, begin = [], "", 0
    for at, tag in enumerate([*tags, "O"]):
        if kind and tag == "I-" + kind:
            continue
        if kind:
            found.append([kind, begin, at])
        kind, begin = tag[2:], at
    return found
""", "The entities are right, but each is a list. Which brackets make a tuple?"),
    ],
)  # fmt: skip

# -- 07b.4 the best span ---------------------------------------------------------------------------------------------------


def a_span(out: tuple, case: tuple) -> bool | str:
    start, end = (int(part) for part in out)
    longest = case[2]
    if end < start:
        return f"It answers from token {start} to token {end}: the end stands before the beginning."
    if end - start + 1 > longest:
        return f"From token {start} to token {end} are {end - start + 1} tokens; {longest} may be the most."
    return True


def of_table(total, allowed):
    """A wrong answer out of two rules: what a pair (i, j) is worth, and which pairs may be."""

    def wrong(starts, ends, longest):
        T = len(starts)
        i, j = torch.arange(T)[:, None], torch.arange(T)
        table = total(starts[:, None], ends[None, :]).masked_fill(~allowed(i, j, longest), -torch.inf)
        return divmod(int(table.argmax()), T)

    return wrong


plus = lambda a, b: a + b
inside = lambda i, j, longest: (i <= j) & (j < i + longest)
right_span = of_table(plus, inside)


def start_first(starts, ends, longest):
    start = int(starts.argmax())
    return start, start + int(ends[start : start + longest].argmax())


def end_first(starts, ends, longest):
    end = int(ends.argmax())
    begin = max(0, end - longest + 1)
    return begin + int(starts[begin : end + 1].argmax()), end


def turned(starts, ends, longest):
    return right_span(starts, ends, longest)[::-1]


def with_count(starts, ends, longest):
    start, end = right_span(starts, ends, longest)
    return start, end - start + 1


def one_after(starts, ends, longest):
    start, end = right_span(starts, ends, longest)
    return start, end + 1


row = torch.tensor
best = Exercise(
    "07b.4",
    goal="the best answer span",
    minutes=12,
    difficulty=2,
    cases=[
        (row([2.0, 0.0]), row([3.0, 0.0]), 1),
        (row([0.0, 3.0, 1.0]), row([4.0, 0.0, 1.0]), 3),
        (row([5.0, 0.0, 4.0, 0.0]), row([0.0, 1.0, 0.0, 5.0]), 2),
        (row([3.0, 0.0, 0.0, 2.9]), row([0.0, 0.5, 0.0, 3.0]), 3),
        (row([2.0, 2.1, 0.0, 0.0]), row([1.0, -1.0, -1.0, 6.0]), 4),
        (row([0.0, 0.0, 3.0, 0.0]), row([1.0, 2.9, 1.0, 3.0]), 4),
        (row([-1.0, -3.0, -2.0]), row([-2.0, -1.5, -4.0]), 2),
        (row([4.0, 0.0, 3.0]), row([-3.0, -4.0, 0.5]), 2),
        (row([5.0, 0.0, 0.0, 1.0]), row([0.0, 3.0, 0.0, 4.0]), 2),
        (row([-1.0, 0.0, -2.0]), row([-3.0, 0.0, -1.0]), 2),
        (3 * noise(12, seed=3), 3 * noise(12, seed=4), 4),
        (3 * noise(12, seed=5), 3 * noise(12, seed=6), 12),
        (3 * noise(9, seed=7), 3 * noise(9, seed=8), 1),
    ],
    starter='''def best_span(starts, ends, longest):
    """(start, end) of the best answer: the pair with the largest starts[start] + ends[end], of `longest` tokens at
    most.

    starts, ends: (T,) scores of each token to be the first or the last of the answer; the last belongs to it
    """
    ...
''',
    solution='''def best_span(starts, ends, longest):
    """(start, end) of the best answer: the pair with the largest starts[start] + ends[end], of `longest` tokens at
    most.

    starts, ends: (T,) scores of each token to be the first or the last of the answer; the last belongs to it
    """
    totals = starts[:, None] + ends                                    # (T, T): row start, column end
    may_be = torch.ones_like(totals).triu().tril(longest - 1).bool()   # not before the start, not too far behind it
    return divmod(int(totals.masked_fill(~may_be, -math.inf).argmax()), len(starts))
''',
    other_solutions=[
        right_span,
        "def best_span(starts, ends, longest):\n    best, found = -math.inf, None\n    for i in range(len(starts)):\n"
        "        for j in range(i, min(i + longest, len(ends))):\n            total = float(starts[i] + ends[j])\n"
        "            if total > best:\n                best, found = total, (i, j)\n    return found\n",
        "def best_span(starts, ends, longest):\n    T = len(starts)\n"
        "    return max(((i, j) for i in range(T) for j in range(i, min(T, i + longest))), key=lambda p: (starts[p[0]] + ends[p[1]]).item())\n",
    ],
    hints=[
        "The best beginning may stand behind the best end. What would that answer look like?",
        "Make a table: row i, column j, starts[i] + ends[j]. Which triangle of it makes sense, and how wide a band of that?",
        "`starts[:, None] + ends`; keep `.triu().tril(longest - 1)`; the place of the maximum, as row and column, by `divmod`.",
    ],
    explanation="All pairs are one table. Above its diagonal the end stands after the start; a band of `longest` diagonals holds the answers "
    "that are short enough. The best of the band is the answer, even where neither end is the best of its own list.",
    properties=[Property("not an answer", a_span, "Which pairs of beginning and end are a piece of text, and short enough?")],
    mistakes=[
        Mistake("each alone", lambda starts, ends, longest: (int(starts.argmax()), int(ends.argmax())),
                "Beginning and end are chosen without asking each other. What if the best end stands first, or far away?"),
        Mistake("no limit", of_table(plus, lambda i, j, longest: i <= j),
                "It answers with more tokens than allowed. Where does `longest` come in?"),
        Mistake("one too long", of_table(plus, lambda i, j, longest: (i <= j) & (j <= i + longest)),
                "From i to i + longest are longest + 1 tokens, since both ends belong to it. How far may the end be?"),
        Mistake("one too short", of_table(plus, lambda i, j, longest: (i <= j) & (j < max(1, longest - 1) + i)),
                "An answer of exactly `longest` tokens is refused. Is that allowed or not?"),
        Mistake("never one token", of_table(plus, lambda i, j, longest: (i < j) & (j < i + max(2, longest))),
                "Beginning and end are never the same token. What about an answer of one word?"),
        Mistake("either way round", of_table(plus, lambda i, j, longest: (i - j).abs() < longest),
                "The end may stand before the beginning here. Which of the two must not be larger?"),
        Mistake("the beginning first", start_first,
                "It takes the best beginning and then the best end for it. But a slightly worse beginning may have a far better end: what should be largest?"),
        Mistake("the end first", end_first,
                "It takes the best end and then the best beginning for it. What should be largest, one of them or both together?"),
        Mistake("scores multiplied", of_table(lambda a, b: a * b, inside),
                "Two negative scores make a positive product, so two bad ends win. What do scores do that stand for logarithms?"),
        Mistake("end before start", turned, "It gives (end, start). In which order are they wanted?"),
        Mistake("length for end", with_count, "The second number is how long the answer is. Which token is its last?"),
        Mistake("the one after the last", one_after, "The second number points behind the answer, as in a slice. Here the last token belongs to it: which is it?"),
        Mistake("better than nothing", """def best_span(starts, ends, longest):
    best, found = 0, (0, 0)
    for i in range(len(starts)):
        for j in range(i, min(i + longest, len(ends))):
            if starts[i] + ends[j] > best:
                best, found = starts[i] + ends[j], (i, j)
    return found
""",
                "It looks for a total above 0 and else answers with the first token. What if all totals are "
                "negative?"),
        Mistake("two tokens at least", """def best_span(starts, ends, longest):
    best, found = -math.inf, (0, 0)
    for i in range(len(starts)):
        for j in range(i + 1, min(i + longest, len(ends))):
            if starts[i] + ends[j] > best:
                best, found = starts[i] + ends[j], (i, j)
    return found
""",
                "The end is looked for behind the beginning. May an answer be one token long?"),
        Mistake("one too short, in a loop", """def best_span(starts, ends, longest):
    best, found = -math.inf, (0, 0)
    for i in range(len(starts)):
        for j in range(i, min(i + longest - 1, len(ends))):
            if starts[i] + ends[j] > best:
                best, found = starts[i] + ends[j], (i, j)
    return found
""",
                "`range` ends before its last number already, and 1 was taken off. How many tokens has the longest "
                "answer that is tried?"),
        Mistake("probabilities added", """def best_span(starts, ends, longest):
    totals = starts.softmax(0)[:, None] + ends.softmax(0)
    may_be = torch.ones_like(totals).triu().tril(longest - 1).bool()
    return divmod(int(totals.masked_fill(~may_be, -math.inf).argmax()), len(starts))
""",
                "It adds probabilities. Scores stand for logarithms: what do probabilities do where logarithms add "
                "up?"),
        Mistake("each alone, then cut", """def best_span(starts, ends, longest):
    start, end = int(starts.argmax()), int(ends.argmax())
    return start, max(start, min(end, start + longest - 1))
""",
                "Both are chosen alone, and what does not fit is cut to fit. Is that still the largest total?"),
        Mistake("each alone, put in order", """def best_span(starts, ends, longest):
    start, end = int(starts.argmax()), int(ends.argmax())
    return min(start, end), max(start, end)
""",
                "Both are chosen alone and put in order, so a beginning may serve as the end. What should be "
                "largest, together?"),
        Mistake("the best is not remembered", """def best_span(starts, ends, longest):
    best, found = -math.inf, None
    for i in range(len(starts)):
        for j in range(i, min(i + longest, len(ends))):
            if starts[i] + ends[j] > best:
                found = (i, j)
    return found
""",
                "`best` is never set, so every pair is better and the last one stays. What must be remembered along "
                "with the pair?"),
        Mistake("what may not be is zero", """def best_span(starts, ends, longest):
    totals = starts[:, None] + ends
    may_be = torch.ones_like(totals).triu().tril(longest - 1).bool()
    return divmod(int((totals * may_be).argmax()), len(starts))
""",
                "Forbidden pairs have a total of 0, and 0 may be the largest. Which number is below all totals?"),
        Mistake("counted from the beginning found", """def best_span(starts, ends, longest):
    start = int(starts.argmax())
    return start, int(ends[start : start + longest].argmax())
""",
                "The end is counted from the beginning of the answer, not of the text. What must be added, and does "
                "the best beginning have the best answer?"),
        Mistake("past the end", """def best_span(starts, ends, longest):
    best, found = -math.inf, None
    for i in range(len(starts)):
        for j in range(i, i + longest):
            if starts[i] + ends[j] > best:
                best, found = starts[i] + ends[j], (i, j)
    return found
""",
                "The loop runs off the end of the text. How far may the end be, at the last tokens?"),
    ],
)  # fmt: skip
