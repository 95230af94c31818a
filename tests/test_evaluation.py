"""Numbers that can be compared, against scikit-learn, scipy and counting by hand."""

import math

import pytest
import torch
from helpers import ids_for, model_of
from scipy.stats import binomtest, t
from seqeval.metrics import f1_score as seqeval_f1
from seqeval.metrics import precision_score, recall_score
from seqeval.metrics.sequence_labeling import get_entities
from sklearn.metrics import f1_score, log_loss
from torch.testing import assert_close

from fmcourse.evaluation import (
    accuracy,
    answer_scores,
    bits_per_byte,
    bits_per_byte_interval,
    entity_scores,
    entity_spans,
    macro_f1,
    mean_interval,
    paired_test,
    perplexity,
    summarize_runs,
    t_quantile,
    token_nats,
)


def test_a_text_that_fits_is_scored_as_one_window():
    model, ids = model_of("gpt2"), ids_for("gpt2", 1, 20)
    chances = model(ids).log_softmax(-1)[0]
    by_hand = [math.log(61)] + [-chances[t, ids[0, t + 1]].item() for t in range(19)]
    assert_close(token_nats(model, ids[0]), torch.tensor(by_hand))


@pytest.mark.parametrize("length", [1, 2, 24, 25, 26, 36, 37, 60, 61, 200])
def test_every_token_is_scored_once_with_at_least_half_a_context(length):
    model, ids = model_of("gpt2"), ids_for("gpt2", 1, length)[0]
    nats = token_nats(model, ids, batch=3)
    for at in {1, 12, 25, 35, 48, length - 1} & set(range(1, length)):
        start = 0 if at <= 24 else 12 * math.ceil((at - 24) / 12)
        chance = model(ids[None, start:at]).log_softmax(-1)[0, -1, ids[at]]
        assert_close(nats[at], -chance, atol=1e-4, rtol=1e-4)
        assert at - start >= min(at, 12)


def test_agrees_with_scikit_learns_log_loss():
    model, ids = model_of("modern"), ids_for("modern", 1, 30)[0]
    chances = model(ids[None, :-1]).softmax(-1)[0].detach().double()
    expected = log_loss(ids[1:], chances / chances.sum(1, keepdim=True), labels=range(45))
    assert token_nats(model, ids)[1:].mean().item() == pytest.approx(expected, rel=1e-5)
    assert perplexity(token_nats(model, ids)[1:]) == pytest.approx(math.exp(expected), rel=1e-5)


@pytest.mark.parametrize(("right", "n"), [(0, 5), (5, 5), (37, 100), (1, 1000)])
def test_wilsons_interval_is_scipys(right, n):
    ours, theirs = accuracy(right, n), binomtest(right, n).proportion_ci(method="wilson")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_bits_per_byte_counts_bytes_not_characters():
    assert bits_per_byte(torch.tensor([math.log(2)] * 3), "語") == pytest.approx(1.0)


def test_the_interval_covers_the_truth_about_nineteen_times_out_of_twenty():
    generator = torch.Generator().manual_seed(0)
    covered = 0
    for _ in range(100):
        noise = torch.randn(4000, generator=generator).cumsum(0)
        values = (
            2
            + noise.diff(n=1, prepend=torch.zeros(1))
            + torch.randn(40, generator=generator).repeat_interleave(100)
        )
        e = mean_interval(values, block=100, draws=300)
        covered += e.low < 2 < e.high
    assert 85 <= covered <= 99


def test_the_interval_in_bits_is_the_one_in_nats_scaled():
    nats, text = torch.rand(5000, generator=torch.Generator().manual_seed(0)), "x" * 2500
    ours, plain = bits_per_byte_interval(nats, text), mean_interval(nats)
    factor = 2 / math.log(2)
    assert (ours.value, ours.low, ours.high) == pytest.approx(
        (plain.value * factor, plain.low * factor, plain.high * factor)
    )
    assert ours.value == pytest.approx(bits_per_byte(nats, text))


