"""What README.md and the guide for instructors say about lessons and exercises is true."""

import re
from pathlib import Path

import pytest

from fmcourse.classroom.library import all_assigned
from fmcourse.course.library import all_exercises
from tools import docs
from tools.lessons import ROOT, all_lessons

EVERY = {exercise.id: exercise for exercise in [*all_exercises(), *all_assigned()]}
LESSONS = all_lessons()
MINUTES = {lesson.number: lesson.header().minutes for lesson in LESSONS}
GUIDE = ROOT / "instructor" / "README.md"
ID = r"\d\d[a-z]?\.A?\d"
for_instructors = pytest.mark.skipif(
    not GUIDE.is_file(), reason="this edition has no instructor's folder"
)


def rows(text: str, columns: int) -> list[list[str]]:
    """The rows of all tables with so many columns whose first cell is a number."""
    found = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    return [row for row in found if len(row) == columns and re.match(r"\d+[a-z]?$", row[0])]


def test_the_readme_lists_every_lesson_with_its_minutes():
    text = (ROOT / "README.md").read_text("utf-8")
    assert {row[0]: int(row[2]) for row in rows(text, 4)} == MINUTES


@for_instructors
def test_every_mistake_that_the_guide_names_is_one_of_that_exercise():
    text = "\n".join(lesson.guide.read_text("utf-8") for lesson in LESSONS)
    quoted = re.findall(rf'({ID})((?: (?:and |or )?"[^"]+",?)+)', text)
    named = [
        (exercise, name) for exercise, names in quoted for name in re.findall(r'"([^"]+)"', names)
    ]
    known = {(one.id, mistake.name) for one in EVERY.values() for mistake in one.mistakes}
    assert len(named) > 60 and [pair for pair in named if pair not in known] == []


@for_instructors
@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)
def test_the_guide_has_a_page_for_every_lesson_with_mistakes_of_its_own_exercises(lesson):
    header, text = lesson.header(), lesson.guide.read_text("utf-8")
    assert text.startswith(f"# {lesson.number} · {header.title}\n{header.minutes} minutes")
    named = re.findall(rf"\({lesson.number}\.A?\d", text)
    assert len(named) >= 2, f'{lesson.guide}: two misconceptions need an exercise, (NN.1 "name")'
    assert text.count("Listen for:") >= 2, f"{lesson.guide}: two questions need a *Listen for:*"


@for_instructors
def test_the_plans_name_exercises_that_there_are_and_count_the_minutes():
    weeks = rows(GUIDE.read_text("utf-8"), 5)
    assert [int(week[0]) for week in weeks] == [*range(1, 7), *range(1, 13)]
    for _, lessons, counted, practice, points in weeks:
        lessons, points = lessons.split(", "), points.split()
        own, assigned = ([int(n) for n in part.split(" + ")] for part in counted.split(", "))
        assert own == [MINUTES[lesson] for lesson in lessons]
        assert assigned == [EVERY[exercise].minutes for exercise in points]
        for exercise in [*re.findall(ID, practice), *points]:
            assert exercise in EVERY and exercise.split(".")[0] in lessons
        assert all(".A" in exercise for exercise in points) and ".A" not in practice


@for_instructors
def test_both_plans_have_the_same_lessons_each_once():
    # A new lesson may be in neither: the index in the guide shows that with a dash.
    weeks = rows(GUIDE.read_text("utf-8"), 5)
    six, twelve = (
        [lesson for week in plan for lesson in week[1].split(", ")]
        for plan in (weeks[:6], weeks[6:])
    )
    assert sorted(six) == sorted(twelve) == sorted(set(six))
    assert set(six) <= set(MINUTES) and len(six) > 10


PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", GUIDE, *(one.guide for one in LESSONS)]


@for_instructors
@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_every_file_that_a_page_links_to_is_there(page: Path):
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text("utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@for_instructors
def test_minutes_in_plans_and_pages_are_counted_anew():
    text = GUIDE.read_text("utf-8")
    wrong = re.sub(r"(?m)^(\| 1 \| [^|]+\| )\d+", r"\g<1>999", text)
    assert wrong != text and docs.count_plan_minutes(wrong, LESSONS) == text
    unknown = "| 1 | 98, 99 | 10 + 20, 5 | 98.1 | 98.A1 |"
    assert docs.count_plan_minutes(unknown, LESSONS) == unknown
    for path, page in docs.guide_pages(LESSONS).items():
        assert page == path.read_text("utf-8")
