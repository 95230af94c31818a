"""Language models before the Transformer: a fixed window (2003), and a memory carried from token to token (1997, 2012).

    ids (B, T) ── embed ──▶ (B, T, D) ── window or LSTM ──▶ (B, T, H) ── head ──▶ logits (B, T, V)

Both are causal, as a GPT is: position t has read tokens 0 to t and is asked for token t + 1.
Bengio et al. 2003, section 2; Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True, kw_only=True)
class LMConfig:
    """Sizes of such a model.

    Args:
        vocab_size: how many different tokens there are.
        context: tokens that the window holds; for an LSTM, which has no limit of its own, the length that it is trained and scored on.
        width: numbers for a token, D.
        hidden: numbers of the hidden layer, or of the LSTM's memory, H.
        depth: LSTM layers, one above the other.
    Raises: ValueError naming the field.
    """

    vocab_size: int
    context: int = 64
    width: int = 64
    hidden: int = 256
    depth: int = 1

    def __post_init__(self) -> None:
        for name in ("vocab_size", "context", "width", "hidden", "depth"):
            if (given := getattr(self, name)) < 1:
                raise ValueError(f"{name}={given} must be at least 1.")


class WindowLM(nn.Module):
    """The neural language model of 2003: the vectors of the last n tokens side by side, one hidden layer, a score for each token.

    What two contexts have in common is shared through the vectors: a table has no such thing. Tokens before the beginning have the
    vector zero.

    >>> WindowLM(LMConfig(vocab_size=5, context=3, width=2, hidden=4))(torch.tensor([[0, 1, 2, 3]])).shape
    torch.Size([1, 4, 5])
    """

    hidden_layers = ("hidden", "direct")  # for Muon: see `training.optimizers.hidden_matrices`

    def __init__(self, config: LMConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(config.vocab_size, config.width)
        self.hidden = nn.Linear(config.context * config.width, config.hidden)
        self.head = nn.Linear(config.hidden, config.vocab_size)
        self.direct = nn.Linear(
            config.context * config.width, config.vocab_size, bias=False
        )  # "direct connections"

    def forward(self, ids: Tensor) -> Tensor:
        """(B, T) token ids -> logits (B, T, V)."""
        n = self.config.context
        x = F.pad(self.embed(check_ids(ids)), (0, 0, n - 1, 0))  # (B, n - 1 + T, D)
        window = x.unfold(1, n, 1).mT.flatten(
            2
        )  # (B, T, n D): at each position, the last n vectors
        return self.head(torch.tanh(self.hidden(window))) + self.direct(window)


class LSTMLM(nn.Module):
    """A language model that reads from left to right and carries what it read in two times H numbers, however long the text.

        i, f, o = sigmoid(...)     g = tanh(...)     c = f c + i g     h = o tanh(c)

    The memory c forgets (f), is written to (i, g), and shows (o) what goes up and on; torch.nn.LSTM runs these steps.
    """

    def __init__(self, config: LMConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(config.vocab_size, config.width)
        self.lstm = nn.LSTM(config.width, config.hidden, config.depth, batch_first=True)
        self.head = nn.Linear(config.hidden, config.vocab_size)
        with (
            torch.no_grad()
        ):  # at first keep nearly everything: Gers et al. 2000, section 4; Jozefowicz et al. 2015
            for layer in range(config.depth):
                getattr(self.lstm, f"bias_ih_l{layer}")[config.hidden : 2 * config.hidden] = 1.0

    def forward(self, ids: Tensor) -> Tensor:
        """(B, T) token ids -> logits (B, T, V)."""
        return self.head(self.lstm(self.embed(check_ids(ids)))[0])


def check_ids(ids: Tensor) -> Tensor:
    """Raises: ValueError if ids are no (B, T) of whole numbers."""
    if ids.ndim != 2 or ids.is_floating_point():
        raise ValueError(
            f"ids have shape {tuple(ids.shape)} and dtype {ids.dtype}; give whole numbers (B, T), "
            "for one text ids[None]."
        )
    return ids
