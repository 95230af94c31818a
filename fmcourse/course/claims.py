"""A claim is a sentence somebody could doubt, and the measurement beside it.

`claim` is for what this notebook computed, `reported` for what only a shipped table shows.
"""

import os
from collections.abc import Mapping
from typing import Any

from fmcourse.course.showing import format_number

MAX_SHOWN = 8  # values of a list


class ClaimError(AssertionError):
    """A claim does not hold, where every claim must (FMCOURSE_STRICT=1)."""


def claim(
    sentence: str, holds: bool, *, band: tuple[float, float] | None = None, **measured: Any
) -> None:
    """Print `sentence`, whether it holds here, and what was measured.

    Floats, and lists or tensors of them, are live: they differ in their last digits from machine to
    machine, and stand after ≈. Whole numbers, truth values and text are exact and are compared when
    the notebook runs again: where a whole number is live, pass `float(number)`; where a float is
    exact, pass it as text.

    Args:
        holds: True or False, also of numpy or torch with one element.
        band: lowest and highest of the first live value over other seeds, from a recipe's table.
    Raises: TypeError if `holds` is anything else; ClaimError if it is False and FMCOURSE_STRICT=1.

    >>> claim("a token is longer than a letter", True, band=(3.0, 4.0), tokens=10, letters=3.5)
    ✓ a token is longer than a letter
        tokens 10
        ≈ letters 3.5, within 3 to 4 as with other seeds
    """
    holds = to_bool(holds)
    values = {name: to_lists(value) for name, value in measured.items()}
    exact = [f"{name} {format_value(v)}" for name, v in values.items() if not is_live(v)]
    live = [f"{name} {format_value(v)}" for name, v in values.items() if is_live(v)]
    if band is not None and live:
        first = next(value for value in values.values() if is_live(value))
        live[0] += f", {band_position(first, band)}"
    detail = f"\n    {', '.join(exact)}" if exact else ""
    detail += f"\n    ≈ {'; '.join(live)}" if live else ""
    if not holds and os.environ.get("FMCOURSE_STRICT") == "1":
        raise ClaimError(f"does not hold: {sentence}{detail}")
    print(f"✓ {sentence}{detail}" if holds else f"✗ does not hold here: {sentence}{detail}")


def reported(sentence: str, holds: bool, *, table: Mapping[str, Any], **measured: Any) -> None:
    """Print a sentence that a shipped table shows and this notebook does not compute.

    Args:
        holds: whether the table shows it, True or False.
        table: what `fmcourse.data.table` returned; its command and date are printed.
        measured: values of the table; they are exact, for nothing here is run.
    Raises: TypeError if `holds` is no truth value; ValueError if the table does not say how it was
        made; ClaimError if it does not hold and FMCOURSE_STRICT=1.

    >>> made = {"command": "python recipes/measure.py 06", "date": "2026-11-24"}
    >>> reported("two seeds end close together", True, table=made, losses=[1.71, 1.72])
    ▪ reported: two seeds end close together
        losses [1.71, 1.72]
        measured by `python recipes/measure.py 06` on 2026-11-24
    """
    holds = to_bool(holds)
    if missing := [key for key in ("command", "date") if key not in table]:
        raise ValueError(
            f"the table has no {missing[0]!r}; pass the whole of what "
            'fmcourse.data.table("lesson_06") returned, not a part of it.'
        )
    values = [f"{name} {format_value(to_lists(value))}" for name, value in measured.items()]
    detail = f"\n    {', '.join(values)}" if values else ""
    detail += f"\n    measured by `{table['command']}` on {table['date']}"
    if not holds and os.environ.get("FMCOURSE_STRICT") == "1":
        raise ClaimError(f"does not hold in the table: {sentence}{detail}")
    print(f"▪ reported: {sentence}{detail}" if holds else f"✗ not in the table: {sentence}{detail}")


def to_bool(holds: Any) -> bool:
    """A bool out of whatever library's bool it is, and out of nothing else."""
    value = to_lists(holds)
    if not isinstance(value, bool):
        raise TypeError(
            f"holds must be True or False, not {type(holds).__name__} ({format_value(value)}); "
            "compare something, and reduce a tensor with .all() or .any()."
        )
    return value


def to_lists(value: Any) -> Any:
    """Tensors and arrays as Python's own numbers and lists."""
    if hasattr(value, "detach"):
        value = value.detach()
    return value.tolist() if hasattr(value, "tolist") else value


def is_live(value: Any) -> bool:
    """Is there a float in it?"""
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list | tuple | set):
        return isinstance(value, float | complex)
    return any(is_live(part) for part in value)


def format_value(value: Any) -> str:
    """Four digits of a float, the first few of a list."""
    if isinstance(value, float):
        return format_number(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {format_value(part)}" for key, part in value.items())
    if isinstance(value, list | tuple):
        more = f" ... ({len(value)} in all)" if len(value) > MAX_SHOWN else ""
        return "[" + ", ".join(format_value(part) for part in value[:MAX_SHOWN]) + more + "]"
    return str(value)


def band_position(value: Any, band: tuple[float, float]) -> str:
    """Where a value, or the whole of a list, lies with regard to the band."""
    low, high = band
    parts = value if isinstance(value, list | tuple) else [value]
    where = "within" if all(low <= part <= high for part in parts) else "outside"
    return f"{where} {format_value(float(low))} to {format_value(float(high))} as with other seeds"
