"""Diffusion: the fixed rule, what a network learns from it, and the walk back, as diffusers has them and by their own properties."""

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
    ddim_step,
    ddpm,
    diffusion_loss,
    euler,
    timesteps,
)
from fmcourse.training import fit

seeded = lambda seed=0: torch.Generator().manual_seed(seed)
SCHEDULES = {"linear": Schedule.linear(), "cosine": Schedule.cosine(), "flow": Schedule.flow()}
every_schedule = pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
x, noise = torch.randn(4, 2, 5, 5, generator=seeded()), torch.randn(4, 2, 5, 5, generator=seeded(1))
MEAN, SPREAD = 0.7, 0.4


def optimal_denoiser(schedule):
    """The best guess there is at x_0 from x_t, if all pictures come from one Gaussian."""

    def denoiser(x_t, t):
        a, b = schedule.coefficients(t, x_t)
        return MEAN + a * SPREAD**2 / (a**2 * SPREAD**2 + b**2) * (x_t - a * MEAN)

    return denoiser


# -- the fixed rule ---------------------------------------------------------------------------------------------------------


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


def test_the_straight_schedule_equals_diffusers_flow():
    reference = FlowMatchEulerDiscreteScheduler()
    t = torch.tensor([1000, 750, 3, 1])
    theirs = reference.scale_noise(x, reference.timesteps[1000 - t], noise)
    assert_close(Schedule.flow().add_noise(x, t, noise), theirs, rtol=0, atol=1e-5)


@every_schedule
def test_it_begins_with_the_picture_and_noise_only_grows(schedule):
    assert_close(schedule.add_noise(x, torch.zeros(4, dtype=torch.long), noise), x)
    assert (
        (schedule.signal.diff() < 0).all()
        and (schedule.noise.diff() > 0).all()
        and schedule.T == 1000
    )
    assert (schedule.snr.diff() < 0).all() and schedule.snr[-1] < 1e-4


@every_schedule
@pytest.mark.parametrize("predicts", ["noise", "image", "velocity"])
def test_a_true_prediction_gives_the_picture_back(schedule, predicts):
    t = torch.tensor([1, 40, 500, 900])
    truth = {"noise": noise, "image": x, "velocity": schedule.velocity(x, t, noise)}[predicts]
    assert_close(
        schedule.predict_x_0(truth, schedule.add_noise(x, t, noise), t, predicts),
        x,
        rtol=0,
        atol=2e-4,
    )


def test_where_nothing_is_left_noise_does_not_tell_the_picture():
    flow, end = Schedule.flow(), torch.full((4,), 1000)
    with pytest.raises(ValueError, match=r'leaves no signal.*predict "velocity"'):
        flow.predict_x_0(noise, noise, end, "noise")
    assert_close(flow.predict_x_0(flow.velocity(x, end, noise), noise, end, "velocity"), x)


def test_many_small_steps_are_one_large_one():
    schedule, many = Schedule.linear(50, beta_end=0.1), torch.full((20_000,), 1.5)
    left = (schedule.signal[1:] / schedule.signal[:-1]).tolist()
    walked, g = many, seeded(2)
    for keep in left:
        walked = keep * walked + (1 - keep**2) ** 0.5 * torch.randn(len(many), generator=g)
    at_once = schedule.add_noise(
        many, torch.full((20_000,), 50), torch.randn(len(many), generator=g)
    )
    assert abs(walked.mean() - at_once.mean()) < 0.03 and abs(walked.std() - at_once.std()) < 0.03
    assert abs(at_once.mean() - 1.5) > 0.5  # so the test could fail


# -- learning ---------------------------------------------------------------------------------------------------------------


class Constant(nn.Module):
    """Says the same whatever it sees, and remembers what it was shown."""

    def __init__(self, value=0.0):
        super().__init__()
        self.value = nn.Parameter(torch.tensor(float(value)))

    def forward(self, x_t, time, condition=None):
        self.seen = x_t, time, condition
        return self.value.expand_as(x_t)


