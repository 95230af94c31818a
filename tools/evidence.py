"""Do a lesson's claims rest on what its notebook computes, and is every prediction answered?

Names are traced from cell to cell. What comes from `table(...)` alone is *shipped*; literals and
what is made of them are *constant*; everything else is live. A claim whose condition compares
nothing but shipped values and constants belongs into `reported`.
"""

import ast
import builtins
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from nbformat import NotebookNode

# Functions whose result is as shipped as what goes in.
PURE_MODULES = {"math", "statistics", "itertools", "json"}
PURE_ATTRIBUTES = {("torch", "tensor"), ("torch", "Tensor"), ("np", "array"), ("np", "mean")}
PURE = {*dir(builtins), "mean", "median", "stdev", "Counter", "product", "zip_longest"}
FEWEST_WORDS = 4  # of a reason


@dataclass
class Evidence:
    """What the cells of a notebook claim, report, ask and answer."""

    live: int = 0  # claims
    reported: int = 0
    predictions: dict[str, list[str]] = field(default_factory=dict)  # id -> options, if literal
    asked_in: dict[str, str] = field(default_factory=dict)  # id -> the cell that asks
    resolved: dict[str, str | None] = field(default_factory=dict)  # id -> answer, if literal
    faults: list[str] = field(default_factory=list)


class Tracer:
    """Which names hold nothing but values of a shipped table, after the cells so far."""

    def __init__(self) -> None:
        self.shipped: set[str] = set()
        self.constant: set[str] = set()
        self.pure = set(PURE)

    def read(self, body: Iterable[ast.stmt]) -> None:
        """Follow the statements of a cell, in their order."""
        for statement in body:
            match statement:
                case ast.Assign(targets=targets, value=value):
                    for target in targets:
                        self.assign(target, value)
                case ast.AnnAssign(target=target, value=value) if value is not None:
                    self.assign(target, value)
                case ast.AugAssign(target=ast.Name(id=name), value=value):
                    if self.is_live(value):
                        self.bind(name, value)
                case ast.Expr(
                    value=ast.Call(func=ast.Attribute(value=ast.Name(id=name)), args=args)
                ):
                    if any(map(self.is_live, args)):  # `results.append(measure(model))`
                        self.forget(name)
                case ast.For(target=target, iter=iterated, body=inner, orelse=rest):
                    self.assign(target, iterated)
                    self.read([*inner, *rest])
                case ast.If(body=inner, orelse=rest) | ast.While(body=inner, orelse=rest):
                    self.read([*inner, *rest])
                case ast.With(body=inner) | ast.Try(body=inner):
                    self.read(inner)
                case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                    self.forget(name)
                    if isinstance(statement, ast.FunctionDef) and self.is_pure(statement):
                        self.pure.add(name)

    def assign(self, target: ast.expr, value: ast.expr) -> None:
        """Bind what stands left of `=`, piece by piece where both sides have pieces."""
        pieces = ast.Tuple | ast.List
        if isinstance(target, pieces):
            same = isinstance(value, pieces) and len(value.elts) == len(target.elts)
            values = value.elts if same else [value] * len(target.elts)
            for part, given in zip(target.elts, values, strict=True):
                self.assign(part, given)
        elif isinstance(target, ast.Name):
            self.bind(target.id, value)
        elif isinstance(target, ast.Starred):
            self.assign(target.value, value)
        elif isinstance(target, ast.Subscript):
            # `found[name] = measure(name)`: from then on `found` holds something live.
            kept = target.value
            if isinstance(kept, ast.Name) and any(map(self.is_live, (value, target.slice))):
                self.forget(kept.id)

    def bind(self, name: str, value: ast.expr) -> None:
        """From here on a name holds this value."""
        self.forget(name)
        if isinstance(value, ast.Lambda) and self.is_pure(value):
            self.pure.add(name)
        elif self.is_shipped(value):
            self.shipped.add(name)
        elif not self.is_live(value):
            self.constant.add(name)

    def forget(self, name: str) -> None:
        for known in (self.shipped, self.constant, self.pure):
            known.discard(name)

    def is_pure(self, function: ast.FunctionDef | ast.Lambda) -> bool:
        """Does a function work on what it is given, and on shipped values, alone?"""
        own = {arg.arg for arg in ast.walk(function.args) if isinstance(arg, ast.arg)}
        own |= {name.id for name in names_in(function, ast.Store)}
        own |= {getattr(function, "name", "")}
        known = own | self.pure | self.shipped | self.constant
        return not any(name.id not in known for name in self.free_names(function))

    def is_live(self, expression: ast.expr) -> bool:
        """Does something go into a value that is neither shipped nor constant?"""
        bound = {name.id for name in names_in(expression, ast.Store)}  # comprehensions' variables
        bound |= {arg.arg for arg in ast.walk(expression) if isinstance(arg, ast.arg)}
        known = bound | self.pure | self.shipped | self.constant | {"table"}
        return any(name.id not in known for name in self.free_names(expression))

    def is_shipped(self, expression: ast.expr) -> bool:
        """Does a value come from a table, and from nothing live?"""
        names = {name.id for name in names_in(expression, ast.Load)}
        return bool(names & (self.shipped | {"table"})) and not self.is_live(expression)

    def free_names(self, node: ast.AST) -> list[ast.Name]:
        """The names that are read in an expression, harmless modules left out."""
        harmless = {
            id(one.value)
            for one in ast.walk(node)
            if isinstance(one, ast.Attribute) and isinstance(one.value, ast.Name)
            if one.value.id in PURE_MODULES or (one.value.id, one.attr) in PURE_ATTRIBUTES
        }
        return [name for name in names_in(node, ast.Load) if id(name) not in harmless]


