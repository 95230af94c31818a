"""What this machine is, what is amiss with the course on it, and what its speed means for a learner.

Everything is measured into one record, `Machine`; how it is told is another matter. Nothing here imports torch before a speed is
wanted, so that a machine without it can be examined too.
"""

import os
import platform
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from fmcourse import data, packages

REQUIRED_PACKAGES = ("torch", "numpy", "jupyterlab")
CGROUP = Path("/sys/fs/cgroup")  # where Linux keeps the limits of a container
LESSON_GB, CACHE_GB = 3.0, 0.6  # the most that a lesson may take; a real model unpacked
GPT_SHAPE = {
    "vocab_size": 78,
    "context": 64,
    "width": 96,
    "depth": 3,
    "heads": 3,
}  # lesson 06's model and how long it learns
BATCH, STEPS = 12, 700


@dataclass(frozen=True)
class Memory:
    """In GB; None where the system does not tell."""

    total: float | None
    free: float | None


@dataclass(frozen=True)
class Speed:
    """How fast it computes.

    Args:
        gflops: threads -> billions of floating-point operations a second, in products of large matrices.
        step_seconds: one training step of lesson 06's model on one thread.
    """

    gflops: Mapping[int, float]
    step_seconds: float

    @property
    def lesson_seconds(self) -> float:
        """How long lesson 06 trains here."""
        return STEPS * self.step_seconds


@dataclass(frozen=True)
class Machine:
    """What `examine` found.

    Args:
        versions: package -> version, None where it is missing.
        cores: that this process may use; in a container, fewer than there are.
        physical: cores of the machine, None where nobody tells.
        threads: that torch uses now.
        disk_free: GB left where the course lies.
        models: name -> is its package installed?
        data_files: how many ship. data_problems: a sentence for each that is not as it was shipped.
        cache: can unpacked weights be kept?
        speed: None if torch is missing or was not asked.
    """

    python: str
    system: str
    versions: Mapping[str, str | None]
    cores: float
    physical: int | None
    threads: int | None
    memory: Memory
    disk_free: float
    models: Mapping[str, bool]
    data_files: int
    data_problems: tuple[str, ...]
    cache: bool
    speed: Speed | None = field(default=None)


def examine(*, speed: bool = True) -> Machine:
    """Look at everything; with `speed`, compute for about four seconds."""
    versions = {name: version_of(name) for name in REQUIRED_PACKAGES}
    has_torch = versions["torch"] is not None
    files, problems = check_data()
    return Machine(
        python=platform.python_version(),
        system=f"{platform.system()} {platform.release()}, {platform.machine()}",
        versions=versions,
        cores=usable_cores(),
        physical=physical_cores(),
        threads=torch_threads() if has_torch else None,
        memory=memory(),
        disk_free=shutil.disk_usage(Path(__file__).parent).free / 1e9,
        models={name: packages.is_installed(name) for name in packages.PACKAGES},
        data_files=files,
        data_problems=problems,
        cache=has_torch and can_write_cache(),
        speed=measure_speed() if speed and has_torch else None,
    )


# -- what is there ------------------------------------------------------------------------------------------------------


