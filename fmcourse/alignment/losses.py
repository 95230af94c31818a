"""The formulas of alignment, on tensors alone: what InstructGPT, DPO, PPO and GRPO minimize.

    B responses   T tokens   V vocabulary   N prompts   G responses to one prompt (a group)

A mask (B, T) is bool, True at the tokens of the response: prompt and padding never count. Rewards
and log-probabilities of a whole response are (B,), those of its tokens (B, T). All in nats.

    preferences    bradley_terry_loss, implicit_rewards, dpo_loss
    policies       group_advantages, gae, clipped_policy_loss, value_loss
    reference      kl_k1, kl_k2, kl_k3, kl_divergence, kl_penalized_rewards
"""

import torch
from torch import Tensor
from torch.nn import functional as F

# -- log-probabilities of tokens -------------------------------------------------------------------


def token_log_probs(logits: Tensor, labels: Tensor) -> Tensor:
    """log p of each label, in nats: logits (B, T, V) and labels (B, T) -> (B, T).

    As in `objectives.next_token`, the labels are the inputs of the model shifted by one.

    >>> token_log_probs(torch.zeros(1, 2, 4), torch.tensor([[0, 3]])).exp()
    tensor([[0.2500, 0.2500]])
    """
    nats = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
    return -nats.view_as(labels)


def token_entropies(logits: Tensor) -> Tensor:
    """Entropy of the distribution over the next token, in nats: (..., V) -> (...)."""
    return torch.special.entr(logits.softmax(-1)).sum(-1)  # entr(p) is -p log p, and 0 at p = 0


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """The mean over all tokens of the responses: (B, T) -> scalar. Every token counts alike.

    So a long response counts more than a short one; see `mean_per_response` for the other way.
    Source: Yu et al. 2025 (DAPO), section 3.3, the "token-level" loss.
    """
    return masked_sum(values, mask).sum() / mask.sum().clamp(min=1)


def mean_per_response(values: Tensor, mask: Tensor) -> Tensor:
    """The mean over the tokens of each response, then over the responses: (B, T) -> scalar.

    A token of a long response counts less, so a long wrong one is punished less for each token: Liu
    et al. 2025 ("Dr. GRPO"), section 3.1.
    Source: Shao et al. 2024 (GRPO), equation 3.
    """
    return (masked_sum(values, mask) / mask.sum(-1).clamp(min=1)).mean()


def masked_sum(values: Tensor, mask: Tensor) -> Tensor:
    """The sum over the tokens of each response: (..., T) -> (...)."""
    # Filled, not multiplied: at padding a value may be infinite, and 0 times infinity is NaN.
    return values.masked_fill(~mask, 0).sum(-1)


# -- preferences -----------------------------------------------------------------------------------


def bradley_terry_loss(chosen: Tensor, rejected: Tensor) -> Tensor:
    """-log σ(r_chosen - r_rejected), the mean over pairs; log 2 where both rewards are equal.

    In the model of Bradley and Terry, one is preferred to the other with probability
    σ(r_chosen - r_rejected): the loss is its cross-entropy. Rewards are free up to a constant.

    Args:
        chosen, rejected: rewards of the preferred and of the other response, (B,) each.
    Source: Bradley & Terry 1952; Ouyang et al. 2022 (InstructGPT), equation 1.

    >>> bradley_terry_loss(torch.tensor([1.0, 0.0]), torch.tensor([1.0, 0.0])).exp()
    tensor(2.)
    """
    return -F.logsigmoid(chosen - rejected).mean()  # logsigmoid: no overflow at large differences


def implicit_rewards(log_probs: Tensor, reference: Tensor, beta: float) -> Tensor:
    """β log(π(y|x) / π_ref(y|x)): the reward for which a policy would be the best one, (B,).

    The best for reward minus β KL to the reference; up to a constant for each prompt.

    Args:
        log_probs, reference: log-probability of each whole response under the policy and under the
            reference, (B,).
    Source: Rafailov et al. 2023 (DPO), equation 5.
    """
    return beta * (log_probs - reference)


