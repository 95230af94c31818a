"""Weights that ship say how they were made, and a bit that changed is noticed."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from common import write_checkpoint

from fmcourse.data import DataError, checkpoint, verify

ROOT = Path(__file__).resolve().parents[1]

CHECKPOINTS = sorted((ROOT / "data/checkpoints").glob("*.json"))
FACTS = {
    "title": "t",
    "command": "python recipes/judge.py data/checkpoints",
    "date": "2026-01-01",
    "minutes": 1,
    "data": "d",
    "score": 0,
}


@pytest.fixture
def copy(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "data/checkpoints", tmp_path / "checkpoints")
    monkeypatch.setenv("FMCOURSE_DATA", str(tmp_path))
    return tmp_path / "checkpoints"


@pytest.mark.parametrize("path", CHECKPOINTS, ids=lambda path: path.stem)
def test_a_checkpoint_names_its_recipe_the_day_the_cost_and_the_score(path):
    found = checkpoint(path.stem)
    assert (ROOT / found.facts["command"].split()[1]).is_file() and len(found.facts["date"]) == 10
    assert (
        found.facts["minutes"] > 0
        and found.facts["score"]
        and all(t.isfinite().all() for t in found.tensors.values())
    )


def test_all_weights_have_their_facts_and_are_tracked():
    files = {path.stem for path in (ROOT / "data/checkpoints").glob("*.safetensors")}
    assert files == {path.stem for path in CHECKPOINTS} and "judge" in files
    ask = ["git", "check-ignore", "data/checkpoints/judge.safetensors"]
    assert subprocess.run(ask, cwd=ROOT, capture_output=True).returncode == 1  # not ignored


def test_what_is_written_is_read(tmp_path, monkeypatch):
    monkeypatch.setenv("FMCOURSE_DATA", str(tmp_path))
    weights = {"a": torch.randn(2, 3).T, "b": torch.arange(3)}
    write_checkpoint(tmp_path / "checkpoints", "one", weights, **FACTS)
    found = checkpoint("one")
    assert torch.equal(found.tensors["a"], weights["a"]) and torch.equal(
        found.tensors["b"], weights["b"]
    )
    assert found.facts["title"] == "t" and repr(found).count("tensor") == 0


def test_facts_that_are_left_out_are_asked_for(tmp_path):
    with pytest.raises(ValueError, match="must hold data, score"):
        write_checkpoint(
            tmp_path,
            "one",
            {},
            **{key: FACTS[key] for key in ("title", "command", "date", "minutes")},
        )


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (lambda file: file.unlink(), "missing"),
        (lambda file: file.write_bytes(file.read_bytes()[:-9]), "truncated"),
        (lambda file: file.write_bytes(file.read_bytes()[:-1] + b"?"), "altered"),
    ],
)
def test_weights_that_are_not_those_that_shipped_are_noticed(copy, spoil, what):
    spoil(copy / "judge.safetensors")
    with pytest.raises(
        DataError,
        match=f"judge.safetensors is {what}.*git restore data/checkpoints/judge.safetensors"
        ".*python recipes/judge.py",
    ):
        checkpoint("judge")


def test_a_fact_changed_by_hand_is_noticed(copy):
    path = copy / "judge.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"minutes": 0.1}))
    with pytest.raises(
        DataError,
        match="judge.json is altered. Restore it with `git restore data/checkpoints/judge.json`",
    ):
        checkpoint("judge")


def test_an_unknown_name_says_which_there_are(copy):
    with pytest.raises(ValueError, match="no checkpoint named 'jury'; there is: .*judge"):
        checkpoint("jury")


def test_verify_lists_them():
    row = next(row for row in verify() if row.file == "checkpoints/judge.safetensors")
    assert not row.problem and row.n_bytes > 100_000


def test_verifying_needs_nothing_but_python():
    """The set-up verifies before anything is installed: -S leaves out every installed package."""
    program = (
        "import fmcourse.data as d;"
        "fine = [r.file for r in d.verify() if not r.problem];"
        "print(sum(file.startswith('checkpoints/') for file in fine))"
    )
    command = [sys.executable, "-S", "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) == len(CHECKPOINTS)
