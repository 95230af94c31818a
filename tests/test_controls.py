"""A control keeps working after the rest of the notebook has run."""

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools.controls import check_controls

DRAW = "best = [3, 1]\ndef draw(k=1):\n    return str([one for one in best][:k])\n"
SLIDER = "interactive(draw, k=(1, 2), alt='The best.')"


def said(*sources):
    cells = [new_markdown_cell("text"), *map(new_code_cell, sources)]
    return list(check_controls(new_notebook(cells=cells)))


@pytest.mark.parametrize(
    "later",
    ["best = 0.5", "for best in 'ab':\n    pass", "import os as best", "def best():\n    pass"],
)
def test_a_name_bound_again_is_found(later):
    [fault] = said(DRAW + SLIDER, later)
    assert fault.startswith("cell 3: it binds 'best' anew") and "cell 2" in fault


def test_a_name_is_followed_through_functions_and_lambdas():
    helper = "def shown(k):\n    return str(best[:k])\n"
    through = "interactive(lambda k=1: shown(k), k=(1, 2), alt='The best.')"
    assert "'best'" in said("best = [1]\n" + helper, through, "best = 2")[0]
    assert "'names'" in said(DRAW, SLIDER[:-1] + ", note=lambda k: names[k])", "names = []")[0]


@pytest.mark.parametrize(
    "later",
    [
        "other = 1",
        "k = 4",  # a parameter
        "one = 5",  # of the comprehension
        "def score(best):\n    best = 2\n    return best",
        "[best for best in 'ab']",
        "draw = 3",  # the control has the function itself
    ],
)
def test_what_the_control_does_not_read_may_be_bound(later):
    assert said(DRAW + SLIDER, later) == []


def test_before_and_in_its_own_cell_names_are_free():
    assert said("best = 1", DRAW + "best = [1, 2]\n" + SLIDER) == []
