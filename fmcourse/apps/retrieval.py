"""Retrieval: the passages of a collection that belong to a query, by words, by meaning, or by both.

    N passages   Q queries   D width of an embedding

Each retriever has `rank(query, k)`, the positions of the k best passages, the best first.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from fmcourse.pretrained import embed_sentences, load

Embed = Callable[[Sequence[str]], Tensor]  # N texts -> unit vectors (N, D)

SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


class Ranker(Protocol):
    def rank(self, query: str, k: int = 10) -> list[int]: ...


# -- chunks ---------------------------------------------------------------------------------------


def chunk_text(text: str, words: int = 80, overlap: int = 1) -> list[str]:
    """A text as passages of whole sentences.

    Args:
        words: a passage has at most so many, unless a single sentence has more.
        overlap: last sentences of a passage with which the next one begins, as far as they fit.
    Raises: ValueError for sizes that make no sense.

    >>> chunk_text("One two. Three four. Five six.", words=4, overlap=1)
    ['One two. Three four.', 'Three four. Five six.']
    """
    if words < 1 or overlap < 0:
        raise ValueError(f"words={words} must be at least 1, and overlap={overlap} at least 0.")
    chunks: list[list[str]] = []
    for sentence in filter(None, SENTENCE_END.split(text.strip())):
        if chunks and count_words([*chunks[-1], sentence]) <= words:
            chunks[-1].append(sentence)
            continue
        shared = chunks[-1][-overlap:] if chunks and overlap else []
        while shared and count_words([*shared, sentence]) > words:
            shared = shared[1:]
        chunks.append([*shared, sentence])
    return [" ".join(chunk) for chunk in chunks]


def count_words(sentences: Sequence[str]) -> int:
    return sum(len(sentence.split()) for sentence in sentences)


# -- by words -------------------------------------------------------------------------------------


def split_words(text: str) -> list[str]:
    """Lower-case words and numbers.

    >>> split_words("The U.S. won 4-0.")
    ['the', 'u', 's', 'won', '4', '0']
    """
    return re.findall(r"\w+", text.lower())


class BM25:
    """Best match 25: rare words count more, repeated ones less and less, long passages less.

    score = Σ idf(w) · tf / (tf + k1 (1 - b + b · length / mean length)), over the query's words w,
    with tf the count of w in the passage and idf(w) = ln(1 + (N - n_w + .5) / (n_w + .5)), where
    n_w passages hold w. Robertson & Zaragoza 2009, in the form of Lucene (Kamphuis et al. 2020).
    """

    def __init__(
        self,
        passages: Sequence[str],
        k1: float = 1.5,
        b: float = 0.75,
        words: Callable[[str], list[str]] = split_words,
    ) -> None:
        """Raises: ValueError if there is no passage, or it is one text."""
        check_passages(passages)
        self.n, self.words = len(passages), words
        counts = [Counter(words(passage)) for passage in passages]
        self.vocabulary: dict[str, int] = {}
        entries = [  # one for each word of each passage
            (self.vocabulary.setdefault(word, len(self.vocabulary)), n, times)
            for n, count in enumerate(counts)
            for word, times in count.items()
        ]
        word, at, tf = torch.tensor(entries, dtype=torch.long).view(-1, 3).T
        n_w = word.bincount(minlength=len(self.vocabulary))  # passages that hold each word
        idf = torch.log(1 + (self.n - n_w + 0.5) / (n_w + 0.5))
        lengths = torch.tensor([float(count.total()) for count in counts])
        norm = k1 * (1 - b + b * lengths / lengths.mean().clamp(min=1e-9))  # (N,)
        order = word.argsort()  # the entries of one word stand together
        self.at = at[order]
        self.weights = (idf[word] * tf / (tf + norm[at]))[order]
        self.starts = [0, *n_w.cumsum(0).tolist()]

    def scores(self, query: str) -> Tensor:
        """Of each passage, (N,); 0 for one that holds no word of the query."""
        total = torch.zeros(self.n)
        for word in self.words(query):  # a word that stands twice counts twice
            if (number := self.vocabulary.get(word)) is not None:
                span = slice(self.starts[number], self.starts[number + 1])
                total[self.at[span]] += self.weights[span]
        return total

    def rank(self, query: str, k: int = 10) -> list[int]:
        """Positions of the best passages; fewer than k if fewer hold a word of the query."""
        scores = self.scores(query)
        return [n for n in best(scores, k) if scores[n] > 0]


# -- by meaning -----------------------------------------------------------------------------------


def minilm_embedder(batch: int = 32) -> Embed:
    """MiniLM as a function from texts to unit vectors (N, 384)."""
    return partial(embed_sentences, *load("minilm-l6"), batch=batch)


class DenseIndex:
    """Passages by the cosine of their embeddings with the query's. Karpukhin et al. 2020."""

    def __init__(
        self, passages: Sequence[str], embed: Embed, vectors: Tensor | None = None
    ) -> None:
        """
        Args:
            vectors: (N, D), the passages' embeddings if they were computed before.
        Raises: ValueError if there is no passage, or the vectors are those of others.
        """
        check_passages(passages)
        self.embed = embed
        self.vectors = embed(passages) if vectors is None else vectors
        if len(self.vectors) != len(passages):
            raise ValueError(
                f"{len(self.vectors)} vectors for {len(passages)} passages; give one for each."
            )

    def scores(self, query: str) -> Tensor:
        """Cosine of each passage with the query, (N,)."""
        return self.vectors @ self.embed([query])[0]

    def rank(self, query: str, k: int = 10) -> list[int]:
        """Positions of the k nearest passages. There are always k, however far they are."""
        return best(self.scores(query), k)


