"""Low-rank steps: nothing at first, a matrix afterwards, and the same numbers and files as peft's."""

import copy
import json

import pytest
import torch
from helpers import randomize
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close
from transformers import BertModel, LlamaForCausalLM

from fmcourse.adaptation import (
    LoRALinear,
    add_lora,
    count_trainable,
    fit_linear_probe,
    load_adapter,
    lora_targets,
    merge_lora,
    save_adapter,
    train_only,
)
from fmcourse.models.config import bert, gpt2, llama, modern
from fmcourse.models.heads import SequenceClassifier
from fmcourse.models.transformer import Transformer
from fmcourse.objectives import next_token
from fmcourse.pretrained import from_hf, to_hf
from fmcourse.training import fit
from fmcourse.training.optimizers import OptimizerConfig

SMALL = {"vocab_size": 50, "context": 16, "width": 16, "depth": 2, "heads": 4}
ids = torch.randint(50, (3, 10), generator=torch.Generator().manual_seed(0))
ALL = ("q", "k", "v", "out", "gate", "up", "down")


def small_llama() -> Transformer:
    torch.manual_seed(0)
    return randomize(Transformer(llama(**SMALL, kv_heads=2, hidden=24))).eval()


def small_bert() -> Transformer:
    torch.manual_seed(0)
    return randomize(Transformer(bert(**SMALL, hidden=32, head="none"))).eval()


def with_lora(model: Transformer, targets=ALL, rank: int = 3, alpha: float = 5.0) -> Transformer:
    """Steps that do something: B drawn too."""
    add_lora(model, rank, alpha, targets)
    for step in (module for module in model.modules() if isinstance(module, LoRALinear)):
        for B in step.B:
            nn.init.normal_(B, std=0.3)
    return model


# -- what a step is -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", [("q", "v"), ("k",), ALL])
def test_it_begins_as_the_model_it_was_and_trains_the_steps_alone(where):
    model = small_llama()
    before = model(ids)
    frozen = {name: weight.clone() for name, weight in model.named_parameters()}
    add_lora(model, 2, 4.0, where)
    assert torch.equal(model(ids), before)
    F.cross_entropy(model(ids).flatten(0, 1), ids.flatten()).backward()
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert trained and all(".A." in name or ".B." in name for name in trained)
    assert {name for name, weight in model.named_parameters() if weight.grad is not None} == trained
    for name, weight in model.named_parameters():
        if name not in trained:
            assert torch.equal(weight, frozen[name.replace(".base.", ".")])


def test_the_numbers_trained_are_rank_times_what_goes_in_and_out():
    model = add_lora(small_llama(), 3, 1.0, ("q", "v"))
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    assert trained == 2 * 3 * ((16 + 16) + (16 + 8))  # two blocks; v has two heads of four


def test_a_step_is_spelt_out():
    torch.manual_seed(0)
    base = nn.Linear(6, 10)
    step, x = LoRALinear(base, (4, 6), (1,), rank=2, alpha=3.0), torch.randn(5, 6)
    nn.init.normal_(step.B[0])
    wanted = base(x)
    wanted[:, 4:] += 1.5 * x @ step.A[0].T @ step.B[0].T
    assert_close(step(x), wanted)


def test_the_step_has_the_rank_it_was_given():
    model, before = small_llama(), small_llama()
    with_lora(model, ("down",), rank=2)
    merge_lora(model)
    change = model.stack.blocks[0].mlp.down.weight - before.stack.blocks[0].mlp.down.weight
    assert torch.linalg.matrix_rank(change, tol=1e-5) == 2


