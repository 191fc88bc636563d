"""Metrics of images that NumPy sums in several buffers, and arguments that are refused."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import pytest

from lepton_celery import graph
from lepton_celery.catalogue.entries import resolve
from lepton_celery.catalogue.shared.buffers import buffers, crop_sum
from lepton_celery.errors import InputError, NotExact
from lepton_celery.graph.nodes import Node
from tests.exactness.cases.case import FLAT
from tests.oracle import assert_same_as_whole, evaluate, picture


def wild(shape: tuple[int, ...], dtype: str) -> Any:
    """Numbers whose sum depends on the order of the additions."""
    random = np.random.default_rng(math.prod(shape))
    return (random.standard_normal(shape) * np.exp(3 * random.standard_normal(shape))).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("shape", "pad", "block_shape"),
    [
        ((300, 400), 3, (64, 80)),  # several rows in a buffer
        ((30, 9001), 2, (7, 1000)),  # rows longer than a buffer
        ((3000, 12), 5, (1000, 12)),
        ((2000, 7), 3, (300, 7)),  # the crop leaves one column
        ((7, 900), 3, (7, 300)),  # the crop leaves one row
        ((40, 50, 60), 3, (13, 20, 30)),  # several planes in a buffer
        ((10, 200, 90), 2, (4, 100, 33)),  # a plane is larger than a buffer
        ((4, 5, 9, 700), 1, (2, 5, 9, 100)),
    ],
)
def test_the_sum_of_a_crop_is_numpys(dtype: str, shape: Any, pad: int, block_shape: Any) -> None:
    image = wild(shape, dtype)
    crop = image[tuple(slice(pad, -pad) for _ in shape)]
    for kind in {dtype, "float64"}:
        lazy = crop_sum(graph.open(image), [(pad, n - pad) for n in shape], kind, graph.make)
        assert_same_as_whole(cast("Node", lazy), np.sum(crop, dtype=kind), block_shape)
        whole = crop_sum(graph.open(image), [(0, n) for n in shape], kind, graph.make)
        assert_same_as_whole(cast("Node", whole), np.sum(image, dtype=kind), block_shape)


@pytest.mark.parametrize("layout", [(50, 294), (3, 9000), (9000, 3), (7, 1, 5000), (4, 30, 300), (20000,)])
@pytest.mark.parametrize("converted", [False, True])
def test_shares_of_a_run_have_each_buffer_once(layout: tuple[int, ...], converted: bool) -> None:
    count = math.prod(layout)
    whole = list(buffers(0, count, layout, converted))
    assert whole[0][0] == 0 and whole[-1][1] == count
    assert all(a[1] == b[0] for a, b in itertools.pairwise(whole))
    for share in (1000, 8192, 33333):
        cuts = [*range(0, count, share), count]
        assert [one for a, z in itertools.pairwise(cuts) for one in buffers(a, z, layout, converted)] == whole


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
@pytest.mark.parametrize("name", ["mean_squared_error", "normalized_root_mse", "structural_similarity"])
def test_images_larger_than_a_buffer_compare_as_the_whole_images(name: str, dtype: str) -> None:
    left, right = picture((310, 402), dtype), picture((310, 402), dtype, seed=9)
    options = {"data_range": 255} if name == "structural_similarity" else {}
    expected = resolve(f"skimage.metrics.{name}")(left, right, **options)
    assert_same_as_whole(graph.apply(f"metrics.{name}", left, right, **options), expected, (64, 80))


def test_equal_images_have_no_error_and_an_infinite_ratio() -> None:
    image = picture(FLAT, "uint8")
    with np.errstate(divide="ignore"):
        expected = resolve("skimage.metrics.peak_signal_noise_ratio")(image, image)
    assert_same_as_whole(graph.apply("peak_signal_noise_ratio", image, image), expected, (7, 10))


def test_information_of_a_label_image_is_summed_as_scipys_sparse_table_does() -> None:
    # the share 1 / n is added once for each of k pixels, which does not round as k / n
    true, test = np.zeros((1200, 1100), np.uint8), np.zeros((1200, 1100), np.uint8)
    true[:700, 3:] = 2
    test[5:, :1000] = 1
    for ignored in ((), (2,)):
        expected = resolve("skimage.metrics.variation_of_information")(true, test, ignore_labels=ignored)
        lazy = graph.apply("variation_of_information", true, test, ignore_labels=ignored)
        assert_same_as_whole(lazy, expected, (512, 512))


def test_nan_makes_errors_nan() -> None:
    image = picture(FLAT, float)
    image[20, 3] = np.nan
    assert math.isnan(evaluate(graph.apply("mean_squared_error", image, picture(FLAT, float)), (7, 10)))


REFUSED: list[tuple[str, Mapping[str, Any], str]] = [
    ("structural_similarity", {}, "give data_range"),
    ("structural_similarity", {"data_range": 1, "win_size": 4}, "odd win_size"),
    ("structural_similarity", {"data_range": 1, "win_size": 25}, "fits in"),
    ("structural_similarity", {"data_range": 1, "gradient": True}, "gradient"),
    ("structural_similarity", {"data_range": 1, "K3": 4}, "no parameter 'K3'"),
    ("structural_similarity", {"data_range": 1, "sigma": -1}, "0 or more"),
    ("normalized_root_mse", {"normalization": "max"}, "use one of"),
]


@pytest.mark.parametrize(("name", "options", "message"), REFUSED, ids=[f"{n}-{m}" for n, _, m in REFUSED])
def test_a_wrong_argument_is_one_clear_input_error(name: str, options: Mapping[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        graph.apply(f"metrics.{name}", picture(FLAT, float), picture(FLAT, float), **options)


def test_images_that_do_not_match_are_refused() -> None:
    for name in ("mean_squared_error", "structural_similarity", "normalized_mutual_information"):
        with pytest.raises(InputError, match="do not match"):
            graph.apply(f"metrics.{name}", picture((8, 9), "uint8"), picture((9, 8), "uint8"))
    with pytest.raises(InputError, match="no table"):
        graph.apply("adapted_rand_error", picture(FLAT, "uint8"))


def test_pixels_outside_the_range_of_their_dtype_are_refused() -> None:
    with pytest.raises(InputError, match="give data_range"):
        evaluate(graph.apply("peak_signal_noise_ratio", wild(FLAT, "float64"), wild(FLAT, "float64")), (7, 10))
    with pytest.raises(InputError, match="relabel_sequential"):
        evaluate(graph.apply("variation_of_information", np.full(FLAT, -1), np.ones(FLAT, int)), (7, 10))


@pytest.mark.parametrize("block_shape", [(5, 7), (23, 31)])
def test_the_distance_of_empty_full_and_single_pixel_images_is_that_of_scikit_image(block_shape: Any) -> None:
    corner, opposite = np.zeros(FLAT, bool), np.zeros(FLAT, bool)
    corner[0, 0] = opposite[-1, -1] = True
    images = (np.zeros(FLAT, bool), np.ones(FLAT, bool), corner, opposite)
    for first, second in itertools.product(images, images):
        expected = resolve("skimage.metrics.hausdorff_distance")(first, second)
        assert evaluate(graph.apply("hausdorff_distance", first, second), block_shape) == expected
    with pytest.raises(InputError, match="standard"):
        graph.apply("hausdorff_distance", corner, opposite, method="modified")


@pytest.mark.parametrize("name", ["contingency_table", "hausdorff_pair"])
def test_functions_whose_result_is_no_array_or_not_unique_are_refused(name: str) -> None:
    with pytest.raises(NotExact, match="use"):
        graph.apply(f"metrics.{name}", picture(FLAT, "uint8"), picture(FLAT, "uint8"))
