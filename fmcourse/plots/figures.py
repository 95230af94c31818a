"""Figures in one call: each draws, shows the figure with its alt text, and closes it.

A method keeps its colour, dash, marker and hatch throughout a lesson: `styles = bind_styles(...)`
once, then `styles=styles` in every figure. Where several seeds were run, all of them are passed: a
line is their mean with a band from the lowest to the highest, a bar their mean with a whisker.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fmcourse.plots.base import COLOURS, DASHES, HATCHES, MARKERS, check_alt, show, use_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 6.8  # inches, of a figure
FEW_POINTS = 20  # of a curve that gets a marker at each
FEW_TICKS = 8  # of a logarithmic axis that are written out
CLOSE = 1.3  # factor below which two of them would collide
SMALL_IMAGE = 0.9  # inches
LETTER = 0.085  # inches, of a tick's name
WHISKER = {"color": "black", "capsize": 3, "linewidth": 1.2, "linestyle": "none"}


@dataclass(frozen=True)
class Style:
    """How one method is drawn, in lines, points and bars."""

    colour: str
    dash: Any
    marker: str
    hatch: str


def bind_styles(*names: str) -> dict[str, Style]:
    """A style for each method, to be passed to every figure that shows it.

    Raises: ValueError if there are more methods than styles.

    >>> bind_styles("AdamW", "Muon")["Muon"].hatch
    '//'
    """
    if len(names) > len(COLOURS):
        raise ValueError(
            f"{len(names)} methods are more than there are styles ({len(COLOURS)}); show fewer in "
            "one figure, or give several of them one style."
        )
    looks = zip(COLOURS.values(), DASHES, MARKERS, HATCHES, strict=True)
    return {name: Style(*look) for name, look in zip(names, looks, strict=False)}


def curves(
    x: Sequence[float] | Mapping[str, Sequence[float]],
    lines: Mapping[str, Sequence[Any]],
    *,
    xlabel: str,
    ylabel: str,
    alt: str,
    points: Mapping[str, Mapping[float, float]] | None = None,
    xlog: bool = False,
    ylog: bool = False,
    ylim: tuple[float | None, float | None] | None = None,
    title: str | None = None,
    styles: Mapping[str, Style] | None = None,
    baseline: Mapping[str, float] | None = None,
) -> None:
    """Lines over a common x, or over an x of their own.

    Args:
        x: the places of all lines, or for each line's name its own.
        lines: name -> values, or a list of values for each seed.
        points: name -> {x: y}, single measurements, drawn as markers.
        baseline: name -> height of a dashed line, chance for example.
    Raises: ValueError if the alt text says nothing or a line has another length than its x.
    """
    fig, ax = new_axes(alt)
    styles = styles or bind_styles(*dict.fromkeys([*lines, *(points or {})]))
    for name, values in lines.items():
        places = list(x[name] if isinstance(x, Mapping) else x)
        draw_line(ax, name, places, as_runs(values), styles[name])
    for name, measured in (points or {}).items():
        draw_points(ax, None if name in lines else name, measured, styles[name])
    draw_baseline(ax.axhline, baseline)
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title or "")
    ax.set(xscale="log" if xlog else "linear", yscale="log" if ylog else "linear")
    if ylim is not None:
        ax.set_ylim(*ylim)
    if xlog:
        every = [list(places) for places in x.values()] if isinstance(x, Mapping) else [list(x)]
        write_out_ticks(ax, sorted(set().union(*every)))
    add_legend(ax)
    show(fig, alt=alt)


def write_out_ticks(ax: "Axes", places: Sequence[float]) -> None:
    """On a logarithmic axis the few sizes that were measured, instead of powers of ten.

    Of two that would collide, the smaller alone.
    """
    apart: list[float] = []
    for place in places:
        if not apart or place >= CLOSE * apart[-1]:
            apart.append(place)
    if len(apart) <= FEW_TICKS:
        ax.set_xticks(apart, [f"{place:g}" for place in apart])
        ax.set_xticks([], minor=True)


def draw_points(
    ax: "Axes", label: str | None, measured: Mapping[float, float], look: Style
) -> None:
    """Single measurements, {x: y}, as markers without a line."""
    x, y = list(measured), list(measured.values())
    ax.plot(x, y, linestyle="none", marker=look.marker, color=look.colour, label=label)


def draw_line(ax: "Axes", name: str, x: list[float], runs: list[list[float]], look: Style) -> None:
    """One method's line: the mean of its runs, and the band from the lowest to the highest."""
    if any(len(run) != len(x) for run in runs):
        lengths = sorted({len(run) for run in runs})
        raise ValueError(f"{name!r} has {lengths} values for {len(x)} places on the x axis.")
    columns = list(zip(*runs, strict=True))
    ax.plot(
        x,
        [sum(column) / len(column) for column in columns],
        color=look.colour,
        linestyle=look.dash,
        marker=look.marker if len(x) <= FEW_POINTS else "",
        label=name,
    )
    if len(runs) > 1:
        low, high = [min(column) for column in columns], [max(column) for column in columns]
        ax.fill_between(x, low, high, color=look.colour, alpha=0.2, linewidth=0)


