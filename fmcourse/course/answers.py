"""`check`, `hint` and `solution`: an exercise, a learner's answer, and as much help as is asked for."""

import html
from typing import Any

from fmcourse.course.cards import inline_html, show_card
from fmcourse.course.diagnosis import Verdict, diagnose
from fmcourse.course.exercises import Exercise, find_exercise
from fmcourse.course.record import entry


def check(exercise_id: str, candidate: Any) -> Any:
    """The learner's function if it is right, the course's if it is not, so that the notebook goes on in any case.

    Says which mistake it is. Nothing that is passed stops the notebook; only Ctrl-C does.
    Raises: ValueError if there is no such exercise.
    """
    exercise = find_exercise(exercise_id)
    verdict = diagnose(exercise, candidate)
    with entry("exercises", exercise.id) as notes:
        if verdict.name != "blank":
            notes["tries"] = notes.get("tries", 0) + 1
        if verdict.correct:
            notes["right"] = True
    show_verdict(exercise, verdict)
    return candidate if verdict.correct else exercise.reference


def show_verdict(exercise: Exercise, verdict: Verdict) -> None:
    """Show a verdict."""
    stands_in = f"Until then the course's `{exercise.name}` stands in below."
    if verdict.correct:
        show_card(
            "good",
            f"{exercise.id} right: your `{exercise.name}` is used from here on.",
            verdict.sentences,
        )
    elif verdict.name == "blank":
        show_card("open", f"{exercise.id} is blank so far.", [stands_in])
    else:
        help_ = f'{stands_in} Stuck? `hint("{exercise.id}")`'
        show_card(
            "bad",
            f"{exercise.id} not yet: {verdict.name}.",
            verdict.sentences,
            verdict.table,
            after=help_,
        )


def hint(exercise_id: str, level: int | None = None) -> None:
    """Show the next of three hints, or hint number `level`.

    Raises: ValueError if there is no such exercise or level.
    """
    exercise = find_exercise(exercise_id)
    if level not in (None, 1, 2, 3):
        raise ValueError(f"level={level!r} is not known; there are hints 1, 2 and 3.")
    with entry("exercises", exercise.id) as notes:
        given = notes.get("hints", 0)
        number = level or min(given + 1, 3)
        notes["hints"] = max(given, number)
    ask = (
        f'Still stuck? `solution("{exercise.id}")`'
        if number == 3
        else f'More: `hint("{exercise.id}", {number + 1})`'
    )
    show_card("open", f"Hint {number} of 3 for {exercise.id}", [exercise.hints[number - 1], ask])


def solution(exercise_id: str) -> None:
    """Show the answer with its explanation, and the mistakes that others made. Raises: ValueError for an unknown id."""
    exercise = find_exercise(exercise_id)
    with entry("exercises", exercise.id) as notes:
        notes["solution"] = True
    wrong = "".join(
        f"<li><em>{inline_html(m.name)}</em>: {inline_html(m.explanation)}</li>"
        for m in exercise.mistakes
    )
    below = f"{highlight_source(exercise.solution)}<details><summary>What often goes wrong</summary><ul>{wrong}</ul></details>"
    lines = exercise.solution.rstrip().splitlines()
    show_card(
        "good",
        f"Solution of {exercise.id}: {exercise.goal}",
        [exercise.explanation] * bool(exercise.explanation),
        extra_html=below,
        extra_lines=lines,
    )


def highlight_source(source: str) -> str:
    """Source as coloured HTML that needs no style sheet."""
    try:
        from pygments import highlight
        from pygments.formatters import HtmlFormatter
        from pygments.lexers import PythonLexer
    except ModuleNotFoundError:
        return f"<pre>{html.escape(source)}</pre>"
    return highlight(
        source, PythonLexer(), HtmlFormatter(noclasses=True, nobackground=True, style="default")
    )
