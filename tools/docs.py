"""The parts of pages that are made from the lessons, between two markers each.

    python -m tools.docs            write them
    python -m tools.docs --check    write nothing; exit with 1 if one is not up to date

They are the table of lessons in README.md, the index in instructor/README.md, and in each built
notebook the line numbers of its reading path; docs/glossary.md, docs/references.md and
lessons/glossary.json, which `fmcourse.course.term` reads, are made whole. The check `step` includes
--check.
"""

import argparse
import json
import re
import sys
from pathlib import Path

import nbformat

from fmcourse.course.terms import GLOSSARY, normal_form
from fmcourse.files import write_text
from tools import definitions, reading
from tools.lessons import ROOT, Lesson, all_lessons, reading_cell, to_json

BEGIN, END = "<!-- lessons: made by `python -m tools.docs` -->\n", "<!-- end of lessons -->"
PLAN = re.compile(r"(?m)^## (Six|Twelve) weeks$")
PLAN_ROW = re.compile(r"(?m)^\| (\d+) \| (\d\d[a-z]?(?:, \d\d[a-z]?)*) \|")


def pages(root: Path = ROOT) -> dict[Path, str]:
    """Every page with a generated part, as it should be; one that this edition lacks is left out.

    Raises: ValueError if a page has lost its markers, or if a lesson has no valid header.
    """
    makers = {root / "README.md": lesson_table, root / "instructor" / "README.md": guide_index}
    lessons = all_lessons(root)
    found = {}
    for path, make in makers.items():
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            found[path] = replace_between_markers(path, text, make(lessons, text))
    return found | whole_pages(root, lessons)


def whole_pages(root: Path, lessons: list[Lesson]) -> dict[Path, str]:
    """The pages that are made of nothing but what the lessons define and cite."""
    if not (root / "docs").is_dir():
        return {}
    terms = glossary(lessons)
    return {
        root / "lessons" / GLOSSARY: json.dumps(terms, ensure_ascii=False, indent=1) + "\n",
        root / "docs" / "glossary.md": glossary_page(terms, lessons),
        root / "docs" / "references.md": references_page(lessons),
    }


def glossary(lessons: list[Lesson]) -> dict[str, list[dict[str, str]]]:
    """Term -> where it is defined, in the lessons' order; the terms in that of the alphabet."""
    found: dict[str, list[dict[str, str]]] = {}
    for lesson in lessons:
        terms = lesson.header().terms or []
        for one in definitions.definitions(lesson.cells(), terms):
            known = {normal_form(term): term for term in found}
            name = known.get(normal_form(one.term), one.term)
            place = {"lesson": lesson.number, "section": one.section, "sentence": one.sentence}
            found.setdefault(name, []).append(place)
    return dict(sorted(found.items(), key=lambda entry: entry[0].lower()))


def glossary_page(terms: dict[str, list[dict[str, str]]], lessons: list[Lesson]) -> str:
    """Every term with its first sentence, and links to the lessons that define it."""
    files = {lesson.number: lesson.notebook.name for lesson in lessons}
    rows = ["# Glossary", "", f"The {len(terms)} terms that the lessons define. In a notebook:"]
    rows += ['`term("logits")` from `fmcourse.course`.', "", "| term | what it means | lesson |"]
    rows.append("|---|---|---|")
    for term, places in terms.items():
        links = ", ".join(
            f"[{one['lesson']}](../notebooks/{files[one['lesson']]})" for one in places
        )
        sentence = places[0]["sentence"].replace("|", "\\|")
        rows.append(f"| **{term}** | {sentence} | {links} |")
    return "\n".join(rows) + "\n"


def references_page(lessons: list[Lesson]) -> str:
    """The references of every lesson, under its title."""
    rows = ["# References", "", "What the lessons cite, under the numbers they have there."]
    for lesson in lessons:
        if entries := definitions.references(lesson.cells()):
            title = f"{lesson.number} · {lesson.header().title}"
            rows += ["", f"## [{title}](../notebooks/{lesson.notebook.name})", ""]
            rows += [f"- [{entry.number}] {entry.text}" for entry in entries]
    return "\n".join(rows) + "\n"


