"""Adapting a trained model: which of its parameters train, and a linear probe on frozen features.

LoRA lies in `fmcourse.models.lora`, soft prompts in `fmcourse.adaptation.soft_prompts`.
"""

from difflib import get_close_matches

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def train_only(model: nn.Module, *parts: str) -> nn.Module:
    """Freeze all parameters but those of the parts named; changes the model and returns it.

    Args:
        parts: names of submodules, such as "classifier" or "encoder.stack.blocks.5"; "" is the
            whole model.
    Raises: ValueError for a part that is not there, with the nearest names.
    """
    known = [name for name, _ in model.named_modules()]
    if unknown := [part for part in parts if part not in known]:
        near = get_close_matches(unknown[0], known, 3, 0.4) or known[1:6]  # known[0] is ""
        raise ValueError(f"this model has no part {unknown[0]!r}; did you mean {', '.join(near)}?")
    model.requires_grad_(False)
    for part in parts:
        model.get_submodule(part).requires_grad_(True)
    return model


def count_trainable(model: nn.Module) -> int:
    """How many parameters training will change."""
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad)


def fit_linear_probe(
    features: Tensor, labels: Tensor, num_classes: int, l2: float = 1e-4
) -> nn.Linear:
    """The best linear layer on frozen features: logistic regression, fitted until it converges.

    Nothing is random: the same features and labels give the same layer.

    Args:
        features: (N, D).
        labels: (N,), whole numbers from 0 to num_classes - 1.
        l2: strength of the L2 penalty on the weights, after each feature was scaled to mean 0 and
            variance 1 / D. The layer returned takes features as they come.
    Returns: a frozen layer, (N, D) -> logits (N, num_classes).
    Raises: ValueError for labels that are too many, too few, or outside the classes.
    Source: Bishop 2006, section 4.3.4; as scikit-learn's LogisticRegression with C = 1 / (2 N l2).
    """
    check_labels(features, labels, num_classes)
    mean = features.mean(0)
    # A feature that never changes has no spread to divide by; the clamp keeps it at zero.
    # Times √D: rows then have a mean squared length of 1, so `l2` means the same at every width.
    scale = features.std(0, correction=0).clamp(min=1e-4) * features.shape[1] ** 0.5
    scaled = (features - mean) / scale
    probe = nn.Linear(features.shape[1], num_classes, device=features.device)
    nn.init.zeros_(probe.weight)  # the loss is convex: every start leads to the same minimum
    nn.init.zeros_(probe.bias)
    # One `step` makes up to 200 iterations; the line search replaces a learning rate.
    optimizer = torch.optim.LBFGS(probe.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:  # L-BFGS evaluates loss and gradients several times in one step
        optimizer.zero_grad()
        # The bias is not penalized, so it can express how common each class is.
        loss = F.cross_entropy(probe(scaled), labels) + l2 * probe.weight.square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():  # also where the caller has switched gradients off
        optimizer.step(closure)
    with torch.no_grad():  # move (x - mean) / scale into the layer
        probe.weight /= scale  # W (x - m) / s + b = (W / s) x + b - (W / s) m
        probe.bias -= probe.weight @ mean  # with the weight that is already divided
    return probe.requires_grad_(False)


def check_labels(features: Tensor, labels: Tensor, num_classes: int) -> None:
    """Raises: ValueError unless there is one label for each row of features, inside the classes."""
    fits = len(features) == len(labels) > 0
    if not fits or labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(
            f"{len(features)} rows of features and {len(labels)} labels for {num_classes} classes: "
            f"each row needs one label, from 0 to {num_classes - 1}."
        )
