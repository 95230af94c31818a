"""Classification by prompting: the log-probability of each label as the continuation of a prompt.

    N prompts   L labels   R prompts in a batch   V vocabulary

Calibration: Zhao et al. 2021; batch calibration: Zhou et al. 2023.
"""

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from fmcourse import fast
from fmcourse.fast.prefix_batches import pack_batches, score_packed
from fmcourse.generation.decoding import read_batch
from fmcourse.generation.text import Prompt
from fmcourse.models.kv_cache import KVCache
from fmcourse.models.modes import evaluating
from fmcourse.models.transformer import Transformer
from fmcourse.prompting.prefix import check_batch_size, prepare_prompts, split_batches


def label_scores(
    model: Transformer,
    tokenizer: Any,
    prompts: Sequence[Prompt],
    labels: Sequence[str],
    *,
    shared: Prompt | KVCache = "",
    batch: int = 32,
    distinct: bool = False,
) -> Tensor:
    """log p (nats) of each label as the continuation of shared + prompt, (N, L).

    The log-probabilities of a label's tokens are added up. The model reads
    encode(shared) + encode(prompt) + encode(label), so cut the texts where a token ends: labels
    mostly begin with a space, " positive".

    Args:
        prompts: texts, or lists of token ids.
        labels: at least two.
        shared: what stands before every prompt, read once: text, ids, or a cache by `read_prefix`.
        batch: most prompts read together. It changes the speed alone.
        distinct: demand labels that already differ in their first token.
    Raises: ValueError for fewer than two labels, an empty or repeated label, an empty prompt, or a
        prompt that exceeds the context.
    """
    check_batch_size(batch)
    ends = encode_labels(tokenizer, labels, distinct)
    longest = max(map(len, ends))
    # One less, because a label's last token is predicted but never read.
    texts, prefix = prepare_prompts(
        model, tokenizer, prompts, shared, longest - 1, "in the longest label"
    )
    if fast.is_enabled():
        n_branches = sum(map(len, ends)) - len(ends)  # a label's last token is never read
        batches = pack_batches([len(text) + n_branches for text in texts], batch)
        score = score_packed
    else:
        batches, score = split_batches(len(texts), batch), score_batch
    scores = torch.zeros(len(texts), len(ends))
    with evaluating(model):
        for rows in batches:
            scores[rows] = score(model, prefix, texts[rows], ends).cpu()
    return scores


def score_batch(
    model: Transformer, prefix: KVCache, texts: list[list[int]], labels: list[list[int]]
) -> Tensor:
    """log p of each label after each text, (R, L): the texts are read once, then label by label."""
    logits, cache = read_batch(model, prefix, texts, max(map(len, labels)) - 1)  # logits (R, V)
    next_log_p = logits.float().log_softmax(-1)  # (R, V)
    columns = []
    for label in labels:
        score = next_log_p[:, label[0]]  # (R,)
        if len(label) > 1:
            # Every label continues the same cache; its last token is predicted but never read.
            ids = torch.tensor([label[:-1]] * len(texts), device=logits.device)
            log_p = model.extend(ids, cache)[0].float().log_softmax(-1)  # (R, len(label) - 1, V)
            # Indices in pairs: the position of token i gives log p of token i + 1.
            score = score + log_p[:, list(range(len(label) - 1)), label[1:]].sum(-1)
        columns.append(score)
    return torch.stack(columns, 1)  # (R, L)


def encode_labels(tokenizer: Any, labels: Sequence[str], distinct: bool) -> list[list[int]]:
    """The labels as token ids. Raises: ValueError, see `label_scores`."""
    if isinstance(labels, str) or len(labels) < 2:
        raise ValueError(
            f"labels={labels!r}: give a list of at least two, for there is nothing to choose "
            "otherwise."
        )
    ends = [tokenizer.encode(label) for label in labels]
    if not all(ends):
        raise ValueError(
            f"label {ends.index([])} is empty, and every text continues with nothing; "
            "give it a word."
        )
    for i, j in combinations(range(len(ends)), 2):
        if ends[i] == ends[j]:
            raise ValueError(f"labels {i} and {j} are the same, {labels[i]!r}; keep one of them.")
        if distinct and ends[i][0] == ends[j][0]:
            raise ValueError(
                f"labels {labels[i]!r} and {labels[j]!r} begin with the same token, "
                f"{tokenizer.decode(ends[i][:1])!r}; choose words that differ from the start, "
                "or distinct=False."
            )
    return ends


def calibrate(scores: Tensor, content_free: Tensor) -> Tensor:
    """Contextual calibration: scores without what the prompt alone prefers.

    Subtracts, for each label, the log of its mean probability among the labels over inputs that
    have no content, such as "N/A".

    Args:
        scores: (N, L), from `label_scores`.
        content_free: (M, L), the scores of M inputs without content, at least one.
    Raises: ValueError if `content_free` has another shape.
    Source: Zhao et al. 2021, section 5.

    >>> content_free = torch.tensor([[-1.0, -3.0]])   # here the first label is e² times as likely
    >>> calibrate(torch.tensor([[-1.0, -2.0]]), content_free).argmax(-1).item()
    1
    """
    if (
        not len(content_free)
        or content_free.ndim != 2
        or content_free.shape[-1] != scores.shape[-1]
    ):
        raise ValueError(
            f"content_free has shape {tuple(content_free.shape)}; give the scores of at least one "
            f"input without content, for the same {scores.shape[-1]} labels."
        )
    # (L,): log of the mean over M of the probabilities among the labels, computed in logs.
    mean_log_p = content_free.log_softmax(-1).logsumexp(0) - math.log(len(content_free))
    return scores - mean_log_p  # division by the mean: the paper's W = diag(p)^-1, in logs


def batch_calibrate(scores: Tensor) -> Tensor:
    """Batch calibration: `calibrate` with the batch itself, as if each label were equally common.

    It needs no labels, but a row's result depends on the other rows of (N, L): a test batch scored
    so is not scored item by item. Source: Zhou et al. 2023.
    """
    return calibrate(scores, scores)
