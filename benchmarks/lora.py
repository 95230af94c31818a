"""One LoRA training step of SmolLM2-135M, beside peft on transformers' Llama.

Run   python -m benchmarks lora     Takes   about two minutes on one core

Rank 8 on q and v in all 30 blocks, everything else frozen; Austen, 8 texts of 32 tokens. A step is
the forward pass, the next-token loss over the whole vocabulary, the backward pass, clipping,
torch's fused AdamW, and reading the loss; 32 bits, no dropout, fused attention.
Both sides have the same weights, the same random A, and B at zero, so their first losses must be
equal. Memory is that of the weights, and of what torch holds beside them at the peak of a step, as
its profiler counts: activations kept for the backward pass, gradients, temporary tensors.
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
from fmcourse.data import load
from fmcourse.models.config import llama
from fmcourse.models.lora import add_lora
from fmcourse.models.transformer import Transformer
from fmcourse.objectives import next_token
from fmcourse.pretrained import from_hf, load_adapter, save_adapter, to_hf
from fmcourse.pretrained import load as load_pretrained
from fmcourse.training import RandomCrops

RANK, ALPHA, BATCH, LENGTH = 8, 16.0, 8, 32
Side = tuple[nn.Module, Callable[[Tensor], Tensor]]  # a model, and its loss of a batch (B, T)


def ours(folder: Path) -> Side:
    model = from_hf(folder)[0]
    load_adapter(model, folder / "adapter")
    return model.train(), lambda batch: next_token(model, batch).value


def theirs(folder: Path) -> Side:
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    base = LlamaForCausalLM.from_pretrained(folder, attn_implementation="sdpa", dtype=torch.float32)
    base.config.use_cache = False
    with warnings.catch_warnings():  # peft uses a deprecated name of transformers
        warnings.simplefilter("ignore", FutureWarning)
        model = PeftModel.from_pretrained(base, folder / "adapter", is_trainable=True).train()

    def loss(batch: Tensor) -> Tensor:
        targets = batch[:, 1:]
        # shift_labels: the targets are shifted here, so that both sides see the same positions
        out = model(input_ids=batch[:, :-1], labels=targets, shift_labels=targets.contiguous())
        return out.loss

    return model, loss


SIDES = {"ours": ours, "peer": theirs}


def prepare(folder: Path, small: bool) -> RandomCrops:
    """Write the model and an adapter that changes nothing yet; returns the batches."""
    torch.manual_seed(0)
    if small:
        config = llama(vocab_size=128, context=32, width=16, depth=2, heads=2, kv_heads=1)
        model, ids = Transformer(config), list(range(128)) * 8
    else:
        model, tokenizer = load_pretrained("smollm2-135m-instruct")
        ids = tokenizer.encode(load("austen").train[:60_000])
    to_hf(model, folder)
    save_adapter(add_lora(model, RANK, ALPHA, ("q", "v")), folder / "adapter")
    return RandomCrops(torch.tensor(ids), (8 if small else LENGTH) + 1, BATCH)


def memory(model: nn.Module, step: Callable[[], float]) -> float:
    """Megabytes of the weights, and of what torch holds beside them at the peak of a step."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        step()
    changes = sorted(  # bytes that were allocated (above zero) or freed, in the order of time
        (event.start_ns(), event.nbytes())
        for event in profiled.profiler.kineto_results.events()
        if event.name() == "[memory]"
    )
    peak = max(accumulate(n_bytes for _, n_bytes in changes))
    return (sum(weight.nbytes for weight in model.parameters()) + peak) / 1e6


def main(small: bool = False) -> list[Row]:
    """Tokens a second and megabytes, and their ratios."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        batches = prepare(folder, small)
        sides = {who: make(folder) for who, make in SIDES.items()}
        first = [loss(batches[0]).item() for _, loss in sides.values()]
        if abs(first[0] - first[1]) > 1e-3:
            raise ValueError(
                f"the first losses differ, {first[0]} and {first[1]}: these are not the same model."
            )
        steps = {who: stepper(model, loss, batches) for who, (model, loss) in sides.items()}
        seconds = side_by_side(steps, 2 if small else 12, warm_up=2)
        megabytes = {who: memory(sides[who][0], step) for who, step in steps.items()}
    tokens = batches[0][:, 1:].numel()
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
