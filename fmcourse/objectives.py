"""Objectives: a model and a batch in, a loss out. The labels are made here, from the data itself.

B batch   T positions   V vocabulary
"""

from collections.abc import Callable, Sequence
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
            f"batch has shape {tuple(batch.shape)}; give (B, T + 1), T at least 1: a token and its next."
        )
    inputs, labels = batch[:, :-1], batch[:, 1:]
    value = F.cross_entropy(model(inputs).flatten(0, 1), labels.flatten())
    return Loss(value, {"nats per token": value.item()}, labels.numel())


def translation(
    model: nn.Module,
    batch: tuple[Tensor, Tensor],
    generator: torch.Generator | None = None,
    *,
    smoothing: float = 0.0,
    pad: int = 0,
) -> Loss:
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
        plain = (
            F.cross_entropy(logits, labels.flatten(), ignore_index=pad).item()
            if smoothing
            else value.item()
        )
    return Loss(value, {"nats per token": plain}, asked)


def masked_token(
    model: nn.Module,
    batch: Tensor,
    generator: torch.Generator | None = None,
    *,
    mask_id: int,
    rate: float = 0.15,
    special_ids: Sequence[int] = (),
) -> Loss:
    """Masked language modelling: a few tokens are hidden; which were they? In nats per hidden token.

    Args:
        model: looks both ways, (B, T) -> logits (B, T, V).
        batch: token ids, (B, T).
        mask_id: the id of [MASK].
        rate: share of the tokens that is asked for.
        special_ids: ids that are never hidden, such as padding.
    Raises: ValueError if nothing could be hidden, or everything: see `mask_tokens`.
    Source: Devlin et al. 2018, section 3.1, task 1.
    """
    inputs, asked = mask_tokens(
        batch,
        generator,
        mask_id=mask_id,
        vocab_size=model.config.vocab_size,
        rate=rate,
        special_ids=special_ids,
    )
    states = model.states(inputs)[
        asked
    ]  # the head, the dear part, is asked only where there is a question
    value = F.cross_entropy(model.head(states), batch[asked])
    return Loss(value, {"nats per token": value.item()}, int(asked.sum()))


def mask_tokens(
    ids: Tensor,
    generator: torch.Generator | None = None,
    *,
    mask_id: int,
    vocab_size: int,
    rate: float = 0.15,
    special_ids: Sequence[int] = (),
) -> tuple[Tensor, Tensor]:
    """Hide tokens as BERT does: of those asked for 80 % become [MASK], 10 % another token, 10 % stay as they are.

    A model that saw only [MASK] would not care for the words that it is used on later, where there is none.

    Returns: the ids with some hidden (B, T), and which are asked for (B, T) bool. At least one is.
    Raises: ValueError unless 0 < rate < 1, or if there is no token besides special ones.
    Source: Devlin et al. 2018, appendix A.1.
    """
    open_to = ~torch.isin(ids, torch.tensor(tuple(special_ids), dtype=ids.dtype, device=ids.device))
    if not 0 < rate < 1 or not open_to.any():
        raise ValueError(
            f"rate={rate} of {int(open_to.sum())} tokens that may be hidden, in a batch {tuple(ids.shape)}; give a rate "
            "between 0 and 1 (both would leave nothing to learn from), and a batch with words."
        )
    draw = torch.rand(ids.shape, generator=generator, device=ids.device).masked_fill(~open_to, 2.0)
    asked = draw < max(
        rate, draw.min().item() * 1.000001 + 1e-9
    )  # a short batch by bad luck: the lowest draw at least
    fate = torch.rand(ids.shape, generator=generator, device=ids.device)
    other = torch.randint(
        vocab_size, ids.shape, generator=generator, device=ids.device, dtype=ids.dtype
    )
    hidden = ids.masked_fill(asked & (fate < 0.8), mask_id)
    return torch.where(asked & (fate >= 0.9), other, hidden), asked


def span_corruption(
    model: nn.Module,
    batch: Tensor,
    generator: torch.Generator | None = None,
    *,
    sentinel: int,
    rate: float = 0.15,
    span: float = 3.0,
) -> Loss:
    """T5's: spans are cut out of a text, and an `EncoderDecoder` writes them down. In nats per token; arguments and errors: `corrupt_spans`.

    Source: Raffel et al. 2019, section 3.1.4.
    """
    source, target = corrupt_spans(batch, generator, sentinel=sentinel, rate=rate, span=span)
    return translation(model, (source, F.pad(target, (1, 0))), generator)


