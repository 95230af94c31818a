"""The runner reports what was measured, and every benchmark runs at its smallest settings.

Nothing here asserts how fast anything is: that is for benchmarks/README.md.
"""

import json
import math

import pytest

from benchmarks import __main__ as runner
from benchmarks import decoding, rows, start
from benchmarks.bpe import naive_merges
from fmcourse.tokenizers.bpe import learn_merges

FORM = {"what", "ours", "peer", "ratio", "unit", "target"}
FAST = rows.row("a step", 12345.0, 9000.0, 1.3717, "tokens/s", ">= 1.3")
SLOW = rows.row("a walk", 2.0, 1.0, 0.5, "s", ">= 1.3")
ALONE = rows.row("a notebook", 151.0, None, None, "s", "<= 150")
FREE = rows.row("an import", 1.5, 1000.0, 666.7, "ms")


@pytest.mark.slow
@pytest.mark.parametrize("name", runner.NAMES)
def test_every_benchmark_runs_at_its_smallest(name, capsys):
    made = runner.importlib.import_module(f"benchmarks.{name}").main(small=True)
    assert made and all(set(row) == FORM for row in made)
    for row in made:
        assert isinstance(row["what"], str) and isinstance(row["unit"], str)
        assert isinstance(row["ours"], float)
        assert (row["peer"] is None) == (row["ratio"] is None)
        assert row["ratio"] is None or row["ratio"] > 0
        assert rows.meets_target(row) in (None, True, False)
    assert capsys.readouterr() == ("", "")


@pytest.mark.slow
@pytest.mark.parametrize("name", runner.NAMES)
def test_every_benchmark_says_how_to_run_it_and_how_long_that_takes(name):
    text = runner.importlib.import_module(f"benchmarks.{name}").__doc__
    assert f"Run   python -m benchmarks {name} " in text and " Takes   " in text


def test_a_target_is_met_by_the_ratio_or_by_our_own_value():
    met = [rows.meets_target(row) for row in (FAST, SLOW, ALONE, FREE)]
    assert met == [True, False, False, None]
    assert rows.meets_target(ALONE | {"ours": 150.0}) is True


def test_the_table_holds_every_value_in_columns_of_one_width():
    lines = runner.table([FAST, SLOW, ALONE, FREE]).splitlines()
    assert len({len(line) for line in lines}) == 1 and len(lines) == 6
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == ["what", "ours", "peer", "unit", "ratio", "target", "met"]
    assert cells[2] == ["a step", "12,345", "9,000", "tokens/s", "1.37", ">= 1.3", "yes"]
    assert cells[3][-1] == "**no**"
    assert cells[4] == ["a notebook", "151", "", "s", "", "<= 150", "**no**"]
    assert cells[5] == ["an import", "1.5", "1,000", "ms", "667", "", ""]


def test_a_section_names_the_targets_it_missed_and_only_those():
    text = runner.section("bpe", "What it is.", [FAST, SLOW], 12.3, "2026-01-31", "A CPU, 2 cores")
    assert text.startswith("## bpe\n\nWhat it is.\n\n| what")
    assert "2026-01-31, 12 s. A CPU, 2 cores." in text
    assert text.endswith("Missed: a walk: >= 1.3 was asked for.\n")
    assert "Missed" not in runner.section("bpe", "", [FAST, FREE], 1, "", "")


def test_a_new_section_takes_the_place_of_the_old_one_and_the_others_stay():
    first = runner.merge_sections("", {"start": "## start\n\nold\n", "bpe": "## bpe\n\nkept\n"})
    new = {"start": "## start\n\nnew\n", "recipe": "## recipe\n\nadded\n"}
    second = runner.merge_sections(first, new)
    assert second == runner.HEAD + "\n## recipe\n\nadded\n\n## bpe\n\nkept\n\n## start\n\nnew\n"
    assert runner.merge_sections(second, {}) == second


def test_rounds_alternate_and_warm_up_does_not_count(monkeypatch):
    now, order = [0.0], []
    monkeypatch.setattr(rows, "clock", lambda: now[0])
    cost = {"a": [50, 1, 2, 9], "b": [70, 4, 4, 4]}

    def work(name):
        order.append(name)
        now[0] += cost[name][order.count(name) - 1]

    medians = rows.side_by_side({"a": lambda: work("a"), "b": lambda: work("b")}, rounds=3)
    assert medians == {"a": 2, "b": 4} and "".join(order) == "abbaabba"


def test_the_naive_learner_finds_the_same_merges():
    words = {"low": 5, "lower": 2, "newest": 6, "widest": 3, " lo": 4}
    assert naive_merges(words, 266) == learn_merges(words, 266)


def test_notebooks_are_read_from_their_report_or_said_to_be_missing(tmp_path):
    report = tmp_path / "replay.json"
    assert "python -m tools.replay" in start.notebooks(report)[0]["what"]
    assert math.isnan(start.notebooks(report)[0]["ours"])
    measured = {"notebook": "04_tokenizers", "cpu_seconds": 20.5, "peak_mb": 900.0}
    report.write_text(json.dumps([measured]))
    seconds, memory = start.notebooks(report)
    assert (seconds["ours"], memory["ours"], memory["unit"]) == (20.5, 900.0, "MB")
    assert rows.meets_target(seconds) and rows.meets_target(memory)


@pytest.mark.parametrize("flags", [set(), {"avx2"}, {"avx512_bf16"}])
def test_half_precision_is_compared_only_where_the_cpu_has_it(flags):
    assert bool(decoding.HALF_PRECISION_FLAGS & flags) == ("avx512_bf16" in flags)


def test_an_unknown_benchmark_is_named(capsys):
    with pytest.raises(SystemExit):
        runner.main(["speed"])
    sentence = "no benchmark is called 'speed'; there are products, train_step,"
    assert sentence in capsys.readouterr().err


def test_the_list_has_two_lines_for_each_benchmark(capsys):
    assert runner.main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines[::2]] == list(runner.NAMES)
    assert all(line.startswith("    Run   python -m benchmarks ") for line in lines[1::2])


def test_a_small_run_prints_and_leaves_the_page_alone(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(runner, "README", tmp_path / "README.md")
    assert runner.main(["bpe", "--small"]) == 0
    assert "| learn 20 merges" in capsys.readouterr().out and not (tmp_path / "README.md").exists()
    monkeypatch.setattr(runner, "run", lambda name, small: "## bpe\n\nmeasured\n")
    assert runner.main(["bpe"]) == 0
    assert (tmp_path / "README.md").read_text().endswith("## bpe\n\nmeasured\n")
