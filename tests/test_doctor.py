"""The doctor: what it finds, what it advises, and that its estimate is of lesson 06's training."""

import ast
import dataclasses
import sys

import pytest
import torch

from fmcourse import data, doctor
from fmcourse.doctor import Machine, Memory, Speed
from tools.lessons import all_lessons

WELL = Machine(
    python="3.11.7",
    system="Linux",
    versions={"torch": "2.13.0", "numpy": "2.4.6", "jupyterlab": "4.6.6"},
    cores=4,
    physical=4,
    threads=1,
    memory=Memory(16.0, 12.0),
    disk_free=40.0,
    models={"smollm2-135m-instruct": True, "minilm-l6": True},
    data_files=4,
    data_problems=(),
    cache=True,
    speed=Speed({1: 50.0, 4: 60.0}, 0.05),
)


def machine_with(**changes) -> Machine:
    return dataclasses.replace(WELL, **changes)


def test_this_machine_has_no_faults_and_everything_has_a_line():
    machine = doctor.examine(speed=False)
    assert machine.versions["torch"] == torch.__version__ and machine.cores > 0
    assert machine.memory.total > machine.memory.free > 0
    assert doctor.faults(machine) == [] and machine.data_files == len(data.verify())
    assert len(doctor.report(machine)) == len(doctor.report(WELL)) == 10


@pytest.mark.slow
def test_speed_is_measured_on_one_thread_and_on_all_and_leaves_threads_and_randomness_alone():
    before, state = torch.get_num_threads(), torch.get_rng_state()
    torch.set_num_threads(3)  # neither one nor all
    try:
        speed = doctor.measure_speed(seconds=0.3)
        assert torch.get_num_threads() == 3 and torch.equal(torch.get_rng_state(), state)
    finally:
        torch.set_num_threads(before)
    assert set(speed.gflops) == {1, max(1, int(doctor.usable_cores()))}
    assert min(speed.gflops.values()) > 0.1 and 0.001 < speed.step_seconds < 10
    assert speed.lesson_seconds == doctor.STEPS * speed.step_seconds


@pytest.mark.parametrize(
    ("durations", "seconds", "best", "runs"),
    [
        ([5.0, 2.0, 3.0, 9.0], 10.0, 2.0, 3),  # the third run ends when the time is up
        ([5.0, 9.0], 0.0, 5.0, 1),  # no time at all is still one run
    ],
)
def test_the_best_time_is_the_shortest_of_several(durations, seconds, best, runs):
    now, remaining = [100.0], list(durations)

    def work():
        now[0] += remaining.pop(0)

    assert doctor.best_time(work, seconds, clock=lambda: now[0]) == best
    assert len(durations) - len(remaining) == runs


def calls_in(source: str, name: str) -> list[ast.Call]:
    return [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == name
    ]


def numbers(call: ast.Call) -> dict[str, int]:
    return {
        word.arg: word.value.value for word in call.keywords if isinstance(word.value, ast.Constant)
    }


def test_the_estimate_is_of_the_training_in_lesson_06():
    lesson = [lesson for lesson in all_lessons() if lesson.number == "06"]
    if not lesson:
        pytest.skip("there is no lesson 06 here")
    source = lesson[0].source.read_text(encoding="utf-8")
    shapes = [numbers(call) for call in calls_in(source, "modern")]
    shape = {name: size for name, size in doctor.GPT_SHAPE.items() if name != "vocab_size"}
    assert shape in shapes
    assert doctor.STEPS in [call.args[0].value for call in calls_in(source, "lesson_steps")]
    crops = {"length": doctor.GPT_SHAPE["context"] + 1, "batch": doctor.BATCH}
    assert any(crops.items() <= numbers(call).items() for call in calls_in(source, "RandomCrops"))


@pytest.mark.parametrize(
    ("limit", "cores"),
    [("max 100000", None), ("50000 100000", 0.5), ("99900000 100000", None), (None, None)],
)
def test_a_container_has_the_cores_that_it_is_given(tmp_path, limit, cores):
    if limit:
        (tmp_path / "cpu.max").write_text(limit + "\n")
    without_limit = doctor.usable_cores(tmp_path / "nowhere")
    assert doctor.usable_cores(tmp_path) == (without_limit if cores is None else cores)


