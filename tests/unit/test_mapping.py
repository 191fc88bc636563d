"""Functions of the user's own: on blocks with a halo, and on overlapping windows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage
from skimage import measure

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


# ------------------------------------------------------------------------------------------------ labels of windows


def cells(shape: tuple[int, ...], seed: int, radius: int = 4) -> Array:
    """Discs that do not touch, on a jittered grid, some of them at the image's edge."""
    random = np.random.default_rng(seed)
    pitch = 2 * radius + 3
    image = np.zeros(shape, bool)
    grid = np.indices(shape)
    for corner in np.ndindex(*(n // pitch + 1 for n in shape)):
        if random.random() < 0.8:
            centre = [c * pitch + random.integers(0, 2) for c in corner]
            image |= sum((axis - p) ** 2 for axis, p in zip(grid, centre, strict=True)) <= radius**2
    return image


def segment(window: Array, first: int = 1) -> Array:
    """A local segmenter, whose numbers mean nothing outside its window."""
    labels, count = ndimage.label(window)
    order = np.random.default_rng(window.size + count).permutation(count) + first
    found: Array = np.concatenate([[0], order])[labels]
    return found


@pytest.mark.parametrize("shape", [(61, 75), (20, 90), (23, 25, 27), (100,)])
@pytest.mark.parametrize("block_shape", [None, 10, 37])
def test_labels_of_windows_are_those_of_the_whole_image(shape: Any, block_shape: int | None) -> None:
    for seed, (window, overlap) in enumerate([(24, 10), (30, 12), (40, 20)]):
        image = cells(shape, seed)
        lazy = lepton.map_overlap(segment, image, window=window, overlap=overlap, merge="labels", first=7)
        blocks = None if block_shape is None else tuple(block_shape for _ in shape)
        # numbered as by scikit-image, whatever numbers the segmenter gave
        assert_same_as_whole(lazy, measure.label(image, connectivity=1).astype(np.int32), blocks)


def halves(window: Array) -> Array:
    """One object for each sign, which differs between windows that are moved by an odd number of pixels."""
    found: Array = 1 + (np.indices(window.shape).sum(axis=0) % 2)
    return found


def test_objects_that_share_too_little_stay_apart() -> None:
    image = np.zeros((10, 16))
    joined = lepton.map_overlap(halves, image, window=(10, 10), overlap=(0, 4), merge="labels")
    assert np.array_equal(evaluate(joined, (10, 16)), halves(image))
    striped = np.zeros((4, 12), np.int32)
    striped[:, 4:9] = 1

    def half_of_it(window: Array) -> Array:
        """Windows of eight columns see the object from another column on."""
        return np.where(window > 0, 1, 0) * (np.arange(window.shape[1]) % 8 < 6)

    for threshold, count in ((0.1, 1), (0.9, 2)):
        options: dict[str, Any] = {"window": (4, 8), "overlap": (0, 4), "merge": "labels", "iou_threshold": threshold}
        assert evaluate(lepton.map_overlap(half_of_it, striped, **options)).max() == count


def test_windows_with_channels_are_segmented() -> None:
    image = cells((40, 50), 3)
    colours = np.stack([image, image, image], axis=-1).astype(np.uint8)
    lazy = lepton.map_overlap(first_channel, colours, window=(24, 24), overlap=(10, 10), merge="labels")
    assert_same_as_whole(lazy, measure.label(image, connectivity=1).astype(np.int32), (16, 16))


def first_channel(window: Array) -> Array:
    return segment(window[..., 0])


def test_labels_that_cannot_be_joined_are_refused() -> None:
    image = picture(SHAPE, "float64")
    with pytest.raises(InputError, match="merge"):
        lepton.map_overlap(predict, image, window=8, overlap=4, merge="masks")
    for threshold in (0, 1.5):
        with pytest.raises(InputError, match="iou_threshold"):
            lepton.map_overlap(segment, image, window=8, overlap=4, merge="labels", iou_threshold=threshold)
    with pytest.raises(InputError, match="channels"):
        lepton.map_overlap(segment, image, window=8, overlap=4, merge="labels", channels=2)
    with pytest.raises(InputError, match="whole numbers"):
        evaluate(lepton.map_overlap(predict, image, window=8, overlap=4, merge="labels"))
