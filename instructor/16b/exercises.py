"""Assigned in lesson 16b: advantages against the others of a group, and how reliable answers are."""

from fmcourse.classroom.exercise_kinds import AssignedExercise
from fmcourse.course.exercise import IMPORTS, Mistake, Property

# -- 16b.A1 leave one out -------------------------------------------------------------------------------------------------

OTHERS = '''def leave_one_out(rewards, prompts, finished):
    """The advantage of each answer: its reward minus the mean reward of the others that answer the same prompt.

    An answer that was cut off before its end has an advantage of 0, and no other answer is compared with it. An
    answer that nothing is left to be compared with has an advantage of 0, too.

    rewards: (B,), floats   prompts: (B,), the number of each answer's prompt, in any order
    finished: (B,), bool, False where the answer was cut off
    Returns: (B,), in the order and the dtype of the rewards.
    """
'''
LINE = "def leave_one_out(rewards, prompts, finished):\n"


def compared(advantage="rewards[i] - sum(others) / len(others)", among="prompts[j] == prompts[i] and finished[j] and j != i", where="finished[i] and others"):  # fmt: skip
    """A near miss: one part of the answer replaced; `others` are the rewards that answer i is compared with."""
    return (
        f"{LINE}    from statistics import median, stdev\n    B, out, dtype = len(rewards), [0.0] * len(rewards), rewards.dtype\n"
        "    rewards, order, finished = rewards.tolist(), prompts.argsort(stable=True), finished.tolist()\n"
        "    prompts = prompts.tolist()\n    for i in range(B):\n"
        f"        others = [rewards[j] for j in range(B) if {among}]\n"
        f"        if {where}:\n            out[i] = {advantage}\n    out = torch.tensor(out, dtype=dtype)\n    return out\n"
    )


def some_batch(seed, n_answers, n_prompts, cut_off, kinds=None):
    """Answers to prompts that are of different difficulty, in no order."""
    import random

    import torch

    draw = random.Random(seed)
    level = [draw.gauss(0, 3) for _ in range(n_prompts)]
    prompts = [draw.randrange(n_prompts) for _ in range(n_answers)]
    rewards = [draw.choice(kinds) if kinds else level[one] + draw.gauss(0, 1) for one in prompts]
    finished = [draw.random() >= cut_off for _ in prompts]
    names = [7 * one + 3 for one in range(n_prompts)]
    return torch.tensor(rewards), torch.tensor([names[one] for one in prompts]), torch.tensor(finished)


def by_hand(rewards, prompts, finished):
    import torch

    return torch.tensor(rewards), torch.tensor(prompts), torch.tensor([letter == "x" for letter in finished])


