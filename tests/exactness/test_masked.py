"""Masks and NaN: pixels picked by a mask, reductions with `where`, and those that leave out NaN; and images like another."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lepton_celery import graph
from lepton_celery.catalogue.arrays import Array
from lepton_celery.catalogue.numpy import masked, selected
from lepton_celery.errors import InputError, NotExactWarning
from lepton_celery.graph.nodes import Value
from lepton_celery.planning.regions import grid_shape
from lepton_celery.skimage import filters
from tests.exactness.cases.reductions import wide, with_nan
from tests.oracle import assert_same_as_whole, picture

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

FLAT = (23, 31)
MASK = picture(FLAT, "bool", seed=3)


def check(lazy: Any, whole: Any, ndim: int = 2, *, block: tuple[int, ...] = (3, 7, 5)) -> None:
    """Compare in blocks; `ndim` is the number of axes of the image that a value is found from."""
    axes = ndim if isinstance(lazy, Value) else len(grid_shape(whole.shape))
    assert_same_as_whole(lazy, whole, block[:axes])


# ------------------------------------------------------------------------------------------------ image[mask]

OF_PIXELS: list[Callable[[Any], Any]] = [
    lambda p: p,
    lambda p: p.mean(),
    lambda p: p.max(),
    lambda p: np.percentile(p, 5),
    lambda p: np.percentile(p, (5, 95)),
    np.std,
    np.median,
    lambda p: p.sum() / 2,
    lambda p: p[3],
    lambda p: p[:10],
    lambda p: p * 2 + 1,
]


@pytest.mark.parametrize("function", OF_PIXELS)
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_the_pixels_of_a_mask_are_in_raster_order(function: Callable[[Any], Any], dtype: str) -> None:
    image = picture(FLAT, dtype)
    check(function(graph.open(image)[MASK]), function(image[MASK]))
    lazy = graph.open(image)
    check(function(lazy[lazy > lazy.mean()]), function(image[image > image.mean()]))


def test_pixels_are_picked_in_volumes_and_of_filtered_images() -> None:
    from skimage.filters import gaussian

    volume = picture((7, 12, 11), "float32")
    smooth = filters.gaussian(graph.open(volume), 1)
    whole = gaussian(volume, 1)
    check(smooth[graph.open(volume) > 0.5], whole[volume > 0.5], 3)
    check(graph.open(volume)[np.zeros(volume.shape, bool)], volume[np.zeros(volume.shape, bool)], 3)
    check(smooth / smooth[graph.open(volume) > 0.5].max(), whole / whole[volume > 0.5].max())


def test_masks_that_do_not_fit_and_images_that_are_too_large_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    lazy = graph.open(picture(FLAT, "uint8"))
    with pytest.raises(InputError, match="mask of the image's shape"):
        lazy[MASK[:-1]]
    with pytest.raises(InputError, match="whole numbers and slices"):
        lazy[[1, 2]]
    monkeypatch.setattr(selected, "SELECTED_PX", MASK.size - 1)
    with pytest.raises(InputError, match="select in a crop"):
        lazy[MASK]


# ------------------------------------------------------------------------------------------------ where

INTEGERS = ("bool", "uint8", "int16", "int64", "uint64")


@pytest.mark.parametrize("name", ["sum", "mean", "prod", "any", "all"])
def test_all_pixels_of_a_mask_are_reduced(name: str) -> None:
    for dtype in INTEGERS if name != "mean" else INTEGERS[:3]:
        image = picture(FLAT, dtype)
        for mask in (MASK, np.zeros(FLAT, bool), np.ones(FLAT, bool)):
            check(getattr(graph.open(image), name)(where=mask), getattr(image, name)(where=mask))
    if name in ("any", "all"):
        image = picture(FLAT, "float32")
        check(getattr(np, name)(graph.open(image), where=MASK), getattr(np, name)(image, where=MASK))


@pytest.mark.parametrize("name", ["sum", "mean", "std", "var", "prod", "any", "all", "max", "min"])
def test_lines_of_a_mask_are_reduced(name: str) -> None:
    for shape in ((23, 31), (5, 12, 9), (3, 20000), (9000, 3)):
        mask = picture(shape, "bool", seed=5)
        for dtype, axis in itertools.product(("uint8", "int64", "float32", "float64"), (0, -1, (0, 1))):
            if isinstance(axis, tuple) and len(shape) == 2:
                continue
            has_order = dtype.startswith("float") and name in ("sum", "mean", "std", "var", "prod")
            if max(shape) > 1000 and not has_order:
                continue  # longer lines differ only in the order in which they are added up
            image = wide(shape, dtype)
            more: dict[str, Any] = {"initial": 3} if name in ("max", "min") else {}
            whole = getattr(np, name)(image, axis=axis, where=mask, **more)
            lazy = getattr(np, name)(graph.open(image), axis=axis, where=graph.open(mask), **more)
            check(lazy, whole, block=(700, 700) if max(shape) > 1000 else (3, 7, 5))


@pytest.mark.parametrize("name", ["sum", "mean", "std", "var", "prod", "max", "min"])
@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "float64"])
def test_all_pixels_of_a_mask_are_reduced_in_the_order_of_numpy(name: str, dtype: str) -> None:
    for shape, block in (((23, 31), (3, 7)), ((5, 12, 9), (3, 7, 5)), ((130, 1000), (13, 170))):
        image = wide(shape, dtype)
        mask = picture(shape, "bool", seed=5)
        more: dict[str, Any] = {"initial": 3} if name in ("max", "min") else {}
        if name == "mean" and dtype == "int64":
            continue  # a sum of integers beyond 2**53 depends on the order
        for chosen in (mask, np.ones(shape, bool), image > 0):
            whole = getattr(np, name)(image, where=chosen, **more)
            lazy = getattr(np, name)(graph.open(image), where=graph.open(chosen), **more)
            check(lazy, whole, len(shape), block=block)
    keepdims = np.sum(graph.open(image), where=mask, keepdims=True)
    check(keepdims, np.sum(image, where=mask, keepdims=True))


def test_where_is_refused_if_it_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    lazy = graph.open(picture(FLAT, "float32"))
    with pytest.raises(InputError, match="of the image's shape"):
        lazy.any(where=MASK[:1])
    with pytest.raises(InputError, match="give an image"):
        lazy.any(where=5)
    with pytest.raises(InputError, match="initial"):
        lazy.max(where=MASK)
    with pytest.warns(NotExactWarning, match="with where may differ"):
        lazy.T.sum(where=graph.open(MASK).T)
    monkeypatch.setattr(masked, "SELECTED_PX", MASK.size - 1)
    with pytest.raises(InputError, match="give axis, or reduce a crop"):
        lazy.sum(where=MASK)


# ------------------------------------------------------------------------------------------------ NaN

NANS = ("nansum", "nanmean", "nanstd", "nanvar", "nanmedian", "nanmin", "nanmax")


@pytest.mark.parametrize("name", NANS)
@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32", "float64"])
def test_nan_is_left_out(name: str, dtype: str) -> None:
    function = getattr(np, name)
    make = with_nan if dtype.startswith("float") else picture
    for shape in ((130, 97), (11, 13, 12)):
        image = make(shape, dtype)
        check(function(graph.open(image)), function(image), len(shape))
        for axis in (0, -1):
            check(function(graph.open(image), axis=axis), function(image, axis=axis))
    if name in ("nanstd", "nanvar"):
        check(function(graph.open(image), ddof=1), function(image, ddof=1), 3)


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_quantiles_without_nan(dtype: str) -> None:
    image = (with_nan if dtype.startswith("float") else picture)(FLAT, dtype)
    for q in (5, (2.0, 98.0)):
        check(np.nanpercentile(graph.open(image), q), np.nanpercentile(image, q))
        if dtype == "float32" and not isinstance(q, int):
            with pytest.raises(InputError, match="one q at a time"):
                np.nanpercentile(graph.open(image), q, axis=0)
            continue
        check(np.nanpercentile(graph.open(image), q, axis=0), np.nanpercentile(image, q, axis=0))
    check(np.nanquantile(graph.open(image), 0.3), np.nanquantile(image, 0.3))


def test_an_image_of_nan_has_numpys_values() -> None:
    image = np.full(FLAT, np.nan)
    for name in NANS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            check(getattr(np, name)(graph.open(image)), getattr(np, name)(image))


# ------------------------------------------------------------------------------------------------ others

CALLS: list[Callable[[Any], Any]] = [
    np.zeros_like,
    lambda x: np.ones_like(x, dtype="float32"),
    lambda x: np.full_like(x, 7),
    lambda x: np.full_like(x, x.max()) - x,
    lambda x: np.zeros_like(x, shape=(5, 6)),
    lambda x: np.diff(x),
    lambda x: np.diff(x, n=2, axis=0),
    lambda x: np.cumsum(x, axis=0),
    lambda x: np.cumsum(x, axis=-1, dtype="float64"),
    lambda x: np.isin(x, [3, 5, 200]),
    lambda x: np.isin(x, (1, 2), invert=True),
    lambda x: np.digitize(x, np.percentile(x, (20, 50))),
    lambda x: np.interp(x, np.percentile(x, (0, 50, 100)), [0, 1, 4]),
    lambda x: np.average(x, axis=0),
    lambda x: np.average(x, axis=1, weights=np.arange(1.0, 714.0).reshape(23, 31)),
]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_functions_that_keep_or_lessen_an_axis(call: Callable[[Any], Any], dtype: str) -> None:
    image = picture(FLAT, dtype)
    check(call(graph.open(image)), call(image))


def test_an_average_of_all_pixels() -> None:
    for dtype in ("bool", "uint8", "float32", "float64"):
        image = picture(FLAT, dtype)
        weights = picture(FLAT, "float64", seed=2)
        check(np.average(graph.open(image)), np.average(image))
        check(np.average(graph.open(image), weights=weights), np.average(image, weights=weights))
        check(np.average(graph.open(image), weights=image), np.average(image, weights=image))


def test_differences_of_masks() -> None:
    check(np.diff(graph.open(MASK)), np.diff(MASK))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: np.diff(x, prepend=0), "concatenate"),
        (lambda x: np.diff(x, n=31), "no pixel"),
        (lambda x: np.cumsum(x), "give axis"),
        (lambda x: np.full_like(x, 300), "300"),
        (lambda x: np.zeros_like(x, shape=(0,)), "no pixels"),
        (lambda x: np.average(x, axis=0, weights=np.ones(23)), "ones_like"),
        (lambda x: np.average(x, returned=True), "returned"),
        (lambda x: np.isin(x, x), "test_elements"),
    ],
)
def test_what_is_not_supported_says_what_to_do(call: Callable[[Any], Any], message: str) -> None:
    image: Array = picture(FLAT, "uint8")
    with pytest.raises(InputError, match=message):
        call(graph.open(image))