def bars(
    values: Mapping[str, Any],
    *,
    xlabel: str,
    alt: str,
    digits: int = 2,
    styles: Mapping[str, Style] | None = None,
    title: str | None = None,
    baseline: Mapping[str, float] | None = None,
) -> None:
    """One horizontal bar a name, first at the top, with its value written beside it.

    Args:
        values: name -> a value, (value, low, high), or a list of the values of seeds.
        styles: without them all bars have one colour, since a colour has to mean something.
        baseline: name -> length at which a dashed line stands, chance for example.
    """
    fig, ax = new_axes(alt, height=1.2 + 0.42 * len(values))
    plain = bind_styles("")[""]
    for name, given in values.items():
        look = styles[name] if styles else plain
        middle, low, high = interval(given)
        ax.barh(name, middle, color=look.colour, hatch=look.hatch, edgecolor="white")
        text = f"{no_minus_zero(middle, digits):.{digits}f}"
        if high > low:
            ax.errorbar(middle, name, xerr=[[middle - low], [high - middle]], **WHISKER)
        ax.annotate(text, (max(high, 0), name), (5, 0), textcoords="offset points", va="center")
    ax.invert_yaxis()
    ax.margins(x=0.14)
    draw_baseline(ax.axvline, baseline)
    ax.set(xlabel=xlabel, title=title or "")
    add_legend(ax, loc="lower right", bbox_to_anchor=(1.0, 1.0))  # above, where no bar is
    show(fig, alt=alt)


def grouped_bars(
    groups: Mapping[str, Mapping[str, Any]],
    *,
    ylabel: str,
    alt: str,
    digits: int = 2,
    styles: Mapping[str, Style] | None = None,
    ylim: tuple[float | None, float | None] | None = None,
    title: str | None = None,
    baseline: Mapping[str, float] | None = None,
) -> None:
    """For each group a bar of each method; colour and hatch tell the methods apart.

    Args:
        groups: group -> {method: value, (value, low, high), or a list of the values of seeds}.
    """
    methods = list(dict.fromkeys(name for group in groups.values() for name in group))
    styles = styles or bind_styles(*methods)
    fig, ax = new_axes(alt, width=max(WIDTH, 1.1 * len(groups)))
    width = 0.8 / len(methods)
    for i, method in enumerate(methods):
        look, label = styles[method], method
        for g, group in enumerate(groups.values()):
            if method not in group:
                continue
            middle, low, high = interval(group[method])
            place = g + (i - (len(methods) - 1) / 2) * width
            ax.bar(
                place, middle, width, color=look.colour, hatch=look.hatch, edgecolor="white",
                label=label,
            )  # fmt: skip
            label = None  # once in the legend
            if high > low:
                ax.errorbar(place, middle, yerr=[[middle - low], [high - middle]], **WHISKER)
            text = f"{no_minus_zero(middle, digits):.{digits}f}"
            ax.annotate(
                text, (place, high), (0, 2), textcoords="offset points", ha="center", fontsize=9
            )
    ax.set_xticks(range(len(groups)), list(groups))
    ax.set(ylabel=ylabel, title=title or "")
    draw_baseline(ax.axhline, baseline)
    if ylim is not None:
        ax.set_ylim(*ylim)
    # Beside the bars, since any place among them may be taken.
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    show(fig, alt=alt)


