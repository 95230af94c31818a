"""The students' edition holds nothing of an assigned exercise's answer; and the proof of that finds what is planted."""

import base64
import compileall
import io
import json
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from fmcourse.classroom.assigned import all_assigned, record
from tools import student
from tools.leaks import leaks

ASSIGNED = {exercise.id: exercise for exercise in all_assigned()}
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not ASSIGNED, reason="this edition has no instructor's folder")]
ONE = [ASSIGNED["07.A1"]] if ASSIGNED else []
WHOLE = ASSIGNED.get("07.A1")
LONG = ASSIGNED.get("07.A2")


@pytest.fixture(scope="module")
def edition(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("class") / "edition"
    assert student.build(out) > 200
    return out


def test_nothing_is_left_in_it(edition):
    assert not (edition / "instructor").exists() and (edition / "lessons").is_dir()
    compileall.compile_dir(edition / "fmcourse", quiet=2)
    assert list(edition.rglob("*.pyc"))
    assert leaks(edition, list(ASSIGNED.values())) == []


def test_its_wheel_holds_nothing_either(edition):
    student.wheel(edition)
    found = list((edition / "dist").glob("*.whl"))
    assert len(found) == 1 and zipfile.ZipFile(found[0]).namelist()
    assert leaks(edition / "dist", list(ASSIGNED.values())) == []


def test_there_the_course_knows_no_assigned_exercise(edition):
    code = "from fmcourse.classroom.assigned import all_assigned, ROOT; import fmcourse.classroom; print(len(all_assigned()), ROOT)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=edition,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(edition), "PATH": "/usr/bin"},
    )
    assert done.stdout.split() == ["0", str(edition)], done.stderr


def test_it_is_built_whole_or_not_at_all(edition, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("keep me")
    with pytest.raises(ValueError, match="is not empty"):
        student.build(tmp_path / "full")
    assert [path.name for path in tmp_path.rglob("*")] == ["full", "mine.txt"]


# -- planted leaks --------------------------------------------------------------------------------------------------------


def other_names(source: str) -> str:
    """The same code in another hand: names, spaces, quotes."""
    for old, new in (
        ("share_of_long_names", "work"),
        ("sentence", "row"),
        ("mine", "me"),
        ("names", "total"),
        ("long", "lengthy"),
        ("after", "nxt"),
    ):
        source = re.sub(rf"\b{old}\b", new, source)
    return source.replace('"', "'").replace(" = ", "  =  ")


def notebook(**cell) -> bytes:
    return json.dumps(
        {"nbformat": 4, "nbformat_minor": 5, "metadata": cell.pop("metadata", {}), "cells": [cell]}
    ).encode()


def packed(name: str, data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, data)
    return out.getvalue()


def tarred(name: str, data: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def bytecode(source: str, folder: Path) -> bytes:
    (folder / "x.py").write_text(source)
    compileall.compile_file(folder / "x.py", quiet=2, legacy=True)
    data = (folder / "x.pyc").read_bytes()
    (folder / "x.py").unlink(), (folder / "x.pyc").unlink()
    return data


def tensor_file(folder: Path) -> bytes:
    values = torch.randn(4, 5, generator=torch.Generator().manual_seed(3))
    save_file({"x": values}, folder / "t")
    data = (folder / "t").read_bytes()
    (folder / "t").unlink()
    return data


SOLUTION, LITERAL, WRONG, WHY = (
    (WHOLE.solution, LONG.solution, WHOLE.mistakes[2].wrong, WHOLE.explanation) if ASSIGNED else ("",) * 4
)
stripped = lambda source: re.sub(r'""".*?"""', "pass", source, flags=re.DOTALL)
PLANTED = {
    "a module": ("x.py", lambda folder: ("import os\n" + stripped(SOLUTION)).encode(), "07.A1"),
    "other names and spaces": ("x.py", lambda folder: other_names(LITERAL).encode(), "07.A2"),
    "a comment": ("x.py", lambda folder: "\n".join("# " + line for line in stripped(SOLUTION).splitlines()).encode(), "07.A1"),
    "a docstring": ("x.py", lambda folder: f'def f():\n    """Help.\n\n{LITERAL}\n    """\n'.encode(), "07.A2"),
    "UTF-16": ("x.txt", lambda folder: LITERAL.encode("utf-16"), "07.A2"),
    "an output": ("x.ipynb", lambda folder: notebook(cell_type="code", source="1", outputs=[{"output_type": "stream", "text": LITERAL.splitlines(keepends=True)}]), "07.A2"),
    "an output in HTML": ("x.ipynb", lambda folder: notebook(cell_type="code", source="1", outputs=[{"data": {"text/html": f"<p>{WHY}</p>"}}]), "07.A1"),
    "metadata": ("x.ipynb", lambda folder: notebook(cell_type="markdown", source="1", metadata={"note": {"answer": LITERAL}}), "07.A2"),
    "an attachment": ("x.ipynb", lambda folder: notebook(cell_type="markdown", source="", attachments={"a": {"text/plain": base64.b64encode(LITERAL.encode()).decode()}}), "07.A2"),
    "bytecode": ("x.pyc", lambda folder: bytecode(other_names(LITERAL), folder), "07.A2"),
    "a docstring in bytecode": ("x.pyc", lambda folder: bytecode(f"def f():\n    '''{WHY}'''\n", folder), "07.A1"),
    "a wheel": ("x.whl", lambda folder: packed("fmcourse/x.py", stripped(SOLUTION).encode()), "07.A1"),
    "bytecode in a wheel": ("x.whl", lambda folder: packed("fmcourse/x.pyc", bytecode(LITERAL, folder)), "07.A2"),
    "a tar file": ("x.tar.gz", lambda folder: tarred("a/b.md", LITERAL.encode()), "07.A2"),
    "a wrong answer": ("x.md", lambda folder: f"Do not write\n\n    {WRONG}".encode(), "07.A1"),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANTED)
def test_what_is_planted_is_found_and_named(name, tmp_path):
    file, make, exercise = PLANTED[name]
    data = make(tmp_path)
    (tmp_path / file).write_bytes(data)
    found = leaks(tmp_path, [WHOLE, LONG])
    assert found and {leak.exercise for leak in found} == {exercise} and {leak.file for leak in found} == {file}


def test_numbers_of_hidden_cases_are_found_written_and_in_bytes(tmp_path):
    exercise, tensor = next((one, part) for one in ASSIGNED.values() for case in one.hidden for part in (case if isinstance(case, tuple) else (case,))
                            if isinstance(part, torch.Tensor) and part.is_floating_point() and part.unique().numel() > 10)  # fmt: skip
    save_file({"x": tensor.detach().float().contiguous()}, tmp_path / "x.safetensors")
    (tmp_path / "x.json").write_text(json.dumps({"values": tensor.detach().flatten().tolist()}))
    (tmp_path / "x.txt").write_text(" ".join(f"{value:.5f}" for value in tensor.detach().flatten().tolist()))
    found = leaks(tmp_path, [exercise])
    assert {leak.file for leak in found} == {"x.safetensors", "x.json", "x.txt"}
    assert {(leak.exercise, leak.part) for leak in found} == {(exercise.id, "hidden case")}


def test_what_is_handed_out_raises_no_alarm(tmp_path):
    for exercise in ASSIGNED.values():
        (tmp_path / f"{exercise.id}.json").write_text(json.dumps(record(exercise)))
        (tmp_path / f"{exercise.id}.md").write_text(f"{exercise.text}\n\n{exercise.starter}")
    assert leaks(tmp_path, list(ASSIGNED.values())) == []
