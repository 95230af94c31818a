"""Changing a trained model: parts of it (`train_only`), or LoRA, low-rank steps beside matrices that stay as they are.

    B batch   T time   I numbers in   O numbers out   R rank

    x (B, T, I) ──┬── W (O, I), frozen ────────────────┬──▶ (B, T, O)
                  └── A (R, I) ── B (O, R) ── scale ───┘

Hu et al. 2021. A is drawn, B is zero: the model begins as what it was. Trained are R (I + O) numbers in place of I O. Afterwards
W + scale B A is one matrix again (`merge_lora`), or A and B are saved alone, in a folder that the library peft opens.
"""

import json
import math
from collections import Counter
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from fmcourse.files import write_atomically, write_text
from fmcourse.models.attention import SwiGLUMLP
from fmcourse.models.transformer import Transformer
from fmcourse.pretrained import FAMILIES, family_of

LORA_TARGETS = {  # in a block of our stack: where it lies, and which of the matrices that share one product
    "q": ("attention.qkv_proj", 0),
    "k": ("attention.qkv_proj", 1),
    "v": ("attention.qkv_proj", 2),
    "out": ("attention.out_proj", 0),
    "gate": ("mlp.up", 0),
    "up": ("mlp.up", -1),
    "down": ("mlp.down", 0),
}


def train_only(model: nn.Module, *parts: str) -> nn.Module:
    """Freeze all weights but those of the parts named ("classifier", "encoder.stack.blocks.5"); "" is the whole; changes the model and returns it.

    Raises: ValueError for a part that is not there, with the nearest names.
    """
    known = [name for name, _ in model.named_modules()]
    if unknown := [part for part in parts if part not in known]:
        near = get_close_matches(unknown[0], known, 3, 0.4) or known[1:6]
        raise ValueError(f"this model has no part {unknown[0]!r}; did you mean {', '.join(near)}?")
    model.requires_grad_(False)
    for part in parts:
        model.get_submodule(part).requires_grad_(True)
    return model


def count_trainable(model: nn.Module) -> int:
    """How many numbers will change in training."""
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad)


