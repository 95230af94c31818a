"""The training loop and the optimizers: parity with torch, repeatability, resuming, errors."""

import math
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers import randomize
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from torch.testing import assert_close

from fmcourse.autoencoders import VAE
from fmcourse.models.dit import DiT
from fmcourse.models.heads import SequenceClassifier
from fmcourse.models.patches import MaskedAutoencoder, PatchEncoder
from fmcourse.models.recurrent import LSTMLM, LMConfig, WindowLM
from fmcourse.models.seq2seq import EncoderDecoder, vaswani2017
from fmcourse.models.transformer import Config, Transformer, bert, gpt2, llama, modern
from fmcourse.models.vision import FashionClassifier
from fmcourse.multimodal import CLIP, Captioner, DiffusionPrior, ImageEncoder, TextEncoder
from fmcourse.objectives import Loss, next_token
from fmcourse.training import (
    EMA,
    CheckpointMismatch,
    DivergenceError,
    EpochBatches,
    RandomBatches,
    RandomCrops,
    derive_seed,
    fit,
    lesson_steps,
)
from fmcourse.training import optimizers as optimizers_module
from fmcourse.training.checkpoints import load_checkpoint, save_checkpoint
from fmcourse.training.history import History
from fmcourse.training.optimizers import (
    ADAMW,
    MUON,
    NEWTON_SCHULZ,
    InverseSqrtConfig,
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


@pytest.fixture(autouse=True)
def python_handles_sigint():
    """Python's own handler: a process started with nohup ignores SIGINT from the beginning."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press_ctrl_c_at(wanted):
    """For `on_step`."""

    def on_step(step, loss):
        if step == wanted:
            os.kill(os.getpid(), signal.SIGINT)

    return on_step


# -- the loop --------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", [MUON, ADAMW], ids=["muon", "adamw"])
def test_overfits_one_batch(optimizer):
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


@pytest.mark.slow
def test_no_honest_model_beats_log_v_on_fresh_noise():
    class Noise:
        def __getitem__(self, step):
            return torch.randint(40, (8, 17), generator=torch.Generator().manual_seed(step))

    history = fit(small(), next_token, Noise(), steps=150, progress=False)
    assert sum(history.losses[-50:]) / 50 > torch.tensor(40.0).log().item() - 0.02


def test_fits_any_module_with_any_objective():
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


def test_the_global_random_state_is_left_alone():
    model = nn.Linear(3, 3)
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    fit(model, mean_square, [(torch.ones(2, 3), torch.ones(2, 3))], steps=2, progress=False)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.slow
def test_a_killed_run_resumes_bit_for_bit(tmp_path):
    program = textwrap.dedent(f"""
        import sys, torch
        sys.path.insert(0, {os.path.dirname(__file__)!r})
        from test_training import *
        config = replace(SMALL, dropout=0.2)
        model = small(config=config)
        fit(model, next_token, data(), steps=60, checkpoint=sys.argv[1], save_every=0.0,
            progress=False, on_step=lambda step, loss: print(step, flush=True))
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
    path, nine = tmp_path / "run.safetensors", dict(steps=9, progress=False)
    stop = press_ctrl_c_at(5)
    first = fit(small(), next_token, data(), checkpoint=path, on_step=stop, **nine)
    assert first.interrupted and first.steps == 5
    second = fit(small(7), next_token, data(), checkpoint=path, **nine)
    straight = fit(small(), next_token, data(), **nine)
    assert second.losses == straight.losses and not second.interrupted
    assert second.seconds == sorted(second.seconds) and second.tokens[-1] == 9 * 4 * 16


def test_a_checkpoint_of_a_compiled_model_is_its_own_and_the_other_way_round(tmp_path):
    def wrapped(seed=0):
        return torch.compile(small(seed), backend="eager")

    for n, (before, after) in enumerate([(small, wrapped), (wrapped, small)]):
        path = tmp_path / f"{n}.safetensors"
        model = before()
        run = SimpleNamespace(
            model=model,
            optimizers=[],
            history=History(),
            started=0.0,
            config=OptimizerConfig(),
            seed=0,
            steps=3,
            seconds=None,
        )
        save_checkpoint(run, path)
        run.model = after(7)
        load_checkpoint(run, path)
        for mine, theirs in zip(model.parameters(), run.model.parameters(), strict=True):
            assert torch.equal(mine, theirs)
        with safe_open(path, "pt") as file:
            assert not any("_orig_mod" in name for name in file.keys())  # noqa: SIM118


def test_ctrl_c_stops_after_the_step_and_keeps_the_weights(capsys):
    model = small()
    before = weights(model).clone()
    history = fit(
        model,
        next_token,
        data(),
        steps=10_000,
        progress=False,
        on_step=press_ctrl_c_at(3),
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

    monkeypatch.setattr("fmcourse.training.checkpoints.save_file", full_disk)
    with pytest.warns(UserWarning, match="run.safetensors could not be written .no space left"):
        fit(small(), next_token, data(), steps=3, checkpoint=path, progress=False)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == [
        "run.safetensors"
    ]


@pytest.mark.parametrize("error", [OSError(28, "No space left"), SafetensorError("os error 28")])
def test_a_full_disk_costs_no_training(tmp_path, monkeypatch, error):
    path, saves, model, same = tmp_path / "run.safetensors", [], small(), small()

    def full_disk(tensors, temporary, header):
        saves.append(len(tensors))
        if len(saves) in (2, 3, 5):  # in the midst, and the last
            raise error
        return save_file(tensors, temporary, header)

    monkeypatch.setattr("fmcourse.training.checkpoints.save_file", full_disk)
    with pytest.warns(UserWarning) as said:
        history = fit(
            model, next_token, data(), steps=4, checkpoint=path, save_every=0.0, progress=False
        )
    advice = [str(warning.message).rpartition("). ")[2] for warning in said]
    assert [text.partition(":")[0] for text in advice] == [
        "Training goes on, and the next save tries again.",
        "Training goes on, and the next save tries again.",
        "The trained model is still in memory",
    ]
    assert history.steps == 4 and len(saves) == 5 and not history.interrupted
    monkeypatch.undo()
    fit(same, next_token, data(), steps=4, progress=False)
    assert torch.equal(weights(model), weights(same))
    fit(small(7), next_token, data(), steps=4, checkpoint=path, progress=False)  # it is whole
    assert [file.name for file in tmp_path.iterdir()] == ["run.safetensors"]


def test_a_loss_of_nan_stops_with_an_explanation():
    def broken(model, batch, generator=None):
        loss = next_token(model, batch)
        return replace(loss, value=loss.value.log() * float("nan")) if broken.calls else loss

    def break_after_four_steps(step, loss):
        broken.calls = step >= 4

    broken.calls, watch = 0, break_after_four_steps
    expected = r"became nan at step 4 .*all weights were finite.*learning rate .*try a third"
    with pytest.raises(DivergenceError, match=expected):
        fit(small(), broken, data(), steps=10, on_step=watch, progress=False)


def test_a_learning_rate_far_too_large_is_explained():
    with pytest.raises(DivergenceError, match="the weights of .* were not finite"):
        fit(
            small(config=gpt2(vocab_size=40, context=16, width=32, depth=2, heads=2)),
            next_token,
            data(),
            steps=60,
            optimizer=OptimizerConfig(matrix_optimizer="adamw", lr=1e38, clip=0, warmup=0),
            progress=False,
        )


def test_a_run_of_so_many_seconds_records_its_steps():
    started = time.monotonic()
    history = fit(small(), next_token, data(), seconds=0.5, progress=False)
    assert 0.4 < time.monotonic() - started < 3 and history.steps > 3 and history.seconds[-1] >= 0.5


@pytest.mark.parametrize(
    "arguments", [{}, {"steps": 3, "seconds": 1.0}, {"steps": 0}, {"seconds": -1.0}]
)
def test_either_steps_or_seconds_must_be_given(arguments):
    with pytest.raises(ValueError, match="give exactly one of them, above 0"):
        fit(small(), next_token, data(), **arguments)


def test_bad_data_is_refused_with_an_explanation():
    with pytest.raises(ValueError, match="data is empty"):
        fit(small(), next_token, [], steps=1, progress=False)
    with pytest.raises(ValueError, match="cannot cut batch=2 crops of length=9 from 5 tokens"):
        RandomCrops([1, 2, 3, 4, 5], length=9, batch=2)
    with pytest.raises(ValueError, match=r"shape \(2, 1\); give \(B, T \+ 1\)"):
        fit(small(), next_token, [torch.zeros(2, 1, dtype=torch.long)], steps=1, progress=False)
    frozen = small().requires_grad_(False)
    with pytest.raises(ValueError, match="every requires_grad is False"):
        fit(frozen, next_token, data(), steps=1)


def test_random_crops_are_parts_of_the_text_and_a_function_of_seed_and_step():
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


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32, np.int64])
def test_crops_of_tokens_in_a_file_are_those_of_a_list(tmp_path, dtype):
    TEXT.numpy().astype(dtype).tofile(tmp_path / "tokens.bin")
    mapped = np.memmap(tmp_path / "tokens.bin", dtype, mode="r")
    batch = RandomCrops(mapped, length=17, batch=4)[5]
    assert torch.equal(batch, data()[5]) and batch.dtype == torch.int64


