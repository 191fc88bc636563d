"""Whole-image values: their dtype is announced as it will be; they are indexed, unpacked and used as NumPy's."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import pytest
import skimage.filters

from lepton_celery import graph
from lepton_celery.catalogue import catalogue, public_names
from lepton_celery.catalogue.arrays import Array
from lepton_celery.errors import InputError
from lepton_celery.execution.block import run_blocks
from lepton_celery.execution.context import Context
from lepton_celery.execution.loop import run_stages
from lepton_celery.execution.outputs import collect_images
from lepton_celery.graph.nodes import Image, Node, Value
from lepton_celery.grid import StageIndex, StageNumber
from lepton_celery.jobs.compute import compute
from lepton_celery.planning.options import PlanOptions
from lepton_celery.planning.planner import make_plan
from lepton_celery.proving.subjects import CatalogueFunction, Trial
from lepton_celery.skimage import exposure, feature, filters, measure
from lepton_celery.stores.workspace import MemoryWorkspace
from tests.exactness.cases.case import FLAT
from tests.oracle import assert_identical, assert_same_as_whole, evaluate, picture

DTYPES = ("bool", "uint8", "int16", "int64", "float32", "float64")
SLOW = {"segmentation.random_walker", "feature.multiscale_basic_features"}
"""Functions whose values are inner ones, and which take seconds."""

TAKES = [name for name in public_names() if not catalogue()[name].is_refused and name not in SLOW]


def is_python_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, np.generic)  # a float64 is a float too


class Announced(Context):
    """Checks the dtype and the shape of every value of a plan, inner ones too, against what its node announces."""

    def put_value(self, node: int, value: Any, stage: StageIndex) -> None:
        announced = self.plan.nodes[node]
        if not isinstance(value, Mapping) and announced.gives == "value":
            found = np.asarray(value)
            fits = len(found.shape) == len(announced.shape) and all(
                n in (-1, m) for n, m in zip(announced.shape, found.shape, strict=True)
            )
            same = str(found.dtype) == announced.dtype or not found.size
            assert fits and same, (announced, found.dtype, found.shape)
            assert announced.entry.is_weak == is_python_number(value) or found.dtype == bool, announced
        super().put_value(node, value, stage)


def results(name: str, ndim: int, dtype: str) -> Iterator[tuple[Node, Any]]:
    """The lazy results of a function for a picture, and scikit-image's; nothing if it refuses the picture."""
    function = CatalogueFunction(catalogue()[name], {})
    trial = Trial("noise", dtype, FLAT if ndim == 2 else (16, 8, 9, 7)[:ndim], (7,) * ndim, 0)
    try:
        images = function.images(trial)
        if name.startswith("filters.threshold") and np.dtype(dtype).kind in "iu":
            images = {given: pixels % 200 for given, pixels in images.items()}  # more bins only take longer
        lazy = graph.apply(name, **images, **catalogue()[name].example_for(ndim))
        nodes = lazy if isinstance(lazy, tuple) else (lazy,)
        if all(node.gives != "value" for node in nodes):
            return
        whole = function.whole(images)
    except (InputError, ValueError, TypeError, RuntimeError):
        return
    yield from zip(nodes, whole if isinstance(lazy, tuple) else (whole,), strict=True)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", TAKES)
def test_every_value_has_the_dtype_and_the_shape_that_it_announces(name: str) -> None:
    entry = catalogue()[name]
    for ndim in entry.ndims or (2,):
        for dtype in sorted(set(DTYPES) & set(entry.declared_dtypes())):
            pairs = list(results(name, ndim, dtype))
            for node, whole in pairs:
                if isinstance(node, Value) and not isinstance(whole, list):
                    assert np.asarray(whole).dtype == node.dtype or not np.size(whole)
                    # a bool never changes the dtype of the pixels that it meets
                    assert node.dtype == bool or node.weak == is_python_number(whole)
            if pairs:
                planned = make_plan({str(n): node for n, (node, _) in enumerate(pairs)}, PlanOptions(workers=1))
                context = Announced(planned.plan, MemoryWorkspace(), arrays=planned.lowered.arrays)
                collect_images(context)
                run_stages(context, partial(_do_blocks, context))


def _do_blocks(context: Context, number: StageNumber) -> None:
    for block in context.plan.stage_of(number).grid.indices():
        run_blocks(context, number, [block])


# ------------------------------------------------------------------------------------------------ Python numbers

IMAGE = picture(FLAT, "float32")


def counted(image: Array) -> tuple[Value, int]:
    """The number of components, lazily and as scikit-image gives it."""
    from skimage.measure import label

    return measure.label(image > 0.5, return_num=True)[1], label(image > 0.5, return_num=True)[1]


ARITHMETIC: list[Callable[[Any, Any], Any]] = [
    lambda image, n: image / n,
    lambda image, n: image * (n + 1) - n // 2,
    lambda image, n: image + 3 * n / 2,
    lambda image, n: image + n**0.5 - -n % 7,
    lambda image, n: image + np.multiply(n, 2),
    lambda image, n: image + n * np.float64(2),
    lambda image, n: image + n * np.float32(2),
    lambda image, n: np.where(image > 0.5, n, image),
    lambda image, n: image + abs(2 - n) * image.mean(),
]