def fit_linear_probe(
    features: Tensor, labels: Tensor, num_classes: int, l2: float = 1e-4
) -> nn.Linear:
    """The best linear layer on features that stay as they are, (N, D) -> (N, num_classes): logistic regression, to the end and without chance.

    Args:
        l2: of the weights towards zero, once every feature has mean 0 and together they have length 1. The layer takes features as they come.
    Raises: ValueError for labels that are too many, too few, or outside the classes.
    Source: Bishop 2006, section 4.3.4; as scikit-learn's LogisticRegression with C = 1 / (2 N l2).
    """
    if (
        len(features) != len(labels)
        or not len(labels)
        or labels.min() < 0
        or labels.max() >= num_classes
    ):
        raise ValueError(
            f"{len(features)} rows of features and {len(labels)} labels for {num_classes} classes: there must be a label a row, from 0 to {num_classes - 1}."
        )
    middle, size = (
        features.mean(0),
        features.std(0, correction=0).clamp(min=1e-4) * features.shape[1] ** 0.5,
    )
    known, head = (
        (features - middle) / size,
        nn.Linear(features.shape[1], num_classes, device=features.device),
    )
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    search = torch.optim.LBFGS(head.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        search.zero_grad()
        value = F.cross_entropy(head(known), labels) + l2 * head.weight.square().sum()
        value.backward()
        return value

    with torch.enable_grad():
        search.step(loss)
    with torch.no_grad():  # (x - middle) / size, taken into the layer
        head.weight /= size
        head.bias -= head.weight @ middle
    return head.requires_grad_(False)


# -- LoRA -----------------------------------------------------------------------------------------------------------------


class LoRALinear(nn.Module):
    """A linear layer that stays as it is, and a step of low rank beside some of its parts.

    Args:
        base: frozen here.
        sizes: numbers out of each part, where several matrices share one product; they add up to O.
        parts: which of them get a step.
        rank, alpha: R, and the step's weight: scale = alpha / R, so that another R needs no other learning rate (section 4.1).
    """

    def __init__(
        self, base: nn.Linear, sizes: Sequence[int], parts: Sequence[int], rank: int, alpha: float
    ) -> None:
        super().__init__()
        self.base, self.scale = base.requires_grad_(False), alpha / rank
        self.sizes, self.parts = list(sizes), list(parts)
        like = {"device": base.weight.device, "dtype": base.weight.dtype}
        self.A = nn.ParameterList(torch.empty(rank, base.in_features, **like) for _ in self.parts)
        self.B = nn.ParameterList(torch.zeros(sizes[part], rank, **like) for part in self.parts)
        for drawn in self.A:
            nn.init.kaiming_uniform_(drawn, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        y = self.base(x)
        for part, A, B in zip(
            self.parts, self.A, self.B, strict=True
        ):  # each into its own slice: no copy is made
            mine = y.narrow(-1, sum(self.sizes[:part]), self.sizes[part])
            mine.add_(F.linear(F.linear(x, A), B), alpha=self.scale)
        return y

    @torch.no_grad()
    def merge(self) -> nn.Linear:
        """One matrix again: W + scale B A."""
        weight = list(self.base.weight.split(self.sizes))
        for part, A, B in zip(self.parts, self.A, self.B, strict=True):
            weight[part] = weight[part] + self.scale * B @ A
        self.base.weight = nn.Parameter(torch.cat(weight))
        return self.base.requires_grad_(True)


def add_lora(
    model: nn.Module, rank: int = 8, alpha: float = 16.0, targets: Sequence[str] = ("q", "v")
) -> nn.Module:
    """Freeze a model and put steps of low rank beside the matrices named, in every block; changes the model and returns it.

    Args:
        model: a `Transformer`, or one with a new head around it: what lies outside the transformer is frozen too; unfreeze it by hand.
        targets: some of q, k, v, out, gate (only where the MLP is gated), up, down.
    Weights are drawn from torch's global stream: call `torch.manual_seed` first to repeat them.
    Raises: ValueError for a rank below 1, a place that is not there, or a model that has steps already.
    Source: Hu et al. 2021, section 4; q and v as in section 7.1.
    """
    if rank < 1 or not targets:
        raise ValueError(
            f"rank={rank}, targets={tuple(targets)}: give a rank above 0 and a place, such as ('q', 'v')."
        )
    if lora_layers(model):
        raise ValueError(
            "this model has steps of low rank already; merge them first, or train those."
        )
    stacks = [module for module in model.modules() if isinstance(module, Transformer)]
    if not stacks:
        raise ValueError(
            f"{type(model).__name__} holds no Transformer, so no places {', '.join(targets)} either."
        )
    model.requires_grad_(False)
    for transformer in stacks:
        known = lora_targets(transformer)
        if missing := [name for name in targets if name not in known]:
            near = [name for name in known if name[0] == missing[0][:1]]  # q_proj, query: q
            raise ValueError(
                f"there is no {missing[0]!r} in this model; it has {', '.join(known)}.{f' Did you mean {near[0]!r}?' if near else ''}"
            )
        for block in transformer.stack.blocks:
            for path in dict.fromkeys(known[name][0] for name in targets):
                parts = sorted(known[name][1] for name in targets if known[name][0] == path)
                step = LoRALinear(
                    block.get_submodule(path), split_sizes(transformer, path), parts, rank, alpha
                )
                block.set_submodule(path, step)
    return model


def lora_targets(model: Transformer) -> dict[str, tuple[str, int]]:
    """What can be named in this model, and where it lies in each block."""
    gated = len(split_sizes(model, "mlp.up")) == 2
    known = {name: place for name, place in LORA_TARGETS.items() if gated or name != "gate"}
    return {
        name: (path, part % len(split_sizes(model, path))) for name, (path, part) in known.items()
    }


def split_sizes(model: Transformer, path: str) -> list[int]:
    """Numbers out of each matrix that shares this product."""
    block = model.stack.blocks[0]
    if path == "attention.qkv_proj":
        return list(block.attention.qkv_sizes)
    if path == "mlp.up":
        return [model.config.hidden] * (1 + isinstance(block.mlp, SwiGLUMLP))
    return [model.config.width]


def lora_layers(model: nn.Module) -> list[tuple[str, LoRALinear]]:
    """Steps by the place of what they stand beside: stack.blocks.0.attention.qkv_proj."""
    return [
        (path, module) for path, module in model.named_modules() if isinstance(module, LoRALinear)
    ]


def merge_lora(model: nn.Module) -> nn.Module:
    """The same function without the steps, all weights trainable again; changes the model and returns it. To rounding exact."""
    for path, step in lora_layers(model):
        model.set_submodule(path, step.merge())
    return model.requires_grad_(True)


# -- folders as peft writes them ------------------------------------------------------------------------------------------


def save_adapter(model: Transformer, folder: str | Path, base_model: str = "") -> None:
    """Write adapter_config.json and adapter_model.safetensors: the steps alone, as peft's LoraConfig and LoraModel read them.

    Raises: ValueError for a model without steps, or one whose matrices the published family keeps in another shape (GPT-2).
    """
    table, tensors, targets = published_modules(model), {}, set()
    if not (steps := lora_layers(model)):
        raise ValueError("this model has no steps of low rank; `add_lora(model)` puts them in.")
    short = lambda name: name.rsplit(".", 1)[-1]
    alike = Counter(short(name) for named in table.values() for name in named)
    for path, step in steps:
        for part, A, B in zip(step.parts, step.A, step.B, strict=True):
            name = table[path][part]
            targets.add(
                short(name) if alike[short(name)] == model.config.depth else name
            )  # BERT calls three of them "dense"
            for letter, matrix in (("A", A), ("B", B)):
                tensors[f"base_model.model.{name}.lora_{letter}.weight"] = (
                    matrix.detach().contiguous()
                )
    rank = len(steps[0][1].A[0])
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM" if model.config.causal else "FEATURE_EXTRACTION",
        "base_model_name_or_path": base_model or None,
        "r": rank,
        "lora_alpha": steps[0][1].scale * rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": sorted(targets),
        "inference_mode": True,
    }
    folder = Path(folder)
    save = lambda temporary: save_file(tensors, temporary, {"format": "pt"})
    write_atomically(folder / "adapter_model.safetensors", save)
    write_text(folder / "adapter_config.json", json.dumps(config, indent=2))


def load_adapter(model: Transformer, folder: str | Path) -> Transformer:
    """Put the steps of a folder, ours or peft's, beside the matrices of the model they were made for; changes it and returns it.

    Raises: FileNotFoundError naming the file, ValueError for a kind of adapter that our class does not compute, or another model's shapes.
    """
    folder = Path(folder)
    for needed in ("adapter_config.json", "adapter_model.safetensors"):
        if not (folder / needed).is_file():
            raise FileNotFoundError(
                f"{folder} has no {needed}; give what save_adapter or peft's save_pretrained made."
            )
    config = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    tensors = load_file(folder / "adapter_model.safetensors")
    check_adapter_config(config)
    table, own = (
        published_modules(model),
        {spot: name for name, spot in lora_targets(model).items()},
    )
    lies = {
        name: (path.split(".", 3)[-1], part)
        for path, named in table.items()
        for part, name in enumerate(named)
    }
    changed = sorted(
        {key.removeprefix("base_model.model.").rsplit(".lora_", 1)[0] for key in tensors}
    )
    if unknown := [name for name in changed if name not in lies]:
        raise ValueError(
            f"the adapter changes {unknown[0]}, which this model has not; is it another model's adapter?"
        )
    add_lora(
        model,
        config["r"],
        config["lora_alpha"],
        list(dict.fromkeys(own[lies[name]] for name in changed)),
    )
    with torch.no_grad():
        for path, step in lora_layers(model):
            for part, A, B in zip(step.parts, step.A, step.B, strict=True):
                for letter, matrix in (("A", A), ("B", B)):
                    key = f"base_model.model.{table[path][part]}.lora_{letter}.weight"
                    if key not in tensors or tensors[key].shape != matrix.shape:
                        found = tuple(tensors[key].shape) if key in tensors else "nothing"
                        raise ValueError(
                            f"{key} should be {tuple(matrix.shape)}; the file holds {found}. Is it the adapter of another model?"
                        )
                    matrix.copy_(tensors[key])
    return model


def check_adapter_config(config: dict[str, Any]) -> None:
    """Refuse an adapter that computes something else than ours."""
    plain = {
        "peft_type": ("LORA",),
        "bias": ("none", None),
        "use_dora": (False, None),
        "use_rslora": (False, None),
        "rank_pattern": ({}, None),
        "alpha_pattern": ({}, None),
        "fan_in_fan_out": (False, None),
        "modules_to_save": (None, []),
        "layers_to_transform": (None,),
    }
    for name, fine in plain.items():
        if name in config and config[name] not in fine:
            raise ValueError(
                f"this adapter has {name}={config[name]!r}; ours has {fine[0]!r}, so it is not loaded."
            )


def published_modules(model: Transformer) -> dict[str, list[str]]:
    """Our matrix -> the published modules that it joins, for every place that a step can stand beside."""
    kind = family_of(model.config)
    family = FAMILIES[kind]
    if family.transposed:
        raise ValueError(
            f"{kind} keeps q, k and v in one published matrix, lying on its side; adapters of its kind are not exchanged. Save "
            "the merged model with to_hf."
        )
    prefix = "" if model.config.head == "none" else family.prefix
    paths = {path for path, _ in LORA_TARGETS.values()}
    at = lambda i, path: [
        prefix + one.format(i=i).removesuffix(".weight") for one in family.block[f"{path}.weight"]
    ]
    return {
        f"stack.blocks.{i}.{path}": at(i, path) for i in range(model.config.depth) for path in paths
    }
