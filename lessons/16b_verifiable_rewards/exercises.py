"""Lesson 16b: advantages within a group, pass@k, the distance to a reference, and a strict checker."""

import torch
from fmcourse.course.exercise import Exercise, Mistake, Property
from torch import Tensor


def drawn(*shape: int, seed: int, size: float = 1.0) -> Tensor:
    """Numbers from a normal distribution, the same each time."""
    return size * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def true_at(*rows: str) -> Tensor:
    """A mask as a drawing: "..xx" is False, False, True, True."""
    return torch.tensor([[letter == "x" for letter in row] for row in rows])


# -- 16b.1 advantages within a group --------------------------------------------------------------------------------------

GROUP = '''def group_advantages(rewards):
    """GRPO's advantages: how many standard deviations better than the mean of its group each answer is; as rewards.

    Each reward minus the mean of its group, divided by the group's standard deviation plus 1e-4, so that a group of
    equal rewards gets zeros. The standard deviation is that of `torch.std`, with G - 1.

    rewards: (N, G), floats: row n holds those of the G answers to prompt n
    """
'''
GROUP_LINE = "def group_advantages(rewards):\n"


def grouped(advantages: str) -> str:
    """A near miss; `mean` and `std` are those of each group, (N, 1)."""
    return (
        f"{GROUP_LINE}    mean, std = rewards.mean(1, keepdim=True), rewards.std(1, keepdim=True)\n"
        f"    return {advantages}\n"
    )


def adds_up_to_nothing(value: Tensor, case: Tensor) -> bool | str:
    sums = value.sum(1)
    worst = int(sums.abs().argmax())
    return sums[worst].abs().item() < 1e-3 * case.shape[1] or (
        f"The advantages of the group {case[worst].tolist()} add up to {sums[worst].item():.4g}. Compared with their "
        "own mean, some are better by as much as others are worse."
    )


