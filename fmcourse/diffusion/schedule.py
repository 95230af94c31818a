"""Noise schedules: the forward process of diffusion.

x_t = a_t x_0 + b_t ε        a_t signal, b_t noise; t from 0 (the image) to T (noise)

B batch   T timesteps
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

PredictionType = Literal["noise", "image", "velocity"]


@dataclass(frozen=True, eq=False)  # eq=False: == of two tensors is no bool
class Schedule:
    """How much signal and how much noise there is at each timestep.

    Args:
        signal, noise: a_t and b_t for t = 0 to T, (T + 1,) float64; they begin with 1 and 0.
        is_flow: True: a_t = 1 - b_t, a straight line from image to noise (flow matching).
            False: a_t² + b_t² = 1, so that x_t keeps its variance (DDPM; there a_t² is ᾱ_t).
    """

    signal: Tensor
    noise: Tensor
    is_flow: bool = False

    @classmethod
    def from_betas(cls, betas: Tensor) -> "Schedule":
        """From β_1 to β_T, the share of the variance that each step replaces by noise, (T,).

        β_T may be 1, zero terminal SNR: no signal is left at T, so a network cannot predict x_0
        from the noise there, and the velocity or the image is predicted instead (Lin et al. 2023).

        Raises: ValueError for a β that is not between 0 and 1, or one before the last that is 1.
        """
        if betas.ndim != 1 or not len(betas):
            raise ValueError(f"betas {tuple(betas.shape)}: give at least one number, (T,).")
        if not ((betas > 0) & (betas <= 1)).all():  # NaN is neither
            raise ValueError(
                f"betas reach from {betas.min():.4g} to {betas.max():.4g}; each is a share of the "
                "variance, above 0 and at most 1."
            )
        if (betas[:-1] == 1).any():
            raise ValueError(
                f"β_{int((betas == 1).int().argmax()) + 1} of {len(betas)} is 1: no signal is left "
                "after it, so only the last β may be 1 (zero terminal SNR)."
            )
        # Double: 1 - ᾱ_t loses digits where ᾱ_t is near 1. The padding is ᾱ_0 = 1, no noise.
        alpha_bar = F.pad((1 - betas.double()).cumprod(0), (1, 0), value=1.0)
        return cls(alpha_bar.sqrt(), (1 - alpha_bar).sqrt())  # a² + b² = 1

    @classmethod
    def linear(cls, T: int = 1000, beta_start: float = 1e-4, beta_end: float = 0.02) -> "Schedule":
        """β_t grows linearly. The default values are made for T = 1,000.

        Source: Ho et al. 2020, section 4.
        """
        T = check_positive_int("T", T)
        return cls.from_betas(torch.linspace(beta_start, beta_end, T, dtype=torch.float64))

    @classmethod
    def cosine(cls, T: int = 1000, offset: float = 0.008, max_beta: float = 0.999) -> "Schedule":
        """ᾱ_t is a squared cosine: noise comes more gently at both ends.

        Source: Nichol & Dhariwal 2021, equation 17.
        """
        t = torch.arange(check_positive_int("T", T) + 1, dtype=torch.float64)
        # The offset keeps the first β from being too small (section 3.2).
        angle = (t / T + offset) / (1 + offset) * math.pi / 2
        alpha_bar = angle.cos().square()
        # The paper's factor 1 / f(0) cancels in the ratio. The last β would be 1: no signal would
        # be left, and x_0 could not be computed from the noise.
        return cls.from_betas((1 - alpha_bar[1:] / alpha_bar[:-1]).clamp(max=max_beta))

    @classmethod
    def flow(cls, T: int = 1000) -> "Schedule":
        """A straight line from the image to noise; at T no signal is left.

        Source: Lipman et al. 2022; Liu et al. 2022.
        """
        noise = torch.arange(check_positive_int("T", T) + 1, dtype=torch.float64) / T
        return cls(1 - noise, noise, is_flow=True)  # a + b = 1

    @property
    def T(self) -> int:
        return len(self.signal) - 1

    @property
    def snr(self) -> Tensor:
        """Signal-to-noise ratio, a_t² / b_t², at t = 1 to T, (T,)."""
        # Not at t = 0, where it is infinite.
        return (self.signal[1:] / self.noise[1:]).square()

    def coefficients(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """a_t and b_t at timesteps t (B,), shaped so that they multiply `like` (B, ...).

        Raises: ValueError for t that are not whole numbers from 0 to T.
        """
        self.check_timesteps(t)
        shape = (-1, *[1] * (like.ndim - 1))  # (B, 1, 1, ...)
        # The tables stay on the CPU in float64; only the B values that are needed are copied.
        a, b = (table[t.cpu()].to(like).view(shape) for table in (self.signal, self.noise))
        return a, b

    def check_timesteps(self, t: Tensor) -> None:
        """Raises: ValueError for t that are not whole numbers (B,) from 0 to T."""
        whole = t.ndim == 1 and not t.is_floating_point()
        # An empty tensor has no smallest and no largest value.
        if whole and (not len(t) or (t.min() >= 0 and t.max() <= self.T)):
            return
        values = f" from {t.min()} to {t.max()}" if t.numel() else ""
        raise ValueError(
            f"t must be whole numbers (B,) from 0 to T={self.T}; "
            f"given are {t.dtype} {tuple(t.shape)}{values}."
        )

    def add_noise(self, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """The forward process, x_t = a_t x_0 + b_t ε, in one step from x_0 (B, ...)."""
        a, b = self.coefficients(t, x_0)
        return a * x_0 + b * noise

    def velocity(self, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """The direction in which x_t moves as noise is added, (B, ...).

        v = ε - x_0 on the straight line; v = a_t ε - b_t x_0 where variance is kept (Salimans & Ho
        2022, appendix D).
        """
        if self.is_flow:
            return noise - x_0
        a, b = self.coefficients(t, x_0)
        return a * noise - b * x_0

    def target(self, x_0: Tensor, t: Tensor, noise: Tensor, predicts: PredictionType) -> Tensor:
        """What a network with this prediction type is to predict, (B, ...)."""
        check_prediction_type(predicts)
        if predicts == "noise":
            return noise
        if predicts == "image":
            return x_0
        return self.velocity(x_0, t, noise)

    def predict_x_0(
        self, predicted: Tensor, x_t: Tensor, t: Tensor, predicts: PredictionType
    ) -> Tensor:
        """The image x_0 (B, ...) that follows from what the network predicted.

        Raises: ValueError for an unknown prediction type, or for predicted noise at a timestep
            where no signal is left.
        """
        check_prediction_type(predicts)
        a, b = self.coefficients(t, x_t)
        if predicts == "image":
            return predicted
        if predicts == "velocity":
            # Flow: a x_0 + b ε - b (ε - x_0) = (a + b) x_0, and a + b = 1. Otherwise:
            # a (a x_0 + b ε) - b (a ε - b x_0) = (a² + b²) x_0, and a² + b² = 1.
            return (x_t if self.is_flow else a * x_t) - b * predicted
        if not a.all():
            raise ValueError(
                f"at t={self.T} this schedule leaves no signal, so x_0 does not follow from the "
                'noise; predict "velocity" or "image", or use another schedule.'
            )
        return (x_t - b * predicted) / a


def check_prediction_type(predicts: str) -> None:
    """Raises: ValueError unless it is 'noise', 'image' or 'velocity'."""
    if predicts not in ("noise", "image", "velocity"):
        raise ValueError(
            f"predicts={predicts!r} is not known; choose 'noise', 'image' or 'velocity'."
        )


def check_positive_int(name: str, n: int) -> int:
    """`n` as an int. Raises: ValueError unless it is a whole number of at least 1."""
    if n != int(n) or n < 1:  # 10.0 is whole too
        raise ValueError(f"{name}={n}; at least one step is needed, and a whole number of them.")
    return int(n)
