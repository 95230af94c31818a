"""The students' edition: the course without what only instructors need, searched for answers.

python -m tools.student --out DIR            build it in DIR, which is not there yet, and search it
python -m tools.student --out DIR --wheel    its wheel too, in DIR/dist

It is built whole and clean, or not at all. Where something is found, DIR is not made, and a line
says for each leak in which file it is, of which exercise and which part.
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
from tools.leaks import Leak, Report, search
from tools.lessons import ROOT

# Besides the folder itself: tests that skip themselves where it is not there, so that no check is
# lost with them, and that quote answers or may come to; and the tools that build and search this
# edition, which have nothing to do in it.
EXCLUDED = (
    "instructor/",
    "tests/test_assign.py",
    "tests/test_assigned.py",
    "tests/test_grading.py",
    "tests/test_student_edition.py",
    "tools/answer_texts.py",
    "tools/leaks.py",
    "tools/student.py",
)
NEVER_SHIPPED = (".git", "dist")  # made by use, and not in .gitignore


def files(root: Path) -> list[str]:
    """The files that belong to the edition, relative to `root`.

    Of a work tree those that git tracks, of an exported tree those that .gitignore does not name.

    Raises: ValueError if it is a work tree and git cannot say.
    """
    if (root / ".git").exists():
        found = tracked_files(root)
    else:
        found = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
        patterns = ignored_patterns(root)
        found = [name for name in found if not is_ignored(name, patterns)]
    return sorted(name for name in found if not name.startswith(EXCLUDED))


def tracked_files(root: Path) -> list[str]:
    """What git tracks and is there. Raises: ValueError if git cannot say."""
    problem = "which files belong to the course"
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True)
    except OSError as error:
        raise ValueError(f"git does not run, so nobody knows {problem}: {error}.") from None
    if listed.returncode:
        raise ValueError(f"git does not say {problem}: {listed.stderr.strip()}")
    return [name for name in listed.stdout.split("\0") if name and (root / name).is_file()]


def ignored_patterns(root: Path) -> list[str]:
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


def build(out: Path, root: Path = ROOT, finish: Callable[[Path], object] | None = None) -> int:
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
        if finish:
            finish(made)
        if out.exists():
            out.rmdir()
        made.rename(out)
    return len(names)


def build_wheel(made: Path) -> None:
    """Build the wheel of an edition in its folder `dist`, and leave nothing else behind.

    Raises: ValueError if it cannot be built.
    """
    if importlib.util.find_spec("setuptools") is None:
        raise ValueError("the wheel needs setuptools, which is not here: pip install setuptools")
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--disable-pip-version-check"]
    options = ["--no-deps", "--no-build-isolation", "-w", made / "dist"]
    with tempfile.TemporaryDirectory() as place:
        # setuptools writes into the folder that it builds from, so it gets a copy.
        copy = shutil.copytree(made, Path(place) / "course")
        done = subprocess.run([*pip, *options, copy], capture_output=True, text=True)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["pip says nothing"]
        raise ValueError(f"the wheel was not built: {lines[-1]}")


def remove_section(path: Path, title: str) -> None:
    """Take a section out of a page, if both are there: what it speaks of is left out too."""
    if not path.is_file():
        return
    before, heading, rest = path.read_text(encoding="utf-8").partition(f"## {title}\n")
    if heading:
        after = rest.partition("\n## ")[2]
        path.write_text(before + (f"## {after}" if after else ""), encoding="utf-8")


class LeakError(ValueError):
    """The edition holds what it must not; its text names each leak."""


def check_leaks(made: Path) -> Report:
    """Search an edition for everything that is secret.

    Raises: LeakError, or ValueError if there is nothing to search for.
    """
    report = search(made, all_assigned())
    if report.leaks:
        lines = [describe_leak(leak) for leak in report.leaks]
        raise LeakError("\n".join([*lines, f"{len(lines)} leaks, so the edition was not made."]))
    return report


def describe_leak(leak: Leak) -> str:
    """A leak on one line: file, exercise and part, and words of it."""
    part = f"{leak.exercise}, {leak.part}" if leak.exercise else leak.part
    return f"{leak.file}: {part}: {leak.excerpt}"


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
        f"{options.out}: {n} files. Searched {report.files} files and {report.inside} in archives "
        f"for {report.secrets} secrets: no leak. {len(report.too_short)} of the secrets are too "
        "short to be told from what anybody writes."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
