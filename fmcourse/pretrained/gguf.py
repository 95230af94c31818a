"""SmolLM2 from its GGUF file, in 32 bits or in the 4 bits that it was published in.

    rows = outputs of a matrix, columns = inputs

Unpacking takes seconds and the library gguf is slow to import, so both happen once: the result is
kept in the user's cache folder as safetensors, which is mapped into memory and not read.
"""

import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save_file
from torch import Tensor

from fmcourse.fast.quantized import Int4Linear, Int8Linear
from fmcourse.files import damage, write_atomically
from fmcourse.models.transformer import Config, Transformer, llama
from fmcourse.pretrained.families import (
    GGUF,
    assign_weights,
    empty_model,
    join_weights,
    weight_names,
)
from fmcourse.pretrained.weight_files import load_weights, open_weights
from fmcourse.tokenizers import BPETokenizer

if TYPE_CHECKING:
    from gguf import GGUFReader, ReaderTensor

CONTROL_TOKEN = 3  # the token_type of special tokens in GGUF's metadata
NOT_A_TOKENIZER = (ValueError, TypeError, AttributeError, KeyError)  # what loading a wreck raises
DIGEST = "sha256"  # the key of a cached file's metadata under which its digest stands
CODE_PARTS = ("codes", "scale", "minimum")  # what a matrix in 4 bits consists of, see unpack_q4_1


# -- the user's cache ------------------------------------------------------------------------------


def cache_folder() -> Path | None:
    """Where unpacked weights are kept; None if nothing can be written there.

    FMCOURSE_CACHE if it is set, else `fmcourse` in the user's cache folder.
    """
    # Windows names the folder in LOCALAPPDATA, Linux in XDG_CACHE_HOME or not at all.
    home = (
        os.environ.get("LOCALAPPDATA") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    )
    folder = Path(os.environ.get("FMCOURSE_CACHE") or Path(home) / "fmcourse")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):  # a folder may exist and still be read-only
            return folder
    except OSError:
        return None


def cached_weights(
    path: Path, kind: str, names: set[str], convert: Callable[["GGUFReader"], dict[str, Tensor]]
) -> dict[str, Tensor]:
    """What `convert` makes of a GGUF file; computed once, afterwards mapped from the cache.

    Args:
        names: of the tensors that it makes. A cached file that is damaged or holds others is
            dropped and made anew.
    """
    # The size tells releases of a file apart; v2 is the layout of what is cached.
    folder, key = cache_folder(), f"{path.stem}-{path.stat().st_size}-{kind}-v2.safetensors"
    if folder is None:
        return convert(open_gguf(path))
    if (folder / key).is_file():
        with suppress(ValueError):
            if (weights := load_weights(folder / key)).keys() == names:
                return weights
        (folder / key).unlink()
    weights = convert(open_gguf(path))
    metadata = {DIGEST: digest_of(weights)}
    write_atomically(folder / key, lambda temporary: save_file(weights, temporary, metadata))
    # Read from the cache even the first time, so that the weights are always mapped.
    return load_weights(folder / key)


