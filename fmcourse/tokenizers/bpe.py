"""Byte-level byte-pair encoding (BPE): begin with bytes, merge the most frequent pair, repeat.

    training   pre-tokenize the text into words; while there is room, merge the most frequent pair
    encoding   pre-tokenize; in each word, merge the pair that was learnt first, until none is left
    decoding   join the bytes of the tokens

For words: Sennrich et al. 2016, algorithm 1. On bytes, so that no text is unknown: Radford et al.
2019, section 2.2. The file reads top to bottom; what is written for speed alone stands at its end.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from functools import cache
from heapq import heapify, heappop, heappush
from itertools import groupby, pairwise

from tqdm.auto import tqdm

from fmcourse.tokenizers.base import (
    MemoDict,
    Tokenizer,
    check_text,
    cut_before_spaces,
    split_special,
)

Pair = tuple[int, int]  # two neighbouring token ids

# Bytes as letters ------------------------------------------------------------------------------

# GPT-2's files write a byte as one visible character: itself if it prints in Latin-1, else the next
# free one after U+00FF. So a space is Ġ. Printing bytes come first in this table; its order also
# decides which of two equally frequent pairs is merged first.
# Left out are the controls, the two spaces and the soft hyphen (U+00AD), which is invisible.
PRINTING = [
    *range(ord("!"), ord("~") + 1),
    *range(ord("¡"), ord("¬") + 1),
    *range(ord("®"), ord("ÿ") + 1),
]
HIDDEN = [byte for byte in range(256) if byte not in PRINTING]
BYTE_TO_LETTER = {byte: chr(byte) for byte in PRINTING}
BYTE_TO_LETTER |= {byte: chr(256 + n) for n, byte in enumerate(HIDDEN)}
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
            f"token {letters!r} holds {error}, which stands for no byte in GPT-2's alphabet; "
            "name it in special_tokens if it is a special token."
        ) from None


# Pre-tokenization: a token never crosses from one word into the next ---------------------------


@cache  # goes through all of Unicode: only once for each split
def pretokenizer_pattern(split: str) -> re.Pattern[str]:
    r"""The pattern whose matches are the words of a text; joined, they are the text again.

    GPT-2's, in words: an ending such as 's; letters, numbers or other signs, each with the space
    before them; else spaces, where the last of several belongs to the word that follows. "digits"
    (SmolLM2) makes every digit a word.

    >>> pretokenizer_pattern("gpt2").findall("It's  1984 (again)")
    ['It', "'s", ' ', ' 1984', ' (', 'again', ')']
    >>> pretokenizer_pattern("digits").findall("It's  1984 (again)")
    ['It', "'s", '  ', '1', '9', '8', '4', ' (', 'again', ')']
    """
    if split not in ("gpt2", "digits"):
        raise ValueError(
            f"split={split!r} is not known; "
            "choose 'gpt2' or 'digits' (as GPT-2, but every digit alone)."
        )
    # GPT-2 asks for Unicode's classes. `re` does not have them, so they are built from what it has:
    # \w is letter, number or _; \d lacks numbers such as ² and Ⅷ; \s has four control characters
    # too many. Characters younger than this Python's Unicode tables count as other signs.
    other_numbers = character_ranges(
        code for code in range(0x110000) if unicodedata.category(chr(code)) in ("Nl", "No")
    )
    letter, number = rf"[^\W\d_{other_numbers}]", rf"[\d{other_numbers}]"
    space, other = r"[^\S\x1c-\x1f]", r"(?:[^\w\s]|[_\x1c-\x1f])"
    if split == "gpt2":
        numbers, takes_a_space = f" ?{number}+", f"{letter}|{number}|{other}"
    else:
        numbers, takes_a_space = number, f"{letter}|{other}"  # no space joins a single digit
    return re.compile(
        "'(?:[sdmt]|ll|ve|re)"  # 's 'd 'm 't 'll 've 're
        f"| ?{letter}+|{numbers}| ?{other}+"
        # The first gives its last space back if a word can take it; the second is for what is left,
        # such as a tab right before a word.
        f"|{space}+(?!{takes_a_space})|{space}+"
    )


def character_ranges(codes: Iterable[int]) -> str:
    r"""Code points as ranges of a character class.

    >>> print(character_ranges([97, 98, 99, 120]))
    \U00000061-\U00000063\U00000078-\U00000078
    """
    # In a run of neighbours, code minus place is the same for all.
    numbered = groupby(enumerate(codes), lambda pair: pair[1] - pair[0])
    runs = [[code for _, code in run] for _, run in numbered]
    return "".join(rf"\U{run[0]:08x}-\U{run[-1]:08x}" for run in runs)


# Training --------------------------------------------------------------------------------------


def learn_merges(
    words: Mapping[str, int], size: int, progress: bool = False
) -> list[tuple[bytes, bytes]]:
    """The pairs to merge, in order, until there are `size` tokens or no pair is left.

    Of equally frequent pairs the one whose left, then right, token is older is merged first; bytes
    are as old as their place in GPT-2's alphabet. So the merges are those of the `tokenizers`
    library.

    Args:
        words: how often each word stands in the text.
        size: how many tokens there may be, the 256 bytes among them.
        progress: show a bar.

    >>> learn_merges({"low": 5, "lower": 2, "new": 6}, size=258)
    [(b'l', b'o'), (b'lo', b'w')]
    """
    # While training, a token's id is its age: the smaller id is the older token.
    tokens = [bytes([byte]) for byte in BYTE_TO_LETTER]
    id_of_byte = {byte: i for i, byte in enumerate(BYTE_TO_LETTER)}
    # Each different word once, with its count: a text holds far more words than different ones.
    ids = [[id_of_byte[byte] for byte in word.encode()] for word in words]
    pairs = PairCounts(ids, list(words.values()))
    merges = []
    with tqdm(total=size - len(tokens), unit="merge", disable=not progress) as bar:
        while len(tokens) < size and (pair := pairs.most_frequent()):
            left, right = tokens[pair[0]], tokens[pair[1]]
            pairs.merge(pair, new=len(tokens))
            merges.append((left, right))
            tokens.append(left + right)
            bar.update()
    return merges


def merge_pair(ids: list[int], pair: Pair, new: int) -> list[int]:
    """`ids` with `new` in place of each `pair`, from the left.

    >>> merge_pair([7, 7, 7, 1], (7, 7), 9)
    [9, 7, 1]
    """
    merged, i = [], 0
    while i < len(ids):
        # Pairs may overlap, as in 7 7 7: the left one is taken, and the scan goes on after it.
        if i + 1 < len(ids) and (ids[i], ids[i + 1]) == pair:
            merged.append(new)
            i += 2
        else:
            merged.append(ids[i])
            i += 1
    return merged


def count_words(text: str, split: str, special_tokens: Iterable[str]) -> Counter[str]:
    """How often each word stands in a text, special tokens left out."""
    words = Counter()
    for ordinary in split_special(text, special_tokens)[::2]:  # special tokens are at odd places
        for piece in cut_before_spaces(ordinary):  # a list of all words would be large
            words.update(pretokenizer_pattern(split).findall(piece))
    return words


# The tokenizer ---------------------------------------------------------------------------------


class BPETokenizer(Tokenizer):
    """Byte-level BPE: `decode(encode(text)) == text` for every text that UTF-8 can hold.

    Made by `train`, by `load`, or from a published vocabulary in the form of GPT-2's vocab.json and
    merges.txt. Such a vocabulary may lack a byte (SmolLM2's lacks six control characters): then
    `encode` raises an error, so that nothing is lost silently.

    Args:
        vocab: token -> id, 0 to len(vocab) - 1. Tokens are in GPT-2's letters ("Ġthe" for b" the").
        merges: the pairs to merge, in the order in which they were learnt, each as "Ġ t".
        split: "gpt2", or "digits" where every digit stands alone.
        special_tokens: those of `vocab` with a meaning of their own, such as "<|im_start|>"; not in
            GPT-2's letters.
    Raises: ValueError if the ids have gaps, or a merge or special token is not in `vocab`.

    >>> text = "low low low lower lower newest newest"
    >>> tokenizer = BPETokenizer.train(text, 260, special_tokens=["<end>"])
    >>> tokenizer.pieces("lowest")
    ['low', 'e', 's', 't']
    >>> tokenizer.encode("Ö")    # not in the text, but every trained vocabulary has its two bytes
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
                f"the ids of vocab must be 0 to {len(names) - 1}, each once; "
                "special tokens fill gaps."
            )
        special_tokens = check_special_tokens(special_tokens)
        if missing := set(special_tokens) - set(names):
            raise ValueError(
                f"special tokens {sorted(missing)} are not in vocab; give each an id there."
            )
        self.vocab, self.merges, self.split = dict(vocab), list(merges), split
        self.special_tokens = {name: vocab[name] for name in special_tokens}
        # Special tokens stand in `vocab` as plain text, all others in GPT-2's letters.
        self.tokens = [
            name.encode() if name in self.special_tokens else to_bytes(name) for name in names
        ]
        self._split_words = pretokenizer_pattern(split).findall
        self._special_ids = set(self.special_tokens.values())
        # By the value of the byte, so that a byte is its own index.
        self._byte_ids = [self._ordinary_id(letter) for _, letter in sorted(BYTE_TO_LETTER.items())]
        self._ranks = dict(self._rank(rank, merge) for rank, merge in enumerate(self.merges))
        # Most words of a text stood there before, so their ids are kept.
        self._word_ids = MemoDict(self._encode_word)

    def _ordinary_id(self, name: str) -> int | None:
        """The id of a token that may be part of a word: a special token never is."""
        return None if name in self.special_tokens else self.vocab.get(name)

    def _rank(self, rank: int, merge: str) -> tuple[Pair, tuple[int, int]]:
        """A merge as (left id, right id), (rank, merged id)."""
        # No letter is a space: the byte for a space is written Ġ.
        left, _, right = merge.partition(" ")
        ids = [self._ordinary_id(name) for name in (left, right, left + right)]
        if None in ids:
            raise ValueError(
                f"merge {rank}, {merge!r}, needs tokens that vocab lacks; "
                "are both of one model, without header?"
            )
        return (ids[0], ids[1]), (rank, ids[2])

    @classmethod
    def train(
        cls,
        text: str,
        vocab_size: int,
        special_tokens: Iterable[str] = (),
        *,
        split: str = "gpt2",
        progress: bool = False,
    ) -> "BPETokenizer":
        """Learn a vocabulary: the 256 bytes (ids 0-255), the merges in order, the special tokens.

        A text too short for `vocab_size` gives fewer tokens, when every word is one token: ask
        `.vocab_size` how many. Special tokens found in the text are passed over, not learnt from.

        Args:
            split, special_tokens: see the class.
            progress: show a bar that counts merges.
        Raises: ValueError if `text` is empty or `vocab_size` has no room for bytes and special
            tokens.
        """
        special_tokens = check_special_tokens(special_tokens)
        if not text:
            raise ValueError(
                "text is empty, so there are no pairs to count; pass the training text."
            )
        n = len(special_tokens)
        if (room := vocab_size - n) < 256:  # every byte needs a token, or a text may be unknown
            raise ValueError(
                f"vocab_size={vocab_size} is too small; "
                f"256 bytes and {n} special tokens need {256 + n}."
            )
        learnt = learn_merges(count_words(text, split, special_tokens), room, progress)
        merges = [(to_letters(left), to_letters(right)) for left, right in learnt]
        names = [BYTE_TO_LETTER[byte] for byte in range(256)]  # by value: a byte's id is its value
        names += [left + right for left, right in merges]
        if taken := set(special_tokens) & set(names):
            raise ValueError(
                f"special tokens {sorted(taken)} are also ordinary ones; "
                "give them names like '<|end|>'."
            )
        vocab = {name: i for i, name in enumerate(names + special_tokens)}
        return cls(vocab, map(" ".join, merges), split=split, special_tokens=special_tokens)

    def encode(self, text: str, *, allow_special: bool = False) -> list[int]:
        """The ids of `text`.

        Args:
            allow_special: read "<|im_start|>" in the text as the special token. Off, it is so many
                ordinary characters, and what a user types can never pass for the frame of a chat:
                    turn it on only for text that you wrote.
        Raises: ValueError at a lone surrogate, or at a byte that a published vocabulary has no
            token for.
        """
        ids = []
        for n, part in enumerate(split_special(text, self.special_tokens if allow_special else ())):
            if n % 2:  # at odd places stand special tokens
                ids.append(self.special_tokens[part])
            else:
                for word in self._split_words(part):
                    ids += self._word_ids[word]
        return ids

    def _encode_word(self, word: str) -> list[int]:
        """The ids of one word: its bytes, merged in the order in which the merges were learnt."""
        ids = [self._byte_ids[byte] for byte in word.encode()]
        if None in ids:
            byte = word.encode()[ids.index(None)]
            raise ValueError(
                f"{word!r} holds byte 0x{byte:02x}, for which this vocabulary has no token; "
                "remove it."
            )
        return merge_by_rank(ids, self._ranks)

    def decode(self, ids: Iterable[int], *, skip_special: bool = False) -> str:
        """The text that `ids` spell; bytes that are no UTF-8 (half of a character) become U+FFFD.

        Args:
            skip_special: leave special tokens out.
        Raises: ValueError at an id outside the vocabulary.
        """
        skipped = self._special_ids if skip_special else ()
        kept = (self.tokens[i] for i in self.check_ids(ids) if i not in skipped)
        # Joined first: a character's bytes may lie in several tokens.
        return b"".join(kept).decode(errors="replace")

    def token_bytes(self, i: int) -> bytes:
        """The bytes of one token, which may be a part of a character.

        Raises: ValueError at an id outside the vocabulary.
        """
        return self.tokens[self.check_ids([i])[0]]

    def pieces(self, text: str, *, allow_special: bool = False) -> list[str]:
        r"""What each token of `text` spells, to look at; bytes that are no whole character as \x...

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


# For speed -------------------------------------------------------------------------------------

# Both give what the plain loops give, which lesson 04 writes and tests/test_tokenizers.py compares:
# recounting all pairs before each merge, and searching the lowest rank before each merge.


GAP, EMPTY = -1, -2  # no token: between two words; merged into the token before it


class PairCounts:
    """How often each pair of neighbours stands in the words, kept up to date through all merges.

    A merge visits the places of its pair alone, however long the words are: text without spaces,
    Chinese or DNA, is a single word. That is more than a hundred times faster than recounting.

    Args:
        words: the ids that each distinct word is made of.
        word_counts: how often each of these words stands in the text.
    """

    def __init__(self, words: list[list[int]], word_counts: list[int]) -> None:
        # All words in one row, as a linked list: a merge takes out the place of its second token.
        self.ids = [i for word in words for i in (*word, GAP)]
        # How often the word that a place belongs to stands in the text.
        self.times = [
            times for word, times in zip(words, word_counts, strict=True) for _ in (*word, GAP)
        ]
        # Before the first place comes -1, the last one, which is a gap.
        self.left = list(range(-1, len(self.ids) - 1))
        self.right = list(range(1, len(self.ids) + 1))
        self.counts: dict[Pair, int] = defaultdict(int)
        # Where each pair begins, or began once: entries are never taken out again.
        self.places: dict[Pair, list[int]] = defaultdict(list)
        for place, pair in enumerate(pairwise(self.ids)):
            if GAP not in pair:
                self.counts[pair] += self.times[place]
                self.places[pair].append(place)
        # A heap has its smallest entry first: counts are negative, ties go to the older ids.
        self.queue = [(-count, pair) for pair, count in self.counts.items()]
        heapify(self.queue)

    def most_frequent(self) -> Pair | None:
        """The pair to merge next; None if no pair is left."""
        while self.queue:
            count, pair = heappop(self.queue)
            if -count == self.counts[pair]:
                return pair
            # The count has fallen since it was queued: queue the pair again with the count of now.
            if self.counts[pair]:
                heappush(self.queue, (-self.counts[pair], pair))
        return None

    def merge(self, pair: Pair, new: int) -> None:
        """Put `new` in place of every `pair`, as `merge_pair` does, and recount its neighbours."""
        change: dict[Pair, int] = defaultdict(int)
        # Sorted, because of overlapping pairs the left one is taken. Popped, because the merge
        # leaves no such pair anywhere.
        for place in sorted(self.places.pop(pair)):
            after = self.right[place]
            if (self.ids[place], self.ids[after]) == pair:  # else it was merged otherwise since
                self.merge_at(place, pair, new, change)
        for changed, by in change.items():
            self.counts[changed] += by
            # A count that fell is corrected when it comes up; one that rose must be queued, or it
            # would come up too late.
            if by > 0:
                heappush(self.queue, (-self.counts[changed], changed))

    def merge_at(self, place: int, pair: Pair, new: int, change: dict[Pair, int]) -> None:
        """Merge the pair that begins at this place; `change` collects what that does to counts."""
        ids, times = self.ids, self.times[place]
        second = self.right[place]
        before, after = self.left[place], self.right[second]
        ids[place], ids[second] = new, EMPTY
        self.right[place], self.left[after] = after, place
        change[pair] -= times
        if ids[before] != GAP:
            change[ids[before], pair[0]] -= times
            change[ids[before], new] += times
            self.places[ids[before], new].append(before)
        if ids[after] != GAP:
            change[pair[1], ids[after]] -= times
            change[new, ids[after]] += times
            self.places[new, ids[after]].append(place)


def merge_by_rank(ids: list[int], ranks: Mapping[Pair, tuple[int, int]]) -> list[int]:
    """Merge the pair of lowest rank, leftmost first, until no pair has a rank.

    In n log n steps, because a word can be long: the tokens are a linked list, the pairs a queue.

    Args:
        ranks: (left id, right id) -> (rank, merged id).
    """
    N = len(ids)
    ids = [*ids, None]  # place N: what comes after the last token, and before the first
    left, right = list(range(-1, N)), [*range(1, N + 1), N]
    queue = []

    def queue_pair(i: int) -> None:
        """Queue the pair that begins at place i, if there is a merge for it."""
        if found := ranks.get((ids[i], ids[right[i]])):
            rank, merged = found
            # Tuples compare from the left: the lowest rank, then the leftmost place.
            heappush(queue, (rank, i, merged))

    for i in range(N):
        queue_pair(i)
    while queue:
        _, i, merged = heappop(queue)
        j = right[i]
        # Stale entries stay in the queue, because a heap removes nothing but its smallest cheaply.
        if ranks.get((ids[i], ids[j]), (None, None))[1] != merged:
            continue  # one of the two was merged with its other neighbour since
        ids[i], ids[j] = merged, None  # place j is empty from now on
        right[i] = right[j]
        left[right[j]] = i
        # The new token has new pairs with both neighbours.
        queue_pair(left[i])
        queue_pair(i)
    return [i for i in ids if i is not None]
