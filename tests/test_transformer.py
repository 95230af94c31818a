"""The one Transformer: what it promises for every shape, and that it is the published models."""

from dataclasses import replace

import pytest
import torch
from helpers import CAUSAL, SHAPES, ids_for, model_of, randomize
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from fmcourse.models.attention import MLP, Attention, SwiGLUMLP, causal
from fmcourse.models.rope import RotaryEmbedding, apply_rope
from fmcourse.models.transformer import (
    Config,
    Transformer,
    bert,
    count_parameters,
    gpt2,
    llama,
    modern,
)


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_gives_finite_logits_of_the_promised_shape(name):
    out, config = model_of(name)(ids_for(name, 2, 5)), SHAPES[name]
    assert out.shape == (2, 5, config.width if config.head == "none" else config.vocab_size)
    assert out.isfinite().all()


@pytest.mark.parametrize("name", CAUSAL)
@pytest.mark.parametrize("T", [2, 3, 7])
def test_later_tokens_do_not_change_earlier_logits(name, T):
    model, ids = model_of(name), ids_for(name, 2, T)
    changed = ids.clone()
    changed[:, -1] = (changed[:, -1] + 1) % SHAPES[name].vocab_size
    assert_close(model(changed)[:, :-1], model(ids)[:, :-1])


def test_a_model_that_is_not_causal_attends_to_later_tokens():
    model, ids = model_of("bert"), ids_for("bert", 1, 6)
    changed = ids.clone()
    changed[:, -1] = (changed[:, -1] + 1) % 71
    assert not torch.allclose(model(changed)[:, 0], model(ids)[:, 0])


@pytest.mark.parametrize("name", CAUSAL)
def test_a_mask_narrows_the_causal_mask_and_never_widens_it(name):
    model, ids = model_of(name), ids_for(name, 2, 6)
    assert_close(model(ids, torch.ones(6, 6, dtype=torch.bool)), model(ids))
    assert_close(model(ids, torch.ones(2, 1, 6, dtype=torch.bool)), model(ids))


@pytest.mark.parametrize("name", ["gpt2", "llama", "bert"])
def test_padding_on_the_right_changes_nothing_before_it(name):
    model, ids = model_of(name), ids_for(name, 2, 8)
    real = torch.tensor([[True] * 5 + [False] * 3] * 2)
    assert_close(model(ids, real[:, None])[:, :5], model(ids[:, :5]))


def test_a_causal_mask_passed_in_equals_the_built_in_one():
    free = randomize(
        Transformer(Config(vocab_size=45, context=32, width=32, depth=2, heads=2, causal=False))
    )
    rule = randomize(Transformer(Config(vocab_size=45, context=32, width=32, depth=2, heads=2)))
    ids = ids_for("modern", 2, 9)
    assert_close(free(ids, causal(9)), rule(ids))