@pytest.mark.parametrize("make", [small_llama, small_bert])
def test_merged_it_is_the_same_function_in_the_old_class(make):
    where = ALL if make is small_llama else ("q", "k", "v", "out", "up", "down")
    model = with_lora(make(), where)
    changed, plain = model(ids), make()
    merge_lora(model)
    assert_close(model(ids), changed, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(plain(ids), changed, atol=1e-2)
    assert [(name, weight.shape) for name, weight in model.named_parameters()] == [
        (name, weight.shape) for name, weight in plain.named_parameters()
    ]
    assert all(weight.requires_grad for weight in model.parameters())
    model.load_state_dict(plain.state_dict())


def test_decoding_with_a_cache_goes_through_the_steps():
    model = with_lora(small_llama())
    logits, cache = model.extend(ids[:, :6], model.new_cache(3))
    more, _ = model.extend(ids[:, 6:], cache)
    assert_close(torch.cat([logits, more], 1), model(ids), rtol=1e-4, atol=1e-5)


def test_training_steps_learns_and_leaves_the_rest():
    model = add_lora(small_llama(), 4, 8.0, ALL)
    before = {
        name: weight.clone()
        for name, weight in model.named_parameters()
        if not weight.requires_grad
    }
    optimizer = OptimizerConfig(matrix_optimizer="adamw", lr=2e-2)
    history = fit(model, next_token, [ids], steps=150, optimizer=optimizer, progress=False)
    assert history.losses[-1] < history.losses[0] - 0.3
    assert all(
        torch.equal(weight, before[name])
        for name, weight in model.named_parameters()
        if name in before
    )


def test_a_head_around_an_encoder_stays_outside():
    model = add_lora(SequenceClassifier(small_bert(), 3), 2)
    assert not model.classifier.weight.requires_grad
    assert model(ids).shape == (3, 3)


def test_places_are_those_that_the_model_has():
    assert set(lora_targets(small_llama())) == set(ALL)
    assert set(lora_targets(small_bert())) == set(ALL) - {"gate"}
    assert set(lora_targets(Transformer(modern(**SMALL)))) == set(ALL) - {"gate"}


# -- beside peft ----------------------------------------------------------------------------------------------------------


def theirs_of(ours: Transformer, folder, kind):
    to_hf(ours, folder)
    return kind.from_pretrained(folder).eval()


CASES = [
    (
        small_llama,
        LlamaForCausalLM,
        ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    ),
    (small_llama, LlamaForCausalLM, ["q_proj", "v_proj"]),
    (small_llama, LlamaForCausalLM, ["up_proj"]),
    (small_bert, BertModel, ["query", "value"]),
]


def numbers(model, ids):
    out = model(input_ids=ids)
    return out.logits if hasattr(out, "logits") else out.last_hidden_state


@pytest.mark.parametrize(("make", "kind", "targets"), CASES)
def test_what_peft_saved_computes_the_same_here(make, kind, targets, tmp_path):
    ours = make()
    theirs = get_peft_model(
        theirs_of(ours, tmp_path / "base", kind),
        LoraConfig(r=3, lora_alpha=7, target_modules=targets),
    ).eval()
    randomize(theirs)  # every matrix, the frozen ones too
    theirs.save_pretrained(tmp_path / "adapter")
    theirs_base = copy.deepcopy(theirs).unload()
    theirs_base.save_pretrained(tmp_path / "drawn")
    ours, _ = from_hf(tmp_path / "drawn")
    load_adapter(ours, tmp_path / "adapter")
    with torch.no_grad():
        assert_close(ours(ids), numbers(theirs, ids), rtol=1e-5, atol=1e-5)
        assert_close(
            merge_lora(ours)(ids), numbers(theirs.merge_and_unload(), ids), rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize(
    ("make", "kind", "where"),
    [
        (small_llama, LlamaForCausalLM, ALL),
        (small_llama, LlamaForCausalLM, ("k", "down")),
        (small_bert, BertModel, ("q", "out", "up")),
    ],
)
def test_peft_opens_what_is_saved_here(make, kind, where, tmp_path):
    base = theirs_of(make(), tmp_path / "base", kind)
    ours = with_lora(make(), where)
    save_adapter(ours, tmp_path / "adapter")
    theirs = PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    with torch.no_grad():
        assert_close(ours(ids), numbers(theirs, ids), rtol=1e-5, atol=1e-5)
    again = load_adapter(make(), tmp_path / "adapter")
    assert torch.equal(again(ids), ours(ids))


# -- what is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda m: add_lora(m, 0), "rank=0"),
        (lambda m: add_lora(m, targets=()), "a rank above 0 and a place"),
        (
            lambda m: add_lora(m, targets=("query",)),
            "there is no 'query' in this model; it has q, k, v",
        ),
        (lambda m: add_lora(add_lora(m)), "steps of low rank already"),
        (lambda m: add_lora(nn.Linear(2, 2)), "Linear holds no Transformer"),
        (lambda m: save_adapter(m, "nowhere"), "has no steps"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(act, message):
    with pytest.raises(ValueError, match=message):
        act(small_llama())


def test_a_folder_without_an_adapter_and_adapters_of_other_kinds(tmp_path):
    with pytest.raises(FileNotFoundError, match="adapter_config.json"):
        load_adapter(small_llama(), tmp_path)
    save_adapter(with_lora(small_llama()), tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    with pytest.raises(
        ValueError, match="changes model.layers.0.mlp.down_proj, which this model has not"
    ):
        load_adapter(small_bert(), tmp_path)
    for change, message in (
        ({"use_dora": True}, "use_dora=True"),
        ({"bias": "all"}, "bias='all'"),
        ({"r": 2}, "adapter of another model"),
    ):
        (tmp_path / "adapter_config.json").write_text(json.dumps(config | change))
        with pytest.raises(ValueError, match=message):
            load_adapter(small_llama(), tmp_path)


def test_gpt2_is_said_to_be_merged_and_exported_instead(tmp_path):
    model = add_lora(Transformer(gpt2(**SMALL)))
    with pytest.raises(ValueError, match="to_hf"):
        save_adapter(model, tmp_path)


# -- parts, and heads -----------------------------------------------------------------------------------------------------


def test_only_the_parts_named_are_trained():
    model = SequenceClassifier(small_bert(), 3)
    train_only(model, "classifier", "encoder.stack.blocks.1")
    names = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert names == {
        name
        for name, _ in model.named_parameters()
        if name.startswith(("classifier.", "encoder.stack.blocks.1."))
    }
    assert count_trainable(model) == sum(
        weight.numel() for name, weight in model.named_parameters() if name in names
    )
    assert count_trainable(train_only(model)) == 0 and count_trainable(
        train_only(model, "")
    ) == sum(w.numel() for w in model.parameters())


def test_a_part_that_is_not_there_names_those_nearest():
    with pytest.raises(
        ValueError, match=r"no part 'encoder.stack.block.1'; did you mean encoder.stack.blocks.1"
    ):
        train_only(SequenceClassifier(small_bert(), 3), "encoder.stack.block.1")
    with pytest.raises(
        ValueError, match="there is no 'o_proj' in this model; it has .* Did you mean 'out'"
    ):
        add_lora(small_llama(), 2, 4.0, ("o_proj",))


FEATURES = (
    torch.randn(60, 7, generator=torch.Generator().manual_seed(1))
    * torch.tensor([1, 5, 0.1, 2, 30, 1, 1])
    + 3
)
LABELS = (FEATURES[:, 1] > 3).long() + (FEATURES[:, 4] > 10).long()


@pytest.mark.parametrize("l2", [1e-4, 1e-3, 1e-1])
def test_a_head_is_scikit_learns_logistic_regression(l2):
    from sklearn.linear_model import LogisticRegression

    spread = (FEATURES - FEATURES.mean(0)) / FEATURES.std(0, correction=0) / 7**0.5
    theirs = LogisticRegression(C=1 / (2 * 60 * l2), tol=1e-8, max_iter=5000).fit(spread, LABELS)
    ours = fit_linear_probe(FEATURES, LABELS, 3, l2)(FEATURES).softmax(-1)
    assert_close(
        ours.double(), torch.tensor(theirs.predict_proba(spread)), atol=2e-3, rtol=0
    )  # both stop short of the end


def test_a_head_does_not_depend_on_units_or_on_what_never_changes_and_leaves_the_features_alone():
    before = FEATURES.clone()
    plain = fit_linear_probe(FEATURES, LABELS, 3)
    assert_close(
        fit_linear_probe(FEATURES * 100 + 5, LABELS, 3)(FEATURES * 100 + 5),
        plain(FEATURES),
        atol=1e-2,
        rtol=1e-2,
    )
    dead = fit_linear_probe(torch.cat([FEATURES, torch.ones(60, 1)], 1), LABELS, 3)(
        torch.cat([FEATURES, torch.ones(60, 1)], 1)
    )
    assert (dead.argmax(1) == plain(FEATURES).argmax(1)).float().mean() > 0.95 and torch.equal(
        FEATURES, before
    )
    assert not any(weight.requires_grad for weight in plain.parameters())


@pytest.mark.parametrize(
    ("labels", "kinds"), [(LABELS[:5], 3), (LABELS, 2), (LABELS - 1, 3), (LABELS[:0], 3)]
)
def test_labels_that_do_not_fit_the_features_are_refused(labels, kinds):
    with pytest.raises(
        ValueError, match=f"60 rows of features and {len(labels)} labels for {kinds} classes"
    ):
        fit_linear_probe(FEATURES, labels, kinds)
