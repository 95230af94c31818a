"""The filter of system calls, run here as the kernel runs it, for both kinds of machine."""

import errno
import struct

import pytest

from fmcourse.classroom import seccomp

OPEN = {"x86_64": 257, "aarch64": 56}  # openat
CALLS = {name: numbers for name, numbers in seccomp.REFUSED.items() if None not in numbers}


def verdict(machine: str, number: int, *arguments: int, architecture: int | None = None) -> int:
    """0 if the kernel lets a call pass, else the error that it gives."""
    if architecture is None:
        architecture = seccomp.MACHINES[machine][1]
    data = struct.pack("IIQ6Q", number, architecture, 0, *arguments, *[0] * (6 - len(arguments)))
    program, at, loaded = list(struct.iter_unpack("HBBI", seccomp.filter_program(machine))), 0, 0
    while True:
        code, jump_true, jump_false, value = program[at]
        if code == seccomp.RETURN:
            return 0 if value == seccomp.ALLOW else value ^ seccomp.FAIL
        if code == seccomp.LOAD:
            (loaded,) = struct.unpack_from("I", data, value)
        else:
            passes = {
                seccomp.IF_EQUAL: loaded == value,
                seccomp.IF_AT_LEAST: loaded >= value,
                seccomp.IF_ANY_BIT: bool(loaded & value),
            }[code]
            at += jump_true if passes else jump_false
        at += 1


@pytest.fixture(params=["x86_64", "aarch64"])
def machine(request):
    return request.param


@pytest.mark.parametrize("call", CALLS)
def test_a_refused_call_fails(machine, call):
    number = CALLS[call][seccomp.MACHINES[machine][0]]
    assert verdict(machine, number) == errno.EPERM


def test_what_an_answer_needs_passes(machine):
    column = seccomp.MACHINES[machine][0]
    assert verdict(machine, OPEN[machine]) == 0
    assert verdict(machine, seccomp.CLONE[column], 0x01200011) == 0  # as `fork` calls it
    assert verdict(machine, seccomp.CLONE[column], 0x003D0F00) == 0  # as a thread is started
    assert verdict(machine, seccomp.SOCKET[column], 1, 1) == 0
    assert verdict(machine, seccomp.FCNTL[column], 3, 1030) == 0  # F_DUPFD_CLOEXEC


def test_of_some_calls_only_what_reaches_others_is_refused(machine):
    column = seccomp.MACHINES[machine][0]
    for flag in (0x10000000, 0x00020000, 0x40000000, 0x20000000, 0x02000000):
        assert verdict(machine, seccomp.CLONE[column], 0x11 | flag) == errno.EPERM
    assert verdict(machine, seccomp.SOCKET[column], 40, 1) == errno.EPERM  # AF_VSOCK
    assert verdict(machine, seccomp.FCNTL[column], 3, 6) == errno.EPERM  # F_SETLK
    assert verdict(machine, seccomp.CLONE3[column]) == errno.ENOSYS


def test_no_other_set_of_calls_leads_past_the_filter(machine):
    other = {"x86_64": 0x40000003, "aarch64": 0x40000028}[machine]  # of 32 bits
    assert verdict(machine, OPEN[machine], architecture=other) == errno.EPERM
    assert verdict(machine, 0x40000000 + OPEN[machine]) == errno.EPERM  # x32
