"""Contours, profiles along a line and shifts between images are those of the whole image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import measure, registration

import lepton_celery as lepton
from lepton_celery import graph
from lepton_celery.errors import InputError, PlanTooLarge
from lepton_celery.skimage import measure as lazy_measure
from lepton_celery.skimage import registration as lazy_registration
from tests.exactness.cases.case import FLAT, SOLID
from tests.oracle import assert_identical, assert_same_as_whole, evaluate, picture


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(2, 20), st.integers(2, 20)),
    block_shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    dtype=st.sampled_from(["bool", "uint8", "int16", "float32", "float64"]),
    values=st.sampled_from([2, 3, 200]),
    options=st.fixed_dictionaries(
        {"fully_connected": st.sampled_from(["low", "high"]), "positive_orientation": st.sampled_from(["low", "high"])},
        optional={"level": st.sampled_from([0, 0.5, 1.0])},
    ),
    is_masked=st.booleans(),
    has_nan=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_contours_that_cross_blocks_are_joined_as_in_the_whole_image(
    shape: Any, block_shape: Any, dtype: str, values: int, options: Any, is_masked: bool, has_nan: bool, seed: int
) -> None:
    random = np.random.default_rng(seed)
    image = (random.integers(0, values, shape) / 1.25).astype(dtype)
    if dtype == "bool" or (has_nan and dtype.startswith("float")):
        options = {"level": 0.5} | options
    if has_nan and dtype.startswith("float"):
        image[random.random(shape) < 0.1] = np.nan
    if is_masked:
        options = options | {"mask": random.random(shape) < 0.9}
    contours = measure.find_contours(image, **options)
    assert_identical(evaluate(lazy_measure.find_contours(image, **options), block_shape), contours)


def test_contours_refuse_what_scikit_image_refuses() -> None:
    image = picture(FLAT, float)
    for options in ({"fully_connected": "middle"}, {"positive_orientation": "up"}, {"mask": np.ones((3, 3), bool)}):
        with pytest.raises(InputError, match=next(iter(options))):
            graph.apply("measure.find_contours", image, **options)
    with pytest.raises(InputError, match="2 × 2"):
        graph.apply("measure.find_contours", image[:1])
    image[2, 2] = np.nan
    with pytest.raises(InputError, match="give a level"):
        evaluate(graph.apply("measure.find_contours", image))


@pytest.mark.parametrize("shape", [FLAT, (*FLAT, 3)])
@pytest.mark.parametrize(("src", "dst"), [((3, 4), (17.5, 20.2)), ((-2, 3), (30, 40)), ((5, 9), (5, 9))])
def test_profiles_are_those_of_the_whole_image(shape: Any, src: Any, dst: Any) -> None:
    for dtype in ("bool", "uint8", "float32"):
        image = picture(shape, dtype)
        for options in ({}, {"linewidth": 3, "reduce_func": None}, {"linewidth": 4, "reduce_func": np.max}):
            expected = measure.profile_line(image, src, dst, **options)
            assert_same_as_whole(lazy_measure.profile_line(image, src, dst, **options), expected, None)
    expected = measure.profile_line(image, src, dst, order=3, mode="nearest", reduce_func=tallest)
    lazy = lazy_measure.profile_line(image, src, dst, order=3, mode="nearest", reduce_func=tallest)
    assert_same_as_whole(lazy, expected, None)


def tallest(pixels: Any) -> Any:
    """A function of one's own, without an axis."""
    return np.sort(pixels)[-1]


@pytest.mark.parametrize("shape", [FLAT, SOLID, (40,)])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")
def test_shifts_between_images_are_those_of_the_whole_images(shape: Any, dtype: str) -> None:
    fixed = picture(shape, dtype)
    moved = np.roll(fixed, 3, axis=0)
    mask = picture(shape, "bool", seed=3) | picture(shape, "bool", seed=4)
    for options in (
        {},
        {"upsample_factor": 7},
        {"normalization": None},
        {"disambiguate": True},
        {"reference_mask": mask},
        {"reference_mask": mask, "moving_mask": ~mask | (mask > 0), "overlap_ratio": 0.5},
    ):
        expected = registration.phase_cross_correlation(fixed, moved, **options)
        results = lazy_registration.phase_cross_correlation(fixed, moved, **options)
        for lazy, whole in zip(results, expected, strict=True):
            assert_same_as_whole(lazy, whole, tuple(9 for _ in shape))


def test_images_that_cannot_be_registered_are_refused() -> None:
    image = picture(FLAT, float)
    for moved, options, what in (
        (image[1:], {}, "same shape"),
        (image, {"space": "fourier"}, "real images"),
        (image, {"normalization": "none"}, "normalization"),
    ):
        with pytest.raises(InputError, match=what):
            lazy_registration.phase_cross_correlation(image, moved, **options)
    shift, _, _ = lazy_registration.phase_cross_correlation(image, image)
    with pytest.raises(PlanTooLarge, match="memory"):
        lepton.explain(shift, limits=lepton.Limits(worker_memory_bytes=20_000))