baseline = AssignedExercise(
    "16b.A1",
    goal="compared with the others",
    minutes=15,
    difficulty=2,
    text="GRPO compares an answer with the mean of its group, of which the answer itself is a part: with two answers each is compared with half of itself. **Leave-one-out** (RLOO; Kool et al. 2019, "
    "Ahmadian et al. 2024) compares it with the others alone, and divides by nothing: the expected gradient is then just that of the reward.\n\n"
    "A batch of a real run is less tidy than a matrix (N, G). Its answers come from several workers in any order, some prompts have more answers than others, and an answer that has used up its tokens "
    "was never finished: its reward says nothing, so it is not learned from, neither by itself nor through the others.",
    cases=[
        by_hand([1.0, 0.0, 0.0, 5.0, 3.0], [4, 4, 4, 9, 9], "xxxxx"),
        by_hand([2.0, 8.0, 1.0, 4.0, 6.0], [0, 1, 0, 1, 1], "xx.xx"),
    ],
    hidden=[
        some_batch(1, 24, 4, 0.2),
        by_hand([1.0, 1.0, 0.0, 7.0, 2.0], [2, 2, 5, 2, 8], "xx.xx"),
        some_batch(2, 12, 2, 0.0, kinds=[0.0, 1.0]),
        some_batch(3, 30, 9, 0.4),
        by_hand([3.0, -1.0], [6, 6], "xx"),
        by_hand([0.5, 2.5, -4.0], [1, 1, 1], "..."),
        some_batch(4, 15, 12, 0.1),
        some_batch(5, 40, 5, 0.3, kinds=[-1.0, 0.0, 2.0]),
    ],
    starter=OTHERS + "    ...\n",
    solution=OTHERS + '''    alike = (prompts[:, None] == prompts[None, :]) & finished[:, None] & finished[None, :]  # (B, B)
    alike = alike & ~torch.eye(len(rewards), dtype=torch.bool)
    others = alike.sum(1)  # how many each is compared with
    baseline = (alike * rewards).sum(1) / others.clamp(min=1)
    return torch.where(others > 0, rewards - baseline, torch.zeros_like(rewards))
''',
    other_solutions=[
        LINE + "    from collections import defaultdict\n    groups = defaultdict(list)\n    for i, prompt in enumerate(prompts.tolist()):\n        if finished[i]:\n            groups[prompt].append(i)\n"
        "    out = torch.zeros_like(rewards)\n    for places in groups.values():\n        G = len(places)\n        if G < 2:\n            continue\n        mine = rewards[places]\n"
        "        out[places] = (mine - mine.mean()) * G / (G - 1)\n    return out\n",
        LINE + "    _, group = prompts.unique(return_inverse=True)\n    counted = finished.to(rewards.dtype)\n    n_groups = int(group.max()) + 1\n"
        "    total = torch.zeros(n_groups, dtype=rewards.dtype).index_add(0, group, rewards * counted)[group]\n    number = torch.zeros(n_groups, dtype=rewards.dtype).index_add(0, group, counted)[group]\n"
        "    advantage = rewards - (total - rewards) / (number - 1)\n    return advantage.where(finished & (number > 1), torch.zeros(()))\n",
    ],
    explanation="Since an answer is no part of what it is compared with, its baseline does not depend on it, and the gradient keeps its expectation. In a whole group of G the advantage is that of the group's mean times "
    "G / (G - 1): the same direction, a little longer. Both forget the standard deviation, so an easy prompt and a hard one count by what there is to gain.",
    properties=[
        Property("one advantage for each answer", '''def test(out, case):
    return out.shape == case[0].shape or f"There are {len(case[0])} answers, and your result has shape {tuple(out.shape)}."
''', "How many advantages has a batch of B answers?"),
        Property("something learned from what was cut off", '''def test(out, case):
    for i, (done, one) in enumerate(zip(case[2].tolist(), out.tolist())):
        if not done and abs(one) > 1e-6:
            return f"Answer {i} was cut off, and its advantage is {one:.4g}."
    return True
''', "What does the docstring say of an answer that was cut off?"),
        Property("compared with nothing", '''def test(out, case):
    prompts = case[1][case[2]].tolist()
    for i, (prompt, one) in enumerate(zip(case[1].tolist(), out.tolist())):
        if prompts.count(prompt) == 1 and abs(one) > 1e-6:
            return f"Prompt {prompt} has one finished answer, and answer {i} to it the advantage {one:.4g}."
    return True
''', "What is the advantage where no other answer is left?"),
        Property("no sum of zero", '''def test(out, case):
    for prompt in case[1].unique():
        total = out[case[1] == prompt].sum().item()
        if abs(total) > 1e-3:
            return f"The advantages of prompt {int(prompt)} add up to {total:.4g}. What one answer gains on the others, they lose."
    return True
''', "With which rewards is an answer compared?"),
    ],
    mistakes=[
        Mistake("compared with itself, too", compared(among="prompts[j] == prompts[i] and finished[j]"),
                "An answer's own reward is part of its baseline, as in GRPO, so that every advantage is too small. Who is left out?"),
        Mistake("divided by all of the group", compared("rewards[i] - sum(others) / (len(others) + 1)"),
                "The others were added, and divided by their number and one more. How many rewards are in the sum?"),
        Mistake("all prompts together", compared(among="finished[j] and j != i"),
                "An answer was compared with answers to other prompts, which may be harder. With whom is it compared?"),
        Mistake("the cut-off ones compared with", compared(among="prompts[j] == prompts[i] and j != i"),
                "A cut-off answer's reward is part of the others' baselines. What does its reward say?"),
        Mistake("the cut-off ones judged", compared(where="others"),
                "Cut-off answers have an advantage. What is learned from them?"),
        Mistake("the cut-off ones like all", compared(among="prompts[j] == prompts[i] and j != i", where="others"),
                "`finished` changes nothing. On which two sides of a comparison may no cut-off answer stand?"),
        Mistake("the cut-off ones earn nothing", compared("(finished[i] * rewards[i]) - sum(others) / len(others)", among="prompts[j] == prompts[i] and j != i", where="others").replace("rewards[j] for", "rewards[j] * finished[j] for"),
                "A cut-off answer was given the reward 0 and learned from. Is that the same as not to learn from it?"),
        Mistake("the cut-off ones as zeros among the others", compared(among="prompts[j] == prompts[i] and j != i").replace("rewards[j] for", "rewards[j] * finished[j] for"),
                "Among the others a cut-off answer counts as one with reward 0. Who is a baseline's mean taken over?"),
        Mistake("alone and better than nothing", compared("rewards[i] - sum(others) / max(1, len(others))", where="finished[i]"),
                "An answer that is alone kept its whole reward. What is its advantage, if there is nobody to compare it with?"),
        Mistake("divided by the standard deviation", compared("(rewards[i] - sum(others) / len(others)) / (stdev([*others, rewards[i]]) + 1e-4)"),
                "Each advantage was divided by the standard deviation of its group. What does leave-one-out divide by?"),
        Mistake("GRPO", compared("(rewards[i] - sum(others) / len(others)) / (stdev(others) + 1e-4) if len(others) > 1 else 0.0", among="prompts[j] == prompts[i] and finished[j]"),
                "These are the advantages of GRPO. Which answer does it not leave out, and what does it divide by besides?"),
        Mistake("the best of the others", compared("rewards[i] - max(others)"),
                "Each was compared with the best of the others, so nearly all are bad. Which average is asked?"),
        Mistake("the sum of the others", compared("rewards[i] - sum(others)"),
                "The others' rewards were added and not averaged. By what is the sum divided?"),
        Mistake("the median of the others", compared("rewards[i] - median(others)"),
                "Each was compared with the median of the others. Which average is asked?"),
        Mistake("the sign", compared("sum(others) / len(others) - rewards[i]"),
                "A good answer has a negative advantage. What is subtracted from what?"),
        Mistake("the baseline alone", compared("sum(others) / len(others)"),
                "This is what each answer is compared with. What is its advantage?"),
        Mistake("the rewards alone", compared("rewards[i]"),
                "Nothing was subtracted. With what is a reward compared?"),
        Mistake("neighbours only", compared(among="prompts[j] == prompts[i] and finished[j] and abs(j - i) == 1"),
                "Each was compared with the answers beside it. In which order do they come?"),
        Mistake("those that came before", compared(among="prompts[j] == prompts[i] and finished[j] and j < i"),
                "Each was compared with those that stand before it. Who are the others?"),
        Mistake("not those of the same reward", compared(among="prompts[j] == prompts[i] and finished[j] and rewards[j] != rewards[i]"),
                "Answers with an equal reward were left out as well. How do you know an answer from another?"),
        Mistake("gone and not 0", compared().replace("return out", "return out[finished]"),
                "Cut-off answers have no place in the result. How many advantages are asked?"),
        Mistake("sorted by prompt", compared().replace("return out", "return out[order]"),
                "The advantages stand in the order of the prompts. In which order do the answers come?"),
        Mistake("rescued by a bit", compared("rewards[i] - sum(others) / (len(others) + 1e-2)", where="finished[i]"),
                "Something was added to the number of the others, lest it be 0. What is to come out where it is 0?"),
    ],
)  # fmt: skip

