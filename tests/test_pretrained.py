"""Published weights in our classes: parity with the reference library, and the real models."""

import json
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from helpers import PUBLISHED, ids_for, model_of, randomize
from safetensors.torch import load_file, save_file
from torch.testing import assert_close
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    BertConfig,
    BertForMaskedLM,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from fmcourse import packages, pretrained
from fmcourse.evaluation import token_nats
from fmcourse.generation import apply_chat_template, generate
from fmcourse.models.transformer import Config, Transformer, bert, gpt2, modern
from fmcourse.pretrained import gguf
from fmcourse.tokenizers import BPETokenizer, WordPieceTokenizer
from recipes.common import measurements

CAPITAL = "The capital of France is"
SENTENCES = [
    "A cat sat on the mat.",
    "Stock prices fell sharply today, and nobody knew why.",
    "猫",
    "one two " * 200,
]
REFERENCES = {
    "gpt2": GPT2LMHeadModel,
    "llama": LlamaForCausalLM,
    "qwen2": Qwen2ForCausalLM,
    "bert": BertForMaskedLM,
}


def reference_class(name):
    return BertModel if name == "bert bare" else REFERENCES[name.split()[0]]


def outputs(output):
    """Logits of a model with a head, states of one without."""
    return output.last_hidden_state if hasattr(output, "last_hidden_state") else output.logits


# -- both directions ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_we_write_the_reference_opens_and_computes_the_same(name, tmp_path):
    ours, ids = model_of(name), ids_for(name)
    pretrained.to_hf(ours, tmp_path)
    theirs, report = reference_class(name).from_pretrained(tmp_path, output_loading_info=True)
    # No output depends on BERT's pooler, which our class does not have.
    missing = {key for key in report["missing_keys"] if "pooler" not in key}
    assert not missing and not report["unexpected_keys"] and not report["mismatched_keys"]
    with torch.no_grad():
        assert_close(ours(ids), outputs(theirs.eval()(ids)), atol=1e-4, rtol=1e-4)


THEIRS = {
    "gpt2": lambda: GPT2LMHeadModel(
        GPT2Config(vocab_size=67, n_positions=29, n_embd=42, n_layer=3, n_head=7)
    ),
    "llama": lambda: LlamaForCausalLM(
        LlamaConfig(
            vocab_size=59,
            hidden_size=60,
            intermediate_size=101,
            num_hidden_layers=2,
            num_attention_heads=6,
            num_key_value_heads=3,
            max_position_embeddings=31,
            rope_theta=777.0,
            tie_word_embeddings=False,
        )
    ),
    "qwen2": lambda: Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=43,
            hidden_size=36,
            intermediate_size=55,
            num_hidden_layers=2,
            num_attention_heads=6,
            num_key_value_heads=2,
            max_position_embeddings=21,
            rope_parameters={"rope_type": "default", "rope_theta": 5e5},
        )
    ),
    "llama tied": lambda: LlamaForCausalLM(
        LlamaConfig(
            vocab_size=37,
            hidden_size=24,
            intermediate_size=35,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=1,
            max_position_embeddings=23,
            tie_word_embeddings=True,
            rms_norm_eps=1e-5,
        )
    ),
    "bert": lambda: BertForMaskedLM(
        BertConfig(
            vocab_size=73,
            hidden_size=33,
            num_hidden_layers=2,
            num_attention_heads=3,
            intermediate_size=47,
            max_position_embeddings=27,
            type_vocab_size=2,
        )
    ),
    "bert bare": lambda: BertModel(
        BertConfig(
            vocab_size=51,
            hidden_size=40,
            num_hidden_layers=1,
            num_attention_heads=5,
            intermediate_size=33,
            max_position_embeddings=18,
        )
    ),
}


