"""Conversions that scale by the greatest pixel of the whole image, and functions that are refused."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from lepton_celery import graph
from lepton_celery.catalogue.entries import resolve
from lepton_celery.errors import InputError, NotExact
from tests.exactness.cases.case import FLAT
from tests.oracle import assert_same_as_whole, picture

INTEGERS = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64")


@pytest.mark.parametrize("to", ["img_as_ubyte", "img_as_uint", "img_as_int"])
@pytest.mark.parametrize("dtype", INTEGERS)
def test_a_dark_block_is_scaled_as_its_bright_image(dtype: str, to: str) -> None:
    # an image is scaled if its greatest pixel does not fit the narrower dtype
    dark = (picture(FLAT, "uint8") // 3).astype(dtype)
    for greatest in (0, 127, 255, 256, 32767, 32768, 65535, 65536, np.iinfo(dtype).max):
        if greatest > np.iinfo(dtype).max:
            continue
        image = dark.copy()
        image[20, 30] = greatest
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            whole = resolve(f"skimage.util.{to}")(image)
            assert_same_as_whole(graph.apply(f"util.{to}", image), whole, (7, 10))


@pytest.mark.parametrize("tiles", [(8, 8), (1, 1), (23, 31), (40, 2), (5, 7)])
def test_a_checkerboard_has_the_tiles_of_the_whole_image(tiles: tuple[int, int]) -> None:
    from skimage.util import compare_images

    image, other = picture(FLAT, "float32"), picture(FLAT, "float64", seed=3)
    whole = compare_images(image, other, method="checkerboard", n_tiles=tiles)
    for block_shape in ((5, 7), (1, 31), (23, 1)):
        lazy = graph.apply("compare_images", image, other, method="checkerboard", n_tiles=tiles)
        assert_same_as_whole(lazy, whole, block_shape)


def test_labels_that_are_not_in_the_map_become_0() -> None:
    from skimage.util import map_array

    labels = (picture(FLAT, "uint8") // 20).astype(np.int64)
    old, new = np.array([3, 5, 700]), np.array([1.5, np.nan, 2.0])
    assert_same_as_whole(graph.apply("map_array", labels, old, new), map_array(labels, old, new), (5, 7))


@pytest.mark.parametrize(
    ("name", "more", "instead"),
    [
        ("random_noise", (), "default_rng"),
        ("montage", (), "numpy.stack"),
        ("view_as_blocks", ((2, 2),), "downscale_local_mean"),
        ("view_as_windows", (3,), "filter"),
        ("unique_rows", (), "numpy.unique"),
    ],
)
def test_functions_that_give_no_image_are_refused_with_advice(name: str, more: tuple[Any, ...], instead: str) -> None:
    with pytest.raises(NotExact, match=instead):
        graph.apply(f"util.{name}", picture(FLAT, "uint8"), *more)


def test_functions_of_other_programs_are_refused_with_advice() -> None:
    with pytest.raises(NotExact, match="in blocks"):
        graph.apply("util.apply_parallel", np.sqrt, picture(FLAT, "float64"))
    with pytest.raises(InputError, match="checkerboard"):
        graph.apply("util.compare_images", np.ones((4, 5, 6)), np.ones((4, 5, 6)), method="checkerboard")
