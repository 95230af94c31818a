"""BPE: learning beside a naive learner, and learning and encoding beside `tokenizers`.

Run   python -m benchmarks bpe     Takes   about two minutes on one core

The naive learner is algorithm 1 of Sennrich et al. 2016 on the same words. It too holds each
distinct word once, so the ratio is what keeping the counts gains, not what counting words gains.
The ratio grows with the number of merges: the naive learner pays for each alike, the other mostly
for the first count.
"""

import json
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from benchmarks.rows import Row, row, time_work
from fmcourse.data import load
from fmcourse.tokenizers import BPETokenizer
from fmcourse.tokenizers.bpe import BYTE_TO_LETTER, learn_merges, merge_pair, pretokenizer_pattern

MERGES = 2000
RECOUNT_MERGES = 500  # each costs the naive learner a tenth of a second and more


def naive_merges(words: Mapping[str, int], size: int) -> list[tuple[bytes, bytes]]:
    """What `learn_merges` returns, by counting every pair of every word again before each merge."""
    tokens = [bytes([byte]) for byte in BYTE_TO_LETTER]
    age = {byte: i for i, byte in enumerate(BYTE_TO_LETTER)}
    spelt = [([age[byte] for byte in word.encode()], times) for word, times in words.items()]
    merges = []
    while len(tokens) < size:
        counts = Counter()
        for word, times in spelt:
            for pair in pairwise(word):
                counts[pair] += times
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        spelt = [(merge_pair(word, best, len(tokens)), times) for word, times in spelt]
        merges.append((tokens[best[0]], tokens[best[1]]))
        tokens.append(b"".join(merges[-1]))
    return merges


def learning_rows(text: str, merges: int) -> list[Row]:
    """The same words, the same merges: counts kept, or counted again."""
    words = Counter(pretokenizer_pattern("gpt2").findall(text))
    ours, mine = time_work(lambda: learn_merges(words, 256 + merges))
    peer, theirs = time_work(lambda: naive_merges(words, 256 + merges))
    if mine != theirs:
        raise AssertionError(
            "the two learners found different merges, so their times cannot be compared."
        )
    what = f"learn {merges} merges from {len(words)} distinct words; peer recounts before each"
    return [row(what, ours, peer, peer / ours, "s", ">= 50")]


def library_rows(text: str, size: int) -> list[Row]:
    """Splitting, counting and learning; then encoding the paragraphs of the text, for the first
    time and once more.
    """
    ours, tokenizer = time_work(lambda: BPETokenizer.train(text, size))
    theirs = Tokenizer(models.BPE())
    theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
    peer, _ = time_work(lambda: theirs.train_from_iterator([text], trainer))
    merges = [" ".join(merge) for merge in json.loads(theirs.to_str())["model"]["merges"]]
    same = "the same" if merges == tokenizer.merges else "NOT the same"
    rows = [
        row(
            f"train on the text, {size} tokens; peer is tokenizers, {same} merges",
            ours,
            peer,
            peer / ours,
            "s",
            None,
        )
    ]
    theirs.model = models.BPE(
        tokenizer.vocab, [tuple(merge.split(" ")) for merge in tokenizer.merges]
    )  # ids as ours
    paragraphs = text.split("\n\n")  # the peer is twice as fast on these as on one long text
    megabytes = sum(len(paragraph.encode()) for paragraph in paragraphs) / 1e6
    for when in ("first time", "words remembered"):
        ours, ids = time_work(lambda: [tokenizer.encode(paragraph) for paragraph in paragraphs])
        peer, encodings = time_work(lambda: theirs.encode_batch_fast(paragraphs))
        same = "the same" if ids == [encoding.ids for encoding in encodings] else "NOT the same"
        what = f"encode {megabytes:.1f} MB by paragraphs, {when}; peer is tokenizers, {same} ids"
        rows.append(row(what, megabytes / ours, megabytes / peer, peer / ours, "MB/s", None))
    return rows


def main(small: bool = False) -> list[Row]:
    """Rows with ratio above 1 where ours is faster."""
    text, merges, recounted = load("shakespeare").train, MERGES, RECOUNT_MERGES
    if small:
        text, merges, recounted = text[:20_000], 20, 20
    return learning_rows(text, recounted) + library_rows(text, 256 + merges)