def digest_of(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 of tensors and their names, whatever their order."""
    hashed = sha256()
    for name, tensor in sorted(weights.items()):
        hashed.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        hashed.update(tensor.contiguous().flatten().view(torch.uint8).numpy())
    return hashed.hexdigest()


def verify_digest(path: Path) -> None:
    """Raises: ValueError if a cached file cannot be read, or holds other bytes than were written.

    A load maps the file and reads little of it, so only this notices a byte that has flipped.
    """
    weights = load_weights(path)
    with open_weights(path) as file:
        digest = (file.metadata() or {}).get(DIGEST)
    if digest and digest != digest_of(weights):
        raise ValueError(f"{path} holds other numbers than were written to it.")


def damaged_cache_files() -> list[Path]:
    """The files of the cache that cannot be read, or that changed since they were written.

    Reads the whole cache: a second or two.
    """
    folder, damaged = cache_folder(), []
    for path in sorted(folder.iterdir()) if folder is not None else []:
        try:
            if path.suffix == ".safetensors":
                verify_digest(path)
            elif path.name.endswith(".tokenizer.json"):
                BPETokenizer.load(path)
        except NOT_A_TOKENIZER:
            damaged.append(path)
    return damaged


# -- the file --------------------------------------------------------------------------------------


def open_gguf(path: Path) -> "GGUFReader":
    """Raises: ValueError if the file is damaged, cut short, or a Git LFS pointer."""
    from gguf import GGUFReader  # imported here: it is slow, and the cache makes it unnecessary

    try:
        return GGUFReader(path)
    except (ValueError, IndexError, KeyError, OverflowError) as error:  # its many ways to say so
        remedy = "`python -m fmcourse models install --again` puts it back."
        raise ValueError(f"{damage(path, error)} {remedy}") from None


def read_config(reader: "GGUFReader") -> Config:
    """The shape as the file states it.

    Raises: ValueError if it is not SmolLM2-135M's, `llama()`.
    """

    def value(key: str) -> int | float:
        return reader.fields[f"llama.{key}"].contents()

    config = llama(
        vocab_size=value("vocab_size"),
        context=value("context_length"),
        width=value("embedding_length"),
        depth=value("block_count"),
        heads=value("attention.head_count"),
        kv_heads=value("attention.head_count_kv"),
        hidden=value("feed_forward_length"),
        rope_base=value("rope.freq_base"),
        norm_eps=round(value("attention.layer_norm_rms_epsilon"), 12),  # stored in 32 bits
    )
    if config != llama():
        raise ValueError(f"the file holds another shape than SmolLM2-135M: {config.summary()}.")
    return config


def tensors_by_name(reader: "GGUFReader") -> dict[str, "ReaderTensor"]:
    return {tensor.name: tensor for tensor in reader.tensors}


def dequantize_tensor(tensor: "ReaderTensor") -> Tensor:
    """(rows, columns) in 32 bits, or (columns,) for a norm."""
    from gguf.quants import dequantize

    # A norm is in 32 bits already and comes as a view of the read-only file: hence the copy.
    return torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).copy())


def undo_rope_interleaving(name: str, rows: Tensor, config: Config) -> Tensor:
    """Rows of q and k in our order; those of other matrices as they are.

    RoPE rotates pairs of outputs. GGUF stores the two of a pair side by side, our classes half a
    head apart, as the released Llama weights do.
    """
    # blk.7.attn_q.weight -> attn_q. Values are not rotated.
    heads = {"attn_q": config.heads, "attn_k": config.kv_heads}.get(name.split(".")[-2])
    if heads is None:
        return rows
    # (H K, ...) -> (H, K / 2, 2, ...) -> (H, 2, K / 2, ...) -> (H K, ...)
    return rows.unflatten(0, (heads, config.head_width // 2, 2)).transpose(1, 2).flatten(0, 2)


def load_gguf_tokenizer(path: Path) -> BPETokenizer:
    """The tokenizer in a GGUF file; kept in the cache, because reading it takes a second."""
    folder, key = cache_folder(), f"{path.stem}-{path.stat().st_size}-v1.tokenizer.json"
    if folder is not None and (folder / key).is_file():
        try:
            return BPETokenizer.load(folder / key)
        except NOT_A_TOKENIZER:
            (folder / key).unlink()  # damaged, and made anew
    fields = open_gguf(path).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    types = fields["tokenizer.ggml.token_type"].contents()
    pairs = zip(tokens, types, strict=True)
    tokenizer = BPETokenizer(
        {token: number for number, token in enumerate(tokens)},
        fields["tokenizer.ggml.merges"].contents(),
        split="digits",  # SmolLM2 makes every digit a token of its own
        special_tokens=[token for token, token_type in pairs if token_type == CONTROL_TOKEN],
    )
    if folder is not None:
        tokenizer.save(folder / key)
    return tokenizer


# -- in 32 bits ------------------------------------------------------------------------------------


def load_gguf(path: Path) -> Transformer:
    """SmolLM2 with every weight in 32 bits.

    Matrices with more rows than columns are laid out column by column: so a CPU multiplies a
    single token by them up to twice as fast.
    """
    model = empty_model(llama())
    names = {name for name, _ in model.named_parameters()}
    tall = {
        name
        for name, weight in model.named_parameters()
        if weight.ndim == 2 and len(weight) > weight.shape[1]
    }

    def convert(reader: "GGUFReader") -> dict[str, Tensor]:
        # A file stores a tensor row by row, so tall matrices are saved transposed.
        weights = transpose_named(dequantize_weights(reader), tall)
        return {name: weight.contiguous() for name, weight in weights.items()}

    # Transposed back as views: shape and values of the weight, laid out column by column.
    return assign_weights(
        model, transpose_named(cached_weights(path, "fp32-columns", names, convert), tall)
    )


def transpose_named(weights: Mapping[str, Tensor], names: set[str]) -> dict[str, Tensor]:
    return {name: weight.T if name in names else weight for name, weight in weights.items()}


def dequantize_weights(reader: "GGUFReader") -> dict[str, Tensor]:
    """Every weight under our name, in 32 bits."""
    config, tensors = read_config(reader), tensors_by_name(reader)

    def read_weight(name: str) -> Tensor:
        return undo_rope_interleaving(name, dequantize_tensor(tensors[name]), config)

    table = weight_names(GGUF, empty_model(config))
    return {ours: join_weights(GGUF, read_weight, theirs) for ours, theirs in table.items()}


# -- in 4 bits -------------------------------------------------------------------------------------


def load_int4(path: Path) -> Transformer:
    """SmolLM2 with the matrices of its blocks in 4 bits, as published, and its head in 8.

    For use and not for training: its parameters are frozen.
    """
    model = empty_model(llama())
    names = {key for name, _ in model.named_parameters() for key in int4_keys(name)}
    weights = cached_weights(path, "int4", names, pack_int4_weights)
    for i, block in enumerate(model.stack.blocks):
        for parent, name in (
            (block.attention, "qkv_proj"),
            (block.attention, "out_proj"),
            (block.mlp, "up"),
            (block.mlp, "down"),
        ):
            # `pop`, so that what remains is what `load_state_dict` takes below.
            parts = [weights.pop(f"{i}.{name}.{part}") for part in CODE_PARTS]
            setattr(parent, name, Int4Linear(*parts))
    model.head = Int8Linear(weights["embed.tokens.weight"])  # tied, but looked up in 32 bits
    model.load_state_dict(weights, strict=False, assign=True)  # norms and embedding alone
    return model.eval().requires_grad_(False)


def int4_keys(name: str) -> list[str]:
    """Under which names the cache holds a weight of ours: its own, or one for each of CODE_PARTS.

    >>> int4_keys("stack.blocks.7.attention.qkv_proj.weight")
    ['7.qkv_proj.codes', '7.qkv_proj.scale', '7.qkv_proj.minimum']
    """
    if "norm" in name or name == "embed.tokens.weight":
        return [name]
    _, _, i, _, layer, _ = name.split(".")
    return [f"{i}.{layer}.{part}" for part in CODE_PARTS]


def pack_int4_weights(reader: "GGUFReader") -> dict[str, Tensor]:
    """Norms and embedding in 32 bits under our names; each matrix of a block as its CODE_PARTS."""
    config, tensors = read_config(reader), tensors_by_name(reader)
    weights = {}
    for ours, theirs in weight_names(GGUF, empty_model(config)).items():
        keys = int4_keys(ours)
        if keys == [ours]:
            weights[ours] = dequantize_tensor(tensors[theirs[0]])
            continue
        matrices = [unpack_q4_1(name, tensors[name], config) for name in theirs]
        for key, rows in zip(keys, zip(*matrices, strict=True), strict=True):
            weights[key] = torch.cat(rows)  # q above k above v, gate above up
    return weights


def unpack_q4_1(name: str, tensor: "ReaderTensor", config: Config) -> tuple[Tensor, Tensor, Tensor]:
    """GGUF's Q4_1: 32 weights of a row are codes c of 4 bits, a scale d and a minimum m: d c + m.

    Returns: codes (rows, columns) uint8; d and m (rows, columns / 32) float32.
    """
    # 20 bytes for 32 weights: d and m in 16 bits each, then two codes in each of 16 bytes
    groups = torch.from_numpy(tensor.data.copy()).unflatten(1, (-1, 20))  # (rows, groups, 20)
    scales = groups[..., :4].contiguous().view(torch.float16).float()  # (rows, groups, 2)
    low, high = groups[..., 4:] & 15, groups[..., 4:] >> 4  # weights 0 to 15, and 16 to 31
    codes = torch.cat([low, high], -1).flatten(1)  # (rows, columns)
    return tuple(
        undo_rope_interleaving(name, part, config)  # whole rows move, so each part moves alike
        for part in (codes, scales[..., 0], scales[..., 1])
    )
