"""Decoding with SmolLM2: ours in 32 bits beside transformers' `generate`, and in 4 bits beside 32.

Run   python -m benchmarks decoding     Takes   about two minutes on one core

All have the same published weights; transformers opens them from a folder that `pretrained.to_hf`
wrote. One prompt from Shakespeare, greedy, a whole call timed: reading the prompt, writing,
decoding tokens to text. In 32 bits a token waits for 540 MB to come from memory; in 4 bits for
their unpacking, so the factor depends on the CPU: the target was seen on a CPU with AVX-512.
bfloat16 is compared only where the CPU multiplies it (avx512_bf16 or amx_bf16). What 4 bits lose
is measured on the beginning of the first validation play.
"""

import copy
import tempfile
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaForCausalLM
from transformers.utils import logging

from benchmarks.machine import cpu_flags
from benchmarks.rows import Row, Work, row, side_by_side
from fmcourse import pretrained
from fmcourse.data import load
from fmcourse.evaluation import bits_per_byte, mean_interval, token_nats
from fmcourse.generation import generate
from fmcourse.models.transformer import Transformer, llama
from fmcourse.tokenizers import BPETokenizer

NAME = "smollm2-135m-instruct"
PROMPT, NEW, ROUNDS = 16, 48, 5
SCORED, CONTEXT = 1300, 512
HALF_PRECISION_FLAGS = {"avx512_bf16", "amx_bf16"}


def reference(model: Transformer) -> LlamaForCausalLM:
    """transformers' model with the weights of ours."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder:
        pretrained.to_hf(model, Path(folder))
        theirs = LlamaForCausalLM.from_pretrained(folder).eval()
        # A copy, because its weights may be mapped to the folder's files, which are deleted now.
        return copy.deepcopy(theirs)


def ours(model: Transformer, tokenizer: BPETokenizer, ids: list[int], new: int) -> Work:
    return lambda: generate(model, tokenizer, ids, max_new_tokens=new, temperature=0)


def theirs(model: LlamaForCausalLM, tokenizer: BPETokenizer, ids: list[int], new: int) -> Work:
    prompt = torch.tensor([ids])
    fixed: dict[str, Any] = dict(
        do_sample=False, max_new_tokens=new, min_new_tokens=new, pad_token_id=0
    )

    def work() -> str:
        with torch.inference_mode():
            out = model.generate(prompt, attention_mask=torch.ones_like(prompt), **fixed)
        return tokenizer.decode(out[0, len(ids) :].tolist())

    return work


def speeds(
    full: Transformer,
    packed: Transformer,
    tokenizer: BPETokenizer,
    ids: list[int],
    new: int,
    rounds: int,
) -> list[Row]:
    works = {
        "fp32": ours(full, tokenizer, ids, new),
        "transformers": theirs(reference(full), tokenizer, ids, new),
        "int4": ours(packed, tokenizer, ids, new),
    }
    if works["fp32"]() != works["transformers"]():
        raise AssertionError("the two write different texts, so their times cannot be compared.")
    if half := HALF_PRECISION_FLAGS & cpu_flags():
        works["bf16"] = ours(copy.deepcopy(full).bfloat16(), tokenizer, ids, new)
    rate = {name: new / seconds for name, seconds in side_by_side(works, rounds).items()}
    pairs = [
        ("fp32", "transformers", ">= 1.1"),
        ("int4", "fp32", ">= 3"),
        ("int4", "transformers", None),
    ]
    pairs += [("int4", "bf16", ">= 1.5")] if half else []
    what = "write {} tokens, {}; peer is {}"
    named = {"fp32": "our fp32", "bf16": "our bf16", "transformers": "transformers, fp32"}
    return [
        row(what.format(new, a, named[b]), rate[a], rate[b], rate[a] / rate[b], "tokens/s", target)
        for a, b, target in pairs
    ]


def cost_of_four_bits(
    full: Transformer, packed: Transformer, ids: list[int], tokenizer: BPETokenizer
) -> list[Row]:
    """Bits per byte of both, and the difference of their losses with its interval."""
    text = tokenizer.decode(ids)
    context = min(CONTEXT, len(ids))
    nats = {
        name: token_nats(model, ids, context=context, batch=1)
        for name, model in (("full", full), ("packed", packed))
    }
    bits = {name: bits_per_byte(values, text) for name, values in nats.items()}
    more = mean_interval(nats["packed"] - nats["full"], block=max(1, min(128, len(ids) // 10)))
    what = f"loss on {len(ids)} tokens, int4; peer is our fp32; {more} nats per token more"
    return [row(what, bits["packed"], bits["full"], bits["full"] / bits["packed"], "bits/byte")]


def models(small: bool) -> tuple[Transformer, Transformer]:
    """In 32 bits and in 4; for a test two of the same tiny one, which need no package."""
    if small:
        tiny = Transformer(llama(width=32, depth=1, heads=2, kv_heads=1, hidden=64)).eval()
        return tiny, tiny
    return tuple(pretrained.load(NAME, weights=weights)[0] for weights in ("fp32", "int4"))


def tokens(tokenizer: BPETokenizer, split: str, n: int) -> list[int]:
    return tokenizer.encode(load("shakespeare").works_in(split)[0].text[: 8 * n])[:n]


@torch.inference_mode()
def main(small: bool = False) -> list[Row]:
    """Rates with their ratios, and the loss of both."""
    (full, packed), tokenizer = models(small), pretrained.load_tokenizer(NAME)
    new, rounds, scored = (2, 1, 40) if small else (NEW, ROUNDS, SCORED)
    rows = speeds(full, packed, tokenizer, tokens(tokenizer, "test", PROMPT), new, rounds)
    return rows + cost_of_four_bits(
        full, packed, tokens(tokenizer, "validation", scored), tokenizer
    )
