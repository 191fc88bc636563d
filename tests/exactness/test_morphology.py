"""Images and arguments for which morphology is hard to split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from skimage import morphology

from lepton_celery import graph
from lepton_celery.errors import DtypeNotSupported, InputError, NotExact
from tests.exactness.cases.case import FLAT, SOLID
from tests.oracle import assert_same_as_whole, evaluate, picture

FOUR = ("erosion", "dilation", "opening", "closing")
BLOCKS = ((5, 7), (2, 31), (23, 3))


def check(name: str, image: Any, block_shape: tuple[int, ...], **options: Any) -> None:
    expected = getattr(morphology, name)(image.copy(), **options)
    assert_same_as_whole(graph.apply(f"morphology.{name}", image, **options), expected, block_shape)


# ------------------------------------------------------------------------------------------------ footprints


@pytest.mark.parametrize("name", FOUR)
def test_nan_spreads_under_a_cross_as_in_the_whole_image_and_is_refused_under_a_rectangle(name: str) -> None:
    image = picture(FLAT, float)
    image[np.random.default_rng(3).random(FLAT) < 0.1] = np.nan
    for block_shape in BLOCKS:
        check(name, image, block_shape)
    with pytest.raises(InputError, match="NaN"):
        evaluate(graph.apply(f"morphology.{name}", image, footprint=np.ones((3, 5))), (5, 7))


@pytest.mark.parametrize("name", FOUR)
@pytest.mark.parametrize("seed", range(12))
def test_random_footprints_in_random_blocks(name: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    ndim = int(random.integers(1, 4))
    shape = tuple(int(n) for n in random.integers(1, 14, ndim))
    footprint = (random.random(tuple(random.integers(1, 6, ndim))) < 0.7).astype(np.uint8)
    footprint.flat[0] = 1
    image = picture(shape, random.choice(["bool", "uint8", "int16", "uint64", "float32"]), seed)
    block_shape = tuple(int(random.integers(1, n + 1)) for n in shape)
    mode = str(random.choice(["nearest", "reflect", "mirror", "constant", "ignore", "max", "min"]))
    check(name, image, block_shape, footprint=((footprint, 2),), mode=mode)


@pytest.mark.filterwarnings("ignore:.*is deprecated since:FutureWarning")
def test_a_repeated_footprint_that_scipy_would_overrun_the_image_with_is_refused() -> None:
    image = picture((4, 40), bool)
    with pytest.raises(InputError, match="does not fit"):
        graph.apply("morphology.binary_dilation", image, footprint=((np.ones((4, 3), np.uint8), 2),))
    check("binary_dilation", image, (3, 9), footprint=((np.ones((3, 4), np.uint8), 2),))


# ------------------------------------------------------------------------------------------------ distance


def corner(shape: tuple[int, ...]) -> Any:
    """Background in one corner only, so that most blocks have none."""
    image = np.ones(shape, bool)
    image[tuple(slice(0, 2) for _ in shape)] = False
    return image


@pytest.mark.parametrize("name", FOUR)
@pytest.mark.parametrize("shape", [FLAT, SOLID, (1, 17), (40,)])
def test_blocks_without_background_are_far_from_it(name: str, shape: tuple[int, ...]) -> None:
    block_shape = tuple(max(1, n // 4) for n in shape)
    for image in (corner(shape), ~corner(shape), np.ones(shape, bool), np.zeros(shape, bool)):
        for radius in (0, 1.5, 4):
            check(f"isotropic_{name}", image, block_shape, radius=radius)
        check(f"isotropic_{name}", image, block_shape, radius=2, spacing=0.3)


def test_distances_that_tie_with_the_radius() -> None:
    image = np.random.default_rng(1).random((31, 37)) < 0.97
    for radius, spacing in ((np.sqrt(5), None), (0.3, 0.1), (0.6, (0.1, 0.3)), (0.7071067811865476, 0.5)):
        for name in FOUR:
            check(f"isotropic_{name}", image, (6, 5), radius=radius, spacing=spacing)


# ------------------------------------------------------------------------------------------------ sizes


@pytest.mark.parametrize("length", [9, 10, 11])
def test_a_line_of_just_the_size_across_many_blocks(length: int) -> None:
    image = np.zeros(FLAT, bool)
    image[3, 4 : 4 + length] = image[8 : 8 + length, 20] = True
    image[np.arange(length) + 10, np.arange(length) + 2] = True
    for options in ({"max_size": 10}, {"max_size": 10, "connectivity": 2}):
        for block_shape in ((2, 3), (5, 7), (1, 1)):
            check("remove_small_objects", image, block_shape, **options)
            check("remove_small_holes", ~image, block_shape, **options)
    for block_shape in ((5, 7), (23, 3)):
        check("area_opening", image.astype(np.uint8), block_shape, area_threshold=10)
        check("diameter_closing", 1 - image.astype(np.float32), block_shape, diameter_threshold=10, connectivity=2)


def test_an_image_smaller_than_the_threshold_becomes_empty() -> None:
    image = picture((6, 7), "uint8")
    for block_shape in ((2, 3), (6, 1)):
        check("area_opening", image, block_shape, area_threshold=50)
        check("area_closing", image, block_shape, area_threshold=50)
        check("diameter_opening", image, block_shape, diameter_threshold=8)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint64", "float64"])
def test_plateaus_larger_than_blocks(dtype: str) -> None:
    plateaus = np.kron(picture((6, 8), dtype), np.ones((5, 5), dtype))[: FLAT[0], : FLAT[1]]
    for name, options in (("area_opening", {"area_threshold": 26}), ("area_closing", {"area_threshold": 25})):
        for block_shape in ((5, 7), (4, 31)):
            check(name, plateaus, block_shape, **options)


def test_nan_is_no_level_of_a_tree() -> None:
    image = picture(FLAT, float)
    image[2, 3] = np.nan
    for name in ("area_opening", "diameter_closing"):
        with pytest.raises(InputError, match="NaN"):
            evaluate(graph.apply(f"morphology.{name}", image), (5, 7))


# ------------------------------------------------------------------------------------------------ refusals


REFUSED: list[tuple[str, Mapping[str, Any], str]] = [
    ("erosion", {"footprint": ((np.ones((3, 3)), 0),)}, "at least 1"),
    ("isotropic_erosion", {"radius": np.inf}, "radius"),
    ("isotropic_dilation", {"radius": 2, "spacing": (1, 2, 3)}, "one per axis"),
    ("isotropic_dilation", {"radius": 2, "spacing": (1, 0)}, "not positive"),
    ("area_opening", {"parent": np.ones(FLAT, int)}, "its own tree"),
    ("diameter_closing", {"tree_traverser": np.ones(9, int)}, "its own tree"),
    ("medial_axis", {}, "rng=0"),
    ("medial_axis", {"rng": 0, "return_distance": True}, "distance_transform_edt"),
]


@pytest.mark.parametrize(("name", "options", "message"), REFUSED, ids=[f"{n}-{m}" for n, _, m in REFUSED])
def test_arguments_without_an_exact_result_are_refused_with_advice(
    name: str, options: Mapping[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        graph.apply(f"morphology.{name}", picture(FLAT, bool), **options)


def test_axes_too_short_for_a_tree_are_refused() -> None:
    with pytest.raises(InputError, match="3 pixels"):
        graph.apply("morphology.area_opening", picture((2, 30), "uint8"))


def test_the_max_tree_itself_is_refused() -> None:
    with pytest.raises(NotExact, match="area_opening"):
        graph.apply("morphology.max_tree", picture(FLAT, "uint8"))


def test_floats_have_no_objects() -> None:
    with pytest.raises(DtypeNotSupported, match="bool"):
        graph.apply("morphology.remove_small_objects", picture(FLAT, "float32"))