advantages = Exercise(
    "16b.1",
    goal="compare an answer with its group",
    minutes=8,
    difficulty=1,
    cases=[
        torch.tensor([[1.0, 0.0, 0.0, 1.0]]),
        torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]),
        torch.tensor([[3.0, 1.0], [0.5, 0.75], [-2.0, 4.0]]),
        drawn(4, 6, seed=1, size=3) + torch.tensor([[5.0], [-5.0], [0.0], [20.0]]),
        torch.tensor([[0.1, 0.1, 0.1, 0.1, 0.1], [0.001, 0.002, 0.001, 0.002, 0.004]]),
        drawn(3, 3, seed=2).double(),
    ],
    starter=GROUP + "    ...\n",
    solution=GROUP
    + """    mean, std = rewards.mean(1, keepdim=True), rewards.std(1, keepdim=True)
    return (rewards - mean) / (std + 1e-4)
""",
    other_solutions=[
        GROUP_LINE + "    centred = rewards - rewards.mean(dim=-1, keepdim=True)\n    G = rewards.shape[1]\n"
        "    std = (centred.square().sum(1) / (G - 1)).sqrt()\n    return centred / (std[:, None] + 1e-4)\n",
        GROUP_LINE + "    rows = [(row - row.mean()) / (row.std() + 1e-4) for row in rewards]\n    return torch.stack(rows)\n",
        GROUP_LINE + "    std, mean = torch.std_mean(rewards, 1)\n    return torch.where(std[:, None] < 1e-7, 0 * rewards, (rewards - mean[:, None]) / (std[:, None] + 1e-4))\n",
    ],
    hints=[
        "Four answers to one prompt, two of them right. With what is an answer compared: with all answers of the batch, or with those to the same prompt?",
        "The mean and the standard deviation are taken along a row, one for each prompt. Keep that axis, so that (N, 1) can be subtracted from (N, G).",
        "`rewards.mean(1, keepdim=True)` and `rewards.std(1, keepdim=True)`; the 1e-4 is added to the second before you divide.",
    ],
    explanation="The mean of the group takes the place of a learned value function: it says how hard the prompt is. Where all answers are right, or all wrong, nothing can be learned and the "
    "advantages are 0, so a prompt teaches only while it is solved sometimes.",
    properties=[Property("no comparison with the group", adds_up_to_nothing, "Which mean is subtracted from which rewards?")],
    mistakes=[
        Mistake("the mean of all", GROUP_LINE + "    return (rewards - rewards.mean()) / (rewards.std() + 1e-4)\n",
                "All prompts were thrown together, so that an easy one looks like good answers. Whose mean says how hard a prompt is?"),
        Mistake("the mean of all, the spread of the group", grouped("(rewards - rewards.mean()) / (std + 1e-4)"),
                "The standard deviation is the group's, and the mean is that of all prompts. Whose mean says how hard a prompt is?"),
        Mistake("the spread of all", grouped("(rewards - mean) / (rewards.std() + 1e-4)"),
                "The mean is the group's, and the standard deviation that of all rewards. Whose spread is asked?"),
        Mistake("along the other axis", GROUP_LINE + "    mean, std = rewards.mean(0), rewards.std(0) if len(rewards) > 1 else 0 * rewards[0]\n"
                "    return (rewards - mean) / (std + 1e-4)\n",
                "Answers to different prompts were compared. Along which axis do the answers to one prompt stand?"),
        Mistake("not divided", grouped("rewards - mean"),
                "The mean is subtracted, and nothing is divided (some do leave it out: Dr. GRPO). What does the docstring divide by?"),
        Mistake("the mean is not subtracted", grouped("rewards / (std + 1e-4)"),
                "All answers with a reward are pushed up, also the worst of them. With what is each compared?"),
        Mistake("divided by the variance", grouped("(rewards - mean) / (rewards.var(1, keepdim=True) + 1e-4)"),
                "Rewards of twice the size get half the advantages. Of the variance, what is missing?"),
        Mistake("divided by the mean", grouped("(rewards - mean) / (mean + 1e-4)"),
                "This is by how many per cent each is better, and a mean may be 0 or negative. What measures the spread?"),
        Mistake("the standard deviation with G", GROUP_LINE + "    mean, std = rewards.mean(1, keepdim=True), rewards.std(1, keepdim=True, unbiased=False)\n"
                "    return (rewards - mean) / (std + 1e-4)\n",
                "The squares were divided by G. By what does `torch.std` divide?"),
        Mistake("nothing added", grouped("(rewards - mean) / std"),
                "A group of equal rewards gives 0 / 0. What is added before you divide?"),
        Mistake("a trace of 1e-8", grouped("(rewards - mean) / (std + 1e-8)"),
                "So little was added that small rewards come out larger, and rounding in a group of equal ones is blown up. How much is added?"),
        Mistake("added to the variance", grouped("(rewards - mean) / (std.square() + 1e-4).sqrt()"),
                "The 1e-4 was added before the root, where it becomes 1e-2. To what is it added?"),
        Mistake("added outside", grouped("(rewards - mean) / std + 1e-4"),
                "The division comes before the addition, so 0 / 0 stays. Where do the brackets stand?"),
        Mistake("at least one", grouped("(rewards - mean) / std.clamp(min=1)"),
                "Groups of a small spread were not divided. By what is each group divided?"),
        Mistake("between 0 and 1", GROUP_LINE + "    low, high = rewards.min(1, keepdim=True).values, rewards.max(1, keepdim=True).values\n"
                "    return (rewards - low) / (high - low + 1e-4)\n",
                "The worst of a group got 0, so nothing is pushed down. With what is each answer compared?"),
        Mistake("the median", GROUP_LINE + "    mean, std = rewards.median(1, keepdim=True).values, rewards.std(1, keepdim=True)\n"
                "    return (rewards - mean) / (std + 1e-4)\n",
                "The middle reward was subtracted. Which average do the advantages of a group add up to 0 around?"),
        Mistake("the mean of the others", grouped("(rewards - (rewards.sum(1, keepdim=True) - rewards) / (rewards.shape[1] - 1)) / (std + 1e-4)"),
                "Each was compared with the others alone; that is another baseline (leave-one-out), by G / (G - 1) larger. Whose mean does the docstring take?"),
        Mistake("the sign", grouped("(mean - rewards) / (std + 1e-4)"),
                "The best answers got the lowest advantages. Which is subtracted from which?"),
        Mistake("softmax", GROUP_LINE + "    return rewards.softmax(1)\n",
                "A softmax pushes all answers up, some more than others. Which advantages are to be pushed down?"),
        Mistake("ranks", GROUP_LINE + "    place = rewards.argsort(1).argsort(1).to(rewards.dtype)\n    return (place - place.mean(1, keepdim=True)) / (place.std(1, keepdim=True) + 1e-4)\n",
                "Places took the rewards' stead: equal rewards differ, and far better is as good as a little better. What is standardized?"),
    ],
)  # fmt: skip

