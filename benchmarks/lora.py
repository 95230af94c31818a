"""One LoRA training step of SmolLM2-135M: ours beside peft on transformers' Llama, same weights, places, rank and batch.

Run   python -m benchmarks lora     Takes   about two minutes on one core

Steps of rank 8 beside q and v in all 30 blocks, everything else frozen; Austen, 8 texts of 32 tokens. A step is forward, next-token
loss over the whole vocabulary, backward, clipping, torch's fused AdamW, and reading the loss; 32 bits, no dropout, fused attention.
Both start from one draw of A, and B at zero: the first loss must be the same. Memory is that of the weights, and of what torch
holds beside them at the highest point of a step, as its profiler counts: what a step keeps for its way back, gradients, passing things.
"""

import tempfile
import warnings
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path

import torch
from peft import PeftModel
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from transformers import LlamaForCausalLM
from transformers.utils import logging

from benchmarks.rows import Row, row, side_by_side
from benchmarks.train_step import stepper
from fmcourse.adaptation import add_lora, load_adapter, save_adapter
from fmcourse.data import load
from fmcourse.models.config import llama
from fmcourse.models.transformer import Transformer
from fmcourse.objectives import next_token
from fmcourse.pretrained import from_hf, to_hf
from fmcourse.pretrained import load as pretrained
from fmcourse.training import RandomCrops

RANK, ALPHA, BATCH, LENGTH = 8, 16.0, 8, 32


def ours(folder: Path) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    """The model and its loss; the same draw of A every time."""
    model = from_hf(folder)[0]
    load_adapter(model, folder / "adapter")
    return model.train(), lambda batch: next_token(model, batch).value


def theirs(folder: Path) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    base = LlamaForCausalLM.from_pretrained(folder, attn_implementation="sdpa", dtype=torch.float32)
    base.config.use_cache = False
    with warnings.catch_warnings():  # peft asks transformers for a name that is about to go
        warnings.simplefilter("ignore", FutureWarning)
        model = PeftModel.from_pretrained(base, folder / "adapter", is_trainable=True).train()
    return (
        model,
        lambda b: (
            model(input_ids=b[:, :-1], labels=b[:, 1:], shift_labels=b[:, 1:].contiguous()).loss
        ),
    )


WHO = {"ours": ours, "peer": theirs}


def prepare_model(folder: Path, small: bool) -> RandomCrops:
    """A folder with the model and an adapter that does nothing yet; the batches."""
    torch.manual_seed(0)
    if small:
        model, ids = (
            Transformer(llama(vocab_size=128, context=32, width=16, depth=2, heads=2, kv_heads=1)),
            list(range(128)) * 8,
        )
    else:
        model, tokenizer = pretrained("smollm2-135m-instruct")
        ids = tokenizer.encode(load("austen").train[:60_000])
    to_hf(model, folder)
    save_adapter(add_lora(model, RANK, ALPHA, ("q", "v")), folder / "adapter")
    return RandomCrops(torch.tensor(ids), (8 if small else LENGTH) + 1, BATCH)


def memory(model: nn.Module, step: Callable[[], float]) -> float:
    """Megabytes of the weights, and of what torch holds beside them at the highest point of a step, as its profiler counts."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        step()
    changes = [
        (event.start_ns(), event.nbytes())
        for event in profiled.profiler.kineto_results.events()
        if event.name() == "[memory]"
    ]
    return (
        sum(weight.nbytes for weight in model.parameters())
        + max(accumulate(size for _, size in sorted(changes)))
    ) / 1e6


def main(small: bool = False) -> list[Row]:
    """Tokens a second and megabytes, and their ratios."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = prepare_model(folder, small)
        sides = {who: make(folder) for who, make in WHO.items()}
        first = [loss(data[0]).item() for _, loss in sides.values()]
        if abs(first[0] - first[1]) > 1e-3:
            raise ValueError(
                f"the first losses differ, {first[0]} and {first[1]}: these are not the same model."
            )
        steps = {who: stepper(model, loss, data) for who, (model, loss) in sides.items()}
        seconds = side_by_side(steps, 2 if small else 12, warm_up=2)
        megabytes = {who: memory(sides[who][0], step) for who, step in steps.items()}
    tokens = data[0][:, 1:].numel()
    what = "LoRA of rank 8 on q and v; peer is peft"
    return [
        row(
            f"train, {what}",
            tokens / seconds["ours"],
            tokens / seconds["peer"],
            seconds["peer"] / seconds["ours"],
            "tokens/s",
            ">= 1.0",
        ),
        row(
            f"most memory in a step, {what}",
            megabytes["ours"],
            megabytes["peer"],
            megabytes["peer"] / megabytes["ours"],
            "MB",
            ">= 1.0",
        ),
    ]