@pytest.mark.parametrize("predicts", ["noise", "image", "velocity"])
def test_the_loss_is_the_mean_square_of_what_is_asked(predicts):
    model, schedule = Constant(), SCHEDULES["linear"]
    loss = diffusion_loss(model, x, seeded(3), schedule=schedule, predicts=predicts)
    x_t, time, _ = model.seen
    t = (time * 1000).round().long()
    noise = (x_t - schedule.coefficients(t, x)[0] * x) / schedule.coefficients(t, x)[1]
    wanted = {"noise": noise, "image": x, "velocity": schedule.velocity(x, t, noise)}[predicts]
    assert_close(loss.value, wanted.square().mean(), rtol=1e-3, atol=1e-4)
    assert loss.value.requires_grad and t.min() >= 1 and t.max() <= 1000


def test_every_t_is_asked_for_and_none_beyond():
    model = Constant()
    diffusion_loss(model, torch.zeros(4000, 1), seeded(), schedule=Schedule.flow(8))
    assert set((model.seen[1] * 8).round().int().tolist()) == {1, 2, 3, 4, 5, 6, 7, 8}


def test_some_conditions_are_taken_away():
    model, kinds = Constant(), torch.arange(2000) % 10
    diffusion_loss(
        model,
        (torch.zeros(2000, 1), kinds),
        seeded(),
        schedule=Schedule.flow(),
        condition_dropout=0.2,
        null_condition=10,
    )
    gone = model.seen[2] == 10
    assert 0.15 < gone.double().mean() < 0.25 and (model.seen[2][~gone] == kinds[~gone]).all()
    diffusion_loss(model, (torch.zeros(2000, 1), kinds), seeded(), schedule=Schedule.flow())
    assert (model.seen[2] == kinds).all()


def test_a_vector_of_conditions_is_taken_away_whole():
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
def test_no_honest_network_beats_the_best_guess(schedule):
    """A line fitted at one t, for data from a known Gaussian, ends at the loss that theory gives; lower would be a leak."""
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
def test_what_cannot_be_learnt_is_refused(batch, more, message):
    with pytest.raises(ValueError, match=message):
        diffusion_loss(Constant(), batch, schedule=Schedule.flow(), **more)


# -- samplers ---------------------------------------------------------------------------------------------------------------


