"""A claim says what was measured; what differs from machine to machine stands after ≈."""

import numpy as np
import pytest
import torch

from fmcourse.course import ClaimError, claim, reported


@pytest.fixture
def said(capsys, monkeypatch):
    monkeypatch.delenv("FMCOURSE_STRICT", raising=False)
    return lambda: capsys.readouterr().out


def test_exact_values_are_plain_and_live_ones_stand_after_the_sign(said):
    claim(
        "it holds",
        True,
        steps=1500,
        name="gpt",
        whole=[1, 2],
        loss=1.23456789,
        runs=torch.tensor([0.5, 0.25]),
    )
    assert (
        said() == "✓ it holds\n"
        "    steps 1,500, name gpt, whole [1, 2]\n"
        "    ≈ loss 1.235; runs [0.5, 0.25]\n"
    )


def test_a_sentence_alone_is_enough(said):
    assert claim("it holds", True) is None
    assert said() == "✓ it holds\n"


@pytest.mark.parametrize(
    "live", [1.5, [1, 2.5], {"a": 0.1}, np.float32(2), torch.tensor(0.1), np.zeros(3), float("nan")]
)
def test_whatever_has_a_float_in_it_is_live(said, live):
    claim("it holds", True, value=live)
    assert said().splitlines()[1].startswith("    ≈ value ")


@pytest.mark.parametrize(
    "exact", [3, True, "text", [1, 2], torch.tensor([1, 2]), np.int64(4), None]
)
def test_everything_else_is_exact(said, exact):
    claim("it holds", True, value=exact)
    assert "≈" not in said()


@pytest.mark.parametrize(
    "value, where",
    [(1.8, "within"), (2.1, "outside"), ([1.8, 1.9], "within"), ([1.8, 2.1], "outside")],
)
def test_the_band_of_other_seeds(said, value, where):
    claim("it holds", True, band=(1.75, 2), steps=3, loss=value, other=9.0)
    assert f", {where} 1.75 to 2 as with other seeds; other 9\n" in said()


def test_a_long_list_is_cut(said):
    claim("it holds", True, runs=[0.5] * 100)
    assert said().endswith("0.5 ... (100 in all)]\n") and len(said()) == 0


def test_what_does_not_hold_is_said_and_the_session_goes_on(said):
    claim("pigs fly", np.bool_(False), height=0.0)
    assert said() == "✗ does not hold here: pigs fly\n    ≈ height 0\n"


def test_what_does_not_hold_stops_a_build(monkeypatch):
    monkeypatch.setenv("FMCOURSE_STRICT", "1")
    with pytest.raises(ClaimError, match="does not hold: pigs fly\n    ≈ height 0.5"):
        claim("pigs fly", torch.tensor(False), height=0.5)
    claim("two is two", torch.equal(torch.ones(2), torch.ones(2)))


@pytest.mark.parametrize(
    "holds", [None, 1, 0.0, "yes", [True], torch.tensor(1.0), torch.tensor([True, True]), claim]
)
def test_only_a_truth_value_can_hold(holds):
    with pytest.raises(TypeError, match="holds must be True or False, not"):
        claim("it holds", holds)


# What only a shipped table shows ------------------------------------------------------------------

TABLE = {"command": "python recipes/measure.py 06", "date": "2026-11-24", "seeds": [1.5, 1.75]}


def test_a_report_is_told_from_a_claim_and_says_how_it_was_measured(said):
    reported("seeds agree", True, table=TABLE, losses=TABLE["seeds"], seeds=2)
    assert said() == (
        "▪ reported: seeds agree\n"
        "    losses [1.5, 1.75], seeds 2\n"
        "    measured by `python recipes/measure.py 06` on 2026-11-24\n"
    )


def test_a_report_that_its_table_does_not_show_stops_the_build_alone(said, monkeypatch):
    reported("seeds agree", False, table=TABLE)
    assert said().startswith("✗ not in the table: seeds agree\n")
    monkeypatch.setenv("FMCOURSE_STRICT", "1")
    with pytest.raises(ClaimError, match="does not hold in the table: seeds agree"):
        reported("seeds agree", False, table=TABLE)


def test_a_part_of_a_table_is_no_table(said):
    with pytest.raises(ValueError, match="has no 'command'; pass the whole"):
        reported("seeds agree", True, table={"seeds": [1.5]})
    with pytest.raises(TypeError, match="holds must be True or False"):
        reported("seeds agree", 1, table=TABLE)