def test_every_pair_of_seed_and_step_has_a_stream_of_its_own():
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
def test_a_bad_optimizer_config_is_refused_by_name(given, says):
    with pytest.raises(ValueError, match=says):
        OptimizerConfig(**given)


@pytest.mark.parametrize("ns_steps", [3, 5])
def test_muon_is_the_same_batched_and_one_by_one(ns_steps, monkeypatch):
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
def test_orthogonalize_brings_singular_values_near_one(ns_steps, least, most):
    x = (
        torch.randn(3, 16, 40, generator=torch.Generator().manual_seed(0))
        * torch.logspace(-1, 1, 16)[:, None]
    )
    stretched = torch.linalg.svdvals(orthogonalize(x, ns_steps))
    assert stretched.max() < most and stretched.min() > least


def test_square_blocks_are_views_and_cover_the_matrix():
    for shape, sizes in [((6, 2), None), ((2, 6), None), ((5, 3), None), ((9, 4), [4, 2, 3])]:
        matrix = torch.zeros(shape)
        for piece in square_blocks(matrix, sizes):
            piece += 1
        assert torch.equal(matrix, torch.ones(shape))


# -- optimizers, with everything on that acts over time --------------------------------------------

STEPS, LR, MATRIX_LR, WARMUP, LOWEST = 10, 0.01, 0.02, 0.3, 0.1
BETAS, DECAY, MAX_NORM = (0.8, 0.7), 0.3, 0.5
EVERYTHING = OptimizerConfig(
    matrix_optimizer="adamw",
    lr=LR,
    matrix_lr=MATRIX_LR,
    warmup=WARMUP,
    lr_decay="cosine",
    min_lr_ratio=LOWEST,
    betas=BETAS,
    weight_decay=DECAY,
    clip=MAX_NORM,
)


