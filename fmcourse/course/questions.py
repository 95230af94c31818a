"""`predict` before a result, `quiz` after it: choices that are remembered, and can be read where nobody can choose."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets

from fmcourse import plots
from fmcourse.course.cards import TONES, frame, inline_html
from fmcourse.course.record import entry


def predict(
    prediction_id: str, question: str, options: Sequence[str], *, answer: str | None = None
) -> None:
    """Ask for a guess before the result is seen, and remember it.

    Args:
        prediction_id: lesson and name, "05.scale".
        options: what there is to choose from.
        answer: where given, what turned out can be unfolded below; any sentence.
    Raises: ValueError if there are fewer than two options, or two alike.
    """
    check_options(options)
    below = (
        f"<details><summary>What turns out</summary>{inline_html(answer)}</details>"
        if answer
        else ""
    )
    said = lambda choice: f"You predict: {choice}." if choice else ""
    chosen, box = choice_box(
        "predictions", prediction_id, options, lambda choice: {"chosen": choice}
    )
    text = "\n".join([f"Predict: {question}", *(f"    ( ) {option}" for option in options)])
    items = "".join(f"<li>{inline_html(option)}</li>" for option in options)
    head = f"<strong>Predict:</strong> {inline_html(question)}"
    page = frame(TONES["open"][1], f"{head}<ul>{items}</ul>{inline_html(said(chosen))}{below}")
    reply = reply_widget(box, lambda choice: inline_html(said(choice)) + below)
    plots.publish(text, page, live=ipywidgets.VBox([ipywidgets.HTML(head), box, reply]))


def quiz(quiz_id: str, question: str, options: Mapping[str, str], *, answer: str) -> None:
    """Ask a question of which every option is explained.

    Args:
        quiz_id: lesson and name, "06.q1".
        options: option -> why it is right or wrong.
        answer: the option that is right.
    Raises: ValueError if `answer` is no option, or an option has no explanation.
    """
    check_options(list(options))
    if answer not in options:
        raise ValueError(
            f"answer={answer!r} is none of the options: {', '.join(map(repr, options))}."
        )
    if bare := [option for option, why in options.items() if not why.strip()]:
        raise ValueError(f"option {bare[0]!r} has no explanation; say why it is right or wrong.")
    verdict = {
        option: f"{'✓ Right.' if option == answer else '✗ No.'} {why}"
        for option, why in options.items()
    }
    _, box = choice_box(
        "quizzes",
        quiz_id,
        list(options),
        lambda choice: {"chosen": choice, "right": choice == answer},
    )
    text = "\n".join([f"Quiz: {question}", *(f"    ( ) {option}" for option in options)])
    unfold = lambda why: f"<details><summary>this one?</summary>{inline_html(why)}</details>"
    items = "".join(
        f"<li>{inline_html(option)}{unfold(why)}</li>" for option, why in verdict.items()
    )
    head = f"<strong>Quiz:</strong> {inline_html(question)}"
    page = frame(TONES["open"][1], f"{head}<ul>{items}</ul>")
    reply = reply_widget(box, lambda choice: inline_html(verdict[choice]) if choice else "")
    plots.publish(text, page, live=ipywidgets.VBox([ipywidgets.HTML(head), box, reply]))


def check_options(options: Sequence[str]) -> None:
    if len(options) < 2 or len(set(options)) < len(options) or isinstance(options, str):
        raise ValueError(f"options={options!r}: give at least two, each another one.")


def choice_box(
    kind: str, name: str, options: Sequence[str], notes_for: Callable[[str], dict[str, Any]]
) -> tuple[str | None, ipywidgets.RadioButtons]:
    """What was chosen before, and buttons that note down what is chosen now."""
    with entry(kind, name) as notes:
        chosen = notes.get("chosen") if notes.get("chosen") in options else None
    layout = {"width": "max-content", "max_width": "100%"}
    box = ipywidgets.RadioButtons(options=list(options), value=chosen, layout=layout)

    def note(change: Any) -> None:
        if change.new is not None:
            with entry(kind, name) as notes:
                notes.update(notes_for(change.new))

    box.observe(note, "value")
    return chosen, box


def reply_widget(box: ipywidgets.RadioButtons, say: Callable[[str | None], str]) -> ipywidgets.HTML:
    """What is said to the choice, kept in step with it."""
    reply = ipywidgets.HTML(say(box.value))
    box.observe(lambda change: setattr(reply, "value", say(change.new)), "value")
    return reply
