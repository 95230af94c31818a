"""Matrices kept in few bits and multiplied as they are: what makes a token cheap is reading fewer bytes.

    N rows out   K columns in   g numbers in a group that share a scale

torch has fast products for these under private names; where a version lacks one, the numbers are unpacked and the result is the
same, slowly. On CPUs without AVX-512 only those that take x in bfloat16 are fast (ten times faster than those for float32), so x
is rounded to its 8 leading bits on the way in; sums are kept in 32 bits.
"""

from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fmcourse.fast.products import linear

GROUP_SIZE = 32


class Int4Linear(nn.Module):
    """y = x Wᵀ with W in 4-bit codes: each 32 numbers of a row are d * code + m.

    Args:
        codes: (N, K) uint8, 0 to 15.
        scale, minimum: d and m, (N, K / 32) float32.
    """

    def __init__(self, codes: Tensor, scale: Tensor, minimum: Tensor) -> None:
        super().__init__()
        self.fast = hasattr(torch, "_weight_int4pack_mm_for_cpu") and len(codes) % 16 == 0
        scales_and_zeros = (
            torch.stack([scale, minimum + 8 * scale], -1).transpose(0, 1).contiguous()
        )  # the kernel counts from -8
        if self.fast:
            codes, scales_and_zeros = (
                torch._convert_weight_to_int4pack_for_cpu(codes.int(), 1),
                scales_and_zeros.bfloat16(),
            )
        self.register_buffer("codes", codes)
        self.register_buffer("scales_and_zeros", scales_and_zeros)  # (K / 32, N, 2)

    def forward(self, x: Tensor) -> Tensor:
        if not self.fast:
            return F.linear(x, self.dequantize())
        rows = x.reshape(-1, x.shape[-1]).bfloat16()
        return (
            torch._weight_int4pack_mm_for_cpu(rows, self.codes, GROUP_SIZE, self.scales_and_zeros)
            .view(*x.shape[:-1], -1)
            .float()
        )

    def dequantize(self) -> Tensor:
        """(N, K) float32, from codes that are not packed for the fast product."""
        scale, middle = (
            self.scales_and_zeros.transpose(0, 1).repeat_interleave(GROUP_SIZE, 1).unbind(-1)
        )
        return (self.codes.float() - 8) * scale + middle


@lru_cache
def has_vnni() -> bool:
    """Whether this processor multiplies bytes and adds them up in one instruction (VNNI)."""
    cpu = torch.cpu.get_capabilities()
    return hasattr(torch, "_int_mm") and bool(cpu.get("avx512_vnni") or cpu.get("avx_vnni"))


class Int8Linear(nn.Module):
    """y = x Wᵀ with W rounded to 8 bits, one scale a row; and x too, one scale a position, where the processor adds bytes.

    Both are turned by the same rotation first. That changes no product, but what stood out in a few numbers is spread over all, and
    rounding costs little. Source: Ashkboos et al. 2024 (QuaRot), with a rotation drawn by chance in place of Hadamard's.

    Args:
        weight: (N, K) float32.
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        rotation = torch.linalg.qr(
            torch.randn(
                weight.shape[1], weight.shape[1], generator=torch.Generator().manual_seed(0)
            )
        )[0]
        weight = linear(weight, rotation.T)
        scale = weight.abs().amax(1) / 127
        self.register_buffer("rotation", rotation)
        self.register_buffer("codes", (weight / scale[:, None]).round().to(torch.int8))
        self.register_buffer("scale", scale)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, x.shape[-1]) @ self.rotation
        if has_vnni():
            size = rows.abs().amax(1, keepdim=True).clamp(min=1e-30) / 127
            y = (
                torch._int_mm((rows / size).round().to(torch.int8), self.codes.T)
                * self.scale
                * size
            )
        elif hasattr(torch, "_weight_int8pack_mm"):
            y = torch._weight_int8pack_mm(
                rows.bfloat16(), self.codes, self.scale.bfloat16()
            ).float()
        else:
            y = F.linear(rows, self.codes.float() * self.scale[:, None])
        return y.view(*x.shape[:-1], -1)
