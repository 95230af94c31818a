"""Rules for a built notebook: sizes of cells, outputs, alt texts, exercises, cost of a run.

The cell with the reading path is generated, so it is not counted.
"""

import ast
import re
from collections.abc import Iterator
from statistics import median

from nbformat import NotebookNode

from tools import definitions, evidence
from tools.controls import check_controls
from tools.definitions import is_reading_cell
from tools.kernels import Cost
from tools.lessons import count_words, exercises_of

MOST_CELLS, MOST_MINUTES = 75, 110
MOST_WORDS, MOST_LINES, MEDIAN_LINES = 130, 20, 8
# Of lessons that define no terms yet, which are written to an earlier standard.
EARLIER_CELLS = 70
EARLIER_WORDS, EARLIER_MEDIAN_WORDS, EARLIER_LINES, EARLIER_MEDIAN_LINES = 60, 40, 22, 12
TOO_LONG = re.compile(r"it has \d+ cells|half of its code cells")  # what splitting it would mend
MOST_CHARACTERS = 120  # a wider line needs scrolling in JupyterLab
STRING_LINE = re.compile(r"""\s*(?:\w+=)?f?(["']).*\1[,)\]}]*""")
ALT_TEXT = re.compile(r"""\balt=(["'])\s*[^\s"'].*?\1""", re.DOTALL)
CELLS_TO_AN_OUTPUT = 3
FEWEST_EXERCISES = 3
SHORT_LESSON = 30  # minutes; one exercise is enough for a lesson that is no longer
MOST_CPU_SECONDS, MOST_MB = 150, 3 * 1024


def faults(notebook: NotebookNode, minutes: int, terms: list[str] | None = None) -> list[str]:
    """Every broken rule, a sentence each, beginning with the cell's place in the notebook.

    Args:
        minutes: how long the lesson says it takes.
        terms: what the lesson defines; None for one that is written to the earlier standard.
    """
    found = [*check_code(notebook), *check_outputs(notebook), *check_alt_texts(notebook)]
    found += check_controls(notebook)
    if terms is None:
        found += [*check_earlier_sizes(notebook), *check_texts(notebook, EARLIER_WORDS)]
        found += check_lines(notebook, EARLIER_LINES)
    else:
        found += [*check_sizes(notebook), *check_texts(notebook, MOST_WORDS)]
        found += [*check_lines(notebook, MOST_LINES), *check_duties(notebook, minutes, terms)]
    fewest = 1 if minutes <= SHORT_LESSON else FEWEST_EXERCISES
    if (n := len(exercises_of(notebook))) < fewest:
        found.append(f"it has {n} exercises; at least {fewest} are wanted.")
    return sorted(found, key=place_of)


def place_of(sentence: str) -> int:
    """The number of the cell that a sentence is about; 0 if it is about the whole."""
    found = re.match(r"cell (\d+)", sentence)
    return int(found[1]) if found else 0


def check_duties(notebook: NotebookNode, minutes: int, terms: list[str]) -> Iterator[str]:
    """Terms are defined, claims rest on evidence, predictions are answered, facts have sources."""
    if minutes > MOST_MINUTES:
        yield f"it takes {minutes} minutes; {MOST_MINUTES} is the most. Split it."
    yield from definitions.term_faults(notebook.cells, terms)
    yield from definitions.reference_faults(notebook.cells)
    yield from evidence.gather(notebook.cells).faults
    if not any("**Where next" in text for text in definitions.text_cells(notebook.cells)):
        yield (
            "it has no **Where next:** line; add one before the references: which lesson, "
            "paper or page goes on."
        )


def summary(notebook: NotebookNode, minutes: int, terms: list[str] | None) -> str:
    """What a lesson holds, in a line."""
    texts, codes = cells_of(notebook, "markdown"), cells_of(notebook, "code")
    found = evidence.gather(notebook.cells)
    answered = sum(key in found.resolved for key in found.predictions)
    parts = [
        f"{minutes} minutes",
        f"{sum(count_words(cell.source) for _, cell in texts):,} words",
        f"{sum(count_code_lines(cell.source) for _, cell in codes)} code lines",
        f"{found.live} claims live and {found.reported} reported",
        f"{answered} of {len(found.predictions)} predictions resolved",
        f"{len(terms or [])} terms",
        f"{len(definitions.references(notebook.cells))} references",
    ]
    return ", ".join(parts)


def budget_faults(cost: Cost) -> list[str]:
    """Where a run exceeded the budget for computing time or memory, a sentence each."""
    found = []
    if cost.cpu_seconds > MOST_CPU_SECONDS:
        found.append(
            f"it computes for {cost.cpu_seconds:.0f} seconds; {MOST_CPU_SECONDS} is the most."
        )
    if cost.peak_mb > MOST_MB:
        found.append(f"it needs {cost.peak_mb:.0f} MB; {MOST_MB} is the most.")
    return found


def cells_of(notebook: NotebookNode, kind: str) -> list[tuple[int, NotebookNode]]:
    """The cells of one type with their places, counted from 1."""
    return [
        (n, cell)
        for n, cell in enumerate(notebook.cells, 1)
        if cell.cell_type == kind and not is_reading_cell(cell)
    ]


