"""Where the course's files lie, and files that are written whole or not at all."""

import contextlib
import importlib.util
import os
import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]


def lessons_folder() -> Path:
    """Where the lessons lie: FMCOURSE_LESSONS if it is set, else `lessons` beside the package."""
    return Path(os.environ.get("FMCOURSE_LESSONS") or ROOT / "lessons")


def import_file(path: str | Path, name: str) -> ModuleType:
    """The module in a file, whatever the file is called; `name` is what it is known by afterwards.

    Raises: FileNotFoundError naming the file, or whatever the module raises while it is imported.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no {path}.")
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


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
