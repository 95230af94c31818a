"""Finds in a student's cells the code that answers an exercise. Runs none of it.

An answer is found by its name, wherever its cell has gone, and taken with the statements that it
needs and no others: so an endless loop or an error in another cell costs that cell alone.

What a statement does to others cannot always be read off it: `optimizer.step()` changes weights
that it does not name, `exec` makes functions, one cell writes the file that another one reads. So
an answer has a second form, the notebook in its own order up to the cell that shows its points,
for whoever finds that the first is not right.
"""

import ast
import bisect
import builtins
import re
import symtable
import unicodedata
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from fmcourse.course.exercise import Exercise

MAX_STATEMENTS = 4000  # in a notebook
MAX_QUOTED = 60  # characters of a student's text in a message
MAX_LEFT_OUT = 12  # statements that are named as left out
HARMLESS_SIGNS = frozenset("_ .,:;()/+*=%-")
BODY_MAGIC = re.compile(r"\s*%%(time|timeit|capture|prun)\b.*\n?")
CAPTURE_MAGIC = re.compile(r"\s*%%capture[ \t]+(?:--?[\w-]+[ \t]+)*([^\W\d]\w*)[ \t]*(?:\n|$)")
WRITE_MAGIC = re.compile(r"\s*%%(?:writefile|file)[ \t]+(.*)\n?")
RUN_MAGIC = re.compile(r"[ \t]*%run[ \t]+(.*)")
TIME_MAGIC = re.compile(r"^%time ")
IPYTHON_LINE = re.compile(r"[ \t]*[%!?]|[ \t]*[\w.]+\?\??$")
SETTING_NAME = re.compile(r"seed|^set_|setrecursionlimit|use_deterministic")
CHECK_CALLS = ("check", "points", "hint", "solution", "quiz", "predict", "progress")
CHECKED_ID = re.compile(r"\d\d[a-z]?(\.\w+)?$")
# what may make a name, or use one, that stands nowhere as such
DYNAMIC = re.compile(
    r"(?<![.\w])(exec|eval|globals|locals|vars|setattr|builtins|get_ipython)\b"
    r"|\bimport_module\b|__(main|dict|import|builtins)__|\bimport \*"
)
CONFLICT = re.compile(r"^(?:<{7}|>{7})(?: .*)?$", re.MULTILINE)  # what git leaves of a merge
KEEP_ONE = "keep one of the two versions, and delete the markers (<<<<<<<, =======, >>>>>>>)"


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
        whole: is it the notebook in its own order, in which an error ends its cell and no more?
        others: other forms of it, to be tried in turn where this one is not right.
    """

    units: tuple[Unit, ...] = ()
    statements: tuple[tuple[int, int, bool], ...] = ()
    code: str = ""
    missing: str = ""
    whole: bool = False
    others: tuple["Answer", ...] = ()


def find_answers(
    cells: Iterable[str], exercises: Iterable[Exercise], texts: Iterable[tuple[str, str]] = ()
) -> dict[str, Answer]:
    """The answer to each exercise, by its id.

    Args:
        texts: (kind, source) of the cells that are not code.
    """
    program = Program(split_cells(cells), tuple(texts))
    return {exercise.id: find_answer(exercise, program) for exercise in exercises}


def find_answer(exercise: Exercise, program: "Program") -> Answer:
    """The code for an exercise, in every form that it may be found in.

    First its last definition, that is not blank, above the cell that shows its points, with all
    that it needs; then the notebook in its own order up to that cell. Where several cells show its
    points, the last one counts, and then the first.
    """
    statements, name = program.statements, exercise.name
    definitions = [
        n
        for n, statement in enumerate(statements)
        if name in statement.binds and defines(statement.node, name)
    ]
    filled = [n for n in definitions if not is_blank(exercise, statements[n].node)]
    shown = program.shown.get(exercise.id, [])
    ends = list(dict.fromkeys([*shown[-1:], *shown[:1]])) or [None]
    try:
        slices = [program.answer_at(filled, end) for end in ends] if filled else []
    except RecursionError:
        slices = [
            Answer(missing="Its code needs so many other statements that it cannot be followed.")
        ]
    if not filled:
        reason = why_missing(exercise, program)
        blank = definitions and "cannot be read" not in reason
        slices = [Answer(missing="blank" if blank else reason)]
    in_order = [program.in_order(end) for end in ends if program.may_differ(slices[0], end)]
    first, *others = dict.fromkeys([*slices, *in_order])
    return replace(first, others=tuple(others))


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
    if marker := CONFLICT.search(text):  # which of the two sides is meant is not for us to say
        line = text.count("\n", 0, marker.start()) + 1
        found = f"git's conflict markers stand in it, from line {line} on"
        yield Unit(number, 0, text, f"{found}; {KEEP_ONE}")
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
    """Python alone: lines for IPython (%, !, ?) become empty ones, so that line numbers stay.

    `%run`, `%%writefile` and `%%capture name` become the calls that IPython makes of them.
    """
    if magic := CAPTURE_MAGIC.match(cell):
        name, body = magic[1], strip_magics(cell[magic.end() :])
        above = "\n" * cell.count("\n", 0, magic.start(1))
        return f"{above}{name} = get_ipython().capture()\n{body}\n{name}.stop()"
    if magic := WRITE_MAGIC.match(cell):
        line, body = magic[1].strip(), cell[magic.end() :]
        return f"get_ipython().run_cell_magic('writefile', {line!r}, {body!r})"
    cell = BODY_MAGIC.sub("\n", cell, count=1) if BODY_MAGIC.match(cell) else cell
    if cell.lstrip().startswith("%%"):  # another language, or something that is not run in place
        return ""
    return "\n".join(strip_magic(TIME_MAGIC.sub("", line)) for line in cell.split("\n"))


def strip_magic(line: str) -> str:
    if not IPYTHON_LINE.match(line):
        return line
    if magic := RUN_MAGIC.match(line):
        indent = line[: len(line) - len(line.lstrip())]
        return f"{indent}get_ipython().run_line_magic('run', {magic[1].strip()!r})"
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


def statements_of(units: list[Unit]) -> tuple[list[Statement], dict[str, list[int]]]:
    """Every statement at the outer level, in order, but for calls that only check an answer.

    With them, for each exercise, how many statements stand above the cells that show its points.
    """
    found, shown = [], {}
    for number, unit in enumerate(units):
        tree = None if unit.broken else parse(unit.source)
        for index, node in enumerate(tree.body if tree else []):
            for exercise_id in shown_points(node):
                shown.setdefault(exercise_id, []).append(len(found))
            if not is_check_call(node) and len(found) < MAX_STATEMENTS:
                found.append(Statement(number, index, node, *names_of(node)))
    return found, shown


def shown_points(node: ast.stmt) -> Iterator[str]:
    """The exercises whose points a statement shows, as `points("06.A1", f, of=10)` does."""
    for part in ast.walk(node) if isinstance(node, ast.Expr | ast.Assign) else ():
        if isinstance(part, ast.Call) and getattr(part.func, "id", "") == "points":
            given = [*part.args[:1], *(k.value for k in part.keywords if k.arg == "exercise_id")]
            yield from (str(one.value) for one in given if isinstance(one, ast.Constant))


def is_check_call(node: ast.stmt) -> bool:
    """Does a line only have an answer checked (`f = check("06.1", f)`)? It is not run again."""
    call = getattr(node, "value", None)
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or not call.args:
        return False
    first = call.args[0]
    checked = isinstance(first, ast.Constant) and CHECKED_ID.match(str(first.value))
    return call.func.id in CHECK_CALLS and bool(checked)


DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
ALWAYS_BINDING = (
    *DEFINITIONS,
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


def why_missing(exercise: Exercise, program: "Program") -> str:
    """Why an answer was not found."""
    wanted = re.compile(
        rf"^[ \t]*(?:def|class)[ \t]+{exercise.name}\b|^{exercise.name}[ \t]*=", re.MULTILINE
    )
    for unit in program.units:
        if unit.broken and wanted.search(unit.source):
            return f"Its code cannot be read: {unit.broken}."
    for kind, text in program.texts:
        if wanted.search(text):
            return (
                f"`{exercise.name}` stands in a {kind} cell, which is never run: make a code cell "
                "of it (in Jupyter: select it and press Esc, then Y)."
            )
    return f"No `{exercise.name}` was found in the notebook."


# -- which statements an answer needs -----------------------------------------------------------


class Program:
    """A notebook's statements, and which of them each one needs.

    It needs those that bind its names, and those that may have changed what the names stand for.

    Args:
        texts: (kind, source) of the cells that are not code.
    """

    def __init__(self, units: list[Unit], texts: tuple[tuple[str, str], ...] = ()) -> None:
        self.units, self.texts = units, texts
        self.statements, self.shown = statements_of(units)
        self.broken_cells = {unit.cell for unit in units if unit.broken}
        self.binders: dict[str, list[int]] = {}  # name -> statements that bind it, in order
        self.changers: dict[str, list[int]] = {}
        self.global_ones = [n for n, one in enumerate(self.statements) if concerns_all(one.node)]
        for n, statement in enumerate(self.statements):
            for name in statement.binds:
                self.binders.setdefault(name, []).append(n)
            for name in statement.changes:
                self.changers.setdefault(name, []).append(n)

    # -- forms of an answer

    def answer_at(self, definitions: list[int], end: int | None) -> Answer:
        """The last of these definitions before `end`, else the last one, with what it needs.

        Args:
            end: how many statements stand above the cell that shows its points; None without one.
        Raises: RecursionError if one needs another in too long a chain.
        """
        above = [n for n in definitions if end is not None and n < end]
        goal = (above or definitions)[-1]
        until = end if above else goal + 1  # what holds is what held when its points were shown
        order, needed = self.slice(goal, until)
        return self.answer(order, needed, end)

    def in_order(self, end: int | None) -> Answer:
        """Every statement before `end`, as the notebook runs them: nothing of a broken cell."""
        before = range(len(self.statements))[:end]
        order = [n for n in before if self.unit_of(n).cell not in self.broken_cells]
        return self.answer(order, set(), end, whole=True)

    def may_differ(self, found: Answer, end: int | None) -> bool:
        """May the notebook's own order up to `end` come to something else than a found answer?

        Not if what was taken stands in that order, and all that was left out are definitions,
        imports and the like. Where nothing was found, only something that makes names without
        naming them can have made the answer.
        """
        if not found.statements:
            return any(DYNAMIC.search(unit.source) for unit in self.units)
        taken = [(unit, index) for unit, index, _ in found.statements]
        if DYNAMIC.search(found.code) or taken != sorted(taken):
            return True
        left_out = [one for one in self.statements[:end] if (one.unit, one.index) not in taken]
        return not all(is_inert(one.node) for one in left_out)

    def answer(
        self, order: list[int], needed: set[int], end: int | None, *, whole: bool = False
    ) -> Answer:
        """These statements as an answer; of those before `end` it is said which are left out."""
        found = [self.statements[n] for n in order]
        left_out = sorted(set(range(len(self.statements))[:end]) - set(order))
        used = tuple(
            (one.unit, one.index, n in needed) for n, one in zip(order, found, strict=True)
        )
        code = quote_code(self.units, found, [self.statements[n] for n in left_out])
        return Answer(tuple(self.units), used, code, whole=whole)

    def unit_of(self, n: int) -> Unit:
        return self.units[self.statements[n].unit]

    # -- what needs what

    def slice(self, goal: int, until: int) -> tuple[list[int], set[int]]:
        """Statements for the goal, each after what it needs, and those that are indispensable.

        Args:
            until: the statement before which the goal is called.
        Raises: RecursionError if one needs another in too long a chain.
        """
        order: list[int] = []
        seen, needed = set(), set()

        def take(n: int) -> None:
            if n in seen:
                return
            seen.add(n)
            hard, soft = self.dependencies(n, until)
            for other in sorted(hard | soft):
                take(other)
            order.append(n)

        def keep(n: int) -> None:
            if n not in needed:
                needed.add(n)
                for other in self.dependencies(n, until)[0]:
                    keep(other)

        take(goal)
        keep(goal)
        return order, needed

    def dependencies(self, n: int, until: int) -> tuple[set[int], set[int]]:
        """What statement `n` cannot do without, and what may matter to it."""
        statement = self.statements[n]
        hard, soft = {k for k in self.global_ones if k < n}, set()
        for name in statement.now | statement.later:
            # what a function needs later must be there when the goal is called
            before = n if name in statement.now else until
            at = self.find_binding(name, before, n)
            if at is not None:
                hard.add(at)
                soft |= self.find_changes(name, at, min(before, until))
        return hard - {n}, soft - hard - {n}

    def find_binding(self, name: str, before: int, own: int) -> int | None:
        """The last statement before `before` that binds a name; else the first one after it.

        A name of Python's own, such as `max`, is that until it is bound: of what comes later only
        a function or class of that name is taken for what was meant.
        """
        binders = self.binders.get(name, [])
        if name in self.statements[own].later and name in self.statements[own].binds:
            return own
        k = bisect.bisect_left(binders, before)
        earlier = next((n for n in reversed(binders[:k]) if n != own), None)
        if earlier is not None:
            return earlier
        later = [n for n in binders[k:] if n > own]
        if hasattr(builtins, name):
            later = [n for n in later if isinstance(self.statements[n].node, DEFINITIONS)]
        return next(iter(later), None)

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


def is_inert(node: ast.stmt) -> bool:
    """Does a statement do nothing but give names, so that who uses none of them can do without?"""
    if isinstance(node, ast.Assign):
        plain = all(isinstance(target, ast.Name) for target in node.targets)
        return plain and isinstance(node.value, ast.Constant)
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return not node.decorator_list
    if isinstance(node, ast.ClassDef):
        return not (node.decorator_list or node.bases or node.keywords)
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    return isinstance(node, ast.Import | ast.ImportFrom | ast.Pass)


def changes_settings(node: ast.stmt) -> bool:
    """Does it set something for the whole program, as `torch.manual_seed(0)` does?"""
    call = node.value if isinstance(node, ast.Expr) else None
    return (
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and bool(SETTING_NAME.search(call.func.attr))
    )


# -- what people read ---------------------------------------------------------------------------


def quote_code(units: list[Unit], found: list[Statement], left_out: list[Statement]) -> str:
    """The source of statements with their comments, cell by cell, and what was left out."""
    indexes: dict[int, set[int]] = {}
    for one in found:
        indexes.setdefault(one.unit, set()).add(one.index)
    parts = [quote_unit(units[unit].source, taken) for unit, taken in indexes.items()]
    named = [one for one in left_out if not is_inert(one.node)]
    if named:
        lines = [describe_statement(units[one.unit], one.node) for one in named[:MAX_LEFT_OUT]]
        if len(named) > MAX_LEFT_OUT:
            lines.append(f"#   and {len(named) - MAX_LEFT_OUT} more")
        parts.append("\n".join(["# Not run, as the answer does not seem to need it:", *lines]))
    return "\n".join(parts)


def quote_unit(source: str, taken: set[int]) -> str:
    """Some statements of a unit as they were written, with the comments above and beside them."""
    lines, body, quoted, at = *lines_and_body(source), [], 0
    for index, node in enumerate(body):
        begin, end = first_line(node) - 1, node.end_lineno
        after = first_line(body[index + 1]) - 1 if index + 1 < len(body) else len(lines)
        if index in taken and (begin < at or after < end):  # another one stands on the same line
            quoted.append(ast.unparse(node))
        elif index in taken:
            quoted += lines[at:end]
        at = end
    if len(body) - 1 in taken:
        quoted += lines[at:]  # comments at the end
    return "\n".join(quoted).strip("\n")


@lru_cache(1000)  # every answer quotes the same units
def lines_and_body(source: str) -> tuple[list[str], list[ast.stmt]]:
    """The lines of a source, as Python counts them, and its statements."""
    return re.split("\r\n|\r|\n", source), parse(source).body


def first_line(node: ast.stmt) -> int:
    """The line on which a statement begins, its decorators included."""
    return min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", ()))])


def describe_statement(unit: Unit, node: ast.stmt) -> str:
    """Where a statement stands and how it begins, as a comment."""
    text = lines_and_body(unit.source)[0][first_line(node) - 1].strip()
    text = text if len(text) <= MAX_QUOTED else f"{text[:MAX_QUOTED]} ..."
    return f"#   code cell {unit.cell}, line {unit.offset + first_line(node)}: {text}"
