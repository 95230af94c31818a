"""Multi-head self-attention, the feed-forward networks (MLPs), and the Transformer block.

    B batch   T tokens   S tokens attended to   D width   H heads   G key/value heads   K head width

Vaswani et al. 2017, section 3.2; pre-normalization: Xiong et al. 2020; grouped queries: Ainslie et
al. 2023; gated MLP: Shazeer 2020; squared ReLU: So et al. 2021.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fmcourse import fast
from fmcourse.models.config import Config
from fmcourse.models.kv_cache import KVCache
from fmcourse.models.layers import NORMS, Linear, RMSNorm
from fmcourse.models.rope import CosSin, apply_rope

# -- attention -------------------------------------------------------------------------------------


def causal(T: int, S: int | None = None, device: torch.device | str | None = None) -> Tensor:
    """The causal mask of the last T of S tokens: (T, S) bool, True where a token may attend.

    >>> causal(3).int().tolist()
    [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    """
    S = T if S is None else S
    # Row t is token S - T + t of the S, so the diagonal moves right by S - T.
    return torch.ones(T, S, dtype=torch.bool, device=device).tril(S - T)


class Attention(nn.Module):
    """Multi-head self-attention: softmax(q kᵀ / √K) v in each head, causal if the config is.

    With fewer key/value heads than heads (G < H), H / G neighbouring query heads share one of them.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        D, H, G, K = config.width, config.heads, config.kv_heads, config.head_width
        self.heads, self.kv_heads, self.head_width = H, G, K
        self.causal, self.dropout = config.causal, config.dropout  # of attention weights
        self.qkv_sizes = [H * K, G * K, G * K]  # rows of the one matrix that makes q, k and v
        qkv_bias = config.bias if config.qkv_bias is None else config.qkv_bias
        self.qkv_proj = Linear(D, sum(self.qkv_sizes), bias=qkv_bias)
        self.out_proj = Linear(D, D, bias=config.bias)
        self.norm_q, self.norm_k = nn.Identity(), nn.Identity()
        if config.qk_norm:
            # torch's own default in float32, as a number because `fast.rms_norm` needs one.
            eps = torch.finfo(torch.float32).eps
            # Over a head's K features: bounds the scores, however large the projections grow.
            self.norm_q, self.norm_k = RMSNorm(K, eps=eps), RMSNorm(K, eps=eps)

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        rope: CosSin = None,
        cache: KVCache | None = None,
        layer: int = 0,
    ) -> Tensor:
        """
        Args:
            x: (B, T, D).
            mask: bool, True = may attend: (T, S), (B, T, S) or (B, 1, S); narrows the causal mask.
            rope: cosines and sines of the T positions.
            cache: keys and values of earlier tokens, those of `layer` for this module.
        Returns: (B, T, D).
        """
        q, k, v = self.project_qkv(x, rope)
        if cache is not None:
            k, v = cache.append(layer, k, v)  # (B, G, S, K)
        elif rope is not None:
            # As a view of qkv, v would keep q and k from before the rotation in memory, too.
            v = v.contiguous()
        y = self.attend(q, k, v, mask)  # (B, H, T, K)
        return self.out_proj(y.transpose(1, 2).flatten(2))  # heads side by side again

    def project_qkv(self, x: Tensor, rope: CosSin) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (B, H, T, K), keys and values (B, G, T, K), with positions rotated in."""
        # (B, H + 2 G, T, K): a head of any kind has K features, so one cut serves all.
        qkv = self.qkv_proj(x).unflatten(-1, (-1, self.head_width)).transpose(1, 2)
        q, k, v = qkv.split([self.heads, self.kv_heads, self.kv_heads], 1)
        # Norm before rotation: its weight scales single features, which a rotation mixes in pairs.
        q, k = apply_rope(self.norm_q(q), rope), apply_rope(self.norm_k(k), rope)
        return q, k, v

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        """softmax(q kᵀ / √K) v over the tokens that the mask allows: (B, H, T, K)."""
        T, S = q.shape[2], k.shape[2]
        dropout = self.dropout if self.training else 0.0  # the functional form knows no mode
        # torch's flag means the lower triangle of a square, and saves building a mask.
        # `bool`: while a model is exported with any length, T and S are symbols.
        is_causal = self.causal and mask is None and bool(T == S)
        if not is_causal:
            mask = self.combine_masks(mask, T, S, q.device)
        grouped = self.kv_heads < self.heads  # torch then shares k and v without copying
        return F.scaled_dot_product_attention(
            q, k, v, mask, dropout, is_causal=is_causal, enable_gqa=grouped
        )

    def combine_masks(
        self, mask: Tensor | None, T: int, S: int, device: torch.device
    ) -> Tensor | None:
        """The causal mask, if this attention is causal, narrowed by `mask`, which it never widens.

        Returns: bool, (T, S) or (B, 1, T, S) with an axis for the heads; None if all is allowed.
        """
        # A single new token comes last, so the causal mask would allow it everything.
        own = causal(T, S, device) if self.causal and T > 1 else None
        if mask is None:
            return own
        mask = mask if mask.ndim == 2 else mask.unsqueeze(-3)  # (B, 1, T, S): one for all heads
        return mask if own is None else mask & own

    # The rest is not used by `forward`: attention weights for figures, and projections by name.

    def split_qkv(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (B, T, H K), keys and values (B, T, G K): no heads, norms or rotation yet."""
        return self.qkv_proj(x).split(self.qkv_sizes, -1)

    def attention_map(
        self, x: Tensor, mask: Tensor | None = None, rope: CosSin = None, *_: object
    ) -> Tensor:
        """Attention weights for the arguments of `forward`: (B, H, T, T), each row adds up to 1."""
        # `*_` takes the cache and the layer that a block passes too; neither is used here.
        q, k, _v = self.project_qkv(x, rope)
        return self.attention_weights(q, k, mask)

    def attention_weights(self, q: Tensor, k: Tensor, mask: Tensor | None) -> Tensor:
        """softmax(q kᵀ / √K), 0 where the mask is False: (B, H, T, S).

        It is what `attend` multiplies with v, but the fused kernel there never holds it.
        """
        k = k.repeat_interleave(self.heads // self.kv_heads, 1)  # one key for each query head
        scores = q @ k.mT / math.sqrt(self.head_width)  # (B, H, T, S)
        allowed = self.combine_masks(mask, q.shape[2], k.shape[2], q.device)
        if allowed is not None:
            scores = scores.masked_fill(~allowed, -math.inf)  # exp(-inf) is exactly 0
        return scores.softmax(-1)


@torch.no_grad()
def attention_maps(model: nn.Module, *inputs: Tensor) -> dict[str, Tensor]:
    """Attention weights of `model(*inputs)`: by the name of each attention in it, (B, H, T, S).

    Each is computed a second time, from the arguments that its attention was called with.
    Source: Vaswani et al. 2017, equation 1.
    """
    maps: dict[str, Tensor] = {}

    def record_map(name: str):
        def hook(attention: Attention, arguments: tuple) -> None:
            maps[name] = attention.attention_map(*arguments)

        return hook

    # A pre-hook receives a call's positional arguments, the same that `attention_map` takes.
    hooks = [
        module.register_forward_pre_hook(record_map(name))
        for name, module in model.named_modules()
        if isinstance(module, Attention)
    ]
    try:
        model(*inputs)
    finally:
        for hook in hooks:
            hook.remove()  # also after an error: the model must not keep recording
    return maps


# -- feed-forward networks: each token alone, (B, T, D) -> (B, T, D) -------------------------------


class MLP(nn.Module):
    """Two linear layers with a nonlinearity between them: GELU here, others in the subclasses."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.up = Linear(config.width, config.hidden, bias=config.bias)
        self.down = Linear(config.hidden, config.width, bias=config.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.activation(self.up(x)))

    def activation(self, h: Tensor) -> Tensor:
        return F.gelu(h)  # h Φ(h), Φ the standard normal distribution function: a smooth ReLU


class TanhGELUMLP(MLP):
    """GPT-2's: GELU by its tanh approximation."""

    def activation(self, h: Tensor) -> Tensor:
        return fast.gelu_tanh(h)


class ReLUMLP(MLP):
    """The 2017 Transformer's: max(0, h)."""

    def activation(self, h: Tensor) -> Tensor:
        return F.relu(h)


class SquaredReLUMLP(MLP):
    """Primer's: max(0, h)², as cheap as ReLU and a little better."""

    def activation(self, h: Tensor) -> Tensor:
        return fast.relu_squared(h)


class SwiGLUMLP(MLP):
    """Llama's gated MLP: silu(gate) times up, both projections in one matrix product."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        # Replaces the parent's: rows of the gate first, then those of up.
        self.up = Linear(config.width, 2 * config.hidden, bias=config.bias)

    def activation(self, h: Tensor) -> Tensor:
        gate, up = h.chunk(2, -1)
        return F.silu(gate) * up


MLPS = {
    "gelu": MLP,
    "gelu_tanh": TanhGELUMLP,
    "relu_squared": SquaredReLUMLP,
    "swiglu": SwiGLUMLP,
    "relu": ReLUMLP,
}


# -- blocks ----------------------------------------------------------------------------------------


class Block(nn.Module):
    """Pre-norm residual block: attention mixes tokens, the MLP transforms each token alone."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        Norm = NORMS[config.norm]
        self.attention = Attention(config)
        self.mlp = MLPS[config.mlp](config)
        self.norm_1 = Norm(config.width, eps=config.norm_eps)
        self.norm_2 = Norm(config.width, eps=config.norm_eps)
        # For a sublayer's output before it is added: the sum that goes on to later blocks is kept.
        self.drop = nn.Dropout(config.dropout) if config.dropout else nn.Identity()

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        rope: CosSin = None,
        cache: KVCache | None = None,
        layer: int = 0,
    ) -> Tensor:
        """(B, T, D) -> (B, T, D); the other arguments as in `Attention.forward`."""
        # x itself is never normalized, so gradients reach lower blocks through the sum unchanged.
        x = x + self.drop(self.attention(self.norm_1(x), mask, rope, cache, layer))
        return x + self.drop(self.mlp(self.norm_2(x)))


class PostNormBlock(Block):
    """The order of 2017, which BERT kept: add first, then normalize the sum."""

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


BLOCKS = {"before": Block, "after": PostNormBlock}  # by `Config.norm_place`
