"""Diffusion: schedules, the objective and the samplers, against diffusers and known Gaussians."""

from functools import partial

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
)
from torch import nn
from torch.testing import assert_close

from fmcourse.diffusion import (
    ClassifierFreeGuidance,
    Denoiser,
    Schedule,
    ddim,
    ddpm,
    diffusion_loss,
    euler,
    timesteps,
)
from fmcourse.training import fit


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


SCHEDULES = {"linear": Schedule.linear(), "cosine": Schedule.cosine(), "flow": Schedule.flow()}
every_schedule = pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
x, noise = torch.randn(4, 2, 5, 5, generator=seeded()), torch.randn(4, 2, 5, 5, generator=seeded(1))
MEAN, SPREAD = 0.7, 0.4


def optimal_denoiser(schedule):
    """E[x_0 | x_t] if the pixels are drawn from one Gaussian: no network can be better."""

    def denoiser(x_t, t):
        a, b = schedule.coefficients(t, x_t)
        return MEAN + a * SPREAD**2 / (a**2 * SPREAD**2 + b**2) * (x_t - a * MEAN)

    return denoiser


def noise_denoiser(schedule, predict_noise):
    """A denoiser made of a network that predicts noise."""

    def denoiser(x_t, t):
        return schedule.predict_x_0(predict_noise(x_t, t), x_t, t, "noise")

    return denoiser


def optimal_noise(schedule):
    """The noise prediction of `optimal_denoiser`."""

    def predict_noise(x_t, t):
        a, b = schedule.coefficients(t, x_t)
        return (x_t - a * optimal_denoiser(schedule)(x_t, t)) / b

    return predict_noise


# -- schedules -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "theirs"), [("linear", "linear"), ("cosine", "squaredcos_cap_v2")]
)
def test_equals_the_schedules_of_diffusers(ours, theirs):
    reference = DDPMScheduler(beta_schedule=theirs)
    schedule = SCHEDULES[ours]
    assert_close(
        schedule.signal[1:].square().float(), reference.alphas_cumprod, rtol=1e-4, atol=1e-6
    )
    t = torch.tensor([1, 17, 500, 1000])
    assert_close(
        schedule.add_noise(x, t, noise), reference.add_noise(x, noise, t - 1), rtol=0, atol=1e-5
    )
    assert_close(
        schedule.velocity(x, t, noise), reference.get_velocity(x, noise, t - 1), rtol=0, atol=1e-5
    )


def test_the_flow_schedule_equals_diffusers():
    reference = FlowMatchEulerDiscreteScheduler()
    t = torch.tensor([1000, 750, 3, 1])
    theirs = reference.scale_noise(x, reference.timesteps[1000 - t], noise)
    assert_close(Schedule.flow().add_noise(x, t, noise), theirs, rtol=0, atol=1e-5)


ZERO_TERMINAL_SNR = {
    "betas": Schedule.from_betas(torch.linspace(0.01, 1, 20)),
    "linear": Schedule.linear(20, 0.01, 1.0),
    "cosine": Schedule.cosine(20, max_beta=1.0),
}


@pytest.mark.parametrize("name", ZERO_TERMINAL_SNR)
def test_a_schedule_may_leave_no_signal_at_its_end(name):
    schedule, t = ZERO_TERMINAL_SNR[name], torch.full((4,), 20)
    assert schedule.snr[-1] < 1e-30 and schedule.snr[-2] > 0
    assert_close(schedule.add_noise(x, t, noise), noise)
    for predicts in ("image", "velocity"):
        target = schedule.target(x, t, noise, predicts)
        assert_close(schedule.predict_x_0(target, noise, t, predicts), x)
    start = torch.randn(4000, 2, generator=seeded())
    for sample in (ddpm, ddim, euler):
        drawn = sample(optimal_denoiser(schedule), start, schedule, steps=20)
        # The spread is too small by a tenth: β grows to 1 in only 20 steps.
        assert abs(drawn.mean() - MEAN) < 0.05 and abs(drawn.std() - SPREAD) < 0.15


