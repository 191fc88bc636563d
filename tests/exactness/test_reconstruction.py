"""Floods through many blocks, and arguments that are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import morphology
from skimage.morphology import reconstruction

from lepton_celery import graph
from lepton_celery.catalogue.arrays import Array
from lepton_celery.catalogue.morphology import reconstruction as source
from lepton_celery.catalogue.shared.fastest import KERNELS
from lepton_celery.errors import InputError
from lepton_celery.proving import samples
from tests.oracle import assert_same_as_whole, evaluate, picture


def comb(n: int) -> Array:
    """A path that winds through the image and falls by one at each step."""
    image = np.zeros((n, n), np.uint16)
    level = 60000
    for column in range(0, n, 2):
        rows = range(n) if column % 4 == 0 else range(n - 1, -1, -1)
        for row in rows:
            level -= 1
            image[row, column] = level
        if column + 1 < n:
            image[n - 1 if column % 4 == 0 else 0, column + 1] = level
    return image


@pytest.mark.parametrize("block_shape", [(4, 4), (3, 17), (17, 2)])
def test_a_flood_that_crosses_all_blocks_many_times_ends(block_shape: tuple[int, int]) -> None:
    mask = comb(17)
    seed = np.zeros_like(mask)
    seed[0, 0] = mask[0, 0]
    expected = reconstruction(seed, mask)
    assert len(np.unique(expected)) > 50
    assert_same_as_whole(graph.apply("morphology.reconstruction", seed, mask), expected, block_shape)


@pytest.mark.filterwarnings("ignore:possible precision loss:UserWarning")
@pytest.mark.parametrize("kind", ["plateaus", "ties", "threads", "constant", "full corner", "bright"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float64"])
def test_heights_are_those_of_the_whole_image(kind: str, dtype: str) -> None:
    for shape, block_shape in (((23, 31), (5, 7)), ((7, 9, 8), (4, 3, 5))):
        image = samples.sample(kind, shape, np.dtype(dtype), 2)
        for h in (0.1, 0.5) if dtype == "float64" else (1, 30, 20.5, 4.0):
            for name in ("h_maxima", "h_minima"):
                expected = getattr(morphology, name)(image, h)
                assert_same_as_whole(graph.apply(f"morphology.{name}", image, h), expected, block_shape)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_the_kernel_gives_the_same_bytes_in_blocks(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 12), min_size=1, max_size=3)))
    deal = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    dtype = data.draw(st.sampled_from(("uint8", "int16", "float32", "float64")))
    levels = data.draw(st.sampled_from((2, 5, 200)))
    image, other = (deal.integers(0, levels, shape).astype(dtype) for _ in range(2))
    method = data.draw(st.sampled_from(("dilation", "erosion")))
    seed = (np.minimum if method == "dilation" else np.maximum)(image, other)
    lengths = data.draw(st.tuples(*[st.sampled_from((1, 3, 5))] * len(shape)))
    footprint = data.draw(st.sampled_from((None, deal.random(lengths) < 0.6)))
    block_shape = tuple(data.draw(st.integers(1, n)) for n in shape)
    lazy = graph.apply("morphology.reconstruction", seed, image, method, footprint)
    assert_same_as_whole(lazy, reconstruction(seed, image, method, footprint), block_shape)


def test_zeros_of_both_signs_are_left_to_scikit_image() -> None:
    arguments = {"seed": np.zeros(3), "mask": np.array([0.0, -0.0, 1.0]), "method": "dilation", "footprint": None}
    assert not KERNELS[source.reconstructed].covers(arguments)


def test_images_that_cannot_be_flooded_are_refused() -> None:
    image = picture((9, 9), "float64")
    for options, message in (
        ({"method": "opening"}, "'dilation' or 'erosion'"),
        ({"footprint": np.ones((2, 3))}, "no middle"),
        ({"footprint": np.ones(3)}, "same number of axes"),
        ({"footprint": np.ones((3, 3)), "offset": np.array([0, 0])}, "not supported"),
    ):
        with pytest.raises(InputError, match=message):
            graph.apply("morphology.reconstruction", image, image, **options)
    with pytest.raises(InputError, match="do not match"):
        graph.apply("morphology.reconstruction", image, image[1:])
    with pytest.raises(InputError, match="Intensity of seed"):
        evaluate(graph.apply("morphology.reconstruction", image + 1, image), (4, 4))
    broken = image.copy()
    broken[8, 8] = np.nan
    with pytest.raises(InputError, match="NaN"):
        evaluate(graph.apply("morphology.reconstruction", image, broken), (4, 4))
    for h in (0, -1, "high", np.nan):
        with pytest.raises(InputError, match=r"a height above 0|give a number"):
            graph.apply("morphology.h_maxima", image, h)
