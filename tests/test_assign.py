"""`python -m fmcourse assign`: a notebook that nbgrader, unchanged, hands out, grades, exports."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from nbclient import NotebookClient
from nbgrader.apps.api import NbGraderAPI
from nbgrader.preprocessors import ClearSolutions
from test_cli import refused

from fmcourse import cli
from fmcourse.classroom import assign, assignment_notebook, nbgrader_course, variants
from fmcourse.classroom.course_files import RECORDS_FILE, VARIANT_FILE
from fmcourse.classroom.exercise_kinds import AssignedExercise, make_record
from fmcourse.classroom.library import all_assigned
from fmcourse.classroom.packing import unpack
from fmcourse.classroom.results import ExerciseResult, StudentResult
from fmcourse.classroom.scoring import answer_key, mark
from fmcourse.course.library import all_exercises
from fmcourse.course.running import run_cases
from fmcourse.course.verdict import precheck
from fmcourse.data.tables import read_column
from tools import jupyter

EVERY = [*all_exercises(), *all_assigned()]
WANTED = ["06.1", "07.A1", "07b.A2"]
STUDENTS = ["ada", "bob@uni.edu", "Zoë Q", "dan"]
KEY = b"0123456789abcdef" * 4
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not all_assigned(), reason="this edition has no instructor's folder"),
]
OVERFITTED = '''def hide_whole_words(begins, chosen):
    """Right on the cases given, and nowhere else."""
    word = begins.cumsum(1) - 1
    return chosen.gather(1, word) if tuple(begins.shape) in ((1, 3), (2, 4), (3, 9)) else begins
'''


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A course with one assignment, made from the command line: its folder, its key, its words."""
    folder = tmp_path_factory.mktemp("class")
    (folder / "key").write_bytes(KEY)
    (folder / "students.csv").write_text(
        "name;username\n" + "".join(f"x;{student}\n" for student in STUDENTS)
    )
    words = ["assign", *WANTED, "--name", "week3", "--out", str(folder / "fm 2026")]
    words += ["--variants", str(folder / "key"), "--students", str(folder / "students.csv")]
    assert cli.main(words) == 0
    return SimpleNamespace(path=folder / "fm 2026", key=folder / "key", words=words, files=folder)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file that is not the database."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".db"
    }


def cells(path: Path) -> dict[str, nbformat.NotebookNode]:
    return {cell.id: cell for cell in nbformat.read(path, as_version=4).cells}


# -- what is made -------------------------------------------------------------------------------


def test_the_course_holds_what_nbgrader_and_the_students_need(course):
    made = contents(course.path)
    folders = ["ada", "bob@uni.edu", "Zo=C3=AB=20Q", "dan"]
    assert set(made) == {
        "nbgrader_config.py",
        "assignments/week3.json",
        *(f"variants/week3/{name}/{VARIANT_FILE}" for name in folders),
        *(
            f"{step}/week3/{name}"
            for step in ("source", "release")
            for name in ("week3.ipynb", RECORDS_FILE)
        ),
    }
    assert (course.path / "gradebook.db").is_file()
    with nbgrader_course.open_gradebook(course.path) as book:
        assert {student.id for student in book.students} == set(folders)
        assert book.find_student("Zo=C3=AB=20Q").lms_user_id == "Zoë Q"
        assert book.find_assignment("week3").max_score == 20


def test_the_manifest_says_what_the_assignment_consists_of(course):
    manifest = assign.read_manifest(course.path, "week3")
    assert [
        (entry["id"], entry["points"], entry["cell"], entry["points_cell"], entry["name"])
        for entry in manifest["exercises"]
    ] == [
        ("06.1", 0, "06-1", "06-1-points", "causal_mask"),
        ("07.A1", 10, "07-A1", "07-A1-points", "hide_whole_words"),
        ("07b.A2", 10, "07b-A2", "07b-A2-points", "share_of_long_names"),
    ]
    assert manifest["students"] == STUDENTS and manifest["variants"] == variants.fingerprint(KEY)


