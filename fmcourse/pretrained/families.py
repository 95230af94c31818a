"""Families of published models: one table of weight names each, read in both directions.

A table has our weight on the left and, on the right, the published weights that it is made of.
Where there are several, ours holds them one above the other (q, k and v in one matrix). Beside the
table stand two functions, from the published config.json to our `Config` and back.

A new family is one `Family` here and a line in `FAMILIES`; CONTRIBUTING.md says what else.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from fmcourse.models.transformer import Config, Transformer, bert, gpt2, llama

NameTable = Mapping[str, Sequence[str]]  # our name -> published names
OUTSIDE_PREFIX = ("lm_head.", "cls.")  # heads are published outside the prefix of the bare model


@dataclass(frozen=True)
class Family:
    """How one family of published models names its weights and describes its shape."""

    ends: NameTable  # embedding, last norm and head
    block: NameTable  # one block; {i} stands for its number
    prefix: str = ""  # stands before published names, but not in files of a model without a head
    transposed: tuple[str, ...] = ()  # endings of weights that are published as (in, out)
    ignored: tuple[str, ...] = ()  # what files may hold beside the weights of our class
    read_config: Callable[[dict], Config] | None = None  # published config.json -> ours
    write_config: Callable[[Config], dict] | None = None  # and back


# -- what a config.json must say -------------------------------------------------------------------


def check_config(given: Mapping[str, Any], kind: str, **accepted: tuple) -> None:
    """Refuse a published config that describes another computation than our class does.

    Args:
        given: what a config.json says; what it does not mention is not checked.
        kind: what is being read, for the message, such as "llama model" or "adapter".
        accepted: for each name the values that mean what our class computes, ours first.
    Raises: ValueError naming the setting, its value and ours.
    """
    for name, values in accepted.items():
        if name in given and given[name] not in values:
            raise ValueError(
                f"this {kind} has {name}={given[name]!r}; our class computes {values[0]!r} and "
                "would give wrong answers, so it is not loaded."
            )


def read_gpt2_config(given: dict) -> Config:
    check_config(
        given,
        "gpt2 model",
        activation_function=("gelu_new", "gelu_pytorch_tanh"),  # two names of one formula
        n_inner=(None, 4 * given["n_embd"]),  # None means 4 n_embd
        scale_attn_weights=(True,),  # attention scores divided by √K
        scale_attn_by_inverse_layer_idx=(False,),
        add_cross_attention=(False,),
        layer_norm_epsilon=(1e-5,),  # `gpt2()` has no argument for it
    )
    return gpt2(
        vocab_size=given["vocab_size"],
        context=given["n_positions"],
        width=given["n_embd"],
        depth=given["n_layer"],
        heads=given["n_head"],
        tied=given.get("tie_word_embeddings", True),  # this family's default in transformers
    )


def write_gpt2_config(config: Config) -> dict:
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "activation_function": "gelu_new",
        "vocab_size": config.vocab_size,
        "n_positions": config.context,
        "n_embd": config.width,
        "n_layer": config.depth,
        "n_head": config.heads,
        "layer_norm_epsilon": config.norm_eps,
        "tie_word_embeddings": config.tied,
    }


def read_llama_config(given: dict) -> Config:
    kind = f"{given['model_type']} model"
    check_config(
        given,
        kind,
        hidden_act=("silu",),
        attention_bias=(False,),
        mlp_bias=(False,),
        rope_scaling=(None,),
        head_dim=(None, given["hidden_size"] // given["num_attention_heads"]),  # our K is D / H
    )
    # transformers 5 writes rope_parameters, older versions wrote rope_theta beside the rest
    rope = given.get("rope_parameters") or {"rope_theta": given.get("rope_theta", 10_000.0)}
    check_config(rope, kind, rope_type=("default",))
    return llama(
        vocab_size=given["vocab_size"],
        context=given["max_position_embeddings"],
        width=given["hidden_size"],
        depth=given["num_hidden_layers"],
        heads=given["num_attention_heads"],
        kv_heads=given.get("num_key_value_heads"),  # absent: as many as heads
        hidden=given["intermediate_size"],
        rope_base=float(rope["rope_theta"]),
        norm_eps=given["rms_norm_eps"],
        tied=given.get("tie_word_embeddings", False),  # this family's default in transformers
    )


def write_llama_config(config: Config) -> dict:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.context,
        "hidden_size": config.width,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "intermediate_size": config.hidden,
        "rms_norm_eps": config.norm_eps,
        "rope_theta": config.rope_base,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": config.tied,
    }


def read_qwen2_config(given: dict) -> Config:
    # A sliding window would hide distant tokens; our attention reaches the whole context.
    full = ["full_attention"] * given["num_hidden_layers"]
    check_config(given, "qwen2 model", use_sliding_window=(False,), layer_types=(None, full))
    return replace(read_llama_config(given), qkv_bias=True)


def write_qwen2_config(config: Config) -> dict:
    written = write_llama_config(config)
    del written["attention_bias"], written["mlp_bias"]  # Llama's options alone
    return written | {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2"}


def read_bert_config(given: dict) -> Config:
    check_config(
        given,
        "bert model",
        hidden_act=("gelu",),  # the exact one, not GPT-2's tanh approximation
        position_embedding_type=("absolute",),
        is_decoder=(False,),
        tie_word_embeddings=(True,),
    )
    # The class that saved the file says whether it holds a head.
    masked = "BertForMaskedLM" in (given.get("architectures") or [])
    return bert(
        vocab_size=given["vocab_size"],
        context=given["max_position_embeddings"],
        width=given["hidden_size"],
        depth=given["num_hidden_layers"],
        heads=given["num_attention_heads"],
        hidden=given["intermediate_size"],
        token_types=given.get("type_vocab_size", 2),
        norm_eps=given["layer_norm_eps"],
        head="masked" if masked else "none",
    )


def write_bert_config(config: Config) -> dict:
    architecture = "BertForMaskedLM" if config.head == "masked" else "BertModel"
    return {
        "architectures": [architecture],
        "model_type": "bert",
        "hidden_act": "gelu",
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.context,
        "hidden_size": config.width,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.heads,
        "intermediate_size": config.hidden,
        "type_vocab_size": config.token_types,
        "layer_norm_eps": config.norm_eps,
        "position_embedding_type": "absolute",
    }


# -- the tables ------------------------------------------------------------------------------------


def weight_and_bias(ours: str, *theirs: str) -> dict[str, list[str]]:
    """Two rows of a table, for a layer that has a weight and a bias."""
    return {f"{ours}.{end}": [f"{name}.{end}" for name in theirs] for end in ("weight", "bias")}


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
    transposed=("c_attn.weight", "c_proj.weight", "c_fc.weight"),  # Conv1D in transformers: x W + b
    ignored=(".attn.bias", ".attn.masked_bias"),  # causal masks, saved by old versions
    read_config=read_gpt2_config,
    write_config=write_gpt2_config,
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
        "norm_2.weight": ["layers.{i}.post_attention_layernorm.weight"],  # comes before the MLP
        "attention.qkv_proj.weight": [f"layers.{{i}}.self_attn.{x}_proj.weight" for x in "qkv"],
        "attention.out_proj.weight": ["layers.{i}.self_attn.o_proj.weight"],
        # Gate above up: the order in which `SwiGLUMLP` splits its hidden features.
        "mlp.up.weight": ["layers.{i}.mlp.gate_proj.weight", "layers.{i}.mlp.up_proj.weight"],
        "mlp.down.weight": ["layers.{i}.mlp.down_proj.weight"],
    },
    ignored=("rotary_emb.inv_freq",),  # computed from rope_theta; old versions saved it
    read_config=read_llama_config,
    write_config=write_llama_config,
)
QWEN2 = replace(  # Llama's formula, and a bias on q, k and v alone (Qwen team 2024)
    LLAMA,
    block={
        **LLAMA.block,
        "attention.qkv_proj.bias": [f"layers.{{i}}.self_attn.{x}_proj.bias" for x in "qkv"],
    },
    read_config=read_qwen2_config,
    write_config=write_qwen2_config,
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
        **weight_and_bias(
            "attention.qkv_proj",
            "encoder.layer.{i}.attention.self.query",
            "encoder.layer.{i}.attention.self.key",
            "encoder.layer.{i}.attention.self.value",
        ),
        **weight_and_bias("attention.out_proj", "encoder.layer.{i}.attention.output.dense"),
        **weight_and_bias("norm_1", "encoder.layer.{i}.attention.output.LayerNorm"),  # post-norm
        **weight_and_bias("mlp.up", "encoder.layer.{i}.intermediate.dense"),
        **weight_and_bias("mlp.down", "encoder.layer.{i}.output.dense"),
        **weight_and_bias("norm_2", "encoder.layer.{i}.output.LayerNorm"),
    },
    # A buffer, the layers of next-sentence prediction, and the unembedding's bias a second time.
    ignored=("position_ids", "pooler.", "cls.predictions.decoder.bias", "cls.seq_relationship"),
    read_config=read_bert_config,
    write_config=write_bert_config,
)
FAMILIES = {
    "gpt2": GPT2,
    "llama": LLAMA,
    "qwen2": QWEN2,
    "bert": BERT,
}  # by the model_type of config.json
GGUF = Family(  # Llama's weights as GGUF files name them; never written, so it needs no configs
    ends={
        "embed.tokens.weight": ["token_embd.weight"],
        "stack.norm.weight": ["output_norm.weight"],  # no row for the head: it is tied
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


# -- reading the tables ----------------------------------------------------------------------------


def find_family(config: Config) -> str:
    """The model_type of the published family that computes what this config says.

    Raises: ValueError if there is none.
    """
    without_dropout = replace(config, dropout=0.0)  # only training needs to know it
    for model_type, family in FAMILIES.items():
        if is_expressible(family, without_dropout):
            return model_type
    raise ValueError(
        f"no published family computes this shape: {config.summary()}. Build it with gpt2(), "
        "llama() or bert() to be able to export it; llama's q, k and v may have a bias (Qwen2)."
    )


def is_expressible(family: Family, config: Config) -> bool:
    """Whether the family's config.json can say all that this config says."""
    try:
        # There and back: what the file cannot say comes back as the family's own value.
        return family.read_config(family.write_config(config)) == config
    except ValueError:  # what was written is no model of this family: GPT-2 has one epsilon
        return False


