"""LoRA adapters in folders as the library peft writes them: adapter_config.json and safetensors."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fmcourse.files import damage, read_json, write_text
from fmcourse.models.compiled import uncompiled
from fmcourse.models.lora import (
    LORA_TARGETS,
    LoRALinear,
    add_lora,
    lora_layers,
    lora_targets,
    split_sizes,
)
from fmcourse.models.transformer import Transformer
from fmcourse.pretrained.families import (
    FAMILIES,
    add_prefix,
    check_config,
    find_family,
    name_table,
)
from fmcourse.pretrained.hf import write_safetensors
from fmcourse.pretrained.weight_files import load_weights

KEY_PREFIX = "base_model.model."  # stands before the name of every module in peft's files

# The keys of an adapter_config.json that we compute or that change no output: where A and B came
# from, how they were trained, and which modules they belong to, which the tensors' names say too.
INITIALIZATIONS = (True, False, None, "gaussian", "orthogonal", "eva")  # W stays as it was
KNOWN_KEYS = {
    *("peft_type", "r", "lora_alpha", "bias", "init_lora_weights", "fan_in_fan_out"),
    *("task_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision"),
    *("inference_mode", "lora_dropout", "runtime_config", "eva_config"),
    *("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern"),
    *("megatron_core", "qalora_group_size"),  # of what other keys switch on
}


def save_adapter(model: Transformer, folder: str | Path, base_model: str = "") -> None:
    """Write the LoRA matrices alone, as peft's `PeftModel.from_pretrained` reads them.

    Args:
        base_model: the published name of the model that the adapter belongs to.
    Raises: ValueError for a model without LoRA matrices, or of a family that publishes its
        matrices in another shape (GPT-2).
    """
    model = uncompiled(model)
    table, layers = published_modules(model), lora_layers(model)
    if not layers:
        raise ValueError("this model has no LoRA matrices; `add_lora(model)` adds them.")
    tensors = {}
    for path, layer in layers:
        for key, matrix in adapter_matrices(layer, table[path]).items():
            tensors[key] = matrix.detach().contiguous()
    rank = len(layers[0][1].A[0])  # A is (R, I), and `add_lora` gives all layers one rank
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM" if model.config.causal else "FEATURE_EXTRACTION",
        "base_model_name_or_path": base_model or None,
        "r": rank,
        "lora_alpha": layers[0][1].scale * rank,  # scale = alpha / R
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": target_modules(model, table),
        "inference_mode": True,
    }
    folder = Path(folder)
    write_safetensors(folder / "adapter_model.safetensors", tensors)
    write_text(folder / "adapter_config.json", json.dumps(config, indent=2))


def target_modules(model: Transformer, table: dict[str, list[str]]) -> list[str]:
    """What peft is to wrap: last parts of names (q_proj), or whole names where those are ambiguous.

    BERT calls three different layers of a block "dense".
    """
    last_parts = Counter(last_part(name) for names in table.values() for name in names)
    targets = set()
    for path, layer in lora_layers(model):
        for name in (table[path][part] for part in layer.parts):
            unique = last_parts[last_part(name)] == model.config.depth  # one in each block
            targets.add(last_part(name) if unique else name)
    return sorted(targets)


def last_part(name: str) -> str:
    return name.rsplit(".", 1)[-1]


def load_adapter(model: Transformer, folder: str | Path) -> Transformer:
    """Add the LoRA matrices in a folder, ours or peft's, to the model that they were made for.

    Changes the model and returns it; everything but the LoRA matrices is frozen.
    Raises: FileNotFoundError naming the file that is missing; ValueError for an adapter that
        computes something else than `LoRALinear`, that belongs to another model, or that changes
        some blocks only. The model is then as it was.
    """
    folder = Path(folder)
    for needed in ("adapter_config.json", "adapter_model.safetensors"):
        if not (folder / needed).is_file():
            raise FileNotFoundError(
                f"{folder} has no {needed}; give a folder made by save_adapter or by peft's "
                "save_pretrained."
            )
    rank, alpha = read_adapter_config(folder / "adapter_config.json")
    tensors = load_weights(folder / "adapter_model.safetensors")
    inner = uncompiled(model)
    table = published_modules(inner)
    targets = find_targets(inner, table, tensors)
    check_tensors(inner, table, targets, rank, tensors)  # before anything is changed
    add_lora(inner, rank, alpha, targets)
    with torch.no_grad():
        for path, layer in lora_layers(inner):
            for key, matrix in adapter_matrices(layer, table[path]).items():
                matrix.copy_(tensors[key])  # in place: the parameter stays the same object
    return model


def read_adapter_config(path: Path) -> tuple[int, float]:
    """Rank and alpha. Raises: ValueError for an adapter that is not computed, or a damaged file."""
    config = read_json(path)
    check_adapter_config(config)
    rank, alpha = config.get("r"), config.get("lora_alpha")
    if not isinstance(rank, int) or not isinstance(alpha, int | float):
        raise ValueError(damage(path, f"r={rank!r} and lora_alpha={alpha!r} must be numbers"))
    return rank, alpha


def check_adapter_config(config: dict[str, Any]) -> None:
    """Refuse an adapter that computes something else than `LoRALinear`. Raises: ValueError."""
    if (start := config.get("init_lora_weights", True)) not in INITIALIZATIONS:
        raise ValueError(
            f"this adapter has init_lora_weights={start!r}, which changed the weights of the model "
            "itself before training; let peft turn it into an ordinary one: save_pretrained(..., "
            "path_initial_model_for_weight_conversion=...)."
        )
    # What is switched off changes nothing, also under a name that is not known here.
    others = {name: (False, None, {}, []) for name in config if name not in KNOWN_KEYS}
    check_config(
        config,
        "adapter",
        peft_type=("LORA",),
        bias=("none", None),
        fan_in_fan_out=(False, None),  # True for weights stored as (in, out)
        **others,  # use_dora, use_rslora, lora_bias, rank_pattern, modules_to_save ...
    )


def find_targets(
    model: Transformer, table: dict[str, list[str]], tensors: dict[str, Tensor]
) -> list[str]:
    """The targets, as `add_lora` takes them, for which an adapter holds matrices.

    Raises: ValueError if it holds other tensors than LoRA matrices, or changes a module that this
        model does not have.
    """
    names = {place: name for name, place in lora_targets(model).items()}
    target_of = {
        module: names[path.split(".", 3)[-1], part]  # stack.blocks.0.mlp.up -> mlp.up
        for path, modules in table.items()
        for part, module in enumerate(modules)
    }
    targets = {}  # a dict, because it keeps the order and holds each once
    for key in sorted(tensors):
        # base_model.model.NAME.lora_A.weight -> NAME
        module, separator, end = key.removeprefix(KEY_PREFIX).rpartition(".lora_")
        if not separator or end not in ("A.weight", "B.weight"):
            raise ValueError(
                f"the adapter holds {key}, which is no LoRA matrix of a linear layer; our class "
                "has no place for it, so it is not loaded."
            )
        if module not in target_of:
            raise ValueError(
                f"the adapter changes {module}, which this model does not have; "
                "is it the adapter of another model?"
            )
        targets[target_of[module]] = None
    return list(targets)


def check_tensors(
    model: Transformer,
    table: dict[str, list[str]],
    targets: list[str],
    rank: int,
    tensors: dict[str, Tensor],
) -> None:
    """Raises: ValueError unless there is every matrix of these targets, each in its shape."""
    for target in targets:
        layer, part = lora_targets(model)[target]
        paths = [f"stack.blocks.{i}.{layer}" for i in range(model.config.depth)]
        modules = [table[path][part] for path in paths]
        check_all_blocks(modules, tensors)
        inputs = model.config.hidden if layer == "mlp.down" else model.config.width
        outputs = split_sizes(model, layer)[part]
        for module in modules:
            for letter, shape in (("A", (rank, inputs)), ("B", (outputs, rank))):
                key = f"{KEY_PREFIX}{module}.lora_{letter}.weight"
                found = tuple(tensors[key].shape) if key in tensors else "nothing"
                if found != shape:
                    raise ValueError(
                        f"{key} should be {shape}; the file holds {found}. "
                        "Is it the adapter of another model?"
                    )


def check_all_blocks(modules: list[str], tensors: dict[str, Tensor]) -> None:
    """Raises: ValueError if only some of these modules, one in each block, have matrices."""
    have = [f"{KEY_PREFIX}{module}.lora_A.weight" in tensors for module in modules]
    if not all(have):
        some = ", ".join(str(i) for i, there in enumerate(have) if there)
        raise ValueError(
            f"the adapter changes {last_part(modules[0])} in some blocks only ({some} of "
            f"{len(modules)}), and ours changes it in all; merge it with peft's merge_and_unload, "
            "save that model, and load it with from_hf."
        )


def adapter_matrices(layer: LoRALinear, modules: list[str]) -> dict[str, Tensor]:
    """The layer's A and B matrices by their names in peft's files.

    Args:
        modules: the published modules that this layer holds, one for each of its parts.
    """
    matrices = {}
    for part, A, B in zip(layer.parts, layer.A, layer.B, strict=True):
        matrices[f"{KEY_PREFIX}{modules[part]}.lora_A.weight"] = A
        matrices[f"{KEY_PREFIX}{modules[part]}.lora_B.weight"] = B
    return matrices


def published_modules(model: Transformer) -> dict[str, list[str]]:
    """Path of a layer in our model -> the published modules that it holds, for every LoRA target.

    Raises: ValueError for a family whose matrices are not those of our layers.
    """
    model_type = find_family(model.config)
    family = FAMILIES[model_type]
    if family.transposed:
        raise ValueError(
            f"{model_type} publishes q, k and v as one transposed matrix, so its adapters cannot "
            "be exchanged. Save the merged model with to_hf."
        )
    bare = model.config.head == "none"
    paths = {path for path, _ in LORA_TARGETS.values()}
    return {
        ours.removesuffix(".weight"): [
            add_prefix(family, name, bare).removesuffix(".weight") for name in theirs
        ]
        for ours, theirs in name_table(family, model.config.depth).items()
        if ours.endswith(".weight") and ours.removesuffix(".weight").split(".", 3)[-1] in paths
    }