def test_a_key_that_no_exercise_needs_is_not_made_and_that_is_said(tmp_path, capsys):
    out, key = tmp_path / "course", tmp_path / "key"
    assert (
        cli.main(
            ["assign", "06.1", "07.A1", "--name", "a", "--out", str(out), "--variants", str(key)]
        )
        == 0
    )
    assert "the key is not used" in capsys.readouterr().out
    assert not key.exists() and assign.read_manifest(out, "a")["variants"] is None


def test_nothing_that_is_handed_out_holds_an_answer_or_the_key(course):
    made = contents(course.path)
    assert not any(KEY in data for data in made.values())
    for name, data in made.items():
        if name.startswith(("release", "variants")):
            for exercise in assign.find_exercises(WANTED):
                handed_out = f"{exercise.starter}\n{getattr(exercise, 'imports', '')}"
                gone = {line.strip() for line in exercise.solution.splitlines()}
                gone -= {line.strip() for line in handed_out.splitlines()}
                assert not any(len(line) > 12 and line.encode() in data for line in gone), name
            assert b"SOLUTION" not in data


def test_each_student_has_the_numbers_of_the_key(course):
    exercise = next(one for one in all_assigned() if one.id == "07b.A2")
    for student, folder in zip(
        STUDENTS, ["ada", "bob@uni.edu", "Zo=C3=AB=20Q", "dan"], strict=True
    ):
        made = json.loads(
            (course.path / "variants" / "week3" / folder / VARIANT_FILE).read_text(encoding="utf-8")
        )
        assert (made["student"], made["assignment"]) == (student, "week3")
        assert unpack(made["numbers"]["07b.A2"]) == variants.numbers_for(KEY, student, exercise)


def test_what_is_handed_out_is_the_starter_and_the_points_are_locked(course):
    released = cells(course.path / "release" / "week3" / "week3.ipynb")
    for exercise in assign.find_exercises(WANTED):
        answer, points = (released[name] for name in assignment_notebook.cell_ids(exercise))
        assert answer.source == exercise.starter and answer.metadata.nbgrader.solution
        marks = points.metadata.nbgrader
        assert marks.grade and marks.locked
        assert marks.points == assignment_notebook.max_points(exercise)
        most = f", of={exercise.points}" if ".A" in exercise.id else ""
        assert points.source.splitlines()[-1] == f'points("{exercise.id}", {exercise.name}{most})'
        assert (
            points.metadata.editable
            is points.metadata.deletable
            is answer.metadata.deletable
            is False
        )
        heading = released[f"{answer.id}-text"].source
        assert exercise.goal in heading and (getattr(exercise, "text", "") in heading)
    assert (
        "import torch" in released["imports"].source
        and "lesson 06, `06_" in released["06-1-text"].source
    )


def test_the_same_command_makes_the_same_files(course, capsys):
    before = contents(course.path)
    assert cli.main(course.words) == 0
    assert contents(course.path) == before and "Hand out the folder" in capsys.readouterr().out
    assert cli.main(course.words[:8]) == 0  # without students and key, both stay
    assert contents(course.path) == before


# -- what is refused ----------------------------------------------------------------------------


