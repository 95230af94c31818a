"""How long an answer may run in its process: so much CPU time, and longer on a busy machine."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the jail's limits are Linux's")
# a process of its own: whoever watches an answer ends everything that descends from it
WATCH = """
import os, time
from fmcourse.classroom import jail_worker
limits = {{"seconds": {seconds}, "memory_mb": 4000, "disk_mb": 1}}
limits |= {{"isolated": False, "scratch": {scratch!r}}}
child = os.fork()
if child == 0:
    jail_worker.limit_resources(limits | {{"seconds": {cpu_seconds}}})
    {answer}
    os._exit(7)
print(jail_worker.watch(child, limits))
"""


def how_it_ends(answer: str, seconds: float, cpu_seconds: float = 1, scratch: str = "") -> dict:
    script = WATCH.format(answer=answer, seconds=seconds, cpu_seconds=cpu_seconds, scratch=scratch)
    command = [sys.executable, "-c", script]
    return eval(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_an_answer_that_waits_for_the_processor_is_not_ended():
    assert how_it_ends("time.sleep(0.3)", seconds=0.1) == {"how": "exit", "number": 7}


def test_an_answer_that_waits_for_ever_is_ended():
    assert how_it_ends("time.sleep(60)", seconds=0.05) == {"how": "time"}


@pytest.mark.slow
def test_an_answer_that_computes_for_ever_is_ended_for_its_time():
    code = """
    while True:
        pass"""
    found = how_it_ends(code, seconds=0.9, cpu_seconds=-1)  # and 2 more that are spare
    assert found == {"how": "time"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "write, how",
    [
        ("open('a', 'wb').write(bytes(500_000))", "exit"),
        ("[open(str(n), 'wb').write(bytes(500_000)) for n in range(4)]", "disk"),
        ("[open(str(n), 'w').close() for n in range(4100)]", "disk"),
    ],
    ids=["a file", "more than a file may hold", "many files"],
)
def test_a_scratch_folder_that_is_no_file_system_of_its_own_is_limited_too(tmp_path, write, how):
    code = f"""
    os.chdir({str(tmp_path)!r})
    {write}
    time.sleep(0.4)"""
    # Seconds enough for a busy machine: 4,100 files take a while there.
    assert how_it_ends(code, seconds=20, scratch=str(tmp_path))["how"] == how