# -- 16b.A2 once right, or always right -----------------------------------------------------------------------------------


def which_answers(draw):
    """Other problems and another k for each student."""
    easy, hard = draw.sample(range(10, 100), 2)
    return {"easy": easy, "hard": hard, "seed": draw.randrange(1000, 10_000), "k": draw.randrange(3, 5)}


def counted(problem="some - every", total="sum(gaps) / len(gaps)", keep="n >= k", right="is_right(prompt, response)", key="prompt", more="pass", texts="texts"):  # fmt: skip
    """A near miss: `some` and `every` are pass@k and pass^k of a problem with n answers, c of them right."""
    return (
        "def mean_gap(mine):\n    from collections import defaultdict\n    from fmcourse.alignment.sums import is_right, sum_texts\n"
        '    k, seed = mine["k"], mine["seed"]\n'
        '    lists = [[(mine[name], b) for b in range(10, 100)] for name in ("easy", "hard")]\n'
        "    easy = sum_texts(lists[0], 300, wrong=0.1, seed=seed)\n    hard = sum_texts(lists[1], 400, wrong=0.7, seed=seed + 1)\n"
        f"    texts, answers, gaps = easy + hard, defaultdict(list), []\n    for prompt, response in {texts}:\n        answers[{key}].append({right})\n"
        "    chance = lambda n, c: math.comb(c, k) / math.comb(n, k)\n"
        f"    for one in answers.values():\n        n, c = len(one), sum(one)\n        if not ({keep}):\n            continue\n"
        "        some, every = (1 - chance(n, n - c), chance(n, c)) if n >= k else (0.0, 0.0)\n"
        f"        gaps.append({problem})\n    {more}\n    return float({total})\n"
    )


