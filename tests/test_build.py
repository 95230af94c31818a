"""From a lesson's source to its notebook, and the messages when something is wrong."""

import dataclasses
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import psutil
import pytest
import torch
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools import build, check, figures, kernels, lint, offline, replay
from tools.lessons import (
    ROOT,
    Lesson,
    all_lessons,
    exercises_of,
    solved_edition,
    to_json,
    to_notebook,
)

STARTER = 'def double(x):\n    """Twice x."""\n    ...\n'
DOUBLE = SimpleNamespace(
    id="03.1",
    goal="say it twice",
    minutes=4,
    difficulty=2,
    starter=STARTER,
    solution="def double(x):\n    return x + x\n",
)
CHECK = """def check(id, mine):
    right = mine(4) == 8
    return mine if right else (lambda x: 2 * x)"""
SOURCE = f"""# %% [raw]
# builds = "twice"
# [reads]

# %% [markdown]
# # 03 · Doubles
# A promise. 40 minutes to read and do.

# %% tags=["setup"]
{CHECK}

# %%
print("before", "≈", id(check))

# %%
import ipywidgets

display(ipywidgets.IntSlider(4))

# %% exercise="03.1"

# %%
print(double(4))
"""


def find(exercise_id):
    return {"03.1": DOUBLE}[exercise_id]


@pytest.fixture
def lesson(tmp_path):
    lesson = Lesson(tmp_path, "03_doubles")
    lesson.source.parent.mkdir(parents=True)
    lesson.source.write_text(SOURCE, encoding="utf-8")
    return lesson


def rewrite(lesson, old, new):
    """Replace a piece of the lesson's source."""
    text = lesson.source.read_text(encoding="utf-8")
    assert old in text
    lesson.source.write_text(text.replace(old, new), encoding="utf-8")


# --- expansion


def test_a_marker_becomes_a_heading_and_a_starter_with_its_check(lesson):
    heading, code = to_notebook(lesson, find).cells[4:6]
    assert heading.source.startswith("### Exercise 03.1 · say it twice\n4 minutes · ●●○ · ")
    assert 'hint("03.1")' in heading.source and 'solution("03.1")' in heading.source
    assert code.source == STARTER.rstrip() + '\n\ndouble = check("03.1", double)'
    assert code.metadata == {"fmcourse": {"exercise": "03.1"}, "tags": ["exercise"]}


def test_a_notebook_is_stale_when_what_its_checks_may_quote_has_changed(lesson):
    def made_from(**other):
        exercise = SimpleNamespace(**vars(DOUBLE) | other)
        return to_notebook(lesson, lambda _: exercise).metadata["fmcourse"]["source_sha256"]

    mistake = SimpleNamespace(name="squared", explanation="Is that twice?")
    x = torch.ones(2)
    first = made_from(cases=[(x, "a", 0.1)], mistakes=[mistake])
    assert first == made_from(
        cases=((x + 1e-7, "a", 0.1 + 1e-12),), mistakes=[mistake]
    )  # another machine's last digit
    for cases in (
        [(x, "b", 0.1)],
        [(x, "a", 0.2)],
        [(torch.ones(3), "a", 0.1)],
        [(x, "a", 0.1), x],
    ):
        assert made_from(cases=cases, mistakes=[mistake]) != first
    mistake.explanation = "Is that twice 3?"
    assert made_from(cases=[(x, "a", 0.1)], mistakes=[mistake]) != first


def test_a_body_under_the_marker_replaces_the_check(lesson):
    rewrite(
        lesson, '# %% exercise="03.1"\n', '# %% exercise="03.1"\ntwice = check("03.1", double)\n'
    )
    assert (
        to_notebook(lesson, find).cells[5].source
        == STARTER.rstrip() + '\n\ntwice = check("03.1", double)'
    )


