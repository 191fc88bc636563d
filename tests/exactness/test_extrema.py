"""Plateaus that are extrema, and plateaus that a pixel in a distant block prevents from being extrema."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from skimage import morphology

import lepton_celery as lepton
from lepton_celery import graph
from lepton_celery.catalogue.arrays import Array
from lepton_celery.errors import InputError
from tests.oracle import assert_same_as_whole
from tests.unit.test_rounds import spiral

# scikit-image's warning, which comes from both
pytestmark = pytest.mark.filterwarnings("ignore:maxima can't exist:UserWarning")

NAMES = ("local_maxima", "local_minima")
LINE = np.array([[0, 0, 0], [1, 1, 1], [0, 0, 0]], bool)
SLANT = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]], bool)
ALONE = np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]], bool)


def agree(name: str, image: Array, block_shape: tuple[int, ...], **options: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-image warns of axes shorter than 3
        whole = getattr(morphology, name)(image, **options)
    assert_same_as_whole(graph.apply(f"morphology.{name}", image, **options), whole, block_shape)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("allow_borders", [True, False])
@pytest.mark.parametrize(
    "options", [{}, {"connectivity": 1}, {"footprint": LINE}, {"footprint": SLANT}, {"footprint": ALONE}]
)
def test_plateaus_of_few_values(name: str, allow_borders: bool, options: dict[str, Any]) -> None:
    random = np.random.default_rng(3)
    for levels, sigma in ((2, 0), (3, 0), (6, 3)):
        image = (gaussian_filter(random.random((37, 45)), sigma) * 1000).astype(np.int16)
        image = image // max(1, np.ptp(image) // levels) - 2
        agree(name, image, (8, 9), allow_borders=allow_borders, **options)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("allow_borders", [True, False])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 8), (3, 3), (9, 2)])
def test_narrow_and_constant_images(name: str, allow_borders: bool, shape: tuple[int, ...]) -> None:
    agree(name, np.full(shape, 7, np.uint8), (2, 2), allow_borders=allow_borders)
    agree(name, np.random.default_rng(0).integers(0, 3, shape).astype(np.float32), (2, 2), allow_borders=allow_borders)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_plateaus_across_small_blocks(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(2, 11), min_size=1, max_size=3)))
    deal = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    dtype = data.draw(st.sampled_from(("bool", "uint8", "int32", "float64")))
    image = deal.integers(0, data.draw(st.sampled_from((2, 3, 9))), shape).astype(dtype)
    options = {
        "connectivity": data.draw(st.sampled_from((None, *range(1, len(shape) + 1)))),
        "allow_borders": data.draw(st.booleans()),
    }
    block_shape = tuple(data.draw(st.integers(1, n)) for n in shape)
    agree(data.draw(st.sampled_from(NAMES)), image, block_shape, **options)


@pytest.mark.parametrize("name", NAMES)
def test_one_pixel_at_the_end_of_a_long_plateau_decides(name: str) -> None:
    path = (spiral(33) > 0).astype(np.int32)
    sign = 1 if name == "local_maxima" else -1
    agree(name, sign * path, (7, 6), connectivity=1)
    path[16, 15:17] += 1
    agree(name, sign * path, (7, 6), connectivity=1)
    agree(name, sign * path, (7, 6), connectivity=1, allow_borders=False)


def test_signed_zeros_and_infinities_are_values_like_others() -> None:
    image = np.random.default_rng(5).choice([0.0, -0.0, np.inf, -np.inf, 1.0], (31, 29))
    for name in NAMES:
        agree(name, image, (6, 7))


def test_nan_and_lopsided_footprints_are_refused() -> None:
    image = np.ones((9, 9))
    with pytest.raises(InputError, match="symmetric"):
        graph.apply("morphology.local_maxima", image, footprint=np.array([[0, 0, 0], [0, 1, 1], [0, 0, 0]]))
    with pytest.raises(InputError, match="footprint"):
        graph.apply("morphology.local_maxima", image, footprint=np.ones((5, 5)))
    with pytest.raises(InputError, match="nonzero"):
        graph.apply("morphology.local_minima", image, indices=True)
    image[4, 4] = np.nan
    with pytest.raises(InputError, match="NaN"):
        lepton.compute(graph.apply("morphology.local_maxima", image), block_shape=(4, 4), threads=1)
