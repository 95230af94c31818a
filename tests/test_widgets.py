"""Interactive figures have a static form for where no kernel runs; both have the same alt text."""

from types import SimpleNamespace

import ipywidgets
import matplotlib.pyplot as plt
import pytest

from fmcourse.plots import base, widgets

ALT = "A line that climbs as steeply as the slider says."


@pytest.fixture
def shown(monkeypatch):
    found = []

    def publish(text, page, png=None, live=None):
        found.append(SimpleNamespace(text=text, page=page, png=png, live=live))

    monkeypatch.setattr(base, "publish", publish)
    return found


def line(slope=2.0, label="a"):
    fig, ax = plt.subplots()
    ax.plot([0, slope], label=label)
    ax.set_ylim(0, 10)
    return fig


def test_a_slider_redraws_the_figure_and_keeps_its_alt_text(shown):
    assert widgets.interactive(line, alt=ALT, slope=(0.0, 9.0, 0.5)) is None
    [output] = shown
    slider, screen = output.live.children
    assert isinstance(slider, ipywidgets.FloatSlider) and (slider.value, slider.description) == (
        2.0,
        "slope",
    )
    before = screen.value
    assert f'alt="{ALT}"' in before and "<img" in before
    slider.value = 7.5
    assert screen.value != before and f'alt="{ALT}"' in screen.value
    slider.value = 2.0
    assert screen.value == before
    assert not plt.get_fignums()


def test_the_static_figure_says_for_which_values_it_was_drawn(shown):
    widgets.interactive(line, alt=ALT, slope=(0, 9), label=["a", "b"])
    assert "<figcaption>slope: 2, label: a</figcaption>" in shown[0].page
    assert shown[0].text == ALT and shown[0].png.startswith(b"\x89PNG")
    assert [type(box) for box in shown[0].live.children[:2]] == [
        ipywidgets.IntSlider,
        ipywidgets.Dropdown,
    ]


def test_the_alt_text_may_depend_on_the_values(shown):
    widgets.interactive(
        line, alt=lambda slope: f"A line that climbs to {slope} at its end.", slope=(0, 9)
    )
    slider, screen = shown[0].live.children
    slider.value = 5
    assert (
        shown[0].text == "A line that climbs to 2 at its end." and "climbs to 5 at" in screen.value
    )


def test_a_failing_redraw_shows_its_error_until_the_next(shown):
    widgets.interactive(lambda n=2: f"<b>{6 // n}</b>", alt=ALT, n=(0, 3))
    slider, screen = shown[0].live.children
    slider.value = 0
    assert screen.value.startswith("<pre>ZeroDivisionError")
    slider.value = 3
    assert "<b>2</b>" in screen.value


def test_a_text_can_be_edited(shown):
    widgets.text_interactive(
        lambda text: widgets.colour_tokens(text.split(" ")), value="to be", alt=ALT
    )
    box, screen = shown[0].live.children
    assert shown[0].page == screen.value and f'aria-label="{ALT}"' in screen.value
    box.value = "or <not>"
    assert "&lt;not&gt;" in screen.value and box.description == "text"


@pytest.mark.parametrize(
    "draw, controls, error",
    [
        (line, {"height": (0, 1)}, "draw has no parameter 'height'; it has: slope, label"),
        (line, {"slope": object}, "slope=<class 'object'> is no control"),
        (
            lambda n=1: None,
            {"n": (0, 3)},
            "draw must return a figure or a string of HTML, not NoneType",
        ),
    ],
)
def test_what_cannot_be_drawn_is_an_error_at_once(draw, controls, error):
    with pytest.raises((ValueError, TypeError), match=error):
        widgets.interactive(draw, alt=ALT, **controls)


def test_an_empty_alt_text_is_refused():
    with pytest.raises(ValueError, match="does not say what there is to see"):
        widgets.interactive(line, alt="plot", slope=(0, 9))


def test_tokens_show_their_spaces_and_differ_without_colour():
    page = widgets.colour_tokens([" the", "<b>", "\n", "\t"], ids=[284, 7, 8, 9])
    assert (
        ">·the</span>" in page
        and "&lt;b&gt;</span>" in page
        and ">⏎</span><br>" in page
        and ">→</span>" in page
    )
    assert page.count("border: 1px solid") == 4 and "token 1: &#x27; the&#x27;, id 284" in page
    assert len({tint for tint in widgets.TINTS if tint in page}) == 4


def test_a_typed_string_is_drawn_when_it_is_entered():
    box = widgets.make_control(lambda phrase="a": phrase, "phrase", "a")
    assert box.value == "a" and box.continuous_update is False
