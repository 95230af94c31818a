"""LoRA adapters in folders as the library peft writes them: adapter_config.json and safetensors."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from fmcourse.files import write_text
from fmcourse.models.lora import LORA_TARGETS, LoRALinear, add_lora, lora_layers, lora_targets
from fmcourse.models.transformer import Transformer
from fmcourse.pretrained.families import (
    FAMILIES,
    add_prefix,
    check_config,
    find_family,
    name_table,
)
from fmcourse.pretrained.hf import write_safetensors

KEY_PREFIX = "base_model.model."  # stands before the name of every module in peft's files


def save_adapter(model: Transformer, folder: str | Path, base_model: str = "") -> None:
    """Write the LoRA matrices alone, as peft's `PeftModel.from_pretrained` reads them.

    Args:
        base_model: the published name of the model that the adapter belongs to.
    Raises: ValueError for a model without LoRA matrices, or of a family that publishes its
        matrices in another shape (GPT-2).
    """
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
        computes something else than `LoRALinear`, or that belongs to another model.
    """
    folder = Path(folder)
    for needed in ("adapter_config.json", "adapter_model.safetensors"):
        if not (folder / needed).is_file():
            raise FileNotFoundError(
                f"{folder} has no {needed}; give a folder made by save_adapter or by peft's "
                "save_pretrained."
            )
    config = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    check_adapter_config(config)
    tensors = load_file(folder / "adapter_model.safetensors")
    table = published_modules(model)
    targets = find_targets(model, table, tensors)
    add_lora(model, config["r"], config["lora_alpha"], targets)
    with torch.no_grad():
        for path, layer in lora_layers(model):
            for key, matrix in adapter_matrices(layer, table[path]).items():
                copy_matrix(key, tensors, matrix)
    return model


def check_adapter_config(config: dict[str, Any]) -> None:
    """Refuse an adapter that computes something else than `LoRALinear`. Raises: ValueError."""
    check_config(
        config,
        "adapter",
        peft_type=("LORA",),
        bias=("none", None),
        use_dora=(False, None),  # would also train the length of each weight vector
        use_rslora=(False, None),  # would scale by alpha / √R
        rank_pattern=({}, None),  # other ranks for some modules
        alpha_pattern=({}, None),
        fan_in_fan_out=(False, None),  # True for weights stored as (in, out)
        modules_to_save=(None, []),  # modules that were trained whole
        layers_to_transform=(None,),
    )


def find_targets(
    model: Transformer, table: dict[str, list[str]], tensors: dict[str, Tensor]
) -> list[str]:
    """The targets, as `add_lora` takes them, for which an adapter holds matrices.

    Raises: ValueError if it changes a module that this model does not have.
    """
    names = {place: name for name, place in lora_targets(model).items()}
    target_of = {
        module: names[path.split(".", 3)[-1], part]  # stack.blocks.0.mlp.up -> mlp.up
        for path, modules in table.items()
        for part, module in enumerate(modules)
    }
    # base_model.model.NAME.lora_A.weight -> NAME
    changed = sorted({key.removeprefix(KEY_PREFIX).rsplit(".lora_", 1)[0] for key in tensors})
    if unknown := [module for module in changed if module not in target_of]:
        raise ValueError(
            f"the adapter changes {unknown[0]}, which this model does not have; "
            "is it the adapter of another model?"
        )
    return list(dict.fromkeys(target_of[module] for module in changed))  # each target once


def copy_matrix(key: str, tensors: dict[str, Tensor], matrix: Tensor) -> None:
    """Raises: ValueError if the file holds nothing under this name, or another shape."""
    if key not in tensors or tensors[key].shape != matrix.shape:
        found = tuple(tensors[key].shape) if key in tensors else "nothing"
        raise ValueError(
            f"{key} should be {tuple(matrix.shape)}; the file holds {found}. "
            "Is it the adapter of another model?"
        )
    matrix.copy_(tensors[key])  # in place: the parameter stays the same object


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
