"""The kinds of data sets: how a file of each kind is read, and what is counted in it.

`kind = "questions"` in data/manifest.toml picks the row of `KINDS`. A new data set of a kind that
is listed here needs no code in the package. A new kind of item is a record class in records.py and
one row here.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from fmcourse.data.records import (
    BETWEEN_WORKS,
    SPLITS,
    Article,
    CookbookRecipe,
    Corpus,
    Country,
    Definition,
    Pronunciation,
    QuestionAnswer,
    RecordDataset,
    SentimentWord,
    Synonym,
    TaggedSentence,
    TaskExample,
    Work,
    read_records,
    read_works,
)

MOST_TITLES = 100  # of more works than this the manifest says how many there are, not their titles


class Kind(NamedTuple):
    """How data sets of one kind are read and counted.

    read     (name, unpacked file, card) -> the data set, which has `train`, `validation` and `test`
    count    the data set, a split's name -> what the manifest says of that split
    """

    read: Callable[[str, bytes, str], Any]
    count: Callable[[Any, str], dict[str, Any]]


# Readers: the imports inside are late because images and sound need torch, texts and cards do not.


def texts(work: type[Work]) -> Kind:
    """Works of one class, joined to one long text for each split."""

    def read(name: str, contents: bytes, card: str) -> Corpus:
        works = read_works(contents, work)
        joined = {
            split: BETWEEN_WORKS.join(one.text for one in works if one.split == split)
            for split in SPLITS
        }
        by_title = MappingProxyType({one.title: one for one in works})
        return Corpus(name=name, **joined, works=by_title, card=card)

    return Kind(read, count_text)


def count_text(corpus: Corpus, split: str) -> dict[str, Any]:
    """How much text a split holds, and in which works."""
    text, titles = getattr(corpus, split), [work.title for work in corpus.works_in(split)]
    size = {
        "works": len(titles),
        "characters": len(text),
        "bytes": len(text.encode()),
        "words": len(text.split()),
    }
    return size | ({"titles": titles} if len(corpus.works) <= MOST_TITLES else {})


def records(record: type, **counts: Callable[[Sequence[Any]], int]) -> Kind:
    """Records of one class; each count is a function of a split's records."""

    def read(name: str, contents: bytes, card: str) -> RecordDataset:
        return RecordDataset(name=name, **read_records(contents, record), card=card)

    def count(dataset: RecordDataset, split: str) -> dict[str, int]:
        return {word: measure(getattr(dataset, split)) for word, measure in counts.items()}

    return Kind(read, count)


def read_image_dataset(name: str, contents: bytes, card: str) -> Any:
    """An `ImageDataset`."""
    from fmcourse.data.images import ImageDataset, read_images

    names_of, splits = read_images(contents)
    return ImageDataset(name=name, **names_of, **splits, card=card)


def count_images(dataset: Any, split: str) -> dict[str, int]:
    return {"images": len(getattr(dataset, split))}


def read_speech_dataset(name: str, contents: bytes, card: str) -> RecordDataset:
    """A `RecordDataset` of `Utterance`s."""
    from fmcourse.data.speech import read_utterances

    return RecordDataset(name=name, **read_utterances(contents), card=card)


def count_speech(dataset: RecordDataset, split: str) -> dict[str, int]:
    from fmcourse.data.speech import SAMPLE_RATE

    spoken = getattr(dataset, split)
    n_samples = sum(len(utterance.samples) for utterance in spoken)
    return {"utterances": len(spoken), "seconds": n_samples // SAMPLE_RATE}


# The table ----------------------------------------------------------------------------------------


def n_words(texts: Sequence[str]) -> int:
    """How many words, separated by spaces, some texts have together."""
    return sum(len(text.split()) for text in texts)


KINDS: Mapping[str, Kind] = {
    "texts": texts(Work),
    "cookbook": texts(CookbookRecipe),
    "pronunciations": records(
        Pronunciation,
        words=len,
        letters=lambda pairs: sum(len(pair.word) for pair in pairs),
        sounds=lambda pairs: sum(len(pair.sounds) for pair in pairs),
    ),
    "tagged sentences": records(
        TaggedSentence,
        sentences=len,
        # A name is counted where it begins; its further words are tagged I-.
        names=lambda found: sum(tag.startswith("B-") for item in found for tag in item.tags),
        words=lambda found: sum(len(item.words) for item in found),
    ),
    "questions": records(
        QuestionAnswer,
        questions=len,
        passages=lambda asked: len({item.passage for item in asked}),
    ),
    "definitions": records(
        Definition,
        definitions=len,
        topics=lambda defined: len({item.topic for item in defined}),
        words=lambda defined: n_words([item.text for item in defined]),
    ),
    "articles": records(
        Article,
        articles=len,
        topics=lambda articles: len({item.topic for item in articles if item.topic}),
        words=lambda articles: n_words([item.text for item in articles]),
    ),
    "country reports": records(
        Country,
        countries=len,
        fields=lambda countries: sum(len(country.fields) for country in countries),
        words=lambda countries: n_words([country.text for country in countries]),
    ),
    "synonyms": records(
        Synonym,
        synonyms=len,
        words=lambda synonyms: len({item.word for item in synonyms}),
    ),
    "sentiment words": records(
        SentimentWord,
        words=len,
        letters=lambda rated: sum(len(item.text) for item in rated),
    ),
    "task examples": records(
        TaskExample,
        examples=len,
        tasks=lambda examples: len({item.task for item in examples}),
    ),
    "images": Kind(read_image_dataset, count_images),
    "speech": Kind(read_speech_dataset, count_speech),
}
