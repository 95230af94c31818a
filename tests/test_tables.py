"""Measurements that ship say how they were made, and a number changed by hand is noticed."""

import json
import shutil
from pathlib import Path

import pytest

from fmcourse.data import DataError, checksum, table

ROOT = Path(__file__).resolve().parents[1]
TABLES = sorted((ROOT / "data/tables").glob("*.json"))


@pytest.fixture
def copy(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "data/tables", tmp_path / "tables")
    monkeypatch.setenv("FMCOURSE_DATA", str(tmp_path))
    return tmp_path / "tables" / "lesson_06.json"


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_a_table_names_the_recipe_that_made_it_and_the_day(path):
    found = table(path.stem)
    assert (ROOT / found["command"].split()[1]).is_file() and len(found["date"]) == 10


def test_a_number_changed_by_hand_is_noticed(copy):
    copy.write_text(copy.read_text().replace('"bits_per_byte": 2', '"bits_per_byte": 1', 1))
    with pytest.raises(DataError, match=r"altered.*git restore data/tables/lesson_06.json"):
        table("lesson_06")


@pytest.mark.parametrize("content", ["", "[]", "{", "{}"])
def test_half_a_table_is_noticed(copy, content):
    copy.write_text(content)
    with pytest.raises(DataError, match="altered"):
        table("lesson_06")


def test_another_layout_is_the_same_table(copy):
    found = json.loads(copy.read_text())
    copy.write_text(json.dumps(found, indent=4, sort_keys=True).replace("\n", "\r\n"))
    assert checksum(table("lesson_06")) == found["sha256"]


def test_an_unknown_table_says_which_there_are(copy):
    with pytest.raises(ValueError, match="no table named 'lesson_6'; there is: .*lesson_06"):
        table("lesson_6")


def test_the_five_seeds_of_lesson_06_agree_and_the_longer_run_is_better():
    found = table("lesson_06")
    bits = [run["bits_per_byte"] for run in found["seeds"]]
    assert len(bits) >= 3 and max(bits) - min(bits) < 0.1
    assert found["longer"]["bits_per_byte"] < min(bits) - 0.1