def dpo_loss(
    chosen: Tensor,
    rejected: Tensor,
    reference_chosen: Tensor,
    reference_rejected: Tensor,
    beta: float = 0.1,
) -> Tensor:
    """Direct preference optimization: Bradley-Terry, with the policy's implicit rewards.

    Args:
        chosen, rejected: log-probabilities of whole responses under the policy, (B,) each.
        reference_chosen, reference_rejected: the same under the frozen reference.
        beta: the larger, the less the policy has to move away from the reference.
    Source: Rafailov et al. 2023, equation 7.
    """
    return bradley_terry_loss(
        implicit_rewards(chosen, reference_chosen, beta),
        implicit_rewards(rejected, reference_rejected, beta),
    )


# -- the distance to the reference -----------------------------------------------------------------


def kl_k1(log_probs: Tensor, reference: Tensor) -> Tensor:
    """-log r with r = π_ref / π, elementwise: unbiased, but noisy and often negative.

    Like k2 and k3 an estimate of KL(π, π_ref), in nats, from samples of the policy π.

    Args:
        log_probs, reference: log-probabilities of sampled tokens under both, of one shape.
    Source: Schulman 2020, Approximating KL divergence (http://joschu.net/blog/kl-approx.html).
    """
    return log_probs - reference


def kl_k2(log_probs: Tensor, reference: Tensor) -> Tensor:
    """(log r)² / 2: never negative and calm, but biased. See `kl_k1`."""
    return (log_probs - reference).square() / 2


def kl_k3(log_probs: Tensor, reference: Tensor) -> Tensor:
    """(r - 1) - log r: unbiased and never negative; the one in GRPO's loss. See `kl_k1`."""
    log_ratio = reference - log_probs
    return log_ratio.expm1() - log_ratio  # expm1: r - 1 keeps its digits where r is near 1


def kl_divergence(logits: Tensor, reference_logits: Tensor) -> Tensor:
    """KL(π, π_ref) over the whole vocabulary: logits (..., V) of both -> (...). No estimate."""
    log_p, log_q = logits.log_softmax(-1), reference_logits.log_softmax(-1)
    return F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(-1)  # p (log p - log q)


def kl_penalized_rewards(rewards: Tensor, kl: Tensor, mask: Tensor, kl_coef: float) -> Tensor:
    """A reward for each token, (B, T): minus the KL penalty; the response's reward at its end.

    Args:
        rewards: of whole responses, (B,).
        kl: an estimate for each token, (B, T), usually `kl_k1`.
    Source: Ziegler et al. 2019, equation 2; Ouyang et al. 2022, equation 2.

    >>> mask = torch.tensor([[False, True, True, False]])
    >>> kl_penalized_rewards(torch.tensor([1.0]), torch.ones(1, 4), mask, kl_coef=0.25)
    tensor([[ 0.0000, -0.2500,  0.7500,  0.0000]])
    """
    is_last = mask & (mask.flip(1).cumsum(1).flip(1) == 1)  # no token of the response follows
    return (rewards[:, None] * is_last - kl_coef * kl).masked_fill(~mask, 0)


# -- policies --------------------------------------------------------------------------------------


