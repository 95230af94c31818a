"""How good is it? Numbers that can be compared, each with the doubt that belongs to it.

T tokens   N items
"""

import math
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from fmcourse.models.transformer import Transformer


@dataclass(frozen=True)
class Estimate:
    """A measured value and the interval in which the true one lies, 19 times out of 20."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@torch.inference_mode()
def token_nats(
    model: Transformer, ids: list[int] | Tensor, *, context: int | None = None, batch: int = 16
) -> Tensor:
    """Negative log-likelihood of every token of a text, (T,), in nats.

    Each token is predicted from at least half a context of what came before it, where there is that much. The first has nothing
    before it, and is charged a blind guess, log V.

    Args:
        model: a causal Transformer.
        ids: the text's tokens, (T,).
        context: how far the model may look back; its own context unless given.
    Raises: ValueError for an empty text.
    """
    ids = torch.as_tensor(ids)
    context = min(context or model.config.context, model.config.context)
    if ids.numel() == 0:
        raise ValueError("there are no tokens to score; pass the ids of a text that is not empty.")
    nats = torch.full((len(ids),), math.log(model.config.vocab_size))
    device, hop = next(model.parameters()).device, max(1, context // 2)
    starts = list(range(0, max(1, len(ids) - context - 1 + hop), hop))
    was_training = model.training
    model.eval()
    full = [start for start in starts if start + context + 1 <= len(ids)]
    for group in [full[i : i + batch] for i in range(0, len(full), batch)] + [
        [s] for s in starts[len(full) :]
    ]:
        windows = torch.stack([ids[start : start + context + 1] for start in group]).to(device)
        if windows.shape[1] > 1:
            losses = F.cross_entropy(
                model(windows[:, :-1]).mT, windows[:, 1:], reduction="none"
            ).cpu()
            for start, row in zip(group, losses, strict=True):
                fresh = (
                    0 if start == 0 else context - hop
                )  # the rest was scored with more context by the window before
                nats[start + 1 + fresh : start + 1 + len(row)] = row[fresh:]
    model.train(was_training)
    return nats


def bits_per_byte(nats: Tensor, text: str) -> float:
    """Bits a model spends on one byte of `text`: 8 is blind guessing, lower is better.

    Args:
        nats: negative log-likelihood of each token of `text`, (T,), in nats.
        text: what those tokens spell. Per byte, so that tokenizers can be compared.
    Raises: ValueError if `text` is empty.
    Source: Gao et al. 2020, The Pile, section 3.1.

    >>> round(bits_per_byte(torch.tensor([math.log(256), math.log(256)]), "é"), 3)     # two bytes, both guessed
    8.0
    """
    if not text:
        raise ValueError(
            "text is empty, so there are no bytes to divide by; pass the text that was scored."
        )
    return (
        nats.double().sum().item() / math.log(2) / len(text.encode())
    )  # double: long texts add up


def perplexity(nats: Tensor) -> float:
    """Among how many equally likely tokens the model is left to choose, on average: e to the mean. Depends on the tokenizer.

    >>> round(perplexity(torch.tensor([math.log(10), math.log(10)])), 3)
    10.0
    """
    if nats.numel() == 0:
        raise ValueError("there are no tokens to average over.")
    return math.exp(nats.double().mean().item())


def mean_interval(
    values: Tensor, *, block: int = 256, draws: int = 1000, seed: int = 0
) -> Estimate:
    """Mean of (T,) values with a 95 % interval, by drawing blocks anew: neighbours in a text are alike, so they stay together.

    Args:
        block: neighbours drawn together. Fewer than ten blocks make the interval unreliable, and a ValueError.
    Source: Künsch 1989 (block bootstrap).
    """
    blocks = values.double()[: len(values) // block * block].view(-1, block).mean(1)
    if len(blocks) < 10:
        raise ValueError(
            f"{len(values)} values are {len(blocks)} blocks of {block}, 10 are needed; give more text."
        )
    generator = torch.Generator().manual_seed(seed)
    means = blocks[torch.randint(len(blocks), (draws, len(blocks)), generator=generator)].mean(1)
    low, high = means.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return Estimate(values.double().mean().item(), low, high)


def bits_per_byte_interval(nats: Tensor, text: str) -> Estimate:
    """`bits_per_byte` with its 95 % interval."""
    per_token = mean_interval(nats)
    bits = bits_per_byte(nats, text) / per_token.value
    return Estimate(per_token.value * bits, per_token.low * bits, per_token.high * bits)


def accuracy(correct: int, n: int) -> Estimate:
    """Share of `n` items that were right, with Wilson's 95 % interval, which is honest for few items and near 0 and 1.

    Source: Wilson 1927.

    >>> print(accuracy(9, 10))
    0.900 [0.596, 0.982]
    """
    if not 0 <= correct <= n or n < 1:
        raise ValueError(
            f"correct={correct} of n={n}: n must be at least 1 and correct between 0 and n."
        )
    z, share = 1.959963984540054, correct / n
    middle, spread = (
        share + z * z / (2 * n),
        z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)),
    )
    return Estimate(share, (middle - spread) / (1 + z * z / n), (middle + spread) / (1 + z * z / n))


# -- several seeds, and two methods -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RunSummary:
    """What several runs gave; `spread`: the true mean lies within mean ± spread 19 times out of 20 (Student's t; three runs at least)."""

    mean: float
    low: float
    high: float
    runs: int
    spread: float | None

    def __str__(self) -> str:
        doubt = (
            "too few for an interval"
            if self.spread is None
            else f"mean ± {self.spread:.3f} by Student's t"
        )
        return f"{self.mean:.3f} ({self.low:.3f} to {self.high:.3f} in {self.runs} runs; {doubt})"


def summarize_runs(values: Sequence[float]) -> RunSummary:
    """Mean, lowest and highest of a measurement that was repeated with other seeds. Source of the interval: Student 1908.

    >>> print(summarize_runs([0.9, 0.8, 0.85]))
    0.850 (0.800 to 0.900 in 3 runs; mean ± 0.124 by Student's t)
    """
    n = len(values)
    if not n or not all(map(math.isfinite, values)):
        raise ValueError(
            f"values={list(values)}: give the value of at least one run, each a finite number."
        )
    mean = math.fsum(values) / n
    scatter = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / max(1, n - 1))
    spread = t_quantile(n - 1) * scatter / math.sqrt(n) if n >= 3 else None
    return RunSummary(mean, min(values), max(values), n, spread)


