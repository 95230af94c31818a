"""Real weights in our classes: read what others published, write what others can open. Offline, and never a pickle.

Every family is a table of names: our weight on the left, on the right the published weights that it is made of, one above the
other. One rule reads the table in both directions.
"""

import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from fmcourse.files import write_atomically, write_text
from fmcourse.models.heads import mean_pool, pad_batch
from fmcourse.models.transformer import Config, Transformer, bert, gpt2, llama
from fmcourse.models.vision import EfficientNet
from fmcourse.packages import PACKAGES
from fmcourse.tokenizers import BPETokenizer, WordPieceTokenizer

# -- three families -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Family:
    """How one family of published models names its weights and its shape."""

    ends: Mapping[str, Sequence[str]]
    block: Mapping[str, Sequence[str]]  # {i} stands for the block's number
    prefix: str  # what stands before the names, absent in files of the bare model
    transposed: tuple[str, ...] = ()  # published as (in, out)
    ignored: tuple[str, ...] = ()  # parts of the files that this course's models do not have
    read: Callable[[dict], Config] = None
    write: Callable[[Config], dict] = None


def weight_and_bias(ours: str, theirs: str) -> dict[str, list[str]]:
    return {f"{ours}.{part}": [f"{theirs}.{part}"] for part in ("weight", "bias")}


def read_gpt2(c: dict) -> Config:
    check_config(
        c,
        "gpt2",
        activation_function=("gelu_new", "gelu_pytorch_tanh"),
        n_inner=(None, 4 * c["n_embd"]),
        scale_attn_weights=(True,),
        scale_attn_by_inverse_layer_idx=(False,),
        add_cross_attention=(False,),
        layer_norm_epsilon=(1e-5,),
    )
    return gpt2(
        vocab_size=c["vocab_size"],
        context=c["n_positions"],
        width=c["n_embd"],
        depth=c["n_layer"],
        heads=c["n_head"],
        tied=c.get("tie_word_embeddings", True),
    )


def write_gpt2(c: Config) -> dict:
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "activation_function": "gelu_new",
        "vocab_size": c.vocab_size,
        "n_positions": c.context,
        "n_embd": c.width,
        "n_layer": c.depth,
        "n_head": c.heads,
        "layer_norm_epsilon": c.norm_eps,
        "tie_word_embeddings": c.tied,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }


def read_llama(c: dict) -> Config:
    check_config(
        c,
        "llama",
        hidden_act=("silu",),
        attention_bias=(False,),
        mlp_bias=(False,),
        rope_scaling=(None,),
        head_dim=(None, c["hidden_size"] // c["num_attention_heads"]),
    )
    rope = c.get("rope_parameters") or {"rope_theta": c.get("rope_theta", 10_000.0)}
    check_config(rope, "llama", rope_type=("default",))
    return llama(
        vocab_size=c["vocab_size"],
        context=c["max_position_embeddings"],
        width=c["hidden_size"],
        depth=c["num_hidden_layers"],
        heads=c["num_attention_heads"],
        kv_heads=c.get("num_key_value_heads"),
        hidden=c["intermediate_size"],
        rope_base=float(rope["rope_theta"]),
        norm_eps=c["rms_norm_eps"],
        tied=c.get("tie_word_embeddings", False),
    )


def write_llama(c: Config) -> dict:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "vocab_size": c.vocab_size,
        "max_position_embeddings": c.context,
        "hidden_size": c.width,
        "num_hidden_layers": c.depth,
        "num_attention_heads": c.heads,
        "num_key_value_heads": c.kv_heads,
        "intermediate_size": c.hidden,
        "rms_norm_eps": c.norm_eps,
        "rope_theta": c.rope_base,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": c.tied,
    }


def read_bert(c: dict) -> Config:
    ours = dict(
        hidden_act=("gelu",),
        position_embedding_type=("absolute",),
        is_decoder=(False,),
        tie_word_embeddings=(True,),
    )
    check_config(c, "bert", **ours)
    masked = "BertForMaskedLM" in (c.get("architectures") or [])
    return bert(
        vocab_size=c["vocab_size"],
        context=c["max_position_embeddings"],
        width=c["hidden_size"],
        depth=c["num_hidden_layers"],
        heads=c["num_attention_heads"],
        hidden=c["intermediate_size"],
        token_types=c.get("type_vocab_size", 2),
        norm_eps=c["layer_norm_eps"],
        head="masked" if masked else "none",
    )


