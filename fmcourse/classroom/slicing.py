"""Finds in a student's cells the code that answers an exercise, and nothing more. Runs none of it.

An answer is found by its name, wherever its cell has gone, and taken with the statements that it
needs and no others: so an endless loop or an error in another cell costs that cell alone.
"""

import ast
import bisect
import re
import symtable
import unicodedata
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from fmcourse.course.exercise import Exercise

MAX_STATEMENTS = 4000  # in a notebook
MAX_QUOTED = 60  # characters of a student's text in a message
HARMLESS_SIGNS = frozenset("_ .,:;()/+*=%-")
BODY_MAGIC = re.compile(r"\s*%%(time|timeit|capture|prun)\b.*\n?")
TIME_MAGIC = re.compile(r"^%time ")
IPYTHON_LINE = re.compile(r"[ \t]*[%!?]|[ \t]*[\w.]+\?\??$")
SETTING_NAME = re.compile(r"seed|^set_|setrecursionlimit|use_deterministic")
CHECK_CALLS = ("check", "points", "hint", "solution", "quiz", "predict", "progress")
CHECKED_ID = re.compile(r"\d\d[a-z]?(\.\w+)?$")


@dataclass(frozen=True)
class Unit:
    """A piece of source that can be parsed: a cell, or what can be saved of one.

    Args:
        cell: as one counts code cells, from 1.
        offset: lines of the cell before it.
        broken: why it cannot be parsed; then it is kept only to say so.
    """

    cell: int
    offset: int
    source: str
    broken: str = ""


@dataclass(frozen=True)
class Answer:
    """The code for one exercise: statements in the order in which they are to be run.

    Args:
        statements: (which unit, which of its statements, can it not be left out).
        code: the same as one text, for people to read.
        missing: why there is none; "blank" if it was left as it was.
    """

    units: tuple[Unit, ...] = ()
    statements: tuple[tuple[int, int, bool], ...] = ()
    code: str = ""
    missing: str = ""


def find_answers(cells: Iterable[str], exercises: Iterable[Exercise]) -> dict[str, Answer]:
    """The answer to each exercise, by its id."""
    program = Program(split_cells(cells))
    return {exercise.id: find_answer(exercise, program) for exercise in exercises}


def find_answer(exercise: Exercise, program: "Program") -> Answer:
    """The code for an exercise: its last definition that is not blank, with all that it needs."""
    statements, name = program.statements, exercise.name
    definitions = [
        n
        for n, statement in enumerate(statements)
        if name in statement.binds and defines(statement.node, name)
    ]
    filled = [n for n in definitions if not is_blank(exercise, statements[n].node)]
    if not filled:
        reason = why_missing(exercise, program.units)
        blank = definitions and "cannot be read" not in reason
        return Answer(missing="blank" if blank else reason)
    try:
        order, needed = program.slice(filled[-1])
    except RecursionError:
        return Answer(missing="Its code needs so many other statements that it cannot be followed.")
    used = tuple((statements[n].unit, statements[n].index, n in needed) for n in order)
    code = "\n".join(ast.unparse(statements[n].node) for n in order)
    return Answer(tuple(program.units), used, code)


# -- cells --------------------------------------------------------------------------------------


