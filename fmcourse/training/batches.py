"""Where batches come from: random crops of a text, random rows of tensors, epochs over a dataset.

`fit` asks for batch number `step` as `data[step]`. A batch is a pure function of (seed, step), so a
run that was killed resumes with the very batch it would have seen, and two runs can be compared.
"""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor


class Batches(Protocol):
    """Anything that can be asked for batch number `step`; if it has a length, it is cycled."""

    def __getitem__(self, step: int) -> Any: ...


def derive_seed(seed: int, step: int) -> int:
    """One seed for each pair (seed, step), far apart for neighbouring pairs, in 63 bits."""
    # Two odd 64-bit constants with irregular bits: sums of their multiples do not repeat
    # before 2**63, so no two pairs that occur in practice share a random stream.
    # With `step` alone, (0, 0) would give 0, a seed that initializations often use.
    return (seed * 0x9E3779B97F4A7C15 + (step + 1) * 0xD1B54A32D192ED03) % 2**63


def generator_for(seed: int, step: int) -> torch.Generator:
    """A generator on the CPU that is a function of (seed, step) alone."""
    return torch.Generator().manual_seed(derive_seed(seed, step))  # the same on all devices


class RandomCrops:
    """Random crops of one long text, for language models: `crops[step]` is (batch, length) ids.

    Args:
        ids: the token ids of the text, (N,). An array mapped into memory, as `write_tokens` of
            `fmcourse.tokenizers.token_file` makes it, stays on the disk.
        length: tokens in a crop; `next_token` needs the context plus one.
        batch: crops in a batch.
    Raises: ValueError if the text is shorter than one crop.

    >>> RandomCrops([10, 11, 12, 13, 14], length=5, batch=2)[0].tolist()
    [[10, 11, 12, 13, 14], [10, 11, 12, 13, 14]]
    """

    def __init__(
        self, ids: list[int] | Tensor | np.ndarray, length: int, batch: int, seed: int = 0
    ) -> None:
        # A tensor of an array that is mapped would be a writable view of what must not be written.
        self.ids = ids if isinstance(ids, np.ndarray) else torch.as_tensor(ids)
        self.length, self.batch, self.seed = length, batch, seed
        if len(self.ids) < length or min(length, batch) < 1:
            raise ValueError(
                f"cannot cut batch={batch} crops of length={length} from {len(self.ids)} tokens; "
                "give a longer text, or a length and batch of at least 1."
            )

    def __getitem__(self, step: int) -> Tensor:
        generator = generator_for(self.seed, step)
        last_start = len(self.ids) - self.length  # the last crop ends with the text
        starts = torch.randint(last_start + 1, (self.batch, 1), generator=generator)
        # (batch, 1) + (length,): the positions of all tokens of all crops.
        places = starts + torch.arange(self.length)
        if isinstance(self.ids, np.ndarray):  # ids in 2 bytes become int64, as embeddings need
            return torch.from_numpy(self.ids[places.numpy()].astype(np.int64))
        return self.ids[places]  # (batch, length)


class RandomBatches:
    """Random rows of one tensor or of several, drawn with replacement: `batches[step]`.

    Args:
        tensors: each (N, ...), such as images and their labels. The same rows are taken from each.
        batch: rows in a batch.
    Returns: a tensor (batch, ...) for one tensor, a tuple of them for several.
    Raises: ValueError if there is no tensor or no row, or if the tensors differ in rows.

    >>> images, labels = RandomBatches(torch.zeros(9, 28, 28), torch.arange(9), batch=4)[0]
    >>> images.shape, labels.shape
    (torch.Size([4, 28, 28]), torch.Size([4]))
    """

    def __init__(self, *tensors: Tensor, batch: int, seed: int = 0) -> None:
        rows = {len(tensor) for tensor in tensors}  # one number if they agree
        if len(rows) != 1 or not min(rows) or batch < 1:
            raise ValueError(
                f"tensors with {[len(tensor) for tensor in tensors]} rows, batch={batch}: give at "
                "least one tensor, all with the same number of rows, and a batch of at least 1."
            )
        self.tensors, self.batch, self.seed = tensors, batch, seed

    def __getitem__(self, step: int) -> Tensor | tuple[Tensor, ...]:
        generator = generator_for(self.seed, step)
        rows = torch.randint(len(self.tensors[0]), (self.batch,), generator=generator)
        parts = tuple(tensor[rows] for tensor in self.tensors)  # so a label stays with its image
        return parts if len(parts) > 1 else parts[0]


