"""Where the course's files lie, and files that are written whole or not at all."""

import contextlib
import importlib.util
import json
import os
import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def lessons_folder() -> Path:
    """Where the lessons lie: FMCOURSE_LESSONS if it is set, else `lessons` beside the package."""
    return Path(os.environ.get("FMCOURSE_LESSONS") or ROOT / "lessons")


def import_file(path: str | Path, name: str) -> ModuleType:
    """Import a Python file, whatever it is called and wherever it lies.

    Args:
        name: the name under which `sys.modules` has it afterwards.
    Raises: FileNotFoundError naming the file, or whatever the module raises while it is imported;
        then it is not in `sys.modules`.
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
    """Let `write` fill a temporary file beside `path`, then rename it to `path` in one step.

    A crash at any moment leaves the old file as it was. Missing folders are made.

    Args:
        write: called with the temporary file's path.
    Raises: whatever `write` raises, after the temporary file is removed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    # Not mkstemp: its files can be read by their owner alone, and the mode outlives the renaming.
    temporary.touch(exist_ok=False)
    try:
        write(temporary)
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())  # on the disk before the name points to it
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise


def write_text(path: str | Path, text: str) -> None:
    """Write a text atomically, in UTF-8, its line ends as they are."""
    write_atomically(path, lambda temporary: temporary.write_bytes(text.encode()))


LFS_POINTER = b"version https://git-lfs.github.com/spec/"  # the first line of such a file


def damage(path: str | Path, error: object) -> str:
    """A sentence about a file that cannot be read: what is wrong with it, and what to do.

    Args:
        error: what the reader of the file said.
    """
    with open(path, "rb") as file:
        beginning = file.read(len(LFS_POINTER))
    if beginning == LFS_POINTER:
        return (
            f"{path} is a Git LFS pointer, a few lines that stand for the file; "
            "`git lfs pull` in its folder fetches the file itself."
        )
    return f"{path} is damaged or cut short ({error}); fetch or save it again."


def read_json(path: str | Path) -> dict[str, Any]:
    """The object that a JSON file holds. Raises: ValueError if it is damaged or holds no object."""
    try:
        found = json.loads(Path(path).read_bytes())  # bytes: UTF-8 on every system
    except ValueError as error:
        raise ValueError(damage(path, error)) from None
    if not isinstance(found, dict):
        raise ValueError(damage(path, f"it holds a {type(found).__name__}, not an object"))
    return found