def write_bert(c: Config) -> dict:
    kind = {"masked": "BertForMaskedLM", "none": "BertModel"}[c.head]
    return {
        "architectures": [kind],
        "model_type": "bert",
        "hidden_act": "gelu",
        "vocab_size": c.vocab_size,
        "max_position_embeddings": c.context,
        "hidden_size": c.width,
        "num_hidden_layers": c.depth,
        "num_attention_heads": c.heads,
        "intermediate_size": c.hidden,
        "type_vocab_size": c.token_types,
        "layer_norm_eps": c.norm_eps,
        "position_embedding_type": "absolute",
    }


GPT2 = Family(
    prefix="transformer.",
    ends={
        "embed.tokens.weight": ["wte.weight"],
        "embed.positions.weight": ["wpe.weight"],
        **weight_and_bias("stack.norm", "ln_f"),
        "head.weight": ["lm_head.weight"],
    },
    block={
        **weight_and_bias("norm_1", "h.{i}.ln_1"),
        **weight_and_bias("norm_2", "h.{i}.ln_2"),
        **weight_and_bias("attention.qkv_proj", "h.{i}.attn.c_attn"),
        **weight_and_bias("attention.out_proj", "h.{i}.attn.c_proj"),
        **weight_and_bias("mlp.up", "h.{i}.mlp.c_fc"),
        **weight_and_bias("mlp.down", "h.{i}.mlp.c_proj"),
    },
    transposed=("c_attn.weight", "c_proj.weight", "c_fc.weight"),
    ignored=(".attn.bias", ".attn.masked_bias"),
    read=read_gpt2,
    write=write_gpt2,
)
LLAMA = Family(
    prefix="model.",
    ends={
        "embed.tokens.weight": ["embed_tokens.weight"],
        "stack.norm.weight": ["norm.weight"],
        "head.weight": ["lm_head.weight"],
    },
    block={
        "norm_1.weight": ["layers.{i}.input_layernorm.weight"],
        "norm_2.weight": ["layers.{i}.post_attention_layernorm.weight"],
        "attention.qkv_proj.weight": [f"layers.{{i}}.self_attn.{x}_proj.weight" for x in "qkv"],
        "attention.out_proj.weight": ["layers.{i}.self_attn.o_proj.weight"],
        "mlp.up.weight": ["layers.{i}.mlp.gate_proj.weight", "layers.{i}.mlp.up_proj.weight"],
        "mlp.down.weight": ["layers.{i}.mlp.down_proj.weight"],
    },
    ignored=("rotary_emb.inv_freq",),
    read=read_llama,
    write=write_llama,
)
BERT = Family(
    prefix="bert.",
    ends={
        "embed.tokens.weight": ["embeddings.word_embeddings.weight"],
        "embed.positions.weight": ["embeddings.position_embeddings.weight"],
        "embed.token_types.weight": ["embeddings.token_type_embeddings.weight"],
        **weight_and_bias("embed.norm", "embeddings.LayerNorm"),
        **weight_and_bias("head.dense", "cls.predictions.transform.dense"),
        **weight_and_bias("head.norm", "cls.predictions.transform.LayerNorm"),
        "head.unembedding.bias": ["cls.predictions.bias"],
        "head.unembedding.weight": ["cls.predictions.decoder.weight"],
    },
    block={
        **{
            f"attention.qkv_proj.{part}": [
                f"encoder.layer.{{i}}.attention.self.{x}.{part}" for x in ("query", "key", "value")
            ]
            for part in ("weight", "bias")
        },
        **weight_and_bias("attention.out_proj", "encoder.layer.{i}.attention.output.dense"),
        **weight_and_bias("norm_1", "encoder.layer.{i}.attention.output.LayerNorm"),
        **weight_and_bias("mlp.up", "encoder.layer.{i}.intermediate.dense"),
        **weight_and_bias("mlp.down", "encoder.layer.{i}.output.dense"),
        **weight_and_bias("norm_2", "encoder.layer.{i}.output.LayerNorm"),
    },
    ignored=("position_ids", "pooler.", "cls.predictions.decoder.bias", "cls.seq_relationship"),
    read=read_bert,
    write=write_bert,
)
GGUF = Family(
    prefix="",
    ends={
        "embed.tokens.weight": ["token_embd.weight"],
        "stack.norm.weight": ["output_norm.weight"],
    },
    block={
        "norm_1.weight": ["blk.{i}.attn_norm.weight"],
        "norm_2.weight": ["blk.{i}.ffn_norm.weight"],
        "attention.qkv_proj.weight": [f"blk.{{i}}.attn_{x}.weight" for x in "qkv"],
        "attention.out_proj.weight": ["blk.{i}.attn_output.weight"],
        "mlp.up.weight": ["blk.{i}.ffn_gate.weight", "blk.{i}.ffn_up.weight"],
        "mlp.down.weight": ["blk.{i}.ffn_down.weight"],
    },
)
FAMILIES = {"gpt2": GPT2, "llama": LLAMA, "bert": BERT}
OUTSIDE_PREFIX = ("lm_head.", "cls.")  # published outside the prefix