def version_of(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def physical_cores() -> int | None:
    try:
        import psutil
    except ModuleNotFoundError:
        return None
    return psutil.cpu_count(logical=False)


def usable_cores(cgroup: Path = CGROUP) -> float:
    """Cores that this process may use: what it is bound to, or a container's share of processor time, if that is less."""
    bound = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    quota, *period = read_words(cgroup / "cpu.max") or ["max"]
    return min(bound, int(quota) / int(period[0])) if quota != "max" else bound


def memory(cgroup: Path = CGROUP) -> Memory:
    """Of the machine, or of the container where that is less."""
    total, free = machine_memory()
    limit, used = (
        read_words(cgroup / name) or ["max"] for name in ("memory.max", "memory.current")
    )
    if total is not None and "max" not in (limit[0], used[0]) and int(limit[0]) < total:
        total, free = int(limit[0]), min(free, int(limit[0]) - int(used[0]))
    return Memory(*(None if n_bytes is None else n_bytes / 1e9 for n_bytes in (total, free)))


def machine_memory() -> tuple[int | None, int | None]:
    """Bytes in all, and bytes that could be had now."""
    try:
        import psutil
    except ModuleNotFoundError:
        names = getattr(os, "sysconf_names", {})
        if not {"SC_PHYS_PAGES", "SC_AVPHYS_PAGES"} <= set(names):
            return None, None
        return tuple(
            os.sysconf("SC_PAGE_SIZE") * os.sysconf(name)
            for name in ("SC_PHYS_PAGES", "SC_AVPHYS_PAGES")
        )
    found = psutil.virtual_memory()
    return found.total, found.available


def read_words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []


def check_data() -> tuple[int, tuple[str, ...]]:
    """How many files of data ship, and a sentence for each that is not as it was."""
    try:
        rows = data.verify()
    except data.DataError as error:
        return 0, (str(error),)
    return len(rows), tuple(row.problem for row in rows if row.problem)


def can_write_cache() -> bool:
    from fmcourse.pretrained import cache_folder

    return cache_folder() is not None


def torch_threads() -> int:
    import torch

    return torch.get_num_threads()


# -- how fast -----------------------------------------------------------------------------------------------------------


def measure_speed(seconds: float = 2.0) -> Speed:
    """Large products on one thread and on all, then `seconds` of training. The number of threads is left as it was."""
    import torch

    before, every = torch.get_num_threads(), max(1, int(usable_cores()))
    try:
        gflops = {threads: matmul_gflops(threads) for threads in sorted({1, every})}
        torch.set_num_threads(1)
        return Speed(gflops, step_seconds(seconds))
    finally:
        torch.set_num_threads(before)


def matmul_gflops(threads: int, n: int = 768, seconds: float = 0.5) -> float:
    """The best of the products that fit in `seconds`: what else the machine does at the moment only slows some of them."""
    import torch

    from fmcourse.fast import matmul_transposed

    torch.set_num_threads(threads)
    a = torch.ones(n, n)
    product = lambda: matmul_transposed(a, a)  # as the course's models multiply
    product()
    return 2 * n**3 / best_time(product, seconds) / 1e9


def best_time(work: Callable[[], object], seconds: float) -> float:
    took, end = [], time.perf_counter() + seconds
    while not took or time.perf_counter() < end:
        begun = time.perf_counter()
        work()
        took.append(time.perf_counter() - begun)
    return min(took)


def step_seconds(seconds: float) -> float:
    """The median training step of lesson 06's model, on text that is noise: that is as much work."""
    import torch

    from fmcourse.models.transformer import Transformer, modern
    from fmcourse.objectives import next_token
    from fmcourse.training import RandomCrops, fit

    with torch.random.fork_rng():
        model, ids = (
            Transformer(modern(**GPT_SHAPE)),
            torch.randint(GPT_SHAPE["vocab_size"], (10_000,)),
        )
    windows = RandomCrops(ids, length=GPT_SHAPE["context"] + 1, batch=BATCH)
    times = fit(model, next_token, windows, seconds=seconds, progress=False).seconds
    return statistics.median(
        [after - before for before, after in zip([0.0, *times], times, strict=False)]
    )


# -- how it is told -----------------------------------------------------------------------------------------------------


def report(machine: Machine) -> list[str]:
    """One line for each thing looked at, always the same lines."""
    there = [name for name, installed in machine.models.items() if installed]
    rows = {
        "Python": f"{machine.python} on {machine.system}",
        "packages": ", ".join(
            f"{name} {found or 'is missing'}" for name, found in machine.versions.items()
        ),
        "cores": f"{machine.cores:g} to use, {machine.physical or 'an unknown number'} in the machine; "
        f"torch uses {format_count(machine.threads, 'thread')}",
        "memory": f"{format_gb(machine.memory.total)}, of which {format_gb(machine.memory.free)} are free",
        "disk": f"{format_gb(machine.disk_free)} are free",
        "models": f"{len(there)} of {len(machine.models)} installed"
        + (f": {', '.join(there)}" if there else ""),
        "data": f"{machine.data_files} files, "
        + ("not all as shipped" if machine.data_problems else "all as shipped"),
        "cache": "can be written" if machine.cache else "cannot be written",
        **speed_lines(machine.speed),
    }
    return [f"{name:10}{text}" for name, text in rows.items()]


def speed_lines(speed: Speed | None) -> dict[str, str]:
    if speed is None:
        return {"speed": "not measured", "lesson 06": "not measured"}
    products = ", ".join(
        f"{gflops:.0f} on {format_count(n, 'thread')}" for n, gflops in speed.gflops.items()
    )
    return {
        "speed": f"billions of operations a second: {products}",
        "lesson 06": f"trains its model for about {speed.lesson_seconds:.0f} s here "
        f"({STEPS} steps of {1000 * speed.step_seconds:.0f} ms)",
    }


def faults(machine: Machine) -> list[str]:
    """What has to be mended before the course works, a sentence each."""
    missing = [name for name, found in machine.versions.items() if found is None]
    found = [f"{name} is missing: `python start.py setup` installs it." for name in missing]
    return [*found, *machine.data_problems]


def advice(machine: Machine) -> list[str]:
    """What would be better, or is good to know, a sentence each."""
    found = []
    if absent := [name for name, installed in machine.models.items() if not installed]:
        found.append(f"{' and '.join(absent)} can be added: `python -m fmcourse models install`.")
    if machine.memory.free is not None and machine.memory.free < LESSON_GB:
        found.append(
            f"A lesson may take up to {LESSON_GB:g} GB of memory: close what you do not need."
        )
    if machine.disk_free < CACHE_GB:
        found.append(f"A real model, unpacked, takes {CACHE_GB:g} GB of disk: make room.")
    if not machine.cache:
        found.append(
            "Unpacked models cannot be kept, so each use unpacks them anew: let FMCOURSE_CACHE name a folder "
            "that can be written."
        )
    if machine.speed and (more := thread_advice(machine.speed)):
        found.append(more)
    return found


def thread_advice(speed: Speed) -> str:
    """A sentence where more threads pay in large products."""
    threads, fastest = max(speed.gflops.items())
    gain = fastest / speed.gflops[1]
    if gain < 1.3:
        return ""
    return (
        f"{threads} threads multiply large matrices {gain:.1f} times as fast as one: `python start.py --threads {threads}`. "
        "(The lessons' own models are small, and gain less.)"
    )


def format_gb(amount: float | None) -> str:
    return "an unknown amount" if amount is None else f"{amount:.1f} GB"


def format_count(number: int | None, thing: str) -> str:
    return f"{'no' if number is None else number} {thing}{'' if number == 1 else 's'}"


def main() -> int:
    """Print it all; 1 if something has to be mended."""
    if sys.stderr.isatty():
        print("Measuring for about four seconds ...", file=sys.stderr, flush=True)
    machine = examine()
    wrong = faults(machine)
    lines = [
        *report(machine),
        *[f"✗ {one}" for one in wrong],
        *[f"○ {one}" for one in advice(machine)],
    ]
    print("\n".join(lines) + ("" if wrong else "\n✓ The course works here."))
    return 1 if wrong else 0
