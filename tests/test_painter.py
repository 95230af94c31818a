"""Images from text: the condition, the prior, and what the shipped diffusion model draws."""

from functools import partial

import pytest
import torch
from helpers import randomize
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from fmcourse.data import checkpoint
from fmcourse.data.images import NAMED_COLOURS, dominant_colours, normalize_pixels, recolour
from fmcourse.diffusion import ClassifierFreeGuidance, Denoiser, Schedule, ddpm, diffusion_loss
from fmcourse.models.unet import UNet
from fmcourse.multimodal import DiffusionPrior, condition_vector
from fmcourse.training import fit
from fmcourse.training.optimizers import OptimizerConfig

flow = Schedule.flow()

# -- the condition --------------------------------------------------------------------------------


def test_each_half_stands_in_its_place_and_has_spread_one():
    a, b = F.normalize(torch.randn(2, 3, 64, generator=torch.Generator().manual_seed(0)), dim=-1)
    whole = condition_vector(text=a, image=b)
    assert whole.shape == (3, 128)
    assert_close(whole.square().mean(1), torch.ones(3))
    assert torch.equal(condition_vector(text=a), torch.cat([whole[:, :64], torch.zeros(3, 64)], 1))
    assert torch.equal(condition_vector(image=b), torch.cat([torch.zeros(3, 64), whole[:, 64:]], 1))


@pytest.mark.parametrize(
    "halves", [{}, {"text": torch.ones(4)}, {"text": torch.ones(1, 4), "image": torch.ones(2, 4)}]
)
def test_halves_that_do_not_fit_are_refused(halves):
    with pytest.raises(ValueError, match="give one, or two alike"):
        condition_vector(**halves)


# -- the prior -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_prior_begins_with_nothing_and_keeps_shape_and_dtype(dtype):
    prior, x = DiffusionPrior(12, 16, 1).to(dtype), torch.randn(5, 12, dtype=dtype)
    assert not prior(x, torch.rand(5, dtype=dtype), x).any()
    out = randomize(prior)(x, torch.rand(5, dtype=dtype), x)
    assert out.shape == x.shape and out.dtype == dtype and out.isfinite().all()


def test_a_prior_depends_on_time_and_phrase_row_by_row():
    prior, x, time = randomize(DiffusionPrior(12, 16, 2)), torch.randn(4, 12), torch.rand(4)
    before = prior(x, time, x)
    phrase, later = x.clone(), time.clone()
    phrase[1] += 1
    later[2] /= 2
    after = prior(x, later, phrase)
    assert ((after != before).any(1)).tolist() == [False, True, True, False]


@pytest.mark.slow
def test_a_prior_draws_each_of_two_answers_and_not_their_mean():
    """Two images belong to each phrase; their mean, which a regression gives, to neither."""
    torch.manual_seed(0)
    ends = F.normalize(torch.randn(2, 2, 8), dim=-1) * 8**0.5  # (phrase, answer, D)
    asked = torch.eye(8)[:2] * 8**0.5

    class Batches:
        def __getitem__(self, step):
            g = torch.Generator().manual_seed(step)
            pick = torch.randint(2, (2, 128), generator=g)
            return ends[pick[0], pick[1]], asked[pick[0]]

    prior = DiffusionPrior(8, 64, 2)
    optimizer = OptimizerConfig(matrix_optimizer="adamw", lr=3e-3, lr_decay="cosine")
    fit(
        prior,
        partial(diffusion_loss, schedule=flow, predicts="image"),
        Batches(),
        steps=300,
        optimizer=optimizer,
        progress=False,
    )
    for n in range(2):
        g = torch.Generator().manual_seed(1)
        made = ddpm(
            Denoiser(prior, flow, "image", asked[n : n + 1]),
            torch.randn(200, 8, generator=g),
            flow,
            20,
            g,
        )
        gap = torch.cdist(made, ends[n])
        assert gap.min(1).values.median() < 0.3 * torch.dist(*ends[n])
        assert 0.25 < (gap.argmin(1) == 0).float().mean() < 0.75


# -- colours ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("colour", NAMED_COLOURS)
def test_the_dominant_colour_of_a_recoloured_image_is_that_colour(colour):
    pixels = torch.randint(
        30, 200, (6, 16, 16, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    pixels[:, :4] = 255
    assert dominant_colours(normalize_pixels(recolour(pixels, colour))) == [colour] * 6


def test_images_without_colours_have_no_dominant_colour():
    with pytest.raises(ValueError, match="floats"):
        dominant_colours(torch.zeros(1, 1, 8, 8))


# -- the recipe, and what it made ------------------------------------------------------------------


def test_what_is_never_shown_is_never_in_a_batch(monkeypatch):
    import painter

    names = sorted(painter.emoji_things("train"))
    marks = torch.zeros(
        len(names), 3, 9, 1, 1, 3, dtype=torch.uint8
    )  # each drawing says which it is
    for axis in range(3):
        marks[..., axis] = torch.arange(marks.shape[axis], dtype=torch.uint8).view(
            *(-1 if n == axis else 1 for n in range(3)), 1, 1
        )
    monkeypatch.setattr(
        painter, "all_drawings", lambda: (names, marks, torch.zeros(len(names), 3, 9, 4))
    )
    data = painter.ConditionedImages(
        {text: torch.ones(4) for text in painter.all_phrases()}, seed=0
    )
    seen = torch.cat([data.draw(step)[0].flatten(1) for step in range(60)])
    assert len(seen) == 60 * painter.BATCH and seen[:, 1].unique().tolist() == [0, 1, 2]
    assert not any(painter.is_held_out(names[n], painter.COLOURS[c]) for n, _, c in seen.tolist())
    shares = [painter.is_held_out(name, colour) for name in names for colour in NAMED_COLOURS]
    assert 0.07 < sum(shares) / len(shares) < 0.13
    assert not any(painter.is_held_out(name, "") for name in names)
    assert not set(names) & set(painter.emoji_things("validation", "test"))


def shipped() -> nn.Module:
    model = UNet(3, (64, 112, 144), 1, condition_width=256, conditioner=nn.Linear(768, 256))
    model.load_state_dict(
        {name: weight.float() for name, weight in checkpoint("painter").tensors.items()}
    )
    return model.eval()


@pytest.mark.slow
def test_the_painter_that_ships_draws_the_colour_that_is_asked_for_and_the_same_each_time():
    from fmcourse.pretrained import embed_sentences, load

    asked = ["blue cat", "green owl", "pink frog", "purple rose"]
    condition, model = (
        condition_vector(text=embed_sentences(*load("minilm-l6"), asked).clone()),
        shipped(),
    )
    conditional = Denoiser(model, flow, "image", condition)
    unconditional = Denoiser(model, flow, "image", torch.zeros_like(condition))

    def draw() -> torch.Tensor:
        g = torch.Generator().manual_seed(0)
        x = torch.randn(4, 3, 32, 32, generator=g)
        denoiser = ClassifierFreeGuidance(conditional, unconditional, 2)
        return ddpm(denoiser, x, flow, 10, g).clamp(-1, 1)

    made = draw()
    assert dominant_colours(made) == [text.split()[0] for text in asked]
    assert torch.equal(made, draw())
