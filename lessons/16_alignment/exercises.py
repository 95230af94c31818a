"""Lesson 16: the loss of an answer alone, of preferences, of DPO, and PPO's clipped loss."""

import torch
from fmcourse.course.exercise import Exercise, Mistake, Property
from torch import Tensor


def drawn(*shape: int, seed: int, size: float = 1.0) -> Tensor:
    """Numbers from a normal distribution, the same each time."""
    return size * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def true_at(*rows: str) -> Tensor:
    """A mask as a drawing: "..xx" is False, False, True, True."""
    return torch.tensor([[letter == "x" for letter in row] for row in rows])


def is_not_negative(value: Tensor, case: tuple) -> bool | str:
    return value.item() >= -1e-6 or f"A mean of -log p is never negative, and yours is {value.item():.4g}."


# -- 16.1 the loss of the answer alone ------------------------------------------------------------------------------------

RESPONSE = '''def response_loss(logits, ids, is_response):
    """The cross-entropy of the answers alone: the mean -log p of their tokens, in nats; a tensor with one number.

    The logits at place t are those for the token at t + 1. Every token of an answer counts the same, whichever text
    it stands in. The first token of a text is predicted by nothing and never counts.

    logits: (B, T, V)   ids: (B, T)   is_response: (B, T), True at the tokens of answers, False at prompts and padding
    """
'''
RESPONSE_LINE = "def response_loss(logits, ids, is_response):\n"


def answered(loss="nats[is_response[:, 1:]].mean()", logits="logits[:, :-1]", ids="ids[:, 1:]"):  # fmt: skip
    """A near miss: one part of the answer replaced; `nats` are those of each place, (B, T')."""
    return (
        f"{RESPONSE_LINE}    nats = F.cross_entropy(({logits}).transpose(1, 2), {ids}, reduction='none')\n"
        f"    return {loss}\n"
    )


TWO_WORDS = torch.tensor([[[0.25, 0.75], [0.5, 0.5], [0.9, 0.1], [0.4, 0.6]]]).log()  # probabilities to read off
LOGITS = drawn(3, 7, 5, seed=1, size=1.5)
IDS = torch.tensor([[1, 0, 2, 4, 3, 0, 0], [2, 2, 3, 1, 0, 4, 1], [4, 1, 0, 3, 2, 2, 0]])

