"""Attention: every position gathers what it needs from the positions it may see.

    B batch   T positions that look   S positions looked at   D width   H heads   G key/value heads   K width of a head

Vaswani et al. 2017, section 3.2; normalisation before each part: Xiong et al. 2020; rotations: Su et al. 2021, section 3.4;
shared key/value heads: Ainslie et al. 2023; gated MLP: Shazeer 2020; squared ReLU: So et al. 2021.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fmcourse.models.config import Config

NORMS = {"layer": nn.LayerNorm, "rms": nn.RMSNorm}
Turn = tuple[Tensor, Tensor] | None


def causal(T: int, S: int | None = None, device: torch.device | str | None = None) -> Tensor:
    """(T, S) bool: row t is True where position t may look, itself and what came before. The T rows are the last of S.

    >>> causal(3).int().tolist()
    [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    """
    S = T if S is None else S
    return torch.ones(T, S, dtype=torch.bool, device=device).tril(S - T)


class Cache:
    """Keys and values of what was read so far, so that a new token costs one position and not all of them.

    A cache is a value: `Transformer.extend` takes one and returns a longer one, and the old one stays good, so that many
    continuations can share a prefix. Behind it stands one `store` (depth, 2, B, G, room, K) that is written in place and
    copied only when it is full or another continuation has already written there.

    `padding` (B,) counts the leading positions of each row that hold no text, for prompts of different lengths in a batch.
    """

    def __init__(self, store: Tensor, length: int = 0, padding: Tensor | None = None, written: list[int] | None = None):
        self.store, self.length, self.padding = store, length, padding
        self._written = [length] if written is None else written  # shared by every cache on this store

    def longer(self, T: int) -> "Cache":
        """A cache whose last T positions are still to be written by `append`."""
        length, store, written = self.length + T, self.store, self._written
        if length > store.shape[4] or written[0] != self.length:
            room = max(length, 2 * self.length)
            store = store.new_empty(*store.shape[:4], room, store.shape[5])
            store[..., : self.length, :] = self.store[..., : self.length, :]
            written = [self.length]
        written[0] = length
        return Cache(store, length, self.padding, written)

    def append(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Write the newest keys and values, (B, G, T, K) each, of one layer; returns all of that layer's, (B, G, S, K)."""
        start = self.length - k.shape[2]
        self.store[layer, 0, :, :, start : self.length] = k
        self.store[layer, 1, :, :, start : self.length] = v
        seen = self.store[layer, :, :, :, : self.length]
        return seen[0], seen[1]

    def positions(self, T: int) -> Tensor:
        """Where the next T tokens stand in their own text: (T,), or (B, T) where rows are padded."""
        at = torch.arange(self.length, self.length + T, device=self.store.device)
        return at if self.padding is None else (at - self.padding[:, None]).clamp(min=0)

    def mask(self, T: int) -> Tensor | None:
        """(B, T, S) bool that hides the padding; a padded position sees itself, because softmax over nothing is 0/0."""
        if self.padding is None:
            return None
        at = torch.arange(self.length, device=self.store.device)
        text = at >= self.padding[:, None]
        return text[:, None, :] | (at == at[-T:, None])


class Rope(nn.Module):
    """Turns each pair of numbers by an angle that grows with position, so that a score depends on distance alone."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        pairs = torch.arange(0, config.head_width, 2, dtype=torch.float32) / config.head_width
        angles = torch.arange(config.context)[:, None] * config.rope_base**-pairs  # (context, K/2)
        self.register_buffer("cos", angles.cos().repeat(1, 2), persistent=False)
        self.register_buffer("sin", angles.sin().repeat(1, 2), persistent=False)

    def forward(self, positions: Tensor) -> Turn:
        """Positions (T,) or (B, T) to cosines and sines, (T, K) or (B, 1, T, K)."""
        cos, sin = self.cos[positions], self.sin[positions]
        return (cos, sin) if positions.ndim == 1 else (cos[:, None], sin[:, None])


class NoRope(nn.Module):
    """Positions are told elsewhere, or not at all."""

    def forward(self, positions: Tensor) -> Turn:
        return None


def rotate(x: Tensor, turn: Turn) -> Tensor:
    """Turn x (..., T, K); number i is paired with number i + K/2, as in the released Llama weights."""
    if turn is None:
        return x
    cos, sin = turn
    left, right = x.chunk(2, -1)
    return x * cos + torch.cat([-right, left], -1) * sin


class Attention(nn.Module):
    """Heads look side by side; each averages the values it finds, weighted by how well query meets key."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        D, K = config.width, config.head_width
        self.head_width, self.causal, self.dropout = K, config.causal, config.dropout
        self.shares = [config.heads * K, config.kv_heads * K, config.kv_heads * K]
        self.groups = config.heads // config.kv_heads
        self.to_qkv = nn.Linear(D, sum(self.shares), bias=config.bias)
        self.to_out = nn.Linear(D, D, bias=config.bias)
        self.norm_q, self.norm_k = (nn.RMSNorm(K) if config.qk_norm else nn.Identity() for _ in "qk")

    def forward(
        self, x: Tensor, mask: Tensor | None = None, turn: Turn = None, cache: Cache | None = None, layer: int = 0
    ) -> Tensor:
        q, k, v = (share.unflatten(-1, (-1, self.head_width)).transpose(1, 2) for share in self.qkv(x))
        q, k = rotate(self.norm_q(q), turn), rotate(self.norm_k(k), turn)  # q (B, H, T, K), k and v (B, G, T, K)
        if cache is not None:
            k, v = cache.append(layer, k, v)  # (B, G, S, K)
        return self.to_out(self.gather(q, k, v, mask).transpose(1, 2).flatten(2))  # (B, T, D)

    def qkv(self, x: Tensor) -> tuple[Tensor, ...]:
        """What each position asks, offers and gives."""
        return self.to_qkv(x).split(self.shares, -1)

    def gather(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        """softmax(q kᵀ / √K) v: (B, H, T, K)."""
        T, S = q.shape[2], k.shape[2]
        if T == 1 and mask is None:  # one new token sees all: queries that share a key stand in for positions
            return F.scaled_dot_product_attention(q.unflatten(1, (-1, self.groups)).squeeze(3), k, v).flatten(1, 2)[
                :, :, None
            ]
        simple = self.causal and mask is None and T == S
        dropout = self.dropout if self.training else 0.0
        if self.groups > 1:
            k, v = k.repeat_interleave(self.groups, 1), v.repeat_interleave(self.groups, 1)
        mask = None if simple else self.allowed(mask, T, S, q.device)
        return F.scaled_dot_product_attention(q, k, v, mask, dropout, is_causal=simple)

    def allowed(self, mask: Tensor | None, T: int, S: int, device: torch.device) -> Tensor | None:
        """The model's own rule, narrowed by the mask and never widened; the mask gets an axis for the heads."""
        rule = causal(T, S, device) if self.causal and T > 1 else None
        if mask is None:
            return rule
        mask = mask if mask.ndim == 2 else mask.unsqueeze(-3)
        return mask if rule is None else mask & rule


class MLP(nn.Module):
    """Each position alone: widen, bend, narrow."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.up = nn.Linear(config.width, config.hidden, bias=config.bias)
        self.down = nn.Linear(config.hidden, config.width, bias=config.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.bend(self.up(x)))

    def bend(self, h: Tensor) -> Tensor:
        return F.gelu(h)


class TanhMLP(MLP):
    """GPT-2's GELU, by its tanh formula."""

    def bend(self, h: Tensor) -> Tensor:
        return F.gelu(h, approximate="tanh")


class SquaredMLP(MLP):
    """ReLU, squared: cheap and a little better."""

    def bend(self, h: Tensor) -> Tensor:
        return F.relu(h).square()


class GatedMLP(MLP):
    """Llama's: one half decides how much of the other half passes."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.up = nn.Linear(config.width, 2 * config.hidden, bias=config.bias)  # gate and value in one product

    def bend(self, h: Tensor) -> Tensor:
        gate, value = h.chunk(2, -1)
        return F.silu(gate) * value


MLPS = {"gelu": MLP, "gelu_tanh": TanhMLP, "relu_squared": SquaredMLP, "swiglu": GatedMLP}


class Block(nn.Module):
    """Gather, then think: attention moves information between positions, the MLP works on each alone."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.attention = Attention(config)
        self.mlp = MLPS[config.mlp](config)
        self.norm_1, self.norm_2 = (NORMS[config.norm](config.width, eps=config.norm_eps) for _ in range(2))
        self.drop = nn.Dropout(config.dropout)

    def forward(
        self, x: Tensor, mask: Tensor | None = None, turn: Turn = None, cache: Cache | None = None, layer: int = 0
    ) -> Tensor:
        x = x + self.drop(self.attention(self.norm_1(x), mask, turn, cache, layer))
        return x + self.drop(self.mlp(self.norm_2(x)))


class PostBlock(Block):
    """The 2017 order, which BERT kept: add first, then normalise the sum."""

    def forward(
        self, x: Tensor, mask: Tensor | None = None, turn: Turn = None, cache: Cache | None = None, layer: int = 0
    ) -> Tensor:
        x = self.norm_1(x + self.drop(self.attention(x, mask, turn, cache, layer)))
        return self.norm_2(x + self.drop(self.mlp(x)))


BLOCKS = {"before": Block, "after": PostBlock}
