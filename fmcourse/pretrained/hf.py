"""Folders as the library transformers writes them: config.json, model.safetensors, a tokenizer.

What `to_hf` writes, transformers opens, and its `generate` gives our text and ends where ours does.

Only safetensors is read: it holds numbers and nothing that can run, which a pickle can.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from fmcourse.fast.quantized import Int4Linear, Int8Linear
from fmcourse.files import damage, read_json, write_atomically, write_text
from fmcourse.models.compiled import uncompiled, uncompiled_name
from fmcourse.models.lora import lora_layers
from fmcourse.models.transformer import Config, Transformer
from fmcourse.pretrained.families import (
    FAMILIES,
    Family,
    add_prefix,
    assign_weights,
    check_config,
    empty_model,
    find_family,
    join_weights,
    split_weight,
    weight_names,
)
from fmcourse.pretrained.tokenizer_export import AnyTokenizer, boundary_ids, tokenizer_files
from fmcourse.pretrained.tokenizer_files import read_tokenizer
from fmcourse.pretrained.weight_files import open_weights

# Some files hold a tied matrix a second time, under the name of the head.
TIED_NAMES = {"lm_head.weight", "cls.predictions.decoder.weight"}


def from_hf(
    folder: str | Path, *, with_tokenizer: bool = True
) -> tuple[Transformer, AnyTokenizer | None]:
    """The model in a folder that transformers saved, and its tokenizer; None if it holds none.

    Args:
        with_tokenizer: False reads the weights alone, and None stands for the tokenizer.
    Raises: FileNotFoundError naming the file that is missing; ValueError for a file that is
        damaged, for a family or a setting that our classes do not compute, or for a tokenizer with
        more tokens than the model.
    """
    folder = Path(folder)
    for needed in ("config.json", "model.safetensors"):
        if not (folder / needed).is_file():
            raise FileNotFoundError(
                f"{folder} has no {needed}; give a folder made by save_pretrained with safetensors "
                "in one file."
            )
    family, config = read_model_config(folder / "config.json")
    tokenizer = find_tokenizer(folder, config.vocab_size) if with_tokenizer else None
    model = empty_model(config)
    with open_weights(folder / "model.safetensors") as file:
        weights = read_weights(family, model, file)
    return assign_weights(model, weights), tokenizer


def read_model_config(path: Path) -> tuple[Family, Config]:
    """The family and the shape that a published config.json describes.

    Raises: ValueError if the file is damaged, or describes what our class does not compute.
    """
    given = read_json(path)
    if given.get("model_type") not in FAMILIES:
        raise ValueError(
            f"model_type {given.get('model_type')!r} is not one of {', '.join(FAMILIES)}."
        )
    family = FAMILIES[given["model_type"]]
    check_config(given, f"{given['model_type']} model", quantization_config=(None,))
    try:
        return family, family.read_config(given)
    except KeyError as error:
        raise ValueError(
            f"{path} does not say {error}, which a {given['model_type']} model needs; fetch or "
            "save it again."
        ) from None
    except (TypeError, AttributeError, ZeroDivisionError) as error:  # "12" or null for a number
        raise ValueError(damage(path, error)) from None


def find_tokenizer(folder: Path, vocab_size: int) -> AnyTokenizer | None:
    """`read_tokenizer`, for a model with so many tokens. Raises: ValueError if it has more."""
    remedy = "`from_hf(folder, with_tokenizer=False)` reads the weights alone."
    try:
        tokenizer = read_tokenizer(folder)
    except ValueError as error:
        raise ValueError(f"{error} {remedy}") from None
    if tokenizer is not None and tokenizer.vocab_size > vocab_size:  # fewer: the rest is padding
        raise ValueError(
            f"the tokenizer in {folder} has {tokenizer.vocab_size} tokens and the model "
            f"{vocab_size}; are both of one model, and was it resized? {remedy}"
        )
    return tokenizer


def read_weights(family: Family, model: Transformer, file: Any) -> dict[str, Tensor]:
    """The weights of an open safetensors file under our names, in 32 bits.

    Raises: ValueError if the file lacks a weight of the model, or holds one that the model lacks.
    """
    # A file of a model that was compiled holds its names with a prefix.
    available = {uncompiled_name(key): key for key in file.keys()}  # noqa: SIM118 (no dict)
    bare = not any(key.startswith(family.prefix) for key in available)  # saved without a head
    table = {
        ours: [add_prefix(family, name, bare) for name in theirs]
        for ours, theirs in weight_names(family, model).items()
    }
    used = {key for keys in table.values() for key in keys}
    if missing := sorted(used - set(available)):
        raise ValueError(
            f"the file holds no {missing[0]} ({len(missing)} weights are missing); "
            "is it the whole model?"
        )
    unknown = sorted(
        key
        for key in set(available) - used - TIED_NAMES
        if not any(part in key for part in family.ignored)
    )
    if unknown:
        raise ValueError(
            f"the file holds {unknown[0]}, for which our class has no place "
            f"({len(unknown)} such weights)."
        )

    def read(key: str) -> Tensor:
        return file.get_tensor(available[key])

    check_tied_copies(read, table, set(available) - used)
    shapes = {ours: weight.shape for ours, weight in model.named_parameters()}
    return {ours: read_weight(family, read, keys, shapes[ours]) for ours, keys in table.items()}


def check_tied_copies(
    read: Callable[[str], Tensor], table: dict[str, list[str]], others: set[str]
) -> None:
    """Raises: ValueError if the head is no copy of the embedding that config.json ties it to."""
    for key in sorted(others & TIED_NAMES):
        (embedding,) = table["embed.tokens.weight"]
        if not torch.equal(read(key), read(embedding)):
            raise ValueError(
                f"config.json ties the head to the embedding, and the file holds {key}, which "
                f"differs from {embedding}; tie_word_embeddings must be false there."
            )


def read_weight(
    family: Family, read: Callable[[str], Tensor], keys: list[str], shape: torch.Size
) -> Tensor:
    """One of our weights in 32 bits, from the published ones that it is made of.

    Raises: ValueError if they do not make a weight of this shape.
    """

    def read_floats(key: str) -> Tensor:
        tensor = read(key)
        if not tensor.is_floating_point():
            raise ValueError(
                f"{key} holds {tensor.dtype} codes: a quantized model, which our class does not "
                "compute; fetch the one in 16 or 32 bits."
            )
        return tensor.float()  # files may be in bfloat16 or float16

    parts = {key: read_floats(key) for key in keys}
    try:
        weight = join_weights(family, parts.__getitem__, keys)
        found = tuple(weight.shape)
    except (RuntimeError, IndexError):  # parts that cannot lie one above the other
        found = " and ".join(str(tuple(part.shape)) for part in parts.values())
    if found != shape:
        raise ValueError(
            f"{', '.join(keys)} should make a weight of shape {tuple(shape)}, as config.json says; "
            f"the file holds {found}. Are both of one model?"
        )
    return weight


def to_hf(
    model: Transformer,
    folder: str | Path,
    tokenizer: AnyTokenizer | None = None,
    *,
    stop: Sequence[str] | None = None,
) -> None:
    """Write a folder that transformers opens with `from_pretrained`, and `from_hf` reads back.

    It holds config.json and model.safetensors; for a causal model generation_config.json, which
    says with which tokens a text ends; for a tokenizer tokenizer.json and tokenizer_config.json,
    with the chat template if it has the marks of one. A model that `torch.compile` wrapped is
    written as the one it was.

    Args:
        tokenizer: the one that the model was trained with. Without it no token ends a text.
        stop: texts of one token that end a text; unless given, "<|im_end|>" and "<|endoftext|>",
            where they are special tokens.
    Raises: ValueError if no published family computes what this model does, if it holds other
        weights than its config says (LoRA matrices, or codes of 4 bits), if the tokenizer has more
        tokens than the model, or if a stop text is no single token.
    """
    parameters = exported_parameters(model)
    model_type, folder = find_family(model.config), Path(folder)
    # Before anything is written: both may refuse what was given.
    files = {} if tokenizer is None else tokenizer_files(tokenizer, model.config, stop)
    boundaries = boundary_ids(tokenizer, stop)
    family, bare = FAMILIES[model_type], model.config.head == "none"
    weights = {}
    for ours, theirs in weight_names(family, empty_model(model.config)).items():
        for name, part in split_weight(family, parameters[ours], theirs, model.config).items():
            weights[add_prefix(family, name, bare)] = part
    if model.config.causal:
        files["generation_config.json"] = json.dumps(boundaries, indent=2)
        # Here, transformers would read it as a token that is never trained: ours ends a text.
        del boundaries["pad_token_id"]
    config = family.write_config(model.config) | {"dtype": "float32"} | boundaries
    files["config.json"] = json.dumps(config, indent=2)
    write_safetensors(folder / "model.safetensors", weights)
    for name, content in files.items():
        write_text(folder / name, content)


def exported_parameters(model: Transformer) -> dict[str, Tensor]:
    """The parameters by name. Raises: ValueError unless they are those that the config says."""
    if not isinstance(uncompiled(model), Transformer):
        raise ValueError(
            f"to_hf writes a Transformer, and this is a {type(model).__name__}; "
            "pass the Transformer inside it."
        )
    if lora_layers(model):
        raise ValueError(
            "this model has LoRA matrices beside its weights; merge them first (merge_lora), or "
            "write them alone with save_adapter."
        )
    kinds = {type(module).__name__ for module in model.modules()}
    if quantized := sorted(kinds & {Int4Linear.__name__, Int8Linear.__name__}):
        raise ValueError(
            f"this model has {' and '.join(quantized)} layers, whose codes no folder of "
            "transformers holds; load it with weights='fp32' and write that."
        )
    parameters = {uncompiled_name(name): weight for name, weight in model.named_parameters()}
    expected = dict(empty_model(model.config).named_parameters())
    shapes, ours = (
        {name: tuple(weight.shape) for name, weight in weights.items()}
        for weights in (expected, parameters)
    )
    if differing := sorted(name for name, _ in shapes.items() ^ ours.items()):
        name = differing[0]
        raise ValueError(
            f"the model's {name} has shape {ours.get(name)}, and its config asks for "
            f"{shapes.get(name)} ({len(differing)} weights differ); build a Transformer with the "
            "config that you mean, and copy the weights into it."
        )
    return parameters


def write_safetensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Atomically; marked as torch's, without which transformers refuses the file."""
    write_atomically(path, lambda temporary: save_file(tensors, temporary, {"format": "pt"}))
