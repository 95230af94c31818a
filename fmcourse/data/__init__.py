"""The data that ship with the course, each with a card and fixed splits, checked before use.

    load(name)          a data set: train, validation, test, and its card
    names(), card(name) which there are; origin, licence, size and limits of one
    table(name)         measurements that a recipe made
    checkpoint(name)    weights that a recipe trained
    verify()            is every file the one that shipped?

Whole works are train, validation or test: a model is never asked about the second half of a play
whose first half it was trained on. Reading cards and texts needs no torch.
"""

from fmcourse.data.artifacts import Checkpoint, checkpoint, checksum, table, table_files
from fmcourse.data.catalog import DataError, card, folder, load, names
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
)
from fmcourse.data.verification import FileCheck, verify, verify_table

__all__ = [
    "BETWEEN_WORKS",
    "SPLITS",
    "Article",
    "Checkpoint",
    "CookbookRecipe",
    "Corpus",
    "Country",
    "DataError",
    "Definition",
    "FileCheck",
    "Pronunciation",
    "QuestionAnswer",
    "RecordDataset",
    "SentimentWord",
    "Synonym",
    "TaggedSentence",
    "TaskExample",
    "Work",
    "card",
    "checkpoint",
    "checksum",
    "folder",
    "load",
    "names",
    "table",
    "table_files",
    "verify",
    "verify_table",
]
