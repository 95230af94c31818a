"""Reading what comes back: the statements that an answer needs; what is said without one."""

import json
import os

import pytest

from fmcourse.classroom import grade_class
from fmcourse.classroom.slicing import Answer, find_answers, quote, split_cell
from fmcourse.classroom.submissions import read_file, read_submission
from fmcourse.course.exercise import Exercise
from fmcourse.course.library import find_exercise

ADD = Exercise(
    "90.1",
    goal="add",
    minutes=1,
    cases=[(1, 2)],
    hints=["a" * 20] * 3,
    mistakes=(),
    starter='def add(a, b):\n    """The sum."""\n    ...\n',
    solution="def add(a, b):\n    return a + b\n",
)


def book(*cells: str) -> bytes:
    return json.dumps({"cells": [{"cell_type": "code", "source": cell} for cell in cells]}).encode()


def answer(*cells: str, exercise: Exercise = ADD) -> Answer:
    made = read_file("ann", "a.ipynb", book(*cells))
    return find_answers(made.cells, [exercise])[exercise.id]


def code(*cells: str, exercise: Exercise = ADD) -> str:
    return answer(*cells, exercise=exercise).code


def result(*cells: str) -> object:
    space = {}
    exec(code(*cells), space)
    return space["add"](1, 2)


@pytest.mark.parametrize(
    ("cells", "wanted"),
    [
        (["def add(a, b):\n    return a + b"], 3),
        (
            ["def add(a, b):\n    return help(a) + b", "def help(a):\n    return a * k", "k = 10"],
            12,
        ),  # what is needed stands below
        (
            ["k = 1", "def add(a, b):\n    return a + b + k", "k = 5"],
            4,
        ),  # what held when it was written
        (["k = 1", "k += 4", "def add(a, b):\n    return a + b + k"], 8),
        (["t = {}", "t['k'] = 7", "def add(a, b):\n    return a + b + t['k']"], 10),
        (
            [
                "t = []\nfor i in range(3):\n    t.append(i)",
                "def add(a, b):\n    return a + b + len(t)",
            ],
            6,
        ),
        (
            [
                "import math as m\nfrom math import *",
                "def add(a, b):\n    return a + b + m.floor(pi) + floor(e)",
            ],
            8,
        ),
        (
            ["def add(a, b):\n    return a + b", "def add(a, b):\n    return a * b"],
            2,
        ),  # the last one counts
        (["def add(a, b):\n    return a + b", ADD.starter], 3),  # but not a blank one
        (
            [
                "def add(a, b):\n    return a + b",
                'add = check("90.1", add)\npoints("90.1", add, of=1)',
            ],
            3,
        ),
        (["def add(a, b):\n    return a + b", 'add = check("07b.1", add)'], 3),
        (
            [
                "def twice(f):\n    return lambda *a: 2 * f(*a)",
                "@twice\ndef add(a, b):\n    return a + b",
            ],
            6,
        ),
        (["add = lambda a, b: a + b"], 3),
        (["if True:\n    def add(a, b):\n        return a + b"], 3),
        (
            [
                "class Base:\n    one = 1",
                "class Sum(Base):\n    def go(self, a, b):\n        return a + b + self.one",
                "def add(a, b):\n    return Sum().go(a, b)",
            ],
            4,
        ),
        (["def add(a, b):\n    return a if b == 0 else add(a + 1, b - 1)"], 3),
        (["%time x = 1\ndef add(a, b):\n    return a + b"], 3),
        (["def add(a, b):\n    return a + b\nadd?"], 3),
    ],
)
def test_an_answer_takes_along_what_it_needs(cells, wanted):
    assert result(*cells) == wanted


def test_and_nothing_else():
    taken = code(
        "import os",
        "os.remove('x')",
        "while True: pass",
        "torch = None",
        "y = 1/0",
        "def add(a, b):\n    y = a\n    return y + b",
    )
    assert taken.splitlines() == [
        "def add(a, b):",
        "    y = a",
        "    return y + b",
        "# Not run, as the answer does not seem to need it:",
        "#   code cell 2, line 1: os.remove('x')",
        "#   code cell 3, line 1: while True: pass",
        "#   code cell 5, line 1: y = 1/0",
    ]


