"""How values and messages are shown: small matrices row by row, a call as a line, cards, marks."""

import html
import math
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fmcourse.course.comparing import dense_tensor, equal, is_number

MAX_VALUES, MAX_ROWS = 64, 8  # of a tensor that is shown whole
MAX_CHARACTERS = 160  # of any other value, and of an argument in a call that holds no tensor
MAX_PARTS = 4  # of a list of tensors, and places at which two large tensors differ
MAX_LINE = 90  # of two values side by side
MAX_ARGUMENT_VALUES = 16  # of a tensor in a call that is shown whole, to be tried again
MAX_VALUES_BESIDE = 6  # of one beside others that are too large for that
FEW_DIGITS, ALL_DIGITS = 4, 9  # of a float: to be read, to be told from any other float32
DEFAULT_DTYPES = ("torch.float32", "torch.int64", "torch.bool", "float64", "int64", "bool")
TONES = {"good": ("✓", "#009E73"), "bad": ("✗", "#D55E00"), "open": ("○", "#0072B2")}
NOTED = "noted"  # the verdict on a value that cannot be judged where it was handed in
LIVE_VIEW = "application/vnd.jupyter.widget-view+json"


# -- values -------------------------------------------------------------------------------------


def display_size(case: Any) -> float:
    """How large a case is to a reader, in rough units."""
    if isinstance(case, Tensor | np.ndarray):
        return float(math.prod(case.shape)) or 0.5
    if isinstance(case, str | bytes):
        return float(len(case))
    if isinstance(case, list | tuple | set):
        return 1 + sum(map(display_size, case))
    if isinstance(case, Mapping):
        return 1 + sum(display_size(key) + display_size(value) for key, value in case.items())
    return 1 + math.log1p(abs(case)) if is_number(case) and math.isfinite(case) else 1.0


def format_number(value: Any, digits: int = FEW_DIGITS) -> str:
    """So many digits of a float; True and False as 1 and 0, as they stand in a mask."""
    if isinstance(value, bool):
        return "1" if value else "0"
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)


def format_rows(value: Any, digits: int = FEW_DIGITS) -> list[str]:
    """A value as a few short lines: a small matrix as its rows, anything long cut."""
    if (tensor := dense_tensor(value)) is not None:
        return format_tensor(tensor, digits)
    if isinstance(value, float):
        return [format_number(value, digits + 2)]
    if isinstance(value, list | tuple) and any(isinstance(part, Tensor) for part in value):
        shown = [(i, format_rows(part, digits)) for i, part in enumerate(value[:MAX_PARTS])]
        rows = [f"[{i}] {line}" for i, lines in shown for line in lines]
        return [*rows, f"... {len(value)} in all"] if len(value) > MAX_PARTS else rows
    text = repr(value)
    return [text if len(text) <= MAX_CHARACTERS else text[: MAX_CHARACTERS - 4] + " ..."]


def format_tensor(value: Tensor, digits: int = FEW_DIGITS) -> list[str]:
    """A small tensor whole, of a large one its shape and first numbers."""
    if value.dim() == 0:
        return [format_number(value.item(), digits)]
    if value.numel() > MAX_VALUES:
        first = ", ".join(format_number(part, digits) for part in value.flatten()[:6].tolist())
        return [f"shape {tuple(value.shape)}, beginning {first}, ..."]
    if value.dim() == 1:
        return ["[" + ", ".join(format_number(part, digits) for part in value.tolist()) + "]"]
    if value.dim() == 2 and len(value) <= MAX_ROWS:
        cells = [[format_number(part, digits) for part in row] for row in value.tolist()]
        width = max((len(cell) for row in cells for cell in row), default=0)
        return ["[" + " ".join(cell.rjust(width) for cell in row) + "]" for row in cells] or ["[]"]
    return [f"shape {tuple(value.shape)}", *format_tensor(value.flatten(), digits)]


def side_by_side(expected: Any, got: Any, tolerance: float = 0.0) -> list[str]:
    """Two values with headings: side by side while lines are short, else one below the other.

    What tells them apart is shown: as many digits as that takes, and of long values the places at
    which they differ.

    Args:
        tolerance: how far two floats may be apart and still be the same, relative to their size.
    """
    if places := differing_places(expected, got, tolerance):
        return places
    pairs = ((format_rows(expected, n), format_rows(got, n)) for n in (FEW_DIGITS, ALL_DIGITS))
    shown = next((pair for pair in pairs if pair[0] != pair[1]), None)
    left, right = shown or (format_rows(expected), format_rows(got))
    left, right = ["expected", *left], ["got", *right]
    width = max(map(len, left))
    if width + max(map(len, right)) > MAX_LINE:
        return [f"expected {left[1]}", *left[2:], f"got      {right[1]}", *right[2:]]
    height = max(len(left), len(right))
    left, right = left + [""] * (height - len(left)), right + [""] * (height - len(right))
    return [f"{a.ljust(width)}   {b}".rstrip() for a, b in zip(left, right, strict=True)]


