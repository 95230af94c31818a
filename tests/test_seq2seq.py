"""The encoder-decoder of 2017: what it promises, that it is torch's own, and how it writes."""

import math
from dataclasses import replace
from functools import partial
from itertools import product

import pytest
import torch
from helpers import CAUSAL, SHAPES, ids_for, model_of, randomize
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from fmcourse.generation import Hypothesis, beam_search, translate
from fmcourse.models.attention import Attention, attention_maps
from fmcourse.models.seq2seq import (
    CrossAttention,
    EncoderDecoder,
    SinusoidalEmbedding,
    sinusoidal_encoding,
    vaswani2017,
)
from fmcourse.models.transformer import Config, Transformer, count_parameters, modern
from fmcourse.objectives import translation
from fmcourse.training import fit
from fmcourse.training.optimizers import InverseSqrtConfig

SMALL = vaswani2017(vocab_size=19, context=12, width=24, depth=2, heads=3, hidden=40, dropout=0.0)
SHAPED = {
    "2017": SMALL,
    "norm before": replace(SMALL, norm_place="before", tied=False),
    "odd": vaswani2017(vocab_size=7, context=9, width=20, depth=1, heads=5, hidden=33, dropout=0.0),
    "modern parts": replace(
        SMALL, norm="rms", norm_place="before", mlp="relu_squared", qk_norm=True, bias=False
    ),
    "shared keys": replace(SMALL, width=32, heads=4, kv_heads=2),
}
SOURCE = torch.tensor([[3, 4, 5, 6, 7], [8, 9, 3, 0, 0], [5, 0, 0, 0, 0]])
TARGET = torch.tensor([[1, 3, 4, 5], [1, 6, 5, 4], [1, 2, 0, 0]])


def pair_of(name: str = "2017") -> EncoderDecoder:
    return randomize(EncoderDecoder(SHAPED[name], source_vocab_size=11))


@pytest.mark.parametrize("name", SHAPED)
def test_every_shape_gives_finite_logits_of_the_promised_shape(name):
    logits = pair_of(name)(SOURCE, TARGET)
    assert logits.shape == (3, 4, SHAPED[name].vocab_size) and logits.isfinite().all()


@pytest.mark.parametrize("name", SHAPED)
def test_later_targets_do_not_change_earlier_logits(name):
    model, changed = pair_of(name), TARGET.clone()
    changed[:, -1] = (changed[:, -1] + 1) % SHAPED[name].vocab_size
    assert_close(model(SOURCE, changed)[:, :-1], model(SOURCE, TARGET)[:, :-1])


@pytest.mark.parametrize("name", SHAPED)
def test_every_target_position_attends_to_the_whole_source(name):
    model, changed = pair_of(name), SOURCE.clone()
    changed[0, -1] = 1
    assert ((model(changed, TARGET) - model(SOURCE, TARGET))[0].abs().amax(-1) > 1e-4).all()


@pytest.mark.parametrize("name", SHAPED)
def test_padding_changes_nothing_and_neither_does_its_length(name):
    model = pair_of(name)
    alone = torch.cat(
        [
            model(row[row > 0][None], target[None])
            for row, target in zip(SOURCE, TARGET, strict=True)
        ]
    )
    assert_close(model(SOURCE, TARGET), alone)
    garbage = torch.where(SOURCE == 0, torch.tensor(10), SOURCE)
    assert_close(model(garbage, TARGET, SOURCE != 0), alone)


def test_positions_matter_in_source_and_target():
    model = pair_of()
    assert not torch.allclose(model(SOURCE[:1].flip(1), TARGET[:1]), model(SOURCE[:1], TARGET[:1]))
    ids = torch.tensor([[4, 4, 4]])
    logits = model(SOURCE[:1], ids)
    assert not torch.allclose(logits[:, 0], logits[:, 1])


# -- torch's own -----------------------------------------------------------------------------------


