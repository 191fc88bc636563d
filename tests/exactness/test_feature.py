"""Corners, derivatives and textures that blocks could change: far from the origin, in flat regions, on edges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from lepton_celery import graph
from lepton_celery.catalogue.arrays import Array
from lepton_celery.catalogue.entries import resolve
from lepton_celery.errors import InputError, NotExact
from tests.exactness.cases.case import FLAT
from tests.oracle import assert_same_as_whole, evaluate, picture

CORNER = np.zeros(FLAT)
CORNER[0, 0] = 1
PLATEAUS = np.kron(picture((6, 8), float), np.ones((5, 5)))[: FLAT[0], : FLAT[1]]
BRIGHT = (picture(FLAT, "uint8") % 7 + np.uint16(65000)).astype(np.uint16)
FLAT_BLOCK = picture(FLAT, float)
FLAT_BLOCK[7:14, 10:20] = 0.5
ADVERSARIAL = {"corner": CORNER, "plateaus": PLATEAUS, "bright": BRIGHT, "flat block": FLAT_BLOCK}
CALLS: Mapping[str, Mapping[str, Any]] = {
    "corner_harris": {},
    "corner_shi_tomasi": {},
    "corner_kitchen_rosenfeld": {"mode": "mirror"},
    "corner_moravec": {},
    "corner_fast": {},
    "shape_index": {},
    "hessian_matrix_det": {"sigma": 2},
    "local_binary_pattern": {"P": 8, "R": 1, "method": "var"},
    "hog": {"pixels_per_cell": (4, 5), "cells_per_block": (2, 2)},
}


def same(name: str, image: Array, block_shape: tuple[int, ...], *more: Any, **options: Any) -> None:
    """The function gives the same in blocks as on the whole image."""
    expected = resolve(f"skimage.feature.{name}")(image, *more, **options)
    assert_same_as_whole(graph.apply(f"feature.{name}", image, *more, **options), expected, block_shape)


@pytest.mark.filterwarnings("ignore::UserWarning")  # local_binary_pattern of floats
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("image", ADVERSARIAL)
def test_adversarial_images_give_the_same(name: str, image: str) -> None:
    same(name, ADVERSARIAL[image], (7, 10) if name != "hog" else (31,), **CALLS[name])


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("method", ["default", "ror", "uniform", "nri_uniform", "var"])
def test_patterns_far_from_the_origin_are_those_of_the_whole_image(method: str) -> None:
    # scikit-image interpolates at the image's coordinates, whose rounding decides ties in flat regions
    levels = np.random.default_rng(0).integers(0, 4, (800, 25)).astype(np.uint8) * 61
    image = np.kron(levels, np.ones((3, 1), np.uint8))
    image[::7] = 97
    same("local_binary_pattern", image, (513, 25), 8, 1, method)


def test_determinants_by_boxes_of_a_large_bright_image_are_those_of_the_whole() -> None:
    image = np.random.default_rng(0).random((300, 400)) + 1000
    same("hessian_matrix_det", image, (64, 80), 3)


def test_pairs_of_the_whole_image_are_counted_once_across_blocks() -> None:
    image = np.zeros((9, 11), np.uint8)
    expected = resolve("skimage.feature.graycomatrix")(
        image, [1, 4], [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4], levels=2
    )
    lazy = graph.apply("graycomatrix", image, [1, 4], [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4], levels=2)
    for block_shape in ((1, 1), (2, 3), (9, 1)):
        assert_same_as_whole(lazy, expected, block_shape)


def test_properties_of_a_lazy_matrix_are_those_of_the_matrix() -> None:
    from skimage.feature import graycomatrix, graycoprops

    image = picture(FLAT, "uint8")
    lazy = graph.apply("graycomatrix", image, [1, 2], [0.0, 1.0], symmetric=True, normed=True)
    matrix = graycomatrix(image, [1, 2], [0.0, 1.0], symmetric=True, normed=True)
    for prop in ("contrast", "energy", "correlation", "entropy", "std"):
        assert_same_as_whole(graph.apply("graycoprops", lazy, prop), graycoprops(matrix, prop), (7, 10))


def test_pixels_beyond_the_levels_are_refused() -> None:
    with pytest.raises(InputError, match="more levels"):
        lazy = graph.apply("graycomatrix", picture(FLAT, "uint16"), [1], [0.0], levels=8)
        evaluate(lazy, (7, 10))


def test_nan_in_a_structure_tensor_spreads_as_in_the_whole_image() -> None:
    image = picture(FLAT, float)
    image[4, 5], image[20, 30] = np.nan, np.inf
    with np.errstate(all="ignore"):
        same("corner_harris", image, (7, 10))


def test_descriptors_of_one_column_are_those_of_the_whole_image() -> None:
    # NumPy sums a single descriptor in another order than several
    for shape in ((40, 11), (11, 40), (11, 11)):
        options = {"radius": 5, "rings": 3, "histograms": 8, "orientations": 8, "step": 2}
        expected = resolve("skimage.feature.daisy")(picture(shape, float), **options)
        lazy = graph.apply("daisy", picture(shape, float), **options)
        assert_same_as_whole(lazy, expected, (1, 1, *expected.shape[2:]))


REFUSED: list[tuple[str, Mapping[str, Any], str]] = [
    ("structure_tensor", {"mode": "grid-wrap"}, "mode='wrap'"),
    ("structure_tensor", {"sigma": (1, 2, 3)}, "give one per axis"),
    ("hessian_matrix", {"order": "yx", "use_gaussian_derivatives": False}, "order"),
    ("local_binary_pattern", {"P": 40, "R": 1}, "1 to 31 points"),
    ("local_binary_pattern", {"P": 8, "R": 1, "method": "best"}, "use one of"),
    ("hog", {"visualize": True}, "visualize"),
    ("hog", {"pixels_per_cell": (20, 20)}, "too small"),
    ("daisy", {}, "smaller than one patch"),
    ("graycomatrix", {"distances": 1, "angles": [0.0]}, "sequence of numbers"),
    ("match_template", {"template": np.ones((40, 3))}, "does not lie inside"),
]


@pytest.mark.parametrize(("name", "options", "message"), REFUSED, ids=[f"{n}-{m}" for n, _, m in REFUSED])
def test_a_wrong_argument_is_one_clear_input_error(name: str, options: Mapping[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        graph.apply(f"feature.{name}", picture(FLAT, "uint8"), **options)


def test_axes_of_one_pixel_are_refused_where_scikit_image_drops_them() -> None:
    for name in ("structure_tensor", "corner_harris", "corner_fast"):
        with pytest.raises(InputError, match="axis of one pixel"):
            graph.apply(name, picture((1, 30), float))


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("corner_subpix", {"corners": [[1, 2]]}),
        ("corner_orientations", {"corners": [[1, 2]], "mask": np.ones((3, 3))}),
        ("multiblock_lbp", {"int_image": np.ones((9, 9)), "r": 0, "c": 0, "width": 3, "height": 3}),
    ],
)
def test_functions_of_points_are_refused_with_advice(name: str, given: Mapping[str, Any]) -> None:
    image = {} if "int_image" in given else {"image": np.ones((9, 9))}
    with pytest.raises(NotExact, match="on a crop"):
        graph.apply(f"feature.{name}", **image, **given)