def parse(text: str) -> ast.Module | None:
    """The tree, or None where there can be none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def split_cells(cells: Iterable[str]) -> list[Unit]:
    return [unit for number, cell in enumerate(cells, 1) for unit in split_cell(number, cell)]


def split_cell(number: int, cell: str) -> Iterator[Unit]:
    """The cell as one unit; if it cannot be parsed, what can be saved of it and what is broken."""
    text = cell if parse(cell) is not None else strip_magics(cell)
    if parse(text) is not None:
        yield Unit(number, 0, text)
        return
    lines, whole = text.split("\n"), describe_syntax_error(text, 0)
    starts = [n for n, line in enumerate(lines) if re.match(r"[A-Za-z_@(]", line)]
    decorated = {after for n, after in zip(starts, starts[1:], strict=False) if lines[n][0] == "@"}
    starts = [n for n in starts if n not in decorated] or [0]
    for begin, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        piece = "\n".join(lines[begin:end])
        broken = "" if parse(piece) is not None else whole or describe_syntax_error(piece, begin)
        whole = "" if broken else whole  # the cell's own error is that of its first broken piece
        yield Unit(number, begin, piece, broken)


def describe_syntax_error(piece: str, offset: int) -> str:
    """Why a piece cannot be parsed, in words."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(piece)
    except SyntaxError as error:
        line = offset + (error.lineno or 1)
        where = f" in line {line}, {quote((error.text or '').strip())}" if error.text else ""
        return f"{type(error).__name__}: {error.msg}{where}"
    except (ValueError, RecursionError, MemoryError) as error:
        return f"{type(error).__name__}: it is too deeply nested, or holds what is no text"
    return ""


def quote(text: str) -> str:
    """A student's text, short and harmless, in quotes: letters of every language stay.

    >>> quote("Müller <b>")
    "'Müller ?b?'"
    """
    text = unicodedata.normalize("NFC", text)[:MAX_QUOTED]
    kept = [letter if is_harmless(letter) else "?" for letter in text]
    return f"'{''.join(kept)}'"


def is_harmless(letter: str) -> bool:
    """Is it a letter with its marks, a digit, or a sign that means nothing in HTML or Markdown?"""
    return letter in HARMLESS_SIGNS or unicodedata.category(letter)[0] in "LMN"


def strip_magics(cell: str) -> str:
    """Python alone: lines for IPython (%, !, ?) become empty ones, so that line numbers stay."""
    cell = BODY_MAGIC.sub("\n", cell, count=1) if BODY_MAGIC.match(cell) else cell
    if cell.lstrip().startswith("%%"):  # another language, or something that is not run in place
        return ""
    return "\n".join(strip_magic(TIME_MAGIC.sub("", line)) for line in cell.split("\n"))


def strip_magic(line: str) -> str:
    if not IPYTHON_LINE.match(line):
        return line
    # inside of a block something must stay, or the block were empty
    return re.sub(r"\S.*", "pass", line) if line[:1] in " \t" else ""


# -- statements ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Statement:
    """A statement at the outer level, and the names that matter to others.

    Args:
        unit, index: which statement of which unit it is.
        binds: names that it gives a value.
        now: names that it needs at once.
        later: names that its functions need when they are called.
        changes: names of objects that it may change in place.
    """

    unit: int
    index: int
    node: ast.stmt
    binds: frozenset[str]
    now: frozenset[str]
    later: frozenset[str]
    changes: frozenset[str]


def statements_of(units: list[Unit]) -> list[Statement]:
    """Every statement at the outer level, in order, but for calls that only check an answer."""
    found = []
    for number, unit in enumerate(units):
        tree = None if unit.broken else parse(unit.source)
        for index, node in enumerate(tree.body if tree else []):
            if not is_check_call(node) and len(found) < MAX_STATEMENTS:
                found.append(Statement(number, index, node, *names_of(node)))
    return found


def is_check_call(node: ast.stmt) -> bool:
    """Does a line only have an answer checked (`f = check("06.1", f)`)? It is not run again."""
    call = getattr(node, "value", None)
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or not call.args:
        return False
    first = call.args[0]
    checked = isinstance(first, ast.Constant) and CHECKED_ID.match(str(first.value))
    return call.func.id in CHECK_CALLS and bool(checked)


ALWAYS_BINDING = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.Assign,
    ast.AnnAssign,
    ast.Import,
    ast.ImportFrom,
    ast.Expr,
)


