"""Fréchet distance, precision and recall: against scipy, scikit-learn and known answers."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from sklearn.neighbors import NearestNeighbors
from torch.testing import assert_close

from fmcourse.data import load
from fmcourse.data.images import normalize_pixels
from fmcourse.evaluation.image_quality import (
    Fidelity,
    compute_fidelity,
    extract_features,
    frechet_distance,
    load_feature_extractor,
    matrix_sqrt,
    precision_recall,
)


def draw(n, seed, F=6):
    return torch.randn(n, F, generator=torch.Generator().manual_seed(seed))


mixing = draw(6, 9)  # so that features are correlated
real, generated = draw(400, 0) @ mixing, 0.7 * draw(300, 1) @ mixing + 0.5


def test_the_distance_equals_the_formula_with_scipys_matrix_root():
    x, y = real.double().numpy(), generated.double().numpy()
    S, R = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    means = ((x.mean(0) - y.mean(0)) ** 2).sum()
    expected = means + np.trace(S + R - 2 * sqrtm(S @ R).real)
    assert frechet_distance(real, generated) == pytest.approx(expected, rel=1e-6)


def test_the_distance_of_two_known_gaussians():
    assert frechet_distance(draw(200_000, 0, 3), 2 * draw(200_000, 1, 3) + 1) == pytest.approx(
        3 + 3 * (2 - 1) ** 2, rel=0.02
    )


def test_the_distance_is_symmetric_and_zero_for_equal_sets():
    assert frechet_distance(real, generated) == pytest.approx(
        frechet_distance(generated, real)
    ) and frechet_distance(real, real) == pytest.approx(0, abs=1e-6)


def test_a_feature_without_variance_is_no_crash():
    flat = real.clone()
    flat[:, 0] = 0
    assert frechet_distance(flat, generated) > 0 and np.isfinite(frechet_distance(flat, flat))


def test_the_square_of_a_root_is_the_matrix():
    S = real.double().T.cov()
    assert_close(matrix_sqrt(S) @ matrix_sqrt(S), S)


def test_the_distance_falls_with_the_number_of_images():
    floors = [frechet_distance(draw(5000, 1), draw(n, 2)) for n in (50, 200, 2000)]
    assert floors == sorted(floors, reverse=True) and floors[0] > 5 * floors[-1]


@pytest.mark.parametrize("k", [1, 3, 5])
def test_precision_and_recall_equal_nearest_neighbours_of_scikit_learn(k):
    def among(points, others):
        reach = NearestNeighbors(n_neighbors=k + 1).fit(others).kneighbors(others)[0][:, -1]
        gaps = np.linalg.norm(points[:, None] - others[None], axis=-1)
        return (gaps <= reach).any(1).mean()

    a, b = real.double(), generated.double()
    theirs = among(b.numpy(), a.numpy()), among(a.numpy(), b.numpy())
    assert precision_recall(a, b, k) == pytest.approx(theirs) and 0.3 < min(theirs) < max(theirs)


def test_one_class_alone_has_precision_and_lacks_recall():
    two = torch.cat([draw(300, 0), draw(300, 1) + 20])
    precision, recall = precision_recall(two, draw(300, 2))
    assert precision > 0.9 and 0.4 < recall < 0.55


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (
            lambda: frechet_distance(real[:6], generated),
            "6 and 300 points in 6 features; more points than features",
        ),
        (lambda: frechet_distance(real, generated[:, :5]), r"\(400, 6\) and \(300, 5\)"),
        (lambda: frechet_distance(real, generated.masked_fill(generated > 1, torch.nan)), "finite"),
        (lambda: precision_recall(real, generated, 0), "k=0 neighbours"),
        (lambda: precision_recall(real[:3], generated), "k=3 neighbours among 3"),
    ],
)
def test_features_that_cannot_be_compared_are_refused(act, message):
    with pytest.raises(ValueError, match=message):
        act()


# -- the feature extractor that ships --------------------------------------------------------------


@pytest.fixture(scope="module")
def clothes():
    shown = load("fashion")
    return (
        load_feature_extractor(),
        normalize_pixels(shown.train.pixels[:1000]),
        normalize_pixels(shown.test.pixels[:1000]),
        shown.test.labels[:1000],
    )


def test_the_feature_extractor_classifies_clothes(clothes):
    model, _, test, labels = clothes
    assert (model(test).argmax(1) == labels).double().mean() > 0.85 and not any(
        w.requires_grad for w in model.parameters()
    )


@pytest.mark.slow
def test_real_images_score_well_and_noisy_ones_worse_the_more_noise(clothes):
    model, train, test, _ = clothes
    noise = torch.randn(train.shape, generator=torch.Generator().manual_seed(0))
    found = [compute_fidelity(model, test, (train + s * noise).clamp(-1, 1)) for s in (0, 0.1, 0.5)]
    assert [one.frechet for one in found] == sorted(one.frechet for one in found) and found[
        2
    ].frechet > 5 * found[0].frechet
    assert (
        found[0].precision > 0.75 < found[0].recall
        and found[2].recall < 0.2 < 0.6 < found[1].recall
    )
    assert (
        str(Fidelity(1.26, 0.5, 0.25, 2000))
        == "Frechet 1.26, precision 0.50, recall 0.25 (2,000 pictures)"
    )


def test_features_do_not_depend_on_the_batch(clothes):
    model, _, test, _ = clothes
    assert_close(
        extract_features(model, test[:50], batch=7),
        extract_features(model, test[:50]),
        rtol=1e-4,
        atol=1e-4,
    )


def test_what_is_no_image_is_refused(clothes):
    model, _, test, _ = clothes
    for bad, message in (
        (255 * test, "reach from"),
        (test[:, 0], r"floats \(N, 1, S, S\)"),
        (test * torch.nan, "-1 to 1 is needed"),
    ):
        with pytest.raises(ValueError, match=message):
            extract_features(model, bad)
