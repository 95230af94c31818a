"""The training loop: a batch, a loss, its gradients, a step. Everything else is passed in.

Each batch is a function of (seed, step), and so is every random draw of that step. That is why a
run that was killed resumes bit for bit, and why one run can be spread over several processes: see
`parallel`.
"""

import math
import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from tqdm.auto import tqdm

from fmcourse.objectives import Loss
from fmcourse.training.batches import Batches, derive_seed, get_batch, to_device
from fmcourse.training.checkpoints import load_checkpoint, save_checkpoint, save_or_warn
from fmcourse.training.history import DivergenceError, History
from fmcourse.training.interrupts import defer_interrupt
from fmcourse.training.optimizers import MUON, OptimizerConfig, build_optimizers
from fmcourse.training.parallel import BatchParts, connect

Objective = Callable[[nn.Module, Any, torch.Generator | None], Loss]


def fit(
    model: nn.Module,
    objective: Objective,
    data: Batches,
    *,
    steps: int | None = None,
    seconds: float | None = None,
    seed: int = 0,
    optimizer: OptimizerConfig = MUON,
    accumulate: int = 1,
    checkpoint: str | Path | None = None,
    save_every: float = 30.0,
    precision: Literal["fp32", "bf16"] = "fp32",
    on_step: Callable[[int, float], None] | None = None,
    progress: bool = True,
) -> History:
    """Train `model` in place, in training mode; its mode is restored afterwards.

    Under torchrun each process computes its part of every batch, and all of them end with the
    weights and the history of one process, to rounding; the first alone shows, saves and prints.

    Args:
        objective: (model, batch, generator) -> Loss; it makes the labels.
        data: data[step] is a batch, a tensor or a tuple of tensors with rows first. A list of
            batches is cycled.
        steps, seconds: how long; give one. `steps` repeats exactly; `seconds` fits in as many
            steps as it can, and the history says how many.
        optimizer: learning rates, schedule, weight decay, clipping: see `OptimizerConfig`.
        accumulate: compute each batch in so many parts: its result, in the memory of one part.
        checkpoint: a safetensors file, saved every `save_every` seconds and at the end. If it
            exists, the run resumes from it, to the same weights bit for bit.
        precision: "bf16" computes matrix products in bfloat16 (autocast).
        on_step: called with (step, loss) after each step, for a live curve; in every process.
        progress: show a bar with loss, tokens per second and remaining time.
    Returns: the history. Ctrl-C ends training after the current step and keeps the model. So does
        a checkpoint that cannot be written, where the disk is full: a warning says so.
    Raises: ValueError for bad arguments, DivergenceError if the loss is NaN or infinite,
        CheckpointMismatch if the file belongs to another run.
    """
    if (steps is None) == (seconds is None) or (steps or seconds or 0) <= 0:  # ==: both or neither
        raise ValueError(f"steps={steps}, seconds={seconds}: give exactly one of them, above 0.")
    run = Run(model, build_optimizers(model, optimizer), optimizer, seed, steps, seconds)
    path = None if checkpoint is None else Path(checkpoint)
    # `train_step` seeds the global generator; fork_rng restores the caller's state afterwards.
    with run.processes.one_fate(), training_mode(model), torch.random.fork_rng():
        run.begin(path, accumulate)
        with run.progress_bar(progress) as bar:
            training_loop(run, objective, data, path, save_every, precision, on_step, bar)
        run.end(path)
    return run.history