gap = AssignedExercise(
    "16b.A2",
    goal="right once, or right every time",
    minutes=15,
    difficulty=2,
    text="A user who can check an answer is served if one of k is right: that is pass@k. A user who cannot, or an agent that must not fail in k runs, needs all k right. The probability of that is called **pass^k** "
    "(Yao et al. 2024, tau-bench), and it is estimated in the same way: from n answers to a problem k are drawn without replacement. The two differ by the probability that of k answers some are right and some are not.\n\n"
    "Two workers have answered sums, `easy` + b and `hard` + b with all b from 10 to 99. For your numbers their answers are `sum_texts([(easy, b) for b in range(10, 100)], 300, wrong=0.1, seed=seed)` and "
    "`sum_texts([(hard, b) for b in range(10, 100)], 400, wrong=0.7, seed=seed + 1)`. Both give pairs (prompt, response), and `is_right(prompt, response)` says which are right; the two functions are in `fmcourse.alignment.sums`. A problem was drawn a few times or many, so n differs.\n\n"
    "By how much is pass@k larger than pass^k on average? Each problem with at least k answers counts once, however many it has; those with fewer do not count."
    "\n\nGive it unrounded: the first five digits must be right.",
    imports=IMPORTS + "from fmcourse.alignment.sums import is_right, sum_texts\n",
    starter='''mine = variant("16b.A2")  # the numbers easy and hard, the seed, and k
mean_gap = ...  # a float between 0 and 1
''',
    solution='''from collections import Counter

from fmcourse.alignment.sums import is_right, sum_texts


def mean_gap(mine):
    k, n, c = mine["k"], Counter(), Counter()
    for first, number, wrong, seed in ((mine["easy"], 300, 0.1, mine["seed"]), (mine["hard"], 400, 0.7, mine["seed"] + 1)):
        problems = [(first, b) for b in range(10, 100)]
        for prompt, response in sum_texts(problems, number, wrong=wrong, seed=seed):
            n[prompt] += 1
            c[prompt] += is_right(prompt, response)
    mixed = []  # of each problem: how probable it is that k answers are neither all right nor all wrong
    for prompt in n:
        if n[prompt] >= k:
            alike = math.comb(c[prompt], k) + math.comb(n[prompt] - c[prompt], k)
            mixed.append(1 - alike / math.comb(n[prompt], k))
    return sum(mixed) / len(mixed)
''',
    other_solutions=[
        '''def mean_gap(mine):
    from fmcourse.alignment import pass_at_k
    from fmcourse.alignment.sums import sum_texts, is_right
    k, tried = mine["k"], {}
    for name, wrong, more in [("easy", 0.1, 0), ("hard", 0.7, 1)]:
        for prompt, response in sum_texts([(mine[name], b) for b in range(10, 100)], 300 + 100 * more, wrong=wrong, seed=mine["seed"] + more):
            tried.setdefault(prompt, []).append(is_right(prompt, response))
    total = number = 0
    for answers in tried.values():
        if len(answers) < k:
            continue
        answers = torch.tensor([answers])
        total += pass_at_k(answers, k).item() - (1 - pass_at_k(~answers, k).item())
        number += 1
    return total / number
''',
        '''def mean_gap(mine):
    from itertools import groupby
    from fmcourse.alignment.sums import is_right, sum_texts
    everything = []
    everything += sum_texts([(mine["easy"], b) for b in range(10, 100)], 300, wrong=0.1, seed=mine["seed"])
    everything += sum_texts([(mine["hard"], b) for b in range(10, 100)], 400, wrong=0.7, seed=mine["seed"] + 1)
    def none_of(marked, n):
        p = 1.0
        for i in range(mine["k"]):
            p *= max(0, n - marked - i) / (n - i)
        return p
    gaps = []
    for prompt, group in groupby(sorted(everything), key=lambda pair: pair[0]):
        marks = [is_right(*pair) for pair in group]
        n, right = len(marks), marks.count(True)
        if n >= mine["k"]:
            gaps.append(1 - none_of(right, n) - none_of(n - right, n))
    return torch.tensor(gaps).double().mean().item()
''',
    ],
    vary=which_answers,
    explanation="The same answers look good by one measure and bad by the other, and the gap between them grows with k: a problem that is solved seven times in ten is nearly always solved once in four, and solved all four times only about "
    "once in four. Reinforcement learning with a checker sharpens: it brings the two together. Averages over all answers first hide this, since a power of a mean is no mean of powers.",
    properties=[Property("no difference of two probabilities", '''def test(out, case):
    return 0 < out < 1 or f"pass@k is at least pass^k, and both are probabilities; yours differ by {out:.4g}."
''', "Which of the two is larger, and how many problems is the sum divided by?")],
    mistakes=[
        Mistake("pass@k alone", counted("some"),
                "This is pass@k. What is subtracted from it?"),
        Mistake("pass^k alone", counted("every"),
                "This is pass^k. From what is it subtracted?"),
        Mistake("drawn with replacement", counted("1 - (1 - c / n) ** k - (c / n) ** k"),
                "The share of right answers was raised to k, as if an answer could be drawn twice. How are k of n drawn?"),
        Mistake("only pass^k with replacement", counted("some - (c / n) ** k"),
                "pass@k is right, and for pass^k an answer may be drawn twice. How are k of n drawn?"),
        Mistake("only pass@k with replacement", counted("1 - (1 - c / n) ** k - every"),
                "pass^k is right, and for pass@k an answer may be drawn twice. How are k of n drawn?"),
        Mistake("one big problem", counted(key="0"),
                "All answers were thrown together, as if they were answers to one problem. Between which answers is a choice made?"),
        Mistake("one problem for each worker", counted(key='prompt.split("+")[0]'),
                "Answers to different sums were thrown together. What is a problem?"),
        Mistake("the mean share to the power of k", counted("c / n", "1 - (1 - sum(gaps) / len(gaps)) ** k - (sum(gaps) / len(gaps)) ** k"),
                "The shares were averaged first and raised to k afterwards. What is averaged: shares, or probabilities of k answers?"),
        Mistake("too few answers count as none", counted("some - every", keep="True"),
                "A problem with fewer than k answers counted with a gap of 0, in the sum or in the number that it is divided by. What do you know about it?"),
        Mistake("divided by 180", counted(total="sum(gaps) / 180"),
                "The sum was divided by 180, and some problems have too few answers. How many are in the sum?"),
        Mistake("each answer counts", counted("n * (some - every)", "sum(gaps) / sum(len(one) for one in answers.values() if len(one) >= k)"),
                "Problems with many answers counted more. How often does each problem count?"),
        Mistake("more than k", counted(keep="n > k"),
                "Problems with just k answers were left out. From how many answers on does one count?"),
        Mistake("the first k answers", counted("float(any(one[:k])) - float(all(one[:k]))"),
                "Of each problem only the first k answers were looked at. What do the others tell?"),
        Mistake("one of all answers", counted("float(any(one)) - float(all(one))"),
                "All n answers were looked at, and not k of them. How many are drawn?"),
        Mistake("some right at all, and all of k", counted("float(any(one)) - every"),
                "For pass@k all n answers were looked at. How many are drawn?"),
        Mistake("the easy ones", counted(texts="easy"),
                "Only the first worker's problems were counted. Who else has answered?"),
        Mistake("the hard ones", counted(texts="hard"),
                "Only the second worker's problems were counted. Who else has answered?"),
        Mistake("results read forwards", counted(right='response == str(sum(map(int, prompt.rstrip("=").split("+"))))'),
                "The responses were compared with sums written as usual. In which order are their digits?"),
        Mistake("one more", counted().replace('k, seed = mine["k"]', 'k, seed = mine["k"] + 1'),
                "One answer too many was drawn. How large is your k?"),
        Mistake("one fewer", counted().replace('k, seed = mine["k"]', 'k, seed = mine["k"] - 1'),
                "One answer too few was drawn. How large is your k?"),
        Mistake("pass^k less pass@k", counted("every - some"),
                "The smaller was taken first. What is larger than what?"),
        Mistake("pass@k less pass@1", counted("some - c / n"),
                "This is what more tries gain over one. From which measure is pass^k as far as that?"),
        Mistake("pass@1 less pass^k", counted("c / n - every"),
                "This is what is lost from one answer to k in a row. Of which two is the difference asked?"),
        Mistake("a ratio", counted("every / some if some else 0.0"),
                "pass^k was divided by pass@k. Is a difference asked, or a ratio?"),
        Mistake("the median problem", counted(total="sorted(gaps)[len(gaps) // 2]"),
                "This is the gap of the problem in the middle. Which average is asked?"),
        Mistake("one seed for both", counted().replace("wrong=0.7, seed=seed + 1", "wrong=0.7, seed=seed"),
                "The second worker was given the seed of the first. Which is its own?"),
        Mistake("a mean for each worker", counted("(one_of, some - every)", "sum(sum(of) / len(of) for of in ([gap for name, gap in gaps if name == first] for first in {name for name, _ in gaps})) / 2").replace("for one in answers.values():", "for prompt, one in answers.items():").replace("one_of", 'prompt.split("+")[0]'),
                "The two workers' means were averaged, though the second has more problems with k answers. What counts the same, a worker or a problem?"),
    ],
)  # fmt: skip
