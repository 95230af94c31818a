"""Two processes train as one does, or say why not; a batch computed in parts is the whole batch.

python tests/test_data_parallel.py FOLDER     one of the processes: runs everything in RUNS
"""

import functools
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from torch import nn
from torch.testing import assert_close

from fmcourse import cli
from fmcourse.autoencoders import reconstruction
from fmcourse.diffusion import Schedule, diffusion_loss
from fmcourse.diffusion.masked import masked_diffusion_loss
from fmcourse.models.heads import TokenClassifier
from fmcourse.models.patches import MaskedAutoencoder, PatchEncoder
from fmcourse.models.seq2seq import EncoderDecoder, vaswani2017
from fmcourse.models.transformer import Transformer, bert, modern
from fmcourse.objectives import (
    Loss,
    answer_span,
    classification,
    contrastive,
    denoising,
    masked_patches,
    masked_token,
    next_token,
    own_rows,
    span_corruption,
    transformation_prediction,
    translation,
)
from fmcourse.training import EMA, fit

RANK = int(os.environ.get("RANK", 0))
GPT = modern(vocab_size=40, context=16, width=32, depth=2, heads=2)
BERT = bert(vocab_size=40, context=16, width=32, depth=2, heads=2)
STEPS = 4
pytestmark = pytest.mark.xdist_group("two processes")  # one worker: they are started once


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def tokens(rows, T=17, seed=0, low=1, high=39):
    return torch.randint(low, high, (rows, T), generator=torch.Generator().manual_seed(seed))


def net(seed=RANK):
    """A network with a matrix for Muon; every process draws other weights."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(6, 16), nn.GELU(), nn.Linear(16, 16), nn.GELU(), nn.Linear(16, 6)
    )


def transformer(config, seed=RANK):
    torch.manual_seed(seed)
    return Transformer(config)


def translator(dropout=0.0):
    torch.manual_seed(RANK)
    return EncoderDecoder(vaswani2017(vocab_size=40, width=32, depth=1, heads=2, dropout=dropout))


class Denoiser(nn.Module):
    """(x_t, time, class) -> a prediction; class 3 stands for "none" and is drawn now and then."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(RANK)
        self.net, self.classes = net(), nn.Embedding(4, 6)

    def forward(self, x, time, label):
        return self.net(x + time[:, None] + self.classes(label))


class TokenLabels(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(RANK)
        self.linear, self.unused = nn.Linear(6, 3), nn.Linear(2, 2)

    def forward(self, x):
        return self.linear(x)


def spans():
    return TokenClassifier(transformer(replace(BERT, token_types=1, head="none")), 2)


def masked_autoencoder():
    torch.manual_seed(RANK)
    small = replace(BERT, vocab_size=1, positions="none")
    return MaskedAutoencoder(PatchEncoder(small, 8, 6), small)


def mean_square(model, batch, generator=None):
    x, y = own_rows(generator, *batch)
    return Loss((model(x) - y).square().mean())


def with_batch_norm():
    torch.manual_seed(RANK)
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 6))


LABELS = torch.tensor([[1, 2, -100], [-100] * 3, [0, 1, 2], [-100] * 3, [2, -100, -100]])
MASKED = dict(mask_id=39, mask_rate=0.1)
SENTINELS = dict(sentinel_id=34, mean_span_length=2.0)


def noise_view(batch, generator):
    return batch + 0.1 * torch.randn(batch.shape, generator=generator)