def names_of(
    node: ast.stmt,
) -> tuple[frozenset[str], frozenset[str], frozenset[str], frozenset[str]]:
    """The names that a statement binds, needs at once, needs later, changes."""
    try:
        table = symtable.symtable(ast.unparse(node), "<statement>", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return (frozenset(),) * 4
    binds = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported()}
    now = {s.get_name() for s in table.get_symbols() if s.is_referenced()}
    later: set[str] = set()
    for child in table.get_children():
        collect_globals(child, now, later, False)
    if not isinstance(node, ALWAYS_BINDING):
        # it may leave them as they were (`if`, `for`) or starts from them (`+=`)
        counted = [part.target for part in ast.walk(node) if isinstance(part, ast.For)]
        now |= binds - {
            part.id for target in counted for part in ast.walk(target) if isinstance(part, ast.Name)
        }
    return frozenset(binds), frozenset(now), frozenset(later), frozenset(changed_names(node))


def collect_globals(
    table: symtable.SymbolTable, now: set[str], later: set[str], deferred: bool
) -> None:
    """Add the notebook's names that a scope uses; a function's body needs them only when called."""
    comprehension = table.get_name() in ("listcomp", "setcomp", "dictcomp", "genexpr")
    deferred = deferred or (table.get_type() == "function" and not comprehension)
    (later if deferred else now).update(s.get_name() for s in table.get_symbols() if s.is_global())
    for child in table.get_children():
        collect_globals(child, now, later, deferred)


def changed_names(node: ast.stmt) -> Iterator[str]:
    """Names whose objects a statement may change in place.

    That is `a` in `a[0] = 1`, `a.b = 1`, `a.append(1)`, `fill(a)`, `@a.register`.
    """
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield from (
            part.id
            for one in node.decorator_list
            for part in ast.walk(one)
            if isinstance(part, ast.Name)
        )
        return
    for part in ast.walk(node):
        if isinstance(part, ast.Attribute | ast.Subscript) and isinstance(
            part.ctx, ast.Store | ast.Del
        ):
            yield from root_name(part)
        if isinstance(part, ast.Call):
            if not isinstance(part.func, ast.Name):
                yield from root_name(part.func)
            given = [*part.args, *(keyword.value for keyword in part.keywords)]
            yield from (one.id for one in given if isinstance(one, ast.Name))


def root_name(node: ast.expr) -> Iterator[str]:
    """The name that an attribute or an item is reached from, if it is one."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    if isinstance(node, ast.Name):
        yield node.id


# -- which statement is the answer --------------------------------------------------------------


def defines(node: ast.AST, name: str) -> bool:
    """Does a statement give a function, class or value this name?

    Not if it only counts with the name, as `for name in ...` does.
    """
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return node.name == name
    if isinstance(node, ast.Import | ast.ImportFrom):
        return any((alias.asname or alias.name) == name for alias in node.names)
    if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
        return any(
            isinstance(part, ast.Name) and part.id == name and isinstance(part.ctx, ast.Store)
            for part in ast.walk(node)
        )
    if any(isinstance(part, ast.NamedExpr) and part.target.id == name for part in ast.walk(node)):
        return True
    inside = ast.stmt | ast.ExceptHandler | ast.match_case
    return any(
        defines(part, name) for part in ast.iter_child_nodes(node) if isinstance(part, inside)
    )


def is_blank(exercise: Exercise, node: ast.stmt) -> bool:
    """Is it the starter still, whatever its comments and docstring say?"""
    given = [dump_without_docstrings(part) for part in parse(exercise.starter).body]
    return dump_without_docstrings(node) in given or is_placeholder(node)


def is_placeholder(node: ast.stmt) -> bool:
    """`answer = ...` or `answer = None`."""
    return (
        isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Constant)
        and node.value.value in (None, ...)
    )


def dump_without_docstrings(node: ast.stmt) -> str:
    """A statement's tree without docstrings."""
    copy = parse(ast.unparse(node)) or node
    for part in ast.walk(copy):
        body = getattr(part, "body", None)
        if (
            isinstance(body, list)
            and isinstance(part, ast.FunctionDef | ast.ClassDef)
            and ast.get_docstring(part)
        ):
            part.body = body[1:]
    return ast.dump(copy)


