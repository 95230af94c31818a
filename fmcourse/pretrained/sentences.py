"""Sentence embeddings: one vector for a text, so that texts of like meaning lie close."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from fmcourse.models.heads import mean_pool, pad_batch
from fmcourse.models.transformer import Transformer
from fmcourse.tokenizers import WordPieceTokenizer
from fmcourse.tokenizers.base import check_tokenizer

MAX_TOKENS = 256  # the published MiniLM was trained on texts of at most so many


@torch.inference_mode()
def embed_sentences(
    model: Transformer, tokenizer: WordPieceTokenizer, texts: Sequence[str], batch: int = 32
) -> Tensor:
    """One unit vector for each text, (N, D): the mean of its tokens' states.

    A text is cut to 256 tokens; an empty one has the vector of its [CLS] and [SEP]. Texts of like
    length are computed together, so that little of a batch is padding.
    Raises: ValueError if there is no text, `texts` is one text, or there is no tokenizer.
    Source: Reimers & Gurevych 2019 (mean pooling); the cut is the published model's own.
    """
    if isinstance(texts, str):  # a sequence of its letters
        raise ValueError(f"texts={texts!r:.60} is one text; for one text write [{texts!r:.60}].")
    if not texts:
        raise ValueError("texts is empty; pass at least one sentence.")
    check_tokenizer(tokenizer)
    encoded = [truncate(tokenizer.encode(text), MAX_TOKENS) for text in texts]
    order = torch.tensor([len(ids) for ids in encoded]).argsort(stable=True)
    vectors = []
    for rows in order.split(batch):
        ids, padding_mask = pad_batch([encoded[row] for row in rows])
        # (B, 1, T) hides padding from every query; the mean leaves it out once more.
        vectors.append(mean_pool(model.states(ids, padding_mask[:, None]), padding_mask))
    in_order = torch.cat(vectors)[order.argsort()]
    return F.normalize(in_order, dim=-1)  # unit vectors: a dot product is their cosine


def truncate(ids: list[int], max_tokens: int) -> list[int]:
    """At most that many tokens; the last one, BERT's [SEP], stays."""
    return ids if len(ids) <= max_tokens else [*ids[: max_tokens - 1], ids[-1]]
