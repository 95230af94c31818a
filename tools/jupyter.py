"""JupyterLab for this course alone: its own settings, its own port, no questions, no requests."""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import webbrowser
from collections.abc import Mapping
from pathlib import Path

from tools.trouble import StartError

SETTINGS = Path(__file__).with_name("lab")
INSTRUCTOR = Path(__file__).with_name("lab_instructor")  # switches nbgrader on, off in SETTINGS
FIRST_NOTEBOOK = "00_welcome.ipynb"
PORTS = range(8888, 8988)
# What JupyterLab and IPython write: environment variable and the folder in work/.jupyter for it.
STATE_FOLDERS = {
    "IPYTHONDIR": "ipython",
    "JUPYTER_CONFIG_DIR": "config",
    "JUPYTER_DATA_DIR": "data",
    "JUPYTERLAB_SETTINGS_DIR": "settings",
    "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
}


def environment(base: Mapping[str, str], work: Path, instructor: bool = False) -> dict[str, str]:
    """`base` without the user's own Jupyter, which is neither read nor changed.

    Args:
        work: the folder that JupyterLab opens; its state is kept in work/.jupyter.
        instructor: whether nbgrader's menus are shown.
    """
    users = ("JUPYTER", "IPYTHON")
    rest = {name: value for name, value in base.items() if not name.startswith(users)}
    places = {name: str(work / ".jupyter" / folder) for name, folder in STATE_FOLDERS.items()}
    settings = os.pathsep.join(map(str, [INSTRUCTOR, SETTINGS] if instructor else [SETTINGS]))
    return {**rest, **places, "JUPYTER_CONFIG_PATH": settings, "JUPYTER_PREFER_ENV_PATH": "1"}


def trust(notebooks: list[Path], python: Path, base: Mapping[str, str], work: Path) -> None:
    """Sign the notebooks, so that JupyterLab shows the outputs that the course ships."""
    if notebooks:
        command = [python, "-m", "nbformat.sign", *notebooks]
        subprocess.run(command, env=environment(base, work), capture_output=True)


def choose_port(asked: int | None) -> int:
    """The port asked for, or else the first free one. Raises: StartError if it is taken."""
    for port in PORTS if asked is None else [asked]:
        with socket.socket() as listener, contextlib.suppress(OSError, OverflowError):
            if os.name != "nt":  # a port that was closed a moment ago is free; on Windows, stolen
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", port))
            return port
    if asked is None:
        raise StartError(
            f"Every port from {PORTS[0]} to {PORTS[-1]} is taken: name a free one with --port N."
        )
    raise StartError(
        f"Port {asked} is taken: name another with --port N, "
        "or leave --port out and a free one is found."
    )


def transport(runtime: str, platform: str = sys.platform) -> str:
    """How the server talks to kernels: "ipc", sockets that are files, or "tcp".

    Files keep other users and the network out, but Windows has no such sockets, and elsewhere their
    names must fit into about a hundred characters.
    """
    longest = len(runtime) + len("/kernel-01234567-89ab-cdef-0123-456789abcdef-ipc-5")
    return "tcp" if platform == "win32" or longest > 100 else "ipc"


def short_folder(platform: str = sys.platform) -> str | None:
    """A place where temporary folders have short names; None for the usual place."""
    return "/tmp" if platform == "darwin" else None


def open_lab(
    python: Path,
    base: Mapping[str, str],
    work: Path,
    port: int,
    browser: bool,
    instructor: bool = False,
) -> int:
    """Open JupyterLab on the first lesson and wait until it ends; returns its exit code.

    Args:
        python: the Python that has JupyterLab.
        base: environment variables to start from.
        work: the folder to open.
        port: where the server listens, on this machine alone.
        browser: whether to open a browser too; the address is printed in any case.
        instructor: whether nbgrader's menus are shown.
    Raises: StartError if the server does not start.
    """
    token = secrets.token_hex(24)
    page = f"/lab/tree/{FIRST_NOTEBOOK}" if (work / FIRST_NOTEBOOK).exists() else "/lab"
    with tempfile.TemporaryDirectory(
        prefix="fmc", dir=short_folder(), ignore_cleanup_errors=True
    ) as runtime:
        variables = {
            **environment(base, work, instructor),
            "JUPYTER_RUNTIME_DIR": runtime,
            "JUPYTER_TOKEN": token,
        }
        command = [
            python,
            "-m",
            "jupyterlab",
            f"--ServerApp.root_dir={work}",
            f"--ServerApp.port={port}",
        ]
        command += [
            f"--LabApp.default_url={page}",
            f"--KernelManager.transport={transport(runtime)}",
        ]
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        process = subprocess.Popen(command, cwd=work, env=variables, stdin=subprocess.DEVNULL)
        try:
            wait_for(process, port)
            show_url(f"http://127.0.0.1:{port}{page}?token={token}", browser)
            return process.wait()
        except KeyboardInterrupt:  # the terminal sends Ctrl-C to the server as well
            print("\nJupyterLab is closing.", flush=True)
            return 0
        finally:
            stop(process)


def wait_for(process: subprocess.Popen, port: int) -> None:
    """Wait until the server answers. Raises: StartError if it ends first."""
    while process.poll() is None:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        time.sleep(0.1)
    raise StartError(
        "JupyterLab did not start, for the reason above. "
        "`python start.py setup --again` makes .venv anew."
    )


def show_url(url: str, browser: bool) -> None:
    print(f"JupyterLab is open at\n\n    {url}\n\nCtrl-C in this window closes it.", flush=True)
    if browser and has_screen(os.environ):
        webbrowser.open(url)


def has_screen(variables: Mapping[str, str], platform: str = sys.platform) -> bool:
    """Whether there is a screen; without one, Python would open a text browser in this terminal."""
    return platform in ("win32", "darwin") or any(
        variables.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )


def stop(process: subprocess.Popen) -> None:
    """Give the server time to end its kernels; then ask it to end; then end it."""
    for end in (None, process.terminate, process.kill):
        if end is not None:
            end()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
            return
