"""x Wᵀ and its two gradients: our `linear`, and oneDNN chosen or not, beside torch's `F.linear`.

Run   python -m benchmarks products     Takes   about half a minute on one core

The shapes are those of the course's GPT (768 rows of 128) and of SmolLM2 (1,024 rows of 576).
`fmcourse.fast` takes oneDNN on AMD's processors with AVX-512 and torch's own elsewhere, where the
first ratios are 1 up to noise; the last ones say whether that was right here.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.rows import Row, Work, row, side_by_side
from fmcourse.fast import linear
from fmcourse.fast.products import LinearFunction

SHAPES = [(768, 128, 512), (768, 512, 128), (1024, 576, 1536)]  # rows, features in, features out
SMALL = [(32, 8, 8)]
FLOP_AT_ONCE = 10 * 10**9  # in one measurement


def worker(product: Callable[..., Tensor], rows: int, inner: int, outer: int, times: int) -> Work:
    """A function that runs a product's forward and backward pass several times."""
    generator = torch.Generator().manual_seed(0)
    x, weight, dy = (
        torch.randn(*shape, generator=generator)
        for shape in ((rows, inner), (outer, inner), (rows, outer))
    )
    x.requires_grad_()
    weight.requires_grad_()

    def work() -> None:
        for _ in range(times):
            torch.autograd.grad(product(x, weight, None), (x, weight), dy)

    return work


def main(small: bool = False) -> list[Row]:
    """GFLOP/s (a multiplication and an addition are two operations), and their ratio."""
    found: dict[str, list[Row]] = {"ours": [], "oneDNN": []}
    products = {"ours": linear, "oneDNN": LinearFunction.apply, "F.linear": F.linear}
    if not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        del products["oneDNN"], found["oneDNN"]
    for shape in SMALL if small else SHAPES:
        work = 6 * shape[0] * shape[1] * shape[2]
        times = 1 if small else max(1, FLOP_AT_ONCE // work)
        makers = {name: worker(product, *shape, times) for name, product in products.items()}
        rate = {
            name: work * times / s / 1e9
            for name, s in side_by_side(makers, 1 if small else 9).items()
        }
        for name, rows in found.items():
            what = f"{name}, {shape[0]} x {shape[1]} to {shape[0]} x {shape[2]}; peer is F.linear"
            rows.append(
                row(what, rate[name], rate["F.linear"], rate[name] / rate["F.linear"], "GFLOP/s")
            )
    return [row for rows in found.values() for row in rows]
