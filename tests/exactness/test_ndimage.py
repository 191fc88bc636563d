"""SciPy's filters that blocks could change: running sums and minima, orders of axes, origins; and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage as scipy_ndimage

from lepton_celery import graph, ndimage
from lepton_celery.catalogue.arrays import Array
from lepton_celery.errors import InputError, NotExact
from tests.exactness.cases.case import FLAT, SOLID
from tests.oracle import assert_same_as_whole, evaluate, picture

GAPS = np.array([[[0, 1, 1, 0]], [[1, 1, 0, 1]], [[1, 0, 1, 1]]], bool)


def same(name: str, image: Array, block_shape: tuple[int, ...], **options: Any) -> None:
    whole = getattr(scipy_ndimage, name)(image, **options)
    assert_same_as_whole(getattr(ndimage, name)(image, **options), whole, block_shape)


def far_apart(dtype: str) -> Array:
    """Pixels of very different magnitudes, so that a running sum accumulates rounding errors."""
    random = np.random.default_rng(0)
    return (random.random((120, 150)) * 10.0 ** random.integers(-3, 6, (120, 150))).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int64", "uint64", "float32", "float64"])
def test_running_sums_of_bright_and_large_images_are_those_of_the_whole_image(dtype: str) -> None:
    if dtype.startswith("float"):
        image = far_apart(dtype)
    else:
        image = np.iinfo(dtype).max - (picture((120, 150), "uint8") % 9).astype(dtype)
    same("uniform_filter", image, (33, 40), size=15)
    same("uniform_filter", image, (33, 40), size=(4, 9), mode="constant", cval=0.1, origin=(-2, 3))
    same("uniform_filter1d", image, (33, 40), size=7, axis=0, mode="wrap")


def test_a_running_sum_carries_nan_and_infinity_along_the_line_as_in_the_whole_image() -> None:
    image = far_apart("float64")
    image[30, 40], image[70, 5] = np.nan, np.inf
    with np.errstate(all="ignore"):
        same("uniform_filter", image, (33, 40), size=5)
        same("spline_filter", image, (33, 40))


@pytest.mark.parametrize("name", ["minimum_filter", "maximum_filter", "grey_opening", "median_filter"])
def test_nan_is_refused_where_scipy_would_spread_it_along_the_line(name: str) -> None:
    image = picture(FLAT, "float64")
    image[12, 9] = np.nan
    footprint = np.array([[0, 1, 1], [1, 1, 1]], bool)
    same(name, image, (5, 7), footprint=footprint)  # not a box, so SciPy takes no running minimum
    box: dict[str, Any] = {"size": 3} if name != "median_filter" else {"size": (1, 2)}
    with pytest.raises(InputError, match="NaN"):
        evaluate(graph.apply(f"ndimage.{name}", image, **box), (5, 7))


@pytest.mark.parametrize("name", ["minimum_filter1d", "maximum_filter1d"])
def test_both_zeros_stay_where_they_are(name: str) -> None:
    image = np.random.default_rng(0).choice([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf], FLAT)
    same(name, image, (5, 7), size=4)
    same(name, image, (5, 7), size=7, axis=0, origin=3)


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (0,), (2, 0), -1])
@pytest.mark.parametrize("name", ["gaussian_filter", "gaussian_laplace", "uniform_filter", "minimum_filter"])
def test_axes_may_be_some_and_in_any_order(name: str, axes: Any) -> None:
    count = 1 if isinstance(axes, int) else len(axes)
    first = {"gaussian_filter": "sigma", "gaussian_laplace": "sigma"}.get(name, "size")
    same(name, picture(SOLID, "float32"), (4, 5, 3), axes=axes, **{first: (3, 1, 2)[:count]})


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
@pytest.mark.parametrize("name", ["maximum_filter", "rank_filter", "grey_closing", "white_tophat"])
def test_footprints_are_oriented_as_in_scipy_for_any_order_of_axes(name: str, axes: Any) -> None:
    more = {"rank": 2} if name == "rank_filter" else {}
    same(name, picture(SOLID, "uint16"), (4, 5, 3), footprint=GAPS, axes=axes, origin=(1, 0, -1), **more)


@pytest.mark.parametrize("origin", [-2, -1, 0, 1])
@pytest.mark.parametrize("name", ["correlate1d", "convolve1d"])
def test_even_weights_with_an_origin_stay_within_the_halo(name: str, origin: int) -> None:
    same(name, picture(FLAT, "float64"), (3, 2), weights=[1.0, 2, -3, 0.5], axis=0, origin=origin)


@pytest.mark.parametrize("name", ["binary_erosion", "binary_dilation", "binary_opening", "binary_closing"])
@pytest.mark.parametrize("iterations", [1, 2, 5])
def test_masks_in_large_steps_are_those_of_the_whole_image(name: str, iterations: int) -> None:
    random = np.random.default_rng(3)
    image = random.random((60, 70)) < (0.03 if name in ("binary_dilation", "binary_closing") else 0.97)
    mask = random.random((60, 70)) < 0.9
    structure = np.array([[1, 1, 0], [0, 1, 1]])
    for options in ({}, {"mask": mask}, {"border_value": 1}, {"structure": structure, "origin": (-1, 1)}):
        same(name, image, (11, 8), iterations=iterations, **options)


@pytest.mark.parametrize("name", ["gaussian_filter", "median_filter", "grey_erosion", "uniform_filter"])
def test_images_with_thin_axes_and_blocks_are_those_of_the_whole_image(name: str) -> None:
    size: dict[str, Any] = {"sigma": 1.5} if name == "gaussian_filter" else {"size": 5}
    for shape in ((1, 29), (29, 1), (2, 2), (7, 1, 9)):
        for mode in ("reflect", "mirror", "nearest", "constant"):
            same(name, picture(shape, "float32"), (1,) * len(shape), mode=mode, **size)


@pytest.mark.parametrize("dtype", ["uint8", "int16"])
def test_a_narrow_result_wraps_as_in_the_whole_image(dtype: str) -> None:
    image = picture(FLAT, "float64") * 700 - 300
    for name in ("sobel", "laplace", "prewitt"):
        same(name, image.astype(dtype), (5, 7))
    same("gaussian_filter", image.astype(dtype), (5, 7), sigma=1, order=1, output="uint16")


# ------------------------------------------------------------------------------------------------ refusals

WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("gaussian_filter", {"sigma": (1, 2, 3)}, "give one for each axis"),
    ("gaussian_filter", {"sigma": 1, "axes": (0, 5)}, "axes="),
    ("gaussian_filter", {"sigma": 1, "mode": "bouncy"}, "mode"),
    ("gaussian_filter", {"sigma": 1, "mode": "grid-wrap"}, "mode='wrap'"),
    ("gaussian_filter", {"sigma": 1, "mode": ("wrap", "nearest")}, "for all axes"),
    ("gaussian_filter", {"sigma": 1, "output": np.zeros(FLAT)}, "dtype"),
    ("gaussian_filter", {"sigma": 1, "output": "complex64"}, "dtype"),
    ("gaussian_filter", {"sigma": 7, "mode": "wrap"}, "more than the image"),
    ("gaussian_laplace", {"sigma": 1, "wide": 3}, "wide"),
    ("correlate", {"weights": np.ones((3, 3, 3))}, "give one for each axis"),
    ("correlate", {"weights": np.ones((3, 3)) * 1j}, "complex"),
    ("correlate", {"weights": np.ones((3, 3)), "origin": 5}, "origin"),
    ("median_filter", {}, "give size or footprint"),
    ("median_filter", {"size": 3, "mode": ("nearest", "reflect")}, "mode"),
    ("rank_filter", {"rank": 30, "size": 3}, "rank"),
    ("uniform_filter", {"size": 0}, "at least 1"),
    ("grey_erosion", {"footprint": np.ones((3, 3)), "structure": np.ones((3, 2))}, "the same shape"),
    ("binary_erosion", {"iterations": -1}, "at least 1"),
    ("binary_erosion", {"output": "uint8"}, "output"),
    ("spline_filter", {"order": 1}, "order"),
]


@pytest.mark.parametrize(("name", "options", "message"), WRONG, ids=[f"{n}-{m}" for n, _, m in WRONG])
def test_a_wrong_argument_is_one_clear_input_error(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        graph.apply(f"ndimage.{name}", picture(FLAT, "uint8"), **options)


@pytest.mark.parametrize(
    ("name", "more", "instead"),
    [
        ("generic_filter", (np.mean, 3), "map_blocks"),
        ("fourier_gaussian", (2,), "ndimage.gaussian_filter"),
        ("extrema", (), "ndimage.minimum"),
        ("find_objects", (), "regionprops_table"),
        ("watershed_ift", (np.ones(FLAT, int),), "segmentation.watershed"),
    ],
)
def test_functions_that_cannot_be_split_are_refused_with_advice(name: str, more: tuple[Any, ...], instead: str) -> None:
    with pytest.raises(NotExact, match=instead):
        graph.apply(f"ndimage.{name}", picture(FLAT, "uint8"), *more)
