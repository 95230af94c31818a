"""Contact sheets of the lessons' figures, each above its alt text, for a review before shipping.

Run   python -m tools.figures [NN ...] [--out FOLDER]     Takes   a few seconds

The figures are those stored in the notebooks. Sheets of eight figures each are written to
build/figures as PNG.
"""

import argparse
import base64
import io
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import nbformat
from matplotlib.figure import Figure
from PIL import Image

from tools.lessons import ROOT, Lesson, all_lessons

COLUMNS, FIGURES_PER_SHEET = 2, 8
ALT_WIDTH = 72  # characters in a line of alt text


@dataclass(frozen=True)
class NotebookFigure:
    """A stored image, the number of its cell, and its alt text."""

    cell: int
    png: bytes
    alt: str


def figures(lesson: Lesson) -> list[NotebookFigure]:
    """All images in a lesson's stored outputs, in order."""
    notebook, found = nbformat.read(lesson.notebook, as_version=4), []
    for number, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            if png := output.get("data", {}).get("image/png"):
                alt = output.get("metadata", {}).get("image/png", {}).get("alt", "NO ALT TEXT")
                found.append(NotebookFigure(number, base64.b64decode(png), alt))
    return found


def contact_sheet(title: str, shown: list[NotebookFigure]) -> Figure:
    """One sheet: images in two columns, each below its cell's number and above its alt text."""
    rows = -(-len(shown) // COLUMNS)
    fig = Figure(figsize=(13, 4.6 * rows + 0.5), constrained_layout=True)
    fig.suptitle(title)
    axes = fig.subplots(rows, COLUMNS, squeeze=False).ravel()
    for ax in axes:
        ax.axis("off")
    for ax, one in zip(axes, shown, strict=False):
        ax.imshow(Image.open(io.BytesIO(one.png)))
        ax.set_title(f"cell {one.cell}", fontsize=9, loc="left")
        alt = textwrap.fill(one.alt, ALT_WIDTH)
        ax.text(0, -0.02, alt, transform=ax.transAxes, fontsize=9, va="top")
    return fig


def write_sheets(lesson: Lesson, out: Path) -> list[Path]:
    """Write the sheets of one lesson; returns their paths."""
    shown, paths = figures(lesson), []
    for page, start in enumerate(range(0, len(shown), FIGURES_PER_SHEET), 1):
        sheet = contact_sheet(
            f"{lesson.name}, page {page}", shown[start : start + FIGURES_PER_SHEET]
        )
        paths.append(out / f"{lesson.name}-{page}.png")
        sheet.savefig(paths[-1], dpi=80)
    return paths


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.figures", description=__doc__.split("\n")[0]
    )
    parser.add_argument("lessons", nargs="*", metavar="NN")
    parser.add_argument("--out", type=Path, default=ROOT / "build/figures")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    for lesson in all_lessons(wanted=options.lessons or None):
        paths = write_sheets(lesson, options.out)
        said = f"{lesson.name}: {len(figures(lesson))} figures on {len(paths)} sheets"
        print(said, *paths, sep="\n    ")
    return 0


if __name__ == "__main__":
    sys.exit(main())