def test_noise_is_no_prediction_where_no_signal_is_left():
    with pytest.raises(ValueError, match='t=20 this schedule leaves no signal.*"velocity"'):
        ZERO_TERMINAL_SNR["linear"].predict_x_0(noise, noise, torch.full((4,), 20), "noise")


@every_schedule
def test_a_schedule_begins_with_the_image_and_noise_only_grows(schedule):
    assert_close(schedule.add_noise(x, torch.zeros(4, dtype=torch.long), noise), x)
    assert (
        (schedule.signal.diff() < 0).all()
        and (schedule.noise.diff() > 0).all()
        and schedule.T == 1000
    )
    assert (schedule.snr.diff() < 0).all() and schedule.snr[-1] < 1e-4


@every_schedule
@pytest.mark.parametrize("predicts", ["noise", "image", "velocity"])
def test_a_true_prediction_recovers_the_image(schedule, predicts):
    t = torch.tensor([1, 40, 500, 900])
    truth = {"noise": noise, "image": x, "velocity": schedule.velocity(x, t, noise)}[predicts]
    assert_close(
        schedule.predict_x_0(truth, schedule.add_noise(x, t, noise), t, predicts),
        x,
        rtol=0,
        atol=2e-4,
    )


def test_where_no_signal_is_left_noise_does_not_determine_the_image():
    flow, end = Schedule.flow(), torch.full((4,), 1000)
    with pytest.raises(ValueError, match=r'leaves no signal.*predict "velocity"'):
        flow.predict_x_0(noise, noise, end, "noise")
    assert_close(flow.predict_x_0(flow.velocity(x, end, noise), noise, end, "velocity"), x)


def test_many_small_steps_of_noise_equal_one_large_one():
    schedule, many = Schedule.linear(50, beta_end=0.1), torch.full((20_000,), 1.5)
    ratios = (schedule.signal[1:] / schedule.signal[:-1]).tolist()
    stepwise, g = many, seeded(2)
    for keep in ratios:
        stepwise = keep * stepwise + (1 - keep**2) ** 0.5 * torch.randn(len(many), generator=g)
    at_once = schedule.add_noise(
        many, torch.full((20_000,), 50), torch.randn(len(many), generator=g)
    )
    assert (
        abs(stepwise.mean() - at_once.mean()) < 0.03 and abs(stepwise.std() - at_once.std()) < 0.03
    )
    assert abs(at_once.mean() - 1.5) > 0.5  # so the test could fail


# -- the objective ---------------------------------------------------------------------------------


class Constant(nn.Module):
    """Predicts the same for every input, and remembers its inputs."""

    def __init__(self, value=0.0):
        super().__init__()
        self.value = nn.Parameter(torch.tensor(float(value)))

    def forward(self, x_t, time, condition=None):
        self.seen = x_t, time, condition
        return self.value.expand_as(x_t)


@pytest.mark.parametrize("predicts", ["noise", "image", "velocity"])
def test_the_loss_is_the_mean_squared_error_of_the_prediction(predicts):
    model, schedule = Constant(), SCHEDULES["linear"]
    loss = diffusion_loss(model, x, seeded(3), schedule=schedule, predicts=predicts)
    x_t, time, _ = model.seen
    t = (time * 1000).round().long()
    noise = (x_t - schedule.coefficients(t, x)[0] * x) / schedule.coefficients(t, x)[1]
    wanted = {"noise": noise, "image": x, "velocity": schedule.velocity(x, t, noise)}[predicts]
    assert_close(loss.value, wanted.square().mean(), rtol=1e-3, atol=1e-4)
    assert loss.value.requires_grad and t.min() >= 1 and t.max() <= 1000


