"""Checkpoints of a training run: one safetensors file from which the run resumes bit for bit.

Tensors are named `model.NAME` (parameters), `buffer.NAME` (buffers that the model saves) and
`optimizer.NUMBER.INDEX.KEY` (the state of an optimizer for its parameter INDEX). The header holds
two JSON strings: `identity`, what must agree for a run to be resumed, and `history`.
"""

import json
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from fmcourse.files import write_atomically
from fmcourse.models.compiled import uncompiled_name
from fmcourse.training.history import History

# What a full disk, a folder that may not be written to, or a share that is gone raises.
SAVE_ERRORS = (OSError, SafetensorError)


class RunState(Protocol):
    """What a checkpoint saves and restores; `loop.Run` is one."""

    model: nn.Module
    optimizers: list[torch.optim.Optimizer]
    history: History
    started: float  # time.monotonic() at the start, so that seconds count on after resuming
    # These must be the same when the run is resumed. `config` is a dataclass.
    config: Any
    seed: int
    steps: int | None
    seconds: float | None


class CheckpointMismatch(ValueError):
    """A checkpoint belongs to another model or another run, or is damaged."""


def save_checkpoint(run: RunState, path: Path) -> None:
    """Write the whole state of a run. The old file stays until the new one is complete."""
    header = {
        # A safetensors header holds strings alone, hence JSON.
        "identity": json.dumps(run_identity(run)),
        "history": json.dumps(asdict(run.history)),
    }
    tensors = run_tensors(run)
    write_atomically(path, lambda temporary: save_file(tensors, temporary, header))


def save_or_warn(save: Callable[[Path], object], path: Path, last: bool = False) -> None:
    """Save a run's checkpoint; where that fails, warn: a full disk must not cost the training.

    Args:
        save: `run.save`.
        last: the training is over, so that no other save will follow.
    """
    try:
        save(path)
    except SAVE_ERRORS as error:
        advice = (
            "The trained model is still in memory: make room and save it, or save it on another "
            "disk: `from safetensors.torch import save_model; save_model(model, FILE)`."
            if last
            else "Training goes on, and the next save tries again."
        )
        warnings.warn(f"{path} could not be written ({error}). {advice}", stacklevel=3)


def load_checkpoint(run: RunState, path: Path) -> None:
    """Put a fresh run into the state that `save_checkpoint` wrote.

    Raises: CheckpointMismatch if the file is damaged or belongs to another run.
    """
    header, saved = read_checkpoint(run, path)
    run.history = History(**json.loads(header["history"]))
    seconds_before = run.history.seconds[-1] if run.history.steps else 0.0
    run.started = time.monotonic() - seconds_before  # as if it had run without a break
    own = {
        uncompiled_name(name): tensor
        for name, tensor in [*run.model.named_parameters(), *run.model.named_buffers()]
    }
    states: list[dict[int, dict[str, Tensor]]] = [{} for _ in run.optimizers]
    # A parameter may be changed in place only where autograd does not record.
    with torch.no_grad():
        for full_name, value in saved.items():
            kind, _, name = full_name.partition(".")  # names of parameters have dots too
            if kind == "optimizer":
                number, index, key = name.split(".", 2)
                states[int(number)].setdefault(int(index), {})[key] = value
            else:
                own[uncompiled_name(name)].copy_(
                    value
                )  # in place: the optimizers hold these very tensors
    for optimizer, state in zip(run.optimizers, states, strict=True):
        # Hyperparameters are the fresh run's: its config was found to be the same.
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": state, "param_groups": groups})


def read_checkpoint(run: RunState, path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Header and tensors of the file, once it is certain that they belong to this run."""
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
            # The header is checked before any tensor is read.
            check_identity(run, json.loads(header.get("identity", "{}")), path)
            names = file.keys()  # the file is no dict: it cannot be iterated itself
            return header, {name: file.get_tensor(name) for name in names}
    except SafetensorError as error:
        raise CheckpointMismatch(
            f"{path} is no whole checkpoint ({error}); delete it to begin anew, or name another "
            "file."
        ) from None


def run_identity(run: RunState) -> dict[str, Any]:
    """What must agree for a checkpoint to be this run's."""
    shapes = {
        # So that a compiled model goes on with what it learnt before it was, and back.
        uncompiled_name(name): list(weight.shape)
        for name, weight in run.model.named_parameters()
    }
    return {
        "shapes": shapes,
        "seed": run.seed,
        "steps": run.steps,
        "seconds": run.seconds,
        "config": asdict(run.config),
    }


def check_identity(run: RunState, theirs: dict[str, Any], path: Path) -> None:
    """Raises: CheckpointMismatch naming the first thing that differs."""
    ours = json.loads(json.dumps(run_identity(run)))  # tuples become lists, as in the file
    if "shapes" in theirs:  # older files hold the names of a compiled model
        shapes = {uncompiled_name(name): shape for name, shape in theirs["shapes"].items()}
        theirs = theirs | {"shapes": shapes}
    for name, value in ours.items():
        if theirs.get(name) != value:
            changed = f"{name} was {theirs.get(name)}, now {value}"
            detail = "the model has other weights" if name == "shapes" else changed
            raise CheckpointMismatch(
                f"{path} is another run's: {detail}. Pass the same arguments or another file."
            )


def run_tensors(run: RunState) -> dict[str, Tensor]:
    """Every tensor of a run's state, by its name in the file."""
    # Tied weights are listed once; safetensors refuses tensors that share memory.
    tensors = {
        f"model.{uncompiled_name(name)}": weight for name, weight in run.model.named_parameters()
    }
    persistent = run.model.state_dict()  # without buffers that are computed, such as RoPE's
    for name, buffer in run.model.named_buffers():
        if name in persistent:
            tensors[f"buffer.{uncompiled_name(name)}"] = buffer
    for number, optimizer in enumerate(run.optimizers):
        for index, state in optimizer.state_dict()["state"].items():
            for key, value in state.items():
                tensors[f"optimizer.{number}.{index}.{key}"] = value  # Adam's step is a tensor too
    # Safetensors refuses tensors that are not contiguous.
    return {name: value.detach().contiguous() for name, value in tensors.items()}
