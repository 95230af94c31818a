"""CLIP's encoders, their loss and ranks; captions whose prefix is an image."""

import math

import pytest
import torch
from helpers import randomize
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close
from transformers.models.clip.modeling_clip import image_text_contrastive_loss
from transformers.models.resnet.modeling_resnet import ResNetBasicLayer

from fmcourse.generation import generate_captions
from fmcourse.models.transformer import gpt2, modern
from fmcourse.multimodal import (
    CLIP,
    BasicBlock,
    Captioner,
    ImageEncoder,
    TextEncoder,
    captioning,
    image_text_contrastive,
    ranks,
)
from fmcourse.objectives import Loss
from fmcourse.training import fit
from fmcourse.training.optimizers import OptimizerConfig

READS = modern(vocab_size=30, context=6, width=16, depth=2, heads=2, causal=False)
WRITES = modern(vocab_size=9, context=10, width=16, depth=2, heads=2)
WORDS = ("", "a", "b", "c", "d", "e", "f", "g", "h")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=seeded(seed))


def small_encoder(width: int = 12) -> ImageEncoder:
    return randomize(ImageEncoder(width, (4, 6)))


def with_running_statistics(module: nn.Module) -> nn.Module:
    """Norms that have seen something: their running means and spreads are not 0 and 1."""
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.copy_(noise(len(norm.running_mean), seed=3))
            norm.running_var.copy_(noise(len(norm.running_var), seed=4).abs() + 0.5)
    return module


# -- the image's encoder ---------------------------------------------------------------------------


@pytest.mark.parametrize(("channels", "out"), [(5, 5), (5, 7)])
@pytest.mark.parametrize("training", [False, True])
def test_a_step_equals_the_residual_layer_of_transformers(channels, out, training):
    ours, theirs = (
        with_running_statistics(randomize(BasicBlock(channels, out))),
        ResNetBasicLayer(channels, out, 1 if channels == out else 2),
    )
    theirs.load_state_dict(
        dict(zip(theirs.state_dict(), in_their_order(ours, theirs), strict=True))
    )
    ours.train(training)
    theirs.train(training)
    x = noise(3, channels, 8, 10)
    assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-5)


def in_their_order(ours: BasicBlock, theirs: nn.Module) -> list[torch.Tensor]:
    """Our weights in the order of theirs, which begin with the shortcut."""
    path, skip = ours.path.state_dict(), ours.skip.state_dict()
    return (
        [*skip.values(), *path.values()]
        if next(iter(theirs.state_dict())).startswith("shortcut")
        else [*path.values(), *skip.values()]
    )


@pytest.mark.parametrize("side", [(2, 2), (6, 10), (32, 32), (34, 18)])
def test_encoders_give_unit_vectors_for_any_even_side(side):
    images, phrases = CLIP(small_encoder(), nn.Linear(5, 12))(noise(3, 3, *side), noise(3, 5))
    assert images.shape == phrases.shape == (3, 12)
    assert_close(images.norm(dim=-1), torch.ones(3))
    assert_close(phrases.norm(dim=-1), torch.ones(3))


def test_encoders_work_in_double_precision():
    images, phrases = CLIP(small_encoder(), nn.Linear(5, 12)).double()(
        noise(2, 3, 8, 8).double(), noise(2, 5).double()
    )
    assert images.dtype == phrases.dtype == torch.float64


def test_places_are_in_reading_order_and_their_mean_is_the_image():
    encoder, x = small_encoder(), noise(1, 3, 128, 128)
    seen = encoder.spatial_features(x)
    assert seen.shape == (1, 1024, 6)
    assert_close(encoder.projection(seen.mean(1)), encoder(x))
    changed = x.clone()
    changed[:, :, :4, -4:] += 5  # in the upper right corner
    down, across = (
        (encoder.spatial_features(changed) - seen).abs().amax((0, 2)).view(32, 32).nonzero().T
    )
    assert down.min() == 0 and across.max() == 31 and down.max() < 16 <= across.min()


def test_one_image_does_not_change_the_vector_of_another():
    encoder, x = small_encoder(), noise(3, 3, 8, 8)
    assert_close(encoder(x)[:1], encoder(x[:1]))


@pytest.mark.parametrize(
    "x",
    [
        torch.zeros(2, 1, 8, 8),
        torch.zeros(3, 8, 8),
        torch.zeros(2, 3, 8, 8, dtype=torch.uint8),
        torch.zeros(2, 3, 7, 8),
    ],
)
def test_other_images_are_refused(x):
    with pytest.raises(
        ValueError,
        match=r"coloured ones \(B, 3, S, S\) from -1 to 1, S even, are needed: `normalize_pixels",
    ):
        small_encoder()(x)


# -- the phrase's encoder --------------------------------------------------------------------------


