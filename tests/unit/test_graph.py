"""Lazy nodes: how they are made, what they refuse, their JSON form."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lepton_celery import graph
from lepton_celery.catalogue.arrays import Array
from lepton_celery.errors import InputError, StoreNotFound, UnknownOperation
from lepton_celery.graph import nodes
from lepton_celery.graph.codec import encode, from_json, to_json
from lepton_celery.graph.nodes import Image, Table, Value
from lepton_celery.jobs.compute import compute
from lepton_celery.planning.options import Limits
from lepton_celery.planning.regions import grid_shape
from lepton_celery.skimage import color, exposure, feature, filters, measure, morphology, segmentation, transform
from tests.oracle import assert_identical, assert_same_as_whole, evaluate, picture

IMAGE = picture((23, 31), "float64")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "image.npy"
    np.save(path, picture((23, 31), "uint16"))
    return path


# ------------------------------------------------------------------------------------------------ NumPy's operators

OPERATORS: list[Callable[[Any], Any]] = [
    lambda x: x + 1,
    lambda x: 1 - x,
    lambda x: x * np.float32(2),
    lambda x: np.float64(3) * x,
    lambda x: x / 3,
    lambda x: x // 0.3,
    lambda x: 5 % (x + 1),
    lambda x: x**2,
    lambda x: x**0.5,
    lambda x: 2**x,
    lambda x: -x + abs(x - 0.5),
    lambda x: +x,
    lambda x: (x > 0.5) & (x < 0.7) | ~(x >= 0.1),
    lambda x: (x == 0.5) ^ (x != 0.25),
    lambda x: x - IMAGE[::-1],
    lambda x: IMAGE[::-1] <= x,
    lambda x: x * np.array(2.5),
    lambda x: np.hypot(x, 1) + np.sqrt(x) - np.minimum(x, 0.3),
    lambda x: np.abs(-x) + np.true_divide(x, 2) + np.mod(x, 0.1),
    lambda x: np.logical_and(x, x > 0.5),
    lambda x: (x - x.min()) / (x.max() - x.min()),
    lambda x: x > np.percentile(x, 40) * 0.9 + 0.01,
    lambda x: x.astype(np.float32).astype("uint8"),
    lambda x: x.astype(int) + x.astype(bool),
]


@pytest.mark.parametrize("function", OPERATORS)
def test_operators_and_functions_of_numpy_stay_lazy_and_mean_the_same(function: Callable[[Any], Any]) -> None:
    lazy = function(graph.open(IMAGE))
    assert isinstance(lazy, Image)
    assert_same_as_whole(lazy, function(IMAGE), (7, 9))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32"])
def test_results_have_numpys_dtype_whatever_the_operands(dtype: str) -> None:
    image = picture((5, 6), dtype)
    lazy = graph.open(image)
    for other in (1, 2.5, np.uint8(3), np.int64(3), np.float32(1.5), np.float64(1.5), True):
        for function in (np.add, np.multiply, np.greater):
            result: Any = function(lazy, other)
            assert_same_as_whole(result, function(image, other), (3, 3))


def test_a_number_that_the_dtype_cannot_hold_is_refused_as_numpy_refuses_it() -> None:
    with pytest.raises(OverflowError):
        np.ones((3, 3), np.uint8) + 300
    with pytest.raises(InputError, match="300"):
        graph.open(np.ones((3, 3), np.uint8)) + 300


@pytest.mark.parametrize(
    "call",
    [
        lambda x: np.sort(x),
        lambda x: np.trapezoid(x),
        lambda x: np.resize(x, (3, 3)),
        lambda x: np.add.reduce(x),
        lambda x: np.add(x, 1, dtype="float32"),
        lambda x: x @ x,
        lambda x: divmod(x, 2),
    ],
)
def test_numpy_functions_outside_the_catalogue_are_type_errors(call: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError):
        call(graph.open(IMAGE))


def test_a_node_is_neither_true_nor_a_number_before_it_is_computed() -> None:
    image = graph.open(IMAGE)
    for node in (image, image > 0.5, image.min(), filters.threshold_otsu(image)):
        with pytest.raises(TypeError, match=r"neither true nor false; call lepton\.compute"):
            bool(node)
        with pytest.raises(TypeError, match=r"no number; call lepton\.compute"):
            float(node)


def test_small_nodes_are_arrays_and_large_ones_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    image = graph.open(IMAGE)
    assert_identical(np.asarray(image + 1), IMAGE + 1)
    assert_identical(np.array(image.mean(axis=0), np.float32), IMAGE.mean(axis=0).astype(np.float32))
    assert np.asarray(filters.threshold_otsu(image)) == filters.threshold_otsu(image).compute()
    for node in (image, image.mean(axis=0), image.min()):
        monkeypatch.setattr(nodes, "SMALL_PX", IMAGE.size)
        np.asarray(node)
        monkeypatch.setattr(nodes, "SMALL_PX", IMAGE.size - 1)
        with pytest.raises(TypeError, match=r"at most 712 pixels are computed unasked; call lepton\.compute"):
            np.asarray(node)
    with pytest.raises(TypeError, match="not computed yet"):
        np.asarray(measure.regionprops_table(measure.label(image > 0.5)))


def test_nodes_are_computed_by_their_method() -> None:
    image = graph.open(IMAGE)
    assert_identical((image + 1).compute(block_shape=(7, 9), threads=1), IMAGE + 1)
    assert image.max().compute() == IMAGE.max()
    labels = measure.label(image > 0.5)
    assert list(measure.regionprops_table(labels).compute(progress=True)) == [
        "label",
        "bbox-0",
        "bbox-1",
        "bbox-2",
        "bbox-3",
    ]
    (table,) = (measure.regionprops_table(labels, properties=("area",)).compute(limits=Limits(pixels=1000)),)
    assert table["area"].sum() == (IMAGE > 0.5).sum()


def test_nodes_have_numpys_sizes() -> None:
    image = graph.open(IMAGE)
    for lazy, whole in ((image, IMAGE), (image > 0.5, IMAGE > 0.5), (image[0], IMAGE[0]), (image.max(), IMAGE.max())):
        assert (lazy.size, lazy.nbytes, lazy.ndim) == (whole.size, whole.nbytes, whole.ndim)
    with pytest.raises(TypeError, match="depends on the pixels"):
        _ = feature.peak_local_max(image).size


def test_nodes_have_their_type_shape_and_dtype() -> None:
    image = graph.open(IMAGE)
    assert isinstance(image.max(), Value)
    labels = measure.label(image > 0.5)
    assert isinstance(measure.regionprops_table(labels), Table)
    assert repr(labels) == "<Image measure.label (23, 31) int32>"
    assert (image.ndim, image.shape, image.dtype) == (2, (23, 31), np.dtype(float))


# ------------------------------------------------------------------------------------------------ slicing

INDICES: list[Any] = [
    3,
    -1,
    np.int64(5),
    (3, 4),
    (-1, -2),
    (slice(None), 7),
    (..., 0),
    (2, ...),
    ...,
    slice(None),
    slice(3, 20),
    slice(-9, -2),
    slice(2, None, 3),
    slice(0, 999),
    (slice(1, 22, 5), slice(None, -3, 2)),
    (),
    (slice(4, 5), slice(6, 7)),
    slice(None, None, -1),
    (slice(9, 2, -3), slice(None, None, -2), None),
]


@pytest.mark.parametrize("index", INDICES, ids=repr)
def test_an_index_picks_what_numpy_picks(index: Any) -> None:
    lazy = graph.open(IMAGE)[index]
    expected = IMAGE[index]
    block = (7, 9)[: expected.ndim]
    assert_same_as_whole(lazy, expected, block)


@given(st.data())
def test_any_basic_index_picks_what_numpy_picks(data: st.DataObject) -> None:
    volume = np.arange(5 * 6 * 7).reshape(5, 6, 7)
    bound = st.none() | st.integers(-9, 9)
    step = st.none() | st.integers(-4, 4).filter(bool)
    item = st.integers(-5, 4) | st.builds(slice, bound, bound, step)
    index = tuple(data.draw(st.lists(item, max_size=3)))
    expected = volume[index]
    if expected.size == 0:
        with pytest.raises(InputError, match="picks no pixel"):
            graph.open(volume)[index]
        return
    assert_identical(evaluate(graph.open(volume)[index], (3, 4, 5)[: len(grid_shape(expected.shape))]), expected)


def test_slices_of_results_read_no_more_than_they_need() -> None:
    smooth = filters.gaussian(graph.open(IMAGE), sigma=2)
    from skimage.filters import gaussian

    whole = gaussian(IMAGE, sigma=2)
    assert_same_as_whole(smooth[5:20:3, 1:30:4], whole[5:20:3, 1:30:4], (2, 3))
    assert_same_as_whole(filters.sobel(graph.open(IMAGE)[4:20, 3:30]), _sobel(IMAGE[4:20, 3:30]), (5, 6))


def _sobel(image: Array) -> Array:
    from skimage.filters import sobel

    found: Array = sobel(image)
    return found


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (23, "outside"),
        (-24, "outside"),
        ((0, 0, 0), "too many"),
        ((..., ...), "too many"),
        (slice(None, None, 0), "other than 0"),
        (slice(5, 5), "no pixel"),
        (True, "whole numbers and slices"),
        ("a", "whole numbers and slices"),
        (1.5, "whole numbers and slices"),
        ([1, 2], "whole numbers and slices"),
        (IMAGE[:, 0] > 0.5, "mask of the image's shape"),
        (graph.open(IMAGE)[0] > 0.5, "mask of the image's shape"),
        ((graph.open(IMAGE) > 0.5, 3), "whole numbers and slices"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_other_indices_are_refused(index: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        graph.open(IMAGE)[index]


# ------------------------------------------------------------------------------------------------ opening


def test_a_file_is_opened_by_its_header_alone(file: Path) -> None:
    image = graph.open(file)
    assert (image.shape, image.dtype) == ((23, 31), np.dtype("uint16"))
    assert_same_as_whole(image, np.load(file), (7, 9))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((0, 5)), "no pixels"),
        (np.array(3.0), "no axes"),
        (np.zeros((3, 3), complex), "complex128"),
        (np.zeros((3, 3), "M8[s]"), "datetime64"),
        (np.array([["a"]]), "<U1"),
        (np.ma.masked_greater(np.arange(12.0).reshape(3, 4), 5), "lose its mask"),
    ],
)
def test_an_array_that_is_no_image_is_refused(array: Array, message: str) -> None:
    with pytest.raises(InputError, match=message):
        graph.open(array)


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFound):
        graph.open(tmp_path / "none.npy")


# ------------------------------------------------------------------------------------------------ JSON


def pipelines(image: Image) -> dict[str, Any]:
    smooth = filters.gaussian(image, sigma=(1, 2.5), mode="mirror")
    labels, count = measure.label(smooth > filters.threshold_otsu(smooth), return_num=True)
    footprint = [(np.ones((3, 1), np.uint8), 2), (np.ones((1, 3), np.uint8), 1)]
    return {
        "smooth": smooth,
        "labels": labels,
        "count": count,
        "table": measure.regionprops_table(labels, image, properties=["label", "area", "intensity_mean"]),
        "opened": morphology.opening(image, footprint),
        "percentiles": np.percentile(image, (2, 97.5)),
        "one": np.percentile(image, np.float64(30)),
        "arithmetic": (image.astype("float32") * np.float32(0.5))[1:20:3, -5] ** 2 > image.min() * 1.5,
        "sharp": filters.unsharp_mask(image, radius=2),
        "stretched": exposure.rescale_intensity(image, out_range=np.uint8),
        "pair": exposure.rescale_intensity(image, in_range=(3, 900), out_range=(0.0, 1.0)),
        "small": transform.downscale_local_mean(image, (3, 2)),
        "marked": segmentation.mark_boundaries(image / 70000, labels, color=(1, 0, 0)),
    }


def test_a_graph_that_went_through_json_gives_the_same_results(file: Path) -> None:
    outputs = pipelines(graph.open(file))
    again = from_json(json.loads(json.dumps(to_json(outputs))))
    assert list(again) == list(outputs)
    for name, node in outputs.items():
        assert type(again[name]) is type(node)
        assert (again[name].shape, again[name].dtype) == (node.shape, node.dtype)
        assert_identical(evaluate(again[name], (7, 9) if node.shape == (23, 31) else None), compute(node, threads=1))
    assert to_json(again) == to_json(outputs)


def test_shared_nodes_are_stored_once_in_a_graph(file: Path) -> None:
    image = graph.open(file)
    document = to_json({"a": image + 1, "b": image + 2})
    assert [node["operation"] for node in document["nodes"]] == ["lepton.source", "numpy.add", "numpy.add"]
    assert document["outputs"] == {"a": 1, "b": 2}


def test_a_long_chain_is_no_deep_recursion(file: Path) -> None:
    node: Any = graph.open(file)
    for _ in range(3000):
        node = node + 1
    assert len(to_json({"sum": node})["nodes"]) == 3001


def test_an_array_in_memory_has_no_json_form() -> None:
    with pytest.raises(InputError, match="save it to a file"):
        to_json({"a": graph.open(IMAGE) + 1})


def document(*nodes: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"version": 1, "nodes": list(nodes), "outputs": {"out.zarr": len(nodes) - 1}, **more}


SOURCE: dict[str, Any] = {"operation": "lepton.source", "arguments": {"url": "input:image"}}


def test_a_hand_written_graph_may_have_short_names_and_named_inputs() -> None:
    smooth = {"operation": "gaussian", "arguments": {"image": {"node": 0}, "sigma": [1, 2]}}
    slim = {"operation": "lepton.select", "arguments": {"image": {"node": 1}, "index": [[0, 23, 2], 4]}}
    found = from_json(document(SOURCE, smooth, slim), {"image": IMAGE})
    from skimage.filters import gaussian

    assert_same_as_whole(found["out.zarr"], gaussian(IMAGE, sigma=(1, 2))[::2, 4], (5,))


@pytest.mark.parametrize(
    "name",
    ["lepton.extent", "lepton.rescale", "lepton.label_blocks", "lepton.relabel", "lepton.table", "lepton.item"],
)
def test_parts_of_the_planner_cannot_be_named_from_outside(name: str) -> None:
    with pytest.raises(InputError, match="internal"):
        from_json(document(SOURCE, {"operation": name, "arguments": {"image": {"node": 0}}}), {"image": IMAGE})


@pytest.mark.parametrize("name", ["os.system", "numpy.load", "builtins.eval", "skimage.io.imread", "numpy.fromfile"])
def test_only_the_catalogue_can_be_named_from_outside(name: str) -> None:
    with pytest.raises(UnknownOperation):
        from_json(document(SOURCE, {"operation": name, "arguments": {}}), {"image": IMAGE})


GAUSSIAN: dict[str, Any] = {"operation": "filters.gaussian", "arguments": {"image": {"node": 0}}}
WRONG: list[tuple[Any, str]] = [
    ({"version": 2, "nodes": [SOURCE], "outputs": {"a": 0}}, "version 2"),
    ({"nodes": [SOURCE], "outputs": {"a": 0}}, "version None"),
    ([SOURCE], "version 'list'"),
    ("graph", "version 'str'"),
    (document(SOURCE, outputs={}), "no outputs"),
    (document(SOURCE, outputs={"a": 7}), "names node 7"),
    (document(SOURCE, outputs={"a": -1}), "names node -1"),
    (document(SOURCE, outputs={"a": "0"}), r"Expected `int`, got `str`"),
    (document(SOURCE, {**GAUSSIAN, "arguments": {"image": {"node": 1}}}), "names node 1"),
    (document(SOURCE, {**GAUSSIAN, "arguments": {"image": {"node": 0}, "sgma": 2}}), "sgma"),
    (document(SOURCE, {**GAUSSIAN, "arguments": {"image": {"node": 0}, "sigma": {"exec": 1}}}), "not understood"),
    (document(SOURCE, {**GAUSSIAN, "arguments": {"image": 3}}), "give an image"),
    (document({"operation": "lepton.source", "arguments": {"url": "input:other"}}), "'other'"),
    (document({"operation": "lepton.source", "arguments": {}}), "url None"),
    (document({"operation": "lepton.source", "arguments": {"url": 5}}), "url 5"),
]


@pytest.mark.parametrize(("wrong", "message"), WRONG, ids=[message for _, message in WRONG])
def test_a_wrong_graph_is_one_clear_input_error(wrong: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_json(wrong, {"image": IMAGE})


BROKEN: list[Any] = [
    document("gaussian"),  # type: ignore[arg-type]
    document(SOURCE, {"operation": 3, "arguments": {}}),
    document(SOURCE, {"operation": "gaussian", "arguments": [1]}),
    document(
        SOURCE, {"operation": "gaussian", "arguments": {"image": {"node": 0}, "sigma": {"array": [1], "dtype": "q9"}}}
    ),
    document(
        SOURCE, {"operation": "gaussian", "arguments": {"image": {"node": 0}, "sigma": {"scalar": "x", "dtype": "f4"}}}
    ),
    document(SOURCE, {"operation": "gaussian", "arguments": {"image": {"node": 0}, "sigma": {"array": [1]}}}),
    document(SOURCE, {"operation": "lepton.select", "arguments": {"image": {"node": 0}}}),
    document(SOURCE, {"operation": "lepton.select", "arguments": {"image": {"node": 0}, "index": 5}}),
    document(SOURCE, {"operation": "lepton.select", "arguments": {"image": {"node": 0}, "index": [[0, 99, 1], 3]}}),
    document(SOURCE, {"operation": "lepton.select", "arguments": {"image": {"node": 0}, "index": [[0, 9, -1], 3]}}),
    document(SOURCE, {"operation": "lepton.select", "arguments": {"image": {"node": 0}, "index": [[0, 9, 1], 77]}}),
    {"version": 1, "nodes": 5, "outputs": {"a": 0}},
    {"version": 1, "nodes": [SOURCE], "outputs": [0]},
]


@pytest.mark.parametrize("wrong", BROKEN, ids=range(len(BROKEN)))
def test_a_graph_of_another_form_is_an_input_error_too(wrong: Any) -> None:
    with pytest.raises(InputError):
        from_json(wrong, {"image": IMAGE})


def test_an_argument_that_cannot_travel_is_refused() -> None:
    for value in (object(), len, {"a": 1}, 1j, slice(3)):
        with pytest.raises(InputError, match="cannot be sent"):
            encode(value, lambda _: None)


# ------------------------------------------------------------------------------------------------ signatures


def test_lazy_functions_have_scikit_images_signatures_and_state_their_exactness() -> None:
    import inspect

    import skimage.filters

    assert inspect.signature(filters.gaussian).replace() == inspect.Signature(
        [p for p in inspect.signature(skimage.filters.gaussian).parameters.values() if p.name != "out"]
    )
    assert "identical" in (filters.gaussian.__doc__ or "")
    assert "sigma : scalar or sequence of scalars" in (filters.gaussian.__doc__ or "")  # scikit-image's own text
    assert filters.gaussian.__module__ == "lepton_celery.skimage.filters"
    assert "gaussian" in dir(filters)
    assert filters.gaussian.__name__ == "gaussian"


def test_a_function_that_is_not_in_the_catalogue_is_an_attribute_error_with_a_hint() -> None:
    with pytest.raises(AttributeError, match=r"did you mean filters\.gaussian"):
        _ = filters.gausian
    with pytest.raises(AttributeError):
        _ = color.adapt_rgb


def test_values_and_images_are_not_interchangeable() -> None:
    image = graph.open(IMAGE)
    calls: list[Callable[[], Any]] = [
        lambda: filters.gaussian(image, sigma=image.max()),
        lambda: filters.gaussian(image.max()),
        lambda: filters.gaussian(image, sigma=image),
        lambda: morphology.erosion(image, image),
        lambda: filters.gaussian(measure.regionprops_table(measure.label(image > 0.5))),
        lambda: image + measure.regionprops_table(measure.label(image > 0.5)),
    ]
    for call in calls:
        with pytest.raises(InputError, match=r"cannot be|give an image"):
            call()
