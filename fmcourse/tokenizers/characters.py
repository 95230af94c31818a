"""Characters: the shortest tokenizer there is, one id for each character of the training text."""

from collections.abc import Iterable

from fmcourse.tokenizers.base import Tokenizer, check_text


class CharTokenizer(Tokenizer):
    """One token per character; ids follow the order of code points.

    Args:
        tokens: the alphabet, each character once: id i is `tokens[i]`.

    >>> tokenizer = CharTokenizer.train("to be or not to be")
    >>> tokenizer.encode("robe")
    [5, 4, 1, 2]
    >>> tokenizer.decode([5, 4, 1, 2])
    'robe'
    """

    def __init__(self, tokens: str) -> None:
        if not tokens or len(set(check_text(tokens))) < len(tokens):
            raise ValueError(f"tokens={tokens!r} must hold at least one character, and none twice.")
        self.tokens = tokens
        self._ids = {character: i for i, character in enumerate(tokens)}

    @classmethod
    def train(cls, text: str) -> "CharTokenizer":
        """Learn the alphabet of `text`.

        Raises: ValueError if it is empty or holds a lone surrogate.
        """
        if not text:
            raise ValueError(
                "text is empty, so it has no characters to learn; pass the training text."
            )
        # Sorted, because a set's order changes from run to run, and ids must not.
        return cls("".join(sorted(set(check_text(text)))))

    def encode(self, text: str) -> list[int]:
        """One id per character.

        Raises: ValueError naming the first character that was not in the training text.

        >>> CharTokenizer.train("abc").encode("bad")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ValueError: character 'd' (U+0064) at position 2 was not in the training text; ...
        """
        # A character outside the alphabet has no id, and there is no token for "unknown".
        for place, character in enumerate(check_text(text)):
            if character not in self._ids:
                raise ValueError(
                    f"character {character!r} (U+{ord(character):04X}) at position {place} was not "
                    "in the training text; add it, or use BPETokenizer."
                )
        return [self._ids[character] for character in text]

    def decode(self, ids: Iterable[int]) -> str:
        """The text that `ids` spell. Raises: ValueError at an id outside the vocabulary."""
        return "".join(self.tokens[i] for i in self.check_ids(ids))

    def token_bytes(self, i: int) -> bytes:
        """One token in UTF-8. Raises: ValueError at an id outside the vocabulary."""
        return self.decode([i]).encode()

    def pieces(self, text: str) -> list[str]:
        """What each token of `text` spells: its characters."""
        return [self.tokens[i] for i in self.encode(text)]
