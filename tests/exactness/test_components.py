"""Functions of connected components, on images that are hard to split, and with merges in a tree."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage as ndi
from skimage import feature, filters, morphology, segmentation

from lepton_celery import graph
from lepton_celery.catalogue import get_entry
from lepton_celery.catalogue.arrays import Array
from lepton_celery.catalogue.entries import resolve
from lepton_celery.errors import DtypeNotSupported, InputError, NotExact
from lepton_celery.jobs.compute import compute
from lepton_celery.planning.options import PlanOptions
from tests import oracle
from tests.exactness.cases.case import in_range
from tests.oracle import assert_identical, assert_same_as_whole, evaluate
from tests.unit.test_labels import spiral

SIDE = 31
BLOCKS = ((4, 5), (1, 40), (16, 16), (50, 50))


def tricky() -> Iterator[tuple[str, Array]]:
    i, j = np.indices((SIDE, SIDE))
    random = np.random.default_rng(0)
    yield "nothing", np.zeros((SIDE, SIDE), bool)
    yield "all", np.ones((SIDE, SIDE), bool)
    yield "checkerboard", (i + j) % 2 == 0
    yield "spiral", spiral(SIDE)
    yield "inverse spiral", ~spiral(SIDE)
    yield "lines on block borders", (i % 4 == 3) | (j % 5 == 4)
    yield "lines beside block borders", (i % 4 == 0) & (j % 9 > 0)
    yield "closed frames", np.minimum(np.minimum(i, j), SIDE - 1 - np.maximum(i, j)) % 3 == 1
    yield "half full", random.random((SIDE, SIDE)) > 0.5
    yield "one pixel", (i == 12) & (j == 15)


TRICKY = dict(tricky())

CALLS: list[tuple[str, tuple[Any, ...], Mapping[str, Any]]] = [
    ("ndimage.label", (), {}),
    ("ndimage.binary_fill_holes", (), {}),
    ("ndimage.binary_fill_holes", (), {"structure": np.ones((3, 3))}),
    ("segmentation.clear_border", (), {}),
    ("segmentation.clear_border", (), {"buffer_size": 3, "bgval": 1}),
    ("morphology.flood", ((12, 15),), {}),
    ("morphology.flood", ((0, -1),), {"connectivity": 1}),
    ("morphology.flood_fill", ((-1, 0), True), {}),
    ("morphology.remove_small_objects", (), {"max_size": 200, "connectivity": 2}),
    ("morphology.remove_small_holes", (), {"max_size": 200}),
    ("filters.apply_hysteresis_threshold", (0.5, 0.5), {}),
]


@pytest.mark.parametrize(("name", "more", "options"), CALLS, ids=str)
@pytest.mark.parametrize("kind", TRICKY)
def test_components_that_wind_through_all_blocks(
    kind: str, name: str, more: tuple[Any, ...], options: Mapping[str, Any]
) -> None:
    agrees(TRICKY[kind], name, more, options, BLOCKS)


def agrees(
    image: Array, name: str, more: tuple[Any, ...], options: Mapping[str, Any], blocks: Iterable[tuple[int, ...]]
) -> None:
    """Compare each result with that of the whole image."""
    expected = resolve(get_entry(name).source)(image, *more, **options)
    lazy = graph.apply(name, image, *more, **options)
    pairs = zip(lazy, expected, strict=True) if isinstance(lazy, tuple) else [(lazy, expected)]
    for node, pixels in pairs:
        for block_shape in blocks:
            assert_same_as_whole(node, pixels, block_shape)


# ------------------------------------------------------------------------------------------------ a tree of merges


@pytest.fixture(params=[(1, 2), (1, 5), (3, 4)], ids=str)
def tree(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[..., PlanOptions]:
    """Plans combine partials in groups in these tests, even of few blocks."""
    merge_blocks, fan_in = request.param
    options = partial(PlanOptions, merge_blocks=merge_blocks, fan_in=fan_in)
    monkeypatch.setattr(oracle, "PlanOptions", options)
    return options


@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize(("name", "more", "options"), CALLS, ids=str)
def test_a_tree_of_merges_gives_the_same(name: str, more: tuple[Any, ...], options: Mapping[str, Any]) -> None:
    for kind in ("spiral", "inverse spiral", "half full", "lines on block borders", "closed frames"):
        agrees(TRICKY[kind], name, more, options, BLOCKS[:2])


@pytest.mark.usefixtures("tree")
def test_label_ids_are_counted_and_renumbered_in_a_tree_too() -> None:
    image = np.random.default_rng(1).integers(0, 40, (23, 31)).astype(np.int32)
    for size in (0, 10, 18, 1000):
        lazy = graph.apply("morphology.remove_small_objects", image, max_size=size)
        assert_same_as_whole(lazy, morphology.remove_small_objects(image, max_size=size), (4, 5))
    for lazy, whole in zip(
        graph.apply("relabel_sequential", image, 5), segmentation.relabel_sequential(image, 5), strict=True
    ):
        assert_same_as_whole(lazy, np.asarray(whole), (4, 5))


# ------------------------------------------------------------------------------------------------ hysteresis


def test_thresholds_of_nan_give_what_scikit_image_gives() -> None:
    image = np.random.default_rng(2).random((23, 31))
    image[4, 4:9] = np.nan
    for low, high in ((np.nan, 0.5), (0.5, np.nan), (0.2, np.inf), (-np.inf, 0.9), (0.9, 0.2)):
        expected = filters.apply_hysteresis_threshold(image, low, high)
        assert_same_as_whole(graph.apply("apply_hysteresis_threshold", image, low, high), expected, (5, 7))


def test_thresholds_may_be_values_of_the_image() -> None:
    image = np.random.default_rng(3).random((40, 50)).astype(np.float32)
    high = filters.threshold_otsu(image)
    lazy = graph.apply("threshold_otsu", graph.open(image))
    expected = filters.apply_hysteresis_threshold(image, high / 2, high)
    assert_same_as_whole(graph.apply("apply_hysteresis_threshold", image, lazy / 2, lazy), expected, (9, 11))
    edges = feature.canny(image, 1.5, high / 40, high / 20)
    assert 0 < edges.sum() < edges.size
    assert_same_as_whole(graph.apply("canny", image, 1.5, lazy / 40, lazy / 20), edges, (9, 11))


# ------------------------------------------------------------------------------------------------ canny


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("quantiles", [True, False])
def test_edges_of_a_larger_image(dtype: str, quantiles: bool) -> None:
    random = np.random.default_rng(4)
    image = ndi.gaussian_filter(random.random((300, 401)), 4)
    image = (image - image.min()) / (image.max() - image.min()) + random.random(image.shape) * 0.02
    pixels = in_range(np.clip(image, 0, 1), dtype)
    options: dict[str, Any] = {"sigma": 2}
    if quantiles:
        options |= {"use_quantiles": True, "low_threshold": 0.7, "high_threshold": 0.95}
    expected = feature.canny(pixels, **options)
    for block_shape in ((64, 80), (300, 37)):
        assert_same_as_whole(graph.apply("feature.canny", pixels, **options), expected, block_shape)


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (30, 1), (2, 30), (3, 3), (4, 31)])
def test_images_that_are_all_border(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(5).random(shape)
    for mask in (None, np.ones(shape, bool), np.zeros(shape, bool)):
        expected = feature.canny(image, 1, 0, 0, mask)
        assert_same_as_whole(graph.apply("feature.canny", image, 1, 0, 0, mask), expected, (2, 7))


def test_flat_images_and_images_with_nan_have_the_edges_of_scikit_image() -> None:
    stripes = np.zeros((23, 31))
    stripes[:, ::4] = 1
    steps = np.kron(np.arange(12).reshape(3, 4) % 5, np.ones((8, 8)))[:23, :31]
    broken = np.random.default_rng(6).random((23, 31))
    broken[5, 5], broken[20, 9] = np.nan, np.inf
    for image in (np.full((23, 31), 0.5), stripes, steps, broken):
        with np.errstate(all="ignore"):
            for options in ({}, {"low_threshold": 0, "high_threshold": 0}, {"use_quantiles": True}):
                expected = feature.canny(image, 1.2, **options)
                assert_same_as_whole(graph.apply("canny", image, 1.2, **options), expected, (6, 7))


# ------------------------------------------------------------------------------------------------ floods and numbers


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["bool", "uint8", "int8", "int64", "float32"]),
    st.sampled_from([None, 0, 1, 0.5, 1.7, -1, np.inf]),
    st.sampled_from([None, 0, 1, 2, 3]),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
)
@settings(max_examples=60)
def test_random_floods_give_the_same(
    seed: int, dtype: str, tolerance: float | None, connectivity: int | None, block_shape: tuple[int, int]
) -> None:
    random = np.random.default_rng(seed)
    image = random.integers(0, 4, tuple(random.integers(1, 12, 2))).astype(dtype)
    if dtype == "float32":
        image.ravel()[random.integers(0, image.size, 2)] = random.choice([np.nan, np.inf, -np.inf], 2)
    point = tuple(int(random.integers(-n, n)) for n in image.shape)
    options: dict[str, Any] = {"tolerance": tolerance, "connectivity": connectivity}
    expected = morphology.flood(image, point, **options)
    assert_identical(evaluate(graph.apply("morphology.flood", image, point, **options), block_shape), expected)


def test_holes_of_labels_are_filled_as_those_of_a_mask() -> None:
    labels = np.kron(np.random.default_rng(7).integers(0, 3, (8, 9)), np.ones((3, 3), np.int16)).astype(np.int16)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # scikit-image: the result is bool
        expected = morphology.remove_small_holes(labels, max_size=9)
    with pytest.warns(UserWarning, match="returned as a boolean array"):
        lazy = graph.apply("morphology.remove_small_holes", labels, max_size=9)
    assert_same_as_whole(lazy, expected, (5, 7))


def test_negative_labels_are_refused_where_scikit_image_refuses_them() -> None:
    labels = np.full((9, 9), 3)
    labels[7, 7] = -2
    for name in ("morphology.remove_small_objects", "segmentation.relabel_sequential"):
        lazy = graph.apply(name, labels)
        with pytest.raises(InputError, match="-2"):
            evaluate(lazy[0] if isinstance(lazy, tuple) else lazy, (4, 4))


def test_a_dtype_that_scikit_image_changes_is_refused() -> None:
    labels = np.arange(1, 101, dtype=np.int8).reshape(10, 10)
    assert segmentation.relabel_sequential(labels, 100)[0].dtype == np.uint8
    with pytest.raises(InputError, match="go up to 199"):
        evaluate(graph.apply("relabel_sequential", labels, 100)[0], (4, 4))
    every = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert_same_as_whole(graph.apply("relabel_sequential", every)[0], segmentation.relabel_sequential(every)[0], (5, 5))


# ------------------------------------------------------------------------------------------------ refusals

FLAT = np.zeros((9, 10), np.uint8)
REFUSED: list[tuple[str, tuple[Any, ...], Mapping[str, Any], str]] = [
    ("segmentation.clear_border", (FLAT,), {"buffer_size": 9}, "less than each axis"),
    ("segmentation.clear_border", (FLAT,), {"buffer_size": -1}, "from 0"),
    ("segmentation.clear_border", (FLAT,), {"mask": FLAT}, "bool image"),
    ("segmentation.clear_border", (FLAT,), {"bgval": -1}, "clear_border"),
    ("ndimage.binary_fill_holes", (FLAT,), {"origin": 1}, "origin"),
    ("ndimage.binary_fill_holes", (FLAT,), {"structure": np.ones((3, 11))}, "not larger"),
    ("ndimage.binary_fill_holes", (FLAT,), {"output": FLAT}, "output"),
    ("ndimage.label", (FLAT,), {"structure": np.ones((5, 5))}, r"shape \(3, 3\)"),
    ("ndimage.label", (FLAT,), {"structure": np.array([[0, 1, 0], [1, 1, 0], [0, 0, 0]])}, "symmetric"),
    ("ndimage.label", (FLAT,), {"output": np.int64}, "output"),
    ("morphology.flood", (FLAT, (9, 0)), {}, "inside it"),
    ("morphology.flood", (FLAT, 3), {}, "per axis"),
    ("morphology.flood", (FLAT, (0, 0)), {"footprint": np.ones((2, 3))}, "odd"),
    ("morphology.flood_fill", (FLAT, (0, 0), 1), {"in_place": True}, "in_place"),
    ("morphology.flood_fill", (FLAT, (0, 0), 300), {}, "flood_fill"),
    ("segmentation.relabel_sequential", (FLAT, 0), {}, "offset"),
    ("feature.canny", (FLAT,), {"low_threshold": 50, "high_threshold": 20}, "in this order"),
    ("feature.canny", (FLAT,), {"use_quantiles": True, "low_threshold": 2}, "from 0 to 1"),
    ("measure.label", (np.zeros((3, 4, 1), np.uint8),), {}, "column by column"),
    ("measure.label", (np.zeros((3, 4, 5, 6), np.uint8),), {}, "1 to 3 axes"),
]


@pytest.mark.parametrize(("name", "given", "options", "message"), REFUSED, ids=[f"{r[0]}-{r[3]}" for r in REFUSED])
def test_arguments_without_an_exact_result_are_one_clear_error(
    name: str, given: tuple[Any, ...], options: Mapping[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        graph.apply(name, *given, **options)


def test_functions_without_an_exact_split_are_refused() -> None:
    with pytest.raises(NotExact, match="hull"):
        graph.apply("morphology.convex_hull_object", FLAT > 0)
    with pytest.raises(DtypeNotSupported, match="int64"):
        graph.apply("feature.canny", FLAT.astype(np.int64))


def test_the_count_of_labels_comes_with_them(tree: Callable[..., PlanOptions], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lepton_celery.jobs.compute.PlanOptions", tree)
    image = TRICKY["half full"]
    for name, whole in (("ndimage.label", ndi.label), ("measure.label", None)):
        lazy = graph.apply(name, image, **({} if whole else {"return_num": True}))
        labels, count = compute(*lazy, block_shape=(4, 5), threads=2)
        expected = ndi.label(image, None if whole else np.ones((3, 3)))
        assert_identical(labels, expected[0])
        assert int(count) == expected[1]