def test_padding_changes_nothing_and_order_does():
    encoder = randomize(TextEncoder(READS, 12))
    short = torch.tensor([[3, 7, 5]])
    assert_close(encoder(F.pad(short, (0, 3))), encoder(short))
    assert (encoder(short.flip(1)) - encoder(short)).abs().max() > 1e-3
    together = encoder(torch.tensor([[3, 7, 5, 0], [1, 2, 4, 9]]))
    assert_close(together[:1], encoder(short))


def test_every_token_of_a_phrase_is_read():
    encoder, ids = randomize(TextEncoder(READS, 12)), torch.tensor([[3, 7, 5, 2]])
    for at in range(4):
        other = ids.clone()
        other[0, at] = 11
        assert (encoder(other) - encoder(ids)).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (torch.tensor([[3, 4], [0, 0]]), "row 1 of the phrases has no token"),
        (torch.ones(1, 7, dtype=torch.long), "7 positions are more than context=6"),
        (torch.tensor([[3, 30]]), "this model knows tokens 0 to 29"),
        (torch.ones(3, dtype=torch.long), r"give whole numbers \(B, T\)"),
    ],
)
def test_what_the_phrase_encoder_cannot_read(ids, message):
    with pytest.raises(ValueError, match=message):
        TextEncoder(READS, 12)(ids)


def test_a_phrase_encoder_that_looks_back_alone_is_refused():
    with pytest.raises(ValueError, match="causal=False"):
        TextEncoder(modern(vocab_size=30), 12)


# -- which belong together? ------------------------------------------------------------------------


def identity_clip(width: int = 5) -> CLIP:
    """Encoders that pass vectors on."""
    return CLIP(nn.Identity(), nn.Identity())


@pytest.mark.parametrize("B", [2, 5, 16])
def test_where_all_are_alike_a_match_costs_log_B(B):
    assert_close(
        image_text_contrastive(identity_clip(), (torch.ones(B, 4), torch.ones(B, 4))).value,
        torch.tensor(math.log(B)),
    )


@pytest.mark.parametrize("log_scale", [0.0, 2.66, 4.0])
def test_a_match_costs_what_clip_pays_in_transformers(log_scale):
    model, a, b = (
        randomize(CLIP(small_encoder(), nn.Linear(5, 12))),
        noise(6, 3, 8, 8),
        noise(6, 5, seed=1),
    )
    model.logit_scale.data.fill_(log_scale)
    images, phrases = model(a, b)
    loss = image_text_contrastive(model, (a, b))
    assert_close(
        loss.value, image_text_contrastive_loss(phrases @ images.T * model.logit_scale.exp())
    )
    assert loss.tokens == 6 and loss.parts["nats per pair"] == loss.value.item()


def test_sharper_than_a_hundredfold_is_not_asked():
    model, batch = identity_clip(), (noise(4, 3), noise(4, 3, seed=1))
    model.logit_scale.data.fill_(math.log(100))
    most = image_text_contrastive(model, batch).value
    model.logit_scale.data.fill_(9.0)
    assert_close(image_text_contrastive(model, batch).value, most, rtol=1e-3, atol=1e-3)


def test_the_right_pairs_cost_less_than_the_same_in_disorder():
    x = noise(8, 5)
    assert (
        image_text_contrastive(identity_clip(), (x, x)).value
        < 0.1
        < image_text_contrastive(identity_clip(), (x, x.roll(1, 0))).value
    )


def test_three_colours_are_matched_to_their_numbers():
    torch.manual_seed(0)
    model = CLIP(ImageEncoder(8, (4, 6)), nn.Embedding(3, 8))
    x = torch.eye(3)[:, :, None, None] * torch.ones(3, 3, 8, 8)
    batches = [(x + 0.1 * noise(3, 3, 8, 8, seed=seed), torch.arange(3)) for seed in range(8)]
    history = fit(
        model,
        image_text_contrastive,
        batches,
        steps=60,
        seed=0,
        optimizer=OptimizerConfig(matrix_optimizer="adamw", lr=1e-2),
        progress=False,
    )
    assert history.losses[-1] < 0.1 < math.log(3) / 2 < history.losses[0]
    images, phrases = model.eval()(x, torch.arange(3))
    assert (images @ phrases.T).argmax(1).tolist() == [0, 1, 2]


# -- ranks -----------------------------------------------------------------------------------------


def slow(scores: torch.Tensor, right: torch.Tensor) -> list[int]:
    return [
        1 + sum(s >= max(row[on].tolist()) for s in row[~on].tolist())
        for row, on in zip(scores, right, strict=True)
    ]


@pytest.mark.parametrize("levels", [3, 1000])
def test_ranks_equal_counting(levels):
    scores = torch.randint(levels, (40, 9), generator=seeded()).float()
    right = torch.rand(40, 9, generator=seeded(1)) < 0.3
    right[:, 4] |= ~right.any(1)
    assert ranks(scores, right).tolist() == slow(scores, right)


