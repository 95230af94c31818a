"""Interactive figures with sliders and menus, and a static figure for where no kernel runs.

An output here has two forms in one bundle. A page with a kernel behind it shows the widget;
everything else (exported pages, a notebook read without running it, a comparison of outputs) shows
the figure drawn from the first values.
"""

import html
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets

from fmcourse.plots import base

Alt = str | Callable[..., str]
# Pale forms of the palette, on which dark letters stay readable.
TINTS = ["#CDE5F2", "#FBE3CC", "#CCEBE2", "#F5E1EC"]
SIGNS = str.maketrans({" ": "·", "\n": "⏎", "\t": "→"})


def interactive(draw: Callable[..., Any], *, alt: Alt, **controls: Any) -> None:
    """Show what `draw` makes of the first values, with controls that have it drawn again.

    Args:
        draw: values by name -> a matplotlib figure, or a string of HTML. It need not print or show
            anything.
        alt: what there is to see; where that depends on the values, a function of them.
        controls: for each parameter of `draw` (low, high) or (low, high, step) for a slider, a list
            for a menu, a bool for a check box, a string for a field (drawn at Enter, so that a
            figure which takes a second is not drawn letter by letter), or any ipywidget. A
            parameter's default is its first value.
    Raises: ValueError if `draw` lacks a parameter of that name, or the alt text says nothing.
    """
    inputs = {name: make_control(draw, name, given) for name, given in controls.items()}
    values = current_values(inputs)
    page, png, text = render(draw, alt, values)
    output = ipywidgets.HTML(page)

    def redraw(change: Any) -> None:
        try:
            output.value = render(draw, alt, current_values(inputs))[0]
        except Exception as error:  # uncaught it would vanish in the server's log
            output.value = f"<pre>{html.escape(f'{type(error).__name__}: {error}')}</pre>"

    for control in inputs.values():
        control.observe(redraw, "value")
    caption = ", ".join(f"{name}: {value}" for name, value in values.items())
    static = base.figure_html(png, text, caption) if png else page
    base.publish(text, static, png=png, live=ipywidgets.VBox([*inputs.values(), output]))


def current_values(inputs: Mapping[str, ipywidgets.Widget]) -> dict[str, Any]:
    """What the controls are set to, by the parameter's name."""
    return {name: control.value for name, control in inputs.items()}


def text_interactive(
    draw: Callable[[str], Any], *, value: str, alt: Alt, label: str = "text"
) -> None:
    """Show what `draw` makes of a text, which can be edited."""
    field = ipywidgets.Textarea(value, layout={"width": "95%"})
    field.description = label
    parameter = next(iter(inspect.signature(draw).parameters))
    interactive(draw, alt=alt, **{parameter: field})


def make_control(draw: Callable[..., Any], name: str, given: Any) -> ipywidgets.Widget:
    """The widget for one parameter of `draw`."""
    parameters = inspect.signature(draw).parameters
    if name not in parameters:
        raise ValueError(f"draw has no parameter {name!r}; it has: {', '.join(parameters)}.")
    control = ipywidgets.interactive.widget_from_abbrev(given, parameters[name].default)
    if control is None:
        raise ValueError(
            f"{name}={given!r} is no control; give (low, high[, step]), a list, a bool or a string."
        )
    if isinstance(given, str):
        control.continuous_update = False
    control.description = control.description or name
    control.style.description_width = "initial"  # else a long name is cut off
    return control


def render(draw: Callable[..., Any], alt: Alt, values: dict) -> tuple[str, bytes | None, str]:
    """The page for these values, its PNG if it is a figure, and its alt text."""
    result = draw(**values)
    text = base.check_alt(alt(**values) if callable(alt) else alt)
    if isinstance(result, str):
        return f'<div role="group" aria-label="{html.escape(text)}">{result}</div>', None, text
    if not hasattr(result, "savefig"):
        raise TypeError(
            f"draw must return a figure or a string of HTML, not {type(result).__name__}; "
            "`return fig`."
        )
    png = base.figure_png(result)
    return base.figure_html(png, text), png, text


def colour_tokens(pieces: Sequence[str], ids: Sequence[int] | None = None) -> str:
    """HTML in which each token has a border and a tint, and spaces, line ends and tabs are signs.

    >>> "the·cat" in colour_tokens(["the cat"])
    True
    """
    spans = []
    for n, piece in enumerate(pieces):
        number = f", id {ids[n]}" if ids is not None else ""
        title = f"token {n + 1}: {html.escape(repr(piece))}{number}"
        line_break = "<br>" if piece.endswith("\n") else ""
        spans.append(
            f'<span title="{title}" style="background: {TINTS[n % len(TINTS)]}; color: #111; '
            "border: 1px solid #555; border-radius: 3px; padding: 0 2px; margin: 1px; "
            f'white-space: pre-wrap; display: inline-block">{html.escape(piece.translate(SIGNS))}'
            f"</span>{line_break}"
        )
    return f'<div style="font-family: monospace; line-height: 1.7">{"".join(spans)}</div>'
