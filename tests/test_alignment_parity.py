"""Alignment's losses beside trl's, on the same tensors and the same weights.

trl has its formulas inside its trainers. So the trainers' own methods are called here, with the
settings that they read in place of a whole trainer, and with a model that `to_hf` wrote. trl has no
GAE any more: `test_alignment.py` holds ours equal to the formula in double precision.
"""

from collections import defaultdict
from contextlib import nullcontext
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from helpers import ids_for, model_of, randomize
from torch.testing import assert_close
from transformers import LlamaForCausalLM

from fmcourse import pretrained
from fmcourse.alignment import (
    RewardModel,
    direct_preference,
    losses,
    pad_responses,
    policy_gradient,
    response_log_probs,
    reward_modelling,
)

pytestmark = pytest.mark.slow  # importing trl alone takes longer than all tests next door


@pytest.fixture(scope="module")
def trl():
    # Imported here, so that the fast tests never wait for it.
    import trl
    from trl.trainer.utils import add_fused_lm_head

    names = ("GRPOTrainer", "DPOTrainer", "RewardTrainer")
    trainers = {name: getattr(trl, name) for name in names}
    return SimpleNamespace(**trainers, add_fused_lm_head=add_fused_lm_head)


def same(value: torch.Tensor, *_: object, **__: object) -> torch.Tensor:
    return value


def settings(**fields: object) -> SimpleNamespace:
    """What a trainer's method reads besides its own settings: one process, metrics to fill."""
    accelerator = SimpleNamespace(
        gather=same,
        gather_for_metrics=same,
        reduce=same,
        autocast=nullcontext,
        num_processes=1,
        is_main_process=True,
        process_index=0,
        device=torch.device("cpu"),
    )
    common = dict(
        accelerator=accelerator,
        model=SimpleNamespace(training=False, is_gradient_checkpointing=False),
        _metrics=defaultdict(lambda: defaultdict(list)),
        _total_train_tokens=0,
        aux_loss_enabled=False,
    )
    return SimpleNamespace(**(common | fields))


@pytest.fixture(scope="module")
def models(trl, tmp_path_factory):
    """Our policy and reference, and the same in transformers with trl's head."""
    ours, theirs = [], []
    for seed in (0, 1):
        model = randomize(model_of("llama"), std=0.2, seed=seed)
        folder = tmp_path_factory.mktemp("llama")
        pretrained.to_hf(model, folder)
        peer = LlamaForCausalLM.from_pretrained(folder).eval()
        outputs = ("log_probs", "entropy", "log_sum_sq_probs", "mean_logits", "is_top1")
        trl.add_fused_lm_head(peer, outputs=outputs)
        ours.append(model)
        theirs.append(peer)
    return SimpleNamespace(ours=ours, theirs=theirs)


def rows() -> tuple[torch.Tensor, torch.Tensor]:
    """Eight prompts of 4 tokens with responses of different lengths."""
    texts, lengths = ids_for("llama", 8, 14).tolist(), [10, 3, 7, 1, 5, 10, 2, 8]
    responses = [text[4 : 4 + n] for text, n in zip(texts, lengths, strict=True)]
    return pad_responses([text[:4] for text in texts], responses)


@pytest.mark.parametrize("beta", [0.05, 0.7])
def test_dpo_is_trls(trl, models, beta):
    ids, mask = rows()
    pairs, pair_mask = ids.unflatten(0, (-1, 2)), mask.unflatten(0, (-1, 2))
    policy, reference = models.ours
    before = response_log_probs(reference, pairs, pair_mask)
    loss = direct_preference(policy, (pairs, pair_mask, before), beta=beta)

    trainer = settings(
        model=models.theirs[0],
        beta=beta,
        loss_types=["sigmoid"],
        loss_weights=[1.0],
        label_smoothing=0.0,
        f_divergence_type="reverse_kl",
        ld_alpha=None,
        precompute_ref_logps=False,
        ref_model=models.theirs[1],
        use_weighting=False,
        args=SimpleNamespace(gradient_checkpointing_kwargs=None),
    )
    order = torch.tensor([0, 2, 4, 6, 1, 3, 5, 7])  # trl: all chosen, then all rejected
    inputs = {
        "input_ids": ids[order],
        "attention_mask": torch.ones_like(ids),
        "completion_mask": mask[order].long(),
    }
    theirs = trl.DPOTrainer._compute_loss(trainer, models.theirs[0], inputs, False)
    assert_close(loss.value, theirs, rtol=1e-4, atol=1e-5)
    metrics = trainer._metrics["eval"]
    assert loss.parts["margin"] == pytest.approx(metrics["rewards/margins"][0], rel=1e-3)
    assert loss.parts["accuracy"] == metrics["rewards/accuracies"][0]


