"""The runner of all checks: what it runs, what it prints about time, when it complains."""

import pytest

from tools import check


def test_the_quick_checks_leave_out_what_is_marked_slow_and_the_whole_does_not():
    (quick,) = [stage for stage in check.stages(fast=True) if stage.name == "tests"]
    (whole,) = [stage for stage in check.stages() if stage.name == "tests"]
    assert quick.command == [*whole.command, "-m", "not slow"] and "slow" not in whole.command
    assert [stage.name for stage in check.stages() if stage.offline] == ["solved"]


@pytest.mark.parametrize(
    ("seconds", "fast", "complains"),
    [(119.0, True, False), (121.0, True, True), (900.0, False, False)],
)
def test_the_time_is_printed_and_a_promise_that_was_broken_is_named(seconds, fast, complains):
    first, *rest = check.time_lines(seconds, 190.4, fast)
    assert f"{seconds:.0f} s" in first and "190 s" in first
    assert bool(rest) is complains
    assert not rest or "promise 120 s" in rest[0] and "--durations=20" in rest[0]


@pytest.mark.parametrize(
    ("words", "complains"),
    [("--fast", True), ("", False), ("--fast --only lint", False), ("--fast -k bpe", False)],
)
def test_only_the_whole_of_the_quick_checks_has_promised_anything(
    words, complains, monkeypatch, capsys, tmp_path
):
    now = iter([0.0, 1000.0])
    passed = check.Result("lint", 1, 0, 0, 1.0)
    monkeypatch.setattr(check, "run_stage", lambda stage: passed)
    monkeypatch.setattr(check, "REPORT", tmp_path / "report.json")
    monkeypatch.setattr(check, "REPLAY_REPORT", tmp_path / "replay.json")
    assert check.main(words.split(), clock=lambda: next(now)) == 0
    said = capsys.readouterr().out
    assert "\n1000 s, " in said and ("The quick checks promise" in said) is complains
