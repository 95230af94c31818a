"""LoRA: no change at first, one matrix again once merged, and the numbers and files of peft."""

import copy
import json

import pytest
import torch
from helpers import randomize
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close
from transformers import BertModel, LlamaForCausalLM

from fmcourse.fast.quantized import Int4Linear
from fmcourse.models.compiled import uncompiled
from fmcourse.models.config import bert, gpt2, llama, modern
from fmcourse.models.heads import SequenceClassifier
from fmcourse.models.lora import LoRALinear, add_lora, lora_layers, lora_targets, merge_lora
from fmcourse.models.transformer import Transformer
from fmcourse.objectives import next_token
from fmcourse.pretrained import from_hf, load_adapter, save_adapter, to_hf
from fmcourse.training import fit
from fmcourse.training.optimizers import OptimizerConfig

SMALL = {"vocab_size": 50, "context": 16, "width": 16, "depth": 2, "heads": 4}
IDS = torch.randint(50, (3, 10), generator=torch.Generator().manual_seed(0))
ALL_TARGETS = ("q", "k", "v", "out", "gate", "up", "down")


def small_llama() -> Transformer:
    torch.manual_seed(0)
    return randomize(Transformer(llama(**SMALL, kv_heads=2, hidden=24))).eval()


def small_bert() -> Transformer:
    torch.manual_seed(0)
    return randomize(Transformer(bert(**SMALL, hidden=32, head="none"))).eval()


def quantize(model: Transformer) -> None:
    """One layer in 4 bits, as `load(..., weights="int4")` has them."""
    codes = torch.zeros(32, 32, dtype=torch.uint8)
    model.stack.blocks[0].attention.qkv_proj = Int4Linear(
        codes, torch.ones(32, 1), torch.zeros(32, 1)
    )


def with_lora(
    model: Transformer, targets=ALL_TARGETS, rank: int = 3, alpha: float = 5.0
) -> Transformer:
    """With updates that change something: B random too."""
    add_lora(model, rank, alpha, targets)
    for _, layer in lora_layers(model):
        for B in layer.B:
            nn.init.normal_(B, std=0.3)
    return model


# -- the low-rank update --------------------------------------------------------------------------


@pytest.mark.parametrize("targets", [("q", "v"), ("k",), ALL_TARGETS])
def test_it_starts_as_the_model_it_was_and_trains_the_lora_matrices_alone(targets):
    model = small_llama()
    before = model(IDS)
    frozen = {name: weight.clone() for name, weight in model.named_parameters()}
    add_lora(model, 2, 4.0, targets)
    assert torch.equal(model(IDS), before)
    F.cross_entropy(model(IDS).flatten(0, 1), IDS.flatten()).backward()
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert trained and all(".A." in name or ".B." in name for name in trained)
    assert {name for name, weight in model.named_parameters() if weight.grad is not None} == trained
    for name, weight in model.named_parameters():
        if name not in trained:
            assert torch.equal(weight, frozen[name.replace(".base.", ".")])


def test_trained_are_rank_times_inputs_plus_outputs():
    model = add_lora(small_llama(), 3, 1.0, ("q", "v"))
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    assert trained == 2 * 3 * ((16 + 16) + (16 + 8))  # two blocks; v has two heads of four


def test_the_forward_pass_is_the_formula():
    torch.manual_seed(0)
    base = nn.Linear(6, 10)
    layer, x = LoRALinear(base, (4, 6), (1,), rank=2, alpha=3.0), torch.randn(5, 6)
    nn.init.normal_(layer.B[0])
    expected = base(x)
    expected[:, 4:] += 1.5 * x @ layer.A[0].T @ layer.B[0].T
    assert_close(layer(x), expected)


def test_the_update_has_the_rank_it_was_given():
    model, before = small_llama(), small_llama()
    with_lora(model, ("down",), rank=2)
    merge_lora(model)
    change = model.stack.blocks[0].mlp.down.weight - before.stack.blocks[0].mlp.down.weight
    assert torch.linalg.matrix_rank(change, tol=1e-5) == 2


