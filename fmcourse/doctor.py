"""What this machine is, what is amiss with the course on it, and how long lesson 06 trains here.

`examine` measures everything into one record, `Machine`; `report`, `faults` and `advice` put it
into words. Nothing here imports torch until a speed is measured, so that a machine without torch
can be examined too.
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
from itertools import pairwise
from pathlib import Path

from fmcourse import data, packages

REQUIRED_PACKAGES = ("torch", "numpy", "jupyterlab")
CGROUP = Path("/sys/fs/cgroup")  # where Linux keeps the limits of a container
LESSON_GB = 3.0  # the most memory that a lesson may take
CACHE_GB = 0.6  # a real model's weights, dequantized
# The model of lesson 06, its batch and its steps: the estimate is of this training.
GPT_SHAPE = {"vocab_size": 78, "context": 64, "width": 96, "depth": 3, "heads": 3}
BATCH, STEPS = 12, 700


@dataclass(frozen=True)
class Memory:
    """Total and free memory in GB; None where the system does not say."""

    total: float | None
    free: float | None


@dataclass(frozen=True)
class Speed:
    """How fast the machine computes.

    Args:
        gflops: by number of threads, billions of floating-point operations per second in products
            of large matrices.
        step_seconds: one training step of lesson 06's model on one thread.
    """

    gflops: Mapping[int, float]
    step_seconds: float

    @property
    def lesson_seconds(self) -> float:
        """How long the training of lesson 06 takes here."""
        return STEPS * self.step_seconds


@dataclass(frozen=True)
class Machine:
    """What `examine` found.

    Args:
        python: its version. system: name, release and processor of the operating system.
        versions: by package, its version; None where it is missing.
        cores: that this process may use; in a container, fewer than there are.
        physical: cores of the machine; None where the system does not say.
        threads: that torch uses now; None if torch is missing.
        memory: total and free.
        disk_free: GB left on the disk that holds the course.
        models: by name of a real model, whether its package is installed.
        data_files: how many files of data ship.
        data_problems: a sentence for each file of data that is not as it was shipped.
        cache: whether dequantized weights can be kept on disk.
        damaged_cache: paths of the kept files that are not as they were written.
        speed: None if torch is missing or the speed was not asked for.
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
    damaged_cache: tuple[str, ...] = ()
    speed: Speed | None = field(default=None)


def examine(*, speed: bool = True) -> Machine:
    """Examine this machine; with `speed`, compute for about four seconds."""
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
        damaged_cache=damaged_cache() if has_torch else (),
        speed=measure_speed() if speed and has_torch else None,
    )


# -- what is there ---------------------------------------------------------------------------------


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
    """Cores that this process may use: its CPU affinity, or a container's quota if that is less."""
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    else:
        allowed = os.cpu_count() or 1
    quota, *period = read_words(cgroup / "cpu.max") or ["max"]  # microseconds, or "max"
    return allowed if quota == "max" else min(allowed, int(quota) / int(period[0]))


def memory(cgroup: Path = CGROUP) -> Memory:
    """Memory of the machine, or of the container where that is less."""
    total, free = machine_memory()
    if total is None:
        return Memory(None, None)
    limit = (read_words(cgroup / "memory.max") or ["max"])[0]
    used = (read_words(cgroup / "memory.current") or ["max"])[0]
    if "max" not in (limit, used) and int(limit) < total:
        total, free = int(limit), min(free, int(limit) - int(used))
    return Memory(total / 1e9, free / 1e9)


def machine_memory() -> tuple[int | None, int | None]:
    """Total and available memory in bytes; None, None where the system does not say."""
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
    """The words of a small text file; empty if it cannot be read."""
    try:
        return path.read_text().split()
    except OSError:
        return []


def check_data() -> tuple[int, tuple[str, ...]]:
    """How many files of data ship, and a sentence for each that is not as it was shipped."""
    try:
        rows = data.verify()
    except data.DataError as error:
        return 0, (str(error),)
    return len(rows), tuple(row.problem for row in rows if row.problem)


def can_write_cache() -> bool:
    from fmcourse.pretrained import cache_folder

    return cache_folder() is not None


def damaged_cache() -> tuple[str, ...]:
    from fmcourse.pretrained import damaged_cache_files

    return tuple(map(str, damaged_cache_files()))


def torch_threads() -> int:
    import torch

    return torch.get_num_threads()


# -- how fast --------------------------------------------------------------------------------------


def measure_speed(seconds: float = 2.0) -> Speed:
    """Time large products on one thread and on all cores, then train for `seconds` on one thread.

    The number of threads that torch uses is left as it was.
    """
    import torch

    before, cores = torch.get_num_threads(), max(1, int(usable_cores()))
    try:
        gflops = {threads: matmul_gflops(threads) for threads in sorted({1, cores})}
        torch.set_num_threads(1)
        return Speed(gflops, step_seconds(seconds))
    finally:
        torch.set_num_threads(before)