def corrupt_spans(
    ids: Tensor,
    generator: torch.Generator | None = None,
    *,
    sentinel: int,
    rate: float = 0.15,
    span: float = 3.0,
) -> tuple[Tensor, Tensor]:
    """Cut spans of random lengths, `span` on average, out of rows (B, T): a token stands in the source or in the target, never in both.

    Returns: the source (B, S), a sentinel for each span; the target (B, R), each sentinel with its span, and one more at the end.
        Sentinels count up from id `sentinel`. All rows are cut into as many spans, so that none needs filling up.
    Raises: ValueError unless 0 < rate < 1 and span >= 1; for an empty batch, one token, or ids outside 1 to sentinel - 1.
    """
    T = ids.shape[-1]
    if (
        not ids.numel()
        or T < 2
        or not 0 < rate < 1
        or span < 1
        or ids.min() < 1
        or ids.max() >= sentinel
    ):
        raise ValueError(
            f"batch {tuple(ids.shape)}, rate={rate}, span={span}, sentinel={sentinel}: give (B, T) with T of at least 2, a "
            "rate between 0 and 1, a span of at least 1, and ids from 1 to sentinel - 1."
        )
    n = min(max(round(T * rate), 1), T - 1)
    spans = min(max(round(n / span), 1), T - n)
    lengths = torch.stack(
        [random_partition(total, spans, len(ids), generator) for total in (T - n, n)], -1
    ).flatten(1)
    kind = torch.tensor([False, True]).repeat(spans)
    hidden = torch.stack([kind.repeat_interleave(row) for row in lengths]).to(ids.device)
    begins = hidden & ~F.pad(hidden, (1, 0))[:, :-1]
    pairs = torch.stack(
        [sentinel - 1 + begins.cumsum(1), ids], -1
    )  # (B, T, 2): room for a mark before each token
    source, target = (
        pairs[torch.stack([begins, part], -1)].view(len(ids), -1) for part in (~hidden, hidden)
    )
    return source, F.pad(target, (0, 1), value=sentinel + spans)


def random_partition(
    total: int, parts: int, rows: int, generator: torch.Generator | None = None
) -> Tensor:
    """Whole numbers of at least 1 that add up to `total` in each row, (rows, parts)."""
    cuts = (
        torch.rand(rows, total - 1, generator=generator).argsort(1)[:, : parts - 1].sort(1).values
        + 1
    )
    return F.pad(F.pad(cuts, (1, 0)), (0, 1), value=total).diff(dim=1)


def denoising(
    model: nn.Module, batch: Tensor, generator: torch.Generator | None = None, *, noise: float
) -> Loss:
    """Noise is added to numbers (B, ...): what were they? Mean square; changing nothing costs noise². Source: Vincent et al. 2008."""
    if not batch.numel() or noise <= 0:
        raise ValueError(
            f"batch {tuple(batch.shape)}, noise={noise}; give a batch with rows and noise above 0."
        )
    spoilt = batch + noise * torch.randn(batch.shape, generator=generator, device=batch.device)
    value = F.mse_loss(model(spoilt), batch)
    return Loss(value, {"mean square": value.item()}, batch.numel())


def masked_patches(
    model: nn.Module, batch: Tensor, generator: torch.Generator | None = None, *, rate: float = 0.75
) -> Loss:
    """Most pieces (B, N, P) of a picture or series are hidden from a `MaskedAutoencoder`; what was there? Mean square over those alone.

    Raises: ValueError for an empty batch, or a rate that hides nothing or everything.
    Source: He et al. 2021, section 3.
    """
    n = round(batch.shape[1] * rate)
    if not batch.numel() or not 0 < n < batch.shape[1]:
        raise ValueError(
            f"rate={rate} hides {n} of {batch.shape[1]} pieces in a batch {tuple(batch.shape)}; give pieces, and a rate "
            "that hides some and leaves some."
        )
    hidden = (
        torch.rand(batch.shape[:2], generator=generator, device=batch.device).argsort(1) < n
    )  # as many in each row
    value = F.mse_loss(model(batch, hidden)[hidden], batch[hidden])
    return Loss(value, {"mean square": value.item()}, int(hidden.sum()))


