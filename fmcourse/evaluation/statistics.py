"""Confidence intervals and tests: how much of a measured difference may be chance."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Z_975 = 1.959963984540054  # 97.5 % of the standard normal distribution lies below it

# The same for Student's t with 1 to 30 degrees of freedom. Source: Student 1908.
T_975 = (
    *(12.7062047, 4.3026527, 3.1824463, 2.7764451, 2.5705818, 2.4469119, 2.3646243, 2.3060041),
    *(2.2621572, 2.2281389, 2.2009852, 2.1788128, 2.1603687, 2.1447867, 2.1314495, 2.1199053),
    *(2.1098156, 2.1009220, 2.0930241, 2.0859634, 2.0796138, 2.0738731, 2.0686576, 2.0638986),
    *(2.0595386, 2.0555294, 2.0518305, 2.0484071, 2.0452296, 2.0422725),
)


@dataclass(frozen=True)
class Estimate:
    """A measured value and its 95 % confidence interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def mean_interval(
    values: Tensor, *, block: int = 256, draws: int = 1000, seed: int = 0
) -> Estimate:
    """Mean of `values` (T,) with a 95 % interval by the block bootstrap.

    Neighbouring tokens of a text are alike, so whole blocks of neighbours are drawn, not tokens.

    Args:
        block: neighbours drawn together.
        draws: how many means are computed from blocks drawn with replacement.
    Raises: ValueError for fewer than ten blocks, which would make the interval unreliable.
    Source: Künsch 1989.
    """
    # What is left after the last whole block is not drawn.
    blocks = values.double()[: len(values) // block * block].view(-1, block).mean(1)
    if len(blocks) < 10:
        raise ValueError(
            f"{len(values)} values are {len(blocks)} blocks of {block}, 10 are needed; "
            "give more text."
        )
    generator = torch.Generator().manual_seed(seed)
    # (draws, blocks): each row is a sample as large as the text.
    means = blocks[torch.randint(len(blocks), (draws, len(blocks)), generator=generator)].mean(1)
    low, high = means.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return Estimate(values.double().mean().item(), low, high)


def accuracy(correct: int, n: int) -> Estimate:
    """Share of `n` items that were correct, with Wilson's 95 % interval.

    The interval holds for few items too, and near 0 and 1. Source: Wilson 1927.
    Raises: ValueError unless 0 <= correct <= n and n is at least 1.

    >>> print(accuracy(9, 10))
    0.900 [0.596, 0.982]
    """
    if not 0 <= correct <= n or n < 1:
        raise ValueError(
            f"correct={correct} of n={n}: n must be at least 1 and correct between 0 and n."
        )
    z, share = Z_975, correct / n
    centre = share + z * z / (2 * n)  # of the interval, before the division by 1 + z² / n
    spread = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Estimate(share, (centre - spread) / (1 + z * z / n), (centre + spread) / (1 + z * z / n))


@dataclass(frozen=True)
class RunSummary:
    """Mean, lowest and highest value of several runs.

    `spread`: the 95 % interval of the mean is mean ± spread, by Student's t; None for fewer than
    three runs.
    """

    mean: float
    low: float
    high: float
    runs: int
    spread: float | None

    def __str__(self) -> str:
        interval = (
            "too few for an interval"
            if self.spread is None
            else f"mean ± {self.spread:.3f} by Student's t"
        )
        return (
            f"{self.mean:.3f} ({self.low:.3f} to {self.high:.3f} in {self.runs} runs; {interval})"
        )


def summarize_runs(values: Sequence[float]) -> RunSummary:
    """Summary of a measurement that was repeated with other seeds.

    Raises: ValueError for no values, or one that is not finite. Source: Student 1908.

    >>> print(summarize_runs([0.9, 0.8, 0.85]))
    0.850 (0.800 to 0.900 in 3 runs; mean ± 0.124 by Student's t)
    """
    n = len(values)
    if not n or not all(map(math.isfinite, values)):
        raise ValueError(
            f"values={list(values)}: give the value of at least one run, each a finite number."
        )
    mean = math.fsum(values) / n
    # Over n - 1, since the mean was estimated from the same values.
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / max(1, n - 1))
    spread = t_quantile(n - 1) * deviation / math.sqrt(n) if n >= 3 else None
    return RunSummary(mean, min(values), max(values), n, spread)


def t_quantile(freedom: int) -> float:
    """Half the width, in standard errors, of a 95 % interval by Student's t.

    A table to 30 degrees of freedom, then the first terms of the expansion about the normal limit
    in powers of 1 / freedom. Source: Fisher & Cornish 1960.
    Raises: ValueError for fewer than one degree of freedom.

    >>> [round(t_quantile(freedom), 4) for freedom in (2, 30, 31, 1_000_000)]
    [4.3027, 2.0423, 2.0395, 1.96]
    """
    if freedom < 1:
        raise ValueError(f"freedom={freedom} must be at least 1: an interval needs two values.")
    if freedom <= len(T_975):
        return T_975[freedom - 1]
    z = Z_975
    first, second = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3


@dataclass(frozen=True)
class PairedTest:
    """The first of two methods against the second, on the same items.

    difference: of the means. wins, losses: items on which the first was better, or worse.
    p: the probability of a split at least this uneven if both were equally good.
    """

    difference: float
    wins: int
    losses: int
    p: float

    def __str__(self) -> str:
        return (
            f"{self.difference:+.3f} ({self.wins} items won, {self.losses} lost; p = {self.p:.2g})"
        )


def paired_test(ours: Sequence[float], theirs: Sequence[float]) -> PairedTest:
    """Compare two methods item by item with the exact sign test, McNemar's for correct and wrong.

    Items on which both agree say nothing about which is better and are left out.
    Raises: ValueError for lists that differ in length, or are empty.
    Source: McNemar 1947; Dietterich 1998.

    >>> print(paired_test([True] * 9 + [False], [True] * 3 + [False] * 7))
    +0.600 (6 items won, 0 lost; p = 0.031)
    """
    gaps = [float(a) - float(b) for a, b in zip_same_length(ours, theirs)]
    wins, losses = sum(gap > 0 for gap in gaps), sum(gap < 0 for gap in gaps)
    # Two-sided: as many of the tosses of a fair coin on the rarer side, or fewer.
    tail = sum(math.comb(wins + losses, k) for k in range(min(wins, losses) + 1))
    # With as many wins as losses the two tails share the middle, and 2 * tail is above 1.
    p = min(1.0, 2 * tail / 2 ** (wins + losses))
    return PairedTest(math.fsum(gaps) / len(gaps), wins, losses, p)


def zip_same_length(predicted: Sequence, expected: Sequence) -> list[tuple]:
    """Pairs of both lists. Raises: ValueError if they differ in length, or are empty."""
    if len(predicted) != len(expected) or not len(expected):
        raise ValueError(
            f"{len(predicted)} predicted and {len(expected)} expected; there must be as many, "
            "and at least one."
        )
    return list(zip(predicted, expected, strict=True))
