"""What a training run leaves behind besides the weights, and how it can fail."""

from dataclasses import dataclass, field


class DivergenceError(ArithmeticError):
    """The loss became NaN or infinite."""


@dataclass
class History:
    """One entry for each training step.

    Args:
        losses: the loss of each step, in the unit of the objective.
        seconds: seconds since the start, at the end of each step. Resumed runs count on.
        tokens: labels trained on since the start, at the end of each step.
        interrupted: whether Ctrl-C ended the run early.
    """

    losses: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    interrupted: bool = False

    @property
    def steps(self) -> int:
        return len(self.losses)

    def append(self, loss: float, seconds: float, tokens: int) -> None:
        """Record one more step, in which the model was trained on so many `tokens`."""
        so_far = self.tokens[-1] if self.tokens else 0
        self.losses.append(loss)
        self.seconds.append(seconds)
        self.tokens.append(so_far + tokens)

    def __repr__(self) -> str:
        if not self.losses:
            return "History(no steps yet)"
        first, last = self.losses[0], self.losses[-1]
        seconds = self.seconds[-1]
        return f"History({self.steps} steps, {seconds:.1f} s, loss {first:.3f} to {last:.3f})"
