"""Attention: every position gathers what it needs from the positions it may see.

    B batch   T positions that look   S positions looked at   D width   H heads   G key/value heads   K width of a head

Vaswani et al. 2017, section 3.2; normalisation before each part: Xiong et al. 2020; rotations: Su et al. 2021, section 3.4;
shared key/value heads: Ainslie et al. 2023; gated MLP: Shazeer 2020; squared ReLU: So et al. 2021.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from fmcourse.fast.products import Linear, linear
from fmcourse.models.config import Config
from fmcourse.models.kv_cache import KVCache

CosSin = tuple[Tensor, Tensor] | None


class RMSNormFunction(torch.autograd.Function):
    """x / √(mean x² + ε) w, with half the passes over memory on the way back that torch's own takes."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        size = (
            torch.linalg.vector_norm(x, dim=-1, keepdim=True)
            .square_()
            .div_(x.shape[-1])
            .add_(eps)
            .rsqrt_()
        )
        unit = x * size
        ctx.save_for_backward(unit, size, weight)
        return unit * weight

    @staticmethod
    @once_differentiable
    def backward(ctx, dy: Tensor) -> tuple[Tensor | None, ...]:
        unit, size, weight = ctx.saved_tensors
        both, pull = dy * unit, dy * weight
        dx = torch.addcmul(
            pull, unit, (both @ weight).unsqueeze(-1), value=-1 / unit.shape[-1]
        ).mul_(size)
        return dx, both.flatten(0, -2).sum(0), None


class RMSNorm(nn.RMSNorm):
    """`nn.RMSNorm`, faster to train."""

    def forward(self, x: Tensor) -> Tensor:
        trained = torch.is_grad_enabled() and x.dtype == self.weight.dtype
        return RMSNormFunction.apply(x, self.weight, self.eps) if trained else super().forward(x)


NORMS = {"layer": nn.LayerNorm, "rms": RMSNorm}


def causal(T: int, S: int | None = None, device: torch.device | str | None = None) -> Tensor:
    """(T, S) bool: row t is True where position t may look, itself and what came before. The T rows are the last of S.

    >>> causal(3).int().tolist()
    [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    """
    S = T if S is None else S
    return torch.ones(T, S, dtype=torch.bool, device=device).tril(S - T)


