"""`variant` and `points`, as a handed-out notebook calls them, a student's or the instructor's."""

import json
import sys
import warnings

import pytest

from fmcourse.classroom import handout, library
from fmcourse.classroom.exercise_kinds import AssignedExercise, make_record
from fmcourse.classroom.handout import points, variant
from fmcourse.classroom.packing import pack
from fmcourse.course.library import find_exercise

SUMS = """
from fmcourse.classroom.exercise_kinds import AssignedExercise
from fmcourse.course.exercise import Mistake, Property

twice = AssignedExercise(
    "00.A1", goal="double it", minutes=1, text="...", points=12, cases=[1, 2], hidden=[5, 7, 1000],
    starter="def twice(n):\\n    ...\\n", solution="def twice(n):\\n    return 2 * n\\n",
    mistakes=[Mistake("squared", "def twice(n):\\n    return n * n\\n", "Squares? What of 1?")],
    properties=[
        Property("odd", "def test(out, case):\\n    return out % 2 == 0\\n", "Can it be odd?"),
    ],
)
half = AssignedExercise(
    "00.A2", goal="halve it", minutes=1, text="...", mistakes=(),
    vary=lambda draw: {"n": draw.randrange(1, 10**6)},
    starter="mine = variant('00.A2')\\nhalf = ...\\n",
    solution="def half(mine):\\n    return mine['n'] / 2\\n",
    properties=[
        Property("negative", "def test(out, case):\\n    return out >= 0\\n", "Below 0?"),
        Property("too large", "def test(out, case):\\n    return out < case['n']\\n", "More?"),
    ],
)
"""


@pytest.fixture
def student_machine(tmp_path, monkeypatch) -> dict[str, AssignedExercise]:
    """A student's machine: beside the notebook the records, and no instructor's folder.

    Returns what only the instructor has.
    """
    (tmp_path / "office" / "00").mkdir(parents=True)
    (tmp_path / "office" / "00" / "exercises.py").write_text(SUMS)
    monkeypatch.setenv(library.FOLDER_VARIABLE, str(tmp_path / "office"))
    exercises = {one.id: one for one in library.all_assigned()}
    (tmp_path / "home").mkdir()
    handed = {"assignment": "week1", "exercises": [make_record(one) for one in exercises.values()]}
    (tmp_path / "home" / handout.RECORDS_FILE).write_text(json.dumps(handed))
    monkeypatch.chdir(tmp_path / "home")
    monkeypatch.setenv(library.FOLDER_VARIABLE, str(tmp_path / "nothing"))
    return exercises


@pytest.fixture
def instructor_machine(student_machine, tmp_path, monkeypatch) -> dict[str, AssignedExercise]:
    """The instructor's machine, with the same files and the instructor's folder."""
    monkeypatch.setenv(library.FOLDER_VARIABLE, str(tmp_path / "office"))
    return student_machine


def write_variant(tmp_path, n=90, **more):
    made = {"student": "ada", "assignment": "week1", "numbers": {"00.A2": pack({"n": n})}} | more
    (tmp_path / "home" / handout.VARIANT_FILE).write_text(json.dumps(made))


# -- points on a student's machine --------------------------------------------------------------


def test_a_practice_exercise_is_done_or_not(capsys):
    exercise = find_exercise("06.1")
    assert (
        points("06.1", exercise.reference) == 0.0
        and points("06.1", exercise.reference, of=1) == 1.0
    )
    said = capsys.readouterr().out
    assert "✓ 06.1 right.\n" in said and "✓ 06.1 right: 1 of 1 points." in said
    assert points("06.1", exercise.compile(exercise.starter)) == points("06.1", ..., of=1) == 0.0
    said = capsys.readouterr().out
    assert "○ 06.1 is blank so far.\n" in said and "○ 06.1 is blank so far: 0 of 1 points." in said
    mistake = exercise.mistakes[0]
    assert (
        points("06.1", exercise.compile(mistake.wrong_answer))
        == points("06.1", exercise.compile(mistake.wrong_answer), of=2)
        == 0.0
    )
    said = capsys.readouterr().out
    assert (
        f"not yet: {mistake.name}.\n" in said and f"not yet: {mistake.name}. 0 of 2 points." in said
    )
    assert mistake.explanation in said


