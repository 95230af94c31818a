"""What an agent did, step by step: as text, as the next prompt, as a timeline in HTML."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from jinja2 import Environment, StrictUndefined

from fmcourse.plots import publish

Outcome = Literal["running", "answered", "out of steps", "out of tokens", "going in circles"]

# Colours are Okabe and Ito's; the sign says the same.
LOOKS = {
    "call": ("→", "#0072B2"),
    "invalid": ("✗", "#D55E00"),
    "observation": ("←", "#009E73"),
    "error": ("✗", "#D55E00"),
    "answer": ("■", "#000000"),
}
LINE_STARTS = {
    "call": "Action: ",
    "invalid": "Thought: ",  # whatever it looks like, it was neither an action nor an observation
    "observation": "Observation: ",
    "error": "Observation: Error: ",
    "answer": "Answer: ",
}
UNTRUSTED = "⚠ from outside"

TIMELINE = """\
<div role="group" aria-label="{{ trace.alt() }}" style="max-width: 60rem">
<p style="margin: .3rem 0"><strong>Question:</strong> {{ trace.question }}</p>
<ol style="list-style: none; margin: 0; padding: 0">
{% for step in trace.steps %}
{% set sign, colour = looks[step.kind] %}
<li style="border-left: 4px solid {{ colour }}; padding: .2rem .8rem; margin: .3rem 0">
{% if step.thought %}
<div style="font-style: italic">{{ step.thought }}</div>
{% endif %}
<div><span aria-hidden="true">{{ sign }}</span> <strong>{{ step.label() }}</strong>
{% if step.untrusted %}<em>{{ untrusted }}</em>{% endif %}
<span style="white-space: pre-wrap; overflow-wrap: anywhere">{{ step.text }}</span></div>
<small>{{ step.cost(times) }}</small>
</li>
{% endfor %}
</ol>
<p style="margin: .3rem 0">{{ trace.summary(times) }}</p>
</div>
"""
TEMPLATE = Environment(
    autoescape=True,  # a page that a tool has read may hold HTML
    undefined=StrictUndefined,
    trim_blocks=True,
).from_string(TIMELINE)


@dataclass(frozen=True)
class Step:
    """One event: a reply of the model, or what came of it.

    kind: of a reply "call", "answer" or "invalid" (neither can be read out of it); then
        "observation" (a tool's result) or "error".
    text: the call as JSON, the answer, the reply as it was, the result, or what went wrong.
    thought: what the model wrote before its call or answer.
    tool: the name of the tool that was run.
    error: the kind of an error, see `fmcourse.apps.tools.CallError`; and "refused" (nobody
        confirmed), "repeated" (the same call as before).
    untrusted: the text comes from outside: from a tool whose results are not the program's own.
    tokens_read, tokens: of the prompt, and of the reply; 0 for what is no reply.
    """

    kind: Literal["call", "invalid", "observation", "error", "answer"]
    text: str
    thought: str = ""
    tool: str = ""
    error: str = ""
    untrusted: bool = False
    tokens_read: int = 0
    tokens: int = 0
    seconds: float = 0.0

    def label(self) -> str:
        named = {"observation": f"observation, {self.tool}", "error": f"error ({self.error})"}
        return named.get(self.kind, self.kind)

    def cost(self, times: bool) -> str:
        """Tokens and seconds, as far as the step took any."""
        tokens = f"{self.tokens_read} tokens read, {self.tokens} written"
        seconds = f"{self.seconds:.2f} s"
        return ", ".join(([tokens] if self.tokens_read else []) + ([seconds] if times else []))

    def lines(self) -> str:
        """The step as the model reads it: each part one line, so that no text can forge another."""
        thought = f"Thought: {one_line(self.thought)}\n" if self.thought else ""
        return f"{thought}{LINE_STARTS[self.kind]}{one_line(self.text)}\n"


@dataclass
class Trace:
    """A run of an agent: the question, every step, how it ended, and the answer if there is one."""

    question: str
    steps: list[Step] = field(default_factory=list)
    outcome: Outcome = "running"

    @property
    def answer(self) -> str | None:
        return self.steps[-1].text if self.outcome == "answered" else None

    @property
    def tokens(self) -> int:
        """Read and written: each reply reads its prompt anew, and is billed so."""
        return sum(step.tokens_read + step.tokens for step in self.steps)

    @property
    def seconds(self) -> float:
        return sum(step.seconds for step in self.steps)

    @property
    def replies(self) -> list[Step]:
        return [step for step in self.steps if step.kind in ("call", "invalid", "answer")]

    @property
    def errors(self) -> list[str]:
        """The kinds of the errors, in order."""
        return [step.error for step in self.steps if step.kind == "error"]

    @property
    def tainted_by(self) -> tuple[str, ...]:
        """The untrusted tools whose text the model has read, each once."""
        return tuple(dict.fromkeys(step.tool for step in self.steps if step.untrusted))

    def transcript(self) -> str:
        """Question and steps as lines: the end of the next prompt, an example, or training text."""
        return f"Question: {one_line(self.question)}\n" + "".join(
            step.lines() for step in self.steps
        )

    def summary(self, times: bool = True) -> str:
        seconds = f", {self.seconds:.2f} s" * times
        return (
            f"{self.outcome} after {count(len(self.replies), 'reply', 'replies')}, "
            f"{count(self.tokens, 'token')}{seconds}"
        )

    def alt(self) -> str:
        """The timeline in a sentence or two, for those who do not see it."""
        steps = "; ".join(
            step.label() + f", {UNTRUSTED[2:]}" * step.untrusted for step in self.steps
        )
        return f"Timeline of an agent's run: {steps or 'no step'}. {self.summary(times=False)}."

    def timeline(self, times: bool = True) -> str:
        """The run as HTML, everything in it escaped.

        Args:
            times: False leaves the seconds out, which differ from run to run.
        """
        page = TEMPLATE.render(trace=self, looks=LOOKS, untrusted=UNTRUSTED, times=times)
        return page.encode(errors="backslashreplace").decode()  # half a surrogate pair is no text

    def show(self, times: bool = True) -> None:
        """Display the timeline in a notebook, or print it as text."""
        publish(self.text(times), self.timeline(times))

    def text(self, times: bool = True) -> str:
        """The timeline for a terminal."""
        lines = [f"Question: {one_line(self.question)}"]
        for step in self.steps:
            lines += [f"    {one_line(step.thought)}"] if step.thought else []
            mark = f" {UNTRUSTED}" if step.untrusted else ""
            cost = f"  [{spent}]" if (spent := step.cost(times)) else ""
            lines.append(
                f"  {LOOKS[step.kind][0]} {step.label()}{mark}: {one_line(step.text)}{cost}"
            )
        return "\n".join([*lines, self.summary(times)])

    def __str__(self) -> str:
        return self.text()


def one_line(text: str) -> str:
    """A text without line breaks: what looks like a line of the transcript's own begins none."""
    line = " ".join(text.split())
    return line.encode(errors="backslashreplace").decode()  # half a surrogate pair is no text


def count(n: int, noun: str, plural: str | None = None) -> str:
    """
    >>> count(1, "token"), count(2, "reply", "replies")
    ('1 token', '2 replies')
    """
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def format_examples(traces: Sequence[Trace]) -> str:
    """Solved runs, one under the other, to stand before a question."""
    return "".join(trace.transcript() + "\n" for trace in traces)
