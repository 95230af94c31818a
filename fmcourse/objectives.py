"""Objectives: a model and a batch in, a loss out. The labels are made here, from the data itself.

B batch   T positions   V vocabulary
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Loss:
    """What to make smaller.

    Args:
        value: scalar, with its graph.
        parts: what it is made of, by name, for the curve.
        tokens: how many labels it averages over.
    """

    value: Tensor
    parts: dict[str, float] = field(default_factory=dict)
    tokens: int = 0


def next_token(model: nn.Module, batch: Tensor, generator: torch.Generator | None = None) -> Loss:
    """Causal language modelling: at every position, which token comes next? In nats per token.

    Args:
        batch: token ids, (B, T + 1). The text is its own label, moved by one: nobody had to write an answer down.
    Raises: ValueError if a row holds fewer than two tokens.
    Source: Radford et al. 2018, equation 1.
    """
    if batch.ndim != 2 or batch.shape[1] < 2:
        raise ValueError(
            f"batch has shape {tuple(batch.shape)}; give (B, T + 1) with T of at least 1: a token and its next."
        )
    inputs, labels = batch[:, :-1], batch[:, 1:]
    value = F.cross_entropy(model(inputs).flatten(0, 1), labels.flatten())
    return Loss(value, {"nats per token": value.item()}, labels.numel())


def translation(
    model: nn.Module, batch: tuple[Tensor, Tensor], generator: torch.Generator | None = None, *, smoothing: float = 0.0,
    pad: int = 0,
) -> Loss:  # fmt: skip
    """One sequence in, another out: given the source and the target so far, which token comes next? In nats per token.

    Args:
        batch: source (B, S) and target (B, T + 1), a start token first; rows filled up with `pad`, which is never asked for.
        smoothing: share of the label that is spread evenly over the vocabulary (Szegedy et al. 2016; 0.1 in 2017).
    Raises: ValueError if nothing is left to be asked for, or smoothing is not in [0, 1).
    Source: Vaswani et al. 2017, section 5.4.
    """
    source, target = batch
    labels, asked = target[:, 1:], (target[:, 1:] != pad).sum().item()
    if not asked or not 0 <= smoothing < 1:
        raise ValueError(
            f"{asked} labels besides padding and smoothing={smoothing}; give at least one label, and smoothing in [0, 1)."
        )
    logits = model(source, target[:, :-1]).flatten(0, 1)
    value = F.cross_entropy(logits, labels.flatten(), ignore_index=pad, label_smoothing=smoothing)
    with torch.no_grad():
        plain = F.cross_entropy(logits, labels.flatten(), ignore_index=pad).item() if smoothing else value.item()
    return Loss(value, {"nats per token": plain}, asked)


def masked_token(
    model: nn.Module, batch: Tensor, generator: torch.Generator | None = None, *, mask: int, rate: float = 0.15,
    special: Sequence[int] = (),
) -> Loss:  # fmt: skip
    """Masked language modelling: a few tokens are hidden; which were they? In nats per hidden token.

    Args:
        model: looks both ways, (B, T) -> logits (B, T, V).
        batch: token ids, (B, T).
        mask: the id of [MASK].
        rate: share of the tokens that is asked for.
        special: ids that are never hidden, such as padding.
    Raises: ValueError if nothing could be hidden, or everything: see `hide`.
    Source: Devlin et al. 2018, section 3.1, task 1.
    """
    inputs, asked = hide(batch, generator, mask=mask, vocab_size=model.config.vocab_size, rate=rate, special=special)
    states = model.states(inputs)[asked]  # the head, the dear part, is asked only where there is a question
    value = F.cross_entropy(model.head(states), batch[asked])
    return Loss(value, {"nats per token": value.item()}, int(asked.sum()))


def hide(
    ids: Tensor, generator: torch.Generator | None = None, *, mask: int, vocab_size: int, rate: float = 0.15,
    special: Sequence[int] = (),
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Hide tokens as BERT does: of those asked for 80 % become [MASK], 10 % another token, 10 % stay as they are.

    A model that saw only [MASK] would not care for the words that it is used on later, where there is none.

    Returns: the ids with some hidden (B, T), and which are asked for (B, T) bool. At least one is.
    Raises: ValueError unless 0 < rate < 1, or if there is no token besides special ones.
    Source: Devlin et al. 2018, appendix A.1.
    """
    open_to = ~torch.isin(ids, torch.tensor(tuple(special), dtype=ids.dtype, device=ids.device))
    if not 0 < rate < 1 or not open_to.any():
        raise ValueError(f"rate={rate} of {int(open_to.sum())} tokens that may be hidden, in a batch {tuple(ids.shape)}; give a rate "
                         "between 0 and 1 (both would leave nothing to learn from), and a batch with words.")  # fmt: skip
    draw = torch.rand(ids.shape, generator=generator, device=ids.device).masked_fill(~open_to, 2.0)
    asked = draw < max(rate, draw.min().item() * 1.000001 + 1e-9)  # a short batch by bad luck: the lowest draw at least
    fate = torch.rand(ids.shape, generator=generator, device=ids.device)
    other = torch.randint(vocab_size, ids.shape, generator=generator, device=ids.device, dtype=ids.dtype)
    hidden = ids.masked_fill(asked & (fate < 0.8), mask)
    return torch.where(asked & (fate >= 0.9), other, hidden), asked