masked_prompt = Exercise(
    "16.1",
    goal="train on the answer alone",
    minutes=10,
    difficulty=2,
    cases=[
        (TWO_WORDS, torch.tensor([[0, 1, 1, 0]]), true_at("..xx")),
        (LOGITS[:2, :5], IDS[:2, :5], true_at("..xxx", "...x.")),
        (LOGITS.clone().requires_grad_(), IDS, true_at("..xxx..", "....xxx", ".xxxxx.")),
        (LOGITS[1:] * 2, IDS[1:], true_at(".xx..xx", "..x...x")),  # several turns
        (LOGITS[:2, :4], IDS[:2, :4], true_at("xxxx", ".xx.")),  # a text without a prompt
        (drawn(2, 6, 4, seed=2).double(), IDS[:2, :6] % 4, true_at("....xx", ".xxxx.")),
    ],
    starter=RESPONSE + "    ...\n",
    solution=RESPONSE
    + """    log_p = logits[:, :-1].log_softmax(-1)  # the last place predicts a token that is not there
    nats = -log_p.gather(-1, ids[:, 1:, None]).squeeze(-1)  # (B, T - 1)
    return nats[is_response[:, 1:]].mean()
""",
    other_solutions=[
        RESPONSE_LINE + "    labels = ids.masked_fill(~is_response, -100)[:, 1:]\n"
        "    return F.cross_entropy(logits[:, :-1].flatten(0, 1), labels.flatten(), ignore_index=-100)\n",
        RESPONSE_LINE + "    counted = is_response[:, 1:]\n    nats = F.cross_entropy(logits[:, :-1].mT, ids[:, 1:], reduction='none')\n"
        "    return (nats * counted).sum() / counted.sum()\n",
        RESPONSE_LINE + "    total, n = 0, 0\n    for row in range(len(ids)):\n        for t in range(1, ids.shape[1]):\n            if is_response[row, t]:\n"
        "                total = total + torch.logsumexp(logits[row, t - 1], 0) - logits[row, t - 1, ids[row, t]]\n                n += 1\n    return total / n\n",
    ],
    hints=[
        "Which logits know the prompt and not yet the first token of the answer? At which place do they stand?",
        "Cut the last place off the logits and the first off the ids, and off the mask what you cut off the ids. Then keep the places where the mask is True.",
        '`F.cross_entropy(logits[:, :-1].transpose(1, 2), ids[:, 1:], reduction="none")` is (B, T - 1); index it with `is_response[:, 1:]` and take the mean.',
    ],
    explanation="The model still reads the prompt, since attention sees it; only no gradient asks it to predict the prompt. A mask belongs to labels, so it is shifted with them: without "
    "that the first token of each answer, the one that decides how to begin, is never trained.",
    properties=[Property("a negative loss", is_not_negative, "Which sign has the logarithm of a probability?")],
    mistakes=[
        Mistake("the prompt counts, too", answered("nats.mean()"),
                "The mask changes nothing: the model is trained to write prompts, and padding. Which tokens are its own?"),
        Mistake("not shifted", answered("nats[is_response].mean()", "logits", "ids"),
                "The logits at place t were asked for the token at t, which the model reads there. Which token do they predict?"),
        Mistake("the mask is not shifted", answered("nats[is_response[:, :-1]].mean()"),
                "The mask kept its last place off and not its first, so that the first token of an answer is left out and the one after its end counts. Whose mask is it, the logits' or the labels'?"),
        Mistake("shifted the other way", answered("nats[is_response[:, :-1]].mean()", "logits[:, 1:]", "ids[:, :-1]"),
                "Each place was asked for the token before it. Does a language model predict forwards or backwards?"),
        Mistake("the prompt alone", answered("nats[~is_response[:, 1:]].mean()"),
                "What should count was left out, and the rest counts. What does True mean in the mask?"),
        Mistake("divided by all places", answered("(nats * is_response[:, 1:]).mean()"),
                "The sum is right, and was divided by all places: a long prompt makes the loss small. How many tokens were added?"),
        Mistake("a sum", answered("nats[is_response[:, 1:]].sum()"),
                "This grows with the number of tokens. By what is it divided to become nats a token?"),
        Mistake("divided by the texts", answered("nats[is_response[:, 1:]].sum() / len(ids)"),
                "These are nats an answer. By what is the sum divided to become nats a token?"),
        Mistake("a mean for each answer", answered("((nats * is_response[:, 1:]).sum(1) / is_response[:, 1:].sum(1)).mean()"),
                "Each answer was averaged first, so that a token of a short answer counts more. Should every answer count the same, or every token?"),
        Mistake("the sign", answered("-nats[is_response[:, 1:]].mean()"),
                "This is the mean log-probability. Which of the two is made small in training?"),
        Mistake("softmax before cross-entropy", answered(logits="logits[:, :-1].softmax(-1)"),
                "Probabilities went into the cross-entropy as if they were logits, so a softmax is taken twice. What does `F.cross_entropy` do first?"),
        Mistake("over the places", answered("-logits[:, :-1].log_softmax(1).gather(-1, ids[:, 1:, None]).squeeze(-1)[is_response[:, 1:]].mean()"),
                "The softmax ran over the places of a text. Of what do the probabilities add up to 1?"),
        Mistake("the first token of an answer left out", answered("nats[is_response[:, 1:] & is_response[:, :-1]].mean()"),
                "A token counted only where the one before it belongs to the answer, too. Who predicts the first token of an answer?"),
        Mistake("one token too many", answered("nats[is_response[:, 1:] | is_response[:, :-1]].mean()"),
                "The token after each answer counts as well. Which place predicts it, and is it the answer's?"),
        Mistake("divided by tokens that nothing predicts", answered("(nats * is_response[:, 1:]).sum() / is_response.sum()"),
                "A first token stands in the number of tokens and not in the sum. By how many tokens is divided if a text has no prompt?"),
        Mistake("bits", answered("nats[is_response[:, 1:]].mean() / math.log(2)"),
                "A token of probability 1/2 costs 1. Which logarithm makes nats?"),
        Mistake("perplexity", answered("nats[is_response[:, 1:]].mean().exp()"),
                "This is the number of choices that the loss amounts to. What is asked, before the exponential?"),
        Mistake("probabilities for logarithms", answered("1 - (-nats).exp()[is_response[:, 1:]].mean()"),
                "This is 1 minus the mean probability. Of what is a cross-entropy the mean?"),
        Mistake("labels of 0 for the prompt", answered("nats.mean()", ids="(ids * is_response)[:, 1:]"),
                "The prompt's labels became 0, and 0 is a token like others, which the model learns to write. What makes a place not count?"),
        Mistake("logits of 0 for the prompt", answered("nats.mean()", logits="(logits[:, :-1] * is_response[:, 1:, None])"),
                "At the prompt all logits became 0, and each place still costs log V. What makes a place not count?"),
        Mistake("gradients lost", answered("nats[is_response[:, 1:]].mean().detach()"),
                "It is right, and cut off from the logits: nothing could be trained with it. Which call detaches a tensor?"),
    ],
)  # fmt: skip

