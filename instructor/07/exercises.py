"""Assigned in lesson 07: whole words, and how far down the right answer stands."""

import torch
from fmcourse.classroom.exercise_kinds import AssignedExercise
from fmcourse.course.exercise import IMPORTS, Mistake, Property

chance = lambda *shape, seed, share=0.4: torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < share


def begins(*shape, seed):
    """Where words begin: always at the first place."""
    found = chance(*shape, seed=seed, share=0.6)
    found[:, 0] = True
    return found


# -- 07.A1 whole words ----------------------------------------------------------------------------------------------------

WHOLE = '''def hide_whole_words(begins, chosen):
    """Which tokens are hidden when words, not pieces, are chosen: all pieces of every chosen word, and no other.

    begins: (B, T) bool, True where a word begins; the first place always does
    chosen: (B, W) bool, which words, W at least their number
    ->   (B, T) bool
    """
'''

whole_words = AssignedExercise(
    "07.A1",
    goal="hide whole words",
    minutes=15,
    difficulty=2,
    text="If only `##ing` is hidden, `walk` gives it away: the task is too easy. So later BERTs choose *words* and hide all pieces of each. "
    "A row of `begins` says where words begin; a row of `chosen` says which words are to be hidden, counted from the left.",
    cases=[
        (torch.tensor([[True, False, True]]), torch.tensor([[True, False]])),
        (torch.tensor([[True, True, False, False], [True, False, True, True]]), torch.tensor([[False, True, True], [True, False, True]])),
        (begins(3, 9, seed=1), chance(3, 9, seed=2)),
    ],
    hidden=[
        (torch.tensor([[True]]), torch.tensor([[True]])),
        (begins(1, 12, seed=3), chance(1, 14, seed=4)),
        (begins(5, 7, seed=5), chance(5, 7, seed=6)),
        (torch.tensor([[True, False, False, False, False]]), torch.tensor([[False, True]])),
        (begins(4, 16, seed=7), chance(4, 16, seed=8)),
    ],
    starter=WHOLE + "    ...\n",
    solution=WHOLE + '''    word = begins.cumsum(1) - 1          # (B, T): the number of the word that a token belongs to
    return chosen.gather(1, word)
''',
    other_solutions=[
        "def hide_whole_words(begins, chosen):\n    out = torch.zeros_like(begins)\n    for b in range(begins.shape[0]):\n        word = -1\n"
        "        for t in range(begins.shape[1]):\n            word += int(begins[b, t])\n            out[b, t] = chosen[b, word]\n    return out\n",
        "def hide_whole_words(begins, chosen):\n    rows = []\n    for start, wanted in zip(begins, chosen):\n"
        "        lengths = torch.diff(torch.cat([start.nonzero()[:, 0], torch.tensor([len(start)])]))\n"
        "        rows.append(wanted[: len(lengths)].repeat_interleave(lengths))\n    return torch.stack(rows)\n",
    ],
    explanation="The running sum of the beginnings numbers the words; every piece carries its word's number, and looks its fate up under it.",
    properties=[Property("a word is torn", '''def test(out, case):
    begins, _ = case
    for b in range(begins.shape[0]):
        for t in range(1, begins.shape[1]):
            if not begins[b, t] and out[b, t] != out[b, t - 1]:
                return f"In row {b} the pieces at {t - 1} and {t} belong to one word; one is hidden and the other is not."
    return True
''', "What do all pieces of one word share?")],
    mistakes=[
        Mistake("the first piece alone", "def hide_whole_words(begins, chosen):\n    return chosen.gather(1, begins.cumsum(1) - 1) & begins\n",
                "Of each chosen word only the first piece is hidden, and the others give it away. What of the rest?"),
        Mistake("places, not words", "def hide_whole_words(begins, chosen):\n    B, T = begins.shape\n"
                "    wide = torch.zeros(B, T, dtype=torch.bool)\n    n = min(T, chosen.shape[1])\n    wide[:, :n] = chosen[:, :n]\n    return wide\n",
                "The n-th token is hidden if the n-th word is chosen. How do you get from a token to its word?"),
        Mistake("counted from one", "def hide_whole_words(begins, chosen):\n    return chosen.gather(1, begins.cumsum(1).clamp(max=chosen.shape[1] - 1))\n",
                "Each word gets the fate of the next. At which number does the first word begin?"),
        Mistake("the others", "def hide_whole_words(begins, chosen):\n    return ~chosen.gather(1, begins.cumsum(1) - 1)\n",
                "It hides the words that were not chosen. What does True mean in the result?"),
        Mistake("the first row for all", "def hide_whole_words(begins, chosen):\n    return chosen.gather(1, (begins[:1].cumsum(1) - 1).expand(len(begins), -1))\n",
                "Every text is cut as the first one is. Whose beginnings count?"),
        Mistake("the later pieces alone", "def hide_whole_words(begins, chosen):\n    return chosen.gather(1, begins.cumsum(1) - 1) & ~begins\n",
                "Of each chosen word the first piece stays, and gives the others away. What of it?"),
        Mistake("counted too late", "def hide_whole_words(begins, chosen):\n    return chosen.gather(1, (begins.cumsum(1) - begins.int()).clamp(max=chosen.shape[1] - 1))\n",
                "The number of the word grows behind its first piece, so its later pieces get the fate of the next word. To which word does the piece belong that begins it?"),
        Mistake("the first row's choice for all", "def hide_whole_words(begins, chosen):\n    return chosen[:1].expand(len(chosen), -1).gather(1, begins.cumsum(1) - 1)\n",
                "In every text those words are hidden that were chosen in the first. Whose choice counts?"),
        Mistake("counted on from row to row", "def hide_whole_words(begins, chosen):\n    word = begins.flatten().cumsum(0).view_as(begins) - 1\n    return chosen.gather(1, word % chosen.shape[1])\n",
                "The words of the second text are numbered on from the first. With which number does each text begin?"),
        Mistake("once hidden, always hidden", "def hide_whole_words(begins, chosen):\n    return chosen.gather(1, begins.cumsum(1) - 1).cummax(1).values\n",
                "After the first hidden word all is hidden. Where does the hiding end?"),
        Mistake("down the columns", "def hide_whole_words(begins, chosen):\n    return chosen.gather(1, (begins.cumsum(0) - 1).clamp(0, chosen.shape[1] - 1))\n",
                "The beginnings are counted from text to text, not from left to right. Which axis are the places of a text?"),
        Mistake("one more piece", "def hide_whole_words(begins, chosen):\n    first = chosen.gather(1, begins.cumsum(1) - 1) & begins\n    second = F.pad(first, (1, -1)) & ~begins\n    return first | second\n",
                "Of each chosen word two pieces are hidden at most. What of the third?"),
    ],
)  # fmt: skip

