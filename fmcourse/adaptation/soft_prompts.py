"""Soft prompts: words that no dictionary holds, trained and put before a text; the model itself stays as it is.

    B batch   T tokens of the text   N trained vectors   D width

    ids (B, T) ── embed ──▶ (B, T, D) ─┐
    vectors (N, D), trained ───────────┴─▶ (B, N + T, D) ── stack, head, frozen ──▶ the last T: logits (B, T, V)

Lester et al. 2021. Trained are N D numbers; a task is a file of them, and one copy of the model serves all tasks.
"""

import torch
from torch import Tensor, nn

from fmcourse.models.kv_cache import KVCache
from fmcourse.models.transformer import Transformer


class SoftPrompt(nn.Module):
    """A frozen causal Transformer behind trained vectors: logits of the text alone, as any objective wants them.

    Args:
        model: frozen here, and not copied.
        n: how many vectors. They take places of the context, as words do.
        init_ids: ids whose vectors they begin as, repeated or cut to n; without them n words are drawn from the vocabulary, from torch's
            global stream. Both are better beginnings than noise (section 3.2, figure 3b).
    Raises: ValueError for n below 1 or one that leaves no room, ids outside the vocabulary, or a model that is not causal: behind one
        that looks both ways no cache can hold a prompt.

    >>> from fmcourse.models.transformer import llama
    >>> model = SoftPrompt(Transformer(llama(vocab_size=9, context=8, width=8, depth=1, heads=2, kv_heads=1)), n=3)
    >>> model(torch.tensor([[1, 2]])).shape, sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    (torch.Size([1, 2, 9]), 24)
    """

    def __init__(self, model: Transformer, n: int, init_ids: list[int] | None = None) -> None:
        super().__init__()
        if not model.config.causal:
            raise ValueError(
                "this model looks both ways; give a causal one, which reads a prompt once and goes on."
            )
        if not 1 <= n < model.config.context:
            raise ValueError(
                f"n={n} vectors before a text of at most {model.config.context} tokens; give 1 to {model.config.context - 1}."
            )
        words = model.embed.tokens.weight
        chosen = (
            torch.randint(len(words), (n,))
            if init_ids is None
            else torch.tensor(init_ids).repeat(-(-n // max(1, len(init_ids))))[:n]
        )
        if not len(chosen) or not 0 <= chosen.min() <= chosen.max() < len(words):
            raise ValueError(
                f"init_ids={init_ids}: give at least one id, each of 0 to {len(words) - 1}."
            )
        self.model, self.config = model.requires_grad_(False), model.config
        self.embeddings = nn.Parameter(words.detach()[chosen.to(words.device)].clone())

    def forward(self, ids: Tensor) -> Tensor:
        """Tokens (B, T), with N + T at most the context, to logits (B, T, V): as the model's own, had it read the vectors before."""
        return self.model.head(self.states(ids))

    def states(self, ids: Tensor) -> Tensor:
        """What the head sees at the tokens of the text: (B, T, D)."""
        N = len(self.embeddings)
        self.model.check_ids(ids, N)
        words = self.model.embed(ids, torch.arange(N, N + ids.shape[1], device=ids.device))
        return self.model.stack(torch.cat([self.prompt(len(ids)), words], 1))[:, N:]

    def prompt(self, batch: int) -> Tensor:
        """The vectors as positions 0 to N - 1, for each row: (B, N, D). Where positions are learned, theirs are added."""
        embed, N = self.model.embed, len(self.embeddings)
        x = (
            self.embeddings
            if embed.positions is None
            else self.embeddings + embed.positions.weight[:N]
        )
        return x.expand(batch, -1, -1)

    @torch.no_grad()
    def new_cache(self, batch: int = 1, capacity: int = 0) -> KVCache:
        """A cache in which the vectors stand already: the frozen `model.extend(ids, cache)` reads on, and so do `label_scores` and
        `generate_answers`, which take it as their shared text."""
        return self.model.stack.extend(
            self.prompt(batch), self.model.new_cache(batch, len(self.embeddings) + capacity)
        )[1]