class Residual(nn.Module):
    """A model with a part for each rule: ends, square hidden matrices in blocks, norms, biases."""

    def __init__(self):
        super().__init__()
        self.enter, self.leave = nn.Linear(6, 8), nn.Linear(8, 6)
        self.norm = nn.LayerNorm(8)
        self.blocks = nn.ModuleList(nn.Linear(8, 8) for _ in range(2))

    def forward(self, x):
        x = self.enter(x)
        for block in self.blocks:
            x = x + torch.tanh(block(self.norm(x)))
        return self.leave(x)


def residual():
    torch.manual_seed(0)
    return randomize(Residual(), std=0.5)


def regression_batches():
    """Every other batch is ten times as large, so that clipping changes more than a constant."""
    g = torch.Generator().manual_seed(1)
    sizes = [1.0 + 9.0 * (step % 2) for step in range(STEPS)]
    return [(s * torch.randn(16, 6, generator=g), torch.randn(16, 6, generator=g)) for s in sizes]


def schedule(step):
    """Linear warm-up, then a cosine down to a tenth, taken in the middle of each step."""
    progress = (step + 0.5) / STEPS
    if progress < WARMUP:
        return progress / WARMUP
    cosine = (1 + math.cos(math.pi * (progress - WARMUP) / (1 - WARMUP))) / 2
    return LOWEST + (1 - LOWEST) * cosine


