"""What an answer may not do in the jail: hear of another answer, leave word for it, use up memory.

Every attack is tried twice: as the user who runs the tests, and, where that is root, as an ordinary
user too.
"""

import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fmcourse.classroom import jail as jail_module
from fmcourse.classroom.jail import Jail, JailError, can_isolate, find_bubblewrap
from fmcourse.classroom.packing import pack, unpack
from fmcourse.files import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="grading forks, and this system cannot"),
    pytest.mark.xdist_group("grading"),
]
NOBODY = 65534
MEMORY_MB = 256  # small, so that an attack on the memory that succeeds hurts nobody


class OrdinaryJail(Jail):
    """A jail that root starts as an ordinary user, to whom this Python is shown."""

    def command(self, socket_number: int) -> list[str]:
        script = [*show_paths([sys.base_prefix, sys.prefix, str(ROOT)]), f"exec {as_nobody()}"]
        inner = super().command(socket_number)
        return ["unshare", "--mount", "sh", "-ec", " && ".join(script) + ' "$@"', "sh", *inner]


def as_nobody() -> str:
    return f"setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups"


def show_paths(paths: list[str]) -> Iterator[str]:
    """Shell commands that lay an empty folder over each closed one on the way to the paths."""
    for number, path in enumerate(paths):
        closed = [one for one in Path(path).parents if not one.stat().st_mode & 0o001]
        if closed:
            here, kept = shlex.quote(path), f"/mnt/{number}"
            yield "mount -t tmpfs -o mode=755,size=1m none /mnt"
            yield f"mkdir {kept} && mount --bind {here} {kept}"
            yield f"mount -t tmpfs -o mode=755,size=1m none {shlex.quote(str(closed[-1]))}"
            yield f"mkdir -p {here} && mount --bind {kept} {here}"


@pytest.fixture(scope="module", params=["as who runs the tests", "as an ordinary user"])
def jail(request: pytest.FixtureRequest) -> Iterator[Jail]:
    if find_bubblewrap() is None:
        pytest.skip("no bubblewrap works here")
    ordinary = request.param == "as an ordinary user"
    if ordinary and os.geteuid() != 0:
        pytest.skip("an ordinary user runs the tests already")
    with (OrdinaryJail if ordinary else Jail)(memory_mb=MEMORY_MB) as jail:
        yield jail


def run(jail: Jail, body: str, seconds: float = 30) -> object:
    """What came of `def answer(x)` with that body: its result, its error, or how it died."""
    lines = "\n".join("    " + line for line in body.strip().splitlines())
    task = {
        "id": "90.A1",
        "units": [[1, 0, f"import ctypes, os, socket, time\ndef answer(x):\n{lines}\n"]],
        "statements": [[0, 0, True], [0, 1, True]],
        "starter": "def answer(x):\n    ...\n",
        "imports": "",
        "run": None,
        "seconds": seconds - 5,
        "cases": [pack((1,))],
        "variant": None,
        "whole": False,
    }
    reply = jail.run(task, seconds)
    if "outcomes" not in reply:
        return reply
    outcome = reply["outcomes"][0]
    return outcome["error"] or unpack(outcome["value"])


# -- what one answer leaves for the next ---------------------------------------------------------


def test_an_answer_works(jail):
    assert run(jail, "return x + os.cpu_count() // os.cpu_count()") == 2


def test_a_pool_of_processes_works(jail):
    code = """
from concurrent.futures import ProcessPoolExecutor
with ProcessPoolExecutor(2) as pool: return list(pool.map(abs, [-1, -2]))
"""
    assert run(jail, code) == [1, 2]


def test_connections_leave_no_word(jail):
    leave = """
with socket.create_server(("127.0.0.1", 0)) as server:
    for _ in range(20):
        socket.create_connection(server.getsockname()).close()
        server.accept()[0].close()
"""
    run(jail, leave)
    assert run(jail, "return open('/proc/self/net/tcp').read().count('\\n')") == 1


def test_no_process_is_seen_and_none_is_counted(jail):
    look = "return [os.getpid(), sorted(int(p) for p in os.listdir('/proc') if p.isdigit())]"
    run(jail, "for _ in range(100):\n    if os.fork() == 0: os._exit(0)\n    os.wait()")
    assert run(jail, look) == [1, [1]]
    assert run(jail, "pid = os.fork()\nif pid == 0: os._exit(0)\nos.wait()\nreturn pid") == 2


def test_the_figures_of_the_whole_machine_are_out_of_sight(jail):
    """A counter of all processes, page faults or open files can be set to a number, and read."""
    shown = run(jail, "return [name for name in os.listdir('/proc') if not name.isdigit()]")
    assert sorted(shown) == ["self", "thread-self"]