def name_table(family: Family, depth: int) -> dict[str, list[str]]:
    """Our name -> published names without prefix, for every weight that `depth` blocks can have."""
    table = {ours: list(theirs) for ours, theirs in family.ends.items()}
    for i in range(depth):
        for ours, theirs in family.block.items():
            table[f"stack.blocks.{i}.{ours}"] = [name.format(i=i) for name in theirs]
    return table


def weight_names(family: Family, model: Transformer) -> dict[str, list[str]]:
    """The rows of the table for the weights that this model has; a tied weight has one row."""
    table = name_table(family, model.config.depth)
    # `named_parameters` lists a tied weight once, as the token embedding.
    return {ours: table[ours] for ours, _ in model.named_parameters()}


def add_prefix(family: Family, name: str, bare: bool) -> str:
    """The name in a file: with the family's prefix, unless it holds a model without a head."""
    return name if bare or name.startswith(OUTSIDE_PREFIX) else family.prefix + name


def join_weights(
    family: Family, read_weight: Callable[[str], Tensor], names: Sequence[str]
) -> Tensor:
    """Our weight, from the published ones that it is made of."""
    parts = [orient_weight(family, name, read_weight(name)) for name in names]
    # Rows are outputs, so parts are joined along them. Contiguous, since a transpose is a view.
    return (torch.cat(parts) if len(parts) > 1 else parts[0]).contiguous()


