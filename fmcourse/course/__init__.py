"""What a lesson is made of: claims, predictions, exercises, hints, solutions, quizzes, terms.

Each name is imported when it is first used: importing this package costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fmcourse.course.claims import ClaimError, claim, reported
    from fmcourse.course.practice import check, hint, solution
    from fmcourse.course.progress_record import progress
    from fmcourse.course.questions import predict, quiz, resolve
    from fmcourse.course.terms import term
    from fmcourse.plots import show

__all__ = [
    "ClaimError",
    "check",
    "claim",
    "hint",
    "predict",
    "progress",
    "quiz",
    "reported",
    "resolve",
    "show",
    "solution",
    "term",
]

EXPORTS = {
    "claims": ("ClaimError", "claim", "reported"),
    "practice": ("check", "hint", "solution"),
    "progress_record": ("progress",),
    "questions": ("predict", "quiz", "resolve"),
    "terms": ("term",),
}


def __getattr__(name: str) -> Any:
    if name == "show":  # the one name that a lesson finds here and that lies elsewhere
        from fmcourse import plots

        plots.use_style()  # whoever shows figures wants them drawn in the course's style
        return plots.show
    for module, names in EXPORTS.items():
        if name in names:
            return getattr(import_module(f"fmcourse.course.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
