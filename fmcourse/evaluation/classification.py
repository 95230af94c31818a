"""Precision, recall and F1: of class labels, of named entities and of extracted answers."""

import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from fmcourse.evaluation.statistics import zip_same_length


@dataclass(frozen=True)
class PrecisionRecallF1:
    """Precision: share of the predicted that is correct. Recall: share of the expected that was
    predicted. F1: their harmonic mean."""

    precision: float
    recall: float
    f1: float

    @classmethod
    def from_counts(cls, correct: int, predicted: int, expected: int) -> "PrecisionRecallF1":
        """Zero where nothing was predicted, expected or correct."""
        precision, recall = correct / max(1, predicted), correct / max(1, expected)
        # The harmonic mean 2 P R / (P + R), written so that P = R = 0 does not divide by 0.
        return cls(precision, recall, 2 * correct / max(1, predicted + expected))


def macro_f1(predicted: Sequence[int], expected: Sequence[int]) -> float:
    """The mean over all classes of their F1: a rare class counts as much as a common one.

    A class counts if it was predicted or expected at least once.
    Raises: ValueError for lists of different lengths, or empty ones.

    >>> macro_f1([0, 0, 1, 1], [0, 0, 0, 1])     # F1 of class 0: 4/5, of class 1: 2/3
    0.7333333333333334
    """
    pairs = Counter(zip_same_length(predicted, expected))  # the confusion matrix
    classes = sorted({label for pair in pairs for label in pair})
    n_predicted, n_expected = Counter(predicted), Counter(expected)
    scores = [
        PrecisionRecallF1.from_counts(pairs[label, label], n_predicted[label], n_expected[label])
        for label in classes
    ]
    return sum(score.f1 for score in scores) / len(classes)


def entity_spans(tags: Sequence[str]) -> set[tuple[str, int, int]]:
    """The named entities of a tagged sentence: type, first word, and the one after the last.

    Tags are O outside, B-TYPE where an entity begins, I-TYPE inside it. An I-TYPE after O or after
    another type begins an entity as well, as the CoNLL tasks count. Source: Ramshaw & Marcus 1995.
    Raises: ValueError for any other tag.

    >>> sorted(entity_spans(["B-PERSON", "I-PERSON", "O", "B-PLACE"]))
    [('PERSON', 0, 2), ('PLACE', 3, 4)]
    """
    spans, begin, entity = set(), 0, ""
    for index, tag in enumerate([*tags, "O"]):  # one O more closes an entity at the end
        if tag != "O" and (tag[:2] not in ("B-", "I-") or not tag[2:]):
            raise ValueError(
                f"tag {tag!r} at {index} is not known; give 'O', 'B-TYPE' or 'I-TYPE'."
            )
        if tag != f"I-{entity}":  # anything but a continuation ends the entity
            if entity:
                spans.add((entity, begin, index))
            begin, entity = index, tag[2:]  # outside it is empty
    return spans


def entity_scores(
    predicted: Sequence[Sequence[str]], expected: Sequence[Sequence[str]]
) -> PrecisionRecallF1:
    """Precision, recall and F1 of the entities of many sentences, each a list of tags.

    An entity is correct only with the right type, beginning and end.
    Raises: ValueError if sentences differ in number or length.
    Source: Tjong Kim Sang & De Meulder 2003.
    """
    correct = n_predicted = n_expected = 0
    for ours, theirs in zip_same_length(predicted, expected):
        zip_same_length(ours, theirs)  # raises if the lengths differ
        found, wanted = entity_spans(ours), entity_spans(theirs)
        correct += len(found & wanted)
        n_predicted += len(found)
        n_expected += len(wanted)
    return PrecisionRecallF1.from_counts(correct, n_predicted, n_expected)


def answer_scores(predicted: str, expected: str) -> tuple[bool, float]:
    """Exact match and word F1 of an extracted answer; case, punctuation and articles do not count.

    Source: Rajpurkar et al. 2016, section 6.1.

    >>> answer_scores("the Black Sea", "Black Sea."), answer_scores("in 1066", "1066")
    ((True, 1.0), (False, 0.6666666666666666))
    """
    ours, theirs = normalize_answer(predicted), normalize_answer(expected)
    if not ours or not theirs:  # two empty answers agree, but their F1 would be 0
        return ours == theirs, float(ours == theirs)
    shared = (Counter(ours) & Counter(theirs)).total()  # the smaller count of each word
    return ours == theirs, PrecisionRecallF1.from_counts(shared, len(ours), len(theirs)).f1


def normalize_answer(text: str) -> list[str]:
    """Its words, without case, punctuation and articles."""
    kept = "".join(c for c in text.lower() if c not in string.punctuation)
    return [word for word in kept.split() if word not in ("a", "an", "the")]