@pytest.mark.parametrize("name", CAUSAL)
@pytest.mark.parametrize("cuts", [[1] * 9, [4, 5], [3, 1, 1, 4], [9]])
def test_extending_a_cache_gives_the_same_logits(name, cuts):
    model, ids = model_of(name), ids_for(name, 2, 9)
    cache, given = model.new_cache(2), []
    for piece in ids.split(cuts, 1):
        logits, cache = model.extend(piece, cache)
        given.append(logits)
    assert cache.length == 9
    assert_close(torch.cat(given, 1), model(ids), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("kept", [True, False])
def test_the_last_token_alone_can_be_asked_for(kept):
    """With and without gradients: the cache cuts its views in two ways."""
    model, ids = model_of("llama"), ids_for("llama", 2, 9)
    with torch.set_grad_enabled(kept):
        first, cache = model.extend(ids[:, :6], model.new_cache(2), last=True)
        second, _ = model.extend(ids[:, 6:], cache, last=True)
    assert (
        first.shape == second.shape == (2, 1, model.config.vocab_size)
        and first.requires_grad == kept
    )
    assert_close(torch.cat([first, second], 1), model(ids)[:, [5, 8]], atol=2e-5, rtol=1e-4)


def test_continuations_can_share_a_prefix_without_disturbing_each_other():
    model, ids = model_of("llama"), ids_for("llama", 1, 12)
    _, prefix = model.extend(ids[:, :6], model.new_cache(1, capacity=12))
    first, longer = model.extend(ids[:, 6:9], prefix)
    other, _ = model.extend(ids[:, 9:12], prefix)  # writes where the first continuation wrote
    again, _ = model.extend(ids[:, 9:12], longer)
    assert_close(first, model(ids[:, :9])[:, 6:], atol=2e-5, rtol=1e-4)
    assert_close(
        other, model(torch.cat([ids[:, :6], ids[:, 9:12]], 1))[:, 6:], atol=2e-5, rtol=1e-4
    )
    assert_close(again, model(ids)[:, 9:], atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("name", CAUSAL)
def test_padding_on_the_left_changes_nothing_after_it(name):
    model, ids = model_of(name), ids_for(name, 2, 7)
    cache = model.new_cache(2, padding=torch.tensor([0, 3]))
    padded = ids.clone()
    padded[1] = torch.cat([torch.zeros(3, dtype=torch.long), ids[1, :4]])
    logits, cache = model.extend(padded, cache)
    assert_close(logits[1, 3:], model(ids[1:, :4])[0], atol=2e-5, rtol=1e-4)
    longer, _ = model.extend(ids[:, :1], cache)
    assert_close(
        longer[1, 0], model(torch.cat([ids[1:, :4], ids[1:, :1]], 1))[0, -1], atol=2e-5, rtol=1e-4
    )


def test_attention_is_softmax_of_queries_and_keys_over_values():
    config = modern(width=12, heads=3, depth=1)
    attention = randomize(Attention(config))
    x = torch.randn(2, 5, 12, generator=torch.Generator().manual_seed(3))
    q, k, v = (
        part.view(2, 5, 3, 4) for part in F.linear(x, attention.qkv_proj.weight).chunk(3, -1)
    )
    q, k = (
        F.rms_norm(q, (4,), attention.norm_q.weight),
        F.rms_norm(k, (4,), attention.norm_k.weight),
    )
    scores = torch.einsum("bthk,bshk->bhts", q, k) / 2
    seen = scores.masked_fill(~causal(5), float("-inf")).softmax(-1)
    out = torch.einsum("bhts,bshk->bthk", seen, v).flatten(2)
    assert_close(attention(x), F.linear(out, attention.out_proj.weight))


def test_attention_equals_torchs_own_multi_head_attention():
    ours, theirs = (
        randomize(Attention(Config(width=12, heads=3, causal=False))),
        nn.MultiheadAttention(12, 3, batch_first=True),
    )
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)))
    x = torch.randn(2, 5, 12, generator=torch.Generator().manual_seed(0))
    assert_close(ours(x), theirs(x, x, x, need_weights=False)[0])


def test_rotated_scores_depend_on_distance_alone():
    rope, q, k = (
        RotaryEmbedding(llama(width=16, heads=2, kv_heads=2, context=64)),
        torch.randn(8),
        torch.randn(8),
    )

    def rotated(x, position):
        return apply_rope(x[None, None, None], rope(torch.tensor([position]))).flatten()

    near, far = rotated(q, 7) @ rotated(k, 3), rotated(q, 50) @ rotated(k, 46)
    assert_close(near, far)
    assert not torch.isclose(near, rotated(q, 7) @ rotated(k, 4))


def test_a_block_whose_last_matrices_are_zero_passes_its_input_on():
    model = Transformer(modern())  # as built, before any training
    x = torch.randn(1, 4, 128)
    assert_close(model.stack.blocks[0](x), x)


def test_grouped_heads_equal_full_heads_with_repeated_keys():
    few = randomize(Attention(llama(width=24, heads=4, kv_heads=2, hidden=8)))
    full = Attention(llama(width=24, heads=4, kv_heads=4, hidden=8)).eval()
    q, k, v = few.qkv_proj.weight.split([24, 12, 12])
    repeated = [part.unflatten(0, (2, 6)).repeat_interleave(2, 0).flatten(0, 1) for part in (k, v)]
    full.load_state_dict(
        {"qkv_proj.weight": torch.cat([q, *repeated]), "out_proj.weight": few.out_proj.weight}
    )
    x = torch.randn(2, 5, 24)
    assert_close(few(x), full(x))


