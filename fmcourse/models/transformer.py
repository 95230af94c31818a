"""One Transformer for all models of the course: GPT, Llama and BERT differ in their `Config` alone.

    B batch   T tokens   D width   V vocabulary

    ids (B, T) ── embed ──▶ (B, T, D) ── stack ──▶ (B, T, D) ── head ──▶ logits (B, T, V)

Other models replace an end (patches instead of tokens, classes instead of tokens) and keep the
backbone, `Stack`.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fmcourse.models.attention import BLOCKS
from fmcourse.models.config import Config, bert, gpt2, llama, modern
from fmcourse.models.kv_cache import KVCache, LeftPadding
from fmcourse.models.layers import NORMS, Linear
from fmcourse.models.rope import NoRotaryEmbedding, RotaryEmbedding

__all__ = [
    "Config",
    "Embedding",
    "KVCache",
    "Stack",
    "Transformer",
    "bert",
    "count_parameters",
    "gpt2",
    "llama",
    "modern",
]


class Embedding(nn.Module):
    """Token embedding, plus a learned positional embedding if the config asks for one."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.context = config.context
        self.tokens = nn.Embedding(config.vocab_size, config.width)
        self.positions = (
            nn.Embedding(config.context, config.width) if config.positions == "learned" else None
        )
        self.drop = nn.Dropout(config.dropout)

    def forward(
        self, ids: Tensor, positions: Tensor, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """Token ids (B, T) at positions (T,) or (B, T) -> (B, T, D). Token types are for BERT."""
        return self.drop(self.lookup(ids, positions))

    def lookup(self, ids: Tensor, positions: Tensor) -> Tensor:
        """The embeddings before dropout. Raises: ValueError for ids outside the vocabulary."""
        try:
            x = self.tokens(ids)
        except IndexError:
            # Examined only after the failure, so that good ids cost no extra pass over them.
            low, high, known = int(ids.min()), int(ids.max()), self.tokens.num_embeddings
            raise ValueError(
                f"ids run from {low} to {high}, but this model knows tokens 0 to {known - 1}; "
                "was the text encoded by another tokenizer?"
            ) from None
        # (B, T, D); positions that all rows share are (T, D), added to every row.
        return x if self.positions is None else x + self.positions(positions)


class TokenTypeEmbedding(Embedding):
    """BERT's: a third embedding says to which text a token belongs; the sum is normalized."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.token_types = nn.Embedding(config.token_types, config.width)
        self.norm = NORMS[config.norm](config.width, eps=config.norm_eps)

    def forward(
        self, ids: Tensor, positions: Tensor, token_type_ids: Tensor | None = None
    ) -> Tensor:
        # One text alone is the first of a pair, type 0.
        token_type_ids = torch.zeros_like(ids) if token_type_ids is None else token_type_ids
        return self.drop(self.norm(self.lookup(ids, positions) + self.token_types(token_type_ids)))


def check_length(length: int, context: int) -> None:
    """Raises: ValueError if a sequence of this length does not fit the context."""
    if length > context:
        raise ValueError(
            f"{length} positions are more than context={context}; "
            "pass fewer, or build a longer model."
        )


class Stack(nn.Module):
    """The backbone of every model: blocks one after another, (B, T, D) -> (B, T, D).

    What a position holds, a token or a patch of an image, makes no difference to it.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.rope = RotaryEmbedding(config) if config.positions == "rope" else NoRotaryEmbedding()
        self.blocks = nn.ModuleList(BLOCKS[config.norm_place](config) for _ in range(config.depth))
        # A pre-norm block leaves an unnormalized sum; a post-norm block's output is normalized.
        self.norm = nn.Identity()
        if config.norm_place == "before":
            self.norm = NORMS[config.norm](config.width, eps=config.norm_eps)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """
        Args:
            x: (B, T, D).
            mask: bool, True = may attend: (T, T), (B, T, T), or (B, 1, T) to hide padding. It
                narrows the causal mask of a causal model, and never widens it.
        Returns: (B, T, D).
        Raises: ValueError if T is more than the context, or the mask is not bool.
        """
        check_length(x.shape[1], self.config.context)
        if mask is not None and mask.dtype != torch.bool:
            raise ValueError(
                f"mask has dtype {mask.dtype}; it must be bool, True where a token may attend."
            )
        rope = self.rope(torch.arange(x.shape[1], device=x.device))
        for block in self.blocks:
            x = block(x, mask, rope)  # rope is computed once for all blocks
        return self.norm(x)

    def extend(self, x: Tensor, cache: KVCache) -> tuple[Tensor, KVCache]:
        """Go on after the cached positions.

        Args:
            x: the next positions, (B, T, D).
        Returns: their hidden states (B, T, D), and a cache that holds them too.
        """
        T = x.shape[1]
        # Before `reserve`, after which the cache counts the new tokens as its own.
        rope = self.rope(cache.positions(T))
        cache = cache.reserve(T)
        mask = cache.mask(T)  # (T, S) or (B, T, S), S with the new tokens
        for layer, block in enumerate(self.blocks):
            x = block(x, mask, rope, cache, layer)
        return self.norm(x), cache


class MaskedHead(nn.Module):
    """BERT's head: a dense layer, GELU and a norm before the unembedding, which has a bias."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.dense = Linear(config.width, config.width)
        self.norm = NORMS[config.norm](config.width, eps=config.norm_eps)
        # The matrix may be tied to the embedding; the bias is the head's own.
        self.unembedding = Linear(config.width, config.vocab_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.unembedding(self.norm(F.gelu(self.dense(x))))


class LinearHead(Linear):
    """Logits by one matrix, often the token embedding itself (weight tying)."""

    def __init__(self, config: Config) -> None:
        super().__init__(config.width, config.vocab_size, bias=False)


class NoHead(nn.Identity):
    """The hidden states themselves, for models that do not predict tokens."""

    def __init__(self, config: Config) -> None:
        super().__init__()


HEADS = {"linear": LinearHead, "masked": MaskedHead, "none": NoHead}


class Transformer(nn.Module):
    """Token ids in, logits for the whole vocabulary out, at every position at once.

    Args:
        config: the shape.
    Weights are drawn from torch's global stream: call `torch.manual_seed` first to repeat them.

    >>> with torch.device("meta"):  # shapes alone, without allocating a byte
    ...     count_parameters(Transformer(gpt2()))
    124439808
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.embed = (TokenTypeEmbedding if config.token_types else Embedding)(config)
        self.stack = Stack(config)
        self.head = HEADS[config.head](config)
        init_weights(self)
        # After `init_weights`, which sets the linear head to zero: the embedding must not be zero.
        if config.tied and config.head != "none":
            # The masked head has its unembedding inside; the linear head is one.
            getattr(self.head, "unembedding", self.head).weight = self.embed.tokens.weight

    def forward(
        self, ids: Tensor, mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """
        Args:
            ids: token ids, (B, T) whole numbers.
            mask: bool, True = may attend; see `Stack.forward`.
            token_type_ids: which text each token belongs to, (B, T); BERT only.
        Returns: logits (B, T, V), before any softmax; hidden states (B, T, D) if `head="none"`.
        Raises: ValueError if T is more than the context, or an id is not in the vocabulary.
        """
        return self.head(self.states(ids, mask, token_type_ids))  # (B, T, V)

    def states(
        self, ids: Tensor, mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """The last hidden states, which the head turns into logits: (B, T, D)."""
        self.check_ids(ids)
        positions = torch.arange(ids.shape[1], device=ids.device)
        return self.stack(self.embed(ids, positions, token_type_ids), mask)

    def check_ids(self, ids: Tensor, before: int = 0) -> None:
        """Raises: ValueError if ids are not (B, T) whole numbers, or do not fit the context.

        Args:
            before: how many positions come before them.
        """
        if ids.ndim != 2 or ids.is_floating_point():
            raise ValueError(
                f"ids have shape {tuple(ids.shape)} and dtype {ids.dtype}; "
                "give whole numbers (B, T), for one text ids[None]."
            )
        check_length(ids.shape[1] + before, self.config.context)

    def new_cache(
        self, batch: int = 1, capacity: int = 0, padding: Tensor | None = None
    ) -> KVCache:
        """An empty KV cache on the model's device.

        Args:
            capacity: positions that fit before its store has to grow.
            padding: (B,), how many pads each row begins with, for prompts of different lengths.
        """
        # A norm's weight has the model's dtype even where the matrices are quantized.
        c, weight = self.config, self.stack.blocks[0].norm_1.weight
        # 2: keys and values. Only the G key/value heads are kept, not H.
        store = weight.new_empty(c.depth, 2, batch, c.kv_heads, max(1, capacity), c.head_width)
        layout = None if padding is None else LeftPadding(padding)  # None: rows of equal length
        return KVCache(store.detach(), layout=layout)

    def extend(self, ids: Tensor, cache: KVCache, last: bool = False) -> tuple[Tensor, KVCache]:
        """Go on after the cached tokens; the cache that is passed in stays valid.

        Args:
            ids: new tokens, (B, T).
            last: logits of the last token alone, (B, 1, V): all that predicting the next one needs.
        Returns: logits (B, T, V), and a cache that holds the new tokens too.
        Raises: ValueError past the context, or for a model that is not causal.
        """
        if not self.config.causal:
            raise ValueError(
                "this model looks both ways: a new token changes the keys and values of all "
                "tokens before it, so no cache can hold them."
            )
        self.check_ids(ids, cache.length)
        # Positions go on after the cached tokens, in the embedding as in RoPE.
        x, cache = self.stack.extend(self.embed(ids, cache.positions(ids.shape[1])), cache)
        return self.head(x[:, -1:] if last else x), cache  # the head costs D V for each position


def init_weights(model: Transformer) -> None:
    """Small normal weights, zero biases; the last matrix of each residual branch starts at zero.

    So a pre-norm block is the identity at first, and gradients reach all layers undiminished.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            # 1 / √inputs keeps the variance of features of variance 1. Embeddings start small, as
            # GPT-2's do: as a tied head they make small logits, a nearly uniform prediction.
            std = 0.02 if isinstance(module, nn.Embedding) else module.in_features**-0.5
            nn.init.normal_(module.weight, std=std)
            if getattr(module, "bias", None) is not None:
                nn.init.zeros_(module.bias)
        # The last matrix of attention and of the MLP, whose output is added to the residual stream.
        ends_branch = name.endswith((".out_proj", ".down"))
        # A head of its own starts at zero too: the first loss is then log V exactly.
        if ends_branch or (name == "head" and isinstance(module, LinearHead)):
            nn.init.zeros_(module.weight)


def count_parameters(model: nn.Module) -> int:
    """The number of parameters; a tied matrix counts once."""
    return sum(weight.numel() for weight in model.parameters())
