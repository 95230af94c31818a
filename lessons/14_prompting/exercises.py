"""Lesson 14: a text of examples, scores of labels, calibration, what to look for in the past, and which token may come."""

import torch
from fmcourse.course.exercise import Exercise, Mistake, Property
from torch import Tensor
from torch.nn import functional as F

noise = lambda *shape, seed=0: torch.randn(*shape, generator=torch.Generator().manual_seed(seed))

# -- 14.1 a prompt made of examples ---------------------------------------------------------------------------------------


def ends_open(out: str, case: tuple) -> bool | str:
    """The text stops where the answer begins."""
    if out.endswith(" "):
        return f"It ends {out[-8:]!r}, with a space. Answers begin with a space that belongs to their first token: ' cold'."
    return True


def written(
    examples, word, *, arrow=" ->", answers=True, between="\n", reverse=False, after="", first=False, last=True, gap=" "
):
    """The right answer, or one with a wrong belief."""
    lines = [f"{given}{arrow}{gap}{said}" if answers else f"{given}{arrow}" for given, said in examples]
    asked = [f"{word}{arrow}{after}"] if last else []
    lines = lines[::-1] if reverse else lines
    return between.join([*asked, *lines] if first else [*lines, *asked])


shown = Exercise(
    "14.1",
    goal="a prompt made of examples",
    minutes=5,
    cases=[
        ([], "wet"),
        ([("hot", "cold")], "wet"),
        ([("hot", "cold"), ("up", "down")], "wet"),
        ([("France", "Paris"), ("Japan", "Tokyo"), ("Peru", "Lima")], "Costa Rica"),
    ],
    starter='''def with_examples(examples, word):
    """One example a line, "hot -> cold", and last the word that is asked, "wet ->", so that the answer is what comes
    next.

    examples: pairs (given, answer)   word: text   ->   text; it ends with the arrow
    """
    ...
''',
    solution='''def with_examples(examples, word):
    """One example a line, "hot -> cold", and last the word that is asked, "wet ->", so that the answer is what comes
    next.

    examples: pairs (given, answer)   word: text   ->   text; it ends with the arrow
    """
    lines = [f"{given} -> {answer}" for given, answer in examples]
    return "\\n".join([*lines, f"{word} ->"])                      # no space behind the arrow: it belongs to the answer
''',
    other_solutions=[
        lambda examples, word: "".join(f"{given} -> {answer}\n" for given, answer in examples) + word + " ->",
        'def with_examples(examples, word):\n    text = ""\n    for given, answer in examples:\n        text = text + given + " -> " + answer + "\\n"\n'
        '    return text + word + " ->"\n',
    ],
    hints=[
        "The model goes on with the text. Where must the text stop, so that going on means answering?",
        "A line for each example, whole; then a line that is broken off behind the arrow. Is there a line break after that?",
        '`"\\n".join([...])` of `f"{given} -> {answer}"` for each example and `f"{word} ->"` at the end.',
    ],
    explanation="The last line is like the others, broken off. The likeliest way to go on is to finish it in the same manner. A space at the end "
    "would be a token of its own, and after it \" cold\", with its space, would be an odd thing to write.",
    properties=[Property("a space at the end", ends_open, "To which token does the space before an answer belong?")],
    mistakes=[
        Mistake("a space at the end", lambda examples, word: written(examples, word, after=" "),
                "The text ends with a space, and the answer's own space has nowhere to go. To which token does it belong?"),
        Mistake("a line break at the end", lambda examples, word: written(examples, word) + "\n",
                "The question's line is ended, so the model will begin the next one. Where should the text break off?"),
        Mistake("the answers are missing", lambda examples, word: written(examples, word, answers=False),
                "The examples are questions without answers. What is there to learn from them?"),
        Mistake("all on one line", lambda examples, word: written(examples, word, between=" "),
                "All examples stand on one line, so nothing shows where an answer ends. What stands between two of them?"),
        Mistake("an empty line between", lambda examples, word: written(examples, word, between="\n\n"),
                "There is an empty line between examples. How many line breaks does the docstring's \"one example a line\" need?"),
        Mistake("the question first", lambda examples, word: written(examples, word, first=True),
                "The question stands before the examples, so what comes next is one more example. What should stand last?"),
        Mistake("nothing is asked", lambda examples, word: written(examples, word, last=False),
                "The word is not there. What is the model to answer?"),
        Mistake("the other way round", lambda examples, word: written([(said, given) for given, said in examples], word),
                "Each example goes from the answer to what is given. Which of a pair stands left of the arrow?"),
        Mistake("the last example first", lambda examples, word: written(examples, word, reverse=True),
                "The examples stand in reverse order. Does the order matter? You will measure it; here keep the one given. Which comes first?"),
        Mistake("no arrow behind the word", lambda examples, word: written(examples, word)[: -len(" ->")],
                "The last line stops at the word, so the model would write the arrow. What shall it write?"),
        Mistake("no break before the last line", """def with_examples(examples, word):
    lines = [f"{given} -> {answer}" for given, answer in examples]
    return "\\n".join(lines) + f"{word} ->"
""",
                "The last line begins right behind the last answer. What stands between two lines?"),
        Mistake("a break before everything", """def with_examples(examples, word):
    lines = [f"{given} -> {answer}" for given, answer in examples]
    return "\\n".join(lines) + "\\n" + f"{word} ->"
""",
                "Without examples the text begins with a line break. Between how many lines does a break stand?"),
        Mistake("an arrow without spaces", """def with_examples(examples, word):
    return "\\n".join([*(f"{given}->{answer}" for given, answer in examples), f"{word}->"])
""",
                "The arrow touches the words. What stands on either side of it in the docstring?"),
        Mistake("commas between", """def with_examples(examples, word):
    return ", ".join([*(f"{given} -> {answer}" for given, answer in examples), f"{word} ->"])
""",
                "Examples are separated by commas. Where does each stand, in the docstring?"),
        Mistake("a backslash and an n", """def with_examples(examples, word):
    lines = [f"{given} -> {answer}" for given, answer in examples]
    return r"\\n".join([*lines, f"{word} ->"])
""",
                "Two characters, \\ and n, stand where a line should end. What does the r before a text do?"),
        Mistake("another arrow", """def with_examples(examples, word):
    return "\\n".join([*(f"{given} => {answer}" for given, answer in examples), f"{word} =>"])
""",
                "The arrow is =>. Which one stands in the docstring?"),
        Mistake("a fine arrow", """def with_examples(examples, word):
    return "\\n".join([*(f"{given} → {answer}" for given, answer in examples), f"{word} →"])
""",
                "The arrow is one character, →. Which two characters stand in the docstring?"),
        Mistake("the pair as Python shows it", """def with_examples(examples, word):
    return "\\n".join([*(str(pair) for pair in examples), f"{word} ->"])
""",
                "Brackets and quotation marks stand in the text. How do you get at the two parts of a pair?"),
        Mistake("the last arrow touches the word", """def with_examples(examples, word):
    lines = [f"{given} -> {answer}" for given, answer in examples]
    return "\\n".join([*lines, word]) + "->"
""",
                "The last arrow has no space before it, unlike the others. How is a line written?"),
        Mistake("a question mark", """def with_examples(examples, word):
    lines = [f"{given} -> {answer}" for given, answer in examples]
    return "\\n".join([*lines, f"{word} -> ?"])
""",
                "The last line ends with a question mark, so the model need not answer. Where should the text break "
                "off?"),
        Mistake("a list of lines", """def with_examples(examples, word):
    lines = [f"{given} -> {answer}" for given, answer in examples]
    return [*lines, f"{word} ->"]
""",
                "These are the lines. What makes one text of them?"),
    ],
)  # fmt: skip

