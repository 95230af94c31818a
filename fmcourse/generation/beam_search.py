"""Beam search: keep the best few sequences at every step, not only the single best token."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Hypothesis:
    """A sequence that beam search holds: its ids, the start token first, and log p of the rest."""

    ids: tuple[int, ...]
    score: float


def beam_search(
    log_probabilities: Callable[[Tensor], Tensor],
    *,
    start: int,
    end: int,
    width: int,
    max_new_tokens: int,
) -> list[Hypothesis]:
    """The `width` most probable sequences that beam search finds, best first; width 1 is greedy.

    At each step every open hypothesis is continued with every token, and the best `width` of all
    continuations and finished hypotheses are kept. Scores are not normalized by length.

    Args:
        log_probabilities: hypotheses of one length, (N, T) ids -> (N, V), for the token after each.
        start, end: the token that begins every sequence, and the one that finishes it.
        max_new_tokens: most tokens to add; a hypothesis that never ends is returned as it is.
    Raises: ValueError if width or max_new_tokens is less than 1.
    Source: Sutskever et al. 2014, section 3.2.
    """
    if width < 1 or max_new_tokens < 1:
        raise ValueError(
            f"width={width} and max_new_tokens={max_new_tokens} must both be at least 1."
        )
    beam = [Hypothesis((start,), 0.0)]  # log 1: the start token is given, not predicted
    for _ in range(max_new_tokens):
        # A finished hypothesis keeps its score and its place until `width` better ones push it out.
        finished = [hypothesis for hypothesis in beam if hypothesis.ids[-1] == end]
        unfinished = [hypothesis for hypothesis in beam if hypothesis.ids[-1] != end]
        if not unfinished:
            break
        # (N, V). Open hypotheses are equally long, since each step adds one token: no padding.
        log_p = log_probabilities(torch.tensor([hypothesis.ids for hypothesis in unfinished]))
        # `width` continuations are enough: the beam has no room for more of them.
        beam = best_first(finished + best_continuations(unfinished, log_p, width))[:width]
    return beam


def best_continuations(beam: list[Hypothesis], log_p: Tensor, width: int) -> list[Hypothesis]:
    """The best `width` of all hypotheses that are longer by one token; log_p (N, V)."""
    V = log_p.shape[1]
    # In double: scores of long sequences differ by less than float32 can hold.
    # (N, 1) + (N, V): log p of a sequence is the sum over its tokens.
    scores = torch.tensor([[hypothesis.score] for hypothesis in beam]).double() + log_p.double()
    # The best among all N V pairs of a hypothesis and a token; at first there are only V.
    best = scores.flatten().topk(min(width, scores.numel()))
    return [
        Hypothesis((*beam[index // V].ids, index % V), score)  # row and column of a flat index
        for score, index in zip(best.values.tolist(), best.indices.tolist(), strict=True)
    ]


def best_first(beam: list[Hypothesis]) -> list[Hypothesis]:
    # `sorted` is stable, so hypotheses of equal score keep their order.
    return sorted(beam, key=lambda hypothesis: -hypothesis.score)
