"""Claims rest on what a notebook computes; every prediction is answered by one of its options."""

import pytest
from nbformat.v4 import new_code_cell

from tools import evidence


def gather(*sources):
    return evidence.gather([new_code_cell(source) for source in sources])


def unfounded(*sources):
    return [fault for fault in gather(*sources).faults if "computed here" in fault]


SHIPPED = "shipped = table('lesson_06')\nruns = [run['loss'] for run in shipped['seeds']]"


@pytest.mark.parametrize(
    "cells",
    [
        ["claim('s', max(runs) < 2)"],
        ["claim('s', table('lesson_06')['loss'] < 2)"],
        ["low, high = min(runs), max(runs)", "claim('s', low < 1 < high)"],
        ["from statistics import mean", "claim('s', mean(runs) < 1)"],
        ["for run in shipped['seeds']:\n    claim('s', run['loss'] < 2)"],
        ["for n, run in enumerate(runs):\n    worst = run", "claim('s', worst < 2)"],
        [
            "def of(runs, key):\n    return [run[key] for run in runs]",
            "claim('s', of(runs, 'a') < 2)",
        ],
        ["of = lambda key: shipped[key]", "claim('s', of('a') < 2)"],
        ["names = ['a', 'b']", "claim('s', all(shipped[name] < 2 for name in names))"],
        ["claim('s', (math.log(runs[0]) < 2) and torch.tensor(runs).max() < 3)"],
        ["model = train()", "model = runs", "claim('s', model[0] < 2)"],
        ["steps = 700", "claim('s', steps == 700)"],
        ["claim('s', True)"],
    ],
)
def test_a_claim_about_shipped_values_and_constants_alone_is_a_fault(cells):
    assert len(unfounded(SHIPPED, *cells)) == 1


@pytest.mark.parametrize(
    "cells",
    [
        ["loss = train()", "claim('s', loss < max(runs))"],
        [
            "losses = []\nfor seed in range(3):\n    losses.append(train(seed))",
            "claim('s', max(losses) < 2)",
        ],
        [
            "found = {}\nfor n in (1, 2):\n    found[n] = train(n)",
            "claim('s', max(found.values()) < 2)",
        ],
        ["runs = [train(seed) for seed in range(3)]", "claim('s', max(runs) < 2)"],
        ["text = 'a'\nwhile len(text) < 9:\n    text += follow(text)", "claim('s', text == 'ab')"],
        ["def gap(n):\n    return model(n)", "claim('s', gap(shipped['n']) < 2)"],
        ["claim('s', torch.randn(3).max() < shipped['most'])"],
        ["with torch.no_grad():\n    loss = model(x)", "claim('s', loss < 2)"],
        ["a, b = runs[0], train()", "claim('s', a < b)"],
        ["reported('s', max(runs) < 2, table=shipped)"],
    ],
)
def test_a_claim_with_something_live_in_its_condition_is_none(cells):
    assert not unfounded(SHIPPED, *cells)


def test_claims_and_reports_are_counted():
    found = gather(SHIPPED, "claim('a', f() < 2)\nreported('b', runs[0] < 2, table=shipped)")
    assert (found.live, found.reported, found.faults) == (1, 1, [])


@pytest.mark.parametrize("sentence", ["your loss is low", "low is yours", "Your mask: triangular"])
def test_no_claim_praises_an_answer_that_may_be_blank(sentence):
    [fault] = gather(f"claim({sentence!r}, f() < 2)").faults
    assert "may be blank" in fault


def test_a_band_that_is_widened_is_a_fault():
    cells = SHIPPED, "x = f()"
    assert not gather(*cells, "claim('s', x < 2, band=(min(runs), max(runs)), x=x)").faults
    [fault] = gather(*cells, "claim('s', x < 2, band=(min(runs) - 1, max(runs)), x=x)").faults
    assert fault == 'cell 3: the band of "s" is widened.'


def test_nothing_is_answered_in_the_cell_that_asks():
    answer = "resolve('06.a', 'one', 'there was no other one')"
    assert gather(ASK, answer).faults == []
    [fault] = gather(f"{ASK}\n{answer}").faults
    assert fault == "cell 1: '06.a' is asked and answered in one cell; split it."


ASK = "predict('06.a', 'how many?', ['one', 'two'])"


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ("resolve('06.a', 'one', 'there was no other one')", None),
        ("resolve('06.a', options[n], why='there was no other one')", None),
        ("", "predict('06.a') is never resolved."),
        ("resolve('06.a', 'three', 'there was no other one')", "'three' is none of the options"),
        ("resolve('06.a', 'one', 'so.')", "gives no reason"),
        ("resolve('06.a', 'one')", "gives no reason"),
        ("resolve('06.a', 'one', 'there was no second')\nresolve('06.b', 'x', 'it is the other')",
         "resolve('06.b') stands before its predict"),
    ],
)  # fmt: skip
def test_every_prediction_is_answered_with_a_reason(answer, fault):
    faults = gather(ASK, answer).faults
    assert not faults if fault is None else len(faults) == 1 and fault in faults[0]