def heatmap(
    matrix: Any,
    rows: Sequence[str],
    columns: Sequence[str] | None = None,
    *,
    alt: str,
    xlabel: str,
    ylabel: str,
    digits: int | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
    colorbar_label: str | None = None,
    title: str = "",
) -> None:
    """A matrix as colours, with the names of rows and columns; see `heatmaps`."""
    heatmaps(
        {title: matrix},
        rows,
        columns,
        alt=alt,
        xlabel=xlabel,
        ylabel=ylabel,
        digits=digits,
        vmin=vmin,
        vmax=vmax,
        colorbar_label=colorbar_label,
    )


def heatmaps(
    matrices: Mapping[str, Any],
    rows: Sequence[str],
    columns: Sequence[str] | None = None,
    *,
    alt: str,
    xlabel: str,
    ylabel: str,
    digits: int | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
    colorbar_label: str | None = None,
) -> None:
    """Matrices side by side, title by title, on one colour scale, with the names of rows, columns.

    Args:
        digits: write each value in its cell, with so many digits behind the point.
        vmin, vmax: ends of the colour scale; 0 or the lowest value, and the highest, if left out.
    """
    tables = {name: to_table(matrix) for name, matrix in matrices.items()}
    columns = rows if columns is None else columns
    every = [value for table in tables.values() for row in table for value in row]
    low = min(0.0, *every) if vmin is None else vmin
    high = max(every) if vmax is None else vmax
    width, height = heatmap_size(rows, columns, digits, alone=len(tables) == 1)
    fig, axes = new_grid(alt, 1, len(tables), width=width * len(tables), height=height)
    for ax, (title, table) in zip(axes, tables.items(), strict=True):
        image = ax.imshow(table, vmin=low, vmax=high, aspect="auto")
        name_ticks(ax, rows, columns)
        ax.set(xlabel=xlabel, title=title)
        if digits is not None:
            write_values(ax, table, digits, (low + high) / 2)
    axes[0].set_ylabel(ylabel)
    fig.colorbar(image, ax=axes, label=colorbar_label or "")
    show(fig, alt=alt)


def heatmap_size(
    rows: Sequence[str], columns: Sequence[str], digits: int | None, alone: bool
) -> tuple[float, float]:
    """Inches that a matrix takes, the names beside it and below it included."""
    cell_width, cell_height = (0.55, 0.36) if digits is not None else (0.28, 0.28)
    beside = LETTER * max(map(len, rows), default=0)
    below = LETTER * max(map(len, columns), default=0) if has_long_names(columns) else 0.0
    width = max(3.4, cell_width * len(columns) + 1.6) + beside
    height = max(2.4, cell_height * len(rows) + 1.2) + below
    return min(width, 8.5 if alone else 5.0), min(height, 7.5)


