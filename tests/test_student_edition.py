"""The students' edition holds no answer of an assigned exercise; the search finds planted ones."""

import base64
import bz2
import compileall
import gzip
import html
import io
import json
import lzma
import marshal
import re
import subprocess
import sys
import tarfile
import zipfile
from functools import cache
from pathlib import Path

import pytest

from fmcourse.classroom.exercise_kinds import make_record
from fmcourse.classroom.library import all_assigned
from tools import student
from tools.answer_texts import bare_code, literals, secret_texts
from tools.leaks import MANY, SHORTEST, runs, search, secret_runs
from tools.lessons import ROOT

ASSIGNED = {exercise.id: exercise for exercise in all_assigned()}
pytestmark = [
    pytest.mark.xdist_group("edition"),  # one worker: it is made once
    pytest.mark.skipif(not ASSIGNED, reason="this edition has no instructor's folder"),
]


@pytest.fixture(scope="module")
def edition(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("class") / "edition"
    assert student.build(out) > 200
    return out


# The edition --------------------------------------------------------------------------------------


def test_the_instructors_files_are_left_out(edition):
    assert not (edition / "instructor").exists() and (edition / "lessons").is_dir()
    readme = (edition / "README.md").read_text("utf-8")
    assert "instructor" not in readme.split("## Two commands")[1] and "## What is inside" in readme


@pytest.mark.slow
def test_nothing_secret_is_in_it(edition):
    compileall.compile_dir(edition / "fmcourse", quiet=2)
    student.build_wheel(edition)
    assert list(edition.rglob("*.pyc")) and len(list((edition / "dist").glob("*.whl"))) == 1
    report = search(edition, ASSIGNED.values())
    assert report.leaks == [] and report.files > 200 and report.inside > 100
    # Wrong answers and remarks of a few words cannot be told from what anybody writes.
    assert report.secrets > 700 and len(report.too_short) < 0.25 * report.secrets
    of_answers = [part for part in report.too_short if "solution" in part[1]]
    assert of_answers == [] and ("07.A1", "explanation") not in report.too_short


@pytest.mark.slow
def test_its_tests_can_be_collected(edition):
    tests = ["tests/test_exercises.py", "tests/test_variants.py"]
    ask = [sys.executable, "-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(ask, cwd=edition, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]


@pytest.mark.slow
def test_there_the_course_knows_no_assigned_exercise(edition):
    code = "from fmcourse.classroom.library import all_assigned; print(len(all_assigned()))"
    environment = {"PYTHONPATH": str(edition), "PATH": "/usr/bin"}
    ask = [sys.executable, "-c", code]
    done = subprocess.run(ask, cwd=edition, capture_output=True, text=True, env=environment)
    assert done.stdout.split() == ["0"], done.stderr


def test_a_folder_that_is_not_empty_stays_as_it_is(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("keep me")
    with pytest.raises(ValueError, match="is not empty"):
        student.build(tmp_path / "full")
    assert [path.name for path in tmp_path.rglob("*")] == ["full", "mine.txt"]


def test_an_edition_that_leaks_is_not_made_and_the_leak_is_named(tmp_path, capsys):
    course, solution = tmp_path / "course", ASSIGNED["07.A1"].solution
    (course / "instructor").mkdir(parents=True)
    (course / "instructor" / "key.md").write_text(solution)
    (course / "notes.md").write_text("Read this.")
    assert student.main(["--out", str(tmp_path / "clean")], course) == 0
    assert [path.name for path in (tmp_path / "clean").rglob("*")] == ["notes.md"]
    assert "no leak" in capsys.readouterr().out
    (course / "notes.md").write_text(f"Do it so:\n\n{solution}")
    assert student.main(["--out", str(tmp_path / "leaking")], course) == 1
    assert "notes.md: 07.A1, solution: " in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clean", "course"]


def test_of_an_exported_tree_what_use_makes_stays_out(tmp_path):
    made = (".venv/lib/b.py", "fmcourse/__pycache__/c.pyc", "build/d.txt", "work/e.ipynb")
    for name in ("lessons/a.py", *made):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / ".gitignore").write_text((ROOT / ".gitignore").read_text())
    assert student.files(tmp_path) == [".gitignore", "lessons/a.py"]


# Planted leaks ------------------------------------------------------------------------------------


def notebook(**cell) -> bytes:
    return json.dumps({"nbformat": 4, "metadata": {}, "cells": [cell]}).encode()


def zip_of(data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("fmcourse/x.py", data)
    return out.getvalue()


def tar_of(data: bytes, mode: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        info = tarfile.TarInfo("a/b.md")
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def bytecode_with_docstring(text: str) -> bytes:
    code = compile(f"def f():\n    {text!r}\n", "x.py", "exec")
    return b"\0" * 16 + marshal.dumps(code)


def with_comments(text: str) -> str:
    return "".join(f"{line}  # a remark of mine\n" for line in text.splitlines())


def plant_text(text: str) -> dict[str, bytes]:
    """A text in every disguise that the search promises to see through."""
    lines, plain = text.splitlines(keepends=True), text.encode()
    encoded = base64.b64encode(plain).decode()
    in_html = f"<pre>{html.escape(text).replace(' ', '<i> </i>')}</pre>"
    stream = {"output_type": "stream", "text": lines}
    page = {"data": {"text/html": [in_html]}}
    return {
        "a module": b"import os\n" + plain,
        "other case": text.upper().encode(),
        "other white space": re.sub(r"\s+", "\n\t ", text).encode(),
        "other quotation marks": text.replace('"', "'").encode(),
        "commented out": "".join(f"# {line}" for line in lines).encode(),
        "a string": f"A = {text!r}\n".encode(),
        "UTF-16": text.encode("utf-16"),
        "JSON": json.dumps({"a": {"b": text}}).encode(),
        "escaped JSON in JSON": json.dumps(json.dumps(text)).encode(),
        "HTML": in_html.encode(),
        "a notebook's source": notebook(cell_type="code", source=lines),
        "a notebook's output": notebook(cell_type="code", source="1", outputs=[stream]),
        "a notebook's HTML": notebook(cell_type="code", source="1", outputs=[page]),
        "a notebook's metadata": notebook(cell_type="markdown", metadata={"note": text}),
        "an attachment": notebook(attachments={"a": {"text/plain": encoded}}),
        "base64": b"see " + encoded.encode(),
        "base64 in lines": base64.encodebytes(plain),
        "a docstring in bytecode": bytecode_with_docstring(text),
        "a zip or wheel": zip_of(plain),
        "a tar": tar_of(plain, "w"),
        "a compressed tar": tar_of(plain, "w:gz"),
        "gzip": gzip.compress(plain),
        "bzip2": bz2.compress(plain),
        "xz": lzma.compress(plain),
        "a zip in a tar": tar_of(zip_of(plain), "w:xz"),
    }


def plant(folder: Path, planted: dict[str, bytes]) -> None:
    for name, data in planted.items():
        (folder / name).write_bytes(data)


@pytest.mark.parametrize("number", ["07.A1", "00.A1", "13.A2"])
def test_an_answer_is_found_in_every_disguise(number, tmp_path):
    exercise = ASSIGNED[number]
    planted = plant_text(bare_code(exercise.solution))
    planted["comments between"] = with_comments(exercise.solution).encode()
    planted["its own comments and docstring"] = exercise.solution.encode()
    plant(tmp_path, planted)
    leaks = search(tmp_path, ASSIGNED.values()).leaks
    found = {leak.file for leak in leaks if (leak.exercise, leak.part) == (number, "solution")}
    assert sorted(planted.keys() - found) == []


@pytest.mark.parametrize("number", ["07.A1", "00.A1", "13.A2"])
def test_an_explanation_is_found_in_every_disguise(number, tmp_path):
    planted = plant_text(ASSIGNED[number].explanation)
    plant(tmp_path, planted)
    leaks = search(tmp_path, ASSIGNED.values()).leaks
    found = {leak.file for leak in leaks if (leak.exercise, leak.part) == (number, "explanation")}
    assert sorted(planted.keys() - found) == []


def test_every_secret_that_is_long_enough_is_found_and_named(tmp_path):
    """Each in a file of its own, as it is written; the answers also among other text."""
    secrets, planted = secret_runs(tuple(ASSIGNED.values())), {}
    for n, (part, texts) in enumerate(secrets.items()):
        if texts:
            planted[f"{n}.txt"] = part
            (tmp_path / f"{n}.txt").write_text("Words before. " + texts_of(part)[0] + " And after.")
    report, found = search(tmp_path, ASSIGNED.values()), {}
    for leak in report.leaks:
        found.setdefault(leak.file, set()).add((leak.exercise, leak.part))
    assert len(planted) > 600
    assert [part for file, part in planted.items() if part not in found.get(file, ())] == []


@cache
def parts_of(number: str) -> dict[str, list[str]]:
    return dict(secret_texts(ASSIGNED[number]))


def texts_of(part: tuple[str, str]) -> list[str]:
    """The ways in which a part, (exercise, name), is written."""
    return parts_of(part[0])[part[1]]


def test_hidden_cases_are_found_with_all_digits_and_rounded(tmp_path):
    number, n, case = next(
        (exercise.id, n, case)
        for exercise in ASSIGNED.values()
        for n, case in enumerate(exercise.hidden, 1)
        if len(set(runs(literals(case)[0]))) > MANY and "0." in literals(case)[0]
    )
    whole, rounded = literals(case)
    plant(tmp_path, {"x.json": f'{{"values": {whole}}}'.encode(), "x.txt": rounded.encode()})
    leaks = search(tmp_path, [ASSIGNED[number]]).leaks
    assert {leak.file for leak in leaks if leak.part == f"hidden case {n}"} == {"x.json", "x.txt"}


def test_half_an_answer_is_found_and_a_line_of_it_is_not(tmp_path):
    """A line may be anybody's; what is promised is said in the module's docstring."""
    longest = max(ASSIGNED.values(), key=lambda exercise: len(bare_code(exercise.solution)))
    words = bare_code(longest.solution).split()
    half = " ".join(words[: 2 * len(words) // 3])
    plant(tmp_path, {"half": half.encode(), "few": b"return x"})
    assert {leak.file for leak in search(tmp_path, [longest]).leaks} == {"half"}


def test_what_cannot_be_opened_is_reported(tmp_path):
    plant(tmp_path, {"cut.zip": zip_of(b"x" * 1000)[:-40], "cut.gz": gzip.compress(b"x")[:-9]})
    leaks = search(tmp_path, [ASSIGNED["07.A1"]]).leaks
    assert [(leak.file, leak.part) for leak in leaks] == [
        ("cut.gz", "unread"),
        ("cut.zip", "unread"),
    ]


def test_archives_nested_without_end_are_reported(tmp_path):
    data = b"x"
    for _ in range(12):
        data = zip_of(data)
    plant(tmp_path, {"deep.zip": data})
    assert [leak.part for leak in search(tmp_path, [ASSIGNED["07.A1"]]).leaks] == ["unread"]


@pytest.mark.slow
def test_what_is_handed_out_raises_no_alarm(tmp_path):
    for exercise in ASSIGNED.values():
        (tmp_path / f"{exercise.id}.json").write_text(json.dumps(make_record(exercise)))
        (tmp_path / f"{exercise.id}.md").write_text(f"{exercise.text}\n\n{exercise.starter}")
    assert search(tmp_path, ASSIGNED.values()).leaks == []


def test_a_search_for_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no assigned exercises"):
        search(tmp_path, [])


def test_short_secrets_are_named(tmp_path):
    report = search(tmp_path, ASSIGNED.values())
    lengths = {
        part: max(len(set(runs(text))) for text in texts_of(part)) for part in report.too_short
    }
    assert report.too_short and all(part[0] in ASSIGNED for part in report.too_short)
    assert min(lengths.values()) < SHORTEST
