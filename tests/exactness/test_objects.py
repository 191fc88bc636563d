"""The table of regions of difficult objects, to the last bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import label, regionprops_table
from skimage.measure._regionprops import COL_DTYPES, OBJECT_COLUMNS, PROPS

from lepton_celery import graph
from lepton_celery.catalogue.arrays import Array
from lepton_celery.skimage import filters, measure
from tests.exactness.cases.objects import FLAT_SHAPES, INTENSITIES, NUMBERS, SHAPES
from tests.oracle import assert_identical, assert_same_as_whole, evaluate, picture

pytestmark = pytest.mark.filterwarnings(
    "ignore"
)  # convex hulls of lines and other flat objects, in the whole image too


def assert_same_table(found: Mapping[str, Array], expected: Mapping[str, Array]) -> None:
    """The columns are equal and in the same order, and so are arrays and slices in columns of dtype object."""
    assert list(found) == list(expected)
    for name, column in expected.items():
        if column.dtype != object:
            assert_identical({name: found[name]}, {name: column})
            continue
        assert found[name].dtype == object
        assert found[name].shape == column.shape
        for got, want in zip(found[name], column, strict=True):
            if isinstance(want, np.ndarray):
                assert_identical(got, want)
            else:
                assert got == want


def check(labels: Array, intensity: Array | None, properties: Any, *blocks: tuple[int, ...], **more: Any) -> None:
    with np.errstate(all="ignore"):
        expected = regionprops_table(labels, intensity, properties=properties, **more)
    lazy = measure.regionprops_table(labels, intensity, properties=properties, **more)
    for block_shape in blocks:
        assert_same_table(evaluate(lazy, block_shape), expected)


@pytest.mark.parametrize("kernels", [True, False])
@pytest.mark.parametrize("properties", [("label", "bbox"), ("label", "centroid", "area"), ("label", "perimeter")])
def test_blocks_and_images_without_objects_have_a_table(properties: tuple[str, ...], kernels: bool) -> None:
    one, none = np.zeros((64, 64), int), np.zeros((64, 64), int)
    one[3:9, 4:12] = 1
    for labels in (one, none):
        lazy = measure.regionprops_table(labels, properties=properties)
        expected = regionprops_table(labels, properties=properties)
        assert_same_table(evaluate(lazy, (32, 32), kernels=kernels), expected)


def test_the_cases_have_every_column_of_numbers() -> None:
    assert {*NUMBERS, *OBJECT_COLUMNS} == set(COL_DTYPES)


def awkward() -> Array:
    """Single pixels, lines across the image, rings, a comb, and an object inside another, all across many blocks."""
    labels = np.zeros((61, 67), np.int32)
    labels[5:55, 6:60] = 9
    labels[10:50, 10:55] = 0
    labels[12:40, 12:50:3] = 7
    labels[44:46, 12:50] = 7
    labels[0], labels[-1], labels[:, -1] = 3, 4, 12
    labels[2, 3], labels[60, 66], labels[30, 0] = 20, 21, 22
    labels[47, 12:40], labels[np.arange(12, 40), 1] = 30, 31
    labels[56:59, ::2] = 40
    labels[41:43, 20:23], labels[41, 21] = 50, 51
    return labels


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", "float32", "float64"])
def test_difficult_objects_have_every_property(dtype: str) -> None:
    check(awkward(), picture((61, 67), dtype), list(COL_DTYPES), (7, 9), (64, 5), (30, 40), (61, 67))


def test_one_object_over_all_blocks_and_one_in_one_pixel() -> None:
    labels = np.ones((300, 400), np.uint8)
    labels[150, 200], labels[::17, ::13] = 2, 0
    check(labels, picture((300, 400), "float32"), NUMBERS, (64, 80), (300, 33))


def test_hundreds_of_objects_of_all_sizes() -> None:
    labels = label(picture((80, 120), float) > 0.7, connectivity=1)
    assert labels.max() > 300
    check(labels, picture((80, 120), "uint16", seed=3), NUMBERS, (32, 40))


@pytest.mark.parametrize("channels", [(), (2,), (7,)])
def test_nan_and_infinite_intensities_spread_as_in_the_whole_image(channels: tuple[int, ...]) -> None:
    image = picture((61, 67, *channels), float) - 0.3
    image[6:20:5, 7], image[44, 20], image[0, 3] = np.nan, np.inf, -np.inf
    check(awkward(), image, ("label", *INTENSITIES, "moments_weighted_hu", "image_intensity"), (7, 9), (40, 67))


@pytest.mark.parametrize("spacing", [1, 2, (1, 1), (0.1, 0.7), (3, 1), np.array([1.5, 2], np.float32)])
def test_a_spacing_scales_every_property_that_has_one(spacing: Any) -> None:
    flat = [name for name in COL_DTYPES if "hu" not in name and "perimeter" not in name]
    check(awkward(), picture((61, 67), "float32"), flat, (30, 40), spacing=spacing)


def test_volumes_have_every_property_that_scikit_image_gives() -> None:
    labels = label(picture((14, 15, 16), float) > 0.55)
    labels[2:12, 3:10, 4:13] = labels.max() + 1
    image = picture((14, 15, 16), "float32")
    objects = ("coords", "coords_scaled", "image", "image_filled", "image_intensity", "slice")
    check(labels, image, [*SHAPES, *INTENSITIES, *objects], (5, 6, 7), (14, 4, 16), spacing=(1, 2, 0.5))
    solid = np.where(labels == labels.max(), 8, 0)
    check(solid, image, ("label", "feret_diameter_max", "image_convex"), (5, 6, 7))


def test_a_volume_with_a_short_last_axis_may_have_channels() -> None:
    labels = label(picture((20, 21, 3), float) > 0.5)
    image = picture((20, 21, 3, 2), "uint8")
    expected = regionprops_table(labels, image, properties=(*SHAPES, *INTENSITIES))
    lazy = measure.regionprops_table(labels, image, properties=(*SHAPES, *INTENSITIES))
    assert_same_as_whole(lazy, expected, (7, 8))


def test_labels_with_gaps_huge_labels_and_negative_ones() -> None:
    labels = awkward()
    check(labels - 10, picture((61, 67), "uint8"), NUMBERS, (30, 40))
    expected = regionprops_table(labels, properties=(*SHAPES, *FLAT_SHAPES))
    names = np.where(labels > 0, labels.astype(np.int64) + (1 << 40), 0)
    expected["label"] = expected["label"] + (1 << 40)
    for dtype in ("int64", "uint64"):
        lazy = measure.regionprops_table(names.astype(dtype), properties=(*SHAPES, *FLAT_SHAPES))
        assert_same_table(evaluate(lazy, (30, 40)), expected)


@pytest.mark.parametrize("channels", [(), (3,)])
def test_images_without_objects_have_empty_columns(channels: tuple[int, ...]) -> None:
    image = picture((9, 8, *channels), "float32")
    check(np.zeros((9, 8), int), image, list(COL_DTYPES), (4, 4))
    check(np.zeros((9, 8), int), image, ("intensity_mean", "perimeter"), (4, 4))
    check(np.full((9, 8), -3), image, (*SHAPES, "slice"), (4, 4), spacing=2)
    check(np.zeros((5, 6, 7), int), None, SHAPES, (4, 4, 4))
    check(np.zeros((9, 8), int), image, ("label",), (4, 4), extra_properties=(spread, height))


@pytest.mark.parametrize("old", sorted(name for name, new in PROPS.items() if new not in OBJECT_COLUMNS))
def test_names_of_earlier_releases_keep_their_columns(old: str) -> None:
    check(awkward(), picture((61, 67), "uint8"), (old, "label", PROPS[old]), (30, 40))
    check(awkward(), picture((61, 67), "float64"), (old,), (30, 40))


def test_a_property_named_twice_is_one_column() -> None:
    check(awkward(), None, ("perimeter", "area", "moments", "perimeter", "area", "label"), (30, 40))
    check(awkward(), None, (), (30, 40))


def spread(mask: Array, pixels: Array) -> Any:
    return pixels[mask].std()


def height(mask: Array) -> int:
    return len(mask)


def corners(mask: Array) -> tuple[bool, bool]:
    return bool(mask[0, 0]), bool(mask[-1, -1])


def outline(mask: Array) -> Array:
    return np.argwhere(mask)


def nothing(mask: Array) -> Array:
    return np.zeros(0)


@pytest.mark.parametrize("channels", [(), (3,)])
def test_functions_of_the_user_measure_objects_too(channels: tuple[int, ...]) -> None:
    image = picture((61, 67, *channels), "float32")
    own = (spread, height, corners, outline, nothing)
    check(awkward(), image, ("height", "label", "area"), (30, 40), (7, 9), extra_properties=own)


def test_computed_labels_and_intensities_are_stored_for_the_table() -> None:
    from skimage.filters import gaussian

    image = picture((61, 67), float)
    lazy = graph.open(image)
    smooth, mask = gaussian(image, 1), image > 0.45
    labels = label(mask)
    for changed, whole in ((measure.label(lazy > 0.45), labels), (measure.label(lazy > 0.45) % 7, labels % 7)):
        expected = regionprops_table(whole, smooth, properties=NUMBERS)
        table = measure.regionprops_table(changed, filters.gaussian(lazy, 1), properties=NUMBERS)
        assert_same_as_whole(table, expected, (20, 30))


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 10**6),
    st.tuples(st.integers(1, 30), st.integers(1, 30)),
    st.tuples(st.integers(3, 30), st.integers(3, 30)),
    st.sampled_from(["bool", "uint8", "float32", "float64"]),
    st.lists(st.sampled_from(sorted(COL_DTYPES)), min_size=1),
)
def test_random_objects_in_random_blocks_have_the_table_of_the_whole(
    seed: int, shape: tuple[int, int], block: tuple[int, int], dtype: str, properties: list[str]
) -> None:
    random = np.random.default_rng(seed)
    labels = np.where(random.random(shape) < random.random(), random.integers(-1, 6, shape), 0)
    check(labels, random.random(shape).astype(dtype) if dtype[0] == "f" else picture(shape, dtype), properties, block)