def contrastive(
    model: nn.Module,
    batch: Tensor,
    generator: torch.Generator | None = None,
    *,
    augment: Callable[..., Tensor],
    temperature: float = 0.1,
) -> Loss:
    """`augment`, (batch, generator) -> views, makes two views of each thing: which two belong together? Source: Chen et al. 2020."""
    one, other = (augment(batch, generator) for _ in range(2))
    value = info_nce(*model(torch.cat([one, other])).chunk(2), temperature)
    return Loss(value, {"nats per pair": value.item()}, len(batch))


def info_nce(a: Tensor, b: Tensor, temperature: float = 0.1) -> Tensor:
    """Row i of `a` (B, D) belongs to row i of `b`: how surprising is that by cosine, among all B, both ways? In nats; a guess costs log B.

    Raises: ValueError for a batch of one, which leaves nothing to choose from, or a temperature that is not above 0.
    Source: van den Oord et al. 2018; both ways as in Radford et al. 2021 (CLIP), figure 3.
    """
    if a.ndim != 2 or a.shape != b.shape or len(a) < 2 or temperature <= 0:
        raise ValueError(
            f"vectors {tuple(a.shape)} and {tuple(b.shape)}, temperature={temperature}: give two (B, D) alike with B of "
            "at least 2, and a temperature above 0."
        )
    scores = F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T / temperature
    labels = torch.arange(len(a), device=a.device)
    return (F.cross_entropy(scores, labels) + F.cross_entropy(scores.T, labels)) / 2


def transformation_prediction(
    model: nn.Module,
    batch: Tensor,
    generator: torch.Generator | None = None,
    *,
    transforms: Sequence[Callable],
) -> Loss:
    """One of `transforms`, quarter turns say, or nothing and backwards, was done to each thing: which? In nats; a guess costs log(transforms).

    Source: Gidaris et al. 2018 (turned pictures); Misra et al. 2016 (order in time).
    """
    if not len(batch) or len(transforms) < 2:
        raise ValueError(
            f"{len(batch)} things and {len(transforms)} changes; give at least one thing and two changes."
        )
    labels = torch.randint(len(transforms), (len(batch),), generator=generator, device=batch.device)
    changed = torch.stack([transforms[k](x) for x, k in zip(batch, labels.tolist(), strict=True)])
    value = F.cross_entropy(model(changed), labels)
    return Loss(value, {"nats": value.item()}, len(batch))


def classification(
    model: nn.Module, batch: tuple[Tensor, ...], generator: torch.Generator | None = None
) -> Loss:
    """Labels that somebody wrote, one a text, a token or a picture. In nats per label.

    Args:
        model: (*inputs) -> scores (B, kinds) or (B, T, kinds); `models.heads` take (ids, real), a network of pictures (pictures).
        batch: what the model takes, ids (B, T) and real (B, T) bool say, and last the labels (B,) or (B, T); -100 where none is asked for.
    Raises: ValueError if no label is asked for, or one is outside the kinds.
    """
    *inputs, labels = batch
    scores, asked = model(*inputs), labels != -100
    if not asked.any() or labels[asked].min() < 0 or labels[asked].max() >= scores.shape[-1]:
        raise ValueError(
            f"{int(asked.sum())} labels are asked for, from {labels.min()} to {labels.max()}; give at least one, "
            f"in 0 to {scores.shape[-1] - 1}, and -100 where none is asked for."
        )
    value = F.cross_entropy(scores.flatten(0, -2), labels.flatten())
    return Loss(value, {"nats per label": value.item()}, int(asked.sum()))


def answer_span(
    model: nn.Module, batch: tuple[Tensor, ...], generator: torch.Generator | None = None
) -> Loss:
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
        raise ValueError(
            f"answers from {first.tolist()} to {last.tolist()} in texts of {T.tolist()} tokens: give at least one that "
            "lies inside, and -100 for those that were cut off."
        )
    scores = model(ids[asked], real[asked], types[asked]).masked_fill(
        ~real[asked][..., None], -torch.inf
    )
    value = (
        F.cross_entropy(scores[..., 0], first[asked]) + F.cross_entropy(scores[..., 1], last[asked])
    ) / 2
    return Loss(value, {"nats per end": value.item()}, int(asked.sum()))