def train_with_torch(model, optimizers):
    """The loop as torch's tutorials have it: LambdaLR, clip_grad_norm_, step."""
    schedulers = [torch.optim.lr_scheduler.LambdaLR(opt, schedule) for opt in optimizers]
    norms = []
    for batch in regression_batches():
        model.zero_grad()
        mean_square(model, batch).value.backward()
        norms.append(nn.utils.clip_grad_norm_(model.parameters(), MAX_NORM).item())
        for part in [*optimizers, *schedulers]:
            part.step()
    assert min(norms) > MAX_NORM and max(norms) > 3 * min(norms)  # so that clipping matters


def adamw_groups(weights):
    """Weight decay for matrices alone."""
    return [
        {"params": [w for w in weights if w.ndim > 1], "weight_decay": DECAY},
        {"params": [w for w in weights if w.ndim == 1], "weight_decay": 0.0},
    ]


def test_fit_with_adamw_equals_torchs_optimizer_schedule_and_clipping():
    ours, theirs = residual(), residual()
    fit(ours, mean_square, regression_batches(), steps=STEPS, optimizer=EVERYTHING, progress=False)
    groups = adamw_groups(list(theirs.parameters()))
    train_with_torch(theirs, [torch.optim.AdamW(groups, lr=LR, betas=BETAS, eps=1e-10)])
    assert_close(weights(ours), weights(theirs), atol=1e-5, rtol=1e-5)


def test_tiny_gradients_move_a_parameter_as_far_as_large_ones():
    """Embeddings of rare tokens have gradients about as small as torch's own eps, 1e-8."""
    model = nn.Embedding(2, 1)
    before = model.weight.detach().clone()
    model.weight.grad = torch.tensor([[1.0], [1e-8]])
    (adamw,) = build_optimizers(model, replace(ADAMW, weight_decay=0.0))
    adamw.step()
    moved = (before - model.weight.detach()).flatten()
    assert_close(moved[1], moved[0], rtol=0.02, atol=0)