@pytest.mark.parametrize("name", THEIRS)
def test_what_the_reference_writes_we_open_and_compute_the_same(name, tmp_path):
    torch.manual_seed(3)
    theirs = randomize(THEIRS[name]())
    theirs.save_pretrained(tmp_path)
    ours, tokenizer = pretrained.from_hf(tmp_path)
    assert tokenizer is None and type(ours) is Transformer
    ids = torch.randint(
        ours.config.vocab_size, (2, ours.config.context), generator=torch.Generator().manual_seed(4)
    )
    with torch.no_grad():
        assert_close(ours(ids), outputs(theirs(ids)), atol=1e-4, rtol=1e-4)


def test_padding_masks_and_token_types_mean_the_same_to_bert(tmp_path):
    ours, ids = model_of("bert types"), ids_for("bert types", 2)
    pretrained.to_hf(ours, tmp_path)
    theirs = BertForMaskedLM.from_pretrained(tmp_path).eval()
    padding_mask = torch.arange(12) < torch.tensor([[12], [7]])
    types = (torch.arange(12) > 4).long().expand(2, 12)
    with torch.no_grad():
        given = ours(ids, padding_mask[:, None], types)
        expected = theirs(ids, attention_mask=padding_mask.long(), token_type_ids=types).logits
    assert_close(given[padding_mask], expected[padding_mask], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_model_is_read_back_from_its_own_folder_bit_for_bit(name, tmp_path):
    ours = model_of(name)
    pretrained.to_hf(ours, tmp_path)
    again, _ = pretrained.from_hf(tmp_path)
    assert again.config == ours.config
    for (key, weight), (other, same) in zip(
        ours.named_parameters(), again.named_parameters(), strict=True
    ):
        assert key == other and torch.equal(weight, same)
    assert (again.config.tied and again.config.head == "linear") == (
        getattr(again.head, "weight", None) is again.embed.tokens.weight
    )


# -- errors ---------------------------------------------------------------------------------------


def test_a_folder_that_is_not_a_model_is_refused_by_what_it_lacks(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has no config\.json"):
        pretrained.from_hf(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "mamba"}')
    with pytest.raises(FileNotFoundError, match=r"has no model\.safetensors"):
        pretrained.from_hf(tmp_path)
    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(
        ValueError, match="model_type 'mamba' is not one of gpt2, llama, qwen2, bert"
    ):
        pretrained.from_hf(tmp_path)


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("gpt2", {"activation_function": "relu"}, "activation_function='relu'"),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx=True"),
        ("llama", {"hidden_act": "gelu"}, "hidden_act='gelu'"),
        (
            "llama",
            {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}},
            "rope_type='yarn'",
        ),
        ("llama", {"head_dim": 99}, "head_dim=99"),
        ("qwen2", {"use_sliding_window": True}, "use_sliding_window=True"),
        ("qwen2", {"layer_types": ["full_attention", "sliding_attention"]}, "layer_types="),
        ("gpt2", {"quantization_config": {"quant_method": "fp8"}}, "quantization_config="),
        (
            "bert",
            {"position_embedding_type": "relative_key"},
            "position_embedding_type='relative_key'",
        ),
    ],
)
def test_a_detail_that_our_class_does_not_compute_is_refused(name, change, says, tmp_path):
    pretrained.to_hf(model_of(name), tmp_path)
    facts = json.loads((tmp_path / "config.json").read_text()) | change
    (tmp_path / "config.json").write_text(json.dumps(facts))
    with pytest.raises(ValueError, match=says):
        pretrained.from_hf(tmp_path)


def test_missing_and_unknown_weights_are_named(tmp_path):
    pretrained.to_hf(model_of("llama"), tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    save_file(
        weights | {"model.layers.0.extra.weight": torch.zeros(2)}, tmp_path / "model.safetensors"
    )
    with pytest.raises(
        ValueError, match=r"holds model\.layers\.0\.extra\.weight, for which our class has no place"
    ):
        pretrained.from_hf(tmp_path)
    weights.pop("model.layers.1.mlp.up_proj.weight")
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"holds no model\.layers\.1\.mlp\.up_proj\.weight"):
        pretrained.from_hf(tmp_path)


