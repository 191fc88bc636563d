"""Filters that blocks could change: by whole-image values, running sums or edges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from skimage import filters

from lepton_celery import graph
from lepton_celery.catalogue.arrays import Array
from lepton_celery.errors import InputError, NotExact
from tests.oracle import assert_same_as_whole, picture

SHAPE = (23, 31)
LARGE = (151, 203)
RIDGES = ("sato", "frangi", "meijering", "hessian")


def bright(dtype: str) -> Array:
    """Values whose sum of squares a float64 cannot hold exactly."""
    return (picture(LARGE, "float64") * 0.01 + 0.99).astype(dtype) if dtype[0] == "f" else ~picture(LARGE, dtype)


@pytest.mark.parametrize("dtype", ["uint32", "int64", "float32", "float64"])
@pytest.mark.parametrize("name", ["niblack", "sauvola"])
def test_local_thresholds_carry_the_sums_of_the_whole_image(name: str, dtype: str) -> None:
    image = bright(dtype)
    whole = getattr(filters, f"threshold_{name}")(image, window_size=(15, 7), k=0.3)
    lazy = graph.apply(f"filters.threshold_{name}", image, window_size=(15, 7), k=0.3)
    assert_same_as_whole(lazy, whole, (40, 64))


@pytest.mark.parametrize("name", ["niblack", "sauvola"])
def test_a_window_larger_than_the_image_is_reflected_again_and_again(name: str) -> None:
    image = picture((5, 6), "float64")
    whole = getattr(filters, f"threshold_{name}")(image, window_size=21)
    assert_same_as_whole(graph.apply(f"filters.threshold_{name}", image, window_size=21), whole, (2, 3))


@pytest.mark.parametrize("dtype", ["uint16", "float32", "float64"])
def test_running_means_run_along_whole_lines(dtype: str) -> None:
    image = bright(dtype)
    whole = filters.threshold_local(image, (9, 31), "mean")
    assert_same_as_whole(graph.apply("filters.threshold_local", image, (9, 31), "mean"), whole, (40, 64))


def spot(shape: tuple[int, ...]) -> Array:
    image = np.zeros(shape, np.float32)
    image[tuple(n - 3 for n in shape)] = 1
    return image


@pytest.mark.parametrize("name", RIDGES)
@pytest.mark.parametrize("black_ridges", [True, False])
def test_ridges_of_flat_images_with_one_spot(name: str, black_ridges: bool) -> None:
    for image in (spot(SHAPE), np.full(SHAPE, 0.25), np.zeros(SHAPE, np.uint8), -spot(SHAPE)):
        options: Mapping[str, Any] = {"sigmas": (1.5,), "black_ridges": black_ridges}
        whole = getattr(filters, name)(image, **options)
        assert_same_as_whole(graph.apply(f"filters.{name}", image, **options), whole, (7, 10))


@pytest.mark.parametrize("name", RIDGES)
@pytest.mark.parametrize("dtype", ["float32", "uint16"])
def test_ridges_of_larger_images(name: str, dtype: str) -> None:
    image = picture(LARGE, dtype)
    whole = getattr(filters, name)(image, range(2, 4))
    assert_same_as_whole(graph.apply(f"filters.{name}", image, range(2, 4)), whole, (40, 64))


def test_ridges_of_an_image_with_nan() -> None:
    image = picture(SHAPE, "float64")
    image[4, 5] = np.nan
    for name in RIDGES:
        with np.errstate(all="ignore"):
            whole = getattr(filters, name)(image, (1.5,))
        assert_same_as_whole(graph.apply(f"filters.{name}", image, (1.5,)), whole, (7, 10))


REFUSED: list[tuple[str, Mapping[str, Any], str]] = [
    ("gaussian", {"mode": "grid-wrap"}, "mode='wrap'"),
    ("gaussian", {"mode": ("wrap", "reflect")}, "wraps some axes"),
    ("gabor", {"frequency": 0.01}, "outside the image"),
    ("correlate_sparse", {"kernel": np.eye(3), "mode": "mean"}, "mode='mean'"),
    ("correlate_sparse", {"kernel": np.eye(3), "mode": "valid"}, "slice the border off"),
    ("sobel", {"mode": "wrap", "mask": np.ones(SHAPE, bool)}, "mask eroded"),
    ("sato", {"sigmas": ()}, "sigmas is empty"),
    ("meijering", {"sigmas": (0, 1)}, "scales above 0"),
    ("threshold_local", {"method": "generic"}, "map_blocks"),
    ("threshold_niblack", {"window_size": 4}, "odd"),
]


@pytest.mark.parametrize(("name", "given", "message"), REFUSED)
def test_arguments_without_an_exact_result_are_refused(name: str, given: Mapping[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        graph.apply(f"filters.{name}", picture(SHAPE, "float64"), **given)


def test_a_median_by_rank_refuses_dtypes_that_scikit_image_scales_by_their_maximum() -> None:
    with pytest.raises(InputError, match="uint8 or uint16"):
        graph.apply("filters.median", picture(SHAPE, "int32"), behavior="rank")


@pytest.mark.parametrize("name", ["wiener", "filter_forward", "rank_order"])
def test_functions_that_cannot_be_split_say_what_to_use(name: str) -> None:
    with pytest.raises(NotExact, match="use "):
        graph.apply(f"filters.{name}", picture(SHAPE, "float64"))