def show_images(
    images: Any,
    *,
    alt: str,
    titles: Sequence[str] | None = None,
    columns: int | None = None,
    row_labels: Sequence[str] | None = None,
    size: float = SMALL_IMAGE,
) -> None:
    """A grid of images, row by row.

    Args:
        images: (N, height, width), (N, channels, height, width), or a list of such; values 0 to 1.
        titles: one above each image.
        columns: images in a row; all of them, at most 10, if left out.
        row_labels: one beside each row.
        size: inches of one image.
    """
    images = list(images)
    columns = columns or min(len(images), 10)
    n_rows = -(-len(images) // columns)
    head = 0.35 if titles else 0.08
    fig, axes = new_grid(
        alt, n_rows, columns, width=columns * (size + 0.08) + 0.9, height=n_rows * (size + head)
    )
    for ax in axes:
        ax.set_xticks([])
        ax.set_yticks([])
        for side in ax.spines.values():
            side.set_visible(False)
    for i, image in enumerate(images):
        draw_image(axes[i], image)
        if titles:
            axes[i].set_title(titles[i], fontsize=9)
    for row, label in enumerate(row_labels or []):
        axes[row * columns].set_ylabel(label, rotation=0, ha="right", va="center")
    show(fig, alt=alt)


def scatter(
    groups: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    xlabel: str,
    ylabel: str,
    alt: str,
    texts: Mapping[str, Sequence[str]] | None = None,
    xlog: bool = False,
    ylog: bool = False,
    title: str | None = None,
    styles: Mapping[str, Style] | None = None,
) -> None:
    """Points, a colour and a marker for each group.

    Args:
        groups: name -> (x of its points, y of its points).
        texts: name -> what is written beside each of its points.
    """
    fig, ax = new_axes(alt, height=4.2)
    styles = styles or bind_styles(*groups)
    ax.set(xscale="log" if xlog else "linear", yscale="log" if ylog else "linear")
    for name, (xs, ys) in groups.items():
        look = styles[name]
        xs, ys = list(map(float, xs)), list(map(float, ys))
        ax.scatter(xs, ys, color=look.colour, marker=look.marker, s=28, label=name)
        for point, text in zip(zip(xs, ys, strict=True), (texts or {}).get(name, []), strict=False):
            ax.annotate(text, point, (4, 3), textcoords="offset points", fontsize=9)
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title or "")
    add_legend(ax)
    show(fig, alt=alt)


# Parts of figures -------------------------------------------------------------------------------


def new_axes(alt: str, width: float = WIDTH, height: float = 3.6) -> tuple["Figure", "Axes"]:
    """A figure with one pair of axes. Raises: ValueError if the alt text says nothing."""
    fig, axes = new_grid(alt, 1, 1, width=width, height=height)
    return fig, axes[0]


def new_grid(
    alt: str, rows: int, columns: int, *, width: float, height: float
) -> tuple["Figure", list["Axes"]]:
    """A figure with rows x columns axes, in reading order."""
    check_alt(alt)  # before anything is drawn
    from matplotlib.figure import Figure

    use_style()
    fig = Figure(figsize=(width, height))
    return fig, list(fig.subplots(rows, columns, squeeze=False).flat)


def as_runs(values: Sequence[Any]) -> list[list[float]]:
    """A list of runs, of one line of values or of several."""
    values = to_list(values)
    many = bool(values) and isinstance(to_list(values[0]), list | tuple)
    return [list(map(float, to_list(run))) for run in (values if many else [values])]


def to_list(value: Any) -> Any:
    """Tensors and arrays as lists, everything else as it is."""
    if hasattr(value, "detach"):
        value = value.detach()
    if hasattr(value, "tolist"):
        return value.tolist()
    return list(value) if isinstance(value, range | tuple) else value


def to_table(matrix: Any) -> list[list[float]]:
    return [[float(value) for value in row] for row in matrix]


def interval(given: Any) -> tuple[float, float, float]:
    """Middle, low and high of a value, of (value, low, high), or of a list of values of seeds."""
    if isinstance(given, tuple):
        middle, low, high = map(float, given)
        return middle, low, high
    given = to_list(given)
    seeds = list(map(float, given)) if isinstance(given, list) else [float(given)]
    return sum(seeds) / len(seeds), min(seeds), max(seeds)


def no_minus_zero(value: float, digits: int) -> float:
    """The rounded value, 0.0 instead of -0.0."""
    return round(value, digits) + 0.0


def draw_baseline(draw: Any, baseline: Mapping[str, float] | None) -> None:
    """A dashed line for each named value; `draw` is `axhline` or `axvline`."""
    for name, value in (baseline or {}).items():
        draw(value, color="black", linestyle=":", linewidth=1.4, label=name)