def test_the_gated_mlp_is_silu_of_the_gate_times_up():
    mlp, x = randomize(SwiGLUMLP(llama(width=8, heads=2, kv_heads=1, hidden=6))), torch.randn(3, 8)
    gate, value = mlp.up.weight.split(6)
    assert_close(mlp(x), (F.silu(x @ gate.T) * (x @ value.T)) @ mlp.down.weight.T)


@pytest.mark.parametrize(
    ("mlp", "activation"),
    [
        ("gelu", F.gelu),
        ("gelu_tanh", lambda h: F.gelu(h, approximate="tanh")),
        ("relu_squared", lambda h: F.relu(h) ** 2),
    ],
)
def test_each_plain_mlp_has_its_own_activation(mlp, activation):
    block = randomize(Transformer(Config(mlp=mlp, width=8, heads=2, depth=1))).stack.blocks[0].mlp
    x = torch.randn(3, 8)
    assert isinstance(block, MLP)
    assert_close(block(x), block.down(activation(block.up(x))))


def test_dropout_acts_in_training_only():
    model = randomize(Transformer(Config(dropout=0.5, width=16, heads=2)))
    ids = torch.arange(6)[None]
    assert_close(model(ids), model(ids))
    model.train()
    assert not torch.allclose(model(ids), model(ids))


@pytest.mark.parametrize(
    ("config", "count"),
    [
        (gpt2(), 124_439_808),
        (gpt2(width=1600, depth=48, heads=25), 1_557_611_200),
        (gpt2(context=2048, width=12288, depth=96, heads=96), 174_604_259_328),
        (bert(), 109_514_298),
        (llama(), 134_515_008),
    ],
)
def test_published_shapes_have_the_published_counts(config, count):
    with torch.device("meta"):
        assert count_parameters(Transformer(config)) == count


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (dict(width=10, heads=4), "width=10 cannot be cut into heads=4 equal parts; try width=12"),
        (dict(norm="batch"), "norm='batch' is not known; choose 'layer' or 'rms'"),
        (
            dict(mlp="tanh"),
            "mlp='tanh' is not known; choose 'gelu' or 'gelu_tanh' or 'relu_squared' or 'swiglu'",
        ),
        (dict(depth=0), "depth=0 must be a whole number of at least 1"),
        (dict(context=2.5), "context=2.5 must be a whole number"),
        (dict(vocab_size=True), "vocab_size=True must be a whole number"),
        (dict(heads=4, kv_heads=3), "kv_heads=3 must divide heads=4"),
        (
            dict(width=12, heads=4, positions="rope"),
            "rope rotates pairs of features, so width / heads = 3 must be even",
        ),
        (dict(dropout=1.0), "dropout=1.0 in"),
        (dict(token_types=-1), "token_types=-1"),
    ],
)
def test_a_config_refuses_by_name(given, says):
    with pytest.raises(ValueError, match=says.replace("(", r"\(")):
        Config(**given)


def test_bad_input_is_named():
    model = model_of("gpt2")
    with pytest.raises(ValueError, match="25 positions are more than context=24"):
        model(torch.zeros(1, 25, dtype=torch.long))
    with pytest.raises(
        ValueError, match="ids run from 0 to 61, but this model knows tokens 0 to 60"
    ):
        model(torch.tensor([[0, 61]]))
    with pytest.raises(ValueError, match=r"for one text ids\[None\]"):
        model(torch.tensor([1, 2]))
    with pytest.raises(ValueError, match="dtype torch.float32; it must be bool"):
        model(torch.tensor([[1, 2]]), torch.ones(2, 2))
    with pytest.raises(ValueError, match="looks both ways"):
        model_of("bert").extend(torch.tensor([[1]]), model_of("bert").new_cache())
    cache = model.extend(torch.zeros(1, 20, dtype=torch.long), model.new_cache())[1]
    with pytest.raises(ValueError, match="25 positions are more than context=24"):
        model.extend(torch.zeros(1, 5, dtype=torch.long), cache)