def test_what_was_graded_is_shown_as_it_was_written():
    cell = """# my helper
k = 3  # not k = 2

# a loop of another exercise
for i in range(3):
    print(i)


@twice  # as in the lesson
def add(a, b):
    # the sum
    return (a +
            b + k)
# that is all
"""
    twice = "def twice(f):  # again\n    return f"
    assert code(twice, cell).splitlines() == [
        *twice.splitlines(),
        "# my helper",
        "k = 3  # not k = 2",
        "",
        "",
        "@twice  # as in the lesson",
        "def add(a, b):",
        "    # the sum",
        "    return (a +",
        "            b + k)",
        "# that is all",
        "# Not run, as the answer does not seem to need it:",
        "#   code cell 2, line 5: for i in range(3):",
    ]
    assert code("k = 1; x = 2; y = f(x)\nadd = lambda a, b: a + b + k  # so") == (
        "k = 1\nadd = lambda a, b: a + b + k  # so\n"
        "# Not run, as the answer does not seem to need it:\n"
        "#   code cell 1, line 1: k = 1; x = 2; y = f(x)"
    )
    many = code(*["f()"] * 20, "def add(a, b):\n    return a + b")
    assert many.count("f()") == 12 and many.endswith("#   and 8 more")


CONFLICT = """<<<<<<< HEAD
def add(a, b):
    return a + b
=======
def add(a, b):
    return b + a
>>>>>>> theirs
"""


@pytest.mark.parametrize("cell", [CONFLICT, "x = 1\n" + CONFLICT, "def add(a, b):\n" + CONFLICT])
def test_conflict_markers_are_called_that(cell):
    found = answer(cell)
    assert not found.statements and not found.others
    assert "git's conflict markers stand in it, from line" in found.missing
    assert "keep one of the two versions" in found.missing


def test_conflict_markers_in_the_file_itself_are_called_that():
    lines = json.dumps(json.loads(book("x = 1")), indent=1).splitlines()
    lines[2:2] = ["<<<<<<< HEAD", "=======", ">>>>>>> theirs"]
    remarks = read_file("ann", "a.ipynb", "\n".join(lines).encode()).remarks
    assert len(remarks) == 1 and "git's conflict markers stand in it" in remarks[0]
    script = read_file("ann", "a.py", CONFLICT.encode())
    assert "conflict markers" in find_answers(script.cells, [ADD])["90.1"].missing


@pytest.mark.parametrize(("kind", "name"), [("markdown", "Markdown"), ("raw", "raw")])
def test_an_answer_in_a_cell_that_is_not_code_is_called_that(kind, name):
    cell = {"cell_type": kind, "source": ["Mine:\n", "```python\n", ADD.solution, "```"]}
    made = read_file("ann", "a.ipynb", json.dumps({"cells": [cell]}).encode())
    missing = find_answers(made.cells, [ADD], made.texts)["90.1"].missing
    assert f"`add` stands in a {name} cell, which is never run" in missing
    there = find_answers([ADD.solution], [ADD], made.texts)["90.1"]
    assert there.statements and not there.missing


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ([], "No `add` was found"),
        (["def sub(a, b):\n    return a - b"], "No `add` was found"),
        ([ADD.starter], "blank"),
        (["# my answer\ndef add(a, b):\n    'other words'\n    ..."], "blank"),
        (["def add(a, b):\n    return a +\n"], "SyntaxError: invalid syntax in line 2"),
        (["x = 1\n\ndef add(a, b):\nreturn a"], "line 4"),
        (["class A:\n    def add(self):\n        return 1"], "No `add` was found"),
    ],
)
def test_where_there_is_none_it_says_why(cells, words):
    assert words in answer(*cells).missing


def test_one_broken_statement_costs_itself_alone():
    made = list(split_cell(1, "x = = 1\ndef add(a, b):\n    return a + b\n@twice\ndef f(\n"))
    assert [bool(unit.broken) for unit in made] == [True, False, True]
    assert [unit.offset for unit in made] == [0, 1, 3]


