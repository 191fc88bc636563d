"""Distances to a background that may lie in any block."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt

from lepton_celery import graph
from lepton_celery.catalogue.arrays import Array
from lepton_celery.errors import InputError
from tests.oracle import assert_identical, assert_same_as_whole, evaluate

NAME = "ndimage.distance_transform_edt"


def sparse(shape: tuple[int, ...], seed: int, share: float) -> Array:
    return np.random.default_rng(seed).random(shape) > share


@pytest.mark.parametrize("share", [0.0002, 0.002, 0.05])
@pytest.mark.parametrize("sampling", [None, (1, 7), (11, 2)])
def test_background_far_beyond_the_first_halo(share: float, sampling: Any) -> None:
    for seed in range(3):
        image = sparse((211, 187), seed, share)
        lazy = graph.apply(NAME, image, sampling=sampling)
        assert_same_as_whole(lazy, distance_transform_edt(image, sampling), (40, 23))


@pytest.mark.parametrize("shape", [(150,), (150, 1), (1, 150), (3, 97, 41)])
def test_a_single_pixel_of_background(shape: tuple[int, ...]) -> None:
    for place in ((0,) * len(shape), tuple(n - 1 for n in shape)):
        image = np.ones(shape, np.float32)
        image[place] = 0
        assert_same_as_whole(graph.apply(NAME, image), distance_transform_edt(image), tuple(min(n, 20) for n in shape))


def test_without_background_distances_are_those_that_scipy_gives() -> None:
    image = np.ones((70, 90), bool)
    assert_same_as_whole(graph.apply(NAME, image, sampling=[3, 2]), distance_transform_edt(image, [3, 2]), (16, 50))


@pytest.mark.parametrize("kernels", [True, False])
@given(st.data())
@settings(max_examples=30, deadline=None)
def test_of_equally_near_pixels_the_same_one_is_found_as_by_scipy(kernels: bool, data: st.DataObject) -> None:
    shape = data.draw(st.lists(st.integers(1, 14), min_size=1, max_size=4).map(tuple))
    image = sparse(shape, data.draw(st.integers(0, 2**32)), data.draw(st.sampled_from((0, 0.02, 0.2, 0.7, 1))))
    lengths = st.sampled_from((1, 2, 0.3, 0.7, 1 / 3, 1e-9))
    sampling = data.draw(st.one_of(st.none(), lengths, st.tuples(*[lengths] * len(shape))))
    block = tuple(min(n, data.draw(st.integers(1, 9))) for n in shape)
    wanted = distance_transform_edt(image, sampling, return_indices=True)
    results = graph.apply(NAME, image, sampling=sampling, return_indices=True)
    for lazy, whole in zip(results, wanted, strict=True):
        assert_identical(evaluate(lazy, block, kernels=kernels), whole)


def test_indices_alone() -> None:
    image = sparse((90, 70), 4, 0.01)
    lazy = graph.apply(NAME, image, return_distances=False, return_indices=True)
    assert_same_as_whole(lazy, distance_transform_edt(image, return_distances=False, return_indices=True), (2, 40, 23))


@pytest.mark.parametrize(
    "options",
    [{"distances": np.ones((9, 9))}, {"return_distances": False}, {"sampling": 0}, {"sampling": (1, 2, 3)}],
)
def test_arguments_that_cannot_be_split_are_refused(options: dict[str, Any]) -> None:
    with warnings.catch_warnings(), pytest.raises(InputError):
        warnings.simplefilter("error")
        graph.apply(NAME, np.ones((9, 9)), **options)
