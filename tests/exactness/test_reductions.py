"""Whole-image values of difficult images: long runs, ties, NaN, single pixels; and calls that are refused."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from lepton_celery import graph
from lepton_celery.catalogue.arrays import Array
from lepton_celery.catalogue.shared import pairwise
from lepton_celery.errors import DtypeNotSupported, InputError, NotExact
from lepton_celery.grid import BlockGrid, Region
from lepton_celery.jobs import compute as eager
from lepton_celery.skimage import filters
from tests.exactness.cases.case import FLAT
from tests.exactness.cases.reductions import wide
from tests.oracle import assert_same_as_whole, picture

QS: list[Any] = [
    0.5,
    1,
    [0.2, 0.3],
    0,
    0.0,
    1.0,
    [0, 1],
    (0.1, 1),
    np.float32(0.3),
    np.array([[0.2], [0.7]]),
    np.int64(1),
]
SHAPES = [(1,), (9,), (1, 1), (3001,), (1, 2999), (2999, 1), (61, 53), (7, 11, 13), (3, 1, 5, 97)]


def in_blocks(shape: tuple[int, ...], seed: int) -> tuple[int, ...]:
    random = np.random.default_rng(seed)
    return tuple(int(random.integers(max(1, n // 4), n + 2)) for n in shape)


# ------------------------------------------------------------------------------------------------ runs of pixels


@pytest.mark.parametrize("shape", [(10,), (7, 9), (4, 1, 6), (5, 6, 7)])
def test_the_shares_of_blocks_are_the_whole_run_one_after_the_other(shape: tuple[int, ...]) -> None:
    for seed in range(20):
        grid = BlockGrid(shape, in_blocks(shape, seed))
        end = 0
        for region in grid:
            first, stop = pairwise.share_of(region, shape)
            assert (first, stop) == (end, end + region.size)
            end = stop
        assert end == np.prod(shape)


@pytest.mark.parametrize("shape", [(10,), (7, 9), (4, 1, 6), (3, 4, 5)])
def test_a_run_is_read_in_raster_order(shape: tuple[int, ...]) -> None:
    image = np.arange(np.prod(shape)).reshape(shape)

    class Counting:
        shape, dtype, reads = image.shape, image.dtype, 0

        def read(self, region: Region) -> Array:
            self.reads += 1
            return np.ascontiguousarray(image[region.slices])

    for start in range(image.size):
        for stop in range(start + 1, image.size + 1):
            view = Counting()
            np.testing.assert_array_equal(pairwise.read_run(view, start, stop), np.arange(start, stop))
            assert view.reads <= 2 * len(shape) - 1


@pytest.mark.parametrize("buffered", [False, True])
def test_every_stretch_belongs_to_one_share(monkeypatch: pytest.MonkeyPatch, buffered: bool) -> None:
    monkeypatch.setattr(pairwise, "LEAF", 128)
    monkeypatch.setattr(pairwise, "BUFFER", 100)
    for count in (1, 99, 100, 101, 127, 129, 5000):
        whole = list(pairwise.leaves_within(0, count, count, buffered))
        assert [a for a, _ in whole] == [0, *(z for _, z in whole[:-1])]
        cuts = np.sort(np.random.default_rng(count).integers(0, count + 1, 9))
        shares = [
            leaf
            for a, z in zip([0, *cuts], [*cuts, count], strict=True)
            for leaf in pairwise.leaves_within(int(a), int(z), count, buffered)
        ]
        assert shares == whole


@pytest.mark.parametrize("shape", SHAPES)
def test_sums_of_many_stretches_are_numpys(monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...]) -> None:
    monkeypatch.setattr(pairwise, "LEAF", 128)
    monkeypatch.setattr(pairwise, "READ_PX", 300)
    for seed, dtype in enumerate(("float32", "float64", "int32", "uint8", "bool")):
        image = wide(shape, dtype) if dtype != "bool" else picture(shape, dtype)
        for name in ("sum", "mean", "var", "std"):
            lazy = graph.apply(f"numpy.{name}", image)
            assert_same_as_whole(lazy, getattr(np, name)(image), in_blocks(shape, seed))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint64"])
@pytest.mark.parametrize("wide_px", [1, 1 << 30])
def test_sums_are_numpys_read_from_the_source_and_from_a_copy_in_raster_order(
    monkeypatch: pytest.MonkeyPatch, dtype: str, wide_px: int
) -> None:
    monkeypatch.setattr(pairwise, "_WIDE_PX", wide_px)
    image = wide((7, 150, 141), dtype)
    for name in ("sum", "mean", "std"):
        assert_same_as_whole(graph.apply(f"numpy.{name}", image), getattr(np, name)(image), (3, 64, 100))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sums_of_special_values_are_numpys(dtype: str) -> None:
    for special in (np.nan, np.inf, -np.inf):
        image = picture((90, 800), dtype)
        image[80, 3], image[0, 0] = special, np.inf
        for name in ("sum", "mean", "std"):
            with np.errstate(all="ignore"):
                expected = getattr(np, name)(image)
            assert_same_as_whole(graph.apply(f"numpy.{name}", image), expected, (50, 80))
    zeros = np.full((90, 800), -0.0, dtype)
    assert_same_as_whole(graph.apply("numpy.sum", zeros), np.sum(zeros), (50, 80))


def test_sums_of_integers_wrap_around_as_numpys_do() -> None:
    for dtype in ("int64", "uint64"):
        image = np.full(FLAT, np.iinfo(dtype).max, dtype)
        for name in ("sum", "prod"):
            assert_same_as_whole(graph.apply(f"numpy.{name}", image), getattr(np, name)(image), (7, 10))


def test_the_sum_of_a_filtered_image_is_that_of_the_whole_one() -> None:
    from skimage.filters import gaussian

    image = picture((150, 520), "uint8")
    smooth = gaussian(image, 2)
    lazy = filters.gaussian(graph.open(image), 2)
    for name in ("sum", "mean", "std", "median", "argmax"):
        assert_same_as_whole(getattr(np, name)(lazy), getattr(np, name)(smooth), (64, 70))
    assert_same_as_whole((lazy - np.mean(lazy)) / np.std(lazy), (smooth - np.mean(smooth)) / np.std(smooth), (64, 70))


# ------------------------------------------------------------------------------------------------ ties and ranks


@pytest.mark.parametrize("shape", SHAPES)
def test_the_position_of_an_extremum_is_the_first_in_raster_order(shape: tuple[int, ...]) -> None:
    for seed in range(5):
        image = np.random.default_rng(seed).integers(0, 3, shape)
        for pixels in (image.astype(np.uint8), image.astype(float), image > 1, np.where(image == 1, np.nan, image)):
            for find in (np.argmin, np.argmax):
                assert_same_as_whole(
                    graph.apply(f"numpy.{find.__name__}", pixels), find(pixels), in_blocks(shape, seed)
                )


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "int64", "float32", "float64"])
def test_medians_of_few_and_many_pixels_are_numpys(dtype: str) -> None:
    random = np.random.default_rng(0)
    for count in (1, 2, 3, 4, 50, 51):
        for _ in range(5):
            image = (random.standard_normal(count) * 100).astype(dtype)
            assert_same_as_whole(graph.apply("numpy.median", image), np.median(image), (7,))
            if dtype.startswith("float"):
                image[count // 2] = np.nan
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    expected = np.median(image)
                assert_same_as_whole(graph.apply("numpy.median", image), expected, (7,))


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_quantiles_take_every_form_of_q(dtype: str) -> None:
    image = picture((19, 17), dtype)
    for q in QS:
        assert_same_as_whole(graph.apply("numpy.quantile", image, q), np.quantile(image, q), (8, 8))
    if dtype != "uint8":
        image[3, 3] = np.nan
        for q in QS[:3]:
            assert_same_as_whole(graph.apply("numpy.quantile", image, q), np.quantile(image, q), (8, 8))


# ------------------------------------------------------------------------------------------------ counts


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # the density if no pixel is in range
@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "float32", "float64"])
def test_histograms_have_numpys_counts_and_edges(dtype: str) -> None:
    image = picture((41, 37), dtype) - np.array(0 if dtype == "uint8" else 1, dtype)
    for options in ({}, {"bins": 7}, {"bins": 300}, {"range": (-1, 0.5)}, {"bins": np.array([0, 0.25, 0.5, 3])}):
        for density in (None, True):
            counts, edges = graph.apply("numpy.histogram", image, density=density, **options)
            expected = np.histogram(image, density=density, **options)
            assert_same_as_whole(counts, expected[0], (10, 11))
            assert_same_as_whole(edges, expected[1], (10, 11))


def test_the_histogram_of_a_constant_image_is_numpys() -> None:
    for image in (np.full(FLAT, 3, np.uint8), np.full(FLAT, 0.25), np.zeros(FLAT, np.float32)):
        for node, expected in zip(graph.apply("numpy.histogram", image), np.histogram(image), strict=True):
            assert_same_as_whole(node, expected, (7, 10))


REFUSED: list[tuple[str, Mapping[str, Any], str]] = [
    ("numpy.mean", {"axis": 2}, "axis"),
    ("numpy.max", {"axis": (0, 0)}, "repeated axis"),
    ("numpy.mean", {"dtype": "int32"}, "float dtype"),
    ("numpy.max", {"initial": 5}, "initial"),
    ("numpy.median", {"overwrite_input": True}, "overwrite_input"),
    ("numpy.quantile", {"q": 2}, "fractions"),
    ("numpy.quantile", {"q": 0.5, "method": "nearest"}, "method"),
    ("numpy.histogram", {"bins": "auto"}, "give a number"),
    ("numpy.histogram", {"weights": np.ones(FLAT)}, "weights"),
    ("numpy.histogram", {"bins": 0}, "bins"),
    ("numpy.unique", {"return_index": True}, "return_index"),
    ("numpy.bincount", {}, "takes images of 1 axes"),
]


@pytest.mark.parametrize(("name", "options", "message"), REFUSED, ids=[f"{n}-{m}" for n, _, m in REFUSED])
def test_a_call_that_is_not_supported_is_refused(name: str, options: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        graph.apply(name, picture(FLAT, "uint8"), **options)


def test_reductions_that_depend_on_the_order_of_pixels_are_refused() -> None:
    with pytest.raises(NotExact, match=r"numpy\.var"):
        graph.apply("numpy.cov", picture(FLAT, float))
    with pytest.raises(DtypeNotSupported, match="order of its pixels"):
        np.prod(graph.open(picture(FLAT, float)))
    for name in ("unique",):
        with pytest.raises(DtypeNotSupported):
            graph.apply(f"numpy.{name}", picture(FLAT, float))


def test_a_table_of_counts_larger_than_memory_is_refused() -> None:
    image = np.array([1, 2**30], np.int32)
    with pytest.raises(InputError, match=r"numpy\.unique"):
        eager.compute(graph.apply("numpy.bincount", image), block_shape=(2,))
