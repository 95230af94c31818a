"""Alignment: its formulas against plain loops in double precision, and what they must do.

`test_alignment_parity.py` holds them equal to the reference library's.
"""

import copy
import math
from functools import partial
from itertools import combinations

import pytest
import torch
from helpers import SHAPES, ids_for, model_of, randomize
from torch.autograd import gradcheck
from torch.nn import functional as F
from torch.testing import assert_close

from fmcourse.alignment import (
    PolicyHistory,
    Preference,
    RewardModel,
    Rollouts,
    calibration,
    calibration_error,
    direct_preference,
    encode_preferences,
    encode_responses,
    grpo,
    losses,
    pad_responses,
    pass_at_k,
    policy_gradient,
    preference_accuracy,
    response_log_probs,
    reward_modelling,
    sample_responses,
    sample_texts,
    score_responses,
    score_texts,
    sums,
    supervised_fine_tuning,
)
from fmcourse.alignment.preferences import trim_padding
from fmcourse.alignment.sampling import decode_responses
from fmcourse.alignment.tuning import sum_log_probs
from fmcourse.generation import generate
from fmcourse.models.transformer import Transformer, bert, gpt2, modern
from fmcourse.tokenizers import CharTokenizer
from fmcourse.training import RandomBatches, fit
from fmcourse.training.optimizers import OptimizerConfig

B, T, V = 5, 7, 11
LENGTHS = [7, 1, 4, 6, 2]
MASK = torch.arange(T) < torch.tensor(LENGTHS)[:, None]
ADAMW = OptimizerConfig(matrix_optimizer="adamw", lr=1e-2, warmup=0.0, min_lr_ratio=1.0)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


# -- tokens ----------------------------------------------------------------------------------------


def test_log_probabilities_are_those_of_the_labels():
    logits, labels = draw(B, T, V), torch.randint(V, (B, T))
    found = losses.token_log_probs(logits, labels)
    for b in range(B):
        for t in range(T):
            total = sum(math.exp(x) for x in logits[b, t].tolist())
            expected = logits[b, t, labels[b, t]].item() - math.log(total)
            assert found[b, t].item() == pytest.approx(expected, abs=1e-12)


def test_entropy_is_log_v_for_a_blind_guess_and_zero_for_certainty():
    certain = torch.full((V,), -math.inf).index_fill(0, torch.tensor([3]), 0.0)
    found = losses.token_entropies(torch.stack([torch.zeros(V), certain]))
    assert_close(found, torch.tensor([math.log(V), 0.0]))


def test_the_two_means_weigh_long_responses_differently():
    values, mask = torch.tensor([[1.0, 1, 1], [4, 9, 9]]), torch.tensor([[1, 1, 1], [1, 0, 0]]) > 0
    assert losses.masked_mean(values, mask).item() == 7 / 4
    assert losses.mean_per_response(values, mask).item() == 5 / 2


@pytest.mark.parametrize("mean", [losses.masked_mean, losses.mean_per_response])
@pytest.mark.parametrize("padding", [math.inf, math.nan])
def test_what_stands_at_padding_changes_no_mean(mean, padding):
    values = draw(B, T)
    assert_close(mean(values.masked_fill(~MASK, padding), MASK), mean(values, MASK))


# -- preferences -----------------------------------------------------------------------------------


def test_bradley_terry_in_plain_numbers():
    chosen, rejected = draw(B), draw(B, seed=1)
    pairs = zip(chosen.tolist(), rejected.tolist(), strict=True)
    expected = [-math.log(1 / (1 + math.exp(b - a))) for a, b in pairs]
    found = losses.bradley_terry_loss(chosen, rejected).item()
    assert found == pytest.approx(sum(expected) / B, rel=1e-12)


def test_bradley_terry_survives_large_differences():
    loss = losses.bradley_terry_loss(torch.tensor([-500.0]), torch.tensor([500.0]))
    assert loss.item() == 1000


def test_dpo_in_plain_numbers():
    values = [draw(B, seed=seed) for seed in range(4)]
    expected = 0.0
    for a, b, c, d in zip(*[value.tolist() for value in values], strict=True):
        expected -= math.log(1 / (1 + math.exp(-0.3 * ((a - c) - (b - d))))) / B
    assert losses.dpo_loss(*values, beta=0.3).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("beta", [0.01, 0.1, 3.0])
