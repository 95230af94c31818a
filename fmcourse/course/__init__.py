"""What a lesson is made of: claims, predictions, checked exercises, hints, solutions, quizzes, a map of progress, pictures.

Each name is fetched when it is first used: importing this module costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fmcourse.course.answers import check, hint, solution
    from fmcourse.course.claims import ClaimError, claim
    from fmcourse.course.questions import predict, quiz
    from fmcourse.course.record import progress
    from fmcourse.plots import show

__all__ = [
    "ClaimError",
    "check",
    "claim",
    "hint",
    "predict",
    "progress",
    "quiz",
    "show",
    "solution",
]

EXPORTS = {
    "answers": ("check", "hint", "solution"),
    "claims": ("ClaimError", "claim"),
    "questions": ("predict", "quiz"),
    "record": ("progress",),
}


def __getattr__(name: str) -> Any:
    if name == "show":  # whoever shows figures wants them readable: asking for it sets their style
        from fmcourse import plots

        plots.use_style()
        return plots.show
    for module, names in EXPORTS.items():
        if name in names:
            return getattr(import_module(f"fmcourse.course.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
