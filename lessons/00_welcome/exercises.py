"""Exercises of lesson 00: a prediction made of counts, examples made of a text, and accuracy."""

from typing import Any

from fmcourse.course.exercise import Exercise, Mistake, Property

# -- 00.1 -----------------------------------------------------------------------------------------------------------------


def stands_after(answer: str, case: Any) -> bool | str:
    text, letter = case
    if letter + answer in text and len(answer) == 1:
        return True
    return f"For {text!r} and {letter!r} it answers {answer!r}, and {letter + answer!r} stands nowhere in the text."


guess = Exercise(
    "00.1",
    goal="predict the next letter",
    minutes=5,
    cases=[
        ("sees", "s"),
        ("aaab", "a"),
        ("no hat, then the hut", "t"),
        ("he hid her hat", "h"),
        ("The hat, Then to Tom to tea", "T"),
        ("he is she sees me", "e"),
        ("at the thin tea to go", "t"),
        ("it is hot, but not the hat", "t"),
        ("ha, he, he", "h"),
        ("he, ha, ha", "h"),
        ("abacac", "a"),
        ("aaaaababab", "a"),
        ("to\nso\nso, o\nno, go\n", "o"),
    ],
    starter='''def most_likely_next(text, letter):
    """The character that most often comes right after `letter` in `text`. Spaces count, and T is not t.

    `letter` stands somewhere before the end of `text`.
    """
    ...
''',
    solution='''def most_likely_next(text, letter):
    """The character that most often comes right after `letter` in `text`. Spaces count, and T is not t."""
    counts = Counter(after for before, after in pairwise(text) if before == letter)
    return counts.most_common(1)[0][0]
''',
    other_solutions=[
        """def most_likely_next(text, letter):
    counts = {}
    for i in range(len(text) - 1):
        if text[i] == letter:
            counts[text[i + 1]] = counts.get(text[i + 1], 0) + 1
    return max(counts, key=counts.get)
""",
        """def most_likely_next(text, letter):
    followers = [text[i + 1] for i, c in enumerate(text[:-1]) if c == letter]
    return max(sorted(set(followers)), key=followers.count)
""",
        """import re
def most_likely_next(text, letter):
    return Counter(re.findall("(?<=" + re.escape(letter) + ")(.)", text, re.DOTALL)).most_common(1)[0][0]
""",
    ],
    hints=[
        "Take `no hat, then the hut` and t. Put a finger on each t: what stands right after it? Which of these is most frequent?",
        "`pairwise(text)` walks through the text with each character beside the one after it, as in the count of q above.",
        "Collect `after` for every pair whose `before == letter`, count them with `Counter(...)`; its "
        "`.most_common(1)[0]` is (character, number).",
    ],
    explanation="The count of q above, with the letter as a parameter, and of the winner only the character. This is a "
    "language model already, the smallest there is: it has one character of context. Markov counted like this in 1913.",
    properties=[
        Property("it never comes there", stands_after, "Can a character that never follows be the one that most often does?"),
    ],
    mistakes=[
        Mistake(
            "the letter before",
            """def most_likely_next(text, letter):
    counts = Counter(before for before, after in zip(text, text[1:]) if after == letter)
    return counts.most_common(1)[0][0] if counts else ""
""",
            "It answers with what comes before the letter. In each pair, which of the two must be `letter`, and which is counted?",
        ),
        Mistake(
            "the number, not the letter",
            """def most_likely_next(text, letter):
    counts = Counter(after for before, after in zip(text, text[1:]) if before == letter)
    return counts.most_common(1)[0][1]
""",
            "It returns how often, not what. `most_common(1)[0]` is a pair: which half is the character?",
        ),
        Mistake(
            "the letter with its number",
            """def most_likely_next(text, letter):
    counts = Counter(after for before, after in zip(text, text[1:]) if before == letter)
    return counts.most_common(1)[0]
""",
            "It returns the character together with its count. The first of the two is wanted: how do you pick it?",
        ),
        Mistake(
            "a list with the answer in it",
            """def most_likely_next(text, letter):
    counts = Counter(after for before, after in zip(text, text[1:]) if before == letter)
    return counts.most_common(1)
""",
            "`most_common(1)` is a list of one pair, (character, number). How do you reach the character inside?",
        ),
        Mistake(
            "all the counts",
            """def most_likely_next(text, letter):
    return Counter(after for before, after in zip(text, text[1:]) if before == letter)
""",
            "These are all the counts. Which of the characters won, and how do you return only that one?",
        ),
        Mistake(
            "the most frequent letter of all",
            """def most_likely_next(text, letter):
    return Counter(text).most_common(1)[0][0]
""",
            "This is the most frequent character of the whole text, whatever `letter` is. Where do you look only after it?",
        ),
        Mistake(
            "only the first time",
            """def most_likely_next(text, letter):
    return text[text.index(letter) + 1]
""",
            "It looks after the first `letter` alone; in `no hat, then the hut` that is the comma. What follows the others?",
        ),
        Mistake(
            "only the last time",
            """def most_likely_next(text, letter):
    return text[text[:-1].rindex(letter) + 1]
""",
            "It looks after the last `letter` alone. What follows the ones before it?",
        ),
        Mistake(
            "capitals made small",
            """def most_likely_next(text, letter):
    text, letter = text.lower(), letter.lower()
    counts = Counter(after for before, after in zip(text, text[1:]) if before == letter)
    return counts.most_common(1)[0][0]
""",
            "It reads T and t as one. In a play, is what follows a capital the same as what follows a small letter?",
        ),
        Mistake(
            "spaces left out",
            """def most_likely_next(text, letter):
    counts = Counter(b for a, b in zip(text, text[1:]) if a == letter and b != " ")
    return counts.most_common(1)[0][0] if counts else ""
""",
            "It never answers with a space. But words end, so is a space not often what comes next?",
        ),
        Mistake(
            "words, not letters",
            """def most_likely_next(text, letter):
    words = [word for word in text.split() if letter in word]
    return Counter(words).most_common(1)[0][0]
""",
            "It returns a word that holds the letter. What is asked is a single character: the one after it?",
        ),
        Mistake(
            "pairs jumped over",
            """def most_likely_next(text, letter):
    pairs = [text[i : i + 2] for i in range(0, len(text) - 1, 2)]
    counts = Counter(pair[1] for pair in pairs if pair[0] == letter)
    return counts.most_common(1)[0][0] if counts else ""
""",
            "It walks in steps of two, so every second pair is never seen. In `see`, how many pairs of neighbours are there?",
        ),
        Mistake(
            "twins overlooked",
            """def most_likely_next(text, letter):
    counts = Counter(part[0] for part in text.split(letter)[1:] if part)
    return counts.most_common(1)[0][0] if counts else ""
""",
            "Where the letter follows itself, nothing stands between the two, and your count skips it. In `aaab`, what comes after the first a?",
        ),
        Mistake(
            "the end of the text",
            """def most_likely_next(text, letter):
    counts = Counter(text[i + 1] for i in range(len(text)) if text[i] == letter)
    return counts.most_common(1)[0][0]
""",
            "Where the text ends with the letter, nothing comes after it, and `text[i + 1]` is off the end. How far may i go?",
        ),
        Mistake(
            "both letters",
            """def most_likely_next(text, letter):
    counts = Counter(a + b for a, b in zip(text, text[1:]) if a == letter)
    return counts.most_common(1)[0][0]
""",
            "It returns the pair, the letter and what follows. We know the first already: which part is the prediction?",
        ),
        Mistake(
            "letters only",
            """def most_likely_next(text, letter):
    counts = Counter(b for a, b in zip(text, text[1:]) if a == letter and b.isalpha())
    return counts.most_common(1)[0][0] if counts else ""
""",
            "Spaces and commas are passed over. But a reader of `he is she` meets a space after e: is that not what comes next?",
        ),
        Mistake(
            "the rarest",
            """def most_likely_next(text, letter):
    counts = Counter(after for before, after in zip(text, text[1:]) if before == letter)
    return counts.most_common()[-1][0]
""",
            "It answers with the character that follows least often. At which end of the list does `most_common()` put the largest?",
        ),
        Mistake(
            "the last in the alphabet",
            """def most_likely_next(text, letter):
    return max(after for before, after in zip(text, text[1:]) if before == letter)
""",
            "`max` of characters is the one that comes last in the alphabet. By what should they be compared?",
        ),
        Mistake(
            "two places on",
            """def most_likely_next(text, letter):
    counts = Counter(after for before, after in zip(text, text[2:]) if before == letter)
    return counts.most_common(1)[0][0] if counts else ""
""",
            "It looks two places on. Which two characters are neighbours?",
        ),
        Mistake(
            "the text made small, not the letter",
            """def most_likely_next(text, letter):
    text = text.lower()
    counts = Counter(after for before, after in pairwise(text) if before == letter)
    return counts.most_common(1)[0][0]
""",
            "The text was made small and the letter was not, so T is never met. In a play, is T the same as t?",
        ),
        Mistake(
            "spaces removed first",
            """def most_likely_next(text, letter):
    text = text.replace(" ", "")
    counts = Counter(after for before, after in pairwise(text) if before == letter)
    return counts.most_common(1)[0][0]
""",
            "With the spaces gone, the end of a word touches the next word. What comes right after the last letter of a word?",
        ),
        Mistake(
            "the commonest pair of all",
            """def most_likely_next(text, letter):
    return Counter(pairwise(text)).most_common(1)[0][0][1]
""",
            "It finds the commonest pair of the whole text, whichever letter stands first in it. Which pairs begin with `letter`?",
        ),
        Mistake(
            "line ends left out",
            """import re
def most_likely_next(text, letter):
    return Counter(re.findall("(?<=" + re.escape(letter) + ").", text)).most_common(1)[0][0]
""",
            "The dot of a pattern matches everything but the end of a line. May a line end come next, too?",
        ),
        Mistake(
            "twins counted without overlap",
            """def most_likely_next(text, letter):
    return max(sorted(set(text)), key=lambda after: text.count(letter + after))
""",
            "`count` jumps over what it found, so in `aaaaa` it sees two pairs of a, a. How many neighbours of a are there?",
        ),
    ],
    imports="from collections import Counter\nfrom itertools import pairwise\n",
)  # fmt: skip

