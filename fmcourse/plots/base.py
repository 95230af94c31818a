"""The palette, and how a figure becomes an output: PNG, HTML with alt text, and the text alone.

Colours: Okabe and Ito 2008, Color universal design. Nothing here imports matplotlib before a figure
is drawn.
"""

import base64
import html
import io
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
MARKERS = ["o", "s", "^", "D", "v", "P", "X"]
DPI = 110
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