def test_dpo_at_the_reference_costs_log_2(beta):
    chosen, rejected = draw(B), draw(B, seed=1)
    assert losses.dpo_loss(chosen, rejected, chosen, rejected, beta).item() == math.log(2)


def test_dpo_makes_the_chosen_likelier_and_mends_what_is_wrong_most():
    policy = [draw(2).requires_grad_(), draw(2, seed=1).requires_grad_()]
    chosen, rejected = policy
    # Pair 0 is ordered rightly already, pair 1 wrongly.
    references = chosen.detach() - torch.tensor([3.0, -3.0]), rejected.detach()
    losses.dpo_loss(*policy, *references, beta=1.0).backward()
    assert (chosen.grad < 0).all() and (rejected.grad > 0).all()  # the loss falls as chosen rises
    assert chosen.grad[1].abs() > 10 * chosen.grad[0].abs()


def test_gradients_are_those_of_finite_differences():
    many = [draw(B, seed=seed).requires_grad_() for seed in range(4)]
    assert gradcheck(losses.bradley_terry_loss, many[:2])
    assert gradcheck(losses.dpo_loss, many)
    a, b, c = (draw(B, T, seed=seed).requires_grad_() for seed in range(3))
    for estimate in (losses.kl_k1, losses.kl_k2, losses.kl_k3, losses.clipped_policy_loss):
        rest = (c.detach(),) if estimate is losses.clipped_policy_loss else ()
        assert gradcheck(lambda x, f=estimate, rest=rest: f(x, b.detach(), *rest), (a,))
    assert gradcheck(lambda values: losses.value_loss(values, c.detach(), MASK), (a,))


# -- the distance to the reference -----------------------------------------------------------------


def test_kl_estimators_in_plain_numbers():
    policy, reference = draw(B, T), draw(B, T, seed=1)
    found = [f(policy, reference) for f in (losses.kl_k1, losses.kl_k2, losses.kl_k3)]
    for b in range(B):
        for t in range(T):
            ratio = math.exp(reference[b, t] - policy[b, t])
            expected = [-math.log(ratio), math.log(ratio) ** 2 / 2, ratio - 1 - math.log(ratio)]
            assert [each[b, t].item() for each in found] == pytest.approx(expected, rel=1e-12)


def test_k1_and_k3_are_unbiased_k2_is_not_and_k3_is_never_negative():
    policy, reference = draw(40, V), draw(40, V, seed=1)
    exact = losses.kl_divergence(policy, reference)
    log_p, log_q = policy.log_softmax(-1), reference.log_softmax(-1)

    def expectation(estimate):  # over the samples, each with its probability
        return (log_p.exp() * estimate(log_p, log_q)).sum(-1)

    assert_close(expectation(losses.kl_k1), exact)
    assert_close(expectation(losses.kl_k3), exact)
    assert (expectation(losses.kl_k2) - exact).abs().max() > 0.05
    assert (losses.kl_k1(log_p, log_q) < 0).any()
    assert (losses.kl_k3(log_p, log_q) >= 0).all() and (losses.kl_k2(log_p, log_q) >= 0).all()
    assert (exact > 0).all() and losses.kl_divergence(policy, policy).abs().max() < 1e-12


def test_k3_keeps_its_digits_where_policy_and_reference_are_close():
    policy = torch.full((1,), -1.0)
    reference = policy + 2**-12
    assert losses.kl_k3(policy, reference).item() == pytest.approx(2**-25, rel=1e-2)


def test_the_reward_comes_with_the_last_token_and_the_penalty_with_each():
    rewards, kl = draw(B), draw(B, T, seed=1)
    found = losses.kl_penalized_rewards(rewards, kl, MASK, kl_coef=0.5)
    for b, length in enumerate(LENGTHS):
        expected = [-0.5 * x for x in kl[b].tolist()]
        expected[length - 1] += rewards[b].item()
        assert found[b].tolist() == pytest.approx(expected[:length] + [0.0] * (T - length))


# -- policies --------------------------------------------------------------------------------------


def loop_gae(rewards, values, length, gamma, lam):
    advantages, advantage = [0.0] * length, 0.0
    for t in reversed(range(length)):
        after = values[t + 1] if t + 1 < length else 0.0
        advantage = rewards[t] + gamma * after - values[t] + gamma * lam * advantage
        advantages[t] = advantage
    return advantages


