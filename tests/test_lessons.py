"""A lesson's header and reading path, numbers with a letter, pages made from the lessons."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from fmcourse.classroom.slicing import is_check_call
from tools import build, copies, docs, reading
from tools.lessons import ROOT, Lesson, all_lessons, reading_cell, to_json, to_notebook
from tools.trouble import StartError

SOURCE = """# %% [raw]
# builds = "something to look at"
# [reads]
# "fmcourse.files" = ["write_text"]

# %% [markdown]
# # 03 · Something
# 40 minutes to read and do.

# %%
print(1)
"""


def write_lesson(root: Path, name: str = "03_something", source: str = SOURCE) -> Lesson:
    lesson = Lesson(root, name)
    lesson.source.parent.mkdir(parents=True)
    lesson.source.write_text(source.replace("# 03 ·", f"# {lesson.number} ·"), encoding="utf-8")
    return lesson


# --- the header


@pytest.mark.parametrize("lesson", all_lessons(), ids=lambda lesson: lesson.name)
def test_every_lesson_has_a_header_and_a_reading_path_that_can_be_read(lesson):
    header = lesson.header()
    parts = reading.reading_path(header.reads)
    assert header.builds and header.title and header.minutes > 0
    assert 1 <= len({part.file for part in parts}) <= 3
    assert 1 <= reading.count_lines(parts) <= 400


def test_title_and_minutes_come_from_the_first_text_cell(tmp_path):
    header = write_lesson(tmp_path).header()
    assert (header.title, header.minutes) == ("Something", 40)
    assert header.reads == {"fmcourse.files": ["write_text"]}


def test_minutes_are_counted_where_a_lesson_leaves_them_open(tmp_path):
    lesson = write_lesson(tmp_path)
    text = lesson.source.read_text().replace("40 minutes", "{minutes} minutes")
    cells = "\n# %%\nx = 1\n" * 3 + "\n# %% [markdown]\n# " + "word " * 1500
    marker = '\n\n# %% exercise="03.1"\n'
    lesson.source.write_text(
        text + cells + marker + "\n# %% [markdown]\n# ## References " + "a " * 999
    )
    plain = lesson.header().minutes
    lesson.exercises.write_text("one = Exercise('03.1', goal='g', minutes=21)\n")
    # 1,500 words are 10 minutes; the references are not read, the exercise says its own.
    assert 15 <= plain <= 20 and lesson.header().minutes in (plain + 20, plain + 25)
    exercise = SimpleNamespace(
        id="03.1", goal="g", minutes=21, difficulty=1, starter="def f():\n    ...", solution=""
    )
    shown = to_notebook(lesson, lambda _: exercise)
    assert f"{lesson.header().minutes} minutes to read" in shown.cells[0].source


def test_the_map_of_the_course_has_a_row_for_each_lesson(tmp_path):
    placed = SOURCE.replace("# builds", '# place = ["next token", "GPT", "plays"]\n# builds')
    asks = placed.replace("# 40 minutes", "# {map of the course}\n# 40 minutes")
    write_lesson(tmp_path, source=placed)
    shown = to_notebook(write_lesson(tmp_path, "04_other", asks)).cells[0].source
    assert "| 03 Something | next token | GPT | plays |\n| 04 Something | next token" in shown
    write_lesson(tmp_path, "05_lost")
    with pytest.raises(ValueError, match="header of 05_lost gives 0 parts of `place`"):
        to_notebook(Lesson(tmp_path, "04_other"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("# builds", "# makes", "the header of 03_something.*has no 'builds'"),
        ("# [reads]", "", "has no 'reads'"),
        ('# builds = "', "# builds = ", "the header of 03_something is not TOML"),
        ("# # 03 ·", "# # 04 ·", "must begin with `# 03 · Title`"),
        ("40 minutes", "some time", "say `N minutes to read and do`"),
    ],
)
def test_a_header_that_lacks_something_says_what(tmp_path, old, new, message):
    assert old in SOURCE
    lesson = write_lesson(tmp_path, source=SOURCE.replace(old, new))
    with pytest.raises(ValueError, match=message):
        lesson.header()


# --- the reading path


def test_a_name_that_is_re_exported_is_found_in_its_own_file():
    part = reading.find_part("fmcourse.tokenizers", "CharTokenizer.encode")
    assert part.file == "fmcourse/tokenizers/characters.py"
    lines = (ROOT / part.file).read_text(encoding="utf-8").splitlines()
    assert lines[part.first - 1].strip().startswith("def encode(")
    assert lines[part.last - 1].strip() and part.last > part.first


@pytest.mark.parametrize(
    ("module", "name"),
    [("fmcourse.files", "no_such"), ("fmcourse.no_such", "a"), ("fmcourse.files", "ROOT")],
)
def test_a_name_that_is_no_function_and_no_class_is_refused(module, name):
    with pytest.raises(ValueError, match=f"the reading path names .*{name}"):
        reading.reading_path({module: [name]})


def test_a_reading_path_that_is_too_long_is_refused(monkeypatch):
    reads = {"fmcourse.files": ["write_text", "write_atomically"]}
    n = reading.count_lines(reading.reading_path(reads))
    monkeypatch.setattr(reading, "MOST_LINES", n - 1)
    with pytest.raises(ValueError, match=f"has {n} lines; {n - 1} is the most"):
        reading.reading_path(reads)
    monkeypatch.setattr(reading, "MOST_FILES", 0)
    with pytest.raises(ValueError, match="lies in 1 files"):
        reading.reading_path(reads)


def test_a_method_within_its_class_counts_once():
    tokenizer = {"fmcourse.tokenizers": ["CharTokenizer"]}
    both = {"fmcourse.tokenizers": ["CharTokenizer", "CharTokenizer.encode"]}
    lengths = [reading.count_lines(reading.reading_path(reads)) for reads in (tokenizer, both)]
    assert lengths[0] == lengths[1] > 10


@pytest.fixture
def stored(tmp_path):
    """A lesson and its notebook as stored, whose reading path shows lines `shift` lower down."""

    def store(shift: int = 0, old: str = "", new: str = "") -> Lesson:
        lesson = Lesson(tmp_path, "03_something")
        if not lesson.source.exists():
            write_lesson(tmp_path)
        notebook = to_notebook(lesson)
        cell = reading_cell(notebook)
        source = reading.LINE_NUMBER.sub(lambda found: str(int(found[0]) + shift), cell.source)
        cell.source = source.replace(old, new)
        lesson.notebook.parent.mkdir(exist_ok=True)
        lesson.notebook.write_text(to_json(notebook), encoding="utf-8")
        return lesson

    return store


def test_the_notebook_shows_the_reading_path_before_its_first_code_cell(stored):
    cells = nbformat.read(stored().notebook, as_version=4).cells
    assert [cell.cell_type for cell in cells] == ["markdown", "markdown", "code"]
    assert re.search(r"`fmcourse/files\.py`: `write_text` \d+–\d+$", cells[1].source)


def test_small_shifts_leave_a_notebook_valid_and_large_ones_are_mended_without_running_it(stored):
    assert build.staleness(stored()) == build.staleness(stored(shift=30)) == []
    lesson = stored(shift=31)
    assert "python -m tools.docs" in build.staleness(lesson)[0]
    assert docs.main([], lesson.root) == 0
    assert lesson.notebook.read_text("utf-8") == to_json(to_notebook(lesson))


def test_a_reading_path_that_names_something_else_is_stale(stored):
    lesson = stored(old="write_text", new="write_texts")
    before = lesson.notebook.read_text("utf-8")
    assert "edited by hand" in build.staleness(lesson)[0]
    assert docs.main([], lesson.root) == 0 and lesson.notebook.read_text("utf-8") == before


def test_a_learner_is_offered_no_new_edition_when_only_line_numbers_moved(stored):
    digests = [copies.digest(stored(shift).notebook) for shift in (0, 7)]
    assert digests[0] == digests[1]


# --- pages


def test_readme_and_guide_are_up_to_date_with_the_lessons():
    assert docs.stale_pages() == []


def test_a_page_is_stale_until_it_is_written_again(tmp_path, capsys):
    write_lesson(tmp_path)
    page = tmp_path / "README.md"
    page.write_text(f"before\n{docs.BEGIN}old\n{docs.END}\nafter\n")
    assert docs.main(["--check"], tmp_path) == 1
    assert "README.md: not up to date" in capsys.readouterr().out
    assert build.report_pages(tmp_path) == 1
    assert docs.main([], tmp_path) == 0 and docs.main(["--check"], tmp_path) == 0
    text = page.read_text("utf-8")
    row = "| 03 | [Something](notebooks/03_something.ipynb) | 40 | something to look at |\n"
    assert text.startswith("before\n") and text.endswith("\nafter\n") and row in text


def test_a_page_without_its_markers_is_named(tmp_path, capsys):
    (tmp_path / "README.md").write_text(docs.BEGIN)
    assert docs.main(["--check"], tmp_path) == 1
    assert "README.md has lost the line '<!-- end of lessons -->'" in capsys.readouterr().out


def test_the_guides_plans_are_read():
    plans = (
        "## Six weeks\n| 1 | 00, 07b | x |\n\n## Twelve weeks\n| 1 | 00 |\n| 2 | 07b |\n\n## Z\n"
    )
    assert docs.plan_weeks(plans) == [{"00": "1", "07b": "1"}, {"00": "1", "07b": "2"}]


# --- a lesson that is two keeps its number


def test_a_second_half_comes_after_the_first_and_is_found_by_its_number(tmp_path):
    names = ["07b_more", "08_next", "07_first", "readme_x", "070_long"]
    for name in names:
        write_lesson(tmp_path, name)
    assert [one.name for one in all_lessons(tmp_path)] == ["07_first", "07b_more", "08_next"]
    assert [one.number for one in all_lessons(tmp_path, ["7b", "07"])] == ["07b", "07"]
    with pytest.raises(ValueError, match="no lesson is called '07c'; there are: 07, 07b, 08"):
        all_lessons(tmp_path, ["07c"])
    assert Lesson(tmp_path, "07b_more").guide == tmp_path / "instructor" / "07b" / "guide.md"


@pytest.mark.parametrize("word", ["07b", "7b", "07b_more"])
def test_a_second_half_is_copied_and_reset_alone(tmp_path, word):
    source, work = tmp_path / "notebooks", tmp_path / "work"
    source.mkdir()
    for name in ("07_first", "07b_more"):
        (source / f"{name}.ipynb").write_text(json.dumps({"cells": []}))
    copies.update(work, source)
    for path in work.glob("*.ipynb"):
        path.write_text("mine")
    copies.reset([word], work, source)
    kept = sorted(path.name for path in work.glob("*.ipynb") if path.read_text() == "mine")
    assert kept == ["07_first.ipynb", "07b_more.mine.ipynb"]
    with pytest.raises(StartError, match=r"No lesson is called 07c; there are: 07, 07b\."):
        copies.reset(["07c"], work, source)


def test_what_only_checks_an_answer_of_a_second_half_is_not_graded_as_code():
    calls = ['progress("07b")', 'f = check("07b.1", f)', 'points("07b.A1", f)']
    assert all(is_check_call(ast.parse(call).body[0]) for call in calls)


# --- CONTRIBUTING.md, followed


def example_files() -> dict[str, str]:
    """The files of the example lesson in CONTRIBUTING.md: path -> contents."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return dict(re.findall(r"(?ms)^`([^`\n]+)`:\n\n```\w+\n(.*?)^```$", text))


@pytest.fixture
def course(tmp_path):
    """A copy of the course without notebooks; its data are those of the original."""
    root = tmp_path / "course"
    for name in ("fmcourse", "tools", "tests", "lessons", "instructor"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, root / name, ignore=ignored)
    for name in ("README.md", "CONTRIBUTING.md", "pyproject.toml"):
        shutil.copy(ROOT / name, root)
    return root


def contents(root: Path) -> dict[str, bytes]:
    """Every file of a course that is no by-product of running it."""
    by_products = ("__pycache__", ".pytest_cache", ".ruff_cache", "build")
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not set(path.parts) & set(by_products)
    }


def write_example(course: Path, number: str) -> set[str]:
    """Write the example lesson under a number, as CONTRIBUTING.md says; returns the paths."""
    files = {
        path.replace("20", number): re.sub(r"\b20\b", number, text)
        for path, text in example_files().items()
    }
    neighbour = (course / "instructor/00/exercises.py").read_text(encoding="utf-8")
    files[f"instructor/{number}/exercises.py"] = neighbour.replace("00.A", f"{number}.A")
    for path, text in files.items():
        (course / path).parent.mkdir(parents=True, exist_ok=True)
        (course / path).write_text(text, encoding="utf-8")
    return set(files)


def run(course: Path, *command: str) -> str:
    """What a Python module prints when it is run in a copy of the course, where it must succeed."""
    paths = {"PYTHONPATH": str(course), "FMCOURSE_DATA": str(ROOT / "data")}
    words = [sys.executable, "-m", *command]
    done = subprocess.run(words, cwd=course, env=os.environ | paths, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.skipif(not (ROOT / "instructor").is_dir(), reason="this edition has no guide")
def test_lessons_made_as_contributing_says_are_built_and_checked(course):
    before, numbers = contents(course), ["20", "20b"]
    written = set().union(*(write_example(course, number) for number in numbers))
    assert len(written) == 8

    assert run(course, "tools.build", *numbers).count(": built") == 2
    run(course, "tools.docs")
    run(course, "tools.build", "--check", *numbers)
    run(course, "ruff", "check", *sorted(path for path in written if path.endswith(".py")))
    run(course, "ruff", "format", "--check", "lessons/20_perplexity", "lessons/20b_perplexity")
    exercises = ["tests/test_exercises.py", "tests/test_assigned.py"]
    run(course, "pytest", *exercises, "-k", "20. or 20b.", "-m", "not slow")
    run(course, "pytest", "tests/test_guide.py", "-k", "not links")  # the copy lacks some pages
    run(course, "pytest", "tests/test_notebooks.py", "-k", "20_ or 20b_")

    after = contents(course)
    changed = {path for path in after if after[path] != before.get(path)}
    notebooks = {f"notebooks/{number}_perplexity.ipynb" for number in numbers}
    assert changed == written | notebooks | {"README.md", "instructor/README.md"}
    readme, guide = (after[name].decode() for name in ("README.md", "instructor/README.md"))
    assert "| 20b | [Perplexity](notebooks/20b_perplexity.ipynb) | 10 |" in readme
    assert "[20b · Perplexity](20b/guide.md)" in guide
