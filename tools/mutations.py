"""A source with one thing changed: what a slip of the hand, or a wrong belief, makes of it.

    >>> made = mutations("def f(x):\\n    return x[1:]")
    >>> [mutant.source[-5:] for mutant in made if mutant.kind == "constant"]
    ['x[2:]', 'x[0:]', '[-1:]']

Why no library: the operators of cosmic-ray 8.7.0 are sound, but it brings 17 packages (aiohttp and
GitPython among them); mutmut 3.8.1 brings libcst and textual and reads a project's configuration
when imported; poodle 1.3.4 is small, but never looks inside an expression that it has changed, and
a formula is one expression. None of them leaves out a step or a bound, takes one name for another
or swaps two arguments. With `ast` all of it is this page.
"""

import ast
import copy
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

# no ** for *: whole numbers would grow until the machine stands still
OTHERS: dict[type, list[type]] = {
    ast.Add: [ast.Sub, ast.Mult],
    ast.Sub: [ast.Add, ast.Mult],
    ast.Mult: [ast.Div, ast.Add],
    ast.Div: [ast.Mult, ast.Sub],
    ast.FloorDiv: [ast.Div, ast.Mult],
    ast.Mod: [ast.FloorDiv],
    ast.Pow: [ast.Mult],
    ast.MatMult: [ast.Mult],
    ast.BitAnd: [ast.BitOr, ast.BitXor],
    ast.BitOr: [ast.BitAnd, ast.BitXor],
    ast.BitXor: [ast.BitOr],
    ast.Lt: [ast.LtE, ast.GtE, ast.Gt],
    ast.LtE: [ast.Lt, ast.Gt, ast.GtE],
    ast.Gt: [ast.GtE, ast.LtE, ast.Lt],
    ast.GtE: [ast.Gt, ast.Lt, ast.LtE],
    ast.Eq: [ast.NotEq, ast.LtE, ast.GtE],
    ast.NotEq: [ast.Eq, ast.Lt, ast.Gt],
    ast.In: [ast.NotIn],
    ast.NotIn: [ast.In],
    ast.Is: [ast.IsNot],
    ast.IsNot: [ast.Is],
    ast.And: [ast.Or],
    ast.Or: [ast.And],
}
ONE_SIDED = ast.Sub | ast.Div | ast.FloorDiv | ast.Mod | ast.Pow | ast.MatMult
TWINS = [
    "sum mean",
    "sum prod",
    "min max",
    "argmin argmax",
    "amin amax",
    "any all",
    "sin cos",
    "tril triu",
    "exp log",
    "softmax log_softmax",
    "floor ceil",
    "cumsum cumprod",
    "zeros ones",
    "lower upper",
    "startswith endswith",
    "mean median",
    "square sqrt",
    "sigmoid tanh",
    "stack cat",
    "append extend",
]
TWIN = {
    name: [one for pair in TWINS if name in pair.split() for one in pair.split() if one != name]
    for pair in TWINS
    for name in pair.split()
}
MODULES = {"torch", "math", "F", "nn", "np"}
NOT_DROPPED = (
    ast.FunctionDef
    | ast.ClassDef
    | ast.Import
    | ast.ImportFrom
    | ast.Pass
    | ast.Nonlocal
    | ast.Global
)
MOST_NAMES = 2  # that a name is taken for, the next ones after it
Change = tuple[str, ast.AST]  # what kind it is, what stands there instead


@dataclass(frozen=True)
class Mutant:
    """A source with one thing changed, and what kind of thing."""

    kind: str
    source: str
    original: str


def mutations(source: str) -> list[Mutant]:
    """All that one change makes of a source, each once.

    Nothing is changed in docstrings, annotations and imports.
    """
    tree = ast.parse(source)
    original, names, found = ast.unparse(tree), names_of(tree), {}
    for holder, key, parent in list(places(tree)):
        kept = holder[key]
        for kind, other in changes(kept, parent, names):
            holder[key] = ast.fix_missing_locations(other)
            found.setdefault(ast.unparse(tree), kind)
        holder[key] = kept
    return [
        Mutant(kind, text, source)
        for text, kind in found.items()
        if text != original and compiles(text)
    ]


def compiles(source: str) -> bool:
    try:
        with warnings.catch_warnings(action="ignore"):
            compile(source, "<mutant>", "exec")
    except SyntaxError:
        return False
    return True