def test_the_name_checked_is_the_last_one_that_the_starter_defines(lesson):
    two = SimpleNamespace(
        **vars(DOUBLE) | {"starter": "def half(x):\n    return x / 2\n\nclass Twice:\n    ...\n"}
    )
    assert (
        to_notebook(lesson, lambda _: two).cells[5].source.endswith('Twice = check("03.1", Twice)')
    )


def test_a_starter_that_defines_nothing_is_refused_by_its_id(lesson):
    with pytest.raises(ValueError, match=r"exercise 03\.1 defines no function and no class"):
        to_notebook(lesson, lambda _: SimpleNamespace(**vars(DOUBLE) | {"starter": "x = ...\n"}))


def test_comments_for_tools_stay_in_the_source(lesson):
    rewrite(lesson, "print(double(4))", "print(double(4))  # fmt: skip")
    assert to_notebook(lesson, find).cells[-1].source == "print(double(4))"


def test_an_added_cell_renames_no_other(lesson):
    before = {cell.source: cell.id for cell in to_notebook(lesson, find).cells}
    rewrite(lesson, "# %% tags", '# %%\nprint("new")\n\n# %% tags')
    after = {cell.source: cell.id for cell in to_notebook(lesson, find).cells}
    assert after.pop('print("new")') not in before.values()
    assert after == before


def test_equal_cells_have_different_ids_that_stay(lesson):
    lesson.source.write_text("# %%\nprint(1)\n\n# %%\nprint(1)\n", encoding="utf-8")
    notebook = to_notebook(lesson, find)
    assert len({cell.id for cell in notebook.cells}) == 2
    assert [cell.id for cell in notebook.cells] == [
        cell.id for cell in to_notebook(lesson, find).cells
    ]
    nbformat.validate(notebook)


def test_a_lesson_that_is_not_there_is_named_and_the_others_listed(lesson):
    with pytest.raises(ValueError, match="no lesson is called '44'; there are: 03"):
        all_lessons(lesson.root, ["44"])
    assert all_lessons(lesson.root, ["03_doubles"]) == all_lessons(lesson.root, ["03"]) == [lesson]


# --- the solved edition


def test_the_solved_edition_holds_the_solution_and_leaves_the_shipped_one_alone(lesson):
    shipped = to_notebook(lesson, find)
    edition = solved_edition(shipped, find)
    assert (
        edition.cells[5].source
        == 'def double(x):\n    return x + x\n\ndouble = check("03.1", double)'
    )
    assert shipped.cells[5].source.startswith(STARTER.rstrip())
    assert [cell.source for cell in edition.cells[:5]] == [
        cell.source for cell in shipped.cells[:5]
    ]


@pytest.mark.slow
def test_the_solved_edition_runs_and_its_check_says_right(lesson):
    kernels.run_notebook(solved_edition(to_notebook(lesson, find), find, prove=True), "solved")


@pytest.mark.slow
def test_the_solved_edition_stops_where_a_check_does_not_call_the_solution_right(lesson):
    wrong = SimpleNamespace(**vars(DOUBLE) | {"solution": "def double(x):\n    return 3 * x\n"})
    edition = solved_edition(to_notebook(lesson, lambda _: wrong), lambda _: wrong, prove=True)
    with pytest.raises(
        kernels.NotebookFailed, match=r"check\('03\.1'\) does not call the solution right"
    ):
        kernels.run_notebook(edition, "solved")


# --- building


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    root = tmp_path_factory.mktemp("course")
    (root / "lessons" / "03_doubles").mkdir(parents=True)
    lesson = Lesson(root, "03_doubles")
    lesson.source.write_text(SOURCE, encoding="utf-8")
    return lesson, build.build(lesson, find)


@pytest.mark.slow
def test_a_build_is_up_to_date_and_keeps_its_outputs(built):
    lesson, cost = built
    notebook = nbformat.read(lesson.notebook, as_version=4)
    assert build.staleness(lesson, find) == []
    # the course's version stands in, as the exercise is blank
    assert notebook.cells[-1].outputs[0].text == "8\n"
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == [1, 2, 3, 4, 5]
    assert cost.cpu_seconds > 0 and 20 < cost.peak_mb < 1000
    assert exercises_of(notebook) == ["03.1"]


