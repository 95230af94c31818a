"""Tools for a language model: typed Python functions, their schemas, and calls as text.

A tool call is one JSON object, `{"tool": "calculator", "arguments": {"expression": "6 * 7"}}`. What
a model writes is checked against the tool's schema before anything runs. JSON: RFC 8259; the
schemas: JSON Schema, as other libraries and the Model Context Protocol use it.
"""

import ctypes
import difflib
import inspect
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Thread
from typing import Any, Literal, get_args, get_origin, get_type_hints

Confirm = Literal["never", "tainted", "always"]

TYPE_NAMES = {str: "string", int: "integer", float: "number", bool: "boolean"}
PYTHON_TYPES = {
    "string": str,
    "integer": int,
    "number": int | float,
    "boolean": bool,
    "array": list,
    "object": dict,
}


class CallError(ValueError):
    """A call that is not run, or that failed; the sentence is for the model to read.

    `kind`: "format" (not such a JSON object), "tool" (no such tool), "arguments" (missing, unknown
    or of the wrong type), "raised" or "timeout" (the tool itself), and those that the agent adds.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


# -- tools ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Parameter:
    """One argument of a tool; `schema` is its JSON Schema, such as {"type": "integer"}."""

    name: str
    schema: dict[str, Any]
    description: str = ""
    required: bool = True

    def __str__(self) -> str:
        choices = self.schema.get("enum")
        kind = " | ".join(map(json.dumps, choices)) if choices else self.schema.get("type", "any")
        return f"{self.name}: {kind}" + ("" if self.required else " (optional)")


@dataclass(frozen=True)
class Tool:
    """A function that a language model may call, and what it is told of it.

    trusted: whether results may be taken for the program's own words. Only for tools that compute
        them from their arguments: a calculator, not a search. Other results taint what follows.
    confirm: whether a person must agree to each call: "never", "always", or only if text from an
        untrusted tool was read before ("tainted"), since that text may have asked for the call.
    """

    name: str
    description: str
    parameters: tuple[Parameter, ...]
    function: Callable[..., Any] = field(repr=False)
    trusted: bool = False
    confirm: Confirm = "never"

    def __post_init__(self) -> None:
        if self.confirm not in get_args(Confirm):
            raise ValueError(
                f"confirm={self.confirm!r} is not known; choose 'never', 'tainted' or 'always'."
            )
        if not re.fullmatch(r"[\w./-]{1,128}", self.name, re.ASCII):  # as in the MCP
            raise ValueError(
                f"{self.name!r:.140} is no name for a tool; take at most 128 of A-Z, a-z, 0-9 and "
                "_ - . /"
            )

    def __str__(self) -> str:
        """The line by which a prompt describes the tool."""
        return f"{self.name}({', '.join(map(str, self.parameters))}): {self.description}"

    def schema(self) -> dict[str, Any]:
        """JSON Schema of the arguments."""
        properties = {
            parameter.name: parameter.schema
            | ({"description": parameter.description} if parameter.description else {})
            for parameter in self.parameters
        }
        required = [parameter.name for parameter in self.parameters if parameter.required]
        return {
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": False,
        }


def make_tool(
    function: Callable[..., Any], *, trusted: bool = False, confirm: Confirm = "never"
) -> Tool:
    """A tool out of a typed function: name, types and description from signature and docstring.

    The first paragraph of the docstring tells the model what the tool does, "Args:" what each
    parameter means. Types: str, int, float, bool, or Literal of texts; a default makes it optional.

    Args:
        trusted, confirm: see `Tool`.
    Raises: ValueError for a function without docstring, or a parameter whose type is missing,
        unknown, or that cannot be passed by name.

    >>> def roll(sides: int) -> int:
    ...     '''Roll a die.
    ...
    ...     Args:
    ...         sides: how many sides it has.
    ...     '''
    ...     return 4
    >>> print(make_tool(roll), make_tool(roll).schema()["properties"])
    roll(sides: integer): Roll a die. {'sides': {'type': 'integer', 'description': 'how many sides it has.'}}
    """  # noqa: E501 (what a schema looks like, whole)
    name, text = function.__name__, inspect.getdoc(function)
    if not text:
        raise ValueError(f"{name} has no docstring; say in one what the tool does and returns.")
    described = describe_parameters(text)
    hints, parameters = get_type_hints(function), []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise ValueError(f"{name} takes {parameter}, which no call can name; spell it out.")
        schema = type_schema(name, parameter.name, hints.get(parameter.name))
        required = parameter.default is parameter.empty
        description = described.pop(parameter.name, "")
        parameters.append(Parameter(parameter.name, schema, description, required))
    if described:
        raise ValueError(f"{name} describes {', '.join(described)}, which it does not take.")
    summary = " ".join(text.split("\n\n")[0].split())
    return Tool(name, summary, tuple(parameters), function, trusted, confirm)


def type_schema(function: str, parameter: str, hint: Any) -> dict[str, Any]:
    """JSON Schema of a type. Raises: ValueError for one that a model cannot write."""
    choices = list(get_args(hint)) if get_origin(hint) is Literal else []
    if choices and all(isinstance(choice, str) for choice in choices):
        return {"type": "string", "enum": choices}
    if hint in TYPE_NAMES:
        return {"type": TYPE_NAMES[hint]}
    given = "no type" if hint is None else f"the type {hint}"
    raise ValueError(
        f"parameter {parameter} of {function} has {given}; give it str, int, float, bool, or "
        "Literal of texts."
    )


def describe_parameters(docstring: str) -> dict[str, str]:
    """What the "Args:" of a docstring says of each parameter.

    >>> describe_parameters("Add.\\n\\nArgs:\\n    a, b: numbers\\n        to add.\\n")
    {'a': 'numbers to add.', 'b': 'numbers to add.'}
    """
    found: dict[str, str] = {}
    names: list[str] = []
    for line in docstring.partition("Args:\n")[2].splitlines():
        if line.strip() and not line.startswith(" "):
            break  # the next section
        if start := re.match(r" {4}(\w+(?:, \w+)*): (.*)", line):
            names = start[1].split(", ")
            found |= dict.fromkeys(names, start[2])
        else:
            found |= {name: f"{found[name]} {line.strip()}".strip() for name in names}
    return found


# -- calls ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ToolCall:
    """A call that fits its tool's schema; as text, the JSON object that a model writes."""

    tool: Tool
    arguments: dict[str, Any]

    def __str__(self) -> str:
        call = {"tool": self.tool.name, "arguments": self.arguments}
        return json.dumps(call, ensure_ascii=False)


