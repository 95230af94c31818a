"""Inside the jail: a warm process that has torch loaded and forks for each answer.

It knows no solution and reads no answer. For each answer it is handed two sockets: one for the task
and what comes of it, one for how it ended. It forks a supervisor without looking at them; the
supervisor makes namespaces, forks the process that runs the student's code, and ends it with
everything it started when its time is up. So no process that has seen one student's work is ever
asked about another's.

In bubblewrap each answer has process numbers, a network, messages, a scratch folder and a /proc of
its own. Whatever of this cannot be had, the answer is not run. Where bubblewrap's own process may
make no namespaces (`can_isolate` in `jail`), or without it, they are made as far as they go.

Run as `python -m fmcourse.classroom.jail_worker SOCKET`, or with PROBE for a socket, to see whether
answers can be isolated; only on systems that can fork.
"""

import contextlib
import ctypes
import json
import os
import resource
import select
import shutil
import signal
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Any

from fmcourse.classroom.seccomp import is_known_machine, refuse_calls

SCRATCH, PROBE = "/scratch", "probe"
# CLONE_NEW... in linux/sched.h
NEW_USER, NEW_PID, NEW_NETWORK, NEW_IPC = 0x10000000, 0x20000000, 0x40000000, 0x08000000
NEW_MOUNTS = 0x00020000
DUMPABLE, NO_NEW_PRIVILEGES, SUBREAPER = 4, 38, 36  # linux/prctl.h
CAPABILITY_VERSION = 0x20080522  # linux/capability.h
READ_ONLY, NOSUID, NODEV, NOEXEC, RECURSIVE, PRIVATE = 1, 2, 4, 8, 1 << 14, 1 << 18  # linux/mount.h
FORKED_MB = 400  # what each answer has from the warm process, torch above all
MIB = 2**20
MAX_REPLY = 12 * MIB
MAX_PROCESSES, MAX_THREADS = 5, 200  # of one answer, at once
MAX_FILES = 4000  # in a scratch folder: an empty one takes memory too
WAIT_FACTOR = 5  # times its CPU time that an answer may last, since others use the machine too
TICK = 0.02  # seconds between two checks of a running answer
JOIN_KEYRING = {  # keyctl: a session keyring of one's own, empty
    "x86_64": (250, 1),
    "aarch64": (219, 1),
}


# -- the warm parent ----------------------------------------------------------------------------


def serve(door: socket.socket) -> None:
    """Fork a supervisor for each pair of sockets that comes through the door, until it closes."""
    drop_keyring()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for a supervisor
    prctl(DUMPABLE, 0)  # no other process may read or write this one's memory
    door.sendall(b"ready")
    while True:
        word, sockets, *_ = socket.recv_fds(door, 16, 2)
        if not word:
            return
        if os.fork() == 0:
            door.close()
            supervise(*sockets)
        for one in sockets:
            os.close(one)


def supervise(task: int, ending: int) -> None:
    """Run one answer in a process of its own and report how it ended. Never returns."""
    how = {"how": "lost"}
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        here, limits = socket.socket(fileno=task), json.loads(os.read(ending, 4096))
        how = {"how": "not isolated"}
        unshare_namespaces(limits)
        prctl(SUBREAPER, 1)
        ready, begun = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(ending)
            os.close(ready)
            run_task(here, limits, begun)
        here.close()
        os.close(begun)
        if os.read(ready, 1):  # written once the child has shut itself in
            how = watch(child, limits)
        if not limits["isolated"]:
            clear_folder(limits["scratch"])
    finally:
        with contextlib.suppress(OSError):
            os.write(ending, json.dumps(how).encode())
        os._exit(0)


def unshare_namespaces(limits: dict[str, Any]) -> None:
    """Leave the others' process numbers, messages and network.

    Raises: OSError if it fails, where answers are to be isolated; else it is only tried.
    """
    if limits["isolated"]:
        check(libc().unshare(NEW_PID | NEW_IPC | NEW_NETWORK), "unshare")
        return
    mine = (os.getuid(), os.getgid())
    prctl(DUMPABLE, 1)  # its own uid_map must be written
    if hasattr(os, "pidfd_open") and libc().unshare(NEW_USER | NEW_PID | NEW_IPC) == 0:
        with contextlib.suppress(OSError):
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/gid_map").write_text(f"{mine[1]} {mine[1]} 1")
            Path("/proc/self/uid_map").write_text(f"{mine[0]} {mine[0]} 1")
    prctl(DUMPABLE, 0)


def check(result: int, call: str) -> None:
    """Raises: OSError if a call of the C library has failed."""
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")