def check_config(given: dict, family: str, **wanted: tuple) -> None:
    """Refuse a published config that computes something else than our class does."""
    for name, values in wanted.items():
        if name in given and given[name] not in values:
            raise ValueError(
                f"this {family} model has {name}={given[name]!r}; our class computes {values[0]!r} and would give "
                "wrong answers, so it is not loaded."
            )


def weight_names(family: Family, model: Transformer) -> dict[str, list[str]]:
    """Our weight -> the published ones, for every weight of this model; a tied one is named once."""
    table = dict(family.ends)
    for i in range(model.config.depth):
        for ours, theirs in family.block.items():
            table[f"stack.blocks.{i}.{ours}"] = [name.format(i=i) for name in theirs]
    return {ours: table[ours] for ours, _ in model.named_parameters()}


def from_published(
    family: Family, name: str, published: Callable[[str], Tensor], theirs: Sequence[str]
) -> Tensor:
    parts = [
        published(one).T if one.endswith(family.transposed or ("\0",)) else published(one)
        for one in theirs
    ]
    return torch.cat(parts).contiguous() if len(parts) > 1 else parts[0].contiguous()


def to_published(
    family: Family, weight: Tensor, theirs: Sequence[str], config: Config
) -> dict[str, Tensor]:
    K = config.head_width
    qkv = [config.heads * K, config.kv_heads * K, config.kv_heads * K]
    sizes = qkv if len(theirs) == 3 else [len(weight) // len(theirs)] * len(theirs)
    parts = weight.detach().split(sizes) if len(theirs) > 1 else [weight.detach()]
    turned = lambda one, part: part.T if one.endswith(family.transposed or ("\0",)) else part
    return {one: turned(one, part).contiguous() for one, part in zip(theirs, parts, strict=True)}


def empty_model(config: Config) -> Transformer:
    """A model without weights: they are put in place, not copied over drawn ones."""
    with torch.device("meta"):
        model = Transformer(config)
    model.stack.rope = (
        type(model.stack.rope)(config) if config.positions == "rope" else model.stack.rope
    )
    return model


def assign_weights(model: Transformer, weights: Mapping[str, Tensor]) -> Transformer:
    """Put weights in place, and tie again what was tied."""
    model.load_state_dict(weights, strict=False, assign=True)
    if model.config.tied and model.config.head != "none":
        getattr(model.head, "unembedding", model.head).weight = model.embed.tokens.weight
    empty = [name for name, weight in model.named_parameters() if weight.is_meta]
    if empty:
        raise ValueError(
            f"no weights for {', '.join(empty[:3])}, {len(empty)} in all; is the file the whole model?"
        )
    return model.eval()


# -- folders as transformers writes them ----------------------------------------------------------------------------------


def from_hf(folder: str | Path) -> tuple[Transformer, BPETokenizer | WordPieceTokenizer | None]:
    """Read a folder that transformers saved: config.json, model.safetensors and, where there is one, the tokenizer.

    Raises: FileNotFoundError naming the file, ValueError for a family or a detail that our class does not compute.
    """
    folder = Path(folder)
    for needed in ("config.json", "model.safetensors"):
        if not (folder / needed).is_file():
            raise FileNotFoundError(
                f"{folder} has no {needed}; give a folder made by save_pretrained with safetensors in one file."
            )
    config = json.loads((folder / "config.json").read_text("utf-8"))
    if config.get("model_type") not in FAMILIES:
        raise ValueError(
            f"model_type {config.get('model_type')!r} is not one of {', '.join(FAMILIES)}."
        )
    family = FAMILIES[config["model_type"]]
    model = empty_model(family.read(config))
    with safe_open(folder / "model.safetensors", "pt") as file:
        return assign_weights(model, read_weights(family, model, file)), read_tokenizer(folder)


def read_weights(family: Family, model: Transformer, file: Any) -> dict[str, Tensor]:
    available = set(file.keys())
    bare = not any(key.startswith(family.prefix) for key in available)
    full = lambda one: one if bare or one.startswith(OUTSIDE_PREFIX) else family.prefix + one
    table = weight_names(family, model)
    used = {full(one) for theirs in table.values() for one in theirs}
    if missing := sorted(used - available):
        raise ValueError(
            f"the file holds no {missing[0]} ({len(missing)} weights are missing); is it the whole model?"
        )
    tied = {"lm_head.weight", "cls.predictions.decoder.weight"}
    if extra := sorted(
        key for key in available - used - tied if not any(part in key for part in family.ignored)
    ):
        raise ValueError(
            f"the file holds {extra[0]}, for which our class has no place ({len(extra)} such weights)."
        )
    published = lambda one: file.get_tensor(full(one)).float()
    return {ours: from_published(family, ours, published, theirs) for ours, theirs in table.items()}


def to_hf(model: Transformer, folder: str | Path) -> None:
    """Write config.json and model.safetensors that transformers opens as GPT2LMHeadModel, LlamaForCausalLM or Bert.

    Raises: ValueError if no published family computes what this model does.
    """
    kind, folder = family_of(model.config), Path(folder)
    family, weights = FAMILIES[kind], {}
    own = dict(model.named_parameters())
    for ours, theirs in weight_names(family, model).items():
        parts = to_published(family, own[ours], theirs, model.config)
        bare = lambda name: name.startswith(OUTSIDE_PREFIX) or model.config.head == "none"
        weights |= {name if bare(name) else family.prefix + name: w for name, w in parts.items()}
    write_atomically(
        folder / "model.safetensors",
        lambda temporary: save_file(weights, temporary, {"format": "pt"}),
    )
    write_text(
        folder / "config.json",
        json.dumps(family.write(model.config) | {"dtype": "float32"}, indent=2),
    )


def family_of(config: Config) -> str:
    """The published family whose formula this config is."""
    makers = {"gpt2": gpt2, "llama": llama, "bert": bert}
    for kind, make in makers.items():
        known = make.__kwdefaults__.keys() - {"dropout"}
        if config == make(
            **{name: getattr(config, name) for name in known}
        ) or differs_only_in_dropout(config, make, known):
            return kind
    raise ValueError(
        f"no published family computes this shape: {config.summary()}. Build it with gpt2(), llama() or bert() to "
        "be able to export it."
    )


def differs_only_in_dropout(config: Config, make: Callable[..., Config], known: set[str]) -> bool:
    if "dropout" not in make.__kwdefaults__:
        return False
    return config == make(**{name: getattr(config, name) for name in known}, dropout=config.dropout)


def read_tokenizer(folder: Path) -> BPETokenizer | WordPieceTokenizer | None:
    """The folder's tokenizer, if it is one of the kinds that this course builds."""
    if (folder / "vocab.txt").is_file():
        return WordPieceTokenizer.from_vocab(folder / "vocab.txt")
    if not (folder / "tokenizer.json").is_file():
        return None
    facts = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    if facts["model"]["type"] != "BPE" or "ByteLevel" not in json.dumps(facts.get("pre_tokenizer")):
        return None
    merges = [m if isinstance(m, str) else " ".join(m) for m in facts["model"]["merges"]]
    split = "digits" if "Digits" in json.dumps(facts["pre_tokenizer"]) else "gpt2"
    special = [token["content"] for token in facts.get("added_tokens", []) if token["special"]]
    return BPETokenizer.from_vocab(
        facts["model"]["vocab"], merges, split=split, special_tokens=special
    )


# -- the models of the course -----------------------------------------------------------------------------------------


def load(
    name: str, *, weights: Literal["fp32", "int4"] = "fp32"
) -> tuple[Transformer, BPETokenizer | WordPieceTokenizer]:
    """A real pretrained model and its tokenizer, in our classes, from the installed package; no network.

    Args:
        name: "smollm2-135m-instruct" (a causal model that chats) or "minilm-l6" (an encoder of sentences).
        weights: "int4" keeps SmolLM2's matrices in the 4 bits that they were published in: a third of the memory and several
            times the speed of a token, for a loss that the benchmarks state. The model is then for use, not for training.
    Raises: ValueError for an unknown name or a model without a tokenizer, ModuleNotFoundError with the command that installs the package.
    """
    check_reads_text(name)
    if weights not in ("fp32", "int4") or (weights == "int4" and name != "smollm2-135m-instruct"):
        raise ValueError(
            f"{name} has no weights={weights!r}; choose 'fp32', or 'int4' for smollm2-135m-instruct."
        )
    if name == "minilm-l6":
        return from_hf(package_file(name, "config.json").parent)
    path = package_file(name, ".gguf")
    return (load_int4 if weights == "int4" else load_gguf)(path), gguf_tokenizer(path)


def load_tokenizer(name: str) -> BPETokenizer | WordPieceTokenizer:
    """The tokenizer of one of these models, without its weights.

    Raises: ValueError for an unknown name, ModuleNotFoundError with the command that installs the package.

    >>> load_tokenizer("smollm2-135m-instruct").pieces("a strawberry in 1984")
    ['a', ' strawberry', ' in', ' ', '1', '9', '8', '4']
    """
    check_reads_text(name)
    if name == "minilm-l6":
        return read_tokenizer(package_file(name, "config.json").parent)
    return gguf_tokenizer(package_file(name, ".gguf"))


def check_name(name: str) -> None:
    """Raises: ValueError with the names there are, if it is none of them."""
    if name not in PACKAGES:
        raise ValueError(
            f"no model is called {name!r}; there are {', '.join(map(repr, PACKAGES))}."
        )


def check_reads_text(name: str) -> None:
    """Raises: ValueError if it is none of the models that read text."""
    check_name(name)
    if name == "efficientnet-lite0":
        raise ValueError(
            f"{name} looks at pictures and has no tokenizer; `pretrained.load_vision()` loads it."
        )


def load_vision(name: str = "efficientnet-lite0") -> EfficientNet:
    """EfficientNet-Lite0 as it was trained on the labels of ImageNet, in our class, from the installed package; no network.

    `models.vision.preprocess` makes its input of pictures.
    Raises: ValueError for another name, ModuleNotFoundError with the command that installs the package.
    """
    if name != "efficientnet-lite0":
        raise ValueError(
            f"no model that looks at pictures is called {name!r}; there is 'efficientnet-lite0'."
        )
    published = torch.load(package_file(name, ".pth"), weights_only=True)
    with torch.device("meta"):
        model = EfficientNet()
    own, kind = list(model.state_dict()), lambda weight: weight.rpartition(".")[2]
    if [kind(weight) for weight in own] != [
        kind(weight) for weight in published
    ]:  # both list their layers from picture to classes
        raise ValueError("the file holds other layers than EfficientNet-Lite0's.")
    model.load_state_dict(dict(zip(own, published.values(), strict=True)), assign=True)
    return model.eval()


def package_file(name: str, ending: str) -> Path:
    """A file of the installed package, found without importing any of the package's code."""
    package = PACKAGES[name].partition("==")[0]
    try:
        files = distribution(package).files or []
    except PackageNotFoundError:
        raise ModuleNotFoundError(
            f"{name} is not installed; `python -m fmcourse models install` installs it."
        ) from None
    found = [Path(file.locate()) for file in files if str(file).endswith(ending)]
    found = sorted((path for path in found if path.is_file()), key=lambda path: len(path.parts))
    if not found:
        raise FileNotFoundError(
            f"the package {package} is there, but its {ending} is not; "
            "`python -m fmcourse models install --again` puts it back."
        )
    return found[0]


def cache_folder() -> Path | None:
    """Where unpacked weights are kept: FMCOURSE_CACHE, else the user's cache folder; None if neither can be written."""
    home = (
        os.environ.get("LOCALAPPDATA") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    )
    folder = Path(os.environ.get("FMCOURSE_CACHE") or Path(home) / "fmcourse")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        return None


def load_gguf(path: Path) -> Transformer:
    """SmolLM2 with every weight in 32 bits.

    Matrices with more rows than columns lie column by column in memory: so a CPU multiplies a single token by them up to twice as fast.
    """
    model = empty_model(llama())
    tall = {
        name
        for name, weight in model.named_parameters()
        if weight.ndim == 2 and len(weight) > weight.shape[1]
    }
    turned = lambda weights: {name: w.T if name in tall else w for name, w in weights.items()}
    lying = lambda reader: {
        name: w.contiguous() for name, w in turned(dequantize_weights(reader)).items()
    }
    return assign_weights(model, turned(cached_weights(path, "fp32-columns", lying)))


def cached_weights(
    path: Path, kind: str, convert: Callable[[Any], dict[str, Tensor]]
) -> dict[str, Tensor]:
    """What `convert` makes of a GGUF file. That takes seconds, once; after that it is mapped from the cache."""
    folder, key = cache_folder(), f"{path.stem}-{path.stat().st_size}-{kind}-v2.safetensors"
    if folder is None:
        return convert(gguf_reader(path))
    if not (folder / key).is_file():
        weights = convert(gguf_reader(path))
        write_atomically(folder / key, lambda temporary: save_file(weights, temporary))
    return load_file(folder / key)


def gguf_reader(path: Path):
    from gguf import GGUFReader  # imported here: it is slow, and the cache makes it unnecessary

    return GGUFReader(path)


def dequantize_weights(reader) -> dict[str, Tensor]:
    """Our names, 32 bits each."""
    model, tensors = (
        empty_model(gguf_config(reader)),
        {tensor.name: tensor for tensor in reader.tensors},
    )
    published = lambda name: undo_rope_interleaving(
        name, dequantize_tensor(tensors[name]), model.config
    )
    return {
        ours: from_published(GGUF, ours, published, theirs)
        for ours, theirs in weight_names(GGUF, model).items()
    }


def gguf_config(reader) -> Config:
    """The shape as the file states it. Raises: ValueError if it is not SmolLM2-135M's, `llama()`."""
    value = lambda key: reader.fields[f"llama.{key}"].contents()
    config = llama(
        vocab_size=value("vocab_size"),
        context=value("context_length"),
        width=value("embedding_length"),
        depth=value("block_count"),
        heads=value("attention.head_count"),
        kv_heads=value("attention.head_count_kv"),
        hidden=value("feed_forward_length"),
        rope_base=value("rope.freq_base"),
        norm_eps=round(value("attention.layer_norm_rms_epsilon"), 12),
    )
    if config != llama():
        raise ValueError(f"the file holds another shape than SmolLM2-135M: {config.summary()}.")
    return config


def dequantize_tensor(tensor) -> Tensor:
    from gguf.quants import dequantize

    return torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).copy())


