"""The package's imports as arrows between rooms, floor by floor, as text and as a picture.

    python -m tools.structure                  print the rooms and arrows, draw build/structure.svg
    python -m tools.structure --out FILE.png   draw them there instead

A room is a module or a folder directly under fmcourse/. An import may point to its own floor or to
a floor below. Every import counts: at the top of a module, inside a function, under TYPE_CHECKING,
and a module named by a string for importlib. The command exits with 1 where an import points
upwards, or where modules or rooms import one another in a circle.
"""

import argparse
import ast
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tools.lessons import ROOT

PACKAGE = "fmcourse"
FLOORS = [  # from top to bottom
    ["__main__", "cli", "doctor"],
    ["classroom"],
    ["course"],
    ["apps"],
    ["adaptation", "alignment", "prompting"],
    ["generation", "evaluation", "pretrained", "plots"],
    ["training"],
    ["diffusion", "autoencoders", "multimodal"],
    ["objectives"],
    ["models"],
    ["fast"],
    ["tokenizers", "data"],
    ["packages", "files", "threads"],
]
MODULE_NAME = re.compile(rf"{PACKAGE}(\.\w+)+")
COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#000000"]  # Okabe and Ito
UPWARD = "#D55E00"


@dataclass(frozen=True)
class Import:
    """One arrow: the module `source` names the module `target` in that line."""

    source: str
    target: str
    line: int

    def __str__(self) -> str:
        return f"{self.source} imports {self.target} (line {self.line})"


def module_files(root: Path = ROOT) -> dict[str, Path]:
    """Every module of the package by its dotted name; a folder's is its `__init__.py`."""
    paths = sorted((root / PACKAGE).rglob("*.py"))
    parts = {path: path.relative_to(root).with_suffix("").parts for path in paths}
    return {".".join(names).removesuffix(".__init__"): path for path, names in parts.items()}


def room(module: str) -> str:
    """The part of the package that a module lies in: "models" for `fmcourse.models.attention`."""
    return module.split(".")[1]


def floor(module: str) -> int:
    """The number of a module's floor, 0 at the top.

    Raises: ValueError for a room without a floor.
    """
    for number, rooms in enumerate(FLOORS):
        if room(module) in rooms:
            return number
    raise ValueError(f"{module} is on no floor; add {room(module)!r} to FLOORS in {__file__}.")


def imports_of(module: str, files: dict[str, Path]) -> set[Import]:
    """Everything of the package that one module imports, wherever in the module it does."""
    tree = ast.parse(files[module].read_text(encoding="utf-8"))
    is_folder = files[module].name == "__init__.py"
    found = set()
    for node in ast.walk(tree):
        for name in imported_names(node, module, is_folder):
            target = nearest_module(name, files)
            if target not in (PACKAGE, module):
                found.add(Import(module, target, node.lineno))
    return found


def imported_names(node: ast.AST, module: str, is_folder: bool) -> Iterator[str]:
    """Dotted names of the package that this node imports, or holds as a string for importlib."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        base = absolute_base(node, module, is_folder)
        names = [f"{base}.{alias.name}" for alias in node.names]
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        names = [node.value.rstrip(".")]  # the constant part of an f-string ends with a dot
    else:
        names = []
    yield from (name for name in names if MODULE_NAME.fullmatch(name))


def absolute_base(node: ast.ImportFrom, module: str, is_folder: bool) -> str:
    """What `from ..a import b` calls `..a`, spelt out."""
    if not node.level:
        return node.module or ""
    parents = module.split(".")[: None if is_folder else -1]
    kept = parents[: len(parents) - node.level + 1]
    return ".".join([*kept, *filter(None, [node.module])])


def nearest_module(name: str, files: dict[str, Path]) -> str:
    """The module that a dotted name is, or that defines it."""
    while name and name not in files:
        name = name.rpartition(".")[0]
    return name or PACKAGE


def all_imports(root: Path = ROOT) -> set[Import]:
    """Every import within the package. The package itself, which is empty, is left out."""
    files = module_files(root)
    return {found for module in files if module != PACKAGE for found in imports_of(module, files)}


def upward(imports: Iterable[Import]) -> list[Import]:
    """Those that point to a higher floor."""
    wrong = [found for found in imports if floor(found.target) < floor(found.source)]
    return sorted(wrong, key=str)


def circles(edges: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Groups of names of which each reaches all the others, by Tarjan's algorithm (1972)."""
    targets: dict[str, set[str]] = {}
    for source, target in edges:
        targets.setdefault(source, set()).add(target)
        targets.setdefault(target, set())
    index: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = lowest[name] = len(index)
        stack.append(name)
        for target in sorted(targets[name]):
            if target not in index:
                visit(target)
                lowest[name] = min(lowest[name], lowest[target])
            elif target in stack:
                lowest[name] = min(lowest[name], index[target])
        if lowest[name] == index[name]:  # nothing reached from here leads to an earlier name
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(group) > 1:
                found.append(sorted(group))

    for name in sorted(targets):
        if name not in index:
            visit(name)
    return sorted(found)