@pytest.mark.parametrize("function", ARITHMETIC)
def test_a_python_number_adopts_the_dtype_of_the_pixels(function: Callable[[Any, Any], Any]) -> None:
    lazy, whole = counted(IMAGE)
    assert_same_as_whole(function(graph.open(IMAGE), lazy), function(IMAGE, whole), (7, 9))


def test_a_count_is_computed_as_the_number_that_scikit_image_returns() -> None:
    lazy, whole = counted(IMAGE)
    assert type(compute(lazy)) is type(whole) is int
    assert compute(lazy * 2 + 1) == whole * 2 + 1
    assert type(compute(lazy / 2)) is float


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", ["otsu", "yen", "isodata", "triangle", "li", "mean"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_pixels_less_a_threshold_can_be_stored_also_if_all_pixels_are_equal(name: str, dtype: str) -> None:
    find = getattr(filters, f"threshold_{name}")
    for image in (picture(FLAT, dtype), np.full(FLAT, 7, dtype)):
        lazy = graph.open(image)
        try:
            whole = image - getattr(skimage.filters, f"threshold_{name}")(image)
        except IndexError:  # some find none in a constant image of floats
            continue
        found = evaluate(lazy - find(lazy), (7, 9))
        assert found.dtype == (lazy - find(lazy)).dtype
        np.testing.assert_array_equal(found, whole)


# ------------------------------------------------------------------------------------------------ indexing

PICKS: list[Callable[[Any], Any]] = [
    lambda p: p[0],
    lambda p: p[-1],
    lambda p: p[1:],
    lambda p: p[::-1],
    lambda p: p[...],
    lambda p: p[None, 1],
    lambda p: p[1] - p[0],
    lambda p: p * 2 + 1,
    lambda p: sum(p),
    lambda p: p[np.int64(2)] / len(p),
]


@pytest.mark.parametrize("pick", PICKS)
def test_values_are_indexed_and_unpacked_as_numpys(pick: Callable[[Any], Any]) -> None:
    whole = np.percentile(IMAGE, (2, 50, 98))
    assert_same_as_whole(pick(np.percentile(graph.open(IMAGE), (2, 50, 98))), pick(whole), (7, 9))


def test_values_of_several_axes_are_indexed() -> None:
    q = np.array([[5, 25, 50], [60, 75, 95]])
    lazy, whole = np.percentile(graph.open(IMAGE), q), np.percentile(IMAGE, q)
    for index in (0, (0, 1), (slice(None), 1), (..., -1), (None, 0), (slice(None, None, -1), slice(0, 2))):
        assert_same_as_whole(lazy[index], whole[index], (7, 9))
    rows = [row[0] for row in lazy]
    assert_same_as_whole(rows[1], whole[1, 0], (7, 9))


def test_values_of_unknown_length_are_indexed_when_they_are_known() -> None:
    from skimage import feature as eager

    lazy, whole = feature.peak_local_max(graph.open(IMAGE)), eager.peak_local_max(IMAGE)
    assert lazy.shape == (-1, 2)
    assert_same_as_whole(lazy[0], whole[0], (7, 9))
    assert_same_as_whole(lazy[:, 1], whole[:, 1], (7, 9))
    assert_same_as_whole(graph.open(IMAGE) * lazy[0, 1], IMAGE * whole[0, 1], (7, 9))
    with pytest.raises(TypeError, match="depends on the pixels"):
        len(lazy)
    with pytest.raises(InputError, match="too short"):
        evaluate(lazy[9999], (7, 9))


@pytest.mark.parametrize(
    ("index", "message"),
    [(3, "outside"), (-4, "outside"), ((0, 0), "too many"), ("a", "whole numbers"), (True, "whole")],
)
def test_other_indices_of_values_are_refused(index: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        np.percentile(graph.open(IMAGE), (2, 50, 98))[index]


def test_one_number_cannot_be_unpacked() -> None:
    with pytest.raises(TypeError, match="one number"):
        list(graph.open(IMAGE).max())


# ------------------------------------------------------------------------------------------------ tuples


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
def test_a_pair_of_values_is_a_range(dtype: str) -> None:
    from skimage import exposure as eager

    image = picture(FLAT, dtype)
    lazy = graph.open(image)
    (low, high), (p2, p98) = np.percentile(lazy, (2, 98)), np.percentile(image, (2, 98))
    for given, whole in (
        ((low, high), (p2, p98)),
        ([low, high], (p2, p98)),
        ((0, high), (0, p98)),
        ((lazy.min(), lazy.max()), (image.min(), image.max())),
        (np.percentile(lazy, (2, 98)), (p2, p98)),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert_same_as_whole(
                exposure.rescale_intensity(lazy, in_range=given), eager.rescale_intensity(image, in_range=whole), (7, 9)
            )


def test_a_graph_with_pairs_and_indices_goes_through_json(tmp_path: Any) -> None:
    np.save(tmp_path / "image.npy", IMAGE)
    image = graph.open(tmp_path / "image.npy")
    low, high = np.percentile(image, (2, 98))
    count = measure.label(image > 0.5, return_num=True)[1]
    outputs = {"out": exposure.rescale_intensity(image, in_range=(low, high)) / (count + 1)}
    again = graph.from_json(graph.to_json(outputs))["out"]
    assert isinstance(again, Image) and again.dtype == outputs["out"].dtype
    assert_identical(evaluate(again, (7, 9)), evaluate(outputs["out"], (7, 9)))
