"""Prompt tuning: trained vectors before the tokens of a text, and a model that stays frozen.

    B batch   T tokens of the text   N trained vectors   D width   V vocabulary

    ids (B, T) ── embed ──▶ (B, T, D) ─┐
    vectors (N, D), trained ───────────┴─▶ (B, N + T, D) ── frozen stack, head ──▶ logits (B, T, V)

Lester et al. 2021. Trained are N D parameters; each task is a file of them, and one copy of the
model serves all tasks.
"""

import torch
from torch import Tensor, nn

from fmcourse.models.kv_cache import KVCache
from fmcourse.models.transformer import Transformer


class SoftPrompt(nn.Module):
    """A frozen causal Transformer behind N trained vectors: ids (B, T) -> logits (B, T, V).

    The logits are those of the text alone, so that every objective takes it as a model.

    Args:
        model: frozen here, and not copied.
        n: N. The vectors take positions of the context, as tokens do.
        init_ids: tokens whose embeddings the vectors start as, repeated or cut to n of them.
            Without them n tokens of the vocabulary are drawn, from torch's global random stream.
            Both start better than noise (section 3.2, figure 3b).
    Raises: ValueError for n below 1 or one that leaves no room for a text, ids outside the
        vocabulary, or a model that is not causal: only there can a KV cache hold a prompt.

    >>> from fmcourse.models.transformer import llama
    >>> config = llama(vocab_size=9, context=8, width=8, depth=1, heads=2, kv_heads=1)
    >>> model = SoftPrompt(Transformer(config), n=3)
    >>> model(torch.tensor([[1, 2]])).shape
    torch.Size([1, 2, 9])
    >>> [tuple(weight.shape) for weight in model.parameters() if weight.requires_grad]
    [(3, 8)]
    """

    def __init__(self, model: Transformer, n: int, init_ids: list[int] | None = None) -> None:
        super().__init__()
        context = model.config.context
        if not model.config.causal:
            raise ValueError(
                "this model is not causal; give a causal one, whose cache can hold the prompt."
            )
        if not 1 <= n < context:
            raise ValueError(
                f"n={n} vectors before a text of at most {context} tokens; give 1 to {context - 1}."
            )
        embeddings = model.embed.tokens.weight
        chosen = choose_tokens(n, init_ids, len(embeddings)).to(embeddings.device)
        self.model, self.config = model.requires_grad_(False), model.config
        # A copy, so that training the vectors leaves the vocabulary as it is.
        self.embeddings = nn.Parameter(embeddings.detach()[chosen].clone())

    def forward(self, ids: Tensor) -> Tensor:
        """Logits (B, T, V) of the tokens (B, T) behind the prompt; N + T is at most the context."""
        return self.model.head(self.states(ids))

    def states(self, ids: Tensor) -> Tensor:
        """The stack's output at the tokens of the text: (B, T, D)."""
        N = len(self.embeddings)
        self.model.check_ids(ids, N)
        # The vectors take positions 0 to N - 1, so the text begins at position N.
        tokens = self.model.embed(ids, torch.arange(N, N + ids.shape[1], device=ids.device))
        # Outputs at the vectors' own positions are dropped: targets are tokens of the text.
        return self.model.stack(torch.cat([self.prompt(len(ids)), tokens], 1))[:, N:]

    def prompt(self, batch: int) -> Tensor:
        """The vectors as input of the stack, the same in each row: (B, N, D).

        They stand at positions 0 to N - 1; where position embeddings are learned, those are added.
        """
        positions, x = self.model.embed.positions, self.embeddings
        if positions is not None:
            x = x + positions.weight[: len(x)]
        return x.expand(batch, -1, -1)  # a view: no copy for each row

    @torch.no_grad()  # a cache is for use; training the vectors makes it out of date
    def new_cache(self, batch: int = 1, capacity: int = 0) -> KVCache:
        """A KV cache that holds the prompt already.

        The frozen `model.extend(ids, cache)` reads on from it, and so do `label_scores` and
        `generate_answers`, which take it as their shared text.

        Args:
            capacity: positions that can follow before the cache has to grow.
        """
        cache = self.model.new_cache(batch, len(self.embeddings) + capacity)
        # The stack's `extend`, not the model's: the vectors have no token ids.
        _, cache = self.model.stack.extend(self.prompt(batch), cache)
        return cache


def choose_tokens(n: int, init_ids: list[int] | None, vocab_size: int) -> Tensor:
    """The n tokens (n,) whose embeddings a prompt starts as.

    Raises: ValueError if `init_ids` is empty or holds an id outside the vocabulary.
    """
    if init_ids is None:
        return torch.randint(vocab_size, (n,))
    if not init_ids or not 0 <= min(init_ids) <= max(init_ids) < vocab_size:
        raise ValueError(
            f"init_ids={init_ids}: give at least one id, each from 0 to {vocab_size - 1}."
        )
    return torch.tensor([init_ids[i % len(init_ids)] for i in range(n)])
