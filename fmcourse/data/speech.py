"""Speech that ships: short spoken prompts with their words and language, 8,000 samples a second.

T samples
"""

import json
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor

from fmcourse.data.records import SPLITS

SAMPLE_RATE = 8000  # samples a second


class Utterance(NamedTuple):
    """A spoken prompt: samples (T,) int16, its words, and its language as a code of two letters."""

    samples: Tensor
    text: str
    language: str


def read_utterances(contents: bytes) -> dict[str, tuple[Utterance, ...]]:
    """The utterances of each split in an unpacked file.

    The file is one line of JSON, then all samples. The line's "prompts" say of each utterance its
    split, language, text and T. Each sample is kept as its difference from the one before, in 16
    bits that wrap around, because small differences compress well; all low bytes stand before all
    high bytes.
    """
    head, _, body = contents.partition(b"\n")
    # (2, all samples): low bytes, then high bytes. `int`, because 256 * high exceeds a byte.
    low, high = torch.frombuffer(bytearray(body), dtype=torch.uint8).view(2, -1).int()
    # Adding up undoes the differences; in 16 bits the sums wrap around as the differences did.
    samples = (low + 256 * high).to(torch.int16).cumsum(0, dtype=torch.int16)
    prompts = json.loads(head)["prompts"]
    ends = accumulate(length for *_, length in prompts)
    found: dict[str, list[Utterance]] = {split: [] for split in SPLITS}
    for (split, language, text, length), end in zip(prompts, ends, strict=True):
        found[split].append(Utterance(samples[end - length : end], text, language))
    return {split: tuple(utterances) for split, utterances in found.items()}
