"""Reinforcement learning of a language model: GRPO, and with it the plain policy gradient.

    N prompts   G responses to each (a group)   B = N G responses   T tokens

Each round:
    sample      G responses to each of N prompts, with the policy as it is now
    score       a reward for each response: a checker, a reward model, any function of texts
    compare     advantages: how much better than the mean of its group
    update      one or more steps of `fit` on the clipped loss, plus KL to a frozen reference

`Rollouts` does the first three as the batches that `fit` asks for, `policy_gradient` is the loss of
the fourth, and `grpo` puts both together. Source: Shao et al. 2024 (DeepSeekMath), section 4.1.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from fmcourse.alignment.losses import (
    clipped_policy_loss,
    group_advantages,
    kl_divergence,
    kl_k3,
    masked_mean,
    masked_sum,
    mean_per_response,
    token_entropies,
    token_log_probs,
)
from fmcourse.alignment.preferences import pad_responses, shift
from fmcourse.alignment.sampling import decode_responses, sample_responses
from fmcourse.generation.text import Prompt, encode_prompts
from fmcourse.models.modes import evaluating
from fmcourse.models.transformer import Transformer
from fmcourse.objectives import Loss, own_rows
from fmcourse.training import EpochBatches, derive_seed, fit
from fmcourse.training.optimizers import OptimizerConfig

# (prompts, responses), as many of each -> the reward of each response.
Reward = Callable[[Sequence[Prompt], Sequence[str]], Sequence[float] | Tensor]
# Constant learning rate: the data depends on the policy, so there is no end to decay towards.
POLICY_ADAMW = OptimizerConfig(
    matrix_optimizer="adamw", lr=5e-4, warmup=0.0, min_lr_ratio=1.0, betas=(0.9, 0.99)
)
MEANS = {"response": mean_per_response, "token": masked_mean}


@dataclass
class PolicyHistory:
    """One entry for each round of sampling, about the responses of that round.

    Args:
        reward: mean reward.
        kl: KL of the policy to the reference, nats per response: over the whole vocabulary at each
            token of the response, added up.
        entropy: of the policy's distribution over the next token, nats per token.
        length: tokens per response, with the end.
        samples: texts of the responses to the first prompt.
    """

    reward: list[float] = field(default_factory=list)
    kl: list[float] = field(default_factory=list)
    entropy: list[float] = field(default_factory=list)
    length: list[float] = field(default_factory=list)
    samples: list[list[str]] = field(default_factory=list)

    def __repr__(self) -> str:
        if not self.reward:
            return "PolicyHistory(no rounds yet)"
        return (
            f"PolicyHistory({len(self.reward)} rounds, reward {self.reward[0]:.3f} to "
            f"{self.reward[-1]:.3f}, KL {self.kl[-1]:.3f} nats per response)"
        )


def policy_gradient(
    model: nn.Module,
    batch: tuple[Tensor, ...],
    generator: torch.Generator | None = None,
    *,
    clip: float = 0.2,
    kl_coef: float = 0.02,
    mean: Literal["response", "token"] = "response",
) -> Loss:
    """The clipped policy loss plus the KL penalty, at the tokens of sampled responses.

    Args:
        model: the policy, token ids (B, T) -> logits (B, T, V).
        batch: from `Rollouts`: ids (B, T), mask (B, T), advantages (B,), and log-probabilities
            (B, T - 1) of the labels when they were sampled, and under the reference.
        clip: ε of PPO. It matters from the second update on: in the first the ratio is 1.
        kl_coef: weight of the KL estimate k3; 0 leaves the policy free.
        mean: over what the loss is averaged, see `mean_per_response` and `masked_mean`.
    Raises: ValueError for another `mean`.
    Source: Shao et al. 2024, equation 3 with outcome supervision.
    """
    if mean not in MEANS:
        raise ValueError(f"mean={mean!r} is not known; choose {' or '.join(map(repr, MEANS))}.")
    ids, mask, advantages, old, reference = own_rows(generator, *batch)
    inputs, labels, mask = shift(ids, mask)
    log_probs = token_log_probs(model(inputs), labels)
    policy_loss = clipped_policy_loss(log_probs, old, advantages[:, None], clip)
    kl = kl_k3(log_probs, reference)
    value = MEANS[mean](policy_loss + kl_coef * kl, mask)
    parts = {"kl": MEANS[mean](kl.detach(), mask).item()}
    # Weights of a batch computed in parts: rows for the first mean, tokens for the second.
    return Loss(value, parts, len(ids) if mean == "response" else int(mask.sum()))


class Rollouts:
    """Batches that the policy writes itself: `rollouts[step]` for `policy_gradient`, see there.

    A batch is a function of the seed, the step and the weights of that moment, so a run repeats
    exactly. `history` tells what was sampled.

    Args:
        policy: the model that is trained. It needs a KV cache, and no dropout.
        reference: a frozen copy, or another model with the same vocabulary.
        prompts: texts, or lists of token ids; each once in every epoch.
        reward: (prompts, responses) -> the reward of each response, texts without their end.
        end_id: the token that ends a response.
        max_new_tokens: longest response, with its end.
        batch: prompts in a round, N.
        group: responses to each prompt, G.
        updates: how many steps use one round of samples.
        divide_by_std: see `group_advantages`.
    Raises: ValueError for a policy with dropout, or a group of one.
    """

    def __init__(
        self,
        policy: Transformer,
        reference: nn.Module,
        tokenizer: Any,
        prompts: Sequence[Prompt],
        reward: Reward,
        *,
        end_id: int,
        max_new_tokens: int,
        batch: int = 32,
        group: int = 8,
        updates: int = 1,
        divide_by_std: bool = True,
        seed: int = 0,
    ) -> None:
        if dropout := getattr(policy.config, "dropout", 0.0):
            raise ValueError(
                f"dropout={dropout} would make the ratio of new to old probabilities random; "
                "give a policy with dropout=0."
            )
        if group < 2 or updates < 1:
            raise ValueError(
                f"group={group} and updates={updates}; give at least two responses to a prompt, "
                "which are compared with each other, and at least one update."
            )
        self.policy, self.reference, self.tokenizer = policy, reference, tokenizer
        self.prompts, self.reward = EpochBatches(prompts, list, batch, seed), reward
        self.end_id, self.max_new_tokens = end_id, max_new_tokens
        self.group, self.updates = group, updates
        self.divide_by_std, self.seed = divide_by_std, seed
        self.history = PolicyHistory()
        self.round, self.current = -1, ()

    def __getitem__(self, step: int) -> tuple[Tensor, ...]:
        if step // self.updates != self.round:
            self.round = step // self.updates
            self.current = self.sample(self.round)
        return self.current

    def sample(self, number: int) -> tuple[Tensor, ...]:
        """Sample, score and compare the responses of one round; see `policy_gradient`."""
        # The G responses to one prompt stand next to each other.
        prompts = [prompt for prompt in self.prompts[number] for _ in range(self.group)]
        responses = sample_responses(
            self.policy,
            self.tokenizer,
            prompts,
            max_new_tokens=self.max_new_tokens,
            end_id=self.end_id,
            seed=derive_seed(self.seed, number),
        )
        texts = decode_responses(self.tokenizer, responses, self.end_id)
        rewards = self.rewards_of(prompts, texts)  # (B,)
        groups = rewards.unflatten(0, (-1, self.group))  # (N, G)
        advantages = group_advantages(groups, self.divide_by_std).flatten()
        ids, mask = pad_responses(encode_prompts(self.tokenizer, prompts), responses)
        old, reference = self.compare(ids, mask)
        self.history.reward.append(rewards.mean().item())
        self.history.samples.append(texts[: self.group])
        return ids, mask, advantages, old, reference

    def rewards_of(self, prompts: list[Prompt], texts: list[str]) -> Tensor:
        """The reward of each response, (B,). Raises: ValueError unless there is one for each."""
        rewards = torch.as_tensor(self.reward(prompts, texts), dtype=torch.float32)
        if rewards.shape != (len(texts),) or not rewards.isfinite().all():
            raise ValueError(
                f"the reward function gave {tuple(rewards.shape)} for {len(texts)} responses, "
                f"{int((~rewards.isfinite()).sum())} of them not finite; it must return one "
                "finite number for each."
            )
        return rewards

    def compare(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities of the labels under policy and reference, (B, T - 1); fills `history`.

        Args:
            ids, mask: prompt + response, (B, T).
        """
        device = next(self.policy.parameters()).device
        inputs, labels, mask = (part.to(device) for part in shift(ids, mask))
        with evaluating(self.policy), evaluating(self.reference):
            logits, reference_logits = self.policy(inputs), self.reference(inputs)
            kl = masked_sum(kl_divergence(logits, reference_logits), mask).mean().item()
            entropy = masked_mean(token_entropies(logits), mask).item()
            old = token_log_probs(logits, labels)
            reference = token_log_probs(reference_logits, labels)
        self.history.kl.append(kl)
        self.history.entropy.append(entropy)
        self.history.length.append(mask.sum(1).float().mean().item())
        # Clones made outside: tensors from inside `evaluating` may not take part in training.
        return old.clone(), reference.clone()