def differing_places(expected: Any, got: Any, tolerance: float) -> list[str]:
    """Where two large tensors, or two long texts or lists, differ; empty if one is short."""
    a, b = dense_tensor(expected), dense_tensor(got)
    if a is not None and b is not None:
        long = a.numel() > MAX_VALUES and a.shape == b.shape and a.dtype == b.dtype
        return differing_entries(a, b, tolerance) if long else []
    if type(expected) is not type(got) or not isinstance(expected, str | bytes | list | tuple):
        return []
    same = (equal(one, other, tolerance) for one, other in zip(expected, got, strict=False))
    first = next((i for i, is_same in enumerate(same) if not is_same), min(len(expected), len(got)))
    if any(isinstance(part, Tensor) for part in expected):
        if len(expected) != len(got) or len(got) <= MAX_PARTS or first == len(got):
            return []
        return [f"part [{first}]", *side_by_side(expected[first], got[first], tolerance)]
    if min(len(repr(expected)), len(repr(got))) <= MAX_CHARACTERS:
        return []
    heads = [format_rows(value[first:])[0] for value in (expected, got)]
    return [f"expected, from [{first}] on: {heads[0]}", f"got, from [{first}] on:      {heads[1]}"]


def differing_entries(expected: Tensor, got: Tensor, tolerance: float) -> list[str]:
    """How many entries of two tensors of one shape differ, and the first of them."""
    same = torch.isclose(got, expected, tolerance, tolerance / 10, equal_nan=True)
    places = (~same).nonzero().tolist()
    lines = [f"shape {tuple(expected.shape)}: {len(places)} of {same.numel()} values differ"]
    for place in places[:MAX_PARTS]:
        values = [tensor[tuple(place)].item() for tensor in (expected, got)]
        texts = [format_number(value, ALL_DIGITS) for value in values]
        lines.append(f"at {place}: expected {texts[0]}, got {texts[1]}")
    return lines if places else []


def format_call(name: str, parameter_names: list[str], case: Any) -> str:
    """A case as the line that would run it: causal_mask(T=2)."""
    parts = case if isinstance(case, tuple) else (case,)
    sizes = [tensor.numel() for part in parts if (tensor := dense_tensor(part)) is not None]
    is_whole = max(sizes, default=0) <= MAX_ARGUMENT_VALUES
    most = MAX_ARGUMENT_VALUES if is_whole else MAX_VALUES_BESIDE
    shown = [format_argument(part, most) for part in parts]
    if len(parameter_names) >= len(parts):
        named = zip(parameter_names, shown, strict=False)
        shown = [f"{parameter}={text}" for parameter, text in named]
    return f"{name}({', '.join(shown)})"


def format_argument(part: Any, max_values: int = MAX_ARGUMENT_VALUES) -> str:
    """An argument as it would be written, to be tried again; of a large one its type and shape."""
    if (tensor := dense_tensor(part)) is not None:
        kind = "tensor" if isinstance(part, Tensor) else "array"
        if 0 < tensor.numel() <= max_values:
            return f"{kind}({format_exactly(tensor)}{tensor_options(part)})"
        return f"{kind} {tuple(tensor.shape)}" if tensor.shape != (0,) else f"{kind}([])"
    if isinstance(part, list | tuple) and any(isinstance(one, Tensor) for one in part):
        shown = ", ".join(format_argument(one, max_values) for one in part[:MAX_PARTS])
        if len(part) > MAX_PARTS:
            shown += ", ..."
        elif isinstance(part, tuple) and len(part) == 1:
            shown += ","
        return f"[{shown}]" if isinstance(part, list) else f"({shown})"
    text = repr(part)
    if len(text) <= MAX_CHARACTERS:
        return type(part).__name__ if " at 0x" in text else text
    readable = isinstance(part, str | bytes | list | tuple | dict) and " at 0x" not in text
    return f"{text[: MAX_CHARACTERS - 4]} ..." if readable else type(part).__name__


def format_exactly(value: Tensor) -> str:
    """Every number of a tensor with as many digits as it takes to write the same tensor again."""
    if value.dim() > 0:
        return f"[{', '.join(map(format_exactly, value))}]"
    if value.dtype == torch.float32:
        return str(np.float32(value.item()))  # the fewest digits that are still this float32
    return str(value.item())


