"""`predict` before a result, `resolve` and `quiz` after it: choices that are remembered.

Both can be read where nobody can choose: as text, and as a page without a kernel behind it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets

from fmcourse.course import showing
from fmcourse.course.progress_record import entry
from fmcourse.course.showing import TONES, frame, inline_html, show_card

OPTIONS: dict[str, list[str]] = {}  # of the predictions that this session has asked for


def predict(prediction_id: str, question: str, options: Sequence[str]) -> None:
    """Ask for a guess before the result is seen, and remember it; `resolve` answers it.

    Args:
        prediction_id: lesson and name, "05.scale".
        options: what there is to choose from.
    Raises: ValueError if there are fewer than two options, or two alike.
    """
    check_options(options)
    OPTIONS[prediction_id] = list(options)

    def reply(choice: str | None) -> str:
        return inline_html(f"You predict: {choice}." if choice else "")

    buttons = choice_buttons(
        "predictions", prediction_id, options, lambda choice: {"chosen": choice}
    )
    items = "".join(f"<li>{inline_html(option)}</li>" for option in options)
    show_question("Predict", question, options, items, reply(buttons.value), buttons, reply)


def resolve(prediction_id: str, answer: str, why: str) -> None:
    """Say which option of a prediction turned out to be right, and the reason.

    Args:
        prediction_id: that of the `predict` above.
        answer: the option that is right, word for word.
        why: what was seen and what explains it, a sentence or two.
    Raises: ValueError if `answer` is none of the options, or no reason is given.
    """
    options = OPTIONS.get(prediction_id)  # None where the cell that asks was not run
    if options is not None and answer not in options:
        there = ", ".join(map(repr, options))
        raise ValueError(f"answer={answer!r} is none of the options: {there}.")
    if not why.strip():
        raise ValueError(f"{prediction_id} is resolved without a reason; say why in a sentence.")
    with entry("predictions", prediction_id) as notes:
        chosen = notes.get("chosen")
        if chosen is not None:
            notes["right"] = chosen == answer
    sentences = [why]
    if chosen is not None:
        sentences.append(
            "So you predicted." if chosen == answer else f"You had predicted: {chosen}."
        )
    show_card("open" if chosen not in (None, answer) else "good", f"Answer: {answer}", sentences)


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
        there = ", ".join(map(repr, options))
        raise ValueError(f"answer={answer!r} is none of the options: {there}.")
    if unexplained := [option for option, why in options.items() if not why.strip()]:
        raise ValueError(
            f"option {unexplained[0]!r} has no explanation; say why it is right or wrong."
        )
    verdicts = {
        option: f"{'✓ Right.' if option == answer else '✗ No.'} {why}"
        for option, why in options.items()
    }

    def reply(choice: str | None) -> str:
        return inline_html(verdicts[choice]) if choice else ""

    buttons = choice_buttons(
        "quizzes",
        quiz_id,
        list(options),
        lambda choice: {"chosen": choice, "right": choice == answer},
    )
    items = "".join(
        f"<li>{inline_html(option)}<details><summary>this one?</summary>"
        f"{inline_html(verdict)}</details></li>"
        for option, verdict in verdicts.items()
    )
    show_question("Quiz", question, list(options), items, "", buttons, reply)


def check_options(options: Sequence[str]) -> None:
    """Raises: ValueError if there is nothing to choose between."""
    if len(options) < 2 or len(set(options)) < len(options) or isinstance(options, str):
        raise ValueError(f"options={options!r}: give at least two, each another one.")


def show_question(
    kind: str,
    question: str,
    options: Sequence[str],
    items: str,
    below: str,
    buttons: ipywidgets.RadioButtons,
    reply: Callable[[str | None], str],
) -> None:
    """Show a question as text, as a page, and as buttons with a reply.

    Args:
        kind: "Predict" or "Quiz".
        items: the options as HTML list items; `below`: what stands under them, as HTML.
        reply: a choice, or None, -> what is said to it, as HTML.
    """
    text = "\n".join([f"{kind}: {question}", *(f"    ( ) {option}" for option in options)])
    head = f"<strong>{kind}:</strong> {inline_html(question)}"
    page = frame(TONES["open"][1], f"{head}<ul>{items}</ul>{below}")
    replied = reply_widget(buttons, reply)
    live = ipywidgets.VBox([ipywidgets.HTML(head), buttons, replied])
    showing.publish(text, page, live=live)


def choice_buttons(
    section: str, name: str, options: Sequence[str], notes_for: Callable[[str], dict[str, Any]]
) -> ipywidgets.RadioButtons:
    """Buttons set to what was chosen before, which record what is chosen now."""
    with entry(section, name) as notes:
        chosen = notes.get("chosen") if notes.get("chosen") in options else None
    layout = {"width": "max-content", "max_width": "100%"}
    buttons = ipywidgets.RadioButtons(options=list(options), value=chosen, layout=layout)

    def note(change: Any) -> None:
        if change.new is not None:
            with entry(section, name) as notes:
                notes.update(notes_for(change.new))

    buttons.observe(note, "value")
    return buttons


def reply_widget(
    buttons: ipywidgets.RadioButtons, reply: Callable[[str | None], str]
) -> ipywidgets.HTML:
    """What is said to the choice, kept in step with it."""
    widget = ipywidgets.HTML(reply(buttons.value))
    buttons.observe(lambda change: setattr(widget, "value", reply(change.new)), "value")
    return widget
