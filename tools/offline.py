"""Run a command that can reach this machine and nothing else.

    python -m tools.offline COMMAND ...

On Linux the command gets a network namespace with only the loopback device in it, where the system allows one. Where
it does not, the command runs as it is, and a sentence says so.
"""

import os
import shutil
import socket
import struct
import subprocess
import sys

OUTSIDE = [("1.1.1.1", 53), ("8.8.8.8", 53)]  # asked only for whether a way there exists
INSIDE = "FMCOURSE_OFFLINE"  # set to 1 where the network is cut
WAYS = [
    ["unshare", "--net", "--map-root-user"],
    ["unshare", "--net"],
]  # as anyone; as root without user namespaces
SET_INTERFACE_FLAGS, UP = 0x8914, 0x1  # linux/sockios.h, linux/if.h


def can_reach_outside(seconds: float = 3.0) -> bool:
    """Whether a connection to an address outside this machine can be opened."""
    for address in OUTSIDE:
        try:
            socket.create_connection(address, timeout=seconds).close()
        except OSError:
            continue
        return True
    return False


def raise_loopback() -> None:
    """Switch on the loopback device, which sleeps in a new namespace. (What `ip link set lo up` does.)"""
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SET_INTERFACE_FLAGS, struct.pack("16sh14x", b"lo", UP))


def unshare_command() -> list[str] | None:
    """The command that opens a namespace here, or None where the system allows none."""
    if not shutil.which("unshare"):
        return None
    probe = [sys.executable, "-c", "from tools.offline import raise_loopback; raise_loopback()"]
    for way in WAYS:
        if subprocess.run([*way, *probe], capture_output=True).returncode == 0:
            return way
    return None


def offline_command(command: list[str]) -> list[str]:
    """`command` behind the cut, or as it is where there can be none."""
    if os.environ.get(INSIDE) == "1":
        return command
    way = unshare_command()
    if way is None:
        print(
            "This system allows no network namespace, so the notebooks run with the network open.",
            flush=True,
        )
        return command
    return [*way, sys.executable, "-m", "tools.offline", "--inside", *command]


def enter(command: list[str]) -> int:
    """Within the namespace: wake the loopback device, prove that nothing else is there, run the command."""
    raise_loopback()
    if can_reach_outside():
        print("The network was to be cut, and an outside address still answers.", file=sys.stderr)
        return 1
    print("The network is cut: only this machine can be reached.", flush=True)
    return subprocess.run(command, env=os.environ | {INSIDE: "1"}).returncode


def main(arguments: list[str]) -> int:
    if not arguments:
        print(__doc__)
        return 2
    if arguments[0] == "--inside":
        return enter(arguments[1:])
    return subprocess.run(offline_command(arguments)).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
