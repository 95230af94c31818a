"""Alignment: from a model that continues text to one that does what it is asked.

preferences.py  prompts with responses as tensors; which of two responses is preferred
tuning.py       supervised fine-tuning and DPO: objectives for `fit`
reward.py       reward models, trained on preferences; accuracy and calibration
policy.py       GRPO: sample, score, compare, update
sampling.py     responses sampled from a policy in one batch; pass@k
losses.py       the formulas on tensors
sums.py         a task with a verifiable reward: two-digit sums
"""

from fmcourse.alignment.policy import PolicyHistory, Rollouts, grpo, policy_gradient
from fmcourse.alignment.preferences import (
    Preference,
    encode_preferences,
    encode_responses,
    pad_responses,
)
from fmcourse.alignment.reward import (
    RewardModel,
    calibration,
    calibration_error,
    preference_accuracy,
    reward_modelling,
    score_responses,
    score_texts,
)
from fmcourse.alignment.sampling import pass_at_k, sample_responses, sample_texts
from fmcourse.alignment.tuning import (
    direct_preference,
    response_log_probs,
    supervised_fine_tuning,
)

__all__ = [
    "PolicyHistory",
    "Preference",
    "RewardModel",
    "Rollouts",
    "calibration",
    "calibration_error",
    "direct_preference",
    "encode_preferences",
    "encode_responses",
    "grpo",
    "pad_responses",
    "pass_at_k",
    "policy_gradient",
    "preference_accuracy",
    "response_log_probs",
    "reward_modelling",
    "sample_responses",
    "sample_texts",
    "score_responses",
    "score_texts",
    "supervised_fine_tuning",
]
