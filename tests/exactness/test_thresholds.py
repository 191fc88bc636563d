"""Thresholds of difficult images, and of filtered images."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from skimage import exposure
from skimage import filters as whole_filters

from lepton_celery import graph
from lepton_celery.catalogue.arrays import Array
from lepton_celery.catalogue.entries import resolve
from lepton_celery.catalogue.filters import thresholds
from lepton_celery.errors import DtypeNotSupported, InputError, NotExact
from lepton_celery.skimage import filters
from tests.exactness.cases.case import FLAT
from tests.exactness.cases.thresholds import two_peaks
from tests.oracle import assert_identical, assert_same_as_whole, evaluate, picture

METHODS = ("otsu", "yen", "isodata", "minimum", "triangle", "li", "mean", "multiotsu")


def whole(method: str) -> Callable[..., Any]:
    return resolve(f"skimage.filters.threshold_{method}")


def awkward() -> list[Array]:
    corner = np.zeros((20, 21), np.uint8)
    corner[-1, -1] = 255
    bright = picture((20, 21), "uint8") % 9 + np.uint16(65000)
    two = np.where(picture((20, 21), float) > 0.6, 3, 200)
    return [
        corner,
        corner.astype(np.float32),
        bright,
        bright.astype(np.float32),
        (bright.astype(np.int32) - 98304).astype(np.int16),
        (picture((20, 21), "uint8").astype(np.int16) - 128).astype(np.int8),  # wraps around in threshold_li
        two.astype(np.uint8),
        two.astype(np.float64) / 256,
        picture((20, 21), float) - 0.5,
        picture((20, 21), float) ** 9,
        np.array([[0.1, 0.1 + 1e-16, 0.3]]),
        two_peaks((50, 61), "uint16") // 99,
        two_peaks((50, 61), "float32") * 1e-30,
        *[
            np.full((9, 8), value, dtype)
            for value, dtype in ((7, "uint8"), (7, "int16"), (0.25, float), (0, "float32"))
        ],
    ]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("image", awkward(), ids=lambda image: f"{image.dtype}-{image.min()}-{image.max()}")
def test_thresholds_are_scikit_images_or_an_error_if_it_finds_none(method: str, image: Array) -> None:
    lazy = graph.apply(f"filters.threshold_{method}", image)
    try:
        expected = whole(method)(image)
    except (ValueError, RuntimeError, IndexError) as error:
        with pytest.raises(InputError, match="finds no threshold") as raised:
            evaluate(lazy, (6, 5))
        assert str(error) in str(raised.value)
        return
    assert_identical(evaluate(lazy, (6, 5)), expected)


@pytest.mark.parametrize("seed", range(6))
def test_thresholds_of_random_images_are_scikit_images(seed: int) -> None:
    random = np.random.default_rng(seed)
    shape = tuple(int(n) for n in random.integers(1, 40, random.integers(1, 4)))
    dtype = random.choice(["uint8", "int8", "uint16", "int16", "float32", "float64"])
    # these take minutes if each of 65,536 values has a bin
    methods = METHODS if np.dtype(dtype).itemsize != 2 else [m for m in METHODS if m not in ("minimum", "multiotsu")]
    image = two_peaks(shape, dtype) if seed % 2 else picture(shape, dtype, seed)
    block = tuple(int(random.integers(1, n + 2)) for n in shape)
    for method in methods:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                expected = whole(method)(image)
            except (ValueError, RuntimeError, IndexError):
                continue
            assert_identical(evaluate(graph.apply(f"filters.threshold_{method}", image), block), expected)


@pytest.mark.parametrize("method", ["otsu", "yen", "li", "triangle", "mean", "isodata"])
def test_a_filtered_volume_is_cut_at_its_own_threshold(method: str) -> None:
    from skimage.filters import gaussian

    image = picture((11, 23, 31), "uint16")
    smooth = gaussian(image, 1.3)
    lazy = filters.gaussian(graph.open(image), 1.3)
    threshold = graph.apply(f"filters.threshold_{method}", lazy)
    assert_same_as_whole(lazy > threshold, smooth > whole(method)(smooth), (4, 9, 11))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_li_of_floats_leaves_nan_and_infinity_out_as_scikit_image_does() -> None:
    image = picture(FLAT, float)
    image[3, 3:9], image[20, 30] = np.nan, np.inf
    for pixels in (image, image.astype(np.float32), np.full(FLAT, np.nan), np.where(image > 0.5, np.inf, -np.inf)):
        assert_identical(evaluate(filters.threshold_li(pixels), (7, 10)), whole("li")(pixels))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("method", ["yen", "isodata", "minimum", "triangle", "multiotsu"])
def test_a_histogram_of_values_that_are_not_finite_is_refused_clearly(bad: float, method: str) -> None:
    image = picture((20, 21), float)
    image[11, 11] = bad
    with pytest.raises(InputError, match="finite values"):
        evaluate(graph.apply(f"filters.threshold_{method}", image), (6, 5))


REFUSED: list[tuple[str, Mapping[str, Any], str]] = [
    ("otsu", {"nbins": 0}, "at least 1"),
    ("yen", {"hist": np.ones(5)}, "hist"),
    ("li", {"initial_guess": np.mean}, "give a number"),
    ("li", {"iter_callback": print}, "iter_callback"),
]


@pytest.mark.parametrize(("method", "options", "message"), REFUSED)
def test_arguments_that_cannot_be_split_are_refused(method: str, options: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        graph.apply(f"filters.threshold_{method}", picture(FLAT, float), **options)


def test_images_that_cannot_be_split_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for method in ("yen", "li", "triangle"):
        with pytest.raises(DtypeNotSupported, match="it takes uint8"):
            graph.apply(f"filters.threshold_{method}", np.ones((4, 4), np.uint64))
        with pytest.raises(DtypeNotSupported, match="bool"):
            graph.apply(f"filters.threshold_{method}", np.ones((4, 4), bool))
    monkeypatch.setattr(thresholds, "WHOLE_PX", 100)
    with pytest.raises(InputError, match="img_as_uint"):
        filters.threshold_li(picture(FLAT, float))
    with pytest.raises(InputError, match="not inside the image's values"):
        evaluate(filters.threshold_li(picture(FLAT, "uint8"), initial_guess=300), (7, 10))
    with pytest.raises(NotExact, match="figure"):
        graph.apply("filters.try_all_threshold", picture(FLAT, float))


@pytest.mark.parametrize("dtype", ["int32", "uint32", "int64"])
@pytest.mark.parametrize("low", [0, 1, 5000])
def test_wide_integers_have_the_values_of_the_whole_image(dtype: str, low: int) -> None:
    image = (picture(FLAT, "float64") ** 3 * 900).astype(dtype) + np.dtype(dtype).type(low)
    if dtype[0] == "i":
        image -= 300
    for name in ("otsu", "yen", "isodata", "li", "triangle"):
        expected = getattr(whole_filters, f"threshold_{name}")(image)
        assert_same_as_whole(graph.apply(f"filters.threshold_{name}", image), expected, (7, 10))
    assert_same_as_whole(graph.apply("exposure.equalize_hist", image), exposure.equalize_hist(image), (7, 10))


def test_integers_that_range_too_far_are_refused() -> None:
    image = np.array([[0, 1 << 24]], np.int32)
    for name in ("filters.threshold_otsu", "exposure.equalize_hist"):
        with pytest.raises(InputError, match="one bin for each"):
            evaluate(graph.apply(name, image))
    with pytest.raises(InputError, match="source_range"):
        graph.apply("exposure.histogram", image, source_range="dtype")