def parse_call(text: str, tools: Mapping[str, Tool]) -> tuple[ToolCall, str]:
    """The call at the beginning of a text, and what follows it.

    Raises: CallError, whose sentence says what was written and what is expected.
    """
    call, end = read_object(text)
    if set(call) != {"tool", "arguments"} or not isinstance(call["arguments"], dict):
        raise CallError(
            "format",
            f"the call has the keys {', '.join(map(repr, call)) or 'of nothing'}; it must be "
            '{"tool": NAME, "arguments": {...}}.',
        )
    tool = find_tool(call["tool"], tools)
    check_arguments(tool, call["arguments"])
    given = call["arguments"]  # in the order of the parameters: equal calls have equal texts
    arguments = {each.name: given[each.name] for each in tool.parameters if each.name in given}
    return ToolCall(tool, arguments), text[end:]


def read_object(text: str) -> tuple[dict[str, Any], int]:
    """The JSON object at the beginning of a text, and where it ends. Raises: CallError."""
    start = len(text) - len(text.lstrip())
    decoder = json.JSONDecoder(object_pairs_hook=unique_keys, parse_constant=refuse_constant)
    try:
        found, end = decoder.raw_decode(text, start)
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits; 5,000 brackets
        given = " ".join(text.split())
        raise CallError("format", f"{given!r:.80} is not one JSON object ({error}).") from None
    if not isinstance(found, dict):
        raise CallError("format", f"{found!r:.60} is no JSON object; a call begins with {{.")
    return found, end


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A dict of the pairs. Raises: ValueError for a key that stands twice: which one was meant?"""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")  # Python would read NaN and Infinity


def find_tool(name: Any, tools: Mapping[str, Tool]) -> Tool:
    """The tool of that name. Raises: CallError naming those that there are."""
    if isinstance(name, str) and name in tools:
        return tools[name]
    close = difflib.get_close_matches(name, tools, 1) if isinstance(name, str) else []
    hint = f" Did you mean {close[0]}?" if close else ""
    raise CallError(
        "tool", f"there is no tool {name!r:.60}; there are {', '.join(tools) or 'none'}.{hint}"
    )


def check_arguments(tool: Tool, arguments: Mapping[str, Any]) -> None:
    """Raises: CallError naming the argument that is missing, unknown, or of the wrong type."""
    known = {parameter.name: parameter for parameter in tool.parameters}
    if unknown := [name for name in arguments if name not in known]:
        raise CallError(
            "arguments", f"{tool.name} takes no {unknown[0]!r:.60}; write {tool_signature(tool)}."
        )
    for name, parameter in known.items():
        if name in arguments:
            check_argument(tool, parameter, arguments[name])
        elif parameter.required:
            raise CallError(
                "arguments", f"{tool.name} needs {name!r}; write {tool_signature(tool)}."
            )


def check_argument(tool: Tool, parameter: Parameter, value: Any) -> None:
    """Raises: CallError unless the value has the parameter's type and is one of its choices."""
    kind, choices = parameter.schema.get("type"), parameter.schema.get("enum")
    fits = kind not in PYTHON_TYPES or isinstance(value, PYTHON_TYPES[kind])
    if isinstance(value, bool):  # which Python counts as an int
        fits = kind not in ("integer", "number")
    if isinstance(value, float) and not math.isfinite(value):  # 1e999
        fits = False
    if not fits:
        shown = json.dumps(value, ensure_ascii=False)
        raise CallError(
            "arguments", f"{parameter.name} of {tool.name} must be a {kind}, not {shown:.60}."
        )
    if choices and value not in choices:
        close = difflib.get_close_matches(str(value), map(str, choices), 1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise CallError(
            "arguments",
            f"{parameter.name} of {tool.name} must be one of {', '.join(map(str, choices))}, "
            f"not {value!r:.60}.{hint}",
        )


def tool_signature(tool: Tool) -> str:
    return f"{tool.name}({', '.join(map(str, tool.parameters))})"


# -- running --------------------------------------------------------------------------------------


class ToolTimeout(BaseException):
    """Raised inside a tool whose time is up. No Exception: `except Exception` must not catch it."""


def run_tool(call: ToolCall, seconds: float) -> str:
    """What the tool returns, as text: JSON unless it is one text.

    The tool runs in a thread, is given up after so many seconds and, as far as Python can, stopped.
    A thread is no sandbox: code in C that never returns goes on, or holds up the whole program. Put
    a tool that you do not trust into a process of its own (`fmcourse.apps.mcp_tools`).

    Raises: CallError "timeout", or "raised" for whatever the tool raises and for a result that is
        no text, number, list or dict.
    """
    done: list[str | CallError] = []

    def work() -> None:
        try:
            done.append(format_result(call.tool.function(**call.arguments)))
        except CallError as error:  # of a tool in another process, which failed there
            done.append(error)
        except BaseException as error:  # SystemExit too: a tool must not end the program
            done.append(CallError("raised", f"{call.tool.name} failed: {describe_error(error)}"))

    thread = Thread(target=work, daemon=True, name=f"tool {call.tool.name}")
    thread.start()
    thread.join(seconds)
    if not done:
        exception = ctypes.py_object(ToolTimeout)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), exception)
        raise CallError("timeout", f"{call.tool.name} took longer than {seconds:g} seconds.")
    if isinstance(done[0], CallError):
        raise done[0]
    return done[0]


def describe_error(error: BaseException) -> str:
    """What an exception says; its name alone if it cannot be turned into text."""
    try:
        return f"{type(error).__name__}: {error}"
    except BaseException:
        return type(error).__name__


def format_result(value: Any) -> str:
    """A tool's result as text. Raises: TypeError for what is neither text nor JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return "done"
    return json.dumps(value, ensure_ascii=False)