def names_of(tree: ast.AST) -> list[str]:
    """Parameters and variables, of which one may be taken for another."""
    inner = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.comprehension)
        for part in ast.walk(node.target)
    }
    found = [
        node.arg for node in ast.walk(tree) if isinstance(node, ast.arg) and node.arg != "self"
    ]
    found += [
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and id(node) not in inner
    ]
    return list(dict.fromkeys(found))


# -- where something can be changed -------------------------------------------------------------


def places(node: ast.AST) -> Iterator[tuple[Any, Any, ast.AST]]:
    """Everything below a node, as where it is kept, holder[key], and whose part it is."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "ctx"):
            continue
        spots = (
            [(value, i) for i in range(len(value))]
            if isinstance(value, list)
            else [(vars(node), name)]
        )
        for holder, key in spots:
            if isinstance(holder[key], ast.AST) and not is_docstring(holder[key]):
                yield holder, key, node
                yield from places(holder[key])


def is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def is_condition(node: ast.AST, parent: ast.AST) -> bool:
    return node is getattr(parent, "test", None) or any(
        node is test for test in getattr(parent, "ifs", [])
    )


def is_bound(node: ast.AST, parent: ast.AST) -> bool:
    """Does it say where something begins or ends?"""
    loop = isinstance(parent, ast.Call) and getattr(
        parent.func, "id", getattr(parent.func, "attr", "")
    ) in (
        "range",
        "arange",
    )
    return not isinstance(node, ast.Constant) and (
        isinstance(parent, ast.Slice) or loop and node in parent.args
    )


def changes(node: ast.AST, parent: ast.AST, names: list[str]) -> Iterator[Change]:
    """What may stand there instead."""
    if isinstance(node, ast.stmt):
        yield from statement_changes(node, parent)
    if is_condition(node, parent):
        yield "condition", ast.UnaryOp(ast.Not(), node)
        if not isinstance(parent, ast.While):
            yield from (("condition", ast.Constant(value)) for value in (True, False))
    if is_bound(node, parent):
        yield from (
            ("bound", ast.BinOp(node, op, ast.Constant(1))) for op in (ast.Add(), ast.Sub())
        )
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in names:
        first = names.index(node.id) + 1
        nearest = [*names[first:], *names[: first - 1]][:MOST_NAMES]
        yield from (("name", ast.Name(other, ast.Load())) for other in nearest)
    signed = isinstance(parent, ast.UnaryOp)  # --1 is what leaving out the sign makes
    if kind := CHANGES.get(type(node)):
        yield from (
            change for change in kind(node) if not (signed and isinstance(change[1], ast.UnaryOp))
        )


# -- what may stand there instead ---------------------------------------------------------------


def copy_with(node: ast.AST, **parts: Any) -> Any:
    """A copy with other parts."""
    made = copy.copy(node)
    for name, part in parts.items():
        setattr(made, name, part)
    return made


def drop_at(items: list, i: int) -> list:
    return [*items[:i], *items[i + 1 :]]


def swap_at(items: list, i: int) -> list:
    return [*items[:i], items[i + 1], items[i], *items[i + 2 :]]


def statement_changes(node: ast.stmt, parent: ast.AST) -> Iterator[Change]:
    last = isinstance(parent, ast.FunctionDef) and node is parent.body[-1]
    if not isinstance(node, NOT_DROPPED) and not (
        last and isinstance(node, ast.Return)
    ):  # which returns None: too easy
        yield "dropped line", ast.Pass()
    if isinstance(node, ast.Continue | ast.Break):
        yield "operator", ast.Break() if isinstance(node, ast.Continue) else ast.Continue()
    if isinstance(node, ast.If) and node.orelse:
        yield "dropped line", copy_with(node, orelse=[])


def loop_changes(node: ast.For | ast.comprehension) -> Iterator[Change]:
    """One round less, at either end."""
    every = ast.Call(ast.Name("list", ast.Load()), [node.iter], [])
    for ends in (
        ast.Slice(lower=ast.Constant(1)),
        ast.Slice(upper=ast.UnaryOp(ast.USub(), ast.Constant(1))),
    ):
        yield "loop", copy_with(node, iter=ast.Subscript(every, ends, ast.Load()))


def assignment_changes(node: ast.AugAssign) -> Iterator[Change]:
    yield "operator", ast.Assign([node.target], node.value)
    yield from (("operator", copy_with(node, op=op())) for op in OTHERS.get(type(node.op), []))


def operation_changes(node: ast.BinOp) -> Iterator[Change]:
    yield from (("operator", copy_with(node, op=op())) for op in OTHERS.get(type(node.op), []))
    yield from (("dropped step", side) for side in (node.left, node.right))
    if isinstance(node.op, ONE_SIDED):
        yield "swapped", copy_with(node, left=node.right, right=node.left)


def comparison_changes(node: ast.Compare) -> Iterator[Change]:
    for i, op in enumerate(node.ops):
        for other in OTHERS.get(type(op), []):
            yield "operator", copy_with(node, ops=[*node.ops[:i], other(), *node.ops[i + 1 :]])


def logic_changes(node: ast.BoolOp) -> Iterator[Change]:
    yield from (("operator", copy_with(node, op=op())) for op in OTHERS[type(node.op)])
    for i in range(len(node.values)):
        rest = drop_at(node.values, i)
        yield "dropped step", copy_with(node, values=rest) if len(rest) > 1 else rest[0]


def sign_changes(node: ast.UnaryOp) -> Iterator[Change]:
    yield "operator", node.operand


def constant_changes(node: ast.Constant) -> Iterator[Change]:
    """A number one larger, one smaller, with the other sign, none: so an axis becomes another."""
    value = node.value
    if isinstance(value, bool):
        others = [not value]
    elif isinstance(value, int):
        others = [value + 1, value - 1, -value, 0]
    elif isinstance(value, float):
        others = [2 * value, value / 2, -value] if value else [1.0]
    elif isinstance(value, str):
        others = ["", f"X{value}"] if value else ["X"]
    else:
        others = []
    for other in others:
        sign = isinstance(other, int | float) and other < 0
        yield (
            "constant",
            ast.UnaryOp(ast.USub(), ast.Constant(-other)) if sign else ast.Constant(other),
        )


def call_changes(node: ast.Call) -> Iterator[Change]:
    """A step left out, an argument left out, two swapped, a function taken for its twin."""
    args, named = node.args, isinstance(node.func, ast.Attribute)
    method = named and getattr(node.func.value, "id", "") not in MODULES
    if method:
        yield "dropped step", node.func.value
    if args and not isinstance(args[0], ast.Starred):
        yield "dropped step", args[0]
    if len(args) + method > 1:
        yield from (
            ("dropped argument", copy_with(node, args=drop_at(args, i))) for i in range(len(args))
        )
    yield from (
        ("dropped argument", copy_with(node, keywords=drop_at(node.keywords, i)))
        for i in range(len(node.keywords))
    )
    yield from (("swapped", copy_with(node, args=swap_at(args, i))) for i in range(len(args) - 1))
    for twin in TWIN.get(node.func.attr if named else getattr(node.func, "id", ""), []):
        yield (
            "twin",
            copy_with(
                node, func=copy_with(node.func, attr=twin) if named else ast.Name(twin, ast.Load())
            ),
        )


def slice_changes(node: ast.Slice) -> Iterator[Change]:
    yield from (
        ("bound", copy_with(node, **{end: None}))
        for end in ("lower", "upper", "step")
        if getattr(node, end)
    )


def subscript_changes(node: ast.Subscript) -> Iterator[Change]:
    if isinstance(node.ctx, ast.Load):
        yield "dropped step", node.value


def tuple_changes(node: ast.Tuple) -> Iterator[Change]:
    yield from (
        ("swapped", copy_with(node, elts=swap_at(node.elts, i))) for i in range(len(node.elts) - 1)
    )


CHANGES: dict[type, Any] = {
    ast.AugAssign: assignment_changes,
    ast.For: loop_changes,
    ast.comprehension: loop_changes,
    ast.BinOp: operation_changes,
    ast.Compare: comparison_changes,
    ast.BoolOp: logic_changes,
    ast.UnaryOp: sign_changes,
    ast.Constant: constant_changes,
    ast.Call: call_changes,
    ast.Slice: slice_changes,
    ast.Subscript: subscript_changes,
    ast.Tuple: tuple_changes,
}
