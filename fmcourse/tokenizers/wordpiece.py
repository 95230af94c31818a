"""WordPiece, as BERT uses it: normalize the text, cut it into words, words into known pieces.

Wu et al. 2016, section 4.1; Devlin et al. 2018, section 3. What normalization loses, `decode`
cannot bring back:

    control characters    dropped (tab and line ends are spaces)
    capitals, accents     "É" becomes "e": decomposed (NFD), marks dropped, lower case; a cased
                          vocabulary keeps both
    spaces                any run of them only ends a word
    punctuation           a word of its own, sign by sign; so is each Chinese character

Characters are classed by this Python's Unicode tables; the `tokenizers` library's are of about
2015, so that signs and marks younger than that can come out otherwise there.
"""

import string
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from pathlib import Path

from fmcourse.tokenizers.base import MemoDict, Tokenizer, split_special

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
REQUIRED_TOKENS = ("[UNK]", "[CLS]", "[SEP]")  # `encode` cannot do without them
LONGEST_WORD = 100  # characters; BERT reads longer ones as [UNK]
# BERT's blocks of Chinese characters, as the `tokenizers` library has them: without 2B820 to 2B91F.
CHINESE = [
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B81F),
    (0x2B920, 0x2CEAF),
    (0x2F800, 0x2FA1F),
]
Span = tuple[int, int]  # first character, and the one after the last


# Normalization ---------------------------------------------------------------------------------


@lru_cache(1 << 16)
def normalize_character(
    character: str, lowercase: bool = True, strip_accents: bool | None = None
) -> str:
    """What BERT makes of one character; spaces in the answer end words.

    Args:
        lowercase, strip_accents: see `WordPieceTokenizer`.

    >>> [normalize_character(character) for character in "É\\t!猫"]
    ['e', ' ', ' ! ', ' 猫 ']
    >>> normalize_character("É", lowercase=False)
    'É'
    """
    # Before the test for controls (Cc), which Unicode says these are.
    if character in "\t\n\r":
        return " "
    if character == "\ufffd" or unicodedata.category(character) in ("Cc", "Cf", "Co"):
        return ""  # controls, invisible formatting, private use
    if character.isspace():
        return " "
    letters = character
    if lowercase if strip_accents is None else strip_accents:
        decomposed = unicodedata.normalize("NFD", character)  # é: e and an accent
        # Mn: marks that take no room of their own, as accents do.
        letters = "".join(letter for letter in decomposed if unicodedata.category(letter) != "Mn")
    if lowercase:
        letters = "".join(letter.lower() for letter in letters)  # one by one: "Σ" is always "σ"
    simple = "".join(f" {letter} " if is_punctuation(letter) else letter for letter in letters)
    # Chinese is written without spaces, so each character becomes a word.
    is_chinese = any(first <= ord(character) <= last for first, last in CHINESE)
    return f" {simple} " if is_chinese else simple


def is_punctuation(character: str) -> bool:
    """Unicode's punctuation, and the ASCII signs that Unicode calls symbols: $ + < = > ^ ` | ~."""
    return character in string.punctuation or unicodedata.category(character).startswith("P")


# The tokenizer ---------------------------------------------------------------------------------


