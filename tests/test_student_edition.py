"""The students' edition holds nothing of an assigned exercise's answer; and the proof of that finds what is planted."""

import ast
import base64
import compileall
import difflib
import gzip
import heapq
import html
import inspect
import io
import json
import re
import statistics
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional
from torch.optim import optimizer
from torch.utils.data import sampler

from fmcourse.classroom.exercise_kinds import make_record
from fmcourse.classroom.library import all_assigned
from fmcourse.course.running import arguments
from tools import student
from tools.leaks import OF_THE_COURSE, Secrets, leaks, search, source, unescaped, words
from tools.lessons import ROOT

ASSIGNED = {exercise.id: exercise for exercise in all_assigned()}
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not ASSIGNED, reason="this edition has no instructor's folder"),
]
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
    readme = (edition / "README.md").read_text("utf-8")
    assert "instructor" not in readme.split("## Two commands")[1] and "## What is inside" in readme
    compileall.compile_dir(edition / "fmcourse", quiet=2)
    assert list(edition.rglob("*.pyc"))
    report = search(edition, ASSIGNED.values())
    assert report.leaks == [] and report.files > 200
    assert (
        report.secrets > 500 and len(report.too_short) < 0.1 * report.secrets
    )  # what it cannot look for, it says


def test_its_tests_do_not_miss_what_was_left_out(edition):
    asked = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--collect-only",
        "-p",
        "no:cacheprovider",
        "tests/test_exercises.py",
        "tests/test_variants.py",
    ]
    done = subprocess.run(asked, cwd=edition, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]


def test_its_wheel_holds_nothing_either(edition):
    student.build_wheel(edition)
    found = list((edition / "dist").glob("*.whl"))
    assert len(found) == 1 and zipfile.ZipFile(found[0]).namelist()
    assert leaks(edition / "dist", list(ASSIGNED.values())) == []


def test_there_the_course_knows_no_assigned_exercise(edition):
    code = "from fmcourse.classroom.library import all_assigned; from fmcourse.files import ROOT; import fmcourse.classroom; print(len(all_assigned()), ROOT)"
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


def test_an_edition_that_leaks_is_not_made_and_the_leak_is_named(tmp_path, capsys):
    course = tmp_path / "course"
    (course / "instructor").mkdir(parents=True)
    (course / "instructor" / "key.md").write_text(SOLUTION)
    (course / "notes.md").write_text("Read this.")
    assert student.main(["--out", str(tmp_path / "clean")], course) == 0
    assert [path.name for path in (tmp_path / "clean").rglob("*")] == ["notes.md"]
    assert "no leak" in capsys.readouterr().out
    (course / "notes.md").write_text(f"Do it so:\n\n{without_docstrings(SOLUTION)}")
    assert student.main(["--out", str(tmp_path / "leaking")], course) == 1
    assert "notes.md: 07.A1, solution: " in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clean", "course"]


def test_of_an_exported_tree_what_use_makes_stays_out(tmp_path):
    for name in (
        "lessons/a.py",
        ".venv/lib/b.py",
        "fmcourse/__pycache__/c.pyc",
        "build/d.txt",
        "work/e.ipynb",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / ".gitignore").write_text((ROOT / ".gitignore").read_text())
    assert student.files(tmp_path) == [".gitignore", "lessons/a.py"]


@pytest.mark.parametrize("file", OF_THE_COURSE)
def test_what_the_course_says_anyway_stands_there(file):
    """Else a line in that list would hide a leak."""
    data = (ROOT / file).read_bytes()
    row = lambda text: f" {' '.join(words(unescaped(text)))} "
    there = row((gzip.decompress(data) if file.endswith(".gz") else data).decode())
    assert [line for line in OF_THE_COURSE[file] if row(line) not in there] == []


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


def zip_of(name: str, data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, data)
    return out.getvalue()


