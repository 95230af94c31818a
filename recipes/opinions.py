"""Make opinions.jsonl.gz: words that people call good or bad.

Source    vaderSentiment 3.3.2, vader_lexicon.txt, rated by ten people each; Debian wordnet-base
          1:3.0-37 to know what is a word
Licence   MIT (vaderSentiment, Copyright (c) 2016 C.J. Hutto)
Run       python recipes/opinions.py OUT
Takes     a few seconds; Debian or Ubuntu

Taken is what all ten raters put on the same side of zero, CLEAR or more from it on average; what
WordNet has an entry for, in small letters (no emoticons, no names, no abbreviations, one form of a
word); and what it does not call an insult or crude in any meaning. Words that share their first
LETTERS letters, or of which one begins with the other, are in one split. As many good as bad ones
are kept.
"""

import ast
import re
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from common import download_wheel, unpack_debian, write_records
from topics import PACKAGE, UNFIT, stable_hash

LEXICON = (
    "vaderSentiment==3.3.2",
    "3bf1d243b98b1afad575b9f22bc2cb1e212b94ff89ca74f8a23a588d024ea311",
)
FILE = "vaderSentiment/vader_lexicon.txt"
WORDNET = "usr/share/wordnet"
CLEAR, LETTERS = 1.5, 4  # of at most 4, as the raters were asked; letters that make two words kin
CRUDE = r"bitch|bastard|slut|whore|damn|crap|piss|retard"  # which WordNet lists without a warning


def clear_opinions(lexicon: str) -> Iterator[tuple[str, str]]:
    """Words with a clear opinion, and which.

    >>> good = "good\\t1.9\\t0.9\\t[2, 1, 1, 3, 2, 4, 2, 2, 1, 1]"
    >>> list(clear_opinions(good + "\\nso-so\\t0.1\\t1.0\\t[1, -1, 0, 0, 1, 0, 0, 0, 0, 0]"))
    [('good', 'positive')]
    """
    for line in filter(None, lexicon.split("\n")):
        word, mean, _, votes = line.split("\t")
        agreed = len(
            {vote > 0 for vote in ast.literal_eval(votes)}
        ) == 1 and 0 not in ast.literal_eval(votes)
        if re.fullmatch("[a-z]{3,}", word) and agreed and abs(float(mean)) >= CLEAR:
            yield word, "positive" if float(mean) > 0 else "negative"


def wordnet_words(folder: Path) -> set[str]:
    """The words that WordNet has an entry for, but for those with an unfit meaning."""
    words, unfit = set(), set()
    for path in folder.glob("data.*"):
        for line in (
            line for line in path.read_text("utf-8").splitlines() if not line.startswith("  ")
        ):
            facts, _, gloss = line.partition(" | ")
            _, _, _, count, *rest = facts.split()
            found = {re.sub(r"\(.*", "", word) for word in rest[: 2 * int(count, 16) : 2]}
            words |= found
            unfit |= found if re.search(UNFIT, gloss) else set()
    return {word for word in words - unfit if not re.search(CRUDE, word)}


def families(words: Iterable[str]) -> dict[str, str]:
    """Each word with the first of its kin.

    >>> families(["sad", "sadden", "saddle", "good"])
    {'good': 'good', 'sad': 'sad', 'sadden': 'sad', 'saddle': 'sad'}
    """
    found: dict[str, str] = {}
    for word in sorted(words):
        begins = (found[word[:n]] for n in range(3, len(word)) if word[:n] in found)
        alike = (found[other] for other in found if other[:LETTERS] == word[:LETTERS])
        found[word] = next(begins, next(alike, word))
    return found


def split_of(family: str) -> str:
    """Of ten families five train, two validation, three test: few labels are enough, and a test of
    hundreds tells more.
    """
    return (
        "train"
        if (place := stable_hash(family) % 10) < 5
        else "validation"
        if place < 7
        else "test"
    )


def balance_labels(opinions: dict[str, str]) -> list[dict[str, str]]:
    """Lines of the file, in each split as many of one label as of the other, chosen by a hash."""
    kin, groups = families(opinions), defaultdict(list)
    for word, label in opinions.items():
        groups[split_of(kin[word]), label].append(word)
    most = {
        split: min(len(groups[split, label]) for label in ("positive", "negative"))
        for split, _ in groups
    }
    kept = {
        word
        for (split, _), words in groups.items()
        for word in sorted(words, key=stable_hash)[: most[split]]
    }
    return [
        {"split": split_of(kin[word]), "text": word, "label": opinions[word]}
        for word in sorted(kept)
    ]


def main(out: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        there = wordnet_words(unpack_debian(*PACKAGE, Path(folder)) / WORDNET)
    opinions = dict(clear_opinions(download_wheel(*LEXICON).read(FILE).decode()))
    works = balance_labels({word: label for word, label in opinions.items() if word in there})
    write_records(out / "opinions.jsonl.gz", works)
    print(Counter((work["split"], work["label"]) for work in works))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
