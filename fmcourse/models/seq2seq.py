"""The Transformer of 2017, whole: an encoder that reads, a decoder that writes and looks at what was read.

    source (B, S) ── embed ── encoder ──▶ memory (B, S, D)
                                             │ cross-attention
    target (B, T) ── embed ── decoder ───────┴──▶ head ──▶ logits (B, T, V)

Vaswani et al. 2017. The encoder is the waist of every other model, `Stack`, that looks both ways.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor, nn

from fmcourse.fast.products import Linear
from fmcourse.models.attention import DECODER_BLOCKS, NORMS
from fmcourse.models.config import Config
from fmcourse.models.transformer import Embedding, Stack, check_length

PAD = 0  # the id that fills rows up; nobody looks at it, and nobody is asked for it


def vaswani2017(
    *,
    vocab_size: int = 37_000,
    context: int = 512,
    width: int = 512,
    depth: int = 6,
    heads: int = 8,
    hidden: int | None = None,
    tied: bool = True,
    dropout: float = 0.1,
) -> Config:
    """Vaswani et al. 2017, table 3: LayerNorm after each part, ReLU. The defaults are its base model."""
    return Config(
        vocab_size=vocab_size,
        context=context,
        width=width,
        depth=depth,
        heads=heads,
        hidden=hidden,
        positions="none",
        norm_place="after",
        mlp="relu",
        tied=tied,
        dropout=dropout,
    )


def sinusoidal_encoding(positions: int, width: int) -> Tensor:
    """A fixed vector for each position, (positions, width): sines and cosines from fast to slow, side by side in pairs.

    Raises: ValueError if width is odd.
    Source: Vaswani et al. 2017, section 3.5.

    >>> [[round(number, 3) for number in row] for row in sinusoidal_encoding(2, 4).tolist()]
    [[0.0, 1.0, 0.0, 1.0], [0.841, 0.54, 0.01, 1.0]]
    """
    if width % 2:
        raise ValueError(
            f"width={width} is odd; each speed takes a sine and a cosine, so give an even width."
        )
    speeds = 10_000 ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    angles = (
        torch.arange(positions, dtype=torch.float64)[:, None] * speeds
    )  # (positions, width / 2)
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1).float()


class SinusoidalEmbedding(Embedding):
    """A learned vector for each token, made longer by √D so that the positions do not drown it, plus the fixed sinusoids."""

    def __init__(self, config: Config) -> None:
        super().__init__(replace(config, positions="none"))
        self.scale = math.sqrt(config.width)
        nn.init.normal_(
            self.tokens.weight, std=1 / self.scale
        )  # of size 1, as the waves are, once stretched
        self.register_buffer(
            "position_encoding", sinusoidal_encoding(config.context, config.width), persistent=False
        )

    def lookup(self, ids: Tensor, positions: Tensor) -> Tensor:
        return self.scale * super().lookup(ids, positions) + self.position_encoding[positions]


class EncoderDecoder(nn.Module):
    """Reads one sequence, writes another.

    Args:
        config: the shape of both halves, `vaswani2017()` for one; its vocab_size is that of the target.
        source_vocab_size: how many different tokens the source has; None if both sides share one vocabulary, and so one embedding.
    Weights are drawn from torch's global stream: call `torch.manual_seed` first to repeat them.
    Raises: ValueError for RoPE, learned positions or token types: the 2017 model tells positions by sinusoids.

    >>> with torch.device("meta"):
    ...     sum(weight.numel() for weight in EncoderDecoder(vaswani2017()).parameters())
    63082496
    """

    def __init__(self, config: Config, source_vocab_size: int | None = None) -> None:
        super().__init__()
        if config.positions != "none" or config.token_types or not config.causal:
            raise ValueError(
                f"positions={config.positions!r}, token_types={config.token_types}, causal={config.causal}: an "
                "EncoderDecoder needs 'none' (it brings sinusoids), 0 and True."
            )
        self.config = config
        self.embed_target = SinusoidalEmbedding(config)
        self.embed_source = self.embed_target
        if source_vocab_size is not None:
            self.embed_source = SinusoidalEmbedding(replace(config, vocab_size=source_vocab_size))
        self.encoder = Stack(replace(config, causal=False))
        self.decoder = nn.ModuleList(
            DECODER_BLOCKS[config.norm_place](config) for _ in range(config.depth)
        )
        last = config.norm_place == "before"
        self.norm = NORMS[config.norm](config.width, eps=config.norm_eps) if last else nn.Identity()
        self.head = Linear(config.width, config.vocab_size, bias=False)
        init_xavier(self)
        if config.tied:
            self.head.weight = self.embed_target.tokens.weight

    def forward(self, source: Tensor, target: Tensor, source_mask: Tensor | None = None) -> Tensor:
        """
        Args:
            source: what is read, (B, S) token ids.
            target: what is written so far, (B, T); position t sees targets up to t alone.
            source_mask: (B, S) bool, True where there is text; `source != PAD` unless given.
        Returns: logits (B, T, V): position t is asked for target t + 1.
        Raises: ValueError for an empty source or target, a row of nothing but padding, or more positions than the context.
        """
        mask = self.padding_mask(source, source_mask)
        return self.decode(target, self.encode(source, mask), mask)

    def padding_mask(self, source: Tensor, given: Tensor | None = None) -> Tensor:
        """(B, S) bool, True where there is text to look at."""
        if source.ndim != 2 or 0 in source.shape:
            raise ValueError(
                f"source has shape {tuple(source.shape)}; give (B, S) token ids with S of at least 1."
            )
        mask = source != PAD if given is None else given
        if mask.dtype != torch.bool or mask.shape != source.shape:
            raise ValueError(
                f"source_mask is {mask.dtype} {tuple(mask.shape)}; it must be bool {tuple(source.shape)}."
            )
        if not mask.any(-1).all():
            row = int((~mask.any(-1)).nonzero()[0])
            raise ValueError(
                f"row {row} of the source is nothing but padding: there is nothing to look at."
            )
        return mask

    def encode(self, source: Tensor, mask: Tensor) -> Tensor:
        """Read: (B, S) and its mask (B, S) to a memory (B, S, D). Done once, however long the answer gets."""
        check_length(source.shape[1], self.config.context)
        positions = torch.arange(source.shape[1], device=source.device)
        return self.encoder(self.embed_source(source, positions), mask[:, None])

    def decode(self, target: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        """Write: (B, T) so far, and the memory with its mask, to logits (B, T, V)."""
        if target.ndim != 2 or target.shape[1] < 1:
            raise ValueError(
                f"target has shape {tuple(target.shape)}; give (B, T), beginning with a start token."
            )
        check_length(target.shape[1], self.config.context)
        x = self.embed_target(target, torch.arange(target.shape[1], device=target.device))
        for block in self.decoder:
            x = block(x, memory, mask[:, None])
        return self.head(self.norm(x))


def init_xavier(model: EncoderDecoder) -> None:
    """Xavier's uniform weights for the matrices, as the 2017 code drew them; a tied head keeps its embedding's."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