# -- 16.2 the loss of preferences -----------------------------------------------------------------------------------------

PREFERENCE = '''def preference_loss(chosen, rejected, smoothing=0.0):
    """The Bradley-Terry loss of N pairs, in nats: the mean of -log σ(r_chosen - r_rejected); a tensor with one number.

    smoothing: the share of labels that are taken to be wrong. A pair's loss is then (1 - smoothing) of the loss of its
        label as it stands, and smoothing of the loss that it would have with its two answers swapped.
    chosen, rejected: rewards, (N,); a difference may be in the hundreds, and the loss is finite all the same
    """
'''
PREFERENCE_LINE = "def preference_loss(chosen, rejected, smoothing=0.0):\n"


def preferred(loss: str, *, s: str = "smoothing") -> str:
    """A near miss; `d` is the difference of the rewards and `s` the smoothing."""
    return f"{PREFERENCE_LINE}    d, s = chosen - rejected, {s}\n    return {loss}\n"


def is_finite_loss(value: Tensor, case: tuple) -> bool | str:
    return bool(value.isfinite().all()) or (
        f"With rewards {case[0].tolist()} and {case[1].tolist()} it is {value.item()}. At a difference of -200 the "
        "loss is 200."
    )


preferences = Exercise(
    "16.2",
    goal="turn preferences into a loss",
    minutes=8,
    difficulty=2,
    cases=[
        (torch.tensor([2.0]), torch.tensor([1.0])),
        (torch.tensor([1.0, 0.0, 3.0]), torch.tensor([0.0, 2.0, 2.5])),
        (torch.tensor([1.0, 0.5, 3.0]), torch.tensor([0.0, 2.0, 2.5]), 0.25),
        (torch.tensor([-100.0, 4.0]), torch.tensor([100.0, 1.0])),
        (drawn(9, seed=3, size=2).requires_grad_(), drawn(9, seed=4, size=2), 0.1),
        (torch.tensor([150.0, -1.0]), torch.tensor([-150.0, 2.0]), 0.05),
        (drawn(4, seed=5).double(), drawn(4, seed=6).double(), 0.4),
    ],
    starter=PREFERENCE + "    ...\n",
    solution=PREFERENCE
    + """    margin = chosen - rejected
    return -((1 - smoothing) * F.logsigmoid(margin) + smoothing * F.logsigmoid(-margin)).mean()
""",
    other_solutions=[
        PREFERENCE_LINE + "    margin = chosen - rejected\n    target = torch.full_like(margin, 1 - smoothing)\n"
        "    return F.binary_cross_entropy_with_logits(margin, target)\n",
        PREFERENCE_LINE + "    return (F.softplus(rejected - chosen) + smoothing * (chosen - rejected)).mean()\n",
        PREFERENCE_LINE + "    log_p = torch.stack([chosen, rejected]).log_softmax(0)\n"
        "    return -(log_p[0] * (1 - smoothing) + log_p[1] * smoothing).sum() / len(chosen)\n",
    ],
    hints=[
        "σ(d) is the probability that the chosen answer is the better one. How probable is it, then, that the rejected one is?",
        "With its two answers swapped a pair has the difference -d, so its loss is a weighted sum of -log σ(d) and -log σ(-d).",
        "`F.logsigmoid(d)` is log σ(d) and stays finite where the sigmoid itself becomes 0. Weigh it with `1 - smoothing`, and that of `-d` with `smoothing`.",
    ],
    explanation="It is the cross-entropy of a coin: which of the two is better? Only differences count, so a reward has no zero of its own. With smoothing the best difference is no longer "
    "endless but log((1 - s) / s): a model that knows some labels to be wrong is never sure.",
    properties=[Property("not finite at a large difference", is_finite_loss, "Which function gives log σ(d) without computing σ(d) first?")],
    mistakes=[
        Mistake("the answers swapped", preferred("-((1 - s) * F.logsigmoid(-d) + s * F.logsigmoid(d)).mean()"),
                "The loss falls as the rejected answer's reward rises: the difference, or the two weights, are the wrong way round. Which reward should become larger?"),
        Mistake("no smoothing", preferred("-F.logsigmoid(d).mean()"),
                "`smoothing` changes nothing. What is the loss of a label that stands the wrong way round?"),
        Mistake("the sign", preferred("((1 - s) * F.logsigmoid(d) + s * F.logsigmoid(-d)).mean()"),
                "A mean of log-probabilities is negative. Which sign has a loss that is made small?"),
        Mistake("the logarithm of what vanished", preferred("-((1 - s) * d.sigmoid().log() + s * (-d).sigmoid().log()).mean()"),
                "At a difference of -200 the sigmoid is 0 in float32, and its logarithm is not finite. Which function computes both in one?"),
        Mistake("1 minus the probability", preferred("-((1 - s) * F.logsigmoid(d) + s * (1 - d.sigmoid()).log()).mean()"),
                "1 - σ(d) is 0 where d is large, and its logarithm is not finite. Of which difference is it the sigmoid?"),
        Mistake("a sum", preferred("-((1 - s) * F.logsigmoid(d) + s * F.logsigmoid(-d)).sum()"),
                "More pairs make a larger loss. What is asked over the pairs, a sum or a mean?"),
        Mistake("half of the smoothing", preferred("-((1 - s / 2) * F.logsigmoid(d) + s / 2 * F.logsigmoid(-d)).mean()"),
                "The smoothing was shared out among both answers, as it is among classes. Which share of the labels is wrong here?"),
        Mistake("weights of more than 1", preferred("-(F.logsigmoid(d) + s * F.logsigmoid(-d)).mean()"),
                "The wrong labels were added, and none taken off the right ones. What do the two weights add up to?"),
        Mistake("one weight alone", preferred("-((1 - s) * F.logsigmoid(d)).mean()"),
                "The loss was made smaller, and its minimum stays where it was. What else is in the docstring's sum?"),
        Mistake("the wrong labels subtracted", preferred("-((1 - s) * F.logsigmoid(d) - s * F.logsigmoid(-d)).mean()"),
                "The loss of a swapped pair was taken off. Is a share of wrong labels added or subtracted?"),
        Mistake("the difference smoothed", preferred("-F.logsigmoid((1 - 2 * s) * d).mean()"),
                "The differences were made smaller before the sigmoid. To what do the weights belong: rewards, or losses?"),
        Mistake("a margin", preferred("-F.logsigmoid(d - s).mean()"),
                "`smoothing` was taken off the difference, as a margin would be. What is it a share of?"),
        Mistake("the mean before the logarithm", preferred("-((1 - s) * F.logsigmoid(d.mean()) + s * F.logsigmoid(-d.mean()))"),
                "One pair was made of all: their differences were averaged. Of what is the mean taken?"),
        Mistake("the mean probability", preferred("-((1 - s) * d.sigmoid().mean().log() + s * (-d).sigmoid().mean().log())"),
                "The probabilities were averaged before the logarithm. Of what is a cross-entropy the mean?"),
        Mistake("a probability for its logarithm", preferred("((1 - s) * (-d).sigmoid() + s * d.sigmoid()).mean()"),
                "This is how often the model is wrong on average, between 0 and 1. What is missing before the sigmoid?"),
        Mistake("a hinge", preferred("((1 - s) * (1 - d).clamp(min=0) + s * (1 + d).clamp(min=0)).mean()"),
                "Once a difference exceeds 1 there is nothing left to gain. Where does the sigmoid stand in this loss?"),
        Mistake("a ratio", preferred("-((1 - s) * F.logsigmoid(chosen / rejected) + s * F.logsigmoid(rejected / chosen)).mean()"),
                "The rewards were divided by each other. What stands between them in the docstring?"),
        Mistake("bits", preferred("-((1 - s) * F.logsigmoid(d) + s * F.logsigmoid(-d)).mean() / math.log(2)"),
                "Equal rewards cost 1. Which logarithm makes nats?"),
        Mistake("a loss for each pair", preferred("-((1 - s) * F.logsigmoid(d) + s * F.logsigmoid(-d))"),
                "Each pair kept its own number. What is taken over the pairs?"),
        Mistake("gradients lost", preferred("-((1 - s) * F.logsigmoid(d) + s * F.logsigmoid(-d)).mean().detach()"),
                "It is right, and cut off from the rewards: nothing could be trained with it. Which call detaches a tensor?"),
    ],
)  # fmt: skip

