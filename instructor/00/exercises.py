"""Assigned in lesson 00: what of a text was copied, and whether a table errs or falls silent."""

from fmcourse.classroom.exercise_kinds import AssignedExercise
from fmcourse.course.exercise import IMPORTS, Mistake, Property

# -- 00.A1 copied ---------------------------------------------------------------------------------------------------------

COPIED = '''def by_heart(known, written, n):
    """Which characters of `written` are copied from `known`.

    known, written: texts, perhaps empty   n: a whole number, at least 1
    ->   a list of True or False, one for each character of `written`

    A character is copied if it belongs to a run of n neighbours in `written` that stands in `known` as well, the same
    n characters side by side, anywhere. Every place of such a run is copied: its first, its last and all between.
    Spaces count, and T is not t.
    """
'''


def copying(body):
    """A near miss: `out` is to be filled."""
    return f"def by_heart(known, written, n):\n    out = [False] * len(written)\n{body}    return out\n"


PLAY = "the quality of mercy is not strained, it droppeth as the gentle rain from heaven upon the place beneath"
GPT = "The quality of the king is not strained; it droppeth as the rain, and heaven was upon the plates"

copied = AssignedExercise(
    "00.A1",
    goal="what did it copy?",
    minutes=15,
    difficulty=2,
    text="A model has written a fine line. Did it understand, or does it know its text by heart? The same question is asked of every test: if the answers stood in the training text, "
    "a good mark shows nothing. People call that **contamination**. GPT-3's authors looked for runs of 13 words that a test shared with what the model had read (Brown et al. 2020, appendix C). "
    "Here a run has n characters.\n\n"
    "*Example.* It read `to be or not to be`, wrote `not to bee`, and n is 4. The runs `not `, `ot t`, `t to`, ` to `, `to b` and `o be` stand in what it read; ` bee` does not. "
    "Between them they hold all that it wrote but the last e: nine times True, then False.\n\n"
    "When it works, try it on what your GPT wrote in the lesson: `copied = by_heart(text, written, 12)`, and `sum(copied) / len(copied)` is the share.",
    cases=[
        ("to be or not to be", "not to bee", 4),
        ("abcd", "xabcx", 3),
        ("a rose is a rose", "a nose is a hose", 3),
        ("banana", "nana", 2),
        ("banana", "ananas", 2),
        ("one two", "two one", 3),
        ("The hat", "the hat", 3),
    ],
    hidden=[
        ("abc", "abc", 3),
        ("", "abc", 1),
        ("something", "", 2),
        ("abcd", "xcd", 3),
        ("aab", "abaab", 1),
        ("abcxyz", "abxyzc", 2),
        ("hello there", "there, hello", 5),
        ("abab cdcd", "dcdab ba", 2),
        ("no", "xx no", 2),
        ("so it is", "is it so, it is", 4),
        ("round and round it goes", "round it goes and goes", 6),
        (PLAY, GPT, 8),
        (PLAY, GPT, 13),
        (GPT, PLAY * 3, 5),
    ],
    starter=COPIED + "    ...\n",
    solution=COPIED + '''    out = [False] * len(written)
    for i in range(len(written) - n + 1):
        if written[i : i + n] in known:
            out[i : i + n] = [True] * n
    return out
''',
    other_solutions=[
        "def by_heart(known, written, n):\n    runs = {known[i:i + n] for i in range(len(known) - n + 1)}\n    found = [i for i in range(len(written)) if written[i:i + n] in runs]\n"
        "    return [any(i <= at < i + n for i in found) for at in range(len(written))]\n",
        "def by_heart(known, written, n):\n    out, reach = [], 0\n    for at in range(len(written)):\n        if at + n <= len(written) and known.find(written[at:at + n]) >= 0:\n"
        "            reach = at + n\n        out.append(at < reach)\n    return out\n",
        "def by_heart(known, written, n):\n    def marked(at):\n        first, last = max(0, at - n + 1), min(at, len(written) - n)\n"
        "        return any(written[i:i + n] in known for i in range(first, last + 1))\n    return list(map(marked, range(len(written))))\n",
    ],
    explanation="Slide a window of n characters over what was written. Where its content stands in the known text, all n places are marked, and places that are marked twice stay marked. "
    "Nothing is said of how often or where it stood. With small n everything looks copied, since short runs are common property; with large n only what is known by heart is left.",
    properties=[
        Property("what is plain to see", '''def test(out, case):
    known, written, n = case
    if len(out) != len(written):
        return f"{written!r} has {len(written)} characters; the list has {len(out)} entries."
    for at, (letter, marked) in enumerate(zip(written, out)):
        if marked and letter not in known:
            return f"Place {at} of {written!r} is marked, and {letter!r} stands nowhere in what was read."
    if len(written) >= n and written in known and not all(out):
        return f"All of {written!r} stands in what was read, just so, and n is {n}; not all of it is marked."
    return True
''', "Which places of a copied run are copied, and what can never be part of a copy?"),
    ],
    mistakes=[
        Mistake("where a run begins", copying("    for i in range(len(written) - n + 1):\n        out[i] = written[i:i + n] in known\n"),
                "Only the first place of each run is marked. Which other places belong to it?"),
        Mistake("where a run ends", copying("    for i in range(len(written) - n + 1):\n        out[i + n - 1] = written[i:i + n] in known\n"),
                "Only the last place of each run is marked. Was what stands before it not copied with it?"),
        Mistake("cut into blocks", copying("    for i in range(0, len(written) - n + 1, n):\n        if written[i:i + n] in known:\n            out[i:i + n] = [True] * n\n"),
                "It looks at blocks of n, one behind the other. Must a copy begin where a block begins?"),
        Mistake("jumps over what it found", copying("    i = 0\n    while i <= len(written) - n:\n        if written[i:i + n] in known:\n            out[i:i + n] = [True] * n\n            i += n\n        else:\n            i += 1\n"),
                "After a run is found it goes on behind it. May another run begin inside the one that was found?"),
        Mistake("the last run is forgotten", copying("    for i in range(len(written) - n):\n        if written[i:i + n] in known:\n            out[i:i + n] = [True] * n\n"),
                "The run that ends with the text is never looked at. In a text of five characters, where does the last run of three begin?"),
        Mistake("runs that grow shorter", copying("    for i in range(len(written)):\n        if written[i:i + n] in known:\n            out[i:i + n] = [True] * len(written[i:i + n])\n"),
                "At the end of the text it accepts runs of fewer than n characters. How long must a run be?"),
        Mistake("letters, not runs", copying("    out = [letter in known for letter in written]\n"),
                "A character is marked if it stands anywhere in what was read. What must its neighbours do?"),
        Mistake("at the same place", copying("    for i in range(len(written) - n + 1):\n        if written[i:i + n] == known[i:i + n]:\n            out[i:i + n] = [True] * n\n"),
                "It looks for a run only at the same distance from the beginning. May a copy stand elsewhere?"),
        Mistake("one answer for each run", "def by_heart(known, written, n):\n    return [written[i:i + n] in known for i in range(len(written) - n + 1)]\n",
                "There is one answer for each run, and so too few. For what is an answer wanted?"),
        Mistake("the new ones", copying("    for i in range(len(written) - n + 1):\n        if written[i:i + n] in known:\n            out[i:i + n] = [True] * n\n    out = [not one for one in out]\n"),
                "It marks what is new. What does True stand for?"),
        Mistake("capitals made small", copying("    known, written = known.lower(), written.lower()\n    for i in range(len(written) - n + 1):\n        if written[i:i + n] in known:\n            out[i:i + n] = [True] * n\n"),
                "T and t are taken for the same. What was said of them?"),
        Mistake("marks wiped out", copying("    for i in range(len(written) - n + 1):\n        out[i:i + n] = [written[i:i + n] in known] * n\n"),
                "A run that was not found wipes out marks that an earlier run had made. If a place belongs to two runs and one of them is copied, what is the place?"),
        Mistake("where a run begins, short ones too", copying("    for i in range(len(written)):\n        out[i] = written[i:i + n] in known\n"),
                "Only the first place of each run is marked, and near the end runs of fewer than n characters count. Which places belong to a run, and how long must it be?"),
        Mistake("where a run ends, short ones too", copying("    for i in range(len(written)):\n        out[i] = written[max(0, i - n + 1):i + 1] in known\n"),
                "Only the last place of each run is marked, and at the beginning runs of fewer than n characters count. Which places belong to a run, and how long must it be?"),
        Mistake("begins or ends", copying("    for i in range(len(written) - n + 1):\n        if written[i:i + n] in known:\n            out[i] = out[i + n - 1] = True\n"),
                "The first and the last place of a run are marked. What of those between?"),
        Mistake("one place too many", copying("    for i in range(len(written) - n + 1):\n        if written[i:i + n] in known:\n            for j in range(i, min(i + n + 1, len(written))):\n                out[j] = True\n"),
                "The character behind each run is marked as well. Which is the last of n places that begin at i?"),
        Mistake("one place too few", copying("    for i in range(len(written) - n + 1):\n        if written[i:i + n] in known:\n            for j in range(i, i + n - 1):\n                out[j] = True\n"),
                "The last character of each run is not marked. Which is the last of n places that begin at i?"),
        Mistake("the last run of what it read", copying("    runs = {known[i:i + n] for i in range(len(known) - n)}\n    for i in range(len(written) - n + 1):\n        if written[i:i + n] in runs:\n            out[i:i + n] = [True] * n\n"),
                "The run with which `known` ends is never looked at. In a text of five characters, where does the last run of three begin?"),
        Mistake("a place for a truth", copying("    for i in range(len(written) - n + 1):\n        if known.find(written[i:i + n]):\n            out[i:i + n] = [True] * n\n"),
                "`find` gives the place, which is 0 at the beginning, and -1 where nothing is found. Which of these two count as true?"),
        Mistake("not at the very beginning", copying("    for i in range(len(written) - n + 1):\n        if known.find(written[i:i + n]) > 0:\n            out[i:i + n] = [True] * n\n"),
                "A run with which `known` begins is not found. What does `find` give there?"),
    ],
)  # fmt: skip

