"""One thread, without spinning, however Python was started; more where somebody asks for them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHOW = "import torch; print(torch.get_num_threads(), os.environ.get('OMP_WAIT_POLICY'))"


def plain_environment():
    """The environment variables without those that say how many threads there are."""
    ours = {"OMP_NUM_THREADS", "OMP_WAIT_POLICY", "MKL_NUM_THREADS", "FMCOURSE_THREADS"}
    return {key: value for key, value in os.environ.items() if key not in ours}


def run(code, **variables):
    """What `code` prints in a Python without start.py's environment; then its errors."""
    done = subprocess.run(
        [sys.executable, "-c", f"import os, sys; {code}"],
        env={**plain_environment(), **variables},
        capture_output=True,
        text=True,
    )
    return done.stdout.strip(), done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("first", ["", "import torch; torch.ones(8) @ torch.ones(8); "])
@pytest.mark.parametrize(
    ("variables", "threads"),
    [({}, 1), ({"FMCOURSE_THREADS": "2"}, 2), ({"OMP_NUM_THREADS": "2"}, 2)],
)
def test_threads_are_one_or_as_many_as_asked_for(first, variables, threads):
    """Whether torch was imported before the course or after it."""
    out, errors = run(f"{first}import fmcourse; {SHOW}", **variables)
    policy = "None" if "OMP_NUM_THREADS" in variables else "passive"
    assert out == f"{threads} {policy}", errors


@pytest.mark.slow
def test_programs_started_from_a_notebook_do_the_same():
    child = "import os, torch; print(torch.get_num_threads(), os.environ['OMP_WAIT_POLICY'])"
    out, errors = run(
        f"import fmcourse, subprocess; "
        f"print(subprocess.run([sys.executable, '-c', {child!r}], stdout=-1, text=True).stdout)"
    )
    assert out == "1 passive", errors


@pytest.mark.slow
def test_the_command_line_does_the_same():
    out, errors = run(f"import runpy; import fmcourse.cli; {SHOW}")
    assert out == "1 passive", errors


@pytest.mark.parametrize("wrong", ["0", "all", "-1", "1.5"])
def test_a_wrong_number_is_refused(wrong):
    out, errors = run("import fmcourse", FMCOURSE_THREADS=wrong)
    assert not out and f"FMCOURSE_THREADS={wrong!r} is not a number of threads" in errors


@pytest.mark.slow
def test_a_lesson_passes_under_the_plain_command_of_the_readme():
    """As a CI job would type it, in an environment that sets nothing; here on one lesson."""
    command = next(line for line in README.splitlines() if "--nbval-sanitize-with" in line).split()
    assert command[0] == "pytest" and command[-1] == "notebooks"
    command[-1] = "notebooks/00_welcome.ipynb"
    done = subprocess.run(
        [sys.executable, "-m", *command],
        env=plain_environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout[-3000:]