# -- 00.2 -----------------------------------------------------------------------------------------------------------------


def are_pairs(made: list, case: Any) -> bool | str:
    odd = [one for one in made if not (isinstance(one, tuple) and len(one) == 2)]
    return f"One of them is {odd[0]!r}; each must be a pair, such as ('he', 'l')." if odd else True


def are_in_the_text(made: list, case: Any) -> bool | str:
    text, n = case
    odd = [one for one in made if "".join(one) not in text]
    return f"From {text!r} it makes {odd[0]!r}, and {''.join(odd[0])!r} stands nowhere in it." if odd else True


def have_the_lengths(made: list, case: Any) -> bool | str:
    text, n = case
    odd = [one for one in made if len(one[0]) != n or len(one[1]) != 1]
    return f"With n={n} it makes {odd[0]!r}: {len(odd[0][0])} before, {len(odd[0][1])} to predict." if odd else True


def are_all_there(made: list, case: Any) -> bool | str:
    text, n = case
    wanted = max(0, len(text) - n)
    if len(made) == wanted:
        return True
    return f"{text!r} has {len(text)} characters, so with n={n} there are {wanted} to predict; it makes {len(made)} examples."


questions = Exercise(
    "00.2",
    goal="make examples out of a text",
    minutes=6,
    cases=[
        ("hello", 2),
        ("hello", 1),
        ("to be", 3),
        ("abcabc", 3),
        ("banana", 2),
        ("ab", 1),
        ("ab", 2),
        ("a rose is a rose", 4),
    ],
    starter='''def examples(text, n):
    """Every run of `n` characters in `text`, each with the one character that comes after it, in order.

    examples("hello", 2) is [("he", "l"), ("el", "l"), ("ll", "o")].
    """
    ...
''',
    solution='''def examples(text, n):
    """Every run of `n` characters in `text`, each with the one character that comes after it, in order."""
    return [(text[i : i + n], text[i + n]) for i in range(len(text) - n)]
''',
    other_solutions=[
        """def examples(text, n):
    made = []
    for end in range(n, len(text)):
        made.append((text[end - n : end], text[end]))
    return made
""",
        """def examples(text, n):
    contexts = [text[i : i + n] for i in range(len(text))]
    return list(zip(contexts, text[n:]))
""",
    ],
    hints=[
        "Lay a strip of paper over `hello` that shows two letters, and slide it along. How often does a letter come after it?",
        "A run that begins at i is `text[i : i + n]`. Where does the character after it stand?",
        "It is `text[i + n]`, and i may go as far as `range(len(text) - n)`. Put each pair into a list.",
    ],
    explanation="The input is a piece of text, its label is the character after it: the text brings its own labels. "
    "A text of N characters makes N - n examples, and nobody had to write a single label down.",
    properties=[
        Property("not pairs", are_pairs, "What belongs together: which context, which label?"),
        Property("not from the text", are_in_the_text, "A context and its label are neighbours: where does each begin?"),
        Property("another length", have_the_lengths, "How many characters does one see, and how many are to be predicted?"),
        Property("another number of examples", are_all_there, "Where does the first begin, and where the last?"),
    ],
    mistakes=[
        Mistake(
            "the last one is lost",
            "def examples(text, n):\n    return [(text[i:i+n], text[i+n]) for i in range(len(text) - n - 1)]\n",
            "The last character is never asked for. `range(k)` ends at k - 1 already, so what must k be?",
        ),
        Mistake(
            "one without an answer",
            "def examples(text, n):\n    return [(text[i:i+n], text[i+n:i+n+1]) for i in range(len(text) - n + 1)]\n",
            "The last run ends with the text, so nothing follows, and its answer is empty. Where must the runs stop?",
        ),
        Mistake(
            "past the end",
            "def examples(text, n):\n    return [(text[i:i+n], text[i+n:i+n+1]) for i in range(len(text))]\n",
            "It goes on to the end of the text, where runs grow shorter and nothing follows. Where is the last whole run with an answer?",
        ),
        Mistake(
            "one step too far",
            "def examples(text, n):\n    return [(text[i:i+n], text[i+n]) for i in range(len(text) - n + 1)]\n",
            "`text[i + n]` runs off the end for the last i. A text of 5 with n=2: which is the last i that has an answer?",
        ),
        Mistake(
            "the answer in the question",
            "def examples(text, n):\n    return [(text[i:i+n+1], text[i+n]) for i in range(len(text) - n)]\n",
            "The run already ends with the character to be predicted: the answer leaks. Where must the run stop?",
        ),
        Mistake(
            "the answer is the run's own end",
            "def examples(text, n):\n    return [(text[i:i+n], text[i+n-1]) for i in range(len(text) - n)]\n",
            "What is to be predicted is the run's own last character, which one sees. Which place comes after the run?",
        ),
        Mistake(
            "the answer is a run as well",
            "def examples(text, n):\n    return [(text[i:i+n], text[i+1:i+n+1]) for i in range(len(text) - n)]\n",
            "The answer is a whole run, shifted by one. (Language models are trained like that, in fact; lesson 06 will.) "
            "Here, which single character is new in it?",
        ),
        Mistake(
            "no overlap",
            "def examples(text, n):\n    return [(text[i:i+n], text[i+n]) for i in range(0, len(text) - n, n)]\n",
            "It jumps by n, so most characters are never asked for. May two runs not share letters?",
        ),
        Mistake(
            "no overlap, not even with the answer",
            "def examples(text, n):\n    return [(text[i:i+n], text[i+n]) for i in range(0, len(text) - n, n + 1)]\n",
            "It jumps over n + 1 characters at a time, so most are never asked for. May two runs not share letters?",
        ),
        Mistake(
            "backwards",
            "def examples(text, n):\n    return [(text[i+1:i+n+1], text[i]) for i in range(len(text) - n)]\n",
            "It asks for the character before the run. In which direction do we read?",
        ),
        Mistake(
            "the answer first",
            "def examples(text, n):\n    return [(text[i+n], text[i:i+n]) for i in range(len(text) - n)]\n",
            "Context and label have changed places. Which comes first in the pair?",
        ),
        Mistake(
            "the answers alone",
            "def examples(text, n):\n    return [text[i+n] for i in range(len(text) - n)]\n",
            "These are the labels. Where are the contexts, the runs before them?",
        ),
        Mistake(
            "only one",
            "def examples(text, n):\n    return [(text[:n], text[n])]\n",
            "It makes the first example and stops. How do you slide on to the others?",
        ),
        Mistake(
            "the first one is lost",
            "def examples(text, n):\n    return [(text[i:i+n], text[i+n]) for i in range(1, len(text) - n)]\n",
            "It begins with the second run. At which number does a text begin?",
        ),
        Mistake(
            "return in the loop",
            """def examples(text, n):
    for i in range(len(text) - n):
        made = [(text[i : i + n], text[i + n])]
        return made
""",
            "It comes back with the first example, before the loop has gone round. Should `return` stand inside the loop?",
        ),
        Mistake(
            "a step too far",
            """def examples(text, n):
    return [(text[i : i + n], text[i + n + 1]) for i in range(len(text) - n - 1)]
""",
            "A character between run and answer is left out: `hello` with n=1 has h followed by e, not by l. Where does the run end?",
        ),
        Mistake(
            "each kind once",
            """def examples(text, n):
    return list(dict.fromkeys((text[i:i+n], text[i+n]) for i in range(len(text) - n)))
""",
            "In `banana`, an is followed by a twice, and you keep it once. If something happens twice as often, should a learner see that?",
        ),
        Mistake(
            "one character is looked at",
            "def examples(text, n):\n    return [(text[i], text[i+n]) for i in range(len(text) - n)]\n",
            "With n=2 it shows one character, and asks for the one after next. How do you show all n?",
        ),
        Mistake(
            "everything so far",
            "def examples(text, n):\n    return [(text[:i+n], text[i+n]) for i in range(len(text) - n)]\n",
            "The run begins at the start each time and grows. Where must it begin, so that it holds n characters?",
        ),
        Mistake(
            "the answer is inside, and one more",
            "def examples(text, n):\n    return [(text[i:i+n], text[i+n-1]) for i in range(len(text) - n + 1)]\n",
            "What is to be predicted is the run's own last character, which one sees. Which place comes after the run?",
        ),
        Mistake(
            "always two",
            "def examples(text, n):\n    return [(text[i:i+2], text[i+2]) for i in range(len(text) - 2)]\n",
            "The runs are two long, as in the example, whatever n is. Where does n come in?",
        ),
        Mistake(
            "lists for pairs",
            "def examples(text, n):\n    return [[text[i:i+n], text[i+n]] for i in range(len(text) - n)]\n",
            "Each pair is a list. Which brackets make a tuple?",
        ),
        Mistake(
            "question and answer in one",
            "def examples(text, n):\n    return [text[i:i+n+1] for i in range(len(text) - n)]\n",
            "Each example is one text, the answer at its end. How do you make a pair of it?",
        ),
    ],
    imports="",
)  # fmt: skip