def test_every_timestep_is_drawn_and_none_beyond():
    model = Constant()
    diffusion_loss(model, torch.zeros(4000, 1), seeded(), schedule=Schedule.flow(8))
    assert set((model.seen[1] * 8).round().int().tolist()) == {1, 2, 3, 4, 5, 6, 7, 8}


def test_some_conditions_are_dropped():
    model, classes = Constant(), torch.arange(2000) % 10
    diffusion_loss(
        model,
        (torch.zeros(2000, 1), classes),
        seeded(),
        schedule=Schedule.flow(),
        condition_dropout=0.2,
        null_condition=10,
    )
    dropped, kept = model.seen[2] == 10, model.seen[2] != 10
    assert 0.15 < dropped.double().mean() < 0.25
    assert (model.seen[2][kept] == classes[kept]).all()
    diffusion_loss(model, (torch.zeros(2000, 1), classes), seeded(), schedule=Schedule.flow())
    assert (model.seen[2] == classes).all()


def test_a_condition_vector_is_dropped_as_a_whole():
    model = Constant()
    diffusion_loss(
        model,
        (torch.zeros(500, 1), torch.ones(500, 6)),
        seeded(),
        schedule=Schedule.flow(),
        condition_dropout=0.5,
        null_condition=0.0,
    )
    assert set(model.seen[2].sum(1).tolist()) == {0.0, 6.0}


@every_schedule
def test_the_optimal_denoiser_has_the_loss_of_theory(schedule):
    data, t = MEAN + SPREAD * torch.randn(50_000, 1, generator=seeded()), torch.full((50_000,), 300)
    x_t = schedule.add_noise(data, t, torch.randn(50_000, 1, generator=seeded(1)))
    left = (optimal_denoiser(schedule)(x_t, t) - data).square().mean()
    a, b = schedule.signal[300], schedule.noise[300]
    assert_close(left.double(), SPREAD**2 * b**2 / (a**2 * SPREAD**2 + b**2), rtol=0.03, atol=0)


@pytest.mark.parametrize(
    ("batch", "more", "message"),
    [
        (torch.zeros(0, 1, 4, 4), {}, r"\(0, 1, 4, 4\) is empty"),
        (x, {"predicts": "score"}, "'noise', 'image' or 'velocity'"),
    ],
)
def test_a_batch_that_cannot_be_trained_on_is_refused(batch, more, message):
    with pytest.raises(ValueError, match=message):
        diffusion_loss(Constant(), batch, schedule=Schedule.flow(), **more)


# -- samplers --------------------------------------------------------------------------------------


def test_ddpm_equals_diffusers_over_all_steps():
    reference, schedule = DDPMScheduler(clip_sample=False), SCHEDULES["linear"]
    predict_noise, theirs, g = optimal_noise(schedule), x, seeded(5)
    for t in range(999, -1, -1):  # they count timesteps from 0
        predicted = predict_noise(theirs, torch.full((4,), t + 1))
        theirs = reference.step(predicted, t, theirs, generator=g).prev_sample
    ours = ddpm(noise_denoiser(schedule, predict_noise), x, schedule, generator=seeded(5))
    assert_close(ours, theirs, rtol=0, atol=1e-3)
    other = ddpm(noise_denoiser(schedule, predict_noise), x, schedule, generator=seeded(6))
    assert (other - theirs).abs().max() > 0.1


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_ddim_equals_diffusers_in_fifty_steps(eta):
    spacing = {"set_alpha_to_one": True, "timestep_spacing": "trailing"}
    reference, schedule = DDIMScheduler(clip_sample=False, **spacing), SCHEDULES["linear"]
    reference.set_timesteps(50)
    predict_noise, theirs, g = optimal_noise(schedule), x, seeded(5)
    for t in reference.timesteps:
        predicted = predict_noise(theirs, torch.full((4,), int(t) + 1))
        theirs = reference.step(predicted, t, theirs, eta=eta, generator=g).prev_sample
    denoiser = noise_denoiser(schedule, predict_noise)
    ours = ddim(denoiser, x, schedule, 50, eta, generator=seeded(5))
    assert_close(ours, theirs, rtol=0, atol=1e-4)


