"""Reward models: a causal language model whose head gives one number for a whole response.

    B responses   T tokens   D width

    ids (B, T) ── backbone ──▶ (B, T, D) ── last token of the response ──▶ (B, D) ── linear ──▶ (B,)

Trained on preferences: `fit(model, reward_modelling, RandomBatches(ids, mask, batch=32), ...)`.
Ouyang et al. 2022 (InstructGPT), section 3.5.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fmcourse.alignment.losses import bradley_terry_loss
from fmcourse.alignment.preferences import encode_responses, in_batches, trim_padding
from fmcourse.generation.text import Prompt
from fmcourse.models.layers import Linear
from fmcourse.objectives import Loss, own_rows


class RewardModel(nn.Module):
    """A reward for each response: ids (B, T) and mask (B, T) -> (B,).

    Args:
        backbone: a causal model with `states(ids)`, (B, T) -> (B, T, D), and `config.width`, D; its
            own head is not used. It is trained too, so pass a copy of a model that is still needed.
    The head is drawn from torch's global stream: call `torch.manual_seed` first to repeat it.
    Raises: ValueError for a model that is not causal.
    """

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        if not getattr(backbone.config, "causal", True):
            raise ValueError(
                "this model looks both ways, so it would read the padding; give a causal one."
            )
        D = backbone.config.width
        self.backbone, self.head = backbone, Linear(D, 1)
        # Rewards of variance 1 (Stiennon et al. 2020, appendix B.1). Zero would be a trap: a new
        # backbone, whose blocks begin as the identity, would then get no gradient either.
        nn.init.normal_(self.head.weight, std=(D + 1) ** -0.5)
        nn.init.zeros_(self.head.bias)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Rewards (B,), read at the last token of each row at which the mask (B, T) is True.

        Raises: ValueError for a row without such a token.
        """
        if not mask.any(1).all():
            row = int((~mask.any(1)).nonzero()[0])
            raise ValueError(f"row {row} has no token of a response; leave it out, or mark one.")
        T = ids.shape[1]
        last = T - 1 - mask.flip(1).int().argmax(1)  # argmax: the first True, seen from the end
        states = self.backbone.states(ids)[torch.arange(len(ids), device=ids.device), last]
        return self.head(states)[:, 0]


def reward_modelling(
    model: RewardModel, batch: tuple[Tensor, Tensor], generator: torch.Generator | None = None
) -> Loss:
    """The Bradley-Terry loss of preferences, in nats per pair; knowing nothing costs log 2.

    Args:
        batch: ids (B, 2, T) and mask (B, 2, T), see `encode_preferences`.
    Source: Ouyang et al. 2022, equation 1.
    """
    ids, mask = own_rows(generator, *trim_padding(*batch))
    rewards = pair_rewards(model, ids, mask)
    value = bradley_terry_loss(*rewards.unbind(1))
    parts = {"nats per pair": value.item(), "accuracy": preference_accuracy(rewards)}
    return Loss(value, parts, len(ids))


def pair_rewards(model: RewardModel, ids: Tensor, mask: Tensor) -> Tensor:
    """Rewards of rows (..., T) -> (...)."""
    return model(ids.flatten(0, -2), mask.flatten(0, -2)).view(ids.shape[:-1])


# -- evaluation ------------------------------------------------------------------------------------


def score_responses(model: RewardModel, ids: Tensor, mask: Tensor, batch: int = 64) -> Tensor:
    """Rewards of a whole data set without gradients, `batch` rows at a time.

    Args:
        ids, mask: (N, T), or (N, 2, T) for pairs.
    Returns: (N,) or (N, 2), on the device of `ids`.
    """
    return in_batches(model, pair_rewards, ids, mask, batch)


def score_texts(
    model: RewardModel,
    tokenizer: Any,
    prompts: Sequence[Prompt],
    responses: Sequence[str],
    end_id: int,
) -> Tensor:
    """Rewards (N,) of responses given as texts: with the first two arguments bound, what `grpo`
    asks for.

    >>> from functools import partial
    >>> from fmcourse.models.transformer import Transformer, gpt2
    >>> from fmcourse.tokenizers import CharTokenizer
    >>> model = RewardModel(Transformer(gpt2(vocab_size=3, context=8, width=8, depth=1, heads=1)))
    >>> reward = partial(score_texts, model, CharTokenizer("ab."), end_id=2)
    >>> reward(["a", "b"], ["ab", ""]).shape
    torch.Size([2])
    """
    pairs = list(zip(prompts, responses, strict=True))
    return score_responses(model, *encode_responses(tokenizer, pairs, end_id))


def preference_accuracy(rewards: Tensor) -> float:
    """Share of pairs, rewards (N, 2), whose chosen response has the higher one; a tie counts half.

    >>> preference_accuracy(torch.tensor([[2.0, 1.0], [0.0, 3.0], [1.0, 1.0], [1.0, 0.0]]))
    0.625
    """
    margins = rewards[:, 0] - rewards[:, 1]
    return ((margins > 0).float() + (margins == 0).float() / 2).mean().item()


@dataclass(frozen=True)
class CalibrationBin:
    """Pairs of similar confidence: how sure the model was on average, and how often it was right.

    A calibrated model is right as often as it is sure.
    """

    confidence: float
    accuracy: float
    count: int


def calibration(rewards: Tensor, bins: int = 5) -> list[CalibrationBin]:
    """The reliability diagram of pairs, rewards (N, 2): bins of confidence from 0.5 to 1.

    Confidence is the probability σ(|r_chosen - r_rejected|) of the response that the model prefers.
    Bins without a pair are left out.
    Source: Guo et al. 2017, section 2; Bradley & Terry 1952.
    """
    margins = (rewards[:, 0] - rewards[:, 1]).double()
    confidence = margins.abs().sigmoid()  # (N,)
    is_right = (margins > 0).double() + (margins == 0).double() / 2
    # Confidence 1 belongs to the last bin.
    number = ((confidence - 0.5) * 2 * bins).long().clamp(max=bins - 1)
    groups = [number == n for n in range(bins)]
    return [
        CalibrationBin(
            confidence[group].mean().item(), is_right[group].mean().item(), int(group.sum())
        )
        for group in groups
        if group.any()
    ]


def calibration_error(diagram: Sequence[CalibrationBin]) -> float:
    """Expected calibration error: mean distance of confidence and accuracy, weighted by pairs.

    Source: Guo et al. 2017, equation 3.

    >>> calibration_error([CalibrationBin(0.75, 0.5, 10), CalibrationBin(1.0, 1.0, 30)])
    0.0625
    """
    total = sum(one.count for one in diagram)
    return sum(one.count * abs(one.confidence - one.accuracy) for one in diagram) / total