# -- 16.3 DPO -------------------------------------------------------------------------------------------------------------

DPO = '''def dpo_loss(policy, reference, beta):
    """The DPO loss of N pairs: Bradley-Terry, with the rewards beta · (log π(y|x) - log π_ref(y|x)); one number.

    policy, reference: (N, 2), log-probabilities of whole answers under the policy that is trained and under the frozen
        reference: the chosen answer's first, then the rejected one's
    """
'''
DPO_LINE = "def dpo_loss(policy, reference, beta):\n"


def direct(loss: str) -> str:
    """A near miss; `r` are the implicit rewards without beta, (N, 2), and `d` their differences."""
    return f"{DPO_LINE}    r = policy - reference\n    d = r[:, 0] - r[:, 1]\n    return {loss}\n"


PAIRS = -drawn(6, 2, seed=7, size=8).abs() - 20  # log-probabilities of answers, in nats

direct_preference = Exercise(
    "16.3",
    goal="learn from preferences without a reward model",
    minutes=8,
    difficulty=2,
    cases=[
        (torch.tensor([[-3.0, -5.0]]), torch.tensor([[-4.0, -4.0]]), 0.5),
        (torch.tensor([[-3.0, -5.0], [-8.0, -2.0]]), torch.tensor([[-4.0, -2.5], [-6.0, -5.0]]), 0.1),
        (PAIRS.clone().requires_grad_(), PAIRS + drawn(6, 2, seed=8, size=3), 0.2),
        (PAIRS[:3], PAIRS[:3].flip(0) * 1.5, 1.0),
        (torch.tensor([[-900.0, -20.0], [-40.0, -41.0]]), torch.tensor([[-30.0, -25.0], [-42.0, -38.0]]), 0.5),
        (PAIRS[2:].double(), PAIRS[1:5].double() * 0.9, 0.05),
    ],
    starter=DPO + "    ...\n",
    solution=DPO
    + """    rewards = beta * (policy - reference)  # (N, 2)
    return -F.logsigmoid(rewards[:, 0] - rewards[:, 1]).mean()
""",
    other_solutions=[
        DPO_LINE + "    chosen, rejected = policy.unbind(1)\n    ref_chosen, ref_rejected = reference.unbind(1)\n"
        "    return F.softplus(-beta * ((chosen - rejected) - (ref_chosen - ref_rejected))).mean()\n",
        DPO_LINE + "    rewards = beta * (policy - reference)\n    labels = torch.zeros(len(policy), dtype=torch.long)\n"
        "    return F.cross_entropy(rewards, labels)\n",
        DPO_LINE + "    gap = (policy - reference).diff(dim=1).squeeze(1)\n    total = 0\n    for one in gap:\n"
        "        total = total - F.logsigmoid(-beta * one)\n    return total / len(gap)\n",
    ],
    hints=[
        "Two answers, a reward for each: that is exercise 16.2 again. Which reward does an answer have here, without a reward model?",
        "An answer's reward is beta times how much likelier the policy finds it than the reference. Take the chosen one's minus the rejected one's.",
        "`beta * (policy - reference)` is (N, 2); its columns `[:, 0]` and `[:, 1]` go into `-F.logsigmoid(chosen - rejected).mean()`.",
    ],
    explanation="A policy and its reference are a reward model together: what the policy finds likelier than the reference it must have been rewarded for. At the start both are equal, all "
    "rewards are 0 and the loss is log 2. beta says how dear it is to move away: with a small one the policy has to move far for the same certainty.",
    mistakes=[
        Mistake("without the reference", direct("-F.logsigmoid(beta * (policy[:, 0] - policy[:, 1])).mean()"),
                "The reference changes nothing, so an answer that is likely from the start counts as rewarded. What is the reward of an answer that both find equally likely?"),
        Mistake("the answers swapped", direct("-F.logsigmoid(-beta * d).mean()"),
                "The loss falls as the rejected answer gets likelier, or policy and reference changed places. Which difference should grow?"),
        Mistake("the reference added", direct("-F.logsigmoid(beta * (policy + reference)[:, 0] - beta * (policy + reference)[:, 1]).mean()"),
                "The log-probabilities were added. What is the logarithm of a ratio?"),
        Mistake("without beta", direct("-F.logsigmoid(d).mean()"),
                "`beta` changes nothing. What stands before the difference of log-probabilities?"),
        Mistake("beta outside", direct("-beta * F.logsigmoid(d).mean()"),
                "beta multiplies the loss, which is only another learning rate. Which side of the logarithm does it stand on?"),
        Mistake("divided by beta", direct("-F.logsigmoid(d / beta).mean()"),
                "A small beta made large rewards. Is it a factor or a divisor?"),
        Mistake("beta for the policy alone", direct("-F.logsigmoid(beta * (policy[:, 0] - policy[:, 1]) - (reference[:, 0] - reference[:, 1])).mean()"),
                "The policy's log-probabilities were multiplied by beta, and the reference's were not. What does beta multiply?"),
        Mistake("the chosen answer alone", direct("-F.logsigmoid(beta * r[:, 0]).mean()"),
                "The rejected answer changes nothing. Of which two rewards is the difference?"),
        Mistake("each answer by itself", direct("-(F.logsigmoid(beta * r[:, 0]) + F.logsigmoid(-beta * r[:, 1])).mean()"),
                "Each answer was judged alone, as good or bad. What does Bradley-Terry compare?"),
        Mistake("a ratio of logarithms", direct("-F.logsigmoid(beta * ((policy / reference)[:, 0] - (policy / reference)[:, 1])).mean()"),
                "Log-probabilities were divided by each other. What does the division of two probabilities become, in logarithms?"),
        Mistake("probabilities", direct("-F.logsigmoid(beta * ((policy.exp() - reference.exp())[:, 0] - (policy.exp() - reference.exp())[:, 1])).mean()"),
                "The probabilities of whole answers are nearly 0, and so are their differences. Of what is the reward made, p or log p?"),
        Mistake("the ratio itself", direct("-F.logsigmoid(beta * (r.exp()[:, 0] - r.exp()[:, 1])).mean()"),
                "The ratio π / π_ref stands where its logarithm belongs. Which is the reward?"),
        Mistake("the sign", direct("F.logsigmoid(beta * d).mean()"),
                "A mean of log-probabilities is negative. Which sign has a loss that is made small?"),
        Mistake("the difference alone", direct("-(beta * d).mean()"),
                "Without log σ the difference is pushed up without end, also where a pair is long learned. What bends it?"),
        Mistake("a sigmoid for its logarithm", direct("(-beta * d).sigmoid().mean()"),
                "This is how often the order is wrong on average, between 0 and 1. What is missing before the sigmoid?"),
        Mistake("the mean before the logarithm", direct("-F.logsigmoid(beta * d.mean())"),
                "One pair was made of all. Of what is the mean taken?"),
        Mistake("a sum", direct("-F.logsigmoid(beta * d).sum()"),
                "More pairs make a larger loss. What is asked over the pairs?"),
        Mistake("the logarithm of what vanished", direct("-(beta * d).sigmoid().log().mean()"),
                "At a difference of -435 the sigmoid is 0 in float32, and its logarithm is not finite. Which function computes both in one?"),
        Mistake("squared towards a target", direct("(d - 1 / (2 * beta)).square().mean()"),
                "This is another method's loss (IPO), which pulls the difference to 1 / (2 beta). Which loss has Bradley-Terry?"),
        Mistake("a loss for each pair", direct("-F.logsigmoid(beta * d)"),
                "Each pair kept its own number. What is taken over the pairs?"),
        Mistake("gradients lost", direct("-F.logsigmoid(beta * d).mean().detach()"),
                "It is right, and cut off from the policy: nothing could be trained with it. Which call detaches a tensor?"),
    ],
)  # fmt: skip

