"""Things to move, with a picture for where nobody can move them.

An output here has two forms in one bundle: a page with a kernel behind it shows the widget, everything else (exported
pages, a notebook read without running it, a comparison of outputs) shows the picture drawn from the first values.
"""

import html
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets

from fmcourse import plots

Alt = str | Callable[..., str]
TINTS = [
    "#CDE5F2",
    "#FBE3CC",
    "#CCEBE2",
    "#F5E1EC",
]  # pale forms of the palette: dark letters stay readable
SIGNS = str.maketrans({" ": "·", "\n": "⏎", "\t": "→"})


def interactive(draw: Callable[..., Any], *, alt: Alt, **controls: Any) -> None:
    """Show what `draw` makes of the first values, with controls that have it drawn again.

    Args:
        draw: values by name -> a matplotlib figure, or a string of HTML. It need not print or show anything.
        alt: what there is to see; where that depends on the values, a function of them.
        controls: for each parameter of `draw` (low, high) or (low, high, step) for a slider, a list for a menu, a bool,
            a string (Enter draws it, so that a picture which takes a second is not drawn letter by letter), or any ipywidget. A parameter's default is its first value.
    Raises: ValueError if `draw` lacks a parameter of that name, or the alt text says nothing.
    """
    boxes = {name: make_control(draw, name, given) for name, given in controls.items()}
    values = lambda: {name: box.value for name, box in boxes.items()}
    page, png, text = render(draw, alt, values())
    screen = ipywidgets.HTML(page)

    def redraw(change: Any) -> None:
        try:
            screen.value = render(draw, alt, values())[0]
        except Exception as error:  # it would vanish in the server's log
            screen.value = f"<pre>{html.escape(f'{type(error).__name__}: {error}')}</pre>"

    for box in boxes.values():
        box.observe(redraw, "value")
    caption = ", ".join(f"{name}: {value}" for name, value in values().items())
    static = plots.figure_html(png, text, caption) if png else page
    plots.publish(text, static, png=png, live=ipywidgets.VBox([*boxes.values(), screen]))


def text_interactive(
    draw: Callable[[str], Any], *, value: str, alt: Alt, label: str = "text"
) -> None:
    """Show what `draw` makes of a text, and let it be typed over."""
    box = ipywidgets.Textarea(value, layout={"width": "95%"})
    first = next(iter(inspect.signature(draw).parameters))
    box.description = label
    interactive(draw, alt=alt, **{first: box})


def make_control(draw: Callable[..., Any], name: str, given: Any) -> ipywidgets.Widget:
    """The widget for one parameter of `draw`."""
    parameters = inspect.signature(draw).parameters
    if name not in parameters:
        raise ValueError(f"draw has no parameter {name!r}; it has: {', '.join(parameters)}.")
    box = ipywidgets.interactive.widget_from_abbrev(given, parameters[name].default)
    if box is None:
        raise ValueError(
            f"{name}={given!r} is no control; give (low, high[, step]), a list, a bool or a string."
        )
    if isinstance(given, str):
        box.continuous_update = False
    box.description = box.description or name
    box.style.description_width = "initial"
    return box


def render(draw: Callable[..., Any], alt: Alt, values: dict) -> tuple[str, bytes | None, str]:
    """The page for these values, its PNG if it is a figure, and its alt text."""
    result = draw(**values)
    text = plots.check_alt(alt(**values) if callable(alt) else alt)
    if isinstance(result, str):
        return f'<div role="group" aria-label="{html.escape(text)}">{result}</div>', None, text
    if not hasattr(result, "savefig"):
        raise TypeError(
            f"draw must return a figure or a string of HTML, not {type(result).__name__}; `return fig`."
        )
    png = plots.figure_png(result)
    return plots.figure_html(png, text), png, text


def colour_tokens(pieces: Sequence[str], ids: Sequence[int] | None = None) -> str:
    """HTML in which each token has a border and a tint, and spaces, line ends and tabs can be seen.

    >>> "the·cat" in colour_tokens(["the cat"])
    True
    """
    spans = []
    for n, piece in enumerate(pieces):
        number = f", id {ids[n]}" if ids is not None else ""
        spans.append(
            f'<span title="token {n + 1}: {html.escape(repr(piece))}{number}" style="background: {TINTS[n % len(TINTS)]}; '
            "color: #111; border: 1px solid #555; border-radius: 3px; padding: 0 2px; margin: 1px; white-space: pre-wrap; "
            f'display: inline-block">{html.escape(piece.translate(SIGNS))}</span>'
            + "<br>"
            * piece.endswith("\n")
        )
    return f'<div style="font-family: monospace; line-height: 1.7">{"".join(spans)}</div>'