# -- 00.A2 wrong or silent ------------------------------------------------------------------------------------------------

UNSEEN = ["As You Like It", "Macbeth", "Much Ado About Nothing", "Henry V"]


def a_table_and_a_play(draw):
    """Other texts and another memory for each student."""
    return {"first": draw.randrange(0, 4_400_000), "many": draw.randrange(30_000, 50_000), "n": draw.choice([4, 5, 6]),
            "play": draw.choice(UNSEEN), "start": draw.randrange(3_000, 90_000)}  # fmt: skip


def asked(
    body,
    read='plays.train[mine["first"]:][:mine["many"]]',
    new='plays.works[mine["play"]].text[mine["start"]:][:10_000]',
    n='mine["n"]',
):
    """A near miss: `rows` counts what followed, `best` is the table, `pairs` are the questions of the new text with their answers."""
    return (
        "def right_when_it_speaks(mine):\n    from collections import Counter, defaultdict\n    from fmcourse.data import load\n"
        f'    plays, n = load("shakespeare"), {n}\n    read, new = {read}, {new}\n    rows = defaultdict(Counter)\n'
        "    for i in range(len(read) - n):\n        rows[read[i:i + n]][read[i + n]] += 1\n"
        "    best = {run: counts.most_common(1)[0][0] for run, counts in rows.items()}\n"
        f"    pairs = [(new[i:i + n], new[i + n]) for i in range(len(new) - n)]\n{body}"
    )  # fmt: skip