@pytest.mark.parametrize(
    "call",
    [
        "import fcntl; fcntl.flock(os.open(os.__file__, os.O_RDONLY), fcntl.LOCK_EX)",
        "import fcntl; fcntl.lockf(os.open(os.__file__, os.O_RDONLY), fcntl.LOCK_SH)",
        "import fcntl; fcntl.fcntl(os.open(os.__file__, 0), fcntl.F_SETLEASE, fcntl.F_RDLCK)",
        "socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)",
        "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
        "c('inotify_init1', 0)",
        "c('unshare', 0x10000000)",
        "c('unshare', 0x40000000)",
        "c('shmget', 0, 4096, 0o1600)",
        "c('msgget', 0, 0o1600)",
        "c('memfd_create', b'x', 0)",
        "c('syscall', 250 if os.uname().machine == 'x86_64' else 219, 0, -4, 1)",  # keyctl
        "c('syscall', 425, 4, ctypes.create_string_buffer(200))",  # io_uring_setup
        "c('syscall', 0x40000000 + 272, 0x10000000)",  # unshare, as x32 calls it
        "socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)",
        "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)",
        "os.kill(-1, 9)",
        "os.mknod('d', 0o20666, os.makedev(1, 1))",
        "c('mount', b'x', b'/scratch', b'tmpfs', 0, None)",
        "open('/proc/self/oom_score_adj', 'w').write('900')",
        "open('/usr/x', 'w')",
        "open('/dev/x', 'w')",
        "os.setgroups([5])",
    ],
)
def test_a_way_to_the_others_is_shut(jail, call):
    define = """
def c(name, *given):
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*given) == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
"""
    found = run(jail, f"{define}\n{call}")
    assert isinstance(found, str) and "Error: [Errno" in found, found


def test_a_clone_in_a_user_namespace_of_its_own_is_refused(jail):
    code = """
libc = ctypes.CDLL(None, use_errno=True)
number = 56 if os.uname().machine == "x86_64" else 220
made = libc.syscall(number, 0x10000000 | 17, None, None, None, None)
if made == 0: os._exit(0)
return made
"""
    assert run(jail, code) == -1


# -- memory --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code",
    [
        "kept = [os.memfd_create('x') for _ in range(24)]\n"
        "for one in kept: os.write(one, bytes(30 * 2**20))",
        "import mmap\n"
        "for _ in range(4):\n"
        "    if os.fork() == 0:\n"
        "        m = mmap.mmap(-1, 200 * 2**20)\n"
        "        for k in range(0, len(m), 4096): m[k] = 1\n"
        "        time.sleep(20)\n"
        "time.sleep(15)",
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "libc.shmat.restype = ctypes.c_void_p\n"
        "for _ in range(8):\n"
        "    at = libc.shmat(libc.shmget(0, 100 * 2**20, 0o1600), None, 0)\n"
        "    if at in (None, 2**64 - 1): raise MemoryError\n"
        "    ctypes.memset(at, 1, 100 * 2**20)\n"
        "    libc.shmdt(ctypes.c_void_p(at))",
    ],
    ids=["memfd", "shared mappings", "System V"],
)
def test_memory_counts_wherever_it_lies(jail, code):
    found = run(jail, f"{code}\nreturn 'it had the memory'")
    assert found != "it had the memory" and "time" not in str(found), found


def test_files_without_a_byte_cost_memory_too(jail):
    found = run(jail, "for n in range(50_000): open(str(n), 'w').close()")
    assert str(found).startswith("OSError: [Errno 28]")


def test_threads_are_counted_as_processes_are(jail):
    code = """
import threading
threading.stack_size(32768)
for _ in range(1500): threading.Thread(target=time.sleep, args=(20,), daemon=True).start()
time.sleep(10)
return "it had them"
"""
    assert run(jail, code) != "it had them"


# -- when the jail itself does not hold ----------------------------------------------------------


def test_an_answer_that_cannot_be_shut_in_is_not_run():
    """A mount that fails is seen; it must cost no student a point."""
    if find_bubblewrap() is None:
        pytest.skip("no bubblewrap works here")
    with Jail(disk_mb=-1) as jail, pytest.raises(JailError, match="could not be shut in"):
        run(jail, "return 1")


def test_less_protection_does_not_come_unnoticed(monkeypatch):
    """On a busy machine the question whether answers can be isolated may find no answer."""
    if find_bubblewrap() is None:
        pytest.skip("no bubblewrap works here")
    monkeypatch.setattr(jail_module, "START_SECONDS", 0.001)
    with pytest.raises(JailError, match="did not answer within"):
        can_isolate.__wrapped__(find_bubblewrap())