def test_fit_with_muon_equals_torchs_optimizers_schedule_and_clipping(monkeypatch):
    # In 32 bits, so that everything else can be compared to the last digits; torch computes this
    # one function in bfloat16. The next two tests compare it.
    def newton_schulz(update, coefficients, steps, eps):
        return orthogonalize(update, steps)

    monkeypatch.setattr(torch.optim._muon, "_zeropower_via_newtonschulz", newton_schulz)
    ours, theirs = residual(), residual()
    config = replace(EVERYTHING, matrix_optimizer="muon")
    fit(ours, mean_square, regression_batches(), steps=STEPS, optimizer=config, progress=False)
    matrices = [block.weight for block in theirs.blocks]
    rest = [w for name, w in theirs.named_parameters() if not re.match(r"blocks.\d.weight", name)]
    muon = torch.optim.Muon(matrices, lr=MATRIX_LR, weight_decay=DECAY, momentum=0.95)
    adamw = torch.optim.AdamW(adamw_groups(rest), lr=LR, betas=BETAS, eps=1e-10)
    train_with_torch(theirs, [muon, adamw])
    assert_close(weights(ours), weights(theirs), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("shape", [(8, 8), (12, 8), (8, 12)], ids=["square", "tall", "wide"])
def test_muon_equals_torchs_muon(shape):
    """torch's factor is √max(1, rows / columns), ours √(long / short): they differ if wide."""
    rows, columns = shape
    factor = max(1.0, columns / rows) ** 0.5
    g = torch.Generator().manual_seed(2)
    start = torch.randn(shape, generator=g)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    lr, momentum, decay = 0.05, 0.8, 0.4
    optimizers = [
        Muon([ours], lr, momentum=momentum, weight_decay=decay),
        torch.optim.Muon(
            [theirs], lr * factor, momentum=momentum, weight_decay=decay / factor, ns_steps=5
        ),
    ]
    for _ in range(6):
        ours.grad = torch.randn(shape, generator=g)
        theirs.grad = ours.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    moved = (ours - start).abs().mean().item()
    assert moved > 0.1  # 0.02 of it is what bfloat16 costs in torch's Newton-Schulz steps
    assert_close(ours, theirs, atol=0.02, rtol=0)


@pytest.mark.parametrize("shape", [(6, 6), (16, 24), (24, 16)])
def test_orthogonalize_equals_torchs_newton_schulz(shape):
    update = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    theirs = torch.optim._muon._zeropower_via_newtonschulz(
        update, NEWTON_SCHULZ[5][0], ns_steps=5, eps=1e-7
    )
    ours = orthogonalize(update) if shape[0] <= shape[1] else orthogonalize(update.T).T
    assert_close(ours, theirs.float(), atol=0.02, rtol=0)  # theirs is in bfloat16


def test_a_tall_matrix_whose_sides_divide_is_trained_as_separate_squares():
    whole, parts = muon_pair([6, 6, 6], columns=6, row_sizes=None)
    assert torch.equal(whole, parts)


def test_queries_keys_and_values_are_separate_matrices_also_if_queries_share_keys():
    whole, parts = muon_pair([48, 16, 16], columns=48, row_sizes=[48, 16, 16])
    assert_close(whole, parts, atol=1e-5, rtol=1e-4)
    uncut, _ = muon_pair([48, 16, 16], columns=48, row_sizes=None)
    assert not torch.allclose(whole, uncut, atol=1e-3)


def muon_pair(rows, columns, row_sizes):
    """A fused weight after three steps, and the same parts trained as weights of their own."""
    g = torch.Generator().manual_seed(4)
    start = torch.randn(sum(rows), columns, generator=g)
    fused = nn.Parameter(start.clone())
    parts = [nn.Parameter(part.clone()) for part in start.split(rows)]
    optimizers = [
        Muon([fused], 0.1, row_sizes={fused: row_sizes} if row_sizes else None),
        Muon(parts, 0.1),
    ]
    for _ in range(3):
        fused.grad = torch.randn(start.shape, generator=g)
        for part, gradient in zip(parts, fused.grad.split(rows), strict=True):
            part.grad = gradient.clone()
        for optimizer in optimizers:
            optimizer.step()
    return fused.detach(), torch.cat(parts).detach()


def test_build_optimizers_cuts_the_projections_of_every_attention():
    grouped = Transformer(
        llama(vocab_size=9, context=8, width=12, depth=2, heads=3, kv_heads=1, hidden=24)
    )
    muon = build_optimizers(grouped, MUON)[-1]
    sizes = [muon.row_sizes[block.attention.qkv_proj.weight] for block in grouped.stack.blocks]
    assert sizes == [[12, 4, 4]] * 2


# -- which parameters Muon trains ------------------------------------------------------------------

SHAPE = dict(vocab_size=20, width=16, depth=1, heads=2)
BLOCK = ["attention.qkv_proj", "attention.out_proj", "mlp.up", "mlp.down"]
PLAIN = modern(width=16, depth=1, heads=2, causal=False)
IMAGES = replace(PLAIN, positions="none")
PATCHES = Config(width=16, depth=1, heads=2, causal=False)
CROSS = ["cross_attention.qkv_proj", "cross_attention.out_proj"]
TIME = ["time_conditioner.mlp.0", "time_conditioner.mlp.2"]
FAMILIES = {  # model -> the layers whose weights Muon trains; all others are AdamW's
    "causal": (lambda: Transformer(modern(**SHAPE)), {"stack.blocks.0": BLOCK}),
    "masked": (lambda: Transformer(modern(**SHAPE, causal=False)), {"stack.blocks.0": BLOCK}),
    "bert": (lambda: Transformer(bert(**SHAPE)), {"stack.blocks.0": BLOCK}),
    "encoder-decoder": (
        lambda: EncoderDecoder(vaswani2017(**SHAPE), source_vocab_size=9),
        {"encoder.blocks.0": BLOCK, "decoder.0": BLOCK + CROSS},
    ),
    "diffusion transformer": (
        lambda: DiT(IMAGES, conditioner=nn.Embedding(11, 16)),
        {"stack.blocks.0": BLOCK, "": TIME},
    ),
    "masked autoencoder": (
        lambda: MaskedAutoencoder(PatchEncoder(PATCHES, 49, 16), PATCHES),
        {
            "encoder.stack.blocks.0": BLOCK,
            "decoder.stack.blocks.0": BLOCK,
            "": ["encoder.embed", "decoder_embed", "decoder.embed", "to_patches"],
        },
    ),
    "window": (lambda: WindowLM(LMConfig(vocab_size=9)), {"": ["hidden", "direct"]}),
    "recurrent": (lambda: LSTMLM(LMConfig(vocab_size=9)), {}),
    "linear VAE": (lambda: VAE(nn.Linear(4, 8), nn.Linear(4, 4)), {"": ["encoder", "decoder"]}),
    "text classifier": (
        lambda: SequenceClassifier(Transformer(bert(**SHAPE)), 3),
        {"encoder.stack.blocks.0": BLOCK},
    ),
    "image and text encoder": (
        lambda: CLIP(ImageEncoder(8, (4, 8, 8)), TextEncoder(PLAIN, 8)),
        {"text_encoder.transformer.stack.blocks.0": BLOCK},
    ),
    "captioner": (
        lambda: Captioner(nn.Identity(), modern(**SHAPE), 8),
        {"language_model.stack.blocks.0": BLOCK},
    ),
    "prior": (
        lambda: DiffusionPrior(8, 16, 1),
        {"blocks.0": ["1", "3"], "": [*TIME, "time_conditioner.conditioner"]},
    ),
    "image classifier": (FashionClassifier, {}),
    "two layers": (lambda: nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 4)), {}),
    "four layers": (
        lambda: nn.Sequential(*(nn.Linear(i, o) for i, o in [(4, 8), (8, 8), (8, 6), (6, 4)])),
        {"": ["1", "2"]},
    ),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_muon_trains_hidden_matrices_and_adamw_all_others(family):
    make, layers = FAMILIES[family]
    model = make()
    expected = {
        f"{block}.{layer}.weight".removeprefix(".")
        for block, names in layers.items()
        for layer in names
    }
    name_of = {weight: name for name, weight in model.named_parameters()}
    groups = {
        type(optimizer).__name__: [w for g in optimizer.param_groups for w in g["params"]]
        for optimizer in build_optimizers(model, MUON)
    }
    assert {name_of[weight] for weight in groups.get("Muon", [])} == expected
    assert {name_of[weight] for weight in groups["AdamW"]} == set(name_of.values()) - expected


