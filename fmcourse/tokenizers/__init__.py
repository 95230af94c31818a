"""Tokenizers: text to token ids and back.

CharTokenizer one id per character short to read, long sequences, knows only what it saw
BPETokenizer bytes, merged by frequency GPT-2, SmolLM2: any text at all, and every byte comes back
WordPieceTokenizer longest known piece first BERT, MiniLM: normalizes, so what comes back is
simplified

Each has `.encode(str) -> list[int]`, `.decode(ids) -> str`, `.pieces(str) -> list[str]`, `.save`,
`.load` and `.vocab_size`. token_file.py puts the ids of a large text into a file.
"""

from fmcourse.tokenizers.bpe import BPETokenizer
from fmcourse.tokenizers.characters import CharTokenizer
from fmcourse.tokenizers.wordpiece import WordPieceTokenizer

__all__ = ["BPETokenizer", "CharTokenizer", "WordPieceTokenizer"]
