"""Where each token of a vocabulary leads in an automaton over bytes, all tokens followed at once.

    S states   V tokens   n tokens that lead somewhere

`constraints` makes its masks of it. A form of long texts has thousands of states, and a vocabulary
tens of thousands of tokens: followed one by one they take a minute, as rows of a table a second.
"""

from collections.abc import Sequence
from math import inf

import torch
from torch import Tensor

from fmcourse.tokenizers.byte_trie import Node, successors_first


class TokenPaths:
    """The states that can be reached from `start`, numbered, and where tokens lead from each."""

    def __init__(self, start: Node, spelled: Sequence[Sequence[int]], n_bytes: int) -> None:
        """
        Args:
            start: a state is a dict: for each byte that may come next, the state after it.
            spelled: each token's bytes, at least one, all below `n_bytes`.
        """
        states = [*successors_first(start)]
        self.numbers = {id(state): n for n, state in enumerate(states)}
        self.nowhere = len(states)
        self.next = torch.full((len(states) + 1, n_bytes), self.nowhere)  # nowhere leads nowhere
        for row, state in zip(self.next, states, strict=False):
            row[[*state]] = torch.tensor([self.numbers[id(after)] for after in state.values()])
        # The longest first: those that have a byte n are the first len(columns[n]).
        order = sorted(range(len(spelled)), key=lambda token: -len(spelled[token]))
        texts = [spelled[token] for token in order]
        self.tokens, self.columns = torch.tensor(order), []
        for n in range(len(texts[0])):
            self.columns.append(torch.tensor([text[n] for text in texts if len(text) > n]))

    def follow(self, state: int) -> tuple[Tensor, Tensor]:
        """The tokens that lead somewhere from a state, and the states after them: (n,) both."""
        after = self.next[state, self.columns[0]]
        places = (after != self.nowhere).nonzero()[:, 0]  # most states allow few first bytes
        after = after[places]
        for column in self.columns[1:]:
            longer = int(torch.searchsorted(places, len(column)))
            if not longer:
                break
            after[:longer] = self.next[after[:longer], column[places[:longer]]]
        found = after != self.nowhere
        return self.tokens[places[found]], after[found]

    def fewest_tokens(self, goal: Node) -> Tensor:
        """How many tokens lead from each state to the goal at least, (S + 1,); inf: none do."""
        reached = []  # from each state, the states that one token leads to
        for state in range(self.nowhere):
            found = torch.zeros(self.nowhere, dtype=torch.bool)
            found[self.follow(state)[1]] = True
            reached.append(found.nonzero()[:, 0])
        fewest, before = torch.full((self.nowhere + 1,), inf), None
        fewest[self.numbers[id(goal)]] = 0
        while before is None or not fewest.equal(before):  # once, and again where a state loops
            before = fewest.clone()
            for state, after in enumerate(reached):  # successors first
                if len(after) and fewest[state] > 0:
                    fewest[state] = 1 + fewest[after].min()
        return fewest
