"""Figures that everyone can read: one palette, a second sign beside each colour, alt text in each.

Colours: Okabe and Ito 2008, Color universal design. Nothing here imports matplotlib before a figure
is drawn.
"""

import base64
import html
import io
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {
    "blue": "#0072B2",
    "vermilion": "#D55E00",
    "green": "#009E73",
    "orange": "#E69F00",
    "purple": "#CC79A7",
    "sky": "#56B4E9",
    "black": "#000000",
}
DASHES = ["-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1, 1, 1)), (0, (1, 1))]
HATCHES = ["", "//", "..", "xx", "--", "\\\\", "oo"]
DPI = 110
FEW_POINTS = 50  # a line of fewer points is drawn as measurements, of more as a noisy curve
MOST_OF_THE_TIME = 1 / 20  # that drawing a live curve may take
SHORTEST_ALT = 20  # characters
LIVE_VIEW = "application/vnd.jupyter.widget-view+json"


def use_style() -> None:
    """Make this the style of every figure drawn from now on."""
    import matplotlib as mpl

    mpl.rcParams.update(
        {
            "axes.prop_cycle": mpl.cycler(color=list(COLOURS.values()), linestyle=DASHES),
            "axes.spines.right": False,
            "axes.spines.top": False,
            "figure.constrained_layout.use": True,
            "figure.dpi": DPI,
            "figure.figsize": (6.4, 3.6),
            "font.size": 11.0,
            "image.cmap": "cividis",
            "legend.frameon": False,
            "lines.linewidth": 2.0,
            "savefig.dpi": DPI,
            "savefig.facecolor": "white",
        }
    )


# Outputs of a notebook ----------------------------------------------------------------------------


def publish(
    text: str,
    page: str,
    *,
    png: bytes | None = None,
    live: Any = None,
    handle: str | None = None,
    update: bool = False,
) -> None:
    """Display one output in several forms; each front end takes the richest that it knows.

    Args:
        text: for terminals, comparisons and screen readers; with `png` it is also the alt text.
        page: HTML, for notebooks and exported pages.
        png: for readers of notebook files that show no HTML.
        live: a widget, for a page with a kernel behind it.
        handle, update: the name of an output, and whether to replace it.
    """
    if not in_notebook():
        if not update:  # the text of an update is the same again
            print(text)
        return
    from IPython.display import display, update_display

    data, metadata = {"text/plain": text, "text/html": page}, {}
    if png is not None:
        data["image/png"] = base64.b64encode(png).decode()
        metadata["image/png"] = {"alt": text}
    if live is not None:
        data[LIVE_VIEW] = live._repr_mimebundle_()[LIVE_VIEW]
    if update:
        update_display(data, display_id=handle, raw=True, metadata=metadata)
    else:
        display(data, display_id=handle, raw=True, metadata=metadata)


def in_notebook() -> bool:
    """Is there a kernel or an IPython shell that shows more than text?"""
    ipython = sys.modules.get("IPython")
    return ipython is not None and ipython.get_ipython() is not None


def show(fig: "Figure", *, alt: str) -> None:
    """Display a figure once, with a text for those who cannot see it, and close it.

    Args:
        alt: what there is to see, in a sentence or two ("The loss falls fast, then slowly").
    Raises: ValueError if `alt` is too short to say that.
    """
    png = figure_png(fig)
    publish(check_alt(alt), figure_html(png, alt), png=png)


def check_alt(alt: str) -> str:
    """`alt` itself. Raises: ValueError if it is too short to say what there is to see."""
    if not isinstance(alt, str) or len(alt.strip()) < SHORTEST_ALT:
        raise ValueError(
            f"alt={alt!r} does not say what there is to see; write a sentence of at least "
            f"{SHORTEST_ALT} characters, such as 'The loss falls fast, then slowly.'"
        )
    return alt


def figure_png(fig: "Figure") -> bytes:
    """A figure as PNG; then it is closed, so that the notebook does not show it a second time.

    An equal figure gives equal bytes: matplotlib's version, which it would write, is left out.
    """
    file = io.BytesIO()
    fig.savefig(file, format="png", dpi=DPI, metadata={"Software": None})
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close(fig)
    return file.getvalue()


def figure_html(png: bytes, alt: str, caption: str = "") -> str:
    """An HTML figure that holds its own image."""
    source = base64.b64encode(png).decode()
    below = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
    return (
        f'<figure style="margin: 0"><img alt="{html.escape(alt)}" style="max-width: 100%" '
        f'src="data:image/png;base64,{source}">{below}</figure>'
    )


# Plots --------------------------------------------------------------------------------------------


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


def curve(
    ax: "Axes", history: Any, label: str, *, against: str = "steps", keep: float = 0.9
) -> None:
    """Plot the losses of a `training.History`, smoothed, with the raw ones faint behind.

    Args:
        against: "steps", "seconds" or "tokens", what the x axis shows.
    """
    steps = list(range(1, len(history.losses) + 1))
    x = steps if against == "steps" else getattr(history, against)
    (line,) = ax.plot(x, smooth(history.losses, keep), label=label)
    ax.plot(x, history.losses, color=line.get_color(), linestyle="-", linewidth=0.8, alpha=0.25)
    ax.set(xlabel=against, ylabel="loss (nats per token)")


def band(ax: "Axes", x: Sequence[float], runs: Sequence[Sequence[float]], label: str) -> None:
    """Plot the mean of several seeds, and the band from the lowest to the highest.

    Args:
        runs: for each seed its values, one for each of `x`.
    """
    columns = list(zip(*runs, strict=True))
    (line,) = ax.plot(x, [sum(column) / len(column) for column in columns], label=label)
    low, high = [min(column) for column in columns], [max(column) for column in columns]
    ax.fill_between(x, low, high, color=line.get_color(), alpha=0.2, linewidth=0)


def heatmap(
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
    table = [[float(value) for value in row] for row in matrix]
    columns = rows if columns is None else columns
    image = ax.imshow(table, vmin=min(0.0, *map(min, table)), aspect="auto")
    long_names = max(map(len, columns), default=0) > 3
    ax.set_xticks(range(len(columns)), columns, rotation=90 if long_names else 0)
    ax.set_yticks(range(len(rows)), rows)
    ax.figure.colorbar(image, ax=ax)
    if digits is not None:
        low, high = image.get_clim()
        for i, row in enumerate(table):
            for j, value in enumerate(row):
                ink = "white" if value < (low + high) / 2 else "black"  # low values are dark
                ax.text(j, i, f"{value:.{digits}f}", ha="center", va="center", color=ink)


def bars(ax: "Axes", values: Mapping[str, float], *, unit: str, digits: int = 2) -> None:
    """Plot one bar a name, first at the top, each with its value, its own colour and hatching."""
    colours = list(COLOURS.values())
    for i, (name, value) in enumerate(values.items()):
        colour, hatch = colours[i % len(colours)], HATCHES[i % len(HATCHES)]
        bar = ax.barh(name, value, color=colour, hatch=hatch, edgecolor="white")
        ax.bar_label(bar, fmt=f"%.{digits}f", padding=3)
    ax.invert_yaxis()
    ax.margins(x=0.12)
    ax.set(xlabel=unit)


class LiveCurve:
    """A loss curve that is drawn while a model is trained, always in the same output.

    Use it as `with LiveCurve(alt=...) as curve: fit(..., on_step=curve)`. Drawing takes at most a
    twentieth of the time. Under FMCOURSE_STRICT=1, where nobody watches, only the last figure is
    drawn.
    """

    def __init__(
        self, *, alt: str, every_seconds: float = 1.0, ylabel: str = "loss (nats per token)"
    ) -> None:
        self.alt, self.every_seconds, self.ylabel = check_alt(alt), every_seconds, ylabel
        self.lines: dict[str, list[tuple[int, float]]] = {"training": []}
        self.handle: str | None = None
        self.watched = os.environ.get("FMCOURSE_STRICT") != "1"
        self.next = 0.0

    def __call__(self, step: int, loss: float, **more: float) -> None:
        """Add the loss at `step`, and by name whatever else was measured there."""
        for name, value in {"training": loss, **more}.items():
            self.lines.setdefault(name, []).append((step, float(value)))
        start = time.monotonic()
        if self.watched and start >= self.next:
            self.draw()
            end = time.monotonic()
            rest = (end - start) * (1 / MOST_OF_THE_TIME - 1)
            self.next = end + max(self.every_seconds, rest)

    def draw(self) -> None:
        """Draw what is known so far in place of the figure that was there."""
        from matplotlib.figure import Figure

        use_style()
        fig = Figure()
        ax = fig.subplots()
        for name, points in self.lines.items():
            plot_points(ax, name, points)
        ax.set(xlabel="step", ylabel=self.ylabel)
        ax.legend()
        png, update = figure_png(fig), self.handle is not None
        self.handle = self.handle or f"curve-{id(self)}"
        publish(self.alt, figure_html(png, self.alt), png=png, handle=self.handle, update=update)

    def close(self) -> None:
        """Draw the last figure."""
        self.draw()

    def __enter__(self) -> "LiveCurve":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def plot_points(ax: "Axes", name: str, points: Sequence[tuple[int, float]]) -> None:
    """Few points are measurements, each with a marker; many are a noisy curve, and smoothed."""
    steps, losses = [step for step, _ in points], [loss for _, loss in points]
    if len(points) < FEW_POINTS:
        ax.plot(steps, losses, marker="o", label=name)
    else:
        ax.plot(steps, smooth(losses), marker="", label=name)
