"""The region table, objects cut by blocks included."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from skimage.measure import label, regionprops_table

from lepton_celery import graph
from lepton_celery.eager import compute
from lepton_celery.errors import InputError
from lepton_celery.operations.objects import PROPERTIES
from lepton_celery.operations.spec import Array
from lepton_celery.skimage import measure
from tests.oracle import assert_identical, assert_same_as_whole, evaluate, picture

SHAPES = tuple(name for name in PROPERTIES if not name.startswith("intensity"))
INTENSITIES = ("bool", "uint8", "uint16", "int16", "int32", "uint32", "int64", "uint64", "float32", "float64")
BLOCKS = ((7, 9), (40, 5), (64, 64))


def blobs(seed: int = 0, shape: tuple[int, ...] = (37, 41)) -> Array:
    return picture(shape, float, seed) > 0.45


def check(labels: Array, intensity: Array | None, properties: Sequence[str], blocks: Any = BLOCKS, **more: Any) -> None:
    expected = regionprops_table(labels, intensity, properties=properties, **more)
    lazy = measure.regionprops_table(labels, intensity, properties=properties, **more)
    for block_shape in blocks:
        assert_same_as_whole(lazy, expected, block_shape)


@pytest.mark.parametrize("dtype", INTENSITIES)
def test_intensities_of_every_dtype_are_scikit_images(dtype: str) -> None:
    mask, image = blobs(), picture((37, 41), dtype, seed=2)
    check(label(mask), image, PROPERTIES)
    lazy = measure.regionprops_table(measure.label(mask), image, properties=PROPERTIES)
    for block_shape in BLOCKS:
        assert_same_as_whole(lazy, regionprops_table(label(mask), image, properties=PROPERTIES), block_shape)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_the_mean_of_one_object_over_all_blocks_is_added_in_numpys_order(dtype: str) -> None:
    random = np.random.default_rng(3)
    image = (random.standard_normal((260, 300)) * 10.0 ** random.integers(-3, 6, (260, 300))).astype(dtype)
    labels = np.ones(image.shape, np.int32)
    labels[5:20, 7:40] = 2
    check(labels, image, ("label", "intensity_mean"), [(50, 70), (7, 300)])


def test_signed_and_special_pixels_are_what_numpy_makes_of_them() -> None:
    labels = label(blobs())
    image = picture((37, 41), float) - 0.5
    check(labels, image, PROPERTIES)
    image[3, 4:9], image[20, 20:30], image[30, :9] = np.nan, np.inf, -np.inf
    image[8:10] = -0.0
    with np.errstate(all="ignore"):
        check(labels, image, ("label", "intensity_mean"))
    check(np.ones((20, 20), int), np.full((20, 20), -0.0), ("intensity_mean",), [(7, 8)])


def test_objects_that_do_not_hang_together_are_one_row() -> None:
    labels = np.random.default_rng(4).integers(0, 6, (37, 41))
    for dtype in ("uint8", "float32", "float64"):
        check(labels, picture((37, 41), dtype), PROPERTIES)


def test_labels_with_gaps_and_in_any_order_are_rows_in_ascending_order() -> None:
    labels = label(blobs())
    names = np.random.default_rng(5).permutation(3000)[: labels.max() + 1] + 1
    names[0] = 0
    check(names[labels], picture((37, 41), "float32"), PROPERTIES)


def test_huge_labels_are_names_like_others() -> None:
    labels = label(blobs())
    names = np.concatenate([[0], (1 << 40) + 7919 * np.arange(labels.max())])
    image = picture((37, 41), "float64")
    expected = regionprops_table(labels, image, properties=PROPERTIES)
    expected["label"] = names[1:]
    found = compute(
        measure.regionprops_table(names[labels], image, properties=PROPERTIES), block_shape=(7, 9), threads=1
    )
    assert_identical(found, expected)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "uint32", "int64", "uint64"])
def test_labels_of_every_integer_dtype_make_the_same_table(dtype: str) -> None:
    labels = (label(blobs()) % 100).astype(dtype)
    check(labels, None, SHAPES, [(7, 9)])


def test_negative_labels_are_background() -> None:
    labels = label(blobs()) - 3
    check(labels, picture((37, 41), "uint8"), PROPERTIES, [(7, 9)])


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_an_image_without_objects_is_a_table_without_rows(dtype: str) -> None:
    check(np.zeros((9, 8), int), picture((9, 8), dtype), PROPERTIES, [(4, 4)])
    check(np.zeros((9, 8), int), None, ("label", "bbox"), [(4, 4)])


def test_a_volume_has_a_column_for_each_of_its_axes() -> None:
    mask = blobs(shape=(9, 10, 11))
    image = picture((9, 10, 11), "float32")
    check(label(mask), image, PROPERTIES, [(4, 4, 4), (2, 10, 3)])


def test_a_short_last_axis_has_its_columns_too() -> None:
    mask = blobs(shape=(12, 13, 3))
    image = picture((12, 13, 3), "float32")
    lazy = measure.regionprops_table(measure.label(mask), image, properties=PROPERTIES)
    expected = regionprops_table(label(mask), image, properties=PROPERTIES)
    assert "bbox-5" in expected
    assert_same_as_whole(lazy, expected, (5, 4))


def test_an_image_of_one_axis_has_a_table() -> None:
    labels = label(np.arange(50) % 7 > 2)
    expected = {"label": np.arange(1, labels.max() + 1), "area": np.bincount(labels)[1:].astype(float)}
    found = evaluate(measure.regionprops_table(labels, properties=("label", "area")), (9,))
    assert_identical(found, expected)


def test_columns_come_in_the_order_asked_for_and_with_the_separator() -> None:
    check(label(blobs()), None, ("centroid", "label", "bbox"), [(7, 9)], separator="_")
    check(label(blobs()), None, ["area"], [(7, 9)])
    default = regionprops_table(label(blobs()))
    assert_same_as_whole(measure.regionprops_table(label(blobs())), default, (7, 9))


@given(arrays.arrays(np.uint8, (11, 9), elements=st.integers(0, 4)), st.tuples(st.integers(1, 6), st.integers(1, 6)))
def test_any_label_image_in_any_blocks_has_the_table_of_the_whole(labels: Array, block: tuple[int, int]) -> None:
    check(labels, picture((11, 9), "float32", seed=7), PROPERTIES, [block])


def test_the_table_of_labels_that_were_changed_is_measured_anew() -> None:
    # cut in two, an object need not touch a face of the block to go on in another
    mask, image = blobs(), picture((37, 41), "float64")
    lazy, whole = measure.label(mask), label(mask)
    changes: list[Callable[[Any], Any]] = [lambda x: x[:, ::2], lambda x: x % 5, lambda x: x * (x > 4)]
    for change in changes:
        shown = image[:, ::2] if change(whole).shape != whole.shape else image
        assert_same_as_whole(
            measure.regionprops_table(change(lazy), shown, properties=PROPERTIES),
            regionprops_table(change(whole), shown, properties=PROPERTIES),
            (7, 9),
        )


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"properties": "area"}, "is one string"),
    ({"properties": ("label", "eccentricity")}, "'eccentricity' is not in the table"),
    ({"properties": ("intensity_mean",)}, "needs an intensity_image"),
    ({"spacing": (1, 2)}, "spacing"),
    ({"extra_properties": (len,)}, "extra_properties"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED, ids=[m for _, m in REFUSED])
def test_what_the_table_cannot_have_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        measure.regionprops_table(np.ones((4, 4), int), **options)


def test_labels_that_scikit_image_would_refuse_are_refused() -> None:
    for dtype in ("bool", "float64"):
        with pytest.raises(InputError, match="dtype"):
            measure.regionprops_table(graph.open(np.ones((4, 4), dtype)))