# -- attention dropout and biases ------------------------------------------------------------------


def constant_values_attention(dropout):
    """An attention that returns the sum of its attention weights in every feature.

    All values are 1 and the output projection is the identity, so rows that add up to 1 give 1.
    """
    attention = randomize(Attention(Config(width=12, heads=3, dropout=dropout)))
    with torch.no_grad():
        attention.qkv_proj.weight[24:] = 0
        attention.qkv_proj.bias[24:] = 1
        attention.out_proj.weight.copy_(torch.eye(12))
        attention.out_proj.bias.zero_()
    return attention


@pytest.mark.parametrize("T", [1, 6])
@pytest.mark.parametrize("given", [None, "mask"])
def test_attention_weights_are_dropped_in_training(T, given):
    torch.manual_seed(0)
    attention = constant_values_attention(dropout=0.25).train()
    x = torch.randn(400, T, 12)
    mask = None if given is None else torch.ones(T, T, dtype=torch.bool)
    sums = attention(x, mask).unflatten(-1, (3, 4))[..., 0]  # (400, T, 3), one for each head
    # The first token attends to itself alone: its weight is dropped, or scaled by 1 / (1 - 0.25).
    first = sums[:, 0].detach()
    is_dropped = first.abs() < 1e-6
    assert_close(first[~is_dropped], torch.full_like(first[~is_dropped], 1 / 0.75))
    assert 0.2 < is_dropped.float().mean() < 0.3
    # Dropping keeps the mean of the sum, and each head draws for itself.
    assert abs(sums.mean() - 1) < 0.05
    assert (is_dropped.any(1) & ~is_dropped.all(1)).any()


def test_no_attention_weight_is_dropped_in_evaluation_or_without_dropout():
    x = torch.randn(20, 6, 12)
    for attention in (constant_values_attention(0.25), constant_values_attention(0.0).train()):
        assert_close(attention(x), torch.ones(20, 6, 12))


@pytest.mark.parametrize("kv_heads", [4, 2])
@pytest.mark.parametrize(
    ("bias", "qkv_bias", "has_qkv"),
    [(True, None, True), (False, None, False), (False, True, True), (True, False, False)],
)
def test_the_bias_of_q_k_and_v_is_a_choice_of_its_own(bias, qkv_bias, has_qkv, kv_heads):
    config = Config(width=24, heads=4, kv_heads=kv_heads, bias=bias, qkv_bias=qkv_bias)
    block = randomize(Transformer(config)).stack.blocks[0]
    assert (block.attention.qkv_proj.bias is not None) == has_qkv
    assert (block.attention.out_proj.bias is not None) == bias
    assert (block.mlp.up.bias is not None) == (block.mlp.down.bias is not None) == bias
    if has_qkv:
        x, attention = torch.randn(2, 5, 24), block.attention
        parts = attention.qkv_proj.weight.split(attention.qkv_sizes)
        biases = attention.qkv_proj.bias.split(attention.qkv_sizes)
        expected = [F.linear(x, *pair) for pair in zip(parts, biases, strict=True)]
        assert_close(list(attention.split_qkv(x)), expected)
        # A bias of the keys alone changes no score: it adds the same to a query's every score.
        y = attention(x)
        with torch.no_grad():
            attention.qkv_proj.bias[24 : 24 + 6 * kv_heads] += 3
        assert_close(attention(x), y, atol=1e-4, rtol=1e-4)
        with torch.no_grad():
            attention.qkv_proj.bias[:24] += 3
        assert not torch.allclose(attention(x), y, atol=1e-3)


def test_qkv_bias_follows_bias_until_it_is_set():
    """Also through `dataclasses.replace`."""
    assert replace(Config(), bias=False).qkv_bias is None
    assert "qkv_bias=True" in Config(bias=False, qkv_bias=True).summary()
    assert "qkv_bias" not in Config(bias=False).summary()
