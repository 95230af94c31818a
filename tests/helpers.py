"""What several tests need: models of many shapes, a byte tokenizer, proofs of exercises."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from fmcourse.models.transformer import Transformer, bert, gpt2, llama, modern


def randomize(model: nn.Module, std: float = 0.2, seed: int = 0) -> nn.Module:
    """Draw every parameter anew: fresh norms and zero-initialised layers would hide a swap."""
    generator = torch.Generator().manual_seed(seed)
    for weight in model.parameters():
        nn.init.normal_(weight, std=std, generator=generator)
    return model.eval()


SHAPES = {
    "gpt2": gpt2(vocab_size=61, context=24, width=36, depth=3, heads=3),
    "gpt2 untied": gpt2(vocab_size=17, context=9, width=20, depth=1, heads=5, tied=False),
    "gpt2 wide": gpt2(vocab_size=129, context=33, width=56, depth=2, heads=7),
    "llama": llama(vocab_size=53, context=40, width=48, depth=3, heads=6, kv_heads=2, hidden=100),
    "llama untied": llama(
        vocab_size=31,
        context=19,
        width=30,
        depth=1,
        heads=5,
        kv_heads=5,
        hidden=44,
        tied=False,
        rope_base=500.0,
    ),
    "llama one key": llama(
        vocab_size=77, context=25, width=56, depth=2, heads=7, kv_heads=1, hidden=90, norm_eps=1e-6
    ),
    "qwen2": replace(
        llama(vocab_size=47, context=27, width=40, depth=2, heads=5, kv_heads=1, hidden=62),
        qkv_bias=True,
    ),
    "bert": bert(vocab_size=71, context=30, width=36, depth=3, heads=3, hidden=52),
    "bert types": bert(vocab_size=23, context=12, width=20, depth=1, heads=5, token_types=3),
    "bert bare": bert(vocab_size=41, context=21, width=44, depth=2, heads=11, head="none"),
    "modern": modern(vocab_size=45, context=32, width=32, depth=2, heads=2),
}
CAUSAL = [name for name, config in SHAPES.items() if config.causal]
PUBLISHED = [name for name in SHAPES if name != "modern"]


def model_of(name: str) -> Transformer:
    return randomize(Transformer(SHAPES[name]))


def ids_for(name: str, batch: int = 3, length: int | None = None, seed: int = 1) -> torch.Tensor:
    config = SHAPES[name]
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(config.vocab_size, (batch, length or config.context), generator=generator)


class ByteTokenizer:
    """The simplest tokenizer there is, for models with 256 tokens or fewer."""

    def __init__(self, vocab_size: int = 256) -> None:
        self.vocab_size = vocab_size

    def encode(self, text: str) -> list[int]:
        return [byte % self.vocab_size for byte in text.encode()]

    def decode(self, ids: list[int]) -> str:
        return bytes(ids).decode(errors="replace")


def wrong_verdicts(exercise: Any, say: Callable[[Any, Any], Any]) -> list[str]:
    """Faults of an exercise's answers, a sentence each: right answers that are refused, mistakes
    that get another name, or whose explanation does not end in a question.

    Args:
        say: (exercise, answer) -> verdict.
    """
    found = []
    for n, answer in enumerate([exercise.solution, *exercise.other_solutions]):
        if not (verdict := say(exercise, answer)).correct:
            found.append(f"right answer {n} is refused: {verdict}")
    for mistake in exercise.mistakes:
        if (verdict := say(exercise, mistake.wrong_answer)).name != mistake.name:
            found.append(f"{mistake.name!r} is called {verdict.name!r}: {verdict.sentences}")
        if "?" not in mistake.explanation:
            found.append(f"the explanation of {mistake.name!r} asks nothing")
    return found


def quick_first(exercises: Iterable[Any]) -> list[Any]:
    """For `parametrize`: the first exercise of each lesson, and the others marked as slow."""
    seen, parameters = set(), []
    for exercise in exercises:
        lesson = exercise.id.split(".")[0]
        parameters.append(
            pytest.param(exercise, marks=[pytest.mark.slow] if lesson in seen else [])
        )
        seen.add(lesson)
    return parameters
