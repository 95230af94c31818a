"""The instructor's key, the students' own numbers, names that become folders, the manifest."""

import hashlib
import hmac
import json
import os
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmcourse.classroom import variants
from fmcourse.classroom.assign import read_manifest
from fmcourse.classroom.course_files import (
    check_assignment_name,
    safe_name,
    student_id,
    write_manifest,
)
from fmcourse.classroom.exercise_kinds import AssignedExercise

ASKED = AssignedExercise(
    "00.A1",
    goal="a sum",
    minutes=1,
    starter='mine = variant("00.A1")\ntotal = ...\n',
    solution="def total(mine):\n    return mine['a'] + 1\n",
    mistakes=(),
    vary=lambda draw: {"a": draw.randrange(10**9)},
)
OTHER = AssignedExercise(
    "00.A2",
    goal="a sum",
    minutes=1,
    starter="total = ...\n",
    solution=ASKED.solution,
    mistakes=(),
    vary=ASKED.vary,
)
MANIFEST = {
    "name": "week3",
    "variants": None,
    "students": ["ada"],
    "fmcourse": "1",
    "exercises": [
        {
            "id": "06.1",
            "points": 1,
            "cell": "06-1",
            "points_cell": "06-1-points",
            "name": "causal_mask",
        }
    ],
}

# -- the key ------------------------------------------------------------------------------------


def test_a_key_is_made_once_for_its_owner_alone_and_read_from_then_on(tmp_path, capsys):
    path = tmp_path / "keys" / "mine.key"
    key = variants.read_or_make_key(path, tmp_path / "course")
    assert "Keep it" in capsys.readouterr().out and len(key) == 64 and int(key, 16)
    assert os.name == "nt" or stat.S_IMODE(path.stat().st_mode) == 0o600
    assert variants.read_or_make_key(path, tmp_path / "course") == variants.read_key(path) == key
    assert capsys.readouterr().out == ""
    with pytest.raises(FileExistsError):
        variants.make_key(path)


@pytest.mark.parametrize("where", ["key", "deep/er/key", "../course/key"])
def test_a_key_in_the_folder_that_is_handed_out_is_refused(tmp_path, where):
    course = tmp_path / "course"
    course.mkdir()
    with pytest.raises(ValueError, match="keep the key elsewhere"):
        variants.read_or_make_key(course / where, course)
    (tmp_path / "link").symlink_to(course, target_is_directory=True)
    with pytest.raises(ValueError, match="keep the key elsewhere"):
        variants.read_or_make_key(tmp_path / "link" / "key", course)
    assert list(course.rglob("key")) == []


def test_a_key_that_keeps_nothing_secret_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no such key file"):
        variants.read_key(tmp_path / "none")
    (tmp_path / "short").write_text("abc\n")
    with pytest.raises(ValueError, match="holds 3 characters"):
        variants.read_or_make_key(tmp_path / "short", tmp_path / "course")


def test_numbers_belong_to_a_key_a_student_and_an_exercise():
    mine = variants.numbers_for("k" * 20, "ada", ASKED)
    assert mine == variants.numbers_for(b"k" * 20, "ada", ASKED)
    others = [
        ("k" * 20, "bob", ASKED),
        ("k" * 20, "ada", OTHER),
        ("j" * 20, "ada", ASKED),
        ("k" * 20, "ad\0a", ASKED),
    ]
    drawn = [variants.numbers_for(*one)["a"] for one in others]
    assert len({mine["a"], *drawn}) == 5
    assert mine != ASKED.cases[0], "the numbers that everybody may see"
    seed = hmac.new(b"k" * 20, b"ada\x0000.A1", hashlib.sha256).hexdigest()
    assert mine == ASKED.draw_numbers(seed), (
        "numbers that were handed out would be others in this version"
    )


def test_a_fingerprint_tells_keys_apart_and_says_neither():
    one, two = (variants.fingerprint(key * 20) for key in "kj")
    assert (
        one != two and one == variants.fingerprint(b"k" * 20) and len(one) == 16 and "k" not in one
    )


# -- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("student", "name"),
    [
        ("ada", "ada"),
        ("ada@uni.edu", "ada@uni.edu"),
        ("Zoë", "Zo=C3=AB"),
        ("a b", "a=20b"),
        ("..", "=2E=2E"),
        (".", "=2E"),
        ("a/../b", "a=2F..=2Fb"),
        ("C:\\x", "C=3A=5Cx"),
        ("-rf", "=2Drf"),
        ("con", "=63on"),
        ("Nul.txt", "=4Eul.txt"),
        ("a.", "a=2E"),
        ("x=y", "x=3Dy"),
        ("a+b", "a=2Bb"),
        ("*", "=2A"),
        ("50%", "50=25"),
    ],
)
def test_a_students_id_becomes_a_folder_that_leads_nowhere_else(student, name):
    assert safe_name(student) == name and student_id(name) == student


@given(st.text(min_size=1, max_size=300), st.text(min_size=1, max_size=300))
def test_other_students_have_other_folders_whatever_they_are_called(one, two):
    name = safe_name(one)
    assert (
        name.isascii()
        and len(name) <= 128
        and not set(name) & set("/\\:*?\"<>|\0 +,'")
        and name.strip(".") == name
    )
    assert (name == safe_name(two)) == (one == two)
    assert student_id(name) == (None if "==" in name else one)


def test_an_empty_id_is_refused():
    with pytest.raises(ValueError, match="give an id"):
        safe_name("")


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "a/b", "../x", "/x", "a b", "-x", "con", "week+3", "w" * 51, "a.b", "a\n"],
)
def test_an_assignment_has_a_plain_name(name):
    with pytest.raises(ValueError, match="cannot be an assignment's name"):
        check_assignment_name(name)


# -- the manifest -------------------------------------------------------------------------------


def test_a_manifest_comes_back_as_it_was_written(tmp_path):
    write_manifest(tmp_path, MANIFEST)
    assert read_manifest(tmp_path, "week3") == MANIFEST


def test_an_assignment_that_is_not_there_names_those_that_are(tmp_path):
    with pytest.raises(ValueError, match="there is no folder"):
        read_manifest(tmp_path / "nowhere", "week3")
    with pytest.raises(ValueError, match="holds no assignment yet"):
        read_manifest(tmp_path, "week3")
    write_manifest(tmp_path, MANIFEST)
    with pytest.raises(ValueError, match="has no assignment 'week4'; there is: week3"):
        read_manifest(tmp_path, "week4")
    with pytest.raises(ValueError, match="cannot be an assignment's name"):
        read_manifest(tmp_path, "../week3")


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "{}", '"week3"', "[" * 100_000]
    + [
        json.dumps(MANIFEST | change)
        for change in (
            {"name": "week4"},
            {"exercises": [{"id": "06.1"}]},
            {"exercises": {}},
            {"students": [3]},
            {"variants": 3},
        )
    ],
)
def test_a_damaged_manifest_is_said_to_be_one(tmp_path, text):
    write_manifest(tmp_path, MANIFEST)
    (tmp_path / "assignments" / "week3.json").write_text(text)
    with pytest.raises(ValueError, match=r"week3.json is damaged"):
        read_manifest(tmp_path, "week3")