def copied(ours: EncoderDecoder) -> nn.Transformer:
    """torch.nn.Transformer of the same shape with the same weights."""
    c = ours.config
    before = c.norm_place == "before"
    theirs = nn.Transformer(
        c.width,
        c.heads,
        c.depth,
        c.depth,
        c.hidden,
        0.0,
        F.relu,
        batch_first=True,
        norm_first=before,
    )
    # torch adds a norm after the last block even if each block ends with one; the paper does not.
    if not before:
        theirs.encoder.norm = theirs.decoder.norm = None
    names = {
        ".attention.qkv_proj.": ".self_attn.in_proj_",
        ".attention.out_proj": ".self_attn.out_proj",
        "mlp.up": "linear1",
        "mlp.down": "linear2",
        "norm_": "norm",
        "cross_attention.qkv_proj.": "multihead_attn.in_proj_",
        "cross_attention.out_proj": "multihead_attn.out_proj",
        "encoder.blocks": "encoder.layers",
        "decoder.": "decoder.layers.",
    }
    weights = {}
    for name, weight in ours.state_dict().items():
        if name.startswith(("embed", "head")):
            continue
        name = f"decoder.{name}" if name.startswith("norm.") else name
        for here, there in names.items():
            if not (here == "decoder." and name.startswith("decoder.norm")):
                name = name.replace(here, there)
        weights[name] = weight
    theirs.load_state_dict(weights)
    return theirs.eval()


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize("shape", [SMALL, replace(SMALL, norm_place="before"), SHAPED["odd"]])
def test_equals_torchs_own_transformer_with_padding(shape):
    ours = randomize(EncoderDecoder(shape, source_vocab_size=11))
    theirs, T = copied(ours), TARGET.shape[1]
    source = ours.embed_source(SOURCE, torch.arange(5))
    target = ours.embed_target(TARGET, torch.arange(T))
    hidden = SOURCE == 0  # torch's masks say what may not be seen
    states = theirs(
        source,
        target,
        tgt_mask=torch.ones(T, T).triu(1).bool(),
        src_key_padding_mask=hidden,
        memory_key_padding_mask=hidden,
    )
    assert_close(ours(SOURCE, TARGET), ours.head(states), atol=1e-5, rtol=1e-5)


def test_cross_attention_equals_torchs_multi_head_attention():
    ours, theirs = randomize(CrossAttention(SMALL)), nn.MultiheadAttention(24, 3, batch_first=True)
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)))
    x, memory = torch.randn(2, 3, 24), torch.randn(2, 5, 24)
    allowed = torch.tensor([[True] * 5, [True, True, False, False, False]])
    out, weights = theirs(x, memory, memory, key_padding_mask=~allowed, average_attn_weights=False)
    assert_close(ours(x, memory, allowed[:, None]), out)
    assert_close(ours.attention_map(x, memory, allowed[:, None]), weights)


def test_cross_attention_is_the_fused_kernel_and_only_narrowed_by_its_mask():
    cross = randomize(CrossAttention(SMALL))
    x, memory, mask = torch.randn(2, 3, 24), torch.randn(2, 5, 24), torch.rand(2, 3, 5) < 0.7
    mask[..., 0] = True
    q, k, v = cross.project_qkv(x, memory)
    fused = F.scaled_dot_product_attention(q, k, v, mask[:, None])
    assert_close(cross(x, memory, mask), cross.out_proj(fused.transpose(1, 2).flatten(2)))


# -- positions -------------------------------------------------------------------------------------


def test_sinusoids_are_the_formula_of_the_paper():
    encoding = sinusoidal_encoding(50, 12)
    for position, i in product((0, 1, 7, 49), range(6)):
        angle = position / 10_000 ** (2 * i / 12)
        assert encoding[position, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-6)
        assert encoding[position, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-6)


def test_a_shift_of_positions_is_one_linear_map_at_every_position():
    encoding = sinusoidal_encoding(64, 8).double()
    step = torch.linalg.lstsq(encoding[:40], encoding[3:43]).solution
    assert_close(encoding[15:60] @ step, encoding[18:63], atol=1e-5, rtol=0)