# -- 16b.2 pass@k ---------------------------------------------------------------------------------------------------------

PASS = '''def pass_at_k(n_samples, n_right, k):
    """pass@k of one problem: the probability that at least one of k answers is right; a float.

    The k answers are drawn without replacement from n_samples, of which n_right are right.

    n_samples, n_right, k: whole numbers; k is from 1 to n_samples, and n_samples may be some hundreds
    """
'''
PASS_LINE = "def pass_at_k(n_samples, n_right, k):\n"


def passed(probability: str) -> str:
    """A near miss in the formula's letters: n samples, c right ones."""
    return f"{PASS_LINE}    n, c = n_samples, n_right\n    return {probability}\n"


def is_probability(value: float, case: tuple) -> bool | str:
    n, c, k = case
    return -1e-9 <= value <= 1 + 1e-9 or (
        f"With {c} of {n} right and k={k} it is {value:.4g}. A probability lies from 0 to 1."
    )


def more_tries_are_better(value: float, case: tuple) -> bool | str:
    n, c, k = case
    return value >= c / n - 1e-6 or (
        f"With {c} of {n} right, one answer is right with probability {c / n:.4g}, and at least one of {k} with "
        f"{value:.4g}?"
    )


several_tries = Exercise(
    "16b.2",
    goal="at least one of k answers",
    minutes=8,
    difficulty=2,
    cases=[
        (4, 1, 2),
        (5, 2, 1),
        (5, 2, 3),
        (6, 2, 3),
        (10, 3, 5),
        (10, 8, 3),  # only two are wrong: three cannot be
        (7, 0, 4),
        (7, 7, 2),
        (200, 5, 100),
        (400, 12, 50),
        (300, 1, 1),
    ],
    starter=PASS + "    ...\n",
    solution=PASS
    + """    all_wrong = math.comb(n_samples - n_right, k) / math.comb(n_samples, k)  # comb is 0 where k are too many
    return 1 - all_wrong
""",
    other_solutions=[
        PASS_LINE + "    if n_samples - n_right < k:\n        return 1.0\n    all_wrong = 1.0\n    for i in range(k):\n"
        "        all_wrong *= (n_samples - n_right - i) / (n_samples - i)\n    return 1 - all_wrong\n",
        PASS_LINE + "    wrong = n_samples - n_right\n    right = 0\n    for j in range(1, min(k, n_right) + 1):\n        right += math.comb(n_right, j) * math.comb(wrong, k - j)\n"
        "    return right / math.comb(n_samples, k)\n",
        PASS_LINE + "    import numpy\n    wrong = n_samples - n_right\n    if wrong < k:\n        return 1.0\n"
        "    return 1.0 - float(numpy.prod(1.0 - k / numpy.arange(wrong + 1, n_samples + 1)))\n",
    ],
    hints=[
        "When does it fail? Only if all k answers are wrong. How many ways are there to draw k answers, and how many to draw k wrong ones?",
        "The first of the k is wrong with probability (n - c) / n, the second then with (n - c - 1) / (n - 1), since one wrong one is gone.",
        "`math.comb(a, k)` is the number of ways to draw k of a, and 0 if k is larger: 1 minus the quotient of two of them.",
    ],
    explanation="Drawing without replacement is what makes it unbiased: it is the mean over every choice of k of the samples that you have. 1 - (1 - c/n)^k, as if an answer could be drawn "
    "twice, is too small on average. pass@1 is c / n.",
    properties=[
        Property("no probability", is_probability, "Of what is it a share?"),
        Property("worse than one try", more_tries_are_better, "Can more tries lower the chance that one of them is right?"),
    ],
    mistakes=[
        Mistake("drawn with replacement", passed("1 - (1 - c / n) ** k"),
                "Each answer was drawn as if the others had been put back; on average over samples that is too small. Can one of your samples be drawn twice?"),
        Mistake("one answer", passed("c / n"),
                "`k` changes nothing. How probable is it that two answers are both wrong?"),
        Mistake("k times as probable", passed("min(1.0, k * c / n)"),
                "The probabilities of k answers were added, and two of them may be right at once. Of which event are they multiplied?"),
        Mistake("k times without a bound", passed("k * c / n"),
                "The probabilities of k answers were added, past 1. Of which event are they multiplied?"),
        Mistake("all wrong", passed("math.comb(n - c, k) / math.comb(n, k)"),
                "This is the probability that none is right. What is that of the opposite?"),
        Mistake("all are right", passed("math.comb(c, k) / math.comb(n, k)"),
                "This is the probability that all k are right, pass^k. How many have to be?"),
        Mistake("not all are right", passed("1 - math.comb(c, k) / math.comb(n, k)"),
                "This is the probability that some answer is wrong. Which answers must not be all that are drawn?"),
        Mistake("all right, with replacement", passed("(c / n) ** k"),
                "This is the probability that all k are right. How many have to be?"),
        Mistake("exactly one", passed("c * math.comb(n - c, k - 1) / math.comb(n, k)"),
                "Two right answers among the k were not counted. What does 'at least one' include?"),
        Mistake("the root", passed("1 - (1 - c / n) ** (1 / k)"),
                "More tries lowered the chance. Is (1 - c/n) raised to k or to 1/k?"),
        Mistake("is any right?", passed("float(c > 0)"),
                "It is 1 as soon as one of all samples is right, or a division in whole numbers made it so. How probable is it that all that are drawn are wrong?"),
        Mistake("the first k", passed("min(c, k) / k"),
                "This is the share of k answers that could be right at best. How probable is it that none of the drawn ones is?"),
        Mistake("a wrong one fewer each time, of the same n", passed("1 - math.prod((n - c - i) / n for i in range(k)) if n - c >= k else 1.0"),
                "Each wrong one that is drawn was taken off the wrong ones, and not off all. How many are left for the second draw?"),
        Mistake("the same wrong ones, of fewer", passed("1 - math.prod(((n - c) / (n - i) for i in range(k)), start=1.0)"),
                "Each draw was taken off all samples, and not off the wrong ones. How many wrong ones are left for the second draw?"),
        Mistake("a negative number of wrong ones", passed("1 - math.prod((n - c - i) / (n - i) for i in range(k + 1)) if k < n else 1.0"),
                "One answer too many was drawn. How many factors has the product?"),
        Mistake("one draw too few", passed("1 - math.prod(((n - c - i) / (n - i) for i in range(k - 1)), start=1.0)"),
                "One answer too few was drawn, so for k = 1 it is 0. How many factors has the product?"),
        Mistake("begun at one", passed("1 - math.prod((n - c - i) / (n - i) for i in range(1, k + 1)) if k < n - c else 1.0"),
                "The first draw was left out, and one more made at the end. With how many wrong ones does it begin?"),
        Mistake("other ways below the line", passed("1 - math.comb(n - c, k) / math.comb(n, c)"),
                "The ways to draw k were divided by the ways to place c right ones. Out of which draws are the wrong ones?"),
        Mistake("factorials of hundreds", passed("1 - float(math.factorial(n - c)) / max(1, math.factorial(max(0, n - c - k))) * math.factorial(n - k) / float(math.factorial(n)) if n - c >= k else 1.0"),
                "A factorial of 200 is larger than any float. Which function divides them before they get so large?"),
    ],
)  # fmt: skip

