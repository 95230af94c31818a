"""What a learner has done is kept whole, or set aside whole, and never stops a lesson."""

import json
import os
from types import SimpleNamespace

import pytest

from fmcourse.course import (
    check,
    hint,
    predict,
    progress,
    progress_record,
    quiz,
    resolve,
    solution,
)
from fmcourse.course.exercise import Exercise

DOUBLE = Exercise(
    "92.1",
    goal="say it twice",
    minutes=1,
    cases=[1, 2],
    starter="def double(x):\n    ...\n",
    mistakes=[],
    solution="def double(x):\n    return x + x\n",
    hints=["first", "second", "third"],
    explanation="Once, and again.",
)


@pytest.fixture(autouse=True)
def one_exercise(monkeypatch):
    monkeypatch.setattr("fmcourse.course.library.all_exercises", lambda: iter([DOUBLE]))
    monkeypatch.setattr(progress_record, "UNSAVED", {})


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setenv("FMCOURSE_PROGRESS", str(tmp_path / "deep" / "progress.json"))
    return tmp_path / "deep" / "progress.json"


@pytest.fixture
def notebook_folder(tmp_path, monkeypatch):
    """No place named: a current folder and a cache folder of the test's own."""
    monkeypatch.delenv("FMCOURSE_PROGRESS")
    monkeypatch.setenv("FMCOURSE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def saved_record(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_checks_hints_and_solutions_are_noted(path):
    check("92.1", lambda x: 3 * x)
    hint("92.1"), hint("92.1")
    check("92.1", lambda x: 2 * x)
    solution("92.1")
    check("92.1", None)
    assert saved_record(path)["exercises"] == {
        "92.1": {"tries": 2, "hints": 2, "right": True, "solution": True}
    }


def test_hints_come_one_by_one_and_the_last_stays(path, capsys):
    for _ in range(4):
        hint("92.1")
    hint("92.1", level=1)
    lines = [
        line.strip() for line in capsys.readouterr().out.splitlines() if not line.startswith("○")
    ]
    assert [line for line in lines if line in DOUBLE.hints] == [
        "first",
        "second",
        "third",
        "third",
        "first",
    ]
    assert 'Still stuck? `solution("92.1")`' in lines
    with pytest.raises(ValueError, match="level=4 is not known"):
        hint("92.1", level=4)


def test_the_solution_is_shown_with_its_reason(path, capsys):
    solution("92.1")
    said = capsys.readouterr().out
    assert "Once, and again." in said and "def double(x):\n        return x + x" in said


def test_the_map_counts(path, capsys):
    predict("92.p", "up or down?", ["up", "down"])
    quiz("92.q", "which?", {"a": "because", "b": "since"}, answer="a")
    with progress_record.entry("quizzes", "91.q") as notes:
        notes["chosen"] = "b"
    check("92.1", lambda x: 2 * x)
    capsys.readouterr()
    progress()
    said = [line.split("  ") for line in capsys.readouterr().out.splitlines()]
    said = [[cell.strip() for cell in row if cell] for row in said]
    assert said[1:] == [["91", "1 of 1"], ["92", "● 1 of 1", "0 of 1", "0 of 1"]]
    progress("92")  # what a lesson shows at its end: another lesson must not change it
    assert [line[:2] for line in capsys.readouterr().out.splitlines()] == ["le", "92"]


def test_a_lesson_that_is_not_in_the_map_says_which_are(path):
    with pytest.raises(ValueError, match="lesson '99' is not in the map; there is: .*92"):
        progress("99")


def test_a_write_is_whole_or_not_at_all(path, monkeypatch):
    check("92.1", lambda x: 2 * x)
    before = path.read_bytes()

    def crash(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", crash)
        with pytest.raises(KeyboardInterrupt):
            solution("92.1")
    assert path.read_bytes() == before and os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize(
    "damage",
    ['{"exercises": {"92', "[]", '{"exercises": 3}', '{"exercises": {"92.1": 3}}', "", "\0\xff"],
)
def test_a_damaged_file_is_set_aside_and_nothing_is_lost(path, capsys, damage):
    path.parent.mkdir()
    path.write_bytes(damage.encode("latin-1"))
    path.with_name("progress.json.damaged-1").write_text("older")
    check("92.1", lambda x: 2 * x)
    assert "It is kept as progress.json.damaged-2" in capsys.readouterr().out
    assert path.with_name("progress.json.damaged-2").read_bytes() == damage.encode("latin-1")
    assert path.with_name("progress.json.damaged-1").read_text() == "older"
    assert saved_record(path)["exercises"]["92.1"]["right"]


def test_what_a_newer_edition_noted_is_not_thrown_away(path):
    path.parent.mkdir()
    path.write_text('{"exercises": {"92.1": {"stars": 3}}, "badges": {"x": 1}}')
    check("92.1", lambda x: 2 * x)
    assert saved_record(path)["exercises"]["92.1"] == {"stars": 3, "tries": 1, "right": True}
    assert saved_record(path)["badges"] == {"x": 1}


def test_it_lies_beside_the_notebooks(notebook_folder):
    hint("92.1")
    assert (
        saved_record(notebook_folder / "here" / ".fmcourse" / "progress.json")["exercises"]["92.1"][
            "hints"
        ]
        == 1
    )


def test_from_above_the_work_folder_it_is_found_too(notebook_folder, monkeypatch):
    (notebook_folder / "here" / "work").mkdir()
    monkeypatch.chdir("work")
    hint("92.1")
    monkeypatch.chdir("..")
    hint("92.1")
    assert (
        saved_record(notebook_folder / "here" / "work" / ".fmcourse" / "progress.json")[
            "exercises"
        ]["92.1"]["hints"]
        == 2
    )


def test_of_two_records_the_newer_counts(notebook_folder):
    hint("92.1")
    (notebook_folder / "cache").mkdir()
    older = notebook_folder / "cache" / "progress.json"
    older.write_text('{"exercises": {"92.1": {"hints": 3}}}')
    os.utime(older, (1, 1))
    hint("92.1")
    assert (
        saved_record(notebook_folder / "here" / ".fmcourse" / "progress.json")["exercises"]["92.1"][
            "hints"
        ]
        == 2
    )
    os.utime(older, (4e9, 4e9))
    assert progress_record.load_record()["exercises"]["92.1"]["hints"] == 3


def test_looking_again_writes_nothing(path):
    hint("92.1", level=1)
    os.utime(path, (1, 1))
    hint("92.1", level=1)
    assert path.stat().st_mtime == 1


def refuse(places):
    """Stands in for a disk on which these places cannot be written."""

    def write(path, text):
        if any(place in path.parts for place in places):
            raise PermissionError(13, "Permission denied", str(path))
        from fmcourse.files import write_text

        write_text(path, text)

    return write


def test_where_the_folder_is_read_only_it_lies_in_the_cache(notebook_folder, monkeypatch):
    monkeypatch.setattr(progress_record, "write_text", refuse(["here"]))
    hint("92.1"), hint("92.1")
    assert (
        saved_record(notebook_folder / "cache" / "progress.json")["exercises"]["92.1"]["hints"] == 2
    )


def test_where_nothing_can_be_written_it_is_kept_in_memory_and_said_once(
    notebook_folder, monkeypatch, capsys
):
    monkeypatch.setattr(progress_record, "write_text", refuse(["here", "cache"]))
    hint("92.1"), hint("92.1")
    assert capsys.readouterr().out.count("cannot be saved here") == 1
    assert progress_record.load_record()["exercises"]["92.1"]["hints"] == 2


def test_a_file_that_cannot_be_read_or_moved_is_left_alone(path, monkeypatch, capsys):
    path.parent.mkdir()
    path.write_text("{")
    replace = os.replace

    def stuck(old, new):
        if old == path:
            raise PermissionError(13, "no")
        replace(old, new)

    monkeypatch.setattr(os, "replace", stuck)
    hint("92.1"), hint("92.1")
    assert path.read_text() == "{" and "is not saved" in capsys.readouterr().out
    assert progress_record.load_record()["exercises"]["92.1"]["hints"] == 2


# --- questions


@pytest.fixture
def widgets(monkeypatch):
    """The live parts of what is shown, and the pages."""
    shown = []

    def keep(text, page, *, live=None):
        shown.append(SimpleNamespace(text=text, page=page, live=live))

    monkeypatch.setattr("fmcourse.course.showing.publish", keep)
    return shown


def test_a_prediction_is_remembered(path, widgets):
    def ask():
        predict("92.p", "Up & `down`?", ["up", "down"])

    ask()
    assert widgets[0].text == "Predict: Up & `down`?\n    ( ) up\n    ( ) down"
    assert "Up &amp; <code>down</code>?" in widgets[0].page and "<li>up</li>" in widgets[0].page
    _, box, reply = widgets[0].live.children
    box.value = "down"
    assert "You predict: down." in reply.value
    ask()
    assert widgets[1].live.children[1].value == "down" and "You predict: down." in widgets[1].page
    assert saved_record(path)["predictions"] == {"92.p": {"chosen": "down"}}


def test_a_prediction_is_resolved_with_its_reason_and_what_was_predicted(path, widgets):
    predict("92.p", "Up?", ["up", "down"])
    resolve("92.p", "down", "It fell each time.")
    assert widgets[1].text == "✓ Answer: down\n    It fell each time."
    for choice, said in (("down", "So you predicted."), ("up", "You had predicted: up.")):
        widgets[0].live.children[1].value = choice
        resolve("92.p", "down", "It fell each time.")
        assert widgets[-1].text.splitlines()[-1].strip() == said
        assert saved_record(path)["predictions"]["92.p"]["right"] == (choice == "down")


def test_an_answer_that_is_no_option_or_has_no_reason_is_refused(path, widgets):
    predict("92.p", "Up?", ["up", "down"])
    with pytest.raises(ValueError, match="answer='left' is none of the options: 'up', 'down'"):
        resolve("92.p", "left", "It fell each time.")
    with pytest.raises(ValueError, match="resolved without a reason"):
        resolve("92.p", "up", " ")


def test_a_resolve_whose_question_was_not_asked_in_this_session_says_the_same(path, widgets):
    resolve("92.other", "down", "It fell each time.")
    assert widgets[0].text == "✓ Answer: down\n    It fell each time."


def test_a_quiz_explains_every_option_on_the_page_and_the_chosen_one_live(path, widgets):
    quiz("92.q", "Which?", {"a": "It is small.", "b": "It is large."}, answer="b")
    assert widgets[0].text == "Quiz: Which?\n    ( ) a\n    ( ) b"
    for words in ("✗ No. It is small.", "✓ Right. It is large."):
        assert words in widgets[0].page and words not in widgets[0].text
    _, box, reply = widgets[0].live.children
    assert reply.value == ""
    box.value = "a"
    assert reply.value == "✗ No. It is small." and saved_record(path)["quizzes"]["92.q"] == {
        "chosen": "a",
        "right": False,
    }
    box.value = "b"
    assert reply.value == "✓ Right. It is large." and saved_record(path)["quizzes"]["92.q"] == {
        "chosen": "b",
        "right": True,
    }


def test_an_option_that_is_no_longer_there_is_forgotten(path, widgets):
    with progress_record.entry("predictions", "92.p") as notes:
        notes["chosen"] = "sideways"
    predict("92.p", "where?", ["up", "down"])
    assert widgets[0].live.children[1].value is None


@pytest.mark.parametrize("options", [[], ["one"], ["a", "a"], "yes"])
def test_a_question_needs_two_options(path, options):
    with pytest.raises(ValueError, match="give at least two, each another one"):
        predict("92.p", "which?", options)


def test_a_quiz_without_its_answer_or_an_explanation_is_refused(path):
    with pytest.raises(ValueError, match="answer='c' is none of the options: 'a', 'b'"):
        quiz("92.q", "which?", {"a": "x", "b": "y"}, answer="c")
    with pytest.raises(ValueError, match="option 'b' has no explanation"):
        quiz("92.q", "which?", {"a": "x", "b": " "}, answer="a")