# -- 16.4 PPO's clipped loss ----------------------------------------------------------------------------------------------

CLIPPED = '''def clipped_loss(log_probs, old_log_probs, advantages, mask, clip):
    """PPO's clipped loss: the mean of -min(ρ · A, clamp(ρ, 1 - clip, 1 + clip) · A) over the tokens of the mask.

    ρ is how much likelier a token is than when it was sampled, π / π_old; A is its advantage.

    log_probs, old_log_probs: (B, T), of the sampled tokens, now and when they were sampled
    advantages: (B, T), or (B, 1) if all tokens of an answer share one
    mask: (B, T), True at the tokens of answers, all of which count the same   clip: a float
    """
'''
CLIPPED_LINE = "def clipped_loss(log_probs, old_log_probs, advantages, mask, clip):\n"


def surrogate(loss="-torch.minimum(ρ * A, bounded * A)[mask].mean()", ratio="(log_probs - old_log_probs).exp()", bounded="ρ.clamp(1 - clip, 1 + clip)"):  # fmt: skip
    """A near miss: one part of the answer replaced; `A` has the shape of ρ."""
    return (
        f"{CLIPPED_LINE}    ρ, A = {ratio}, advantages.expand_as(log_probs)\n    bounded = {bounded}\n"
        f"    return {loss}\n"
    )