def t_quantile(freedom: int, share: float = 0.95) -> float:
    """How many standard errors hold that share of Student's t, found by adding up its density: substituting t = √freedom tan a, it is cosᶠ⁻¹ a."""
    angles = torch.linspace(0, math.pi / 2, 200_001, dtype=torch.float64)
    below = torch.cumulative_trapezoid(angles.cos().pow(freedom - 1), angles)
    return math.sqrt(freedom) * math.tan(angles[1:][below >= share * below[-1]][0])


@dataclass(frozen=True)
class PairedTest:
    """The first of two methods: how much better on average, items won and lost, and how often fair coins would part them so far."""

    difference: float
    wins: int
    losses: int
    p: float

    def __str__(self) -> str:
        return (
            f"{self.difference:+.3f} ({self.wins} items won, {self.losses} lost; p = {self.p:.2g})"
        )


def paired_test(ours: Sequence[float], theirs: Sequence[float]) -> PairedTest:
    """Compare two methods item by item, right or wrong, or scores: the exact sign test, for right and wrong also McNemar's.

    Items on which they agree say nothing about who is better. Raises: ValueError for lists that differ in length, or are empty.
    Source: McNemar 1947; Dietterich 1998.

    >>> print(paired_test([True] * 9 + [False], [True] * 3 + [False] * 7))
    +0.600 (6 items won, 0 lost; p = 0.031)
    """
    gaps = [float(a) - float(b) for a, b in zip_same_length(ours, theirs)]
    wins, losses = sum(gap > 0 for gap in gaps), sum(gap < 0 for gap in gaps)
    rare = sum(math.comb(wins + losses, k) for k in range(min(wins, losses) + 1))
    return PairedTest(
        math.fsum(gaps) / len(gaps), wins, losses, min(1.0, 2 * rare / 2 ** (wins + losses))
    )