# -- 16b.3 the distance to the reference ----------------------------------------------------------------------------------

KL = '''def kl_k3(log_probs, reference, mask):
    """Schulman's k3 estimate of KL(π, π_ref), in nats a token: the mean of (r - 1) - log r; a tensor with one number.

    r = π_ref / π for each token that the policy π has sampled. The mean runs over all tokens of the mask.

    log_probs, reference: (B, T), log-probabilities of these tokens under π and under π_ref
    mask: (B, T), True at the tokens of answers
    """
'''
KL_LINE = "def kl_k3(log_probs, reference, mask):\n"


def distance(estimate: str, mean: str = "each[mask].mean()") -> str:
    """A near miss; `d` is log r and `r` its exponential, (B, T)."""
    return f"{KL_LINE}    d = reference - log_probs\n    r = d.exp()\n    each = {estimate}\n    return {mean}\n"


def never_negative(value: Tensor, case: tuple) -> bool | str:
    return value.item() >= -1e-6 or (
        f"It is {value.item():.4g}. Each token's (r - 1) - log r is 0 where r = 1 and greater everywhere else."
    )


POLICY = -drawn(3, 6, seed=3).abs() - 0.2
REFERENCE = POLICY + drawn(3, 6, seed=4, size=0.6)

to_reference = Exercise(
    "16b.3",
    goal="how far from the reference?",
    minutes=6,
    difficulty=1,
    cases=[
        (torch.tensor([[0.5, 0.25]]).log(), torch.tensor([[0.25, 0.5]]).log(), true_at("xx")),
        (torch.tensor([[0.5, 0.4, 0.9]]).log(), torch.tensor([[0.3, 0.8, 0.9]]).log(), true_at(".xx")),
        (POLICY.clone().requires_grad_(), REFERENCE, true_at("..xxx.", ".x....", "...xxx")),
        (REFERENCE * 2, POLICY * 2, true_at("xxxxx.", "..xxxx", ".xxx..")),
        (POLICY[:2], POLICY[:2], true_at(".xx...", ".xxxxx")),
        (POLICY[1:].double(), REFERENCE[1:].double(), true_at("..x..x", "xxxx..")),
    ],
    starter=KL + "    ...\n",
    solution=KL
    + """    log_ratio = reference - log_probs
    return (log_ratio.exp() - 1 - log_ratio)[mask].mean()
""",
    other_solutions=[
        KL_LINE + "    log_ratio = reference - log_probs\n    k3 = torch.expm1(log_ratio) - log_ratio\n    return (k3 * mask).sum() / mask.sum()\n",
        KL_LINE + "    p, q = log_probs[mask].exp(), reference[mask].exp()\n    return (q / p - 1 + log_probs[mask] - reference[mask]).mean()\n",
        KL_LINE + "    total = torch.zeros((), dtype=log_probs.dtype)\n    for b, t in mask.nonzero().tolist():\n        r = (reference[b, t] - log_probs[b, t]).exp()\n"
        "        total = total + r - 1 - r.log()\n    return total / mask.sum()\n",
    ],
    hints=[
        "r is above 1 where the reference finds a token likelier than the policy does. Which difference of log-probabilities is its logarithm?",
        "log r is `reference - log_probs`, and r its exponential. Of the three parts of the formula only the mean needs the mask.",
        "With `log_ratio` in hand: `log_ratio.exp() - 1 - log_ratio` is (B, T); index it with the mask and take the mean.",
    ],
    explanation="-log r alone is right on average, but it is noisy and often negative, and a distance never is. r - 1 is 0 on average, since both are distributions, and it is large just where "
    "-log r is low: added, it takes most of the noise away and moves the mean not at all.",
    properties=[Property("a negative distance", never_negative, "Which parts does the formula have, and with which signs?")],
    mistakes=[
        Mistake("the ratio upside down", distance("(-d).exp() - 1 + d"),
                "r was taken as π / π_ref. That estimates another distance, from samples that are not its own. Which policy stands above the fraction bar?"),
        Mistake("-log r alone", distance("-d"),
                "This is k1, which is right on average and often negative. What is added to it?"),
        Mistake("log r", distance("d"),
                "This is log r itself. What is added to it, and with which signs?"),
        Mistake("half of its square", distance("d.square() / 2"),
                "This is k2, which is close where r is near 1. Which formula is asked?"),
        Mistake("r - 1 alone", distance("r - 1"),
                "This is 0 on average, whatever the distance. What is subtracted from it?"),
        Mistake("without the 1", distance("r - d"),
                "Equal policies are 1 apart. Which number makes it 0 where r = 1?"),
        Mistake("plus log r", distance("r - 1 + d"),
                "log r was added. Which sign has it?"),
        Mistake("the sign of log r within", distance("(-d).exp() - 1 - d"),
                "One of the two has the ratio upside down, and the other has not. Is r in both the same?"),
        Mistake("log r without logarithm", distance("r - 1 - r"),
                "r was subtracted where log r belongs. What is it at r = 1, and elsewhere?"),
        Mistake("a ratio of logarithms", distance("reference / log_probs - 1 - (reference / log_probs).log()"),
                "Log-probabilities were divided by each other. What is the logarithm of π_ref / π?"),
        Mistake("the sign", distance("-(r - 1 - d)"),
                "It is never above 0. Which sign has a distance?"),
        Mistake("weighted with the probability", distance("log_probs.exp() * (r - 1 - d)"),
                "Each token was weighted with its probability. The policy has drawn it already: how often does a likely token occur in the sample?"),
        Mistake("the formula of the distance", distance("-log_probs.exp() * d"),
                "p log(p / q) is summed over a whole vocabulary. What is averaged over tokens that were sampled with p?"),
        Mistake("the mask forgotten", distance("r - 1 - d", "each.mean()"),
                "Prompt and padding count. Which tokens did the policy write?"),
        Mistake("divided by all places", distance("r - 1 - d", "(each * mask).mean()"),
                "The sum is right, and was divided by all places. How many tokens were added?"),
        Mistake("a sum", distance("r - 1 - d", "each[mask].sum()"),
                "These are nats in all. What makes nats a token of them?"),
        Mistake("nats an answer", distance("r - 1 - d", "each[mask].sum() / len(mask)"),
                "The sum was divided by the answers. What is asked, nats an answer or nats a token?"),
        Mistake("a mean for each answer", distance("r - 1 - d", "((each * mask).sum(1) / mask.sum(1)).mean()"),
                "Each answer was averaged first, so that a token of a short one counts more. Over what does the mean run?"),
        Mistake("the means first", distance("0", "(lambda m: m.exp() - 1 - m)(d[mask].mean())"),
                "log r was averaged before the exponential. Of what is the mean taken?"),
        Mistake("bits", distance("(r - 1 - d) / math.log(2)"),
                "The whole was divided by log 2. Which logarithm makes nats?"),
        Mistake("a value for each token", distance("r - 1 - d", "each[mask]"),
                "Each token kept its own number. What is taken over the tokens?"),
        Mistake("gradients lost", distance("r - 1 - d", "each[mask].mean().detach()"),
                "It is right, and cut off from the policy: as a penalty it would hold nothing back. Which call detaches a tensor?"),
    ],
)  # fmt: skip

