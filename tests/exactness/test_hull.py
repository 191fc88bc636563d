"""The convex hull of pixels in all blocks."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from skimage.morphology import convex_hull_image

import lepton_celery as lepton
from lepton_celery import graph
from lepton_celery.catalogue.arrays import Array
from lepton_celery.errors import InputError
from tests.oracle import assert_same_as_whole

NAME = "morphology.convex_hull_image"
OPTIONS = [{}, {"offset_coordinates": False}, {"include_borders": False}]


def agree(image: Array, block_shape: tuple[int, ...], **options: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-image warns of images without a hull
        whole = convex_hull_image(image, **options)
        assert_same_as_whole(graph.apply(NAME, image, **options), whole, block_shape)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("share", [0.001, 0.01, 0.2])
def test_scattered_pixels(options: dict[str, Any], share: float) -> None:
    for seed in range(8):
        random = np.random.default_rng(seed)
        shape = tuple(int(n) for n in random.integers(20, 90, 2))
        agree(random.random(shape) < share, (17, 23), **options)


@pytest.mark.parametrize("options", OPTIONS)
def test_round_and_slanted_hulls_with_many_pixels_on_their_edges(options: dict[str, Any]) -> None:
    row, column = np.ogrid[:120, :101]
    for image in (
        (row - 60) ** 2 + (column - 50) ** 2 < 45**2,
        abs(row - 60) + abs(column - 50) < 40,
        (2 * row + column > 150) & (row - 3 * column > -150),
        (row == 3 * column),
        (row == 7) & (column > 5),
        (row == 7) & (column == 5),
        np.ones((40, 30)),
        np.zeros((40, 30)),
        np.ones((1, 1)),
    ):
        agree(np.asarray(image, np.uint8), (31, 16), **options)


def test_pixels_that_are_0_as_uint8_are_left_out_as_in_scikit_image() -> None:
    image = np.zeros((30, 40), np.uint16)
    image[3, 4], image[20:25, 10:15] = 256, 3
    agree(image, (8, 9))
    image[:] = 256
    with pytest.raises(InputError, match="multiples of 256"):
        lepton.compute(graph.apply(NAME, image), block_shape=(8, 9), threads=1)


def test_a_hull_in_three_dimensions() -> None:
    agree(np.random.default_rng(0).random((9, 12, 11)) < 0.02, (4, 5, 6))
