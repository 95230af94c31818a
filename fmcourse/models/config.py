"""The shape of a Transformer: numbers and words that say which model it is. Nothing here computes.

`gpt2()`, `llama()` and `bert()` return the published shapes, `modern()` the one that learns fastest in a minute on a laptop.
"""

from dataclasses import dataclass, fields
from typing import Literal, get_args

Positions = Literal["learned", "rope", "none"]
Norm = Literal["layer", "rms"]
NormPlace = Literal["before", "after"]
MLPKind = Literal["gelu", "gelu_tanh", "relu_squared", "swiglu", "relu"]
Head = Literal["linear", "masked", "none"]
CHOICES = {
    "positions": Positions,
    "norm": Norm,
    "norm_place": NormPlace,
    "mlp": MLPKind,
    "head": Head,
}
COUNTS = ("vocab_size", "context", "width", "depth", "heads", "kv_heads", "hidden")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Shape of a Transformer. Checked once, here, so that nothing later has to.

    Args:
        vocab_size: how many different tokens there are.
        context: the longest sequence it can read, in tokens.
        width: numbers that stand for one position, D.
        depth: blocks, one after another.
        heads: places that one position looks at side by side, H.
        kv_heads: key and value heads; fewer than `heads` means that several queries share one (Ainslie et al. 2023).
        hidden: width inside the MLP; 4 * width unless given.
        causal: True if a position sees only itself and what came before.
        positions: how order is told: "learned" vectors, "rope" rotations (Su et al. 2021), or "none".
        rope_base: slowest rotation of RoPE; larger for longer contexts.
        norm, norm_eps, norm_place: "layer" or "rms"; added to the variance; "before" or "after" each part.
        qk_norm: RMS-normalise queries and keys, head by head (Henry et al. 2020).
        mlp: the two-layer network of a block, by the name of its formula.
        bias: linear layers add a constant.
        token_types: kinds of segment that BERT's embedding tells apart; 0 means GPT's embedding, which has none.
        head: "linear" gives logits, "masked" is BERT's deeper one, "none" leaves the states (B, T, D).
        tied: the head reuses the embedding's matrix.
        dropout: chance of a zero, in training only.
    Raises: ValueError naming the field, what was given and what would do.
    """

    vocab_size: int = 256
    context: int = 64
    width: int = 128
    depth: int = 4
    heads: int = 4
    kv_heads: int | None = None
    hidden: int | None = None
    causal: bool = True
    positions: Positions = "learned"
    rope_base: float = 10_000.0
    norm: Norm = "layer"
    norm_eps: float = 1e-5
    norm_place: NormPlace = "before"
    qk_norm: bool = False
    mlp: MLPKind = "gelu_tanh"
    bias: bool = True
    token_types: int = 0
    head: Head = "linear"
    tied: bool = True
    dropout: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "kv_heads", self.heads if self.kv_heads is None else self.kv_heads)
        object.__setattr__(self, "hidden", 4 * self.width if self.hidden is None else self.hidden)
        self._check_words()
        self._check_counts()
        self._check_parts()

    def _check_words(self) -> None:
        for name, kind in CHOICES.items():
            given, known = getattr(self, name), get_args(kind)
            if given not in known:
                raise ValueError(
                    f"{name}={given!r} is not known; choose {' or '.join(map(repr, known))}."
                )

    def _check_counts(self) -> None:
        for name in COUNTS:
            given = getattr(self, name)
            if isinstance(given, bool) or not isinstance(given, int) or given < 1:
                raise ValueError(f"{name}={given!r} must be a whole number of at least 1.")
        if self.token_types < 0 or not 0 <= self.dropout < 1:
            raise ValueError(
                f"token_types={self.token_types} must be 0 or more and dropout={self.dropout} in [0, 1)."
            )

    def _check_parts(self) -> None:
        if rest := self.width % self.heads:
            raise ValueError(
                f"width={self.width} cannot be cut into heads={self.heads} equal parts; "
                f"try width={self.width - rest + self.heads}."
            )
        if self.heads % self.kv_heads:
            raise ValueError(
                f"kv_heads={self.kv_heads} must divide heads={self.heads}, so that each serves as many."
            )
        if self.positions == "rope" and self.head_width % 2:
            raise ValueError(
                f"rope turns pairs of numbers, so width / heads = {self.head_width} must be even."
            )

    @property
    def head_width(self) -> int:
        """K, the numbers one head works on: width / heads."""
        return self.width // self.heads

    def summary(self) -> str:
        """The fields that differ from the defaults, on one line."""
        return ", ".join(
            f"{f.name}={getattr(self, f.name)!r}"
            for f in fields(self)
            if getattr(self, f.name) != f.default
        )


def gpt2(
    *,
    vocab_size: int = 50_257,
    context: int = 1024,
    width: int = 768,
    depth: int = 12,
    heads: int = 12,
    tied: bool = True,
    dropout: float = 0.0,
) -> Config:
    """GPT-2 (Radford et al. 2019): learned positions, LayerNorm before each part, GELU. The defaults are its small size."""
    return Config(
        vocab_size=vocab_size,
        context=context,
        width=width,
        depth=depth,
        heads=heads,
        tied=tied,
        dropout=dropout,
    )


def llama(
    *,
    vocab_size: int = 49_152,
    context: int = 8192,
    width: int = 576,
    depth: int = 30,
    heads: int = 9,
    kv_heads: int | None = 3,
    hidden: int | None = 1536,
    rope_base: float = 100_000.0,
    norm_eps: float = 1e-5,
    tied: bool = True,
) -> Config:
    """Llama (Touvron et al. 2023): RoPE, RMSNorm, SwiGLU, no biases. The defaults are SmolLM2-135M."""
    return Config(
        vocab_size=vocab_size,
        context=context,
        width=width,
        depth=depth,
        heads=heads,
        kv_heads=kv_heads,
        hidden=hidden,
        positions="rope",
        rope_base=rope_base,
        norm="rms",
        norm_eps=norm_eps,
        mlp="swiglu",
        bias=False,
        tied=tied,
    )


def bert(
    *,
    vocab_size: int = 30_522,
    context: int = 512,
    width: int = 768,
    depth: int = 12,
    heads: int = 12,
    hidden: int | None = None,
    token_types: int = 2,
    norm_eps: float = 1e-12,
    head: Head = "masked",
    dropout: float = 0.0,
) -> Config:
    """BERT (Devlin et al. 2018): looks both ways, token types, LayerNorm after each part. The defaults are its base size."""
    return Config(
        vocab_size=vocab_size,
        context=context,
        width=width,
        depth=depth,
        heads=heads,
        hidden=hidden,
        causal=False,
        norm_eps=norm_eps,
        norm_place="after",
        mlp="gelu",
        token_types=token_types,
        head=head,
        dropout=dropout,
    )


def modern(
    *,
    vocab_size: int = 256,
    context: int = 64,
    width: int = 128,
    depth: int = 4,
    heads: int = 4,
    causal: bool = True,
    tied: bool = False,
) -> Config:
    """RoPE, RMSNorm, normalised queries and keys, squared ReLU, no biases: what small runs of recent years settled on."""
    return Config(
        vocab_size=vocab_size,
        context=context,
        width=width,
        depth=depth,
        heads=heads,
        causal=causal,
        positions="rope",
        norm="rms",
        qk_norm=True,
        mlp="relu_squared",
        bias=False,
        tied=tied,
    )
