"""Whole-image values: extent, Otsu's threshold, percentiles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from skimage.filters import threshold_otsu

from lepton_celery import graph
from lepton_celery.catalogue.arrays import Array
from lepton_celery.catalogue.numpy.percentiles import ordered_keys, value_of_key
from lepton_celery.errors import DtypeNotSupported, InputError
from lepton_celery.skimage import exposure, filters
from tests.oracle import assert_identical, assert_same_as_whole, evaluate, picture

DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64")


def percentile(image: Array, q: Any, block_shape: tuple[int, ...] = (7,)) -> Any:
    lazy = np.percentile(graph.open(image), q)
    return evaluate(lazy, block_shape[: image.ndim] * (image.ndim // len(block_shape)))


QS: list[Any] = [
    0,
    100,
    50,
    37.3,
    0.0,
    1e-9,
    99.999,
    [0, 100],
    (2, 98),
    [25],
    [[1, 2.5], [50, 99]],
    np.array([10, 20]),
    np.array([33.3], np.float32),
    np.array(12.5),
    np.float64(37),
    np.float32(62.5),
    np.int64(30),
]


@pytest.mark.parametrize("dtype", DTYPES)
def test_percentiles_have_numpys_bits_and_dtype_for_every_form_of_q(dtype: str) -> None:
    image = picture((19, 17), dtype)
    for q in QS:
        lazy = np.percentile(graph.open(image), q)
        expected = np.percentile(image, q)
        assert_same_as_whole(lazy, expected, (8, 8))


@pytest.mark.parametrize("dtype", DTYPES)
def test_percentiles_of_one_and_two_pixels_and_of_constants(dtype: str) -> None:
    top = np.finfo(dtype).max if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max
    low = -1 if np.dtype(dtype).kind in "if" else 0
    for pixels in ([low], [3], [low, 5], [5, low], [7, 7, 7, 7, 7], [top, top], [top]):
        image = np.array(pixels, dtype)
        for q in (0, 100, 50, 12.5, [0, 50, 100]):
            assert_identical(percentile(image, q, (1,)), np.percentile(image, q))


@given(
    st.sampled_from(["uint8", "int16", "uint32", "int64", "float32", "float64"]).flatmap(
        lambda dtype: arrays.arrays(
            dtype,
            st.integers(1, 40),
            elements=st.floats(-1e3, 1e3, width=32).map(lambda v: v + 0.0)
            if dtype.startswith("float")
            else st.integers(0, 100),
        )
    ),
    st.one_of(st.integers(0, 100), st.floats(0, 100), st.lists(st.floats(0, 100), min_size=1, max_size=4)),
)
def test_any_percentile_of_any_image_is_numpys(image: Array, q: Any) -> None:
    assert_identical(percentile(image, q), np.percentile(image, q))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_median_of_two_pixels_is_rounded_as_numpy_rounds_it(dtype: str) -> None:
    for pixels in np.random.default_rng(0).random((60, 2)).astype(dtype):
        assert_identical(percentile(pixels, 50), np.percentile(pixels, 50))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_nan_makes_percentiles_nan(dtype: str) -> None:
    for nan in (np.nan, -np.nan):
        image = picture((19, 17), dtype)
        image[11, 12] = nan
        for q in (50, [0, 100]):
            assert_identical(percentile(image, q), np.percentile(image, q))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_percentiles_of_infinities_are_numpys(dtype: str) -> None:
    image = picture((19, 17), dtype)
    image[:2], image[-3:] = -np.inf, np.inf
    for q in (0, 100, 50, 5, [1, 99]):
        with np.errstate(all="ignore"):
            expected = np.percentile(image, q)
        assert_identical(percentile(image, q), expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_both_zeros_are_one_value(dtype: str) -> None:
    # the sign of the zero at a rank depends on how NumPy partitions the pixels
    image = np.array([-0.0, 0.0] * 20 + [1.0, -1.0] * 3, dtype)
    for q in (50, 30.0, [10, 90]):
        found, expected = percentile(image, q), np.percentile(image, q)
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype


@pytest.mark.parametrize("dtype", ["bool", *DTYPES])
def test_keys_sort_like_their_pixels_and_convert_back_to_them(dtype: str) -> None:
    pixels = np.unique(picture((15, 15), dtype))
    if np.dtype(dtype).kind == "f":
        pixels = np.unique(np.concatenate([pixels, -pixels, np.array([np.inf, -np.inf, 0, 1e-40, -1e-40], dtype)]))
    elif np.dtype(dtype).kind == "i":
        pixels = np.unique(np.concatenate([pixels, -pixels, [np.iinfo(dtype).min, np.iinfo(dtype).max]]))
    keys = ordered_keys(pixels)
    assert (np.diff(keys.astype(object)) > 0).all()
    if dtype != "bool":
        assert [value_of_key(int(key), pixels.dtype) for key in keys] == list(pixels)


def test_a_percentile_can_be_an_argument_of_other_functions() -> None:
    from skimage.exposure import rescale_intensity

    image = picture((30, 31), "uint16")
    lazy = graph.open(image)
    spread: Any = np.percentile(lazy, 98) - np.percentile(lazy, 2)
    expected = np.percentile(image, 98) - np.percentile(image, 2)
    assert_same_as_whole(spread, expected, (8, 9))
    assert_same_as_whole((lazy - np.percentile(lazy, 2)) / spread, (image - np.percentile(image, 2)) / expected, (8, 9))
    assert_same_as_whole(exposure.rescale_intensity(lazy), rescale_intensity(image), (8, 9))


# ------------------------------------------------------------------------------------------------ extent


@pytest.mark.parametrize("dtype", ["bool", *DTYPES])
def test_min_and_max_are_numpys_however_they_are_called(dtype: str) -> None:
    image = picture((19, 17), dtype)
    lazy = graph.open(image)
    for found, expected in [
        (lazy.min(), image.min()),
        (lazy.max(), image.max()),
        (np.min(lazy), np.min(image)),
        (np.amax(lazy), np.amax(image)),
    ]:
        assert_same_as_whole(found, expected, (4, 5))


def test_a_nan_makes_min_and_max_nan() -> None:
    image = picture((19, 17), float)
    image[18, 16] = np.nan
    assert np.isnan(evaluate(graph.open(image).min(), (4, 5)))
    assert np.isnan(evaluate(graph.open(image).max(), (4, 5)))


# ------------------------------------------------------------------------------------------------ Otsu


def otsu_images() -> list[Array]:
    corner = np.zeros((20, 21), np.uint8)
    corner[-1, -1] = 255
    bright = picture((20, 21), "uint8") % 9 + np.uint16(65000)
    return [
        *[picture((20, 21), dtype) for dtype in ("uint8", "int16", "uint16", "float32", "float64")],
        corner,
        corner.astype(np.float32),
        bright,
        bright.astype(np.int16),
        (bright.astype(np.int32) - 98304).astype(np.int16),
        np.arange(420).reshape(20, 21) / 420 - 0.5,
        np.array([[0.1, 0.1 + 1e-16, 0.3]]),
    ]


@pytest.mark.parametrize("image", otsu_images(), ids=lambda image: f"{image.dtype}-{image.min()}-{image.max()}")
def test_otsus_threshold_is_scikit_images(image: Array) -> None:
    lazy = filters.threshold_otsu(image)
    assert_same_as_whole(lazy, threshold_otsu(image), (6, 5))
    assert_same_as_whole(graph.open(image) > lazy, image > threshold_otsu(image), (6, 5))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
def test_a_constant_image_is_its_own_threshold(dtype: str) -> None:
    image = np.full((9, 8), 7, dtype)
    lazy = graph.open(image)
    assert_identical(evaluate(filters.threshold_otsu(lazy), (4, 4)), threshold_otsu(image))
    assert_same_as_whole(lazy > filters.threshold_otsu(lazy), image > threshold_otsu(image), (4, 4))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_histogram_of_values_that_are_not_finite_is_refused_clearly(bad: float) -> None:
    image = picture((20, 21), float)
    image[11, 11] = bad
    with pytest.raises(InputError, match="finite values"):
        evaluate(filters.threshold_otsu(image), (6, 5))


def test_otsu_of_uint64_is_refused_with_the_dtypes_that_it_takes() -> None:
    with pytest.raises(InputError, match="it takes uint8 int8 uint16 int16 float32 float64 uint32 int32 int64"):
        filters.threshold_otsu(np.ones((4, 4), "uint64"))


def test_otsu_of_a_mask_is_refused() -> None:
    with pytest.raises(DtypeNotSupported, match="bool"):
        filters.threshold_otsu(np.ones((4, 4), bool))
