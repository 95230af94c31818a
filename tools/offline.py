"""Run a command that can reach this machine and nothing else.

    python -m tools.offline COMMAND ...

On Linux the command gets a network namespace with only the loopback device in it, where the system
allows one. Where it does not, the command runs as it is, and a sentence says so.
"""

import os
import shutil
import socket
import struct
import subprocess
import sys

OUTSIDE = [("1.1.1.1", 53), ("8.8.8.8", 53)]  # public name servers, only connected to
INSIDE = "FMCOURSE_OFFLINE"  # set to 1 where the network is cut off
# With a user namespace, as anyone may; without, for root where user namespaces are not allowed.
UNSHARE_COMMANDS = [["unshare", "--net", "--map-root-user"], ["unshare", "--net"]]
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
    """Switch on the loopback device, which is down in a new namespace: `ip link set lo up`."""
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SET_INTERFACE_FLAGS, struct.pack("16sh14x", b"lo", UP))


def unshare_command() -> list[str] | None:
    """The command that opens a namespace here, or None where the system allows none."""
    if not shutil.which("unshare"):
        return None
    probe = [sys.executable, "-c", "from tools.offline import raise_loopback; raise_loopback()"]
    for unshare in UNSHARE_COMMANDS:
        if subprocess.run([*unshare, *probe], capture_output=True).returncode == 0:
            return unshare
    return None


def offline_command(command: list[str]) -> list[str]:
    """`command` without the network, or as it is where the system allows no namespace."""
    if os.environ.get(INSIDE) == "1":
        return command
    unshare = unshare_command()
    if unshare is None:
        print(
            "This system allows no network namespace, so the notebooks run with the network open.",
            flush=True,
        )
        return command
    return [*unshare, sys.executable, "-m", "tools.offline", "--inside", *command]


def enter(command: list[str]) -> int:
    """Within the namespace: raise the loopback device, check the cut, run the command."""
    raise_loopback()
    if can_reach_outside():
        print("An outside address answers although the network was cut off.", file=sys.stderr)
        return 1
    print("The network is cut off: only this machine can be reached.", flush=True)
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
