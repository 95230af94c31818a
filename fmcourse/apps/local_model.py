"""A model of this package as an agent's language model, its calls held to the tools' grammar."""

import json
from collections.abc import Sequence
from typing import Any

from fmcourse.apps.tools import Parameter, Tool
from fmcourse.models.transformer import Transformer
from fmcourse.prompting import generate_answers, read_prefix
from fmcourse.prompting.constraints import Form, grammar_constraint, one_of, string
from fmcourse.prompting.forms import line, nothing, number, sequence, switch


class LocalModel:
    """A causal model as a function from an agent's prompt to the next thought, and call or answer.

    It writes two lines by greedy decoding: a free one for the thought, and one under a grammar that
    leaves only calls of these tools, with arguments of the right types, or an answer. The grammar
    makes a call valid; it does not make it right.
    """

    def __init__(
        self,
        model: Transformer,
        tokenizer: Any,
        tools: Sequence[Tool],
        *,
        instructions: str = "",
        thoughts: bool = True,
        constrained: bool = True,
        max_new_tokens: int = 80,
    ) -> None:
        """
        Args:
            instructions: the agent's, if they are to be read only once: their keys and values are
                kept.
            thoughts: whether a thought comes before the call or answer.
            constrained: False leaves the second line free too.
            max_new_tokens: of each line.
        """
        self.model, self.tokenizer, self.thoughts = model, tokenizer, thoughts
        self.instructions, self.max_new_tokens = instructions, max_new_tokens
        self.shared = read_prefix(model, tokenizer, instructions)
        self.constraint = None
        if constrained:
            (end,) = tokenizer.encode("\n")
            self.constraint = grammar_constraint(tokenizer, reply_form(tools), end, max_new_tokens)

    def __call__(self, prompt: str) -> str:
        thought = ""
        if self.thoughts:
            thought = f"Thought:{self.write_line(prompt + 'Thought:')}\n"
        return thought + self.write_line(prompt + thought, self.constraint)

    def write_line(self, prompt: str, constraint: Any = None) -> str:
        """How the prompt goes on, up to the end of the line."""
        shared = self.shared
        if prompt.startswith(self.instructions):
            prompt = prompt[len(self.instructions) :]
        else:
            shared = ""
        return generate_answers(
            self.model,
            self.tokenizer,
            [prompt],
            shared=shared,
            max_new_tokens=self.max_new_tokens,
            stop=("\n", "<|im_end|>"),
            constraint=constraint,
        )[0]

    def count_tokens(self, text: str) -> int:
        return len(self.tokenizer.encode(text))


def reply_form(tools: Sequence[Tool]) -> Form:
    """The line of a call or an answer, as `fmcourse.apps.agent.parse_reply` reads it."""
    answer = {"Answer: ": line(None)}  # max_new_tokens is limit enough
    return switch(({"Action: ": call_form(tools)} if tools else {}) | answer)


def call_form(tools: Sequence[Tool]) -> Form:
    """A call of one of these tools, as `json.dumps` spaces it.

    Raises: ValueError for an argument that no form is known for: an array, an object.
    """
    names = {f'{{"tool": {json.dumps(tool.name)}, "arguments": ': tool for tool in tools}
    return sequence(
        switch({start: arguments_form(tool.parameters) for start, tool in names.items()}),
        one_of(["}"]),
    )


def arguments_form(parameters: Sequence[Parameter]) -> Form:
    """A JSON object with the parameters in their order; optional ones may be left out."""

    def rest(n: int, comma: str) -> Form:
        """From parameter n on, up to the closing bracket."""
        cases: dict[str, Form] = {}
        for m, parameter in enumerate(parameters[n:], n):
            start = f"{comma}{json.dumps(parameter.name)}: "
            cases[start] = sequence(value_form(parameter), rest(m + 1, ", "))
            if parameter.required:
                return switch(cases)
        return switch(cases | {"}": nothing})

    return sequence(one_of(["{"]), rest(0, ""))


def value_form(parameter: Parameter) -> Form:
    """The JSON values of a parameter. Raises: ValueError, see `call_form`."""
    kind, choices = parameter.schema.get("type"), parameter.schema.get("enum")
    if choices:
        return one_of([json.dumps(choice, ensure_ascii=False) for choice in choices])
    forms = {
        "string": string(None),
        "integer": number(decimals=0),
        "number": number(),
        "boolean": one_of(["true", "false"]),
    }
    if kind not in forms:
        raise ValueError(
            f"{parameter} has no grammar; take LocalModel(..., constrained=False), or a tool whose "
            "arguments are text, numbers and choices."
        )
    return forms[kind]