def test_empty_or_impossible_input_is_named():
    for call, says in [
        (lambda: bits_per_byte(torch.zeros(0), ""), "text is empty"),
        (lambda: perplexity(torch.zeros(0)), "no tokens"),
        (lambda: token_nats(model_of("gpt2"), []), "no tokens to score"),
        (lambda: accuracy(3, 2), "correct=3 of n=2"),
        (lambda: mean_interval(torch.zeros(300)), "10 are needed; give more text"),
    ]:
        with pytest.raises(ValueError, match=says):
            call()


@pytest.mark.parametrize("shape", [(1, 20), (20, 1), (2, 10), ()])
def test_only_the_ids_of_one_text_are_scored(shape):
    # A batch has as many rows as the text has tokens in another reading: log V for each row.
    with pytest.raises(ValueError, match=r"ids have shape .*; give those of one text, \(T,\)"):
        token_nats(model_of("gpt2"), torch.ones(shape, dtype=torch.long))


@pytest.mark.parametrize("ids", [[1.5, 2.0, 3.0], [True, False, True]])
def test_ids_are_whole_numbers(ids):
    with pytest.raises(ValueError, match="whole numbers"):
        token_nats(model_of("gpt2"), ids)


@pytest.mark.parametrize("ids", [[61], [5, 61], [-1]])
def test_a_token_that_the_model_does_not_know_is_not_scored(ids):
    with pytest.raises(ValueError, match="this model knows tokens 0 to 60"):
        token_nats(model_of("gpt2"), ids)


def test_a_model_that_reads_the_tokens_it_is_to_predict_is_not_scored():
    with pytest.raises(ValueError, match="looks both ways.*give a causal model"):
        token_nats(model_of("bert"), [1, 2, 3, 4])


@pytest.mark.parametrize("context", [0, -4, 2.5])
def test_a_context_that_holds_no_token_is_refused(context):
    with pytest.raises(ValueError, match=f"context={context} must be a whole number"):
        token_nats(model_of("gpt2"), list(range(60)), context=context)


TAGS = ["O", "B-PERSON", "I-PERSON", "B-PLACE", "I-PLACE"]