# -- 07.A2 how far down ---------------------------------------------------------------------------------------------------


def ranked_names(draw):
    """Other verses for each student."""
    return {"first": draw.randrange(0, 9000), "many": draw.randrange(400, 800)}


long_names = AssignedExercise(
    "07.A2",
    goal="how long are names?",
    minutes=12,
    text="A tagger that labels each word alone can never know where a *long* name ends. How often does that matter? Take the training sentences "
    "`load(\"names\").train[first : first + many]`, with your own two numbers. Of all names in them, which share has two words or more? "
    "(A name begins at a tag `B-...` and goes on through `I-...`.)"
    "\n\nGive it unrounded: the first five digits must be right.",
    imports=IMPORTS + "from fmcourse.data import load\n",
    starter='''mine = variant("07.A2")  # your numbers
share_of_long_names = ...  # a float from 0 to 1
''',
    solution='''from fmcourse.data import load


def share_of_long_names(mine):
    long = names = 0
    for sentence in load("names").train[mine["first"] : mine["first"] + mine["many"]]:
        for tag, after in zip(sentence.tags, (*sentence.tags[1:], "O")):
            names += tag.startswith("B-")
            long += tag.startswith("B-") and after.startswith("I-")
    return long / names
''',
    other_solutions=[
        '''def share_of_long_names(mine):
    from fmcourse.data import load
    sizes = []
    for sentence in load("names").train[mine["first"]:][:mine["many"]]:
        for tag in sentence.tags:
            if tag[0] == "B":
                sizes.append(1)
            elif tag[0] == "I":
                sizes[-1] += 1
    return sum(size > 1 for size in sizes) / len(sizes)
''',
        '''def share_of_long_names(mine):
    from fmcourse.data import load
    sentences = load("names").train[mine["first"]:][:mine["many"]]
    text = " ".join("".join(tag[0] for tag in sentence.tags) for sentence in sentences)  # such as OBIOO BO
    return text.count("BI") / text.count("B")
''',
    ],
    vary=ranked_names,
    explanation="A name is long where its B is followed by an I. It is a small share, and still the one that word-by-word taggers get wrong.",
    properties=[Property("no share", "def test(out, case):\n    return 0 <= out <= 1 or f'A share lies between 0 and 1; yours is {out:.4g}.'\n",
                         "Of what is it a share?")],
    mistakes=[
        Mistake("of words, not of names", '''def share_of_long_names(mine):
    from fmcourse.data import load
    tags = [tag[0] for s in load("names").train[mine["first"]:][:mine["many"]] for tag in s.tags]
    return tags.count("I") / (tags.count("B") + tags.count("I"))
''', "It counts words inside names. Of what was the share asked?"),
        Mistake("long to short", '''def share_of_long_names(mine):
    from fmcourse.data import load
    pairs = [(t[0], a[0]) for s in load("names").train[mine["first"]:][:mine["many"]] for t, a in zip(s.tags, (*s.tags[1:], "O"))]
    long, names = pairs.count(("B", "I")), sum(t == "B" for t, _ in pairs)
    return long / (names - long)
''', "It divides the long ones by the short ones. By which number is a share divided?"),
        Mistake("the mean of the sentences", "def share_of_long_names(mine):\n    from fmcourse.data import load\n    some = load('names').train[mine['first']:][:mine['many']]\n    b = [sum(t[0] == 'B' for t in s.tags) for s in some]\n    i = [sum((x[0], y[0]) == ('B', 'I') for x, y in zip(s.tags, s.tags[1:])) for s in some]\n    shares = [x / y for x, y in zip(i, b) if y]; return sum(shares) / len(shares)\n",
                "A sentence with one name counts as much as one with ten. Of what, all together, was the share asked?"),
        Mistake("of sentences", "def share_of_long_names(mine):\n    from fmcourse.data import load\n    some = load('names').train[mine['first']:][:mine['many']]\n    b = [sum(t[0] == 'B' for t in s.tags) for s in some]\n    i = [sum((x[0], y[0]) == ('B', 'I') for x, y in zip(s.tags, s.tags[1:])) for s in some]\n    return sum(x > 0 for x in i) / len(some)\n",
                "That is the share of sentences in which a long name stands. Of what was the share asked?"),
        Mistake("of all words", "def share_of_long_names(mine):\n    from fmcourse.data import load\n    some = load('names').train[mine['first']:][:mine['many']]\n    b = [sum(t[0] == 'B' for t in s.tags) for s in some]\n    i = [sum((x[0], y[0]) == ('B', 'I') for x, y in zip(s.tags, s.tags[1:])) for s in some]\n    return sum(i) / sum(len(s.tags) for s in some)\n",
                "It divides by the number of words. Of what was the share asked?"),
        Mistake("words for each name", "def share_of_long_names(mine):\n    from fmcourse.data import load\n    some = load('names').train[mine['first']:][:mine['many']]\n    b = [sum(t[0] == 'B' for t in s.tags) for s in some]\n    i = [sum((x[0], y[0]) == ('B', 'I') for x, y in zip(s.tags, s.tags[1:])) for s in some]\n    return sum(t != 'O' for s in some for t in s.tags) / sum(b)\n",
                "That is how many words a name has on average. Of what was the share asked?"),
        Mistake("the first of all", "def share_of_long_names(mine):\n    from fmcourse.data import load\n    some = load('names').train[:mine['many']]\n    b = [sum(t[0] == 'B' for t in s.tags) for s in some]\n    i = [sum((x[0], y[0]) == ('B', 'I') for x, y in zip(s.tags, s.tags[1:])) for s in some]\n    return sum(i) / sum(b)\n",
                "These are the first sentences of all. Where do yours begin?"),
    ],
)  # fmt: skip