@pytest.mark.parametrize("gamma", [0.9, 1.0])
@pytest.mark.parametrize("lam", [0.0, 0.7, 1.0])
def test_gae_in_plain_numbers_whatever_stands_at_padding(gamma, lam):
    rewards, values = draw(B, T), draw(B, T, seed=1)
    found = losses.gae(rewards, values, MASK, gamma, lam)
    for b, length in enumerate(LENGTHS):
        expected = loop_gae(rewards[b].tolist(), values[b].tolist(), length, gamma, lam)
        assert found[b].tolist() == pytest.approx(expected + [0.0] * (T - length), abs=1e-12)
    padded = [part.masked_fill(~MASK, math.nan) for part in (rewards, values)]
    assert_close(losses.gae(*padded, MASK, gamma, lam), found)


def test_gae_without_lambda_is_one_step_and_with_lambda_1_the_return():
    rewards, values = draw(B, T), draw(B, T, seed=1)
    after = F.pad(values[:, 1:], (0, 1))
    assert_close(losses.gae(rewards, values, lam=0.0), rewards + after - values)
    returns = rewards.flip(1).cumsum(1).flip(1)
    assert_close(losses.gae(rewards, values, lam=1.0), returns - values)


def test_group_advantages_in_plain_numbers():
    rewards = draw(3, 4)
    plain, scaled = (losses.group_advantages(rewards, divide) for divide in (False, True))
    for n in range(3):
        row = rewards[n].tolist()
        mean = sum(row) / 4
        std = (sum((x - mean) ** 2 for x in row) / 3) ** 0.5
        assert plain[n].tolist() == pytest.approx([x - mean for x in row])
        assert scaled[n].tolist() == pytest.approx([(x - mean) / (std + 1e-4) for x in row])


@pytest.mark.parametrize("divide_by_std", [True, False])
def test_a_group_of_equal_rewards_teaches_nothing(divide_by_std):
    found = losses.group_advantages(torch.full((2, 3), 0.7), divide_by_std)
    assert found.abs().max() < 1e-3


@pytest.mark.parametrize("shape", [(4, 1), (4,)])
def test_a_group_needs_two(shape):
    with pytest.raises(ValueError, match=r"give \(prompts, responses to each\), at least two"):
        losses.group_advantages(torch.zeros(shape))


def test_at_the_old_policy_the_gradient_is_reinforces():
    log_probs, advantages = draw(B, T).requires_grad_(), draw(B, 1, seed=1)
    losses.clipped_policy_loss(log_probs, log_probs.detach(), advantages).sum().backward()
    assert_close(log_probs.grad, -advantages.expand(B, T))


@pytest.mark.parametrize(
    ("ratio", "advantage", "moves"),
    [
        (1.3, 1.0, False),  # likelier by enough already
        (1.3, -1.0, True),  # likelier though it was bad: back
        (0.7, -1.0, False),
        (0.7, 1.0, True),
        (1.1, 1.0, True),
        (0.9, -1.0, True),
    ],
)
def test_clipping_stops_the_gradient_only_where_a_token_has_moved_enough(ratio, advantage, moves):
    log_probs = torch.tensor([[math.log(ratio)]]).requires_grad_()
    old, advantages = torch.zeros(1, 1), torch.tensor([[advantage]])
    losses.clipped_policy_loss(log_probs, old, advantages, clip=0.2).sum().backward()
    assert log_probs.grad.item() == pytest.approx(-advantage * ratio if moves else 0.0)


def test_the_value_loss_counts_tokens_of_responses_alone():
    values, returns = draw(B, T), draw(B, T, seed=1)
    expected = [
        (values[b, t] - returns[b, t]).item() ** 2 / 2
        for b, length in enumerate(LENGTHS)
        for t in range(length)
    ]
    found = losses.value_loss(values, returns, MASK).item()
    assert found == pytest.approx(sum(expected) / len(expected))


# -- prompts with responses ------------------------------------------------------------------------

LETTERS = CharTokenizer("abcdef.")
END = 6


def test_a_response_ends_with_its_end_and_the_mask_covers_both():
    ids, mask = encode_responses(LETTERS, [("ab", "cd"), ([4], "")], END)
    assert ids.tolist() == [[0, 1, 2, 3, END], [4, END, 0, 0, 0]]
    assert mask.int().tolist() == [[0, 0, 1, 1, 1], [0, 1, 0, 0, 0]]