def test_a_model_that_says_the_same_of_all_is_last():
    right = torch.eye(4, dtype=torch.bool)
    assert ranks(torch.zeros(4, 4), right).tolist() == [4] * 4
    assert ranks(torch.eye(4), right).tolist() == [1] * 4


@pytest.mark.parametrize(
    ("scores", "right"),
    [
        (torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.bool)),
        (torch.zeros(2, 3), torch.ones(3, 2, dtype=torch.bool)),
        (torch.zeros(2, 3), torch.ones(2, 3)),
        (torch.zeros(3), torch.ones(3, dtype=torch.bool)),
    ],
)
def test_ranks_want_a_right_answer_in_every_row(scores, right):
    with pytest.raises(ValueError, match="a right answer in every row"):
        ranks(scores, right)


# -- captions --------------------------------------------------------------------------------------


def writer() -> Captioner:
    return randomize(Captioner(small_encoder(7), WRITES, 7))


images, said = noise(3, 3, 8, 8), torch.tensor([[1, 2, 3], [4, 5, 0], [6, 0, 0]])


def test_every_word_is_told_by_the_image_and_by_the_words_before_it_alone():
    model = writer()
    logits = model(images, said)
    assert logits.shape == (3, 4, 9)
    assert ((model(images.flip(0), said) - logits).abs().amax(-1)[0] > 1e-4).all()
    other = said.clone()
    other[:, 2] = 7
    assert_close(model(images, other)[:, :3], logits[:, :3])
    assert (model(images, other)[:, 3] - logits[:, 3]).abs().max() > 1e-4


def test_a_image_may_fill_several_places():
    encoder = small_encoder()
    see = nn.Module()
    see.forward = encoder.spatial_features
    model = randomize(Captioner(see, WRITES, 6))
    assert model.prefix(images).shape == (3, 4, 16) and model(images, said).shape == (3, 4, 9)


def test_words_stand_at_the_places_after_the_image():
    model = randomize(
        Captioner(small_encoder(7), gpt2(vocab_size=9, context=10, width=16, depth=2, heads=2), 7)
    )
    embed, prefix = model.language_model.embed, model.prefix(images)
    x = torch.cat([prefix, embed.tokens(said) + embed.positions.weight[1:4]], 1)
    assert_close(model(images, said), model.language_model.head(model.language_model.stack(x)))


def test_a_caption_costs_its_words_and_one_end():
    model = writer()
    logits, total, count = model(images, said), 0.0, 0
    for row, words in zip(logits, ([1, 2, 3, 0], [4, 5, 0], [6, 0]), strict=True):
        total -= sum(row.log_softmax(-1)[t, word].item() for t, word in enumerate(words))
        count += len(words)
    loss = captioning(model, (images, said))
    assert loss.tokens == count == 9 and loss.value.item() == pytest.approx(total / count, rel=1e-5)


def test_gradients_reach_the_image_through_the_prefix():
    model, x = writer(), images.clone().requires_grad_()
    captioning(model, (x, said)).value.backward()
    assert (x.grad.abs().amax((1, 2, 3)) > 0).all() and model.input_proj.weight.grad.abs().max() > 0


def test_greedy_captions_repeat_and_are_the_likeliest_words():
    model = writer()
    found = generate_captions(model, images, WORDS, max_words=5)
    assert (
        found == generate_captions(model, images, WORDS, max_words=5)
        and generate_captions(model, images[:1], WORDS, max_words=5) == found[:1]
    )
    for image, text in zip(images, found, strict=True):
        ids: list[int] = []
        while len(ids) < 5 and (
            word := model(image[None], torch.tensor([ids], dtype=torch.long))[0, -1].argmax().item()
        ):
            ids.append(word)
        assert text == " ".join(WORDS[i] for i in ids)


@pytest.mark.slow
def test_captions_can_be_learnt_by_heart():
    torch.manual_seed(0)
    model = Captioner(ImageEncoder(7, (4, 6)), WRITES, 7)
    fit(
        model,
        captioning,
        [(images, said)],
        steps=80,
        seed=0,
        optimizer=OptimizerConfig(matrix_optimizer="adamw", lr=1e-2),
        progress=False,
    )
    assert generate_captions(model, images, WORDS) == ["a b c", "d e", "f"]


def test_what_a_captioner_cannot_do():
    with pytest.raises(ValueError, match="causal=True"):
        Captioner(small_encoder(7), READS, 7)
    with pytest.raises(ValueError, match="11 positions are more than context=10"):
        writer()(images, torch.ones(3, 10, dtype=torch.long))
    assert isinstance(captioning(writer(), (images, said)), Loss)


def test_captions_are_written_in_evaluation_mode():
    model = writer()
    expected = generate_captions(model, images, WORDS)
    statistics = [buffer.clone() for buffer in model.buffers()]
    assert generate_captions(model.train(), images, WORDS) == expected
    assert model.training and all(map(torch.equal, model.buffers(), statistics))
