"""Rearranged pixels: sequences, chains of functions, and arguments that are refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from skimage.filters import gaussian, sobel

from lepton_celery import graph
from lepton_celery.catalogue.arrays import Array
from lepton_celery.errors import InputError, NotExactWarning
from lepton_celery.graph.nodes import Image
from lepton_celery.planning.options import PlanOptions
from lepton_celery.planning.planner import make_plan
from lepton_celery.skimage import filters
from tests.exactness.cases.case import FLAT, SOLID
from tests.oracle import assert_same_as_whole, picture

IMAGE = picture(FLAT, "float64")


def test_images_of_other_lengths_and_dtypes_are_joined_as_numpy_joins_them() -> None:
    random = np.random.default_rng(0)
    for axis in (0, 1, -1):
        for dtypes in (("uint8", "float32", "int16"), ("bool", "bool", "uint8")):
            images = []
            for dtype in dtypes:
                shape = list(SOLID)
                shape[axis] = int(random.integers(1, 9))
                images.append(picture(tuple(shape), dtype))
            lazy = graph.apply("numpy.concatenate", images, axis=axis)
            assert_same_as_whole(lazy, np.concatenate(images, axis=axis), (3, 4, 5))


@pytest.mark.parametrize("function", [np.vstack, np.hstack, np.dstack, np.column_stack])
@pytest.mark.parametrize("shape", [(7,), (7, 9), (5, 6, 4)])
def test_stacks_take_images_of_one_axis_or_more(function: Callable[[Any], Any], shape: tuple[int, ...]) -> None:
    images = [picture(shape, "uint8", seed=1), picture(shape, "float32", seed=2)]
    expected = function(images)
    blocks = (3, 4, 2)[: expected.ndim - (expected.ndim == 3 and expected.shape[-1] <= 4)]
    assert_same_as_whole(function([graph.open(image) for image in images]), expected, blocks)


CHAINS: list[Callable[[Any, Callable[..., Any], Callable[..., Any]], Any]] = [
    lambda x, smooth, edges: smooth(x[3:20, ::-2].T, sigma=1.3),
    lambda x, smooth, edges: np.flip(edges(np.rot90(smooth(x, sigma=2), 3))),
    lambda x, smooth, edges: edges(np.pad(smooth(x, sigma=1), ((3, 0), (5, 9)), mode="symmetric")),
    lambda x, smooth, edges: edges(np.pad(smooth(x, sigma=1), 12, mode="wrap")),
    lambda x, smooth, edges: smooth(np.roll(x, (5, -7), axis=(0, 1)), sigma=1) + np.roll(edges(x), 3, axis=0),
    lambda x, smooth, edges: smooth(np.concatenate([edges(x), x[::-1], smooth(x, sigma=3)], axis=1), sigma=1),
    lambda x, smooth, edges: edges(np.repeat(np.tile(smooth(x, sigma=1), (1, 2)), 2, axis=0)),
    lambda x, smooth, edges: (
        smooth(np.moveaxis(np.expand_dims(x, 0), 0, -1).squeeze(), sigma=1)
        if isinstance(x, np.ndarray)
        else smooth(np.squeeze(np.moveaxis(np.expand_dims(x, 0), 0, -1)), sigma=1)
    ),
]


@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("block_shape", [(5, 7), (2, 40), (64, 64)])
def test_rearranged_images_go_through_filters_as_whole_images_do(chain: Any, block_shape: tuple[int, int]) -> None:
    lazy = chain(graph.open(IMAGE), filters.gaussian, filters.sobel)
    assert isinstance(lazy, Image)
    assert_same_as_whole(lazy, chain(IMAGE, gaussian, sobel), block_shape)


def _plan_of(lazy: Any, block_shape: tuple[int, ...]) -> Any:
    return make_plan({"out": lazy}, PlanOptions(block_shape=block_shape, workers=1)).plan


@pytest.mark.parametrize(
    "turn", [lambda x: x.T, lambda x: x[::-1, ::-1], lambda x: np.rot90(x), lambda x: np.pad(x, 5, mode="reflect")]
)
def test_a_turned_image_takes_one_stage_and_reads_little_more_than_its_block(turn: Callable[[Any], Any]) -> None:
    image = graph.open(np.broadcast_to(np.float64(0), (1000, 1200)))
    plan = _plan_of(turn(filters.gaussian(image)), (100, 100))
    assert len(plan.stages) == 1
    assert plan.stages[0].predicted.read_bytes < 1.5 * 8 * 1000 * 1200


def test_joined_crops_of_one_image_do_not_read_the_whole() -> None:
    image = filters.gaussian(graph.open(np.broadcast_to(np.float64(0), (1000, 1200))))
    for halves in ((image[:500], image[500:]), (image, image + 1)):
        plan = _plan_of(np.concatenate(halves), (100, 100))
        out = plan.nodes[plan.outputs["out"]].shape
        assert plan.stages[0].predicted.read_bytes < 1.5 * 8 * np.prod(out)


def test_numbers_that_pad_an_image_are_converted_as_numpy_converts_them() -> None:
    image = picture(FLAT, "uint8")
    for values in (300, -1, 2.7, ((1, 2.5), (3, 4))):
        try:
            expected = np.pad(image, 2, constant_values=values)
        except OverflowError:
            with pytest.raises(InputError, match=r"numpy\.pad"):
                graph.apply("numpy.pad", image, 2, constant_values=values)
        else:
            assert_same_as_whole(graph.apply("numpy.pad", image, 2, constant_values=values), expected, (5, 7))


def test_graphs_of_rearranged_images_have_a_json_form(tmp_path: Any) -> None:
    path = tmp_path / "image.npy"
    np.save(path, IMAGE)
    lazy: Any = np.pad(np.concatenate([graph.open(str(path))[::-2], graph.open(str(path))]).T, 3, constant_values=0.5)
    again = graph.from_json(graph.to_json({"out": lazy}))["out"]
    assert_same_as_whole(again, np.pad(np.concatenate([IMAGE[::-2], IMAGE]).T, 3, constant_values=0.5), (9, 9))


REFUSED: list[tuple[str, tuple[Any, ...], Mapping[str, Any], str]] = [
    ("numpy.pad", (2, "maximum"), {}, "give mode constant"),
    ("numpy.pad", (2, "reflect"), {"reflect_type": "odd"}, "give mode constant"),
    ("numpy.pad", (2, "edge"), {"constant_values": 1}, "constant_values"),
    ("numpy.pad", (-1,), {}, "at least 0"),
    ("numpy.pad", ((1, 2, 3),), {}, "a pair per axis"),
    ("numpy.roll", (2,), {}, "give axis"),
    ("numpy.roll", (2, 5), {}, "axis 5"),
    ("numpy.repeat", (2,), {}, "give axis"),
    ("numpy.repeat", ((1, 2), 0), {}, "repeat"),
    ("numpy.tile", (0,), {}, "at least 1"),
    ("numpy.transpose", ((0, 0),), {}, "transpose"),
    ("numpy.squeeze", (0,), {}, "squeeze"),
    ("numpy.flip", (7,), {}, "flip"),
    ("numpy.concatenate", (), {"axis": 3}, "axis 3|needs a sequence"),
    ("util.crop", (12,), {}, "leave pixels"),
    ("util.crop", (1.5,), {}, "whole numbers"),
]


@pytest.mark.parametrize(("name", "args", "options", "message"), REFUSED)
def test_unsupported_arguments_are_one_clear_input_error(
    name: str, args: tuple[Any, ...], options: Mapping[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        graph.apply(name, IMAGE, *args, **options)


def test_images_that_do_not_fit_together_are_refused() -> None:
    small: Array = IMAGE[:5, :5]
    with pytest.raises(InputError, match="do not fit together"):
        graph.apply("numpy.concatenate", [IMAGE, small])
    with pytest.raises(InputError, match="needs a sequence"):
        graph.apply("numpy.vstack", [1, 2])
    with pytest.raises(InputError, match="lose all its axes"):
        graph.apply("numpy.squeeze", np.ones((1, 1)))


RESHAPED: list[tuple[tuple[int, ...], Any]] = [
    ((12, 10), (-1,)),
    ((12, 10), (10, 12)),
    ((12, 10), (3, 4, 10)),
    ((12, 10), (12, 2, 5)),
    ((12, 10), (8, 15)),
    ((12, 10), (2, -1, 3)),
    ((12, 10), (1, 12, 1, 10)),
    ((1, 12, 1), (12,)),
    ((6, 5, 4), (-1, 4)),
    ((6, 5, 4), (6, 20)),
    ((6, 5, 4), (4, 5, 6)),
    ((6, 1, 4), (2, 3, 4, 1)),
    ((60,), (5, 12)),
    ((7,), 7),
]


@pytest.mark.parametrize(("shape", "wanted"), RESHAPED)
def test_pixels_keep_their_raster_order_in_another_shape(shape: tuple[int, ...], wanted: Any) -> None:
    image = picture(shape, "float32")
    expected = image.reshape(wanted)
    for lazy in (graph.open(image).reshape(wanted), np.reshape(graph.open(image), wanted)):
        blocks = tuple(max(2, n // 2 - 1) for n in expected.shape)
        assert isinstance(lazy, Image)
        assert_same_as_whole(lazy, expected, blocks)
    assert_same_as_whole(graph.open(image).ravel() * 2, image.ravel() * 2, (11,))


def test_reshaped_images_are_filtered_and_added_up() -> None:
    image = picture((24, 30), "float64")
    lazy = graph.open(image)
    assert_same_as_whole(
        filters.gaussian(filters.sobel(lazy).reshape(16, 45), 1), gaussian(sobel(image).reshape(16, 45), 1), (5, 7)
    )
    assert_same_as_whole(
        lazy.reshape(6, 4, 15, 2).mean(axis=(1, 3)), image.reshape(6, 4, 15, 2).mean(axis=(1, 3)), (2, 5)
    )
    assert_same_as_whole(np.ravel(lazy).sum(), image.ravel().sum(), (7, 9))
    with pytest.warns(NotExactWarning):
        lazy.T.reshape(15, 2, 24).sum()


def test_reshaping_is_refused_where_numpy_refuses_it() -> None:
    lazy = graph.open(IMAGE)
    with pytest.raises(ValueError, match="cannot reshape"):
        lazy.reshape(7, 7)
    for call in (
        lambda: lazy.reshape(-1, order="F"),
        lambda: lazy.ravel("K"),
        lambda: np.reshape(lazy, -1, copy=False),
    ):
        with pytest.raises(InputError, match="is not supported here; leave it out"):
            call()
    with pytest.raises(InputError, match="keep at least one"):
        graph.open(np.zeros((1, 1))).reshape(())
