"""One thread, as in the lessons, and nothing of the learner's own.

The variables must be set before anything imports torch.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ["FMCOURSE_PROGRESS"] = str(Path(tempfile.mkdtemp(prefix="fmc")) / "progress.json")
os.environ.pop("FMCOURSE_SHORT", None)
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # `tools`, which is not installed


WHOLLY_SLOW = re.compile(r"(?m)^pytestmark = (\[\s*)?pytest\.mark\.slow\b")


def pytest_ignore_collect(collection_path, config):
    """The quick checks do not import a module whose tests are all slow, such as nbgrader's."""
    named = any(collection_path.name in argument for argument in config.args)
    if config.option.markexpr != "not slow" or named or collection_path.suffix != ".py":
        return None  # as pytest would decide
    slow = WHOLLY_SLOW.search(collection_path.read_text(encoding="utf-8"))
    return True if slow else None


def pytest_terminal_summary(terminalreporter):
    """Print the table of all exercises, from what test_mutants.py found in any process."""
    reports = terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
    found = [
        text
        for report in reports
        for name, text in report.user_properties
        if name == "exercise, proven"
    ]
    if found:
        from tools import mutants

        terminalreporter.write_line(f"\n{mutants.publish(found)}")


@pytest.fixture(scope="session")
def own_mounts() -> list[str]:
    """The command after which another one may mount what it likes, seen by itself alone.

    Skips the test where that cannot be: not on Linux, or in a container that forbids it.
    """
    if shutil.which("unshare") is None:
        pytest.skip("only Linux gives a process mounts of its own")
    command = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "-r", "--mount"]
    tried = [*command, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    if subprocess.run(tried, capture_output=True).returncode:
        pytest.skip("this system does not let a test mount anything")
    return command
