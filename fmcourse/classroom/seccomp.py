"""System calls that an answer's process is refused, by a filter that the kernel runs (seccomp).

Refused is what no answer needs, and what would let one leave word for another (locks on files that
all may read, notes in keyrings, sockets that no network namespace holds back) or would hold memory
that no figure of a process shows. A refused call fails as if the process lacked the permission.

The filter is a small program for the kernel's packet filter: see seccomp(2).
"""

import ctypes
import errno
import os
import struct
import sys

# call -> its numbers on x86-64 and on 64-bit ARM; None where it has none
REFUSED = {
    # memory that is no process's own
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
    "bpf": (321, 280),
    # namespaces of its own, in which it might do what is forbidden here
    "unshare": (272, 97),
    "setns": (308, 268),
    # word for other processes
    "flock": (73, 32),
    "inotify_init": (253, None),
    "inotify_init1": (294, 26),
    "fanotify_init": (300, 262),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "perf_event_open": (298, 241),
    # calls that this filter would not see
    "io_uring_setup": (425, 425),
}
CLONE, CLONE3, SOCKET, FCNTL = (56, 220), (435, 435), (41, 198), (72, 25)
NEW_NAMESPACES = 0x7E020000  # every CLONE_NEW... in linux/sched.h
SOCKET_FAMILIES = (1, 2, 10)  # AF_UNIX, AF_INET, AF_INET6: what a network namespace holds back
LOCKS = (5, 6, 7, 36, 37, 38, 1024, 1026)  # F_GETLK, F_SETLK, ..., F_SETLEASE, F_NOTIFY
MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column above, AUDIT_ARCH_...
X32 = 0x40000000  # from here on, numbers on x86-64 are those of another set of calls
# offsets in struct seccomp_data, and instructions, of linux/seccomp.h and linux/bpf_common.h
NUMBER, ARCHITECTURE, FIRST_ARGUMENT, SECOND_ARGUMENT = 0, 4, 16, 24
LOAD, IF_EQUAL, IF_AT_LEAST, IF_ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, FAIL = 0x7FFF0000, 0x00050000
SET_SECCOMP, FILTER_MODE = 22, 2  # linux/prctl.h, linux/seccomp.h


def is_known_machine() -> bool:
    """Is there a filter for this system?"""
    return sys.platform == "linux" and os.uname().machine in MACHINES


def refuse_calls() -> None:
    """Refuse this process, and all that it starts, the calls above; it cannot be taken back.

    The process must have given up new privileges. Raises: OSError if the kernel has no filters.
    """
    program = filter_program(os.uname().machine)
    kept = ctypes.create_string_buffer(program)
    described = struct.pack("HP", len(program) // 8, ctypes.addressof(kept))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(SET_SECCOMP, FILTER_MODE, described, 0, 0):
        raise OSError(ctypes.get_errno(), "the filter of system calls is not accepted")


def filter_program(machine: str) -> bytes:
    """The instructions, eight bytes each."""
    column, architecture = MACHINES[machine]
    refuse = [instruction(RETURN, FAIL | errno.EPERM)]
    program = [
        instruction(LOAD, ARCHITECTURE),
        *unless(IF_EQUAL, architecture, refuse),
        instruction(LOAD, NUMBER),
        *when(IF_AT_LEAST, X32, refuse),
    ]
    for numbers in REFUSED.values():
        if numbers[column] is not None:
            program += when(IF_EQUAL, numbers[column], refuse)
    # its flags lie in memory, where no filter sees them; libraries fall back on `clone`
    program += when(IF_EQUAL, CLONE3[column], [instruction(RETURN, FAIL | errno.ENOSYS)])
    allow = [instruction(RETURN, ALLOW)]
    load_first, load_second = (
        instruction(LOAD, offset) for offset in (FIRST_ARGUMENT, SECOND_ARGUMENT)
    )
    flags = [load_first, *when(IF_ANY_BIT, NEW_NAMESPACES, refuse), *allow]
    families = [part for one in SOCKET_FAMILIES for part in when(IF_EQUAL, one, allow)]
    locks = [part for one in LOCKS for part in when(IF_EQUAL, one, refuse)]
    program += when(IF_EQUAL, CLONE[column], flags)
    program += when(IF_EQUAL, SOCKET[column], [load_first, *families, *refuse])
    program += when(IF_EQUAL, FCNTL[column], [load_second, *locks, *allow])
    return b"".join(program + allow)


def instruction(code: int, value: int, jump_true: int = 0, jump_false: int = 0) -> bytes:
    """One `struct sock_filter`: what to do, how many instructions to skip if so and if not so."""
    return struct.pack("HBBI", code, jump_true, jump_false, value)


def when(test: int, value: int, then: list[bytes]) -> list[bytes]:
    """Do `then` if what was loaded passes the test."""
    return [instruction(test, value, jump_false=len(then)), *then]


def unless(test: int, value: int, then: list[bytes]) -> list[bytes]:
    """Do `then` if what was loaded does not pass the test."""
    return [instruction(test, value, jump_true=len(then)), *then]