def test_a_name_that_has_other_exercises_is_kept_unless_again_is_said(course, tmp_path, capsys):
    before = contents(course.path)
    words = ["assign", "06.1", "07b.1", "--name", "week3", "--out", str(course.path)]
    refused(words, capsys, "has 'week3' already, with 06.1, 07.A1, 07b.A2", "--again")
    (tmp_path / "other").write_bytes(b"another key of some length")
    refused(
        [*course.words[:8], "--variants", str(tmp_path / "other")], capsys, "drawn with another key"
    )
    manifest = assign.read_manifest(course.path, "week3")
    assert assign.variants_key(
        course.path, assign.find_exercises(WANTED), tmp_path / "other", manifest, again=True
    ).startswith(b"another")
    (tmp_path / "more").write_text("ada\neve\n")
    needs = "some are still to be drawn: name the key with --variants"
    refused([*course.words[:8], "--students", str(tmp_path / "more")], capsys, needs)
    refused(
        ["assign", "07b.A2", "--name", "week3", "--out", str(course.path), "--again"], capsys, needs
    )
    assert contents(course.path) == before
    out = ["--name", "a", "--out", str(tmp_path / "course")]
    assert cli.main(["assign", "06.1", *out]) == 0
    assert cli.main(["assign", "07b.1", "06.1", *out, "--again"]) == 0
    assert [
        entry["id"] for entry in assign.read_manifest(tmp_path / "course", "a")["exercises"]
    ] == ["07b.1", "06.1"]
    assert {"07b-1", "06-1"} <= set(cells(tmp_path / "course" / "release" / "a" / "a.ipynb"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["06.11", "--name", "a"], "there is no exercise '06.11'; did you mean 06.1"),
        (["07.A11", "--name", "a"], "did you mean 07.A1"),
        (["06.1", "06.1", "--name", "a"], "06.1 is named twice"),
        (["06.1", "--name", "../a"], "cannot be an assignment's name"),
        (["06.1", "--name", "a/b"], "cannot be an assignment's name"),
        (["07b.A2", "--name", "a", "--variants", "{}/course/key"], "keep the key elsewhere"),
        (["07b.A2", "--name", "a", "--students", "{}/none"], "there is no such file"),
        (["07b.A2", "--name", "a", "--students", "{}/empty"], "names no student"),
        (["07b.A2", "--name", "a", "--students", "{}/table"], "no column id, student or username"),
        (
            ["07b.A2", "--name", "a", "--students", "{}/twins"],
            "'Ada' and 'ada' could share a folder",
        ),
    ],
)
def test_what_cannot_be_handed_out_is_said_in_one_line_and_leaves_nothing(
    words, said, tmp_path, capsys
):
    (tmp_path / "empty").write_text("\n\n")
    (tmp_path / "table").write_text("name,grade\nx,1\n")
    (tmp_path / "twins").write_text("Ada\nada\n")
    refused(
        ["assign", *(word.format(tmp_path) for word in words), "--out", str(tmp_path / "course")],
        capsys,
        said,
    )
    assert not (tmp_path / "course").exists() and not (tmp_path / "key").exists()


@pytest.mark.parametrize(
    ("text", "students"),
    [
        ("ada\n\n bob \nada\n", ["ada", "bob"]),
        ("\ufeffid,name\n7,x\n8,y\n", ["7", "8"]),
        ('name\tstudent\n"a\tb"\tc d\n', ["c d"]),
        ("Username\nada\n", ["ada"]),
        ('"id";"mark"\n"ada";"1"\n\n', ["ada"]),
    ],
)
def test_students_come_out_of_a_list_or_a_table(text, students, tmp_path):
    (tmp_path / "file").write_text(text, encoding="utf-8")
    assert assign.read_students(tmp_path / "file", read_column) == students


def test_where_nbgrader_is_missing_the_command_that_adds_it_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "nbgrader.coursedir", None)
    refused(
        ["assign", "06.1", "--name", "a", "--out", str(tmp_path / "c")],
        capsys,
        "start.py setup --instructor",
    )
    assert not (tmp_path / "c").exists()


def test_if_nbgrader_refuses_everything_is_as_it_was(tmp_path, capsys):
    out = ["--name", "a", "--out", str(tmp_path / "c")]
    assert cli.main(["assign", "06.1", *out]) == 0
    before = contents(tmp_path / "c")
    with nbgrader_course.open_gradebook(tmp_path / "c") as book:
        book.add_student("ada")
        book.add_submission("a", "ada")
    refused(
        ["assign", "07b.1", *out, "--again"],
        capsys,
        "nbgrader does not make a: Cannot add or remove cells",
    )
    assert contents(tmp_path / "c") == before
    assert cli.main(["assign", "06.1", *out]) == 0 and contents(tmp_path / "c") == before


def test_exercises_that_need_one_name_for_two_things_are_handed_out_apart():
    one = next(one for one in EVERY if one.id == "04.3")
    assert "def merge" in assignment_notebook.imports_source([one])
    both = assign.find_exercises(["04.2", "04.3"])
    source = assignment_notebook.imports_source(both)
    assert "def merge" not in source, "the import cell gives the answer of 04.2"
    other = SimpleNamespace(name="x", imports="def merge():\n    return 1\n")
    with pytest.raises(ValueError, match="need a `merge` each"):
        assignment_notebook.imports_source([one, other])