def test_adamw_alone_trains_everything():
    (adamw,) = build_optimizers(small(), ADAMW)
    decayed, free = (group["params"] for group in adamw.param_groups)
    assert len(decayed) + len(free) == len(list(small().parameters()))


# -- precision, rehearsals -----------------------------------------------------------------------


def test_next_token_is_the_mean_negative_log_probability_of_the_text_one_ahead():
    model, batch = randomize(small()), data()[0]
    chances = model(batch[:, :-1]).log_softmax(-1)
    by_hand = -sum(chances[b, t, batch[b, t + 1]] for b in range(4) for t in range(16)) / 64
    loss = next_token(model, batch)
    assert_close(loss.value, by_hand)
    assert loss.tokens == 64 and loss.parts["nats per token"] == pytest.approx(by_hand.item())


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore:Mismatch dtype between input and weight"
)  # torch's rms_norm, of its own cast
def test_bf16_trains_as_well():
    fp32, bf16 = (
        fit(small(), next_token, data(), steps=60, precision=precision, progress=False).losses
        for precision in ("fp32", "bf16")
    )
    assert fp32 != bf16
    assert bf16[-1] == pytest.approx(fp32[-1], abs=0.15) and bf16[-1] < bf16[0] / 2


def test_a_rehearsal_takes_a_twentieth_of_the_steps(monkeypatch):
    assert lesson_steps(1000) == 1000
    monkeypatch.setenv("FMCOURSE_SHORT", "1")
    assert lesson_steps(1000) == 50 and lesson_steps(5) == 2