# What is the same in one process, in two, and in parts: model, objective and batches.
SAME = {
    "next token": lambda: (transformer(GPT), next_token, [tokens(5), tokens(4, seed=1)]),
    "next token, one row": lambda: (transformer(GPT), next_token, [tokens(1)]),
    "dropout": lambda: (transformer(replace(GPT, dropout=0.3)), next_token, [tokens(5)]),
    "masked": lambda: (
        transformer(BERT),
        functools.partial(masked_token, mask_id=39, special_ids=[0]),
        [tokens(5, 12), tokens(2, 12, seed=1)],
    ),
    "masked, few": lambda: (  # a part may have nothing to predict
        transformer(BERT),
        functools.partial(masked_token, **MASKED),
        [tokens(4, 3, seed=seed) for seed in range(4)],
    ),
    "masked, one token": lambda: (  # of the whole batch at least one is selected
        transformer(BERT),
        functools.partial(masked_token, mask_id=39, mask_rate=0.001),
        [tokens(4, 3)],
    ),
    "diffusion": lambda: (
        Denoiser(),
        functools.partial(diffusion_loss, schedule=Schedule.linear(), null_condition=3),
        [(draw(5, 6), torch.arange(5) % 3)],
    ),
    "masked diffusion": lambda: (
        transformer(BERT),
        functools.partial(masked_diffusion_loss, mask_id=39),
        [tokens(5, 12)],
    ),
    "denoising": lambda: (net(), functools.partial(denoising, noise=0.5), [draw(5, 6)]),
    "span corruption": lambda: (
        translator(),
        functools.partial(span_corruption, **SENTINELS),
        [tokens(5, 12, high=34)],
    ),
    "translation": lambda: (  # rows of very different length, smoothing, dropout
        translator(dropout=0.2),
        functools.partial(translation, smoothing=0.1),
        [
            (
                tokens(5, 7),
                tokens(5, 9) * (torch.arange(9) <= torch.tensor([[8], [1], [5], [1], [3]])),
            )
        ],
    ),
    "labels": lambda: (TokenLabels(), classification, [(draw(5, 3, 6), LABELS)]),
    "transformations": lambda: (
        TokenLabels(),
        functools.partial(
            transformation_prediction, transforms=[torch.neg, torch.abs, torch.clone]
        ),
        [draw(5, 6)],
    ),
    "answer span": lambda: (  # rows without an answer are left out
        spans(),
        answer_span,
        [
            (
                tokens(5, 9),
                torch.arange(9) < torch.tensor([[9], [4], [6], [9], [5]]),
                torch.zeros(5, 9, dtype=torch.long),
                torch.tensor([1, -100, 2, 0, -100]),
                torch.tensor([3, -100, 5, 8, -100]),
            )
        ],
    ),
    "masked patches": lambda: (
        masked_autoencoder(),
        masked_patches,
        [draw(5, 8, 6)],
    ),
    "reconstruction": lambda: (net(), reconstruction, [draw(5, 6)]),
    "own objective": lambda: (net(), mean_square, [(draw(5, 6), draw(5, 6, seed=1))]),
}
WHOLE = {  # computed as a whole in each process
    "contrastive": lambda: (
        net(),
        functools.partial(contrastive, augment=noise_view),
        [draw(5, 6)],
    ),
    "batch norm": lambda: (
        with_batch_norm(),
        mean_square,
        [(draw(5, 6), draw(5, 6, seed=1))],
    ),
    "asks for no rows": lambda: (
        net(),
        lambda model, batch, generator: Loss(model(batch).square().mean().sqrt()),
        [draw(5, 6)],
    ),
}


def weights(model):
    return torch.cat([tensor.detach().flatten().double() for tensor in model.state_dict().values()])


def train(name, **options):
    """Losses, labels and weights of a short run, and what it said."""
    model, objective, data = (SAME | WHOLE)[name]()
    model.double()  # in single precision gradients that are 0 but for rounding move weights, too
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        options = {"steps": STEPS} | options
        history = fit(model, objective, data, seed=3, progress=False, **options)
    return {
        "losses": torch.tensor(history.losses, dtype=torch.float64),
        "tokens": history.tokens,
        "weights": weights(model),
        "warnings": [str(warning.message) for warning in caught],
        "gradients": [name for name, w in model.named_parameters() if w.grad is not None],
    }


def assert_same(one, other):
    assert_close(one["losses"], other["losses"], rtol=1e-8, atol=1e-8)
    assert_close(one["weights"], other["weights"], rtol=1e-5, atol=1e-6)
    assert one["tokens"] == other["tokens"] and one["gradients"] == other["gradients"]


# -- parts of a batch, in one process --------------------------------------------------------------


@pytest.mark.parametrize("name", SAME)
def test_a_batch_in_parts_gives_the_result_of_the_whole_batch(name):
    whole = train(name)
    for parts in (2, 3):
        found = train(name, accumulate=parts)
        assert_same(whole, found)
        assert not found["warnings"]


@pytest.mark.parametrize("name", WHOLE)
def test_what_has_no_parts_is_computed_as_a_whole_and_says_so(name):
    whole, found = train(name), train(name, accumulate=2)
    assert torch.equal(whole["losses"], found["losses"])
    assert torch.equal(whole["weights"], found["weights"])
    (warning,) = found["warnings"]
    assert "cannot be computed in 2 parts" in warning and not whole["warnings"]