# -- 14.2 how likely is a label? ------------------------------------------------------------------------------------------


def below_zero(out: Tensor, case: tuple) -> bool | str:
    """A log probability is not above zero."""
    return (
        float(out.detach()) <= 1e-6
        or f"It gives {float(out.detach()):.3g}. The logarithm of a probability is never above 0."
    )


def likelihood(logits, ids, start, *, shift=1, log=True, total=True, first=False, every=False, dim=-1):
    """The right answer, or one with a wrong belief."""
    scores = logits.log_softmax(dim) if log else logits
    at = torch.arange(1 if every else start, len(ids))
    found = scores[(at - shift).clamp(max=len(logits) - 1), ids[at]]
    return found[0] if first else found.sum() if total else found.mean()


def case(T, V, start, seed):
    ids = torch.randint(V, (T,), generator=torch.Generator().manual_seed(seed))
    return 2 * noise(T, V, seed=seed), ids, start


label = Exercise(
    "14.2",
    goal="how likely is a label?",
    minutes=8,
    difficulty=2,
    cases=[
        (torch.tensor([[0.0, 2.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 3.0]]), torch.tensor([0, 1, 0]), 2),
        case(4, 5, 3, 1),
        case(6, 5, 3, 2),
        case(9, 7, 5, 3),
        (lambda one: (one[0].requires_grad_(), *one[1:]))(case(7, 4, 4, 4)),
    ],
    starter='''def label_nats(logits, ids, start):
    """log p of the label that stands at the end of a text: of its tokens ids[start:], each after all that stands
    before it.

    logits: (T, V) what the model says after each of the T tokens   ids: (T,)   start: where the label begins
    ->   () tensor, 0 or less
    """
    ...
''',
    solution='''def label_nats(logits, ids, start):
    """log p of the label that stands at the end of a text: of its tokens ids[start:], each after all that stands
    before it.

    logits: (T, V) what the model says after each of the T tokens   ids: (T,)   start: where the label begins
    ->   () tensor, 0 or less
    """
    log_p = logits.log_softmax(-1)                                 # (T, V)
    before = torch.arange(start - 1, len(ids) - 1)                 # token t is foretold at t - 1
    return log_p[before, ids[start:]].sum()                        # p of the whole is a product, so logs add up
''',
    other_solutions=[
        lambda logits, ids, start: -F.cross_entropy(logits[start - 1 : -1], ids[start:], reduction="sum"),
        "def label_nats(logits, ids, start):\n    total = 0.0\n    for t in range(start, len(ids)):\n"
        "        row = logits[t - 1]\n        total = total + row[ids[t]] - row.logsumexp(0)\n    return total\n",
        lambda logits, ids, start: logits[:-1].softmax(-1).gather(-1, ids[1:, None])[start - 1 :].log().sum(),
    ],
    hints=[
        "The first token of the label: after which token did the model say how likely it is?",
        "Rows start - 1 to T - 2 of log softmax foretell tokens start to T - 1. Of each row you want one number.",
        "`logits.log_softmax(-1)[torch.arange(start - 1, len(ids) - 1), ids[start:]].sum()`.",
    ],
    explanation="Row t of the logits is about token t + 1. So the label's first token is scored at the last token of the prompt, and the row after "
    "the label's last token says nothing about it. A sum of logs is the log of the product: p of the whole label.",
    properties=[Property("above zero", below_zero, "What turns scores into logarithms of probabilities?")],
    mistakes=[
        Mistake("every row with every token", lambda logits, ids, start: logits.log_softmax(-1)[start - 1 : -1, ids[start:]].sum(),
                "A slice and a list of ids give a whole table: each row with each token. You want one number of each row; how do you pair them?"),
        Mistake("scored by itself", lambda logits, ids, start: likelihood(logits, ids, start, shift=0),
                "Each token is scored by the row at its own place, which has already read it. Which row speaks about the token that comes next?"),
        Mistake("logits as they are", lambda logits, ids, start: likelihood(logits, ids, start, log=False),
                "Logits are added up as they are, and another row may have larger ones throughout. What makes rows comparable?"),
        Mistake("the mean", lambda logits, ids, start: likelihood(logits, ids, start, total=False),
                "It divides by the number of tokens. That is a known variant, but is it the log of the label's probability?"),
        Mistake("the first token alone", lambda logits, ids, start: likelihood(logits, ids, start, first=True),
                "Only the label's first token counts. What if two labels begin alike?"),
        Mistake("the prompt too", lambda logits, ids, start: likelihood(logits, ids, start, every=True),
                "The prompt's tokens are scored too. Is the question part of the answer?"),
        Mistake("one too many before", lambda logits, ids, start: likelihood(logits, ids, start - 1),
                "The last token of the prompt is scored as if it were the label's. At which token does the label begin?"),
        Mistake("the first one is forgotten", lambda logits, ids, start: likelihood(logits, ids, start + 1) if start + 1 < len(ids) else logits.sum() * 0,
                "The label's first token is missing, the one that decides most. Which row foretells it?"),
        Mistake("the probability", lambda logits, ids, start: likelihood(logits, ids, start).exp() - 1,
                "It is no logarithm. How do you get one from a product of probabilities?"),
        Mistake("softmax along the text", lambda logits, ids, start: likelihood(logits, ids, start, dim=0),
                "Probabilities add up to one along the text here, instead of over the vocabulary. Which axis holds the choices?"),
        Mistake("a loss", lambda logits, ids, start: -likelihood(logits, ids, start),
                "The sign is turned: it is a loss, where less is better. Which label would be chosen as the largest?"),
        Mistake("the last token alone", """def label_nats(logits, ids, start):
    return logits.log_softmax(-1)[-2, ids[-1]]
""",
                "Only the label's last token counts. What of the tokens before it?"),
        Mistake("the logarithm of a sum", """def label_nats(logits, ids, start):
    at = torch.arange(start - 1, len(ids) - 1)
    return logits.softmax(-1)[at, ids[start:]].sum().log()
""",
                "It adds up probabilities and takes the logarithm last. What do probabilities of tokens do, one "
                "after the other?"),
        Mistake("a sum of probabilities", """def label_nats(logits, ids, start):
    at = torch.arange(start - 1, len(ids) - 1)
    return logits.softmax(-1)[at, ids[start:]].sum()
""",
                "It adds up probabilities. How likely is A followed by B, and what is its logarithm?"),
        Mistake("a product of probabilities", """def label_nats(logits, ids, start):
    at = torch.arange(start - 1, len(ids) - 1)
    return logits.softmax(-1)[at, ids[start:]].prod()
""",
                "That is the probability of the label. What is asked for, in nats?"),
        Mistake("the tokens before", """def label_nats(logits, ids, start):
    at = torch.arange(start - 1, len(ids) - 1)
    return logits.log_softmax(-1)[at, ids[start - 1 : -1]].sum()
""",
                "Rows and tokens both begin one early: each row is asked for the token that it has just read. Which "
                "token does row start - 1 foretell?"),
        Mistake("bits", """def label_nats(logits, ids, start):
    at = torch.arange(start - 1, len(ids) - 1)
    return logits.log_softmax(-1)[at, ids[start:]].sum() / torch.tensor(2.0).log()
""",
                "It is in bits. To which base is the logarithm?"),
        Mistake("one for each token", """def label_nats(logits, ids, start):
    at = torch.arange(start - 1, len(ids) - 1)
    return logits.log_softmax(-1)[at, ids[start:]]
""",
                "These are the logarithms, one for each token. What is the logarithm of their product?"),
    ],
)  # fmt: skip

