"""Linear layers with weights in 4 or 8 bits, multiplied as they are stored.

    N rows   I features in   O features out   g weights in a group that share a scale

Writing one token reads every weight once, so its time is that of reading them: fewer bytes, more
tokens a second. torch has kernels for these products under private names. Where a version lacks
one, or `fmcourse.fast` is switched off, the weights are dequantized: the same result, slowly.

On CPUs without AVX-512 only kernels that take x in bfloat16 are fast (ten times faster than those
for float32), so x is rounded to the 8 significant bits of a bfloat16; sums are kept in 32 bits.
"""

from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fmcourse import fast

GROUP_SIZE = 32
INT4_MIDDLE = 8  # the 4-bit kernel counts codes from -8 to 7


class Int4Linear(nn.Module):
    """y = x Wᵀ with W in 4-bit codes: each 32 weights of a row are scale * code + minimum.

    Args:
        codes: (O, I) uint8, 0 to 15.
        scale, minimum: (O, I / 32) float32.
    """

    def __init__(self, codes: Tensor, scale: Tensor, minimum: Tensor) -> None:
        super().__init__()
        # The kernel's offset is the value of its code 0, which is our code 8.
        middle = minimum + INT4_MIDDLE * scale
        # (O, I / 32, 2) to (I / 32, O, 2), laid out so in memory, as the kernel reads it.
        scales_and_zeros = torch.stack([scale, middle], -1).transpose(0, 1).contiguous()
        # The kernel packs the rows of W in sixteens.
        has_kernel = hasattr(torch, "_weight_int4pack_mm_for_cpu") and len(codes) % 16 == 0
        self.is_packed = fast.is_enabled() and has_kernel
        if self.is_packed:
            codes = torch._convert_weight_to_int4pack_for_cpu(codes.int(), 1)
            scales_and_zeros = scales_and_zeros.bfloat16()  # the kernel wants the dtype of x
        # Buffers, not parameters: whole numbers have no gradient, and W stays as it is.
        self.register_buffer("codes", codes)
        self.register_buffer("scales_and_zeros", scales_and_zeros)  # (I / 32, O, 2)

    def forward(self, x: Tensor) -> Tensor:
        """(..., I) -> (..., O), float32."""
        if not (self.is_packed and fast.is_enabled()):
            return F.linear(x, self.dequantize())
        rows = x.reshape(-1, x.shape[-1]).bfloat16()  # (N, I)
        y = multiply_int4(rows, self.codes, self.scales_and_zeros)
        return y.view(*x.shape[:-1], -1).float()

    def dequantize(self) -> Tensor:
        """W, (O, I) float32."""
        scales_and_zeros = self.scales_and_zeros.float().transpose(0, 1)  # (O, I / 32, 2)
        scale, middle = scales_and_zeros.repeat_interleave(GROUP_SIZE, 1).unbind(-1)
        return self.unpack() * scale + middle

    def unpack(self) -> Tensor:
        """The codes counted from -8, (O, I) float32."""
        if not self.is_packed:
            return self.codes.float() - INT4_MIDDLE
        # How codes are packed depends on the processor. The kernel knows: times the identity, with
        # scales 1 and offsets 0, it gives them back, exactly, for they are small whole numbers.
        groups, rows, _ = self.scales_and_zeros.shape
        identity = torch.eye(groups * GROUP_SIZE, dtype=torch.bfloat16, device=self.codes.device)
        plain = torch.tensor([1.0, 0.0]).to(self.scales_and_zeros).repeat(groups, rows, 1)
        return multiply_int4(identity, self.codes, plain).float().T


def multiply_int4(x: Tensor, codes: Tensor, scales_and_zeros: Tensor) -> Tensor:
    """x Wᵀ, (N, I) bfloat16 to (N, O) bfloat16, with codes packed for the CPU's kernel."""
    return torch._weight_int4pack_mm_for_cpu(x, codes, GROUP_SIZE, scales_and_zeros)


@lru_cache
def has_vnni() -> bool:
    """Whether this processor multiplies bytes and adds them up in one instruction (VNNI)."""
    cpu = torch.cpu.get_capabilities()
    return hasattr(torch, "_int_mm") and bool(cpu.get("avx512_vnni") or cpu.get("avx_vnni"))


class Int8Linear(nn.Module):
    """y = x Wᵀ with W in 8 bits, one scale a row; x too, one scale a position, on CPUs with VNNI.

    Both are multiplied by the same random rotation first. The product stays the same, but outliers
    (a few features with large values) are spread over all features, and rounding costs little.
    Source: Ashkboos et al. 2024 (QuaRot), who rotate by a Hadamard matrix.

    Args:
        weight: (O, I) float32.
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        width = weight.shape[1]
        # A generator of its own: the same rotation everywhere, and torch's stream is left alone.
        normal = torch.randn(width, width, generator=torch.Generator().manual_seed(0))
        rotation = torch.linalg.qr(normal)[0]  # Q of a QR decomposition is orthogonal
        # `linear` transposes its second matrix, so this is W R, and (x R)(W R)ᵀ = x R Rᵀ Wᵀ = x Wᵀ.
        weight = fast.linear(weight, rotation.T)
        # The largest weight of a row becomes 127 or -127, so that no code overflows int8.
        scale = weight.abs().amax(1) / 127
        self.register_buffer("rotation", rotation)
        self.register_buffer("codes", (weight / scale[:, None]).round().to(torch.int8))
        self.register_buffer("scale", scale)

    def forward(self, x: Tensor) -> Tensor:
        """(..., I) -> (..., O), float32."""
        rows = x.reshape(-1, x.shape[-1]) @ self.rotation  # (N, I)
        return self.multiply(rows).view(*x.shape[:-1], -1)

    def multiply(self, rows: Tensor) -> Tensor:
        """Rotated rows (N, I) times the codes, by the fastest kernel there is: (N, O)."""
        if fast.is_enabled() and has_vnni():
            row_scale = rows.abs().amax(1, keepdim=True).clamp(min=1e-30) / 127  # no 0 / 0
            row_codes = (rows / row_scale).round().to(torch.int8)
            # Exact sums in int32, (N, O), times a scale per column, (O,), and per row, (N, 1).
            return torch._int_mm(row_codes, self.codes.T) * self.scale * row_scale
        if fast.is_enabled() and hasattr(torch, "_weight_int8pack_mm"):
            scale = self.scale.bfloat16()
            return torch._weight_int8pack_mm(rows.bfloat16(), self.codes, scale).float()
        return F.linear(rows, self.codes.float() * self.scale[:, None])