class EpochBatches:
    """Items in batches, each item once in every epoch, in an order drawn anew for each epoch.

    Args:
        items: anything that can be indexed, such as labelled texts or images.
        collate: a list of items -> a batch.
        batch: items in a batch; the last batch of an epoch holds what is left.
        length: item -> its length. If given, items of similar length share a batch, because
            padding costs as much computation as text. None: batches in the order drawn.
    Raises: ValueError if there are no items.

    >>> batches = EpochBatches("abcdef", sorted, batch=4)
    >>> sorted(batches[0] + batches[1]), len(batches[0]), len(batches[1])
    (['a', 'b', 'c', 'd', 'e', 'f'], 4, 2)
    """

    SORTED_BATCHES = 4  # so many batches are sorted by length together

    def __init__(
        self,
        items: Any,
        collate: Callable[[list], Any],
        batch: int = 16,
        seed: int = 0,
        length: Callable[[Any], int] | None = None,
    ) -> None:
        if not len(items) or batch < 1:
            raise ValueError(
                f"{len(items)} items in batches of {batch}: give at least one item, and a batch "
                "of at least 1."
            )
        self.items, self.collate, self.batch = items, collate, batch
        self.seed, self.length = seed, length

    def __getitem__(self, step: int) -> Any:
        batches_per_epoch = -(-len(self.items) // self.batch)  # rounded up
        epoch, number = divmod(step, batches_per_epoch)
        generator = generator_for(self.seed, epoch)  # one permutation for the whole epoch
        # Plain ints, with which any sequence can be indexed.
        order = torch.randperm(len(self.items), generator=generator).tolist()
        if self.length is None:
            rows = order[number * self.batch : (number + 1) * self.batch]
        else:
            rows = self.rows_of_similar_length(order, number)
        return self.collate([self.items[row] for row in rows])

    def rows_of_similar_length(self, order: list[int], number: int) -> list[int]:
        """Batch `number` of an epoch whose items come in `order`: sorted by length in groups.

        Sorting the whole epoch would put the same items together each time, and show the model
        short texts first. So only a group of a few batches is sorted, and which of its batches
        comes first is random.
        """
        first = number // self.SORTED_BATCHES * self.SORTED_BATCHES  # first batch of this group
        group = order[first * self.batch : (first + self.SORTED_BATCHES) * self.batch]
        by_length = sorted(group, key=lambda row: self.length(self.items[row]))
        batches = [by_length[i : i + self.batch] for i in range(0, len(group), self.batch)]
        shift = group[0]  # a random row number: as good as a draw
        # `number` counts through the group, so each of its batches comes once.
        return batches[(number + shift) % len(batches)]


def get_batch(data: Batches, step: int) -> Any:
    """Batch number `step`; data with a length, such as a list of batches, is cycled.

    Raises: ValueError if the data is empty.
    """
    if not hasattr(data, "__len__"):  # made anew for each step, so never used up
        return data[step]
    if not len(data):
        raise ValueError("data is empty; give at least one batch.")
    return data[step % len(data)]


def to_device(batch: Any, device: torch.device) -> Any:
    """A batch, a tensor or nested tuples of tensors, on `device`."""
    if isinstance(batch, tuple | list):
        return tuple(to_device(part, device) for part in batch)
    return batch.to(device)
