"""Searching ten thousand passages: our BM25 beside bm25s, our vectors beside a plain product.

Run   python -m benchmarks retrieval     Takes   about a minute on one core

The passages are pieces of Wikipedia's introductions, at most 60 words each; the queries are
descriptions of other articles, one at a time, and the first ten passages are wanted. Both BM25 get
the same words, split by our `split_words`, and the same formula (Lucene's); bm25s runs with its
default backend, numpy. The scores of the ten must agree. The vectors are random, of MiniLM's width;
what it costs to embed a query is left out, since both sides would pay it. The peer there is what
one writes without a library: a matrix product with numpy or torch, and the ten largest.
"""

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import bm25s
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.rows import Row, row, side_by_side
from fmcourse.apps.retrieval import BM25, DenseIndex, chunk_text, split_words
from fmcourse.data import load

PASSAGES, QUERIES, WIDTH, ROUNDS, K = 10_000, 200, 384, 3, 10
Scores = Callable[[], Sequence[Sequence[float]]]


def wikipedia_passages(n: int, n_queries: int) -> tuple[list[str], list[str]]:
    """The first n passages of the training articles, and descriptions of test articles."""
    data = load("wikipedia")
    every = (passage for article in data.train for passage in chunk_text(article.text, words=60))
    queries = [article.description for article in data.test if article.description]
    return list(islice(every, n)), queries[:n_queries]


def index_peer(passages: Sequence[str]) -> Any:
    """bm25s's index of the same words by the same formula."""
    index = bm25s.BM25(k1=1.5, b=0.75, method="lucene")
    index.index([split_words(passage) for passage in passages], show_progress=False)
    return index


def compare(works: dict[str, Scores], tolerance: float) -> None:
    """Raises: AssertionError if the two find passages of other scores."""
    ours, peer = (torch.tensor(np.array(list(work()))) for work in works.values())
    if not torch.allclose(ours.float(), peer.float(), atol=tolerance):
        raise AssertionError("the two find other passages, so their times cannot be compared.")


def word_rows(passages: list[str], queries: list[str], rounds: int) -> list[Row]:
    """Building the index, and searching it."""
    indexing = {"ours": lambda: BM25(passages), "peer": lambda: index_peer(passages)}
    ours, peer = side_by_side(indexing, rounds, warm_up=0).values()
    n, what = len(passages), f"BM25, index {len(passages):,} passages; peer is bm25s"
    rows = [row(what, n / ours, n / peer, peer / ours, "passages/s")]
    index, theirs = BM25(passages), index_peer(passages)

    def search() -> list[list[int]]:
        return [index.rank(query, K) for query in queries]

    def search_peer() -> list[Any]:
        return [
            theirs.retrieve([split_words(query)], k=K, show_progress=False).scores[0]
            for query in queries
        ]

    best = {
        "ours": lambda: [index.scores(query).topk(K).values.tolist() for query in queries],
        "peer": search_peer,
    }
    compare(best, tolerance=1e-3)
    ours, peer = side_by_side({"ours": search, "peer": search_peer}, rounds).values()
    n, what = len(queries), f"BM25, the first {K} of {len(passages):,} passages; peer is bm25s"
    return [*rows, row(what, n / ours, n / peer, peer / ours, "queries/s")]


def vector_rows(n: int, n_queries: int, rounds: int) -> list[Row]:
    """The nearest of n vectors, with numpy and with torch as the peer."""
    generator = torch.Generator().manual_seed(0)
    vectors, queries = (
        F.normalize(torch.randn(count, WIDTH, generator=generator), dim=1)
        for count in (n, n_queries)
    )
    index = DenseIndex(["-"] * n, lambda rows: queries[[int(rows[0])]], vectors)
    names, array, asked = list(map(str, range(n_queries))), vectors.numpy(), queries.numpy()

    def by_numpy(query: np.ndarray) -> list[int]:
        scores = array @ query
        first = np.argpartition(-scores, K)[:K]
        return first[np.argsort(-scores[first])].tolist()

    def by_torch(query: Tensor) -> list[int]:
        return (vectors @ query).topk(K).indices.tolist()

    works = {
        "ours": lambda: [index.rank(name, K) for name in names],
        "numpy": lambda: [by_numpy(query) for query in asked],
        "torch": lambda: [by_torch(query) for query in queries],
    }
    if not works["ours"]() == works["numpy"]() == works["torch"]():
        raise AssertionError("the three find other vectors, so their times cannot be compared.")
    seconds = side_by_side(works, rounds)
    rate = {name: n_queries / value for name, value in seconds.items()}
    what = f"vectors, the first {K} of {n:,} of width {WIDTH}; peer is a product in"
    return [
        row(f"{what} {name}", rate["ours"], rate[name], rate["ours"] / rate[name], "queries/s")
        for name in ("numpy", "torch")
    ]


def main(small: bool = False) -> list[Row]:
    """Passages and queries a second, and their ratios."""
    n, n_queries, rounds = (200, 5, 1) if small else (PASSAGES, QUERIES, ROUNDS)
    passages, queries = wikipedia_passages(n, n_queries)
    return word_rows(passages, queries, rounds) + vector_rows(n, n_queries, 3 * rounds)