def test_a_part_sees_its_own_rows_alone():
    seen = []

    def spy(model, batch, generator=None):
        x = own_rows(generator, batch)
        seen.append(x[:, 0].tolist())
        return Loss(model(x).square().mean())

    batch = torch.arange(5.0)[:, None].expand(5, 6)
    fit(net(), spy, [batch], steps=1, accumulate=2, progress=False)
    assert sorted(seen) == [[0, 2, 4], [1, 3]]


def test_fewer_than_one_part_is_refused():
    with pytest.raises(ValueError, match="accumulate=0; give the number of parts, at least 1"):
        fit(net(), mean_square, [], steps=1, accumulate=0)


def test_a_nan_in_one_part_ends_the_run_before_a_weight_has_moved():
    model = net().double()
    before, x = weights(model), draw(5, 6)
    x[3, 0] = torch.nan
    with pytest.raises(ArithmeticError, match="became nan at step 0"):
        fit(model, mean_square, [(x, x)], steps=3, accumulate=2, progress=False)
    assert torch.equal(weights(model), before)


# -- two processes ---------------------------------------------------------------------------------


def short_run(on_step=None, **options):
    """A run of `next_token` in every process; its history and weights."""
    model = transformer(GPT)
    options = {"steps": 6, "progress": False} | options
    history = fit(model, next_token, [tokens(4), tokens(4, seed=1)], on_step=on_step, **options)
    return {
        "losses": history.losses,
        "seconds": history.seconds,
        "interrupted": history.interrupted,
        "weights": weights(model),
    }


def error_of(**options):
    """What `fit` raises, and after how many seconds."""
    started = time.monotonic()
    options = {"model": net().double(), "objective": mean_square, "steps": 3} | options
    try:
        fit(**options, progress=False)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}", "took": time.monotonic() - started}


def in_second_process(action):
    """For `on_step`: at step 3 of the second process."""

    def on_step(step, loss):
        if RANK == 1 and step == 3:
            action()

    return on_step


def press_ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def fail():
    raise OSError("no camera")


def fails_in_second_process(model, batch, generator=None):
    if RANK == 1:
        raise ValueError("cannot read this")
    return mean_square(model, batch, generator)


def nan_in_one_row():
    x = draw(4, 6)
    x[1, 0] = torch.nan  # the second process's row
    return error_of(data=[(x, x)])


def averaged():
    """An EMA is one and the same in all processes."""
    model = net(0)
    ema = EMA(model)
    fit(model, mean_square, [(draw(4, 6).float(),) * 2], steps=3, progress=False,
        on_step=lambda *_: ema.update())  # fmt: skip
    return {"weights": weights(ema.model)}


def resumed(folder):
    """Stopped at step 3, then resumed. The second process never sees the file."""
    path = folder / f"{RANK}" / "run.safetensors"
    first = short_run(in_second_process(press_ctrl_c), checkpoint=path)
    return short_run(checkpoint=path) | {"first": first["losses"], "saved": path.exists()}


RUNS = {name: functools.partial(train, name) for name in SAME | WHOLE}
RUNS |= {f"{name}, accumulated": functools.partial(train, name, accumulate=2) for name in SAME}
RUNS |= {
    "steps": short_run,
    "seconds": lambda: short_run(steps=None, seconds=0.5),
    "ctrl-c": lambda: short_run(in_second_process(press_ctrl_c), steps=10_000),
    "nan": nan_in_one_row,
    "broken objective": lambda: error_of(
        objective=fails_in_second_process, data=[(draw(4, 6), draw(4, 6))]
    ),
    "broken callback": lambda: error_of(
        data=[(draw(4, 6), draw(4, 6))], on_step=in_second_process(fail)
    ),
    "other data": lambda: error_of(data=[(draw(4, 6, seed=RANK), draw(4, 6))]),
    "other model": lambda: error_of(
        model=nn.Linear(6, 6 + RANK).double(), data=[(draw(4, 6), draw(4, 6))]
    ),
    "ema": averaged,
    "killed": lambda: short_run(in_second_process(kill), steps=10_000),
    "resumed": resumed,
}


