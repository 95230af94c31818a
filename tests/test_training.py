"""The loop: it learns, it repeats, it survives, and it says why it stopped."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from dataclasses import replace

import pytest
import torch
from helpers import randomize
from torch import nn
from torch.testing import assert_close

from fmcourse.models.transformer import Config, Transformer, gpt2, modern
from fmcourse.objectives import Loss, next_token
from fmcourse.training import (
    EMA,
    CheckpointMismatch,
    DivergenceError,
    EpochBatches,
    RandomCrops,
    derive_seed,
    fit,
    lesson_steps,
)
from fmcourse.training import optimizers as optimizers_module
from fmcourse.training.optimizers import (
    ADAMW,
    MUON,
    Muon,
    OptimizerConfig,
    build_optimizers,
    orthogonalize,
    square_blocks,
)

SMALL = modern(vocab_size=40, context=16, width=32, depth=2, heads=2)
TEXT = torch.arange(4000) * 7 % 40


def small(seed=0, config=SMALL):
    torch.manual_seed(seed)
    return Transformer(config)


def data(seed=0):
    return RandomCrops(TEXT, length=17, batch=4, seed=seed)


def weights(model):
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


def mean_square(model, batch, generator=None):
    x, y = batch
    return Loss((model(x) - y).square().mean())


@pytest.mark.parametrize("optimizer", [MUON, ADAMW], ids=["muon", "adamw"])
def test_one_batch_can_be_learnt_by_heart(optimizer):
    batch = torch.randint(40, (4, 17), generator=torch.Generator().manual_seed(5))
    history = fit(
        small(),
        next_token,
        [batch],
        steps=200,
        optimizer=replace(optimizer, lr=4e-3),
        progress=False,
    )
    assert history.losses[0] > 3.4 and history.losses[-1] < 0.1


def test_no_honest_model_beats_log_v_on_fresh_noise():
    class Noise:
        def __getitem__(self, step):
            return torch.randint(40, (8, 17), generator=torch.Generator().manual_seed(step))

    history = fit(small(), next_token, Noise(), steps=150, progress=False)
    assert sum(history.losses[-50:]) / 50 > torch.tensor(40.0).log().item() - 0.02


def test_any_module_and_any_objective_will_do():
    x = torch.randn(64, 6, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 32), nn.GELU(), nn.Linear(32, 6))
    history = fit(net, mean_square, [(x, x.flip(1))], steps=300, seed=0, progress=False)
    assert history.losses[-1] < history.losses[0] / 20


def test_the_same_seed_repeats_bit_for_bit_and_another_does_not():
    runs = []
    for seed in (3, 3, 4):
        model = small()
        fit(model, next_token, data(seed), steps=12, seed=seed, progress=False)
        runs.append(weights(model))
    assert torch.equal(runs[0], runs[1]) and not torch.equal(runs[0], runs[2])


def test_the_callers_random_stream_is_left_alone():
    model = nn.Linear(3, 3)
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    fit(model, mean_square, [(torch.ones(2, 3), torch.ones(2, 3))], steps=2, progress=False)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.slow
def test_a_killed_run_goes_on_bit_for_bit(tmp_path):
    program = textwrap.dedent(f"""
        import sys, torch
        sys.path.insert(0, {os.path.dirname(__file__)!r})
        from test_training import *
        config = replace(SMALL, dropout=0.2)
        model = small(config=config)
        fit(model, next_token, data(), steps=60, checkpoint=sys.argv[1], save_every=0.0, progress=False,
            on_step=lambda step, loss: print(step, flush=True))
        torch.save(weights(model), sys.argv[1] + ".weights")
    """)
    path, whole = tmp_path / "killed.safetensors", tmp_path / "whole.safetensors"
    process = subprocess.Popen(
        [sys.executable, "-c", program, path], stdout=subprocess.PIPE, text=True
    )
    while int(process.stdout.readline()) < 17:
        pass
    process.kill()  # SIGKILL: nothing is tidied up
    process.wait()
    assert path.exists() and not (tmp_path / "killed.safetensors.weights").exists()
    for target in (path, whole):
        subprocess.run([sys.executable, "-c", program, target], check=True, stdout=subprocess.PIPE)
    resumed, straight = (
        torch.load(f"{target}.weights", weights_only=True) for target in (path, whole)
    )
    assert torch.equal(resumed, straight)


def test_a_resumed_history_is_the_whole_history(tmp_path):
    path, model = tmp_path / "run.safetensors", small()
    stopper = lambda step, loss: os.kill(os.getpid(), signal.SIGINT) if step == 5 else None
    first = fit(
        model, next_token, data(), steps=9, checkpoint=path, on_step=stopper, progress=False
    )
    assert first.interrupted and first.steps == 5
    second = fit(small(7), next_token, data(), steps=9, checkpoint=path, progress=False)
    straight = fit(small(), next_token, data(), steps=9, progress=False)
    assert second.losses == straight.losses and not second.interrupted
    assert second.seconds == sorted(second.seconds) and second.tokens[-1] == 9 * 4 * 16


def test_ctrl_c_keeps_what_was_learnt(capsys):
    model = small()
    before = weights(model).clone()
    history = fit(
        model,
        next_token,
        data(),
        steps=10_000,
        progress=False,
        on_step=lambda step, loss: os.kill(os.getpid(), signal.SIGINT) if step == 3 else None,
    )
    assert history.steps == 3 and not torch.equal(weights(model), before)
    assert "Stopped after step 3" in capsys.readouterr().out
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_another_runs_checkpoint_is_refused(tmp_path):
    path = tmp_path / "run.safetensors"
    fit(small(), next_token, data(), steps=3, checkpoint=path, progress=False)
    with pytest.raises(CheckpointMismatch, match="steps was 3, now 4"):
        fit(small(), next_token, data(), steps=4, checkpoint=path, progress=False)
    with pytest.raises(CheckpointMismatch, match="the model has other weights"):
        fit(
            small(config=modern(vocab_size=40, width=16, heads=2)),
            next_token,
            data(),
            steps=3,
            checkpoint=path,
            progress=False,
        )


@pytest.mark.parametrize(
    "damage",
    [lambda whole: whole[:-9], lambda whole: b"", lambda whole: b"not a checkpoint at all"],
)
def test_a_damaged_checkpoint_is_named_and_left_alone(tmp_path, damage):
    path = tmp_path / "run.safetensors"
    fit(small(), next_token, data(), steps=3, checkpoint=path, progress=False)
    path.write_bytes(left := damage(path.read_bytes()))
    with pytest.raises(
        CheckpointMismatch,
        match="run.safetensors is no whole checkpoint .* delete it to begin anew",
    ):
        fit(small(), next_token, data(), steps=3, checkpoint=path, progress=False)
    assert path.read_bytes() == left


def test_a_failed_save_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "run.safetensors"
    fit(small(), next_token, data(), steps=3, checkpoint=path, progress=False)
    before = path.read_bytes()

    def full_disk(*_):
        raise OSError("no space left")

    monkeypatch.setattr("fmcourse.training.save_file", full_disk)
    with pytest.raises(OSError, match="no space left"):
        fit(small(), next_token, data(), steps=3, checkpoint=path, progress=False)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == [
        "run.safetensors"
    ]


def test_a_loss_that_is_no_number_stops_with_an_explanation():
    def broken(model, batch, generator=None):
        loss = next_token(model, batch)
        return replace(loss, value=loss.value.log() * float("nan")) if broken.calls else loss

    broken.calls = 0
    count = lambda step, loss: setattr(broken, "calls", step >= 4)
    with pytest.raises(
        DivergenceError, match=r"became nan at step 4 .*weights were still numbers.*try a third"
    ):
        fit(small(), broken, data(), steps=10, on_step=count, progress=False)


def test_a_step_far_too_large_is_told_as_such():
    with pytest.raises(DivergenceError, match="no longer numbers"):
        fit(
            small(config=gpt2(vocab_size=40, context=16, width=32, depth=2, heads=2)),
            next_token,
            data(),
            steps=60,
            optimizer=OptimizerConfig(matrix_optimizer="adamw", lr=1e38, clip=0, warmup=0),
            progress=False,
        )


def test_seconds_choose_and_record_the_steps():
    started = time.monotonic()
    history = fit(small(), next_token, data(), seconds=0.5, progress=False)
    assert 0.4 < time.monotonic() - started < 3 and history.steps > 3 and history.seconds[-1] >= 0.5


@pytest.mark.parametrize(
    "arguments", [{}, {"steps": 3, "seconds": 1.0}, {"steps": 0}, {"seconds": -1.0}]
)
def test_how_long_must_be_said_once(arguments):
    with pytest.raises(ValueError, match="give exactly one of them, above 0"):
        fit(small(), next_token, data(), **arguments)


def test_bad_data_is_named():
    with pytest.raises(ValueError, match="data is empty"):
        fit(small(), next_token, [], steps=1, progress=False)
    with pytest.raises(ValueError, match="cannot cut batch=2 windows of length=9 from 5 tokens"):
        RandomCrops([1, 2, 3, 4, 5], length=9, batch=2)
    with pytest.raises(ValueError, match=r"shape \(2, 1\); give \(B, T \+ 1\)"):
        fit(small(), next_token, [torch.zeros(2, 1, dtype=torch.long)], steps=1, progress=False)
    frozen = small().requires_grad_(False)
    with pytest.raises(ValueError, match="every requires_grad is False"):
        fit(frozen, next_token, data(), steps=1)


def test_windows_are_pieces_of_the_text_and_a_function_of_seed_and_step():
    batch = data()[5]
    assert (
        torch.equal(batch, data()[5])
        and not torch.equal(batch, data()[6])
        and not torch.equal(batch, data(1)[5])
    )
    assert torch.equal((batch[:, 1:] - batch[:, :-1]) % 40, torch.full((4, 16), 7))
    starts = {
        int(RandomCrops(torch.arange(4), length=2, batch=1)[step][0, 0]) for step in range(60)
    }
    assert starts == {0, 1, 2}


def test_seeds_and_steps_do_not_meet():
    assert len({derive_seed(seed, step) for seed in range(40) for step in range(400)}) == 40 * 400


def test_the_schedule_warms_up_peaks_and_decays():
    optimizer = OptimizerConfig(warmup=0.1, min_lr_ratio=0.2, lr_decay="cosine")
    assert (
        optimizer.lr_scale(0) == 0
        and optimizer.lr_scale(0.1) == pytest.approx(1)
        and optimizer.lr_scale(1) == pytest.approx(0.2)
    )
    values = [optimizer.lr_scale(i / 100) for i in range(10, 101)]
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (dict(matrix_optimizer="sgd"), "'muon' or 'adamw'"),
        (dict(lr_decay="steps"), "'linear' or 'cosine'"),
        (dict(lr=0), "lr=0"),
        (dict(ns_steps=4), "ns_steps=4 is not known; choose 5 or 3"),
        (dict(warmup=1.0), "warmup=1.0"),
        (dict(clip=-1), "clip=-1"),
    ],
)
def test_an_optimizer_config_refuses_by_name(given, says):
    with pytest.raises(ValueError, match=says):
        OptimizerConfig(**given)


@pytest.mark.parametrize("ns_steps", [3, 5])
def test_muon_moves_alike_whether_pieces_go_together_or_one_by_one(ns_steps, monkeypatch):
    moved = []
    for one_by_one in (True, False):
        monkeypatch.setattr(optimizers_module, "prefers_onednn", lambda choice=one_by_one: choice)
        torch.manual_seed(0)
        weights = [
            torch.nn.Parameter(torch.randn(shape))
            for shape in ((24, 8), (8, 8), (8, 32), (6, 10), (10, 6))
        ]
        muon = Muon(weights, 0.1, ns_steps=ns_steps)
        for _ in range(3):
            for weight in weights:
                weight.grad = torch.randn_like(weight)
            muon.step()
        moved.append([weight.detach() for weight in weights])
    torch.testing.assert_close(moved[0], moved[1], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize(("ns_steps", "least", "most"), [(5, 0.3, 1.3), (3, 0.2, 2.0)])
def test_orthogonalised_matrices_stretch_no_direction_much_more_than_another(ns_steps, least, most):
    x = (
        torch.randn(3, 16, 40, generator=torch.Generator().manual_seed(0))
        * torch.logspace(-1, 1, 16)[:, None]
    )
    stretched = torch.linalg.svdvals(orthogonalize(x, ns_steps))
    assert stretched.max() < most and stretched.min() > least


def test_the_pieces_of_a_matrix_are_views_and_cover_it():
    for shape in ((6, 2), (2, 6), (3, 3), (5, 3)):
        matrix = torch.zeros(shape)
        for piece in square_blocks(matrix):
            piece += 1
        assert torch.equal(matrix, torch.ones(shape))


def test_muon_takes_the_inner_matrices_and_adamw_the_rest():
    adamw, muon = build_optimizers(small(), MUON)
    assert isinstance(muon, Muon) and len(muon.param_groups[0]["params"]) == 2 * 4
    trained = sum(w.numel() for o in (adamw, muon) for g in o.param_groups for w in g["params"])
    assert trained == sum(w.numel() for w in small().parameters())


def test_adamw_alone_is_torchs_adamw():
    ours, theirs, batch = small(), small(), data()[0]
    fit(
        ours,
        next_token,
        [batch],
        steps=4,
        optimizer=OptimizerConfig(
            matrix_optimizer="adamw", lr=1e-3, warmup=0, clip=0, min_lr_ratio=1.0
        ),
        progress=False,
    )
    optimizer = torch.optim.AdamW(
        theirs.parameters(), lr=1e-3, betas=(0.9, 0.98), eps=1e-10, weight_decay=0
    )
    for _ in range(4):
        optimizer.zero_grad()
        next_token(theirs, batch).value.backward()
        optimizer.step()
    assert_close(weights(ours), weights(theirs), atol=1e-5, rtol=1e-4)


def test_next_token_is_the_mean_negative_log_probability_of_the_text_one_ahead():
    model, batch = randomize(small()), data()[0]
    chances = model(batch[:, :-1]).log_softmax(-1)
    by_hand = -sum(chances[b, t, batch[b, t + 1]] for b in range(4) for t in range(16)) / 64
    loss = next_token(model, batch)
    assert_close(loss.value, by_hand)
    assert loss.tokens == 64 and loss.parts["nats per token"] == pytest.approx(by_hand.item())


@pytest.mark.filterwarnings(
    "ignore:Mismatch dtype between input and weight"
)  # torch's rms_norm, of its own cast
def test_half_precision_learns_as_well():
    whole, half = (
        fit(small(), next_token, data(), steps=60, precision=p, progress=False)
        for p in ("fp32", "bf16")
    )
    assert whole.losses != half.losses
    assert (
        half.losses[-1] == pytest.approx(whole.losses[-1], abs=0.15)
        and half.losses[-1] < half.losses[0] / 2
    )


def test_a_rehearsal_is_a_twentieth(monkeypatch):
    assert lesson_steps(1000) == 1000
    monkeypatch.setenv("FMCOURSE_SHORT", "1")
    assert lesson_steps(1000) == 50 and lesson_steps(5) == 2


@pytest.mark.slow
def test_two_processes_make_the_moves_of_one(tmp_path):
    program = textwrap.dedent(f"""
        import sys, torch, torch.distributed as dist
        sys.path.insert(0, {os.path.dirname(__file__)!r})
        from test_training import *
        dist.init_process_group("gloo")
        model = small()
        fit(model, next_token, data(), steps=5, progress=False)
        if dist.get_rank() == 0:
            torch.save(weights(model), {str(tmp_path / "two")!r})
        dist.destroy_process_group()
    """)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        meeting = {
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(free.getsockname()[1]),
            "WORLD_SIZE": "2",
        }
    meeting |= {"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}
    launched = [  # what torchrun does, without its search for a host name
        subprocess.Popen(
            [sys.executable, "-c", program],
            env=os.environ | meeting | {"RANK": rank, "GLOO_SOCKET_IFNAME": "lo"},
        )
        for rank in "01"
    ]
    assert [process.wait(120) for process in launched] == [0, 0]
    one = small()
    fit(one, next_token, data(), steps=5, progress=False)
    assert_close(
        torch.load(tmp_path / "two", weights_only=True), weights(one), atol=1e-5, rtol=1e-4
    )


def test_config_default_is_trained_without_a_warning(recwarn):
    fit(
        Transformer(Config()),
        next_token,
        [torch.zeros(1, 5, dtype=torch.long)],
        steps=1,
        progress=True,
    )
    assert not recwarn.list


def test_how_a_matrix_lies_in_memory_changes_nothing_that_is_learnt():
    """Loaded models keep tall matrices column by column, for speed; training must not notice."""
    rows, columns = small(), small()
    for module in columns.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            module.weight = nn.Parameter(module.weight.detach().T.contiguous().T)
    for model in (rows, columns):
        fit(model, next_token, data(), steps=5, seed=0, progress=False)
    assert_close(weights(rows), weights(columns), atol=1e-4, rtol=1e-4)
    assert not columns.embed.tokens.weight.is_contiguous()


def test_an_average_follows_slowly_and_is_never_trained():
    model = nn.Linear(2, 1)
    average = EMA(model, decay=0.9)
    first = model.weight.detach().clone()
    with torch.no_grad():
        for _ in range(3):
            model.weight += 1
            average.update()
    expected = first
    for n in range(3):  # by hand: keeps 1/10, 2/11, 3/12 of itself, since there is little past
        keep = (1 + n) / (10 + n)
        expected = keep * expected + (1 - keep) * (first + n + 1)
    torch.testing.assert_close(average.model.weight, expected)
    assert (
        not average.model.weight.requires_grad
        and not average.model.training
        and model.weight.requires_grad
    )


def test_an_average_of_many_equals_a_plain_exponential_one():
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    model, decay = nn.BatchNorm1d(3), 0.5
    ours, theirs = (
        EMA(model, decay),
        AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True),
    )
    ours.updates = 100  # past the beginning
    theirs.update_parameters(model)  # its first update copies
    for step in range(5):
        model(torch.randn(8, 3, generator=torch.Generator().manual_seed(step)) * step)
        with torch.no_grad():
            model.weight += step
        ours.update(), theirs.update_parameters(model)
    torch.testing.assert_close(ours.model.weight, theirs.module.weight)
    torch.testing.assert_close(ours.model.running_var, theirs.module.running_var)


@pytest.mark.parametrize("decay", [1.0, -0.1])
def test_an_average_that_never_moves_is_refused(decay):
    with pytest.raises(ValueError, match=f"decay={decay}; it must be at least 0 and below 1"):
        EMA(nn.Linear(1, 1), decay)


# -- epochs ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "batch"), [(1, 4), (10, 4), (16, 4), (70, 4)])
@pytest.mark.parametrize("length", [None, lambda item: item % 7])
def test_every_item_comes_once_an_epoch_in_an_order_of_its_own(n, batch, length):
    per, batches = -(-n // batch), EpochBatches(range(n), list, batch, seed=3, length=length)
    epochs = [sum((batches[epoch * per + at] for at in range(per)), []) for epoch in range(3)]
    assert all(sorted(epoch) == list(range(n)) for epoch in epochs)
    assert n < 70 or epochs[0] != epochs[1] != epochs[2]
    assert [batches[step] for step in (5, 0, 5)] == [
        EpochBatches(range(n), list, batch, seed=3, length=length)[step] for step in (5, 0, 5)
    ]
    assert n < 70 or batches[0] != EpochBatches(range(n), list, batch, seed=4, length=length)[0]


def test_items_of_like_length_come_together():
    items = torch.randint(1, 60, (256,), generator=torch.Generator().manual_seed(0)).tolist()
    filling = lambda length: sum(
        max(batch) * len(batch) - sum(batch)
        for batch in (EpochBatches(items, list, 16, length=length)[step] for step in range(16))
    )
    assert filling(lambda item: item) < filling(None) / 2


def test_no_items_are_refused():
    with pytest.raises(ValueError, match="0 items in batches of 4"):
        EpochBatches([], list, 4)