def grpo(
    policy: Transformer,
    tokenizer: Any,
    prompts: Sequence[Prompt],
    reward: Reward,
    *,
    steps: int,
    end_id: int,
    max_new_tokens: int,
    batch: int = 32,
    group: int = 8,
    updates: int = 1,
    clip: float = 0.2,
    kl_coef: float = 0.02,
    divide_by_std: bool = True,
    mean: Literal["response", "token"] = "response",
    reference: nn.Module | None = None,
    optimizer: OptimizerConfig = POLICY_ADAMW,
    seed: int = 0,
    progress: bool = True,
) -> PolicyHistory:
    """Train `policy` in place to get more reward: group relative policy optimization.

    Args:
        steps: rounds of sampling, each followed by `updates` steps of the optimizer.
        reference: what the KL penalty holds the policy to; by default a frozen copy of the policy
            as it is now.
        optimizer, seed, progress: see `fit`; the rest: see `Rollouts` and `policy_gradient`.
    Raises: ValueError naming the argument.
    """
    if reference is None:
        reference = copy.deepcopy(policy).requires_grad_(False)
    rollouts = Rollouts(
        policy,
        reference,
        tokenizer,
        prompts,
        reward,
        end_id=end_id,
        max_new_tokens=max_new_tokens,
        batch=batch,
        group=group,
        updates=updates,
        divide_by_std=divide_by_std,
        seed=seed,
    )
    objective = partial(policy_gradient, clip=clip, kl_coef=kl_coef, mean=mean)
    run = {"seed": seed, "optimizer": optimizer, "progress": progress}
    fit(policy, objective, rollouts, steps=steps * updates, **run)
    return rollouts.history
