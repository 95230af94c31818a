"""What a lesson promises its reader, held against the notebook: short cells, results, alt texts, exercises."""

import ast
import re
from collections.abc import Iterator
from statistics import median

from nbformat import NotebookNode

from tools.kernels import Cost
from tools.lessons import exercises_of

MOST_CELLS = 70
MOST_WORDS, MEDIAN_WORDS = 60, 40
MOST_LINES, MEDIAN_LINES, MOST_CHARACTERS = (
    22,
    12,
    120,
)  # a line that has to be pushed aside to be read is no short cell
TEXT_ALONE = re.compile(r"""\s*(?:\w+=)?f?(["']).*\1[,)\]}]*""")
CELLS_TO_A_RESULT = 3
FEWEST_EXERCISES, FEWEST_IN = 3, {"00": 1}
MOST_CPU_SECONDS, MOST_MB = 150, 3 * 1024


def faults(notebook: NotebookNode, number: str) -> list[str]:
    """Every broken promise, a sentence each, beginning with the cell's place in the notebook."""
    found = [
        *check_sizes(notebook),
        *check_texts(notebook),
        *check_code(notebook),
        *check_results(notebook),
        *check_alt_texts(notebook),
    ]
    fewest = FEWEST_IN.get(number, FEWEST_EXERCISES)
    if (n := len(exercises_of(notebook))) < fewest:
        found.append(f"it has {n} exercises; at least {fewest} are wanted.")
    return found


def budget_faults(cost: Cost) -> list[str]:
    """What a run cost too much, a sentence each."""
    found = []
    if cost.cpu_seconds > MOST_CPU_SECONDS:
        found.append(
            f"it computes for {cost.cpu_seconds:.0f} seconds; {MOST_CPU_SECONDS} is the most."
        )
    if cost.peak_mb > MOST_MB:
        found.append(f"it needs {cost.peak_mb:.0f} MB; {MOST_MB} is the most.")
    return found


def cells_of(notebook: NotebookNode, kind: str) -> list[tuple[int, NotebookNode]]:
    return [(n, cell) for n, cell in enumerate(notebook.cells, 1) if cell.cell_type == kind]


def count_words(text: str) -> int:
    """Words a reader reads: no addresses, no table rows (one looks at those), no bare signs."""
    text = re.sub(r"https?://\S+", "", re.sub(r"\]\([^)]*\)", "]", text))
    text = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("|"))
    return sum(any(letter.isalnum() for letter in word) for word in text.split())


def count_code_lines(source: str) -> int:
    """Lines of code, without those that hold nothing but a sentence for the reader."""
    return sum(
        bool(line.strip()) and not TEXT_ALONE.fullmatch(line) for line in source.splitlines()
    )


def check_sizes(notebook: NotebookNode) -> Iterator[str]:
    if (n := len(notebook.cells)) > MOST_CELLS:
        yield f"it has {n} cells; {MOST_CELLS} is the most."
    texts, codes = cells_of(notebook, "markdown"), cells_of(notebook, "code")
    if texts and (m := median(count_words(cell.source) for _, cell in texts)) >= MEDIAN_WORDS:
        yield f"half of its text cells have {m:g} words or more; fewer than {MEDIAN_WORDS} is wanted."
    if codes and (m := median(count_code_lines(cell.source) for _, cell in codes)) >= MEDIAN_LINES:
        yield f"half of its code cells have {m:g} lines or more; fewer than {MEDIAN_LINES} is wanted."


def check_texts(notebook: NotebookNode) -> Iterator[str]:
    for n, cell in cells_of(notebook, "markdown"):
        if (count := count_words(cell.source)) > MOST_WORDS:
            yield f"cell {n}: {count} words ({first_line(cell)}); {MOST_WORDS} is the most."


def check_code(notebook: NotebookNode) -> Iterator[str]:
    for n, cell in cells_of(notebook, "code"):
        if (count := count_code_lines(cell.source)) > MOST_LINES:
            yield f"cell {n}: {count} lines ({first_line(cell)}); {MOST_LINES} is the most."
        if (widest := max(map(len, cell.source.splitlines()), default=0)) > MOST_CHARACTERS:
            yield f"cell {n}: a line of {widest} characters ({first_line(cell)}); {MOST_CHARACTERS} is the most."
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


def check_results(notebook: NotebookNode) -> Iterator[str]:
    """Two cells may prepare; the third has something to look at."""
    silent = 0
    for n, cell in cells_of(notebook, "code"):
        if any(
            output.output_type == "error" for output in cell.outputs
        ) and "raises-exception" not in tags(cell):
            yield f"cell {n}: an error is stored ({first_line(cell)})."
        if cell.execution_count is None:
            yield f"cell {n}: stored without having been run ({first_line(cell)})."
        silent = 0 if cell.outputs else silent + 1
        if silent == CELLS_TO_A_RESULT:
            yield f"cell {n}: the {CELLS_TO_A_RESULT}rd code cell in a row with nothing to look at ({first_line(cell)})."


def check_alt_texts(notebook: NotebookNode) -> Iterator[str]:
    for n, cell in cells_of(notebook, "code"):
        for output in cell.outputs:
            data = output.get("data", {})
            drawn = re.findall(r"<img\b[^>]*>", data.get("text/html", ""))
            named = [
                tag
                for tag in drawn
                if re.search(r"""\balt=(["'])\s*[^\s"'].*?\1""", tag, re.DOTALL)
            ]
            bare = any(kind.startswith("image/") for kind in data) and not drawn
            if bare or len(named) < len(drawn):
                yield f"cell {n}: a picture without alt text ({first_line(cell)})."


def tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def first_line(cell: NotebookNode) -> str:
    """The beginning of a cell, to find it by."""
    line = next(iter(cell.source.strip().splitlines()), "empty")
    return line if len(line) <= 50 else line[:49] + "…"