def why_missing(exercise: Exercise, units: list[Unit]) -> str:
    """Why an answer was not found."""
    wanted = re.compile(
        rf"^[ \t]*(?:def|class)[ \t]+{exercise.name}\b|^{exercise.name}[ \t]*=", re.MULTILINE
    )
    for unit in units:
        if unit.broken and wanted.search(unit.source):
            return f"Its code cannot be read: {unit.broken}."
    return f"No `{exercise.name}` was found in the notebook."


# -- which statements an answer needs -----------------------------------------------------------


class Program:
    """A notebook's statements, and which of them each one needs.

    It needs those that bind its names, and those that may have changed what the names stand for.
    """

    def __init__(self, units: list[Unit]) -> None:
        self.units, self.statements = units, statements_of(units)
        self.binders: dict[str, list[int]] = {}  # name -> statements that bind it, in order
        self.changers: dict[str, list[int]] = {}
        self.global_ones = [n for n, one in enumerate(self.statements) if concerns_all(one.node)]
        for n, statement in enumerate(self.statements):
            for name in statement.binds:
                self.binders.setdefault(name, []).append(n)
            for name in statement.changes:
                self.changers.setdefault(name, []).append(n)

    def slice(self, goal: int) -> tuple[list[int], set[int]]:
        """Statements for the goal, each after what it needs, and those that are indispensable.

        Raises: RecursionError if one needs another in too long a chain.
        """
        order: list[int] = []
        seen, needed = set(), set()

        def take(n: int) -> None:
            if n in seen:
                return
            seen.add(n)
            hard, soft = self.dependencies(n, goal)
            for other in sorted(hard | soft):
                take(other)
            order.append(n)

        def keep(n: int) -> None:
            if n not in needed:
                needed.add(n)
                for other in self.dependencies(n, goal)[0]:
                    keep(other)

        take(goal)
        keep(goal)
        return order, needed

    def dependencies(self, n: int, goal: int) -> tuple[set[int], set[int]]:
        """What statement `n` cannot do without, and what may matter to it."""
        statement = self.statements[n]
        hard, soft = {k for k in self.global_ones if k < n}, set()
        for name in statement.now | statement.later:
            # what a function needs later must be there when the goal is called
            before = n if name in statement.now else goal + 1
            at = self.find_binding(name, before, n)
            if at is not None:
                hard.add(at)
                soft |= self.find_changes(name, at, min(before, goal))
        return hard - {n}, soft - hard - {n}

    def find_binding(self, name: str, before: int, own: int) -> int | None:
        """The last statement before `before` that binds a name; else the first one after it."""
        binders = self.binders.get(name, [])
        if name in self.statements[own].later and name in self.statements[own].binds:
            return own
        k = bisect.bisect_left(binders, before)
        earlier = next((n for n in reversed(binders[:k]) if n != own), None)
        return earlier if earlier is not None else next((n for n in binders[k:] if n > own), None)

    def find_changes(self, name: str, since: int, until: int) -> set[int]:
        """Statements between that may change what a name stands for.

        Of a module only its settings count, such as `random.seed(0)`.
        """
        changers = self.changers.get(name, [])
        found = changers[bisect.bisect_right(changers, since) : bisect.bisect_left(changers, until)]
        module = isinstance(self.statements[since].node, ast.Import | ast.ImportFrom)
        return {n for n in found if not module or changes_settings(self.statements[n].node)}


def concerns_all(node: ast.stmt) -> bool:
    """`from x import *` and `from __future__ import ...` concern all that follows."""
    return isinstance(node, ast.ImportFrom) and (
        node.names[0].name == "*" or node.module == "__future__"
    )


def changes_settings(node: ast.stmt) -> bool:
    """Does it set something for the whole program, as `torch.manual_seed(0)` does?"""
    call = node.value if isinstance(node, ast.Expr) else None
    return (
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and bool(SETTING_NAME.search(call.func.attr))
    )
