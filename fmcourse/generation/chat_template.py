"""ChatML, the chat template of SmolLM2: a dialogue as one text with marks between its messages."""

from collections.abc import Sequence
from typing import Any

from fmcourse.tokenizers.base import check_tokenizer

Messages = Sequence[dict[str, str]]

# The published chat template of SmolLM2 adds this text where a dialogue has no system message.
DEFAULT_SYSTEM_PROMPT = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
ROLES = ("system", "user", "assistant")
END_OF_MESSAGE = "<|im_end|>"
# <|endoftext|> ends documents in pretraining, and a model may end its answer with it.
STOP = (END_OF_MESSAGE, "<|endoftext|>")
# What `apply_chat_template` does, in Jinja: for files that other libraries read.
CHAT_TEMPLATE = (
    "{% if messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\\n" + DEFAULT_SYSTEM_PROMPT + "<|im_end|>\\n' }}"
    "{% endif %}"
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def apply_chat_template(tokenizer: Any, messages: Messages) -> list[int]:
    """Token ids of a dialogue up to where the assistant's next message begins.

    Each message stands between <|im_start|> and <|im_end|>. Its content is encoded as plain text:
    "<|im_end|>" typed by a user ends nothing. Without a system message, the default one is added.

    Args:
        messages: {"role": "system" | "user" | "assistant", "content": text}, at least one.
    Raises: ValueError for other messages, or for no tokenizer.
    """
    check_tokenizer(tokenizer)
    if not messages or any(set(message) != {"role", "content"} for message in messages):
        raise ValueError(
            "messages must be a list of {'role': ..., 'content': ...}, with at least one of them."
        )
    if messages[0]["role"] != "system":
        messages = [{"role": "system", "content": DEFAULT_SYSTEM_PROMPT}, *messages]
    # allow_special: each mark becomes its one special token, not the characters that spell it.
    start = tokenizer.encode("<|im_start|>", allow_special=True)
    end = tokenizer.encode(END_OF_MESSAGE, allow_special=True)
    ids = []
    for message in messages:
        role, content = message["role"], message["content"]
        if role not in ROLES:
            raise ValueError(f"role {role!r} is not known; choose 'system', 'user' or 'assistant'.")
        # Role and content are encoded as one text: a token may reach across the line break.
        ids += start + tokenizer.encode(f"{role}\n{content}") + end + tokenizer.encode("\n")
    return ids + start + tokenizer.encode("assistant\n")  # an open message for the model