def test_the_default_config_is_trained_without_a_warning(recwarn):
    fit(
        Transformer(Config()),
        next_token,
        [torch.zeros(1, 5, dtype=torch.long)],
        steps=1,
        progress=True,
    )
    assert not recwarn.list


def test_the_memory_layout_of_weights_does_not_matter():
    """Loaded models keep tall matrices column by column, for speed; training must not notice."""
    rows, columns = small(), small()
    for module in columns.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            module.weight = nn.Parameter(module.weight.detach().T.contiguous().T)
    for model in (rows, columns):
        fit(model, next_token, data(), steps=5, seed=0, progress=False)
    assert_close(weights(rows), weights(columns), atol=1e-4, rtol=1e-4)
    assert not columns.embed.tokens.weight.is_contiguous()


# -- averaged weights ------------------------------------------------------------------------------


def test_an_ema_follows_the_formula_and_is_never_trained():
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


def test_an_ema_equals_torchs_averaged_model():
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
def test_a_decay_outside_its_range_is_refused(decay):
    with pytest.raises(ValueError, match=f"decay={decay}; it must be at least 0 and below 1"):
        EMA(nn.Linear(1, 1), decay)


def test_an_ema_is_updated_after_each_step_of_fit():
    model, decay = nn.Linear(2, 2), 0.9
    ema, expected = EMA(model, decay), model.weight.detach().clone()
    visited = []

    def on_step(step, loss):
        ema.update()
        visited.append(model.weight.detach().clone())

    batches = [(torch.randn(4, 2), torch.randn(4, 2))]
    fit(model, mean_square, batches, steps=6, on_step=on_step, progress=False)
    for n, weight in enumerate(visited):
        kept = min(decay, (1 + n) / (10 + n))
        expected = kept * expected + (1 - kept) * weight
    assert_close(ema.model.weight, expected)
    assert not torch.equal(visited[0], visited[-1])


# -- batches ---------------------------------------------------------------------------------------


def test_random_batches_are_the_same_rows_of_each_tensor_and_a_function_of_seed_and_step():
    x = torch.arange(50)
    batches = RandomBatches(x[:, None], 3 * x, batch=20, seed=1)
    rows, triple = batches[4]
    assert rows.shape == (20, 1) and torch.equal(3 * rows[:, 0], triple)
    assert torch.equal(RandomBatches(x, batch=20, seed=1)[4], rows[:, 0])
    for other in (batches[5], RandomBatches(x[:, None], x, batch=20, seed=2)[4]):
        assert not torch.equal(other[0], rows)
    seen = torch.cat([batches[step][0] for step in range(40)])
    assert set(seen.flatten().tolist()) == set(range(50))


