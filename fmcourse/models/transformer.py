"""One Transformer for every model of the course: GPT, Llama, BERT differ in their `Config` alone.

    ids (B, T) ── embed ──▶ (B, T, D) ── stack ──▶ (B, T, D) ── head ──▶ logits (B, T, V)

Other models replace an end (patches for words, classes for words) and keep the waist, `Stack`.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fmcourse.fast.products import Linear
from fmcourse.models.attention import BLOCKS, NORMS, NoRotaryEmbedding, RotaryEmbedding
from fmcourse.models.config import Config, bert, gpt2, llama, modern
from fmcourse.models.kv_cache import KVCache, LeftPadding

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
    """A vector for each token; plus one for each position, where positions are learned."""

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
        return self.drop(self.lookup(ids, positions))

    def lookup(self, ids: Tensor, positions: Tensor) -> Tensor:
        try:
            x = self.tokens(ids)
        except IndexError:
            low, high, known = int(ids.min()), int(ids.max()), self.tokens.num_embeddings
            raise ValueError(
                f"ids run from {low} to {high}, but this model knows tokens 0 to {known - 1}; "
                "was the text encoded by another tokenizer?"
            ) from None
        return x if self.positions is None else x + self.positions(positions)


class TokenTypeEmbedding(Embedding):
    """BERT's: a third vector says which of two texts a token belongs to, and the sum is normalised."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.token_types = nn.Embedding(config.token_types, config.width)
        self.norm = NORMS[config.norm](config.width, eps=config.norm_eps)

    def forward(
        self, ids: Tensor, positions: Tensor, token_type_ids: Tensor | None = None
    ) -> Tensor:
        token_type_ids = torch.zeros_like(ids) if token_type_ids is None else token_type_ids
        return self.drop(self.norm(self.lookup(ids, positions) + self.token_types(token_type_ids)))


def check_length(length: int, context: int) -> None:
    if length > context:
        raise ValueError(
            f"{length} positions are more than context={context}; pass fewer, or build a longer model."
        )


