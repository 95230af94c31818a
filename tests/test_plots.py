"""Figures are shown once, closed, with a text for those who cannot see them."""

import base64
import subprocess
import sys

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

from fmcourse import plots
from fmcourse.plots import base, live

ALT = 'The loss falls fast, then slowly, and is "flat" & < 2 at the end.'


@pytest.fixture(autouse=True)
def style():
    with mpl.rc_context():
        plots.use_style()
        yield
    plt.close("all")


@pytest.fixture
def shown(monkeypatch):
    """Each bundle that goes to a front end: (data, metadata, handle, whether it replaces one)."""
    found = []

    def display(data, display_id=None, raw=None, metadata=None):
        found.append((data, metadata, display_id, False))

    def update_display(data, display_id=None, raw=None, metadata=None):
        found.append((data, metadata, display_id, True))

    monkeypatch.setattr(base, "in_notebook", lambda: True)
    monkeypatch.setattr("IPython.display.display", display)
    monkeypatch.setattr("IPython.display.update_display", update_display)
    return found


def line():
    fig, ax = plt.subplots()
    ax.plot([3, 2, 1])
    return fig


def test_a_figure_is_one_output_in_three_forms_and_closed(shown):
    fig = line()
    assert plots.show(fig, alt=ALT) is None
    [(data, metadata, _, _)] = shown
    assert set(data) == {"text/plain", "text/html", "image/png"} and data["text/plain"] == ALT
    assert (
        'alt="The loss falls fast, then slowly, and is &quot;flat&quot; &amp; &lt; 2 at the end."'
        in data["text/html"]
    )
    assert f'src="data:image/png;base64,{data["image/png"]}"' in data["text/html"]
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG") and metadata == {
        "image/png": {"alt": ALT}
    }
    assert not plt.get_fignums()


@pytest.mark.parametrize("alt", ["", "a plot", "  ", None, "short, and many      "])
def test_an_alt_text_that_says_nothing_is_refused(alt):
    with pytest.raises(ValueError, match="does not say what there is to see"):
        plots.show(line(), alt=alt)


def test_outside_a_notebook_the_text_is_printed(capsys):
    plots.show(line(), alt=ALT)
    assert capsys.readouterr().out == ALT + "\n"


def test_the_same_figure_has_the_same_bytes():
    assert plots.figure_png(line()) == plots.figure_png(line())
    assert b"Software" not in plots.figure_png(line())  # matplotlib would sign with its version


def test_colours_have_a_second_sign():
    fig, ax = plt.subplots()
    lines = [ax.plot([n, n])[0] for n in range(len(plots.COLOURS))]
    assert (
        len({line.get_color() for line in lines})
        == len({str(line._unscaled_dash_pattern) for line in lines})
        == 7
    )


def test_importing_imports_neither_torch_nor_matplotlib():
    asked = (
        "import sys, fmcourse, fmcourse.course, fmcourse.plots;"
        "late = {'torch', 'matplotlib', 'IPython', 'ipywidgets', 'numpy'};"
        "print(sorted(late & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True)
    assert done.stdout == "[]\n"


def test_a_moving_average_begins_at_the_first_value_and_ends_near_the_last():
    smoothed = plots.smooth([10.0] + [1.0] * 200)
    assert smoothed[0] == 10 and smoothed[-1] == pytest.approx(1, abs=1e-6) and 1 < smoothed[1] < 10


def test_a_band_goes_from_the_lowest_to_the_highest_seed():
    fig, ax = plt.subplots()
    plots.band(ax, [1, 2], [[1.0, 5.0], [3.0, 4.0]], "seeds")
    assert list(ax.lines[0].get_ydata()) == [2.0, 4.5]
    corners = ax.collections[0].get_paths()[0].vertices
    assert {(1, 1), (1, 3), (2, 4), (2, 5)} <= {(x, y) for x, y in corners}
    with pytest.raises(ValueError):
        plots.band(ax, [1, 2], [[1.0, 5.0], [3.0]], "seeds")


def test_a_heatmap_names_rows_and_columns_and_writes_its_values():
    import torch

    fig, ax = plt.subplots()
    plots.draw_heatmap(ax, torch.tensor([[1.0, 0.0], [0.25, 0.75]]), ["To", "be"], digits=2)
    assert (
        [t.get_text() for t in ax.get_xticklabels()]
        == [t.get_text() for t in ax.get_yticklabels()]
        == ["To", "be"]
    )
    assert [(t.get_text(), t.get_color()) for t in ax.texts][:2] == [
        ("1.00", "black"),
        ("0.00", "white"),
    ]
    assert ax.images[0].get_clim() == (0, 1)


def test_bars_are_in_order_each_with_value_and_hatching():
    fig, ax = plt.subplots()
    plots.draw_bars(ax, {"letters": 2.5, "pieces": 1.25}, unit="bits per byte")
    assert [text.get_text() for text in ax.texts] == ["2.50", "1.25"] and ax.yaxis_inverted()
    assert (
        ax.patches[0].get_hatch() != ax.patches[1].get_hatch()
        and ax.get_xlabel() == "bits per byte"
    )


# Live curves --------------------------------------------------------------------------------------


def test_a_live_curve_is_always_drawn_in_the_same_output(shown, monkeypatch):
    monkeypatch.delenv("FMCOURSE_STRICT", raising=False)
    with plots.LiveCurve(alt=ALT, every_seconds=0) as curve:
        curve(1, 4.0)
        curve.next = 0
        curve(2, 3.0, validation=3.5)
    assert [update for *_, update in shown] == [False, True, True]
    assert len({handle for _, _, handle, _ in shown}) == 1
    assert {data["text/plain"] for data, *_ in shown} == {ALT}
    assert curve.lines == {"training": [(1, 4.0), (2, 3.0)], "validation": [(2, 3.5)]}


@pytest.mark.slow
def test_a_live_curve_takes_no_more_than_a_twentieth_of_the_time(shown, monkeypatch):
    monkeypatch.delenv("FMCOURSE_STRICT", raising=False)
    now = [100.0]
    monkeypatch.setattr(live.time, "monotonic", lambda: now[0])
    curve = plots.LiveCurve(alt=ALT, every_seconds=0.5)
    draw = curve.draw

    def draw_for_a_tenth_of_a_second():
        draw()
        now[0] += 0.1

    monkeypatch.setattr(curve, "draw", draw_for_a_tenth_of_a_second)
    while now[0] < 120:
        curve(1, 1.0)
        now[0] += 0.01
    assert 9 <= len(shown) <= 10


def test_where_nobody_watches_only_the_last_figure_is_drawn_even_if_training_stops(
    shown, monkeypatch
):
    monkeypatch.setenv("FMCOURSE_STRICT", "1")
    with pytest.raises(ZeroDivisionError), plots.LiveCurve(alt=ALT) as curve:
        for step in range(100):
            curve(step, 1.0)
        1 / 0  # noqa: B018
    assert [update for *_, update in shown] == [False]