def training_loop(
    run: "Run",
    objective: Objective,
    data: Batches,
    path: Path | None,
    save_every: float,
    precision: str,
    on_step: Callable[[int, float], None] | None,
    bar: tqdm,
) -> None:
    """Step after step, until the run is finished or Ctrl-C is pressed."""
    device = next(run.model.parameters()).device  # batches go where the model is
    last_saved = time.monotonic()  # unlike time.time(), it never goes back
    with defer_interrupt() as stop:
        # In all processes or in none: `any` asks the others.
        while not run.is_finished() and not run.processes.any(stop.requested):
            # The step is the length of the history, so a resumed run asks for the next batch.
            batch = to_device(get_batch(data, run.history.steps), device)
            loss = run.train_step(objective, batch, precision)
            run.update_bar(bar)
            if on_step is not None:
                on_step(run.history.steps, loss)
            if path is not None and time.monotonic() - last_saved > save_every:
                save_or_warn(run.save, path)
                last_saved = time.monotonic()
    run.history.interrupted = run.processes.any(stop.requested)
    if run.history.interrupted and run.processes.is_first:
        print(f"Stopped after step {run.history.steps}; the model keeps what it has learnt.")


class Run:
    """The state of a training run, all that a checkpoint holds: model, optimizers, history."""

    def __init__(
        self,
        model: nn.Module,
        optimizers: list[torch.optim.Optimizer],
        config: OptimizerConfig,
        seed: int,
        steps: int | None,
        seconds: float | None,
    ) -> None:
        self.model, self.optimizers, self.config, self.seed = model, optimizers, config, seed
        self.steps, self.seconds, self.history = steps, seconds, History()
        # The schedule scales these, so they are kept as they were before the first step.
        self.peak_lrs = [[group["lr"] for group in opt.param_groups] for opt in optimizers]
        self.started = time.monotonic()
        self.processes, self.backward = connect(), backward

    def train_step(self, objective: Objective, batch: Any, precision: str = "fp32") -> float:
        """Forward, backward, step; returns the loss.

        Raises: DivergenceError if the loss is NaN or infinite; then no weight has moved.
        """
        # For its device, and for its size where the loss counts no labels.
        first = batch[0] if isinstance(batch, tuple | list) else batch

        def compute(generator: torch.Generator) -> Loss:
            with autocast(first.device, precision):
                return objective(self.model, batch, generator)

        # None rather than 0: then an optimizer skips weights that took no part in the loss.
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        seed = derive_seed(self.seed, self.history.steps)
        value, tokens = self.backward(compute, batch, seed)
        if not math.isfinite(value):
            raise DivergenceError(explain_divergence(self, value))

        if self.config.clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        self.set_learning_rates()
        for optimizer in self.optimizers:
            optimizer.step()
        self.history.append(value, self.elapsed(), tokens or first.numel())
        return value

    def set_learning_rates(self) -> None:
        """The peak learning rates times the schedule, at this point of the run."""
        if self.steps:
            # The middle of the step: at its start the first step would have a learning rate of 0
            # and do nothing, at its end the last one would.
            progress = (self.history.steps + 0.5) / self.steps
        else:
            progress = self.fraction_done()
        scale = self.config.lr_scale(progress)
        for optimizer, peak_lrs in zip(self.optimizers, self.peak_lrs, strict=True):
            for group, peak_lr in zip(optimizer.param_groups, peak_lrs, strict=True):
                group["lr"] = scale * peak_lr

    def elapsed(self) -> float:
        """Seconds since the start; after resuming, those before the interruption count too."""
        return self.processes.time() - self.started

    def fraction_done(self) -> float:
        """Share of the run that is done, from 0 to 1."""
        if self.steps:
            return self.history.steps / self.steps
        return min(1.0, self.elapsed() / self.seconds)  # the last step ends a little late

    def is_finished(self) -> bool:
        return self.fraction_done() >= 1

    def begin(self, path: Path | None, accumulate: int) -> None:
        """Resume from a checkpoint if there is one, and begin as one run in all processes.

        Raises: CheckpointMismatch if the checkpoint is another run's, ValueError for accumulate
            below 1.
        """
        if accumulate < 1:
            raise ValueError(f"accumulate={accumulate}; give the number of parts, at least 1.")
        with self.processes.first_before_others():
            if path is not None and self.processes.is_first and path.exists():
                load_checkpoint(self, path)
        if self.processes.count * accumulate > 1:
            self.backward = BatchParts(self.model, self.processes, accumulate).backward
        self.processes.share(self)

    def end(self, path: Path | None) -> None:
        """Save the run, if it has a checkpoint; no process goes on before that is done."""
        if path is not None:
            save_or_warn(self.save, path, last=True)
        self.processes.wait()

    def save(self, path: Path) -> None:
        """Write a checkpoint; see `checkpoints`."""
        if self.processes.is_first:
            save_checkpoint(self, path)

    def progress_bar(self, shown: bool) -> tqdm:
        """A bar that counts steps, or seconds where the run was given seconds."""
        total, unit = (self.steps, "step") if self.steps else (round(self.seconds), "s")
        initial = min(self.history.steps, total)
        shown = shown and self.processes.is_first
        with warnings.catch_warnings():
            # Without ipywidgets tqdm falls back to a bar in text, and warns; the bar will do.
            warnings.simplefilter("ignore")
            return tqdm(total=total, initial=initial, unit=unit, disable=not shown, mininterval=0.5)

    def update_bar(self, bar: tqdm) -> None:
        """Move the bar to the present step, and every tenth step show loss and speed."""
        history = self.history
        reached = history.steps if self.steps else min(int(history.seconds[-1]), bar.total)
        if not bar.disable and (history.steps % 10 == 0 or reached == bar.total):
            speed = history.tokens[-1] / max(history.seconds[-1], 1e-9)
            text = f"loss {history.losses[-1]:.3f}, {speed:,.0f} tokens/s"
            bar.set_postfix_str(text, refresh=False)  # bar.update redraws it
        bar.update(reached - bar.n)  # takes a difference


