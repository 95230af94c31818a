"""Run every check, one after the other, and report what they found.

    python -m tools.check                    all of them
    python -m tools.check --fast             those that run no notebook, in under two minutes
    python -m tools.check --only NAME        one of them
    python -m tools.check -k tokenizer       any other option goes to pytest, which then runs alone
    python -m tools.check --only replay 06   or to the check that is named

A check that fails does not keep the next from running. The results and the cost of each notebook
are also written to build/report.json.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace

from fmcourse.files import write_text
from tools import offline
from tools.lessons import ROOT
from tools.replay import REPORT as REPLAY_REPORT

REPORT = ROOT / "build" / "report.json"
TALLY = re.compile(r"(\d+) (passed|failed|errors?|skipped)\b")
COLUMNS = ("seconds", "cpu_seconds", "peak_mb", "cells", "claims")
FAST_SECONDS = 120  # what `--fast` promises, on two cores that do nothing else


@dataclass(frozen=True)
class Stage:
    """One check.

    Args:
        name: what `--only` calls it.
        proves: what holds if it passes, printed as its heading.
        command: the command to run; exit code 0 means that it passed.
        fast: whether it is also one of the quick checks.
        offline: whether it runs without the network.
    """

    name: str
    proves: str
    command: list[str]
    fast: bool = False
    offline: bool = False


@dataclass
class Result:
    """How a stage went: how many of its tests passed, failed and were skipped, and the reasons."""

    stage: str
    passed: int
    failed: int
    skipped: int
    seconds: float
    why: list[str] = field(default_factory=list)


def python_command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", *arguments]


def stages(fast: bool = False) -> list[Stage]:
    """The checks in order; with `fast`, the quick ones.

    nbval, which only `replay` needs, is kept out of the unit tests: importing it takes seconds of
    each of their processes.
    """
    concise = ["--output-format", "concise", "."]
    alone = ["--ignore=tests/test_notebooks.py", "--ignore=tests/test_browser.py"]
    tests = ["pytest", "tests", "fmcourse", "start.py", *alone, "-p", "no:nbval", "-n", "2"]
    tests += ["--dist", "loadgroup"]  # modules whose fixtures take minutes stay on one worker
    if fast:
        tests += ["-m", "not slow"]
    solved = ["pytest", "tests/test_notebooks.py", "-n", "2"]
    browser = ["pytest", "tests/test_browser.py", "-rs"]
    rows = [
        ("format", "one layout everywhere", ["ruff", "format", "--check", *concise]),
        ("lint", "no unused name, no test that cannot fail", ["ruff", "check", *concise]),
        ("step", "each notebook is its lesson's, within its limits", ["tools.build", "--check"]),
        ("tests", "the package does what it promises", tests),
        ("replay", "each notebook, run again, has the same outputs", ["tools.replay"]),
        ("solved", "each lesson runs with its exercises solved", solved),
        ("browser", "a lesson works in JupyterLab", browser),
    ]
    found = [
        Stage(
            name,
            proves,
            python_command(*command),
            fast=name in ("format", "lint", "step", "tests"),
            offline=name == "solved",
        )
        for name, proves, command in rows
    ]
    return [stage for stage in found if stage.fast or not fast]


def choose_stages(fast: bool, only: str | None, extra: list[str]) -> list[Stage]:
    """The checks asked for; `extra` arguments go to the one named, or else to the tests alone.

    Raises: ValueError with the names there are, if there is no check called `only`.
    """
    wanted = only or ("tests" if extra else None)
    chosen = [stage for stage in stages(fast) if wanted in (None, stage.name)]
    if not chosen:
        names = ", ".join(stage.name for stage in stages(fast))
        raise ValueError(f"no check is called {only!r}; there are: {names}")
    return [replace(stage, command=[*stage.command, *extra]) for stage in chosen]


def run_stage(stage: Stage) -> Result:
    """Run one stage, printing its output, and return what it counted and why it failed."""
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
    """One thread, so that numbers repeat and two processes do not slow each other down."""
    one_thread = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    return os.environ | one_thread | {"PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1"}


def parse_result(stage: Stage, code: int, lines: list[str], seconds: float) -> Result:
    """The result of a stage from its exit code and its output.

    pytest counts its tests; any other command is one check. A failing exit code is a failure, even
    if no test failed.
    """
    counts = dict.fromkeys(("passed", "failed", "error", "skipped"), 0)
    if "pytest" in stage.command or "tools.replay" in stage.command:
        tally = next((line for line in reversed(lines) if TALLY.search(line)), "")
        counts |= {word.rstrip("s"): int(n) for n, word in TALLY.findall(tally)}
    elif code == 0:
        counts["passed"] = 1
    failed = max(counts["failed"] + counts["error"], int(code != 0))
    why = failure_lines(lines) if code else []
    return Result(stage.name, counts["passed"], failed, counts["skipped"], seconds, why)


def failure_lines(lines: list[str]) -> list[str]:
    """The lines that say why a stage failed: those that pytest marks, or else the last ones."""
    marked = [line for line in lines if line.startswith(("FAILED", "ERROR", "E   "))]
    summary = [line for line in marked if not line.startswith("E   ")]
    return (summary or marked or [line for line in lines if line.strip()])[-8:]


def cost_table(rows: list[dict]) -> str:
    """A table of what each notebook cost, with their sum (of memory: the largest)."""
    if not rows:
        return "No notebook was run."
    total = {"notebook": "sum"} | {column: sum(row[column] for row in rows) for column in COLUMNS}
    total["peak_mb"] = max(row["peak_mb"] for row in rows)  # notebooks run one after the other
    lines = [f"{'notebook':<28}{'seconds':>9}{'CPU s':>9}{'peak MB':>9}{'cells':>7}{'claims':>8}"]
    for row in [*rows, total]:
        time_and_memory = "{seconds:>9.1f}{cpu_seconds:>9.1f}{peak_mb:>9.0f}".format(**row)
        lines.append(f"{row['notebook']:<28}{time_and_memory}{row['cells']:>7}{row['claims']:>8}")
    return "\n".join(lines)


def report_results(results: list[Result], rows: list[dict]) -> int:
    """Print what was found, write the report, and return the exit code."""
    report = {"notebooks": rows, "stages": [asdict(result) for result in results]}
    write_text(REPORT, json.dumps(report, indent=1) + "\n")
    print(f"\n{cost_table(rows)}\n" if rows else "")
    for result in results:
        print(result_line(result))
    for result in results:
        if result.failed:
            command = f"python start.py test --only {result.stage}"
            print(f"\n{result.stage} failed. To run it alone: {command}")
            print("\n".join(f"    {line}" for line in result.why))
    passed = sum(result.passed for result in results)
    failed = sum(result.failed for result in results)
    print(f"\n{passed} passed, {failed} failed")
    return int(failed > 0)


def result_line(result: Result) -> str:
    """One line of the summary: the stage, its counts, its wall-clock time."""
    mark = "FAILED" if result.failed else "ok"
    counts = f"{result.passed} passed, {result.failed} failed"
    skipped = f", {result.skipped} skipped" if result.skipped else ""
    return f"{mark:<7}{result.stage:<9}{counts}{skipped}, {result.seconds:.0f} s"


def time_lines(seconds: float, cpu_seconds: float, fast: bool) -> list[str]:
    """What a run cost, and a complaint if the quick checks took longer than they promise.

    A warning and no failure: on a machine that is busy with other work they may take longer.
    """
    lines = [f"{seconds:.0f} s, {cpu_seconds:.0f} s of them on a processor (both cores added up)."]
    if fast and seconds > FAST_SECONDS:
        lines.append(
            f"The quick checks promise {FAST_SECONDS} s on two idle cores and took "
            f"{seconds:.0f} s. If this machine was idle, find the slow tests with "
            "`python start.py test --fast --durations=20` and mark them `slow`."
        )
    return lines


def cpu_time() -> float:
    """Seconds of processor time that this process and its ended children have used."""
    return sum(os.times()[:4])


def main(arguments: list[str] | None = None, clock: Callable[[], float] = time.monotonic) -> int:
    start, cpu_start = clock(), cpu_time()
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
    code = report_results(results, rows)
    whole = options.fast and not options.only and not extra
    print("\n".join(time_lines(clock() - start, cpu_time() - cpu_start, whole)))
    return code


if __name__ == "__main__":
    sys.exit(main())
