"""A loss curve that is drawn while a model is trained."""

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fmcourse.plots.base import check_alt, figure_html, figure_png, publish, use_style
from fmcourse.plots.figures import smooth

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FEW_POINTS = 50  # a line of fewer points is drawn as measurements, of more as a noisy curve
MOST_OF_THE_TIME = 1 / 20  # that drawing may take


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
