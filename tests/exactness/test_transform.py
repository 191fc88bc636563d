"""Sizes and warps that are hard to split: odd scales, single boxes, values beyond the range, NaN, chains."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import skimage.transform
from skimage.filters import gaussian
from skimage.measure import block_reduce

from lepton_celery import graph
from lepton_celery.catalogue import get_entry
from lepton_celery.catalogue.arrays import Array
from lepton_celery.catalogue.entries import resolve
from lepton_celery.errors import InputError, NotExact
from lepton_celery.skimage import filters, transform
from tests.exactness.cases.case import FLAT
from tests.oracle import assert_same_as_whole, picture

IMAGE = picture(FLAT, "float64")


def assert_same(name: str, image: Array, block_shape: tuple[int, ...], **options: Any) -> None:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # advice of scikit-image, and warnings of NumPy about NaN
        expected = resolve(get_entry(name).source)(image, **options)
        lazy = graph.apply(name, image, **options)
        results = zip(lazy, expected, strict=True) if isinstance(lazy, tuple) else [(lazy, expected)]
        for node, pixels in results:
            assert_same_as_whole(node, pixels, block_shape)


MODES = ("constant", "edge", "symmetric", "reflect", "wrap")
DTYPES = ("bool", "uint8", "int16", "uint16", "int32", "float32", "float64")


@pytest.mark.parametrize("seed", range(60))
def test_random_sizes_and_warps_give_the_same(seed: int) -> None:
    random = np.random.default_rng(seed)
    shape = tuple(int(n) for n in random.integers(1, 26, 2))
    image = picture(shape, random.choice(DTYPES), seed)
    if image.dtype.kind == "f" and seed % 5 == 0:
        image.flat[random.integers(image.size)] = np.nan
    block_shape = tuple(int(n) for n in random.integers(1, 20, 2))
    order = 0 if image.dtype == bool else int(random.choice([0, 1, 1, 3]))
    options = {
        "order": order,
        "mode": str(random.choice(MODES)),
        "cval": float(random.choice([0, 0.4, -3, 70000])),
        "clip": bool(random.random() < 0.7),
        "preserve_range": bool(random.random() < 0.3),
    }
    wanted = tuple(int(n) for n in random.integers(1, 35, 2))
    matrix = np.eye(3) + random.normal(size=(3, 3)) * [[0.5, 0.5, 8], [0.5, 0.5, 8], [1e-3, 1e-3, 0]]
    assert_same("transform.resize", image, block_shape, output_shape=wanted, **options)
    assert_same("transform.rescale", image, block_shape, scale=tuple(random.random(2) * 2 + 0.1), **options)
    assert_same("transform.warp", image, block_shape, inverse_map=matrix, output_shape=wanted, **options)
    assert_same("transform.rotate", image, block_shape, angle=float(random.random() * 360), resize=True, **options)
    assert_same("transform.swirl", image, block_shape, strength=4, radius=float(random.random() * 40 + 1), **options)
    assert_same("transform.warp_polar", image, block_shape, output_shape=wanted, **options)


@pytest.mark.parametrize("dtype", ["uint16", "float32", "float64"])
def test_large_images_give_the_same(dtype: str) -> None:
    image, block_shape = picture((301, 407), dtype), (64, 80)
    assert_same("transform.resize", image, block_shape, output_shape=(140, 199))
    assert_same("transform.resize", image, block_shape, output_shape=(340, 419), order=3)
    assert_same("transform.rotate", image, block_shape, angle=33)
    assert_same("transform.rotate", image, block_shape, angle=33, order=0, mode="reflect")
    assert_same("transform.warp_polar", image, block_shape)
    assert_same("transform.integral_image", image, block_shape)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
@pytest.mark.parametrize("factors", [(16, 16), (16, 1), (1, 16), (9, 40)])
def test_one_box_at_a_time_is_added_up_as_all_boxes_are(dtype: str, factors: tuple[int, int]) -> None:
    # NumPy sums an array with one box along an axis in another order
    image = picture((64, 80), dtype)
    for block_shape in ((1, 1), (1, 99), (99, 1), (2, 3)):
        assert_same("transform.downscale_local_mean", image, block_shape, factors=factors)
    assert_same("measure.block_reduce", picture((20, 9, 24), dtype), (1, 1, 1), block_size=(10, 3, 1), func=np.mean)


def test_a_box_may_be_reduced_by_a_functions_name() -> None:
    for name in ("mean", "max", "min", "sum", "median"):
        lazy = graph.apply("measure.block_reduce", IMAGE, (5, 4), name)
        assert_same_as_whole(lazy, block_reduce(IMAGE, (5, 4), getattr(np, name)), (2, 3))


def test_integers_beyond_what_float64_holds_give_the_same() -> None:
    image = np.full(FLAT, 2**53 + 1, np.int64) + (picture(FLAT, "uint8") % 3)
    assert_same("transform.resize", image, (5, 7), output_shape=(40, 20), order=0)
    assert_same("transform.rotate", image, (5, 7), angle=20, order=0)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_constant_images_and_images_of_one_pixel_give_the_same(dtype: str) -> None:
    for image in (np.full(FLAT, 9, dtype), np.full((1, 1), 9, dtype), np.full((1, 31), 9, dtype)):
        for mode in MODES:
            options = {"mode": mode, "cval": 0.5, "preserve_range": True}
            assert_same("transform.resize", image, (5, 7), output_shape=(7, 40), **options)
            assert_same("transform.resize", image, (5, 7), output_shape=(7, 40), order=3, **options)
            assert_same("transform.rotate", image, (5, 7), angle=33, **options)
            assert_same("transform.rotate", image, (5, 7), angle=33, order=3, **options)


def test_lengths_that_are_not_whole_numbers_are_rounded_as_scipy_rounds_them() -> None:
    for wanted in ((10.5, 20.5), (11.4, 46.6), (23.0, 31.2)):
        assert_same("transform.resize", IMAGE, (5, 7), output_shape=wanted)


def test_values_from_outside_the_image_widen_its_range_as_in_the_whole_image() -> None:
    bright = IMAGE + 3
    for cval in (-1.0, 0.0, 9.0):
        for order in (0, 1, 3):
            assert_same("transform.rotate", bright, (5, 7), angle=30, order=order, cval=cval)
            assert_same("transform.warp", bright, (5, 7), inverse_map=np.eye(3), order=order, cval=cval)


def test_warped_images_go_through_filters_as_whole_images_do() -> None:
    lazy = filters.gaussian(transform.rotate(transform.rescale(filters.gaussian(IMAGE), 0.7).T, 30), sigma=1)
    whole = gaussian(skimage.transform.rotate(skimage.transform.rescale(gaussian(IMAGE), 0.7).T, 30), sigma=1)
    assert_same_as_whole(lazy, whole, (5, 7))
    halved = transform.resize(IMAGE[2:, ::-1] > 0.5, (12, 15)).astype("uint8") + 1
    expected = skimage.transform.resize(IMAGE[2:, ::-1] > 0.5, (12, 15)).astype("uint8") + 1
    assert_same_as_whole(halved, expected, (5, 7))


def test_transforms_of_scikit_image_are_taken_as_their_matrices() -> None:
    from skimage.transform import AffineTransform, ProjectiveTransform, SimilarityTransform

    for turn in (
        SimilarityTransform(scale=1.1, rotation=0.3, translation=(3, -2)),
        AffineTransform(scale=(0.9, 1.2), shear=0.1),
        ProjectiveTransform(matrix=np.array([[1, 0.1, 2], [0, 1.1, 1], [1e-3, 2e-3, 1]])),
    ):
        for inverse_map in (turn, turn.inverse):
            assert_same("transform.warp", IMAGE, (5, 7), inverse_map=inverse_map, order=0)
            assert_same_as_whole(transform.warp(IMAGE, inverse_map), skimage.transform.warp(IMAGE, inverse_map), (5, 7))


def test_warps_have_a_json_form(tmp_path: Any) -> None:
    path = tmp_path / "image.npy"
    np.save(path, IMAGE)
    turn = skimage.transform.AffineTransform(shear=0.2)
    lazy = transform.warp_polar(transform.warp(graph.open(str(path)), turn), mode="edge", output_shape=(30, 20))
    again = graph.from_json(graph.to_json({"out": lazy}))["out"]
    whole = skimage.transform.warp_polar(skimage.transform.warp(IMAGE, turn), mode="edge", output_shape=(30, 20))
    assert_same_as_whole(again, whole, (9, 9))


REFUSED: list[tuple[str, Mapping[str, Any], str]] = [
    ("transform.resize", {"output_shape": (9, 9), "mode": "nearest"}, "give one of constant, edge"),
    ("transform.resize", {"output_shape": (0, 9)}, "length per axis"),
    ("transform.resize", {"output_shape": (9, 9), "order": 6}, "give 0 to 5"),
    ("transform.resize", {"output_shape": (9, 9), "anti_aliasing_sigma": -1}, "below 0"),
    ("transform.rescale", {"scale": (1, 2, 3)}, "one per axis"),
    ("transform.pyramid_reduce", {"downscale": 1}, "greater than 1"),
    ("transform.pyramid_gaussian", {"downscale": 0.5}, "greater than 1"),
    ("transform.downscale_local_mean", {"factors": (2, 0)}, "at least 1"),
    ("transform.resize_local_mean", {"output_shape": (9,) * 4}, "length per axis"),
    ("measure.block_reduce", {"func": np.cumsum}, r"numpy\.mean"),
    ("measure.block_reduce", {"func": np.max, "func_kwargs": {"initial": 3}}, "only dtype"),
    ("transform.warp", {"inverse_map": lambda xy: xy}, "matrix of shape"),
    ("transform.warp", {"inverse_map": np.zeros((2, 9, 9))}, "matrix of shape"),
    ("transform.warp", {"inverse_map": np.eye(3), "map_args": {"a": 1}}, "map_args"),
    ("transform.warp", {"inverse_map": np.eye(3), "output_shape": (0, 9)}, "rows and columns"),
    ("transform.warp_polar", {"scaling": "cubic"}, "linear"),
    ("transform.warp_polar", {"colour": 1}, "colour"),
]


@pytest.mark.parametrize(("name", "options", "message"), REFUSED)
def test_unsupported_arguments_are_one_clear_input_error(name: str, options: Mapping[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        graph.apply(name, IMAGE, **options)


def test_bool_images_are_neither_smoothed_nor_interpolated() -> None:
    image = IMAGE > 0.5
    with pytest.raises(InputError, match="for bool 0"):
        graph.apply("transform.resize", image, (9, 9), order=1)
    with pytest.raises(InputError, match="anti_aliasing of a bool image"):
        graph.apply("transform.resize", image, (9, 9), anti_aliasing=True)


@pytest.mark.parametrize("name", ["radon", "iradon", "hough_line", "probabilistic_hough_line", "hough_ellipse"])
def test_sums_and_votes_over_the_whole_image_are_refused(name: str) -> None:
    with pytest.raises(NotExact, match="is refused"):
        graph.apply(f"transform.{name}", IMAGE)
