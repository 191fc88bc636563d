"""Images of different shapes, arrays and values in one expression: shapes, dtypes and pixels are NumPy's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lepton_celery import graph
from lepton_celery.catalogue.arrays import Array
from lepton_celery.errors import InputError
from lepton_celery.graph.nodes import Image
from lepton_celery.planning.regions import grid_shape
from lepton_celery.skimage import feature, filters
from tests.oracle import assert_same_as_whole, picture

GRAY = picture((23, 31), "float64")
RGB = picture((23, 31, 3), "float32")


def check(function: Callable[..., Any], *images: Array) -> None:
    whole = function(*images)
    lazy = function(*map(graph.open, images))
    assert isinstance(lazy, Image)
    assert_same_as_whole(lazy, whole, (7, 9, 2, 2)[: len(grid_shape(whole.shape))])


GRAYS: list[Callable[[Any], Any]] = [
    lambda g: g - g.mean(axis=0),
    lambda g: (g - g.mean(axis=1, keepdims=True)) / g.std(axis=1, keepdims=True),
    lambda g: g[:, :1] * g[:1],
    lambda g: g[3] + g[:, 4][:, None],
    lambda g: np.where(g > g.max(axis=0) / 2, g[0], g[:, 3:4]),
    lambda g: g[..., None] * [1, 2, 3],
    lambda g: np.hypot(g, GRAY[5]),
    lambda g: GRAY[5] <= g,
    lambda g: np.isclose(g, g[:1], atol=0.1),
    lambda g: g - np.percentile(g, np.linspace(0, 100, 31)),
    lambda g: np.minimum(np.percentile(g, [[5], [95]])[:1], g),
]
RGBS: list[Callable[[Any], Any]] = [
    lambda rgb: rgb / np.array([1.0, 2.0, 3.0]),
    lambda rgb: rgb * np.array([1, 2, 3], np.float32),
    lambda rgb: rgb - rgb.mean(axis=(0, 1)),
    lambda rgb: rgb * (rgb.max(axis=-1) > 0.5)[..., None],
    lambda rgb: rgb == rgb.max(axis=-1, keepdims=True),
    lambda rgb: np.clip(rgb, rgb.min(axis=-1, keepdims=True) + 0.1, np.array([0.5, 0.6, 0.7])),
    lambda rgb: rgb - np.percentile(rgb, (2, 50, 98)),
    lambda rgb: (rgb * [0.2, 0.7, 0.1]).sum(axis=-1),
]


@pytest.mark.parametrize("function", GRAYS)
def test_rows_and_columns_are_broadcast(function: Callable[[Any], Any]) -> None:
    check(function, GRAY)


@pytest.mark.parametrize("function", RGBS)
def test_channels_are_broadcast(function: Callable[[Any], Any]) -> None:
    check(function, RGB)


def test_a_mask_without_channels_is_broadcast() -> None:
    check(lambda rgb, gray: rgb * (gray > 0.5)[..., None], RGB, GRAY)
    check(lambda gray, rgb: np.where((gray > 0.5)[..., None], rgb, 0), GRAY, RGB)


@given(st.data())
def test_any_two_shapes_that_fit(data: st.DataObject) -> None:
    full = data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=4))
    shapes = [
        tuple(n if data.draw(st.booleans()) else 1 for n in full)[data.draw(st.integers(0, len(full) - 1)) :]
        for _ in range(2)
    ]
    first, second = (picture(shape, dtype) for shape, dtype in zip(shapes, ("float32", "uint8"), strict=True))
    check(np.add, first, second)
    check(lambda a, b: np.where(a > 0.5, a, b), first, second)


def test_a_filter_before_a_broadcast_reads_what_it_needs() -> None:
    from skimage.filters import gaussian

    whole = gaussian(GRAY, 2)
    lazy = filters.gaussian(graph.open(GRAY), 2)
    assert_same_as_whole(lazy - lazy.min(axis=0) * GRAY[:, :1], whole - whole.min(axis=0) * GRAY[:, :1], (7, 9))


@pytest.mark.parametrize("shape", [(3, 31), (31, 23), (2,), (23, 31, 2)])
def test_shapes_that_do_not_fit_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="do not match"):
        graph.open(GRAY) + np.ones(shape)


def test_values_of_unknown_length_are_refused() -> None:
    with pytest.raises(InputError, match="depends on the pixels"):
        graph.open(GRAY) + feature.peak_local_max(graph.open(GRAY))


# ------------------------------------------------------------------------------------------------ in place


def stretched(image: Any) -> Any:
    """Uses every operator that changes its left side."""
    image = image * 1
    image += 1
    image *= image.max()
    image -= image[0]
    image /= 2
    image //= 0.25
    image %= 7
    image **= 2
    return image


def masked(image: Any) -> Any:
    mask = image > 0.5
    mask &= image < 0.9
    mask |= image < 0.1
    mask ^= image[0] > 0.5
    return mask


def test_operators_that_change_their_left_side_give_what_they_give_to_an_array() -> None:
    check(stretched, GRAY)
    check(masked, GRAY)


def test_the_left_side_keeps_its_dtype_and_the_other_name_its_pixels() -> None:
    image = picture((23, 31), "float32")

    def add(pixels: Any) -> Any:
        pixels = pixels * 1
        pixels += np.linspace(0, 1, 31)  # float64
        return pixels

    check(add, image)
    lazy = before = graph.open(image)
    lazy += 1
    assert before is not lazy
    assert_same_as_whole(before, image, (7, 9))


def test_a_cast_is_refused_as_numpy_refuses_it() -> None:
    whole, lazy = np.ones((3, 3), np.uint8), graph.open(np.ones((3, 3), np.uint8))
    for change in ("__iadd__", "__imul__", "__itruediv__"):
        with pytest.raises(TypeError) as expected:
            getattr(whole, change)(1.5)
        with pytest.raises(type(expected.value), match="same_kind"):
            getattr(lazy, change)(1.5)
    with pytest.raises(ValueError, match="shape"):
        lazy[0].__iadd__(lazy)
