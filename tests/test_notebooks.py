"""The solved edition of every lesson runs. (`tools.replay` runs the shipped one.)"""

import subprocess
import sys

import pytest

from tools import kernels, offline
from tools.lessons import ROOT, all_lessons, solved_edition, to_notebook

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
REHEARSAL = True  # training cut down by FMCOURSE_SHORT=1: the code is the same


@pytest.mark.parametrize("lesson", all_lessons(), ids=lambda lesson: lesson.name)
def test_solved_no_cell_raises_every_claim_holds_every_check_says_right(lesson):
    edition = solved_edition(to_notebook(lesson), prove=True)
    kernels.run_notebook(edition, f"{lesson.name}, solved", short=REHEARSAL)
    assert all(cell.execution_count for cell in edition.cells if cell.cell_type == "code")


def test_behind_the_cut_no_outside_address_answers():
    if offline.unshare_command() is None:
        pytest.skip("this system allows no network namespace, so kernels run with the network open")
    asked = "from tools.offline import can_reach_outside as c; raise SystemExit(17 if c() else 0)"
    done = subprocess.run(
        [sys.executable, "-m", "tools.offline", sys.executable, "-c", asked], cwd=ROOT
    )
    assert done.returncode == 0
