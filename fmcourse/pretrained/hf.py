"""Folders as the library transformers writes them: config.json, model.safetensors, a tokenizer.

What `to_hf` writes, transformers opens, and its `generate` gives our text and ends where ours does.

Only safetensors is read: it holds numbers and nothing that can run, which a pickle can.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from fmcourse.files import write_atomically, write_text
from fmcourse.models.transformer import Transformer
from fmcourse.pretrained.families import (
    FAMILIES,
    Family,
    add_prefix,
    assign_weights,
    empty_model,
    find_family,
    join_weights,
    split_weight,
    weight_names,
)
from fmcourse.pretrained.tokenizer_export import (
    AnyTokenizer,
    boundary_ids,
    read_characters,
    tokenizer_files,
)
from fmcourse.tokenizers import BPETokenizer, WordPieceTokenizer

# Some files hold a tied matrix a second time, under the name of the head.
TIED_NAMES = {"lm_head.weight", "cls.predictions.decoder.weight"}


def from_hf(folder: str | Path) -> tuple[Transformer, AnyTokenizer | None]:
    """The model in a folder that transformers saved, and its tokenizer if there is one we can read.

    Raises: FileNotFoundError naming the file that is missing; ValueError for a family or a setting
        that our class does not compute.
    """
    folder = Path(folder)
    for needed in ("config.json", "model.safetensors"):
        if not (folder / needed).is_file():
            raise FileNotFoundError(
                f"{folder} has no {needed}; give a folder made by save_pretrained with safetensors "
                "in one file."
            )
    config = json.loads((folder / "config.json").read_text("utf-8"))
    if config.get("model_type") not in FAMILIES:
        raise ValueError(
            f"model_type {config.get('model_type')!r} is not one of {', '.join(FAMILIES)}."
        )
    family = FAMILIES[config["model_type"]]
    model = empty_model(family.read_config(config))
    with safe_open(folder / "model.safetensors", "pt") as file:
        weights = read_weights(family, model, file)
    return assign_weights(model, weights), read_tokenizer(folder)


def read_weights(family: Family, model: Transformer, file: Any) -> dict[str, Tensor]:
    """The weights of an open safetensors file under our names, in 32 bits.

    Raises: ValueError if the file lacks a weight of the model, or holds one that the model lacks.
    """
    available = set(file.keys())
    bare = not any(key.startswith(family.prefix) for key in available)  # saved without a head
    table = {
        ours: [add_prefix(family, name, bare) for name in theirs]
        for ours, theirs in weight_names(family, model).items()
    }
    used = {key for keys in table.values() for key in keys}
    if missing := sorted(used - available):
        raise ValueError(
            f"the file holds no {missing[0]} ({len(missing)} weights are missing); "
            "is it the whole model?"
        )
    unknown = sorted(
        key
        for key in available - used - TIED_NAMES
        if not any(part in key for part in family.ignored)
    )
    if unknown:
        raise ValueError(
            f"the file holds {unknown[0]}, for which our class has no place "
            f"({len(unknown)} such weights)."
        )

    def read_weight(key: str) -> Tensor:
        return file.get_tensor(key).float()  # files may be in bfloat16 or float16

    return {ours: join_weights(family, read_weight, keys) for ours, keys in table.items()}


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
    with the chat template if it has the marks of one.

    Args:
        tokenizer: the one that the model was trained with. Without it no token ends a text.
        stop: texts of one token that end a text; unless given, "<|im_end|>" and "<|endoftext|>",
            where they are special tokens.
    Raises: ValueError if no published family computes what this model does, if the tokenizer has
        more tokens than the model, or if a stop text is no single token.
    """
    model_type, folder = find_family(model.config), Path(folder)
    # Before anything is written: both may refuse what was given.
    files = {} if tokenizer is None else tokenizer_files(tokenizer, model.config, stop)
    boundaries = boundary_ids(tokenizer, stop)
    family, parameters = FAMILIES[model_type], dict(model.named_parameters())
    bare = model.config.head == "none"
    weights = {}
    for ours, theirs in weight_names(family, model).items():
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


def write_safetensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Atomically; marked as torch's, without which transformers refuses the file."""
    write_atomically(path, lambda temporary: save_file(tensors, temporary, {"format": "pt"}))


def read_tokenizer(folder: Path) -> AnyTokenizer | None:
    """The folder's tokenizer, if it is of a type that this course builds; else None."""
    if (folder / "vocab.txt").is_file():
        return WordPieceTokenizer.from_vocab_file(folder / "vocab.txt")
    if not (folder / "tokenizer.json").is_file():
        return None
    saved = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    if saved["model"]["type"] == "WordLevel":
        return read_characters(saved)
    pre_tokenizer = json.dumps(saved.get("pre_tokenizer"))  # as text: its steps may be nested
    if saved["model"]["type"] != "BPE" or "ByteLevel" not in pre_tokenizer:
        return None
    # Newer files write a merge as a pair, older ones as one string with a space.
    merges = [m if isinstance(m, str) else " ".join(m) for m in saved["model"]["merges"]]
    special = [token["content"] for token in saved.get("added_tokens", []) if token["special"]]
    return BPETokenizer(
        saved["model"]["vocab"],
        merges,
        split="digits" if "Digits" in pre_tokenizer else "gpt2",
        special_tokens=special,
    )
