"""Every check there is, one after the other, and what they found.

    python -m tools.check                  all of them
    python -m tools.check --fast           those that run no notebook, in under two minutes
    python -m tools.check --only NAME      one of them
    python -m tools.check -k tokenizer     anything else goes to pytest, which then runs alone
    python -m tools.check --only replay 06   or to the check that is named

A check that fails does not keep the next from running. The table of the notebooks also goes to build/report.json.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field, replace

from fmcourse.files import write_text
from tools import offline
from tools.lessons import ROOT
from tools.replay import REPORT as REPLAY_REPORT

REPORT = ROOT / "build" / "report.json"
TALLY = re.compile(r"(\d+) (passed|failed|errors?|skipped)\b")
COLUMNS = ("seconds", "cpu_seconds", "peak_mb", "cells", "claims")


@dataclass(frozen=True)
class Stage:
    """One check: what it proves and the command that does."""

    name: str
    proves: str
    command: list[str]
    fast: bool = False
    offline: bool = False


@dataclass
class Result:
    """How a stage went."""

    stage: str
    passed: int
    failed: int
    skipped: int
    seconds: float
    why: list[str] = field(default_factory=list)


def python_command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", *arguments]


def stages(fast: bool = False) -> list[Stage]:
    """The checks in order."""
    ours = [
        "tests",
        "fmcourse",
        "--ignore=tests/test_notebooks.py",
        "--ignore=tests/test_browser.py",
        "-n",
        "2",
    ]
    tests = python_command("pytest", *ours, *(["-m", "not slow"] if fast else []))
    solved = python_command("pytest", "tests/test_notebooks.py", "-n", "2")
    browser = python_command("pytest", "tests/test_browser.py", "-rs")
    everything = [
        Stage(
            "format",
            "one layout everywhere",
            python_command("ruff", "format", "--check", "--output-format", "concise", "."),
            fast=True,
        ),
        Stage(
            "lint",
            "no unused name, no test that cannot fail",
            python_command("ruff", "check", "--output-format", "concise", "."),
            fast=True,
        ),
        Stage(
            "step",
            "each notebook is its lesson's, and keeps its promises",
            python_command("tools.build", "--check"),
            fast=True,
        ),
        Stage("tests", "what the package promises", tests, fast=True),
        Stage(
            "replay", "each notebook, run again, says what it said", python_command("tools.replay")
        ),
        Stage("solved", "each lesson runs with its exercises solved", solved, offline=True),
        Stage("browser", "a lesson works in JupyterLab", browser),
    ]
    return [stage for stage in everything if stage.fast or not fast]


def choose_stages(fast: bool, only: str | None, extra: list[str]) -> list[Stage]:
    """Those asked for; `extra` arguments go to the one named, or to the tests alone.

    Raises: ValueError with the names there are, if there is no check called `only`.
    """
    wanted = only or ("tests" if extra else None)
    chosen = [stage for stage in stages(fast) if wanted in (None, stage.name)]
    if not chosen:
        raise ValueError(
            f"no check is called {only!r}; there are: {', '.join(stage.name for stage in stages(fast))}"
        )
    return [replace(stage, command=[*stage.command, *extra]) for stage in chosen]


def run_stage(stage: Stage) -> Result:
    """Run one stage, its output going by, and keep what it counted and why it failed."""
    print(f"\n== {stage.name}: {stage.proves}", flush=True)
    start, lines = time.monotonic(), []
    command = offline.offline_command(stage.command) if stage.offline else stage.command
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    for line in process.stdout:
        print(line, end="", flush=True)
        lines.append(line.rstrip())
    return parse_result(stage, process.wait(), lines, time.monotonic() - start)


def environment() -> dict[str, str]:
    one_thread = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    return os.environ | one_thread | {"PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1"}


def parse_result(stage: Stage, code: int, lines: list[str], seconds: float) -> Result:
    """pytest counts its tests; any other command is one check. A failing exit code is a failure in any case."""
    counts = dict.fromkeys(("passed", "failed", "error", "skipped"), 0)
    if "pytest" in stage.command or "tools.replay" in stage.command:
        tally = next((line for line in reversed(lines) if TALLY.search(line)), "")
        counts |= {word.rstrip("s"): int(n) for n, word in TALLY.findall(tally)}
    elif code == 0:
        counts["passed"] = 1
    failed = max(counts["failed"] + counts["error"], int(code != 0))
    return Result(
        stage.name,
        counts["passed"],
        failed,
        counts["skipped"],
        seconds,
        failure_lines(lines) if code else [],
    )


def failure_lines(lines: list[str]) -> list[str]:
    """The lines that say why: those that pytest marks, or else the last ones."""
    marked = [line for line in lines if line.startswith(("FAILED", "ERROR", "E   "))]
    summary = [line for line in marked if not line.startswith("E   ")]
    return (summary or marked or [line for line in lines if line.strip()])[-8:]


def cost_table(rows: list[dict]) -> str:
    """The notebooks, what each cost, and the sums."""
    if not rows:
        return "No notebook was run."
    total = {"notebook": "sum"} | {column: sum(row[column] for row in rows) for column in COLUMNS}
    total["peak_mb"] = max(row["peak_mb"] for row in rows)  # they do not run one upon the other
    lines = [f"{'notebook':<28}{'seconds':>9}{'CPU s':>9}{'peak MB':>9}{'cells':>7}{'claims':>8}"]
    for row in [*rows, total]:
        lines.append(
            f"{row['notebook']:<28}{row['seconds']:>9.1f}{row['cpu_seconds']:>9.1f}{row['peak_mb']:>9.0f}"
            f"{row['cells']:>7}{row['claims']:>8}"
        )
    return "\n".join(lines)


def report_results(results: list[Result], rows: list[dict]) -> int:
    """Say what was found, write the report, and return the exit code."""
    write_text(
        REPORT,
        json.dumps({"notebooks": rows, "stages": [asdict(result) for result in results]}, indent=1)
        + "\n",
    )
    print(f"\n{cost_table(rows)}\n" if rows else "")
    for result in results:
        mark = "FAILED" if result.failed else "ok"
        skipped = f", {result.skipped} skipped" if result.skipped else ""
        print(
            f"{mark:<7}{result.stage:<9}{result.passed} passed, {result.failed} failed{skipped}, {result.seconds:.0f} s"
        )
    for result in (result for result in results if result.failed):
        print(
            f"\n{result.stage} failed. To run it alone: python start.py test --only {result.stage}"
        )
        print("\n".join(f"    {line}" for line in result.why))
    passed, failed = (
        sum(result.passed for result in results),
        sum(result.failed for result in results),
    )
    print(f"\n{passed} passed, {failed} failed")
    return int(failed > 0)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.check", description="Run every check.", allow_abbrev=False
    )
    parser.add_argument("--fast", action="store_true", help="only those that run no notebook")
    parser.add_argument("--only", metavar="NAME", help=", ".join(stage.name for stage in stages()))
    options, extra = parser.parse_known_args(arguments)
    try:
        chosen = choose_stages(options.fast, options.only, extra)
    except ValueError as error:
        parser.error(str(error))
    REPLAY_REPORT.unlink(missing_ok=True)
    results = [run_stage(stage) for stage in chosen]
    rows = json.loads(REPLAY_REPORT.read_text()) if REPLAY_REPORT.exists() else []
    return report_results(results, rows)


if __name__ == "__main__":
    sys.exit(main())
