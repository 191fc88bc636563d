"""Functions of the user's own: on blocks with a halo, and on overlapping windows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

import lepton_celery as lepton
from lepton_celery import graph
from lepton_celery.catalogue.arrays import Array
from lepton_celery.catalogue.own import window_starts
from lepton_celery.catalogue.shared.functions import check_allowed
from lepton_celery.errors import InputError
from lepton_celery.skimage import filters
from tests.oracle import assert_same_as_whole, evaluate, picture

SHAPE = (23, 31)


def middle(image: Array, size: int = 5, mode: str = "reflect") -> Array:
    found: Array = ndimage.median_filter(image, size, mode=mode)
    return found


def shifted_sum(image: Array, other: Array) -> Array:
    total: Array = image + np.roll(other, 1, axis=0)
    return total


def predict(window: Array) -> Array:
    """Stands for a network: every pixel depends on the whole window."""
    found: Array = window / (1 + window.mean())
    return found


def classes(window: Array) -> Array:
    return np.stack([window[..., 0], window.sum(axis=-1)], axis=-1)


def fails(image: Array) -> Array:
    raise RuntimeError("no network here")


def test_a_function_with_a_halo_gives_the_pixels_of_the_whole_image() -> None:
    image = picture(SHAPE, "uint8")
    assert_same_as_whole(lepton.map_blocks(middle, image, halo=2), middle(image), (5, 7))
    solid = picture((9, 10, 11), "float32")
    assert_same_as_whole(lepton.map_blocks(middle, solid, halo=(1, 1, 1), size=3), middle(solid, size=3), (4, 5, 3))


@pytest.mark.parametrize("mode", ["reflect", "mirror", "nearest", "constant", "wrap"])
def test_the_halo_outside_the_image_is_made_by_mode(mode: str) -> None:
    image = picture(SHAPE, "float64")
    # the function pads nothing, so it must be given the padding pixels
    lazy = lepton.map_blocks(middle, image, halo=2, mode=mode)
    assert_same_as_whole(lazy, middle(image, mode=mode), (5, 7))


def test_map_blocks_takes_several_images_and_its_result_is_a_node() -> None:
    first, second = picture(SHAPE, "float64"), picture(SHAPE, "float64", seed=3)
    lazy = lepton.map_blocks(shifted_sum, filters.gaussian(graph.open(first), 1), second, halo=1, mode="wrap")
    from skimage.filters import gaussian, sobel

    whole = sobel(shifted_sum(gaussian(first, 1), second))
    assert_same_as_whole(filters.sobel(lazy), whole, (6, 8))


def test_a_lambda_works_in_this_process_but_cannot_be_sent() -> None:
    lazy = lepton.map_blocks(lambda image: image * 2, picture(SHAPE, "uint8"))
    np.testing.assert_array_equal(lepton.compute(lazy), picture(SHAPE, "uint8") * 2)
    with pytest.raises(InputError, match="functions are sent by name"):
        graph.to_json({"out": lepton.map_blocks(lambda image: image, graph.open(str(_saved())))})


def _saved() -> Path:
    import tempfile

    path = Path(tempfile.mkdtemp()) / "image.npy"
    np.save(path, picture(SHAPE, "uint8"))
    return path


def test_a_graph_from_json_cannot_name_functions() -> None:
    document = graph.to_json({"out": lepton.map_blocks(middle, graph.open(str(_saved())), halo=2)})
    assert "tests.unit.test_mapping:middle" in str(document)
    with pytest.raises(InputError, match="internal"):
        graph.from_json(document)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"halo": -1}, "a number from 0"),
        ({"halo": (1, 2, 3)}, "one per axis"),
        ({"halo": 23}, "reaches over the whole image"),
        ({"mode": "bouncy"}, "is not one of"),
        ({"sise": 3}, "sise"),
    ],
)
def test_wrong_arguments_are_refused_at_once(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        lepton.map_blocks(middle, picture(SHAPE, "uint8"), **options)


def test_functions_that_fail_or_change_the_shape_are_refused_at_once() -> None:
    image = picture(SHAPE, "uint8")
    with pytest.raises(InputError, match="no network here"):
        lepton.map_blocks(fails, image)
    with pytest.raises(InputError, match="keep the shape"):
        lepton.map_blocks(lambda block: block[::2], image)
    with pytest.raises(InputError, match="give at least one"):
        lepton.map_blocks(middle)
    with pytest.raises(InputError, match="there is no function"):
        lepton.map_blocks("tests.unit.test_mapping:nothing", image)


def test_allowed_functions_takes_names_and_patterns() -> None:
    check_allowed("shop.images:clean", ["shop.images:*"])
    check_allowed("shop.images:clean", ["other:x", "shop.images:clean"])
    for allowed in ([], ["shop:*"], ["shop.images:clea"]):
        with pytest.raises(InputError, match="allowed_functions"):
            check_allowed("shop.images:clean", allowed)


# ------------------------------------------------------------------------------------------------ windows


def whole_windows(image: Array, window: tuple[int, ...], overlap: tuple[int, ...], weights: Array) -> Array:
    """The definition of `map_overlap`: all windows of the whole image, one after the other."""
    total, weight = np.zeros(image.shape), np.zeros(image.shape)
    for top in window_starts(image.shape[0], window[0], overlap[0]):
        for left in window_starts(image.shape[1], window[1], overlap[1]):
            at = np.s_[top : top + window[0], left : left + window[1]]
            total[at] += predict(image[at]) * weights
            weight[at] += weights
    return total / weight


@pytest.mark.parametrize("block_shape", [(5, 7), (40, 40), (8, 9), (1, 31)])
@pytest.mark.parametrize("blend", ["average", "weights"])
def test_windows_are_the_same_for_all_blocks(blend: str, block_shape: tuple[int, int]) -> None:
    image = picture(SHAPE, "float64")
    weights = np.ones((8, 10)) if blend == "average" else np.random.default_rng(0).random((8, 10)) + 0.1
    lazy = lepton.map_overlap(
        predict, image, window=(8, 10), overlap=(3, 4), blend="average" if blend == "average" else weights
    )
    assert_same_as_whole(lazy, whole_windows(image, (8, 10), (3, 4), weights), block_shape)


@pytest.mark.parametrize("blend", ["max", "hann", "gaussian"])
def test_every_blend_is_free_of_seams(blend: str) -> None:
    image = picture(SHAPE, "float64")
    lazy = lepton.map_overlap(predict, image, window=8, overlap=4, blend=blend)
    whole = evaluate(lazy, (64, 64))
    assert np.isfinite(whole).all()
    assert_same_as_whole(lazy, whole, (5, 7))
    assert (whole <= image).all()


def test_channels_go_in_and_classes_come_out() -> None:
    image = picture((*SHAPE, 3), "float64")
    lazy = lepton.map_overlap(classes, image, window=(8, 8), overlap=(2, 2), channels=2)
    assert lazy.shape == (*SHAPE, 2)
    found = evaluate(lazy, (5, 7))
    np.testing.assert_allclose(found[..., 0], image[..., 0])
    np.testing.assert_allclose(found[..., 1], image.sum(axis=-1))
    many = lepton.map_overlap(lambda w: np.repeat(w[..., :1], 6, -1), image, window=(8, 8), overlap=0, channels=6)
    np.testing.assert_array_equal(evaluate(many, (5, 7, 4)), np.repeat(image[..., :1], 6, -1))


def test_an_image_smaller_than_a_window_is_one_window() -> None:
    image = picture((5, 6), "float64")
    assert_same_as_whole(lepton.map_overlap(predict, image, window=8, overlap=2), predict(image) * 1.0, (2, 3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 8, "overlap": 8}, "less than the window"),
        ({"window": (8, 8, 8), "overlap": 2}, "per spatial axis"),
        ({"window": 8, "overlap": 2, "blend": "median"}, "is not one of"),
        ({"window": 8, "overlap": 2, "blend": np.zeros((8, 8))}, "above zero"),
        ({"window": 8, "overlap": 2, "blend": np.ones((4, 4))}, "give that shape"),
    ],
)
def test_windows_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        lepton.map_overlap(predict, picture(SHAPE, "float64"), **options)