def test_a_container_has_the_memory_that_it_is_given(tmp_path):
    (tmp_path / "memory.max").write_text("3000000\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    assert doctor.memory(tmp_path) == Memory(0.003, 0.002)
    (tmp_path / "memory.max").write_text("max\n")
    assert doctor.memory(tmp_path).total > 0.1


def test_without_psutil_it_asks_the_system(monkeypatch):
    monkeypatch.setitem(sys.modules, "psutil", None)
    assert doctor.physical_cores() is None
    total, free = doctor.machine_memory()
    assert total is None or total >= free > 0


def test_what_the_system_does_not_say_is_reported_as_unknown():
    nothing = {"memory": Memory(None, None), "physical": None, "threads": None, "speed": None}
    lines = "\n".join(doctor.report(machine_with(**nothing)))
    assert "an unknown amount" in lines and "an unknown number" in lines and "not measured" in lines
    assert doctor.advice(machine_with(memory=Memory(None, None))) == []


def test_the_report_says_what_the_speed_means():
    lines = doctor.report(WELL)
    assert "billions of operations a second: 50 on 1 thread, 60 on 4 threads" in lines[-2]
    assert "about 35 s here (700 steps of 50 ms)" in lines[-1]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"models": {"smollm2-135m-instruct": False, "minilm-l6": True}},
            "smollm2-135m-instruct can be added: `python -m fmcourse models",
        ),
        ({"memory": Memory(8.0, 1.0)}, "close what you do not need"),
        ({"disk_free": 0.1}, "make room"),
        ({"cache": False}, "FMCOURSE_CACHE"),
        ({"damaged_cache": ("smol.safetensors",)}, "smol.safetensors is damaged: delete it"),
        (
            {"speed": Speed({1: 50.0, 4: 150.0}, 0.05)},
            "4 threads multiply large matrices 3.0 times as fast",
        ),
    ],
)
def test_what_would_be_better_is_advised_and_is_no_fault(changes, said):
    machine = machine_with(**changes)
    (sentence,) = doctor.advice(machine)
    assert said in sentence and doctor.faults(machine) == [] and doctor.advice(WELL) == []


def test_what_must_be_repaired_is_a_fault_and_the_exit_code_says_so(monkeypatch, capsys):
    ill = machine_with(
        versions={**WELL.versions, "torch": None},
        data_problems=("data/bible.jsonl.gz is truncated.",),
    )
    assert len(doctor.faults(ill)) == 2 and "torch is missing" in doctor.faults(ill)[0]
    monkeypatch.setattr(doctor, "examine", lambda: ill)
    assert doctor.main() == 1
    said = capsys.readouterr().out
    assert "✗ data/bible.jsonl.gz is truncated." in said and "works here" not in said
    monkeypatch.setattr(doctor, "examine", lambda: WELL)
    assert doctor.main() == 0 and "✓ The course works here." in capsys.readouterr().out


def test_damaged_data_are_found(monkeypatch, tmp_path):
    monkeypatch.setenv("FMCOURSE_DATA", str(tmp_path))
    files, problems = doctor.check_data()
    assert files == 0 and "manifest.toml is missing" in problems[0]


def test_a_damaged_file_in_the_cache_is_found(monkeypatch, tmp_path):
    monkeypatch.setenv("FMCOURSE_CACHE", str(tmp_path))
    assert doctor.examine(speed=False).damaged_cache == ()
    damaged = tmp_path / "smol-fp32.safetensors"
    damaged.write_bytes(b"cut")
    (tmp_path / "notes.txt").write_bytes(b"not ours")
    machine = doctor.examine(speed=False)
    assert machine.damaged_cache == (str(damaged),)
    assert "can be written, 1 damaged file" in "\n".join(doctor.report(machine))


def test_a_machine_without_torch_is_examined_too(monkeypatch):
    monkeypatch.setattr(doctor, "version_of", lambda package: None)
    machine = doctor.examine()
    assert machine.speed is None and machine.threads is None
    assert "torch is missing" in doctor.faults(machine)[0]
