"""Whatever comes back: read what a student handed in, find in it the code that answers each exercise.

Nothing here runs a student's code. A notebook is read as JSON, so that another nbformat, stripped metadata, a BOM or
50 MB of outputs make no difference. An answer is found by its name, wherever its cell has gone, and taken with the
statements that it needs and no others: so an endless loop or an error in another cell costs that cell and nothing else.
"""

import ast
import bisect
import codecs
import hashlib
import io
import itertools
import json
import lzma
import re
import symtable
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from fmcourse.course.exercises import Exercise

MB = 10**6
MAX_BYTES, MAX_CODE = 200 * MB, 2 * MB  # of a file, of its code
MAX_FILES, MAX_STATEMENTS = (
    60,
    4000,
)  # in an archive or a student's folder; statements in a notebook
BODY_MAGIC = re.compile(r"\s*%%(time|timeit|capture|prun)\b.*\n?")
TIME_MAGIC = re.compile(r"^%time ")
IPYTHON_LINE = re.compile(r"[ \t]*[%!?]|[ \t]*[\w.]+\?\??$")
SETTING_NAME = re.compile(r"seed|^set_|setrecursionlimit|use_deterministic")
CELL_MARKER = re.compile(r"^# (?:%%|In\[).*$", re.MULTILINE)
IGNORED_FILES = re.compile(
    r"^(\..*|__MACOSX|.*\.checkpoint.*|variant\.json|exercises\.json|timestamp\.txt)$"
)


@dataclass(frozen=True)
class Unit:
    """A piece of source that can be parsed: a cell, or what can be saved of one."""

    cell: int  # as one counts code cells, from 1
    offset: int  # lines of the cell before it
    source: str
    broken: str = ""  # why it cannot be parsed; then it is kept only to say so


@dataclass
class Submission:
    """What one student handed in."""

    student: str
    units: list[Unit] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    digest: str = ""
    name: str = ""  # of the file
    answers: dict[str, "Answer"] = field(default_factory=dict)  # by exercise

    @cached_property
    def statements(self) -> list["Statement"]:
        return statements_of(self.units)

    @cached_property
    def dependencies(self) -> "Dependencies":
        return Dependencies(self.statements)


@dataclass(frozen=True)
class Answer:
    """The code for one exercise: statements in the order in which they are to be run; or why there is none."""

    units: tuple[Unit, ...] = ()
    statements: tuple[
        tuple[int, int, bool], ...
    ] = ()  # which unit, which of its statements, and can it not be left out
    code: str = ""
    missing: str = ""


# -- what was handed in ---------------------------------------------------------------------------------------------------


def read_submission(
    student: str, path: Path, assignment: str, exercises: list[Exercise]
) -> Submission:
    """What lies under `path`, whatever that is; of several files the one that answers most. Raises: nothing."""
    best, most = Submission(student, remarks=["Nothing was handed in: the folder is empty."]), -1
    try:
        for name, data in candidate_files(path, assignment):
            made = read_file(student, name, data)
            score = sum(bool(find_answer(exercise, made).statements) for exercise in exercises)
            if score > most:
                best, most = made, score
    except SubmissionError as error:
        best = Submission(student, remarks=[str(error)])
    except OSError as error:
        best = Submission(
            student, remarks=[f"It cannot be read: {error.strerror or type(error).__name__}."]
        )
    except Exception as error:  # something that nobody has thought of; it costs this work alone
        best = Submission(student, remarks=[f"It cannot be read ({type(error).__name__})."])
    best.digest = best.digest or hashlib.sha256(" ".join(best.remarks).encode()).hexdigest()
    if best.name and Path(best.name).stem not in (assignment, student):
        best.remarks.append(
            f"The file is called {quote(Path(best.name).name)}; {assignment}.ipynb was handed out."
        )
    return best


class SubmissionError(ValueError):
    """Something that is not read at all, and the sentence that says why."""