@pytest.mark.parametrize(
    ("make", "targets"),
    [(small_llama, ALL_TARGETS), (small_bert, ("q", "k", "v", "out", "up", "down"))],
)
def test_merged_it_is_the_same_function_in_the_old_class(make, targets):
    model = with_lora(make(), targets)
    changed, plain = model(IDS), make()
    merge_lora(model)
    assert_close(model(IDS), changed, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(plain(IDS), changed, atol=1e-2)
    assert [(name, weight.shape) for name, weight in model.named_parameters()] == [
        (name, weight.shape) for name, weight in plain.named_parameters()
    ]
    assert all(weight.requires_grad for weight in model.parameters())
    model.load_state_dict(plain.state_dict())


def test_decoding_with_a_kv_cache_uses_the_updates():
    model = with_lora(small_llama())
    logits, cache = model.extend(IDS[:, :6], model.new_cache(3))
    more, _ = model.extend(IDS[:, 6:], cache)
    assert_close(torch.cat([logits, more], 1), model(IDS), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_training_lowers_the_loss_and_leaves_the_frozen_weights():
    model = add_lora(small_llama(), 4, 8.0, ALL_TARGETS)
    before = {
        name: weight.clone()
        for name, weight in model.named_parameters()
        if not weight.requires_grad
    }
    optimizer = OptimizerConfig(matrix_optimizer="adamw", lr=2e-2)
    history = fit(model, next_token, [IDS], steps=150, optimizer=optimizer, progress=False)
    assert history.losses[-1] < history.losses[0] - 0.3
    after = dict(model.named_parameters())
    assert all(torch.equal(after[name], weight) for name, weight in before.items())


def test_a_head_around_an_encoder_gets_no_update():
    model = add_lora(SequenceClassifier(small_bert(), 3), 2)
    assert not model.classifier.weight.requires_grad
    assert model(IDS).shape == (3, 3)


def test_targets_are_those_that_the_model_has():
    assert set(lora_targets(small_llama())) == set(ALL_TARGETS)
    assert set(lora_targets(small_bert())) == set(ALL_TARGETS) - {"gate"}
    assert set(lora_targets(Transformer(modern(**SMALL)))) == set(ALL_TARGETS) - {"gate"}


# -- parity with peft -----------------------------------------------------------------------------


def open_in_transformers(ours: Transformer, folder, model_class):
    to_hf(ours, folder)
    return model_class.from_pretrained(folder).eval()


def outputs(model, ids):
    """Logits of a model with a head, states of one without."""
    out = model(input_ids=ids)
    return out.logits if hasattr(out, "logits") else out.last_hidden_state


@pytest.mark.parametrize(
    ("make", "model_class", "targets"),
    [
        (
            small_llama,
            LlamaForCausalLM,
            ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
        ),
        (small_llama, LlamaForCausalLM, ["q_proj", "v_proj"]),
        (small_llama, LlamaForCausalLM, ["up_proj"]),
        (small_bert, BertModel, ["query", "value"]),
    ],
)
def test_what_peft_saved_computes_the_same_here(make, model_class, targets, tmp_path):
    theirs = get_peft_model(
        open_in_transformers(make(), tmp_path / "base", model_class),
        LoraConfig(r=3, lora_alpha=7, target_modules=targets),
    ).eval()
    randomize(theirs)  # every matrix, the frozen ones too
    theirs.save_pretrained(tmp_path / "adapter")
    copy.deepcopy(theirs).unload().save_pretrained(tmp_path / "randomized")
    ours, _ = from_hf(tmp_path / "randomized")
    load_adapter(ours, tmp_path / "adapter")
    with torch.no_grad():
        assert_close(ours(IDS), outputs(theirs, IDS), rtol=1e-5, atol=1e-5)
        assert_close(
            merge_lora(ours)(IDS), outputs(theirs.merge_and_unload(), IDS), rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize(
    ("make", "model_class", "targets"),
    [
        (small_llama, LlamaForCausalLM, ALL_TARGETS),
        (small_llama, LlamaForCausalLM, ("k", "down")),
        (small_bert, BertModel, ("q", "out", "up")),
    ],
)
def test_peft_opens_what_is_saved_here(make, model_class, targets, tmp_path):
    base = open_in_transformers(make(), tmp_path / "base", model_class)
    ours = with_lora(make(), targets)
    save_adapter(ours, tmp_path / "adapter")
    theirs = PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    # As many updates as ours: BERT calls three layers "dense", and one of them alone is meant.
    n_updates = sum(".lora_A." in name for name, _ in theirs.named_parameters())
    assert n_updates == sum(len(layer.A) for _, layer in lora_layers(ours))
    with torch.no_grad():
        assert_close(ours(IDS), outputs(theirs, IDS), rtol=1e-5, atol=1e-5)
    again = load_adapter(make(), tmp_path / "adapter")
    assert torch.equal(again(IDS), ours(IDS))


# -- error messages -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda m: add_lora(m, 0), "rank=0"),
        (lambda m: add_lora(m, targets=()), "a rank of at least 1 and at least one target"),
        (
            lambda m: add_lora(m, targets=("query",)),
            "there is no 'query' in this model; it has q, k, v, .* Did you mean 'q'",
        ),
        (
            lambda m: add_lora(m, targets=("o_proj",)),
            "there is no 'o_proj' in this model; it has .* Did you mean 'out'",
        ),
        (lambda m: add_lora(add_lora(m)), "has LoRA matrices already"),
        (lambda m: add_lora(nn.Linear(2, 2)), "Linear holds no Transformer"),
        (lambda m: save_adapter(m, "nowhere"), "has no LoRA matrices"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(act, message):
    with pytest.raises(ValueError, match=message):
        act(small_llama())


def test_a_target_that_is_not_there_leaves_the_model_as_it_was():
    model = small_llama()
    with pytest.raises(ValueError, match="there is no 'wings'"):
        add_lora(model, targets=("q", "wings"))
    assert not lora_layers(model) and all(weight.requires_grad for weight in model.parameters())


def test_a_folder_without_an_adapter_is_refused_by_what_it_lacks(tmp_path):
    with pytest.raises(FileNotFoundError, match="adapter_config.json"):
        load_adapter(small_llama(), tmp_path)


def test_another_models_adapter_is_refused(tmp_path):
    save_adapter(with_lora(small_llama()), tmp_path)
    with pytest.raises(
        ValueError, match="changes model.layers.0.mlp.down_proj, which this model does not have"
    ):
        load_adapter(small_bert(), tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"use_dora": True}, "this adapter has use_dora=True; our class computes False"),
        ({"bias": "all"}, "bias='all'"),
        ({"lora_bias": True}, "lora_bias=True"),
        ({"use_rslora": True}, "use_rslora=True"),
        ({"init_lora_weights": "olora"}, "init_lora_weights='olora'"),
        ({"init_lora_weights": "pissa_niter_4"}, "path_initial_model_for_weight_conversion"),
        ({"layer_replication": [[0, 1], [0, 1]]}, "layer_replication="),
        ({"use_something_new": 3}, "use_something_new=3"),
        ({"r": None}, "r=None .* must be numbers"),
        ({"lora_alpha": "16"}, "lora_alpha='16' must be numbers"),
        ({"rank_pattern": {"q_proj": 4}}, "rank_pattern="),
        ({"r": 2}, "adapter of another model"),
    ],
)
def test_an_adapter_of_another_kind_is_refused(change, message, tmp_path):
    save_adapter(with_lora(small_llama()), tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps(config | change))
    with pytest.raises(ValueError, match=message):
        load_adapter(small_llama(), tmp_path)


@pytest.mark.parametrize("start", [True, False, "gaussian", "orthogonal"])
def test_however_the_matrices_began_they_are_added_to_the_same_weights(start, tmp_path):
    base = open_in_transformers(small_llama(), tmp_path / "base", LlamaForCausalLM)
    config = LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=start)
    theirs = get_peft_model(copy.deepcopy(base), config).eval()
    for name, weight in theirs.named_parameters():
        if ".lora_" in name:
            nn.init.normal_(weight, std=0.3)
    theirs.save_pretrained(tmp_path / "adapter")
    ours = load_adapter(small_llama(), tmp_path / "adapter")
    with torch.no_grad():
        assert_close(ours(IDS), outputs(theirs, IDS), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"init_lora_weights": "pissa"}, "init_lora_weights='pissa', which changed the weights"),
        ({"init_lora_weights": "olora"}, "init_lora_weights='olora', which changed the weights"),
        ({"lora_bias": True}, "lora_bias=True"),
        ({"use_dora": True}, "use_dora=True"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save="),
        ({"trainable_token_indices": [1, 2]}, "trainable_token_indices="),
        ({"target_modules": ["embed_tokens"]}, "embed_tokens.*, which is no LoRA"),
        ({"target_modules": ["lm_head"]}, "which is no LoRA|lm_head, which this model"),
        ({"layers_to_transform": [1]}, r"changes q_proj in some blocks only \(1 of 2\)"),
        ({"exclude_modules": ["model.layers.1.self_attn.q_proj"]}, r"only \(0 of 2\)"),
    ],
)
def test_what_peft_saved_and_we_do_not_compute_is_refused(settings, says, tmp_path):
    base = open_in_transformers(small_llama(), tmp_path / "base", LlamaForCausalLM)
    theirs = get_peft_model(base, LoraConfig(r=2, **{"target_modules": ["q_proj"], **settings}))
    theirs.save_pretrained(tmp_path / "adapter")
    model = small_llama()
    with pytest.raises(ValueError, match=says):
        load_adapter(model, tmp_path / "adapter")
    assert not lora_layers(model) and all(weight.requires_grad for weight in model.parameters())


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("model.layers.0.self_attn.q_proj.lora_B.bias", "which is no LoRA matrix"),
        ("model.layers.0.self_attn.q_proj.lora_magnitude_vector", "which is no LoRA matrix"),
        ("model.norm.weight", "which is no LoRA matrix"),
        ("model.layers.7.self_attn.q_proj.lora_A.weight", "changes model.layers.7"),
        ("model.layers.0.self_attn.k_proj.lora_A.weight", r"k_proj in some blocks only \(0 of 2"),
        ("model.layers.1.self_attn.k_proj.lora_B.weight", r"k_proj in some blocks only \( of 2"),
    ],
)
def test_every_tensor_of_an_adapter_must_be_used(key, says, tmp_path):
    save_adapter(with_lora(small_llama(), ("q", "v")), tmp_path)
    tensors = load_file(tmp_path / "adapter_model.safetensors")
    save_file(
        tensors | {f"base_model.model.{key}": torch.zeros(3, 16)},
        tmp_path / "adapter_model.safetensors",
    )
    with pytest.raises(ValueError, match=says):
        load_adapter(small_llama(), tmp_path)


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
@pytest.mark.parametrize(
    ("contents", "says"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"{", "is damaged or cut short"),
    ],
)
def test_a_damaged_adapter_is_one_sentence(name, contents, says, tmp_path):
    save_adapter(with_lora(small_llama()), tmp_path)
    (tmp_path / name).write_bytes(contents)
    with pytest.raises(ValueError, match=f"{name} .*{says}"):
        load_adapter(small_llama(), tmp_path)


