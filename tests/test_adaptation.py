"""Which parameters train, and a linear probe that equals scikit-learn's logistic regression."""

import pytest
import torch
from helpers import model_of
from torch.testing import assert_close

from fmcourse.adaptation import count_trainable, fit_linear_probe, train_only
from fmcourse.models.heads import SequenceClassifier

# -- which parameters train -----------------------------------------------------------------------


def classifier() -> SequenceClassifier:
    return SequenceClassifier(model_of("bert bare"), 3)


def test_only_the_parts_named_are_trained():
    model = train_only(classifier(), "classifier", "encoder.stack.blocks.1")
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    parts = ("classifier.", "encoder.stack.blocks.1.")
    assert trained == {name for name, _ in model.named_parameters() if name.startswith(parts)}
    assert len(trained) > 10
    assert count_trainable(model) == sum(
        weight.numel() for name, weight in model.named_parameters() if name in trained
    )


def test_no_part_freezes_all_and_the_empty_name_is_the_whole_model():
    model = classifier()
    assert count_trainable(train_only(model)) == 0
    every = sum(weight.numel() for weight in model.parameters())
    assert count_trainable(train_only(model, "")) == every > 0


def test_a_part_that_is_not_there_names_the_nearest():
    with pytest.raises(
        ValueError, match=r"no part 'encoder.stack.block.1'; did you mean encoder.stack.blocks.1"
    ):
        train_only(classifier(), "encoder.stack.block.1")


# -- the linear probe -----------------------------------------------------------------------------

SCALES = torch.tensor([1, 5, 0.1, 2, 30, 1, 1])  # features in different units
FEATURES = torch.randn(60, 7, generator=torch.Generator().manual_seed(1)) * SCALES + 3
LABELS = (FEATURES[:, 1] > 3).long() + (FEATURES[:, 4] > 10).long()


@pytest.mark.slow
@pytest.mark.parametrize("l2", [1e-4, 1e-3, 1e-1])
def test_equals_scikit_learns_logistic_regression(l2):
    from sklearn.linear_model import LogisticRegression

    scaled = (FEATURES - FEATURES.mean(0)) / FEATURES.std(0, correction=0) / 7**0.5
    theirs = LogisticRegression(C=1 / (2 * 60 * l2), tol=1e-8, max_iter=5000).fit(scaled, LABELS)
    ours = fit_linear_probe(FEATURES, LABELS, 3, l2)(FEATURES).softmax(-1)
    expected = torch.tensor(theirs.predict_proba(scaled))
    assert_close(ours.double(), expected, atol=2e-3, rtol=0)  # both stop short of the optimum


def test_the_units_of_features_do_not_matter():
    plain = fit_linear_probe(FEATURES, LABELS, 3)
    other = fit_linear_probe(FEATURES * 100 + 5, LABELS, 3)
    assert_close(other(FEATURES * 100 + 5), plain(FEATURES), atol=1e-2, rtol=1e-2)


def test_a_feature_that_never_changes_does_not_matter():
    plain = fit_linear_probe(FEATURES, LABELS, 3)
    constant = torch.cat([FEATURES, torch.ones(60, 1)], 1)
    probe = fit_linear_probe(constant, LABELS, 3)
    same = probe(constant).argmax(1) == plain(FEATURES).argmax(1)
    assert same.float().mean() > 0.95


def test_the_features_are_not_changed_and_the_probe_is_frozen():
    before = FEATURES.clone()
    probe = fit_linear_probe(FEATURES, LABELS, 3)
    assert torch.equal(FEATURES, before)
    assert not any(weight.requires_grad for weight in probe.parameters())


@pytest.mark.parametrize(
    ("labels", "num_classes"), [(LABELS[:5], 3), (LABELS, 2), (LABELS - 1, 3), (LABELS[:0], 3)]
)
def test_labels_that_do_not_fit_the_features_are_refused(labels, num_classes):
    with pytest.raises(
        ValueError,
        match=f"60 rows of features and {len(labels)} labels for {num_classes} classes",
    ):
        fit_linear_probe(FEATURES, labels, num_classes)
