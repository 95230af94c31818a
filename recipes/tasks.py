"""Make tasks.jsonl.gz: six small tasks in which one word is given and one is the answer.

Source    PyPI lemminflect 0.2.3 (past tenses, plurals), Debian wordnet-base 1:3.0-37 (antonyms, and
          how common a word is), npm cldr-annotations-full 48.2.0 (English and French names),
          countries.jsonl.gz, which ships (capitals)
Licence   MIT; WordNet 3.0; Unicode-3.0; public domain
Run       python recipes/tasks.py OUT
Takes     about ten seconds; Debian or Ubuntu; needs npm

By rule, none picked and none dropped by hand. Words are in small letters, of three to twelve;
verbs, nouns and adjectives are the most common ones in the texts that WordNet's makers tagged, EACH
of a task at most. Where two answers are right, the task has neither. Five of ten go to train, two
to validation, three to test, by a hash; hot and cold, each the answer to the other, are in one
split.
"""

import csv
import gzip
import io
import json
import re
import sys
import tarfile
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from common import download_file, download_wheel, unpack_debian, write_records
from synonyms import FOLDER, lines
from topics import PACKAGE, UNFIT, stable_hash

from fmcourse.data import SPLITS, load

FORMS = "lemminflect==0.2.3", "1cf470efa783733ca5654cc1a6ee1de774e59031e61bf6210467625e84a8cf1c"
NAMES = (
    "cldr-annotations-full@48.2.0",
    "28576e51225deb51e3ddd734b0f824a0079682cb5d8c27faa9f68149317a14d1",
)
EACH = 320
WORD = re.compile("[a-z]{3,12}")
KINDS = {
    "n": "1",
    "v": "2",
    "a": "35",
}  # parts of speech as cntlist.rev numbers them: 5 are adjectives that lean on another
Pairs = list[tuple[str, str]]


def common_words(folder: Path, kind: str) -> list[str]:
    """The words of a part of speech, the most common first, each by what it mostly is: "like" is a
    verb and no noun.
    """
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for line in (folder / "cntlist.rev").read_text("utf-8").splitlines():
        key, _, count = line.split()
        word, _, rest = key.partition("%")
        counts[word][rest[0]] += int(count)
    mine = {
        word: sum(count[one] for one in KINDS[kind])
        for word, count in counts.items()
        if WORD.fullmatch(word)
    }
    mostly = [word for word, n in mine.items() if 2 * n > counts[word].total()]
    return sorted(mostly, key=lambda word: (-mine[word], word))


def forms(table: str, kind: str) -> dict[str, list[list[str]]]:
    """The forms of each word of a part of speech, and for each form the ways to spell it.

    >>> forms("go,verb,went,gone,going,goes\\nfish,noun,fish/fishes", "noun")
    {'fish': [['fish', 'fishes']]}
    """
    rows = csv.reader(io.StringIO(table))
    return {word: [form.split("/") for form in rest] for word, one, *rest in rows if one == kind}


def inflections(common: Iterable[str], table: dict[str, list[list[str]]]) -> Pairs:
    """Common words with the first of their forms, where there is one way to spell it and it is
    another word.
    """
    first = ((word, table[word][0]) for word in common if table.get(word))
    found = [(word, form[0]) for word, form in first if len(form) == 1]
    return [(word, form) for word, form in found if WORD.fullmatch(form) and form != word][:EACH]


def antonyms(folder: Path, common: list[str]) -> Pairs:
    """Adjectives, both among the common ones, and both each other's only opposite."""
    entries, opposite = {}, defaultdict(set)
    for line in lines(folder / "data.adj"):
        facts, _, gloss = line.partition(" | ")
        place, _, _, count, *rest = facts.split()
        words = [re.sub(r"\(.*", "", word) for word in rest[: 2 * int(count, 16) : 2]]
        entries[place] = words, rest[2 * int(count, 16) + 1 :], re.search(UNFIT, gloss)
    for words, pointers, unfit in entries.values():
        for sign, place, kind, which in zip(*[iter(pointers)] * 4, strict=False):
            if sign == "!" and kind == "a" and not unfit:
                opposite[words[int(which[:2], 16) - 1]].add(
                    entries[place][0][int(which[2:], 16) - 1]
                )
    place = {word: n for n, word in enumerate(common)}
    both = [(one, *opposite[one]) for one in common if len(opposite[one]) == 1]
    known = [(one, other) for one, other in both if other in place and opposite[other] == {one}]
    return sorted(known, key=lambda pair: sorted((place[pair[0]], place[pair[1]]))[::-1])[:EACH]


def french() -> Pairs:
    """What CLDR calls an emoji or a sign in English and in French, where both are one word and not
    the same one.
    """
    with tarfile.open(
        fileobj=io.BytesIO(download_file(["npm", "pack", "--silent", NAMES[0]], "*.tgz", NAMES[1]))
    ) as file:

        def read(code):
            return json.load(file.extractfile(f"package/annotations/{code}/annotations.json"))

        english, other = (read(code)["annotations"]["annotations"] for code in ("en", "fr"))
    said: dict[str, set[str]] = defaultdict(set)
    for sign in english.keys() & other.keys():
        if "tts" in english[sign] and "tts" in other[sign]:
            said[english[sign]["tts"][0]].add(other[sign]["tts"][0])

    def fits(one, two):
        return WORD.fullmatch(one) and re.fullmatch("[a-zà-ÿœ]{3,14}", two) and one != two

    return [
        (one, *two)
        for one, two in sorted(said.items(), key=lambda pair: stable_hash(pair[0]))
        if len(two) == 1 and fits(one, *two)
    ][:EACH]


def capitals() -> Pairs:
    """Of the reports on countries, those that name one; not where the capital is called like the
    country.
    """
    every = [country for split in SPLITS for country in getattr(load("countries"), split)]
    known = [
        (country.name, country.fields["capital"])
        for country in every
        if "capital" in country.fields
    ]

    def plain(text):
        return re.fullmatch(r"[^\W\d_][\w'. -]{2,25}", text) and " in " not in text

    def fits(name, city):
        return plain(name) and plain(city) and name.split()[0] not in city

    return [(name, city) for name, city in known if fits(name, city)]


def tasks(folder: Path) -> Iterator[tuple[str, Pairs]]:
    """Each task and what is asked in it."""
    table = gzip.decompress(
        download_wheel(*FORMS).read("lemminflect/resources/infl_lu.csv.gz")
    ).decode()
    kinds = {kind: common_words(folder, kind) for kind in KINDS}
    opposites = antonyms(folder, kinds["a"])
    yield "capital", capitals()
    yield "antonym", opposites
    yield "past tense", inflections(kinds["v"], forms(table, "verb"))
    yield "plural", inflections(kinds["n"], forms(table, "noun"))
    yield "French", french()
    yield "first letter", [(word, word[0]) for word in sorted(kinds["a"][:EACH])]


def works(folder: Path) -> Iterator[dict[str, str]]:
    for task, pairs in tasks(folder):
        for given, answer in sorted(pairs):
            lot = stable_hash(min(given, answer) if task == "antonym" else given) % 10
            split = "train" if lot < 5 else "validation" if lot < 7 else "test"
            yield {"split": split, "task": task, "given": given, "answer": answer}


def main(out: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = list(works(unpack_debian(*PACKAGE, Path(folder)) / FOLDER))
    write_records(out / "tasks.jsonl.gz", found)
    print(Counter((work["task"], work["split"]) for work in found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