wrong_or_silent = AssignedExercise(
    "00.A2",
    goal="does it err, or does it fall silent?",
    minutes=12,
    text="The table that looked back ten letters got next to nothing of *Macbeth*. There are two ways to fail: to say something wrong, or to have no row and say nothing. Which was it?\n\n"
    "Learn a table, as in the lesson, from `load(\"shakespeare\").train[first : first + many]`: for each run of `n` characters what most often came next (of several that came equally often "
    "the one that it met first, as `Counter.most_common` has it). Then take `load(\"shakespeare\").works[play].text[start : start + 10_000]`, with your own numbers, and ask for each character that has "
    "`n` others before it in this piece. Of those questions **for which the table has a row**, which share does it answer rightly?\n\n"
    "When you have it, try other n. The share of right answers among *all* questions falls and falls. Does this one?"
    "\n\nGive it unrounded: the first five digits must be right.",
    imports=IMPORTS + "from fmcourse.data import load\n",
    starter='''mine = variant("00.A2")  # your numbers
right_when_it_speaks = ...  # a float from 0 to 1
''',
    solution='''from collections import Counter, defaultdict

from fmcourse.data import load


def right_when_it_speaks(mine):
    plays, n = load("shakespeare"), mine["n"]
    read = plays.train[mine["first"] : mine["first"] + mine["many"]]
    counts = defaultdict(Counter)
    for i in range(len(read) - n):
        counts[read[i : i + n]][read[i + n]] += 1
    table = {run: after.most_common(1)[0][0] for run, after in counts.items()}

    new = plays.works[mine["play"]].text[mine["start"] : mine["start"] + 10_000]
    spoken = [table[new[i : i + n]] == new[i + n] for i in range(len(new) - n) if new[i : i + n] in table]
    return sum(spoken) / len(spoken)
''',
    other_solutions=['''def right_when_it_speaks(mine):
    from fmcourse.data import load
    plays, n, times = load("shakespeare"), mine["n"], {}
    read = plays.train[mine["first"]:][:mine["many"]]
    for end in range(n + 1, len(read) + 1):
        row = times.setdefault(read[end - n - 1:end - 1], {})
        row[read[end - 1]] = row.get(read[end - 1], 0) + 1
    right = wrong = 0
    new = plays.works[mine["play"]].text[mine["start"]:][:10_000]
    for at in range(n, len(new)):
        row = times.get(new[at - n:at])
        if row is not None:
            guess = max(row, key=row.get)
            right, wrong = right + (guess == new[at]), wrong + (guess != new[at])
    return right / (right + wrong)
''', '''def right_when_it_speaks(mine):
    from collections import Counter
    from fmcourse.data import load
    plays, width = load("shakespeare"), mine["n"] + 1
    runs = lambda text: [text[i:i + width] for i in range(len(text) - width + 1)]      # each with its answer at the end
    table = {}
    for run, _ in Counter(runs(plays.train[mine["first"]:][:mine["many"]])).most_common():
        table.setdefault(run[:-1], run[-1])                                            # the commonest stands first
    spoken = [run for run in runs(plays.works[mine["play"]].text[mine["start"]:][:10_000]) if run[:-1] in table]
    right = [run for run in spoken if run[-1] == table[run[:-1]]]
    return len(right) / len(spoken)
'''],
    vary=a_table_and_a_play,
    explanation="The share of all right answers is a product: how often there is a row, times how often the row is right. A longer memory hardly changes the second, about one half here; the first "
    "collapses. The table does not err more, it falls silent: most long runs are new. A network always says something, because it can see that a new run is like others that it knows.",
    properties=[Property("no share", "def test(out, case):\n    return 0 < out < 1 or f'Some of its answers are right and some are not, so the share lies between 0 and 1; yours is {out:.4g}.'\n",
                         "Which two counts does the share divide?")],
    mistakes=[
        Mistake("all questions", asked("    return sum(best.get(run) == letter for run, letter in pairs) / len(pairs)\n"),
                "Questions without a row are counted as wrong answers. Among which questions was the share asked?"),
        Mistake("how often it speaks", asked("    return sum(run in best for run, _ in pairs) / len(pairs)\n"),
                "That is how often the table has a row. How often is it right when it has one?"),
        Mistake("its own text", asked("    told = [best[run] == letter for run, letter in pairs if run in best]\n    return sum(told) / len(told)\n", new='plays.train[mine["first"]:][:mine["many"]]'),
                "It is asked about the text that it learnt from, and knows it by heart. Which text is new to it?"),
        Mistake("texts swapped", asked("    told = [best[run] == letter for run, letter in pairs if run in best]\n    return sum(told) / len(told)\n",
                read='plays.works[mine["play"]].text[mine["start"]:][:10_000]', new='plays.train[mine["first"]:][:mine["many"]]'),
                "It learnt from the play and was asked about the other text. Which of the two is to be unseen?"),
        Mistake("whatever followed once", asked("    told = [letter in rows[run] for run, letter in pairs if run in best]\n    return sum(told) / len(told)\n"),
                "An answer counts as right if the letter followed at least once. How many guesses has the table for each run?"),
        Mistake("each run once", asked("    told = {run: [] for run, _ in pairs if run in best}\n    for run, letter in pairs:\n        if run in told:\n            told[run].append(best[run] == letter)\n"
                "    return sum(sum(t) / len(t) for t in told.values()) / len(told)\n"),
                "Each different run counts once, however often it was asked about. Of what was the share asked: of runs or of questions?"),
        Mistake("one letter less", asked("    told = [best[run] == letter for run, letter in pairs if run in best]\n    return sum(told) / len(told)\n", n='mine["n"] - 1'),
                "Its runs have n characters with the answer. How many does it look back?"),
        Mistake("the last answer wins", asked("    best = {read[i:i + n]: read[i + n] for i in range(len(read) - n)}\n    told = [best[run] == letter for run, letter in pairs if run in best]\n    return sum(told) / len(told)\n"),
                "Each run keeps the character that followed it last. Which of all that followed it is to be the answer?"),
        Mistake("the first answer wins", asked("    best = {run: next(iter(counts)) for run, counts in rows.items()}\n    told = [best[run] == letter for run, letter in pairs if run in best]\n    return sum(told) / len(told)\n"),
                "Each run keeps the character that followed it first. Which of all that followed it is to be the answer?"),
        Mistake("one letter more", asked("    told = [best[run] == letter for run, letter in pairs if run in best]\n    return sum(told) / len(told)\n", n='mine["n"] + 1'),
                "It looks back one character more than your n. How many characters are a row's run?"),
        Mistake("the rest of the play", asked("    told = [best[run] == letter for run, letter in pairs if run in best]\n    return sum(told) / len(told)\n", new='plays.works[mine["play"]].text[mine["start"]:]'),
                "It is asked about all that is left of the play. How many characters has your piece?"),
        Mistake("the beginning of the play", asked("    told = [best[run] == letter for run, letter in pairs if run in best]\n    return sum(told) / len(told)\n", new='plays.works[mine["play"]].text[:10_000]'),
                "It is asked about the first characters of the play. Where does your piece begin?"),
        Mistake("the beginning of the plays", asked("    told = [best[run] == letter for run, letter in pairs if run in best]\n    return sum(told) / len(told)\n", read='plays.train[:mine["many"]]'),
                "It learns from the first characters of all. Where does your piece begin?"),
        Mistake("each run once, its last answer", asked("    last = dict(pairs)\n    told = [best[run] == letter for run, letter in last.items() if run in best]\n    return sum(told) / len(told)\n"),
                "A run that was asked about ten times is asked once. Of what was the share asked: of runs or of questions?"),
    ],
)  # fmt: skip