def count_code_lines(source: str) -> int:
    """Lines of code, without empty ones and those that hold nothing but a string."""
    return sum(
        bool(line.strip()) and not STRING_LINE.fullmatch(line) for line in source.splitlines()
    )


def check_sizes(notebook: NotebookNode) -> Iterator[str]:
    """The number of cells, and the median length of those with code."""
    texts, codes = cells_of(notebook, "markdown"), cells_of(notebook, "code")
    if (n := len(texts) + len(codes)) > MOST_CELLS:
        yield f"it has {n} cells; {MOST_CELLS} is the most."
    if codes and (m := median(count_code_lines(cell.source) for _, cell in codes)) > MEDIAN_LINES:
        most = f"{MEDIAN_LINES} is the most"
        yield f"half of its code cells have {m:g} lines or more; {most}."


def check_earlier_sizes(notebook: NotebookNode) -> Iterator[str]:
    """The number of cells, and the medians of their lengths."""
    texts, codes = cells_of(notebook, "markdown"), cells_of(notebook, "code")
    if (n := len(texts) + len(codes)) > EARLIER_CELLS:
        yield f"it has {n} cells; {EARLIER_CELLS} is the most."
    words = [count_words(cell.source) for _, cell in texts]
    if texts and (m := median(words)) >= EARLIER_MEDIAN_WORDS:
        most = f"fewer than {EARLIER_MEDIAN_WORDS} is wanted"
        yield f"half of its text cells have {m:g} words or more; {most}."
    lines = [count_code_lines(cell.source) for _, cell in codes]
    if codes and (m := median(lines)) >= EARLIER_MEDIAN_LINES:
        most = f"fewer than {EARLIER_MEDIAN_LINES} is wanted"
        yield f"half of its code cells have {m:g} lines or more; {most}."


def check_texts(notebook: NotebookNode, most: int) -> Iterator[str]:
    """The length of each text cell, the references left out."""
    for n, cell in cells_of(notebook, "markdown"):
        count = count_words(cell.source)
        if count > most and not cell.source.startswith(definitions.REFERENCES):
            yield f"cell {n}: {count} words ({first_line(cell)}); {most} is the most."


def check_lines(notebook: NotebookNode, most: int) -> Iterator[str]:
    """The length of each code cell."""
    for n, cell in cells_of(notebook, "code"):
        if (count := count_code_lines(cell.source)) > most:
            yield f"cell {n}: {count} lines ({first_line(cell)}); {most} is the most."


def check_code(notebook: NotebookNode) -> Iterator[str]:
    """The width of each code cell, and an alt text wherever it shows a figure."""
    for n, cell in cells_of(notebook, "code"):
        if (widest := max(map(len, cell.source.splitlines()), default=0)) > MOST_CHARACTERS:
            most = f"{MOST_CHARACTERS} is the most"
            yield f"cell {n}: a line of {widest} characters ({first_line(cell)}); {most}."
        try:
            calls = [
                node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Call)
            ]
        except SyntaxError as error:
            yield f"cell {n}: not plain Python ({error.msg}: {first_line(cell)})."
            continue
        for call in calls:
            shows = isinstance(call.func, ast.Name) and call.func.id == "show"
            if shows and not any(keyword.arg == "alt" for keyword in call.keywords):
                yield f"cell {n}: show(...) without alt={{what there is to see}}."


def check_outputs(notebook: NotebookNode) -> Iterator[str]:
    """Every cell was run without an error, and of three in a row at least one has an output."""
    without_output = 0
    for n, cell in cells_of(notebook, "code"):
        failed = any(output.output_type == "error" for output in cell.outputs)
        if failed and "raises-exception" not in tags(cell):
            yield f"cell {n}: an error is stored ({first_line(cell)})."
        if cell.execution_count is None:
            yield f"cell {n}: stored without having been run ({first_line(cell)})."
        without_output = 0 if cell.outputs else without_output + 1
        if without_output == CELLS_TO_AN_OUTPUT:
            yield (
                f"cell {n}: the {CELLS_TO_AN_OUTPUT}rd code cell in a row without output "
                f"({first_line(cell)})."
            )


def check_alt_texts(notebook: NotebookNode) -> Iterator[str]:
    """Every stored image has an alt text, which in a notebook only HTML can carry."""
    for n, cell in cells_of(notebook, "code"):
        for output in cell.outputs:
            data = output.get("data", {})
            tags_found = re.findall(r"<img\b[^>]*>", data.get("text/html", ""))
            with_alt = [tag for tag in tags_found if ALT_TEXT.search(tag)]
            only_pixels = any(kind.startswith("image/") for kind in data) and not tags_found
            if only_pixels or len(with_alt) < len(tags_found):
                yield f"cell {n}: an image without alt text ({first_line(cell)})."


def tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def first_line(cell: NotebookNode) -> str:
    """The beginning of a cell, so that an author can find it."""
    line = next(iter(cell.source.strip().splitlines()), "empty")
    return line if len(line) <= 50 else line[:49] + "…"
