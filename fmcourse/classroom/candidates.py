"""Why an answer cannot be called: facts from a student's process, words from the grader.

The process that runs a student's code may send anything, so no sentence of its own reaches a page
that looks official. It sends what the answer is; the grader makes a thing of the same kind and
judges that.
"""

import inspect
from typing import Any

from fmcourse.classroom.packing import NotReadable, pack, unpack

MAX_PARAMETERS, MAX_NAME = 12, 30
CONTAINERS = (list, tuple, set, frozenset, dict, str, bytes)


class Default:
    """Stands for a parameter's default, which may be any text."""

    def __repr__(self) -> str:
        return "..."


def describe_candidate(candidate: Any, verdict: str) -> dict[str, Any]:
    """What an answer is, as what JSON can hold.

    Args:
        verdict: the name of what is wrong with it.
    """
    if verdict == "blank":
        return {"kind": "blank"}
    if inspect.isclass(candidate):
        return {"kind": "class"}
    if not callable(candidate):
        empty = next((kind() for kind in CONTAINERS if isinstance(candidate, kind)), candidate)
        return {"kind": "value", "value": pack(empty)}
    try:
        parameters = inspect.signature(candidate).parameters.values()
    except (TypeError, ValueError):  # written in C
        parameters = ()
    facts = [[one.name, int(one.kind), one.default is not one.empty] for one in parameters]
    return {"kind": "function", "parameters": facts[:MAX_PARAMETERS]}


def similar_candidate(facts: Any) -> Any:
    """A thing of which the same is to be said.

    Raises: NotReadable, KeyError, TypeError or ValueError if these are no such facts.
    """
    kind = facts["kind"]
    if kind == "blank":
        return None
    if kind == "class":
        return type("Candidate", (), {})
    if kind == "value":
        return unpack(facts["value"])

    def candidate() -> None:
        raise NotImplementedError  # it is not called; an empty one is taken for a starter

    candidate.__signature__ = inspect.Signature(
        [read_parameter(*one) for one in facts["parameters"][:MAX_PARAMETERS]]
    )
    return candidate


def read_parameter(name: Any, kind: Any, has_default: Any) -> inspect.Parameter:
    """A parameter. Raises: NotReadable or ValueError if it is none."""
    if not isinstance(name, str) or not name.isidentifier() or len(name) > MAX_NAME:
        raise NotReadable("this is no parameter's name.")
    default = Default() if has_default else inspect.Parameter.empty
    return inspect.Parameter(name, inspect._ParameterKind(kind), default=default)
