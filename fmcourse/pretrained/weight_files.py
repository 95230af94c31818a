"""Safetensors files: opened, or refused in a sentence where they are damaged."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from fmcourse.files import damage


@contextmanager
def open_weights(path: str | Path) -> Iterator[Any]:
    """An open safetensors file, mapped into memory: a tensor is read when it is asked for.

    Raises: ValueError if the file is damaged, cut short, or a Git LFS pointer.
    """
    try:
        with safe_open(path, "pt") as file:
            yield file
    except SafetensorError as error:
        raise ValueError(damage(path, error)) from None


def load_weights(path: str | Path) -> dict[str, Tensor]:
    """Every tensor of a safetensors file by its name. Raises: see `open_weights`."""
    with open_weights(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no dict)
