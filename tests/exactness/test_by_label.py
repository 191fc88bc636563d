"""`scipy.ndimage.mean` and others by label: SciPy's values, whichever blocks cut the labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage import measure

from lepton_celery import graph
from lepton_celery import ndimage as lazy_ndimage
from lepton_celery.catalogue.ndimage.by_label import NAMES
from lepton_celery.catalogue.shared import object_boxes
from lepton_celery.errors import DtypeNotSupported, InputError, NotExact
from lepton_celery.planning.regions import grid_shape
from tests.exactness.cases.case import FLAT, labelled
from tests.oracle import assert_identical, assert_same_as_whole, evaluate, picture

INDICES: list[Any] = [None, 1, 3, [1, 2, 3], np.arange(0, 5), [3, 1, 1], [], [-1, 2], np.uint8(2)]


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(NAMES),
    shape=st.lists(st.integers(1, 15), min_size=1, max_size=3).map(tuple),
    dtype=st.sampled_from(["bool", "uint8", "int16", "int64", "float32", "float64"]),
    labels_dtype=st.sampled_from(["bool", "int8", "uint16", "int64", "uint64"]),
    index=st.sampled_from(INDICES),
    is_component=st.booleans(),
    seed=st.integers(0, 1000),
)
@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")  # of labels without pixels, by SciPy
def test_values_by_label_are_those_of_the_whole_image(
    name: str, shape: Any, dtype: str, labels_dtype: str, index: Any, is_component: bool, seed: int
) -> None:
    random = np.random.default_rng(seed)
    image = (random.random(shape) * 200 - (50 if dtype not in ("bool", "uint8") else 0)).astype(dtype)
    labels = random.integers(0 if labels_dtype[0] in "bu" else -2, 4, shape)
    labels = (measure.label(random.random(shape) < 0.5) if is_component else labels).astype(labels_dtype)
    absent = index is not None and not np.isin(index, labels).all()
    try:
        whole = getattr(ndimage, name)(image, labels, index)
    except ValueError:  # SciPy takes no minimum of nothing
        with pytest.raises(InputError, match="without pixels"):
            evaluate(getattr(lazy_ndimage, name)(image, labels, index))
        return
    lazy = getattr(lazy_ndimage, name)(image, labels, index)
    blocks = tuple(random.integers(1, 9, len(grid_shape(shape))).tolist())
    if name == "median" and absent and np.ndim(index):
        with pytest.raises(InputError, match="leave it out of index"):
            evaluate(lazy, blocks)
        return
    assert_identical(evaluate(lazy, blocks), whole)


@pytest.mark.parametrize("index", [[1, 3], [-(2**63), -5], [2**63 - 1], [0, 1 << 21]])
def test_labels_may_be_as_large_as_their_dtype(index: list[int]) -> None:
    labels = np.array([[1, 3, -(2**63), 2**63 - 1, -5, 0, 1 << 21, 3]], np.int64).repeat(3, axis=0)
    image = np.arange(24.0).reshape(3, 8)
    for name in ("sum", "maximum", "center_of_mass"):
        whole = getattr(ndimage, name)(image, labels, index)
        assert_identical(evaluate(getattr(lazy_ndimage, name)(image, labels, index), (2, 3)), np.array(whole))


@pytest.mark.parametrize("index", [None, 3, [3, 6]])
def test_histograms_by_label_are_rows_of_one_array(index: Any) -> None:
    image = picture(FLAT, float)
    labels = labelled(image)
    whole = ndimage.histogram(image, 0, 1, 7, labels, index)
    lazy = lazy_ndimage.histogram(image, 0, 1, 7, labels, index)
    assert_same_as_whole(lazy, whole if np.ndim(index) == 0 else np.stack(whole), (7, 10))


def test_labels_and_pixels_may_be_results() -> None:
    image = picture(FLAT, "uint8")
    smooth = ndimage.gaussian_filter(image, 1)
    labels, _ = ndimage.label(smooth > 120)
    lazy_smooth = lazy_ndimage.gaussian_filter(image, 1)
    lazy_labels, _ = lazy_ndimage.label(lazy_smooth > 120)
    index = np.arange(1, labels.max() + 1)
    expected = ndimage.standard_deviation(smooth, labels, index)
    assert_same_as_whole(lazy_ndimage.standard_deviation(lazy_smooth, lazy_labels, index), expected, (7, 10))


def test_what_scipy_or_blocks_cannot_do_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    image = picture(FLAT, float)
    labels = labelled(image)
    for arguments, what in (
        ({"labels": None}, "numpy.sum"),
        ({"labels": labels[1:]}, "one label per pixel"),
        ({"labels": labels, "index": [0.5]}, "whole numbers"),
        ({"labels": labels, "index": [[1, 2]]}, "a sequence"),
    ):
        with pytest.raises(InputError, match=what):
            graph.apply("ndimage.mean", image, **arguments)
    with pytest.raises(DtypeNotSupported):
        graph.apply("ndimage.mean", image, image)
    for options in ({"bins": 0}, {"max": 0}):
        with pytest.raises(InputError):
            graph.apply("ndimage.histogram", image, **{"min": 0, "max": 1, "bins": 3, "labels": labels} | options)
    with pytest.raises(NotExact, match=r"ndimage\.minimum"):
        graph.apply("ndimage.extrema", image, labels)
    monkeypatch.setattr(object_boxes, "MAX_BOX_PX", 100)
    with pytest.raises(InputError, match="over the limit of 100"):
        evaluate(graph.apply("ndimage.mean", image, labels), (7, 10))


def test_a_move_that_scipy_refuses_is_refused_when_it_is_asked_for() -> None:
    image = picture(FLAT, float)
    for name, options, what in (
        ("zoom", {"zoom": 0}, "without pixels"),
        ("zoom", {"zoom": (1, 2, 3)}, "zoom"),
        ("zoom", {"zoom": np.nan}, "finite"),
        ("shift", {"shift": 1, "order": 6}, "order"),
        ("shift", {"shift": 1, "mode": "nowhere"}, "mode"),
        ("rotate", {"angle": 5, "axes": (0, 2)}, "plane"),
        ("affine_transform", {"matrix": np.eye(5)}, "matrix"),
        ("affine_transform", {"matrix": np.eye(2), "output_shape": (3,)}, "per axis"),
        ("map_coordinates", {"coordinates": np.zeros((3, 4))}, "coordinate"),
    ):
        with pytest.raises(InputError, match=what):
            graph.apply(f"ndimage.{name}", image, **options)


def test_an_image_is_moved_by_a_value_of_another_image() -> None:
    image = picture(FLAT, float)
    found = graph.apply("numpy.percentile", image, (2, 98))
    moved = lazy_ndimage.shift(image, found, order=1)
    assert_same_as_whole(moved, ndimage.shift(image, np.percentile(image, (2, 98)), order=1), (7, 10))
    with pytest.raises(InputError, match=r"shift of shape \(3,\)"):
        lazy_ndimage.shift(image, graph.apply("numpy.percentile", image, (2, 50, 98)))
