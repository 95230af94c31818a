"""Files that are either the old one or the new one, never half of each."""

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path


def write_atomically(path: str | Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary neighbour of `path`, then put it in place in one step.

    A crash at any moment leaves the old file as it was. Raises: whatever `write` raises, after tidying up.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    temporary.touch(exist_ok=False)  # not mkstemp: that closes the file to everyone else, for good
    try:
        write(temporary)
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise


def write_text(path: str | Path, text: str) -> None:
    """Atomically, in UTF-8 with plain line ends."""
    write_atomically(path, lambda temporary: temporary.write_bytes(text.encode()))