@every_schedule
@pytest.mark.parametrize("steps", [7, 1000])
def test_ddpm_is_ddim_with_eta_one(schedule, steps):
    denoiser = optimal_denoiser(schedule)
    ours = ddpm(denoiser, noise, schedule, steps, generator=seeded(1))
    theirs = ddim(denoiser, noise, schedule, steps, eta=1.0, generator=seeded(1))
    assert_close(ours, theirs, rtol=0, atol=1e-3)  # rounding adds up over a thousand steps


@pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"
)  # of diffusers with NumPy 2
def test_euler_on_a_curve_equals_diffusers():
    reference, schedule = EulerDiscreteScheduler(timestep_spacing="linspace"), SCHEDULES["linear"]
    reference.set_timesteps(1000)
    level = reference.sigmas[0]  # theirs counts x in units of the signal
    theirs = reference.step(noise, reference.timesteps[0], x * (1 + level**2) ** 0.5).prev_sample
    samples = {}
    denoiser = noise_denoiser(schedule, lambda x_t, t: noise)
    euler(denoiser, x, schedule, 1000, on_step=lambda t, x_t, _: samples.setdefault(t, x_t))
    ours = samples[999] / schedule.signal[999].item()
    assert_close(ours, theirs, rtol=1e-4, atol=1e-3)  # values of about 150


def test_euler_on_the_line_equals_diffusers_flow():
    reference, schedule = FlowMatchEulerDiscreteScheduler(), Schedule.flow()
    reference.set_timesteps(sigmas=[1.0, 0.75, 0.5, 0.25])

    def network(x_t, time):
        return 0.3 * x_t + time.view(-1, 1, 1, 1)

    theirs = x
    for t in reference.timesteps:
        theirs = reference.step(network(theirs, torch.full((4,), t / 1000)), t, theirs).prev_sample
    assert_close(
        euler(Denoiser(network, schedule, "velocity"), x, schedule, 4), theirs, rtol=0, atol=1e-5
    )


@pytest.mark.slow
@every_schedule
@pytest.mark.parametrize(
    "sampler",
    [ddpm, partial(ddpm, steps=100), partial(ddim, steps=100), partial(euler, steps=100)],
    ids=["ddpm-1000", "ddpm-100", "ddim-100", "euler-100"],
)
def test_the_optimal_denoiser_samples_its_gaussian_from_noise(sampler, schedule):
    samples = sampler(optimal_denoiser(schedule), torch.randn(20_000, generator=seeded()), schedule)
    assert abs(samples.mean() - MEAN) < 0.02 and abs(samples.std() - SPREAD) < 0.035


@pytest.mark.parametrize(
    "sampler", [partial(ddpm, steps=10), partial(ddim, steps=10), partial(euler, steps=10)]
)
@every_schedule
def test_a_denoiser_that_knows_the_image_ends_at_it(sampler, schedule):
    assert_close(sampler(lambda x_t, t: x, noise, schedule), x, rtol=0, atol=1e-5)


@every_schedule
def test_euler_is_ddim_without_noise(schedule):
    denoiser = optimal_denoiser(schedule)
    assert_close(
        euler(denoiser, noise, schedule, 7), ddim(denoiser, noise, schedule, 7), rtol=0, atol=1e-5
    )