@pytest.mark.slow
def test_a_built_notebook_names_its_kernel_and_nothing_of_the_machine(built):
    metadata = nbformat.read(built[0].notebook, as_version=4).metadata
    assert metadata.kernelspec == {
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
        "name": "python3",
    }
    assert (
        set(metadata) == {"kernelspec", "language_info", "fmcourse"}
        and "version" not in metadata.language_info
    )


def test_a_widget_keeps_its_static_fallback(built):
    (output,) = nbformat.read(built[0].notebook, as_version=4).cells[3].outputs
    assert output.data == {"text/plain": "IntSlider(value=4)"}


@pytest.mark.slow
def test_two_builds_differ_only_after_the_sign_for_live_values(built):
    lesson, _ = built
    first = lesson.notebook.read_text(encoding="utf-8")
    build.build(lesson, find)
    second = lesson.notebook.read_text(encoding="utf-8")
    assert first != second  # so that the next line proves something
    assert re.sub("≈.*", "≈", first) == re.sub("≈.*", "≈", second)


@pytest.mark.parametrize("field", ["goal", "starter", "solution"])
def test_a_changed_exercise_makes_the_notebook_stale(built, field):
    changed = SimpleNamespace(**vars(DOUBLE) | {field: getattr(DOUBLE, field) + "# more\n"})
    assert "another edition" in build.staleness(built[0], lambda _: changed)[0]


def test_a_changed_lesson_makes_the_notebook_stale(built):
    lesson, _ = built
    rewrite(lesson, "A promise.", "Another promise.")
    try:
        (sentence,) = build.staleness(lesson, find)
        assert "another edition" in sentence and "python start.py build 03" in sentence
    finally:
        rewrite(lesson, "Another promise.", "A promise.")
    assert build.staleness(lesson, find) == []


def test_a_notebook_edited_by_hand_is_stale(built, tmp_path):
    notebook = nbformat.read(built[0].notebook, as_version=4)
    notebook.cells[-1].source = "print(double(5))"
    edited = copy_lesson(built[0], tmp_path, notebook)
    assert "edited by hand" in build.staleness(edited, find)[0]


def test_the_check_fails_for_a_missing_and_for_a_stray_notebook(lesson, capsys):
    assert build.main(["--check"], lesson.root, find) == 1
    assert "there is no 03_doubles.ipynb yet" in capsys.readouterr().out
    lesson.source.unlink()
    lesson.notebook.parent.mkdir()
    lesson.notebook.write_text("{}")
    assert build.main(["--check"], lesson.root, find) == 1
    assert "03_doubles.ipynb: no lesson builds this notebook" in capsys.readouterr().out


def copy_lesson(lesson, root, notebook):
    """`lesson` under another root, with `notebook` as the stored one."""
    other = dataclasses.replace(lesson, root=root)
    for path in (other.source, other.notebook):
        path.parent.mkdir(parents=True, exist_ok=True)
    other.source.write_bytes(lesson.source.read_bytes())
    other.notebook.write_text(to_json(notebook), encoding="utf-8")
    return other


# --- a cell that fails


@pytest.mark.slow
def test_a_failing_cell_is_named_with_its_lines_and_the_old_notebook_stays(lesson, capsys):
    lesson.notebook.parent.mkdir()
    lesson.notebook.write_text("the old one")
    rewrite(lesson, "print(double(4))", "half = 1\nprint(half / 0)")
    assert build.main(["03"], lesson.root, find) == 1
    output = capsys.readouterr().out
    assert "03_doubles: code cell 5 of 5 stopped.\n    half = 1\n    print(half / 0)\n" in output
    assert "ZeroDivisionError: division by zero" in output and "\x1b" not in output
    assert lesson.notebook.read_text() == "the old one"