def replace_between_markers(path: Path, text: str, part: str) -> str:
    """`text` with `part` between its markers."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} has lost the line {(END if begin else BEGIN).strip()!r}.")
    return before + begin + part + end + after


def lesson_table(lessons: list[Lesson], _: str) -> str:
    """The table of README.md: a row for each lesson, linked to its notebook."""
    rows = ["| | | minutes | you build |", "|---|---|---|---|"]
    for lesson in lessons:
        header = lesson.header()
        link = f"[{header.title}](notebooks/{lesson.notebook.name})"
        rows.append(f"| {lesson.number} | {link} | {header.minutes} | {header.builds} |")
    return "\n".join(rows) + "\n"


def guide_index(lessons: list[Lesson], text: str) -> str:
    """The index of the guide: each lesson's page, exercises, and weeks in the plans of `text`."""
    # Late, because they import torch, which the table of README.md does not need.
    from fmcourse.classroom.library import all_assigned
    from fmcourse.course.library import all_exercises

    every = sorted([*all_exercises(), *all_assigned()], key=lambda exercise: exercise.id)
    weeks = plan_weeks(text)
    rows = [
        "| lesson | minutes | practice | for points | of six | of twelve |",
        "|---|---:|---|---|---:|---:|",
    ]
    for lesson in lessons:
        header, number = lesson.header(), lesson.number
        mine = [one for one in every if one.id.split(".")[0] == number]
        assigned = [one for one in mine if ".A" in one.id]
        practice = [one for one in mine if one not in assigned]
        cells = [
            f"[{number} · {header.title}]({number}/guide.md)",
            header.minutes,
            *(list_exercises(some) for some in (practice, assigned)),
            *(plan.get(number, "–") for plan in weeks),
        ]
        rows.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(rows) + "\n"


def list_exercises(exercises: list) -> str:
    """Ids and minutes: "06.1 (8), 06.2 (12)"."""
    return ", ".join(f"{one.id} ({one.minutes})" for one in exercises) or "–"


def plan_weeks(text: str) -> list[dict[str, str]]:
    """For each of the guide's two plans: the week of a lesson, by the lesson's number."""
    plans = []
    for heading in PLAN.finditer(text):
        section = text[heading.end() :].partition("\n## ")[0]
        rows = PLAN_ROW.findall(section)
        plans.append({number: week for week, numbers in rows for number in numbers.split(", ")})
    return plans


def moved_reading_paths(root: Path = ROOT) -> dict[Path, str]:
    """Notebooks whose reading path shows other lines than today's, as they should be.

    A path that names other parts is left alone: its lesson has changed and must be built.
    """
    found = {}
    for lesson in all_lessons(root):
        if not lesson.notebook.exists():
            continue
        notebook = nbformat.read(lesson.notebook, as_version=4)
        cell, reads = reading_cell(notebook), lesson.header().reads
        if cell is None or not reads:
            continue
        current = reading.as_markdown(reading.reading_path(reads))
        if cell.source != current and reading.names_the_same(cell.source, current):
            cell.source = current
            found[lesson.notebook] = to_json(notebook)
    return found


def stale_pages(root: Path = ROOT) -> list[str]:
    """The pages whose generated part is not up to date, by their path."""
    return [
        path.relative_to(root).as_posix()
        for path, text in pages(root).items()
        if not holds(path, text)
    ]


def holds(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.docs",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args(arguments)
    try:
        stale = stale_pages(root)
        wanted = {} if options.check else pages(root) | moved_reading_paths(root)
    except ValueError as error:
        print(error)
        return 1
    if options.check:
        for name in stale:
            print(f"{name}: not up to date with the lessons; run: python -m tools.docs")
        return int(bool(stale))
    for path, text in wanted.items():
        if not holds(path, text):
            write_text(path, text)
            print(f"{path.relative_to(root)}: written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
