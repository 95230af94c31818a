"""What it costs to begin: `import fmcourse`, and each notebook run from top to bottom.

Run   python -m benchmarks start     Takes   under half a minute

An import is timed in fresh processes, bare interpreters between them, and the difference of the
medians is reported; the peer is `import torch`. The notebooks are not run here: their seconds and
memory are those that `python -m tools.replay` (part of `python start.py test`) last wrote down,
with whatever else the machine did then. 150 s and 3 GB are what a lesson may take.
"""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.rows import Row, row

REPORT = Path(__file__).resolve().parents[1] / "build" / "replay.json"
SECONDS, MEGABYTES = "<= 150", "<= 3000"


def seconds_of(statement: str) -> float:
    """A whole process, by the clock."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return time.perf_counter() - start


def imports(rounds: int, peer: str) -> list[Row]:
    statements = {"bare": "pass", "ours": "import fmcourse", "peer": f"import {peer}"}
    spent = {name: [] for name in statements}
    for _ in range(rounds):
        for name, statement in statements.items():
            spent[name].append(seconds_of(statement))
    median = {name: statistics.median(values) for name, values in spent.items()}
    ours, theirs = (max(0.1, 1000 * (median[name] - median["bare"])) for name in ("ours", "peer"))
    return [row(f"import fmcourse; peer is import {peer}", ours, theirs, theirs / ours, "ms")]


def notebooks(report: Path) -> list[Row]:
    """Two rows a notebook: seconds of computing, and the most memory it held."""
    if not report.exists():
        return [
            row(
                "notebooks: not measured yet; run python -m tools.replay",
                float("nan"),
                None,
                None,
                "s",
            )
        ]
    rows = []
    for one in json.loads(report.read_text()):
        rows.append(
            row(f"{one['notebook']}, computing", one["cpu_seconds"], None, None, "s", SECONDS)
        )
        rows.append(
            row(f"{one['notebook']}, most memory", one["peak_mb"], None, None, "MB", MEGABYTES)
        )
    return rows


def main(small: bool = False) -> list[Row]:
    """Milliseconds of the import; seconds and megabytes of each notebook."""
    return imports(*((1, "json") if small else (9, "torch"))) + notebooks(REPORT)
