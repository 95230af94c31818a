"""Published weights in our classes, and ours in folders that other libraries open. No network.

    families   weight names and configs of GPT-2, Llama, Qwen2 and BERT, both ways from one table
    hf         folders as transformers writes them; tokenizer_files reads their tokenizers
    gguf       SmolLM2's GGUF file, in 32 or 4 bits, and the cache of unpacked weights
    peft       LoRA adapters as peft writes them
    sentences  sentence embeddings

What is used from outside is imported here.
"""

from pickle import UnpicklingError
from typing import Literal

import torch

from fmcourse.files import damage
from fmcourse.models.transformer import Transformer
from fmcourse.models.vision import EfficientNet
from fmcourse.packages import PACKAGES, package_file
from fmcourse.pretrained.gguf import (
    cache_folder,
    damaged_cache_files,
    load_gguf,
    load_gguf_tokenizer,
    load_int4,
)
from fmcourse.pretrained.hf import from_hf, read_tokenizer, to_hf
from fmcourse.pretrained.peft import load_adapter, save_adapter
from fmcourse.pretrained.sentences import embed_sentences, truncate
from fmcourse.tokenizers import BPETokenizer, WordPieceTokenizer

__all__ = [
    "cache_folder",
    "damaged_cache_files",
    "embed_sentences",
    "from_hf",
    "load",
    "load_adapter",
    "load_tokenizer",
    "load_vision",
    "save_adapter",
    "to_hf",
    "truncate",
]


def load(
    name: str, *, weights: Literal["fp32", "int4"] = "fp32"
) -> tuple[Transformer, BPETokenizer | WordPieceTokenizer]:
    """A pretrained model that reads text and its tokenizer, from the installed package.

    Args:
        name: "smollm2-135m-instruct" (a causal model that chats) or "minilm-l6" (an encoder of
            sentences).
        weights: "int4" keeps SmolLM2's matrices in the 4 bits that they were published in: a third
            of the memory and several times the speed of a token, for a small loss of accuracy
            that the benchmarks state. The model is then for use, not for training.
    Raises: ValueError for an unknown name or a model without a tokenizer; ModuleNotFoundError with
        the command that installs the package.
    """
    check_reads_text(name)
    if weights not in ("fp32", "int4") or (weights == "int4" and name != "smollm2-135m-instruct"):
        raise ValueError(
            f"{name} has no weights={weights!r}; "
            "choose 'fp32', or 'int4' for smollm2-135m-instruct."
        )
    if name == "minilm-l6":
        return from_hf(package_file(name, "config.json").parent)
    path = package_file(name, ".gguf")
    model = load_int4(path) if weights == "int4" else load_gguf(path)
    return model, load_gguf_tokenizer(path)


def load_tokenizer(name: str) -> BPETokenizer | WordPieceTokenizer:
    """The tokenizer of one of these models, without its weights.

    Raises: ValueError for an unknown name; ModuleNotFoundError with the command that installs the
        package.

    >>> load_tokenizer("smollm2-135m-instruct").pieces("a strawberry in 1984")
    ['a', ' strawberry', ' in', ' ', '1', '9', '8', '4']
    """
    check_reads_text(name)
    if name == "minilm-l6":
        return read_tokenizer(package_file(name, "config.json").parent)
    return load_gguf_tokenizer(package_file(name, ".gguf"))


def load_vision(name: str = "efficientnet-lite0") -> EfficientNet:
    """EfficientNet-Lite0 with its ImageNet weights, in our class, from the installed package.

    `fmcourse.models.vision.preprocess` makes its input from images.
    Raises: ValueError for another name or a damaged file; ModuleNotFoundError with the command
        that installs the package.
    """
    if name != "efficientnet-lite0":
        raise ValueError(f"no vision model is called {name!r}; there is 'efficientnet-lite0'.")
    path = package_file(name, ".pth")
    try:
        published = torch.load(path, weights_only=True)  # never run code from it
    except (RuntimeError, EOFError, UnpicklingError) as error:
        raise ValueError(damage(path, " ".join(str(error).split()))) from None
    with torch.device("meta"):
        model = EfficientNet()
    # Names differ, but both list their layers in the order of the computation.
    ours, theirs = list(model.state_dict()), list(published)
    # Their last parts, such as weight, bias and running_mean, must agree one by one.
    if [key.rpartition(".")[2] for key in ours] != [key.rpartition(".")[2] for key in theirs]:
        raise ValueError("the file holds other layers than EfficientNet-Lite0's.")
    # assign: weights on the meta device have no memory to copy into.
    model.load_state_dict(dict(zip(ours, published.values(), strict=True)), assign=True)
    return model.eval()


def check_reads_text(name: str) -> None:
    """Raises: ValueError unless it is the name of a model that reads text."""
    if name not in PACKAGES:
        raise ValueError(
            f"no model is called {name!r}; there are {', '.join(map(repr, PACKAGES))}."
        )
    if name == "efficientnet-lite0":
        raise ValueError(
            f"{name} reads images and has no tokenizer; `pretrained.load_vision()` loads it."
        )