def tensor_options(value: Tensor | np.ndarray) -> str:
    """What has to be said of a tensor beside its numbers."""
    dtype = "" if str(value.dtype) in DEFAULT_DTYPES else f", dtype={value.dtype}"
    return f"{dtype}, requires_grad=True" if getattr(value, "requires_grad", False) else dtype


# -- cards --------------------------------------------------------------------------------------


def show_card(tone: str, headline: str, *parts: Any, **more: Any) -> None:
    """Show a message; the arguments are those of `render_card`."""
    publish(*render_card(tone, headline, *parts, **more))


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
    """A message as plain text and as HTML, in the same words.

    Args:
        tone: "good", "bad" or "open".
        table: lines that are read as columns.
        after: a last sentence, below the table.
        extra_html, extra_lines: what else stands below, as HTML and as lines of text.
    """
    sign, colour = TONES[tone]
    sentences, table, last = list(sentences), list(table), [after] if after else []
    lines = [*sentences, *table, *last, *extra_lines]
    text = "\n".join([f"{sign} {headline}", *(f"    {line}" for line in lines)])
    head = f"<strong>{sign} {inline_html(headline)}</strong>"
    inside = head + paragraphs(sentences) + columns(table) + paragraphs(last) + extra_html
    return text, frame(colour, inside)


def paragraphs(lines: Iterable[str]) -> str:
    return "".join(f'<p style="margin: 4px 0">{inline_html(line)}</p>' for line in lines)


def columns(table: list[str]) -> str:
    """Lines in a type in which their columns stand below each other."""
    if not table:
        return ""
    style = 'style="margin: 4px 0; font-family: monospace"'
    return f"<pre {style}>{html.escape(chr(10).join(table))}</pre>"


def frame(colour: str, inside: str) -> str:
    style = f"border-left: 4px solid {colour}; padding: 4px 12px; margin: 4px 0"
    return f'<div style="{style}">{inside}</div>'


def inline_html(text: str) -> str:
    """Escaped, with `code` in its own type.

    >>> inline_html("a < b in `x[0]`")
    'a &lt; b in <code>x[0]</code>'
    """
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text, quote=False))


def render_mark(
    exercise_id: str,
    verdict: str,
    worth: float,
    of: float,
    sentences: Iterable[str] = (),
    table: Iterable[str] = (),
    after: str = "",
) -> tuple[str, str]:
    """What an answer is worth and why, as text and as HTML.

    Args:
        verdict: "right", "noted", "blank" or the name of the mistake.
        worth, of: points, and the most there are; 0 for a practice exercise.
    """
    score = f"{worth:g} of {of:g} points" if of else ""
    ending = f": {score}." if score else "."
    if verdict == "blank":
        tone, headline = "open", f"{exercise_id} is blank so far{ending}"
    elif verdict == NOTED:
        most = f", for up to {of:g} points" if of else ""
        tone, headline = "open", f"{exercise_id} {NOTED}{most}."
    elif verdict == "right":
        tone, headline = "good", f"{exercise_id} {verdict}{ending}"
    else:
        tone, headline = "bad", f"{exercise_id} not yet: {verdict}."
        headline += f" {score}." if score else ""
    return render_card(tone, headline, sentences, table, after=after)


def highlight_source(source: str) -> str:
    """Source as coloured HTML that needs no style sheet."""
    try:
        from pygments import highlight
        from pygments.formatters import HtmlFormatter
        from pygments.lexers import PythonLexer
    except ModuleNotFoundError:
        return f"<pre>{html.escape(source)}</pre>"
    formatter = HtmlFormatter(noclasses=True, nobackground=True, style="default")
    return highlight(source, PythonLexer(), formatter)


# -- output -------------------------------------------------------------------------------------


def publish(text: str, page: str, *, live: Any = None) -> None:
    """One output in several forms, of which each reader takes the richest that it knows.

    Args:
        text: for terminals, comparisons and screen readers; outside of notebooks it is printed.
        page: HTML, for notebooks and exported pages.
        live: a widget, for a page with a kernel behind it.
    """
    ipython = sys.modules.get("IPython")
    if ipython is None or ipython.get_ipython() is None:
        print(text)
        return
    from IPython.display import display

    data = {"text/plain": text, "text/html": page}
    if live is not None:
        data[LIVE_VIEW] = live._repr_mimebundle_()[LIVE_VIEW]
    display(data, raw=True, metadata={})
