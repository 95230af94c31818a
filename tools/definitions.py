"""What a lesson names and cites: its terms with the sentences that define them, its references.

A term is bold at its first use, `**cross-entropy**`, in a sentence that says what it means; the
lesson's header lists its terms. References stand under `## References`, one a line, `- [1] ...`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from nbformat import NotebookNode

from fmcourse.course.terms import normal_form

BOLD = re.compile(r"\*\*(.+?)\*\*", re.DOTALL)
LABEL_END = re.compile(r"[.:!?]$")  # `**Change it:**` is a label and no term
HEADING = re.compile(r"^(#{2,3}) +(.+)$", re.MULTILINE)
SENTENCE_END = re.compile(r"(?<=[.!?:])(?<!e\.g\.)(?<!al\.)(?<!i\.e\.)\s+(?=[A-Z*`$“\"(])")
LINK = re.compile(r"\[([^\]]+)\]\([^)]*\)")
CITATION = re.compile(r"\s*\[(\d+)(?:,[^\[\]]*)?\](?!\()")
REFERENCE = re.compile(r"^- \[(\d+)\] (.+)$")
REFERENCES = "## References"
ITALIC, YEAR, ADDRESS = re.compile(r"\*[^*]+\*"), re.compile(r"\b(1[89]|20)\d\d\b"), "http"


@dataclass(frozen=True)
class Definition:
    """Where a term is defined: the section's heading, and the sentence as plain text."""

    term: str
    section: str
    sentence: str


@dataclass(frozen=True)
class Reference:
    """An entry under References."""

    number: int
    text: str


def is_reading_cell(cell: NotebookNode) -> bool:
    """Is it the reading path, which the build adds?"""
    return "reading" in cell.metadata.get("fmcourse", {})


def text_cells(cells: Iterable[NotebookNode]) -> list[str]:
    """The text cells, those that the build adds left out."""
    return [
        cell.source for cell in cells if cell.cell_type == "markdown" and not is_reading_cell(cell)
    ]


def bold_phrases(cells: Iterable[NotebookNode]) -> list[tuple[str, str, str]]:
    """Every bold phrase that is no label: the phrase, its section and its sentence, in order.

    The promise under the title and the heading of the objectives are no terms either.
    """
    found, section = [], ""
    for n, text in enumerate(text_cells(cells)):
        if text.startswith(REFERENCES) or n == 0:
            continue
        for block in re.split(r"\n\s*\n|\n(?=\s*[-#|])", text):
            if heading := HEADING.match(block):
                section = plain(heading[2])
            for sentence in SENTENCE_END.split(block.replace("\n", " ")):
                for phrase in BOLD.findall(sentence):
                    if not LABEL_END.search(phrase) and phrase != "Afterwards you can":
                        found.append((phrase, section, plain(sentence)))
    return found


def plain(text: str) -> str:
    """A sentence without Markdown: no bold, no links, no citations, no list sign."""
    text = CITATION.sub("", LINK.sub(r"\1", text.replace("**", "")))
    return " ".join(re.sub(r"^\s*(?:[-#|>]+|\d+\.)\s+", "", text).split())


def definitions(cells: Iterable[NotebookNode], terms: Iterable[str]) -> list[Definition]:
    """The first bold use of each of a lesson's terms; a term that has none is left out."""
    first: dict[str, Definition] = {}
    phrases = bold_phrases(cells)
    for term in terms:
        for phrase, section, sentence in phrases:
            if normal_form(phrase) == normal_form(term) and term not in first:
                first[term] = Definition(term, section, sentence)
    return list(first.values())


def references(cells: Iterable[NotebookNode]) -> list[Reference]:
    """The entries under References; an entry may run over several lines."""
    text = next((text for text in text_cells(cells) if text.startswith(REFERENCES)), "")
    lines = re.sub(r"\n(?!- \[)\s*", " ", text).splitlines()
    entries = [REFERENCE.match(line.strip()) for line in lines]
    return [Reference(int(entry[1]), entry[2].strip()) for entry in entries if entry]


def citations(cells: Iterable[NotebookNode]) -> set[int]:
    """The numbers that the text cites, outside the list itself."""
    texts = [text for text in text_cells(cells) if not text.startswith(REFERENCES)]
    return {int(number) for text in texts for number in CITATION.findall(text)}


def term_faults(cells: list[NotebookNode], terms: list[str]) -> list[str]:
    """Terms without a definition, definitions that say nothing, bold phrases that are no terms."""
    found = []
    defined = {one.term: one for one in definitions(cells, terms)}
    for term in terms:
        if term not in defined:
            found.append(f"the term {term!r} is nowhere bold in a sentence.")
        elif len(defined[term].sentence.split()) < len(term.split()) + 4:
            found.append(f"the term {term!r} stands in no sentence: {defined[term].sentence!r}.")
    known = {normal_form(term) for term in terms}
    for phrase, section, _ in bold_phrases(cells):
        if normal_form(phrase) not in known:
            found.append(
                f"bold {phrase!r} (section {section!r}) is no term of the header; add it there, or "
                "let it end in a colon or a full stop if it is a label."
            )
    return found


def reference_faults(cells: list[NotebookNode]) -> list[str]:
    """References that are incomplete or not cited, citations that lead nowhere."""
    entries, cited = references(cells), citations(cells)
    if not entries:
        return [f"it has no references; a text cell that begins with {REFERENCES!r} lists them."]
    found = []
    numbers = [entry.number for entry in entries]
    if numbers != list(range(1, len(numbers) + 1)):
        found.append(f"its references are numbered {numbers}, not from 1 upwards.")
    for entry in entries:
        missing = [
            what
            for what, there in (
                ("a title in *italics*", ITALIC.search(entry.text)),
                ("a year", YEAR.search(entry.text)),
                ("a link", ADDRESS in entry.text),
            )
            if not there
        ]
        if missing:
            found.append(f"reference [{entry.number}] lacks {' and '.join(missing)}.")
        if entry.number not in cited:
            found.append(f"reference [{entry.number}] is cited nowhere in the text.")
    lost = sorted(cited - set(numbers))
    return found + [f"[{number}] is cited, and no reference." for number in lost]
