"""Speech that ships: what was said, in which language, and the sound of it, 8,000 samples a second.

T samples
"""

import json
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch import Tensor

SAMPLE_RATE = 8000  # samples a second


class Utterance(NamedTuple):
    """A spoken prompt: samples (T,) int16, its words, and the language as a code of two letters."""

    samples: Tensor
    text: str
    language: str


def read_utterances(contents: bytes) -> dict[str, tuple[Utterance, ...]]:
    """The prompts of each split in an unpacked file: a line of JSON, then all samples, the low bytes before the high ones.

    Each sample is kept as its distance from the one before, because what changes little packs well.
    """
    head, _, body = contents.partition(b"\n")
    low, high = torch.frombuffer(bytearray(body), dtype=torch.uint8).view(2, -1).int()
    samples = (low + 256 * high).to(torch.int16).cumsum(0, dtype=torch.int16)
    found: dict[str, list[Any]] = {split: [] for split in ("train", "validation", "test")}
    prompts = json.loads(head)["prompts"]
    ends = accumulate(length for *_, length in prompts)
    for (split, language, text, length), end in zip(prompts, ends, strict=True):
        found[split].append(Utterance(samples[end - length : end], text, language))
    return {split: tuple(said) for split, said in found.items()}
