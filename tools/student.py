"""The students' edition: the course without `instructor/`, and the proof that nothing of it is left.

python -m tools.student --out DIR [--wheel]      build it in DIR, a wheel in DIR/dist, and search all of it
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from fmcourse.classroom.assigned import all_assigned
from tools.leaks import leaks
from tools.lessons import ROOT

LEFT_OUT = ("instructor/",)
NOT_OURS = {
    ".git",
    ".venv",
    "build",
    "work",
    "dist",
    "__pycache__",
    ".pytest_cache",
    ".ruff_cache",
    "fmcourse.egg-info",
}


def files(root: Path) -> list[str]:
    """What belongs to the course: what git tracks, or in a tree without git all but what is made by using it."""
    asked = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True)
    if asked.returncode == 0 and asked.stdout:
        found = [name for name in asked.stdout.split("\0") if name and (root / name).is_file()]
    else:
        found = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
        found = [name for name in found if not NOT_OURS & set(Path(name).parts)]
    return sorted(name for name in found if not name.startswith(LEFT_OUT))


def build(out: Path, root: Path = ROOT) -> int:
    """Put the edition into `out`, whole or not at all; the number of its files. Raises: ValueError if something is there."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} is not empty; name a folder that is not there yet.")
    out.parent.mkdir(parents=True, exist_ok=True)
    names = files(root)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".edition-") as place:
        made = Path(place) / "edition"
        for name in names:
            (made / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, made / name)
        if out.exists():
            out.rmdir()
        made.rename(out)
    return len(names)


def wheel(out: Path) -> None:
    """Build the wheel of an edition. Raises: ValueError with pip's last line, if it cannot be built."""
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", "dist", "."]
    done = subprocess.run(command, cwd=out, capture_output=True, text=True)
    if done.returncode:
        raise ValueError(f"the wheel was not built: {(done.stderr or done.stdout).strip().splitlines()[-1]}")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.student", description="Build the students' edition, and search it."
    )
    parser.add_argument("--out", metavar="DIR", required=True, help="where it goes: a folder that is not there yet")
    parser.add_argument("--wheel", action="store_true", help="build its wheel too")
    options = parser.parse_args(arguments)
    exercises, out = all_assigned(), Path(options.out)
    try:
        n = build(out)
        if options.wheel:
            wheel(out)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    found = leaks(out, exercises)
    for leak in found:
        print(f"{leak.file}: {leak.part} of {leak.exercise}: {leak.excerpt}")
    print(
        f"{out}: {n} files; nothing of {len(exercises)} assigned exercises was to be found, and {len(found)} leaks were."
    )
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
