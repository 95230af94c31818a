"""Data parallelism: each process takes its share of a batch, then gradients are averaged.

`torchrun` starts the processes and the caller calls `torch.distributed.init_process_group`; in a
single process both functions do nothing.
"""

from typing import Any

import torch.distributed as dist
from torch import nn


def is_distributed() -> bool:
    return dist.is_available() and dist.is_initialized()  # builds without it have no is_initialized


def shard(batch: Any) -> Any:
    """The rows of a batch that belong to this process.

    Raises: ValueError if the rows cannot be divided equally, since the mean of the gradients would
        then weight rows differently.
    """
    if not is_distributed():
        return batch
    if isinstance(batch, tuple):
        return tuple(shard(part) for part in batch)
    rank, world_size = dist.get_rank(), dist.get_world_size()
    if len(batch) % world_size:
        raise ValueError(
            f"a batch of {len(batch)} rows cannot be divided equally among {world_size} processes."
        )
    return batch[rank::world_size]  # in turns: rows sorted by length are spread evenly


def average_gradients(model: nn.Module) -> None:
    """Replace each gradient by its mean over all processes, so that all take the same step."""
    if is_distributed():
        for weight in model.parameters():
            if weight.grad is not None:
                # It waits for all processes, so each must have gradients for the same weights.
                dist.all_reduce(weight.grad)  # the sum
                weight.grad /= dist.get_world_size()
