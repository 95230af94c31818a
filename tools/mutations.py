"""A source with one thing changed: what a slip of the hand, or a wrong belief, makes of it.

    >>> [mutant.source for mutant in mutations("def f(x):\\n    return x[1:]") if mutant.kind == "constant"]
    ['def f(x):\\n    return x[2:]', 'def f(x):\\n    return x[0:]', 'def f(x):\\n    return x[-1:]']

Why no library: the operators of cosmic-ray 8.7.0 are sound, but it brings 17 packages (aiohttp and GitPython among them);
mutmut 3.8.1 brings libcst and textual and reads a project's configuration when imported; poodle 1.3.4 is small, but never
looks inside an expression that it has changed, and a formula is one expression. None of them leaves out a step or a bound,
takes one name for another or swaps two arguments. With `ast` all of it is this page.
"""

import ast
import copy
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

OTHERS: dict[type, list[type]] = {  # no ** for *: whole numbers would grow until the machine stands still
    ast.Add: [ast.Sub, ast.Mult], ast.Sub: [ast.Add, ast.Mult], ast.Mult: [ast.Div, ast.Add], ast.Div: [ast.Mult, ast.Sub],
    ast.FloorDiv: [ast.Div, ast.Mult], ast.Mod: [ast.FloorDiv], ast.Pow: [ast.Mult], ast.MatMult: [ast.Mult],
    ast.BitAnd: [ast.BitOr, ast.BitXor], ast.BitOr: [ast.BitAnd, ast.BitXor], ast.BitXor: [ast.BitOr],
    ast.Lt: [ast.LtE, ast.GtE, ast.Gt], ast.LtE: [ast.Lt, ast.Gt, ast.GtE],
    ast.Gt: [ast.GtE, ast.LtE, ast.Lt], ast.GtE: [ast.Gt, ast.Lt, ast.LtE],
    ast.Eq: [ast.NotEq, ast.LtE, ast.GtE], ast.NotEq: [ast.Eq, ast.Lt, ast.Gt],
    ast.In: [ast.NotIn], ast.NotIn: [ast.In], ast.Is: [ast.IsNot], ast.IsNot: [ast.Is],
    ast.And: [ast.Or], ast.Or: [ast.And],
}  # fmt: skip
ONE_SIDED = ast.Sub | ast.Div | ast.FloorDiv | ast.Mod | ast.Pow | ast.MatMult
TWINS = [
    "sum mean", "sum prod", "min max", "argmin argmax", "amin amax", "any all", "sin cos", "tril triu", "exp log",
    "softmax log_softmax", "floor ceil", "cumsum cumprod", "zeros ones", "lower upper", "startswith endswith",
    "mean median", "square sqrt", "sigmoid tanh", "stack cat", "append extend",
]  # fmt: skip
TWIN = {name: [one for pair in TWINS if name in pair.split() for one in pair.split() if one != name]
        for pair in TWINS for name in pair.split()}  # fmt: skip
MODULES = {"torch", "math", "F", "nn", "np"}
KEPT = ast.FunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom | ast.Pass | ast.Nonlocal | ast.Global
MOST_NAMES = 2  # that a name is taken for, the next ones after it
Change = tuple[str, ast.AST]  # what kind it is, what stands there instead


@dataclass(frozen=True)
class Mutant:
    """A source with one thing changed, and what kind of thing."""

    kind: str
    source: str
    original: str


def mutations(source: str) -> list[Mutant]:
    """All that one change makes of a source, each once; nothing in docstrings, annotations and imports."""
    tree = ast.parse(source)
    original, names, found = ast.unparse(tree), names_of(tree), {}
    for holder, key, parent in list(places(tree)):
        kept = holder[key]
        for kind, other in changes(kept, parent, names):
            holder[key] = ast.fix_missing_locations(other)
            found.setdefault(ast.unparse(tree), kind)
        holder[key] = kept
    return [Mutant(kind, text, source) for text, kind in found.items() if text != original and compiles(text)]


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
        id(part) for node in ast.walk(tree) if isinstance(node, ast.comprehension) for part in ast.walk(node.target)
    }
    found = [node.arg for node in ast.walk(tree) if isinstance(node, ast.arg) and node.arg != "self"]
    found += [node.id for node in ast.walk(tree)
              if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and id(node) not in inner]  # fmt: skip
    return list(dict.fromkeys(found))


# -- where something can be changed ---------------------------------------------------------------------------------------


