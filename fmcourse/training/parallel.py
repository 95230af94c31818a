"""Data parallelism: several processes compute their parts of each batch, and take the same step.

    torchrun --nproc-per-node 2 train.py        # train.py calls `fit`, and needs no change

Every process makes the whole batch and all random draws of a step, both functions of (seed, step),
and computes its own rows (`objectives.own_rows`). `DistributedDataParallel` gives all of them the
weights of the first and averages the gradients. What cannot be computed in parts, each process
computes as a whole: as right as in one process, and no faster.
"""

import atexit
import math
import os
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel
from torch.utils._python_dispatch import TorchDispatchMode

from fmcourse.objectives import EmptyPart, Loss, PartGenerator
from fmcourse.training.batches import derive_seed
from fmcourse.training.checkpoints import RunState
from fmcourse.training.history import DivergenceError, History

# torchrun sets these for each process that it starts.
TORCHRUN_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")

Compute = Callable[[torch.Generator], Loss]


class ProcessError(ConnectionError):
    """Another process of this run stopped, or has another batch."""


# -- what the processes decide together ------------------------------------------------------------


class Sums(NamedTuple):
    """What the processes tell one another, added up."""

    failed: float = 0.0  # how many met an error
    flags: float = 0.0  # how many say yes
    time: float = 0.0  # of the first process alone
    loss: float = 0.0  # of each part, times its weight
    weight: float = 0.0
    tokens: float = 0.0
    checksum: float = 0.0  # it and its square show whether all processes have the same
    checksum_squared: float = 0.0


class OneProcess:
    """A run in this process alone: it decides for itself."""

    rank, count = 0, 1
    is_first = True  # the one that shows, saves and prints

    def add_up(self, own: Sums) -> Sums:
        """The sums over all processes."""
        return own

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        return self.add_up(Sums(flags=flag)).flags > 0

    def time(self) -> float:
        """Seconds, of the first process's clock, which never goes back."""
        return time.monotonic()

    def wait(self) -> None:
        """Until all processes are here."""
        self.any(False)

    def share(self, run: RunState) -> None:
        """Give every process the optimizers' state and the history of the first."""

    @contextmanager
    def one_fate(self) -> Iterator[None]:
        """An error in one process ends all of them: the others would wait for it for ever.

        An error that the first process meets too has `first_prints_it` set in the others.
        """
        yield

    @contextmanager
    def first_before_others(self) -> Iterator[None]:
        """The first process runs the block before the others do, which find what it wrote."""
        yield