def test_the_same_seed_gives_the_same_samples_and_inputs_are_not_changed():
    schedule, before, state = Schedule.cosine(), noise.clone(), torch.random.get_rng_state()
    denoiser = optimal_denoiser(schedule)
    one, same, other = (ddpm(denoiser, noise, schedule, 20, generator=seeded(s)) for s in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert torch.equal(noise, before) and torch.equal(state, torch.random.get_rng_state())
    assert (
        torch.equal(ddim(denoiser, noise, schedule, 20), ddim(denoiser, noise, schedule, 20))
        and not one.is_inference()
    )


def test_on_step_is_called_after_every_step():
    seen = []
    samples = ddim(
        lambda x_t, t: x, noise, Schedule.flow(), 4, on_step=lambda *step: seen.append(step)
    )
    assert (
        [t for t, *_ in seen] == [750, 500, 250, 0]
        and torch.equal(seen[-1][1], samples)
        and torch.equal(seen[0][2], x)
    )


def test_guidance_extrapolates_from_unconditional_to_conditional():
    denoisers, t = (lambda x_t, t: x_t + 1, lambda x_t, t: x_t), torch.ones(4, dtype=torch.long)
    for scale in (0.0, 1.0, 3.0):
        assert_close(ClassifierFreeGuidance(*denoisers, scale)(x, t), x + scale)


def test_a_condition_reaches_the_network():
    model = Constant()
    Denoiser(model, Schedule.flow(), "velocity", torch.tensor([7]))(
        x, torch.ones(4, dtype=torch.long)
    )
    assert model.seen[2].tolist() == [7] * 4


@pytest.mark.slow
def test_a_small_network_learns_two_points():
    """Trained from scratch, then sampled: both points are found, and nothing between them."""
    schedule = Schedule.flow()

    class Net(nn.Module):
        hidden_layers = ("layers",)  # all of them on Muon

        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(
                nn.Linear(2, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 1)
            )

        def forward(self, x_t, time):
            return self.layers(torch.stack([x_t[:, 0], time], 1))

    torch.manual_seed(0)
    model, data = Net(), [torch.tensor([-1.0, 1.0]).repeat(128)[:, None]]
    fit(
        model,
        partial(diffusion_loss, schedule=schedule, predicts="velocity"),
        data,
        steps=400,
        seed=0,
        progress=False,
    )
    samples = euler(
        Denoiser(model, schedule, "velocity"),
        torch.randn(1000, 1, generator=seeded()),
        schedule,
        50,
    )
    assert ((samples.abs() - 1).abs() < 0.25).double().mean() > 0.9 and 0.4 < (
        samples > 0
    ).double().mean() < 0.6


# -- errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: Schedule.flow(0), "T=0; at least one step is needed"),
        (lambda: Schedule.linear(2.5), "T=2.5; at least one"),
        (lambda: Schedule.from_betas(torch.tensor([0.1, 1.5])), "reach from 0.1 to 1.5; each is"),
        (lambda: Schedule.from_betas(torch.tensor([0.1, -0.5])), "reach from -0.5 to 0.1"),
        (lambda: Schedule.from_betas(torch.tensor([0.1, float("nan")])), "reach from nan to nan"),
        (lambda: Schedule.from_betas(torch.tensor([0.1, 1.0, 0.2])), "β_2 of 3 is 1: .* only the"),
        (lambda: Schedule.from_betas(torch.tensor([1.0, 1.0])), "β_1 of 2 is 1"),
        (lambda: Schedule.from_betas(torch.tensor([])), "at least one number"),
        (lambda: timesteps(Schedule.flow(10), 11), "steps=11 are more than the schedule's T=10"),
        (lambda: ddim(None, x, Schedule.flow(), 0), "steps=0; at least one step"),
        (
            lambda: Schedule.flow(10).add_noise(x, torch.tensor([0, 1, 2, 11]), noise),
            "from 0 to T=10",
        ),
        (
            lambda: Schedule.flow(10).add_noise(x, torch.tensor([-1, 1, 2, 3]), noise),
            "from -1 to 3",
        ),
        (lambda: Schedule.flow(10).add_noise(x, torch.ones(4), noise), "whole numbers"),
        (lambda: Denoiser(None, Schedule.flow(), "epsilon"), "predicts='epsilon' is not known"),
    ],
)
def test_bad_arguments_are_refused_with_an_explanation(act, message):
    with pytest.raises(ValueError, match=message):
        act()
