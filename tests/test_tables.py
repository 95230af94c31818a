"""Tables that ship say how they were made, and a number changed by hand is noticed."""

import json
import shutil
from pathlib import Path

import pytest

from fmcourse.data import DataError, checksum, table, table_files

ROOT = Path(__file__).resolve().parents[1]
TABLES = sorted(table_files())


@pytest.fixture
def copy(tmp_path, monkeypatch):
    folder = tmp_path / "lessons" / "06_gpt_causal_lm"
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "lessons/06_gpt_causal_lm/table.json", folder)
    monkeypatch.setenv("FMCOURSE_LESSONS", str(tmp_path / "lessons"))
    return folder / "table.json"


@pytest.mark.parametrize("name", TABLES)
def test_a_table_names_the_recipe_that_made_it_and_the_day(name):
    found = table(name)
    assert (ROOT / found["command"].split()[1]).is_file() and len(found["date"]) == 10


def test_a_number_changed_by_hand_is_noticed(copy):
    copy.write_text(copy.read_text().replace('"bits_per_byte": 2', '"bits_per_byte": 1', 1))
    with pytest.raises(
        DataError, match=r"altered.*git restore lessons/06_gpt_causal_lm/table.json"
    ):
        table("lesson_06")


@pytest.mark.parametrize("content", ["", "[]", "{", "{}"])
def test_a_truncated_table_is_noticed(copy, content):
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


def test_the_seeds_of_lesson_06_agree_and_more_reading_is_better():
    found = table("lesson_06")
    for name in ("gpt", "llama"):
        bits = found[name]["bits_per_byte"]
        assert len(bits) >= 3 and max(bits) - min(bits) < 0.25
    for name in ("modern", "n-gram, tuned"):
        first, second, *_ = [point["bits_per_byte"] for point in found["by_reading"][name]]
        assert second < first - 0.1
