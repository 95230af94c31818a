"""python -m benchmarks [NAME ...]: us and a peer in one run, as ratios; the results go to benchmarks/README.md."""

import argparse
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
    "lora",
    "bpe",
    "wordpiece",
    "grading",
    "start",
)
README = Path(__file__).with_name("README.md")
HEAD = """# Benchmarks

Us and a peer in one run on one thread, as ratios: above 1 we are better. They are measurements, not tests: nothing fails when a
machine is slow. `python -m benchmarks` runs all and writes this file, `python -m benchmarks NAME ...` rewrites the
sections named, `--list` names them, `--dry` only prints. Seconds are of the processor, so that others on the machine hurt less; a
ratio may still move by a tenth from run to run, and by more from one kind of CPU to another.
"""
COLUMNS = ("what", "ours", "peer", "unit", "ratio", "target", "met")
YES_OR_NO = {None: "", True: "yes", False: "**no**"}


def format_number(value: float | None) -> str:
    """Four digits that count; nothing for nothing.

    >>> format_number(3.14159), format_number(12345.6), format_number(0.98765), format_number(None), format_number(math.nan)
    ('3.142', '12,346', '0.9877', '', '')
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
    """Markdown that also reads well in a terminal."""
    lines = [list(COLUMNS), *map(cells, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    left = [True, False, False, True, False, True, True]
    drawn = [
        [
            text.ljust(w) if l else text.rjust(w)
            for text, w, l in zip(line, widths, left, strict=True)
        ]
        for line in lines
    ]
    rule = ["-" * w if l else "-" * (w - 1) + ":" for w, l in zip(widths, left, strict=True)]
    return "\n".join("| " + " | ".join(line) + " |" for line in [drawn[0], rule, *drawn[1:]])


def section(name: str, text: str, rows: list[Row], seconds: float, when: str, machine: str) -> str:
    """What a benchmark says of itself, its table, and the targets that it missed."""
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
    both = {
        name: (new | {key: value for key, value in old.items() if key not in new}).get(name)
        for name in NAMES
    }
    return "\n".join([HEAD, *(part.strip("\n") + "\n" for part in both.values() if part)])


def run(name: str, small: bool) -> str:
    """One benchmark; prints its table and returns its section."""
    module = importlib.import_module(f"benchmarks.{name}")
    print(f"{name}: {module.__doc__.splitlines()[0]}", flush=True)
    start = time.perf_counter()
    rows = module.main(small)
    print(table(rows), end="\n\n", flush=True)
    return section(
        name,
        module.__doc__,
        rows,
        time.perf_counter() - start,
        time.strftime("%Y-%m-%d"),
        describe_machine(),
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Us and a peer in one run, as ratios."
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all if none is given"
    )
    parser.add_argument(
        "--list", action="store_true", help="say what there is and how long it takes"
    )
    parser.add_argument(
        "--dry",
        action="store_true",
        help="print the results and leave benchmarks/README.md as it is",
    )
    parser.add_argument(
        "--small",
        action="store_true",
        help="the smallest settings: shows that all runs, no more; implies --dry",
    )
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.names if name not in NAMES]:
        parser.error(f"no benchmark is called {unknown[0]!r}; there are {', '.join(NAMES)}.")
    if options.list:
        for name in NAMES:
            print(
                Path(__file__)
                .with_name(f"{name}.py")
                .read_text()
                .split("\n\n")[0]
                .replace('"""', f"{name}: ", 1)
            )
            print(
                "    "
                + next(
                    line
                    for line in Path(__file__).with_name(f"{name}.py").read_text().splitlines()
                    if line.startswith("Run ")
                )
            )
        return 0
    sections = {name: run(name, options.small) for name in options.names or NAMES}
    if not (options.dry or options.small):
        write_text(README, merge_sections(README.read_text() if README.exists() else "", sections))
    return 0


if __name__ == "__main__":
    sys.exit(main())