def test_token_embeddings_are_scaled_by_the_root_of_the_width():
    embed, ids = SinusoidalEmbedding(SMALL), torch.tensor([[3, 5, 3]])
    assert_close(
        embed(ids, torch.arange(3)),
        math.sqrt(24) * embed.tokens(ids) + sinusoidal_encoding(12, 24)[:3],
    )
    model = Transformer(Config(vocab_size=19, context=12, width=24, heads=3, positions="none"))
    model.embed = SinusoidalEmbedding(model.config)
    assert model(ids).shape == (1, 3, 19)


def test_the_published_base_model_has_the_published_size():
    with torch.device("meta"):
        count = count_parameters(EncoderDecoder(vaswani2017()))
    assert (
        abs(count / 1e6 - 63) < 1
    )  # the paper rounds to 65: 37,000 shared words and these blocks give 63


# -- attention maps --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*SHAPES])
def test_attention_maps_are_the_weights_that_the_fused_kernel_uses(name):
    model, ids = model_of(name), ids_for(name, 2, 7)
    maps, used = attention_maps(model, ids), {}

    def recording(path, attend):
        def call(q, k, v, mask):
            used[path] = (v, attend(q, k, v, mask))
            return used[path][1]

        return call

    for path, module in model.named_modules():
        if isinstance(module, Attention):
            module.attend = recording(path, module.attend)
    model(ids)
    paths = [f"stack.blocks.{n}.attention" for n in range(SHAPES[name].depth)]
    assert list(maps) == list(used) == paths
    for path, weights in maps.items():
        v, out = used[path]
        assert weights.shape == (2, SHAPES[name].heads, 7, 7)
        assert_close(weights.sum(-1), torch.ones(2, SHAPES[name].heads, 7))
        assert_close(weights @ v.repeat_interleave(weights.shape[1] // v.shape[1], 1), out)
        assert bool(weights.triu(1).any()) != (name in CAUSAL)


def test_attention_maps_of_an_encoder_decoder_hide_padding_and_leave_no_hook():
    model = pair_of()
    seen = attention_maps(model, SOURCE, TARGET)
    assert list(seen)[-1] == "decoder.1.cross_attention" and len(seen) == 6
    assert seen["decoder.1.cross_attention"].shape == (3, 3, 4, 5)
    assert_close(seen["decoder.1.cross_attention"].sum(-1), torch.ones(3, 3, 4))
    assert (
        not seen["decoder.1.cross_attention"][1, :, :, 3:].any()
        and not seen["encoder.blocks.0.attention"][2, :, :, 1:].any()
    )
    with pytest.raises(ValueError, match="nothing but padding"):
        attention_maps(model, torch.zeros(1, 3, dtype=torch.long), TARGET[:1])
    assert not any(part._forward_pre_hooks for part in model.modules())


# -- loss and schedule -----------------------------------------------------------------------------


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_the_loss_is_smoothed_cross_entropy_over_what_is_not_padding(smoothing):
    model = pair_of()
    loss = translation(model, (SOURCE, TARGET), smoothing=smoothing)
    log_p, labels = model(SOURCE, TARGET[:, :-1]).log_softmax(-1), TARGET[:, 1:]
    asked = labels != 0
    right = -log_p.gather(-1, labels[..., None])[..., 0][asked].mean()
    even = -log_p.mean(-1)[asked].mean()
    assert_close(loss.value, (1 - smoothing) * right + smoothing * even)
    flat = model(SOURCE, TARGET[:, :-1])[asked]
    assert_close(loss.value, F.cross_entropy(flat, labels[asked], label_smoothing=smoothing))
    assert loss.tokens == 7 and loss.parts["nats per token"] == pytest.approx(
        right.item(), abs=1e-5
    )


def test_a_batch_without_targets_and_a_smoothing_of_one_are_refused():
    model = pair_of()
    with pytest.raises(ValueError, match="0 labels besides padding"):
        translation(model, (SOURCE, torch.tensor([[1, 0], [1, 0], [1, 0]])))
    with pytest.raises(
        ValueError, match="smoothing=1.0; give at least one label, and smoothing in"
    ):
        translation(model, (SOURCE, TARGET), smoothing=1.0)


def test_the_schedule_is_that_of_the_paper():
    optimizer, steps, warmup, width = InverseSqrtConfig(warmup=0.04), 100_000, 4000, 512

    def paper(step):
        return width**-0.5 * min(step**-0.5, step * warmup**-1.5)

    for step in (1, 100, 4000, 4001, 50_000, 100_000):
        assert optimizer.lr_scale(step / steps) * paper(warmup) == pytest.approx(paper(step))
    assert optimizer.lr_scale(0.0) == 0


@pytest.mark.slow
def test_overfits_a_few_words_and_writes_them():
    torch.manual_seed(0)
    model = EncoderDecoder(replace(SMALL, dropout=0.0), source_vocab_size=11)
    source = torch.tensor([[3, 4, 5, 6], [6, 5, 4, 0], [4, 4, 0, 0], [9, 3, 5, 7]])
    target = torch.tensor(
        [[1, 9, 8, 7, 2, 0], [1, 5, 2, 0, 0, 0], [1, 6, 6, 6, 6, 2], [1, 4, 9, 2, 0, 0]]
    )
    history = fit(
        model,
        partial(translation, smoothing=0.1),
        [(source, target)],
        steps=150,
        seed=0,
        progress=False,
    )
    assert history.losses[-1] < history.losses[0] / 2
    wanted = [[9, 8, 7], [5], [6, 6, 6, 6], [4, 9]]
    assert translate(model, source, start=1, end=2, max_new_tokens=6) == wanted
    assert translate(model, source, start=1, end=2, max_new_tokens=6, width=3) == wanted
    assert model.training


# -- beam search -----------------------------------------------------------------------------------

START, END, V = 0, 1, 4


def table_of(seed: int, sharp: float = 2.0):
    """Log-probabilities that are a function of all tokens so far."""

    def log_probabilities(ids: torch.Tensor) -> torch.Tensor:
        rows = []
        for row in ids.tolist():
            key = sum((token + 1) * 7**place for place, token in enumerate(row))
            rows.append(
                torch.randn(V, generator=torch.Generator().manual_seed(1000 * seed + key)) * sharp
            )
        return torch.stack(rows).log_softmax(-1)

    return log_probabilities


def every_sequence(log_probabilities, longest: int) -> list[Hypothesis]:
    """Each way to end, or to be cut at `longest`, with its score."""
    found, open_ = [], [Hypothesis((START,), 0.0)]
    for _ in range(longest):
        longer = []
        for draft in open_:
            scores = log_probabilities(torch.tensor([draft.ids]))[0].double().tolist()
            longer += [
                Hypothesis((*draft.ids, token), draft.score + score)
                for token, score in enumerate(scores)
            ]
        found += [draft for draft in longer if draft.ids[-1] == END]
        open_ = [draft for draft in longer if draft.ids[-1] != END]
    return sorted(found + open_, key=lambda draft: -draft.score)


@pytest.mark.parametrize("seed", range(5))
def test_a_beam_of_one_is_greedy(seed):
    log_probabilities, ids = table_of(seed), [START]
    while len(ids) < 7 and ids[-1] != END:
        ids.append(int(log_probabilities(torch.tensor([ids]))[0].argmax()))
    assert [
        list(draft.ids)
        for draft in beam_search(log_probabilities, start=START, end=END, width=1, max_new_tokens=6)
    ] == [ids]


@pytest.mark.parametrize("seed", range(5))
def test_a_beam_as_wide_as_the_tree_is_exhaustive(seed):
    found = beam_search(table_of(seed), start=START, end=END, width=V**4, max_new_tokens=4)
    wanted = every_sequence(table_of(seed), 4)
    assert [draft.ids for draft in found] == [draft.ids for draft in wanted]
    assert [draft.score for draft in found] == pytest.approx([draft.score for draft in wanted])


def test_a_wider_beam_finds_what_greedy_decoding_misses():
    def tempting(
        ids: torch.Tensor,
    ) -> torch.Tensor:  # 2 looks best, but after it nothing is sure; after 3 the end is
        next_p = {(0,): [0.0, 0.0, 0.6, 0.4], (0, 2): [0.25] * 4, (0, 3): [0.0, 1.0, 0.0, 0.0]}
        return torch.tensor(
            [next_p.get(tuple(row), [0.0, 1.0, 0.0, 0.0]) for row in ids.tolist()]
        ).log()

    assert beam_search(tempting, start=START, end=END, width=1, max_new_tokens=4)[0].ids[1] == 2
    best = beam_search(tempting, start=START, end=END, width=2, max_new_tokens=4)[0]
    assert best.ids == (0, 3, 1) and best.score == pytest.approx(math.log(0.4))


@pytest.mark.parametrize(
    "wrong", [dict(width=0, max_new_tokens=3), dict(width=2, max_new_tokens=0)]
)
def test_a_beam_without_width_or_length_is_refused(wrong):
    with pytest.raises(ValueError, match="must both be at least 1"):
        beam_search(table_of(0), start=START, end=END, **wrong)


def test_a_batch_is_translated_as_its_rows_alone():
    model = pair_of()
    for width in (1, 3):
        together = translate(model, SOURCE, start=1, end=2, max_new_tokens=6, width=width)
        alone = [
            translate(model, row[row > 0][None], start=1, end=2, max_new_tokens=6, width=width)[0]
            for row in SOURCE
        ]
        assert together == alone
    both = [[draft] for draft in translate(model, SOURCE, start=1, end=2, max_new_tokens=6)]
    mask = model.padding_mask(SOURCE)
    memory = model.encode(SOURCE, mask)
    for row in range(3):
        one = slice(row, row + 1)

        def step(ids, one=one):
            return model.decode(ids, memory[one], mask[one])[:, -1].log_softmax(-1)

        ids = list(beam_search(step, start=1, end=2, width=1, max_new_tokens=6)[0].ids)[1:]
        assert both[row] == [ids[: ids.index(2)] if 2 in ids else ids]


# -- bad input -------------------------------------------------------------------------------------


def test_bad_input_is_named():
    model = pair_of()
    wide = torch.ones(1, 13, dtype=torch.long)
    for source, target, says in [
        (SOURCE[:, :0], TARGET, r"source has shape \(3, 0\)"),
        (SOURCE[0], TARGET, r"source has shape \(5,\)"),
        (
            SOURCE,
            TARGET[:, :0],
            r"target has shape \(3, 0\); give \(B, T\), beginning with a start token",
        ),
        (wide, TARGET[:1], "13 positions are more than context=12"),
        (SOURCE[:1], wide, "13 positions are more than context=12"),
        (torch.tensor([[3], [0]]), TARGET[:2], "row 1 of the source is nothing but padding"),
        (
            torch.tensor([[11]]),
            TARGET[:1],
            "ids run from 11 to 11, but this model knows tokens 0 to 10",
        ),
        (
            SOURCE[:1],
            torch.tensor([[19]]),
            "ids run from 19 to 19, but this model knows tokens 0 to 18",
        ),
    ]:
        with pytest.raises(ValueError, match=says):
            model(source, target)
    with pytest.raises(ValueError, match="source_mask is torch.float32"):
        model(SOURCE, TARGET, torch.ones(3, 5))
    with pytest.raises(
        ValueError, match="max_new_tokens=12 must be at least 1 and less than context=12"
    ):
        translate(model, SOURCE, start=1, end=2, max_new_tokens=12)
    for config in (modern(), replace(SMALL, positions="learned"), replace(SMALL, causal=False)):
        with pytest.raises(ValueError, match="needs 'none'"):
            EncoderDecoder(config)
    with pytest.raises(ValueError, match="width=5 is odd"):
        sinusoidal_encoding(3, 5)


def test_one_vocabulary_means_one_embedding():
    model = EncoderDecoder(SMALL)
    assert (
        model.embed_source is model.embed_target
        and model.head.weight is model.embed_target.tokens.weight
    )
    assert count_parameters(model) == sum(weight.numel() for weight in model.parameters())
