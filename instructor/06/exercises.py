"""Assigned in lesson 06: a model's mask, read from outside, and what temperature leaves to choose."""

import torch
from fmcourse.classroom.exercise_kinds import AssignedExercise
from fmcourse.course.exercise import IMPORTS, Mistake, Property

# -- 06.A1 who sees whom --------------------------------------------------------------------------------------------------

MODEL = '''def run(candidate, case):
    """A model of numbers: row t of `strength` says how strongly each position enters the scores at t."""
    ids, strength, V = case
    vectors = torch.diag(2.0 - 4.0 * (torch.arange(V) % 2))  # each token moves a score of its own, up or down

    def model(batch):
        if batch.ndim != 2 or batch.shape[1] != strength.shape[0]:
            raise ValueError(f"the model reads ids (B, {strength.shape[0]}), and was given {tuple(batch.shape)}.")
        if batch.min() < 0 or batch.max() >= V:
            raise ValueError(f"ids run from {int(batch.min())} to {int(batch.max())}; there are tokens 0 to {V - 1}.")
        return torch.einsum("ts,bsv->btv", strength, vectors[batch])

    return candidate(model, ids, V)
'''


def strengths(T, kept, seed, faint=()):
    """(T, T): not zero where `kept` is 1; at the places in `faint` a thousandth."""
    found = (0.5 + torch.rand(T, T, generator=torch.Generator().manual_seed(seed))) * torch.tensor(
        kept, dtype=torch.float32
    )
    for t, s in faint:
        found[t, s] = 0.001
    return found


def some_ids(T, V, seed):
    return torch.randint(V, (T,), generator=torch.Generator().manual_seed(seed))


LOWER = lambda T: torch.ones(T, T).tril().tolist()
SEES = '''def who_sees_whom(model, ids, V):
    """(T, T) bool: row t is True in column s if the scores at position t depend on the token at position s, wherever
    s stands, t itself included.

    They depend on it if another token in its place, the rest left as it is, changes at least one of the V scores at t
    by more than 0.00001.
    In these models any other token will show it, so one for each place is enough.

    model: a function, ids (B, T) whole numbers below V -> scores (B, T, V)   ids: (T,) a text
    V: how many tokens there are, 2 or more
    """
'''


def sees(inside, before=""):
    """A near miss: `inside` fills column s of `out`, from `now` without and `new` with another token at s."""
    return (
        "def who_sees_whom(model, ids, V):\n    T = len(ids)\n    out = torch.zeros(T, T, dtype=torch.bool)\n    now = model(ids[None])[0]\n"
        f"    other = ids.clone()\n    for s in range(T):\n        {before or 'other = ids.clone()'}\n        other[s] = (ids[s] + 1) % V\n"
        f"        new = model(other[None])[0]\n        {inside}\n    return out\n"
    )


