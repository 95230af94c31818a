"""Token ids of a large text in a file that is mapped into memory: only what is read takes room.

A list of Python ints takes 8 bytes for each token, or more; here a token takes 2 on the disk.
`training.RandomCrops` takes what these functions return. Not imported by `fmcourse.tokenizers`,
which needs no numpy.
"""

from pathlib import Path
from typing import BinaryIO

import numpy as np

from fmcourse.files import write_atomically
from fmcourse.tokenizers.base import Tokenizer, cut_before_spaces
from fmcourse.tokenizers.wordpiece import WordPieceTokenizer


def write_tokens(tokenizer: Tokenizer, text: str, path: str | Path) -> np.ndarray:
    """Encode `text` piece by piece into a file, whole or not at all; its ids, mapped, (N,).

    They are those of `tokenizer.encode(text)`; of WordPiece without [CLS] and [SEP].
    Raises: whatever `tokenizer.encode` raises, and OSError if the file cannot be written.
    """

    def write(temporary: Path) -> None:
        with open(temporary, "wb") as file:
            write_pieces(tokenizer, text, file)

    write_atomically(path, write)
    return map_tokens(path, tokenizer.vocab_size)


def write_pieces(tokenizer: Tokenizer, text: str, file: BinaryIO) -> None:
    is_word_piece = isinstance(tokenizer, WordPieceTokenizer)
    options = {"add_special_tokens": False} if is_word_piece else {}
    for piece in cut_before_spaces(text):
        ids = tokenizer.encode(piece, **options)
        file.write(np.array(ids, token_type(tokenizer.vocab_size)).tobytes())


def map_tokens(path: str | Path, vocab_size: int) -> np.ndarray:
    """The ids in a file that `write_tokens` wrote with a tokenizer of so many tokens, (N,)."""
    dtype = token_type(vocab_size)
    if not Path(path).stat().st_size:  # an empty file cannot be mapped
        return np.empty(0, dtype)
    return np.memmap(path, dtype, mode="r")


def token_type(vocab_size: int) -> type[np.unsignedinteger]:
    """The smallest of two types that holds every id."""
    return np.uint16 if vocab_size <= 2**16 else np.uint32