def tagged(seed, sentences=30):
    """Sentences of random tags, so that every odd order comes up."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 12, (sentences,), generator=generator).tolist()
    return [
        [TAGS[i] for i in torch.randint(5, (length,), generator=generator).tolist()]
        for length in lengths
    ]


@pytest.mark.parametrize("seed", range(10))
def test_names_are_found_as_the_reference_finds_them(seed):
    for sentence in tagged(seed):
        assert entity_spans(sentence) == {
            (kind, begin, end + 1) for kind, begin, end in get_entities(sentence)
        }


@pytest.mark.parametrize("seed", range(10))
def test_scores_of_names_are_the_references(seed):
    wanted = tagged(seed)
    noise = tagged(seed + 100, 60)
    given = [
        [(noise[n % 60] * 12)[i] if (n + i) % 4 == 0 else tag for i, tag in enumerate(s)]
        for n, s in enumerate(wanted)
    ]
    found = entity_scores(given, wanted)
    theirs = [measure(wanted, given) for measure in (precision_score, recall_score, seqeval_f1)]
    assert_close([found.precision, found.recall, found.f1], [float(value) for value in theirs])
    assert 0.1 < found.f1 < 0.99


def test_nothing_said_is_zero_and_not_a_crash():
    assert (
        entity_scores([["O", "O"]], [["O", "O"]]).f1
        == 0
        == entity_scores([["O"]], [["B-PLACE"]]).f1
    )


@pytest.mark.parametrize(("given", "wanted"), [([], []), ([["O"]], []), ([["O"]], [["O", "O"]])])
def test_sentences_that_do_not_match_are_refused(given, wanted):
    with pytest.raises(ValueError, match="there must be as many, and at least one"):
        entity_scores(given, wanted)


@pytest.mark.parametrize("tag", ["PERSON", "B-", "E-PERSON", ""])
def test_an_unknown_tag_is_named(tag):
    with pytest.raises(ValueError, match=f"tag '{tag}' at 1 is not known"):
        entity_spans(["O", tag])


@pytest.mark.parametrize("seed", range(5))
def test_macro_f1_is_scikit_learns(seed):
    generator = torch.Generator().manual_seed(seed)
    given, wanted = (torch.randint(6, (40,), generator=generator).tolist() for _ in range(2))
    assert_close(macro_f1(given, wanted), float(f1_score(wanted, given, average="macro")))


@pytest.mark.parametrize(
    ("given", "wanted", "exact", "f1"),
    [
        ("The Nile", "nile", True, 1.0),
        ("the river Nile", "Nile", False, 2 / 3),
        ("", "Nile", False, 0.0),
        ("the", "an", True, 1.0),
        ("blue blue red", "blue red red", False, 2 / 3),
        ("U.S.A.", "USA", True, 1.0),
        ("Paris", "Rome", False, 0.0),
    ],
)
def test_answers_are_compared_as_squad_does(given, wanted, exact, f1):
    found = answer_scores(given, wanted)
    assert found[0] is exact and abs(found[1] - f1) < 1e-9


@pytest.mark.parametrize("freedom", [*range(1, 41), 60, 200, 1000, 10**6])
def test_students_interval_is_scipys(freedom):
    assert t_quantile(freedom) == pytest.approx(t.ppf(0.975, freedom), rel=2e-6)


def test_an_interval_needs_a_degree_of_freedom():
    with pytest.raises(ValueError, match="freedom=0 must be at least 1"):
        t_quantile(0)


@pytest.mark.parametrize("values", [[0.5, 0.7, 0.9], [3.0, 1.0, 2.0, 2.0, 9.0], [0.1] * 4])
def test_a_band_holds_its_values_and_scipys_interval(values):
    found, n = summarize_runs(values), len(values)
    assert (found.low, found.high, found.runs) == (min(values), max(values), n)
    error = torch.tensor(values).double().std().item() / n**0.5
    assert found.spread == pytest.approx(t.ppf(0.975, n - 1) * error, rel=1e-6, abs=1e-12)
    assert found.mean == pytest.approx(sum(values) / n) and f"in {n} runs; mean ±" in str(found)


def test_two_runs_are_too_few_for_an_interval_and_a_band_says_so():
    assert (
        summarize_runs([1.0, 2.0]).spread is None
        and str(summarize_runs([1.0]))
        == "1.000 (1.000 to 1.000 in 1 runs; too few for an interval)"
    )
    for bad in ([], [1.0, math.nan], [math.inf]):
        with pytest.raises(ValueError, match="at least one run, each a finite number"):
            summarize_runs(bad)


@pytest.mark.parametrize(
    ("wins", "losses", "same"),
    [(6, 0, 4), (0, 3, 0), (5, 5, 1), (30, 12, 200), (0, 0, 7), (1, 0, 0)],
)
def test_a_paired_comparison_is_scipys_sign_test(wins, losses, same):
    ours = [True] * wins + [False] * losses + [True] * same
    theirs = [False] * wins + [True] * losses + [True] * same
    found = paired_test(ours, theirs)
    assert (found.wins, found.losses) == (wins, losses)
    assert found.p == pytest.approx(binomtest(wins, wins + losses).pvalue if wins + losses else 1.0)
    assert found.difference == pytest.approx((wins - losses) / (wins + losses + same))
    back = paired_test(theirs, ours)
    assert back.p == found.p and back.difference == pytest.approx(-found.difference)


def test_scores_are_compared_by_who_has_more_and_lists_must_match():
    found = paired_test([1.5, 2.0, 0.0], [1.0, 2.0, 5.0])
    assert (found.wins, found.losses, found.p) == (1, 1, 1.0) and found.difference == pytest.approx(
        -1.5
    )
    with pytest.raises(ValueError, match="2 predicted and 1 expected"):
        paired_test([1, 0], [1])