# -- 00.3 -----------------------------------------------------------------------------------------------------------------

EXAMPLES = """def examples(text, n):
    return [(text[i : i + n], text[i + n]) for i in range(len(text) - n)]
"""


def counting(body: str) -> str:
    """A near miss: `pairs` are (context, letter), `right` is True where the table predicts the letter."""
    return (
        "def accuracy(table, text, k):\n    pairs = examples(text, k)\n"
        "    right = [table.get(context) == letter for context, letter in pairs]\n"
        f"    {body}\n"
    )


measure = Exercise(
    "00.3",
    goal="measure accuracy",
    minutes=5,
    cases=[
        ({"a": "b", "b": "a"}, "abab", 1),
        ({"a": "b"}, "abac", 1),
        ({"a": "a"}, "aaab", 1),
        ({"t": "h", "h": "e"}, "the hat", 1),
        ({"th": "e"}, "the then", 2),
        ({"ab": "c", "bc": "a", "ca": "b"}, "abcabcab", 2),
        ({"n": "e", "o": "n"}, "none at noon", 1),
        ({"x": "y"}, "abc", 1),
        ({"to b": "e", "o be": ",", "not ": "t"}, "to be, or not to be", 4),
    ],
    starter='''def accuracy(table, text, k):
    """The share of the examples of `text` of which `table` predicts the letter, from 0 to 1.

    table: {context of k characters: predicted letter}. A context that it lacks counts as a wrong prediction.
    Your `examples(text, k)` makes the examples: (context, letter), ...
    """
    ...
''',
    solution='''def accuracy(table, text, k):
    """The share of the examples of `text` of which `table` predicts the letter, from 0 to 1."""
    right = [table.get(context) == letter for context, letter in examples(text, k)]
    return sum(right) / len(right)
''',
    other_solutions=[
        """from statistics import fmean
def accuracy(table, text, k):
    return fmean(table.get(context) == letter for context, letter in examples(text, k))
""",
        """def accuracy(table, text, k):
    right = wrong = 0
    for end in range(k, len(text)):
        context = text[end - k:end]
        if context in table and table[context] == text[end]:
            right += 1
        else:
            wrong += 1
    return right / (right + wrong)
""",
    ],
    hints=[
        "The text `abac` and the table {'a': 'b'}: which three examples are there, and of which does the table know the letter?",
        "`table.get(context)` is None where the table lacks the context, and None equals no letter.",
        "Make a list of `table.get(context) == letter` over all examples; its `sum` counts the True ones; divide by its length.",
    ],
    explanation="True counts as 1, so the sum of the comparisons is the number of right predictions, and the share is that number over all examples. "
    "A context without a count is a wrong prediction: otherwise a model that predicts hardly ever would look best.",
    mistakes=[
        Mistake("contexts that are missing are left out",
                "def accuracy(table, text, k):\n    right = [table[c] == letter for c, letter in examples(text, k) if c in table]\n    return sum(right) / len(right) if right else 0.0\n",
                "Examples without a context in the table are left out, so the share is too high. What does a missing context count as?"),
        Mistake("a context that is not there",
                "def accuracy(table, text, k):\n    right = [table[context] == letter for context, letter in examples(text, k)]\n    return sum(right) / len(right)\n",
                "`table[context]` is an error where the table lacks the context. Which method of a dict answers None instead?"),
        Mistake("a number, not a share", counting("return sum(right)"),
                "That is how many predictions were right. Of how many?"),
        Mistake("in percent", counting("return 100 * sum(right) / len(right)"),
                "It is 100 times too large. Between which two numbers does a share lie?"),
        Mistake("divided by the length of the text", counting("return sum(right) / len(text)"),
                "It divides by the number of characters. How many of them have k characters before them, and so are predicted?"),
        Mistake("the share of wrong predictions", counting("return 1 - sum(right) / len(right)"),
                "It is 0 where every prediction is right. Which of the two is accuracy?"),
        Mistake("each example once",
                "def accuracy(table, text, k):\n    pairs = set(examples(text, k))\n    return sum(table.get(c) == letter for c, letter in pairs) / len(pairs)\n",
                "An example that occurs several times is counted once. In `aaab`, how often is a predicted after a?"),
        Mistake("each context once",
                "def accuracy(table, text, k):\n    last = dict(examples(text, k))\n    return sum(table.get(c) == letter for c, letter in last.items()) / len(last)\n",
                "A context that occurs several times is counted once, with the letter that came last. In `abac`, how often is a letter predicted after a?"),
        Mistake("only whether the context is known",
                "def accuracy(table, text, k):\n    pairs = examples(text, k)\n    return sum(c in table for c, letter in pairs) / len(pairs)\n",
                "It counts how often the table has the context. Is its prediction right each time?"),
        Mistake("a missing context counts as right",
                "def accuracy(table, text, k):\n    pairs = examples(text, k)\n    return sum(table.get(c, letter) == letter for c, letter in pairs) / len(pairs)\n",
                "Where the context is missing, the right letter itself is put in as the prediction. What should count there?"),
        Mistake("whole numbers only", counting("return sum(right) // len(right)"),
                "`//` throws the rest away, so it is 0 unless everything is right. Which division keeps it?"),
        Mistake("divided by the size of the table", counting("return sum(right) / len(table)"),
                "It divides by the number of contexts in the table. How many predictions were made?"),
        Mistake("the last example is lost", counting("right = right[:-1]; return sum(right) / len(right)"),
                "The last example is not counted. Has it no letter?"),
        Mistake("any prediction of the table",
                "def accuracy(table, text, k):\n    pairs = examples(text, k)\n    return sum(letter in table.values() for c, letter in pairs) / len(pairs)\n",
                "It asks whether the letter is predicted after any context. Which context stands before it here?"),
        Mistake("context and letter swapped",
                "def accuracy(table, text, k):\n    pairs = examples(text, k)\n    return sum(table.get(letter) == c for c, letter in pairs) / len(pairs)\n",
                "It looks up the letter and compares with the context. Which of the two is the key of the table?"),
        Mistake("right for every wrong one", counting("return sum(right) / max(1, len(right) - sum(right))"),
                "It divides the right predictions by the wrong ones. A share is a part of what?"),
        Mistake("only whether all are right", counting("return float(all(right))"),
                "It says whether everything was right. How large a part was?"),
        Mistake("rounded", counting("return round(sum(right) / len(right), 1)"),
                "It is rounded to one digit. Who asked for that?"),
        Mistake("always one character of context",
                "def accuracy(table, text, k):\n    pairs = [(text[i:i + 1], text[i + 1]) for i in range(len(text) - 1)]\n    return sum(table.get(c) == letter for c, letter in pairs) / len(pairs)\n",
                "Its contexts are one character long, whatever k is. Where does k come in?"),
    ],
    imports=EXAMPLES,
)  # fmt: skip
