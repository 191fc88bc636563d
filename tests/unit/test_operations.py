"""Every function of the catalogue, in blocks, against scikit-image and NumPy on the whole image."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from lepton_celery import graph
from lepton_celery.catalogue import catalogue, get_entry, public_names
from lepton_celery.catalogue.entries import resolve
from lepton_celery.errors import (
    InputError,
    LeptonError,
    NotExact,
    UnknownOperation,
)
from tests.exactness.cases.case import FLAT, FLOATS
from tests.oracle import assert_same_as_whole, evaluate, picture


def split_names() -> list[str]:
    """Names of the functions that are not refused."""
    return [name for name in public_names() if not catalogue()[name].is_refused]


@pytest.mark.parametrize("name", ["filters.gaussian", "filters.sobel", "filters.laplace", "filters.unsharp_mask"])
def test_nan_and_infinity_spread_as_they_do_in_the_whole_image(name: str) -> None:
    image = picture(FLAT, float)
    image[4, 5], image[20, 30], image[21, 2] = np.nan, np.inf, -np.inf
    with np.errstate(all="ignore"):
        expected = resolve(get_entry(name).source)(image)
    assert_same_as_whole(graph.apply(name, image), expected, (7, 10))


@pytest.mark.parametrize("name", ["exp", "log", "sin", "power", "sqrt", "divide", "remainder", "floor_divide"])
def test_special_values_give_the_same_at_every_position_of_a_block(name: str) -> None:
    # vector instructions treat the last pixels of a row differently
    random = np.random.default_rng(0)
    special = random.choice([0.0, -0.0, np.inf, -np.inf, np.nan, 1e300, 1e-310, -2.5, 1e10, 3.0], (23, 41))
    ufunc: np.ufunc = getattr(np, name)
    more = (random.permutation(special.ravel()).reshape(special.shape),) if ufunc.nin == 2 else ()
    with np.errstate(all="ignore"):
        expected = ufunc(special, *more)
    for block_shape in ((5, 7), (23, 3)):
        assert_same_as_whole(graph.apply(f"numpy.{name}", special, *more), expected, block_shape)


def test_a_gray_picture_after_a_filter_with_an_odd_halo_is_that_of_the_whole_image() -> None:
    # BLAS multiplies a row in groups of pixels, so where a row begins decides the last bit
    from skimage.color import rgb2gray
    from skimage.filters import gaussian

    for dtype in FLOATS:
        image = picture((20, 301, 3), dtype)
        expected = gaussian(rgb2gray(image), 1.1)
        assert_same_as_whole(graph.apply("gaussian", graph.apply("rgb2gray", image), 1.1), expected, (9, 50))


def test_a_gray_picture_of_very_long_float32_rows_is_refused() -> None:
    image = np.broadcast_to(np.float32(0), (2, 16385, 3))
    with pytest.raises(NotExact, match="float64"):
        graph.apply("rgb2gray", image)
    wide = picture((1, 16500, 3), "float64")
    from skimage.color import rgb2gray

    assert_same_as_whole(graph.apply("rgb2gray", wide), rgb2gray(wide), (1, 5003))


def test_nan_in_rescale_intensity_warns_and_spreads_as_in_the_whole_image() -> None:
    from skimage.exposure import rescale_intensity

    image = picture(FLAT, float)
    image[3, 3] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = rescale_intensity(image)
        assert_same_as_whole(graph.apply("rescale_intensity", image), expected, (7, 10))


# ------------------------------------------------------------------------------------------------ refusals


def test_a_kernel_that_wraps_around_more_than_the_image_is_refused() -> None:
    with pytest.raises(InputError, match="more than the image"):
        graph.apply("filters.gaussian", picture(FLAT, float), sigma=6, mode="wrap")


REFUSED: list[tuple[str, Mapping[str, Any], str]] = [
    ("filters.gaussian", {"sigma": (1, 2, 3)}, "give one per axis"),
    ("filters.gaussian", {"sigma": -1}, "filters.gaussian"),
    ("filters.gaussian", {"sgma": 1}, "its parameters are"),
    ("filters.gaussian", {"sigma": "two"}, "filters.gaussian"),
    ("filters.gaussian", {"mode": "bouncy"}, "filters.gaussian"),
    ("filters.difference_of_gaussians", {"low_sigma": 3, "high_sigma": 1}, "high_sigma"),
    ("filters.difference_of_gaussians", {}, "low_sigma"),
    ("filters.unsharp_mask", {"channel_axis": -1}, "channel_axis=1"),  # scikit-image would leave pixels unset
    ("filters.sobel", {"mask": np.ones((3, 3), bool)}, "do not match"),
    ("filters.sobel", {"axis": 5}, "filters.sobel"),
    ("morphology.erosion", {"footprint": np.ones((3, 3, 3))}, "footprint of 2 axes"),
    ("color.rgb2gray", {}, "RGB"),
    ("transform.downscale_local_mean", {"factors": (2,)}, "per axis"),
    ("transform.downscale_local_mean", {"factors": (2, 0)}, "at least 1"),
    ("measure.label", {"connectivity": 3}, "connectivity"),
    ("numpy.percentile", {"q": 101}, "within 0 and 100"),
    ("numpy.percentile", {"q": []}, "percent"),
    ("numpy.percentile", {"q": np.nan}, "within 0 and 100"),
    ("numpy.percentile", {"q": 5, "axis": 2}, "axis"),
    ("numpy.percentile", {"q": 5, "method": "nearest"}, "linear"),
    ("numpy.percentile", {"q": 5, "weights": 1}, "weights"),
    ("numpy.min", {"axis": -3}, "axis"),
    ("numpy.min", {"initial": 3}, "initial"),
    ("numpy.max", {"where": 1}, "where"),
    ("filters.threshold_otsu", {"hist": np.ones(5)}, "hist"),
    ("exposure.rescale_intensity", {"out_range": "uint7"}, "rescale_intensity"),
]


@pytest.mark.parametrize(("name", "options", "message"), REFUSED, ids=[f"{n}-{m}" for n, _, m in REFUSED])
def test_a_wrong_argument_is_one_clear_input_error(name: str, options: Mapping[str, Any], message: str) -> None:
    image = picture(FLAT, "uint8")
    with pytest.raises(InputError, match=message):
        graph.apply(name, image, **options)


@pytest.mark.parametrize("wrong", [None, 3, "slide.tif", [[1, 2], [3, 4]]])
def test_values_that_are_no_images_are_refused(wrong: Any) -> None:
    with pytest.raises(InputError, match="give an image"):
        graph.apply("filters.gaussian", wrong)


def test_images_that_do_not_match_are_refused() -> None:
    with pytest.raises(InputError, match="do not match"):
        graph.apply("numpy.add", np.ones((4, 5)), np.ones((5, 4)))
    with pytest.raises(InputError, match="do not match"):
        graph.apply("mark_boundaries", np.ones((4, 5)), np.ones((5, 4), int))
    with pytest.raises(InputError, match="do not match"):
        graph.apply("regionprops_table", np.ones((4, 5), int), np.ones((5, 4)))


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("gausian", "filters.gaussian"),
        ("filters.sobell", "filters.sobel"),
        ("threshold_ostu", "filters.threshold_otsu"),
    ],
)
def test_an_unknown_name_names_the_nearest(given: str, meant: str) -> None:
    with pytest.raises(UnknownOperation, match=f"did you mean .*{meant}"):
        get_entry(given)


def test_a_name_like_no_other_points_to_the_list() -> None:
    with pytest.raises(UnknownOperation, match="lepton operations"):
        get_entry("qqqqqq")


def test_short_names_are_those_of_one_function() -> None:
    assert get_entry("gaussian") is get_entry("filters.gaussian")
    shorts = [name.rpartition(".")[2] for name in public_names()]
    for name in set(shorts):
        if shorts.count(name) == 1:
            assert get_entry(name).name.endswith(name)


def test_every_source_can_be_found_and_has_the_parameters_that_the_entry_names() -> None:
    for name in split_names():
        entry = get_entry(name)
        assert callable(resolve(entry.source))
        assert set(entry.images) | set(entry.values) <= set(entry.signature.parameters)
        assert "out" not in entry.signature.parameters


@pytest.mark.parametrize("name", ["util.img_as_ubyte", "exposure.adjust_gamma"])
def test_pixels_that_scikit_image_refuses_are_refused_in_blocks_too(name: str) -> None:
    image = picture(FLAT, float)
    image[20, 30] = -3.0
    with pytest.raises(ValueError):
        resolve(get_entry(name).source)(image)
    with pytest.raises((ValueError, LeptonError)):
        evaluate(graph.apply(name, image), (7, 10))
