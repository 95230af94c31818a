"""One loop for every model that has one loss: a batch, a loss, a step. Everything else is passed in.

A batch is a pure function of (seed, step), and so is every random draw of that step: that is why a run that was killed goes on
bit for bit, and why one run can be spread over several machines.
"""

import copy
import json
import math
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
import torch.distributed as dist
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm.auto import tqdm

from fmcourse.files import write_atomically
from fmcourse.objectives import Loss
from fmcourse.training.optimizers import MUON, OptimizerConfig, build_optimizers

__all__ = [
    "EMA",
    "CheckpointMismatch",
    "DivergenceError",
    "EpochBatches",
    "History",
    "RandomCrops",
    "fit",
    "lesson_steps",
]

Objective = Callable[[nn.Module, Any, torch.Generator | None], Loss]


class Batches(Protocol):
    """Anything that can be asked for batch number `step`; with a length, it is read round and round."""

    def __getitem__(self, step: int) -> Any: ...


class DivergenceError(ArithmeticError):
    """The loss became NaN or infinite."""


class CheckpointMismatch(ValueError):
    """A checkpoint belongs to another model or another run."""


@dataclass
class History:
    """What happened: one entry a step. `seconds` and `tokens` count from the start, over resumed runs too."""

    losses: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    interrupted: bool = False

    @property
    def steps(self) -> int:
        return len(self.losses)

    def __repr__(self) -> str:
        if not self.losses:
            return "History(no steps yet)"
        first, last = self.losses[0], self.losses[-1]
        return (
            f"History({self.steps} steps, {self.seconds[-1]:.1f} s, loss {first:.3f} to {last:.3f})"
        )


class EMA:
    """A second copy of a model that follows the first slowly: each weight the mean of its past, newer ones counting more (EMA).

    Steps of training jump about; their mean does not. `fit(..., on_step=lambda *_: average.update())`.

    Args:
        decay: share of itself that the copy keeps at each update. In the beginning less, since there is little past to keep.
    Raises: ValueError for a decay that is not from 0 to below 1.
    Source: Polyak & Juditsky 1992; the beginning, (1 + n) / (10 + n), is common practice.
    """

    def __init__(self, model: nn.Module, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay={decay}; it must be at least 0 and below 1.")
        self.source, self.decay, self.updates = model, decay, 0
        self.model = copy.deepcopy(model).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self) -> None:
        keep = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        mine, theirs = self.model.state_dict(), self.source.state_dict()
        for name, value in mine.items():
            if value.is_floating_point():
                value.lerp_(theirs[name], 1 - keep)
            else:
                value.copy_(theirs[name])


class RandomCrops:
    """Random windows of a long text, endless: `crops[step]` is (batch, length) token ids, a pure function of (seed, step).

    Raises: ValueError if the text is shorter than one window.
    >>> RandomCrops([10, 11, 12, 13, 14], length=5, batch=2)[0].tolist()
    [[10, 11, 12, 13, 14], [10, 11, 12, 13, 14]]
    """

    def __init__(self, ids: list[int] | Tensor, length: int, batch: int, seed: int = 0) -> None:
        self.ids, self.length, self.batch, self.seed = torch.as_tensor(ids), length, batch, seed
        if len(self.ids) < length or min(length, batch) < 1:
            raise ValueError(
                f"cannot cut batch={batch} windows of length={length} from {len(self.ids)} tokens; give a longer "
                "text, or a length and batch of at least 1."
            )

    def __getitem__(self, step: int) -> Tensor:
        generator = torch.Generator().manual_seed(derive_seed(self.seed, step))
        starts = torch.randint(
            len(self.ids) - self.length + 1, (self.batch, 1), generator=generator
        )
        return self.ids[starts + torch.arange(self.length)]


