"""What people read of a grading: right figures, and nothing of a student's is taken for HTML."""

import csv
import html
import io
import re

import pytest

from fmcourse.classroom import reports
from fmcourse.classroom.results import ExerciseResult, StudentResult
from fmcourse.course.showing import render_card, render_mark

SCRIPT = "<script>alert('&')</script>"
MANIFEST = {"name": "week3", "exercises": [{"id": "06.1"}, {"id": "07.A1"}]}


def result(share: float, of: float, **more) -> ExerciseResult:
    """An answer's result: right, or a mistake called "the sign"."""
    fields = dict(
        points=round(share * of, 2),
        of=of,
        share=share,
        verdict="right" if share == 1 else "the sign",
        step="right" if share == 1 else "mistake",
        value=None,
        sentences=["Which `sign` is it?"],
        table=["expected   got", "1          -1"],
        code="def f(x):\n    return -x\n",
        parts=[["the cases given", 2, share]],
        seconds=0.25,
    )
    return ExerciseResult(**fields | more)


def student(name: str, share: float, **more) -> StudentResult:
    """A student whose practice exercise is right, and whose 07.A1 is worth `share`."""
    return StudentResult(name, {"06.1": result(1, 0), "07.A1": result(share, 10)}, **more)


def plain(page: str) -> str:
    """What a reader sees of a page, on one line."""
    body = page[page.index("<body>") :]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def test_a_student_reads_points_reasons_and_what_was_graded():
    page = reports.feedback_page("week3", student("ada", 0.5, remarks=["It is a `script`."]))
    text = plain(page)
    assert text.startswith("week3: ada 5 of 10 points , and 1 of 1 practice exercises completed.")
    assert "✓ 06.1 · right" in text and "✗ 07.A1: 5 of 10 · the sign" in text
    assert "Which sign is it?" in text
    assert "what counts weight earned the cases given 2 50%" in text
    assert "<pre>expected   got\n1          -1</pre>" in page
    assert "<code>script</code>" in page and "return -x" in text
    assert text.count("the cases given") == 1, "of a right answer the parts say nothing"


@pytest.mark.parametrize(
    ("points", "practice", "start"),
    [
        (True, False, "week3: ada 10 of 10 points ."),
        (False, True, "week3: ada 1 of 1 practice exercises completed."),
    ],
)
def test_points_and_practice_are_named_where_there_are_any(points, practice, start):
    exercises = {"07.A1": result(1, 10)} if points else {}
    exercises |= {"06.1": result(1, 0)} if practice else {}
    assert plain(reports.feedback_page("week3", StudentResult("ada", exercises))).startswith(start)


def test_an_instructor_reads_figures_remarks_and_whose_numbers():
    results = [student(f"s{n}", n / 9, remarks=["Late."] if n == 3 else []) for n in range(10)]
    rows = reports.item_statistics(MANIFEST, results)
    borrowed = [("s1", "07.A1", "s2")]
    text = plain(reports.items_page("week3", rows, results, "Nothing holds.", borrowed))
    assert "07.A1 10 of 10 10% 50% 0.25 – the sign (9)" in text
    assert "Remarks s3 Late." in text and text.endswith("Nothing holds.")
    assert "07.A1: the answer of s1 is right for the numbers of s2" in text


def test_below_zero_a_correlation_is_a_number_and_a_formula_is_text():
    results = [
        StudentResult(f"s{n}", {"06.1": result(n / 9, 10), "07.A1": result(1 - n / 9, 10)})
        for n in range(10)
    ]
    rows = csv.DictReader(
        io.StringIO(reports.items_csv(reports.item_statistics(MANIFEST, results)))
    )
    assert [row["discrimination"] for row in rows] == ["-1.00", "-1.00"]
    grades = reports.grades_csv(MANIFEST, [student("=1+1", 0.5)])
    assert grades.splitlines()[1] == "'=1+1,5,10,1,1,1,5,"


def test_no_text_of_a_student_is_taken_for_html():
    fields = dict(sentences=[SCRIPT], table=[SCRIPT], code=SCRIPT, parts=[[SCRIPT, 1, 0.5]])
    found = result(0.5, 10, verdict=SCRIPT, **fields)
    one = StudentResult(SCRIPT, {SCRIPT: found}, remarks=[SCRIPT])
    manifest = {"name": SCRIPT, "exercises": [{"id": SCRIPT}]}
    rows = reports.item_statistics(manifest, [one])
    pages = [
        reports.feedback_page(SCRIPT, one),
        reports.items_page(SCRIPT, rows, [one], SCRIPT, [(SCRIPT, SCRIPT, SCRIPT)]),
        render_card("bad", SCRIPT, [SCRIPT], [SCRIPT], after=SCRIPT)[1],
        render_mark(SCRIPT, SCRIPT, 1, 2, [SCRIPT], [SCRIPT], SCRIPT)[1],
    ]
    least = [10, 10, 4, 5]  # places in which it stands
    for page, n in zip(pages, least, strict=True):
        assert "<script" not in page and page.count("&lt;script&gt;") >= n


def test_what_is_kept_of_a_result_is_what_comes_back():
    one = student("ada", 0.5, remarks=["Late."])
    kept = one.to_json()
    assert list(kept) == ["student", "exercises", "remarks"]
    assert StudentResult.from_json(kept) == one
    assert StudentResult.from_json(kept, again=True).again
