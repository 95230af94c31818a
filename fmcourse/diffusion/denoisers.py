"""Denoisers: callables (x_t, t) -> x_0 that predict the image in a noisy one.

x_t is (B, ...), t a tensor (B,) of whole numbers from 1 to T, and x_0 (B, ...).
"""

from collections.abc import Callable

from torch import Tensor, nn

from fmcourse.diffusion.schedule import PredictionType, Schedule, check_prediction_type

DenoiserFn = Callable[[Tensor, Tensor], Tensor]  # (x_t, t) -> x_0


class Denoiser:
    """A trained network as a denoiser, whatever the network predicts.

    Args:
        network: called with x_t (B, ...), time t / T (B,) and the condition, if there is one.
        schedule, predicts: as in training.
        condition: one row (1, ...) for all images, or (B, ...).
    Raises: ValueError for an unknown prediction type.
    """

    def __init__(
        self,
        network: nn.Module,
        schedule: Schedule,
        predicts: PredictionType,
        condition: Tensor | None = None,
    ) -> None:
        check_prediction_type(predicts)
        self.network, self.schedule, self.predicts = network, schedule, predicts
        self.condition = condition

    def __call__(self, x_t: Tensor, t: Tensor) -> Tensor:
        # Time as a share of T, as in `diffusion_loss`, in the dtype of x_t.
        inputs = [x_t, (t / self.schedule.T).to(x_t)]
        if self.condition is not None:
            # One row for all images is expanded without a copy.
            inputs.append(self.condition.expand(len(x_t), *self.condition.shape[1:]))
        return self.schedule.predict_x_0(self.network(*inputs), x_t, t, self.predicts)


class ClassifierFreeGuidance:
    """From the unconditional prediction towards the conditional one, and beyond it.

        x_0 = unconditional + scale * (conditional - unconditional)

    Scale 0 ignores the condition and 1 is plain conditional sampling; larger scales follow the
    condition more closely, with less variety. Source: Ho & Salimans 2022, equation 6 (their 1 + w).
    """

    def __init__(self, conditional: DenoiserFn, unconditional: DenoiserFn, scale: float) -> None:
        self.conditional, self.unconditional, self.scale = conditional, unconditional, scale

    def __call__(self, x_t: Tensor, t: Tensor) -> Tensor:
        unconditional = self.unconditional(x_t, t)
        # At given x_t, x_0 is an affine function of the predicted noise or velocity, and the
        # weights add up to 1, so guiding x_0 guides those alike. Each step evaluates two denoisers.
        return unconditional + self.scale * (self.conditional(x_t, t) - unconditional)