def matmul_gflops(threads: int, n: int = 768, seconds: float = 0.5) -> float:
    """Billions of operations per second in products of n x n matrices: the best in `seconds`."""
    import torch

    from fmcourse.fast import matmul_transposed

    torch.set_num_threads(threads)
    a = torch.ones(n, n)

    def product() -> None:
        matmul_transposed(a, a)  # the product that the course's models use

    product()  # a first call may compile kernels or allocate
    return 2 * n**3 / best_time(product, seconds) / 1e9


def best_time(
    work: Callable[[], object], seconds: float, clock: Callable[[], float] = time.perf_counter
) -> float:
    """The shortest duration of `work`, repeated until `seconds` are over, in the clock's unit.

    The shortest, because whatever else the machine does can only make a run longer.
    """
    times, end = [], clock() + seconds
    while not times or clock() < end:
        started = clock()
        work()
        times.append(clock() - started)
    return min(times)


def step_seconds(seconds: float) -> float:
    """Seconds of the median training step of lesson 06's model, on random tokens: as much work."""
    import torch

    from fmcourse.models.transformer import Transformer, modern
    from fmcourse.objectives import next_token
    from fmcourse.training import RandomCrops, fit

    with torch.random.fork_rng():  # the caller's random state stays as it is
        model = Transformer(modern(**GPT_SHAPE))
        ids = torch.randint(GPT_SHAPE["vocab_size"], (10_000,))
    crops = RandomCrops(ids, length=GPT_SHAPE["context"] + 1, batch=BATCH)
    ends = fit(model, next_token, crops, seconds=seconds, progress=False).seconds
    return statistics.median(after - before for before, after in pairwise([0.0, *ends]))


# -- in words --------------------------------------------------------------------------------------


def report(machine: Machine) -> list[str]:
    """One line for each thing that was examined; the same ten lines on every machine."""
    versions = [f"{name} {found or 'is missing'}" for name, found in machine.versions.items()]
    rows = {
        "Python": f"{machine.python} on {machine.system}",
        "packages": ", ".join(versions),
        **capacity_lines(machine),
        **content_lines(machine),
        **speed_lines(machine.speed),
    }
    return [f"{name:10}{text}" for name, text in rows.items()]


def capacity_lines(machine: Machine) -> dict[str, str]:
    """Cores, memory and disk."""
    physical = machine.physical or "an unknown number"
    threads = format_count(machine.threads, "thread")
    total, free = format_gb(machine.memory.total), format_gb(machine.memory.free)
    return {
        "cores": f"{machine.cores:g} to use, {physical} in the machine; torch uses {threads}",
        "memory": f"{total}, of which {free} are free",
        "disk": f"{format_gb(machine.disk_free)} are free",
    }


def content_lines(machine: Machine) -> dict[str, str]:
    """Models, data and the cache."""
    there = [name for name, installed in machine.models.items() if installed]
    names = f": {', '.join(there)}" if there else ""
    state = "not all as shipped" if machine.data_problems else "all as shipped"
    damaged = f", {format_count(n, 'damaged file')}" if (n := len(machine.damaged_cache)) else ""
    return {
        "models": f"{len(there)} of {len(machine.models)} installed{names}",
        "data": f"{machine.data_files} files, {state}",
        "cache": ("can be written" if machine.cache else "cannot be written") + damaged,
    }


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
    """What must be repaired before the course works, a sentence each."""
    missing = [name for name, found in machine.versions.items() if found is None]
    found = [f"{name} is missing: `python start.py setup` installs it." for name in missing]
    return [*found, *machine.data_problems]


def advice(machine: Machine) -> list[str]:
    """What would make the course run better on this machine, a sentence each."""
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
            "Unpacked models cannot be kept, so each use unpacks them anew: "
            "let FMCOURSE_CACHE name a folder that can be written."
        )
    if machine.damaged_cache:
        found.append(
            f"In the cache of unpacked models {' and '.join(machine.damaged_cache)} is damaged: "
            "delete it, and the next use of the model makes it anew."
        )
    if machine.speed and (sentence := thread_advice(machine.speed)):
        found.append(sentence)
    return found


def thread_advice(speed: Speed) -> str:
    """A sentence if more threads speed up large products by a third or more; else empty."""
    threads, fastest = max(speed.gflops.items())
    gain = fastest / speed.gflops[1]
    if gain < 1.3:
        return ""
    return (
        f"{threads} threads multiply large matrices {gain:.1f} times as fast as one: "
        f"`python start.py --threads {threads}`. "
        "(The lessons' own models are small, and gain less.)"
    )


def format_gb(amount: float | None) -> str:
    return "an unknown amount" if amount is None else f"{amount:.1f} GB"


def format_count(number: int | None, thing: str) -> str:
    return f"{'no' if number is None else number} {thing}{'' if number == 1 else 's'}"


def main() -> int:
    """Print everything; 1 if something must be repaired first."""
    if sys.stderr.isatty():
        print("Measuring for about four seconds ...", file=sys.stderr, flush=True)
    machine = examine()
    problems = faults(machine)
    lines = report(machine)
    lines += [f"✗ {sentence}" for sentence in problems]
    lines += [f"○ {sentence}" for sentence in advice(machine)]
    if not problems:
        lines.append("✓ The course works here.")
    print("\n".join(lines))
    return 1 if problems else 0