OLD = -drawn(3, 6, seed=9).abs() - 0.3
NEW = OLD + drawn(3, 6, seed=10, size=0.5)

proximal = Exercise(
    "16.4",
    goal="do not move too far in one step",
    minutes=12,
    difficulty=3,
    cases=[
        (torch.tensor([[1.5, 0.5, 1.1]]).log() - 2, torch.tensor([[-2.0, -2.0, -2.0]]), torch.tensor([[2.0, 2.0, 2.0]]), true_at("xxx"), 0.2),
        (torch.tensor([[1.5, 0.5, 0.9]]).log() - 2, torch.tensor([[-2.0, -2.0, -2.0]]), torch.tensor([[-1.0]]), true_at("xxx"), 0.2),
        (NEW.clone().requires_grad_(), OLD, torch.tensor([[1.0], [-0.5], [2.0]]), true_at("..xxx.", ".x....", "...xxx"), 0.2),
        (NEW, OLD, drawn(3, 6, seed=11), true_at("xxxxx.", "..xxxx", ".xxx.."), 0.1),
        (OLD[:2], NEW[:2], drawn(2, 6, seed=12, size=2), true_at(".xx...", ".xxxxx"), 0.3),
        (NEW[1:].double(), OLD[1:].double(), torch.tensor([[0.8], [-1.2]]).double(), true_at("..xxxx", "xxxx.."), 0.2),
        (OLD[:1, :4].clone().requires_grad_(), OLD[:1, :4], torch.tensor([[0.7]]), true_at("..xx"), 0.2),  # the first step
    ],
    starter=CLIPPED + "    ...\n",
    solution=CLIPPED
    + """    ratio = (log_probs - old_log_probs).exp()
    clipped = ratio.clamp(1 - clip, 1 + clip)
    loss = -torch.minimum(ratio * advantages, clipped * advantages)
    return loss[mask].mean()
""",
    other_solutions=[
        CLIPPED_LINE + "    ratio = torch.exp(log_probs) / torch.exp(old_log_probs)\n"
        "    bounded = torch.where(advantages > 0, ratio.clamp(max=1 + clip), ratio.clamp(min=1 - clip))\n"
        "    return -(bounded * advantages * mask).sum() / mask.sum()\n",
        CLIPPED_LINE + "    ratio = (log_probs - old_log_probs).exp()\n    plain, clipped = -ratio * advantages, -torch.clip(ratio, 1 - clip, 1 + clip) * advantages\n"
        "    return torch.max(plain, clipped).masked_select(mask).mean()\n",
        CLIPPED_LINE + "    losses = []\n    A = advantages.expand(log_probs.shape)\n    for b, t in mask.nonzero().tolist():\n"
        "        ratio = (log_probs[b, t] - old_log_probs[b, t]).exp()\n        losses.append(-torch.minimum(ratio * A[b, t], ratio.clamp(1 - clip, 1 + clip) * A[b, t]))\n"
        "    return torch.stack(losses).mean()\n",
    ],
    hints=[
        "A good token that became 50 % likelier: should the next step push it up further? And a good one that became less likely by mistake?",
        "The ratio is the exponential of a difference of log-probabilities. Multiply it and its clamped form by the advantages, and take the smaller product for each token.",
        "`torch.minimum(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages)` is (B, T). Turn its sign, keep the places of the mask and take the mean.",
    ],
    explanation="The minimum is a pessimist: it ignores what would be gained by moving further than clip, and keeps what would be lost. So a good token that is already likely enough gets no "
    "gradient, and a good one that became unlikely still does. In the first step every ratio is 1, and the gradient is that of the plain policy gradient.",
    mistakes=[
        Mistake("no clipping", surrogate("-(ρ * A)[mask].mean()"),
                "`clip` changes nothing: a token may move as far as one batch likes. Which of the two products is the smaller?"),
        Mistake("the clipped ratio alone", surrogate("-(bounded * A)[mask].mean()"),
                "A good token that became unlikely is clipped as well, and gets no gradient that would bring it back. What does the minimum keep?"),
        Mistake("the maximum", surrogate("-torch.maximum(ρ * A, bounded * A)[mask].mean()"),
                "The larger product was taken, or the smaller loss, which is the same. Which of two gains does a pessimist count on?"),
        Mistake("the sign", surrogate("torch.minimum(ρ * A, bounded * A)[mask].mean()"),
                "This is what is to become large. Which sign has a loss?"),
        Mistake("a difference for the ratio", surrogate(ratio="log_probs - old_log_probs"),
                "The ratio is 0 where nothing has changed. What turns a difference of logarithms into a ratio?"),
        Mistake("a ratio of logarithms", surrogate(ratio="log_probs / old_log_probs"),
                "Log-probabilities were divided by each other. What is log π - log π_old the logarithm of?"),
        Mistake("the ratio upside down", surrogate(ratio="(old_log_probs - log_probs).exp()"),
                "A token that became likelier has a ratio below 1. Which policy stands above the fraction bar?"),
        Mistake("the probability for the ratio", surrogate(ratio="log_probs.exp()"),
                "The old policy changes nothing. With what is the new probability compared?"),
        Mistake("the mask forgotten", surrogate("-torch.minimum(ρ * A, bounded * A).mean()"),
                "Prompt and padding count. Which tokens did the policy write?"),
        Mistake("divided by all places", surrogate("-(torch.minimum(ρ * A, bounded * A) * mask).mean()"),
                "The sum is right, and was divided by all places. How many tokens were added?"),
        Mistake("a sum", surrogate("-torch.minimum(ρ * A, bounded * A)[mask].sum()"),
                "This grows with the number of tokens. What is asked over the tokens?"),
        Mistake("a mean for each answer", surrogate("-((torch.minimum(ρ * A, bounded * A) * mask).sum(1) / mask.sum(1)).mean()"),
                "Each answer was averaged first, so that a token of a short one counts more. What counts the same, by the docstring?"),
        Mistake("clipped around 0", surrogate(bounded="ρ.clamp(-clip, clip)"),
                "The ratio was clamped between -clip and clip. What is it where nothing has changed?"),
        Mistake("the upper bound alone", surrogate(bounded="ρ.clamp(max=1 + clip)"),
                "A bad token is pushed down without end. Which other bound is there?"),
        Mistake("the lower bound alone", surrogate(bounded="ρ.clamp(min=1 - clip)"),
                "A good token is pushed up without end. Which other bound is there?"),
        Mistake("the logarithm clipped", surrogate(bounded="(log_probs - old_log_probs).clamp(-clip, clip).exp()"),
                "The logarithm of the ratio was clamped, which is nearly the same for a small clip. What is clamped in the docstring?"),
        Mistake("the product clipped", surrogate(bounded="ρ * A", loss="-torch.minimum(ρ * A, bounded.clamp(1 - clip, 1 + clip))[mask].mean()"),
                "The product was clamped, so that small advantages were raised to 1 - clip. What is clamped before it is multiplied?"),
        Mistake("the smaller ratio", surrogate("-(torch.minimum(ρ, bounded) * A)[mask].mean()"),
                "The minimum was taken before the advantage came in. Which of two products is smaller if A is negative?"),
        Mistake("clipped where it is too likely only", surrogate("-(torch.where(A > 0, bounded, ρ) * A)[mask].mean()"),
                "Tokens of negative advantage were never clipped, and those of positive one always. On which side does each need its bound?"),
        Mistake("without the advantages", surrogate("-torch.minimum(ρ, bounded)[mask].mean()"),
                "The advantages change nothing: good and bad answers are pushed alike. What does A multiply?"),
        Mistake("the log-probability for the ratio", surrogate("-(log_probs * A)[mask].mean()"),
                "This is the plain policy gradient, whose value says nothing about how far the policy moved. Where do the old log-probabilities come in?"),
        Mistake("a loss for each token", surrogate("-torch.minimum(ρ * A, bounded * A)[mask]"),
                "Each token kept its own number. What is taken over the tokens?"),
        Mistake("gradients lost", surrogate("-torch.minimum(ρ * A, bounded * A)[mask].mean().detach()"),
                "It is right, and cut off from the policy: nothing could be trained with it. Which call detaches a tensor?"),
    ],
)  # fmt: skip
