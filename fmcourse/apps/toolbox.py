"""Tools that ship: a calculator, a calendar, units, and a search over articles."""

import ast
import math
import operator
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Any, Literal, Protocol

from fmcourse.apps.tools import Tool, make_tool

# -- calculator -----------------------------------------------------------------------------------

LONGEST_EXPRESSION, MOST_BITS = 200, 4096
OPERATORS: dict[type, Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Pow: operator.pow,
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}
SIGNS = str.maketrans({"×": "*", "÷": "/", "−": "-"})


def calculator(expression: str) -> str:
    """Compute an arithmetic expression, such as (12 + 3) * 4 / 5.

    Args:
        expression: numbers, brackets, and + - * / // **.
    Raises: ValueError for anything else, division by zero, or a number that grows too large.
    """
    if len(expression) > LONGEST_EXPRESSION:
        raise ValueError(f"an expression has at most {LONGEST_EXPRESSION} characters.")
    try:
        tree = ast.parse(expression.translate(SIGNS).strip(), mode="eval")
    except (SyntaxError, RecursionError, MemoryError):  # many brackets
        raise ValueError(f"{expression!r} is no arithmetic; write it as in 2 * (3 + 4).") from None
    try:
        return format_value(evaluate(tree.body))
    except OverflowError:
        raise ValueError(f"{expression} is too large for a fraction.") from None


def evaluate(node: ast.AST) -> int | float:
    """The value of a parsed expression; only what stands in OPERATORS is computed."""
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        value = node.value
    elif isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        left, right = evaluate(node.left), evaluate(node.right)
        if isinstance(node.op, ast.Pow):
            # Before any of its digits is computed.
            check_size(ast.unparse(node), abs(right) * math.log2(abs(left) + 1))
        try:
            value = OPERATORS[type(node.op)](left, right)
        except ZeroDivisionError:
            raise ValueError(f"{ast.unparse(node):.60} divides by zero.") from None
    elif isinstance(node, ast.UnaryOp) and type(node.op) in OPERATORS:
        value = OPERATORS[type(node.op)](evaluate(node.operand))
    else:
        raise ValueError(
            f"{ast.unparse(node)!r:.60} is not known here; use numbers, brackets and "
            "+ - * / // **. (15 % of 80 is 15 / 100 * 80; a thousand is 1000.)"
        )
    if isinstance(value, int):
        check_size(value, value.bit_length())
    elif isinstance(value, complex) or not math.isfinite(value):
        raise ValueError(f"{ast.unparse(node):.60} is no finite number.")
    return value


def check_size(what: object, bits: float) -> None:
    """Raises: ValueError for a whole number that would take long to compute or to write."""
    if bits > MOST_BITS:
        raise ValueError(f"{what!s:.40} has too many digits.")


def format_value(value: float) -> str:
    """Twelve digits of a fraction; a whole number as it is.

    >>> format_value(0.1 + 0.2), format_value(21.0), format_value(10**30)
    ('0.3', '21', '1000000000000000000000000000000')
    """
    return str(value) if isinstance(value, int) else f"{value:.12g}"


# -- calendar -------------------------------------------------------------------------------------


def calendar(day: str, days: int = 0) -> str:
    """The date and day of the week a number of days after a date.

    Args:
        day: a date as YYYY-MM-DD.
        days: how many days later; negative is earlier.
    Raises: ValueError for what is no date.
    """
    try:
        found = parse_date(day) + timedelta(days=days)
    except OverflowError:
        raise ValueError("the calendar goes from the year 1 to 9999.") from None
    return f"{found.isoformat()} is a {found:%A}"


def days_between(first: str, second: str) -> str:
    """The number of days from one date to another; negative if the second is earlier.

    Args:
        first, second: dates as YYYY-MM-DD.
    Raises: ValueError for what is no date.
    """
    return str((parse_date(second) - parse_date(first)).days)


def parse_date(text: str) -> date:
    try:
        return date.fromisoformat(text.strip())
    except ValueError as error:
        raise ValueError(f"{text!r:.40} is no date as YYYY-MM-DD ({error}).") from None


# -- units ----------------------------------------------------------------------------------------

Unit = Literal[
    *("cm", "m", "km", "inch", "foot", "mile", "g", "kg", "ounce", "pound"),
    *("liter", "gallon", "celsius", "fahrenheit"),
]
# One of each in metres, grams, litres, kelvin. Those of other than metric units are exact by law
# (NIST Handbook 44, appendix C); the gallon is that of the United States.
FACTORS = {
    "length": {
        **{"cm": 0.01, "m": 1.0, "km": 1000.0},
        **{"inch": 0.0254, "foot": 0.3048, "mile": 1609.344},
    },
    "mass": {"g": 1.0, "kg": 1000.0, "ounce": 28.349523125, "pound": 453.59237},
    "volume": {"liter": 1.0, "gallon": 3.785411784},
    "temperature": {"celsius": 1.0, "fahrenheit": 5 / 9},
}
ZEROS = {"celsius": 273.15, "fahrenheit": 273.15 - 32 * 5 / 9}  # where the scale has 0, in kelvin


def convert(value: float, unit: Unit, to: Unit) -> str:
    """Convert a value from one unit to another.

    Args:
        unit: of the value.
        to: the unit that is asked for.
    Raises: ValueError for units of different quantities.
    """
    for quantity in FACTORS.values():
        if unit in quantity and to in quantity:
            base = value * quantity[unit] + ZEROS.get(unit, 0.0)
            return f"{format_value((base - ZEROS.get(to, 0.0)) / quantity[to])} {to}"
    raise ValueError(f"{unit} cannot be converted to {to}; they measure different things.")


# -- search ---------------------------------------------------------------------------------------


class Titled(Protocol):
    """What can be searched: `fmcourse.data.Article`, for example."""

    title: str
    text: str


def search_tool(
    articles: Sequence[Titled], rank: Callable[[str, int], Sequence[int]], results: int = 1
) -> Tool:
    """A tool that finds articles and returns their texts.

    Args:
        rank: (query, k) -> positions of the k best articles, as `BM25(texts).rank` does.
        results: how many articles a search returns.
    """

    def search(query: str) -> str:
        """Search the encyclopedia and return what it says.

        Args:
            query: a few words on what is to be found.
        """
        found = [articles[n] for n in rank(query, results)]
        return "\n".join(f"{article.title}: {article.text}" for article in found) or "nothing found"

    return make_tool(search)  # not trusted: anybody may have written the articles


CALCULATOR = make_tool(calculator, trusted=True)
CALENDAR = make_tool(calendar, trusted=True)
DAYS_BETWEEN = make_tool(days_between, trusted=True)
CONVERT = make_tool(convert, trusted=True)
TOOLS = (CALCULATOR, CALENDAR, DAYS_BETWEEN, CONVERT)