def test_preferences_have_the_chosen_response_first():
    pairs = [Preference("a", "b", "cd"), Preference("ab", "ef", "c")]
    ids, mask = encode_preferences(LETTERS, pairs, END)
    assert ids.shape == mask.shape == (2, 2, 5)
    assert [LETTERS.decode(ids[n, 0][mask[n, 0]].tolist()) for n in range(2)] == ["b.", "ef."]
    assert [LETTERS.decode(ids[n, 1][mask[n, 1]].tolist()) for n in range(2)] == ["cd.", "c."]


def test_equal_responses_are_no_preference():
    with pytest.raises(ValueError, match="chosen and rejected are both 'b'; give two different"):
        Preference("a", "b", "b")


def test_as_many_prompts_as_responses():
    with pytest.raises(ValueError, match="2 prompts and 1 responses"):
        pad_responses([[1], [2]], [[3]])


def test_trimming_cuts_what_is_padding_in_every_row():
    ids, mask = pad_responses([[1], [2, 2]], [[3, 3, 3], [4]])
    short = trim_padding(ids[1:], mask[1:])
    assert [part.tolist() for part in short] == [[[2, 2, 4]], [[False, False, True]]]
    with pytest.raises(ValueError, match="no token of ids .* belongs to a response"):
        trim_padding(ids, torch.zeros_like(mask))