class WordPieceTokenizer(Tokenizer):
    """BERT's tokenizer. A piece that continues a word begins with ##.

    Args:
        tokens: the vocabulary by id, with at least [UNK], [CLS] and [SEP].
        lowercase: False for a cased vocabulary, in which "Us" and "us" differ.
        strip_accents: whether "é" is read as "e"; None: where capitals are lowered, as in BERT.
    Raises: ValueError if one of these is missing or a token stands there twice.

    >>> tokenizer = WordPieceTokenizer(["[UNK]", "[CLS]", "[SEP]", "token", "##izer", "##s", "!"])
    >>> tokenizer.pieces("Tokenizers!")
    ['[CLS]', 'token', '##izer', '##s', '!', '[SEP]']
    >>> tokenizer.decode(tokenizer.encode("Tokenizers!", add_special_tokens=False))
    'tokenizers !'
    """

    saved_fields = ("tokens", "lowercase", "strip_accents")
    optional_fields = ("lowercase", "strip_accents")

    def __init__(
        self, tokens: Sequence[str], *, lowercase: bool = True, strip_accents: bool | None = None
    ) -> None:
        self.tokens, self.lowercase, self.strip_accents = list(tokens), lowercase, strip_accents
        self._ids = {token: i for i, token in enumerate(self.tokens)}
        if missing := [name for name in REQUIRED_TOKENS if name not in self._ids]:
            raise ValueError(
                f"{len(self.tokens)} tokens, but not {', '.join(missing)}; is it BERT's vocab.txt?"
            )
        if (extra := len(self.tokens) - len(self._ids)) > 0:
            raise ValueError(
                f"{extra} tokens stand in the vocabulary a second time; keep one of each."
            )
        self.special_tokens = {
            name: self._ids[name] for name in SPECIAL_TOKENS if name in self._ids
        }
        self._longest = max(map(len, self.tokens))
        # Most words of a text stood there before, so their pieces are kept.
        self._pieces_of_word = MemoDict(self._split_word)

    @classmethod
    def from_vocab_file(
        cls, path: str | Path, *, lowercase: bool = True, strip_accents: bool | None = None
    ) -> "WordPieceTokenizer":
        """From BERT's vocab.txt, in which line i holds token i."""
        lines = Path(path).read_text(encoding="utf-8").removesuffix("\n")  # no empty last token
        # Not splitlines: a token may hold U+2028 or U+0085.
        return cls(lines.split("\n"), lowercase=lowercase, strip_accents=strip_accents)

    def encode(
        self, text: str, *, add_special_tokens: bool = True, allow_special: bool = False
    ) -> list[int]:
        """The ids of `text`; a word that no pieces spell, or of over 100 characters, is one [UNK].

        Args:
            add_special_tokens: put [CLS] before and [SEP] after, as BERT expects of a whole input.
            allow_special: read "[MASK]" in the text as the special token, not as five signs and
                letters.
        Raises: ValueError at a lone surrogate.
        """
        ids, table = [], normalization_table(self.lowercase, self.strip_accents)
        for n, part in enumerate(split_special(text, self.special_tokens if allow_special else ())):
            if n % 2:  # at odd places stand special tokens
                ids.append(self._ids[part])
            else:  # the same ids as with offsets, several times as fast
                for word in part.translate(table).split():
                    ids += [i for i, _, _ in self._pieces_of_word[word]]
        return [self._ids["[CLS]"], *ids, self._ids["[SEP]"]] if add_special_tokens else ids

    def encode_pair(
        self, first: str, second: str, *, allow_special: bool = False
    ) -> tuple[list[int], list[int]]:
        """Two texts as one input: [CLS] first [SEP] second [SEP].

        Returns: the ids, and for each its token type: 0 up to the first [SEP], 1 after it.
        """
        ids = self.encode(first, allow_special=allow_special)
        # Without its [CLS], of which an input has one.
        more = self.encode(second, allow_special=allow_special)[1:]
        return ids + more, [0] * len(ids) + [1] * len(more)

    def encode_with_offsets(
        self, text: str, *, add_special_tokens: bool = True, allow_special: bool = False
    ) -> tuple[list[int], list[Span]]:
        """The ids, and for each the (start, end) of its characters in `text`; (0, 0) of [CLS].

        >>> tokenizer = WordPieceTokenizer(["[UNK]", "[CLS]", "[SEP]", "cafe", "##s"])
        >>> tokenizer.encode_with_offsets(" Cafés", add_special_tokens=False)
        ([3, 4], [(1, 5), (5, 6)])
        """
        found, start = [], 0
        for n, part in enumerate(split_special(text, self.special_tokens if allow_special else ())):
            if n % 2:
                found.append((self._ids[part], (start, start + len(part))))
            else:
                found += self._ids_and_spans(part, start)
            start += len(part)
        if add_special_tokens:
            found = [(self._ids["[CLS]"], (0, 0)), *found, (self._ids["[SEP]"], (0, 0))]
        return [i for i, _ in found], [span for _, span in found]

    def _ids_and_spans(self, text: str, start: int) -> Iterator[tuple[int, Span]]:
        """Ids and spans of ordinary text that begins at `start`."""
        # One character may become several letters or none: each remembers where it came from.
        letters = [
            (letter, place)
            for place, character in enumerate(text, start)
            for letter in normalize_character(character, self.lowercase, self.strip_accents)
        ]
        for is_word, group in groupby(letters, lambda pair: pair[0] != " "):
            if is_word:
                word, places = zip(*group, strict=True)
                for i, first, end in self._pieces_of_word["".join(word)]:
                    # Back to places in the text: the end is one after the last character.
                    yield i, (places[first], places[end - 1] + 1)

    def _split_word(self, word: str) -> list[tuple[int, int, int]]:
        """(id, start, end) of each piece: always the longest that the vocabulary holds."""
        unknown = [(self._ids["[UNK]"], 0, len(word))]
        if len(word) > LONGEST_WORD:
            return unknown
        pieces, start = [], 0
        while start < len(word):
            piece = self._longest_piece(word, start)
            if piece is None:
                return unknown  # one part that nothing spells makes the whole word unknown
            pieces.append(piece)
            start = piece[2]
        return pieces

    def _longest_piece(self, word: str, start: int) -> tuple[int, int, int] | None:
        """(id, start, end) of the longest piece that begins there; None if there is none."""
        # "##s" and "s" are two tokens: one inside a word, one at its start.
        prefix = "##" if start else ""
        # Longest first, and none is longer than the longest token.
        for end in range(min(len(word), start + self._longest), start, -1):
            if (i := self._ids.get(prefix + word[start:end])) is not None:
                return i, start, end
        return None

    def decode(self, ids: Iterable[int], *, skip_special: bool = False) -> str:
        """Words with one space between them, as normalized; signs stand apart, as words do.

        Raises: ValueError at an id outside the vocabulary.
        """
        skipped = set(self.special_tokens.values()) if skip_special else ()
        kept = [self.tokens[i] for i in self.check_ids(ids) if i not in skipped]
        return " ".join(kept).replace(" ##", "")  # ## continues the word before it

    def pieces(
        self, text: str, *, add_special_tokens: bool = True, allow_special: bool = False
    ) -> list[str]:
        """The tokens of `text` as the vocabulary spells them."""
        ids = self.encode(text, add_special_tokens=add_special_tokens, allow_special=allow_special)
        return [self.tokens[i] for i in ids]


# For speed -------------------------------------------------------------------------------------


class NormalizationTable(dict):
    """`normalize_character` as a table for `str.translate`, which normalizes a text in one call."""

    def __init__(self, lowercase: bool, strip_accents: bool | None) -> None:
        self.lowercase, self.strip_accents = lowercase, strip_accents

    def __missing__(self, code: int) -> str:
        self[code] = normalize_character(chr(code), self.lowercase, self.strip_accents)
        return self[code]


# One table for all tokenizers that normalize alike: it fills as characters are seen.
normalization_table = lru_cache(NormalizationTable)