def places(node: ast.AST) -> Iterator[tuple[Any, Any, ast.AST]]:
    """Everything below a node, as where it is kept, holder[key], and whose part it is."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "ctx"):
            continue
        spots = [(value, i) for i in range(len(value))] if isinstance(value, list) else [(vars(node), name)]
        for holder, key in spots:
            if isinstance(holder[key], ast.AST) and not is_docstring(holder[key]):
                yield holder, key, node
                yield from places(holder[key])


def is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def is_condition(node: ast.AST, parent: ast.AST) -> bool:
    return node is getattr(parent, "test", None) or any(node is test for test in getattr(parent, "ifs", []))


def is_bound(node: ast.AST, parent: ast.AST) -> bool:
    """Does it say where something begins or ends?"""
    loop = isinstance(parent, ast.Call) and getattr(parent.func, "id", getattr(parent.func, "attr", "")) in (
        "range",
        "arange",
    )
    return not isinstance(node, ast.Constant) and (isinstance(parent, ast.Slice) or loop and node in parent.args)


def changes(node: ast.AST, parent: ast.AST, names: list[str]) -> Iterator[Change]:
    """What may stand there instead."""
    if isinstance(node, ast.stmt):
        yield from of_statement(node, parent)
    if is_condition(node, parent):
        yield "condition", ast.UnaryOp(ast.Not(), node)
        if not isinstance(parent, ast.While):
            yield from (("condition", ast.Constant(value)) for value in (True, False))
    if is_bound(node, parent):
        yield from (("bound", ast.BinOp(node, op, ast.Constant(1))) for op in (ast.Add(), ast.Sub()))
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in names:
        first = names.index(node.id) + 1
        nearest = [*names[first:], *names[: first - 1]][:MOST_NAMES]
        yield from (("name", ast.Name(other, ast.Load())) for other in nearest)
    signed = isinstance(parent, ast.UnaryOp)  # --1 is what leaving out the sign makes
    if kind := KINDS.get(type(node)):
        yield from (change for change in kind(node) if not (signed and isinstance(change[1], ast.UnaryOp)))


# -- what may stand there instead -----------------------------------------------------------------------------------------


def with_(node: ast.AST, **parts: Any) -> Any:
    """A copy with other parts."""
    made = copy.copy(node)
    for name, part in parts.items():
        setattr(made, name, part)
    return made


def without(items: list, i: int) -> list:
    return [*items[:i], *items[i + 1 :]]


def exchanged(items: list, i: int) -> list:
    return [*items[:i], items[i + 1], items[i], *items[i + 2 :]]


def of_statement(node: ast.stmt, parent: ast.AST) -> Iterator[Change]:
    last = isinstance(parent, ast.FunctionDef) and node is parent.body[-1]
    if not isinstance(node, KEPT) and not (last and isinstance(node, ast.Return)):  # which returns None: too easy
        yield "dropped line", ast.Pass()
    if isinstance(node, ast.Continue | ast.Break):
        yield "operator", ast.Break() if isinstance(node, ast.Continue) else ast.Continue()
    if isinstance(node, ast.If) and node.orelse:
        yield "dropped line", with_(node, orelse=[])


def of_loop(node: ast.For | ast.comprehension) -> Iterator[Change]:
    """One round less, at either end."""
    every = ast.Call(ast.Name("list", ast.Load()), [node.iter], [])
    for ends in (ast.Slice(lower=ast.Constant(1)), ast.Slice(upper=ast.UnaryOp(ast.USub(), ast.Constant(1)))):
        yield "loop", with_(node, iter=ast.Subscript(every, ends, ast.Load()))


def of_assignment(node: ast.AugAssign) -> Iterator[Change]:
    yield "operator", ast.Assign([node.target], node.value)
    yield from (("operator", with_(node, op=op())) for op in OTHERS.get(type(node.op), []))


def of_operation(node: ast.BinOp) -> Iterator[Change]:
    yield from (("operator", with_(node, op=op())) for op in OTHERS.get(type(node.op), []))
    yield from (("dropped step", side) for side in (node.left, node.right))
    if isinstance(node.op, ONE_SIDED):
        yield "swapped", with_(node, left=node.right, right=node.left)


def of_comparison(node: ast.Compare) -> Iterator[Change]:
    for i, op in enumerate(node.ops):
        for other in OTHERS.get(type(op), []):
            yield "operator", with_(node, ops=[*node.ops[:i], other(), *node.ops[i + 1 :]])


def of_logic(node: ast.BoolOp) -> Iterator[Change]:
    yield from (("operator", with_(node, op=op())) for op in OTHERS[type(node.op)])
    for i in range(len(node.values)):
        rest = without(node.values, i)
        yield "dropped step", with_(node, values=rest) if len(rest) > 1 else rest[0]


def of_sign(node: ast.UnaryOp) -> Iterator[Change]:
    yield "operator", node.operand


def of_constant(node: ast.Constant) -> Iterator[Change]:
    """A number one larger, one smaller, with the other sign, none at all; so an axis becomes another axis."""
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
        yield "constant", ast.UnaryOp(ast.USub(), ast.Constant(-other)) if sign else ast.Constant(other)


def of_call(node: ast.Call) -> Iterator[Change]:
    """A step left out, an argument left out, two swapped, a function taken for its twin."""
    args, named = node.args, isinstance(node.func, ast.Attribute)
    method = named and getattr(node.func.value, "id", "") not in MODULES
    if method:
        yield "dropped step", node.func.value
    if args and not isinstance(args[0], ast.Starred):
        yield "dropped step", args[0]
    if len(args) + method > 1:
        yield from (("dropped argument", with_(node, args=without(args, i))) for i in range(len(args)))
    yield from (
        ("dropped argument", with_(node, keywords=without(node.keywords, i))) for i in range(len(node.keywords))
    )
    yield from (("swapped", with_(node, args=exchanged(args, i))) for i in range(len(args) - 1))
    for twin in TWIN.get(node.func.attr if named else getattr(node.func, "id", ""), []):
        yield "twin", with_(node, func=with_(node.func, attr=twin) if named else ast.Name(twin, ast.Load()))


def of_slice(node: ast.Slice) -> Iterator[Change]:
    yield from (("bound", with_(node, **{end: None})) for end in ("lower", "upper", "step") if getattr(node, end))


def of_subscript(node: ast.Subscript) -> Iterator[Change]:
    if isinstance(node.ctx, ast.Load):
        yield "dropped step", node.value


def of_tuple(node: ast.Tuple) -> Iterator[Change]:
    yield from (("swapped", with_(node, elts=exchanged(node.elts, i))) for i in range(len(node.elts) - 1))


KINDS: dict[type, Any] = {
    ast.AugAssign: of_assignment, ast.For: of_loop, ast.comprehension: of_loop, ast.BinOp: of_operation,
    ast.Compare: of_comparison, ast.BoolOp: of_logic, ast.UnaryOp: of_sign, ast.Constant: of_constant, ast.Call: of_call,
    ast.Slice: of_slice, ast.Subscript: of_subscript, ast.Tuple: of_tuple,
}  # fmt: skip
