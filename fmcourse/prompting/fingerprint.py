"""A fingerprint of a model's weights: it shows that nothing was trained."""

import hashlib

import torch
from torch import nn


def fingerprint(model: nn.Module) -> str:
    """SHA-256 of all parameters and saved buffers with their names, 64 hexadecimal digits.

    It differs if a single bit does. Buffers that are computed and not saved (the cosines of RoPE)
    do not count: their last bits may differ from machine to machine.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):  # in whatever order they are defined
        # Equal bytes under another dtype or shape are other weights.
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        # In logical order, however the memory is laid out; as bytes, for numpy has no bfloat16.
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
