"""One training step: our GPT-2 beside transformers' GPT2LMHeadModel, same shape, same batches.

Run   python -m benchmarks train_step     Takes   about a minute on one core

A step is forward, loss, backward, clipping the gradient's norm to 1, torch's fused AdamW, and
reading the loss. Both models go through the same lines for all but forward and loss, which each
computes in its own way; no dropout, 32 bits, fused attention. Four fifths of a step are matrix
products and attention. Where `fmcourse.fast` takes oneDNN (AMD with AVX-512) our products are twice
as fast as the peer's; elsewhere they are the same library's for both, and the ratio is what all the
rest costs: 1.13 and 1.14 on an AMD with AVX2.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel
from transformers.utils import logging

from benchmarks.rows import Row, Work, row, side_by_side
from fmcourse.data import load
from fmcourse.models.transformer import Config, Transformer, gpt2
from fmcourse.objectives import next_token
from fmcourse.tokenizers import CharTokenizer
from fmcourse.training import RandomCrops

SETTINGS = [  # depth, heads, width, context, batch; rounds; the ratio asked for
    (4, 4, 128, 64, 12, 120, ">= 1.3"),
    (6, 6, 384, 256, 4, 14, ">= 1.15"),
]
SMALL = [(1, 2, 16, 8, 2, 2, ">= 1.3")]


def reference(c: Config) -> GPT2LMHeadModel:
    """transformers' model of that shape, without dropout, like ours."""
    logging.set_verbosity_error()
    sizes = dict(
        vocab_size=c.vocab_size,
        n_positions=c.context,
        n_embd=c.width,
        n_layer=c.depth,
        n_head=c.heads,
    )
    still = dict(
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        resid_pdrop=0.0,
        use_cache=False,
        bos_token_id=0,
        eos_token_id=0,
    )
    return GPT2LMHeadModel(GPT2Config(**sizes, **still)).train()


def stepper(model: nn.Module, loss: Callable[[Tensor], Tensor], data: RandomCrops) -> Work:
    """A function without arguments that takes one step, on the next batch each time."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    batches = iter(range(10**9))

    def step() -> float:
        value = loss(data[next(batches)])
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return value.item()

    return step


def measure(config: Config, data: RandomCrops, rounds: int) -> dict[str, float]:
    """Median seconds a step."""
    torch.manual_seed(0)
    ours, theirs = Transformer(config), reference(config)

    def our_loss(batch: Tensor) -> Tensor:
        return next_token(ours, batch).value

    def their_loss(batch: Tensor) -> Tensor:
        # With `shift_labels` it does not shift the labels itself, and computes no extra position.
        targets = batch[:, 1:]
        return theirs(batch[:, :-1], labels=targets, shift_labels=targets.contiguous()).loss

    steps = {"ours": stepper(ours, our_loss, data), "peer": stepper(theirs, their_loss, data)}
    return side_by_side(steps, rounds, warm_up=2)


def main(small: bool = False) -> list[Row]:
    """Tokens a second, and their ratio."""
    text = load("shakespeare").train[:200_000]
    tokenizer = CharTokenizer.train(text)
    ids, rows = torch.tensor(tokenizer.encode(text)), []
    for depth, heads, width, context, batch, rounds, target in SMALL if small else SETTINGS:
        config = gpt2(
            vocab_size=tokenizer.vocab_size, context=context, width=width, depth=depth, heads=heads
        )
        seconds = measure(config, RandomCrops(ids, context + 1, batch), rounds)
        ours, peer = (batch * context / seconds[who] for who in ("ours", "peer"))
        what = f"train {depth} layers, width {width}, context {context}, batch {batch}"
        rows.append(
            row(f"{what}; peer is transformers", ours, peer, ours / peer, "tokens/s", target)
        )
    return rows
