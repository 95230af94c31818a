"""Run a notebook in a kernel of its own: one thread, no settings of the user's, no files left."""

import contextlib
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import nbclient
from ipykernel.kernelspec import RESOURCES, get_kernel_dict
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

CELL_SECONDS = 600
METER = Path(__file__).with_name("meter.py")
SETTINGS = {
    "FMCOURSE_STRICT": "1",
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "passive",
    "PYTHONHASHSEED": "0",
}
NOT_INHERITED = ("MPLBACKEND", "PYTHONSTARTUP", "FMCOURSE_SHORT", "COLUMNS")


class NotebookFailed(Exception):
    """A cell raised, ran too long, or ended the kernel. The message can be shown as it is."""


@dataclass(frozen=True)
class Cost:
    """What a run took. CPU seconds, unlike seconds, do not depend on other processes."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_mb: float = 0.0

    @classmethod
    def read(cls, path: Path) -> "Cost":
        """From the file that `tools/meter.py` wrote; zeros if no cell has ended."""
        return cls(**json.loads(path.read_text())) if path.exists() else cls()


def environment(folder: Path, **more: str) -> dict[str, str]:
    """A kernel's environment variables: fixed settings, and `folder` for what it writes."""
    profile = folder / "ipython" / "profile_default"
    (profile / "startup").mkdir(parents=True, exist_ok=True)
    shutil.copy(METER, profile / "startup" / "00-meter.py")
    (profile / "ipython_kernel_config.py").write_text("c.HistoryManager.enabled = False\n")
    own = {
        "FMCOURSE_METER": str(folder / "meter.json"),
        "FMCOURSE_PROGRESS": str(folder / "progress.json"),
        "IPYTHONDIR": str(folder / "ipython"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
    }
    inherited = {key: value for key, value in os.environ.items() if key not in NOT_INHERITED}
    return inherited | SETTINGS | own | more


class CurrentPython(KernelSpecManager):
    """The running Python, whatever kernels the user has installed under the name `python3`."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        return KernelSpec(resource_dir=RESOURCES, **get_kernel_dict())


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """A temporary folder with a short path, since a socket's path has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="fmc", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def run_notebook(
    notebook: NotebookNode,
    title: str,
    *,
    short: bool = False,
    on_cell: Callable[[], object] = lambda: None,
) -> Cost:
    """Execute `notebook` in place, from top to bottom.

    Args:
        title: the notebook's name in error messages.
        short: run a rehearsal, with fewer training steps (FMCOURSE_SHORT=1).
        on_cell: called after each cell.
    Raises: NotebookFailed with the cell, its lines and the end of the traceback.
    """
    started: list[int] = []
    with scratch_folder() as folder:
        (folder / "here").mkdir()
        client = client_for(notebook, folder)
        client.on_cell_execute = lambda cell, cell_index: started.append(cell_index)
        client.on_cell_executed = lambda **_: on_cell()
        variables = environment(folder, **({"FMCOURSE_SHORT": "1"} if short else {}))
        try:
            client.execute(cleanup_kc=True, env=variables, cwd=str(folder / "here"))
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            raise NotebookFailed(explain(notebook, title, started[-1], error)) from None
        return Cost.read(folder / "meter.json")


def client_for(notebook: NotebookNode, folder: Path) -> nbclient.NotebookClient:
    """nbclient over sockets in `folder` where there are such: another process could take a port."""
    transport = "tcp" if sys.platform == "win32" else "ipc"
    manager = AsyncKernelManager(
        kernel_name="python3", kernel_spec_manager=CurrentPython(), transport=transport
    )
    manager.connection_file = str(folder / "kernel.json")
    return nbclient.NotebookClient(
        notebook,
        km=manager,
        timeout=CELL_SECONDS,
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,
    )


def explain(notebook: NotebookNode, title: str, index: int, error: Exception) -> str:
    """Which cell stopped, its lines, and why."""
    code = [n for n, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    source = "\n".join(f"    {line}" for line in notebook.cells[index].source.splitlines())
    place = f"code cell {code.index(index) + 1} of {len(code)}"
    return f"{title}: {place} stopped.\n{source}\n{reason(error)}"


def reason(error: Exception) -> str:
    """The end of the traceback, or one sentence for a timeout or a kernel that died."""
    if isinstance(error, CellTimeoutError):
        return f"It ran for more than {CELL_SECONDS} seconds."
    if isinstance(error, DeadKernelError):
        return "The kernel died, most often because the machine had no memory left."
    lines = re.sub(r"\x1b\[[0-9;]*m", "", getattr(error, "traceback", "")).strip().splitlines()
    return "\n".join(lines[-8:])
