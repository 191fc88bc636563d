"""Numbers of whole images: objects at the image's edge and across blocks, and the error of approximate results."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lepton_celery import graph
from lepton_celery.catalogue.entries import resolve
from lepton_celery.errors import InputError, NotExactWarning
from tests.exactness.cases.case import FLAT
from tests.oracle import assert_same_as_whole, evaluate, picture

RING = np.zeros((12, 12), bool)
RING[2:9, 2:9] = True
RING[4:6, 4:6] = False
FIGURES = {
    "full": np.ones((9, 11), bool),
    "empty": np.zeros((9, 11), bool),
    "ring": RING,
    "diagonal": np.eye(13, dtype=bool),
    "board": np.indices((11, 10)).sum(axis=0) % 2 == 0,
    "column": np.ones((17, 1), bool),
    "noise": picture(FLAT, "uint8") > 128,
}


@pytest.mark.parametrize("block_shape", [(1, 1), (3, 4), (5, 2), (40, 40)])
@pytest.mark.parametrize("figure", FIGURES)
def test_outlines_and_holes_are_counted_once(figure: str, block_shape: tuple[int, int]) -> None:
    image = FIGURES[figure]
    for name, option, values in (
        ("euler_number", "connectivity", (1, 2)),
        ("perimeter", "neighborhood", (4, 8)),
        ("perimeter_crofton", "directions", (2, 4)),
    ):
        for value in values:
            expected = resolve(f"skimage.measure.{name}")(image, **{option: value})
            assert_same_as_whole(graph.apply(f"measure.{name}", image, **{option: value}), expected, block_shape)


def test_the_euler_number_of_a_volume_is_that_of_the_whole() -> None:
    volume = picture((9, 8, 10), "uint8") > 120
    for connectivity in (1, 3):
        expected = resolve("skimage.measure.euler_number")(volume, connectivity)
        assert_same_as_whole(graph.apply("euler_number", volume, connectivity), expected, (4, 3, 5))


def test_the_perimeter_of_labels_is_refused() -> None:
    with pytest.raises(InputError, match="binary image"):
        evaluate(graph.apply("perimeter", np.full(FLAT, 9, np.uint8)), (7, 10))


def test_the_entropy_of_floats_counts_nan_and_both_zeros_as_numpy_does() -> None:
    image = np.random.default_rng(0).choice([0.0, -0.0, 1.5, np.nan, np.inf], FLAT)
    assert_same_as_whole(
        graph.apply("shannon_entropy", image), resolve("skimage.measure.shannon_entropy")(image), (7, 10)
    )


def test_the_blur_of_a_large_image_is_that_of_the_whole() -> None:
    for dtype in ("uint8", "float32", "float64"):
        image = picture((210, 301), dtype)
        assert_same_as_whole(graph.apply("blur_effect", image), resolve("skimage.measure.blur_effect")(image), (64, 80))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
def test_sums_that_blas_computes_are_near(dtype: str) -> None:
    image, other = picture((90, 110), dtype), picture((90, 110), dtype, seed=3)
    near = 1e-4 if dtype == "float32" else 1e-10
    for name, more, options in (
        ("moments", (), {}),
        ("moments_central", (), {"center": (40, 50.5)}),
        ("centroid", (), {"spacing": (2, 0.5)}),
        ("pearson_corr_coeff", (other,), {}),
    ):
        with pytest.warns(NotExactWarning, match="BLAS"):
            lazy: Any = graph.apply(f"measure.{name}", image, *more, **options)
        expected = resolve(f"skimage.measure.{name}")(image, *more, **options)
        result = [evaluate(node, (32, 40)) for node in lazy] if isinstance(lazy, tuple) else evaluate(lazy, (32, 40))
        np.testing.assert_allclose(result, expected, rtol=near)


def test_coefficients_of_nothing_are_those_of_scikit_image() -> None:
    none, some = np.zeros(FLAT, np.uint8), picture(FLAT, "uint8") > 90
    assert evaluate(graph.apply("manders_coloc_coeff", none, some), (7, 10)) == 0
    assert evaluate(graph.apply("intersection_coeff", none, some), (7, 10)) == 0


def test_images_that_coefficients_cannot_take_are_refused() -> None:
    negative, mask = picture(FLAT, float) - 0.5, np.ones(FLAT, bool)
    with pytest.raises(InputError, match="pixels below 0"):
        evaluate(graph.apply("manders_overlap_coeff", negative, negative), (7, 10))
    with pytest.raises(InputError, match="0 and 1"):
        evaluate(graph.apply("intersection_coeff", picture(FLAT, "uint8"), mask), (7, 10))
    with pytest.raises(InputError, match="mask"):
        graph.apply("manders_coloc_coeff", picture(FLAT, float), mask, mask)
    with pytest.raises(InputError, match=r"do not match|must have the same dimensions"):
        graph.apply("pearson_corr_coeff", picture((5, 6), float), picture((6, 5), float))
    with pytest.raises(InputError, match="reduce_func"):
        graph.apply("blur_effect", picture(FLAT, float), reduce_func=np.mean)
    with pytest.raises(InputError, match="last axis"):
        graph.apply("blur_effect", picture((3, *FLAT), float), channel_axis=0)