def test_a_ddpm_step_equals_diffusers():
    reference, schedule = DDPMScheduler(clip_sample=False), SCHEDULES["linear"]
    denoised = schedule.predict_x_0(noise, x, torch.full((4,), 700), "noise")
    ours = ddim_step(
        schedule, x, denoised, 700, 699, 1.0, torch.randn(x.shape, generator=seeded(5))
    )
    theirs = reference.step(noise, 699, x, generator=seeded(5)).prev_sample
    assert_close(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_a_ddim_step_equals_diffusers(eta):
    reference, schedule = (
        DDIMScheduler(clip_sample=False, set_alpha_to_one=True),
        SCHEDULES["linear"],
    )
    reference.set_timesteps(50)  # steps of 20
    denoised = schedule.predict_x_0(noise, x, torch.full((4,), 700), "noise")
    ours = ddim_step(
        schedule, x, denoised, 700, 680, eta, torch.randn(x.shape, generator=seeded(5))
    )
    theirs = reference.step(noise, 699, x, eta=eta, generator=seeded(5)).prev_sample
    assert_close(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"
)  # of diffusers with NumPy 2
def test_euler_on_a_curve_equals_diffusers():
    reference, schedule = EulerDiscreteScheduler(timestep_spacing="linspace"), SCHEDULES["linear"]
    reference.set_timesteps(1000)
    level = reference.sigmas[0]  # theirs counts x in units of the signal
    theirs = reference.step(noise, reference.timesteps[0], x * (1 + level**2) ** 0.5).prev_sample
    denoiser = lambda x_t, t: schedule.predict_x_0(noise, x_t, t, "noise")
    met = {}
    euler(denoiser, x, schedule, 1000, on_step=lambda t, x_t, _: met.setdefault(t, x_t.clone()))
    assert_close(
        met[999] / schedule.signal[999].item(), theirs, rtol=1e-4, atol=1e-3
    )  # numbers of about 150


def test_euler_on_the_line_equals_diffusers_flow():
    reference, schedule = FlowMatchEulerDiscreteScheduler(), Schedule.flow()
    reference.set_timesteps(sigmas=[1.0, 0.75, 0.5, 0.25])
    network = lambda x_t, time: 0.3 * x_t + time.view(-1, 1, 1, 1)
    theirs = x
    for t in reference.timesteps:
        theirs = reference.step(network(theirs, torch.full((4,), t / 1000)), t, theirs).prev_sample
    assert_close(
        euler(Denoiser(network, schedule, "velocity"), x, schedule, 4), theirs, rtol=0, atol=1e-5
    )


@every_schedule
@pytest.mark.parametrize(
    "sampler",
    [ddpm, partial(ddpm, steps=100), partial(ddim, steps=100), partial(euler, steps=100)],
    ids=["ddpm-1000", "ddpm-100", "ddim-100", "euler-100"],
)
def test_one_who_knows_the_gaussian_makes_it_from_noise(sampler, schedule):
    made = sampler(optimal_denoiser(schedule), torch.randn(20_000, generator=seeded()), schedule)
    assert abs(made.mean() - MEAN) < 0.02 and abs(made.std() - SPREAD) < 0.035


@pytest.mark.parametrize(
    "sampler", [partial(ddpm, steps=10), partial(ddim, steps=10), partial(euler, steps=10)]
)
@every_schedule
def test_one_who_knows_the_picture_finds_it(sampler, schedule):
    assert_close(sampler(lambda x_t, t: x, noise, schedule), x, rtol=0, atol=1e-5)


@every_schedule
def test_euler_is_ddim(schedule):
    denoiser = optimal_denoiser(schedule)
    assert_close(
        euler(denoiser, noise, schedule, 7), ddim(denoiser, noise, schedule, 7), rtol=0, atol=1e-5
    )


def test_the_same_seed_makes_the_same_pictures_and_the_noise_is_left_as_it_was():
    schedule, before, state = Schedule.cosine(), noise.clone(), torch.random.get_rng_state()
    denoiser = optimal_denoiser(schedule)
    one, same, other = (ddpm(denoiser, noise, schedule, 20, generator=seeded(s)) for s in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert torch.equal(noise, before) and torch.equal(state, torch.random.get_rng_state())
    assert (
        torch.equal(ddim(denoiser, noise, schedule, 20), ddim(denoiser, noise, schedule, 20))
        and not one.is_inference()
    )


def test_every_step_can_be_watched():
    seen = []
    made = ddim(
        lambda x_t, t: x, noise, Schedule.flow(), 4, on_step=lambda *step: seen.append(step)
    )
    assert (
        [t for t, *_ in seen] == [750, 500, 250, 0]
        and torch.equal(seen[-1][1], made)
        and torch.equal(seen[0][2], x)
    )


def test_guidance_goes_on_from_one_guess_through_the_other():
    with_, without = (lambda x_t, t: x_t + 1), (lambda x_t, t: x_t)
    t = torch.ones(4, dtype=torch.long)
    assert_close(ClassifierFreeGuidance(with_, without, 1.0)(x, t), with_(x, t))
    assert_close(ClassifierFreeGuidance(with_, without, 0.0)(x, t), without(x, t))
    assert_close(ClassifierFreeGuidance(with_, without, 3.0)(x, t), x + 3)


def test_a_condition_reaches_the_network():
    model = Constant()
    Denoiser(model, Schedule.flow(), "velocity", torch.tensor([7]))(
        x, torch.ones(4, dtype=torch.long)
    )
    assert model.seen[2].tolist() == [7] * 4


def test_a_small_network_learns_two_points():
    """From nothing to samples in one go: two places, both found, nothing between."""
    schedule = Schedule.flow()

    class Net(nn.Module):
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
    made = euler(
        Denoiser(model, schedule, "velocity"),
        torch.randn(1000, 1, generator=seeded()),
        schedule,
        50,
    )
    assert ((made.abs() - 1).abs() < 0.25).double().mean() > 0.9 and 0.4 < (
        made > 0
    ).double().mean() < 0.6


# -- what is refused ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: Schedule.flow(0), "T=0; at least one step is needed"),
        (lambda: Schedule.linear(2.5), "T=2.5; at least one"),
        (lambda: Schedule.from_betas(torch.tensor([0.1, 1.0])), "each between 0 and 1"),
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
def test_what_makes_no_sense_is_refused_in_words(act, message):
    with pytest.raises(ValueError, match=message):
        act()