def rows_of(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Random prompts with responses of different lengths, for a model of that shape."""
    texts = [row.tolist() for row in ids_for(name, 6, 9)]
    lengths = [9, 3, 6, 4, 8, 5]
    return pad_responses([text[:2] for text in texts], [t[2:n] for t, n in zip(texts, lengths)])  # noqa: B905


@pytest.mark.parametrize("name", ["gpt2", "llama", "modern"])
def test_padding_changes_no_log_probability(name):
    model, (ids, mask) = model_of(name), rows_of(name)
    found = response_log_probs(model, ids, mask, batch=4)
    other = ids.masked_fill(~mask & (torch.arange(ids.shape[1]) > 1), 5)  # another id as padding
    assert_close(response_log_probs(model, F.pad(other, (0, 4)), F.pad(mask, (0, 4))), found)
    for row in range(len(ids)):
        length = int(mask[row].nonzero()[-1]) + 1
        alone = model(ids[row : row + 1, :length]).log_softmax(-1)[0]
        expected = sum(alone[t - 1, ids[row, t]] for t in range(2, length))
        assert_close(found[row], expected)


def test_pairs_are_scored_as_their_rows_are():
    model, (ids, mask) = model_of("gpt2"), rows_of("gpt2")
    pairs = response_log_probs(model, ids.unflatten(0, (-1, 2)), mask.unflatten(0, (-1, 2)))
    assert_close(pairs.flatten(), response_log_probs(model, ids, mask))


# -- objectives ------------------------------------------------------------------------------------


def test_fine_tuning_learns_the_response_alone():
    model, (ids, mask) = model_of("gpt2"), rows_of("gpt2")
    loss = supervised_fine_tuning(model, (ids, mask))
    labels = ids.masked_fill(~mask, -100)[:, 1:]
    expected = F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), labels.flatten())
    assert_close(loss.value, expected)
    assert loss.tokens == int(mask.sum())


def test_direct_preference_begins_at_log_2_and_learns():
    model = randomize(Transformer(SHAPES["gpt2"]), std=0.1)
    ids, mask = (part.unflatten(0, (-1, 2)) for part in rows_of("gpt2"))
    reference = response_log_probs(model, ids, mask)
    batch = (ids, mask, reference)
    before = direct_preference(model, batch)
    assert before.value.item() == pytest.approx(math.log(2)) and before.tokens == 3
    fit(model, direct_preference, [batch], steps=20, optimizer=ADAMW, progress=False)
    after = direct_preference(model, batch)
    assert after.parts["accuracy"] == 1 and after.parts["margin"] > 0.5
    assert after.value.item() < 0.5


OBJECTIVES = {
    "sft": supervised_fine_tuning,
    "dpo": direct_preference,
    "reward": reward_modelling,
    "response": policy_gradient,
    "token": partial(policy_gradient, mean="token"),
}


def batch_for(kind: str, model: torch.nn.Module) -> tuple[torch.Tensor, ...]:
    ids, mask = rows_of("gpt2")
    if kind == "sft":
        return ids, mask
    if kind in ("response", "token"):
        old = -torch.rand(2, 6, 8, generator=torch.Generator().manual_seed(0)) - 2
        return ids, mask, draw(6).float(), *old
    pairs = tuple(part.unflatten(0, (-1, 2)) for part in (ids, mask))
    return pairs if kind == "reward" else (*pairs, response_log_probs(model, *pairs) + 1)


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_an_objective_may_be_computed_in_parts(kind):
    runs = []
    for accumulate in (1, 2):
        model = model_of("gpt2")
        batch = batch_for(kind, model)
        model = randomize(RewardModel(model)) if kind == "reward" else model
        run = {"steps": 3, "optimizer": ADAMW, "progress": False, "accumulate": accumulate}
        runs.append(fit(model, OBJECTIVES[kind], [batch], **run))
    # Losses, since weights without influence on them move by what rounding leaves of a gradient.
    assert_close(*[torch.tensor(run.losses) for run in runs], rtol=1e-3, atol=1e-4)
    assert runs[0].losses[2] < runs[0].losses[0] - 0.01 and runs[0].tokens == runs[1].tokens


# -- reward models ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gpt2", "llama", "modern"])
def test_a_reward_is_read_at_the_last_token_of_the_response(name):
    model, (ids, mask) = randomize(RewardModel(model_of(name))), rows_of(name)
    found = score_responses(model, ids, mask, batch=4)
    assert_close(score_responses(model, F.pad(ids, (0, 3), value=7), F.pad(mask, (0, 3))), found)
    for row in range(len(ids)):
        length = int(mask[row].nonzero()[-1]) + 1
        states = model.backbone.states(ids[row : row + 1, :length])
        assert_close(found[row], model.head(states[0, -1])[0])


def test_a_reward_model_on_a_new_backbone_is_blind_at_first_but_has_gradients():
    torch.manual_seed(0)
    model = RewardModel(Transformer(SHAPES["gpt2"]))  # its blocks are the identity
    ids, mask = batch_for("reward", model.backbone)
    ids[..., -1], mask[..., -1] = 3, True  # all responses end alike
    loss = reward_modelling(model, (ids, mask))
    assert loss.value.item() == pytest.approx(math.log(2), abs=1e-5)
    loss.value.backward()
    assert model.backbone.stack.blocks[0].attention.out_proj.weight.grad.abs().max() > 1e-6


def test_a_reward_model_learns_a_preference_and_generalizes():
    words = ["".join(pair) for pair in combinations("abcdef", 2)]
    pairs = [Preference("a", word + "f", word + "e") for word in words]  # ends with f, not with e
    ids, mask = encode_preferences(LETTERS, pairs, END)
    torch.manual_seed(0)
    model = RewardModel(Transformer(modern(vocab_size=7, context=8, width=16, depth=1, heads=2)))
    data = RandomBatches(ids[:10], mask[:10], batch=8)
    fit(model, reward_modelling, data, steps=30, optimizer=ADAMW, progress=False)
    assert preference_accuracy(score_responses(model, ids[10:], mask[10:])) == 1
    high, low = score_texts(model, LETTERS, ["a", "a"], ["bf", "be"], END)
    assert high > low


def test_a_reward_model_refuses_what_it_cannot_read():
    with pytest.raises(ValueError, match="looks both ways, so it would read the padding"):
        RewardModel(Transformer(bert(vocab_size=9, context=8, width=8, depth=1, heads=1)))
    model, (ids, mask) = RewardModel(model_of("gpt2")), rows_of("gpt2")
    mask[4] = False
    with pytest.raises(ValueError, match="row 4 has no token of a response"):
        model(ids, mask)


def test_calibration_of_rewards_that_are_the_true_ones():
    generator = torch.Generator().manual_seed(0)
    margins = 2 * torch.randn(20_000, generator=generator)
    flipped = torch.rand(20_000, generator=generator) > margins.sigmoid()
    margins = torch.where(flipped, -margins, margins)  # the preferred one of each pair comes first
    rewards = torch.stack([margins, torch.zeros(20_000)], 1)
    diagram = calibration(rewards)
    assert len(diagram) == 5 and sum(one.count for one in diagram) == 20_000
    assert calibration_error(diagram) < 0.015 < calibration_error(calibration(3 * rewards))
    right = sum(one.accuracy * one.count for one in diagram) / 20_000
    assert right == pytest.approx(preference_accuracy(rewards))


# -- sampling --------------------------------------------------------------------------------------

TINY = gpt2(vocab_size=7, context=12, width=16, depth=1, heads=2)


def test_a_row_is_sampled_as_if_alone():
    model, prompts = randomize(Transformer(TINY)), ["ab", "c", "defa", [3, 4]]
    found = sample_texts(model, LETTERS, prompts, max_new_tokens=6, end_id=END, seed=5)
    common = {"max_new_tokens": 6, "stop": ["."]}
    for row, prompt in enumerate(prompts):
        assert found[row] == generate(model, LETTERS, prompt, seed=5 + row, **common)
    assert len({len(text) for text in found}) > 1  # else no row ended early


def test_the_end_is_a_token_of_the_response_but_not_of_its_text():
    model = randomize(Transformer(TINY), std=0.4)
    responses = sample_responses(model, LETTERS, ["a"] * 40, max_new_tokens=5, end_id=END, seed=0)
    ended = [END in ids for ids in responses]
    assert any(ended) and not all(ended)
    for ids, end in zip(responses, ended, strict=True):
        assert (ids.index(END) == len(ids) - 1) if end else len(ids) == 5
    for ids, text in zip(responses, decode_responses(LETTERS, responses, END), strict=True):
        assert text == LETTERS.decode(ids).removesuffix(".")


def test_what_does_not_fit_the_context_is_said_before_anything_is_computed():
    with pytest.raises(ValueError, match="longest prompt has 8 tokens; with max_new_tokens=5"):
        model = Transformer(TINY)
        sample_responses(model, LETTERS, ["a", "abcdefab"], max_new_tokens=5, end_id=END)


def test_no_prompts_no_responses():
    assert sample_responses(Transformer(TINY), LETTERS, [], max_new_tokens=5, end_id=END) == []


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_pass_at_k_counts_the_choices_that_hold_a_right_one(k):
    is_right = torch.tensor([[0, 0, 0, 0, 0], [1, 0, 0, 0, 0], [1, 1, 0, 1, 0], [1, 1, 1, 1, 1]])
    choices = list(combinations(range(5), k))
    expected = [sum(any(row[list(c)]) for c in choices) / len(choices) for row in is_right]
    assert pass_at_k(is_right > 0, k).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("k", [0, 6])
def test_pass_at_k_needs_k_samples(k):
    with pytest.raises(ValueError, match=f"k={k} with 5 samples"):
        pass_at_k(torch.zeros(2, 5), k)


# -- GRPO ------------------------------------------------------------------------------------------

ARMS = CharTokenizer("ab.")


def likes_b(prompts, responses):
    return [float(text.startswith("b")) for text in responses]


def two_arms(seed: int = 0, **settings) -> tuple[Transformer, PolicyHistory]:
    """A policy that answers one letter, rewarded for b, trained for a few rounds."""
    torch.manual_seed(0)
    model = Transformer(gpt2(vocab_size=3, context=4, width=16, depth=1, heads=2))
    settings = {"steps": 15, "kl_coef": 0.0, "reward": likes_b} | settings
    common = dict(end_id=2, max_new_tokens=1, batch=4, group=4, optimizer=ADAMW, progress=False)
    reward = settings.pop("reward")
    return model, grpo(model, ARMS, ["a", "b"], reward, seed=seed, **common, **settings)


def probability_of_b(model: Transformer) -> float:
    return model(torch.tensor([[0]])).softmax(-1)[0, -1, 1].item()


@pytest.mark.parametrize("settings", [{}, {"updates": 3, "steps": 6}, {"mean": "token"}])
def test_the_rewarded_arm_is_pulled_more_and_more(settings):
    model, history = two_arms(**settings)
    assert history.reward[0] < 0.7 and history.reward[-1] > 0.8 and probability_of_b(model) > 0.85
    assert history.kl[0] == pytest.approx(0, abs=1e-6) and history.kl[-1] > 0.4
    assert history.entropy[0] == pytest.approx(math.log(3), abs=0.02)
    assert history.entropy[-1] < 0.8


def test_one_round_raises_the_rewarded_arm():
    model, _ = two_arms(steps=1)
    assert probability_of_b(model) > 0.34


def test_a_large_kl_coefficient_holds_the_policy_at_the_reference():
    free, held = two_arms()[1], two_arms(kl_coef=20.0)[1]
    assert max(held.kl[5:]) < 0.05 < 0.5 < free.kl[-1]


def test_without_differences_in_reward_the_policy_stays():
    model, history = two_arms(reward=lambda prompts, responses: [1.0] * len(responses))
    torch.manual_seed(0)
    before = Transformer(model.config)
    for weight, old in zip(model.parameters(), before.parameters(), strict=True):
        assert_close(weight, old)
    assert history.reward == [1.0] * 15


def test_a_run_repeats_and_another_seed_is_another_run():
    (one, history), (two, same), (_, other) = two_arms(), two_arms(), two_arms(seed=1)
    assert history == same and history.samples != other.samples
    assert all(map(torch.equal, one.parameters(), two.parameters()))


def test_the_history_has_one_entry_for_each_round():
    _, history = two_arms(steps=4, updates=2)
    lists = [history.reward, history.kl, history.entropy, history.length, history.samples]
    assert [len(each) for each in lists] == [4] * 5
    assert set(history.length) == {1.0} and len(history.samples[0]) == 4
    assert repr(history).startswith("PolicyHistory(4 rounds, reward 0.")
    assert repr(PolicyHistory()) == "PolicyHistory(no rounds yet)"


def test_rollouts_hold_what_was_sampled():
    model = randomize(Transformer(TINY))
    reference = copy.deepcopy(model)
    randomize(reference, seed=1)
    seen = []

    def reward(prompts, responses):
        seen.extend(zip(prompts, responses, strict=True))
        return torch.arange(len(responses)).square()

    rollouts = Rollouts(
        model, reference, LETTERS, ["ab", "c"], reward, end_id=END, max_new_tokens=5, batch=2,
        group=3, updates=2, divide_by_std=False,
    )  # fmt: skip
    ids, mask, advantages, old, theirs = rollouts[0]
    assert rollouts[1][0] is ids and rollouts[2][0] is not ids  # two updates to a round
    prompts = [prompt for prompt, _ in seen[:6]]
    assert prompts[0] == prompts[1] == prompts[2] != prompts[3]  # groups stand together
    assert advantages.tolist() == pytest.approx([-5 / 3, -2 / 3, 7 / 3, -23 / 3, -2 / 3, 25 / 3])
    for row, (prompt, text) in enumerate(seen[:6]):
        length = int(mask[row].nonzero()[-1]) + 1
        assert LETTERS.decode(ids[row, :length].tolist()).removesuffix(".") == prompt + text
    # What is the same for all is what `response_log_probs` adds up.
    for log_probs, judge in ((old, model), (theirs, reference)):
        assert_close(
            losses.masked_sum(log_probs, mask[:, 1:]), response_log_probs(judge, ids, mask)
        )
    history = rollouts.history
    assert history.length[0] == pytest.approx(mask.sum().item() / 6)
    kl = losses.kl_divergence(model(ids[:, :-1]), reference(ids[:, :-1]))
    assert history.kl[0] == pytest.approx(kl[mask[:, 1:]].sum().item() / 6, rel=1e-5)


def test_the_first_update_is_a_plain_policy_gradient():
    model = randomize(Transformer(TINY))
    lengths = lambda prompts, responses: [float(len(text)) for text in responses]  # noqa: E731
    rollouts = Rollouts(model, model, LETTERS, ["ab", "c"], lengths, end_id=END, max_new_tokens=5)
    batch = rollouts[0]
    ids, mask, advantages = batch[:3]
    policy_gradient(model, batch, kl_coef=0.0, mean="token").value.backward()
    kept = [weight.grad.clone() for weight in model.parameters()]
    model.zero_grad()
    # Each token of a response has the advantage of the whole.
    value = -(advantages * sum_log_probs(model, ids, mask)).sum() / mask.sum()
    value.backward()
    for weight, grad in zip(model.parameters(), kept, strict=True):
        assert_close(weight.grad, grad, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("rewards", [[1.0], [1.0] * 15 + [math.nan], [[1.0]] * 16])
def test_a_reward_function_that_does_not_fit_is_named(rewards):
    with pytest.raises(ValueError, match="it must return one finite number for each"):
        two_arms(reward=lambda prompts, responses: rewards, steps=1)


def test_what_grpo_cannot_use_is_named():
    noisy = Transformer(gpt2(vocab_size=3, context=4, width=16, depth=1, heads=2, dropout=0.1))
    ends = {"end_id": 2, "max_new_tokens": 1}
    with pytest.raises(ValueError, match=r"dropout=0\.1 would make the ratio"):
        grpo(noisy, ARMS, ["a"], likes_b, steps=1, **ends)
    with pytest.raises(ValueError, match="group=1 and updates=1; give at least two responses"):
        two = Transformer(gpt2(vocab_size=3, context=4, width=16, depth=1, heads=2))
        grpo(two, ARMS, ["a"], likes_b, steps=1, group=1, **ends)
    with pytest.raises(ValueError, match="mean='length' is not known; choose 'response' or"):
        two_arms(mean="length", steps=1)


# -- sums ------------------------------------------------------------------------------------------


def test_the_checker_takes_the_sum_and_nothing_else():
    for a, b in [(47, 85), (10, 10), (99, 99), (12, 34)]:
        total = a + b
        prompt = sums.sum_prompt((a, b))
        assert sums.is_right(prompt, sums.sum_response(total))
        for wrong in sums.typical_slips((a, b)):
            assert not sums.is_right(prompt, sums.sum_response(wrong))
        for other in ["", str(total) + " ", sums.sum_response(total) + "0", "x"]:
            assert not sums.is_right(prompt, other)
    assert sums.sum_rewards(["47+85=", "10+10="], ["231", "12"]) == [1.0, 0.0]


def test_a_forgotten_carry_is_a_slip_only_where_there_is_a_carry():
    assert 122 in sums.typical_slips((47, 85)) and len(sums.typical_slips((12, 34))) == 4


@pytest.mark.parametrize("held_out", ["random", "residue"])
def test_no_problem_is_on_both_sides(held_out):
    training, held = sums.split_problems(held_out)
    assert len({*training, *held}) == len(training) + len(held) == 8100
    assert sums.split_problems(held_out) == (training, held)
    remainders = {sum(problem) % 7 for problem in held}
    assert remainders == ({3} if held_out == "residue" else set(range(7)))
    assert (3 in {sum(problem) % 7 for problem in training}) == (held_out == "random")


def test_half_of_the_training_texts_are_wrong():
    training, _ = sums.split_problems()
    texts = sums.sum_texts(training, 4000)
    share = sum(sums.is_right(*text) for text in texts) / 4000
    assert 0.47 < share < 0.53 and texts == sums.sum_texts(training, 4000)
    assert texts != sums.sum_texts(training, 4000, seed=1)
    assert all(sums.is_right(*text) for text in sums.sum_texts(training, 100, wrong=0))
    ids, _ = encode_responses(sums.TOKENIZER, texts, sums.END_ID)
    assert ids.shape[1] == 6 + sums.LONGEST_RESPONSE


def test_wrong_requests_for_sums_are_named():
    with pytest.raises(ValueError, match="held_out='odd'"):
        sums.split_problems("odd")
    with pytest.raises(ValueError, match="share=0.0; choose 'random' with a share between"):
        sums.split_problems(share=0.0)
    with pytest.raises(ValueError, match="wrong=1.5; give at least one, and wrong from 0 to 1"):
        sums.sum_texts([(10, 10)], 5, wrong=1.5)


@pytest.mark.slow
def test_a_checker_teaches_a_model_that_learned_from_half_wrong_sums():
    small = [(a, b) for a in range(10, 20) for b in range(10, 20)]  # learned in seconds
    pairs = sums.sum_texts(small, 4000)
    torch.manual_seed(0)
    model = Transformer(modern(vocab_size=13, context=16, width=48, depth=2, heads=4))
    data = RandomBatches(*encode_responses(sums.TOKENIZER, pairs, sums.END_ID), batch=64)
    fit(model, supervised_fine_tuning, data, steps=200, progress=False)
    reference = copy.deepcopy(model)
    history = grpo(
        model,
        sums.TOKENIZER,
        sums.sum_prompts(small),
        sums.sum_rewards,
        steps=30,
        end_id=sums.END_ID,
        max_new_tokens=sums.LONGEST_RESPONSE,
        batch=16,
        optimizer=OptimizerConfig(matrix_optimizer="adamw", lr=2e-3, warmup=0, min_lr_ratio=1),
        progress=False,
    )
    accuracy = []
    for judged in (reference, model):
        prompts = sums.sum_prompts(small) * 4
        common = {"max_new_tokens": sums.LONGEST_RESPONSE, "end_id": sums.END_ID, "seed": 1}
        texts = sample_texts(judged, sums.TOKENIZER, prompts, **common)
        accuracy.append(sum(sums.sum_rewards(prompts, texts)) / len(prompts))
    assert accuracy[0] < 0.6 and accuracy[1] > accuracy[0] + 0.2
    assert history.kl[-1] > 0.1 and history.entropy[-1] < history.entropy[0]
