"""Objectives: a model and a batch in, a loss out. The labels are made here, from the data itself.

    B batch   T tokens   V vocabulary   D width

Each objective is called as `objective(model, batch, generator)` and returns a `Loss`. All random
draws come from the generator. Cross-entropies are in nats, averaged over the labels. A loss is a
mean over rows or labels, so that a batch can be computed in parts: see `own_rows`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Loss:
    """What training minimizes.

    Args:
        value: a scalar, with its graph for the backward pass.
        parts: what it consists of, by name, as plain numbers for reports.
        tokens: how many labels it averages over; None where they are not counted.
    """

    value: Tensor
    parts: dict[str, float] = field(default_factory=dict)
    tokens: int | None = None


class EmptyPart(Exception):
    """The part of a batch that was to be computed holds no row."""


class PartGenerator(torch.Generator):
    """The random draws of a training step, and which part of its batch is to be computed.

    `fit` passes it where a step is computed in parts. Part n of N holds the rows n, n + N, ...: in
    turns, so that rows sorted by length are spread evenly.
    """

    part, parts = 0, 1
    rows: int | None = None  # of the whole batch, once an objective has asked for its own


def own_rows(generator: torch.Generator | None, *tensors: Tensor) -> Any:
    """The rows of these tensors that are to be computed: all, unless `fit` computes in parts.

    An objective first checks its batch and draws for it as a whole, so that its draws do not depend
    on the number of parts; then it keeps its own rows. One that never asks, because its rows belong
    together (as in contrastive learning), computes the whole batch each time.

    Args:
        tensors: each (B, ...).
    Returns: a tensor for one tensor, a tuple of them for several.
    Raises: EmptyPart, which `fit` expects, if there are fewer rows than parts.

    >>> generator = PartGenerator()
    >>> generator.part, generator.parts = 1, 2
    >>> own_rows(generator, torch.arange(5)), own_rows(None, torch.arange(5))
    (tensor([1, 3]), tensor([0, 1, 2, 3, 4]))
    """
    if isinstance(generator, PartGenerator):
        generator.rows = len(tensors[0])
        if generator.parts > 1:
            if generator.part >= generator.rows:
                raise EmptyPart(f"{generator.rows} rows leave part {generator.part} empty.")
            tensors = tuple(tensor[generator.part :: generator.parts] for tensor in tensors)
    return tensors if len(tensors) > 1 else tensors[0]


# -- language modelling ----------------------------------------------------------------------------


def next_token(model: nn.Module, batch: Tensor, generator: torch.Generator | None = None) -> Loss:
    """Causal language modelling: cross-entropy of the next token, in nats per token.

    Args:
        model: token ids (B, T) -> logits (B, T, V).
        batch: token ids, (B, T + 1). The targets are the inputs shifted by one.
    Raises: ValueError if a row holds fewer than two tokens.
    Source: Radford et al. 2018, equation 1.
    """
    if batch.ndim != 2 or batch.shape[1] < 2:
        raise ValueError(
            f"batch has shape {tuple(batch.shape)}; give (B, T + 1), T at least 1: a token and the "
            "next one."
        )
    batch = own_rows(generator, batch)
    inputs, labels = batch[:, :-1], batch[:, 1:]
    # (B, T, V) to (B T, V): `cross_entropy` expects the classes in dimension 1.
    value = F.cross_entropy(model(inputs).flatten(0, 1), labels.flatten())
    return Loss(value, {"nats per token": value.item()}, labels.numel())


def translation(
    model: nn.Module,
    batch: tuple[Tensor, Tensor],
    generator: torch.Generator | None = None,
    *,
    smoothing: float = 0.0,
    pad_id: int = 0,
) -> Loss:
    """Sequence to sequence: cross-entropy of the target given the source, in nats per token.

    Teacher forcing: the decoder reads the true target, shifted by one.

    Args:
        model: (source (B, S), target (B, T)) -> logits (B, T, V).
        batch: source (B, S) and target (B, T + 1), which begins with a start token. Shorter rows
            are padded with `pad_id`, which is never a label.
        smoothing: label smoothing, the share of each label that is spread evenly over the
            vocabulary (Szegedy et al. 2016; 0.1 in 2017). `parts` holds the loss without it.
    Raises: ValueError if all labels are padding, or smoothing is not in [0, 1).
    Source: Vaswani et al. 2017, section 5.4.
    """
    source, target = batch
    num_labels = int((target[:, 1:] != pad_id).sum())  # without the start token
    if not num_labels or not 0 <= smoothing < 1:
        raise ValueError(
            f"{num_labels} labels besides padding and smoothing={smoothing}; give at least one "
            "label, and smoothing in [0, 1)."
        )
    source, target = own_rows(generator, source, target)
    labels = target[:, 1:]
    logits = model(source, target[:, :-1]).flatten(0, 1)  # (B T, V)
    padded = {"target": labels.flatten(), "ignore_index": pad_id}
    value = F.cross_entropy(logits, **padded, label_smoothing=smoothing)
    # Detached, since it is for reports alone.
    plain = value if not smoothing else F.cross_entropy(logits.detach(), **padded)
    return Loss(value, {"nats per token": plain.item()}, int((labels != pad_id).sum()))


def masked_token(
    model: nn.Module,
    batch: Tensor,
    generator: torch.Generator | None = None,
    *,
    mask_id: int,
    mask_rate: float = 0.15,
    special_ids: Sequence[int] = (),
) -> Loss:
    """Masked language modelling: cross-entropy of hidden tokens, in nats per hidden token.

    Args:
        model: a bidirectional `Transformer`, (B, T) -> logits (B, T, V).
        batch: token ids, (B, T).
        mask_id: the id of [MASK].
        mask_rate: share of the tokens that are to be predicted.
        special_ids: ids that are never hidden, such as padding.
    Raises: ValueError if nothing could be hidden, or everything: see `mask_tokens`.
    Source: Devlin et al. 2018, section 3.1, task 1.
    """
    inputs, selected = mask_tokens(
        batch,
        generator,
        mask_id=mask_id,
        vocab_size=model.config.vocab_size,
        mask_rate=mask_rate,
        special_ids=special_ids,
    )
    inputs, selected, labels = own_rows(generator, inputs, selected, batch)
    # The head costs as much as several blocks, so it is computed at selected positions alone.
    states = model.states(inputs)[selected]  # (N, D)
    value = F.cross_entropy(model.head(states), labels[selected])
    return Loss(value, {"nats per token": value.item()}, int(selected.sum()))


def mask_tokens(
    ids: Tensor,
    generator: torch.Generator | None = None,
    *,
    mask_id: int,
    vocab_size: int,
    mask_rate: float = 0.15,
    special_ids: Sequence[int] = (),
) -> tuple[Tensor, Tensor]:
    """Hide tokens as BERT does: of those selected, 80 % become [MASK], 10 % a random token.

    The remaining 10 % stay as they are. A model that predicted nothing but [MASK] would learn
    nothing about the tokens that it reads in use, where there is no [MASK].

    Args: as `masked_token`; `vocab_size`: random tokens are drawn from 0 to vocab_size - 1.
    Returns: the ids with some hidden (B, T), and which are selected (B, T) bool, at least one.
    Raises: ValueError unless 0 < mask_rate < 1, or if there are only special tokens.
    Source: Devlin et al. 2018, appendix A.1.
    """
    # The dtype is given, since an empty tuple would become a float tensor.
    special = torch.tensor(tuple(special_ids), dtype=ids.dtype, device=ids.device)
    maskable = ~torch.isin(ids, special)
    if not 0 < mask_rate < 1 or not maskable.any():
        raise ValueError(
            f"mask_rate={mask_rate} of {int(maskable.sum())} tokens that may be hidden, in a batch "
            f"{tuple(ids.shape)}; give a mask_rate between 0 and 1 (with either there is nothing "
            "to learn from), and a batch with words."
        )
    random = {"generator": generator, "device": ids.device}
    draw = torch.rand(ids.shape, **random).masked_fill(~maskable, 2.0)  # 2: above any rate
    # A short batch can end up with no token below the rate: then the lowest draw is selected.
    # As < is strict, the bound is raised above that draw by several rounding steps of float32; 1e-9
    # is for a draw of 0.
    selected = draw < max(mask_rate, draw.min().item() * 1.000001 + 1e-9)
    fate = torch.rand(ids.shape, **random)
    random_ids = torch.randint(vocab_size, ids.shape, **random, dtype=ids.dtype)
    # Below 0.8 [MASK], from 0.8 to 0.9 unchanged, from 0.9 a random token.
    inputs = ids.masked_fill(selected & (fate < 0.8), mask_id)
    return torch.where(selected & (fate >= 0.9), random_ids, inputs), selected


def span_corruption(
    model: nn.Module,
    batch: Tensor,
    generator: torch.Generator | None = None,
    *,
    sentinel_id: int,
    mask_rate: float = 0.15,
    mean_span_length: float = 3.0,
) -> Loss:
    """T5's objective: spans are cut out of a text, and the decoder writes them. Nats per token.

    Args: model, an `EncoderDecoder`; all others and Raises: as `corrupt_spans`.
    Source: Raffel et al. 2019, section 3.1.4.
    """
    source, target = corrupt_spans(
        batch,
        generator,
        sentinel_id=sentinel_id,
        mask_rate=mask_rate,
        mean_span_length=mean_span_length,
    )
    return translation(model, (source, F.pad(target, (1, 0))), generator)  # 0 starts the target


def corrupt_spans(
    ids: Tensor,
    generator: torch.Generator | None = None,
    *,
    sentinel_id: int,
    mask_rate: float = 0.15,
    mean_span_length: float = 3.0,
) -> tuple[Tensor, Tensor]:
    """Cut random spans out of rows of ids (B, T), and put a sentinel in place of each span.

    Each token goes either into the source or into the target. All rows are cut into equally many
    spans, so that none needs padding.

    Args:
        sentinel_id: the id of the first sentinel; the next ones count up from it.
        mask_rate: share of the tokens that are cut out.
        mean_span_length: average tokens in a span.
    Returns: the source (B, S), with a sentinel for each span, and the target (B, R): each sentinel
        followed by its span, and one more sentinel at the end.
    Raises: ValueError unless 0 < mask_rate < 1 and mean_span_length >= 1; for an empty batch, a
        single token, or ids outside 1 to sentinel_id - 1.
    """
    T = ids.shape[-1]
    bad_batch = not ids.numel() or T < 2 or ids.min() < 1 or ids.max() >= sentinel_id
    if bad_batch or not 0 < mask_rate < 1 or mean_span_length < 1:
        raise ValueError(
            f"batch {tuple(ids.shape)}, mask_rate={mask_rate}, "
            f"mean_span_length={mean_span_length}, sentinel_id={sentinel_id}: give (B, T) with T "
            "of at least 2, a mask_rate between 0 and 1, a mean_span_length of at least 1, and ids "
            "from 1 to sentinel_id - 1."
        )
    num_masked = min(max(round(T * mask_rate), 1), T - 1)  # both parts need a token
    # A kept token comes before each span, so there are no more spans than kept tokens.
    spans = min(max(round(num_masked / mean_span_length), 1), T - num_masked)
    masked = random_spans(T - num_masked, num_masked, spans, len(ids), generator).to(ids.device)
    starts = masked & ~F.pad(masked, (1, 0))[:, :-1]  # masked, but the token before is not
    # Before each token there is room for a sentinel: pairs (sentinel, token), flattened in order.
    # The first span counts 1, hence sentinel_id - 1.
    pairs = torch.stack([sentinel_id - 1 + starts.cumsum(1), ids], -1)  # (B, T, 2)
    # Both take the sentinels. Boolean indexing flattens; `view` restores the rows, since all of
    # them keep equally many.
    source, target = (
        pairs[torch.stack([starts, part], -1)].view(len(ids), -1) for part in (~masked, masked)
    )
    return source, F.pad(target, (0, 1), value=sentinel_id + spans)  # the sentinel that ends it


def random_spans(
    num_kept: int, num_masked: int, spans: int, rows: int, generator: torch.Generator | None
) -> Tensor:
    """Which tokens lie in spans, (rows, num_kept + num_masked) bool.

    Kept and masked stretches of random lengths alternate; each row begins with a kept one.
    """
    lengths = torch.stack(
        [random_partition(total, spans, rows, generator) for total in (num_kept, num_masked)], -1
    ).flatten(1)  # (rows, 2 spans): kept, masked, kept, masked, ...
    is_masked = torch.tensor([False, True]).repeat(spans)  # (2 spans,)
    # The lengths of each row add up to T, so the rows can be stacked.
    return torch.stack([is_masked.repeat_interleave(row) for row in lengths])


def random_partition(
    total: int, parts: int, rows: int, generator: torch.Generator | None = None
) -> Tensor:
    """Whole numbers of at least 1 that add up to `total` in each row, (rows, parts).

    Every way to divide is equally likely: `parts - 1` of the `total - 1` gaps are chosen.
    """
    device = None if generator is None else generator.device  # a generator draws for its own only
    # The beginning of a random permutation: drawn without replacement.
    order = torch.rand(rows, total - 1, generator=generator, device=device).argsort(1)
    gaps = order[:, : parts - 1]
    cuts = gaps.sort(1).values + 1  # gap 0 lies after the first token
    # With 0 before and `total` after them, differences of neighbours are the lengths.
    return F.pad(F.pad(cuts, (1, 0)), (0, 1), value=total).diff(dim=1)


# -- denoising, masked patches ---------------------------------------------------------------------


def denoising(
    model: nn.Module, batch: Tensor, generator: torch.Generator | None = None, *, noise: float
) -> Loss:
    """Denoising autoencoder: mean squared error of x predicted from x + noise, for (B, ...).

    Args:
        noise: standard deviation; a model that returns its input pays noise².
    Raises: ValueError for an empty batch, or noise that is not above 0.
    Source: Vincent et al. 2008.
    """
    if not batch.numel() or noise <= 0:
        raise ValueError(
            f"batch {tuple(batch.shape)}, noise={noise}; give a batch with rows and noise above 0."
        )
    noisy = batch + noise * torch.randn(batch.shape, generator=generator, device=batch.device)
    noisy, batch = own_rows(generator, noisy, batch)
    value = F.mse_loss(model(noisy), batch)  # against the batch without noise
    return Loss(value, {"mean square": value.item()}, batch.numel())


def masked_patches(
    model: nn.Module,
    batch: Tensor,
    generator: torch.Generator | None = None,
    *,
    mask_rate: float = 0.75,
) -> Loss:
    """Masked autoencoder: mean squared error of the hidden patches, predicted from the others.

    Args:
        model: a `MaskedAutoencoder`, (patches (B, N, P), masked (B, N) bool) -> (B, N, P).
        batch: N patches of an image or a series, (B, N, P).
        mask_rate: share of the patches that are hidden.
    Raises: ValueError for an empty batch, or a rate that hides nothing or everything.
    Source: He et al. 2021, section 3.
    """
    num_masked = round(batch.shape[1] * mask_rate)
    if not batch.numel() or not 0 < num_masked < batch.shape[1]:
        raise ValueError(
            f"mask_rate={mask_rate} hides {num_masked} of {batch.shape[1]} patches in a batch "
            f"{tuple(batch.shape)}; give patches, and a mask_rate that hides some and leaves some."
        )
    # A random permutation of each row, so that every row hides equally many.
    order = torch.rand(batch.shape[:2], generator=generator, device=batch.device).argsort(1)
    batch, masked = own_rows(generator, batch, order < num_masked)  # (B, N, P), (B, N)
    value = F.mse_loss(model(batch, masked)[masked], batch[masked])  # (B num_masked, P)
    return Loss(value, {"mean square": value.item()}, int(masked.sum()))


# -- contrastive learning, pretext tasks -----------------------------------------------------------


def contrastive(
    model: nn.Module,
    batch: Tensor,
    generator: torch.Generator | None = None,
    *,
    augment: Callable[..., Tensor],
    temperature: float = 0.1,
) -> Loss:
    """Two augmented views of each example must find each other in the batch. Nats per pair.

    Args:
        model: (2 B, ...) -> embeddings (2 B, D).
        augment: (batch, generator) -> a random view of each example.
    Raises: ValueError as `info_nce`.
    Source: Chen et al. 2020 (SimCLR); here a view's negatives are the other examples' other views.
    """
    # The generator's state moves on, so the two views differ.
    view_1, view_2 = (augment(batch, generator) for _ in range(2))
    # One forward pass, so that both views share a BatchNorm's statistics.
    embeddings = model(torch.cat([view_1, view_2]))
    value = info_nce(*embeddings.chunk(2), temperature)
    return Loss(value, {"nats per pair": value.item()}, len(batch))


def info_nce(a: Tensor, b: Tensor, temperature: float = 0.1) -> Tensor:
    """Cross-entropy of finding a row's partner by cosine similarity, in nats; a guess costs log B.

    Row i of `a` and row i of `b`, (B, D) each, are a positive pair, all others are negatives. Mean
    of both directions, from `a` to `b` and from `b` to `a`.

    Raises: ValueError for a batch of one, which has no negatives, or a temperature not above 0.
    Source: van den Oord et al. 2018; both directions as in Radford et al. 2021 (CLIP), figure 3.
    """
    if a.ndim != 2 or a.shape != b.shape or len(a) < 2 or temperature <= 0:
        raise ValueError(
            f"vectors {tuple(a.shape)} and {tuple(b.shape)}, temperature={temperature}: give two "
            "(B, D) alike with B of at least 2, and a temperature above 0."
        )
    # Cosines lie in [-1, 1]; a temperature below 1 lets the probabilities come near 0 and 1.
    logits = F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T / temperature  # (B, B)
    labels = torch.arange(len(a), device=a.device)  # the diagonal
    return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2


def transformation_prediction(
    model: nn.Module,
    batch: Tensor,
    generator: torch.Generator | None = None,
    *,
    transforms: Sequence[Callable],
) -> Loss:
    """Which transformation was applied to each example? In nats; a guess costs log(transforms).

    Args:
        model: (B, ...) -> logits (B, number of transforms).
        transforms: functions of one example, such as rotations, or identity and reversal.
    Raises: ValueError for an empty batch, or fewer than two transforms.
    Source: Gidaris et al. 2018 (rotated images); Misra et al. 2016 (order in time).
    """
    if not len(batch) or len(transforms) < 2:
        raise ValueError(
            f"{len(batch)} examples and {len(transforms)} transforms; give at least one example "
            "and two transforms."
        )
    labels = torch.randint(len(transforms), (len(batch),), generator=generator, device=batch.device)
    batch, labels = own_rows(generator, batch, labels)
    pairs = zip(batch, labels.tolist(), strict=True)
    # Stacking needs one shape: rotations by 90° keep that of square images.
    transformed = torch.stack([transforms[label](x) for x, label in pairs])
    value = F.cross_entropy(model(transformed), labels)
    return Loss(value, {"nats": value.item()}, len(batch))


# -- supervised tasks ------------------------------------------------------------------------------


def classification(
    model: nn.Module, batch: tuple[Tensor, ...], generator: torch.Generator | None = None
) -> Loss:
    """Cross-entropy of given labels: one for each text, token or image. In nats per label.

    Args:
        model: (*inputs) -> logits (B, classes) or (B, T, classes), such as the classifiers of
            `models.heads`, which take (ids, padding_mask).
        batch: the inputs, and last the labels (B,) or (B, T); -100 where there is no label.
    Raises: ValueError if there is no label, or one is outside the classes.
    """
    *inputs, labels = own_rows(generator, *batch)
    logits = model(*inputs)
    classes = logits.shape[-1]
    given = batch[-1][batch[-1] != -100]  # cross_entropy ignores -100 too
    # On a GPU, `cross_entropy` would fail without saying which label was wrong.
    if not len(given) or given.min() < 0 or given.max() >= classes:
        span = f", from {given.min()} to {given.max()}" if len(given) else ""
        raise ValueError(
            f"{len(given)} labels are given{span}; give at least one, in 0 to {classes - 1}, and "
            "-100 where there is none."
        )
    # (B, T, classes) to (B T, classes); (B, classes) stays as it is.
    value = F.cross_entropy(logits.flatten(0, -2), labels.flatten())
    return Loss(value, {"nats per label": value.item()}, int((labels != -100).sum()))


def answer_span(
    model: nn.Module, batch: tuple[Tensor, ...], generator: torch.Generator | None = None
) -> Loss:
    """Extractive question answering: the first and the last token of the answer, in nats per end.

    The mean of two cross-entropies, each a choice among the T tokens of the text.

    Args:
        model: (ids, padding_mask, token_type_ids) -> logits (B, T, 2).
        batch: what the model takes, (B, T) each, and first and last token of the answer, (B,) each.
            If the answer was cut off with the end of a long text, both are -100; such rows are
            left out.
    Raises: ValueError if every row is left out, or an answer lies outside the text.
    Source: Devlin et al. 2018, section 4.2.
    """
    ids, padding_mask, token_type_ids, first, last = batch
    kept = (first >= 0) & (last >= 0)
    lengths = padding_mask.sum(1)
    if not kept.any() or (torch.maximum(first, last) >= lengths)[kept].any():
        raise ValueError(
            f"answers from {first.tolist()} to {last.tolist()} in texts of {lengths.tolist()} "
            "tokens: give at least one that lies inside, and -100 for those that were cut off."
        )
    ids, padding_mask, token_type_ids, first, last = own_rows(
        generator, *(tensor[kept] for tensor in batch)
    )
    logits = model(ids, padding_mask, token_type_ids)
    # Padding is no answer: it gets probability 0.
    logits = logits.masked_fill(~padding_mask[..., None], -torch.inf)  # (B, T, 2)
    first_loss = F.cross_entropy(logits[..., 0], first)  # the T tokens are the classes
    last_loss = F.cross_entropy(logits[..., 1], last)
    value = (first_loss + last_loss) / 2
    return Loss(value, {"nats per end": value.item()}, len(first))
