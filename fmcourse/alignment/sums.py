"""A task with a verifiable reward: sums of two-digit numbers, with typical slips to learn from.

    47+85=231      132, its digits reversed: then the carry is known when it is needed

Half of the training sums are wrong by a slip that people make. A model trained on them knows the
right answers and the wrong ones; a checker can tell them apart, and needs no other model.
"""

import random
from collections.abc import Iterable, Sequence
from typing import Literal

from fmcourse.tokenizers import CharTokenizer

END = "\n"
TOKENIZER = CharTokenizer(END + "+0123456789=")
END_ID = TOKENIZER.encode(END)[0]
LONGEST_RESPONSE = 4  # three digits and the end
RESIDUE, MODULUS = 3, 7

Problem = tuple[int, int]


def sum_prompt(problem: Problem) -> str:
    """The text before the answer: "47+85="."""
    return f"{problem[0]}+{problem[1]}="


def sum_response(total: int) -> str:
    """A result with its digits reversed: 132 is "231"."""
    return str(total)[::-1]


def typical_slips(problem: Problem) -> list[int]:
    """Wrong results that are often given: a carry forgotten, one or ten too many or too few.

    >>> typical_slips((47, 85))  # without the carry 7 + 5 leaves 2, and 4 + 8 are 12
    [122, 131, 133, 142]
    """
    a, b = problem
    total, without_carry = a + b, 10 * (a // 10 + b // 10) + (a + b) % 10
    slips = {without_carry, total - 10, total - 1, total + 1, total + 10}
    return sorted(slips - {total})


def is_right(prompt: str, response: str) -> bool:
    """The checker: is this the sum, with its digits reversed and nothing else?

    >>> is_right("47+85=", "231"), is_right("47+85=", "132"), is_right("47+85=", "231=")
    (True, False, False)
    """
    a, b = map(int, prompt.removesuffix("=").split("+"))
    return response == sum_response(a + b)


def sum_rewards(prompts: Sequence[str], responses: Sequence[str]) -> list[float]:
    """1 for each right response, 0 for each wrong one: the reward of `grpo`."""
    return [float(is_right(*pair)) for pair in zip(prompts, responses, strict=True)]


def split_problems(
    held_out: Literal["random", "residue"] = "random", share: float = 0.1, seed: int = 0
) -> tuple[list[Problem], list[Problem]]:
    """All 8,100 problems, in training and held-out ones.

    Args:
        held_out: "random" holds out a random share: the same results occur in training. "residue"
            holds out every problem whose result leaves the remainder 3 when divided by 7: these
            results are never seen.
        share: of the problems, for "random".
    Raises: ValueError for another word, or a share that leaves one side empty.

    >>> [len(part) for part in split_problems()], [len(part) for part in split_problems("residue")]
    ([7290, 810], [6943, 1157])
    """
    problems = [(a, b) for a in range(10, 100) for b in range(10, 100)]
    random.Random(seed).shuffle(problems)
    if held_out == "residue":
        is_out = [sum(problem) % MODULUS == RESIDUE for problem in problems]
    elif held_out == "random" and 0 < (number := round(share * len(problems))) < len(problems):
        is_out = [index < number for index in range(len(problems))]
    else:
        raise ValueError(
            f"held_out={held_out!r}, share={share}; choose 'random' with a share between 0 and 1, "
            "or 'residue'."
        )
    pairs = list(zip(problems, is_out, strict=True))
    return [p for p, out in pairs if not out], [p for p, out in pairs if out]


def sum_texts(
    problems: Sequence[Problem], number: int, wrong: float = 0.5, seed: int = 0
) -> list[tuple[str, str]]:
    """Training texts as (prompt, response): so many problems at random, a share with a slip.

    A problem that comes twice may be right once and wrong once, as in texts that people wrote.

    Args:
        wrong: probability of a slip; which of `typical_slips` is drawn at random.
    Raises: ValueError if there are no problems, or `wrong` is not from 0 to 1.
    """
    if not problems or not 0 <= wrong <= 1:
        raise ValueError(
            f"{len(problems)} problems, wrong={wrong}; give at least one, and wrong from 0 to 1."
        )
    rng = random.Random(seed)
    texts = []
    for problem in rng.choices(problems, k=number):
        slips = rng.random() < wrong
        total = rng.choice(typical_slips(problem)) if slips else sum(problem)
        texts.append((sum_prompt(problem), sum_response(total)))
    return texts


def sum_prompts(problems: Iterable[Problem]) -> list[str]:
    """`sum_prompt` of each."""
    return [sum_prompt(problem) for problem in problems]