def module_circles(imports: Iterable[Import]) -> list[list[str]]:
    """Modules that import one another in a circle."""
    return circles((found.source, found.target) for found in imports)


def room_circles(imports: Iterable[Import]) -> list[list[str]]:
    """Rooms that import one another in a circle."""
    return circles(room_arrows(imports))


def room_arrows(imports: Iterable[Import]) -> set[tuple[str, str]]:
    """The imports between rooms, each pair once."""
    pairs = {(room(found.source), room(found.target)) for found in imports}
    return {(source, target) for source, target in pairs if source != target}


def faults(imports: Iterable[Import]) -> list[str]:
    """Every upward import and every circle, a sentence each."""
    imports = list(imports)
    found = [f"upwards: {one}" for one in upward(imports)]
    found += [f"circle of modules: {', '.join(group)}" for group in module_circles(imports)]
    return found + [f"circle of rooms: {', '.join(group)}" for group in room_circles(imports)]


def as_text(imports: Iterable[Import]) -> str:
    """The floors from top to bottom, each room with the rooms that it imports."""
    arrows, lines = room_arrows(imports), []
    for number, rooms in enumerate(FLOORS):
        for name in rooms:
            targets = sorted(
                (target for source, target in arrows if source == name),
                key=lambda target: (floor(f"{PACKAGE}.{target}"), target),
            )
            lines.append(f"{number:>2}  {name:<13}-> {', '.join(targets) or 'nothing'}")
    return "\n".join(lines)


def draw(imports: Iterable[Import], out: Path) -> None:
    """The same as a picture: a row of boxes for each floor, an arrow for each pair of rooms."""
    from matplotlib.figure import Figure

    place = places()
    fig = Figure(figsize=(11, 12), constrained_layout=True)
    ax = fig.subplots()
    ax.set(xlim=(0, 1), ylim=(-len(FLOORS) + 0.5, 0.5))
    ax.axis("off")
    for source, target in sorted(room_arrows(imports)):
        points_up = place[target][1] > place[source][1]
        colour = COLOURS[floor(f"{PACKAGE}.{source}") % len(COLOURS)]
        style = {
            "arrowstyle": "-|>",
            "color": UPWARD if points_up else colour,
            "linewidth": 3 if points_up else 0.8,
            "linestyle": "--" if points_up else "-",
            "connectionstyle": f"arc3,rad={curvature(place[source], place[target])}",
            "shrinkA": 12,
            "shrinkB": 12,
        }
        ax.annotate("", xy=place[target], xytext=place[source], arrowprops=style)
    for name, (x, y) in place.items():
        box = {"boxstyle": "round,pad=0.4", "facecolor": "white", "edgecolor": "black"}
        ax.text(x, y, name, ha="center", va="center", fontsize=12, bbox=box)
    out.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(out, dpi=120)


def places() -> dict[str, tuple[float, float]]:
    """Where each room's box stands; floors are shifted in turn to hide fewer arrows."""
    shifts = [0.0, -0.1, 0.1]
    return {
        name: ((column + 0.5) / len(rooms) + shifts[number % len(shifts)] / len(rooms), -number)
        for number, rooms in enumerate(FLOORS)
        for column, name in enumerate(rooms)
    }


def curvature(source: tuple[float, float], target: tuple[float, float]) -> float:
    """How far an arrow curves: not at all to the next floor, else so that it passes the boxes."""
    return 0.0 if source[1] - target[1] == 1 else 0.25


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.structure", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--out", type=Path, default=root / "build" / "structure.svg")
    options = parser.parse_args(arguments)
    imports = all_imports(root)
    print(as_text(imports))
    draw(imports, options.out)
    print(f"\n{len(imports)} imports, drawn in {options.out}")
    found = faults(imports)
    print("\n".join(found) if found else "no import points upwards, and there is no circle")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