@pytest.mark.slow
def test_a_cell_that_hangs_and_a_kernel_that_dies_have_messages_of_their_own(lesson, monkeypatch):
    monkeypatch.setattr(kernels, "CELL_SECONDS", 2)
    rewrite(lesson, "print(double(4))", "import time\ntime.sleep(60)")
    with pytest.raises(
        kernels.NotebookFailed, match="code cell 5 of 5 stopped(.|\n)*more than 2 seconds"
    ):
        build.build(lesson, find)
    rewrite(lesson, "time.sleep(60)", "import os\nos._exit(1)")
    with pytest.raises(
        kernels.NotebookFailed, match="code cell 5 of 5 stopped(.|\n)*The kernel died"
    ):
        build.build(lesson, find)


@pytest.mark.slow
def test_a_false_claim_stops_the_build(lesson):
    pytest.importorskip("fmcourse.course")
    rewrite(
        lesson,
        "print(double(4))",
        'from fmcourse.course import claim\nclaim("two is three", 2 == 3)',
    )
    with pytest.raises(kernels.NotebookFailed, match="two is three"):
        build.build(lesson, find)


@pytest.mark.slow
def test_a_kernel_knows_nothing_of_its_user_and_leaves_nothing_behind(lesson, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setenv("FMCOURSE_SHORT", "1")
    names = [*kernels.SETTINGS, "FMCOURSE_SHORT"]
    lines = f"import os\nprint([os.environ.get(name) for name in {names}], os.listdir())"
    lines += "\nopen('left', 'w').close()"
    lines += "\nimport matplotlib\nprint(os.getcwd(), os.getpid(), matplotlib.get_backend())"
    rewrite(lesson, "print(double(4))", lines)
    notebook = to_notebook(lesson, find)
    kernels.run_notebook(notebook, "asks")
    settings, rest = notebook.cells[-1].outputs[0].text.splitlines()
    folder, kernel, backend = rest.split()
    assert settings == "['1', '1', 'passive', '0', None] []"
    assert not (lesson.root / "left").exists() and not Path(folder).exists()
    assert not psutil.pid_exists(int(kernel)) and "inline" in backend


# --- lint: each rule, broken


def text_cell(n, end=""):
    return new_markdown_cell("word " * n + end)


def code_cell(source="x = 1", output="1"):
    outputs = [new_output("stream", text=output)] if output else []
    return new_code_cell(source, outputs=outputs, execution_count=1)


def exercise_cell():
    return new_code_cell("x", metadata={"fmcourse": {"exercise": "03.1"}}, execution_count=1)


def image_cell(html=None):
    data = {"image/png": "iVBO"} | ({"text/html": html} if html else {})
    return new_code_cell("draw()", outputs=[new_output("display_data", data)], execution_count=1)


GOOD = [
    text_cell(10),
    code_cell(),
    exercise_cell(),
    image_cell('<img alt="It falls." src="data:">'),
    exercise_cell(),
    exercise_cell(),
    code_cell(),
]
ERROR = new_output("error", ename="E", evalue="", traceback=[])
BROKEN = {
    "it has 71 cells; 70 is the most": [*GOOD, *(text_cell(10) for _ in range(64))],
    "half of its text cells have 45 words or more": [
        *GOOD,
        text_cell(45),
        text_cell(45),
        text_cell(45),
    ],
    "half of its code cells have 13 lines or more": [
        *GOOD,
        *(code_cell("x = 1\n" * 13) for _ in range(8)),
    ],
    "cell 8: 61 words": [*GOOD, text_cell(61)],
    "cell 8: 23 lines": [*GOOD, code_cell("x = 1\n" * 23)],
    "cell 8: a line of 121 characters": [*GOOD, code_cell("x = " + "1" * 117)],
    "cell 8: not plain Python": [*GOOD, code_cell("%time 1")],
    "cell 8: show(...) without alt": [*GOOD, code_cell("show(fig)")],
    "cell 10: the 3rd code cell in a row without output": [
        *GOOD,
        *(code_cell(output="") for _ in range(3)),
    ],
    "cell 8: stored without having been run": [*GOOD, new_code_cell("x")],
    "cell 8: an error is stored": [*GOOD, new_code_cell("x", outputs=[ERROR], execution_count=1)],
    "cell 8: an image without alt text (draw())": [*GOOD, image_cell()],
    "it has 2 exercises; at least 3": [cell for cell in GOOD if cell is not GOOD[4]],
}


def faults_of(cells):
    return lint.faults(new_notebook(cells=cells), minutes=60)


def test_a_short_lesson_needs_one_exercise_and_the_reading_path_is_not_counted():
    reading_path = new_markdown_cell("word " * 99, metadata={"fmcourse": {"reading": True}})
    one_exercise = [cell for cell in GOOD if cell not in (GOOD[4], GOOD[5])]
    notebook = new_notebook(cells=[reading_path, *one_exercise])
    assert lint.faults(notebook, minutes=30) == []
    assert lint.faults(notebook, minutes=31) == ["it has 1 exercises; at least 3 are wanted."]


def test_a_notebook_that_keeps_the_rules_has_no_faults():
    assert faults_of(GOOD) == []
    assert (
        faults_of([*GOOD, code_cell("f(\n" + "    'a sentence, read as text',\n" * 30 + ")")]) == []
    )


@pytest.mark.parametrize("sentence", BROKEN)
def test_each_broken_rule_is_reported_once(sentence):
    found = faults_of(BROKEN[sentence])
    assert len(found) == 1 and found[0].startswith(sentence)


# A lesson that defines terms is written to the present standard.
PROMISE = text_cell(10)
DEFINITION = new_markdown_cell("A model pays the **loss**, which is a mean over tokens [1].")
CLOSING = [
    new_markdown_cell("**Where next:** lesson 07."),
    new_markdown_cell("## References\n- [1] A. Author, *A Title*, 2017. <https://example.org>"),
]
STANDARD = [PROMISE, DEFINITION, *GOOD[1:], *CLOSING]
BELOW_STANDARD = {
    "cell 11: 131 words": [*STANDARD, text_cell(131)],
    "cell 11: 21 lines": [*STANDARD, code_cell("x = 1\n" * 21)],
    "half of its code cells have 9 lines": [
        *STANDARD,
        *(code_cell("x = 1\n" * 9) for _ in range(8)),
    ],
    "it has 76 cells; 75 is the most": [*STANDARD, *(text_cell(10) for _ in range(66))],
    "the term 'loss' is nowhere bold": [cell for cell in STANDARD if cell is not DEFINITION]
    + [text_cell(3, " [1]")],
    "it has no **Where next:** line": [cell for cell in STANDARD if cell is not CLOSING[0]],
    "[2] is cited, and no reference": [*STANDARD, text_cell(3, " [2]")],
    'cell 11: "s" compares nothing': [*STANDARD, code_cell("claim('s', True)")],
    "predict('06.a') is never resolved": [*STANDARD, code_cell("predict('06.a', 'q', ['a', 'b'])")],
}


def test_a_notebook_that_keeps_the_standard_has_no_faults():
    notebook = new_notebook(cells=STANDARD)
    assert lint.faults(notebook, minutes=60, terms=["loss"]) == []
    [found] = lint.faults(notebook, minutes=115, terms=["loss"])
    assert found == "it takes 115 minutes; 110 is the most. Split it."


@pytest.mark.parametrize("sentence", BELOW_STANDARD)
def test_what_falls_below_the_standard_is_reported_once(sentence):
    found = lint.faults(new_notebook(cells=BELOW_STANDARD[sentence]), minutes=60, terms=["loss"])
    assert len(found) == 1 and found[0].startswith(sentence)


def test_a_summary_counts_what_a_lesson_holds():
    cells = [*STANDARD, code_cell("claim('s', f() < 1)\nreported('t', True, table=shipped)")]
    said = lint.summary(new_notebook(cells=cells), 60, ["loss"])
    assert said.startswith("60 minutes, ") and said.endswith(
        "1 claims live and 1 reported, 0 of 0 predictions resolved, 1 terms, 1 references"
    )


@pytest.mark.parametrize(
    "tag", ["<img src='data:'>", '<img alt="" src="x">', "<img alt=' ' src='x'>"]
)
def test_an_empty_alt_text_is_none(tag):
    assert "without alt text" in faults_of([*GOOD, image_cell(tag)])[0]


def test_words_are_counted_without_addresses_and_tables():
    assert lint.count_words("Two [words](https://a.b/c) · ≈ — https://a.b/c d") == 3
    assert lint.count_words("| a table | is looked at |\nand this is read") == 4


def test_a_lesson_that_costs_too_much_says_how_much_is_allowed():
    # 400 seconds on a busy machine are no fault of the lesson
    assert lint.budget_faults(kernels.Cost(400, 140, 2000)) == []
    assert lint.budget_faults(kernels.Cost(200, 160, 2000)) == [
        "it computes for 160 seconds; 150 is the most."
    ]
    assert lint.budget_faults(kernels.Cost(10, 10, 4000)) == ["it needs 4000 MB; 3072 is the most."]


# --- what is compared when a notebook runs again


def sanitize(text):
    lines = replay.SANITIZE.read_text(encoding="ascii")  # readable whatever the system's encoding
    pairs = zip(
        re.findall("^regex: (.*)$", lines, re.M),
        re.findall("^replace: (.*)$", lines, re.M),
        strict=True,
    )
    for pattern, replacement in pairs:
        text = re.sub(pattern, replacement, text)
    return text


def test_live_values_and_the_bytes_of_images_are_not_compared_and_all_else_is():
    assert sanitize("loss ≈ 1.23 nats\nsteps 100") == "loss ≈\nsteps 100"
    figure = '<img alt="It falls." src="data:image/png;base64,{}" width="4">'
    assert sanitize(figure.format("iVBO+/\nR==")) == figure.format("")
    assert sanitize("plain 1.5, base64,abc, /tmp/x 0x7f") == "plain 1.5, base64,abc, /tmp/x 0x7f"


@pytest.mark.slow
def test_replay_passes_on_what_was_built_and_fails_when_an_output_was_altered(built, tmp_path):
    lesson, _ = built
    with kernels.scratch_folder() as folder:
        status, rows = replay.replay([lesson], folder)
    assert status == 0 and rows[0]["cells"] == 7 and rows[0]["peak_mb"] > 20
    notebook = nbformat.read(lesson.notebook, as_version=4)
    notebook.cells[-1].outputs[0].text = "9\n"
    with kernels.scratch_folder() as folder:
        status, _ = replay.replay([copy_lesson(lesson, tmp_path, notebook)], folder)
    assert status == 1


def test_calls_of_claim_are_counted():
    cells = [
        code_cell('claim("a", True)\nfor x in y: claim("b", x)'),
        code_cell("claim = 3"),
        text_cell(3),
    ]
    assert replay.count_claims(new_notebook(cells=cells)) == 2


# --- the checks as a whole


def stage(*words):
    return check.Stage("trial", "something", list(words))


def test_a_stage_counts_tests_and_keeps_the_lines_that_say_why():
    lines = [
        "...",
        "FAILED tests/test_a.py::test_b - assert 1 == 2",
        "1 failed, 11 passed, 2 skipped in 2.1s",
    ]
    result = check.parse_result(stage("python", "-m", "pytest"), 1, lines, 2.0)
    assert (result.passed, result.failed, result.skipped) == (11, 1, 2)
    assert result.why == [lines[1]]


def test_a_command_that_dies_is_a_failure_though_it_counted_none():
    assert check.parse_result(stage("python", "-m", "pytest"), 3, ["5 passed"], 1.0).failed == 1
    assert check.parse_result(stage("ruff"), 1, ["Found 2 errors."], 1.0).why == ["Found 2 errors."]


def test_the_last_line_is_a_tally_and_failures_name_their_command(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(check, "REPORT", tmp_path / "report.json")
    good, bad = (
        check.Result("lint", 1, 0, 0, 1.0),
        check.Result("step", 2, 1, 0, 1.0, ["03 is out of step"]),
    )
    assert check.report_results([good], []) == 0
    assert (
        check.report_results(
            [good, bad],
            [{"notebook": "03", "claims": 4, "cells": 6} | dict.fromkeys(check.COLUMNS[:3], 1.0)],
        )
        == 1
    )
    said = capsys.readouterr().out
    assert said.rstrip().splitlines()[-1] == "3 passed, 1 failed"
    assert "python start.py test --only step\n    03 is out of step" in said
    assert re.search(r"^sum +1\.0 +1\.0 +1 +6 +4$", said, re.M)


def test_fast_runs_no_notebook():
    assert [stage.name for stage in check.stages(fast=True)] == ["format", "lint", "step", "tests"]
    assert {"replay", "solved", "browser"} < {stage.name for stage in check.stages()}


def test_arguments_go_to_the_check_that_is_named_or_to_pytest_alone():
    (alone,) = check.choose_stages(fast=False, only=None, extra=["-k", "bpe"])
    assert alone.name == "tests" and alone.command[-2:] == ["-k", "bpe"]
    (named,) = check.choose_stages(fast=False, only="replay", extra=["06"])
    assert named.command[-2:] == ["tools.replay", "06"]
    with pytest.raises(ValueError, match="no check is called 'lnit'; there are: format, lint"):
        check.choose_stages(fast=False, only="lnit", extra=[])


def test_what_runs_before_a_commit_runs_in_the_checks_too():
    yaml = pytest.importorskip("yaml")
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    hooks = {
        tuple(hook["entry"].removesuffix(" --force-exclude").split()[2:4])
        for hook in local["hooks"]
    }
    assert hooks == {("ruff", "format"), ("ruff", "check"), ("tools.build", "--check")}
    assert hooks < {tuple(stage.command[2:4]) for stage in check.stages()}


def test_where_there_can_be_no_cut_a_sentence_says_so(monkeypatch, capsys):
    monkeypatch.delenv(offline.INSIDE, raising=False)
    monkeypatch.setattr(offline, "unshare_command", lambda: None)
    assert offline.offline_command(["run", "me"]) == ["run", "me"]
    assert "with the network open" in capsys.readouterr().out


@pytest.mark.slow
def test_help_is_given_without_building_anything():
    done = subprocess.run(
        [sys.executable, "-m", "tools.build", "--help"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0 and "--check" in done.stdout


# --- contact sheets


@pytest.mark.slow
def test_every_figure_is_on_a_sheet_with_its_alt_text(tmp_path, capsys):
    lesson = all_lessons(wanted=["06"])[0]
    shown = figures.figures(lesson)
    stored = lesson.notebook.read_text(encoding="utf-8").count('"image/png": "')
    assert len(shown) == stored > 3
    assert all(len(one.alt) > 20 and one.alt != "NO ALT TEXT" for one in shown)
    assert figures.main(["06", "--out", str(tmp_path)]) == 0
    assert f"{len(shown)} figures" in capsys.readouterr().out
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in tmp_path.iterdir())
    texts = [
        text.get_text() for ax in figures.contact_sheet("a", shown[:3]).axes for text in ax.texts
    ]
    assert [text.replace("\n", " ") for text in texts] == [one.alt for one in shown[:3]]
