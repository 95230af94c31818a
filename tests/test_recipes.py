"""What all recipes share: parts that are kept, trainings that are resumed, tables with a checksum.

And that every recipe can be imported.
"""

import importlib
import json
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from fmcourse.data import checksum
from fmcourse.files import lessons_folder
from fmcourse.objectives import Loss
from fmcourse.training import fit

RECIPES = Path(__file__).resolve().parents[1] / "recipes"
sys.path.insert(0, str(RECIPES))
import common  # noqa: E402 (only now can it be found)

MEASURING = sorted(
    path.stem for path in RECIPES.glob("*.py") if "torch" in path.read_text(encoding="utf-8")
)
LESSONS = sorted(path.parent.name.split("_")[0] for path in lessons_folder().glob("*/measure.py"))


@pytest.mark.parametrize("name", MEASURING)
def test_a_recipe_that_measures_can_be_imported(name):
    assert importlib.import_module(name).__doc__


@pytest.mark.parametrize("number", LESSONS)
def test_the_measurements_of_a_lesson_can_be_imported(number):
    module = common.measurements(number)
    assert module.__doc__ and callable(module.main)


def test_what_was_measured_is_not_measured_again(tmp_path):
    calls = []

    def make():
        return calls.append(1) or {"n": len(calls)}

    assert [common.measure_once(tmp_path / "parts" / "one.json", make) for _ in range(2)] == [
        {"n": 1}
    ] * 2
    assert calls == [1]


def linear_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(3, 1)


def mean_square(model, batch, generator):
    return Loss((model(batch) - batch.sum(1, keepdim=True)).square().mean(), {}, len(batch))


BATCHES = [torch.randn(8, 3, generator=torch.Generator().manual_seed(n)) for n in range(7)]


def test_a_training_that_was_killed_ends_as_one_that_was_not(tmp_path):
    class Killed:
        def __getitem__(self, step):
            if step == 12:
                raise KeyboardInterrupt
            return BATCHES[step % 7]

    whole = common.fit_once(
        tmp_path / "whole.pt", linear_model(), mean_square, BATCHES, steps=20, seed=1
    )
    going = tmp_path / "cut.safetensors"
    with pytest.raises(KeyboardInterrupt):
        fit(
            linear_model(),
            mean_square,
            Killed(),
            steps=20,
            seed=1,
            progress=False,
            checkpoint=going,
            save_every=0,
        )
    assert going.exists()
    cut = common.fit_once(
        tmp_path / "cut.pt", linear_model(), mean_square, BATCHES, steps=20, seed=1
    )
    assert torch.equal(cut.weight, whole.weight) and not going.exists()
    facts = json.loads((tmp_path / "cut.json").read_text())
    assert facts["on"] == "cpu" and len(facts["losses"]) == 10
    assert facts["losses"][-1] < facts["losses"][0]
    read = common.fit_once(tmp_path / "cut.pt", linear_model(), mean_square, None, steps=20, seed=1)
    assert torch.equal(read.weight, whole.weight) and not read.training


def test_a_table_has_a_checksum_and_its_parts_are_gone(tmp_path):
    common.measure_once(tmp_path / "parts" / "one.json", lambda: 1)
    common.write_table(tmp_path / "table.json", {"a": [1, 2]}, tmp_path / "parts")
    found = json.loads((tmp_path / "table.json").read_text())
    assert found == {"a": [1, 2], "sha256": checksum({"a": [1, 2]})}
    assert not (tmp_path / "parts").exists()


def test_the_painters_recipe_loads_the_encoders_that_ship():
    painter = importlib.import_module("painter")
    vectors = painter.image_vectors(torch.zeros(2, 3, 32, 32))
    assert vectors.shape == (2, 384) and torch.allclose(vectors.norm(dim=1), torch.ones(2))
