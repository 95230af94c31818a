"""What people read of a grading: a table of points, a page for each student, a report on the exercises."""

import csv
import html
import io
import statistics
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fmcourse.classroom.judge import count_completed, total_points
from fmcourse.classroom.names import safe_name
from fmcourse.course.cards import inline_html
from fmcourse.files import write_text

Result = dict[str, Any]
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem; color: #222; background: #fff }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin: 1.6rem 0 .3rem }
table { border-collapse: collapse; margin: .6rem 0 } th, td { text-align: left; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid #ccc; vertical-align: top }
td.number, th.number { text-align: right } pre { background: #f5f5f5; padding: .6rem; overflow-x: auto; font-size: .85rem }
section { border-left: 4px solid #0072B2; padding-left: 1rem } section.right { border-color: #009E73 } section.wrong { border-color: #D55E00 }
.small { color: #555; font-size: .9rem }
"""
MAX_MISTAKES = 5  # mistakes that are named for an exercise
MIN_STUDENTS = 10  # students below whom a correlation says too little


def write_all(
    out: Path,
    manifest: dict[str, Any],
    results: list[Result],
    protection: str,
    borrowed: list[tuple[str, str, str]] = (),
) -> list[Path]:
    """Every report of a grading, each file in one step; their paths.

    Args:
        borrowed: (student, exercise, whose): wrong answers that are right for another's numbers. For the instructor alone.
    """
    name = manifest["name"]
    made = {out / "grades.csv": grades_csv(manifest, results)}
    rows = item_statistics(manifest, results)
    made |= {
        out / "items.csv": items_csv(rows),
        out / "items.html": items_page(name, rows, results, protection, borrowed),
    }
    made |= {
        out / "feedback" / f"{safe_name(one['student'])}.html": feedback_page(name, one)
        for one in results
    }
    for path, text in made.items():
        write_text(path, text)
    return list(made)


# -- points ---------------------------------------------------------------------------------------------------------------


def grades_csv(manifest: dict[str, Any], results: list[Result]) -> str:
    """One line a student: points and completed practice, then each exercise (1 for practice that is done), then remarks."""
    ids = [entry["id"] for entry in manifest["exercises"]]
    lines = [["student", "points", "of", "completed", "of_completion", *ids, "remarks"]]
    for one in results:
        each = [
            found["points"] if found["of"] else int(found["share"])
            for found in map(one["exercises"].get, ids)
        ]
        row = [
            one["student"],
            *total_points(one),
            *count_completed(one),
            *each,
            " ".join(one["remarks"]),
        ]
        lines.append([escape_formula(cell) for cell in row])
    return csv_text(lines)


def escape_formula(cell: Any) -> Any:
    """Text that no spreadsheet takes for a formula."""
    text = isinstance(cell, str)
    return f"'{cell}" if text and cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell


def csv_text(lines: list[list[Any]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(
        [f"{cell:g}" if isinstance(cell, float) else cell for cell in line] for line in lines
    )
    return out.getvalue().encode(errors="backslashreplace").decode()


# -- a page for a student -------------------------------------------------------------------------------------------------


def feedback_page(name: str, one: Result) -> str:
    """What a student is told: points, and for every exercise the reason."""
    points, of = total_points(one)
    done, all_ = count_completed(one)
    said = [f"<p><strong>{points:g} of {of:g} points</strong>" if of else "<p>"]
    said.append(
        f"{', and ' if of else ''}{done} of {all_} practice exercises completed.</p>"
        if all_
        else ".</p>"
    )
    said += [f"<p>{inline_html(remark)}</p>" for remark in one["remarks"]]
    said += [
        exercise_section(exercise_id, found) for exercise_id, found in one["exercises"].items()
    ]
    return html_page(f"{name}: {one['student']}", "".join(said))


def exercise_section(exercise_id: str, found: dict[str, Any]) -> str:
    right = found["share"] == 1
    worth = f": {found['points']:g} of {found['of']:g}" if found["of"] else ""
    sign, kind = (
        ("✓", "right")
        if right
        else ("○", "open")
        if found["verdict"] == "blank"
        else ("✗", "wrong")
    )
    head = f"<h2>{sign} {html.escape(exercise_id)}{worth} · {html.escape(found['verdict'])}</h2>"
    body = "".join(f"<p>{inline_html(sentence)}</p>" for sentence in found["sentences"])
    if found["table"]:
        body += f"<pre>{html.escape(chr(10).join(found['table']))}</pre>"
    if found["parts"] and not right:
        rows = "".join(
            f"<tr><td>{html.escape(part)}</td><td class='number'>{weight}</td><td class='number'>{share:.0%}</td></tr>"
            for part, weight, share in found["parts"]
        )
        body += f"<table><tr><th>what counts</th><th class='number'>weight</th><th class='number'>right</th></tr>{rows}</table>"
    if found["code"]:
        body += f"<details><summary>What was graded</summary><pre>{html.escape(found['code'])}</pre></details>"
    return f"<section class='{kind}'>{head}{body}</section>"


def html_page(title: str, body: str) -> str:
    head = f"<meta charset='utf-8'><meta name='viewport' content='width=device-width'><title>{html.escape(title)}</title>"
    text = f"<!doctype html><html lang='en'><head>{head}<style>{STYLE}</style></head><body><h1>{html.escape(title)}</h1>{body}</body></html>\n"
    return text.encode(errors="backslashreplace").decode()


# -- the exercises --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ItemStatistics:
    """How an exercise went in a class."""

    id: str
    answered: int
    students: int
    right: float  # share of those who answered
    mean: float  # share of the points, over those who answered
    seconds: float  # median time that an answer took to run
    discrimination: float | None
    mistakes: list[tuple[str, int]]


def item_statistics(manifest: dict[str, Any], results: list[Result]) -> list[ItemStatistics]:
    """Each exercise's figures over all students who handed something in."""
    there = [
        one
        for one in results
        if any(found["step"] != "missing" for found in one["exercises"].values())
    ]
    return [statistics_of_item(entry["id"], there) for entry in manifest["exercises"]]


def statistics_of_item(exercise_id: str, there: list[Result]) -> ItemStatistics:
    all_ = [one["exercises"][exercise_id] for one in there]
    answered = [found for found in all_ if found["step"] != "missing"]
    share = lambda found: found["share"]
    rest = [
        sum(found["share"] for other, found in one["exercises"].items() if other != exercise_id)
        for one in there
    ]
    wrong = Counter(found["verdict"] for found in answered if found["verdict"] != "right")
    mean = lambda values: statistics.fmean(values) if values else 0.0
    return ItemStatistics(
        exercise_id,
        len(answered),
        len(there),
        mean([found["verdict"] == "right" for found in answered]),
        mean([share(found) for found in answered]),
        statistics.median([found["seconds"] for found in answered] or [0.0]),
        correlation([share(found) for found in all_], rest),
        wrong.most_common(MAX_MISTAKES),
    )


def correlation(a: list[float], b: list[float]) -> float | None:
    """Pearson's, or None where too few students or no spread let it say anything."""
    if len(a) < MIN_STUDENTS or len(set(a)) < 2 or len(set(b)) < 2:
        return None
    return statistics.correlation(a, b)


def items_csv(rows: list[ItemStatistics]) -> str:
    head = [
        "exercise",
        "answered",
        "students",
        "right",
        "mean_share",
        "median_seconds",
        "discrimination",
        "commonest_mistakes",
    ]
    told = lambda row: "; ".join(f"{name} ({n})" for name, n in row.mistakes)
    number = lambda value: "" if value is None else f"{value:.2f}"
    lines = [
        [
            r.id,
            r.answered,
            r.students,
            number(r.right),
            number(r.mean),
            number(r.seconds),
            number(r.discrimination),
            escape_formula(told(r)),
        ]
        for r in rows
    ]
    return csv_text([head, *lines])


def items_page(
    name: str,
    rows: list[ItemStatistics],
    results: list[Result],
    protection: str,
    borrowed: list[tuple[str, str, str]] = (),
) -> str:
    """The report for the instructor, with how to read it."""
    head = [
        "exercise",
        "answered",
        "all right",
        "points",
        "seconds",
        "discrimination",
        "commonest mistakes",
    ]
    numbers = range(1, 6)
    cells = lambda row: [
        row.id,
        f"{row.answered} of {row.students}",
        f"{row.right:.0%}",
        f"{row.mean:.0%}",
        f"{row.seconds:.2f}",
        "–" if row.discrimination is None else f"{row.discrimination:.2f}",
        "; ".join(f"{mistake} ({n})" for mistake, n in row.mistakes),
    ]
    line = lambda parts, tag: (
        "<tr>"
        + "".join(
            f"<{tag}{' class=number' if n in numbers else ''}>{html.escape(part)}</{tag}>"
            for n, part in enumerate(parts)
        )
        + "</tr>"
    )
    told = f"<table>{line(head, 'th')}{''.join(line(cells(row), 'td') for row in rows)}</table>"
    how = (
        "<p class='small'>Of those who handed something in. <em>All right</em> and <em>points</em>: of those who answered it. "
        "<em>Seconds</em>: how long an answer took to run, in the middle. <em>Discrimination</em>: the correlation of what was earned "
        "here with what was earned on all others together, each counted alike; above 0.3 the exercise tells who knows from who does not, near 0 it tells nothing, "
        f"below 0 look at it; with fewer than {MIN_STUDENTS} students there is none.</p>"
    )
    remarks = "".join(
        f"<tr><td>{html.escape(one['student'])}</td><td>{inline_html(' '.join(one['remarks']))}</td></tr>"
        for one in results
        if one["remarks"]
    )
    below = f"<h2>Remarks</h2><table>{remarks}</table>" if remarks else ""
    if borrowed:
        lines = "".join(
            f"<li>{html.escape(f'{exercise}: the answer of {student} is right for the numbers of {other}')}</li>"
            for student, exercise, other in borrowed
        )
        below += f"<h2>Right for another's numbers</h2><ul>{lines}</ul>"
    return html_page(
        f"{name}: the exercises",
        f"{told}{how}{below}<p class='small'>{html.escape(protection)}</p>",
    )