class Processes(OneProcess):
    """The processes of torch's default group; every method is called by all of them."""

    def __init__(self) -> None:
        self.rank, self.count = dist.get_rank(), dist.get_world_size()
        self.is_first = self.rank == 0
        self.device = "cuda" if dist.get_backend() == "nccl" else "cpu"

    def add_up(self, own: Sums) -> Sums:
        """The sums over all processes.

        There is this one exchange for all purposes, so that a process that meets an error can tell
        the others in whichever exchange they wait.
        Raises: ProcessError if another process met an error or is gone.
        """
        sums = torch.tensor(own, dtype=torch.float64, device=self.device)  # exact for large counts
        try:
            dist.all_reduce(sums)
        except RuntimeError as error:
            raise ProcessError(
                f"another process is gone, so process {self.rank} stops too; what that process "
                "printed says why."
            ) from error
        found = Sums(*sums.tolist())
        if found.failed and not own.failed:
            raise ProcessError(
                f"another process stopped with an error, so process {self.rank} stops too; "
                "what that process printed says why."
            )
        return found

    def time(self) -> float:
        return self.add_up(Sums(time=time.monotonic() if self.is_first else 0.0)).time

    def share(self, run: RunState) -> None:
        states = [optimizer.state_dict() for optimizer in run.optimizers]
        box = [(states, asdict(run.history), run.started) if self.is_first else None]
        dist.broadcast_object_list(box)
        states, history, run.started = box[0]
        if not self.is_first:
            run.history = History(**history)
            for optimizer, state in zip(run.optimizers, states, strict=True):
                optimizer.load_state_dict(state)

    @contextmanager
    def one_fate(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if not hasattr(error, "first_prints_it"):  # else an inner block has told the others
                # These are raised in all processes at once.
                known = isinstance(error, ProcessError | DivergenceError)
                in_all = known or self.add_up(Sums(failed=1)).failed == self.count
                error.first_prints_it = in_all and not self.is_first
            raise

    @contextmanager
    def first_before_others(self) -> Iterator[None]:
        with self.one_fate():
            if not self.is_first:
                self.wait()
            yield
            if self.is_first:
                self.wait()


def connect() -> OneProcess:
    """The processes of this run: torch's group, which is opened if torchrun started this process.

    The group stays open until the process ends, since it can be opened only once.
    """
    if not dist.is_available():  # some builds of torch
        return OneProcess()
    launched = all(name in os.environ for name in TORCHRUN_VARIABLES)
    if not dist.is_initialized() and launched and int(os.environ["WORLD_SIZE"]) > 1:
        dist.init_process_group("gloo")
        atexit.register(close)
    several = dist.is_initialized() and dist.get_world_size() > 1
    return Processes() if several else OneProcess()


def close() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


# -- a step in parts -------------------------------------------------------------------------------


class BatchParts:
    """Computes a batch's loss and gradients in parts: `accumulate` of them in each process.

    Loss and gradients are means over the parts, weighted by their labels, and so those of the whole
    batch.
    """

    def __init__(self, model: nn.Module, processes: OneProcess, accumulate: int) -> None:
        self.processes, self.parts = processes, processes.count * accumulate
        self.as_a_whole = self.has_dropout = False
        # Its statistics are those of all the rows that it is given.
        if any(isinstance(part, _BatchNorm) and part.training for part in model.modules()):
            self.compute_as_a_whole("the model has a BatchNorm, whose rows belong together")
        self.module: nn.Module = Computation(model)
        check_same(processes, "models", [list(weight.shape) for weight in model.parameters()])
        if processes.count > 1:  # gives every process the weights of the first
            self.module = distribute(self.module)

    def compute_as_a_whole(self, reason: str) -> None:
        """From now on each process computes the whole batch; say so."""
        self.as_a_whole = True
        if self.processes.is_first:
            warnings.warn(
                f"A batch cannot be computed in {self.parts} parts: {reason}. It is computed as a "
                "whole, with the same result, and neither faster nor in less memory.",
                stacklevel=2,
            )

    def backward(self, compute: Compute, batch: Any, seed: int) -> tuple[float, int | None]:
        """Leave the gradients of the whole batch's loss in the model; returns it and its labels.

        Args:
            compute: generator -> Loss, of the part that the generator names.
            seed: of this step's draws.
        Raises: ProcessError if the processes have different batches.
        """
        check_same(self.processes, "batches", batch)
        device = (batch[0] if isinstance(batch, tuple | list) else batch).device
        # The first part comes last: if any of them has rows, it has.
        numbers = list(range(self.processes.rank, self.parts, self.processes.count))[::-1]
        total = Sums()
        for number in [] if self.as_a_whole else numbers[:-1]:
            with self.no_exchange():
                loss, share = self.forward(compute, device, seed, number)
                if self.as_a_whole:  # as this forward pass has shown
                    break
                if share.weight:
                    (share.weight * loss.value).backward()
                total = add(total, share)
        loss, share = self.forward(compute, device, seed, numbers[-1])
        if not share.weight:  # the exchange of gradients needs a backward pass in every process
            loss, _ = self.forward(compute, device, seed, None)
        total = self.processes.add_up(add(total, share))
        value = total.loss / total.weight if total.weight else math.nan
        if math.isfinite(value):  # the same in all processes, so that none waits for another
            (share.weight * loss.value).backward()  # exchanges gradients: their mean
            self.scale_gradients(self.processes.count / total.weight)
        return value, round(total.tokens) or None

    def forward(
        self, compute: Compute, device: torch.device, seed: int, number: int | None
    ) -> tuple[Loss | None, Sums]:
        """The loss of one part, None: of the whole batch; and what it adds to the sums."""
        generator = PartGenerator(device).manual_seed(seed)
        if number is not None and not self.as_a_whole:
            generator.part, generator.parts = number, self.parts
        # On a GPU masks of dropout differ from part to part, and from those of one process.
        torch.manual_seed(seed if device.type == "cpu" else derive_seed(seed, generator.part))
        before = torch.get_rng_state()
        try:
            with WholeBatchDropout(generator) if self.has_dropout else nullcontext():
                loss = self.module(compute, generator)
        except EmptyPart:
            return None, Sums()
        if generator.rows is None and not self.as_a_whole:
            self.compute_as_a_whole("the objective does not ask for its `own_rows`")
        drew = not torch.equal(torch.get_rng_state(), before)
        if drew and generator.parts > 1 and not (self.as_a_whole or self.has_dropout):
            self.has_dropout = True  # from now on masks are drawn for all rows, then cut
            return self.forward(compute, device, seed, number)
        return loss, self.share_of(loss, generator)

    def share_of(self, loss: Loss, generator: PartGenerator) -> Sums:
        """What a loss adds to the sums."""
        if self.as_a_whole:  # every process adds the same
            weight, tokens = 1, (loss.tokens or 0) / self.processes.count
        elif loss.tokens is None:
            weight, tokens = len(range(generator.part, generator.rows, generator.parts)), 0
        else:
            weight = tokens = loss.tokens
        value = loss.value.item() if weight else 0.0  # the mean over no labels is NaN
        return Sums(loss=weight * value, weight=weight, tokens=tokens)

    def no_exchange(self) -> Any:
        """Where gradients stay in this process; the next backward pass exchanges them too."""
        is_parallel = isinstance(self.module, DistributedDataParallel)
        return self.module.no_sync() if is_parallel else nullcontext()

    def scale_gradients(self, factor: float) -> None:
        for weight in self.module.parameters():
            if weight.grad is not None:
                weight.grad *= factor


def distribute(module: nn.Module) -> DistributedDataParallel:
    """The module as one of several that have the same weights, those of the first process."""
    for buffer in module.buffers():
        dist.broadcast(buffer, 0)
    with warnings.catch_warnings():
        # Younger editions of torch have another name for this; older ones do not know that name.
        warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
        # No exchange of buffers in each forward pass, since processes may have several of them.
        return DistributedDataParallel(module, find_unused_parameters=True, broadcast_buffers=False)


class Computation(nn.Module):
    """A module whose forward pass is a whole objective.

    DistributedDataParallel watches a forward pass, and an objective calls parts of the model too.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        # DistributedDataParallel looks for weights that take no part in a loss, and warns where it
        # looks in vain.
        self.unused = nn.Parameter(torch.zeros((), device=next(model.parameters()).device))

    def forward(self, compute: Compute, generator: torch.Generator) -> Loss:
        return compute(generator)


class WholeBatchDropout(TorchDispatchMode):
    """While it is open, dropout draws its mask for all rows of the batch, then keeps its own.

    It sees every operation, and changes the one with which dropout draws on a CPU.
    """

    def __init__(self, generator: PartGenerator) -> None:
        super().__init__()
        self.batch_part = generator
        seed = derive_seed(generator.initial_seed(), generator.part)
        self.own_generator = torch.Generator().manual_seed(seed)

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):  # as torch calls it
        if operation is not torch.ops.aten.bernoulli_.float:
            return operation(*args, **(kwargs or {}))
        mask, probability = args[0], args[1]
        rows, own = self.batch_part.rows, slice(self.batch_part.part, None, self.batch_part.parts)
        if mask.ndim and rows is not None and len(mask) == len(range(rows)[own]):
            whole = mask.new_empty(rows, *mask.shape[1:]).bernoulli_(probability)
            return mask.copy_(whole[own])
        # No rows of the batch, such as the tokens selected from them: draws of this part alone.
        return mask.bernoulli_(probability, generator=self.own_generator)


def add(a: Sums, b: Sums) -> Sums:
    return Sums(*(x + y for x, y in zip(a, b, strict=True)))


def check_same(processes: OneProcess, name: str, value: Any) -> None:
    """Raises: ProcessError if the processes have made different models or batches."""
    if processes.count > 1:
        own = float(checksum(value) % 2**16)  # sums of squares stay exact
        sums = processes.add_up(Sums(checksum=own, checksum_squared=own**2))
        if processes.count * sums.checksum_squared != sums.checksum**2:  # the variance is not 0
            raise ProcessError(
                f"the processes have different {name}; give all of them the same model and data, "
                "made with the same seed: each computes its own part of every batch."
            )


def checksum(value: Any) -> int:
    """A checksum of tensors or numbers, or of nested sequences of them."""
    if isinstance(value, tuple | list):
        return zlib.crc32(repr([checksum(part) for part in value]).encode())
    if not isinstance(value, torch.Tensor):
        return zlib.crc32(repr(value).encode())
    return zlib.crc32(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