# -- 14.3 calibration -----------------------------------------------------------------------------------------------------


def even_on_blank(out: Tensor, case: tuple) -> bool | str:
    """An input that is the blank one itself must leave all labels alike."""
    scores, blank = case
    if len(blank) == 1 and scores.shape == blank.shape and torch.equal(scores, blank) and out.shape == scores.shape:
        gap = float(out.max() - out.min())
        return gap < 1e-3 or f"An input without content must favour no label; here they lie {gap:.3g} apart."
    return True


blank_one = torch.tensor([[-1.0, -3.0]])
calibrate = Exercise(
    "14.3",
    goal="take away what the prompt alone prefers",
    minutes=10,
    difficulty=2,
    cases=[
        (blank_one, blank_one),
        (torch.tensor([[-1.0, -2.0]]), blank_one),
        (torch.tensor([[-1.0, -2.0], [-2.0, -2.5]]), torch.tensor([[-1.0, -3.0], [-6.0, -5.0]])),
        (noise(4, 3, seed=1) - 3, 2 * noise(3, 3, seed=2) - 4),
        (noise(5, 4, seed=3) - 2, 2 * noise(2, 4, seed=4) - 3),
    ],
    starter='''def level(scores, blank):
    """Scores of labels, less the log of the mean probability that inputs without content give each label.

    scores: (N, L) log p of each label   blank: (M, L) the same for M blank inputs; in each row of blank, not of scores,
    let p add up to 1 among the L labels   ->   (N, L)
    """
    ...
''',
    solution='''def level(scores, blank):
    """Scores of labels, less the log of the mean probability that inputs without content give each label.

    scores: (N, L) log p of each label   blank: (M, L) the same for M blank inputs; in each row of blank, not of scores,
    let p add up to 1 among the L labels   ->   (N, L)
    """
    p = blank.softmax(-1)                        # (M, L): among these labels, for each blank input
    return scores - p.mean(0).log()              # the mean of probabilities, then the log
''',
    other_solutions=[
        lambda scores, blank: scores - (blank.log_softmax(-1).logsumexp(0) - torch.tensor(float(len(blank))).log()),
        "def level(scores, blank):\n    p = blank.exp()\n    p = p / p.sum(dim=1, keepdim=True)\n    return scores - torch.log(p.mean(dim=0, keepdim=True))\n",
    ],
    hints=[
        "Asked about nothing at all, the prompt already prefers a label. By how much is each label ahead before the question is read?",
        "Make probabilities of each blank row, take their mean over the rows, go back to logs, subtract. In this order.",
        "`blank.softmax(-1).mean(0).log()` has one number for each label; it is subtracted from every row.",
    ],
    explanation="Subtracting logs is dividing probabilities: each label is judged by how much the input raised it above what it gets for nothing. "
    "softmax makes the rows comparable; mean before log, since a mean of logs would let one tiny probability decide.",
    properties=[Property("still uneven", even_on_blank, "What should be left of a label's score, if the input says nothing?")],
    mistakes=[
        Mistake("added", lambda scores, blank: scores + blank.softmax(-1).mean(0).log(),
                "The preference is added, so it counts twice. Which sign takes it away?"),
        Mistake("the mean of logs", lambda scores, blank: scores - blank.log_softmax(-1).mean(0),
                "It averages logs, so one blank input with a tiny probability decides. What is to be averaged, p or log p?"),
        Mistake("the scores too", lambda scores, blank: scores.log_softmax(-1) - blank.softmax(-1).mean(0).log(),
                "The scores are normalised as well. That changes no choice, but it is not asked. Of which input are only the p among the labels wanted?"),
        Mistake("logs as they are", lambda scores, blank: scores - blank.mean(0),
                "It takes the mean of the logs themselves. What are the probabilities among the labels, and which mean is wanted?"),
        Mistake("blanks of unlike weight", lambda scores, blank: scores - blank.exp().mean(0).log(),
                "A blank input after which all labels are unlikely hardly counts here. Among the labels, to what should each row add up?"),
        Mistake("probabilities subtracted", lambda scores, blank: scores - blank.softmax(-1).mean(0),
                "From logs it subtracts probabilities. What does dividing by p look like in logs?"),
        Mistake("one blank only", lambda scores, blank: scores - blank[:1].softmax(-1).log(),
                "Only the first blank input is used. What are the others for?"),
        Mistake("softmax over the blanks", lambda scores, blank: scores - blank.softmax(0).mean(0).log(),
                "Probabilities add up to one over the blank inputs, so every label has the same mean and nothing changes. Along which axis do the labels stand?"),
        Mistake("its own mean", lambda scores, blank: scores - scores.softmax(-1).mean(0).log(),
                "It evens out the scores by themselves and never looks at the blank inputs. That is batch calibration: what does it have to assume?"),
        Mistake("no log", lambda scores, blank: scores / blank.softmax(-1).mean(0),
                "It divides logs by probabilities. Which of the two should be divided, scores or what they are logs of?"),
        Mistake("unchanged", lambda scores, blank: scores - 0 * blank.mean(),
                "The scores are as they were. Where does `blank` come in?"),
        Mistake("softmax of the mean", """def level(scores, blank):
    return scores - blank.mean(0).softmax(-1).log()
""",
                "First the mean of the logs, then softmax, so one blank input with a tiny probability decides. Of "
                "what is the mean asked?"),
        Mistake("softmax at the end", """def level(scores, blank):
    return (scores - blank.softmax(-1).mean(0).log()).softmax(-1)
""",
                "The result was made into probabilities. What was to be returned?"),
        Mistake("a sum over the blanks", """def level(scores, blank):
    return scores - blank.softmax(-1).sum(0).log()
""",
                "It adds up over the blank inputs, so each score is off by log M. Sum or mean?"),
        Mistake("one sum for all blanks", """def level(scores, blank):
    p = blank.exp()
    return scores - (p / p.sum()).mean(0).log()
""",
                "`sum()` without an axis adds up all blank inputs. To what should each row add up?"),
        Mistake("one mean for all labels", """def level(scores, blank):
    return scores - blank.softmax(-1).mean().log()
""",
                "`mean()` without an axis is 1/L, whatever the blanks say. Whose mean is asked for?"),
        Mistake("probabilities for logarithms", """def level(scores, blank):
    return scores.exp() / blank.softmax(-1).mean(0)
""",
                "It divides probabilities, which is right, and returns no logarithm. What was to be returned?"),
        Mistake("the label chosen", """def level(scores, blank):
    return (scores - blank.softmax(-1).mean(0).log()).argmax(-1)
""",
                "It chooses the label already. What was to be returned?"),
        Mistake("written into scores", """def level(scores, blank):
    scores -= blank.softmax(-1).mean(0).log()
    return scores
""",
                "`-=` writes into the scores that were handed in. Which operator makes new ones?"),
    ],
)  # fmt: skip

