"""`check`, `hint` and `solution`: an exercise, a learner's answer, and the help asked for."""

from typing import Any

from fmcourse.course.exercise import Exercise
from fmcourse.course.library import find_exercise
from fmcourse.course.progress_record import entry
from fmcourse.course.showing import highlight_source, inline_html, show_card
from fmcourse.course.verdict import Verdict, diagnose


def check(exercise_id: str, candidate: Any) -> Any:
    """Judge a learner's function, show the verdict, and return what the notebook goes on with.

    That is the learner's function if it is right, else the course's. Nothing that is passed stops
    the notebook; only Ctrl-C does.
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
    """Show what is said of an answer, and that the course's stands in where it is not right."""
    stands_in = f"Until then the course's `{exercise.name}` stands in below."
    if verdict.correct:
        headline = f"{exercise.id} right: your `{exercise.name}` is used from here on."
        show_card("good", headline, verdict.sentences)
    elif verdict.name == "blank":
        show_card("open", f"{exercise.id} is blank so far.", [stands_in])
    else:
        headline = f"{exercise.id} not yet: {verdict.name}."
        after = f'{stands_in} Stuck? `hint("{exercise.id}")`'
        show_card("bad", headline, verdict.sentences, verdict.table, after=after)


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
    if number == 3:
        more = f'Still stuck? `solution("{exercise.id}")`'
    else:
        more = f'More: `hint("{exercise.id}", {number + 1})`'
    show_card("open", f"Hint {number} of 3 for {exercise.id}", [exercise.hints[number - 1], more])


def solution(exercise_id: str) -> None:
    """Show the answer with its explanation, and the mistakes that others made.

    Raises: ValueError if there is no such exercise.
    """
    exercise = find_exercise(exercise_id)
    with entry("exercises", exercise.id) as notes:
        notes["solution"] = True
    mistakes = "".join(
        f"<li><em>{inline_html(mistake.name)}</em>: {inline_html(mistake.explanation)}</li>"
        for mistake in exercise.mistakes
    )
    summary = "<summary>What often goes wrong</summary>"
    show_card(
        "good",
        f"Solution of {exercise.id}: {exercise.goal}",
        [exercise.explanation] if exercise.explanation else [],
        extra_html=highlight_source(exercise.solution)
        + f"<details>{summary}<ul>{mistakes}</ul></details>",
        extra_lines=exercise.solution.rstrip().splitlines(),
    )
