"""Sampling for GRPO: all responses of a round in one batch, beside one by one.

Run   python -m benchmarks rollouts     Takes   about two minutes on one core

A round as `fmcourse.alignment.grpo` samples it: 32 prompts with 8 responses each, at temperature 1
and with a KV cache, rows that have ended leave the batch. First the little model of the sums,
three layers of width 96, characters, responses of four tokens; then one of four layers and width
128 that writes 32 tokens after prompts of 3 to 10. The peer is our own `generate`, prompt after
prompt with the same seeds, and the texts must be the same.
"""

import random
from functools import partial

import torch

from benchmarks.rows import Row, row, side_by_side
from fmcourse.alignment import sample_texts, sums
from fmcourse.generation import generate
from fmcourse.models.transformer import Transformer, modern

PROMPTS, GROUP, LONG, ROUNDS = 32, 8, 32, 3


def one_by_one(model: Transformer, prompts: list[str], new: int) -> list[str]:
    common = {"max_new_tokens": new, "stop": [sums.END]}
    return [
        generate(model, sums.TOKENIZER, prompt, seed=row, **common)
        for row, prompt in enumerate(prompts)
    ]


def sampling_row(what: str, model: Transformer, prompts: list[str], new: int, rounds: int) -> Row:
    """Tokens a second of both, and their ratio."""
    common = {"max_new_tokens": new, "end_id": sums.END_ID, "seed": 0}
    works = {
        "batch": partial(sample_texts, model, sums.TOKENIZER, prompts, **common),
        "one by one": partial(one_by_one, model, prompts, new),
    }
    texts = works["batch"]()
    if texts != works["one by one"]():
        raise AssertionError("the two write different texts, so their times cannot be compared.")
    tokens = sum(min(len(text) + 1, new) for text in texts)  # with the end
    ours, peer = side_by_side(works, rounds, warm_up=0).values()
    what = f"{what}: {len(prompts)} responses, {tokens:,} tokens; peer is `generate` one by one"
    return row(what, tokens / ours, tokens / peer, peer / ours, "tokens/s", ">= 4")


def untrained(width: int, depth: int, context: int) -> Transformer:
    """Weights drawn at random; not even the head is zero, else any two models would agree."""
    torch.manual_seed(0)
    vocab_size = sums.TOKENIZER.vocab_size
    shape = modern(vocab_size=vocab_size, context=context, width=width, depth=depth)
    model = Transformer(shape)
    torch.nn.init.normal_(model.head.weight, std=0.1)
    return model.eval()


def main(small: bool = False) -> list[Row]:
    """Tokens a second with their ratios."""
    prompts, group, long, rounds = (2, 2, 4, 1) if small else (PROMPTS, GROUP, LONG, ROUNDS)
    rng = random.Random(0)
    training, _ = sums.split_problems()
    asked = [p for p in sums.sum_prompts(training[:prompts]) for _ in range(group)]
    texts = ["".join(rng.choices("0123456789+=", k=rng.randint(3, 10))) for _ in range(prompts)]
    texts = [text for text in texts for _ in range(group)]
    return [
        sampling_row("sums", untrained(96, 3, 16), asked, sums.LONGEST_RESPONSE, rounds),
        sampling_row("longer", untrained(128, 4, 64), texts, long, rounds),
    ]