SMALL = {"vocab_size": 9, "width": 8, "heads": 2, "depth": 1}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (modern(**SMALL), "qk_norm=True"),
        (Config(**SMALL, norm_place="after"), "norm_place='after'"),
        (Config(**SMALL, norm_eps=1e-6), "norm_eps=1e-06"),
        (Config(**SMALL, hidden=9), "hidden=9"),
        (bert(**SMALL, head="linear"), "causal=False"),
    ],
)
def test_a_shape_that_nobody_published_is_not_exported(config, message, tmp_path):
    with pytest.raises(
        ValueError, match=f"no published family computes this shape: .*{re.escape(message)}"
    ):
        pretrained.to_hf(Transformer(config), tmp_path)
    assert not any(tmp_path.iterdir())


def test_dropout_does_not_keep_a_model_from_being_exported(tmp_path):
    pretrained.to_hf(Transformer(gpt2(**SMALL, dropout=0.1)), tmp_path)
    assert pretrained.from_hf(tmp_path)[0].config == gpt2(**SMALL)


def test_unknown_names_and_weights_are_refused():
    with pytest.raises(
        ValueError,
        match="no model is called 'gpt5'; there are 'smollm2-135m-instruct', 'minilm-l6'",
    ):
        pretrained.load("gpt5")
    with pytest.raises(ValueError, match="has no weights='int3'"):
        pretrained.load("smollm2-135m-instruct", weights="int3")
    with pytest.raises(ValueError, match="minilm-l6 has no weights='int4'"):
        pretrained.load("minilm-l6", weights="int4")


def test_a_package_that_is_not_installed_is_one_sentence_with_the_command(monkeypatch):
    monkeypatch.setitem(packages.PACKAGES, "minilm-l6", "no-such-package==1.0")
    assert not packages.is_installed("minilm-l6")
    with pytest.raises(
        ModuleNotFoundError,
        match="^minilm-l6 is not installed; `python -m fmcourse models install` installs it.$",
    ):
        pretrained.load("minilm-l6")


# -- SmolLM2 --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def smol():
    return pretrained.load("smollm2-135m-instruct")


@pytest.fixture(scope="module")
def reference():
    """transformers' model with the weights of the same GGUF file, unpacked by the gguf library."""
    return measurements("06").reference()


TEXTS = [
    CAPITAL,
    "def fib(n):\n    return n if n < 2 else fib(n - 1) + fib(n - 2)",
    "Ünïcödé 猫 🙂 12345",
    "To be, or not to be",
]


@pytest.mark.slow
@pytest.mark.parametrize("text", TEXTS)
def test_smollm2_has_the_references_logits(smol, reference, text):
    model, tokenizer = smol
    ids = torch.tensor([tokenizer.encode(text)])
    with torch.no_grad():
        assert_close(model(ids), reference(ids).logits, atol=1e-3, rtol=1e-3)


def test_smollm2_is_the_courses_own_class_and_knows_a_capital(smol):
    model, tokenizer = smol
    assert (
        type(model) is Transformer
        and isinstance(tokenizer, BPETokenizer)
        and tokenizer.vocab_size == 49_152
    )
    with torch.no_grad():
        assert (
            tokenizer.decode(
                [int(model(torch.tensor([tokenizer.encode(CAPITAL)]))[0, -1].argmax())]
            )
            == " Paris"
        )


@pytest.mark.slow
def test_a_folder_written_from_smollm2_opens_in_the_reference(smol, reference, tmp_path):
    pretrained.to_hf(smol[0], tmp_path)
    ids = torch.tensor([[1, 2, 3, 4, 5]])
    with torch.no_grad():
        logits = AutoModelForCausalLM.from_pretrained(tmp_path).eval()(ids).logits
        assert_close(logits, reference(ids).logits, atol=1e-3, rtol=1e-3)


