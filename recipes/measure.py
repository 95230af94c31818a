"""Measure what a lesson's table says, and put table and checkpoints in place.

Run       python recipes/measure.py NN [NN ...]
Takes     minutes to hours: each lesson's measure.py says

A lesson's `measure.py` works in build/measure/NN, where every finished part is kept, so a run that
was stopped goes on where it was. Only when all of it is done, its table.json goes into the lesson's
folder and its checkpoints to data/checkpoints.
"""

import inspect
import shutil
import sys
from pathlib import Path

from common import measurements

from fmcourse.files import ROOT, write_atomically


def measure(number: str, flags: list[str]) -> None:
    """One lesson; `flags` are what its own main takes besides the folder, "--train-only" for
    train_only=True.
    """
    module, out = measurements(number), ROOT / "build" / "measure" / number
    known = list(inspect.signature(module.main).parameters)[1:]
    chosen = {flag.lstrip("-").replace("-", "_"): True for flag in flags}
    if unknown := set(chosen) - set(known):
        raise SystemExit(f"lesson {number} knows no --{unknown.pop().replace('_', '-')}.")
    out.mkdir(parents=True, exist_ok=True)
    module.main(out, **chosen)
    put(out / "table.json", Path(module.__file__).with_name("table.json"))
    for made in sorted((out / "checkpoints").glob("*")):
        put(made, ROOT / "data" / "checkpoints" / made.name)


def put(made: Path, place: Path) -> None:
    """Move a finished file to its place, whole or not at all."""
    if made.is_file():
        write_atomically(place, lambda temporary: shutil.copyfile(made, temporary))
        made.unlink()
        print(place.relative_to(ROOT))


if __name__ == "__main__":
    numbers = [word for word in sys.argv[1:] if not word.startswith("-")]
    if not numbers:
        sys.exit(__doc__)
    for number in numbers:
        measure(number, [word for word in sys.argv[1:] if word.startswith("-")])
