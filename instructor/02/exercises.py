"""Assigned in lesson 02: which answer a language model prefers, and how far a rule of one word gets."""

from fmcourse.classroom.exercise_kinds import AssignedExercise
from fmcourse.course.exercise import IMPORTS, Mistake, Property

# -- 02.A1 the preferred answer -------------------------------------------------------------------------------------------

RANKED = """def ranked_options(given, alone):
    \"\"\"The numbers of the options, counted from 0: first the one that a language model prefers most, last the one it prefers least.

    given: for each option a list, the log-probability of each of its tokens after the question
    alone: the same for the option without the question, behind a neutral text such as "Answer:"
    An option's score is by how much the question raises its log-probability, the sum over its tokens. Of equals the smaller number stands first.
    Returns: a list of whole numbers.
    \"\"\"
"""
DEFINE = "def ranked_options(given, alone):\n"
SORTED = "    return sorted(range(len(scores)), key=lambda n: -scores[n])\n"

preferred = AssignedExercise(
    "02.A1",
    goal="which answer does a language model prefer?",
    minutes=15,
    difficulty=2,
    text="A language model answers a multiple-choice question without a single label: each option is scored, and the best score wins. The plain score is the "
    "log-probability of the option after the question, the sum over its tokens. It favours options that are likely anyway: \"the\" beats \"Ouagadougou\" whatever "
    "is asked. So compare with how likely the option is *without* the question, and prefer what the question raises most: "
    "log p(option | question) - log p(option | neutral text). This is pointwise mutual information.\n\n"
    "Your function is handed log-probabilities, as `fmcourse.evaluation.token_nats` measures them (with the sign turned), and ranks the options.",
    cases=[
        ([[-1.0], [-2.0], [-1.5]], [[-1.0], [-1.0], [-5.0]]),
        ([[-3.0, -1.0], [-2.5], [-1.0]], [[-3.0, -3.0], [-2.5], [-0.5]]),
        ([[-2.0], [-2.0], [-4.0], [-2.0]], [[-1.0], [-3.0], [-5.0], [-4.0]]),
        ([[-1.0, -6.0], [-2.0], [-7.0]], [[-3.0, -4.0], [-2.5], [-9.0]]),
    ],
    hidden=[
        ([[-0.1], [-6.0, -0.2, -0.1], [-0.5]], [[-0.2], [-9.0, -2.0, -1.0], [-0.75]]),
        ([[-4.0, -4.0], [-1.0], [-2.0, -1.0]], [[-5.0, -5.0], [-2.5], [-2.0, -3.25]]),
        ([[-3.0], [-1.0, -1.0, -1.0, -1.0], [-2.0]], [[-4.75], [-1.5, -1.5, -1.5, -1.5], [-4.5]]),
        ([[-1.0], [-0.5], [-2.0], [-1.5]], [[-3.0], [-2.5], [-2.0], [-4.0]]),
        ([[-5.0, -0.5], [-2.0, -2.0], [-1.0, -4.0]], [[-4.0, -0.5], [-2.5, -2.0], [-1.0, -4.25]]),
        ([[-0.7]], [[-0.2]]),
        ([[-2.0], [-8.0, -1.0], [-3.0], [-1.0]], [[-2.5], [-4.0, -1.0], [-3.25], [-9.0]]),
    ],
    starter=RANKED + "    ...\n",
    solution=RANKED
    + """    raised = [sum(with_question) - sum(without) for with_question, without in zip(given, alone)]
    return sorted(range(len(raised)), key=lambda n: -raised[n])  # sorting keeps the order of equals
""",
    other_solutions=[
        DEFINE + "    left, order = list(range(len(given))), []\n    gain = lambda n: sum(given[n]) - sum(alone[n])\n    while left:\n"
        "        best = left[0]\n        for n in left:\n            if gain(n) > gain(best):\n                best = n\n"
        "        order.append(best)\n        left.remove(best)\n    return order\n",
        DEFINE + "    after = torch.tensor([sum(option) for option in given], dtype=torch.float64)\n"
        "    before = torch.tensor([sum(option) for option in alone], dtype=torch.float64)\n"
        "    return (after - before).sort(descending=True, stable=True).indices.tolist()\n",
    ],
    explanation="A sum of log-probabilities is the log-probability of the whole option; the difference of two logarithms is the logarithm of a ratio, by which factor the "
    "question makes the option more likely. What is likely anyway gains nothing.",
    properties=[
        Property("not every option once", "def test(out, case):\n    return sorted(out) == list(range(len(case[0]))) or f'There are options 0 to {len(case[0]) - 1}, each once; yours are {out}.'\n",
                 "From which number are options counted, and how often may one stand?"),
        Property("a lowered option before a raised one", """def test(out, case):
    raised = [sum(a) - sum(b) for a, b in zip(*case)]
    if sorted(out) != list(range(len(raised))) or len(out) < 2:
        return True
    first, second = next(((a, b) for a, b in zip(out, out[1:]) if raised[a] < 0 <= raised[b]), (None, None))
    return first is None or f"The question lowers option {first} by {-raised[first]:.3g} nats and raises option {second}, which stands behind it."
""", "What is the difference of the two log-probabilities for each of them?"),
    ],
    mistakes=[
        Mistake("likely anyway", DEFINE + "    scores = [sum(option) for option in given]\n" + SORTED,
                "The option with the largest log-probability came first, although it is likely without the question too. What does `alone` say?"),
        Mistake("the mean over tokens", DEFINE + "    scores = [sum(a) / len(a) - sum(b) / len(b) for a, b in zip(given, alone)]\n" + SORTED,
                "Dividing by the number of tokens makes a gain in a long option count less. Is the option's log-probability a sum or a mean?"),
        Mistake("the wrong way round", DEFINE + "    scores = [sum(b) - sum(a) for a, b in zip(given, alone)]\n" + SORTED,
                "First stands the option that the question makes least likely. Which of the two is subtracted?"),
        Mistake("a ratio of logarithms", DEFINE + "    scores = [-sum(a) / sum(b) for a, b in zip(given, alone)]\n" + SORTED,
                "Log-probabilities were divided. The logarithm of a ratio of probabilities is which operation on logarithms?"),
        Mistake("only the first token", DEFINE + "    scores = [a[0] - b[0] for a, b in zip(given, alone)]\n" + SORTED,
                "Later tokens of an option changed nothing. Over what does the sum run?"),
        Mistake("the later of equals first", DEFINE + "    scores = [sum(a) - sum(b) for a, b in zip(given, alone)]\n    return sorted(range(len(scores)), key=lambda n: (scores[n], n), reverse=True)\n",
                "Two options are raised alike, and the later one stands first. Which of equals is asked for?"),
        Mistake("counted from 1", DEFINE + "    scores = [sum(a) - sum(b) for a, b in zip(given, alone)]\n    return sorted(range(1, len(scores) + 1), key=lambda n: -scores[n - 1])\n",
                "The first option has number 0. From which number do you count?"),
        Mistake("the place of each option", DEFINE + "    scores = [sum(a) - sum(b) for a, b in zip(given, alone)]\n    order = sorted(range(len(scores)), key=lambda n: -scores[n])\n    return [order.index(n) for n in range(len(scores))]\n",
                "This says at which place each option stands. Which option stands at each place?"),
    ],
)  # fmt: skip

