"""How a short message looks: a sign, a headline, sentences. The same words as plain text and as HTML."""

import html
import re
from collections.abc import Iterable

TONES = {"good": ("✓", "#009E73"), "bad": ("✗", "#D55E00"), "open": ("○", "#0072B2")}


def show_card(
    tone: str,
    headline: str,
    sentences: Iterable[str] = (),
    table: Iterable[str] = (),
    *,
    after: str = "",
    extra_html: str = "",
    extra_lines: Iterable[str] = (),
) -> None:
    """Show a message.

    Args:
        tone: "good", "bad" or "open".
        table: lines that are read as columns.
        after: a last sentence, below the table.
        extra_html, extra_lines: what else stands below, as HTML and as lines of text.
    """
    from fmcourse.plots import publish

    publish(
        *render_card(
            tone,
            headline,
            sentences,
            table,
            after=after,
            extra_html=extra_html,
            extra_lines=extra_lines,
        )
    )


def render_card(
    tone: str,
    headline: str,
    sentences: Iterable[str] = (),
    table: Iterable[str] = (),
    *,
    after: str = "",
    extra_html: str = "",
    extra_lines: Iterable[str] = (),
) -> tuple[str, str]:
    """A message as plain text and as HTML; the arguments are those of `show_card`."""
    sign, colour = TONES[tone]
    sentences, table = list(sentences), list(table)
    last = [after] * bool(after)
    text = "\n".join(
        [
            f"{sign} {headline}",
            *(f"    {line}" for line in [*sentences, *table, *last, *extra_lines]),
        ]
    )
    paragraphs = lambda lines: "".join(
        f'<p style="margin: 4px 0">{inline_html(line)}</p>' for line in lines
    )
    columns = (
        f'<pre style="margin: 4px 0; font-family: monospace">{html.escape(chr(10).join(table))}</pre>'
        if table
        else ""
    )
    inside = f"<strong>{sign} {inline_html(headline)}</strong>{paragraphs(sentences)}{columns}{paragraphs(last)}{extra_html}"
    return text, frame(colour, inside)


def frame(colour: str, inside: str) -> str:
    return f'<div style="border-left: 4px solid {colour}; padding: 4px 12px; margin: 4px 0">{inside}</div>'


def inline_html(text: str) -> str:
    """Escaped, with `code` in its own type.

    >>> inline_html("a < b in `x[0]`")
    'a &lt; b in <code>x[0]</code>'
    """
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text, quote=False))
