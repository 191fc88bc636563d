"""Rank filters that depend on the brightest pixel of the whole image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from skimage.filters import rank
from skimage.morphology import disk

from lepton_celery import graph
from lepton_celery.catalogue.arrays import Array
from lepton_celery.catalogue.filters.rank import FLAT, SOLID
from lepton_celery.errors import DtypeNotSupported, InputError
from lepton_celery.skimage import filters
from tests.oracle import assert_identical, assert_same_as_whole, evaluate, picture

SHAPE = (23, 31)
PERCENTILES: Mapping[str, Any] = {"p0": 0.1, "p1": 1.0}
"""Percentiles for which scikit-image's result depends on the number of bins."""
ONE = ("percentile", "threshold_percentile")


def dim() -> Array:
    """uint16 pixels of a few grey levels, and one bright pixel in a corner."""
    image = (picture(SHAPE, "uint8") // 8).astype(np.uint16)
    image[-1, -1] = 3000
    return image


def options(name: str) -> Mapping[str, Any]:
    if name in ONE:
        return {"p0": 0.1}
    return PERCENTILES if name.endswith("percentile") else {}


@pytest.mark.filterwarnings("ignore:Bad rank filter performance")
@pytest.mark.parametrize("name", (*FLAT, *SOLID))
def test_the_brightest_pixel_of_the_image_counts_in_every_block(name: str) -> None:
    image, footprint = dim(), disk(2)
    whole = getattr(rank, name)(image, footprint, **options(name))
    lazy = graph.apply(f"filters.rank.{name}", image, footprint, **options(name))
    for block_shape in ((5, 7), (1, 31), (23, 1)):
        assert_same_as_whole(lazy, whole, block_shape)


@pytest.mark.parametrize("name", (*FLAT, *SOLID))
@pytest.mark.parametrize("shape", [(1, 17), (16, 1), (1, 1), (2, 3)])
def test_thin_images_and_pixels_that_are_all_masked(name: str, shape: tuple[int, int]) -> None:
    image = picture(shape, "uint8")
    mask = picture(shape, "bool", seed=3)
    mask[:, : shape[1] // 2] = False
    whole = getattr(rank, name)(image, disk(3), mask=mask, **options(name))
    lazy = graph.apply(f"filters.rank.{name}", image, disk(3), mask=mask, **options(name))
    assert_same_as_whole(lazy, whole, (3, 4))


def test_a_histogram_has_a_bin_for_values_that_a_block_does_not_have() -> None:
    image = np.zeros(SHAPE, np.uint16)
    image[-1, -1] = 39
    whole = rank.windowed_histogram(image, disk(1), n_bins=40)
    assert_same_as_whole(graph.apply("filters.rank.windowed_histogram", image, disk(1), n_bins=40), whole, (5, 7, 40))


def test_the_module_has_the_path_that_it_has_in_scikit_image() -> None:
    from lepton_celery.skimage.filters.rank import mean

    image = picture(SHAPE, "uint8")
    assert_identical(evaluate(filters.rank.mean(image, disk(2)), (5, 7)), rank.mean(image, disk(2)))
    assert mean.__name__ == "mean"
    assert "mean" in dir(filters.rank)


REFUSED: list[tuple[str, Any, Mapping[str, Any], type[Exception], str]] = [
    ("mean", "int16", {"footprint": disk(1)}, DtypeNotSupported, "int16"),
    ("mean", "bool", {"footprint": disk(1)}, InputError, "bool"),
    ("mean", "uint8", {"footprint": disk(1), "mask": np.ones(SHAPE, np.uint16)}, InputError, "give mask > 0"),
    ("mean", "uint8", {"footprint": disk(1), "shift_x": 4}, InputError, "shift_x=4"),
    ("mean", "uint8", {"footprint": np.ones((3, 3, 3))}, InputError, "footprint of 2 axes"),
    ("windowed_histogram", "uint8", {"footprint": disk(1)}, InputError, "n_bins"),
    ("windowed_histogram", "uint8", {"footprint": disk(1), "n_bins": 257}, InputError, "1 to 256"),
]


@pytest.mark.parametrize(("name", "dtype", "given", "error", "message"), REFUSED)
def test_arguments_without_an_exact_result_are_refused(
    name: str, dtype: str, given: Mapping[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        graph.apply(f"filters.rank.{name}", picture(SHAPE, dtype), **given)