# -- 14.4 what came after? ------------------------------------------------------------------------------------------------


def in_the_past(out: Tensor, ids: Tensor) -> bool | str:
    """Nobody looks ahead."""
    if out.dtype == torch.bool and out.ndim == 2 and out.triu(1).any():
        row, column = out.triu(1).nonzero()[0].tolist()
        return f"Place {row} is told to look at place {column}, which lies in its future."
    return True


def followers(ids, *, shift=1, last=False, first=False, future=False, inside=True):
    """The right answer, or one with a wrong belief: row t, column j."""
    T = len(ids)
    found = torch.zeros(T, T, dtype=torch.bool)
    for t in range(T):
        for j in range(T):
            back = j - shift
            if 0 <= back < T and ids[back] == ids[t] and (future or j <= t) and (inside or back != t):
                found[t, j] = True
    if last or first:
        for t in range(T):
            at = found[t].nonzero()[:, 0]
            found[t] = False
            if len(at):
                found[t, at[-1] if last else at[0]] = True
    return found


look_back = Exercise(
    "14.4",
    goal="what came after this letter before?",
    minutes=10,
    difficulty=2,
    cases=[
        torch.tensor([1, 2, 1]),
        torch.tensor([1, 2, 3]),
        torch.tensor([1, 2, 1, 3, 1]),
        torch.tensor([4, 4, 4]),
        torch.randint(4, (10,), generator=torch.Generator().manual_seed(1)),
        torch.randint(3, (12,), generator=torch.Generator().manual_seed(2)),
    ],
    starter='''def after_its_like(ids):
    """Where could place t find out what comes next? At each place j, up to t, whose neighbour on the left holds what
    t holds.

    ids: (T,) letters   ->   (T, T) bool, row t, column j.   b a c b: the last b looks at a, which once came after b
    """
    ...
''',
    solution='''def after_its_like(ids):
    """Where could place t find out what comes next? At each place j, up to t, whose neighbour on the left holds what
    t holds.

    ids: (T,) letters   ->   (T, T) bool, row t, column j.   b a c b: the last b looks at a, which once came after b
    """
    found = torch.zeros(len(ids), len(ids), dtype=torch.bool)
    found[:, 1:] = ids[:, None] == ids[None, :-1]              # column j is compared by what stands at j - 1
    return found.tril()                                        # row t sees no later column than t
''',
    other_solutions=[
        lambda ids: followers(ids),
        "def after_its_like(ids):\n    T = len(ids)\n    found = torch.zeros(T, T, dtype=torch.bool)\n    for t in range(T):\n"
        "        for j in range(1, t + 1):\n            found[t, j] = bool(ids[j - 1] == ids[t])\n    return found\n",
        lambda ids: (torch.cat([ids.new_full((1,), -1), ids[:-1]])[None, :] == ids[:, None]).tril(),
    ],
    hints=[
        "Put a finger on a letter. Find the same letter earlier. Which of the two places tells you what to write: that one, or the one after it?",
        "Compare row t's letter with the letter at j - 1. And which j may row t see?",
        "`ids[:, None] == ids[None, :-1]` is (T, T - 1); it belongs into columns 1 and following; then `.tril()`.",
    ],
    explanation="One shift does it: the key of place j must carry what stood at j - 1. So one head has to move that there first, and a second one, a layer "
    "above, finds the match. That is why one layer is not enough.",
    properties=[Property("into the future", in_the_past, "Which places exist already when place t is read?")],
    mistakes=[
        Mistake("its like", lambda ids: followers(ids, shift=0),
                "It looks at the same letter, and what stands there is known already. Which place tells what came next?"),
        Mistake("before its like", lambda ids: followers(ids, shift=-1),
                "It looks at what came before the same letter. Is the past to be repeated forwards or backwards?"),
        Mistake("the future too", lambda ids: followers(ids, future=True),
                "It looks ahead, where a causal model sees nothing. Which triangle is to be kept?"),
        Mistake("the last time only", lambda ids: followers(ids, last=True),
                "Only the latest place is marked. And if the letter has come three times?"),
        Mistake("the first time only", lambda ids: followers(ids, first=True),
                "Only the first place is marked. And if the letter has come three times?"),
        Mistake("rows and columns", lambda ids: followers(ids, future=True).T.tril(),
                "Who looks and who is looked at have changed places. Is t the row or the column?"),
        Mistake("two further on", lambda ids: followers(ids, shift=2),
                "It looks two places behind its like. How far away is the letter that came next?"),
        Mistake("one not marked", lambda ids: followers(ids) & ~torch.eye(len(ids), dtype=torch.bool),
                "Place t itself is left out, though it came after its like if the letter is doubled. May a place look at itself?"),
        Mistake("the last stands before the first", """def after_its_like(ids):
    return (ids[:, None] == ids.roll(1)).tril()
""",
                "`roll` brings the last letter round to the front, so column 0 has a neighbour on its left. Has it "
                "one?"),
        Mistake("not itself, and the last before the first", """def after_its_like(ids):
    T = len(ids)
    found = torch.zeros(len(ids), len(ids), dtype=torch.bool)
    for t in range(T):
        for j in range(t):
            found[t, j] = ids[j - 1] == ids[t]
    return found
""",
                "At j = 0, `ids[j - 1]` is the last letter, and `range(t)` ends before t. Where does j begin, and "
                "how far may it go?"),
        Mistake("the last row alone", """def after_its_like(ids):
    found = torch.zeros(len(ids), len(ids), dtype=torch.bool)
    found[-1, 1:] = ids[-1] == ids[:-1]
    return found
""",
                "Only the last place looks back. Which row is that of place t?"),
        Mistake("its like, but not itself", """def after_its_like(ids):
    return (ids[:, None] == ids).tril(-1)
""",
                "It looks at the same letter earlier, and what stands there is known already. Which place tells what "
                "came next?"),
        Mistake("the upper triangle", """def after_its_like(ids):
    found = torch.zeros(len(ids), len(ids), dtype=torch.bool)
    found[:, 1:] = ids[:, None] == ids[None, :-1]
    return found.triu()
""",
                "It keeps what lies ahead, where a causal model sees nothing. Which triangle is the past?"),
        Mistake("turned on its side", """def after_its_like(ids):
    found = torch.zeros(len(ids), len(ids), dtype=torch.bool)
    found[:, 1:] = ids[:, None] == ids[None, :-1]
    return found.tril().T
""",
                "Rows and columns have changed places at the end. Is t the row or the column?"),
        Mistake("off the end", """def after_its_like(ids):
    T = len(ids)
    found = torch.zeros(len(ids), len(ids), dtype=torch.bool)
    for t in range(T):
        for j in range(t + 1):
            if ids[j] == ids[t]:
                found[t, j + 1] = True
    return found
""",
                "For j = t it marks place t + 1, the one that is asked for. How far may j go?"),
        Mistake("zeros and ones", """def after_its_like(ids):
    found = torch.zeros(len(ids), len(ids))
    found[:, 1:] = (ids[:, None] == ids[None, :-1]).float()
    return found.tril()
""",
                "The places are right, but they hold 0 and 1. What dtype says yes or no?"),
    ],
)  # fmt: skip

