"""Measure ours and a peer in one run; the ratios go to benchmarks/README.md.

python -m benchmarks [NAME ...] [--list] [--dry] [--small]
"""

import argparse
import ast
import importlib
import math
import sys
import time
from pathlib import Path

from benchmarks.machine import describe_machine
from benchmarks.rows import Row, meets_target
from fmcourse.files import write_text

NAMES = (
    "products",
    "train_step",
    "encoder",
    "unet",
    "recipe",
    "pictures",
    "decoding",
    "scoring",
    "rollouts",
    "lora",
    "retrieval",
    "bpe",
    "wordpiece",
    "grading",
    "start",
)
README = Path(__file__).with_name("README.md")
HEAD = """# Benchmarks

This code and another implementation (the peer) in one run on one thread, as ratios: above 1 ours
is better. They are measurements, not tests: nothing fails when a machine is slow.
`python -m benchmarks` runs all and writes this file, `python -m benchmarks NAME ...` rewrites the
sections named, `--list` names them, `--dry` only prints. Times are CPU seconds, which other work on
the machine disturbs less; a ratio may still move by a tenth from run to run, and by more from one
kind of CPU to another.
"""
COLUMNS = ("what", "ours", "peer", "unit", "ratio", "target", "met")
NUMERIC = {"ours", "peer", "ratio"}
YES_OR_NO = {None: "", True: "yes", False: "**no**"}


def format_number(value: float | None) -> str:
    """Four significant digits; an empty string for None and for NaN.

    >>> [format_number(value) for value in (3.14159, 12345.6, 0.98765, None, math.nan)]
    ['3.142', '12,346', '0.9877', '', '']
    """
    if value is None or math.isnan(value):
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def cells(row: Row) -> list[str]:
    ratio = "" if row["ratio"] is None else f"{row['ratio']:.3g}"
    return [
        row["what"],
        format_number(row["ours"]),
        format_number(row["peer"]),
        row["unit"],
        ratio,
        row["target"] or "",
        YES_OR_NO[meets_target(row)],
    ]


def table(rows: list[Row]) -> str:
    """The rows as Markdown that also reads well in a terminal."""
    lines = [list(COLUMNS), *map(cells, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligned = [
        [
            text.rjust(width) if column in NUMERIC else text.ljust(width)
            for column, text, width in zip(COLUMNS, line, widths, strict=True)
        ]
        for line in lines
    ]
    rule = [
        "-" * (width - 1) + (":" if column in NUMERIC else "-")  # a colon aligns to the right
        for column, width in zip(COLUMNS, widths, strict=True)
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in [aligned[0], rule, *aligned[1:]])


def section(name: str, text: str, rows: list[Row], seconds: float, when: str, machine: str) -> str:
    """One section of the page: what is measured, the table, and the targets that were missed."""
    missed = [
        f"{row['what']}: {row['target']} was asked for"
        for row in rows
        if meets_target(row) is False
    ]
    parts = [f"## {name}", text.strip(), table(rows), f"{when}, {seconds:.0f} s. {machine}."]
    return "\n\n".join(parts + (["Missed: " + "; ".join(missed) + "."] if missed else [])) + "\n"


def merge_sections(page: str, new: dict[str, str]) -> str:
    """The page with new sections in place of old ones of that name, in the order of NAMES."""
    old = {part.split("\n", 1)[0]: f"## {part}" for part in page.split("\n## ")[1:]}
    sections = old | new
    parts = [sections[name].strip("\n") + "\n" for name in NAMES if name in sections]
    return "\n".join([HEAD, *parts])


def describe(name: str) -> str:
    """What a benchmark measures and the line that says how to run it, read without importing it."""
    source = Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8")
    lines = ast.get_docstring(ast.parse(source)).splitlines()
    run_line = next(line for line in lines if line.startswith("Run "))
    return f"{name}: {lines[0]}\n    {run_line}"


def run(name: str, small: bool) -> str:
    """Run one benchmark; prints its table and returns its section of the page."""
    module = importlib.import_module(f"benchmarks.{name}")
    print(f"{name}: {module.__doc__.splitlines()[0]}", flush=True)
    start = time.perf_counter()
    rows = module.main(small)
    print(table(rows), end="\n\n", flush=True)
    seconds, today = time.perf_counter() - start, time.strftime("%Y-%m-%d")
    return section(name, module.__doc__, rows, seconds, today, describe_machine())


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure ours and a peer in one run, as ratios."
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all if none is given"
    )
    parser.add_argument(
        "--list", action="store_true", help="list the benchmarks and how long they take"
    )
    parser.add_argument(
        "--dry",
        action="store_true",
        help="print the results and leave benchmarks/README.md as it is",
    )
    parser.add_argument(
        "--small",
        action="store_true",
        help="the smallest settings, which show only that it runs; implies --dry",
    )
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.names if name not in NAMES]:
        parser.error(f"no benchmark is called {unknown[0]!r}; there are {', '.join(NAMES)}.")
    if options.list:
        print("\n".join(map(describe, NAMES)))
        return 0
    sections = {name: run(name, options.small) for name in options.names or NAMES}
    if not (options.dry or options.small):
        write_text(README, merge_sections(README.read_text() if README.exists() else "", sections))
    return 0


if __name__ == "__main__":
    sys.exit(main())