def test_at_home_only_the_public_cases_speak_and_it_is_said(student_machine, capsys):
    assert points("00.A1", lambda n: 2 * n, of=12) == 12.0
    assert handout.HIDDEN_CASES_LATER in capsys.readouterr().out
    assert points("00.A1", lambda n: 2 * n if n < 3 else 0, of=12) == 12.0
    assert points("00.A1", lambda n: 2 * n + 1, of=12) == 0.0
    assert (
        points("00.A1", lambda n: 2, of=12) == 4.0
    )  # right on one of two: 2 * 1/2 of 1 + 2; even because it always says 2
    assert points("00.A1", lambda n: 2 * n if n < 2 else 2, of=12) == 4.0
    assert points("00.A1", None, of=12) == 0.0


def test_a_value_for_everybodys_numbers_is_judged(student_machine):
    n = variant("00.A2")["n"]
    assert n == student_machine["00.A2"].draw_numbers("public")["n"]
    assert points("00.A2", n / 2, of=10) == 10.0 and points("00.A2", n / 3, of=10) < 4
    assert points("00.A2", ..., of=10) == 0.0


def test_a_value_for_ones_own_numbers_is_noted_unless_something_speaks_against_it(
    student_machine, tmp_path, capsys
):
    write_variant(tmp_path)
    assert variant("00.A2") == {"n": 90}
    for value in (45.123, 44.987, 1):  # not known here
        worth = points("00.A2", value, of=10)
        assert worth == 0 and repr(worth) == "noted", "nbgrader takes a number for the points"
        said = capsys.readouterr().out
        assert "○ 00.A2 noted, for up to 10 points." in said and handout.JUDGED_LATER in said
        assert "10 of 10" not in said and "✓" not in said and "digits" not in said
    points("00.A2", 44.9, of=10)
    assert "It has 3 of the 5 digits that count." in capsys.readouterr().out
    assert points("00.A2", 91.0, of=10) == 0.0
    assert "not yet: too large" in capsys.readouterr().out
    for value in (float("nan"), "45", [45.0], None, ...):
        assert points("00.A2", value, of=10) == 0.0


def test_where_each_has_numbers_those_of_everybody_are_not_taken(student_machine, tmp_path, capsys):
    path = tmp_path / "home" / handout.RECORDS_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | {"variants": True}))
    assert points("00.A2", variant("00.A2")["n"] / 2, of=10) == 0.0
    assert "Put your own `variant.json` beside" in capsys.readouterr().out
    assert points("00.A2", ..., of=10) == 0.0 and "blank" in capsys.readouterr().out
    write_variant(tmp_path)
    assert repr(points("00.A2", 45.0, of=10)) == "noted"


# -- points on the instructor's -----------------------------------------------------------------


def test_in_the_office_hidden_cases_count_and_give_nothing_away(instructor_machine, capsys):
    assert points("00.A1", lambda n: 2 * n, of=12) == 12.0
    assert handout.HIDDEN_CASES_LATER not in capsys.readouterr().out
    assert points("00.A1", lambda n: 2 * n if n < 9 else 0, of=12) == 10.0  # 1 + 2 + 2 of 1 + 2 + 3
    said = capsys.readouterr().out
    assert "not on others" in said and "1000" not in said and "10 of 12" in said
    assert points("00.A1", lambda n: n * n, of=12) < 6 and "squared" in capsys.readouterr().out


def test_in_the_office_a_value_is_judged_by_the_numbers_of_its_student(
    instructor_machine, tmp_path
):
    write_variant(tmp_path)
    assert points("00.A2", 45.0, of=10) == 10.0 and points("00.A2", 44.9, of=10) == 0.0


def test_numbers_are_those_that_were_handed_out_even_if_others_were_handed_in(
    instructor_machine, tmp_path, monkeypatch
):
    write_variant(tmp_path, n=8)
    graded, kept = (
        tmp_path / "autograded" / "ada" / "week1",
        tmp_path / "variants" / "week1" / "ada",
    )
    graded.mkdir(parents=True)
    kept.mkdir(parents=True)
    for name in (handout.RECORDS_FILE, handout.VARIANT_FILE):
        (graded / name).write_text((tmp_path / "home" / name).read_text())
    monkeypatch.chdir(graded)
    assert variant("00.A2") == {"n": 8}
    write_variant(tmp_path, n=90)
    (tmp_path / "home" / handout.VARIANT_FILE).rename(kept / handout.VARIANT_FILE)
    assert variant("00.A2") == {"n": 90} and points("00.A2", 45.0, of=10) == 10.0


