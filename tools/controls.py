"""Does a slider still work once the whole notebook has run?

A control calls its function again whenever it is moved, so each global name that the function
reads must mean then what it meant in the control's own cell.
"""

import ast
import symtable
from collections.abc import Iterator

from nbformat import NotebookNode

MAKERS = {"interactive", "text_interactive"}


def check_controls(notebook: NotebookNode) -> Iterator[str]:
    """A sentence for each later cell that binds a name which a control's function reads."""
    cells = [(n, c.source) for n, c in enumerate(notebook.cells, 1) if c.cell_type == "code"]
    reads: dict[str, set[str]] = {}  # function -> the global names that it reads
    controls: list[tuple[int, set[str]]] = []
    for n, source in cells:
        try:
            table, tree = symtable.symtable(source, "cell", "exec"), ast.parse(source)
        except SyntaxError:
            continue  # lint.check_code says so
        bound = bound_names(table)
        for place, names in controls:
            for name in sorted(names & bound):
                yield f"cell {n}: it binds {name!r} anew, which the control in cell {place} reads."
        for child in table.get_children():
            reads[child.get_name()] = global_names(child)
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") in MAKERS:
                controls.append((n, names_read(call, reads)))


def bound_names(table: symtable.SymbolTable) -> set[str]:
    """The names that a cell binds: assigned, imported, a function's or a class's."""
    return {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported()}


def global_names(function: symtable.SymbolTable) -> set[str]:
    """The global names that a function and those inside it read."""
    names = {s.get_name() for s in function.get_symbols() if s.is_global()}
    return names.union(*map(global_names, function.get_children()))


def names_read(call: ast.Call, reads: dict[str, set[str]]) -> set[str]:
    """The names that the functions handed to a control read, directly or through another one."""
    found: set[str] = set()
    given = [*call.args, *(keyword.value for keyword in call.keywords)]
    for value in given:
        if isinstance(value, ast.Name):
            found |= reads.get(value.id, set())
        elif isinstance(value, ast.Lambda):
            [function] = symtable.symtable(ast.unparse(value), "lambda", "exec").get_children()
            found |= global_names(function)
    while more := set().union(*(reads.get(name, set()) for name in found)) - found:
        found |= more
    return found
