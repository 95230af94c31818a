"""What the pages for people say about lessons and exercises is so: README.md, and the guide for instructors."""

import re
from pathlib import Path

import pytest

from fmcourse.classroom.library import all_assigned
from fmcourse.course.library import all_exercises
from tools.lessons import ROOT

EVERY = {exercise.id: exercise for exercise in [*all_exercises(), *all_assigned()]}
GUIDE = ROOT / "instructor" / "README.md"
ID = r"\d\d\.A?\d"
for_instructors = pytest.mark.skipif(
    not GUIDE.is_file(), reason="this edition has no instructor's folder"
)


def minutes() -> dict[str, int]:
    """What each lesson's first cell says, by number."""
    said = {
        path.parent.name.split("_")[0]: re.search(
            r"(\d+|twenty) minutes", path.read_text("utf-8").replace("\n# ", " ")
        )
        for path in (ROOT / "lessons").glob("*/lesson.py")
    }
    return {number: 20 if found[1] == "twenty" else int(found[1]) for number, found in said.items()}


def rows(text: str, columns: int) -> list[list[str]]:
    found = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    return [row for row in found if len(row) == columns and re.match(r"\d+$", row[0])]


def test_the_readme_lists_every_lesson_with_its_minutes():
    text = (ROOT / "README.md").read_text("utf-8")
    assert {row[0]: int(row[2]) for row in rows(text, 4)} == minutes()


@for_instructors
def test_every_mistake_that_the_guide_names_is_one_of_that_exercise():
    text = GUIDE.read_text("utf-8")
    quoted = re.findall(rf'({ID})((?: (?:and |or )?"[^"]+",?)+)', text)
    named = [
        (exercise, name) for exercise, names in quoted for name in re.findall(r'"([^"]+)"', names)
    ]
    known = {(one.id, mistake.name) for one in EVERY.values() for mistake in one.mistakes}
    assert len(named) > 60 and [pair for pair in named if pair not in known] == []


@for_instructors
def test_the_guide_has_every_lesson_with_mistakes_of_its_own_exercises():
    parts = re.split(r"(?m)^### (\d\d) · ", GUIDE.read_text("utf-8"))
    about = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert set(about) == set(minutes())
    for number, text in about.items():
        assert f"\n{minutes()[number]} minutes" in text
        assert (
            len(re.findall(rf"\({number}\.A?\d", text)) >= 2 and text.count("Listen for:") >= 2
        ), number


@for_instructors
def test_the_plans_name_exercises_that_there_are_and_count_the_minutes():
    weeks = rows(GUIDE.read_text("utf-8"), 5)
    assert [int(week[0]) for week in weeks] == [*range(1, 7), *range(1, 13)]
    for _, lessons, counted, practice, points in weeks:
        lessons, points = lessons.split(", "), points.split()
        own, assigned = ([int(n) for n in part.split(" + ")] for part in counted.split(", "))
        assert own == [minutes()[lesson] for lesson in lessons]
        assert assigned == [EVERY[exercise].minutes for exercise in points]
        for exercise in [*re.findall(ID, practice), *points]:
            assert exercise in EVERY and exercise[:2] in lessons
        assert all(".A" in exercise for exercise in points) and ".A" not in practice
    for plan in (weeks[:6], weeks[6:]):
        assert {lesson for week in plan for lesson in week[1].split(", ")} == set(minutes())


@for_instructors
@pytest.mark.parametrize("page", [ROOT / "README.md", GUIDE], ids=lambda page: page.parent.name)
def test_every_file_that_a_page_links_to_is_there(page: Path):
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text("utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []
