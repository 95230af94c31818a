"""The shape of the package: short functions, imports that point downwards, and nothing imported before it is used."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "fmcourse"
MODULES = {
    path.relative_to(PACKAGE.parent).with_suffix("").as_posix().removesuffix("/__init__"): path
    for path in PACKAGE.rglob("*.py")
}
LEVELS = [  # each may import from its own level and from those below it
    ["__main__", "cli"],
    ["classroom"],
    ["course"],
    ["apps"],
    ["adaptation", "prompting"],
    ["generation", "evaluation", "pretrained", "plots"],
    ["training"],
    ["diffusion", "autoencoders", "multimodal"],
    ["objectives"],
    ["models"],
    ["fast"],
    ["tokenizers", "data"],
    ["packages", "files"],
]
MOST_IN_A_FUNCTION = 50


def level(module: str) -> int:
    part = module.split("/")[1] if "/" in module else "files"
    return next(n for n, names in enumerate(LEVELS) if part in names)


def imported(tree: ast.Module) -> set[str]:
    """Modules of the package that are imported when this one is. What a function imports late may lie anywhere."""
    found = set()
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("fmcourse"):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name.replace(".", "/") in MODULES else node.module for name in names}
    return {name.replace(".", "/") for name in found}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_point_downwards_and_functions_are_short(module):
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    upwards = {
        other for other in imported(tree) if other != "fmcourse" and level(other) < level(module)
    }
    assert not upwards
    functions = [
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert not [
        node.name for node in functions if node.end_lineno - node.lineno >= MOST_IN_A_FUNCTION
    ]


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("fmcourse", {"torch", "numpy", "matplotlib", "IPython"}),
        ("fmcourse.data", {"torch", "numpy"}),
        ("fmcourse.tokenizers", {"torch", "numpy", "tokenizers"}),
        ("fmcourse.course", {"torch", "matplotlib"}),
        ("fmcourse.classroom", {"torch", "nbgrader"}),
        ("fmcourse.classroom.handout", {"nbgrader", "matplotlib"}),
        ("fmcourse.classroom.course_files", {"torch"}),
        ("fmcourse.models.config", {"torch"}),
        ("fmcourse.apps.own_data", {"torch", "numpy", "PIL", "matplotlib"}),
        ("fmcourse.pretrained", {"transformers", "gguf", "matplotlib"}),
    ],
)
def test_importing_fetches_nothing_that_is_not_needed_yet(module, absent):
    program = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert not absent & set(done.stdout.split())