mask_from_outside = AssignedExercise(
    "06.A1",
    goal="read a model's mask from outside",
    minutes=20,
    difficulty=2,
    text="Somebody sends you a language model and swears that it never looks ahead. You cannot see its code. On noise it would give itself away, as in the lesson, but "
    "noise does not tell *where* it leaks. So find out who sees whom: change one token, and watch which positions notice.\n\n"
    "In the cases below `model` is a small function. It is made from a table whose row t says how strongly each position enters the scores at t: "
    "forwards or backwards, some strongly, some faintly, some not at all. Your function is handed the model, not the table.\n\n"
    "When it works, try it on a real one: `from fmcourse import pretrained`, `smol, tokenizer = pretrained.load(\"smollm2-135m-instruct\")`, and then "
    "`who_sees_whom(smol, torch.tensor(tokenizer.encode(\"To be, or not\")), smol.config.vocab_size)`.",
    run=MODEL,
    cases=[
        (torch.tensor([1, 0, 2]), torch.eye(3), 4),
        (torch.tensor([0, 3, 0, 1]), strengths(4, LOWER(4), seed=1), 5),
        (torch.tensor([2, 1, 1]), strengths(3, [[1, 0, 0], [1, 1, 1], [0, 1, 1]], seed=2), 3),
        (some_ids(6, 7, seed=3), strengths(6, torch.ones(6, 6).tril().triu(-2).tolist(), seed=3, faint=[(1, 4), (5, 0)]), 7),
    ],
    hidden=[
        (torch.tensor([1]), torch.ones(1, 1), 2),
        (some_ids(5, 2, seed=4), strengths(5, [[0, 1, 0, 0, 0], [1, 0, 0, 0, 0], [1, 1, 0, 0, 1], [0, 0, 0, 1, 0], [1, 0, 1, 0, 1]], seed=4), 2),
        (torch.tensor([8, 8, 0, 8, 8, 0, 8]), strengths(7, LOWER(7), seed=5, faint=[(0, 6)]), 9),
        (some_ids(12, 30, seed=6), strengths(12, torch.ones(12, 12).tril().triu(-4).tolist(), seed=6, faint=[(2, 3), (7, 11), (11, 0)]), 30),
        (some_ids(8, 5, seed=7), -strengths(8, torch.ones(8, 8).tolist(), seed=7), 5),
        (some_ids(4, 6, seed=8), torch.zeros(4, 4).index_put((torch.tensor([3]), torch.tensor([0])), torch.tensor(1.0)), 6),
    ],
    starter=SEES + "    ...\n",
    solution=SEES + '''    T = len(ids)
    changed = ids.repeat(T, 1)                                              # a copy for each place
    changed[range(T), range(T)] = (ids + 1) % V                             # in copy s only token s is another one
    moved = (model(changed) - model(ids[None])).abs().amax(-1) > 1e-5       # (copy, position)
    return moved.T
''',
    other_solutions=[
        "def who_sees_whom(model, ids, V):\n    T = ids.shape[0]\n    before = model(ids.unsqueeze(0))[0]\n    columns = []\n    for s in range(T):\n"
        "        other = torch.cat([ids[:s], (ids[s : s + 1] + 1) % V, ids[s + 1 :]])\n        after = model(other[None])[0]\n"
        "        columns.append(((after - before).abs() > 1e-5).any(-1))\n    return torch.stack(columns, 1)\n",
        "def who_sees_whom(model, ids, V):\n    T = len(ids)\n    seen = [[False] * T for _ in range(T)]\n    before = model(ids[None])\n    for s in range(T):\n"
        "        for token in range(V):\n            if token == ids[s]:\n                continue\n            other = ids.tolist()\n            other[s] = token\n"
        "            gap = (model(torch.tensor([other])) - before)[0].square().sum(1)\n"
        "            for t in range(T):\n                seen[t][s] |= bool(gap[t] > 1e-9)\n    return torch.tensor(seen)\n",
    ],
    explanation="A copy of the text for each place, with another token there and nowhere else. What moves in that copy sees that place, so copies are columns, not rows. "
    "A text is compared with itself, so even a faint leak shows, long before it shows in a loss.",
    properties=[
        Property("alone with its own token", '''def test(out, case):
    strength = case[1]
    if (strength - torch.diag(strength.diagonal())).any() or not strength.diagonal().all():
        return True
    wrong = (out != torch.eye(len(out), dtype=torch.bool)).nonzero()
    if not len(wrong):
        return True
    t, s = wrong[0].tolist()
    return f"This model sees at each position its own token and no other. You say that position {t} {'sees' if out[t, s] else 'does not see'} token {s}."
''', "How many tokens differ between the two texts that you compare?"),
        Property("a leak is missed", '''def test(out, case):
    missed = ((case[1] != 0) & ~out).triu(1).nonzero()
    return not len(missed) or f"Position {missed[0, 0]} of a text of {len(out)} tokens sees token {missed[0, 1]}, which comes later, and it is not reported."
''', "Which scores did you compare, and could they stay the same although something changed?"),
        Property("a leak is invented", '''def test(out, case):
    invented = ((case[1] == 0) & out).triu(1).nonzero()
    return not len(invented) or f"You report that position {invented[0, 0]} of a text of {len(out)} tokens sees token {invented[0, 1]}, which comes later. It does not."
''', "What else differs between the two texts that you compare?"),
    ],
    mistakes=[
        Mistake("the favourite alone", sees("out[:, s] = new.argmax(-1) != now.argmax(-1)"),
                "Scores moved, but the same token stayed ahead, so it was not noticed. What is to be compared, the winner or the scores?"),
        Mistake("changes pile up", sees("out[:, s] = (new - now).abs().amax(-1) > 1e-5", before="pass"),
                "Once a position has noticed something, it notices everything that follows. In how many places does your last text differ from the first?"),
        Mistake("rows and columns", sees("out[s] = (new - now).abs().amax(-1) > 1e-5"),
                "Row s says who sees s. What should a row say?"),
        Mistake("zero for everything", sees("out[:, s] = (new - now).abs().amax(-1) > 1e-5").replace("(ids[s] + 1) % V", "0"),
                "A token that is 0 already was replaced by itself, and nobody noticed. Which token is sure to be another one?"),
        Mistake("it trusts the promise", sees("out[s:, s] = (new[s:] - now[s:]).abs().amax(-1) > 1e-5"),
                "Only later positions were asked whether they see a token. Who else might, in a model that cheats?"),
        Mistake("somebody noticed", sees("out[:, s] = bool((new - now).abs().max() > 1e-5)"),
                "If one position sees a token, all are said to see it. Which axis of the scores counts the positions?"),
        Mistake("only upwards", sees("out[:, s] = (new - now).mean(-1) > 1e-5"),
                "Scores that fall are not counted, and gains and losses cancel. When are two rows of scores different?"),
        Mistake("what stays the same", sees("out[:, s] = (new - now).abs().amax(-1) <= 1e-5"),
                "True stands where nothing moved. What does that say of a position?"),
        Mistake("every score", sees("out[:, s] = ((new - now).abs() > 1e-5).all(-1)"),
                "A position counts only if *all* its scores have moved. How many must move?"),
        Mistake("gains and losses cancel", sees("out[:, s] = (new - now).sum(-1).abs() > 1e-5"),
                "The changes of a position's scores were added up, and a gain can cancel a loss. When are two rows of scores different?"),
        Mistake("too coarse", sees("out[:, s] = (new - now).abs().amax(-1) > 1e-2"),
                "A faint change is taken for none. By how much must a score change?"),
        Mistake("the last position's scores", sees("out[:, s] = bool((new[-1] - now[-1]).abs().max() > 1e-5)"),
                "It asks the last position alone, and says the same of all. Which position does row t speak of?"),
        Mistake("what was promised", "def who_sees_whom(model, ids, V):\n    return torch.ones(len(ids), len(ids)).tril().bool()\n",
                "That is the mask of a model that keeps its promise, and the model was never asked. What does it do?"),
        Mistake("all at once", "def who_sees_whom(model, ids, V):\n    T = len(ids)\n    return ((model(ids[None]) - model((ids[None] + 1) % V))[0].abs().amax(-1) > 1e-5).expand(T, T)\n",
                "All tokens were changed at once. Which of them did a position notice?"),
        Mistake("all that follows as well", sees("out[:, s] = (new - now).abs().amax(-1) > 1e-5").replace("other[s] = (ids[s] + 1) % V", "other[s:] = (ids[s:] + 1) % V"),
                "The tokens behind s were changed as well. In how many places may the two texts differ?"),
    ],
)  # fmt: skip