class RotaryEmbedding(nn.Module):
    """Turns each pair of numbers by an angle that grows with position, so that a score depends on distance alone."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        pairs = torch.arange(0, config.head_width, 2, dtype=torch.float32) / config.head_width
        angles = torch.arange(config.context)[:, None] * config.rope_base**-pairs  # (context, K/2)
        self.register_buffer("cos", angles.cos().repeat(1, 2), persistent=False)
        self.register_buffer("sin", torch.cat([-angles.sin(), angles.sin()], 1), persistent=False)

    def forward(self, positions: Tensor) -> CosSin:
        """Positions (T,) or (B, T) to cosines and sines, those of the left half negative: (T, K) or (B, 1, T, K)."""
        cos, sin = self.cos[positions], self.sin[positions]
        return (cos, sin) if positions.ndim == 1 else (cos[:, None], sin[:, None])


class NoRotaryEmbedding(nn.Module):
    """Positions are told elsewhere, or not at all."""

    def forward(self, positions: Tensor) -> CosSin:
        return None


def apply_rope(x: Tensor, rope: CosSin) -> Tensor:
    """Turn x (..., T, K); number i is paired with number i + K/2, as in the released Llama weights."""
    if rope is None:
        return x
    cos, sin = rope
    return x * cos + x.roll(x.shape[-1] // 2, -1) * sin  # the halves change places


class Attention(nn.Module):
    """Heads look side by side; each averages the values it finds, weighted by how well query meets key."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        D, K = config.width, config.head_width
        self.head_width, self.causal, self.dropout = K, config.causal, config.dropout
        self.qkv_sizes = [config.heads * K, config.kv_heads * K, config.kv_heads * K]
        self.heads, self.kv_heads = config.heads, config.kv_heads
        self.group_size = config.heads // config.kv_heads
        self.qkv_proj = Linear(D, sum(self.qkv_sizes), bias=config.bias)
        self.out_proj = Linear(D, D, bias=config.bias)
        self.norm_q, self.norm_k = (
            RMSNorm(K, eps=torch.finfo(torch.float32).eps) if config.qk_norm else nn.Identity()
            for _ in "qk"
        )

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        rope: CosSin = None,
        cache: KVCache | None = None,
        layer: int = 0,
    ) -> Tensor:
        q, k, v = self.project_qkv(x, rope)
        if cache is not None:
            k, v = cache.append(layer, k, v)  # (B, G, S, K)
        elif rope is not None:
            v = (
                v.contiguous()
            )  # a copy of its own: as a part of qkv it would keep all of that for the way back
        return self.out_proj(self.attend(q, k, v, mask).transpose(1, 2).flatten(2))  # (B, T, D)

    def project_qkv(self, x: Tensor, rope: CosSin) -> tuple[Tensor, ...]:
        """What meets: q (B, H, T, K), k and v (B, G, T, K). Where no norm tells q and k apart, they turn in one go."""
        H, G = self.heads, self.kv_heads
        qkv = self.qkv_proj(x).unflatten(-1, (-1, self.head_width)).transpose(1, 2)
        if rope is None or isinstance(self.norm_q, nn.RMSNorm):
            q, k, v = qkv.split([H, G, G], 1)
            return apply_rope(self.norm_q(q), rope), apply_rope(self.norm_k(k), rope), v
        return (*apply_rope(qkv[:, : H + G], rope).split([H, G], 1), qkv[:, H + G :])

    def split_qkv(self, x: Tensor) -> tuple[Tensor, ...]:
        """What each position asks, offers and gives."""
        return self.qkv_proj(x).split(self.qkv_sizes, -1)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        """softmax(q kᵀ / √K) v: (B, H, T, K)."""
        T, S = q.shape[2], k.shape[2]
        if (
            T == 1 and mask is None
        ):  # one new token sees all: queries that share a key stand in for positions
            as_positions = q.reshape(len(q), -1, self.group_size, q.shape[3])
            return F.scaled_dot_product_attention(as_positions, k, v).reshape(q.shape)
        simple = self.causal and mask is None and T == S
        dropout = self.dropout if self.training else 0.0
        mask = None if simple else self.combine_masks(mask, T, S, q.device)
        shared = (
            self.group_size > 1
        )  # keys and values are not copied for each query head, nor kept so for the way back
        return F.scaled_dot_product_attention(
            q, k, v, mask, dropout, is_causal=simple, enable_gqa=shared
        )

    def attention_map(
        self, x: Tensor, mask: Tensor | None = None, rope: CosSin = None, *_: object
    ) -> Tensor:
        """Who looks at whom, and how much: (B, H, T, T), each row adds up to 1. What `attend` averages with, spelt out."""
        q, k, _ = self.project_qkv(x, rope)
        return self.attention_weights(q, k, mask)

    def attention_weights(self, q: Tensor, k: Tensor, mask: Tensor | None) -> Tensor:
        """softmax(q kᵀ / √K), nothing for what is hidden: (B, H, T, S)."""
        scores = q @ k.repeat_interleave(self.group_size, 1).mT / math.sqrt(self.head_width)
        allowed = self.combine_masks(mask, q.shape[2], k.shape[2], q.device)
        return (scores if allowed is None else scores.masked_fill(~allowed, -math.inf)).softmax(-1)

    def combine_masks(
        self, mask: Tensor | None, T: int, S: int, device: torch.device
    ) -> Tensor | None:
        """The model's own rule, narrowed by the mask and never widened; the mask gets an axis for the heads."""
        rule = causal(T, S, device) if self.causal and T > 1 else None
        if mask is None:
            return rule
        mask = mask if mask.ndim == 2 else mask.unsqueeze(-3)
        return mask if rule is None else mask & rule


