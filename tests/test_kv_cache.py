"""The KV cache: a value that continuations share, under a layout that says what stands where."""

import torch
from helpers import ids_for, model_of
from torch.testing import assert_close

from fmcourse.models.kv_cache import KVCache, LeftPadding


class Reversed:
    """A layout for the test: positions count down, and nothing but the token itself is visible."""

    def positions(self, length, T):
        return torch.arange(9 - length, 9 - length - T, -1)

    def mask(self, length, T):
        return torch.eye(length, dtype=torch.bool)[-T:]


def empty_cache(layout=None):
    return KVCache(torch.zeros(1, 2, 2, 1, 4, 2), layout=layout)


def test_without_a_layout_positions_count_up_and_nothing_is_hidden():
    cache = empty_cache().reserve(3)
    assert cache.positions(2).tolist() == [3, 4]
    assert cache.mask(2) is None


def test_left_padding_counts_positions_from_the_first_token_and_hides_the_pads():
    cache = empty_cache(LeftPadding(torch.tensor([0, 2])))
    assert cache.positions(3).tolist() == [[0, 1, 2], [0, 0, 0]]
    cache = cache.reserve(3)
    assert cache.mask(2).tolist() == [
        [[True, True, True], [True, True, True]],
        [[False, True, True], [False, False, True]],  # the pad at 1 attends to itself alone
    ]


def test_another_layout_shares_the_store():
    cache = empty_cache().reserve(2)
    other = cache.with_layout(Reversed())
    assert other.store is cache.store and other.length == 2
    assert other.positions(2).tolist() == [7, 6]
    # Of two caches on one store the first goes on in place, and the second notices and copies.
    assert cache.reserve(1).store is cache.store
    assert other.reserve(1).store is not cache.store
    assert other.reserve(1).layout is other.layout


def test_a_layout_decides_positions_and_mask_of_a_model():
    model, ids = model_of("llama"), ids_for("llama", 2, 3)
    logits, _ = model.extend(ids, model.new_cache(2).with_layout(Reversed()))
    alone = [model.extend(ids[:, n : n + 1], model.new_cache(2))[0] for n in range(3)]
    # A token that attends to itself alone is the same at every position: RoPE knows distances only.
    assert_close(logits, torch.cat(alone, 1), atol=2e-5, rtol=1e-4)


def test_new_cache_takes_the_padding_of_each_row():
    cache = model_of("llama").new_cache(2, capacity=5, padding=torch.tensor([0, 1]))
    assert isinstance(cache.layout, LeftPadding)
    assert cache.store.shape[4] == 5


def test_padding_may_stand_behind_a_shared_prefix():
    layout = LeftPadding(torch.tensor([0, 2]), start=3)
    assert layout.positions(3, 4).tolist() == [[3, 4, 5, 6], [3, 3, 3, 4]]
    seen = layout.mask(7, 4)
    assert seen.shape == (2, 4, 7) and seen[0].all()
    assert seen[1, 3].int().tolist() == [1, 1, 1, 0, 0, 1, 1]
    assert seen[1, 0].int().tolist() == [1, 1, 1, 1, 0, 1, 1]