@pytest.mark.parametrize("tensors", [(), (torch.zeros(0),), (torch.zeros(2), torch.zeros(3))])
def test_tensors_that_do_not_fit_together_are_refused(tensors):
    with pytest.raises(ValueError, match="at least one tensor, all with the same number of rows"):
        RandomBatches(*tensors, batch=2)


@pytest.mark.parametrize(("n", "batch"), [(1, 4), (10, 4), (16, 4), (70, 4)])
@pytest.mark.parametrize("length", [None, lambda item: item % 7])
def test_every_item_comes_once_in_each_epoch(n, batch, length):
    per_epoch = -(-n // batch)
    batches = EpochBatches(range(n), list, batch, seed=3, length=length)
    epochs = [
        [item for number in range(per_epoch) for item in batches[epoch * per_epoch + number]]
        for epoch in range(3)
    ]
    assert all(sorted(epoch) == list(range(n)) for epoch in epochs)
    again = EpochBatches(range(n), list, batch, seed=3, length=length)
    assert [batches[step] for step in (5, 0, 5)] == [again[step] for step in (5, 0, 5)]
    if n == 70:
        assert epochs[0] != epochs[1] != epochs[2]
        assert batches[0] != EpochBatches(range(n), list, batch, seed=4, length=length)[0]


def test_an_epochs_order_is_drawn_from_seed_and_epoch():
    batches = EpochBatches(range(10), list, batch=4, seed=3)
    for epoch in range(3):
        g = torch.Generator().manual_seed(derive_seed(3, epoch))
        order = torch.randperm(10, generator=g).tolist()
        read = [batches[3 * epoch + number] for number in range(3)]
        assert read == [order[:4], order[4:8], order[8:]]


ORDER = [
    [[5, 18], [1, 12], [2, 13], [14, 15], [6, 7], [19, 9], [10, 0], [11, 3], [4, 16], [17, 8]],
    [[0, 10], [2, 14], [5, 6], [16, 19], [4, 15], [17, 7], [8, 9], [1, 12], [13, 18], [11, 3]],
]


def test_batches_of_similar_length_come_in_the_order_that_old_checkpoints_continue():
    """A run that is resumed must read what it would have read, so this order never changes."""
    batches = EpochBatches(range(20), list, batch=2, seed=3, length=lambda item: item % 10)
    epochs = [[batches[10 * epoch + number] for number in range(10)] for epoch in range(2)]
    assert epochs == ORDER


def test_only_groups_of_four_batches_are_sorted_by_length_and_any_of_them_may_come_first():
    batches = EpochBatches(range(160), list, batch=2, seed=0, length=lambda item: item)
    g = torch.Generator().manual_seed(derive_seed(0, 0))
    order, rotations = torch.randperm(160, generator=g).tolist(), []
    for group in range(20):
        read = [batches[4 * group + number] for number in range(4)]
        assert sorted(sum(read, [])) == sorted(order[8 * group : 8 * group + 8])
        start = read.index(min(read))  # the shortest items of the group
        rotated = read[start:] + read[:start]
        assert sum(rotated, []) == sorted(sum(read, []))
        rotations.append(start)
    assert set(rotations) == {0, 1, 2, 3}


def test_items_of_similar_length_share_batches():
    items = torch.randint(1, 60, (256,), generator=torch.Generator().manual_seed(0)).tolist()

    def padding(length):
        batches = EpochBatches(items, list, 16, length=length)
        read = [batches[step] for step in range(16)]
        return sum(max(batch) * len(batch) - sum(batch) for batch in read)

    assert padding(lambda item: item) < padding(None) / 2


def test_no_items_are_refused():
    with pytest.raises(ValueError, match="0 items in batches of 4"):
        EpochBatches([], list, 4)


def test_a_schedule_that_decays_from_its_peak_refuses_to_have_no_warm_up():
    with pytest.raises(ValueError, match="warmup=0 leaves this schedule no peak"):
        InverseSqrtConfig(warmup=0.0)
