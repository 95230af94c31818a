"""Figures that everyone can read: one palette, a second sign beside each colour, alt text in each.

`figures` draws in one call what lessons show; `live` draws while a model is trained; `widgets` has
something to move. Nothing here imports matplotlib before a figure is drawn.
"""

from fmcourse.plots.base import (
    COLOURS,
    HATCHES,
    figure_html,
    figure_png,
    publish,
    show,
    use_style,
)
from fmcourse.plots.figures import (
    band,
    bars,
    bind_styles,
    curves,
    draw_bars,
    draw_heatmap,
    grouped_bars,
    heatmap,
    heatmaps,
    scatter,
    show_images,
    smooth,
)
from fmcourse.plots.live import LiveCurve

__all__ = [
    "COLOURS",
    "HATCHES",
    "LiveCurve",
    "band",
    "bars",
    "bind_styles",
    "curves",
    "draw_bars",
    "draw_heatmap",
    "figure_html",
    "figure_png",
    "grouped_bars",
    "heatmap",
    "heatmaps",
    "publish",
    "scatter",
    "show",
    "show_images",
    "smooth",
    "use_style",
]
