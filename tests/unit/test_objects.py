"""The region table, with objects that blocks cut."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from skimage.measure import blur_effect, label, regionprops, regionprops_table
from skimage.measure._regionprops import COL_DTYPES

from lepton_celery import graph, stores
from lepton_celery.catalogue.arrays import Array, Where
from lepton_celery.catalogue.measure import crops
from lepton_celery.catalogue.measure.regionprops import SUMMED
from lepton_celery.catalogue.shared import object_boxes
from lepton_celery.errors import InputError, NotExact
from lepton_celery.graph.nodes import Node
from lepton_celery.grid import Region
from lepton_celery.jobs.compute import compute
from lepton_celery.jobs.run import run
from lepton_celery.planning.plan import Plan
from lepton_celery.planning.planner import make_plan
from lepton_celery.skimage import filters, measure
from tests.oracle import assert_identical, assert_same_as_whole, evaluate, picture

PROPERTIES = tuple(sorted(SUMMED - {"slice"}))
"""Properties that are sums over blocks."""
SHAPES = tuple(name for name in PROPERTIES if not name.startswith("intensity"))
INTENSITIES = ("bool", "uint8", "uint16", "int16", "int32", "uint32", "int64", "uint64", "float32", "float64")
BLOCKS = ((7, 9), (40, 5), (64, 64))


def blobs(seed: int = 0, shape: tuple[int, ...] = (37, 41)) -> Array:
    return picture(shape, float, seed) > 0.45


def check(labels: Array, intensity: Array | None, properties: Sequence[str], blocks: Any = BLOCKS, **more: Any) -> None:
    expected = regionprops_table(labels, intensity, properties=properties, **more)
    lazy = measure.regionprops_table(labels, intensity, properties=properties, **more)
    for block_shape in blocks:
        assert_same_as_whole(lazy, expected, block_shape)


@pytest.mark.parametrize("dtype", INTENSITIES)
def test_intensities_of_every_dtype_are_scikit_images(dtype: str) -> None:
    mask, image = blobs(), picture((37, 41), dtype, seed=2)
    check(label(mask), image, PROPERTIES)
    lazy = measure.regionprops_table(measure.label(mask), image, properties=PROPERTIES)
    for block_shape in BLOCKS:
        assert_same_as_whole(lazy, regionprops_table(label(mask), image, properties=PROPERTIES), block_shape)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_the_mean_of_one_object_over_all_blocks_is_added_in_numpys_order(dtype: str) -> None:
    random = np.random.default_rng(3)
    image = (random.standard_normal((260, 300)) * 10.0 ** random.integers(-3, 6, (260, 300))).astype(dtype)
    labels = np.ones(image.shape, np.int32)
    labels[5:20, 7:40] = 2
    check(labels, image, ("label", "intensity_mean"), [(50, 70), (7, 300)])


def test_signed_and_special_pixels_are_what_numpy_makes_of_them() -> None:
    labels = label(blobs())
    image = picture((37, 41), float) - 0.5
    check(labels, image, PROPERTIES)
    image[3, 4:9], image[20, 20:30], image[30, :9] = np.nan, np.inf, -np.inf
    image[8:10] = -0.0
    with np.errstate(all="ignore"):
        check(labels, image, ("label", "intensity_mean"))
    check(np.ones((20, 20), int), np.full((20, 20), -0.0), ("intensity_mean",), [(7, 8)])


def test_a_label_of_several_separate_parts_is_one_row() -> None:
    labels = np.random.default_rng(4).integers(0, 6, (37, 41))
    for dtype in ("uint8", "float32", "float64"):
        check(labels, picture((37, 41), dtype), PROPERTIES)


def test_rows_are_in_ascending_order_of_labels_with_gaps() -> None:
    labels = label(blobs())
    names = np.random.default_rng(5).permutation(3000)[: labels.max() + 1] + 1
    names[0] = 0
    check(names[labels], picture((37, 41), "float32"), PROPERTIES)


def test_huge_labels_are_measured_like_others() -> None:
    labels = label(blobs())
    names = np.concatenate([[0], (1 << 40) + 7919 * np.arange(labels.max())])
    image = picture((37, 41), "float64")
    expected = regionprops_table(labels, image, properties=PROPERTIES)
    expected["label"] = names[1:]
    found = compute(
        measure.regionprops_table(names[labels], image, properties=PROPERTIES), block_shape=(7, 9), threads=1
    )
    assert_identical(found, expected)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "uint32", "int64", "uint64"])
def test_labels_of_every_integer_dtype_make_the_same_table(dtype: str) -> None:
    labels = (label(blobs()) % 100).astype(dtype)
    check(labels, None, SHAPES, [(7, 9)])


def test_negative_labels_are_background() -> None:
    labels = label(blobs()) - 3
    check(labels, picture((37, 41), "uint8"), PROPERTIES, [(7, 9)])


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_an_image_without_objects_is_a_table_without_rows(dtype: str) -> None:
    check(np.zeros((9, 8), int), picture((9, 8), dtype), PROPERTIES, [(4, 4)])
    check(np.zeros((9, 8), int), None, ("label", "bbox"), [(4, 4)])


def test_a_volume_has_a_column_for_each_of_its_axes() -> None:
    mask = blobs(shape=(9, 10, 11))
    image = picture((9, 10, 11), "float32")
    check(label(mask), image, PROPERTIES, [(4, 4, 4), (2, 10, 3)])


def test_a_short_last_axis_has_its_columns_too() -> None:
    mask = blobs(shape=(12, 13, 3))
    image = picture((12, 13, 3), "float32")
    lazy = measure.regionprops_table(measure.label(mask), image, properties=PROPERTIES)
    expected = regionprops_table(label(mask), image, properties=PROPERTIES)
    assert "bbox-5" in expected
    assert_same_as_whole(lazy, expected, (5, 4))


def test_columns_come_in_the_order_asked_for_and_with_the_separator() -> None:
    check(label(blobs()), None, ("centroid", "label", "bbox"), [(7, 9)], separator="_")
    check(label(blobs()), None, ["area"], [(7, 9)])
    default = regionprops_table(label(blobs()))
    assert_same_as_whole(measure.regionprops_table(label(blobs())), default, (7, 9))


@given(arrays.arrays(np.uint8, (11, 9), elements=st.integers(0, 4)), st.tuples(st.integers(1, 6), st.integers(1, 6)))
def test_any_label_image_in_any_blocks_has_the_table_of_the_whole(labels: Array, block: tuple[int, int]) -> None:
    check(labels, picture((11, 9), "float32", seed=7), PROPERTIES, [block])


def test_the_table_of_changed_labels_is_measured_again() -> None:
    # an object of two parts need not touch a face of a block to continue in another block
    mask, image = blobs(), picture((37, 41), "float64")
    lazy, whole = measure.label(mask), label(mask)
    changes: list[Callable[[Any], Any]] = [lambda x: x[:, ::2], lambda x: x % 5, lambda x: x * (x > 4)]
    for change in changes:
        shown = image[:, ::2] if change(whole).shape != whole.shape else image
        assert_same_as_whole(
            measure.regionprops_table(change(lazy), shown, properties=PROPERTIES),
            regionprops_table(change(whole), shown, properties=PROPERTIES),
            (7, 9),
        )


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"properties": "area"}, "is one string"),
    ({"properties": iter(["area"])}, "only once"),
    ({"properties": ("label", "roundness")}, "'roundness' is not in the table"),
    ({"properties": ("moments_weighted_hu",)}, "needs an intensity_image"),
    ({"properties": ("WeightedMoments",)}, "needs an intensity_image"),
    ({"properties": ("perimeter",), "spacing": (1, 2)}, "'perimeter'.*isotropic spacings only; leave it out"),
    ({"properties": ("label",), "spacing": (1, 2, 3)}, "spacing isn't a scalar"),
    ({"properties": ("label",), "intensity_image": np.ones((4, 5))}, "do not match"),
    ({"properties": ("label",), "intensity_image": np.ones((4, 4, 2, 2))}, "do not match"),
    ({"properties": ("intensity_mean",)}, "needs an intensity_image"),
    ({"extra_properties": ("os:getpid",)}, "not all functions"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED, ids=[m for _, m in REFUSED])
def test_unsupported_properties_and_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        measure.regionprops_table(np.ones((4, 4), int), **options)


def test_labels_that_scikit_image_would_refuse_are_refused() -> None:
    for dtype in ("bool", "float64"):
        with pytest.raises(InputError, match="dtype"):
            measure.regionprops_table(graph.open(np.ones((4, 4), dtype)))


@pytest.mark.parametrize("name", ["eccentricity", "moments_hu", "orientation", "perimeter", "perimeter_crofton"])
def test_properties_of_flat_images_are_refused_for_volumes(name: str) -> None:
    with pytest.raises(InputError, match=f"'{name}' of labels of shape .* 3D"):
        measure.regionprops_table(np.ones((4, 4, 4), int), properties=(name,))


def test_measured_properties_need_two_or_three_axes() -> None:
    with pytest.raises(InputError, match="takes 2 or 3 axes"):
        measure.regionprops_table(np.ones(9, int), properties=("solidity",))


def test_regions_as_objects_are_refused_for_the_table() -> None:
    with pytest.raises(NotExact, match="regionprops_table"):
        measure.regionprops(np.ones((4, 4), int))


def test_a_label_that_a_table_cannot_name_is_refused() -> None:
    with pytest.raises(InputError, match="relabel first"):
        evaluate(measure.regionprops_table(np.full((3, 3), 1 << 63, np.uint64)), (3, 3))


def test_an_object_too_large_for_one_worker_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_boxes, "MAX_BOX_PX", 100)
    labels = np.zeros((20, 20), int)
    labels[5:15, 5:16] = 77
    lazy = measure.regionprops_table(labels, properties=("label", "perimeter"))
    with pytest.raises(InputError, match="object 77 has a bounding box of 110 pixels, over the limit of 100"):
        evaluate(lazy, (8, 8))
    evaluate(lazy, (20, 20))  # a block that contains the object may measure it
    evaluate(measure.regionprops_table(labels), (8, 8))


def test_objects_are_measured_in_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crops, "GROUP_PX", 60)
    check(label(blobs()), picture((37, 41), "uint8"), ("label", "perimeter", "moments_weighted", "orientation"))


def test_objects_near_a_block_are_read_with_it_and_distant_ones_separately() -> None:
    reads: list[Region] = []

    class Spy:
        shape, dtype = (40, 40), np.dtype(int)

        def read(self, region: Region) -> Array:
            reads.append(region)
            return labels[region.slices]

    labels = np.zeros((40, 40), int)
    labels[2:4, 2:4], labels[8:12, 5], labels[9, 9:40] = 1, 2, 3
    boxes = {"label": [1, 2, 3], "start0": [2, 8, 9], "stop0": [4, 12, 10], "start1": [2, 5, 9], "stop1": [4, 6, 40]}
    objects = {name: np.array(column) for name, column in boxes.items()}
    where = Where(Region((0, 0), (10, 10)), (40, 40))
    found = crops.measured_partial(Spy(), None, ("perimeter",), "-", None, None, objects, where)
    assert found["row"].tolist() == [0, 1, 2]
    assert reads == [Region((2, 2), (12, 6)), Region((9, 9), (10, 40))]


def test_only_what_is_needed_is_read_and_stored() -> None:
    lazy = graph.open(picture((37, 41), float))
    labels, smooth = measure.label(lazy > 0.4), filters.gaussian(lazy, 1)

    def stages(*properties: str) -> list[int]:
        plan = make_plan({"table": measure.regionprops_table(labels, smooth, properties=properties)}).plan
        return [len(stage.stores) for stage in plan.stages]

    assert stages("label", "area", "intensity_mean", "slice") == [1, 0]
    assert stages("label", "intensity_mean", "perimeter") == [1, 1, 0]  # the numbered labels
    assert sum(stages("label", "intensity_std")) == 3  # the smooth image too


NUMBERS = tuple(sorted(name for name, dtype in COL_DTYPES.items() if dtype is not object))


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_every_column_of_numbers_comes_back_from_a_file(tmp_path: Path, suffix: str) -> None:
    mask, image = blobs(), picture((37, 41, 2), "float32")
    path = str(tmp_path / f"objects.{suffix}")
    run({path: measure.regionprops_table(measure.label(mask), image, properties=NUMBERS)}, block_shape=(7, 9))
    expected = regionprops_table(label(mask), image, properties=NUMBERS)
    found = stores.read_table(path)
    assert list(found) == list(expected)
    for name, column in expected.items():
        assert_identical(found[name].astype(float), column.astype(float))


@pytest.mark.parametrize("name", ["coords", "Image", "image_intensity", "slice"])
def test_columns_of_arrays_go_into_no_file(tmp_path: Path, name: str) -> None:
    table = measure.regionprops_table(label(blobs()), picture((37, 41), float), properties=("label", name))
    with pytest.raises(InputError, match="columns of arrays or slices"):
        run({str(tmp_path / "objects.csv"): table})
    assert list(tmp_path.iterdir()) == []


def test_functions_of_the_user_are_sent_by_name_and_lambdas_are_refused(tmp_path: Path) -> None:
    labels = label(blobs())

    def table(function: Callable[..., Any]) -> Node:
        lazy: Node = measure.regionprops_table(labels, properties=("label",), extra_properties=(function,))
        return lazy

    plan = make_plan({"table": table(blur_effect)}).plan
    assert plan.functions == ["skimage.measure._blur_effect:blur_effect"]
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
    with pytest.raises(InputError, match="functions are sent by name"):
        run({str(tmp_path / "objects.csv"): table(lambda mask: mask.size)})
    assert list(tmp_path.iterdir()) == []
    found = compute(table(lambda mask: mask.size), block_shape=(7, 9), threads=1)
    assert_identical(found["<lambda>"], np.array([region.image.size for region in regionprops(labels)]))


def test_the_plan_of_a_measured_table_comes_back_from_json() -> None:
    lazy = measure.regionprops_table(label(blobs()), properties=("solidity", "label"), spacing=(np.float32(0.5), 2))
    plan = make_plan({"table": lazy}).plan
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