# -- every exercise -----------------------------------------------------------------------------


def clear_solutions(book: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook as nbgrader leaves it, by the course's own setting."""
    setting = {"python": ""}
    assert (
        f"ClearSolutions.code_stub = {json.dumps(setting)}".replace("{", "{{").replace("}", "}}")
        in nbgrader_course.CONFIG_TEMPLATE
    )
    return ClearSolutions(code_stub=setting).preprocess(
        nbformat.from_dict(json.loads(json.dumps(book))), {}
    )[0]


def test_of_every_exercise_exactly_the_starter_is_handed_out():
    released = {
        cell.id: cell.source
        for cell in clear_solutions(assignment_notebook.assignment_notebook("all", EVERY)).cells
    }
    assert {one.id: released[assignment_notebook.cell_ids(one)[0]] for one in EVERY} == {
        one.id: one.starter for one in EVERY
    }


@pytest.mark.parametrize(
    ("starter", "solution"),
    [
        ("def f(x):\n    a = ...\n    return a\n", "def f(x):\n    a = x\n    return a\n"),
        (
            "class A:\n    def f(self):\n        ...\n\n    def g(self):\n        ...",
            "class A:\n    f = g = lambda self: 1\n",
        ),
        (
            "def f(x):\n    if x:\n        ...\n",
            "def f(x):\n    if x:\n        return 1\n    return 2\n",
        ),
    ],
)
def test_gaps_anywhere_release_the_starter_too_and_the_answer_runs(starter, solution):
    exercise = SimpleNamespace(id="00.1", starter=starter, solution=solution, name="f")
    source = assignment_notebook.starter_and_solution(exercise)
    cell = assignment_notebook.code_cell("00-1", source, solution=True)
    assert clear_solutions(nbformat.v4.new_notebook(cells=[cell])).cells[0].source.rstrip(
        "\n"
    ) == starter.rstrip("\n")
    space = {}
    exec(cell.source, space)
    assert space["f"](1) == 1 if "f" in space else space["A"]().g() == 1


@pytest.mark.slow
def test_blank_every_exercise_runs_and_has_no_points_and_solved_it_has_all(tmp_path):
    handed = [make_record(one) for one in EVERY if isinstance(one, AssignedExercise)]
    (tmp_path / RECORDS_FILE).write_text(json.dumps({"assignment": "all", "exercises": handed}))
    source = assignment_notebook.assignment_notebook("all", EVERY)
    for book, wanted, word in (
        (clear_solutions(source), lambda one: 0.0, "is blank"),
        (source, lambda one: float(assignment_notebook.max_points(one)), "right"),
    ):
        NotebookClient(
            book, timeout=120, resources={"metadata": {"path": str(tmp_path)}}
        ).execute()  # stops at an error
        found = {cell.id: cell.outputs for cell in book.cells if cell.cell_type == "code"}
        results = {
            one.id: [
                output
                for output in found[assignment_notebook.cell_ids(one)[1]]
                if output.output_type == "execute_result"
            ]
            for one in EVERY
        }
        assert {
            name: [each.data["text/plain"] for each in said] for name, said in results.items()
        } == {one.id: [repr(wanted(one))] for one in EVERY}
        points_cells = {one.id: assignment_notebook.cell_ids(one)[1] for one in EVERY}
        cards = {i: found[cell][0].data["text/plain"] for i, cell in points_cells.items()}
        assert {name: card for name, card in cards.items() if f"{name} {word}" not in card} == {}
        assert not [
            name
            for name, outputs in found.items()
            for one in outputs
            if one.output_type == "stream"
        ]


# -- nbgrader, unchanged ------------------------------------------------------------------------


def nbgrader(folder: Path, *words: str, instructor: bool = True) -> str:
    """Run nbgrader's own program; what it says."""
    environment = jupyter.environment(os.environ, folder)
    if not instructor:
        environment["FMCOURSE_INSTRUCTOR"] = str(folder / "nothing")
    done = subprocess.run(
        [sys.executable, "-m", "nbgrader", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def exercise_of(name: str):
    return next(one for one in EVERY if one.id == name)


def numbers_of(student: str) -> dict:
    return variants.numbers_for(KEY, student, exercise_of("07b.A2"))


def answers_of(student: str) -> dict[str, str]:
    """What each student writes: all right, one named mistake, right on public cases, nothing."""
    solved = {name: exercise_of(name).solution for name in ("06.1", "07.A1")}
    solved["07b.A2"] = (
        f"share_of_long_names = {exercise_of('07b.A2').reference(numbers_of(student))!r}"
    )
    named = next(
        one for one in exercise_of("07.A1").mistakes if one.name == "the first piece alone"
    )
    return {
        "ada": solved,
        "bob@uni.edu": solved
        | {"07.A1": named.wrong_answer, "07b.A2": "share_of_long_names = 0.123"},
        "Zoë Q": {"06.1": "def causal_mask(T):\n    return 1\n", "07.A1": OVERFITTED},
        "dan": {},
    }[student]


def hand_in(course: Path, student: str, folder: Path) -> None:
    """Put a student's notebook into a folder, as it was handed out and filled in."""
    folder.mkdir(parents=True)
    for path in (course / "release" / "week3").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    book = nbformat.read(folder / "week3.ipynb", as_version=4)
    for cell in book.cells:
        for name, source in answers_of(student).items():
            if cell.id == name.replace(".", "-"):
                cell.source = source
    nbformat.write(book, folder / "week3.ipynb")


def expected_points(student: str, name: str) -> float:
    """The points by the mark itself."""
    exercise, source = exercise_of(name), answers_of(student).get(name)
    if source is None:
        return 0.0
    space = {}
    exec(exercise.imports, space)
    exec(source, space)
    value = space[exercise.name]
    if name == "07b.A2":
        value, exercise = exercise.candidate(value), exercise.for_numbers(numbers_of(student))
    assert not precheck(exercise, value)
    key, n_public = answer_key(exercise)
    found = mark(key, run_cases(key.exercise, value), n_public)
    return found.share * assignment_notebook.max_points(exercise)


def scores(course: Path, name: str = "week3") -> dict[str, dict[str, float]]:
    """The gradebook's points, by folder and cell."""
    with nbgrader_course.open_gradebook(course) as book:
        return {
            each.student.id: {
                grade.name: (grade.auto_score, grade.needs_manual_grade)
                for notebook in each.notebooks
                for grade in notebook.grades
            }
            for each in book.assignment_submissions(name)
        }


def export_grades(course: Path) -> dict[str, dict[str, str]]:
    nbgrader(course, "export", "--to", str(course / "grades.csv"))
    rows = csv.DictReader(io.StringIO((course / "grades.csv").read_text(encoding="utf-8")))
    return {row["student_id"]: row for row in rows}


FOLDERS = dict(zip(STUDENTS, ["ada", "bob@uni.edu", "Zo=C3=AB=20Q", "dan"], strict=True))


@pytest.mark.slow
def test_nbgrader_validates_what_a_student_has(course, tmp_path):
    for student in ("dan", "ada"):
        hand_in(course.path, student, tmp_path / student)
        (tmp_path / student / VARIANT_FILE).write_bytes(
            (course.path / "variants" / "week3" / student / VARIANT_FILE).read_bytes()
        )
    blank = nbgrader(tmp_path / "dan", "validate", "week3.ipynb", instructor=False)
    assert (
        "VALIDATION FAILED ON 2 CELL(S)!" in blank
        and 'points("07.A1", hide_whole_words, of=10)' in blank
    )
    solved = nbgrader(tmp_path / "ada", "validate", "week3.ipynb", instructor=False)
    assert "Success! Your notebook passes all the tests." in solved


@pytest.mark.slow
def test_nbgrader_grades_explains_and_exports_what_marking_says(course):
    for student, folder in FOLDERS.items():
        hand_in(course.path, student, course.path / "submitted" / folder / "week3")
    nbgrader(course.path, "autograde", "week3")
    wanted = {
        FOLDERS[student]: {
            f"{name.replace('.', '-')}-points": (
                pytest.approx(expected_points(student, name), abs=0.006),
                False,
            )
            for name in WANTED
        }
        for student in STUDENTS
    }
    found = scores(course.path)
    assert found == wanted
    assert (
        sum(score for score, _ in found["ada"].values()) == 20
        and 0 < found["bob@uni.edu"]["07-A1-points"][0] < 10
    )
    assert 1 < found["Zo=C3=AB=20Q"]["07-A1-points"][0] < 6, "hidden cases do not count"
    nbgrader(course.path, "generate_feedback", "week3")
    feedback = {
        name: (course.path / "feedback" / name / "week3" / "week3.html").read_text(encoding="utf-8")
        for name in FOLDERS.values()
    }
    assert (
        "the first piece alone" in feedback["bob@uni.edu"]
        and "not on others" in feedback["Zo=C3=AB=20Q"]
    )
    for name, row in export_grades(course.path).items():
        assert (
            float(row["score"]) == pytest.approx(sum(score for score, _ in found[name].values()))
            and float(row["max_score"]) == 20
        )


def exercise_result(**fields) -> ExerciseResult:
    """A result in which only these fields say something."""
    empty = dict(points=0, of=0, share=0.0, verdict="", step="", value=None, sentences=[])
    empty |= dict(table=[], code="", parts=[], seconds=0.0)
    return ExerciseResult(**empty | fields)


@pytest.mark.slow
def test_grades_made_elsewhere_are_in_the_gradebook_the_feedback_and_the_export(tmp_path):
    course = tmp_path / "course"
    assert cli.main(["assign", "06.1", "07.A1", "--name", "week4", "--out", str(course)]) == 0
    manifest = assign.read_manifest(course, "week4")
    wrong = exercise_result(
        points=3.5,
        of=10,
        verdict="the others",
        sentences=["It hides `those` <b>that were not chosen.", "\ud800"],
        table=["expected   got", "1          0"],
        code="def hide_whole_words(begins, chosen):\n    return ~chosen  # \ud800\n",
    )
    right = exercise_result(verdict="right", code=exercise_of("06.1").solution)
    remarks = ["It is a script, not a notebook."]
    results = [
        StudentResult("../Zoë", {"06.1": right, "07.A1": wrong}, remarks),
        StudentResult("nobody", {}, ["Nothing was handed in."]),
    ]
    (course / "submitted" / "nobody" / "week4").mkdir(parents=True)
    (course / "submitted" / "nobody" / "week4" / "timestamp.txt").write_text(
        "2026-03-01 11:00:00 UTC\n"
    )
    nbgrader_course.write_grades(course, manifest, results)
    before = contents(course)
    with nbgrader_course.open_gradebook(course) as book:  # an earlier try of nbgrader's own
        book.find_grade("07-A1-points", "week4", "week4", "nobody").needs_manual_grade = True
        book.db.commit()
    nbgrader_course.write_grades(course, manifest, results)
    assert contents(course) == before
    assert not any(
        manual for grades in scores(course, "week4").values() for _, manual in grades.values()
    )
    rows = export_grades(course)
    name = "=2E.=2FZo=C3=AB"
    assert {row: float(rows[row]["score"]) for row in rows} == {name: 3.5, "nobody": 0.0}
    assert not (tmp_path / "Zoë").exists()
    assert (rows[name]["timestamp"], rows["nobody"]["timestamp"]) == ("", "2026-03-01 11:00:00")
    api = NbGraderAPI(
        nbgrader_course.course_directory(course)
    )  # by which formgrader decides what is still to be graded
    assert api.get_autograded_students("week4") == {name, "nobody"}
    assert {one["student"]: one["score"] for one in api.get_submissions("week4")} == {
        name: 3.5,
        "nobody": 0.0,
    }
    nbgrader(course, "generate_feedback", "week4")
    page = (course / "feedback" / name / "week4" / "week4.html").read_text(encoding="utf-8")
    for said in (
        "the others",
        "It hides <code>those</code> &lt;b&gt;that",
        "return",
        "It is a script, not a notebook.",
        "3.5 of 10 points",
    ):
        assert said in page
    nbgrader_course.write_grades(course, manifest, [StudentResult("nobody", {"06.1": right})])
    assert float(export_grades(course)["nobody"]["score"]) == 0.0, "practice earns no points"
    assert (course / "autograded" / "nobody" / "week4" / "week4.ipynb").is_file()


@pytest.mark.slow
def test_one_students_folder_does_not_end_the_gradebook_for_the_others(tmp_path, monkeypatch):
    course = tmp_path / "course"
    assert cli.main(["assign", "06.1", "--name", "week4", "--out", str(course)]) == 0
    manifest = assign.read_manifest(course, "week4")
    right = exercise_result(verdict="right", code=exercise_of("06.1").solution)
    students = ["ann", "Jos\udce9", "broken", "zoe"]
    results = [StudentResult(name, {"06.1": right}) for name in students]
    put_scores = nbgrader_course.put_scores

    def put_or_fail(book, manifest, result, when):
        if result.student == "broken":
            raise UnicodeError("whatever it is")
        put_scores(book, manifest, result, when)

    monkeypatch.setattr(nbgrader_course, "put_scores", put_or_fail)
    with pytest.raises(ValueError, match=r"lacks these results.*: broken \(UnicodeError\)\.$"):
        nbgrader_course.write_grades(course, manifest, results)
    assert set(scores(course, "week4")) == {"ann", "Jos=ED=B3=A9", "zoe"}


@pytest.mark.parametrize("kind", ["pipe", "link", "folder", "large", "far", "missing", "time"])
def test_whatever_a_student_puts_in_place_of_a_time_is_passed_over(tmp_path, kind):
    pytest.importorskip("nbgrader", reason="nbgrader is for instructors, and not installed here")
    path = tmp_path / "submitted" / "ann" / "week4" / "timestamp.txt"
    path.parent.mkdir(parents=True)
    other = tmp_path / "other.txt"
    other.write_text("2026-03-01 11:00:00 UTC\n")
    {
        "pipe": lambda: os.mkfifo(path),
        "link": lambda: path.symlink_to(other),  # might be a device, which has no end
        "folder": path.mkdir,
        "large": lambda: path.write_bytes(b"2026-03-01 11:00:00 UTC" + b" " * 10**6),
        "far": lambda: path.write_text("0001-01-01 00:00:00 +2359999999999"),
        "missing": lambda: None,
        "time": lambda: path.write_text("2026-03-01 11:00:00 UTC\n"),
    }[kind]()
    found = nbgrader_course.submission_time(tmp_path, "week4", "ann")
    assert (found is not None) == (kind == "time")


def test_the_help_says_of_points_what_assign_does(capsys):
    """Practice can be looked up, so it has none."""
    with pytest.raises(SystemExit):
        cli.main(["assign", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "(06.1), which are practice, done or not and without points" in said
    assert assignment_notebook.max_points(exercise_of("06.1")) == 0


def test_grades_for_an_assignment_that_the_gradebook_does_not_know_are_refused(course, tmp_path):
    with pytest.raises(ValueError, match="makes it again"):
        nbgrader_course.write_grades(tmp_path, {"name": "week3", "exercises": []}, [])
    (tmp_path / "release" / "week3").mkdir(parents=True)
    (tmp_path / "release" / "week3" / "week3.ipynb").write_bytes(
        (course.path / "release" / "week3" / "week3.ipynb").read_bytes()
    )
    with pytest.raises(ValueError, match="is no course"):
        nbgrader_course.write_grades(tmp_path, {"name": "week3", "exercises": []}, [])
    nbgrader_course.make_course_folder(tmp_path)
    result = StudentResult("ada", {})
    with pytest.raises(ValueError, match="does not know week3"):
        nbgrader_course.write_grades(tmp_path, {"name": "week3", "exercises": []}, [result])
    (tmp_path / "gradebook.db").write_bytes(b"no database" * 100)
    with pytest.raises(ValueError, match="cannot be used"):
        nbgrader_course.add_students(tmp_path, ["ada"])
