"""`course` and `classroom` could serve a course on another subject: they import nothing of it."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "fmcourse"
MODULES = {
    f"fmcourse.{path.parent.name}.{path.stem}": path
    for room in ("course", "classroom")
    for path in sorted((PACKAGE / room).glob("*.py"))
    if path.stem != "doctor"  # of this machine, not of lessons
}
NOTEBOOK_NAMES = {"fmcourse.course.__init__": {"fmcourse.plots"}}  # `show`, for lessons alone


def imported(module: str) -> set[str]:
    """What a module imports of the package, at its top and inside of functions."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "fmcourse":
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            rooms = node.module in ("fmcourse", "fmcourse.course", "fmcourse.classroom")
            found |= set(names) if rooms else {node.module}
    return found


@pytest.mark.parametrize("module", MODULES)
def test_the_machinery_imports_only_itself_and_files(module):
    allowed = ("fmcourse.course", "fmcourse.classroom", "fmcourse.files")
    if module.startswith("fmcourse.course."):
        allowed = ("fmcourse.course", "fmcourse.files")
    others = {name for name in imported(module) if not name.startswith(allowed)}
    assert others <= NOTEBOOK_NAMES.get(module, set())


def test_no_module_imports_itself_round_a_circle():
    def reached(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, f"a circle: {' -> '.join([*path, module])}"
        for other in sorted(imported(module) & set(MODULES)):
            if other not in done:
                reached(other, (*path, module))
        done.add(module)

    done: set[str] = set()
    for module in MODULES:
        reached(module, ())


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="grading is for Unix")
def test_a_changed_exercise_is_graded_anew(tmp_path):
    from fmcourse.classroom.grade import grading_digest, machinery_files
    from fmcourse.classroom.library import assigned_files
    from fmcourse.course.library import exercise_files

    assert {path.stem for path in machinery_files()} >= {"verdict", "scoring", "task", "running"}
    assert len(exercise_files()) >= 10 and all(path.is_file() for path in assigned_files())
    file = tmp_path / "exercises.py"
    file.write_text("a")
    before = grading_digest((file,))
    grading_digest.cache_clear()
    file.write_text("b")
    assert grading_digest((file,)) != before