def test_a_compiled_model_has_the_adapter_of_the_model_that_it_was(tmp_path):
    ours = with_lora(small_llama(), ("q",))
    save_adapter(torch.compile(ours, backend="eager"), tmp_path)
    again = load_adapter(torch.compile(small_llama(), backend="eager"), tmp_path)
    assert torch.equal(uncompiled(again)(IDS), ours(IDS))


def test_weights_in_4_bits_take_no_lora_matrices():
    model = small_llama()
    quantize(model)
    with pytest.raises(ValueError, match="qkv_proj is an Int4Linear.*weights='fp32'"):
        add_lora(model)
    assert not lora_layers(model)


def test_what_is_no_plain_transformer_is_not_exported(tmp_path):
    model = small_llama()
    quantize(model)
    for wrong, says in (
        (with_lora(small_llama()), "merge them first .merge_lora., or .* save_adapter"),
        (model, "Int4Linear layers.* weights='fp32'"),
        (SequenceClassifier(small_bert(), 3), "this is a SequenceClassifier"),
    ):
        with pytest.raises(ValueError, match=says):
            to_hf(wrong, tmp_path / "out")
    grown = small_llama()
    grown.embed.tokens = nn.Embedding(51, 16)
    with pytest.raises(ValueError, match=r"shape \(51, 16\), and its config asks for \(50, 16\)"):
        to_hf(grown, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    to_hf(merge_lora(with_lora(small_llama())), tmp_path / "out")


def test_a_compiled_model_is_exported_as_the_one_that_it_was(tmp_path):
    plain, inside = small_llama(), small_llama()
    inside.stack.blocks[0] = torch.compile(inside.stack.blocks[0], backend="eager")
    for n, model in enumerate((plain, torch.compile(small_llama(), backend="eager"), inside)):
        to_hf(model, tmp_path / str(n))
    first, second, third = (
        (tmp_path / n / "model.safetensors").read_bytes() for n in ("0", "1", "2")
    )
    assert first == second == third


def test_gpt2_is_to_be_merged_and_exported_instead(tmp_path):
    model = add_lora(Transformer(gpt2(**SMALL)))
    with pytest.raises(ValueError, match="to_hf"):
        save_adapter(model, tmp_path)