# -- what should never happen -------------------------------------------------------------------


class Evil:
    """Every look at it ends in an error, one of them in an exit."""

    def __getattribute__(self, name):
        raise SystemExit(name)

    def __repr__(self):
        raise RuntimeError("no")


class Loud:
    def __getattribute__(self, name):
        print(name, file=sys.stderr)
        raise AttributeError(name)


class Torn:
    __call__ = property(lambda self: 1 / 0)


def noisy(n):
    warnings.warn("look!", stacklevel=1)
    print("oh", file=sys.stderr)
    raise KeyError(n)


def endless():
    yield 1


ODD = [
    Evil,
    lambda: Evil,
    Loud,
    Torn,
    lambda: noisy,
    lambda: endless,
    lambda: int,
    lambda: print,
    lambda: lambda: 1,
    lambda: lambda *a: Evil(),
    lambda: "text",
    list,
    dict,
    lambda: 3e300,
    lambda: float("inf"),
    object,
    type("Odd", (), {"__eq__": lambda self, other: 1 / 0}),
    lambda: lambda n: exit(),
]


@pytest.mark.filterwarnings("ignore:look!")
@pytest.mark.parametrize("make", ODD)
@pytest.mark.parametrize("exercise_id", ["06.1", "00.A1", "00.A2"])
def test_nothing_that_is_handed_in_stops_the_notebook_or_speaks_on_stderr(
    exercise_id, make, instructor_machine, tmp_path, capfd
):
    for own in (False, True):
        if own:
            write_variant(tmp_path)
        worth = points(exercise_id, make(), of=10)
        assert type(worth) is float and 0 <= worth < 5
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("exercise_id", "said"),
    [
        ("06.9", "there is 06."),
        ("00.A7", r"exercises.json has no exercise '00.A7'; there is 00.A"),
        ("", "no exercise ''"),
        (6.2, "named by text"),
        ("../00.A1", "there is"),
    ],
)
def test_an_unknown_exercise_is_an_error_with_near_ones(exercise_id, said, student_machine):
    with pytest.raises(ValueError, match=said):
        points(exercise_id, None, of=1)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ({"assignment": "week2"}, "belongs to 'week2', and this is 'week1'"),
        ({"numbers": {}}, "has no numbers for '00.A2'"),
        ({"numbers": 3}, "holds no numbers"),
        ({"numbers": {"00.A2": {"what": 3}}}, "cannot be read"),
        ({"numbers": {"00.A2": 5}}, "cannot be read"),
    ],
)
def test_a_file_of_numbers_that_does_not_fit_says_why(made, said, student_machine, tmp_path):
    write_variant(tmp_path, **made)
    with pytest.raises(ValueError, match=said):
        variant("00.A2")


def test_broken_and_missing_files_are_said_in_one_line(student_machine, tmp_path):
    (tmp_path / "home" / handout.VARIANT_FILE).write_text("{half")
    with pytest.raises(ValueError, match=r"variant.json is damaged"):
        variant("00.A2")
    (tmp_path / "home" / handout.VARIANT_FILE).unlink()
    with pytest.raises(ValueError, match="no numbers of one's own"):
        variant("00.A1")
    for text in ("[]", "{}", '{"exercises": [3]}', "{"):
        (tmp_path / "home" / handout.RECORDS_FILE).write_text(text)
        with pytest.raises(ValueError, match=r"exercises.json is damaged"):
            points("00.A1", None, of=1)
    (tmp_path / "home" / handout.RECORDS_FILE).unlink()
    with pytest.raises(ValueError, match="not beside the notebook"):
        variant("00.A2")


def test_numbers_without_records_are_taken_as_they_are(student_machine, tmp_path):
    write_variant(tmp_path, assignment="")
    (tmp_path / "home" / handout.RECORDS_FILE).unlink()
    assert variant("00.A2") == {"n": 90}
