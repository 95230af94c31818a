"""How many threads the course's computations use, wherever a notebook or a command is started.

torch takes every core that it sees, and its threads spin while they wait. That is quick for one
program alone on a machine. Beside another one (a second notebook, other people of a hub, the
workers of a test run) both wait for each other most of the time: on two cores a lesson that takes
76 seconds had used 15 minutes of both and was not through. So the course takes one thread, which
its small models hardly notice, unless it is told otherwise.
"""

import os
import sys

SWITCH = "FMCOURSE_THREADS"


def limit_threads() -> None:
    """Use FMCOURSE_THREADS threads, or else OMP_NUM_THREADS, or else one; none spins while idle.

    `import fmcourse` calls it. The number is given to torch directly where torch was imported
    first; otherwise, and for the programs started from here, it stands in the environment.
    Raises: ValueError if FMCOURSE_THREADS is not a whole number from 1 on.
    """
    wanted = os.environ.get(SWITCH)
    if wanted is None and "OMP_NUM_THREADS" in os.environ:
        return  # somebody has decided already
    wanted = wanted or "1"
    if not wanted.isdecimal() or int(wanted) < 1:
        raise ValueError(
            f"{SWITCH}={wanted!r} is not a number of threads; set it to 1 or more, or unset it."
        )
    # OpenMP reads these when torch is loaded, and never again.
    os.environ["OMP_NUM_THREADS"] = wanted
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(int(wanted))
