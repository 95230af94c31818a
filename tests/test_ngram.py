"""N-gram models: probabilities add up, and agree with the formula one by one and all at once."""

import math

import pytest
import torch
from torch.testing import assert_close

from fmcourse.models.ngram import NGram

TEXT = torch.randint(5, (400,), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("order", [1, 2, 3, 6])
@pytest.mark.parametrize("context", [[], [0], [4, 4], [1, 2, 3, 4, 0, 1, 2], [3, 3, 3, 3, 3, 3]])
def test_probabilities_add_up_to_one_and_none_is_zero(order, context):
    p = NGram(TEXT[TEXT != 4], vocab_size=5, order=order).next_probabilities(
        context
    )  # token 4 was never seen
    assert p.shape == (5,) and p.min() > 0 and abs(p.sum().item() - 1) < 1e-12


def test_a_texts_probabilities_are_those_of_its_next_tokens():
    model = NGram(TEXT, vocab_size=5, order=4)
    asked = torch.tensor([0, 3, 3, 1, 4, 2, 2, 2, 0, 1])
    alone = torch.stack([model.next_probabilities(asked[:t])[asked[t]] for t in range(len(asked))])
    assert_close(model.probabilities(asked), alone)
    assert_close(model.nats(asked), -alone.log())


def by_hand(text: list[int], context: list[int], token: int, V: int) -> float:
    """The formula, recursively, by looking through the text."""
    n = len(context)
    after = [text[i + n] for i in range(len(text) - n) if text[i : i + n] == context]
    shorter = by_hand(text, context[1:], token, V) if context else 1 / V
    return (
        (after.count(token) + len(set(after)) * shorter) / (len(after) + len(set(after)))
        if after
        else shorter
    )


@pytest.mark.parametrize("context", [[], [1], [2, 3], [0, 4, 1], [4, 4, 4]])
def test_it_is_the_formula(context):
    model, text = NGram(TEXT, vocab_size=5, order=4), TEXT.tolist()
    assert_close(
        model.next_probabilities(context).tolist(),
        [by_hand(text, context, token, 5) for token in range(5)],
    )


def test_only_the_last_tokens_of_a_context_count():
    model = NGram(TEXT, vocab_size=5, order=3)
    assert_close(model.next_probabilities([0, 1, 2, 3]), model.next_probabilities([2, 3]))
    assert not torch.allclose(model.next_probabilities([2, 3]), model.next_probabilities([3]))


def test_it_learns_what_always_follows_and_noise_costs_log_v():
    sure = NGram(torch.arange(600) % 3, vocab_size=3, order=3)
    assert sure.next_probabilities([1, 2])[0] > 0.99 and sure.next_probabilities([0, 1])[2] > 0.99
    noise = torch.randint(8, (20_000,), generator=torch.Generator().manual_seed(1))
    assert NGram(noise[:10_000], vocab_size=8, order=3).nats(noise[10_000:]).mean() > math.log(8)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (([], 5, 2), "0 tokens"),
        (([0, 1], 2, 0), "order=0"),
        (([0, 1], 78, 11), "below 2 \\*\\* 63"),
        (([0, 7], 5, 2), "from 0 to 7, outside vocab_size=5"),
        (([-1, 0], 5, 2), "from -1 to 0"),
    ],
)
def test_bad_input_is_one_clear_error(arguments, said):
    ids, vocab_size, order = arguments
    with pytest.raises(ValueError, match=said):
        NGram(ids, vocab_size=vocab_size, order=order)