@pytest.mark.slow
def test_int4_weights_compute_nearly_the_same_in_less_memory(smol):
    packed, _ = pretrained.load("smollm2-135m-instruct", weights="int4")
    full, tokenizer = smol
    ids = tokenizer.encode(
        "It was the best of times, it was the worst of times, it was the age of wisdom, " * 4
    )
    losses = [token_nats(model, ids)[1:].mean().item() for model in (packed, full)]
    assert abs(losses[0] - losses[1]) < 0.05
    x = torch.randn(3, 576, generator=torch.Generator().manual_seed(0))
    ours, theirs = (
        packed.stack.blocks[0].attention.qkv_proj,
        full.stack.blocks[0].attention.qkv_proj,
    )
    # the fast product rounds x and the scales to bfloat16
    assert (ours(x) - theirs(x)).norm() < 0.01 * theirs(x).norm()
    held = sum(t.numel() * t.element_size() for t in packed.state_dict().values())
    assert held < 0.45 * sum(w.numel() * w.element_size() for w in full.parameters())


@pytest.mark.slow
def test_loading_needs_no_cache_and_a_read_only_home_is_no_crash(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    program = """
from fmcourse import pretrained
_, tokenizer = pretrained.load("smollm2-135m-instruct", weights="int4")
print(pretrained.cache_folder(), tokenizer.decode(tokenizer.encode("hello")))
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"FMCOURSE_CACHE": str(blocked / "below")},
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.returncode) == ("None hello\n", 0), done.stderr


# -- MiniLM ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def minilm():
    return pretrained.load("minilm-l6")


def test_minilm_has_the_references_states_and_sentence_embeddings(minilm):
    model, tokenizer = minilm
    theirs = AutoModel.from_pretrained(
        packages.package_file("minilm-l6", "config.json").parent
    ).eval()
    assert isinstance(tokenizer, WordPieceTokenizer)
    for text in SENTENCES:
        ids = torch.tensor([pretrained.truncate(tokenizer.encode(text), 256)])
        with torch.no_grad():
            states = theirs(ids).last_hidden_state
            assert_close(model(ids), states, atol=1e-4, rtol=1e-4)
        expected = torch.nn.functional.normalize(states.mean(1), dim=-1)
        assert_close(
            pretrained.embed_sentences(model, tokenizer, [text]), expected, atol=1e-4, rtol=1e-4
        )


def test_a_sentence_embedding_does_not_depend_on_the_batch(minilm):
    alone = torch.cat([pretrained.embed_sentences(*minilm, [text]) for text in SENTENCES])
    assert_close(
        pretrained.embed_sentences(*minilm, SENTENCES, batch=3), alone, atol=1e-5, rtol=1e-4
    )
    with pytest.raises(ValueError, match="texts is empty"):
        pretrained.embed_sentences(*minilm, [])


def test_an_empty_text_has_an_embedding_and_a_long_one_is_cut(minilm):
    empty, long, cut = pretrained.embed_sentences(*minilm, ["", "word " * 400, "word " * 254])
    assert_close(empty.norm(), torch.tensor(1.0))
    assert_close(long, cut, atol=1e-5, rtol=1e-4)


def test_texts_of_like_meaning_lie_close(minilm):
    cat, kitten, money = pretrained.embed_sentences(
        *minilm, ["The cat sleeps.", "A kitten is napping.", "Banks lend money."]
    )
    assert cat @ kitten > 0.5 > 0.3 > cat @ money


# -- tokenizers in folders ------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["gpt2", "digits"])
def test_a_byte_level_tokenizer_json_is_read(split, tmp_path):
    trained = BPETokenizer.train(
        "the theme of the thesis is 1984 " * 20, 300, split=split, special_tokens=["<|end|>"]
    )
    pretrained.to_hf(
        Transformer(gpt2(vocab_size=300, width=8, heads=2, depth=1, context=8)), tmp_path
    )
    level = {"type": "ByteLevel", "add_prefix_space": False}
    pre = (
        level
        if split == "gpt2"
        else {
            "type": "Sequence",
            "pretokenizers": [{"type": "Digits", "individual_digits": True}, level],
        }
    )
    (tmp_path / "tokenizer.json").write_text(
        json.dumps(
            {
                "model": {"type": "BPE", "vocab": trained.vocab, "merges": trained.merges},
                "pre_tokenizer": pre,
                "added_tokens": [{"content": "<|end|>", "special": True, "id": 299}],
            }
        )
    )
    _, read = pretrained.from_hf(tmp_path)
    text = "the 1984 theory <|end|>"
    assert read.encode(text) == trained.encode(text)
    assert read.encode(text, allow_special=True) == trained.encode(text, allow_special=True)


def test_a_tokenizer_of_another_kind_is_refused_by_name_and_the_weights_alone_are_read(tmp_path):
    pretrained.to_hf(model_of("gpt2"), tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"model": {"type": "Unigram"}}')
    with pytest.raises(ValueError, match="a Unigram tokenizer .* with_tokenizer=False"):
        pretrained.from_hf(tmp_path)
    assert pretrained.from_hf(tmp_path, with_tokenizer=False)[1] is None


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(tmp_path):
    pretrained.to_hf(model_of("bert"), tmp_path)
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{i}" for i in range(70))]
    for n in (71, 40):  # as many as the model, and fewer: the rest of its rows is padding
        (tmp_path / "vocab.txt").write_text("\n".join(tokens[:n]))
        assert pretrained.from_hf(tmp_path)[1].vocab_size == n
    (tmp_path / "vocab.txt").write_text("\n".join(tokens))
    with pytest.raises(ValueError, match="has 75 tokens and the model 71"):
        pretrained.from_hf(tmp_path)


def test_without_a_tokenizer_it_is_said_where_one_is_needed():
    with pytest.raises(ValueError, match="tokenizer is None"):
        pretrained.embed_sentences(model_of("bert bare"), None, ["a"])
    with pytest.raises(ValueError, match="tokenizer is None"):
        generate(model_of("gpt2"), None, "a", max_new_tokens=1)
    with pytest.raises(ValueError, match="tokenizer is None"):
        generate(model_of("gpt2"), None, [1, 2], max_new_tokens=1)
    with pytest.raises(ValueError, match="tokenizer is None"):
        apply_chat_template(None, [{"role": "user", "content": "a"}])


# -- damaged files ---------------------------------------------------------------------------------

LFS_POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 538\n"


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda whole: LFS_POINTER.encode(), "is a Git LFS pointer.* `git lfs pull`"),
        (lambda whole: whole[: len(whole) // 2], "is damaged or cut short"),
        (lambda whole: whole[:5], "is damaged or cut short"),
        (lambda whole: b"", "is damaged or cut short"),
    ],
)
@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_damaged_file_is_one_sentence(name, damage, says, tmp_path):
    pretrained.to_hf(model_of("gpt2"), tmp_path)
    path = tmp_path / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=f"{name} {says}"):
        pretrained.from_hf(tmp_path)


REQUIRED = [
    ("gpt2", key) for key in ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head")
] + [
    (name, key)
    for name in ("llama", "qwen2", "bert")
    for key in ("vocab_size", "hidden_size", "num_attention_heads", "intermediate_size")
]


@pytest.mark.parametrize(("name", "key"), REQUIRED)
@pytest.mark.parametrize("value", ["absent", None, "12", 0, [3]])
def test_a_config_without_a_number_is_one_sentence(name, key, value, tmp_path):
    pretrained.to_hf(model_of(name), tmp_path)
    facts = json.loads((tmp_path / "config.json").read_text())
    del facts[key]
    if value != "absent":
        facts[key] = value
    (tmp_path / "config.json").write_text(json.dumps(facts))
    with pytest.raises(ValueError, match="does not say|is damaged|must|cannot|has|should"):
        pretrained.from_hf(tmp_path)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("gpt2", {"vocab_size": 60}),
        ("gpt2", {"n_positions": 99}),
        ("llama", {"num_key_value_heads": 6}),
        ("llama", {"intermediate_size": 99}),
        ("bert", {"type_vocab_size": 5}),
    ],
)
def test_weights_of_another_shape_are_one_sentence(name, change, tmp_path):
    pretrained.to_hf(model_of(name), tmp_path)
    facts = json.loads((tmp_path / "config.json").read_text()) | change
    (tmp_path / "config.json").write_text(json.dumps(facts))
    with pytest.raises(ValueError, match="should make a weight of shape .* both of one model"):
        pretrained.from_hf(tmp_path)


def test_the_weights_of_a_model_that_was_compiled_are_read(tmp_path):
    pretrained.to_hf(model_of("llama"), tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    compiled = {f"_orig_mod.{name}": weight for name, weight in weights.items()}
    save_file(compiled, tmp_path / "model.safetensors")
    ids = ids_for("llama")
    assert torch.equal(pretrained.from_hf(tmp_path)[0](ids), model_of("llama")(ids))


def test_quantized_codes_are_refused(tmp_path):
    pretrained.to_hf(model_of("llama"), tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    key = "model.layers.0.mlp.up_proj.weight"
    weights[key] = weights[key].to(torch.int8)
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=f"{key} holds torch.int8 codes"):
        pretrained.from_hf(tmp_path)


def test_a_head_that_is_no_copy_of_the_embedding_is_refused(tmp_path):
    pretrained.to_hf(model_of("llama"), tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    head = weights["model.embed_tokens.weight"].clone()
    for change in (0.0, 1.0):
        save_file(weights | {"lm_head.weight": head + change}, tmp_path / "model.safetensors")
        if change:
            with pytest.raises(ValueError, match="lm_head.weight, which differs"):
                pretrained.from_hf(tmp_path)
        else:
            pretrained.from_hf(tmp_path)


# -- the cache ------------------------------------------------------------------------------------


@pytest.fixture
def small_package(tmp_path, monkeypatch):
    """A GGUF file that stands for SmolLM2's, its weights, and an empty cache."""
    path, weights = tmp_path / "small.gguf", {"a": torch.arange(4.0), "b": torch.ones(2, 3)}
    path.write_bytes(b"GGUF")
    monkeypatch.setenv("FMCOURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(gguf, "open_gguf", lambda path: None)
    return path, weights


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: whole[:-3],
        lambda whole: whole[:12],
        lambda whole: b"",
        lambda whole: b"\0" * len(whole),
        lambda whole: LFS_POINTER.encode(),
    ],
)
def test_a_damaged_cache_file_is_noticed_dropped_and_made_anew(damage, small_package):
    path, weights = small_package
    made = []

    def convert(reader):
        made.append(reader)
        return weights

    for _ in range(2):
        assert_close(gguf.cached_weights(path, "fp32", set("ab"), convert), weights)
    (cached,) = (path.parent / "cache").iterdir()
    assert len(made) == 1 and pretrained.damaged_cache_files() == []
    cached.write_bytes(damage(cached.read_bytes()))
    assert pretrained.damaged_cache_files() == [cached]
    assert_close(gguf.cached_weights(path, "fp32", set("ab"), convert), weights)
    assert len(made) == 2 and pretrained.damaged_cache_files() == []
    save_file({"c": torch.ones(1)}, cached)  # whole, but another file
    assert_close(gguf.cached_weights(path, "fp32", set("ab"), convert), weights)
    assert len(made) == 3


