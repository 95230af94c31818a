"""Sampling: from the logits of the next token to one token.

V vocabulary

Top-k: Fan et al. 2018; top-p (nucleus): Holtzman et al. 2020.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

# Divided by less, logits could exceed what 32 bits hold; here the softmax is its limit already.
SMALLEST_TEMPERATURE = 1e-30

Sampler = Callable[[Tensor], int]  # logits (V,) -> a token
Constraint = Callable[[list[int]], Tensor]  # token ids added so far -> (V,) bool, allowed next


def next_distribution(
    logits: Tensor, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> Tensor:
    """Probabilities of the next token, (..., V): temperature first, then top-k, then top-p.

    Args:
        logits: (..., V).
        temperature: 1 is the model's own distribution, smaller is sharper; 0 is greedy: everything
            on the largest logit, the first of them if several are equal.
        top_k: keep the k likeliest tokens.
        top_p: keep the likeliest tokens until their probabilities add up to p, at least one.
    Raises: ValueError naming the argument that makes no sense.

    >>> logits = torch.tensor([2.0, 1.0, 0.0])
    >>> [round(p, 3) for p in next_distribution(logits, top_k=2).tolist()]
    [0.731, 0.269, 0.0]
    """
    check_distribution_arguments(temperature, top_k, top_p)
    if temperature == 0:
        # The limit of the softmax below as the temperature goes to 0, where it would divide by 0.
        return torch.zeros_like(logits).scatter(-1, logits.argmax(-1, keepdim=True), 1.0)
    divisor = max(temperature, SMALLEST_TEMPERATURE)
    probabilities = (logits.float() / divisor).softmax(-1)  # in 32 bits, if need be from 16
    if top_k is not None and top_k < logits.shape[-1]:  # with k of V or more, all are kept
        likeliest = probabilities.topk(top_k)
        # (..., k) values, each back at its token's place among zeros.
        probabilities = torch.zeros_like(probabilities).scatter(
            -1, likeliest.indices, likeliest.values
        )
    if top_p is not None and top_p < 1:
        # Normalized first: p refers to the distribution that top-k left.
        probabilities = probabilities / probabilities.sum(-1, keepdim=True)
        # stable: tokens of equal probability stay in the order of their ids.
        ordered, order = probabilities.sort(descending=True, stable=True)
        likelier = ordered.cumsum(-1) - ordered  # what the tokens before add up to
        kept = ordered * (likelier < top_p)  # the first token has 0 before it: it is always kept
        # From the order of probability back to the order of ids.
        probabilities = torch.zeros_like(probabilities).scatter(-1, order, kept)
    return probabilities / probabilities.sum(-1, keepdim=True)


def make_sampler(
    seed: int | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Sampler:
    """A function from logits (V,) to a token, with a random stream of its own.

    seed: repeats the stream; None starts a new one each time. For the rest see `next_distribution`.
    """
    check_distribution_arguments(temperature, top_k, top_p)
    if temperature == 0:
        return greedy
    generator = torch.Generator()  # not torch's global stream: other draws change nothing here
    if seed is None:
        generator.seed()  # a new Generator has a fixed seed; this draws one
    else:
        generator.manual_seed(seed)

    def sample(logits: Tensor) -> int:
        # On the CPU whatever the model's device, so that a seed draws the same tokens everywhere.
        probabilities = next_distribution(logits.cpu(), temperature, top_k, top_p)
        return int(torch.multinomial(probabilities, 1, generator=generator))

    return sample


def greedy(logits: Tensor) -> int:
    """The likeliest token, the first of them if several are equal."""
    return int(logits.argmax())


def apply_constraint(logits: Tensor, constraint: Constraint, added: list[int]) -> Tensor:
    """Logits (V,) with minus infinity for every token that the constraint forbids.

    Raises: ValueError if it forbids all of those that have a chance.
    """
    allowed = constraint(added).to(logits.device) & (logits > float("-inf"))
    if not allowed.any():
        raise ValueError(
            "the constraint allows no token here; let it allow at least one, "
            "an end mark for example."
        )
    # exp(-inf) is 0: a forbidden token has probability 0 at every temperature.
    return logits.masked_fill(~allowed, float("-inf"))


def check_sampling_arguments(
    max_new_tokens: int,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    stop: Sequence[str] = (),
) -> None:
    """Raises: ValueError naming the argument that makes no sense."""
    if not isinstance(max_new_tokens, int) or max_new_tokens < 1:
        raise ValueError(f"max_new_tokens={max_new_tokens!r} must be a whole number of at least 1.")
    check_distribution_arguments(temperature, top_k, top_p)
    # A str is a sequence of its characters: each of them would be a stop text.
    if isinstance(stop, str) or not all(isinstance(text, str) and text for text in stop):
        raise ValueError(
            f"stop={stop!r} must be a list of texts, none of them empty; "
            f"for one text write [{stop!r}]."
        )


def check_distribution_arguments(
    temperature: float, top_k: int | None = None, top_p: float | None = None
) -> None:
    """Raises: ValueError naming the argument of `next_distribution` that makes no sense."""
    if not 0 <= temperature < float("inf"):  # NaN fails this comparison too
        raise ValueError(f"temperature={temperature!r} must be 0 (greedy) or a positive number.")
    if top_k is not None and (not isinstance(top_k, int) or top_k < 1):
        raise ValueError(
            f"top_k={top_k!r} must be a whole number of at least 1, or None for all tokens."
        )
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p={top_p!r} must be above 0 and at most 1, or None for all tokens.")
