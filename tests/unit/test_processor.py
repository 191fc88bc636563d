"""The block-by-block interface."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from skimage import color as whole_color
from skimage import data
from skimage import filters as whole_filters
from skimage import measure as whole_measure

import lepton_celery as lepton
from lepton_celery.errors import InputError
from lepton_celery.jobs.processor import ImageProcessor
from lepton_celery.skimage import color, filters, measure
from tests.oracle import assert_identical, picture

IMAGE = picture((50, 61), "uint16")
BLOCK = (16, 20)


def cells(image: Any) -> Any:
    return measure.label(image > filters.threshold_otsu(image))


def whole_cells(image: Any) -> Any:
    return whole_measure.label(image > whole_filters.threshold_otsu(image))


def test_the_documented_use() -> None:
    image = data.camera()
    processor = lepton.ImageProcessor(filters.gaussian, sigma=2)
    processor.set_num_threads(4)
    blocks = processor.split_image(image)
    for block in blocks:
        picture = processor.merge_blocks(processor.process_block(block))
    assert_identical(picture, whole_filters.gaussian(image, sigma=2))


def test_blocks_may_be_processed_one_at_a_time_in_any_order() -> None:
    processor = ImageProcessor(filters.gaussian, sigma=2, block_shape=BLOCK)
    blocks = processor.split_image(IMAGE)
    random.Random(0).shuffle(blocks)
    for block in blocks:
        merged = processor.merge_blocks(processor.process_block(block))
    assert_identical(merged, whole_filters.gaussian(IMAGE, sigma=2))


def test_lists_of_blocks_are_processed_on_threads_and_merged_at_once() -> None:
    processor = ImageProcessor(filters.sobel, block_shape=BLOCK, num_threads=3)
    blocks = processor.split_image(IMAGE)
    assert_identical(processor.merge_blocks(processor.process_blocks(blocks)), whole_filters.sobel(IMAGE))


def test_the_picture_is_zero_where_no_block_is_merged_yet() -> None:
    processor = ImageProcessor(filters.gaussian, sigma=1, block_shape=BLOCK)
    expected = whole_filters.gaussian(IMAGE, sigma=1)
    blocks = processor.split_image(IMAGE)
    done = np.zeros(IMAGE.shape, bool)
    for block in reversed(blocks):
        so_far = processor.merge_blocks(processor.process_block(block))
        done[block.region.slices] = True
        assert_identical(so_far, np.where(done, expected, 0.0))
    assert done.all()


def test_blocks_are_in_c_order_and_hold_the_halo() -> None:
    processor = ImageProcessor(filters.gaussian, sigma=1, block_shape=BLOCK)
    blocks = processor.split_image(IMAGE)
    assert [block.index for block in blocks] == list(range(16))
    for block in blocks:
        assert_identical(block.pixels, IMAGE[block.region.expand((4, 4), IMAGE.shape).slices])


def test_edited_pixels_of_a_block_are_processed() -> None:
    processor = ImageProcessor(filters.gaussian, sigma=1, block_shape=BLOCK)
    for block in processor.split_image(IMAGE):
        block.pixels[:] = block.pixels // 2  # including the halo
        merged = processor.merge_blocks(processor.process_block(block))
    assert_identical(merged, whole_filters.gaussian(IMAGE // 2, sigma=1))
    assert_identical(IMAGE, picture((50, 61), "uint16"))


def test_a_block_processed_twice_is_the_same_and_leaves_its_pixels_alone() -> None:
    processor = ImageProcessor(filters.median, block_shape=BLOCK)
    block = processor.split_image(IMAGE)[5]
    before = block.pixels.copy()
    first, second = processor.process_block(block), processor.process_block(block)
    assert_identical(first.pixels, second.pixels)
    assert_identical(block.pixels, before)


@pytest.mark.parametrize("threads", [1, 4])
def test_operations_of_several_stages_are_split_at_the_last(threads: int) -> None:
    processor = ImageProcessor(cells, block_shape=BLOCK, num_threads=threads)
    for _ in range(2):  # a processor may be used again
        blocks = processor.split_image(IMAGE)
        random.Random(1).shuffle(blocks)
        for block in blocks:
            merged = processor.merge_blocks(processor.process_block(block))
        assert_identical(merged, whole_cells(IMAGE))


def test_colours_and_results_of_other_shapes_are_merged() -> None:
    image = picture((40, 50, 3), "uint8")
    for operation, whole in [
        (color.rgb2gray, whole_color.rgb2gray),
        (lambda x: filters.gaussian(x, 1, channel_axis=-1), lambda x: whole_filters.gaussian(x, 1, channel_axis=-1)),
        (lambda x: x[::2, 5:, 0], lambda x: x[::2, 5:, 0]),
    ]:
        processor = ImageProcessor(operation, block_shape=BLOCK)
        merged = processor.merge_blocks(processor.process_blocks(processor.split_image(image)))
        assert_identical(merged, whole(image))


def test_a_new_image_begins_a_new_picture() -> None:
    processor = ImageProcessor(filters.sobel, block_shape=BLOCK)
    first = processor.merge_blocks(processor.process_blocks(processor.split_image(IMAGE)))
    kept = first.copy()
    second = processor.merge_blocks(processor.process_blocks(processor.split_image(IMAGE[::-1])))
    assert_identical(first, kept)
    assert_identical(second, whole_filters.sobel(IMAGE[::-1]))


def test_nothing_can_be_processed_or_merged_before_an_image_is_split() -> None:
    processor = ImageProcessor(filters.sobel, block_shape=BLOCK)
    block = ImageProcessor(filters.sobel, block_shape=BLOCK).split_image(IMAGE)[0]
    with pytest.raises(InputError, match="split an image first"):
        processor.process_block(block)
    with pytest.raises(InputError, match="split an image first"):
        processor.merge_blocks([])


@pytest.mark.parametrize("threads", [0, -1])
def test_less_than_one_thread_is_refused(threads: int) -> None:
    with pytest.raises(InputError, match=f"num_threads={threads}"):
        ImageProcessor(filters.sobel).set_num_threads(threads)


def test_an_operation_that_gives_no_image_is_refused() -> None:
    with pytest.raises(InputError, match="needs one that gives an image"):
        ImageProcessor(filters.threshold_otsu).split_image(IMAGE)
    with pytest.raises(InputError, match="needs one that gives an image"):
        ImageProcessor(lambda image: IMAGE).split_image(IMAGE)  # type: ignore[arg-type, return-value]


def test_a_wrong_parameter_shows_when_the_image_is_split() -> None:
    with pytest.raises(InputError, match="sgma"):
        ImageProcessor(filters.gaussian, sgma=2).split_image(IMAGE)
    with pytest.raises(InputError, match="no pixels"):
        ImageProcessor(filters.gaussian).split_image(np.zeros((0, 3)))


def test_a_processor_names_its_operation_and_its_parameters() -> None:
    assert repr(ImageProcessor(filters.gaussian, sigma=2)) == "<ImageProcessor gaussian, sigma=2>"
