"""Made beside real: the distance of two clouds, and who lies among whom, by the reference and where the answer is known."""

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

draw = lambda n, seed, F=6: torch.randn(n, F, generator=torch.Generator().manual_seed(seed))
mixed = draw(6, 9)  # so that the features hang together
real, made = draw(400, 0) @ mixed, 0.7 * draw(300, 1) @ mixed + 0.5


def test_the_distance_equals_the_formula_with_scipys_root():
    S, R = np.cov(real.double().numpy(), rowvar=False), np.cov(made.double().numpy(), rowvar=False)
    apart = ((real.double().mean(0) - made.double().mean(0)) ** 2).sum().item()
    assert frechet_distance(real, made) == pytest.approx(
        apart + np.trace(S + R - 2 * sqrtm(S @ R).real), rel=1e-6
    )


def test_of_two_known_gaussians_it_is_what_theory_says():
    assert frechet_distance(draw(200_000, 0, 3), 2 * draw(200_000, 1, 3) + 1) == pytest.approx(
        3 + 3 * (2 - 1) ** 2, rel=0.02
    )


def test_it_is_no_matter_who_is_called_real_and_nothing_lies_between_a_cloud_and_itself():
    assert frechet_distance(real, made) == pytest.approx(
        frechet_distance(made, real)
    ) and frechet_distance(real, real) == pytest.approx(0, abs=1e-6)


def test_a_flat_cloud_is_no_crash():
    flat = real.clone()
    flat[:, 0] = 0
    assert frechet_distance(flat, made) > 0 and np.isfinite(frechet_distance(flat, flat))


def test_a_root_is_a_root():
    S = real.double().T.cov()
    assert_close(matrix_sqrt(S) @ matrix_sqrt(S), S)


def test_few_pictures_look_worse_than_they_are():
    floors = [frechet_distance(draw(5000, 1), draw(n, 2)) for n in (50, 200, 2000)]
    assert floors == sorted(floors, reverse=True) and floors[0] > 5 * floors[-1]


@pytest.mark.parametrize("k", [1, 3, 5])
def test_precision_and_recall_equal_nearest_neighbours_of_scikit_learn(k):
    def among(points, others):
        reach = NearestNeighbors(n_neighbors=k + 1).fit(others).kneighbors(others)[0][:, -1]
        gaps = np.linalg.norm(points[:, None] - others[None], axis=-1)
        return (gaps <= reach).any(1).mean()

    a, b = real.double(), made.double()
    theirs = among(b.numpy(), a.numpy()), among(a.numpy(), b.numpy())
    assert precision_recall(a, b, k) == pytest.approx(theirs) and 0.3 < min(theirs) < max(theirs)


def test_one_good_kind_alone_is_precise_and_leaves_much_out():
    two = torch.cat([draw(300, 0), draw(300, 1) + 20])
    precision, recall = precision_recall(two, draw(300, 2))
    assert precision > 0.9 and 0.4 < recall < 0.55


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (
            lambda: frechet_distance(real[:6], made),
            "6 and 300 points in 6 features; more points than features",
        ),
        (lambda: frechet_distance(real, made[:, :5]), r"\(400, 6\) and \(300, 5\)"),
        (lambda: frechet_distance(real, made.masked_fill(made > 1, torch.nan)), "finite"),
        (lambda: precision_recall(real, made, 0), "k=0 neighbours"),
        (lambda: precision_recall(real[:3], made), "k=3 neighbours among 3"),
    ],
)
def test_what_cannot_be_compared_is_refused(act, message):
    with pytest.raises(ValueError, match=message):
        act()


# -- the judge that ships -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clothes():
    shown = load("fashion")
    return (
        load_feature_extractor(),
        normalize_pixels(shown.train.pixels[:1000]),
        normalize_pixels(shown.test.pixels[:1000]),
        shown.test.labels[:1000],
    )


def test_the_judge_knows_clothes(clothes):
    model, _, test, kinds = clothes
    assert (model(test).argmax(1) == kinds).double().mean() > 0.85 and not any(
        w.requires_grad for w in model.parameters()
    )


def test_real_is_near_real_and_spoilt_is_further_the_more_it_is(clothes):
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


def test_parts_make_no_difference(clothes):
    model, _, test, _ = clothes
    assert_close(
        extract_features(model, test[:50], batch=7),
        extract_features(model, test[:50]),
        rtol=1e-4,
        atol=1e-4,
    )


def test_what_is_no_picture_is_refused(clothes):
    model, _, test, _ = clothes
    for bad, message in (
        (255 * test, "reach from"),
        (test[:, 0], r"floats \(N, 1, S, S\)"),
        (test * torch.nan, "-1 to 1 is needed"),
    ):
        with pytest.raises(ValueError, match=message):
            extract_features(model, bad)
