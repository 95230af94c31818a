"""What all tokenizers share: checks, special tokens, a cache for words, saving and loading."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import index
from pathlib import Path
from typing import Any, ClassVar, Self

from fmcourse.files import read_json, write_text

WORD_END = re.compile(r"\S(?=[ \n])")  # the last character of a word before a space


class Tokenizer:
    """The base class: a subclass adds `encode`, `decode` and `pieces`.

    `saved_fields` names the constructor's arguments, which are attributes too and fill the saved
    file; `optional_fields` those among them that have a default, which older files lack.
    """

    saved_fields: ClassVar[tuple[str, ...]] = ("tokens",)
    optional_fields: ClassVar[tuple[str, ...]] = ()
    tokens: Sequence[str] | Sequence[bytes]

    @property
    def vocab_size(self) -> int:
        """How many tokens there are, special ones among them."""
        return len(self.tokens)

    def save(self, path: str | Path) -> None:
        """Write one readable JSON file, whole or not at all."""
        fields = {"kind": type(self).__name__}
        fields |= {name: getattr(self, name) for name in self.saved_fields}
        write_text(path, json.dumps(fields, ensure_ascii=False, indent=1) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote. Raises: ValueError if the file holds anything else."""
        try:
            fields = read_json(path)
        except ValueError as error:
            raise ValueError(f"{path} is not a saved tokenizer: {error}") from None
        # Popped, so that only the constructor's arguments are left.
        if (kind := fields.pop("kind", None)) != cls.__name__:
            raise ValueError(
                f"{path} holds a {kind}, not a {cls.__name__}; "
                "load it with the class that saved it."
            )
        if set(fields) | set(cls.optional_fields) != set(cls.saved_fields):
            raise ValueError(
                f"{path} holds {sorted(fields)}, not {sorted(cls.saved_fields)}; "
                "save it with tokenizer.save."
            )
        return cls(**fields)

    def token_bytes(self, i: int) -> bytes:
        """The bytes of one token. Raises: ValueError if this tokenizer's tokens are not bytes."""
        raise ValueError(
            f"the tokens of {type(self).__name__} are no plain bytes; take a BPETokenizer or "
            "a CharTokenizer."
        )

    def check_ids(self, ids: Iterable[int]) -> list[int]:
        """`ids` as plain ints. Raises: ValueError at the first that is not in the vocabulary."""
        ids = [index(i) for i in ids]  # numbers of a tensor too, but no floats
        for place, i in enumerate(ids):
            if not 0 <= i < self.vocab_size:
                raise ValueError(
                    f"id {i} at position {place} is not in this vocabulary, whose "
                    f"{self.vocab_size} ids run from 0 to {self.vocab_size - 1}; "
                    "was it made by another tokenizer?"
                )
        return ids


class MemoDict(dict):
    """A cache of `compute`, called for each word that is not there; emptied when it is full."""

    def __init__(self, compute: Callable[[str], Any], max_size: int = 1 << 16) -> None:
        self.compute, self.max_size = compute, max_size

    def __missing__(self, word: str) -> Any:  # dict calls it only for keys that are not there
        # Emptied whole: to drop the oldest words, every look-up would have to keep an order.
        if len(self) >= self.max_size:
            self.clear()
        answer = self[word] = self.compute(word)
        return answer


def check_tokenizer(tokenizer: Any) -> None:
    """Raises: ValueError if there is none, as `from_hf` gives None for a folder without one."""
    if tokenizer is None:
        raise ValueError(
            "tokenizer is None: the model came without one; pass the tokenizer it was trained with."
        )


def check_text(text: str) -> str:
    """`text` itself. Raises: ValueError at a lone surrogate, which UTF-8 cannot hold."""
    if not isinstance(text, str):
        raise TypeError(
            f"a tokenizer reads one str, not {type(text).__name__}; pass one text at a time."
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"position {error.start} holds U+{ord(text[error.start]):04X}, a lone surrogate: "
            "half of a character, which UTF-8 cannot hold; "
            "read the file again with the right encoding, or remove it."
        ) from None
    return text


def cut_before_spaces(text: str, size: int = 1 << 20) -> Iterator[str]:
    """A long text in pieces of about `size` characters, cut before a space or a line end.

    Words of byte-level BPE begin with the space before them, and no tokenizer here looks back
    across it: the pieces have the tokens of the whole. Where there is no space, a piece is longer.

    >>> list(cut_before_spaces("one two  three", size=2))
    ['one', ' two', '  three']
    """
    start = 0
    while start < len(text):
        # Of several spaces the last belongs to the word that follows, so the first is looked for.
        cut = WORD_END.search(text, start + size)
        end = cut.end() if cut else len(text)
        yield text[start:end]
        start = end


def split_special(text: str, special_tokens: Iterable[str]) -> list[str]:
    """Ordinary text at even places, special tokens at odd ones; where two fit, the longer wins.

    >>> split_special("<s>Hello<s>", ["<s>"])
    ['', '<s>', 'Hello', '<s>', '']
    """
    check_text(text)
    names = sorted(special_tokens, key=len, reverse=True)  # `|` takes the first that fits
    # Escaped: the | in <|end|> would otherwise mean "or".
    pattern = "|".join(map(re.escape, names))
    # The parentheses make `split` return the special tokens too. Without names the pattern would
    # be empty, and fit between any two characters.
    return re.split(f"({pattern})", text) if names else [text]
