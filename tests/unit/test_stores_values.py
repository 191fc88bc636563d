"""Values come back from every format as they were computed, or are refused when the job is submitted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage import feature as sk_feature

import lepton_celery as lepton
from lepton_celery import errors
from lepton_celery.catalogue.arrays import Array
from lepton_celery.skimage import feature, measure
from lepton_celery.stores import as_columns, check_value, read_value, write_value
from tests.oracle import assert_identical
from tests.unit.test_stores_table import DTYPES, extreme

SUFFIXES = [".csv", ".parquet", ".npy", ".json"]
IMAGE = np.random.default_rng(1).random((60, 75))


def of_shape(dtype: str, shape: tuple[int, ...]) -> Array:
    return np.resize(extreme(dtype), shape)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("dtype", [*DTYPES, "complex64", "longdouble", "object", "points"])
def test_a_value_comes_back_or_is_refused(tmp_path: Path, suffix: str, dtype: str) -> None:
    for ndim in range(4):
        shape = (3, 2, 2)[:ndim]
        if dtype == "points":
            value: Any = np.zeros(shape, [("row", "i4"), ("weight", "f4")])
        else:
            value = of_shape("float32" if dtype in ("complex64", "longdouble", "object") else dtype, shape).astype(
                dtype
            )
        path = tmp_path / f"{ndim}{suffix}"
        try:
            check_value(path, shape, value.dtype)
        except errors.InputError:
            with pytest.raises(errors.InputError):
                write_value(path, value)
            assert not path.exists()
            continue
        found = read_value(path, write_value(path, value))
        whole = {"": value} if suffix in (".npy", ".json") else as_columns(value)
        for name, column in whole.items():
            array = np.asarray(found[name] if name else found)
            assert array.dtype == column.dtype and np.array_equal(array, column)


def test_refusals_name_the_formats_that_hold_the_value() -> None:
    refusals: list[tuple[str, tuple[int, ...], Any, str]] = [
        ("a.csv", (2, 3, 4), float, "two axes; write it to .npy or .json"),
        ("a.csv", (-1, 3, 4), float, r"shape \(n, 3, 4\).* write it to .npy$"),
        ("a.parquet", (), complex, "no complex128; write it to .npy"),
        ("a.json", (-1, 2), int, "when the job is submitted; write it to .csv or .parquet or .npy"),
        ("a.json", (1001,), int, "1000 numbers"),
        ("a.npy", (), object, "numbers and booleans; take it with lepton.compute"),
        ("a.tif", (3,), float, "images; write it to .csv or .parquet or .npy or .json"),
        ("a.zarr", (-1, 2), int, "images; write it to .csv or .parquet or .npy$"),
    ]
    for path, shape, dtype, says in refusals:
        with pytest.raises(errors.InputError, match=says):
            check_value(path, shape, np.dtype(dtype))


def test_a_value_has_a_column_for_each_of_its_columns() -> None:
    assert {k: v.tolist() for k, v in as_columns(np.float64(3)).items()} == {"value": [3.0]}
    assert {k: v.tolist() for k, v in as_columns(np.array([1, 2])).items()} == {"value": [1, 2]}
    assert {k: v.tolist() for k, v in as_columns(np.array([[1, 2], [3, 4]])).items()} == {
        "value-0": [1, 3],
        "value-1": [2, 4],
    }
    assert {k: v.tolist() for k, v in as_columns({"a": [1]}).items()} == {"a": [1]}
    fields = np.array([(1, 2.0)], [("y", int), ("x", float)])
    assert {k: v.tolist() for k, v in as_columns(fields).items()} == {"y": [1], "x": [2.0]}


def test_json_is_plain_and_has_every_number(tmp_path: Path) -> None:
    write_value(tmp_path / "a.json", np.array([np.nan, np.inf, -np.inf, 0.1], np.float32))
    written = json.loads((tmp_path / "a.json").read_text(), parse_constant=pytest.fail)
    assert written == {"value": ["NaN", "Infinity", "-Infinity", 0.10000000149011612], "dtype": "float32"}
    for damage in ("", "[]", '{"value": 3}', '{"value": "x", "dtype": "u1"}', '{"value": 3, "dtype": "u7"}'):
        (tmp_path / "a.json").write_text(damage)
        with pytest.raises(errors.StoreError):
            read_value(tmp_path / "a.json")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_value_may_be_written_again_but_not_replaced(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    write_value(path, np.float32(1))
    write_value(path, np.float32(1))
    with pytest.raises(errors.OutputExists):
        write_value(path, np.float32(2))
    write_value(path, np.float32(2), overwrite=True)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_job_writes_points_and_numbers_and_returns_them_as_computed(tmp_path: Path) -> None:
    points, threshold = feature.peak_local_max(IMAGE, min_distance=4), np.mean(lepton.open(IMAGE.astype(np.float32)))
    table = measure.regionprops_table(measure.label(IMAGE > 0.7), properties=("label", "area"))
    nodes = {f"points{suffix}": points for suffix in SUFFIXES[:3]}
    nodes |= {f"mean{suffix}": threshold for suffix in SUFFIXES} | {"objects.csv": table, "objects.parquet": table}
    job = lepton.run({str(tmp_path / name): node for name, node in nodes.items()}, block_shape=(20, 25))
    found = {Path(path).name: value for path, value in job.result().items()}
    want = sk_feature.peak_local_max(IMAGE, min_distance=4)
    assert_identical(found["points.npy"], want)
    mean, columns = np.mean(IMAGE.astype(np.float32)), lepton.compute(table)
    for suffix in SUFFIXES[:2]:
        assert_identical(np.stack(list(found[f"points{suffix}"].values()), axis=1), want)
        assert_identical(found[f"mean{suffix}"]["value"], np.array([mean]))
        for name, column in columns.items():
            assert_identical(found[f"objects{suffix}"][name], column)
    assert_identical(found["mean.npy"], mean)
    assert_identical(found["mean.json"], mean)


@pytest.mark.parametrize(
    "name", ["points.json", "points.zarr", "points.png", "objects.json", "objects.npy", "image.json"]
)
def test_what_a_format_cannot_hold_is_refused_before_the_job(tmp_path: Path, name: str) -> None:
    labels = measure.label(IMAGE > 0.7)
    nodes: dict[str, Any] = {
        "points": feature.peak_local_max(IMAGE),
        "objects": measure.regionprops_table(labels),
        "image": labels,
    }
    with pytest.raises(errors.InputError, match="write it to"):
        lepton.run({str(tmp_path / name): nodes[name.split(".")[0]]})
    assert not list(tmp_path.iterdir())


def test_an_image_of_one_axis_is_a_list(tmp_path: Path) -> None:
    volume = np.random.default_rng(3).random((7, 30, 40))
    profile = lepton.open(volume).mean(axis=(1, 2))
    outputs = {str(tmp_path / f"profile{suffix}"): profile for suffix in (".csv", ".json", ".npy")}
    results = lepton.run(outputs, block_shape=(2, 16, 16)).result()
    expected = volume.mean(axis=(1, 2))
    assert np.array_equal(results[str(tmp_path / "profile.csv")]["value"], expected)
    assert np.array_equal(results[str(tmp_path / "profile.json")], expected)
    assert np.array_equal(np.load(tmp_path / "profile.npy"), expected)


def test_an_image_of_two_axes_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(errors.InputError, match=r"is a table format .* write it to \.zarr"):
        lepton.run({str(tmp_path / "image.csv"): lepton.open(np.zeros((9, 9)))})