def group_advantages(rewards: Tensor, divide_by_std: bool = True) -> Tensor:
    """How much better than the mean of its group each response is: (N, G) -> (N, G).

    The mean over responses to the same prompt takes the place of a learned value function. Where
    all rewards of a group are equal, nothing can be learned from it: its advantages are 0.

    Args:
        rewards: row n holds those of the G responses to prompt n.
        divide_by_std: divide by the group's standard deviation, as Shao et al. 2024 do. Then
            prompts that are nearly always or nearly never solved count more than others; Liu et
            al. 2025 leave it out.
    Raises: ValueError for fewer than two responses to a prompt.
    Source: Shao et al. 2024 (GRPO), section 4.1.2; Liu et al. 2025 ("Dr. GRPO"), section 3.2.

    >>> group_advantages(torch.tensor([[1.0, 0.0, 0.0, 1.0]]), divide_by_std=False)
    tensor([[ 0.5000, -0.5000, -0.5000,  0.5000]])
    """
    if rewards.ndim != 2 or rewards.shape[1] < 2:
        raise ValueError(
            f"rewards have shape {tuple(rewards.shape)}; give (prompts, responses to each), at "
            "least two responses: one alone has no group to be compared with."
        )
    advantages = rewards - rewards.mean(1, keepdim=True)
    if divide_by_std:
        # Equal rewards have no spread: the 1e-4 turns 0/0 into 0.
        advantages = advantages / (rewards.std(1, keepdim=True) + 1e-4)
    return advantages


def gae(
    rewards: Tensor,
    values: Tensor,
    mask: Tensor | None = None,
    gamma: float = 1.0,
    lam: float = 0.95,
) -> Tensor:
    """Generalized advantage estimation, (B, T): how much better than expected each action was.

        δ_t = r_t + γ V_{t+1} - V_t        A_t = δ_t + γ λ A_{t+1}

    λ = 0 trusts the value function (little noise, its bias); λ = 1 trusts the rewards that came
    (no bias, their noise). After a response's last token value and advantage are 0.

    Args:
        rewards: of each token, (B, T); see `kl_penalized_rewards`.
        values: V_t, the return expected before token t is written, (B, T). `values` plus the
            advantages are the returns that the value function is trained on.
        mask: (B, T); None if all tokens belong to responses.
        gamma: γ, the discount of a later reward; 1 for texts.
        lam: λ, from 0 to 1.
    Source: Schulman et al. 2016, equations 11 to 16.
    """
    if mask is not None:
        rewards, values = rewards.masked_fill(~mask, 0), values.masked_fill(~mask, 0)
    next_values = F.pad(values[:, 1:], (0, 1))  # V_{t+1}, and 0 after the end
    deltas = rewards + gamma * next_values - values
    advantage, advantages = torch.zeros_like(values[:, 0]), []
    for delta in deltas.unbind(1)[::-1]:  # from the last token to the first
        advantage = delta + gamma * lam * advantage
        advantages.append(advantage)
    result = torch.stack(advantages[::-1], 1)
    return result if mask is None else result.masked_fill(~mask, 0)


def clipped_policy_loss(
    log_probs: Tensor, old_log_probs: Tensor, advantages: Tensor, clip: float = 0.2
) -> Tensor:
    """PPO's loss of each token, -min(ρ A, clip(ρ, 1 - ε, 1 + ε) A) with ρ = π / π_old: (B, T).

    Once a token is more than ε likelier than when it was sampled, a positive advantage pushes no
    further; likewise downwards. At ρ = 1 the gradient is that of REINFORCE, -A ∇ log π.

    Args:
        log_probs: under the policy that is trained, (B, T).
        old_log_probs: under the policy that wrote the responses, without gradients.
        advantages: (B, T), or (B, 1) for one that all tokens of a response share.
        clip: ε.
    Source: Schulman et al. 2017 (PPO), equation 7.
    """
    ratio = (log_probs - old_log_probs).exp()
    clipped = ratio.clamp(1 - clip, 1 + clip)
    return -torch.minimum(ratio * advantages, clipped * advantages)


def value_loss(values: Tensor, returns: Tensor, mask: Tensor) -> Tensor:
    """Half the mean squared error of a value function over the tokens of responses: a scalar.

    Args:
        values: predicted, (B, T).
        returns: what they should have been, (B, T), without gradients: old values + `gae`.
    Source: Schulman et al. 2017, equation 9.
    """
    return masked_mean((values - returns).square() / 2, mask)