def test_a_byte_that_flipped_inside_a_cached_tensor_is_found_by_the_doctors_check(small_package):
    path, weights = small_package
    gguf.cached_weights(path, "fp32", set("ab"), lambda reader: weights)
    (cached,) = (path.parent / "cache").iterdir()
    whole = cached.read_bytes()
    for place in (1, 17, len(whole) // 2):
        changed = bytearray(whole)
        changed[-place] ^= 1
        cached.write_bytes(changed)
        assert pretrained.damaged_cache_files() == [cached]
    cached.write_bytes(whole)
    assert pretrained.damaged_cache_files() == []


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "int4"])
def test_smollm2_is_unpacked_anew_where_its_cache_is_cut_short(precision, tmp_path, monkeypatch):
    monkeypatch.setenv("FMCOURSE_CACHE", str(tmp_path))
    path = packages.package_file("smollm2-135m-instruct", ".gguf")
    load, kind = {
        "fp32": (gguf.load_gguf, "fp32-columns"),
        "int4": (gguf.load_int4, "int4"),
    }[precision]
    cached = tmp_path / f"{path.stem}-{path.stat().st_size}-{kind}-v2.safetensors"
    cached.write_bytes(b"cut")
    ids = torch.tensor([[1, 2, 3]])
    expected = load(path)(ids)
    with open(cached, "rb+") as file:
        file.truncate(cached.stat().st_size // 2)
    assert torch.equal(load(path)(ids), expected)


@pytest.mark.parametrize("contents", ["", "{", "[]", '{"kind": "BPETokenizer"}', "WRECK"])
def test_a_damaged_tokenizer_in_the_cache_is_made_anew(contents, tmp_path, monkeypatch):
    monkeypatch.setenv("FMCOURSE_CACHE", str(tmp_path))
    path = packages.package_file("smollm2-135m-instruct", ".gguf")
    small = BPETokenizer.train("a text", 256)
    cached = tmp_path / f"{path.stem}-{path.stat().st_size}-v1.tokenizer.json"
    small.save(cached)
    assert gguf.load_gguf_tokenizer(path).tokens == small.tokens
    if contents == "WRECK":
        contents = cached.read_text().replace('"vocab": {', '"vocab": 3, "more": {')
    cached.write_text(contents)
    assert pretrained.damaged_cache_files() == [cached]
    fields = {"tokens": ["a"], "token_type": [1], "merges": []}
    reader = SimpleNamespace(
        fields={
            f"tokenizer.ggml.{name}": SimpleNamespace(contents=lambda value=value: value)
            for name, value in fields.items()
        }
    )
    monkeypatch.setattr(gguf, "open_gguf", lambda path: reader)
    assert gguf.load_gguf_tokenizer(path).tokens == [b"a"]
    assert pretrained.damaged_cache_files() == []


@pytest.mark.parametrize(
    ("contents", "says"),
    [
        (LFS_POINTER.encode(), "git lfs pull"),
        (b"", "is damaged or cut short"),
        (b"not a model", "is damaged or cut short"),
        (None, "is damaged or cut short"),
    ],
)
def test_a_damaged_gguf_file_names_the_command(contents, says, tmp_path, monkeypatch):
    monkeypatch.setenv("FMCOURSE_CACHE", str(tmp_path / "cache"))
    if contents is None:
        with open(packages.package_file("smollm2-135m-instruct", ".gguf"), "rb") as file:
            contents = file.read(30_000)
    path = tmp_path / "small.gguf"
    path.write_bytes(contents)
    for load in (gguf.load_gguf, gguf.load_int4, gguf.load_gguf_tokenizer):
        with pytest.raises(ValueError, match=f"{says}.* `python -m fmcourse models install --ag"):
            load(path)


@pytest.mark.parametrize("contents", [LFS_POINTER.encode(), b"", b"PK\x03\x04 cut short"])
def test_a_damaged_vision_model_is_one_sentence(contents, tmp_path, monkeypatch):
    path = tmp_path / "model.pth"
    path.write_bytes(contents)
    monkeypatch.setattr(pretrained, "package_file", lambda name, ending: path)
    with pytest.raises(ValueError, match="model.pth is a Git LFS pointer|model.pth is damaged"):
        pretrained.load_vision()