def candidate_files(path: Path, assignment: str) -> Iterator[tuple[str, bytes]]:
    """Names and contents of what may be the work, the likeliest first."""
    if path.is_symlink():
        raise SubmissionError(
            "It is a link to another file; links are not followed. Hand in the file itself."
        )
    if path.is_file():
        yield from expand_archive(path.name, read_plain_file(path))
        return
    inside = (
        path / assignment
        if (path / assignment).is_dir() and not (path / assignment).is_symlink()
        else path
    )
    ours = lambda p: not any(IGNORED_FILES.match(part) for part in p.relative_to(inside).parts)
    there = sorted(p for p in itertools.islice(inside.rglob("*"), 40 * MAX_FILES) if ours(p))[
        : 4 * MAX_FILES
    ]
    links = [p for p in there if p.is_symlink() or not p.resolve().is_relative_to(path.resolve())]
    there = [p for p in there if p not in links and p.is_file()][:MAX_FILES]
    if links and not there:
        raise SubmissionError(
            "It is a link to another file; links are not followed. Hand in the file itself."
        )
    likely = lambda p: (
        p.suffix not in (".ipynb", ".py", ".zip"),
        p.stem != assignment,
        p.suffix != ".ipynb",
        p.name,
    )
    left = MAX_BYTES
    for file in sorted(there, key=likely):
        for name, data in expand_archive(file.name, read_plain_file(file)):
            left -= len(data)
            if left < 0:
                raise SubmissionError(
                    f"There are more than {MAX_BYTES / MB:,.0f} MB in all; that is not read."
                )
            yield name, data


def read_plain_file(path: Path) -> bytes:
    """A file's bytes. Raises: SubmissionError if it is no plain file, or too large."""
    if not path.is_file():
        raise SubmissionError("It is not a plain file.")
    if path.stat().st_size > MAX_BYTES:
        raise SubmissionError(
            f"The file has {path.stat().st_size / MB:,.0f} MB; {MAX_BYTES / MB:,.0f} MB is the most that is read."
        )
    return path.read_bytes()


