"""Retrieval: chunks lose nothing, BM25 is the library's, and what is asked for is found."""

import importlib.util
import math
import random
import re

import pytest
import torch

from fmcourse.apps.retrieval import (
    BM25,
    DenseIndex,
    Hybrid,
    chunk_text,
    minilm_embedder,
    recall_at_k,
    reciprocal_rank_fusion,
    split_words,
)
from fmcourse.apps.toolbox import search_tool
from fmcourse.apps.tools import parse_call, run_tool
from fmcourse.data import load

ARTICLES = load("wikipedia").test[:300]
TEXTS = [article.text for article in ARTICLES]


def embed_letters(texts):
    rows = [[float(text.lower().count(chr(97 + n))) for n in range(26)] for text in texts]
    return torch.nn.functional.normalize(torch.tensor(rows), dim=-1)


# -- chunks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [1, 10, 40, 1000])
@pytest.mark.parametrize("overlap", [0, 1, 3])
def test_chunks_hold_every_sentence_in_order_and_keep_to_the_limit(words, overlap):
    for text in TEXTS[:50]:
        sentences = re.split(r"(?<=[.!?])\s+", text.strip())
        chunks = chunk_text(text, words, overlap)
        kept = []
        for chunk in chunks:
            parts = re.split(r"(?<=[.!?])\s+", chunk)
            assert len(chunk.split()) <= words or len(parts) == 1
            shared = next(
                n for n in range(len(parts), -1, -1) if kept[len(kept) - n :] == parts[:n]
            )
            assert shared <= overlap and shared < len(parts)
            kept += parts[shared:]
        assert kept == sentences


def test_chunks_share_as_many_sentences_as_fit():
    text = "a. b. c. d. e."
    assert chunk_text(text, 3, 0) == ["a. b. c.", "d. e."]
    assert chunk_text(text, 3, 1) == ["a. b. c.", "c. d. e."]
    assert chunk_text(text, 3, 2) == ["a. b. c.", "b. c. d.", "c. d. e."]
    assert chunk_text("", 3) == []
    with pytest.raises(ValueError, match="words=0 must be at least 1"):
        chunk_text(text, 0)


# -- BM25 -----------------------------------------------------------------------------------------


def score_by_formula(texts, query, k1, b):
    """The formula of BM25's docstring, word by word in double precision."""
    words = [split_words(text) for text in texts]
    mean = sum(map(len, words)) / len(words)
    scores = []
    for passage in words:
        score = 0.0
        for word in split_words(query):
            n_w, tf = sum(word in other for other in words), passage.count(word)
            idf = math.log(1 + (len(words) - n_w + 0.5) / (n_w + 0.5))
            score += idf * tf / (tf + k1 * (1 - b + b * len(passage) / mean))
        scores.append(score)
    return torch.tensor(scores)


@pytest.mark.parametrize(("k1", "b"), [(1.5, 0.75), (0.9, 0.4), (2.0, 0.0), (1.2, 1.0)])
@pytest.mark.parametrize(
    "query", ["the oldest city in the world", "the the the", "", "zzyzx", "Paris, zzyzx!"]
)
def test_bm25_is_its_formula(query, k1, b):
    expected = score_by_formula(TEXTS[:60], query, k1, b)
    torch.testing.assert_close(BM25(TEXTS[:60], k1, b).scores(query), expected)


@pytest.mark.skipif(
    importlib.util.find_spec("bm25s") is None, reason="bm25s is not installed: pip install bm25s"
)
@pytest.mark.parametrize(("k1", "b"), [(1.5, 0.75), (0.9, 0.4)])
def test_bm25_gives_the_scores_of_bm25s(k1, b):
    import bm25s

    theirs = bm25s.BM25(k1=k1, b=b, method="lucene")
    theirs.index([split_words(text) for text in TEXTS], show_progress=False)
    ours, rng = BM25(TEXTS, k1, b), random.Random(0)
    for _ in range(30):
        query = " ".join(rng.choices(split_words(rng.choice(TEXTS)), k=6))
        scores = torch.from_numpy(theirs.get_scores(split_words(query)))
        torch.testing.assert_close(ours.scores(query), scores.float())