@pytest.mark.slow
def test_every_practice_exercise_is_found_in_its_own_notebook_and_blank_there():
    from tools.lessons import all_lessons, exercises_of, solved_edition, to_notebook

    for lesson in all_lessons():
        notebook = to_notebook(lesson)
        for edition, found in ((notebook, False), (solved_edition(notebook), True)):
            made = read_file("ann", lesson.name, json.dumps(edition).encode())
            for exercise_id in exercises_of(notebook):
                got = find_answers(made.cells, [find_exercise(exercise_id)])[exercise_id]
                assert bool(got.statements) == found and got.missing == (
                    "" if found else "blank"
                ), exercise_id


# -- whose work it is, and of which week ---------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("Müller.ipynb", "'Müller.ipynb'"),
        ("Mu\u0308ller.ipynb", "'Müller.ipynb'"),
        ("Łukasz Żółć", "'Łukasz Żółć'"),
        ("हिन्दी 作業", "'हिन्दी 作業'"),
        ("a<b>`c`&\u202ed\n\udce9", "'a?b??c???d??'"),
    ],
)
def test_letters_of_every_language_stay_and_signs_with_a_meaning_do_not(text, quoted):
    assert quote(text) == quoted


def test_a_renamed_file_is_named_as_its_owner_wrote_it(tmp_path):
    (tmp_path / "Müller.ipynb").write_bytes(book("def add(a, b):\n    return a + b"))
    made = read_submission("m", tmp_path / "Müller.ipynb", "week3", [ADD])
    assert made.remarks == ["The file is called 'Müller.ipynb'; week3.ipynb was handed out."]


@pytest.mark.parametrize("name", ["week3.ipynb", "mine.ipynb"])
def test_the_notebook_of_another_week_is_not_a_file_with_another_name(tmp_path, name):
    cell = {"cell_type": "code", "source": "def add(a, b):\n    return a + b"}
    for own, words in (
        ("week2", ["This is the notebook of 'week2', as it says itself; that of week3 was to be"]),
        ("week3", ["The file is called 'mine.ipynb'"] if name == "mine.ipynb" else []),
        ({"x": 1}, ["The file is called 'mine.ipynb'"] if name == "mine.ipynb" else []),
    ):
        metadata = {"fmcourse": {"assignment": own}}
        (tmp_path / name).write_text(json.dumps({"cells": [cell], "metadata": metadata}))
        made = read_submission("m", tmp_path, "week3", [ADD])
        assert [one[: len(two)] for one, two in zip(made.remarks, words, strict=True)] == words


def test_the_folder_of_nobody_is_not_taken_for_a_students(tmp_path):
    """`=41lice` is no name that `assign` makes; read as its bytes it would be Alice."""
    for name in ("=41lice", "Alice", "Zo=C3=AB", "Zo=c3=ab", "=FF"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "week3.ipynb").write_bytes(book("x = 1"))
    found = grade_class.list_submissions(tmp_path, {"students": ["Alice", "Zoë"]})
    assert {work.student: work.path.name for work in found} == {
        "=41lice": "=41lice",
        "=FF": "=FF",
        "Alice": "Alice",
        "Zoë": "Zo=C3=AB",
        "Zo=c3=ab": "Zo=c3=ab",
    }
    assert [work.student for work in found if not work.remarks] == ["Alice", "Zoë"]


def test_a_folder_that_is_not_utf_8_is_told(tmp_path):
    try:
        (tmp_path / os.fsdecode(b"Jos\xe9")).mkdir()
    except OSError:
        pytest.skip("this system has no such names")
    (found,) = grade_class.list_submissions(tmp_path, {"students": []})
    assert found.remarks == [grade_class.NOT_UTF_8]


def test_a_folder_that_may_not_be_read_costs_its_owner_alone(tmp_path, monkeypatch):
    for name in ("ann", "closed", "zoe"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "week3.ipynb").write_bytes(book("x = 1"))
    iterdir = type(tmp_path).iterdir

    def refuse(path):
        if path.name == "closed":
            raise PermissionError(13, "Permission denied")
        return iterdir(path)

    monkeypatch.setattr(type(tmp_path), "iterdir", refuse)
    found = grade_class.list_submissions(tmp_path, {"students": []}, others={"week2"})
    assert [work.student for work in found] == ["ann", "closed", "zoe"]
