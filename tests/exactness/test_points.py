"""Peaks, corners and blobs of difficult images: plateaus, ties, constants, borders, and the order of the results."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage import feature, filters, measure, segmentation

import lepton_celery as lepton
from lepton_celery import graph
from lepton_celery import ndimage as lazy_ndimage
from lepton_celery import skimage as lazy_skimage
from lepton_celery.catalogue.arrays import Array
from lepton_celery.catalogue.entries import resolve
from lepton_celery.errors import DtypeNotSupported, InputError
from lepton_celery.planning.regions import grid_shape
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


def test_nan_and_what_does_not_fit_the_image_are_refused() -> None:
    image = picture(FLAT, float)
    labels = np.ones(FLAT, int)
    for wrong in ({"labels": labels[1:]}, {"num_peaks": 2.5}, {"footprint": np.zeros((3, 3))}, {"p_norm": 0.5}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            graph.apply("peak_local_max", image, **wrong)
    with pytest.raises(DtypeNotSupported, match="uint64"):
        graph.apply("peak_local_max", image, labels=labels.astype(np.uint64))
    with pytest.raises(InputError, match="outside the objects"):
        evaluate(graph.apply("peak_local_max", picture(FLAT, "uint8"), labels=labels, threshold_abs=-1))
    image[3, 3] = np.nan
    for more in ({}, {"labels": labels}):
        with pytest.raises(InputError, match="nan_to_num"):
            evaluate(graph.apply("peak_local_max", image, threshold_abs=0.1, **more), (7, 10))


# ------------------------------------------------------------------------------------------------ labels


def some_labels(kind: str, shape: tuple[int, ...], random: np.random.Generator) -> Array:
    if kind == "mask":
        return random.random(shape) < 0.7
    if kind == "components":
        return np.asarray(measure.label(random.random(shape) < 0.5))
    if kind == "patches":
        coarse = random.integers(0, 4, [-(-n // 4) for n in shape]) * 5
        return np.kron(coarse, np.ones((4,) * len(shape), int))[tuple(slice(n) for n in shape)]
    return random.integers(-2 if kind == "negative" else 0, 4, shape).astype(np.int16)


@settings(max_examples=40, deadline=None)
@given(
    shape=st.lists(st.integers(1, 17), min_size=1, max_size=3).map(tuple),
    kind=st.sampled_from(["mask", "components", "patches", "scattered", "negative"]),
    dtype=st.sampled_from(["uint8", "uint16", "int16", "int64", "float32", "float64"]),
    values=st.sampled_from([2, 4, 100]),
    options=st.fixed_dictionaries(
        {},
        optional={
            "min_distance": st.integers(0, 3),
            "exclude_border": st.sampled_from([False, True, 1, 2]),
            "num_peaks": st.integers(1, 8),
            "num_peaks_per_label": st.integers(1, 3),
            "p_norm": st.sampled_from([1, 2.0]),
            "threshold_abs": st.sampled_from([0, 0.5, 1]),
            "threshold_rel": st.sampled_from([0, 0.3]),
        },
    ),
    footprint=st.sampled_from([None, "square", "cross", "one", "gaps"]),
    seed=st.integers(0, 1000),
)
@pytest.mark.filterwarnings("ignore:When min_distance < 1:RuntimeWarning")
def test_peaks_of_each_object_are_those_of_the_whole_image(
    shape: Any, kind: str, dtype: str, values: int, options: dict[str, Any], footprint: str | None, seed: int
) -> None:
    random = np.random.default_rng(seed)
    ndim = len(shape)
    footprints = {
        "square": np.ones((3,) * ndim, bool),
        "cross": ndimage.generate_binary_structure(ndim, 1),
        "one": np.ones((1,) * ndim, bool),
        "gaps": np.arange(3**ndim).reshape((3,) * ndim) % 2 == 1,
    }
    if footprint is not None:
        options = options | {"footprint": footprints[footprint]}
    image = random.integers(0, values, shape).astype(dtype)
    labels = some_labels(kind, shape, random)
    blocks = tuple(random.integers(1, 9, len(grid_shape(shape))).tolist())
    expected = feature.peak_local_max(image, labels=labels, **options)
    # without an object, scikit-image's list of points has two columns for any number of axes
    assert_identical(evaluate(graph.apply("peak_local_max", image, labels=labels, **options), blocks), expected)


def test_corners_of_each_object_come_as_coordinates_and_as_a_mask() -> None:
    image, labels = picture(FLAT, float), some_labels("patches", FLAT, np.random.default_rng(2))
    for indices in (True, False):
        same("corner_peaks", image, (7, 10), labels=labels, min_distance=2, num_peaks_per_label=2, indices=indices)


def test_a_threshold_may_be_a_value_of_the_image() -> None:
    image = picture(FLAT, float)
    for labels in (None, some_labels("patches", FLAT, np.random.default_rng(2))):
        expected = feature.peak_local_max(image, threshold_abs=filters.threshold_otsu(image), labels=labels)
        threshold = graph.apply("filters.threshold_otsu", image)
        lazy = graph.apply("feature.peak_local_max", image, threshold_abs=threshold, labels=labels)
        assert_same_as_whole(lazy, expected, (7, 10))


# ------------------------------------------------------------------------------------------------ a mask of points


def test_a_mask_of_points_is_true_at_the_points() -> None:
    points = np.argwhere(picture(FLAT, bool, seed=3))
    whole = np.zeros(FLAT, bool)
    whole[tuple(points.T)] = True
    for given_points in (points, points.tolist(), points.astype(np.uint8)):
        assert_same_as_whole(lepton.points_to_mask(given_points, FLAT), whole, (7, 10))
    assert not evaluate(lepton.points_to_mask([], FLAT), (7, 10)).any()


def test_points_that_do_not_fit_the_mask_are_refused() -> None:
    for points, shape, what in (
        ([(0, 31)], FLAT, "outside"),
        ([(-1, 0)], FLAT, "outside"),
        ([(0.5, 1.0)], FLAT, "whole numbers"),
        ([(1, 2, 3)], FLAT, "columns"),
        ([(0, 0)], (0, 5), "no pixels"),
    ):
        with pytest.raises(InputError, match=what):
            lepton.points_to_mask(points, shape)
    peaks = graph.apply("feature.peak_local_max", picture(FLAT, float))
    with pytest.raises(InputError, match="3 columns"):
        lepton.points_to_mask(peaks, (5, 5, 5))


def test_the_watershed_of_the_gallery_is_written_with_other_imports() -> None:
    y, x = np.mgrid[:80, :80]
    image = ((x - 28) ** 2 + (y - 28) ** 2 < 16**2) | ((x - 44) ** 2 + (y - 52) ** 2 < 20**2)
    found: list[Any] = []
    for ndi, skfeature, skmeasure, sksegmentation, opened in (
        (ndimage, feature, measure, segmentation, image),
        (lazy_ndimage, lazy_skimage.feature, lazy_skimage.measure, lazy_skimage.segmentation, graph.open(image)),
    ):
        distance = ndi.distance_transform_edt(opened)
        peaks = skfeature.peak_local_max(distance, footprint=np.ones((3, 3)), labels=opened)
        mask: Any = np.zeros(distance.shape, dtype=bool)
        if ndi is ndimage:
            mask[tuple(peaks.T)] = True
        else:
            mask = lepton.points_to_mask(peaks, distance.shape)
        found.append(sksegmentation.watershed(-distance, skmeasure.label(mask), mask=opened))
    assert_same_as_whole(found[1], found[0], (33, 27))
    document = graph.to_json({"cells.zarr": lepton.points_to_mask([(1, 2)], (5, 5))})
    assert graph.from_json(document)["cells.zarr"].shape == (5, 5)


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