# -- labels, names and answers ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PrecisionRecallF1:
    """How much of what was said is right, how much of what is right was said, and one number for both (their harmonic mean)."""

    precision: float
    recall: float
    f1: float

    @classmethod
    def from_counts(cls, correct: int, predicted: int, expected: int) -> "PrecisionRecallF1":
        """Nothing predicted, nothing expected, or nothing correct: zero."""
        precision, recall = correct / max(1, predicted), correct / max(1, expected)
        return cls(precision, recall, 2 * correct / max(1, predicted + expected))


def macro_f1(predicted: Sequence[int], expected: Sequence[int]) -> float:
    """F1 of each kind that is wanted or given, averaged: a rare kind counts as much as a common one.

    Raises: ValueError for lists of different lengths, or empty ones.

    >>> macro_f1([0, 0, 1, 1], [0, 0, 0, 1])          # kind 0: 2 of 2 right, 2 of 3 found; kind 1: 1 of 2, 1 of 1
    0.7333333333333334
    """
    pairs = Counter(zip_same_length(predicted, expected))
    kinds = sorted({kind for pair in pairs for kind in pair})
    said, asked = Counter(predicted), Counter(expected)
    return sum(
        PrecisionRecallF1.from_counts(pairs[kind, kind], said[kind], asked[kind]).f1
        for kind in kinds
    ) / len(kinds)


def entity_spans(tags: Sequence[str]) -> set[tuple[str, int, int]]:
    """The names in a tagged sentence: kind, first word, and the one after the last.

    Tags are O, B-KIND where a name begins, I-KIND inside it. An I- that follows nothing of its kind begins a name all the same.
    Source: Ramshaw & Marcus 1995, as the CoNLL tasks count.

    >>> sorted(entity_spans(["B-PERSON", "I-PERSON", "O", "B-PLACE"]))
    [('PERSON', 0, 2), ('PLACE', 3, 4)]
    """
    found, begin, kind = set(), 0, ""
    for at, tag in enumerate([*tags, "O"]):
        if tag != "O" and (tag[:2] not in ("B-", "I-") or not tag[2:]):
            raise ValueError(f"tag {tag!r} at {at} is not known; give 'O', 'B-KIND' or 'I-KIND'.")
        if kind and tag != f"I-{kind}":
            found.add((kind, begin, at))
        if tag == "O" or tag != f"I-{kind}":
            begin, kind = at, tag[2:]
    return found


def entity_scores(
    predicted: Sequence[Sequence[str]], expected: Sequence[Sequence[str]]
) -> PrecisionRecallF1:
    """Names found in many sentences: right only with the right kind, beginning and end. Source: Tjong Kim Sang & De Meulder 2003.

    Raises: ValueError if sentences differ in number or length.
    """
    right = said = asked = 0
    for one, other in zip_same_length(predicted, expected):
        zip_same_length(one, other)
        a, b = entity_spans(one), entity_spans(other)
        right, said, asked = right + len(a & b), said + len(a), asked + len(b)
    return PrecisionRecallF1.from_counts(right, said, asked)


def answer_scores(predicted: str, expected: str) -> tuple[bool, float]:
    """Is an answer the wanted one, and how many words do they share (F1)? Case, punctuation and articles do not count.

    Source: Rajpurkar et al. 2016, section 6.1.

    >>> answer_scores("the Black Sea", "Black Sea."), answer_scores("in 1066", "1066")
    ((True, 1.0), (False, 0.6666666666666666))
    """
    a, b = (normalize_answer(text) for text in (predicted, expected))
    if not a or not b:
        return a == b, float(a == b)
    return a == b, PrecisionRecallF1.from_counts(
        (Counter(a) & Counter(b)).total(), len(a), len(b)
    ).f1


def normalize_answer(text: str) -> list[str]:
    """Words, without case, punctuation and articles."""
    kept = "".join(c for c in text.lower() if c not in string.punctuation)
    return [word for word in kept.split() if word not in ("a", "an", "the")]


def zip_same_length(predicted: Sequence, expected: Sequence) -> list[tuple]:
    if len(predicted) != len(expected) or not len(expected):
        raise ValueError(
            f"{len(predicted)} predicted and {len(expected)} expected; there must be as many, and at least one."
        )
    return list(zip(predicted, expected, strict=True))