def launch(command, folder, timeout=300):
    """Two processes as torchrun starts them, without its search for a host name; their output."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": f"{port}", "WORLD_SIZE": "2"}
    meeting |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    meeting |= {"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}
    outputs = [(folder / f"out{rank}").open("w+") for rank in range(2)]
    running = [
        subprocess.Popen(
            [sys.executable, *map(str, command)],
            env=os.environ | meeting | {"RANK": f"{rank}", "LOCAL_RANK": f"{rank}"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        for rank, output in enumerate(outputs)
    ]
    try:
        codes = [process.wait(timeout) for process in running]
    finally:
        for process, output in zip(running, outputs, strict=True):
            process.kill()
            output.close()
    return codes, [(folder / f"out{rank}").read_text() for rank in range(2)]


def run_and_save(folder, names):
    """What a process does: each run, its result or what it raised, into a file."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    results = {}
    for name in names:
        print(f"-- {name}", flush=True)
        results[name] = RUNS[name](folder) if name == "resumed" else RUNS[name]()
    torch.save(results, folder / f"rank{RANK}")


def results_of(folder, names):
    codes, outputs = launch([__file__, folder, *names], folder)
    assert codes == [0, 0], "\n".join(outputs)
    return [torch.load(folder / f"rank{rank}") for rank in range(2)], outputs


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The results of all runs in each of the two processes, and what they printed."""
    names = [name for name in RUNS if name != "killed"]
    return results_of(tmp_path_factory.mktemp("both"), names)


def join_and_train(rank, folder):
    """A forked process: it need not import torch anew."""
    torch.set_num_threads(1)  # the pool of the parent's threads is not there
    dist.init_process_group(
        "gloo", f"file://{folder}/meeting", rank=rank, world_size=2, timeout=timedelta(seconds=60)
    )
    torch.save(train("masked"), folder / f"rank{rank}")


@pytest.mark.skipif(
    sys.platform != "linux" or torch.cuda.is_available(), reason="torch cannot be forked here"
)
def test_two_processes_give_the_losses_and_weights_of_one(tmp_path, monkeypatch):
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    fork = multiprocessing.get_context("fork")
    running = [fork.Process(target=join_and_train, args=(rank, tmp_path)) for rank in range(2)]
    for process in running:
        process.start()
    for process in running:
        process.join(60)
        process.kill()  # nothing, unless it hangs
    first, second = (torch.load(tmp_path / f"rank{rank}") for rank in range(2))
    assert_same(train("masked"), first)
    assert torch.equal(first["weights"], second["weights"])


@pytest.mark.slow
@pytest.mark.parametrize("name", [*SAME, *WHOLE, *(f"{name}, accumulated" for name in SAME)])
def test_two_processes_train_as_one_does(both, name):
    (first, second), _ = both
    assert_same(train(name.removesuffix(", accumulated")), first[name])
    assert torch.equal(first[name]["weights"], second[name]["weights"])
    assert torch.equal(first[name]["losses"], second[name]["losses"])
    assert len(first[name]["warnings"]) == (name in WHOLE) and not second[name]["warnings"]


@pytest.mark.slow
def test_steps_and_seconds_and_histories_are_those_of_the_first_process(both):
    for name in ("steps", "seconds"):
        first, second = (results[name] for results in both[0])
        assert torch.equal(first.pop("weights"), second.pop("weights"))
        assert first == second and len(first["losses"]) > 1
    assert both[0][0]["seconds"]["seconds"][-1] >= 0.5
    assert both[0][0]["steps"]["losses"] == pytest.approx(short_run()["losses"], rel=1e-4)


@pytest.mark.slow
def test_ctrl_c_in_one_process_stops_both_after_the_same_step(both):
    results, outputs = both
    for found in results:
        assert len(found["ctrl-c"]["losses"]) == 3 and found["ctrl-c"]["interrupted"]
    assert torch.equal(*(found["ctrl-c"]["weights"] for found in results))
    stopped = [output.split("-- ctrl-c")[1].split("--")[0].strip() for output in outputs]
    assert stopped == ["Stopped after step 3; the model keeps what it has learnt.", ""]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "in_first", "in_second"),
    [
        ("nan", "DivergenceError: the loss became nan at step 0", "DivergenceError: the loss bec"),
        ("broken objective", "ProcessError: another process stopped", "ValueError: cannot read"),
        ("broken callback", "ProcessError: another process stopped", "OSError: no camera"),
        ("other data", "ProcessError: the processes have different batches", "ProcessError: the"),
        ("other model", "ProcessError: the processes have different models", "ProcessError: the"),
    ],
)
def test_an_error_in_one_process_ends_both_at_once(both, name, in_first, in_second):
    for found, says in zip(both[0], (in_first, in_second), strict=True):
        assert found[name]["error"].startswith(says) and found[name]["took"] < 20


@pytest.mark.slow
def test_the_first_process_alone_saves_and_a_resumed_run_is_the_whole_run(both):
    straight = short_run()
    for found, saved in zip(both[0], (True, False), strict=True):
        assert found["resumed"]["saved"] == saved
        assert found["resumed"]["first"] == found["resumed"]["losses"][:3]
        assert found["resumed"]["losses"] == pytest.approx(straight["losses"], rel=1e-4)
    assert torch.equal(*(found["resumed"]["weights"] for found in both[0]))


@pytest.mark.slow
def test_a_process_that_is_killed_does_not_leave_the_other_waiting(tmp_path):
    codes, outputs = launch([__file__, tmp_path, "killed"], tmp_path, timeout=120)
    assert codes == [1, -signal.SIGKILL] and "ProcessError: another process is gone" in outputs[0]


@pytest.mark.slow
def test_an_ema_is_the_same_in_both(both):
    assert torch.equal(*(found["ema"]["weights"] for found in both[0]))


@pytest.mark.slow
def test_nothing_else_is_printed(both):
    for output in both[1]:
        lines = [line for line in output.splitlines() if not line.startswith("--")]
        assert [line for line in lines if not line.startswith("Stopped after step 3")] == []


# -- the command line ------------------------------------------------------------------------------

TRAIN = "-m fmcourse train --steps 4 --depth 1 --width 32 --context 16 --batch 5".split()  # noqa: SIM905


@pytest.mark.slow
def test_the_command_line_trains_one_model_in_two_processes(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("to be or not to be, that is the question\n" * 50)
    both, alone = tmp_path / "both", tmp_path / "alone"
    codes, outputs = launch([*TRAIN, "--data", text, "--out", both], tmp_path)
    assert codes == [0, 0] and "4 steps in" in outputs[0] and not outputs[1]
    subprocess.run(
        [sys.executable, *TRAIN, "--data", text, "--out", alone], check=True, capture_output=True
    )
    files = [cli.CONFIG, cli.WEIGHTS, cli.TOKENIZER]
    assert {path.name for path in both.iterdir()} == {*files}
    ours, theirs = (load_file(folder / files[1]) for folder in (both, alone))
    for name, weight in ours.items():
        assert_close(weight, theirs[name], atol=1e-3, rtol=1e-2)
    codes, outputs = launch([*TRAIN, "--data", text, "--out", both], tmp_path)
    assert codes == [1, 1] and outputs[0].count("already holds a model") == 1 and not outputs[1]


@pytest.mark.slow
def test_ctrl_c_under_torchrun_stops_the_training_and_one_process_goes_on_with_it(tmp_path):
    text, folder = tmp_path / "text.txt", tmp_path / "model"
    text.write_text("to be or not to be, that is the question\n" * 50)
    long = [word if word != "4" else "200000" for word in TRAIN]
    program = [
        "import os, signal, sys, threading, time",
        "from fmcourse import cli",
        "def press():",
        "    while signal.getsignal(signal.SIGINT) is signal.default_int_handler: time.sleep(0.1)",
        "    time.sleep(0.5)",  # now `fit` trains
        "    os.kill(os.getpid(), signal.SIGINT)",
        "signal.signal(signal.SIGINT, signal.default_int_handler)",
        "if os.environ['RANK'] == '1': threading.Thread(target=press, daemon=True).start()",
        f"sys.exit(cli.main({[*map(str, long[2:]), '--data', str(text), '--out', str(folder)]}))",
    ]
    codes, outputs = launch(["-c", "\n".join(program)], tmp_path)
    assert codes == [130, 130] and "Go on with it:" in outputs[0] and not outputs[1]
    assert "checkpoint.safetensors" in {path.name for path in folder.iterdir()}
    assert not (folder / "tokens.bin").exists()


if __name__ == "__main__":
    run_and_save(Path(sys.argv[1]), sys.argv[2:])
