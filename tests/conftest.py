"""One thread, as in the lessons, and nothing of the learner's own.

The variables must be set before anything imports torch.
"""

import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ["FMCOURSE_PROGRESS"] = str(Path(tempfile.mkdtemp(prefix="fmc")) / "progress.json")
os.environ.pop("FMCOURSE_SHORT", None)
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # `tools`, which is not installed


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
