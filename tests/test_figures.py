"""Figures in one call: what is drawn, in which style, and what is refused."""

import pytest
import torch

from fmcourse.plots import figures

ALT = "Two methods, and what there is to see of them."


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were shown, each with its alt text."""
    found = []
    monkeypatch.setattr(figures, "show", lambda fig, alt: found.append((fig, alt)))
    return found


def axes_of(drawn):
    [(fig, alt)] = drawn
    assert alt == ALT
    return fig.axes[0]


def test_a_method_keeps_its_style_in_every_figure(drawn):
    styles = figures.bind_styles("AdamW", "Muon")
    labels = dict(xlabel="x", ylabel="y", alt=ALT, styles=styles)
    figures.curves([1, 2], {"Muon": [1.0, 2.0]}, **labels)
    figures.grouped_bars({"loss": {"Muon": 1.0, "AdamW": 2.0}}, ylabel="y", alt=ALT, styles=styles)
    figures.bars({"Muon": 2.0}, xlabel="x", alt=ALT, styles=styles)
    line = drawn[0][0].axes[0].lines[0]
    bars = [fig.axes[0].patches[0] for fig, _ in drawn[1:]]
    assert line.get_color() == styles["Muon"].colour and line.get_linestyle() == "--"
    assert all(bar.get_hatch() == styles["Muon"].hatch for bar in bars)
    looks = [(s.colour, s.dash, s.marker, s.hatch) for s in styles.values()]
    assert all(a != b for a, b in zip(*looks, strict=True))


def test_more_methods_than_styles_are_refused():
    with pytest.raises(ValueError, match="8 methods are more than there are styles"):
        figures.bind_styles(*"abcdefgh")


def test_seeds_are_a_mean_and_a_band(drawn):
    runs = torch.tensor([[1.0, 5.0], [3.0, 4.0]])
    figures.curves([1, 2], {"a": runs}, xlabel="x", ylabel="y", alt=ALT)
    ax = axes_of(drawn)
    assert ax.lines[0].get_ydata() == pytest.approx([2.0, 4.5])
    edges = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert {1.0, 3.0, 4.0, 5.0} <= set(edges)


def test_one_run_has_no_band_and_its_points_are_markers_in_its_colour(drawn):
    figures.curves(
        [1, 2], {"a": [1.0, 5.0]}, points={"a": {1: 2.0}}, xlabel="x", ylabel="y", alt=ALT
    )
    ax = axes_of(drawn)
    line, marks = ax.lines
    assert not ax.collections and marks.get_linestyle() == "None"
    assert marks.get_color() == line.get_color()
    assert ax.get_legend_handles_labels()[1] == ["a"]


def test_each_line_may_have_its_own_x(drawn):
    figures.curves(
        {"a": [1, 2], "b": [5]}, {"a": [1, 1], "b": [2]}, xlabel="x", ylabel="y", alt=ALT
    )
    assert [list(line.get_xdata()) for line in axes_of(drawn).lines] == [[1, 2], [5]]


def test_a_line_of_another_length_is_refused(drawn):
    with pytest.raises(ValueError, match=r"'a' has \[3\] values for 2 places"):
        figures.curves([1, 2], {"a": [1.0, 2.0, 3.0]}, xlabel="x", ylabel="y", alt=ALT)
    assert not drawn


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (0.5, (0.5, 0.5, 0.5)),
        ((0.5, 0.1, 0.7), (0.5, 0.1, 0.7)),
        ([1.0, 2.0, 6.0], (3.0, 1.0, 6.0)),
    ],
)
def test_a_bar_is_a_value_an_interval_or_seeds(drawn, given, wanted):
    assert figures.interval(given) == wanted
    figures.bars({"a": given}, xlabel="x", alt=ALT, baseline={"chance": 0.25})
    ax = axes_of(drawn)
    assert ax.patches[0].get_width() == wanted[0]
    assert bool(ax.containers[1:]) == (wanted[1] < wanted[2])  # a whisker
    assert "chance" in ax.get_legend_handles_labels()[1]


def test_bars_have_one_colour_where_colour_means_nothing(drawn):
    figures.bars({"a": 1.0, "b": 2.0}, xlabel="x", alt=ALT)
    assert len({bar.get_facecolor() for bar in axes_of(drawn).patches}) == 1


def test_no_value_is_minus_zero(drawn):
    figures.bars({"a": -0.001}, xlabel="x", alt=ALT)
    figures.heatmap([[-0.001, 1.0]], ["r"], ["a", "b"], xlabel="x", ylabel="y", digits=2, alt=ALT)
    texts = [text.get_text() for fig, _ in drawn for text in fig.axes[0].texts]
    assert texts == ["0.00", "0.00", "1.00"]


def test_heatmaps_side_by_side_share_one_scale(drawn):
    matrices = {"one": [[0.0, 1.0]], "two": [[0.0, 4.0]]}
    figures.heatmaps(matrices, ["r"], ["a", "b"], xlabel="x", ylabel="y", alt=ALT)
    [(fig, _)] = drawn
    images = [ax.images[0] for ax in fig.axes[:2]]
    assert [image.get_clim() for image in images] == [(0.0, 4.0)] * 2 and len(fig.axes) == 3


@pytest.mark.parametrize("shape", [(3, 4, 5), (3, 1, 4, 5), (3, 3, 4, 5)])
def test_images_of_each_kind_in_rows(drawn, shape):
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    figures.show_images(images, columns=2, titles=["a", "b", "c"], row_labels=["r", "s"], alt=ALT)
    [(fig, _)] = drawn
    shown = [ax for ax in fig.axes if ax.images]
    assert len(fig.axes) == 4 and [ax.get_title() for ax in shown] == ["a", "b", "c"]
    assert fig.axes[2].get_ylabel() == "s"
    pixels = torch.tensor(shown[0].images[0].get_array())
    wanted = images[0] if len(shape) == 3 else images[0].movedim(0, -1).squeeze(-1)
    assert torch.allclose(pixels, wanted)


def test_points_have_their_texts(drawn):
    figures.scatter(
        {"a": ([1, 2], [3, 4])}, texts={"a": ["p", "q"]}, xlabel="x", ylabel="y", alt=ALT
    )
    assert [text.get_text() for text in axes_of(drawn).texts] == ["p", "q"]


def test_an_alt_text_that_says_nothing_is_refused_before_anything_is_drawn(drawn):
    with pytest.raises(ValueError, match="does not say what there is to see"):
        figures.bars({"a": 1.0}, xlabel="x", alt="bars")
    assert not drawn


def test_the_sizes_of_every_line_are_written_on_a_logarithmic_axis(drawn):
    x, lines = {"a": [1, 10], "b": [5, 5.4]}, {"a": [1, 1], "b": [2, 2]}
    figures.curves(x, lines, xlabel="x", ylabel="y", xlog=True, alt=ALT)
    assert [tick.get_text() for tick in axes_of(drawn).get_xticklabels()] == ["1", "5", "10"]


def test_long_names_make_a_matrix_wider_and_not_smaller(drawn):
    for rows in (["a", "b"], ["a name of some length", "b"]):
        figures.heatmap(torch.eye(2), rows, ["c", "d"], xlabel="x", ylabel="y", digits=2, alt=ALT)
    short, long = (fig.get_size_inches() for fig, _ in drawn)
    assert long[0] > short[0] + 1 and long[1] == short[1]
