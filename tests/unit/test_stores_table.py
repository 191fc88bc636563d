"""Tables are read back bit for bit, and appear complete or not at all."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lepton_celery import errors
from lepton_celery.catalogue.arrays import Array
from lepton_celery.stores import discard_file, read_table, write_table

pytest.importorskip("pyarrow")

# From Python 3.12 on, forking beside pyarrow's threads warns; the child only writes a small table and ends.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")

DTYPES = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64".split()
"""Dtypes that a column can have."""

COLUMNS = {"label": np.array([1, 2, 3]), "area, px": np.array([0.1, np.nan, -np.inf])}


def extreme(dtype: str) -> Array:
    """The smallest number of a dtype, the largest, and one between."""
    if dtype == "bool":
        return np.array([True, False, True])
    info = np.finfo(dtype) if dtype.startswith("float") else np.iinfo(dtype)
    return np.array([info.min, info.max, info.max // 3], dtype)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
class TestEveryTable:
    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        floats=st.lists(st.floats(allow_nan=True), min_size=1, max_size=20),
        ints=st.lists(st.integers(-(2**63), 2**63 - 1), min_size=20, max_size=20),
    )
    def test_numbers_come_back_bit_for_bit(
        self, tmp_path: Path, suffix: str, floats: list[float], ints: list[int]
    ) -> None:
        columns = {"f": np.array(floats, np.float64), "i": np.array(ints[: len(floats)], np.int64)}
        write_table(tmp_path / f"a{suffix}", columns, overwrite=True)
        found = read_table(tmp_path / f"a{suffix}")
        assert list(found) == ["f", "i"]
        for key, column in columns.items():
            assert found[key].dtype == column.dtype
            assert np.array_equal(found[key], column, equal_nan=key == "f")

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("rows", [0, 3])
    def test_every_dtype_comes_back(self, tmp_path: Path, suffix: str, dtype: str, rows: int) -> None:
        column = extreme(dtype)[:rows]
        write_table(tmp_path / f"a{suffix}", {"a": column})
        found = read_table(tmp_path / f"a{suffix}", {"a": dtype} if suffix == ".csv" else None)["a"]
        assert found.dtype == column.dtype and np.array_equal(found, column)

    def test_names_with_commas_and_tables_without_rows(self, tmp_path: Path, suffix: str) -> None:
        write_table(tmp_path / f"a{suffix}", COLUMNS)
        assert list(read_table(tmp_path / f"a{suffix}")) == ["label", "area, px"]
        write_table(tmp_path / f"b{suffix}", {"a": np.empty(0), "b": np.empty(0)})
        assert {key: len(column) for key, column in read_table(tmp_path / f"b{suffix}").items()} == {"a": 0, "b": 0}

    def test_a_table_may_be_written_again_but_not_replaced(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"a{suffix}"
        write_table(path, COLUMNS)
        write_table(path, COLUMNS)
        with pytest.raises(errors.OutputExists):
            write_table(path, {"label": np.array([4])})
        assert read_table(path)["label"].tolist() == [1, 2, 3]
        write_table(path, {"label": np.array([4])}, overwrite=True)
        assert read_table(path)["label"].tolist() == [4]
        assert [entry.name for entry in tmp_path.iterdir()] == [path.name]

    def test_a_killed_writer_leaves_a_file_that_discarding_removes(
        self, tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / f"a{suffix}"
        with monkeypatch.context() as patch:
            patch.setattr("lepton_celery.stores.publish.put_in_place", lambda *args, **kwargs: os._exit(9))
            if (child := os.fork()) == 0:
                write_table(path, COLUMNS, job_id="job-1")
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
        (left,) = tmp_path.iterdir()
        assert left.name.startswith(f".a{suffix}.job-1.part.")
        discard_file(path, "job-2")
        assert left.exists()
        write_table(path, COLUMNS, job_id="job-1")
        discard_file(path, "job-1")
        assert [entry.name for entry in tmp_path.iterdir()] == [path.name]

    def test_a_table_that_was_moved_aside_by_a_killed_writer_comes_back(self, tmp_path: Path, suffix: str) -> None:
        (tmp_path / f".a{suffix}.job-1.part.replaced").write_text("precious")
        discard_file(tmp_path / f"a{suffix}", "job-1")
        assert (tmp_path / f"a{suffix}").read_text() == "precious"

    def test_columns_that_are_no_table_are_refused(self, tmp_path: Path, suffix: str) -> None:
        for columns in ({"a": np.zeros((2, 2))}, {"a": np.array(["x"])}, {"a": np.zeros(2), "b": np.zeros(3)}):
            with pytest.raises(errors.InputError):
                write_table(tmp_path / f"a{suffix}", columns)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("content", [b"", b"rubbish\x00\xff" * 50])
    def test_rubbish_is_a_store_error(self, tmp_path: Path, suffix: str, content: bytes) -> None:
        (tmp_path / f"a{suffix}").write_bytes(content)
        with pytest.raises(errors.StoreError):
            read_table(tmp_path / f"a{suffix}")

    def test_a_missing_file_or_folder_is_not_found(self, tmp_path: Path, suffix: str) -> None:
        with pytest.raises(errors.StoreNotFound):
            read_table(tmp_path / f"a{suffix}")
        with pytest.raises(errors.StoreNotFound):
            write_table(tmp_path / "missing" / f"a{suffix}", COLUMNS)


def test_lines_of_different_length_and_words_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2\n3\n")
    with pytest.raises(errors.StoreError, match="fewer than 2"):
        read_table(path)
    path.write_text("a,b\n1,two\n")
    with pytest.raises(errors.StoreError, match="not a number"):
        read_table(path)


def test_a_csv_alone_has_the_widest_dtypes(tmp_path: Path) -> None:
    """It does not say the dtypes; a job remembers them."""
    for dtype, found in {
        "int8": "int64",
        "uint32": "int64",
        "uint64": "uint64",
        "float16": "float64",
        "bool": "bool",
    }.items():
        write_table(tmp_path / f"{dtype}.csv", {"a": extreme(dtype)})
        column = read_table(tmp_path / f"{dtype}.csv")["a"]
        assert column.dtype == found and np.array_equal(column, extreme(dtype))
    (tmp_path / "a.csv").write_text("a\n-1\n18446744073709551615\n")
    assert read_table(tmp_path / "a.csv")["a"].tolist() == [-1.0, 2.0**64]  # no dtype of integers holds both
    for dtype in ("int8", "bool"):
        with pytest.raises(errors.StoreError, match="not a number"):
            read_table(tmp_path / "a.csv", {"a": dtype})


def test_long_doubles_are_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.InputError, match="numbers on one axis"):
        write_table(tmp_path / "a.csv", {"a": np.zeros(3, np.longdouble)})


def test_parquet_without_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(errors.InputError, match=r"lepton-celery\[parquet\]"):
        write_table(tmp_path / "a.parquet", COLUMNS)


def test_an_unknown_suffix_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(errors.InputError, match=r"\.csv, \.parquet"):
        write_table(tmp_path / "a.xlsx", COLUMNS)
