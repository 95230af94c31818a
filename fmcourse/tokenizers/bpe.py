"""Byte-pair encoding: begin with 256 bytes; again and again, join the pair that stands side by side most often.

The idea for words: Sennrich et al. 2016, algorithm 1. On bytes, so that no text is unknown: Radford et al. 2019,
section 2.2.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from functools import cache
from heapq import heapify, heappop, heappush
from itertools import groupby, pairwise

from fmcourse.tokenizers.base import MemoDict, Tokenizer, check_text, split_special

# GPT-2 writes a byte as one visible character: itself if it prints in Latin-1, else the next free one after U+00FF.
# So a space is Ġ. The order of this table, printing bytes first, is also the order in which ties are broken.
PRINTING = [
    *range(ord("!"), ord("~") + 1),
    *range(ord("¡"), ord("¬") + 1),
    *range(ord("®"), ord("ÿ") + 1),
]
HIDDEN = [byte for byte in range(256) if byte not in PRINTING]
BYTE_TO_LETTER = {byte: chr(byte) for byte in PRINTING} | {
    byte: chr(256 + n) for n, byte in enumerate(HIDDEN)
}
LETTER_TO_BYTE = {letter: byte for byte, letter in BYTE_TO_LETTER.items()}


def to_letters(token: bytes) -> str:
    """A token as GPT-2's files write it.

    >>> to_letters(" café".encode())
    'ĠcafÃ©'
    """
    return "".join(BYTE_TO_LETTER[byte] for byte in token)


def to_bytes(letters: str) -> bytes:
    """The inverse of `to_letters`. Raises: ValueError at a letter that stands for no byte."""
    try:
        return bytes(LETTER_TO_BYTE[letter] for letter in letters)
    except KeyError as error:
        raise ValueError(
            f"token {letters!r} holds {error}, which stands for no byte in GPT-2's alphabet; name it in special_tokens "
            "if it is a special token."
        ) from None


# How text is cut before any joining: a token never crosses from one word into the next ------------------------------


@cache
def pretokenizer_pattern(split: str) -> re.Pattern[str]:
    r"""The pattern whose matches are the words of a text; joined, they are the text again.

    GPT-2's, in words: an ending such as 's; letters, numbers or other signs, each with the space before them; else
    spaces, where the last of several belongs to the word that follows. "digits" (SmolLM2) makes every digit a word.
    Unicode's classes, in terms of `re`: \w is letter, number or _; \d lacks ² and Ⅷ; \s has four controls too many.
    Letters and numbers younger than this Python's Unicode tables count as other signs.

    >>> pretokenizer_pattern("gpt2").findall("It's  1984 (again)")
    ['It', "'s", ' ', ' 1984', ' (', 'again', ')']
    >>> pretokenizer_pattern("digits").findall("It's  1984 (again)")
    ['It', "'s", '  ', '1', '9', '8', '4', ' (', 'again', ')']
    """
    if split not in ("gpt2", "digits"):
        raise ValueError(
            f"split={split!r} is not known; choose 'gpt2' or 'digits' (as GPT-2, but every digit alone)."
        )
    not_digits = _ranges(
        code for code in range(0x110000) if unicodedata.category(chr(code)) in ("Nl", "No")
    )
    letter, number = rf"[^\W\d_{not_digits}]", rf"[\d{not_digits}]"
    space, other = r"[^\S\x1c-\x1f]", r"(?:[^\w\s]|[_\x1c-\x1f])"
    numbers, joins = f" ?{number}+", f"{letter}|{number}|{other}"
    if split == "digits":
        numbers, joins = number, f"{letter}|{other}"
    return re.compile(
        f"'(?:[sdmt]|ll|ve|re)| ?{letter}+|{numbers}| ?{other}+|{space}+(?!{joins})|{space}+"
    )


def _ranges(codes: Iterable[int]) -> str:
    """Code points as ranges of a character class."""
    runs = (
        [code for _, code in run]
        for _, run in groupby(enumerate(codes), lambda pair: pair[1] - pair[0])
    )
    return "".join(rf"\U{run[0]:08x}-\U{run[-1]:08x}" for run in runs)


# Learning ------------------------------------------------------------------------------------------------------------


def learn_merges(words: Mapping[str, int], size: int) -> list[tuple[bytes, bytes]]:
    """The pairs to join, in order, until there are `size` tokens (the 256 bytes among them) or no pair is left.

    Of pairs that are equally frequent the one whose left, then right, token is older goes first; bytes are as old as
    their place in GPT-2's alphabet, so that the merges are those of the `tokenizers` library.

    Args:
        words: how often each word stands in the text.

    >>> learn_merges({"low": 5, "lower": 2, "new": 6}, size=258)
    [(b'l', b'o'), (b'lo', b'w')]
    """
    tokens = [bytes([byte]) for byte in BYTE_TO_LETTER]
    age = {byte: i for i, byte in enumerate(BYTE_TO_LETTER)}
    pairs = PairCounts(
        [[age[byte] for byte in word.encode()] for word in words], list(words.values())
    )
    merges = []
    while len(tokens) < size and (pair := pairs.most_frequent()):
        left, right = tokens[pair[0]], tokens[pair[1]]
        pairs.merge(pair, new=len(tokens))
        merges.append((left, right))
        tokens.append(left + right)
    return merges


class PairCounts:
    """How often each pair of neighbours stands in the words: counted once, then kept right as pairs are joined.

    Joining a pair visits only the words that hold it: more than a hundred times faster than recounting.

    Args:
        words: the ids that each distinct word is made of at the moment; changed by `merge`.
        word_counts: how often each of these words stands in the text.
    """

    def __init__(self, words: list[list[int]], word_counts: list[int]) -> None:
        self.words, self.word_counts = words, word_counts
        self.counts = defaultdict(int)
        self.words_with_pair = defaultdict(
            set
        )  # pair -> places of the words that hold it, or once did
        for home, word in enumerate(words):
            for pair in pairwise(word):
                self.counts[pair] += word_counts[home]
                self.words_with_pair[pair].add(home)
        self.queue = [(-count, pair) for pair, count in self.counts.items()]
        heapify(self.queue)

    def most_frequent(self) -> tuple[int, int] | None:
        """The pair to join next. Old counts wait in the queue until they come up, and are put right then."""
        while self.queue:
            count, pair = heappop(self.queue)
            if -count == self.counts[pair]:
                return pair
            if self.counts[pair]:
                heappush(self.queue, (-self.counts[pair], pair))
        return None

    def merge(self, pair: tuple[int, int], new: int) -> None:
        """Put `new` in place of every `pair`, and recount the words where it stood."""
        change = defaultdict(int)
        for home in self.words_with_pair.pop(pair):
            before, after = self.words[home], merge_pair(self.words[home], pair, new)
            self.words[home] = after
            for old in pairwise(before):
                change[old] -= self.word_counts[home]
            for fresh in pairwise(after):
                change[fresh] += self.word_counts[home]
                self.words_with_pair[fresh].add(home)
        for changed, by in change.items():
            self.counts[changed] += by
            if by > 0:
                heappush(self.queue, (-self.counts[changed], changed))


def merge_pair(word: list[int], pair: tuple[int, int], new: int) -> list[int]:
    """`word` with `new` in place of each `pair`, from the left.

    >>> merge_pair([7, 7, 7, 1], (7, 7), 9)
    [9, 7, 1]
    """
    result, i = [], 0
    while i < len(word):
        found = word[i] == pair[0] and i + 1 < len(word) and word[i + 1] == pair[1]
        result.append(new if found else word[i])
        i += 2 if found else 1
    return result


# The tokenizer -------------------------------------------------------------------------------------------------------


class BPETokenizer(Tokenizer):
    """Byte-level BPE: `decode(encode(text)) == text` for every text that UTF-8 can hold.

    Made by `train`, by `load`, or from a published vocabulary in the form of GPT-2's vocab.json and merges.txt. Such a
    vocabulary may lack a byte (SmolLM2's lacks six control characters): then `encode` refuses, so that nothing is lost.

    Args:
        vocab: token -> id, 0 to len(vocab) - 1. Tokens are in GPT-2's letters ("Ġthe" for b" the").
        merges: the pairs to join, in the order in which they were learnt, each as "Ġ t".
        split: "gpt2", or "digits" where every digit stands alone.
        special_tokens: those of `vocab` with a meaning of their own, such as "<|im_start|>"; not in GPT-2's letters.
    Raises: ValueError if the ids have gaps, or a merge or special token is not in `vocab`.

    >>> tokenizer = BPETokenizer.train("low low low lower lower newest newest", 260, special_tokens=["<end>"])
    >>> tokenizer.pieces("lowest")
    ['low', 'e', 's', 't']
    >>> tokenizer.encode("Ö")    # not in the training text, but its two bytes are in every trained vocabulary
    [195, 150]
    >>> tokenizer.encode("<end>"), tokenizer.encode("<end>", allow_special=True)
    ([60, 101, 110, 100, 62], [259])
    """

    saved_fields = ("split", "special_tokens", "vocab", "merges")

    def __init__(
        self,
        vocab: Mapping[str, int],
        merges: Iterable[str],
        *,
        split: str = "gpt2",
        special_tokens: Iterable[str] = (),
    ) -> None:
        names = sorted(vocab, key=vocab.get)
        if [vocab[name] for name in names] != list(range(len(names))):
            raise ValueError(
                f"the ids of vocab must be 0 to {len(names) - 1}, each once; special tokens fill gaps."
            )
        special_tokens = check_special_tokens(special_tokens)
        if missing := set(special_tokens) - set(names):
            raise ValueError(
                f"special tokens {sorted(missing)} are not in vocab; give each an id there."
            )
        self.vocab, self.merges, self.split = dict(vocab), list(merges), split
        self.special_tokens = {name: vocab[name] for name in special_tokens}
        self.tokens = [
            name.encode() if name in self.special_tokens else to_bytes(name) for name in names
        ]
        self._words = pretokenizer_pattern(split).findall
        self._special_ids = set(self.special_tokens.values())
        self._byte_ids = [self._ordinary_id(letter) for _, letter in sorted(BYTE_TO_LETTER.items())]
        self._ranks = dict(self._rank(rank, merge) for rank, merge in enumerate(self.merges))
        self._word_ids = MemoDict(self._encode_word)

    def _ordinary_id(self, name: str) -> int | None:
        return None if name in self.special_tokens else self.vocab.get(name)

    def _rank(self, rank: int, merge: str) -> tuple[tuple[int, int], tuple[int, int]]:
        """A merge as (left id, right id), (rank, joined id)."""
        left, _, right = merge.partition(" ")
        ids = [self._ordinary_id(name) for name in (left, right, left + right)]
        if None in ids:
            raise ValueError(
                f"merge {rank}, {merge!r}, needs tokens that vocab lacks; are both of one model, without header?"
            )
        return (ids[0], ids[1]), (rank, ids[2])

    @classmethod
    def from_vocab(
        cls,
        vocab: Mapping[str, int],
        merges: Iterable[str],
        *,
        split: str = "gpt2",
        special_tokens: Iterable[str] = (),
    ) -> "BPETokenizer":
        """A published tokenizer: the constructor under the name that says so."""
        return cls(vocab, merges, split=split, special_tokens=special_tokens)

    @classmethod
    def train(
        cls, text: str, vocab_size: int, special_tokens: Iterable[str] = (), *, split: str = "gpt2"
    ) -> "BPETokenizer":
        """Learn a vocabulary from `text`: the 256 bytes (ids 0-255), then the merges in order, then the special tokens.

        A text too short for `vocab_size` ends with fewer, when every word is one token: ask `.vocab_size` how many.
        Special tokens found in the text are passed over, not learnt from.

        Raises: ValueError if `text` is empty or `vocab_size` leaves no room for bytes and special tokens.
        """
        special_tokens = check_special_tokens(special_tokens)
        if not text:
            raise ValueError(
                "text is empty, so there are no pairs to count; pass the training text."
            )
        n = len(special_tokens)
        if (room := vocab_size - n) < 256:
            raise ValueError(
                f"vocab_size={vocab_size} is too small; 256 bytes and {n} special tokens need {256 + n}."
            )
        words = Counter()
        for part in split_special(text, special_tokens)[::2]:
            words.update(pretokenizer_pattern(split).findall(part))
        merges = [
            (to_letters(left), to_letters(right)) for left, right in learn_merges(words, room)
        ]
        names = [BYTE_TO_LETTER[byte] for byte in range(256)] + [
            left + right for left, right in merges
        ]
        if taken := set(special_tokens) & set(names):
            raise ValueError(
                f"special tokens {sorted(taken)} are also ordinary ones; give them names like '<|end|>'."
            )
        vocab = {name: i for i, name in enumerate(names + special_tokens)}
        return cls(vocab, map(" ".join, merges), split=split, special_tokens=special_tokens)

    def encode(self, text: str, *, allow_special: bool = False) -> list[int]:
        """The ids of `text`.

        Args:
            allow_special: read "<|im_start|>" in the text as the special token. Off, it is so many ordinary characters,
                and what a user types can never pass for the frame of a chat: turn it on only for text you wrote.
        Raises: ValueError at a lone surrogate, or at a byte that a published vocabulary has no token for.
        """
        ids = []
        for n, part in enumerate(split_special(text, self.special_tokens if allow_special else ())):
            if n % 2:
                ids.append(self.special_tokens[part])
            else:
                for word in self._words(part):
                    ids += self._word_ids[word]
        return ids

    def _encode_word(self, word: str) -> list[int]:
        """Join the pair that was learnt first, leftmost first, until none is left; n log n, for words can be long."""
        ids = [self._byte_ids[byte] for byte in word.encode()]
        if None in ids:
            byte = word.encode()[ids.index(None)]
            raise ValueError(
                f"{word!r} holds byte 0x{byte:02x}, for which this vocabulary has no token; remove it."
            )
        N = len(ids)
        ids.append(None)  # a neighbour for both ends
        left, right = list(range(-1, N)), [*range(1, N + 1), N]
        queue = []

        def offer(i: int) -> None:
            if found := self._ranks.get((ids[i], ids[right[i]])):
                heappush(queue, (found[0], i, found[1]))

        for i in range(N):
            offer(i)
        while queue:
            _, i, new = heappop(queue)
            j = right[i]
            if self._ranks.get((ids[i], ids[j]), (None, None))[1] != new:
                continue  # one of the two was joined to another neighbour meanwhile
            ids[i], ids[j] = new, None
            right[i] = right[j]
            left[right[j]] = i
            offer(left[i])
            offer(i)
        return [i for i in ids if i is not None]

    def decode(self, ids: Iterable[int], *, skip_special: bool = False) -> str:
        """The text that `ids` spell. Bytes that are not UTF-8, such as half of a character, become the sign U+FFFD.

        Args:
            skip_special: leave special tokens out.
        Raises: ValueError at an id outside the vocabulary.
        """
        skipped = self._special_ids if skip_special else ()
        kept = (self.tokens[i] for i in self.check_ids(ids) if i not in skipped)
        return b"".join(kept).decode(errors="replace")

    def token_bytes(self, i: int) -> bytes:
        """The bytes of one token; a character may be cut in two. Raises: ValueError at an id outside the vocabulary."""
        return self.tokens[self.check_ids([i])[0]]

    def pieces(self, text: str, *, allow_special: bool = False) -> list[str]:
        r"""What each token of `text` spells, to look at; bytes that are no whole character are written out.

        >>> BPETokenizer.train("no, no", vocab_size=256).pieces("né")
        ['n', '\\xc3', '\\xa9']
        """
        ids = self.encode(text, allow_special=allow_special)
        return [self.tokens[i].decode(errors="backslashreplace") for i in ids]


def check_special_tokens(special_tokens: Iterable[str]) -> list[str]:
    """The names as a list. Raises: ValueError if one is empty or stands there twice."""
    if isinstance(special_tokens, str):
        raise ValueError(f"special_tokens={special_tokens!r} is one text; pass a list of names.")
    names = [check_text(name) for name in special_tokens]
    if "" in names or len(set(names)) < len(names):
        raise ValueError(f"special_tokens={names} must each have a name, and no two the same.")
    return names
