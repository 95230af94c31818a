"""The machine in general words: enough to compare numbers by, nothing that identifies it."""

import os
import platform
from importlib.metadata import version
from pathlib import Path


def cpu_info(key: str) -> str:
    """One field of /proc/cpuinfo; nothing where there is none."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")


def cpu_flags() -> set[str]:
    """What the CPU can do, in the kernel's words."""
    return set(cpu_info("flags").split())


def describe_machine() -> str:
    """CPU, cores, widest vectors, versions."""
    cpu = cpu_info("model name") or platform.processor() or platform.machine()
    widest = next(
        (name for flag, name in (("avx512f", "AVX-512"), ("avx2", "AVX2")) if flag in cpu_flags()),
        "",
    )
    parts = [
        cpu,
        f"{os.cpu_count()} cores, one used",
        widest,
        f"Python {platform.python_version()}",
    ]
    parts += [f"{name} {version(name)}" for name in ("torch", "transformers", "tokenizers")]
    return ", ".join(filter(None, parts))
