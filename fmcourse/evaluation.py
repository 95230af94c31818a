"""How good is it? Numbers that can be compared, each with the doubt that belongs to it.

T tokens   N items
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from fmcourse.models.transformer import Transformer


@dataclass(frozen=True)
class Estimate:
    """A measured value and the interval in which the true one lies, 19 times out of 20."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@torch.inference_mode()
def token_nats(model: Transformer, ids: list[int] | Tensor, *, context: int | None = None, batch: int = 16) -> Tensor:
    """Negative log-likelihood of every token of a text, (T,), in nats.

    Each token is predicted from at least half a context of what came before it, where there is that much. The first has nothing
    before it, and is charged a blind guess, log V.

    Args:
        model: a causal Transformer.
        ids: the text's tokens, (T,).
        context: how far the model may look back; its own context unless given.
    Raises: ValueError for an empty text.
    """
    ids = torch.as_tensor(ids)
    context = min(context or model.config.context, model.config.context)
    if ids.numel() == 0:
        raise ValueError("there are no tokens to score; pass the ids of a text that is not empty.")
    nats = torch.full((len(ids),), math.log(model.config.vocab_size))
    device, hop = next(model.parameters()).device, max(1, context // 2)
    starts = list(range(0, max(1, len(ids) - context - 1 + hop), hop))
    was_training = model.training
    model.eval()
    full = [start for start in starts if start + context + 1 <= len(ids)]
    for group in [full[i : i + batch] for i in range(0, len(full), batch)] + [[s] for s in starts[len(full) :]]:
        windows = torch.stack([ids[start : start + context + 1] for start in group]).to(device)
        if windows.shape[1] > 1:
            losses = F.cross_entropy(model(windows[:, :-1]).mT, windows[:, 1:], reduction="none").cpu()
            for start, row in zip(group, losses, strict=True):
                fresh = 0 if start == 0 else context - hop  # the rest was scored with more context by the window before
                nats[start + 1 + fresh : start + 1 + len(row)] = row[fresh:]
    model.train(was_training)
    return nats


def bits_per_byte(nats: Tensor, text: str) -> float:
    """Bits a model spends on one byte of `text`: 8 is blind guessing, lower is better.

    Args:
        nats: negative log-likelihood of each token of `text`, (T,), in nats.
        text: what those tokens spell. Per byte, so that tokenizers can be compared.
    Raises: ValueError if `text` is empty.
    Source: Gao et al. 2020, The Pile, section 3.1.

    >>> round(bits_per_byte(torch.tensor([math.log(256), math.log(256)]), "é"), 3)     # two bytes, both guessed
    8.0
    """
    if not text:
        raise ValueError("text is empty, so there are no bytes to divide by; pass the text that was scored.")
    return nats.double().sum().item() / math.log(2) / len(text.encode())  # double: long texts add up


def perplexity(nats: Tensor) -> float:
    """Among how many equally likely tokens the model is left to choose, on average: e to the mean. Depends on the tokenizer.

    >>> round(perplexity(torch.tensor([math.log(10), math.log(10)])), 3)
    10.0
    """
    if nats.numel() == 0:
        raise ValueError("there are no tokens to average over.")
    return math.exp(nats.double().mean().item())


def mean_interval(values: Tensor, *, block: int = 256, draws: int = 1000, seed: int = 0) -> Estimate:
    """Mean of (T,) values with a 95 % interval, by drawing blocks anew: neighbours in a text are alike, so they stay together.

    Args:
        block: neighbours drawn together. Fewer than ten blocks make the interval unreliable, and a ValueError.
    Source: Künsch 1989 (block bootstrap).
    """
    blocks = values.double()[: len(values) // block * block].view(-1, block).mean(1)
    if len(blocks) < 10:
        raise ValueError(
            f"{len(values)} values make {len(blocks)} blocks of {block}; at least 10 are needed: give a longer text."
        )
    generator = torch.Generator().manual_seed(seed)
    means = blocks[torch.randint(len(blocks), (draws, len(blocks)), generator=generator)].mean(1)
    low, high = means.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return Estimate(values.double().mean().item(), low, high)


def bits_per_byte_interval(nats: Tensor, text: str) -> Estimate:
    """`bits_per_byte` with its 95 % interval."""
    per_token = mean_interval(nats)
    bits = bits_per_byte(nats, text) / per_token.value
    return Estimate(per_token.value * bits, per_token.low * bits, per_token.high * bits)


def accuracy(right: int, n: int) -> Estimate:
    """Share of `n` items that were right, with Wilson's 95 % interval, which is honest for few items and near 0 and 1.

    Source: Wilson 1927.

    >>> print(accuracy(9, 10))
    0.900 [0.596, 0.982]
    """
    if not 0 <= right <= n or n < 1:
        raise ValueError(f"right={right} of n={n}: n must be at least 1 and right between 0 and n.")
    z, share = 1.959963984540054, right / n
    middle, spread = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Estimate(share, (middle - spread) / (1 + z * z / n), (middle + spread) / (1 + z * z / n))