def names_in(node: ast.AST, context: type) -> Iterator[ast.Name]:
    return (
        one for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, context)
    )


def gather(cells: Iterable[NotebookNode]) -> Evidence:
    """Read the code cells of a notebook in their order."""
    evidence, tracer = Evidence(), Tracer()
    for n, cell in enumerate(cells, 1):
        if cell.cell_type != "code":
            continue
        try:
            tree = ast.parse(cell.source)
        except SyntaxError:
            continue  # lint.check_code says so
        for statement in tree.body:
            # The body of a loop or a condition assigns what it compares, so it is read before its
            # calls; an assignment's calls see the names as they were.
            compound = isinstance(statement, ast.For | ast.If | ast.While | ast.With)
            if compound:
                tracer.read([statement])
            for call in calls_in(statement):
                read_call(f"cell {n}", call, tracer, evidence)
            if not compound:
                tracer.read([statement])
    compare_predictions(evidence)
    return evidence


def calls_in(statement: ast.stmt) -> Iterator[ast.Call]:
    for node in ast.walk(statement):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node


def read_call(place: str, call: ast.Call, tracer: Tracer, evidence: Evidence) -> None:
    """Take down a call of `claim`, `reported`, `predict` or `resolve`."""
    name = call.func.id
    if name in ("claim", "reported") and len(call.args) >= 2:
        sentence, condition = call.args[:2]
        said = literal_text(sentence)
        if set(said.lower().replace(":", " ").replace(",", " ").split()) & {"your", "yours"}:
            evidence.faults.append(
                f'{place}: "{said}" praises an answer that may be blank; name the exercise instead.'
            )
        if name == "reported":
            evidence.reported += 1
            return
        evidence.live += 1
        if not tracer.is_live(condition):
            evidence.faults.append(
                f'{place}: "{said}" compares nothing computed here; use reported(..., table=...).'
            )
        for keyword in call.keywords:
            if keyword.arg == "band" and any(
                isinstance(node, ast.BinOp) for node in ast.walk(keyword.value)
            ):
                evidence.faults.append(f'{place}: the band of "{said}" is widened.')
    elif name == "predict" and call.args:
        options = call.args[2] if len(call.args) > 2 else None
        listed = isinstance(options, ast.List | ast.Tuple)
        texts = [literal_text(one) for one in options.elts] if listed else []
        key = literal_text(call.args[0])
        evidence.predictions[key], evidence.asked_in[key] = texts if all(texts) else [], place
    elif name == "resolve" and len(call.args) >= 2:
        key, answer = literal_text(call.args[0]), call.args[1]
        if key not in evidence.predictions:
            evidence.faults.append(f"{place}: resolve({key!r}) stands before its predict.")
        elif evidence.asked_in[key] == place:
            evidence.faults.append(f"{place}: {key!r} is asked and answered in one cell; split it.")
        evidence.resolved[key] = literal_text(answer) or None
        why = call.args[2] if len(call.args) > 2 else None
        reason = next((k.value for k in call.keywords if k.arg == "why"), why)
        text = literal_text(reason) if reason is not None else ""
        if reason is None or (text and len(text.split()) < FEWEST_WORDS):
            evidence.faults.append(f"{place}: resolve({key!r}) gives no reason.")


def literal_text(node: ast.expr) -> str:
    """The text that a literal spells, also of an f-string; "" of anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value for part in node.values if isinstance(part, ast.Constant))
    return ""


def compare_predictions(evidence: Evidence) -> None:
    """Every prediction has an answer, and the answer is one of its options."""
    for key, options in evidence.predictions.items():
        if key not in evidence.resolved:
            evidence.faults.append(f"predict({key!r}) is never resolved.")
        elif options and (answer := evidence.resolved[key]) and answer not in options:
            evidence.faults.append(f"resolve({key!r}): {answer!r} is none of the options.")