def labelled(model: nn.Module, batch: tuple[Tensor, ...], generator: torch.Generator | None = None) -> Loss:
    """Labels that somebody wrote, one a text or one a token. In nats per label.

    Args:
        model: (ids, real) -> scores (B, kinds) or (B, T, kinds), as `models.heads` makes them.
        batch: ids (B, T), real (B, T) bool, labels (B,) or (B, T); -100 where none is asked for.
    Raises: ValueError if no label is asked for, or one is outside the kinds.
    """
    ids, real, labels = batch
    scores, asked = model(ids, real), labels != -100
    if not asked.any() or labels[asked].min() < 0 or labels[asked].max() >= scores.shape[-1]:
        raise ValueError(f"{int(asked.sum())} labels are asked for, from {labels.min()} to {labels.max()}; give at least one, "
                         f"in 0 to {scores.shape[-1] - 1}, and -100 where none is asked for.")  # fmt: skip
    value = F.cross_entropy(scores.flatten(0, -2), labels.flatten())
    return Loss(value, {"nats per label": value.item()}, int(asked.sum()))


def answer_span(model: nn.Module, batch: tuple[Tensor, ...], generator: torch.Generator | None = None) -> Loss:
    """Where in the text does the answer begin, where does it end? The mean of two choices among T places, in nats.

    Args:
        model: (ids, real, types) -> (B, T, 2).
        batch: ids, real and types (B, T); first and last token of the answer, (B,) each. A span that was cut off with the end of a
            long text is marked -100 in both, and then not asked for.
    Raises: ValueError if no row is asked for its answer, or an answer lies outside the text.
    Source: Devlin et al. 2018, section 4.2.
    """
    ids, real, types, first, last = batch
    asked = (first >= 0) & (last >= 0)
    T = real.sum(1)
    if not asked.any() or (torch.maximum(first, last) >= T)[asked].any():
        raise ValueError(f"answers from {first.tolist()} to {last.tolist()} in texts of {T.tolist()} tokens: give at least one that "
                         "lies inside, and -100 for those that were cut off.")  # fmt: skip
    scores = model(ids[asked], real[asked], types[asked]).masked_fill(~real[asked][..., None], -torch.inf)
    value = (F.cross_entropy(scores[..., 0], first[asked]) + F.cross_entropy(scores[..., 1], last[asked])) / 2
    return Loss(value, {"nats per end": value.item()}, int(asked.sum()))
