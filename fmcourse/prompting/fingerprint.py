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
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
