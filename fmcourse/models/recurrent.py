"""Language models before the Transformer: a fixed window (2003), and recurrence (LSTM; 1997, 2012).

    B batch   T tokens   D embedding width   H hidden width   n window   V vocabulary

    ids (B, T) ── embed ──▶ (B, T, D) ── window or LSTM ──▶ (B, T, H) ── head ──▶ logits (B, T, V)

Both are causal, as a GPT is: position t has read tokens 0 to t and predicts token t + 1.
Bengio et al. 2003, section 2; Hochreiter & Schmidhuber 1997, with Gers et al. 2000's forget gate.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True, kw_only=True)
class LMConfig:
    """Shape of a window or recurrent language model.

    Args:
        vocab_size: number of different tokens, V.
        context: tokens of the window, n; an LSTM has no limit of its own, and is trained and
            evaluated on texts of this length.
        width: width of a token's embedding, D.
        hidden: width of the hidden layer, or of the LSTM's state, H.
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
    """The neural language model of 2003: embeddings of the last n tokens, one hidden layer, logits.

    Similar tokens get similar embeddings, and so contexts share what is learned, which an n-gram
    model's counts cannot. Tokens before the beginning have the embedding zero.

    >>> model = WindowLM(LMConfig(vocab_size=5, context=3, width=2, hidden=4))
    >>> model(torch.tensor([[0, 1, 2, 3]])).shape
    torch.Size([1, 4, 5])
    """

    hidden_layers = ("hidden", "direct")  # for Muon: see `training.optimizers.hidden_matrices`

    def __init__(self, config: LMConfig) -> None:
        super().__init__()
        self.config = config
        window = config.context * config.width
        self.embed = nn.Embedding(config.vocab_size, config.width)
        self.hidden = nn.Linear(window, config.hidden)
        self.head = nn.Linear(config.hidden, config.vocab_size)
        # The paper's "direct connections" from the embeddings to the output.
        self.direct = nn.Linear(window, config.vocab_size, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        """Token ids (B, T) -> logits (B, T, V)."""
        n = self.config.context
        # `F.pad` counts axes from the last: none in D, n - 1 zeros before the first token.
        x = F.pad(self.embed(check_ids(ids)), (0, 0, n - 1, 0))  # (B, n - 1 + T, D)
        # `unfold` puts the window last, (B, T, D, n); a token's features must stay together.
        windows = x.unfold(1, n, 1).mT.flatten(2)  # (B, T, n D): the last n embeddings
        return self.head(torch.tanh(self.hidden(windows))) + self.direct(windows)


class LSTMLM(nn.Module):
    """A recurrent language model: it carries what it has read in two states of H numbers, c and h.

        i, f, o = sigmoid(...)     g = tanh(...)     c = f c + i g     h = o tanh(c)

    The cell c forgets (gate f) and is written to (gates i, g); gate o decides what h shows of it.
    `torch.nn.LSTM` runs these steps.
    """

    def __init__(self, config: LMConfig) -> None:
        super().__init__()
        self.config = config
        H = config.hidden
        self.embed = nn.Embedding(config.vocab_size, config.width)
        self.lstm = nn.LSTM(config.width, H, config.depth, batch_first=True)
        self.head = nn.Linear(H, config.vocab_size)
        # A forget-gate bias of 1 keeps nearly all of the cell at first: Gers et al. 2000, section
        # 4; Jozefowicz et al. 2015. torch orders the gates i, f, g, o.
        with torch.no_grad():
            for layer in range(config.depth):
                # torch adds a second bias, bias_hh, which keeps its small random start.
                getattr(self.lstm, f"bias_ih_l{layer}")[H : 2 * H] = 1.0

    def forward(self, ids: Tensor) -> Tensor:
        """Token ids (B, T) -> logits (B, T, V)."""
        # [0] is h after every token, (B, T, H); [1] would be the last h and c.
        return self.head(self.lstm(self.embed(check_ids(ids)))[0])


def check_ids(ids: Tensor) -> Tensor:
    """The ids, unchanged. Raises: ValueError if they are not (B, T) whole numbers."""
    if ids.ndim != 2 or ids.is_floating_point():
        raise ValueError(
            f"ids have shape {tuple(ids.shape)} and dtype {ids.dtype}; "
            "give whole numbers (B, T), for one text ids[None]."
        )
    return ids
