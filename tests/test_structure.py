"""The shape of the package: short functions, imports that point downwards and late."""

import ast
import re
import subprocess
import sys

import pytest

from tools import structure
from tools.lessons import ROOT

FILES = structure.module_files()
IMPORTS = structure.all_imports()
MOST_IN_A_FUNCTION = 50


def test_every_module_lies_on_a_floor():
    for module in FILES:
        if module != structure.PACKAGE:
            structure.floor(module)


def test_no_import_points_upwards_and_there_is_no_circle():
    assert structure.faults(IMPORTS) == []


@pytest.mark.parametrize("module", sorted(FILES))
def test_functions_are_short(module):
    tree = ast.parse(FILES[module].read_text(encoding="utf-8"))
    functions = [
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert not [
        node.name for node in functions if node.end_lineno - node.lineno >= MOST_IN_A_FUNCTION
    ]


def is_riddle(node: ast.AST) -> bool:
    """A choice that is no `if`, or a function without `def`.

    That is: a text or list times a condition; `and` or `or` as a statement; a lambda with a name;
    a loop over a list that it makes longer.
    """
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        sequence = (ast.List, ast.Tuple, ast.JoinedStr)
        return any(
            (isinstance(one, sequence) or type(getattr(one, "value", 0)) is str)
            and (
                isinstance(other, ast.Compare | ast.BoolOp)
                or (isinstance(other, ast.Call) and ast.unparse(other.func) == "bool")
            )
            for one, other in ((node.left, node.right), (node.right, node.left))
        )
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda):
        return isinstance(node.targets[0], ast.Name)
    if isinstance(node, ast.For):
        longer = [f"{ast.unparse(node.iter)}.{verb}" for verb in ("append", "extend", "insert")]
        calls = [one for one in ast.walk(node) if isinstance(one, ast.Call)]
        return any(ast.unparse(call.func) in longer for call in calls)
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.BoolOp)


@pytest.mark.parametrize(
    "source",
    [
        '", ..." * (n > 3)',
        "[1] * bool(n)",
        "(n > 3) * [1]",
        'f"{n}" * (n and m)',
        "n and print(n)",
        "square = lambda n: n * n",
        "for n in todo:\n    todo.append(n)",
    ],
)
def test_a_choice_that_is_no_if_is_seen(source):
    assert any(map(is_riddle, ast.walk(ast.parse(source))))


def test_choices_are_ifs_and_functions_have_a_def():
    paths = [*FILES.values(), *(ROOT / "tools").glob("*.py"), ROOT / "start.py"]
    paths += [*(ROOT / "recipes").glob("*.py"), *(ROOT / "benchmarks").glob("*.py")]
    assert not [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in paths
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if is_riddle(node)
    ]


@pytest.mark.slow
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
        ("fmcourse.apps.classifier", {"matplotlib"}),
        ("fmcourse.apps.agent", {"torch", "numpy", "matplotlib", "IPython"}),
        ("fmcourse.apps.toolbox", {"torch", "numpy"}),
        ("fmcourse.apps.mcp_tools", {"torch", "mcp"}),
        ("fmcourse.pretrained", {"transformers", "gguf", "matplotlib"}),
    ],
)
def test_importing_fetches_nothing_that_is_not_needed_yet(module, absent):
    program = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert not absent & set(done.stdout.split())


# --- the tool that draws the imports


@pytest.fixture
def package(tmp_path):
    """A function that writes modules of a package, path -> source, and returns their imports."""

    def write(sources: dict[str, str]) -> set[structure.Import]:
        for name, source in {"__init__.py": "", **sources}.items():
            path = tmp_path / "fmcourse" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source, encoding="utf-8")
        return structure.all_imports(tmp_path)

    return write


LATE = "def f():\n    from fmcourse.training import fit\n"


@pytest.mark.parametrize(
    "source",
    [
        "from fmcourse.training import fit",
        "import fmcourse.training",
        "from fmcourse import training",
        "from ..training import fit",
        LATE,
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import fmcourse.training",
        "from importlib import import_module\nimport_module('fmcourse.training')",
        "EXPORTS = {'fit': 'fmcourse.training.fit'}",
        "from importlib import import_module\nimport_module(f'fmcourse.training.{x}')",
    ],
)
def test_an_upward_import_is_seen_in_every_form(package, source):
    imports = package({"models/__init__.py": "", "training.py": "", "models/vision.py": source})
    (fault,) = structure.faults(imports)
    assert fault.startswith("upwards: fmcourse.models.vision imports fmcourse.training (line ")


def test_imports_within_a_floor_and_downwards_are_allowed(package):
    sources = {"models.py": "", "generation.py": "import fmcourse.models\n"}
    imports = package(sources | {"evaluation.py": "import fmcourse.generation\n"})
    assert len(imports) == 2 and structure.faults(imports) == []


def test_circles_of_modules_and_of_rooms_are_named(package):
    within = package({"data/__init__.py": "", "data/a.py": "from . import b", "data/b.py": ""})
    assert structure.faults(within) == []
    late = "def f():\n    from fmcourse.data.a import x\n"
    circle = package({"data/b.py": late})
    assert structure.faults(circle) == ["circle of modules: fmcourse.data.a, fmcourse.data.b"]
    rooms = package(
        {"data/b.py": "import fmcourse.tokenizers.c\n", "tokenizers/__init__.py": ""}
        | {"tokenizers/c.py": "", "tokenizers/d.py": "import fmcourse.data\n"}
    )
    assert structure.faults(rooms) == ["circle of rooms: data, tokenizers"]


def test_a_room_without_a_floor_says_where_to_add_it(package):
    imports = package({"models.py": "", "attic.py": "import fmcourse.models\n"})
    with pytest.raises(ValueError, match=r"fmcourse\.attic is on no floor; add 'attic' to FLOORS"):
        structure.faults(imports)


def test_the_command_draws_a_picture_and_fails_for_a_fault(package, tmp_path, capsys):
    package({"models.py": "", "training.py": "import fmcourse.models\n"})
    out = tmp_path / "build" / "structure.svg"
    assert structure.main([], tmp_path) == 0
    assert re.search(r"training +-> models", capsys.readouterr().out)
    assert "<svg" in out.read_text()
    package({"models.py": LATE})
    assert structure.main(["--out", str(tmp_path / "a.png")], tmp_path) == 1
    assert "upwards: fmcourse.models imports fmcourse.training" in capsys.readouterr().out
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
