"""Assigned in lesson 07: whole-word masking, and blanks filled by counting."""

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
    goal="whole-word masking",
    minutes=15,
    difficulty=2,
    text="If only `##ing` is masked, `walk` gives it away: the task is too easy. So later BERTs choose *words* and mask all pieces of each (**whole-word masking**). "
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

# -- 07.A2 the rival without a network --------------------------------------------------------------------------------------


def a_part(draw):
    """Another part of the unseen text for each student."""
    return {"first": draw.randrange(0, 150_000), "many": draw.randrange(4000, 8000)}


two_neighbours = AssignedExercise(
    "07.A2",
    goal="fill blanks by counting",
    minutes=15,
    text="How good is the simplest rival of a masked model, one that sees one letter on each side? Take `load(\"recipes\")`; turn a text into letters with "
    "`re.sub(\"[^a-z]+\", \" \", text.lower())`, so that it has 27 different characters. From the first 300,000 characters of `.train` (cut first, then "
    "turned) count which character stands between each pair of neighbours. Then take `.validation[first : first + many]`, with your own two numbers, turn "
    "it as well, and hide each character but the first and the last in turn: predict the one counted most often between its two neighbours (of equal "
    "counts the one that comes first in `\" abc...z\"`; a pair of neighbours that was never seen is a miss). What is the accuracy?"
    "\n\nGive it unrounded: the first five digits must be right.",
    imports=IMPORTS + "import re\nfrom collections import Counter\nfrom fmcourse.data import load\n",
    starter='''mine = variant("07.A2")  # your numbers
accuracy_of_counts = ...  # a float from 0 to 1
''',
    solution='''import re
from collections import Counter
from fmcourse.data import load


def accuracy_of_counts(mine):
    letters = lambda text: re.sub("[^a-z]+", " ", text.lower())
    text = letters(load("recipes").train[:300_000])
    unseen = letters(load("recipes").validation[mine["first"] : mine["first"] + mine["many"]])
    counts = Counter(zip(text, text[1:], text[2:]))
    best = {}
    for (left, middle, right), n in sorted(counts.items()):
        if n > best.get((left, right), (0, ""))[0]:
            best[left, right] = n, middle
    hits = [best.get((left, right), (0, ""))[1] == middle for left, middle, right in zip(unseen, unseen[1:], unseen[2:])]
    return sum(hits) / len(hits)
''',
    other_solutions=[
        '''def accuracy_of_counts(mine):
    import re
    from collections import Counter, defaultdict
    from fmcourse.data import load
    letters = lambda text: re.sub("[^a-z]+", " ", text.lower())
    text = letters(load("recipes").train[:300_000])
    unseen = letters(load("recipes").validation[mine["first"]:][:mine["many"]])
    between = defaultdict(Counter)
    for t in range(1, len(text) - 1):
        between[text[t - 1] + text[t + 1]][text[t]] += 1
    right = 0
    for t in range(1, len(unseen) - 1):
        seen = between[unseen[t - 1] + unseen[t + 1]]
        guess = max(" abcdefghijklmnopqrstuvwxyz", key=lambda one: seen[one]) if seen else None
        right += guess == unseen[t]
    return right / (len(unseen) - 2)
''',
        '''def accuracy_of_counts(mine):
    import re
    import torch
    from fmcourse.data import load
    def ids(text):
        text = re.sub("[^a-z]+", " ", text.lower())
        return torch.tensor([" abcdefghijklmnopqrstuvwxyz".index(one) for one in text])
    text = ids(load("recipes").train[:300_000])
    unseen = ids(load("recipes").validation[mine["first"] : mine["first"] + mine["many"]])
    counts = torch.bincount((text[:-2] * 27 + text[2:]) * 27 + text[1:-1], minlength=27**3).view(27, 27, 27)
    seen = counts[unseen[:-2], unseen[2:]]
    hit = (seen.argmax(1) == unseen[1:-1]) & (seen.sum(1) > 0)
    return hit.double().mean().item()
''',
    ],
    vary=a_part,
    explanation="Between two known neighbours few letters are likely: a table of 729 rows fills blanks better than the commonest character, and a masked "
    "model must beat it by what stands further away.",
    properties=[Property("no share", "def test(out, case):\n    return 0 <= out <= 1 or f'A share lies between 0 and 1; yours is {out:.4g}.'\n",
                         "Of what is it a share?")],
    mistakes=[
        Mistake("the left neighbour alone", '''def accuracy_of_counts(mine):
    import re
    from collections import Counter, defaultdict
    from fmcourse.data import load
    letters = lambda text: re.sub("[^a-z]+", " ", text.lower())
    text = letters(load("recipes").train[:300_000])
    unseen = letters(load("recipes").validation[mine["first"]:][:mine["many"]])
    after = defaultdict(Counter)
    for t in range(1, len(text) - 1):
        after[text[t - 1]][text[t]] += 1
    guess = {one: max(" abcdefghijklmnopqrstuvwxyz", key=lambda it: after[one][it]) for one in after}
    return sum(guess.get(unseen[t - 1]) == unseen[t] for t in range(1, len(unseen) - 1)) / (len(unseen) - 2)
''', "It looks at the left neighbour alone. What does a masked model see besides?"),
        Mistake("the commonest character", '''def accuracy_of_counts(mine):
    import re
    from fmcourse.data import load
    letters = lambda text: re.sub("[^a-z]+", " ", text.lower())
    unseen = letters(load("recipes").validation[mine["first"]:][:mine["many"]])
    return unseen[1:-1].count(" ") / (len(unseen) - 2)
''', "It always predicts the space, the commonest character. What do the neighbours say?"),
        Mistake("counted in the unseen text", '''def accuracy_of_counts(mine):
    import re
    from collections import Counter, defaultdict
    from fmcourse.data import load
    letters = lambda text: re.sub("[^a-z]+", " ", text.lower())
    text = unseen = letters(load("recipes").validation[mine["first"]:][:mine["many"]])
    between = defaultdict(Counter)
    for t in range(1, len(text) - 1):
        between[text[t - 1] + text[t + 1]][text[t]] += 1
    right = 0
    for t in range(1, len(unseen) - 1):
        seen = between[unseen[t - 1] + unseen[t + 1]]
        right += max(" abcdefghijklmnopqrstuvwxyz", key=lambda one: seen[one]) == unseen[t]
    return right / (len(unseen) - 2)
''', "The counts come from the very text that is predicted. From which text should they come?"),
        Mistake("the end of the slice", '''def accuracy_of_counts(mine):
    import re
    from collections import Counter, defaultdict
    from fmcourse.data import load
    letters = lambda text: re.sub("[^a-z]+", " ", text.lower())
    text = letters(load("recipes").train[:300_000])
    unseen = letters(load("recipes").validation[mine["first"]:mine["many"]])
    between = defaultdict(Counter)
    for t in range(1, len(text) - 1):
        between[text[t - 1] + text[t + 1]][text[t]] += 1
    right = 0
    for t in range(1, len(unseen) - 1):
        seen = between[unseen[t - 1] + unseen[t + 1]]
        right += bool(seen) and max(" abcdefghijklmnopqrstuvwxyz", key=lambda one: seen[one]) == unseen[t]
    return right / (len(unseen) - 2) if len(unseen) > 2 else 0.0
''', "The slice ends at `many`; it should be `many` characters long. Where does it end?"),
    ],
)  # fmt: skip
