"""Terms, their sentences, references and citations of a lesson; the pages made from them."""

import json

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell

from fmcourse.course import terms
from tools import definitions
from tools.lessons import ROOT, all_lessons

TEXT = """## 2 · The loss
What does it cost? A model pays the **cross-entropy**, the mean negative log-probability
of the next token [1, section 3]. Its exponential is the [**perplexity**](x.html) [2].

- **Logits** are the unnormalized scores: one for each token.

**Change it:** take another."""
REFERENCES = """## References
- [1] A. Author et al., *A Title*, NeurIPS 2017. <https://example.org/1>
- [2] B. Author, *Another
  Title*, 2019. <https://example.org/2>"""
TERMS = ["cross-entropy", "perplexity", "logits"]


def cells(text=TEXT, entries=REFERENCES):
    title = new_markdown_cell("# 06 · Title\n**A promise.** 10 minutes to read and do")
    return [title, new_markdown_cell(text), new_code_cell("1"), new_markdown_cell(entries)]


def test_a_term_is_defined_by_the_sentence_in_which_it_is_bold():
    found = definitions.definitions(cells(), TERMS)
    assert [one.sentence for one in found] == [
        "A model pays the cross-entropy, the mean negative log-probability of the next token.",
        "Its exponential is the perplexity.",
        "Logits are the unnormalized scores: one for each token.",
    ]
    assert {one.section for one in found} == {"2 · The loss"}
    assert definitions.term_faults(cells(), TERMS) == []


@pytest.mark.parametrize(
    ("text", "names", "fault"),
    [
        (TEXT, [*TERMS, "entropy"], "the term 'entropy' is nowhere bold in a sentence."),
        (TEXT, TERMS[:2], "bold 'Logits' (section '2 · The loss') is no term of the header"),
        ("It is a **softmax**.", ["softmax"], "the term 'softmax' stands in no sentence"),
    ],
)
def test_what_is_wrong_with_terms_is_said(text, names, fault):
    [found] = definitions.term_faults(cells(text), names)
    assert fault in found


def test_plurals_and_capitals_name_the_same_term():
    text = "**Causal masks** hide from each position what comes after it."
    assert definitions.term_faults(cells(text), ["causal mask"]) == []


def test_references_are_complete_cited_and_there():
    assert definitions.reference_faults(cells()) == []
    assert [one.number for one in definitions.references(cells())] == [1, 2]
    assert definitions.references(cells())[1].text.startswith("B. Author, *Another Title*, 2019.")


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("*A Title*", "A Title", "reference [1] lacks a title in *italics*."),
        ("NeurIPS 2017. <https://example.org/1>", "NeurIPS.", "[1] lacks a year and a link."),
        ("[1, section 3]", "", "reference [1] is cited nowhere in the text."),
        ("[1, section 3]", "[1][3]", "[3] is cited, and no reference."),
        ("- [2] B", "- [3] B", "numbered [1, 3], not from 1 upwards"),
    ],
)
def test_what_is_wrong_with_references_is_said(old, new, fault):
    changed = cells(TEXT.replace(old, new), REFERENCES.replace(old, new))
    assert any(fault in found for found in definitions.reference_faults(changed))


def test_a_lesson_without_references_is_told_where_they_stand():
    [found] = definitions.reference_faults(cells(entries="## In short"))
    assert "begins with '## References'" in found


# What the lessons define --------------------------------------------------------------------------


@pytest.fixture
def made(monkeypatch):
    known = {
        "cross-entropy": [{"lesson": "06", "section": "2", "sentence": "It is a mean."}],
        "causal mask": [{"lesson": "06", "section": "3", "sentence": "It hides what comes."}],
    }
    monkeypatch.setattr(terms, "glossary", lambda: known)


@pytest.mark.parametrize("name", ["cross-entropy", "Cross Entropy", "CROSS-ENTROPYS"])
def test_a_term_is_found_however_it_is_spelled(made, capsys, name):
    terms.term(name)
    assert capsys.readouterr().out.splitlines() == [
        "○ cross-entropy",
        "    It is a mean. (lesson 06, 2)",
    ]


@pytest.mark.parametrize(
    ("name", "offer"),
    [("causal maks", "'causal mask'"), ("mask", "'causal mask'"), ("zebra", "docs/glossary.md")],
)
def test_an_unknown_term_is_answered_with_the_nearest(made, name, offer):
    with pytest.raises(ValueError, match=f"no lesson defines '{name}'; .*{offer}"):
        terms.term(name)


def test_lessons_without_a_glossary_say_how_it_is_made(monkeypatch, tmp_path):
    monkeypatch.setenv("FMCOURSE_LESSONS", str(tmp_path))
    terms.glossary.cache_clear()
    with pytest.raises(ValueError, match="glossary.json is missing; make it with"):
        terms.term("logits")


def test_the_glossary_and_its_page_hold_every_term_of_every_lesson():
    known = json.loads((ROOT / "lessons" / terms.GLOSSARY).read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    names = {terms.normal_form(name): name for name in known}
    assert len(names) == len(known)
    for lesson in all_lessons():
        for term in lesson.header().terms or []:
            name = names[terms.normal_form(term)]
            assert lesson.number in [place["lesson"] for place in known[name]]
            assert f"| **{name}** |" in page


def test_every_reference_is_on_the_page():
    page = (ROOT / "docs" / "references.md").read_text(encoding="utf-8")
    for lesson in all_lessons():
        for entry in definitions.references(lesson.cells()):
            assert entry.text in page
