"""The reading path of a lesson: the functions and classes of the package that it builds.

The header of a lesson names them, `"fmcourse.models.attention" = ["Attention", "causal"]`. File
and lines are looked up in the package that is imported, so a name may also be one that a module
re-exports, and no line number is written by hand. A built notebook shows the lines of the day on
which it was built; the check `step` accepts small shifts, and `python -m tools.lessons 06` prints
those of today.
"""

import importlib
import inspect
import re
from dataclasses import dataclass
from pathlib import Path

MOST_LINES, MOST_FILES = 400, 3
MOST_DRIFT = 30  # lines that a shown number may be off before the page must be made anew
LINE_NUMBER = re.compile(r"\d+(?=–)|(?<=–)\d+|\d+(?= lines)")


@dataclass(frozen=True)
class Part:
    """A function or class on a reading path; `file` is relative to the repository's root."""

    name: str
    file: str
    first: int
    last: int


def find_part(module: str, name: str) -> Part:
    """Where a function or class of a module is defined; `name` may be a method, "Block.forward".

    Raises: ValueError if there is no such name, or if it is neither a function nor a class.
    """
    try:
        found = importlib.import_module(module)
        for attribute in name.split("."):
            found = getattr(found, attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"the reading path names {name!r} of {module}: {error}.") from None
    found = inspect.unwrap(found)
    if not (inspect.isclass(found) or inspect.isfunction(found)):
        raise ValueError(f"the reading path names {module}.{name}, no function and no class.")
    lines, first = inspect.getsourcelines(found)
    package = Path(importlib.import_module(module.split(".")[0]).__file__).resolve().parent
    file = Path(inspect.getsourcefile(found)).resolve().relative_to(package.parent)
    return Part(name, file.as_posix(), first, first + len(lines) - 1)


def reading_path(reads: dict[str, list[str]]) -> list[Part]:
    """The parts that a header's `reads` names, in its order.

    Raises: ValueError if one of them is not there, or if together they are too long to read.
    """
    parts = [find_part(module, name) for module, names in reads.items() for name in names]
    files = {part.file for part in parts}
    if len(files) > MOST_FILES:
        raise ValueError(
            f"the reading path lies in {len(files)} files ({', '.join(sorted(files))}); "
            f"{MOST_FILES} is the most."
        )
    if (n := count_lines(parts)) > MOST_LINES:
        raise ValueError(f"the reading path has {n} lines; {MOST_LINES} is the most.")
    return parts


def count_lines(parts: list[Part]) -> int:
    """Lines to read; those of a method inside a class that is listed too count once."""
    return len({(part.file, line) for part in parts for line in range(part.first, part.last + 1)})


def as_markdown(parts: list[Part]) -> str:
    """The cell at the top of a notebook: a line for each file."""
    by_file: dict[str, list[Part]] = {}
    for part in parts:
        by_file.setdefault(part.file, []).append(part)
    lines = [
        f"- `{file}`: " + ", ".join(f"`{one.name}` {one.first}–{one.last}" for one in found)
        for file, found in by_file.items()
    ]
    title = f"**Reading path** · what you build here, in the package ({count_lines(parts)} lines)"
    return "\n".join([title, *lines])


def names_the_same(shown: str, current: str) -> bool:
    """Do two reading paths differ in nothing but line numbers?"""
    return LINE_NUMBER.sub("", shown) == LINE_NUMBER.sub("", current)


def has_moved(shown: str, current: str) -> bool:
    """Is a line number of `shown` so far off that it would mislead a reader?"""
    pairs = zip(LINE_NUMBER.findall(shown), LINE_NUMBER.findall(current), strict=True)
    return any(abs(int(old) - int(new)) > MOST_DRIFT for old, new in pairs)