def undo_rope_interleaving(name: str, rows: Tensor, config: Config) -> Tensor:
    """GGUF keeps the two numbers that RoPE turns together side by side; we keep them half a head apart, as published."""
    heads = {"attn_q": config.heads, "attn_k": config.kv_heads}.get(name.split(".")[-2])
    if heads is None:
        return rows
    return rows.unflatten(0, (heads, config.head_width // 2, 2)).transpose(1, 2).flatten(0, 2)


def gguf_tokenizer(path: Path) -> BPETokenizer:
    """Vocabulary and merges as the file holds them; kept in the cache, because reading them from GGUF takes a second."""
    folder, key = cache_folder(), f"{path.stem}-{path.stat().st_size}-v1.tokenizer.json"
    if folder is not None and (folder / key).is_file():
        return BPETokenizer.load(folder / key)
    fields = gguf_reader(path).fields
    tokens, kinds = (
        fields[f"tokenizer.ggml.{part}"].contents() for part in ("tokens", "token_type")
    )
    special = [token for token, kind in zip(tokens, kinds, strict=True) if kind == 3]  # 3: control
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = BPETokenizer.from_vocab(
        vocabulary,
        fields["tokenizer.ggml.merges"].contents(),
        split="digits",
        special_tokens=special,
    )
    if folder is not None:
        tokenizer.save(folder / key)
    return tokenizer


def load_int4(path: Path) -> Transformer:
    """SmolLM2 with its matrices in 4 bits, as published, and the head in 8."""
    from fmcourse.fast.quantized import Int4Linear, Int8Linear

    model, weights = empty_model(llama()), cached_weights(path, "int4", pack_int4_weights)
    for i, block in enumerate(model.stack.blocks):
        holders = dict(
            qkv_proj=block.attention, out_proj=block.attention, up=block.mlp, down=block.mlp
        )
        for holder, part in holders.items():
            name = f"{i}.{holder}"
            setattr(
                part,
                holder,
                Int4Linear(
                    *(weights.pop(f"{name}.{what}") for what in ("codes", "scale", "minimum"))
                ),
            )
    model.head = Int8Linear(weights["embed.tokens.weight"])
    model.load_state_dict(weights, strict=False, assign=True)
    return model.eval().requires_grad_(False)


def pack_int4_weights(reader) -> dict[str, Tensor]:
    """Norms and embedding under our names in 32 bits; each matrix of a block as its codes, scales and least values."""
    model, tensors = (
        empty_model(gguf_config(reader)),
        {tensor.name: tensor for tensor in reader.tensors},
    )
    weights = {}
    for ours, theirs in weight_names(GGUF, model).items():
        if "norm" in ours or ours == "embed.tokens.weight":
            weights[ours] = from_published(
                GGUF, ours, lambda one: dequantize_tensor(tensors[one]), theirs
            )
        else:
            _, _, i, _, holder, _ = ours.split(".")  # stack.blocks.7.attention.qkv_proj.weight
            rows = [unpack_q4_1(tensors, model.config, one) for one in theirs]
            columns = zip(("codes", "scale", "minimum"), zip(*rows, strict=True), strict=True)
            weights |= {f"{i}.{holder}.{what}": torch.cat(column) for what, column in columns}
    return weights


def unpack_q4_1(
    tensors: Mapping[str, Any], config: Config, name: str
) -> tuple[Tensor, Tensor, Tensor]:
    """GGUF's Q4_1: each 32 numbers of a row are 4-bit codes c with a scale d and a least value m: d c + m.

    Returns codes (rows, columns) uint8, d and m (rows, columns / 32) float32.
    """
    raw = torch.from_numpy(tensors[name].data.copy()).unflatten(
        1, (-1, 20)
    )  # 2 + 2 bytes of halves, 16 bytes of codes
    halves = raw[..., :4].contiguous().view(torch.float16).float()
    low, high = raw[..., 4:] & 15, raw[..., 4:] >> 4
    codes = torch.cat([low, high], -1).flatten(1)
    return tuple(
        undo_rope_interleaving(name, part, config)
        for part in (codes, halves[..., 0], halves[..., 1])
    )


# -- what a sentence means, as a point --------------------------------------------------------------------------------------


@torch.inference_mode()
def embed_sentences(
    model: Transformer, tokenizer: WordPieceTokenizer, texts: Sequence[str], batch: int = 32
) -> Tensor:
    """One vector of length 1 for each text, (N, D): the mean of its tokens' states.

    Texts longer than 256 tokens are cut; an empty one has the vector of its two marks. Source: Reimers & Gurevych 2019, mean pooling; the cut is the published model's own.
    """
    if not texts:
        raise ValueError("texts is empty; pass at least one sentence.")
    vectors = []
    for start in range(0, len(texts), batch):
        ids, real = pad_batch(
            [truncate(tokenizer.encode(text), 256) for text in texts[start : start + batch]]
        )
        vectors.append(mean_pool(model.states(ids, real[:, None]), real))
    return F.normalize(torch.cat(vectors), dim=-1)


def truncate(ids: list[int], most: int) -> list[int]:
    """At most that many tokens; the last one, [SEP], stays."""
    return ids if len(ids) <= most else [*ids[: most - 1], ids[-1]]