def watch(child: int, limits: dict[str, Any]) -> dict[str, Any]:
    """Wait for the child to end, or end it and whatever it started; how it ended.

    Its `seconds` are of CPU time (RLIMIT_CPU); on a busy machine WAIT_FACTOR times as many go by.
    """
    until, exceeded = time.monotonic() + WAIT_FACTOR * limits["seconds"], ""
    process = ChildProcess(child)
    while not exceeded and not process.wait(TICK):
        exceeded = exceeded_limit(limits, until)
    for each in [child, *descendants(os.getpid())]:
        with contextlib.suppress(OSError):
            os.kill(each, signal.SIGKILL)
    status = process.exit_status()
    if exceeded:
        return {"how": exceeded}
    if os.WIFSIGNALED(status):
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        if used.ru_utime + used.ru_stime > limits["seconds"]:  # it was RLIMIT_CPU
            return {"how": "time"}
        return {"how": "signal", "number": os.WTERMSIG(status)}
    return {"how": "exit", "number": os.WEXITSTATUS(status)}


def exceeded_limit(limits: dict[str, Any], until: float) -> str:
    """Which limit an answer has exceeded: "time", "processes", "memory", "disk", or none."""
    if time.monotonic() > until:
        return "time"
    alive = [memory_and_threads(each) for each in descendants(os.getpid())]
    if len(alive) > MAX_PROCESSES or sum(threads for _, threads in alive) > MAX_THREADS:
        return "processes"
    too_much = sum(memory for memory, _ in alive) > (limits["memory_mb"] + FORKED_MB) * MIB
    if too_much:
        return "memory"
    # where it is isolated, its scratch folder is a file system of that size
    return "disk" if not limits["isolated"] and is_overfull(limits) else ""


def is_overfull(limits: dict[str, Any]) -> bool:
    """Does the scratch folder hold more than `disk_mb`, or more than MAX_FILES files?"""
    n_files = n_bytes = 0
    for place, folders, files in os.walk(limits["scratch"]):
        n_files += len(folders) + len(files)
        for name in files:
            with contextlib.suppress(OSError):  # it may be gone again
                n_bytes += os.lstat(os.path.join(place, name)).st_blocks * 512
        if n_files > MAX_FILES or n_bytes > limits["disk_mb"] * MIB:
            return True
    return False