# -- by both --------------------------------------------------------------------------------------


def reciprocal_rank_fusion(rankings: Sequence[Sequence[int]], constant: int = 60) -> list[int]:
    """One ranking out of several: score Σ 1 / (constant + rank), the first rank being 1.

    It asks for ranks alone, so scores of different kinds need no common scale. Cormack et al. 2009.

    >>> reciprocal_rank_fusion([[7, 3, 5], [3, 9]])
    [3, 7, 9, 5]
    """
    scores: Counter[int] = Counter()
    for ranking in rankings:
        for rank, item in enumerate(ranking, 1):
            scores[item] += 1 / (constant + rank)
    return [item for item, _ in scores.most_common()]  # equal scores: the first seen first


class Hybrid:
    """Several retrievers of the same passages, fused by their ranks."""

    def __init__(self, rankers: Sequence[Ranker], depth: int = 50) -> None:
        """depth: how many of each retriever's passages are fused."""
        self.rankers, self.depth = rankers, depth

    def rank(self, query: str, k: int = 10) -> list[int]:
        depth = max(k, self.depth)
        return reciprocal_rank_fusion([each.rank(query, depth) for each in self.rankers])[:k]


# -- how well -------------------------------------------------------------------------------------


def recall_at_k(rankings: Sequence[Sequence[int]], relevant: Sequence[set[int]], k: int) -> float:
    """Mean share of the relevant passages that are among the first k, over Q queries.

    Raises: ValueError for lists of different lengths, none, or a query without relevant passage.

    >>> recall_at_k([[4, 2, 0], [1, 3, 5]], [{2}, {5}], k=2)
    0.5
    """
    if len(rankings) != len(relevant) or not relevant or not all(relevant):
        raise ValueError(
            f"{len(rankings)} rankings and {len(relevant)} sets of relevant passages; give as many "
            "of each, at least one, and none without a passage."
        )
    shares = [
        len(wanted & set(found[:k])) / len(wanted)
        for found, wanted in zip(rankings, relevant, strict=True)
    ]
    return math.fsum(shares) / len(shares)


def best(scores: Tensor, k: int) -> list[int]:
    """Positions of the k highest scores; of equal ones the earlier first."""
    if k < 1:
        raise ValueError(f"k={k} must be at least 1.")
    lowest = scores.topk(min(k, len(scores))).values[-1]
    candidates = (scores >= lowest).nonzero()[:, 0]  # more than k if some are equal
    order = scores[candidates].sort(descending=True, stable=True).indices[:k]
    return candidates[order].tolist()


def check_passages(passages: Sequence[str]) -> None:
    if isinstance(passages, str) or not passages:
        raise ValueError(f"passages={passages!r:.60} must be a list of at least one text.")
