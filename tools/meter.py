"""Measure a notebook from inside its kernel: after each cell, write seconds and peak memory.

IPython executes this file at start-up; `FMCOURSE_METER` names the file to write. It is written
after each cell and not once at the end, because kernels are often killed at the end.
"""


def _install_meter():
    import json
    import os
    import time
    from pathlib import Path

    start = time.perf_counter()
    path = Path(os.environ.get("FMCOURSE_METER", "meter.json")).absolute()

    def peak_mb():
        try:  # not getrusage: it includes the peak of the parent process
            status = Path("/proc/self/status").read_text()
            return int(status.split("VmHWM:")[1].split()[0]) / 1024
        except (OSError, IndexError):
            import psutil

            info = psutil.Process().memory_info()
            return getattr(info, "peak_wset", info.rss) / 2**20

    def after_cell(_=None):
        cost = {
            "seconds": time.perf_counter() - start,
            "cpu_seconds": time.process_time(),
            "peak_mb": peak_mb(),
        }
        path.write_text(json.dumps(cost))

    get_ipython().events.register("post_run_cell", after_cell)  # noqa: F821


_install_meter()
del _install_meter
