"""The encoder-decoder Transformer of 2017: the decoder attends to what the encoder has read.

    B batch   S source tokens   T target tokens   D width   H, G heads   K head width   V vocabulary

    source (B, S) ── embed ── encoder ──▶ memory (B, S, D)
                                             │ cross-attention
    target (B, T) ── embed ── decoder ───────┴──▶ head ──▶ logits (B, T, V)

Vaswani et al. 2017. The encoder is the backbone of every other model, `Stack`, not causal.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor, nn

from fmcourse import fast
from fmcourse.models.attention import Attention, Block
from fmcourse.models.config import Config
from fmcourse.models.layers import NORMS, Linear
from fmcourse.models.transformer import Embedding, Stack, check_length

PAD = 0  # the padding token's id: it is never attended to, and never a target


def vaswani2017(
    *,
    vocab_size: int = 37_000,  # byte-pair tokens that both languages share (section 5.1)
    context: int = 512,
    width: int = 512,
    depth: int = 6,
    heads: int = 8,
    hidden: int | None = None,
    tied: bool = True,
    dropout: float = 0.1,
) -> Config:
    """Vaswani et al. 2017, table 3: post-norm, ReLU. The defaults are its base model."""
    return Config(
        vocab_size=vocab_size,
        context=context,
        width=width,
        depth=depth,
        heads=heads,
        hidden=hidden,
        positions="none",  # no learned ones: `SinusoidalEmbedding` adds the sinusoids
        norm_place="after",
        mlp="relu",
        tied=tied,
        dropout=dropout,
    )


def sinusoidal_encoding(positions: int, width: int) -> Tensor:
    """Sinusoidal positional encoding, (positions, width): sine, cosine in turn, from fast to slow.

    Raises: ValueError if width is odd.
    Source: Vaswani et al. 2017, section 3.5.

    >>> [[round(number, 3) for number in row] for row in sinusoidal_encoding(2, 4).tolist()]
    [[0.0, 1.0, 0.0, 1.0], [0.841, 0.54, 0.01, 1.0]]
    """
    if width % 2:
        raise ValueError(
            f"width={width} is odd; each frequency has a sine and a cosine, so give an even width."
        )
    # In 64 bits, because angles of thousands lose their fraction in 32.
    frequencies = 10_000 ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    angles = torch.arange(positions, dtype=torch.float64)[:, None] * frequencies
    # (positions, D/2, 2): flattened, each sine stands before the cosine of its frequency.
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1).float()


class SinusoidalEmbedding(Embedding):
    """Learned token embeddings times √D, plus the fixed sinusoidal positional encoding."""

    def __init__(self, config: Config) -> None:
        # `Embedding` would add learned positions, which are a config's default.
        super().__init__(replace(config, positions="none"))
        self.scale = math.sqrt(config.width)
        # After the scaling a feature has size 1, as the sines have: neither drowns the other.
        nn.init.normal_(self.tokens.weight, std=1 / self.scale)
        encoding = sinusoidal_encoding(config.context, config.width)
        self.register_buffer("position_encoding", encoding, persistent=False)

    def lookup(self, ids: Tensor, positions: Tensor) -> Tensor:
        return self.scale * super().lookup(ids, positions) + self.position_encoding[positions]


class CrossAttention(Attention):
    """Attention with queries from the target, keys and values from another sequence, the memory."""

    def __init__(self, config: Config) -> None:
        # The source is complete before the first target token: no part of it lies in the future.
        super().__init__(replace(config, causal=False))

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor | None = None) -> Tensor:
        """
        Args:
            x: the target, (B, T, D), which makes the queries.
            memory: the encoded source, (B, S, D), which makes keys and values.
            mask: bool, True = may attend: (T, S), (B, T, S), or (B, 1, S) to hide padding.
        Returns: (B, T, D).
        """
        q, k, v = self.project_qkv(x, memory)
        y = self.attend(q, k, v, mask)  # (B, H, T, K)
        return self.out_proj(y.transpose(1, 2).flatten(2))  # (B, T, D)

    def project_qkv(self, x: Tensor, memory: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (B, H, T, K) of x; keys and values (B, G, S, K) of the memory."""
        # One matrix holds all three projections, as in self-attention; here it is used in parts.
        sizes = [self.qkv_sizes[0], sum(self.qkv_sizes[1:])]  # rows of q, and of k and v
        weight_q, weight_kv = self.qkv_proj.weight.split(sizes)
        bias_q, bias_kv = None, None
        if self.qkv_proj.bias is not None:
            bias_q, bias_kv = self.qkv_proj.bias.split(sizes)
        q = fast.linear(x, weight_q, bias_q)
        k, v = fast.linear(memory, weight_kv, bias_kv).chunk(2, -1)  # (B, S, G K) each
        q, k, v = (part.unflatten(-1, (-1, self.head_width)).transpose(1, 2) for part in (q, k, v))
        return self.norm_q(q), self.norm_k(k), v

    def attention_map(self, x: Tensor, memory: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attention weights for the arguments of `forward`: (B, H, T, S), each row adds up to 1."""
        q, k, _v = self.project_qkv(x, memory)
        return self.attention_weights(q, k, mask)


class DecoderBlock(Block):
    """Pre-norm decoder block: causal self-attention, cross-attention to the memory, MLP."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.cross_attention = CrossAttention(config)
        self.norm_3 = NORMS[config.norm](config.width, eps=config.norm_eps)

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, D) and a memory (B, S, D) -> (B, T, D); `mask` is the memory's."""
        # Padding at a target's end needs no mask: the causal one hides it from the text before.
        x = x + self.drop(self.attention(self.norm_1(x)))
        x = x + self.drop(self.cross_attention(self.norm_2(x), memory, mask))
        return x + self.drop(self.mlp(self.norm_3(x)))