def split_weight(
    family: Family, weight: Tensor, names: Sequence[str], config: Config
) -> dict[str, Tensor]:
    """The published weights that ours is made of, by name; undoes `join_weights`."""
    sizes = [len(weight) // len(names)] * len(names)
    if len(names) == 3:  # q, k and v: with fewer key/value heads, k and v are smaller than q
        kv_size = config.kv_heads * config.head_width
        sizes = [config.heads * config.head_width, kv_size, kv_size]
    parts = zip(names, weight.detach().split(sizes), strict=True)
    # Contiguous, because safetensors refuses to save a transposed view.
    return {name: orient_weight(family, name, part).contiguous() for name, part in parts}


def orient_weight(family: Family, name: str, weight: Tensor) -> Tensor:
    """Transposed, if this weight is published as (in, out): its own inverse."""
    return weight.T if family.transposed and name.endswith(family.transposed) else weight


# -- a model from weights --------------------------------------------------------------------------


def empty_model(config: Config) -> Transformer:
    """A Transformer whose weights have shapes and no memory yet; `assign_weights` puts them in."""
    with torch.device("meta"):
        model = Transformer(config)
    if config.positions == "rope":  # its cosines are computed, in no file, and so made for real
        model.stack.rope = type(model.stack.rope)(config)
    return model


def assign_weights(model: Transformer, weights: Mapping[str, Tensor]) -> Transformer:
    """Put weights into an empty model without copying them, and tie again what is tied.

    Raises: ValueError for weights of another shape, weights that the model lacks, or naming those
        for which there is nothing.
    """
    try:  # not strict: what is missing is named below
        strange = model.load_state_dict(weights, strict=False, assign=True).unexpected_keys
    except RuntimeError as error:
        raise ValueError(f"the weights are another model's: {error}") from None
    if strange:
        raise ValueError(
            f"there is {strange[0]}, for which this model has no place ({len(strange)} such "
            "weights); are the weights another model's?"
        )
    if model.config.tied and model.config.head != "none":
        # The embedding has got a new parameter; the head still holds the empty one.
        unembedding = getattr(model.head, "unembedding", model.head)
        unembedding.weight = model.embed.tokens.weight
    empty = [name for name, weight in model.named_parameters() if weight.is_meta]
    if empty:
        raise ValueError(
            f"no weights for {', '.join(empty[:3])}, {len(empty)} in all; "
            "is the file the whole model?"
        )
    return model.eval()
