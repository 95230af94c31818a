"""The shape of a Transformer: hyperparameters that say which model it is. Nothing here computes.

`gpt2()`, `llama()` and `bert()` return the published shapes, `modern()` the one that learns fastest
in a minute on a laptop.
"""

from dataclasses import dataclass, fields
from typing import Literal, get_args

Positions = Literal["learned", "rope", "none"]
Norm = Literal["layer", "rms"]
NormPlace = Literal["before", "after"]
MLPKind = Literal["gelu", "gelu_tanh", "relu_squared", "swiglu", "relu"]
Head = Literal["linear", "masked", "none"]
# The words are read from the types, so that annotation and check cannot disagree.
CHOICES = {
    "positions": Positions,
    "norm": Norm,
    "norm_place": NormPlace,
    "mlp": MLPKind,
    "head": Head,
}
COUNTS = ("vocab_size", "context", "width", "depth", "heads", "kv_heads", "hidden")  # at least 1


@dataclass(frozen=True, kw_only=True)
class Config:
    """Shape of a Transformer. Checked once, here, so that nothing later has to.

    Args:
        vocab_size: number of different tokens, V.
        context: the longest sequence, in tokens.
        width: features of one position, D.
        depth: number of blocks.
        heads: attention heads of each block, H.
        kv_heads: key and value heads, G; fewer than `heads` means that several query heads share
            one (grouped queries, Ainslie et al. 2023). As `heads` unless given.
        hidden: width inside the MLP; 4 * width unless given.
        causal: True if a token attends only to itself and to earlier ones.
        positions: "learned" embeddings, "rope" (rotary, Su et al. 2021), or "none".
        rope_base: RoPE's slowest frequency is about 1 / rope_base; larger for longer contexts.
        norm: "layer" (LayerNorm) or "rms" (RMSNorm).
        norm_eps: added to the variance, or to the mean square.
        norm_place: "before" each sublayer (pre-norm) or "after" it (post-norm).
        qk_norm: RMS-normalize queries and keys in each head (Henry et al. 2020).
        mlp: the feed-forward network, by the name of its nonlinearity.
        bias: linear layers have a bias.
        qkv_bias: the query, key and value projections have one; as `bias` unless given. True beside
            bias=False is Qwen2's shape.
        token_types: kinds of segment in BERT's embedding; 0 for one without them, as GPT's.
        head: "linear" gives logits, "masked" is BERT's deeper one, "none" leaves states (B, T, D).
        tied: the head shares the token embedding's matrix (weight tying).
        dropout: probability of dropping a value, in training only.
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
    qkv_bias: bool | None = None
    token_types: int = 0
    head: Head = "linear"
    tied: bool = True
    dropout: float = 0.0

    def __post_init__(self) -> None:
        # A frozen dataclass sets its own fields this way.
        object.__setattr__(self, "kv_heads", self.heads if self.kv_heads is None else self.kv_heads)
        # 4 times the width: the ratio of Vaswani et al. 2017, kept by GPT-2 and BERT.
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
            # True is an int in Python, but no count.
            if isinstance(given, bool) or not isinstance(given, int) or given < 1:
                raise ValueError(f"{name}={given!r} must be a whole number of at least 1.")
        if self.token_types < 0 or not 0 <= self.dropout < 1:
            raise ValueError(
                f"token_types={self.token_types} must be 0 or more and "
                f"dropout={self.dropout} in [0, 1)."
            )

    def _check_parts(self) -> None:
        if rest := self.width % self.heads:
            raise ValueError(
                f"width={self.width} cannot be cut into heads={self.heads} equal parts; "
                f"try width={self.width - rest + self.heads}."
            )
        if self.heads % self.kv_heads:
            raise ValueError(
                f"kv_heads={self.kv_heads} must divide heads={self.heads}, "
                "so that each serves as many."
            )
        if self.positions == "rope" and self.head_width % 2:
            raise ValueError(
                "rope rotates pairs of features, "
                f"so width / heads = {self.head_width} must be even."
            )

    @property
    def head_width(self) -> int:
        """Features of one head, K: width / heads."""
        return self.width // self.heads

    def summary(self) -> str:
        """The fields that differ from the defaults, on one line."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        defaults = {field.name: field.default for field in fields(self)}
        return ", ".join(
            f"{name}={value!r}" for name, value in values.items() if value != defaults[name]
        )


def gpt2(
    *,
    vocab_size: int = 50_257,  # 256 bytes, 50,000 merges and <|endoftext|>
    context: int = 1024,
    width: int = 768,  # 64 for each of the 12 heads
    depth: int = 12,
    heads: int = 12,
    tied: bool = True,
    dropout: float = 0.0,
) -> Config:
    """GPT-2 (Radford et al. 2019): learned positions, pre-norm LayerNorm, GELU. Its small size."""
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
    kv_heads: int | None = 3,  # a KV cache a third as large as with 9
    hidden: int | None = 1536,  # 8/3 of 576: three matrices hold as much as two of 4 x 576
    rope_base: float = 100_000.0,  # ten times the usual base, for the longer context
    norm_eps: float = 1e-5,
    tied: bool = True,
) -> Config:
    """Llama (Touvron et al. 2023): RoPE, RMSNorm, SwiGLU, no biases. As SmolLM2-135M."""
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
    token_types: int = 2,  # first and second text of a pair
    norm_eps: float = 1e-12,  # as in the published weights
    head: Head = "masked",
    dropout: float = 0.0,
) -> Config:
    """BERT (Devlin et al. 2018): not causal, token types, post-norm LayerNorm. Its base size."""
    return Config(
        vocab_size=vocab_size,
        context=context,
        width=width,
        depth=depth,
        heads=heads,
        hidden=hidden,
        causal=False,  # a masked token is predicted from both sides
        norm_eps=norm_eps,
        norm_place="after",  # pre-norm came later (Xiong et al. 2020)
        mlp="gelu",  # the exact one, where GPT-2 has the tanh approximation
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
    tied: bool = False,  # the head is a matrix of its own, which starts at zero
) -> Config:
    """RoPE, RMSNorm, QK-norm, squared ReLU, no biases: what small runs of recent years use."""
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
