"""What lesson 01 prints of the past: counted by the course's own classes, each with a source."""

import doctest
from pathlib import Path

import pytest
import torch

from fmcourse.data import table
from fmcourse.models.config import Config
from fmcourse.models.transformer import Transformer, count_parameters, gpt2

MODELS = {row["name"]: row for row in table("history")["models"]}
PATH = Path(__file__).resolve().parents[1] / "recipes"


@pytest.fixture
def recipe(monkeypatch):
    monkeypatch.syspath_prepend(PATH)
    import history

    return history


@pytest.mark.slow
def test_every_row_is_what_the_recipe_makes(recipe):
    assert [recipe.row(*given) for given in recipe.ROWS] == list(MODELS.values())


def test_a_shape_that_was_written_down_builds_the_same_model(recipe):
    assert Config(**MODELS["GPT-2"]["shape"]) == gpt2(width=1600, depth=48, heads=25)
    with torch.device("meta"):
        assert (
            count_parameters(Transformer(Config(**MODELS["RoBERTa large"]["shape"])))
            == MODELS["RoBERTa large"]["counted"]
        )


@pytest.mark.parametrize("name", [name for name, row in MODELS.items() if "counted" in row])
def test_what_was_counted_is_near_what_was_said(name):
    assert MODELS[name]["counted"] == pytest.approx(MODELS[name]["said"], rel=0.03)


def test_what_was_never_published_has_no_size():
    assert {name for name, row in MODELS.items() if row["said"] is None} == {
        "Midjourney",
        "ChatGPT",
        "GPT-4",
    }


def test_active_parameters_are_fewer_and_only_mixtures_of_experts_have_them():
    sparse = [row for row in MODELS.values() if row.get("sparse")]
    assert {"MoE LSTM", "Switch-C", "GLaM", "Kimi K2"} <= {row["name"] for row in sparse}
    assert all(row["active"] < row["said"] / 5 for row in sparse if row["active"])
    assert all(row in sparse for row in MODELS.values() if "active" in row)


def test_every_vision_model_says_whether_people_labelled_its_images():
    vision = [row for row in MODELS.values() if row["kind"] == "vision"]
    assert {row["labels"] for row in vision} == {True, False}
    assert all("labels" not in row for row in MODELS.values() if row not in vision)


def test_months_are_those_of_the_numbers_at_arxiv(recipe):
    assert not doctest.testmod(recipe).failed
    assert MODELS["Transformer big"]["month"] == "2017-06" and MODELS["GPT-4"]["month"] == "2023-03"


def test_every_row_names_its_source():
    found = table("history")
    assert all(
        row["source"] for row in [*MODELS.values(), *found["events"], *found["elsewhere"].values()]
    )