def add_legend(ax: "Axes", **more: Any) -> None:
    """A legend, if more than one thing has a name or a single one is no axis label."""
    if ax.get_legend_handles_labels()[1]:
        ax.legend(**more)


def name_ticks(ax: "Axes", rows: Sequence[str], columns: Sequence[str]) -> None:
    """The names of rows and columns; long ones of columns stand upright."""
    rotation = 90 if has_long_names(columns) else 0
    ax.set_xticks(range(len(columns)), columns, rotation=rotation)
    ax.set_yticks(range(len(rows)), rows)


def has_long_names(columns: Sequence[str]) -> bool:
    return max(map(len, columns), default=0) > 3


def write_values(ax: "Axes", table: list[list[float]], digits: int, middle: float) -> None:
    """Each value in its cell, white on dark colours, which are those of low values."""
    for i, row in enumerate(table):
        for j, value in enumerate(row):
            ink = "white" if value < middle else "black"
            text = f"{no_minus_zero(value, digits):.{digits}f}"
            ax.text(j, i, text, ha="center", va="center", color=ink)


def draw_image(ax: "Axes", image: Any) -> None:
    """One image, (height, width) in grey, or (channels, height, width); values 0 to 1."""
    if hasattr(image, "detach"):
        image = image.detach().numpy()
    if image.ndim == 3:
        image = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
    ax.imshow(image.clip(0, 1), cmap="gray", vmin=0, vmax=1, interpolation="nearest")


# On axes of the caller's ------------------------------------------------------------------------


def smooth(values: Iterable[float], keep: float = 0.9) -> list[float]:
    """An exponential moving average, corrected for its start (Kingma and Ba 2015, section 3).

    Args:
        keep: the weight of the average so far; the new value has 1 - keep.

    >>> smooth([4.0, 4.0, 1.0], keep=0.5)
    [4.0, 4.0, 2.2857142857142856]
    """
    mean, weight, means = 0.0, 0.0, []
    for value in values:
        mean, weight = keep * mean + (1 - keep) * value, keep * weight + (1 - keep)
        means.append(mean / weight)
    return means


def band(ax: "Axes", x: Sequence[float], runs: Sequence[Sequence[float]], label: str) -> None:
    """Plot the mean of several seeds, and the band from the lowest to the highest.

    Args:
        runs: for each seed its values, one for each of `x`.
    """
    columns = list(zip(*runs, strict=True))
    (line,) = ax.plot(x, [sum(column) / len(column) for column in columns], label=label)
    low, high = [min(column) for column in columns], [max(column) for column in columns]
    ax.fill_between(x, low, high, color=line.get_color(), alpha=0.2, linewidth=0)


def draw_heatmap(
    ax: "Axes",
    matrix: Any,
    rows: Sequence[str],
    columns: Sequence[str] | None = None,
    *,
    digits: int | None = None,
) -> None:
    """Plot a matrix as colours, with the names of its rows and columns.

    Args:
        columns: the names of the columns; those of the rows if left out.
        digits: write each value in its cell, with so many digits behind the point.
    """
    table = to_table(matrix)
    image = ax.imshow(table, vmin=min(0.0, *map(min, table)), aspect="auto")
    name_ticks(ax, rows, rows if columns is None else columns)
    ax.figure.colorbar(image, ax=ax)
    if digits is not None:
        write_values(ax, table, digits, sum(image.get_clim()) / 2)


def draw_bars(ax: "Axes", values: Mapping[str, float], *, unit: str, digits: int = 2) -> None:
    """Plot one bar a name, first at the top, each with its value, its own colour and hatching."""
    colours = list(COLOURS.values())
    for i, (name, value) in enumerate(values.items()):
        colour, hatch = colours[i % len(colours)], HATCHES[i % len(HATCHES)]
        bar = ax.barh(name, value, color=colour, hatch=hatch, edgecolor="white")
        ax.bar_label(bar, fmt=f"%.{digits}f", padding=3)
    ax.invert_yaxis()
    ax.margins(x=0.12)
    ax.set(xlabel=unit)