class CrossAttention(Attention):
    """Queries from one sequence, keys and values from another: the decoder asks, what the encoder read answers."""

    def __init__(self, config: Config) -> None:
        super().__init__(
            replace(config, causal=False)
        )  # the source is there from the beginning, all of it

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor | None = None) -> Tensor:
        """x (B, T, D) asks, memory (B, S, D) answers; mask bool, (T, S), (B, T, S) or (B, 1, S), True = may look."""
        return self.out_proj(
            self.attend(*self.project_qkv(x, memory), mask).transpose(1, 2).flatten(2)
        )  # (B, T, D)

    def project_qkv(self, x: Tensor, memory: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (B, H, T, K) of x; keys and values (B, G, S, K) of the memory."""
        first, rest = self.qkv_sizes[0], sum(self.qkv_sizes[1:])
        weights = self.qkv_proj.weight.split([first, rest])
        biases = (
            (None, None) if self.qkv_proj.bias is None else self.qkv_proj.bias.split([first, rest])
        )
        q = linear(x, weights[0], biases[0])
        k, v = linear(memory, weights[1], biases[1]).chunk(2, -1)
        q, k, v = (part.unflatten(-1, (-1, self.head_width)).transpose(1, 2) for part in (q, k, v))
        return self.norm_q(q), self.norm_k(k), v

    def attention_map(self, x: Tensor, memory: Tensor, mask: Tensor | None = None) -> Tensor:
        """Who looks at what of the memory, and how much: (B, H, T, S)."""
        q, k, _ = self.project_qkv(x, memory)
        return self.attention_weights(q, k, mask)


@torch.no_grad()
def attention_maps(model: nn.Module, *inputs: Tensor) -> dict[str, Tensor]:
    """Who looked at whom while `model(*inputs)` ran: for each attention in it, by its name, (B, H, T, S).

    The fused kernel never holds these weights, so each is computed a second time from what its attention was given.
    Source: Vaswani et al. 2017, equation 1.
    """
    seen: dict[str, Tensor] = {}
    hooks = []
    for name, part in model.named_modules():
        if isinstance(part, Attention):

            def note(part: Attention, given: tuple, name: str = name) -> None:
                seen[name] = part.attention_map(*given)

            hooks.append(part.register_forward_pre_hook(note))
    try:
        model(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return seen


class MLP(nn.Module):
    """Each position alone: widen, bend, narrow."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.up = Linear(config.width, config.hidden, bias=config.bias)
        self.down = Linear(config.hidden, config.width, bias=config.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.activation(self.up(x)))

    def activation(self, h: Tensor) -> Tensor:
        return F.gelu(h)


class TanhGELU(torch.autograd.Function):
    """x (1 + tanh z) / 2 with z = √(2/π) (x + 0.044715 x³), computed as x σ(2 z): torch's σ is four times as fast as its tanh."""

    A = 2 * math.sqrt(2 / math.pi)
    B = 0.044715 * A  # 2 z = x (A + B x²)

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        gate = torch.addcmul(x.new_full((), TanhGELU.A), x, x, value=TanhGELU.B).mul_(x).sigmoid_()
        ctx.save_for_backward(x, gate)
        return x * gate

    @staticmethod
    @once_differentiable
    def backward(ctx, dy: Tensor) -> Tensor:
        x, gate = ctx.saved_tensors
        inner = torch.ops.aten.sigmoid_backward(dy * x, gate)
        return (
            torch.addcmul(x.new_full((), TanhGELU.A), x, x, value=3 * TanhGELU.B)
            .mul_(inner)
            .addcmul_(dy, gate)
        )


class TanhGELUMLP(MLP):
    """GPT-2's GELU, by its tanh formula."""

    def activation(self, h: Tensor) -> Tensor:
        return TanhGELU.apply(h)


class ReLUMLP(MLP):
    """The 2017 one: what is below zero is cut off."""

    def activation(self, h: Tensor) -> Tensor:
        return F.relu(h)


class SquaredReLU(torch.autograd.Function):
    """max(0, x)²: its slope is 2 max(0, x), so that what is kept is one tensor and not two."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        positive = x.clamp(min=0)
        ctx.save_for_backward(positive)
        return positive * positive

    @staticmethod
    @once_differentiable
    def backward(ctx, dy: Tensor) -> Tensor:
        return (dy * ctx.saved_tensors[0]).mul_(2)


class SquaredReLUMLP(MLP):
    """ReLU, squared: cheap and a little better."""

    def activation(self, h: Tensor) -> Tensor:
        return SquaredReLU.apply(h)


class SwiGLUMLP(MLP):
    """Llama's: one half decides how much of the other half passes."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.up = Linear(
            config.width, 2 * config.hidden, bias=config.bias
        )  # gate and value in one product

    def activation(self, h: Tensor) -> Tensor:
        gate, value = h.chunk(2, -1)
        return F.silu(gate) * value


MLPS = {
    "gelu": MLP,
    "gelu_tanh": TanhGELUMLP,
    "relu_squared": SquaredReLUMLP,
    "swiglu": SwiGLUMLP,
    "relu": ReLUMLP,
}


class Block(nn.Module):
    """Gather, then think: attention moves information between positions, the MLP works on each alone."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.attention = Attention(config)
        self.mlp = MLPS[config.mlp](config)
        self.norm_1, self.norm_2 = (
            NORMS[config.norm](config.width, eps=config.norm_eps) for _ in range(2)
        )
        self.drop = nn.Dropout(config.dropout) if config.dropout else nn.Identity()

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        rope: CosSin = None,
        cache: KVCache | None = None,
        layer: int = 0,
    ) -> Tensor:
        x = x + self.drop(self.attention(self.norm_1(x), mask, rope, cache, layer))
        return x + self.drop(self.mlp(self.norm_2(x)))


class PostNormBlock(Block):
    """The 2017 order, which BERT kept: add first, then normalise the sum."""

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        rope: CosSin = None,
        cache: KVCache | None = None,
        layer: int = 0,
    ) -> Tensor:
        x = self.norm_1(x + self.drop(self.attention(x, mask, rope, cache, layer)))
        return self.norm_2(x + self.drop(self.mlp(x)))


BLOCKS = {"before": Block, "after": PostNormBlock}


class DecoderBlock(Block):
    """Gather from what was written, then from what was read, then think."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.cross_attention = CrossAttention(config)
        self.norm_3 = NORMS[config.norm](config.width, eps=config.norm_eps)

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor | None = None) -> Tensor:
        x = x + self.drop(self.attention(self.norm_1(x)))
        x = x + self.drop(self.cross_attention(self.norm_2(x), memory, mask))
        return x + self.drop(self.mlp(self.norm_3(x)))


class PostNormDecoderBlock(DecoderBlock):
    """The 2017 order: add first, then normalise the sum."""

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor | None = None) -> Tensor:
        x = self.norm_1(x + self.drop(self.attention(x)))
        x = self.norm_2(x + self.drop(self.cross_attention(x, memory, mask)))
        return self.norm_3(x + self.drop(self.mlp(x)))


DECODER_BLOCKS = {"before": DecoderBlock, "after": PostNormDecoderBlock}