def backward(
    compute: Callable[[torch.Generator], Loss], batch: Any, seed: int
) -> tuple[float, int | None]:
    """Forward and backward pass of a whole batch: its loss and number of labels.

    Leaves the gradients in the model, unless the loss is NaN or infinite.

    Args:
        compute: generator -> Loss.
        seed: of this step's draws.
    """
    first = batch[0] if isinstance(batch, tuple | list) else batch
    torch.manual_seed(seed)  # for dropout
    # On the batch's device, since a generator draws only for its own.
    loss = compute(torch.Generator(first.device).manual_seed(seed))
    value = loss.value.item()  # on a GPU this waits for the forward pass
    if math.isfinite(value):
        loss.value.backward()  # each operation in the dtype of its forward pass
    return value, loss.tokens


def explain_divergence(run: Run, loss: float) -> str:
    """An error message for a loss that is NaN or infinite: when, after what, and likely causes."""
    recent = ", ".join(f"{value:.3g}" for value in run.history.losses[-5:]) or "none yet"
    weights = run.model.named_parameters()
    broken = [name for name, weight in weights if not weight.isfinite().all()]
    cause = f"the weights of {broken[0]} were not finite" if broken else "all weights were finite"
    config = run.config
    return (
        f"the loss became {loss} at step {run.history.steps} (losses before: {recent}); {cause}. "
        f"Usual causes: too large a learning rate (lr={config.lr}, matrix_lr={config.matrix_lr}: "
        "try a third), a logarithm or division by zero in the objective, or NaN in the data."
    )


def autocast(device: torch.device, precision: str) -> Any:
    """The context in which the forward pass runs: bfloat16 products, or nothing special."""
    # bfloat16 has the exponents of float32, so small gradients survive without loss scaling.
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()


@contextmanager
def training_mode(model: nn.Module) -> Iterator[None]:
    """The model in training mode (dropout on); afterwards its mode is as it was."""
    was_training = model.training
    model.train()
    try:
        yield
    finally:
        model.train(was_training)


def lesson_steps(steps: int) -> int:
    """The steps of a lesson, or a twentieth of them if `FMCOURSE_SHORT=1` asks for a rehearsal."""
    return max(2, steps // 20) if os.environ.get("FMCOURSE_SHORT") == "1" else steps
