"""Sums of pieces equal NumPy's pairwise sum to the last bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lepton_celery.catalogue.arrays import Array
from lepton_celery.catalogue.shared.pairwise import BUFFER, LEAF, PairwiseSum

POWERS = sorted({(1 << p) + d for p in range(3, 18) for d in (-1, 0, 1)})
COUNTS = [*range(1, 301), *POWERS, LEAF + 7, LEAF + 8, 2 * LEAF + 1, 3 * LEAF - 1, 5 * LEAF + 13]


def values(count: int, dtype: str, seed: int = 0) -> Array:
    random = np.random.default_rng(seed)
    if np.dtype(dtype).kind in "iu":
        return random.integers(0, np.iinfo(dtype).max, count, dtype=dtype)
    spread = random.standard_normal(count) * 10.0 ** random.integers(-6, 7, count)
    return spread.astype(dtype)


def in_pieces(array: Array, sizes: Any) -> PairwiseSum:
    total = PairwiseSum(array.size, array.dtype)
    at, turn = 0, 0
    while at < array.size:
        size = int(sizes[turn % len(sizes)])
        total.add(array[at : at + size])
        at, turn = at + size, turn + 1
    return total


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_sum_from_pieces_has_numpys_bits_at_every_length(dtype: str) -> None:
    pool = values(max(COUNTS), dtype)
    for count in COUNTS:
        array = pool[:count].copy()
        for sizes in ([count], [1, 7, 130], [LEAF, 3]) if count < 3000 else ([8191, 4099], [count]):
            mean = in_pieces(array, sizes).mean()
            assert mean.dtype == array.dtype
            assert mean.tobytes() == np.mean(array).tobytes(), (count, sizes)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_sum_itself_is_that_of_add_reduce(dtype: str) -> None:
    for count in (1, 8, 129, LEAF, LEAF + 1, 4 * LEAF + 9):
        array = values(count, dtype, seed=count)
        total = in_pieces(array, [1000, 77])
        assert [s.tobytes() for s in total._sums] == [np.add.reduce(array).tobytes()]


@pytest.mark.parametrize("dtype", ["int32", "uint32", "int64", "uint64"])
def test_the_mean_of_wide_integers_is_numpys_although_it_converts_a_buffer_at_a_time(dtype: str) -> None:
    for count in (1, 2, 127, BUFFER - 1, BUFFER, BUFFER + 1, 2 * BUFFER + 1, 100_003):
        array = values(count, dtype)
        for sizes in ([count], [11, 5000]):
            mean = in_pieces(array, sizes).mean()
            assert mean.dtype == np.float64
            assert mean.tobytes() == np.mean(array).tobytes(), (count, sizes)


def test_a_float32_mean_is_divided_by_the_exact_count() -> None:
    # 2**24 + 1 is no float32: NumPy divides in float64 and rounds once
    count = (1 << 24) + 1
    array = np.full(count, 3.0, np.float32)
    assert in_pieces(array, [1 << 22]).mean().tobytes() == np.mean(array).tobytes()


def test_sums_of_special_values_are_numpys() -> None:
    for special in (np.nan, np.inf, -np.inf):
        array = np.ones(LEAF + 50)
        array[LEAF + 3] = special
        np.testing.assert_array_equal(in_pieces(array, [999]).mean(), np.mean(array))
    zeros = np.full(300, -0.0)
    assert in_pieces(zeros, [7]).mean().tobytes() == np.mean(zeros).tobytes()


def test_memory_is_one_leaf_and_one_sum_per_level_of_the_tree() -> None:
    total = PairwiseSum(100 * LEAF, np.dtype(np.float64))
    piece = np.ones(LEAF // 3 + 1)
    for _ in range(299):
        total.add(piece)
        assert total._buffer.size == LEAF
        assert len(total._sums) <= 8