class PostNormDecoderBlock(DecoderBlock):
    """The order of 2017: add first, then normalize the sum."""

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor | None = None) -> Tensor:
        x = self.norm_1(x + self.drop(self.attention(x)))
        x = self.norm_2(x + self.drop(self.cross_attention(x, memory, mask)))
        return self.norm_3(x + self.drop(self.mlp(x)))


DECODER_BLOCKS = {"before": DecoderBlock, "after": PostNormDecoderBlock}


class EncoderDecoder(nn.Module):
    """Reads a source sequence, predicts a target sequence token by token.

    Args:
        config: the shape of both halves, such as `vaswani2017()`; its vocab_size is the target's.
        source_vocab_size: the source's vocabulary; None if both share one, and one embedding.
    Weights are drawn from torch's global stream: call `torch.manual_seed` first to repeat them.
    Raises: ValueError for RoPE, learned positions or token types: the 2017 model uses sinusoids.

    >>> with torch.device("meta"):
    ...     sum(weight.numel() for weight in EncoderDecoder(vaswani2017()).parameters())
    63082496
    """

    def __init__(self, config: Config, source_vocab_size: int | None = None) -> None:
        super().__init__()
        if config.positions != "none" or config.token_types or not config.causal:
            raise ValueError(
                f"positions={config.positions!r}, token_types={config.token_types}, "
                f"causal={config.causal}: an EncoderDecoder needs 'none' (it adds sinusoids "
                "itself), 0 and True."
            )
        self.config = config
        self.embed_target = SinusoidalEmbedding(config)
        self.embed_source = self.embed_target  # one vocabulary, one matrix
        if source_vocab_size is not None:
            self.embed_source = SinusoidalEmbedding(replace(config, vocab_size=source_vocab_size))
        # The source is known in full, so its tokens may attend both ways.
        self.encoder = Stack(replace(config, causal=False))
        self.decoder = nn.ModuleList(
            DECODER_BLOCKS[config.norm_place](config) for _ in range(config.depth)
        )
        # A pre-norm block leaves an unnormalized sum, which the head must not see.
        self.norm = nn.Identity()
        if config.norm_place == "before":
            self.norm = NORMS[config.norm](config.width, eps=config.norm_eps)
        self.head = Linear(config.width, config.vocab_size, bias=False)
        init_xavier(self)
        if config.tied:
            # After `init_xavier`, which would otherwise draw the shared matrix anew.
            self.head.weight = self.embed_target.tokens.weight

    def forward(self, source: Tensor, target: Tensor, source_mask: Tensor | None = None) -> Tensor:
        """
        Args:
            source: token ids, (B, S).
            target: token ids so far, (B, T); position t sees targets up to t alone.
            source_mask: (B, S) bool, True where there is text; `source != PAD` unless given.
        Returns: logits (B, T, V): those at position t predict target t + 1.
        Raises: ValueError for an empty source or target, a source row of padding alone, or more
            tokens than the context.
        """
        mask = self.padding_mask(source, source_mask)
        return self.decode(target, self.encode(source, mask), mask)

    def padding_mask(self, source: Tensor, given: Tensor | None = None) -> Tensor:
        """The source's padding mask, (B, S) bool, True where there is text; `given` is checked."""
        if source.ndim != 2 or 0 in source.shape:
            raise ValueError(
                f"source has shape {tuple(source.shape)}; give (B, S) token ids, S at least 1."
            )
        mask = source != PAD if given is None else given
        if mask.dtype != torch.bool or mask.shape != source.shape:
            raise ValueError(
                f"source_mask is {mask.dtype} {tuple(mask.shape)}; "
                f"it must be bool {tuple(source.shape)}."
            )
        if not mask.any(-1).all():
            # The softmax of such a row would be 0/0.
            row = int((~mask.any(-1)).nonzero()[0])
            raise ValueError(
                f"row {row} of the source is nothing but padding: there is nothing to attend to."
            )
        return mask

    def encode(self, source: Tensor, mask: Tensor) -> Tensor:
        """Token ids (B, S) and their mask (B, S) to a memory (B, S, D), once for a whole target."""
        check_length(source.shape[1], self.config.context)
        positions = torch.arange(source.shape[1], device=source.device)
        return self.encoder(self.embed_source(source, positions), mask[:, None])  # mask (B, 1, S)

    def decode(self, target: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        """Target tokens so far (B, T), and the memory with its mask, to logits (B, T, V)."""
        if target.ndim != 2 or target.shape[1] < 1:
            raise ValueError(
                f"target has shape {tuple(target.shape)}; "
                "give (B, T), beginning with a start token."
            )
        check_length(target.shape[1], self.config.context)
        x = self.embed_target(target, torch.arange(target.shape[1], device=target.device))
        for block in self.decoder:
            x = block(x, memory, mask[:, None])  # (B, 1, S): the same for every target token
        return self.head(self.norm(x))


def init_xavier(model: EncoderDecoder) -> None:
    """Xavier-uniform matrices, as in the 2017 code. A tied head takes the embedding's later."""
    for module in model.modules():
        if isinstance(module, nn.Linear):  # embeddings keep their own scale, 1 / √D
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