def test_a_passage_without_a_word_of_the_query_is_not_ranked():
    index = BM25(["red fox", "blue fox", "green"])
    assert index.rank("red fox") == [0, 1] and index.rank("fox", 1) == [0]
    assert index.rank("bird") == [] and index.rank("GREEN!") == [2]
    with pytest.raises(ValueError, match="k=0 must be at least 1"):
        index.rank("red", 0)
    with pytest.raises(ValueError, match="must be a list of at least one text"):
        BM25("red fox")


def test_empty_passages_are_no_fault():
    assert BM25(["", ""]).rank("a") == [] and BM25(["", "a"]).rank("a") == [1]


# -- by meaning, by both --------------------------------------------------------------------------


def test_the_nearest_passages_come_first():
    index = DenseIndex(["abba", "cccc", "aaaa"], embed_letters)
    assert index.rank("aa") == [2, 0, 1] and index.rank("c", 1) == [1]
    given = DenseIndex(["abba", "cccc", "aaaa"], embed_letters, vectors=index.vectors)
    assert given.rank("aa") == [2, 0, 1]
    with pytest.raises(ValueError, match="3 vectors for 2 passages"):
        DenseIndex(["a", "b"], embed_letters, vectors=index.vectors)


def test_fused_ranks_are_sums_of_reciprocals():
    rankings, rng = [], random.Random(0)
    for _ in range(3):
        rankings.append(rng.sample(range(20), 10))
    fused = reciprocal_rank_fusion(rankings, constant=7)
    scores = {
        item: sum(1 / (7 + ranking.index(item) + 1) for ranking in rankings if item in ranking)
        for item in fused
    }
    assert set(fused) == set().union(*rankings)
    assert [scores[item] for item in fused] == sorted(scores.values(), reverse=True)
    assert reciprocal_rank_fusion([[3, 1, 2]]) == [3, 1, 2] and reciprocal_rank_fusion([]) == []


def test_a_hybrid_finds_what_either_finds():
    words, letters = BM25(TEXTS), DenseIndex(TEXTS, embed_letters)
    hybrid = Hybrid([words, letters], depth=5)
    found = hybrid.rank("a river in Africa", 10)
    assert set(found) <= {*words.rank("a river in Africa"), *letters.rank("a river in Africa")}
    both = [words.rank("a river in Africa", 10), letters.rank("a river in Africa", 10)]
    assert found == reciprocal_rank_fusion(both)[:10]


def test_recall_counts_the_relevant_among_the_first():
    rankings, relevant = [[1, 2, 3], [4, 5, 6]], [{3, 9}, {4}]
    assert [recall_at_k(rankings, relevant, k) for k in (1, 2, 3)] == [0.5, 0.5, 0.75]
    for wrong in ((rankings, relevant[:1]), ([], []), (rankings, [{1}, set()])):
        with pytest.raises(ValueError, match="give as many"):
            recall_at_k(*wrong, k=1)


# -- articles -------------------------------------------------------------------------------------


def test_articles_are_found_by_their_descriptions():
    asked = [n for n, article in enumerate(ARTICLES) if len(article.description) > 12]
    index = BM25([f"{article.title}. {article.text}" for article in ARTICLES])
    found = [index.rank(ARTICLES[n].description, 5) for n in asked]
    assert recall_at_k(found, [{n} for n in asked], 5) > 0.5  # 5 of 300 at random: 0.02


def test_the_search_tool_returns_the_article():
    index = BM25([f"{article.title}. {article.text}" for article in ARTICLES])
    tool = search_tool(ARTICLES, index.rank)
    call = f'{{"tool": "search", "arguments": {{"query": "{ARTICLES[7].title}"}}}}'
    text = run_tool(parse_call(call, {"search": tool})[0], seconds=30)
    assert text == f"{ARTICLES[7].title}: {ARTICLES[7].text}" and not tool.trusted
    assert tool.function("zzyzx") == "nothing found"


@pytest.mark.slow
def test_minilm_finds_by_meaning_what_words_do_not():
    passages = ["The feline slept on the sofa.", "Shares fell on Monday.", "He cooked rice."]
    index = DenseIndex(passages, minilm_embedder(batch=2))
    assert BM25(passages).rank("a cat dozing") == []
    assert index.rank("a cat dozing", 1) == [0] and index.rank("the stock market", 1) == [1]