class EpochBatches:
    """Items in batches, each once an epoch, in an order drawn anew for each: `batches[step]` is a pure function of (seed, step).

    Args:
        items: anything with rows: labelled texts, pictures.
        collate: a list of items -> a batch.
        batch: items in one; fewer, if there are fewer.
        length: of an item; then those of like length come together, since filling up costs as much as reading. None: as drawn.
    Raises: ValueError if there are no items.

    >>> batches = EpochBatches("abcdef", sorted, batch=4)
    >>> sorted(batches[0] + batches[1]), len(batches[0]), len(batches[1])
    (['a', 'b', 'c', 'd', 'e', 'f'], 4, 2)
    """

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
                f"{len(items)} items in batches of {batch}: give at least one item, a batch above 0."
            )
        self.items, self.collate, self.batch, self.seed, self.length = (
            items,
            collate,
            batch,
            seed,
            length,
        )

    def __getitem__(self, step: int) -> Any:
        batch, generator = self.batch, torch.Generator()
        epoch, at = divmod(step, -(-len(self.items) // batch))
        order = torch.randperm(
            len(self.items), generator=generator.manual_seed(derive_seed(self.seed, epoch))
        ).tolist()
        if (
            self.length is not None
        ):  # sorted among four batches only, and which of them comes first is chance
            near = at // 4 * 4
            some = sorted(
                order[near * batch : (near + 4) * batch],
                key=lambda row: self.length(self.items[row]),
            )
            parts = [some[start : start + batch] for start in range(0, len(some), batch)]
            return self.collate(
                [self.items[row] for row in parts[(at + order[near * batch]) % len(parts)]]
            )
        return self.collate([self.items[row] for row in order[at * batch : (at + 1) * batch]])


def derive_seed(seed: int, step: int) -> int:
    """One number for each pair, far apart for neighbours (Weyl steps of two odd constants, 63 bits)."""
    return (seed * 0x9E3779B97F4A7C15 + (step + 1) * 0xD1B54A32D192ED03) % 2**63


def lesson_steps(steps: int) -> int:
    """The steps of a lesson, or a twentieth of them where `FMCOURSE_SHORT=1` asks for a rehearsal."""
    return max(2, steps // 20) if os.environ.get("FMCOURSE_SHORT") == "1" else steps


def fit(
    model: nn.Module,
    objective: Objective,
    data: Batches,
    *,
    steps: int | None = None,
    seconds: float | None = None,
    seed: int = 0,
    optimizer: OptimizerConfig = MUON,
    checkpoint: str | Path | None = None,
    save_every: float = 30.0,
    precision: Literal["fp32", "bf16"] = "fp32",
    on_step: Callable[[int, float], None] | None = None,
    progress: bool = True,
) -> History:
    """Train `model` in place.

    Args:
        objective: (model, batch, generator) -> Loss; it makes the labels.
        data: data[step] is a batch (a tensor, or a tuple of tensors with rows first); a list of batches is read round.
        steps, seconds: how long; give one. `steps` repeats exactly; `seconds` takes what fits, and the history says how many.
        optimizer: how weights move; see `optimizers.OptimizerConfig`.
        checkpoint: a safetensors file. Saved every `save_every` seconds and at the end, each time whole or not at all;
            where it exists the run goes on from it, to the same weights bit for bit.
        precision: "bf16" runs the products in half the bits, where a measurement says that it pays.
        on_step: called with (step, loss) after each step, for a live curve.
        progress: a bar with loss, tokens per second and time left.
    Returns: the history. Ctrl-C ends training after the current step and keeps the model.
    Raises: ValueError for bad arguments, DivergenceError if the loss is no number, CheckpointMismatch if the file is another run's.
    """
    if (steps is None) == (seconds is None) or (steps or seconds or 0) <= 0:
        raise ValueError(f"steps={steps}, seconds={seconds}: give exactly one of them, above 0.")
    run = Run(model, build_optimizers(model, optimizer), optimizer, seed, steps, seconds)
    if checkpoint is not None and Path(checkpoint).exists():
        run.load(Path(checkpoint))
    was_training, device = model.training, next(model.parameters()).device
    model.train()
    try:
        with torch.random.fork_rng(), defer_interrupt() as stop, run.progress_bar(progress) as bar:
            saved = time.monotonic()
            while not run.is_finished() and not stop.requested:
                batch = shard(to_device(get_batch(data, run.history.steps), device))
                loss = run.step(objective, batch, precision)
                run.update_bar(bar)
                if on_step is not None:
                    on_step(run.history.steps, loss)
                if checkpoint is not None and time.monotonic() - saved > save_every:
                    run.save(Path(checkpoint))
                    saved = time.monotonic()
    finally:
        model.train(was_training)
    run.history.interrupted = stop.requested
    if stop.requested:
        print(f"Stopped after step {run.history.steps}; the model keeps what it has learnt.")
    if checkpoint is not None:
        run.save(Path(checkpoint))
    return run.history


class Run:
    """The state of one training: what a checkpoint holds."""

    def __init__(
        self,
        model,
        optimizers,
        config: OptimizerConfig,
        seed: int,
        steps: int | None,
        seconds: float | None,
    ) -> None:
        self.model, self.optimizers, self.config, self.seed = model, optimizers, config, seed
        self.steps, self.seconds, self.history = steps, seconds, History()
        self.base_lrs = [
            [group["lr"] for group in optimizer.param_groups] for optimizer in optimizers
        ]
        self.started = time.monotonic()

    def fraction_done(self) -> float:
        """Share of the run behind us."""
        elapsed = time.monotonic() - self.started
        return self.history.steps / self.steps if self.steps else min(1.0, elapsed / self.seconds)

    def is_finished(self) -> bool:
        return self.fraction_done() >= 1

    def step(self, objective: Objective, batch: Any, precision: str) -> float:
        """One batch, one loss, one move."""
        step = self.history.steps
        torch.manual_seed(derive_seed(self.seed, step))
        first = batch[0] if isinstance(batch, tuple | list) else batch
        generator = torch.Generator(first.device).manual_seed(derive_seed(self.seed, step))
        half = (
            torch.autocast(first.device.type, torch.bfloat16)
            if precision == "bf16"
            else nullcontext()
        )
        with half:
            loss = objective(self.model, batch, generator)
        value = loss.value.item()
        if not math.isfinite(value):
            raise DivergenceError(self._explain_divergence(value))
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.value.backward()
        average_gradients(self.model)
        self._optimizer_step((step + 1) / self.steps if self.steps else self.fraction_done())
        self.history.losses.append(value)
        self.history.seconds.append(time.monotonic() - self.started)
        self.history.tokens.append(
            (self.history.tokens or [0])[-1] + (loss.tokens or first.numel())
        )
        return value

    def _optimizer_step(self, progress: float) -> None:
        if self.config.clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        # the first step has moved a little already, the last one still moves: half a step back
        scale = self.config.lr_scale(
            max(0.0, progress - 0.5 / self.steps) if self.steps else progress
        )
        for optimizer, base_lrs in zip(self.optimizers, self.base_lrs, strict=True):
            for group, lr in zip(optimizer.param_groups, base_lrs, strict=True):
                group["lr"] = lr * scale
            optimizer.step()

    def _explain_divergence(self, value: float) -> str:
        recent = ", ".join(f"{loss:.3g}" for loss in self.history.losses[-5:]) or "none yet"
        broken = [
            name for name, weight in self.model.named_parameters() if not weight.isfinite().all()
        ]
        cause = (
            f"the weights of {broken[0]} were no longer numbers"
            if broken
            else "the weights were still numbers"
        )
        return (
            f"the loss became {value} at step {self.history.steps} (losses before: {recent}); {cause}. Usual causes: too large a "
            f"step (lr={self.config.lr}, matrix_lr={self.config.matrix_lr}: try a third), a logarithm or division by zero in the "
            "objective, or NaN in the data."
        )

    # -- what one sees ------------------------------------------------------------------------------------------------

    def progress_bar(self, progress: bool) -> tqdm:
        total, unit = (self.steps, "step") if self.steps else (round(self.seconds), "s")
        with (
            warnings.catch_warnings()
        ):  # without a browser tqdm says so, with a path; the bar in text is good enough
            warnings.simplefilter("ignore")
            start = min(self.history.steps, total)
            return tqdm(
                total=total, initial=start, unit=unit, disable=not progress, mininterval=0.5
            )

    def update_bar(self, bar: tqdm) -> None:
        h = self.history
        if not bar.disable and (h.steps % 10 == 0 or self.is_finished()):
            bar.set_postfix_str(
                f"loss {h.losses[-1]:.3f}, {h.tokens[-1] / max(h.seconds[-1], 1e-9):,.0f} tokens/s",
                refresh=False,
            )
        bar.update((h.steps if self.steps else min(int(h.seconds[-1]), bar.total)) - bar.n)

    # -- what is kept -------------------------------------------------------------------------------------------------

    def identity(self) -> dict[str, Any]:
        """What must agree for a checkpoint to be this run's."""
        shapes = {name: list(weight.shape) for name, weight in self.model.named_parameters()}
        return dict(
            shapes=shapes,
            seed=self.seed,
            steps=self.steps,
            seconds=self.seconds,
            config=asdict(self.config),
        )

    def tensors(self) -> dict[str, Tensor]:
        named = {f"model.{name}": weight for name, weight in self.model.named_parameters()}
        kept = self.model.state_dict()
        named |= {
            f"buffer.{name}": value for name, value in self.model.named_buffers() if name in kept
        }
        for number, optimizer in enumerate(self.optimizers):
            for index, state in optimizer.state_dict()["state"].items():
                named |= {
                    f"optimizer.{number}.{index}.{key}": value for key, value in state.items()
                }
        return {name: value.detach().contiguous() for name, value in named.items()}

    def save(self, path: Path) -> None:
        facts = {
            "identity": json.dumps(self.identity()),
            "history": json.dumps(asdict(self.history)),
        }
        write_atomically(path, lambda temporary: save_file(self.tensors(), temporary, facts))

    def load(self, path: Path) -> None:
        try:
            with safe_open(path, "pt") as file:
                facts = file.metadata() or {}
                self._check_identity(json.loads(facts.get("identity", "{}")), path)
                saved = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no dict)
        except SafetensorError as error:
            raise CheckpointMismatch(
                f"{path} is no whole checkpoint ({error}); delete it to begin anew, or name another file."
            ) from None
        self.history = History(**json.loads(facts["history"]))
        self.started = time.monotonic() - (self.history.seconds or [0.0])[-1]
        own = dict(self.model.named_parameters()) | dict(self.model.named_buffers())
        states: list[dict] = [{} for _ in self.optimizers]
        with torch.no_grad():
            for name, value in saved.items():
                kind, _, rest = name.partition(".")
                if kind == "optimizer":
                    number, index, key = rest.split(".", 2)
                    states[int(number)].setdefault(int(index), {})[key] = value
                else:
                    own[rest].copy_(value)
        for optimizer, state in zip(self.optimizers, states, strict=True):
            optimizer.load_state_dict(
                {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
            )

    def _check_identity(self, theirs: dict[str, Any], path: Path) -> None:
        ours = json.loads(json.dumps(self.identity()))
        for what, value in ours.items():
            if theirs.get(what) != value:
                changed = f"{what} was {theirs.get(what)}, now {value}"
                detail = "the model has other weights" if what == "shapes" else changed
                raise CheckpointMismatch(
                    f"{path} is another run's: {detail}. Pass the same arguments or another file."
                )


# -- small parts ------------------------------------------------------------------------------------------------------


def get_batch(data: Batches, step: int) -> Any:
    if not hasattr(data, "__len__"):
        return data[step]
    if not len(data):
        raise ValueError("data is empty; give at least one batch.")
    return data[step % len(data)]


def to_device(batch: Any, device: torch.device) -> Any:
    if isinstance(batch, tuple | list):
        return tuple(to_device(part, device) for part in batch)
    return batch.to(device)


def shard(batch: Any) -> Any:
    """This process's rows, where `torchrun` started several; all of them otherwise."""
    if not (dist.is_available() and dist.is_initialized()):
        return batch
    if isinstance(batch, tuple):
        return tuple(shard(part) for part in batch)
    rank, world = dist.get_rank(), dist.get_world_size()
    if len(batch) % world:
        raise ValueError(
            f"a batch of {len(batch)} rows cannot be dealt to {world} processes equally."
        )
    return batch[rank::world]


def average_gradients(model: nn.Module) -> None:
    """Over the processes that `torchrun` started, so that all of them make the same move."""
    if dist.is_available() and dist.is_initialized():
        for weight in model.parameters():
            if weight.grad is not None:
                dist.all_reduce(weight.grad)
                weight.grad /= dist.get_world_size()


class Stop:
    requested = False


@contextmanager
def defer_interrupt() -> Iterator[Stop]:
    """Ctrl-C asks for a stop between two steps, so that weights and optimizer stay in step; a second one stops at once."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(number, frame):
        if stop.requested:
            raise KeyboardInterrupt
        stop.requested = True

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
