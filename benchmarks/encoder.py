"""One training step of an encoder: our BERT beside transformers' BertModel and BertForMaskedLM.

Run   python -m benchmarks encoder     Takes   about two minutes on one core

Both have the same shape and see the same batches. The first two rows are the encoder alone,
trained to make its states small, which needs no head. The last two are masked language modelling
with a vocabulary of 8,192: 15 of 100 tokens are targets, and ours computes logits for these alone.
A step is forward, loss, backward, clipping, torch's fused AdamW, and reading the loss; 32 bits, no
dropout, no padding, fused attention in both. Products as in `train_step`; on an AMD with AVX2,
where both take the same ones, the ratios were 1.03, 0.98, 1.84 and 1.32.
"""

from functools import partial

import torch
from torch import Tensor
from transformers import BertConfig, BertForMaskedLM, BertModel
from transformers.utils import logging

from benchmarks.rows import Row, row, side_by_side
from benchmarks.train_step import stepper
from fmcourse.models.transformer import Config, Transformer, bert
from fmcourse.objectives import mask_tokens, masked_token
from fmcourse.training import RandomCrops

SETTINGS = [  # depth, heads, width, context, batch, rounds
    (4, 4, 128, 64, 12, 120),
    (6, 12, 384, 128, 8, 14),
]
SMALL = [(1, 2, 16, 8, 2, 2)]
VOCABULARY, MASK = 8192, 4


def reference(c: Config, kind: type) -> BertModel | BertForMaskedLM:
    """transformers' model of that shape, without dropout and without the pooler, unused here."""
    logging.set_verbosity_error()
    sizes = dict(
        vocab_size=c.vocab_size,
        hidden_size=c.width,
        num_hidden_layers=c.depth,
        num_attention_heads=c.heads,
    )
    still = dict(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    config = BertConfig(
        **sizes, intermediate_size=c.hidden, max_position_embeddings=c.context, **still
    )
    return (kind(config, add_pooling_layer=False) if kind is BertModel else kind(config)).train()


def inputs_and_labels(ids: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
    """The peer's arguments: ids with some masked, and labels, -100 where there is no target."""
    inputs, is_target = mask_tokens(ids, generator, mask_id=MASK, vocab_size=VOCABULARY)
    return {"input_ids": inputs, "labels": ids.masked_fill(~is_target, -100)}


def measure(config: Config, data: RandomCrops, rounds: int, head: bool) -> dict[str, float]:
    """Median seconds a step."""
    torch.manual_seed(0)
    ours, theirs = Transformer(config), reference(config, BertForMaskedLM if head else BertModel)
    # One generator each, with the same seed: both mask the same tokens.
    our_generator, their_generator = (torch.Generator().manual_seed(0) for _ in range(2))

    def our_loss(batch: Tensor) -> Tensor:
        if head:
            return masked_token(ours, batch, our_generator, mask_id=MASK).value
        return ours(batch).square().mean()

    def their_loss(batch: Tensor) -> Tensor:
        if head:
            return theirs(**inputs_and_labels(batch, their_generator)).loss
        return theirs(batch).last_hidden_state.square().mean()

    steps = {"ours": stepper(ours, our_loss, data), "peer": stepper(theirs, their_loss, data)}
    return side_by_side(steps, rounds, warm_up=2)


def main(small: bool = False) -> list[Row]:
    """Tokens a second, and their ratio."""
    ids, rows = (
        torch.randint(5, VOCABULARY, (100_000,), generator=torch.Generator().manual_seed(0)),
        [],
    )
    for head in (False, True):
        for depth, heads, width, context, batch, rounds in SMALL if small else SETTINGS:
            shape = partial(
                bert, vocab_size=VOCABULARY, context=context, width=width, depth=depth, heads=heads
            )
            config = shape(head="masked" if head else "none")
            seconds = measure(config, RandomCrops(ids, context, batch), rounds, head)
            ours, peer = (batch * context / seconds[who] for who in ("ours", "peer"))
            model = "masked LM" if head else "encoder alone"
            what = f"{model}, {depth} layers, width {width}, context {context}, batch {batch}"
            rows.append(
                row(f"{what}; peer is transformers", ours, peer, ours / peer, "tokens/s", ">= 1.2")
            )
    return rows