# -- 06.A2 temperature ----------------------------------------------------------------------------------------------------

PLAYS = ["A Midsummer Night's Dream", "Love's Labours Lost", "The Comedy of Errors", "Twelfth Night", "Henry VIII", "King John", "Richard II", "Measure for Measure",
         "The Taming of the Shrew", "Antony and Cleopatra", "Julius Caesar", "A Winter's Tale", "The Tempest", "Hamlet", "King Lear", "Othello", "Romeo and Juliet"]  # fmt: skip


def a_letter_of_a_play(draw):
    """Another play, letter and temperature for each student."""
    heat = draw.choice(
        [0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 1.4, 1.5, 1.6, 1.7, 1.8, 2.2, 2.4, 2.6]
    )  # 1 would tell nothing
    return {"play": draw.choice(PLAYS), "letter": draw.choice("aehilorstuw"), "temperature": heat}


def left(body, pairs="zip(text, text[1:])"):
    """A near miss: `n` holds how often each character came after the letter, those alone that did; the last line gives `p`."""
    return (
        "def choices_left(mine):\n    from collections import Counter\n    from fmcourse.data import load\n"
        '    text, heat = load("shakespeare").works[mine["play"]].text, mine["temperature"]\n'
        f'    n = torch.tensor([*Counter(b for a, b in {pairs} if a == mine["letter"]).values()]).double()\n'
        f"    nats = lambda p: -torch.special.xlogy(p, p).sum().item()\n    {body}\n"
    )


