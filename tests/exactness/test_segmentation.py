"""Images and arguments for which segmentation is hard to split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from skimage import segmentation
from skimage.segmentation import morphsnakes

from lepton_celery import graph
from lepton_celery.errors import InputError, NotExact, NotExactWarning
from tests.exactness.cases.case import FLAT
from tests.oracle import assert_same_as_whole, evaluate, picture


def check(name: str, image: Any, block_shape: tuple[int, ...], **options: Any) -> None:
    expected = getattr(segmentation, name)(image.copy(), **options)
    assert_same_as_whole(graph.apply(f"segmentation.{name}", image, **options), expected, block_shape)


@pytest.mark.parametrize("seed", range(20))
def test_labels_grow_the_same_if_several_are_equally_near(seed: int) -> None:
    random = np.random.default_rng(seed)
    ndim = int(random.integers(1, 4))
    shape = tuple(int(n) for n in random.integers(1, 30 if ndim < 3 else 12, ndim))
    image = np.where(random.random(shape) < random.choice([0, 0.01, 0.1]), random.integers(1, 9, shape), 0)
    spacing = random.choice([0.1, 0.3, 0.5, 1.0, 2.0], ndim)
    block_shape = tuple(int(random.integers(1, n + 1)) for n in shape)
    for distance in (0, 1, 2.5, np.sqrt(5), 0.6):
        check("expand_labels", image, block_shape, distance=distance)
        check("expand_labels", image, block_shape, distance=distance, spacing=tuple(spacing))


def test_a_lattice_of_labels_has_ties_everywhere() -> None:
    image = np.zeros((40, 44), np.uint16)
    image[::8, ::8] = np.arange(1, 31).reshape(5, 6)
    image[4::8, 4::8] = 60000
    for block_shape in ((5, 7), (11, 9), (1, 44)):
        check("expand_labels", image, block_shape, distance=6)


@pytest.mark.parametrize("shape", [(7, 9), (1, 8), (1, 1), (6,), (4, 5, 3)])
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32"])
def test_boundaries_between_pixels_wherever_blocks_are_cut(shape: tuple[int, ...], dtype: str) -> None:
    image = picture(shape, "uint8") // 64
    image = image > 1 if dtype == "bool" else image.astype(dtype)
    for size in (1, 2, 3, 4, 7):
        check("find_boundaries", image, (size,) * len(shape), mode="subpixel")


def test_labels_at_the_ends_of_their_dtype_have_boundaries() -> None:
    image = np.where(picture(FLAT, bool), 255, 0).astype(np.uint8)
    for mode in ("thick", "inner", "outer", "subpixel"):
        check("find_boundaries", image, (5, 7), mode=mode)


def test_snakes_do_not_depend_on_how_often_they_were_called() -> None:
    # scikit-image alternates two smoothing operators and starts with the one that is due after the call before
    image = picture(FLAT, "float64")
    results = [
        evaluate(graph.apply(f"segmentation.morphological_{name}", image, num_iter=3), (5, 7))
        for name in ("chan_vese", "geodesic_active_contour", "chan_vese", "geodesic_active_contour")
    ]
    np.testing.assert_array_equal(results[0], results[2])
    np.testing.assert_array_equal(results[1], results[3])
    due = next(morphsnakes._curvop.funcs)
    next(morphsnakes._curvop.funcs)
    evaluate(graph.apply("segmentation.morphological_chan_vese", image, num_iter=1), (5, 7))
    assert next(morphsnakes._curvop.funcs) is due
    next(morphsnakes._curvop.funcs)


def test_a_random_walk_states_its_bound() -> None:
    image, labels = picture(FLAT, "float64"), np.zeros(FLAT, int)
    labels[3, 4], labels[20, 28] = 1, 2
    with pytest.warns(NotExactWarning, match="mode='bf'"):
        graph.apply("segmentation.random_walker", image, labels)
    assert graph.apply("segmentation.random_walker", image, labels, mode="bf").dtype == labels.dtype


REFUSED: list[tuple[str, Mapping[str, Any], str]] = [
    ("mark_boundaries", {"label_img": np.ones(FLAT, int), "mode": "subpixel"}, "subpixel"),
    ("inverse_gaussian_gradient", {"sigma": (1, 2, 3)}, "one per axis"),
    ("chan_vese", {"extended_output": True}, "extended_output"),
    ("chan_vese", {"init_level_set": "ring"}, "chan_vese"),
    ("chan_vese", {"init_level_set": np.ones((3, 3))}, "chan_vese"),
    ("morphological_chan_vese", {"num_iter": 2, "iter_callback": print}, "leave it out"),
    ("quickshift", {"rng": None}, "rng"),
    ("quickshift", {"return_tree": True}, "return_tree"),
    ("slic", {}, "channel_axis"),
    ("random_walker", {"labels": np.ones((3, 3), int)}, "do not match"),
    ("random_walker", {"labels": np.ones(FLAT, int), "return_full_prob": True}, "return_full_prob"),
]


@pytest.mark.parametrize(("name", "options", "message"), REFUSED, ids=[f"{n}-{m}" for n, _, m in REFUSED])
def test_arguments_without_an_exact_result_are_refused_with_advice(
    name: str, options: Mapping[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        graph.apply(f"segmentation.{name}", picture(FLAT, "float64"), **options)


def test_functions_that_give_no_image_are_refused() -> None:
    with pytest.raises(NotExact, match="geodesic"):
        graph.apply("segmentation.active_contour", picture(FLAT, float), np.ones((4, 2)))