# -- 02.A2 a rule of one word ---------------------------------------------------------------------------------------------

RULES = [("Geography", "river"), ("Geography", "island"), ("Geography", "lake"), ("Geography", "sea"), ("Geography", "state"), ("History", "war"),
         ("History", "empire"), ("History", "kingdom"), ("People", "king"), ("People", "queen"), ("Arts", "film"), ("Arts", "art"), ("Technology", "system"),
         ("Philosophy and religion", "god"), ("Physical sciences", "earth")]  # fmt: skip


def a_rule(draw):
    """Another topic and word for each student."""
    topic, word = draw.choice(RULES)
    return {"topic": topic, "word": word, "longest": draw.choice(range(60, 160))}


HEAD = """def rule_f1(mine):
    import re
    from fmcourse.data import load
    articles = [one for one in load("wikipedia").train if len(one.text.split()) <= mine["longest"]]
    has = [re.search(rf"\\b{mine['word']}\\b", one.text, re.IGNORECASE) is not None for one in articles]
    of_topic = [one.topic == mine["topic"] for one in articles]
    both = sum(a and b for a, b in zip(has, of_topic))
"""
COUNTED = HEAD + "    precision, recall = both / sum(has), both / sum(of_topic)\n"

one_word = AssignedExercise(
    "02.A2",
    goal="how far does a rule of one word get?",
    minutes=15,
    difficulty=2,
    text="Before a foundation model is praised, somebody should try the silliest rival. Yours is a rule of one word: *an article belongs to my topic if its introduction contains my word*. "
    "Take the articles of `load(\"wikipedia\").train` whose text has at most `longest` words, as `text.split()` counts them; each has `.text` and `.topic`.\n\n"
    "An article contains the word if it stands there as a whole word, in capitals or not: \"War\" and \"war,\" count for *war*, \"warm\" and \"wars\" do not "
    "(in a regular expression, between two `\\b`). Articles without a topic count as not belonging.\n\n"
    "Give the rule's F1, the harmonic mean of its precision (of the articles with the word, which share has the topic?) and its recall (of the articles of the topic, which share has the word?)."
    "\n\nGive it unrounded: the first five digits must be right.",
    imports=IMPORTS + "from fmcourse.data import load\n",
    starter='''mine = variant("02.A2")  # your topic, word and longest text
rule_f1 = ...  # a float between 0 and 1
''',
    solution='''import re

from fmcourse.data import load


def rule_f1(mine):
    articles = [one for one in load("wikipedia").train if len(one.text.split()) <= mine["longest"]]
    word = re.compile(rf"\\b{mine['word']}\\b", re.IGNORECASE)
    found = [one for one in articles if word.search(one.text)]
    of_topic = [one for one in articles if one.topic == mine["topic"]]
    both = sum(one.topic == mine["topic"] for one in found)
    precision, recall = both / len(found), both / len(of_topic)
    return 2 * precision * recall / (precision + recall)
''',
    other_solutions=[
        '''def rule_f1(mine):
    import re
    from fmcourse.data import load
    right = found = wanted = 0
    for one in load("wikipedia").train:
        if len(one.text.split()) > mine["longest"]:
            continue
        has = mine["word"].lower() in re.findall(r"\\w+", one.text.lower())
        right += has and one.topic == mine["topic"]
        found += has
        wanted += one.topic == mine["topic"]
    return 2 * right / (found + wanted)
''',
        HEAD + "    wrong = sum(a and not b for a, b in zip(has, of_topic))\n    missed = sum(b and not a for a, b in zip(has, of_topic))\n"
        "    return both / (both + (wrong + missed) / 2)\n",
    ],
    vary=a_rule,
    explanation="F1 is 2 · both / (with the word + of the topic). One word finds a third of a topic at best, but it costs nothing, and a good word of a narrow topic is precise. "
    "It is the floor that a probe on frozen features has to beat.",
    properties=[Property("above its parts", '''def test(out, case):
    return 0 < out < 0.9 or f"One word does not find a whole topic without an error; yours is {out:.4g}."
''', "Is it the harmonic mean of two shares?")],
    mistakes=[
        Mistake("the precision", COUNTED + "    return precision\n", "Of the articles with the word, this is the share that has the topic. What did the rule miss?"),
        Mistake("the recall", COUNTED + "    return recall\n", "Of the articles of the topic, this is the share that has the word. How many others have it too?"),
        Mistake("the accuracy", COUNTED + "    return sum(a == b for a, b in zip(has, of_topic)) / len(articles)\n",
                "This counts every article that is neither. What would a rule get that never says yes?"),
        Mistake("the ordinary mean", COUNTED + "    return (precision + recall) / 2\n", "This is the arithmetic mean. What is the harmonic one?"),
        Mistake("half of it", COUNTED + "    return precision * recall / (precision + recall)\n", "With precision and recall both 1 it would be 0.5. Which factor is missing?"),
        Mistake("parts of words", COUNTED.replace("re.search(rf\"\\b{mine['word']}\\b\", one.text, re.IGNORECASE) is not None", "mine['word'].lower() in one.text.lower()")
                + "    return 2 * precision * recall / (precision + recall)\n",
                "The letters were also found inside longer words, as in \"wars\" or \"warm\". What marks the ends of a word?"),
        Mistake("only as it is written", COUNTED.replace(", re.IGNORECASE", "") + "    return 2 * precision * recall / (precision + recall)\n",
                "At the beginning of a sentence or in a name the word has a capital. Does it count there?"),
    ],
)  # fmt: skip