# -- 14.5 which token may come? -------------------------------------------------------------------------------------------


def something_may(out: Tensor, case: tuple) -> bool | str:
    """There is always a way on."""
    if out.dtype == torch.bool and out.shape == (case[3],):
        return bool(out.any()) or "No token at all is allowed, so the text can neither go on nor end."
    return True


def allowing(
    added,
    choices,
    end,
    size,
    *,
    whole=True,
    stop=True,
    all_first=False,
    contains=False,
    always=False,
    extra=False,
    only_longest=False,
    skip=0,
):
    """The right answer, or one with a wrong belief."""
    may = torch.zeros(size, dtype=torch.bool)
    n = len(added)
    for choice in choices:
        fits = (
            set(added) <= set(choice)
            if contains
            else (choice[:n] == added if whole else choice[:1] == added[:1] or not added)
        )
        if all_first:
            may[choice[0]] = True
        elif fits and n + skip < len(choice):
            may[choice[n + skip]] = True
            if extra:
                may[choice] = True
        elif fits and n == len(choice) and stop:
            may[end] = True
    if always:
        may[end] = True
    if only_longest and may.sum() > 1:
        may[end] = False
    return may


pick = Exercise(
    "14.5",
    goal="which token may come?",
    minutes=12,
    difficulty=2,
    cases=[
        ([], [[3, 1], [2]], 0, 5),
        ([3], [[3, 1], [2]], 0, 5),
        ([2], [[3, 1], [2]], 0, 5),
        ([3, 1], [[3, 1], [2]], 0, 5),
        ([4], [[4], [4, 2], [4, 3]], 0, 6),
        ([4, 2], [[4], [4, 2], [4, 3]], 0, 6),
        ([4, 2], [[4], [4, 2, 3]], 0, 6),
        ([1, 2], [[1, 2, 3], [1, 3, 5], [2, 1, 4]], 6, 7),
        ([], [[1, 2, 3], [1, 3, 5], [2, 1, 4]], 6, 7),
    ],
    starter='''def may_come(added, choices, end, size):
    """Which tokens may come next, so that the text becomes one of the choices and no other?

    added: ids so far   choices: lists of ids   end: the id that ends a text, once it is a whole choice
    size: of the vocabulary   ->   (size,) bool
    """
    ...
''',
    solution='''def may_come(added, choices, end, size):
    """Which tokens may come next, so that the text becomes one of the choices and no other?

    added: ids so far   choices: lists of ids   end: the id that ends a text, once it is a whole choice
    size: of the vocabulary   ->   (size,) bool
    """
    may, n = torch.zeros(size, dtype=torch.bool), len(added)
    for choice in choices:
        if choice[:n] == added:                                # still possible
            may[choice[n] if n < len(choice) else end] = True  # its next token, or the end of it
    return may
''',
    other_solutions=[
        lambda added, choices, end, size: allowing(added, choices, end, size),
        "def may_come(added, choices, end, size):\n    k = len(added)\n    ended = [c + [end] for c in choices]\n"
        "    good = {c[k] for c in ended if c[:k] == added and k < len(c)}\n    return torch.tensor([i in good for i in range(size)])\n",
    ],
    hints=[
        "Two tokens are written. Which of the choices can the text still become?",
        "A choice is alive if it begins with what was added. What each living one needs next may come; what does one need that is complete?",
        "`choice[:n] == added`, then `may[choice[n]] = True`, or `may[end] = True` if the choice has no token n.",
    ],
    explanation="Choices are a tree; what was added is a place in it; the mask is its branches. The end is a branch like any other, open where a choice "
    "is complete. \"eat\" and \"eating\" may both be choices: after \"eat\" both the end and \"ing\" are open.",
    properties=[Property("nothing may come", something_may, "What may come where a choice is complete?")],
    mistakes=[
        Mistake("no end", lambda added, choices, end, size: allowing(added, choices, end, size, stop=False),
                "Where a choice is complete, the end is not allowed. How is the text to stop?"),
        Mistake("the end at any time", lambda added, choices, end, size: allowing(added, choices, end, size, always=True),
                "The end is always allowed, so half a choice may come out. Where is a text complete?"),
        Mistake("always the first tokens", lambda added, choices, end, size: allowing(added, choices, end, size, all_first=True),
                "At every place the first tokens of the choices are allowed. How many tokens were added already?"),
        Mistake("the first token decides", lambda added, choices, end, size: allowing(added, choices, end, size, whole=False),
                "Only the first token is compared, so the text may jump from one choice to another. With how much of it must a choice agree?"),
        Mistake("in any order", lambda added, choices, end, size: allowing(added, choices, end, size, contains=True),
                "It asks whether a choice contains the tokens, in whatever order. Where must they stand?"),
        Mistake("the rest at once", lambda added, choices, end, size: allowing(added, choices, end, size, extra=True),
                "All tokens of a possible choice are allowed at once. Which one is next?"),
        Mistake("the shortest only", lambda added, choices, end, size: torch.arange(size) == end if added in choices else allowing(added, choices, end, size),
                "Where one choice is complete and another goes on, only the end is allowed. May the longer one never be chosen?"),
        Mistake("the longest only", lambda added, choices, end, size: allowing(added, choices, end, size, only_longest=True),
                "Where one choice is complete and another goes on, only going on is allowed. May the shorter one never be chosen?"),
        Mistake("the other way round", lambda added, choices, end, size: ~allowing(added, choices, end, size),
                "What may come is forbidden and the rest allowed. What does True mean here?"),
        Mistake("one too far", lambda added, choices, end, size: allowing(added, choices, end, size, skip=1) | (allowing(added, choices, end, size, stop=True) & (torch.arange(size) == end)) | (~allowing(added, choices, end, size, skip=1).any() & (torch.arange(size) == end)),
                "It allows the token after the next one. If two were added, which number does the next one have?"),
        Mistake("every choice is alive", """def may_come(added, choices, end, size):
    may, n = torch.zeros(size, dtype=torch.bool), len(added)
    for choice in choices:
        may[choice[n] if n < len(choice) else end] = True
    return may
""",
                "What was added is not compared with any choice. Which of them can the text still become?"),
        Mistake("the last token decides", """def may_come(added, choices, end, size):
    may, n = torch.zeros(size, dtype=torch.bool), len(added)
    for choice in choices:
        if not added:
            may[choice[0]] = True
        elif added[-1] in choice:
            at = choice.index(added[-1]) + 1
            may[choice[at] if at < len(choice) else end] = True
    return may
""",
                "It looks for the last token anywhere in a choice. Where must what was added stand, all of it?"),
        Mistake("what was added last", """def may_come(added, choices, end, size):
    may, n = torch.zeros(size, dtype=torch.bool), len(added)
    for choice in choices:
        if choice[:n] == added:
            may[choice[n - 1] if n else choice[0]] = True
    return may
""",
                "The token that was just written is allowed once more. If two were added, which number does the next "
                "one have?"),
        Mistake("all that is left", """def may_come(added, choices, end, size):
    may, n = torch.zeros(size, dtype=torch.bool), len(added)
    for choice in choices:
        if choice[:n] == added:
            may[choice[n:]] = True
            if n == len(choice):
                may[end] = True
    return may
""",
                "All tokens that a choice still needs are allowed at once. Which one is next?"),
        Mistake("the first that fits", """def may_come(added, choices, end, size):
    may, n = torch.zeros(size, dtype=torch.bool), len(added)
    for choice in choices:
        if choice[:n] == added:
            may[choice[n] if n < len(choice) else end] = True
            break
    return may
""",
                "It stops at the first choice that is alive. May the text not become another one?"),
        Mistake("as far as the shorter goes", """def may_come(added, choices, end, size):
    may, n = torch.zeros(size, dtype=torch.bool), len(added)
    for choice in choices:
        if all(a == b for a, b in zip(choice, added)):
            may[choice[n] if n < len(choice) else end] = True
    return may
""",
                "`zip` stops where the shorter list ends, so a choice that is already exceeded counts as complete. "
                "With how much of what was added must it agree?"),
        Mistake("no end, and off the list", """def may_come(added, choices, end, size):
    may, n = torch.zeros(size, dtype=torch.bool), len(added)
    for choice in choices:
        if choice[:n] == added:
            may[choice[n]] = True
    return may
""",
                "A choice that is complete has no token n. What may come there?"),
        Mistake("zeros and ones", """def may_come(added, choices, end, size):
    may, n = torch.zeros(size), len(added)
    for choice in choices:
        if choice[:n] == added:
            may[choice[n] if n < len(choice) else end] = 1
    return may
""",
                "The places are right, but they hold 0 and 1. What dtype says yes or no?"),
    ],
)  # fmt: skip
