"""How good are generated images? Fréchet distance, precision and recall against real images.

    N images   F features

Both sets are compared in the features of a small classifier of clothes. The Fréchet distance is one
number for everything; precision (do the images look real?) and recall (is the variety of real
images covered?) tell two failures apart. All three depend on the classifier and on N, so compare
them only for the same classifier and N, best beside the values of real images themselves.
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
    """How near generated images come to real ones.

    Args:
        frechet: Fréchet distance; 0 is best.
        precision, recall: shares from 0 to 1.
        n: how many images were generated.
    """

    frechet: float
    precision: float
    recall: float
    n: int

    def __str__(self) -> str:
        return (
            f"Frechet {self.frechet:.2f}, precision {self.precision:.2f}, "
            f"recall {self.recall:.2f} ({self.n:,} pictures)"
        )


def load_feature_extractor() -> FashionClassifier:
    """The classifier of ten kinds of clothes that the course ships (`recipes/judge.py`)."""
    model = FashionClassifier()
    model.load_state_dict(checkpoint("judge").tensors)
    return model.eval().requires_grad_(False)


@torch.inference_mode()
def extract_features(model: FashionClassifier, images: Tensor, batch: int = 500) -> Tensor:
    """The classifier's features of images (N, 1, 28, 28) with values from -1 to 1, (N, F).

    Raises: ValueError for what cannot be such images.
    """
    # In parts, which bounds the memory.
    return torch.cat([model.features(part) for part in check_images(images).split(batch)])


def compute_fidelity(model: FashionClassifier, real: Tensor, generated: Tensor) -> Fidelity:
    """All three measures for images (N, 1, 28, 28) with values from -1 to 1.

    Raises: ValueError as `extract_features`, `frechet_distance` and `precision_recall`.
    """
    real, generated = extract_features(model, real), extract_features(model, generated)
    precision, recall = precision_recall(real, generated)
    return Fidelity(frechet_distance(real, generated), precision, recall, len(generated))


def frechet_distance(real: Tensor, generated: Tensor) -> float:
    """Fréchet distance of two sets of features (N, F), each taken for a Gaussian; 0 if equal.

        |μ₁ - μ₂|² + tr(Σ₁ + Σ₂ - 2 (Σ₁ Σ₂)^½)

    It falls as N grows, even for images of one source, so compare equal N.

    Raises: ValueError for sets that do not fit together, or with fewer points than features, whose
        covariance cannot be estimated.
    Source: Heusel et al. 2017, equation 6 (FID: with features of a network trained on ImageNet).
    """
    check_features(real, generated)
    if min(len(real), len(generated)) <= real.shape[1]:
        raise ValueError(
            f"{len(real)} and {len(generated)} points in {real.shape[1]} features; more points "
            "than features are needed, and a thousand or more for a stable value."
        )
    x, y = real.double(), generated.double()  # double: the differences below lose digits
    sigma_x, sigma_y = x.T.cov(), y.T.cov()  # (F, F); cov expects variables as rows
    # Σ₁ Σ₂ is not symmetric, but Σ₁^½ Σ₂ Σ₁^½ is and has the same eigenvalues. Rounding can bring
    # those that are 0 slightly below.
    root = matrix_sqrt(sigma_x)
    # The trace of a root is the sum of the roots of the eigenvalues.
    trace_of_root = torch.linalg.eigvalsh(root @ sigma_y @ root).clamp(min=0).sqrt().sum()
    distance = (x.mean(0) - y.mean(0)).square().sum()
    spread = sigma_x.trace() + sigma_y.trace() - 2 * trace_of_root
    return max(0.0, (distance + spread).item())  # rounding may give less than 0


def matrix_sqrt(matrix: Tensor) -> Tensor:
    """The square root of a symmetric matrix (F, F) without negative eigenvalues: root² = matrix."""
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.clamp(min=0).sqrt() @ vectors.T  # V diag(√λ) Vᵀ


def precision_recall(real: Tensor, generated: Tensor, k: int = 3) -> tuple[float, float]:
    """Precision and recall of generative models, for features (N, F).

    Precision: the share of generated points that lie among the real ones. Recall: the share of real
    points that lie among the generated ones. A point lies among others if, for at least one of
    them, it is no further away than that one's `k`-th nearest neighbour.

    Raises: ValueError for sets that do not fit together or have too few points.
    Source: Kynkäänniemi et al. 2019, equations 1 and 2.
    """
    check_features(real, generated)
    if not 1 <= k < min(len(real), len(generated)):
        raise ValueError(
            f"k={k} neighbours among {len(real)} and {len(generated)} points; k must be at least 1 "
            "and smaller than both."
        )
    return fraction_within(generated, real, k), fraction_within(real, generated, k)


def fraction_within(points: Tensor, others: Tensor, k: int) -> float:
    """The share of `points` that lie among `others`."""
    # Each point's nearest neighbour is itself, hence k + 1.
    radius = torch.cdist(others, others).kthvalue(k + 1).values  # (M,)
    # (N, M) distances, each column against its own radius.
    return (torch.cdist(points, others) <= radius).any(1).double().mean().item()


def check_features(real: Tensor, generated: Tensor) -> None:
    """Raises: ValueError unless both are finite (N, F) with the same F."""
    fit = real.ndim == generated.ndim == 2 and real.shape[1] == generated.shape[1]
    # One NaN or infinity anywhere makes the sum NaN or infinite.
    if not fit or not math.isfinite(float(real.sum() + generated.sum())):
        raise ValueError(
            f"features are {tuple(real.shape)} and {tuple(generated.shape)}; give finite (N, F), "
            "one F."
        )
