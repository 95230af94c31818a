"""Are made pictures like real ones? Two clouds of points are compared, in features of a small network that knows clothes.

    N pictures   F features

One number, the Frechet distance, mixes up two failings; precision and recall tell them apart. All three depend on the network that
looks and on N, so they mean something beside other values for the same network and N, and beside real pictures' own.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from fmcourse.data import checkpoint
from fmcourse.data.images import check_images
from fmcourse.models.vision import FashionClassifier


@dataclass(frozen=True)
class Fidelity:
    """How near `n` made pictures come to real ones: `frechet` 0 is best; `precision` and `recall` are shares."""

    frechet: float
    precision: float
    recall: float
    n: int

    def __str__(self) -> str:
        return f"Frechet {self.frechet:.2f}, precision {self.precision:.2f}, recall {self.recall:.2f} ({self.n:,} pictures)"


def load_feature_extractor() -> FashionClassifier:
    """The network that looks, as it ships: trained once to tell the ten kinds of clothes apart (`recipes/judge.py`)."""
    model = FashionClassifier()
    model.load_state_dict(checkpoint("judge").tensors)
    return model.eval().requires_grad_(False)


@torch.inference_mode()
def extract_features(model: FashionClassifier, images: Tensor, batch: int = 500) -> Tensor:
    """What the judge sees in each picture, (N, F). Raises: ValueError for what cannot be pictures (N, 1, 28, 28) from -1 to 1."""
    return torch.cat([model.features(part) for part in check_images(images).split(batch)])


def compute_fidelity(model: FashionClassifier, real: Tensor, generated: Tensor) -> Fidelity:
    """Made pictures beside real ones, both (N, 1, 28, 28) from -1 to 1."""
    a, b = extract_features(model, real), extract_features(model, generated)
    return Fidelity(frechet_distance(a, b), *precision_recall(a, b), len(b))


def frechet_distance(real: Tensor, generated: Tensor) -> float:
    """Distance of two clouds of features (N, F), if each were a Gaussian: |m - n|² + tr(S + R - 2 (S R)^½). 0 if they are alike.

    It falls with N even for pictures from one source, so compare equal numbers.
    Raises: ValueError for clouds that do not fit together, or with fewer points than features, whose spread is not known.
    Source: Heusel et al. 2017, equation 6 (there with features of a network trained on ImageNet: FID).
    """
    check_features(real, generated)
    if min(len(real), len(generated)) <= real.shape[1]:
        raise ValueError(
            f"{len(real)} and {len(generated)} points in {real.shape[1]} features; more points than features are needed, and a thousand or more make a steady number."
        )
    a, b = real.double(), generated.double()
    S, R = a.T.cov(), b.T.cov()
    root = matrix_sqrt(S)
    cross = (
        torch.linalg.eigvalsh(root @ R @ root).clamp(min=0).sqrt().sum()
    )  # tr (S R)^½, of a symmetric matrix
    return max(
        0.0, ((a.mean(0) - b.mean(0)).square().sum() + S.trace() + R.trace() - 2 * cross).item()
    )


def matrix_sqrt(S: Tensor) -> Tensor:
    """The symmetric matrix whose square is S, (F, F); S is symmetric, with no negative eigenvalue."""
    values, vectors = torch.linalg.eigh(S)
    return vectors * values.clamp(min=0).sqrt() @ vectors.T


def precision_recall(real: Tensor, generated: Tensor, k: int = 3) -> tuple[float, float]:
    """Share of made points that lie among the real ones (are they good?), and of real ones among the made (is nothing left out?).

    A point lies among others if it is as near to one of them as that one's `k`-th neighbour.
    Raises: ValueError for clouds that do not fit together or have too few points.
    Source: Kynkäänniemi et al. 2019, equations 1 and 2.
    """
    check_features(real, generated)
    if not 1 <= k < min(len(real), len(generated)):
        raise ValueError(
            f"k={k} neighbours among {len(real)} and {len(generated)} points; k must be at least 1 and smaller than both."
        )
    return fraction_within(generated, real, k), fraction_within(real, generated, k)


def fraction_within(points: Tensor, others: Tensor, k: int) -> float:
    reach = (
        torch.cdist(others, others).kthvalue(k + 1).values
    )  # a point's nearest neighbour is itself
    return (torch.cdist(points, others) <= reach).any(1).double().mean().item()


def check_features(real: Tensor, generated: Tensor) -> None:
    if (
        real.ndim != 2
        or generated.ndim != 2
        or real.shape[1] != generated.shape[1]
        or not math.isfinite(float(real.sum() + generated.sum()))
    ):
        raise ValueError(
            f"features are {tuple(real.shape)} and {tuple(generated.shape)}; give finite (N, F), one F."
        )
