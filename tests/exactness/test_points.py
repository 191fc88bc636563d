"""Peaks, corners and blobs of difficult images: plateaus, ties, constants, borders, and the order of the results."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lepton_celery import graph
from lepton_celery.catalogue.arrays import Array
from lepton_celery.catalogue.entries import resolve
from lepton_celery.errors import InputError
from tests.exactness.cases.case import FLAT
from tests.oracle import assert_identical, assert_same_as_whole, evaluate, picture


def same(name: str, image: Array, block_shape: tuple[int, ...], **options: Any) -> None:
    expected = resolve(f"skimage.feature.{name}")(image, **options)
    assert_same_as_whole(graph.apply(f"feature.{name}", image, **options), expected, block_shape)


PLATEAUS = np.kron(np.random.default_rng(3).integers(0, 4, (6, 8)), np.ones((5, 4), int))


@pytest.mark.parametrize("options", [{}, {"min_distance": 3}, {"min_distance": 4, "num_peaks": 5, "p_norm": 2.0}])
@pytest.mark.parametrize("block_shape", [(5, 4), (7, 9), (1, 31)])
def test_all_pixels_of_a_plateau_are_peaks_and_spacing_chooses_among_them(options: Any, block_shape: Any) -> None:
    for dtype in ("uint8", "int32", "float32"):
        same("peak_local_max", PLATEAUS.astype(dtype), block_shape, exclude_border=False, **options)
        same("corner_peaks", PLATEAUS.astype(dtype), block_shape, exclude_border=False, **options)


@pytest.mark.parametrize("value", [0, 5])
@pytest.mark.parametrize("threshold", [None, -1, 3, 7])
def test_a_constant_image_has_no_peak_but_a_constant_block_may(value: int, threshold: Any) -> None:
    image = np.full(FLAT, value, np.int32)
    same("peak_local_max", image, (7, 10), threshold_abs=threshold)
    image[3, 4] = 9
    same("peak_local_max", image, (7, 10), threshold_abs=threshold)


def test_a_footprint_with_gaps_may_make_every_pixel_a_peak() -> None:
    only_itself = np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]])
    for image in (picture(FLAT, float), np.indices(FLAT).sum(axis=0) % 2):
        same("peak_local_max", image, (7, 10), footprint=only_itself)
        same("peak_local_max", image, (7, 10), footprint=np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1]]))
        same("peak_local_max", image, (7, 10), footprint=np.ones((1, 1)), min_distance=2)


def test_more_peaks_than_one_batch_of_spacing_are_those_of_the_whole_image() -> None:
    image = np.random.default_rng(0).random((150, 170))
    same("peak_local_max", image, (40, 33), min_distance=2)
    same("peak_local_max", (image * 9).astype(np.uint8), (40, 33), min_distance=3, num_peaks=60)
    same("corner_peaks", image, (40, 33), min_distance=3, threshold_rel=0.5)


@pytest.mark.parametrize("threshold", [0.3, np.float32(0.3), np.float64(0.3), 1 / 3])
def test_a_threshold_is_compared_in_the_precision_that_numpy_takes_for_it(threshold: Any) -> None:
    image = (np.random.default_rng(1).integers(0, 11, FLAT) / 10).astype(np.float32)
    image[5, 5] = threshold
    same("peak_local_max", image, (7, 10), threshold_abs=threshold, exclude_border=False)
    same("peak_local_max", image, (7, 10), threshold_rel=threshold, exclude_border=False)


def test_one_pixel_has_the_peak_that_scikit_image_gives() -> None:
    for threshold in (None, 0.0):
        same("peak_local_max", np.ones((1, 1)), (1, 1), exclude_border=False, threshold_abs=threshold)


def test_labels_and_nan_are_refused() -> None:
    image = picture(FLAT, float)
    with pytest.raises(InputError, match="labels=None"):
        graph.apply("peak_local_max", image, labels=np.ones(FLAT, int))
    image[3, 3] = np.nan
    with pytest.raises(InputError, match="nan_to_num"):
        evaluate(graph.apply("peak_local_max", image, threshold_abs=0.1), (7, 10))
    with pytest.raises(InputError, match="indices"):
        graph.apply("corner_peaks", image, indices=False)


def spots(shape: tuple[int, ...]) -> Array:
    """Discs of several sizes, some of which overlap or lie across blocks."""
    image = np.zeros(shape)
    centres = np.random.default_rng(5).integers(0, shape, (25, len(shape)))
    for number, centre in enumerate(centres):
        distance = sum((axis - p) ** 2 for axis, p in zip(np.indices(shape), centre, strict=True))
        image[distance <= (1 + number % 6) ** 2] = 1 - number % 3 / 5
    return image


@pytest.mark.parametrize("name", ["blob_log", "blob_dog", "blob_doh"])
def test_blobs_across_blocks_are_pruned_as_in_the_whole_image(name: str) -> None:
    image = spots((90, 110))
    for overlap in (0.0, 0.5, 0.99):
        options = {"max_sigma": 8, "threshold": 0.01, "overlap": overlap}
        same(name, image, (32, 27), **options)
        same(name, (image * 255).astype(np.uint8), (41, 110), **options)


@pytest.mark.parametrize("name", ["blob_log", "blob_dog", "blob_doh"])
def test_images_without_blobs_give_an_empty_list(name: str) -> None:
    for image in (np.zeros(FLAT), np.full(FLAT, 0.5, np.float32)):
        whole = resolve(f"skimage.feature.{name}")(image, max_sigma=3)
        assert_identical(evaluate(graph.apply(f"feature.{name}", image, max_sigma=3), (7, 10)), whole)


def test_blobs_of_a_volume_with_few_planes_are_those_of_the_whole() -> None:
    volume = spots((20, 21, 4))  # its last axis could be taken for channels
    same("blob_log", volume, (8, 9), max_sigma=3, num_sigma=3, threshold=0.02)
    same("peak_local_max", volume, (8, 9), exclude_border=False)