def test_bradley_terry_is_trls(trl):
    ids, mask = (part.unflatten(0, (-1, 2)) for part in rows())
    model = randomize(RewardModel(model_of("llama")))
    rewards = model(ids.flatten(0, 1), mask.flatten(0, 1))
    stacked = torch.cat([rewards[::2], rewards[1::2]])[:, None]  # chosen, then rejected

    def peer(**_: object) -> SimpleNamespace:
        return SimpleNamespace(logits=stacked)

    trainer = settings(args=SimpleNamespace(center_rewards_coefficient=None))
    theirs = trl.RewardTrainer.compute_loss(trainer, peer, {"attention_mask": mask})
    loss = reward_modelling(model, (ids, mask))
    assert_close(loss.value, theirs)
    assert loss.parts["accuracy"] == trainer._metrics["eval"]["accuracy"][0]


def grpo_settings(trl, loss_type: str, beta: float) -> SimpleNamespace:
    trainer = settings(
        beta=beta,
        loss_type=loss_type,
        epsilon_low=0.2,
        epsilon_high=0.2,
        importance_sampling_level="token",
        top_entropy_quantile=1.0,
        off_policy_mask_threshold=None,
        current_gradient_accumulation_steps=1,
        use_vllm=False,
        _entropy_bonus_enabled=False,
        args=SimpleNamespace(delta=None, use_bias_correction_kl=False),
    )
    method = trl.GRPOTrainer._get_per_token_logps_and_entropies
    trainer._get_per_token_logps_and_entropies = partial(method, trainer)
    return trainer


@pytest.mark.parametrize(("mean", "loss_type"), [("response", "grpo"), ("token", "bnpo")])
@pytest.mark.parametrize("kl_coef", [0.0, 0.3])
def test_the_clipped_loss_with_k3_and_its_gradients_are_trls(trl, models, mean, loss_type, kl_coef):
    ids, mask = rows()
    policy, peer = models.ours[0], models.theirs[0]
    generator = torch.Generator().manual_seed(0)
    advantages = torch.randn(8, generator=generator)
    with torch.no_grad():
        now = losses.token_log_probs(policy(ids[:, :-1]), ids[:, 1:])
    # Old and reference probabilities near the present ones, so that some ratios are clipped.
    old, reference = (now + 0.3 * torch.randn(now.shape, generator=generator) for _ in range(2))
    batch = (ids, mask, advantages, old, reference)
    loss = policy_gradient(policy, batch, kl_coef=kl_coef, mean=mean)

    trainer = grpo_settings(trl, loss_type, beta=kl_coef)
    inputs = {
        "prompt_ids": ids[:, :4],
        "prompt_mask": torch.ones_like(ids[:, :4]),
        "completion_ids": ids[:, 4:],
        "completion_mask": mask[:, 4:].long(),
        "advantages": advantages,
        "old_per_token_logps": old[:, 3:],
        "ref_per_token_logps": reference[:, 3:],
    }
    theirs = trl.GRPOTrainer._compute_loss(trainer, peer, inputs)
    assert_close(loss.value, theirs, rtol=1e-4, atol=1e-6)
    assert 0.1 < trainer._metrics["eval"]["clip_ratio/region_mean"][0] < 0.9
    found = [
        torch.autograd.grad(value, list(model.parameters()))
        for value, model in ((loss.value, policy), (theirs, peer))
    ]
    # Weights are stored in another order and cut there; their norms tell any difference.
    norms = [sum(grad.square().sum() for grad in grads).sqrt() for grads in found]
    assert_close(*norms, rtol=1e-4, atol=1e-6)
    embeddings = [next(g for g in grads if g.shape == (53, 48)) for grads in found]
    assert_close(*embeddings, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("divide_by_std", [True, False])
def test_group_advantages_are_trls(trl, divide_by_std):
    rewards = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    rewards[1] = 0.5  # a group that is all alike
    ids = [[1, 2]] * 12
    logs = {"prompt": [], "completion": [], "rewards": {"reward": []}, "advantages": []}
    trainer = settings(
        args=SimpleNamespace(
            per_device_eval_batch_size=12,
            gradient_accumulation_steps=1,
            steps_per_generation=1,
            gradient_checkpointing_kwargs=None,
        ),
        _generate=lambda prompts: (ids, ids, None, ["x"] * 12, None, None, None, None),
        _calculate_rewards=lambda *_: rewards.flatten()[:, None].clone(),
        _tokenizer=SimpleNamespace(pad_token_id=0),
        _logs=logs | {"extra": {}},
        _pending_extra_logs={},
        _pending_metrics={},
        beta=0.0,
        environment_factories=None,
        environments=None,
        mask_truncated_completions=False,
        multi_objective_aggregation="sum_then_normalize",
        num_generations_eval=4,
        num_iterations=1,
        pad_to_multiple_of=None,
        reward_func_names=["reward"],
        reward_weights=torch.ones(1),
        scale_rewards="group" if divide_by_std else "none",
        tools=None,
        use_vllm=False,
    )
    output = trl.GRPOTrainer._generate_and_score_completions(trainer, [{"prompt": "x"}] * 12)
    ours = losses.group_advantages(rewards, divide_by_std)
    assert_close(ours.flatten(), output["advantages"])
