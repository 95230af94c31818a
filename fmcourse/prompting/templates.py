"""Few-shot prompts: solved examples before the question."""

from collections.abc import Iterable


def few_shot_prompt(
    examples: Iterable[tuple[str, str]],
    input_prefix: str = "Input: ",
    output_prefix: str = "Output:",  # no space at its end: it belongs to the next token
    separator: str = "\n",
    example_separator: str = "\n",
) -> str:
    """Solved examples (input, output), one under the other; the empty text if there are none.

    >>> shots = few_shot_prompt([("hot", "cold"), ("up", "down")], separator=" ")
    >>> print(shots + format_query("wet", separator=" "))
    Input: hot Output: cold
    Input: up Output: down
    Input: wet Output:
    """
    return "".join(
        f"{format_query(text, input_prefix, output_prefix, separator)} {output}{example_separator}"
        for text, output in examples
    )


def format_query(
    text: str, input_prefix: str = "Input: ", output_prefix: str = "Output:", separator: str = "\n"
) -> str:
    """An input whose output the model is to write; the output begins with a space."""
    return f"{input_prefix}{text}{separator}{output_prefix}"
