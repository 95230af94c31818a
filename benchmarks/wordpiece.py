"""WordPiece beside `tokenizers`: MiniLM's vocabulary, the same ids, in many scripts.

Run   python -m benchmarks wordpiece     Takes   about half a minute on one core

The peer is compiled Rust on one thread, and encodes in batches; ours is Python that remembers words
it has cut before.
"""

import os

from benchmarks.rows import Row, row, time_work
from fmcourse import packages, pretrained
from fmcourse.data import load

HARD = [
    "Zażółć gęślą jaźń, Ærøskøbing",
    "e\u0301 n\u0303 o\u0302\u0323",
    "Tiếng Việt: phở",
    "İstanbul ışık ŞİŞLİ",
    "Straße STRASSE ẞ",
    "ﬁ ﬂ ﬃ ĳ ǆ",
    "Ὀδυσσεύς, ΟΔΥΣΣΕΥΣ",
    "Съешь же ещё этих булок",
    "السَّلَامُ عَلَيْكُم، ١٢٣",
    "שָׁלוֹם עוֹלָם",
    "नमस्ते दुनिया",
    "สวัสดีชาวโลก",
    "你好，世界！",
    "こんにちは、世界",
    "안녕하세요 세계",
    "won't rock'n'roll",
    "$5.00 + 3 < 9 ~ `x`",
    "a\u200db\u00adc\ufffd\x00d",
]


def peer_of(folder):
    """The library's tokenizer from the same folder, uncut and unpadded."""
    from tokenizers import Tokenizer

    theirs = Tokenizer.from_file(str(folder / "tokenizer.json"))
    theirs.no_padding()
    theirs.no_truncation()
    return theirs


def main(small: bool = False) -> list[Row]:
    """Megabytes a second; the row says whether the ids are the same."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    ours = pretrained.load_tokenizer("minilm-l6")
    theirs = peer_of(packages.package_file("minilm-l6", "config.json").parent)
    verses = load("bible").train[: 20_000 if small else 2_000_000].split("\n")
    texts = {
        "2 MB of English by lines": verses,
        f"{len(HARD)} hard texts, 200 times": HARD * (2 if small else 200),
    }
    rows = []
    for what, lines in texts.items():
        megabytes = sum(len(line.encode()) for line in lines) / 1e6
        for when in ("first time", "words remembered"):
            mine, ids = time_work(lambda lines=lines: [ours.encode(line) for line in lines])
            peer, encodings = time_work(lambda lines=lines: theirs.encode_batch_fast(lines))
            same = "the same" if ids == [encoding.ids for encoding in encodings] else "NOT the same"
            name = f"encode {what}, {when}; peer is tokenizers, {same} ids"
            rows.append(row(name, megabytes / mine, megabytes / peer, peer / mine, "MB/s"))
    return rows
