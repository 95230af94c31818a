"""The students' edition: the course without what only instructors need, and the proof that nothing of an answer is left in it.

python -m tools.student --out DIR            build it in DIR, a folder that is not there yet, and search it
python -m tools.student --out DIR --wheel    its wheel too, in DIR/dist

It is built whole and clean, or not at all. Where something is found, DIR is not made, and a line says for each leak in
which file it is, of which exercise and which part.
"""

import argparse
import fnmatch
import importlib.util
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from fmcourse.classroom.library import all_assigned
from tools.leaks import Report, search
from tools.lessons import ROOT

# Besides the folder itself: tests that skip themselves where it is not there, so that no check is lost with them, and that quote
# answers or may come to; and the tools that prove this edition, whose list of common lines would tell which of them are answers.
EXCLUDED = (
    "instructor/",
    "tests/test_assign.py",
    "tests/test_assigned.py",
    "tests/test_grading.py",
    "tests/test_student_edition.py",
    "tools/leaks.py",
    "tools/student.py",
)
NEVER_SHIPPED = (".git", "dist")  # made by use, and not in .gitignore


def files(root: Path) -> list[str]:
    """What belongs to the edition: of a work tree what git tracks, of an exported tree what .gitignore does not name.

    Raises: ValueError if it is a work tree and git cannot say.
    """
    if (root / ".git").exists():
        try:
            asked = subprocess.run(
                ["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True
            )
        except OSError as error:
            raise ValueError(
                f"git does not run, so nobody knows which files belong to the course: {error}."
            ) from None
        if asked.returncode:
            raise ValueError(
                f"git does not say which files belong to the course: {asked.stderr.strip()}"
            )
        found = [name for name in asked.stdout.split("\0") if name and (root / name).is_file()]
    else:
        found = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
        found = [name for name in found if not is_ignored(name, patterns(root))]
    return sorted(name for name in found if not name.startswith(EXCLUDED))


def patterns(root: Path) -> list[str]:
    """What .gitignore names, and what it need not."""
    listed = root / ".gitignore"
    lines = listed.read_text(encoding="utf-8").split() if listed.is_file() else []
    return [*NEVER_SHIPPED, *(line.strip("/") for line in lines)]


def is_ignored(name: str, patterns: list[str]) -> bool:
    """Does a pattern name this file, or a folder that it is in?"""
    path = PurePosixPath(name)
    places = [path, *path.parents][:-1]
    return any(
        fnmatch.fnmatch(str(place), one) or fnmatch.fnmatch(place.name, one)
        for place in places
        for one in patterns
    )


def build(
    out: Path, root: Path = ROOT, finish: Callable[[Path], object] = lambda made: None
) -> int:
    """Put the edition into `out`, whole or not at all; the number of its files.

    Args:
        finish: called with the folder before it gets its name; what it raises stops the whole.
    Raises: ValueError if something is there already.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} is not empty; name a folder that is not there yet.")
    out.parent.mkdir(parents=True, exist_ok=True)
    names = files(root)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as place:
        made = Path(place) / "edition"
        for name in names:
            (made / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, made / name)
        remove_section(made / "README.md", "With a class")
        finish(made)
        if out.exists():
            out.rmdir()
        made.rename(out)
    return len(names)


def build_wheel(made: Path) -> None:
    """Build the wheel of an edition in its folder `dist`, and leave nothing else behind. Raises: ValueError if it cannot be."""
    if importlib.util.find_spec("setuptools") is None:
        raise ValueError("the wheel needs setuptools, which is not here: pip install setuptools")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--disable-pip-version-check",
    ]
    with tempfile.TemporaryDirectory() as place:
        copy = shutil.copytree(
            made, Path(place) / "course"
        )  # setuptools builds in the folder that it is given
        done = subprocess.run(
            [*command, "-q", "-w", made / "dist", copy], capture_output=True, text=True
        )
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["pip says nothing"]
        raise ValueError(f"the wheel was not built: {lines[-1]}")


def remove_section(path: Path, title: str) -> None:
    """Take a section out of a page, if both are there: what it speaks of is left out too."""
    if path.is_file():
        before, heading, rest = path.read_text(encoding="utf-8").partition(f"## {title}\n")
        after = rest.partition("\n## ")[2]
        path.write_text(
            before + (f"## {after}" if after else ""), encoding="utf-8"
        ) if heading else None


class LeakError(ValueError):
    """The edition holds what it must not; its text names each leak."""


def check_leaks(made: Path) -> Report:
    """Search an edition for everything that is secret. Raises: Leaking, or ValueError if there is nothing to search for."""
    report = search(made, all_assigned())
    if report.leaks:
        lines = [
            f"{leak.file}: {f'{leak.exercise}, ' * bool(leak.exercise)}{leak.part}: {leak.excerpt}"
            for leak in report.leaks
        ]
        raise LeakError("\n".join([*lines, f"{len(lines)} leaks, so the edition was not made."]))
    return report


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.student",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--out", metavar="DIR", type=Path, required=True, help="a folder that is not there yet"
    )
    parser.add_argument("--wheel", action="store_true", help="build its wheel too, in DIR/dist")
    options = parser.parse_args(arguments)
    reports = []

    def finish(made: Path) -> None:
        if options.wheel:
            build_wheel(made)
        reports.append(check_leaks(made))

    try:
        n = build(options.out, root, finish)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    (report,) = reports
    print(
        f"{options.out}: {n} files. Searched {report.files} files and {report.inside} in archives for {report.secrets} secrets: no leak. "
        f"{len(report.too_short)} of the secrets are too short, or too much the course's own, to be told from what anybody writes."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