def memory_and_threads(process: int) -> tuple[int, int]:
    """Bytes of memory that a process has of its own or shares with its like, and its threads."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
        figures = {line.split(":")[0]: line.split()[1] for line in lines if len(line.split()) > 1}
        kilobytes = int(figures.get("RssAnon", 0)) + int(figures.get("RssShmem", 0))
        return kilobytes * 1024, int(figures.get("Threads", 1))
    return 0, 1


def clear_folder(folder: str) -> None:
    """Leave nothing in a scratch folder that the next answer would find."""
    for path in Path(folder).iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


class ChildProcess:
    """Whether a child has ended, asked without keeping the processor busy."""

    def __init__(self, child: int) -> None:
        self.child, self.waited_status = child, None
        self.file = os.pidfd_open(child) if hasattr(os, "pidfd_open") else None

    def wait(self, seconds: float) -> bool:
        if self.file is not None:
            return bool(select.select([self.file], [], [], seconds)[0])
        found, status = os.waitpid(self.child, os.WNOHANG)
        self.waited_status = status if found else None
        if self.waited_status is None:
            time.sleep(seconds / 4)
        return self.waited_status is not None

    def exit_status(self) -> int:
        return os.waitpid(self.child, 0)[1] if self.waited_status is None else self.waited_status


def descendants(process: int) -> list[int]:
    """Every process that descends from one, where /proc says so."""
    parents: dict[int, list[int]] = {}
    for entry in os.listdir("/proc") if os.path.isdir("/proc") else []:
        if entry.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                text = Path(f"/proc/{entry}/stat").read_text()
                parents.setdefault(int(text.rsplit(")", 1)[1].split()[1]), []).append(int(entry))
    found, new = [], [process]
    while new:
        new = [child for one in new for child in parents.get(one, [])]
        found += new
    return found


# -- the process that runs a student's code -----------------------------------------------------


def run_task(here: socket.socket, limits: dict[str, Any], begun: int) -> None:
    """Read the task, run the code, send what came of it. Never returns.

    Args:
        begun: a pipe into which a byte is written once everything is shut.
    """
    try:
        os.setsid()
        drop_keyring()
        enter_scratch(limits)
        redirect_to_null()
        give_up_privileges(limits)
        os.write(begun, b"1")
        os.close(begun)
        task = json.loads(read_message(here))
        limit_resources(limits)
        reply = run_answer(task)
        data = json.dumps(reply).encode()
        send_message(here, data if len(data) <= MAX_REPLY else b'{"large":true}')
    except MemoryError:
        send_message(here, b'{"memory":true}')
    except BaseException as error:
        with contextlib.suppress(BaseException):
            send_message(here, json.dumps({"lost": type(error).__name__}).encode())
    finally:
        os._exit(0)


def send_message(here: socket.socket, data: bytes) -> None:
    """One message: its length, then so many bytes."""
    here.sendall(struct.pack("!Q", len(data)) + data)


def read_message(here: socket.socket) -> bytes:
    """The message that `send_message` sends."""
    length = struct.unpack("!Q", read_exactly(here, 8))[0]
    return read_exactly(here, length)


def read_exactly(here: socket.socket, n: int) -> bytes:
    data = bytearray()
    while len(data) < n:
        part = here.recv(min(n - len(data), MIB))
        if not part:
            raise EOFError("the other end hung up")
        data += part
    return bytes(data)


def enter_scratch(limits: dict[str, Any]) -> None:
    """A folder of its own, empty, that nobody else sees; the environment knows no other.

    Raises: OSError if something cannot be mounted.
    """
    folder = Path(limits["scratch"])
    if limits["isolated"]:
        mount_own_folders(folder, limits["disk_mb"])
    else:
        folder = folder / f"{os.getpid()}-{time.monotonic_ns()}"
        folder.mkdir(parents=True)
    os.chdir(folder)
    os.environ.update({"HOME": str(folder), "TMPDIR": str(folder)})


def mount_own_folders(scratch: Path, disk_mb: int) -> None:
    """Mount a scratch folder, and a /proc that shows this answer's processes and nothing else.

    The rest of /proc holds counters of the whole machine, which one answer could set and another
    read. Raises: OSError if it cannot be done.
    """
    check(libc().unshare(NEW_MOUNTS), "unshare")
    check(libc().mount(b"none", b"/", None, RECURSIVE | PRIVATE, None), "mount /")
    size, shut = f"size={disk_mb}m,nr_inodes={MAX_FILES}".encode(), NOSUID | NODEV
    check(libc().mount(b"scratch", bytes(scratch), b"tmpfs", shut, size), f"mount {scratch}")
    shut |= NOEXEC | READ_ONLY
    check(libc().mount(b"proc", b"/proc", b"proc", shut, b"subset=pid"), "mount /proc")


def give_up_privileges(limits: dict[str, Any]) -> None:
    """Have no capability, get none back, and make no call that `seccomp` refuses.

    Raises: OSError if it fails, where answers are to be isolated; else it is only tried.
    """
    if sys.platform != "linux":
        return
    with contextlib.nullcontext() if limits["isolated"] else contextlib.suppress(OSError):
        check(libc().prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0), "prctl")
        header, none = struct.pack("Ii", CAPABILITY_VERSION, 0), bytes(24)
        check(libc().capset(header, none), "capset")
        if limits["isolated"] or is_known_machine():
            refuse_calls()


def drop_keyring() -> None:
    """Join an empty keyring: what lies in the login's, or in another answer's, is out of reach."""
    if sys.platform == "linux" and (call := JOIN_KEYRING.get(os.uname().machine)):
        libc().syscall(*call, None)


def redirect_to_null() -> None:
    """Nothing to read from, nowhere to print to."""
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)


def limit_resources(limits: dict[str, Any]) -> None:
    """What the process may use from here on; it cannot be taken back."""
    size = address_space()
    caps = {
        "RLIMIT_AS": size + limits["memory_mb"] * MIB if size else None,
        "RLIMIT_CORE": 0,
        "RLIMIT_NOFILE": 40,
        "RLIMIT_CPU": int(limits["seconds"]) + 2,
        "RLIMIT_FSIZE": limits["disk_mb"] * MIB,
        "RLIMIT_NPROC": None if os.geteuid() == 0 else 256,
    }
    for name, most in caps.items():
        if most is not None and hasattr(resource, name):
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(getattr(resource, name), (most, most))


def address_space() -> int:
    """Bytes of address space that this process has now; 0 where /proc does not tell."""
    path = Path("/proc/self/statm")
    return int(path.read_text().split()[0]) * resource.getpagesize() if path.exists() else 0


def run_answer(task: dict[str, Any]) -> dict[str, Any]:
    """Run a student's statements, then the answer on every case; what came of it, packed."""
    from fmcourse.classroom.task import run_answer  # the warm process has loaded it

    return run_answer(task)


def prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        libc().prctl(option, value, 0, 0, 0)


def libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def warm_up() -> None:
    """Load what answers need, once for all of them: torch, the package, the public exercises."""
    import torch

    from fmcourse.classroom import handout, task  # noqa: F401
    from fmcourse.course.library import all_exercises

    torch.set_num_threads(1)
    torch.randn(8, 8).softmax(-1).sum().item()
    # the first optimizer loads torch's compiler, which takes longer than an answer may
    torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.0)
    list(all_exercises())


def probe() -> bool:
    """Can answers be isolated here? It is tried as for an answer, with another child."""
    if not is_known_machine():
        return False
    limits = {"isolated": True, "scratch": SCRATCH, "disk_mb": 1}
    with contextlib.suppress(OSError):
        unshare_namespaces(limits)
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BaseException):
                enter_scratch(limits)
                give_up_privileges(limits)
                os._exit(0)
            os._exit(1)
        return os.waitpid(child, 0)[1] == 0
    return False


def main() -> None:
    if sys.argv[1] == PROBE:
        raise SystemExit(not probe())
    door = socket.socket(fileno=int(sys.argv[1]))
    warm_up()
    serve(door)


if __name__ == "__main__":
    main()