def expand_archive(name: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    """A file, or the files of an archive: its names are only names, nothing is unpacked to disk."""
    if not data.startswith(b"PK\x03\x04"):
        yield name, data
        return
    left = MAX_BYTES
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [
                m
                for m in archive.infolist()
                if not m.is_dir()
                and not any(
                    IGNORED_FILES.match(part)
                    for part in Path(m.filename).parts
                    if part not in ("..", "/")
                )
            ]
            for member in sorted(
                members, key=lambda m: (not m.filename.endswith(".ipynb"), m.filename)
            )[:MAX_FILES]:
                with archive.open(member) as file:
                    inside = file.read(left + 1)
                left -= len(inside)
                if left < 0:
                    raise SubmissionError(
                        f"The archive unpacks to more than {MAX_BYTES / MB:,.0f} MB; it is not read."
                    )
                yield Path(member.filename).name, inside
    except SubmissionError:
        raise
    except (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        OSError,
        ValueError,
        NotImplementedError,
        RuntimeError,
        EOFError,
    ):
        raise SubmissionError(
            "The archive cannot be opened: it is damaged, locked, or of an unknown kind."
        ) from None


# -- what a file says -----------------------------------------------------------------------------------------------------


def read_file(student: str, name: str, data: bytes) -> Submission:
    """The code in a file: a notebook of any version, a script, or a sentence that says what is wrong."""
    made = Submission(student, name=name, digest=hashlib.sha256(data).hexdigest())
    if not data.strip(b"\x00 \t\r\n"):
        made.remarks.append("The file is empty.")
        return made
    text = decode_text(data)
    cells = notebook_cells(text)
    if cells is None and (name.endswith(".py") or looks_like_code(text)):
        cells = [part for part in CELL_MARKER.split(text) if part.strip()]
        made.remarks.append("It is a script, not a notebook; its code was read.")
    if cells is None:
        made.remarks.append(
            f"It is not a notebook: {describe_text(text)}. Hand in the .ipynb file itself."
        )
        return made
    if sum(map(len, cells)) > MAX_CODE:
        made.remarks.append(f"It holds more than {MAX_CODE / MB:.0f} MB of code; that is not read.")
        return made
    made.units = [unit for number, cell in enumerate(cells, 1) for unit in split_cell(number, cell)]
    if not any(unit.source.strip() for unit in made.units):
        made.remarks.append("It holds no code.")
    return made


def decode_text(data: bytes) -> str:
    """Text in whatever encoding, with plain line ends."""
    utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = data.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def notebook_cells(text: str) -> list[str] | None:
    """Sources of the code cells; None if this is no notebook."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        book = json.loads(text)
    except (ValueError, RecursionError):
        return None
    sheets = book.get("worksheets")  # nbformat 3
    parts = (
        [book]
        if isinstance(book.get("cells"), list)
        else sheets
        if isinstance(sheets, list)
        else None
    )
    if parts is None:
        return None
    cells = [
        cell for part in parts if isinstance(part, dict) for cell in as_list(part.get("cells"))
    ]
    return [
        cell_source(cell)
        for cell in cells
        if isinstance(cell, dict) and cell.get("cell_type") == "code"
    ]


def as_list(value: Any) -> list:
    return value if isinstance(value, list) else []


def cell_source(cell: dict) -> str:
    """A cell's text, which may be a list of lines."""
    text = cell.get("source", cell.get("input", ""))
    text = (
        "".join(part for part in text if isinstance(part, str)) if isinstance(text, list) else text
    )
    return text.replace("\r\n", "\n").replace("\x00", "") if isinstance(text, str) else ""


def looks_like_code(text: str) -> bool:
    return (
        bool(re.search(r"^(def|class|import|from) \w", text, re.MULTILINE))
        and parse(text) is not None
    )


def describe_text(text: str) -> str:
    """A few words on what a text is."""
    if text.lstrip().startswith(("{", "[")):
        return "it begins like one and cannot be read as JSON, or has no cells"
    return f"it begins with {quote(text.strip()[:30])}"


def quote(text: str) -> str:
    """Somebody's text, short and harmless, in quotes."""
    return "'" + re.sub(r"[^\w .,:;()/+*=%-]", "?", text[:60], flags=re.ASCII) + "'"


# -- cells and statements -------------------------------------------------------------------------------------------------


def parse(text: str) -> ast.Module | None:
    """The tree, or None where there can be none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def split_cell(number: int, cell: str) -> Iterator[Unit]:
    """The cell as one unit; if it cannot be parsed, what can be saved of it and what is broken."""
    text = cell if parse(cell) is not None else strip_magics(cell)
    if parse(text) is not None:
        yield Unit(number, 0, text)
        return
    lines, whole = text.split("\n"), describe_syntax_error(text, 0)
    starts = [n for n, line in enumerate(lines) if re.match(r"[A-Za-z_@(]", line)]
    starts = [
        n for i, n in enumerate(starts) if i == 0 or not lines[starts[i - 1]].startswith("@")
    ] or [0]
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
        line = (
            f" in line {offset + (error.lineno or 1)}, {quote((error.text or '').strip())}"
            if error.text
            else ""
        )
        return f"{type(error).__name__}: {error.msg}{line}"
    except (ValueError, RecursionError, MemoryError) as error:
        return f"{type(error).__name__}: it is too deeply nested, or holds what is no text"
    return ""


def strip_magics(cell: str) -> str:
    """Python alone: lines for IPython (%, !, ?) become empty lines, so that line numbers stay."""
    cell = BODY_MAGIC.sub("\n", cell, count=1) if BODY_MAGIC.match(cell) else cell
    if cell.lstrip().startswith("%%"):  # another language, or something that is not run in place
        return ""
    inside = lambda line: re.sub(r"\S.*", "pass", line) if line[:1] in " \t" else ""
    lines = [TIME_MAGIC.sub("", line) for line in cell.split("\n")]
    lines = [inside(line) if IPYTHON_LINE.match(line) else line for line in lines]
    return "\n".join(lines)


@dataclass(frozen=True)
class Statement:
    """A statement, and which names it binds, needs at once, needs when it is called, and changes."""

    unit: int
    index: int
    node: ast.stmt
    binds: frozenset[str]
    now: frozenset[str]
    later: frozenset[str]
    changes: frozenset[str]


def statements_of(units: list[Unit]) -> list[Statement]:
    """Every statement at the outer level, in order."""
    found = []
    for number, unit in enumerate(units):
        for index, node in enumerate(
            (parse(unit.source) or ast.Module([])).body if not unit.broken else []
        ):
            if not is_check_call(node) and len(found) < MAX_STATEMENTS:
                found.append(Statement(number, index, node, *names_of(node)))
    return found


CHECK_CALLS = ("check", "points", "hint", "solution", "quiz", "predict", "progress")


def is_check_call(node: ast.stmt) -> bool:
    """Is it a line that only has an answer checked (`f = check("06.1", f)`, `points(...)`)? It is not run again."""
    call = getattr(node, "value", None)
    name = call.func.id if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) else ""
    first = call.args[0] if name and call.args else None
    return (
        name in CHECK_CALLS
        and isinstance(first, ast.Constant)
        and bool(re.match(r"\d\d[a-z]?(\.\w+)?$", str(first.value)))
    )


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
    """What a statement binds, needs now, needs later, changes."""
    try:
        table = symtable.symtable(ast.unparse(node), "<step>", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return (frozenset(),) * 4
    binds = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported()}
    now = {s.get_name() for s in table.get_symbols() if s.is_referenced()}
    later: set[str] = set()
    for child in table.get_children():
        collect_globals(child, now, later, False)
    if not isinstance(
        node, ALWAYS_BINDING
    ):  # it may leave them as they were (`if`, `for`) or starts from them (`+=`)
        counted = [part.target for part in ast.walk(node) if isinstance(part, ast.For)]
        now |= binds - {
            part.id for target in counted for part in ast.walk(target) if isinstance(part, ast.Name)
        }
    return frozenset(binds), frozenset(now), frozenset(later), frozenset(changed_names(node))


def collect_globals(
    table: symtable.SymbolTable, now: set[str], later: set[str], deferred: bool
) -> None:
    """Names of the notebook that a scope uses: those of a function's body are needed only when it is called."""
    comprehension = table.get_name() in ("listcomp", "setcomp", "dictcomp", "genexpr")
    deferred = deferred or (table.get_type() == "function" and not comprehension)
    (later if deferred else now).update(s.get_name() for s in table.get_symbols() if s.is_global())
    for child in table.get_children():
        collect_globals(child, now, later, deferred)


def changed_names(node: ast.stmt) -> Iterator[str]:
    """Names whose objects a statement may change in place: `a[0] = 1`, `a.b = 1`, `a.append(1)`, `fill(a)`, `@a.register`."""
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
            yield from root_name(part.func) if not isinstance(part.func, ast.Name) else ()
            given = [*part.args, *(keyword.value for keyword in part.keywords)]
            yield from (one.id for one in given if isinstance(one, ast.Name))


def root_name(node: ast.expr) -> Iterator[str]:
    """The name that an attribute or an item is reached from, if it is one."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    if isinstance(node, ast.Name):
        yield node.id


# -- the answer -----------------------------------------------------------------------------------------------------------


def find_answer(exercise: Exercise, made: Submission) -> Answer:
    """The code for an exercise: its last definition that is not blank, with all that it needs."""
    statements = made.statements
    holds = [
        n
        for n, step in enumerate(statements)
        if exercise.name in step.binds and defines(step.node, exercise.name)
    ]
    filled = [n for n in holds if not is_blank(exercise, statements[n].node)]
    if not filled:
        broken = why_missing(exercise, made.units)
        return Answer(missing="blank" if holds and "cannot be read" not in broken else broken)
    try:
        order, sure = dependency_order(made.dependencies, filled[-1])
    except RecursionError:
        return Answer(missing="Its code needs so many other statements that it cannot be followed.")
    used = [(statements[n].unit, statements[n].index, n in sure) for n in order]
    code = "\n".join(ast.unparse(statements[n].node) for n in order)
    return Answer(tuple(made.units), tuple(used), code)


def defines(node: ast.AST, name: str) -> bool:
    """Does a statement give a function, class or value this name, and not only count with it (`for name in ...`)?"""
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
    starter = parse(exercise.starter)
    return any(
        dump_without_docstrings(node) == dump_without_docstrings(given) for given in starter.body
    ) or is_placeholder(node)


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


class Dependencies:
    """Which statements a statement needs: those that bind its names, and those that may have changed what they stand for."""

    def __init__(self, statements: list[Statement]) -> None:
        self.statements = statements
        self.binders: dict[str, list[int]] = {}
        self.changers: dict[str, list[int]] = {}
        self.always = [n for n, step in enumerate(statements) if concerns_all(step.node)]
        for n, step in enumerate(statements):
            for name in step.binds:
                self.binders.setdefault(name, []).append(n)
            for name in step.changes:
                self.changers.setdefault(name, []).append(n)

    def of(self, n: int, goal: int) -> tuple[set[int], set[int]]:
        """What step `n` cannot do without, and what may matter to it."""
        step, hard, soft = self.statements[n], {k for k in self.always if k < n}, set()
        for name in step.now | step.later:
            before = n if name in step.now else goal + 1
            at = self.find_binding(name, before, n)
            if at is not None:
                hard.add(at)
                soft |= self.find_changes(name, at, min(before, goal))
        return hard - {n}, soft - hard - {n}

    def find_binding(self, name: str, before: int, own: int) -> int | None:
        """The last step before `before` that binds a name; else the first one after it."""
        at = self.binders.get(name, [])
        if name in self.statements[own].later and name in self.statements[own].binds:
            return own
        k = bisect.bisect_left(at, before)
        earlier = next((n for n in reversed(at[:k]) if n != own), None)
        return earlier if earlier is not None else next((n for n in at[k:] if n > own), None)

    def find_changes(self, name: str, since: int, until: int) -> set[int]:
        """Steps between that may change what a name stands for; of a module only its settings (`random.seed(0)`)."""
        at = self.changers.get(name, [])
        found = at[bisect.bisect_right(at, since) : bisect.bisect_left(at, until)]
        module = isinstance(self.statements[since].node, ast.Import | ast.ImportFrom)
        return {n for n in found if not module or changes_settings(self.statements[n].node)}


def dependency_order(dependencies: Dependencies, goal: int) -> tuple[list[int], set[int]]:
    """Steps for the goal, each after what it needs, and which of them it cannot do without. Raises: RecursionError."""
    order: list[int] = []
    seen, sure = set(), set()

    def take(n: int) -> None:
        if n in seen:
            return
        seen.add(n)
        hard, soft = dependencies.of(n, goal)
        for need in sorted(hard | soft):
            take(need)
        order.append(n)

    def keep(n: int) -> None:
        if n not in sure:
            sure.add(n)
            for need in dependencies.of(n, goal)[0]:
                keep(need)

    take(goal)
    keep(goal)
    return order, sure


def concerns_all(node: ast.stmt) -> bool:
    """`from x import *` and `from __future__ import ...` concern all that follows."""
    return isinstance(node, ast.ImportFrom) and (
        node.names[0].name == "*" or node.module == "__future__"
    )


def changes_settings(node: ast.stmt) -> bool:
    """Does it set something for the whole program: `torch.manual_seed(0)`, `sys.setrecursionlimit(5000)`?"""
    call = node.value if isinstance(node, ast.Expr) else None
    return (
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and bool(SETTING_NAME.search(call.func.attr))
    )
