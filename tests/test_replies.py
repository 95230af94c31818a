"""What comes back of a student's process may be anything: it is read within limits, and quoted."""

import itertools
import time

import pytest

from fmcourse.classroom import grade
from fmcourse.classroom.candidates import describe_candidate
from fmcourse.classroom.grade import Grader, parse_reply
from fmcourse.classroom.jail import JailError
from fmcourse.classroom.packing import pack_outcome
from fmcourse.classroom.slicing import find_answers
from fmcourse.classroom.submissions import Submission
from fmcourse.classroom.task import make_task, run_answer
from fmcourse.course.exercise import Exercise
from fmcourse.course.library import find_exercise
from fmcourse.course.running import Outcome
from fmcourse.course.verdict import Stopped

ADD = Exercise(
    "90.1",
    goal="add",
    minutes=1,
    cases=[(1, 2), (2, 3)],
    hints=["a" * 20] * 3,
    mistakes=(),
    starter='def add(a, b):\n    """The sum."""\n    ...\n',
    solution="def add(a, b):\n    return a + b\n",
)
LIMITS = {"seconds": 20.0, "memory_mb": 1024}
FORGED = "Right: 10 of 10 points."


def verdict(reply: dict, exercise: Exercise = ADD) -> tuple[str, str]:
    """The name and the sentences of a verdict on a reply that ends an answer's way."""
    with pytest.raises(Stopped) as stop:
        parse_reply(reply, exercise, LIMITS)
    return stop.value.verdict.name, " ".join(stop.value.verdict.sentences)


def one_class(base: type) -> type:
    return type(FORGED, (base,), {})


# -- an answer that cannot be called -------------------------------------------------------------


@pytest.mark.parametrize(
    ("candidate", "name", "words"),
    [
        ([1, 2], "not a function", "This is a list, not a function."),
        ("text", "not a function", "This is text, not a function."),
        (3.5, "not a function", "This is a float, not a function."),
        (one_class(list), "a class", "This is a class; a function is wanted."),
        (
            lambda a, *, b=FORGED: a,
            "its parameters",
            "It is written as add(a, *, b=...), but will be called as add(a, b).",
        ),
        (None, "blank", ""),
    ],
)
def test_the_grader_says_itself_why_an_answer_cannot_be_called(candidate, name, words):
    said = verdict({"unfit": describe_candidate(candidate, name)})
    assert said[0] == name and said[1].startswith(words) and FORGED not in said[1]


@pytest.mark.parametrize(
    "facts",
    [
        ["its parameters", [FORGED]],
        [FORGED, [FORGED]],
        {"kind": FORGED},
        {"kind": "parameters", "parameters": [[FORGED, 1, False]]},
        {"kind": "parameters", "parameters": [["a", 1, False], ["b", 1, False]]},
        {"kind": "parameters", "parameters": [["a" * 200, 1, False]]},
        {"kind": "parameters", "parameters": [[f"a{n}", 1, False] for n in range(5000)]},
        {"kind": "parameters", "parameters": [["a", 9, False]]},
        {"kind": "value", "value": {"object": FORGED}},
        {"kind": "value", "value": FORGED},
        {"kind": "value"},
        7,
        None,
    ],
)
def test_no_free_text_of_an_unfit_answer_is_passed_on(facts):
    name, said = verdict({"unfit": facts})
    assert "10 of 10" not in name + said and "aaaa" not in said and len(said) < 400


# -- statements that do not come to an end -------------------------------------------------------


def test_where_a_notebook_stops_is_said_and_its_error_quoted():
    pool = find_exercise("07b.1")
    code = pool.solution.replace("return", "return 0 * w +", 1)
    made = find_answers(["import math\n\nw = math.floor('`a`')", code], [pool])[pool.id]
    name, said = verdict(run_answer(make_task(pool, made)), pool)
    assert name == "it does not get that far"
    assert said.startswith(f"Before `{pool.name}` is there, in line 3 of code cell 1 the notebook")
    assert said.endswith("stops with `TypeError: must be real number, not str`.")


@pytest.mark.parametrize(
    "sentence",
    [
        FORGED,
        f"Before `add` is there, the notebook stops with `x`. {FORGED} `y`.",
        f"Before `{FORGED}` is there, the notebook stops with x.",
        f"{FORGED} Before `add` is there, the notebook stops with x.",
    ],
)
def test_a_forged_reason_is_quoted_or_not_passed_on(sentence):
    _, said = verdict({"stopped": sentence})
    outside = "".join(said.split("`")[::2])
    assert "10 of 10" not in outside


# -- outcomes ------------------------------------------------------------------------------------


def test_no_more_outcomes_than_cases_are_read():
    right = pack_outcome(Outcome(3))
    assert len(parse_reply({"outcomes": [right] * 2}, ADD, LIMITS)) == 2
    name, said = verdict({"outcomes": [right] * 3})
    assert (name, said) == ("no result", grade.CRASH_SENTENCES["unreadable"])


def test_a_reply_that_is_slow_to_read_is_given_up(monkeypatch):
    monkeypatch.setattr(grade, "REPLY_SECONDS", 0.1)
    members = [{"tuple": list(one)} for one in itertools.product((-1, -2), repeat=11)]
    slow = pack_outcome(Outcome(0)) | {"value": [{"set": members[:1500]}] * 4}
    began = time.monotonic()
    name, said = verdict({"outcomes": [slow, slow]})
    assert said == grade.CRASH_SENTENCES["large"] and time.monotonic() - began < 2


# -- a jail that does not hold -------------------------------------------------------------------


def test_a_jail_that_does_not_hold_costs_nobody_a_point():
    """Zero points would be written down for work that was never run."""

    class Broken:
        limits = {"memory_mb": 1024}

        def run(self, task, seconds):
            raise JailError("an answer could not be shut in, so it was not run.")

    entry = {"id": "07b.1", "points": 0}
    manifest = {"name": "week1", "exercises": [entry], "variants": None}
    made = Submission("ann", cells=[find_exercise("07b.1").solution])
    made.answers = find_answers(made.cells, [find_exercise("07b.1")])
    with pytest.raises(JailError):
        Grader(manifest, Broken(), Broken()).grade(made)


def test_hidden_cases_are_run_in_a_jail_of_their_own(monkeypatch):
    """A public case that is run after them must find nothing that they have left."""
    seen = []

    class Recorder:
        limits = {"memory_mb": 1024}

        def __init__(self, name):
            self.name = name

        def run(self, task, seconds):
            seen.append((self.name, len(task["cases"])))
            return {"outcomes": [pack_outcome(Outcome(0)) for _ in task["cases"]]}

    assigned = next((one for one in grade.library.all_assigned() if one.hidden), None)
    if assigned is None:
        pytest.skip("this edition has no instructor's folder")
    entry = {"id": assigned.id, "points": 10}
    manifest = {"name": "week1", "exercises": [entry], "variants": None}
    made = Submission("ann", cells=[assigned.solution])
    made.answers = find_answers(made.cells, [assigned])
    Grader(manifest, Recorder("public"), Recorder("hidden")).grade(made)
    assert seen == [("public", len(assigned.cases)), ("hidden", len(assigned.hidden))]
