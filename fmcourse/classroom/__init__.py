"""What a class needs beside the course: exercises for points, hand-outs, grading.

Each name is fetched when it is first used: importing this module costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fmcourse.classroom.handout import points, variant

__all__ = ["points", "variant"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("fmcourse.classroom.handout"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