# -- 16b.4 a strict checker -----------------------------------------------------------------------------------------------

CHECK = '''def check_answer(text, right):
    """The reward of a written answer: 1.0 if its final answer is the whole number `right`, else 0.0.

    The final answer is all that stands behind the last "Answer:" of the text. It has to be a number in digits, with a
    minus sign before them if it is negative, and nothing else; only white space around it and one full stop after it
    are allowed. Zeros before it do not matter. A text without "Answer:" has no final answer.

    text: a string   right: an int
    """
'''
CHECK_LINE = "def check_answer(text, right):\n"


def checked(final='text.rpartition("Answer:")[2]', rest='return float(bool(re.fullmatch(r"\\s*-?\\d+\\.?\\s*", final)) and int(final.strip().rstrip(".")) == right)',
            first='if "Answer:" not in text:\n        return 0.0'):  # fmt: skip
    """A near miss: one part of the answer replaced."""
    return f"{CHECK_LINE}    import re\n    {first}\n    final = {final}\n    {rest}\n"


checker = Exercise(
    "16b.4",
    goal="a checker that cannot be talked into it",
    minutes=12,
    difficulty=2,
    cases=[
        ("Answer: 42", 42),
        ("Answer: 41", 42),
        ("42", 42),
        ("", 0),
        ("Answer: 420", 42),
        ("Answer:42.\n", 42),
        ("Answer: 42 or 43", 42),
        ("Answer: 4 2", 42),
        ("Answer: 7\nNo, I forgot the carry.\nAnswer:  42 ", 42),
        ("Answer: 42\nNo, that is wrong.\nAnswer: 7", 42),
        ("Answer: 42\nAnswer: I do not know", 42),
        ("Answer: 42\nI am quite sure.", 42),
        ("Answer: the result is 42", 42),
        ("Answer: 42 apples", 42),
        ("Answer: 42.0", 42),
        ("Answer: 42..", 42),
        ("Answer: .42", 42),
        ("The sum is negative. Answer: -5", -5),
        ("Answer: -5", 5),
        ("Answer: 5", -5),
        ("Answer: - 5", -5),
        ("Answer: --5", -5),
        ("Answer: 5-", 5),
        ("Answer: -", 0),
        ("Answer: 0042", 42),
        ("Answer: 00", 0),
        ("Answer: -007.", -7),
        ("Answer: ", 0),
        ("answer: 8", 8),
        ("Answer: none\n8", 8),
        ("Answer:\n\n 8\n\n", 8),
    ],
    starter=CHECK + "    ...\n",
    solution=CHECK
    + """    _, found, final = text.rpartition("Answer:")
    digits = final.strip().removesuffix(".").removeprefix("-")
    if not found or not digits.isdecimal():
        return 0.0
    number = -int(digits) if final.strip().startswith("-") else int(digits)
    return 1.0 if number == right else 0.0
""",
    other_solutions=[
        CHECK_LINE + "    import re\n    found = re.search(r\"Answer:\\s*(-?[0-9]+)\\.?\\s*\\Z\", text)\n"
        "    return float(found is not None and int(found[1]) == right)\n",
        CHECK_LINE + "    if 'Answer:' not in text:\n        return 0.0\n    final = text.split('Answer:')[-1].strip()\n    if final.endswith('.'):\n        final = final[:-1]\n"
        "    body = final[1:] if final[:1] == '-' else final\n    if body == '' or any(letter not in '0123456789' for letter in body):\n        return 0.0\n    return float(int(final) == right)\n",
        CHECK_LINE + "    import re\n    last = text.rfind('Answer:')\n    final = text[last + len('Answer:'):]\n    if last < 0 or not re.fullmatch(r'\\s*-?\\d+[.]?\\s*', final):\n        return 0.0\n"
        "    value = float(final.strip(' .\\n')) if len(final) < 10 else int(final.strip().strip('.'))\n    return 1.0 if value == right else 0.0\n",
    ],
    hints=[
        "A policy that is trained against your checker finds every gap in it. What would you write if you did not know whether it is 42 or 43?",
        "Three steps: cut off all up to the last \"Answer:\", take away what is allowed around the number, and see whether only a number is left.",
        "`text.rpartition(\"Answer:\")` cuts at the last one; `.strip()`, `.removesuffix(\".\")` and `.isdecimal()` do most of the rest. Compare `int(...)` with `right`.",
    ],
    explanation="A checker is a reward, and what it lets through is what is learned: if any number in the text counts, the policy lists all of them. So the form is part of the "
    "answer. Strictness has a price, too: a right answer in another form earns nothing, so the prompt has to say which form is meant.",
    mistakes=[
        Mistake("the number anywhere", CHECK_LINE + "    return float(str(right) in text)\n",
                "The digits of the right number may stand anywhere, also within another number. What would a text that lists every number earn?"),
        Mistake("a number anywhere", CHECK_LINE + "    import re\n    return float(right in map(int, re.findall(r'-?\\d+', text)))\n",
                "Any number of the text counts. What would a text that lists every number earn?"),
        Mistake("the last number", CHECK_LINE + "    import re\n    found = re.findall(r'-?\\d+', text)\n    return float(bool(found) and int(found[-1]) == right)\n",
                "The last number counts wherever it stands. What marks the final answer?"),
        Mistake("the last number behind the answer", checked(rest="found = re.findall(r'-?\\d+', final)\n    return float(bool(found) and int(found[-1]) == right)"),
                "Of what stands behind the mark only the last number was read. May anything else stand there?"),
        Mistake("the first number behind the answer", checked(rest="found = re.search(r'-?\\d+', final)\n    return float(bool(found) and int(found[0]) == right)"),
                "Of what stands behind the mark only the first number was read, so '42 or 43' is right. May anything else stand there?"),
        Mistake("what the answer begins with", checked(rest="found = re.match(r'\\s*-?\\d+', final)\n    return float(bool(found) and int(found[0]) == right)"),
                "What follows the number was not read: '42 or 43' is right. Up to where does the final answer go?"),
        Mistake("in the final answer", checked(rest="return float(str(right) in final)"),
                "The right digits may stand anywhere behind the mark: 420 holds 42. What must the final answer be?"),
        Mistake("the first answer", checked(final='text.partition("Answer:")[2]'),
                "Of several final answers the first was taken, with all behind it. Which one counts?"),
        Mistake("any of the answers", CHECK_LINE + "    import re\n    return float(any(int(one) == right for one in re.findall(r'Answer:\\s*(-?\\d+)\\.?\\s*(?=\\Z|\\n)', text)))\n",
                "One right line among several is enough. Which of the answers counts?"),
        Mistake("without the mark", checked(first="pass"),
                "A text without the mark is its own final answer. What has a text without \"Answer:\"?"),
        Mistake("no full stop", checked(rest='return float(bool(re.fullmatch(r"\\s*-?\\d+\\s*", final)) and int(final) == right)'),
                "A full stop after the number makes it wrong. What is allowed around it?"),
        Mistake("as text", checked(rest='return float(final.strip().removesuffix(".") == str(right))'),
                "The texts were compared, so 0042 is not 42. What does not matter before a number?"),
        Mistake("no white space", checked(rest='return float(bool(re.fullmatch(r" ?-?\\d+\\.?", final)) and int(final.strip(" .")) == right)'),
                "White space around the number, such as a newline at the end, makes it wrong. What is allowed around it?"),
        Mistake("no negative numbers", checked(rest='return float(bool(re.fullmatch(r"\\s*\\d+\\.?\\s*", final)) and int(final.strip().rstrip(".")) == right)'),
                "A minus sign makes every answer wrong. How is a negative number written?"),
        Mistake("the minus sign dropped", checked(rest='return float(bool(re.fullmatch(r"\\s*-?\\d+\\.?\\s*", final)) and int(final.strip(" .\\n-")) == abs(right))'),
                "5 and -5 are the same to it. What belongs to the number?"),
        Mistake("all that is no digit removed", checked(rest='digits = re.sub(r"[^\\d-]", "", final)\n    return float(bool(re.fullmatch(r"-?\\d+", digits)) and int(digits) == right)'),
                "What is no digit was thrown away, so '4 2' became 42. May anything else stand behind the mark?"),
        Mistake("any number of full stops", checked(rest='return float(bool(re.fullmatch(r"\\s*-?\\d+\\.*\\s*", final)) and int(final.strip().rstrip(".")) == right)'),
                "Several full stops after the number are let through. How many are allowed?"),
        Mistake("decimals", checked(rest='try:\n        return float(float(final) == right)\n    except ValueError:\n        return 0.0'),
                "`float` reads 42.0 as well, and a number with a full stop is a float to it. Which characters may a number have?"),
        Mistake("large and small letters", checked(first='text = text.replace("answer:", "Answer:")\n    if "Answer:" not in text:\n        return 0.0'),
                "Another spelling of the mark is let through. How is it written?"),
        Mistake("the last line", checked(final='text.strip().splitlines()[-1].rpartition("Answer:")[2]'),
                "Only the last line was read, also where the mark stands in another one. Where does the final answer begin?"),
        Mistake("the line of the mark", checked(final='text.rpartition("Answer:")[2].strip(" ").split("\\n")[0]'),
                "Only the line of the mark was read. Up to where does the final answer go?"),
        Mistake("True or False", checked(first='if "Answer:" not in text:\n        return False', rest='return bool(re.fullmatch(r"\\s*-?\\d+\\.?\\s*", final)) and int(final.strip().rstrip(".")) == right'),
                "A truth value is no reward. What is returned?"),
        Mistake("minus one for wrong", checked(first='if "Answer:" not in text:\n        return -1.0', rest='return 1.0 if re.fullmatch(r"\\s*-?\\d+\\.?\\s*", final) and int(final.strip().rstrip(".")) == right else -1.0'),
                "A wrong answer costs 1. What does the docstring give for it?"),
        Mistake("partial credit", checked(rest='if not re.fullmatch(r"\\s*-?\\d+\\.?\\s*", final):\n        return 0.0\n    return 1.0 if int(final.strip().rstrip(".")) == right else 0.1'),
                "The right form alone earns something. What is the reward of a wrong number?"),
    ],
)  # fmt: skip