def tar_of(name: str, data: bytes) -> bytes:
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
    (WHOLE.solution, LONG.solution, WHOLE.mistakes[2].wrong_answer, WHOLE.explanation)
    if ASSIGNED
    else ("",) * 4
)
without_docstrings = lambda source: re.sub(r'""".*?"""', "pass", source, flags=re.DOTALL)
PLANTED = {
    "a module": (
        "x.py",
        lambda folder: ("import os\n" + without_docstrings(SOLUTION)).encode(),
        "07.A1",
    ),
    "other names and spaces": ("x.py", lambda folder: other_names(LITERAL).encode(), "07.A2"),
    "a comment": (
        "x.py",
        lambda folder: "\n".join(
            "# " + line for line in without_docstrings(SOLUTION).splitlines()
        ).encode(),
        "07.A1",
    ),
    "a docstring": (
        "x.py",
        lambda folder: f'def f():\n    """Help.\n\n{LITERAL}\n    """\n'.encode(),
        "07.A2",
    ),
    "UTF-16": ("x.txt", lambda folder: LITERAL.encode("utf-16"), "07.A2"),
    "an output": (
        "x.ipynb",
        lambda folder: notebook(
            cell_type="code",
            source="1",
            outputs=[{"output_type": "stream", "text": LITERAL.splitlines(keepends=True)}],
        ),
        "07.A2",
    ),
    "an output in HTML": (
        "x.ipynb",
        lambda folder: notebook(
            cell_type="code", source="1", outputs=[{"data": {"text/html": f"<p>{WHY}</p>"}}]
        ),
        "07.A1",
    ),
    "metadata": (
        "x.ipynb",
        lambda folder: notebook(
            cell_type="markdown", source="1", metadata={"note": {"answer": LITERAL}}
        ),
        "07.A2",
    ),
    "an attachment": (
        "x.ipynb",
        lambda folder: notebook(
            cell_type="markdown",
            source="",
            attachments={"a": {"text/plain": base64.b64encode(LITERAL.encode()).decode()}},
        ),
        "07.A2",
    ),
    "bytecode": ("x.pyc", lambda folder: bytecode(other_names(LITERAL), folder), "07.A2"),
    "a docstring in bytecode": (
        "x.pyc",
        lambda folder: bytecode(f"def f():\n    '''{WHY}'''\n", folder),
        "07.A1",
    ),
    "a wheel": (
        "x.whl",
        lambda folder: zip_of("fmcourse/x.py", without_docstrings(SOLUTION).encode()),
        "07.A1",
    ),
    "bytecode in a wheel": (
        "x.whl",
        lambda folder: zip_of("fmcourse/x.pyc", bytecode(LITERAL, folder)),
        "07.A2",
    ),
    "a tar file": ("x.tar.gz", lambda folder: tar_of("a/b.md", LITERAL.encode()), "07.A2"),
    "a wrong answer": ("x.md", lambda folder: f"Do not write\n\n    {WRONG}".encode(), "07.A1"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_what_is_planted_is_found_and_named(name, tmp_path):
    file, make, exercise = PLANTED[name]
    data = make(tmp_path)
    (tmp_path / file).write_bytes(data)
    found = leaks(tmp_path, [WHOLE, LONG])
    assert (
        found
        and {leak.exercise for leak in found} == {exercise}
        and {leak.file for leak in found} == {file}
    )


def test_numbers_of_hidden_cases_are_found_written_and_in_bytes(tmp_path):
    exercise, tensor = next(
        (one, part)
        for one in ASSIGNED.values()
        for case in one.hidden
        for part in (case if isinstance(case, tuple) else (case,))
        if isinstance(part, torch.Tensor)
        and part.is_floating_point()
        and part.unique().numel() > 10
    )
    save_file({"x": tensor.detach().float().contiguous()}, tmp_path / "x.safetensors")
    (tmp_path / "x.json").write_text(json.dumps({"values": tensor.detach().flatten().tolist()}))
    (tmp_path / "x.txt").write_text(
        " ".join(f"{value:.5f}" for value in tensor.detach().flatten().tolist())
    )
    found = leaks(tmp_path, [exercise])
    assert {leak.file for leak in found} == {"x.safetensors", "x.json", "x.txt"}
    assert {leak.exercise for leak in found} == {exercise.id} and all(
        "hidden case" in leak.part for leak in found
    )


def body(code: str) -> str:
    """Code without what the starter says too."""
    tree = ast.parse(code)
    for part in ast.walk(tree):
        if isinstance(part, ast.FunctionDef) and ast.get_docstring(part) is not None:
            part.body = part.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def rename_variables(code: str) -> str:
    """The same code with other names for all that it names itself."""
    tree = ast.parse(body(code))
    own = {
        part.id
        for part in ast.walk(tree)
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
    }
    own |= {part.arg for part in ast.walk(tree) if isinstance(part, ast.arg)}
    own |= {part.name for part in ast.walk(tree) if isinstance(part, ast.FunctionDef)}
    other = {name: f"v{n}x" for n, name in enumerate(sorted(own))}
    for part in ast.walk(tree):
        for kind, name in ((ast.Name, "id"), (ast.arg, "arg"), (ast.FunctionDef, "name")):
            if isinstance(part, kind):
                setattr(part, name, other.get(getattr(part, name), getattr(part, name)))
    return ast.unparse(tree)


def as_lists(case) -> list:
    """A hidden case as JSON has it."""
    convert = lambda value: (
        value.tolist()
        if isinstance(value, torch.Tensor)
        else [convert(one) for one in value]
        if isinstance(value, list | tuple)
        else value
    )
    return convert(arguments(case))


OF_CODE = {
    "a module": lambda code, folder: ("x.py", f"import os\n\n{body(code)}\n".encode()),
    "other names": lambda code, folder: (
        "x.md",
        f"Well:\n\n```\n{rename_variables(code).replace(' = ', '=')}\n```\n".encode(),
    ),
    "a comment": lambda code, folder: (
        "x.py",
        "".join(f"# {line}\n" for line in body(code).splitlines()).encode(),
    ),
    "a text": lambda code, folder: ("x.py", f"A = {body(code)!r}\n".encode()),
    "an output": lambda code, folder: (
        "x.ipynb",
        notebook(
            cell_type="code",
            source="1",
            outputs=[{"output_type": "stream", "text": body(code).splitlines(keepends=True)}],
        ),
    ),
    "HTML": lambda code, folder: (
        "x.html",
        f"<pre>{html.escape(body(code)).replace(' ', '<i> </i>')}</pre>".encode(),
    ),
    "base64": lambda code, folder: ("x.txt", base64.b64encode(body(code).encode())),
    "bytecode with other names": lambda code, folder: (
        "x.pyc",
        bytecode(rename_variables(code), folder),
    ),
    "a wheel with bytecode": lambda code, folder: (
        "x.whl",
        zip_of("a/x.pyc", bytecode(rename_variables(code), folder)),
    ),
}
OF_PROSE = {
    "text": lambda text, folder: ("x.md", f"So. {text} And on.".encode()),
    "HTML": lambda text, folder: ("x.html", f"<p>{html.escape(text)}</p>".encode()),
    "JSON": lambda text, folder: ("x.json", json.dumps({"a": text}).encode()),
}


def test_every_answer_and_every_word_about_it_is_found_in_every_disguise(tmp_path):
    """All that is secret, planted one by one. A solution must be found always; of several hundred wrong answers a few are one
    line that anybody writes. Hidden cases may be as short as ("aab", "a"): of those that the search promises to find, most."""
    planted, short = {}, set(Secrets(ASSIGNED.values()).too_short())

    def plant(exercise, kind, part, disguises, secret):
        if (exercise.id, part) in short:
            return
        for name, disguise in disguises.items():
            folder = tmp_path / str(len(planted))
            folder.mkdir()
            file, data = disguise(secret, folder)
            (folder / file).write_bytes(data)
            planted[folder.name] = exercise.id, kind, name

    for exercise in ASSIGNED.values():
        plant(exercise, "right answer", "solution", OF_CODE, exercise.solution)
        for n, answer in enumerate(exercise.other_solutions, 1):
            plant(exercise, "right answer", f"other solution {n}", OF_CODE, source(answer))
        for mistake in exercise.mistakes:
            plant(
                exercise,
                "wrong answer",
                f"wrong answer {mistake.name!r}",
                OF_CODE,
                source(mistake.wrong_answer),
            )
            plant(
                exercise,
                "reason",
                f"what is said of {mistake.name!r}",
                OF_PROSE,
                mistake.explanation,
            )
        plant(exercise, "explanation", "explanation", OF_PROSE, exercise.explanation)
        for n, case in enumerate(exercise.hidden, 1):
            plant(
                exercise,
                "hidden case",
                f"hidden case {n}",
                {"JSON": lambda case, folder: ("x.json", json.dumps(as_lists(case)).encode())},
                case,
            )
    found = {}
    for leak in leaks(tmp_path, ASSIGNED.values()):
        found.setdefault(leak.file.split("/")[0], set()).add(leak.exercise)
    hits, foreign = {}, []
    for folder, (exercise, kind, name) in planted.items():
        hits.setdefault((kind, name), []).append(exercise in found.get(folder, ()))
        if kind in ("right answer", "explanation") and found.get(folder, {exercise}) != {exercise}:
            foreign.append((exercise, name, found[folder]))
    least = {
        "right answer": 1.0,
        "explanation": 1.0,
        "wrong answer": 0.97,
        "reason": 0.97,
        "hidden case": 0.85,
    }
    share = {key: sum(ones) / len(ones) for key, ones in hits.items()}
    assert {key: round(one, 3) for key, one in share.items() if one < least[key[0]]} == {}
    assert len(planted) > 3000 and len(foreign) < 0.01 * len(planted), (
        foreign
    )  # and whose it is, is told


def test_what_others_wrote_raises_no_alarm(tmp_path):
    """Code that has nothing to do with the course: of Python, of torch."""
    for module in (html, statistics, heapq, difflib, functional, optimizer, sampler):
        (tmp_path / f"{module.__name__}.py").write_text(inspect.getsource(module))
    assert leaks(tmp_path, ASSIGNED.values()) == []


def test_what_is_handed_out_raises_no_alarm(tmp_path):
    for exercise in ASSIGNED.values():
        (tmp_path / f"{exercise.id}.json").write_text(json.dumps(make_record(exercise)))
        (tmp_path / f"{exercise.id}.md").write_text(f"{exercise.text}\n\n{exercise.starter}")
    assert leaks(tmp_path, list(ASSIGNED.values())) == []