heat_and_choice = AssignedExercise(
    "06.A2",
    goal="what does a temperature leave to choose?",
    minutes=15,
    difficulty=2,
    text="A language model of the simplest kind: after a letter it gives each character the share that it had there in the text. Your text is one play, "
    "`load(\"shakespeare\").works[play].text`, with all its characters as they stand: capitals are other characters than small letters, spaces and line ends count. "
    "Look at the characters that come right after your `letter`. A character that never does has no chance.\n\n"
    "Now this model shall write, at your `temperature`. (As in the lesson: at 1 the shares are as they were counted, colder the favourites gain, hotter the outsiders.) "
    "Among how many characters is it left to choose, as if all were equally likely? That is e to the entropy, -Σ p log p with the natural "
    "logarithm, of the probabilities at that temperature. It is called perplexity.\n\n"
    "An example: two characters, each with probability 1/2, leave 2 to choose; with 0.9 and 0.1 it is 1.38."
    "\n\nGive it unrounded: the first five digits must be right.",
    imports=IMPORTS + "from fmcourse.data import load\n",
    starter='''mine = variant("06.A2")  # your numbers
choices_left = ...  # a float, 1 or more
''',
    solution='''from collections import Counter

from fmcourse.data import load


def choices_left(mine):
    text = load("shakespeare").works[mine["play"]].text
    counts = Counter(after for letter, after in zip(text, text[1:]) if letter == mine["letter"])
    scores = torch.tensor([*counts.values()]).double().log()  # softmax of these are the shares
    p = (scores / mine["temperature"]).softmax(0)
    return math.exp(-(p * p.log()).sum().item())
''',
    other_solutions=[
        '''def choices_left(mine):
    from fmcourse.data import load
    text, times = load("shakespeare").works[mine["play"]].text, {}
    for at in range(len(text) - 1):
        if text[at] == mine["letter"]:
            times[text[at + 1]] = times.get(text[at + 1], 0) + 1
    weights = [n ** (1 / mine["temperature"]) for n in times.values()]
    total, product = sum(weights), 1.0
    for weight in weights:
        product *= (total / weight) ** (weight / total)
    return product
''',
        '''def choices_left(mine):
    import re
    from collections import Counter
    from fmcourse.data import load
    from torch.distributions import Categorical
    text = load("shakespeare").works[mine["play"]].text
    after = re.findall(f"(?<={mine['letter']}).", text, re.DOTALL)
    weights = torch.tensor([times ** (1 / mine["temperature"]) for times in Counter(after).values()], dtype=torch.float64)
    return Categorical(weights).entropy().exp().item()
''',
    ],
    vary=a_letter_of_a_play,
    explanation="The scores of a table are the logarithms of its shares, so dividing them by the temperature raises each share to the power 1/temperature; then all are "
    "made to add up to 1 again. Cold leaves a handful, heat brings back characters that came once in a whole play.",
    properties=[Property("less than one choice", "def test(out, case):\n    return out > 1 or f'Something is left to choose, so it is more than 1; yours is {out:.4g}.'\n",
                         "Is it the entropy, or e to the entropy?")],
    mistakes=[
        Mistake("hot and cold swapped", left("p = n**heat / (n**heat).sum(); return math.exp(nats(p))"),
                "Compare it with what is left at temperature 1. Cold should leave fewer, heat more: does it?"),
        Mistake("no effect", left("p = n / heat / (n / heat).sum(); return math.exp(nats(p))"),
                "It is what is left at temperature 1: a factor that all shares have cancels out when they are made to add up. What does the temperature divide?"),
        Mistake("counts taken for scores", left("p = (n / heat).softmax(0); return math.exp(nats(p))"),
                "Almost nothing is left to choose, whatever the temperature: the counts, hundreds large, went into softmax. Which scores would give the counted shares at 1?"),
        Mistake("shares taken for scores", left("p = (n / n.sum() / heat).softmax(0); return math.exp(nats(p))"),
                "All characters come out nearly equal, even at temperature 1: shares went into softmax. Which scores would give these shares at 1?"),
        Mistake("the entropy itself", left("p = (n.log() / heat).softmax(0); return nats(p)"),
                "Two equally likely characters would leave 0.69. Is that how many there are to choose from?"),
        Mistake("bits and e", left("p = (n.log() / heat).softmax(0); return math.exp(nats(p) / math.log(2))"),
                "Two equally likely characters would leave 2.72. Which logarithm goes with e?"),
        Mistake("what comes before", left("p = (n.log() / heat).softmax(0); return math.exp(nats(p))", "zip(text[1:], text)"),
                "These are the characters that stand *before* the letter. Which way does the model write?"),
        Mistake("one more of each", left("n = torch.cat([n + 1, torch.ones(len(set(text)) - len(n))]).double(); p = (n.log() / heat).softmax(0); return math.exp(nats(p))"),
                "Every character of the play was given one more, as in the lesson's table. Which chance has one here that never came?"),
        Mistake("powers that do not add up", left("p = (n / n.sum()) ** (1 / heat); return math.exp(nats(p))"),
                "After the power the shares no longer add up to 1, so they are no probabilities. What is missing?"),
        Mistake("2 to the nats", left("p = (n.log() / heat).softmax(0); return 2 ** nats(p)"),
                "Two equally likely characters would leave 1.62. Which base goes with the natural logarithm?"),
        Mistake("small and capital letters together", left("p = (n.log() / heat).softmax(0); return math.exp(nats(p))").replace(".text, mine", ".text.lower(), mine"),
                "Capitals were made small. What was said of them?"),
        Mistake("letters only", left("p = (n.log() / heat).softmax(0); return math.exp(nats(p))", "((a, b) for a, b in zip(text, text[1:]) if b.isalpha())"),
                "Spaces, commas and line ends were left out. Which characters count?"),
        Mistake("all characters of the play", left("n = torch.tensor([*Counter(text).values()]).double(); p = (n.log() / heat).softmax(0); return math.exp(nats(p))"),
                "It counts all characters, whatever stands before them. Which ones come after your letter?"),
        Mistake("how many there are", left("return float(len(n))"),
                "Each character that ever came counts as one choice. Are all of them equally likely?"),
        Mistake("the entropy divided", left("p = n / n.sum(); return math.exp(nats(p) / heat)"),
                "The entropy at temperature 1 was divided. What does the temperature divide?"),
    ],
)  # fmt: skip