class Stack(nn.Module):
    """The waist of every model: blocks one after another, (B, T, D) -> (B, T, D). It neither knows nor asks what a position is."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.rope = RotaryEmbedding(config) if config.positions == "rope" else NoRotaryEmbedding()
        self.blocks = nn.ModuleList(BLOCKS[config.norm_place](config) for _ in range(config.depth))
        last = (
            config.norm_place == "before"
        )  # after the last block the sum is still to be normalised
        self.norm = NORMS[config.norm](config.width, eps=config.norm_eps) if last else nn.Identity()

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """
        Args:
            x: (B, T, D).
            mask: bool, True = may look: (T, T), or (B, T, T), or (B, 1, T) to hide padding. It narrows the model's own rule.
        Raises: ValueError if T is more than the context, or the mask is not bool.
        """
        check_length(x.shape[1], self.config.context)
        if mask is not None and mask.dtype != torch.bool:
            raise ValueError(
                f"mask has dtype {mask.dtype}; it must be bool, True where a position may look."
            )
        rope = self.rope(torch.arange(x.shape[1], device=x.device))
        for block in self.blocks:
            x = block(x, mask, rope)
        return self.norm(x)

    def extend(self, x: Tensor, cache: KVCache) -> tuple[Tensor, KVCache]:
        """The next positions (B, T, D) after those in the cache; returns their states and the longer cache."""
        T = x.shape[1]
        rope, cache = self.rope(cache.positions(T)), cache.reserve(T)
        mask = cache.mask(T)
        for layer, block in enumerate(self.blocks):
            x = block(x, mask, rope, cache, layer)
        return self.norm(x), cache


class MaskedHead(nn.Module):
    """BERT's head: one more layer before the embedding is used backwards, with a constant per word."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.dense = Linear(config.width, config.width)
        self.norm = NORMS[config.norm](config.width, eps=config.norm_eps)
        self.unembedding = Linear(config.width, config.vocab_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.unembedding(self.norm(F.gelu(self.dense(x))))


class LinearHead(Linear):
    """A score for each word: how well the state points at its vector."""

    def __init__(self, config: Config) -> None:
        super().__init__(config.width, config.vocab_size, bias=False)


class NoHead(nn.Identity):
    """The states themselves, for models that end in something else than words."""

    def __init__(self, config: Config) -> None:
        super().__init__()


HEADS = {"linear": LinearHead, "masked": MaskedHead, "none": NoHead}


class Transformer(nn.Module):
    """Words in, a score for every word out, at every position at once.

    Args:
        config: the shape. Weights are drawn from torch's global stream: call `torch.manual_seed` first to repeat them.
    >>> with torch.device("meta"):                                             # counted, without allocating a byte
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
        if config.tied and config.head != "none":
            getattr(self.head, "unembedding", self.head).weight = self.embed.tokens.weight

    def forward(
        self, ids: Tensor, mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """
        Args:
            ids: tokens, (B, T) whole numbers.
            mask: bool, True = may look; see `Stack.forward`.
            token_type_ids: which text each token belongs to, (B, T); BERT only.
        Returns: logits (B, T, V), before any softmax; the states (B, T, D) where `head="none"`.
        Raises: ValueError if T is more than the context, or an id is not in the vocabulary.
        """
        return self.head(self.states(ids, mask, token_type_ids))

    def states(
        self, ids: Tensor, mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """What the head sees: (B, T, D)."""
        self.check_ids(ids)
        return self.stack(
            self.embed(ids, torch.arange(ids.shape[1], device=ids.device), token_type_ids), mask
        )

    def check_ids(self, ids: Tensor, before: int = 0) -> None:
        """Refuse what is not (B, T) or, with the positions that came before, does not fit the context."""
        if ids.ndim != 2 or ids.is_floating_point():
            raise ValueError(
                f"ids have shape {tuple(ids.shape)} and dtype {ids.dtype}; give whole numbers (B, T), "
                "for one text ids[None]."
            )
        check_length(ids.shape[1] + before, self.config.context)

    def new_cache(
        self, batch: int = 1, capacity: int = 0, padding: Tensor | None = None
    ) -> KVCache:
        """An empty cache on the model's device, with `capacity` for that many positions before it has to grow."""
        c, weight = self.config, self.stack.blocks[0].norm_1.weight
        store = weight.new_empty(c.depth, 2, batch, c.kv_heads, max(1, capacity), c.head_width)
        layout = None if padding is None else LeftPadding(padding)
        return KVCache(store.detach(), layout=layout)

    def extend(self, ids: Tensor, cache: KVCache, last: bool = False) -> tuple[Tensor, KVCache]:
        """Read on: (B, T) new tokens after those in `cache` -> their logits (B, T, V) and the longer cache.

        `last`: the last token's alone, (B, 1, V), which is all that the next one needs. The old cache stays good.
        Raises: ValueError past the context, or for a model that looks ahead.
        """
        if not self.config.causal:
            raise ValueError(
                "this model looks both ways: all it read changes with a new token; no cache can hold it."
            )
        self.check_ids(ids, cache.length)
        x, cache = self.stack.extend(self.embed(ids, cache.positions(ids.shape[1])), cache)
        return self.head(x[:, -1:] if last else x), cache


def init_weights(model: Transformer) -> None:
    """Small normal weights; the last matrix of each part starts at zero, so that at first a block passes its input on."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            std = 0.02 if isinstance(module, nn.Embedding) else module.in_features**-0.5
            nn.init.normal_(module.weight, std=std)
            if getattr(module, "bias", None) is not None:
                nn.init.zeros_(module.bias)
        if name.endswith((".out_proj", ".down")) or (
            name == "head" and isinstance(module, LinearHead)
        ):
            nn.init.zeros_(module.weight)


def count_parameters(model: nn.Module) -> int:
    """How many numbers there are to learn; a tied matrix counts once."""
    return sum(weight.numel() for weight in model.parameters())
